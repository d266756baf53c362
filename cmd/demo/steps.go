package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// demo is the state of the show.
type demo struct {
	ctx     context.Context
	spool   string
	home    string
	env     []string
	logFile string
	texts   texts
	began   time.Time

	daemon  *daemon
	watcher *watcher
	thread  string
	lost    string // the turn that the crash cuts short
	waited  string // the turn that waits through it
	said    string // what the watcher got of it
	number  int
}

// errTooFast: a turn ended before the show could do something to it.
var errTooFast = errors.New("it ended before it could be cut short")

func newDemo(ctx context.Context, spool, home string, model bool) *demo {
	d := &demo{ctx: ctx, spool: spool, home: home, logFile: filepath.Join(home, "daemon.log"), texts: scripted(), began: time.Now()}
	d.env = []string{"HOME=" + home, "XDG_RUNTIME_DIR=" + home, "TMPDIR=" + home}
	pass := []string{"PATH", "TERM", "LANG"}
	if model {
		d.texts = asked()
		pass = append(pass, "OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL", "HTTPS_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")
	}
	for _, name := range pass {
		if v := os.Getenv(name); v != "" {
			d.env = append(d.env, name+"="+v)
		}
	}
	return d
}

// steps are the parts of the show, in order.
func (d *demo) steps() []func() error {
	return []func() error{d.hello, d.queue, d.interrupt, d.crash, d.back, d.resume, d.end}
}

// say prints what comes next.
func (d *demo) say(format string, args ...any) {
	d.number++
	fmt.Printf("\n%d. %s\n\n", d.number, fmt.Sprintf(format, args...))
}

func (d *demo) hello() error {
	d.say("A daemon starts in the folder %s, and an answer streams.", d.home)
	if err := d.startDaemon(); err != nil {
		return err
	}
	if err := d.show("run", "--title", "Demo", d.texts.hello); err != nil {
		return err
	}
	var list protocol.ThreadListResult
	if err := d.ask(&list, "threads", "list"); err != nil {
		return err
	}
	if len(list.Data) != 1 {
		return fmt.Errorf("there are %d threads, not 1", len(list.Data))
	}
	d.thread = list.Data[0].ID
	return nil
}

func (d *demo) queue() error {
	d.say("Another client follows the thread. A second turn is given while the first runs: it waits.")
	if err := d.watch(); err != nil {
		return err
	}
	first, err := d.detach(d.texts.first)
	if err != nil {
		return err
	}
	second, err := d.enqueue(d.texts.second)
	if err != nil {
		return err
	}
	if err := d.show("queue", "list", "last"); err != nil {
		return err
	}
	for _, turn := range []string{first, second} {
		ev, err := d.await("the end of turn "+turn, ended(turn))
		if err != nil {
			return err
		}
		if ev.Turn.Status != protocol.TurnCompleted {
			return fmt.Errorf("turn %s is %s: %+v", turn, ev.Turn.Status, ev.Turn.Error)
		}
		fmt.Printf("    %s says: %s\n", turn, brief(ev.Turn.Text))
	}
	return nil
}

func (d *demo) interrupt() error {
	d.say("A long answer is interrupted. What was said is kept.")
	turn, err := d.detach(d.texts.third)
	if err != nil {
		return err
	}
	if _, err := d.listen(turn, 300*time.Millisecond); err != nil {
		return err
	}
	if err := d.show("interrupt", "last", "--queue", "continue"); err != nil {
		return err
	}
	ev, err := d.await("the end of turn "+turn, ended(turn))
	if err != nil {
		return err
	}
	if ev.Turn.Status == protocol.TurnCompleted {
		return fmt.Errorf("turn %s: %w", turn, errTooFast)
	}
	if ev.Turn.Status != protocol.TurnCancelled || ev.Turn.Text == "" {
		return fmt.Errorf("turn %s is %s with the text %q, not cancelled with some text", turn, ev.Turn.Status, ev.Turn.Text)
	}
	fmt.Printf("    %s, kept: %s\n", ev.Turn.Status, brief(ev.Turn.Text))
	return nil
}

func (d *demo) crash() (err error) {
	d.say("The daemon is killed in the middle of a turn, with another one waiting.")
	if d.lost, err = d.detach(d.texts.lost); err != nil {
		return err
	}
	if d.waited, err = d.enqueue(d.texts.after); err != nil {
		return err
	}
	if d.said, err = d.listen(d.lost, 1200*time.Millisecond); err != nil {
		return err
	}
	fmt.Printf("    so far the watcher got: %s\n", brief(d.said))
	return d.kill()
}

func (d *demo) back() error {
	d.say("It is started again. The history is whole; the turn that was cut short says so.")
	if err := d.startDaemon(); err != nil {
		return err
	}
	if err := d.show("threads", "show", "last"); err != nil {
		return err
	}
	var r protocol.ThreadReadResult
	if err := d.ask(&r, "threads", "show", d.thread); err != nil {
		return err
	}
	if r.Turns == nil || len(*r.Turns) != 6 {
		return fmt.Errorf("the thread has not the 6 turns that were given")
	}
	return d.checkAfterCrash(r.Thread, *r.Turns)
}

// checkAfterCrash holds the thread to what was promised.
func (d *demo) checkAfterCrash(t protocol.Thread, turns []protocol.Turn) error {
	lost, waits := turns[4], turns[5]
	kept := lost.Text
	switch {
	case lost.ID != d.lost || lost.Status != protocol.TurnFailed || lost.Error == nil || lost.Error.Code != protocol.TurnErrRestarted:
		return fmt.Errorf("turn %s is %s (%+v), not failed with %s", lost.ID, lost.Status, lost.Error, protocol.TurnErrRestarted)
	case kept == "":
		return fmt.Errorf("nothing is kept of what turn %s said", lost.ID)
	case !strings.HasPrefix(d.said, kept) && !strings.HasPrefix(kept, d.said):
		return fmt.Errorf("turn %s said %q, and %q is kept", lost.ID, brief(d.said), brief(kept))
	case waits.ID != d.waited || waits.Status != protocol.TurnQueued:
		return fmt.Errorf("turn %s is %s, not queued", waits.ID, waits.Status)
	case !t.Runtime.QueuePaused || t.Runtime.PauseReason != protocol.PauseServerRestarted:
		return fmt.Errorf("the queue is not paused with %s: %+v", protocol.PauseServerRestarted, t.Runtime)
	}
	_, err := d.await("that the turn was cut short", ended(d.lost))
	if err != nil {
		return err
	}
	fmt.Printf("\n    The watcher has connected again and missed nothing: %d events, no hole.\n", d.watcher.seq)
	return nil
}

func (d *demo) resume() error {
	d.say("The queue waits for a word, and goes on.")
	if err := d.show("queue", "resume", "last"); err != nil {
		return err
	}
	ev, err := d.await("the end of turn "+d.waited, ended(d.waited))
	if err != nil {
		return err
	}
	if ev.Turn.Status != protocol.TurnCompleted {
		return fmt.Errorf("turn %s is %s", d.waited, ev.Turn.Status)
	}
	fmt.Printf("    it says: %s\n", brief(ev.Turn.Text))
	return nil
}

func (d *demo) end() error {
	d.say("The daemon is stopped.")
	if err := d.show("stop"); err != nil {
		return err
	}
	return d.ended()
}

// detach runs a text without waiting and returns its turn, which must have started.
func (d *demo) detach(text string) (string, error) {
	return d.give(protocol.DispositionStarted, []string{"run", "-t", d.thread, "--detach", text})
}

// enqueue puts a text into the queue, where it must wait.
func (d *demo) enqueue(text string) (string, error) {
	return d.give(protocol.DispositionQueued, []string{"queue", "add", d.thread, text})
}

func (d *demo) give(want protocol.Disposition, args []string) (string, error) {
	d.prompt(args)
	var r protocol.TurnRunResult
	if err := d.ask(&r, args...); err != nil {
		return "", err
	}
	if r.Disposition != want {
		if want == protocol.DispositionQueued {
			return "", fmt.Errorf("the turn before %s: %w", r.Turn.ID, errTooFast)
		}
		return "", fmt.Errorf("turn %s was %s, not %s", r.Turn.ID, r.Disposition, want)
	}
	fmt.Printf("    %s %s\n", r.Turn.ID, r.Disposition)
	return r.Turn.ID, nil
}

// listen collects what a turn says until some time after its first word.
func (d *demo) listen(turn string, long time.Duration) (string, error) {
	var said strings.Builder
	var since time.Time
	ev, err := d.await("enough of turn "+turn, func(ev event) bool {
		if ev.TurnID == turn && ev.Method == protocol.EventAgentMessageDelta.Name {
			said.WriteString(ev.Delta)
			if since.IsZero() {
				since = time.Now()
			}
		}
		return ended(turn)(ev) || !since.IsZero() && time.Since(since) > long
	})
	if err == nil && ended(turn)(ev) {
		err = fmt.Errorf("turn %s, %s: %w", turn, ev.Turn.Status, errTooFast)
	}
	return said.String(), err
}

// ended fits the last event of a turn.
func ended(turn string) func(event) bool {
	return func(ev event) bool { return ev.TurnID == turn && ev.Turn.Status.Terminal() }
}

// brief is the beginning of a text on one line.
func brief(s string) string {
	r := []rune(strings.Join(strings.Fields(s), " "))
	if len(r) > 60 {
		return string(r[:59]) + "…"
	}
	return string(r)
}
