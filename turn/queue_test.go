package turn

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/spoolhq/spool/protocol"
)

const roomy = 1000

// busyQueue is a queue whose turn "run" runs while the others wait.
func busyQueue(waiting ...string) Queue {
	return Queue{Running: "run", Waiting: waiting, Revision: uint64(len(waiting))}
}

func pausedQueue(waiting ...string) Queue {
	q := busyQueue(waiting...)
	q.Pause(protocol.PauseUser)
	return q
}

func TestAccept(t *testing.T) {
	tests := []struct {
		name    string
		queue   Queue
		busy    protocol.IfBusy
		max     int
		want    protocol.Disposition
		wantErr error
		after   Queue
	}{
		{
			name: "idle starts at once", busy: protocol.BusyReject, max: roomy,
			want: protocol.DispositionStarted, after: Queue{Running: "new"},
		},
		{
			name: "enqueue on an idle thread starts at once", busy: protocol.BusyEnqueue, max: roomy,
			want: protocol.DispositionStarted, after: Queue{Running: "new"},
		},
		{
			name: "idle and paused starts at once and stays paused", busy: protocol.BusyEnqueue, max: roomy,
			queue: Queue{Waiting: []string{"a"}, Paused: true, Reason: protocol.PauseUser, Revision: 2},
			want:  protocol.DispositionStarted,
			after: Queue{Running: "new", Waiting: []string{"a"}, Paused: true, Reason: protocol.PauseUser, Revision: 2},
		},
		{
			name: "a full queue does not matter to an idle thread", busy: protocol.BusyReject, max: 0,
			want: protocol.DispositionStarted, after: Queue{Running: "new"},
		},
		{
			name: "reject", queue: busyQueue("a"), busy: protocol.BusyReject, max: roomy,
			wantErr: ErrBusy, after: busyQueue("a"),
		},
		{
			name: "no choice is reject", queue: busyQueue(), max: roomy,
			wantErr: ErrBusy, after: busyQueue(),
		},
		{
			name: "enqueue goes to the end", queue: busyQueue("a", "b"), busy: protocol.BusyEnqueue, max: roomy,
			want:  protocol.DispositionQueued,
			after: Queue{Running: "run", Waiting: []string{"a", "b", "new"}, Revision: 3},
		},
		{
			name: "enqueue behind parked turns", queue: pausedQueue("a"), busy: protocol.BusyEnqueue, max: roomy,
			want: protocol.DispositionQueued,
			after: Queue{
				Running: "run", Waiting: []string{"a", "new"}, Paused: true, Reason: protocol.PauseUser, Revision: 3,
			},
		},
		{
			name: "full", queue: busyQueue("a", "b"), busy: protocol.BusyEnqueue, max: 2,
			wantErr: ErrFull, after: busyQueue("a", "b"),
		},
		{
			name: "full for an interrupt too", queue: busyQueue("a", "b"), busy: protocol.BusyInterrupt, max: 2,
			wantErr: ErrFull, after: busyQueue("a", "b"),
		},
		{
			name: "steer changes nothing", queue: busyQueue("a"), busy: protocol.BusySteer, max: 1,
			want: protocol.DispositionSteered, after: busyQueue("a"),
		},
		{
			name: "interrupt goes before the queue", queue: busyQueue("a"), busy: protocol.BusyInterrupt, max: roomy,
			want:  protocol.DispositionQueued,
			after: Queue{Running: "run", Waiting: []string{"new", "a"}, First: 1, Revision: 2},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := tt.queue
			got, err := q.Accept("new", tt.busy, tt.max)
			if got != tt.want || !errors.Is(err, tt.wantErr) {
				t.Errorf("Accept = %q, %v; want %q, %v", got, err, tt.want, tt.wantErr)
			}
			if diff := cmp.Diff(tt.after, q); diff != "" {
				t.Errorf("queue after (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFinish(t *testing.T) {
	end := func(s protocol.TurnStatus, r protocol.CancelReason, q protocol.InterruptQueue) End {
		return End{Status: s, Reason: r, Queue: q}
	}
	completed := end(protocol.TurnCompleted, "", "")
	failed := end(protocol.TurnFailed, "", "")
	stopped := end(protocol.TurnCancelled, protocol.CancelUser, protocol.InterruptKeep)
	policy := func(p protocol.QueueReaction) protocol.QueuePolicy {
		return protocol.QueuePolicy{OnFailed: p, OnCancelled: p}
	}
	waiting := []string{"a", "b"}
	tests := []struct {
		name   string
		end    End
		policy protocol.QueuePolicy
		want   After
		reason protocol.PauseReason
		next   string
	}{
		{name: "completed goes on", end: completed, next: "a"},
		{name: "failed pauses by default", end: failed, want: After{Paused: true}, reason: protocol.PauseTurnFailed},
		{name: "failed pauses", end: failed, policy: policy(protocol.QueuePause), want: After{Paused: true}, reason: protocol.PauseTurnFailed},
		{name: "failed continues", end: failed, policy: policy(protocol.QueueContinue), next: "a"},
		{name: "failed clears", end: failed, policy: policy(protocol.QueueClear), want: After{Cleared: waiting}},
		{name: "cancelled pauses by default", end: stopped, want: After{Paused: true}, reason: protocol.PauseTurnCancelled},
		{name: "cancelled continues", end: stopped, policy: policy(protocol.QueueContinue), next: "a"},
		{name: "cancelled clears", end: stopped, policy: policy(protocol.QueueClear), want: After{Cleared: waiting}},
		{
			name: "the interrupt says continue", next: "a",
			end: end(protocol.TurnCancelled, protocol.CancelUser, protocol.InterruptContinue), policy: policy(protocol.QueuePause),
		},
		{
			name: "the interrupt says clear", want: After{Cleared: waiting},
			end: end(protocol.TurnCancelled, protocol.CancelUser, protocol.InterruptClear), policy: policy(protocol.QueueContinue),
		},
		{
			name: "the interrupt says clear but the turn was done", want: After{Cleared: waiting},
			end: end(protocol.TurnCompleted, "", protocol.InterruptClear),
		},
		{
			name: "the client is gone", want: After{Paused: true}, reason: protocol.PauseTurnCancelled,
			end: end(protocol.TurnCancelled, protocol.CancelClientDisconnected, ""),
		},
		{name: "replaced", end: end(protocol.TurnCancelled, protocol.CancelReplaced, ""), next: "a"},
		{name: "shutdown", end: end(protocol.TurnCancelled, protocol.CancelShutdown, ""), next: "a"},
		{name: "the thread ended", end: end(protocol.TurnCancelled, protocol.CancelThreadEnded, ""), next: "a"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			q := busyQueue("a", "b")
			got := q.Finish(tt.end, tt.policy)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("After (-want +got):\n%s", diff)
			}
			if q.Paused != tt.want.Paused || q.Reason != tt.reason {
				t.Errorf("paused = %v %q; want %v %q", q.Paused, q.Reason, tt.want.Paused, tt.reason)
			}
			if next := q.Next(); next != tt.next || q.Running != tt.next {
				t.Errorf("Next = %q, running %q; want %q", next, q.Running, tt.next)
			}
		})
	}
}

func TestFinishWithNothingWaiting(t *testing.T) {
	q := busyQueue()
	if got := q.Finish(End{Status: protocol.TurnFailed}, protocol.QueuePolicy{}); got.Paused || q.Paused || q.Revision != 0 {
		t.Errorf("an empty queue was paused: %+v", q)
	}
}

func TestFinishOfPausedQueueKeepsTheReason(t *testing.T) {
	q := pausedQueue("a")
	before := q
	if got := q.Finish(End{Status: protocol.TurnFailed}, protocol.QueuePolicy{}); got.Paused {
		t.Error("a paused queue was paused again")
	}
	if q.Reason != protocol.PauseUser || q.Revision != before.Revision {
		t.Errorf("reason %q, revision %d; want user, %d", q.Reason, q.Revision, before.Revision)
	}
}

// S07: ten failures in a row pause the queue whatever the policy says.
func TestTenFailures(t *testing.T) {
	goOn := protocol.QueuePolicy{OnFailed: protocol.QueueContinue}
	fill := func() Queue {
		q := Queue{Running: "t0"}
		for i := range 3 * MaxFailures {
			q.insert(i, "t"+strconv.Itoa(i+1))
		}
		return q
	}
	q := fill()
	for i := range MaxFailures - 1 {
		if got := q.Finish(End{Status: protocol.TurnFailed}, goOn); got.Paused || q.Next() == "" {
			t.Fatalf("the queue stopped after %d failures", i+1)
		}
	}
	if got := q.Finish(End{Status: protocol.TurnFailed}, goOn); !got.Paused || q.Reason != protocol.PauseRepeatedFailure {
		t.Fatalf("after %d failures: %+v, reason %q", MaxFailures, got, q.Reason)
	}
	if id := q.Next(); id != "" {
		t.Fatalf("%s starts from a paused queue", id)
	}
	if !q.Resume() || q.Failures != 0 || q.Next() == "" {
		t.Fatalf("the queue does not go on after resume: %+v", q)
	}

	q = fill()
	for i := range 2*MaxFailures - 2 {
		status := protocol.TurnFailed
		if i == MaxFailures-2 {
			status = protocol.TurnCompleted
		}
		if q.Finish(End{Status: status}, goOn); q.Next() == "" {
			t.Fatal("a success in between did not reset the count")
		}
	}

	q = busyQueue("a")
	q.Failures = MaxFailures - 1
	if got := q.Finish(End{Status: protocol.TurnFailed}, protocol.QueuePolicy{OnFailed: protocol.QueueClear}); !got.Paused {
		t.Errorf("the tenth failure cleared the queue: %+v", got)
	}
}

// A cancelled turn is no success and no failure.
func TestCancelledTurnsDoNotCountAsFailures(t *testing.T) {
	q := busyQueue("a")
	q.Failures = 5
	q.Finish(End{Status: protocol.TurnCancelled, Reason: protocol.CancelUser}, protocol.QueuePolicy{})
	if q.Failures != 5 {
		t.Errorf("failures = %d; want 5", q.Failures)
	}
}

func TestTurnsThatMustRunNext(t *testing.T) {
	replace := func(q *Queue, id string) {
		t.Helper()
		if d, err := q.Accept(id, protocol.BusyInterrupt, roomy); d != protocol.DispositionQueued || err != nil {
			t.Fatalf("Accept = %q, %v", d, err)
		}
	}
	t.Run("start from a paused queue, and the rest stays parked", func(t *testing.T) {
		q := pausedQueue("a")
		replace(&q, "new")
		q.Finish(End{Status: protocol.TurnCancelled, Reason: protocol.CancelReplaced}, protocol.QueuePolicy{})
		if id := q.Next(); id != "new" || q.First != 0 || !q.Paused {
			t.Fatalf("Next = %q, %+v", id, q)
		}
		q.Finish(End{Status: protocol.TurnCompleted}, protocol.QueuePolicy{})
		if id := q.Next(); id != "" {
			t.Fatalf("%s starts from a paused queue", id)
		}
	})
	t.Run("outlive a policy that clears", func(t *testing.T) {
		q := busyQueue("a")
		replace(&q, "new")
		got := q.Finish(End{Status: protocol.TurnFailed}, protocol.QueuePolicy{OnFailed: protocol.QueueClear})
		if diff := cmp.Diff(After{Cleared: []string{"a"}}, got); diff != "" {
			t.Error(diff)
		}
		if id := q.Next(); id != "new" {
			t.Errorf("Next = %q; want new", id)
		}
	})
	t.Run("are cleared by an interrupt that clears", func(t *testing.T) {
		q := busyQueue("a")
		replace(&q, "new")
		got := q.Finish(End{
			Status: protocol.TurnCancelled, Reason: protocol.CancelReplaced, Queue: protocol.InterruptClear,
		}, protocol.QueuePolicy{})
		if diff := cmp.Diff(After{Cleared: []string{"new", "a"}}, got); diff != "" || q.First != 0 {
			t.Error(diff, q)
		}
	})
	t.Run("the latest first", func(t *testing.T) {
		q := pausedQueue("a")
		replace(&q, "one")
		replace(&q, "two")
		if diff := cmp.Diff([]string{"two", "one", "a"}, q.Waiting); diff != "" || q.First != 2 {
			t.Error(diff, q.First)
		}
	})
	t.Run("may be removed", func(t *testing.T) {
		q := pausedQueue("a")
		replace(&q, "new")
		if err := q.Remove("new"); err != nil || q.First != 0 {
			t.Fatal(err, q.First)
		}
		q.Finish(End{Status: protocol.TurnCancelled, Reason: protocol.CancelReplaced}, protocol.QueuePolicy{})
		if id := q.Next(); id != "" {
			t.Errorf("%s starts from a paused queue", id)
		}
	})
	t.Run("a late steer waits behind them", func(t *testing.T) {
		q := busyQueue("a")
		replace(&q, "new")
		if d := q.PushFirst("late"); d != protocol.DispositionQueued {
			t.Fatal(d)
		}
		if diff := cmp.Diff([]string{"new", "late", "a"}, q.Waiting); diff != "" || q.First != 1 {
			t.Error(diff, q.First)
		}
	})
}

func TestPushFirst(t *testing.T) {
	q := Queue{Paused: true, Reason: protocol.PauseUser}
	if d := q.PushFirst("late"); d != protocol.DispositionStarted || q.Running != "late" || q.Revision != 0 {
		t.Errorf("on an idle thread: %q, %+v", d, q)
	}
	if d := q.PushFirst("later"); d != protocol.DispositionQueued || q.Position("later") != 1 || q.First != 0 {
		t.Errorf("on a busy thread: %q, %+v", d, q)
	}
}

func TestEdit(t *testing.T) {
	q := busyQueue("a", "b", "c")
	steps := []struct {
		name string
		do   func() error
		want error
		list []string
	}{
		{"remove", func() error { return q.Remove("b") }, nil, []string{"a", "c"}},
		{"remove what is gone", func() error { return q.Remove("b") }, ErrNotInQueue, []string{"a", "c"}},
		{"remove what runs", func() error { return q.Remove("run") }, ErrNotInQueue, []string{"a", "c"}},
		{"edit", func() error { return q.Edited("c") }, nil, []string{"a", "c"}},
		{"edit what is gone", func() error { return q.Edited("b") }, ErrNotInQueue, []string{"a", "c"}},
		{"reorder", func() error { return q.Reorder([]string{"c", "a"}) }, nil, []string{"c", "a"}},
		{"reorder with one missing", func() error { return q.Reorder([]string{"c"}) }, ErrOrder, []string{"c", "a"}},
		{"reorder with one twice", func() error { return q.Reorder([]string{"c", "c"}) }, ErrOrder, []string{"c", "a"}},
		{"reorder with a stranger", func() error { return q.Reorder([]string{"c", "x"}) }, ErrOrder, []string{"c", "a"}},
	}
	for _, s := range steps {
		want := q.Revision
		if s.want == nil {
			want++
		}
		if err := s.do(); !errors.Is(err, s.want) {
			t.Errorf("%s: %v; want %v", s.name, err, s.want)
		}
		if q.Revision != want {
			t.Errorf("%s: revision %d; want %d", s.name, q.Revision, want)
		}
		if diff := cmp.Diff(s.list, q.Waiting); diff != "" {
			t.Errorf("%s: %s", s.name, diff)
		}
	}
	if q.Position("c") != 1 || q.Position("a") != 2 || q.Position("run") != 0 {
		t.Error("positions are wrong")
	}
}

func TestReorderTakesTheOrderAsItIs(t *testing.T) {
	q := pausedQueue("a")
	if _, err := q.Accept("new", protocol.BusyInterrupt, roomy); err != nil {
		t.Fatal(err)
	}
	if err := q.Reorder([]string{"a", "new"}); err != nil || q.First != 0 {
		t.Fatal(err, q.First)
	}
}

func TestPauseAndResume(t *testing.T) {
	q := busyQueue("a")
	if !q.Pause(protocol.PauseUser) || q.Pause(protocol.PauseUser) {
		t.Error("the first pause is a change, the second is not")
	}
	if !q.Pause(protocol.PauseServerRestarted) || q.Reason != protocol.PauseServerRestarted {
		t.Error("another reason is a change")
	}
	if !q.Resume() || q.Resume() || q.Reason != "" {
		t.Error("the first resume is a change, the second is not")
	}
	want := &protocol.QueueState{Revision: 4, Length: 1}
	if diff := cmp.Diff(want, q.State()); diff != "" {
		t.Error(diff)
	}
}

func TestQueueSurvivesStorage(t *testing.T) {
	q := pausedQueue("a", "b")
	if _, err := q.Accept("new", protocol.BusyInterrupt, roomy); err != nil {
		t.Fatal(err)
	}
	q.Failures = 3
	b, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	var back Queue
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(q, back); diff != "" {
		t.Error(diff)
	}
}

// modelTurn is a waiting turn of the model.
type modelTurn struct {
	id    string
	first bool
}

// queueModel is the queue said in the plainest way, with the events that clients get.
type queueModel struct {
	queue    Queue
	running  string
	waiting  []modelTurn
	paused   bool
	revision uint64
	failures int
	count    int

	accepted int             // turns that got an id and must end somewhere
	ended    map[string]bool // each at most once
}

func (m *queueModel) newID() string {
	m.count++
	return "t" + strconv.Itoa(m.count)
}

func (m *queueModel) end(t *rapid.T, id string) {
	if m.ended[id] {
		t.Fatalf("%s ended twice", id)
	}
	m.ended[id] = true
}

func (m *queueModel) ids() []string {
	ids := []string{}
	for _, w := range m.waiting {
		ids = append(ids, w.id)
	}
	return ids
}

func (m *queueModel) accept(t *rapid.T, busy protocol.IfBusy) {
	const most = 6
	id := m.newID()
	got, err := m.queue.Accept(id, busy, most)
	full := len(m.waiting) >= most
	switch {
	case m.running == "":
		m.running = id
		m.expect(t, got, err, protocol.DispositionStarted, nil)
	case busy == protocol.BusySteer:
		m.expect(t, got, err, protocol.DispositionSteered, nil)
		return
	case busy == protocol.BusyReject:
		m.expect(t, got, err, "", ErrBusy)
		return
	case full:
		m.expect(t, got, err, "", ErrFull)
		return
	case busy == protocol.BusyEnqueue:
		m.waiting = append(m.waiting, modelTurn{id: id})
		m.revision++
		m.expect(t, got, err, protocol.DispositionQueued, nil)
	default:
		m.waiting = append([]modelTurn{{id, true}}, m.waiting...)
		m.revision++
		m.expect(t, got, err, protocol.DispositionQueued, nil)
	}
	m.accepted++
}

func (m *queueModel) expect(t *rapid.T, got protocol.Disposition, err error, want protocol.Disposition, wantErr error) {
	if got != want || !errors.Is(err, wantErr) {
		t.Fatalf("%q, %v; want %q, %v", got, err, want, wantErr)
	}
}

func (m *queueModel) finish(t *rapid.T, end End, policy protocol.QueuePolicy) {
	if m.running == "" {
		return
	}
	m.end(t, m.running)
	m.running = ""
	after := m.queue.Finish(end, policy)

	reaction := protocol.QueueContinue
	forced := false
	switch end.Status {
	case protocol.TurnCompleted:
		m.failures = 0
	case protocol.TurnFailed:
		m.failures++
		reaction = policy.OnFailed
		forced = m.failures >= MaxFailures
	case protocol.TurnCancelled:
		if end.Reason == protocol.CancelUser || end.Reason == protocol.CancelClientDisconnected {
			reaction = policy.OnCancelled
		}
	default:
	}
	switch end.Queue {
	case protocol.InterruptContinue:
		reaction = protocol.QueueContinue
	case protocol.InterruptClear:
		reaction = protocol.QueueClear
	default:
	}
	if forced && end.Queue != protocol.InterruptClear {
		reaction = protocol.QueuePause
	}

	var want After
	switch {
	case len(m.waiting) == 0:
	case reaction == protocol.QueueClear:
		var keep []modelTurn
		for _, w := range m.waiting {
			if w.first && end.Queue != protocol.InterruptClear {
				keep = append(keep, w)
				continue
			}
			want.Cleared = append(want.Cleared, w.id)
			m.end(t, w.id)
		}
		if len(want.Cleared) > 0 {
			m.revision++
		}
		m.waiting = keep
	case reaction == protocol.QueuePause && !m.paused:
		want.Paused, m.paused = true, true
		m.revision++
	}
	if diff := cmp.Diff(want, after); diff != "" {
		t.Fatalf("After (-want +got):\n%s", diff)
	}
}

// next starts what may start, as the caller does after every change.
func (m *queueModel) next(t *rapid.T) {
	want := ""
	if m.running == "" && len(m.waiting) > 0 && (!m.paused || m.waiting[0].first) {
		want = m.waiting[0].id
		m.waiting = m.waiting[1:]
		m.running = want
		m.revision++
	}
	if got := m.queue.Next(); got != want {
		t.Fatalf("Next = %q; want %q", got, want)
	}
}

// check compares the queue with the model, and asserts what must always hold.
func (m *queueModel) check(t *rapid.T) {
	q := &m.queue
	if q.Running != m.running || q.Paused != m.paused || q.Revision != m.revision || q.Failures != m.failures {
		t.Fatalf("queue %+v; model running %q paused %v revision %d failures %d",
			*q, m.running, m.paused, m.revision, m.failures)
	}
	if !slices.Equal(q.Waiting, m.ids()) {
		t.Fatalf("waiting %v; want %v", q.Waiting, m.ids())
	}
	for i, w := range m.waiting {
		if w.first != (i < q.First) {
			t.Fatalf("first %d, but turn %d of %v", q.First, i, m.waiting)
		}
	}
	if q.Running == "" && !q.Paused && len(q.Waiting) > 0 {
		t.Fatalf("an idle, unpaused queue has waiting turns: %+v", *q)
	}
	if q.Paused != (q.Reason != "") {
		t.Fatalf("paused %v for reason %q", q.Paused, q.Reason)
	}
	live := len(q.Waiting)
	if q.Running != "" {
		live++
	}
	if m.accepted != len(m.ended)+live {
		t.Fatalf("%d turns accepted, %d ended, %d there", m.accepted, len(m.ended), live)
	}
	if diff := cmp.Diff(&protocol.QueueState{Revision: m.revision, Length: len(m.waiting), Paused: m.paused}, q.State()); diff != "" {
		t.Fatal(diff)
	}
}

func TestQueueModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &queueModel{ended: map[string]bool{}}
		pick := func(t *rapid.T) string {
			return rapid.SampledFrom(append(m.ids(), "stranger", m.running)).Draw(t, "turn")
		}
		// A copy that was taken at any time must stay as it was.
		var saved Queue
		var savedText string
		step := func(do func(t *rapid.T)) func(*rapid.T) {
			return func(t *rapid.T) {
				if savedText == "" || rapid.IntRange(0, 3).Draw(t, "save") == 0 {
					saved, savedText = m.queue, fmt.Sprintf("%+v", m.queue)
				}
				do(t)
				m.next(t)
				if now := fmt.Sprintf("%+v", saved); now != savedText {
					t.Fatalf("a copy changed from %s to %s", savedText, now)
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"": m.check,
			"accept": step(func(t *rapid.T) {
				m.accept(t, rapid.SampledFrom([]protocol.IfBusy{
					protocol.BusyReject, protocol.BusyEnqueue, protocol.BusyEnqueue, protocol.BusySteer, protocol.BusyInterrupt,
				}).Draw(t, "ifBusy"))
			}),
			"pushFirst": step(func(t *rapid.T) {
				id := m.newID()
				m.accepted++
				got := m.queue.PushFirst(id)
				if m.running == "" {
					m.running = id
					m.expect(t, got, nil, protocol.DispositionStarted, nil)
					return
				}
				at := 0
				for at < len(m.waiting) && m.waiting[at].first {
					at++
				}
				m.waiting = slices.Insert(m.waiting, at, modelTurn{id: id})
				m.revision++
				m.expect(t, got, nil, protocol.DispositionQueued, nil)
			}),
			"finish": step(func(t *rapid.T) { m.finish(t, drawEnd(t), drawPolicy(t)) }),
			"fail": step(func(t *rapid.T) {
				m.finish(t, End{Status: protocol.TurnFailed}, protocol.QueuePolicy{OnFailed: protocol.QueueContinue})
			}),
			"remove": step(func(t *rapid.T) {
				id := pick(t)
				err := m.queue.Remove(id)
				i := slices.Index(m.ids(), id)
				if (err == nil) != (i >= 0) {
					t.Fatalf("Remove(%s) = %v", id, err)
				}
				if i >= 0 {
					m.waiting = slices.Delete(m.waiting, i, i+1)
					m.revision++
					m.end(t, id)
				}
			}),
			"edited": step(func(t *rapid.T) {
				id := pick(t)
				if err := m.queue.Edited(id); (err == nil) != slices.Contains(m.ids(), id) {
					t.Fatalf("Edited(%s) = %v", id, err)
				} else if err == nil {
					m.revision++
				}
			}),
			"reorder": step(func(t *rapid.T) {
				order := rapid.Permutation(m.ids()).Draw(t, "order")
				if err := m.queue.Reorder(order); err != nil {
					t.Fatal(err)
				}
				m.waiting = nil
				for _, id := range order {
					m.waiting = append(m.waiting, modelTurn{id: id})
				}
				m.revision++
				if m.queue.Reorder(append(order, "stranger")) == nil {
					t.Fatal("an order with a stranger was taken")
				}
			}),
			"clear": step(func(t *rapid.T) {
				if got := m.queue.Clear(); !slices.Equal(got, m.ids()) {
					t.Fatalf("Clear = %v; want %v", got, m.ids())
				}
				if len(m.waiting) > 0 {
					m.revision++
				}
				for _, w := range m.waiting {
					m.end(t, w.id)
				}
				m.waiting = nil
			}),
			"pause": step(func(t *rapid.T) {
				same := m.paused && m.queue.Reason == protocol.PauseUser
				if m.queue.Pause(protocol.PauseUser) == same {
					t.Fatal("Pause lies about the change")
				}
				if !same {
					m.revision++
				}
				m.paused = true
			}),
			"resume": step(func(t *rapid.T) {
				if m.queue.Resume() != m.paused {
					t.Fatal("Resume lies about the change")
				}
				if m.paused {
					m.revision++
					m.failures = 0
				}
				m.paused = false
			}),
		})
	})
}

func drawEnd(t *rapid.T) End {
	end := End{Status: rapid.SampledFrom([]protocol.TurnStatus{
		protocol.TurnCompleted, protocol.TurnFailed, protocol.TurnCancelled,
	}).Draw(t, "status")}
	if end.Status == protocol.TurnCancelled {
		end.Reason = rapid.SampledFrom([]protocol.CancelReason{
			protocol.CancelUser, protocol.CancelClientDisconnected, protocol.CancelReplaced,
			protocol.CancelShutdown, protocol.CancelThreadEnded,
		}).Draw(t, "reason")
		end.Queue = rapid.SampledFrom([]protocol.InterruptQueue{
			"", protocol.InterruptKeep, protocol.InterruptContinue, protocol.InterruptClear,
		}).Draw(t, "queue")
	}
	return end
}

func drawPolicy(t *rapid.T) protocol.QueuePolicy {
	reaction := rapid.SampledFrom([]protocol.QueueReaction{
		protocol.QueuePause, protocol.QueueContinue, protocol.QueueClear,
	})
	return protocol.QueuePolicy{OnFailed: reaction.Draw(t, "onFailed"), OnCancelled: reaction.Draw(t, "onCancelled")}
}
