package scenario_test

import (
	"maps"
	"slices"
	"testing"
)

const whereTo = "/ask Where to? | staging | production"

// answers are those to a question with the id q1.
func answers(texts ...string) p { return p{"answers": p{"q1": p{"answers": texts}}} }

// answerTo makes the params of question/respond.
func answerTo(request string, a p) p {
	params := p{"requestId": request}
	maps.Copy(params, a)
	return params
}

func TestS38_AskedAgainAfterAReload(t *testing.T) {
	d := startDaemon(t)
	first, second := d.Dial("ws", able("questions")), d.Dial("unix", able("questions"))
	thr := first.StartThread(nil)
	second.Call("thread/subscribe", p{"threadId": thr})
	turn := first.Run(thr, whereTo+"\n/say on\n/history")
	asked := first.Await("item/question/request", p{"turnId": turn})
	request, item := asked.Body().Str("requestId"), asked.Body().Str("itemId")
	if !asked.Body().fits(p{"threadId": thr, "questions": []p{{"id": "q1", "header": "Where to?", "question": "Where to?", "options": []p{{"label": "staging"}, {"label": "production"}}, "allowOther": false, "secret": false}}}) {
		t.Errorf("the question is %s", asked.raw)
	}

	// The browser is reloaded, in every way there is to come back; the question is asked again.
	var back []*client
	var open []*message
	for i, come := range []struct {
		method string
		params p
	}{
		{"thread/subscribe", p{}}, {"thread/subscribe", p{"afterSeq": 0}}, {"thread/resume", p{}}, {"thread/resume", p{"afterSeq": 2}},
	} {
		if i == 0 {
			first.Drop()
		}
		c := d.Dial([]string{"ws", "unix", "stdio"}[i%3], able("questions"))
		come.params["threadId"] = thr
		r := c.Call(come.method, come.params)
		if pending := r.List("pending"); len(pending) != 1 || !pending[0].fits(p{"id": item, "type": "question", "status": "inProgress", "requestId": request}) {
			t.Errorf("%s %v answers %s", come.method, come.params, r)
		}
		again := c.Await("item/question/request", nil)
		if again.Body().String() != asked.Body().String() {
			t.Errorf("first it was asked %s, after %s %s", asked.raw, come.method, again.raw)
		}
		back, open = append(back, c), append(open, again)
	}
	// To subscribe again does not ask again.
	back[0].Call("thread/subscribe", p{"threadId": thr})
	back[0].Sync(thr)
	if n := len(back[0].Seen("item/question/request", nil)); n != 1 {
		t.Errorf("it is asked %d times", n)
	}

	// An answer that does not fit leaves the question open, in either way.
	for field, a := range map[string]p{
		"answers.q1":            {"answers": p{}},
		"answers.q2":            {"answers": p{"q1": p{"answers": []string{"staging"}}, "q2": p{"answers": []string{"x"}}}},
		"answers.q1.answers[0]": answers("moon"),
		"answers.q1.answers[1]": answers("staging", "moon"),
		"answers":               {},
	} {
		we := back[1].Refused("question/respond", answerTo(request, a))
		we.Want(t, -32602, "InvalidParams")
		if we.At("field").Str("") != field {
			t.Errorf("%v is refused with %v; want the field %s", a, we, field)
		}
	}
	back[1].Reply(open[1], answers("moon"))
	back[1].Counted("answers.invalid", 1)
	back[2].SendRaw(`{"jsonrpc":"2.0","id":` + open[2].id + `,"error":{"code":-32601,"message":"no such method"}}`)
	back[1].Counted("answers.invalid", 2)
	if now := back[1].Sync(thr); !now.fits(p{"thread.runtime.waitingOn": []string{"question"}, "pending.0.requestId": request}) {
		t.Errorf("after these answers the thread is %s", now)
	}
	d.Check()

	// The second tab answers, and the first answers too.
	second.Reply(second.Await("item/question/request", nil), answers("staging"))
	for _, c := range append(back, second) {
		m := c.Await("item/question/resolved", p{"itemId": item})
		if !m.Body().fits(p{"item.status": "completed", "item.outcome": "answered", "item.requestId": request, "item.answers": p{"q1": p{"answers": []string{"staging"}}}, "by.connectionId": second.ID}) {
			t.Errorf("%s: it is resolved by %s", c.name, m.raw)
		}
	}
	back[0].Withdrawn(open[0])
	back[3].Withdrawn(open[3])
	second.Never("$/cancelRequest", nil)
	back[0].Reply(open[0], answers("production"))
	late := back[3].Refused("question/respond", answerTo(request, answers("production")))
	late.Want(t, -31118, "AlreadyResolved")
	if late.At("decision").Str("") != "answered" {
		t.Errorf("the late answer is refused with %v", late)
	}
	second.Counted("answers.late", 1)

	if said := second.Said(thr, turn); !slices.Equal(said, []string{"staging", "on", textOf("userMessage: "+whereTo+" /say on /history", "question: Where to? staging", "agentMessage: staging", "agentMessage: on")}) {
		t.Errorf("the turn said %q", said)
	}
	second.Refused("question/respond", answerTo("qst_01ARZ3NDEKTSV4RRFFQ69G5FAV", answers("x"))).Want(t, -31115, "ItemNotFound")
}

// Without options any answer will do; several are joined.
func TestS38_OpenQuestion(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("stdio", able("questions"))
	thr := c.StartThread(nil)
	turn := c.Run(thr, "/ask Your name?")
	asked := c.Await("item/question/request", p{"turnId": turn})
	if !asked.Body().fits(p{"questions.0.allowOther": true, "questions.0.options": nil}) {
		t.Errorf("it is asked %s", asked.raw)
	}
	r := c.Call("question/respond", answerTo(asked.Body().Str("requestId"), answers("Ann", "also Änne 😀")))
	if !r.fits(p{"item.status": "completed", "item.outcome": "answered", "item.by.connectionId": c.ID}) {
		t.Errorf("the answer is answered with %s", r)
	}
	if said := c.Said(thr, turn); !slices.Equal(said, []string{"Ann, also Änne 😀"}) {
		t.Errorf("the turn said %q", said)
	}
}

// Nobody is there who can answer: the question waits for one.
func TestS38_NobodyIsThere(t *testing.T) {
	d := startDaemon(t)
	cannot := d.Dial("ws")
	thr := cannot.StartThread(nil)
	turn := cannot.Run(thr, whereTo)
	cannot.Await("item/question/requested", p{"turnId": turn})
	watch := d.Dial("ws", able("questions"))
	watch.Call("thread/subscribe", p{"threadId": thr, "role": "observer"})
	list := cannot.Call("question/list", nil)
	if len(list.List("data")) != 1 || list.Str("data.0.threadId") != thr {
		t.Errorf("question/list gives %s", list)
	}
	cannot.Close()
	c := d.Dial("unix", able("questions"))
	c.Call("thread/resume", p{"threadId": thr})
	c.Reply(c.Await("item/question/request", p{"turnId": turn}), answers("production"))
	if said := c.Said(thr, turn); !slices.Equal(said, []string{"production"}) {
		t.Errorf("the turn said %q", said)
	}
	watch.Await("item/question/resolved", p{"turnId": turn})
	watch.Never("item/question/request", nil)
}

// The daemon dies while the question is open: nobody answered it, and it is over.
func TestS38_Restart(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("ws", able("questions"))
	thr := c.StartThread(nil)
	turn := c.Run(thr, "/say Hello\n"+whereTo)
	asked := c.Await("item/question/request", p{"turnId": turn})
	request, item := asked.Body().Str("requestId"), asked.Body().Str("itemId")
	seq := c.Await("item/question/requested", p{"turnId": turn}).Seq
	queued := c.Enqueue(thr, "/say queued")

	d.Restart()

	c = d.Dial("unix", able("questions"))
	r := c.Call("thread/subscribe", p{"threadId": thr, "afterSeq": seq})
	if len(r.List("pending")) != 0 || !r.fits(p{"thread.runtime.waitingOn": []any{}, "thread.runtime.busy": false, "thread.runtime.queuePaused": true, "thread.runtime.pauseReason": "serverRestarted"}) {
		t.Errorf("after the restart subscribe answers %s", r)
	}
	resolved := c.Await("item/question/resolved", p{"itemId": item})
	if !resolved.Body().fits(p{"item.status": "interrupted", "item.outcome": "abandoned", "item.requestId": request, "item.answers": nil, "by": nil, "item.by": nil}) {
		t.Errorf("it is resolved by %s", resolved.raw)
	}
	end := c.Await("turn/failed", p{"turnId": turn})
	if !end.Body().fits(p{"turn.error.code": "ServerRestarted", "turn.error.retryable": true, "turn.text": "Hello"}) || end.Seq < resolved.Seq {
		t.Errorf("the turn ended as %s", end.raw)
	}
	if got := types(c.Items(thr, turn)); !slices.Equal(got, []string{"userMessage completed", "agentMessage completed", "question interrupted", "notice completed"}) {
		t.Errorf("the items are %v", got)
	}
	late := c.Refused("question/respond", answerTo(request, answers("staging")))
	late.Want(t, -31118, "AlreadyResolved")
	if late.At("decision").Str("") != "abandoned" {
		t.Errorf("the late answer is refused with %v", late)
	}
	c.Never("item/question/request", nil)
	c.Call("turn/queue/resume", p{"threadId": thr})
	c.End(thr, queued)
}

// Several kinds of questions at once, of several threads, reach who can answer them.
func TestS38_EveryoneHearsOfTheirOwn(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("ws", able("questions", "approvals"))
	only := d.Dial("unix", able("approvals"))
	var threads []string
	for range 5 {
		thr := c.StartThread(nil)
		only.Call("thread/subscribe", p{"threadId": thr})
		c.Run(thr, "/ask Go on? | yes | no\n/approve file write it")
		threads = append(threads, thr)
	}
	for i, thr := range threads {
		word := []string{"yes", "no"}[i%2]
		c.Reply(c.Await("item/question/request", p{"threadId": thr}), answers(word))
		approver := []*client{c, only}[i%2]
		approver.Reply(approver.Await("item/approval/request", p{"threadId": thr}), p{"decision": "accept"})
		c.Await("turn/completed", p{"threadId": thr, "turn.text": word + "\n\naccepted"})
	}
	only.Never("item/question/request", nil)
}
