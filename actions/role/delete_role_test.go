package role_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func deleteWorld(t *testing.T, alter ...func(*awsfake.Role)) *fixture {
	t.Helper()
	return newFixture(t, alter...).ask(actions.DeleteRole, map[string]string{"confirm": "victim"})
}

// everything is a role that has all that a role can have.
func everything(r *awsfake.Role) {
	partition := strings.Split(r.ARN+"arn:aws", ":")[1]
	r.Description, r.MaxSession, r.Profiles = "does things", 2*time.Hour, []string{"web", "batch"}
	r.Boundary = "arn:" + partition + ":iam::aws:policy/PowerUserAccess"
	actiontest.WithInline("app", actiontest.Handwritten)(r)
	actiontest.WithInline("grants", actiontest.AllowIAM)(r)
	actiontest.WithTag("Team", "a")(r)
}

// alike is a state without what a role that is made again can't keep.
func alike(s awsfake.State) awsfake.State {
	for _, a := range sorted(s).Accounts {
		for name, r := range a.Roles {
			if name == "victim" {
				r.ID, r.Created = "", time.Time{}
				a.Roles[name] = r
			}
		}
	}
	return s
}

const running = "a role that instances run with"

func TestDeleteRoleContract(t *testing.T) {
	starts := map[string][]func(*awsfake.Role){
		"a role as usual":            nil,
		"a role that has everything": {everything},
		"tagged and revoked before":  {actiontest.WithTag(actiontest.Tag, "KS-EARLIER"), actiontest.WithInline(actiontest.Revoke, actiontest.Consoles)},
		"denied and quarantined": {everything, actiontest.WithInline(actiontest.DenyAllName, actiontest.Handwritten), func(r *awsfake.Role) {
			r.Attached = append(r.Attached, strings.Replace(r.Attached[0], "AdministratorAccess", "AWSDenyAll", 1))
		}},
		running:                       {everything},
		"a role with nothing":         {func(r *awsfake.Role) { r.Attached = nil }},
		"a role at the account's top": {func(r *awsfake.Role) { r.Path = "/" }},
	}
	actiontest.EachPartition(t, func(t *testing.T, partition string, delay time.Duration) {
		contract := actiontest.Contract{ErrorPathPermits: []string{"iam:UntagRole", "iam:DeleteRolePolicy", "iam:TagRole", "iam:ListRoles"}}
		for _, name := range slices.Sorted(maps.Keys(starts)) {
			contract.Starts = append(contract.Starts, actiontest.Start{Name: name, Open: func(t *testing.T) actiontest.Environment {
				c := &actiontest.Clock{T: actiontest.Began.Add(123 * time.Millisecond)}
				w := fixtureAt(t, c, c.Now, partition)
				victim := w.Victim()
				for _, f := range starts[name] {
					f(&victim)
				}
				w.Role = w.Account(actiontest.Member).AddRole(victim)
				if name == running {
					w.runs("web", "eu-west-1", "i-0000000000000000a").runs("web", "us-east-1", "i-0000000000000000b")
				}
				w.ask(actions.DeleteRole, map[string]string{"confirm": "victim"}).SetPropagation(delay)
				view := roleEnvironment(w)
				view.State = func() any { return alike(w.Snapshot()) }
				view.Tamper = nil
				view.Replace = func() { w.Recreate(func(r *awsfake.Role) { r.Path = "/somewhere/else/" }) }
				return view
			}})
		}
		contract.Action, _ = all.Actions.Lookup(actions.DeleteRole)
		actiontest.Test(t, contract)
	})
}

func TestDeleteRoleWantsItsName(t *testing.T) {
	d := actiontest.TestOrg("aws").Directory()
	call, _, err := actions.Parse("delete_role prod/app confirm=app leaked", d)
	actiontest.Must(t, err)
	again, _, err := actions.Parse(call.String()+" leaked", d)
	actiontest.Must(t, err)
	if d := cmp.Diff(call, again); d != "" || call.Options["confirm"] != "app" {
		t.Errorf("%v %s", call, d)
	}
	for _, typed := range []string{"", "confirm=prod/app ", "confirm=App ", "confirm=yes "} {
		_, _, err := actions.Parse("delete_role prod/app "+typed+"leaked", d)
		var m *actions.ParseErrors
		if !errors.As(err, &m) || len(m.List) != 1 || m.List[0].Field != "confirm" {
			t.Fatalf("%q: %v", typed, err)
		}
		actiontest.HasWords(t, m.List[0].Hint, "confirm=app")
	}
	spec := deleteWorld(t).Act.Spec()
	if spec.Quorum != 2 || spec.Alternative != actions.DetachPolicies {
		t.Errorf("%d, %s", spec.Quorum, spec.Alternative)
	}
}

// The seed never took a role out of its instance profiles, and stopped half-way
// with DeleteConflict.
func TestDeleteRoleInTwoInstanceProfiles(t *testing.T) {
	w := deleteWorld(t, everything)
	before := alike(w.Snapshot())
	old := w.Victim().ID
	p := w.Plan()
	ids := []string{}
	for _, s := range p.Steps {
		ids = append(ids, s.ID)
	}
	if d := cmp.Diff([]string{"deny", "tag", "profile batch", "profile web", "detach " + w.AdminPolicy(), "inline grants", "inline app", "delete"}, ids); d != "" {
		t.Error(d)
	}
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "ID is new", "saved again")
	all := w.ApplySteps(p.Steps)
	actiontest.AllApplied(t, all)
	if _, there := w.Snapshot().Accounts[actiontest.Member].Roles["victim"]; there {
		t.Fatal("the role is there")
	}
	for id, r := range w.Undo(all) {
		if !r.Holds {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	if d := cmp.Diff(before, alike(w.Snapshot())); d != "" {
		t.Error(d)
	}
	if w.Victim().ID == old {
		t.Error("the new role has the old one's ID")
	}
}

// The ledger's last snapshot is of a role that an earlier worker has emptied:
// what it took stands in the other steps' rows, and comes back all the same.
func TestInterruptedDeleteRoleGoesOn(t *testing.T) {
	w := deleteWorld(t, everything, actiontest.WithTag(actiontest.Tag, "KS-EARLIER"), actiontest.WithInline(actiontest.Revoke, actiontest.Handwritten))
	before := alike(w.Snapshot())
	first := w.Plan()
	all := w.ApplySteps(slices.DeleteFunc(slices.Clone(first.Steps), func(s actions.Step) bool { return s.ID == "delete" }))
	actiontest.AllApplied(t, all)
	acct := w.Enter(actions.Responder, actions.PhasePlan)
	acct.Look, acct.Approved = actions.LookSteps, first.Identity.ID
	p, err := w.Act.Plan(t.Context(), acct, w.Call())
	actiontest.Must(t, err)
	last := w.ApplySteps([]actions.Step{actiontest.StepOf(t, p, "delete")})
	actiontest.AllApplied(t, last)
	if strings.Contains(*last[0].Step.Prior, "web") {
		t.Fatal("the last step's snapshot has all: this test says nothing")
	}
	for _, d := range all {
		w.Resources = append(w.Resources, d.Step.Resource)
	}
	for id, r := range w.Undo(append(all, last...)) {
		if !r.Holds {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	want, got := before.Accounts[actiontest.Member].Roles["victim"], alike(w.Snapshot()).Accounts[actiontest.Member].Roles["victim"]
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestDeleteRoleKilledAfterAnyCall(t *testing.T) {
	for n, died := 1, true; died; n++ {
		w := deleteWorld(t, everything)
		before := alike(w.Snapshot())
		died = w.Killed(n)
		if d := cmp.Diff(before, alike(w.Snapshot())); d != "" {
			t.Errorf("killed at call %d:\n%s", n, d)
		}
		if !died && n < 15 {
			t.Errorf("only %d calls change something", n)
		}
	}
}

func TestDeleteRoleWithFullInlineQuota(t *testing.T) {
	w := deleteWorld(t, func(r *awsfake.Role) { r.Inline = restoreMissing(2, 5120) })
	before := alike(w.Snapshot())
	all := w.Contain()
	actiontest.AllApplied(t, all)
	for id, r := range w.Undo(all) {
		if !r.Holds {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	if d := cmp.Diff(before, alike(w.Snapshot())); d != "" {
		t.Error(d)
	}
}

func TestDeleteRoleSecondRun(t *testing.T) {
	w := deleteWorld(t, everything)
	p := w.Plan()
	actiontest.AllApplied(t, w.ApplySteps(p.Steps))
	w.ResetCalls()
	actiontest.AllApplied(t, w.ApplySteps(p.Steps))
	if w.Mutations() != 0 {
		t.Errorf("%d calls that write", w.Mutations())
	}
	for _, s := range p.Steps {
		if r, err := w.Act.Verify(t.Context(), w.Responder(), s, actions.Effect{Prior: s.Prior}); err != nil || !r.Holds {
			t.Errorf("%s: %+v, %v", s.ID, r, err)
		}
	}
	acct := w.Enter(actions.Responder, actions.PhasePlan)
	acct.Look, acct.Approved = actions.LookSteps, p.Identity.ID
	again, err := w.Act.Plan(t.Context(), acct, w.Call())
	actiontest.Must(t, err)
	if len(again.Steps) != 0 || again.Identity.ID != p.Identity.ID {
		t.Errorf("planned again: %+v", again)
	}
}

// What is attached while we work is not in the record: it is not removed until
// it is, and then the role goes.
func TestAttachedWhileWeDelete(t *testing.T) {
	w := deleteWorld(t)
	p := w.Plan()
	w.AddPolicy("arn:aws:iam::222222222222:policy/new", actiontest.AllowIAM)
	w.Attach("arn:aws:iam::222222222222:policy/new")
	w.PutNamed("new", actiontest.AllowIAM)
	all := w.ApplySteps(p.Steps)
	last := all[len(all)-1]
	if !actions.IsRetryLater(last.Err) {
		t.Fatalf("Apply delete: %v", last.Err)
	}
	cause, hint := actions.Explain(last.Err)
	actiontest.HasWords(t, cause, "policy/new", "inline policy new")
	actiontest.HasWords(t, hint, "retry")
	if got := w.Victim(); got.Inline["new"] != actiontest.AllowIAM || len(got.Attached) != 1 {
		t.Fatalf("removed without a record: %v", got)
	}
	// A retry plans what is new as steps of its own; the old ones stay as they are.
	steps := slices.Clone(p.Steps)
	for _, s := range w.Plan().Steps {
		if !slices.ContainsFunc(steps, func(old actions.Step) bool { return old.ID == s.ID }) {
			steps = append(steps, s)
		}
	}
	actiontest.AllApplied(t, w.ApplySteps(steps))
	if _, there := w.Snapshot().Accounts[actiontest.Member].Roles["victim"]; there {
		t.Error("the role is there")
	}
}

func TestDeleteConflictIsRetriedLater(t *testing.T) {
	w := deleteWorld(t)
	w.Fault(awsfake.Fault{Op: "iam:DeleteRole", Err: &types.DeleteConflictException{Message: aws.String("Cannot delete entity, must detach all policies first.")}, Times: 1})
	s := actiontest.StepOf(t, w.Plan(), "delete")
	_, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run())
	if actiontest.WantCode(t, err, "DeleteConflict"); !actions.IsRetryLater(err) {
		t.Error("not worth another try")
	}
	actiontest.AllApplied(t, w.ApplySteps([]actions.Step{s}))
}

func TestDeleteRoleOfARecreatedRole(t *testing.T) {
	t.Run("before it is deleted", func(t *testing.T) {
		w := deleteWorld(t, everything)
		p := w.Plan()
		w.Recreate()
		state := w.Snapshot()
		for _, s := range p.Steps {
			if _, err := w.Act.Apply(t.Context(), w.EnterFor(actions.Responder, actions.PhaseRun, resourcesOf(p)), s, w.Run()); !errors.Is(err, actions.ErrRecreated) {
				t.Errorf("Apply %s: %v", s.ID, err)
			}
		}
		if d := cmp.Diff(state, w.Snapshot()); d != "" {
			t.Error(d)
		}
		acct := w.Enter(actions.Responder, actions.PhasePlan)
		acct.Look, acct.Approved = actions.LookSteps, p.Identity.ID
		again, err := w.Act.Plan(t.Context(), acct, w.Call())
		actiontest.Must(t, err)
		if len(again.Steps) != 2 || again.Steps[0].ID != "deny" || again.Steps[1].ID != "tag" {
			t.Errorf("another role's steps: %+v", again.Steps)
		}
		actiontest.AllApplied(t, w.ApplySteps(again.Steps))
	})
	for name, alter := range map[string]func(*awsfake.Role){
		"with another trust policy": func(r *awsfake.Role) { r.Trust = strings.Replace(r.Trust, "ec2", "lambda", 1) },
		"on another path":           func(r *awsfake.Role) { r.Path = "/other/" },
		"without the boundary":      func(r *awsfake.Role) { r.Boundary = "" },
	} {
		t.Run("before the undo, "+name, func(t *testing.T) {
			w := deleteWorld(t, everything)
			v := w.Victim()
			all := w.Contain()
			actiontest.AllApplied(t, all)
			w.Account(actiontest.Member).AddRole(func() awsfake.Role {
				r := awsfake.Role{Name: "victim", Path: v.Path, Trust: v.Trust, Boundary: v.Boundary}
				alter(&r)
				return r
			}())
			state := w.Snapshot()
			for id, r := range w.Undo(all) {
				if r.Changed || r.Holds && id != "tag" && id != "deny" {
					t.Errorf("Revert %s: %+v", id, r)
				}
			}
			if d := cmp.Diff(state, w.Snapshot()); d != "" {
				t.Errorf("somebody else's role was changed:\n%s", d)
			}
		})
	}
}

func resourcesOf(p actions.Plan) (arns []string) {
	for _, s := range p.Steps {
		arns = append(arns, s.Resource)
	}
	return arns
}

func TestRecreateWithoutDeletedPoliciesAndProfiles(t *testing.T) {
	t.Run("a policy", func(t *testing.T) {
		w := deleteWorld(t, everything)
		all := w.Contain()
		actiontest.AllApplied(t, all)
		w.Fault(awsfake.Fault{Op: "iam:AttachRolePolicy", Err: actiontest.NoSuchPolicy(w.AdminPolicy())})
		read := w.Undo(all)
		if r := read["delete"]; r.Holds || !r.Changed {
			t.Errorf("%+v", r)
		}
		actiontest.HasWords(t, read["delete"].Found, w.AdminPolicy(), "no longer exists")
		if got := w.Victim(); len(got.Inline) != 2 || len(got.Profiles) != 2 {
			t.Errorf("the rest is not back: %v", got)
		}
	})
	t.Run("the boundary", func(t *testing.T) {
		w := deleteWorld(t, everything)
		all := w.Contain()
		actiontest.AllApplied(t, all)
		w.Fault(awsfake.Fault{Op: "iam:CreateRole", Err: &types.NoSuchEntityException{Message: aws.String("Scope ARN: arn:aws:iam::aws:policy/PowerUserAccess does not exist or is not attachable.")}})
		last := all[len(all)-1]
		_, err := w.Act.Revert(t.Context(), w.Restorer(), last.Step, last.Effect)
		actiontest.WantCode(t, err, "NoSuchEntity")
		_, hint := actions.Explain(err)
		actiontest.HasWords(t, hint, "boundary", "retry")
	})
	t.Run("a principal of the trust policy", func(t *testing.T) {
		const trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["AROAEXAMPLEEXAMPLE123","arn:aws:iam::222222222222:root"]},"Action":"sts:AssumeRole"}]}`
		w := deleteWorld(t, func(r *awsfake.Role) { r.Trust = trust })
		p := w.Plan()
		actiontest.HasWords(t, strings.Join(p.Warnings, " "), "Undo will fail", "AROAEXAMPLEEXAMPLE123")
		all := w.ApplySteps(p.Steps)
		actiontest.AllApplied(t, all)
		w.Fault(awsfake.Fault{Op: "iam:CreateRole", Err: &types.MalformedPolicyDocumentException{Message: aws.String(`Invalid principal in policy: "AWS":"AROAEXAMPLEEXAMPLE123"`)}})
		last := all[len(all)-1]
		_, err := w.Act.Revert(t.Context(), w.Restorer(), last.Step, last.Effect)
		cause, hint := actions.Explain(err)
		actiontest.HasWords(t, cause, "AROAEXAMPLEEXAMPLE123")
		actiontest.HasWords(t, hint, "deleted", "by hand")
	})
	t.Run("an instance profile that holds another role", func(t *testing.T) {
		w := deleteWorld(t, everything)
		all := w.Contain()
		actiontest.AllApplied(t, all)
		w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "other", Profiles: []string{"web"}})
		read := w.Undo(all)
		for _, id := range []string{"delete", "profile web"} {
			if r := read[id]; r.Holds && !r.Changed || !strings.Contains(r.Found, "web") {
				t.Errorf("%s: %+v", id, r)
			}
		}
	})
}

// A run that stopped before the role was deleted is taken back on the role itself.
func TestUndoOfAHalfDeletedRole(t *testing.T) {
	w := deleteWorld(t, everything)
	before := w.Snapshot()
	w.Fault(awsfake.Fault{Op: "iam:DeleteRole", Err: actiontest.Denied})
	all := w.Contain()
	actiontest.WantCode(t, all[len(all)-1].Err, "AccessDenied")
	if got := w.Victim(); got.Boundary == "" || len(got.Attached) > 0 {
		t.Errorf("the role is left with %v", got)
	}
	for id, r := range w.Undo(all) {
		if !r.Holds {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	if d := cmp.Diff(sorted(before), sorted(w.Snapshot())); d != "" {
		t.Error(d)
	}
}

// An undo that failed at one call is asked for again.
func TestRecreateSurvivesOneFailure(t *testing.T) {
	for _, op := range []string{"iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:AddRoleToInstanceProfile"} {
		w := deleteWorld(t, everything)
		before := alike(w.Snapshot())
		all := w.Contain()
		actiontest.AllApplied(t, all)
		w.Fault(awsfake.Fault{Op: op, Err: actiontest.Denied})
		last := all[len(all)-1]
		_, err := w.Act.Revert(t.Context(), w.Restorer(), last.Step, last.Effect)
		actiontest.WantCode(t, err, "AccessDenied")
		w.ClearFaults()
		for id, r := range w.Undo(all) {
			if !r.Holds {
				t.Errorf("%s: Revert %s: %+v", op, id, r)
			}
		}
		if d := cmp.Diff(before, alike(w.Snapshot())); d != "" {
			t.Errorf("%s: %s", op, d)
		}
	}
}

// Killed between two policies, a role that is made again is denied before it may
// do anything.
func TestRecreatedRoleGetsDeniesFirst(t *testing.T) {
	w := deleteWorld(t, actiontest.WithInline("a-grant", actiontest.AllowIAM), actiontest.WithInline("z-deny", actiontest.Handwritten))
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.OnCall(func(c awsfake.Call) error {
		if c.Op == "iam:PutRolePolicy" && c.Phase == awsfake.After {
			return actiontest.ErrKilled
		}
		return nil
	})
	last := all[len(all)-1]
	if _, err := w.Act.Revert(t.Context(), w.Restorer(), last.Step, last.Effect); !errors.Is(err, actiontest.ErrKilled) {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"z-deny": actiontest.Handwritten}, w.Victim().Inline); d != "" {
		t.Error(d)
	}
}

func TestSessionPolicyOfManyProfilesFits(t *testing.T) {
	w := deleteWorld(t, func(r *awsfake.Role) {
		for i := range 40 {
			r.Profiles = append(r.Profiles, fmt.Sprintf("%s%02d", strings.Repeat("p", 60), i))
		}
	})
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.Undo(all)
	if got := w.Victim().Profiles; len(got) != 40 {
		t.Errorf("%d profiles are back", len(got))
	}
}
