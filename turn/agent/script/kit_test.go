package script

import (
	"testing"

	"github.com/spoolhq/spool/turn"
	"github.com/spoolhq/spool/turn/agenttest"
)

// TestKit: the agent keeps what every agent promises.
func TestKit(t *testing.T) {
	agenttest.Run(t, func(testing.TB) turn.Agent { return New() }, agenttest.Cases{
		Says: input("Good day to you"), Text: "Good day to you",
		Works:  input("/say Well\n/hold"),
		Fails:  input("/fail no"),
		Steers: input("/say Wait\n/hold\n/say done"), Steer: "release",
		Approves: input("/approve command rm build"),
		Asks:     input("/ask Where? | here | there"),
		Calls:    input(`/tool weather {"city":"NYC"}`),
	})
}
