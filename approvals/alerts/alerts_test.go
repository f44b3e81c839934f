package alerts_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/approvals/memory"
)

func alertRow(names ...string) alerts.Alert {
	return alerts.Alert{
		ID: approvals.AlertID(names[0]), Names: names, State: alerts.Open,
		Reports: []alerts.Report{{Finding: finding.Finding{Source: finding.GuardDuty, Names: names}}}, Card: approvals.Card{Channel: "C1"},
	}
}

// TestAlertAliases: a name is one alert's for ever.
func TestAlertAliases(t *testing.T) {
	ctx := t.Context()
	table := alerts.Table{Requests: approvals.Requests{Store: memory.NewStore()}}
	for _, a := range []alerts.Alert{alertRow("one", "shared"), alertRow("two")} {
		if err := table.Create(ctx, a); err != nil {
			t.Fatal(err)
		}
	}
	for _, a := range []alerts.Alert{alertRow("one"), alertRow("three", "shared")} {
		if err := table.Create(ctx, a); !errors.Is(err, approvals.ErrConflict) {
			t.Errorf("alert %q: %v", a.Names, err)
		}
	}
	two, err := table.Change(ctx, approvals.AlertID("two"), func(a *alerts.Alert) error {
		a.Names = append(a.Names, "shared", "free", "two", "free")
		return nil
	})
	if err != nil || !slices.Equal(two.Names, []string{"two", "free"}) {
		t.Errorf("names %q, error %v", two.Names, err)
	}
	for name, want := range map[string]string{"one": "one", "shared": "one", "two": "two", "free": "two"} {
		if a, err := table.Named(ctx, name); err != nil || a.ID != approvals.AlertID(want) {
			t.Errorf("%s is %s, %v; want %s", name, a.ID, err, want)
		}
	}
	if _, err := table.Named(ctx, "three"); !errors.Is(err, approvals.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

// TestNameOutlivesItsAlert: a name whose alert is gone is free, for a new alert, for one that takes it on, and for one that a
// finding joins. Rows expire each by itself.
func TestNameOutlivesItsAlert(t *testing.T) {
	ctx := t.Context()
	store := memory.NewStore()
	table := alerts.Table{Requests: approvals.Requests{Store: store}}
	for _, name := range []string{"other", "gone", "joined"} {
		if err := table.Create(ctx, alertRow(name, name+" too")); err != nil {
			t.Fatal(err)
		}
		if name == "other" {
			continue
		}
		if err := store.Write(ctx, approvals.Put{Row: approvals.Row{Key: approvals.Key{Part: approvals.AlertID(name), Sort: "alert"}, Version: 1, Body: []byte("{}"), Expires: time.Unix(1, 0)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Sweep(ctx, time.Now()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"gone", "gone too"} {
		if a, err := table.Named(ctx, name); !errors.Is(err, approvals.ErrNotFound) {
			t.Errorf("%s is %s, %v", name, a.ID, err)
		}
	}
	other, err := table.Change(ctx, approvals.AlertID("other"), func(a *alerts.Alert) error {
		a.Names = append(a.Names, "gone too", "joined too")
		return nil
	})
	if err != nil || !slices.Contains(other.Names, "gone too") || !slices.Contains(other.Names, "joined too") {
		t.Errorf("names %q, %v", other.Names, err)
	}
	if err := table.Create(ctx, alertRow("gone")); err != nil {
		t.Errorf("the alert anew: %v", err)
	}
	f := alertRow("joined").Reports[0].Finding
	if _, err := table.ChangeByJoin(ctx, other.ID, f, nil, time.Now(), func(*alerts.Alert) error { return nil }); err != nil {
		t.Errorf("joined: %v", err)
	}
	for name, want := range map[string]string{"gone": "gone", "gone too": "other", "joined": "other", "joined too": "other"} {
		if a, err := table.Named(ctx, name); err != nil || a.ID != approvals.AlertID(want) {
			t.Errorf("%s is %s, %v; want %s", name, a.ID, err, want)
		}
	}
}

// TestAlertAliasRace: of alerts that want the same name at once one gets it, and
// none is lost.
func TestAlertAliasRace(t *testing.T) {
	ctx := t.Context()
	table := alerts.Table{Requests: approvals.Requests{Store: memory.NewStore()}}
	var wg sync.WaitGroup
	for i := range 20 {
		name := fmt.Sprint("alert ", i)
		if err := table.Create(ctx, alertRow(name)); err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			_, err := table.Change(ctx, approvals.AlertID(name), func(a *alerts.Alert) error {
				a.Names = append(a.Names, "shared")
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	owner, err := table.Named(ctx, "shared")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		a, err := table.Get(ctx, approvals.AlertID(fmt.Sprint("alert ", i)))
		if err != nil || slices.Contains(a.Names, "shared") != (a.ID == owner.ID) {
			t.Errorf("%s has names %q, %v", a.ID, a.Names, err)
		}
	}
}

// TestCreateRequestLinksItToItsAlert: an alert and the request that it leads to are written together.
func TestCreateRequestLinksItToItsAlert(t *testing.T) {
	ctx := t.Context()
	table := alerts.Table{Requests: approvals.Requests{Store: memory.NewStore()}}
	if err := table.Create(ctx, alertRow("one")); err != nil {
		t.Fatal(err)
	}
	r := approvals.Request{ID: "KS-000000000001", State: approvals.Planning, Alert: approvals.AlertID("one")}
	note := func(a *alerts.Alert) error {
		a.Requests = append(a.Requests, alerts.LinkedRequest{Request: r.ID})
		return nil
	}
	errNo := errors.New("no")
	if _, err := table.CreateRequest(ctx, r, func(*alerts.Alert) error { return errNo }); !errors.Is(err, errNo) {
		t.Errorf("error %v", err)
	}
	if _, err := table.Requests.Get(ctx, r.ID); !errors.Is(err, approvals.ErrNotFound) {
		t.Errorf("a change that was refused left a request: %v", err)
	}
	if _, err := table.CreateRequest(ctx, r, note); err != nil {
		t.Fatal(err)
	}
	if _, err := table.CreateRequest(ctx, r, note); !errors.Is(err, approvals.ErrConflict) {
		t.Errorf("a second time: %v", err)
	}
	a, err := table.Get(ctx, r.Alert)
	if err != nil || len(a.Requests) != 1 {
		t.Errorf("%+v %v", a, err)
	}
	if got, err := table.Requests.Get(ctx, r.ID); err != nil || got.Revision != 1 {
		t.Errorf("%+v %v", got, err)
	}
}

// TestUnreadableRowHidesNoOther: what is to be drawn, waits or sleeps is found; a row that can't
// be read hides no other.
func TestUnreadableRowHidesNoOther(t *testing.T) {
	ctx := t.Context()
	store := memory.NewStore()
	table := alerts.Table{Requests: approvals.Requests{Store: store}}
	want := map[string]bool{}
	for i := range 12 {
		a := alertRow(fmt.Sprint(i))
		if err := table.Create(ctx, a); err != nil {
			t.Fatal(err)
		}
		_, err := table.Change(ctx, a.ID, func(a *alerts.Alert) error {
			switch i % 4 {
			case 0: // waits
				want[a.ID] = true
			case 1: // drawn
				a.Card.Revision = a.Revision
			case 2: // asleep
				a.Card.Revision, a.State = a.Revision, alerts.Snoozed
				want[a.ID] = true
			case 3: // in a digest
				a.DigestID = "DG-000000000000"
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	d := alerts.NewDigest("C1", "seed", time.Unix(0, 0))
	bad := []approvals.Put{
		{Row: approvals.Row{Key: approvals.Key{Part: "AL-ZZZZZZZZZZZZ", Sort: "alert"}, Body: []byte(`{"id":7}`), Marks: []string{approvals.MarkAlert}}},
		{Row: approvals.Row{Key: approvals.Key{Part: "DG-000000000000", Sort: "digest"}, Body: []byte(`{}`), Marks: []string{approvals.MarkAlert}}},
	}
	if err := store.Write(ctx, bad...); err != nil {
		t.Fatal(err)
	}
	if _, err := table.AddToDigest(ctx, d, nil, []alerts.DigestItem{{Alert: "AL-1"}}); err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	unreadable := 0
	for after := ""; ; {
		as, err := table.Marked(ctx, after, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range as {
			after = a.ID
			if a.State == "" {
				unreadable++
				continue
			}
			got[a.ID] = true
		}
		if len(as) < 2 {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || unreadable != 1 {
		t.Errorf("%d can't be read; %s", unreadable, diff)
	}
	ds, err := table.UnpostedDigests(ctx, 10)
	if err != nil || len(ds) != 2 {
		t.Fatalf("digests %+v, %v", ds, err)
	}
	for _, x := range ds {
		if readable := x.Card.Channel != ""; readable != (x.ID == d.ID) {
			t.Errorf("digest %+v", x)
		}
	}
	if _, err := table.ChangeDigest(ctx, d.ID, func(d *alerts.Digest) error { d.Card.TS = "1.0"; return nil }); err != nil {
		t.Fatal(err)
	}
	if ds, err := table.UnpostedDigests(ctx, 10); err != nil || len(ds) != 1 {
		t.Errorf("digests after one was posted: %+v, %v", ds, err)
	}
}

// TestAddToDigest: the alerts, the list and the counts go together.
func TestAddToDigest(t *testing.T) {
	ctx := t.Context()
	table := alerts.Table{Requests: approvals.Requests{Store: memory.NewStore()}}
	d := alerts.NewDigest("C1", "seed", time.Unix(0, 0))
	var want []string
	add := func(n int) {
		t.Helper()
		var as []alerts.Alert
		var items []alerts.DigestItem
		for i := range n {
			a := alertRow(fmt.Sprint(d.N, " ", i))
			if err := table.Create(ctx, a); err != nil {
				t.Fatal(err)
			}
			a, err := table.Get(ctx, a.ID)
			if err != nil {
				t.Fatal(err)
			}
			as = append(as, a)
			items = append(items, alerts.DigestItem{Alert: a.ID, Severity: float64(d.N + i), Level: "low", Type: fmt.Sprint("T", i%3), Account: "1"})
			want = append(want, a.ID)
		}
		var err error
		if d, err = table.AddToDigest(ctx, d, as, items); err != nil {
			t.Fatal(err)
		}
	}
	add(alerts.DigestPart)
	add(1)
	add(30)
	if stored, err := table.Digest(ctx, d.ID); err != nil || cmp.Diff(d, stored) != "" {
		t.Errorf("%v %s", err, cmp.Diff(d, stored))
	}
	if d.N != 111 || d.Levels["low"] != 111 || d.Types["T0"] != 27+1+10 || d.Accounts["1"] != 111 || len(d.Worst) != 5 || d.Worst[0].Severity != 110 {
		t.Errorf("%+v", d)
	}
	for _, limit := range []int{1, 7, 20, 200} {
		var got []string
		for n := 0; n < d.N; {
			items, err := table.DigestItems(ctx, d, n, limit)
			if err != nil || len(items) == 0 || len(items) > limit {
				t.Fatalf("from %d: %d items, %v", n, len(items), err)
			}
			for _, it := range items {
				got = append(got, it.Alert)
			}
			n += len(items)
		}
		if !slices.Equal(got, want) {
			t.Errorf("pages of %d: %d alerts", limit, len(got))
		}
	}
	for _, n := range []int{-1, 111, 1000} {
		if _, err := table.DigestItems(ctx, d, n, 20); !errors.Is(err, approvals.ErrNotFound) {
			t.Errorf("from %d: %v", n, err)
		}
	}
	for _, id := range want {
		if a, err := table.Get(ctx, id); err != nil || a.DigestID != d.ID || a.Stale() {
			t.Errorf("%+v %v", a, err)
		}
	}

	// One that was changed meanwhile stops all of it.
	old, err := table.Get(ctx, want[0])
	if err != nil {
		t.Fatal(err)
	}
	old.Version--
	if _, err := table.AddToDigest(ctx, d, []alerts.Alert{old}, []alerts.DigestItem{{Alert: old.ID}}); !errors.Is(err, approvals.ErrConflict) {
		t.Errorf("error %v", err)
	}
	if stored, err := table.Digest(ctx, d.ID); err != nil || cmp.Diff(d, stored) != "" {
		t.Errorf("after a conflict: %v %s", err, cmp.Diff(d, stored))
	}
}

// TestRateLimitReserves: 30 in any minute, a second and a half apart, not too far ahead.
func TestRateLimitReserves(t *testing.T) {
	const ahead = 20 * time.Second
	began := time.Unix(1000, 0)
	var r alerts.RateLimit
	var all []time.Time
	for now := began; now.Before(began.Add(10 * time.Minute)); now = now.Add(700 * time.Millisecond) {
		at, ok := r.Reserve(now, now.Add(ahead), alerts.RatePosts, "a")
		if !ok {
			continue
		}
		if at.Before(now) || at.After(now.Add(ahead)) {
			t.Fatalf("at %s a slot at %s", now, at)
		}
		all = append(all, at)
	}
	for i := range all {
		if i > 0 && all[i].Sub(all[i-1]) < alerts.RatePause {
			t.Errorf("slots at %s and %s", all[i-1], all[i])
		}
		if i >= alerts.RatePosts && all[i].Sub(all[i-alerts.RatePosts]) < alerts.RateSpan {
			t.Errorf("%d slots from %s to %s", alerts.RatePosts+1, all[i-alerts.RatePosts], all[i])
		}
	}
	if n := len(all); n < 300 || n > 330 {
		t.Errorf("%d slots in ten minutes", n)
	}
	if len(r.Slots) != alerts.RatePosts || len(r.Of) != alerts.RatePosts {
		t.Errorf("%d slots are kept", len(r.Slots))
	}

	for name, tt := range map[string]struct {
		room alerts.RateLimit
		ok   bool
		at   time.Duration
	}{
		"an empty channel":     {alerts.RateLimit{}, true, 0},
		"closed for a while":   {alerts.RateLimit{PausedUntil: began.Add(10 * time.Second)}, true, 10 * time.Second},
		"just not too long":    {alerts.RateLimit{PausedUntil: began.Add(ahead)}, true, ahead},
		"closed for too long":  {alerts.RateLimit{PausedUntil: began.Add(ahead + 1)}, false, 0},
		"was closed":           {alerts.RateLimit{PausedUntil: began.Add(-time.Second)}, true, 0},
		"after the last":       {alerts.RateLimit{Slots: []time.Time{began.Add(9 * time.Second)}}, true, 9*time.Second + alerts.RatePause},
		"the last is long ago": {alerts.RateLimit{Slots: []time.Time{began.Add(-time.Hour)}}, true, 0},
	} {
		before := slices.Clone(tt.room.Slots)
		at, ok := tt.room.Reserve(began, began.Add(ahead), alerts.RatePosts, "a")
		if ok != tt.ok || ok && at.Sub(began) != tt.at {
			t.Errorf("%s: %s %v", name, at, ok)
		}
		if !ok && !slices.Equal(before, tt.room.Slots) {
			t.Errorf("%s: refused, and changed", name)
		}
	}
}

// TestChangeRateLimitAtOnce: of many workers each gets a time of its own.
func TestChangeRateLimitAtOnce(t *testing.T) {
	ctx := t.Context()
	table := alerts.Table{Requests: approvals.Requests{Store: memory.NewStore()}}
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[time.Time]bool{}
	for range 50 {
		wg.Go(func() {
			var at time.Time
			errFull := errors.New("full")
			err := table.ChangeRateLimit(ctx, "C1", func(r *alerts.RateLimit) error {
				var ok bool
				if at, ok = r.Reserve(time.Unix(1000, 0), time.Unix(1050, 0), alerts.RatePosts, "a"); !ok {
					return errFull
				}
				return nil
			})
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				got[at] = true
			} else if !errors.Is(err, errFull) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(got) != alerts.RatePosts {
		t.Errorf("%d times for 50 who asked, want %d", len(got), alerts.RatePosts)
	}
	if r, err := table.RateLimit(ctx, "C2"); err != nil || len(r.Slots) != 0 {
		t.Errorf("another channel: %+v %v", r, err)
	}
}
