package alerts

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// State is the state that people give an alert.
type State string

// The states of an alert.
const (
	Open          State = "open"
	Acknowledged  State = "acknowledged"
	Snoozed       State = "snoozed"
	FalsePositive State = "false_positive"
)

// Alert is something that was reported, perhaps by several sources and many times: a
// row of the table requests.
type Alert struct {
	ID       string   `json:"id"` // AL-…
	Version  int64    `json:"-"`
	Revision int64    `json:"revision"` // counts what the card shows
	Names    []string `json:"names"`    // by each of which it is found

	State State           `json:"state"`
	By    approvals.Actor `json:"by,omitzero"`    // who gave the state
	At    time.Time       `json:"at,omitzero"`    // and when
	Until time.Time       `json:"until,omitzero"` // of a snooze

	// Reports are the latest findings, one for each source and name, in the order of the
	// card.
	Reports []Report `json:"reports"`
	// Called is since when an alert that calls people is unanswered, and Calls how often they
	// were called again, because it is critical and nobody had said anything.
	Called time.Time `json:"called,omitzero"`
	Calls  int       `json:"calls,omitempty"`
	// Announced is the highest severity of which a message told the channel.
	Announced float64   `json:"announced"`
	Received  time.Time `json:"received"` // first
	// Touched is the latest of its times: it expires after it.
	Touched time.Time `json:"touched,omitzero"`
	Over    bool      `json:"over,omitempty"`
	// Loud is when the channel was last told, by more than a quiet reply.
	Loud time.Time `json:"loud,omitzero"`

	// Kinds count all findings of one actor, the most severe first, and First and Last are
	// their span: Reports are the strongest of them. Empty where there is one finding.
	Kinds []Kind    `json:"kinds,omitempty"`
	First time.Time `json:"first,omitzero"`
	Last  time.Time `json:"last,omitzero"`

	// Requests are the requests that it led to, oldest first.
	Requests []LinkedRequest `json:"requests,omitempty"`
	// Activity is set if the recent activity is posted: a person asked for it, or a key
	// was published.
	Activity bool `json:"activity,omitempty"`
	// Trace is set if what its principal made is posted, for the same reasons.
	Trace bool `json:"trace,omitempty"`

	Pending []PendingReply `json:"pending,omitempty"` // replies that are due
	Card    approvals.Card `json:"card"`
	// PostAt is the time of posting that the rate limit gives it; zero if there is none
	// yet: then it waits for the next sweep.
	PostAt time.Time `json:"post_at,omitzero"`
	// Urgent is set for a card that is posted at once, whatever the rate limit: somebody
	// asked for it, or a rule made a request.
	Urgent   bool   `json:"urgent,omitempty"`
	DigestID string `json:"digest_id,omitempty"` // of the digest that lists it instead of a card of its own
}

// LinkedRequest is a request that an alert led to.
type LinkedRequest struct {
	Intent  string    `json:"intent"` // digest
	Request string    `json:"request"`
	Rule    bool      `json:"rule,omitempty"` // by delivery: auto
	At      time.Time `json:"at"`
}

// PendingReply is a reply in an alert's thread that is not posted yet.
type PendingReply struct {
	Key       string `json:"key"`
	Text      string `json:"text"`                // mrkdwn, of our own words and escaped ones
	Broadcast bool   `json:"broadcast,omitempty"` // shown in the channel too
	Call      bool   `json:"call,omitempty"`      // mentions whom the alert calls
	Reopened  bool   `json:"reopened,omitempty"`  // somebody had acknowledged the alert
	// Before are the reports before the changes that the reply tells of, so that a later
	// change can be added to it.
	Before []Report `json:"before,omitempty"`
}

// Stale reports whether the card shows less than the alert holds.
func (a Alert) Stale() bool { return a.DigestID == "" && a.Card.Revision < a.Revision }

// callAgain is how long after the first call people are called again.
var callAgain = []time.Duration{5 * time.Minute, 15 * time.Minute, time.Hour, 4 * time.Hour, 24 * time.Hour}

// Unanswered reports whether people are still to be called again.
func (a Alert) Unanswered() bool {
	return !a.Called.IsZero() && a.Calls < len(callAgain) && a.State == Open && !a.Over && a.Shown().Severity >= finding.Critical
}

// Answered reports whether there is nothing to call people for: somebody has given the alert
// a state, what it shows is over, or a request of it is under way, calls people itself, or
// contained what was seen, also if two people have taken that back since.
func (a Alert) Answered(shown finding.Finding, requests []approvals.Request) bool {
	return a.Over || shown.Over || a.State != Open || slices.ContainsFunc(requests, func(r approvals.Request) bool {
		return r.State.Open() || r.State == approvals.Partial || Contains(r, shown) || r.State == approvals.Undone && !seenSince(shown, r)
	})
}

// Contains reports whether a request contains what was seen: nothing was seen since.
func Contains(r approvals.Request, seen finding.Finding) bool {
	return r.State == approvals.Contained && !seenSince(seen, r)
}

func seenSince(f finding.Finding, r approvals.Request) bool { return Seen(f).After(r.Ended) }

// Seen is when what a finding tells of was last seen.
func Seen(f finding.Finding) time.Time { return cmp.Or(f.Last, f.First, f.Updated) }

// CallAgain counts the calls that are due by now. It returns false if none is.
func (a *Alert) CallAgain(now time.Time) (due bool) {
	for a.Unanswered() && !now.Before(a.Called.Add(callAgain[a.Calls])) {
		a.Calls++
		due = true
	}
	return due
}

// Revise marks that the card must be drawn again.
func (a *Alert) Revise() { a.Revision++ }

const alertSort = "alert"

func alertKey(id string) approvals.Key { return approvals.Key{Part: id, Sort: alertSort} }

// aliasKey is the row by which an alert is found under one of its names.
func aliasKey(name string) approvals.Key {
	return approvals.Key{Part: "alias#" + nameHash(name), Sort: "alias"}
}

func nameHash(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}

type alias struct {
	Alert string `json:"alert"`
}

// Table is the part of the table requests that is about alerts: alerts, their names,
// digests, and the rate limit of each channel.
type Table struct{ Requests approvals.Requests }

// Create stores a new alert, its names, and the actors that lead to it. It returns
// ErrConflict if another alert has one of the names, or took an actor meanwhile.
func (t Table) Create(ctx context.Context, a Alert, actors ...Actor) error {
	a.Version, a.Revision = 0, 1
	puts := []approvals.Put{t.putAlert(a)}
	for _, name := range a.Names {
		alias, err := t.takeAlias(ctx, name, &a)
		if err != nil {
			return err
		}
		puts = append(puts, alias)
	}
	for _, as := range actors {
		puts = append(puts, as.put(a))
	}
	return t.Requests.Store.Write(ctx, puts...)
}

// Get reads an alert. It returns ErrNotFound if there is none.
func (t Table) Get(ctx context.Context, id string) (Alert, error) {
	row, err := t.Requests.Store.Get(ctx, alertKey(id))
	if err != nil {
		return Alert{}, err
	}
	return decodeAlert(row)
}

// Linked reads requests that an alert led to. Those whose record has expired are left out.
func (t Table) Linked(ctx context.Context, links []LinkedRequest) ([]approvals.Request, error) {
	var requests []approvals.Request
	for _, l := range links {
		r, err := t.Requests.Get(ctx, l.Request)
		if errors.Is(err, approvals.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		requests = append(requests, r)
	}
	return requests, nil
}

// Named finds the alert that has a name. It returns ErrNotFound if there is none, or no more: a name may outlive
// its alert.
func (t Table) Named(ctx context.Context, name string) (Alert, error) {
	row, _, err := t.named(ctx, name)
	if err != nil {
		return Alert{}, err
	}
	return decodeAlert(row)
}

// named reads the row of the alert that has a name, and the version of the row of that name, whoever has or had it.
func (t Table) named(ctx context.Context, name string) (owner approvals.Row, version int64, err error) {
	row, err := t.Requests.Store.Get(ctx, aliasKey(name))
	if err != nil {
		return approvals.Row{}, 0, err
	}
	var a alias
	if err := json.Unmarshal(row.Body, &a); err != nil {
		return approvals.Row{}, 0, err
	}
	owner, err = t.Requests.Store.Get(ctx, alertKey(a.Alert))
	return owner, row.Version, err
}

// takeAlias makes the row of an alert's new name. It returns ErrConflict if an alert has that name.
func (t Table) takeAlias(ctx context.Context, name string, a *Alert) (approvals.Put, error) {
	_, version, err := t.named(ctx, name)
	if !errors.Is(err, approvals.ErrNotFound) {
		return approvals.Put{}, cmp.Or[error](err, approvals.ErrConflict)
	}
	return t.putAlias(name, version, a), nil
}

// putAlias is the write of a name that no alert has.
func (t Table) putAlias(name string, version int64, a *Alert) approvals.Put {
	a.touch()
	put := approvals.PutRow(aliasKey(name), version, alias{a.ID})
	put.Expires = t.expiry(a.Touched)
	return put
}

// Change is [approvals.Requests.Change] for an alert. Names that change adds are
// stored, unless another alert has them.
func (t Table) Change(ctx context.Context, id string, change func(*Alert) error) (Alert, error) {
	return t.change(ctx, id, func(a *Alert) ([]approvals.Put, error) { return nil, change(a) })
}

// CreateRequest creates a request and links it to its alert in one transaction; neither
// row can point at a missing one. An error of change stops it with nothing written. It
// returns ErrConflict if the ID is taken.
func (t Table) CreateRequest(ctx context.Context, r approvals.Request, change func(*Alert) error) (Alert, error) {
	r.Version, r.Revision = 0, 1
	put, err := t.Requests.Put(r)
	if err != nil {
		return Alert{}, err
	}
	return t.change(ctx, r.Alert, func(a *Alert) ([]approvals.Put, error) {
		if _, err := t.Requests.Get(ctx, r.ID); err == nil {
			return nil, approvals.ErrConflict
		}
		return []approvals.Put{put}, change(a)
	})
}

func (t Table) change(ctx context.Context, id string, change func(*Alert) ([]approvals.Put, error)) (Alert, error) {
	read := func() (Alert, error) { return t.Get(ctx, id) }
	a, err := approvals.Update(ctx, t.Requests.Store, "alert "+id, read, func(a *Alert) ([]approvals.Put, error) {
		before := len(a.Names)
		puts, err := change(a)
		if err != nil {
			return nil, err
		}
		if len(a.Names) > before {
			aliases, err := t.newAliases(ctx, a, before)
			if err != nil {
				return nil, err
			}
			puts = append(puts, aliases...)
		}
		return append(puts, t.putAlert(*a)), nil
	})
	if err == nil {
		a.Version++
	}
	return a, err
}

// newAliases makes the rows of an alert's new names, and drops names that another alert
// has.
func (t Table) newAliases(ctx context.Context, a *Alert, before int) (puts []approvals.Put, err error) {
	added := a.Names[before:]
	a.Names = a.Names[:before:before]
	for _, name := range added {
		if slices.Contains(a.Names, name) {
			continue
		}
		owner, version, err := t.named(ctx, name)
		switch {
		case errors.Is(err, approvals.ErrNotFound):
			puts = append(puts, t.putAlias(name, version, a))
		case err != nil:
			return nil, err
		case owner.Part != a.ID:
			continue
		}
		a.Names = append(a.Names, name)
	}
	return puts, nil
}

// Marked reads the alerts that have something to do, after one ID, limit at most. A row
// that can't be read comes as an alert with an ID and no state.
func (t Table) Marked(ctx context.Context, after string, limit int) ([]Alert, error) {
	rows, err := t.Requests.Store.Marked(ctx, approvals.MarkAlert, approvals.Key{Part: after, Sort: alertSort}, limit)
	if err != nil {
		return nil, err
	}
	as := make([]Alert, 0, len(rows))
	for _, row := range rows {
		if row.Sort != alertSort { // digests have the same mark, and come after all alerts
			break
		}
		a, err := decodeAlert(row)
		if err != nil {
			a = Alert{ID: row.Part} // with no state: an unreadable row must not hide the others
		}
		as = append(as, a)
	}
	return as, nil
}

// UnpostedDigests reads the digests that are not posted yet, limit at most.
func (t Table) UnpostedDigests(ctx context.Context, limit int) ([]Digest, error) {
	rows, err := t.Requests.Store.Marked(ctx, approvals.MarkAlert, approvals.Key{Part: digestPrefix, Sort: ""}, limit)
	if err != nil {
		return nil, err
	}
	var ds []Digest
	for _, row := range rows {
		d, err := decodeDigest(row)
		if err != nil {
			d = Digest{ID: row.Part} // with no channel
		}
		ds = append(ds, d)
	}
	return ds, nil
}

// putAlert is the write of an alert. Names are never removed: as long as it lives, a name is the same alert.
func (t Table) putAlert(a Alert) approvals.Put {
	a.touch()
	put := approvals.PutRow(alertKey(a.ID), a.Version, a)
	put.Expires = t.expiry(a.Touched)
	if a.Stale() || a.State == Snoozed || a.Unanswered() {
		put.Marks = []string{approvals.MarkAlert}
	}
	return put
}

// touch moves Touched on. What an alert is told by its sources does not count: they can name any time.
func (a *Alert) touch() {
	times := []time.Time{a.Received, a.At, a.Loud}
	for _, r := range a.Reports {
		times = append(times, r.Received)
	}
	for _, r := range a.Requests {
		times = append(times, r.At)
	}
	for _, at := range times {
		if at.After(a.Touched) {
			a.Touched = at
		}
	}
}

// expiry is when what was of a time is no longer kept; zero: never.
func (t Table) expiry(of time.Time) time.Time {
	if t.Requests.Retention <= 0 {
		return time.Time{}
	}
	return of.UTC().Add(t.Requests.Retention)
}

func decodeAlert(row approvals.Row) (Alert, error) {
	var a Alert
	if err := json.Unmarshal(row.Body, &a); err != nil {
		return Alert{}, fmt.Errorf("row %s: %w", row.Part, err)
	}
	nameless := func(r Report) bool { return len(r.Finding.Names) == 0 }
	if a.ID != row.Part || !approvals.IsAlertID(a.ID) || len(a.Reports) == 0 || slices.ContainsFunc(a.Reports, nameless) {
		return Alert{}, fmt.Errorf("row %s is not an alert", row.Part)
	}
	a.Version = row.Version
	return a, nil
}
