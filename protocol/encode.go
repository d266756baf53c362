package protocol

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
)

// Frame is a whole JSON-RPC message without line end. It is never changed after it was
// made: any number of connections share it, and the journal keeps it as it is.
type Frame []byte

// Method returns the name in a frame that [Encode] made, empty for any other frame. It
// looks at the first bytes only.
func (f Frame) Method() string {
	rest, ok := bytes.CutPrefix(f, []byte(frameMethod))
	if !ok {
		return ""
	}
	name, _, _ := bytes.Cut(rest, []byte{'"'})
	return string(name)
}

// RawID is the id of a request as its sender wrote it: a JSON string or number. It is
// empty for a notification.
type RawID []byte

const (
	frameMethod = `{"jsonrpc":"2.0","method":"`
	frameParams = `","params":`
	frameID     = `{"jsonrpc":"2.0","id":`
	frameResult = `,"result":`
	frameError  = `,"error":`
)

// writer is a buffer and an encoder that writes into it. Writers are used again, so
// that making a frame costs one allocation for its bytes.
type writer struct {
	buf bytes.Buffer
	enc *json.Encoder
}

// keepWriter bounds the buffers that are kept for the next frame.
const keepWriter = 64 << 10

var writers = sync.Pool{New: func() any {
	w := new(writer)
	w.enc = json.NewEncoder(&w.buf)
	w.enc.SetEscapeHTML(false)
	return w
}}

// encode returns before, v as JSON and after.
func encode(before []string, v any, after string) ([]byte, error) {
	w := writers.Get().(*writer)
	defer w.release()
	for _, s := range before {
		w.buf.WriteString(s)
	}
	if err := w.enc.Encode(whole(v)); err != nil {
		return nil, err
	}
	w.buf.Truncate(w.buf.Len() - 1) // the newline of Encoder
	w.buf.WriteString(after)
	if w.buf.Cap() > keepWriter {
		return slices.Clip(w.buf.Bytes()), nil // nobody else writes into it any more
	}
	return bytes.Clone(w.buf.Bytes()), nil
}

func (w *writer) release() {
	if w.buf.Cap() <= keepWriter {
		w.buf.Reset()
		writers.Put(w)
	}
}

// marshal is json.Marshal without HTML escapes and without null for required members.
func marshal(v any) ([]byte, error) { return encode(nil, v, "") }

// Marshal returns v as the daemon writes it: JSON without HTML escapes, with [] and {}
// for required members that are nil.
func Marshal(v any) ([]byte, error) { return marshal(v) }

// Encode makes the frame of a notification. For durable ones it is called once in the
// life of an event, by package thread.
func Encode[P any](n Notification[P], p P) (Frame, error) {
	if d, ok := any(&p).(*DeltaEvent); ok {
		return encodeDelta(n.Name, d), nil
	}
	return encode([]string{frameMethod, n.Name, frameParams}, p, "}")
}

// EncodeResult makes the frame that answers the request id with result.
func EncodeResult(id RawID, result any) (Frame, error) {
	return encode([]string{frameID, id.orNull(), frameResult}, result, "}")
}

// EncodeError makes the frame that refuses the request id. An empty id is written as
// null. An error that is no *Error becomes an InternalError without its text, which may
// hold what a client must not see.
func EncodeError(id RawID, err error) Frame {
	before := []string{frameID, id.orNull(), frameError}
	f, merr := encode(before, AsError(err).named(), "}")
	if merr != nil { // an item in its data that is no JSON
		f, _ = encode(before, AsError(merr), "}")
	}
	return f
}

func (id RawID) orNull() string {
	if len(id) == 0 {
		return "null"
	}
	return string(id)
}

// Envelope is any JSON-RPC message, read without loss.
type Envelope struct {
	ID     json.RawMessage // nil: absent
	Method string
	Params json.RawMessage
	Result json.RawMessage
	Error  json.RawMessage
}

// ParseFrame takes a message apart. The parts are slices of f, which must be a JSON
// object; other members are ignored.
func ParseFrame(f []byte) Envelope {
	var e Envelope
	for key, value := range members(f) {
		switch key {
		case "id":
			e.ID = value
		case "method":
			e.Method = unquote(value)
		case "params":
			e.Params = value
		case "result":
			e.Result = value
		case "error":
			e.Error = value
		}
	}
	return e
}
