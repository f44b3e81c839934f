package role_test

import (
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func TestRevokeSessionsContract(t *testing.T) {
	starts := map[string][]func(*awsfake.Role){
		"a role as usual":                 nil,
		"a role with a policy and a tag":  {actiontest.WithInline(actiontest.Revoke, actiontest.Handwritten), actiontest.WithTag(actiontest.Tag, "KS-EARLIER"), actiontest.WithInline("app", actiontest.AllowIAM)},
		"a role revoked by the console":   {actiontest.WithInline(actiontest.Revoke, actiontest.Consoles)},
		"a role in two instance profiles": {func(r *awsfake.Role) { r.Profiles = []string{"web", "batch"} }},
	}
	actiontest.EachPartition(t, func(t *testing.T, partition string, delay time.Duration) {
		contract := actiontest.Contract{Action: actiontest.ActionOf(t), ErrorPathPermits: []string{"iam:ListRoles"}} // where there is no such role
		for _, name := range slices.Sorted(maps.Keys(starts)) {
			contract.Starts = append(contract.Starts, actiontest.Start{Name: name, Open: func(t *testing.T) actiontest.Environment {
				c := &actiontest.Clock{T: actiontest.Began.Add(123 * time.Millisecond)}
				w := fixtureAt(t, c, c.Now, partition, starts[name]...)
				w.SetPropagation(delay)
				return actiontest.EnvironmentOf(w.Fixture)
			}})
		}
		actiontest.Test(t, contract)
	})
}

func TestPriorPolicyComesBackByteForByte(t *testing.T) {
	for name, document := range map[string]string{"written by hand": actiontest.Handwritten, "of the console": actiontest.Consoles} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t, actiontest.WithInline(actiontest.Revoke, document))
			s := actiontest.StepOf(t, w.Plan(), "deny")
			if s.Prior == nil || *s.Prior != document {
				t.Fatalf("the snapshot is %v", s.Prior)
			}
			e := w.Apply(s, w.Run())
			if got := w.Victim().Inline[actiontest.Revoke]; got == document {
				t.Fatal("not replaced")
			}
			if r := w.Revert(s, e); !r.Holds || !r.Changed {
				t.Errorf("Revert: %+v", r)
			}
			if d := cmp.Diff(document, w.Victim().Inline[actiontest.Revoke]); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRoleGoneBeforeRevert(t *testing.T) {
	atRoot := func(r *awsfake.Role) { r.Path = "/" }
	del := func(w *fixture) { // as its owner would
		t.Helper()
		role := aws.String("victim")
		_, err := w.IAM().DetachRolePolicy(t.Context(), &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
		actiontest.Must(t, err)
		w.DeleteDeny()
		_, err = w.IAM().DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: role})
		actiontest.Must(t, err)
	}
	contain := func(t *testing.T) (*fixture, actions.Plan, []actions.Effect) {
		w := newFixture(t, atRoot)
		p := w.Plan()
		var es []actions.Effect
		for _, s := range p.Steps {
			es = append(es, w.Apply(s, w.Run()))
		}
		return w, p, es
	}
	t.Run("deleted", func(t *testing.T) {
		w, p, es := contain(t)
		del(w)
		for i, s := range p.Steps {
			r := w.Revert(s, es[i])
			if !r.Holds || r.Changed || r.Found == "" {
				t.Errorf("Revert %s: %+v", s.ID, r)
			}
		}
	})
	t.Run("deleted and created again", func(t *testing.T) {
		w, p, es := contain(t)
		document := w.Victim().Inline[actiontest.Revoke]
		del(w)
		// The new one looks as if we had written it: only its ID tells.
		w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "victim", Inline: map[string]string{actiontest.Revoke: document}, Tags: map[string]string{actiontest.Tag: actiontest.Request}})
		w.ResetCalls()
		before := w.Victim()
		for i, s := range p.Steps {
			r := w.Revert(s, es[i])
			if r.Holds || r.Changed {
				t.Errorf("Revert %s: %+v", s.ID, r)
			}
			actiontest.HasWords(t, r.Found, "another role", "created again")
		}
		if d := cmp.Diff(before, w.Victim()); d != "" || w.Mutations() != 0 {
			t.Errorf("%d calls that write:\n%s", w.Mutations(), d)
		}
	})
}

func TestRoleGoneBeforeApply(t *testing.T) {
	w := newFixture(t, func(r *awsfake.Role) { r.Path, r.Attached = "/", nil })
	p := w.Plan()
	_, err := w.IAM().DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("victim")})
	actiontest.Must(t, err)
	for _, s := range p.Steps {
		_, err := actiontest.ActionOf(t).Apply(t.Context(), w.Responder(), s, w.Run())
		actiontest.WantCode(t, err, "NoSuchEntity")
	}
	_, err = actiontest.ActionOf(t).Plan(t.Context(), w.Responder(), w.Call())
	var no *actions.Refusal
	if !errors.As(err, &no) {
		t.Fatalf("Plan: %v, want a refusal", err)
	}
	actiontest.HasWords(t, no.Error(), "victim", actiontest.Member)
}
