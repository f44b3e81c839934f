package instance_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// Four interfaces, three target groups and three volumes fit into a session
// policy; so does what an attacker can add.
func TestSessionPolicyFits(t *testing.T) {
	for _, partition := range []string{"aws", "aws-us-gov", "aws-cn"} {
		for _, many := range []int{1, 4, 60} {
			for _, path := range []string{"/", "/" + strings.Repeat("a", 510) + "/", "/" + strings.Repeat("*", 200) + "/"} {
				org := actiontest.TestOrg(partition)
				region := map[string]string{"aws": "ap-southeast-2", "aws-us-gov": "us-gov-west-1", "aws-cn": "cn-northwest-1"}[partition]
				arn := func(service, r string) string {
					return "arn:" + partition + ":" + service + ":" + region + ":" + actiontest.Member + ":" + r
				}
				name := strings.Repeat("r", 64)
				target := arn("ec2", "instance/"+suspect)
				resources := []string{target, "arn:" + partition + ":iam::" + actiontest.Member + ":role" + path + name,
					arn("autoscaling", "autoScalingGroup:0f3c2b1a-1111-2222-3333-444455556666:autoScalingGroupName/"+strings.Repeat("<*>", 80))}
				for n := range many {
					resources = append(resources, arn("ec2", fmt.Sprintf("network-interface/eni-%017x", n)))
					if n < 3 || many > 4 {
						resources = append(resources, arn("ec2", fmt.Sprintf("volume/vol-%017x", n)),
							arn("elasticloadbalancing", fmt.Sprintf("targetgroup/%s/%016x", strings.Repeat("t", 32), n)))
					}
				}
				call := actions.Call{Action: actions.IsolateInstance, Target: target, Account: actiontest.Member, Region: region, Options: map[string]string{"snapshot": "yes", "stop": "yes"}}
				for phase := actions.PhasePlan; phase <= actions.PhaseUndo; phase++ {
					ss := isolate(t).Spec().Permits(phase, actions.ScopeOf(isolate(t), org, call, resources))
					if n := policySize(t, ss); n > 2048 {
						t.Errorf("%s, %d of each, phase %d: %d characters", partition, many, phase, n)
					}
					for _, s := range ss {
						for _, r := range s.Resources {
							if r != "*" && !strings.Contains(r, ":"+actiontest.Member+":") && !strings.HasSuffix(r, "::snapshot/*") && !strings.HasSuffix(r, ":*:vpc/*") && !strings.HasSuffix(r, ":*:security-group/*") {
								t.Errorf("phase %d: %v on %s", phase, s.Actions, r)
							}
						}
					}
				}
			}
		}
	}
}

func policySize(t *testing.T, ss []actions.Statement) int { return len(policyOf(t, ss)) }

func policyOf(t *testing.T, ss []actions.Statement) string {
	t.Helper()
	b, err := actions.PolicyDocument(ss)
	actiontest.Must(t, err)
	return string(b)
}

// A usual instance gets exact resources.
func TestPermissionsAreExactWhereTheyFit(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	w.plan()
	for _, phase := range []actions.Phase{actions.PhaseRun, actions.PhaseUndo} {
		for _, s := range w.Permits(phase) {
			for _, r := range s.Resources {
				wide := strings.HasSuffix(r, "/*") && !strings.Contains(r, "security-group/*") && !strings.Contains(r, "vpc/*") && !strings.Contains(r, "autoScalingGroupName/*")
				if wide {
					t.Errorf("phase %d: %v on %s", phase, s.Actions, r)
				}
				if strings.Contains(r, "volume/") || strings.Contains(r, "snapshot/") {
					t.Errorf("phase %d: %s though no snapshot is asked for", phase, r)
				}
			}
		}
	}
}

// The member roles' policies, which are what the action may need of any account,
// are enough by themselves.
func TestMemberRolesPoliciesAreEnough(t *testing.T) {
	w := newIsolated(t, isolateOptions{snapshot: "yes", stop: "yes", pods: true})
	spec, anything := w.Act.Spec(), actions.Anything(w.Org)
	w.Member(actiontest.Member, awsfake.MemberRoles{ExternalID: w.Org.ExternalID,
		ResponderPolicy: policyOf(t, append(spec.Permits(actions.PhasePlan, anything), spec.Permits(actions.PhaseRun, anything)...)),
		RestorerPolicy:  policyOf(t, spec.Permits(actions.PhaseUndo, anything))})
	before := w.state()
	p, es := w.contain()
	w.shut()
	for _, s := range p.Steps {
		if r := w.verify(s, es[s.ID]); !r.Holds {
			t.Errorf("%s: %+v", s.ID, r)
		}
	}
	w.undo(p, es)
	if fmt.Sprint(before) != fmt.Sprint(w.state()) {
		t.Error("not restored")
	}
}
