package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// choice is a decision as it is typed.
type choice struct {
	decision     protocol.Decision
	letter, word string
	text         string
}

var choices = []choice{
	{protocol.DecisionAccept, "y", "yes", "accept once"},
	{protocol.DecisionAcceptForThread, "t", "thread", "accept for this thread"},
	{protocol.DecisionAcceptAlways, "a", "always", "accept always"},
	{protocol.DecisionDecline, "n", "no", "decline"},
	{protocol.DecisionCancel, "c", "cancel", "decline and cancel the turn"},
}

// parseDecision reads what was typed: a letter or word, and with those that decline a note
// behind it. A text that merely begins like an acceptance is none.
func parseDecision(line string, offered []string) (protocol.ApprovalRequestResult, bool) {
	first, note, _ := strings.Cut(line, " ")
	first, note = strings.ToLower(first), strings.TrimSpace(note)
	for _, c := range choices {
		if first != c.letter && first != c.word || !slices.Contains(offered, string(c.decision)) {
			continue
		}
		declines := c.decision == protocol.DecisionDecline || c.decision == protocol.DecisionCancel
		return protocol.ApprovalRequestResult{Decision: c.decision, Note: note}, note == "" || declines
	}
	return protocol.ApprovalRequestResult{}, false
}

// approvalPrompt says what is asked for, and what may be answered.
func approvalPrompt(p protocol.ApprovalRequestParams, paint paint) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\n", paint.bold("?"), paint.bold(clean(p.Kind+": "+p.Operation)))
	detail := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %s\n", paint.dim(name+": "+text))
		}
	}
	detail("why", oneLine(p.Reason, 200))
	detail("about", oneLine(string(p.Target), 200))
	detail("until", until(p.ExpiresAt))
	for _, c := range choices {
		if !slices.Contains(p.Decisions, string(c.decision)) {
			continue
		}
		text := c.text
		if c.decision == protocol.DecisionAcceptForThread || c.decision == protocol.DecisionAcceptAlways {
			text += " (" + oneLine(p.ScopeKey, 80) + ")"
		}
		fmt.Fprintf(&b, "  %s  %s\n", paint.bold(c.letter), text)
	}
	return b.String()
}

// until writes a time of today, or with its date.
func until(t protocol.Time) string {
	switch at := t.Time().Local(); {
	case t == 0:
		return ""
	case time.Until(at) < 12*time.Hour:
		return at.Format(time.TimeOnly)
	default:
		return at.Format(time.DateTime)
	}
}

// questionPrompt says what is asked, with a number for each option.
func questionPrompt(q protocol.Question, paint paint) string {
	var b strings.Builder
	title := q.Question
	if q.Header != "" && q.Header != q.Question {
		title = q.Header + ": " + q.Question
	}
	fmt.Fprintf(&b, "%s %s\n", paint.bold("?"), paint.bold(clean(title)))
	for i, o := range q.Options {
		text := oneLine(o.Label, 200)
		if o.Description != "" {
			text += paint.dim("  " + oneLine(o.Description, 200))
		}
		fmt.Fprintf(&b, "  %s  %s\n", paint.bold(strconv.Itoa(i+1)), text)
	}
	if len(q.Options) > 0 && q.AllowOther {
		fmt.Fprintf(&b, "  %s\n", paint.dim("a number, or something else"))
	}
	return b.String()
}

// parseAnswer reads an answer: the number or the label of an option, or where others are
// allowed any text.
func parseAnswer(line string, q protocol.Question) (string, bool) {
	if n, err := strconv.Atoi(line); err == nil && n >= 1 && n <= len(q.Options) {
		return q.Options[n-1].Label, true
	}
	for _, o := range q.Options {
		if strings.EqualFold(o.Label, line) {
			return o.Label, true
		}
	}
	return line, line != "" && (q.AllowOther || len(q.Options) == 0)
}

// unanswered says what a turn waits for, and how somebody can answer.
func unanswered(it *protocol.Item) string {
	what := oneLine(describeItem(it), 120)
	if it.Type == protocol.ItemApproval {
		return what + "; the turn waits: spool approvals accept " + it.ApprovalID + " (or decline)"
	}
	return what + "; the turn waits: answer with spool attach on a terminal"
}
