//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
	"github.com/killswitch-chatops/killswitch/approvals/dynamodb"
	"github.com/killswitch-chatops/killswitch/approvals/s3"
)

// TestAuditFromTheBucket: heads go from the hub to a bucket with object lock in another account, once each; the
// command line verifies a table of DynamoDB by them, and finds a record that was made anew, one that was cut with its
// head and one that is gone, which the table alone does not show.
func TestAuditFromTheBucket(t *testing.T) {
	t.Parallel()
	const bucket, kept, gone = "killswitch-audit-heads", "KS-4G7QX2M9ZT0B", "KS-ZZZZZZZZZZZZ"
	cloud, tables := StartAWS(t), StartDynamoDB(t)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	owner := awss3.NewFromConfig(cloud.Member(t, "777777777777"), func(o *awss3.Options) { o.UsePathStyle = true })
	_, err := owner.CreateBucket(t.Context(), &awss3.CreateBucketInput{Bucket: aws.String(bucket), ObjectLockEnabledForBucket: aws.Bool(true),
		CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: region}})
	must(err)
	heads := s3.New(cloud.Hub(t), bucket, "", "")
	name := tables.Table(t)
	store := dynamodb.New(tables.Client(), name)
	until := time.Now().UTC().AddDate(0, 0, 401).Truncate(24 * time.Hour)
	asked := approvals.Intent{Call: actions.Call{Action: "revoke_sessions", Target: "x"}}
	write := func(id, approver string, outcome approvals.State, events ...string) {
		t.Helper()
		h := audit.Start(id)
		var puts []approvals.Put
		put := func(k approvals.Key, v any) {
			old, err := store.Get(t.Context(), k)
			if err != nil {
				old.Version = 0
			}
			puts = append(puts, approvals.PutRow(k, old.Version, v))
		}
		for _, e := range events {
			actor := map[string]string{"requested": "alice", "approved": approver}[e]
			ev := h.Append(audit.New(e, actor, "intent", map[string]string{"requested": asked.String()}[e]), time.Now())
			put(approvals.AuditKey(id, ev.Seq), ev)
		}
		put(approvals.HeadKey(id), h)
		put(approvals.PlannedKey(id), approvals.Planned{ID: id, Person: "alice", Intent: asked})
		run := approvals.Run{ID: id, Attempt: 1, Outcome: outcome, Approvers: []string{approver}}
		if outcome != "" {
			run.Ended = time.Now()
		}
		put(approvals.RunKey(id), run)
		must(store.Write(t.Context(), puts...))
		for range 2 {
			if approver == "bob" {
				must(heads.Keep(t.Context(), audit.Kept{ID: id, Head: h, Until: until}))
			}
		}
	}
	remove := func(keys ...approvals.Key) {
		t.Helper()
		for _, k := range keys {
			row, err := store.Get(t.Context(), k)
			must(err)
			must(store.Write(t.Context(), approvals.Put{Row: row, Delete: true}))
		}
	}
	all := []string{"requested", "approved", "claimed", "contained"}
	write(kept, "bob", approvals.Contained, all...)
	write(gone, "bob", approvals.Contained, all...)
	list, strange, err := s3.New(cloud.Member(t, "777777777777"), bucket, "", "").Heads(t.Context())
	if err != nil || len(list) != 2 || len(strange) > 0 || list[0].Again || list[0].At.IsZero() {
		t.Fatalf("the bucket has %+v, %q, %v", list, strange, err)
	}
	lock, err := owner.HeadObject(t.Context(), &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String(list[0].Name())})
	if err != nil || lock.ObjectLockMode != s3types.ObjectLockModeCompliance || !aws.ToTime(lock.ObjectLockRetainUntilDate).Equal(until) {
		t.Errorf("it is locked: %+v, %v", lock, err)
	}
	env := append(cloud.Env(), "AWS_ENDPOINT_URL_DYNAMODB="+tables.URL)
	verify := func(intact bool, want string, more ...string) {
		t.Helper()
		out, err := killswitch(t, env, append([]string{"audit", "verify", "--all", "--table", name}, more...)...)
		if (err == nil) != intact || !strings.Contains(out, want) {
			t.Errorf("%q: %v, want %q in %s", more, err, want, out)
		}
	}
	verify(true, "records: 2, not intact: 0", "--bucket", bucket)

	write(kept, "carol", approvals.Contained, all...) // anew, with every hash
	verify(true, "not intact: 0")
	verify(false, "event 4 is not the one that the bucket has had since", "--bucket", bucket)
	remove(approvals.AuditKey(kept, 4))
	write(kept, "carol", "", all[:3]...) // cut, with its head
	verify(true, "not intact: 0")
	verify(false, "the bucket knows of 4 events, there are 3", "--bucket", bucket)
	for i := range all {
		remove(approvals.AuditKey(gone, i+1))
	}
	remove(approvals.HeadKey(gone), approvals.PlannedKey(gone), approvals.RunKey(gone))
	verify(true, "records: 1, not intact: 0")
	verify(false, gone+"  NOT INTACT: the audit record is broken: the bucket has 1 heads of it, and there is no record", "--bucket", bucket)
}
