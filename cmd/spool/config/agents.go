package config

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/turn/agent/openai"
)

// The kinds of agents.
const (
	KindScript = "script"
	KindOpenAI = "openai"
	KindExec   = "exec"
)

var kinds = []string{KindScript, KindOpenAI, KindExec}

// Agent is a configured agent, a table agents.NAME of the file.
type Agent struct {
	Name        string
	Kind        string
	Description string
	Config      protocol.Object // where a thread says nothing
	Modes       []protocol.Mode

	// Of kind openai only.
	BaseURL      string
	APIKeyEnv    string // variable that holds the key
	APIKey       Secret // empty: there is none
	Model        string
	API          string
	Instructions string
	Headers      map[string]string
	MaxRetries   int
	Timeout      time.Duration

	// Of kind exec only.
	Command []string // program and arguments
	Dir     string   // empty: the home folder
	Env     []string // NAME=VALUE or NAME
	Plain   bool

	where string // file and line, for errors
}

// Secret is a text that is not printed.
type Secret string

// String returns a mark instead of the text.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "(secret)"
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// AgentKey is a row of the table of an agent's settings.
type AgentKey struct {
	Name  string
	Doc   string
	Kind  string // the one kind that has it; empty: all
	field func(*Agent) any
	// secret keeps it out of files that others may read.
	secret bool
	values []string           // those that are allowed; nil: any
	check  func(*Agent) error // refuses a value; nil: any of the type and of values is allowed
}

// AgentKeys lists the settings of an agent, in the order of the documentation.
func AgentKeys() []AgentKey { return slices.Clone(agentKeys) }

var agentKeys = []AgentKey{
	{Name: "kind", Doc: "script, openai or exec; required", field: func(a *Agent) any { return &a.Kind }},
	{Name: "description", Doc: "for people who choose", field: func(a *Agent) any { return &a.Description }},
	{Name: "config", Doc: "config of threads and turns that say nothing; a table"},
	{Name: "modes", Doc: "modes that every thread of the agent has; a list of tables"},
	{Name: "base_url", Doc: "address of the API", Kind: KindOpenAI, field: func(a *Agent) any { return &a.BaseURL }, check: checkBaseURL},
	{Name: "api_key_env", Doc: "variable that holds the key", Kind: KindOpenAI, field: func(a *Agent) any { return &a.APIKeyEnv }},
	{Name: "api_key", Doc: "the key itself", Kind: KindOpenAI, secret: true, field: func(a *Agent) any { return (*string)(&a.APIKey) }},
	{Name: "model", Doc: "model of threads that name none", Kind: KindOpenAI, field: func(a *Agent) any { return &a.Model }},
	{Name: "api", Doc: "form of the API", Kind: KindOpenAI, values: []string{"auto", "responses", "chat"}, field: func(a *Agent) any { return &a.API }},
	{Name: "instructions", Doc: "what the model is told first", Kind: KindOpenAI, field: func(a *Agent) any { return &a.Instructions }},
	{Name: "headers", Doc: "HTTP headers of every request; a table", Kind: KindOpenAI, secret: true, field: func(a *Agent) any { return &a.Headers }},
	{Name: "max_retries", Doc: "how often a request that got no answer is repeated; negative: never", Kind: KindOpenAI, field: func(a *Agent) any { return &a.MaxRetries }},
	{Name: "timeout", Doc: "longest silence of the API", Kind: KindOpenAI, field: func(a *Agent) any { return &a.Timeout }, check: checkTimeout},
	{Name: "command", Doc: "program and its arguments; a list", Kind: KindExec, field: func(a *Agent) any { return (*words)(&a.Command) }},
	{Name: "dir", Doc: "folder that the program runs in", Kind: KindExec, field: func(a *Agent) any { return &a.Dir }},
	{Name: "env", Doc: "variables of the program: NAME=VALUE, or NAME for that of the daemon; a list", Kind: KindExec, field: func(a *Agent) any { return (*words)(&a.Env) }},
	{Name: "plain", Doc: "the program reads text and its output is the answer", Kind: KindExec, field: func(a *Agent) any { return &a.Plain }},
}

func checkBaseURL(a *Agent) error { return openai.CheckBaseURL(a.BaseURL) }

func checkTimeout(a *Agent) error {
	if a.Timeout < 0 {
		return errors.New("must not be negative")
	}
	return nil
}

var agentName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// applyAgents reads the table agents.
func (f *file) applyAgents(c *Config, p *problems, n node) {
	if n.table == nil {
		p.add(f.at(n), "agents %w", wrongType("a table with one table for each agent, such as [agents.helper]", n.value))
		return
	}
	for _, entry := range inOrder(n.table) {
		name := strings.TrimPrefix(entry.name, "agents.")
		switch {
		case !agentName.MatchString(name):
			p.add(f.at(entry), "%q cannot be the name of an agent: use letters, digits, and _ . - inside", name)
		case entry.table == nil:
			p.add(f.at(entry), "%s %w", entry.name, wrongType("a table", entry.value))
		default:
			c.Agents = append(c.Agents, f.agent(p, name, entry))
		}
	}
}

func (f *file) agent(p *problems, name string, entry node) Agent {
	a := Agent{Name: name, where: f.at(entry)}
	for _, n := range inOrder(entry.table) {
		if err := f.agentKey(&a, entry.table["kind"].value, n); err != nil {
			p.add(f.at(n), "%w", err)
		}
	}
	return a
}

// agentKey sets one key of an agent of the given kind.
func (f *file) agentKey(a *Agent, kind any, n node) error {
	name := n.name[strings.LastIndex(n.name, ".")+1:]
	i := slices.IndexFunc(agentKeys, func(k AgentKey) bool { return k.Name == name })
	if i < 0 {
		return unknownAgentKey(n.name, name)
	}
	switch k := agentKeys[i]; {
	case k.Kind != "" && k.Kind != kind && slices.Contains(kinds, fmt.Sprint(kind)):
		return fmt.Errorf("%s is for agents of kind %s; this one is of kind %s", n.name, k.Kind, kind)
	case name == "config":
		return a.readConfig(n)
	case name == "modes":
		return a.readModes(n)
	case name == "env" && f.mode.Perm()&0o077 != 0 && setsVariables(n.value):
		return fmt.Errorf("%s may hold a key, and others may read the file (mode %04o): run chmod 600 %s, or name the variable without a value", n.name, f.mode.Perm(), f.path)
	case k.secret && f.mode.Perm()&0o077 != 0:
		return fmt.Errorf("%s may hold a key, and others may read the file (mode %04o): run chmod 600 %s, or name a variable with api_key_env", n.name, f.mode.Perm(), f.path)
	default:
		if err := assign(k.field(a), n.value); err != nil {
			return fmt.Errorf("%s %w", n.name, err)
		}
		if text, ok := n.value.(string); ok && k.values != nil && !slices.Contains(k.values, text) {
			return fmt.Errorf("%s must be one of %s, not %q%s", n.name, strings.Join(k.values, ", "), text, didYouMean(text, k.values))
		}
		if k.check != nil {
			if err := k.check(a); err != nil {
				return fmt.Errorf("%s %w", n.name, err)
			}
		}
		return nil
	}
}

// unknownAgentKey also finds keys that belong into the table config.
func unknownAgentKey(full, name string) error {
	hint := didYouMean(name, agentKeyNames())
	for f := range reflect.TypeFor[protocol.Config]().Fields() {
		if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key == name {
			hint = fmt.Sprintf("; did you mean %q?", strings.TrimSuffix(full, name)+"config."+name)
		}
	}
	return fmt.Errorf("there is no setting %q%s", full, hint)
}

func agentKeyNames() []string {
	names := make([]string, len(agentKeys))
	for i, k := range agentKeys {
		names[i] = k.Name
	}
	return names
}

func (a *Agent) readConfig(n node) error {
	if n.table == nil {
		return fmt.Errorf("%s %w", n.name, wrongType("a table", n.value))
	}
	a.Config = protocol.Object{}
	for key, child := range n.table {
		raw, err := json.Marshal(child.value)
		if err != nil {
			return fmt.Errorf("%s cannot be written as JSON: %w", child.name, err)
		}
		a.Config[key] = raw
	}
	if _, err := protocol.ParseConfig(a.Config); err != nil {
		return fmt.Errorf("%s.%w", n.name, err)
	}
	return nil
}

func (a *Agent) readModes(n node) error {
	raw, err := json.Marshal(n.value)
	if err != nil {
		return fmt.Errorf("%s cannot be written as JSON: %w", n.name, err)
	}
	cfg, err := protocol.ParseConfig(protocol.Object{"modes": raw})
	if err != nil {
		return fmt.Errorf("%s%w", strings.TrimSuffix(n.name, "modes"), err)
	}
	a.Modes = cfg.Modes
	return nil
}

// finishAgents adds the agents that nobody has to configure, and finds keys and the
// default.
func (c *Config) finishAgents(env Env, p *problems) {
	first := ""
	if len(c.Agents) > 0 {
		first = c.Agents[0].Name
	} else if env["OPENAI_API_KEY"] != "" || env["OPENAI_BASE_URL"] != "" {
		first = KindOpenAI
		c.Agents = append(c.Agents, Agent{Name: KindOpenAI, Kind: KindOpenAI, Description: "Model from the environment", Model: env["OPENAI_MODEL"]})
	}
	if !slices.ContainsFunc(c.Agents, func(a Agent) bool { return a.Name == KindScript }) {
		c.Agents = append(c.Agents, Agent{Name: KindScript, Kind: KindScript, Description: "Answers without a model; lines that begin with / are directives"})
	}
	names := make([]string, len(c.Agents))
	for i := range c.Agents {
		a := &c.Agents[i]
		names[i] = a.Name
		if err := a.finish(env); err != nil {
			p.add(a.where, "%w", err)
		}
		if a.Kind == KindOpenAI && a.APIKey == "" && a.BaseURL == "" {
			c.Warnings = append(c.Warnings, fmt.Sprintf("agent %s has no key: set the variable %s, or its turns will fail", a.Name, a.APIKeyEnv))
		}
	}
	c.Default = cmp.Or(c.Default, first, KindScript)
	if !slices.Contains(names, c.Default) {
		p.add("default_agent", "there is no agent %q; the agents are %s%s", c.Default, strings.Join(names, ", "), didYouMean(c.Default, names))
	}
	slices.SortFunc(c.Agents, func(a, b Agent) int { return strings.Compare(a.Name, b.Name) })
}

// finish checks the kind and finds the key.
func (a *Agent) finish(env Env) error {
	switch {
	case a.Kind == "":
		return fmt.Errorf("agents.%s has no kind; set it to one of %s", a.Name, strings.Join(kinds, ", "))
	case !slices.Contains(kinds, a.Kind):
		return fmt.Errorf("agents.%s has the kind %q, which this version does not know; it knows %s%s", a.Name, a.Kind, strings.Join(kinds, ", "), didYouMean(a.Kind, kinds))
	case a.Kind == KindExec:
		return a.finishExec(env)
	case a.Kind != KindOpenAI:
		return nil
	case a.APIKey != "" && a.APIKeyEnv != "":
		return fmt.Errorf("agents.%s has both api_key and api_key_env; keep one", a.Name)
	}
	a.BaseURL = cmp.Or(a.BaseURL, env["OPENAI_BASE_URL"])
	if a.APIKey == "" {
		a.APIKeyEnv = cmp.Or(a.APIKeyEnv, "OPENAI_API_KEY")
		a.APIKey = Secret(env[a.APIKeyEnv])
	}
	return nil
}
