package thread

import (
	"context"
	"encoding/json"
	"time"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/turn"
)

// Config is what a Manager is made of.
type Config struct {
	Store     storage.Store // durable threads
	Ephemeral storage.Store // ephemeral ones; kept in memory
	Agents    []turn.Spec   // at least one; names are unique
	Default   string        // name of the agent of threads that name none
	Log       zerolog.Logger

	Limits Limits
	// Full reports that the disk is nearly full: turns and threads are refused before
	// a write can fail. nil: never.
	Full func() bool
}

// Limits are the bounds of threads. A zero is its default.
type Limits struct {
	MaxQueued          int           // waiting turns of a thread; 1000
	MaxItemBytes       int64         // what an item holds, as it is written; 4 MiB
	MaxMessageBytes    int64         // of a message, at least four items; 16 MiB
	InterruptGrace     time.Duration // until a turn is ended without its agent; 5 s
	CheckpointBytes    int           // text between two checkpoints of an item; 64 KiB
	CheckpointInterval time.Duration // and the longest time between them; 500 ms
	IdleUnload         time.Duration // until an idle thread leaves memory; 5 min
	KeyRetention       time.Duration // of idempotency keys; 48 h
}

// Caller is who asks. Every look-up goes through it.
type Caller struct {
	User         string
	ConnectionID string
	Client       string // clientInfo.name
	InstanceID   string // clientInfo.instanceId
	Admin        bool   // may name other users in identities
	Approve      bool   // may answer approvals and questions
	TraceID      string // the connection's default, may be empty
}

// By returns the caller as events name it.
func (c Caller) By() *protocol.By {
	return &protocol.By{ConnectionID: c.ConnectionID, User: c.User, Client: c.Client}
}

// Call is one request on its way through a thread.
type Call struct {
	// Context ends when the client cancels the request or is gone. A request that was
	// accepted is not undone by it; one that waits stops waiting.
	Context context.Context
	Caller  Caller
	Peer    Peer // the connection; nil where there is none: nothing is subscribed then
	// Hash identifies method and params, for idempotency keys.
	Hash []byte
	// Park is called once when the request begins to wait for a turn, so that it no
	// longer counts as in work. Its error refuses the request. nil: nothing to do.
	Park func() error
}

// Reply answers a request. It is called exactly once, maybe before the method returns,
// maybe with a thread's lock held, so it must not block or call back into the Manager.
// For a change it is called after the commit.
type Reply[R any] func(result R, err error)

// Class says how a frame is treated where a connection has no room for it.
type Class uint8

// The classes of frames.
const (
	// ClassStream is a frame of a subscription in its order. Where it finds no room
	// the subscription falls behind and is caught up from the journal.
	ClassStream Class = 1
	// ClassState is news of which only the latest of a key counts: where it finds no
	// room it is kept aside, in place of an older one, and sent later. Offer always
	// takes it.
	ClassState Class = 2
	// ClassLast ends all that was said about a key: what is kept aside under it is
	// dropped, and the frame is treated as ClassState.
	ClassLast Class = 3
	// ClassSnapshot is the state of an item in progress, sent where a subscription
	// joins the live stream. Offer always takes it, in its order: a subscription that
	// was behind joins only when nothing else waits, so there is one set of them at
	// most.
	ClassSnapshot Class = 4
)

// Peer is a connection as threads see it.
type Peer interface {
	// Caller is who is at the other end.
	Caller() Caller
	// Offer gives a frame to send. It never blocks and is called with a thread's
	// lock held. False means no room, and the frame was not taken. key is the thread
	// for ClassState and ClassLast.
	Offer(f protocol.Frame, class Class, key string) bool
	// Crowded reports whether so much waits to be sent that an agent without a pace of
	// its own should wait. If so, wake gets a value once there is room again; a channel
	// counts once, however often it is given. It never blocks and is called with a
	// thread's lock held.
	Crowded(wake chan<- struct{}) bool
	// Wants reports whether the client takes notifications of this method. It does
	// not change while a connection lives.
	Wants(method string) bool
	// Can reports whether the client may be asked requests of this method. It does not
	// change while a connection lives.
	Can(method string) bool
	// Request asks the client something. It never blocks and is called with a thread's
	// lock held; answer is called at most once, later, on another goroutine, with the
	// client's result or its error. It is not called when the connection is lost, nor
	// after withdraw, which tells the client that the answer is not wanted any more.
	Request(method string, params any, answer func(result json.RawMessage, err error)) (withdraw func())
	// Behind says that s must be filled: as soon as nothing else waits to be sent,
	// and from no more than one goroutine at a time, the connection calls s.Fill and
	// writes what it gives, until Fill says that there is no more. Behind never blocks
	// and is called with a thread's lock held.
	Behind(s *Subscription)
}
