package server

import (
	"context"
	"sync"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

// backups makes one backup at a time. Clients neither say where it is written nor can they
// make the daemon write several at once.
type backups struct {
	make func(context.Context) (protocol.ServerBackupResult, error) // nil: none are made
	busy sync.Mutex
}

// backUp answers server/backup when the backup is whole. It takes as long as it takes, so it
// is parked, like a request that waits for a turn: when its connection ends, it ends at once.
func (h *Hub) backUp(c thread.Call, _ protocol.Empty, r thread.Reply[protocol.ServerBackupResult]) {
	var none protocol.ServerBackupResult
	b := &h.backups
	if b.make == nil {
		r(none, protocol.Errorf(protocol.CodeForbidden, "this daemon makes no backups"))
		return
	}
	if err := c.Park(); err != nil {
		r(none, err)
		return
	}
	if !b.busy.TryLock() {
		e := protocol.Errorf(protocol.CodeServerOverloaded, "another backup is being made; try again when it is done")
		e.Data.RetryAfterMs = 1000
		r(none, e)
		return
	}
	made, err := func() (protocol.ServerBackupResult, error) {
		defer b.busy.Unlock()
		return b.make(c.Context)
	}()
	r(made, err)
}
