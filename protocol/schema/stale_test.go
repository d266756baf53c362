package schema_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/spoolhq/spool/protocol/schema"
	"github.com/spoolhq/spool/protocol/schema/internal/gen"
)

// What is checked in is what the code says.
func TestGeneratedFilesAreFresh(t *testing.T) {
	root, err := gen.Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := gen.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	again, err := gen.Files(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if !bytes.Equal(want, again[name]) {
			t.Errorf("%s: made twice, it differs", name)
		}
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is stale; run `go generate ./protocol` and commit the result", name)
		}
	}
}

// The working directory does not matter: the source is found from any folder.
func TestGeneratorFindsTheSource(t *testing.T) {
	here, err := gen.Root()
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(filepath.Join(here, "protocol", "schema", "generate"))
	there, err := gen.Root()
	if err != nil || there != here {
		t.Errorf("root %s, %v, want %s", there, err, here)
	}
	t.Chdir(t.TempDir())
	if root, err := gen.Root(); err == nil {
		t.Errorf("outside of any module: %s", root)
	}
}

func TestDocumentsAreCopies(t *testing.T) {
	for _, document := range []func() []byte{schema.JSONSchema, schema.OpenRPC} {
		clear(document())
		if b := document(); len(b) == 0 || b[0] != '{' {
			t.Error("what one caller changes, the next one sees")
		}
	}
}
