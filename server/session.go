package server

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/thread"
)

// state says how far the handshake is.
type state int32

const (
	stateNew    state = 0 // initialize is the only request
	stateOpen   state = 1 // requests are answered, nothing else is sent
	stateActive state = 2 // the client said initialized
)

// session is what a client said of itself.
type session struct {
	state  atomic.Int32
	caller atomic.Pointer[thread.Caller]

	// Set by initialize, before state leaves stateNew; not changed later.
	client   protocol.ClientInfo
	defaults protocol.Defaults
	noDeltas bool
	answers  []string // methods of requests that the client answers
	optOut   []string
	refused  bool // of the reading goroutine: initialize came with bad credentials

	mu       sync.Mutex
	metadata protocol.Object
}

func (s *session) init(id string, who Identity) {
	s.caller.Store(&thread.Caller{User: who.User, ConnectionID: id, Admin: slices.Contains(who.Scopes, protocol.ScopeAdmin), Approve: slices.Contains(who.Scopes, protocol.ScopeApprove)})
	s.defaults = who.Defaults
}

func (s *session) at() state { return state(s.state.Load()) }

// maxText bounds the texts of clientInfo, which are part of many events.
const maxText = 256

// maxMetadata bounds the metadata of a connection.
const maxMetadata = 64 << 10

// open takes what initialize says.
func (s *session) open(p protocol.InitializeParams) error {
	if err := checkClient(p.ClientInfo); err != nil {
		return err
	}
	trace, err := checkMetadata(p.Metadata)
	if err != nil {
		return err
	}
	if d := p.Defaults; d != nil {
		if _, err := protocol.ParseConfig(d.Config); err != nil {
			return err
		}
		s.defaults = mergeDefaults(s.defaults, *d)
	}
	s.client = p.ClientInfo
	s.metadata = p.Metadata
	s.answers = answersOf(p.Capabilities)
	s.noDeltas = p.Capabilities.Streaming != nil && !*p.Capabilities.Streaming
	for _, n := range protocol.ServerNotifications() {
		if slices.Contains(p.Capabilities.OptOutNotificationMethods, n.Name) {
			s.optOut = append(s.optOut, n.Name)
		}
	}
	caller := *s.caller.Load()
	caller.Client, caller.InstanceID, caller.TraceID = s.client.Name, s.client.InstanceID, trace
	s.caller.Store(&caller)
	s.state.Store(int32(stateOpen))
	return nil
}

// update takes what connection/update says and returns all metadata.
func (s *session) update(p protocol.ConnectionUpdateParams) (protocol.Object, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.metadata
	if p.Metadata != nil {
		next = p.Metadata
	}
	if p.MetadataPatch != nil {
		var err error
		if next, err = patchMetadata(next, p.MetadataPatch); err != nil {
			return nil, err
		}
	}
	trace, err := checkMetadata(next)
	if err != nil {
		return nil, err
	}
	s.metadata = next
	caller := *s.caller.Load()
	caller.TraceID = trace
	s.caller.Store(&caller)
	if next == nil {
		next = protocol.Object{}
	}
	return next, nil
}

func patchMetadata(o protocol.Object, patch json.RawMessage) (protocol.Object, error) {
	if len(patch) == 0 || patch[0] != '{' {
		return nil, protocol.InvalidParams("metadataPatch", "must be an object")
	}
	raw, err := protocol.Marshal(o)
	if err != nil {
		return nil, err
	}
	if raw, err = protocol.MergePatch(raw, patch); err != nil {
		return nil, protocol.InvalidParams("metadataPatch", "is no merge patch")
	}
	var next protocol.Object
	if err := json.Unmarshal(raw, &next); err != nil {
		return nil, err
	}
	return next, nil
}

// checkMetadata returns the trace id in it.
func checkMetadata(o protocol.Object) (trace string, err error) {
	size := 0
	for k, v := range o {
		size += len(k) + len(v)
	}
	if size > maxMetadata {
		return "", protocol.InvalidParams("metadata", "must not be larger than 64 KiB")
	}
	if raw, ok := o["traceId"]; ok && json.Unmarshal(raw, &trace) != nil {
		return "", protocol.InvalidParams("metadata.traceId", "must be a string")
	}
	if len(trace) > maxText {
		return "", protocol.InvalidParams("metadata.traceId", "must not be longer than 256 bytes")
	}
	return trace, nil
}

func checkClient(i protocol.ClientInfo) error {
	if i.Name == "" {
		return protocol.InvalidParams("clientInfo.name", "must not be empty")
	}
	for _, f := range []struct{ field, text string }{
		{"name", i.Name}, {"title", i.Title}, {"version", i.Version}, {"instanceId", i.InstanceID},
	} {
		if len(f.text) > maxText {
			return protocol.InvalidParams("clientInfo."+f.field, "must not be longer than 256 bytes")
		}
	}
	return nil
}

// wants says whether the client takes notifications of this method.
func (s *session) wants(method string) bool {
	if s.noDeltas && isDelta(method) {
		return false
	}
	return !slices.Contains(s.optOut, method)
}

// answersOf lists the methods that a client with these capabilities may be asked.
func answersOf(c protocol.ClientCapabilities) []string {
	var methods []string
	if c.Approvals {
		methods = append(methods, protocol.MethodApprovalRequest.Name)
	}
	if c.Questions {
		methods = append(methods, protocol.MethodQuestionRequest.Name)
	}
	if c.Tools {
		methods = append(methods, protocol.MethodToolCall.Name)
	}
	return methods
}

// can says whether the client declared that it answers requests of this method.
func (s *session) can(method string) bool { return slices.Contains(s.answers, method) }

// isDelta reports whether a notification is a piece of a larger whole that a client
// without streaming gets at once. Usage is not: its deltas only add up.
func isDelta(method string) bool {
	if method == protocol.EventUsageDelta.Name {
		return false
	}
	return strings.HasSuffix(method, "/delta") || strings.HasSuffix(method, "Delta")
}
