package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// lookupTimeout limits slow look-ups: the isolation of the network must not wait for a
// load balancer.
const lookupTimeout = 6 * time.Second

// isolation builds a plan.
type isolation struct {
	acct     *actions.Account
	call     actions.Call
	arn, id  string
	instance types.Instance
	plan     actions.Plan
	before   isolationSnapshot
}

// isolationSnapshot is the prior state, for the record.
type isolationSnapshot struct {
	Instance     string              `json:"instance"`
	Attributes   map[string]string   `json:"attributes,omitempty"`
	Tags         map[string]string   `json:"tags,omitempty"`
	Interfaces   []interfaceBefore   `json:"interfaces"`
	Profile      string              `json:"instance_profile,omitempty"`
	Role         string              `json:"role,omitempty"`
	Group        string              `json:"auto_scaling_group,omitempty"`
	Lifecycle    string              `json:"lifecycle_state,omitempty"`
	TargetGroups map[string][]target `json:"target_groups,omitempty"`
	Volumes      []string            `json:"volumes,omitempty"`
}

type interfaceBefore struct {
	ID     string   `json:"id"`
	VPC    string   `json:"vpc"`
	Groups []string `json:"security_groups"`
	// Tracking is the connection-tracking setting, in seconds; 0 for AWS's default.
	TCP       int32 `json:"tcp_established_timeout,omitempty"`
	UDP       int32 `json:"udp_timeout,omitempty"`
	UDPStream int32 `json:"udp_stream_timeout,omitempty"`
}

// Plan implements [actions.Action].
func (IsolateInstance) Plan(ctx context.Context, acct *actions.Account, c actions.Call) (actions.Plan, error) {
	id := actions.LastPart(c.Target)
	found, err := findInstance(ctx, acct, id)
	if err != nil {
		return actions.Plan{}, err
	}
	if found == nil {
		return actions.Plan{}, missing(ctx, acct, c, id)
	}
	i := &isolation{acct: acct, call: c, arn: c.Target, id: id, instance: *found}
	i.before = isolationSnapshot{Instance: id, Tags: map[string]string{}, Attributes: map[string]string{}}
	i.plan = actions.Plan{
		Identity:   actions.Identity{ARN: c.Target, ID: id, Created: aws.ToTime(found.LaunchTime)},
		Reversible: true,
		Undo:       IsolateInstance{}.Spec().Undo,
		Residual:   IsolateInstance{}.Spec().NotStopped,
	}
	i.network()
	if i.plan.More = acct.Look == actions.LookFirst; i.plan.More {
		return i.plan, nil
	}
	i.branches(ctx)
	i.profile(ctx)
	i.tag(ctx)
	i.protect(ctx)
	// From here on, failures and slow answers must not affect the steps above.
	slow, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	i.standby(slow)
	i.targets(slow)
	i.volumes()
	i.stop()
	if acct.Look == actions.LookAll {
		i.owners()
		i.facts(ctx)
	}
	b, err := json.Marshal(i.before)
	if err != nil {
		return actions.Plan{}, err
	}
	i.plan.Snapshot = string(b)
	return i.plan, nil
}

func (i *isolation) step(s actions.Step) { i.plan.Steps = append(i.plan.Steps, s) }

func (i *isolation) fact(label, text string) {
	if text != "" {
		i.plan.Facts = append(i.plan.Facts, actions.Fact{Label: label, Text: actions.Clip(text)})
	}
}

func (i *isolation) warn(format string, args ...any) {
	i.plan.Warnings = append(i.plan.Warnings, fmt.Sprintf(format, args...))
}

// skipStep warns that a step is not planned since its resource could not be read.
func (i *isolation) skipStep(what, therefore string, err error) {
	cause, _ := actions.Explain(err)
	i.warn("%s could not be read (%s): %s", what, cause, therefore)
}

func (i *isolation) tag(ctx context.Context) {
	for _, t := range i.instance.Tags {
		i.before.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	tag := instanceTag(&i.instance)
	if i.acct.Look == actions.LookAll {
		deny.WarnElsewhere(ctx, i.acct, tag, &i.plan)
	}
	i.step(actions.Step{ID: "tag", Title: "Tag the instance as contained", Resource: i.arn, ResourceID: i.id, Hold: actions.HoldKey(i.acct, i.id, "tag", deny.TamperTag), Prior: tag,
		Current: deny.TagText(tag), After: "tag " + deny.TamperTag + " = this request"})
}

func (i *isolation) network() {
	for _, e := range i.instance.NetworkInterfaces {
		i.cutOff(aws.ToString(e.NetworkInterfaceId), aws.ToString(e.VpcId), e.Groups, e.ConnectionTrackingConfiguration)
	}
	if len(i.instance.NetworkInterfaces) == 0 {
		i.warn("The instance has no network interface.")
	}
}

// cutOff plans to put an interface on the closed group.
func (i *isolation) cutOff(id, vpc string, on []types.GroupIdentifier, tracked *types.ConnectionTrackingSpecificationResponse) {
	groups := groupIDs(on)
	b := interfaceBefore{ID: id, VPC: vpc, Groups: groups}
	if tracked != nil {
		b.TCP, b.UDP, b.UDPStream = aws.ToInt32(tracked.TcpEstablishedTimeout), aws.ToInt32(tracked.UdpTimeout), aws.ToInt32(tracked.UdpStreamTimeout)
	}
	i.before.Interfaces = append(i.before.Interfaces, b)
	i.step(actions.Step{ID: "network " + id, Title: "Cut the network interface " + id + " off", Goal: "network " + id, Deny: true,
		Resource: regionalARN(i.acct, "ec2", "network-interface/"+id), ResourceID: id, Hold: actions.HoldKey(i.acct, id, "groups", id), Prior: groupsValue(groups),
		Current: groupsText(on), After: "only the security group " + IsolationName + " (or one like it), which lets nothing in or out"})
}

// profile plans the deny on the role and the change of the profile.
func (i *isolation) profile(ctx context.Context) {
	step := actions.Step{ID: "profile", Title: "Replace the instance profile by " + IsolationName, Resource: i.arn, ResourceID: i.id, Hold: actions.HoldKey(i.acct, i.id, "profile", i.id),
		Current: profileText(nil), After: "instance profile " + IsolationName + ", whose role may do nothing (AWSDenyAll); none where that is not as it was deployed"}
	if i.instance.IamInstanceProfile == nil {
		i.fact("Instance profile", "none: the instance has no credentials of its own")
		if i.deniedRoles(ctx) { // an earlier request took it off
			i.step(step)
		} else {
			i.formerRoles(ctx)
		}
		return
	}
	step.Prior, step.Current = i.instance.IamInstanceProfile.Arn, profileText(i.instance.IamInstanceProfile.Arn)
	i.before.Profile = aws.ToString(step.Prior)
	if on := i.before.Profile == isolationProfileARN(i.acct); i.isolationFits(ctx, on) && on {
		i.fact("Instance profile", IsolationName+": isolated already")
		if !i.deniedRoles(ctx) {
			i.warn("Which role the instance had before is not known: where an earlier request denied it, that one's undo lifts the deny.")
		}
	} else {
		i.role(ctx, i.before.Profile)
		i.formerRoles(ctx)
	}
	i.step(step)
}

// isolationFits reports whether the isolation profile is known to be what it should be: the name
// alone proves nothing. It is read for people, and if the instance is on it.
func (i *isolation) isolationFits(ctx context.Context, on bool) bool {
	if !on && i.acct.Look != actions.LookAll {
		return false
	}
	_, unfit, err := isolationProfile(ctx, i.acct)
	switch {
	case err != nil:
		i.skipStep("The instance profile "+IsolationName, "it is looked at again before it is used", err)
	case unfit != "":
		i.warn("The instance is left without a profile, since %s. `killswitch template members` prints what deploys it.", unfit)
	}
	return err == nil && unfit == ""
}

func (i *isolation) role(ctx context.Context, profile string) {
	role, err := profileRole(ctx, i.acct, actions.LastPart(profile))
	if err != nil {
		i.withoutDeny("", "the instance profile "+actions.LastPart(profile)+" could not be read", err)
		return
	}
	if role == nil {
		i.fact("Instance profile", profile+", which holds no role")
		return
	}
	i.before.Role = aws.ToString(role.Arn)
	i.fact("Instance profile", profile)
	i.denyRole(ctx, role)
}

// deniedRoles plans the denies that an earlier request wrote to the instance's roles,
// so that its undo does not remove them while this request needs them, and reports whether there
// are any. The roles are in the instance's tags, which others can write too: a role counts only if
// it has the deny for this instance.
func (i *isolation) deniedRoles(ctx context.Context) (found bool) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	seen := map[string]bool{}
	for _, t := range i.instance.Tags {
		by, name, ok := deniedRoleOf(aws.ToString(t.Key))
		if !ok || seen[name] {
			continue
		}
		denied, err := i.isDenied(ctx, by, name)
		if err != nil {
			i.skipStep("The role "+name, "this request does not hold the deny on it", err)
		}
		if err != nil || !denied {
			continue
		}
		role, err := deny.GetRole(ctx, i.acct, name)
		if err != nil {
			i.skipStep("The role "+name, "this request does not hold the deny on it", err)
			continue
		}
		found, seen[name] = true, true
		i.denyRole(ctx, role)
	}
	return found
}

// isDenied reports whether a role has an installation's deny for the instance, of this version or an earlier one.
func (i *isolation) isDenied(ctx context.Context, by actions.Installation, role string) (bool, error) {
	for _, policy := range []string{by.Name(deny.InstancePolicy), deny.EarlierPolicy(i.id)} {
		doc, err := deny.GetRolePolicy(ctx, i.acct, role, policy)
		if err != nil || doc != nil && slices.Contains(deny.DeniedInstances(*doc), i.arn) {
			return err == nil, err
		}
	}
	return false, nil
}

// credentials is the goal that the credentials which the instance got are denied. There is
// one for each role that it had, since others can give it another role meanwhile.
const credentials = "credentials"

// withoutDeny adds the deny on the instance's role as a step that can't be done: the goal
// is not achieved without it. The role's name is empty if it is not known.
func (i *isolation) withoutDeny(role, cause string, err error) {
	because, _ := actions.Explain(err)
	cause += " (" + because + ")"
	i.warn("The credentials of the instance's role get no deny: %s. Its profile is replaced all the same, but credentials that are out stay valid for up to 6 hours.", cause)
	i.step(actions.Step{ID: strings.TrimSpace("role " + role), Title: "Deny the instance's role to this instance", Resource: i.arn, ResourceID: i.id,
		Hold: actions.HoldKey(i.acct, i.id, "role", role), Goal: strings.TrimSpace(credentials + " " + role), Skip: cause, Current: "its credentials work", After: "unchanged: " + cause})
}

func (i *isolation) denyRole(ctx context.Context, role *iamtypes.Role) {
	arn, name := aws.ToString(role.Arn), aws.ToString(role.RoleName)
	i.fact("Role", arn)
	if no := i.acct.Org.RefuseIdentity(actions.Identity{ARN: arn}, false); no != nil {
		i.withoutDeny(name, "the role "+name+" may not be changed", no)
		return
	}
	policy := i.acct.Org.Installation.Name(deny.InstancePolicy)
	prior, err := deny.GetRolePolicy(ctx, i.acct, name, policy)
	if err != nil {
		i.withoutDeny(name, "the role "+name+" could not be read", err)
		return
	}
	if prior != nil && deny.DeniedInstances(*prior) == nil {
		i.warn("The role has another policy named %s. It is replaced, and undo puts it back: %s", policy, deny.Compact(*prior))
	}
	i.step(actions.Step{ID: "role " + name, Title: "Deny the role " + name + " to this instance", Goal: credentials + " " + name, Deny: true, Resource: arn, ResourceID: aws.ToString(role.RoleId), Share: i.arn,
		Hold: actions.HoldKey(i.acct, aws.ToString(role.RoleId), "inline", policy), Prior: prior,
		Current: isolateText(i.arn, policy, prior), After: "inline policy " + policy + ": Deny * for credentials handed to " + i.id + ", wherever they are used"})
}

func (i *isolation) facts(ctx context.Context) {
	in := i.instance
	var about []actions.Fact
	add := func(label, text string) {
		if text != "" {
			about = append(about, actions.Fact{Label: label, Text: actions.Clip(text)})
		}
	}
	add("Name", i.before.Tags["Name"])
	state := ""
	if in.State != nil {
		state = string(in.State.Name)
	}
	add("Instance", strings.Join([]string{string(in.InstanceType), state, "launched " + aws.ToTime(in.LaunchTime).UTC().Format("2006-01-02 15:04 UTC")}, ", "))
	add("VPC", strings.TrimSpace(aws.ToString(in.VpcId)+" "+aws.ToString(in.SubnetId)))
	add("Addresses", strings.Join(addresses(in), ", "))
	for _, e := range in.NetworkInterfaces {
		add("Interface "+aws.ToString(e.NetworkInterfaceId), groupsText(e.Groups))
	}
	if p := i.before.Profile; p != "" && i.before.Role != "" {
		add("Same instance profile", i.otherInstances(ctx, p))
	}
	i.plan.Facts = append(about, i.plan.Facts...)
}

// otherInstances returns the other instances with the same profile, in words: one call.
func (i *isolation) otherInstances(ctx context.Context, profile string) string {
	out, err := ec2Of(i.acct).DescribeInstances(ctx, &ec2.DescribeInstancesInput{MaxResults: aws.Int32(100), IncludeManagedResources: aws.Bool(true),
		Filters: []types.Filter{{Name: aws.String("iam-instance-profile.arn"), Values: []string{profile}}}})
	if err != nil {
		cause, _ := actions.Explain(err)
		return "could not be read: " + cause
	}
	var ids []string
	for _, r := range out.Reservations {
		for _, o := range r.Instances {
			if id := aws.ToString(o.InstanceId); id != i.id && !isTerminated(o) {
				ids = append(ids, id)
			}
		}
	}
	if len(ids) == 0 {
		return "no other instance here"
	}
	slices.Sort(ids)
	const most = 5
	text := strings.Join(ids[:min(len(ids), most)], ", ")
	switch {
	case out.NextToken != nil:
		text += fmt.Sprintf(" and more than %d others", len(ids)-min(len(ids), most))
	case len(ids) > most:
		text += fmt.Sprintf(" and %d others", len(ids)-most)
	}
	return text + ": they keep the role's permissions"
}

// addresses returns all addresses of the instance.
func addresses(in types.Instance) []string {
	var as []string
	add := func(a *string) {
		if s := aws.ToString(a); s != "" && !slices.Contains(as, s) {
			as = append(as, s)
		}
	}
	add(in.PublicIpAddress)
	for _, e := range in.NetworkInterfaces {
		if e.Association != nil {
			add(e.Association.PublicIp)
		}
		for _, p := range e.PrivateIpAddresses {
			add(p.PrivateIpAddress)
			if p.Association != nil {
				add(p.Association.PublicIp)
			}
		}
		for _, p := range e.Ipv6Addresses {
			add(p.Ipv6Address)
		}
	}
	return as
}

func regionalARN(acct *actions.Account, service, resource string) string {
	return strings.Join([]string{"arn", acct.Partition, service, acct.Region, acct.ID, resource}, ":")
}
