package openai

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn"
)

// Kind is the kind of agents of this package.
const Kind = "openai"

// DefaultBaseURL is the endpoint where none is configured.
const DefaultBaseURL = "https://api.openai.com/v1"

const (
	defaultRetries = 2
	defaultTimeout = 10 * time.Minute
)

// Secret is a text that does not show itself when it is printed, logged or encoded.
type Secret string

// String hides the secret.
func (Secret) String() string { return "[secret]" }

// GoString hides the secret.
func (Secret) GoString() string { return "[secret]" }

// MarshalText hides the secret.
func (Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// API is a form of the HTTP API.
type API string

// The forms of the HTTP API.
const (
	APIAuto      API = "auto" // responses, and chat where the endpoint does not have that
	APIResponses API = "responses"
	APIChat      API = "chat"
)

// Options configure an agent. Nothing is read from the environment.
type Options struct {
	BaseURL string // such as http://localhost:11434/v1; DefaultBaseURL if empty
	APIKey  Secret // may be empty for endpoints that want none
	// KeyHint says where the key is set, for errors; OPENAI_API_KEY if empty.
	KeyHint      string
	Model        string            // where config.model says nothing
	API          API               // APIAuto if empty
	Instructions string            // where config.instructions says nothing
	Headers      map[string]string // sent with every request
	MaxRetries   int               // of a request that got no answer; 2 if zero, none if negative
	Timeout      time.Duration     // longest silence of the endpoint; 10 minutes if zero
	HTTPClient   *http.Client      // nil: one of its own
}

// Spec returns the agent under a name, or what is wrong with the options.
func Spec(name string, o Options) (turn.Spec, error) {
	a, err := New(o)
	if err != nil {
		return turn.Spec{}, fmt.Errorf("agent %s: %w", name, err)
	}
	s := turn.Spec{
		Name: name, Kind: Kind, Agent: a,
		Description: "Answers with a model behind an endpoint that speaks OpenAI's API.",
		Schema:      turn.ConfigSchema(schemaPatch),
	}
	if o.Model != "" {
		model, err := json.Marshal(o.Model)
		if err != nil {
			return turn.Spec{}, fmt.Errorf("agent %s: %w", name, err)
		}
		s.Defaults = protocol.Object{"model": model}
	}
	return s, nil
}

// schemaPatch says what extra is and keeps it from the fields that are the agent's own.
const schemaPatch = `{"properties": {"extra": {
	"description": "Fields of the request body, as the endpoint documents them; null leaves one out.",
	"properties": {"stream": false, "input": false, "messages": false}
}}}`

// endpoint checks the options and returns the URL that they name.
func (o Options) endpoint() (*url.URL, error) {
	switch o.API {
	case "", APIAuto, APIResponses, APIChat:
	default:
		return nil, fmt.Errorf("api is %q but must be auto, responses or chat", string(o.API))
	}
	if o.Timeout < 0 {
		return nil, fmt.Errorf("timeout must not be negative")
	}
	u, err := parseBaseURL(o.BaseURL)
	if err != nil {
		return nil, fmt.Errorf("base_url %w", err)
	}
	return u, nil
}

// CheckBaseURL refuses what cannot be a BaseURL. The error begins with "must" and does not
// repeat the text, which may hold a password.
func CheckBaseURL(text string) error {
	_, err := parseBaseURL(text)
	return err
}

func parseBaseURL(text string) (*url.URL, error) {
	u, err := url.Parse(cmp.Or(text, DefaultBaseURL))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("must be a URL such as %s", DefaultBaseURL)
	}
	if u.User != nil {
		return nil, fmt.Errorf("must not hold a password; use api_key or headers")
	}
	return u, nil
}

func (o Options) retries() int {
	if o.MaxRetries == 0 {
		return defaultRetries
	}
	return max(o.MaxRetries, 0)
}
