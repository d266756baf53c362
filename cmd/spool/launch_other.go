//go:build !unix

package main

import (
	"context"
	"errors"
	"os"

	"github.com/spoolhq/spool/cmd/spool/config"
)

// startDetached is not offered here.
func startDetached(string, []string, config.Env, *os.File, *os.File) error {
	return errors.New("this system has no way to start it in the background; run spool serve yourself")
}

// lockFile does nothing here: nothing is started that needs it.
func lockFile(context.Context, string) (unlock func(), err error) { return func() {}, nil }

// tryLock makes a file and locks nothing here: the store has a lock of its own.
func tryLock(path string) (*os.File, error) { return os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) }

// makePrivateDir makes a folder.
func makePrivateDir(path string) error { return os.MkdirAll(path, 0o700) }

// checkDir checks nothing here.
func checkDir(string) error { return nil }
