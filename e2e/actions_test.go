//go:build e2e

package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	orgtypes "github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
)

// TestContractOnMoto: the contract of every action holds on an AWS that we did not write. moto
// authorises nothing, so permissions are compared by the AWS in memory alone; and of each action it
// leaves out what its start says. Each check has an account of its own.
func TestContractOnMoto(t *testing.T) {
	t.Parallel()
	cloud := StartAWS(t, "MOTO_IAM_LOAD_MANAGED_POLICIES=false") // with them, moto takes seconds to list an account's roles
	for _, a := range all.Actions {
		if name := string(a.Spec().Name); motoStarts[name] == nil {
			t.Errorf("%s has no start: say at least what moto lacks for it", name)
		}
	}
	var accounts atomic.Int64
	var deployed sync.Once // for instances; of users one start has what is deployed, the others have not
	var wg sync.WaitGroup
	defer wg.Wait()
	for name, starts := range motoStarts {
		wg.Go(func() {
			t.Run(name, func(t *testing.T) { // not t.Parallel, which counts processors: what takes time is waiting
				var contract actiontest.Contract
				for _, s := range starts {
					contract.Starts = append(contract.Starts, actiontest.Start{Name: s.name, Open: func(t *testing.T) actiontest.Environment {
						n := accounts.Add(1)
						sc := &scene{t: t, aws: cloud, account: fmt.Sprintf("2%011d", n), management: fmt.Sprintf("9%011d", n), instanceRole: fmt.Sprintf("app-role-%d", n)}
						if name == string(actions.IsolateInstance) { // an account's first call to EC2 takes moto seconds
							sc.account = "200000000000"
						}
						sc.iam = iam.NewFromConfig(cloud.Member(t, sc.account))
						if name == string(actions.IsolateInstance) {
							deployed.Do(sc.deployShared)
						}
						return s.open(sc)
					}})
				}
				action, _, _ := strings.Cut(name, " ")
				contract.Action, _ = all.Actions.Lookup(actions.Name(action))
				actiontest.Test(t, contract)
			})
		})
	}
}

// motoStart is a state in which an action is tested.
type motoStart struct {
	name string
	open func(*scene) actiontest.Environment
}

// motoStarts by action, and what tells it apart.
var motoStarts = map[string][]motoStart{
	"revoke_sessions": {
		{"bare", func(s *scene) actiontest.Environment {
			e := s.onRole(actions.RevokeSessions, s.role("victim"), nil)
			e.Replace = func() {
				s.inline("victim", "AWSRevokeOlderSessions", theirs)
				s.tagRole("victim", "theirs")
			}
			return e
		}},
		{"revoked before", func(s *scene) actiontest.Environment {
			s.furnished("victim")
			s.tagRole("victim", "theirs")
			return s.onRole(actions.RevokeSessions, "victim", nil)
		}},
	},
	// moto has no roles of services before any is made, and pages that no test fills.
	"revoke_sessions ALL": {{"two roles", func(s *scene) actiontest.Environment {
		names := []string{s.role("victim"), s.role("other")}
		s.inline("other", "AWSRevokeOlderSessions", denyS3)
		before := []roleState{s.roleState("victim"), s.roleState("other")}
		each := func(do func(i int, name string)) func() {
			return func() {
				for i, name := range names {
					do(i, name)
				}
			}
		}
		return s.environment(actions.Call{Action: actions.RevokeSessions, Target: s.account + "/ALL", Account: s.account},
			func() any { return []roleState{s.roleState("victim"), s.roleState("other")} },
			each(func(i int, _ string) { s.putRole(before[i]) }),
			each(func(_ int, name string) { s.inline(name, "AWSRevokeOlderSessions", theirs) }))
	}}},
	"revoke_sessions via=scp": {{"an account", func(s *scene) actiontest.Environment {
		id := s.memberAccount("victim")
		return s.onAccount(actions.Call{Action: actions.RevokeSessions, Target: id + "/ALL", Account: id, Options: map[string]string{"via": "scp"}}, "killswitch-revoke-"+id)
	}}},
	"apply_scp": {{"an account", func(s *scene) actiontest.Environment {
		id := s.memberAccount("victim")
		return s.onAccount(actions.Call{Action: actions.ApplySCP, Target: id, Account: id}, "killswitch-freeze")
	}}, {"a unit", func(s *scene) actiontest.Environment {
		unit := s.unit(s.memberAccount("victim"))
		return s.onPoint(unit, actions.Call{Action: actions.ApplySCP, Target: unit, Account: s.management}, "killswitch-units-freeze")
	}}},
	"deny_principal": {{"the root user of an account", func(s *scene) actiontest.Environment {
		id := s.memberAccount("victim")
		return s.onAccount(actions.Call{Action: actions.DenyPrincipal, Target: actions.RootARN("aws", id), Account: id}, "killswitch-deny-"+id)
	}}, {"a role", func(s *scene) actiontest.Environment {
		id := s.memberAccount("victim")
		made, err := iam.NewFromConfig(s.aws.Member(s.t, id)).CreateRole(s.t.Context(), &iam.CreateRoleInput{RoleName: aws.String("victim"), AssumeRolePolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[]}`)})
		s.must(err)
		return s.onAccount(actions.Call{Action: actions.DenyPrincipal, Target: *made.Role.Arn, Account: id}, "killswitch-deny-"+id)
	}}, {"a user", func(s *scene) actiontest.Environment {
		s.account = s.memberAccount("victim")
		s.iam = iam.NewFromConfig(s.aws.Member(s.t, s.account))
		user := s.onUser(actions.QuarantineUser, nil)
		e := s.onAccount(actions.Call{Action: actions.DenyPrincipal, Target: user.Call.Target, Account: s.account}, "killswitch-deny-"+s.account)
		state, tamper, replace := e.State, e.Tamper, e.Replace
		e.State = func() any { return []any{state(), user.State()} }
		e.Tamper = func() { tamper(); user.Tamper() }
		e.Replace = func() { replace(); user.Replace() }
		return e
	}}},
	"detach_policies": {{"a furnished role", func(s *scene) actiontest.Environment {
		s.furnished("victim")
		return s.onRole(actions.DetachPolicies, "victim", nil)
	}}},
	// Without instance profiles: where the role is in one no more, moto answers RemoveRoleFromInstanceProfile
	// with a 500 (AWS: NoSuchEntity). And without instances: its ReplaceIamInstanceProfileAssociation keeps the
	// association's ID, where AWS gives another one (its API Reference), by which undo sees what is associated
	// anew. Nobody can take a deletion away.
	"delete_role": {{"a furnished role", func(s *scene) actiontest.Environment {
		s.furnished("victim")
		for _, profile := range s.roleState("victim").Profiles {
			_, err := s.iam.RemoveRoleFromInstanceProfile(s.t.Context(), &iam.RemoveRoleFromInstanceProfileInput{RoleName: aws.String("victim"), InstanceProfileName: &profile})
			s.must(err)
		}
		e := s.onRole(actions.DeleteRole, "victim", map[string]string{"confirm": "victim"})
		e.Tamper = nil
		return e
	}}},
	"quarantine_user": {
		{"a user", func(s *scene) actiontest.Environment {
			s.deployShared()
			return s.onUser(actions.QuarantineUser, nil)
		}},
		{"and its MFA devices", func(s *scene) actiontest.Environment {
			return s.onUser(actions.QuarantineUser, map[string]string{"mfa": "off"})
		}},
	},
	"deactivate_key": {
		{"the key alone", func(s *scene) actiontest.Environment { return s.onUser(actions.DeactivateKey, nil) }},
		{"and its user", func(s *scene) actiontest.Environment {
			return s.onUser(actions.DeactivateKey, map[string]string{"quarantine": "yes"})
		}},
	},
	"delete_key": {{"an inactive key", func(s *scene) actiontest.Environment {
		e := s.onUser(actions.DeleteKey, nil)
		s.setKey(types.StatusTypeInactive)
		e.Tamper = nil // what was deleted comes back as another one
		return e
	}}},
	"isolate_instance": {{"an instance with two interfaces", (*scene).onInstance}},
}

// theirs is a document that Killswitch writes nowhere.
const theirs = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sqs:*","Resource":"*"}]}`

func (s *scene) environment(call actions.Call, state func() any, tamper, replace func()) actiontest.Environment {
	o := actions.Org{Actions: all.Actions, Partition: "aws", HubAccount: HubAccount, ManagementAccount: s.management, Regions: []string{region},
		ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer", ExternalID: "4b3c2a1f", Accounts: map[string]string{"victim": call.Account}}
	cloud := actions.NewCloud(s.aws.As(s.t, "Executor"), o)
	action, _ := all.Actions.Lookup(call.Action)
	return actiontest.Environment{Call: call, Org: o, State: state, Tamper: tamper, Replace: replace, Now: time.Now,
		Enter: func(m actions.Member, p actions.Phase, resources []string) *actions.Account {
			acct, err := cloud.EnterFor(s.t.Context(), m, action, p, call, resources, actions.SessionContext{RequestID: "KS-000000000000", Requester: "ana"})
			s.must(err)
			return acct
		}}
}

// onRole is about a role. Others delete it and make one of the same name elsewhere.
func (s *scene) onRole(name actions.Name, role string, options map[string]string) actiontest.Environment {
	before := s.roleState(role)
	return s.environment(actions.Call{Action: name, Target: before.ARN, Account: s.account, Options: options}, func() any {
		if s.gone(role) {
			return nil
		}
		return s.roleState(role)
	}, func() { s.putRole(before) }, func() {
		if !s.gone(role) {
			s.deleteRole(role)
		}
		_, err := s.iam.CreateRole(s.t.Context(), &iam.CreateRoleInput{RoleName: &role, Path: aws.String("/elsewhere/"), AssumeRolePolicyDocument: aws.String(theirs)})
		s.must(err)
		s.tagRole(role, "theirs")
		s.inline(role, "AWSRevokeOlderSessions", theirs)
		s.inline(role, "KillswitchDenyAll", theirs)
	})
}

func (s *scene) gone(role string) bool {
	s.t.Helper()
	_, err := s.iam.GetRole(s.t.Context(), &iam.GetRoleInput{RoleName: &role})
	if api, ok := errors.AsType[smithy.APIError](err); ok && api.ErrorCode() == "NoSuchEntity" {
		return true
	}
	s.must(err)
	return false
}

func (s *scene) tagRole(role, value string) {
	s.t.Helper()
	_, err := s.iam.TagRole(s.t.Context(), &iam.TagRoleInput{RoleName: &role, Tags: []types.Tag{{Key: aws.String("killswitch"), Value: &value}}})
	s.must(err)
}

// putRole brings a role's policies and tag back as they were.
func (s *scene) putRole(before roleState) {
	s.t.Helper()
	ctx, name := s.t.Context(), actions.LastPart(before.ARN)
	now := s.roleState(name)
	for policy := range now.Inline {
		_, err := s.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &policy})
		s.must(err)
	}
	for policy, document := range before.Inline {
		s.inline(name, policy, document)
	}
	for _, arn := range before.Attached {
		if !slices.Contains(now.Attached, arn) {
			_, err := s.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &name, PolicyArn: &arn})
			s.must(err)
		}
	}
	_, err := s.iam.UntagRole(ctx, &iam.UntagRoleInput{RoleName: &name, TagKeys: []string{"killswitch"}})
	s.must(err)
	if value, ok := before.Tags["killswitch"]; ok {
		s.tagRole(name, value)
	}
}

func (s *scene) deleteRole(name string) {
	s.t.Helper()
	ctx, now := s.t.Context(), s.roleState(name)
	for policy := range now.Inline {
		_, err := s.iam.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &name, PolicyName: &policy})
		s.must(err)
	}
	for _, arn := range now.Attached {
		_, err := s.iam.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: &name, PolicyArn: &arn})
		s.must(err)
	}
	for _, profile := range now.Profiles {
		_, err := s.iam.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{RoleName: &name, InstanceProfileName: &profile})
		s.must(err)
	}
	_, err := s.iam.DeleteRole(ctx, &iam.DeleteRoleInput{RoleName: &name})
	s.must(err)
}

const victim = "victim"

// onUser is about a user with all that moto lets one have, or about one of its keys. Others rename it and
// make one of its name.
func (s *scene) onUser(name actions.Name, options map[string]string) actiontest.Environment {
	ctx := s.t.Context()
	_, err := s.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String(victim)})
	s.must(err)
	_, err = s.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: aws.String(victim), PolicyName: aws.String("app"), PolicyDocument: aws.String(denyS3)})
	s.must(err)
	for range 2 {
		out, err := s.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String(victim)})
		s.must(err)
		s.key = *out.AccessKey.AccessKeyId
	}
	s.password()
	device, err := s.iam.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: aws.String(victim)})
	s.must(err)
	serial := *device.VirtualMFADevice.SerialNumber
	s.enableMFA(serial)
	before := s.userState(victim)
	call := actions.Call{Action: name, Target: "arn:aws:iam::" + s.account + ":user/" + victim, Account: s.account, Options: options}
	if name != actions.QuarantineUser {
		call.Target = s.key
	}
	state := func() any { // but for what stays when it is taken back: that there is no password, nor device
		st := s.userState(victim)
		st.Password = false
		keys, err := s.iam.ListAccessKeys(s.t.Context(), &iam.ListAccessKeysInput{UserName: aws.String(victim)})
		s.must(err)
		return []any{st, len(keys.AccessKeyMetadata)}
	}
	return s.environment(call, state, func() {
		now := s.userState(victim)
		for _, arn := range now.Attached {
			if !slices.Contains(before.Attached, arn) {
				_, err := s.iam.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: aws.String(victim), PolicyArn: &arn})
				s.must(err)
			}
		}
		for policy := range now.Inline {
			if _, ok := before.Inline[policy]; !ok {
				_, err := s.iam.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: aws.String(victim), PolicyName: &policy})
				s.must(err)
			}
		}
		_, err := s.iam.UntagUser(ctx, &iam.UntagUserInput{UserName: aws.String(victim), TagKeys: []string{"killswitch"}})
		s.must(err)
		for _, key := range before.Active {
			_, err := s.iam.UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: aws.String(victim), AccessKeyId: &key, Status: types.StatusTypeActive})
			s.must(err)
		}
		if !now.Password {
			s.password()
		}
		s.enableMFA(serial)
	}, func() {
		_, err := s.iam.UpdateUser(ctx, &iam.UpdateUserInput{UserName: aws.String(victim), NewUserName: aws.String("renamed")})
		s.must(err)
		_, err = s.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String(victim)})
		s.must(err)
	})
}

func (s *scene) password() {
	s.t.Helper()
	_, err := s.iam.CreateLoginProfile(s.t.Context(), &iam.CreateLoginProfileInput{UserName: aws.String(victim), Password: aws.String("correct horse battery")})
	s.must(err)
}

func (s *scene) enableMFA(serial string) {
	s.t.Helper()
	enabled, err := s.iam.ListMFADevices(s.t.Context(), &iam.ListMFADevicesInput{UserName: aws.String(victim)})
	s.must(err)
	if len(enabled.MFADevices) > 0 {
		return
	}
	_, err = s.iam.EnableMFADevice(s.t.Context(), &iam.EnableMFADeviceInput{UserName: aws.String(victim), SerialNumber: &serial, AuthenticationCode1: aws.String("123456"), AuthenticationCode2: aws.String("654321")})
	s.must(err)
}

func (s *scene) setKey(status types.StatusType) {
	s.t.Helper()
	_, err := s.iam.UpdateAccessKey(s.t.Context(), &iam.UpdateAccessKeyInput{UserName: aws.String(victim), AccessKeyId: &s.key, Status: status})
	s.must(err)
}

// onAccount is about an account of an organization, and a policy on it.
func (s *scene) onAccount(call actions.Call, policy string) actiontest.Environment {
	return s.onPoint(call.Account, call, policy)
}

// onPoint is about a policy on an account or a unit. Others put one there of its name.
func (s *scene) onPoint(point string, call actions.Call, policy string) actiontest.Environment {
	detach := func() (id string) {
		all, err := s.org().ListPolicies(s.t.Context(), &organizations.ListPoliciesInput{Filter: orgtypes.PolicyTypeServiceControlPolicy})
		s.must(err)
		for _, p := range all.Policies {
			if *p.Name == policy {
				_, err := s.org().DetachPolicy(s.t.Context(), &organizations.DetachPolicyInput{PolicyId: p.Id, TargetId: &point})
				s.must(err)
				return *p.Id
			}
		}
		s.t.Fatalf("there is no policy %s", policy)
		return ""
	}
	return s.environment(call, func() any { return s.scps(point) }, func() { detach() }, func() {
		id := detach()
		_, err := s.org().DeletePolicy(s.t.Context(), &organizations.DeletePolicyInput{PolicyId: &id})
		s.must(err)
		other, err := s.org().CreatePolicy(s.t.Context(), &organizations.CreatePolicyInput{Name: &policy, Description: aws.String("theirs"), Content: aws.String(denyS3), Type: orgtypes.PolicyTypeServiceControlPolicy})
		s.must(err)
		_, err = s.org().AttachPolicy(s.t.Context(), &organizations.AttachPolicyInput{PolicyId: other.Policy.PolicySummary.Id, TargetId: &point})
		s.must(err)
	})
}

// onInstance is about an instance. Others give it other groups, another profile and tag, and write the
// role's policy anew; of the protections there is no third value.
func (s *scene) onInstance() actiontest.Environment {
	ctx, id := s.t.Context(), s.instance()
	arn := actions.InstanceARN("aws", region, s.account, id)
	before := s.instanceState(id)
	groups := func(named string) {
		enis, err := s.ec2().DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{{Name: aws.String("attachment.instance-id"), Values: []string{id}}}})
		s.must(err)
		found, err := s.ec2().DescribeSecurityGroups(ctx, &ec2.DescribeSecurityGroupsInput{Filters: []ec2types.Filter{{Name: aws.String("group-name"), Values: []string{named}}, {Name: aws.String("vpc-id"), Values: []string{*enis.NetworkInterfaces[0].VpcId}}}})
		s.must(err)
		for _, eni := range enis.NetworkInterfaces {
			_, err := s.ec2().ModifyNetworkInterfaceAttribute(ctx, &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: eni.NetworkInterfaceId, Groups: []string{*found.SecurityGroups[0].GroupId}})
			s.must(err)
		}
	}
	profile := func(name string) {
		as, err := s.ec2().DescribeIamInstanceProfileAssociations(ctx, &ec2.DescribeIamInstanceProfileAssociationsInput{Filters: []ec2types.Filter{{Name: aws.String("instance-id"), Values: []string{id}}}})
		s.must(err)
		_, err = s.ec2().ReplaceIamInstanceProfileAssociation(ctx, &ec2.ReplaceIamInstanceProfileAssociationInput{AssociationId: as.IamInstanceProfileAssociations[0].AssociationId, IamInstanceProfile: &ec2types.IamInstanceProfileSpecification{Name: &name}})
		s.must(err)
	}
	e := s.environment(actions.Call{Action: actions.IsolateInstance, Target: arn, Account: s.account, Region: region}, func() any { return s.instanceState(id) }, func() {
		groups("web")
		profile(s.appRole() + "-profile-0")
		_, err := s.ec2().ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{InstanceId: &id, DisableApiTermination: &ec2types.AttributeBooleanValue{Value: aws.Bool(before.Protected)}})
		s.must(err)
		_, err = s.ec2().ModifyInstanceAttribute(ctx, &ec2.ModifyInstanceAttributeInput{InstanceId: &id, DisableApiStop: &ec2types.AttributeBooleanValue{Value: aws.Bool(before.Kept)}})
		s.must(err)
		_, err = s.ec2().DeleteTags(ctx, &ec2.DeleteTagsInput{Resources: []string{id}, Tags: []ec2types.Tag{{Key: aws.String("killswitch")}}})
		s.must(err)
		s.putRole(before.Role)
	}, func() {
		groups("default")
		profile(s.appRole() + "-profile-1")
		_, err := s.ec2().CreateTags(ctx, &ec2.CreateTagsInput{Resources: []string{id}, Tags: []ec2types.Tag{{Key: aws.String("killswitch"), Value: aws.String("theirs")}}})
		s.must(err)
		s.inline(s.appRole(), "KillswitchIsolate", theirs)
	})
	e.TwoValued = []string{"protect", "protect-stop"}
	return e
}
