package awsfake

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// A TargetGroup is what a load balancer sends traffic to.
type TargetGroup struct {
	Name    string   `json:"name"`
	ARN     string   `json:"arn"`
	VPC     string   `json:"vpc"`
	Type    string   `json:"type"` // instance (where empty), ip, lambda or alb
	Port    int32    `json:"port"`
	Targets []Target `json:"targets"`
}

// A Target is registered by instance ID or address.
type Target struct {
	ID   string `json:"id"`
	Port int32  `json:"port"`
	AZ   string `json:"az,omitempty"`
}

func (t Target) compare(u Target) int {
	return cmp.Or(strings.Compare(t.ID, u.ID), int(t.Port)-int(u.Port))
}

// draining is a target that finishes the requests it has.
type draining struct {
	Target
	until time.Time
}

// deregistrationDelay is the default of deregistration_delay.timeout_seconds.
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
const deregistrationDelay = 300 * time.Second

// "elasticloadbalancing" in IAM, in both versions of the service.
var elbOperations = map[string]operation{
	"elasticloadbalancing:DescribeTargetGroups": {run: bind(reads, describeTargetGroups).run, needs: onAll},
	"elasticloadbalancing:DescribeTargetHealth": {run: bind(reads, describeTargetHealth).run, needs: onAll},
	"elasticloadbalancing:RegisterTargets":      {mutating: true, run: bind(writes, registerTargets).run, needs: onTargetGroup},
	"elasticloadbalancing:DeregisterTargets":    {mutating: true, run: bind(writes, deregisterTargets).run, needs: onTargetGroup},
}

// AddTargetGroup sets up a target group and returns its ARN.
func (r *Region) AddTargetGroup(t TargetGroup) string {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	t.Type = or(t.Type, "instance")
	t.Targets = slices.Clone(t.Targets)
	t.ARN = r.arn("elasticloadbalancing", "targetgroup/"+t.Name+"/"+r.mint("tg-")[:16])
	r.targets[t.ARN] = &t
	return t.ARN
}

// SetTargets registers exactly these targets behind everybody's back.
func (r *Region) SetTargets(arn string, targets ...Target) {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	delete(r.draining, arn)
	if targets == nil {
		targets = []Target{}
	}
	r.targets[arn].Targets = targets
}

// DeleteTargetGroup deletes a target group.
func (r *Region) DeleteTargetGroup(arn string) {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	delete(r.targets, arn)
}

func (r *Region) register(arn string, t Target) {
	g := r.targets[arn]
	same := func(x Target) bool { return x.ID == t.ID && x.Port == t.Port }
	if !slices.ContainsFunc(g.Targets, same) {
		g.Targets = append(g.Targets, t)
	}
	r.draining[arn] = slices.DeleteFunc(r.draining[arn], func(d draining) bool { return same(d.Target) })
}

func (r *Region) deregister(arn string, now time.Time, t Target) {
	g := r.targets[arn]
	for i, x := range g.Targets {
		if x.ID == t.ID && (t.Port == 0 || x.Port == t.Port) {
			r.draining[arn] = append(r.draining[arn], draining{x, now.Add(deregistrationDelay)})
			g.Targets = slices.Delete(g.Targets, i, i+1)
			return
		}
	}
}

func onTargetGroup(k *request, in any) []need { return []need{k.on(field(in, "TargetGroupArn"))} }

func (r *Region) target(arn *string) (*TargetGroup, error) {
	if t, ok := r.targets[aws.ToString(arn)]; ok {
		return t, nil
	}
	return nil, &elbtypes.TargetGroupNotFoundException{Message: aws.String("One or more target groups not found")}
}

// describeTargetGroups has pages of at most 400.
func describeTargetGroups(k *request, in *elb.DescribeTargetGroupsInput) (*elb.DescribeTargetGroupsOutput, error) {
	r, out := k.here(), &elb.DescribeTargetGroupsOutput{}
	arns := sortedKeys(r.targets)
	from, size := 0, int(or32(in.PageSize, 400))
	if in.Marker != nil {
		n, err := strconv.Atoi(*in.Marker)
		if err != nil || n > len(arns) {
			return nil, validation("'%s' is not a valid marker", *in.Marker)
		}
		from = n
	}
	to := min(from+size, len(arns))
	for _, arn := range arns[from:to] {
		t := r.targets[arn]
		out.TargetGroups = append(out.TargetGroups, elbtypes.TargetGroup{TargetGroupArn: aws.String(arn), TargetGroupName: aws.String(t.Name), VpcId: emptyNil(t.VPC),
			TargetType: elbtypes.TargetTypeEnum(t.Type), Port: aws.Int32(t.Port)})
	}
	if to < len(arns) {
		out.NextMarker = aws.String(strconv.Itoa(to))
	}
	return out, nil
}

func or32(v *int32, otherwise int32) int32 {
	if v == nil {
		return otherwise
	}
	return *v
}

// describeTargetHealth lists what is registered, and what is draining.
func describeTargetHealth(k *request, in *elb.DescribeTargetHealthInput) (*elb.DescribeTargetHealthOutput, error) {
	r := k.here()
	t, err := r.target(in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	out := &elb.DescribeTargetHealthOutput{}
	add := func(x Target, state elbtypes.TargetHealthStateEnum) {
		d := elbtypes.TargetHealthDescription{Target: &elbtypes.TargetDescription{Id: aws.String(x.ID), Port: aws.Int32(x.Port), AvailabilityZone: emptyNil(x.AZ)},
			TargetHealth: &elbtypes.TargetHealth{State: state}}
		if state == elbtypes.TargetHealthStateEnumDraining {
			d.TargetHealth.Reason = elbtypes.TargetHealthReasonEnumDeregistrationInProgress
		}
		out.TargetHealthDescriptions = append(out.TargetHealthDescriptions, d)
	}
	for _, x := range t.Targets {
		add(x, elbtypes.TargetHealthStateEnumHealthy)
	}
	for _, d := range r.draining[t.ARN] {
		if d.until.After(k.now) {
			add(d.Target, elbtypes.TargetHealthStateEnumDraining)
		}
	}
	return out, nil
}

// registerTargets: "If the target is an EC2 instance, it must be in the running
// state"; AvailabilityZone "is not supported if the target type is instance".
func registerTargets(k *request, in *elb.RegisterTargetsInput) (*elb.RegisterTargetsOutput, error) {
	r := k.here()
	t, err := r.target(in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	for _, d := range in.Targets {
		id := aws.ToString(d.Id)
		if i := r.instances[id]; t.Type == "instance" && (i == nil || i.State != "running") {
			return nil, &elbtypes.InvalidTargetException{Message: aws.String("The following targets are not in a running state and cannot be registered: '" + id + "'")}
		}
		if t.Type == "instance" && d.AvailabilityZone != nil {
			return nil, validation("You cannot specify an Availability Zone for targets of the type instance")
		}
	}
	for _, d := range in.Targets {
		r.register(t.ARN, Target{ID: aws.ToString(d.Id), Port: or32(d.Port, t.Port), AZ: aws.ToString(d.AvailabilityZone)})
	}
	return &elb.RegisterTargetsOutput{}, nil
}

// deregisterTargets of what is not registered succeeds.
func deregisterTargets(k *request, in *elb.DeregisterTargetsInput) (*elb.DeregisterTargetsOutput, error) {
	r := k.here()
	t, err := r.target(in.TargetGroupArn)
	if err != nil {
		return nil, err
	}
	for _, d := range in.Targets {
		r.deregister(t.ARN, k.now, Target{ID: aws.ToString(d.Id), Port: aws.ToInt32(d.Port)})
	}
	return &elb.DeregisterTargetsOutput{}, nil
}
