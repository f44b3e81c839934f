package scp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	orgtypes "github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/scp"
)

// revoked is a fixture in an organization about the revocation of a role's sessions, which its plan tags.
func revoked(t *testing.T) *fixture {
	t.Helper()
	w := scpWorld(t)
	w.SetCall(actions.Call{Action: actions.RevokeSessions, Target: w.Role, Account: actiontest.Member}, w.Role)
	return w
}

// protect deploys the tamper protection.
func (w *fixture) protect(alter ...func(*awsfake.SCP)) {
	p := awsfake.SCP{Name: scp.TamperPolicy, Content: all.TamperSCP(w.Org), Tags: map[string]string{actiontest.Tag: "shared"}, Targets: []string{w.OrganizationRoot()}}
	for _, f := range alter {
		f(&p)
	}
	w.AddSCP(p)
}

func (w *fixture) tamper() *scp.Tamper {
	return &scp.Tamper{Cloud: w.Hub, Document: all.TamperSCP(w.Org), Now: w.Clock.Now}
}

func TestWhoCanLiftAContainment(t *testing.T) {
	for what, tt := range map[string]struct {
		alter func(*fixture, *actions.Plan)
		want  string
	}{
		"protected": {func(w *fixture, _ *actions.Plan) { w.protect() }, ""},
		"as people deploy it": {func(w *fixture, _ *actions.Plan) {
			w.protect(func(p *awsfake.SCP) { p.Content = indented(w.T, p.Content) })
		}, ""},
		"not deployed": {func(*fixture, *actions.Plan) {}, "no tamper protection"},
		"on one account": {func(w *fixture, _ *actions.Plan) {
			w.protect(func(p *awsfake.SCP) { p.Targets = []string{actiontest.Member} })
		}, "not on the root"},
		"on nothing": {func(w *fixture, _ *actions.Plan) { w.protect(func(p *awsfake.SCP) { p.Targets = nil }) }, "not on the root"},
		"weakened, or an old one": {func(w *fixture, _ *actions.Plan) {
			w.protect(func(p *awsfake.SCP) { p.Content = actiontest.OtherDeny })
		}, "not the one of this version"},
		"somebody else's": {func(w *fixture, _ *actions.Plan) { w.protect(func(p *awsfake.SCP) { p.Tags = nil }) }, "Killswitch did not make it"},
		"unreadable": {func(w *fixture, _ *actions.Plan) {
			w.Fault(awsfake.Fault{Op: "organizations:ListPolicies", Err: &orgtypes.AccessDeniedException{Message: aws.String("no")}})
		}, "can't be read"},
		"the action writes an SCP": {func(w *fixture, _ *actions.Plan) { w.SetCall(viaSCP(actiontest.Member)) }, ""},
		"the management account":   {func(w *fixture, _ *actions.Plan) { w.protect(); w.Asked.Account = actiontest.Management }, "touches the management account"},
		"the account of policies": {func(w *fixture, _ *actions.Plan) {
			w.protect()
			w.Org.PolicyAccount = actiontest.Member
			w.Hub = actions.NewCloud(w.Config(), w.Org)
		}, "managed from this account"},
		"its places are not tagged": {func(w *fixture, p *actions.Plan) { w.protect(); p.Steps = p.Steps[:1] }, "guards not all of it"},
	} {
		t.Run(what, func(t *testing.T) {
			w := revoked(t)
			plan := w.Plan()
			tt.alter(w, &plan)
			got := w.tamper().Liftable(t.Context(), w.Asked, plan, actiontest.Actor)
			if got != tt.want && (tt.want == "" || !strings.Contains(got, tt.want)) {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// An answer is asked for once in ten minutes, whatever it is.
func TestProtectionIsAskedForOnce(t *testing.T) {
	w := revoked(t)
	tamper, plan := w.tamper(), w.Plan()
	ask := func() string { return tamper.Liftable(t.Context(), w.Asked, plan, actiontest.Actor) }
	if ask() == "" {
		t.Fatal("nothing is deployed")
	}
	w.protect()
	calls := len(w.Calls())
	if ask() == "" || len(w.Calls()) != calls {
		t.Errorf("asked again at once: %v", w.Calls()[calls:])
	}
	w.Clock.Add(10 * time.Minute)
	if why := ask(); why != "" {
		t.Error(why)
	}
}
