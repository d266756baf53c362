// Package gen makes documents from the tables and types of package protocol: the JSON
// Schema, the OpenRPC document and the tables of docs/protocol.md. Names and types come
// by reflection, descriptions from the comments in the source, so nothing is said twice.
// The same source gives the same bytes.
package gen

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
)

// Names of the files that are made, relative to the root of the module.
const (
	schemaFile  = "protocol/schema/spool.schema.json"
	openRPCFile = "protocol/schema/openrpc.json"
	docsFile    = "docs/protocol.md"
)

// Root returns the root of the module that the working directory is in.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("the working directory is in no Go module; run this inside the repository")
		}
		dir = parent
	}
}

// Files returns the content of every file that is made from the source under root, by
// its path relative to root. Of docs/protocol.md it changes the tables only.
func Files(root string) (map[string][]byte, error) {
	notes, err := readComments(filepath.Join(root, "protocol"))
	if err != nil {
		return nil, err
	}
	types, err := newTypes(notes)
	if err != nil {
		return nil, err
	}
	schema, err := indent(types.document())
	if err != nil {
		return nil, err
	}
	rpc, err := types.openRPC()
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(root, docsFile))
	if err != nil {
		return nil, err
	}
	docs, err := fillTables(text, types.notes)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{schemaFile: schema, openRPCFile: rpc, docsFile: docs}, nil
}

// indent writes v for people too: two spaces, no HTML escapes.
func indent(v any) ([]byte, error) {
	compact, err := json.Marshal(v)
	if err != nil {
		return nil, err
	}
	for escape, char := range map[string]string{`\u003c`: "<", `\u003e`: ">", `\u0026`: "&"} {
		compact = bytes.ReplaceAll(compact, []byte(escape), []byte(char))
	}
	var out bytes.Buffer
	if err := json.Indent(&out, compact, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}
