package thread

import (
	"encoding/json"
	"slices"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/turn"
)

// state is what is stored of a thread beside its journal, as Row.Data.
type state struct {
	Thread protocol.ThreadHeader `json:"thread"`

	Queue    turn.Queue       `json:"queue"`
	Grants   []protocol.Grant `json:"grants,omitempty"`
	Handed   string           `json:"handed,omitempty"`   // turn whose input the agent was given
	Stopped  *stopped         `json:"stopped,omitempty"`  // the running turn was interrupted
	Steers   []steer          `json:"steers,omitempty"`   // accepted into the running turn, not taken yet
	Pending  waiting          `json:"pending,omitzero"`   // appended items that wait for a turn
	After    []deferred       `json:"after,omitempty"`    // to be done when the running turn ends, in this order
	Base     uint64           `json:"base,omitempty"`     // seq of the newest thread/items/replace
	LastEdit uint64           `json:"lastEdit,omitempty"` // seq of the newest event that changed items of turns that had ended, or removed them
	Holder   *holder          `json:"holder,omitempty"`   // whose connection a tied thread belongs to
	Allowed  []string         `json:"allowed,omitempty"`  // scope keys of acceptForThread
	Binding  uint64           `json:"binding,omitempty"`  // generation of the tool binding
	Turns    int              `json:"turns,omitempty"`    // in the turn index
	LastID   string           `json:"lastId,omitempty"`   // newest turn id, see protocol.RaiseIDs
}

// stopped is an interrupt that was accepted: it counts even if the daemon dies before the
// turn is over.
type stopped struct {
	TurnID string                  `json:"turnId"`
	Reason protocol.CancelReason   `json:"reason"`
	By     *protocol.By            `json:"by,omitempty"`
	Queue  protocol.InterruptQueue `json:"queue,omitempty"`
}

// holder is a client that may come back for its thread on another connection.
type holder struct {
	User     string `json:"user"`
	Instance string `json:"instance,omitempty"`
}

// deferred is a request on the whole thread that waits for the running turn.
type deferred struct {
	Op     string              `json:"op"` // pause, archive, end, delete, reset
	Reason string              `json:"reason,omitempty"`
	Queue  protocol.ResetQueue `json:"queue,omitempty"`
	Key    *storage.KeyResult  `json:"key,omitempty"` // to keep where the thread with its keys is deleted
}

// row makes the stored form of the thread. t.mu is held.
func (t *Thread) row() *storage.Row {
	h := &t.st.Thread
	data, err := protocol.Marshal(&t.st)
	if err != nil {
		panic("thread: state cannot be marshalled: " + err.Error()) // all of it came from valid JSON
	}
	r := &storage.Row{
		ID: h.ID, Owner: h.Owner, Agent: h.Agent, Status: string(h.Status),
		Created: int64(h.CreatedAt), Updated: int64(h.UpdatedAt),
		Busy: t.st.mustStart(), Data: data,
	}
	for _, g := range t.st.Grants {
		if g.User != h.Owner {
			r.Readers = append(r.Readers, g.User)
		}
	}
	if h.Identity != nil && (h.Status == protocol.StatusActive || h.Status == protocol.StatusPaused) {
		r.Reuse = reuseKey(h.Owner, *h.Identity, h.Agent)
	}
	return r
}

// mustStart reports whether a start of the daemon must look at the thread.
func (s *state) mustStart() bool {
	if s.Thread.Status == protocol.StatusEnded {
		return false
	}
	return s.Queue.Running != "" || len(s.Steers) > 0 ||
		len(s.Queue.Waiting) > 0 && (!s.Queue.Paused || s.Queue.First > 0) && s.Thread.Status == protocol.StatusActive ||
		s.tied()
}

// tied reports whether the thread ends when its connection is gone.
func (s *state) tied() bool {
	l := s.Thread.Lifetime
	return l.Mode == protocol.LifetimeConnection || l.OnDisconnect == protocol.DisconnectEnd
}

func decodeState(row storage.Row) (state, error) {
	var s state
	err := json.Unmarshal(row.Data, &s)
	return s, err
}

// reuseKey is what thread/getOrCreate looks for.
func reuseKey(owner string, id protocol.Identity, agent string) string {
	b, _ := json.Marshal([]string{owner, id.Channel, id.User, id.Context, agent})
	return string(b)
}

// runtime says what the thread does. It is made from the stored state, so that lists can
// show it for threads that are not loaded; interrupting is known of a loaded one only.
func (s *state) runtime() protocol.Runtime {
	return protocol.Runtime{
		Busy: s.Queue.Running != "", ActiveTurnID: s.Queue.Running, WaitingOn: []string{},
		QueueLength: len(s.Queue.Waiting), QueueRevision: s.Queue.Revision,
		QueuePaused: s.Queue.Paused, PauseReason: s.Queue.Reason, PendingItems: s.Pending.Items,
	}
}

// header returns the thread as clients see it. t.mu is held.
func (t *Thread) header() protocol.Thread {
	return protocol.Thread{ThreadHeader: t.st.Thread, Runtime: t.runtime()}
}

func (t *Thread) runtime() protocol.Runtime {
	r := t.st.runtime()
	if t.run != nil {
		r.Interrupting, r.WaitingOn = t.run.interrupting, t.run.waitingOn()
	}
	return r
}

// role returns what the user may do with the thread, "" for nothing: then it does not
// exist for them.
func (s *state) role(user string) protocol.Role {
	if user == s.Thread.Owner {
		return protocol.RoleParticipant
	}
	if i := slices.IndexFunc(s.Grants, func(g protocol.Grant) bool { return g.User == user }); i >= 0 {
		return s.Grants[i].Role
	}
	return ""
}
