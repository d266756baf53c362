package server

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write what the daemon says into the conversations")

// TestConversations plays testdata/conversations over every transport. A file is a comment
// and parts: "client" is sent line by line, "server" is what the daemon said when it was
// idle again, "wait" lets time pass. Ids are numbered in the order in which they appear
// (thr_1, trn_2), times are left out.
func TestConversations(t *testing.T) {
	files, err := filepath.Glob("testdata/conversations/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatal("no conversations", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			var said [][]byte
			for _, name := range []string{"lines", "websocket"} {
				t.Run(name, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { said = append(said, play(t, file, transports[name])) })
				})
			}
			if len(said) == 2 && !bytes.Equal(said[0], said[1]) {
				t.Errorf("the transports differ (-lines +websocket):\n%s", cmp.Diff(string(said[0]), string(said[1])))
			}
		})
	}
}

func play(t *testing.T, file string, dial func(testing.TB, *Hub) *client) []byte {
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	comment, parts := parseParts(string(want))
	h := newHub(t)
	c := dial(t, h)
	names := newNames()
	got := comment
	for _, p := range parts {
		switch kind, arg, _ := strings.Cut(p.name, " "); kind {
		case "client":
			for line := range strings.Lines(p.text) {
				c.send(names.real(strings.TrimSuffix(line, "\n")))
			}
		case "wait":
			d, err := time.ParseDuration(arg)
			if err != nil {
				t.Fatal(err)
			}
			<-time.After(d) // in a bubble: no real time passes
		case "server":
			continue
		default:
			t.Fatalf("%s: unknown part %q", file, p.name)
		}
		got += p.String() + saidPart(names, c).String()
	}
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it):\n%s", file, diff)
	}
	return []byte(got)
}

// part is one "-- name --" of a file and the lines behind it.
type part struct{ name, text string }

func (p part) String() string { return "-- " + p.name + " --\n" + p.text }

func parseParts(text string) (comment string, parts []part) {
	for line := range strings.Lines(text) {
		name, ok := strings.CutPrefix(line, "-- ")
		if name, end := strings.CutSuffix(name, " --\n"); ok && end {
			parts = append(parts, part{name: name})
		} else if len(parts) == 0 {
			comment += line
		} else {
			parts[len(parts)-1].text += line
		}
	}
	return comment, parts
}

func saidPart(names *names, c *client) part {
	var b strings.Builder
	for _, m := range c.said() {
		fmt.Fprintln(&b, names.short(m))
	}
	return part{"server", b.String()}
}

// names gives ids short names and back.
type names struct {
	shorts, reals map[string]string
	count         map[string]int
}

func newNames() *names {
	return &names{map[string]string{}, map[string]string{}, map[string]int{}}
}

var (
	idPattern    = regexp.MustCompile(`\b(thr|trn|itm|con|trc)_[0-9A-HJKMNP-TV-Z]{26}\b`)
	shortPattern = regexp.MustCompile(`\b(thr|trn|itm|con|trc)_[0-9]+\b`)
	timePattern  = regexp.MustCompile(`,?"(at|createdAt|updatedAt|startedAt|completedAt|lastActiveAt|deadline|since)":"[^"]*"`)
	countPattern = regexp.MustCompile(`"(goroutines|heapBytes|openFiles|pid)":[0-9]+`)
)

func (n *names) short(s string) string {
	s = timePattern.ReplaceAllString(s, "")
	s = countPattern.ReplaceAllString(s, `"$1":0`)
	s = strings.ReplaceAll(s, "{,", "{")
	return idPattern.ReplaceAllStringFunc(s, func(id string) string {
		if n.shorts[id] == "" {
			kind := id[:4]
			n.count[kind]++
			short := fmt.Sprint(kind, n.count[kind])
			n.shorts[id], n.reals[short] = short, id
		}
		return n.shorts[id]
	})
}

func (n *names) real(s string) string {
	return shortPattern.ReplaceAllStringFunc(s, func(short string) string {
		if id := n.reals[short]; id != "" {
			return id
		}
		return short
	})
}
