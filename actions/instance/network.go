package instance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// findInterface reads a network interface; nil if it is gone.
func findInterface(ctx context.Context, acct *actions.Account, id string) (*types.NetworkInterface, error) {
	out, err := ec2Of(acct).DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{id}, IncludeManagedResources: aws.Bool(true)})
	if actions.IsCode(err, "InvalidNetworkInterfaceID.NotFound") || err == nil && len(out.NetworkInterfaces) == 0 {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &out.NetworkInterfaces[0], nil
}

// applyNetwork puts the interface on a closed group only. An interface that is on an
// isolation group already is checked too: the group may have been opened since.
func applyNetwork(ctx context.Context, acct *actions.Account, s actions.Step, run actions.Run) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior}
	nic, err := findInterface(ctx, acct, s.ResourceID)
	if err != nil || nic == nil { // a deleted interface has no traffic
		return e, err
	}
	if closed, err := onClosedGroup(ctx, acct, nic); err != nil {
		return e, err
	} else if closed {
		e.Wrote = groupsValue(groupIDs(nic.Groups))
		return e, nil
	}
	group, err := isolationGroup(ctx, acct, aws.ToString(nic.VpcId), run.RequestID)
	if err != nil {
		return e, err
	}
	e.Wrote = groupsValue([]string{group})
	if deny.EqualContent(groupsValue(groupIDs(nic.Groups)), e.Wrote) { // a closed group of another name
		return e, nil
	}
	e.Changed = true
	_, err = ec2Of(acct).ModifyNetworkInterfaceAttribute(ctx, &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: nic.NetworkInterfaceId, Groups: []string{group}})
	if actions.IsCode(err, "AuthFailure", "OperationNotPermitted", "UnsupportedOperation") { // whatever our permissions are
		err = actions.WithHint(err, "a service of AWS made this interface, and AWS lets nobody else change its groups: stop the instance (stop=yes), or put a network ACL on its subnet by hand")
	}
	return e, retryIfNotVisible(err)
}

// retryIfNotVisible marks the errors of new objects that EC2 does not see yet as retryable.
// https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
func retryIfNotVisible(err error) error {
	if actions.IsCode(err, "InvalidGroup.NotFound") {
		return actions.RetryLater(err)
	}
	return err
}

// onClosedGroup reports whether an interface is on one group only, which is ours and has no rules.
func onClosedGroup(ctx context.Context, acct *actions.Account, nic *types.NetworkInterface) (bool, error) {
	if len(nic.Groups) != 1 || !strings.HasPrefix(aws.ToString(nic.Groups[0].GroupName), IsolationName) {
		return false, nil
	}
	g, err := readGroup(ctx, acct, aws.ToString(nic.Groups[0].GroupId))
	return err == nil && isOurs(acct, g) && rulesText(g) == "", err
}

func verifyNetwork(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	nic, err := findInterface(ctx, acct, s.ResourceID)
	if err != nil {
		return actions.Reading{}, err
	}
	if nic == nil {
		return actions.Reading{Holds: true, Found: s.ResourceID + " no longer exists"}, nil
	}
	live := groupIDs(nic.Groups)
	if !deny.EqualContent(groupsValue(live), e.Wrote) || len(live) != 1 {
		return actions.Reading{Found: groupsText(nic.Groups)}, nil
	}
	rules, err := groupRules(ctx, acct, live[0])
	if err != nil {
		return actions.Reading{}, err
	}
	if rules != "" {
		return actions.Reading{Found: groupsText(nic.Groups) + ", which somebody opened: " + rules}, nil
	}
	return actions.Reading{Holds: true}, nil
}

func revertNetwork(ctx context.Context, acct *actions.Account, s actions.Step, e actions.Effect) (actions.Reading, error) {
	nic, err := findInterface(ctx, acct, s.ResourceID)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case nic == nil:
		return readingGone("network interface " + s.ResourceID), nil
	}
	switch live := groupsValue(groupIDs(nic.Groups)); {
	case deny.EqualContent(live, e.Prior):
		return actions.Reading{Holds: true}, nil
	case !deny.EqualContent(live, e.Wrote) || e.Prior == nil:
		return actions.Reading{Found: groupsText(nic.Groups) + ", which is not what Killswitch wrote"}, nil
	}
	var groups []string
	if err := json.Unmarshal([]byte(*e.Prior), &groups); err != nil {
		return actions.Reading{}, fmt.Errorf("security groups of %s in the snapshot: %w", s.ResourceID, err)
	}
	_, err = ec2Of(acct).ModifyNetworkInterfaceAttribute(ctx, &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: nic.NetworkInterfaceId, Groups: groups})
	if actions.IsCode(err, "InvalidGroup.NotFound") {
		cause, _ := actions.Explain(err)
		return actions.Reading{Found: fmt.Sprintf("the interface stays isolated, since a security group that it had (%s) is gone: %s", strings.Join(groups, ", "), cause)}, nil
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, err
}

// groupIDs returns the sorted IDs.
func groupIDs(groups []types.GroupIdentifier) []string {
	ids := make([]string, 0, len(groups))
	for _, g := range groups {
		ids = append(ids, aws.ToString(g.GroupId))
	}
	slices.Sort(ids)
	return ids
}

func groupsValue(ids []string) *string {
	b, _ := json.Marshal(ids) //nolint:errchkjson // strings
	return aws.String(string(b))
}

func groupsText(groups []types.GroupIdentifier) string {
	var texts []string
	for _, g := range groups {
		texts = append(texts, fmt.Sprintf("%s (%s)", aws.ToString(g.GroupId), aws.ToString(g.GroupName)))
	}
	if len(texts) == 0 {
		return "no security group"
	}
	slices.Sort(texts)
	return actions.Clip("security groups " + strings.Join(texts, ", "))
}
