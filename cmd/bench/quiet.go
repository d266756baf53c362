package main

import (
	"context"
	"os"
	"strconv"
	"strings"
	"time"
)

// quietEnough is how many processors others may keep busy while something is measured.
const quietEnough = 0.3

// quiet waits until the machine has nothing else to do, at most as long as the flag -wait allows in a whole run, and
// returns how many processors are busy. The load average of the system would not do: it still
// counts what the measure before left.
func (b *bench) quiet(ctx context.Context) float64 {
	look := 200 * time.Millisecond
	if b.short {
		look, b.patience = 10*time.Millisecond, 0
	}
	for {
		busy := busyProcessors(ctx, look)
		if busy <= quietEnough || b.patience <= 0 || ctx.Err() != nil {
			return busy
		}
		b.patience -= look
	}
}

// busyProcessors looks for a while how many processors are in use, 0 where that cannot be told.
func busyProcessors(ctx context.Context, look time.Duration) float64 {
	before, ok := busyTime()
	if !ok {
		return 0
	}
	wait(ctx, look)
	after, _ := busyTime()
	return (after - before).Seconds() / look.Seconds()
}

// tick is the unit of processor time in /proc; it is the same on every Linux.
const tick = 10 * time.Millisecond

// busyTime is the time all processors together have worked since the system started.
func busyTime() (time.Duration, bool) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, false
	}
	line, _, _ := strings.Cut(string(text), "\n")
	fields := strings.Fields(line) // cpu user nice system idle iowait irq softirq steal
	if len(fields) < 8 {
		return 0, false
	}
	var ticks int64
	for i, f := range fields[1:8] {
		if n, err := strconv.ParseInt(f, 10, 64); err == nil && i != 3 && i != 4 {
			ticks += n
		}
	}
	return time.Duration(ticks) * tick, true
}

// wait returns after d, or when ctx ends.
func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
