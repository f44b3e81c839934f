package dynamodb

import (
	"errors"
	"math/rand/v2"
	"net"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// A call takes at most attempts × exchange and the pauses, about 7 s. A
// TransactWriteItems of 100 rows takes tens of milliseconds, other calls a few.
const (
	attempts = 3
	dial     = time.Second
	exchange = 2 * time.Second
	pause    = 100 * time.Millisecond // doubled with each attempt
)

// ClientOptions are the settings that a Store needs, for dynamodb.New or
// dynamodb.NewFromConfig of the SDK: a timeout of two seconds, three attempts with
// short jittered pauses, no more after the end of the context. The SDK's defaults have
// no timeout, wait up to two seconds before the third attempt, stop all retries of the
// process after a hundred, and don't retry a transaction that conflicted with another
// one or was throttled.
func ClientOptions(o *ddb.Options) {
	o.HTTPClient = awshttp.NewBuildableClient().
		WithTimeout(exchange).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dial })
	o.Retryer = retry.NewStandard(func(so *retry.StandardOptions) {
		so.MaxAttempts = attempts
		so.RateLimiter = ratelimit.None // three attempts are limit enough
		so.Backoff = retry.BackoffDelayerFunc(backoff)
		so.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(retryable)}, so.Retryables...)
	})
}

// backoff is between half and all of a pause that doubles: 100–200 ms, then 200–400 ms.
func backoff(attempt int, _ error) (time.Duration, error) {
	d := pause << min(attempt, attempts)
	return d/2 + rand.N(d/2), nil //nolint:gosec // a pause is no secret
}

// retryable adds errors that the SDK does not retry: transactions that conflicted or
// were throttled.
func retryable(err error) aws.Ternary {
	if _, ok := errors.AsType[*types.TransactionConflictException](err); ok {
		return aws.TrueTernary
	}
	cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		return aws.UnknownTernary
	}
	again := aws.UnknownTernary
	for _, r := range cancelled.CancellationReasons {
		switch code := aws.ToString(r.Code); {
		case passing[code]:
			again = aws.TrueTernary
		case code != reasonNone:
			return aws.FalseTernary
		}
	}
	return again
}
