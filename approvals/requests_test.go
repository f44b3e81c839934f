package approvals_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/memory"
)

const rowID = "KS-4G7QX2M9ZT0B"

func newTable() approvals.Requests { return approvals.Requests{Store: memory.NewStore()} }

// write puts a row as somebody would who can write the table.
func write(t *testing.T, table approvals.Requests, part, sort, body string, marks ...string) {
	t.Helper()
	put := approvals.Put{Row: approvals.Row{Key: approvals.Key{Part: part, Sort: sort}, Body: []byte(body), Marks: marks}}
	if err := table.Store.Write(t.Context(), put); err != nil {
		t.Fatal(err)
	}
}

func TestRequestIsCreatedOnce(t *testing.T) {
	table := newTable()
	const n = 50
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			errs[i] = table.Create(t.Context(), approvals.Request{ID: rowID, State: approvals.Planning, Version: 3, Reason: fmt.Sprint(i)})
		})
	}
	wg.Wait()
	created := 0
	for _, err := range errs {
		if err == nil {
			created++
		} else if !errors.Is(err, approvals.ErrConflict) {
			t.Error(err)
		}
	}
	r, err := table.Get(t.Context(), rowID)
	if created != 1 || err != nil || r.Version != 1 || r.Revision != 1 || !r.Stale() {
		t.Errorf("created %d times: %+v, %v", created, r, err)
	}
	if _, err := table.Get(t.Context(), "KS-000000000000"); !errors.Is(err, approvals.ErrNotFound) {
		t.Error(err)
	}
}

func TestChangeLosesNothing(t *testing.T) {
	table := newTable()
	if err := table.Create(t.Context(), approvals.Request{ID: rowID, State: approvals.Pending}); err != nil {
		t.Fatal(err)
	}
	const n = 50
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			r, err := table.Change(t.Context(), rowID, func(r *approvals.Request) error {
				r.Votes = append(r.Votes, vote(fmt.Sprint(i)))
				r.Revise()
				return nil
			})
			if err != nil || r.Votes[len(r.Votes)-1].Person != fmt.Sprint(i) || r.Version != int64(len(r.Votes))+1 {
				t.Errorf("%d: %+v, %v", i, r, err)
			}
		})
	}
	wg.Wait()
	r, err := table.Get(t.Context(), rowID)
	if err != nil {
		t.Fatal(err)
	}
	voters := map[string]bool{}
	for _, v := range r.Votes {
		voters[v.Person] = true
	}
	if len(voters) != n || len(r.Votes) != n || r.Version != n+1 || r.Revision != n+1 {
		t.Errorf("%d voters, %d votes, version %d, revision %d", len(voters), len(r.Votes), r.Version, r.Revision)
	}
}

func TestChangeStops(t *testing.T) {
	table := newTable()
	if err := table.Create(t.Context(), approvals.Request{ID: rowID, State: approvals.Pending}); err != nil {
		t.Fatal(err)
	}
	stop := errors.New("stop")
	r, err := table.Change(t.Context(), rowID, func(r *approvals.Request) error { r.Reason = "x"; return stop })
	if !errors.Is(err, stop) || r.ID != rowID {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := table.Get(t.Context(), rowID); err != nil || r.Version != 1 || r.Reason != "" {
		t.Errorf("written all the same: %+v, %v", r, err)
	}
	if _, err := table.Change(t.Context(), "KS-000000000000", func(*approvals.Request) error { return nil }); !errors.Is(err, approvals.ErrNotFound) {
		t.Error(err)
	}
	// Somebody who always writes first is not waited for without end.
	tries := 0
	_, err = table.Change(t.Context(), rowID, func(*approvals.Request) error {
		tries++
		_, err := table.Change(t.Context(), rowID, func(*approvals.Request) error { return nil })
		return err
	})
	if !errors.Is(err, approvals.ErrConflict) || tries < 50 {
		t.Errorf("after %d tries: %v", tries, err)
	}
}

// broken is a store of which a part does not answer.
type broken struct {
	approvals.Store
	get, write, marked error
	writes             int
}

func (b *broken) Get(ctx context.Context, k approvals.Key) (approvals.Row, error) {
	if b.get != nil {
		return approvals.Row{}, b.get
	}
	return b.Store.Get(ctx, k)
}

func (b *broken) Write(ctx context.Context, puts ...approvals.Put) error {
	b.writes++
	if b.write != nil {
		return b.write
	}
	return b.Store.Write(ctx, puts...)
}

func (b *broken) Marked(ctx context.Context, mark string, after approvals.Key, limit int) ([]approvals.Row, error) {
	if b.marked != nil {
		return nil, b.marked
	}
	return b.Store.Marked(ctx, mark, after, limit)
}

// TestOutageIsReturnedUnchanged: what the store does not do is neither done, nor absent,
// nor tried again and again.
func TestOutageIsReturnedUnchanged(t *testing.T) {
	ctx := t.Context()
	outage := errors.New("throttled")
	store := &broken{Store: memory.NewStore()}
	table := approvals.Requests{Store: store}
	if err := table.Create(ctx, approvals.Request{ID: rowID, State: approvals.Pending}); err != nil {
		t.Fatal(err)
	}
	store.get, store.write, store.marked, store.writes = nil, outage, outage, 0
	revise := func(r *approvals.Request) error { r.Revise(); return nil }
	if _, err := table.Change(ctx, rowID, revise); !errors.Is(err, outage) || store.writes != 1 {
		t.Errorf("a change: %v after %d writes", err, store.writes)
	}
	if _, err := table.PutEvidence(ctx, documented, asked); !errors.Is(err, outage) {
		t.Errorf("evidence kept: %v", err)
	}
	if rs, err := table.Marked(ctx, approvals.MarkOpen, "", 10); !errors.Is(err, outage) {
		t.Errorf("marked: %v, %v", rs, err)
	}
	store.get = outage
	if e, err := table.Evidence(ctx, documented.Key()); !errors.Is(err, outage) {
		t.Errorf("evidence: %+v, %v", e, err)
	}
	// Somebody always writes first, and who asked has gone.
	gone, cancel := context.WithCancel(ctx)
	store.get, store.write, store.writes = nil, approvals.ErrConflict, 0
	_, err := table.Change(gone, rowID, func(r *approvals.Request) error { cancel(); return revise(r) })
	if !errors.Is(err, context.Canceled) || store.writes != 1 {
		t.Errorf("nobody waits any more: %v after %d writes", err, store.writes)
	}
}

func TestForgedRowsAreNotRequests(t *testing.T) {
	for name, body := range map[string]string{
		"foreign ID":    `{"id":"KS-000000000000","state":"pending"}`,
		"no ID":         `{"state":"pending"}`,
		"unknown state": `{"id":"` + rowID + `","state":"done"}`,
		"no state":      `{"id":"` + rowID + `"}`,
		"case":          `{"id":"` + rowID + `","state":"Pending"}`,
		"null":          `null`,
		"empty":         ``,
		"wrong type":    `{"id":"` + rowID + `","state":"pending","need":"1"}`,
		"bad time":      `{"id":"` + rowID + `","state":"pending","asked":"soon"}`,
		"no JSON":       `pending`,
	} {
		table := newTable()
		write(t, table, rowID, "request", body)
		if r, err := table.Get(t.Context(), rowID); err == nil || errors.Is(err, approvals.ErrNotFound) {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		called := false
		if _, err := table.Change(t.Context(), rowID, func(*approvals.Request) error { called = true; return nil }); err == nil || called {
			t.Errorf("%s was changed: %v", name, err)
		}
	}
	table := newTable()
	write(t, table, "alert#1", "request", `{"id":"alert#1","state":"pending"}`)
	if r, err := table.Get(t.Context(), "alert#1"); err == nil {
		t.Errorf("%+v is a request", r)
	}
}

func TestMarkedRequestsComeInOrder(t *testing.T) {
	table := newTable()
	ids := []string{"KS-000000000001", "KS-000000000003", "KS-000000000005"}
	for _, id := range ids {
		if err := table.Create(t.Context(), approvals.Request{ID: id, State: approvals.Pending}); err != nil {
			t.Fatal(err)
		}
	}
	write(t, table, "KS-000000000002", "request", `{`, approvals.MarkOpen)
	write(t, table, "KS-000000000004", "request", `{"id":"KS-000000000001","state":"pending"}`, approvals.MarkOpen)
	page := func(after string, limit int) (got []string) {
		t.Helper()
		rs, err := table.Marked(t.Context(), approvals.MarkOpen, after, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rs {
			if good := slices.Contains(ids, r.ID); good != (r.State == approvals.Pending) || good != (r.Version == 1) {
				t.Errorf("%+v", r)
			}
			got = append(got, r.ID[len(r.ID)-1:])
		}
		return got
	}
	if got := page("", 10); !slices.Equal(got, []string{"1", "2", "3", "4", "5"}) {
		t.Error(got)
	}
	// A row that can't be read does not stop the paging.
	if got := append(page("", 2), page("KS-000000000002", 2)...); !slices.Equal(got, []string{"1", "2", "3", "4"}) {
		t.Error(got)
	}
	if got := page("KS-000000000005", 10); got != nil {
		t.Error(got)
	}
	if rs, err := table.Marked(t.Context(), approvals.MarkInForce, "", 10); err != nil || len(rs) != 0 {
		t.Errorf("%v, %v", rs, err)
	}
}

func TestEvidenceIsStoredUnderItsKey(t *testing.T) {
	table := newTable()
	key, err := table.PutEvidence(t.Context(), documented, asked)
	if err != nil || key != documented.Key() {
		t.Fatal(key, err)
	}
	if key, err := table.PutEvidence(t.Context(), documented, asked.Add(time.Hour)); err != nil || key != documented.Key() {
		t.Errorf("again: %s, %v", key, err)
	}
	if e, err := table.Evidence(t.Context(), key); err != nil || e != documented {
		t.Errorf("%+v, %v", e, err)
	}
	row, err := table.Store.Get(t.Context(), approvals.Key{Part: "evidence#" + key, Sort: "evidence"})
	if err != nil || row.Version != 1 || !row.Expires.Equal(asked.Add(7*24*time.Hour)) {
		t.Errorf("%+v, %v", row, err)
	}
	if _, err := table.Evidence(t.Context(), "nothing"); !errors.Is(err, approvals.ErrNotFound) {
		t.Error(err)
	}
	write(t, table, "evidence#other", "evidence", string(row.Body))
	if e, err := table.Evidence(t.Context(), "other"); !isRefusal(err) {
		t.Errorf("under a false key: %+v, %v", e, err)
	}
	write(t, table, "evidence#bad", "evidence", "{")
	if _, err := table.Evidence(t.Context(), "bad"); !isRefusal(err) {
		t.Errorf("what is not JSON is evidence: %v", err)
	}
}

// TestEvidenceKeepsEveryByte, and its row is not much longer, whatever it says.
func TestEvidenceKeepsEveryByte(t *testing.T) {
	for _, body := range []string{"<", "&", "\\u003c", "\u2028", "\x00", "\xff", `"`, "é"} {
		table := newTable()
		e := approvals.Evidence{Kind: approvals.EventEvidence, Body: strings.Repeat(body, 64<<10)}
		key, err := table.PutEvidence(t.Context(), e, asked)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := table.Evidence(t.Context(), key); err != nil || got != e {
			t.Errorf("%q: %v", body, err)
		}
		row, err := table.Store.Get(t.Context(), approvals.Key{Part: "evidence#" + key, Sort: "evidence"})
		if err != nil || len(row.Body) > len(e.Body)*4/3+200 {
			t.Errorf("%q: %d bytes in %d, %v", body, len(e.Body), len(row.Body), err)
		}
	}
}

func TestSecretInTheReasonOfANoIsNotKept(t *testing.T) {
	for _, r := range []approvals.Request{
		{ID: "KS-4G7QX2M9ZT0B", Denial: &approvals.Vote{Reason: "typed into the form: " + secretKey + " was out"}},
		{ID: "KS-4G7QX2M9ZT0B", Cancelled: &approvals.Vote{Reason: secretKey}},
	} {
		put, err := approvals.Requests{}.Put(r)
		if err != nil || strings.Contains(string(put.Body), secretKey[:8]) || r.Denial != nil && !strings.Contains(string(put.Body), "typed into the form: was out") {
			t.Errorf("%v, %s", err, put.Body)
		}
	}
}

func TestMarksFollowTheState(t *testing.T) {
	const keep = 90 * 24 * time.Hour
	for _, s := range states(t) {
		for bits := range 16 {
			closed, drawn, ended, retained := bits&1 > 0, bits&2 > 0, bits&4 > 0, bits&8 > 0
			table := newTable()
			r := approvals.Request{ID: rowID, State: s, Closed: closed}
			if drawn {
				r.Card.Revision = 1
			}
			if ended {
				r.Ended = asked
			}
			if retained {
				table.Retention = keep
			}
			if err := table.Create(t.Context(), r); err != nil {
				t.Fatal(err)
			}
			row, err := table.Store.Get(t.Context(), approvals.Key{Part: rowID, Sort: "request"})
			if err != nil {
				t.Fatal(err)
			}
			over := closed && !lives[string(s)].open
			for mark, want := range map[string]bool{approvals.MarkOpen: !over, approvals.MarkInForce: lives[string(s)].inForce, approvals.MarkStale: !drawn} {
				if slices.Contains(row.Marks, mark) != want || !slices.Contains(approvals.Marks, mark) {
					t.Errorf("%s %04b: mark %s is not %t", s, bits, mark, want)
				}
			}
			var want time.Time
			if over && !lives[string(s)].inForce && drawn && ended && retained {
				want = asked.Add(keep)
			}
			if !row.Expires.Equal(want) {
				t.Errorf("%s %04b: expires %v, want %v", s, bits, row.Expires, want)
			}
		}
	}
}

// TestTaskRunsOncePerPeriod: one is told yes; who dies with it does not keep it.
func TestTaskRunsOncePerPeriod(t *testing.T) {
	ctx := t.Context()
	table := approvals.Requests{Store: memory.NewStore()}
	now := time.Unix(1000, 0)
	ask := func(after time.Duration, want bool, wantErr error) {
		t.Helper()
		if ok, err := table.Once(ctx, "it", 30*time.Second, now.Add(after)); ok != want || !errors.Is(err, wantErr) {
			t.Errorf("after %s: %v %v, want %v %v", after, ok, err, want, wantErr)
		}
	}
	ask(0, true, nil)
	ask(29*time.Second, false, approvals.ErrConflict) // somebody is at it
	ask(30*time.Second, true, nil)                    // and died
	if err := table.Done(ctx, "it", now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	ask(59*time.Minute, false, nil)
	ask(time.Hour, true, nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	yes := 0
	for range 50 {
		wg.Go(func() {
			ok, err := table.Once(ctx, "another", time.Minute, now)
			mu.Lock()
			defer mu.Unlock()
			if ok {
				yes++
			} else if !errors.Is(err, approvals.ErrConflict) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if yes != 1 {
		t.Errorf("%d were told yes", yes)
	}
}
