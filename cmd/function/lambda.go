package function

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// Deadlines of calls to our own backends: tables, queues, secrets.
const (
	connectWithin = time.Second
	answerWithin  = 3 * time.Second
	attempts      = 3
)

// AWS returns the SDK's configuration from Lambda's environment. It reads no files and
// calls no metadata service, which would take time and code.
func AWS(env func(string) string) aws.Config {
	client := awshttp.NewBuildableClient().WithTimeout(answerWithin).WithTransportOptions(func(t *http.Transport) {
		t.TLSHandshakeTimeout = connectWithin
	})
	cfg := aws.Config{
		Region:      env("AWS_REGION"),
		Credentials: credentials.NewStaticCredentialsProvider(env("AWS_ACCESS_KEY_ID"), env("AWS_SECRET_ACCESS_KEY"), env("AWS_SESSION_TOKEN")),
		HTTPClient:  client,
		Retryer: func() aws.Retryer {
			return retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts, o.MaxBackoff = attempts, time.Second })
		},
	}
	if endpoint := env("AWS_ENDPOINT_URL"); endpoint != "" {
		cfg.BaseEndpoint = &endpoint
	}
	cfg.ConfigSources = []any{endpoints(env)}
	return cfg
}

// endpoints resolves AWS_ENDPOINT_URL_<SERVICE> for the SDK.
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-ss-endpoints.html
type endpoints func(string) string

// GetServiceBaseEndpoint is called by the SDK.
func (env endpoints) GetServiceBaseEndpoint(_ context.Context, service string) (string, bool, error) {
	url := env("AWS_ENDPOINT_URL_" + strings.ReplaceAll(strings.ToUpper(service), " ", "_"))
	return url, url != "", nil
}

// Start runs a zone's handler, made of the environment. Its log is JSON with the
// invocation's request ID.
func Start[In, Out any](zone string, handler func(env func(string) string, now func() time.Time, log *slog.Logger) (func(context.Context, In) (Out, error), error)) {
	log := lambdacontext.NewLogger().With(slog.String("zone", zone))
	h, err := handler(os.Getenv, time.Now, log)
	if err != nil {
		log.Error("can't start", slog.String("error", err.Error()))
		os.Exit(1)
	}
	lambda.Start(h)
}
