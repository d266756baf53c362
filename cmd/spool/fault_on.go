//go:build spoolfault

package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/cmd/spool/config"
	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/faulty"
)

// A binary built with "-tags spoolfault" reads the variable SPOOL_FAULT, a list of faults
// separated by commas, and makes its store fail accordingly:
//
//	kill-before:METHODS[:N]       SIGKILL to itself before the commit: nothing of it is kept, all before it is
//	kill-after:METHODS[:N]        SIGKILL after the commit, before anybody is told of it
//	delay:METHODS:DURATION[:N]    the commit, and all behind it, wait so long first
//	fail:METHODS[:N]              the commit fails, and so do all later ones (fail-stop)
//
// METHODS is what the commit must hold: the names of durable notifications joined by "+",
// all of which must be among its events, or "nth" for any commit at all. N picks the N-th
// commit that does (1, 2 …); without it kill and fail take the first, and delay takes every
// one. Commits that carry no event, such as checkpoints, count for "nth" only. Examples:
//
//	SPOOL_FAULT=kill-before:turn/completed+turn/started
//	SPOOL_FAULT=kill-after:turn/started:2
//	SPOOL_FAULT=delay:turn/started:300ms,fail:nth:5
//
// Faults count from the start of the process. Those of the recovery after a crash count
// too, so set the variable for the process that shall fail and not for the next one.

// fault is one entry of SPOOL_FAULT.
type fault struct {
	kind    string   // kill-before, kill-after, delay, fail
	methods []string // nil: any commit
	nth     int      // 0: every one
	delay   time.Duration

	seen   int
	before *sync.WaitGroup // commits that are not kept yet
}

// errFault is what a commit fails with.
var errFault = errors.New("SPOOL_FAULT asked for a failure")

// withFaults wraps the store with the faults of SPOOL_FAULT.
func withFaults(s storage.Store, env config.Env, log zerolog.Logger) (storage.Store, error) {
	if env["SPOOL_FAULT"] == "" {
		return s, nil
	}
	faults, err := parseFaults(env["SPOOL_FAULT"])
	if err != nil {
		return nil, fmt.Errorf("SPOOL_FAULT: %w", err)
	}
	log.Warn().Str("faults", env["SPOOL_FAULT"]).Msg("the store will fail on purpose")
	before := &sync.WaitGroup{}
	for _, f := range faults {
		f.before = before
	}
	return faulty.New(s, faulty.Hooks{
		BeforeCommit: func(b *storage.Batch) error {
			for _, f := range faults {
				if f.kind != "kill-after" && f.matches(b) {
					if err := f.strike(); err != nil {
						return err
					}
				}
			}
			before.Add(1)
			return nil
		},
		AfterCommit: func(b *storage.Batch, err error) {
			before.Done()
			for _, f := range faults {
				if f.kind == "kill-after" && f.matches(b) && err == nil {
					_ = f.strike()
				}
			}
		},
	}), nil
}

// matches counts the commit and reports whether it is the one. Each fault is asked by one
// goroutine only: hooks of a kind run one after another.
func (f *fault) matches(b *storage.Batch) bool {
	var methods []string
	for _, e := range b.Events {
		methods = append(methods, protocol.ParseFrame(e.Frame).Method)
	}
	for _, m := range f.methods {
		if !slices.Contains(methods, m) {
			return false
		}
	}
	f.seen++
	return f.nth == 0 || f.seen == f.nth
}

// strike does what the fault is. A kill before a commit waits for those before it, so that
// it falls between two commits and not somewhere in a group of them.
func (f *fault) strike() error {
	switch f.kind {
	case "delay":
		time.Sleep(f.delay)
		return nil
	case "fail":
		return errFault
	case "kill-before":
		f.before.Wait()
	}
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {} // the signal is on its way
}

func parseFaults(text string) ([]*fault, error) {
	var faults []*fault
	for entry := range strings.SplitSeq(text, ",") {
		f, err := parseFault(strings.Split(strings.TrimSpace(entry), ":"))
		if err != nil {
			return nil, fmt.Errorf("%q: %w", entry, err)
		}
		faults = append(faults, f)
	}
	return faults, nil
}

func parseFault(parts []string) (*fault, error) {
	f := &fault{kind: parts[0], nth: 1}
	if !slices.Contains([]string{"kill-before", "kill-after", "delay", "fail"}, f.kind) {
		return nil, errors.New("must begin with kill-before, kill-after, delay or fail")
	}
	if len(parts) < 2 || parts[1] == "" {
		return nil, errors.New("names no methods")
	}
	if parts[1] != "nth" {
		f.methods = strings.Split(parts[1], "+")
	}
	rest := parts[2:]
	if f.kind == "delay" {
		if len(rest) == 0 {
			return nil, errors.New("has no duration")
		}
		d, err := time.ParseDuration(rest[0])
		if err != nil {
			return nil, err
		}
		f.delay, f.nth, rest = d, 0, rest[1:]
	}
	if len(rest) > 0 {
		n, err := strconv.Atoi(rest[0])
		if err != nil || n < 1 || len(rest) > 1 {
			return nil, errors.New("must end with a number from 1 on")
		}
		f.nth = n
	}
	for _, m := range f.methods {
		if !slices.ContainsFunc(protocol.ServerNotifications(), func(n protocol.NotificationInfo) bool { return n.Name == m && n.Durable }) {
			return nil, fmt.Errorf("%s is no durable notification", m)
		}
	}
	return f, nil
}
