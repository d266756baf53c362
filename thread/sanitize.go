package thread

import (
	"encoding/json"

	"github.com/spoolhq/spool/protocol"
)

// sanitize makes raw JSON that an agent gave wrongly into a JSON string, so that an event
// can always be encoded.
func sanitize(item *protocol.Item) {
	for _, raw := range []*json.RawMessage{&item.Content, &item.Citations, &item.Arguments, &item.Target, &item.State} {
		*raw = validJSON(*raw)
	}
	if item.Result != nil {
		item.Result.Structured = validJSON(item.Result.Structured)
		for i := range item.Result.Content {
			p := &item.Result.Content[i]
			p.Data, p.Content = validJSON(p.Data), validJSON(p.Content)
		}
	}
	for k, v := range item.Metadata {
		item.Metadata[k] = validJSON(v)
	}
	for k, v := range item.Extra {
		item.Extra[k] = validJSON(v)
	}
}

func validJSON(raw json.RawMessage) json.RawMessage {
	if raw == nil || json.Valid(raw) {
		return raw
	}
	s, _ := protocol.Marshal(string(raw))
	return s
}
