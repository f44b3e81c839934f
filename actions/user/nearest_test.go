package user_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

const usersOf = "arn:aws:iam::" + actiontest.Member + ":user"

func (w *fixture) quarantineOf(user string) *actions.Refusal {
	w.T.Helper()
	w.SetCall(actions.Call{Action: actions.QuarantineUser, Target: usersOf + user, Account: actiontest.Member, Options: map[string]string{"mode": deny.IAMOnly}})
	return w.refused()
}

// TestMissingUserNamesTheNearest, with the options that were typed.
func TestMissingUserNamesTheNearest(t *testing.T) {
	for typed, want := range map[string]struct{ reason, instead string }{
		"/alcie":       {"there is no IAM user alcie in account 222222222222; the nearest is alice or malice", "/team/alice"},
		"/Alice":       {"there is no IAM user Alice in account 222222222222; the nearest is alice or malice", "/team/alice"},
		"/bob":         {"there is no IAM user bob in account 222222222222", ""},
		"/other/alice": {"there is no IAM user " + usersOf + "/other/alice; the user alice in account 222222222222 is " + usersOf + "/team/alice", "/team/alice"},
	} {
		t.Run(typed, func(t *testing.T) {
			w := userWorld(t)
			w.Account(actiontest.Member).AddUser(awsfake.User{Name: "malice"})
			w.Account(actiontest.Member).AddUser(awsfake.User{Name: "alice,"})
			no := w.quarantineOf(typed)
			var meant *actions.Call
			if want.instead != "" {
				meant = &actions.Call{Action: actions.QuarantineUser, Target: usersOf + want.instead, Account: actiontest.Member, Options: map[string]string{"mode": deny.IAMOnly}}
			}
			if d := cmp.Diff(meant, no.Instead); no.Reason != want.reason || d != "" {
				t.Errorf("%q, want %q\n%s", no.Reason, want.reason, d)
			}
		})
	}
	t.Run("the listing is denied", func(t *testing.T) {
		w := userWorld(t)
		w.Fault(awsfake.Fault{Op: "iam:ListUsers", Err: actiontest.Denied})
		if no := w.quarantineOf("/alcie"); no.Reason != "there is no IAM user alcie in account 222222222222" || no.Instead != nil {
			t.Errorf("%+v", no)
		}
	})
}

// TestMissingKeyNamesNoOther: another key is none that was leaked.
func TestMissingKeyNamesNoOther(t *testing.T) {
	w := userWorld(t).onKey(actions.DeactivateKey, actiontest.FirstKey[:19]+"Z", nil)
	if no := w.refused(); no.Instead != nil {
		t.Errorf("instead %v", no.Instead)
	}
}
