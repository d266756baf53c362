//go:build !spoolfault

package main

import (
	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/cmd/spool/config"
	"github.com/spoolhq/spool/storage"
)

// withFaults returns the store as it is. Binaries for tests, built with the tag
// spoolfault, can make it fail; see fault_on.go.
func withFaults(s storage.Store, _ config.Env, _ zerolog.Logger) (storage.Store, error) {
	return s, nil
}
