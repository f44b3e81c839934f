package instance

import (
	"context"
	"fmt"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// missing returns the refusal of a call on an instance that does not exist, with the other
// configured region that it is in, or the nearest IDs in its own. A region that can't be
// read in time is left out.
func missing(ctx context.Context, acct *actions.Account, c actions.Call, id string) *actions.Refusal {
	no := &actions.Refusal{Reason: fmt.Sprintf("there is no running or stopped instance %s in account %s, region %s", id, c.Account, c.Region),
		Hint: "check the account and the region; a terminated instance can't be isolated"}
	if acct.Look != actions.LookAll {
		return no
	}
	ctx, cancel := context.WithTimeout(ctx, actions.NearestWithin)
	defer cancel()
	regions := append([]string{c.Region}, slices.DeleteFunc(slices.Clone(acct.Org.Regions), func(r string) bool { return r == c.Region })...)
	found := make([][]string, len(regions))
	_ = actions.Parallel(len(regions), len(regions), func(n int) error {
		if n == 0 {
			found[n], _ = liveIn(ctx, acct, c.Region)
		} else {
			found[n], _ = liveIn(ctx, acct, regions[n], types.Filter{Name: aws.String("instance-id"), Values: []string{id}})
		}
		return nil
	})
	for n, region := range regions[1:] {
		if len(found[n+1]) > 0 {
			meant := c
			meant.Target, meant.Region = found[n+1][0], region
			no.Reason, no.Instead = no.Reason+"; it is in "+region, &meant
			return no
		}
	}
	acct.NameNearest(no, c, found[0])
	return no
}

// liveIn returns the ARNs of a region's instances that can be isolated.
func liveIn(ctx context.Context, acct *actions.Account, region string, only ...types.Filter) ([]string, error) {
	client := ec2.NewFromConfig(acct.Config(), func(o *ec2.Options) { o.Region = region })
	p := ec2.NewDescribeInstancesPaginator(client, &ec2.DescribeInstancesInput{MaxResults: aws.Int32(1000), IncludeManagedResources: aws.Bool(true),
		Filters: append(only, types.Filter{Name: aws.String("instance-state-name"), Values: []string{"pending", "running", "stopping", "stopped"}})})
	return actions.List(ctx, actions.AtMost(actions.NearestPages, p), func(out *ec2.DescribeInstancesOutput) []string {
		var arns []string
		for _, r := range out.Reservations {
			for _, i := range r.Instances {
				arns = append(arns, actions.InstanceARN(acct.Partition, region, acct.ID, aws.ToString(i.InstanceId)))
			}
		}
		return arns
	}, actions.Itself)
}
