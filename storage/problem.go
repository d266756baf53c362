package storage

import "fmt"

// ProblemKind says what of a store is wrong, and with it what can be done.
type ProblemKind string

// The kinds of problems.
const (
	ProblemStructure ProblemKind = "structure" // pages of the file; only a backup helps
	ProblemRecord    ProblemKind = "record"    // a record is not what was written; only a backup helps
	ProblemJournal   ProblemKind = "journal"   // events that are missing or contradict each other; only a backup helps
	ProblemRow       ProblemKind = "row"       // what is stored of a thread is not what its journal says
	ProblemIndex     ProblemKind = "index"     // an index can be made anew from journals and rows
	ProblemLeftover  ProblemKind = "leftover"  // belongs to nothing; harmless, goes when indexes are made anew
)

// Problem is one thing that is wrong with what a store holds.
type Problem struct {
	Kind   ProblemKind `json:"kind"`
	Thread string      `json:"thread,omitempty"` // its id
	Seq    uint64      `json:"seq,omitempty"`    // of the event
	Text   string      `json:"text"`             // in words for people, without thread and seq
}

// String says where the problem is and what it is.
func (p Problem) String() string {
	switch {
	case p.Thread != "" && p.Seq > 0:
		return fmt.Sprintf("%s, event %d: %s", p.Thread, p.Seq, p.Text)
	case p.Thread != "":
		return p.Thread + ": " + p.Text
	default:
		return p.Text
	}
}

// Repairable reports whether indexes that are made anew solve the problem.
func (p Problem) Repairable() bool { return p.Kind == ProblemIndex || p.Kind == ProblemLeftover }
