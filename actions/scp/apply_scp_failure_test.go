package scp_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// tried plans and applies, once more where it says so, and returns what came of it.
func (w *fixture) tried() error {
	w.T.Helper()
	p := w.Plan()
	w.Resources = []string{p.Steps[0].Resource}
	acct := w.Responder().WithoutRetries()
	_, err := w.Act.Apply(w.T.Context(), acct, p.Steps[0], w.Run())
	if actions.IsRetryLater(err) {
		_, err = w.Act.Apply(w.T.Context(), acct, p.Steps[0], w.Run())
	}
	return err
}

func TestSCPQuotaFull(t *testing.T) {
	for _, quota := range []int{5, 10} {
		t.Run(fmt.Sprint(quota), func(t *testing.T) {
			w := scpWorld(t, func(o *awsfake.Organization) { o.SCPQuota = quota })
			for i := range quota - 1 { // FullAWSAccess is one of them
				w.AddSCP(awsfake.SCP{Name: fmt.Sprintf("guardrail-%d", i), Content: actiontest.OtherDeny, Targets: []string{actiontest.Member}})
			}
			before := w.Snapshot()
			p := w.Plan()
			actiontest.HasWords(t, fmt.Sprint(p.Facts), fmt.Sprintf("%d now", quota))
			if told := strings.Contains(fmt.Sprint(p.Warnings), "detach one that only denies"); told != (quota == 10) {
				t.Errorf("warnings: %q", p.Warnings)
			}
			err := w.tried()
			actiontest.WantCode(t, err, "ConstraintViolationException")
			_, hint := actions.Explain(err)
			actiontest.HasWords(t, hint, "detach one that only denies", "guardrail-0", fmt.Sprintf("guardrail-%d", quota-2), "retry")
			if strings.Contains(hint, "FullAWSAccess") || actions.Transient(err) || actions.IsRetryLater(err) {
				t.Errorf("hint %q, error %v", hint, err)
			}
			if d := cmp.Diff(before, w.Snapshot()); d != "" { // no orphan
				t.Error(d)
			}
			w.detach("guardrail-0", actiontest.Member) // as the hint says
			w.freezes(actiontest.Request)
		})
	}
}

// TestWhichPolicyToTakeOff: ours first, by an undo of what holds it there, which need not be the request that made it; never one that allows, while
// there is another.
func TestWhichPolicyToTakeOff(t *testing.T) {
	ours := awsfake.SCP{Name: "killswitch-revoke-" + actiontest.Member, Content: actiontest.OtherDeny, Tags: map[string]string{actiontest.Tag: "KS-EARLIER"}}
	denies := awsfake.SCP{Name: "guardrail", Content: actiontest.OtherDeny}
	deployed := awsfake.SCP{Name: "killswitch-tamper", Content: actiontest.OtherDeny, Tags: map[string]string{actiontest.Tag: "shared"}}
	allows := awsfake.SCP{Name: "services", Content: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`}
	for _, tt := range []struct {
		name          string
		on            []awsfake.SCP
		wanted, never []string
	}{
		{"ours", []awsfake.SCP{allows, ours}, []string{"undo what holds killswitch-revoke-", "/killswitch list"}, []string{"detach", "services", "KS-EARLIER"}},
		{"ours or a guardrail", []awsfake.SCP{ours, denies}, []string{"undo what holds killswitch-revoke-", "; or detach one that only denies (guardrail)"}, nil},
		{"a guardrail", []awsfake.SCP{allows, denies}, []string{"only denies (guardrail)", "attach it again"}, []string{"services"}},
		{"deployed ahead", []awsfake.SCP{deployed, denies}, []string{"only denies (guardrail)"}, []string{"undo shared", "killswitch-tamper"}},
		{"what allows alone", []awsfake.SCP{allows}, []string{"detach one of services"}, []string{"FullAWSAccess"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := scpWorld(t, func(o *awsfake.Organization) { o.SCPQuota = len(tt.on) + 1 })
			for _, p := range tt.on {
				p.Targets = []string{actiontest.Member}
				w.AddSCP(p)
			}
			_, hint := actions.Explain(w.tried())
			actiontest.HasWords(t, hint, tt.wanted...)
			for _, word := range tt.never {
				if strings.Contains(hint, word) {
					t.Errorf("%q says %q", hint, word)
				}
			}
		})
	}
}

func TestNoOrphanAfterAFailedAttach(t *testing.T) {
	denied := &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no"}
	tests := []struct {
		name   string
		alter  func(*fixture)
		fault  awsfake.Fault
		orphan bool
	}{
		{"no permission", nil, awsfake.Fault{Op: "organizations:AttachPolicy", Err: denied}, false},
		{"it was attached, and the answer was lost", nil, awsfake.Fault{Op: "organizations:AttachPolicy", Err: denied, After: true}, true},
		{"an earlier request's policy", func(w *fixture) {
			w.AddSCP(awsfake.SCP{Name: actiontest.FreezeName, Content: w.document("freeze"), Tags: map[string]string{actiontest.Tag: "KS-EARLIER"}})
		}, awsfake.Fault{Op: "organizations:AttachPolicy", Err: denied}, true},
		{"a policy deployed ahead", func(w *fixture) {
			w.AddSCP(awsfake.SCP{Name: actiontest.FreezeName, Content: w.document("freeze"), Tags: map[string]string{actiontest.Tag: "shared"}})
		}, awsfake.Fault{Op: "organizations:AttachPolicy", Err: denied}, true},
		{"only busy: it is tried again", nil, awsfake.Fault{Op: "organizations:AttachPolicy", Err: &smithy.GenericAPIError{Code: "InternalFailure"}}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := scpWorld(t)
			if tt.alter != nil {
				tt.alter(w)
			}
			w.Fault(tt.fault)
			if err := w.tried(); err == nil {
				t.Fatal("no error")
			}
			if got := w.scp(actiontest.FreezeName).ID != ""; got != tt.orphan {
				t.Errorf("the policy is there: %t", got)
			}
		})
	}
	t.Run("it can't be deleted either", func(t *testing.T) {
		w := scpWorld(t)
		before := w.Snapshot()
		p := w.Plan()
		w.Fault(awsfake.Fault{Op: "organizations:AttachPolicy", Err: denied})
		w.Fault(awsfake.Fault{Op: "organizations:DeletePolicy", Err: denied})
		err := w.tried()
		_, hint := actions.Explain(err)
		actiontest.HasWords(t, hint, actiontest.FreezeName, "left over", "undo")
		w.ClearFaults()
		if r := w.Revert(p.Steps[0], actions.Effect{}); !r.Holds || !r.Changed {
			t.Errorf("Revert: %+v", r)
		}
		if d := cmp.Diff(before, w.Snapshot()); d != "" {
			t.Error(d)
		}
	})
}

func TestSCPsNotEnabled(t *testing.T) {
	w := scpWorld(t, func(o *awsfake.Organization) { o.SCPsDisabled = true })
	before := w.Snapshot()
	err := w.tried()
	actiontest.WantCode(t, err, "PolicyTypeNotEnabledException")
	_, hint := actions.Explain(err)
	actiontest.HasWords(t, hint, "not enabled", "Service control policies", "Enable")
	if d := cmp.Diff(before, w.Snapshot()); d != "" {
		t.Error(d)
	}
}

func TestLastSCPOfAnAccount(t *testing.T) {
	w := scpWorld(t)
	s, e := w.freezes(actiontest.Request)
	_, err := w.orgs().DetachPolicy(t.Context(), &organizations.DetachPolicyInput{PolicyId: aws.String("p-FullAWSAccess"), TargetId: aws.String(actiontest.Member)})
	actiontest.Must(t, err)
	_, err = w.Act.Revert(t.Context(), w.Restorer(), s, e)
	actiontest.WantCode(t, err, "ConstraintViolationException")
	_, hint := actions.Explain(err)
	actiontest.HasWords(t, hint, "FullAWSAccess", "retry")
}

// The last other account is undone, and the policy deleted, just before we attach it.
func TestPolicyDeletedDuringApply(t *testing.T) {
	for _, op := range []string{"organizations:ListTagsForResource", "organizations:DescribePolicy", "organizations:UpdatePolicy", "organizations:AttachPolicy"} {
		t.Run(op, func(t *testing.T) {
			w := scpWorld(t)
			w.AddSCP(awsfake.SCP{Name: actiontest.FreezeName, Content: actiontest.OtherDeny, Tags: map[string]string{actiontest.Tag: "KS-EARLIER"}})
			p := w.Plan()
			w.Resources = []string{p.Steps[0].Resource}
			var gone bool
			w.OnCall(func(c awsfake.Call) error {
				if c.Op == op && c.Phase == awsfake.Before && !gone {
					gone = true
					w.delete(actiontest.FreezeName)
				}
				return nil
			})
			_, err := w.Act.Apply(t.Context(), w.Responder(), p.Steps[0], w.Run())
			if err != nil && !actions.IsRetryLater(err) {
				t.Fatalf("%v is taken for a last word", err)
			}
			if err := w.planned(); err != nil {
				t.Errorf("Plan: %v", err)
			}
			if e := w.Apply(p.Steps[0], w.Run()); !gone || !w.holds(p.Steps[0], e) {
				t.Errorf("gone %t, effect %+v", gone, e)
			}
		})
	}
}

// The same, before we write to it or take it back: AWS sees no tag of a policy that is gone, and denies.
func TestPolicyDeletedDuringRevert(t *testing.T) {
	for _, op := range []string{"organizations:DetachPolicy", "organizations:DeletePolicy"} {
		t.Run(op, func(t *testing.T) {
			w := scpWorld(t)
			s, e := w.freezes(actiontest.Request)
			var gone bool
			w.OnCall(func(c awsfake.Call) error {
				if c.Op == op && c.Phase == awsfake.Before && !gone {
					gone = true
					for _, account := range w.scp(actiontest.FreezeName).Targets {
						w.detach(actiontest.FreezeName, account)
					}
					w.delete(actiontest.FreezeName)
				}
				return nil
			})
			if _, err := w.Act.Revert(t.Context(), w.Restorer(), s, e); err == nil || !actions.IsRetryLater(err) {
				t.Fatalf("%v is taken for a last word", err)
			}
			if r := w.Revert(s, e); !gone || !r.Holds {
				t.Errorf("gone %t, Revert: %+v", gone, r)
			}
		})
	}
}

// A new policy's tag takes a while to be seen, and until then our writes are denied.
func TestTagOfANewPolicyIsSeenLate(t *testing.T) {
	w := scpWorld(t)
	p := w.Plan()
	w.Resources = []string{p.Steps[0].Resource}
	w.Fault(awsfake.Fault{Op: "organizations:AttachPolicy", Err: &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "no"}, Times: 1})
	if _, err := w.Act.Apply(t.Context(), w.Responder(), p.Steps[0], w.Run()); !actions.IsRetryLater(err) {
		t.Fatalf("%v is taken for a last word", err)
	}
	if e := w.Apply(p.Steps[0], w.Run()); !w.holds(p.Steps[0], e) {
		t.Errorf("it does not hold: %+v", e)
	}
}

// The same, while it is planned.
func TestPolicyDeletedDuringPlan(t *testing.T) {
	for _, op := range []string{"organizations:ListTagsForResource", "organizations:DescribePolicy", "organizations:ListTargetsForPolicy"} {
		t.Run(op, func(t *testing.T) {
			w := scpWorld(t)
			w.AddSCP(awsfake.SCP{Name: actiontest.FreezeName, Content: actiontest.OtherDeny, Tags: map[string]string{actiontest.Tag: "KS-EARLIER"}})
			var gone bool
			w.OnCall(func(c awsfake.Call) error {
				if c.Op == op && c.Phase == awsfake.Before && !gone {
					gone = true
					w.delete(actiontest.FreezeName)
				}
				return nil
			})
			if p := w.Plan(); !gone || p.Steps[0].ID != "attach" || p.Steps[0].Prior != nil {
				t.Errorf("gone %t, plan %+v", gone, p)
			}
		})
	}
}

// AWS asks for patience at any call: the error says so, and the next try gets there.
func TestFreezeWhileAWSIsBusy(t *testing.T) {
	outdated := func(w *fixture) {
		w.AddSCP(awsfake.SCP{Name: actiontest.FreezeName, Content: actiontest.OtherDeny, Tags: map[string]string{actiontest.Tag: "shared"}})
	}
	for op, alter := range map[string]func(*fixture){
		"ListPolicies": nil, "CreatePolicy": nil, "AttachPolicy": nil, "ListTagsForResource": outdated, "DescribePolicy": outdated, "UpdatePolicy": outdated,
	} {
		for _, code := range []string{"TooManyRequestsException", "ConcurrentModificationException", "PolicyChangesInProgressException", "InternalFailure"} {
			for _, after := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s/%s/after %t", op, code, after), func(t *testing.T) {
					w := scpWorld(t)
					if alter != nil {
						alter(w)
					}
					p := w.Plan()
					w.Resources = []string{p.Steps[0].Resource}
					w.Fault(awsfake.Fault{Op: "organizations:" + op, Err: &smithy.GenericAPIError{Code: code}, After: after, Times: 1})
					_, err := w.Act.Apply(t.Context(), w.Responder().WithoutRetries(), p.Steps[0], w.Run())
					if !actions.Transient(err) {
						t.Fatalf("%v is taken for a last word", err)
					}
					e := w.Apply(p.Steps[0], w.Run())
					if !w.holds(p.Steps[0], e) {
						t.Error("it does not hold")
					}
					if r := w.Revert(p.Steps[0], e); !r.Holds || len(w.scp(actiontest.FreezeName).Targets) > 0 || (w.scp(actiontest.FreezeName).ID != "") != (alter != nil) {
						t.Errorf("Revert: %+v, left %+v", r, w.scp(actiontest.FreezeName))
					}
				})
			}
		}
	}
}

// The worker dies before or after any call; another one takes over, and undo
// leaves nothing behind, whoever of them made the policy.
func TestFreezeSurvivesItsWorker(t *testing.T) {
	dead := errors.New("the worker is dead")
	starts := map[string]func(*fixture){
		"nothing there": func(*fixture) {},
		"an outdated policy": func(w *fixture) {
			w.AddSCP(awsfake.SCP{Name: actiontest.FreezeName, Content: actiontest.OtherDeny, Tags: map[string]string{actiontest.Tag: "KS-EARLIER"}, Targets: []string{actiontest.Sandbox}})
		},
	}
	for name, alter := range starts {
		for _, undo := range []bool{false, true} {
			for _, phase := range []awsfake.Phase{awsfake.Before, awsfake.After} {
				for n := 1; ; n++ {
					w := scpWorld(t)
					alter(w)
					before := w.Snapshot()
					p := w.Plan()
					s := p.Steps[0]
					w.Resources = []string{s.Resource}
					e := actions.Effect{}
					if undo {
						e = w.Apply(s, w.Run())
					}
					member, run := actions.Responder, actions.PhaseRun
					if undo {
						member, run = actions.Restorer, actions.PhaseUndo
					}
					acct := w.Enter(member, run)
					calls, died, next := 0, false, false
					w.OnCall(func(c awsfake.Call) error {
						if c.Phase == phase {
							calls++
						}
						if died = died || calls == n; died && !next {
							return dead
						}
						return nil
					})
					var err error
					if undo {
						_, err = w.Act.Revert(t.Context(), acct, s, e)
					} else {
						_, err = w.Act.Apply(t.Context(), acct, s, w.Run())
					}
					if !died {
						break // it made fewer calls
					}
					if !errors.Is(err, dead) {
						t.Fatalf("%s, %s call %d: %v", name, phase, n, err)
					}
					next = true
					if !undo {
						e = w.Apply(s, w.Run())
						if !w.holds(s, e) {
							t.Errorf("%s, %s call %d: it does not hold", name, phase, n)
						}
					}
					if r := w.Revert(s, e); !r.Holds {
						t.Errorf("%s, %s call %d: Revert: %+v", name, phase, n, r)
					}
					want := before.Organization.SCPs
					for id, scp := range want {
						if scp.Name == actiontest.FreezeName {
							scp.Content = w.document("freeze")
							want[id] = scp
						}
					}
					if d := cmp.Diff(want, w.Snapshot().Organization.SCPs); d != "" {
						t.Errorf("%s, %s call %d:\n%s", name, phase, n, d)
					}
				}
			}
		}
	}
}

// What each phase may do, written down once more.
func TestFreezePermits(t *testing.T) {
	org := func(names string) []string {
		var acts []string
		for n := range strings.FieldsSeq(names) {
			acts = append(acts, "organizations:"+n)
		}
		return acts
	}
	for _, partition := range []string{"aws", "aws-us-gov", "aws-cn"} {
		account := "arn:" + partition + ":organizations::999999999999:account/o-*/222222222222"
		policy := "arn:" + partition + ":organizations::999999999999:policy/o-*/service_control_policy/*"
		tagged := actions.Condition{"Null": {"aws:ResourceTag/killswitch": {"false"}}}
		made := actions.Condition{"StringLike": {"aws:ResourceTag/killswitch": {"KS-*"}}}
		making := actions.Condition{"StringLike": {"aws:RequestTag/killswitch": {"KS-*"}}, "ForAllValues:StringEquals": {"aws:TagKeys": {"killswitch"}}}
		want := map[actions.Phase][]actions.Statement{
			actions.PhasePlan: {
				{Actions: org("DescribeAccount"), Resources: []string{account}},
				{Actions: org("ListPoliciesForTarget"), Resources: []string{account}},
				{Actions: org("DescribePolicy ListTagsForResource ListTargetsForPolicy"), Resources: []string{policy}},
				{Actions: org("ListPolicies"), Resources: []string{"*"}},
			},
			actions.PhaseRun: {
				{Actions: org("ListPoliciesForTarget AttachPolicy"), Resources: []string{account}},
				{Actions: org("DescribePolicy ListTagsForResource"), Resources: []string{policy}},
				{Actions: org("AttachPolicy UpdatePolicy"), Resources: []string{policy}, Condition: tagged},
				{Actions: org("DeletePolicy"), Resources: []string{policy}, Condition: made},
				{Actions: org("ListPolicies"), Resources: []string{"*"}},
				{Actions: org("CreatePolicy TagResource"), Resources: []string{"*"}, Condition: making},
			},
			actions.PhaseUndo: {
				{Actions: org("DetachPolicy"), Resources: []string{account}},
				{Actions: org("ListTagsForResource ListTargetsForPolicy"), Resources: []string{policy}},
				{Actions: org("DetachPolicy"), Resources: []string{policy}, Condition: tagged},
				{Actions: org("DeletePolicy"), Resources: []string{policy}, Condition: made},
				{Actions: org("ListPolicies"), Resources: []string{"*"}},
			},
			actions.PhaseReport: nil,
		}
		a, _ := all.Actions.Lookup(actions.ApplySCP)
		call := actions.Call{Action: actions.ApplySCP, Target: actiontest.Member, Account: actiontest.Member}
		for phase, statements := range want {
			if d := cmp.Diff(statements, a.Spec().Permits(phase, actions.ScopeOf(a, actiontest.TestOrg(partition), call, nil))); d != "" {
				t.Errorf("phase %d:\n%s", phase, d)
			}
			for _, s := range a.Spec().Permits(phase, actions.Anything(actiontest.TestOrg(partition))) {
				if slices.ContainsFunc(s.Resources, func(r string) bool { return strings.Contains(r, actiontest.Member) }) {
					t.Errorf("phase %d of anything: %v", phase, s)
				}
			}
		}
	}
}
