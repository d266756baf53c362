package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
)

// asker puts what agents ask to the person at the terminal, one thing after another. What
// that person does not answer stays open for others.
type asker struct {
	app  *app
	file *os.File // the terminal
	// reads says that nobody else reads the terminal: the asker does, from the first
	// question on. Else lines come by offer only.
	reads bool
	begin sync.Once
	typed chan string
	ended chan struct{} // closed at the end of the input
	seat  chan struct{} // held by what is asked now

	mu     sync.Mutex
	now    context.Context // of what is asked; nil: nothing is
	script *transcript     // what else is shown; nil: nothing yet
}

// errUnanswered leaves an approval or a question open.
var errUnanswered = errors.New("nobody answered")

// newAsker returns nil where nobody can be asked: the daemon is not told that somebody can
// then.
func (a *app) newAsker(reads bool) *asker {
	if a.json || !isTerminal(a.in) || !isTerminal(a.err) {
		return nil
	}
	file, _ := a.in.(*os.File)
	return &asker{app: a, file: file, reads: reads, typed: make(chan string), ended: make(chan struct{}), seat: make(chan struct{}, 1)}
}

// declare makes a client that answers what agents ask. A nil asker declares nothing.
func (k *asker) declare(opts *sdk.Options) {
	if k != nil {
		opts.OnApproval, opts.OnQuestion = k.approval, k.questions
	}
}

// beside sets what must not get between a question and its answer.
func (k *asker) beside(t *transcript) {
	if k != nil {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.script = t
	}
}

// offer gives a line to what is asked now. It reports false if nothing is.
func (k *asker) offer(line string) bool {
	if k == nil {
		return false
	}
	k.mu.Lock()
	now := k.now
	k.mu.Unlock()
	if now == nil {
		return false
	}
	select {
	case k.typed <- line:
		return true
	case <-now.Done():
		return false
	}
}

// read offers all lines of the terminal. It may wait in a read until the process ends.
// Lines that answer nothing are dropped.
func (k *asker) read() {
	defer close(k.ended)
	for in := bufio.NewReader(k.file); ; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		if strings.TrimSpace(line) != "" {
			k.offer(trimNewline(line))
		}
	}
}

// ask waits until nothing else is asked and then has f ask.
func (k *asker) ask(ctx context.Context, f func(context.Context) error) error {
	select {
	case k.seat <- struct{}{}:
		defer func() { <-k.seat }()
	case <-ctx.Done():
		return ctx.Err()
	}
	err := k.seated(ctx, f)
	switch {
	case ctx.Err() != nil:
		k.say("\n%s\n", k.app.paintErr().dim("  the answer is not wanted any more"))
	case errors.Is(err, errUnanswered):
		k.say("\n%s\n", k.app.paintErr().dim("  left open; see spool approvals list"))
	}
	return err
}

// seated has f ask. What was typed before that, and more than the answer, is dropped.
func (k *asker) seated(ctx context.Context, f func(context.Context) error) error {
	ctx, over := context.WithCancel(ctx)
	dropTyped(k.file)
	k.mu.Lock()
	k.now = ctx
	script := k.script
	k.mu.Unlock()
	if script != nil {
		script.hold()
		defer script.goOn()
	}
	defer func() {
		over()
		k.mu.Lock()
		k.now = nil
		k.mu.Unlock()
		dropTyped(k.file)
	}()
	if k.reads {
		k.begin.Do(func() { go k.read() })
	}
	return f(ctx)
}

func (k *asker) say(format string, args ...any) { fmt.Fprintf(k.app.err, format, args...) }

// line asks for a line.
func (k *asker) line(ctx context.Context) (string, error) {
	k.say("  > ")
	select {
	case line := <-k.typed:
		return line, nil
	case <-k.ended:
		return "", errUnanswered
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// secret asks for a line that is not shown.
func (k *asker) secret(ctx context.Context) (string, error) {
	show, err := hideTyped(k.file)
	if err != nil {
		return "", fmt.Errorf("the answer would be shown: %w", err)
	}
	defer show()
	line, err := k.line(ctx)
	k.say("\n")
	return line, err
}

// approval is the handler of sdk.Options.OnApproval.
func (k *asker) approval(ctx context.Context, p protocol.ApprovalRequestParams) (protocol.ApprovalRequestResult, error) {
	var r protocol.ApprovalRequestResult
	err := k.ask(ctx, func(ctx context.Context) error {
		k.say("%s", approvalPrompt(p, k.app.paintErr()))
		for {
			line, err := k.line(ctx)
			if err != nil {
				return err
			}
			var ok bool
			if r, ok = parseDecision(strings.TrimSpace(line), p.Decisions); ok {
				return nil
			}
			k.say("  please type one of the letters\n")
		}
	})
	return r, err
}

// questions is the handler of sdk.Options.OnQuestion.
func (k *asker) questions(ctx context.Context, p protocol.QuestionRequestParams) (map[string]protocol.Answer, error) {
	answers := map[string]protocol.Answer{}
	err := k.ask(ctx, func(ctx context.Context) error {
		for _, q := range p.Questions {
			k.say("%s", questionPrompt(q, k.app.paintErr()))
			answer, err := k.answer(ctx, q)
			if err != nil {
				return err
			}
			answers[q.ID] = protocol.Answer{Answers: []string{answer}}
		}
		return nil
	})
	return answers, err
}

// answer asks until the answer fits the question.
func (k *asker) answer(ctx context.Context, q protocol.Question) (string, error) {
	ask := k.line
	if q.Secret {
		ask = k.secret
	}
	for {
		line, err := ask(ctx)
		if err != nil {
			return "", err
		}
		if !q.Secret {
			line = strings.TrimSpace(line)
		}
		if answer, ok := parseAnswer(line, q); ok {
			return answer, nil
		}
		k.say("  please type a number from 1 to %d\n", len(q.Options))
	}
}
