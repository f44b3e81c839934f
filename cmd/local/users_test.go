package local_test

import (
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestUndoneAndJoinedTheAdmins: whoever takes the deny off and puts the user among
// the exempt does not keep the re-checks from applying it again.
func TestUndoneAndJoinedTheAdmins(t *testing.T) {
	t.Parallel()
	var before awsfake.User
	w := newWorld(t, func(w *world) {
		w.cfg.Org.AdminGroup = "admins"
		populateUser(w, func() bool { return false })
		before = w.aws.Snapshot().Accounts[prod].Users["bernd"]
	})
	r := w.asks("U01ALICE", "quarantine_user prod/bernd stolen")
	w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
	w.state(r, approvals.Contained)
	before.Groups = append(before.Groups, "admins")
	w.aws.Account(prod).AddUser(before)
	w.pass(2 * time.Minute)
	w.state(r, approvals.Contained)
	if ok, _ := w.aws.KeySession(exposedKey).Can("s3:GetObject", "arn:aws:s3:::secrets/key"); ok {
		t.Error("the attacker can read secrets again")
	}
	run, err := w.zones.Bot.Runs.Run(t.Context(), r.ID)
	w.must(err)
	if len(run.Tampering) == 0 || !run.Tampering[0].Reapplied {
		t.Errorf("nobody is told: %+v", run.Tampering)
	}
}

// TestUserDeletedAfterItsKey: a key that went with its user stays contained.
func TestUserDeletedAfterItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	r := w.asks("U01ALICE", "deactivate_key "+exposedKey+" stolen")
	w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
	w.state(r, approvals.Contained)
	w.aws.Account(prod).DeleteUser("bernd")
	w.pass(5 * time.Minute)
	w.state(r, approvals.Contained)
	run, err := w.zones.Bot.Runs.Run(t.Context(), r.ID)
	w.must(err)
	if run.Unread != 0 || len(run.Tampering) != 0 || run.Checks != 3 {
		t.Errorf("%+v", run)
	}
}
