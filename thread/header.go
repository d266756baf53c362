package thread

import (
	"encoding/json"
	"slices"
	"unicode/utf8"

	"github.com/spoolhq/spool/protocol"
)

// updated emits thread/updated with the names of the fields that changed.
func (x *change) updated(changed ...string) {
	t := x.t
	t.st.Thread.UpdatedAt = x.at
	x.row = true
	h := x.next("", "", "")
	emit(x, protocol.EventThreadUpdated, protocol.ThreadUpdatedEvent{Header: h, Thread: t.header(), Changed: changed})
}

// mustNotBeEnded refuses changes of a thread that is final.
func (t *Thread) mustNotBeEnded() error {
	if t.st.Thread.Status == protocol.StatusEnded {
		return t.mustBeActive()
	}
	return nil
}

// updateHeader is the way of every change of the header.
func (m *Manager) updateHeader(c Call, id, key, field string, r Reply[protocol.ThreadResult], set func(*Thread) error) {
	mutate(m, c, id, key, r, func(t *Thread, x *change) (protocol.ThreadResult, error) {
		if err := t.mustNotBeEnded(); err != nil {
			return protocol.ThreadResult{}, err
		}
		before := t.st.Thread
		err := set(t)
		if err == nil {
			err = m.checkHeaderSize(&t.st.Thread)
		}
		if err != nil {
			t.st.Thread = before
			return protocol.ThreadResult{}, err
		}
		x.updated(field)
		return protocol.ThreadResult{Thread: t.header()}, nil
	})
}

// maxTitle bounds a title, in bytes.
const maxTitle = 1000

// Rename sets the title.
func (m *Manager) Rename(c Call, p protocol.ThreadRenameParams, r Reply[protocol.ThreadResult]) {
	m.updateHeader(c, p.ThreadID, p.IdempotencyKey, "title", r, func(t *Thread) error {
		if err := checkTitle(p.Title); err != nil {
			return err
		}
		t.st.Thread.Title = p.Title
		return nil
	})
}

func checkTitle(title string) error {
	if len(title) > maxTitle || !utf8.ValidString(title) {
		return protocol.InvalidParams("title", "must be text of at most 1000 bytes")
	}
	return nil
}

// patchObject applies a merge patch that a client sent to an object.
func patchObject(field string, target protocol.Object, patch json.RawMessage) (protocol.Object, error) {
	if len(patch) == 0 || patch[0] != '{' {
		return nil, protocol.InvalidParams(field, "must be an object")
	}
	base, err := protocol.Marshal(target)
	if err != nil {
		return nil, err
	}
	merged, err := protocol.MergePatch(base, patch)
	if err != nil {
		return nil, protocol.InvalidParams(field, err.Error())
	}
	out := protocol.Object{}
	return out, json.Unmarshal(merged, &out)
}

// MetadataUpdate changes the metadata by a merge patch.
func (m *Manager) MetadataUpdate(c Call, p protocol.ThreadMetadataUpdateParams, r Reply[protocol.ThreadResult]) {
	m.updateHeader(c, p.ThreadID, p.IdempotencyKey, "metadata", r, func(t *Thread) error {
		merged, err := patchObject("metadata", t.st.Thread.Metadata, p.Metadata)
		if err == nil {
			t.st.Thread.Metadata = merged
		}
		return err
	})
}

// ConfigUpdate changes the config by a merge patch, from the next turn on.
func (m *Manager) ConfigUpdate(c Call, p protocol.ThreadConfigUpdateParams, r Reply[protocol.ThreadResult]) {
	m.updateHeader(c, p.ThreadID, p.IdempotencyKey, "config", r, func(t *Thread) error {
		merged, err := patchObject("config", t.st.Thread.Config, p.Config)
		if err != nil {
			return err
		}
		t.st.Thread.Config = merged
		_, _, err = t.effective(nil, "")
		return err
	})
}

// ModeSet sets the mode, from the next turn on; empty for none.
func (m *Manager) ModeSet(c Call, p protocol.ThreadModeSetParams, r Reply[protocol.ThreadResult]) {
	m.updateHeader(c, p.ThreadID, p.IdempotencyKey, "mode", r, func(t *Thread) error {
		if p.Mode != "" {
			if _, _, err := t.effective(nil, p.Mode); err != nil {
				return err
			}
		}
		t.st.Thread.Mode = p.Mode
		return nil
	})
}

// AccessUpdate says who else may use the thread. Only its owner may.
func (m *Manager) AccessUpdate(c Call, p protocol.ThreadAccessUpdateParams, r Reply[protocol.ThreadResult]) {
	m.updateHeader(c, p.ThreadID, p.IdempotencyKey, "access", r, func(t *Thread) error {
		if c.Caller.User != t.st.Thread.Owner {
			return protocol.Errorf(protocol.CodeForbidden, "only the owner of a thread says who else may use it")
		}
		seen := map[string]bool{}
		for i, g := range p.Grants {
			if g.User == "" || seen[g.User] || g.User == t.st.Thread.Owner {
				return protocol.InvalidParams(indexed("grants", i, "user"), "must be another user, once")
			}
			seen[g.User] = true
		}
		t.st.Grants = slices.Clone(p.Grants)
		t.revoke()
		return nil
	})
}

// revoke ends the subscriptions of those who may not read the thread any more. Those who may
// only observe it from now on are not asked any more.
func (t *Thread) revoke() {
	t.toolsRevoked()
	for _, s := range slices.Clone(t.subs) {
		if role := t.st.role(s.peer.Caller().User); role != "" {
			if role == protocol.RoleObserver {
				s.role = role
				t.withdraw(s.peer)
			}
			continue
		}
		f, err := protocol.Encode(protocol.EventSubscriptionClosed, protocol.SubscriptionClosedEvent{
			Header: protocol.Header{ThreadID: t.id, At: protocol.Now()}, Reason: "revoked",
		})
		if err == nil {
			s.peer.Offer(f, ClassState, t.id+" closed")
		}
		t.unsubscribe(s.peer)
	}
}
