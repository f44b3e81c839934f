package awsfake

import (
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// Each handler follows the page of its name in the EC2 API Reference; what a call
// needs is from "Actions, resources, and condition keys for Amazon EC2" (Service
// Authorization Reference). Codes: "Error codes for the Amazon EC2 API".
// https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html
var ec2InstanceOperations = map[string]operation{
	"ec2:DescribeInstances":                      {run: bind(reads, describeInstances).run, needs: onAll},
	"ec2:DescribeInstanceAttribute":              {run: bind(reads, describeInstanceAttribute).run, needs: onInstance},
	"ec2:ModifyInstanceAttribute":                {mutating: true, run: bind(writes, modifyInstanceAttribute).run, needs: onInstance},
	"ec2:StopInstances":                          {mutating: true, run: bind(writes, stopInstances).run, needs: onInstances},
	"ec2:StartInstances":                         {mutating: true, run: bind(writes, startInstances).run, needs: onInstances},
	"ec2:CreateTags":                             {mutating: true, run: bind(writes, createTags).run, needs: onTagged},
	"ec2:DeleteTags":                             {mutating: true, run: bind(writes, deleteTags).run, needs: onTagged},
	"ec2:DescribeIamInstanceProfileAssociations": {run: bind(reads, describeProfileAssociations).run, needs: onAll},
	"ec2:ReplaceIamInstanceProfileAssociation":   {mutating: true, run: bind(writes, replaceProfileAssociation).run, needs: replaceProfileNeeds},
	"ec2:DisassociateIamInstanceProfile":         {mutating: true, run: bind(writes, disassociateProfile).run, needs: replaceProfileNeeds},
	"ec2:AssociateIamInstanceProfile":            {mutating: true, run: bind(writes, associateProfile).run, needs: replaceProfileNeeds},
	"ec2:CreateSnapshots":                        {mutating: true, run: bind(writes, createSnapshots).run, needs: createSnapshotsNeeds},
	"ec2:LockSnapshot":                           {mutating: true, run: bind(writes, lockSnapshot).run, needs: onSnapshot},
	"ec2:DescribeLockedSnapshots":                {run: bind(reads, describeLocked).run, needs: onAll},
	"ec2:DescribeSnapshots":                      {run: bind(reads, describeSnapshots).run, needs: onAll},
}

// onAll is for operations without resource-level permissions.
func onAll(k *request, _ any) []need {
	return []need{{action: k.op, resource: "*", shown: "*"}}
}

// on is a need of the operation itself.
func (k *request) on(arn string) need { return need{action: k.op, resource: arn, shown: arn} }

func (k *request) here() *Region { return k.account.region(k.region) }

func onInstance(k *request, in any) []need {
	return []need{k.on(k.here().arn("ec2", "instance/"+field(in, "InstanceId")))}
}

func (r *Region) instance(id *string) (*Instance, error) {
	if i, ok := r.instances[aws.ToString(id)]; ok {
		return i, nil
	}
	return nil, apiError("InvalidInstanceID.NotFound", "The instance ID '%s' does not exist", aws.ToString(id))
}

// live is an instance that may be changed.
func (r *Region) live(id *string) (*Instance, error) {
	i, err := r.instance(id)
	if err == nil && i.State == "terminated" {
		return nil, apiError("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be modified.", i.ID)
	}
	return i, err
}

// Pages have 5 to 1,000 instances; what names its instances has no pages ("You cannot
// specify this parameter and the instance IDs parameter in the same request").
func describeInstances(k *request, in *ec2.DescribeInstancesInput) (*ec2.DescribeInstancesOutput, error) {
	r := k.here()
	r.arrive(k.now)
	if most := in.MaxResults; most != nil {
		switch {
		case len(in.InstanceIds) > 0:
			return nil, apiError("InvalidParameterCombination", "The parameter instancesSet cannot be used with the parameter maxResults")
		case *most < 5 || *most > 1000:
			return nil, apiError("InvalidParameterValue", "Value ( %d ) for parameter maxResults is invalid. Expecting a value between 5 and 1000.", *most)
		}
	}
	var found []*Instance
	shown := func(i *Instance) bool { return !i.Hidden || aws.ToBool(in.IncludeManagedResources) }
	for _, id := range in.InstanceIds {
		i, err := r.instance(&id)
		if err == nil && !shown(i) {
			_, err = r.instance(new("i-hidden"))
		}
		if err != nil {
			return nil, err
		}
		found = append(found, i)
	}
	if len(in.InstanceIds) == 0 {
		for _, id := range sortedKeys(r.instances) {
			if id > aws.ToString(in.NextToken) && shown(r.instances[id]) {
				found = append(found, r.instances[id])
			}
		}
	}
	out := &ec2.DescribeInstancesOutput{}
	for _, i := range found {
		ok, err := filtered(in.Filters, map[string][]string{"instance-id": {i.ID}, "iam-instance-profile.arn": {i.Profile}, "instance-state-name": {i.State}})
		if err != nil {
			return nil, err
		}
		if in.MaxResults != nil && ok && len(out.Reservations) == int(*in.MaxResults) {
			out.NextToken = out.Reservations[len(out.Reservations)-1].Instances[0].InstanceId
			break
		}
		if ok {
			out.Reservations = append(out.Reservations, ec2types.Reservation{OwnerId: aws.String(k.account.id), Instances: []ec2types.Instance{r.output(i)}})
		}
	}
	return out, nil
}

func (r *Region) output(i *Instance) ec2types.Instance {
	o := ec2types.Instance{InstanceId: aws.String(i.ID), InstanceType: ec2types.InstanceType(i.Type), LaunchTime: aws.Time(i.Launched),
		State: &ec2types.InstanceState{Name: ec2types.InstanceStateName(i.State)}, Tags: ec2Tags(i.Tags)}
	if i.Operator != "" {
		o.Operator = &ec2types.OperatorResponse{Managed: aws.Bool(true), Principal: &i.Operator, HiddenByDefault: &i.Hidden}
	}
	if i.Spot {
		o.InstanceLifecycle = ec2types.InstanceLifecycleTypeSpot
	}
	if i.Profile != "" {
		o.IamInstanceProfile = &ec2types.IamInstanceProfile{Arn: aws.String(i.Profile)}
	}
	for _, v := range i.Volumes {
		o.BlockDeviceMappings = append(o.BlockDeviceMappings, ec2types.InstanceBlockDeviceMapping{Ebs: &ec2types.EbsInstanceBlockDevice{VolumeId: aws.String(v)}})
	}
	for n, id := range r.of(i.ID) {
		e := r.interfaces[id]
		if n == 0 {
			o.VpcId, o.SubnetId, o.PrivateIpAddress, o.PublicIpAddress = aws.String(e.VPC), aws.String(e.Subnet), aws.String(e.IPv4), emptyNil(e.Public)
		}
		ni := ec2types.InstanceNetworkInterface{NetworkInterfaceId: aws.String(e.ID), InterfaceType: aws.String(r.typeOf(e)), VpcId: aws.String(e.VPC), SubnetId: aws.String(e.Subnet), Groups: r.identifiers(e),
			PrivateIpAddress: aws.String(e.IPv4), PrivateIpAddresses: []ec2types.InstancePrivateIpAddress{{PrivateIpAddress: aws.String(e.IPv4), Primary: aws.Bool(true)}},
			Attachment: &ec2types.InstanceNetworkInterfaceAttachment{DeviceIndex: aws.Int32(int32(n))}}
		if e.IPv6 != "" {
			ni.Ipv6Addresses = []ec2types.InstanceIpv6Address{{Ipv6Address: aws.String(e.IPv6)}}
		}
		if e.Public != "" {
			ni.Association = &ec2types.InstanceNetworkInterfaceAssociation{PublicIp: aws.String(e.Public)}
		}
		if e.Tracked > 0 {
			ni.ConnectionTrackingConfiguration = &ec2types.ConnectionTrackingSpecificationResponse{TcpEstablishedTimeout: aws.Int32(e.Tracked)}
		}
		o.NetworkInterfaces = append(o.NetworkInterfaces, ni)
	}
	return o
}

// of are an instance's interfaces, sorted.
func (r *Region) of(instance string) []string {
	return slices.DeleteFunc(sortedKeys(r.interfaces), func(id string) bool { return r.interfaces[id].Instance != instance })
}

func describeInstanceAttribute(k *request, in *ec2.DescribeInstanceAttributeInput) (*ec2.DescribeInstanceAttributeOutput, error) {
	i, err := k.here().instance(in.InstanceId)
	if err != nil {
		return nil, err
	}
	out, is := &ec2.DescribeInstanceAttributeOutput{InstanceId: in.InstanceId}, func(on bool) *ec2types.AttributeBooleanValue { return &ec2types.AttributeBooleanValue{Value: &on} }
	switch in.Attribute {
	case ec2types.InstanceAttributeNameDisableApiTermination:
		out.DisableApiTermination = is(i.Protected)
	case ec2types.InstanceAttributeNameDisableApiStop:
		out.DisableApiStop = is(i.Kept)
	case ec2types.InstanceAttributeNameInstanceInitiatedShutdownBehavior:
		out.InstanceInitiatedShutdownBehavior = &ec2types.AttributeValue{Value: aws.String(i.Shutdown)}
	default:
		return nil, apiError("NotImplemented", "awsfake: attribute %s is not modelled", in.Attribute)
	}
	return out, nil
}

// "You can't enable termination protection for Spot Instances", nor stop protection: StopInstances then says
// OperationNotPermitted. "You can specify only one attribute at a time" (ModifyInstanceAttribute).
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-stop-protection.html
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_ChangingDisableAPITermination.html
func modifyInstanceAttribute(k *request, in *ec2.ModifyInstanceAttributeInput) (*ec2.ModifyInstanceAttributeOutput, error) {
	i, err := k.here().live(in.InstanceId)
	switch {
	case err != nil:
		return nil, err
	case i.Spot:
		return nil, apiError("UnsupportedOperation", "The attribute 'disableApiTermination' cannot be modified for spot instances.")
	case in.DisableApiTermination != nil:
		i.Protected = aws.ToBool(in.DisableApiTermination.Value)
	case in.DisableApiStop != nil:
		i.Kept = aws.ToBool(in.DisableApiStop.Value)
	case in.InstanceInitiatedShutdownBehavior != nil:
		i.Shutdown = aws.ToString(in.InstanceInitiatedShutdownBehavior.Value)
	default:
		return nil, apiError("NotImplemented", "awsfake: this attribute is not modelled")
	}
	return &ec2.ModifyInstanceAttributeOutput{}, nil
}

// stopTakes is how long an instance takes to stop, or to start.
const stopTakes = 40 * time.Second

// arrive lets instances arrive where they are on their way to.
func (r *Region) arrive(now time.Time) {
	for id, at := range r.stopping {
		if i := r.instances[id]; !at.After(now) {
			i.State = map[string]string{"stopping": "stopped", "pending": "running"}[i.State]
			delete(r.stopping, id)
		}
	}
}

func onInstances(k *request, in any) []need {
	var ids []string
	switch t := in.(type) {
	case *ec2.StopInstancesInput:
		ids = t.InstanceIds
	case *ec2.StartInstancesInput:
		ids = t.InstanceIds
	}
	var needs []need
	for _, id := range ids {
		needs = append(needs, k.on(k.here().arn("ec2", "instance/"+id)))
	}
	return needs
}

// "You can't stop … instance store-backed instances"; a Spot Instance of a one-time request neither.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_StopInstances.html
func stopInstances(k *request, in *ec2.StopInstancesInput) (*ec2.StopInstancesOutput, error) {
	r, out := k.here(), &ec2.StopInstancesOutput{}
	r.arrive(k.now)
	for _, id := range in.InstanceIds {
		i, err := r.live(&id)
		switch {
		case err != nil:
			return nil, err
		case i.Spot:
			return nil, apiError("UnsupportedOperation", "You can't stop the Spot Instance '%s' because it is associated with a one-time Spot Instance request.", id)
		case i.Kept:
			return nil, apiError("OperationNotPermitted", "The instance '%s' may not be stopped. Modify its 'disableApiStop' instance attribute and try again.", id)
		case i.State == "running":
			i.State, r.stopping[id] = "stopping", k.now.Add(stopTakes)
		}
		out.StoppingInstances = append(out.StoppingInstances, ec2types.InstanceStateChange{InstanceId: aws.String(id)})
	}
	return out, nil
}

// A stopping instance can't be started: "IncorrectInstanceState" (Error codes).
func startInstances(k *request, in *ec2.StartInstancesInput) (*ec2.StartInstancesOutput, error) {
	r, out := k.here(), &ec2.StartInstancesOutput{}
	r.arrive(k.now)
	for _, id := range in.InstanceIds {
		i, err := r.live(&id)
		switch {
		case err != nil:
			return nil, err
		case i.State == "stopping":
			return nil, apiError("IncorrectInstanceState", "The instance '%s' is not in a state from which it can be started.", id)
		case i.State == "stopped":
			i.State, r.stopping[id] = "pending", k.now.Add(stopTakes)
		}
		out.StartingInstances = append(out.StartingInstances, ec2types.InstanceStateChange{InstanceId: aws.String(id)})
	}
	return out, nil
}

func onTagged(k *request, in any) []need {
	var ids []string
	switch t := in.(type) {
	case *ec2.CreateTagsInput:
		ids = t.Resources
	case *ec2.DeleteTagsInput:
		ids = t.Resources
	}
	var needs []need
	for _, id := range ids {
		needs = append(needs, k.on(k.here().arn("ec2", "instance/"+id)))
	}
	return needs
}

// EC2's tag keys are case-sensitive, 50 for each resource, none that begins with aws:.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Tags.html
func createTags(k *request, in *ec2.CreateTagsInput) (*ec2.CreateTagsOutput, error) {
	for _, id := range in.Resources {
		i, err := k.here().instance(&id)
		if err != nil {
			return nil, err
		}
		for _, t := range in.Tags {
			if _, there := i.Tags[aws.ToString(t.Key)]; !there && len(i.Tags) >= maxTags {
				return nil, apiError("TagLimitExceeded", "The maximum number of Tags for a resource has been reached.")
			}
			i.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
		}
	}
	return &ec2.CreateTagsOutput{}, nil
}

// DeleteTags with a value deletes only a tag of that value; what is not there is no error.
func deleteTags(k *request, in *ec2.DeleteTagsInput) (*ec2.DeleteTagsOutput, error) {
	for _, id := range in.Resources {
		i, err := k.here().instance(&id)
		if err != nil {
			return nil, err
		}
		for _, t := range in.Tags {
			if t.Value == nil || i.Tags[aws.ToString(t.Key)] == *t.Value {
				delete(i.Tags, aws.ToString(t.Key))
			}
		}
	}
	return &ec2.DeleteTagsOutput{}, nil
}

func describeProfileAssociations(k *request, in *ec2.DescribeIamInstanceProfileAssociationsInput) (*ec2.DescribeIamInstanceProfileAssociationsOutput, error) {
	r := k.here()
	out := &ec2.DescribeIamInstanceProfileAssociationsOutput{}
	for _, id := range sortedKeys(r.associated) {
		ok, err := filtered(in.Filters, map[string][]string{"instance-id": {id}, "state": {"associated"}})
		if err != nil {
			return nil, err
		}
		if ok {
			out.IamInstanceProfileAssociations = append(out.IamInstanceProfileAssociations, r.association(id))
		}
	}
	return out, nil
}

func (r *Region) association(instance string) ec2types.IamInstanceProfileAssociation {
	return ec2types.IamInstanceProfileAssociation{AssociationId: aws.String(r.associated[instance]), InstanceId: aws.String(instance),
		IamInstanceProfile: &ec2types.IamInstanceProfile{Arn: aws.String(r.instances[instance].Profile)}, State: ec2types.IamInstanceProfileAssociationStateAssociated}
}

// associatedTo is the instance of an association.
func (r *Region) associatedTo(id string) string {
	for i, a := range r.associated {
		if a == id {
			return i
		}
	}
	return ""
}

// replaceProfileNeeds: also iam:PassRole on the role in the new profile.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-roles-for-amazon-ec2.html
func replaceProfileNeeds(k *request, in any) []need {
	r := k.here()
	instance := or(field(in, "InstanceId"), r.associatedTo(field(in, "AssociationId")))
	needs := []need{k.on(r.arn("ec2", "instance/"+or(instance, "*")))}
	// "ec2:NewInstanceProfile: the ARN of the instance profile being attached" (Service Authorization Reference)
	needs[0].keys = contextKeys{}
	if i := r.instances[instance]; i != nil && i.Profile != "" {
		needs[0].keys.set("ec2:InstanceProfile", i.Profile)
	}
	var given *ec2types.IamInstanceProfileSpecification
	switch t := in.(type) {
	case *ec2.ReplaceIamInstanceProfileAssociationInput:
		given = t.IamInstanceProfile
	case *ec2.AssociateIamInstanceProfileInput:
		given = t.IamInstanceProfile
	}
	if p := k.profileFor(given); p != nil {
		needs[0].keys.set("ec2:NewInstanceProfile", p.ARN)
		if role := k.account.roles[p.Role].current(); role != nil {
			needs = append(needs, need{action: "iam:PassRole", resource: role.ARN, shown: role.ARN, passed: true})
		}
	}
	return needs
}

// profileFor is the profile as EC2 sees it: what IAM has just made it does not know yet.
func (k *request) profileFor(s *ec2types.IamInstanceProfileSpecification) *Profile {
	if s == nil {
		return nil
	}
	name := aws.ToString(s.Name)
	if s.Arn != nil {
		name = (*s.Arn)[strings.LastIndex(*s.Arn, "/")+1:]
	}
	p := k.account.profiles[name].seen(k.now)
	if p == nil || s.Arn != nil && p.ARN != *s.Arn {
		return nil
	}
	return p
}

func replaceProfileAssociation(k *request, in *ec2.ReplaceIamInstanceProfileAssociationInput) (*ec2.ReplaceIamInstanceProfileAssociationOutput, error) {
	r := k.here()
	id, err := r.ofAssociation(in.AssociationId)
	if err != nil {
		return nil, err
	}
	// "Replaces an IAM instance profile for the specified running instance"; of a stopped one EC2 says this
	// (https://github.com/aws/aws-cli/issues/5251).
	if r.instances[id].State != "running" {
		return nil, apiError("IncorrectState", "The association %s is not the active association", aws.ToString(in.AssociationId))
	}
	a, err := k.associate(id, in.IamInstanceProfile)
	return &ec2.ReplaceIamInstanceProfileAssociationOutput{IamInstanceProfileAssociation: a}, err
}

// ofAssociation is the instance of an association.
func (r *Region) ofAssociation(association *string) (string, error) {
	if id := r.associatedTo(aws.ToString(association)); id != "" {
		return id, nil
	}
	return "", apiError("InvalidAssociationID.NotFound", "The association ID '%s' does not exist", aws.ToString(association))
}

func (k *request) associate(id string, s *ec2types.IamInstanceProfileSpecification) (*ec2types.IamInstanceProfileAssociation, error) {
	r, p := k.here(), k.profileFor(s)
	if p == nil || k.account.roles[p.Role].seen(k.now) == nil {
		return nil, apiError("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN", aws.ToString(s.Arn)+aws.ToString(s.Name))
	}
	r.instances[id].Profile, r.associated[id] = p.ARN, r.new("iip-assoc-")
	delete(r.served, id)
	a := r.association(id)
	return &a, nil
}

func disassociateProfile(k *request, in *ec2.DisassociateIamInstanceProfileInput) (*ec2.DisassociateIamInstanceProfileOutput, error) {
	r := k.here()
	id, err := r.ofAssociation(in.AssociationId)
	if err != nil {
		return nil, err
	}
	a := r.association(id)
	a.State = ec2types.IamInstanceProfileAssociationStateDisassociating
	r.instances[id].Profile = ""
	delete(r.associated, id)
	return &ec2.DisassociateIamInstanceProfileOutput{IamInstanceProfileAssociation: &a}, nil
}

// "You cannot associate more than one IAM instance profile with an instance" (AssociateIamInstanceProfile).
func associateProfile(k *request, in *ec2.AssociateIamInstanceProfileInput) (*ec2.AssociateIamInstanceProfileOutput, error) {
	i, err := k.here().live(in.InstanceId)
	if err != nil {
		return nil, err
	}
	if i.Profile != "" {
		return nil, apiError("IncorrectState", "There is an existing association for instance %s", i.ID)
	}
	a, err := k.associate(i.ID, in.IamInstanceProfile)
	return &ec2.AssociateIamInstanceProfileOutput{IamInstanceProfileAssociation: a}, err
}

// createSnapshotsNeeds: the instance, its volumes and the new snapshots, whose ARN has no account,
// and the right to tag what is made.
func createSnapshotsNeeds(k *request, in any) []need {
	t, _ := in.(*ec2.CreateSnapshotsInput)
	id := aws.ToString(t.InstanceSpecification.InstanceId)
	snapshot := "arn:" + k.c.partition + ":ec2:" + k.region + "::snapshot/*"
	needs := []need{k.on(k.here().arn("ec2", "instance/"+id)), k.on(snapshot)}
	if i := k.here().instances[id]; i != nil {
		for _, v := range i.Volumes {
			needs = append(needs, k.on(k.here().arn("ec2", "volume/"+v)))
		}
	}
	if len(t.TagSpecifications) > 0 {
		needs = append(needs, k.tagging(snapshot))
	}
	return needs
}

// createSnapshots: "Each volume attached to the specified instance will produce one snapshot that is
// crash-consistent across the instance."
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSnapshots.html
func createSnapshots(k *request, in *ec2.CreateSnapshotsInput) (*ec2.CreateSnapshotsOutput, error) {
	r, out := k.here(), &ec2.CreateSnapshotsOutput{}
	i, err := r.live(in.InstanceSpecification.InstanceId)
	if err != nil {
		return nil, err
	}
	set := r.new("set-")
	for _, volume := range i.Volumes {
		s := &EBSSnapshot{ID: r.new("snap-"), Volume: volume, State: "pending", Set: set}
		for _, spec := range in.TagSpecifications {
			s.Tags = tagsOf(spec.Tags)
		}
		put(r.snapshots, s.ID, s, k.now, k.visible())
		out.Snapshots = append(out.Snapshots, ec2types.SnapshotInfo{SnapshotId: aws.String(s.ID), VolumeId: aws.String(volume), State: ec2types.SnapshotStatePending})
	}
	return out, nil
}

// onSnapshot: its tags are a condition key.
func onSnapshot(k *request, in any) []need {
	n := k.on("arn:" + k.c.partition + ":ec2:" + k.region + "::snapshot/" + field(in, "SnapshotId"))
	n.keys = contextKeys{}
	if s := k.here().snapshots[field(in, "SnapshotId")].current(); s != nil {
		for key, v := range s.Tags {
			n.keys.set("aws:ResourceTag/"+key, v)
		}
	}
	return []need{n}
}

// lockSnapshot: "You can lock a snapshot only if it is in the pending or completed state."
// https://docs.aws.amazon.com/ebs/latest/userguide/snapshot-lock-considerations.html
func lockSnapshot(k *request, in *ec2.LockSnapshotInput) (*ec2.LockSnapshotOutput, error) {
	id := aws.ToString(in.SnapshotId)
	s := k.here().snapshots[id].seen(k.now)
	switch {
	case s == nil:
		return nil, apiError("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
	case s.State == "error":
		return nil, apiError("IncorrectState", "The snapshot '%s' is not in a state in which it can be locked.", id)
	}
	n := *s
	n.Locked = aws.ToInt32(in.LockDuration)
	put(k.here().snapshots, id, &n, k.now, k.now)
	return &ec2.LockSnapshotOutput{SnapshotId: in.SnapshotId, LockState: ec2types.LockStateGovernance, LockDuration: in.LockDuration}, nil
}

func describeLocked(k *request, in *ec2.DescribeLockedSnapshotsInput) (*ec2.DescribeLockedSnapshotsOutput, error) {
	out := &ec2.DescribeLockedSnapshotsOutput{}
	for _, id := range in.SnapshotIds {
		if s := k.here().snapshots[id].seen(k.now); s != nil && s.Locked > 0 {
			out.Snapshots = append(out.Snapshots, ec2types.LockedSnapshotsInfo{SnapshotId: aws.String(id), LockState: ec2types.LockStateGovernance, LockDuration: aws.Int32(s.Locked)})
		}
	}
	return out, nil
}

func describeSnapshots(k *request, in *ec2.DescribeSnapshotsInput) (*ec2.DescribeSnapshotsOutput, error) {
	r := k.here()
	for _, id := range in.SnapshotIds {
		if r.snapshots[id].seen(k.now) == nil {
			return nil, apiError("InvalidSnapshot.NotFound", "The snapshot '%s' does not exist.", id)
		}
	}
	out := &ec2.DescribeSnapshotsOutput{}
	for _, id := range sortedKeys(r.snapshots) {
		s := r.snapshots[id].seen(k.now)
		if s == nil || len(in.SnapshotIds) > 0 && !slices.Contains(in.SnapshotIds, id) {
			continue
		}
		has := map[string][]string{"volume-id": {s.Volume}}
		for key, v := range s.Tags {
			has["tag:"+key] = []string{v}
		}
		ok, err := filtered(in.Filters, has)
		if err != nil {
			return nil, err
		}
		if ok {
			out.Snapshots = append(out.Snapshots, ec2types.Snapshot{SnapshotId: aws.String(id), VolumeId: aws.String(s.Volume), State: ec2types.SnapshotState(s.State), Tags: ec2Tags(s.Tags)})
		}
	}
	return out, nil
}

// filtered applies filters: each must match one of its values, which may have
// wildcards. A tag that a resource does not have matches nothing; what else is not
// in has is not modelled.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
func filtered(filters []ec2types.Filter, has map[string][]string) (bool, error) {
	for _, f := range filters {
		values, ok := has[aws.ToString(f.Name)]
		if !ok && !strings.HasPrefix(aws.ToString(f.Name), "tag:") {
			return false, apiError("InvalidParameterValue", "The filter '%s' is invalid", aws.ToString(f.Name))
		}
		if !slices.ContainsFunc(values, func(v string) bool {
			return slices.ContainsFunc(f.Values, func(pattern string) bool { return glob(pattern, v) })
		}) {
			return false, nil
		}
	}
	return true, nil
}

func tagsOf(list []ec2types.Tag) map[string]string {
	tags := map[string]string{}
	for _, t := range list {
		tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return tags
}

func ec2Tags(tags map[string]string) []ec2types.Tag {
	var list []ec2types.Tag
	for _, key := range sortedKeys(tags) {
		list = append(list, ec2types.Tag{Key: aws.String(key), Value: aws.String(tags[key])})
	}
	return list
}
