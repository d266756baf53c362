package sdk

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// wantCancelled checks the error of a run whose context was cancelled.
func wantCancelled(t *testing.T, err error, turnID string) {
	t.Helper()
	ce, ok := errors.AsType[*TurnCancelledError](err)
	if !ok || !errors.Is(err, context.Canceled) || ce.TurnID != turnID {
		t.Errorf("the error is %v (%#v), want a TurnCancelledError of %q that wraps context.Canceled", err, err, turnID)
	}
}

// S16 (i): before anything is written nothing is sent.
func TestCancelBeforeWritingS16(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		wantCancelled(t, (<-goRun(ctx, c, nil)).err, "")
		p.quiet()
	})
	bubble(t, func(t *testing.T) { // the request waits for the writer, which is stuck
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		sub, _ := listen(t, c, p, 0, nil)
		defer sub.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := goRun(ctx, c, nil)
		r := p.expect("thread/subscribe")
		go func() { _, _ = c.Server().Info(t.Context()) }()
		synctest.Wait()
		p.answer(r, `{"thread":`+threadJSON(0)+`,"headSeq":0,"pending":[]}`)
		synctest.Wait()
		cancel()
		wantCancelled(t, (<-done).err, "")
		p.expect("server/info")
		p.quiet()
	})
}

// S16 (ii): written, not answered: withdrawn, and interrupted if it was accepted.
func TestCancelBeforeTheAnswerS16(t *testing.T) {
	for name, after := range map[string]func(p *peer, run request){
		"withdrawn": func(p *peer, run request) {
			p.refuse(run, protocol.Errorf(protocol.CodeRequestCancelled, "cancelled"))
		},
		"accepted": func(p *peer, run request) {
			p.answer(run, `{"disposition":"started","turn":`+turnJSON("trn_7", "running", "")+`}`)
			p.interrupted("trn_7")
		},
		"steered": func(p *peer, run request) {
			p.answer(run, `{"disposition":"steered","turn":`+turnJSON("trn_1", "running", "")+`}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c, p := newFake(t).connect(Options{})
				defer c.Close()
				ctx, cancel := context.WithCancel(t.Context())
				done := goRun(ctx, c, nil)
				p.subscribed(0)
				run := p.expect("turn/run")
				cancel()
				if r := p.expect("$/cancelRequest"); r.field("id") != string(run.ID) {
					t.Errorf("the client cancels %s", r.raw)
				}
				wantCancelled(t, (<-done).err, "")
				after(p, run)
				p.expect("thread/unsubscribe")
				p.quiet()
			})
		})
	}
}

// interrupted answers turn/interrupt of that turn.
func (p *peer) interrupted(turnID string) {
	p.t.Helper()
	r := p.expect("turn/interrupt")
	if r.field("turnId") != turnID {
		p.t.Errorf("the client interrupts with %s", r.raw)
	}
	p.answer(r, `{"outcome":"interrupting","turnId":"`+turnID+`"}`)
}

// (ii) over a lost connection: the withdrawal goes with the request.
func TestCancelWhileDisconnected(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		c, p := f.connect(Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := goRun(ctx, c, nil)
		p.subscribed(0)
		first := p.expect("turn/run")
		f.down.Store(true)
		p.cut()
		synctest.Wait()
		cancel()
		wantCancelled(t, (<-done).err, "")
		f.down.Store(false)
		p = f.accept()
		if run := p.expect("turn/run"); run.raw != first.raw {
			t.Errorf("repeated as %s", run.raw)
		} else {
			p.expect("$/cancelRequest")
			go func() {
				p.answer(run, `{"disposition":"started","replayed":true,"turn":`+turnJSON("trn_7", "running", "")+`}`)
				p.interrupted("trn_7")
				p.ignore()
			}()
		}
		c.Close() // which waits for it
	})
}

// (ii) with a daemon that says nothing: the background gives up in time.
func TestCancelWithoutAnswer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := goRun(ctx, c, nil)
		p.subscribed(0)
		p.expect("turn/run")
		go func() {
			for {
				if _, err := p.read(); err != nil {
					return
				}
			}
		}()
		cancel()
		start := time.Now()
		wantCancelled(t, (<-done).err, "")
		if time.Since(start) != 0 {
			t.Error("Run waited")
		}
		c.Close()
		if d := time.Since(start); d != cancelTimeout {
			t.Errorf("Close took %v", d)
		}
	})
}

// S16 (iii) and (iv): a running or queued turn is interrupted.
func TestCancelAcceptedTurnS16(t *testing.T) {
	for _, status := range []string{"running", "queued"} {
		bubble(t, func(t *testing.T) {
			c, p := newFake(t).connect(Options{})
			defer c.Close()
			ctx, cancel := context.WithCancel(t.Context())
			done := goRun(ctx, c, &RunOptions{IfBusy: protocol.BusyEnqueue})
			p.subscribed(0)
			disposition := map[string]string{"running": "started", "queued": "queued"}[status]
			p.answer(p.expect("turn/run"), `{"disposition":"`+disposition+`","turn":`+turnJSON("trn_7", status, "")+`}`)
			p.expect("turn/wait")
			p.event("item/started", itemEvent(1, "trn_7", "itm_1", "inProgress", ""))
			p.event("item/agentMessage/delta", deltaEvent("trn_7", "itm_1", 0, "half"))
			synctest.Wait()
			cancel()
			o := <-done
			wantCancelled(t, o.err, "trn_7")
			ce, _ := errors.AsType[*TurnCancelledError](o.err)
			if ce.Partial.Text != "half" || len(ce.Partial.Items) != 1 || ce.Partial.Items[0].Text != "half" {
				t.Errorf("the partial result is %s", toJSON(ce.Partial))
			}
			seen := map[string]bool{}
			for range 3 {
				r := must(p.read())
				seen[r.Method] = true
				if r.Method == "turn/interrupt" {
					p.answer(r, `{"outcome":"removedFromQueue","turnId":"trn_7"}`)
				}
			}
			if !seen["turn/interrupt"] || !seen["$/cancelRequest"] || !seen["thread/unsubscribe"] {
				t.Errorf("the client sent %v", seen)
			}
			p.quiet()
		})
	}
}

// The turn is stopped though the consumer of the stream is busy elsewhere.
func TestCancelWhileConsumerIsBusy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		release, last := make(chan struct{}), make(chan error)
		go func() {
			for _, err := range c.Threads().Get("thr_1").RunStreamed(ctx, Text("x"), nil) {
				if err != nil {
					last <- err
					return
				}
				<-release
			}
		}()
		p.subscribed(0)
		p.started("trn_7")
		p.event("turn/started", turnEvent(1, "trn_7", "running", ""))
		synctest.Wait()
		cancel()
		p.interrupted("trn_7")
		close(release)
		go func() { p.ignore(); p.ignore() }()
		wantCancelled(t, <-last, "trn_7")
	})
}

// Close right behind the cancellation still lets the interrupt out.
func TestCancelThenClose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		ctx, cancel := context.WithCancel(t.Context())
		done := goRun(ctx, c, nil)
		p.subscribed(0)
		p.started("trn_7")
		synctest.Wait()
		interrupts := 0
		served := make(chan struct{})
		go func() {
			defer close(served)
			for {
				r, err := p.read()
				if err != nil {
					return
				}
				if r.Method == "turn/interrupt" {
					interrupts++
					p.answer(r, `{"outcome":"interrupting","turnId":"trn_7"}`)
				}
			}
		}()
		cancel()
		c.Close()
		<-served
		if interrupts != 1 {
			t.Errorf("%d interrupts were sent", interrupts)
		}
		wantCancelled(t, (<-done).err, "trn_7")
	})
}

func TestKeepRunning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := goRun(ctx, c, &RunOptions{KeepRunning: true})
		p.subscribed(0)
		p.started("trn_7")
		synctest.Wait()
		cancel()
		wantCancelled(t, (<-done).err, "trn_7")
		p.expect("thread/unsubscribe")
		p.expect("$/cancelRequest")
		p.quiet()
	})
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		ctx, cancel := context.WithCancel(t.Context())
		done := goRun(ctx, c, &RunOptions{KeepRunning: true})
		p.subscribed(0)
		p.expect("turn/run")
		cancel()
		wantCancelled(t, (<-done).err, "")
		p.expect("thread/unsubscribe")
		p.quiet()
	})
}

func TestCloseEndsRunsNotTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		done := goRun(t.Context(), c, nil)
		p.subscribed(0)
		p.started("trn_7")
		synctest.Wait()
		go func() {
			for {
				r, err := p.read()
				if err != nil {
					return
				}
				if r.Method == "turn/interrupt" {
					t.Error("the turn was interrupted")
				}
			}
		}()
		c.Close()
		if o := <-done; !errors.Is(o.err, ErrClosed) {
			t.Errorf("the error is %v", o.err)
		}
	})
}
