package sdk

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spoolhq/spool/protocol"
)

// childMain is what the test binary does when a test started it as a daemon on stdio.
func childMain() bool {
	how := os.Getenv("SPOOL_SDK_CHILD")
	if how == "" {
		return false
	}
	in := bufio.NewScanner(os.Stdin)
	for in.Scan() {
		e := protocol.ParseFrame(in.Bytes())
		switch {
		case e.Method == "initialize":
			fmt.Printf(`{"id":%s,"result":{"serverInfo":{"name":"child","version":"1","protocolVersion":"1"},"connectionId":"con_1","user":"local","scopes":[],"limits":{"maxMessageBytes":100000},"capabilities":{}}}`+"\n", e.ID)
		case e.Method == "server/ping" && how == "die":
			fmt.Fprintln(os.Stderr, "I die")
			os.Exit(3)
		case e.Method == "server/ping":
			fmt.Printf(`{"id":%s,"result":{"at":"2026-01-01T00:00:00.000Z"}}`+"\n", e.ID)
		}
	}
	return true
}

func asChild(t *testing.T, how string) {
	t.Setenv("SPOOL_SDK_CHILD", how)
	t.Setenv("GORACE", "atexit_sleep_ms=0") // the race detector waits a second by default
}

func TestCommandS22(t *testing.T) {
	asChild(t, "serve")
	c, err := Command(t.Context(), nil, os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Server().Ping(t.Context()); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Errorf("Close: %v; the end of its input should end the child with status 0", err)
	}
	if _, err := c.Server().Ping(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("a call after Close: %v, want ErrClosed", err)
	}
}

func TestCommandByEndpoint(t *testing.T) {
	asChild(t, "serve")
	c, err := Connect(t.Context(), "stdio:"+os.Args[0]+" -test.v", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if got := c.Session().ServerInfo.Name; got != "child" {
		t.Errorf("connected to %q", got)
	}
}

func TestCommandDies(t *testing.T) {
	asChild(t, "die")
	var stderr bytes.Buffer
	c, err := Command(t.Context(), &Options{Stderr: &stderr}, os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Server().Ping(t.Context())
	if te, ok := errors.AsType[*TransportError](err); !ok || !strings.Contains(te.Error(), "exit status 3") {
		t.Errorf("the error is %v, want a TransportError with the exit status", err)
	}
	<-c.Done()
	if c.Err() == nil || !strings.Contains(stderr.String(), "I die") {
		t.Errorf("Err %v, stderr %q", c.Err(), &stderr)
	}
}

func TestCommandThatIsNotThere(t *testing.T) {
	_, err := Command(t.Context(), nil, "/does/not/exist")
	if _, ok := errors.AsType[*TransportError](err); !ok {
		t.Errorf("the error is %v, want a TransportError", err)
	}
}
