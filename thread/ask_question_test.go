package thread_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

func options(labels ...string) (o []protocol.Option) {
	for _, l := range labels {
		o = append(o, protocol.Option{Label: l})
	}
	return o
}

func TestQuestion(t *testing.T) {
	inWorld(t, func(w *world) {
		p, q := w.responder("ann", "", questions), w.responder("ann", "", questions)
		id := w.start(protocol.ThreadOptions{})
		w.watch(p, id, "")
		w.watch(q, id, "")
		h := w.held(id, "go")
		got := h.ask(
			protocol.Question{ID: "where", Question: "Where to?", Options: options("staging", "production")},
			protocol.Question{Question: "When?", Options: options("now", "later"), AllowOther: true},
			protocol.Question{Question: "Why?"},
		)
		first := get[protocol.QuestionRequestParams](p.only(t, questions))
		if first.Questions[0].ID != "where" || first.Questions[1].ID != "q2" || first.Questions[2].ID != "q3" {
			t.Fatalf("%+v", first)
		}
		for name, answers := range map[string]string{
			"none":               `{}`,
			"not all":            `{"where":{"answers":["staging"]},"q2":{"answers":["now"]}}`,
			"an empty one":       `{"where":{"answers":["staging"]},"q2":{"answers":["now"]},"q3":{"answers":[]}}`,
			"another option":     `{"where":{"answers":["moon"]},"q2":{"answers":["now"]},"q3":{"answers":["x"]}}`,
			"one more":           `{"where":{"answers":["staging"]},"q2":{"answers":["now"]},"q3":{"answers":["x"]},"q4":{"answers":["x"]}}`,
			"more than an item":  `{"where":{"answers":["staging"]},"q2":{"answers":["now"]},"q3":{"answers":["` + strings.Repeat("x", 5000) + `"]}}`,
			"an option and more": `{"where":{"answers":["staging","moon"]},"q2":{"answers":["now"]},"q3":{"answers":["x"]}}`,
		} {
			var a map[string]protocol.Answer
			if err := json.Unmarshal([]byte(answers), &a); err != nil {
				t.Fatal(err)
			}
			e := refused(t, protocol.CodeInvalidParams, w.m.QuestionRespond, ann, protocol.QuestionRespondParams{RequestID: first.RequestID, Answers: a})
			if !strings.HasPrefix(e.Data.Field, "answers") {
				t.Errorf("%s: %+v", name, e.Data)
			}
			b := w.responder("ann", "", questions)
			w.watch(b, id, "")
			b.only(t, questions).reply(`{"answers":` + answers + `}`)
			waits(t, got)
			w.leave(b)
		}
		good := map[string]protocol.Answer{"where": {Answers: []string{"staging"}}, "q2": {Answers: []string{"tomorrow"}}, "q3": {Answers: []string{"because", "so"}}}
		raw, _ := json.Marshal(good)
		q.only(t, questions).reply(fmt.Sprintf(`{"answers":%s}`, raw))
		same(t, "what the agent heard", good, hears(t, got))
		it := w.item(id, h.in.Turn.ID, protocol.ItemQuestion)
		same(t, "the item", good, it.Answers)
		if it.Outcome != "answered" || it.By.ConnectionID != q.who.ConnectionID || it.Status != protocol.ItemCompleted {
			t.Errorf("%+v", it)
		}
		p.none(t, questions) // withdrawn
		refused(t, protocol.CodeAlreadyResolved, w.m.QuestionRespond, ann, protocol.QuestionRespondParams{RequestID: first.RequestID, Answers: good})
		refused(t, protocol.CodeItemNotFound, w.m.QuestionRespond, by("bo"), protocol.QuestionRespondParams{RequestID: first.RequestID, Answers: good})
	}, limits(thread.Limits{MaxItemBytes: 4000}))
}

// The answer to a secret question reaches the agent, and nothing else.
func TestSecretAnswer(t *testing.T) {
	const secret = "hunter2!"
	for _, how := range []string{"response", "method"} {
		inWorld(t, func(w *world) {
			p, q := w.responder("ann", "", questions), w.responder("ann", "", questions)
			id := w.start(protocol.ThreadOptions{})
			w.watch(p, id, "")
			w.watch(q, id, "")
			h := w.held(id, "go")
			got := h.ask(protocol.Question{Question: "Password?", Secret: true}, protocol.Question{Question: "Name?"})
			r := p.only(t, questions)
			respond := protocol.QuestionRespondParams{
				RequestID: get[protocol.QuestionRequestParams](r).RequestID,
				Answers:   map[string]protocol.Answer{"q1": {Answers: []string{secret}}, "q2": {Answers: []string{"Ann"}}},
			}
			respond.IdempotencyKey = "k"
			call := as(q)
			call.Hash = []byte("the hash of the params") // that of the kit holds them
			var told []any
			if how == "response" {
				r.reply(`{"answers":{"q1":{"answers":["` + secret + `"]},"q2":{"answers":["Ann"]}}}`)
			} else {
				told = append(told, do(t, w.m.QuestionRespond, call, respond), do(t, w.m.QuestionRespond, call, respond))
			}
			if a := hears(t, got); a["q1"].Answers[0] != secret || a["q2"].Answers[0] != "Ann" {
				t.Errorf("the agent heard %+v", a)
			}
			h.done(completes)
			told = append(told, w.read(id), w.export(id), q.told(t), w.items(id, 10))
			all, err := json.Marshal(told)
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(all, []byte(secret)) {
				t.Errorf("%s: the secret is told: %s", how, all)
			}
			if it := w.item(id, h.in.Turn.ID, protocol.ItemQuestion); it.Answers["q2"].Answers[0] != "Ann" {
				t.Errorf("%s: %+v", how, it)
			}
			w.reopen()
			if how == "method" {
				r := do(t, w.m.QuestionRespond, call, respond)
				if raw, _ := json.Marshal(r); !r.Replayed || bytes.Contains(raw, []byte(secret)) {
					t.Errorf("replayed: %s", raw)
				}
			}
		})
	}
}

// told returns all that a connection was told, as text.
func (p *responder) told(t tb) (all []string) {
	for _, f := range p.take(t) {
		all = append(all, string(f))
	}
	return all
}

// Where nobody answers, the agent goes on without.
func TestQuestionThatNobodyAnswers(t *testing.T) {
	for _, tt := range []struct {
		config, outcome string
		after           time.Duration
	}{
		{`{"approvalTimeoutMs":1000}`, "timedOut", time.Second},
		{`{"noApprover":"decline"}`, "cancelled", 0},
		{`{"noApprover":"cancel"}`, "cancelled", 0},
	} {
		inWorld(t, func(w *world) {
			id := w.configured(tt.config)
			h := w.held(id, "go")
			got := h.ask(protocol.Question{Question: "Where?"})
			<-time.After(tt.after)
			synctest.Wait()
			if strings.Contains(tt.config, "cancel") {
				stops(t, got)
			} else if a := hears(t, got); a != nil {
				t.Errorf("%s: the agent heard %+v", tt.config, a)
			}
			it := w.item(id, h.in.Turn.ID, protocol.ItemQuestion)
			if it.Outcome != tt.outcome || it.Answers != nil || it.By != nil {
				t.Errorf("%s: %+v", tt.config, it)
			}
			want := protocol.CodeAlreadyResolved
			if tt.outcome == "timedOut" {
				want = protocol.CodeApprovalExpired
			}
			refused(t, want, w.m.QuestionRespond, ann, protocol.QuestionRespondParams{RequestID: it.RequestID, Answers: map[string]protocol.Answer{"q1": {Answers: []string{"x"}}}})
		})
	}
}
