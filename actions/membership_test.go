package actions_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const (
	unlisted = "444444444444" // a member that the configuration does not name
	foreign  = "555555555555" // of another organization; its owner made our role there
)

// members is a fixture with an organization. later lets the time for an answer pass.
func members(t *testing.T) (w *actiontest.Fixture, enter func(account string, who actions.SessionContext) error, later func()) {
	t.Helper()
	w = actiontest.NewFixture(t)
	w.Organize(awsfake.Organization{Management: actiontest.Management, Accounts: []awsfake.OrgAccount{{ID: actiontest.Member}, {ID: unlisted}}})
	may := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"organizations:*","Resource":"*"}]}`
	w.Member(actiontest.Management, awsfake.MemberRoles{ExternalID: w.Org.ExternalID, ResponderPolicy: may, RestorerPolicy: may})
	for _, account := range []string{unlisted, foreign} {
		w.Member(account, awsfake.MemberRoles{ExternalID: w.Org.ExternalID, ResponderPolicy: actiontest.AllowIAM, RestorerPolicy: actiontest.AllowIAM})
	}
	enter = func(account string, who actions.SessionContext) error {
		_, err := w.Hub.Enter(t.Context(), actions.Responder, account, "", who, w.Permits(actions.PhasePlan))
		return err
	}
	return w, enter, func() { w.Clock.Add(time.Hour) }
}

// entered lists the accounts whose role was assumed, or was to be, in order.
func entered(w *actiontest.Fixture) (accounts []string) {
	for _, c := range w.Calls() {
		if c.Op == "sts:AssumeRole" {
			accounts = append(accounts, strings.Split(c.Resources[0], ":")[4])
		}
	}
	return accounts
}

func enteredOnly(t *testing.T, w *actiontest.Fixture, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, entered(w)); d != "" {
		t.Errorf("assumed roles (-want +got):\n%s", d)
	}
}

// TestForeignAccountIsNotEntered: nothing reaches it, so its owner learns nothing.
func TestForeignAccountIsNotEntered(t *testing.T) {
	w, enter, _ := members(t)
	for range 2 { // a no is not remembered: it may have joined
		err := enter(foreign, actiontest.Actor)
		no, refused := errors.AsType[*actions.Refusal](err)
		if !refused {
			t.Fatalf("%v", err)
		}
		actiontest.HasWords(t, no.Reason, foreign, "not a member of the organization")
	}
	enteredOnly(t, w, actiontest.Management, actiontest.Management)
}

// TestUnlistedMemberIsAskedFor: once an hour, in a session that may ask for it alone.
func TestUnlistedMemberIsAskedFor(t *testing.T) {
	w, enter, later := members(t)
	for range 2 {
		actiontest.Must(t, enter(unlisted, actiontest.Actor))
	}
	enteredOnly(t, w, actiontest.Management, unlisted, unlisted)
	ask := w.Calls()[0]
	var policy struct {
		Statement []struct{ Action, Resource []string }
	}
	actiontest.Must(t, json.Unmarshal([]byte(ask.SessionPolicy), &policy))
	want := []struct{ Action, Resource []string }{{[]string{"organizations:DescribeAccount"}, []string{"arn:aws:organizations::999999999999:account/o-*/" + unlisted}}}
	if d := cmp.Diff(want, policy.Statement); d != "" {
		t.Error(d)
	}
	if ask.RoleSessionName != actiontest.Request || ask.SourceIdentity != "alice" {
		t.Errorf("%+v", ask)
	}
	later()
	actiontest.Must(t, enter(unlisted, actiontest.Actor))
	enteredOnly(t, w, actiontest.Management, unlisted, unlisted, actiontest.Management, unlisted)
}

// TestMemberThatLeft is no longer entered once the answer is an hour old.
func TestMemberThatLeft(t *testing.T) {
	w, enter, later := members(t)
	actiontest.Must(t, enter(unlisted, actiontest.Actor))
	w.Organize(awsfake.Organization{Management: actiontest.Management, Accounts: []awsfake.OrgAccount{{ID: actiontest.Member}}})
	later()
	for range 2 {
		if _, refused := errors.AsType[*actions.Refusal](enter(unlisted, actiontest.Actor)); !refused {
			t.Error("it is entered")
		}
	}
}

// TestOutageOfOrganizations does not matter in accounts that are known, by the
// configuration or by an earlier answer, nor to a request that entered the account before.
// For others it is tried again.
func TestOutageOfOrganizations(t *testing.T) {
	for name, down := range map[string]func(awsfake.Call) bool{
		"Organizations": func(c awsfake.Call) bool { return strings.HasPrefix(c.Op, "organizations:") },
		"the management account": func(c awsfake.Call) bool {
			return c.Op == "sts:AssumeRole" && strings.Contains(c.Resources[0], actiontest.Management)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, enter, later := members(t)
			actiontest.Must(t, enter(unlisted, actiontest.Actor))
			later()
			w.OnCall(func(c awsfake.Call) error { // the SDK does not try these again
				if c.Phase == awsfake.Before && down(c) {
					return &smithy.GenericAPIError{Code: "ServiceUnavailable", Message: "not now"}
				}
				return nil
			})
			actiontest.Must(t, enter(unlisted, actiontest.Actor))
			actiontest.Must(t, enter(actiontest.Member, actiontest.Actor))

			fresh := actions.NewCloud(w.Config(), w.Org)
			ask := func(who actions.SessionContext) error {
				_, err := fresh.Enter(t.Context(), actions.Responder, unlisted, "", who, w.Permits(actions.PhasePlan))
				return err
			}
			if err := ask(actiontest.Actor); !actions.Transient(err) {
				t.Errorf("%v", err)
			} else {
				actiontest.HasWords(t, err.Error(), unlisted, "organization")
			}
			who := actiontest.Actor
			who.Entered = true
			actiontest.Must(t, ask(who))
		})
	}
}

// TestConfiguredAccountsAreKnown: nobody is asked about them.
func TestConfiguredAccountsAreKnown(t *testing.T) {
	w, enter, _ := members(t)
	for _, account := range []string{actiontest.Member, actiontest.Management} {
		actiontest.Must(t, enter(account, actiontest.Actor))
	}
	if slices.ContainsFunc(w.Calls(), func(c awsfake.Call) bool { return strings.HasPrefix(c.Op, "organizations:") }) {
		t.Error("Organizations was asked")
	}
}

// TestMembershipThatCanNotBeAsked is refused, with what to do.
func TestMembershipThatCanNotBeAsked(t *testing.T) {
	for name, c := range map[string]struct {
		alter func(*actiontest.Fixture)
		says  []string
	}{
		"no management account": {func(w *actiontest.Fixture) { w.Org.ManagementAccount = "" }, []string{"not in the configuration", "aws.accounts", "aws.management_account"}},
		"no role there": {func(w *actiontest.Fixture) { w.Org.ManagementAccount = "666666666666" },
			[]string{"can't be asked", "AccessDenied", "killswitch-responder", "666666666666", "aws.accounts"}},
		"no right there": {func(w *actiontest.Fixture) {
			w.Member(actiontest.Management, awsfake.MemberRoles{ExternalID: w.Org.ExternalID, ResponderPolicy: actiontest.AllowIAM, RestorerPolicy: actiontest.AllowIAM})
		}, []string{"can't be asked", "AccessDenied", "--organizations"}},
	} {
		t.Run(name, func(t *testing.T) {
			w, _, _ := members(t)
			c.alter(w)
			_, err := actions.NewCloud(w.Config(), w.Org).Enter(t.Context(), actions.Responder, unlisted, "", actiontest.Actor, w.Permits(actions.PhasePlan))
			if _, refused := errors.AsType[*actions.Refusal](err); !refused {
				t.Fatalf("%v", err)
			}
			actiontest.HasWords(t, err.Error(), append(c.says, unlisted)...)
			if slices.Contains(entered(w), unlisted) {
				t.Error("it was entered")
			}
		})
	}
}
