package main

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/spoolhq/spool/protocol"
)

// atTerminal gives f somebody at a terminal, what stands on it, and its other end.
func atTerminal(t *testing.T, f func(k *asker, s *screenText, screen *os.File)) {
	t.Helper()
	screen, terminal, err := openTerminal()
	if err != nil {
		t.Fatal(err)
	}
	s := &screenText{changed: make(chan struct{}, 1)}
	var reading sync.WaitGroup
	reading.Go(func() { s.copy(screen) })
	k := newApp(terminal, terminal, terminal, []string{"NO_COLOR=1"}).newAsker(true)
	f(k, s, screen)
	_, _ = screen.Write([]byte{'D' & 0x1f}) // ends its reading
	<-k.ended
	terminal.Close()
	reading.Wait()
	screen.Close()
}

func (s *screenText) expect(t *testing.T, pattern string) {
	t.Helper()
	if _, err := s.await(regexp.MustCompile(pattern), 0); err != nil {
		t.Error(err)
	}
}

// A secret is not shown while it is typed, and what is typed after it is.
func TestSecretIsNotShown(t *testing.T) {
	atTerminal(t, func(k *asker, s *screenText, screen *os.File) {
		done := make(chan map[string]protocol.Answer)
		go func() {
			answers, err := k.questions(t.Context(), protocol.QuestionRequestParams{Questions: []protocol.Question{
				{ID: "a", Question: "The password?", Secret: true},
				{ID: "b", Question: "And your name?"},
			}})
			if err != nil {
				t.Error(err)
			}
			done <- answers
		}()
		s.expect(t, `password\?\s+> `)
		_, _ = screen.WriteString(" hunter2 \n")
		s.expect(t, `name\?\s+> `)
		_, _ = screen.WriteString(" Ann \n")
		want := map[string]protocol.Answer{"a": {Answers: []string{" hunter2 "}}, "b": {Answers: []string{"Ann"}}}
		if diff := cmp.Diff(want, <-done); diff != "" {
			t.Error(diff)
		}
		s.expect(t, "Ann")
		s.mu.Lock()
		defer s.mu.Unlock()
		if strings.Contains(s.text.String(), "hunter2") {
			t.Errorf("on the screen stands %q", &s.text)
		}
	})
}

// What waits to be asked while something else is asked is asked next, or not at all if it
// was withdrawn meanwhile.
func TestAskedOneAfterAnother(t *testing.T) {
	atTerminal(t, func(k *asker, s *screenText, screen *os.File) {
		ask := func(ctx context.Context, what string) <-chan error {
			done := make(chan error, 1)
			go func() {
				_, err := k.approval(ctx, protocol.ApprovalRequestParams{Kind: "command", Operation: what, Decisions: protocol.Decision("").Values()})
				done <- err
			}()
			return done
		}
		first := ask(t.Context(), "first")
		s.expect(t, `first[^>]*> `)
		ctx, cancel := context.WithCancel(t.Context())
		never := ask(ctx, "never")
		second := ask(t.Context(), "second")
		cancel()
		if err := <-never; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		_, _ = screen.WriteString("y\n")
		if err := <-first; err != nil {
			t.Error(err)
		}
		s.expect(t, `second[^>]*> `)
		_, _ = screen.WriteString("n\n")
		if err := <-second; err != nil {
			t.Error(err)
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		if strings.Contains(s.text.String(), "never") {
			t.Errorf("on the screen stands %q", &s.text)
		}
	})
}
