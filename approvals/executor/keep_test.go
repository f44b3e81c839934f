package executor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
	"github.com/killswitch-chatops/killswitch/approvals/memory"
	"github.com/killswitch-chatops/killswitch/approvals/s3"
)

const vault = "777777777777"

// withBucket is a world whose heads go to a bucket in an account of its own.
func withBucket(w *world) {
	w.cfg.Bucket = "killswitch-audit-heads"
	w.aws.Account(vault).AddBucket(awsfake.Bucket{Name: w.cfg.Bucket, ObjectLock: true, Policy: w.aws.HeadsPolicy(w.cfg.Bucket)})
}

// kept are the heads that the bucket has of a request: after which event, and for how many days at least.
func (w *world) kept(r approvals.Request) (events []string) {
	w.t.Helper()
	heads, strange, err := s3.New(w.aws.Admin(vault), w.cfg.Bucket, "", "").Heads(w.t.Context())
	w.must(err)
	rec, err := approvals.Runs{Reader: w.Runs.Store}.Audit(w.t.Context(), r.ID)
	w.must(err)
	var own []audit.Kept
	for _, k := range heads {
		if k.ID != r.ID {
			continue
		}
		own = append(own, k)
		events = append(events, rec.Events[k.Seq-1].Event)
		if k.Until.Before(k.At.Add(w.cfg.Retention)) {
			w.t.Errorf("the head of %d is locked until %s, taken %s", k.Seq, k.Until, k.At)
		}
	}
	if err := rec.Against(own); err != nil || len(strange) > 0 {
		w.t.Errorf("%v, strange %q", err, strange)
	}
	for _, o := range w.aws.Objects(w.cfg.Bucket) {
		if k, err := audit.ParseKept(o.Key); err != nil || !o.LockedTo.Equal(k.Until) {
			w.t.Errorf("%+v", o)
		}
	}
	return events
}

// TestHeadsAreKeptWhenItMatters: at the claim, contained, daily while it is in force, and undone, each once, in an
// account that the executor can't read in.
func TestHeadsAreKeptWhenItMatters(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withBucket)
	r := w.state(w.types(alice, revoke), approvals.Pending)
	if got := w.kept(r); len(got) > 0 {
		t.Errorf("before the claim: %q", got)
	}
	w.clicks(bob, r, "approve")
	w.state(r, approvals.Contained)
	got := w.kept(r)
	if len(got) == 0 || got[len(got)-1] != "contained" {
		t.Errorf("contained: %q", got)
	}
	n := len(got)
	for range 30 { // a day and more, by the looks
		w.clock.Add(time.Hour)
		w.sweep()
		w.drain()
	}
	if got = w.kept(r); len(got) != n+1 || got[n] != "rechecked" {
		t.Errorf("after a day: %q", got)
	}
	u := w.undo(r)
	if got = w.kept(r); len(got) != n+2 || got[n+1] != "undone" {
		t.Errorf("undone: %q", got)
	}
	if got = w.kept(u); len(got) == 0 || got[len(got)-1] != "restored" {
		t.Errorf("of the undo: %q", got)
	}
	for range 3 {
		w.must(w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobKeep, ID: r.ID}))
	}
	if again := w.kept(r); len(again) != n+2 {
		t.Errorf("asked again: %q", again)
	}
}

// TestClaimIsKeptBeforeTheEnd: a run that takes its time has the head of its claim in the bucket meanwhile.
func TestClaimIsKeptBeforeTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withBucket)
	r := w.state(w.types(alice, revoke), approvals.Pending)
	w.bring(w.button(bob, r, "approve"))
	other := w.worker()
	w.during("iam:PutRolePolicy", func() { w.must(other.Handle(t.Context(), approvals.Job{Verb: approvals.JobKeep, ID: r.ID})) })
	w.drain()
	w.state(r, approvals.Contained)
	if got := w.kept(r); len(got) != 2 || got[1] != "contained" {
		t.Errorf("%q", got)
	}
}

// TestEveryEndIsKept: a partial containment, and requests that never ran.
func TestEveryEndIsKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(*world) approvals.Request
		want string
	}{
		"partial": {func(w *world) approvals.Request { return w.failed() }, "partial"},
		"denied":  {func(w *world) approvals.Request { return w.clicks(bob, w.types(alice, revoke), "deny") }, "denied"},
		"refused": {func(w *world) approvals.Request { return w.types(alice, "revoke_sessions prod/nobody reason=x") }, "refused"},
		"expired": {func(w *world) approvals.Request {
			r := w.types(alice, revoke)
			w.pass(32 * time.Minute)
			return r
		}, "expired"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withBucket)
			r := c.end(w)
			w.drain()
			if got := w.kept(r); len(got) == 0 || got[len(got)-1] != c.want {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestBucketThatRefusesHoldsNothingUp: the containment is as without a bucket; what is not taken is told beside the
// chain, tried again every quarter of an hour, once, and taken when the bucket is mended.
func TestBucketThatRefusesHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withBucket)
	mend := w.breaks("s3:PutObject")
	plain := newWorld(t)
	var calls [2][]string
	for i, w := range []*world{w, plain} {
		began := w.clock.Now()
		w.contained(revoke)
		if took := w.clock.Now().Sub(began); took > 0 {
			t.Errorf("it took %s", took)
		}
		for _, c := range w.calls() {
			if !strings.HasPrefix(c, "s3:") {
				calls[i] = append(calls[i], c)
			}
		}
	}
	if d := cmp.Diff(calls[1], calls[0]); d != "" {
		t.Errorf("with a bucket that refuses AWS is asked (-without, +with):\n%s", d)
	}
	rs, err := w.table().Marked(t.Context(), approvals.MarkInForce, "", 10)
	w.must(err)
	r := rs[0]
	rec, err := approvals.Runs{Reader: w.Runs.Store}.Audit(t.Context(), r.ID)
	if b := rec.Bucket; err != nil || b == nil || b.Seq != 0 || b.Failed == "" || b.Since.IsZero() {
		t.Fatalf("noted: %+v, %v", rec.Bucket, err)
	}
	before := w.called("s3:PutObject")
	w.pass(time.Hour + time.Minute)
	if n := w.called("s3:PutObject") - before; n < 3 || n > 6 {
		t.Errorf("tried %d times in an hour", n)
	}
	mend()
	w.pass(16 * time.Minute)
	rec, err = approvals.Runs{Reader: w.Runs.Store}.Audit(t.Context(), r.ID)
	if b := rec.Bucket; err != nil || b.Failed != "" || b.Seq == 0 || !b.Since.IsZero() {
		t.Errorf("mended: %+v, %v", rec.Bucket, err)
	}
	if got := w.kept(r); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// TestQueueThatIsDownHoldsNothingUp: the job at the claim is sent beside the run.
func TestQueueThatIsDownHoldsNothingUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withBucket)
	r := w.state(w.types(alice, revoke), approvals.Pending)
	w.bring(w.button(bob, r, "approve"))
	stuck := make(chan struct{})
	w.executor.Jobs = slowKeeps{w.executor.Jobs, stuck}
	applied := false
	w.during("iam:PutRolePolicy", func() { applied = true; close(stuck) }) // the run gets there although the send has not returned
	w.drain()
	if w.state(r, approvals.Contained); !applied {
		t.Error("nothing was applied")
	}
}

// slowKeeps is a queue that takes no job for a head until then.
type slowKeeps struct {
	approvals.Sender[approvals.Job]
	until chan struct{}
}

func (s slowKeeps) Send(ctx context.Context, j approvals.Job, d time.Duration) error {
	if j.Verb == approvals.JobKeep {
		<-s.until
	}
	return s.Sender.Send(ctx, j, d)
}

// TestForgedNotesAreNotBelieved: whoever writes the row beside the chain keeps no later head from the bucket.
func TestForgedNotesAreNotBelieved(t *testing.T) {
	t.Parallel()
	for name, forged := range map[string]string{
		"far ahead":         `{"seq": 999999}`,
		"before the first":  `{"seq": -1, "outcome": "undone", "attempt": 1}`,
		"tried in a year":   `{"seq": 1, "next": "2030-01-01T00:00:00Z"}`,
		"brought in a year": `{"seq": 1, "outcome": "undone", "attempt": 1, "at": "2030-01-01T00:00:00Z"}`,
		"not a note":        `"x"`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withBucket)
			r := w.contained(revoke)
			row, err := w.Runs.Store.Get(t.Context(), approvals.BucketKey(r.ID))
			w.must(err)
			row.Body = []byte(forged)
			w.must(w.Runs.Store.Write(t.Context(), approvals.Put{Row: row}))
			w.undo(r)
			if got := w.kept(r); len(got) == 0 || got[len(got)-1] != "undone" {
				t.Errorf("%q", got)
			}
		})
	}
}

// TestWhatIsKeptExpiresWithTheRest: the row beside the chain, also where its head came to the bucket later.
func TestWhatIsKeptExpiresWithTheRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withBucket)
	r := w.clicks(bob, w.types(alice, revoke), "deny")
	w.drain()
	w.must(w.Runs.Store.(*memory.Store).Sweep(t.Context(), w.clock.Now().Add(401*24*time.Hour)))
	if rows := w.rows(w.Runs.Store, r.ID); len(rows) != 0 {
		t.Errorf("%d rows are left, the first is %s", len(rows), rows[0].Sort)
	}
}
