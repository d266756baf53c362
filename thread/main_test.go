package thread_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// usualChecks is how often a property is tried: a hundred times take long with -race.
// -rapid.checks=3000 is for a night.
const usualChecks = "25"

func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", usualChecks)
	goleak.VerifyTestMain(m)
}
