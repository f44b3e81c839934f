package alerts

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// Report is the latest finding of one source under one name.
type Report struct {
	Finding  finding.Finding `json:"finding"`
	Event    string          `json:"event"` // key of the event's evidence
	Received time.Time       `json:"received"`

	// The most of all its findings: a late one takes nothing back.
	Severity float64   `json:"severity"`
	Count    int       `json:"count"`
	First    time.Time `json:"first,omitzero"`
	Last     time.Time `json:"last,omitzero"`
}

// NewReport makes the report of a finding that was read from an event.
func NewReport(f finding.Finding, event string, received time.Time) Report {
	return Report{Finding: f, Event: event, Received: received, Severity: f.Severity, Count: f.Count, First: f.First.UTC(), Last: f.Last.UTC()}
}

// AddReport adds a report to an alert, or merges it with the earlier one of the same
// finding. It returns false if it says nothing new, or less than all of those that are kept.
func (a *Alert) AddReport(r Report) bool {
	if !a.keep(r) {
		return false
	}
	a.addNames(r.Finding)
	return true
}

// keep is AddReport without the finding's names.
func (a *Alert) keep(r Report) bool {
	i := slices.IndexFunc(a.Reports, func(old Report) bool { return old.Finding.Same(r.Finding) })
	if i < 0 {
		a.Reports = append(a.Reports, r)
	} else {
		merged, changed := merge(a.Reports[i], r)
		if !changed {
			return false
		}
		a.Reports[i] = merged
	}
	slices.SortStableFunc(a.Reports, compare)
	if len(a.Reports) > maxReports {
		weakest := a.dropWeakest()
		if weakest.Finding.Same(r.Finding) {
			return false
		}
	}
	// Reports that are over come last. Of what is counted alone nobody knows that it is.
	a.Over = a.Reports[0].Finding.Over && a.Joined() <= len(a.Reports)
	return true
}

// dropWeakest drops the weakest report of a source that has another one: there are fewer sources
// than reports.
func (a *Alert) dropWeakest() Report {
	last := len(a.Reports) - 1
	for i := last; i >= 0; i-- {
		of := func(r Report) bool { return r.Finding.Source == a.Reports[i].Finding.Source }
		if slices.IndexFunc(a.Reports, of) != i {
			last = i
			break
		}
	}
	weakest := a.Reports[last]
	a.Reports = slices.Delete(slices.Clone(a.Reports), last, last+1)
	return weakest
}

// addNames adds a finding's names; its own in any case.
func (a *Alert) addNames(f finding.Finding) {
	for _, name := range f.Names {
		if !slices.Contains(a.Names, name) && (len(a.Names) < maxNames || name == f.Own()) {
			a.Names = append(a.Names, name)
		}
	}
}

// merge returns the newer of two reports of the same finding, in whatever order they
// came, with the most that either says.
func merge(old, in Report) (out Report, changed bool) {
	out = old
	if replaces(old, in) {
		out, changed = in, true
	}
	out.Severity, out.Count = max(old.Severity, in.Severity), max(old.Count, in.Count)
	out.First, out.Last = earliest(old.First, in.First), latest(old.Last, in.Last)
	changed = changed || out.Severity != old.Severity || out.Count != old.Count || !out.First.Equal(old.First) || !out.Last.Equal(old.Last)
	return out, changed
}

// replaces reports whether in takes the place of old: if its source wrote it later, or
// at the same time and it says more. The same text in another envelope does not.
func replaces(old, in Report) bool {
	if f := old.fromFuture(); f != in.fromFuture() {
		return f // else an event of the year 9999 would make all that follow it late
	}
	was, is := old.text(), in.text()
	return cmp.Or(in.Finding.Updated.Compare(old.Finding.Updated), cmp.Compare(len(is), len(was)), bytes.Compare(is, was)) > 0
}

// fromFuture reports whether its source's timestamp is after its receipt.
func (r Report) fromFuture() bool {
	return r.Finding.Updated.After(r.Received.Add(approvals.ClockSkew))
}

// text is the whole finding without the ID of its envelope.
func (r Report) text() []byte {
	f := r.Finding
	f.EventID = ""
	text, err := json.Marshal(f)
	if err != nil {
		panic(err) // it is of our own types
	}
	return text
}

// compare orders reports for the card, which shows the first: reports that are over come
// last, a copy in Security Hub comes after the finding itself, then by severity and by how much
// can be contained.
func compare(a, b Report) int {
	x, y := a.Finding, b.Finding
	return cmp.Or(
		last(x.Over, y.Over),
		last(x.Source == finding.SecurityHub, y.Source == finding.SecurityHub),
		cmp.Compare(b.Severity, a.Severity),
		cmp.Compare(len(y.Containments), len(x.Containments)), // what was made is contained beside who made it
		strings.Compare(string(x.Source)+x.Own(), string(y.Source)+y.Own()),
	)
}

// last orders what something is true of behind the rest.
func last(x, y bool) int {
	switch {
	case x == y:
		return 0
	case x:
		return 1
	}
	return -1
}

// Shown is the finding that the alert's card shows, with the span and the number of all that
// joined it.
func (a Alert) Shown() finding.Finding {
	f := Shown(a.Reports)
	if n := a.Joined(); n > 0 {
		f.First, f.Last, f.Count, f.Over = earliest(f.First, a.First), latest(f.Last, a.Last), max(f.Count, n), a.Over
	}
	return f
}

// Shown is the finding that a card shows of reports: the first one's, with the most
// that any of them says, of those that are over only if the first one is.
func Shown(reports []Report) finding.Finding {
	f := reports[0].Finding
	for _, r := range reports {
		if r.Finding.Over == f.Over {
			f.Severity, f.Count = max(f.Severity, r.Severity), max(f.Count, r.Count)
			f.First, f.Last = earliest(f.First, r.First), latest(f.Last, r.Last)
		}
	}
	return f
}

// earliest ignores times that are missing.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
