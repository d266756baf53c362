package main

import (
	"io"
	"time"

	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/cmd/spool/config"
)

// newLogger returns the log of a daemon: lines for people on a terminal, else JSON.
func (a *app) newLogger(c config.Log) zerolog.Logger {
	level, err := zerolog.ParseLevel(c.Level)
	if err != nil || c.Level == "off" {
		level = zerolog.Disabled
	}
	out := a.err
	if c.Format == "console" || c.Format == "auto" && isTerminal(a.err) && !a.json {
		out = consoleWriter(a.err, !bool(a.paintErr()))
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger()
}

func consoleWriter(out io.Writer, noColor bool) io.Writer {
	return zerolog.ConsoleWriter{Out: out, NoColor: noColor, TimeFormat: time.TimeOnly}
}
