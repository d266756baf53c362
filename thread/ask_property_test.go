package thread_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

// TestAskRules plays random agents that ask, and clients that answer, leave, come back, take
// over and answer late, with time-outs, interrupts and crashes in between. Every request ends
// in one resolution; the agent hears what was kept and nothing else; nobody decides who may
// not; no tool runs twice unless its attempt says so.
func TestAskRules(t *testing.T) { checkInBubble(t, playAsks) }

// asking is one play.
type asking struct {
	*world
	rt      *rapid.T
	id      string
	timeout bool // approvals and questions expire
	wait    string
	held    *held
	turns   []string
	items   map[string]protocol.Item // as last read
	ear     *peer                    // hears what is told to lists
	clients []*responder             // that are there
	all     []*responder             // and those that were
	agent   map[string]func(protocol.Item)
	// What clients and policies said, by approvalId, requestId or callId: an answer that the
	// journal holds must be among them.
	said map[string][]string
	who  map[string][]string // connections that may have decided

	seq  uint64 // of the journal, as far as it was looked at
	ends map[string]int
}

func playAsks(rt *rapid.T) {
	config := map[string]any{"toolReconnectMs": 2000}
	a := &asking{
		world: newWorld(rt, limits(thread.Limits{InterruptGrace: time.Second})), rt: rt,
		said: map[string][]string{}, who: map[string][]string{}, agent: map[string]func(protocol.Item){}, ends: map[string]int{}, items: map[string]protocol.Item{},
	}
	defer func() { a.close() }()
	if a.timeout = rapid.Bool().Draw(rt, "expire"); a.timeout {
		config["approvalTimeoutMs"] = 5000
	}
	a.wait = rapid.SampledFrom([]string{"wait", "decline"}).Draw(rt, "noApprover")
	config["noApprover"] = a.wait
	raw, _ := json.Marshal(config)
	a.id = a.configured(string(raw))
	do(rt, a.m.AccessUpdate, ann, protocol.ThreadAccessUpdateParams{ThreadID: a.id, Grants: []protocol.Grant{
		{User: "bo", Role: protocol.RoleParticipant}, {User: "eve", Role: protocol.RoleObserver},
	}})
	a.ear = a.connect("ann")
	a.begin()
	rt.Repeat(map[string]func(*rapid.T){
		"":            a.check,
		"approve":     a.playApprove,
		"ask":         a.playAsk,
		"call":        a.playCall,
		"call again":  a.playCall,
		"connect":     a.playConnect,
		"connect too": a.playConnect,
		"leave":       a.playLeave,
		"register":    a.playRegister,
		"unregister":  a.playUnregister,
		"subscribe":   a.playSubscribe,
		"unsubscribe": a.playUnsubscribe,
		"answer":      a.playAnswer,
		"answer too":  a.playAnswer,
		"answer late": a.playAnswerLate,
		"respond":     a.playRespond,
		"race":        a.playRace,
		"time passes": func(rt *rapid.T) {
			<-time.After(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "ms")) * time.Millisecond)
		},
		"interrupt": func(*rapid.T) {
			do(rt, a.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: a.id})
			a.begin()
		},
		"end of the turn": func(*rapid.T) { a.held.done(completes); a.begin() },
		"crash":           a.playCrash,
	})
	a.held.done(completes)
	a.check(rt)
	for item, n := range a.ends {
		if n != 1 {
			rt.Fatalf("item %s has %d resolutions at the end", item, n)
		}
	}
	for _, p := range a.clients {
		for _, method := range []string{approvals, questions, calls} {
			p.none(rt, method)
		}
	}
}

// begin starts a turn.
func (a *asking) begin() {
	synctest.Wait()
	a.held = a.world.held(a.id, "go")
	a.turns = append(a.turns, a.held.in.Turn.ID)
}

// open returns the items that wait for somebody.
func (a *asking) open() []protocol.Item {
	return do(a.rt, a.m.Read, ann, protocol.ThreadReadParams{ThreadID: a.id}).Pending
}

// follow checks that the agent hears what the journal holds, when it does and not before.
func follow[T any](a *asking, known []protocol.Item, c chan heard[T], agrees func(T, protocol.Item) bool) {
	synctest.Wait()
	var item protocol.Item
	for _, it := range a.turn(a.id, a.held.in.Turn.ID).Items {
		if !slices.ContainsFunc(known, func(k protocol.Item) bool { return k.ID == it.ID }) {
			item = it
		}
	}
	if item.ID == "" {
		a.rt.Fatalf("an agent has asked and there is no item")
	}
	a.agent[item.ID] = func(now protocol.Item) {
		select {
		case h := <-c:
			if now.Status == protocol.ItemInProgress {
				a.rt.Fatalf("the agent heard %+v, the item is open", h)
			}
			if h.err == nil && !agrees(h.got, now) {
				a.rt.Fatalf("the agent heard %+v, the item says %+v", h.got, now)
			}
			delete(a.agent, item.ID)
		default:
			if now.Status != protocol.ItemInProgress {
				a.rt.Fatalf("the agent was not told of %+v", now)
			}
		}
	}
}

func (a *asking) now() []protocol.Item { return a.turn(a.id, a.held.in.Turn.ID).Items }

func (a *asking) playApprove(rt *rapid.T) {
	known := a.now()
	scope := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(rt, "scope")
	follow(a, known, a.held.approve("x", scope), func(ok bool, it protocol.Item) bool {
		return ok == slices.Contains([]string{"accept", "acceptForThread", "acceptAlways"}, it.Decision)
	})
}

func (a *asking) playAsk(*rapid.T) {
	known := a.now()
	q := protocol.Question{Question: "Which?", Options: options("A", "B")}
	follow(a, known, a.held.ask(q), func(got map[string]protocol.Answer, it protocol.Item) bool {
		return (got == nil) == (it.Outcome != "answered") && (got == nil || got["q1"].Answers[0] == it.Answers["q1"].Answers[0])
	})
}

func (a *asking) playCall(rt *rapid.T) {
	known := a.now()
	name := rapid.SampledFrom([]string{"t1", "t2"}).Draw(rt, "tool")
	follow(a, known, a.held.call(name, `{}`), func(got protocol.ToolCallResult, it protocol.Item) bool {
		return got.Success == (it.Status == protocol.ItemCompleted) && (!got.Success || got.Content[0].Text == protocol.PartsText(it.Result.Content))
	})
}

func (a *asking) playConnect(rt *rapid.T) {
	if len(a.clients) >= 5 {
		rt.Skip("enough")
	}
	user := rapid.SampledFrom([]string{"ann", "ann", "bo", "eve"}).Draw(rt, "user")
	can := rapid.SampledFrom([][]string{{approvals, questions, calls}, {approvals}, {questions, calls}, {}}).Draw(rt, "capabilities")
	p := a.responder(user, rapid.SampledFrom([]string{"", "one", "two"}).Draw(rt, "instance"), can...)
	a.clients, a.all = append(a.clients, p), append(a.all, p)
	a.watch(p, a.id, rapid.SampledFrom([]protocol.Role{"", "", "", protocol.RoleObserver}).Draw(rt, "role"))
}

func (a *asking) draw(rt *rapid.T) *responder {
	if len(a.clients) == 0 {
		rt.Skip("nobody is there")
	}
	return rapid.SampledFrom(a.clients).Draw(rt, "client")
}

func (a *asking) playLeave(rt *rapid.T) {
	p := a.draw(rt)
	a.leave(p)
	a.clients = slices.DeleteFunc(a.clients, func(o *responder) bool { return o == p })
}

func (a *asking) playRegister(rt *rapid.T) {
	p := a.draw(rt)
	reg := offered(a.id, rapid.SampledFrom([][]string{{"t1"}, {"t2"}, {"t1", "t2"}, {}}).Draw(rt, "tools")...)
	_, err := try(a.m.ToolRegister, as(p), reg)
	if err != nil && p.who.User != "eve" && slices.Contains(p.can, calls) && protocol.AsError(err).Code != protocol.CodeForbidden {
		rt.Fatalf("tool/register: %v", err)
	}
}

func (a *asking) playUnregister(rt *rapid.T) {
	_, _ = try(a.m.ToolUnregister, as(a.draw(rt)), protocol.ToolUnregisterParams{ThreadID: a.id})
}

func (a *asking) playSubscribe(rt *rapid.T) {
	a.watch(a.draw(rt), a.id, rapid.SampledFrom([]protocol.Role{"", protocol.RoleObserver}).Draw(rt, "role"))
}

func (a *asking) playUnsubscribe(rt *rapid.T) {
	do(rt, a.m.Unsubscribe, as(a.draw(rt)), protocol.ThreadParams{ThreadID: a.id})
}

// some returns a request to any client, open or not.
func (a *asking) some(rt *rapid.T, from []*responder, open bool) *request {
	var found []*request
	for _, p := range from {
		p.mu.Lock()
		for _, r := range p.asked {
			if !r.answered && (!open || !r.withdrawn) {
				found = append(found, r)
			}
		}
		p.mu.Unlock()
	}
	if len(found) == 0 {
		rt.Skip("nobody was asked")
	}
	return rapid.SampledFrom(found).Draw(rt, "request")
}

// words draws an answer to a request; good: one that is valid. Where it may count, it is
// noted.
func (a *asking) words(rt *rapid.T, r *request, counts bool) string {
	var id, word, answer string
	good := rapid.IntRange(0, 4).Draw(rt, "good") > 0
	switch r.method {
	case approvals:
		id = r.id
		word = rapid.SampledFrom([]string{"accept", "acceptForThread", "acceptAlways", "decline"}).Draw(rt, "decision")
		answer = fmt.Sprintf(`{"decision":%q}`, word)
	case questions:
		id = r.id
		word = rapid.SampledFrom([]string{"A", "B"}).Draw(rt, "answer")
		answer = fmt.Sprintf(`{"answers":{"q1":{"answers":[%q]}}}`, word)
	default:
		id = r.id
		word = fmt.Sprintf("attempt %d of %s", r.attempt, r.of.who.ConnectionID)
		answer = fmt.Sprintf(`{"success":true,"content":[{"type":"text","text":%q}]}`, word)
		if good = good || counts; !good {
			return `{}`
		}
	}
	if !good {
		return `{"x":1}`
	}
	if counts {
		a.said[id] = append(a.said[id], word)
		a.who[id] = append(a.who[id], r.of.who.ConnectionID)
	}
	return answer
}

func (a *asking) playAnswer(rt *rapid.T) {
	r := a.some(rt, a.clients, true)
	r.reply(a.words(rt, r, true))
}

// playAnswerLate answers what was withdrawn, or comes from a client that has gone.
func (a *asking) playAnswerLate(rt *rapid.T) {
	r := a.some(rt, a.all, false)
	here := slices.Contains(a.clients, r.of)
	r.of.mu.Lock()
	open := !r.withdrawn && here
	r.of.mu.Unlock()
	r.reply(a.words(rt, r, open))
}

// playRespond answers an approval by its id.
func (a *asking) playRespond(rt *rapid.T) {
	id := protocol.NewID(protocol.PrefixApproval)
	for _, it := range a.open() {
		if it.Type == protocol.ItemApproval {
			id = it.ApprovalID
		}
	}
	user := rapid.SampledFrom([]string{"ann", "bo", "eve", "mallory"}).Draw(rt, "user")
	d := rapid.SampledFrom([]protocol.Decision{"accept", "decline"}).Draw(rt, "decision")
	if user == "ann" || user == "bo" {
		a.said[id] = append(a.said[id], string(d))
		a.who[id] = append(a.who[id], by(user).Caller.ConnectionID)
	}
	_, err := try(a.m.ApprovalRespond, by(user), a.respond(id, d))
	if err == nil && (user == "eve" || user == "mallory") {
		rt.Fatalf("%s has decided", user)
	}
}

// playRace has all who were asked the same answer at once, while the turn is interrupted.
func (a *asking) playRace(rt *rapid.T) {
	var answers []func()
	for _, p := range a.clients {
		for _, method := range []string{approvals, questions, calls} {
			for _, r := range p.open(method) {
				answer := json.RawMessage(a.words(rt, r, true))
				r.of.mu.Lock()
				r.answered = true
				r.of.mu.Unlock()
				answers = append(answers, func() { r.answer(answer, nil) })
			}
		}
	}
	for _, f := range answers {
		go f()
	}
	if rapid.Bool().Draw(rt, "interrupt") {
		go func() { _, _ = try(a.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: a.id}) }()
		synctest.Wait()
		a.held.done(completes)
		a.begin()
	}
	synctest.Wait()
}

func (a *asking) playCrash(rt *rapid.T) {
	a.check(rt)
	clear(a.agent) // those that waited are gone
	a.reopen()
	a.ear, a.clients, a.all = a.connect("ann"), nil, nil
	a.begin()
}

// check looks at every item and every client.
func (a *asking) check(rt *rapid.T) {
	synctest.Wait()
	for _, id := range a.turns[max(0, len(a.turns)-2):] { // those before do not change any more
		for _, it := range a.turn(a.id, id).Items {
			a.items[it.ID] = it
			a.checkItem(it)
		}
	}
	for id, hears := range maps.Clone(a.agent) {
		hears(a.items[id])
	}
	open := a.open()
	a.ear.knowsRuntime(rt, do(rt, a.m.Read, ann, protocol.ThreadReadParams{ThreadID: a.id}).Thread)
	a.look()
	for item, n := range a.ends {
		waits := slices.ContainsFunc(open, func(it protocol.Item) bool { return it.ID == item })
		if n > 1 || (n == 0) != waits {
			rt.Fatalf("item %s has %d resolutions, open %t", item, n, waits)
		}
	}
	presence := do(rt, a.m.PresenceList, ann, protocol.ThreadParams{ThreadID: a.id}).Data
	for _, p := range a.clients {
		a.checkClient(p, open, presence)
	}
	a.checkAttempts()
}

// look counts the resolutions in what is new in the journal.
func (a *asking) look() {
	p := protocol.ThreadExportParams{ThreadID: a.id, AfterSeq: a.seq}
	for {
		r := do(a.rt, a.m.Export, ann, p)
		countResolutions(a.rt, r.Events, a.ends)
		if n := len(r.Events); n > 0 {
			_, e := parse(a.rt, protocol.Frame(r.Events[n-1]))
			a.seq = e.Seq
		}
		if r.NextSeq == 0 {
			return
		}
		p.AfterSeq = r.NextSeq
	}
}

// checkItem looks for who decided.
func (a *asking) checkItem(it protocol.Item) {
	said := func(id, word string) {
		a.rt.Helper()
		if !slices.Contains(a.said[id], word) || it.By != nil && !slices.Contains(a.who[id], it.By.ConnectionID) {
			a.rt.Fatalf("%s: nobody said %q (of %q): %+v", id, word, a.said[id], it)
		}
	}
	switch {
	case it.Type == protocol.ItemApproval && it.By != nil && it.Decision != "cancelled":
		if it.Decision == "acceptForThread" && slices.Contains(a.said[it.ApprovalID], "acceptAlways") {
			return // of somebody who is not the owner
		}
		said(it.ApprovalID, it.Decision)
	case it.Type == protocol.ItemApproval && it.Decision == "accept":
		a.checkRule(it)
	case it.Type == protocol.ItemApproval && it.Decision == "timedOut" && !a.timeout,
		it.Type == protocol.ItemApproval && it.Decision == "decline" && a.wait != "decline":
		a.rt.Fatalf("nobody decided this: %+v", it)
	case it.Type == protocol.ItemQuestion && it.Outcome == "answered":
		said(it.RequestID, it.Answers["q1"].Answers[0])
	case it.Type == protocol.ItemToolCall && it.Status == protocol.ItemCompleted:
		said(it.CallID, protocol.PartsText(it.Result.Content))
	}
}

// checkRule looks for the decision that lasts.
func (a *asking) checkRule(it protocol.Item) {
	for _, o := range a.items {
		if o.Type == protocol.ItemApproval && o.ScopeKey == it.ScopeKey && o.By != nil && slices.Contains([]string{"acceptForThread", "acceptAlways"}, o.Decision) {
			return
		}
	}
	a.rt.Fatalf("nobody has ever accepted %s: %+v", it.ScopeKey, it)
}

// checkClient looks whether a client is asked what is open and nothing else.
func (a *asking) checkClient(p *responder, open []protocol.Item, presence []protocol.Presence) {
	for _, r := range p.open(approvals) {
		if !slices.ContainsFunc(open, func(it protocol.Item) bool { return it.ApprovalID == r.id }) {
			a.rt.Fatalf("%s is asked for an approval that is over", p.who.ConnectionID)
		}
	}
	takesPart := slices.ContainsFunc(presence, func(e protocol.Presence) bool {
		return e.ConnectionID == p.who.ConnectionID && e.Role == protocol.RoleParticipant
	})
	if !takesPart && len(p.open(approvals))+len(p.open(questions)) > 0 {
		a.rt.Fatalf("%s does not take part and is asked", p.who.ConnectionID)
	}
	for _, it := range open {
		if !takesPart || it.Type != protocol.ItemApproval || !slices.Contains(p.can, approvals) {
			continue
		}
		p.mu.Lock()
		asked := slices.ContainsFunc(p.asked, func(r *request) bool {
			return r.method == approvals && r.id == it.ApprovalID
		})
		p.mu.Unlock()
		if !asked {
			a.rt.Fatalf("%s takes part and was not asked for %s", p.who.ConnectionID, it.ApprovalID)
		}
	}
}

// checkAttempts looks whether each call that was sent again says so, and is with one client.
func (a *asking) checkAttempts() {
	attempts, open := map[string][]int{}, map[string]int{}
	for _, p := range a.all {
		p.mu.Lock()
		for _, r := range p.asked {
			if r.method != calls {
				continue
			}
			if slices.Contains(attempts[r.id], r.attempt) {
				a.rt.Fatalf("attempt %d of %s was sent twice", r.attempt, r.id)
			}
			attempts[r.id] = append(attempts[r.id], r.attempt)
			if !r.withdrawn && !r.answered && !p.dead {
				open[r.id]++
			}
		}
		p.mu.Unlock()
	}
	for call, n := range open {
		if n > 1 {
			a.rt.Fatalf("%s is with %d clients at once", call, n)
		}
	}
}
