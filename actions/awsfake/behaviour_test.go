package awsfake_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func revoke(cutoff time.Time) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{"DateLessThan":{"aws:TokenIssueTime":%q}}}]}`, cutoff.UTC().Format(time.RFC3339))
}

// TestDenyIsListedBeforeItIsEnforced: whoever polls takes it off before it holds.
func TestDenyIsListedBeforeItIsEnforced(t *testing.T) {
	w := newWorld(t)
	client := w.responder(t)
	stolen := w.Session(w.victim, "i-0abc")
	w.clock.add(time.Minute)
	w.SetEnforcement(4 * time.Second)
	deny := put("AWSRevokeOlderSessions", revoke(w.clock.now()))
	_, err := client.PutRolePolicy(t.Context(), deny)
	check(t, err)
	listed, err := iam.NewFromConfig(stolen.Config()).ListRolePolicies(t.Context(), &iam.ListRolePoliciesInput{RoleName: deny.RoleName})
	check(t, err)
	if !slices.Contains(listed.PolicyNames, *deny.PolicyName) {
		t.Errorf("listed: %v", listed.PolicyNames)
	}
	w.clock.add(4 * time.Second)
	if ok, _ := stolen.Can("s3:GetObject", "arn:aws:s3:::secrets/all"); ok {
		t.Error("it is never enforced")
	}
}

func TestStolenSessionIsRevoked(t *testing.T) {
	w := newWorld(t)
	client := w.responder(t)
	stolen := w.Session(w.victim, "i-0abc")
	w.clock.add(time.Minute)
	w.SetPropagation(4 * time.Second)
	if ok, why := stolen.Can("s3:GetObject", "arn:aws:s3:::secrets/all"); !ok {
		t.Fatalf("before: %s", why)
	}
	_, err := client.PutRolePolicy(t.Context(), put("AWSRevokeOlderSessions", revoke(w.clock.now())))
	check(t, err)

	w.clock.add(4*time.Second - 1)
	if ok, why := stolen.Can("s3:GetObject", "arn:aws:s3:::secrets/all"); !ok {
		t.Errorf("denied before it has propagated: %s", why)
	}
	get := &iam.GetRolePolicyInput{RoleName: aws.String("victim"), PolicyName: aws.String("AWSRevokeOlderSessions")}
	_, err = client.GetRolePolicy(t.Context(), get)
	wantCode(t, err, "NoSuchEntity")

	w.clock.add(1)
	_, err = client.GetRolePolicy(t.Context(), get)
	check(t, err)
	ok, why := stolen.Can("s3:GetObject", "arn:aws:s3:::secrets/all")
	if want := "User: arn:aws:sts::222222222222:assumed-role/victim/i-0abc is not authorized to perform: s3:GetObject on resource: arn:aws:s3:::secrets/all with an explicit deny in an identity-based policy"; ok || why != want {
		t.Errorf("can %t: %q, want %q", ok, why, want)
	}
	_, err = iam.NewFromConfig(stolen.Config()).ListRoles(t.Context(), nil)
	wantCode(t, err, "AccessDenied")
	if ok, why := w.Session(w.victim, "i-0abc").Can("s3:GetObject", "arn:aws:s3:::b/k"); !ok {
		t.Errorf("a session issued after the cutoff: %s", why)
	}
}

func TestSessionExpires(t *testing.T) {
	w := newWorld(t)
	stolen := w.Session(w.victim, "i-0abc")
	stolen.ExpireAt(w.clock.now().Add(time.Hour))
	w.clock.add(time.Hour - 1)
	if ok, why := stolen.Can("s3:GetObject", "arn:aws:s3:::b/k"); !ok {
		t.Errorf("before its time: %s", why)
	}
	w.clock.add(1)
	_, err := iam.NewFromConfig(stolen.Config()).ListRoles(t.Context(), nil)
	wantCode(t, err, "ExpiredToken")
}

func TestDeletedRoleTakesItsSessions(t *testing.T) {
	w := newWorld(t)
	role := awsfake.Role{Name: "job", Inline: map[string]string{"p": allowAll}}
	stolen := w.Session(w.Account(member).AddRole(role), "x1")
	w.Account(member).AddRole(role) // the same name, another RoleId
	if ok, why := stolen.Can("s3:GetObject", "arn:aws:s3:::b/k"); ok || !strings.Contains(why, "security token included in the request is invalid") {
		t.Errorf("can %t: %s", ok, why)
	}
}

func TestConditions(t *testing.T) {
	tests := []struct {
		name, effect, condition string
		want                    bool
	}{
		{"deny of older tokens", "Deny", `{"DateLessThan":{"aws:TokenIssueTime":"2026-11-03T10:00:01Z"}}`, false},
		{"deny of older tokens, equal", "Deny", `{"DateLessThan":{"aws:TokenIssueTime":"2026-11-03T10:00:00Z"}}`, true},
		{"deny of newer tokens, epoch", "Deny", `{"DateGreaterThan":{"aws:TokenIssueTime":"1"}}`, false},
		{"deny of others than the role", "Deny", `{"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::*:role/x","arn:aws:iam::*:role/app/vic*"]}}`, true},
		{"deny of others", "Deny", `{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/responder"}}`, false},
		{"deny by tag", "Deny", `{"StringLike":{"aws:PrincipalTag/KillSwitch":"REQ-*"}}`, false},
		{"deny by a tag that isn't there", "Deny", `{"StringEquals":{"aws:PrincipalTag/none":"x"}}`, true},
		{"deny unless a tag that isn't there", "Deny", `{"StringNotEquals":{"aws:PrincipalTag/none":"x"}}`, false},
		{"deny if exists", "Deny", `{"StringEqualsIfExists":{"aws:PrincipalTag/none":"x"}}`, false},
		{"deny where no token time", "Deny", `{"Null":{"aws:TokenIssueTime":"true"}}`, true},
		{"deny for one instance, from elsewhere", "Deny", `{"ArnEquals":{"ec2:SourceInstanceARN":"arn:aws:ec2:eu-west-1:222222222222:instance/i-1"}}`, true},
		{"deny, two conditions, one false", "Deny", `{"Null":{"aws:TokenIssueTime":"false"},"StringEquals":{"aws:PrincipalAccount":"1"}}`, true},
		{"deny on an unknown key", "Deny", `{"StringEquals":{"aws:Weather":"rain"}}`, false},
		{"deny with an unknown operator", "Deny", `{"StringRhymes":{"aws:PrincipalArn":"x"}}`, false},
		{"deny with a broken date", "Deny", `{"DateLessThan":{"aws:TokenIssueTime":"yesterday"}}`, false},
		{"allow on an unknown key", "Allow", `{"StringEquals":{"aws:Weather":"rain"}}`, false},
		{"allow with an unknown operator", "Allow", `{"StringRhymes":{"aws:PrincipalArn":"x"}}`, false},
		{"allow by tag", "Allow", `{"StringEquals":{"aws:PrincipalTag/killswitch":"REQ-1"}}`, true},
		{"allow by another tag", "Allow", `{"StringEquals":{"aws:PrincipalTag/killswitch":["REQ-2","REQ-3"]}}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			inline := map[string]string{"tested": fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":%q,"Action":"*","Resource":"*","Condition":%s}]}`, tt.effect, tt.condition)}
			if tt.effect == "Deny" {
				inline["allow"] = allowAll
			}
			arn := w.Account(member).AddRole(awsfake.Role{Name: "victim", Path: "/app/", Inline: inline, Tags: map[string]string{"killswitch": "REQ-1"}})
			if got, why := w.Session(arn, "s1").Can("s3:GetObject", "arn:aws:s3:::b/k"); got != tt.want {
				t.Errorf("can = %t (%s), want %t", got, why, tt.want)
			}
		})
	}
}

func TestStatements(t *testing.T) {
	for _, tt := range []struct {
		statement string
		want      bool
	}{
		{`"Action":"S3:getobject","Resource":"*"`, true},
		{`"Action":"s3:Get?bject","Resource":"arn:aws:s3:::b/*"`, true},
		{`"Action":"s3:Get?","Resource":"*"`, false},
		{`"Action":"s3:*","Resource":"arn:aws:s3:::c/*"`, false},
		{`"NotAction":"iam:*","Resource":"*"`, true},
		{`"NotAction":["iam:*","s3:Get*"],"Resource":"*"`, false},
		{`"Action":"*","NotResource":"arn:aws:s3:::c*"`, true},
		{`"Action":"*","NotResource":"arn:aws:s3:::b*"`, false},
		{`"Action":"*","Resource":"arn:aws:s3:::${aws:username}*"`, false},
	} {
		w := newWorld(t)
		arn := w.Account(member).AddRole(awsfake.Role{Name: "r", Inline: map[string]string{"p": `{"Version":"2012-10-17","Statement":{"Effect":"Allow",` + tt.statement + `}}`}})
		if got, why := w.Session(arn, "s1").Can("s3:GetObject", "arn:aws:s3:::b/k"); got != tt.want {
			t.Errorf("%s: can = %t (%s), want %t", tt.statement, got, why, tt.want)
		}
	}
}

func TestBoundaryAndInstance(t *testing.T) {
	w := newWorld(t)
	arn := w.Account(member).AddRole(awsfake.Role{Name: "r", Boundary: "arn:aws:iam::aws:policy/PowerUserAccess", Inline: map[string]string{
		"all":      allowAll,
		"contains": `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ArnEquals":{"ec2:SourceInstanceARN":"arn:aws:ec2:eu-west-1:222222222222:instance/i-1"}}}}`,
	}})
	s := w.Session(arn, "s1")
	if ok, why := s.Can("iam:CreateUser", "*"); ok || !strings.HasSuffix(why, "because no permissions boundary allows the iam:CreateUser action") {
		t.Errorf("can %t: %s", ok, why)
	}
	if ok, why := s.Can("s3:GetObject", "arn:aws:s3:::b/k"); !ok {
		t.Error(why)
	}
	if ok, _ := s.With("ec2:SourceInstanceARN", "arn:aws:ec2:eu-west-1:222222222222:instance/i-1").Can("s3:GetObject", "arn:aws:s3:::b/k"); ok {
		t.Error("the isolated instance can still read")
	}
}

// synctest's clock makes the SDK's back-off waits free.
func TestThrottleIsRetriedByTheSDK(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := awsfake.New(time.Now)
		arn := c.Account(member).AddRole(awsfake.Role{Name: "admin", Inline: map[string]string{"p": allowAll}})
		c.Throttle("iam:*", 1, 1)
		client := iam.NewFromConfig(c.Session(arn, "s1").Config(), func(o *iam.Options) {
			o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 20 })
		})
		for range 3 {
			_, err := client.ListRoles(t.Context(), nil)
			check(t, err)
		}
		failed := 0
		for _, call := range c.Calls() {
			if call.Err == "Throttling" {
				failed++
			}
		}
		if failed == 0 {
			t.Error("nothing was throttled")
		}
		_, err := iam.NewFromConfig(c.Session(arn, "s2").Config(), func(o *iam.Options) { o.Retryer = aws.NopRetryer{} }).ListRoles(t.Context(), nil)
		if msg := wantCode(t, err, "Throttling"); msg != "Rate exceeded" {
			t.Error(msg)
		}
	})
}

func TestFaults(t *testing.T) {
	w := newWorld(t)
	client := w.responder(t)
	before := w.Snapshot()
	w.Fault(awsfake.Fault{Op: "iam:Put*", Resource: "*/victim", Err: &smithy.GenericAPIError{Code: "AccessDenied", Message: "no"}, Times: 1})
	_, err := client.PutRolePolicy(t.Context(), put("p", denyAll))
	wantCode(t, err, "AccessDenied")
	if diff := cmp.Diff(before, w.Snapshot()); diff != "" || w.Mutations() != 0 {
		t.Errorf("a failed call changed something: %s", diff)
	}

	// A lost response: done, but the caller hears of an error.
	lost := errors.New("EOF in the middle")
	w.Fault(awsfake.Fault{Op: "iam:PutRolePolicy", Err: lost, Times: 1, After: true})
	_, err = client.PutRolePolicy(t.Context(), put("p", denyAll))
	if !errors.Is(err, lost) {
		t.Errorf("error %v, want %v", err, lost)
	}
	if w.Snapshot().Accounts[member].Roles["victim"].Inline["p"] != denyAll || w.Mutations() != 1 {
		t.Error("the lost call had no effect")
	}
	_, err = client.PutRolePolicy(t.Context(), put("p", denyAll))
	check(t, err)
}

func TestServerErrorsAreRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := awsfake.New(time.Now)
		c.Fault(awsfake.Fault{Op: "sts:*", Err: &smithy.GenericAPIError{Code: "ServiceUnavailable", Message: "later"}, Times: 2})
		_, err := sts.NewFromConfig(c.Config()).GetCallerIdentity(t.Context(), nil)
		check(t, err)
		if n := len(c.Calls()); n != 3 {
			t.Errorf("%d attempts, want 3", n)
		}
	})
}

func TestDelayEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := awsfake.New(time.Now)
		c.Fault(awsfake.Fault{Op: "*", Delay: time.Minute})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := sts.NewFromConfig(c.Config()).GetCallerIdentity(ctx, nil)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the deadline", err)
		}
		_, err = sts.NewFromConfig(c.Config()).GetCallerIdentity(t.Context(), nil)
		check(t, err)
	})
}

func TestOnCallKillsOnce(t *testing.T) {
	died := errors.New("killed")
	for _, tt := range []struct {
		phase awsfake.Phase
		want  int // mutations
	}{{awsfake.Before, 0}, {awsfake.After, 1}} {
		t.Run(string(tt.phase), func(t *testing.T) {
			w := newWorld(t)
			client := w.responder(t)
			hits := 0
			w.OnCall(func(c awsfake.Call) error {
				_ = w.Snapshot() // the hook may look at the cloud
				if c.Op != "iam:PutRolePolicy" || c.Phase != tt.phase {
					return nil
				}
				hits++
				return died
			})
			_, err := client.PutRolePolicy(t.Context(), put("p", denyAll))
			if !errors.Is(err, died) || hits != 1 {
				t.Errorf("error %v after %d hits, want %v after one", err, hits, died)
			}
			_, has := w.Snapshot().Accounts[member].Roles["victim"].Inline["p"]
			if w.Mutations() != tt.want || has != (tt.want == 1) {
				t.Errorf("%d mutations, policy there: %t; want %d", w.Mutations(), has, tt.want)
			}
		})
	}
}

func TestConcurrentWrites(t *testing.T) {
	w := newWorld(t)
	client := w.responder(t)
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			_, err := client.PutRolePolicy(t.Context(), put(fmt.Sprintf("p%d", i), denyAll))
			if err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := len(w.Snapshot().Accounts[member].Roles["victim"].Inline); n != 50 {
		t.Errorf("%d policies, want 50", n)
	}
}
