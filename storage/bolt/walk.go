package bolt

import (
	"bytes"
	"context"
	"encoding/binary"
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

// element is an entry of the table that a page begins with.
type element struct {
	key    []byte
	flags  uint32 // of a leaf
	child  uint64 // of a branch
	value  int64  // of a leaf: where in the page it is
	length int64  // of a leaf: of the value
}

// spread is how many subtrees there have to be before several goroutines share them.
const spread = 64

// walk goes through all pages that are in use. It checks that each is there, is used
// once, has its entries within its bounds, and its keys in order.
func (p *preflight) walk(ctx context.Context) error {
	p.seen = make([]uint64, p.head.pages/64+1)
	p.todo = append(p.todo, span{page: p.head.root})
	for len(p.todo) > 0 && len(p.todo) < spread {
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
		w := &preflight{file: p.file, size: p.size, head: p.head, seen: p.seen, page: make([]byte, len(p.page))}
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
	switch {
	case flags != flagLeaf && flags != flagBranch:
		return damaged(s.page, "has the unknown type %#x", flags)
	case flags == flagBranch && count == 0:
		return damaged(s.page, "is a branch without leaves")
	}
	table, err := p.table(s.page, count, size)
	if err != nil {
		return err
	}
	var last []byte
	for i := range count {
		e, err := p.element(s.page, flags, table, i, size)
		if err != nil {
			return err
		}
		if i == 0 && bytes.Compare(e.key, s.low) < 0 || i > 0 && bytes.Compare(e.key, last) <= 0 || s.high != nil && bytes.Compare(e.key, s.high) >= 0 {
			return damaged(s.page, "key %d is out of order", i)
		}
		last = e.key
		if flags == flagBranch {
			p.descend(e, i, s.high)
		} else if err := p.bucket(s.page, e, i); err != nil {
			return err
		}
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

// table returns the entries that follow the header of a page.
func (p *preflight) table(page uint64, count int, size int64) ([]byte, error) {
	n := int64(pageHeader + count*pageElement)
	if n > size {
		return nil, damaged(page, "has no room for its %d elements", count)
	}
	return p.piece(page, pageHeader, n-pageHeader)
}

// piece returns a part of the page that was read last.
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
func (p *preflight) element(page uint64, flags uint16, table []byte, i int, size int64) (e element, err error) {
	ne := binary.NativeEndian
	raw := table[i*pageElement : (i+1)*pageElement]
	at := int64(pageHeader + i*pageElement)
	keySize := int64(0)
	if flags == flagBranch {
		at, keySize, e.child = at+int64(ne.Uint32(raw)), int64(ne.Uint32(raw[4:])), ne.Uint64(raw[8:])
	} else {
		e.flags = ne.Uint32(raw)
		at, keySize, e.length = at+int64(ne.Uint32(raw[4:])), int64(ne.Uint32(raw[8:])), int64(ne.Uint32(raw[12:]))
	}
	e.value = at + keySize
	if e.value+e.length > size {
		return e, damaged(page, "element %d ends behind the end of the page", i)
	}
	e.key, err = p.piece(page, at, keySize)
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

// bucket puts the root of a bucket, if that is what the element of a leaf is, on the
// list.
func (p *preflight) bucket(page uint64, e element, i int) error {
	if e.flags&flagBucket == 0 {
		return nil
	}
	if e.length < bucketHeader {
		return damaged(page, "element %d is not a bucket", i)
	}
	b, err := p.piece(page, e.value, bucketHeader)
	if err != nil {
		return err
	}
	if root := binary.NativeEndian.Uint64(b); root != 0 { // a small bucket lies in the value itself
		p.todo = append(p.todo, span{page: root})
	}
	return nil
}
