package executor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestRenamedUserIsContained: an attacker renames the user after the plan, again after the run, and
// while it is in force. It keeps its ID.
func TestRenamedUserIsContained(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"quarantine_user prod/bernd stolen", "deactivate_key " + exposedKey + " quarantine=yes stolen"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, exposed)
			rename := func(from, to string) {
				u := w.aws.Snapshot().Accounts[prod].Users[from]
				w.aws.Account(prod).DeleteUser(from)
				u.Name = to
				w.aws.Account(prod).AddUser(u)
			}
			user := func(name string) awsfake.User { return w.aws.Snapshot().Accounts[prod].Users[name] }
			r := w.state(w.types(alice, command), approvals.Pending)
			rename("bernd", "mallory")
			r = w.state(w.clicks(bob, r, "approve"), approvals.Contained)
			if u := user("mallory"); len(u.Attached) == 0 || !u.Keys[0].Inactive {
				t.Errorf("%+v", u)
			}
			if strings.HasPrefix(command, "quarantine") {
				w.tells(r, "renamed")
			}
			rename("mallory", "eve")
			w.lookEvery(5*time.Second, 2*time.Minute)
			w.state(r, approvals.Contained)
			u := user("eve")
			u.Attached = nil
			w.aws.Account(prod).DeleteUser("eve")
			w.aws.Account(prod).AddUser(u)
			w.lookEvery(time.Minute, 20*time.Minute)
			if u := user("eve"); len(u.Attached) == 0 {
				t.Errorf("not denied again: %+v", u)
			}
			w.state(r, approvals.Contained)
			w.undo(r)
			if u := user("eve"); len(u.Attached) > 0 || len(u.Tags) > 0 {
				t.Errorf("not undone: %+v", u)
			}
		})
	}
}
