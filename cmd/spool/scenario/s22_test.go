package scenario_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// editor is a program that runs "spool stdio" as its child process.
type editor struct {
	*client
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    bytes.Buffer // all of its standard output; read it after gone
	stderr *tail
	once   sync.Once
}

// openEditor starts a bridge and does the handshake through it.
func (d *daemon) openEditor() *editor {
	d.t.Helper()
	e := d.startEditor()
	e.handshake()
	return e
}

// startEditor starts a bridge.
func (d *daemon) startEditor() *editor {
	d.t.Helper()
	e := &editor{stderr: &tail{}}
	e.cmd = exec.Command(binary, "stdio")
	e.cmd.Env, e.cmd.Stderr = d.env, e.stderr
	var err error
	if e.in, err = e.cmd.StdinPipe(); err != nil {
		d.t.Fatal(err)
	}
	out, err := e.cmd.StdoutPipe()
	if err != nil {
		d.t.Fatal(err)
	}
	if err := e.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	e.client = d.adopt(&lines{
		in: bufio.NewReader(io.TeeReader(out, &e.out)), out: e.in, end: e.close, drop: e.cmd.Process.Kill,
	}, "editor")
	return e
}

func (e *editor) handshake() {
	e.t.Helper()
	e.ID = e.Call("initialize", p{
		"clientInfo":   p{"name": "editor", "version": "1", "instanceId": "ed-1"},
		"capabilities": p{"approvals": true, "questions": true, "tools": true},
	}).Str("connectionId")
	e.Notify("initialized", nil)
}

// adopt makes a client of a connection that exists.
func (d *daemon) adopt(w wire, name string) *client {
	c := &client{
		t: d.t, d: d, transport: "stdio", name: name, wire: w, hello: p{},
		changed: make(chan struct{}), answers: map[string]*answer{}, gone: make(chan struct{}),
	}
	d.clients = append(d.clients, c)
	go c.read()
	return c
}

// close closes the standard input and waits for the end of the bridge.
func (e *editor) close() error {
	err := e.in.Close()
	<-e.gone // the reader has had all of its output
	e.once.Do(func() { _ = e.cmd.Wait() })
	return err
}

// Quit closes the standard input and requires that the bridge ends with a status, having
// said nothing but whole messages on standard output.
func (e *editor) Quit(status int, said string) {
	e.t.Helper()
	_ = e.close()
	if code := e.cmd.ProcessState.ExitCode(); code != status {
		e.t.Errorf("the bridge ended with %d, want %d: %s", code, status, e.stderr)
	}
	if text := e.stderr.String(); !strings.Contains(text, said) || said == "" && text != "" {
		e.t.Errorf("on standard error the bridge said %q", text)
	}
	out := e.out.String()
	if out != "" && !strings.HasSuffix(out, "\n") {
		e.t.Errorf("standard output ends with %q", out[max(0, len(out)-80):])
	}
	for line := range strings.Lines(out) {
		var m struct {
			Version string `json:"jsonrpc"`
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil || m.Version != "2.0" {
			e.t.Errorf("on standard output there is %q (%v)", line, err)
		}
	}
}

func TestS22_EditorOverStdioSharesTheDaemon(t *testing.T) {
	d := startDaemon(t)
	web := d.Dial("ws", named("web"))
	thr := web.StartThread(p{"title": "shared"})
	web.End(thr, web.Run(thr, "/say from the web"))

	for window := range 2 {
		e := d.openEditor()
		if list := e.Call("thread/list", nil); !slices.Equal(list.Each("data", "id"), []string{thr}) || list.Str("data.0.title") != "shared" {
			t.Errorf("the editor lists %s", list)
		}
		e.Call("thread/subscribe", p{"threadId": thr, "afterSeq": 0})
		turn := e.Run(thr, "/say from the editor\n/approve command make\n/hold\n/say end")
		approval := e.Await("item/approval/request", p{"turnId": turn})
		web.Await("item/approval/requested", p{"turnId": turn})
		e.Reply(approval, p{"decision": "accept"})
		web.Await("item/completed", p{"turnId": turn, "item.text": "accepted"})
		e.Await("item/completed", p{"turnId": turn, "item.text": "accepted"})
		for seq, raw := range web.told(thr) {
			if got := e.told(thr)[seq]; !bytes.Equal(got, raw) && got != nil {
				t.Errorf("window %d: seq %d was\n%s\nfor the editor and\n%s\nfor the web", window, seq, got, raw)
			}
		}

		e.Quit(0, "")

		web.Await("thread/presence/changed", p{"left.0.connectionId": e.ID})
		if now := web.Sync(thr); now.Str("activeTurn.id") != turn || now.Bool("thread.runtime.interrupting") {
			t.Errorf("window %d: after its end the thread is %s", window, now)
		}
		web.Release(thr, turn)
		web.Await("turn/completed", p{"turnId": turn})
	}
}

// What was asked before the input ended is answered.
func TestS22_AnswersAfterTheEndOfTheInput(t *testing.T) {
	d := startDaemon(t, fault("delay:turn/started:200ms"))
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	e := d.openEditor()
	a := e.Go("turn/run", p{"threadId": thr, "input": "/say asked"})
	e.Quit(0, "")
	turn := a.Result().Str("turn.id")
	if end := c.End(thr, turn); end.Str("text") != "asked" {
		t.Errorf("the turn ended as %s", end)
	}
}

// The daemon dies first: that is said on standard error, and by the status.
func TestS22_TheDaemonGoesAway(t *testing.T) {
	d := startDaemon(t)
	e := d.openEditor()
	thr := e.StartThread(nil)
	e.Hold(thr, "")
	d.Kill()
	e.Quit(7, "the daemon")
	out := exec.Command(binary, "stdio", "--no-start")
	out.Env = d.env
	said, err := out.Output()
	if code := out.ProcessState.ExitCode(); code != 7 || len(said) > 0 {
		t.Errorf("without a daemon and with --no-start: status %d (%v), standard output %q", code, err, said)
	}
	d.Start()
}

// Where no daemon runs the bridges start one, and only one.
func TestS22_BridgesStartOneDaemon(t *testing.T) {
	for _, windows := range []int{2, 6} {
		d := startDaemon(t)
		d.Stop()
		t.Cleanup(d.stopOthers)
		editors := make([]*editor, windows)
		for i := range editors {
			editors[i] = d.startEditor() // the processes race
		}
		thr := ""
		pids := map[int]bool{}
		for i, e := range editors {
			e.handshake()
			pids[e.Call("server/info", nil).Int("pid")] = true
			if i == 0 {
				thr = e.StartThread(nil)
			} else {
				e.Call("thread/subscribe", p{"threadId": thr})
			}
		}
		if running := d.others(); len(pids) != 1 || len(running) != 1 || !pids[running[0]] {
			t.Errorf("%d bridges reached the daemons %v; running are %v", windows, pids, running)
		}
		turn := editors[0].Run(thr, "/say hello")
		for _, e := range editors {
			e.Await("turn/completed", p{"turnId": turn, "turn.text": "hello"})
		}
		for _, e := range editors {
			e.Quit(0, "")
		}
		if running := d.others(); len(running) != 1 {
			t.Errorf("after the last bridge has ended the daemons %v run", running)
		}
		log, err := os.ReadFile(filepath.Join(d.dir, "state", "spool", "daemon.log"))
		if err != nil || bytes.Count(log, []byte(`"ready"`)) != 1 {
			t.Errorf("the log of the daemon is %q (%v)", log, err)
		}
		d.stopOthers()
		d.Start()
		d.Dial("unix").End(thr, turn)
	}
}

// stopOthers ends the daemon that bridges started, and waits for that.
func (d *daemon) stopOthers() {
	d.t.Helper()
	if len(d.others()) == 0 {
		return
	}
	stop := exec.Command(binary, "stop")
	stop.Env = d.env
	if out, err := stop.CombinedOutput(); err != nil {
		d.t.Errorf("spool stop: %v: %s", err, out)
	}
	if left := d.awaitNoOthers(); len(left) > 0 {
		d.t.Errorf("after spool stop the daemons %v still run", left)
		for _, pid := range left {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
	}
}

// awaitNoOthers waits for the end of the daemons that bridges started, and returns those that
// do not end: spool stop waits until they have let go of the data, just before their end.
func (d *daemon) awaitNoOthers() []int {
	d.t.Helper()
	tick, limit := time.NewTicker(5*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		left := d.others()
		if len(left) == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-limit:
			return left
		}
	}
}

// others returns the daemons that bridges started on the data of d, by looking at all
// processes; those that the harness starts do not name the data.
func (d *daemon) others() []int {
	d.t.Helper()
	found, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		d.t.Fatal(err)
	}
	var pids []int
	for _, path := range found {
		cmdline, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		args := strings.Split(string(cmdline), "\x00")
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if args[0] == binary && slices.Contains(args, "serve") && slices.ContainsFunc(args, func(a string) bool { return strings.HasPrefix(a, d.dir+"/") }) {
			pids = append(pids, pid)
		}
	}
	return pids
}
