package dynamodb_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/dynamodb"
)

func put(sort string, version int64, marks ...string) approvals.Put {
	return approvals.Put{Row: approvals.Row{Key: approvals.Key{Part: "KS-1", Sort: sort}, Version: version, Body: []byte(`{}`), Marks: marks}}
}

func remove(sort string, version int64) approvals.Put {
	p := put(sort, version)
	p.Delete = true
	return p
}

// TestItem: the template's indexes are on these attributes.
func TestItem(t *testing.T) {
	w := newWire(t)
	p := put("request", 0, "open", "stale")
	p.Expires = time.Unix(1893553445, 1)
	if err := w.store("open", "in_force", "stale").Write(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	got := w.rows["KS-1 request"]
	if id, _ := got["w"]["S"].(string); len(id) != 26 {
		t.Errorf("written by %q", id)
	}
	delete(got, "w")
	s, n := func(s string) map[string]any { return map[string]any{"S": s} }, func(n string) map[string]any { return map[string]any{"N": n} }
	want := item{
		"pk": s("KS-1"), "sk": s("request"), "v": n("1"), "b": {"B": "e30="}, "ttl": n("1893553446"),
		"mark_open": s("1"), "mark_stale": s("1"), "mk": s("KS-1\x00request"),
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// TestRefused: what can't be written is told before anything is sent.
func TestRefused(t *testing.T) {
	w := newWire(t)
	s := w.store("open")
	for want, puts := range map[string][]approvals.Put{
		`no index for the mark "stale"`:               {put("a", 0, "stale")},
		`row "KS-1" "a" is empty or written twice`:    {put("a", 0), put("a", 0)},
		"KS-1 b: table requests has no index for the": {put("a", 0), put("b", 0, "opne")},
	} {
		err := s.Write(t.Context(), puts...)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if err := s.Write(t.Context()); err != nil {
		t.Error(err)
	}
	if w.calls > 0 {
		t.Errorf("%d requests", w.calls)
	}
}

// TestPartsEnd: nothing is left of the bodies of rows that were written again, deleted,
// or not written at all.
func TestPartsEnd(t *testing.T) {
	w := newWire(t)
	s, ctx := w.store("open"), t.Context()
	large := func(sort string, version int64, body string) approvals.Put {
		p := put(sort, version)
		p.Body = bytes.Repeat([]byte(body), 300<<10)
		return p
	}
	parts := func(what string, want int) {
		t.Helper()
		n := 0
		for name, it := range w.rows {
			if !strings.HasPrefix(name, "part#") {
				continue
			}
			if it["b"] != nil {
				n++
			} else if it["ttl"] == nil {
				t.Errorf("%s: %s never expires", what, name)
			}
		}
		if n != want {
			t.Errorf("%s: %d parts, want %d", what, n, want)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Write(ctx, large("a", 0, "1"), large("b", 0, "2"), put("c", 0)))
	parts("new rows", 4)
	for name, p := range map[string]approvals.Put{"a row": large("a", 7, "3"), "a deleted row": large("new", 1, "3")} {
		for _, puts := range [][]approvals.Put{{p}, {p, put("d", 0)}} {
			if err := s.Write(ctx, puts...); !errors.Is(err, approvals.ErrConflict) {
				t.Errorf("%s: %v", name, err)
			}
			parts("after a conflict", 4)
		}
	}
	must(s.Write(ctx, large("a", 1, "4")))
	parts("a row, written again", 4)
	expires := large("b", 1, "2")
	expires.Expires = time.Unix(1893553445, 0)
	must(s.Write(ctx, expires))
	parts("a row that expires", 4)
	ttls := 0
	for name, it := range w.rows {
		if strings.HasPrefix(name, "part#") && it["b"] != nil && it["ttl"]["N"] == "1893553445" {
			ttls++
		}
	}
	if ttls != 2 {
		t.Errorf("%d parts expire with their row", ttls)
	}
	other := w.store("open") // another process, which has to read before it can write
	row, err := other.Get(ctx, put("a", 2).Key)
	must(err)
	if row.Version != 2 || len(row.Body) != 300<<10 || row.Body[0] != '4' {
		t.Errorf("read %d bytes at version %d", len(row.Body), row.Version)
	}
	must(other.Write(ctx, put("a", 2)))
	parts("a row that is small again", 2)
	must(s.Write(ctx, remove("b", 2), put("c", 1)))
	parts("a deletion", 0)
	w.faults = []fault{{}, {}, {lost: true}}
	must(s.Write(ctx, large("a", 3, "5")))
	parts("a lost answer", 2)
	w.faults = []fault{{}, {}, {answer: "TransactionConflictException"}, {answer: "TransactionConflictException"}, {answer: "TransactionConflictException"}}
	if err := s.Write(ctx, large("a", 4, "6")); !errors.Is(err, approvals.ErrConflict) {
		t.Errorf("got %v", err)
	}
	parts("a transaction in the way", 2)
	w.faults = []fault{{}, {}, {lost: true}, {answer: "TransactionConflictException"}, {answer: "TransactionConflictException"}}
	if err := s.Write(ctx, large("a", 4, "6")); !errors.Is(err, approvals.ErrConflict) { // and it was written
		t.Errorf("got %v", err)
	}
	row, err = s.Get(ctx, row.Key)
	must(err)
	if row.Version != 5 || len(row.Body) != 300<<10 || row.Body[0] != '6' {
		t.Errorf("read %d bytes at version %d", len(row.Body), row.Version)
	}
}

// TestPartsOfAnotherVersion: a reader never sees half a row, whatever is written meanwhile.
func TestPartsOfAnotherVersion(t *testing.T) {
	w := newWire(t)
	s, ctx := w.store(), t.Context()
	body := func(b byte) (p approvals.Put) {
		p = put("a", 0)
		p.Body = bytes.Repeat([]byte{b}, 600<<10)
		return p
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Write(ctx, body('1')))
	again := body('2')
	again.Version = 1
	w.faults = []fault{{}, {then: func() { must(s.Write(ctx, again)) }}} // between two parts
	row, err := w.store().Get(ctx, again.Key)
	must(err)
	if row.Version != 2 || !bytes.Equal(row.Body, again.Body) {
		t.Errorf("version %d, %d bytes", row.Version, len(row.Body))
	}
	w.faults = []fault{{}, {then: func() { must(s.Write(ctx, remove("a", 2))) }}}
	if _, err := w.store().Get(ctx, again.Key); !errors.Is(err, approvals.ErrNotFound) {
		t.Errorf("deleted meanwhile: %v", err)
	}
	must(s.Write(ctx, body('3')))
	for name := range w.rows {
		if strings.HasPrefix(name, "part#") {
			delete(w.rows, name)
		}
	}
	if _, err := w.store().Get(ctx, again.Key); err == nil || errors.Is(err, approvals.ErrNotFound) {
		t.Errorf("without its parts: %v", err)
	}
}

// TestForeignItem: an item that is none of ours is an error, and does not stop the process.
func TestForeignItem(t *testing.T) {
	w := newWire(t)
	str := func(s string) map[string]any { return map[string]any{"S": s} }
	w.rows["KS-1 a"] = item{"pk": str("KS-1"), "sk": str("a"), "v": str("1"), "b": str("{}")}
	_, err := w.store().Get(t.Context(), put("a", 0).Key)
	if err == nil || !strings.Contains(err.Error(), "not a row of Killswitch") {
		t.Errorf("got %v", err)
	}
}

// TestLostAnswer: a write that took effect is a success, however often it was sent.
func TestLostAnswer(t *testing.T) {
	for name, puts := range map[string][]approvals.Put{
		"new row":  {put("new", 0)},
		"row":      {put("a", 1)},
		"deletion": {remove("a", 1)},
		"many":     {put("new", 0), put("a", 1), remove("b", 1)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t)
				s := w.store()
				if err := s.Write(t.Context(), put("a", 0), put("b", 0)); err != nil {
					t.Fatal(err)
				}
				w.calls, w.faults = 0, []fault{{lost: true}, {lost: true}}
				if err := s.Write(t.Context(), puts...); err != nil || w.calls != 3 {
					t.Errorf("%v after %d requests", err, w.calls)
				}
				for _, p := range puts {
					row, err := s.Get(t.Context(), p.Key)
					if p.Delete != errors.Is(err, approvals.ErrNotFound) || !p.Delete && row.Version != p.Version+1 {
						t.Errorf("%v: %v at version %d", p.Key, err, row.Version)
					}
				}
				if err := s.Write(t.Context(), puts...); !errors.Is(err, approvals.ErrConflict) {
					t.Errorf("another write of the same: %v", err)
				}
			})
		})
	}
}

// TestLostAnswerAndOverwritten: a transaction is known by its token, also when
// nothing is left of it. A single row is not; its writer reads again.
func TestLostAnswerAndOverwritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t)
		s := w.store()
		overwrite := func(puts ...approvals.Put) fault {
			return fault{lost: true, then: func() {
				if err := s.Write(t.Context(), puts...); err != nil {
					t.Error(err)
				}
			}}
		}
		w.faults = []fault{overwrite(put("a", 1), remove("b", 1))}
		if err := s.Write(t.Context(), put("a", 0), put("b", 0)); err != nil {
			t.Errorf("rows: %v", err)
		}
		w.faults = []fault{overwrite(put("a", 0))}
		if err := s.Write(t.Context(), remove("a", 2)); err != nil {
			t.Errorf("a deletion: %v", err)
		}
		w.faults = []fault{overwrite(put("c", 1))}
		if err := s.Write(t.Context(), put("c", 0)); !errors.Is(err, approvals.ErrConflict) {
			t.Errorf("a row: %v", err)
		}
	})
}

// TestFaults: which refusals are a conflict, which are tried again, how often and how long.
func TestFaults(t *testing.T) {
	cancelled := func(codes ...string) string {
		reasons := make([]string, len(codes))
		for i, c := range codes {
			reasons[i] = fmt.Sprintf(`{"Code":%q,"Message":"said the fake"}`, c)
		}
		return `{"__type":"TransactionCanceledException","CancellationReasons":[` + strings.Join(reasons, ",") + `]}`
	}
	one, two := []approvals.Put{put("a", 0)}, []approvals.Put{put("a", 0), put("b", 0)}
	const conflict = "somebody else wrote first"
	for _, c := range []struct {
		name   string
		puts   []approvals.Put
		answer string
		status int
		calls  int
		want   string
	}{
		{"one condition of two", two, cancelled("None", "ConditionalCheckFailed"), 0, 1, conflict},
		{"a condition and a conflict", two, cancelled("TransactionConflict", "ConditionalCheckFailed"), 0, 1, conflict},
		{"a condition and a throttle", two, cancelled("ConditionalCheckFailed", "ThrottlingError"), 0, 1, conflict},
		{"a transaction in the way", two, cancelled("None", "TransactionConflict"), 0, 3, conflict},
		{"a transaction in the way of a row", one, "TransactionConflictException", 0, 3, conflict},
		{"a throttled transaction", two, cancelled("None", "ThrottlingError"), 0, 3, "row KS-1 b: ThrottlingError: said the fake"},
		{"a throttle and a conflict", two, cancelled("ProvisionedThroughputExceeded", "TransactionConflict"), 0, 3, "row KS-1 a: ProvisionedThroughputExceeded"},
		{"an invalid row", two, cancelled("None", "ValidationError"), 0, 1, "row KS-1 b: ValidationError: said the fake"},
		{"an invalid row and a conflict", two, cancelled("TransactionConflict", "ValidationError"), 0, 1, "row KS-1 b: ValidationError"},
		{"no reasons", two, cancelled(), 0, 1, "TransactionCanceledException"},
		{"the same transaction, at work", two, "TransactionInProgressException", 0, 3, "TransactionInProgressException"},
		{"throttled", one, "ProvisionedThroughputExceededException", 0, 3, "ProvisionedThroughputExceededException"},
		{"throttled by the account", one, "ThrottlingException", 0, 3, "ThrottlingException"},
		{"their fault", one, "InternalServerError", 500, 3, "InternalServerError"},
		{"no permission", one, "AccessDeniedException", 0, 1, "AccessDeniedException"},
		{"no table", two, "ResourceNotFoundException", 0, 1, "ResourceNotFoundException"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t)
				s := w.store()
				f := fault{answer: c.answer, status: c.status}
				w.faults = []fault{f, f, f}
				start := time.Now()
				err := s.Write(t.Context(), c.puts...)
				if err == nil || !strings.Contains(err.Error(), c.want) || errors.Is(err, approvals.ErrConflict) != (c.want == conflict) {
					t.Errorf("got %v, want %s", err, c.want)
				}
				if took := time.Since(start); w.calls != c.calls || took > time.Second || c.calls > 1 && took < 200*time.Millisecond {
					t.Errorf("%d requests in %s, want %d", w.calls, took, c.calls)
				}
				if len(w.rows) > 0 {
					t.Errorf("something was written: %v", w.rows)
				}
				if c.calls == 1 {
					return
				}
				w.faults = []fault{f, f} // and the third is fine
				if err := s.Write(t.Context(), c.puts...); err != nil || len(w.rows) != len(c.puts) {
					t.Errorf("at the third attempt: %v, %d rows", err, len(w.rows))
				}
			})
		})
	}
}

// TestDeadline: the end of the context ends the attempts and the pauses.
func TestDeadline(t *testing.T) {
	for name, f := range map[string]fault{
		"no answer": {hang: true},
		"throttled": {answer: "ThrottlingException"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWire(t)
				s := w.store()
				ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
				defer cancel()
				w.faults = []fault{f}
				start := time.Now()
				err := s.Write(ctx, put("a", 0))
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, approvals.ErrConflict) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(start); took != 50*time.Millisecond || w.calls != 1 {
					t.Errorf("%d requests in %s", w.calls, took)
				}
			})
		})
	}
}

// TestExchange: a server that takes the request and says nothing costs one attempt.
func TestExchange(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then does the server see that the client has left
		if calls.Add(1) == 1 {
			<-r.Context().Done()
			return
		}
		_, _ = rw.Write([]byte("{}"))
	}))
	defer server.Close()
	o := ddb.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("AKIAFAKE", "fake", "")}
	s := dynamodb.New(ddb.New(o, dynamodb.ClientOptions), "requests")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := s.Write(ctx, put("a", 0)); err != nil || calls.Load() != 2 {
		t.Errorf("%v after %d requests", err, calls.Load())
	}
}
