package scenario_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/spoolhq/spool/storage/bolt"
)

// A real loss of power, without a machine that loses it: the data is on an ext4 file system
// in an image behind a loop device, mounted so that it commits its own journal by itself
// once in a quarter of an hour only. The daemon is stopped in the middle of its work and
// the image is copied. What was not synced is in the memory of the mounted file system and
// not in the copy, as after a loss of power. The copy is mended with fsck and mounted, and
// another daemon is started on it.

const (
	powerImage  = 128 << 20
	powerMount  = "commit=900"
	powerShort  = 2  // images in the short form
	powerLong   = 12 // and in the long one
	powerTries  = 5  // to lose something, in the short form
	powerInputs = 20 // acknowledged ones before the power goes, at least
)

// stop stops the daemon where it is, and waits until it is.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		d.t.Fatal(err)
	}
	tasks := fmt.Sprintf("/proc/%d/task", d.cmd.Process.Pid)
	awaitTrue(d.t, "that the daemon stands still", func() bool {
		threads, err := os.ReadDir(tasks)
		if err != nil {
			d.t.Fatal(err)
		}
		for _, th := range threads {
			stat, _ := os.ReadFile(filepath.Join(tasks, th.Name(), "stat"))
			if _, state, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(state, "T") {
				return false
			}
		}
		return true
	})
}

// goOn undoes stop.
func (d *daemon) goOn() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		d.t.Fatal(err)
	}
}

// awaitTrue asks now and then until the answer is yes.
func awaitTrue(t testing.TB, what string, yes func() bool) {
	t.Helper()
	tick, limit := time.NewTicker(5*time.Millisecond), time.After(patience)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s does not happen", what)
		}
	}
}

// powerLoss copies the image at a moment of the work, and returns the copy with what was
// acknowledged before that moment. The daemon stands still until goOn.
func powerLoss(t *testing.T, d *daemon, w *writer, image string) (string, []ackedTurn) {
	t.Helper()
	w.await(t, powerInputs+rand.IntN(20))
	d.stop()
	acked := w.known()
	after := filepath.Join(t.TempDir(), "image")
	copySparse(t, image, after)
	return after, acked
}

// mendImage is what a system does when it starts again.
func mendImage(t *testing.T, image string) *disk {
	t.Helper()
	if out, err := exec.Command("fsck.ext4", "-p", image).CombinedOutput(); err != nil {
		t.Logf("fsck.ext4: %v %s", err, out) // it repaired something
	}
	return mountImage(t, image, "rw")
}

// checkPowerLoss starts a daemon on a copy of an image and requires all that was acknowledged.
func checkPowerLoss(t *testing.T, image string, acked []ackedTurn) {
	t.Helper()
	k := mendImage(t, image)
	defer k.unmount()
	d := startDaemon(t, k.data(), config("[limits]\ndisk_reserve = 0"))
	awaitTrue(t, "that the daemon says that it had been cut off", func() bool {
		return strings.Contains(d.stderr.String(), "was not closed properly")
	})
	d.keeps(acked)
	d.Check()
	for _, c := range d.clients {
		c.Close()
	}
	d.Stop()
}

// lostUnsynced returns how much of what was acknowledged a copy of an image has lost. A
// data file that cannot be opened any more has lost all.
func lostUnsynced(t *testing.T, image string, acked []ackedTurn) int {
	t.Helper()
	k := mendImage(t, image)
	defer k.unmount()
	s, err := bolt.Open(t.Context(), bolt.Options{Path: filepath.Join(k.dir, "spool.db")})
	if err != nil {
		t.Logf("the data cannot be used: %.200v", err)
		return len(acked)
	}
	defer s.Close()
	lost := 0
	for _, a := range acked {
		if e, err := s.Turn(t.Context(), a.thread, a.turn); err != nil || a.over && e.Ended == 0 {
			lost++
		}
	}
	return lost
}

// TestTortureStoragePower takes the power from a daemon at work: whatever was acknowledged
// is there when it starts again, the journals have no hole, and it says what happened.
func TestTortureStoragePower(t *testing.T) {
	images := powerShort
	if *tortureLong {
		images = powerLong
	}
	k, image := newImage(t, powerImage, powerMount)
	d := startDaemon(t, k.data(), config("[limits]\ndisk_reserve = 0"))
	w := startWriter(d)
	checked := 0
	for range images {
		after, acked := powerLoss(t, d, w, image)
		checkPowerLoss(t, after, acked)
		checked += len(acked)
		_ = os.Remove(after)
		d.goOn()
	}
	d.Kill()
	w.working.Wait()
	t.Logf("%d images, %d acknowledged inputs looked for in them", images, checked)
}

// TestTortureStoragePowerUnsynced is the negative control: a daemon that does not sync
// must lose something, else the test above proves nothing.
func TestTortureStoragePowerUnsynced(t *testing.T) {
	images, least := powerTries, 1
	if *tortureLong {
		images, least = powerLong, powerLong*2/3
	}
	k, image := newImage(t, powerImage, powerMount)
	d := startDaemon(t, k.data(), config("[limits]\ndisk_reserve = 0"))
	d.Stop()
	d.env = append(d.env, "SPOOL_NOSYNC=1")
	d.Start()
	w := startWriter(d)
	bad := 0
	for n := 0; n < images && (*tortureLong || bad < least); n++ {
		after, acked := powerLoss(t, d, w, image)
		if lost := lostUnsynced(t, after, acked); lost > 0 {
			bad++
			t.Logf("%d of %d acknowledged inputs are lost", lost, len(acked))
		}
		_ = os.Remove(after)
		d.goOn()
	}
	d.Kill()
	w.working.Wait()
	t.Logf("%d of %d images have lost something", bad, images)
	if bad < least {
		t.Errorf("without syncs only %d of %d images have lost something: this is no loss of power", bad, images)
	}
}
