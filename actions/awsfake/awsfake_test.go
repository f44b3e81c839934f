package awsfake_test

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const (
	member   = "222222222222"
	denyAll  = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`
	allowAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
)

var start = time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// world is a member account with the responder and a victim role that may do all.
type world struct {
	*awsfake.Cloud
	clock  *clock
	victim string // role ARN
}

func newWorld(t *testing.T, opts ...awsfake.Option) *world {
	t.Helper()
	c := &clock{t: start}
	w := &world{Cloud: awsfake.New(c.now, opts...), clock: c}
	w.Member(member, awsfake.MemberRoles{ExternalID: "ext", ResponderPolicy: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`})
	w.victim = w.Account(member).AddRole(awsfake.Role{Name: "victim", Path: "/app/", Attached: []string{"arn:" + w.Partition() + ":iam::aws:policy/AdministratorAccess"}})
	return w
}

func (w *world) responderARN() string {
	return "arn:" + w.Partition() + ":iam::" + member + ":role/killswitch-responder"
}

func (w *world) assumeInput() *sts.AssumeRoleInput {
	return &sts.AssumeRoleInput{RoleArn: aws.String(w.responderARN()), RoleSessionName: aws.String("req-1"), ExternalId: aws.String("ext")}
}

// responder is an IAM client of a responder session.
func (w *world) responder(t *testing.T, change ...func(*sts.AssumeRoleInput)) *iam.Client {
	t.Helper()
	in := w.assumeInput()
	for _, f := range change {
		f(in)
	}
	out, err := sts.NewFromConfig(w.Config()).AssumeRole(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	return iam.NewFromConfig(w.ConfigAs(provider(out.Credentials)))
}

func provider(c *ststypes.Credentials) aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider(*c.AccessKeyId, *c.SecretAccessKey, *c.SessionToken)
}

func put(name, doc string) *iam.PutRolePolicyInput {
	return &iam.PutRolePolicyInput{RoleName: aws.String("victim"), PolicyName: aws.String(name), PolicyDocument: aws.String(doc)}
}

// wantCode checks an API error's code and returns its message.
func wantCode(t *testing.T, err error, want string) string {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) {
		t.Fatalf("error = %v, want an API error %s", err, want)
	}
	if api.ErrorCode() != want {
		t.Fatalf("error = %v, want code %s", err, want)
	}
	return api.ErrorMessage()
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestCallerIdentity(t *testing.T) {
	w := newWorld(t, awsfake.WithPartition("aws-us-gov"))
	out, err := sts.NewFromConfig(w.Config()).GetCallerIdentity(t.Context(), nil)
	check(t, err)
	if got, want := *out.Arn, "arn:aws-us-gov:sts::111111111111:assumed-role/killswitch-executor/executor"; got != want {
		t.Errorf("hub is %s, want %s", got, want)
	}
	stranger := w.ConfigAs(credentials.NewStaticCredentialsProvider("AKIASTRANGER", "x", ""))
	_, err = sts.NewFromConfig(stranger).GetCallerIdentity(t.Context(), nil)
	wantCode(t, err, "InvalidClientTokenId")
}

func TestHubMayOnlyAssume(t *testing.T) {
	w := newWorld(t)
	_, err := iam.NewFromConfig(w.Config()).ListRoles(t.Context(), nil)
	msg := wantCode(t, err, "AccessDenied")
	if want := "because no identity-based policy allows the iam:ListRoles action"; !strings.HasSuffix(msg, want) {
		t.Errorf("message %q, want suffix %q", msg, want)
	}
	var resp *awshttp.ResponseError
	if !errors.As(err, &resp) || resp.HTTPStatusCode() != 403 || resp.ServiceRequestID() == "" {
		t.Errorf("want a response with status 403 and a request ID, got %v", err)
	}
}

func TestUnknownOperationIsNotImplemented(t *testing.T) {
	w := newWorld(t)
	_, err := iam.NewFromConfig(w.Config()).ListGroups(t.Context(), nil)
	wantCode(t, err, "NotImplemented")
}

func TestAssumeRole(t *testing.T) {
	tests := []struct {
		name   string
		change func(*sts.AssumeRoleInput)
		code   string // "" succeeds
	}{
		{"all that the executor sends", func(in *sts.AssumeRoleInput) {
			in.SourceIdentity = aws.String("alice@example.com")
			in.Tags = []ststypes.Tag{{Key: aws.String("approver"), Value: aws.String("bob")}}
			in.Policy = aws.String(allowAll)
		}, ""},
		{"wrong external ID", func(in *sts.AssumeRoleInput) { in.ExternalId = aws.String("guess") }, "AccessDenied"},
		{"no external ID", func(in *sts.AssumeRoleInput) { in.ExternalId = nil }, "AccessDenied"},
		{"no such role", func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String("arn:aws:iam::" + member + ":role/nobody") }, "AccessDenied"},
		{"no such account", func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String("arn:aws:iam::999999999999:role/x") }, "AccessDenied"},
		{"role that trusts a service", func(in *sts.AssumeRoleInput) { in.RoleArn = aws.String("arn:aws:iam::" + member + ":role/app/victim") }, "AccessDenied"},
		{"session name of one character", func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("x") }, "ValidationError"},
		{"session name with a space", func(in *sts.AssumeRoleInput) { in.RoleSessionName = aws.String("a b") }, "ValidationError"},
		{"source identity with a slash", func(in *sts.AssumeRoleInput) { in.SourceIdentity = aws.String("a/b") }, "ValidationError"},
		{"session policy of broken JSON", func(in *sts.AssumeRoleInput) { in.Policy = aws.String("{") }, "MalformedPolicyDocument"},
		{"session policy of 2,048 characters", func(in *sts.AssumeRoleInput) {
			in.Policy = aws.String(allowAll + strings.Repeat(" ", 2048-len(allowAll)))
		}, ""},
		{"session policy of 2,049 characters", func(in *sts.AssumeRoleInput) {
			in.Policy = aws.String(allowAll + strings.Repeat(" ", 2049-len(allowAll)))
		}, "PackedPolicyTooLarge"},
		{"an hour", func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3600) }, ""},
		{"more than an hour", func(in *sts.AssumeRoleInput) { in.DurationSeconds = aws.Int32(3601) }, "ValidationError"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			in := w.assumeInput()
			tt.change(in)
			out, err := sts.NewFromConfig(w.Config()).AssumeRole(t.Context(), in)
			calls := w.Calls()
			if len(calls) != 1 || calls[0].Allowed != (tt.code != "AccessDenied") || calls[0].Err != tt.code {
				t.Errorf("logged %+v, want one call with code %q", calls, tt.code)
			}
			if tt.code != "" {
				wantCode(t, err, tt.code)
				return
			}
			check(t, err)
			if !strings.HasPrefix(*out.Credentials.AccessKeyId, "ASIA") || !out.Credentials.Expiration.Equal(start.Add(time.Hour)) {
				t.Errorf("credentials %s until %v", *out.Credentials.AccessKeyId, out.Credentials.Expiration)
			}
		})
	}
}

// A trust policy that forgets sts:TagSession or sts:SetSourceIdentity is a mistake often made.
func TestAssumeRoleTrustWithoutTagging(t *testing.T) {
	w := newWorld(t)
	w.Account(member).AddRole(awsfake.Role{Name: "plain", Trust: fmt.Sprintf(
		`{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"sts:AssumeRole"}}`, awsfake.HubAccount)})
	client := sts.NewFromConfig(w.Config())
	in := &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + member + ":role/plain"), RoleSessionName: aws.String("req-1")}
	_, err := client.AssumeRole(t.Context(), in)
	check(t, err)
	in.SourceIdentity = aws.String("alice")
	_, err = client.AssumeRole(t.Context(), in)
	if msg := wantCode(t, err, "AccessDenied"); !strings.Contains(msg, "to perform: sts:SetSourceIdentity on") {
		t.Error(msg)
	}
	in.SourceIdentity, in.Tags = nil, []ststypes.Tag{{Key: aws.String("k"), Value: aws.String("v")}}
	_, err = client.AssumeRole(t.Context(), in)
	if msg := wantCode(t, err, "AccessDenied"); !strings.Contains(msg, "to perform: sts:TagSession on") {
		t.Error(msg)
	}
}

func TestSessionPolicyNarrows(t *testing.T) {
	w := newWorld(t)
	policy := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iam:Get*","Resource":"` + w.victim + `"}]}`
	client := w.responder(t, func(in *sts.AssumeRoleInput) {
		in.Policy, in.SourceIdentity = aws.String(policy), aws.String("alice")
		in.Tags = []ststypes.Tag{{Key: aws.String("approver"), Value: aws.String("bob")}}
	})
	w.ResetCalls()
	_, err := client.GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("victim")})
	check(t, err)
	_, err = client.PutRolePolicy(t.Context(), put("p", denyAll))
	got := wantCode(t, err, "AccessDenied")
	want := "User: arn:aws:sts::222222222222:assumed-role/killswitch-responder/req-1 is not authorized to perform: iam:PutRolePolicy on resource: role victim because no session policy allows the iam:PutRolePolicy action"
	if got != want {
		t.Errorf("message\n%s, want\n%s", got, want)
	}
	wantCalls := []awsfake.Call{{
		Phase: awsfake.After, Time: start, Op: "iam:GetRole", Account: member, Region: "us-east-1", Principal: "arn:aws:sts::222222222222:assumed-role/killswitch-responder/req-1",
		Resources: []string{w.victim}, Allowed: true, Applied: true, SessionPolicy: policy, RoleSessionName: "req-1", SourceIdentity: "alice", Tags: map[string]string{"approver": "bob"},
	}}
	second := wantCalls[0]
	second.Op, second.Mutating, second.Allowed, second.Applied, second.Err = "iam:PutRolePolicy", true, false, false, "AccessDenied"
	if diff := cmp.Diff(append(wantCalls, second), w.Calls(), cmpopts.IgnoreFields(awsfake.Call{}, "Input")); diff != "" {
		t.Error(diff)
	}
	if n := w.Mutations(); n != 0 {
		t.Errorf("%d mutations, want none", n)
	}
}

func TestCredentialsExpire(t *testing.T) {
	w := newWorld(t)
	client := w.responder(t)
	w.clock.add(time.Hour)
	_, err := client.ListRoles(t.Context(), nil)
	wantCode(t, err, "ExpiredToken")
}

func TestDocumentsByteForByte(t *testing.T) {
	w := newWorld(t)
	client := w.responder(t)
	doc := "{ \"Version\":\"2012-10-17\",\n\t\"Statement\":[{\"Sid\":\"a\",\"Effect\":\"Deny\",\"Action\":\"s3:*\",\"Resource\":\"arn:aws:s3:::b/a+b c%20é*~\"}]}\r\n"
	_, err := client.PutRolePolicy(t.Context(), put("p", doc))
	check(t, err)
	out, err := client.GetRolePolicy(t.Context(), &iam.GetRolePolicyInput{RoleName: aws.String("victim"), PolicyName: aws.String("p")})
	check(t, err)
	if strings.ContainsAny(*out.PolicyDocument, "+ *") || !strings.Contains(*out.PolicyDocument, "a%2Bb%20c%2520%C3%A9%2A~") {
		t.Errorf("not encoded as RFC 3986 has it: %s", *out.PolicyDocument)
	}
	got, err := url.PathUnescape(*out.PolicyDocument)
	check(t, err)
	if diff := cmp.Diff(doc, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(doc, w.Snapshot().Accounts[member].Roles["victim"].Inline["p"]); diff != "" {
		t.Error(diff)
	}
	_, err = client.PutRolePolicy(t.Context(), put("p", strings.Replace(doc, "é", "→", 1)))
	wantCode(t, err, "ValidationError")
}
