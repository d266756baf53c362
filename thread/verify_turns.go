package thread

import (
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// The rules of turns, items and the queue, for Verify.

// queueState takes what an event says of the queue. Its length is true when all events of
// one revision have been told.
func (v *verifier) queueState(method string, q *protocol.QueueState) {
	queued := method == protocol.EventTurnQueued.Name
	if v.retold > 0 {
		if v.retold--; !queued || q == nil || q.Revision != v.revision || q.Length != v.length {
			v.wrong("%s comes where a turn that the reset kept must be told again", method)
			v.retold = 0
		}
		return
	}
	if q == nil {
		return
	}
	v.revised(q.Revision, method == protocol.EventTurnCancelled.Name)
	v.length = q.Length
	if q.Paused != v.paused {
		v.wrong("%s says that the queue is paused: %v; it is: %v", method, q.Paused, v.paused)
	}
}

// revised checks that the revision of the queue grows by one. Turns that are taken out
// together share one.
func (v *verifier) revised(revision uint64, shared bool) {
	switch {
	case revision == v.revision && shared:
		return
	case revision != v.revision+1:
		v.wrong("the revision of the queue is %d after %d", revision, v.revision)
	}
	v.settled()
	v.revision = revision
}

// settled compares the length of the queue with what was last said of it.
func (v *verifier) settled() {
	if v.length >= 0 && v.length != len(v.queue) && !v.out.Cut {
		v.wrong("the queue has %d turns before this event, but the events of revision %d said %d", len(v.queue), v.revision, v.length)
	}
	v.length = -1
}

// turnStep takes the next step in the life of a turn.
func (v *verifier) turnStep(method string, e importedEvent) {
	if e.Turn == nil || e.Turn.ID != e.TurnID || e.Turn.ThreadID != v.id || e.Turn.Status != turnStatus[method] || !protocol.ValidID(protocol.PrefixTurn, e.TurnID) {
		v.wrong("%s holds no turn of this thread in that state", method)
		return
	}
	tn := v.turns[e.TurnID]
	if tn != nil && tn.Ended > 0 {
		v.wrong("%s of turn %s comes after its end (event %d)", method, e.TurnID, tn.Ended)
		return
	}
	switch method {
	case protocol.EventTurnQueued.Name:
		v.queued(tn, e)
	case protocol.EventTurnStarted.Name:
		v.started(tn, e)
	default:
		v.over(method, tn, e)
	}
}

// known returns the turn, which this event makes known if none did before.
func (v *verifier) known(tn *verifiedTurn, id string) *verifiedTurn {
	if tn == nil {
		tn = &verifiedTurn{TurnEntry: storage.TurnEntry{ID: id, Accepted: v.seq}}
		v.turns[id] = tn
	}
	return tn
}

func (v *verifier) queued(tn *verifiedTurn, e importedEvent) {
	at := e.Turn.Position - 1
	switch {
	case tn != nil:
		v.wrong("turn %s is queued, but it was accepted before (event %d)", e.TurnID, tn.Accepted)
		return
	case e.Queue == nil || at < 0 || at > len(v.queue):
		v.wrong("turn %s is queued at position %d of %d", e.TurnID, at+1, len(v.queue)+1)
		at = min(max(at, 0), len(v.queue))
	}
	v.known(nil, e.TurnID)
	v.queue = slices.Insert(slices.Clip(v.queue), at, e.TurnID)
}

func (v *verifier) started(tn *verifiedTurn, e importedEvent) {
	id, waits := e.TurnID, slices.Contains(v.queue, e.TurnID)
	again := v.running == id
	switch {
	case v.running != "" && !again:
		v.wrong("turn %s starts while turn %s runs", id, v.running)
	case again && e.Turn.Attempt != tn.attempt+1, e.Turn.Attempt < 1:
		v.wrong("turn %s starts with attempt %d", id, e.Turn.Attempt)
	case e.Queue != nil && (!waits || v.queue[0] != id):
		v.wrong("turn %s starts from the queue, but is not the first that waits", id)
	case e.Queue == nil && waits:
		v.wrong("turn %s starts from the queue and does not say so", id)
	case e.Queue == nil && tn != nil && !again:
		v.wrong("turn %s starts, but was accepted before and does not wait", id)
	}
	tn = v.known(tn, id)
	tn.Started, tn.attempt = v.seq, e.Turn.Attempt
	v.queue = without(v.queue, id)
	if !again {
		v.items = map[string]itemState{}
	}
	v.running = id
}

func (v *verifier) over(method string, tn *verifiedTurn, e importedEvent) {
	id, waits := e.TurnID, slices.Contains(v.queue, e.TurnID)
	switch {
	case id != v.running && !waits:
		v.wrong("%s of turn %s, which neither runs nor waits", method, id)
	case waits && e.Turn.Status != protocol.TurnCancelled:
		v.wrong("%s of turn %s, which has not started", method, id)
	case waits != (e.Queue != nil):
		v.wrong("%s of turn %s says of the queue what is not so: it waited there: %v", method, id, waits)
	}
	if id == v.running {
		v.running = ""
		for _, it := range sortedKeys(v.items) {
			if v.items[it] == itemOpen {
				v.wrong("turn %s ends, but its item %s is not completed", id, it)
			}
		}
		v.items = map[string]itemState{}
	}
	v.queue = without(v.queue, id)
	v.known(tn, id).Ended = v.seq
	if e.Turn.Usage != nil {
		v.usage.Add(*e.Turn.Usage)
	}
}

func (v *verifier) queueUpdated(e importedEvent) {
	v.revised(e.Revision, true)
	if !slices.Equal(slices.Sorted(slices.Values(e.TurnIDs)), slices.Sorted(slices.Values(v.queue))) {
		v.wrong("names other turns (%v) than those that wait (%v)", e.TurnIDs, v.queue)
	}
	v.queue, v.paused, v.reason, v.length = e.TurnIDs, e.Paused, e.PauseReason, len(e.TurnIDs)
	for _, u := range e.Updated {
		if tn := v.turns[u.ID]; tn == nil || !slices.Contains(v.queue, u.ID) {
			v.wrong("changes turn %s, which does not wait", u.ID)
		} else {
			tn.Input = v.seq
		}
	}
}

func (v *verifier) rolledBack(ids []string) {
	for _, id := range ids {
		if tn := v.turns[id]; tn == nil || tn.Ended == 0 || tn.Started == 0 || tn.removed {
			v.wrong("removes turn %s, which has not run and ended", id)
		} else {
			tn.removed = true
		}
	}
}

// ofRunning checks that an event of an item belongs to the running turn.
func (v *verifier) ofRunning(method, turn string) bool {
	switch tn := v.turns[turn]; {
	case turn != "" && turn == v.running:
		return true
	case tn != nil && tn.Ended > 0:
		v.wrong("%s of turn %s comes after its end (event %d)", method, turn, tn.Ended)
	default:
		v.wrong("%s belongs to turn %q, which does not run", method, turn)
	}
	return false
}

// itemStep takes the beginning or the end of an item of the running turn.
func (v *verifier) itemStep(method string, e importedEvent) {
	if !v.ofRunning(method, e.TurnID) {
		return
	}
	if e.Item == nil || e.Item.ID != e.ItemID || e.Item.TurnID != e.TurnID || e.ItemID == "" {
		v.wrong("%s holds no item of turn %s", method, e.TurnID)
		return
	}
	begins := oneOf(method, protocol.EventItemStarted.Name, protocol.EventApprovalRequested.Name, protocol.EventQuestionRequested.Name)
	was := v.items[e.ItemID]
	switch {
	case begins != (e.Item.Status == protocol.ItemInProgress):
		v.wrong("%s holds item %s with status %s", method, e.ItemID, e.Item.Status)
	case begins && was != 0:
		v.wrong("item %s begins a second time", e.ItemID)
	case !begins && was == itemClosed:
		v.wrong("item %s is completed a second time", e.ItemID)
	case !begins && was == 0 && method != protocol.EventItemCompleted.Name:
		v.wrong("%s: item %s was not asked", method, e.ItemID)
	}
	v.items[e.ItemID] = itemClosed
	if begins {
		v.items[e.ItemID] = itemOpen
	}
}

// itemsChanged takes items that were appended, updated or replaced by a client.
func (v *verifier) itemsChanged(e importedEvent) {
	if e.Replaced {
		v.base = v.seq
		v.waits.clear(v.seq)
		if v.running != "" {
			v.wrong("replaces all items while turn %s runs", v.running)
		}
		return
	}
	for i := range e.Changes {
		ch, it := &e.Changes[i], &e.Changes[i].Item
		waits := v.waits.has(ch.ItemID)
		switch {
		case ch.ItemID != it.ID || !oneOf(ch.Op, "append", "update"):
			v.wrong("change %q of item %s holds item %s", ch.Op, ch.ItemID, it.ID)
		case it.TurnID != "" && (ch.Op == "append" || waits): // it joins its turn
			if v.ofRunning("thread/items/changed", it.TurnID) {
				v.items[it.ID] = itemClosed
			}
			v.joined[it.ID] = v.seq
			if waits && !v.waits.take(it.ID) {
				v.wrong("item %s joins turn %s before older ones that wait", it.ID, it.TurnID)
			}
		case ch.Op == "append":
			if !v.waits.add(v.seq, it) {
				v.wrong("appends item %s, which waits already", it.ID)
			}
		default:
			v.edits[it.ID] = v.seq
		}
	}
}
