package server

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/spoolhq/spool/protocol"
)

// TestOneBackupAtATime also checks that a client that goes away ends its backup.
func TestOneBackupAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ends := make(chan error, 2)
		h := newHub(t, func(c *Config) {
			c.Backup = func(ctx context.Context) (protocol.ServerBackupResult, error) {
				<-ctx.Done()
				ends <- context.Cause(ctx)
				return protocol.ServerBackupResult{}, context.Cause(ctx)
			}
		})
		c, other := dialLines(t, h), dialLines(t, h)
		c.open()
		other.open()
		c.send(`{"id":1,"method":"server/backup"}`)
		c.said()
		if got := one(t, other.ask(`{"id":1,"method":"server/backup"}`)); code(t, got) != protocol.CodeServerOverloaded || !strings.Contains(got, "retryAfterMs") {
			t.Errorf("a second one: %s", got)
		}
		if got := one(t, other.ask(`{"id":2,"method":"server/ping"}`)); code(t, got) != 0 {
			t.Errorf("beside it: %s", got)
		}
		if got := one(t, c.ask(`{"method":"$/cancelRequest","params":{"id":1}}`)); code(t, got) != protocol.CodeRequestCancelled {
			t.Errorf("taken back: %s", got)
		}
		<-ends
		other.send(`{"id":3,"method":"server/backup"}`)
		other.said()
		start := time.Now()
		other.close()
		if err := <-ends; err == nil || time.Since(start) > 0 {
			t.Errorf("a backup went on for %v for a client that is gone: %v", time.Since(start), err)
		}
	})
}

func TestBackupRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		h := newHub(t)
		c := dialLines(t, h)
		c.open()
		if got := one(t, c.ask(`{"id":1,"method":"server/backup"}`)); code(t, got) != protocol.CodeForbidden {
			t.Errorf("where none are made: %s", got)
		}
		if got := one(t, c.ask(`{"id":2,"method":"server/backup","params":{"path":"/etc/passwd"}}`)); code(t, got) != protocol.CodeInvalidParams {
			t.Errorf("with a path: %s", got)
		}
		reader := dialAs(t, h, Identity{Transport: "stdio", User: "ann", Scopes: []protocol.Scope{protocol.ScopeRead, protocol.ScopeRun, protocol.ScopeApprove}})
		reader.open()
		if got := one(t, reader.ask(`{"id":1,"method":"server/backup"}`)); code(t, got) != protocol.CodeForbidden {
			t.Errorf("without the scope: %s", got)
		}
	})
}
