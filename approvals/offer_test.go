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
	c := actions.Call{Action: actions.IsolateInstance, Target: "i-0abc", Account: "111122223333", Region: "eu-west-1", Options: map[string]string{"mode": "deny"}}
	for _, a := range all.Actions {
		c.Action = a.Spec().Name
		var want approvals.Offers
		if gentler := a.Spec().Alternative; gentler != "" {
			want = approvals.Offers{{Intent: approvals.Intent{Call: actions.Call{Action: gentler, Target: c.Target, Account: c.Account, Region: c.Region}}, Why: "instead of " + id}}
		}
		if got := approvals.RequestOffers(id, approvals.Intent{Call: c}, all.Actions.Lookup); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", c.Action, got, want)
		}
		if got := approvals.RequestOffers(id, approvals.Intent{Call: c, Undo: id}, all.Actions.Lookup); got != nil {
			t.Errorf("an undo of %s: %+v", c.Action, got)
		}
	}
	c.Action = "no_such_action"
	if got := approvals.RequestOffers(id, approvals.Intent{Call: c}, all.Actions.Lookup); got != nil {
		t.Errorf("an action that there is not: %+v", got)
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
