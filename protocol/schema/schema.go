// Package schema holds the wire contract as documents for machines: a JSON Schema of
// every type and message, and an OpenRPC description of the methods. Both are made from
// the tables and types of package protocol (`go generate ./protocol`) and are checked
// in; a test fails when they are not what the code says.
package schema

import (
	"bytes"
	_ "embed"
)

//go:embed spool.schema.json
var jsonSchema []byte

//go:embed openrpc.json
var openRPC []byte

// JSONSchema returns the JSON Schema (2020-12) of the wire contract. $defs has every
// type by its name; ClientRequest, ClientNotification, ServerRequest, ServerNotification
// and Response are whole messages. Under x-requests, x-serverRequests, x-notifications
// and x-clientNotifications each name leads to its params and result. What a client
// sends is described strictly, what the daemon says leaves room for newer fields. The
// bytes are the caller's.
func JSONSchema() []byte { return bytes.Clone(jsonSchema) }

// OpenRPC returns the OpenRPC 1.3 document of the requests of a client. Those of the
// daemon are under x-server-requests, notifications under x-notifications and
// x-client-notifications. The bytes are the caller's.
func OpenRPC() []byte { return bytes.Clone(openRPC) }
