package sdk_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

func Example() {
	ctx := context.Background()
	c, err := sdk.Connect(ctx, "ws://127.0.0.1:7717", &sdk.Options{
		ClientInfo: protocol.ClientInfo{Name: "example", Version: "1.0"},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	thread, err := c.Threads().Start(ctx, &protocol.ThreadStartParams{
		ThreadOptions: protocol.ThreadOptions{Title: "Weather"},
	})
	if err != nil {
		log.Fatal(err)
	}
	result, err := thread.Run(ctx, sdk.Text("Will it rain tomorrow?"), nil)
	var failed *sdk.TurnFailedError
	if errors.As(err, &failed) {
		log.Fatalf("%s, after it said: %s", failed.Message, failed.Partial.Text)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Text)
}

func ExampleThread_RunStreamed() {
	ctx := context.Background()
	c, err := sdk.Connect(ctx, "stdio:spool stdio", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	thread := c.Threads().Get("thr_01KA4N8D6WV1QZ1H0V4W1Q2J3K")
	for ev, err := range thread.RunStreamed(ctx, sdk.Text("Hello"), &sdk.RunOptions{IfBusy: protocol.BusyEnqueue}) {
		if err != nil {
			log.Fatal(err)
		}
		switch ev.Type {
		case sdk.EventAgentMessageDelta:
			fmt.Print(ev.Delta)
		case sdk.EventFailed, sdk.EventCancelled:
			log.Fatal(ev.Err())
		default: // there are many more
		}
	}
}

// A watcher that comes back after an absence gets every event it lacks.
func ExampleThread_Subscribe() {
	ctx := context.Background()
	c, err := sdk.Connect(ctx, "unix:///run/user/1000/spool/spool.sock", nil)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()

	lastSeen := uint64(120)
	thread := c.Threads().Get("thr_01KA4N8D6WV1QZ1H0V4W1Q2J3K")
	for ev, err := range thread.Subscribe(ctx, &sdk.SubscribeOptions{AfterSeq: &lastSeen}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ev.Seq, ev.Type, ev.Text)
	}
}
