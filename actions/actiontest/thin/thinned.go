//go:build !full

package thin

// full is set where every case of every matrix is run.
const full = false
