package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// lastThread names the thread that changed last.
const lastThread = "last"

// resolveThread returns the id of the thread that a user means: a whole id, "last", or the
// beginning or end of an id.
func resolveThread(ctx context.Context, c *sdk.Client, name string) (string, error) {
	if protocol.ValidID(protocol.PrefixThread, name) {
		return name, nil
	}
	if name != lastThread {
		if err := checkName("thread", name); err != nil {
			return "", err
		}
	}
	var found []string
	for t, err := range c.Threads().List(ctx, nil) {
		if err != nil {
			return "", err
		}
		if name == lastThread {
			return t.ID, nil
		}
		if fitsID(t.ID, name) {
			found = append(found, t.ID)
		}
	}
	return only("thread", name, found, protocol.CodeThreadNotFound)
}

// resolveTurn returns the id of the queued turn that a user means: an id, its beginning or
// end, or its position; a number is always a position.
func resolveTurn(queue []protocol.Turn, name string) (string, error) {
	position, err := strconv.Atoi(name)
	if err != nil {
		if err := checkName("waiting turn", name); err != nil {
			return "", err
		}
	}
	var found []string
	for _, t := range queue {
		if t.Position == position && err == nil || err != nil && fitsID(t.ID, name) {
			found = append(found, t.ID)
		}
	}
	if len(found) == 0 && protocol.ValidID(protocol.PrefixTurn, name) {
		return name, nil // the daemon knows what became of it
	}
	return only("waiting turn", name, found, protocol.CodeTurnNotFound)
}

// leastName is how much of an id must be given: one letter would fit by accident.
const leastName = 4

// checkName refuses names that are too short to mean one thing.
func checkName(what, name string) error {
	_, bare, ok := strings.Cut(name, "_")
	if !ok {
		bare = name
	}
	if len(bare) < leastName {
		return usagef("%q is too short for the name of a %s: give at least %d letters of the beginning or end of its id", name, what, leastName)
	}
	return nil
}

// fitsID reports whether name is the beginning or end of an id. Letter case does not
// count, and the prefix of the kind may be left out.
func fitsID(id, name string) bool {
	name = strings.ToUpper(name)
	_, bare, _ := strings.Cut(id, "_")
	return strings.HasPrefix(strings.ToUpper(id), name) || strings.HasPrefix(bare, name) || strings.HasSuffix(bare, name)
}

// only returns the one id of a list.
func only(what, name string, found []string, notFound int) (string, error) {
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		const show = 5
		more := ""
		if n := len(found) - show; n > 0 {
			found, more = found[:show], fmt.Sprintf("\nand %d more", n)
		}
		return "", usagef("%q fits more than one %s:\n%s%s", name, what, strings.Join(found, "\n"), more)
	case name == lastThread:
		return "", protocol.Errorf(notFound, "there is no thread yet; spool run begins one")
	default:
		return "", protocol.Errorf(notFound, "there is no %s %q", what, name)
	}
}
