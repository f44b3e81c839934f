// Package instance has isolate_instance, which contains an EC2 instance. Each kind of
// step has a file: network and branches, profile, role, targets, standby, snapshot, stop, protection_tag.
package instance

import (
	"context"
	"fmt"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// IsolateInstance isolates an EC2 instance: its network, the permissions of its role
// when used from it, and its Auto Scaling group, target groups and termination.
type IsolateInstance struct{}

// Spec implements [actions.Action].
func (IsolateInstance) Spec() actions.Spec {
	return actions.Spec{
		Name:       actions.IsolateInstance,
		Title:      "Isolate instance",
		Summary:    "cut an EC2 instance off from the network and from its permissions, and keep it as evidence",
		Usage:      `isolate_instance i-0123456789abcdef0 account=222222222222 region=us-east-1 reason="beacons to a known C2"`,
		Target:     actions.InstanceTarget,
		Options:    []string{"snapshot", "stop"},
		Values:     map[string][]string{"snapshot": {"yes", "no"}, "stop": {"yes", "no"}},
		Synonyms:   []string{"isolate", "isolate_host", "contain_instance", "quarantine_instance"},
		Check:      checkIsolate,
		Reversible: true,
		// A stop loses what is in memory.
		Irreversible: func(c actions.Call) bool { return c.Options["stop"] == "yes" },
		NotStopped: []string{
			openConnections, resolver,
			"The deny is on the credentials that this instance got, wherever they are used (up to 6 hours after the profile is gone). Roles that were assumed with them before live on: revoke_sessions contains those. Keys that were stored on it are not touched.",
			"Credentials of containers on it are other roles' (ECS tasks, EKS pod identities and service accounts) and live on for hours: revoke_sessions contains each such role.",
			"Classic load balancers, gateway appliances and routes that point at the instance are not looked at.",
			"Whoever is on the instance can still shut it down.",
		},
		More: &actions.More{
			Options: map[string]string{"stop": "yes"}, Title: "Stop the instance", For: openFor,
			What: "Stop the isolated instance: nothing else surely ends connections that are open. What is in its memory is lost.",
		},
		Undo:    "starts the instance if it was stopped, puts back the security groups, the instance profile and the role's policy, Auto Scaling and target groups, the tags and the protections; the isolation group stays for the next time",
		Delay:   "for new connections at once (open ones may go on: stop=yes ends them), for the role's credentials " + actions.IAMDelay,
		Permits: isolatePermits,
	}
}

// openFor matches the types of findings, and the words of people, about what goes on over a connection
// that is open.
// https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-types-active.html
var openFor = actions.NewPattern(`(?i)\b(C&C|C2|command and control|beacons?|backdoor|trojan|rat|exfiltrat\w*|exfil|reverse ?shell|crypto ?currency|ransom\w*)`)

// What security groups do not stop, and stop=yes does. Network ACLs filter neither DNS nor metadata.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html
// https://docs.aws.amazon.com/vpc/latest/userguide/vpc-security-groups.html
// https://docs.aws.amazon.com/vpc/latest/userguide/vpc-network-acls.html
const (
	openConnections = "Connections that are open may go on, also as command and control: security groups don't cut what is tracked already, and what goes through NAT gateways, load balancers, PrivateLink or firewalls is tracked whatever the rules (idle for up to 5 days; 350 s on Nitro v6 types). stop=yes ends them, or a network ACL by hand."
	resolver        = "DNS by the VPC's resolver gets through, as a tunnel too: stop=yes ends it, or Route 53 Resolver DNS Firewall. So does the instance metadata service."
)

func checkIsolate(c *actions.Call, _ *actions.ParseErrors) {
	for _, o := range []string{"snapshot", "stop"} {
		if c.Options[o] == "no" {
			delete(c.Options, o)
		}
	}
}

// stepKind is one kind of step. Kinds are independent: the failure of one does not
// stop another.
type stepKind struct {
	apply  func(context.Context, *actions.Account, actions.Step, actions.Run) (actions.Effect, error)
	verify func(context.Context, *actions.Account, actions.Step, actions.Effect) (actions.Reading, error)
	revert func(context.Context, *actions.Account, actions.Step, actions.Effect) (actions.Reading, error)
}

// stepKinds has the kinds by the first word of a step's ID.
var stepKinds = map[string]stepKind{
	"protect":      {applyAttribute, verifyAttribute, revertAttribute},
	"protect-stop": {applyAttribute, verifyAttribute, revertAttribute},
	"shutdown":     {applyAttribute, verifyAttribute, revertAttribute},
	"tag":          {applyInstanceTag, verifyInstanceTag, revertInstanceTag},
	"network":      {applyNetwork, verifyNetwork, revertNetwork},
	"role":         {applyInstanceRole, verifyInstanceRole, revertInstanceRole},
	"profile":      {applyProfile, verifyProfile, revertProfile},
	"standby":      {applyStandby, verifyStandby, revertStandby},
	"target-group": {applyTargets, verifyTargets, revertTargets},
	"snapshots":    {applySnapshots, verifySnapshots, revertSnapshots},
	"snapshot":     {applySnapshot, verifySnapshots, revertSnapshots},
	"stop":         {applyStop, verifyStop, revertStop},
}

func kindOfStep(s actions.Step) (stepKind, error) {
	kind, _, _ := strings.Cut(s.ID, " ")
	k, ok := stepKinds[kind]
	if !ok {
		return stepKind{}, fmt.Errorf("isolate_instance has no step %q", s.ID)
	}
	return k, nil
}

// Apply implements [actions.Action].
func (IsolateInstance) Apply(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	k, err := kindOfStep(s)
	if err != nil {
		return actions.Effect{Prior: s.Prior}, err
	}
	return k.apply(ctx, acct, s, run)
}

// Verify implements [actions.Action].
func (IsolateInstance) Verify(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	k, err := kindOfStep(s)
	if err != nil {
		return actions.Reading{}, err
	}
	return k.verify(ctx, acct, s, e)
}

// Revert implements [actions.Action].
func (IsolateInstance) Revert(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	k, err := kindOfStep(s)
	if err != nil {
		return actions.Reading{}, err
	}
	if by, err := heldElsewhere(ctx, acct, s); err != nil {
		return actions.Reading{}, err
	} else if by != "" && aws.ToString(e.Prior) != aws.ToString(e.Wrote) { // otherwise there is nothing to take back
		if is, err := k.verify(ctx, acct, s, e); err != nil || is.Holds {
			return actions.Reading{Found: s.After, Elsewhere: by}, err
		}
	}
	return k.revert(ctx, acct, s, e)
}

// heldElsewhere says which other installations isolate the instance of a step, too; "" for none. What they set has
// one place on it, but for the tag, which has all marks, and the deny on the role, which has a name of its own.
func heldElsewhere(ctx context.Context, acct *actions.Account, s actions.Step) (string, error) {
	id := acct.Approved
	if !actions.InstanceID.MatchString(id) {
		id = s.ResourceID
	}
	if kind, _, _ := strings.Cut(s.ID, " "); kind == "tag" || kind == "role" || !actions.InstanceID.MatchString(id) {
		return "", nil
	}
	found, err := findInstance(ctx, acct, id)
	if err != nil || found == nil {
		return "", err
	}
	return deny.Elsewhere(ctx, acct, instanceTag(found)), nil
}

// findInstance reads an instance, also one that EC2 hides since a service manages it; nil if it is gone.
// A terminated one is still described for about an hour.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/terminating-instances.html
func findInstance(ctx context.Context, acct *actions.Account, id string) (*types.Instance, error) {
	out, err := ec2Of(acct).DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{id}, IncludeManagedResources: aws.Bool(true)})
	if actions.IsCode(err, "InvalidInstanceID.NotFound") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for _, r := range out.Reservations {
		for i := range r.Instances {
			if aws.ToString(r.Instances[i].InstanceId) != id || isTerminated(r.Instances[i]) {
				continue
			}
			return &r.Instances[i], nil
		}
	}
	return nil, nil
}

func isTerminated(i types.Instance) bool {
	return i.State != nil && (i.State.Name == types.InstanceStateNameTerminated || i.State.Name == types.InstanceStateNameShuttingDown)
}

// instanceGone returns the error of a step whose instance no longer exists.
func instanceGone(id string) error {
	return &actions.Refusal{Reason: fmt.Sprintf("instance %s is terminated", id), Hint: "look for its snapshots, and for the group that may have replaced it"}
}

// readingGone returns the reading of undo for a resource that no longer exists.
func readingGone(what string) actions.Reading {
	return actions.Reading{Holds: true, Found: what + " no longer exists: there is nothing to take back"}
}
