//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/dynamodb"
	"github.com/killswitch-chatops/killswitch/approvals/storetest"
)

// DynamoDB is a running dynoxide: tables in memory, in one region.
type DynamoDB struct {
	*Process
	URL string
}

// StartDynamoDB starts a DynamoDB for one test.
func StartDynamoDB(t testing.TB) *DynamoDB {
	t.Helper()
	addr := FreeAddr(t)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	d := &DynamoDB{URL: "http://" + addr}
	d.Process = Start(t, "dynoxide", Setting(t, "DYNOXIDE"), nil, "--host", host, "--port", port)
	d.Answers(t, d.URL)
	return d
}

// Client is a client as the product has it, with options on top.
func (d *DynamoDB) Client(options ...func(*ddb.Options)) *ddb.Client {
	o := ddb.Options{
		Region:       region,
		BaseEndpoint: &d.URL,
		Credentials:  credentials.NewStaticCredentialsProvider("AKIAE2EHUBACCOUNT00", "e2e", ""),
	}
	return ddb.New(o, append([]func(*ddb.Options){dynamodb.ClientOptions}, options...)...)
}

var tables atomic.Int32

// Table makes an empty table with the keys and the indexes that the store wants.
func (d *DynamoDB) Table(t testing.TB, marks ...string) string {
	t.Helper()
	name := fmt.Sprintf("table-%d", tables.Add(1))
	keys := func(hash, sort string) []types.KeySchemaElement {
		return []types.KeySchemaElement{
			{AttributeName: &hash, KeyType: types.KeyTypeHash},
			{AttributeName: &sort, KeyType: types.KeyTypeRange},
		}
	}
	attribute := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
	}
	in := &ddb.CreateTableInput{
		TableName:            &name,
		BillingMode:          types.BillingModePayPerRequest,
		KeySchema:            keys("pk", "sk"),
		AttributeDefinitions: []types.AttributeDefinition{attribute("pk"), attribute("sk")},
	}
	for _, m := range marks {
		in.AttributeDefinitions = append(in.AttributeDefinitions, attribute("mark_"+m))
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName:  aws.String(m),
			KeySchema:  keys("mark_"+m, "mk"),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll},
		})
	}
	if len(marks) > 0 {
		in.AttributeDefinitions = append(in.AttributeDefinitions, attribute("mk"))
	}
	client := d.Client()
	if _, err := client.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if err := ddb.NewTableExistsWaiter(client).Wait(t.Context(), &ddb.DescribeTableInput{TableName: &name}, patience); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestDynamoDB: the store's contract holds on a DynamoDB that we did not write.
func TestDynamoDB(t *testing.T) {
	d := StartDynamoDB(t)
	marks := []string{"open", "stale", "other", "page"}
	storetest.TestStore(t, func(t *testing.T) approvals.Store {
		return dynamodb.New(d.Client(), d.Table(t, marks...), marks...)
	})
}

// TestDynamoDBLarge: what only shows with much data: answers end at 1 MB.
func TestDynamoDBLarge(t *testing.T) {
	d := StartDynamoDB(t)
	s, ctx := dynamodb.New(d.Client(), d.Table(t, "open"), "open"), t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	row := func(i int) approvals.Put {
		k := approvals.Key{Part: "p", Sort: fmt.Sprintf("step#%06d", i)}
		return approvals.Put{Row: approvals.Row{Key: k, Body: bytes.Repeat([]byte{byte(i)}, 30<<10), Marks: []string{"open"}}}
	}
	const n = 60
	for i := range n {
		must(s.Write(ctx, row(i)))
	}
	check := func(what string, rows []approvals.Row, from, to int) {
		t.Helper()
		if len(rows) != to-from {
			t.Fatalf("%s: %d rows, want %d", what, len(rows), to-from)
		}
		for i, r := range rows {
			if want := row(from + i); r.Key != want.Key || !bytes.Equal(r.Body, want.Body) {
				t.Errorf("%s: row %d is %v", what, i, r.Key)
			}
		}
	}
	rows, err := s.Rows(ctx, "p", "step#", "", 100)
	must(err)
	check("rows", rows, 0, n)
	rows, err = s.Rows(ctx, "p", "step#", "step#000003", 20)
	must(err)
	check("rows after one", rows, 4, 24)
	rows, err = s.Rows(ctx, "p", "", "step#000003", 100)
	must(err)
	check("rows without a prefix", rows, 4, n)
	rows, err = s.Rows(ctx, "p", "audit#", "step#000003", 100)
	must(err)
	check("rows after the last", rows, 0, 0)
	rows, err = s.Marked(ctx, "open", approvals.Key{Part: "p", Sort: "step#000009"}, 100)
	must(err)
	check("marked", rows, 10, n)
}

// lossy loses the answers to the first requests: they took effect, nobody hears of it.
type lossy struct {
	ddb.HTTPClient
	lose atomic.Int32
}

func (l *lossy) Do(r *http.Request) (*http.Response, error) {
	resp, err := l.HTTPClient.Do(r)
	if err == nil && l.lose.Add(-1) >= 0 {
		return nil, errors.Join(resp.Body.Close(), &net.OpError{Op: "read", Err: errors.New("connection reset by peer")})
	}
	return resp, err
}

// TestDynamoDBLostAnswers: a write that is sent twice is not taken for somebody else's.
func TestDynamoDBLostAnswers(t *testing.T) {
	d := StartDynamoDB(t)
	var wire lossy
	client := d.Client(func(o *ddb.Options) { wire.HTTPClient, o.HTTPClient = o.HTTPClient, &wire })
	s, ctx := dynamodb.New(client, d.Table(t)), t.Context()
	at := func(sort string, version int64, remove bool) approvals.Put {
		return approvals.Put{Row: approvals.Row{Key: approvals.Key{Part: "p", Sort: sort}, Version: version, Body: []byte("1")}, Delete: remove}
	}
	for _, w := range []struct {
		name string
		puts []approvals.Put
	}{
		{"a new row", []approvals.Put{at("a", 0, false)}},
		{"a row", []approvals.Put{at("a", 1, false)}},
		{"new rows", []approvals.Put{at("b", 0, false), at("c", 0, false)}},
		{"rows of all kinds", []approvals.Put{at("b", 1, true), at("c", 1, false), at("d", 0, false)}},
		{"a deletion", []approvals.Put{at("d", 1, true)}},
		{"deletions", []approvals.Put{at("a", 2, true), at("c", 2, true)}},
	} {
		wire.lose.Store(2)
		start := time.Now()
		if err := s.Write(ctx, w.puts...); err != nil {
			t.Errorf("%s: %v", w.name, err)
		}
		t.Logf("%s: %s", w.name, time.Since(start))
		wire.lose.Store(0)
		if err := s.Write(ctx, w.puts...); !errors.Is(err, approvals.ErrConflict) {
			t.Errorf("%s, written again: %v", w.name, err)
		}
	}
}
