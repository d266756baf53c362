package scenario_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// refusesToStart runs a daemon on a folder of data, which it must refuse for a reason.
func refusesToStart(t *testing.T, data, reason string) {
	t.Helper()
	home := t.TempDir()
	ctx, cancel := withTimeout()
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, "serve", "--data", data, "--socket", filepath.Join(home, "s"))
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + home}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	err := cmd.Run()
	said := stderr.String()
	if err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("it ended with %v (%v), and said %s", cmd.ProcessState, err, said)
	}
	for _, part := range []string{data, reason, "or choose other data with --data"} {
		if !strings.Contains(said, part) {
			t.Errorf("it does not say %q: %s", part, said)
		}
	}
}

// TestTortureStorageReadOnlyStart starts a daemon on data that it may not write.
func TestTortureStorageReadOnlyStart(t *testing.T) {
	readOnly := func(t *testing.T) (dir, reason string, set func(bool)) {
		if os.Geteuid() == 0 { // who may write anywhere but on a disk that is read-only
			k := newDisk(t, 48<<20)
			return k.dir, "read-only file system", k.remount
		}
		dir = t.TempDir()
		return dir, "permission denied", func(readOnly bool) { setModes(t, dir, readOnly) }
	}
	t.Run("without a file", func(t *testing.T) {
		dir, reason, set := readOnly(t)
		set(true)
		defer set(false)
		refusesToStart(t, dir, reason)
	})
	t.Run("with a file", func(t *testing.T) {
		dir, reason, set := readOnly(t)
		d := startDaemon(t, config(fmt.Sprintf("data = %q\n[limits]\ndisk_reserve = 0", dir)))
		c := d.Dial("unix")
		thr := c.StartThread(nil)
		c.End(thr, c.Run(thr, "/say kept"))
		d.Stop()
		set(true)
		refusesToStart(t, dir, reason)
		set(false)
		d.Start()
		d.readable(thr, 1)
	})
}

// setModes takes the right to write from a folder and what is in it, or gives it back.
func setModes(t *testing.T, dir string, readOnly bool) {
	t.Helper()
	folder, file := os.FileMode(0o700), os.FileMode(0o600)
	if readOnly {
		folder, file = 0o500, 0o400
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if err := os.Chmod(filepath.Join(dir, f.Name()), file); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, folder); err != nil {
		t.Fatal(err)
	}
}

// TestTortureStorageModesTaken takes the right to write from the data of a running daemon,
// which has its file open and does not care.
func TestTortureStorageModesTaken(t *testing.T) {
	d := startDaemon(t)
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	data := filepath.Join(d.dir, "data", "spool")
	setModes(t, data, true)
	for range 5 {
		c.End(thr, c.Run(thr, "/deltas 50 1000\n/say kept"))
	}
	setModes(t, data, false)
	d.Restart()
	d.readable(thr, 5)
}

// TestTortureStorageTurnsReadOnly makes the disk of a running daemon read-only, as ext4
// does when it finds damage: nothing more is acknowledged, all can be read, and when the
// disk is mended all that was acknowledged is there.
func TestTortureStorageTurnsReadOnly(t *testing.T) {
	k, image := newImage(t, 96<<20, "errors=remount-ro")
	d := startDaemon(t, k.data())
	c := d.Dial("unix")
	thr := c.StartThread(nil)
	turns := 0
	for range 5 {
		c.End(thr, c.Run(thr, "/deltas 50 1000\n/say kept"))
		turns++
	}
	k.breakIt()
	turns += c.untilUnavailable("turn/run", p{"threadId": thr, "input": "/say more", "wait": true})
	for method, params := range map[string]p{
		"turn/run":            {"threadId": thr, "input": "x"},
		"thread/start":        {},
		"thread/rename":       {"threadId": thr, "title": "never"},
		"thread/items/append": {"threadId": thr, "input": "x"},
		"thread/delete":       {"threadId": thr},
	} {
		c.unavailable(method, params)
	}
	if now := d.Dial("ws").ReadAll(thr); len(now.List("turns")) < turns {
		t.Errorf("%d turns are read; %d were acknowledged", len(now.List("turns")), turns)
	}
	d.Kill()
	k.unmount()
	if out, err := exec.Command("fsck.ext4", "-f", "-y", image).CombinedOutput(); err != nil {
		t.Logf("fsck.ext4: %v %s", err, out) // it repaired something
	}
	k.mount(image, "errors=remount-ro")
	d.Start()
	n := len(d.Dial("unix").ReadAll(thr).List("turns"))
	if n < turns || n > turns+1 {
		t.Errorf("%d turns are there; %d were acknowledged", n, turns)
	}
	d.readable(thr, n)
	d.Check()
	d.Stop()
}
