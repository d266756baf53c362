//go:build unix

package server

import (
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Stdio joins two files, such as os.Stdin and os.Stdout, to one stream for [Lines]. Pipes
// and sockets are put into non-blocking mode, so that closing the stream ends a Read or a
// Write that waits; the files must not be used otherwise meanwhile.
func Stdio(in, out *os.File) io.ReadWriteCloser {
	return &stdio{interruptible(in), interruptible(out)}
}

// interruptible returns f in a form whose Close ends what waits on it, where there is one.
func interruptible(f *os.File) *os.File {
	info, err := f.Stat()
	if err != nil || info.Mode()&(fs.ModeNamedPipe|fs.ModeSocket) == 0 {
		return f // a file never waits; a terminal is shared with the shell
	}
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return f
	}
	syscall.CloseOnExec(fd)
	if err := syscall.SetNonblock(fd, true); err != nil {
		_ = syscall.Close(fd)
		return f
	}
	return os.NewFile(uintptr(fd), f.Name())
}
