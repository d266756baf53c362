package bolt

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"

	"github.com/spoolhq/spool/storage"
)

type (
	// id is the ULID of a thread, a turn or an item.
	id = [16]byte
	// hash is the first half of a SHA-256.
	hash [16]byte
)

func hashOf(parts ...string) hash {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		h.Write([]byte(p))
	}
	return hash(h.Sum(nil)[:16])
}

// Times may be negative and sort all the same.
func appendTime(b []byte, at int64) []byte {
	return binary.BigEndian.AppendUint64(b, uint64(at)^(1<<63))
}

func timeAt(b []byte) int64 { return int64(binary.BigEndian.Uint64(b) ^ (1 << 63)) }

// seqKey is the key of an event.
func seqKey(thread id, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append(make([]byte, 0, 24), thread[:]...), seq)
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const sumSize = 4

func checksum(key, payload []byte) uint32 {
	return crc32.Update(crc32.Checksum(key, castagnoli), castagnoli, payload)
}

// seal fills the first bytes of value, which were left free, with its checksum.
func seal(key, value []byte) []byte {
	binary.BigEndian.PutUint32(value, checksum(key, value[sumSize:]))
	return value
}

// unseal returns what a value holds, still in the file, and false where it was damaged.
func unseal(key, value []byte) ([]byte, bool) {
	if len(value) < sumSize || binary.BigEndian.Uint32(value) != checksum(key, value[sumSize:]) {
		return nil, false
	}
	return value[sumSize:], true
}

// arena gives out the memory of the values of one transaction, which bbolt does not
// copy.
type arena struct{ buf []byte }

const arenaSize = 256 << 10

// take returns an empty slice that n bytes can be appended to.
func (a *arena) take(n int) []byte {
	if n > cap(a.buf)-len(a.buf) {
		a.buf = make([]byte, 0, max(n, arenaSize))
	}
	i := len(a.buf)
	a.buf = a.buf[:i+n]
	return a.buf[i : i : i+n]
}

// reset takes all memory back.
func (a *arena) reset() {
	if cap(a.buf) > arenaSize {
		a.buf = nil
	}
	a.buf = a.buf[:0]
}

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// parser takes a value apart. After something that cannot be read all is empty, and
// failed is set.
type parser struct {
	rest   []byte
	failed bool
}

func (p *parser) uvarint() uint64 {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 {
		p.failed, p.rest = true, nil
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) varint() int64 {
	v := p.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

func (p *parser) bytes() []byte {
	n := p.uvarint()
	if n > uint64(len(p.rest)) {
		p.failed, p.rest = true, nil
		return nil
	}
	out := p.rest[:n]
	p.rest = p.rest[n:]
	return out
}

func (p *parser) string() string { return string(p.bytes()) }

func (p *parser) uint64() uint64 {
	if len(p.rest) < 8 {
		p.failed, p.rest = true, nil
		return 0
	}
	v := binary.BigEndian.Uint64(p.rest)
	p.rest = p.rest[8:]
	return v
}

func rowSize(r *storage.Row) int {
	n := 64 + len(r.ID) + len(r.Owner) + len(r.Agent) + len(r.Status) + len(r.Reuse) + len(r.Data)
	for _, reader := range r.Readers {
		n += len(reader) + binary.MaxVarintLen32
	}
	return n
}

func appendRow(b []byte, r *storage.Row) []byte {
	b = appendString(b, r.ID)
	b = appendString(b, r.Owner)
	b = binary.AppendUvarint(b, uint64(len(r.Readers)))
	for _, reader := range r.Readers {
		b = appendString(b, reader)
	}
	b = appendString(b, r.Agent)
	b = appendString(b, r.Status)
	b = binary.AppendVarint(b, r.Created)
	b = binary.AppendVarint(b, r.Updated)
	b = appendString(b, r.Reuse)
	if r.Busy {
		b = append(b, 1)
	} else {
		b = append(b, 0)
	}
	return append(b, r.Data...)
}

// parseRow copies a row out of the file.
func parseRow(b []byte) (r storage.Row, ok bool) {
	p := parser{rest: b}
	r.ID, r.Owner = p.string(), p.string()
	if n := p.uvarint(); n > uint64(len(p.rest)) {
		p.failed = true
	} else if n > 0 {
		r.Readers = make([]string, n)
		for i := range r.Readers {
			r.Readers[i] = p.string()
		}
	}
	r.Agent, r.Status = p.string(), p.string()
	r.Created, r.Updated = p.varint(), p.varint()
	r.Reuse = p.string()
	r.Busy = p.uvarint() == 1
	r.Data = copied(p.rest)
	return r, !p.failed
}

func parseTurn(key, b []byte) (e storage.TurnEntry, ok bool) {
	p := parser{rest: b}
	e.Accepted, e.Started, e.Ended, e.Input = p.uint64(), p.uint64(), p.uint64(), p.uint64()
	e.ID = storage.FormatID(string(p.rest), id(key[16:]))
	return e, !p.failed
}

func appendTurn(b []byte, prefix string, e *storage.TurnEntry) []byte {
	for _, seq := range [...]uint64{e.Accepted, e.Started, e.Ended, e.Input} {
		b = binary.BigEndian.AppendUint64(b, seq)
	}
	return append(b, prefix...)
}

func appendEdit(b []byte, prefix string, seq uint64) []byte {
	return append(binary.BigEndian.AppendUint64(b, seq), prefix...)
}

func appendAnswer(b []byte, k *storage.KeyResult) []byte {
	b = appendString(b, k.Owner)
	b = appendString(b, k.Thread)
	b = appendString(b, k.Key)
	b = appendString(b, k.Hash)
	b = binary.AppendVarint(b, k.At)
	return append(b, k.Result...)
}

func parseAnswer(b []byte) (k storage.KeyResult, ok bool) {
	p := parser{rest: b}
	k.Owner, k.Thread, k.Key = p.string(), p.string(), p.string()
	k.Hash = copied(p.bytes())
	k.At = p.varint()
	k.Result = copied(p.rest)
	return k, !p.failed
}

// copied is nil for nothing.
func copied(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}
