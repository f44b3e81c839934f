package actions

import (
	"fmt"
	"strings"
)

var (
	// InstanceID is the form of an instance's ID.
	InstanceID  = NewPattern(`^i-(?:[0-9a-f]{8}|[0-9a-f]{17})$`)
	instanceARN = NewPattern(`^arn:(aws|aws-us-gov|aws-cn):ec2:([a-z0-9-]+):([0-9]{12}):instance/(i-[0-9a-f]+)$`)
	// RegionName is the form of a region's name.
	RegionName = NewPattern(`^[a-z]{2,4}(?:-[a-z]{1,12}){1,3}-[0-9]{1,2}$`)
)

// InstanceTarget is an EC2 instance: its ARN, ACCOUNT/ID, or its ID, with account=
// and region= if they are missing.
var InstanceTarget = TargetKind{Forms: "an instance: its ARN, or its ID with account=ACCOUNT region=REGION", Read: instanceTarget, Options: []string{"account", "region"}}

func instanceTarget(t TargetText, m *ParseErrors) Target {
	acct := t.AccountReader(m)
	id, region := t.Text, strings.ToLower(t.Options["region"])
	const hint = "give the instance's ARN, or i-… account=ACCOUNT region=REGION"
	if g := instanceARN.FindStringSubmatch(id); g != nil {
		id = g[4]
		acct.Set(g[3], "the target's account "+g[3])
		if region != "" && region != g[2] {
			m.Add("region", fmt.Sprintf("%s does not match the target's region %s", Clip(region), g[2]), "leave region= out")
		}
		region = g[2]
		if !acct.CheckPartition(g[1]) {
			return Target{}
		}
	} else if account, rest, ok := strings.Cut(id, "/"); ok && !strings.HasPrefix(id, "arn:") {
		if !acct.Resolve(account) {
			return Target{}
		}
		id = rest
	}
	bad := len(m.List)
	if id == "" {
		m.Add("target", "is missing", hint)
	} else if !InstanceID.MatchString(id) {
		m.Add("target", fmt.Sprintf("%q is not an instance's ID", Clip(id)), hint)
	} else {
		acct.Require(hint)
	}
	switch where := "the instance's region"; {
	case region == "":
		if len(t.Directory.Regions) > 0 {
			where += ", for instance " + strings.Join(t.Directory.Regions, " or ")
		}
		m.Add("region", "is missing", "say region=… with "+where)
	case !RegionName.MatchString(region):
		m.addNearest("region", fmt.Sprintf("%q is not a region", Clip(region)), "write it like us-east-1", Nearest(region, t.Directory.Regions))
	case PartitionOf(region) != t.Directory.Partition:
		m.Add("region", fmt.Sprintf("%s is in the partition %s; this installation works in %s",
			region, PartitionOf(region), t.Directory.Partition), "")
	}
	if len(m.List) > bad || acct.ID == "" {
		return Target{}
	}
	return Target{Name: InstanceARN(t.Directory.Partition, region, acct.ID, id), Account: acct.ID, Region: region}
}

// InstanceARN returns an EC2 instance's ARN.
func InstanceARN(partition, region, account, id string) string {
	return fmt.Sprintf("arn:%s:ec2:%s:%s:instance/%s", partition, region, account, id)
}

// PartitionOf returns the partition of a region.
func PartitionOf(region string) string {
	switch {
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	}
	return "aws"
}
