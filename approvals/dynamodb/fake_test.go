package dynamodb_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/killswitch-chatops/killswitch/approvals/dynamodb"
)

// item is an item as it is on the wire.
type item = map[string]map[string]any

// wire is the other end of a client: as much of a table as writes and a Get
// need, and what may go wrong on the way. That it is like DynamoDB is for e2e
// to show.
type wire struct {
	t      *testing.T
	rows   map[string]item
	tokens map[string]bool // of transactions that took effect
	faults []fault         // of the next requests, one each
	calls  int
}

// fault is what happens to one request.
type fault struct {
	answer string // instead of the table: an error's type, or a body
	status int    // of the answer, 400 if 0
	lost   bool   // the answer, not the effect
	then   func() // after the effect
	hang   bool   // until the caller gives up
}

func newWire(t *testing.T) *wire {
	return &wire{t: t, rows: map[string]item{}, tokens: map[string]bool{}}
}

func (w *wire) store(marks ...string) *dynamodb.Store {
	o := ddb.Options{Region: "eu-west-1", Credentials: credentials.NewStaticCredentialsProvider("AKIAFAKE", "fake", "")}
	return dynamodb.New(ddb.New(o, dynamodb.ClientOptions, func(o *ddb.Options) { o.HTTPClient = w }), "requests", marks...)
}

func (w *wire) Do(r *http.Request) (*http.Response, error) {
	w.calls++
	var f fault
	if len(w.faults) > 0 {
		f, w.faults = w.faults[0], w.faults[1:]
	}
	if f.hang {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	if f.answer != "" {
		return answer(max(f.status, 400), f.answer), nil
	}
	resp := w.serve(r)
	if f.then != nil {
		f.then()
	}
	if f.lost {
		return nil, &net.OpError{Op: "read", Err: errors.New("connection reset by peer")}
	}
	return resp, nil
}

// answer is a body, or an error of a type alone.
func answer(status int, body string) *http.Response {
	if !strings.HasPrefix(body, "{") {
		body = fmt.Sprintf(`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"said the fake"}`, body)
	}
	h := http.Header{"Content-Type": {"application/x-amz-json-1.0"}}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

// write is a PutItem, or an element of TransactWriteItems.
type write struct {
	Item, Key                 item
	ConditionExpression       string
	ExpressionAttributeValues item
	ReturnValues              string `json:"ReturnValuesOnConditionCheckFailure"`
}

func (p write) key() string {
	it := p.Key
	if p.Item != nil {
		it = p.Item
	}
	return fmt.Sprint(it["pk"]["S"], " ", it["sk"]["S"])
}

func (w *wire) holds(p write) bool {
	old := w.rows[p.key()]
	switch p.ConditionExpression {
	case "":
		return true
	case "attribute_not_exists(pk)":
		return old == nil
	case "v = :v":
		return old != nil && old["v"]["N"] == p.ExpressionAttributeValues[":v"]["N"]
	}
	w.t.Errorf("a write on the condition %q", p.ConditionExpression)
	return false
}

func (w *wire) apply(p write) {
	delete(w.rows, p.key())
	if p.Item != nil {
		w.rows[p.key()] = p.Item
	}
}

func (w *wire) serve(r *http.Request) *http.Response {
	var in struct {
		write
		ClientRequestToken string
		TransactItems      []struct{ Put, Delete *write }
	}
	if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
		w.t.Error(err)
	}
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	switch op {
	case "GetItem":
		return answer(200, w.encode(map[string]any{"Item": w.rows[in.key()]}))
	case "PutItem":
		if !w.holds(in.write) {
			return answer(400, w.encode(map[string]any{"__type": "ConditionalCheckFailedException", "Item": w.old(in.write)}))
		}
		w.apply(in.write)
		return answer(200, "{}")
	case "TransactWriteItems":
		if w.tokens[in.ClientRequestToken] {
			return answer(200, "{}")
		}
		var puts []write
		var reasons []map[string]any
		failed := false
		for _, ti := range in.TransactItems {
			p := ti.Put
			if p == nil {
				p = ti.Delete
			}
			puts = append(puts, *p)
			reason := map[string]any{"Code": "None"}
			if !w.holds(*p) {
				failed = true
				reason = map[string]any{"Code": "ConditionalCheckFailed", "Item": w.old(*p)}
			}
			reasons = append(reasons, reason)
		}
		if failed {
			return answer(400, w.encode(map[string]any{"__type": "TransactionCanceledException", "CancellationReasons": reasons}))
		}
		for _, p := range puts {
			w.apply(p)
		}
		w.tokens[in.ClientRequestToken] = true
		return answer(200, "{}")
	}
	w.t.Errorf("the operation %q", op)
	return answer(400, "UnknownOperationException")
}

func (w *wire) old(p write) item {
	if p.ReturnValues != "ALL_OLD" {
		return nil
	}
	return maps.Clone(w.rows[p.key()])
}

func (w *wire) encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		w.t.Error(err)
	}
	return string(b)
}
