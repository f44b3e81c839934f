//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// Function is one Lambda function: its bootstrap runs against a Runtime API of
// ours, one invocation at a time, as in one sandbox.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type Function struct {
	t    testing.TB
	name string
	path string
	env  []string
	api  string

	mu      sync.Mutex // one invocation at a time
	next    chan invocation
	answers chan answer
	bootMu  sync.Mutex
	boot    *Process
}

type invocation struct {
	id       string
	body     []byte
	deadline time.Time
}

type answer struct {
	id   string
	body []byte
	err  error
}

// StartFunction starts a bootstrap; env is what the template gives the function.
func StartFunction(t testing.TB, name, path string, env []string) *Function {
	t.Helper()
	f := &Function{t: t, name: name, path: path, next: make(chan invocation), answers: make(chan answer, 1)}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.api = l.Addr().String()
	server := &http.Server{Handler: f, ReadHeaderTimeout: time.Second}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	f.env = append([]string{"AWS_LAMBDA_RUNTIME_API=" + f.api, "AWS_LAMBDA_LOG_FORMAT=JSON", "AWS_LAMBDA_FUNCTION_NAME=" + name}, env...)
	f.Restart()
	return f
}

// Restart starts the sandbox anew.
func (f *Function) Restart() {
	f.bootMu.Lock()
	defer f.bootMu.Unlock()
	f.boot = Start(f.t, f.name, f.path, f.env)
}

// Kill ends the sandbox in the middle of what it does, and starts another.
func (f *Function) Kill() {
	f.bootMu.Lock()
	f.boot.Kill()
	f.bootMu.Unlock()
	select {
	case f.answers <- answer{err: errors.New("the sandbox was killed")}:
	default:
	}
	f.Restart()
}

// ServeHTTP is the Runtime API.
func (f *Function) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasSuffix(r.URL.Path, "/invocation/next"):
		select {
		case <-r.Context().Done():
		case in := <-f.next:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", in.id)
			w.Header().Set("Lambda-Runtime-Deadline-Ms", fmt.Sprint(in.deadline.UnixMilli()))
			w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:"+region+":"+HubAccount+":function:"+f.name)
			_, _ = w.Write(in.body)
		}
	case strings.Contains(r.URL.Path, "/runtime/invocation/"):
		parts := strings.Split(r.URL.Path, "/")
		body, err := io.ReadAll(r.Body)
		a := answer{id: parts[len(parts)-2], body: body, err: err}
		if parts[len(parts)-1] == "error" {
			a.err = fmt.Errorf("%s: %s", f.name, body)
		}
		w.WriteHeader(http.StatusAccepted)
		f.answers <- a
	default: // init/error
		body, _ := io.ReadAll(r.Body)
		f.t.Logf("%s: %s %s", f.name, r.URL.Path, body)
		w.WriteHeader(http.StatusAccepted)
	}
}

// Invoke calls the function and waits for its answer.
func (f *Function) Invoke(event any, within time.Duration) ([]byte, error) {
	body, err := json.Marshal(event)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	select { // of an invocation that was killed
	case <-f.answers:
	default:
	}
	id := fmt.Sprintf("%08x-0000-0000-0000-%012x", rand.Uint32(), rand.Uint32())
	select {
	case f.next <- invocation{id, body, time.Now().Add(within)}:
	case <-time.After(patience):
		return nil, fmt.Errorf("%s asks for no work", f.name)
	}
	select {
	case a := <-f.answers:
		return a.body, a.err
	case <-time.After(within):
		return nil, fmt.Errorf("%s: timed out", f.name)
	}
}

// Gateway is an HTTP API in front of ingress.
type Gateway struct{ Ingress *Function }

// ServeHTTP passes a request on as an HTTP API does: names of headers in lower
// case, and now and then the body in base64.
func (g Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	e := events.APIGatewayV2HTTPRequest{Version: "2.0", RawPath: r.URL.Path, Headers: map[string]string{}, Body: string(body)}
	e.RequestContext.HTTP.Method = r.Method
	for k := range r.Header {
		e.Headers[strings.ToLower(k)] = r.Header.Get(k)
	}
	if rand.IntN(2) == 0 {
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	out, err := g.Ingress.Invoke(e, 3*time.Second)
	var resp events.APIGatewayV2HTTPResponse
	if err == nil {
		err = json.Unmarshal(out, &resp)
	}
	if err != nil {
		w.WriteHeader(http.StatusBadGateway)
		return
	}
	for k, v := range resp.Headers {
		w.Header().Set(k, v)
	}
	w.WriteHeader(resp.StatusCode)
	_, _ = io.WriteString(w, resp.Body)
}

// Pump delivers a queue to a function as Lambda's poller does, at its worst:
// every message twice, in any order, and again what was not dealt with.
type Pump struct {
	SQS      *sqs.Client
	URL, ARN string
	To       *Function
	Body     func(string) string // what a message is to its function; nil: what it is
}

// Run polls until the context ends.
func (p Pump) Run(ctx context.Context, t testing.TB) {
	for ctx.Err() == nil {
		out, err := p.SQS.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &p.URL, MaxNumberOfMessages: 5, VisibilityTimeout: 3})
		if err != nil {
			if ctx.Err() == nil {
				t.Logf("receive from %s: %v", p.URL, err)
			}
			return
		}
		if len(out.Messages) == 0 {
			time.Sleep(50 * time.Millisecond)
			continue
		}
		p.deliver(ctx, t, out.Messages)
	}
}

func (p Pump) deliver(ctx context.Context, t testing.TB, messages []types.Message) {
	failed := map[string]bool{}
	for range 2 {
		rand.Shuffle(len(messages), func(i, j int) { messages[i], messages[j] = messages[j], messages[i] })
		var e events.SQSEvent
		for _, m := range messages {
			body := *m.Body
			if p.Body != nil {
				body = p.Body(body)
			}
			e.Records = append(e.Records, events.SQSMessage{MessageId: *m.MessageId, Body: body, EventSource: "aws:sqs", EventSourceARN: p.ARN, AWSRegion: region})
		}
		body, err := p.To.Invoke(e, 120*time.Second)
		var resp events.SQSEventResponse
		if err == nil {
			err = json.NewDecoder(bytes.NewReader(body)).Decode(&resp)
		}
		if err != nil {
			if ctx.Err() == nil {
				t.Logf("%s: %v", p.To.name, err)
			}
			return // nothing is deleted: it all comes again
		}
		for _, f := range resp.BatchItemFailures {
			failed[f.ItemIdentifier] = true
		}
	}
	for _, m := range messages {
		if !failed[*m.MessageId] {
			_, _ = p.SQS.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &p.URL, ReceiptHandle: m.ReceiptHandle})
		}
	}
}
