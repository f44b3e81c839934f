package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/dynamodb"
	"github.com/killswitch-chatops/killswitch/cmd/function"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// server is POST /cli of a running serve.
type server struct {
	at *url.URL
	c  *client
}

func newServer(text string, c *client) (server, error) {
	at, err := url.Parse(text)
	if err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || at.User != nil {
		return server{}, fmt.Errorf("%w: --server is not like https://killswitch.example", errUsage)
	}
	if !strings.HasSuffix(at.Path, "/cli") {
		at = at.JoinPath("cli")
	}
	return server{at, c}, nil
}

// serverWithin is longer than serve keeps a client waiting.
const serverWithin = 15 * time.Second

const maxReply = 8 << 20

// Say implements transport.
func (s server) Say(ctx context.Context, signed approvals.SignedStatement) (reply local.Reply, err error) {
	body, err := json.Marshal(signed)
	if err != nil {
		return reply, err
	}
	ctx, cancel := context.WithTimeout(ctx, serverWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.at.String(), bytes.NewReader(body))
	if err != nil {
		return reply, err
	}
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	out, err := client.Do(req)
	if err != nil {
		return reply, err
	}
	defer func() { _ = out.Body.Close() }()
	if err := json.NewDecoder(io.LimitReader(out.Body, maxReply)).Decode(&reply); err != nil {
		return reply, fmt.Errorf("%s answers %d, and not as Killswitch does", s.at.Host, out.StatusCode)
	}
	if out.StatusCode != http.StatusOK {
		return reply, fmt.Errorf("%s: %s", s.at.Host, reply.Error)
	}
	return reply, nil
}

// ask signs what is only to be shown.
func (s server) ask(ctx context.Context, st approvals.Statement) (local.Reply, error) {
	signed, err := s.c.sign(ctx, st)
	if err != nil {
		return local.Reply{}, err
	}
	return s.Say(ctx, signed)
}

// Show implements transport.
func (s server) Show(ctx context.Context, id string) (approvals.Shown, error) {
	reply, err := s.ask(ctx, approvals.Statement{Verb: "show", Request: id})
	switch {
	case err != nil:
		return approvals.Shown{}, err
	case reply.Shown == nil:
		return approvals.Shown{}, fmt.Errorf("%s shows nothing", s.at.Host)
	}
	return *reply.Shown, nil
}

// List implements transport.
func (s server) List(ctx context.Context) ([]approvals.Shown, error) {
	reply, err := s.ask(ctx, approvals.Statement{Verb: "list"})
	return reply.Listed, err
}

// queue is the queue cli of an installation in Lambda; what there is is read from its tables.
type queue struct {
	to       function.Queue
	requests approvals.Requests
	runs     approvals.Runs
	c        client
}

func newQueue(cfg aws.Config, url, requests, runs string, c client) queue {
	tables := ddb.NewFromConfig(cfg, dynamodb.ClientOptions)
	return queue{function.NewQueue(cfg, url), approvals.Requests{Store: dynamodb.New(tables, requests, approvals.Marks...)}, approvals.Runs{Reader: dynamodb.New(tables, runs)}, c}
}

const (
	answerOnQueue = 20 * time.Second // of an answer to a statement on the queue
	answerEvery   = time.Second
)

// Say implements transport.
func (q queue) Say(ctx context.Context, signed approvals.SignedStatement) (reply local.Reply, err error) {
	e := signed.Evidence()
	_, st, err := e.Statement()
	if err == nil { // else nobody would answer
		err = q.to.Send(ctx, []byte(e.Body), 0)
	}
	if err != nil {
		return reply, err
	}
	reply.Statement = e.Key()
	if st.Asks() {
		reply.RequestID = approvals.RequestID(e)
	}
	for until := q.c.now().Add(answerOnQueue); q.c.now().Before(until); {
		a, err := q.requests.Answer(ctx, e.Key())
		if err == nil {
			reply.Done, reply.Answer, reply.Counts = true, a.Text, a.Counts
			return reply, nil
		}
		if !errors.Is(err, approvals.ErrNotFound) {
			return reply, nil // it is sent, and may not be read here
		}
		if err := q.c.sleep(ctx, answerEvery); err != nil {
			return reply, err
		}
	}
	return reply, nil
}

// Show implements transport.
func (q queue) Show(ctx context.Context, id string) (approvals.Shown, error) {
	s, err := approvals.Show(ctx, q.requests, q.runs, id, local.StepsShown)
	if errors.Is(err, approvals.ErrNotFound) {
		err = fmt.Errorf("there is no request %s", id)
	}
	return s, err
}

// List implements transport.
func (q queue) List(ctx context.Context) ([]approvals.Shown, error) {
	return approvals.ShowOpen(ctx, q.requests, q.runs)
}
