package limit

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// What the model of [Model] says in an answer.
const (
	ModelDeltas = 50 // pieces …
	modelDelta  = 27 // … of so many bytes
)

// modelAnswer is the stream of one answer, as the Responses API of OpenAI has it, event by event.
func modelAnswer() [][]byte {
	const place = `"item_id":"msg_1","output_index":0,"content_index":0`
	piece := strings.Repeat("x", modelDelta-1) + " "
	whole := fmt.Sprintf(`{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":%q,"annotations":[]}]}`,
		strings.Repeat(piece, ModelDeltas))
	response := func(status, output, usage string) string {
		return fmt.Sprintf(`"response":{"id":"resp_1","object":"response","status":%q,"model":"bench","output":[%s],"usage":%s}`, status, output, usage)
	}
	var events [][]byte
	say := func(typ, fields string) {
		events = append(events, fmt.Appendf(nil, "event: %s\ndata: {\"type\":%q,\"sequence_number\":%d,%s}\n\n", typ, typ, len(events), fields))
	}
	say("response.created", response("in_progress", "", "null"))
	say("response.output_item.added",
		`"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}`)
	for range ModelDeltas {
		say("response.output_text.delta", fmt.Sprintf(`%s,"delta":%q`, place, piece))
	}
	say("response.output_item.done", `"output_index":0,"item":`+whole)
	say("response.completed", response("completed", whole,
		`{"input_tokens":20,"input_tokens_details":{"cached_tokens":0},"output_tokens":50,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":70}`))
	return events
}

// Model serves the Responses API: whatever it is asked, it streams the same answer without a
// pause, each event in a chunk of its own, as models do. It writes the base URL to out and stops when in ends.
func Model(in io.Reader, out io.Writer) error {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	answer := modelAnswer()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/responses", func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // the client has left
		}
		w.Header().Set("Content-Type", "text/event-stream")
		stream := http.NewResponseController(w)
		for _, event := range answer {
			if _, err := w.Write(event); err != nil || stream.Flush() != nil {
				return
			}
		}
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	var running sync.WaitGroup
	running.Go(func() { _ = srv.Serve(l) }) // ends by Close
	fmt.Fprintf(out, "http://%s/v1\n", l.Addr())
	_, err = io.Copy(io.Discard, in)
	err = errors.Join(err, srv.Close())
	running.Wait()
	return err
}
