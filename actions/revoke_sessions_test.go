package actions_test

import (
	"errors"
	"fmt"
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
		"a role with a policy and a tag":  {withInline(revoke, handwritten), withTag(tag, "KS-EARLIER"), withInline("app", allowIAM)},
		"a role revoked by the console":   {withInline(revoke, consoles)},
		"a role in two instance profiles": {func(r *awsfake.Role) { r.Profiles = []string{"web", "batch"} }},
	}
	for _, partition := range []string{"aws", "aws-us-gov", "aws-cn"} {
		for _, delay := range []time.Duration{0, 4 * time.Second} {
			t.Run(fmt.Sprintf("%s/after %v", partition, delay), func(t *testing.T) {
				contract := actiontest.World{Action: action(t)}
				for _, name := range slices.Sorted(maps.Keys(starts)) {
					contract.Starts = append(contract.Starts, actiontest.Start{Name: name, Open: func(t *testing.T) actiontest.Scene {
						c := &clock{t: start.Add(123 * time.Millisecond)}
						w := worldAt(t, c, c.now, partition, starts[name]...)
						w.SetPropagation(delay)
						return scene(w)
					}})
				}
				actiontest.Test(t, contract)
			})
		}
	}
}

func TestPriorPolicyComesBackByteForByte(t *testing.T) {
	for name, document := range map[string]string{"written by hand": handwritten, "of the console": consoles} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, withInline(revoke, document))
			s := step(t, w.plan(), "deny")
			if s.Prior == nil || *s.Prior != document {
				t.Fatalf("the snapshot is %v", s.Prior)
			}
			e := w.apply(s, w.run())
			if got := w.victim().Inline[revoke]; got == document {
				t.Fatal("not replaced")
			}
			if r := w.revert(s, e); !r.Holds || !r.Changed {
				t.Errorf("Revert: %+v", r)
			}
			if d := cmp.Diff(document, w.victim().Inline[revoke]); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestRoleGoneBeforeRevert(t *testing.T) {
	atRoot := func(r *awsfake.Role) { r.Path = "/" }
	del := func(w *world) { // as its owner would
		t.Helper()
		role := aws.String("victim")
		_, err := w.admin().DetachRolePolicy(t.Context(), &iam.DetachRolePolicyInput{RoleName: role, PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
		must(t, err)
		w.del()
		_, err = w.admin().DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: role})
		must(t, err)
	}
	contain := func(t *testing.T) (*world, actions.Plan, []actions.Effect) {
		w := newWorld(t, atRoot)
		p := w.plan()
		var es []actions.Effect
		for _, s := range p.Steps {
			es = append(es, w.apply(s, w.run()))
		}
		return w, p, es
	}
	t.Run("deleted", func(t *testing.T) {
		w, p, es := contain(t)
		del(w)
		for i, s := range p.Steps {
			r := w.revert(s, es[i])
			if !r.Holds || r.Changed || r.Found == "" {
				t.Errorf("Revert %s: %+v", s.ID, r)
			}
		}
	})
	t.Run("deleted and created again", func(t *testing.T) {
		w, p, es := contain(t)
		document := w.victim().Inline[revoke]
		del(w)
		// The new one looks as if we had written it: only its ID tells.
		w.Account(member).AddRole(awsfake.Role{Name: "victim", Inline: map[string]string{revoke: document}, Tags: map[string]string{tag: request}})
		w.ResetCalls()
		before := w.victim()
		for i, s := range p.Steps {
			r := w.revert(s, es[i])
			if r.Holds || r.Changed {
				t.Errorf("Revert %s: %+v", s.ID, r)
			}
			says(t, r.Found, "another role", "created again")
		}
		if d := cmp.Diff(before, w.victim()); d != "" || w.Mutations() != 0 {
			t.Errorf("%d calls that write:\n%s", w.Mutations(), d)
		}
	})
}

func TestRoleGoneBeforeApply(t *testing.T) {
	w := newWorld(t, func(r *awsfake.Role) { r.Path, r.Attached = "/", nil })
	p := w.plan()
	_, err := w.admin().DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("victim")})
	must(t, err)
	for _, s := range p.Steps {
		_, err := action(t).Apply(t.Context(), w.responder(), s, w.run())
		wantCode(t, err, "NoSuchEntity")
	}
	_, err = action(t).Plan(t.Context(), w.responder(), w.call())
	var no *actions.Refusal
	if !errors.As(err, &no) {
		t.Fatalf("Plan: %v, want a refusal", err)
	}
	says(t, no.Error(), "victim", member)
}
