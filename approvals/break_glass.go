package approvals

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// BreakGlass says for good that one person let a request run alone. It is a part of the run's row.
type BreakGlass struct {
	Person   string    `json:"person"`
	Name     string    `json:"name"` // for display
	Reason   string    `json:"reason"`
	Evidence string    `json:"evidence"`
	At       time.Time `json:"at"`                 // as it was signed
	Reviewed *Vote     `json:"reviewed,omitempty"` // another responder has looked at it
}

// BreakGlassVerb is the verb of the statement by which one person acts alone.
const BreakGlassVerb = "break_glass"

// ReviewedButton is the action_id of the button by which another responder says that they have looked at it.
const ReviewedButton = "reviewed"

const (
	aloneByPerson = 1 // in any hour
	aloneByAll    = 3
	// deniedFor is how long nobody acts alone on a call that somebody denied.
	deniedFor = 24 * time.Hour
)

// Hour is a row of the table runs: what began without a second person within the last hour. One
// conditional write decides about its caps.
type Hour struct {
	Key     Key     `json:"-"`
	Version int64   `json:"-"`
	Began   []Began `json:"began"`
}

// Began is a run in the row of the hour.
type Began struct {
	ID      string    `json:"id"`
	Account string    `json:"account"`
	Person  string    `json:"person,omitempty"`
	At      time.Time `json:"at"`
}

// AutomaticKey is the row of the automatic containments of the last hour, BreakGlassKey that of what one
// person did alone.
var (
	AutomaticKey  = Key{"automatic", "hour"}
	BreakGlassKey = Key{"break_glass", "hour"}
)

// Hour reads what began within the hour before now.
func (t Runs) Hour(ctx context.Context, k Key, now time.Time) (h Hour, err error) {
	h.Key = k
	h.Version, err = t.Find(ctx, k, &h)
	h.Began = slices.DeleteFunc(h.Began, func(b Began) bool { return now.Sub(b.At) >= time.Hour })
	return h, err
}

// Count counts those of which something holds.
func (h Hour) Count(holds func(Began) bool) (n int) {
	for _, b := range h.Began {
		if holds(b) {
			n++
		}
	}
	return n
}

// With is the write of one more.
func (h Hour) With(b Began) Put {
	h.Began = append(slices.Clone(h.Began), b)
	return PutRow(h.Key, h.Version, h)
}

// DeniedCall is a row of the table runs: a person's last denial of a call, whichever request it was of.
type DeniedCall struct {
	Key     Key       `json:"-"`
	Version int64     `json:"-"`
	Person  string    `json:"person,omitempty"` // empty: it is not proved who it was, and counts all the same
	Request string    `json:"request"`
	At      time.Time `json:"at"` // when the executor recorded it
}

const deniedSort = "denied#"

func deniedKey(c actions.Call) string { return "denied#" + IntentDigest(Intent{Call: c}) }

// DeniedCall reads a person's last denial of a call; one of no request if there is none.
func (t Runs) DeniedCall(ctx context.Context, c actions.Call, person string) (d DeniedCall, err error) {
	d.Key = Key{deniedKey(c), deniedSort + person}
	d.Version, err = t.Find(ctx, d.Key, &d)
	d.Person = person
	return d, err
}

// Put is the write of a denial, which expires.
func (d DeniedCall) Put() Put {
	put := PutRow(d.Key, d.Version, d)
	put.Expires = d.At.Add(deniedFor)
	return put
}

// denied returns the last denial of a call by anybody but some, who have no vote on it.
func (t Runs) denied(ctx context.Context, c actions.Call, but []string) (last DeniedCall, err error) {
	const people = 100
	rows, err := t.Reader.Rows(ctx, deniedKey(c), deniedSort, "", people)
	for _, row := range rows {
		var d DeniedCall
		if err := json.Unmarshal(row.Body, &d); err != nil {
			return last, err
		}
		if !slices.Contains(but, d.Person) && d.At.After(last.At) {
			last = d
		}
	}
	return last, err
}

// MayBreakGlass decides whether one person may let a planned request run alone, by the plan's entry and
// by that of now, for bot and executor. It returns the hour in which that is counted, and an
// *[actions.Refusal] with all that is against it.
func (t Runs) MayBreakGlass(ctx context.Context, policy Policy, lookup func(actions.Name) (actions.Action, bool), p Planned, a Attested, now time.Time) (Hour, error) {
	call, st, entry := p.Call(), a.Statement, policy.For(p.Intent)
	var no []string
	refuse := func(format string, args ...any) { no = append(no, fmt.Sprintf(format, args...)) }
	if st.Verb != BreakGlassVerb || st.Request != p.ID || st.Digest != p.Digest || st.Call != p.Intent.String() {
		refuse("what was signed is not what %s would do", p.ID)
	}
	who, _ := policy.Roster.ByID(a.Signer.Person)
	action, known := lookup(call.Action)
	switch {
	case p.Intent.Undo != "":
		refuse("nobody takes a containment back alone")
	case p.Mode != TwoPerson:
		refuse("it waits for nobody")
	case !known || !action.Spec().AutoEligible(call) || !p.Plan.Reversible:
		refuse("nobody does alone what can't be undone, or has more than one target")
	case entry.BreakGlassAfter == 0 || p.Policy.BreakGlassAfter == 0:
		refuse("break_glass is off for %s", call.Action)
	}
	if who.ID == "" || who.ID != p.Person {
		refuse("only %s, who asked for it, can act alone", p.Person)
	}
	owners := policy.Roster.Owners(call, p.Plan.Identity)
	if slices.Contains(owners, who.ID) || p.Plan.Identity.ID != "" && p.Plan.Identity.ID == strings.Split(a.Signer.UserID, ":")[0] {
		refuse("nobody decides alone about their own principal")
	}
	if p.Plan.Guarded != "" {
		refuse("its target takes one approval more than usual: %s", p.Plan.Guarded)
	}
	// By the clock of who signs, and by ours: the former may be wrong by some minutes.
	after := max(entry.BreakGlassAfter, p.Policy.BreakGlassAfter)
	if from := later(p.Asked, p.At).Add(after); a.At.Before(p.Asked.Add(after)) || a.Signer.Received.Before(p.At.Add(after)) {
		refuse("nobody acts alone before %s: until then others can approve", from.UTC().Format("15:04:05 UTC"))
	}
	if st.Account != p.Account {
		refuse("%q is not the target's account: type its ID", actions.Clip(st.Account))
	}
	if strings.TrimSpace(st.Why) == "" {
		refuse("a reason is missing")
	}
	denied, err := t.denied(ctx, call, owners)
	if err != nil {
		return Hour{}, err
	}
	if until := denied.At.Add(deniedFor); now.Before(until) {
		refuse("%s was denied, for the same: nobody acts alone on it before %s", denied.Request, until.UTC().Format("2006-01-02 15:04 UTC"))
	}
	h, err := t.Hour(ctx, BreakGlassKey, now)
	if err != nil {
		return h, err
	}
	switch {
	case h.Count(func(b Began) bool { return b.Person == who.ID }) >= aloneByPerson:
		refuse("%s has acted alone within the last hour", who.ID)
	case len(h.Began) >= aloneByAll:
		refuse("%d people have acted alone within the last hour", aloneByAll)
	}
	if len(no) > 0 {
		return h, &actions.Refusal{Reason: strings.Join(no, "; "), Hint: "others can approve it"}
	}
	return h, nil
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
