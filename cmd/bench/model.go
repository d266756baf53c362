package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"

	"github.com/spoolhq/spool/cmd/bench/limit"
)

// modelTurns is how many turns run on a thread of p9. The agent sends the model the whole
// conversation, so that each turn has more to send than the one before it.
const modelTurns = 5

// p9 measures whole turns of the agent "openai", each followed by a client, with a model on this
// machine that streams without a pause. The limit is a plain client of that model, which reads the
// answers and does nothing with them; what the client library of the agent makes of it, with
// nothing behind it, is a row of its own.
func p9(ctx context.Context, b *bench) (rows []Row, err error) {
	model, err := startLimit(ctx, "model")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, model.stop()) }()
	config := fmt.Sprintf("[agents.model]\nkind = \"openai\"\napi = \"responses\"\nmodel = \"bench\"\nbase_url = %q\n", model.url)
	d, err := b.start(ctx, startOptions{config: config, noWS: true})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	threads := b.n(32, 4)
	clients, closeAll, err := dialUnixes(ctx, d, threads)
	defer closeAll()
	if err != nil {
		return nil, err
	}
	plain := newModelReader(model.url, threads)
	defer plain.client.CloseIdleConnections()
	var got, lim, library timed
	err = alternate(ctx, b.rounds*b.n(4, 1),
		func(ctx context.Context) error {
			return lim.times(threads, 2*modelTurns, func(int) error { return plain.read(ctx) })
		},
		func(ctx context.Context) error {
			return library.times(threads, 2*modelTurns, func(int) error { return plain.decode(ctx) })
		},
		func(context.Context) error { return modelRound(&got, clients) })
	what := fmt.Sprintf("whole turn of the agent openai, %d deltas, %d threads", limit.ModelDeltas, threads)
	return []Row{
		Row{ID: "P9", What: what, Value: median(got.ps), Unit: "/s", Limit: median(lim.ps), LimitOf: "a plain client of the model", Note: spread(got.ps)}.AtLeast(0.5),
		{ID: "P9", What: "  from the request to the end, p50", Value: median(got.p50), Unit: "ms", Limit: median(lim.p50), LimitOf: "the same", Note: spread(got.p50)},
		{ID: "P9", What: "  the client library of the agent alone", Value: median(library.ps), Unit: "/s", Limit: median(lim.ps), LimitOf: "a plain client of the model", Note: spread(library.ps)},
	}, err
}

// modelRound runs turns on new threads, one for each client, which follows it.
func modelRound(got *timed, clients []*client) error {
	ids := make([]string, len(clients))
	for i, c := range clients {
		var made struct{ Thread struct{ ID string } }
		if err := c.call("thread/start", p{"agent": "model"}, &made); err != nil {
			return err
		}
		ids[i] = made.Thread.ID
	}
	return got.round(clients, modelTurns, func(c *client, who, _ int) error {
		s, err := streamTurn(c, spoolDialect{}, ids[who], "Say something.", nil)
		if err == nil && s.deltas == 0 {
			err = errors.New("the model said nothing")
		}
		return err
	})
}

// modelReader asks a model and reads what it says, in one of two ways.
type modelReader struct {
	client  *http.Client
	url     string
	library responses.ResponseService
}

func newModelReader(url string, connections int) *modelReader {
	r := &modelReader{client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: connections}, Timeout: time.Minute}, url: url}
	r.library = responses.NewResponseService(option.WithHTTPClient(r.client), option.WithBaseURL(url), option.WithAPIKey("none"))
	return r
}

// decode has the library of OpenAI read an answer, event by event.
func (r *modelReader) decode(ctx context.Context) (err error) {
	stream := r.library.NewStreaming(ctx, responses.ResponseNewParams{
		Model: "bench", Input: responses.ResponseNewParamsInputUnion{OfString: param.NewOpt("Say something.")},
	})
	defer func() { err = errors.Join(err, stream.Close()) }()
	n := 0
	for stream.Next() {
		if stream.Current().Delta != "" {
			n++
		}
	}
	if err := stream.Err(); err != nil {
		return err
	}
	if n != limit.ModelDeltas {
		return fmt.Errorf("the model said %d deltas, want %d", n, limit.ModelDeltas)
	}
	return nil
}

// read takes an answer as bytes.
func (r *modelReader) read(ctx context.Context) (err error) {
	body := []byte(`{"model":"bench","store":false,"stream":true,"input":[{"role":"user","content":"Say something."}]}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/responses", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	n, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || n == 0) {
		err = fmt.Errorf("the model answered %s with %d bytes", resp.Status, n)
	}
	return err
}
