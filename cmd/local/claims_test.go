package local_test

import (
	"strings"
	"testing"
	"time"

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

// TestUndoneClaim: where undo leaves a step as it is, card and thread say so, and
// not that what stood before stands again.
func TestUndoneClaim(t *testing.T) {
	w := newWorld(t, exposed)
	r := w.contained("quarantine_user prod/bernd stolen")
	w.pass(3 * time.Minute)
	u := w.undo(r)
	if said := w.said(); w.userBernd().Keys[0].Inactive && strings.Contains(said, "what stood before stands again") {
		t.Error("the key is inactive, and the card says that what stood before stands again")
	}
	w.shows(w.again(r), "what could be taken back is back; 1 step stays: ")
	w.shows(w.again(u), "what could be taken back is back and was read back; 1 step stays: ")
}

// TestUndoneClaimHeld: the same, where another request holds the deny.
func TestUndoneClaimHeld(t *testing.T) {
	w := newWorld(t)
	first := w.contained(command)
	w.pass(3 * time.Minute)
	second := w.contained(anotherCommand)
	w.pass(3 * time.Minute)
	w.undo(first)
	w.state(second, approvals.Contained)
	if said := w.said(); w.policy("app-role") != "" && strings.Contains(said, "what stood before stands again") {
		t.Error("the deny is there, and the card says that what stood before stands again")
	}
	w.shows(w.again(first), "2 steps stay: "+second.ID+" holds it too")
}

// TestUndoneClaimWhole: where nothing stays, that is said.
func TestUndoneClaimWhole(t *testing.T) {
	w := newWorld(t)
	r := w.contained(command)
	w.pass(3 * time.Minute)
	w.undo(r)
	w.shows(w.again(r), "what stood before stands again")
}

// TestFreezeTellsOfExemptNames: a principal of an exempt name is not stopped, and
// it may be the attacker's.
func TestFreezeTellsOfExemptNames(t *testing.T) {
	for _, line := range []string{"apply_scp prod stolen", "revoke_sessions prod/ALL via=scp stolen"} {
		var s *awsfake.Session
		w := newWorld(t, func(w *world) {
			populate(w, 3)
			s = w.aws.Session(w.aws.Account(prod).AddRole(awsfake.Role{Name: "break-glass", Inline: map[string]string{"all": allPolicy}}), "attacker")
		})
		r := w.contained(line)
		p, err := approvals.Runs{Reader: w.Runs}.Planned(t.Context(), r.ID)
		w.must(err)
		told := strings.Join(p.Plan.Residual, "\n")
		if ok, _ := s.Can("s3:GetObject", "arn:aws:s3:::secrets/key"); !ok {
			t.Errorf("%s: the exempt role is stopped", line)
		}
		if !strings.Contains(told, "xempt") || !strings.Contains(told, "role/break-glass") {
			t.Errorf("%s: the attacker's break-glass role works on; residual:\n%s", line, told)
		}
	}
}

// TestSecretIsNotRepeated: a secret key that was typed by mistake is repeated
// nowhere, and whoever typed it is told to rotate it.
func TestSecretIsNotRepeated(t *testing.T) {
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	for _, line := range []string{"deactivate_key " + secret + " leaked", "deactivate_key " + exposedKey + " " + secret} {
		w := newWorld(t, exposed)
		w.types("U01ALICE", line)
		if said := w.said(); strings.Contains(said, "wJalr") || !strings.Contains(said, "rotate it") {
			t.Errorf("%s", said)
		}
	}
}
