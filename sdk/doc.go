// Package sdk is the Go client of Spool: it connects to a daemon, runs turns, follows
// threads and stays connected.
//
//	c, err := sdk.Connect(ctx, "unix:///run/user/1000/spool/spool.sock", nil)
//	…
//	defer c.Close()
//	t, err := c.Threads().Start(ctx, nil)
//	…
//	res, err := t.Run(ctx, sdk.Text("What is the time?"), nil)
//	fmt.Println(res.Text)
//
// [Client] is a connection, [Thread] a handle on one conversation. [Thread.Run] waits for
// the end of a turn, [Thread.RunStreamed] and [Thread.Subscribe] yield its events. Every
// method of the protocol, also those without a convenience here, can be called with
// [Call]. All of it may be used from many goroutines at once.
//
// # Connection loss
//
// A client that lost its connection dials again, with growing pauses, until it succeeds,
// is refused for good or is closed. Nothing that was begun gets lost meanwhile: requests
// without an answer are sent again (those that change something carry an idempotency key,
// made up where the caller gave none, so nothing is done twice), and subscriptions go on
// after the last event they saw: every durable event is yielded once and in order. Deltas
// that were missed are made up for by one [EventItemUpdated] with the whole text. Child
// processes ([Command]) and pipes ([Pipe]) cannot be dialled again: there the loss ends
// everything with a [*TransportError].
//
// # Order and slow readers
//
// One goroutine reads the connection and never waits for a consumer. An answer is given
// out only after the events before it were put into the buffers of their subscriptions.
// Such a buffer is bounded in bytes ([Options].BufferBytes). A consumer so slow that it
// runs full misses deltas, never durable events: it is fed from the thread's journal, a
// page at a time, until it has caught up and joins the live stream again. Other
// subscriptions and requests do not notice.
//
// # What agents ask
//
// [Options].OnApproval and OnQuestion answer agents that need permission or an answer, and
// [Tool] is a function that this client carries out for them. A handler runs in a goroutine
// of its own, so it may take its time and call the client, but not Close it. Without a
// handler the daemon does not ask this client, and nothing is accepted in its name: an
// approval then stays open for others, who find it with [Client.Approvals].
//
// A tool call goes on when the connection is lost: on the next one the daemon asks again,
// and gets the result of that one run, also where it had ended before. Approvals and
// questions that are still open then are asked again.
//
// # Cancellation
//
// The context of a run is the turn's life line: when it ends, the turn is withdrawn, taken
// out of the queue or interrupted, whatever state it is in, and the run returns a
// [*TurnCancelledError] that wraps the context's error. RunOptions.KeepRunning makes the
// context mean the waiting only. What it takes to stop the turn goes on in the background
// for at most five seconds after the run has returned; [Client.Close] waits for it.
package sdk
