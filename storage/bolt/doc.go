// Package bolt keeps conversations durably in one file, with go.etcd.io/bbolt.
//
// # Layout
//
// The file has one bucket for each kind of record, with keys that are put together of
// a thread's ULID and what tells its records apart. So what a thread has lies together
// and in order, a page of a list costs what it holds, and threads that write at the
// same time share pages. See the constants in schema.go. Every record has a CRC-32C,
// which is checked by every read.
//
// # Concurrency properties
//
// Commit puts a batch into a list. One committer at a time takes all that waits, up to
// 4,096 batches or 16 MiB, writes it in one transaction of bbolt and then calls the
// done of each in order, with no lock held. There is no timer: while one transaction
// is on its way to the disk, the next collects. Readers never wait for the committer
// (except while the file is mapped anew, when it has grown by 4 GiB), see whole
// batches only, and copy what they return.
//
// # Failures
//
// After the first failed write the store writes nothing more and every Commit answers
// storage.ErrFailed; it can still be read. Whether the batches of the failed
// transaction are there after the next open is not known, and a reader may see them
// before that. A page that cannot be read, be it damaged or on a failing disk, is
// storage.ErrCorrupt for its reader, not the end of the process. Open refuses a file
// that was cut off, one that ends a crash with a damaged structure, and anything that
// is not a data file.
//
// # Looking after a file
//
// Verify reports all that is wrong with a file, page by page and record by record.
// Backup copies what one read transaction sees while commits go on. Compact and Rebuild
// write a new file beside one that nobody has open, check it and rename it, so that
// there is one whole file at any moment; Rebuild makes the indexes anew (derived.go).
//
// # Start and stop
//
// Close writes the list of free pages, so that the next Open looks at a few pages only.
// After a crash there is no such list, and Open goes through the whole file, once to
// see that it is whole and once, in bbolt, to find the free pages: expect up to a
// second for each GiB. Nothing runs while there is nothing to do.
package bolt
