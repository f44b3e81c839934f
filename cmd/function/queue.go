package function

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// maxDelay is SQS's limit on a delay.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-delay-queues.html
const maxDelay = 15 * time.Minute

// Queue sends to one SQS queue.
type Queue struct {
	client *sqs.Client
	url    string
}

// NewQueue names a queue.
func NewQueue(cfg aws.Config, url string) Queue { return Queue{sqs.NewFromConfig(cfg), url} }

// Send stores a message. A delay beyond SQS's limit is shortened: the receiver of an
// early message puts it back.
func (q Queue) Send(ctx context.Context, body []byte, delay time.Duration) error {
	return q.SendFor(ctx, "", body, delay)
}

// SendFor stores a message of a group, if that is not empty: a standard queue with groups is a
// fair one, which delivers the messages of quiet groups first.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
func (q Queue) SendFor(ctx context.Context, group string, body []byte, delay time.Duration) error {
	seconds := (min(max(delay, 0), maxDelay) + time.Second - 1) / time.Second
	in := sqs.SendMessageInput{QueueUrl: &q.url, MessageBody: aws.String(string(body)), DelaySeconds: int32(seconds)}
	if group != "" {
		in.MessageGroupId = &group
	}
	if _, err := q.client.SendMessage(ctx, &in); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	return nil
}

// Batch hands each message of a batch to handle, all at once, and reports those
// that failed: only they are delivered again. It counts both.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
func Batch(ctx context.Context, log *slog.Logger, now func() time.Time, records []events.SQSMessage, handle func(context.Context, events.SQSMessage) error) events.SQSEventResponse {
	var (
		mu   sync.Mutex
		wg   sync.WaitGroup
		resp = events.SQSEventResponse{BatchItemFailures: []events.SQSBatchItemFailure{}}
	)
	for _, m := range records {
		wg.Go(func() {
			err := guarded(ctx, log, m, handle)
			if err == nil {
				return
			}
			log.ErrorContext(ctx, "message not handled", slog.String("message_id", m.MessageId), slog.String("queue", m.EventSourceARN), slog.String("error", err.Error()))
			mu.Lock()
			defer mu.Unlock()
			resp.BatchItemFailures = append(resp.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: m.MessageId})
		})
	}
	wg.Wait()
	Count(ctx, log, now(), "Handled", len(records)-len(resp.BatchItemFailures))
	Count(ctx, log, now(), "Failed", len(resp.BatchItemFailures))
	return resp
}

// guarded is approvals.Guard, which ingress may not import.
func guarded(ctx context.Context, log *slog.Logger, m events.SQSMessage, handle func(context.Context, events.SQSMessage) error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			log.ErrorContext(ctx, "panic", slog.String("message_id", m.MessageId), slog.String("stack", string(debug.Stack())))
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	return handle(ctx, m)
}
