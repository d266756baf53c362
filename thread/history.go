package thread

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// history returns what the agent is told of the thread: the items of the turns before it,
// in the order in which they ran, then those of its own. It is turn.Input.History.
func (r *run) history(ctx context.Context) ([]protocol.Item, error) {
	t := r.t
	t.mu.Lock()
	v := t.view()
	t.mu.Unlock()
	if err := v.wait(ctx); err != nil {
		return nil, err
	}
	most := 0
	if h := r.conf.History; h != nil {
		most = h.MaxTurns
	}
	entries, err := v.ran(ctx, most)
	if err != nil {
		return nil, err
	}
	var stored []json.RawMessage
	if most == 0 {
		if stored, err = v.loose(ctx); err != nil {
			return nil, err
		}
	}
	for _, e := range entries {
		if e.ID == r.turn.ID {
			continue
		}
		of, err := v.turnItems(ctx, e)
		if err != nil {
			return nil, err
		}
		stored = append(stored, of...)
	}
	items, err := decoded[protocol.Item](t, stored)
	if err != nil {
		return nil, err
	}
	if r.conf.HistoryPolicy == protocol.HistoryDropPartial {
		items = slices.DeleteFunc(items, func(it protocol.Item) bool {
			return it.Status == protocol.ItemInterrupted || it.Status == protocol.ItemFailed && it.Type.HasText()
		})
	}
	if v.active != nil {
		items = append(items, v.active.Items...)
	}
	return items, nil
}

// ran returns the newest turns that ran and ended, at most so many (0: all), in the order
// in which they ran.
func (v *view) ran(ctx context.Context, most int) ([]storage.TurnEntry, error) {
	var all []storage.TurnEntry
	before := ""
	for {
		page, err := v.store.Turns(ctx, v.t.id, storage.TurnQuery{Before: before, Limit: 200, Desc: true})
		if err != nil {
			return nil, err
		}
		for _, e := range page {
			if e.Started > 0 && e.Ended > 0 && e.Ended <= v.head {
				all = append(all, e)
			}
		}
		if len(page) < 200 || most > 0 && len(all) >= most {
			break
		}
		before = page[len(page)-1].ID
	}
	slices.SortFunc(all, func(a, b storage.TurnEntry) int { return cmp.Compare(a.Started, b.Started) })
	if most > 0 && len(all) > most {
		all = all[len(all)-most:]
	}
	return all, nil
}
