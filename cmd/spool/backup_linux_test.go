package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestBackupFails gives a backup no room, or takes it back: nothing is left of it, neither
// where it was to be nor in the daemon's folder. It needs the right to mount a small disk.
func TestBackupFails(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=8k"); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	td := newTestDaemon(t)
	td.talk(t, "hello")
	a := newApp(nil, os.Stdout, os.Stderr, nil)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	empty := func(what string) {
		t.Helper()
		if entries, err := os.ReadDir(dir); len(entries) > 0 || err != nil {
			t.Errorf("%s: the folder has %v: %v", what, entries, err)
		}
		if list := td.files(t); len(list) > 0 {
			t.Errorf("%s: the daemon's folder has %v", what, list)
		}
	}
	b := func() *backup { return &backup{config: td.d.config, dest: filepath.Join(dir, "talks.db")} }
	if err := a.backUp(t.Context(), b()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a full disk: %v", err)
	}
	empty("a full disk")
	if err := a.backUp(gone, b()); !errors.Is(err, context.Canceled) {
		t.Errorf("taken back: %v", err)
	}
	empty("taken back")
	config := td.d.config
	td.stop(t)
	if err := a.backUp(t.Context(), &backup{config: config, dest: filepath.Join(dir, "talks.db")}); err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("a full disk, without a daemon: %v", err)
	}
	if entries, err := os.ReadDir(dir); len(entries) > 0 || err != nil {
		t.Errorf("the folder has %v: %v", entries, err)
	}
}
