package thread

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// rules holds what acceptAlways stored: scope keys that an owner accepts of an agent in
// every thread. Its lock is a leaf.
type rules struct {
	mu  sync.Mutex
	all []rule // by id
}

type rule struct {
	protocol.ApprovalRule
	Owner string `json:"owner"`
}

// rulePrefix begins the keys of rules among the store's settings.
const rulePrefix = "approval/rule/"

func (rs *rules) load(ctx context.Context, s storage.Store) error {
	settings, err := s.Settings(ctx, rulePrefix)
	if err != nil {
		return err
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, set := range settings {
		var r rule
		if err := json.Unmarshal(set.Value, &r); err != nil {
			return fmt.Errorf("%s: %w: %w", set.Key, storage.ErrCorrupt, err)
		}
		rs.all = append(rs.all, r)
	}
	slices.SortFunc(rs.all, func(a, b rule) int { return strings.Compare(a.ID, b.ID) })
	return nil
}

// allow reports whether a rule accepts.
func (rs *rules) allow(owner, agent, scopeKey string) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return slices.ContainsFunc(rs.all, func(r rule) bool {
		return r.Owner == owner && r.Agent == agent && r.ScopeKey == scopeKey
	})
}

// add stores a rule with the change. It counts from now on; if the change is not kept,
// nothing is accepted any more anyway.
func (rs *rules) add(x *change, owner, agent, scopeKey string) {
	if rs.allow(owner, agent, scopeKey) {
		return
	}
	r := rule{protocol.ApprovalRule{ID: protocol.NewID("rul_"), ScopeKey: scopeKey, Agent: agent, CreatedAt: x.at}, owner}
	value, _ := protocol.Marshal(r)
	set := storage.Setting{Key: rulePrefix + r.ID, Value: value}
	if store := x.t.m.cfg.Store; x.t.store() == store {
		x.batch.Settings = append(x.batch.Settings, set)
	} else { // an ephemeral thread; the rule outlives it
		store.Commit(&storage.Batch{Settings: []storage.Setting{set}}, func(err error) { _ = x.t.m.storageErrorOf(err) })
	}
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.all = append(rs.all, r)
}

// of returns the rules of an owner, in the order in which they were made.
func (rs *rules) of(owner string) []protocol.ApprovalRule {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	list := []protocol.ApprovalRule{}
	for _, r := range rs.all {
		if r.Owner == owner {
			list = append(list, r.ApprovalRule)
		}
	}
	return list
}

func (rs *rules) remove(owner, id string) bool {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	n := len(rs.all)
	rs.all = slices.DeleteFunc(rs.all, func(r rule) bool { return r.Owner == owner && r.ID == id })
	return len(rs.all) < n
}

// ApprovalRulesList returns the caller's rules.
func (m *Manager) ApprovalRulesList(c Call, p protocol.Paging, r Reply[protocol.ApprovalRulesListResult]) {
	limit, err := limitOf(p)
	if err != nil {
		r(protocol.ApprovalRulesListResult{}, err)
		return
	}
	list := m.rules.of(c.Caller.User)
	i := 0
	for i < len(list) && list[i].ID <= p.Cursor {
		i++
	}
	res := protocol.ApprovalRulesListResult{Data: list[i:min(i+limit, len(list))]}
	if i+limit < len(list) {
		res.NextCursor = list[i+limit-1].ID
	}
	r(res, nil)
}

// ApprovalRulesRemove removes one of the caller's rules. One that is not there is no error.
func (m *Manager) ApprovalRulesRemove(c Call, p protocol.ApprovalRulesRemoveParams, r Reply[protocol.RemovedResult]) {
	once(m, c, "", p.IdempotencyKey, r, func(k *storage.KeyResult, r Reply[protocol.RemovedResult]) {
		if err := m.refuse(); err != nil {
			r(protocol.RemovedResult{}, err)
			return
		}
		res := protocol.RemovedResult{Removed: m.rules.remove(c.Caller.User, p.ID)}
		b := &storage.Batch{}
		if res.Removed {
			b.Settings = []storage.Setting{{Key: rulePrefix + p.ID}}
		}
		if k != nil {
			k.Result, _ = protocol.Marshal(res)
			b.Key = k
		}
		if b.Key == nil && b.Settings == nil {
			r(res, nil)
			return
		}
		m.cfg.Store.Commit(b, func(err error) { r(res, m.storageErrorOf(err)) })
	})
}
