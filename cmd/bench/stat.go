package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"
)

// median returns the middle of the values, 0 of none.
func median[T cmp.Ordered](values []T) T { return pct(values, 50) }

// pct returns the value below which a share of the values lies, in percent; 0 of none.
func pct[T cmp.Ordered](values []T, percent float64) T {
	var zero T
	if len(values) == 0 {
		return zero
	}
	sorted := slices.Sorted(slices.Values(values))
	i := int(float64(len(sorted)) * percent / 100)
	return sorted[min(i, len(sorted)-1)]
}

// ms is a duration as the tables show it.
func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// us is a duration in microseconds.
func us(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// rate is how many a second, 0 where no time has passed.
func rate(n int, took time.Duration) float64 {
	if took <= 0 {
		return 0
	}
	return float64(n) / took.Seconds()
}

// spread says between which values the rounds, or the seconds, lay.
func spread(values []float64) string {
	if len(values) < 2 {
		return ""
	}
	return fmt.Sprintf("%s to %s", figure(slices.Min(values)), figure(slices.Max(values)))
}
