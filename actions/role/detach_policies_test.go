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
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	denies "github.com/killswitch-chatops/killswitch/actions/deny"
)

// Attached in any order, they come back in that of the undo.
var unordered = cmpopts.SortSlices(strings.Compare)

func stripWorld(t *testing.T, alter ...func(*awsfake.Role)) *fixture {
	t.Helper()
	return newFixture(t, alter...).ask(actions.DetachPolicies, nil)
}

// tenAttached fills the quota of managed policies with ten of the account's own.
func tenAttached(w *fixture) []string {
	var arns []string
	for i := range 10 {
		arn := fmt.Sprintf("arn:%s:iam::%s:policy/team/p%d", w.Org.Partition, actiontest.Member, i)
		w.AddPolicy(arn, actiontest.AllowIAM)
		arns = append(arns, arn)
	}
	return arns
}

func TestDetachPoliciesContract(t *testing.T) {
	starts := map[string]struct {
		role     []func(*awsfake.Role)
		attached func(w *fixture) []string
	}{
		"a role as usual":            {},
		"documents byte for byte":    {role: []func(*awsfake.Role){actiontest.WithInline("app", actiontest.Handwritten), actiontest.WithInline("b+c=d,e.f@g-h", actiontest.Consoles), actiontest.WithTag(actiontest.Tag, "KS-EARLIER")}},
		"a policy of our name":       {role: []func(*awsfake.Role){actiontest.WithInline(actiontest.DenyAllName, actiontest.Handwritten), actiontest.WithInline(actiontest.Revoke, actiontest.Consoles)}},
		"ten managed policies":       {attached: tenAttached, role: []func(*awsfake.Role){actiontest.WithInline("app", actiontest.AllowIAM)}},
		"two instance profiles":      {role: []func(*awsfake.Role){func(r *awsfake.Role) { r.Profiles = []string{"web", "batch"} }}},
		"a role that may do nothing": {attached: func(*fixture) []string { return nil }},
		"a policy that is quarantine": {attached: func(w *fixture) []string {
			return []string{"arn:" + w.Org.Partition + ":iam::aws:policy/AWSDenyAll", w.AdminPolicy()}
		}},
	}
	actiontest.EachPartition(t, func(t *testing.T, partition string, delay time.Duration) {
		contract := actiontest.Contract{}
		for _, name := range slices.Sorted(maps.Keys(starts)) {
			contract.Starts = append(contract.Starts, actiontest.Start{Name: name, Open: func(t *testing.T) actiontest.Environment {
				c, s := &actiontest.Clock{T: actiontest.Began.Add(123 * time.Millisecond)}, starts[name]
				w := fixtureAt(t, c, c.Now, partition)
				victim := w.Victim()
				if s.attached != nil {
					victim.Attached = s.attached(w)
				}
				for _, f := range s.role {
					f(&victim)
				}
				w.Account(actiontest.Member).AddRole(victim)
				w.ask(actions.DetachPolicies, nil).SetPropagation(delay)
				view := roleEnvironment(w)
				view.State = func() any { return sorted(w.Snapshot()) }
				return view
			}})
		}
		contract.Action, _ = all.Actions.Lookup(actions.DetachPolicies)
		contract.ErrorPathPermits = []string{"iam:ListRoles", // where there is no such role
			"iam:PutRolePermissionsBoundary", "iam:DeleteRolePermissionsBoundary", "iam:GetPolicy"} // where no policy fits: TestStripWithFullInlineQuota
		actiontest.Test(t, contract)
	})
}

// sorted makes the order of attachment none: AWS has none.
func sorted(s awsfake.State) awsfake.State {
	for _, a := range s.Accounts {
		for _, r := range a.Roles {
			slices.Sort(r.Attached)
		}
	}
	return s
}

func TestStripLeavesNothingButDenies(t *testing.T) {
	const deny = `{"Statement":[{"Effect":"Deny","Action":"s3:*","Resource":"*"}]}`
	isolated := denies.InstanceDocument("", "arn:aws:ec2:eu-central-1:222222222222:instance/i-0123456789abcdef0")
	w := stripWorld(t, actiontest.WithInline("app", actiontest.AllowIAM), actiontest.WithInline("deny-of-their-own", deny), actiontest.WithInline("KillswitchX", deny), actiontest.WithInline("KillswitchTrap", actiontest.AllowIAM),
		actiontest.WithInline("KillswitchIsolate-i-0123456789abcdef0", isolated), actiontest.WithInline("KillswitchIsolate-i-0123456789abcdef1", isolated),
		actiontest.WithInline("KillswitchIsolate", denies.InstanceDocument("", "arn:aws:ec2:eu-central-1:222222222222:instance/i-0123456789abcdef0", "arn:aws:ec2:us-east-1:222222222222:instance/i-0123456789abcdef1")),
		actiontest.WithInline(actiontest.Revoke, actiontest.Consoles))
	w.AddPolicy("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3", deny)
	w.AddPolicy("arn:aws:iam::222222222222:policy/AWSCompromisedKeyQuarantineV3", actiontest.AllowIAM)
	for _, arn := range []string{"arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3", "arn:aws:iam::aws:policy/AWSDenyAll", "arn:aws:iam::222222222222:policy/AWSCompromisedKeyQuarantineV3"} {
		w.Attach(arn)
	}
	p := w.Plan()
	actiontest.AllApplied(t, w.ApplySteps(p.Steps))
	got := w.Victim()
	if d := cmp.Diff([]string{"KillswitchIsolate", "KillswitchIsolate-i-0123456789abcdef0", actiontest.DenyAllName, actiontest.Revoke}, slices.Sorted(maps.Keys(got.Inline)), unordered); d != "" {
		t.Errorf("inline: %s", d)
	}
	if d := cmp.Diff([]string{"arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3", "arn:aws:iam::aws:policy/AWSDenyAll"}, got.Attached, unordered); d != "" {
		t.Errorf("attached: %s", d)
	}
	if got.Inline[actiontest.Revoke] != actiontest.Consoles {
		t.Errorf("%s was touched", actiontest.Revoke)
	}
	if can, _ := w.Session(w.Role, "old").Can("s3:GetObject", "arn:aws:s3:::b/k"); can {
		t.Error("a session of the role may still do something")
	}

	// A policy of that name that allows something is deleted like the others.
	w = stripWorld(t, actiontest.WithInline(actiontest.Revoke, actiontest.AllowIAM))
	actiontest.AllApplied(t, w.Contain())
	if _, there := w.Victim().Inline[actiontest.Revoke]; there {
		t.Errorf("%s allows something and was left", actiontest.Revoke)
	}
}

func TestStripReadsAllPages(t *testing.T) {
	w := stripWorld(t, func(r *awsfake.Role) { r.Inline = restoreMissing(120, 70) }) // a page has 100
	before := w.Snapshot()
	all := w.Contain()
	actiontest.AllApplied(t, all)
	if got := w.Victim().Inline; len(got) != 1 {
		t.Errorf("%d inline policies are left", len(got))
	}
	w.Undo(all)
	if d := cmp.Diff(before, w.Snapshot()); d != "" {
		t.Error(d)
	}
}

func TestStripDeniesFirst(t *testing.T) {
	ids := []string{}
	for _, s := range stripWorld(t, actiontest.WithInline("app", actiontest.AllowIAM)).Plan().Steps {
		ids = append(ids, s.ID)
	}
	if d := cmp.Diff([]string{"deny", "tag", "detach arn:aws:iam::aws:policy/AdministratorAccess", "inline app"}, ids); d != "" {
		t.Error(d)
	}
}

func TestStripSnapshot(t *testing.T) {
	w := stripWorld(t, actiontest.WithInline("app", actiontest.Handwritten), actiontest.WithTag("Team", "a"), func(r *awsfake.Role) {
		r.Description, r.MaxSession, r.Boundary, r.Profiles = "does things", 2*time.Hour, "arn:aws:iam::aws:policy/PowerUserAccess", []string{"web", "batch"}
	})
	p := w.Plan()
	var got struct {
		ARN, ID, Path, Description, Trust, Boundary string
		MaxSession                                  int `json:"max_session"`
		Tags, Inline                                map[string]string
		Attached                                    []string
		Profiles                                    []struct{ Name string } `json:"instance_profiles"`
	}
	actiontest.Unmarshal(t, p.Snapshot, &got)
	v := w.Victim()
	if got.ARN != v.ARN || got.ID != v.ID || got.Path != v.Path || got.Trust != v.Trust || got.Description != v.Description || got.Boundary != v.Boundary ||
		got.MaxSession != 7200 || got.Tags["Team"] != "a" || got.Inline["app"] != actiontest.Handwritten || len(got.Attached) != 1 || len(got.Profiles) != 2 {
		t.Errorf("snapshot %s", p.Snapshot)
	}
	actiontest.HasWords(t, strings.Join(p.Residual, " "), "deny stays", "powerless")
}

// The deny does not fit inline: it is the permissions boundary, at once, whatever stood there.
func TestStripWithFullInlineQuota(t *testing.T) {
	const limits = "arn:aws:iam::222222222222:policy/limits"
	for name, boundary := range map[string]string{"no boundary": "", "another boundary": limits} {
		t.Run(name, func(t *testing.T) {
			w := stripWorld(t, func(r *awsfake.Role) { r.Inline = restoreMissing(2, 5120) })
			w.AddPolicy(limits, actiontest.AllowIAM)
			if boundary != "" {
				_, err := w.IAM().PutRolePermissionsBoundary(t.Context(), &iam.PutRolePermissionsBoundaryInput{RoleName: aws.String("victim"), PermissionsBoundary: &boundary})
				actiontest.Must(t, err)
			}
			before := w.Snapshot()
			p := w.Plan()
			actiontest.HasWords(t, strings.Join(p.Warnings, " "), "quota", "AWSDenyAll")
			if p.Replaces != boundary || strings.Contains(strings.Join(p.Warnings, " "), limits) != (boundary != "") {
				t.Errorf("the card does not say that %q is replaced: %q, %q", boundary, p.Replaces, p.Warnings)
			}
			all := w.ApplySteps(p.Steps[:1])
			actiontest.AllApplied(t, all)
			if w.Victim().Boundary != "arn:aws:iam::aws:policy/AWSDenyAll" {
				t.Fatalf("boundary %q", w.Victim().Boundary)
			}
			session := w.Session(w.Role, "attacker")
			if _, err := iam.NewFromConfig(session.Config()).ListRoles(t.Context(), &iam.ListRolesInput{}); err == nil {
				t.Error("a session of it works")
			}
			all = append(all, w.ApplySteps(p.Steps[1:])...)
			actiontest.AllApplied(t, all)
			for _, d := range all {
				if r, err := w.Act.Verify(t.Context(), w.Responder(), d.Step, d.Effect); err != nil || !r.Holds {
					t.Errorf("%s: %+v, %v", d.Step.ID, r, err)
				}
			}
			for id, r := range w.Undo(all) {
				if !r.Holds {
					t.Errorf("Revert %s: %+v", id, r)
				}
			}
			if d := cmp.Diff(before, w.Snapshot()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestStripSecondRun(t *testing.T) {
	w := stripWorld(t, actiontest.WithInline("app", actiontest.AllowIAM))
	actiontest.AllApplied(t, w.Contain())
	state := w.Snapshot()
	p := w.Plan()
	ids := []string{}
	for _, s := range p.Steps {
		ids = append(ids, s.ID)
	}
	if d := cmp.Diff([]string{"deny", "tag"}, ids); d != "" {
		t.Errorf("what is contained has other steps: %s", d)
	}
	actiontest.AllApplied(t, w.ApplySteps(p.Steps))
	if d := cmp.Diff(state, w.Snapshot()); d != "" {
		t.Error(d)
	}
}

func TestAttachedWhileWeStrip(t *testing.T) {
	w := stripWorld(t)
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.AddPolicy("arn:aws:iam::222222222222:policy/new", actiontest.AllowIAM)
	w.Attach("arn:aws:iam::222222222222:policy/new")
	w.Attach(w.AdminPolicy()) // and again what was taken away
	w.PutNamed("new", actiontest.AllowIAM)
	p := w.Plan()
	for _, id := range []string{"detach arn:aws:iam::222222222222:policy/new", "inline new", "detach " + w.AdminPolicy()} {
		s := actiontest.StepOf(t, p, id)
		actiontest.AllApplied(t, w.ApplySteps([]actions.Step{s}))
		if r, err := w.Act.Verify(t.Context(), w.Responder(), s, actions.Effect{}); err != nil || !r.Holds {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
	}
	if got := w.Victim(); len(got.Attached) != 0 || len(got.Inline) != 1 {
		t.Errorf("left: %v %v", got.Attached, got.Inline)
	}
}

func TestStripOfARecreatedRole(t *testing.T) {
	w := stripWorld(t, actiontest.WithInline("app", actiontest.AllowIAM))
	p := w.Plan()
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.Recreate(actiontest.WithInline("app", actiontest.Handwritten))
	state := w.Snapshot()
	for _, s := range p.Steps {
		if _, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run()); !errors.Is(err, actions.ErrRecreated) {
			t.Errorf("Apply %s: %v", s.ID, err)
		}
		if _, err := w.Act.Verify(t.Context(), w.Responder(), s, actions.Effect{}); !errors.Is(err, actions.ErrRecreated) {
			t.Errorf("Verify %s: %v", s.ID, err)
		}
	}
	for id, r := range w.Undo(all) {
		if r.Holds || r.Changed {
			t.Errorf("Revert %s: %+v", id, r)
		}
		actiontest.HasWords(t, r.Found, "created again")
	}
	if d := cmp.Diff(state, w.Snapshot()); d != "" {
		t.Error(d)
	}
	// The new one is contained as what it is.
	actiontest.AllApplied(t, w.Contain())
	if got := w.Victim(); len(got.Attached) != 0 || got.Inline["app"] != "" || !strings.Contains(got.Inline[actiontest.DenyAllName], actiontest.DenyAllName) {
		t.Errorf("the new role keeps %v", got)
	}
}

func TestPolicyGoneAtUndo(t *testing.T) {
	w := stripWorld(t, actiontest.WithInline("app", actiontest.Handwritten))
	const gone = "arn:aws:iam::aws:policy/WasHere" // it is the last to be detached, and the first to be attached again
	w.AddPolicy(gone, actiontest.AllowIAM)
	w.Attach(gone)
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.Fault(awsfake.Fault{Op: "iam:AttachRolePolicy", Err: actiontest.NoSuchPolicy(gone), Times: 1})
	read := w.Undo(all)
	if r := read["detach "+gone]; r.Holds || r.Changed {
		t.Errorf("%+v", r)
	}
	actiontest.HasWords(t, read["detach "+gone].Found, gone, "no longer exists")
	for id, r := range read {
		if id != "detach "+gone && !r.Holds {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	got := w.Victim()
	if d := cmp.Diff(map[string]string{"app": actiontest.Handwritten}, got.Inline); d != "" || len(got.Attached) != 1 {
		t.Errorf("%v %s", got.Attached, d)
	}
}

func TestInlineThatOthersWroteStays(t *testing.T) {
	w := stripWorld(t, actiontest.WithInline("app", actiontest.Handwritten))
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.PutNamed("app", actiontest.AllowIAM)
	w.PutNamed(actiontest.DenyAllName, actiontest.Handwritten)
	read := w.Undo(all)
	for _, id := range []string{"inline app", "deny"} {
		if r := read[id]; r.Holds || r.Changed || r.Found == "" {
			t.Errorf("%s: %+v", id, r)
		}
	}
	if got := w.Victim().Inline; got["app"] != actiontest.AllowIAM || got[actiontest.DenyAllName] != actiontest.Handwritten {
		t.Errorf("overwritten: %v", got)
	}
}

// Killed after any call, the run and the undo go on and reach the same end.
func TestStripKilledAfterAnyCall(t *testing.T) {
	for n, died := 1, true; died; n++ {
		w := stripWorld(t, actiontest.WithInline("app", actiontest.Handwritten), actiontest.WithInline("b", actiontest.AllowIAM))
		before := w.Snapshot()
		died = w.Killed(n)
		if d := cmp.Diff(before, w.Snapshot()); d != "" {
			t.Errorf("killed at call %d:\n%s", n, d)
		}
		if !died && n < 10 {
			t.Errorf("only %d calls change something", n)
		}
	}
}

func TestStripWithOneStepDenied(t *testing.T) {
	for _, tt := range []struct {
		op    string
		fault error
		fail  int
	}{
		{"iam:PutRolePolicy", actiontest.Denied, 0}, // the boundary denies
		{"iam:Put*", actiontest.Denied, 1},
		{"iam:DetachRolePolicy", actiontest.Denied, 1}, {"iam:DeleteRolePolicy", actiontest.Denied, 1}, {"iam:TagRole", actiontest.Denied, 1},
	} {
		w := stripWorld(t, actiontest.WithInline("app", actiontest.AllowIAM))
		w.Fault(awsfake.Fault{Op: tt.op, Err: tt.fault})
		failed := 0
		for _, d := range w.Contain() {
			if d.Err != nil {
				failed++
				actiontest.WantCode(t, d.Err, "AccessDenied")
			}
		}
		if failed != tt.fail {
			t.Errorf("%s denied: %d steps failed", tt.op, failed)
		}
	}
	w := stripWorld(t, actiontest.WithInline("app", actiontest.AllowIAM))
	w.Fault(awsfake.Fault{Op: "iam:DetachRolePolicy", Err: actiontest.Throttling, Times: 2}) // the SDK tries three times
	actiontest.AllApplied(t, w.Contain())
}

func TestStripRefuses(t *testing.T) {
	w := stripWorld(t)
	for path, name := range map[string]string{"/aws-service-role/ec2.amazonaws.com/": "AWSServiceRoleForX", "/aws-reserved/sso.amazonaws.com/": "AWSReservedSSO_Admin_0123456789abcdef", "/": "killswitch-responder", "/ops/": "keeper"} {
		if name != "killswitch-responder" {
			w.Account(actiontest.Member).AddRole(awsfake.Role{Name: name, Path: path, Trust: actiontest.Trust(actiontest.Member)})
		}
		for _, a := range []actions.Name{actions.DetachPolicies, actions.DeleteRole} {
			typed := actions.Call{Action: a, Target: actions.RoleARN("aws", actiontest.Member, "/", name), Account: actiontest.Member}
			w.SetCall(typed)
			p, err := w.Act.Plan(t.Context(), w.Enter(actions.Responder, actions.PhasePlan), typed)
			if _, refused := errors.AsType[*actions.Refusal](err); !refused && w.Org.RefuseIdentity(p.Identity, false) == nil {
				t.Errorf("%s: %s%s is not refused", a, path, name)
			}
		}
	}
	// Should the path not tell, AWS's own word is explained.
	w = stripWorld(t)
	w.Fault(awsfake.Fault{Op: "iam:DetachRolePolicy", Err: actiontest.Unmodifiable})
	for _, d := range w.Contain() {
		if d.Err != nil {
			_, hint := actions.Explain(d.Err)
			actiontest.HasWords(t, hint, "AWS service")
			return
		}
	}
	t.Error("no step failed")
}

func TestStripOfNoRole(t *testing.T) {
	w := stripWorld(t)
	w.SetCall(actions.Call{Action: actions.DetachPolicies, Target: "arn:aws:iam::222222222222:role/ghost", Account: actiontest.Member})
	_, err := w.Act.Plan(t.Context(), w.Enter(actions.Responder, actions.PhasePlan), w.Call())
	no, ok := errors.AsType[*actions.Refusal](err)
	if !ok {
		t.Fatalf("Plan: %v", err)
	}
	actiontest.HasWords(t, no.Reason, "ghost", actiontest.Member)
}

// A customer's policy can have a path or a name like those of AWS's own
// quarantine: only AWS's own stays attached.
func TestPolicyLikeAWSsIsDetached(t *testing.T) {
	own := []string{"arn:aws:iam::aws:policy/AWSDenyAll", "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"}
	likes := []string{
		"arn:aws:iam::" + actiontest.Member + ":policy/:iam::aws:policy/AWSDenyAll",
		"arn:aws:iam::" + actiontest.Member + ":policy/AWSDenyAll",
		"arn:aws:iam::" + actiontest.Member + ":policy/AWSCompromisedKeyQuarantineV2",
		"arn:aws:iam::" + actiontest.Member + ":policy/aws:policy/AWSCompromisedKeyQuarantineV3",
	}
	w := newFixture(t)
	for _, arn := range slices.Concat(own, likes) {
		w.AddPolicy(arn, actiontest.Permissive)
	}
	w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "victim", Path: "/app/", Attached: slices.Concat(own, likes)})
	w.SetCall(actions.Call{Action: actions.DetachPolicies, Target: w.Role, Account: actiontest.Member}, w.Role)
	ids := actiontest.StepIDs(w.Plan())
	for _, arn := range likes {
		if !slices.Contains(ids, "detach "+arn) {
			t.Errorf("%s stays attached: %q", arn, ids)
		}
	}
	for _, arn := range own {
		if slices.Contains(ids, "detach "+arn) {
			t.Errorf("%s is detached: %q", arn, ids)
		}
	}

	// What only denies goes last from a role that is deleted.
	w.SetCall(actions.Call{Action: actions.DeleteRole, Target: w.Role, Account: actiontest.Member, Options: map[string]string{"confirm": "victim"}}, w.Role)
	ids = actiontest.StepIDs(w.Plan())
	for _, arn := range likes {
		for _, deny := range own {
			if slices.Index(ids, "detach "+arn) > slices.Index(ids, "detach "+deny) {
				t.Errorf("%s goes after %s: %q", arn, deny, ids)
			}
		}
	}
}
