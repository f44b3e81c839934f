package executor_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// stsAt answers GetCallerIdentity by HTTP, with a clock of its own.
type stsAt time.Time

func (s stsAt) RoundTrip(req *http.Request) (*http.Response, error) {
	body := `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult><Arn>arn:aws:sts::111111111111:assumed-role/killswitch-executor/x</Arn><UserId>AROA:x</UserId><Account>111111111111</Account></GetCallerIdentityResult></GetCallerIdentityResponse>`
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Date": {time.Time(s).UTC().Format(http.TimeFormat)}, "Content-Type": {"text/xml"}}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

// TestTroubles: what the executor finds wrong with what it needs in AWS, each in its own words; nothing where all is
// as it should be.
func TestTroubles(t *testing.T) {
	t.Parallel()
	clock := func(ahead time.Duration) func(*world) {
		return func(w *world) {
			w.executor.Cloud = actions.NewCloud(aws.Config{Region: "us-east-1", Credentials: credentials.NewStaticCredentialsProvider("AKIA", "x", ""), HTTPClient: &http.Client{Transport: stsAt(w.clock.Now().Add(ahead))}}, w.executor.Org)
			w.executor.Cloud.SetNow(w.clock.Now)
		}
	}
	for name, c := range map[string]struct {
		do   func(*world)
		want string
	}{
		"all is there": {func(*world) {}, ""},
		"AWS does not answer": {func(w *world) {
			w.aws.Fault(awsfake.Fault{Op: "sts:GetCallerIdentity", Err: apiError("InvalidClientTokenId"), Times: 1})
		}, "aws: AWS does not know the executor, so that nothing can be contained: InvalidClientTokenId"},
		"another account":        {func(w *world) { w.executor.Org.HubAccount = "555555555555" }, "aws: the executor's credentials are of account 111111111111, not of the hub account 555555555555"},
		"a clock that goes well": {clock(-90 * time.Second), ""},
		"a slow clock":           {clock(3 * time.Minute), "clock: this machine's clock is 3m0s behind AWS's"},
		"a fast clock":           {clock(-4 * time.Minute), "clock: this machine's clock is 4m0s ahead of AWS's"},
		"no such topic": {func(w *world) {
			w.executor.Pager, _ = trail.NewTopic(w.aws.Config(), strings.Replace(w.aws.AddTopic("x"), ":x", ":y", 1))
		}, "topic: notify.pager_topic_arn can't be asked for: NotFound"},
		"a topic that may not be asked": {func(w *world) {
			w.executor.Notices, _ = trail.NewTopic(w.aws.Config(), w.aws.AddTopic("x"))
			w.aws.Fault(awsfake.Fault{Op: "sns:GetTopicAttributes", Err: apiError("AuthorizationError"), Times: 1})
		}, "topic: notify.sns_topic_arn can't be asked for: AuthorizationError"},
		"a topic without subscribers": {func(w *world) {
			topic := w.aws.AddTopic("x")
			w.aws.Subscribe(topic, 0)
			w.executor.Pager, _ = trail.NewTopic(w.aws.Config(), topic)
		}, "topic: notify.pager_topic_arn has no subscriber, so that nobody hears of it"},
		"a bucket that refuses": {func(w *world) {
			w.aws.Fault(awsfake.Fault{Op: "s3:PutObject", Err: apiError("AccessDenied"), Times: 1})
		}, "audit: the bucket of audit heads takes none: AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withBucket)
			r := w.state(w.types(alice, revoke), approvals.Pending)
			w.clicks(bob, r, "approve")
			w.state(r, approvals.Contained)
			w.drain()
			before := len(w.aws.Objects(w.cfg.Bucket))
			c.do(w)
			found := w.executor.Troubles(t.Context())
			switch {
			case c.want == "" && len(found) != 0, c.want != "" && (len(found) != 1 || found[0].Check+": "+found[0].Found != c.want || found[0].Mend == ""):
				t.Errorf("found %+v, want %q", found, c.want)
			}
			if n := len(w.aws.Objects(w.cfg.Bucket)); n != before || n == 0 {
				t.Errorf("the bucket has %d objects, had %d", n, before)
			}
		})
	}
}

// TestBucketThatFailsForLong is trouble, whatever it would take now.
func TestBucketThatFailsForLong(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withBucket)
	w.aws.Fault(awsfake.Fault{Op: "s3:PutObject", Err: apiError("AccessDenied"), Times: 1000})
	r := w.state(w.types(alice, revoke), approvals.Pending)
	w.clicks(bob, r, "approve")
	w.state(r, approvals.Contained)
	w.drain()
	if found := w.executor.Troubles(t.Context()); len(found) != 0 {
		t.Errorf("at once: %+v", found)
	}
	w.clock.Add(2 * time.Hour)
	if found := w.executor.Troubles(t.Context()); len(found) != 1 || found[0].Check != "audit" {
		t.Errorf("two hours later: %+v", found)
	}
}

// TestRoleTroubles: which role, where, and why; of many accounts a few are named. Protected accounts and the hub are
// left alone; where the organization can't be listed, those of the configuration are entered.
func TestRoleTroubles(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.executor.Org.ManagementAccount, w.executor.Org.Accounts = "", map[string]string{"prod": prod}
	if found := w.executor.RoleTroubles(t.Context()); len(found) != 0 {
		t.Errorf("found %+v", found)
	}
	w.executor.Org.ProtectedAccounts = []string{"700000000000", "700000000001"}
	for i := range 9 {
		w.executor.Org.Accounts[fmt.Sprint("a", i)] = fmt.Sprintf("%012d", 700000000000+i)
	}
	found := w.executor.RoleTroubles(t.Context())
	for _, role := range []string{"killswitch-responder", "killswitch-restorer"} {
		want := "the role " + role + " can't be entered in 700000000002 a2, 700000000003 a3, 700000000004 a4, 700000000005 a5, 700000000006 a6, 2 more: AccessDenied"
		if len(found) != 2 || found[0].Found != want && found[1].Found != want {
			t.Errorf("found %+v, want %q", found, want)
		}
	}
	w.executor.Org.Accounts, w.executor.Org.PolicyAccount = map[string]string{"prod": prod}, prod
	w.executor.Members = func(context.Context, actions.SessionContext) ([]string, error) {
		return nil, apiError("AccessDeniedException")
	}
	found = w.executor.RoleTroubles(t.Context())
	if len(found) != 1 || found[0].Found != "the organization's accounts can't be listed, so only those of the configuration were looked at: AccessDeniedException" {
		t.Errorf("found %+v", found)
	}
}
