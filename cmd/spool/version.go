package main

import (
	"cmp"
	"runtime"
	"runtime/debug"

	"github.com/spoolhq/spool/protocol"
)

// build describes the binary.
type build struct {
	Version         string `json:"version"`
	Revision        string `json:"revision,omitempty"`
	ProtocolVersion string `json:"protocolVersion"`
	Go              string `json:"go"`
	Platform        string `json:"platform"`
}

// buildInfo reads what the linker and the go command left in the binary.
func buildInfo() build {
	b := build{
		Version: version, ProtocolVersion: protocol.Version,
		Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH,
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if version == "dev" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version // of go install
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			b.Revision = cmp.Or(b.Revision, s.Value)
		}
	}
	return b
}
