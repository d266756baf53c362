package server

import (
	"fmt"
	"net"
	"os"
	"syscall"
)

// checkPeer refuses a connection of another user who is not root.
func checkPeer(c *net.UnixConn) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var cred *syscall.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if credErr != nil {
		return fmt.Errorf("who connects is not known: %w", credErr)
	}
	return allowUser(cred.Uid, uint32(os.Getuid()))
}

func allowUser(uid, own uint32) error {
	if uid != own && uid != 0 {
		return fmt.Errorf("the user with id %d may not connect", uid)
	}
	return nil
}
