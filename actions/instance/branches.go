package instance

import (
	"context"
	"slices"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// trunkTag is the tag with the trunk's ID that EKS sets on a branch interface.
// https://github.com/aws/amazon-vpc-resource-controller-k8s
const trunkTag = "vpcresources.k8s.aws/trunk-eni-id"

// branches plans to cut off the branch interfaces of the instance's trunks, as of pods that have security
// groups of their own: DescribeInstances lists the trunk alone.
func (i *isolation) branches(ctx context.Context) {
	for _, e := range i.instance.NetworkInterfaces {
		if aws.ToString(e.InterfaceType) != string(types.NetworkInterfaceTypeTrunk) {
			continue
		}
		trunk := aws.ToString(e.NetworkInterfaceId)
		found, unlisted, err := branchesOf(ctx, i.acct, trunk)
		switch {
		case err != nil:
			cause, _ := actions.Explain(err)
			cause = "the branch interfaces of the trunk " + trunk + " could not be read (" + cause + ")"
			i.warn("Its pods may keep their network: %s. Drain the node, or stop the instance: stop=yes.", cause)
			i.step(actions.Step{ID: "branches " + trunk, Title: "Cut the branch interfaces of " + trunk + " off", Resource: i.arn, ResourceID: i.id, Hold: actions.HoldKey(i.acct, trunk, "branches", trunk),
				Goal: "branches " + trunk, Skip: cause, Current: "they may have a network", After: "unchanged: " + cause})
		case unlisted != nil:
			i.skipStep("The list of the branch interfaces of "+trunk, "those with the tag "+trunkTag+" are cut off, others keep their network", unlisted)
		}
		for _, b := range found {
			i.cutOff(aws.ToString(b.NetworkInterfaceId), aws.ToString(b.VpcId), b.Groups, nil)
		}
		i.plan.Residual = append(i.plan.Residual, "A pod that is started here from now on gets a branch interface of its own: cordon the node.")
	}
}

// branchesOf returns the branch interfaces of a trunk: those that EC2 lists, and those that have EKS's tag.
// The list may be refused, since accounts have this call one by one: unlisted says why.
func branchesOf(ctx context.Context, acct *actions.Account, trunk string) (found []types.NetworkInterface, unlisted, err error) {
	// The filter is not in the API's reference; AWS's own controller uses it.
	of := []types.Filter{{Name: aws.String("trunk-interface-association.trunk-interface-id"), Values: []string{trunk}}}
	listed, unlisted := actions.List(ctx, ec2.NewDescribeTrunkInterfaceAssociationsPaginator(ec2Of(acct), &ec2.DescribeTrunkInterfaceAssociationsInput{Filters: of}),
		func(p *ec2.DescribeTrunkInterfaceAssociationsOutput) []types.TrunkInterfaceAssociation {
			return p.InterfaceAssociations
		},
		func(a types.TrunkInterfaceAssociation) string { return aws.ToString(a.BranchInterfaceId) })
	found, err = actions.List(ctx, ec2.NewDescribeNetworkInterfacesPaginator(ec2Of(acct), &ec2.DescribeNetworkInterfacesInput{IncludeManagedResources: aws.Bool(true), Filters: []types.Filter{{Name: aws.String("tag:" + trunkTag), Values: []string{trunk}}}}),
		func(p *ec2.DescribeNetworkInterfacesOutput) []types.NetworkInterface {
			return slices.DeleteFunc(p.NetworkInterfaces, func(e types.NetworkInterface) bool {
				return e.InterfaceType != types.NetworkInterfaceTypeBranch // others can set the tag on any
			})
		}, actions.Itself)
	if err != nil {
		return nil, unlisted, err
	}
	for _, id := range listed {
		if slices.ContainsFunc(found, func(e types.NetworkInterface) bool { return aws.ToString(e.NetworkInterfaceId) == id }) {
			continue
		}
		b, err := findInterface(ctx, acct, id)
		if err != nil {
			return nil, unlisted, err
		}
		if b != nil {
			found = append(found, *b)
		}
	}
	return found, unlisted, nil
}
