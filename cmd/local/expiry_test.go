package local_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// kindOf is a kind of row: its sort, without its number.
func kindOf(k approvals.Key) string {
	kind, _, _ := strings.Cut(k.Sort, "#")
	return kind
}

// goWith are kinds of rows that are written without an expiry, since something else ends them.
var goWith = map[string]string{
	"request":     "has one once the request has ended and nothing is left to do",
	"plan":        "as the run",
	"snapshot":    "as the run",
	"run":         "has one when its request has",
	"step":        "as the run",
	"audit":       "as the run; of a statement, as its attestation",
	"planner":     "as the run",
	"bucket":      "as the run",
	"report":      "as the run; of an alert it has one",
	"attestation": "has one at once, when its record is complete",
	"hold":        "is deleted with its last holder",
	"lock":        "is deleted when the run ends",
}

// stay are kinds of rows that stay, since there are few of them.
var stay = map[string]string{
	"room":   "one for each channel",
	"outage": "one",
	"member": "one for each account that was entered",
	"hour":   "one for each cap",
	"check":  "one: the bot's row of the daily check",
	"found":  "one: the executor's",
}

// expiring is a table of a test: it fails if a kind of row is written that neither expires nor says why not.
type expiring struct {
	approvals.Store
	t testing.TB
}

func (s expiring) Write(ctx context.Context, puts ...approvals.Put) error {
	for _, p := range puts {
		kind := kindOf(p.Key)
		if p.Expires.IsZero() && !p.Delete && goWith[kind] == "" && stay[kind] == "" {
			s.t.Errorf("the row %s %s never expires: give it an expiry, or say here why not", p.Part, p.Sort)
		}
	}
	return s.Store.Write(ctx, puts...)
}

func (s expiring) Sweep(ctx context.Context, now time.Time) error {
	return s.Store.(interface {
		Sweep(ctx context.Context, now time.Time) error
	}).Sweep(ctx, now)
}

// expire puts [expiring] between the zones and their tables.
func expire(t testing.TB, b local.Backends) local.Backends {
	b.Requests, b.Runs = expiring{b.Requests, t}, expiring{b.Runs, t}
	return b
}

// TestEverythingExpires: of what has ended nothing is left after its time but the few rows that stay.
func TestEverythingExpires(t *testing.T) {
	t.Parallel()
	w, event := exfiltrated(t, finding.Route{Delivery: finding.Auto})
	w.bring("trusted-key", "", event)
	w.pass(time.Minute)
	born := w.born()
	if len(born) != 1 {
		t.Fatalf("%d requests of the alert", len(born))
	}
	w.undo(w.state(born[0], approvals.Contained))
	w.undo(w.contained(command))
	w.asks("U01ALICE", anotherCommand)
	w.pass(time.Hour)
	w.clock.Add(2 * w.cfg.Retention)
	w.zones.Expire(t.Context(), w.clock.Now())
	for name, s := range map[string]approvals.Store{"requests": w.Requests, "runs": w.Runs} {
		parts, err := s.(approvals.Lister).Parts(t.Context(), "")
		w.must(err)
		for _, part := range parts {
			rows, err := s.Rows(t.Context(), part, "", "", 100)
			w.must(err)
			for _, row := range rows {
				if stay[kindOf(row.Key)] == "" {
					t.Errorf("%s: the row %s %s is left", name, row.Part, row.Sort)
				}
			}
		}
	}
}
