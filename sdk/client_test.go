package sdk

import (
	"context"
	"errors"
	"net"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/spoolhq/spool/protocol"
)

func TestHandshake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		done := make(chan request)
		go func() { p := <-f.dials; done <- p.handshake(); p.ignore() }()
		c, err := Connect(t.Context(), "", f.options(Options{
			ClientInfo: protocol.ClientInfo{Name: "test", Version: "7"}, Token: "secret",
			OptOut: []string{"turn/queued"}, NoStreaming: true,
			Metadata: protocol.Object{"traceId": []byte(`"t"`)}, Defaults: &protocol.Defaults{Agent: "a"},
		}))
		if err != nil {
			t.Fatal(err)
		}
		var p protocol.InitializeParams
		if err := protocol.Decode((<-done).Params, &p); err != nil {
			t.Fatalf("initialize is not what the daemon takes: %v", err)
		}
		if p.ClientInfo.Name != "test" || p.ClientInfo.InstanceID == "" || p.Auth.Token != "secret" || p.Defaults.Agent != "a" {
			t.Errorf("initialize says %s", toJSON(p))
		}
		caps := p.Capabilities
		if caps.Approvals || caps.Questions || caps.Tools || *caps.Streaming || len(caps.OptOutNotificationMethods) != 1 {
			t.Errorf("capabilities %s", toJSON(caps))
		}
		if s := c.Session(); s.ConnectionID != "con_1" || s.User != "local" {
			t.Errorf("session %s", toJSON(s))
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Close(); err != nil {
			t.Errorf("closing again: %v", err)
		}
		if !errors.Is(c.Err(), ErrClosed) {
			t.Errorf("Err after Close: %v", c.Err())
		}
	})
}

func TestConnectRefused(t *testing.T) {
	for name, test := range map[string]struct {
		act  func(p *peer)
		code int    // of a protocol.Error
		text string // of a TransportError
	}{
		"token": {func(p *peer) {
			p.refuse(p.expect("initialize"), protocol.Errorf(protocol.CodeUnauthenticated, "no"))
		}, protocol.CodeUnauthenticated, ""},
		"version": {func(p *peer) {
			p.answer(p.expect("initialize"), `{"serverInfo":{"name":"x","version":"9","protocolVersion":"2"}}`)
		}, protocol.CodeInvalidRequest, ""},
		"overloaded": {func(p *peer) {
			p.refuse(p.expect("initialize"), protocol.Errorf(protocol.CodeServerOverloaded, "full"))
		}, 0, "full"},
		"no JSON":    {func(p *peer) { p.expect("initialize"); p.send("SSH-2.0-OpenSSH") }, 0, "no daemon of Spool"},
		"closed":     {func(p *peer) { p.expect("initialize"); p.cut() }, 0, "before the handshake"},
		"wrong form": {func(p *peer) { p.answer(p.expect("initialize"), `[]`) }, 0, "makes no sense"},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				f := newFake(t)
				go func() { p := <-f.dials; test.act(p); p.ignore() }()
				_, err := Connect(t.Context(), "fake://user:secret@host?token=secret", f.options(Options{Token: "secret"}))
				te, isTransport := errors.AsType[*TransportError](err)
				switch {
				case test.code != 0 && !errors.Is(err, &protocol.Error{Code: test.code}):
					t.Errorf("the error is %v, want code %d", err, test.code)
				case test.text != "" && (!isTransport || !strings.Contains(te.Error(), test.text)):
					t.Errorf("the error is %v, want a TransportError with %q", err, test.text)
				case strings.Contains(err.Error(), "secret"):
					t.Errorf("the error %q tells the secret", err)
				}
			})
		})
	}
}

func TestConnectContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		go func() { p := <-f.dials; p.expect("initialize"); p.ignore() }()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := Connect(ctx, "", f.options(Options{})); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
	})
}

func TestEndpoints(t *testing.T) {
	for _, endpoint := range []string{"", "http://x", "ws://", "unix:", "stdio:", "/tmp/sock", "ws://a b"} {
		if _, err := Connect(t.Context(), endpoint, nil); err == nil || !strings.Contains(err.Error(), "endpoint") {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
}

func TestPipe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		stream := must(f.options(Options{}).Dial(t.Context()))
		go func() { f.accept().cut() }()
		c, err := Pipe(t.Context(), stream, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Server().Ping(t.Context())
		if te, ok := errors.AsType[*TransportError](err); !ok || te.Endpoint != "pipe" {
			t.Errorf("the error is %v", err)
		}
		<-c.Done()
		c.Close()
	})
}

func TestEveryChangeTakesAKey(t *testing.T) {
	for _, m := range protocol.ClientRequests() {
		if !m.Mutating {
			continue
		}
		p := reflect.New(m.Params)
		addKey(p.Interface())
		if key := p.Elem().FieldByName("IdempotencyKey").String(); !strings.HasPrefix(key, "key_") {
			t.Errorf("%s got the key %q", m.Name, key)
		}
		own := p.Elem().FieldByName("IdempotencyKey").String()
		if addKey(p.Interface()); p.Elem().FieldByName("IdempotencyKey").String() != own {
			t.Errorf("%s lost its own key", m.Name)
		}
	}
}

func TestCallErrors(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		go func() {
			e := protocol.Errorf(protocol.CodeTurnInProgress, "busy")
			e.Data.ActiveTurnID = "trn_9"
			p.refuse(p.expect("thread/rename"), e)
			p.answer(p.expect("server/ping"), `[1]`)
			p.send(`{"id":%s}`, p.expect("server/ping").ID)
			p.send(`{"id":%s,"error":7}`, p.expect("server/ping").ID)
		}()
		_, err := c.Threads().Get("thr_1").Rename(t.Context(), "x")
		busy, ok := errors.AsType[*TurnInProgressError](err)
		if !ok || busy.ActiveTurnID != "trn_9" || !errors.Is(err, &protocol.Error{Code: protocol.CodeTurnInProgress}) {
			t.Errorf("the error is %#v", err)
		}
		for range 3 {
			if _, err := c.Server().Ping(t.Context()); err == nil {
				t.Error("nonsense was taken as an answer")
			}
		}
	})
}

func TestCallContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go func() {
			r := p.expect("server/ping")
			if got := p.expect("$/cancelRequest"); got.field("id") != string(r.ID) {
				t.Errorf("the client cancels %s, want %s", got.raw, r.ID)
			}
			p.answer(r, `{"at":"2026-01-01T00:00:00.000Z"}`) // too late, of no consequence
			p.answer(p.expect("server/ping"), `{"at":"2026-01-01T00:00:00.000Z"}`)
		}()
		if _, err := c.Server().Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		if _, err := c.Server().Ping(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestCallBeforeItIsWritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		go func() { _, _ = c.Server().Info(t.Context()) }() // stuck in the pipe, which nobody reads
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Server().Ping(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the error is %v", err)
		}
		p.answer(p.expect("server/info"), `{}`)
		p.quiet()
	})
}

func TestMessageTooLongForTheDaemon(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		_, err := c.Threads().Get("thr_1").Rename(t.Context(), strings.Repeat("x", 100001))
		if e, ok := errors.AsType[*protocol.Error](err); !ok || e.Code != protocol.CodeInvalidRequest || e.Data.Limit != 100000 {
			t.Errorf("the error is %v", err)
		}
		p.quiet()
	})
}

func TestMessageTooLongForTheClient(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		c, p := f.connect(Options{MaxMessageBytes: 1000})
		defer c.Close()
		go func() {
			p.answer(p.expect("server/info"), `{"x":"`+strings.Repeat("x", 1000)+`"}`)
			p := f.accept()
			p.answer(p.expect("server/ping"), `{"at":"2026-01-01T00:00:00.000Z"}`)
		}()
		if _, err := c.Server().Info(t.Context()); !errors.Is(err, errTooLong) {
			t.Errorf("the error is %v", err)
		}
		if _, err := c.Server().Ping(t.Context()); err != nil {
			t.Errorf("after the next connection: %v", err)
		}
	})
}

func TestDaemonAsks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		go func() {
			p.send(`garbage`)
			p.send(`[]`)
			p.send(`{"id":null,"error":{"code":-32700,"message":"what?"}}`)
			p.send(`{"id":99,"result":{}}`)
			p.send(`{"method":"future/thing","params":[1]}`)
			p.send(`{"id":"x","method":"item/approval/request","params":{}}`)
		}()
		r := must(p.read())
		if e := (&protocol.Error{}); e.UnmarshalJSON(r.Error) != nil || e.Code != protocol.CodeMethodNotFound || string(r.ID) != `"x"` {
			t.Errorf("the client answers %s", r.raw)
		}
	})
}

// S09: the connection dies between the commit and the answer.
func TestLostAnswerS09(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		var changes []ConnectionChange
		c, p := f.connect(Options{OnConnection: func(ch ConnectionChange) { changes = append(changes, ch) }})
		defer c.Close()
		go func() {
			first := p.expect("thread/rename")
			p.cut()
			p = f.accept()
			again := p.expect("thread/rename")
			if first.raw != again.raw || first.field("idempotencyKey") == "" {
				t.Errorf("first %s, then %s", first.raw, again.raw)
			}
			p.answer(again, `{"thread":`+threadJSON(3)+`,"replayed":true}`)
		}()
		th, err := c.Threads().Get("thr_1").Rename(t.Context(), "x")
		if err != nil || th.HeadSeq != 3 {
			t.Fatal(th, err)
		}
		if len(changes) != 2 || changes[0].Err == nil || !changes[1].Connected {
			t.Errorf("OnConnection was told %v", changes)
		}
	})
}

func TestShutdownIsNotRepeated(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		c, p := f.connect(Options{})
		defer c.Close()
		go func() {
			p.expect("server/shutdown")
			p.cut()
		}()
		if err := c.Server().Shutdown(t.Context(), true); err == nil {
			t.Error("no error")
		}
		f.accept().quiet()
	})
}

func TestRedial(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		var log []string
		c, p := f.connect(Options{Token: "one", Logger: func(s string) { log = append(log, s) }})
		go func() {
			p.answer(p.expect("connection/update"), `{"user":"ann","metadata":{"k":1}}`)
		}()
		if _, err := c.Update(t.Context(), &protocol.ConnectionUpdateParams{Auth: &protocol.Auth{Token: "two"}}); err != nil {
			t.Fatal(err)
		}
		f.down.Store(true)
		start := time.Now()
		p.cut()
		<-time.After(time.Minute)
		synctest.Wait()
		if n := len(log); n < 7 || n > 20 {
			t.Errorf("%d lines in the log after a minute without a daemon: %q", n, log)
		}
		f.down.Store(false)
		p = <-f.dials
		r := p.handshake()
		if !strings.Contains(r.raw, `"token":"two"`) || !strings.Contains(r.raw, `"k":1`) || !strings.Contains(r.raw, c.opts.ClientInfo.InstanceID) {
			t.Errorf("the handshake is %s", r.raw)
		}
		if d := time.Since(start); d > 75*time.Second {
			t.Errorf("came back after %v", d)
		}
		c.Close()
	})
}

func TestRedialRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		c, p := f.connect(Options{})
		defer c.Close()
		p.cut()
		p = <-f.dials
		p.refuse(p.expect("initialize"), protocol.Errorf(protocol.CodeUnauthenticated, "revoked"))
		_, err := c.Server().Ping(t.Context())
		if !errors.Is(err, &protocol.Error{Code: protocol.CodeUnauthenticated}) {
			t.Errorf("the error is %v", err)
		}
		<-c.Done()
		if !errors.Is(c.Err(), err) {
			t.Errorf("Err is %v", c.Err())
		}
	})
}

func TestDisableRedial(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{DisableRedial: true})
		sub := make(chan error)
		go func() {
			for _, err := range c.Threads().Get("thr_1").Subscribe(t.Context(), nil) {
				sub <- err
			}
		}()
		p.subscribed(0)
		synctest.Wait()
		p.cut()
		if _, ok := errors.AsType[*TransportError](<-sub); !ok {
			t.Error("the subscription did not end with a TransportError")
		}
		<-c.Done()
		c.Close()
	})
}

func TestCloseWhileRedialling(t *testing.T) {
	bubble(t, func(t *testing.T) {
		f := newFake(t)
		c, p := f.connect(Options{})
		failed := make(chan error)
		go func() { _, err := c.Server().Ping(t.Context()); failed <- err }()
		p.expect("server/ping")
		p.cut()
		p = <-f.dials // whose handshake is never answered
		go p.ignore()
		synctest.Wait()
		go c.Close()
		if err := <-failed; !errors.Is(err, ErrClosed) {
			t.Errorf("the error is %v", err)
		}
	})
}

// An answer never overtakes the events before it.
func TestOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c, p := newFake(t).connect(Options{})
		defer c.Close()
		go func() {
			p.subscribed(0)
			for n := 1; ; n++ {
				r, err := p.read()
				if err != nil {
					return
				}
				if r.Method == "server/ping" {
					p.event("turn/queued", turnEvent(n, "trn_1", "queued", ""))
					p.answer(r, `{"at":"2026-01-01T00:00:00.000Z"}`)
				}
			}
		}()
		s, err := c.Threads().Get("thr_1").Listen(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		for n := 1; n <= 50; n++ {
			must(c.Server().Ping(t.Context()))
			ev, err := s.next(t.Context(), closedChannel)
			if err != nil || ev.Seq != uint64(n) {
				t.Fatalf("after answer %d: %v %v", n, ev.Seq, err)
			}
		}
	})
}

func TestUnixSocket(t *testing.T) {
	path := t.TempDir() + "/s p#o%o.sock"
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	f := newFake(t)
	served := make(chan struct{})
	go func() {
		defer close(served)
		conn := must(l.Accept())
		p := newPeer(f.t, conn)
		p.handshake()
		p.answer(p.expect("server/ping"), `{"at":"2026-01-01T00:00:00.000Z"}`)
		p.ignore()
	}()
	c, err := Connect(t.Context(), "unix://"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Server().Ping(t.Context()); err != nil {
		t.Error(err)
	}
	c.Close()
	<-served
	_, err = Connect(t.Context(), "unix:///does/not/exist.sock", nil)
	if te, ok := errors.AsType[*TransportError](err); !ok || te.Op != "connect" {
		t.Errorf("no socket: %v", err)
	}
}
