package exec

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"sync"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// Run starts the program, carries out what it says, and returns when it and its process
// group are gone.
func (a *agent) Run(ctx context.Context, in turn.Input, out turn.Emitter) error {
	first, err := inputOf(ctx, in)
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	p, err := a.start(in.Turn.ThreadID)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancelCause(ctx)
	s := &session{
		agent: a, p: p, ctx: ctx, stop: stop, out: out,
		answers: make(chan any), fed: make(chan struct{}), slots: make(chan struct{}, maxOpen), open: map[string]bool{},
	}
	return s.run(first)
}

// session is one turn of a program.
type session struct {
	agent *agent
	p     *process
	ctx   context.Context // of the turn; ends too when the program did something wrong
	stop  context.CancelCauseFunc
	out   turn.Emitter
	wg    sync.WaitGroup // the feeder, the controller and all asks

	answers chan any      // lines for the program
	fed     chan struct{} // closed when the program gets no more lines

	slots chan struct{} // has an element for each open ask
	mu    sync.Mutex
	open  map[string]bool // ids of the open asks

	// Of the goroutine that reads.
	item  turn.Item // what is being said; nil: nothing
	kind  protocol.ItemType
	state turn.Item
	torn  error // what is wrong with a last line that has no end
}

// errOver is the cause of a context that ends because the program has.
var errOver = errors.New("the program has ended")

func (s *session) run(first input) error {
	read := make(chan struct{})
	s.wg.Go(func() { s.p.control(s.ctx, read, s.agent) })
	s.wg.Go(func() { s.feed(first) })
	if err := s.read(); err != nil {
		s.stop(err)
	}
	close(read)
	<-s.p.over
	cause := context.Cause(s.ctx)
	s.stop(errOver)
	s.wg.Wait()
	if cause != nil {
		return cause
	}
	if err := s.agent.ended(s.p.cmd.ProcessState, &s.p.stderr); err != nil {
		return err
	}
	if s.torn != nil {
		return s.torn
	}
	s.end()
	if s.state != nil {
		s.state.Complete(nil)
	}
	return nil
}

// read carries out what the program says until the end of its output.
func (s *session) read() error {
	if s.agent.options.Plain {
		return s.readPlain()
	}
	r := bufio.NewReader(&s.p.stdout)
	for {
		raw, err := readLine(r, s.agent.options.MaxLineBytes)
		if errors.Is(err, errTooLong) {
			return failure("the program wrote a line of more than %d bytes", s.agent.options.MaxLineBytes)
		}
		if raw = bytes.TrimSpace(raw); len(raw) > 0 {
			if err := s.line(raw, err != nil); err != nil {
				return err
			}
		}
		if err != nil {
			return nil // the end of the output, or nobody has waited for it
		}
	}
}

// line carries out one line. The last may be torn because the program has crashed, which
// is then what went wrong.
func (s *session) line(raw []byte, last bool) error {
	l, err := parse(raw)
	if err == nil {
		return l.do(s)
	}
	err = failure("the program wrote a line that is not of the protocol: %s: %s",
		s.agent.clean(err.Error()), clip(s.agent.clean(string(raw[:min(len(raw), tailBytes)]))))
	if last {
		s.torn = err
		return nil
	}
	return err
}

var errTooLong = errors.New("the line is too long")

// readLine reads a line, which is valid until the next call. The last line needs no end. most
// is how long a line may be, without its end.
func readLine(r *bufio.Reader, most int) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		line = bytes.Clone(line) // the next call of ReadSlice overwrites it
	}
	for errors.Is(err, bufio.ErrBufferFull) && len(line) <= most {
		var part []byte
		part, err = r.ReadSlice('\n')
		line = append(line, part...)
	}
	if len(bytes.TrimSuffix(line, []byte("\n"))) > most {
		return nil, errTooLong
	}
	return line, err
}

// say adds text to what is being said, which begins if it is of another kind.
func (s *session) say(kind protocol.ItemType, text string) {
	if text == "" {
		return
	}
	if s.item == nil || s.kind != kind {
		s.end()
		s.item, s.kind = s.out.Begin(protocol.Item{Type: kind}), kind
	}
	s.item.Append(text)
}

// end completes what is being said.
func (s *session) end() {
	if s.item != nil {
		s.item.Complete(nil)
		s.item = nil
	}
}

func (l *textLine) do(s *session) error {
	s.say(protocol.ItemAgentMessage, l.Text)
	return nil
}

func (l *reasoningLine) do(s *session) error {
	s.say(protocol.ItemReasoning, l.Text)
	return nil
}

func (l *endLine) do(s *session) error {
	s.end()
	return nil
}

func (l *itemLine) do(s *session) error {
	s.end()
	it := l.item
	switch it.Type {
	case protocol.ItemToolCall:
		it.Executor = cmp.Or(it.Executor, protocol.ExecutorAgent)
		fallthrough
	case protocol.ItemCommandExecution, protocol.ItemFileChange:
		if it.CallID == "" {
			it.CallID = protocol.NewID(protocol.PrefixCall)
		}
	default:
	}
	s.out.Add(it)
	return nil
}

func (l *stateLine) do(s *session) error {
	if s.state == nil {
		s.state = s.out.Begin(protocol.Item{Type: protocol.ItemState, State: []byte("{}")})
	}
	s.state.Patch(l.Patch)
	return nil
}

func (l *planLine) do(s *session) error {
	s.out.Plan(l.Entries)
	return nil
}

func (l *usageLine) do(s *session) error {
	s.out.Usage(l.Usage)
	return nil
}

func (l *eventLine) do(s *session) error {
	s.out.Event(l.Kind, l.Text)
	return nil
}

func (l *failLine) do(s *session) error {
	return &turn.Error{
		Code: protocol.TurnErrAgent, Message: cmp.Or(l.Message, "the program failed without saying why"), Retryable: l.Retryable,
	}
}

// readPlain says all that the program prints, but for the end of its last line.
func (s *session) readPlain() error {
	var t plainText
	buf := make([]byte, 32<<10)
	for {
		n, err := s.p.stdout.Read(buf)
		s.say(protocol.ItemAgentMessage, t.next(buf[:n]))
		if err != nil {
			s.say(protocol.ItemAgentMessage, t.rest())
			if errors.Is(err, io.EOF) || errors.Is(err, errClosed) {
				return nil
			}
			return failure("the output of the program cannot be read: %v", err)
		}
	}
}
