package server

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"github.com/spoolhq/spool/protocol"
)

// message is a JSON-RPC message as its sender wrote it. It is a request if it has a
// method and an id, a notification if it has a method only, else a response.
type message struct {
	id     protocol.RawID
	method string
	params json.RawMessage
}

func (m message) response() bool { return m.method == "" }

const (
	// maxDepth is one more than what protocol.Decode takes: the message around params.
	maxDepth = 201
	// maxIDBytes bounds the id of a request, which is kept and echoed.
	maxIDBytes = 1024
)

// parseMessage reads the envelope of one message. On an error the id of the message says
// whom to answer, nil if it has no usable one.
func parseMessage(raw []byte) (message, *protocol.Error) {
	if err := checkJSON(raw); err != nil {
		return message{}, err
	}
	e := protocol.ParseFrame(raw)
	m := message{method: e.Method, params: e.Params}
	if e.ID != nil {
		if problem := checkID(e.ID); problem != "" {
			if e.Method == "" && (e.Result != nil || e.Error != nil) {
				return m, nil // a response to nothing we asked; it cannot be answered
			}
			return message{}, invalid("id %s", problem)
		}
		m.id = protocol.RawID(e.ID)
	}
	if v := protocol.Member(raw, "jsonrpc"); v != nil && string(v) != `"2.0"` {
		return m, invalid(`jsonrpc must be "2.0"`)
	}
	method := protocol.Member(raw, "method")
	switch {
	case method == nil && e.Result == nil && e.Error == nil:
		return m, invalid("the message has neither method nor result nor error")
	case method == nil:
		return m, nil
	case method[0] != '"' || m.method == "":
		return m, invalid("method must be the name of a method")
	case e.Result != nil || e.Error != nil:
		return m, invalid("a message with a method must have neither result nor error")
	case tooDeep(raw):
		return m, invalid("the message nests deeper than %d levels", maxDepth)
	}
	return m, nil
}

// checkJSON refuses what is not one JSON object.
func checkJSON(raw []byte) *protocol.Error {
	if !utf8.Valid(raw) {
		return protocol.Errorf(protocol.CodeParseError, "the message is not valid UTF-8")
	}
	if !json.Valid(raw) {
		if tooDeep(raw) { // json.Valid gives up at some depth of its own
			return invalid("the message nests deeper than %d levels", maxDepth)
		}
		return protocol.Errorf(protocol.CodeParseError, "the message is not valid JSON")
	}
	for _, c := range raw {
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '{':
			return nil
		case '[':
			return invalid("batches are not supported; send the requests one by one")
		}
		break
	}
	return invalid("the message must be a JSON object")
}

// checkID says what is wrong with an id, nothing if it is a string or an integer.
func checkID(raw json.RawMessage) string {
	switch {
	case len(raw) > maxIDBytes:
		return "must not be longer than " + strconv.Itoa(maxIDBytes) + " bytes"
	case raw[0] == '"':
		return ""
	case raw[0] != '-' && (raw[0] < '0' || raw[0] > '9'):
		return "must be a string or an integer"
	}
	s := string(raw)
	if _, err := strconv.ParseInt(s, 10, 64); err == nil {
		return ""
	}
	if _, err := strconv.ParseUint(s, 10, 64); err == nil {
		return ""
	}
	return "must be a string or an integer of at most 64 bits"
}

// idKey returns id in a form that is the same for the same id however it was written.
func idKey(id []byte) string {
	var s string
	if len(id) > 0 && id[0] == '"' && json.Unmarshal(id, &s) == nil {
		return `"` + s
	}
	return string(id)
}

func tooDeep(raw []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return false
}

func invalid(format string, args ...any) *protocol.Error {
	return protocol.Errorf(protocol.CodeInvalidRequest, format, args...)
}

// tooLong is the error of a message beyond the size limit.
func tooLong(limit int64) *protocol.Error {
	err := invalid("the message is longer than %d bytes", limit)
	err.Data.Limit = limit
	return err
}
