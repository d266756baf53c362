package gen

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/spoolhq/spool/protocol"
)

// fillTables writes the tables of docs/protocol.md between their markers.
func fillTables(text []byte, n *notes) ([]byte, error) {
	for _, table := range []struct {
		name  string
		lines []string
	}{
		{"requests", requestTable(protocol.ClientRequests(), true)},
		{"server requests", requestTable(protocol.ServerRequests(), false)},
		{"durable notifications", notificationTable(true)},
		{"live notifications", notificationTable(false)},
		{"types", typeList()},
		{"items", itemTable()},
		{"parts", partTable()},
		{"errors", errorTable(n)},
	} {
		begin, end := []byte("<!-- begin: "+table.name+" -->\n"), []byte("<!-- end: "+table.name+" -->")
		before, rest, ok := bytes.Cut(text, begin)
		_, after, ok2 := bytes.Cut(rest, end)
		if !ok || !ok2 {
			return nil, fmt.Errorf("%s: the markers of the table %q are missing", docsFile, table.name)
		}
		body := "\n" + strings.Join(table.lines, "\n") + "\n\n"
		text = slices.Concat(before, begin, []byte(body), end, after)
	}
	return text, nil
}

func requestTable(list []protocol.RequestInfo, client bool) []string {
	lines := []string{"| method | params → result | what it does |", "|---|---|---|"}
	for _, r := range list {
		name := "`" + r.Name + "`"
		doc := r.Doc
		if client {
			doc += " *" + scopeName(r.Scope) + "*"
		}
		lines = append(lines, fmt.Sprintf("| %s | %s → %s | %s |", name, shape(r.Params), shape(r.Result), doc))
	}
	return lines
}

func notificationTable(durable bool) []string {
	lines := []string{"| notification | payload | when |", "|---|---|---|"}
	for _, n := range protocol.ServerNotifications() {
		if n.Durable != durable {
			continue
		}
		name := "`" + n.Name + "`"
		if n.List {
			name += " ◦"
		}
		lines = append(lines, fmt.Sprintf("| %s | %s | %s |", name, shape(n.Params), n.Doc))
	}
	return lines
}

// inTables are the embedded structs whose members every row of a table has; the text
// above the tables says so.
var inTables = []reflect.Type{reflect.TypeFor[protocol.Mutation](), reflect.TypeFor[protocol.Replay](), reflect.TypeFor[protocol.Header]()}

// shape writes the members of t in one line of a table, without those of inTables.
func shape(t reflect.Type) string {
	return "`" + strings.ReplaceAll(shapeText(t, true), "|", `\|`) + "`"
}

func shapeText(t reflect.Type, inTable bool) string {
	var parts []string
	for _, m := range members(t) {
		if inTable && slices.Contains(inTables, m.in) {
			continue
		}
		name := m.name
		if !m.required {
			name += "?"
		}
		text := typeText(m.typ)
		if o, ok := overrides[[2]string{t.Name(), m.name}]; ok {
			text = o.text
		}
		parts = append(parts, name+": "+text)
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// typeText names a type as the documentation does.
func typeText(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[protocol.Time]():
		return "time"
	case reflect.TypeFor[protocol.Object]():
		return "object"
	case reflect.TypeFor[json.RawMessage]():
		return "any"
	case reflect.TypeFor[protocol.Input]():
		return "Input"
	}
	if values := enumValues(t); values != nil {
		return strings.Join(values, "|")
	}
	switch t.Kind() {
	case reflect.Pointer:
		return typeText(t.Elem())
	case reflect.Slice:
		if inner := typeText(t.Elem()); !strings.Contains(inner, "|") {
			return inner + "[]"
		}
		return "(" + typeText(t.Elem()) + ")[]"
	case reflect.Map:
		return "{…: " + typeText(t.Elem()) + "}"
	case reflect.Struct:
		return t.Name()
	case reflect.Bool:
		return "bool"
	case reflect.String:
		return "string"
	case reflect.Float64:
		return "number"
	default:
		return "int"
	}
}

// typeList writes the types that the tables name.
func typeList() []string {
	top := map[reflect.Type]bool{}
	named := map[string]reflect.Type{}
	for _, t := range slices.Concat(sentTypes(), toldTypes()) {
		top[t] = true
	}
	for t := range top {
		findNamed(t, named)
	}
	lines := []string{"```"}
	for _, name := range sortedKeys(named) {
		switch t := named[name]; {
		case top[t] && t != reflect.TypeFor[protocol.Config](), t == reflect.TypeFor[protocol.Item](), t == reflect.TypeFor[protocol.Part]():
		default:
			lines = append(lines, name+" "+shapeText(t, false))
		}
	}
	return append(lines, "```")
}

func findNamed(t reflect.Type, named map[string]reflect.Type) {
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		findNamed(t.Elem(), named)
	case reflect.Struct:
		if named[t.Name()] != nil {
			return
		}
		named[t.Name()] = t
		for _, m := range members(t) {
			findNamed(m.typ, named)
		}
	default:
	}
}

func itemTable() []string {
	lines := []string{"| type | fields |", "|---|---|"}
	item := map[string]reflect.Type{}
	for _, m := range members(reflect.TypeFor[protocol.Item]()) {
		item[m.name] = m.typ
	}
	for _, name := range protocol.ItemNotice.Values() {
		typ := protocol.ItemType(name)
		var fields []string
		for _, f := range typ.Fields() {
			mark := "?"
			if slices.Contains(typ.RequiredFields(), f) {
				mark = ""
			}
			fields = append(fields, "`"+f+mark+": "+strings.ReplaceAll(typeText(item[f]), "|", `\|`)+"`")
		}
		lines = append(lines, fmt.Sprintf("| `%s` | %s |", name, strings.Join(fields, ", ")))
	}
	return lines
}

func partTable() []string {
	lines := []string{"| type | fields |", "|---|---|"}
	for _, typ := range protocol.PartTypes() {
		rule, _ := protocol.PartRuleOf(typ)
		var fields []string
		for _, f := range rule.Required {
			fields = append(fields, "`"+f+"`")
		}
		if len(rule.OneOf) > 0 {
			fields = append(fields, "`"+strings.Join(rule.OneOf, "` or `")+"`")
		}
		for _, f := range rule.Optional {
			fields = append(fields, "`"+f+"?`")
		}
		lines = append(lines, fmt.Sprintf("| `%s` | %s |", typ, strings.Join(fields, ", ")))
	}
	return lines
}

func errorTable(n *notes) []string {
	lines := []string{"| code | name | meaning |", "|---|---|---|"}
	codes := map[string]int{}
	for code, name := range protocol.ErrorNames {
		codes[name] = code
	}
	for _, name := range n.order {
		lines = append(lines, fmt.Sprintf("| %d | `%s` | %s |", codes[name], name, n.codes[name]))
	}
	return lines
}
