// Package server carries messages between clients and package thread: listeners,
// connections, dispatch of requests, and the bounded way out.
//
// # The walk of a request
//
//  1. A [Transport] (lines.go, websocket.go) gives one message.
//  2. stream reads it as JSON-RPC (message.go), answers what is no valid request itself,
//     and remembers a good one with its id and params as they came. jsonrpc2 is given a
//     stand-in without params and calls the handler on the same goroutine.
//  3. dispatch looks the method up in the table (methods.go) and runs it when its Order
//     allows: at once, one after another, or beside others (schedule.go).
//  4. The reply is encoded by package protocol and pushed to the connection's outbox.
//     Events of threads come to the same outbox as bytes that were encoded once.
//  5. The writer of the connection takes all that waits and writes it with one flush.
//
// # What is bounded
//
// Requests in work and requests that wait for a turn, by number; what waits to be sent,
// by bytes. A client that reads too slowly falls behind and is caught up from the journal
// by its own writer; one that takes nothing for Limits.SlowConsumer is closed (1013).
//
// # Goroutines
//
// A connection has the reader and the watcher of jsonrpc2 and the one that called
// [Hub.Serve]. A writer, a runner of requests in order, and one for each free request
// exist only while there is work. Serve waits for all of them.
//
// # Locks
//
// schedule.mu and outbox.mu are leaves: a thread may hold its own lock when it replies or
// offers a frame, and nothing of package thread is called with one of them held.
package server
