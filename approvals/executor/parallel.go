package executor

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// atOnce is how many calls are under way at a time, at most.
const atOnce = 32

// parallel does n things, some at a time, and returns the first error.
func parallel(n int, do func(i int) error) error {
	var next atomic.Int64
	var failed atomic.Bool
	var first error
	var once sync.Once
	var wg sync.WaitGroup
	for range min(n, atOnce) {
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

// retryTransient does again what AWS can't do just now, for a while.
func (x *Executor) retryTransient(ctx context.Context, until time.Time, do func() error) error {
	for pause := time.Second; ; pause = min(2*pause, maxPause) {
		err := do()
		if !actions.Transient(err) || !x.Now().Add(pause).Before(until) {
			return err
		}
		if err := x.Sleep(ctx, pause); err != nil {
			return err
		}
	}
}
