//go:build spoolfault

package bolt

// SkipSyncs makes commits not wait for the disk, so that a loss of power loses what was
// acknowledged. It is the bug that the tests of power loss must find, and exists in
// binaries with the build tag spoolfault only. It must be called before the first commit.
func (s *Store) SkipSyncs() { s.db.NoSync = true }
