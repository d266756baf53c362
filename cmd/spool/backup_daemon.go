package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/spoolhq/spool/protocol"
	"github.com/spoolhq/spool/storage"
)

// What the daemon does for server/backup. It alone says where a backup is written, so no
// client can make it write elsewhere.

const (
	backupsName   = "backups"  // folder in that of the data
	partialSuffix = ".partial" // of a backup that is not whole
)

// backUp writes all threads to a new file, which has its name when it is whole and durable.
// The hub asks for one at a time.
func (d *daemon) backUp(ctx context.Context) (protocol.ServerBackupResult, error) {
	var none protocol.ServerBackupResult
	if err := d.roomForBackup(ctx); err != nil {
		return none, err
	}
	dir := filepath.Join(d.config.Data, backupsName)
	if err := makePrivateDir(dir); err != nil {
		return none, d.backupFailed(ctx, err)
	}
	left, _ := filepath.Glob(filepath.Join(dir, "*"+partialSuffix)) // the pattern is right
	for _, path := range left {
		_ = os.Remove(path) // of a daemon that died; the space is not counted on
	}
	path := filepath.Join(dir, "spool-"+time.Now().UTC().Format("20060102T150405.000000")+".db")
	n, err := d.writeBackup(ctx, path+partialSuffix)
	if err == nil {
		err = errors.Join(os.Rename(path+partialSuffix, path), syncDir(dir))
	}
	if err == nil {
		err = ctx.Err() // nobody would fetch it
	}
	if err != nil {
		_, _ = os.Remove(path+partialSuffix), os.Remove(path) // one of them is there, or none
		return none, d.backupFailed(ctx, err)
	}
	d.log.Info().Str("path", path).Int64("bytes", n).Msg("backup written")
	return protocol.ServerBackupResult{Path: path, Bytes: n}, nil
}

func (d *daemon) writeBackup(ctx context.Context, path string) (int64, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return 0, err
	}
	n, err := d.bolt.Backup(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	return n, errors.Join(err, f.Close())
}

// roomForBackup refuses a backup that would take the space that is kept for turns.
func (d *daemon) roomForBackup(ctx context.Context) error {
	need, err := d.bolt.Size(ctx)
	if err != nil {
		return d.backupFailed(ctx, err)
	}
	free, err := d.bolt.Free()
	if err != nil || free-int64(d.config.Limits.DiskReserve) >= need {
		return nil // where it cannot be told, the write will
	}
	e := protocol.Errorf(protocol.CodeStorageUnavailable, "there is not enough space for a backup of %s beside the data: %s are free, of which %s are kept for turns",
		size(need), size(free), size(int64(d.config.Limits.DiskReserve)))
	e.Data.Hint = "free some space, or stop the daemon and take the backup without it: then it is written to its place directly"
	return e
}

// backupFailed says to a client that its backup failed, and keeps the paths in the log.
// One that was taken back, or whose client is gone, did not fail.
func (d *daemon) backupFailed(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*protocol.Error](err); ok || ctx.Err() != nil {
		return err
	}
	d.log.Error().Err(err).Msg("a backup failed")
	e := protocol.Errorf(protocol.CodeStorageUnavailable, "the backup could not be written")
	e.Data.Hint = "the daemon's log says why; the threads are not touched by it"
	if errors.Is(err, storage.ErrFull) {
		e.Data.Hint = "the disk is full; free some space, the threads are not touched by it"
	}
	return e
}
