//go:build !linux

package main

import "github.com/rogpeppe/go-internal/testscript"

// dialog needs a terminal, which is opened differently here; scripts with it ask for linux.
func dialog(ts *testscript.TestScript, _ bool, _ []string) { ts.Fatalf("not here") }
