package actions_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// Documents that stop nothing are refused.
func TestFreezeThatStopsNothing(t *testing.T) {
	o := testOrg("aws")
	check := func(scope string) *actions.Refusal {
		_, no := actions.CheckSCP(o, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny",`+scope+`,"Condition":`+exempting+`}]}`)
		return no
	}
	for _, scope := range []string{
		`"NotAction":"*","Resource":"*"`,
		`"NotAction":["s3:Get*","*"],"Resource":"*"`,
		`"Action":"*","NotResource":"*"`,
		`"Action":"*","NotResource":["arn:aws:s3:::b","*"]`,
		`"Action":"*","NotResource":"**"`,
		`"Action":"*","NotResource":"*:*"`,
		`"Action":"*","NotResource":"?*"`,
		`"Action":"*","NotResource":"arn"`,
		`"Action":"*","NotResource":"arn:*"`,
		`"Action":"*","NotResource":"arn:aws:*:*:*:*"`,
		`"Action":"*","NotResource":["arn:aws:*::*:*","arn:aws:*:*-*:*:*","arn:aws:*:?*:*:*"]`,
		`"Action":"*","NotResource":["arn:aws:*:*:${aws:PrincipalAccount}:*","arn:aws:*:::*"]`,
		`"Action":"*","NotResource":"arn:aws:*:*:${aws:ResourceAccount}*:*"`,
	} {
		no := check(scope)
		if no == nil {
			t.Errorf("%s is taken", scope)
			continue
		}
		says(t, no.Reason, "statement 1", "would stop nothing")
	}
	for _, scope := range []string{
		`"NotAction":["s3:*","iam:*"],"Resource":"*"`,
		`"Action":"*","NotResource":"arn:aws:s3:::*"`,
		`"Action":"*","NotResource":["arn:aws:iam::*:role/forensics","arn:aws:s3:::${aws:PrincipalAccount}-evidence/*"]`,
		`"Action":"s3:*","NotResource":"arn:aws:*:*:333333333333:*"`,
	} {
		if no := check(scope); no != nil {
			t.Errorf("%s: %v", scope, no)
		}
	}
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

// renamed gives alice another name, as UpdateUser does: the same ID, and all she has.
func (w *world) renamed(name string) {
	u := w.alice()
	u.Name = name
	w.Account(member).DeleteUser("alice")
	w.Account(member).AddUser(u)
}

// A user that was renamed still has its keys: neither their deletion nor their
// deactivation is claimed, before or after it was applied.
func TestRenamedUserKeepsItsKeys(t *testing.T) {
	for name, alter := range map[actions.Name]func(*awsfake.User){actions.DeleteKey: inactive, actions.DeactivateKey: func(*awsfake.User) {}} {
		w := userWorld(t, alter).onKey(name, firstKey, nil)
		s := w.plan().Steps[0]
		w.renamed("mallory")
		state := w.Snapshot()
		_, applied := w.act.Apply(t.Context(), w.responder(), s, w.run())
		r, read := w.act.Verify(t.Context(), w.responder(), s, actions.Effect{Prior: s.Prior})
		for _, err := range []error{applied, read} {
			if err == nil || r.Holds {
				t.Fatalf("%s: done, says Apply or Verify: %v, %+v", name, err, r)
			}
			cause, hint := actions.Explain(err)
			says(t, cause, "no user alice", "deleted", "renamed", s.ResourceID)
			says(t, hint, firstKey, "mallory")
		}
		if d := cmp.Diff(state, w.Snapshot()); d != "" {
			t.Error(d)
		}
		// The next look finds the key's user again.
		all := w.take(w.brief().Steps)
		if len(all) != 1 || !strings.HasSuffix(all[0].step.Resource, "/mallory") || all[0].step.Hold != s.Hold {
			t.Errorf("%s: %+v", name, all)
		}
	}
}

// A quarantine of a user that was renamed, and what stands of it, is not taken
// for one of a user that is gone.
func TestRenamedUserIsNotQuarantined(t *testing.T) {
	w := userWorld(t)
	all := w.contain()
	clean(t, all)
	w.renamed("mallory")
	for _, d := range all {
		_, applied := w.act.Apply(t.Context(), w.responder(), d.step, w.run())
		r, read := w.act.Verify(t.Context(), w.responder(), d.step, d.effect)
		if applied == nil || read == nil || r.Holds {
			t.Errorf("%s: %v, %+v, %v", d.step.ID, applied, r, read)
		}
	}
	state := w.Snapshot()
	for id, r := range w.back(all) { // the deny is on her, by whatever name
		if r.Holds || r.Changed {
			t.Errorf("Revert %s: %+v", id, r)
		}
		if id == "deny" {
			says(t, r.Found, "no user alice", "renamed", all[0].step.ResourceID)
		}
	}
	if d := cmp.Diff(state, w.Snapshot()); d != "" {
		t.Error(d)
	}
}

// Of a user that is deleted, the keys are known to be gone; of the rest nothing is.
func TestDeletedUserOfAQuarantine(t *testing.T) {
	w := userWorld(t)
	all := w.contain()
	clean(t, all)
	w.Account(member).DeleteUser("alice")
	for _, d := range all {
		r, err := w.act.Verify(t.Context(), w.responder(), d.step, d.effect)
		if want := strings.HasPrefix(d.step.ID, "key "); r.Holds != want || (err == nil) != want {
			t.Errorf("%s: %+v, %v", d.step.ID, r, err)
		}
	}
}

// Whose a key is must be known for that: a no from AWS proves nothing.
func TestKeyOfANamelessUserUnknown(t *testing.T) {
	w := userWorld(t, inactive).onKey(actions.DeleteKey, firstKey, nil)
	s := w.plan().Steps[0]
	w.Account(member).DeleteUser("alice")
	w.Fault(awsfake.Fault{Op: "iam:GetAccessKeyLastUsed", Err: denied})
	_, err := w.act.Apply(t.Context(), w.responder(), s, w.run())
	wantCode(t, err, "AccessDenied")
	r, err := w.act.Verify(t.Context(), w.responder(), s, actions.Effect{Prior: s.Prior})
	wantCode(t, err, "AccessDenied")
	if r.Holds {
		t.Errorf("%+v", r)
	}
}
