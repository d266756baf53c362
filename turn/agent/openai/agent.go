package openai

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

const (
	// idleConnections are kept to one model server, so that as many turns at once do not
	// have to connect again for each request. net/http keeps two.
	idleConnections = 64
	// readBuffer takes what came of an answer since the last read, which is many events
	// where the daemon is busy. net/http takes 4 KiB.
	readBuffer = 16 << 10
)

func newClient() *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = idleConnections
	transport.ReadBufferSize = readBuffer
	return &http.Client{Transport: transport}
}

// New returns an agent, or what is wrong with the options.
func New(o Options) (turn.Agent, error) {
	endpoint, err := o.endpoint()
	if err != nil {
		return nil, err
	}
	client := o.HTTPClient
	if client == nil {
		client = newClient()
	}
	opts := []option.RequestOption{
		option.WithHTTPClient(client), option.WithBaseURL(endpoint.String()), option.WithMaxRetries(o.retries()),
	}
	if o.APIKey != "" {
		opts = append(opts, option.WithAPIKey(string(o.APIKey)))
	}
	for name, value := range o.Headers {
		opts = append(opts, option.WithHeader(name, value))
	}
	a := &agent{
		client:  sdk.Client{Options: opts, Models: sdk.NewModelService(opts...)}, // sdk.NewClient reads the environment
		options: o, host: endpoint.Host, timeout: cmp.Or(o.Timeout, defaultTimeout),
	}
	a.chatOnly.Store(o.API == APIChat)
	return a, nil
}

type agent struct {
	client   sdk.Client
	options  Options
	host     string
	timeout  time.Duration
	chatOnly atomic.Bool // chat was chosen, or is all that the endpoint has
}

// request is what all model calls of one turn have in common.
type request struct {
	model        string
	instructions string
	config       protocol.Config
}

// Run answers the turn's input, and after that whatever was steered in meanwhile.
func (a *agent) Run(ctx context.Context, in turn.Input, out turn.Emitter) error {
	req := request{
		model: cmp.Or(in.Config.Model, a.options.Model), instructions: a.instructions(in), config: in.Config,
	}
	if req.model == "" {
		model, err := a.anyModel(ctx)
		if err != nil {
			return err
		}
		req.model = model
	}
	talk, err := conversation(ctx, in)
	if err != nil {
		return err
	}
	for {
		answer, err := a.call(ctx, req, talk, out)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return err
		}
		steered := takeSteered(out)
		if len(steered) == 0 {
			return nil
		}
		if answer != "" {
			talk = append(talk, textMessage(protocol.RoleAssistant, answer))
		}
		talk = append(talk, steered...)
	}
}

// call makes one model call and returns the text of the answer.
func (a *agent) call(ctx context.Context, req request, talk []protocol.Message, out turn.Emitter) (string, error) {
	w := watch(ctx, a.timeout)
	defer w.stop()
	if !a.chatOnly.Load() {
		text, err := a.respond(w, req, talk, out)
		if err == nil || a.options.API == APIResponses || !noSuchAPI(err) {
			return text, a.explain(err, req.model)
		}
	}
	text, err := a.chat(w, req, talk, out)
	if err == nil || !noSuchAPI(err) {
		a.chatOnly.Store(true)
	}
	return text, a.explain(err, req.model)
}

// takeSteered takes all messages that were sent into the turn so far.
func takeSteered(out turn.Emitter) []protocol.Message {
	var all []protocol.Message
	for {
		it, ok := out.Steered()
		if !ok {
			return all
		}
		if m, ok := messageOf(it); ok {
			all = append(all, m)
		}
	}
}

// watchdog is a context that ends when nothing was heard for a time.
type watchdog struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	after  time.Duration
}

func watch(ctx context.Context, after time.Duration) *watchdog {
	ctx, cancel := context.WithCancelCause(ctx)
	return &watchdog{ctx, cancel, time.AfterFunc(after, func() { cancel(errSilence) }), after}
}

// heard says that there was a sign of life.
func (w *watchdog) heard() { w.timer.Reset(w.after) }

// silent reports whether the context ended for silence.
func (w *watchdog) silent() bool { return errors.Is(context.Cause(w.ctx), errSilence) }

func (w *watchdog) stop() {
	w.timer.Stop()
	w.cancel(nil)
}
