//go:build !linux

package server

import "net"

// checkPeer relies on the rights of the socket and its folder.
func checkPeer(*net.UnixConn) error { return nil }
