package main_test

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// The habits of this repository, as tests. They read the sources only, so they hold for
// every platform and build tag.

const (
	habitModule    = "github.com/spoolhq/spool"
	habitFileLines = 400
	habitFuncLines = 80
)

// habitImport says what the packages below dir may import of ours. An entry is a folder and
// all below it; with "$" at its end it is this one package only. The entry with the longest
// dir counts. The same table is in .golangci.yml: change both.
type habitImport struct {
	dir   string
	code  []string // for ordinary files
	tests []string // for _test.go files, besides those of code
	why   string
}

var habitImports = []habitImport{
	{
		dir: "protocol", code: []string{"protocol"},
		why: "protocol is the ground that all else stands on, it imports nothing of ours",
	},
	{
		dir: "storage", code: []string{"storage"},
		why: "storage speaks bytes and ids, so that it can be tested and replaced without the rest",
	},
	{
		dir: "turn", code: []string{"protocol", "turn$"}, tests: []string{"turn"},
		why: "turn holds rules without I/O and knows no agent by name, it imports protocol only",
	},
	{
		dir: "turn/agent", code: []string{"protocol", "turn"},
		why: "an agent sees the protocol and the Emitter of its turn, not threads or storage",
	},
	{
		dir: "thread", code: []string{"protocol", "turn$", "storage$", "thread"}, tests: []string{"turn", "storage"},
		why: "thread knows the Store interface and turn's rules; cmd chooses the store and the agents, server is above it",
	},
	{
		dir: "server", code: []string{"protocol", "thread", "server"}, tests: []string{"turn", "storage", "sdk"},
		why: "server carries messages; what a turn is and where it is kept is asked of thread",
	},
	{
		dir: "sdk", code: []string{"protocol", "sdk"}, tests: []string{"server", "thread", "turn", "storage"},
		why: "a program with the client must not pull in the daemon",
	},
	{
		dir: "cmd", code: []string{"cmd", "protocol", "storage", "turn", "thread", "server", "sdk"},
		why: "a command wires the packages of this table together, there are no others",
	},
}

func TestHabitImports(t *testing.T) {
	for _, f := range habitSources(t) {
		rule := habitRule(f.dir)
		for _, spec := range f.ast.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			imp, ours := strings.CutPrefix(imp, habitModule+"/")
			if !ours {
				continue
			}
			allowed := rule.code
			if f.test {
				allowed = slices.Concat(rule.code, rule.tests)
			}
			if !slices.ContainsFunc(allowed, func(a string) bool { return habitWithin(imp, a) }) {
				t.Errorf("%s: %s must not import %s: %s", f.at(spec), f.dir, imp, cmp.Or(rule.why, "the folder is not in the table of imports"))
			}
		}
	}
}

// habitRule returns the entry of the table for a folder, the zero value if there is none.
func habitRule(dir string) (rule habitImport) {
	for _, r := range habitImports {
		if habitWithin(dir, r.dir) && len(r.dir) > len(rule.dir) {
			rule = r
		}
	}
	return rule
}

// habitWithin tells whether a folder is the entry or below it.
func habitWithin(dir, entry string) bool {
	if exact, ok := strings.CutSuffix(entry, "$"); ok {
		return dir == exact
	}
	return dir == entry || strings.HasPrefix(dir, entry+"/")
}

func TestHabitPackageDoc(t *testing.T) {
	documented := map[string]bool{}
	first := map[string]habitSource{}
	for _, f := range habitSources(t) {
		if f.test {
			continue
		}
		if _, ok := first[f.dir]; !ok {
			first[f.dir] = f
		}
		name := f.ast.Name.Name
		doc := f.ast.Doc.Text()
		if strings.HasPrefix(doc, "Package "+name+" ") || name == "main" && doc != "" {
			documented[f.dir] = true
		}
	}
	for dir, f := range first {
		if !documented[dir] {
			t.Errorf("%s: no file of the package has a comment %q above its package clause", f.at(f.ast.Name), "Package "+f.ast.Name.Name+" …")
		}
	}
}

func TestHabitPackageName(t *testing.T) {
	for _, f := range habitSources(t) {
		switch name := strings.TrimSuffix(f.ast.Name.Name, "_test"); name {
		case "util", "utils", "common", "helper", "helpers":
			t.Errorf("%s: package %s: name it after what it holds", f.at(f.ast.Name), name)
		}
	}
}

func TestHabitSize(t *testing.T) {
	for _, f := range habitSources(t) {
		if f.test || f.generated {
			continue
		}
		if n := f.lines(f.ast.FileStart, f.ast.FileEnd-1); n > habitFileLines {
			t.Errorf("%s:1: the file has %d lines, more than %d", f.name, n, habitFileLines)
		}
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok {
				if n := f.lines(fn.Type.Pos(), fn.End()); n > habitFuncLines {
					t.Errorf("%s: func %s has %d lines, more than %d", f.at(fn.Name), fn.Name.Name, n, habitFuncLines)
				}
			}
		}
	}
}

func TestHabitDocComments(t *testing.T) {
	for _, f := range habitSources(t) {
		if f.test || f.generated {
			continue
		}
		for _, d := range f.ast.Decls {
			for _, id := range habitUndocumented(d) {
				t.Errorf("%s: %s has no doc comment", f.at(id), id.Name)
			}
		}
	}
}

// habitUndocumented returns the exported names of a declaration that no comment explains.
// The comment of a group speaks for all its constants and variables.
func habitUndocumented(d ast.Decl) (ids []*ast.Ident) {
	add := func(id *ast.Ident, docs ...*ast.CommentGroup) {
		if id.IsExported() && !slices.ContainsFunc(docs, func(c *ast.CommentGroup) bool { return c.Text() != "" }) {
			ids = append(ids, id)
		}
	}
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil || habitReceiver(d.Recv.List[0].Type).IsExported() {
			add(d.Name, d.Doc)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch spec := spec.(type) {
			case *ast.TypeSpec:
				if d.Lparen.IsValid() {
					add(spec.Name, spec.Doc, spec.Comment)
				} else {
					add(spec.Name, d.Doc)
				}
			case *ast.ValueSpec:
				for _, name := range spec.Names {
					add(name, d.Doc, spec.Doc, spec.Comment)
				}
			}
		}
	}
	return ids
}

// habitReceiver returns the name of a receiver's type without its star and parameters.
func habitReceiver(e ast.Expr) *ast.Ident {
	switch e := e.(type) {
	case *ast.StarExpr:
		return habitReceiver(e.X)
	case *ast.ParenExpr:
		return habitReceiver(e.X)
	case *ast.IndexExpr:
		return habitReceiver(e.X)
	case *ast.IndexListExpr:
		return habitReceiver(e.X)
	default:
		return e.(*ast.Ident)
	}
}

func TestHabitNoSleep(t *testing.T) {
	for _, f := range habitSources(t) {
		if !f.test {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && sel.Sel.Name == "Sleep" {
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" {
					t.Errorf("%s: time.Sleep: a test waits for what it expects, or for synctest.Wait, not for time to pass", f.at(sel))
				}
			}
			return true
		})
	}
}

func TestHabitNoReplace(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(habitRoot(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	replace := regexp.MustCompile(`^\s*replace\b|=>`)
	for i, line := range strings.Split(string(data), "\n") {
		if code, _, _ := strings.Cut(line, "//"); replace.MatchString(code) {
			t.Errorf("go.mod:%d: replace: with it `go install %s/cmd/spool@latest` fails", i+1, habitModule)
		}
	}
}

// habitSource is one Go file of the repository.
type habitSource struct {
	name      string // from the root, with slashes
	dir       string
	test      bool
	generated bool
	ast       *ast.File
	fset      *token.FileSet
}

// at says where a node is, in the form file:line.
func (f habitSource) at(n ast.Node) string {
	return fmt.Sprintf("%s:%d", f.name, f.fset.PositionFor(n.Pos(), false).Line)
}

// lines counts the lines from one position to another.
func (f habitSource) lines(from, to token.Pos) int {
	return f.fset.PositionFor(to, false).Line - f.fset.PositionFor(from, false).Line + 1
}

// habitSources returns all Go files of the repository, in the order of their names.
func habitSources(t *testing.T) []habitSource {
	t.Helper()
	files, err := habitParsed()
	if err != nil {
		t.Fatal(err)
	}
	return files
}

var habitParsed = sync.OnceValues(func() ([]habitSource, error) {
	root, err := habitFindRoot()
	if err != nil {
		return nil, err
	}
	var files []habitSource
	fset := token.NewFileSet()
	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			n := d.Name()
			if p != root && (n == "testdata" || n == "node_modules" || strings.HasPrefix(n, ".") || strings.HasPrefix(n, "_")) {
				return filepath.SkipDir
			}
			return nil
		}
		if filepath.Ext(p) != ".go" {
			return nil
		}
		file, err := parser.ParseFile(fset, p, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(rel)
		files = append(files, habitSource{
			name: name, dir: path.Dir(name), test: strings.HasSuffix(name, "_test.go"),
			generated: ast.IsGenerated(file), ast: file, fset: fset,
		})
		return nil
	})
	return files, err
})

// habitRoot returns the folder of go.mod.
func habitRoot(t *testing.T) string {
	t.Helper()
	root, err := habitFindRoot()
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func habitFindRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = up
	}
}
