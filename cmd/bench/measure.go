package main

import "context"

// A measure produces the rows of one goal, or of several that share their work.
type measure struct {
	ids  []string // the goals its rows belong to
	name string
	run  func(ctx context.Context, b *bench) ([]Row, error)
}

// measures is the list of all, in the order in which they run. Each stands in the file
// that is named for what it measures.
var measures = []measure{
	{[]string{"P1"}, "deltas to one WebSocket client", p1},
	{[]string{"P2"}, "fan-out", p2},
	{[]string{"P3"}, "deltas over stdio and Unix socket", p3},
	{[]string{"P4"}, "latency of deltas", p4},
	{[]string{"P5"}, "latency of a durable event", p5},
	{[]string{"P6"}, "turns accepted one at a time", p6},
	{[]string{"P7"}, "durable events of many threads at once", p7},
	{[]string{"P8"}, "whole turns", p8},
	{[]string{"P9"}, "whole turns of a model", p9},
	{[]string{"P10"}, "catch-up from the journal", p10},
	{[]string{"P11"}, "threads made", p11},
	{[]string{"P12"}, "lists and reads among many threads", p12},
	{[]string{"P13"}, "memory", p13},
	{[]string{"P14"}, "a slow reader among many", p14},
	{[]string{"P15"}, "start to ready", p15},
	{[]string{"P16"}, "size of the program", p16},
	{[]string{"P17"}, "a daemon with nothing to do", p17},
}
