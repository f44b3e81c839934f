package executor_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/bolt"
	"github.com/killswitch-chatops/killswitch/approvals/crashtest"
	"github.com/killswitch-chatops/killswitch/approvals/storetest"
)

// What a process with an executor lives on and dies of: the tables and queues that
// outlive it, and the bot's sweep.

// queue is a queue with both ends in this process.
type queue interface {
	approvals.FairQueue
	approvals.Receiver
}

// stores are where tables and queues can be kept.
var stores = allStores()

func allStores() map[string][]func(*world) {
	all := map[string][]func(*world){"memory": nil, "file": {inFile}}
	if endpoint != "" {
		all["dynamodb"] = []func(*world){inDynamoDB}
	}
	return all
}

// endpoint is a DynamoDB to keep the tables in, of all worlds that are not in a file;
// the end-to-end tests give one.
var endpoint = os.Getenv("KILLSWITCH_TEST_DYNAMODB") //nolint:forbidigo // it is a setting of the test binary

// inDynamoDB keeps the tables in DynamoDB. The queues are in memory, and outlive the
// process as SQS does.
func inDynamoDB(w *world) {
	w.Requests.Store, w.Runs.Store = storetest.NewDynamoDB(w.t, endpoint, approvals.Marks...), storetest.NewDynamoDB(w.t, endpoint)
}

// inFile keeps tables and queues in a file, as serve does.
func inFile(w *world) { w.path = filepath.Join(w.t.TempDir(), "killswitch.db") }

// open opens the file, anew where the process died.
func (w *world) open() {
	w.t.Helper()
	if w.file != nil {
		w.must(w.file.Close())
	}
	f, err := bolt.Open(w.path)
	w.must(err)
	w.t.Cleanup(func() { _ = f.Close() })
	w.file = f
	w.Requests.Store, err = f.Store("requests")
	w.must(err)
	w.Runs.Store, err = f.Store("runs")
	w.must(err)
	w.Jobs, err = f.Queue("jobs", w.clock.Now)
	w.must(err)
	w.Changes, err = f.Queue("changes", w.clock.Now)
	w.must(err)
}

// The bot's sweep, as far as it keeps requests going.
const jobOverdue = 15 * time.Second // after which a job that shows no effect is sent again

// sweep sends again the jobs that got lost, and expires what nobody decided.
func (w *world) sweep() {
	w.t.Helper()
	for _, mark := range []string{approvals.MarkOpen, approvals.MarkInForce} {
		rs, err := w.table().Marked(w.t.Context(), mark, "", 1000)
		w.must(err)
		for _, r := range rs {
			if v := w.overdue(r); v != "" {
				w.sends(v, r)
			}
		}
	}
}

// overdue is the job that a request waits for.
func (w *world) overdue(r approvals.Request) approvals.Verb {
	w.t.Helper()
	now := w.clock.Now()
	since := func(t time.Time, v approvals.Verb) approvals.Verb {
		if now.Sub(t) > jobOverdue {
			return v
		}
		return ""
	}
	verb, expires := approvals.RunJob(r.ID, r.Intent).Verb, r.Expires
	run, _ := approvals.Runs{Reader: w.Runs.Store}.Run(w.t.Context(), r.ID) // forged rows have none
	switch r.State {
	case approvals.Approved:
		last := r.Ready
		for _, v := range r.Votes {
			if v.At.After(last) {
				last = v.At
			}
		}
		if expires = last.Add(w.cfg.Policy.For(r.Intent).RunWithin); !now.After(expires) {
			return since(last, verb)
		}
	case approvals.Running:
		return since(run.Lease.Until, verb)
	case approvals.Denied, approvals.Cancelled, approvals.Expired, approvals.Partial, approvals.Failed:
		if r.State == approvals.Partial && r.Closed && r.Intent.Undo == "" && !run.NextCheck.IsZero() {
			return since(run.NextCheck, approvals.JobLook)
		}
		if r.Closed {
			return ""
		}
		return since(r.Ended, approvals.JobClose)
	case approvals.Undoing:
		w.sends(approvals.JobUndo, approvals.Request{ID: r.UndoneBy})
		return ""
	case approvals.Contained:
		if !run.NextCheck.IsZero() {
			return since(run.NextCheck, approvals.JobLook)
		}
		return ""
	case approvals.Planning, approvals.Pending, approvals.Restored, approvals.Refused, approvals.Undone:
	}
	switch {
	case r.State != approvals.Planning && r.State != approvals.Pending && r.State != approvals.Approved:
		return ""
	case now.After(expires):
		w.edit(r, func(r *approvals.Request) { w.must(r.To(approvals.Expired, now)) })
		return approvals.JobClose
	case r.State == approvals.Planning:
		return since(r.Asked, approvals.JobPlan)
	}
	return ""
}

// mortal lets the process die of what it does in AWS, too.
func mortal(w *world) {
	w.aws.OnCall(func(c awsfake.Call) error { return w.killer.Point(fmt.Sprintf("%s (%v)", c.Op, c.Phase)) })
}

// survive fails on an error that is not the process's death.
func (w *world) survive(err error) {
	w.t.Helper()
	if !errors.Is(err, crashtest.ErrDead) {
		w.must(err)
	}
}

// resurrect starts the process again on what it left behind, if it is dead.
func (w *world) resurrect() {
	w.t.Helper()
	if !w.killer.Revive() {
		return
	}
	w.clock.Add(2 * time.Second)
	w.start()
}

// live lets time pass, over the death of the process, until the end is reached.
func (w *world) live(what string, reached func() bool) {
	w.t.Helper()
	for range 60 {
		if reached() {
			return
		}
		for did := true; did && !w.killer.Dead(); {
			did = w.round()
		}
		w.resurrect()
		w.clock.Add(5 * time.Second)
		w.sweep()
	}
	w.t.Fatalf("killed %s: %s never came about", w.killer.Where(), what)
}
