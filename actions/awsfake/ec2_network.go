package awsfake

import (
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

var ec2NetworkOperations = map[string]operation{
	"ec2:DescribeNetworkInterfaces":          {run: bind(reads, describeInterfaces).run, needs: onAll},
	"ec2:DescribeTrunkInterfaceAssociations": {run: bind(reads, describeTrunks).run, needs: onAll},
	"ec2:ModifyNetworkInterfaceAttribute":    {mutating: true, run: bind(writes, modifyInterface).run, needs: modifyInterfaceNeeds},
	"ec2:DescribeSecurityGroups":             {run: bind(reads, describeGroups).run, needs: onAll},
	"ec2:CreateSecurityGroup":                {mutating: true, run: bind(writes, createGroup).run, needs: createGroupNeeds},
	"ec2:RevokeSecurityGroupEgress":          {mutating: true, run: bind(writes, revokeEgress).run, needs: onGroup},
}

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

func (r *Region) nic(id string) (*Interface, error) {
	if e, ok := r.interfaces[id]; ok {
		return e, nil
	}
	return nil, apiError("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", id)
}

// group is a security group as it is seen: what is new is not known everywhere yet.
// https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
func (k *request) group(id string) (*SecurityGroup, error) {
	if g := k.here().groups[id].seen(k.now); g != nil {
		return g, nil
	}
	return nil, apiError("InvalidGroup.NotFound", "The security group '%s' does not exist", id)
}

func (r *Region) identifiers(e *Interface) []ec2types.GroupIdentifier {
	var ids []ec2types.GroupIdentifier
	for _, id := range e.Groups {
		name := ""
		if g := r.groups[id].current(); g != nil {
			name = g.Name
		}
		ids = append(ids, ec2types.GroupIdentifier{GroupId: aws.String(id), GroupName: aws.String(name)})
	}
	return ids
}

func describeInterfaces(k *request, in *ec2.DescribeNetworkInterfacesInput) (*ec2.DescribeNetworkInterfacesOutput, error) {
	r, out := k.here(), &ec2.DescribeNetworkInterfacesOutput{}
	ids := in.NetworkInterfaceIds
	if len(ids) == 0 {
		ids = sortedKeys(r.interfaces)
	}
	for _, id := range ids {
		e, err := r.nic(id)
		if err != nil {
			return nil, err
		}
		if i := r.instances[e.Instance]; i != nil && i.Hidden && !aws.ToBool(in.IncludeManagedResources) {
			if len(in.NetworkInterfaceIds) > 0 {
				return nil, apiError("InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '%s' does not exist", id)
			}
			continue
		}
		has := map[string][]string{}
		for key, v := range e.Tags {
			has["tag:"+key] = []string{v}
		}
		if ok, err := filtered(in.Filters, has); !ok {
			if err != nil {
				return nil, err
			}
			continue
		}
		out.NetworkInterfaces = append(out.NetworkInterfaces, ec2types.NetworkInterface{NetworkInterfaceId: aws.String(e.ID), VpcId: aws.String(e.VPC), InterfaceType: ec2types.NetworkInterfaceType(r.typeOf(e)),
			SubnetId: aws.String(e.Subnet), Groups: r.identifiers(e), TagSet: ec2Tags(e.Tags), Attachment: &ec2types.NetworkInterfaceAttachment{InstanceId: emptyNil(e.Instance)}})
	}
	return out, nil
}

// typeOf is an interface's type: DescribeInstances lists trunks, and their branches nowhere.
func (r *Region) typeOf(e *Interface) string {
	for _, branch := range r.interfaces {
		if branch.Trunk == e.ID {
			return "trunk"
		}
	}
	if e.Trunk != "" {
		return "branch"
	}
	return "interface"
}

// describeTrunks has AWS's filters, and the one that its own VPC resource controller uses: their names in
// the SDK are gre-key and interface-protocol alone.
// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeTrunkInterfaceAssociations.html
// https://github.com/aws/amazon-vpc-resource-controller-k8s/blob/master/pkg/aws/ec2/api/helper.go
func describeTrunks(k *request, in *ec2.DescribeTrunkInterfaceAssociationsInput) (*ec2.DescribeTrunkInterfaceAssociationsOutput, error) {
	r, out := k.here(), &ec2.DescribeTrunkInterfaceAssociationsOutput{}
	for _, id := range sortedKeys(r.interfaces) {
		e := r.interfaces[id]
		if e.Trunk == "" {
			continue
		}
		ok, err := filtered(in.Filters, map[string][]string{"trunk-interface-association.trunk-interface-id": {e.Trunk}})
		if err != nil {
			return nil, err
		}
		if ok {
			out.InterfaceAssociations = append(out.InterfaceAssociations, ec2types.TrunkInterfaceAssociation{AssociationId: aws.String("trunk-assoc-" + id), BranchInterfaceId: aws.String(id), TrunkInterfaceId: aws.String(e.Trunk)})
		}
	}
	return out, nil
}

// modifyInterfaceNeeds: the interface and each of the groups.
func modifyInterfaceNeeds(k *request, in any) []need {
	r := k.here()
	needs := []need{k.on(r.arn("ec2", "network-interface/"+field(in, "NetworkInterfaceId")))}
	if t, ok := in.(*ec2.ModifyNetworkInterfaceAttributeInput); ok {
		for _, g := range t.Groups {
			needs = append(needs, k.on(r.groupARN(g)))
		}
	}
	return needs
}

// groupARN has the account that owns the group.
func (r *Region) groupARN(id string) string {
	arn := r.arn("ec2", "security-group/"+id)
	if g := r.groups[id].current(); g != nil && g.Owner != "" {
		arn = strings.Replace(arn, ":"+r.a.id+":", ":"+g.Owner+":", 1)
	}
	return arn
}

// "You can't modify … requester-managed network interfaces"; the error is that of an interface of ECS.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/requester-managed-eni.html
// https://github.com/cloud-custodian/cloud-custodian/issues/3406
func modifyInterface(k *request, in *ec2.ModifyNetworkInterfaceAttributeInput) (*ec2.ModifyNetworkInterfaceAttributeOutput, error) {
	e, err := k.here().nic(aws.ToString(in.NetworkInterfaceId))
	if err != nil {
		return nil, err
	}
	if e.Requested {
		return nil, apiError("AuthFailure", "You do not have permission to access the specified resource.")
	}
	if len(in.Groups) == 0 { // "You must specify at least one group"
		return nil, apiError("InvalidParameterCombination", "No attributes specified.")
	}
	for _, id := range in.Groups {
		g, err := k.group(id)
		if err != nil {
			return nil, err
		}
		if g.VPC != e.VPC {
			return nil, apiError("InvalidGroup.NotFound", "The security group '%s' does not exist in VPC '%s'", id, e.VPC)
		}
	}
	e.Groups = slices.Clone(in.Groups)
	return &ec2.ModifyNetworkInterfaceAttributeOutput{}, nil
}

// describeGroups: GroupNames finds only groups of the default VPC.
func describeGroups(k *request, in *ec2.DescribeSecurityGroupsInput) (*ec2.DescribeSecurityGroupsOutput, error) {
	r, out := k.here(), &ec2.DescribeSecurityGroupsOutput{}
	for _, id := range in.GroupIds {
		if _, err := k.group(id); err != nil {
			return nil, err
		}
	}
	for _, name := range in.GroupNames {
		if !slices.ContainsFunc(sortedKeys(r.groups), func(id string) bool {
			g := r.groups[id].seen(k.now)
			return g != nil && g.Name == name && r.vpcs[g.VPC].Default
		}) {
			return nil, apiError("InvalidGroup.NotFound", "The security group '%s' does not exist in default VPC", name)
		}
	}
	for _, id := range sortedKeys(r.groups) {
		g := r.groups[id].seen(k.now)
		if g == nil || len(in.GroupIds) > 0 && !slices.Contains(in.GroupIds, id) || len(in.GroupNames) > 0 && (!slices.Contains(in.GroupNames, g.Name) || !r.vpcs[g.VPC].Default) {
			continue
		}
		ok, err := filtered(in.Filters, map[string][]string{"vpc-id": {g.VPC}, "group-name": {g.Name}, "group-id": {g.ID}})
		if err != nil {
			return nil, err
		}
		if !ok {
			continue
		}
		o := ec2types.SecurityGroup{GroupId: aws.String(g.ID), GroupName: aws.String(g.Name), Description: aws.String(g.Description), VpcId: aws.String(g.VPC), OwnerId: aws.String(or(g.Owner, k.account.id)), Tags: ec2Tags(g.Tags)}
		for _, x := range g.Ingress {
			o.IpPermissions = append(o.IpPermissions, x.permission())
		}
		for _, x := range g.Egress {
			o.IpPermissionsEgress = append(o.IpPermissionsEgress, x.permission())
		}
		out.SecurityGroups = append(out.SecurityGroups, o)
	}
	return out, nil
}

// createGroupNeeds: the VPC and the new group, and the right to tag what is made.
func createGroupNeeds(k *request, in any) []need {
	r := k.here()
	group, vpc := r.arn("ec2", "security-group/*"), r.arn("ec2", "vpc/"+field(in, "VpcId"))
	if owner := r.vpcs[field(in, "VpcId")].Owner; owner != "" {
		vpc = strings.Replace(vpc, ":"+r.a.id+":", ":"+owner+":", 1)
	}
	needs := []need{k.on(group), k.on(vpc)}
	if t, ok := in.(*ec2.CreateSecurityGroupInput); ok && len(t.TagSpecifications) > 0 {
		needs = append(needs, k.tagging(group))
	}
	return needs
}

// tagging is the need of tags that a call gives to what it makes.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/supported-iam-actions-tagging.html
func (k *request) tagging(arn string) need {
	n := need{action: "ec2:CreateTags", resource: arn, shown: arn, keys: contextKeys{}}
	_, call, _ := strings.Cut(k.op, ":")
	n.keys.set("ec2:CreateAction", call)
	return n
}

// createGroup adds what AWS adds: "By default, a security group includes an
// outbound rule that allows all outbound traffic", for ::/0 too in a VPC with IPv6.
// https://docs.aws.amazon.com/vpc/latest/userguide/default-custom-security-groups.html
func createGroup(k *request, in *ec2.CreateSecurityGroupInput) (*ec2.CreateSecurityGroupOutput, error) {
	r := k.here()
	vpc, ok := r.vpcs[aws.ToString(in.VpcId)]
	if !ok {
		return nil, apiError("InvalidVpcID.NotFound", "The vpc ID '%s' does not exist", aws.ToString(in.VpcId))
	}
	for _, h := range r.groups {
		if g := h.current(); g != nil && g.VPC == vpc.ID && g.Name == aws.ToString(in.GroupName) {
			return nil, apiError("InvalidGroup.Duplicate", "The security group '%s' already exists for VPC '%s'", g.Name, vpc.ID)
		}
	}
	g := &SecurityGroup{ID: r.new("sg-"), VPC: vpc.ID, Name: aws.ToString(in.GroupName), Description: aws.ToString(in.Description), Egress: []Rule{{Protocol: "-1", Peer: "0.0.0.0/0"}}}
	for _, spec := range in.TagSpecifications {
		g.Tags = tagsOf(spec.Tags)
	}
	if vpc.IPv6 {
		g.Egress = append(g.Egress, Rule{Protocol: "-1", Peer: "::/0"})
	}
	put(r.groups, g.ID, g, k.now, k.visible())
	return &ec2.CreateSecurityGroupOutput{GroupId: aws.String(g.ID), SecurityGroupArn: aws.String(r.arn("ec2", "security-group/"+g.ID))}, nil
}

func onGroup(k *request, in any) []need {
	return []need{k.on(k.here().groupARN(field(in, "GroupId")))}
}

func revokeEgress(k *request, in *ec2.RevokeSecurityGroupEgressInput) (*ec2.RevokeSecurityGroupEgressOutput, error) {
	r, id := k.here(), aws.ToString(in.GroupId)
	if _, err := k.group(id); err != nil {
		return nil, err
	}
	g := *r.groups[id].current()
	g.Egress = slices.Clone(g.Egress)
	for _, p := range in.IpPermissions {
		for _, x := range rulesOf(p) {
			i := slices.Index(g.Egress, x)
			if i < 0 {
				return nil, apiError("InvalidPermission.NotFound", "The specified rule does not exist in this security group.")
			}
			g.Egress = slices.Delete(g.Egress, i, i+1)
		}
	}
	put(r.groups, id, &g, k.now, k.visible())
	return &ec2.RevokeSecurityGroupEgressOutput{Return: aws.Bool(true)}, nil
}

// rulesOf takes a permission apart into its rules.
func rulesOf(p ec2types.IpPermission) []Rule {
	var peers []string
	for _, x := range p.IpRanges {
		peers = append(peers, aws.ToString(x.CidrIp))
	}
	for _, x := range p.Ipv6Ranges {
		peers = append(peers, aws.ToString(x.CidrIpv6))
	}
	for _, x := range p.PrefixListIds {
		peers = append(peers, aws.ToString(x.PrefixListId))
	}
	for _, x := range p.UserIdGroupPairs {
		peers = append(peers, aws.ToString(x.GroupId))
	}
	var rules []Rule
	for _, peer := range peers {
		rules = append(rules, Rule{Protocol: aws.ToString(p.IpProtocol), From: aws.ToInt32(p.FromPort), To: aws.ToInt32(p.ToPort), Peer: peer})
	}
	return rules
}
