package local_test

import (
	"os"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/storetest"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// endpoint is a DynamoDB to keep the tables in; the end-to-end tests give one.
var endpoint = os.Getenv("KILLSWITCH_TEST_DYNAMODB")

// inDynamoDB keeps the tables in DynamoDB. The queues are in memory, and outlive
// the process as SQS does.
func inDynamoDB(w *world) {
	w.Backends = local.InMemory(w.clock.Now)
	w.Requests, w.Runs = storetest.NewDynamoDB(w.t, endpoint, approvals.Marks...), storetest.NewDynamoDB(w.t, endpoint)
}
