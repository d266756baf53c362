package protocol

import (
	"bytes"
	"encoding/json"
	"slices"
)

// MergePatch applies a JSON merge patch (RFC 7396) to a value and returns the result,
// compact and in memory of its own. Both must be valid JSON; an empty target counts as
// null. Members keep their order and their form; new ones follow at the end. The work
// grows with the size of both, not with their depth.
func MergePatch(target, patch json.RawMessage) (json.RawMessage, error) {
	var merged bytes.Buffer
	parsePatch(target).merge(parsePatch(patch)).write(&merged)
	var out bytes.Buffer
	if err := json.Compact(&out, merged.Bytes()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// node is a JSON value: an object with its members, or anything else as it stands.
type node struct {
	raw    []byte
	object bool
	keys   []string // in order
	values map[string]*node
}

func parsePatch(raw []byte) *node {
	n, _ := parseNode(raw, skipSpace(raw, 0))
	return n
}

// parseNode reads the value that begins at i and returns the index after it. Each byte is
// looked at once: objects are entered, other values are skipped.
func parseNode(raw []byte, i int) (*node, int) {
	if i >= len(raw) || raw[i] != '{' {
		end := skipValue(raw, i)
		return &node{raw: raw[i:end]}, end
	}
	n := &node{object: true, values: map[string]*node{}}
	for i = skipSpace(raw, i+1); i < len(raw) && raw[i] == '"'; {
		end := skipString(raw, i)
		key := unquote(raw[i:end])
		if i = skipSpace(raw, end); i >= len(raw) || raw[i] != ':' {
			break
		}
		var value *node
		value, i = parseNode(raw, skipSpace(raw, i+1))
		n.set(key, value)
		if i = skipSpace(raw, i); i < len(raw) && raw[i] == ',' {
			i = skipSpace(raw, i+1)
		}
	}
	return n, min(i+1, len(raw))
}

func (n *node) set(key string, value *node) {
	if _, ok := n.values[key]; !ok {
		n.keys = append(n.keys, key)
	}
	n.values[key] = value
}

// merge is MergePatch of RFC 7396, section 2. It changes n and gives parts of p away.
func (n *node) merge(p *node) *node {
	if !p.object {
		return p
	}
	if n == nil || !n.object {
		n = &node{object: true, values: map[string]*node{}}
	}
	removed := false
	for _, key := range p.keys {
		value := p.values[key]
		if string(value.raw) == "null" {
			delete(n.values, key)
			removed = true
			continue
		}
		n.set(key, n.values[key].merge(value))
	}
	if removed {
		n.keys = slices.DeleteFunc(n.keys, func(key string) bool { return n.values[key] == nil })
	}
	return n
}

func (n *node) write(b *bytes.Buffer) {
	if !n.object {
		b.Write(n.raw)
		return
	}
	b.WriteByte('{')
	for i, key := range n.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(appendString(b.AvailableBuffer(), key))
		b.WriteByte(':')
		n.values[key].write(b)
	}
	b.WriteByte('}')
}
