package bolt

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"

	"github.com/spoolhq/spool/storage"
)

// bbolt trusts its file: a page that is not what it should be is a panic or a fault, at
// times on a goroutine of its own, where nobody can recover from it. So before bbolt
// sees a file, preflight reads it with plain reads and refuses what bbolt could not
// bear. A file that was closed properly costs three pages; after a crash, when bbolt
// itself goes through all pages to find the free ones, preflight goes before it.

// Parts of the format of a bbolt file, version 2.
const (
	boltMagic    = 0xED0CDAED
	boltVersion  = 2
	noFreelist   = math.MaxUint64
	pageHeader   = 16 // id (8), flags (2), count (2), overflow (4)
	pageElement  = 16 // of a leaf: flags, offset, key size, value size; of a branch: offset, key size, page
	bucketHeader = 16 // root (8), sequence (8)
	metaSize     = 64

	flagBranch   = 0x01
	flagLeaf     = 0x02
	flagMeta     = 0x04
	flagFreelist = 0x10
	flagBucket   = 0x01 // of an element of a leaf
)

// head is what one of the two meta pages of a file says.
type head struct {
	pageSize uint32
	root     uint64
	freelist uint64
	pages    uint64 // high-water mark: no page at or above it is in use
	tx       uint64
}

type preflight struct {
	file   io.ReaderAt
	size   int64
	head   head
	strict bool     // elements must lie one behind the other, as bbolt writes them
	seen   []uint64 // a bit for each page; shared by those who walk together
	page   []byte
	todo   []span
	roots  []root // of the buckets; nil while inside of one
}

// inspect returns an error for a file that bbolt could not open, or would open with
// parts missing. clean says that the file was closed properly. torn says that one of
// the meta pages cannot be read, so that the state before the last commit is used.
func inspect(ctx context.Context, file io.ReaderAt, size int64) (clean, torn bool, err error) {
	if size == 0 {
		return false, false, fmt.Errorf("%w: the file is empty", storage.ErrCorrupt)
	}
	p := &preflight{file: file, size: size}
	if torn, err = p.readHead(); err != nil {
		return false, torn, err
	}
	if p.head.freelist != noFreelist {
		return true, torn, errors.Join(p.checkFreelist(), p.checkStart(ctx))
	}
	return false, torn, p.walk(ctx, func(_ string, err error) error { return err })
}

// inspectStart returns an error for a file of which bbolt could not even find the
// buckets, to read what is whole of it.
func inspectStart(ctx context.Context, file io.ReaderAt, size int64) (clean, torn bool, err error) {
	if size == 0 {
		return false, false, fmt.Errorf("%w: the file is empty", storage.ErrCorrupt)
	}
	p := &preflight{file: file, size: size}
	if torn, err = p.readHead(); err != nil {
		return false, torn, err
	}
	return p.head.freelist != noFreelist, torn, p.checkStart(ctx)
}

// inspectAll goes through all pages of a file and the list of free ones in any case, and
// returns what is wrong with each bucket, by its name. What belongs to none has no name. torn
// is that of inspect.
func inspectAll(ctx context.Context, file io.ReaderAt, size int64) (found map[string]error, torn bool, err error) {
	p := &preflight{file: file, size: size, strict: true}
	if torn, err = p.readHead(); err != nil {
		return nil, torn, err
	}
	found = map[string]error{}
	note := func(bucket string, err error) {
		if err != nil {
			found[bucket] = errors.Join(found[bucket], err)
		}
	}
	note("", p.checkHeader(0, "first"))
	note("", p.checkHeader(1, "second"))
	if p.head.freelist != noFreelist {
		note("", p.checkFreelist())
	}
	err = p.walk(ctx, func(bucket string, err error) error {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		note(bucket, err)
		return nil
	})
	return found, torn, err
}

// readHead reads the newer of the meta pages, and checks that the file is as long as
// that says.
func (p *preflight) readHead() (torn bool, err error) {
	if torn, err = p.findHead(); err != nil {
		return torn, err
	}
	need := int64(p.head.pages) * int64(p.head.pageSize)
	if p.head.pages > math.MaxInt64/uint64(p.head.pageSize) || p.size < need {
		return torn, fmt.Errorf("%w: the file was cut off: it has %d bytes and should have at least %d", storage.ErrCorrupt, p.size, need)
	}
	p.page = make([]byte, p.head.pageSize)
	return torn, nil
}

// findHead finds the newer of the meta pages, the first at 0, the second a page later.
func (p *preflight) findHead() (torn bool, err error) {
	first, err := p.readMeta(0)
	ok := err == nil
	if ok {
		p.head = first
		second, err := p.readMeta(int64(first.pageSize))
		if err == nil && second.tx > first.tx {
			p.head = second
		}
		return err != nil, nil
	}
	for shift := range 15 { // page sizes of 1 KiB to 16 MiB, as bbolt tries
		size := int64(1024) << shift
		if second, err := p.readMeta(size); err == nil && int64(second.pageSize) == size {
			p.head = second
			return true, nil
		}
	}
	return false, fmt.Errorf("%w, or its beginning is damaged", storage.ErrNotStore)
}

func (p *preflight) readMeta(at int64) (h head, err error) {
	var b [pageHeader + metaSize]byte
	if _, err := p.file.ReadAt(b[:], at); err != nil {
		return h, err
	}
	m := b[pageHeader:]
	ne := binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(m[:metaSize-8])
	if ne.Uint32(m) != boltMagic || ne.Uint32(m[4:]) != boltVersion || ne.Uint64(m[56:]) != sum.Sum64() {
		return h, errors.New("no meta page")
	}
	h = head{pageSize: ne.Uint32(m[8:]), root: ne.Uint64(m[16:]), freelist: ne.Uint64(m[32:]), pages: ne.Uint64(m[40:]), tx: ne.Uint64(m[48:])}
	if h.pageSize < 1024 || h.pageSize > 16<<20 {
		return h, errors.New("no meta page")
	}
	return h, nil
}

// checkHeader looks at what stands around a meta page, which counts for nothing as long as
// what is in it does, but is not what was written.
func (p *preflight) checkHeader(page uint64, which string) error {
	var b [pageHeader]byte
	if _, err := p.file.ReadAt(b[:], int64(page)*int64(p.head.pageSize)); err != nil {
		return damaged(page, "%v", err)
	}
	id, flags := binary.NativeEndian.Uint64(b[:]), binary.NativeEndian.Uint16(b[8:])
	if id == page && flags == flagMeta {
		return nil
	}
	return damaged(page, "the %s of the two meta pages, which say where all others are, was written over (it says that it is page %d, of type %#x); a copy made with `spool backup` has whole ones", which, id, flags)
}

// damaged describes a page that is not what it should be.
func damaged(page uint64, format string, args ...any) error {
	return fmt.Errorf("%w: page %d: %s", storage.ErrCorrupt, page, fmt.Sprintf(format, args...))
}

// read loads the first piece of a page and returns its flags, the number of its
// elements and its size in bytes, overflow pages included.
func (p *preflight) read(page uint64) (flags uint16, count int, size int64, err error) {
	if page < 2 || page >= p.head.pages {
		return 0, 0, 0, damaged(page, "not one of the %d pages of the file", p.head.pages)
	}
	if _, err := p.file.ReadAt(p.page, int64(page)*int64(p.head.pageSize)); err != nil {
		return 0, 0, 0, damaged(page, "%v", err)
	}
	ne := binary.NativeEndian
	flags = ne.Uint16(p.page[8:])
	overflow := uint64(ne.Uint32(p.page[12:]))
	switch {
	case ne.Uint64(p.page) != page:
		return 0, 0, 0, damaged(page, "says that it is page %d", ne.Uint64(p.page))
	case overflow >= p.head.pages-page:
		return 0, 0, 0, damaged(page, "ends behind the end of the file")
	}
	return flags, int(ne.Uint16(p.page[10:])), int64(overflow+1) * int64(p.head.pageSize), nil
}

// checkFreelist looks at every entry: a page that was taken for free would be written
// over.
func (p *preflight) checkFreelist() error {
	list := p.head.freelist
	flags, count, size, err := p.read(list)
	if err != nil {
		return err
	}
	start, n := int64(pageHeader), int64(count)
	if count == 0xFFFF { // a long list has its length in front
		long := binary.NativeEndian.Uint64(p.page[pageHeader:])
		start, n = start+8, int64(min(long, p.head.pages))
	}
	if flags != flagFreelist || start+8*n > size {
		return damaged(list, "is not the list of free pages")
	}
	ids := make([]byte, 8*n)
	if _, err := p.file.ReadAt(ids, int64(list)*int64(p.head.pageSize)+start); err != nil {
		return damaged(list, "%v", err)
	}
	last := uint64(1)
	for ; len(ids) > 0; ids = ids[8:] {
		free := binary.NativeEndian.Uint64(ids)
		if free <= last || free >= p.head.pages {
			return damaged(list, "calls page %d free, after page %d", free, last)
		}
		last = free
	}
	return nil
}

// checkStart looks at the list of buckets, and at the one that says what the file is.
func (p *preflight) checkStart(ctx context.Context) error {
	p.seen = make([]uint64, p.head.pages/64+1)
	p.todo, p.roots = []span{{page: p.head.root}}, []root{}
	if err := p.finish(ctx); err != nil {
		return err
	}
	roots := p.roots
	p.roots = nil
	for _, r := range roots {
		if r.name == schema[meta].name && r.page != 0 {
			p.todo = append(p.todo, span{page: r.page})
		}
	}
	return p.finish(ctx)
}
