//go:build spoolfault

package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/cmd/spool/config"
	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
	"github.com/spoolhq/spool/storage/faulty"
)

// A binary built with "-tags spoolfault" reads the variable SPOOL_FAULT, a list of faults
// separated by commas, and makes its store fail accordingly:
//
//	kill-before:METHODS[:N]       SIGKILL to itself before the commit: nothing of it is kept, all before it is
//	kill-after:METHODS[:N]        SIGKILL after the commit, before anybody is told of it
//	kill-at:POINT:METHODS[:N]     SIGKILL on the way of the commit, at one of the points below
//	early-ack                     the store says of every commit that it is kept before it is: a bug to be found
//	forget-keys                   idempotency keys are not kept: another one
//	delay:METHODS:DURATION[:N]    the commit, and all behind it, wait so long first
//	fail:METHODS[:N]              the commit fails, and so do all later ones (fail-stop)
//
// METHODS is what the commit must hold: the names of durable notifications joined by "+",
// all of which must be among its events, or "nth" for any commit at all. Instead of a name
// there may be what else a commit holds: "create", "delete" (of a thread), "erase" (what a
// reset does), "key" (an idempotency key), "checkpoint" (of text; such a commit has no
// events). N picks the N-th commit that does (1, 2 …); without it kill and fail take the
// first, and delay takes every one. The points are, in their order:
//
//	queued      handed to the store, where others may be on their way
//	begin put pages written committed told    see storage/bolt/hook.go
//	published   some moments after told, when clients are being told
//
// Examples:
//
//	SPOOL_FAULT=kill-before:turn/completed+turn/started
//	SPOOL_FAULT=kill-after:turn/started:2
//	SPOOL_FAULT=kill-at:written:turn/completed+turn/started
//	SPOOL_FAULT=delay:turn/started:300ms,fail:nth:5
//
// Faults count from the start of the process or, where the list has the entry "await-signal",
// from the moment when it gets SIGUSR2. Those of the recovery after a crash count
// too, so set the variable for the process that shall fail and not for the next one.

// fault is one entry of SPOOL_FAULT.
type fault struct {
	kind    string   // kill-before, kill-after, kill-at, early-ack, forget-keys, await-signal, delay, fail
	point   string   // of kill-at
	methods []string // nil: any commit
	nth     int      // 0: every one
	delay   time.Duration

	armed  *atomic.Bool // commits count
	seen   int
	before *sync.WaitGroup // commits that are not kept yet
}

// Points that the store does not have itself.
const (
	pointQueued    = "queued"
	pointPublished = "published"
)

var points = append(append([]string{pointQueued}, bolt.Points...), pointPublished)

// errFault is what a commit fails with.
var errFault = errors.New("SPOOL_FAULT asked for a failure")

// withFaults wraps the store with the faults of SPOOL_FAULT.
func withFaults(s storage.Store, env config.Env, log zerolog.Logger) (storage.Store, error) {
	skipSyncs(s, env, log)
	if env["SPOOL_FAULT"] == "" {
		return s, nil
	}
	faults, err := parseFaults(env["SPOOL_FAULT"])
	if err != nil {
		return nil, fmt.Errorf("SPOOL_FAULT: %w", err)
	}
	log.Warn().Str("faults", env["SPOOL_FAULT"]).Msg("the store will fail on purpose")
	bolt.Hook = func(point string, group []*storage.Batch) {
		for _, f := range faults {
			f.reached(point, group)
		}
	}
	return faulty.New(s, hooksOf(faults)), nil
}

// hooksOf lets the faults strike around the commits of a store.
func hooksOf(faults []*fault) faulty.Hooks {
	before, armed := &sync.WaitGroup{}, &atomic.Bool{}
	armed.Store(true)
	var early, forget bool
	for _, f := range faults {
		f.before, f.armed = before, armed
		early, forget = early || f.kind == "early-ack", forget || f.kind == "forget-keys"
		if f.kind == "await-signal" {
			armed.Store(false)
			arm(armed)
		}
	}
	return faulty.Hooks{
		Early: early,
		BeforeCommit: func(b *storage.Batch) error {
			for _, f := range faults {
				if f.isBefore() && f.matches(b) {
					if err := f.strike(); err != nil {
						return err
					}
				}
			}
			if forget {
				b.Key = nil
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
	}
}

// arm waits for SIGUSR2 as long as the process lives.
func arm(armed *atomic.Bool) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2)
	go func() {
		<-signals
		armed.Store(true)
	}()
}

// isBefore tells whether the fault strikes before the store has the commit.
func (f *fault) isBefore() bool {
	return f.kind == "kill-before" || f.kind == "delay" || f.kind == "fail" || f.point == pointQueued
}

// reached is called by the committer where a commit reaches a point.
func (f *fault) reached(point string, group []*storage.Batch) {
	if f.kind != "kill-at" || f.point != point && (f.point != pointPublished || point != "told") {
		return
	}
	for _, b := range group {
		if !f.matches(b) {
			continue
		}
		if f.point == pointPublished {
			time.AfterFunc(rand.N(2*time.Millisecond), func() { _ = f.strike() })
			return
		}
		_ = f.strike()
	}
}

// matches counts the commit and reports whether it is the one. Each fault is asked by one
// goroutine only: hooks of a kind run one after another.
func (f *fault) matches(b *storage.Batch) bool {
	if f.armed != nil && !f.armed.Load() {
		return false
	}
	var methods []string
	for _, e := range b.Events {
		methods = append(methods, protocol.ParseFrame(e.Frame).Method)
	}
	for _, m := range f.methods {
		has, other := held[m]
		if other && !has(b) || !other && !slices.Contains(methods, m) {
			return false
		}
	}
	f.seen++
	return f.nth == 0 || f.seen == f.nth
}

// held are the names of what a commit may hold beside events.
var held = map[string]func(*storage.Batch) bool{
	"create":     func(b *storage.Batch) bool { return b.Create },
	"delete":     func(b *storage.Batch) bool { return b.Delete },
	"erase":      func(b *storage.Batch) bool { return b.EraseBefore > 0 },
	"key":        func(b *storage.Batch) bool { return b.Key != nil },
	"checkpoint": func(b *storage.Batch) bool { return len(b.Checkpoints) > 0 },
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
	if !slices.Contains([]string{"kill-before", "kill-after", "kill-at", "early-ack", "forget-keys", "await-signal", "delay", "fail"}, f.kind) {
		return nil, errors.New("must begin with kill-before, kill-after, kill-at, early-ack, forget-keys, await-signal, delay or fail")
	}
	if f.kind == "early-ack" || f.kind == "forget-keys" || f.kind == "await-signal" {
		if len(parts) > 1 {
			return nil, errors.New("has nothing behind it")
		}
		return f, nil
	}
	if f.kind == "kill-at" {
		if len(parts) < 2 || !slices.Contains(points, parts[1]) {
			return nil, fmt.Errorf("must name a point: %s", strings.Join(points, ", "))
		}
		f.point, parts = parts[1], parts[1:]
	}
	if len(parts) < 2 || parts[1] == "" {
		return nil, errors.New("names no methods")
	}
	if parts[1] != "nth" {
		f.methods = strings.Split(parts[1], "+")
	}
	if err := checkMethods(f.methods); err != nil {
		return nil, err
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
	return f, nil
}

// checkMethods refuses names that no commit can hold.
func checkMethods(methods []string) error {
	for _, m := range methods {
		if held[m] == nil && !slices.ContainsFunc(protocol.ServerNotifications(), func(n protocol.NotificationInfo) bool { return n.Name == m && n.Durable }) {
			return fmt.Errorf("%s is no durable notification", m)
		}
	}
	return nil
}
