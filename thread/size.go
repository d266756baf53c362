package thread

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// An event that is longer than a message may be could never be sent, and no client could catch
// up beyond it. So everything of which events consist has a bound, and the bounds of what
// comes together in one event make less than a message:
//
//   - an item holds at most MaxItemBytes, which is a quarter of a message or less, and so does
//     the text that goes with the end of a turn;
//   - a turn with its input and config has at most 11/16, which leaves a 16th for the rest;
//   - config and metadata of a thread have an eighth each;
//   - what one request appends or replaces has 15/16.
//
// All is counted as it is written, with its escapes.
func (l *Limits) share(sixteenths int64) int64 { return l.MaxMessageBytes / 16 * sixteenths }

// size is what the content of an item takes when it is written.
func size(item *protocol.Item) int {
	n := 0
	for _, s := range []string{
		item.Text, item.Output, item.Visibility, item.Tool, item.Namespace, item.CallID, item.Cwd, item.Kind,
		item.Operation, item.ScopeKey, item.Reason, item.Decision, item.Outcome, item.Role, item.Code, item.Message,
	} {
		if s != "" {
			n += protocol.StringSize(s)
		}
	}
	for _, raw := range []json.RawMessage{item.Content, item.Citations, item.Arguments, item.Target, item.State} {
		n += len(raw)
	}
	return n + written(item.Metadata, len(item.Metadata)) + written(item.Extra, len(item.Extra)) +
		written(item.Command, len(item.Command)) + written(item.Changes, len(item.Changes)) +
		written(item.Entries, len(item.Entries)) + written(item.Questions, len(item.Questions)) +
		written(item.Decisions, len(item.Decisions)) + written(item.Answers, len(item.Answers)) +
		some(item.Result) + some(item.Error) + some(item.Sender)
}

// some is what v takes, nothing for nil.
func some[T any](v *T) int {
	if v == nil {
		return 0
	}
	return written(v, 1)
}

// written is what v with its n members takes when it is written.
func written(v any, n int) int {
	if n == 0 {
		return 0
	}
	raw, _ := protocol.Marshal(v)
	return len(raw)
}

// checkInput refuses an input of which a message would be larger than an item may be.
func (m *Manager) checkInput(in protocol.Input) error {
	for _, msg := range in {
		if int64(protocol.PartsSize(msg.Parts)) > m.limits.MaxItemBytes {
			return protocol.InvalidParams("input", "has a message that is larger than limits.maxItemBytes, "+itoa(int(m.limits.MaxItemBytes)))
		}
	}
	return nil
}

// checkTurn refuses a turn that is too large for its events.
func (m *Manager) checkTurn(tn *protocol.Turn) error {
	most := m.limits.share(11)
	rest := *tn
	rest.Input = nil
	if int64(tn.Input.Size()+written(&rest, 1)) > most {
		return protocol.InvalidParams("input", "makes the turn, its config included, larger than "+itoa(int(most))+" bytes; give it in several messages, the first ones with thread/items/append")
	}
	return nil
}

// checkHeaderSize refuses a thread that is too large for its events.
func (m *Manager) checkHeaderSize(h *protocol.ThreadHeader) error {
	most := m.limits.share(2)
	for field, o := range map[string]protocol.Object{"config": h.Config, "metadata": h.Metadata} {
		if int64(written(o, len(o))) > most {
			return protocol.InvalidParams(field, "is larger than "+itoa(int(most))+" bytes")
		}
	}
	if int64(some(h.Identity)) > m.limits.share(1) {
		return protocol.InvalidParams("identity", "is larger than "+itoa(int(m.limits.share(1)))+" bytes")
	}
	return nil
}

// itemMembers is about what an item is written with besides its content.
const itemMembers = 300

// checkItems refuses items of which one is larger than an item may be, or which are more than
// one event or one answer can hold.
func (m *Manager) checkItems(field string, items []protocol.Item) error {
	all := 0
	for i := range items {
		n := size(&items[i])
		if int64(n) > m.limits.MaxItemBytes {
			return protocol.InvalidParams(field+"["+itoa(i)+"]", "is larger than limits.maxItemBytes")
		}
		all += n + itemMembers
	}
	if most := m.limits.share(15); int64(all) > most {
		return protocol.InvalidParams(field, "are together larger than "+itoa(int(most))+" bytes, with what is added to each; give some of them at a time")
	}
	return nil
}

// checkSnapshot refuses to answer with more than fits into a message.
func (m *Manager) checkSnapshot(s *protocol.ThreadSnapshot) error {
	if s.ActiveTurn == nil {
		return nil
	}
	n := 0
	for _, it := range s.ActiveTurn.Items {
		n += size(&it)
	}
	most := m.limits.share(15)
	if int64(n) <= m.limits.share(1) || int64(written(s, 1)) <= most {
		return nil
	}
	e := protocol.Errorf(protocol.CodeInvalidRequest, "the answer would be longer than the limit of a message, as so much was said in the turn that runs")
	e.Data.Limit, e.Data.Hint = m.limits.MaxMessageBytes, "give afterSeq, 0 for everything: what was said is then told event by event"
	return e
}

// tooLarge fails the turn where an item would hold more than it may.
func (r *run) tooLarge(n int64) bool {
	if n <= r.t.m.limits.MaxItemBytes {
		return false
	}
	r.stop(turn.ErrOutputTooLarge)
	return true
}

// noRoom fails the turn where an item with more text would hold more than it may. What was
// there before is counted once, and only when it may matter.
func (it *openItem) noRoom(text string) bool {
	const worst = len(`\u0000`) // for one byte
	uncounted := len(it.buf) - it.counted
	if int64(it.size+worst*(uncounted+len(text))) <= it.r.t.m.limits.MaxItemBytes {
		return false
	}
	it.size += protocol.StringSize(string(it.buf[it.counted:]))
	it.counted = len(it.buf)
	return it.r.tooLarge(int64(it.size + protocol.StringSize(text)))
}

// text is the text of all agent messages of the turn, as Turn.Text has it. Of more than that
// may hold it has the last ones, whole; the items have all.
func (r *run) text() string {
	var texts []string
	room := r.t.m.limits.MaxItemBytes
	for _, it := range slices.Backward(r.items) {
		if it.item.Type != protocol.ItemAgentMessage || it.item.Text == "" {
			continue
		}
		if room -= int64(protocol.StringSize(it.item.Text)); room < 0 {
			break
		}
		texts = append(texts, it.item.Text)
	}
	slices.Reverse(texts)
	return strings.Join(texts, "\n\n")
}
