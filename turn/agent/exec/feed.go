package exec

import (
	"bufio"
	"context"
	"io"
	"strings"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// Lines that a program reads, beside the first.
type (
	// approvalLine answers approve.
	approvalLine struct {
		Type     string `json:"type"`
		ID       string `json:"id"`
		Accepted bool   `json:"accepted"`
	}

	// answersLine answers ask; without answers where nobody answered.
	answersLine struct {
		Type    string                     `json:"type"`
		ID      string                     `json:"id"`
		Answers map[string]protocol.Answer `json:"answers,omitempty"`
	}

	// resultLine answers call.
	resultLine struct {
		Type string `json:"type"`
		ID   string `json:"id"`
		protocol.ToolCallResult
	}

	// steeredLine answers steer; without text and item where there was none.
	steeredLine struct {
		Type string         `json:"type"`
		ID   string         `json:"id"`
		Text *string        `json:"text,omitempty"`
		Item *protocol.Item `json:"item,omitempty"`
	}

	// stopLine says that the turn is interrupted.
	stopLine struct {
		Type string `json:"type"`
	}
)

// input is what the first line says.
type input struct {
	turn    protocol.Turn
	text    string
	history []protocol.Item
	tools   []protocol.Tool
}

// inputOf reads what a program is told at first. The text is that of the turn's input, or
// else that of the messages that were pending when it started.
func inputOf(ctx context.Context, in turn.Input) (input, error) {
	first := input{turn: in.Turn, text: in.Turn.Input.Text(), tools: in.Tools}
	if in.History == nil {
		return first, nil
	}
	var err error
	if first.history, err = in.History(ctx); err != nil || in.Turn.Input.HasUser() {
		return first, err
	}
	var texts []string
	for _, it := range first.history {
		if it.Type == protocol.ItemUserMessage && it.TurnID == in.Turn.ID {
			texts = append(texts, itemText(it))
		}
	}
	first.text = strings.Join(texts, "\n")
	return first, nil
}

// feed writes the program's input: the first line, then answers as they come, and in the
// end, where the turn is interrupted, the line that says so. A program that does not read
// is no error.
func (s *session) feed(first input) {
	defer close(s.fed)
	defer closeAll(s.p.stdin)
	if s.agent.options.Plain {
		_, _ = io.WriteString(s.p.stdin, first.text)
		return
	}
	w := bufio.NewWriterSize(s.p.stdin, 32<<10)
	if err := first.write(w); err != nil {
		return
	}
	for {
		select {
		case answer := <-s.answers:
			if err := writeLine(w, answer); err != nil {
				return
			}
		case <-s.p.exited:
			return
		case <-s.ctx.Done():
			_ = writeLine(w, stopLine{Type: "stop"})
			return
		}
	}
}

// write writes the first line piece by piece: a history may be long.
func (in input) write(w *bufio.Writer) error {
	config := in.turn.Config
	if config == nil {
		config = protocol.Object{}
	}
	for _, member := range []struct {
		name  string
		value any
	}{{`{"type":"turn","text":`, in.text}, {`,"turn":`, in.turn}, {`,"config":`, config}} {
		if err := writeMember(w, member.name, member.value); err != nil {
			return err
		}
	}
	if err := writeList(w, `,"history":[`, in.history); err != nil {
		return err
	}
	if err := writeList(w, `,"tools":[`, in.tools); err != nil {
		return err
	}
	return writeEnd(w, "}\n")
}

func writeList[T any](w *bufio.Writer, name string, list []T) error {
	for i, v := range list {
		before := ","
		if i == 0 {
			before = name
		}
		if err := writeMember(w, before, v); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		name += "]"
	} else {
		name = "]"
	}
	_, err := w.WriteString(name)
	return err
}

func writeMember(w *bufio.Writer, before string, v any) error {
	b, err := protocol.Marshal(v)
	if err != nil {
		return err
	}
	_, _ = w.WriteString(before) // an error stays and is that of the next write
	_, err = w.Write(b)
	return err
}

func writeLine(w *bufio.Writer, v any) error {
	if err := writeMember(w, "", v); err != nil {
		return err
	}
	return writeEnd(w, "\n")
}

func writeEnd(w *bufio.Writer, s string) error {
	_, _ = w.WriteString(s) // an error stays and is that of Flush
	return w.Flush()
}
