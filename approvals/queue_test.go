package approvals_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

func TestRunJob(t *testing.T) {
	if got := approvals.RunJob(rowID, approvals.Intent{}); got != (approvals.Job{Verb: approvals.JobRun, ID: rowID}) {
		t.Errorf("%+v", got)
	}
	if got := approvals.RunJob(rowID, approvals.Intent{Undo: "KS-000000000000"}); got != (approvals.Job{Verb: approvals.JobUndo, ID: rowID}) {
		t.Errorf("%+v, want the job of this request, not of what it undoes", got)
	}
}

// TestJobsThatOnlyLookHaveTheirOwnQueue: none of them waits before a containment.
func TestJobsThatOnlyLookHaveTheirOwnQueue(t *testing.T) {
	for verb, looks := range map[approvals.Verb]bool{
		approvals.JobPlan: false, approvals.JobRun: false, approvals.JobUndo: false, approvals.JobClose: false,
		approvals.JobLook: true, approvals.JobReport: true, approvals.JobActivity: true, approvals.JobNotify: true,
	} {
		jobs, checks := &bodies{}, &bodies{}
		to, not := jobs, checks
		if looks {
			to, not = checks, jobs
		}
		err := approvals.JobQueues{Jobs: jobs, Checks: checks}.Send(t.Context(), approvals.Job{Verb: verb, ID: rowID}, time.Minute)
		if err != nil || to.body == nil || to.delay != time.Minute || not.body != nil {
			t.Errorf("%s: %v, jobs %q, checks %q", verb, err, jobs.body, checks.body)
		}
	}
}

// bodies is a queue that keeps the last message.
type bodies struct {
	body  []byte
	delay time.Duration
	err   error
}

func (b *bodies) Send(_ context.Context, body []byte, delay time.Duration) error {
	b.body, b.delay = body, delay
	return b.err
}

// TestHandlerGetsWhatWasSent: what is sent is what is handled, and nobody handles or hears of
// success what was neither.
func TestHandlerGetsWhatWasSent(t *testing.T) {
	q := &bodies{}
	sent := approvals.Job{Verb: approvals.JobRun, ID: rowID}
	if err := (approvals.JSON[approvals.Job]{Queue: q}).Send(t.Context(), sent, time.Minute); err != nil || q.delay != time.Minute {
		t.Fatalf("%v, delay %s", err, q.delay)
	}
	var got []approvals.Job
	handler := errors.New("the handler's")
	handle := approvals.Decoded(func(_ context.Context, j approvals.Job) error { got = append(got, j); return handler })
	if err := handle(t.Context(), q.body); !errors.Is(err, handler) || len(got) != 1 || got[0] != sent {
		t.Errorf("%v, handled %+v", err, got)
	}
	for _, body := range []string{"", "{", `{"verb":1,"id":"` + rowID + `"}`, `[]`} {
		if err := handle(t.Context(), []byte(body)); err == nil || errors.Is(err, handler) || len(got) != 1 {
			t.Errorf("%q: %v, handled %+v", body, err, got[1:])
		}
	}
	q.err = errors.New("the queue's")
	if err := (approvals.JSON[approvals.Job]{Queue: q}).Send(t.Context(), sent, 0); !errors.Is(err, q.err) {
		t.Errorf("an outage of the queue: %v", err)
	}
	if err := (approvals.JSON[chan int]{Queue: &bodies{}}).Send(t.Context(), nil, 0); err == nil {
		t.Error("what is no JSON is sent")
	}
}
