package role

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// An instance has the credentials of the role that its profile held when it got them, until
// shortly before they end, hours later. A role that is made again reaches it at once only when its
// profile is associated anew; a replaced association leaves it no moment without one.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddRoleToInstanceProfile.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_switch-role-ec2_instance-profiles.html

// association is what gives a running instance its profile.
type association struct {
	ID       string `json:"id"`
	Instance string `json:"instance"`
	Region   string `json:"region"`
}

func (a association) text() string { return a.Instance + " (" + a.Region + ")" }

const (
	instancesWithin = 5 * time.Second
	// filterValues is the most that a filter takes.
	// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
	filterValues  = 200
	replaceAtOnce = 8
)

func ec2In(acct *actions.Account, region string) *ec2.Client {
	return ec2.NewFromConfig(acct.Config(), func(o *ec2.Options) { o.Region = region })
}

// runningWith returns the associations of the running instances with the profiles, by the
// profile's ARN, in the configured regions. unread names those that could not be read in time.
func runningWith(ctx context.Context, acct *actions.Account, profiles []instanceProfile) (with map[string][]association, unread []string) {
	with = map[string][]association{}
	if len(profiles) == 0 {
		return with, nil
	}
	ctx, cancel := context.WithTimeout(ctx, instancesWithin)
	defer cancel()
	regions := acct.Org.Regions
	found, errs := make([][]types.IamInstanceProfileAssociation, len(regions)), make([]error, len(regions))
	_ = actions.Parallel(len(regions), len(regions), func(i int) error {
		var running []string
		if running, errs[i] = runningIn(ctx, acct, regions[i], profiles); errs[i] == nil {
			found[i], errs[i] = associations(ctx, acct, regions[i], running)
		}
		return nil
	})
	for i, region := range regions {
		if errs[i] != nil {
			cause, _ := actions.Explain(errs[i])
			unread = append(unread, region+" ("+cause+")")
		}
		for _, a := range found[i] {
			with[profileARN(a)] = append(with[profileARN(a)], association{aws.ToString(a.AssociationId), aws.ToString(a.InstanceId), region})
		}
	}
	return with, unread
}

// runningIn returns the IDs of a region's running instances with the profiles. Those that are
// stopped get their credentials when they start.
func runningIn(ctx context.Context, acct *actions.Account, region string, profiles []instanceProfile) (ids []string, err error) {
	for some := range slices.Chunk(profiles, filterValues) {
		var arns []string
		for _, p := range some {
			arns = append(arns, p.ARN)
		}
		more, err := actions.List(ctx, ec2.NewDescribeInstancesPaginator(ec2In(acct, region), &ec2.DescribeInstancesInput{MaxResults: aws.Int32(1000), Filters: []types.Filter{
			{Name: aws.String("iam-instance-profile.arn"), Values: arns}, {Name: aws.String("instance-state-name"), Values: []string{"pending", "running"}}}}),
			func(out *ec2.DescribeInstancesOutput) (all []types.Instance) {
				for _, r := range out.Reservations {
					all = append(all, r.Instances...)
				}
				return all
			}, func(i types.Instance) string { return aws.ToString(i.InstanceId) })
		if err != nil {
			return nil, err
		}
		ids = append(ids, more...)
	}
	slices.Sort(ids)
	return ids, nil
}

// associations returns the associations of a region's instances.
func associations(ctx context.Context, acct *actions.Account, region string, instances []string) (all []types.IamInstanceProfileAssociation, err error) {
	for some := range slices.Chunk(instances, filterValues) {
		in := &ec2.DescribeIamInstanceProfileAssociationsInput{Filters: []types.Filter{
			{Name: aws.String("instance-id"), Values: some}, {Name: aws.String("state"), Values: []string{"associating", "associated"}}}}
		more, err := actions.List(ctx, ec2.NewDescribeIamInstanceProfileAssociationsPaginator(ec2In(acct, region), in),
			func(out *ec2.DescribeIamInstanceProfileAssociationsOutput) []types.IamInstanceProfileAssociation {
				return out.IamInstanceProfileAssociations
			}, actions.Itself)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	return all, nil
}

func profileARN(a types.IamInstanceProfileAssociation) string {
	if a.IamInstanceProfile == nil {
		return ""
	}
	return aws.ToString(a.IamInstanceProfile.Arn)
}

// reassociate associates a profile anew with the instances that still have it as the plan found it:
// one that is isolated meanwhile, or that others gave another profile, is left alone.
func reassociate(ctx context.Context, acct *actions.Account, profile string, running []association) (actions.Reading, error) {
	byRegion := map[string][]string{}
	for _, a := range running {
		byRegion[a.Region] = append(byRegion[a.Region], a.Instance)
	}
	live := map[string]types.IamInstanceProfileAssociation{}
	for region, instances := range byRegion {
		now, err := associations(ctx, acct, region, instances)
		if err != nil {
			return actions.Reading{}, err
		}
		for _, a := range now {
			live[aws.ToString(a.InstanceId)] = a
		}
	}
	var old []association
	var left, failed []string
	for _, a := range running {
		switch now, ok := live[a.Instance]; {
		case !ok || profileARN(now) != profile:
			left = append(left, a.text())
		case aws.ToString(now.AssociationId) == a.ID:
			old = append(old, a)
		}
	}
	refused, replaced := make([]error, len(old)), make([]bool, len(old))
	err := actions.Parallel(len(old), replaceAtOnce, func(i int) error {
		out, err := ec2In(acct, old[i].Region).ReplaceIamInstanceProfileAssociation(ctx, &ec2.ReplaceIamInstanceProfileAssociationInput{
			AssociationId: &old[i].ID, IamInstanceProfile: &types.IamInstanceProfileSpecification{Arn: &profile}})
		switch {
		case actions.IsCode(err, "IncorrectState"): // it was stopped: it gets them when it starts
			return nil
		case actions.IsCode(err, "InvalidAssociationID.NotFound"), // replaced meanwhile
			actions.IsCode(err, "InvalidParameterValue") && strings.Contains(err.Error(), "Invalid IAM Instance Profile"): // EC2 does not see the role yet
			return actions.RetryLater(err)
		case actions.Transient(err):
			return err
		}
		if err == nil && out.IamInstanceProfileAssociation != nil && aws.ToString(out.IamInstanceProfileAssociation.AssociationId) == old[i].ID {
			err = errors.New("EC2 kept the association")
		}
		replaced[i], refused[i] = err == nil, err
		return nil
	})
	if err != nil {
		return actions.Reading{}, err
	}
	for i, a := range old {
		if refused[i] != nil {
			cause, _ := actions.Explain(refused[i])
			failed = append(failed, a.text()+" ("+cause+")")
		}
	}
	var notes []string
	if len(failed) > 0 {
		notes = append(notes, "the old role's credentials, for hours yet, on "+actions.Clip(strings.Join(failed, ", "))+": by hand, ec2 replace-iam-instance-profile-association with the same profile")
	}
	if len(left) > 0 {
		notes = append(notes, "without this profile by now, so left alone: "+actions.Clip(strings.Join(left, ", ")))
	}
	return actions.Reading{Holds: len(failed) == 0, Changed: slices.Contains(replaced, true), Found: strings.Join(notes, "; ")}, nil
}

// runningText says how many instances run with a profile.
func runningText(running []association) string {
	switch len(running) {
	case 0:
		return ""
	case 1:
		return ", 1 instance runs with it"
	}
	return fmt.Sprintf(", %d instances run with it", len(running))
}

func runningFacts(with map[string][]association) []actions.Fact {
	var names []string
	for _, profile := range slices.Sorted(maps.Keys(with)) {
		for _, a := range with[profile] {
			names = append(names, a.text())
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []actions.Fact{{Label: "Running instances", Text: fmt.Sprintf("%d: %s", len(names), actions.Clip(strings.Join(names, ", ")))}}
}
