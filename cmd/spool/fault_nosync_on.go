//go:build spoolfault

package main

import (
	"github.com/rs/zerolog"

	"github.com/spoolhq/spool/cmd/spool/config"
	"github.com/spoolhq/spool/storage"
)

// skipSyncs makes the store acknowledge what is not on the disk yet, if SPOOL_NOSYNC is
// set: the negative control of the tests of power loss.
func skipSyncs(s storage.Store, env config.Env, log zerolog.Logger) {
	if careless, ok := s.(interface{ SkipSyncs() }); ok && env["SPOOL_NOSYNC"] != "" {
		log.Warn().Msg("SPOOL_NOSYNC: what is acknowledged may be lost with the power")
		careless.SkipSyncs()
	}
}
