package scenario_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spoolhq/spool/sdk"
)

// three are the subscribers of one thread: plain, with deltas joined, and without deltas.
type three struct {
	plain, joined, whole *client
	thr                  string
}

func subscribeThree(d *daemon, coalesce p) three {
	d.t.Helper()
	s := three{
		plain: d.Dial("unix"), joined: d.Dial("ws"),
		whole: d.Dial("stdio", hello(p{"capabilities": p{"streaming": false}})),
	}
	s.thr = s.plain.StartThread(nil)
	s.joined.Call("thread/subscribe", p{"threadId": s.thr, "coalesce": coalesce})
	s.whole.Call("thread/subscribe", p{"threadId": s.thr})
	return s
}

// run runs an input and compares what the three are told. The deltas of the plain and the
// joined subscriber are returned; they have been built up to the completed text.
func (s *three) run(t *testing.T, input, text string) (plain, joined []*message) {
	t.Helper()
	turn := s.plain.Run(s.thr, input)
	for _, c := range []*client{s.plain, s.joined, s.whole} {
		end := c.Await("turn/completed", p{"turnId": turn})
		if got := end.Body().Str("turn.text"); got != text {
			t.Errorf("%s: the turn's text is %.100q (%d bytes); want %.100q (%d bytes)", c.name, got, len(got), text, len(text))
		}
		if got := strings.Join(c.built(t, turn), "\n\n"); got != text {
			t.Errorf("%s: it built up %.100q (%d bytes); want %.100q (%d bytes)", c.name, got, len(got), text, len(text))
		}
	}
	want := s.plain.durable(turn)
	for _, c := range []*client{s.joined, s.whole} {
		if got := c.durable(turn); !slices.Equal(got, want) {
			t.Errorf("%s was told\n%s\nand %s\n%s", s.plain.name, strings.Join(want, "\n"), c.name, strings.Join(got, "\n"))
		}
	}
	if deltas := s.whole.deltas(turn); len(deltas) > 0 {
		t.Errorf("who wants no deltas gets %d", len(deltas))
	}
	if items := s.whole.Seen("item/started", p{"turnId": turn}); len(items) == 0 {
		t.Error("who wants no deltas is not told that the item began")
	}
	return s.plain.deltas(turn), s.joined.deltas(turn)
}

// deltas returns the deltas of messages of a turn.
func (c *client) deltas(turn string) []*message {
	return c.Seen("item/agentMessage/delta", p{"turnId": turn})
}

// built returns the texts of the messages of a turn as a client shows them: from deltas if
// there are any, and corrected by the completed item.
func (c *client) built(t *testing.T, turn string) []string {
	t.Helper()
	held := map[string]string{}
	var texts []string
	for _, m := range c.about(turn) {
		switch {
		case m.method == "item/agentMessage/delta":
			if !utf8.ValidString(m.Delta) || strings.ContainsRune(m.Delta, utf8.RuneError) {
				t.Errorf("%s: a delta cuts a rune: %q", c.name, m.Delta)
			}
			if m.Offset != len(held[m.ItemID]) {
				t.Errorf("%s: a delta has offset %d behind %d bytes", c.name, m.Offset, len(held[m.ItemID]))
			}
			held[m.ItemID] += m.Delta
		case m.method == "item/completed" && m.Body().Str("item.type") == "agentMessage":
			text := m.Body().Str("item.text")
			if of(c.hello).At("capabilities.streaming").v != false && held[m.ItemID] != text {
				t.Errorf("%s: the deltas make %.100q, the item says %.100q", c.name, held[m.ItemID], text)
			}
			texts = append(texts, text)
		}
	}
	return texts
}

// sizes returns the least and the greatest number of bytes of the deltas but the last.
func sizes(deltas []*message) (least, most int) {
	least = 1 << 30
	for _, m := range deltas[:len(deltas)-1] {
		least, most = min(least, len(m.Delta)), max(most, len(m.Delta))
	}
	return least, most
}

// never is a maxDelayMs that no turn of a test reaches.
const never = 3_600_000

func TestS36_ManyDeltas(t *testing.T) {
	d := startDaemon(t)
	s := subscribeThree(d, p{"maxDelayMs": never, "maxBytes": 10})
	text := strings.Repeat("0123456789", 101)[:1003]

	plain, joined := s.run(t, "/deltas 1003 1", text)
	if len(plain) != 1003 {
		t.Errorf("the plain subscriber got %d deltas", len(plain))
	}
	if n := len(joined); n != 101 {
		t.Errorf("the joining one got %d deltas", n)
	}
	if least, most := sizes(joined); least != 10 || most != 10 {
		t.Errorf("the deltas have %d to %d bytes", least, most)
	}
	// A client of the SDK ends with the same text.
	runner, _ := d.sdk(nil)
	ctx, cancel := withTimeout()
	defer cancel()
	result, err := runner.Threads().Get(s.thr).Run(ctx, sdk.Text("/deltas 1003 1"), nil)
	if err != nil || result.Text != text {
		t.Errorf("the sdk gives %v %.100v", err, result)
	}
}

// Nothing is held back for long: what is said comes while the turn waits, though it fills
// no delta.
func TestS36_NoneIsHeldBack(t *testing.T) {
	d := startDaemon(t)
	for _, coalesce := range []p{{"maxDelayMs": 50, "maxBytes": 1000}, {}} {
		s := subscribeThree(d, coalesce)
		turn := s.plain.Run(s.thr, "/deltas 2 3 10m")
		m := s.joined.Await("item/agentMessage/delta", p{"turnId": turn})
		if m.Offset != 0 || m.Delta != "012" {
			t.Errorf("with %v the first delta is %s", coalesce, m.raw)
		}
		s.plain.Call("turn/interrupt", p{"threadId": s.thr})
		s.joined.Await("turn/cancelled", p{"turnId": turn, "turn.text": "012"})

		s.oneByOne(t)
	}
}

// oneByOne requires that deltas with pauses between them are not joined. On a machine that
// stands still for as long as a pause some are: then it looks again.
func (s *three) oneByOne(t *testing.T) {
	t.Helper()
	var plain, joined []*message
	for range 10 {
		if plain, joined = s.run(t, "/deltas 5 1 200ms", "01234"); len(plain) == 5 && len(joined) >= 3 {
			return
		}
	}
	t.Errorf("there are %d and %d deltas", len(plain), len(joined))
}

func TestS36_RunesAreNotCut(t *testing.T) {
	d := startDaemon(t)
	texts := []string{
		"äöüßé 0123456789 grüßt Köln",
		strings.Repeat("äöü", 40) + " " + strings.Repeat("€", 33) + " " + strings.Repeat("😀", 25),
		"👩‍👩‍👧‍👦 🇩🇪🇫🇷 e\u0301 日本語テキスト \u2028 \u0000 <b>&amp;</b> \\u00e4 \"quoted\" \t.",
		strings.Repeat("x", 9) + "😀" + strings.Repeat("ä", 9) + "😀",
	}
	for _, maxBytes := range []int{10, 7, 3, 1} {
		s := subscribeThree(d, p{"maxDelayMs": never, "maxBytes": maxBytes})
		for _, text := range texts {
			_, joined := s.run(t, "/say "+text, text)
			for _, m := range joined {
				if n := len(m.Delta); n > maxBytes && utf8.RuneCountInString(m.Delta) > 1 {
					t.Errorf("with maxBytes %d a delta is %q", maxBytes, m.Delta)
				}
			}
			if least, _ := sizes(joined); maxBytes == 10 && least < 7 {
				t.Errorf("a delta of %d bytes left early", least)
			}
		}
		// Several items of one turn: what is held of one leaves before the next begins.
		text := "grün\n\nGrüße 😀\n\nEnde"
		s.run(t, "/say grün\n/think hm, schön\n/say Grüße 😀\n/state {\"a\":1}\n/say Ende", text)
	}
}

// A turn whose config says so is not streamed to anybody.
func TestS36_StreamFalse(t *testing.T) {
	d := startDaemon(t)
	s := subscribeThree(d, p{"maxBytes": 10})
	turn := s.plain.Call("turn/run", p{"threadId": s.thr, "input": "/say a b c\n/deltas 10 10", "config": p{"stream": false}}).Str("turn.id")
	for _, c := range []*client{s.plain, s.joined, s.whole} {
		c.Await("turn/completed", p{"turnId": turn})
		if n := len(c.deltas(turn)); n != 0 {
			t.Errorf("%s got %d deltas", c.name, n)
		}
	}
}

// Who subscribes in the middle, with joined deltas, continues the snapshot.
func TestS36_JoinedInTheMiddle(t *testing.T) {
	d := startDaemon(t)
	s := subscribeThree(d, p{})
	turn := s.plain.Run(s.thr, "/deltas 100000 7 10ms")
	var late []*client
	for i := range 12 {
		s.plain.Await("item/agentMessage/delta", p{"turnId": turn, "offset": 7 * 4 * i})
		c := d.Dial("unix")
		params := p{"threadId": s.thr, "coalesce": p{"maxDelayMs": 20 + i, "maxBytes": 5 + 3*i}}
		if i%2 == 0 {
			params["afterSeq"] = 0
		}
		mark := c.Mark()
		c.Call("thread/subscribe", params)
		c.AwaitFrom(mark, "item/agentMessage/delta", p{"turnId": turn})
		late = append(late, c)
	}
	// Subscribing again changes how deltas come, and loses none.
	s.joined.Call("thread/subscribe", p{"threadId": s.thr, "coalesce": p{"maxDelayMs": 1, "maxBytes": 1}})
	s.plain.Call("thread/subscribe", p{"threadId": s.thr})
	mark := s.joined.Mark()
	s.joined.AwaitFrom(mark, "item/agentMessage/delta", p{"turnId": turn})
	s.plain.Call("turn/interrupt", p{"threadId": s.thr})
	for _, c := range append(late, s.plain, s.joined, s.whole) {
		c.Await("turn/cancelled", p{"turnId": turn})
	}
}
