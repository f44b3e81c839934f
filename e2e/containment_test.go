//go:build e2e

package e2e

import (
	stdcmp "cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	orgtypes "github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/instance"
)

// containment is one action, on something that setup makes.
type containment struct {
	name string
	// setup returns what is typed, what the cards of it say, and what reads the
	// state that undo must bring back.
	setup func(*scene) (line, about string, state func() any)
	plan  []string // words of its plan, in the thread
	// contained fails unless it is.
	contained func(*scene)
	approvals int    // 1 where it is 0
	undo      string // what is typed behind undo ID; where it is empty Undo is clicked
	final     bool   // there is no way back
}

var containments = []containment{
	{name: "revoke_sessions ALL", setup: func(s *scene) (string, string, func() any) {
		s.role("all-1")
		s.role("all-2")
		s.inline("all-2", "AWSRevokeOlderSessions", denyS3)
		return "revoke_sessions prod/ALL the account is taken over", "/ALL ", func() any { return []any{s.roleState("all-1"), s.roleState("all-2")} }
	}, contained: func(s *scene) {
		for _, role := range []string{"all-1", "all-2"} {
			if !strings.Contains(s.deny(role), "aws:TokenIssueTime") {
				s.t.Errorf("%s has the policy %q", role, s.deny(role))
			}
		}
	}},
	{name: "revoke_sessions ALL via=scp", setup: func(s *scene) (string, string, func() any) {
		id := s.memberAccount("via-scp")
		return "revoke_sessions " + id + "/ALL via=scp the account is taken over", id + "/ALL ", func() any { return s.scps(id) }
	}, contained: func(s *scene) { s.attached("killswitch-revoke-", "aws:TokenIssueTime") }},
	{name: "apply_scp", setup: func(s *scene) (string, string, func() any) {
		id := s.memberAccount("frozen")
		return "apply_scp " + id + " the account is taken over", "apply_scp " + id + " ", func() any { return s.scps(id) }
	}, contained: func(s *scene) { s.attached("killswitch-freeze", "role/killswitch-responder") }},
	{name: "apply_scp protect-data", setup: func(s *scene) (string, string, func() any) {
		id := s.memberAccount("wiped")
		s.leaks(id)
		return "apply_scp " + id + " scp=protect-data somebody deletes backups", "apply_scp " + id + " ", func() any { return s.scps(id) }
	}, plan: []string{
		"in 1 bucket: wiped-data after 1 day (rule purge)", "wiped-data: everybody", "wiped (eu-west-1): arn:aws:iam::666666666666:role/mallory", "1 bucket lets in other accounts: wiped-shared: account 222222222222 (prod)",
	}, contained: func(s *scene) { s.attached("killswitch-protect-data", "s3:DeleteObjectVersion") }},
	{name: "apply_scp on a unit", approvals: 2, setup: func(s *scene) (string, string, func() any) {
		unit := s.unit(s.memberAccount("in-a-unit"))
		return "apply_scp " + unit + " they are in every account of it", "apply_scp " + unit + ",", func() any { return s.scps(unit) }
	}, contained: func(s *scene) { s.attached("killswitch-units-freeze", "aws:PrincipalAccount") }},
	{name: "deny_principal", setup: func(s *scene) (string, string, func() any) {
		id := s.memberAccount("rooted")
		return "deny_principal " + id + "/root signed in from an unknown network", "deny_principal arn:aws:iam::" + id + ":root ", func() any { return s.scps(id) }
	}, contained: func(s *scene) { s.attached("killswitch-deny-", ":root") }},
	{name: "deny_principal sso", setup: func(s *scene) (string, string, func() any) {
		id := s.memberAccount("people")
		return "deny_principal sso:dana@example.com signed in from two countries", "deny_principal sso:dana@example.com ", func() any { return s.scps(id) }
	}, contained: func(s *scene) { s.attached("killswitch-deny-r-", "*:dana@example.com") }},
	deniedUser(),
	{name: "detach_policies", setup: func(s *scene) (string, string, func() any) {
		s.furnished("stripped")
		return "detach_policies prod/stripped stolen", "role/stripped ", func() any { return s.roleState("stripped") }
	}, contained: func(s *scene) {
		state := s.roleState("stripped")
		if len(state.Attached) != 0 || len(state.Inline) != 1 || // what only has the name of a revocation goes, too
			!strings.Contains(state.Inline["KillswitchDenyAll"], "Deny") {
			s.t.Errorf("the role still has %+v", state)
		}
	}},
	{name: "delete_role", approvals: 2, setup: func(s *scene) (string, string, func() any) {
		s.furnished("deleted")
		return "delete_role prod/deleted confirm=deleted made by the attacker", "role/deleted ", func() any { return s.roleState("deleted") }
	}, contained: func(s *scene) {
		if _, err := s.iam.GetRole(s.t.Context(), &iam.GetRoleInput{RoleName: aws.String("deleted")}); err == nil {
			s.t.Error("the role is still there")
		}
	}},
	{name: "quarantine_user", undo: "keys=reactivate it was our own exercise", setup: func(s *scene) (string, string, func() any) {
		s.user("bernd")
		return "quarantine_user prod/bernd keys on a paste site", "user/bernd ", func() any { return s.userState("bernd") }
	}, contained: func(s *scene) {
		st := s.userState("bernd")
		if len(st.Attached) != 2 || len(st.Active) != 0 || st.Password {
			s.t.Errorf("the user still has %+v", st)
		}
	}},
	{name: "deactivate_key", undo: "keys=reactivate it was our own exercise", setup: func(s *scene) (string, string, func() any) {
		s.key = s.user("exposed")
		return "deactivate_key " + s.key + " account=prod quarantine=yes keys on a paste site", "deactivate_key " + s.key + " ", func() any { return s.userState("exposed") }
	}, contained: func(s *scene) {
		if st := s.userState("exposed"); slices.Contains(st.Active, s.key) || len(st.Attached) != 2 {
			s.t.Errorf("the key's user still has %+v", st)
		}
		s.noticed(s.key)
	}},
	{name: "delete_key", approvals: 2, final: true, setup: func(s *scene) (string, string, func() any) {
		s.key = s.user("leaver")
		_, err := s.iam.UpdateAccessKey(s.t.Context(), &iam.UpdateAccessKeyInput{UserName: aws.String("leaver"), AccessKeyId: &s.key, Status: iamtypes.StatusTypeInactive})
		s.must(err)
		return "delete_key " + s.key + " account=prod nothing broke", "delete_key " + s.key + " ", func() any { return s.userState("leaver") }
	}, contained: func(s *scene) {
		out, err := s.iam.ListAccessKeys(s.t.Context(), &iam.ListAccessKeysInput{UserName: aws.String("leaver")})
		s.must(err)
		if len(out.AccessKeyMetadata) != 1 || *out.AccessKeyMetadata[0].AccessKeyId == s.key {
			s.t.Errorf("there are %+v", out.AccessKeyMetadata)
		}
		s.noticed(s.key)
	}},
	{name: "isolate_instance", setup: func(s *scene) (string, string, func() any) {
		id := s.instance()
		return "isolate_instance prod/" + id + " region=" + region + " mining", "instance/" + id + " ", func() any { return s.instanceState(id) }
	}, contained: func(s *scene) { s.isolated() }},
}

// deniedUser is a user who is denied by a policy and in its own account, in which nothing is deployed ahead.
func deniedUser() containment {
	var there *scene
	return containment{name: "deny_principal user", setup: func(s *scene) (string, string, func() any) {
		id := s.memberAccount("insider")
		there = &scene{t: s.t, iam: iam.NewFromConfig(s.aws.Member(s.t, id))}
		there.user("dora")
		return "deny_principal " + id + "/user/dora keys on a paste site", "user/dora ", func() any { return []any{s.scps(id), there.userState("dora")} }
	}, contained: func(s *scene) {
		s.attached("killswitch-deny-", there.userState("dora").ID)
		if st := there.userState("dora"); st.Inline[deny.FullQuarantine] == "" {
			s.t.Errorf("in its own account it has %+v", st)
		}
	}}
}

const denyS3 = "{\n \"Version\": \"2012-10-17\",\n \"Statement\": [{\"Effect\": \"Deny\", \"Action\": \"s3:*\", \"Resource\": \"arn:aws:s3:::a+b%20c/*\"}]\n}"

// TestContainments: every action from the command to its undo, with an AWS and a
// Slack that others wrote; before and after are compared through the SDK.
func TestContainments(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(s *scene, _ *Workspace) {
		topics := "arn:aws:sns:eu-west-1:" + HubAccount
		s.more = "notify: {sns_topic_arn: \"" + topics + ":security-alerts\", pager_topic_arn: \"" + topics + ":pager\", pager_after: 1m}\n"
	})
	s.notices = s.subscribe("security-alerts")
	pager := s.subscribe("pager")
	s.deployShared()
	s.role("unanswered")
	s.slack.Command(t, channel, ana, "/killswitch", "revoke_sessions prod/unanswered nobody is awake")
	unanswered := requestID.FindString(s.about("pending 0/", "role/unanswered ", false).Text)
	for _, c := range containments {
		t.Run(c.name, func(t *testing.T) {
			s.t = t
			c.play(s)
		})
	}
	s.t = t
	s.heard(pager, "pending 0/1: revoke_sessions in account prod ("+prod+")", unanswered)
}

// deployShared makes what a StackSet deploys beside the member roles.
func (s *scene) deployShared() {
	s.t.Helper()
	ctx, name := s.t.Context(), aws.String(instance.IsolationName)
	for _, policy := range []string{deny.FullQuarantine, deny.IAMQuarantine} {
		_, err := s.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &policy, PolicyDocument: aws.String(deny.QuarantineDocument(policy))})
		s.must(err)
	}
	_, err := s.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: name, AssumeRolePolicyDocument: aws.String(instance.IsolationTrust("aws")), PermissionsBoundary: aws.String(deny.BoundaryARN("aws"))})
	s.must(err)
	_, err = s.iam.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: name})
	s.must(err)
	_, err = s.iam.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: name, RoleName: name})
	s.must(err)
}

func (c containment) play(s *scene) {
	s.t.Helper()
	line, about, state := c.setup(s)
	before := state()
	s.slack.Command(s.t, channel, ana, "/killswitch", line)
	card := s.about("pending 0/", about, false)
	if d := cmp.Diff(before, state()); d != "" {
		s.t.Errorf("the plan changed something: %s", d)
	}
	if len(c.plan) > 0 {
		s.slack.Await(s.t, channel, "the plan", func(m Message) bool { return m.ThreadTS == card.TS && says(m, c.plan...) })
	}
	for _, user := range []string{ben, cem}[:max(c.approvals, 1)] {
		s.click(user, card, "approve")
	}
	card = s.about("contained", about, false)
	c.contained(s)
	if c.final {
		return
	}
	if c.undo == "" {
		s.click(cem, card, "undo")
	} else {
		s.slack.Command(s.t, channel, cem, "/killswitch", "undo "+requestID.FindString(card.Text)+" "+c.undo)
	}
	undo := s.about("pending 0/", about, true)
	s.click(ana, undo, "approve")
	s.about("restored", about, true)
	s.about("undone", about, false)
	if d := cmp.Diff(before, state()); d != "" {
		s.t.Errorf("not as before: %s", d)
	}
}

var requestID = regexp.MustCompile(`KS-[0-9A-Z]{12}`)

// about waits for a card in a state.
func (s *scene) about(state, words string, undo bool) Message {
	s.t.Helper()
	return s.slack.Await(s.t, channel, state+" of "+words, func(m Message) bool {
		return inState(m, state) && strings.Contains(m.Text, words) && strings.Contains(m.Text, "(undo of") == undo
	})
}

// inline puts a policy into a role.
func (s *scene) inline(role, name, document string) {
	s.t.Helper()
	_, err := s.iam.PutRolePolicy(s.t.Context(), &iam.PutRolePolicyInput{RoleName: &role, PolicyName: &name, PolicyDocument: &document})
	s.must(err)
}

// furnished makes a role with everything that a role can have.
func (s *scene) furnished(name string) {
	s.t.Helper()
	ctx := s.t.Context()
	trust := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`
	_, err := s.iam.CreateRole(ctx, &iam.CreateRoleInput{RoleName: &name, Path: aws.String("/service/"), AssumeRolePolicyDocument: &trust, Description: aws.String("furnished"), MaxSessionDuration: aws.Int32(7200)})
	s.must(err)
	s.inline(name, "app", denyS3)
	s.inline(name, "AWSRevokeOlderSessions", denyS3)
	for i := range 2 {
		document := `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`
		out, err := s.iam.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: aws.String(fmt.Sprintf("%s-%d", name, i)), PolicyDocument: &document})
		s.must(err)
		_, err = s.iam.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: &name, PolicyArn: out.Policy.Arn})
		s.must(err)
		profile := fmt.Sprintf("%s-profile-%d", name, i)
		_, err = s.iam.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: &profile})
		s.must(err)
		_, err = s.iam.AddRoleToInstanceProfile(ctx, &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &profile, RoleName: &name})
		s.must(err)
	}
}

// roleState is a role but for its ID.
type roleState struct {
	ARN, Trust, Description string
	MaxSession              int32
	Attached, Profiles      []string
	Inline, Tags            map[string]string
}

func (s *scene) roleState(name string) roleState {
	s.t.Helper()
	ctx := s.t.Context()
	role, err := s.iam.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
	s.must(err)
	trust, err := url.PathUnescape(*role.Role.AssumeRolePolicyDocument)
	s.must(err)
	st := roleState{ARN: *role.Role.Arn, Trust: trust, Description: aws.ToString(role.Role.Description), MaxSession: aws.ToInt32(role.Role.MaxSessionDuration), Inline: map[string]string{}, Tags: map[string]string{}}
	attached, err := s.iam.ListAttachedRolePolicies(ctx, &iam.ListAttachedRolePoliciesInput{RoleName: &name})
	s.must(err)
	for _, a := range attached.AttachedPolicies {
		st.Attached = append(st.Attached, *a.PolicyArn)
	}
	inline, err := s.iam.ListRolePolicies(ctx, &iam.ListRolePoliciesInput{RoleName: &name})
	s.must(err)
	for _, policy := range inline.PolicyNames {
		out, err := s.iam.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &name, PolicyName: &policy})
		s.must(err)
		st.Inline[policy], err = url.PathUnescape(*out.PolicyDocument)
		s.must(err)
	}
	profiles, err := s.iam.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: &name})
	s.must(err)
	for _, p := range profiles.InstanceProfiles {
		st.Profiles = append(st.Profiles, *p.InstanceProfileName)
	}
	tags, err := s.iam.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: &name})
	s.must(err)
	for _, tag := range tags.Tags {
		st.Tags[*tag.Key] = *tag.Value
	}
	slices.Sort(st.Attached)
	slices.Sort(st.Profiles)
	return st
}

// user makes a user with two keys and returns the first.
func (s *scene) user(name string) (key string) {
	s.t.Helper()
	ctx := s.t.Context()
	_, err := s.iam.CreateUser(ctx, &iam.CreateUserInput{UserName: &name})
	s.must(err)
	_, err = s.iam.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("app"), PolicyDocument: aws.String(denyS3)})
	s.must(err)
	_, err = s.iam.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &name, PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")})
	s.must(err)
	for range 2 {
		out, err := s.iam.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: &name})
		s.must(err)
		key = *out.AccessKey.AccessKeyId
	}
	return key
}

type userState struct {
	ID               string
	Attached, Active []string
	Inline, Tags     map[string]string
	Password         bool
}

func (s *scene) userState(name string) userState {
	s.t.Helper()
	ctx := s.t.Context()
	user, err := s.iam.GetUser(ctx, &iam.GetUserInput{UserName: &name})
	s.must(err)
	st := userState{ID: *user.User.UserId, Inline: map[string]string{}, Tags: map[string]string{}}
	attached, err := s.iam.ListAttachedUserPolicies(ctx, &iam.ListAttachedUserPoliciesInput{UserName: &name})
	s.must(err)
	for _, a := range attached.AttachedPolicies {
		st.Attached = append(st.Attached, *a.PolicyArn)
	}
	inline, err := s.iam.ListUserPolicies(ctx, &iam.ListUserPoliciesInput{UserName: &name})
	s.must(err)
	for _, policy := range inline.PolicyNames {
		out, err := s.iam.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: &name, PolicyName: &policy})
		s.must(err)
		st.Inline[policy] = *out.PolicyDocument
	}
	keys, err := s.iam.ListAccessKeys(ctx, &iam.ListAccessKeysInput{UserName: &name})
	s.must(err)
	for _, k := range keys.AccessKeyMetadata {
		if k.Status == iamtypes.StatusTypeActive {
			st.Active = append(st.Active, *k.AccessKeyId)
		}
	}
	tags, err := s.iam.ListUserTags(ctx, &iam.ListUserTagsInput{UserName: &name})
	s.must(err)
	for _, tag := range tags.Tags {
		st.Tags[*tag.Key] = *tag.Value
	}
	_, err = s.iam.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: &name})
	st.Password = err == nil
	slices.Sort(st.Attached)
	slices.Sort(st.Active)
	return st
}

// subscribe makes a topic and a queue that gets what it is told, and returns the queue's URL.
func (s *scene) subscribe(name string) string {
	s.t.Helper()
	ctx, hub := s.t.Context(), s.aws.Hub(s.t)
	topic, err := sns.NewFromConfig(hub).CreateTopic(ctx, &sns.CreateTopicInput{Name: &name})
	s.must(err)
	queue, err := sqs.NewFromConfig(hub).CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &name})
	s.must(err)
	_, err = sns.NewFromConfig(hub).Subscribe(ctx, &sns.SubscribeInput{TopicArn: topic.TopicArn, Protocol: aws.String("sqs"), Endpoint: aws.String("arn:aws:sqs:" + region + ":" + HubAccount + ":" + name)})
	s.must(err)
	return *queue.QueueUrl
}

// noticed waits for the notice about a key. moto has no CloudTrail look-up: the
// notice goes out all the same, and says so.
func (s *scene) noticed(key string) {
	s.t.Helper()
	s.heard(s.notices, key, "contained")
}

// heard waits until a queue of a topic got a message with some words.
func (s *scene) heard(queue string, words ...string) {
	s.t.Helper()
	client := sqs.NewFromConfig(s.aws.Hub(s.t))
	EventuallyWithin(s.t, "a message about "+words[0], 2*time.Minute, func(ctx context.Context) error {
		out, err := client.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &queue})
		if err != nil {
			return err
		}
		for _, m := range out.Messages {
			if !slices.ContainsFunc(append(words, "Subject"), func(w string) bool { return !strings.Contains(*m.Body, w) }) {
				return nil
			}
		}
		return errors.New("none yet")
	})
}

func (s *scene) org() *organizations.Client {
	return organizations.NewFromConfig(s.aws.Member(s.t, stdcmp.Or(s.management, "999999999999")))
}

// organize makes the organization, if there is none.
func (s *scene) organize() {
	s.t.Helper()
	ctx := s.t.Context()
	if _, err := s.org().DescribeOrganization(ctx, nil); err != nil {
		_, err := s.org().CreateOrganization(ctx, &organizations.CreateOrganizationInput{FeatureSet: orgtypes.OrganizationFeatureSetAll})
		s.must(err)
		roots, err := s.org().ListRoots(ctx, nil)
		s.must(err)
		_, err = s.org().EnablePolicyType(ctx, &organizations.EnablePolicyTypeInput{RootId: roots.Roots[0].Id, PolicyType: orgtypes.PolicyTypeServiceControlPolicy})
		s.must(err)
	}
}

// memberAccount makes an account in the organization, and the organization.
func (s *scene) memberAccount(name string) string {
	s.t.Helper()
	s.organize()
	out, err := s.org().CreateAccount(s.t.Context(), &organizations.CreateAccountInput{AccountName: &name, Email: aws.String(name + "@example.com")})
	s.must(err)
	return *out.CreateAccountStatus.AccountId
}

// unit makes an organizational unit with a unit in it that has the account.
func (s *scene) unit(account string) string {
	s.t.Helper()
	ctx := s.t.Context()
	roots, err := s.org().ListRoots(ctx, nil)
	s.must(err)
	outer, err := s.org().CreateOrganizationalUnit(ctx, &organizations.CreateOrganizationalUnitInput{ParentId: roots.Roots[0].Id, Name: aws.String("Workloads")})
	s.must(err)
	inner, err := s.org().CreateOrganizationalUnit(ctx, &organizations.CreateOrganizationalUnitInput{ParentId: outer.OrganizationalUnit.Id, Name: aws.String("Prod")})
	s.must(err)
	_, err = s.org().MoveAccount(ctx, &organizations.MoveAccountInput{AccountId: &account, SourceParentId: roots.Roots[0].Id, DestinationParentId: inner.OrganizationalUnit.Id})
	s.must(err)
	return *outer.OrganizationalUnit.Id
}

// leaks makes buckets and a key in an account, from which data goes although it is protected.
func (s *scene) leaks(account string) {
	s.t.Helper()
	ctx, cfg := s.t.Context(), s.aws.Member(s.t, account)
	buckets := s3.NewFromConfig(cfg, func(o *s3.Options) { o.UsePathStyle = true })
	for name, principal := range map[string]string{"wiped-data": `"*"`, "wiped-shared": `{"AWS":"` + prod + `"}`} {
		_, err := buckets.CreateBucket(ctx, &s3.CreateBucketInput{Bucket: &name, CreateBucketConfiguration: &s3types.CreateBucketConfiguration{LocationConstraint: region}})
		s.must(err)
		_, err = buckets.PutBucketPolicy(ctx, &s3.PutBucketPolicyInput{Bucket: &name, Policy: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"s3:GetObject","Resource":"arn:aws:s3:::` + name + `/*"}]}`)})
		s.must(err)
	}
	_, err := buckets.PutBucketLifecycleConfiguration(ctx, &s3.PutBucketLifecycleConfigurationInput{Bucket: aws.String("wiped-data"), LifecycleConfiguration: &s3types.BucketLifecycleConfiguration{
		Rules: []s3types.LifecycleRule{{ID: aws.String("purge"), Status: s3types.ExpirationStatusEnabled, Filter: &s3types.LifecycleRuleFilter{Prefix: aws.String("")}, Expiration: &s3types.LifecycleExpiration{Days: aws.Int32(1)}}}}})
	s.must(err)
	keys := kms.NewFromConfig(cfg)
	key, err := keys.CreateKey(ctx, nil)
	s.must(err)
	_, err = keys.CreateAlias(ctx, &kms.CreateAliasInput{AliasName: aws.String("alias/wiped"), TargetKeyId: key.KeyMetadata.KeyId})
	s.must(err)
	_, err = keys.CreateGrant(ctx, &kms.CreateGrantInput{KeyId: key.KeyMetadata.KeyId, GranteePrincipal: aws.String("arn:aws:iam::666666666666:role/mallory"), Operations: []kmstypes.GrantOperation{kmstypes.GrantOperationDecrypt}})
	s.must(err)
}

// scps are the names of the policies of an account or a unit.
func (s *scene) scps(account string) []string {
	s.t.Helper()
	out, err := s.org().ListPoliciesForTarget(s.t.Context(), &organizations.ListPoliciesForTargetInput{TargetId: &account, Filter: orgtypes.PolicyTypeServiceControlPolicy})
	s.must(err)
	var names []string
	for _, p := range out.Policies {
		names = append(names, *p.Name)
	}
	slices.Sort(names)
	return names
}

// attached fails unless a policy of that name says the words and is somewhere attached.
func (s *scene) attached(name, words string) {
	s.t.Helper()
	ctx := s.t.Context()
	all, err := s.org().ListPolicies(ctx, &organizations.ListPoliciesInput{Filter: orgtypes.PolicyTypeServiceControlPolicy})
	s.must(err)
	for _, p := range all.Policies {
		if !strings.HasPrefix(*p.Name, name) {
			continue
		}
		out, err := s.org().DescribePolicy(ctx, &organizations.DescribePolicyInput{PolicyId: p.Id})
		s.must(err)
		targets, err := s.org().ListTargetsForPolicy(ctx, &organizations.ListTargetsForPolicyInput{PolicyId: p.Id})
		s.must(err)
		if !strings.Contains(*out.Policy.Content, words) || len(targets.Targets) != 1 {
			s.t.Errorf("%s is attached to %d: %s", *p.Name, len(targets.Targets), *out.Policy.Content)
		}
		return
	}
	s.t.Errorf("there is no policy %s", name)
}

func (s *scene) ec2() *ec2.Client {
	return ec2.NewFromConfig(s.aws.Member(s.t, stdcmp.Or(s.account, prod)))
}

// appRole is the role of the instance.
func (s *scene) appRole() string { return stdcmp.Or(s.instanceRole, "app-role") }

// instance starts an instance in a network of its own, with two interfaces and a role.
func (s *scene) instance() string {
	s.t.Helper()
	ctx, c := s.t.Context(), s.ec2()
	s.furnished(s.appRole())
	vpc, err := c.CreateVpc(ctx, &ec2.CreateVpcInput{CidrBlock: aws.String("10.9.0.0/16")})
	s.must(err)
	subnet, err := c.CreateSubnet(ctx, &ec2.CreateSubnetInput{VpcId: vpc.Vpc.VpcId, CidrBlock: aws.String("10.9.1.0/24")})
	s.must(err)
	web, err := c.CreateSecurityGroup(ctx, &ec2.CreateSecurityGroupInput{VpcId: vpc.Vpc.VpcId, GroupName: aws.String("web"), Description: aws.String("web")})
	s.must(err)
	images, err := c.DescribeImages(ctx, &ec2.DescribeImagesInput{Owners: []string{"amazon"}})
	s.must(err)
	// The groups stand on the interface: moto would otherwise add the instance's to whatever an interface is given.
	run, err := c.RunInstances(ctx, &ec2.RunInstancesInput{ImageId: images.Images[0].ImageId, MinCount: aws.Int32(1), MaxCount: aws.Int32(1), InstanceType: ec2types.InstanceTypeT3Micro,
		NetworkInterfaces: []ec2types.InstanceNetworkInterfaceSpecification{{DeviceIndex: aws.Int32(0), SubnetId: subnet.Subnet.SubnetId, Groups: []string{*web.GroupId}}}, IamInstanceProfile: &ec2types.IamInstanceProfileSpecification{Name: aws.String(s.appRole() + "-profile-0")}})
	s.must(err)
	id := run.Instances[0].InstanceId
	second, err := c.CreateNetworkInterface(ctx, &ec2.CreateNetworkInterfaceInput{SubnetId: subnet.Subnet.SubnetId, Groups: []string{*web.GroupId}})
	s.must(err)
	_, err = c.AttachNetworkInterface(ctx, &ec2.AttachNetworkInterfaceInput{InstanceId: id, NetworkInterfaceId: second.NetworkInterface.NetworkInterfaceId, DeviceIndex: aws.Int32(1)})
	s.must(err)
	return *id
}

type instanceState struct {
	Groups    map[string][]string // by interface
	Profile   string
	Protected bool
	Kept      bool // stop protection
	Tags      map[string]string
	Role      roleState
}

func (s *scene) instanceState(id string) instanceState {
	s.t.Helper()
	ctx, c := s.t.Context(), s.ec2()
	st := instanceState{Groups: map[string][]string{}, Tags: map[string]string{}, Role: s.roleState(s.appRole())}
	enis, err := c.DescribeNetworkInterfaces(ctx, &ec2.DescribeNetworkInterfacesInput{Filters: []ec2types.Filter{{Name: aws.String("attachment.instance-id"), Values: []string{id}}}})
	s.must(err)
	for _, eni := range enis.NetworkInterfaces {
		for _, g := range eni.Groups {
			st.Groups[*eni.NetworkInterfaceId] = append(st.Groups[*eni.NetworkInterfaceId], *g.GroupName)
		}
	}
	profiles, err := c.DescribeIamInstanceProfileAssociations(ctx, &ec2.DescribeIamInstanceProfileAssociationsInput{Filters: []ec2types.Filter{{Name: aws.String("instance-id"), Values: []string{id}}}})
	s.must(err)
	for _, a := range profiles.IamInstanceProfileAssociations {
		st.Profile = *a.IamInstanceProfile.Arn
	}
	protected, err := c.DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{InstanceId: &id, Attribute: ec2types.InstanceAttributeNameDisableApiTermination})
	s.must(err)
	st.Protected = aws.ToBool(protected.DisableApiTermination.Value)
	kept, err := c.DescribeInstanceAttribute(ctx, &ec2.DescribeInstanceAttributeInput{InstanceId: &id, Attribute: ec2types.InstanceAttributeNameDisableApiStop})
	s.must(err)
	st.Kept = aws.ToBool(kept.DisableApiStop.Value)
	tags, err := c.DescribeTags(ctx, &ec2.DescribeTagsInput{Filters: []ec2types.Filter{{Name: aws.String("resource-id"), Values: []string{id}}}})
	s.must(err)
	for _, tag := range tags.Tags {
		st.Tags[*tag.Key] = *tag.Value
	}
	return st
}

// isolated fails unless every instance is cut off.
func (s *scene) isolated() {
	s.t.Helper()
	out, err := s.ec2().DescribeInstances(s.t.Context(), nil)
	s.must(err)
	st := s.instanceState(*out.Reservations[0].Instances[0].InstanceId)
	if len(st.Groups) != 2 || !strings.HasSuffix(st.Profile, "/killswitch-isolation") || !st.Protected || len(st.Role.Inline) != 3 {
		s.t.Errorf("it is not isolated: %+v", st)
	}
	for eni, groups := range st.Groups {
		if !slices.Equal(groups, []string{"killswitch-isolation"}) {
			s.t.Errorf("%s has the groups %v", eni, groups)
		}
	}
	groups, err := s.ec2().DescribeSecurityGroups(s.t.Context(), &ec2.DescribeSecurityGroupsInput{Filters: []ec2types.Filter{{Name: aws.String("group-name"), Values: []string{"killswitch-isolation"}}}})
	s.must(err)
	for _, g := range groups.SecurityGroups {
		if len(g.IpPermissions)+len(g.IpPermissionsEgress) != 0 {
			s.t.Errorf("the isolation group %s is open: %+v %+v", *g.GroupId, g.IpPermissions, g.IpPermissionsEgress)
		}
	}
}
