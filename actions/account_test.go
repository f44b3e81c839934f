package actions_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func TestEnterAssumesTheMemberRole(t *testing.T) {
	for _, partition := range []string{"aws", "aws-us-gov", "aws-cn"} {
		for _, m := range []struct {
			member actions.Member
			phase  actions.Phase
			role   string
		}{
			{actions.Responder, actions.PhasePlan, "killswitch-responder"},
			{actions.Responder, actions.PhaseRun, "killswitch-responder"},
			{actions.Responder, actions.PhaseRun, "killswitch-responder"},
			{actions.Restorer, actions.PhaseUndo, "killswitch-restorer"},
		} {
			t.Run(fmt.Sprintf("%s, phase %d", partition, m.phase), func(t *testing.T) {
				c := &actiontest.Clock{T: actiontest.Began}
				w := actiontest.FixtureAt(t, c, c.Now, partition)
				acct := w.Enter(m.member, m.phase)
				if acct.ID != actiontest.Member || acct.Partition != partition {
					t.Errorf("account %s in %s", acct.ID, acct.Partition)
				}
				calls := w.Calls()
				if len(calls) != 1 {
					t.Fatalf("%d calls, want one", len(calls))
				}
				got := calls[0]
				if got.Op != "sts:AssumeRole" || !got.Applied || got.RoleSessionName != actiontest.Request || got.SourceIdentity != "alice" {
					t.Errorf("called %s as %s for %s: %s", got.Op, got.RoleSessionName, got.SourceIdentity, got.Err)
				}
				if d := cmp.Diff([]string{actions.RoleARN(partition, actiontest.Member, "/", m.role)}, got.Resources); d != "" {
					t.Error(d)
				}
				if d := cmp.Diff(map[string]string{"killswitch-request": actiontest.Request, "killswitch-approvers": "bob carol"}, got.Tags); d != "" {
					t.Error(d)
				}
				var policy struct {
					Version   string
					Statement []struct {
						Effect           string
						Action, Resource []string
					}
				}
				actiontest.Must(t, json.Unmarshal([]byte(got.SessionPolicy), &policy))
				permits := w.Permits(m.phase)
				if policy.Version != "2012-10-17" || len(policy.Statement) != len(permits) {
					t.Fatalf("session policy %s", got.SessionPolicy)
				}
				for i, s := range policy.Statement {
					if d := cmp.Diff(permits[i], actions.Statement{Deny: s.Effect == "Deny", Actions: s.Action, Resources: s.Resource}); d != "" {
						t.Errorf("session policy %s: %s", got.SessionPolicy, d)
					}
				}
			})
		}
	}
}

// What each phase may do, written down once more: a permission that is added
// or lost is seen here. That each is needed, the contract shows.
func TestPermitsOfEachPhase(t *testing.T) {
	read := map[actions.Phase]string{
		actions.PhasePlan: "iam:GetRole iam:GetRolePolicy iam:ListRolePolicies iam:ListAttachedRolePolicies iam:ListInstanceProfilesForRole",
		actions.PhaseRun:  "iam:GetRole iam:GetRolePolicy",
		actions.PhaseUndo: "iam:GetRole iam:GetRolePolicy",
	}
	write := map[actions.Phase]string{
		actions.PhaseRun:  "iam:TagRole iam:PutRolePolicy",
		actions.PhaseUndo: "iam:TagRole iam:UntagRole iam:PutRolePolicy iam:DeleteRolePolicy",
	}
	for phase, acts := range read {
		want := []actions.Statement{{Actions: strings.Fields(acts), Resources: []string{"arn:aws:iam::222222222222:role/*victim"}}}
		if phase == actions.PhasePlan { // for the name of another role if there is none
			want = append(want, actions.Statement{Actions: []string{"iam:ListRoles"}, Resources: []string{"*"}})
		}
		if write[phase] != "" {
			want = append(want, actions.Statement{Actions: strings.Fields(write[phase]), Resources: []string{"arn:aws:iam::222222222222:role/${$}{aws:username}/${*}/victim"}},
				actions.Statement{Deny: true, Actions: []string{"iam:Attach*", "iam:Create*", "iam:Delete*", "iam:Detach*", "iam:PassRole", "iam:Put*", "iam:Tag*", "iam:Untag*", "iam:Update*"},
					Resources: []string{"arn:aws:iam::222222222222:role/killswitch-responder", "arn:aws:iam::222222222222:role/killswitch-restorer"}})
		}
		call := actions.Call{Action: actions.RevokeSessions, Target: "arn:aws:iam::222222222222:role/victim", Account: actiontest.Member}
		found := []string{"arn:aws:iam::222222222222:role/${aws:username}/*/victim"}
		if d := cmp.Diff(want, actions.Permits(actiontest.ActionOf(t), phase, actions.ScopeOf(actiontest.ActionOf(t), actiontest.TestOrg("aws"), call, found))); d != "" {
			t.Errorf("phase %d:\n%s", phase, d)
		}
	}
}

func TestEnterWithoutApprovers(t *testing.T) {
	w := actiontest.NewFixture(t)
	_, err := w.Hub.Enter(t.Context(), actions.Responder, actiontest.Member, "", actions.SessionContext{RequestID: actiontest.Request, Requester: "alice"}, w.Permits(actions.PhasePlan))
	actiontest.Must(t, err)
	if d := cmp.Diff(map[string]string{"killswitch-request": actiontest.Request}, w.Calls()[0].Tags); d != "" {
		t.Error(d)
	}
}

func TestSessionPolicyLimit(t *testing.T) {
	w := actiontest.NewFixture(t)
	permits := func(n int) []actions.Statement {
		const around = len(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:GetRole"],"Resource":[""]}]}`)
		arn := "arn:aws:iam::222222222222:role/"
		return []actions.Statement{{Actions: []string{"iam:GetRole"}, Resources: []string{arn + strings.Repeat("x", n-around-len(arn))}}}
	}
	_, err := w.Hub.Enter(t.Context(), actions.Responder, actiontest.Member, "", actiontest.Actor, permits(2049))
	if err == nil || len(w.Calls()) != 0 {
		t.Errorf("2,049 characters: error %v after %d calls", err, len(w.Calls()))
	} else {
		actiontest.HasWords(t, err.Error(), "2049", "2048")
	}
	_, err = w.Hub.Enter(t.Context(), actions.Responder, actiontest.Member, "", actiontest.Actor, permits(2048))
	actiontest.Must(t, err)
	if n := len(w.Calls()[0].SessionPolicy); n != 2048 {
		t.Errorf("the session policy has %d characters", n)
	}
}

// TestEnterTakesAPersonsIDAsItIsConfigured: it becomes a source identity and a part of a
// session tag. The configuration's schema allows no others; STS takes no comma in a tag.
func TestEnterTakesAPersonsIDAsItIsConfigured(t *testing.T) {
	w := actiontest.NewFixture(t)
	for id, ok := range map[string]bool{"A-z_0=9+a.b@c": true, "alice,prod": false} {
		who := actions.SessionContext{RequestID: actiontest.Request, Requester: "alice", Approvers: []string{"bob", id}}
		if _, err := w.Hub.Enter(t.Context(), actions.Responder, actiontest.Member, "", who, w.Permits(actions.PhasePlan)); (err == nil) != ok {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func TestEnterIsRefused(t *testing.T) {
	tests := []struct {
		name    string
		alter   func(*actions.Org)
		account string
	}{
		{"wrong external ID", func(o *actions.Org) { o.ExternalID = "guess" }, actiontest.Member},
		{"no external ID", func(o *actions.Org) { o.ExternalID = "" }, actiontest.Member},
		{"no such role", func(o *actions.Org) { o.ResponderRole = "killswitch-nobody" }, actiontest.Member},
		{"no member", func(*actions.Org) {}, actiontest.Sandbox},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := actiontest.NewFixture(t)
			tt.alter(&w.Org)
			_, err := actions.NewCloud(w.Config(), w.Org).Enter(t.Context(), actions.Responder, tt.account, "", actiontest.Actor, w.Permits(actions.PhasePlan))
			actiontest.WantCode(t, err, "AccessDenied")
			actiontest.HasWords(t, err.Error(), w.Org.ResponderRole, tt.account)
			cause, hint := actions.Explain(err)
			actiontest.HasWords(t, cause, "AccessDenied", "sts:AssumeRole")
			actiontest.HasWords(t, hint, "member roles are deployed")
		})
	}
}

// TestRoleThatIsNotAssumedIsCounted: whatever STS says, and once for each time; a shorter policy that fits is none.
func TestRoleThatIsNotAssumedIsCounted(t *testing.T) {
	sts := func(err error) func(*actiontest.Fixture) {
		return func(w *actiontest.Fixture) { w.Fault(awsfake.Fault{Op: "sts:AssumeRole", Err: err}) }
	}
	for name, c := range map[string]struct {
		alter func(*actiontest.Fixture)
		gone  bool // the caller
		want  int
	}{
		"assumed":                    {alter: func(*actiontest.Fixture) {}},
		"wrong external ID":          {alter: func(w *actiontest.Fixture) { w.Org.ExternalID = "guess" }, want: 1},
		"no such role":               {alter: func(w *actiontest.Fixture) { w.Org.ResponderRole = "killswitch-nobody" }, want: 1},
		"refused":                    {alter: sts(&smithy.GenericAPIError{Code: "AccessDenied"}), want: 1},
		"its region is not enabled":  {alter: sts(&smithy.GenericAPIError{Code: "RegionDisabledException"}), want: 1},
		"throttled":                  {alter: sts(&smithy.GenericAPIError{Code: "Throttling"}), want: 1},
		"no answer":                  {alter: sts(errors.New("connection reset")), want: 1},
		"a shorter policy fits":      {alter: func(w *actiontest.Fixture) { w.LimitPacked(800) }},
		"no policy fits":             {alter: func(w *actiontest.Fixture) { w.LimitPacked(100) }, want: 1},
		"whoever asked has given up": {alter: func(*actiontest.Fixture) {}, gone: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := actiontest.NewFixture(t, func(r *awsfake.Role) { r.Path = "/" + strings.Repeat("p", 400) + "/" })
			c.alter(w)
			got := 0
			hub := actions.NewCloud(w.Config(), w.Org)
			hub.SetCount(func(_ context.Context, name string, n int) {
				if name == "RolesNotAssumed" {
					got += n
				}
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if c.gone {
				cancel()
			}
			_, err := hub.EnterFor(ctx, actions.Responder, w.Act, actions.PhaseRun, w.Asked, w.Resources, actiontest.Actor)
			if got != c.want || (err != nil) != (c.want > 0 || c.gone) {
				t.Errorf("counted %d, want %d; %v", got, c.want, err)
			}
		})
	}
}

// A session is renewed when half of its life is over; while that fails, it is used to
// its end.
func TestSessionIsRenewed(t *testing.T) {
	w := actiontest.NewFixture(t)
	acct := w.Enter(actions.Responder, actions.PhaseRun)
	down := error(nil)
	sessions, failed := 0, 0
	w.Hub.SetCount(func(context.Context, string, int) { failed++ })
	w.OnCall(func(c awsfake.Call) error {
		if c.Op != "sts:AssumeRole" || c.Phase != awsfake.Before {
			return nil
		}
		sessions++
		return down
	})
	look := func() error {
		_, err := acct.IAM().GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("victim")})
		return err
	}
	for range 40 {
		w.Clock.Add(time.Minute)
		actiontest.Must(t, look())
	}
	if sessions != 5 {
		t.Errorf("%d renewals in 40 minutes", sessions)
	}
	down = &smithy.GenericAPIError{Code: "ServiceUnavailable"}
	for range 14 {
		w.Clock.Add(time.Minute)
		actiontest.Must(t, look())
	}
	w.Clock.Add(time.Minute)
	if failed == 0 {
		t.Error("a renewal that fails is not counted")
	}
	actiontest.WantCode(t, look(), "ServiceUnavailable")
	down = nil
	actiontest.Must(t, look())
}

// The role list of a large account has to fit into a function's memory.
func TestRoleListKeepsWhatIsNeeded(t *testing.T) {
	w := actiontest.NewFixture(t, func(r *awsfake.Role) {
		r.Inline, r.Tags, r.Profiles = map[string]string{"all": actiontest.AllowIAM}, map[string]string{"team": "web"}, []string{"web"}
	})
	w.SetCall(actions.Call{Action: actions.RevokeSessions, Target: actiontest.Member + "/ALL", Account: actiontest.Member})
	roles, err := w.Enter(actions.Responder, actions.PhasePlan).AllRoles(t.Context())
	actiontest.Must(t, err)
	r := roles["victim"]
	if len(r.RolePolicyList) != 1 || aws.ToString(r.RoleId) == "" {
		t.Errorf("lacks something: %+v", r)
	}
	if r.AssumeRolePolicyDocument != nil || r.Tags != nil || r.InstanceProfileList != nil || r.AttachedManagedPolicies != nil {
		t.Errorf("keeps too much: %+v", r)
	}
}

// A session may do what its phase needs on its role, and nothing elsewhere.
func TestSessionIsLimited(t *testing.T) {
	w := actiontest.NewFixture(t)
	w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "bystander"})
	p := w.Plan()
	deny := actiontest.StepOf(t, p, "deny")
	e := w.Apply(deny, w.Run())
	before := w.Snapshot()

	_, err := actiontest.ActionOf(t).Apply(t.Context(), w.Enter(actions.Responder, actions.PhasePlan), deny, actions.Run{RequestID: actiontest.Request, Since: actiontest.Began.Add(time.Hour), Now: actiontest.Began.Add(time.Hour)})
	actiontest.WantCode(t, err, "AccessDenied")
	_, err = actiontest.ActionOf(t).Revert(t.Context(), w.Responder(), deny, e)
	actiontest.WantCode(t, err, "AccessDenied")
	other := deny
	other.Resource = actions.RoleARN("aws", actiontest.Member, "/", "bystander")
	_, err = actiontest.ActionOf(t).Apply(t.Context(), w.Responder(), other, w.Run())
	actiontest.WantCode(t, err, "AccessDenied")
	if d := cmp.Diff(before, w.Snapshot()); d != "" {
		t.Error(d)
	}
}

func TestAccessDeniedIsExplained(t *testing.T) {
	w := actiontest.NewFixture(t)
	p := w.Plan()
	w.Member(actiontest.Member, awsfake.MemberRoles{ExternalID: w.Org.ExternalID, RestorerPolicy: actiontest.AllowIAM,
		ResponderPolicy: strings.Replace(actiontest.AllowIAM, `"iam:*"`, `["iam:Get*","iam:TagRole"]`, 1)})
	w.Apply(actiontest.StepOf(t, p, "tag"), w.Run())
	_, err := actiontest.ActionOf(t).Apply(t.Context(), w.Responder(), actiontest.StepOf(t, p, "deny"), w.Run())
	actiontest.WantCode(t, err, "AccessDenied")
	cause, hint := actions.Explain(err)
	actiontest.HasWords(t, cause, "AccessDenied", "killswitch-responder", "iam:PutRolePolicy")
	actiontest.HasWords(t, err.Error(), "iam:PutRolePolicy", "victim")
	actiontest.HasWords(t, hint, "member roles are deployed")
	if actions.Throttled(err) {
		t.Error("it is worth no other try")
	}
}

// The SDK waits between tries: here in no time.
func inBubble(t *testing.T, run func(*testing.T, *actiontest.Fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		run(t, actiontest.FixtureAt(t, &actiontest.Clock{T: time.Now()}, time.Now, "aws"))
	})
}

// contained applies all steps and reads them back.
func contained(t *testing.T, w *actiontest.Fixture) {
	t.Helper()
	began := time.Now()
	for _, s := range w.Plan().Steps {
		e := w.Apply(s, actions.Run{RequestID: actiontest.Request, Since: began, Now: time.Now()})
		r, err := actiontest.ActionOf(t).Verify(t.Context(), w.Responder(), s, e)
		if err != nil || !r.Holds {
			t.Errorf("Verify %s: %+v, %v", s.ID, r, err)
		}
	}
	if got := w.Victim(); got.Tags[actiontest.Tag] != actiontest.Request || got.Inline[actiontest.Revoke] == "" {
		t.Errorf("tags %v, policies %v", got.Tags, got.Inline)
	}
}

func TestThrottlingIsWaitedOut(t *testing.T) {
	t.Run("all calls", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *actiontest.Fixture) {
			w.Throttle("*", 20, 1)
			contained(t, w)
			throttled := 0
			for _, c := range w.Calls() {
				if c.Err == "Throttling" {
					throttled++
				}
			}
			if throttled < 5 {
				t.Errorf("throttled %d times only", throttled)
			}
		})
	})
	often := func(code string) awsfake.Fault {
		return awsfake.Fault{Op: "iam:PutRolePolicy", Times: 2, Err: &smithy.GenericAPIError{Code: code, Message: "not now"}}
	}
	for _, code := range []string{"Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "ConcurrentModification", "EntityTemporarilyUnmodifiable", "ServiceUnavailable", "InternalFailure"} {
		t.Run("twice "+code, func(t *testing.T) {
			inBubble(t, func(t *testing.T, w *actiontest.Fixture) {
				w.Fault(often(code))
				contained(t, w)
			})
		})
	}
	t.Run("ConcurrentModification as IAM types it", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *actiontest.Fixture) {
			w.Fault(awsfake.Fault{Op: "iam:TagRole", Times: 2, Err: &types.ConcurrentModificationException{}})
			contained(t, w)
		})
	})
	t.Run("a response that was lost", func(t *testing.T) {
		inBubble(t, func(t *testing.T, w *actiontest.Fixture) {
			w.Fault(awsfake.Fault{Op: "iam:PutRolePolicy", Times: 1, After: true, Err: &smithy.GenericAPIError{Code: "ServiceUnavailable"}})
			contained(t, w)
		})
	})
}

func TestThrottlingWithoutEnd(t *testing.T) {
	inBubble(t, func(t *testing.T, w *actiontest.Fixture) {
		deny := actiontest.StepOf(t, w.Plan(), "deny")
		w.Fault(awsfake.Fault{Op: "iam:PutRolePolicy", Err: &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded"}})
		run := actions.Run{RequestID: actiontest.Request, Since: time.Now(), Now: time.Now()}
		_, err := actiontest.ActionOf(t).Apply(t.Context(), w.Responder(), deny, run)
		if !actions.Throttled(err) {
			t.Fatalf("error %v is not taken for throttling", err)
		}
		if cause, hint := actions.Explain(err); !strings.Contains(cause, "Throttling") || hint == "" {
			t.Errorf("explained as %q, %q", cause, hint)
		}
		if _, ok := w.Victim().Inline[actiontest.Revoke]; ok {
			t.Error("the deny is there")
		}
		w.ClearFaults() // the executor tries the step again
		if e := w.Apply(deny, run); !e.Changed || w.Victim().Inline[actiontest.Revoke] == "" {
			t.Errorf("got %+v", e)
		}
	})
}

type status int

func (s status) Error() string       { return fmt.Sprint("HTTP ", int(s)) }
func (s status) HTTPStatusCode() int { return int(s) }

func TestErrorsAreExplainedWithAHint(t *testing.T) {
	tests := []struct {
		name  string
		err   error
		cause []string
		hint  bool
	}{
		{"a refusal", fmt.Errorf("plan: %w", &actions.Refusal{Reason: "it is protected", Hint: "ask its owner"}), []string{"it is protected"}, true},
		{"throttling", &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded"}, []string{"Throttling", "Rate exceeded"}, true},
		{"our own credentials", &smithy.GenericAPIError{Code: "ExpiredToken"}, []string{"ExpiredToken"}, true},
		{"EC2's denial", &smithy.GenericAPIError{Code: "UnauthorizedOperation", Message: "You are not authorized. Encoded authorization failure message: " + strings.Repeat("x", 300)}, []string{"not authorized."}, true},
		{"EC2's throttling", &smithy.GenericAPIError{Code: "RequestLimitExceeded", Message: "Request limit exceeded."}, []string{"RequestLimitExceeded"}, true},
		{"no instance", &smithy.GenericAPIError{Code: "InvalidInstanceID.NotFound"}, []string{"InvalidInstanceID.NotFound"}, true},
		{"an instance's state", &smithy.GenericAPIError{Code: "IncorrectInstanceState"}, []string{"IncorrectInstanceState"}, true},
		{"nothing there", &types.NoSuchEntityException{}, []string{"NoSuchEntity"}, true},
		{"a code that nobody knows", &smithy.GenericAPIError{Code: "Strange", Message: "hm"}, []string{"Strange: hm"}, false},
		{"no answer", fmt.Errorf("get: %w", context.DeadlineExceeded), []string{"in time"}, true},
		{"no AWS behind the status", status(502), []string{"502"}, true},
		{"anything else", errors.New("disk on fire"), []string{"disk on fire"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cause, hint := actions.Explain(tt.err)
			actiontest.HasWords(t, cause, tt.cause...)
			if (hint != "") != tt.hint {
				t.Errorf("hint %q", hint)
			}
		})
	}
	if cause, _ := actions.Explain(tests[3].err); strings.Contains(cause, "xxx") {
		t.Errorf("cause %q", cause)
	}
	long := &smithy.GenericAPIError{Code: "Strange", Message: strings.Repeat("é", 5000)}
	if cause, _ := actions.Explain(long); len([]rune(cause)) > 450 {
		t.Errorf("%d characters", len([]rune(cause)))
	}
}

// TestPackedPolicyTooLarge: STS packs policy and tags into a form of its own limit. The tag of the
// approvers goes first, then the deny of our own roles, then the exact ARN; what is left is logged.
func TestPackedPolicyTooLarge(t *testing.T) {
	long := "/" + strings.Repeat("p", 400) + "/"
	for _, tt := range []struct {
		room            int
		tag, deny, wide bool // in the session
		refused         bool
	}{
		{room: 1100, tag: true, deny: true},
		{room: 1000, deny: true},
		{room: 800},
		{room: 500, wide: true},
		{room: 100, refused: true},
	} {
		t.Run(fmt.Sprint(tt.room), func(t *testing.T) {
			w := actiontest.NewFixture(t, func(r *awsfake.Role) { r.Path = long })
			var log bytes.Buffer
			w.Hub.SetLog(slog.New(slog.NewJSONHandler(&log, nil)))
			w.LimitPacked(tt.room)
			_, err := w.Hub.EnterFor(t.Context(), actions.Responder, w.Act, actions.PhaseRun, w.Asked, w.Resources, actiontest.Actor)
			calls := w.Calls()
			got := calls[len(calls)-1]
			if tt.refused {
				actiontest.WantCode(t, err, "PackedPolicyTooLarge")
				_, hint := actions.Explain(err)
				actiontest.HasWords(t, hint, "transitive tags")
				return
			}
			actiontest.Must(t, err)
			_, tag := got.Tags["killswitch-approvers"]
			deny, wide := strings.Contains(got.SessionPolicy, `"Deny"`), !strings.Contains(got.SessionPolicy, long)
			if tag != tt.tag || deny != tt.deny || wide != tt.wide {
				t.Errorf("%d calls: the session has the tag %v, the deny %v, is wide %v: %s", len(calls), tag, deny, wide, got.SessionPolicy)
			}
			if logged := strings.Contains(log.String(), `"session_token_utilization":`) && strings.Contains(log.String(), actiontest.Request); logged == tag {
				t.Errorf("logged %q", log.String())
			}
		})
	}
}

// TestLookWithLittleRoom: the session that all looks share does not fit, a look of its own does.
func TestLookWithLittleRoom(t *testing.T) {
	w := actiontest.NewFixture(t)
	w.LimitPacked(600)
	acct, err := w.Hub.Watch(t.Context(), w.Act, w.Asked)
	actiontest.Must(t, err)
	if _, err := acct.IAM().GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("victim")}); err != nil {
		t.Error(err)
	}
}
