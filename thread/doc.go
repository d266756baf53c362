// Package thread keeps conversations: it decides under a thread's lock, makes durable
// what was decided, and only then tells it, in order, to everyone who listens.
//
// # The walk of a change
//
//  1. A method of [Manager] finds the thread (get), checks who asks, and takes the lock.
//  2. It decides with no I/O: the queue (turn.Queue), the header, the items in progress.
//     What happened is numbered, encoded once and collected in a change (change.go).
//  3. commit hands the batch to the store, which does not block, and puts the reply and
//     the frames into the thread's list of effects. The order of the lock is the order
//     of the journal and of the effects.
//  4. When the store says that the batch is durable, the effects leave (effects.go): first
//     the reply, then each frame to every subscriber. Deltas leave at once, unless
//     something that is not durable yet stands before them.
//
// So a reply stands before the events it caused, an item's start before its deltas, and
// nothing durable is told before it is kept, without code for any of these in particular.
//
// # What is ordered
//
// All that one subscriber hears of one thread is in one order, and all subscribers hear
// durable events in the same one. Nothing is promised between two threads.
//
// # Locks
//
// Manager.mu before Thread.mu before the leaves (peers, idempotency keys, the store's
// list, a connection's outbox). Replies and Peer methods are called with Thread.mu held
// and never call back.
//
// # A running turn
//
// One goroutine for each running turn calls the agent; idle threads have none. Two
// commits stand before the agent is called: turn/started (with the end of the turn before
// it), then the user's message, which marks the turn as handed over. Items that wait come
// before it; only where they are many in commits of their own (take.go). After a crash a turn
// without that mark runs again, one with it has failed (recover.go).
package thread
