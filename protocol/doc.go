// Package protocol is the wire contract of Spool in Go: every type, method,
// notification and error that passes between a client and the daemon, the strict
// decoder of what clients send and the one encoder of what the daemon says.
//
// Start with methods.go and notifications.go: the two tables there are the only lists
// of names. Dispatch, JSON Schema, OpenRPC and the documentation are made from them.
// docs/protocol.md says the same in words.
//
// # Conventions
//
// Names are camelCase. A member without a value is absent, never null. Times are RFC
// 3339 in UTC with milliseconds ([Time]). Ids are a prefix and a ULID ([NewID]) and
// opaque to clients. A field whose JSON tag has neither omitempty nor omitzero is
// required: the decoder and the schema both follow that one rule. Of a list of values
// (an [Enum]), the first is the default.
package protocol

//go:generate go run ./schema/generate
