package main

import (
	"slices"
	"testing"
)

func TestPct(t *testing.T) {
	var hundred []int
	for i := range 100 {
		hundred = append(hundred, i+1)
	}
	slices.Reverse(hundred)
	for _, c := range []struct {
		values  []int
		percent float64
		want    int
	}{
		{nil, 50, 0},
		{[]int{7}, 99, 7},
		{[]int{3, 1, 2}, 50, 2},
		{hundred, 99, 100},
		{hundred, 98, 99},
		{hundred, 0, 1},
		{hundred, 100, 100},
	} {
		if got := pct(c.values, c.percent); got != c.want {
			t.Errorf("pct(%d values, %v) = %d, want %d", len(c.values), c.percent, got, c.want)
		}
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.01234: "0.0123", 3.14159: "3.14", 42.42: "42.4", 999: "999", 1234.5: "1,234",
		1234567: "1,234,567", -1234: "-1,234", 100: "100",
	} {
		if got := figure(v); got != want {
			t.Errorf("figure(%v) = %q, want %q", v, got, want)
		}
	}
}

func TestGoals(t *testing.T) {
	r := Row{Value: 59, Limit: 100, Unit: "/s"}
	for _, c := range []struct {
		row  Row
		goal string
		met  bool
	}{
		{r.AtLeast(0.6), "≥ 60 %", false},
		{r.AtLeast(0.59), "≥ 59 %", true},
		{r.AtMostTimes(2), "≤ 2 ×", true},
		{r.AtMostTimes(0.5), "≤ 0.5 ×", false},
		{Row{Value: 59}.AtMostTimes(2), "≤ 2 ×", false},
		{r.AtMost(58), "≤ 58.0 /s", false},
		{r.AtMost(59), "≤ 59.0 /s", true},
		{r.Min(60), "≥ 60.0 /s", false},
		{r.Min(59), "≥ 59.0 /s", true},
	} {
		if c.row.Goal != c.goal || c.row.Met != c.met {
			t.Errorf("goal %q met %v, want %q %v", c.row.Goal, c.row.Met, c.goal, c.met)
		}
	}
}
