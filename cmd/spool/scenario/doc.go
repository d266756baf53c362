// Package scenario proves from outside what Spool promises: its tests build the binary,
// run the daemon, speak the protocol with it over every transport, kill it and start it
// again, and compare what each client was told with what the daemon keeps.
//
// Each scenario is one test, named after its number and what it proves, with its variants
// as subtests. The harness is documented at the top of harness_daemon_test.go. There is
// nothing in this package but tests.
package scenario
