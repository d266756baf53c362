// Command generate writes what is made from the tables and types of package protocol:
// the JSON Schema, the OpenRPC document and the tables in docs/protocol.md. It works
// from any folder of the module.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/spoolhq/spool/protocol/schema/internal/gen"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run() error {
	root, err := gen.Root()
	if err != nil {
		return err
	}
	files, err := gen.Files(root)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
