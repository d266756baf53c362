//go:build unix

package exec

import (
	"testing"
	"time"

	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agenttest"
)

// TestKit: the agent keeps what every agent promises.
func TestKit(t *testing.T) {
	agenttest.Run(t, func(t testing.TB) turn.Agent { return open(t, self()) }, agenttest.Cases{
		Says: say("Good day to you"), Text: "Good day to you", Works: say("work"), Fails: say("fail"), Steers: say("steer"),
		Approves: say(`ask {"type":"approve","id":"1","kind":"command","operation":"rm build"}`),
		Asks:     say(`ask {"type":"ask","id":"1","questions":[{"question":"Where?"}]}`),
		Calls:    say(`ask {"type":"call","id":"1","tool":"weather","arguments":{"city":"NYC"}}`),
		Within:   5 * time.Second, // many programs start on a machine that may be busy
	})
}

// TestKitPlain is TestKit in plain mode, where the agent asks nobody.
func TestKitPlain(t *testing.T) {
	o := shell(`case $(cat) in work) echo Well; exec sleep 1000;; fail) exit 3;; *) echo Good day;; esac`)
	o.Plain = true
	agenttest.Run(t, func(t testing.TB) turn.Agent { return open(t, o) }, agenttest.Cases{
		Says: say("Hello"), Text: "Good day", Works: say("work"), Fails: say("fail"), Within: 5 * time.Second,
	})
}
