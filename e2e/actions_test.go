//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
)

// TestRevokeSessionsOnMoto: the contract holds on an AWS that we did not write.
func TestRevokeSessionsOnMoto(t *testing.T) {
	cloud := StartAWS(t)
	var n atomic.Int32
	start := func(name string, inline map[string]string, tags ...types.Tag) actiontest.Start {
		return actiontest.Start{Name: name, Open: func(t *testing.T) actiontest.Environment {
			s := iamScene{t: t, iam: iam.NewFromConfig(cloud.Member(t, prod)), role: fmt.Sprintf("role-%d", n.Add(1))}
			trust := `{"Version":"2012-10-17","Statement":[]}`
			_, err := s.iam.CreateRole(t.Context(), &iam.CreateRoleInput{RoleName: &s.role, AssumeRolePolicyDocument: &trust, Tags: tags})
			s.must(err)
			for policy, doc := range inline {
				s.put(policy, doc)
			}
			call := actions.Call{Action: actions.RevokeSessions, Account: prod, Target: actions.RoleARN("aws", prod, "/", s.role)}
			return s.scene(actions.NewCloud(cloud.Hub(t), org()), call)
		}}
	}
	action, _ := all.Actions.Lookup(actions.RevokeSessions)
	actiontest.Test(t, actiontest.Contract{Action: action, Starts: []actiontest.Start{
		start("bare", nil),
		start("revoked before", map[string]string{"AWSRevokeOlderSessions": "{ \"Version\": \"2012-10-17\",\n\t\"Statement\": [{\"Effect\":\"Deny\",\"Action\":\"*\",\"Resource\":\"arn:aws:s3:::a+b%20c/*\"}] }"},
			types.Tag{Key: aws.String("killswitch"), Value: aws.String("theirs")}),
	}})
}

func org() actions.Org {
	return actions.Org{Actions: all.Actions, Partition: "aws", HubAccount: HubAccount, ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer", ExternalID: "4b3c2a1f",
		Accounts: map[string]string{"prod": prod}}
}

// iamScene is one role in moto.
type iamScene struct {
	t    *testing.T
	iam  *iam.Client
	role string
}

func (s iamScene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s iamScene) put(policy, doc string) {
	s.t.Helper()
	_, err := s.iam.PutRolePolicy(s.t.Context(), &iam.PutRolePolicyInput{RoleName: &s.role, PolicyName: &policy, PolicyDocument: &doc})
	s.must(err)
}

// state is all of the role that an action may touch.
func (s iamScene) state() any {
	ctx := context.Background()
	role, err := s.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: &s.role})
	s.must(err)
	state := map[string]string{"id": *role.Role.RoleId}
	for _, t := range role.Role.Tags {
		state["tag "+*t.Key] = *t.Value
	}
	names, err := s.iam.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: &s.role})
	s.must(err)
	for _, name := range names.PolicyNames {
		out, err := s.iam.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &s.role, PolicyName: &name})
		s.must(err)
		doc, err := url.PathUnescape(*out.PolicyDocument)
		s.must(err)
		state["inline "+name] = doc
	}
	return state
}

func (s iamScene) scene(cloud *actions.Cloud, call actions.Call) actiontest.Environment {
	action, _ := all.Actions.Lookup(call.Action)
	policy := "AWSRevokeOlderSessions"
	return actiontest.Environment{
		Call:  call,
		State: s.state,
		Now:   time.Now,
		Org:   org(),
		Enter: func(m actions.Member, p actions.Phase, resources []string) *actions.Account {
			acct, err := cloud.EnterFor(s.t.Context(), m, action, p, call, resources, actions.SessionContext{RequestID: "KS-000000000000", Requester: "ana"})
			s.must(err)
			return acct
		},
		Tamper: func() {
			_, err := s.iam.DeleteRolePolicy(s.t.Context(), &iam.DeleteRolePolicyInput{RoleName: &s.role, PolicyName: &policy})
			s.must(err)
			_, err = s.iam.UntagRole(s.t.Context(), &iam.UntagRoleInput{RoleName: &s.role, TagKeys: []string{"killswitch"}})
			s.must(err)
		},
		Replace: func() {
			s.put(policy, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`)
			_, err := s.iam.TagRole(s.t.Context(), &iam.TagRoleInput{RoleName: &s.role, Tags: []types.Tag{{Key: aws.String("killswitch"), Value: aws.String("somebody's")}}})
			s.must(err)
		},
	}
}
