package local_test

import (
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// userBernd is the user whose key is exposed, as it is now.
func (w *world) userBernd() awsfake.User { return w.aws.Snapshot().Accounts[prod].Users["bernd"] }

// TestUndoPutsGrantBackTold: what undo would put back on a user is told where it
// allows something, to who approves the undo and to who approved the containment.
func TestUndoPutsGrantBackTold(t *testing.T) {
	w := newWorld(t, func(w *world) {
		exposed(w)
		u := w.userBernd()
		u.Inline["KillSwitchQuarantine"] = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"s3:PutObject","Resource":"arn:aws:s3:::` +
			strings.Repeat("a", 200) + `"},{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`
		for _, p := range []string{"A", "B", "C", "D", "E", "F", "G", "H", "I", "J"} {
			arn := "arn:aws:iam::" + prod + ":policy/" + p
			w.aws.AddPolicy(arn, allowS3)
			u.Attached = append(u.Attached, arn)
		}
		w.aws.Account(prod).AddUser(u)
	})
	warned := func(id string) {
		t.Helper()
		p, err := approvals.Runs{Reader: w.Runs}.Planned(t.Context(), id)
		w.must(err)
		if all := strings.Join(p.Plan.Warnings, "\n"); !strings.Contains(all, "iam:*") {
			t.Errorf("warnings of %s: %q\ninline now: %v", id, all, w.userBernd().Inline)
		}
	}
	r := w.contained("quarantine_user prod/bernd stolen")
	warned(r.ID)
	w.clicks("U03CAROL", w.again(r), "undo")
	u := w.state(w.undoOf(r), approvals.Pending)
	warned(u.ID)
}
