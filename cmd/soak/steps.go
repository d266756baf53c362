package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// step is one thing that is done to a thread.
type step struct {
	name   string
	weight int // how often, beside the others
	do     func(*hand, context.Context) error
}

// steps lists all of them.
var steps = []step{
	{"say", 20, (*hand).say},
	{"digits", 10, (*hand).digits},
	{"think", 6, (*hand).think},
	{"fail", 3, (*hand).failed},
	{"interrupt", 6, (*hand).interrupt},
	{"queue", 5, (*hand).queue},
	{"append", 6, (*hand).appended},
	{"approve", 5, (*hand).approve},
	{"ask", 3, (*hand).ask},
	{"tool", 3, (*hand).tool},
	{"rename", 4, (*hand).rename},
	{"metadata", 4, (*hand).metadata},
	{"list", 3, (*hand).list},
	{"look back", 6, (*hand).lookBack},
	{"fork", 1, (*hand).fork},
	{"roll back", 1, (*hand).rollBack},
	{"reset", 1, (*hand).reset},
}

// anyStep picks a step by its weight.
func anyStep() step {
	sum := 0
	for _, s := range steps {
		sum += s.weight
	}
	n := rand.IntN(sum)
	for _, s := range steps {
		if n -= s.weight; n < 0 {
			return s
		}
	}
	panic("the weights do not add up")
}

// run runs a script that must complete with a text.
func (h *hand) run(ctx context.Context, script, text string) error {
	r, err := h.thread.Run(ctx, sdk.Text(script), nil)
	if err != nil {
		return err
	}
	return h.ended(r, ending{status: protocol.TurnCompleted, text: text})
}

// words is a text of some words.
func words() string {
	text := strings.Repeat("some words that are kept and told ", 1+rand.IntN(20))
	return fmt.Sprintf("%s%d.", text, rand.IntN(1000))
}

func (h *hand) say(ctx context.Context) error {
	text := words()
	return h.run(ctx, "/say "+text, text)
}

// tenDigits is what /deltas says n bytes of.
func tenDigits(n int) string { return strings.Repeat("0123456789", n/10+1)[:n] }

func (h *hand) digits(ctx context.Context) error {
	n, size := 20+rand.IntN(200), 5+rand.IntN(60)
	return h.run(ctx, fmt.Sprintf("/deltas %d %d", n, size), tenDigits(n*size))
}

func (h *hand) think(ctx context.Context) error {
	text := words()
	script := "/think About it.\n/plan first; second; third\n" + `/state {"at":1}` + "\n" + `/state {"at":2,"more":"x"}` + "\n/usage 10 20\n/say " + text
	return h.run(ctx, script, text)
}

func (h *hand) failed(ctx context.Context) error {
	_, err := h.thread.Run(ctx, sdk.Text("/say before\n/fail on purpose"), nil)
	e, ok := errors.AsType[*sdk.TurnFailedError](err)
	if !ok {
		return fmt.Errorf("the turn did not fail: %w", err)
	}
	return h.ended(e.Partial, ending{status: protocol.TurnFailed, text: "before"})
}

// interrupt stops a turn after some of its deltas.
func (h *hand) interrupt(ctx context.Context) error {
	const n, size = 5000, 8
	left := 1 + rand.IntN(20)
	for ev, err := range h.thread.RunStreamed(ctx, sdk.Text(fmt.Sprintf("/deltas %d %d 2ms", n, size)), nil) {
		if err != nil {
			return err
		}
		if ev.Type == sdk.EventAgentMessageDelta || ev.Type == sdk.EventItemUpdated {
			if left--; left == 0 {
				if _, err := h.thread.Interrupt(ctx, &protocol.TurnInterruptParams{TurnID: ev.TurnID}); err != nil {
					return err
				}
			}
		}
		if ev.Terminal() {
			r := &sdk.Result{TurnID: ev.TurnID, Status: ev.Turn.Status, Text: ev.Turn.Text}
			if left > 0 { // a cut connection hid the deltas, and it went to its end
				return h.ended(r, ending{status: protocol.TurnCompleted, text: tenDigits(n * size)})
			}
			return h.ended(r, ending{status: protocol.TurnCancelled, text: tenDigits(n * size), part: true})
		}
	}
	return errors.New("the events of the turn end before the turn")
}

// queue lets three inputs wait behind a turn, takes one of them out, and lets the others run.
func (h *hand) queue(ctx context.Context) error {
	held, err := h.thread.Run(ctx, sdk.Text("/hold\n/say released"), &sdk.RunOptions{Detach: true})
	if err != nil {
		return err
	}
	h.life.want[held.TurnID] = ending{status: protocol.TurnCompleted, text: "released"}
	turns := []string{held.TurnID}
	for n := range 3 {
		r, err := h.thread.Enqueue(ctx, sdk.Text(fmt.Sprintf("/say number %d", n)), nil)
		if err != nil {
			return err
		}
		h.life.want[r.TurnID] = ending{status: protocol.TurnCompleted, text: fmt.Sprintf("number %d", n)}
		turns = append(turns, r.TurnID)
	}
	if err := h.takeOut(ctx, turns[2]); err != nil {
		return err
	}
	if _, err := h.thread.Steer(ctx, &protocol.TurnSteerParams{ExpectedTurnID: held.TurnID, Input: sdk.Text("release")}); err != nil {
		return err
	}
	for _, turn := range turns {
		r, err := h.thread.Wait(ctx, turn)
		if c, ok := errors.AsType[*sdk.TurnCancelledError](err); ok && c.Partial != nil {
			r, err = c.Partial, nil
		}
		if err != nil {
			return err
		}
		if err := h.ended(r, h.life.want[turn]); err != nil {
			return err
		}
	}
	return nil
}

// takeOut removes a waiting turn.
func (h *hand) takeOut(ctx context.Context, turn string) error {
	list, err := h.thread.Queue().List(ctx)
	if err != nil {
		return err
	}
	if _, err := h.thread.Queue().Remove(ctx, turn, list.Revision); err != nil {
		return err
	}
	h.life.want[turn] = ending{status: protocol.TurnCancelled, taken: true}
	return nil
}

// appended stores an input without a turn, then runs it.
func (h *hand) appended(ctx context.Context) error {
	text := words()
	_, err := h.thread.Items().Append(ctx, &protocol.ThreadItemsAppendParams{Input: sdk.Text("/say " + text)})
	if err != nil {
		return err
	}
	r, err := h.thread.Run(ctx, nil, &sdk.RunOptions{RunPending: true})
	if err != nil {
		return err
	}
	return h.ended(r, ending{status: protocol.TurnCompleted, text: text})
}

func (h *hand) approve(ctx context.Context) error {
	return h.run(ctx, "/approve command ls -l\n/say done", "accepted\n\ndone")
}

func (h *hand) ask(ctx context.Context) error {
	return h.run(ctx, "/ask Which one? | red | blue", "red")
}

// tool offers a tool, lets the agent call it and takes it back.
func (h *hand) tool(ctx context.Context) error {
	echo := sdk.Tool{
		Tool: protocol.Tool{Name: "echo", Description: "Says what it is given", InputSchema: json.RawMessage(`{"type":"object"}`)},
		Handle: func(_ context.Context, c protocol.ToolCallParams) (protocol.ToolCallResult, error) {
			return sdk.ToolText("got " + string(c.Arguments)), nil
		},
	}
	if _, err := h.thread.Tools().Register(ctx, echo); err != nil {
		return err
	}
	if err := h.run(ctx, `/tool echo {"n":7}`, `got {"n":7}`); err != nil {
		return err
	}
	_, err := h.thread.Tools().Unregister(ctx)
	return err
}

func (h *hand) rename(ctx context.Context) error {
	_, err := h.thread.Rename(ctx, fmt.Sprintf("Soak %d", rand.IntN(1000)))
	return err
}

func (h *hand) metadata(ctx context.Context) error {
	_, err := h.thread.UpdateMetadata(ctx, map[string]any{fmt.Sprintf("k%d", rand.IntN(5)): rand.IntN(1000)})
	return err
}

// list looks for the thread among all.
func (h *hand) list(ctx context.Context) error {
	for t, err := range h.client.Threads().List(ctx, &protocol.ThreadListParams{Paging: protocol.Paging{Limit: 50}}) {
		if err != nil {
			return err
		}
		if t.ID == h.life.id {
			return nil
		}
	}
	return errors.New("the thread is not listed")
}

// lookBack reads a thread again that ended some time ago.
func (h *hand) lookBack(ctx context.Context) error {
	old := h.load.shelf.take()
	if old == nil {
		return nil
	}
	defer h.load.shelf.putBack(old)
	f := &follower{load: h.load, client: h.client}
	return f.read(ctx, old)
}

// fork begins a thread with the history of this one, uses it and deletes it.
func (h *hand) fork(ctx context.Context) error {
	f, err := h.thread.Fork(ctx, nil)
	if err != nil {
		return err
	}
	h.load.count.threads.Add(1)
	r, err := f.Run(ctx, sdk.Text("/say forked"), nil)
	if err != nil {
		return err
	}
	h.load.count.turns.Add(1)
	all, err := f.Read(ctx, &protocol.ThreadReadParams{IncludeTurns: true})
	if err != nil {
		return err
	}
	if n := len(*all.Turns); r.Text != "forked" || n != h.ran()+1 {
		return fmt.Errorf("the fork of %d turns says %q and has %d turns", h.ran(), r.Text, n)
	}
	h.load.count.deleted.Add(1)
	return f.Delete(ctx, nil)
}

// rollBack removes one turn.
func (h *hand) rollBack(ctx context.Context) error {
	if h.ran() == 0 {
		return nil
	}
	if _, err := h.thread.Rollback(ctx, 1); err != nil {
		return err
	}
	r, err := h.thread.Read(ctx, &protocol.ThreadReadParams{IncludeTurns: true})
	if err != nil {
		return err
	}
	left := map[string]bool{}
	for _, tn := range *r.Turns {
		left[tn.ID] = true
	}
	removed := 0
	for turn := range h.life.want {
		if !left[turn] {
			delete(h.life.want, turn)
			removed++
		}
	}
	if removed != 1 {
		return fmt.Errorf("%d turns are gone, not one", removed)
	}
	return nil
}

// ran counts the turns that were not taken out of the queue.
func (h *hand) ran() int {
	n := 0
	for _, e := range h.life.want {
		if !e.taken {
			n++
		}
	}
	return n
}

func (h *hand) reset(ctx context.Context) error {
	if _, err := h.thread.Reset(ctx, nil); err != nil {
		return err
	}
	clear(h.life.want)
	return nil
}
