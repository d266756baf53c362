package protocol

import (
	"reflect"
	"regexp"
	"slices"
	"testing"
)

func embeds(t, part reflect.Type) bool {
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous && (f.Type == part || embeds(f.Type, part)) {
			return true
		}
	}
	return false
}

// Requests that change something, and only those, take a key; their results can say that
// they were replayed. The scope follows from it.
func TestRequestTable(t *testing.T) {
	name := regexp.MustCompile(`^[a-z]+(/[a-zA-Z]+)*$`)
	seen := map[string]bool{}
	for _, r := range slices.Concat(ClientRequests(), ServerRequests()) {
		if seen[r.Name] || !name.MatchString(r.Name) || r.Doc == "" {
			t.Errorf("%s: the name is there twice or of another form, or says nothing", r.Name)
		}
		seen[r.Name] = true
	}
	for _, r := range ClientRequests() {
		changes := r.Scope == ScopeRun || r.Scope == ScopeApprove
		if r.Mutating != changes || embeds(r.Params, reflect.TypeFor[Mutation]()) != changes || changes && !embeds(r.Result, reflect.TypeFor[Replay]()) {
			t.Errorf("%s: mutating %v, scope %s, params %s, result %s", r.Name, r.Mutating, r.Scope, r.Params, r.Result)
		}
		if r.Order < OrderNow || r.Order > OrderFree || r.Order == OrderFree && r.Mutating {
			t.Errorf("%s: order %d", r.Name, r.Order)
		}
	}
}

func TestNotificationTable(t *testing.T) {
	seen := map[string]bool{}
	for _, n := range ServerNotifications() {
		if seen[n.Name] || n.Doc == "" {
			t.Errorf("%s: there twice, or says nothing", n.Name)
		}
		seen[n.Name] = true
		if (n.Durable || n.List) && !embeds(n.Params, reflect.TypeFor[Header]()) {
			t.Errorf("%s: payload %s has no header", n.Name, n.Params)
		}
	}
}

// The first value of an enum is a default, so an enum has one; and none has two alike.
func TestEnums(t *testing.T) {
	types := map[reflect.Type]bool{}
	for _, typ := range outTypes() {
		reachable(typ, types)
	}
	enums := map[reflect.Type]bool{}
	for typ := range types {
		for f := range structFields(typ) {
			for inner := f.typ; ; inner = inner.Elem() {
				if inner.Implements(enumType) {
					enums[inner] = true
				}
				if k := inner.Kind(); k != reflect.Slice && k != reflect.Pointer {
					break
				}
			}
		}
	}
	if len(enums) < 20 {
		t.Fatalf("only %d enums found", len(enums))
	}
	for typ := range enums {
		values := reflect.Zero(typ).Interface().(Enum).Values()
		sorted := slices.Sorted(slices.Values(values))
		if len(values) == 0 || values[0] == "" || len(slices.Compact(sorted)) != len(values) {
			t.Errorf("%s: %q", typ, values)
		}
	}
}

func TestUsageAdds(t *testing.T) {
	u := Usage{1, 2, 3, 4}
	u.Add(Usage{10, 20, 30, 40})
	if u != (Usage{11, 22, 33, 44}) {
		t.Error(u)
	}
}

func TestTerminal(t *testing.T) {
	var terminal []string
	for _, s := range TurnQueued.Values() {
		if TurnStatus(s).Terminal() {
			terminal = append(terminal, s)
		}
	}
	if !slices.Equal(terminal, []string{"completed", "failed", "cancelled"}) {
		t.Error(terminal)
	}
}
