package scenario_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The storage tortures put the data of a daemon on a disk that runs full, breaks, turns
// read-only or loses power. Those that need a disk of their own need the right to mount one,
// and are skipped where that is missing.

// disk is a small file system that is unmounted when the test ends.
type disk struct {
	t       testing.TB
	dir     string // where it is mounted
	ballast string // a file that takes the room
	mounted bool
}

// newDisk mounts a disk in memory.
func newDisk(t testing.TB, size int) *disk {
	t.Helper()
	k := &disk{t: t, dir: t.TempDir()}
	if err := syscall.Mount("tmpfs", k.dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size)); err != nil {
		t.Skipf("cannot mount a small disk: %v", err)
	}
	k.mounted = true
	t.Cleanup(k.unmount)
	k.ballast = filepath.Join(k.dir, "ballast")
	return k
}

// newImage makes an ext4 file system in a file, and mounts it through a loop device.
func newImage(t testing.TB, size int64, options string) (*disk, string) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "image")
	f, err := os.Create(image)
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mkfs.ext4", "-q", "-F", "-m", "0", image).CombinedOutput(); err != nil {
		t.Skipf("cannot make an ext4 file system: %v %s", err, out)
	}
	return mountImage(t, image, options), image
}

// mountImage mounts an image through a loop device.
func mountImage(t testing.TB, image, options string) *disk {
	t.Helper()
	k := &disk{t: t, dir: t.TempDir()}
	k.ballast = filepath.Join(k.dir, "ballast")
	k.mount(image, options)
	t.Cleanup(k.unmount)
	return k
}

// mount mounts an image where the disk is.
func (k *disk) mount(image, options string) {
	k.t.Helper()
	if out, err := exec.Command("mount", "-t", "ext4", "-o", "loop,"+options, image, k.dir).CombinedOutput(); err != nil {
		k.t.Skipf("cannot mount an image through a loop device: %v %s", err, out)
	}
	k.mounted = true
}

// unmount may be repeated.
func (k *disk) unmount() {
	if !k.mounted {
		return
	}
	if out, err := exec.Command("umount", k.dir).CombinedOutput(); err != nil {
		k.t.Errorf("%v: %s", err, out)
	}
	k.mounted = false
}

// data is the option of a daemon that has its data on the disk.
func (k *disk) data() option { return config(fmt.Sprintf("data = %q", k.dir)) }

func (k *disk) free() int {
	k.t.Helper()
	var st syscall.Statfs_t
	if err := syscall.Statfs(k.dir, &st); err != nil {
		k.t.Fatal(err)
	}
	return int(st.Bavail) * int(st.Bsize)
}

// fill takes the room of the disk but for some bytes; 0 is all of it.
func (k *disk) fill(leave int) {
	k.t.Helper()
	f, err := os.OpenFile(k.ballast, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		k.t.Fatal(err)
	}
	defer f.Close()
	for chunk := bytes.Repeat([]byte("full"), 16<<10); len(chunk) > 0; {
		n := min(len(chunk), k.free()-leave)
		if leave == 0 {
			n = len(chunk)
		}
		if n <= 0 {
			return
		}
		if _, err := f.Write(chunk[:n]); errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			k.t.Fatal(err)
		}
	}
}

// clear gives the room back.
func (k *disk) clear() {
	k.t.Helper()
	if err := os.Remove(k.ballast); err != nil {
		k.t.Fatal(err)
	}
}

// remount changes a disk in memory to be read-only, or back.
func (k *disk) remount(readOnly bool) {
	k.t.Helper()
	flags := uintptr(syscall.MS_REMOUNT)
	if readOnly {
		flags |= syscall.MS_RDONLY
	}
	if err := syscall.Mount("tmpfs", k.dir, "tmpfs", flags, ""); err != nil {
		k.t.Fatal(err)
	}
}

// breakIt makes ext4 find an error, after which it is read-only with errors=remount-ro.
func (k *disk) breakIt() {
	k.t.Helper()
	mounts, err := os.ReadFile("/proc/mounts")
	if err != nil {
		k.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 1 && f[1] == k.dir {
			trigger := filepath.Join("/sys/fs/ext4", filepath.Base(f[0]), "trigger_fs_error")
			if err := os.WriteFile(trigger, []byte("a test wants it"), 0); err != nil {
				k.t.Skipf("this system cannot break a file system on purpose: %v", err)
			}
			return
		}
	}
	k.t.Fatalf("%s is not mounted", k.dir)
}

// copySparse copies a file and leaves out what is zero.
func copySparse(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	chunk, zero := make([]byte, 64<<10), make([]byte, 64<<10)
	at := int64(0)
	for {
		n, err := io.ReadFull(in, chunk)
		if n > 0 && !bytes.Equal(chunk[:n], zero[:n]) {
			if _, err := out.WriteAt(chunk[:n], at); err != nil {
				t.Fatal(err)
			}
		}
		at += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := out.Truncate(at); err != nil {
		t.Fatal(err)
	}
}
