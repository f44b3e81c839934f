package executor

import (
	"context"
	"errors"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// maxParallel limits the calls that run at the same time.
const maxParallel = 32

// retryTransient calls do until it returns something else than a transient error, or
// until the time is over.
func (x *Executor) retryTransient(ctx context.Context, until time.Time, do func() error) error {
	return x.retryPages(ctx, until, func(*actions.MorePages) error { return nil }, do)
}

// retryPages is retryTransient for calls that may read a long listing. After each page it
// calls page, and goes on for pageWithin at least.
func (x *Executor) retryPages(ctx context.Context, until time.Time, page func(*actions.MorePages) error, do func() error) error {
	for pause := time.Second; ; pause = min(2*pause, maxPause) {
		err := do()
		if more, ok := errors.AsType[*actions.MorePages](err); ok {
			if err := page(more); err != nil {
				return err
			}
			if next := x.Now().Add(pageWithin); until.Before(next) {
				until = next
			}
			pause = time.Second / 2
			continue
		}
		if !actions.Transient(err) || !x.Now().Add(pause).Before(until) {
			return err
		}
		if err := x.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}
