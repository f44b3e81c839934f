package approvals_test

import (
	"reflect"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals"
)

func offerOf(n actions.Name, target string) approvals.Offer {
	return approvals.Offer{Intent: approvals.Intent{Call: actions.Call{Action: n, Target: target}}, Why: "GuardDuty: " + target}
}

// TestRequestOffersTheGentlerAction: it is offered for the same target, and where an
// action has none, and for an undo, there is no offer.
func TestRequestOffersTheGentlerAction(t *testing.T) {
	const id = "KS-4G7QX2M9ZT0B"
	org := actions.Org{Actions: all.Actions}
	c := actions.Call{Action: actions.IsolateInstance, Target: "i-0abc", Account: "111122223333", Region: "eu-west-1", Options: map[string]string{"mode": "deny"}}
	for _, a := range all.Actions {
		c.Action = a.Spec().Name
		var want approvals.Offers
		if gentler := a.Spec().Alternative; gentler != "" {
			want = approvals.Offers{{Intent: approvals.Intent{Call: actions.Call{Action: gentler, Target: c.Target, Account: c.Account, Region: c.Region}}, Why: "instead of " + id}}
		}
		if more := a.Spec().More; more != nil {
			want = append(want, approvals.Offer{Intent: approvals.Intent{Call: c.With("stop", "yes")}, Why: "beside " + id + ", for more", Beside: true})
		}
		if got := approvals.RequestOffers(id, approvals.Intent{Call: c}, org); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", c.Action, got, want)
		}
		if got := approvals.RequestOffers(id, approvals.Intent{Call: c, Undo: id}, org); got != nil {
			t.Errorf("an undo of %s: %+v", c.Action, got)
		}
	}
	c.Action = "no_such_action"
	if got := approvals.RequestOffers(id, approvals.Intent{Call: c}, org); got != nil {
		t.Errorf("an action that there is not: %+v", got)
	}
}

// TestRequestOffersMore: what does more than what is in force; not what is in force itself.
func TestRequestOffersMore(t *testing.T) {
	org := actions.Org{Actions: all.Actions}
	c := actions.Call{Action: actions.IsolateInstance, Target: "arn:aws:ec2:eu-west-1:111122223333:instance/i-0abc", Options: map[string]string{"snapshot": "yes"}}
	got := approvals.RequestOffers("KS-4G7QX2M9ZT0B", approvals.Intent{Call: c}, org)
	if len(got) != 1 || !got[0].Beside || got[0].Intent.Call.Options["stop"] != "yes" || got[0].Intent.Call.Options["snapshot"] != "yes" || c.Options["stop"] != "" {
		t.Errorf("%+v of %+v", got, c)
	}
	if got := approvals.RequestOffers("KS-4G7QX2M9ZT0B", approvals.Intent{Call: got[0].Intent.Call}, org); len(got) != 0 {
		t.Errorf("beside itself: %+v", got)
	}
}

// TestRequestOffersTheStrongerAction: from outside the account, where an account for that is known and
// the target may be denied; never for a whole account.
func TestRequestOffersTheStrongerAction(t *testing.T) {
	const id, account = "KS-4G7QX2M9ZT0B", "111122223333"
	role := "arn:aws:iam::" + account + ":role/app"
	org := actions.Org{Actions: all.Actions, Partition: "aws", ManagementAccount: "999999999999", ResponderRole: "killswitch-responder"}
	for _, tt := range []struct {
		name    string
		call    actions.Call
		alter   func(*actions.Org)
		offered bool
	}{
		{"sessions of a role", actions.Call{Action: actions.RevokeSessions, Target: role, Account: account}, nil, true},
		{"a strip", actions.Call{Action: actions.DetachPolicies, Target: role, Account: account}, nil, true},
		{"a user", actions.Call{Action: actions.QuarantineUser, Target: "arn:aws:iam::" + account + ":user/eve", Account: account}, nil, true},
		{"by the policy account", actions.Call{Action: actions.DetachPolicies, Target: role, Account: account}, func(o *actions.Org) { o.ManagementAccount, o.PolicyAccount = "", "888888888888" }, true},
		{"no account for policies", actions.Call{Action: actions.DetachPolicies, Target: role, Account: account}, func(o *actions.Org) { o.ManagementAccount = "" }, false},
		{"in the management account", actions.Call{Action: actions.DetachPolicies, Target: role, Account: account}, func(o *actions.Org) { o.ManagementAccount = account }, false},
		{"all roles", actions.Call{Action: actions.RevokeSessions, Target: account + "/ALL", Account: account}, nil, false},
		{"a key", actions.Call{Action: actions.DeactivateKey, Target: "AKIAIOSFODNN7EXAMPLE", Account: account}, nil, false},
	} {
		o := org
		if tt.alter != nil {
			tt.alter(&o)
		}
		got := approvals.RequestOffers(id, approvals.Intent{Call: tt.call}, o)
		if !tt.offered {
			if got != nil {
				t.Errorf("%s: %+v", tt.name, got)
			}
			continue
		}
		if len(got) != 1 || !got[0].Beside || got[0].Intent.Call.Action != actions.DenyPrincipal || got[0].Intent.Call.Target != tt.call.Target || got[0].Intent.Call.Options != nil {
			t.Errorf("%s: %+v", tt.name, got)
		}
	}
}

// TestOfferButtonsAskForTheirOffers: each button's action_id asks for its offer, and
// only buttons of one action are numbered.
func TestOfferButtonsAskForTheirOffers(t *testing.T) {
	os := approvals.Offers{offerOf(actions.DeactivateKey, "a"), offerOf(actions.RevokeSessions, "r"), offerOf(actions.DeactivateKey, "b")}
	ids := os.Buttons()
	if d := cmp.Diff([]string{"propose:deactivate_key:1", "propose:revoke_sessions", "propose:deactivate_key:2"}, ids); d != "" {
		t.Error(d)
	}
	for i, o := range os {
		got, ok := os.ByDigest(approvals.IntentDigest(o.Intent))
		if !ok || !reflect.DeepEqual(got, o) || !got.AskedBy(ids[i]) {
			t.Errorf("%s: %+v, %t", ids[i], got, ok)
		}
	}
	if o, ok := os.ByButton("propose:revoke_sessions"); !ok || !reflect.DeepEqual(o, os[1]) {
		t.Errorf("%+v, %t", o, ok)
	}
	if _, ok := os.ByDigest(approvals.IntentDigest(approvals.Intent{})); ok {
		t.Error("there is an offer of nothing")
	}
}

// TestOfferIsAskedByItsButtonsAlone: of suffixes a button has a number from 1 to 99 or
// none.
func TestOfferIsAskedByItsButtonsAlone(t *testing.T) {
	o := offerOf(actions.RevokeSessions, "r")
	for id, want := range map[string]bool{
		"propose:revoke_sessions": true, "propose:revoke_sessions:1": true, "propose:revoke_sessions:99": true,
		"": false, "ack": false, "propose:": false, "revoke_sessions": false, "propose:delete_role": false, "propose:revoke_sessions_all": false,
		"propose:revoke_sessions:": false, "propose:revoke_sessions:0": false, "propose:revoke_sessions:01": false, "propose:revoke_sessions:100": false,
		"propose:revoke_sessions:x": false, "propose:revoke_sessions:1:1": false, "propose:revoke_sessions:1\n": false, " propose:revoke_sessions": false,
	} {
		if o.AskedBy(id) != want {
			t.Errorf("%q: %t, want %t", id, !want, want)
		}
		if _, ok := (approvals.Offers{o}).ByButton(id); ok != want {
			t.Errorf("%q found: %t, want %t", id, ok, want)
		}
	}
}
