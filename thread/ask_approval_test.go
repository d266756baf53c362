package thread_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/faulty"
	"github.com/spoolhq/spool/thread"
	"github.com/spoolhq/spool/turn"
)

func TestApproval(t *testing.T) {
	inWorld(t, func(w *world) {
		p, q := w.responder("ann", "", approvals), w.responder("ann", "")
		id := w.start(protocol.ThreadOptions{})
		w.watch(p, id, "")
		w.watch(q, id, "")
		h := w.held(id, "go")
		ok := h.approve("rm build", "command:rm")

		r := p.only(t, approvals)
		frames := p.take(t)
		if n := len(only(t, frames, "item/approval/requested")); n != 1 || r.seq < n {
			t.Errorf("%d approval/requested, and %d frames before the request", n, r.seq)
		}
		q.none(t, approvals)
		params := get[protocol.ApprovalRequestParams](r)
		if params.ThreadID != id || params.Operation != "rm build" || params.ScopeKey != "command:rm" || len(params.Decisions) != 5 || params.ExpiresAt != 0 {
			t.Errorf("%+v", params)
		}
		if on := w.read(id).Thread.Runtime.WaitingOn; len(on) != 1 || on[0] != "approval" {
			t.Errorf("waitingOn %v", on)
		}
		if l := do(t, w.m.ApprovalList, ann, protocol.ApprovalListParams{}); len(l.Data) != 1 || l.Data[0].Item.ApprovalID != params.ApprovalID {
			t.Errorf("approval/list: %+v", l)
		}
		if l := do(t, w.m.ApprovalList, by("bo"), protocol.ApprovalListParams{}); len(l.Data) != 0 {
			t.Errorf("approval/list of another user: %+v", l)
		}
		if s := w.watch(q, id, ""); len(s.Pending) != 1 || s.Pending[0].ApprovalID != params.ApprovalID {
			t.Errorf("pending %+v", s.Pending)
		}

		waits(t, ok)
		r.decide("accept")
		if !hears(t, ok) {
			t.Error("the agent heard no")
		}
		it := w.item(id, h.in.Turn.ID, protocol.ItemApproval)
		if it.Status != protocol.ItemCompleted || it.Decision != "accept" || it.By.ConnectionID != p.who.ConnectionID {
			t.Errorf("%+v", it)
		}
		if e := only(t, q.take(t), "item/approval/resolved"); len(e) != 1 || e[0].Item.Decision != "accept" {
			t.Errorf("resolved: %+v", e)
		}
		if on := w.read(id).Thread.Runtime.WaitingOn; len(on) != 0 {
			t.Errorf("waitingOn %v", on)
		}
		h.done(completes)
	})
}

// What a policy says; nobody is asked where it decides.
func TestApprovalPolicies(t *testing.T) {
	for _, tt := range []struct {
		config   string
		asked    bool // of a client that is there
		decision string
		ok, ends bool
	}{
		{`{}`, true, "", false, false},
		{`{"approvals":"ask","noApprover":"decline"}`, true, "", false, false},
		{`{"approvals":"auto"}`, false, "accept", true, false},
		{`{"approvals":"never"}`, false, "decline", false, false},
	} {
		for _, there := range []bool{true, false} {
			inWorld(t, func(w *world) {
				id := w.configured(tt.config)
				p := w.responder("ann", "", approvals)
				if there {
					w.watch(p, id, "")
				}
				h := w.held(id, "go")
				ok := h.approve("rm build", "")
				want := tt.decision
				if want == "" && !there && strings.Contains(tt.config, "noApprover") {
					want = "decline"
				}
				if n := len(p.open(approvals)); n != 0 != (tt.asked && there) {
					t.Errorf("%s, %t: asked %d times", tt.config, there, n)
				}
				if want == "" {
					waits(t, ok)
					h.done(completes)
					stops(t, ok)
					return
				}
				it := w.item(id, h.in.Turn.ID, protocol.ItemApproval)
				if got := hears(t, ok); got != tt.ok || it.Decision != want || it.By != nil || it.ScopeKey != "command:rm build" {
					t.Errorf("%s, %t: %t %+v", tt.config, there, got, it)
				}
			})
		}
	}
}

func TestNoApproverCancel(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.configured(`{"noApprover":"cancel"}`)
		h := w.held(id, "go")
		stops(t, h.approve("rm build", ""))
		synctest.Wait()
		tn := w.turn(id, h.in.Turn.ID)
		if it := w.item(id, tn.ID, protocol.ItemApproval); it.Decision != "cancel" || it.Status != protocol.ItemDeclined || it.By != nil {
			t.Errorf("%+v", it)
		}
		if tn.Status != protocol.TurnCancelled || tn.CancelReason != protocol.CancelUser || tn.CancelledBy != nil {
			t.Errorf("%+v", tn)
		}
	})
}

func TestApprovalCancel(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.responder("ann", "", approvals)
		w.watch(p, id, "")
		h := w.held(id, "go")
		ok := h.approve("rm build", "")
		p.only(t, approvals).decide("cancel")
		stops(t, ok)
		tn := w.turn(id, h.in.Turn.ID)
		if tn.Status != protocol.TurnCancelled || tn.CancelledBy == nil || tn.CancelledBy.ConnectionID != p.who.ConnectionID {
			t.Errorf("%+v", tn)
		}
		if it := w.item(id, tn.ID, protocol.ItemApproval); it.Decision != "cancel" {
			t.Errorf("%+v", it)
		}
	})
}

// Decisions that last, and for whom.
func TestApprovalsThatLast(t *testing.T) {
	inWorld(t, func(w *world) {
		id, other := w.start(protocol.ThreadOptions{}), w.start(protocol.ThreadOptions{})
		elsewhere := w.start(protocol.ThreadOptions{Agent: "other"})
		p := w.responder("ann", "", approvals)
		for _, t := range []string{id, other, elsewhere} {
			w.watch(p, t, "")
		}
		// now tells whether somebody has to be asked.
		now := func(thread, scope string) bool {
			t.Helper()
			h := w.held(thread, "go")
			ok := h.approve("x", scope)
			defer h.done(completes)
			if open := p.open(approvals); len(open) == 1 {
				open[0].decide("decline")
				if hears(t, ok) {
					t.Error("a decline was taken for an accept")
				}
				return true
			}
			return !hears(t, ok)
		}
		answer := func(scope string, d protocol.Decision) {
			t.Helper()
			h := w.held(id, "go")
			ok := h.approve("x", scope)
			p.only(t, approvals).decide(d)
			if !hears(t, ok) {
				t.Errorf("%s is no", d)
			}
			h.done(completes)
		}
		answer("a", protocol.DecisionAccept)
		answer("b", protocol.DecisionAcceptForThread)
		answer("c", protocol.DecisionAcceptAlways)
		look := func(when string) {
			t.Helper()
			for _, want := range []struct {
				thread, scope string
				asked         bool
			}{
				{id, "a", true},
				{id, "b", false},
				{id, "c", false},
				{id, "bc", true},
				{id, "", true},
				{other, "a", true},
				{other, "b", true},
				{other, "c", false},
				{elsewhere, "b", true},
				{elsewhere, "c", true},
			} {
				if got := now(want.thread, want.scope); got != want.asked {
					t.Errorf("%s: scope %q of %s: asked %t", when, want.scope, want.thread, got)
				}
			}
		}
		look("at once")
		w.reopen()
		p = w.responder("ann", "", approvals)
		for _, t := range []string{id, other, elsewhere} {
			w.watch(p, t, "")
		}
		look("after a crash")

		rules := do(t, w.m.ApprovalRulesList, ann, protocol.Paging{}).Data
		if len(rules) != 1 || rules[0].ScopeKey != "c" || rules[0].Agent != "test" {
			t.Fatalf("rules: %+v", rules)
		}
		if r := do(t, w.m.ApprovalRulesRemove, by("bo"), protocol.ApprovalRulesRemoveParams{ID: rules[0].ID}); r.Removed {
			t.Error("another user removed a rule")
		}
		if r := do(t, w.m.ApprovalRulesRemove, ann, protocol.ApprovalRulesRemoveParams{ID: rules[0].ID}); !r.Removed {
			t.Error("not removed")
		}
		if !now(other, "c") {
			t.Error("a removed rule counts")
		}
	})
}

// Only the owner of a thread says what shall hold in all of theirs.
func TestAcceptAlwaysOfAnother(t *testing.T) {
	inWorld(t, func(w *world) {
		id, other := w.start(protocol.ThreadOptions{}), w.start(protocol.ThreadOptions{})
		do(t, w.m.AccessUpdate, ann, protocol.ThreadAccessUpdateParams{ThreadID: id, Grants: []protocol.Grant{{User: "bo", Role: protocol.RoleParticipant}}})
		p := w.responder("bo", "", approvals)
		w.watch(p, id, "")
		h := w.held(id, "go")
		ok := h.approve("x", "c")
		p.only(t, approvals).decide(protocol.DecisionAcceptAlways)
		if !hears(t, ok) || w.item(id, h.in.Turn.ID, protocol.ItemApproval).Decision != "acceptForThread" {
			t.Errorf("%+v", w.item(id, h.in.Turn.ID, protocol.ItemApproval))
		}
		if !hears(t, h.approve("x", "c")) {
			t.Error("it does not count in the thread")
		}
		for _, user := range []string{"ann", "bo"} {
			if r := do(t, w.m.ApprovalRulesList, by(user), protocol.Paging{}); len(r.Data) != 0 {
				t.Errorf("rules of %s: %+v", user, r.Data)
			}
		}
		waits(t, w.held(other, "go").approve("x", "c"))
	})
}

// A rule outlives the ephemeral thread in which it was made.
func TestAcceptAlwaysInAnEphemeralThread(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{Lifetime: &protocol.Lifetime{Mode: protocol.LifetimeEphemeral}})
		p := w.responder("ann", "", approvals)
		w.watch(p, id, "")
		ok := w.held(id, "go").approve("x", "c")
		p.only(t, approvals).decide(protocol.DecisionAcceptAlways)
		if !hears(t, ok) {
			t.Fatal("no")
		}
		w.reopen()
		if r := do(t, w.m.ApprovalRulesList, ann, protocol.Paging{}); len(r.Data) != 1 {
			t.Errorf("rules after a crash: %+v", r.Data)
		}
	})
}

func TestApprovalExpires(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.configured(`{"approvalTimeoutMs":5000}`)
		p := w.responder("ann", "", approvals)
		w.watch(p, id, "")
		h := w.held(id, "go")
		ok := h.approve("x", "")
		r := p.only(t, approvals)
		params := get[protocol.ApprovalRequestParams](r)
		if want := protocol.Time(time.Now().Add(5 * time.Second).UnixMilli()); params.ExpiresAt != want {
			t.Errorf("expiresAt %v, want %v", params.ExpiresAt, want)
		}
		<-time.After(5*time.Second - time.Millisecond)
		waits(t, ok)
		<-time.After(time.Millisecond)
		if hears(t, ok) {
			t.Error("time accepts")
		}
		if !r.withdrawn {
			t.Error("the request is still open at the client")
		}
		r.decide("accept") // too late
		it := w.item(id, h.in.Turn.ID, protocol.ItemApproval)
		if it.Decision != "timedOut" || it.By != nil || it.Status != protocol.ItemDeclined {
			t.Errorf("%+v", it)
		}
		e := refused(t, protocol.CodeApprovalExpired, w.m.ApprovalRespond, as(p), w.respond(it.ApprovalID, "accept"))
		if e.Data.Decision != "timedOut" {
			t.Errorf("%+v", e.Data)
		}
		if n := w.m.Stats().Counters["answers.late"]; n != 1 {
			t.Errorf("%d late answers", n)
		}
		if tn := w.turn(id, h.in.Turn.ID); tn.Status != protocol.TurnRunning {
			t.Errorf("the turn is %s", tn.Status)
		}
	})
}

// A time so long that it does not fit is long, not over.
func TestApprovalNeverExpires(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.configured(`{"approvalTimeoutMs":9000000000000000000}`)
		ok := w.held(id, "go").approve("x", "")
		<-time.After(time.Hour)
		waits(t, ok)
	})
}

func TestTwoApprovers(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p, q := w.responder("ann", "", approvals), w.responder("ann", "", approvals)
		w.watch(p, id, "")
		w.watch(q, id, "")
		h := w.held(id, "go")
		ok := h.approve("x", "")
		first, second := p.only(t, approvals), q.only(t, approvals)
		go first.answer([]byte(`{"decision":"accept"}`), nil)
		go second.answer([]byte(`{"decision":"decline"}`), nil)
		synctest.Wait()
		it := w.item(id, h.in.Turn.ID, protocol.ItemApproval)
		loser, winner := second, p
		if it.Decision == "decline" {
			loser, winner = first, q
		}
		if hears(t, ok) != (it.Decision == "accept") || it.By.ConnectionID != winner.who.ConnectionID {
			t.Errorf("%+v", it)
		}
		if !loser.withdrawn {
			t.Error("the other request was not withdrawn")
		}
		e := refused(t, protocol.CodeAlreadyResolved, w.m.ApprovalRespond, ann, w.respond(it.ApprovalID, "decline"))
		if e.Data.Decision != it.Decision {
			t.Errorf("%+v", e.Data)
		}
		if n := w.resolutions(id)[it.ID]; n != 1 {
			t.Errorf("resolved %d times", n)
		}
		if n := w.m.Stats().Counters["answers.late"]; n != 1 {
			t.Errorf("%d late answers", n)
		}
		refused(t, protocol.CodeItemNotFound, w.m.ApprovalRespond, by("bo"), w.respond(it.ApprovalID, "decline"))
		refused(t, protocol.CodeItemNotFound, w.m.ApprovalRespond, ann, w.respond(protocol.NewID(protocol.PrefixApproval), "decline"))
	})
}

// What is no answer leaves the approval open.
func TestInvalidAnswers(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.responder("ann", "", approvals)
		w.watch(p, id, "")
		h := w.held(id, "go")
		ok := h.approve("x", "")
		approval := get[protocol.ApprovalRequestParams](p.only(t, approvals)).ApprovalID
		for _, answer := range []string{
			`{}`, `null`, `{"decision":""}`, `{"decision":"timedOut"}`, `{"decision":"accept","x":1}`, `{"decision":["accept"]}`, ``,
			`{"decision":"accept","note":"` + strings.Repeat("x", 20<<10) + `"}`,
		} {
			q := w.responder("ann", "", approvals)
			w.watch(q, id, "")
			q.only(t, approvals).reply(answer)
			waits(t, ok)
		}
		p.only(t, approvals).answer(nil, errors.New("it has no idea"))
		q := w.responder("ann", "", approvals)
		w.watch(q, id, "")
		r := q.only(t, approvals)
		w.leave(q)
		r.decide("accept") // from a connection that is gone
		waits(t, ok)
		it := do(t, w.m.ApprovalRespond, as(p), protocol.ApprovalRespondParams{ApprovalID: approval, Decision: "decline", Note: "no"}).Item
		if hears(t, ok) || string(it.Metadata["note"]) != `"no"` {
			t.Errorf("%+v", it)
		}
	})
}

// An approval waits for somebody who can answer, and is theirs as long as they take part.
func TestWhoIsAsked(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		ok := h.approve("x", "")
		<-time.After(time.Hour)
		waits(t, ok)
		observer, incapable := w.responder("ann", "", approvals), w.responder("ann", "", questions, calls)
		w.watch(observer, id, protocol.RoleObserver)
		w.watch(incapable, id, "")
		observer.none(t, approvals)

		p := w.responder("ann", "", approvals)
		s := do(t, w.m.Resume, as(p), protocol.ThreadResumeParams{ThreadID: id})
		r := p.only(t, approvals)
		if len(s.Pending) != 1 || get[protocol.ApprovalRequestParams](r).ApprovalID != s.Pending[0].ApprovalID {
			t.Errorf("pending %+v, request %s", s.Pending, r.params)
		}
		do(t, w.m.Resume, as(p), protocol.ThreadResumeParams{ThreadID: id})
		p.only(t, approvals) // not twice

		// Who leaves the thread, or only observes it from now on, cannot answer any more.
		w.watch(p, id, protocol.RoleObserver)
		p.none(t, approvals)
		r.decide("accept")
		waits(t, ok)
		w.watch(p, id, "")
		old := r
		r = p.only(t, approvals)
		old.decide("accept") // it was withdrawn
		waits(t, ok)
		do(t, w.m.Unsubscribe, as(p), protocol.ThreadParams{ThreadID: id})
		p.none(t, approvals)
		r.decide("accept")
		waits(t, ok)

		// So it is with those whose access changes.
		grant := func(role protocol.Role) {
			t.Helper()
			g := []protocol.Grant{{User: "bo", Role: role}}
			if role == "" {
				g = []protocol.Grant{}
			}
			do(t, w.m.AccessUpdate, ann, protocol.ThreadAccessUpdateParams{ThreadID: id, Grants: g})
		}
		for _, role := range []protocol.Role{protocol.RoleObserver, ""} {
			grant(protocol.RoleParticipant)
			b := w.responder("bo", "", approvals)
			w.watch(b, id, "")
			r = b.only(t, approvals)
			grant(role)
			b.none(t, approvals)
			r.decide("accept")
			waits(t, ok)
		}
		do(t, w.m.ApprovalRespond, as(incapable), w.respond(get[protocol.ApprovalRequestParams](r).ApprovalID, "accept"))
		if !hears(t, ok) {
			t.Error("no")
		}
	})
}

// However a turn ends, its open asks end before it.
func TestAsksEndWithTheTurn(t *testing.T) {
	for name, end := range map[string]func(w *world, id string, h *held){
		"interrupt": func(w *world, id string, _ *held) {
			do(w.t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id})
		},
		"thread/end": func(w *world, id string, _ *held) {
			do(w.t, w.m.End, ann, protocol.ThreadChangeParams{ThreadID: id, IfBusy: protocol.BusyThreadInterrupt})
		},
		"replaced":  func(w *world, id string, _ *held) { w.run(id, "new", protocol.BusyInterrupt) },
		"completed": func(_ *world, _ string, h *held) { h.done(completes) },
		"failed":    func(_ *world, _ string, h *held) { h.done(fails) },
		"panicked":  func(_ *world, _ string, h *held) { h.done(panics) },
		"without the agent": func(w *world, id string, h *held) {
			h.step(func(turn.Emitter) { h.stubborn = true })
			do(w.t, w.m.TurnInterrupt, ann, protocol.TurnInterruptParams{ThreadID: id})
			<-time.After(5 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				id := w.start(protocol.ThreadOptions{})
				p := w.responder("ann", "", approvals, questions, calls)
				w.watch(p, id, "")
				do(t, w.m.ToolRegister, as(p), offered(id, "lookup"))
				h := w.held(id, "go")
				ok, answers, result := h.approve("x", ""), h.ask(protocol.Question{Question: "Where?"}), h.call("lookup", `{}`)
				all := []*request{p.only(t, approvals), p.only(t, questions), p.only(t, calls)}
				end(w, id, h)
				stops(t, ok)
				stops(t, answers)
				stops(t, result)
				for i, r := range all {
					if !r.withdrawn {
						t.Errorf("%s was not withdrawn", r.method)
					}
					r.reply([]string{`{"decision":"accept"}`, `{"answers":{"q1":{"answers":["x"]}}}`, `{"success":true,"content":[]}`}[i])
				}
				if it := w.item(id, h.in.Turn.ID, protocol.ItemApproval); it.Decision != "cancelled" || it.Status != protocol.ItemCancelled {
					t.Errorf("%+v", it)
				}
				if it := w.item(id, h.in.Turn.ID, protocol.ItemQuestion); it.Outcome != "cancelled" || it.Status != protocol.ItemCancelled {
					t.Errorf("%+v", it)
				}
				if it := w.item(id, h.in.Turn.ID, protocol.ItemToolCall); it.Status != protocol.ItemCancelled || it.Result != nil {
					t.Errorf("%+v", it)
				}
				for item, n := range w.resolutions(id) {
					if n != 1 {
						t.Errorf("item %s has %d resolutions", item, n)
					}
				}
			})
		})
	}
}

// A crash answers nothing: what was open is abandoned.
func TestAsksAndACrash(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.responder("ann", "", approvals, questions, calls)
		w.watch(p, id, "")
		do(t, w.m.ToolRegister, as(p), offered(id, "lookup"))
		h := w.held(id, "go")
		h.approve("x", "")
		h.ask(protocol.Question{Question: "Where?"})
		h.call("lookup", `{}`)
		w.reopen()
		lost := h.in.Turn.ID
		it := w.item(id, lost, protocol.ItemApproval)
		if it.Decision != "abandoned" || it.By != nil || it.Status != protocol.ItemInterrupted {
			t.Errorf("%+v", it)
		}
		if it := w.item(id, lost, protocol.ItemQuestion); it.Outcome != "abandoned" || it.Answers != nil || it.Status != protocol.ItemInterrupted {
			t.Errorf("%+v", it)
		}
		if it := w.item(id, lost, protocol.ItemToolCall); it.Status != protocol.ItemInterrupted {
			t.Errorf("%+v", it)
		}
		e := refused(t, protocol.CodeAlreadyResolved, w.m.ApprovalRespond, ann, w.respond(it.ApprovalID, "accept"))
		if e.Data.Decision != "abandoned" {
			t.Errorf("%+v", e.Data)
		}
		if l := do(t, w.m.ApprovalList, ann, protocol.ApprovalListParams{}); len(l.Data) != 0 {
			t.Errorf("%+v", l)
		}
		if s := w.read(id); len(s.Pending) != 0 {
			t.Errorf("pending %+v", s.Pending)
		}
		for item, n := range w.resolutions(id) {
			if n != 1 {
				t.Errorf("item %s has %d resolutions", item, n)
			}
		}
	})
}

// An answer that was lost is given again under its key, also after a restart.
func TestRespondIsIdempotent(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		ok := h.approve("x", "")
		approval := w.item(id, h.in.Turn.ID, protocol.ItemApproval).ApprovalID
		p := w.respond(approval, "accept")
		p.IdempotencyKey = "k1"
		first := do(t, w.m.ApprovalRespond, ann, p)
		hears(t, ok)
		again := func(when string) {
			t.Helper()
			r := do(t, w.m.ApprovalRespond, ann, p)
			if !r.Replayed || r.Item.ID != first.Item.ID || r.Item.Decision != "accept" {
				t.Errorf("%s: %+v", when, r)
			}
			other := p
			other.Decision = "decline"
			refused(t, protocol.CodeIdempotencyMismatch, w.m.ApprovalRespond, ann, other)
		}
		again("at once")
		h.done(completes)
		w.reopen()
		again("after a restart")
	})
}

// Nothing is said of a decision before it is kept.
func TestDecisionOnASlowDisk(t *testing.T) {
	inWorld(t, func(w *world) {
		g := w.gate
		id := w.start(protocol.ThreadOptions{})
		p := w.responder("ann", "", approvals)
		w.watch(p, id, "")
		h := w.held(id, "go")
		g.shut()
		ok := h.approve("x", "")
		p.none(t, approvals) // its beginning is not kept
		if l := do(t, w.m.ApprovalList, ann, protocol.ApprovalListParams{}); len(l.Data) != 0 {
			t.Errorf("%+v", l)
		}
		g.lift()
		r := p.only(t, approvals)
		approval := get[protocol.ApprovalRequestParams](r).ApprovalID
		p.take(t)
		g.shut()
		r.decide("accept")
		late := send(w.m.ApprovalRespond, ann, w.respond(approval, "decline"))
		waits(t, ok)
		if len(only(t, p.take(t), "item/approval/resolved")) != 0 || len(late) != 0 {
			t.Error("a decision is told that is not kept")
		}
		g.lift()
		if !hears(t, ok) || len(only(t, p.take(t), "item/approval/resolved")) != 1 {
			t.Error("it is kept and not told")
		}
		if e := protocol.AsError((<-late).err); e.Code != protocol.CodeAlreadyResolved {
			t.Errorf("%v", e)
		}
	}, gated)
}

// It expires and is interrupted before it was ever told: nobody is asked.
func TestExpiryOnASlowDisk(t *testing.T) {
	inWorld(t, func(w *world) {
		g := w.gate
		id := w.configured(`{"approvalTimeoutMs":50}`)
		p := w.responder("ann", "", approvals)
		w.watch(p, id, "")
		h := w.held(id, "go")
		g.shut()
		ok := h.approve("x", "")
		<-time.After(50 * time.Millisecond)
		waits(t, ok)
		g.lift()
		if hears(t, ok) || len(p.asked) != 0 {
			t.Errorf("asked %d times", len(p.asked))
		}
	}, gated)
}

// Where a write fails nothing is accepted, and nothing is left open.
func TestAsksWhenTheStoreFails(t *testing.T) {
	var broken atomic.Bool
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.responder("ann", "", approvals)
		w.watch(p, id, "")
		h := w.held(id, "go")
		ok, other := h.approve("x", ""), h.approve("y", "")
		open := p.open(approvals)
		broken.Store(true)
		open[0].decide("accept")
		stops(t, ok)
		stops(t, other)
		p.none(t, approvals)
		open[1].decide("accept")
		if l := do(t, w.m.ApprovalList, ann, protocol.ApprovalListParams{}); len(l.Data) != 0 {
			t.Errorf("%+v", l)
		}
	}, hooked(faulty.Hooks{BeforeCommit: func(*storage.Batch) error {
		if broken.Load() {
			return errors.New("no room")
		}
		return nil
	}}))
}

// While the daemon stops, a running turn gets its answers, so that it can end by itself.
func TestAnswersWhileTheDaemonStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		id := w.configured(`{"approvalTimeoutMs":1000}`)
		p := w.responder("ann", "", approvals, questions, calls)
		w.watch(p, id, "")
		do(t, w.m.ToolRegister, as(p), offered(id, "lookup"))
		h := w.held(id, "go")
		stopped := make(chan error, 1)
		ctx := t.Context()
		go func() { stopped <- w.m.Shutdown(ctx, time.Minute) }()
		synctest.Wait()
		ok := h.approve("x", "")
		p.only(t, approvals).decide("accept")
		if !hears(t, ok) {
			t.Error("no")
		}
		second := h.approve("x", "")
		do(t, w.m.ApprovalRespond, as(p), w.respond(get[protocol.ApprovalRequestParams](p.only(t, approvals)).ApprovalID, "accept"))
		if !hears(t, second) {
			t.Error("no")
		}
		third := h.approve("x", "")
		<-time.After(time.Second)
		if hears(t, third) {
			t.Error("it did not expire")
		}
		result := h.call("lookup", `{}`)
		p.only(t, calls).reply(`{"success":true,"content":[]}`)
		if r := hears(t, result); !r.Success {
			t.Errorf("%+v", r)
		}
		answers := h.ask(protocol.Question{Question: "Where?"})
		p.only(t, questions).reply(`{"answers":{"q1":{"answers":["here"]}}}`)
		if a := hears(t, answers); a["q1"].Answers[0] != "here" {
			t.Errorf("%+v", a)
		}
		h.done(completes)
		if err := <-stopped; err != nil {
			t.Error(err)
		}
		if got := w.turn(id, h.in.Turn.ID); got.Status != protocol.TurnCompleted {
			t.Errorf("the turn is %s", got.Status)
		}
	})
}

// What is asked has a bound like every item.
func TestAsksThatAreTooLarge(t *testing.T) {
	large := strings.Repeat("x", 2000)
	for name, f := range map[string]func(h *held){
		"approval": func(h *held) { stops(t, h.approve(large, "")) },
		"question": func(h *held) { stops(t, h.ask(protocol.Question{Question: large})) },
		"call":     func(h *held) { stops(t, h.call("lookup", `{"x":"`+large+`"}`)) },
	} {
		inWorld(t, func(w *world) {
			id := w.start(protocol.ThreadOptions{})
			p := w.responder("ann", "", calls)
			do(t, w.m.ToolRegister, as(p), offered(id, "lookup"))
			h := w.held(id, "go")
			f(h)
			if tn := w.turn(id, h.in.Turn.ID); tn.Error == nil || tn.Error.Code != protocol.TurnErrOutputTooLarge {
				t.Errorf("%s: %+v", name, tn)
			}
		}, limits(thread.Limits{MaxItemBytes: 1000}))
	}
}
