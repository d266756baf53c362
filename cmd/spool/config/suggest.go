package config

import (
	"fmt"
	"strings"
)

// didYouMean returns "; did you mean …?" with the candidate nearest to name, or nothing
// where none is near.
func didYouMean(name string, candidates []string) string {
	if best, ok := nearest(name, candidates); ok {
		return fmt.Sprintf("; did you mean %q?", best)
	}
	return ""
}

// nearest returns the candidate with the smallest edit distance to name. A third of the
// letters may differ, and always one.
func nearest(name string, candidates []string) (string, bool) {
	best, min := "", max(1, len(name)/3)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(name), strings.ToLower(c)); d < min {
			best, min = c, d
		}
	}
	return best, best != ""
}

// distance is the number of letters to insert, remove, replace or swap with their
// neighbour that makes b of a.
func distance(a, b string) int {
	row := func(n int) []int { return make([]int, n+1) }
	before, last, this := row(len(b)), row(len(b)), row(len(b))
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		this[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			this[j+1] = min(last[j+1]+1, this[j]+1, last[j]+cost)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				this[j+1] = min(this[j+1], before[j-1]+1)
			}
		}
		before, last, this = last, this, before
	}
	return last[len(b)]
}
