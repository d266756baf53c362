// Package config finds out what a user has set. A setting comes from a flag, else from a
// SPOOL_… variable of the environment, else from the TOML file, else it has its default.
//
// All settings but those of agents are rows of one table ([Keys]), which is also what the
// documentation is checked against. Nothing is ignored silently: a key that is not in the
// table is refused with its place in the file and the nearest name that exists.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"time"
)

// Config is what a daemon, or a command that looks for one, is told.
type Config struct {
	File    string // the file that was read; empty: there is none
	Data    string // folder of the data, absolute
	Socket  string // path of the Unix socket, absolute
	State   string // folder of the log of a daemon that was started in the background, absolute
	Listen  []string
	Origins []string // of web pages that may connect
	Log     Log
	Limits  Limits
	Agents  []Agent // by name; at least one
	Default string  // name of the agent of threads that name none
	// Warnings are for the log: things that look like mistakes but stop nothing.
	Warnings []string
}

// Log says what is logged and how.
type Log struct {
	Level  string // trace, debug, info, warn, error, off
	Format string // auto, console, json
}

// Limits are the bounds of the daemon.
type Limits struct {
	MaxMessageBytes     Bytes
	MaxItemBytes        Bytes
	MaxQueued           int
	MaxConnections      int
	MaxNewcomers        int
	HandshakeTimeout    time.Duration
	MaxInFlight         int
	MaxParked           int
	OutboxBytes         Bytes
	InterruptGrace      time.Duration
	DrainTimeout        time.Duration
	SlowConsumerTimeout time.Duration
	PingInterval        time.Duration
	IdleUnload          time.Duration
	KeyRetention        time.Duration
	CheckpointBytes     Bytes
	CheckpointInterval  time.Duration
	DiskReserve         Bytes
}

// Bytes is a size. In the file it is a number of bytes or a text such as "16MiB".
type Bytes int64

// Source is where settings are looked for.
type Source struct {
	// File is the --config flag. A file that is named and missing is an error.
	File string
	// Env is the environment.
	Env Env
	// Flags are those that were given, by the name of the key.
	Flags map[string]any
}

// Load reads all sources. Its error is for people and lists everything that is wrong, one
// problem a line.
func Load(src Source) (*Config, error) {
	c, err := defaults(src.Env)
	if err != nil {
		return nil, err
	}
	p := &problems{}
	if err := c.readFile(src, p); err != nil {
		return nil, err
	}
	c.readEnv(src.Env, p)
	for _, name := range slices.Sorted(maps.Keys(src.Flags)) {
		c.set(p, "--"+flagName(name), name, src.Flags[name])
	}
	c.finish(src.Env, p)
	if err := p.err(); err != nil {
		return nil, err
	}
	return c, nil
}

// readFile reads the file, if there is one.
func (c *Config) readFile(src Source, p *problems) error {
	path, named := src.File, true
	if path == "" {
		path = src.Env["SPOOL_CONFIG"]
	}
	if path == "" {
		dir, err := src.Env.home("XDG_CONFIG_HOME", ".config")
		if err != nil {
			return nil //nolint:nilerr // without a home there is no file to read
		}
		path, named = dir+"/spool/config.toml", false
	}
	path, err := absolute(path, src.Env)
	if err != nil {
		return err
	}
	f, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) && !named {
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read the configuration: %w", err)
	}
	c.File = path
	return f.apply(c, p)
}

// minMessageBytes is the least that messages must have room for: a 16th of it is for what an
// event has besides content, such as the error of a turn.
const minMessageBytes = 1 << 20

// bytesOfQueued is what a message must have for each turn of a queue: the id of the turn, and of
// one that was steered, and may be put before all others.
const bytesOfQueued = 128

// finish makes paths absolute, completes the agents and checks what needs more than one
// setting.
func (c *Config) finish(env Env, p *problems) {
	for _, path := range []*string{&c.Data, &c.Socket, &c.State} {
		abs, err := absolute(*path, env)
		if err != nil {
			p.add("", "%v", err)
		}
		*path = abs
	}
	if n := len(c.Socket); n > maxSocketPath {
		p.add("socket", "the path %s has %d bytes, and a Unix socket may have no more than %d; set a shorter one with --socket", c.Socket, n, maxSocketPath)
	}
	c.finishAgents(env, p)
	l := &c.Limits
	if l.MaxMessageBytes < minMessageBytes {
		p.add("limits.max_message_bytes", "must be at least 1MiB, so that the events of a turn have room")
	}
	if l.MaxItemBytes > l.MaxMessageBytes/4 {
		p.add("limits.max_item_bytes", "must be at most a quarter of limits.max_message_bytes (%d), because an item travels in messages, together with others", l.MaxMessageBytes)
	}
	if most := int(l.MaxMessageBytes / bytesOfQueued); l.MaxQueued > most {
		p.add("limits.max_queued", "must be at most %d, a 128th of limits.max_message_bytes, because a message names all turns that wait", most)
	}
}

func defaults(env Env) (*Config, error) {
	data, err := env.home("XDG_DATA_HOME", ".local/share")
	if err != nil && env["SPOOL_DATA"] == "" {
		return nil, fmt.Errorf("where shall the data be? %w", err)
	}
	state, err := env.home("XDG_STATE_HOME", ".local/state")
	if err != nil {
		state = data
	}
	return &Config{
		Data:   data + "/spool",
		Socket: env.runtimeDir() + "/spool.sock",
		State:  state + "/spool",
		Log:    Log{Level: "info", Format: "auto"},
		Limits: Limits{
			MaxMessageBytes:     16 << 20,
			MaxItemBytes:        4 << 20,
			MaxQueued:           1000,
			MaxConnections:      4096,
			MaxNewcomers:        1024,
			HandshakeTimeout:    30 * time.Second,
			MaxInFlight:         64,
			MaxParked:           1024,
			OutboxBytes:         1 << 20,
			InterruptGrace:      5 * time.Second,
			DrainTimeout:        10 * time.Second,
			SlowConsumerTimeout: 30 * time.Second,
			PingInterval:        30 * time.Second,
			IdleUnload:          5 * time.Minute,
			KeyRetention:        48 * time.Hour,
			CheckpointBytes:     64 << 10,
			CheckpointInterval:  500 * time.Millisecond,
			DiskReserve:         64 << 20,
		},
	}, nil
}

// problems collects what is wrong.
type problems struct{ list []error }

// add notes a problem; where is the file and line, the variable, the flag or the key.
func (p *problems) add(where, format string, args ...any) {
	err := fmt.Errorf(format, args...)
	if where != "" {
		err = fmt.Errorf("%s: %w", where, err)
	}
	p.list = append(p.list, err)
}

func (p *problems) err() error { return errors.Join(p.list...) }
