//go:build !linux && !darwin && !freebsd

package server

// lockFolder does without here.
func lockFolder(string) (unlock func()) { return func() {} }
