package protocol

import (
	"bytes"
	"encoding/json"
)

// MergePatch applies a JSON merge patch (RFC 7396) to a value and returns the result.
// Both must be valid JSON; an empty target counts as null.
func MergePatch(target, patch json.RawMessage) (json.RawMessage, error) {
	patch = bytes.TrimSpace(patch)
	if len(patch) == 0 || patch[0] != '{' {
		return patch, nil
	}
	merged := Object{}
	if t := bytes.TrimSpace(target); len(t) > 0 && t[0] == '{' {
		if err := json.Unmarshal(t, &merged); err != nil {
			return nil, err
		}
	}
	for key, value := range members(patch) {
		if string(value) == "null" {
			delete(merged, key)
			continue
		}
		v, err := MergePatch(merged[key], value)
		if err != nil {
			return nil, err
		}
		merged[key] = v
	}
	return marshal(merged)
}
