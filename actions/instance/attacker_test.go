package instance_test

import (
	"fmt"
	"strings"
	"testing"

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

// Where open groups have all names of ours, the next one can't be foreseen; a group without rules that is
// somebody else's is not taken.
func TestNoGroupLeft(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	for n, suffix := range []string{"", "-" + actiontest.Request, "-" + actiontest.Request + "-2", "-" + actiontest.Request + "-3", "-" + actiontest.Request + "-4"} {
		w.SetGroup(awsfake.SecurityGroup{ID: fmt.Sprintf("sg-0trap%d", n), VPC: vpcA, Name: isolation + suffix, Ingress: []awsfake.Rule{{Protocol: "-1", Peer: "0.0.0.0/0"}}})
	}
	w.SetGroup(awsfake.SecurityGroup{ID: "sg-0empty", VPC: vpcA, Name: "nothing"})
	s := actiontest.StepOf(t, w.plan(), "network "+eniA)
	w.settle(s)
	if gs := w.groupsOf(eniA); len(gs) != 1 || !strings.HasPrefix(gs[0].Name, isolation+"-") || len(gs[0].Ingress)+len(gs[0].Egress) != 0 {
		t.Errorf("the interface is on %+v", gs)
	}
	if again := w.settle(s); again.Changed {
		t.Error("the second Apply changed something")
	}
}

// A run of an earlier version may have taken a group without rules that is not ours: it still holds, and is
// taken back.
func TestEarlierRunOnAForeignGroup(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	s := actiontest.StepOf(t, w.plan(), "network "+eniA)
	w.SetGroup(awsfake.SecurityGroup{ID: "sg-0empty", VPC: vpcA, Name: "nothing"})
	w.SetInterface(eniA, func(i *awsfake.Interface) { i.Groups = []string{"sg-0empty"} })
	e := actions.Effect{Prior: s.Prior, Wrote: new(`["sg-0empty"]`), Changed: true}
	if r := w.verify(s, e); !r.Holds {
		t.Errorf("Verify: %+v", r)
	}
	if r := w.Revert(s, e); !r.Holds || len(w.groupsOf(eniA)) != 2 {
		t.Errorf("Revert: %+v", r)
	}
}
