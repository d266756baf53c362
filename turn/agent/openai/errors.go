package openai

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	sdk "github.com/openai/openai-go/v3"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// maxDetail bounds what is passed on of an endpoint's own words, in runes.
const maxDetail = 200

var errSilence = errors.New("the endpoint is silent")

// errFiltered ends an answer that the endpoint's filter stopped.
var errFiltered error = &turn.Error{
	Code: protocol.TurnErrAgent, Message: "the model endpoint's content filter stopped the answer",
}

// failure is a call that did not work.
type failure struct {
	status     int    // of HTTP; 0 if there was no answer
	code       string // the endpoint's own
	message    string
	retryAfter time.Duration
	silent     bool  // it took too long
	cut        bool  // the answer had begun
	err        error // the reason where there was no answer
}

// Error says what is known, for those who debug; people get explain.
func (f *failure) Error() string {
	return fmt.Sprintf("model call failed: status %d, code %q: %v", f.status, f.code, f.err)
}

// Unwrap returns the reason.
func (f *failure) Unwrap() error { return f.err }

// refused returns the failure of a call that did not get as far as an answer, or nil.
func refused(w *watchdog, err error, response *http.Response) error {
	if err == nil && response != nil {
		mediaType, _, _ := mime.ParseMediaType(response.Header.Get("Content-Type"))
		if mediaType == "text/event-stream" || mediaType == "" {
			return nil
		}
		return &failure{status: response.StatusCode, code: "no_stream", message: mediaType}
	}
	f := &failure{err: err, silent: w.silent()}
	if response != nil {
		f.status = response.StatusCode
		f.retryAfter = retryAfter(response.Header)
	}
	if e, ok := errors.AsType[*sdk.Error](err); ok {
		f.status, f.code, f.message = e.StatusCode, cmp.Or(e.Code, e.Type), e.Message
	}
	return f
}

// broken ends an answer that stopped before its end and returns the failure. Where the
// turn was cancelled, the open item is left as it is: the runner closes it.
func (s *speech) broken(w *watchdog, err error) error {
	if w.ctx.Err() == nil || w.silent() {
		s.cut()
	}
	if f, ok := errors.AsType[*failure](err); ok {
		return f
	}
	return &failure{cut: true, err: err, silent: w.silent()}
}

// streamFailure returns the failure that an endpoint reports within an answer.
func streamFailure(code, message string) error {
	return &failure{cut: true, code: code, message: message}
}

// noSuchAPI reports whether the endpoint lacks the form of the API that was asked for. A
// missing model is not that, though many endpoints give it the same status.
func noSuchAPI(err error) bool {
	f, ok := errors.AsType[*failure](err)
	if !ok || f.cut {
		return false
	}
	switch f.status {
	case http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusNotImplemented:
		return f.code != "model_not_found"
	default:
		return false
	}
}

// explain turns a failure into the error of the turn.
func (a *agent) explain(err error, model string) error {
	f, ok := errors.AsType[*failure](err)
	if !ok {
		return err
	}
	switch {
	case f.silent:
		return a.unavailable(true, "the model endpoint at %s said nothing for %v", a.host, a.timeout)
	case f.cut:
		return a.explainCut(f)
	case f.status == 0:
		return a.unavailable(true, "the model endpoint at %s cannot be reached: %s", a.host, a.reason(f.err))
	case f.code == "no_stream":
		return a.unavailable(false, "%s did not answer with an event stream but with %s; is base_url right?", a.host, f.message)
	}
	return a.explainStatus(f, model)
}

func (a *agent) explainCut(f *failure) error {
	if f.code == "" && f.message == "" {
		return &turn.Error{Code: protocol.TurnErrAgent, Message: "the model's answer was cut off", Retryable: true}
	}
	retryable := f.code != "invalid_prompt" && f.code != "context_length_exceeded"
	return &turn.Error{
		Code: protocol.TurnErrAgent, Retryable: retryable,
		Message: "the model's answer was cut off" + a.detail(cmp.Or(f.message, f.code)),
	}
}

func (a *agent) explainStatus(f *failure, model string) error {
	hint := cmp.Or(a.options.KeyHint, "OPENAI_API_KEY")
	switch {
	case f.status == http.StatusUnauthorized && a.options.APIKey == "":
		return a.unavailable(false, "the model endpoint at %s wants a key; set %s", a.host, hint)
	case f.status == http.StatusUnauthorized:
		return a.unavailable(false, "the model endpoint at %s refused the key; set %s to one that is valid", a.host, hint)
	case f.status == http.StatusForbidden:
		return a.unavailable(false, "the model endpoint at %s refused access%s", a.host, a.detail(f.message))
	case f.status == http.StatusNotFound:
		return a.unavailable(false, "the model endpoint at %s knows no model %q, or base_url is wrong%s", a.host, model, a.detail(f.message))
	case f.code == "insufficient_quota":
		return a.unavailable(false, "the quota at the model endpoint %s is used up; look at its billing page", a.host)
	case f.status == http.StatusTooManyRequests:
		e := a.unavailable(true, "the model endpoint at %s gets too many requests; try again later", a.host)
		if f.retryAfter > 0 {
			e.Message += fmt.Sprintf(", in %v", f.retryAfter.Round(time.Second))
			e.Details = fmt.Appendf(nil, `{"retryAfterMs":%d}`, f.retryAfter.Milliseconds())
		}
		return e
	case f.status >= http.StatusInternalServerError:
		return a.unavailable(true, "the model endpoint at %s has a problem (%d %s); try again later", a.host, f.status, http.StatusText(f.status))
	case f.code == "context_length_exceeded":
		return &turn.Error{
			Code:    protocol.TurnErrAgent,
			Message: "the conversation is too long for the model; set history.maxTurns in its config or reset the thread",
		}
	case f.code == "content_filter":
		return errFiltered
	default:
		return &turn.Error{
			Code:    protocol.TurnErrAgent,
			Message: fmt.Sprintf("the model endpoint at %s did not take the request (%d)%s", a.host, f.status, a.detail(f.message)),
		}
	}
}

func (a *agent) unavailable(retryable bool, format string, args ...any) *turn.Error {
	return &turn.Error{Code: protocol.TurnErrUnavailable, Message: fmt.Sprintf(format, args...), Retryable: retryable}
}

// reason says why there was no answer, without the URL.
func (a *agent) reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it took too long"
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err
	}
	if err == nil {
		return "no answer"
	}
	return a.short(err.Error())
}

// detail returns an endpoint's own words as the end of a sentence.
func (a *agent) detail(message string) string {
	if message = a.short(message); message == "" {
		return ""
	}
	return ": " + message
}

// keyLike finds what looks like a key, also a masked one.
var keyLike = regexp.MustCompile(`(?i)\b(sk|pk|key|api)[-_][\w*.-]{6,}|bearer\s+\S+`)

// short makes one short line of a text, without keys.
func (a *agent) short(text string) string {
	if key := string(a.options.APIKey); key != "" {
		text = strings.ReplaceAll(text, key, "[key]")
	}
	for _, value := range a.options.Headers {
		if len(value) >= 8 {
			text = strings.ReplaceAll(text, value, "[header]")
		}
	}
	text = keyLike.ReplaceAllString(text, "[key]")
	text = strings.Join(strings.FieldsFunc(text, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }), " ")
	if runes := []rune(text); len(runes) > maxDetail {
		return string(runes[:maxDetail]) + "…"
	}
	return text
}

// retryAfter reads the header Retry-After in seconds; 0 if it is not there.
func retryAfter(h http.Header) time.Duration {
	if ms, err := strconv.ParseInt(h.Get("Retry-After-Ms"), 10, 32); err == nil && ms > 0 {
		return time.Duration(ms) * time.Millisecond
	}
	if s, err := strconv.ParseInt(h.Get("Retry-After"), 10, 32); err == nil && s > 0 {
		return time.Duration(s) * time.Second
	}
	if t, err := http.ParseTime(h.Get("Retry-After")); err == nil {
		return max(time.Until(t), 0)
	}
	return 0
}
