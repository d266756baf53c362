package sdk_test

import (
	"context"
	"encoding/json"
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

// A client that offers a tool, and lets its agent run commands of which a person approves.
func ExampleOptions_tools() {
	ctx := context.Background()
	weather := sdk.Tool{
		Tool: protocol.Tool{
			Name: "weather", Description: "Tells the weather in a city.",
			InputSchema: json.RawMessage(`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}`),
		},
		Handle: func(ctx context.Context, call protocol.ToolCallParams) (protocol.ToolCallResult, error) {
			return sdk.ToolText("72 F"), nil
		},
	}
	c, err := sdk.Connect(ctx, "unix:///run/user/1000/spool/spool.sock", &sdk.Options{
		Tools: []sdk.Tool{weather},
		OnApproval: func(ctx context.Context, p protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error) {
			fmt.Printf("May it %s? [y/N] ", p.Operation)
			var answer string
			if _, err := fmt.Scanln(&answer); err != nil || answer != "y" {
				return protocol.ApprovalRequestResult{Decision: protocol.DecisionDecline}, nil
			}
			return protocol.ApprovalRequestResult{Decision: protocol.DecisionAccept}, nil
		},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
}
