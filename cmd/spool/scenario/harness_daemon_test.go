// # How to write a scenario
//
//	func TestS99_Example(t *testing.T) {
//		d := startDaemon(t)                        // own folders, ready; checked and stopped at the end
//		c1 := d.Dial("unix")                       // or "ws", "stdio"; initialize and initialized are done
//		c2 := d.Dial("ws", hello(p{"capabilities": p{"streaming": false}}))
//
//		thr := c1.StartThread(nil)                 // thread/start, returns the id
//		r := c1.Call("turn/run", p{"threadId": thr, "input": "/hold\n/say A"})
//		turn := r.Str("turn.id")                   // paths into results; .Int .Bool .List .Strs .Has
//		c1.Release(thr, turn)                      // steers "release" into /hold
//		c1.Await("turn/completed", p{"turnId": turn, "turn.text": "A"})
//
//		we := c2.Refused("turn/read", p{"threadId": thr, "turnId": "trn_x"})  // an error is expected
//		if we.Code != -32013 {…}
//
//		answer := c1.Go("turn/wait", p{…})         // pipelined; later answer.Result() or answer.Wait()
//		c1.Sync(thr)                               // all that was said about thr so far has arrived
//		c1.Seen("turn/started", p{"turnId": turn}) // what was received and fits, in order
//
//		d.Kill(); d.Start()                        // SIGKILL, and up again; or d.Stop(): SIGTERM
//	}
//
// Await looks at everything the client ever received, so it cannot miss an event; ids make
// events unique. AwaitFrom(c.Mark(), …) looks at later ones only. Requests of the daemon
// are awaited by their method like notifications and answered with c.Reply.
//
// At the end of each test, while the daemon still runs, the invariants I1 to I7 (see
// harness_invariants_test.go) are checked over what every client received; d.Check() does
// that earlier. Scenarios should end when nothing streams any more: idle or holding.
//
// Faults: startDaemon(t, fault("kill-before:turn/completed+turn/started")), then
// d.AwaitDeath() and d.SetFault("") and d.Start(). The syntax is explained in fault_on.go.
package scenario_test

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds every wait. It matters only where something is broken: a machine that is
// slow, or stands still for some seconds, is not.
const patience = 2 * time.Minute

// repeats is how often scenarios repeat what is random about them.
var repeats = flag.Int("repeats", 200, "how often random orders are tried")

// binary is the program under test.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	dir, err := os.MkdirTemp("", "spbin")
	if err == nil {
		binary = filepath.Join(dir, "spool")
		build := exec.Command("go", "build", "-race", "-tags", "spoolfault", "-o", binary, "github.com/spoolhq/spool/cmd/spool")
		build.Stderr = os.Stderr
		err = build.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "cannot build the binary:", err)
		os.Exit(1)
	}
	code := m.Run()
	if code == 0 {
		if err := leaked(); err != nil {
			fmt.Fprintln(os.Stderr, "the tests went well, but", err)
			code = 1
		}
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// leaked returns which goroutines the tests left, after those that are about to end have had
// the time for it.
func leaked() error {
	until := time.Now().Add(patience)
	for {
		err := goleak.Find()
		if err == nil || time.Now().After(until) {
			return err
		}
	}
}

// daemon is a spool serve with folders of its own, which survive its restarts.
type daemon struct {
	t      testing.TB
	dir    string
	socket string
	wsURL  string // changes at every start
	config string
	env    []string
	args   []string
	fault  string
	leaves int  // goroutines that may be left: agents that are /stuck
	deaths int  // times it was killed
	torn   bool // its file is damaged: spool verify is not asked about it

	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	stderr *tail
	first  *value // server/stats of the idle daemon

	clients []*client // all there ever were
}

// option changes how a daemon is started.
type option func(*daemon)

// config adds lines to the configuration file.
func config(toml string) option { return func(d *daemon) { d.config += toml + "\n" } }

// fault sets SPOOL_FAULT for the next starts; see SetFault.
func fault(spec string) option { return func(d *daemon) { d.fault = spec } }

// leaves allows n goroutines to be left at the end: agents that do not listen (/stuck).
func leaves(n int) option { return func(d *daemon) { d.leaves = n } }

// startDaemon starts a daemon with folders of its own and waits until it is ready. When the
// test ends, the invariants are checked and it is stopped, which it must do with exit
// status 0 and without a data race.
func startDaemon(t testing.TB, opts ...option) *daemon {
	t.Helper()
	dir, err := os.MkdirTemp("", "sp")
	if err != nil {
		t.Fatal(err)
	}
	d := &daemon{t: t, dir: dir, socket: filepath.Join(dir, "run", "spool", "spool.sock"), stderr: &tail{}}
	for _, o := range opts {
		o(d)
	}
	for _, sub := range []string{"run", "config/spool", "data", "state", "home", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "config/spool/config.toml"), []byte(d.config), 0o600); err != nil {
		t.Fatal(err)
	}
	d.env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + filepath.Join(dir, "home"), "TMPDIR=" + filepath.Join(dir, "tmp"),
		"XDG_RUNTIME_DIR=" + filepath.Join(dir, "run"), "XDG_CONFIG_HOME=" + filepath.Join(dir, "config"),
		"XDG_DATA_HOME=" + filepath.Join(dir, "data"), "XDG_STATE_HOME=" + filepath.Join(dir, "state"),
		"GORACE=atexit_sleep_ms=0", // else every end takes a second
	}
	t.Cleanup(d.tearDown)
	t.Cleanup(d.verify) // runs first
	d.Start()
	return d
}

// Start starts the daemon again, on the same data.
func (d *daemon) Start() {
	d.t.Helper()
	if d.running() {
		d.t.Fatal("the daemon is running")
	}
	ready, told, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	defer ready.Close()
	cmd := exec.Command(binary, append([]string{"serve", "--ready-fd", "3", "--listen", "ws://127.0.0.1:0"}, d.args...)...)
	cmd.Env = d.env
	if d.fault != "" {
		cmd.Env = append(slices.Clip(d.env), "SPOOL_FAULT="+d.fault)
	}
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = d.stderr, d.stderr, []*os.File{told}
	err = cmd.Start()
	told.Close()
	if err != nil {
		d.t.Fatal(err)
	}
	exited := make(chan struct{})
	d.cmd, d.exited = cmd, exited
	go func() {
		defer close(exited)
		_ = cmd.Wait()
	}()
	_ = ready.SetReadDeadline(time.Now().Add(patience))
	if said, err := io.ReadAll(ready); string(said) != "ready\n" {
		d.t.Fatalf("the daemon is not ready: %q %v\n%s", said, err, d.stderr)
	}
	d.look()
}

// look learns the address of the WebSocket and what an idle daemon takes.
func (d *daemon) look() {
	d.t.Helper()
	probe := d.Dial("unix", named("probe"))
	defer probe.Close()
	for _, url := range probe.Call("server/info", nil).Strs("listeners") {
		if strings.HasPrefix(url, "ws://") {
			d.wsURL = url
		}
	}
	if d.first == nil {
		for probe.Call("server/stats", nil).Int("uptimeMs") < settled { // what the start starts is there
			probe.Pass(1)
		}
		s := probe.stats()
		d.first = &s
	}
}

// settled is how long, in milliseconds, a daemon runs before it counts what it takes when idle:
// in its first moments not all of its goroutines have begun.
const settled = 100

func (d *daemon) running() bool {
	if d.cmd == nil {
		return false
	}
	select {
	case <-d.exited:
		return false
	default:
		return true
	}
}

// SetFault sets SPOOL_FAULT for the next starts; "" is none.
func (d *daemon) SetFault(spec string) { d.fault = spec }

// Kill ends the daemon with SIGKILL.
func (d *daemon) Kill() {
	d.t.Helper()
	if err := d.cmd.Process.Kill(); err != nil {
		d.t.Fatal(err)
	}
	d.AwaitDeath()
}

// Restart kills the daemon and starts it again.
func (d *daemon) Restart() {
	d.t.Helper()
	d.Kill()
	d.Start()
}

// AwaitDeath waits until the daemon has ended by a fault, and its clients have noticed. The
// first few times it has spool verify look at what the daemon left.
func (d *daemon) AwaitDeath() {
	d.t.Helper()
	d.awaitExit()
	d.awaitClients()
	if d.deaths++; d.deaths <= 3 && !d.torn {
		d.verifyFile()
	}
}

func (d *daemon) awaitExit() {
	d.t.Helper()
	select {
	case <-d.exited:
	case <-time.After(patience):
		d.t.Fatal("the daemon does not end")
	}
}

func (d *daemon) awaitClients() {
	d.t.Helper()
	for _, c := range d.clients {
		c.ResumeReading()
		select {
		case <-c.gone:
		case <-time.After(patience):
			d.t.Fatalf("%s does not notice the end of the daemon", c.name)
		}
	}
}

// Stop ends the daemon with SIGTERM and requires exit status 0.
func (d *daemon) Stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal(err)
	}
	d.awaitExit()
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		d.t.Errorf("after SIGTERM the daemon ended with %d (%v)", code, d.cmd.ProcessState)
	}
	d.awaitClients()
}

// verify checks the invariants at the end of a test that went well.
func (d *daemon) verify() {
	if d.running() && !d.t.Failed() {
		d.Check()
		d.checkLeaks()
	}
}

// verifyFile has spool verify check the data file, which nobody has open.
func (d *daemon) verifyFile() {
	d.t.Helper()
	cmd := exec.Command(binary, "verify", "--json")
	cmd.Env = d.env
	out, err := cmd.CombinedOutput()
	if err != nil && !bytes.Contains(out, []byte("there is no data file")) {
		d.t.Errorf("spool verify: %v\n%s", err, out)
	}
}

// tearDown ends what the test left.
func (d *daemon) tearDown() {
	defer os.RemoveAll(d.dir)
	for _, c := range d.clients {
		c.Close()
	}
	if d.running() && !d.t.Failed() {
		d.Stop()
	}
	if !d.running() && !d.t.Failed() {
		d.verifyFile()
	}
	if d.running() {
		_ = d.cmd.Process.Kill()
		<-d.exited
	}
	if log := d.stderr.String(); strings.Contains(log, "DATA RACE") || strings.Contains(log, "\npanic: ") || strings.Contains(log, "fatal error: ") {
		d.t.Errorf("the daemon is broken:\n%s", log)
	}
	if d.t.Failed() {
		for _, c := range d.clients {
			d.t.Log(c.transcript(25))
		}
		d.t.Logf("what the daemon said:\n%s", d.stderr)
	}
}

// withTimeout returns a context that ends after patience.
func withTimeout() (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(context.Background(), patience, errors.New("it takes too long"))
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() > 1<<20 {
		t.buf.Next(t.buf.Len() - 64<<10)
	}
	return t.buf.Write(b)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.buf.String()
	return s[max(0, len(s)-16<<10):]
}
