//go:build !spoolfault

package bolt

func (s *Store) reach(string, []op) {}

var _ = [...]string{pointPages, pointWritten} // bbolt reaches them
