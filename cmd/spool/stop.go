package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Times that bound a stop beside those of the configuration.
const (
	agentMargin = 2 * time.Second // for agents after interrupt_grace
	flushTime   = 5 * time.Second // for what waits to be sent
)

// stop ends the daemon in phases: no new connections, a word to the clients, no new turns,
// time for running turns, their cancelling, the last commits, what waits to be sent, the
// connections, the store. When hurry is closed it waits for nothing more that is not a
// commit.
func (d *daemon) stop(drain time.Duration, hurry <-chan struct{}) error {
	var failed []error
	for _, l := range d.listeners {
		failed = append(failed, l.Close())
	}
	d.accepting.Wait()
	d.hub.Announce(time.Now().Add(drain))
	if err := d.stopTurns(drain, hurry); err != nil {
		d.log.Warn().Err(err).Msg("went on without waiting for all agents")
	}
	d.turnsStopped = true
	// The undo of the listeners is repeated; that does nothing.
	return errors.Join(append(failed, d.unwind())...)
}

// stopTurns gives running turns the time of drain, then cancels them and waits for their
// end.
func (d *daemon) stopTurns(drain time.Duration, hurry <-chan struct{}) error {
	grace := d.config.Limits.InterruptGrace + agentMargin
	ctx, cancel := context.WithTimeout(context.Background(), drain+grace)
	defer cancel()
	var watch sync.WaitGroup
	defer watch.Wait()
	done := make(chan struct{})
	defer close(done)
	watch.Go(func() {
		select {
		case <-hurry:
			cancel()
		case <-done:
		}
	})
	err := d.manager.Shutdown(ctx, drain)
	if err == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	// Cut short: the turns are being cancelled, and each still has its end to write.
	last, cancelLast := context.WithTimeout(context.Background(), grace)
	defer cancelLast()
	return d.manager.Shutdown(last, 0)
}

// closeConnections sends what waits and ends all connections.
func (d *daemon) closeConnections() error {
	ctx, cancel := context.WithTimeout(context.Background(), flushTime)
	defer cancel()
	if err := d.hub.Close(ctx); err != nil {
		d.log.Warn().Err(err).Msg("some clients did not take all that was sent to them")
	}
	return nil
}
