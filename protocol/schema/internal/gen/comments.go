package gen

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"

	"github.com/invopop/jsonschema"

	"github.com/spoolhq/spool/protocol"
)

// notes are the comments of package protocol.
type notes struct {
	fields map[string]string // by package path.Type or package path.Type.Field
	codes  map[string]string // by the name of an error
	order  []string          // the names of errors as the source has them
}

// packagePath is the import path of package protocol.
var packagePath = reflect.TypeFor[protocol.Thread]().PkgPath()

// readComments reads the source in dir, an absolute path.
func readComments(dir string) (*notes, error) {
	var r jsonschema.Reflector
	if err := r.AddGoComments("", dir, jsonschema.WithFullComment()); err != nil {
		return nil, err
	}
	n := &notes{fields: map[string]string{}}
	prefix := filepath.ToSlash(dir) + "."
	for name, comment := range r.CommentMap {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			n.fields[packagePath+"."+rest] = sentence(comment)
		}
	}
	return n, n.readCodes(filepath.Join(dir, "errors.go"))
}

// readCodes reads the comments behind the constants of error codes.
func (n *notes) readCodes(file string) error {
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
	if err != nil {
		return err
	}
	n.codes = map[string]string{}
	ast.Inspect(f, func(node ast.Node) bool {
		if spec, ok := node.(*ast.ValueSpec); ok {
			if name, ok := strings.CutPrefix(spec.Names[0].Name, "Code"); ok {
				n.codes[name] = sentence(spec.Comment.Text())
				n.order = append(n.order, name)
			}
		}
		return true
	})
	return nil
}

var docLink = regexp.MustCompile(`\[([A-Za-z][\w.]*)\]`)

// sentence makes one line of a comment, without the links of Go's documentation.
func sentence(comment string) string {
	return docLink.ReplaceAllString(strings.Join(strings.Fields(comment), " "), "$1")
}

func (n *notes) of(t reflect.Type, field string) string {
	name := t.PkgPath() + "." + t.Name()
	if field != "" {
		name += "." + field
	}
	return n.fields[name]
}
