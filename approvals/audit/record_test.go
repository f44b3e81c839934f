package audit_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

const otherID = "KS-ZZZZZZZZZZZZ"

var until = at.Add(400 * 24 * time.Hour).Truncate(24 * time.Hour)

// recordOf is the record of a containment that bob approved, and the heads of it that the bucket has:
// of the claim and of the end.
func recordOf(id string) (audit.Record, []audit.Kept) {
	r := audit.Record{ID: id, Head: audit.Start(id),
		Plan: &audit.Plan{Person: "alice", Intent: "revoke_sessions x", Reason: "keys on a paste site", Evidence: "e1", Digest: "d1"},
		Run:  &audit.Run{Outcome: "contained", Attempt: 1, Approvers: []string{"bob"}, Ended: at.Add(5 * time.Second)}}
	var kept []audit.Kept
	for i, e := range []audit.Event{
		audit.New("requested", "alice", "intent", "revoke_sessions x", "reason", "keys on a paste site", "evidence", "e1"),
		audit.New("planned", "", "digest", "d1"),
		audit.New("approved", "bob", "digest", "d1", "evidence", "e2"),
		audit.New("claimed", "", "attempt", "1"),
		audit.New("step_verified", "", "step", "deny"),
		audit.New("contained", ""),
	} {
		r.Events = append(r.Events, r.Head.Append(e, at.Add(time.Duration(i)*time.Second)))
		if e.Event == "claimed" || e.Event == "contained" {
			kept = append(kept, audit.Kept{ID: id, Head: r.Head, Until: until, At: at.Add(time.Duration(i+1) * time.Second)})
		}
	}
	return r, kept
}

// rehash makes the chain of a record anew, as whoever can write the whole table does.
func rehash(r *audit.Record) {
	r.Head = audit.Start(r.ID)
	for i, e := range r.Events {
		if e.At.IsZero() {
			e.At = at.Add(time.Duration(i) * time.Second)
		}
		r.Events[i] = r.Head.Append(e, e.At)
	}
}

func drop(i int) func(*audit.Record) {
	return func(r *audit.Record) { r.Events = slices.Delete(r.Events, i, i+1) }
}

// then does one after the other.
func then(fs ...func(*audit.Record)) func(*audit.Record) {
	return func(r *audit.Record) {
		for _, f := range fs {
			f(r)
		}
	}
}

func carol(r *audit.Record) {
	r.Events[2].Actor, r.Run.Approvers = "carol", []string{"carol"}
}

// tampering are ways to alter a record. An export alone shows those in which it no longer agrees with
// itself; the bucket shows all of them.
var tampering = []struct {
	name      string
	alter     func(*audit.Record)
	bucketOne bool // only the bucket can tell
}{
	{name: "an actor changed", alter: func(r *audit.Record) { r.Events[2].Actor = "carol" }},
	{name: "a fact changed", alter: func(r *audit.Record) { r.Events[0].Facts["reason"] = "a test" }},
	{name: "a fact added", alter: func(r *audit.Record) { r.Events[5].Facts = map[string]string{"why": "nothing"} }},
	{name: "a date changed", alter: func(r *audit.Record) { r.Events[2].At = at.Add(-time.Hour) }},
	{name: "a name changed", alter: func(r *audit.Record) { r.Events[2].Event = "denied" }},
	{name: "a hash changed", alter: func(r *audit.Record) { r.Events[2].Hash = r.Events[1].Hash }},
	{name: "the first removed", alter: drop(0)},
	{name: "one removed", alter: drop(2)},
	{name: "the last removed", alter: drop(5)},
	{name: "all removed", alter: func(r *audit.Record) { r.Events = nil }},
	{name: "all and the head removed", alter: func(r *audit.Record) { r.Events, r.Head = nil, audit.Start(r.ID) }},
	{name: "one inserted", alter: func(r *audit.Record) { r.Events = slices.Insert(r.Events, 2, r.Events[2]) }},
	{name: "two exchanged", alter: func(r *audit.Record) { r.Events[1], r.Events[2] = r.Events[2], r.Events[1] }},
	{name: "exchanged and numbered anew", alter: func(r *audit.Record) {
		r.Events[1], r.Events[2] = r.Events[2], r.Events[1]
		r.Events[1].Seq, r.Events[2].Seq = 2, 3
	}},
	{name: "the head's hash changed", alter: func(r *audit.Record) { r.Head.Hash = r.Events[0].Hash }},
	{name: "the head's number changed", alter: func(r *audit.Record) { r.Head.Seq = 4 }},
	{name: "the head removed", alter: func(r *audit.Record) { r.Head = audit.Start(r.ID) }},
	{name: "another request's chain", alter: func(r *audit.Record) { o, _ := recordOf(otherID); r.Events, r.Head = o.Events, o.Head }},
	{name: "another's whole record", alter: func(r *audit.Record) { o, _ := recordOf(otherID); o.ID = r.ID; *r = o }},
	{name: "a chain without its run", alter: func(r *audit.Record) { r.Run = nil }},
	{name: "a chain without its plan", alter: func(r *audit.Record) { r.Plan = nil }},
	{name: "a chain alone", alter: func(r *audit.Record) { r.Run, r.Plan = nil, nil }},
	{name: "the run's outcome changed", alter: func(r *audit.Record) { r.Run.Outcome = "failed" }},
	{name: "the run begun again", alter: func(r *audit.Record) { r.Run.Outcome = "" }},
	{name: "the run's attempt changed", alter: func(r *audit.Record) { r.Run.Attempt = 2 }},
	{name: "an approver added to the run", alter: func(r *audit.Record) { r.Run.Approvers = []string{"bob", "carol"} }},
	{name: "the plan's requester changed", alter: func(r *audit.Record) { r.Plan.Person = "carol" }},
	{name: "the plan's reason changed", alter: func(r *audit.Record) { r.Plan.Reason = "a test" }},
	{name: "the plan's digest changed", alter: func(r *audit.Record) { r.Plan.Digest = "d2" }},
	{name: "the plan's call changed", alter: func(r *audit.Record) { r.Plan.Intent = "revoke_sessions y" }},
	{name: "the run's approvers removed", alter: func(r *audit.Record) { r.Run.Approvers = nil }},
	{name: "the run ended later", alter: func(r *audit.Record) { r.Run.Ended = at.Add(time.Hour) }},
	{name: "the run ended earlier", alter: func(r *audit.Record) { r.Run.Ended = at.Add(-time.Hour) }},
	{name: "the run's end removed", alter: func(r *audit.Record) { r.Run.Ended = time.Time{} }},
	{name: "a date put before all others and rehashed", alter: then(func(r *audit.Record) { r.Events[2].At = at.Add(-time.Hour) }, rehash)},
	{name: "an approval put behind the claim and rehashed", alter: then(func(r *audit.Record) { r.Events[2], r.Events[3] = r.Events[3], r.Events[2] }, rehash)},
	{name: "an approval removed and rehashed", alter: then(drop(2), rehash)},
	{name: "who asked removed and rehashed", alter: then(drop(0), rehash)},
	{name: "the end removed and rehashed", alter: then(drop(5), rehash)},
	{name: "an approver changed and rehashed, but not in the run", alter: then(func(r *audit.Record) { r.Events[2].Actor = "carol" }, rehash)},

	{name: "an approver changed everywhere and rehashed", alter: then(carol, rehash), bucketOne: true},
	{name: "a date changed and rehashed", alter: then(func(r *audit.Record) { r.Events[2].At = at.Add(time.Minute) }, rehash), bucketOne: true},
	{name: "a step removed and rehashed", alter: then(drop(4), rehash), bucketOne: true},
	{name: "a step inserted and rehashed", alter: then(func(r *audit.Record) {
		r.Events = slices.Insert(r.Events, 4, audit.New("step_verified", "", "step", "tag"))
	}, rehash), bucketOne: true},
	{name: "cut after the claim, with its head and run", alter: then(drop(5), drop(4), rehash, func(r *audit.Record) { r.Run.Outcome, r.Run.Ended = "", time.Time{} }), bucketOne: true},
	{name: "replaced by one that was denied", alter: func(r *audit.Record) {
		r.Events = append(r.Events[:2:2], audit.New("denied", "carol"))
		r.Run = &audit.Run{Outcome: "denied", Ended: at}
		rehash(r)
	}, bucketOne: true},
}

// TestTamperingIsFound by whoever has the export, and with the bucket in every form.
func TestTamperingIsFound(t *testing.T) {
	for _, c := range tampering {
		r, kept := recordOf(id)
		if c.alter(&r); (r.Verify() == nil) != c.bucketOne {
			t.Errorf("%s: the record alone: %v", c.name, r.Verify())
		}
		var b bytes.Buffer
		if err := audit.WriteJSON(&b, []audit.Record{r}); err != nil {
			t.Fatal(err)
		}
		read, err := audit.ReadJSON(&b)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		err = read[0].Verify()
		if err == nil {
			wrong, _ := audit.Compare(read, kept, false, at)
			err = wrong[id]
		}
		if !errors.Is(err, audit.ErrBroken) {
			t.Errorf("%s: the export with the bucket: %v, want ErrBroken", c.name, err)
		}
	}
}

// TestWhatIsIntactIsNotAccused, with the bucket and without, in each state in which a record can be.
func TestWhatIsIntactIsNotAccused(t *testing.T) {
	ended := func(run audit.Run, events ...audit.Event) audit.Record {
		if run.Outcome != "" && run.Ended.IsZero() {
			run.Ended = at
		}
		for i := range events {
			events[i].At = at
		}
		r := audit.Record{ID: id, Events: events, Run: &run}
		rehash(&r)
		return r
	}
	claim := audit.New("claimed", "")
	for name, r := range map[string]audit.Record{
		"not planned":            {ID: id, Head: audit.Start(id)},
		"refused, no plan":       ended(audit.Run{Outcome: "refused"}, audit.New("refused", "")),
		"running":                ended(audit.Run{Attempt: 1}, claim),
		"expired":                ended(audit.Run{Outcome: "expired"}, audit.New("expired", "")),
		"denied, recorded late":  ended(audit.Run{Outcome: "denied", Ended: at.Add(-time.Hour)}, audit.New("denied", "bob", "at", at.Add(-time.Hour).Format(time.RFC3339))),
		"retried, running":       ended(audit.Run{Attempt: 2, Ended: at}, claim, audit.New("failed", ""), audit.New("retried", "bob")),
		"glass broken":           ended(audit.Run{Attempt: 1}, audit.New("approved", "bob"), audit.New("broke_glass", "alice"), claim),
		"one of two, denied":     ended(audit.Run{Outcome: "denied"}, audit.New("approved", "bob"), audit.New("denied", "bob")),
		"clocks that differ":     {ID: id, Run: &audit.Run{Attempt: 1}, Events: []audit.Event{{At: at, Event: "claimed"}, {At: at.Add(-time.Minute), Event: "step"}}},
		"denied after approval":  ended(audit.Run{Outcome: "denied", Attempt: 1}, claim, audit.New("not_started", "", "state", "denied"), audit.New("denied", "bob")),
		"contained by a look":    ended(audit.Run{Outcome: "contained", Attempt: 1}, claim, audit.New("partial", "")),
		"failed, retried":        ended(audit.Run{Outcome: "contained", Attempt: 2}, claim, audit.New("failed", ""), audit.New("retried", "bob"), audit.New("contained", "")),
		"retry withdrawn":        ended(audit.Run{Outcome: "failed", Attempt: 2}, claim, audit.New("failed", ""), audit.New("retried", "bob"), audit.New("not_started", "", "attempt", "2")),
		"a no to what failed":    ended(audit.Run{Outcome: "denied", Attempt: 1}, claim, audit.New("failed", ""), audit.New("denied", "bob", "ended", "failed", "intent", "revoke_sessions x")),
		"a no to a partial one":  ended(audit.Run{Outcome: "partial", Attempt: 1}, claim, audit.New("partial", ""), audit.New("denied", "bob", "ended", "partial", "intent", "revoke_sessions x")),
		"a no to a partial undo": ended(audit.Run{Outcome: "denied", Attempt: 1}, claim, audit.New("partial", ""), audit.New("denied", "bob", "ended", "partial", "intent", "undo KS-4G7QX2M9ZT0B: revoke_sessions x")),
		"undone":                 ended(audit.Run{Outcome: "undone", Attempt: 1}, claim, audit.New("contained", ""), audit.New("undo_begun", "alice"), audit.New("undone", "")),
		"its undo failed":        ended(audit.Run{Outcome: "partial", Attempt: 1}, claim, audit.New("contained", ""), audit.New("undo_begun", "alice"), audit.New("undo_failed", "")),
		"an undo refused":        ended(audit.Run{Outcome: "refused", Attempt: 1}, claim, audit.New("refused", "")),
		"a statement":            {ID: "statement#ab", Signed: true, Events: ended(audit.Run{}, claim).Events},
	} {
		rehash(&r)
		if err := r.Verify(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	r, kept := recordOf(id)
	for n := range len(kept) + 1 {
		if wrong, _ := audit.Compare([]audit.Record{r}, kept[:n], true, at); r.Verify() != nil || len(wrong) > 0 {
			t.Errorf("%d heads: %v, %v", n, r.Verify(), wrong)
		}
	}
	if !(audit.Record{ID: id, Head: audit.Start(id)}).Empty() || r.Empty() {
		t.Error("which record is empty")
	}
}

// TestBucketKnowsMore: what the table has lost, what was deleted or written again in the bucket, and what
// never came to it.
func TestBucketKnowsMore(t *testing.T) {
	r, kept := recordOf(id)
	other, otherKept := recordOf(otherID)
	dated := func(r audit.Record, later time.Duration) audit.Record {
		r.Events = slices.Clone(r.Events)
		for i := range r.Events {
			r.Events[i].At = r.Events[i].At.Add(later)
		}
		rehash(&r)
		return r
	}
	late := dated(other, time.Hour)
	never := audit.Record{ID: otherID, Events: []audit.Event{audit.New("requested", "alice"), audit.New("denied", "bob")}}
	rehash(&never)
	never = dated(never, time.Hour)
	signed := audit.Record{ID: "statement#ab", Signed: true, Events: []audit.Event{audit.New("attested", "alice")}}
	rehash(&signed)
	backdated := r // what happened after the claim, made anew as from before
	backdated.Events = slices.Clone(r.Events)
	for i := 4; i < 6; i++ {
		backdated.Events[i].At = r.Events[0].At
	}
	rehash(&backdated)
	claimedLate := slices.Clone(kept[:1])
	claimedLate[0].At = at.Add(time.Hour)
	marked := func(f func(*audit.Kept)) []audit.Kept { ks := slices.Clone(kept); f(&ks[0]); return ks }
	both := append(slices.Clone(kept), otherKept...)
	later := at.Add(48 * time.Hour)
	for _, c := range []struct {
		name    string
		records []audit.Record
		kept    []audit.Kept
		one     bool // not all records were asked for
		now     time.Time
		want    map[string]string
		notes   map[string]string
	}{
		{name: "all is there", records: []audit.Record{r, other}, kept: both, now: at},
		{name: "a record is gone", records: []audit.Record{r}, kept: both, now: at, want: map[string]string{otherID: "there is no record"}},
		{name: "nobody asked for it", records: []audit.Record{r}, kept: both, one: true, now: at},
		{name: "it has expired", records: []audit.Record{r}, kept: both, now: until},
		{name: "deleted", records: []audit.Record{r}, kept: marked(func(k *audit.Kept) { k.Deleted = true }), now: at, want: map[string]string{id: "somebody deleted"}},
		{name: "written again", records: []audit.Record{r}, kept: marked(func(k *audit.Kept) { k.Again = true }), now: at, want: map[string]string{id: "again"}},
		{name: "another head of one event", records: []audit.Record{r}, kept: append(slices.Clone(kept), audit.Kept{ID: id, Head: audit.Head{Seq: 6, Hash: "ff"}, Until: until}), now: at, want: map[string]string{id: "event 6 is not"}},
		{name: "it never came there", records: []audit.Record{r, late}, kept: kept, now: later, want: map[string]string{otherID: "no head of event 6 (contained)"}},
		{name: "it is still on its way", records: []audit.Record{r, late}, kept: kept, now: at.Add(2 * time.Hour), notes: map[string]string{otherID: "not attested by the bucket yet"}},
		{name: "it is older than the bucket", records: []audit.Record{r, dated(other, -time.Hour)}, kept: kept, now: later, notes: map[string]string{otherID: "from before it was in use"}},
		{name: "its claim came there, its end did not", records: []audit.Record{r}, kept: kept[:1], now: later, want: map[string]string{id: "no head of event 6 (contained)"}},
		{name: "its end is dated before the head of its claim", records: []audit.Record{backdated}, kept: claimedLate, now: at.Add(2 * time.Hour), want: map[string]string{id: "event 5 is older than the bucket's head of event 4"}},
		{name: "a no never came there", records: []audit.Record{r, never}, kept: kept, now: later, want: map[string]string{otherID: "no head of event 2 (denied)"}},
		{name: "an empty bucket", records: []audit.Record{r}, now: later, want: map[string]string{id: "the bucket has no heads at all"}},
		{name: "an empty bucket is new", records: []audit.Record{r}, now: at.Add(time.Hour), notes: map[string]string{id: "yet"}},
		{name: "a statement", records: []audit.Record{r, signed}, kept: kept, now: later, notes: map[string]string{signed.ID: "no heads of statements"}},
	} {
		got, notes := audit.Compare(c.records, c.kept, !c.one, c.now)
		if len(got) != len(c.want) || len(notes) != len(c.notes) {
			t.Errorf("%s: %v, %v, want %v, %v", c.name, got, notes, c.want, c.notes)
		}
		for id, want := range c.want {
			if got[id] == nil || !strings.Contains(got[id].Error(), want) || !errors.Is(got[id], audit.ErrBroken) {
				t.Errorf("%s: %v, want %q", c.name, got[id], want)
			}
		}
		for id, want := range c.notes {
			if !strings.Contains(notes[id], want) {
				t.Errorf("%s: noted %q, want %q", c.name, notes[id], want)
			}
		}
	}
}

// TestFutureHasNotHappened: what is dated after now, but for clocks that differ a little.
func TestFutureHasNotHappened(t *testing.T) {
	r, _ := recordOf(id)
	if err := r.Dated(at.Add(-time.Minute)); err != nil {
		t.Error(err)
	}
	if err := r.Dated(at.Add(-time.Hour)); !errors.Is(err, audit.ErrBroken) || !strings.Contains(err.Error(), "event 1 is dated 2") {
		t.Error(err)
	}
}

// TestNamesOfHeads: what is written is read again, and nothing else is read.
func TestNamesOfHeads(t *testing.T) {
	_, kept := recordOf(id)
	k := kept[0]
	k.At = time.Time{}
	got, err := audit.ParseKept(k.Name())
	if d := cmp.Diff(k, got); d != "" || err != nil {
		t.Error(err, d)
	}
	for _, name := range []string{"", "heads/", k.Name() + "x", strings.TrimPrefix(k.Name(), "heads/"), strings.Replace(k.Name(), "000004", "4", 1), strings.Replace(k.Name(), "000004", "000000", 1),
		strings.ToUpper(k.Name()), strings.Replace(k.Name(), k.Hash, k.Hash[:62], 1), "heads/a/" + k.Name(), k.Name()[:len(k.Name())-2] + "99"} {
		if got, err := audit.ParseKept(name); err == nil {
			t.Errorf("%q is read as %+v", name, got)
		}
	}
}
