package thread_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// speak appends a text to an open item.
func (h *held) speak(it turn.Item, text string) {
	h.step(func(turn.Emitter) { it.Append(text) })
	synctest.Wait()
}

// only keeps the frames of one method.
func only(t tb, frames []protocol.Frame, method string) (events []event) {
	t.Helper()
	for _, f := range frames {
		if f.Method() == method {
			_, e := parse(t, f)
			events = append(events, e)
		}
	}
	return events
}

const deltas = "item/agentMessage/delta"

// A subscription that waits behind a slow commit must get what is said meanwhile.
func TestDeltaWhileASubscriptionWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		g := w.gate
		id := w.start(protocol.ThreadOptions{})
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		synctest.Wait()
		p := w.connect("ann")
		g.shut()
		renamed := send(w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: id, Title: "new"})
		h.speak(it, "one ")
		got := send(w.m.Subscribe, from(p), protocol.ThreadSubscribeParams{ThreadID: id})
		h.speak(it, "two ")
		g.lift()
		<-renamed
		m := newMirror(t, id, 0)
		m.seed((<-got).result)
		h.speak(it, "three")
		m.apply(p.take(t))
		if text := m.find(it.ID()).Text; text != "one two three" {
			t.Errorf("the client holds %q", text)
		}
	}, gated)
}

// A run must not take away the replay that an earlier request of the same connection asked
// for.
func TestRunKeepsTheReplay(t *testing.T) {
	inWorld(t, func(w *world) {
		g := w.gate
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		g.shut()
		renamed := send(w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: id, Title: "new"})
		zero := uint64(0)
		subscribed := send(w.m.Subscribe, from(p), protocol.ThreadSubscribeParams{ThreadID: id, AfterSeq: &zero})
		ran := send(w.m.TurnRun, from(p), input(id, "go", ""))
		g.lift()
		<-renamed
		<-subscribed
		tn := (<-ran).result.Turn
		w.with(tn.ID).done(completes)
		m := newMirror(t, id, 0)
		m.apply(p.take(t))
		m.agrees(w)
	}, gated)
}

func TestRevokedWhileASubscriptionWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		g := w.gate
		id := w.start(protocol.ThreadOptions{})
		grants := func(g ...protocol.Grant) protocol.ThreadAccessUpdateParams {
			return protocol.ThreadAccessUpdateParams{ThreadID: id, Grants: g}
		}
		do(t, w.m.AccessUpdate, ann, grants(protocol.Grant{User: "bo", Role: protocol.RoleObserver}))
		bo := w.connect("bo")
		g.shut()
		renamed := send(w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: id, Title: "new"})
		subscribed := send(w.m.Subscribe, from(bo), protocol.ThreadSubscribeParams{ThreadID: id})
		revoked := send(w.m.AccessUpdate, ann, grants())
		g.lift()
		<-renamed
		<-subscribed
		<-revoked
		bo.take(t)
		w.run(id, "secret", "")
		if got := bo.take(t); len(got) > 0 {
			t.Errorf("a user without access gets %s", methods(got))
		}
		if n := w.m.Subscriptions(bo); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	}, gated)
}

func TestRevokedIsTold(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		grant := protocol.ThreadAccessUpdateParams{ThreadID: id, Grants: []protocol.Grant{{User: "bo", Role: protocol.RoleObserver}}}
		do(t, w.m.AccessUpdate, ann, grant)
		bo := w.connect("bo")
		do(t, w.m.Subscribe, from(bo), protocol.ThreadSubscribeParams{ThreadID: id})
		refused(t, protocol.CodeForbidden, w.m.TurnRun, from(bo), input(id, "hi", ""))
		refused(t, protocol.CodeForbidden, w.m.AccessUpdate, from(bo), grant)
		grant.Grants = nil
		do(t, w.m.AccessUpdate, ann, grant)
		if !slices.Contains(methods(bo.state), "thread/subscription/closed") {
			t.Errorf("bo hears only %s", methods(bo.state))
		}
		refused(t, protocol.CodeThreadNotFound, w.m.Read, from(bo), protocol.ThreadReadParams{ThreadID: id})
		if l := do(t, w.m.List, from(bo), protocol.ThreadListParams{}); len(l.Data) > 0 {
			t.Errorf("bo lists %+v", l.Data)
		}
	})
}

func TestSubscribingAgainIsOneSubscription(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		for range 3 {
			do(t, w.m.Subscribe, from(p), protocol.ThreadSubscribeParams{ThreadID: id})
		}
		if n, all := w.m.Subscriptions(p), w.m.Stats().Subscriptions; n != 1 || all != 1 {
			t.Errorf("%d subscriptions, %d in all", n, all)
		}
		r := do(t, w.m.Unsubscribe, from(p), protocol.ThreadParams{ThreadID: id})
		if again := do(t, w.m.Unsubscribe, from(p), protocol.ThreadParams{ThreadID: id}); !r.Subscribed || again.Subscribed {
			t.Errorf("unsubscribed: %t, then %t", r.Subscribed, again.Subscribed)
		}
		if n := w.m.Subscriptions(p); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	})
}

func TestUnsubscribeWhileASubscriptionWaits(t *testing.T) {
	inWorld(t, func(w *world) {
		g := w.gate
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		g.shut()
		send(w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: id, Title: "new"})
		send(w.m.Subscribe, from(p), protocol.ThreadSubscribeParams{ThreadID: id})
		left := send(w.m.Unsubscribe, from(p), protocol.ThreadParams{ThreadID: id})
		g.lift()
		if r := (<-left).result; !r.Subscribed {
			t.Error("the subscription that was ended is denied")
		}
		if n := w.m.Subscriptions(p); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
	}, gated)
}

// What follows an answer has the seqs behind its headSeq.
func TestHeadSeqOfAnswers(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		do(t, w.m.Pause, ann, protocol.ThreadChangeParams{ThreadID: id})
		r := do(t, w.m.Resume, from(p), protocol.ThreadResumeParams{ThreadID: id})
		m := newMirror(t, id, r.HeadSeq)
		m.apply(p.take(t))
		if head := w.read(id).Thread.HeadSeq; m.seq != head || r.Thread.Status != protocol.StatusActive {
			t.Errorf("the client stands at %d of %d; the thread was %s", m.seq, head, r.Thread.Status)
		}
		head := m.seq + 7
		e := refused(t, protocol.CodeInvalidParams, w.m.Subscribe, from(p), protocol.ThreadSubscribeParams{ThreadID: id, AfterSeq: &head})
		if e.Data.HeadSeq == nil || *e.Data.HeadSeq != m.seq {
			t.Errorf("%+v", e.Data)
		}
	})
}

func TestS36Coalescing(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		plain, joined, none := w.connect("ann"), w.connect("ann"), w.connect("ann")
		none.optOut = map[string]bool{deltas: true}
		for _, p := range []*peer{plain, none} {
			do(t, w.m.Subscribe, from(p), protocol.ThreadSubscribeParams{ThreadID: id})
		}
		do(t, w.m.Subscribe, from(joined), protocol.ThreadSubscribeParams{ThreadID: id, Coalesce: &protocol.Coalesce{MaxDelayMs: 50, MaxBytes: 10}})
		counts := func(rune func(int) string, final string) (n [3]int) {
			h := w.held(id, "go")
			it := h.begin(protocol.ItemAgentMessage)
			for i := range 1003 {
				h.speak(it, rune(i))
			}
			h.step(func(turn.Emitter) {
				it.Complete(func(i *protocol.Item) {
					if final != "" {
						i.Text = final
					}
				})
			})
			h.done(completes)
			for i, p := range []*peer{plain, joined, none} {
				frames := p.take(t)
				text := ""
				for _, d := range only(t, frames, deltas) {
					n[i]++
					if d.Offset != len(text) || !utf8.ValidString(d.Delta) || i == 1 && len(d.Delta) > 10 {
						t.Fatalf("peer %d: %+v after %d bytes", i, d, len(text))
					}
					text += d.Delta
				}
				done := only(t, frames, "item/completed")
				if last := done[len(done)-1].Item.Text; last == "" || final == "" && i < 2 && last != text || final != "" && last != final {
					t.Fatalf("peer %d: the final text is %q", i, last)
				}
			}
			return n
		}
		if n := counts(func(i int) string { return string(rune('0' + i%10)) }, ""); n != [3]int{1003, 101, 0} {
			t.Errorf("%v deltas", n)
		}
		if n := counts(func(i int) string { return string([]rune("aé漢𝄞")[i%4]) }, "corrected"); n != [3]int{1003, 251, 0} {
			t.Errorf("%v deltas", n)
		}
	})
}

func TestCoalescedDeltasAreNotHeldLonger(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		do(t, w.m.Subscribe, from(p), protocol.ThreadSubscribeParams{ThreadID: id, Coalesce: &protocol.Coalesce{MaxDelayMs: 50, MaxBytes: 1000}})
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		p.take(t)
		for range 3 {
			h.speak(it, "ab")
			<-time.After(49 * time.Millisecond)
			synctest.Wait()
			h.speak(it, "cd")
			if n := len(p.take(t)); n != 0 {
				t.Errorf("%d frames before the time", n)
			}
			<-time.After(time.Millisecond)
			synctest.Wait()
			if d := only(t, p.take(t), deltas); len(d) != 1 || d[0].Delta != "abcd" {
				t.Errorf("after 50 ms: %+v", d)
			}
		}
		other := h.begin(protocol.ItemReasoning)
		p.take(t)
		h.speak(it, "x")
		h.speak(other, "y")
		if d := only(t, p.take(t), deltas); len(d) != 1 || d[0].Delta != "x" {
			t.Errorf("another item does not push out what is held: %+v", d)
		}
		<-time.After(time.Second)
	})
}

// A client that wants tiny pieces must not make a long text expensive for everyone.
func TestCoalescingLongTexts(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		do(t, w.m.Subscribe, from(p), protocol.ThreadSubscribeParams{ThreadID: id, Coalesce: &protocol.Coalesce{MaxBytes: 8}})
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		p.take(t)
		h.speak(it, strings.Repeat("0123456", 1<<17))
		frames := p.take(t)
		_, last := parse(t, frames[len(frames)-1])
		if len(frames) != last.Offset/8+1 || last.Offset+16 < 7<<17 {
			t.Errorf("%d deltas, the last at %d", len(frames), last.Offset)
		}
	})
}

// Bytes that are no text cannot be sent; the offsets must count what is.
func TestTextThatIsNone(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		h.speak(it, "a\xffb")
		h.speak(it, "\xe6\xbc")
		h.speak(it, "c")
		m := newMirror(t, id, 0)
		m.apply(p.take(t))
		m.agrees(w)
		h.done(completes)
		m.apply(p.take(t))
		m.agrees(w)
	})
}

func TestNoStreaming(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{Config: protocol.Object{"stream": []byte("false")}})
		p := w.connect("ann")
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		h.say("Hello")
		h.done(completes)
		frames := p.take(t)
		if n := len(only(t, frames, deltas)); n != 0 {
			t.Errorf("%d deltas", n)
		}
		m := newMirror(t, id, 0)
		m.apply(frames)
		m.agrees(w)
	})
}

// A slow reader slows nobody, loses no event and is told once that it lags.
func TestS20SlowReader(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		slow, quick := w.connect("ann"), w.connect("ann")
		slow.room = 4
		w.subscribe(slow, id, 0)
		w.subscribe(quick, id, 0)
		slow.drain(t)
		h := w.held(id, "go")
		it := h.begin(protocol.ItemAgentMessage)
		for i := range 1000 {
			h.speak(it, fmt.Sprintf("%d ", i))
			if i%100 == 0 {
				h.say("aside")
			}
		}
		synctest.Wait()
		all, few := newMirror(t, id, 0), newMirror(t, id, 0)
		all.apply(quick.take(t))
		if len(slow.queue) > 4 {
			t.Errorf("%d frames wait for a reader with room for 4", len(slow.queue))
		}
		frames := slow.take(t)
		if lag := only(t, frames, "thread/subscription/lagged"); len(lag) != 1 || lag[0].ThroughSeq == 0 {
			t.Errorf("lagged: %+v", lag)
		}
		few.apply(frames)
		few.agrees(w)
		h.speak(it, "and on")
		few.apply(slow.take(t))
		all.apply(quick.take(t))
		sameBytes(t, all, few)
		few.agrees(w)
		if n := w.m.Stats().Counters["subscriptions.lagged"]; n != 1 {
			t.Errorf("%d lags were counted", n)
		}
	})
}

// A client that catches up while events wait for the disk gets those too.
func TestCatchingUpOnASlowDisk(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		w.subscribe(p, id, 0)
		h := w.held(id, "go")
		p.room = 1
		h.say("too much at once")
		it := h.begin(protocol.ItemAgentMessage)
		h.speak(it, "one ")
		w.gate.shut()
		h.step(func(out turn.Emitter) {
			out.Add(protocol.Item{Type: protocol.ItemAgentMessage, Text: "aside"})
			it.Append("two ")
		})
		synctest.Wait()
		p.room = 0
		m := newMirror(t, id, 0)
		m.apply(p.take(t)) // it stands at the end of what is kept
		h.step(func(turn.Emitter) { it.Append("three ") })
		w.gate.lift()
		h.speak(it, "four")
		m.apply(p.take(t))
		m.agrees(w)
		if text := m.find(it.ID()).Text; text != "one two three four" {
			t.Errorf("the client holds %q", text)
		}
	}, gated)
}

func TestPresence(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		a, b := w.connect("ann"), w.connect("ann")
		w.subscribe(a, id, 0)
		a.take(t)
		do(t, w.m.Subscribe, from(b), protocol.ThreadSubscribeParams{ThreadID: id, Role: protocol.RoleObserver})
		list := do(t, w.m.PresenceList, ann, protocol.ThreadParams{ThreadID: id}).Data
		if len(list) != 2 || list[1].ConnectionID != b.who.ConnectionID || list[1].Role != protocol.RoleObserver {
			t.Errorf("%+v", list)
		}
		refused(t, protocol.CodeForbidden, w.m.TurnRun, from(b), input(id, "hi", ""))
		w.m.Detach(b)
		if got := methods(a.take(t)); !slices.Equal(got, []string{"thread/presence/changed", "thread/presence/changed"}) {
			t.Errorf("%s", got)
		}
		if n := w.m.Stats().Subscriptions; n != 1 {
			t.Errorf("%d subscriptions", n)
		}
	})
}

// Who came and left while a client was behind is told when it has caught up.
func TestPresenceOfAClientThatWasBehind(t *testing.T) {
	inWorld(t, func(w *world) {
		id := w.start(protocol.ThreadOptions{})
		slow, b := w.connect("ann"), w.connect("ann")
		w.subscribe(slow, id, 0)
		do(t, w.m.Subscribe, from(b), protocol.ThreadSubscribeParams{ThreadID: id})
		slow.take(t)
		slow.room = 1
		w.held(id, "go").done(completes) // too much at once
		w.m.Detach(b)
		c, brief := w.connect("ann"), w.connect("ann")
		do(t, w.m.Subscribe, from(c), protocol.ThreadSubscribeParams{ThreadID: id})
		do(t, w.m.Subscribe, from(brief), protocol.ThreadSubscribeParams{ThreadID: id})
		w.m.Detach(brief)
		synctest.Wait()
		slow.room = 0
		var told []protocol.PresenceChangedEvent
		for _, f := range slow.take(t) {
			if f.Method() == protocol.EventPresenceChanged.Name {
				var e protocol.PresenceChangedEvent
				if err := json.Unmarshal(protocol.ParseFrame(f).Params, &e); err != nil {
					t.Fatal(err)
				}
				told = append(told, e)
			}
		}
		if len(told) != 1 || len(told[0].Joined) != 1 || told[0].Joined[0].ConnectionID != c.who.ConnectionID || len(told[0].Left) != 2 {
			t.Errorf("%+v", told)
		}
	})
}

// The threads of others are told to nobody, and one's own also where one is not subscribed.
func TestListNews(t *testing.T) {
	inWorld(t, func(w *world) {
		sub, other, bo := w.connect("ann"), w.connect("ann"), w.connect("bo")
		id := do(t, w.m.Start, from(sub), protocol.ThreadStartParams{}).Thread.ID
		do(t, w.m.Rename, ann, protocol.ThreadRenameParams{ThreadID: id, Title: "new"})
		w.held(id, "go").done(completes)
		do(t, w.m.Delete, ann, protocol.ThreadChangeParams{ThreadID: id})
		want := []string{"thread/started", "thread/updated", "thread/runtimeChanged", "thread/runtimeChanged", "thread/deleted"}
		if got := methods(other.state); !slices.Equal(got, want) {
			t.Errorf("%s", got)
		}
		if got := methods(sub.state); !slices.Equal(got, want[2:]) {
			t.Errorf("%s", got)
		}
		if len(bo.state) > 0 || len(bo.take(t)) > 0 {
			t.Errorf("bo hears %s", methods(bo.state))
		}
	})
}

func TestPeerOfAnotherThread(t *testing.T) {
	inWorld(t, func(w *world) {
		a, b := w.start(protocol.ThreadOptions{}), w.start(protocol.ThreadOptions{})
		p := w.connect("ann")
		w.subscribe(p, a, 0)
		p.take(t)
		w.run(b, "hi", "")
		if got := p.take(t); len(got) > 0 {
			t.Errorf("%s", methods(got))
		}
	})
}
