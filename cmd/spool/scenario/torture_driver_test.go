package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lane is one daemon that is killed again and again, with the clients that torment it. One
// round of it: start; every client comes back and catches up; all threads are compared with
// all that was ever told and answered; a storm of requests; and the kill.
type lane struct {
	t    testing.TB
	d    *daemon
	seed uint64
	rng  *rand.Rand

	seats   []*seat
	sdks    []*follower
	scribe  *client // reads the threads
	stories map[string]*story
	retired map[string]bool // threads that are not looked at any more
	tokens  counter
	events  counter // of the storm
	repeats counter

	mu      sync.Mutex
	deletes map[string]bool // threads that somebody wants to delete
	why     string          // the round, for failures

	figures figures
}

// figures are what a torture run counted.
type figures struct {
	kills               map[string]int
	missed              int
	acknowledged, told  int
	repeated, threads   int
	ready, recovery     []time.Duration
	events, longestLogs int
}

const laneThreads = 9

// newLane starts a daemon and its clients.
func newLane(t testing.TB, seed uint64, faults string) *lane {
	l := &lane{
		t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 1)),
		stories: map[string]*story{}, retired: map[string]bool{}, deletes: map[string]bool{},
		figures: figures{kills: map[string]int{}},
	}
	l.d = startDaemon(t, config("[limits]\ncheckpoint_interval = \"20ms\"\ncheckpoint_bytes = \"1KiB\"\nmax_queued = 12\ninterrupt_grace = \"500ms\""), fault(faults))
	for i, transport := range []string{"unix", "unix", "ws", "ws", "unix", "stdio"} {
		l.seats = append(l.seats, &seat{l: l, n: i, transport: transport, has: map[string]uint64{}, glances: map[string]*glance{}})
	}
	for i := range 2 {
		l.sdks = append(l.sdks, newFollower(l, i))
	}
	return l
}

// deleting notes that a thread may be gone from now on.
func (l *lane) deleting(thread string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deletes[thread] = true
}

func (l *lane) mayBeGone(thread string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deletes[thread]
}

// run makes n kills.
func (l *lane) run(n int) {
	defer l.close()
	l.check()
	for i := 0; i < n && !l.t.Failed(); {
		plan := l.plan(i)
		l.why = fmt.Sprintf("round %d, %s", i, plan.name)
		l.storm(plan)
		i++
		if plan.recovery != "" && i < n {
			l.dieInRecovery(plan)
			i++
		}
		faults := l.d.fault // the last one is not to die, and has no goroutine that waits for that
		if i < n {
			faults = l.armed(l.plan(i))
		}
		l.launch(faults)
		l.check()
	}
}

// close ends all clients, also where the test was ended by a failure.
func (l *lane) close() {
	if l.t.Failed() {
		l.t.Logf("seed %d, %s", l.seed, l.why)
	}
	if !l.t.Failed() {
		for id := range l.stories {
			_, _ = l.scribe.Do("thread/delete", p{"threadId": id, "ifBusy": "interrupt"})
		}
	}
	for _, f := range l.sdks {
		f.close()
	}
	for _, c := range l.d.clients {
		c.Close()
	}
	l.d.clients = nil
	l.figures.repeated += int(l.repeats.Load())
	l.figures.events += int(l.events.Load())
}

// plan is how the process dies at the end of a round.
type plan struct {
	name     string
	point    string // of the way of a commit; "": by a signal
	kind     string // of the commit
	nth      int
	after    time.Duration // the signal comes after this time …
	events   int64         // … or after so many requests
	recovery string        // and again on the way up, at this point
}

// commitPoints and commitKinds are those of SPOOL_FAULT; a kind comes with what clients
// must do for it.
var (
	commitPoints = []string{"queued", "begin", "put", "pages", "written", "committed", "told", "published"}
	commitKinds  = [][2]string{
		{"turn/started", ""},
		{"turn/completed+turn/started", "resume"},
		{"turn/queued", ""},
		{"item/completed", ""},
		{"item/approval/requested", ""},
		{"item/approval/resolved", "approve"},
		{"create", "start"},
		{"delete", "delete"},
		{"checkpoint", ""},
		{"thread/rolledBack", "rollback"},
		{"erase", "reset"},
		{"key", ""},
		{"thread/items/changed", "append"},
		{"turn/completed", "release"},
		{"turn/failed", ""},
		{"turn/cancelled", "interrupt"},
		{"item/question/requested", ""},
		{"item/question/resolved", "answer"},
		{"thread/queue/updated", "reorder"},
		{"thread/updated", "rename"},
		{"item/started", ""},
		{"nth", ""},
	}
)

// plan draws the end of a round. Every second one is at a named point; those go through
// all pairs of point and kind, from a place that the seed gives.
func (l *lane) plan(i int) plan {
	r := rand.New(rand.NewPCG(l.seed, uint64(i)+1000))
	var pl plan
	switch pick := r.IntN(8); {
	case i%2 == 1:
		n := int(l.seed%1009) + i/2
		kind := commitKinds[(n/len(commitPoints)+n)%len(commitKinds)]
		pl = plan{point: commitPoints[n%len(commitPoints)], kind: kind[0], nth: 1 + r.IntN(4)}
		if kind[1] == "delete" || kind[1] == "reset" || kind[1] == "rollback" {
			pl.nth = 1
		}
		pl.name = pl.point + " " + pl.kind
	case pick < 4:
		pl = plan{name: "timer", after: time.Duration(r.IntN(150)) * time.Millisecond}
	default:
		pl = plan{name: "events", events: 1 + r.Int64N(150)}
	}
	if r.IntN(6) == 0 {
		pl.recovery = fmt.Sprintf("kill-at:%s:nth:%d", commitPoints[r.IntN(len(commitPoints))], 1+r.IntN(4))
	}
	return pl
}

func (pl plan) boost() string {
	for _, k := range commitKinds {
		if k[0] == pl.kind {
			return k[1]
		}
	}
	return ""
}

// armed returns the SPOOL_FAULT that lets a process die as planned.
func (l *lane) armed(pl plan) string {
	if pl.point == "" {
		return l.d.fault
	}
	f := fmt.Sprintf("await-signal,kill-at:%s:%s:%d", pl.point, pl.kind, pl.nth)
	if l.d.fault != "" {
		f = l.d.fault + "," + f
	}
	return f
}

// launch starts the daemon again and waits until it is ready; false: it died before.
func (l *lane) launch(faults string) bool {
	l.t.Helper()
	ready, told, err := os.Pipe()
	if err != nil {
		l.t.Fatal(err)
	}
	defer ready.Close()
	d := l.d
	cmd := exec.Command(binary, "serve", "--ready-fd", "3", "--listen", "ws://127.0.0.1:0")
	cmd.Env = slices.Clip(d.env)
	if faults != "" {
		cmd.Env = append(cmd.Env, "SPOOL_FAULT="+faults)
	}
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = d.stderr, d.stderr, []*os.File{told}
	start := time.Now()
	err = cmd.Start()
	told.Close()
	if err != nil {
		l.t.Fatal(err)
	}
	exited := make(chan struct{})
	d.cmd, d.exited = cmd, exited
	go func() {
		defer close(exited)
		_ = cmd.Wait()
	}()
	_ = ready.SetReadDeadline(time.Now().Add(patience))
	said, err := io.ReadAll(ready)
	switch {
	case string(said) == "ready\n":
		l.figures.ready = append(l.figures.ready, time.Since(start))
		return true
	case len(said) == 0 && err == nil && strings.Contains(faults, "kill-at") && !strings.Contains(faults, "await-signal"):
		<-exited
		return false
	}
	l.t.Fatalf("%s: the daemon is not ready: %q %v\n%s", l.why, said, err, d.stderr)
	return false
}

// dieInRecovery starts a process that dies while it brings its threads in order, or right
// after that.
func (l *lane) dieInRecovery(pl plan) {
	if l.launch(pl.recovery) {
		l.killNow()
		l.figures.kills["when ready"]++
		return
	}
	l.figures.kills["in recovery"]++
}

func (l *lane) killNow() {
	l.t.Helper()
	if err := l.d.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		l.t.Fatal(err)
	}
	l.d.awaitExit()
}

// storm lets all clients make requests until the daemon is dead.
func (l *lane) storm(pl plan) {
	l.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	threads := slices.Sorted(maps.Keys(l.stories))
	from, boost := l.events.Load(), pl.boost()
	var work sync.WaitGroup
	for _, s := range l.seats {
		s.rng = rand.New(rand.NewPCG(l.seed, uint64(s.n)<<32|l.rng.Uint64()>>32))
		work.Go(func() { s.work(ctx, threads, boost) })
	}
	for _, f := range l.sdks {
		f.storm(ctx, threads)
	}
	if pl.point != "" {
		_ = l.d.cmd.Process.Signal(syscall.SIGUSR2)
	}
	if died := l.await(pl, from); !died {
		if pl.point != "" {
			l.figures.missed++
			pl.name = "timer"
		}
		l.killNow()
	}
	l.figures.kills[strings.Fields(pl.name)[0]]++
	cancel()
	work.Wait()
	l.d.awaitExit()
	l.d.awaitClients()
}

// await waits for the moment of the kill; true: the process is dead already.
func (l *lane) await(pl plan, from int64) bool {
	limit := 1200 * time.Millisecond
	if pl.point == "" && pl.events == 0 {
		limit = pl.after
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-l.d.exited:
			if pl.point == "" {
				l.t.Errorf("%s: the daemon died by itself:\n%s", l.why, l.d.stderr)
			}
			return true
		case <-timer.C:
			return false
		case <-tick.C:
			if pl.events > 0 && l.events.Load()-from >= pl.events {
				return false
			}
		}
	}
}

// check brings all clients back and compares everything.
func (l *lane) check() {
	l.t.Helper()
	start := time.Now()
	l.collect()
	l.d.clients = nil
	l.scribe = l.d.Dial("unix", named("scribe"))
	for _, url := range l.scribe.Call("server/info", nil).Strs("listeners") {
		if strings.HasPrefix(url, "ws://") {
			l.d.wsURL = url
		}
	}
	for _, f := range l.sdks {
		f.settle()
	}
	l.lookAtAll()
	l.verifyTranscripts()
	l.prove()
	l.comeBack()
	l.figures.recovery = append(l.figures.recovery, time.Since(start))
	l.turnOver()
	for _, f := range l.sdks {
		f.verify()
	}
}

// collect hears of threads in what the clients were told.
func (l *lane) collect() {
	for _, id := range threadsOf(l.d.clients) {
		if l.stories[id] == nil && !l.retired[id] {
			l.stories[id] = newStory(l.t, id)
			l.figures.threads++
		}
	}
}

// lookAtAll looks at every thread until it is at rest.
func (l *lane) lookAtAll() {
	l.t.Helper()
	for _, id := range slices.Sorted(maps.Keys(l.stories)) {
		s := l.stories[id]
		before := s.model.seq
		until := time.Now().Add(patience)
		for !s.look(l.scribe) {
			if time.Now().After(until) {
				l.t.Fatalf("%s: thread %s does not come to rest:\n%s\n%s", l.why, id, s.book.read, s.book.queue)
			}
		}
		if s.deleted && !l.mayBeGone(id) {
			l.t.Errorf("I2: %s: thread %s, which a client was told of, is not there, and nobody deleted it", l.why, id)
		}
		l.figures.told += int(s.model.seq - before)
	}
}

// verifyTranscripts checks what was told on the connections that ended.
func (l *lane) verifyTranscripts() {
	l.t.Helper()
	books := l.books()
	for _, s := range l.seats {
		if s.c == nil {
			continue
		}
		st := newStreams(l.t, s.c, books)
		st.check()
		l.figures.longestLogs = max(l.figures.longestLogs, len(s.c.messages()))
		for id, one := range st.threads {
			if one.next > 0 {
				s.has[id] = one.next - 1
			}
			if story := l.stories[id]; story != nil {
				story.holds(one)
			}
		}
		for _, m := range s.c.messages() {
			if m.Seq > 0 && !m.out {
				l.figures.told++
			}
			l.claim(m)
		}
		s.c.Close()
	}
}

func (l *lane) books() map[string]*book {
	books := map[string]*book{}
	for id, s := range l.stories {
		books[id] = s.book
	}
	return books
}

// claim notes an answer that a client got, to be proved.
func (l *lane) claim(m *message) {
	if m.to == nil || m.err != nil {
		return
	}
	id := parse(m.to.params).Str("threadId")
	if id == "" {
		id = m.Body().Str("thread.id")
	}
	if asked := m.Body().Str("item.turnId"); id == "" && asked != "" { // of approval/respond
		for _, s := range l.stories {
			if s.known[asked] {
				id = s.id
			}
		}
	}
	s := l.stories[id]
	if s != nil && s.wasReset && m.Body().Bool("replayed") {
		return // it may be an answer from before the reset
	}
	if s != nil && !strings.HasSuffix(m.to.method, "/read") && !strings.HasPrefix(m.to.method, "thread/subscribe") {
		s.owed = append(s.owed, m)
	}
}

// prove looks for what the answers promised. Of a thread that was reset or deleted meanwhile
// nobody can say.
func (l *lane) prove() {
	l.t.Helper()
	for id, s := range l.stories {
		if s.deleted {
			s.owed = slices.DeleteFunc(s.owed, func(m *message) bool { return m.to.method != "thread/delete" })
		} else if s.resets > 0 {
			s.owed, s.resets, s.wasReset = nil, 0, true
			l.forgetKept(id)
			continue
		}
		l.figures.acknowledged += s.settle()
		for _, f := range l.sdks {
			l.figures.acknowledged += f.prove(s)
		}
	}
	for _, s := range l.seats {
		for _, r := range s.unsure {
			if story := l.stories[parse([]byte(of(r.params).String())).Str("threadId")]; story != nil && !story.deleted && r.tok != "" {
				r.kept = nil
				kept := len(story.births[r.tok]) > 0
				if kept || r.method == "turn/enqueue" {
					r.kept = &kept
				}
			}
		}
	}
}

// forgetKept: what came before a reset is gone, so it is not known what was kept.
func (l *lane) forgetKept(id string) {
	for _, s := range l.seats {
		s.unsure = slices.DeleteFunc(s.unsure, func(r *request) bool { return r.params["threadId"] == id })
	}
	for _, f := range l.sdks {
		f.forget(id)
	}
}

// comeBack connects all clients again, which catch up from what they have.
func (l *lane) comeBack() {
	l.t.Helper()
	books := l.books()
	for _, s := range l.seats {
		s.c = l.d.Dial(s.transport, able("approvals", "questions"), named(fmt.Sprintf("seat%d", s.n)))
		s.checked, s.scanned = 0, 0
		s.follows = map[string]bool{}
		for _, id := range slices.Sorted(maps.Keys(l.stories)) {
			after, follows := s.has[id]
			if l.stories[id].deleted || !follows && l.rng.IntN(2) == 0 {
				continue
			}
			s.c.Call("thread/subscribe", p{"threadId": id, "afterSeq": after})
			s.follows[id] = true
		}
	}
	for _, b := range books {
		b.moves = true // a turn that runs again goes on; what it says is proved after the next kill
	}
	for _, s := range l.seats {
		for _, story := range l.stories {
			s.caughtUp(story)
		}
		newStreams(l.t, s.c, books).check()
	}
	for _, b := range books {
		b.moves = false
	}
}

// caughtUp waits until the seat has all events of a thread that it follows.
func (s *seat) caughtUp(story *story) {
	s.l.t.Helper()
	head := story.model.seq
	if !s.follows[story.id] || s.has[story.id] >= head {
		return
	}
	if _, err := s.c.find(0, func(m *message) bool { return !m.out && m.ThreadID == story.id && m.Seq >= head }); err != nil {
		s.l.t.Fatalf("I3: %s does not get seq %d of %s: %v", s.c.name, head, story.id, err)
	}
}

// turnOver retires old threads, after a deep look, and makes new ones.
func (l *lane) turnOver() {
	l.t.Helper()
	for _, id := range slices.Sorted(maps.Keys(l.stories)) {
		s := l.stories[id]
		if !s.deleted && s.model.seq < 350 && s.age < 12+l.rng.IntN(8) {
			continue
		}
		if !s.deleted {
			s.deep(l.d)
			l.deleting(id)
			l.scribe.Call("thread/delete", p{"threadId": id, "ifBusy": "interrupt"})
		}
		delete(l.stories, id)
		l.retired[id] = true
		for _, seat := range l.seats {
			delete(seat.has, id)
			delete(seat.glances, id)
			seat.forget(id)
		}
		for _, f := range l.sdks {
			f.drop(id)
		}
	}
	for len(l.stories) < laneThreads {
		params := p{"queuePolicy": p{"onFailed": []string{"pause", "continue"}[l.rng.IntN(2)], "onCancelled": []string{"pause", "continue", "clear"}[l.rng.IntN(3)]}}
		s := newStory(l.t, l.scribe.StartThread(params))
		l.stories[s.id] = s
		l.figures.threads++
		for !s.look(l.scribe) {
		}
		for _, f := range l.sdks {
			f.follow(s.id)
		}
	}
}

func (s *seat) forget(id string) {
	of := func(r *request) bool { return r.params["threadId"] == id }
	s.unsure, s.sure = slices.DeleteFunc(s.unsure, of), slices.DeleteFunc(s.sure, of)
}
