package awsfake_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	orgtypes "github.com/aws/aws-sdk-go-v2/service/organizations/types"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const (
	management = "999999999999"
	other      = "333333333333"
	frozen     = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/killswitch-responder"}}}]}`
)

// orgWorld is an organization of the world's member and another account; orgs is
// a session in the management account that may do all.
func orgWorld(t *testing.T, quota int) (*world, *organizations.Client) {
	t.Helper()
	w := newWorld(t)
	w.Organize(awsfake.Organization{Management: management, SCPQuota: quota, Accounts: []awsfake.OrgAccount{{ID: member, Name: "prod"}, {ID: other, Name: "sandbox", State: "SUSPENDED"}}})
	ops := w.Account(management).AddRole(awsfake.Role{Name: "ops", Inline: map[string]string{"all": allowAll}})
	return w, organizations.NewFromConfig(w.Session(ops, "ops").Config())
}

func create(name string) *organizations.CreatePolicyInput {
	return &organizations.CreatePolicyInput{Name: &name, Content: aws.String(frozen), Description: aws.String("x"), Type: orgtypes.PolicyTypeServiceControlPolicy,
		Tags: []orgtypes.Tag{{Key: aws.String("killswitch"), Value: aws.String("KS-1")}}}
}

func TestSCPIsALayer(t *testing.T) {
	w, orgs := orgWorld(t, 0)
	linked := w.Account(member).AddRole(awsfake.Role{Name: "AWSServiceRoleForX", Path: "/aws-service-role/x.amazonaws.com/", Inline: map[string]string{"all": allowAll}})
	imitated := w.Account(member).AddRole(awsfake.Role{Name: "killswitch-responder2", Path: "/killswitch-responder/", Inline: map[string]string{"all": allowAll}})
	boss := w.Account(management).AddRole(awsfake.Role{Name: "boss", Inline: map[string]string{"all": allowAll}})
	out, err := orgs.CreatePolicy(t.Context(), create("freeze"))
	check(t, err)
	id := out.Policy.PolicySummary.Id
	w.SetPropagation(4 * time.Second)
	for _, account := range []string{member, management} {
		_, err = orgs.AttachPolicy(t.Context(), &organizations.AttachPolicyInput{PolicyId: id, TargetId: aws.String(account)})
		check(t, err)
	}
	can := func(role string) bool {
		ok, _ := w.Session(role, "s1").Can("s3:GetObject", "arn:aws:s3:::b/k")
		return ok
	}
	if !can(w.victim) {
		t.Error("denied before it has propagated")
	}
	w.clock.add(4 * time.Second)
	for role, want := range map[string]bool{w.victim: false, imitated: false, linked: true, boss: true} {
		if can(role) != want {
			t.Errorf("%s can: %t", role, !want)
		}
	}
	_, why := w.Session(w.victim, "s1").Can("s3:GetObject", "arn:aws:s3:::b/k")
	if want := "with an explicit deny in a service control policy"; !strings.HasSuffix(why, want) {
		t.Errorf("%q does not end %q", why, want)
	}
	_, err = w.responder(t).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("victim")})
	check(t, err)
	// Without FullAWSAccess nothing is allowed.
	_, err = orgs.DetachPolicy(t.Context(), &organizations.DetachPolicyInput{PolicyId: aws.String("p-FullAWSAccess"), TargetId: aws.String(member)})
	check(t, err)
	w.clock.add(4 * time.Second)
	_, err = w.responder(t).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("victim")})
	wantCode(t, err, "AccessDenied")
	if !strings.Contains(err.Error(), "no service control policy allows") {
		t.Error(err)
	}
}

func TestSCPErrors(t *testing.T) {
	w, orgs := orgWorld(t, 2)
	out, err := orgs.CreatePolicy(t.Context(), create("a"))
	check(t, err)
	a := out.Policy.PolicySummary.Id
	b := aws.String(w.AddSCP(awsfake.SCP{Name: "b", Content: frozen}))
	attach := func(policy *string, account string) error {
		_, err := orgs.AttachPolicy(t.Context(), &organizations.AttachPolicyInput{PolicyId: policy, TargetId: &account})
		return err
	}
	detach := func(policy *string, account string) error {
		_, err := orgs.DetachPolicy(t.Context(), &organizations.DetachPolicyInput{PolicyId: policy, TargetId: &account})
		return err
	}
	_, err = orgs.CreatePolicy(t.Context(), create("a"))
	wantCode(t, err, "DuplicatePolicyException")
	check(t, attach(a, member))
	wantCode(t, attach(a, member), "DuplicatePolicyAttachmentException")
	wantCode(t, attach(b, member), "ConstraintViolationException")
	wantCode(t, attach(a, "444444444444"), "TargetNotFoundException")
	wantCode(t, attach(aws.String("p-none"), member), "PolicyNotFoundException")
	wantCode(t, detach(b, member), "PolicyNotAttachedException")
	_, err = orgs.DeletePolicy(t.Context(), &organizations.DeletePolicyInput{PolicyId: a})
	wantCode(t, err, "PolicyInUseException")
	check(t, detach(aws.String("p-FullAWSAccess"), member))
	wantCode(t, detach(a, member), "ConstraintViolationException")
	for content, code := range map[string]string{"{}": "MalformedPolicyDocumentException", frozen + strings.Repeat(" ", 10240): "ConstraintViolationException"} {
		_, err = orgs.UpdatePolicy(t.Context(), &organizations.UpdatePolicyInput{PolicyId: a, Content: &content})
		wantCode(t, err, code)
	}
	_, err = orgs.ListTagsForResource(t.Context(), &organizations.ListTagsForResourceInput{ResourceId: aws.String("p-FullAWSAccess")})
	wantCode(t, err, "InvalidInputException")
	_, err = orgs.DescribeAccount(t.Context(), &organizations.DescribeAccountInput{AccountId: aws.String("444444444444")})
	wantCode(t, err, "AccountNotFoundException")
	d, err := orgs.DescribeAccount(t.Context(), &organizations.DescribeAccountInput{AccountId: aws.String(other)})
	check(t, err)
	if got := *d.Account.Arn; d.Account.State != "SUSPENDED" || !strings.HasPrefix(got, "arn:aws:organizations::999999999999:account/o-") || !strings.HasSuffix(got, "/"+other) {
		t.Errorf("%s %s", got, d.Account.State)
	}

	// Organizations answers the management account alone.
	victim := organizations.NewFromConfig(w.Session(w.victim, "s1").Config())
	_, err = victim.ListPolicies(t.Context(), &organizations.ListPoliciesInput{Filter: orgtypes.PolicyTypeServiceControlPolicy})
	wantCode(t, err, "AccessDeniedException")
	_, err = organizations.NewFromConfig(w.Config()).ListPolicies(t.Context(), &organizations.ListPoliciesInput{Filter: orgtypes.PolicyTypeServiceControlPolicy})
	wantCode(t, err, "AccessDeniedException")

	disabled := newWorld(t)
	disabled.Organize(awsfake.Organization{Management: management, Accounts: []awsfake.OrgAccount{{ID: member}}, SCPsDisabled: true})
	id := disabled.AddSCP(awsfake.SCP{Name: "a", Content: frozen})
	_, err = organizations.NewFromConfig(disabled.Admin(management)).AttachPolicy(t.Context(), &organizations.AttachPolicyInput{PolicyId: &id, TargetId: aws.String(member)})
	wantCode(t, err, "PolicyTypeNotEnabledException")
	_, err = organizations.NewFromConfig(newWorld(t).Admin(management)).ListPolicies(t.Context(), &organizations.ListPoliciesInput{Filter: orgtypes.PolicyTypeServiceControlPolicy})
	wantCode(t, err, "AWSOrganizationsNotInUseException")
}

// Writes on policies that are tagged: AttachPolicy is authorised on policy and target, and a condition on
// the tag fails for the target, which has none; a tag counts once it has propagated.
func TestWritesOnTaggedSCPs(t *testing.T) {
	w, orgs := orgWorld(t, 0)
	const (
		tagged = `"Condition":{"Null":{"aws:ResourceTag/killswitch":"false"}}`
		asked  = `"Condition":{"StringLike":{"aws:RequestTag/killswitch":"KS-*"},"ForAllValues:StringEquals":{"aws:TagKeys":"killswitch"}}`
	)
	n := 0
	role := func(statements ...string) *organizations.Client {
		n++
		name := fmt.Sprintf("bounded-%d", n)
		arn := w.Account(management).AddRole(awsfake.Role{Name: name, Inline: map[string]string{"p": `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`}})
		return organizations.NewFromConfig(w.Session(arn, "s").Config())
	}
	allow := func(acts, resource, condition string) string {
		return `{"Effect":"Allow","Action":[` + acts + `],"Resource":"` + resource + `"` + strings.TrimSuffix(","+condition, ",") + `}`
	}
	const policies, accounts = "arn:aws:organizations::999999999999:policy/o-*/service_control_policy/*", "arn:aws:organizations::999999999999:account/o-*/*"
	one := role(allow(`"organizations:AttachPolicy"`, "*", tagged))
	two := role(allow(`"organizations:AttachPolicy"`, accounts, ""), allow(`"organizations:AttachPolicy","organizations:UpdatePolicy"`, policies, tagged),
		allow(`"organizations:CreatePolicy","organizations:TagResource"`, "*", asked))
	attach := func(c *organizations.Client, id *string) error {
		_, err := c.AttachPolicy(t.Context(), &organizations.AttachPolicyInput{PolicyId: id, TargetId: aws.String(member)})
		return err
	}
	foreign := aws.String(w.AddSCP(awsfake.SCP{Name: "guardrail", Content: frozen, Tags: map[string]string{"team": "security"}}))
	w.SetPropagation(4 * time.Second)
	out, err := two.CreatePolicy(t.Context(), create("freeze"))
	check(t, err)
	ours := out.Policy.PolicySummary.Id
	wantCode(t, attach(two, ours), "AccessDeniedException") // not seen yet
	w.clock.add(4 * time.Second)
	wantCode(t, attach(one, ours), "AccessDeniedException")
	check(t, attach(two, ours))
	wantCode(t, attach(two, foreign), "AccessDeniedException")
	_, err = two.UpdatePolicy(t.Context(), &organizations.UpdatePolicyInput{PolicyId: foreign, Content: aws.String(frozen)})
	wantCode(t, err, "AccessDeniedException")
	for _, tags := range [][]orgtypes.Tag{nil, {{Key: aws.String("killswitch"), Value: aws.String("shared")}}, append(create("x").Tags, orgtypes.Tag{Key: aws.String("team"), Value: aws.String("x")})} {
		in := create("other")
		in.Tags = tags
		_, err = two.CreatePolicy(t.Context(), in)
		wantCode(t, err, "AccessDeniedException")
	}
	_, err = orgs.TagResource(t.Context(), &organizations.TagResourceInput{ResourceId: foreign, Tags: create("x").Tags})
	check(t, err)
	w.clock.add(4 * time.Second)
	check(t, attach(two, foreign))
}

func TestSCPsInPages(t *testing.T) {
	w, orgs := orgWorld(t, 100)
	want := map[string]bool{"FullAWSAccess": true}
	for i := range 45 {
		name := fmt.Sprintf("p%d", i)
		w.AddSCP(awsfake.SCP{Name: name, Content: frozen, Targets: []string{member}})
		want[name] = true
	}
	for what, pages := range map[string]func(token *string) ([]orgtypes.PolicySummary, *string){
		"all": func(token *string) ([]orgtypes.PolicySummary, *string) {
			out, err := orgs.ListPolicies(t.Context(), &organizations.ListPoliciesInput{Filter: orgtypes.PolicyTypeServiceControlPolicy, NextToken: token})
			check(t, err)
			return out.Policies, out.NextToken
		},
		"of a target": func(token *string) ([]orgtypes.PolicySummary, *string) {
			out, err := orgs.ListPoliciesForTarget(t.Context(), &organizations.ListPoliciesForTargetInput{Filter: orgtypes.PolicyTypeServiceControlPolicy, TargetId: aws.String(member), NextToken: token})
			check(t, err)
			return out.Policies, out.NextToken
		},
	} {
		got, n := map[string]bool{}, 0
		for token := (*string)(nil); ; n++ {
			page, next := pages(token)
			for _, p := range page {
				got[*p.Name] = true
			}
			if token = next; token == nil {
				break
			}
		}
		if d := cmp.Diff(want, got); d != "" || n != 2 {
			t.Errorf("%s in %d pages:\n%s", what, n+1, d)
		}
	}
}
