package instance_test

import (
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const (
	branch   = "eni-0dddddddddddddddd"
	untagged = "eni-0eeeeeeeeeeeeeeee"
	otherPod = "eni-0ffffffffffffffff"
)

// withPods makes the first interface a trunk with two branches, as EKS does for pods that have security
// groups of their own; one has lost its tag.
func (w *isolated) withPods() {
	tags := map[string]string{"vpcresources.k8s.aws/trunk-eni-id": eniA}
	for id, e := range map[string]awsfake.Interface{branch: {Trunk: eniA, Tags: tags}, untagged: {Trunk: eniA}, otherPod: {Trunk: "eni-0cccccccccccccccc"}} {
		w.SetInterface(id, func(i *awsfake.Interface) {
			*i = awsfake.Interface{ID: id, VPC: vpcA, Subnet: "subnet-1", Groups: []string{sgOps}, IPv4: "10.0.1.20", Trunk: e.Trunk, Tags: e.Tags}
		})
	}
}

// DescribeInstances lists the trunk alone: pods kept their network.
func TestIsolateCutsBranchInterfacesOff(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	w.withPods()
	w.SetInterface("eni-0cccccccccccccccc", func(i *awsfake.Interface) { i.Tags = map[string]string{"vpcresources.k8s.aws/trunk-eni-id": eniA} }) // a forged tag
	p, es := w.contain()
	w.shut()
	if !w.CanTalk(neighbour) {
		t.Error("whoever sets the tag has any interface cut off")
	}
	if got := w.groupsOf(otherPod); len(got) != 1 || got[0].ID != sgOps {
		t.Errorf("the branch of another instance is on %+v", got)
	}
	for _, id := range []string{branch, untagged} {
		s := actiontest.StepOf(t, p, "network "+id)
		if r := w.verify(s, es[s.ID]); s.Goal == "" || !s.Deny || !r.Holds {
			t.Errorf("%s: %+v", id, r)
		}
	}
	actiontest.HasWords(t, strings.Join(p.Residual, " "), "cordon")
	w.undo(p, es)
	if got := w.groupsOf(branch); len(got) != 1 || got[0].ID != sgOps {
		t.Errorf("after undo the branch is on %+v", got)
	}
}

// Where one list can't be read, the other one serves, and it is said; where neither can, the network is
// not known to be cut.
func TestBranchInterfacesThatCantBeRead(t *testing.T) {
	refused := &smithy.GenericAPIError{Code: "UnauthorizedOperation", Message: "not authorized"}
	for op, has := range map[string]string{"ec2:DescribeTrunkInterfaceAssociations": "network " + branch, "ec2:DescribeNetworkInterfaces": "branches " + eniA} {
		w := newIsolated(t, isolateOptions{})
		w.withPods()
		acct := w.Enter(actions.Responder, actions.PhasePlan)
		w.Fault(awsfake.Fault{Op: op, Err: refused})
		p, err := w.Act.Plan(t.Context(), acct, w.Call())
		actiontest.Must(t, err)
		actiontest.HasWords(t, strings.Join(p.Warnings, " "), "branch", "UnauthorizedOperation")
		if s := actiontest.StepOf(t, p, has); s.Goal == "" || (s.Skip != "") != strings.HasPrefix(has, "branches") {
			t.Errorf("%s: %+v", op, s)
		}
		actiontest.StepOf(t, p, "network "+eniA)
	}
}
