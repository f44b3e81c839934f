// Package local runs all zones of Killswitch in one process: for serve, the demo
// and tests of the whole path.
//
// The three zones have nothing in common but their queues and tables; what a zone
// may not hold it is not given.
//
//	Environment   configuration, secrets, Slack, AWS and the clock: all from outside
//	Backends      two tables and six queues: InMemory, or InFile
//	Zones         ingress, bot and executor, wired by New; Run works until the context ends
//	Pump          takes messages from one queue to a zone; what can't be handled is set aside
package local
