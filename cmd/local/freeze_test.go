package local_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// inOrganization makes prod and sandbox members of an organization, whose
// management account has the member roles with what the freeze says it needs.
func inOrganization(alter ...func(*awsfake.Organization)) func(*world) {
	return func(w *world) {
		org := w.cfg.Org
		o := awsfake.Organization{Management: org.ManagementAccount, Accounts: []awsfake.OrgAccount{{ID: prod, Name: "Production"}, {ID: "333333333333", Name: "Sandbox"}}}
		for _, f := range alter {
			f(&o)
		}
		w.aws.Organize(o)
		freeze, ok := all.Actions.Lookup(actions.ApplySCP)
		if !ok {
			w.t.Fatal("apply_scp is not registered")
		}
		policy := func(phases ...actions.Phase) string {
			var ss []string
			for _, p := range phases {
				for _, s := range freeze.Spec().Permits(p, actions.Anything(org)) {
					ss = append(ss, fmt.Sprintf(`{"Effect":"Allow","Action":["%s"],"Resource":["%s"]}`, strings.Join(s.Actions, `","`), strings.Join(s.Resources, `","`)))
				}
			}
			return `{"Version":"2012-10-17","Statement":[` + strings.Join(ss, ",") + `]}`
		}
		w.aws.Member(org.ManagementAccount, awsfake.MemberRoles{Responder: org.ResponderRole, Restorer: org.RestorerRole, ExternalID: org.ExternalID,
			ResponderPolicy: policy(actions.PhasePlan, actions.PhaseRun), RestorerPolicy: policy(actions.PhaseUndo)})
	}
}

func (w *world) canRead() bool {
	ok, _ := w.aws.Session(appRole, "attacker").Can("s3:GetObject", "arn:aws:s3:::secrets/key")
	return ok
}

// Two requests freeze one account: it thaws with the last of them.
func TestFreezeAndUndo(t *testing.T) {
	w := newWorld(t, inOrganization())
	w.aws.SetPropagation(4 * time.Second)
	before := w.aws.Snapshot()
	var requests []approvals.Request
	for _, reason := range []string{"somebody makes users", "and instances"} {
		r := w.asks("U01ALICE", `apply_scp prod reason="`+reason+`"`)
		w.state(r, approvals.Pending)
		w.clicks("U02BOB", w.again(r), "approve")
		requests = append(requests, w.state(r, approvals.Contained))
		w.pass(2 * time.Minute)
	}
	if w.canRead() {
		t.Error("the account is frozen, and the attacker reads on")
	}
	for i, r := range requests {
		w.clicks("U03CAROL", r, "undo")
		u := w.undoOf(r)
		w.clicks("U01ALICE", w.again(u), "approve")
		w.state(u, approvals.Restored)
		w.pass(time.Minute)
		if last := i == len(requests)-1; w.canRead() != last {
			t.Errorf("after undo %d: the account is frozen: %t", i+1, last)
		}
	}
	if d := diffState(before, w.aws.Snapshot()); d != "" {
		t.Errorf("not as before: %s", d)
	}
	t.Log(w.said())
}

func TestFreezeWithoutRoom(t *testing.T) {
	w := newWorld(t, inOrganization(func(o *awsfake.Organization) { o.SCPQuota = 1 }))
	before := w.aws.Snapshot()
	r := w.asks("U01ALICE", `apply_scp prod reason="somebody makes users"`)
	w.clicks("U02BOB", w.again(r), "approve")
	r = w.state(r, approvals.Failed)
	if !strings.Contains(r.Why, "ConstraintViolationException") || !strings.Contains(r.Hint, "detach one of") {
		t.Errorf("why %q, hint %q", r.Why, r.Hint)
	}
	if d := diffState(before, w.aws.Snapshot()); d != "" {
		t.Errorf("left behind: %s", d)
	}
}

func TestManagementAccountIsNotFrozen(t *testing.T) {
	w := newWorld(t, inOrganization())
	before := w.aws.Snapshot()
	w.types("U01ALICE", `apply_scp 999999999999 reason="somebody makes users"`)
	w.drain()
	w.told("U01ALICE", "management account")
	if d := diffState(before, w.aws.Snapshot()); d != "" {
		t.Error(d)
	}
}
