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

// How long a call may take: attempts × exchange and the pauses, about 7 s.
// TransactWriteItems of 100 rows takes tens of milliseconds, all else a few.
const (
	attempts = 3
	dial     = time.Second
	exchange = 2 * time.Second
	pause    = 100 * time.Millisecond // doubled with each attempt
)

// ClientOptions are the settings that a Store wants, for dynamodb.New or
// dynamodb.NewFromConfig of the SDK. An exchange ends after two seconds, there
// are three attempts with short jittered pauses in between, and the end of a
// call's context ends them all. The SDK alone knows no timeout, waits up to two
// seconds before the third attempt, refuses retries to the whole process after a
// hundred of them, and does not retry a transaction that met another one or was
// throttled.
func ClientOptions(o *ddb.Options) {
	o.HTTPClient = awshttp.NewBuildableClient().
		WithTimeout(exchange).
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dial })
	o.Retryer = retry.NewStandard(func(so *retry.StandardOptions) {
		so.MaxAttempts = attempts
		so.RateLimiter = ratelimit.None // three attempts are bound enough
		so.Backoff = retry.BackoffDelayerFunc(backoff)
		so.Retryables = append([]retry.IsErrorRetryable{retry.IsErrorRetryableFunc(retryable)}, so.Retryables...)
	})
}

// backoff is between half and all of a pause that doubles: 100–200 ms, then 200–400 ms.
func backoff(attempt int, _ error) (time.Duration, error) {
	d := pause << min(attempt, attempts)
	return d/2 + rand.N(d/2), nil //nolint:gosec // a pause is no secret
}

// retryable adds what the SDK leaves to its user: transactions that would
// succeed if they came alone, or later.
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
