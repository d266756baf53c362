package script

import (
	"context"
	"strings"
	"time"
)

const (
	stuckName = "stuck"
	stuckFor  = time.Minute // for so long /stuck ignores everything
)

func sleep(ctx context.Context, _ *run, arg string) error {
	d, err := duration(strings.TrimSpace(arg))
	if err != nil {
		return err
	}
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold takes what is steered into the turn until that is the word release.
func hold(ctx context.Context, r *run, arg string) error {
	if err := noArgs(arg); err != nil {
		return err
	}
	for {
		item, err := r.out.Steer(ctx)
		if err != nil {
			return err
		}
		if strings.TrimSpace(textOf(item)) == "release" {
			return nil
		}
	}
}

// stuck is an agent that does not listen: it never looks at its context.
func stuck(_ context.Context, _ *run, arg string) error {
	if err := noArgs(arg); err != nil {
		return err
	}
	time.Sleep(stuckFor)
	return nil
}

func duration(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		return 0, misuse("needs a time such as 500ms or 2s")
	}
	return d, nil
}

// ticks makes pauses of equal length; the zero value makes none.
type ticks struct{ *time.Ticker }

func pacer(d time.Duration) ticks {
	if d <= 0 {
		return ticks{}
	}
	return ticks{time.NewTicker(d)}
}

func (t ticks) wait(ctx context.Context) {
	if t.Ticker == nil {
		return
	}
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

func (t ticks) stop() {
	if t.Ticker != nil {
		t.Stop()
	}
}
