//go:build !(linux || darwin || dragonfly || freebsd || netbsd || openbsd)

package main

import (
	"errors"
	"os"
)

func dropTyped(*os.File) {}

func hideTyped(*os.File) (show func(), err error) {
	return nil, errors.New("this system cannot hide it")
}
