package executor_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

const (
	freeze  = "apply_scp prod stolen"
	outside = "666666666666"
)

// lets is a trust policy that lets accounts in.
func lets(accounts ...string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":["` + strings.Join(accounts, `","`) + `"]},"Action":["sts:AssumeRole","sts:TagSession","sts:SetSourceIdentity"]}]}`
}

// trust sets a role's trust policy, as an administrator of the account.
func (w *world) trust(role, policy string) {
	w.t.Helper()
	_, err := iam.NewFromConfig(w.aws.Admin(prod)).UpdateAssumeRolePolicy(w.t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: &role, PolicyDocument: &policy})
	w.must(err)
}

// containing are the calls that leave principals alone by their names.
var containing = map[string]string{"a freeze": freeze, "all sessions by a policy": "revoke_sessions prod/ALL via=scp stolen", "ALL": revokeAll}

// TestExemptRoleOfAnOutsiderIsNoContainment: before it is contained, an administrator of the account lets an
// outside account into a member role. That is told as NOT CONTAINED once the deny stands, and is watched: once
// somebody corrects the trust, it is contained. Undo restores what was changed, and no trust policy.
func TestExemptRoleOfAnOutsiderIsNoContainment(t *testing.T) {
	t.Parallel()
	for name, line := range containing {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, inOrganization())
			w.trust("killswitch-responder", lets(awsfake.HubAccount, outside))
			before := w.aws.Snapshot()
			r := w.types(alice, line)
			if first := w.planned(r).Plan.Warnings[0]; !strings.Contains(first, "Not contained by this: role/killswitch-responder is exempt and lets in account "+outside) && name != "ALL" {
				t.Errorf("before the approval it warns first: %q", first)
			}
			w.tells(r, "lets in account "+outside)
			r = w.state(w.clicks(bob, r, "approve"), approvals.Partial)
			if !strings.HasPrefix(r.Cause, "Check who may assume role/killswitch-responder: its trust policy lets in account "+outside) || !strings.Contains(r.Hint, "changes no trust policy") {
				t.Errorf("the cause is %q, the hint %q", r.Cause, r.Hint)
			}
			var stands, looked time.Time
			for _, c := range w.aws.Calls() {
				switch {
				case c.Op == "organizations:AttachPolicy" || c.Op == "iam:PutRolePolicy":
					stands = c.Time
				case c.Op == "iam:GetRole" && !stands.IsZero() && looked.IsZero():
					looked = c.Time
				}
			}
			if d := looked.Sub(stands); stands.IsZero() || looked.IsZero() || d > 5*time.Second {
				t.Errorf("looked at %s after the deny", d)
			}
			w.pass(20 * time.Second)
			if run := w.run(w.state(r, approvals.Partial)); run.Tampered != 0 || len(run.Told()) != 0 {
				t.Errorf("what was so from the beginning is told as a removal: %+v", run.Tampering)
			}
			w.trust("killswitch-responder", before.Accounts[prod].Roles["killswitch-restorer"].Trust)
			w.pass(time.Minute)
			if r = w.state(r, approvals.Contained); r.Cause != "" {
				t.Errorf("it is contained, and says %q", r.Cause)
			}
			w.trust("killswitch-responder", lets(awsfake.HubAccount, outside))
			u := w.undo(r)
			w.asBefore(before)
			for _, s := range w.steps(u) {
				if strings.HasPrefix(s.Step.ID, "vouch ") {
					t.Errorf("the undo has a step %q, and there is nothing to revert", s.Step.Title)
				}
			}
		})
	}
}

// TestRetryThatCannotReadKeepsWhatWasSeen: whoever lets an outside account in also keeps us from looking.
func TestRetryThatCannotReadKeepsWhatWasSeen(t *testing.T) {
	t.Parallel()
	w, unread := newWorld(t, inOrganization()), false
	w.answers("iam:GetRole", apiError("Throttling"), func() bool { return unread })
	w.trust("killswitch-restorer", lets(awsfake.HubAccount, outside))
	r := w.state(w.clicks(bob, w.types(alice, freeze), "approve"), approvals.Partial)
	unread = true
	w.clicks(carol, r, "retry")
	r = w.state(r, approvals.Partial)
	w.attempts(r, 2)
	if !strings.Contains(r.Cause, outside) {
		t.Errorf("it says %q", r.Cause)
	}
	unread = false
	w.trust("killswitch-restorer", lets(awsfake.HubAccount))
	w.clicks(carol, r, "retry")
	w.state(r, approvals.Contained)
}

// TestLookReadsTwiceBeforeItTells: a trust policy that is corrected while a look reads it is told of nobody.
func TestLookReadsTwiceBeforeItTells(t *testing.T) {
	t.Parallel()
	w := newWorld(t, inOrganization())
	r := w.contained(freeze)
	w.pass(2 * time.Minute)
	w.trust("killswitch-restorer", lets(awsfake.HubAccount, outside))
	read := false
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op == "iam:GetRole" && c.Phase == awsfake.After && !read && strings.HasSuffix(c.Resources[0], "/killswitch-restorer") {
			read = true
			w.trust("killswitch-restorer", lets(awsfake.HubAccount))
		}
		return nil
	})
	w.lookEvery(time.Minute, 30*time.Minute)
	if run := w.run(w.state(r, approvals.Contained)); !read || run.Tampered != 0 {
		t.Errorf("told %+v", run.Tampering)
	}
}

// TestTrustChangedAfterTheContainment: a look finds it, tells it once, names who it was, and writes nothing.
func TestTrustChangedAfterTheContainment(t *testing.T) {
	t.Parallel()
	for name, line := range containing {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, inOrganization(), func(w *world) {
				w.aws.Account(prod).AddRole(awsfake.Role{Name: "break-glass", Trust: lets(prod)})
			})
			r := w.contained(line)
			w.pass(2 * time.Minute)
			w.state(r, approvals.Contained)
			w.trust("break-glass", lets(prod, outside))
			w.aws.Account(prod).AddEvents("us-east-1", record("UpdateAssumeRolePolicy", w.clock.Now(), byMallory, "aws-cli/2.15", map[string]any{"roleName": "break-glass"}, "break-glass"))
			writes := w.aws.Mutations()
			w.lookEvery(time.Minute, 30*time.Minute)
			if name == "ALL" { // each look at it lists the account
				w.lookEvery(time.Minute, 2*time.Hour)
			}
			run := w.run(w.state(r, approvals.Partial))
			told := run.Told()
			if len(told) != 1 || told[0].Reapplied || !strings.Contains(told[0].Found, outside) || !strings.Contains(told[0].Cause, "changes no trust policy") {
				t.Fatalf("told %+v", told)
			}
			if by := told[0].By; by == nil || !strings.Contains(by.Who, "mallory") || by.Call != "UpdateAssumeRolePolicy" {
				t.Errorf("by %+v", by)
			}
			if n := w.aws.Mutations() - writes; n != 0 {
				t.Errorf("%d writes", n)
			}
		})
	}
}

// TestExemptPrincipalsThatCannotBeReadAreAFlag: the goal is not missed, people are told, and the next look
// that can read takes it back. What was seen before counts as long as nobody can look.
func TestExemptPrincipalsThatCannotBeReadAreAFlag(t *testing.T) {
	t.Parallel()
	for name, line := range containing {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, unread := newWorld(t, inOrganization()), true
			w.answers("iam:GetRole", apiError("AccessDenied"), func() bool { return unread })
			r := w.state(w.clicks(bob, w.types(alice, line), "approve"), approvals.Contained)
			if !strings.HasPrefix(r.Cause, "Check who may assume role/") || !strings.Contains(r.Cause, "could not be read: AccessDenied") {
				t.Errorf("the cause is %q", r.Cause)
			}
			unread = false
			w.pass(time.Minute)
			if r = w.state(r, approvals.Contained); r.Cause != "" {
				t.Errorf("it was read, and says %q", r.Cause)
			}
			w.trust("killswitch-restorer", lets(outside))
			w.lookEvery(time.Minute, 2*time.Hour)
			w.state(r, approvals.Partial)
			unread = true
			w.lookEvery(time.Minute, 2*time.Hour)
			if r = w.state(r, approvals.Partial); !strings.Contains(r.Cause, outside) {
				t.Errorf("a look that can't read says %q", r.Cause)
			}
		})
	}
}

// TestFreezeOfAnAccountWithoutMemberRoles: nobody can look there. It is contained, and says so.
func TestFreezeOfAnAccountWithoutMemberRoles(t *testing.T) {
	t.Parallel()
	w := newWorld(t, inOrganization())
	r := w.contained("apply_scp sandbox stolen")
	if !strings.Contains(r.Cause, "could not be read: AccessDenied") || !strings.Contains(r.Hint, "not deployed there") {
		t.Errorf("the cause is %q, the hint %q", r.Cause, r.Hint)
	}
	w.tells(r, "could not be read")
	w.undo(r)
}

// TestAllContainsWhatOnlyHasAProtectedName: break-glass lets in an outside account, so that its sessions are revoked like
// the others'. One that only its own account may enter is left alone, and looked at.
func TestAllContainsWhatOnlyHasAProtectedName(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) {
		w.aws.Account(prod).AddRole(awsfake.Role{Name: "break-glass", Trust: lets(prod, outside)})
	})
	r := w.types(alice, revokeAll)
	w.tells(r, "break-glass")
	w.clicks(bob, r, "approve")
	w.state(r, approvals.Contained)
	if w.policy("break-glass") == "" {
		t.Error("the attacker's sessions work")
	}
	looks := func(r approvals.Request) bool {
		return slices.ContainsFunc(w.steps(r), func(s approvals.Step) bool {
			return s.Step.Look != "" && s.Step.ResourceName() == "break-glass" && s.Step.Skip == ""
		})
	}
	if looks(r) {
		t.Error("what is contained is looked at as if it were not")
	}
	w.undo(r)

	w = newWorld(t, func(w *world) { w.aws.Account(prod).AddRole(awsfake.Role{Name: "break-glass", Trust: lets(prod)}) })
	r = w.contained(revokeAll)
	if w.policy("break-glass") != "" || !looks(r) {
		t.Error("break-glass is contained, or not looked at")
	}
	if p := w.run(r).Progress; p.Total != p.Done+p.Skipped || p.Total != len(w.aws.Snapshot().Accounts[prod].Roles) {
		t.Errorf("%+v does not add up to the roles", p)
	}

	// Between the approval and the run somebody lets an outside account in.
	w = newWorld(t, func(w *world) { w.aws.Account(prod).AddRole(awsfake.Role{Name: "break-glass", Trust: lets(prod)}) })
	r = w.types(alice, revokeAll)
	w.trust("break-glass", lets(outside))
	w.clicks(bob, r, "approve")
	w.state(r, approvals.Contained)
	if w.policy("break-glass") == "" || looks(r) {
		t.Error("break-glass is not contained, or looked at as if it were not")
	}
}

// TestProtectedNameTakesOneApprovalMore: a role of a protected name that lets in an outside account takes the name typed and one
// approval more, and people; one that only its own account may enter is refused.
func TestProtectedNameTakesOneApprovalMore(t *testing.T) {
	t.Parallel()
	for action, confirm := range map[string]string{"revoke_sessions": "", "detach_policies": "", "delete_role": " confirm=break-glass"} {
		t.Run(action, func(t *testing.T) {
			t.Parallel()
			attacked := func(w *world) {
				w.aws.Account(prod).AddRole(awsfake.Role{Name: "break-glass", Trust: lets(prod, outside), Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}})
			}
			w := newWorld(t, attacked)
			if confirm == "" {
				no := w.types(alice, action+" prod/break-glass stolen")
				w.refused(no, "protected by the configuration")
				w.tells(no, "confirm=break-glass")
			}
			r := w.state(w.types(alice, action+" prod/break-glass confirm=break-glass stolen"), approvals.Pending)
			if p := w.planned(r); p.Policy.Approvals < 2 || !strings.Contains(p.Plan.Warnings[0], "One approval more than usual: break-glass has a protected name, but its trust policy lets in account "+outside) {
				t.Errorf("%+v, %q", p.Policy, p.Plan.Warnings)
			}
			w.state(w.clicks(bob, r, "approve"), approvals.Pending)
			r = w.state(w.clicks(carol, r, "approve"), approvals.Contained)
			if action != "delete_role" {
				w.undo(r)
			}

			w = newWorld(t, func(w *world) { w.aws.Account(prod).AddRole(awsfake.Role{Name: "break-glass", Trust: lets(prod)}) })
			w.refused(w.types(alice, action+" prod/break-glass confirm=break-glass stolen"), "protected by the configuration")
			w.untouched()

			// Only the ARN is protected: a role of another path is any other.
			w = newWorld(t, func(w *world) {
				w.aws.Account(prod).AddRole(awsfake.Role{Name: "break-glass", Path: "/x/", Trust: lets(prod)})
			})
			r = w.state(w.types(alice, action+" arn:aws:iam::222222222222:role/x/break-glass"+confirm+" stolen"), approvals.Pending)
			if p := w.planned(r).Plan; p.Guarded != "" {
				t.Errorf("guarded, since %s", p.Guarded)
			}
			w.clicks(bob, r, "approve")
			if action == "delete_role" {
				w.clicks(carol, r, "approve")
			}
			w.state(r, approvals.Contained)

			// Its path is found by the plan, which has the line to send.
			if confirm == "" {
				w = newWorld(t, attacked, func(w *world) {
					w.aws.Account(prod).AddRole(awsfake.Role{Name: "keeper", Path: "/ops/", Trust: lets(outside)})
					w.cfg.Org.ProtectedPrincipals = append(w.cfg.Org.ProtectedPrincipals, "arn:aws:iam::*:role/ops/keeper")
				})
				no := w.types(alice, action+" prod/keeper stolen")
				w.refused(no, "keeper has a protected name, but its trust policy lets in account "+outside)
				w.tells(no, "confirm=keeper")
				w.untouched()
			}
		})
	}
}

// TestProtectedUserOfAnyAccount: whoever holds the account can make a user of that name, so that it takes the name typed and one
// approval more. One that is named with its account is refused, and so is a key alone.
func TestProtectedUserOfAnyAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed, func(w *world) {
		w.cfg.Org.ProtectedPrincipals = append(w.cfg.Org.ProtectedPrincipals, "arn:aws:iam::*:user/bernd")
	})
	no := w.types(alice, "quarantine_user prod/bernd stolen")
	w.refused(no, "protected by the configuration")
	w.tells(no, "confirm=bernd")
	no = w.types(alice, "deactivate_key "+exposedKey+" stolen")
	w.refused(no, "protected")
	w.tells(no, "quarantine_user")
	w.untouched()
	r := w.state(w.types(alice, "quarantine_user prod/bernd confirm=bernd stolen"), approvals.Pending)
	w.tells(r, "protected in any account")
	w.state(w.clicks(bob, r, "approve"), approvals.Pending)
	r = w.state(w.clicks(carol, r, "approve"), approvals.Contained)
	w.undo(r)

	w = newWorld(t, exposed, func(w *world) {
		w.cfg.Org.ProtectedPrincipals = append(w.cfg.Org.ProtectedPrincipals, "arn:aws:iam::222222222222:user/bernd")
	})
	w.refused(w.types(alice, "quarantine_user prod/bernd confirm=bernd stolen"), "protected by the configuration")
	w.untouched()
}

// TestConfigurationThatProtectsSince: what is protected since its plan is not contained, unless that plan had seen that only
// the name is.
func TestConfigurationThatProtectsSince(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "team/"} { // which is not typed
		w := newWorld(t, withRole(awsfake.Role{Path: "/" + path}))
		r := w.state(w.types(alice, "revoke_sessions prod/app-role stolen"), approvals.Pending)
		w.cfg.Org.ProtectedPrincipals = append(w.cfg.Org.ProtectedPrincipals, "arn:aws:iam::*:role/"+path+"app-role")
		w.start()
		w.refused(w.clicks(bob, r, "approve"), "protected by the configuration")
		w.untouched()
	}
}

// TestLooksOfAFreezeEnterOnce: the looks at many frozen accounts and their principals share a session in each account.
func TestLooksOfAFreezeEnterOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, inOrganization())
	r := w.contained(freeze)
	in := 0
	for _, c := range w.aws.Calls() {
		if c.Op == "sts:AssumeRole" && strings.Contains(c.Resources[0], prod) {
			in++
		}
	}
	if in != 2 {
		t.Errorf("for a plan and its run the account was entered %d times", in)
	}
	before := len(w.aws.Calls())
	w.lookEvery(time.Minute, 30*time.Minute)
	entered := map[string]int{}
	for _, c := range w.aws.Calls()[before:] {
		if c.Op == "sts:AssumeRole" {
			entered[c.Resources[0]]++
		}
	}
	w.state(r, approvals.Contained)
	for role, n := range entered {
		if n != 1 {
			t.Errorf("%s was entered %d times", role, n)
		}
	}
	if len(entered) != 2 {
		t.Errorf("entered %v", entered)
	}
}
