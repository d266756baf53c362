package thread

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// piece is one checkpoint of an item in progress. Each holds the text since the one before
// it, so that saving a long item costs what is new; a whole one holds the item too and
// makes those before it needless.
type piece struct {
	Item   *protocol.Item `json:"item,omitempty"`
	ItemID string         `json:"itemId"`
	Offset int            `json:"offset"`
	Text   []byte         `json:"text,omitempty"` // base64: a piece may end within a rune
}

// save makes a checkpoint of what is new of an item. t.mu is held.
func (r *run) save(it *openItem) {
	x := r.t.begin()
	p := piece{ItemID: it.item.ID, Offset: it.saved, Text: it.buf[it.saved:]}
	if it.whole {
		p.Item, p.Offset, p.Text = &it.item, 0, it.buf
		x.batch.Closed = it.pieces
		it.pieces = nil
	}
	data, err := protocol.Marshal(p)
	if err != nil {
		return
	}
	id := protocol.NewID(protocol.PrefixItem)
	it.pieces = append(it.pieces, id)
	it.saved, it.whole = len(it.buf), false
	x.batch.Checkpoints = []storage.Checkpoint{{Item: id, Data: data}}
	x.commit(nil)
}

// restored puts the pieces of a thread's items in progress together: the items as they
// were at their last checkpoint, by id, and the ids of all pieces.
func (t *Thread) restored(ctx context.Context) (map[string]*openItem, []string, error) {
	saved, err := t.store().Checkpoints(ctx, t.id)
	if err != nil {
		return nil, nil, err
	}
	slices.SortFunc(saved, func(a, b storage.Checkpoint) int { return cmp.Compare(a.Item, b.Item) })
	items := map[string]*openItem{}
	ids := make([]string, 0, len(saved))
	for _, c := range saved {
		var p piece
		if err := json.Unmarshal(c.Data, &p); err != nil {
			return nil, nil, fmt.Errorf("checkpoint %s of %s: %w", c.Item, t.id, storage.ErrCorrupt)
		}
		ids = append(ids, c.Item)
		if p.Item != nil {
			items[p.ItemID] = &openItem{item: *p.Item}
		}
		if it := items[p.ItemID]; it != nil && p.Offset == len(it.buf) {
			it.buf = append(it.buf, p.Text...)
		}
	}
	return items, ids, nil
}
