package approvals

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"
)

// Verb is the kind of a job.
type Verb string

// The jobs. JobClose records the end of a request that never ran in its audit chain.
const (
	JobPlan Verb = "plan"
	JobRun  Verb = "run"
	JobUndo Verb = "undo"
	JobLook Verb = "look" // verifies a containment again, when that is due
	// JobEvent makes the next look due: an event may be about the containment.
	JobEvent  Verb = "event"
	JobClose  Verb = "close"
	JobReport Verb = "report" // reads the target's recent activity
	// JobActivity reads the recent activity of an alert's subject. Its ID is the
	// alert's.
	JobActivity Verb = "activity"
	// JobTrace looks up what the principal of a request or an alert made. Its ID is theirs.
	JobTrace Verb = "trace"
	// JobAttest asks AWS who signed a statement. Its ID is the key of the evidence.
	JobAttest Verb = "attest"
	// JobNotify calls the pager for what nobody answers. Its ID is a request's or an alert's, or
	// an [OutageID] or a [HealthID].
	JobNotify Verb = "notify"
	// JobKeep brings the head of a request's audit chain to the bucket, if that is due.
	JobKeep Verb = "keep"
	// JobHealth has the executor look at its part of the installation. Its ID is a [HealthID].
	JobHealth Verb = "health"
)

// ErrUnreadable is wrapped by the errors of handlers for messages that can never be
// handled. They go to the dead-letter queue at once.
var ErrUnreadable = errors.New("it can't be read")

// Job is a message on the queue jobs or checks: an ID and a verb, no data.
type Job struct {
	Verb Verb   `json:"verb"`
	ID   string `json:"id"`
}

const outagePrefix = "slack-down-since-"

// OutageID stands for Slack not answering.
func OutageID(since time.Time) string { return outagePrefix + strconv.FormatInt(since.Unix(), 10) }

// OutageSince reads an [OutageID].
func OutageSince(id string) (since time.Time, ok bool) {
	text, ok := strings.CutPrefix(id, outagePrefix)
	n, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(n, 0), ok && err == nil && OutageID(time.Unix(n, 0)) == id
}

// RunJob is the job that runs a request or continues its run.
func RunJob(id string, i Intent) Job {
	if i.Undo != "" {
		return Job{JobUndo, id}
	}
	return Job{JobRun, id}
}

// JobQueues are the queues of the executor. Jobs that look and change no state of a request
// have one of their own, with workers of their own: none takes a containment's place.
type JobQueues struct{ Jobs, Checks Queue }

// Send implements [Sender].
func (q JobQueues) Send(ctx context.Context, j Job, delay time.Duration) error {
	to := q.Jobs
	switch j.Verb {
	case JobLook, JobEvent, JobReport, JobActivity, JobTrace, JobNotify, JobKeep, JobHealth:
		to = q.Checks
	case JobPlan, JobRun, JobUndo, JobClose, JobAttest:
	}
	return JSON[Job]{to}.Send(ctx, j, delay)
}

// Change is a message on the queue changes: the card of this request or alert is out of
// date, or it is known who signed the statement with this key.
type Change struct {
	ID string `json:"id"`
	// Of is the person whose request it is, for the queue's turns; it may be empty.
	Of string `json:"-"`
}

// Sender sends messages of one kind to a queue. A message is stored when Send returns.
// It is delivered at least once, in any order, not before delay.
type Sender[T any] interface {
	Send(ctx context.Context, message T, delay time.Duration) error
}

// Queue takes messages of any kind.
type Queue interface {
	Send(ctx context.Context, body []byte, delay time.Duration) error
}

// FairQueue is a Queue that many people send to: their messages are delivered in turns.
type FairQueue interface {
	Queue
	// SendFor sends a message of a group: a person.
	SendFor(ctx context.Context, group string, body []byte, delay time.Duration) error
}

// JSON is a queue that takes messages of one kind.
type JSON[T any] struct{ Queue Queue }

// Send implements Sender.
func (q JSON[T]) Send(ctx context.Context, message T, delay time.Duration) error {
	body, err := json.Marshal(message)
	if err != nil {
		return err
	}
	return q.Queue.Send(ctx, body, delay)
}

// ChangeQueue takes changes: those of one person's requests in turns with those of others.
type ChangeQueue struct{ Queue FairQueue }

// Send implements [Sender].
func (q ChangeQueue) Send(ctx context.Context, c Change, delay time.Duration) error {
	body, err := json.Marshal(c)
	if err != nil {
		return err
	}
	return q.Queue.SendFor(ctx, c.Of, body, delay)
}

// Delivery is a received message.
type Delivery struct {
	Handle   uint64
	Body     []byte
	Receives int // 1 the first time
}

// Receiver is the receiving end of a queue in this process.
type Receiver interface {
	// Receive returns the message that is due longest, of groups by turns, and hides it from
	// others for the visibility timeout. It does not wait: false means that none is due.
	Receive(ctx context.Context, visibility time.Duration) (Delivery, bool, error)
	// Delete removes a handled message.
	Delete(ctx context.Context, d Delivery) error
	// Return makes a message due again after delay.
	Return(ctx context.Context, d Delivery, delay time.Duration) error
	// Due is the time when the next message can be received; false if there is none.
	Due() (time.Time, bool)
	// Wake can be read from after a Send.
	Wake() <-chan struct{}
}

// Decoded returns a handler of message bodies that decodes JSON and calls handle.
func Decoded[T any](handle func(context.Context, T) error) func(context.Context, []byte) error {
	return func(ctx context.Context, body []byte) error {
		var m T
		if err := json.Unmarshal(body, &m); err != nil {
			return err
		}
		return handle(ctx, m)
	}
}
