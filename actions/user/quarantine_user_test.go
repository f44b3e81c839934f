package user_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// boundaryPermits are used where no policy fits: TestQuarantineWithFullQuotas.
var boundaryPermits = []string{"iam:PutUserPermissionsBoundary", "iam:DeleteUserPermissionsBoundary", "iam:GetPolicy"}

func TestQuarantineUserContract(t *testing.T) {
	foreign := func(w *fixture) {
		w.AddPolicy(w.policyARN(actiontest.FullQuarantine), actiontest.Permissive)
	}
	starts := map[string]struct {
		user    []func(*awsfake.User)
		prepare func(*fixture)
		options map[string]string
	}{
		"a user as usual":              {},
		"a user with a tag":            {user: []func(*awsfake.User){userTagged("KS-EARLIER")}},
		"a user with nothing":          {user: []func(*awsfake.User){func(u *awsfake.User) { *u = awsfake.User{Name: u.Name, Path: u.Path} }}},
		"a policy of our name":         {prepare: foreign},
		"no policy is deployed":        {prepare: undeployed},
		"the attachment quota is full": {user: []func(*awsfake.User){tenUserPolicies}},
		"an inline policy of our name": {user: []func(*awsfake.User){userInline(actiontest.FullQuarantine, actiontest.Handwritten)}},
		"and no other place":           {user: []func(*awsfake.User){tenUserPolicies, userInline(actiontest.FullQuarantine, actiontest.Handwritten)}},
		"IAM only":                     {options: map[string]string{"mode": "iam-only"}},
		"and its MFA devices":          {options: map[string]string{"mfa": "off"}},
	}
	actiontest.EachPartition(t, func(t *testing.T, partition string, delay time.Duration) {
		contract := actiontest.Contract{ErrorPathPermits: append([]string{"iam:GetAccessKeyLastUsed", "iam:ListUsers"}, boundaryPermits...)} // of a user whose name is gone; TestRenamedUser; where there is no such user
		for _, name := range slices.Sorted(maps.Keys(starts)) {
			contract.Starts = append(contract.Starts, actiontest.Start{Name: name, Open: func(t *testing.T) actiontest.Environment {
				s := starts[name]
				w := userWorldAt(t, &actiontest.Clock{T: actiontest.Began.Add(123 * time.Millisecond)}, partition, s.user...)
				if s.prepare != nil {
					s.prepare(w)
				}
				w.quarantine(s.options).SetPropagation(delay)
				return userEnvironment(w)
			}})
		}
		contract.Action, _ = all.Actions.Lookup(actions.QuarantineUser)
		actiontest.Test(t, contract)
	})
}

func TestQuarantineSteps(t *testing.T) {
	w := userWorld(t)
	p := w.Plan()
	want := []string{"deny", "tag", "key " + actiontest.FirstKey, "key " + actiontest.SecondKey, "password", "service credential ACCA0000000000000001A", "signing certificate CERT0000000000000001A", "ssh key APKA0000000000000001A"}
	if d := cmp.Diff(want, actiontest.StepIDs(p)); d != "" {
		t.Error(d)
	}
	for _, s := range p.Steps {
		if credential := !slices.Contains([]string{"tag", "deny", "password"}, s.ID); s.Credential != credential || s.Deny != (s.ID == "deny") {
			t.Errorf("%s: credential %t, deny %t", s.ID, s.Credential, s.Deny)
		}
	}
	actiontest.HasWords(t, actiontest.StepOf(t, p, "password").NotReverted, "can't be restored", "new one")
	actiontest.HasWords(t, actiontest.StepOf(t, p, "key "+actiontest.FirstKey).NotReverted, "keys=reactivate")
	actiontest.HasWords(t, p.Undo, "can't be restored", "keys=reactivate")
	actiontest.HasWords(t, strings.Join(p.Residual, " "), "assumed already")
	var got struct {
		Groups, Attached []string
		MFA              []struct{ Serial string }
		Keys             []struct{ ID, Status string }
		Password         bool
		SSH              []struct{ ID string } `json:"ssh_keys"`
		Services         []struct{ ID string } `json:"service_credentials"`
		Certificates     []struct{ ID string } `json:"signing_certificates"`
	}
	actiontest.Unmarshal(t, p.Snapshot, &got)
	if len(got.Groups) != 1 || len(got.Attached) != 1 || len(got.MFA) != 1 || len(got.Keys) != 2 || !got.Password || len(got.SSH) != 1 || len(got.Services) != 1 || len(got.Certificates) != 1 {
		t.Errorf("snapshot %s", p.Snapshot)
	}
	facts := ""
	for _, f := range p.Facts {
		facts += f.Label + " " + f.Text + "\n"
	}
	actiontest.HasWords(t, facts, "devs", actiontest.FirstKey+" active, never used", "Console password set", "mfa/alice", "AdministratorAccess")

	if d := cmp.Diff([]string{"deny", "tag"}, actiontest.StepIDs(w.quarantine(map[string]string{"mode": "iam-only"}).Plan())); d != "" {
		t.Errorf("IAM only: %s", d)
	}
}

// The deny has no issue time to compare: keys and derived sessions both die.
func TestQuarantineStopsKeysAndDerivedSessions(t *testing.T) {
	w := userWorld(t)
	key := w.KeySession(actiontest.FirstKey)
	derived := key.SessionToken()
	p := w.Plan()
	actiontest.AllApplied(t, w.ApplySteps([]actions.Step{actiontest.StepOf(t, p, "tag"), actiontest.StepOf(t, p, "deny")}))
	for name, s := range map[string]*awsfake.Session{"the key": key, "a derived session": derived} {
		if ok, _ := s.Can("s3:GetObject", "arn:aws:s3:::b/k"); ok {
			t.Errorf("%s may still read", name)
		}
	}

	w = userWorld(t).quarantine(map[string]string{"mode": "iam-only"})
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.holdsAll(all)
	if ok, _ := w.KeySession(actiontest.FirstKey).Can("iam:GetUser", w.userARN()); ok {
		t.Error("iam-only: the key may still call IAM")
	}
	if ok, why := w.KeySession(actiontest.FirstKey).Can("s3:GetObject", "arn:aws:s3:::b/k"); !ok {
		t.Errorf("iam-only: %s", why)
	}
}

func TestQuarantineSecondRun(t *testing.T) {
	w := userWorld(t)
	actiontest.AllApplied(t, w.Contain())
	state := w.Snapshot()
	p := w.Plan()
	if d := cmp.Diff([]string{"deny", "tag"}, actiontest.StepIDs(p)); d != "" {
		t.Errorf("what is contained has other steps: %s", d)
	}
	n := w.Mutations()
	actiontest.AllApplied(t, w.ApplySteps(p.Steps))
	if d := cmp.Diff(state, w.Snapshot()); d != "" || w.Mutations() != n {
		t.Errorf("%d calls that write: %s", w.Mutations()-n, d)
	}
	// A key that was made since is contained, too.
	u := w.alice()
	u.Keys[1] = awsfake.AccessKey{ID: "AKIA0000000000000003"}
	w.Account(actiontest.Member).AddUser(u)
	if d := cmp.Diff([]string{"deny", "tag", "key AKIA0000000000000003"}, actiontest.StepIDs(w.Plan())); d != "" {
		t.Error(d)
	}
}

func TestQuarantineWithFullQuotas(t *testing.T) {
	w := userWorld(t, tenUserPolicies)
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.holdsAll(all)
	if got := w.alice(); len(got.Attached) != 10 || !strings.Contains(got.Inline[actiontest.FullQuarantine], "Deny") {
		t.Errorf("%v %v", got.Attached, got.Inline)
	}
	if w := all[0].Effect.Wrote; w == nil || !strings.Contains(*w, "Deny") {
		t.Errorf("the ledger does not say that it is inline: %v", w)
	}

	// No room for a policy: the permissions boundary needs none.
	for name, limits := range map[string]string{"": "", "limited": "arn:aws:iam::222222222222:policy/limits"} {
		w = userWorld(t, tenUserPolicies, fullInline, func(u *awsfake.User) { u.Boundary = limits })
		w.AddPolicy("arn:aws:iam::222222222222:policy/limits", actiontest.AllowIAM)
		before := w.Snapshot()
		if p := w.Plan(); p.Replaces != limits || strings.Contains(strings.Join(p.Warnings, " "), "AWSDenyAll takes its place") != (limits != "") {
			t.Errorf("%s: the card says %q, %q", name, p.Replaces, p.Warnings)
		}
		all := w.Contain()
		actiontest.AllApplied(t, all)
		w.holdsAll(all)
		if b := w.alice().Boundary; b != "arn:aws:iam::aws:policy/AWSDenyAll" {
			t.Fatalf("%s: boundary %q", name, b)
		}
		if limits != "" { // it was altered meanwhile: it may allow more than then
			w.AddPolicy(limits, actiontest.AllowAll)
			if r := w.Undo(all)["deny"]; r.Holds || !strings.Contains(r.Found, "has changed") {
				t.Errorf("%s: %+v", name, r)
			}
			continue
		}
		w.Undo(all)
		if got := w.alice(); got.Boundary != "" || cmp.Diff(before.Accounts[actiontest.Member].Users["alice"].Inline, got.Inline) != "" {
			t.Errorf("%s: %+v", name, got)
		}
	}

	// No place at all: the rest still contains, and the error says what to do.
	w = userWorld(t, tenUserPolicies, fullInline)
	w.Fault(awsfake.Fault{Op: "iam:PutUserPermissionsBoundary", Err: actiontest.Denied})
	for _, d := range w.Contain() {
		if d.Step.ID != "deny" {
			if d.Err != nil {
				t.Errorf("%s: %v", d.Step.ID, d.Err)
			}
			continue
		}
		actiontest.WantCode(t, d.Err, "LimitExceeded")
		cause, hint := actions.Explain(d.Err)
		actiontest.HasWords(t, cause+hint, "inline policies fill their quota", "PoliciesPerUser", "apply_scp")
	}
	if !w.alice().Keys[0].Inactive {
		t.Error("the keys wait for the deny")
	}
}

// Somebody made a policy of our name that allows: attached, it would help him.
func TestPermissivePolicyOfOurName(t *testing.T) {
	w := userWorld(t)
	arn := w.policyARN(actiontest.FullQuarantine)
	w.AddPolicy(arn, actiontest.Permissive)
	p := w.Plan()
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "says something else", "put inline", "killswitch template members", "Allow")
	all := w.ApplySteps(p.Steps)
	actiontest.AllApplied(t, all)
	w.holdsAll(all)
	if got := w.alice(); slices.Contains(got.Attached, arn) || got.Inline[actiontest.FullQuarantine] == "" {
		t.Errorf("%v %v", got.Attached, got.Inline)
	}

	// One that holds the same key twice is not ours.
	w = userWorld(t)
	w.AddPolicy(arn, `{"Version":"2012-10-17","Statement":[{"Sid":"KillSwitchQuarantine","Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*"}]}`)
	actiontest.AllApplied(t, w.Contain())
	if slices.Contains(w.alice().Attached, arn) {
		t.Error("a document with two effects was taken for ours")
	}

	// Ours is replaced after it was attached: the deny is no longer in force, and comes back inline.
	w = userWorld(t)
	all = w.Contain()
	actiontest.AllApplied(t, all)
	w.AddPolicy(arn, actiontest.Permissive)
	r, err := w.Act.Verify(t.Context(), w.Responder(), all[0].Step, all[0].Effect)
	actiontest.Must(t, err)
	if r.Holds {
		t.Fatal("attached, but permissive, and Verify says that it holds")
	}
	actiontest.HasWords(t, r.Found, "another managed policy")
	all[0] = w.ApplySteps([]actions.Step{all[0].Step})[0]
	actiontest.AllApplied(t, all)
	w.holdsAll(all)
	// Undo leaves neither.
	for id, r := range w.Undo(all) {
		if !r.Holds && id != "password" {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	if got := w.alice(); len(got.Inline) != 0 || len(got.Attached) != 1 {
		t.Errorf("left: %v %v", got.Attached, got.Inline)
	}
}

func undeployed(w *fixture) {
	for _, name := range []string{deny.FullQuarantine, deny.IAMQuarantine} {
		w.RemovePolicy(w.policyARN(name))
	}
}

// TestPolicyIsNotDeployed: the card says so, the deny is put inline, and no policy is made.
func TestPolicyIsNotDeployed(t *testing.T) {
	for mode, name := range map[string]string{"": deny.FullQuarantine, "iam-only": deny.IAMQuarantine} {
		w := userWorld(t)
		undeployed(w)
		w.quarantine(map[string]string{"mode": mode})
		actiontest.HasWords(t, strings.Join(w.Plan().Warnings, " "), name, "not deployed", "killswitch template members", "put inline")
		all := w.Contain()
		actiontest.AllApplied(t, all)
		w.holdsAll(all)
		if got := w.alice(); got.Inline[name] != deny.QuarantineDocument(name) || slices.Contains(got.Attached, w.policyARN(name)) {
			t.Errorf("%s: %v %v", name, got.Attached, got.Inline)
		}
		for _, c := range w.Calls() {
			if c.Op == "iam:CreatePolicy" || c.Err == "AccessDenied" {
				t.Errorf("%s: %s %s", name, c.Op, c.Err)
			}
		}
	}
}

// A name is taken on every path: the policy can be neither read nor deployed.
func TestPolicyOfOurNameElsewhere(t *testing.T) {
	w := userWorld(t)
	undeployed(w)
	w.AddPolicy("arn:aws:iam::222222222222:policy/x/killswitchquarantine", actiontest.Permissive)
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.holdsAll(all)
	if w.alice().Inline[actiontest.FullQuarantine] == "" {
		t.Error("no deny")
	}
}

// What was attached before is not ours to take away.
func TestQuarantineAttachedBefore(t *testing.T) {
	w := userWorld(t)
	actiontest.AllApplied(t, w.Contain())
	w = w.quarantine(nil)
	before := w.alice()
	s := actiontest.StepOf(t, w.Plan(), "deny")
	actiontest.HasWords(t, s.Current, "attached: Deny *")
	all := w.ApplySteps([]actions.Step{s})
	actiontest.AllApplied(t, all)
	if all[0].Effect.Changed {
		t.Error("changed")
	}
	if r := w.Undo(all)["deny"]; !r.Holds || r.Changed {
		t.Errorf("%+v", r)
	}
	if d := cmp.Diff(before, w.alice()); d != "" {
		t.Error(d)
	}
}

// TestAdministratorIsContainable: by people, with the name typed and one approval more, also where
// nobody can tell whether she is one.
func TestAdministratorIsContainable(t *testing.T) {
	for name, c := range map[string]struct {
		groups []string
		fault  error
		why    string
	}{
		"a member":  {[]string{"Admins", "devs"}, nil, "Admins, since when is not known"},
		"throttled": {[]string{"devs"}, actiontest.Throttling, "can't be read (Throttling"},
		"denied":    {[]string{"devs"}, actiontest.Denied, "can't be read (AccessDenied"},
	} {
		t.Run(name, func(t *testing.T) {
			w := userWorld(t, func(u *awsfake.User) { u.Groups = c.groups }).exempting("admins")
			w.Fault(awsfake.Fault{Op: "cloudtrail:LookupEvents", Err: actiontest.Denied}) // best effort: that it fails changes nothing
			if c.fault != nil {
				w.Fault(awsfake.Fault{Op: "iam:ListGroupsForUser", Err: c.fault})
			}
			before := w.Snapshot()
			no := w.refused()
			actiontest.HasWords(t, no.Reason, "alice", c.why, "one approval more")
			if no.Instead == nil || no.Instead.Options["confirm"] != "alice" {
				t.Fatalf("%+v", no)
			}
			if d := cmp.Diff(before, w.Snapshot()); d != "" {
				t.Error(d)
			}
			w.quarantine(map[string]string{"confirm": "alice"})
			if p := w.Plan(); !strings.Contains(p.Guarded, c.why) || w.Mutations() != 0 {
				t.Errorf("%q", p.Guarded)
			}
			all := w.Contain()
			actiontest.AllApplied(t, all)
			w.holdsAll(all)
		})
	}
	if p := userWorld(t).exempting("others").Plan(); p.Guarded != "" {
		t.Errorf("no administrator: %q", p.Guarded)
	}
	w := userWorld(t)
	w.Fault(awsfake.Fault{Op: "iam:ListGroupsForUser", Err: actiontest.Denied})
	p := w.Plan() // nobody is exempt
	if p.Guarded != "" || !strings.Contains(strings.Join(p.Warnings, " "), "groups (AccessDenied") {
		t.Errorf("%q, %q", p.Guarded, p.Warnings)
	}
	if _, err := actions.NewCall(actions.QuarantineUser, w.userARN(), map[string]string{"confirm": "bob"}, w.Org.Directory()); err == nil {
		t.Error("another name confirms")
	}
}

// Joining the group after it was planned is the attacker's way out: it changes nothing.
func TestJoinedTheAdminsMeanwhile(t *testing.T) {
	w := userWorld(t).exempting("admins")
	join := func() {
		u := w.alice()
		u.Groups = append(u.Groups, "admins")
		w.Account(actiontest.Member).AddUser(u)
	}
	all := w.Contain()
	actiontest.AllApplied(t, all)
	join()
	if d := cmp.Diff([]string{"deny", "tag"}, actiontest.StepIDs(w.brief())); d != "" {
		t.Error(d)
	}
	w = userWorld(t).exempting("admins")
	w.Plan()
	join()
	acct := w.Enter(actions.Responder, actions.PhasePlan)
	acct.Look = actions.LookSteps
	p, err := w.Act.Plan(t.Context(), acct, w.Call())
	actiontest.Must(t, err)
	if len(p.Steps) == 0 {
		t.Error("there is nothing to do any more")
	}
}

// A list of other credentials that fails does not hold up the containment; that
// of the access keys does.
func TestCredentialsThatCantBeListed(t *testing.T) {
	for op, what := range map[string]string{"iam:ListServiceSpecificCredentials": "service credentials", "iam:ListSigningCertificates": "signing certificates",
		"iam:ListSSHPublicKeys": "SSH public keys", "iam:GetLoginProfile": "console password"} {
		w := userWorld(t)
		w.Fault(awsfake.Fault{Op: op, Err: actiontest.Denied})
		p := w.Plan()
		actiontest.HasWords(t, strings.Join(p.Warnings, " "), what, "AccessDenied")
		if n := len(p.Steps); n != 7 {
			t.Errorf("%s: %d steps", op, n)
		}
		w.ClearFaults()
		actiontest.AllApplied(t, w.ApplySteps(p.Steps))
	}
	w := userWorld(t)
	w.Fault(awsfake.Fault{Op: "iam:ListAccessKeys", Err: actiontest.Denied})
	_, err := w.Act.Plan(t.Context(), w.Enter(actions.Responder, actions.PhasePlan), w.Call())
	actiontest.WantCode(t, err, "AccessDenied")
}

func TestQuarantineOfARecreatedUser(t *testing.T) {
	w := userWorld(t)
	p := w.Plan()
	all := w.ApplySteps(p.Steps)
	actiontest.AllApplied(t, all)
	w.anotherAlice()
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
	}
	if d := cmp.Diff(state, w.Snapshot()); d != "" {
		t.Error(d)
	}
	w.Account(actiontest.Member).DeleteUser("alice")
	actiontest.HasWords(t, w.refused().Reason, "no IAM user alice")
}

func TestPasswordStaysGone(t *testing.T) {
	w := userWorld(t)
	all := w.Contain()
	actiontest.AllApplied(t, all)
	r := w.Undo(all)["password"]
	if r.Holds || r.Changed {
		t.Errorf("%+v", r)
	}
	actiontest.HasWords(t, r.Found, "can't be restored", "new one")
	if !w.alice().Password.IsZero() {
		t.Error("there is a password again")
	}
}

func TestQuarantineKilledAfterAnyCall(t *testing.T) {
	for n, died := 1, true; died; n++ {
		w := userWorld(t, func(u *awsfake.User) { u.Password = time.Time{} }, userInline(actiontest.FullQuarantine, actiontest.Handwritten))
		before := w.users()
		died = w.Killed(n)
		if d := cmp.Diff(before, w.users()); d != "" {
			t.Errorf("killed at call %d:\n%s", n, d)
		}
		if !died && n < 10 {
			t.Errorf("only %d calls change something", n)
		}
	}
}

func TestQuarantineWithOneStepDenied(t *testing.T) {
	for op, failed := range map[string]int{"iam:TagUser": 1, "iam:UpdateAccessKey": 2, "iam:DeleteLoginProfile": 1, "iam:UpdateSSHPublicKey": 1, "iam:AttachUserPolicy": 0, "iam:GetPolicy": 0} {
		w := userWorld(t)
		w.Fault(awsfake.Fault{Op: op, Err: actiontest.Denied})
		n := 0
		for _, d := range w.Contain() {
			if d.Err != nil {
				n++
				actiontest.WantCode(t, d.Err, "AccessDenied")
			}
		}
		if n != failed {
			t.Errorf("%s denied: %d steps failed, want %d", op, n, failed)
		}
		if ok, _ := w.KeySession(actiontest.FirstKey).Can("s3:GetObject", "arn:aws:s3:::b/k"); ok {
			t.Errorf("%s denied: the key works", op)
		}
	}
	for _, op := range []string{"iam:AttachUserPolicy"} {
		w := userWorld(t)
		w.Fault(awsfake.Fault{Op: op, Err: actiontest.Throttling})
		for _, d := range w.Contain() {
			if d.Step.ID == "deny" && !actions.Transient(d.Err) {
				t.Errorf("%s throttled: %v, not worth another try", op, d.Err)
			}
		}
	}
}

// A session policy has room for the longest ARN that an attacker can give a user.
func TestLongestUser(t *testing.T) {
	path, name := "/"+strings.Repeat("p", 510)+"/", strings.Repeat("n", 64)
	w := userWorldAt(t, &actiontest.Clock{T: actiontest.Began}, "aws-us-gov", func(u *awsfake.User) { u.Path, u.Name = path, name })
	arn := "arn:aws-us-gov:iam::" + actiontest.Member + ":user" + path + name
	for _, c := range []actions.Call{
		{Action: actions.QuarantineUser, Target: arn, Account: actiontest.Member},
		{Action: actions.DeactivateKey, Target: actiontest.FirstKey, Account: actiontest.Member, Options: map[string]string{"quarantine": "yes"}},
	} {
		w.SetCall(c)
		all := w.Contain()
		actiontest.AllApplied(t, all)
		w.holdsAll(all)
		w.Undo(all)
	}
}

// A protected user is refused by its ARN, whatever the account in it.
func TestProtectedUser(t *testing.T) {
	w := userWorld(t)
	w.Org.ProtectedPrincipals = append(w.Org.ProtectedPrincipals, "arn:aws:iam::*:user/team/alice")
	if w.Org.RefuseIdentity(w.Plan().Identity, false) == nil {
		t.Error("not refused")
	}
}
