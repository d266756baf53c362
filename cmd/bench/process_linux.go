package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// cpu returns the processor time that the process has used, all its threads together. Its clock
// has nanoseconds; what /proc says has hundredths of a second.
func (p process) cpu() (time.Duration, error) {
	const scheduled = 2 // user and system time, as the scheduler counts it
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.pid<<3|scheduled), &t); err != nil {
		return 0, fmt.Errorf("the processor time of process %d: %w", p.pid, err)
	}
	return time.Duration(t.Nano()), nil
}
