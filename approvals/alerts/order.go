package alerts

import (
	"cmp"
	"slices"

	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// Of is the account and the source of what an alert shows: those share the room of a channel.
func (a Alert) Of() string {
	f := a.Shown()
	return f.Account + " " + string(f.Source)
}

// Behind is how far an alert stands behind others, whatever severity it claims: Security Hub's
// findings, which any account can import or make, behind those of AWS's own sources; samples,
// mocks and drills behind all.
func Behind(f finding.Finding) int {
	switch {
	case f.Mark != "":
		return 2
	case f.Source == finding.SecurityHub:
		return 1
	}
	return 0
}

// Severe reports whether an alert may reserve its time ahead of others.
func Severe(f finding.Finding) bool { return Behind(f) == 0 && f.Severity >= finding.High }

// Fairly orders alerts for the room of their channel: those that stand behind come last; high
// ones come first, then in turn one of each account and source, the most severe of each first. So
// a storm in one account delays only its own.
func Fairly(as []Alert) {
	type key struct {
		behind, low, turn int
		severity          float64
	}
	type group struct {
		behind, low int
		of          string
	}
	keys, turns := map[string]key{}, map[group]int{}
	bySeverity := slices.Clone(as)
	slices.SortStableFunc(bySeverity, func(x, y Alert) int { return cmp.Compare(y.Shown().Severity, x.Shown().Severity) })
	for _, a := range bySeverity {
		f := a.Shown()
		g := group{behind: Behind(f), of: a.Of()}
		if f.Severity < finding.High {
			g.low = 1
		}
		keys[a.ID] = key{behind: g.behind, low: g.low, turn: turns[g], severity: f.Severity}
		turns[g]++
	}
	slices.SortStableFunc(as, func(x, y Alert) int {
		a, b := keys[x.ID], keys[y.ID]
		return cmp.Or(cmp.Compare(a.behind, b.behind), cmp.Compare(a.low, b.low), cmp.Compare(a.turn, b.turn), cmp.Compare(b.severity, a.severity))
	})
}
