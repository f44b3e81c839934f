// Package thin decides how much of a dense test is run: a few cases of each matrix
// while one works, all of them before it lands.
package thin

import "testing"

// Every thins a matrix of cases that are much alike: of its cases one in so many
// is run. It is n in `make test`, 1 in `make check` (the build tag full), and 10 × n
// with -short. What is left out is logged.
func Every(t testing.TB, n int, cases string) int {
	t.Helper()
	switch {
	case full:
		return 1
	case testing.Short():
		n *= 10
	}
	t.Logf("one in %d of %s; make check runs all of them", n, cases)
	return n
}
