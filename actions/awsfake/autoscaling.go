package awsfake

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	astypes "github.com/aws/aws-sdk-go-v2/service/autoscaling/types"
)

// A ScalingGroup is an Auto Scaling group.
type ScalingGroup struct {
	Name         string            `json:"name"`
	ARN          string            `json:"arn"`
	Min          int32             `json:"min"`
	Max          int32             `json:"max"`
	Desired      int32             `json:"desired"`
	Members      map[string]string `json:"members"` // lifecycle states by instance
	TargetGroups []string          `json:"target_groups,omitempty"`
	// Draining is how long its load balancers let connections end; five minutes where it is 0.
	Draining time.Duration `json:"-"`
}

func (g *ScalingGroup) clone() ScalingGroup {
	n := *g
	n.Members, n.TargetGroups = maps.Clone(g.Members), slices.Clone(g.TargetGroups)
	return n
}

var autoScalingOperations = map[string]operation{
	"autoscaling:DescribeAutoScalingInstances": {run: bind(reads, describeScalingInstances).run, needs: onAll},
	"autoscaling:DescribeAutoScalingGroups":    {run: bind(reads, describeScalingGroups).run, needs: onAll},
	"autoscaling:EnterStandby":                 {mutating: true, run: bind(writes, enterStandby).run, needs: onScalingGroup},
	"autoscaling:ExitStandby":                  {mutating: true, run: bind(writes, exitStandby).run, needs: onScalingGroup},
}

// AddScalingGroup sets up an Auto Scaling group and returns its ARN.
func (r *Region) AddScalingGroup(g ScalingGroup) string {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	n := g.clone()
	if n.Members == nil {
		n.Members = map[string]string{}
	}
	n.ARN = r.arn("autoscaling", "autoScalingGroup:0f3c2b1a-"+r.mint("asg-")[:12]+":autoScalingGroupName/"+n.Name)
	r.scaling[n.Name] = &n
	return n.ARN
}

// SetMember puts an instance into a lifecycle state behind everybody's back; ""
// takes it out of the group.
func (r *Region) SetMember(group, instance, state string) {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	if state == "" {
		delete(r.scaling[group].Members, instance)
		return
	}
	r.scaling[group].Members[instance] = state
}

// settle lets instances arrive in Standby.
func (r *Region) settle(now time.Time) {
	for _, g := range r.scaling {
		for id, state := range g.Members {
			if state == "EnteringStandby" && !r.moving[id].After(now) {
				g.Members[id] = "Standby"
			}
		}
	}
}

func onScalingGroup(k *request, in any) []need {
	r, name := k.here(), field(in, "AutoScalingGroupName")
	if g, ok := r.scaling[name]; ok {
		return []need{k.on(g.ARN)}
	}
	return []need{k.on(r.arn("autoscaling", "autoScalingGroup:*:autoScalingGroupName/"+name))}
}

func describeScalingInstances(k *request, in *autoscaling.DescribeAutoScalingInstancesInput) (*autoscaling.DescribeAutoScalingInstancesOutput, error) {
	r, out := k.here(), &autoscaling.DescribeAutoScalingInstancesOutput{}
	r.settle(k.now)
	for _, name := range sortedKeys(r.scaling) {
		for _, id := range sortedKeys(r.scaling[name].Members) {
			if slices.Contains(in.InstanceIds, id) {
				out.AutoScalingInstances = append(out.AutoScalingInstances, astypes.AutoScalingInstanceDetails{AutoScalingGroupName: aws.String(name), InstanceId: aws.String(id), LifecycleState: aws.String(r.scaling[name].Members[id])})
			}
		}
	}
	return out, nil
}

func describeScalingGroups(k *request, in *autoscaling.DescribeAutoScalingGroupsInput) (*autoscaling.DescribeAutoScalingGroupsOutput, error) {
	r, out := k.here(), &autoscaling.DescribeAutoScalingGroupsOutput{}
	for _, name := range sortedKeys(r.scaling) {
		if g := r.scaling[name]; slices.Contains(in.AutoScalingGroupNames, name) {
			out.AutoScalingGroups = append(out.AutoScalingGroups, astypes.AutoScalingGroup{AutoScalingGroupName: aws.String(name), AutoScalingGroupARN: aws.String(g.ARN),
				MinSize: aws.Int32(g.Min), MaxSize: aws.Int32(g.Max), DesiredCapacity: aws.Int32(g.Desired), TargetGroupARNs: g.TargetGroups})
		}
	}
	return out, nil
}

// member finds the one instance that a call is about, in the state that it must have.
func (r *Region) member(group *string, ids []string, state string) (*ScalingGroup, string, error) {
	g, ok := r.scaling[aws.ToString(group)]
	if !ok {
		return nil, "", validation("AutoScalingGroup name not found - AutoScalingGroup '%s' not found", aws.ToString(group))
	}
	if len(ids) != 1 {
		return nil, "", apiError("NotImplemented", "awsfake: one instance at a time")
	}
	switch have, ok := g.Members[ids[0]]; {
	case !ok:
		return nil, "", validation("The instance %s is not part of Auto Scaling group %s.", ids[0], g.Name)
	case have != state:
		return nil, "", validation("The instance %s is not in %s.", ids[0], state)
	}
	return g, ids[0], nil
}

// enterStandby: "If you choose to decrement the desired capacity … otherwise Amazon
// EC2 Auto Scaling launches a new instance to replace the instance on standby"; "the
// instance is deregistered from the load balancer or target group".
// Until it is, it is entering: "Elastic Load Balancing waits 300 seconds by default before completing the
// deregistration process".
// https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-enter-exit-standby.html
func enterStandby(k *request, in *autoscaling.EnterStandbyInput) (*autoscaling.EnterStandbyOutput, error) {
	r := k.here()
	r.settle(k.now)
	g, id, err := r.member(in.AutoScalingGroupName, in.InstanceIds, "InService")
	if err != nil {
		return nil, err
	}
	if aws.ToBool(in.ShouldDecrementDesiredCapacity) {
		if g.Desired-1 < g.Min {
			return nil, validation("AutoScalingGroup %s has min-size=%d, max-size=%d, and desired-size=%d. To place into standby 1 instance, please update the AutoScalingGroup sizes appropriately.", g.Name, g.Min, g.Max, g.Desired)
		}
		g.Desired--
	} else {
		g.Members[r.new("i-")] = "InService"
	}
	g.Members[id], r.moving[id] = "EnteringStandby", k.visible()
	if len(g.TargetGroups) > 0 {
		r.moving[id] = k.now.Add(cmp.Or(g.Draining, 300*time.Second))
	}
	for _, arn := range g.TargetGroups {
		r.deregister(arn, k.now, Target{ID: id, Port: r.targets[arn].Port})
	}
	return &autoscaling.EnterStandbyOutput{}, nil
}

// exitStandby: "After you put the instance back in service, the desired capacity is
// incremented", which the group's maximum may forbid.
func exitStandby(k *request, in *autoscaling.ExitStandbyInput) (*autoscaling.ExitStandbyOutput, error) {
	r := k.here()
	r.settle(k.now)
	g, id, err := r.member(in.AutoScalingGroupName, in.InstanceIds, "Standby")
	if err != nil {
		return nil, err
	}
	if g.Desired+1 > g.Max {
		return nil, validation("New SetDesiredCapacity value %d is above max value %d for the AutoScalingGroup.", g.Desired+1, g.Max)
	}
	g.Desired++
	g.Members[id] = "InService"
	for _, arn := range g.TargetGroups {
		r.register(arn, Target{ID: id, Port: r.targets[arn].Port})
	}
	return &autoscaling.ExitStandbyOutput{}, nil
}

// SetDesired changes a group's desired capacity behind everybody's back.
func (r *Region) SetDesired(group string, n int32) {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	r.scaling[group].Desired = n
}
