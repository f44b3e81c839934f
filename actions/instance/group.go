package instance

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

const (
	// isolationGroupText marks a group as created by us. Descriptions allow few characters.
	// https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateSecurityGroup.html
	isolationGroupText = "Killswitch isolation: no rule in, no rule out"
	// isolationTries is the number of names that are tried.
	isolationTries = 5
)

// isolationNames returns the names of isolation groups by preference: the shared one,
// and those of a request, in case the shared one is not closed.
func isolationNames(request string) []string {
	names := []string{IsolationName, IsolationName + "-" + request}
	for n := 2; len(names) < isolationTries; n++ {
		names = append(names, fmt.Sprintf("%s-%s-%d", IsolationName, request, n))
	}
	return names
}

// isolationGroup finds or creates a security group without rules in the VPC. A group with rules is never
// used: an attacker may have created or opened it to keep access. It isn't changed either, since other
// instances may use it; the next name is tried, the last one is unpredictable. Nor is a group that is not
// ours: its owner may add rules. Groups are found by a VPC filter: GroupNames finds the default VPC's only.
func isolationGroup(ctx context.Context, acct *actions.Account, vpc, request string) (string, error) {
	in := &ec2.DescribeSecurityGroupsInput{Filters: []types.Filter{{Name: aws.String("vpc-id"), Values: []string{vpc}}}}
	groups, err := actions.List(ctx, ec2.NewDescribeSecurityGroupsPaginator(ec2Of(acct), in),
		func(p *ec2.DescribeSecurityGroupsOutput) []types.SecurityGroup { return p.SecurityGroups }, actions.Itself)
	if err != nil {
		return "", err
	}
	byName, names := map[string]types.SecurityGroup{}, isolationNames(request)
	for _, g := range groups {
		if name, ours := aws.ToString(g.GroupName), isOurs(acct, g); ours || byName[name].GroupId == nil {
			byName[name] = g
			if ours && (rulesText(g) == "" || isUnfinished(g)) && !slices.Contains(names, name) { // one with an unpredictable name, created before
				names = append(names, name)
			}
		}
	}
	for _, name := range append(names, IsolationName+"-"+rand.Text()) {
		g, there := byName[name]
		id := aws.ToString(g.GroupId)
		switch {
		case !there:
			out, err := ec2Of(acct).CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{GroupName: &name, VpcId: &vpc, Description: aws.String(isolationGroupText), TagSpecifications: made(acct, types.ResourceTypeSecurityGroup, request)})
			switch {
			case actions.IsCode(err, "InvalidGroup.Duplicate"): // it exists, and is not visible yet
				return "", actions.RetryLater(err)
			case actions.IsCode(err, "SecurityGroupLimitExceeded"):
				return "", actions.WithHint(err, "the quota is full: delete a security group that nothing uses, then retry; or stop the instance: stop=yes")
			case err != nil:
				return "", err
			}
			return closeGroup(ctx, acct, aws.ToString(out.GroupId))
		case !isOurs(acct, g):
		case rulesText(g) == "":
			return id, nil
		case isUnfinished(g): // we were interrupted after creating it
			return closeGroup(ctx, acct, id)
		}
	}
	return "", actions.RetryLater(errors.New("a name that was free is taken"))
}

// isOurs reports whether a group has our name and our mark: the tag, which nobody else can set where the
// tamper protection is deployed, or the description that earlier versions gave. Groups of other accounts,
// which share the VPC or the group, are theirs.
func isOurs(acct *actions.Account, g types.SecurityGroup) bool {
	named := aws.ToString(g.GroupName) == IsolationName || strings.HasPrefix(aws.ToString(g.GroupName), IsolationName+"-")
	return named && aws.ToString(g.OwnerId) == acct.ID && (aws.ToString(g.Description) == isolationGroupText || slices.ContainsFunc(g.Tags, func(t types.Tag) bool { return aws.ToString(t.Key) == deny.TamperTag }))
}

// made returns our tag for what a request makes.
func made(acct *actions.Account, kind types.ResourceType, request string) []types.TagSpecification {
	return []types.TagSpecification{{ResourceType: kind, Tags: []types.Tag{{Key: aws.String(deny.TamperTag), Value: aws.String(acct.Org.Installation.Name(request))}}}}
}

// isUnfinished reports whether a group of ours has only the default rules of a new group.
func isUnfinished(g types.SecurityGroup) bool {
	if aws.ToString(g.Description) != isolationGroupText || len(g.IpPermissions) > 0 {
		return false
	}
	return !slices.ContainsFunc(g.IpPermissionsEgress, func(p types.IpPermission) bool {
		return aws.ToString(p.IpProtocol) != "-1" || len(p.PrefixListIds)+len(p.UserIdGroupPairs) > 0 ||
			slices.ContainsFunc(p.IpRanges, func(r types.IpRange) bool { return aws.ToString(r.CidrIp) != "0.0.0.0/0" }) ||
			slices.ContainsFunc(p.Ipv6Ranges, func(r types.Ipv6Range) bool { return aws.ToString(r.CidrIpv6) != "::/0" })
	})
}

// closeGroup removes the default rules of a new group, for IPv4 and IPv6, and reads it
// back: the group is used only without rules.
func closeGroup(ctx context.Context, acct *actions.Account, id string) (string, error) {
	g, err := readGroup(ctx, acct, id)
	if err != nil {
		return "", retryIfNotVisible(err)
	}
	if len(g.IpPermissionsEgress) > 0 {
		_, err := ec2Of(acct).RevokeSecurityGroupEgress(ctx, &ec2.RevokeSecurityGroupEgressInput{GroupId: &id, IpPermissions: g.IpPermissionsEgress})
		if err != nil && !actions.IsCode(err, "InvalidPermission.NotFound") {
			return "", retryIfNotVisible(err)
		}
	}
	rules, err := groupRules(ctx, acct, id)
	if err != nil {
		return "", retryIfNotVisible(err)
	}
	if rules != "" {
		return "", actions.RetryLater(fmt.Errorf("security group %s is not closed yet: %s", id, rules))
	}
	return id, nil
}

func readGroup(ctx context.Context, acct *actions.Account, id string) (types.SecurityGroup, error) {
	out, err := ec2Of(acct).DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{GroupIds: []string{id}})
	if err != nil {
		return types.SecurityGroup{}, err
	}
	if len(out.SecurityGroups) != 1 {
		return types.SecurityGroup{}, actions.RetryLater(fmt.Errorf("security group %s is not shown", id))
	}
	return out.SecurityGroups[0], nil
}

// groupRules reads a group's rules in words; "" for a closed one.
func groupRules(ctx context.Context, acct *actions.Account, id string) (string, error) {
	g, err := readGroup(ctx, acct, id)
	if err != nil {
		return "", err
	}
	return rulesText(g), nil
}

// rulesText returns a group's rules in words, "" only if there is none of any kind: IPv4
// and IPv6 ranges, prefix lists and other groups.
func rulesText(g types.SecurityGroup) string {
	var texts []string
	add := func(way string, ps []types.IpPermission) {
		for _, p := range ps {
			var peers []string
			for _, r := range p.IpRanges {
				peers = append(peers, aws.ToString(r.CidrIp))
			}
			for _, r := range p.Ipv6Ranges {
				peers = append(peers, aws.ToString(r.CidrIpv6))
			}
			for _, r := range p.PrefixListIds {
				peers = append(peers, aws.ToString(r.PrefixListId))
			}
			for _, r := range p.UserIdGroupPairs {
				peers = append(peers, aws.ToString(r.GroupId))
			}
			texts = append(texts, fmt.Sprintf("%s %s", way, strings.Join(peers, ", ")))
		}
	}
	add("in from", g.IpPermissions)
	add("out to", g.IpPermissionsEgress)
	return actions.Clip(strings.Join(texts, "; "))
}
