//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	orgtypes "github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"go.yaml.in/yaml/v4"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/scp"
	eventsources "github.com/killswitch-chatops/killswitch/approvals/finding"
)

// TestHubRole: deploy/hub-role.yaml makes the role whose name the member roles trust, with a profile of it, and rules
// that bring a serve exactly what template.yaml's bring the functions: alerts, imported findings and what can undo a
// containment. moto calls the URL, with neither body nor key.
func TestHubRole(t *testing.T) {
	t.Parallel()
	a := StartAWS(t, "MOTO_EVENTS_INVOKE_HTTP=true")
	var calls atomic.Int64
	serve := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.URL.Path == "/events" {
			calls.Add(1)
		}
	}))
	defer serve.Close()
	d := deployFile(t, a, "../deploy/hub-role.yaml", "EventsUrl="+serve.URL+"/events", "EventsKey=secret")

	hub := a.Hub(t)
	name := aws.String("killswitch-executor")
	profile, err := iam.NewFromConfig(hub).GetInstanceProfile(t.Context(), &iam.GetInstanceProfileInput{InstanceProfileName: name})
	if err != nil {
		t.Fatal(err)
	}
	if roles := profile.InstanceProfile.Roles; len(roles) != 1 || aws.ToString(roles[0].RoleName) != *name || d.Outputs["HubRoleArn"] != aws.ToString(roles[0].Arn) {
		t.Errorf("the profile has the roles %v, the output names %s", roles, d.Outputs["HubRoleArn"])
	}
	members, err := os.ReadFile("../deploy/members.yaml")
	if err != nil || !strings.Contains(string(members), "Default: "+*name+"\n") {
		t.Errorf("members.yaml does not trust the name: %v", err)
	}

	texts, wants := ruleSamples(t)
	for name, want := range wants {
		for _, e := range eventsOf(t, texts[name]) {
			whole, err := json.Marshal(e)
			if err != nil {
				t.Fatal(err)
			}
			_, looks := eventsources.ReadTampering(whole)
			before := calls.Load()
			putEvent(t, hub, e)
			if came := calls.Load() > before; came != (want == always || looks) {
				t.Errorf("%s: it came to serve: %t", name, came)
			}
		}
	}
}

// TestOrganization: what deploy/organization.yaml says, on the organization's root, is what Killswitch takes for the
// tamper protection; before it is there, and anywhere else, it says so. moto's CloudFormation has no such policies.
func TestOrganization(t *testing.T) {
	t.Parallel()
	a := StartAWS(t)
	s := &scene{t: t, aws: a, management: "999999999999"}
	s.account = s.memberAccount("victim")
	s.iam = iam.NewFromConfig(a.Member(t, s.account))
	victim := s.role("victim")
	e := s.onRole(actions.RevokeSessions, victim, nil)
	revoke, _ := all.Actions.Lookup(actions.RevokeSessions)
	plan, err := revoke.Plan(t.Context(), e.Enter(actions.Responder, actions.PhasePlan, nil), e.Call)
	s.must(err)
	liftable := func() string {
		hub := actions.NewCloud(a.As(t, "Serve"), e.Org)
		tamper := &scp.Tamper{Cloud: hub, Document: all.TamperSCP(e.Org), Now: time.Now}
		return tamper.Liftable(t.Context(), e.Call, plan, actions.SessionContext{RequestID: "KS-000000000000", Requester: "ana"})
	}
	says := func(when, want string) {
		t.Helper()
		if got := liftable(); got != want {
			t.Errorf("%s it says %q, want %q", when, got, want)
		}
	}
	says("before it is deployed", "no tamper protection")

	b, err := os.ReadFile("../deploy/organization.yaml")
	s.must(err)
	var template struct {
		Resources struct {
			TamperProtection struct {
				Properties struct {
					Content     map[string]any      `yaml:"Content"`
					Name        string              `yaml:"Name"`
					Description string              `yaml:"Description"`
					Type        orgtypes.PolicyType `yaml:"Type"`
					TargetIDs   []map[string]string `yaml:"TargetIds"`
					Tags        []map[string]string `yaml:"Tags"`
				} `yaml:"Properties"`
			} `yaml:"TamperProtection"`
		} `yaml:"Resources"`
	}
	s.must(yaml.Unmarshal(b, &template))
	p := template.Resources.TamperProtection.Properties
	content, err := json.Marshal(p.Content)
	s.must(err)
	made, err := s.org().CreatePolicy(t.Context(), &organizations.CreatePolicyInput{Content: aws.String(string(content)), Name: &p.Name, Description: &p.Description, Type: p.Type,
		Tags: []orgtypes.Tag{{Key: aws.String(p.Tags[0]["Key"]), Value: aws.String(p.Tags[0]["Value"])}}})
	s.must(err)
	attach := func(target string) {
		t.Helper()
		_, err := s.org().AttachPolicy(t.Context(), &organizations.AttachPolicyInput{PolicyId: made.Policy.PolicySummary.Id, TargetId: &target})
		s.must(err)
	}
	attach(s.account)
	says("on the account", "tamper protection is not on the root")
	roots, err := s.org().ListRoots(t.Context(), nil)
	s.must(err)
	if len(p.TargetIDs) != 1 || p.TargetIDs[0]["Ref"] != "RootId" {
		t.Fatalf("it goes to %v", p.TargetIDs)
	}
	attach(*roots.Roots[0].Id)
	says("on the root", "")
	_, err = s.org().UpdatePolicy(t.Context(), &organizations.UpdatePolicyInput{PolicyId: made.Policy.PolicySummary.Id, Content: aws.String(`{"Version":"2012-10-17","Statement":[]}`)})
	s.must(err)
	says("with another content", "tamper protection is not the one of this version")
}
