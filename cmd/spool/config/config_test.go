package config

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// home returns an environment in a folder of its own.
func home(t *testing.T, pairs ...string) Env {
	t.Helper()
	dir := t.TempDir()
	return NewEnv(append([]string{"HOME=" + dir, "XDG_RUNTIME_DIR=" + dir + "/run"}, pairs...))
}

// write puts a file into the place where it is looked for.
func write(t *testing.T, env Env, mode os.FileMode, text string) string {
	t.Helper()
	path := filepath.Join(env["HOME"], ".config/spool/config.toml")
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, env Env, flags map[string]any) *Config {
	t.Helper()
	c, err := Load(Source{Env: env, Flags: flags})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	env := home(t)
	c := load(t, env, nil)
	h := env["HOME"]
	if c.Data != h+"/.local/share/spool" || c.Socket != h+"/run/spool/spool.sock" || c.State != h+"/.local/state/spool" {
		t.Errorf("paths: %s, %s, %s", c.Data, c.Socket, c.State)
	}
	if c.File != "" || c.Default != "script" || len(c.Agents) != 1 || c.Limits.MaxMessageBytes != 16<<20 {
		t.Errorf("%+v", c)
	}
}

func TestFlagsBeforeEnvironmentBeforeFile(t *testing.T) {
	env := home(t)
	write(t, env, 0o644, `
listen = ["ws://127.0.0.1:1"]
[limits]
max_queued = 1
drain_timeout = "1s"
disk_reserve = "1GiB"
[log]
level = "debug"
`)
	env["SPOOL_LIMITS_DRAIN_TIMEOUT"] = "2s"
	env["SPOOL_LOG_LEVEL"] = "warn"
	env["SPOOL_LISTEN"] = "ws://127.0.0.1:2, ws://127.0.0.1:3"
	c := load(t, env, map[string]any{"log.level": "error"})
	if c.Limits.MaxQueued != 1 || c.Limits.DrainTimeout != 2*time.Second || c.Limits.DiskReserve != 1<<30 || c.Log.Level != "error" {
		t.Errorf("%+v %+v", c.Limits, c.Log)
	}
	if diff := cmp.Diff([]string{"ws://127.0.0.1:2", "ws://127.0.0.1:3"}, c.Listen); diff != "" {
		t.Error(diff)
	}
}

func TestRefused(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"misspelled", "data = '/d'\n\nlistn = []\n", `config.toml:3: there is no setting "listn"; did you mean "listen"?`},
		{"misspelled in a table", "[limits]\nmax_quued = 3", `config.toml:2: there is no setting "limits.max_quued"; did you mean "limits.max_queued"?`},
		{"misspelled table", "[limts]\nmax_queued = 3", `:1: there is no setting "limts"; did you mean "limits"?`},
		{"wrong place", "max_queued = 3", `:1: there is no setting "max_queued"; did you mean "limits.max_queued"?`},
		{"nothing near", "zebra = 3", `:1: there is no setting "zebra"` + "\n"},
		{"wrong type", "[limits]\n\nmax_queued = '3x'", `:3: limits.max_queued must be a whole number, not "3x"`},
		{"number for a duration", "[limits]\ndrain_timeout = 5", `:2: limits.drain_timeout must be a duration such as "5s" or "1h30m", not a whole number`},
		{"size", "[limits]\ndisk_reserve = '3 miles'", `must be a number of bytes or a size such as "16MiB", not "3 miles"`},
		{"not positive", "[limits]\nmax_queued = 0", `limits.max_queued must be at least 1`},
		{"value of a list", "[log]\nlevel = 'warning'", `log.level must be one of trace, debug, info, warn, error, off, not "warning"`},
		{"table for a value", "[data]\nx = 1", `:1: data must be a text, not a table`},
		{"value for a table", "limits = 3", `:1: limits must be a table, not a whole number`},
		{"syntax", "a = 1\nb = \n", `config.toml:2: `},
		{"nearly no time", "[limits]\nping_interval = '1us'", `limits.ping_interval must be at least 1ms`},
		{"short retention", "[limits]\nkey_retention = '1h'", `limits.key_retention must be at least 24h`},
		{"short messages", "[limits]\nmax_message_bytes = '64KiB'\nmax_item_bytes = '16KiB'", `limits.max_message_bytes: must be at least 1MiB`},
		{"items and messages", "[limits]\nmax_item_bytes = '32MiB'", `limits.max_item_bytes: must be at most a quarter of limits.max_message_bytes`},
		{"queue and messages", "[limits]\nmax_queued = 131073", `limits.max_queued: must be at most 131072`},
		{"kind", "[agents.a]\nkind = 'skript'", `:1: agents.a has the kind "skript", which this version does not know; it knows script, openai, exec; did you mean "script"?`},
		{"no kind", "[agents.a]\ndescription = 'x'", `agents.a has no kind; set it to one of script, openai`},
		{"agent key", "[agents.a]\nkind = 'script'\ndescriptiom = 'x'", `:3: there is no setting "agents.a.descriptiom"; did you mean "description"?`},
		{"config key", "[agents.a]\nkind = 'script'\ntemperature = 1", `did you mean "agents.a.config.temperature"?`},
		{"key of another kind", "[agents.a]\nkind = 'script'\nbase_url = 'x'", `agents.a.base_url is for agents of kind openai; this one is of kind script`},
		{"config value", "[agents.a]\nkind = 'script'\n[agents.a.config]\ntemperature = 9", `agents.a.config.temperature must be between 0 and 2`},
		{"unknown config", "[agents.a]\nkind = 'script'\nconfig = {x = 1}", `agents.a.config.x is not a known field`},
		{"modes", "[agents.a]\nkind = 'script'\n[[agents.a.modes]]\nname = 'x'", `agents.a.modes[0].id is required`},
		{"readable key", "[agents.a]\nkind = 'openai'\napi_key = 'sk-hidden'", `run chmod 600`},
		{"address with another scheme", "\nlisten = ['ws://127.0.0.1:1', 'http://127.0.0.1:2']", `:2: listen has "http://127.0.0.1:2": the scheme must be ws, not http`},
		{"address without a port", "listen = '127.0.0.1'", `:1: listen has "127.0.0.1": it needs a host and a port`},
		{"port", "listen = ['127.0.0.1:99999']", `:1: listen has "127.0.0.1:99999": "99999" is no port`},
		{"address for all", "listen = ['ws://0.0.0.0:1']", `:1: listen has "ws://0.0.0.0:1": it is no loopback address`},
		{"origin without a scheme", "\n\norigins = ['https://app.example.com', 'foo']", `:3: origins has "foo": it must have a scheme and a host`},
		{"origin with a path", "origins = ['https://app.example.com/']", `:1: origins has "https://app.example.com/": it must have a scheme and a host, a port if it is not the usual one, and nothing else`},
		{"origin with a wildcard", "origins = ['https://*.example.com']", `without wildcards`},
		{"origin with the usual port", "origins = ['https://app.example.com:443']", `leave it out here`},
		{"base_url", "[agents.a]\nkind = 'openai'\nbase_url = 'hello'", `:3: agents.a.base_url must be a URL such as https://api.openai.com/v1`},
		{"base_url with a password", "[agents.a]\nkind = 'openai'\nbase_url = 'https://me:sk-hidden@example.com'", `:3: agents.a.base_url must not hold a password`},
		{"timeout", "[agents.a]\nkind = 'openai'\ntimeout = '-1s'", `:3: agents.a.timeout must not be negative`},
		{"agent name", "[agents.'a b']\nkind = 'script'", `"a b" cannot be the name of an agent`},
		{"agent is no table", "[agents]\na = 'script'", `:2: agents.a must be a table, not a text`},
		{"default agent", "default_agent = 'b'\n[agents.a]\nkind = 'script'", `there is no agent "b"; the agents are a, script`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := home(t)
			write(t, env, 0o644, tt.text)
			_, err := Load(Source{Env: env})
			if err == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(err.Error()+"\n", tt.want) {
				t.Errorf("%v\nwant: %s", err, tt.want)
			}
			if strings.Contains(err.Error(), "sk-hidden") {
				t.Errorf("a key in an error: %v", err)
			}
		})
	}
}

func TestRefusedElsewhere(t *testing.T) {
	for _, tt := range []struct {
		name  string
		env   string
		flags map[string]any
		want  string
	}{
		{"variable", "SPOOL_LIMITS_MAX_QUEUED=many", nil, `SPOOL_LIMITS_MAX_QUEUED: limits.max_queued must be a whole number, not "many"`},
		{"flag", "", map[string]any{"log.level": "loud"}, `--log-level: log.level must be one of`},
		{"long socket", "SPOOL_SOCKET=/" + strings.Repeat("x", 110), nil, `a Unix socket may have no more than 103`},
		{"named file is missing", "SPOOL_CONFIG=/nowhere/spool.toml", nil, `cannot read the configuration: stat /nowhere/spool.toml`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Load(Source{Env: home(t, tt.env), Flags: tt.flags})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v\nwant: %s", err, tt.want)
			}
		})
	}
	if _, err := Load(Source{Env: Env{}}); err == nil || !strings.Contains(err.Error(), "neither XDG_DATA_HOME nor HOME is set") {
		t.Errorf("without a home: %v", err)
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	env := home(t, "SPOOL_LOG_LEVEL=loud")
	write(t, env, 0o644, "zebra = 1\n[limits]\nmax_queued = -1\n")
	_, err := Load(Source{Env: env})
	if n := strings.Count(err.Error(), "\n") + 1; n != 3 {
		t.Errorf("%d problems, want 3:\n%v", n, err)
	}
}

func TestAgents(t *testing.T) {
	env := home(t, "TEAM_KEY=sk-team")
	write(t, env, 0o600, `
[agents.writer]
kind = "openai"
description = "Writes"
base_url = "http://127.0.0.1:9/v1"
api_key_env = "TEAM_KEY"
model = "m-1"
config = { temperature = 0.5, extra = { top_k = 3 } }
[[agents.writer.modes]]
id = "mail"
tools = ["send"]
[agents.helper]
kind = "script"
[agents.own]
kind = "openai"
api_key = "sk-own"
`)
	c := load(t, env, nil)
	if c.Default != "writer" {
		t.Errorf("the default is %s, not the first of the file", c.Default)
	}
	names := []string{}
	for _, a := range c.Agents {
		names = append(names, a.Name)
	}
	if diff := cmp.Diff([]string{"helper", "own", "script", "writer"}, names); diff != "" {
		t.Error(diff)
	}
	w, own := c.Agents[3], c.Agents[1]
	if w.APIKey != "sk-team" || own.APIKey != "sk-own" || string(w.Config["extra"]) != `{"top_k":3}` || w.Modes[0].ID != "mail" {
		t.Errorf("%+v", w)
	}
	if s := w.APIKey.String() + own.APIKey.GoString(); strings.Contains(s, "sk-") {
		t.Errorf("a key is printed: %s", s)
	}
}

func TestExecAgent(t *testing.T) {
	env := home(t)
	write(t, env, 0o644, `
[agents.mine]
kind = "exec"
command = ["~/bin/agent, mine", "-v"]
dir = "~/work"
env = ["TEAM_KEY"]
plain = true
`)
	a := load(t, env, nil).Agents[0]
	if diff := cmp.Diff([]string{env["HOME"] + "/bin/agent, mine", "-v"}, a.Command); diff != "" {
		t.Error(diff)
	}
	if a.Dir != env["HOME"]+"/work" || !slices.Equal(a.Env, []string{"TEAM_KEY"}) || !a.Plain {
		t.Errorf("%+v", a)
	}
	for text, want := range map[string]string{
		``:                                    "agents.mine has no command; set it to a list",
		`command = "cat"`:                     "agents.mine.command must be a list of texts, such as",
		`command = []`:                        "agents.mine has no command",
		`command = ["cat"]` + "\nplain = 1":   "agents.mine.plain must be true or false",
		`command = ["cat"]` + "\nmodel = 'm'": "agents.mine.model is for agents of kind openai",
		`command = ["cat"]` + "\nenv = ['TEAM_KEY=x']": "agents.mine.env may hold a key, and others may read the file (mode 0644): run chmod 600",
	} {
		write(t, env, 0o644, "[agents.mine]\nkind = 'exec'\n"+text+"\n")
		if _, err := Load(Source{Env: env}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %q", text, err, want)
		}
	}
}

func TestAgentFromTheEnvironment(t *testing.T) {
	c := load(t, home(t, "OPENAI_API_KEY=sk-x", "OPENAI_MODEL=m"), nil)
	if c.Default != "openai" || len(c.Agents) != 2 || c.Agents[0].APIKey != "sk-x" || c.Agents[0].Model != "m" || len(c.Warnings) > 0 {
		t.Errorf("%+v", c)
	}
	c = load(t, home(t, "OPENAI_BASE_URL=http://127.0.0.1:1/v1", "SPOOL_DEFAULT_AGENT=script"), nil)
	if c.Default != "script" || c.Agents[0].BaseURL != "http://127.0.0.1:1/v1" {
		t.Errorf("%+v", c)
	}
}

func TestWarnings(t *testing.T) {
	c := load(t, home(t, "SPOOL_LOG_LEVELS=debug", "SPOOL_OTHER_PEOPLES_THINGS=1"), nil)
	if len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], `did you mean "SPOOL_LOG_LEVEL"?`) {
		t.Errorf("%q", c.Warnings)
	}
	env := home(t)
	write(t, env, 0o644, "[agents.a]\nkind = 'openai'\n")
	if c := load(t, env, nil); len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "agent a has no key: set the variable OPENAI_API_KEY") {
		t.Errorf("%q", c.Warnings)
	}
}

func TestPaths(t *testing.T) {
	env := home(t, "SPOOL_DATA=~/d")
	if c := load(t, env, map[string]any{"socket": "s.sock"}); c.Data != env["HOME"]+"/d" || !filepath.IsAbs(c.Socket) {
		t.Errorf("%s %s", c.Data, c.Socket)
	}
	env = home(t, "XDG_DATA_HOME=relative")
	if c := load(t, env, nil); c.Data != env["HOME"]+"/.local/share/spool" {
		t.Errorf("a relative XDG_DATA_HOME was used: %s", c.Data)
	}
	delete(env, "XDG_RUNTIME_DIR")
	env["TMPDIR"] = "/tmp/x"
	if c := load(t, env, nil); !strings.HasPrefix(c.Socket, "/tmp/x/spool-") {
		t.Errorf("%s", c.Socket)
	}
}

// TestDocumented holds the documentation to the tables.
func TestDocumented(t *testing.T) {
	text, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range Keys() {
		if !strings.Contains(string(text), "`"+k.Name+"`") {
			t.Errorf("docs/configuration.md does not mention `%s`", k.Name)
		}
	}
	for _, k := range AgentKeys() {
		if !strings.Contains(string(text), "`"+k.Name+"`") {
			t.Errorf("docs/configuration.md does not mention `%s` of agents", k.Name)
		}
	}
}

// TestDocumentedExample reads the example of the documentation.
func TestDocumentedExample(t *testing.T) {
	text, err := os.ReadFile("../../../docs/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(text), "```toml\n")
	example, _, ok := strings.Cut(example, "```")
	if !ok {
		t.Fatal("there is no example")
	}
	env := home(t, "WRITER_KEY=sk-x")
	write(t, env, 0o644, example)
	if c := load(t, env, nil); c.Default != "writer" || c.Agents[3].Modes[0].ID != "review" || len(c.Warnings) > 0 {
		t.Errorf("%+v", c)
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"listen", "listn", 1}, {"ab", "ba", 1}, {"kitten", "sitting", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}

func FuzzConfig(f *testing.F) {
	f.Add("listen = ['ws://127.0.0.1:1']\n[limits]\nmax_queued = 3\n[agents.a]\nkind = 'script'\nconfig = {temperature = 1.0}\n")
	f.Add("a.b.c = 1979-05-27\n[[x]]\ny = [1, 'a', {z = nan}]\n")
	f.Add("[agents]\n[[agents.a.modes]]\nid = ''\n[agents.a.config.extra]\nx = inf\n")
	f.Fuzz(func(t *testing.T, text string) {
		root, err := parseFile(text)
		if err != nil {
			return
		}
		env := Env{"HOME": "/home/x"}
		c, err := defaults(env)
		if err != nil {
			t.Fatal(err)
		}
		p := &problems{}
		if err := (&file{path: "f", root: root}).apply(c, p); err != nil {
			return
		}
		if p.err() != nil {
			return
		}
		c.finish(env, p)
		if p.err() == nil && (c.Default == "" || len(c.Agents) == 0 || c.Limits.MaxQueued < 1) {
			t.Errorf("accepted %q as %+v", text, c)
		}
	})
}
