package approvals_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestIntentIsReadAsItIsShown: the text of a card's block "call" parses to its intent, and
// the line that a card shows to ask again is taken when it is typed.
func TestIntentIsReadAsItIsShown(t *testing.T) {
	const id, reason = "KS-4G7QX2M9ZT0B", `he's "in", they say: keys=all reason=none “so”`
	d := actions.Directory{Actions: all.Actions, Partition: "aws", Accounts: map[string]string{"prod": "222222222222"}}
	for _, a := range all.Actions {
		call, _, err := actions.Parse(a.Spec().Usage, d)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range []approvals.Intent{{Call: call}, {Call: call, Undo: id}, {Call: call, Undo: id, ReactivateKeys: true}} {
			got, err := approvals.ParseIntent(i.String(), d)
			if diff := cmp.Diff(i, got); diff != "" || err != nil {
				t.Errorf("%s: %v %s", i, err, diff)
			}
			c, err := approvals.ParseCommand(i.Line(approvals.AgainReason(id, approvals.Run{Outcome: approvals.Expired}, reason)), d)
			if err != nil {
				t.Errorf("%s: %v", i.Line(reason), err)
				continue
			}
			if c.ID != i.Undo || c.ReactivateKeys != i.ReactivateKeys || i.Undo == "" && !c.Call.Equal(call) || !approvals.SameWords(c.Reason, "again ("+id+" expired): "+reason) {
				t.Errorf("%s: %+v", i.Line(reason), c)
			}
		}
	}
	for _, text := range []string{"", "undo", "undo " + id, "undo KS-1: revoke_sessions prod/app-role", "list", "deny " + id + ": revoke_sessions prod/app-role"} {
		if i, err := approvals.ParseIntent(text, d); err == nil {
			t.Errorf("%q: %+v", text, i)
		}
	}
}

// TestReasonOfAskingAgain: it says how the request before ended and who denied it, and does
// not grow.
func TestReasonOfAskingAgain(t *testing.T) {
	first := approvals.AgainReason("KS-4G7QX2M9ZT0B", approvals.Run{Outcome: approvals.Expired}, "keys on a paste site")
	denied := approvals.Run{Outcome: approvals.Denied, Withdrawn: &approvals.Vote{Actor: approvals.Actor{Person: "carol"}}}
	if got := approvals.AgainReason("KS-0000000000AB", denied, first); got != "again (KS-0000000000AB denied by carol): keys on a paste site" {
		t.Error(got)
	}
	denied.Withdrawn.Person = "" // not proved
	if got := approvals.AgainReason("KS-0000000000AB", denied, strings.Repeat("ö", actions.MaxReason)); !strings.HasPrefix(got, "again (KS-0000000000AB denied): ö") || len([]rune(got)) != actions.MaxReason {
		t.Error(got)
	}
}
