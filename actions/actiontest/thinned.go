//go:build !full

package actiontest

// full is set where every case of every matrix is run.
const full = false
