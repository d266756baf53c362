package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

func init() { roles["agent"] = func(args []string) error { return stampAgent(args[0]) } }

// stamps is the input of the agent "stamps": what it says, how often and how far apart, and not
// before when, so that all processes are up before the first speaks.
type stamps struct {
	Items bool // durable events, not deltas
	N     int
	Apart time.Duration // 0: as fast as it can
	Begin time.Time
}

// errand is what the process of an agent hands to the [speaker].
type errand struct {
	PID    int
	Stamps stamps
}

// stampAgent is an agent of kind exec that writes the time into what it says. It has the speaker
// of the program that measures write to its standard output, and waits: 64 programs that each
// wake up 50 times a second would keep a small machine busy by themselves.
func stampAgent(speaker string) error {
	var turn struct{ Text string }
	if err := json.NewDecoder(os.Stdin).Decode(&turn); err != nil {
		return err
	}
	e := errand{PID: os.Getpid()}
	if err := json.Unmarshal([]byte(turn.Text), &e.Stamps); err != nil {
		return fmt.Errorf("%q: %w", turn.Text, err)
	}
	c, err := net.Dial("unix", speaker)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := json.NewEncoder(c).Encode(e); err != nil {
		return err
	}
	said, err := bufio.NewReader(c).ReadString('\n')
	if err == nil && said != "done\n" {
		err = io.ErrUnexpectedEOF
	}
	return err
}
