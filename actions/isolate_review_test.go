package actions_test

import (
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// A profile of the shared one's name, which holds an attacker's role, is treated
// as any other: the role is denied.
func TestProfileNamedLikeOurs(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	w.Account(member).AddRole(awsfake.Role{Name: "backdoor", Trust: w.trust(), Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}, Profiles: []string{isolation}})
	w.AddInstance(awsfake.Instance{ID: suspect, Profile: isolation, Interfaces: []awsfake.Interface{{ID: eniA, VPC: vpcA, Subnet: "subnet-1", Groups: []string{sgWeb}, IPv4: "10.0.1.10"}}})
	p := w.plan()
	if ids := strings.Join(stepIDs(p), "\n"); !strings.Contains(ids, "role backdoor") {
		t.Errorf("the role that the instance has gets no deny; the card says %v; steps:\n%s", p.Facts, ids)
	}
	says(t, strings.Join(p.Warnings, " "), "not what it should be", "backdoor")
}

// The tag that names an earlier role is a hint only: a role without our deny is
// not changed, and what is not a role's name is passed over.
func TestDeniedRoleTagForged(t *testing.T) {
	w := newIsolated(t, isolateOptions{deployed: true, tags: map[string]string{"killswitch-role:keeper": "x", "killswitch-role:other": "x", "killswitch-role:gone": "x", "killswitch-role:../*": "x"}})
	w.Account(member).AddRole(awsfake.Role{Name: "other"})
	w.SetInstance(suspect, func(i *awsfake.Instance) { i.Profile = strings.Replace(i.Profile, "web-profile", isolation, 1) })
	p := w.plan()
	if ids := strings.Join(stepIDs(p), "\n"); strings.Contains(ids, "role ") {
		t.Errorf("steps:\n%s", ids)
	}
	says(t, strings.Join(p.Warnings, " "), "not known")
}
