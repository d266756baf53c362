// Package storage says what Spool needs of a place that keeps conversations: the
// [Store] interface, the values that pass through it and its errors.
//
// A store speaks bytes and ids. It knows that a thread has a journal of numbered
// events, a row that lists are made from, an index of its turns and a few small
// things beside them; it does not know what an event says. Package thread decides
// what to write, a store makes it durable.
//
// # Durability
//
// A [Batch] is kept whole or not at all, and done is called with nil only when it
// would survive a power failure. After the first failed write a store takes no more
// of them (fail-stop): every later Commit answers [ErrFailed], readers go on. A
// journal has one end, and after an error nobody knows where it is.
//
// # Implementations
//
// storage/bolt is the durable one, storage/mem keeps ephemeral threads, storage/faulty
// wraps another store and makes it fail, and storage/storagetest is the suite that
// each of them must pass.
package storage

import (
	"context"
	"iter"
)

// Store keeps the journals of all threads and the rows that lists need. Readers see
// committed data only. All methods may be called from any number of goroutines.
//
// Ids of threads, turns and items are a prefix, an underscore and a ULID, such as
// thr_01JD3Z… (see [ParseID]); a method that is given anything else answers
// [ErrBadID]. Bytes that a method returns belong to the caller. A method whose ctx has
// ended answers the cause of that; one that is called after Close answers [ErrClosed].
type Store interface {
	// Commit makes b durable together with whatever else is waiting. It does not
	// block and does no I/O; the order of the calls is the order of the journal.
	// done is called exactly once, from the committer, in the order of the Commit
	// calls and with no lock held; it must not block, nor call Close or PruneKeys,
	// which wait for the committer. b and what it holds must not be changed after
	// the call. The error that done is given is one of:
	//   - nil: b is kept.
	//   - ErrExists, ErrConflict, ErrBadID, ErrBadBatch, or a *Error that wraps
	//     ErrCorrupt (the row or the end of the journal is damaged): b changed
	//     nothing, later ones go on.
	//   - a *Error that wraps ErrFailed: this and every later batch are not kept.
	//   - ErrClosed.
	Commit(b *Batch, done func(error))

	// Events returns the events of a thread with after < Seq <= upTo in rising
	// order, as many as fit into maxBytes of frames but at least one where there
	// is one. upTo 0 means no bound. A thread without such events gives none; so
	// does an unknown one. A damaged or missing record is an error that wraps
	// ErrCorrupt; the events before it are returned with it.
	Events(ctx context.Context, thread string, after, upTo uint64, maxBytes int) ([]Event, error)

	// Head returns the seq of the last event of a thread's journal, 0 for none.
	Head(ctx context.Context, thread string) (uint64, error)

	// Thread returns the row of a thread, or ErrNotFound. For a thread that
	// existed and was deleted it is ErrDeleted, which wraps ErrNotFound.
	Thread(ctx context.Context, id string) (Row, error)

	// Reusable returns the row of the newest thread (by Row.Created) whose Row.Reuse
	// is key, or ErrNotFound.
	Reusable(ctx context.Context, key string) (Row, error)

	// Threads returns a page of rows in the order that q asks for. Its cost grows
	// with the page, not with the number of threads stored.
	Threads(ctx context.Context, q Query) (Page, error)

	// Busy yields the rows with Row.Busy set, which is what a start has to look
	// at, in the order of their ids. It never scans rows or journals that are not
	// busy. The store may be written to while it runs: a row that becomes busy or
	// idle meanwhile may be left out. An error ends it.
	Busy(ctx context.Context) iter.Seq2[Row, error]

	// Turn returns the index entry of one turn, or ErrNotFound.
	Turn(ctx context.Context, thread, id string) (TurnEntry, error)

	// Turns returns the index entries of a thread's turns in the order of their
	// ids, which is the order in which they were accepted. A thread without turns
	// gives none; so does an unknown one.
	Turns(ctx context.Context, thread string, q TurnQuery) ([]TurnEntry, error)

	// Edits returns, for each item that was changed after the turn that made it,
	// the seq of the event that holds its newest state: of the given items, or of all
	// of the thread where none is given.
	Edits(ctx context.Context, thread string, items ...string) (map[string]uint64, error)

	// Checkpoints returns the text so far of a thread's items in progress, in the
	// order of their ids.
	Checkpoints(ctx context.Context, thread string) ([]Checkpoint, error)

	// Key returns what was answered under an idempotency key, or ErrNotFound.
	// thread is empty for requests that name no thread.
	Key(ctx context.Context, owner, thread, key string) (KeyResult, error)

	// Settings returns the settings whose keys begin with prefix, in the order of their
	// keys.
	Settings(ctx context.Context, prefix string) ([]Setting, error)

	// PruneKeys forgets the idempotency keys whose At is before the given time
	// (milliseconds since 1970) and returns how many they were.
	PruneKeys(ctx context.Context, before int64) (int, error)

	// Close waits for what was given to Commit, then closes the store. Later
	// Commits answer ErrClosed through done. Close is idempotent.
	Close() error
}

// Event is one entry of a thread's journal.
type Event struct {
	Seq   uint64 // 1, 2, 3 … without holes in a thread
	Frame []byte // the message as it was and will be sent
}

// Batch is what one decision about one thread changes. Everything in it is made
// durable together. A batch for a thread that was deleted, unless it deletes it again,
// fails with ErrConflict. Within a batch the parts are applied in this order: erase,
// append, row, drop and put turns, edits, close and put checkpoints, key.
type Batch struct {
	Thread string // id; empty for one of nothing but Key and Settings

	// Create demands that the thread is new: one with this id, living or deleted,
	// makes the batch fail with ErrExists.
	Create bool

	// Events are appended to the journal, which begins with seq 1. The first must
	// follow the journal's last, else the batch fails with ErrConflict: another owner
	// wrote. With Create it may have any seq, if EraseBefore is that seq: so a journal
	// whose beginning was erased is brought from elsewhere.
	Events []Event

	Row *Row // replaces the row, whose ID must be Thread; nil: unchanged

	Turns     []TurnEntry // put into the turn index, over an entry with the same id
	DropTurns []string    // ids to take out of the turn index

	Edits []Edit // put into the index of changed items

	Checkpoints []Checkpoint // text so far of items in progress, over an older one
	Closed      []string     // ids of items whose checkpoint is not needed any more

	Key *KeyResult // remembered for repeats of the request

	Settings []Setting // put, or removed; they belong to no thread

	// EraseBefore removes all events below this seq, and all turns, edits and
	// checkpoints (before those of this batch are put). 0: nothing. The journal must
	// not lose its end, or its numbers would begin anew: a seq above that of the last
	// event, those of this batch included, is ErrConflict.
	EraseBefore uint64

	// Delete removes everything of the thread, its idempotency keys included, and
	// remembers only that the id was used. Key is kept after that, so that the deletion
	// itself can be repeated; the rest of the batch is ignored. Where the thread is
	// deleted already nothing but Key changes.
	Delete bool
}

// Row is what is known of a thread without reading its journal.
type Row struct {
	ID      string
	Owner   string
	Readers []string // others who may list it
	Agent   string
	Status  string
	Created int64  // milliseconds since 1970
	Updated int64  // milliseconds since 1970; moves the thread in lists
	Reuse   string // key under which Reusable finds it; empty: it does not
	Busy    bool   // a start must look at it: a turn runs or waits
	Data    []byte // the thread's own state, opaque to the store
}

// Sort is the order of a list of threads.
type Sort uint8

// The orders of a list of threads, newest first.
const (
	SortUpdated Sort = 1
	SortCreated Sort = 2
)

// Query asks for a page of rows.
type Query struct {
	Reader string         // owner or one of Readers; required
	Sort   Sort           // SortUpdated if 0
	Cursor string         // Page.Next of the page before, with the same Reader and Sort; empty: from the start
	Limit  int            // at most so many rows; required
	Bytes  int            // no row behind the one with which their Data makes so many bytes or more; 0: any
	Match  func(Row) bool // nil: all; called inside a read transaction, so it must be quick and not use the store
}

// Page is part of a list. Next is empty at the end. A page of a query with Match may
// hold fewer rows than asked for, even none, and still have a Next: a store looks at
// a bounded number of rows ([MaxScan]) a page. Somebody who follows Next sees each row
// that stays where it is exactly once, whatever happens to the others; a row that
// moves to the front meanwhile is not seen again.
type Page struct {
	Rows []Row
	Next string
}

// TurnEntry says where in the journal a turn is. A seq is 0 while it has no such event.
type TurnEntry struct {
	ID       string
	Accepted uint64 // turn/queued, or turn/started where it started at once
	Started  uint64 // the newest turn/started
	Ended    uint64 // the terminal event
	Input    uint64 // the event with its newest input, where that was edited in the queue
}

// TurnQuery asks for a range of turns: those after and before the given ids
// (exclusive; empty: no bound), at most Limit of them and never more than [MaxScan],
// from the newest on where Desc is set.
type TurnQuery struct {
	After, Before string
	Limit         int // required
	Desc          bool
}

// Edit says that the newest state of an item stands in the event Seq.
type Edit struct {
	Item string
	Seq  uint64
}

// Checkpoint keeps an item in progress as it was some moments ago.
type Checkpoint struct {
	Item string
	Data []byte
}

// Setting is a value that belongs to no thread, such as a rule of a user. A nil value
// removes it.
type Setting struct {
	Key   string
	Value []byte
}

// KeyResult is what a request with an idempotency key was answered.
type KeyResult struct {
	Owner  string
	Thread string // as in Key; empty for requests that name no thread
	Key    string
	Hash   []byte // of method and params, to find a key that is used twice
	Result []byte
	At     int64 // milliseconds since 1970
}
