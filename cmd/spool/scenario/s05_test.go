package scenario_test

import (
	"errors"
	"testing"
)

func TestS05_BusyWithoutTheOption(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	held := c.Hold(thr, "/say A")
	before := c.ReadAll(thr)

	for _, method := range []string{"turn/start", "turn/run"} {
		e := c.Refused(method, p{"threadId": thr, "input": "again"})
		e.Want(t, -32012, "TurnInProgress")
		if e.At("activeTurnId").Str("") != held || e.At("queueLength").String() != "0" {
			t.Errorf("%s: data is %v", method, e.Data)
		}
	}
	if after := c.ReadAll(thr); after.String() != before.String() {
		t.Errorf("the refusal left a trace:\n%s\n%s", before, after)
	}
	c.Release(thr, held)
	c.Await("turn/completed", p{"turnId": held, "turn.text": "A"})
}

func TestS05_FiftyStartsAtOnce(t *testing.T) {
	d := startDaemon(t)
	const many = 50
	clients := make([]*client, many)
	for i := range clients {
		clients[i] = d.Dial([]string{"unix", "ws"}[i%2])
	}
	thr := clients[0].StartThread(nil)
	answers := make([]*answer, many)
	for i, c := range clients {
		answers[i] = c.Go("turn/start", p{"threadId": thr, "input": "/hold"})
	}
	started := ""
	var refused []*wireError
	for _, a := range answers {
		r, err := a.Wait()
		if we, ok := errors.AsType[*wireError](err); ok {
			refused = append(refused, we)
		} else if err != nil || started != "" || r.Str("disposition") != "started" {
			t.Fatalf("%s %v, after %q had started", r, err, started)
		} else {
			started = r.Str("turn.id")
		}
	}
	if started == "" || len(refused) != many-1 {
		t.Fatalf("%q started, %d were refused", started, len(refused))
	}
	for _, we := range refused {
		we.Want(t, -32012, "TurnInProgress")
		if we.At("activeTurnId").Str("") != started {
			t.Errorf("the refusal names %v", we.Data)
		}
	}
	if turns := clients[1].ReadAll(thr).List("turns"); len(turns) != 1 {
		t.Errorf("the thread has %d turns", len(turns))
	}
	clients[0].Release(thr, started)
	clients[0].End(thr, started)
}
