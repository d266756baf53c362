package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

// span is a page that is still to be walked over, with the bounds of its keys: low is
// the lowest there may be, high is above the highest. nil stands for no bound.
type span struct {
	page      uint64
	low, high []byte
}

// part is where the elements of a page are: the page itself, or a small bucket that lies
// in a value of it.
type part struct {
	page  uint64
	flags uint16
	count int
	base  int64 // where in the page it begins
	end   int64 // where in the page it ends
}

// element is an entry of the table that a page begins with.
type element struct {
	key    []byte
	flags  uint32 // of a leaf
	child  uint64 // of a branch
	value  int64  // of a leaf: where in the page it is
	length int64  // of a leaf: of the value
	end    int64  // where in the page it ends
}

// spread is how many subtrees there have to be before several goroutines share them.
const spread = 64

// walk goes through all pages that are in use. It checks that each is there, is used
// once, has its entries within its bounds, and its keys in order. each is called for
// every bucket, with its name and what is wrong with it, and says whether to go on. The
// list of buckets itself has no name.
func (p *preflight) walk(ctx context.Context, each func(bucket string, err error) error) error {
	p.seen = make([]uint64, p.head.pages/64+1)
	p.todo = append(p.todo[:0], span{page: p.head.root})
	p.roots = []root{}
	err := p.finish(ctx)
	roots := p.roots
	p.roots = nil
	if err := each("", err); err != nil {
		return err
	}
	for _, r := range roots {
		if r.page == 0 {
			continue // it was looked at with the page that holds it
		}
		p.todo = append(p.todo[:0], span{page: r.page})
		if err := each(r.name, p.share(ctx)); err != nil {
			return err
		}
	}
	return nil
}

// share visits all that is on the list, with several goroutines where it grows long.
func (p *preflight) share(ctx context.Context) error {
	for len(p.todo) > 0 && len(p.todo) < spread {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s := p.todo[0]
		p.todo = p.todo[1:]
		if err := p.visit(s); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for n := range workers {
		w := &preflight{file: p.file, size: p.size, head: p.head, strict: p.strict, seen: p.seen, page: make([]byte, len(p.page))}
		for i := n; i < len(p.todo); i += workers {
			w.todo = append(w.todo, p.todo[i])
		}
		all.Go(func() {
			if err := w.finish(ctx); err != nil {
				cancel(err) // the first one counts
			}
		})
	}
	all.Wait()
	return context.Cause(ctx)
}

// finish visits all that is on the list.
func (p *preflight) finish(ctx context.Context) error {
	for n := 0; len(p.todo) > 0; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s := p.todo[len(p.todo)-1]
		p.todo = p.todo[:len(p.todo)-1]
		if err := p.visit(s); err != nil {
			return err
		}
	}
	return nil
}

func (p *preflight) visit(s span) error {
	flags, count, size, err := p.read(s.page)
	if err != nil {
		return err
	}
	if err := p.mark(s.page, size); err != nil {
		return err
	}
	if flags == flagBranch && count == 0 {
		return damaged(s.page, "is a branch without leaves")
	}
	return p.look(part{page: s.page, flags: flags, count: count, end: size}, s.low, s.high)
}

// look goes through the elements of a part.
func (p *preflight) look(in part, low, high []byte) error {
	if in.flags != flagLeaf && in.flags != flagBranch {
		return damaged(in.page, "has the unknown type %#x", in.flags)
	}
	table, err := p.table(in)
	if err != nil {
		return err
	}
	if p.strict && in.count == 0 {
		return p.empty(in)
	}
	var last []byte
	next := in.base + pageHeader + int64(in.count)*pageElement
	for i := range in.count {
		e, err := p.element(in, table, i)
		if err != nil {
			return err
		}
		if i == 0 && bytes.Compare(e.key, low) < 0 || i > 0 && bytes.Compare(e.key, last) <= 0 || high != nil && bytes.Compare(e.key, high) >= 0 {
			return damaged(in.page, "key %d is out of order", i)
		}
		if p.strict && e.end-e.length-int64(len(e.key)) != next {
			return damaged(in.page, "element %d does not follow the one before it", i)
		}
		last, next = e.key, e.end
		if in.flags == flagBranch {
			p.descend(e, i, high)
		} else if err := p.bucket(in, e, i); err != nil {
			return err
		}
	}
	return nil
}

// empty makes sure that a leaf without elements never had any: bbolt fills a page that it
// writes with zeros first. Else a damaged count would take all elements away unseen.
func (p *preflight) empty(in part) error {
	from := in.base + pageHeader
	rest, err := p.piece(in.page, from, in.end-from)
	if err != nil {
		return err
	}
	if len(bytes.TrimLeft(rest, "\x00")) > 0 {
		return damaged(in.page, "says that it has no elements, but has some")
	}
	return nil
}

// mark notes that a page is in use, which may be once.
func (p *preflight) mark(page uint64, size int64) error {
	for i := range uint64(size) / uint64(p.head.pageSize) {
		at := page + i
		if bit := uint64(1) << (at % 64); atomic.OrUint64(&p.seen[at/64], bit)&bit != 0 {
			return damaged(at, "is used twice")
		}
	}
	return nil
}

// table returns the entries that follow the header of a part.
func (p *preflight) table(in part) ([]byte, error) {
	n := int64(pageHeader + in.count*pageElement)
	if in.base+n > in.end {
		return nil, damaged(in.page, "has no room for its %d elements", in.count)
	}
	return p.piece(in.page, in.base+pageHeader, n-pageHeader)
}

// piece returns some bytes of the page that was read last.
func (p *preflight) piece(page uint64, from, length int64) ([]byte, error) {
	if from+length <= int64(len(p.page)) {
		return p.page[from : from+length], nil
	}
	b := make([]byte, length)
	if _, err := p.file.ReadAt(b, int64(page)*int64(p.head.pageSize)+from); err != nil {
		return nil, damaged(page, "%v", err)
	}
	return b, nil
}

// element takes entry i out of a table.
func (p *preflight) element(in part, table []byte, i int) (e element, err error) {
	ne := binary.NativeEndian
	raw := table[i*pageElement : (i+1)*pageElement]
	at := in.base + int64(pageHeader+i*pageElement)
	keySize := int64(0)
	if in.flags == flagBranch {
		at, keySize, e.child = at+int64(ne.Uint32(raw)), int64(ne.Uint32(raw[4:])), ne.Uint64(raw[8:])
	} else {
		e.flags = ne.Uint32(raw)
		at, keySize, e.length = at+int64(ne.Uint32(raw[4:])), int64(ne.Uint32(raw[8:])), int64(ne.Uint32(raw[12:]))
	}
	e.value = at + keySize
	if e.end = e.value + e.length; e.end > in.end {
		return e, damaged(in.page, "element %d ends behind the end of the page", i)
	}
	e.key, err = p.piece(in.page, at, keySize)
	return e, err
}

// descend puts a child of a branch on the list. Its keys begin with e.key, and end
// where those of the next child begin; high is where those of the branch end.
func (p *preflight) descend(e element, i int, high []byte) {
	key := bytes.Clone(e.key)
	if i > 0 {
		p.todo[len(p.todo)-1].high = key
	}
	p.todo = append(p.todo, span{page: e.child, low: key, high: high})
}

// root is where a bucket begins: its page, 0 for one that is small enough to lie in the
// list of buckets.
type root struct {
	name string
	page uint64
}

// bucket takes the root of a bucket, if that is what the element of a leaf is. Buckets
// are in the list of buckets only, and nothing else is.
func (p *preflight) bucket(in part, e element, i int) error {
	if e.flags&flagBucket == 0 && p.roots == nil {
		return nil
	}
	if e.flags&flagBucket == 0 || p.roots == nil || in.base > 0 {
		return damaged(in.page, "element %d is a bucket where none may be, or none where one must be", i)
	}
	if e.length < bucketHeader {
		return damaged(in.page, "element %d is not a bucket", i)
	}
	b, err := p.piece(in.page, e.value, bucketHeader)
	if err != nil {
		return err
	}
	r := root{name: string(e.key), page: binary.NativeEndian.Uint64(b)}
	p.roots = append(p.roots, r)
	if r.page != 0 {
		return nil
	}
	if err := p.small(in, e); err != nil {
		return fmt.Errorf("bucket %s: %w", r.name, err)
	}
	return nil
}

// small looks at a bucket that lies in the value of an element: a leaf without the page
// around it.
func (p *preflight) small(in part, e element) error {
	base := e.value + bucketHeader
	if base+pageHeader > e.end {
		return damaged(in.page, "holds a bucket that is cut off")
	}
	header, err := p.piece(in.page, base, pageHeader)
	if err != nil {
		return err
	}
	ne := binary.NativeEndian
	leaf := part{page: in.page, flags: ne.Uint16(header[8:]), count: int(ne.Uint16(header[10:])), base: base, end: e.end}
	if leaf.flags != flagLeaf {
		return damaged(in.page, "holds a bucket of the unknown type %#x", leaf.flags)
	}
	roots := p.roots
	p.roots = nil
	defer func() { p.roots = roots }()
	return p.look(leaf, nil, nil)
}
