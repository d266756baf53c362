package protocol

import (
	"encoding/json"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestTimeForm(t *testing.T) {
	tests := map[string]string{
		`"2026-01-31T12:00:00.000Z"`:      "2026-01-31T12:00:00.000Z",
		`"2026-01-31T12:00:00Z"`:          "2026-01-31T12:00:00.000Z",
		`"2026-01-31T12:00:00.1239Z"`:     "2026-01-31T12:00:00.123Z",
		`"2026-01-31T13:30:00.5+01:30"`:   "2026-01-31T12:00:00.500Z",
		`"1969-12-31T23:59:59.9999Z"`:     "1969-12-31T23:59:59.999Z",
		`"0001-01-01T00:00:00Z"`:          "0001-01-01T00:00:00.000Z",
		`"9999-12-31T23:59:59.999Z"`:      "9999-12-31T23:59:59.999Z",
		`"2026-01-31T12:00:00\u002e007Z"`: "2026-01-31T12:00:00.007Z",
		`"2026-01-31"`:                    "",
		`"2026-13-31T12:00:00Z"`:          "",
		`"2026-01-31 12:00:00Z"`:          "",
		`"0000-12-31T12:00:00Z"`:          "",
		`"0001-01-01T00:00:00+14:00"`:     "",
		`"9999-12-31T23:59:59.999-00:01"`: "",
		`"10000-01-01T00:00:00Z"`:         "",
		`1769860800000`:                   "",
		`""`:                              "",
		`{}`:                              "",
		`["2026-01-31T12:00:00.000Z"]`:    "",
	}
	for raw, want := range tests {
		var got Time
		err := json.Unmarshal([]byte(raw), &got)
		if want == "" {
			if err == nil {
				t.Errorf("%s: read as %s", raw, got)
			}
			continue
		}
		if out, _ := Marshal(got); err != nil || got.String() != want || string(out) != `"`+want+`"` {
			t.Errorf("%s: %s, %s, %v, want %s", raw, got, out, err, want)
		}
	}
}

func TestTimeRoundTrip(t *testing.T) {
	first, last := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999e6, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		at := Time(rapid.Int64Range(first.UnixMilli(), last.UnixMilli()).Draw(t, "ms"))
		if want := at.Time().Format(timeLayout); at.String() != want || string(at.append(nil)) != want {
			t.Fatalf("%d is %s, want %s", at, at, want)
		}
		raw, err := json.Marshal(at)
		var got Time
		if err != nil || json.Unmarshal(raw, &got) != nil || got != at {
			t.Fatalf("%d: %s read as %d, %v", at, raw, got, err)
		}
	})
	if time.Until(Now().Time()).Abs() > time.Minute {
		t.Error("Now is another time")
	}
}
