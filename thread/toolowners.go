package thread

import "sync"

// toolOwners knows at which threads a connection has tools, and the tools it offers to all
// its threads. Its lock is a leaf.
type toolOwners struct {
	mu      sync.Mutex
	threads map[Peer]map[*Thread]bool
	common  map[Peer][]*boundTool
}

func (o *toolOwners) bound(p Peer, t *Thread) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.threads == nil {
		o.threads = map[Peer]map[*Thread]bool{}
	}
	if o.threads[p] == nil {
		o.threads[p] = map[*Thread]bool{}
	}
	o.threads[p][t] = true
}

func (o *toolOwners) setCommon(p Peer, tools []*boundTool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.common == nil {
		o.common = map[Peer][]*boundTool{}
	}
	o.common[p] = tools
}

func (o *toolOwners) commonOf(p Peer) []*boundTool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.common[p]
}

// left takes a connection that is gone from the threads where it had tools. Calls that
// wait for it get the time of toolReconnectMs.
func (o *toolOwners) left(p Peer) {
	o.mu.Lock()
	threads := o.threads[p]
	delete(o.threads, p)
	delete(o.common, p)
	o.mu.Unlock()
	for t := range threads {
		t.mu.Lock()
		t.toolsLeft(p)
		t.mu.Unlock()
	}
}

// forget drops a thread that takes no tools any more.
func (o *toolOwners) forget(t *Thread) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, threads := range o.threads {
		delete(threads, t)
	}
}
