package scenario_test

import (
	"bytes"
	native "encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// tornStory is a data file before and after a commit of a daemon, an input that is put
// into the queue behind a turn that holds, with the request that caused the commit.
type tornStory struct {
	before, after []byte
	request       p
	thread        string
	held, queued  string
}

// newTornStory runs a daemon up to the commit, until nothing else is between the two files.
func newTornStory(t *testing.T) tornStory {
	t.Helper()
	for range 20 {
		if s := runTornStory(t); lastCommit(s.after) == lastCommit(s.before)+1 {
			return s
		}
	}
	t.Fatal("the daemon does more than the one commit whenever it is looked at")
	return tornStory{}
}

// runTornStory does it once. What the turn does for itself is over when two looks at the file
// are the same, but where the disk is so slow that they fall into one commit.
func runTornStory(t *testing.T) tornStory {
	t.Helper()
	d := startDaemon(t)
	c := d.Dial("unix")
	s := tornStory{thread: c.StartThread(nil)}
	for range 3 {
		c.End(s.thread, c.Run(s.thread, "/deltas 20 1000\n/say before"))
	}
	s.held = c.Hold(s.thread, "/say never")
	s.request = p{"threadId": s.thread, "input": "/say it waited", "idempotencyKey": "once"}
	file := filepath.Join(d.dir, "data", "spool", "spool.db")
	awaitSame := func() (whole []byte) {
		poll(c, "that the daemon writes no more", func() bool {
			last := whole
			var err error
			if whole, err = os.ReadFile(file); err != nil {
				t.Fatal(err)
			}
			return bytes.Equal(last, whole)
		})
		return whole
	}
	s.before = awaitSame()
	s.queued = c.Call("turn/enqueue", s.request).Str("turn.id")
	s.after = awaitSame()
	d.Kill()
	return s
}

// cuts returns the blocks of a size that the commit wrote, the meta pages last, as bbolt
// writes them.
func (s *tornStory) cuts(size int) (blocks []int) {
	meta := 2 * int(native.NativeEndian.Uint32(s.after[16+8:]))
	for _, part := range [][2]int{{meta, len(s.after)}, {0, meta}} {
		for at := part[0]; at < part[1]; at += size {
			if !bytes.Equal(s.before[at:at+size], s.after[at:at+size]) {
				blocks = append(blocks, at)
			}
		}
	}
	return blocks
}

// TestTortureStorageTorn cuts a commit that put an input into the queue at the boundaries
// of the disk's blocks. A daemon that starts on what is left has the input or has not; it
// has it once when the client repeats its request, and runs it.
func TestTortureStorageTorn(t *testing.T) {
	s := newTornStory(t)
	for _, size := range []int{4096, 512} {
		blocks := s.cuts(size)
		last := len(blocks) - 1 // with this one the meta page is there
		step := 1
		if !*tortureLong {
			step = max(1, last/3)
		}
		for n := 0; n <= last; n += step {
			s.check(t, fmt.Sprintf("%d of %d blocks of %d bytes", n, len(blocks), size), blocks[:n], size, false)
		}
		s.check(t, fmt.Sprintf("all %d blocks of %d bytes", len(blocks), size), blocks, size, true)
	}
}

// check starts a daemon on the file before the commit with some of the blocks after it.
func (s *tornStory) check(t *testing.T, what string, blocks []int, size int, whole bool) {
	t.Run(what, func(t *testing.T) {
		torn := bytes.Clone(s.before)
		for _, at := range blocks {
			copy(torn[at:at+size], s.after[at:at+size])
		}
		data := t.TempDir()
		if err := os.WriteFile(filepath.Join(data, "spool.db"), torn, 0o600); err != nil {
			t.Fatal(err)
		}
		d := startDaemon(t, config(fmt.Sprintf("data = %q", data)))
		c := d.Dial("unix")
		if end := c.End(s.thread, s.held); end.Str("status") != "failed" || end.Str("error.code") != "ServerRestarted" {
			t.Errorf("the turn that ran ended as %s", end)
		}
		waiting := len(c.Call("turn/queue/list", p{"threadId": s.thread}).List("turns"))
		if waiting > 1 || whole != (waiting == 1) {
			t.Errorf("%d turns wait; the commit is whole: %t", waiting, whole)
		}
		again := c.Call("turn/enqueue", s.request)
		if again.Bool("replayed") != whole || (again.Str("turn.id") == s.queued) != whole {
			t.Errorf("the repeated request is answered with %s; the commit is whole: %t", again, whole)
		}
		c.Call("turn/queue/resume", p{"threadId": s.thread})
		if end := c.End(s.thread, again.Str("turn.id")); end.Str("text") != "it waited" {
			t.Errorf("the turn ended as %s", end)
		}
		if n := len(c.ReadAll(s.thread).List("turns")); n != 5 {
			t.Errorf("there are %d turns, not 5", n)
		}
	})
}
