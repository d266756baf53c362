package storage

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// MaxScan is the number of rows a store looks at for one page of a list.
const MaxScan = 10_000

// Place is where a row stands in a list: lists run from the newest to the oldest
// time, and from the highest to the lowest id within a millisecond.
type Place struct {
	At int64    // milliseconds since 1970: Row.Updated or Row.Created
	ID [16]byte // the ULID of the thread
}

// Compare is negative where p is older than o, 0 where they are the same place and
// positive where p is newer, so that it comes first in a list.
func (p Place) Compare(o Place) int {
	if p.At != o.At {
		if p.At < o.At {
			return -1
		}
		return 1
	}
	for i := range p.ID {
		if p.ID[i] != o.ID[i] {
			return int(p.ID[i]) - int(o.ID[i])
		}
	}
	return 0
}

// Check reports what is missing in a query, and ErrCursor where its cursor belongs
// to the list of another reader, to another order, or to no list at all. It is for
// implementations of Store.
func (q Query) Check() error {
	switch {
	case q.Reader == "":
		return errors.New("storage: a query for threads needs a reader")
	case q.Limit <= 0:
		return fmt.Errorf("storage: a query for threads needs a limit above 0, not %d", q.Limit)
	case q.Sort > SortCreated:
		return fmt.Errorf("storage: a query for threads has the unknown order %d", q.Sort)
	}
	_, err := q.Place()
	return err
}

// Order is q.Sort, or SortUpdated where that is 0.
func (q Query) Order() Sort {
	if q.Sort == 0 {
		return SortUpdated
	}
	return q.Sort
}

// Full reports whether a page of so many rows, whose Data makes so many bytes, gets no more.
// It is for implementations of Store.
func (q Query) Full(rows, bytes int) bool {
	return rows == q.Limit || q.Bytes > 0 && bytes >= q.Bytes
}

// A cursor is base64 of: order (1 byte), time (8), id (16) and a CRC-32 (4) of these
// and of the reader.
const cursorSize = 1 + 8 + 16 + 4

// Place is where q.Cursor stands: the page holds what is older than that. It is nil
// where q asks for the first page.
func (q Query) Place() (*Place, error) {
	if q.Cursor == "" {
		return nil, nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(q.Cursor)
	if err != nil || len(raw) != cursorSize {
		return nil, fmt.Errorf("%w: %.80q", ErrCursor, q.Cursor)
	}
	p := &Place{At: int64(binary.BigEndian.Uint64(raw[1:])), ID: [16]byte(raw[9:])}
	if q.CursorAt(*p) != q.Cursor {
		return nil, fmt.Errorf("%w: %.80q", ErrCursor, q.Cursor)
	}
	return p, nil
}

// CursorAt is the Page.Next of a page of q that ends at p.
func (q Query) CursorAt(p Place) string {
	raw := make([]byte, 0, cursorSize)
	raw = append(raw, byte(q.Order()))
	raw = binary.BigEndian.AppendUint64(raw, uint64(p.At))
	raw = append(raw, p.ID[:]...)
	reader := sha256.Sum256([]byte(q.Reader))
	sum := crc32.Update(crc32.ChecksumIEEE(raw), crc32.IEEETable, reader[:])
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(raw, sum))
}

// Bounds are the ULIDs of q.After and q.Before, nil for none. It reports ErrBadID, and
// a missing limit. It is for implementations of Store.
func (q TurnQuery) Bounds() (after, before *[16]byte, err error) {
	if q.Limit <= 0 {
		return nil, nil, fmt.Errorf("storage: a query for turns needs a limit above 0, not %d", q.Limit)
	}
	for _, b := range []struct {
		id  string
		key **[16]byte
	}{{q.After, &after}, {q.Before, &before}} {
		if b.id == "" {
			continue
		}
		_, key, err := ParseID(b.id)
		if err != nil {
			return nil, nil, err
		}
		*b.key = &key
	}
	return after, before, nil
}
