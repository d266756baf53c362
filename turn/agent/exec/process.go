package exec

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	osexec "os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// Times of a program's end.
const (
	// stopDelay is the time from the line that says stop to SIGTERM.
	stopDelay = 200 * time.Millisecond
	// defaultLingering is the time that what a program left running may still write.
	defaultLingering = time.Second
)

// process is a running program with all that it started.
type process struct {
	cmd    *osexec.Cmd
	stdin  *os.File // to write
	stdout output
	stderr tail
	errors output // standard error
	guard  *guard // leads the group; nil where nothing can, and the program leads it

	exited chan struct{} // closed when the program has ended
	said   chan struct{} // closed at the end of its standard error
	over   chan struct{} // closed when nothing of it is left
	wg     sync.WaitGroup
}

// start starts the program. It ends only with control.
func (a *agent) start(thread string) (*process, error) {
	cmd, err := a.command(thread)
	if err != nil {
		return nil, err
	}
	p := &process{
		cmd: cmd, exited: make(chan struct{}), said: make(chan struct{}), over: make(chan struct{}),
	}
	theirs, err := p.pipes()
	if err != nil {
		p.close()
		closeAll(theirs...)
		return nil, unavailable("the program %s cannot be started: %v", cmd.Path, err)
	}
	p.guard = startGuard() // before the program, which is never without
	p.guard.take(cmd)
	started := make(chan error)
	p.wg.Go(func() { p.own(started) })
	err = <-started
	closeAll(theirs...)
	if err != nil {
		p.guard.release()
		p.wg.Wait()
		p.close()
		return nil, unavailable("the program %s cannot be started: %v", cmd.Path, bare(err))
	}
	p.wg.Go(func() {
		defer close(p.said)
		_, _ = io.Copy(&p.stderr, &p.errors) // it ends when nobody writes, or is cut off
	})
	return p, nil
}

// command returns the program, ready to be started.
func (a *agent) command(thread string) (*osexec.Cmd, error) {
	dir, name := a.dir(), a.options.Command[0]
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return nil, unavailable("the program cannot be started: there is no folder %s", dir)
	}
	if filepath.Base(name) != name && !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	path, err := osexec.LookPath(name)
	if err != nil {
		return nil, unavailable("the program %s cannot be started: %v", name, bare(err))
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, unavailable("the program %s cannot be started: %v", name, err)
	}
	cmd := osexec.Command(path, a.options.Command[1:]...)
	cmd.Args[0] = a.options.Command[0]
	cmd.Dir, cmd.Env = dir, append(slices.Clone(a.env), "SPOOL_THREAD="+thread)
	return cmd, nil
}

// dir returns the folder that the program runs in.
func (a *agent) dir() string {
	if a.options.Dir != "" {
		return a.options.Dir
	}
	for _, e := range slices.Backward(a.env) {
		if home, ok := strings.CutPrefix(e, "HOME="); ok && filepath.IsAbs(home) {
			return home
		}
	}
	return os.TempDir()
}

// bare takes from an error the name of the program, which is said already.
func bare(err error) error {
	if e, ok := errors.AsType[*osexec.Error](err); ok {
		err = e.Err
	}
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err
	}
	return err
}

// pipes connects the program, and returns its ends.
func (p *process) pipes() (theirs []*os.File, err error) {
	pipe := func(program, ours **os.File, input bool) {
		if err != nil {
			return
		}
		var r, w *os.File
		if r, w, err = os.Pipe(); err != nil {
			return
		}
		if !input {
			r, w = w, r
		}
		*program, *ours = r, w
		theirs = append(theirs, r)
	}
	var in, out, errs *os.File
	pipe(&in, &p.stdin, true)
	pipe(&out, &p.stdout.file, false)
	pipe(&errs, &p.errors.file, false)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = in, out, errs
	return theirs, err
}

// own starts the program and waits for its end, on one thread of the system: the program
// is to die with that thread, and so with the daemon.
func (p *process) own(started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	err := p.cmd.Start()
	started <- err
	if err != nil {
		return
	}
	_ = p.cmd.Wait() // what became of it is in ProcessState
	close(p.exited)
}

// control waits for the end of the program, which it brings about when ctx ends, and
// clears up. read is closed when its output is read no more.
func (p *process) control(ctx context.Context, read <-chan struct{}, a *agent) {
	defer close(p.over)
	select {
	case <-p.exited:
		select {
		case <-read:
		case <-time.After(a.lingering):
		case <-ctx.Done():
		}
	case <-ctx.Done():
		p.end(read, a.options)
	}
	p.signal(kill)
	p.guard.release()
	if !ends(a.lingering, read) {
		p.stdout.cut() // somebody who left the group still has it, or we are slow
	}
	<-read
	if !ends(a.lingering, p.said) {
		p.errors.cut()
	}
	<-p.said
	p.close()
	p.wg.Wait()
}

// end makes the program end.
func (p *process) end(read <-chan struct{}, o Options) {
	if !o.Plain && ends(stopDelay, p.exited, read) {
		return
	}
	p.signal(terminate)
	if ends(o.Grace, p.exited, read) {
		return
	}
	p.signal(kill)
	<-p.exited
}

// ends waits until all channels are closed, or the time is over, which is false.
func ends(within time.Duration, all ...<-chan struct{}) bool {
	late := time.After(within)
	for _, c := range all {
		select {
		case <-c:
		case <-late:
			return false
		}
	}
	return true
}

// close closes our ends of the pipes.
func (p *process) close() { closeAll(p.stdin, p.stdout.file, p.errors.file) }

// closeAll closes files, of which some may be nil or closed.
func closeAll(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			_ = f.Close()
		}
	}
}
