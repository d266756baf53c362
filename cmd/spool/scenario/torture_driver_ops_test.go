package scenario_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
)

// seat is a client that comes back after each crash, on a new connection.
type seat struct {
	l         *lane
	n         int
	transport string
	rng       *rand.Rand
	c         *client
	checked   int               // messages of c that were given to the driver
	scanned   int               // messages of c that glances know
	has       map[string]uint64 // thread → seq of the newest event it got
	follows   map[string]bool   // threads that it subscribed to when it came back
	glances   map[string]*glance
	unsure    []*request // with a key, not answered yet
	sure      []*request // with a key, answered
}

// glance is what a seat knows of a thread when it chooses what to do.
type glance struct {
	running   string
	queue     []string
	revision  int
	approvals []string
	questions []value
	items     map[string]int // with their revisions
	past      []string       // turns that ended
}

// request is one with an idempotency key.
type request struct {
	method string
	params p
	tok    string
	result value // of the first answer
	kept   *bool // nil: it is not known whether the daemon has it
}

// refusals are the errors that a request may get at random times. Others, such as an
// internal error, are failures.
var refusals = []int{-32010, -32011, -32012, -32013, -32014, -31112, -31115, -31117, -31118, -32001}

// expected tells whether an error is one that a request may get.
func expected(code int, field string) bool {
	return slices.Contains(refusals, code) || code == -32602 && slices.Contains([]string{"order", "turns"}, field)
}

// work makes requests until the connection or ctx ends.
func (s *seat) work(ctx context.Context, threads []string, boost string) {
	s.repeat()
	var open []*answer
	for ctx.Err() == nil && s.c.open() {
		s.scan()
		s.respond()
		method, params, tok := s.choose(threads, boost)
		if method == "" {
			continue
		}
		var keyed *request
		if s.rng.IntN(10) < 6 {
			params["idempotencyKey"] = fmt.Sprintf("key-%d-%d-%d", s.l.seed, s.n, s.l.tokens.Add(1))
			keyed = &request{method: method, params: params, tok: tok}
			s.unsure = append(s.unsure, keyed)
		}
		a := s.c.Go(method, params)
		if keyed != nil {
			keyed.params = maps.Clone(params)
		}
		s.l.events.Add(1)
		if open = append(open, a); len(open) > s.rng.IntN(8) {
			for _, a := range open {
				s.judge(a)
			}
			open = nil
		}
	}
}

// judge fails the test for an error that no request may get.
func (s *seat) judge(a *answer) {
	_, err := a.Wait()
	if we, ok := errors.AsType[*wireError](err); ok && !expected(we.Code, we.At("field").Str("")) {
		s.l.t.Errorf("%s: %.400s: %v", s.c.name, a.request.raw, we)
	}
}

// repeat makes requests again that were not answered, and some that were.
func (s *seat) repeat() {
	again := s.unsure
	s.unsure = nil
	for i, r := range again {
		v, err := s.c.Do(r.method, r.params)
		we, refused := errors.AsType[*wireError](err)
		switch {
		case err != nil && !refused:
			s.unsure = append(s.unsure, again[i:]...)
			return
		case refused && !expected(we.Code, we.At("field").Str("")):
			s.l.t.Errorf("%s: the repeated %s %v: %v", s.c.name, r.method, r.params, we)
		case refused:
			if r.kept != nil && *r.kept && (we.Code != -32010 || r.method == "thread/delete") {
				s.l.t.Errorf("%s: %s %v was done, and repeated under its key it is refused: %v", s.c.name, r.method, r.params, we)
			}
		default:
			s.l.repeats.Add(1)
			if r.kept != nil && *r.kept != v.Bool("replayed") {
				s.l.t.Errorf("%s: %s %v: was done: %v, and repeated under its key it is answered %s", s.c.name, r.method, r.params, *r.kept, v)
			}
			r.result = v.Without("replayed")
			s.sure = append(s.sure, r)
		}
	}
	for range min(3, len(s.sure)) {
		r := s.sure[s.rng.IntN(len(s.sure))]
		v, err := s.c.Do(r.method, r.params)
		we, refused := errors.AsType[*wireError](err)
		switch {
		case err != nil && !refused:
			return
		case refused && we.Code == -32010 && r.method != "thread/delete": // the thread is gone
		case refused || !v.Bool("replayed") || v.Without("replayed").String() != r.result.String():
			s.l.t.Errorf("%s: %s %v was answered\n%s\nand repeated under its key\n%s %v", s.c.name, r.method, r.params, r.result, v, err)
		default:
			s.l.repeats.Add(1)
		}
	}
	if len(s.sure) > 40 {
		s.sure = slices.Clone(s.sure[len(s.sure)-40:])
	}
}

// scan brings the glances up to date.
func (s *seat) scan() {
	log := s.c.messages()
	for _, m := range log[s.scanned:] {
		if m.out || m.method == "" || m.Seq == 0 {
			continue
		}
		s.glance(m.ThreadID).see(m)
	}
	s.scanned = len(log)
}

func (s *seat) glance(thread string) *glance {
	g := s.glances[thread]
	if g == nil {
		g = &glance{items: map[string]int{}}
		s.glances[thread] = g
	}
	return g
}

func (g *glance) see(m *message) {
	body := m.Body()
	if body.Has("queue.revision") {
		g.revision = body.Int("queue.revision")
	}
	switch m.method {
	case "turn/queued":
		g.queue = append(g.queue, m.TurnID)
	case "turn/started":
		g.running, g.queue = m.TurnID, without(g.queue, m.TurnID)
	case "turn/completed", "turn/failed", "turn/cancelled":
		g.queue = without(g.queue, m.TurnID)
		if g.running == m.TurnID {
			g.running = ""
		}
		g.past = append(g.past[max(0, len(g.past)-5):], m.TurnID)
	case "thread/queue/updated":
		g.queue, g.revision = body.Strs("turnIds"), body.Int("revision")
	case "item/approval/requested":
		g.approvals = append(g.approvals, body.Str("item.approvalId"))
	case "item/question/requested":
		g.questions = append(g.questions, body.At("item"))
	case "item/approval/resolved":
		g.approvals = without(g.approvals, body.Str("item.approvalId"))
	case "item/question/resolved":
		g.questions = slices.DeleteFunc(g.questions, func(q value) bool { return q.Str("id") == m.ItemID })
	case "thread/items/changed":
		for _, ch := range body.List("changes") {
			g.items[ch.Str("item.id")] = ch.Int("item.revision")
		}
	case "thread/reset":
		*g = glance{items: map[string]int{}, revision: body.Int("thread.runtime.queueRevision")}
	}
}

// respond answers some of what the daemon asked.
func (s *seat) respond() {
	for _, m := range s.c.messages()[s.checked:] {
		if m.out || m.id == "" || m.method == "" || s.rng.IntN(3) == 0 {
			continue
		}
		var result any = p{"decision": []string{"accept", "decline"}[s.rng.IntN(2)]}
		if m.method == "item/question/request" {
			result = p{"answers": answersTo(m.Body())}
		}
		_ = s.c.wire.Send([]byte(of(p{"jsonrpc": "2.0", "id": json.RawMessage(m.id), "result": result}).String()))
	}
	s.checked = len(s.c.messages())
}

func answersTo(asked value) p {
	answers := p{}
	for _, q := range asked.List("questions") {
		answers[q.Str("id")] = p{"answers": []string{"A"}}
	}
	return answers
}

// newToken returns a text that no other input has.
func (l *lane) newToken() string { return fmt.Sprintf("tok%dx", l.tokens.Add(1)) }

// inputs are what agents are told to do; %s is the token.
var inputs = []string{
	"%s and some more words to say",
	"/think about %s\n/say done",
	"/deltas 40 60 500us\n/say %s",
	"/deltas 300 40\n/say %s",
	"/hold\n/say %s",
	"/hold\n/say %s",
	"/approve command rm %s\n/say after",
	"/ask Which %s? | A | B",
	"/say %s\n/fail no",
	"/plan one; two\n/usage 3 4\n/custom k {\"a\":\"%s\"}",
	"/sleep 15ms\n/say %s",
	"/state {\"a\":\"%s\"}\n/sleep 5ms\n/state {\"b\":1}",
}

// choice is something that a client can do. It returns no method where it cannot now.
type choice struct {
	name   string
	weight int
	do     func(s *seat, thread string, g *glance, tok string) (string, p)
}

func (s *seat) input(tok string) string { return fmt.Sprintf(inputs[s.rng.IntN(len(inputs))], tok) }

func one[T any](s *seat, list []T) T { return list[s.rng.IntN(len(list))] }

var choices = []choice{
	{"enqueue", 20, func(s *seat, thread string, _ *glance, tok string) (string, p) {
		return "turn/enqueue", p{"threadId": thread, "input": s.input(tok)}
	}},
	{"run", 20, func(s *seat, thread string, _ *glance, tok string) (string, p) {
		return "turn/run", p{"threadId": thread, "input": s.input(tok), "ifBusy": one(s, []string{"reject", "enqueue", "steer", "interrupt"})}
	}},
	{"steer", 8, func(s *seat, thread string, g *glance, tok string) (string, p) {
		turn := g.running
		if turn == "" && len(g.past) > 0 {
			turn = one(s, g.past)
		}
		if turn == "" {
			return "", nil
		}
		return "turn/steer", p{"threadId": thread, "expectedTurnId": turn, "input": tok, "ifEnded": one(s, []string{"enqueueFirst", "reject"})}
	}},
	{"release", 14, func(_ *seat, thread string, g *glance, _ string) (string, p) {
		if g.running == "" {
			return "", nil
		}
		return "turn/steer", p{"threadId": thread, "expectedTurnId": g.running, "input": "release", "ifEnded": "reject"}
	}},
	{"interrupt", 10, func(s *seat, thread string, g *glance, _ string) (string, p) {
		params := p{"threadId": thread, "queue": one(s, []string{"keep", "clear", "continue"})}
		if all := append(slices.Clone(g.queue), g.running); all[0] != "" && s.rng.IntN(3) > 0 {
			if id := one(s, all); id != "" {
				params["turnId"] = id
			}
		}
		return "turn/interrupt", params
	}},
	{"remove", 5, func(s *seat, thread string, g *glance, _ string) (string, p) {
		if len(g.queue) == 0 {
			return "", nil
		}
		return "turn/queue/remove", p{"threadId": thread, "turnId": one(s, g.queue), "expectedRevision": g.revision}
	}},
	{"reorder", 6, func(s *seat, thread string, g *glance, _ string) (string, p) {
		if len(g.queue) < 2 {
			return "", nil
		}
		order := slices.Clone(g.queue)
		s.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		return "turn/queue/reorder", p{"threadId": thread, "order": order, "expectedRevision": g.revision}
	}},
	{"update", 4, func(s *seat, thread string, g *glance, tok string) (string, p) {
		if len(g.queue) == 0 {
			return "", nil
		}
		return "turn/queue/update", p{"threadId": thread, "turnId": one(s, g.queue), "input": s.input(tok), "expectedRevision": g.revision}
	}},
	{"clear", 1, func(_ *seat, thread string, g *glance, _ string) (string, p) {
		return "turn/queue/clear", p{"threadId": thread, "expectedRevision": g.revision}
	}},
	{"pause", 3, func(_ *seat, thread string, _ *glance, _ string) (string, p) {
		return "turn/queue/pause", p{"threadId": thread}
	}},
	{"resume", 10, func(_ *seat, thread string, _ *glance, _ string) (string, p) {
		return "turn/queue/resume", p{"threadId": thread}
	}},
	{"append", 8, func(s *seat, thread string, _ *glance, tok string) (string, p) {
		item := p{"type": "userMessage", "content": []p{{"type": "text", "text": tok}}}
		return "thread/items/append", p{"threadId": thread, "items": []p{item}, "deliver": one(s, []string{"next", "steer"})}
	}},
	{"change", 4, func(s *seat, thread string, g *glance, _ string) (string, p) {
		if len(g.items) == 0 {
			return "", nil
		}
		id := one(s, slices.Sorted(maps.Keys(g.items)))
		return "thread/items/update", p{"threadId": thread, "itemId": id, "expectedRevision": g.items[id], "patch": p{"metadata": p{"n": s.rng.IntN(100)}}}
	}},
	{"rename", 4, func(_ *seat, thread string, _ *glance, tok string) (string, p) {
		return "thread/rename", p{"threadId": thread, "title": tok}
	}},
	{"metadata", 2, func(s *seat, thread string, _ *glance, _ string) (string, p) {
		return "thread/metadata/update", p{"threadId": thread, "metadata": p{"n": s.rng.IntN(1000)}}
	}},
	{"rollback", 3, func(s *seat, thread string, _ *glance, _ string) (string, p) {
		return "thread/rollback", p{"threadId": thread, "turns": 1 + s.rng.IntN(2)}
	}},
	{"reset", 1, func(s *seat, thread string, _ *glance, _ string) (string, p) {
		return "thread/reset", p{"threadId": thread, "ifBusy": one(s, []string{"reject", "interrupt"}), "queue": one(s, []string{"clear", "keep"})}
	}},
	{"delete", 0, func(s *seat, thread string, _ *glance, _ string) (string, p) {
		s.l.deleting(thread)
		return "thread/delete", p{"threadId": thread, "ifBusy": "interrupt"}
	}},
	{"start", 1, func(_ *seat, _ string, _ *glance, tok string) (string, p) {
		return "thread/start", p{"title": tok}
	}},
	{"approve", 8, func(s *seat, _ string, g *glance, _ string) (string, p) {
		if len(g.approvals) == 0 {
			return "", nil
		}
		return "approval/respond", p{"approvalId": one(s, g.approvals), "decision": one(s, []string{"accept", "decline", "cancel"})}
	}},
	{"answer", 6, func(s *seat, _ string, g *glance, _ string) (string, p) {
		if len(g.questions) == 0 {
			return "", nil
		}
		q := one(s, g.questions)
		return "question/respond", p{"requestId": q.Str("requestId"), "answers": answersTo(q)}
	}},
}

var weights = func() (sum int) {
	for _, c := range choices {
		sum += c.weight
	}
	return sum
}()

// choose picks what to do next: that of boost, or anything.
func (s *seat) choose(threads []string, boost string) (string, p, string) {
	thread := one(s, threads)
	tok := s.l.newToken()
	n := s.rng.IntN(weights)
	boosted := boost != "" && s.rng.IntN(4) == 0
	for _, c := range choices {
		if n -= c.weight; boosted && c.name != boost || !boosted && n >= 0 {
			continue
		}
		method, params := c.do(s, thread, s.glance(thread), tok)
		if method == "" {
			method, params = "turn/enqueue", p{"threadId": thread, "input": s.input(tok)}
		}
		if !strings.Contains(of(params).String(), tok) {
			tok = ""
		}
		return method, params, tok
	}
	return "", nil, ""
}

// counter is a number that many goroutines count.
type counter = atomic.Int64
