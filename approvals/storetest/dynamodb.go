package storetest

import (
	"fmt"
	"os"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/credentials"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/dynamodb"
)

var tables atomic.Int32

// NewDynamoDB creates a table with these marks in the DynamoDB at an endpoint.
func NewDynamoDB(t testing.TB, endpoint string, marks ...string) approvals.Store {
	t.Helper()
	client := ddb.New(ddb.Options{Region: "eu-west-1", BaseEndpoint: &endpoint,
		Credentials: credentials.NewStaticCredentialsProvider("x", "x", "")}, dynamodb.ClientOptions)
	name := fmt.Sprintf("table-%d-%d", os.Getpid(), tables.Add(1))
	key := func(hash, sort string) []types.KeySchemaElement {
		return []types.KeySchemaElement{{AttributeName: &hash, KeyType: types.KeyTypeHash}, {AttributeName: &sort, KeyType: types.KeyTypeRange}}
	}
	in := &ddb.CreateTableInput{TableName: &name, BillingMode: types.BillingModePayPerRequest, KeySchema: key("pk", "sk")}
	names := []string{"pk", "sk"}
	for _, m := range marks {
		names = append(names, "mark_"+m)
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{IndexName: &m,
			KeySchema: key("mark_"+m, "mk"), Projection: &types.Projection{ProjectionType: types.ProjectionTypeAll}})
	}
	if len(marks) > 0 {
		names = append(names, "mk")
	}
	for _, n := range names {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{AttributeName: &n,
			AttributeType: types.ScalarAttributeTypeS})
	}
	if _, err := client.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	return dynamodb.New(client, name, marks...)
}
