package local

import (
	"time"

	"github.com/killswitch-chatops/killswitch/approvals/bolt"
	"github.com/killswitch-chatops/killswitch/approvals/memory"
)

// InMemory makes tables and queues that end with the process.
func InMemory(now func() time.Time) Backends {
	return Backends{
		Requests: memory.NewStore(), Runs: memory.NewStore(),
		Slack: memory.NewQueue(now), Alerts: memory.NewQueue(now), Webhooks: memory.NewQueue(now),
		Jobs: memory.NewQueue(now), Checks: memory.NewQueue(now), Changes: memory.NewQueue(now), Cli: memory.NewQueue(now), Dead: memory.NewQueue(now),
	}
}

// InFile makes tables and queues of one file.
func InFile(f *bolt.File, now func() time.Time) (Backends, error) {
	requests, err := f.Store("requests")
	if err != nil {
		return Backends{}, err
	}
	runs, err := f.Store("runs")
	if err != nil {
		return Backends{}, err
	}
	b := Backends{Requests: requests, Runs: runs, Room: &Room{Try: f.Try, Low: f.Low, Now: now}}
	for name, q := range map[string]*Queue{"slack": &b.Slack, "alerts": &b.Alerts, "webhooks": &b.Webhooks, "jobs": &b.Jobs, "checks": &b.Checks, "changes": &b.Changes, "cli": &b.Cli, "dead": &b.Dead} {
		if *q, err = f.Queue(name, now); err != nil {
			return Backends{}, err
		}
	}
	b.Webhooks = forPeople{b.Webhooks, b.Room}
	return b, nil
}
