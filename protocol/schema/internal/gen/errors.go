package gen

import (
	"slices"

	"github.com/spoolhq/spool/protocol"
)

// everyMethod lists the errors that any request can end with.
var everyMethod = []int{
	protocol.CodeInvalidRequest, protocol.CodeInvalidParams, protocol.CodeInternalError, protocol.CodeRequestCancelled,
	protocol.CodeServerOverloaded, protocol.CodeUnauthenticated,
}

// byMember lists the errors that a member of the params brings along.
var byMember = map[string][]int{
	"threadId":           {protocol.CodeThreadNotFound},
	"turnId":             {protocol.CodeTurnNotFound},
	"upToTurnId":         {protocol.CodeTurnNotFound},
	"expectedTurnId":     {protocol.CodeTurnNotFound, protocol.CodeTurnNotRunning},
	"itemId":             {protocol.CodeItemNotFound},
	"expectedRevision":   {protocol.CodeConflict},
	"expectedSeq":        {protocol.CodeConflict},
	"expectedGeneration": {protocol.CodeStaleBinding},
	"config":             {protocol.CodeInvalidConfig},
	"lifetime":           {protocol.CodeInvalidConfig},
	"agent":              {protocol.CodeAgentNotFound},
	"approvalId":         {protocol.CodeItemNotFound, protocol.CodeApprovalExpired, protocol.CodeAlreadyResolved},
	"requestId":          {protocol.CodeItemNotFound, protocol.CodeApprovalExpired, protocol.CodeAlreadyResolved},
	"ifBusy":             {protocol.CodeTurnInProgress, protocol.CodeThreadNotActive},
}

var accepting = []int{protocol.CodeThreadNotActive, protocol.CodeQueueFull, protocol.CodeInvalidConfig, protocol.CodeAgentUnavailable, protocol.CodeQueueCleared}

// byMethod lists the errors that are up to the method alone.
var byMethod = map[string][]int{
	"initialize":            {protocol.CodeAlreadyInitialized, protocol.CodeInvalidConfig},
	"thread/start":          {protocol.CodeThreadExists, protocol.CodeAgentUnavailable},
	"thread/getOrCreate":    {protocol.CodeAgentUnavailable, protocol.CodeThreadExists},
	"thread/resume":         {protocol.CodeThreadNotActive},
	"thread/fork":           {protocol.CodeThreadExists},
	"thread/import":         {protocol.CodeThreadExists, protocol.CodeAgentNotFound},
	"thread/rollback":       {protocol.CodeTurnInProgress, protocol.CodeThreadNotActive},
	"thread/config/update":  {protocol.CodeThreadNotActive},
	"thread/mode/set":       {protocol.CodeInvalidConfig, protocol.CodeThreadNotActive},
	"thread/items/append":   {protocol.CodeThreadNotActive},
	"thread/items/update":   {protocol.CodeThreadNotActive},
	"thread/items/replace":  {protocol.CodeTurnInProgress, protocol.CodeThreadNotActive},
	"turn/run":              accepting,
	"turn/start":            append([]int{protocol.CodeTurnInProgress}, accepting...),
	"turn/enqueue":          accepting,
	"turn/steer":            accepting,
	"turn/interrupt":        {protocol.CodeTurnNotRunning},
	"turn/wait":             {protocol.CodeQueueCleared},
	"turn/queue/resume":     {protocol.CodeThreadNotActive},
	"approval/rules/remove": {protocol.CodeItemNotFound},
}

// errorsOf lists the errors that a request can end with.
func errorsOf(r protocol.RequestInfo) []int {
	codes := slices.Concat(everyMethod, byMethod[r.Name])
	for name := range memberNames(r.Params) {
		codes = append(codes, byMember[name]...)
	}
	if r.Name != "initialize" {
		codes = append(codes, protocol.CodeNotInitialized)
	}
	if r.Scope != protocol.ScopeNone {
		codes = append(codes, protocol.CodeForbidden)
	}
	if r.Mutating {
		codes = append(codes, protocol.CodeIdempotencyMismatch, protocol.CodeStorageUnavailable)
	}
	slices.Sort(codes)
	slices.Reverse(codes)
	return slices.Compact(codes)
}
