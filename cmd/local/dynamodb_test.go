package local_test

import (
	"fmt"
	"os"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/credentials"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/dynamodb"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// endpoint is a DynamoDB to keep the tables in; the end-to-end tests give one.
var endpoint = os.Getenv("KILLSWITCH_TEST_DYNAMODB")

var tables atomic.Int32

// inDynamoDB keeps the tables in DynamoDB. The queues are in memory, and outlive
// the process as SQS does.
func inDynamoDB(w *world) {
	client := ddb.New(ddb.Options{Region: "eu-west-1", BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("x", "x", "")}, dynamodb.ClientOptions)
	table := func(marks ...string) approvals.Store {
		name := fmt.Sprintf("table-%d-%d", os.Getpid(), tables.Add(1))
		key := func(hash, sort string) []types.KeySchemaElement {
			return []types.KeySchemaElement{{AttributeName: &hash, KeyType: types.KeyTypeHash}, {AttributeName: &sort, KeyType: types.KeyTypeRange}}
		}
		in := &ddb.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest, KeySchema: key("pk", "sk")}
		names := []string{"pk", "sk"}
		for _, m := range marks {
			names = append(names, "mark_"+m)
			in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{IndexName: &m, KeySchema: key("mark_"+m, "mk"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}})
		}
		if len(marks) > 0 {
			names = append(names, "mk")
		}
		for _, n := range names {
			in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &n, AttributeType: types.ScalarAttributeTypeS})
		}
		_, err := client.CreateTable(w.t.Context(), in)
		w.must(err)
		return dynamodb.New(client, name, marks...)
	}
	w.Backends = local.InMemory(w.clock.Now)
	w.Requests, w.Runs = table(approvals.Marks...), table()
}
