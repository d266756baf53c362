package scenario_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// cutConversation is a recorded conversation about a thread of its own, whose first turn
// asks for an approval and then holds.
type cutConversation struct {
	c                  *client // sees to what became of it
	thread, turn, next string  // next: the thread that it starts
	approval           string
	requests           []string
}

// cutTexts are the inputs of the conversation, each of which must be found once at most.
const (
	cutQueued  = "/say queued"
	cutRun     = "/say run"
	cutSteered = "a note"
)

func newCutConversation(c *client, n int) *cutConversation {
	c.t.Helper()
	v := &cutConversation{c: c, next: fmt.Sprintf("thr_01ARZ3NDEKTSV4RR%010d", n)}
	v.thread = c.StartThread(nil)
	v.turn = c.Run(v.thread, "/approve command ls\n/hold")
	v.approval = c.Await("item/approval/requested", p{"threadId": v.thread}).Body().Str("item.approvalId")
	v.requests = append(greeting(),
		rpc(2, "thread/subscribe", p{"threadId": v.thread, "afterSeq": 0}),
		rpc(3, "approval/respond", v.params("approval/respond")),
		rpc(4, "turn/enqueue", v.params("turn/enqueue")),
		rpc(5, "turn/steer", v.params("turn/steer")),
		rpc(6, "turn/run", v.params("turn/run")),
		rpc(7, "turn/interrupt", v.params("turn/interrupt")),
		rpc(8, "thread/start", v.params("thread/start")))
	return v
}

// cutMutations are the requests of the conversation that change something, in their order.
var cutMutations = []string{"approval/respond", "turn/enqueue", "turn/steer", "turn/run", "thread/start"}

// params are those of a request that changes something, with its key.
func (v *cutConversation) params(method string) p {
	params := p{"threadId": v.thread, "idempotencyKey": method}
	switch method {
	case "approval/respond":
		delete(params, "threadId")
		params["approvalId"], params["decision"] = v.approval, "accept"
	case "turn/enqueue":
		params["input"] = cutQueued
	case "turn/steer":
		params["expectedTurnId"], params["input"] = v.turn, cutSteered
	case "turn/run":
		params["input"], params["ifBusy"] = cutRun, "enqueue"
	case "turn/interrupt":
		params["turnId"], params["queue"] = v.turn, "keep"
	case "thread/start":
		params["threadId"], params["idempotencyKey"] = v.next, "start "+v.next
	}
	return params
}

// bytes is the conversation on the wire.
func (v *cutConversation) bytes(web bool) string {
	if !web {
		return strings.Join(v.requests, "\n") + "\n"
	}
	var b strings.Builder
	b.WriteString(upgradeRequest)
	for _, r := range v.requests {
		b.WriteString(frame(opText, r))
	}
	return b.String()
}

// whole returns the methods that were sent as a whole in the first n bytes.
func (v *cutConversation) whole(n int, web bool) []string {
	var methods []string
	end := 0
	if web {
		end = len(upgradeRequest)
	}
	for _, r := range v.requests {
		if web {
			end += len(frame(opText, r))
		} else {
			end += len(r) // the line end may be lost: the end of the stream is one, too
		}
		if end > n {
			break
		}
		if !web {
			end++
		}
		methods = append(methods, parse([]byte(r)).Str("method"))
	}
	return methods
}

// found tells which of the changes happened, and requires that none happened twice.
func (v *cutConversation) found() map[string]bool {
	v.c.t.Helper()
	counts := map[string]int{}
	for _, tn := range v.c.list("thread/turns/list", p{"threadId": v.thread}) {
		counts[tn.Str("input.0.text")]++
	}
	decided := false
	for _, it := range v.c.list("thread/items/list", p{"threadId": v.thread}) {
		if it.Str("type") == "userMessage" && it.Str("delivery") == "steer" {
			counts[it.Str("content.0.text")]++
		}
		decided = decided || it.Str("type") == "approval" && it.Str("decision") == "accept"
	}
	_, err := v.c.Do("thread/read", p{"threadId": v.next})
	for _, text := range []string{cutQueued, cutRun, cutSteered} {
		if counts[text] > 1 {
			v.c.t.Errorf("the input %q is there %d times", text, counts[text])
		}
	}
	return map[string]bool{
		"approval/respond": decided, "turn/enqueue": counts[cutQueued] > 0, "turn/steer": counts[cutSteered] > 0,
		"turn/run": counts[cutRun] > 0, "thread/start": err == nil,
	}
}

// check looks at what became of the conversation after its first n bytes: each request
// happened or did not, none of which more was missing than its line end, and its repeat
// with the same key gives the first result. must are those that must have happened.
func (v *cutConversation) check(n int, web bool, must []string) {
	v.c.t.Helper()
	whole, found := v.whole(n, web), v.found()
	for i, method := range cutMutations {
		sent := slices.Contains(whole, method)
		switch {
		case found[method] && !sent:
			v.c.t.Errorf("of %s not all bytes were sent, and it happened", method)
		case method == "turn/steer" && !found[method]: // see below
		case slices.Contains(must, method) && !found[method] && !(method == "approval/respond" && slices.Contains(whole, "turn/interrupt")):
			v.c.t.Errorf("%s was sent as a whole, the daemon had the time to do it, and it did not happen", method)
		case found[method] && i > 1 && !found[cutMutations[i-1]] && cutMutations[i-1] != "turn/steer":
			v.c.t.Errorf("%s happened, and %s before it did not", method, cutMutations[i-1])
		}
	}
	for _, method := range cutMutations[1:] {
		first := v.c.Call(method, v.params(method))
		if method == "turn/steer" && !found[method] && first.Bool("replayed") {
			// It was accepted, and neither the agent nor the end of its turn has taken it yet.
			poll(v.c, "that the steer is taken", func() bool { found = v.found(); return found[method] })
		}
		if method == "turn/steer" && !found[method] && (slices.Contains(must, method) || found["turn/run"]) {
			v.c.t.Errorf("turn/steer was sent as a whole, the daemon did what follows it, and it did not happen")
		}
		if first.Bool("replayed") != found[method] {
			v.c.t.Errorf("%s happened: %v, and its repeat is answered with %s", method, found[method], first)
		}
		again := v.c.Call(method, v.params(method))
		if !again.Bool("replayed") || again.Str("turn.id") != first.Str("turn.id") || again.Str("thread.id") != first.Str("thread.id") {
			v.c.t.Errorf("%s is answered with %s, and then with %s", method, first, again)
		}
	}
	v.c.Call("turn/interrupt", p{"threadId": v.thread, "queue": "keep"})
	v.c.End(v.thread, v.turn)
	for method, there := range v.found() {
		if !there && method != "approval/respond" { // the interrupt may have closed it
			v.c.t.Errorf("%s was repeated and did not happen", method)
		}
	}
}

// cutVariant is a way to cut.
type cutVariant struct {
	name       string
	web, reset bool
}

var cutVariants = []cutVariant{
	{"Unix, FIN", false, false},
	{"Unix, RST", false, true},
	{"WebSocket, FIN", true, false},
	{"WebSocket, RST", true, true},
}

// cutsPerDaemon bounds over how many conversations the invariants are checked at once: what
// that costs grows with the square of it.
const cutsPerDaemon = 100

// TestTortureNetworkCut cuts a conversation at every byte, or in the short version at some.
func TestTortureNetworkCut(t *testing.T) {
	step := 197
	if *tortureLong {
		step = 1
	}
	for k, way := range cutVariants {
		t.Run(way.name, func(t *testing.T) {
			for at := k * 13 % step; at >= 0 && !t.Failed(); {
				next := -1
				t.Run(fmt.Sprintf("from byte %d", at), func(t *testing.T) { next = cutFrom(t, at, step, way) })
				at = next
			}
		})
	}
}

// cutFrom cuts conversations with a daemon of their own, the first one behind so many bytes,
// and returns where to go on, -1 at the end.
func cutFrom(t *testing.T, at, step int, way cutVariant) int {
	d := startDaemon(t)
	b := d.bystander()
	for range cutsPerDaemon {
		c := d.Dial("unix", named(fmt.Sprintf("control %d", at)))
		v := newCutConversation(c, at)
		bytes := v.bytes(way.web)
		if at > len(bytes) {
			v.c.Call("turn/interrupt", p{"threadId": v.thread})
			c.Close()
			at = -1
			break
		}
		d.cutAt(b, v, bytes[:at], way)
		c.Close()
		b.AloneAgain(1) // else the next one could be taken for another that is still there
		if t.Failed() {
			t.Fatalf("cut after %d of %d bytes: ...%q", at, len(bytes), bytes[max(0, at-60):at])
		}
		at += step
	}
	b.Undisturbed()
	return at
}

// cutAt sends the beginning of a conversation, cuts, and looks at what is left of it.
func (d *daemon) cutAt(b *bystander, v *cutConversation, sent string, way cutVariant) {
	d.t.Helper()
	dial := d.unixSocket
	if way.web {
		dial = d.tcpSocket
	}
	s := dial()
	head := 0
	if way.web {
		head = min(len(sent), len(upgradeRequest))
		s.put(sent[:head])
	}
	if head == len(upgradeRequest) {
		if status, _ := s.response(); status != "101" {
			d.t.Errorf("the upgrade is answered with %q", status)
		}
	}
	if !way.web || head == len(upgradeRequest) {
		b.AloneAgain(3) // else it could be cut before the daemon knows of it, and be read later
	}
	s.put(sent[head:])
	var must []string
	switch {
	case way.reset && len(sent)%2 == 0: // half of the resets come after the answers
		must = v.whole(len(sent)-1, way.web)
		s.awaitAnswers(len(must), way.web)
	case !way.web && !way.reset: // the daemon answers what came before the end
		must = v.whole(len(sent), way.web)
	}
	s.cut(way.reset)
	b.AloneAgain(2)
	v.check(len(sent), way.web, must)
}

// awaitAnswers reads until as many messages were answered; "initialized" has no answer.
func (s *socket) awaitAnswers(messages int, web bool) {
	s.t.Helper()
	switch messages {
	case 0:
		return
	case 1:
	default:
		messages--
	}
	for answers := 0; answers < messages; {
		raw, err := s.receive(web)
		if err != nil {
			s.t.Errorf("after %d of %d answers: %v", answers, messages, err)
			return
		}
		if m := parse(raw); m.Has("result") || m.Has("error") {
			answers++
		}
	}
}
