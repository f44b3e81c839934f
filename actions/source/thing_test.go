package source_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/source"
)

// services answers for services that the cloud in memory does not have, by method, host and path.
type services map[string]string

func (s services) Do(r *http.Request) (*http.Response, error) {
	if !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/") {
		return nil, fmt.Errorf("signed for another region: %s", r.Header.Get("Authorization"))
	}
	status, body, ok := strings.Cut(s[r.Method+" "+r.URL.Host+r.URL.EscapedPath()], " ")
	if !ok {
		status, body = "404", `{"__type":"ResourceNotFoundException","message":"not there"}`
	}
	code := map[string]int{"200": 200, "404": 404, "403": 403}[status]
	return &http.Response{StatusCode: code, Body: io.NopCloser(strings.NewReader(body)), Header: http.Header{}}, nil
}

// TestLook: what is there, off, gone, replaced by another of its name, or can't be read; in a session that may
// do nothing else.
func TestLook(t *testing.T) {
	const member, at = actiontest.Member, "eu-west-1"
	admin := "arn:aws:iam::aws:policy/AdministratorAccess"
	c := &actiontest.Clock{}
	fx := fixtureAt(t, c, time.Now, "aws")
	policy, err := actions.PolicyDocument(source.LookPermits(actions.Anything(fx.Org)))
	actiontest.Must(t, err)
	fx.Member(member, awsfake.MemberRoles{Responder: fx.Org.ResponderRole, Restorer: fx.Org.RestorerRole, ExternalID: fx.Org.ExternalID, ResponderPolicy: string(policy), RestorerPolicy: string(policy)})
	a := fx.Account(member)
	a.AddGroup(awsfake.Group{Name: "ops"})
	a.AddRole(awsfake.Role{Name: "support", ID: "AROASUPPORT", Attached: []string{admin}, Inline: map[string]string{"p": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`},
		Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444444444444:root"},"Action":"sts:AssumeRole"}]}`})
	a.AddUser(awsfake.User{Name: "jo", ID: "AIDAJO", Groups: []string{"ops"}, Attached: []string{admin}, Password: time.Now(), MFA: []string{"arn:aws:iam::" + member + ":mfa/jo"},
		Inline: map[string]string{"p": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`},
		Keys:   []awsfake.AccessKey{{ID: "AKIAACTIVEACTIVEEXAM"}, {ID: "AKIAOFFOFFOFFOFFEXAM", Inactive: true}}})
	a.AddUser(awsfake.User{Name: "bare"})
	r := a.Region(at)
	r.AddInstance(awsfake.Instance{ID: "i-0d3e1a5b7c9f20001"})
	awsfake.Serve(fx.Cloud, "iam:ListAttachedGroupPolicies", false, func(*iam.ListAttachedGroupPoliciesInput) string { return "arn:aws:iam::" + member + ":group/ops" },
		func(*iam.ListAttachedGroupPoliciesInput) (*iam.ListAttachedGroupPoliciesOutput, error) {
			return &iam.ListAttachedGroupPoliciesOutput{AttachedPolicies: []types.AttachedPolicy{{PolicyArn: &admin}}}, nil
		})
	awsfake.Serve(fx.Cloud, "iam:GetGroupPolicy", false, func(*iam.GetGroupPolicyInput) string { return "arn:aws:iam::" + member + ":group/ops" },
		func(*iam.GetGroupPolicyInput) (*iam.GetGroupPolicyOutput, error) {
			return nil, &types.NoSuchEntityException{}
		})
	awsfake.Serve(fx.Cloud, "ec2:DescribeSnapshotAttribute", false, func(in *ec2.DescribeSnapshotAttributeInput) string {
		return "arn:aws:ec2:" + at + "::snapshot/" + *in.SnapshotId
	},
		func(in *ec2.DescribeSnapshotAttributeInput) (*ec2.DescribeSnapshotAttributeOutput, error) {
			if *in.SnapshotId == "snap-gone" {
				return nil, &smithy.GenericAPIError{Code: "InvalidSnapshot.NotFound"}
			}
			return &ec2.DescribeSnapshotAttributeOutput{CreateVolumePermissions: []ec2types.CreateVolumePermission{{UserId: new("444444444444")}, {Group: ec2types.PermissionGroupAll}}}, nil
		})
	awsfake.Serve(fx.Cloud, "ec2:DescribeImageAttribute", false, func(in *ec2.DescribeImageAttributeInput) string {
		return "arn:aws:ec2:" + at + "::image/" + *in.ImageId
	},
		func(*ec2.DescribeImageAttributeInput) (*ec2.DescribeImageAttributeOutput, error) {
			return &ec2.DescribeImageAttributeOutput{LaunchPermissions: []ec2types.LaunchPermission{{UserId: new("444444444444")}}}, nil
		})
	cfg := fx.Config()
	cfg.HTTPClient = services{
		"GET lambda.eu-west-1.amazonaws.com/2015-03-31/functions/hook/configuration":   `200 {"FunctionName":"hook"}`,
		"GET lambda.eu-west-1.amazonaws.com/2015-03-31/functions/shut/configuration":   `403 {"Message":"not for you"}`,
		"GET rolesanywhere.eu-west-1.amazonaws.com/trustanchor/a-1":                    `200 {"trustAnchor":{"enabled":true}}`,
		"GET rolesanywhere.eu-west-1.amazonaws.com/profile/p-1":                        `200 {"profile":{"enabled":false}}`,
		"GET lambda.eu-west-1.amazonaws.com/2015-03-31/functions/..%2Fx/configuration": `200 {}`,
	}
	org := fx.Org
	acct, err := actions.NewCloud(cfg, org).Enter(t.Context(), actions.Responder, member, "", actiontest.Actor, source.LookPermits(actions.Scope{Org: org, Account: member, Region: "*"}))
	actiontest.Must(t, err)
	for _, x := range []struct {
		thing source.Thing
		want  source.Presence
		fails string
	}{
		{thing: source.Thing{Kind: source.User, Name: "jo", ID: "AIDAJO"}, want: source.There},
		{thing: source.Thing{Kind: source.User, Name: "jo", ID: "AIDABEFORE"}, want: source.Replaced},
		{thing: source.Thing{Kind: source.User, Name: "none"}, want: source.Gone},
		{thing: source.Thing{Kind: source.Key, Name: "AKIAACTIVEACTIVEEXAM", Of: "user/jo"}, want: source.There},
		{thing: source.Thing{Kind: source.Key, Name: "AKIAOFFOFFOFFOFFEXAM", Of: "user/jo"}, want: source.Off},
		{thing: source.Thing{Kind: source.Key, Name: "AKIANONENONENONEEXAM", Of: "user/jo"}, want: source.Gone},
		{thing: source.Thing{Kind: source.Password, Of: "user/jo"}, want: source.There},
		{thing: source.Thing{Kind: source.Password, Of: "user/bare"}, want: source.Gone},
		{thing: source.Thing{Kind: source.MFA, Name: "arn:aws:iam::" + member + ":mfa/jo", Of: "user/jo"}, want: source.There},
		{thing: source.Thing{Kind: source.MFA, Name: "arn:aws:iam::" + member + ":mfa/jo", Of: "user/bare"}, want: source.Gone},
		{thing: source.Thing{Kind: source.Membership, Name: "OPS", Of: "user/jo"}, want: source.There},
		{thing: source.Thing{Kind: source.Membership, Name: "ops", Of: "user/bare"}, want: source.Gone},
		{thing: source.Thing{Kind: source.Role, Name: "support", ID: "AROASUPPORT"}, want: source.There},
		{thing: source.Thing{Kind: source.Trust, Name: "444444444444", Of: "role/support"}, want: source.There},
		{thing: source.Thing{Kind: source.Trust, Name: "555555555555", Of: "role/support"}, want: source.Gone},
		{thing: source.Thing{Kind: source.Attachment, Name: admin, Of: "user/jo"}, want: source.There},
		{thing: source.Thing{Kind: source.Attachment, Name: admin, Of: "user/bare"}, want: source.Gone},
		{thing: source.Thing{Kind: source.Attachment, Name: admin, Of: "role/support"}, want: source.There},
		{thing: source.Thing{Kind: source.Attachment, Name: admin, Of: "group/ops"}, want: source.There},
		{thing: source.Thing{Kind: source.Inline, Name: "p", Of: "user/jo"}, want: source.There},
		{thing: source.Thing{Kind: source.Inline, Name: "p", Of: "role/support"}, want: source.There},
		{thing: source.Thing{Kind: source.Inline, Name: "q", Of: "role/support"}, want: source.Gone},
		{thing: source.Thing{Kind: source.Inline, Name: "p", Of: "group/ops"}, want: source.Gone},
		{thing: source.Thing{Kind: source.Policy, Name: "arn:aws:iam::" + member + ":policy/none"}, want: source.Gone},
		{thing: source.Thing{Kind: source.PolicyVersion, Name: "v2", Of: "arn:aws:iam::" + member + ":policy/none"}, want: source.Gone},
		{thing: source.Thing{Kind: source.Instance, Name: "i-0d3e1a5b7c9f20001", Region: at}, want: source.There},
		{thing: source.Thing{Kind: source.Instance, Name: "i-0d3e1a5b7c9f29999", Region: at}, want: source.Gone},
		{thing: source.Thing{Kind: source.Snapshot, Name: "snap-1", Of: "444444444444", Region: at}, want: source.There},
		{thing: source.Thing{Kind: source.Snapshot, Name: "snap-1", Of: "all", Region: at}, want: source.There},
		{thing: source.Thing{Kind: source.Snapshot, Name: "snap-1", Of: "555555555555", Region: at}, want: source.Gone},
		{thing: source.Thing{Kind: source.Snapshot, Name: "snap-gone", Of: "all", Region: at}, want: source.Gone},
		{thing: source.Thing{Kind: source.Image, Name: "ami-1", Of: "444444444444", Region: at}, want: source.There},
		{thing: source.Thing{Kind: source.Function, Name: "hook", Region: at}, want: source.There},
		{thing: source.Thing{Kind: source.Function, Name: "none", Region: at}, want: source.Gone},
		{thing: source.Thing{Kind: source.Function, Name: "../x", Region: at}, want: source.There}, // its name, and nothing else's path
		{thing: source.Thing{Kind: source.Function, Name: "shut", Region: at}, fails: "403"},
		{thing: source.Thing{Kind: source.TrustAnchor, ID: "a-1", Region: at}, want: source.There},
		{thing: source.Thing{Kind: source.Profile, ID: "p-1", Region: at}, want: source.Off},
		{thing: source.Thing{Kind: "bucket", Name: "b"}},
	} {
		got, err := source.Look(t.Context(), acct, x.thing, time.Now())
		if got != x.want || (err != nil) != (x.fails != "") {
			t.Errorf("%+v: %q, %v; want %q", x.thing, got, err, x.want)
		}
	}
	fx.Fault(awsfake.Fault{Op: "iam:GetUser", Err: errors.New("out of order")})
	if got, err := source.Look(t.Context(), acct, source.Thing{Kind: source.User, Name: "jo"}, time.Now()); got != "" || err == nil {
		t.Errorf("%q, %v", got, err)
	}
	for _, call := range fx.Calls() {
		if call.Mutating {
			t.Errorf("%s changes something", call.Op)
		}
	}
}

// TestReadable: what is said to be readable is.
func TestReadable(t *testing.T) {
	kinds := source.Reads()
	for _, k := range kinds {
		if !k.Readable() {
			t.Errorf("%s is read, and not said to be", k)
		}
	}
	for _, k := range []source.Kind{source.Session, "bucket"} {
		if k.Readable() {
			t.Errorf("%s is said to be read", k)
		}
	}
	if len(kinds) != 17 {
		t.Errorf("%d kinds", len(kinds))
	}
}
