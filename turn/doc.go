// Package turn holds the rules of turns: the queue that lets one of them run at a time
// ([Queue]), the contract of an agent ([Agent], [Emitter]), how one is run ([Run]) and
// how it is described ([Spec]).
//
// The queue is a plain value without lock, clock or I/O; package thread keeps one for
// each thread, calls it under the thread's lock and carries out what it decides in one
// commit. The agents themselves are in turn/agent, a folder for each kind.
package turn
