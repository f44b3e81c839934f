package actions_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// Attached in any order, they come back in that of the undo.
var unordered = cmpopts.SortSlices(strings.Compare)

func stripWorld(t *testing.T, alter ...func(*awsfake.Role)) *world {
	t.Helper()
	return newWorld(t, alter...).ask(actions.DetachPolicies, nil)
}

// tenAttached fills the quota of managed policies with ten of the account's own.
func tenAttached(w *world) []string {
	var arns []string
	for i := range 10 {
		arn := fmt.Sprintf("arn:%s:iam::%s:policy/team/p%d", w.org.Partition, member, i)
		w.AddPolicy(arn, allowIAM)
		arns = append(arns, arn)
	}
	return arns
}

func TestDetachPoliciesContract(t *testing.T) {
	starts := map[string]struct {
		role     []func(*awsfake.Role)
		attached func(w *world) []string
	}{
		"a role as usual":            {},
		"documents byte for byte":    {role: []func(*awsfake.Role){withInline("app", handwritten), withInline("b+c=d,e.f@g-h", consoles), withTag(tag, "KS-EARLIER")}},
		"a policy of our name":       {role: []func(*awsfake.Role){withInline(denyAllName, handwritten), withInline(revoke, consoles)}},
		"ten managed policies":       {attached: tenAttached, role: []func(*awsfake.Role){withInline("app", allowIAM)}},
		"two instance profiles":      {role: []func(*awsfake.Role){func(r *awsfake.Role) { r.Profiles = []string{"web", "batch"} }}},
		"a role that may do nothing": {attached: func(*world) []string { return nil }},
		"a policy that is quarantine": {attached: func(w *world) []string {
			return []string{"arn:" + w.org.Partition + ":iam::aws:policy/AWSDenyAll", w.adminPolicy()}
		}},
	}
	eachPartition(t, func(t *testing.T, partition string, delay time.Duration) {
		contract := actiontest.World{}
		for _, name := range slices.Sorted(maps.Keys(starts)) {
			contract.Starts = append(contract.Starts, actiontest.Start{Name: name, Open: func(t *testing.T) actiontest.Scene {
				c, s := &clock{t: start.Add(123 * time.Millisecond)}, starts[name]
				w := worldAt(t, c, c.now, partition)
				victim := w.victim()
				if s.attached != nil {
					victim.Attached = s.attached(w)
				}
				for _, f := range s.role {
					f(&victim)
				}
				w.Account(member).AddRole(victim)
				w.ask(actions.DetachPolicies, nil).SetPropagation(delay)
				view := roleScene(w)
				view.State = func() any { return sorted(w.Snapshot()) }
				return view
			}})
		}
		contract.Action, _ = actions.All.Lookup(actions.DetachPolicies)
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
	w := stripWorld(t, withInline("app", allowIAM), withInline("deny-of-their-own", deny), withInline("KillswitchInstance", deny), withInline("KillswitchTrap", allowIAM),
		withInline(revoke, consoles))
	w.AddPolicy("arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3", deny)
	w.AddPolicy("arn:aws:iam::222222222222:policy/AWSCompromisedKeyQuarantineV3", allowIAM)
	for _, arn := range []string{"arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3", "arn:aws:iam::aws:policy/AWSDenyAll", "arn:aws:iam::222222222222:policy/AWSCompromisedKeyQuarantineV3"} {
		w.attach(arn)
	}
	p := w.plan()
	clean(t, w.take(p.Steps))
	got := w.victim()
	if d := cmp.Diff([]string{"KillswitchInstance", denyAllName, revoke}, slices.Sorted(maps.Keys(got.Inline)), unordered); d != "" {
		t.Errorf("inline: %s", d)
	}
	if d := cmp.Diff([]string{"arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3", "arn:aws:iam::aws:policy/AWSDenyAll"}, got.Attached, unordered); d != "" {
		t.Errorf("attached: %s", d)
	}
	if got.Inline[revoke] != consoles {
		t.Errorf("%s was touched", revoke)
	}
	if can, _ := w.Session(w.role, "old").Can("s3:GetObject", "arn:aws:s3:::b/k"); can {
		t.Error("a session of the role may still do something")
	}

	// A policy of that name that allows something is deleted like the others.
	w = stripWorld(t, withInline(revoke, allowIAM))
	clean(t, w.contain())
	if _, there := w.victim().Inline[revoke]; there {
		t.Errorf("%s allows something and was left", revoke)
	}
}

func TestStripReadsAllPages(t *testing.T) {
	w := stripWorld(t, func(r *awsfake.Role) { r.Inline = fill(120, 70) }) // a page has 100
	before := w.Snapshot()
	all := w.contain()
	clean(t, all)
	if got := w.victim().Inline; len(got) != 1 {
		t.Errorf("%d inline policies are left", len(got))
	}
	w.back(all)
	if d := cmp.Diff(before, w.Snapshot()); d != "" {
		t.Error(d)
	}
}

func TestStripDeniesFirst(t *testing.T) {
	ids := []string{}
	for _, s := range stripWorld(t, withInline("app", allowIAM)).plan().Steps {
		ids = append(ids, s.ID)
	}
	if d := cmp.Diff([]string{"tag", "deny", "detach arn:aws:iam::aws:policy/AdministratorAccess", "inline app"}, ids); d != "" {
		t.Error(d)
	}
}

func TestStripSnapshot(t *testing.T) {
	w := stripWorld(t, withInline("app", handwritten), withTag("Team", "a"), func(r *awsfake.Role) {
		r.Description, r.MaxSession, r.Boundary, r.Profiles = "does things", 2*time.Hour, "arn:aws:iam::aws:policy/PowerUserAccess", []string{"web", "batch"}
	})
	p := w.plan()
	var got struct {
		ARN, ID, Path, Description, Trust, Boundary string
		MaxSession                                  int `json:"max_session"`
		Tags, Inline                                map[string]string
		Attached                                    []string
		Profiles                                    []struct{ Name string } `json:"instance_profiles"`
	}
	unmarshal(t, p.Snapshot, &got)
	v := w.victim()
	if got.ARN != v.ARN || got.ID != v.ID || got.Path != v.Path || got.Trust != v.Trust || got.Description != v.Description || got.Boundary != v.Boundary ||
		got.MaxSession != 7200 || got.Tags["Team"] != "a" || got.Inline["app"] != handwritten || len(got.Attached) != 1 || len(got.Profiles) != 2 {
		t.Errorf("snapshot %s", p.Snapshot)
	}
	says(t, strings.Join(p.Residual, " "), "deny stays", "powerless")
}

// The deny does not fit: the deletions go first, and it comes after them.
func TestStripWithFullInlineQuota(t *testing.T) {
	w := stripWorld(t, func(r *awsfake.Role) { r.Inline = fill(2, 5120) })
	before := w.Snapshot()
	p := w.plan()
	says(t, strings.Join(p.Warnings, " "), "quota", "deleted first")
	_, err := w.act.Apply(t.Context(), w.responder(), step(t, p, "deny"), w.run())
	wantCode(t, err, "LimitExceeded")
	if !actions.Later(err) {
		t.Error("it is not said to be worth another try after the others")
	}
	all := w.take(p.Steps)
	clean(t, all)
	if got := w.victim(); len(got.Inline) != 1 || got.Inline[denyAllName] == "" {
		t.Fatalf("inline %v", got.Inline)
	}
	// Going back has the same quota: the last document waits for the deny to go.
	for id, r := range w.back(all) {
		if !r.Holds {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	if d := cmp.Diff(before, w.Snapshot()); d != "" {
		t.Error(d)
	}
}

func TestStripSecondRun(t *testing.T) {
	w := stripWorld(t, withInline("app", allowIAM))
	clean(t, w.contain())
	state := w.Snapshot()
	p := w.plan()
	ids := []string{}
	for _, s := range p.Steps {
		ids = append(ids, s.ID)
	}
	if d := cmp.Diff([]string{"tag", "deny"}, ids); d != "" {
		t.Errorf("what is contained has other steps: %s", d)
	}
	clean(t, w.take(p.Steps))
	if d := cmp.Diff(state, w.Snapshot()); d != "" {
		t.Error(d)
	}
}

func TestAttachedWhileWeStrip(t *testing.T) {
	w := stripWorld(t)
	all := w.contain()
	clean(t, all)
	w.AddPolicy("arn:aws:iam::222222222222:policy/new", allowIAM)
	w.attach("arn:aws:iam::222222222222:policy/new")
	w.attach(w.adminPolicy()) // and again what was taken away
	w.putNamed("new", allowIAM)
	p := w.plan()
	for _, id := range []string{"detach arn:aws:iam::222222222222:policy/new", "inline new", "detach " + w.adminPolicy()} {
		s := step(t, p, id)
		clean(t, w.take([]actions.Step{s}))
		if r, err := w.act.Verify(t.Context(), w.responder(), s, actions.Effect{}); err != nil || !r.Holds {
			t.Errorf("%s: %+v, %v", id, r, err)
		}
	}
	if got := w.victim(); len(got.Attached) != 0 || len(got.Inline) != 1 {
		t.Errorf("left: %v %v", got.Attached, got.Inline)
	}
}

func TestStripOfWhatWasCreatedAgain(t *testing.T) {
	w := stripWorld(t, withInline("app", allowIAM))
	p := w.plan()
	all := w.contain()
	clean(t, all)
	w.recreate(withInline("app", handwritten))
	state := w.Snapshot()
	for _, s := range p.Steps {
		if _, err := w.act.Apply(t.Context(), w.responder(), s, w.run()); !errors.Is(err, actions.ErrRecreated) {
			t.Errorf("Apply %s: %v", s.ID, err)
		}
		if _, err := w.act.Verify(t.Context(), w.responder(), s, actions.Effect{}); !errors.Is(err, actions.ErrRecreated) {
			t.Errorf("Verify %s: %v", s.ID, err)
		}
	}
	for id, r := range w.back(all) {
		if r.Holds || r.Changed {
			t.Errorf("Revert %s: %+v", id, r)
		}
		says(t, r.Found, "created again")
	}
	if d := cmp.Diff(state, w.Snapshot()); d != "" {
		t.Error(d)
	}
	// The new one is contained as what it is.
	clean(t, w.contain())
	if got := w.victim(); len(got.Attached) != 0 || got.Inline["app"] != "" || !strings.Contains(got.Inline[denyAllName], denyAllName) {
		t.Errorf("the new role keeps %v", got)
	}
}

func TestPolicyGoneAtUndo(t *testing.T) {
	w := stripWorld(t, withInline("app", handwritten))
	const gone = "arn:aws:iam::aws:policy/WasHere" // it is the last to be detached, and the first to be attached again
	w.AddPolicy(gone, allowIAM)
	w.attach(gone)
	all := w.contain()
	clean(t, all)
	w.Fault(awsfake.Fault{Op: "iam:AttachRolePolicy", Err: noSuchPolicy(gone), Times: 1})
	read := w.back(all)
	if r := read["detach "+gone]; r.Holds || r.Changed {
		t.Errorf("%+v", r)
	}
	says(t, read["detach "+gone].Found, gone, "no longer exists")
	for id, r := range read {
		if id != "detach "+gone && !r.Holds {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	got := w.victim()
	if d := cmp.Diff(map[string]string{"app": handwritten}, got.Inline); d != "" || len(got.Attached) != 1 {
		t.Errorf("%v %s", got.Attached, d)
	}
}

func TestInlineThatOthersWroteStays(t *testing.T) {
	w := stripWorld(t, withInline("app", handwritten))
	all := w.contain()
	clean(t, all)
	w.putNamed("app", allowIAM)
	w.putNamed(denyAllName, handwritten)
	read := w.back(all)
	for _, id := range []string{"inline app", "deny"} {
		if r := read[id]; r.Holds || r.Changed || r.Found == "" {
			t.Errorf("%s: %+v", id, r)
		}
	}
	if got := w.victim().Inline; got["app"] != allowIAM || got[denyAllName] != handwritten {
		t.Errorf("overwritten: %v", got)
	}
}

// Killed after any call, the run and the undo go on and reach the same end.
func TestStripKilledAfterAnyCall(t *testing.T) {
	for n, died := 1, true; died; n++ {
		w := stripWorld(t, withInline("app", handwritten), withInline("b", allowIAM))
		before := w.Snapshot()
		died = w.killed(n)
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
	}{
		{"iam:PutRolePolicy", denied}, {"iam:DetachRolePolicy", denied}, {"iam:DeleteRolePolicy", denied}, {"iam:TagRole", denied},
	} {
		w := stripWorld(t, withInline("app", allowIAM))
		w.Fault(awsfake.Fault{Op: tt.op, Err: tt.fault})
		failed := 0
		for _, d := range w.contain() {
			if d.err != nil {
				failed++
				wantCode(t, d.err, "AccessDenied")
			}
		}
		if failed != 1 {
			t.Errorf("%s denied: %d steps failed", tt.op, failed)
		}
	}
	w := stripWorld(t, withInline("app", allowIAM))
	w.Fault(awsfake.Fault{Op: "iam:DetachRolePolicy", Err: throttling, Times: 2}) // the SDK tries three times
	clean(t, w.contain())
}

func TestStripRefuses(t *testing.T) {
	w := stripWorld(t)
	for path, name := range map[string]string{"/aws-service-role/ec2.amazonaws.com/": "AWSServiceRoleForX", "/aws-reserved/sso.amazonaws.com/": "AWSReservedSSO_Admin_0123456789abcdef", "/": "killswitch-responder", "/ops/": "keeper"} {
		if name != "killswitch-responder" {
			w.Account(member).AddRole(awsfake.Role{Name: name, Path: path})
		}
		for _, a := range []actions.Name{actions.DetachPolicies, actions.DeleteRole} {
			typed := actions.Call{Action: a, Target: actions.RoleARN("aws", member, "/", name), Account: member}
			w.do(typed)
			p := w.plan()
			if w.org.RefuseIdentity(p.Identity) == nil {
				t.Errorf("%s: %s%s is not refused", a, path, name)
			}
		}
	}
	// Should the path not tell, AWS's own word is explained.
	w = stripWorld(t)
	w.Fault(awsfake.Fault{Op: "iam:DetachRolePolicy", Err: unmodifiable})
	for _, d := range w.contain() {
		if d.err != nil {
			_, hint := actions.Explain(d.err)
			says(t, hint, "AWS service")
			return
		}
	}
	t.Error("no step failed")
}

func TestStripOfNoRole(t *testing.T) {
	w := stripWorld(t)
	w.do(actions.Call{Action: actions.DetachPolicies, Target: "arn:aws:iam::222222222222:role/ghost", Account: member})
	_, err := w.act.Plan(t.Context(), w.enter(actions.Responder, actions.PhasePlan), w.call())
	no, ok := errors.AsType[*actions.Refusal](err)
	if !ok {
		t.Fatalf("Plan: %v", err)
	}
	says(t, no.Reason, "ghost", member)
}

// A customer's policy can have a path or a name like those of AWS's own
// quarantine: only AWS's own stays attached.
func TestPolicyLikeAWSsIsDetached(t *testing.T) {
	own := []string{"arn:aws:iam::aws:policy/AWSDenyAll", "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"}
	likes := []string{
		"arn:aws:iam::" + member + ":policy/:iam::aws:policy/AWSDenyAll",
		"arn:aws:iam::" + member + ":policy/AWSDenyAll",
		"arn:aws:iam::" + member + ":policy/AWSCompromisedKeyQuarantineV2",
		"arn:aws:iam::" + member + ":policy/aws:policy/AWSCompromisedKeyQuarantineV3",
	}
	w := newWorld(t)
	for _, arn := range slices.Concat(own, likes) {
		w.AddPolicy(arn, permissive)
	}
	w.Account(member).AddRole(awsfake.Role{Name: "victim", Path: "/app/", Attached: slices.Concat(own, likes)})
	w.do(actions.Call{Action: actions.DetachPolicies, Target: w.role, Account: member}, w.role)
	ids := stepIDs(w.plan())
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
	w.do(actions.Call{Action: actions.DeleteRole, Target: w.role, Account: member, Options: map[string]string{"confirm": "victim"}}, w.role)
	ids = stepIDs(w.plan())
	for _, arn := range likes {
		for _, deny := range own {
			if slices.Index(ids, "detach "+arn) > slices.Index(ids, "detach "+deny) {
				t.Errorf("%s goes after %s: %q", arn, deny, ids)
			}
		}
	}
}
