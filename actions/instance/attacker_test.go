package instance_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// A profile of the shared one's name, which holds an attacker's role, is treated
// as any other: the role is denied.
func TestProfileNamedLikeOurs(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "backdoor", Trust: w.trust(), Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}, Profiles: []string{isolation}})
	w.AddInstance(awsfake.Instance{ID: suspect, Profile: isolation, Interfaces: []awsfake.Interface{{ID: eniA, VPC: vpcA, Subnet: "subnet-1", Groups: []string{sgWeb}, IPv4: "10.0.1.10"}}})
	p := w.plan()
	if ids := strings.Join(actiontest.StepIDs(p), "\n"); !strings.Contains(ids, "role backdoor") {
		t.Errorf("the role that the instance has gets no deny; the card says %v; steps:\n%s", p.Facts, ids)
	}
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "left without a profile", "backdoor")
}

// The tag that names an earlier role is a hint only: a role without our deny is
// not changed, and what is not a role's name is passed over.
func TestDeniedRoleTagForged(t *testing.T) {
	w := newIsolated(t, isolateOptions{deployed: true, tags: map[string]string{"killswitch-role:keeper": "x", "killswitch-role:other": "x", "killswitch-role:gone": "x", "killswitch-role:../*": "x"}})
	w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "other"})
	w.SetInstance(suspect, func(i *awsfake.Instance) { i.Profile = strings.Replace(i.Profile, "web-profile", isolation, 1) })
	p := w.plan()
	if ids := strings.Join(actiontest.StepIDs(p), "\n"); strings.Contains(ids, "role ") {
		t.Errorf("steps:\n%s", ids)
	}
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "not known")
}

// Where no isolation group can be made, since open ones have its names or the
// quota is full, a group of the VPC without any rule does, whatever its name.
func TestNoGroupLeft(t *testing.T) {
	open := []awsfake.Rule{{Protocol: "-1", Peer: "0.0.0.0/0"}}
	full := &smithy.GenericAPIError{Code: "SecurityGroupLimitExceeded", Message: "The maximum number of security groups has been reached."}
	for name, prepare := range map[string]func(*isolated){
		"quota": func(w *isolated) {
			w.SetGroup(awsfake.SecurityGroup{ID: "sg-0trap", VPC: vpcA, Name: isolation, Ingress: open})
			w.Fault(awsfake.Fault{Op: "ec2:CreateSecurityGroup", Err: full})
		},
		"names": func(w *isolated) {
			for n, suffix := range []string{"", "-" + actiontest.Request, "-" + actiontest.Request + "-2", "-" + actiontest.Request + "-3", "-" + actiontest.Request + "-4"} {
				w.SetGroup(awsfake.SecurityGroup{ID: fmt.Sprintf("sg-0trap%d", n), VPC: vpcA, Name: isolation + suffix, Ingress: open})
			}
		},
	} {
		for _, empty := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, a group without rules: %t", name, empty), func(t *testing.T) {
				w := newIsolated(t, isolateOptions{})
				prepare(w)
				w.SetGroup(awsfake.SecurityGroup{ID: "sg-00elsewhere", VPC: "vpc-0default", Name: "nothing"})
				if empty {
					w.SetGroup(awsfake.SecurityGroup{ID: "sg-0empty", VPC: vpcA, Name: "nothing"})
				}
				s := actiontest.StepOf(t, w.plan(), "network "+eniA)
				e, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run())
				if name == "names" { // the next name can't be foreseen
					actiontest.Must(t, err)
					if gs := w.groupsOf(eniA); len(gs) != 1 || !strings.HasPrefix(gs[0].Name, isolation+"-") || len(gs[0].Ingress)+len(gs[0].Egress) != 0 {
						t.Errorf("the interface is on %+v", gs)
					}
					if again := w.settle(s); again.Changed {
						t.Error("the second Apply changed something")
					}
					return
				}
				if !empty {
					_, hint := actions.Explain(err)
					if err == nil || actions.IsRetryLater(err) {
						t.Fatalf("Apply: %v", err)
					}
					actiontest.HasWords(t, hint, "delete", "without rules")
					return
				}
				actiontest.Must(t, err)
				if gs := w.groupsOf(eniA); len(gs) != 1 || gs[0].ID != "sg-0empty" {
					t.Errorf("the interface is on %+v", gs)
				}
				if r := w.verify(s, e); !r.Holds {
					t.Errorf("Verify: %+v", r)
				}
				if again := w.settle(s); again.Changed {
					t.Error("the second Apply changed something")
				}
				if r := w.Revert(s, e); !r.Holds || len(w.groupsOf(eniA)) != 2 {
					t.Errorf("Revert: %+v", r)
				}
			})
		}
	}
}
