package actions

import (
	"sync"
	"sync/atomic"
)

// Parallel calls do for 0 to n-1, at most atOnce at a time, and returns the first error,
// after which no new call starts.
func Parallel(n, atOnce int, do func(i int) error) error {
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
