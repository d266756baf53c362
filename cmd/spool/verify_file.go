package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
	"github.com/spoolhq/spool/thread"
)

// verified is what spool verify found, as --json prints it.
type verified struct {
	File           string            `json:"file"`
	OK             bool              `json:"ok"`
	Bytes          int64             `json:"bytes"`
	ClosedProperly bool              `json:"closedProperly"`
	LastCommitCut  bool              `json:"lastCommitCut,omitempty"` // the state before the last commit counts
	Threads        int               `json:"threads"`
	Events         int               `json:"events"`
	EventBytes     int64             `json:"eventBytes"`
	IndexEntries   int               `json:"indexEntries"`
	Problems       []storage.Problem `json:"problems"`
	MoreProblems   int               `json:"moreProblems,omitempty"` // that are not listed
	Rebuilt        bool              `json:"rebuilt,omitempty"`      // the indexes were made anew
	OldFile        string            `json:"oldFile,omitempty"`      // where the file before that is kept
}

// verify checks a file. What is wrong with it is in the result; the error says that it could
// not be checked.
func (a *app) verify(ctx context.Context, path string) (*verified, error) {
	p := a.newProgress("checking")
	defer p.done()
	return verifyFile(ctx, path, p.add)
}

func verifyFile(ctx context.Context, path string, progress func(int64)) (*verified, error) {
	s, err := bolt.OpenReadOnly(ctx, bolt.Options{Path: path})
	if errors.Is(err, storage.ErrCorrupt) {
		return unopened(path, err), nil
	}
	if err != nil {
		return nil, err
	}
	r, err := s.Verify(ctx, progress)
	if err == nil && r.Journals {
		err = verifyThreads(ctx, s, r, progress)
	}
	if err := errors.Join(err, s.Close()); err != nil {
		return nil, err
	}
	return &verified{
		File: path, OK: len(r.Problems) == 0, Bytes: r.Bytes, ClosedProperly: r.Clean, LastCommitCut: r.Torn, Threads: r.Threads, Events: r.Events,
		EventBytes: r.EventBytes, IndexEntries: r.IndexEntries, Problems: append([]storage.Problem{}, r.Problems...), MoreProblems: r.More,
	}, nil
}

// unopened is the report of a file that is too damaged to be opened.
func unopened(path string, err error) *verified {
	v := &verified{File: path, Problems: []storage.Problem{}}
	if st, err := os.Stat(path); err == nil {
		v.Bytes = st.Size()
	}
	if e, ok := errors.AsType[*storage.Error](err); ok {
		err = e.Err // without path and hint
	}
	v.Problems = append(v.Problems, storage.Problem{Kind: storage.ProblemStructure, Text: err.Error()})
	return v
}

// verifyThreads compares all journals with the rules.
func verifyThreads(ctx context.Context, s *bolt.Store, r *bolt.Report, progress func(int64)) error {
	look := thread.Beside{Turns: r.Turns, Edits: r.Edits, Checkpoints: r.Checkpoints}
	for row, err := range s.Rows(ctx) {
		if err != nil {
			return err
		}
		v, err := thread.Verify(ctx, s, row, look)
		if err != nil {
			return err
		}
		for _, p := range v.Problems {
			r.Add(p)
		}
		progress(int64(len(row.Data)))
	}
	return nil
}

// rebuild makes indexes anew where that repairs something.
func (a *app) rebuild(ctx context.Context, path string) error {
	before, err := a.verify(ctx, path)
	if err != nil {
		return err
	}
	repairable := before.MoreProblems > 0
	for _, p := range before.Problems {
		repairable = repairable || p.Repairable()
	}
	if !repairable {
		a.warn("there is nothing to rebuild; the file was left as it is")
		return a.showVerified(before)
	}
	p := a.newProgress("rebuilding")
	done, err := bolt.Rebuild(ctx, bolt.Options{Path: path}, derived, p.add)
	p.done()
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	after, err := a.verify(ctx, path)
	if err != nil {
		return err
	}
	after.Rebuilt, after.OldFile = true, done.Old
	return a.showVerified(after)
}

// derived reads what the journal of a thread demands of its indexes.
func derived(ctx context.Context, s *bolt.Store, row storage.Row) (bolt.Derived, error) {
	v, err := thread.Verify(ctx, s, row, thread.Beside{Checkpoints: true})
	return bolt.Derived{Turns: v.Turns, Edits: v.Edits, Leftover: v.Leftover, Keep: v.Cut}, err
}

// showVerified prints what was found, and ends with the code for damage where there is some.
func (a *app) showVerified(v *verified) error {
	if a.json {
		if err := a.printJSON(v); err != nil {
			return err
		}
	} else if err := a.explainVerified(v); err != nil {
		return err
	}
	if !v.OK {
		return exitStatus(exitDamaged)
	}
	return nil
}

func (a *app) explainVerified(v *verified) error {
	if v.Rebuilt {
		if _, err := fmt.Fprintf(a.out, "the indexes were made anew; the file before that is %s, which may be removed when all is well\n", v.OldFile); err != nil {
			return err
		}
	}
	if v.LastCommitCut {
		a.warn("the last commit was cut off, so the state before it counts; after a power failure it was one that nobody was told of, without one the disk may be failing")
	}
	paint := a.paintOut()
	for _, p := range v.Problems {
		if _, err := fmt.Fprintf(a.out, "%s %s\n", paint.red(string(p.Kind)+":"), clean(p.String())); err != nil {
			return err
		}
	}
	verdict := paint.green("no problems")
	if n := len(v.Problems) + v.MoreProblems; n > 0 {
		found := fmt.Sprintf("%d problems", n)
		if n == 1 {
			found = "1 problem"
		}
		verdict = paint.red(found)
		if v.MoreProblems > 0 {
			verdict += fmt.Sprintf(", of which %d are not listed", v.MoreProblems)
		}
	}
	closed := "closed properly"
	if !v.ClosedProperly {
		closed = "not closed properly, which is no damage"
	}
	err := a.fields([][2]string{
		{"file", fmt.Sprintf("%s (%s, %s)", v.File, size(v.Bytes), closed)},
		{"threads", fmt.Sprint(v.Threads)},
		{"events", fmt.Sprintf("%d (%s)", v.Events, size(v.EventBytes))},
		{"indexes", fmt.Sprintf("%d entries", v.IndexEntries)},
		{"result", verdict},
	})
	if err != nil || v.OK {
		return err
	}
	_, err = fmt.Fprintln(a.out, advice(v))
	return err
}

// advice says what can be done about the kinds of problems that were found.
func advice(v *verified) string {
	kinds := map[storage.ProblemKind]bool{}
	repairable, lost := false, false
	for _, p := range v.Problems {
		kinds[p.Kind] = true
		repairable = repairable || p.Repairable()
		lost = lost || !p.Repairable()
	}
	var say []string
	if repairable {
		say = append(say, "Problems of the kinds index and leftover are repaired by spool verify --rebuild-indexes.")
	}
	if lost {
		which, rest := "This cannot be repaired here", ""
		if repairable {
			which = "The others cannot be repaired here"
		}
		if !kinds[storage.ProblemStructure] {
			rest = " Threads that are not named are whole."
		}
		say = append(say, which+": keep a copy of the file, and restore a backup if there is one."+rest)
	}
	if kinds[storage.ProblemStructure] {
		say = append(say, "Damaged pages often mean a failing disk.")
	}
	return strings.Join(say, "\n")
}
