package executor_test

import (
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// foreign is an account of another organization, whose owner made a member role there, and
// a key and a role to be contained.
const (
	foreign    = "555555555555"
	foreignKey = "AKIAFOREIGN000000001"
)

func withForeign(w *world) {
	inOrganization()(w)
	org := w.cfg.Org
	w.aws.Member(foreign, awsfake.MemberRoles{Responder: org.ResponderRole, Restorer: org.RestorerRole, ExternalID: org.ExternalID,
		ResponderPolicy: memberPolicy(actions.Responder, org, false), RestorerPolicy: memberPolicy(actions.Restorer, org, false)})
	w.aws.Account(foreign).AddRole(awsfake.Role{Name: "app-role", Inline: map[string]string{"all": allPolicy}})
	w.aws.Account(foreign).AddUser(awsfake.User{Name: "bernd", Keys: []awsfake.AccessKey{{ID: foreignKey}}})
}

// reaches reports whether a call named an account's resources, or was made in it.
func (w *world) reaches(account string) bool {
	for _, c := range w.aws.Calls() {
		if c.Account == account || strings.Contains(strings.Join(c.Resources, " "), ":"+account+":") {
			return true
		}
	}
	return false
}

// TestForeignAccountLearnsNothing of a request about it: by an ARN, an ID or a key.
func TestForeignAccountLearnsNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"revoke_sessions arn:aws:iam::" + foreign + ":role/app-role reason=leak",
		"revoke_sessions " + foreign + "/app-role reason=leak",
		"deactivate_key " + foreignKey + " reason=leak",
		"delete_key " + foreign + "/" + foreignKey + " reason=leak",
		"quarantine_user " + foreign + "/bernd reason=leak",
		"deny_principal " + foreign + "/role/app-role reason=leak",
		"deny_principal " + foreign + "/user/bernd scope=organization reason=leak",
		"isolate_instance i-0aaaaaaaaaaaaaaaa account=" + foreign + " region=us-east-1 reason=leak",
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withForeign)
			w.refused(w.types(alice, text), foreign+" is not a member of the organization")
			if w.reaches(foreign) {
				t.Errorf("its owner sees it: %+v", w.aws.Calls())
			}
		})
	}
}

// TestMembershipIsAskedAgainAfterAnOutage: the card says what is waited for.
func TestMembershipIsAskedAgainAfterAnOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, inOrganization(func(o *awsfake.Organization) {
		o.Accounts = append(o.Accounts, awsfake.OrgAccount{ID: foreign, Name: "new"})
	}))
	w.aws.Member(foreign, awsfake.MemberRoles{Responder: w.cfg.Org.ResponderRole, Restorer: w.cfg.Org.RestorerRole, ExternalID: w.cfg.Org.ExternalID,
		ResponderPolicy: memberPolicy(actions.Responder, w.cfg.Org, false), RestorerPolicy: memberPolicy(actions.Restorer, w.cfg.Org, false)})
	w.aws.Account(foreign).AddRole(awsfake.Role{Name: "app-role", Inline: map[string]string{"all": allPolicy}})
	down := true
	w.answers("organizations:DescribeAccount", apiError("ServiceUnavailable"), func() bool { return down })
	r := w.types(alice, "revoke_sessions "+foreign+"/app-role reason=leak")
	if r = w.state(r, approvals.Planning); !strings.Contains(r.Cause, "ServiceUnavailable") || w.reaches(foreign) {
		t.Errorf("told %q", r.Cause)
	}
	w.contained(revoke) // what the configuration names does not wait
	down = false
	w.pass(time.Minute)
	r = w.state(r, approvals.Pending)
	down = true // what was planned does not wait either
	w.start()
	w.state(w.clicks(bob, r, "approve"), approvals.Contained)
	w.pass(2 * time.Hour)
	w.start() // another process knows it from the table, if that answers
	w.Runs.reads = func(k approvals.Key) error {
		if strings.HasPrefix(k.Part, "member#") {
			return errOutage
		}
		return nil
	}
	w.state(w.types(alice, "revoke_sessions "+foreign+"/app-role reason=third"), approvals.Planning)
	w.Runs.reads = nil
	w.contained("revoke_sessions " + foreign + "/app-role reason=again")
}
