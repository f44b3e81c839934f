package approvals

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Verb is what a job asks of the executor.
type Verb string

// The jobs. Close records the end of a request that never ran in its audit
// chain, which only the executor writes.
const (
	JobPlan   Verb = "plan"
	JobRun    Verb = "run"
	JobUndo   Verb = "undo"
	JobVerify Verb = "verify"
	JobClose  Verb = "close"
	JobReport Verb = "report" // tells what the target did lately; changes nothing
	// JobActivity is about an alert: it looks up what its subject did lately.
	JobActivity Verb = "activity"
)

// ErrUnreadable is wrapped by the errors of handlers for messages that will never
// be handled, however often they are delivered: they are set aside.
var ErrUnreadable = errors.New("it can't be read")

// Job is a message on the queue jobs. It carries an ID and a verb, no facts.
type Job struct {
	Verb Verb   `json:"verb"`
	ID   string `json:"id"`
}

// RunJob is the job that runs a request, or goes on with it.
func RunJob(id string, i Intent) Job {
	if i.Undo != "" {
		return Job{JobUndo, id}
	}
	return Job{JobRun, id}
}

// Change is a message on the queue changes: this request, or alert, has news.
type Change struct {
	ID string `json:"id"`
}

// Sender puts messages of one kind on one queue. A message is stored when Send
// returns; it is delivered at least once, in any order, not before delay.
type Sender[T any] interface {
	Send(ctx context.Context, message T, delay time.Duration) error
}

// Queue takes messages of any kind.
type Queue interface {
	Send(ctx context.Context, body []byte, delay time.Duration) error
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

// Delivery is a message received from a queue.
type Delivery struct {
	Handle   uint64
	Body     []byte
	Receives int // 1 the first time
}

// Receiver is the other end of a queue that lives in our own process.
type Receiver interface {
	// Receive takes the message that is due longest; no other Receive gets it
	// for the visibility timeout. It does not wait: false means that none is due.
	Receive(ctx context.Context, visibility time.Duration) (Delivery, bool, error)
	// Delete removes a message that has been dealt with.
	Delete(ctx context.Context, d Delivery) error
	// Return makes a message due again after delay.
	Return(ctx context.Context, d Delivery, delay time.Duration) error
	// Due tells when the next message can be received; false if there is none.
	Due() (time.Time, bool)
	// Wake has something to read after a Send.
	Wake() <-chan struct{}
}

// Decoded makes a handler of bodies from a handler of what they hold.
func Decoded[T any](handle func(context.Context, T) error) func(context.Context, []byte) error {
	return func(ctx context.Context, body []byte) error {
		var m T
		if err := json.Unmarshal(body, &m); err != nil {
			return err
		}
		return handle(ctx, m)
	}
}
