package protocol

import (
	"errors"
	"strconv"
	"time"
)

// Time is a moment in milliseconds since 1970. On the wire it is RFC 3339 in UTC with
// milliseconds; zero is absent.
type Time int64

const timeLayout = "2006-01-02T15:04:05.000Z"

var errTime = errors.New("must be a time in RFC 3339, such as 2026-01-31T12:00:00.000Z")

// Now returns the present moment.
func Now() Time { return Time(time.Now().UnixMilli()) }

// Time returns t for use with package time.
func (t Time) Time() time.Time { return time.UnixMilli(int64(t)).UTC() }

// String returns t as it is written on the wire.
func (t Time) String() string { return t.Time().Format(timeLayout) }

// MarshalJSON writes RFC 3339 with milliseconds.
func (t Time) MarshalJSON() ([]byte, error) {
	b := make([]byte, 0, len(timeLayout)+2)
	b = append(b, '"')
	b = t.append(b)
	return append(b, '"'), nil
}

// UnmarshalJSON reads any RFC 3339 time of the years 1 to 9999 and rounds it down to
// milliseconds.
func (t *Time) UnmarshalJSON(b []byte) error {
	s, err := strconv.Unquote(string(b))
	if err != nil {
		return errTime
	}
	v, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		return errTime
	}
	if year := v.UTC().Year(); year < 1 || year > 9999 {
		return errTime
	}
	*t = Time(v.UnixMilli())
	return nil
}
