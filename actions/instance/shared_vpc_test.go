package instance_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// The ARNs of a shared VPC and of a shared group have their owner's account.
func TestIsolateInASharedVPC(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	w.AddVPC(awsfake.VPC{ID: vpcA, IPv6: true, Owner: actiontest.Sandbox})
	ops := w.region().Groups[sgOps]
	ops.Owner = actiontest.Sandbox
	w.SetGroup(ops)
	p, es := w.contain()
	w.shut()
	w.undo(p, es)
	if got := w.groupsOf(eniB); len(got) != 1 || got[0].ID != sgOps {
		t.Errorf("after undo the interface is on %+v", got)
	}
}

// Whoever owns a group may add rules: one without rules that is not ours is never taken, whatever its name.
func TestForeignGroupWithoutRulesIsNeverTaken(t *testing.T) {
	for name, g := range map[string]awsfake.SecurityGroup{
		"another name":    {Name: "nothing"},
		"our name alone":  {Name: isolation},
		"another account": {Name: isolation, Owner: actiontest.Sandbox, Tags: map[string]string{actiontest.Tag: "KS-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newIsolated(t, isolateOptions{})
			g.ID, g.VPC = "sg-0trap", vpcA
			w.SetGroup(g)
			w.contain()
			w.shut()
			if on := w.Interfaces("sg-0trap"); len(on) > 0 {
				t.Errorf("the foreign group is on %v", on)
			}
			for _, g := range w.groupsOf(eniA) {
				if g.Tags[actiontest.Tag] != actiontest.Request {
					t.Errorf("the group made is not tagged: %+v", g)
				}
			}
		})
	}
	for name, g := range map[string]awsfake.SecurityGroup{
		"tagged":                   {Tags: map[string]string{actiontest.Tag: "KS-EARLIER"}},
		"of an earlier version":    {Description: "Killswitch isolation: no rule in, no rule out"},
		"and of another request's": {Name: isolation + "-KS-EARLIER", Tags: map[string]string{actiontest.Tag: "KS-EARLIER"}},
	} {
		t.Run("ours, "+name, func(t *testing.T) {
			w := newIsolated(t, isolateOptions{})
			w.SetInterface(eniA, func(i *awsfake.Interface) { i.Groups = []string{"sg-0ours"} })
			g.ID, g.VPC = "sg-0ours", vpcA
			if g.Name == "" {
				g.Name = isolation
			}
			w.SetGroup(g)
			if _, es := w.contain(); es["network "+eniA].Changed {
				t.Error("an interface on our group was changed")
			}
		})
	}
}

// An interface on a foreign group without rules is not isolated yet.
func TestInterfaceOnAForeignClosedGroupIsMoved(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	w.SetGroup(awsfake.SecurityGroup{ID: "sg-0trap", VPC: vpcA, Name: isolation})
	w.SetInterface(eniA, func(i *awsfake.Interface) { i.Groups = []string{"sg-0trap"} })
	w.contain()
	if on := w.Interfaces("sg-0trap"); len(on) > 0 {
		t.Errorf("the foreign group is on %v", on)
	}
}

// With the quota full and no group of ours, the card says what helps; other interfaces don't wait.
func TestNoRoomForAGroup(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	w.SetGroup(awsfake.SecurityGroup{ID: "sg-0empty", VPC: vpcA, Name: "nothing"})
	w.Fault(awsfake.Fault{Op: "ec2:CreateSecurityGroup", Err: &smithy.GenericAPIError{Code: "SecurityGroupLimitExceeded", Message: "The maximum number of security groups has been reached."}})
	_, err := w.Act.Apply(t.Context(), w.Responder(), actiontest.StepOf(t, w.plan(), "network "+eniA), w.Run())
	if err == nil || actions.IsRetryLater(err) {
		t.Fatalf("Apply: %v", err)
	}
	_, hint := actions.Explain(err)
	actiontest.HasWords(t, hint, "delete", "stop=yes")
	if on := w.Interfaces("sg-0empty"); len(on) > 0 {
		t.Errorf("the foreign group is on %v", on)
	}
}

// Of an interface that a service of AWS requested, AWS lets nobody change the groups: the others are cut, and
// the next step is named.
func TestInterfaceThatAWSRefusesToChange(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	w.SetInterface(eniA, func(i *awsfake.Interface) { i.Requested = true })
	p := w.plan()
	_, err := w.Act.Apply(t.Context(), w.Responder(), actiontest.StepOf(t, p, "network "+eniA), w.Run())
	actiontest.WantCode(t, err, "AuthFailure")
	_, hint := actions.Explain(err)
	actiontest.HasWords(t, hint, "stop=yes", "network ACL")
	w.settle(actiontest.StepOf(t, p, "network "+eniB))
	if gs := w.groupsOf(eniB); len(gs) != 1 || !strings.HasPrefix(gs[0].Name, isolation) {
		t.Errorf("the other one is on %+v", gs)
	}
}

// GuardDuty names instances that a service manages, which EC2 hides.
func TestHiddenManagedInstanceIsFound(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	w.SetInstance(suspect, func(i *awsfake.Instance) { i.Operator, i.Hidden = "eks.amazonaws.com", true })
	p, es := w.contain()
	w.shut()
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "eks.amazonaws.com", "manages")
	for _, s := range p.Steps {
		if r := w.verify(s, es[s.ID]); !r.Holds {
			t.Errorf("%s: %+v", s.ID, r)
		}
	}
}

// What manages an instance acts on it while it is isolated; its tags name that.
func TestOwnersAreNamedByTheirTags(t *testing.T) {
	for tag, words := range map[string][]string{
		"aws:eks:cluster-name=prod-eks":             {"EKS", "prod-eks", "cordon"},
		"eks:cluster-name=prod-eks":                 {"EKS", "prod-eks", "cordon"},
		"aws:ecs:clusterName=prod-ecs":              {"ECS", "prod-ecs", "elsewhere"},
		"aws:elasticmapreduce:job-flow-id=j-1":      {"EMR", "j-1", "replaces"},
		"elasticbeanstalk:environment-name=web-env": {"Beanstalk", "web-env", "rebuild"},
		"aws:autoscaling:groupName=web-asg":         {"Auto Scaling", "web-asg", "Standby"},
	} {
		key, value, _ := strings.Cut(tag, "=")
		w := newIsolated(t, isolateOptions{tags: map[string]string{key: value}})
		p := w.plan()
		i := slices.IndexFunc(p.Warnings, func(text string) bool { return strings.Contains(text, value) })
		if i < 0 {
			t.Errorf("%s: the plan does not name the owner: %q", tag, p.Warnings)
			continue
		}
		actiontest.HasWords(t, p.Warnings[i], words...)
	}
}
