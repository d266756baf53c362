package sdk

import (
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// Options say how a client connects. The zero value of a field is its default; nil
// options are all defaults.
type Options struct {
	// ClientInfo names the program. Default: its file name. An empty InstanceID is made
	// up once, and stays the same when the client connects again.
	ClientInfo protocol.ClientInfo
	// Token proves who the user is. It goes into the handshake, and for a WebSocket into
	// its Authorization header, never into an error or a log.
	Token string
	// Metadata is what the daemon keeps with the connection, such as a default traceId.
	Metadata protocol.Object
	// Defaults stand in for what later requests leave out.
	Defaults *protocol.Defaults
	// NoStreaming asks the daemon to send no deltas.
	NoStreaming bool
	// OptOut names notifications that the daemon shall not send. Run and RunStreamed
	// work without any of them.
	OptOut []string

	// Dial replaces the dialling of the endpoint: it gives a stream on which messages are
	// lines. It is called again after each loss of the connection.
	Dial func(ctx context.Context) (io.ReadWriteCloser, error)
	// DisableRedial makes the loss of the connection final.
	DisableRedial bool
	// Backoff says how long to wait between two attempts to connect again.
	Backoff Backoff
	// OnConnection is told of every connection that is lost and of every one that is made
	// again. It is called from the reading goroutine, so it must return soon and must not
	// call the client.
	OnConnection func(ConnectionChange)

	// OnApproval decides what agents ask permission for, in turns of threads that this
	// client runs or is subscribed to. nil: it is not asked, and nothing is ever accepted on
	// its behalf. The answer counts if it is the first one; others may be asked too. ctx ends
	// when the answer is not wanted any more: somebody was faster, the turn ended, the
	// connection was lost (on the next one it is asked again, if it is still open) or the
	// client is closed. An error, a panic or a decision that is none of params.Decisions
	// answers nothing: the approval stays open for others.
	OnApproval func(ctx context.Context, params protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error)
	// OnQuestion answers what agents ask, by the ids of the questions, all of which need an
	// answer. Else it is as OnApproval.
	OnQuestion func(ctx context.Context, params protocol.QuestionRequestParams) (map[string]protocol.Answer, error)
	// Tools are offered to every thread that this client begins or takes up, unless the
	// request names other tools. [ThreadTools.Register] offers more to a thread.
	Tools []Tool
	// OffersTools declares that this client carries tools out. It goes without saying where
	// Tools are given; set it to use [ThreadTools.Register] without them.
	OffersTools bool
	// MaxHandlers bounds the calls of OnApproval and OnQuestion together, and those of
	// tools, that are under way at a time; others wait. Default: 32.
	MaxHandlers int

	// BufferBytes bounds what a subscription holds for a consumer that does not take it.
	// Default: 1 MiB.
	BufferBytes int
	// MaxMessageBytes is the longest message taken from the daemon. Default: 64 MiB.
	MaxMessageBytes int64
	// Stderr takes the standard error of a child process. Default: it is dropped.
	Stderr io.Writer
	// Logger is given lines for people: a lost connection, a message that makes no sense.
	// It must return soon, must not call the client, and may be called from several
	// goroutines. Default: they are dropped.
	Logger func(text string)

	skipsSeq bool // OptOut names durable notifications, so seq has holes
}

// Backoff says how long to wait between two attempts to connect. The pauses double from
// Min to Max, each shortened by a random part of up to a half, so that many clients of a
// daemon that was restarted do not come back in one moment.
type Backoff struct {
	Min time.Duration // default: 100 ms
	Max time.Duration // default: 10 s
}

// ConnectionChange says that a connection was lost or made again.
type ConnectionChange struct {
	Connected    bool
	ConnectionID string // of the new connection
	Err          error  // why the old one was lost
}

// Limits of time that no option changes.
const (
	dialTimeout   = 10 * time.Second // one attempt to connect again, with its handshake
	cancelTimeout = 5 * time.Second  // stopping a turn whose context ended
	flushTimeout  = time.Second      // what waits to be written when the client is closed
	closeTimeout  = 5 * time.Second  // a child process that was asked to end
	repeatTimeout = 10 * time.Second // the daemon asks again for a tool call after a loss
)

// withDefaults returns a copy in which every field has a value.
func (o *Options) withDefaults() *Options {
	d := deref(o)
	d.ClientInfo.Name = cmp.Or(d.ClientInfo.Name, filepath.Base(os.Args[0]))
	d.ClientInfo.InstanceID = cmp.Or(d.ClientInfo.InstanceID, protocol.NewID("ins_"))
	d.Backoff.Min = cmp.Or(d.Backoff.Min, 100*time.Millisecond)
	d.Backoff.Max = max(cmp.Or(d.Backoff.Max, 10*time.Second), d.Backoff.Min)
	d.MaxHandlers = cmp.Or(d.MaxHandlers, 32)
	d.Tools = slices.Clone(d.Tools)
	d.OffersTools = d.OffersTools || len(d.Tools) > 0
	d.BufferBytes = cmp.Or(d.BufferBytes, 1<<20)
	d.MaxMessageBytes = cmp.Or(d.MaxMessageBytes, 64<<20)
	for _, n := range protocol.ServerNotifications() {
		d.skipsSeq = d.skipsSeq || n.Durable && slices.Contains(d.OptOut, n.Name)
	}
	if d.Logger == nil {
		d.Logger = func(string) {}
	}
	if d.OnConnection == nil {
		d.OnConnection = func(ConnectionChange) {}
	}
	return &d
}
