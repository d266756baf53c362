package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/spoolhq/spool/cmd/spool/config"
	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/sdk"
	"github.com/spoolhq/spool/storage"
	"github.com/spoolhq/spool/storage/bolt"
)

const backupLong = `Copy all durable threads, as they are at one moment, to the new file DEST. The daemon
goes on meanwhile: all that it acknowledged before is in the copy. Where no daemon runs
the data file is copied, and none is started.

DEST gets its name when it is whole and was checked (pages, checksums, journals without
holes, indexes); what is cut off leaves nothing under that name. To restore a backup,
stop the daemon and put the file in the place of ` + databaseName + ` in the folder of the data.`

// backup is one run of spool backup.
type backup struct {
	config   *config.Config
	dest     string
	force    bool
	noVerify bool
	tmp      string // beside dest; empty: it was removed or has its name
}

func newBackup(a *app) *cobra.Command {
	b := &backup{}
	cmd := &cobra.Command{
		Use:     "backup DEST",
		Short:   "Copy all threads to a file while the daemon runs",
		Long:    backupLong,
		Example: "  spool backup ~/talks.db\n  spool backup --force /mnt/usb/talks.db && spool verify /mnt/usb/talks.db",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			cfg, err := a.config(nil)
			if err != nil {
				return err
			}
			b.config, b.dest = cfg, args[0]
			return ended(ctx, a.backUp(ctx, b))
		},
	}
	f := cmd.Flags()
	f.BoolVar(&b.force, "force", false, "replace DEST if it exists")
	f.BoolVar(&b.noVerify, "no-verify", false, "do not check the copy")
	return cmd
}

func (a *app) backUp(ctx context.Context, b *backup) error {
	if err := b.check(); err != nil {
		return err
	}
	p := a.newProgress("copying")
	defer p.done()
	defer b.cleanUp()
	bytes, err := b.make(ctx, p.add)
	if err != nil {
		return err
	}
	if err := b.place(); err != nil {
		return err
	}
	p.done()
	if a.json {
		return a.printJSON(map[string]any{"file": b.dest, "bytes": bytes, "verified": !b.noVerify})
	}
	checked := "checked"
	if b.noVerify {
		checked = "not checked"
	}
	_, err = fmt.Fprintf(a.out, "%s: %s, %s\n", b.dest, size(bytes), checked)
	return err
}

// check refuses a place where no backup can be, before any work is done.
func (b *backup) check() error {
	dest, err := os.Lstat(b.dest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return b.checkFolder()
	case err != nil:
		return fmt.Errorf("cannot look at %s: %w", b.dest, err)
	case dest.IsDir():
		return usagef("%s is a folder; name a file in it", b.dest)
	case !b.force:
		return b.exists()
	}
	at, err := os.Stat(b.dest)
	if data, dataErr := os.Stat(b.data()); err == nil && dataErr == nil && os.SameFile(at, data) {
		return usagef("%s is the data file itself", b.dest)
	}
	return nil
}

// folder is where the backup is to be.
func (b *backup) folder() string { return filepath.Dir(b.dest) }

func (b *backup) checkFolder() error {
	_, err := os.Stat(b.folder())
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no folder %s to put the backup in; make it, or name a file in another one", b.folder())
	}
	return err
}

func (b *backup) exists() error {
	return fmt.Errorf("%s exists; choose another name, or give --force to replace it", b.dest)
}

// data is the file of the daemon.
func (b *backup) data() string { return filepath.Join(b.config.Data, databaseName) }

// make puts a whole and checked copy beside dest.
func (b *backup) make(ctx context.Context, progress func(int64)) (int64, error) {
	f, err := os.CreateTemp(b.folder(), "."+filepath.Base(b.dest)+".partial-*")
	if err != nil {
		if at, ok := errors.AsType[*fs.PathError](err); ok {
			err = at.Err // of a name that nobody chose
		}
		return 0, fmt.Errorf("cannot write in the folder %s: %w; name a file in another one", b.folder(), err)
	}
	b.tmp = f.Name()
	err = b.fill(ctx, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return 0, err
	}
	st, err := os.Stat(b.tmp)
	if err != nil {
		return 0, err
	}
	if !b.noVerify {
		err = b.verify(ctx, progress)
	}
	return st.Size(), err
}

// fill takes the copy from the daemon, or makes it where none runs.
func (b *backup) fill(ctx context.Context, f *os.File) error {
	l := launcher{config: b.config, noStart: true}
	conn, err := l.dial(ctx)
	switch {
	case notRunning(err):
		return b.copyData(ctx, f)
	case err != nil:
		return &unavailableError{err: fmt.Errorf("cannot reach the daemon: %w", err)}
	}
	made, err := askBackup(ctx, conn)
	if err != nil {
		return err
	}
	if os.Rename(made, b.tmp) == nil {
		return nil
	}
	// It is on another file system.
	return errors.Join(copyFile(ctx, made, f), os.Remove(made))
}

// askBackup has the daemon make a backup, and returns where it is.
func askBackup(ctx context.Context, conn io.ReadWriteCloser) (string, error) {
	c, err := sdk.Pipe(ctx, conn, &sdk.Options{ClientInfo: protocol.ClientInfo{Name: "spool", Version: buildInfo().Version}})
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close() }()
	r, err := c.Server().Backup(ctx)
	if err != nil {
		return "", err
	}
	return r.Path, nil
}

// copyData copies the data file that no daemon has open.
func (b *backup) copyData(ctx context.Context, f *os.File) error {
	if err := mustBeFile(b.data()); err != nil {
		return err
	}
	s, err := bolt.OpenReadOnly(ctx, bolt.Options{Path: b.data()})
	if err != nil {
		if errors.Is(err, storage.ErrLocked) {
			return fmt.Errorf("%s is in use, but no daemon answers on the socket %s: wait until it is ready, or give the --socket that it has", b.data(), b.config.Socket)
		}
		return damagedOr(err)
	}
	_, err = s.Backup(ctx, f)
	return errors.Join(err, s.Close(), f.Sync())
}

func copyFile(ctx context.Context, from string, to *os.File) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	_, err = io.Copy(to, &reader{ctx, f})
	return errors.Join(err, f.Close(), to.Sync())
}

// reader fails when a context has ended.
type reader struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (r *reader) Read(b []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.r.Read(b)
}

// verify checks the copy, but not what the events say.
func (b *backup) verify(ctx context.Context, progress func(int64)) error {
	s, err := bolt.OpenReadOnly(ctx, bolt.Options{Path: b.tmp})
	if err != nil {
		return damagedOr(fmt.Errorf("the copy cannot be opened: %w", err))
	}
	r, err := s.Verify(ctx, progress)
	if err := errors.Join(err, s.Close()); err != nil {
		return err
	}
	if len(r.Problems) > 0 {
		return &damagedError{fmt.Errorf("the copy is damaged, and the data file may be: %s; stop the daemon and run spool verify, or give --no-verify to keep such a copy", r.Problems[0])}
	}
	return nil
}
