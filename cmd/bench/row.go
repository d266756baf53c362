package main

import (
	"fmt"
	"strings"
)

// Row is one measured figure beside what it is judged by.
type Row struct {
	ID    string  // the goal it belongs to: P1 … P17; empty for a plain figure
	What  string  // what was measured, in a few words
	Value float64 // the median of the rounds
	Unit  string  // of Value and Limit: "/s", "ms", "MB", …

	Limit   float64 // what the machine allows, measured in the same run; 0: none
	LimitOf string  // what Limit is, in a few words

	Goal string // as text, such as "≥ 60 %" or "≤ 5 ms"; empty: none
	Met  bool   // meaningful where Goal is not empty
	Note string // anything else a reader should know, such as the spread of the rounds
}

// Ratio returns Value over Limit, or 0 where there is no limit.
func (r Row) Ratio() float64 {
	if r.Limit == 0 {
		return 0
	}
	return r.Value / r.Limit
}

// AtLeast sets the goal that Value be at least so large a share of Limit.
func (r Row) AtLeast(share float64) Row {
	r.Goal, r.Met = fmt.Sprintf("≥ %.0f %%", share*100), r.Ratio() >= share
	return r
}

// AtMostTimes sets the goal that Value be at most so many times Limit.
func (r Row) AtMostTimes(n float64) Row {
	r.Goal, r.Met = fmt.Sprintf("≤ %.3g ×", n), r.Limit > 0 && r.Ratio() <= n
	return r
}

// AtMost sets the goal that Value be at most v, in the row's unit.
func (r Row) AtMost(v float64) Row {
	r.Goal, r.Met = strings.TrimSpace("≤ "+figure(v)+" "+r.Unit), r.Value <= v
	return r
}

// Min sets the goal that Value be at least v, in the row's unit.
func (r Row) Min(v float64) Row {
	r.Goal, r.Met = strings.TrimSpace("≥ "+figure(v)+" "+r.Unit), r.Value >= v
	return r
}
