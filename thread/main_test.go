package thread_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	_ = flag.Set("rapid.checks", "25") // a hundred take long with -race; -rapid.checks=3000 is for a night
	goleak.VerifyTestMain(m)
}
