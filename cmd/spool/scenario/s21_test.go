package scenario_test

import (
	"bytes"
	native "encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// crashed is what a client knew of a thread when the daemon was killed.
type crashed struct {
	thr, turn string
	queued    []string
	last      uint64 // seq
	ids       []string
	items     []value // that were completed
}

// remember takes down what the clients were told before a crash.
func (c *client) remember(thr, turn string, queued ...string) *crashed {
	b := &crashed{thr: thr, turn: turn, queued: queued}
	for _, m := range c.messages() {
		if m.ThreadID != thr || m.out {
			continue
		}
		b.last = max(b.last, m.Seq)
		b.ids = append(b.ids, m.TurnID, m.ItemID)
		if m.method == "item/completed" {
			b.items = append(b.items, m.Body().At("item"))
		}
	}
	return b
}

// recovered checks what every turn that a crash cut off has in common, and returns the
// events that tell of it.
func (b *crashed) recovered(t *testing.T, c *client) []*message {
	t.Helper()
	mark := c.Mark()
	r := c.Call("thread/subscribe", p{"threadId": b.thr, "afterSeq": b.last})
	head := uint64(r.Int("headSeq"))
	if !r.fits(p{
		"thread.runtime.busy": false, "thread.runtime.queueLength": len(b.queued), "thread.runtime.queuePaused": true,
		"thread.runtime.pauseReason": "serverRestarted", "thread.status": "active",
	}) {
		t.Errorf("after the crash the thread is %s", r)
	}
	if _, err := c.find(mark, func(m *message) bool { return m.ThreadID == b.thr && m.Seq >= head }); err != nil {
		t.Fatal(err)
	}
	var events []*message
	for _, m := range c.messages()[mark:] {
		if m.ThreadID == b.thr && m.Seq > 0 {
			events = append(events, m)
		}
	}
	failed := c.AwaitFrom(mark, "turn/failed", p{"turnId": b.turn})
	if !failed.Body().fits(p{"turn.status": "failed", "turn.error.code": "ServerRestarted", "turn.error.retryable": true}) {
		t.Errorf("the turn ended as %s", failed.raw)
	}
	if last := events[len(events)-1]; last.method != "thread/queue/updated" || !slices.Equal(last.Body().Strs("turnIds"), b.queued) {
		t.Errorf("the last event is %s, want the pause of the queue %v", last.raw, b.queued)
	}
	c.AwaitFrom(mark, "item/completed", p{"turnId": b.turn, "item.type": "notice", "item.kind": "restarted"})
	read := c.Call("turn/read", p{"threadId": b.thr, "turnId": b.turn, "includeItems": true})
	for _, was := range b.items {
		if !slices.ContainsFunc(read.List("turn.items"), func(is value) bool { return is.String() == was.String() }) && was.Str("turnId") == b.turn {
			t.Errorf("the item %s is not there any more: %s", was, read)
		}
	}
	return events
}

// goesOn checks that the queue goes on when it is told to, with ids that were never used.
func (b *crashed) goesOn(t *testing.T, c *client, texts ...string) {
	t.Helper()
	c.Call("turn/queue/resume", p{"threadId": b.thr})
	for i, id := range b.queued {
		if tn := c.End(b.thr, id); tn.Str("status") != "completed" || tn.Str("text") != texts[i] {
			t.Errorf("the queued turn %s ended as %s", id, tn)
		}
	}
	fresh := c.Run(b.thr, "/say fresh")
	c.End(b.thr, fresh)
	for _, it := range c.Call("turn/read", p{"threadId": b.thr, "turnId": fresh, "includeItems": true}).Each("turn.items", "id") {
		if slices.Contains(b.ids, it) {
			t.Errorf("the id %s is used again", it)
		}
	}
	if slices.Contains(b.ids, fresh) {
		t.Errorf("the id %s is used again", fresh)
	}
}

// The daemon is killed while a message streams. What is kept of it is as new as it must be,
// unless the disk or the machine stood still just then, which happens: not every time.
func TestS21_KilledWhileStreaming(t *testing.T) {
	for name, v := range map[string]struct {
		deltas string
		after  int           // bytes of the message until the kill
		bytes  int           // that may be lost, because
		age    time.Duration // the last checkpoint may be so old
	}{
		// The bounds are 500 ms and 64 KiB; the rest is for a commit that is on its way
		// while the machine is busy.
		"slowly": {"/deltas 100000 10 1ms", 25_000, 64 << 10, 500*time.Millisecond + 700*time.Millisecond},
		"fast":   {"/deltas 4000 1000 1ms", 1_500_000, 64<<10 + 512<<10, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			for try := 1; ; try++ {
				held, kept, before := killedWhileStreaming(t, v.deltas, v.after, v.age)
				least := max(before, held-v.bytes)
				t.Logf("the client held %d bytes, %d are kept; want at least %d", held, kept, least)
				if kept >= least {
					return
				}
				if try == 5 {
					t.Fatal("it was never enough")
				}
			}
		})
	}
}

// killedWhileStreaming kills the daemon when so many bytes of a message have come. It returns
// how much of the message the client held, how much is kept, and how much the client had held
// some time before the end.
func killedWhileStreaming(t *testing.T, deltas string, after int, age time.Duration) (held, kept, before int) {
	t.Helper()
	d := startDaemon(t)
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	c.End(thr, c.Run(thr, "/say before"))
	turn := c.Run(thr, "/tool lookup {\"q\":1}\n"+deltas)
	b, e := c.Enqueue(thr, "/say B"), c.Enqueue(thr, "/say C")
	tool := c.Await("item/completed", p{"turnId": turn, "item.type": "toolCall"})
	if !tool.Body().fits(p{"item.status": "failed", "item.error.code": "ToolUnavailable"}) {
		t.Errorf("the tool item is %s", tool.raw)
	}
	item := c.awaitText(turn, after)

	d.Kill()
	was := c.remember(thr, turn, b, e)
	told, least := textBefore(c, item, age)
	d.Start()

	again := d.Dial("ws", named("again"))
	was.recovered(t, again)
	lost := again.Await("item/completed", p{"itemId": item}).Body().At("item")
	text := lost.Str("text")
	if lost.Str("status") != "interrupted" || text == "" {
		t.Errorf("the item is %s with %d bytes", lost.Str("status"), len(text))
	}
	if !strings.HasPrefix(told, text) && !strings.HasPrefix(text, told) {
		t.Error("the text that is kept is not the one that was sent")
	}
	again.Await("turn/failed", p{"turnId": turn, "turn.text": "ToolUnavailable: " + tool.Body().Str("item.error.message") + "\n\n" + text})
	was.goesOn(t, again, "B", "C")
	return len(told), len(text), least
}

// textBefore returns the text of an item that a client held at the end, and how much of it
// some time before that.
func textBefore(c *client, item string, age time.Duration) (held string, before int) {
	var text strings.Builder
	var at []time.Time
	var size []int
	for _, m := range c.messages() {
		if m.ItemID == item && m.method == "item/agentMessage/delta" {
			text.WriteString(m.Delta)
			when, _ := time.Parse(time.RFC3339, m.Body().Str("at"))
			at, size = append(at, when), append(size, text.Len())
		}
	}
	for i, when := range at {
		if when.Before(at[len(at)-1].Add(-age)) {
			before = size[i]
		}
	}
	return text.String(), before
}

// The daemon is killed while a turn waits for an approval.
func TestS21_KilledWhileWaitingForApproval(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix", able("approvals"))
	thr := c.StartThread(nil)
	turn := c.Run(thr, "/say Hello\n/approve command rm build")
	b, e := c.Enqueue(thr, "/say B"), c.Enqueue(thr, "/say C")
	approval := c.Await("item/approval/request", p{"turnId": turn}).Body().Str("approvalId")
	c.Await("turn/queued", p{"turnId": b})
	c.Await("turn/queued", p{"turnId": e})

	d.Kill()
	was := c.remember(thr, turn, b, e)
	d.Start()

	again := d.Dial("unix", able("approvals"), named("again"))
	events := was.recovered(t, again)
	if first := events[0]; first.method != "item/approval/resolved" || !first.Body().fits(p{"decision": "abandoned", "item.approvalId": approval, "item.decision": "abandoned", "item.status": "interrupted"}) || first.Body().Has("by") {
		t.Errorf("the first news is %s", first.raw)
	}
	again.Await("turn/failed", p{"turnId": turn, "turn.text": "Hello"})
	we := again.Refused("approval/respond", p{"approvalId": approval, "decision": "accept"})
	if we.Code != -31118 || we.At("decision").Str("") != "abandoned" {
		t.Errorf("the late answer: %v", we)
	}
	again.Never("item/approval/request", nil)
	was.goesOn(t, again, "B", "C")
}

// The database is damaged as by a power failure: the daemon refuses it with a clear
// message, or nothing is missing.
func TestS21_TornDatabase(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	var threads []string
	for range 30 {
		thr := c.StartThread(nil)
		c.End(thr, c.Run(thr, "/say "+strings.Repeat("word ", 50)))
		threads = append(threads, thr)
	}
	slices.Sort(threads)
	journals := map[string]map[uint64][]byte{}
	for _, thr := range threads {
		c.Sync(thr)
		journals[thr] = c.told(thr)
	}
	path := filepath.Join(d.dir, "data", "spool", "spool.db")
	const meta = "newer meta page noise"
	refused, started := 0, 0
	for _, stop := range []func(){d.Kill, d.Stop} {
		stop()
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		size, used := usedPages(whole)
		tears := map[string]func() []byte{
			"last page cut off":     func() []byte { return whole[:(used-1)*size] },
			"last page cut in half": func() []byte { return whole[:used*size-size/2] },
			"last page of zeros":    func() []byte { return torn(whole, used-1, size, func(b []byte) { clear(b) }) },
			"last page half noise":  func() []byte { return torn(whole, used-1, size, func(b []byte) { noise(b[len(b)/2:]) }) },
			"last page noise":       func() []byte { return torn(whole, used-1, size, noise) },
			meta:                    func() []byte { return torn(whole, newerMeta(whole, size), size, noise) },
		}
		for range 6 {
			page := 2 + rand.IntN(used-2)
			tears["some page noise "+string(rune('a'+page%26))] = func() []byte { return torn(whole, page, size, noise) }
		}
		for name, tear := range tears {
			if err := os.WriteFile(path, tear(), 0o600); err != nil {
				t.Fatal(err)
			}
			d.torn = true
			said, ready := d.tryStart()
			switch {
			case !ready:
				refused++
				for _, want := range []string{"spool.db", "backup"} {
					if !strings.Contains(said, want) {
						t.Errorf("%s: the daemon refuses with %q, which does not name %q", name, said, want)
					}
				}
				if strings.Contains(said, "goroutine ") || strings.Contains(said, "panic") {
					t.Errorf("%s: the daemon says %q", name, said)
				}
				if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, tear()) {
					t.Errorf("%s: the daemon has changed the file that it refuses (%v)", name, err)
				}
			case name == meta:
				// As after a commit that was not finished, and so told to nobody.
				started++
				if !strings.Contains(said, "the last commit was not finished; going on with the one before") {
					t.Errorf("%s: the daemon starts and says only %s", name, said)
				}
				d.nothingMissing(name, threads, nil)
				d.Kill()
			default:
				started++
				d.nothingMissing(name, threads, journals)
				d.Kill()
			}
		}
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		d.torn = false
		d.Start()
	}
	t.Logf("%d damaged files were refused, %d were used", refused, started)
	d.nothingMissing(wholeFile, threads, journals)
}

// wholeFile is the name of a file without damage.
const wholeFile = "the whole file"

// nothingMissing requires that all threads are there with all their events, or that the
// daemon says of what it cannot read that it is damaged.
func (d *daemon) nothingMissing(name string, threads []string, journals map[string]map[uint64][]byte) {
	d.t.Helper()
	c := d.Dial("unix")
	defer c.Close()
	r, err := c.Do("thread/list", p{"limit": 200})
	if damaged(err) && name != wholeFile {
		return
	}
	ids := slices.Sorted(slices.Values(r.Each("data", "id")))
	if err != nil || !slices.Equal(ids, threads) {
		d.t.Errorf("%s: the daemon has started with the threads %v (%v), want %v", name, ids, err, threads)
	}
	for _, thr := range threads {
		r, err := c.Do("thread/export", p{"threadId": thr})
		if damaged(err) && name != wholeFile {
			continue
		}
		if err != nil || r.Has("nextSeq") {
			d.t.Errorf("%s: %s cannot be exported: %v %s", name, thr, err, r)
			continue
		}
		kept := map[uint64]string{}
		for _, e := range r.List("events") {
			kept[uint64(e.Int("params.seq"))] = e.String()
		}
		for seq, raw := range journals[thr] {
			if kept[seq] != parse(raw).String() {
				d.t.Errorf("%s: event %d of %s was\n%s\nand is\n%s", name, seq, thr, raw, kept[seq])
			}
		}
	}
}

// damaged tells whether a read was refused because of what is on the disk.
func damaged(err error) bool {
	we, ok := errors.AsType[*wireError](err)
	return ok && we.Code == -31130
}

// usedPages returns the size of a page of the database and how many are in use.
func usedPages(whole []byte) (size, used int) {
	ne := native.NativeEndian
	size = int(ne.Uint32(whole[16+8:]))
	meta := newerMeta(whole, size) * size
	return size, int(ne.Uint64(whole[meta+16+40:]))
}

// lastCommit returns the number of the last commit in a file.
func lastCommit(whole []byte) uint64 {
	size := int(native.NativeEndian.Uint32(whole[16+8:]))
	return native.NativeEndian.Uint64(whole[newerMeta(whole, size)*size+16+48:])
}

// newerMeta returns which of the two meta pages counts.
func newerMeta(whole []byte, size int) int {
	ne := native.NativeEndian
	if ne.Uint64(whole[size+16+48:]) > ne.Uint64(whole[16+48:]) {
		return 1
	}
	return 0
}

// torn returns a copy of the file with one page damaged.
func torn(whole []byte, page, size int, tear func([]byte)) []byte {
	b := bytes.Clone(whole)
	tear(b[page*size : (page+1)*size])
	return b
}

// noise overwrites a piece of a file with what no program wrote, always the same.
func noise(b []byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range b {
		b[i] = byte(r.Uint32())
	}
}

// tryStart is Start for a daemon that may refuse. It returns what that says.
func (d *daemon) tryStart() (said string, ready bool) {
	d.t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	defer r.Close()
	out := &tail{}
	both := io.MultiWriter(out, d.stderr)
	cmd := exec.Command(binary, "serve", "--ready-fd", "3", "--listen", "ws://127.0.0.1:0")
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = d.env, both, both, []*os.File{w}
	err = cmd.Start()
	w.Close()
	if err != nil {
		d.t.Fatal(err)
	}
	exited := make(chan struct{})
	d.cmd, d.exited = cmd, exited
	go func() {
		defer close(exited)
		_ = cmd.Wait()
	}()
	_ = r.SetReadDeadline(time.Now().Add(patience))
	if word, _ := io.ReadAll(r); string(word) == "ready\n" {
		d.look()
		return out.String(), true
	}
	d.awaitExit()
	if code := cmd.ProcessState.ExitCode(); code <= 0 {
		d.t.Errorf("a daemon that refuses its data ends with %d: %s", code, out.String())
	}
	return out.String(), false
}
