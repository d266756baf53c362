// Package limit holds small programs that do as little as the machine allows of what the daemon
// does: they send ready frames over a WebSocket, a pipe or a socket, with nothing behind them.
// What the daemon reaches is given as a share of that.
//
// Each runs in a process of its own, as the daemon does, and is read by the same client code in
// the process that measures. Both sides then have the same processors, the same kernel and the
// same reader, and differ in what the daemon does more: threads, turns, encoding, storage.
package limit

import (
	"bytes"
	"strings"
)

// Frame is a delta as the programs send it: 211 bytes, 27 of them text.
var Frame = []byte(`{"jsonrpc":"2.0","method":"item/agentMessage/delta","params":{"threadId":"01J9ZQ6W7Y8X9V0T1S2R3Q4P5N","turnId":"01J9ZQ6W7Y8X9V0T1S2R3Q4P5N","itemId":"item_12","seq":123456,"delta":"` + strings.Repeat("x", 27) + `"}}`)

// last tells the reader that all frames of a run were sent.
var last = []byte(`{"jsonrpc":"2.0","method":"turn/completed","params":{}}`)

// Sized returns a frame of a length, by making its text longer or shorter. It is never shorter
// than a frame without text.
func Sized(length int) []byte {
	without := bytes.Replace(Frame, []byte(strings.Repeat("x", 27)), nil, 1)
	text := strings.Repeat("x", max(0, length-len(without)))
	return bytes.Replace(without, []byte(`"delta":""`), []byte(`"delta":"`+text+`"`), 1)
}
