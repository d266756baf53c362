package protocol

import (
	"bytes"
	"encoding/json"
	"strconv"
)

// Frame is a whole JSON-RPC message without line end. It is never changed after it was
// made: any number of connections share it, and the journal keeps it as it is.
type Frame []byte

// RawID is the id of a request as its sender wrote it: a JSON string or number. It is
// empty for a notification.
type RawID []byte

const (
	frameVersion = `{"jsonrpc":"2.0"`
	frameMethod  = frameVersion + `,"method":"`
	frameParams  = `","params":`
)

// marshal is json.Marshal without HTML escapes.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// Marshal returns v as the daemon writes it: JSON without HTML escapes.
func Marshal(v any) ([]byte, error) { return marshal(v) }

// Encode makes the frame of a notification. For durable ones it is called once in the
// life of an event, by package thread.
func Encode[P any](n Notification[P], p P) (Frame, error) {
	body, err := marshal(p)
	if err != nil {
		return nil, err
	}
	f := make(Frame, 0, len(frameMethod)+len(n.Name)+len(frameParams)+len(body)+1)
	f = append(f, frameMethod...)
	f = append(f, n.Name...)
	f = append(f, frameParams...)
	f = append(f, body...)
	return append(f, '}'), nil
}

// EncodeResult makes the frame that answers the request id with result.
func EncodeResult(id RawID, result any) (Frame, error) {
	body, err := marshal(result)
	if err != nil {
		return nil, err
	}
	f := make(Frame, 0, len(frameVersion)+len(id)+len(body)+20)
	f = append(f, frameVersion...)
	f = append(f, `,"id":`...)
	f = append(f, id...)
	f = append(f, `,"result":`...)
	f = append(f, body...)
	return append(f, '}'), nil
}

// EncodeError makes the frame that refuses the request id. An empty id is written as
// null. An error that is no *Error becomes an InternalError without its text, which may
// hold what a client must not see.
func EncodeError(id RawID, err error) Frame {
	if len(id) == 0 {
		id = RawID("null")
	}
	body, merr := marshal(AsError(err))
	if merr != nil {
		body = []byte(`{"code":` + strconv.Itoa(CodeInternalError) + `,"message":"internal error","data":{"name":"InternalError"}}`)
	}
	f := make(Frame, 0, len(frameVersion)+len(id)+len(body)+20)
	f = append(f, frameVersion...)
	f = append(f, `,"id":`...)
	f = append(f, id...)
	f = append(f, `,"error":`...)
	f = append(f, body...)
	return append(f, '}')
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
