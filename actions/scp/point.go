package scp

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/organizations/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// point is what a policy is attached to: an account, an organizational unit or the root.
type point struct {
	id, arn, name string
	joined        time.Time // of an account
}

// pointOf returns the attachment point of a call: its unit, its account, or the root.
func pointOf(ctx context.Context, acct *actions.Account, c actions.Call) (point, error) {
	switch {
	case c.OfUnit() && kindOf(c.Target) == "ou":
		return unit(ctx, acct, c.Target)
	case !c.OfUnit() && !c.Everywhere():
		a, err := memberAccount(ctx, acct, c.Account)
		if err != nil {
			return point{}, err
		}
		return point{c.Account, aws.ToString(a.Arn), nameOf(acct.Org, a), aws.ToTime(a.JoinedTimestamp)}, nil
	}
	roots, err := actions.List(ctx, organizations.NewListRootsPaginator(organizationsOf(acct), &organizations.ListRootsInput{}),
		func(p *organizations.ListRootsOutput) []types.Root { return p.Roots }, actions.Itself)
	switch {
	case err != nil:
		return point{}, err
	case len(roots) != 1: // "Currently, you can have only one root"
		return point{}, fmt.Errorf("the organization has %d roots", len(roots))
	}
	root := aws.ToString(roots[0].Id)
	if c.OfUnit() && root != c.Target {
		meant := c
		meant.Target = root
		return point{}, &actions.Refusal{Reason: fmt.Sprintf("%s is not the root of the organization, which is %s", c.Target, root), Hint: "ask for that one", Instead: &meant}
	}
	return point{id: root, arn: aws.ToString(roots[0].Arn), name: "the whole organization"}, nil
}

func unit(ctx context.Context, acct *actions.Account, id string) (point, error) {
	out, err := organizationsOf(acct).DescribeOrganizationalUnit(ctx, &organizations.DescribeOrganizationalUnitInput{OrganizationalUnitId: &id})
	switch {
	case actions.IsCode(err, "OrganizationalUnitNotFoundException"):
		return point{}, &actions.Refusal{Reason: "the organization has no unit " + id, Hint: "copy its ID from the Organizations console"}
	case err != nil:
		return point{}, err
	}
	u := out.OrganizationalUnit
	return point{id: id, arn: aws.ToString(u.Arn), name: "the unit " + actions.Clean(actions.Clip(aws.ToString(u.Name)))}, nil
}
