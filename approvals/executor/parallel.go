package executor

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// maxParallel limits the calls that run at the same time.
const maxParallel = 32

// parallel calls do for 0 to n-1 in parallel and returns the first error, after which
// no new call starts.
func parallel(n int, do func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Bool
	var first error
	var once sync.Once
	var wg sync.WaitGroup
	for range min(n, maxParallel) {
		wg.Go(func() {
			for !failed.Load() {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if err := do(i); err != nil {
					once.Do(func() { first = err })
					failed.Store(true)
				}
			}
		})
	}
	wg.Wait()
	return first
}

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
