// Command ingress is the public function: it checks that a request is Slack's or
// comes with a webhook's key, queues it and acknowledges it. Where the configuration lets them,
// those whom IAM lets call the function ask for containments without a key.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/killswitch-chatops/killswitch/bot/ingress"
	"github.com/killswitch-chatops/killswitch/cmd/function"
)

// gcPercent lets the small heap grow between two collections: memory is there,
// and it is CPU that a request waits for.
const gcPercent = 800

func main() {
	debug.SetGCPercent(gcPercent)
	function.Start("ingress", handler)
}

// handle takes what an HTTP API sends, or what somebody sends who may call the function itself.
type handle = func(context.Context, json.RawMessage) (any, error)

func handler(env func(string) string, now func() time.Time, log *slog.Logger) (handle, error) {
	aws := function.AWS(env)
	secret, keys := function.NewSecret(aws, env("SIGNING_SECRET_ID"), now), function.NewSecret(aws, env("WEBHOOK_KEYS_SECRET_ID"), now).MayBeEmpty()
	in := &ingress.Ingress{
		Secrets: secret.Values, Refresh: secret.Refresh, SlackQueue: function.NewQueue(aws, env("SLACK_QUEUE_URL")),
		Keys: keys.Values, RefreshKeys: keys.Refresh, WebhookQueue: function.NewQueue(aws, env("WEBHOOKS_QUEUE_URL")),
		Now: now, Log: log,
	}
	grants, err := os.ReadFile(env("WEBHOOKS_FILE")) // what cmd/pack took from the configuration
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(grants, &in.Webhooks); err != nil {
		return nil, fmt.Errorf("webhooks: %w", err)
	}
	return func(ctx context.Context, event json.RawMessage) (any, error) {
		var e events.APIGatewayV2HTTPRequest
		if json.Unmarshal(event, &e) != nil || e.RequestContext.HTTP.Method == "" { // an HTTP API always says it
			told, err := in.Direct(ctx, event)
			count(ctx, log, now(), err == nil)
			return told, err
		}
		r, err := ingress.FromGateway(e.RequestContext.HTTP.Method, e.RawPath, e.Headers, e.Body, e.IsBase64Encoded)
		resp := ingress.Response{Status: 400, Type: "text/plain; charset=utf-8", Body: "the body is not base64\n"}
		if err == nil {
			resp = in.Answer(ctx, r)
		}
		count(ctx, log, now(), resp.Status < 300 && !resp.Lost)
		if resp.Forged {
			function.Count(ctx, log, now(), "Forged", 1)
		}
		out := events.APIGatewayV2HTTPResponse{StatusCode: resp.Status, Body: resp.Body}
		if resp.Type != "" {
			out.Headers = map[string]string{"content-type": resp.Type}
		}
		return out, nil
	}, nil
}

// count counts what was let in, and what was not.
func count(ctx context.Context, log *slog.Logger, at time.Time, accepted bool) {
	name := "Refused"
	if accepted {
		name = "Accepted"
	}
	function.Count(ctx, log, at, name, 1)
}
