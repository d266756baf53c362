package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spoolhq/spool/server"
)

// Key is a row of the table of settings.
type Key struct {
	Name string // in the file, with dots
	Env  string // the variable that sets it
	Doc  string
	// field returns where the value goes: *string, *[]string, *int, *Bytes, *time.Duration.
	field  func(*Config) any
	values []string                // those that are allowed; nil: any
	zero   bool                    // zero is allowed, and means what Doc says
	each   func(text string) error // refuses a text of a list
}

// Keys lists all settings but those of agents, in the order of the documentation.
func Keys() []Key { return slices.Clone(keys) }

var keys = table([]Key{
	{Name: "data", Doc: "folder of the data", field: func(c *Config) any { return &c.Data }},
	{Name: "socket", Doc: "path of the Unix socket", field: func(c *Config) any { return &c.Socket }},
	{Name: "listen", Doc: "further addresses to listen on, such as ws://127.0.0.1:7717", field: func(c *Config) any { return &c.Listen }, each: server.CheckAddress},
	{Name: "origins", Doc: "origins of web pages that may connect, such as https://app.example.com", field: func(c *Config) any { return &c.Origins }, each: server.CheckOrigin},
	{Name: "default_agent", Doc: "agent of threads that name none", field: func(c *Config) any { return &c.Default }},
	{Name: "log.level", Doc: "what is logged", field: func(c *Config) any { return &c.Log.Level }, values: []string{"trace", "debug", "info", "warn", "error", "off"}},
	{Name: "log.format", Doc: "how it is logged; auto is console on a terminal, else json", field: func(c *Config) any { return &c.Log.Format }, values: []string{"auto", "console", "json"}},

	{Name: "limits.max_message_bytes", Doc: "longest message on every transport", field: func(c *Config) any { return &c.Limits.MaxMessageBytes }},
	{Name: "limits.max_item_bytes", Doc: "most that one item holds, as it is written; at most a quarter of a message", field: func(c *Config) any { return &c.Limits.MaxItemBytes }},
	{Name: "limits.max_queued", Doc: "waiting turns of one thread", field: func(c *Config) any { return &c.Limits.MaxQueued }},
	{Name: "limits.max_connections", Doc: "connections at once", field: func(c *Config) any { return &c.Limits.MaxConnections }},
	{Name: "limits.max_newcomers", Doc: "connections at once that have not said initialize; beyond it the oldest of them is closed", field: func(c *Config) any { return &c.Limits.MaxNewcomers }},
	{Name: "limits.handshake_timeout", Doc: "time a connection has to say initialize", field: func(c *Config) any { return &c.Limits.HandshakeTimeout }},
	{Name: "limits.max_in_flight", Doc: "requests of one connection in work; more are not read", field: func(c *Config) any { return &c.Limits.MaxInFlight }},
	{Name: "limits.max_parked", Doc: "requests of one connection that wait for a turn", field: func(c *Config) any { return &c.Limits.MaxParked }},
	{Name: "limits.outbox_bytes", Doc: "what waits to be sent to one connection before it counts as slow", field: func(c *Config) any { return &c.Limits.OutboxBytes }},
	{Name: "limits.interrupt_grace", Doc: "time an interrupted agent has to return", field: func(c *Config) any { return &c.Limits.InterruptGrace }},
	{Name: "limits.drain_timeout", Doc: "time running turns have when the daemon stops", field: func(c *Config) any { return &c.Limits.DrainTimeout }, zero: true},
	{Name: "limits.slow_consumer_timeout", Doc: "time until a client that takes nothing is closed", field: func(c *Config) any { return &c.Limits.SlowConsumerTimeout }},
	{Name: "limits.ping_interval", Doc: "time between two pings of a WebSocket", field: func(c *Config) any { return &c.Limits.PingInterval }},
	{Name: "limits.idle_unload", Doc: "time until an idle thread leaves memory", field: func(c *Config) any { return &c.Limits.IdleUnload }},
	{Name: "limits.key_retention", Doc: "time idempotency keys are kept, at least 24h", field: func(c *Config) any { return &c.Limits.KeyRetention }},
	{Name: "limits.checkpoint_bytes", Doc: "text between two checkpoints of an item in progress", field: func(c *Config) any { return &c.Limits.CheckpointBytes }},
	{Name: "limits.checkpoint_interval", Doc: "longest time between them", field: func(c *Config) any { return &c.Limits.CheckpointInterval }},
	{Name: "limits.disk_reserve", Doc: "free space below which nothing new is taken: threads, turns, items; 0 switches that off", field: func(c *Config) any { return &c.Limits.DiskReserve }, zero: true},
})

// table fills in the names of the variables.
func table(rows []Key) []Key {
	for i := range rows {
		rows[i].Env = "SPOOL_" + strings.ToUpper(strings.ReplaceAll(rows[i].Name, ".", "_"))
	}
	return rows
}

// flagName is how a key is written as a flag.
func flagName(key string) string {
	return strings.NewReplacer(".", "-", "_", "-").Replace(key)
}

func findKey(name string) (Key, bool) {
	i := slices.IndexFunc(keys, func(k Key) bool { return k.Name == name })
	if i < 0 {
		return Key{}, false
	}
	return keys[i], true
}

// set puts a value from the place where into the setting of that name.
func (c *Config) set(p *problems, where, name string, value any) {
	k, ok := findKey(name)
	if !ok {
		p.add(where, "there is no setting %q", name)
		return
	}
	if err := assign(k.field(c), value); err != nil {
		p.add(where, "%s %w", name, err)
		return
	}
	if err := k.check(c); err != nil {
		p.add(where, "%s %w", name, err)
	}
}

// check refuses values that the type allows and the key does not.
func (k Key) check(c *Config) error {
	switch v := k.field(c).(type) {
	case *string:
		if k.values != nil && !slices.Contains(k.values, *v) {
			return fmt.Errorf("must be one of %s, not %q%s", strings.Join(k.values, ", "), *v, didYouMean(*v, k.values))
		}
		if *v == "" {
			return fmt.Errorf("must not be empty")
		}
	case *[]string:
		return k.checkEach(*v)
	case *int:
		return k.positive(int64(*v), "1")
	case *Bytes:
		return k.positive(int64(*v), "1")
	case *time.Duration:
		if k.Name == "limits.key_retention" && *v < 24*time.Hour {
			return fmt.Errorf("must be at least 24h, because clients may repeat a request for that long")
		}
		return k.positive(v.Milliseconds(), "1ms")
	}
	return nil
}

func (k Key) checkEach(list []string) error {
	for _, text := range list {
		if err := k.each(text); err != nil {
			return fmt.Errorf("has %q: %w", text, err)
		}
	}
	return nil
}

func (k Key) positive(v int64, least string) error {
	if v > 0 || v == 0 && k.zero {
		return nil
	}
	if k.zero {
		least = "0"
	}
	return fmt.Errorf("must be at least %s", least)
}

// assign puts value, of the types that TOML has or a string, into the field.
func assign(field, value any) error {
	switch f := field.(type) {
	case *string:
		return assignString(f, value)
	case *[]string:
		return assignList(f, value)
	case *words:
		return assignWords(f, value)
	case *bool:
		return assignBool(f, value)
	case *map[string]string:
		return assignTexts(f, value)
	case *int:
		return assignNumber(f, value)
	case *Bytes:
		return assignBytes(f, value)
	case *time.Duration:
		return assignDuration(f, value)
	}
	panic(fmt.Sprintf("config: a field of type %T", field))
}

func assignString(f *string, value any) error {
	s, ok := value.(string)
	if !ok {
		return wrongType("a text", value)
	}
	*f = s
	return nil
}

func assignList(f *[]string, value any) error {
	switch v := value.(type) {
	case string:
		*f = nil
		for s := range strings.SplitSeq(v, ",") {
			if s = strings.TrimSpace(s); s != "" {
				*f = append(*f, s)
			}
		}
	case []string:
		*f = v
	case []any:
		list := make([]string, len(v))
		for i, e := range v {
			s, ok := e.(string)
			if !ok {
				return wrongType("a list of texts", value)
			}
			list[i] = s
		}
		*f = list
	default:
		return wrongType("a list of texts", value)
	}
	return nil
}

func assignTexts(f *map[string]string, value any) error {
	table, ok := value.(map[string]any)
	if !ok {
		return wrongType("a table of texts", value)
	}
	texts := make(map[string]string, len(table))
	for name, v := range table {
		if texts[name], ok = v.(string); !ok {
			return wrongType("a table of texts", v)
		}
	}
	*f = texts
	return nil
}

func assignBool(f *bool, value any) error {
	b, ok := value.(bool)
	if !ok {
		return wrongType("true or false", value)
	}
	*f = b
	return nil
}

func assignNumber(f *int, value any) error {
	switch v := value.(type) {
	case int64:
		*f = int(v)
	case string:
		n, err := strconv.Atoi(v)
		if err != nil {
			return fmt.Errorf("must be a whole number, not %q", v)
		}
		*f = n
	default:
		return wrongType("a whole number", value)
	}
	return nil
}

func assignDuration(f *time.Duration, value any) error {
	s, ok := value.(string)
	if !ok {
		return wrongType(`a duration such as "5s" or "1h30m"`, value)
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return fmt.Errorf(`must be a duration such as "5s" or "1h30m", not %q`, s)
	}
	*f = d
	return nil
}

func assignBytes(f *Bytes, value any) error {
	switch v := value.(type) {
	case int64:
		*f = Bytes(v)
		return nil
	case string:
		n, ok := parseBytes(v)
		if !ok {
			return fmt.Errorf(`must be a number of bytes or a size such as "16MiB", not %q`, v)
		}
		*f = n
		return nil
	}
	return wrongType(`a number of bytes or a size such as "16MiB"`, value)
}

// parseBytes reads a number with an optional unit: B, KiB, MiB, GiB, kB, MB, GB.
func parseBytes(s string) (Bytes, bool) {
	i := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' })
	if i < 0 {
		i = len(s)
	}
	n, err := strconv.ParseInt(s[:i], 10, 64)
	unit, ok := map[string]int64{
		"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9,
	}[strings.TrimSpace(s[i:])]
	if err != nil || !ok || n > (1<<62)/unit {
		return 0, false
	}
	return Bytes(n * unit), true
}

// wrongType says what was expected and what is there.
func wrongType(want string, value any) error {
	return fmt.Errorf("must be %s, not %s", want, typeName(value))
}

func typeName(value any) string {
	switch value.(type) {
	case string:
		return "a text"
	case int64:
		return "a whole number"
	case float64:
		return "a number with a point"
	case bool:
		return "true or false"
	case time.Time:
		return "a date"
	case []any:
		return "a list"
	case map[string]any, []map[string]any:
		return "a table"
	default:
		return fmt.Sprintf("a %T", value)
	}
}
