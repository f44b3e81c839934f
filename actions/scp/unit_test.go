package scp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	orgtypes "github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/scp"
)

// The accounts of unitWorld: prod and sandbox are in the unit below the one that is frozen, with the hub and
// a protected account; elsewhere is in another.
const (
	workloads = "ou-ab12-11111111"
	nested    = "ou-ab12-22222222"
	aside     = "ou-ab12-33333333"
	protected = "888888888888"
	elsewhere = "444444444444"
)

// unitWorld is scpWorld with units.
func unitWorld(t *testing.T, target string, options ...string) *fixture {
	t.Helper()
	w := scpWorld(t)
	w.units(target, options...)
	return w
}

// units gives the organization units; the freeze of target is asked for.
func (w *fixture) units(target string, options ...string) {
	w.T.Helper()
	o := awsfake.Organization{Management: actiontest.Management, Units: []awsfake.OrgUnit{{ID: workloads, Name: "Workloads <!here>"}, {ID: nested, Name: "Prod", Parent: workloads}, {ID: aside, Name: "Aside"}}}
	for id, account := range map[string]awsfake.OrgAccount{
		actiontest.Member: {Name: "Production <!channel>", Parent: nested}, actiontest.Sandbox: {Name: "Sandbox", Parent: nested}, "555555555555": {Name: "Gone", Parent: nested, State: "SUSPENDED"},
		awsfake.HubAccount: {Name: "Hub", Parent: workloads}, protected: {Name: "Log archive", Parent: workloads}, elsewhere: {Name: "Elsewhere", Parent: aside},
	} {
		account.ID = id
		o.Accounts = append(o.Accounts, account)
	}
	w.Organize(o)
	if target == "root" {
		target = w.OrganizationRoot()
	}
	w.freeze(target, options...)
}

// can reports whether an administrator's role in an account may still do something there.
func (w *fixture) can(account, action, resource string) bool {
	w.T.Helper()
	arn := w.Account(account).AddRole(awsfake.Role{Name: "app-" + account, Inline: map[string]string{"all": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`}})
	ok, _ := w.Session(arn, "s").Can(action, resource)
	return ok
}

// A freeze of a unit binds every account in it, at any depth, and neither Killswitch's own, nor what the
// configuration protects, nor the accounts of other units.
func TestFreezeOfAUnit(t *testing.T) {
	for _, document := range []string{"freeze", "protect-data", "control-plane", "own"} {
		t.Run(document, func(t *testing.T) {
			for _, target := range []string{workloads, "root"} {
				w := unitWorld(t, target, document)
				// A document of the configuration may spare accounts already, under a key in another case.
				w.Org.SCPs = map[string]string{"own": strings.Replace(w.document("freeze"), `"ArnNotLike"`, `"stringnotequals":{"AWS:PrincipalAccount":"`+actiontest.Sandbox+`"},"ArnNotLike"`, 1)}
				w.Hub = actions.NewCloud(w.Config(), w.Org)
				w.freezes("KS-1")
				bound := map[string]bool{actiontest.Member: true, actiontest.Sandbox: document != "own", awsfake.HubAccount: false, protected: false, elsewhere: target == "root", actiontest.Management: false}
				for account, want := range bound {
					if got := !w.can(account, "kms:ScheduleKeyDeletion", "arn:aws:kms:us-east-1:"+account+":key/k"); got != want {
						t.Errorf("%s of %s: %s is bound: %t", document, target, account, got)
					}
				}
				if p := w.scp("killswitch-units-" + document); !slices.Equal(p.Targets, []string{w.Asked.Target}) {
					t.Errorf("%s is attached to %v", document, p.Targets)
				}
			}
		})
	}
}

// The card says which accounts are bound, first those that people know, and which stay free.
func TestPlanOfAUnit(t *testing.T) {
	w := unitWorld(t, workloads)
	p := w.Plan()
	if p.Identity.ID != workloads || len(p.Steps) != 1 {
		t.Errorf("%+v", p.Identity)
	}
	if first := p.Warnings[0]; !strings.HasPrefix(first, "2 accounts at once: 222222222222 Production") || strings.Contains(first, "555555555555") {
		t.Error(first)
	}
	said := strings.Join(p.Warnings, "\n") + "\n" + strings.Join(p.Residual, "\n") + "\n" + p.Undo
	for _, f := range p.Facts {
		said += "\n" + f.Label + ": " + f.Text
	}
	actiontest.HasWords(t, said, "alias prod", "Accounts that stay free", awsfake.HubAccount, protected, "Log archive", "in each account", "Attached to: the unit Workloads", "one that is moved out")
}

// A unit of hundreds of accounts is counted whole, and its plan is bounded.
func TestPlanOfALargeUnit(t *testing.T) {
	w := unitWorld(t, workloads)
	o := awsfake.Organization{Management: actiontest.Management, Units: []awsfake.OrgUnit{{ID: workloads, Name: "Workloads"}}}
	for i := range 450 {
		o.Accounts = append(o.Accounts, awsfake.OrgAccount{ID: fmt.Sprintf("6%011d", i), Name: strings.Repeat("x", 50), Parent: workloads})
	}
	w.Organize(o)
	p := w.Plan()
	actiontest.HasWords(t, p.Warnings[0], "450 accounts at once", "more")
	if b, err := json.Marshal(p); err != nil || len(b) > 8000 {
		t.Errorf("the plan has %d bytes, %v", len(b), err)
	}
}

// The listing only informs: where it fails, the plan says so and goes on.
func TestUnitThatCantBeListed(t *testing.T) {
	w := unitWorld(t, workloads)
	w.Fault(awsfake.Fault{Op: "organizations:ListAccountsForParent", Err: &orgtypes.AccessDeniedException{}})
	actiontest.HasWords(t, w.Plan().Warnings[0], "At least 0 accounts", "not all could be listed")
}

func TestUnitsThatAreNone(t *testing.T) {
	for target, want := range map[string]string{"ou-ab12-99999999": "the organization has no unit ou-ab12-99999999", "r-zzzz": "r-zzzz is not the root of the organization"} {
		no := refusal(t, unitWorld(t, target).planned())
		actiontest.HasWords(t, no.Reason, want)
		if strings.HasPrefix(target, "r-") && (no.Instead == nil || !strings.HasPrefix(no.Instead.Target, "r-")) {
			t.Errorf("%s: %+v", target, no)
		}
	}
	w := unitWorld(t, workloads)
	o := w.Org
	o.ManagementAccount, o.PolicyAccount = "", ""
	c, _, err := actions.Parse("apply_scp "+workloads+` reason="x"`, o.Directory())
	actiontest.Must(t, err)
	actiontest.HasWords(t, o.RefuseCall(c).Reason, "names no account from which service control policies are managed")
}

// Every protected account costs room in each statement.
func TestUnitWithTooManyProtectedAccounts(t *testing.T) {
	w := unitWorld(t, workloads, "protect-data")
	for i := range 700 {
		w.Org.ProtectedAccounts = append(w.Org.ProtectedAccounts, fmt.Sprintf("8%011d", i))
	}
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	actiontest.HasWords(t, refusal(t, w.planned()).Reason, "protect-data", "with the accounts that it spares", "10240")
}

func TestUnitParses(t *testing.T) {
	o := actiontest.TestOrg("aws")
	o.Accounts["r-prod"] = actiontest.Member // an alias may look like a root
	d := o.Directory()
	for text, want := range map[string]string{
		"apply_scp ou-ab12-11111111":                   "apply_scp ou-ab12-11111111",
		"freeze OU-AB12-11111111 scp=protect-data":     "",
		"apply_scp OU-AB12-11111111 scp=protect-data":  "apply_scp ou-ab12-11111111 scp=protect-data",
		"apply_scp r-ab12":                             "apply_scp r-ab12",
		"apply_scp r-prod":                             "apply_scp 222222222222",
		"apply_scp ou-ab12":                            "",
		"apply_scp ou-ab12-11111111 account=prod":      "",
		"revoke_sessions ou-ab12-11111111/ALL via=scp": "",
		"apply_scp arn:aws:organizations::999999999999:ou/o-0123456789/ou-ab12-11111111": "apply_scp ou-ab12-11111111",
		"apply_scp arn:aws:organizations::999999999999:root/o-0123456789/r-ab12":         "apply_scp r-ab12",
		"apply_scp arn:aws-cn:organizations::999999999999:root/o-0123456789/r-ab12":      "",
	} {
		c, _, err := actions.Parse(text+` reason="x"`, d)
		if want == "" && err != nil || err == nil && c.String() == want {
			continue
		}
		t.Errorf("%s: %v, %v", text, c, err)
	}
	c, _, err := actions.Parse(`apply_scp ou-ab12-11111111 account=prod reason="x"`, d)
	var m *actions.ParseErrors
	if !errors.As(err, &m) || m.Corrected != `apply_scp ou-ab12-11111111 reason="x"` {
		t.Errorf("%v %+v", c, m)
	}
}

// A document of the configuration may not take the names of those for units.
func TestUnitNamesAreReserved(t *testing.T) {
	if !scp.ReservedSCP("units-freeze") || scp.ReservedSCP("united") {
		t.Error("names")
	}
}

// TestUnitDocumentWithAConditionTwice: of two conditions that are one to IAM none gets lost; it may be what
// keeps Killswitch from locking itself out.
func TestUnitDocumentWithAConditionTwice(t *testing.T) {
	for _, more := range []string{
		`"StringNotEquals":{"aws:PrincipalTag/x":"y"},"stringnotequals":{"aws:PrincipalTag/x":"z"},`,
		`"StringNotEquals":{"aws:PrincipalAccount":"` + elsewhere + `","AWS:PrincipalAccount":"` + actiontest.Sandbox + `"},`,
		`"StringNotEquals":{"aws:PrincipalAccount":` + elsewhere + `},`,
	} {
		w := unitWorld(t, workloads, "own")
		w.Org.SCPs = map[string]string{"own": strings.Replace(w.document("freeze"), `"ArnNotLike"`, more+`"ArnNotLike"`, 1)}
		w.Hub = actions.NewCloud(w.Config(), w.Org)
		actiontest.HasWords(t, refusal(t, w.planned()).Reason, "it can't be read")
	}
}
