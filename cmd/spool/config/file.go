package config

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// file is a TOML file that was read.
type file struct {
	path string
	mode fs.FileMode
	root map[string]node
}

// node is a value of the file and where it is.
type node struct {
	name  string // with dots, from the root
	line  int
	value any
	table map[string]node // of a table; nil for other values
}

func openFile(path string) (*file, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	root, err := parseFile(string(text))
	if err != nil {
		return nil, fmt.Errorf("%s:%w", path, err)
	}
	return &file{path: path, mode: st.Mode(), root: root}, nil
}

// parseFile reads TOML; an error begins with the line.
func parseFile(text string) (map[string]node, error) {
	var top map[string]toml.Primitive
	md, err := toml.Decode(text, &top)
	if pe, ok := errors.AsType[toml.ParseError](err); ok {
		return nil, fmt.Errorf("%d: %s", pe.Position.Line, pe.Message)
	}
	if err != nil {
		return nil, fmt.Errorf("1: %w", err)
	}
	return nodes(&md, "", top), nil
}

func nodes(md *toml.MetaData, prefix string, in map[string]toml.Primitive) map[string]node {
	out := make(map[string]node, len(in))
	for name, prim := range in {
		n := node{name: prefix + name, line: lineOf(md, prim)}
		_ = md.PrimitiveDecode(prim, &n.value) // into any: cannot fail
		if _, ok := n.value.(map[string]any); ok {
			var below map[string]toml.Primitive
			_ = md.PrimitiveDecode(prim, &below)
			n.table = nodes(md, n.name+".", below)
			for _, child := range n.table {
				if n.line == 0 || child.line != 0 && child.line < n.line {
					n.line = child.line // a table that only its parts mention
				}
			}
		}
		out[name] = n
	}
	return out
}

// lineOf asks the parser for the line of a value, which it tells in errors only.
func lineOf(md *toml.MetaData, prim toml.Primitive) int {
	err := md.PrimitiveDecode(prim, &refusing{})
	if pe, ok := errors.AsType[toml.ParseError](err); ok {
		return pe.Position.Line
	}
	return 0
}

// refusing is a type that takes no value.
type refusing struct{}

// UnmarshalTOML refuses.
func (*refusing) UnmarshalTOML(any) error { return errors.New("refused") }

// inOrder returns the nodes of a table as they stand in the file.
func inOrder(table map[string]node) []node {
	list := make([]node, 0, len(table))
	for _, n := range table {
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b node) int {
		return cmp.Or(cmp.Compare(a.line, b.line), strings.Compare(a.name, b.name))
	})
	return list
}

// apply sets in c what the file says.
func (f *file) apply(c *Config, p *problems) error {
	for _, n := range inOrder(f.root) {
		if n.name == "agents" {
			f.applyAgents(c, p, n)
		} else {
			f.applyNode(c, p, n)
		}
	}
	return nil
}

func (f *file) applyNode(c *Config, p *problems, n node) {
	_, known := findKey(n.name)
	section := slices.ContainsFunc(keys, func(k Key) bool { return strings.HasPrefix(k.Name, n.name+".") })
	switch {
	case known:
		c.set(p, f.at(n), n.name, n.value)
	case section && n.table != nil:
		for _, child := range inOrder(n.table) {
			f.applyNode(c, p, child)
		}
	case section:
		p.add(f.at(n), "%s %w", n.name, wrongType("a table", n.value))
	default:
		p.add(f.at(n), "there is no setting %q%s", n.name, suggestKey(n.name))
	}
}

// at is the place of a node as editors understand it.
func (f *file) at(n node) string { return fmt.Sprintf("%s:%d", f.path, n.line) }

// suggestKey looks for a key that was meant: one spelled nearly so, or one of that name in
// another table.
func suggestKey(name string) string {
	var all, sections []string
	last := name[strings.LastIndex(name, ".")+1:]
	for _, k := range keys {
		all = append(all, k.Name)
		section, key, ok := strings.Cut(k.Name, ".")
		if ok && !slices.Contains(sections, section) {
			sections = append(sections, section)
		}
		if ok && key == last {
			return fmt.Sprintf("; did you mean %q?", k.Name)
		}
	}
	return didYouMean(name, append(append(all, sections...), "agents"))
}
