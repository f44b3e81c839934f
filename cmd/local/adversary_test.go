package local_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/organizations"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const (
	polls     = 500 * time.Millisecond
	delivered = 40 * time.Second // by CloudTrail after a call; on average it takes about five
)

// adversary is an attacker with administrator rights in the account, who polls what is in it and
// makes it again what it was when he began: he takes off the policies, boundaries, tags and group
// memberships that he does not know, and gives back and makes anew what is gone.
// https://www.offensai.com/blog/eventual-consistency-resistant-iam-containment-aws-incident-response
type adversary struct {
	w      *world
	ways   []*way // whose credentials he has, in the order in which he tries them
	had    awsfake.AccountState
	events []trailtypes.Event // that CloudTrail has not delivered yet

	busy         sync.Mutex // he makes calls
	next, swept  time.Time
	did, refused int // writes that AWS carried out, and those that nobody of his may make
}

// way is one set of his credentials.
type way struct {
	*awsfake.Session
	iam *iam.Client
	ec2 *ec2.Client
	org *organizations.Client
}

func (w *world) adversary(ways ...*awsfake.Session) *adversary {
	a := &adversary{w: w, had: w.aws.Snapshot().Accounts[prod]}
	for _, s := range ways {
		cfg := s.Config()
		cfg.Retryer = func() aws.Retryer { return aws.NopRetryer{} }
		a.ways = append(a.ways, &way{s, iam.NewFromConfig(cfg), ec2.NewFromConfig(cfg, func(o *ec2.Options) { o.Region = region }), organizations.NewFromConfig(cfg)})
	}
	return a
}

// poll is a round of his, if it is time.
func (a *adversary) poll() {
	if !a.busy.TryLock() {
		return
	}
	defer a.busy.Unlock()
	now := a.w.clock.Now()
	if now.Before(a.next) {
		return
	}
	a.next = now.Add(polls)
	late := slices.IndexFunc(a.events, func(e trailtypes.Event) bool { return now.Sub(*e.EventTime) < delivered })
	if late < 0 {
		late = len(a.events)
	}
	a.w.aws.Account(prod).AddEvents(region, a.events[:late]...)
	a.events = a.events[late:]
	a.roles()
	for _, u := range a.had.Users {
		a.user(u)
	}
	for _, i := range a.had.Regions[region].Instances {
		a.instance(i)
	}
	a.guardrails()
}

// asks tries a read by each way.
func asks[Out any](a *adversary, call func(*way) (Out, error)) (out Out, err error) {
	for _, by := range a.ways {
		if out, err = call(by); err == nil || actions.IsCode(err, "NoSuchEntity") {
			return out, err
		}
	}
	return out, err
}

// writes tries a write by each way. What succeeds is in CloudTrail some time later.
func (a *adversary) writes(call string, params map[string]string, do func(*way) error) {
	for _, by := range a.ways {
		switch err := do(by); {
		case err == nil:
			a.did++
			a.record(by, call, params)
			return
		case strings.Contains(err.Error(), "not modelled"):
			a.w.t.Error(err)
		}
	}
	a.refused++
}

func (a *adversary) record(by *way, call string, params map[string]string) {
	now := a.w.clock.Now().UTC()
	arn := by.ARN()
	identity := map[string]any{"type": "IAMUser", "arn": arn, "accountId": prod, "accessKeyId": by.AccessKeyID(), "userName": actions.ResourceName(arn)}
	if _, session, ok := strings.Cut(arn, ":assumed-role/"); ok {
		role, name, _ := strings.Cut(session, "/")
		identity = map[string]any{"type": "AssumedRole", "principalId": "AROA0000000000000001:" + name, "arn": arn, "accountId": prod, "sessionContext": map[string]any{
			"sessionIssuer": map[string]string{"type": "Role", "arn": "arn:aws:iam::" + prod + ":role/" + role, "accountId": prod, "userName": role}}}
	}
	body, err := json.Marshal(map[string]any{"eventName": call, "eventTime": now.Format(time.RFC3339), "eventID": fmt.Sprintf("%08x-0000-4000-8000-000000000000", a.did), "awsRegion": region,
		"recipientAccountId": prod, "sourceIPAddress": "203.0.113.7", "userAgent": "Boto3/1.40", "userIdentity": identity, "requestParameters": params})
	a.w.must(err)
	e := trailtypes.Event{EventName: &call, EventTime: aws.Time(now.Truncate(time.Second)), CloudTrailEvent: aws.String(string(body)), ReadOnly: aws.String("false")}
	for _, name := range slices.Sorted(maps.Values(params)) {
		e.Resources = append(e.Resources, trailtypes.Resource{ResourceName: &name})
	}
	a.events = append(a.events, e)
}

// again makes what is there what it was: what he does not know goes, what is gone comes back.
func again(was, is []string, remove, add func(name string)) {
	for _, name := range is {
		if !slices.Contains(was, name) {
			remove(name)
		}
	}
	for _, name := range was {
		if !slices.Contains(is, name) {
			add(name)
		}
	}
}

func keys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// named are the names in a list of the SDK's.
func named[T any](list []T, name func(T) *string) (names []string) {
	for _, x := range list {
		names = append(names, aws.ToString(name(x)))
	}
	return names
}

func tagKey(t iamtypes.Tag) *string                 { return t.Key }
func attachedARN(p iamtypes.AttachedPolicy) *string { return p.PolicyArn }

// one is a boundary as a list.
func one(b *iamtypes.AttachedPermissionsBoundary) []string {
	if b == nil {
		return nil
	}
	return []string{aws.ToString(b.PermissionsBoundaryArn)}
}

func oneOf(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

func (a *adversary) roles() {
	out, err := asks(a, func(by *way) (*iam.GetAccountAuthorizationDetailsOutput, error) {
		return by.iam.GetAccountAuthorizationDetails(a.w.t.Context(), &iam.GetAccountAuthorizationDetailsInput{Filter: []iamtypes.EntityType{iamtypes.EntityTypeRole}})
	})
	if err != nil {
		a.refused++
		return
	}
	for name, r := range a.had.Roles {
		if strings.HasPrefix(name, "killswitch-") {
			continue
		}
		i := slices.IndexFunc(out.RoleDetailList, func(d iamtypes.RoleDetail) bool { return *d.RoleName == name })
		if i >= 0 {
			a.role(r, out.RoleDetailList[i])
			continue
		}
		a.writes("CreateRole", map[string]string{"roleName": name}, func(by *way) error {
			_, err := by.iam.CreateRole(a.w.t.Context(), &iam.CreateRoleInput{RoleName: &name, Path: &r.Path, AssumeRolePolicyDocument: &r.Trust})
			return err
		})
	}
}

func (a *adversary) role(was awsfake.Role, is iamtypes.RoleDetail) {
	ctx, name := a.w.t.Context(), is.RoleName
	of := func(key, value string) map[string]string { return map[string]string{"roleName": *name, key: value} }
	again(keys(was.Inline), named(is.RolePolicyList, func(p iamtypes.PolicyDetail) *string { return p.PolicyName }), func(policy string) {
		a.writes("DeleteRolePolicy", of("policyName", policy), func(by *way) error {
			_, err := by.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: &policy})
			return err
		})
	}, func(policy string) {
		a.writes("PutRolePolicy", of("policyName", policy), func(by *way) error {
			_, err := by.iam.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: &policy, PolicyDocument: aws.String(was.Inline[policy])})
			return err
		})
	})
	again(was.Attached, named(is.AttachedManagedPolicies, attachedARN), func(arn string) {
		a.writes("DetachRolePolicy", of("policyArn", arn), func(by *way) error {
			_, err := by.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: &arn})
			return err
		})
	}, func(arn string) {
		a.writes("AttachRolePolicy", of("policyArn", arn), func(by *way) error {
			_, err := by.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: &arn})
			return err
		})
	})
	again(oneOf(was.Boundary), one(is.PermissionsBoundary), func(arn string) {
		a.writes("DeleteRolePermissionsBoundary", of("permissionsBoundary", arn), func(by *way) error {
			_, err := by.iam.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: name})
			return err
		})
	}, none)
	again(keys(was.Tags), named(is.Tags, tagKey), func(tag string) {
		a.writes("UntagRole", of("tagKeys", tag), func(by *way) error {
			_, err := by.iam.UntagRole(ctx, &iam.UntagRoleInput{RoleName: name, TagKeys: []string{tag}})
			return err
		})
	}, none)
	again(was.Profiles, named(is.InstanceProfileList, func(p iamtypes.InstanceProfile) *string { return p.InstanceProfileName }), none, func(profile string) {
		a.writes("AddRoleToInstanceProfile", of("instanceProfileName", profile), func(by *way) error {
			_, err := by.iam.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{RoleName: name, InstanceProfileName: &profile})
			return err
		})
	})
}

func none(string) {}

func (a *adversary) user(was awsfake.User) {
	ctx, name := a.w.t.Context(), &was.Name
	of := func(key, value string) map[string]string { return map[string]string{"userName": *name, key: value} }
	is, err := asks(a, func(by *way) (*iam.GetUserOutput, error) {
		return by.iam.GetUser(ctx, &iam.GetUserInput{UserName: name})
	})
	if err != nil {
		a.refused++
		return
	}
	inline, err := asks(a, func(by *way) (*iam.ListUserPoliciesOutput, error) {
		return by.iam.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: name})
	})
	if err == nil {
		again(keys(was.Inline), inline.PolicyNames, func(policy string) {
			a.writes("DeleteUserPolicy", of("policyName", policy), func(by *way) error {
				_, err := by.iam.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: name, PolicyName: &policy})
				return err
			})
		}, none)
	}
	attached, err := asks(a, func(by *way) (*iam.ListAttachedUserPoliciesOutput, error) {
		return by.iam.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: name})
	})
	if err == nil {
		again(was.Attached, named(attached.AttachedPolicies, attachedARN), func(arn string) {
			a.writes("DetachUserPolicy", of("policyArn", arn), func(by *way) error {
				_, err := by.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: name, PolicyArn: &arn})
				return err
			})
		}, none)
	}
	again(oneOf(was.Boundary), one(is.User.PermissionsBoundary), func(arn string) {
		a.writes("DeleteUserPermissionsBoundary", of("permissionsBoundary", arn), func(by *way) error {
			_, err := by.iam.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: name})
			return err
		})
	}, none)
	again(keys(was.Tags), named(is.User.Tags, tagKey), func(tag string) {
		a.writes("UntagUser", of("tagKeys", tag), func(by *way) error {
			_, err := by.iam.UntagUser(ctx, &iam.UntagUserInput{UserName: name, TagKeys: []string{tag}})
			return err
		})
	}, none)
	groups, err := asks(a, func(by *way) (*iam.ListGroupsForUserOutput, error) {
		return by.iam.ListGroupsForUser(ctx, &iam.ListGroupsForUserInput{UserName: name})
	})
	if err == nil {
		again(was.Groups, named(groups.Groups, func(g iamtypes.Group) *string { return g.GroupName }), func(group string) {
			a.writes("RemoveUserFromGroup", of("groupName", group), func(by *way) error {
				_, err := by.iam.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{UserName: name, GroupName: &group})
				return err
			})
		}, none)
	}
	list, err := asks(a, func(by *way) (*iam.ListAccessKeysOutput, error) {
		return by.iam.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: name})
	})
	if err != nil {
		return
	}
	var active []string
	for _, k := range list.AccessKeyMetadata {
		if k.Status == iamtypes.StatusTypeActive {
			active = append(active, *k.AccessKeyId)
		}
	}
	for _, k := range was.Keys {
		there := slices.ContainsFunc(list.AccessKeyMetadata, func(m iamtypes.AccessKeyMetadata) bool { return *m.AccessKeyId == k.ID })
		switch {
		case !there && len(list.AccessKeyMetadata) < len(was.Keys):
			a.writes("CreateAccessKey", map[string]string{"userName": *name}, func(by *way) error {
				_, err := by.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: name})
				return err
			})
		case there && !k.Inactive && !slices.Contains(active, k.ID):
			a.writes("UpdateAccessKey", of("accessKeyId", k.ID), func(by *way) error {
				_, err := by.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: name, AccessKeyId: &k.ID, Status: iamtypes.StatusTypeActive})
				return err
			})
		}
	}
}

func (a *adversary) instance(was awsfake.Instance) {
	ctx := a.w.t.Context()
	out, err := asks(a, func(by *way) (*ec2.DescribeInstancesOutput, error) {
		return by.ec2.DescribeInstances(ctx, &ec2.DescribeInstancesInput{InstanceIds: []string{was.ID}})
	})
	if err != nil {
		a.refused++
		return
	}
	is := out.Reservations[0].Instances[0]
	for _, e := range is.NetworkInterfaces {
		id, groups := *e.NetworkInterfaceId, a.had.Regions[region].Interfaces[*e.NetworkInterfaceId].Groups
		if slices.Equal(named(e.Groups, func(g ec2types.GroupIdentifier) *string { return g.GroupId }), groups) {
			continue
		}
		a.writes("ModifyNetworkInterfaceAttribute", map[string]string{"networkInterfaceId": id, "groupId": groups[0]}, func(by *way) error {
			_, err := by.ec2.ModifyNetworkInterfaceAttribute(ctx, &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: &id, Groups: groups})
			return err
		})
	}
	again(keys(was.Tags), named(is.Tags, func(t ec2types.Tag) *string { return t.Key }), func(tag string) {
		a.writes("DeleteTags", map[string]string{"resourceId": was.ID, "key": tag}, func(by *way) error {
			_, err := by.ec2.DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{was.ID}, Tags: []ec2types.Tag{{Key: &tag}}})
			return err
		})
	}, none)
	profile := &ec2types.IamInstanceProfileSpecification{Arn: &was.Profile}
	on, err := asks(a, func(by *way) (*ec2.DescribeIamInstanceProfileAssociationsOutput, error) {
		return by.ec2.DescribeIamInstanceProfileAssociations(ctx, &ec2.DescribeIamInstanceProfileAssociationsInput{})
	})
	switch {
	case err != nil:
	case len(on.IamInstanceProfileAssociations) == 0:
		a.writes("AssociateIamInstanceProfile", map[string]string{"instanceId": was.ID}, func(by *way) error {
			_, err := by.ec2.AssociateIamInstanceProfile(ctx, &ec2.AssociateIamInstanceProfileInput{InstanceId: &was.ID, IamInstanceProfile: profile})
			return err
		})
	case *on.IamInstanceProfileAssociations[0].IamInstanceProfile.Arn != was.Profile:
		a.writes("ReplaceIamInstanceProfileAssociation", map[string]string{"instanceId": was.ID}, func(by *way) error {
			_, err := by.ec2.ReplaceIamInstanceProfileAssociation(ctx, &ec2.ReplaceIamInstanceProfileAssociationInput{AssociationId: on.IamInstanceProfileAssociations[0].AssociationId, IamInstanceProfile: profile})
			return err
		})
	}
}

// guardrails tries to take the account's service control policies off: their IDs are no secret.
func (a *adversary) guardrails() {
	account := prod
	for id, p := range a.w.aws.Snapshot().Organization.SCPs {
		if !p.AWSManaged && slices.Contains(p.Targets, account) {
			a.writes("DetachPolicy", map[string]string{"policyId": id, "targetId": account}, func(by *way) error {
				_, err := by.org.DetachPolicy(a.w.t.Context(), &organizations.DetachPolicyInput{PolicyId: &id, TargetId: &account})
				return err
			})
		}
	}
}
