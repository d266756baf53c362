package thread

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

var _ turn.Emitter = (*run)(nil)

// openItem is an item of the running turn. Guarded by Thread.mu.
type openItem struct {
	r      *run
	item   protocol.Item // without the text that is in buf
	buf    []byte        // text, arguments or output so far
	closed bool
	saved  int      // how much of buf is in checkpoints
	whole  bool     // the next checkpoint holds all of it, not only what is new
	pieces []string // ids of its checkpoints

	size    int // what it takes when it is written, with counted bytes of buf; see noRoom
	counted int
}

// snapshot returns the item as it is now.
func (it *openItem) snapshot() protocol.Item {
	item := it.item
	if !it.closed {
		it.putText(&item)
	}
	return item
}

func (it *openItem) putText(item *protocol.Item) {
	switch item.Type {
	case protocol.ItemToolCall:
		if item.Arguments == nil && json.Valid(it.buf) {
			item.Arguments = append(json.RawMessage(nil), it.buf...)
		}
	case protocol.ItemCommandExecution:
		item.Output = string(it.buf)
	default:
		if item.Type.HasText() {
			item.Text = string(it.buf)
		}
	}
}

func deltaOf(t protocol.ItemType) (protocol.Notification[protocol.DeltaEvent], bool) {
	switch t {
	case protocol.ItemAgentMessage:
		return protocol.EventAgentMessageDelta, true
	case protocol.ItemReasoning:
		return protocol.EventReasoningDelta, true
	case protocol.ItemToolCall:
		return protocol.EventToolArgumentsDelta, true
	case protocol.ItemCommandExecution:
		return protocol.EventCommandOutputDelta, true
	default:
		return protocol.Notification[protocol.DeltaEvent]{}, false
	}
}

// prepare sets what every new item of a turn has.
func (r *run) prepare(item protocol.Item, at protocol.Time) protocol.Item {
	sanitize(&item)
	item.ID, item.TurnID = protocol.NewID(protocol.PrefixItem), r.turn.ID
	item.Origin, item.Revision, item.CreatedAt = protocol.OriginTurn, 1, at
	return item
}

// Begin starts an item that grows.
func (r *run) Begin(init protocol.Item) turn.Item {
	t := r.lock()
	defer t.mu.Unlock()
	if t.run != r {
		return &openItem{r: r, closed: true, item: init}
	}
	return r.begun(init)
}

// begun starts an item; one that is too large is closed, and the turn fails.
func (r *run) begun(init protocol.Item) *openItem {
	x := r.t.begin()
	item := r.prepare(init, x.at)
	item.Status = protocol.ItemInProgress
	it := &openItem{r: r, item: item, whole: true, size: size(&item)}
	if r.tooLarge(int64(it.size)) {
		return &openItem{r: r, closed: true, item: init}
	}
	it.buf = append(it.buf, item.Text...)
	it.buf = append(it.buf, item.Output...)
	it.counted = len(it.buf)
	r.items = append(r.items, it)
	emit(x, protocol.EventItemStarted, protocol.ItemEvent{Header: x.next(r.turn.ID, item.ID, r.turn.TraceID), Item: item})
	it.item.Text, it.item.Output = "", ""
	x.commit(nil)
	return it
}

// Add says an item that is complete from the start.
func (r *run) Add(item protocol.Item) protocol.Item {
	t := r.lock()
	defer t.mu.Unlock()
	if t.run != r {
		return item
	}
	x := t.begin()
	prepared := r.prepare(item, x.at)
	if r.tooLarge(int64(size(&prepared))) {
		return item
	}
	prepared = x.addPrepared(r, prepared)
	x.commit(nil)
	return prepared
}

// addItem adds an item that is complete from the start to a change.
func (x *change) addItem(r *run, item protocol.Item) protocol.Item {
	return x.addPrepared(r, r.prepare(item, x.at))
}

func (x *change) addPrepared(r *run, item protocol.Item) protocol.Item {
	item.CompletedAt = x.at
	if item.Status == "" || item.Status == protocol.ItemInProgress {
		item.Status = protocol.ItemCompleted
	}
	r.items = append(r.items, &openItem{r: r, item: item, closed: true})
	emit(x, protocol.EventItemCompleted, protocol.ItemEvent{Header: x.next(r.turn.ID, item.ID, r.turn.TraceID), Item: item})
	return item
}

// ID returns the item's id.
func (it *openItem) ID() string { return it.item.ID }

// Append adds text.
func (it *openItem) Append(text string) {
	r := it.r
	text = strings.ToValidUTF8(text, "\uFFFD") // as it is encoded: offsets count what is sent
	t := r.lock()
	defer t.mu.Unlock()
	if t.run != r || it.closed || text == "" || it.noRoom(text) {
		return
	}
	n, ok := deltaOf(it.item.Type)
	offset := len(it.buf)
	it.buf = append(it.buf, text...)
	// Among the effects that wait may be a subscription that begins before this.
	if ok && (r.conf.Stream == nil || *r.conf.Stream) && len(t.subs)+len(t.toTell()) > 0 {
		r.tellDelta(n, it.item.ID, offset, text)
	}
	r.saveSoon(it)
}

func (r *run) tellDelta(n protocol.Notification[protocol.DeltaEvent], item string, offset int, text string) {
	d := delta{n: n, header: r.header(item), offset: offset, text: text}
	frame, err := protocol.Encode(n, protocol.DeltaEvent{Header: d.header, Offset: offset, Delta: text})
	if err != nil {
		return
	}
	r.t.tell(effect{kind: tellDelta, method: n.Name, frame: frame, delta: d})
}

// Patch changes a state item, and no other.
func (it *openItem) Patch(patch json.RawMessage) {
	r := it.r
	t := r.lock()
	defer t.mu.Unlock()
	if t.run != r || it.closed || it.item.Type != protocol.ItemState || !json.Valid(patch) {
		return
	}
	state, err := protocol.MergePatch(it.item.State, patch)
	if err != nil || r.tooLarge(int64(len(state))) {
		return
	}
	it.item.State = state
	it.whole = true
	live(t, nil, tellLive, protocol.EventStateDelta, protocol.StateDeltaEvent{Header: r.header(it.item.ID), Patch: patch})
	t.flush()
	r.saveSoon(it)
}

// Complete makes the item final.
func (it *openItem) Complete(change func(*protocol.Item)) {
	t := it.r.lock()
	defer t.mu.Unlock()
	if t.run != it.r || it.closed {
		return
	}
	final := it.snapshot()
	final.Status = protocol.ItemCompleted
	if change != nil {
		change(&final)
		sanitize(&final)
		if it.r.tooLarge(int64(size(&final))) {
			return
		}
	}
	keep := it.item
	final.ID, final.TurnID, final.Type, final.Origin, final.CreatedAt = keep.ID, keep.TurnID, keep.Type, keep.Origin, keep.CreatedAt
	if final.Status == protocol.ItemInProgress {
		final.Status = protocol.ItemCompleted
	}
	it.item = final
	it.buf = nil
	x := t.begin()
	x.completeFinal(it)
	x.commit(nil)
}

// completeItem closes an item with what it has.
func (x *change) completeItem(it *openItem) {
	it.putText(&it.item)
	it.buf = nil
	x.completeFinal(it)
}

func (x *change) completeFinal(it *openItem) {
	r := it.r
	it.closed = true
	it.item.CompletedAt = x.at
	x.batch.Closed = append(x.batch.Closed, it.pieces...)
	emit(x, protocol.EventItemCompleted, protocol.ItemEvent{Header: x.next(r.turn.ID, it.item.ID, r.turn.TraceID), Item: it.item})
}

// Usage reports the tokens of one model call.
func (r *run) Usage(u protocol.Usage) {
	t := r.lock()
	defer t.mu.Unlock()
	if t.run != r {
		return
	}
	r.usage.Add(u)
	r.used = true
	live(t, nil, tellLive, protocol.EventUsageDelta, protocol.UsageDeltaEvent{Header: r.header(""), Usage: u})
	t.flush()
}

// Plan replaces the plan of the turn.
func (r *run) Plan(entries []protocol.PlanEntry) {
	t := r.lock()
	defer t.mu.Unlock()
	if t.run != r || r.tooLarge(int64(written(entries, len(entries)))) {
		return
	}
	if r.plan == nil {
		r.plan = r.begun(protocol.Item{Type: protocol.ItemPlan})
	}
	entries = slices.Clone(entries) // the agent may go on to use its list
	r.plan.item.Entries = entries
	x := t.begin()
	emit(x, protocol.EventPlanUpdated, protocol.PlanUpdatedEvent{Header: x.next(r.turn.ID, r.plan.item.ID, r.turn.TraceID), Entries: entries})
	x.commit(nil)
}

// Event says something to the people who watch.
func (r *run) Event(kind, text string) {
	t := r.lock()
	defer t.mu.Unlock()
	if t.run != r || r.tooLarge(int64(protocol.StringSize(kind)+protocol.StringSize(text))) {
		return
	}
	live(t, nil, tellLive, protocol.EventSystemNews, protocol.SystemEvent{Header: r.header(""), Kind: kind, Text: text})
	t.flush()
}

// saveSoon makes a checkpoint of the item where its text has grown by enough, else sees to
// it that there is one soon.
func (r *run) saveSoon(it *openItem) {
	limits := &r.t.m.limits
	if len(it.buf)-it.saved >= limits.CheckpointBytes {
		r.save(it)
		return
	}
	if r.saver == nil {
		r.saver = time.AfterFunc(limits.CheckpointInterval, r.saveAll)
	}
}

func (r *run) saveAll() {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	r.saver = nil
	if t.run != r || t.m.stopped.Err() != nil {
		return
	}
	for _, it := range r.items {
		if !it.closed && (it.whole || len(it.buf) > it.saved) {
			r.save(it)
		}
	}
}
