//go:build !unix

package server

import (
	"io"
	"os"
)

// Stdio joins two files, such as os.Stdin and os.Stdout, to one stream for [Lines].
func Stdio(in, out *os.File) io.ReadWriteCloser { return &stdio{in, out} }
