package executor_test

import (
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestAdministratorTakesOneApprovalMore: a compromised administrator is containable, by people alone,
// and by no more of them than there are.
func TestAdministratorTakesOneApprovalMore(t *testing.T) {
	t.Parallel()
	admin := func(w *world) {
		w.cfg.Org.AdminGroup = "admins"
		u := awsfake.User{Name: "bernd", Inline: map[string]string{"all": allPolicy}, Groups: []string{"admins"}, Keys: []awsfake.AccessKey{{ID: exposedKey}}}
		w.aws.Account(prod).AddUser(u)
	}
	w := newWorld(t, admin)
	w.refused(w.types(alice, "quarantine_user prod/bernd stolen"), "one approval more")
	w.untouched()
	r := w.state(w.types(alice, "quarantine_user prod/bernd confirm=bernd stolen"), approvals.Pending)
	if p := w.planned(r); p.Policy.Approvals != 2 || !strings.Contains(strings.Join(p.Plan.Warnings, " "), "One approval more than usual: bernd is a member of the admin group admins") {
		t.Errorf("%+v, %q", p.Policy, p.Plan.Warnings)
	}
	w.state(w.clicks(bob, r, "approve"), approvals.Pending)
	w.state(w.clicks(carol, r, "approve"), approvals.Contained)
	if !w.bernd().Keys[0].Inactive {
		t.Error("it is not contained")
	}

	w = newWorld(t, admin, func(w *world) { w.cfg.Policy.Roster.Groups["responders"] = []string{"alice", "bob"} })
	r = w.state(w.types(alice, "quarantine_user prod/bernd confirm=bernd stolen"), approvals.Pending)
	w.state(w.clicks(bob, r, "approve"), approvals.Contained)
}
