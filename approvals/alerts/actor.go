package alerts

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// ActorSpan is how long the findings of one actor join one alert, from its first on: by
// when they were seen, and by when they came. A card of an earlier day would hide them.
const ActorSpan = time.Hour

const (
	maxReports = 8  // whole ones in an alert; a row has 400 KB at most
	maxKinds   = 12 // told of one by one
	maxNames   = 40 // of an alert
)

// Kind counts the findings of one source and type that joined an alert, its first ones
// included. Its texts are untrusted.
type Kind struct {
	Source   finding.Source `json:"source"`
	Type     string         `json:"type"` // empty: all others
	N        int            `json:"n"`
	Severity float64        `json:"severity"` // the highest
	Title    string         `json:"title"`    // of the latest
	Last     time.Time      `json:"last"`
}

// Joined is how many findings of one actor the alert has; 0 if it has one, or several
// sources' words of one thing.
func (a Alert) Joined() (n int) {
	for _, k := range a.Kinds {
		n += k.N
	}
	return n
}

// Join adds a new finding of the same actor. If there are too many, the weakest are only
// counted. It reports whether the alert had none of that source and type.
func (a *Alert) Join(r Report) (another bool) {
	if len(a.Kinds) == 0 {
		for _, old := range a.Reports {
			a.count(old)
		}
	}
	f := r.Finding
	another = a.kindOf(f) < 0
	a.count(r)
	a.keep(r)
	for _, name := range f.Names[1:] { // its own leads here without the row: there may be thousands
		if !slices.Contains(a.Names, name) && len(a.Names) < maxNames {
			a.Names = append(a.Names, name)
		}
	}
	return another
}

// kindOf is the index of a finding's kind; -1 if it is not told of by itself.
func (a *Alert) kindOf(f finding.Finding) int {
	return slices.IndexFunc(a.Kinds, func(k Kind) bool { return k.Source == f.Source && k.Type == f.Type })
}

// count counts a report that joins, and keeps the span of all.
func (a *Alert) count(r Report) {
	f := r.Finding
	a.First, a.Last = earliest(earliest(a.First, r.First), Seen(f)), latest(a.Last, Seen(f))
	i := a.kindOf(f)
	if i < 0 && len(a.Kinds) == maxKinds {
		i = slices.IndexFunc(a.Kinds, func(k Kind) bool { return k.Type == "" })
		if i < 0 {
			i = len(a.Kinds) - 1 // the least severe
			a.Kinds[i].Source, a.Kinds[i].Type, a.Kinds[i].Title = "", "", ""
		}
	}
	if i < 0 {
		a.Kinds = append(a.Kinds, Kind{Source: f.Source, Type: f.Type})
		i = len(a.Kinds) - 1
	}
	k := &a.Kinds[i]
	k.N++
	k.Severity = max(k.Severity, f.Severity)
	if !Seen(f).Before(k.Last) {
		k.Last = Seen(f)
		if k.Type != "" {
			k.Title = f.Title
		}
	}
	slices.SortStableFunc(a.Kinds, func(x, y Kind) int {
		return cmp.Or(last(x.Type == "", y.Type == ""), cmp.Compare(y.Severity, x.Severity))
	})
}

// actorRow is the row by which the alert of an actor is found.
type actorRow struct {
	Alert string    `json:"alert"`
	Seen  time.Time `json:"seen"` // its first finding, by its source
	At    time.Time `json:"at"`   // when that came
}

func actorKey(name string) approvals.Key {
	return approvals.Key{Part: "actor#" + nameHash(name), Sort: "actor"}
}

// Actor is the name of an actor, and the version of its row.
type Actor struct {
	name    string
	version int64
}

// ByActor finds the alert that a finding of an actor joins; empty if there is none that
// began within the span.
func (t Table) ByActor(ctx context.Context, name string, f finding.Finding, now time.Time) (id string, as Actor, err error) {
	var row actorRow
	as.name = name
	as.version, err = approvals.Find(ctx, t.Requests.Store, actorKey(name), &row)
	if err != nil || as.version == 0 || Seen(f).Sub(row.Seen).Abs() > ActorSpan || now.Sub(row.At) > ActorSpan {
		return "", as, err
	}
	return row.Alert, as, nil
}

// put is the write by which a finding's actor leads to an alert.
func (w Actor) put(a Alert) approvals.Put {
	seen := a.First
	if seen.IsZero() {
		seen = Seen(a.Reports[0].Finding)
	}
	put := approvals.PutRow(actorKey(w.name), w.version, actorRow{Alert: a.ID, Seen: seen, At: a.Received})
	put.Expires = a.Received.Add(2 * ActorSpan)
	return put
}

// ChangeByJoin is Change for an alert that a finding joins: its own name leads to the alert
// from then on, and so do its actors that lead to none. It returns ErrConflict if its name
// is known by now.
func (t Table) ChangeByJoin(ctx context.Context, id string, f finding.Finding, actors []string, now time.Time, change func(*Alert) error) (Alert, error) {
	return t.change(ctx, id, func(a *Alert) ([]approvals.Put, error) {
		alias, err := t.takeAlias(ctx, f.Own(), a)
		if err != nil {
			return nil, err
		}
		puts := []approvals.Put{alias}
		for _, name := range actors {
			known, as, err := t.ByActor(ctx, name, f, now)
			if err != nil {
				return nil, err
			}
			if known == "" {
				puts = append(puts, as.put(*a))
			}
		}
		return puts, change(a)
	})
}
