package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/cmd/template"
)

// compareIAM says what of the roles, policies and profiles that a stack should have made is otherwise.
func compareIAM(ctx context.Context, cfg aws.Config, at template.Place, made map[string]template.Resource) (wrong []string) {
	client := iam.NewFromConfig(cfg)
	for _, id := range slices.Sorted(maps.Keys(made)) {
		p := made[id].Properties
		switch made[id].Type {
		case "AWS::IAM::Role":
			name := text(p["RoleName"])
			if name == "" {
				continue // CloudFormation has named it
			}
			inline := map[string]any{}
			for _, x := range list(p["Policies"]) {
				policy, _ := x.(map[string]any)
				inline[text(policy["PolicyName"])] = policy["PolicyDocument"]
			}
			for _, other := range made {
				if other.Type == "AWS::IAM::Policy" && slices.Contains(list(other.Properties["Roles"]), any(name)) {
					inline[text(other.Properties["PolicyName"])] = other.Properties["PolicyDocument"]
				}
			}
			wrong = append(wrong, compareRole(ctx, client, name, p, inline)...)
		case "AWS::IAM::ManagedPolicy":
			wrong = append(wrong, comparePolicy(ctx, client, "arn:"+at.Partition+":iam::"+at.Account+":policy/"+text(p["ManagedPolicyName"]), p["PolicyDocument"])...)
		case "AWS::IAM::InstanceProfile":
			name := text(p["InstanceProfileName"])
			out, err := client.GetInstanceProfile(ctx, &iam.GetInstanceProfileInput{InstanceProfileName: &name})
			switch {
			case err != nil:
				wrong = append(wrong, absent("instance profile", name, err))
			case len(out.InstanceProfile.Roles) != 1 || !slices.Contains(list(p["Roles"]), any(aws.ToString(out.InstanceProfile.Roles[0].RoleName))):
				wrong = append(wrong, "the instance profile "+name+" has another role")
			}
		}
	}
	return wrong
}

func absent(kind, name string, err error) string {
	if isCode(err, "NoSuchEntity") {
		return "there is no " + kind + " " + name
	}
	return fmt.Sprintf("the %s %s can't be read: %s", kind, name, said(err))
}

func compareRole(ctx context.Context, client *iam.Client, name string, want map[string]any, inline map[string]any) (wrong []string) {
	out, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: &name})
	if err != nil {
		return []string{absent("role", name, err)}
	}
	if trust := decoded(out.Role.AssumeRolePolicyDocument); !same(trust, want["AssumeRolePolicyDocument"]) {
		wrong = append(wrong, fmt.Sprintf("the trust of %s is otherwise: %s", name, trusts(trust)))
	}
	boundary := ""
	if b := out.Role.PermissionsBoundary; b != nil {
		boundary = aws.ToString(b.PermissionsBoundaryArn)
	}
	if boundary != text(want["PermissionsBoundary"]) {
		wrong = append(wrong, fmt.Sprintf("%s has the permissions boundary %q", name, boundary))
	}
	has, err := actions.List(ctx, iam.NewListRolePoliciesPaginator(client, &iam.ListRolePoliciesInput{RoleName: &name}), func(p *iam.ListRolePoliciesOutput) []string { return p.PolicyNames }, actions.Itself)
	if err != nil {
		return append(wrong, absent("policies of", name, err))
	}
	for _, policy := range has {
		if inline[policy] == nil {
			wrong = append(wrong, fmt.Sprintf("%s has a policy more, %s", name, actions.Clip(policy)))
		}
	}
	for _, policy := range slices.Sorted(maps.Keys(inline)) {
		if !slices.Contains(has, policy) {
			wrong = append(wrong, fmt.Sprintf("%s has no policy %s: it may do nothing of it", name, policy))
			continue
		}
		got, err := client.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: &name, PolicyName: &policy})
		if err != nil {
			wrong = append(wrong, absent("policy of "+name, policy, err))
		} else if document := decoded(got.PolicyDocument); !same(document, inline[policy]) {
			wrong = append(wrong, fmt.Sprintf("the policy %s of %s is otherwise%s", policy, name, difference(document, inline[policy])))
		}
	}
	attached, err := actions.List(ctx, iam.NewListAttachedRolePoliciesPaginator(client, &iam.ListAttachedRolePoliciesInput{RoleName: &name}),
		func(p *iam.ListAttachedRolePoliciesOutput) []types.AttachedPolicy { return p.AttachedPolicies }, func(p types.AttachedPolicy) string { return aws.ToString(p.PolicyArn) })
	if err != nil {
		return append(wrong, absent("policies of", name, err))
	}
	managed := list(want["ManagedPolicyArns"])
	for _, arn := range attached {
		if !slices.Contains(managed, any(arn)) {
			wrong = append(wrong, fmt.Sprintf("%s has %s attached", name, arn))
		}
	}
	for _, arn := range managed {
		if !slices.Contains(attached, text(arn)) {
			wrong = append(wrong, fmt.Sprintf("%s has %s not attached", name, arn))
		}
	}
	return wrong
}

func comparePolicy(ctx context.Context, client *iam.Client, arn string, want any) []string {
	name := lastOf(arn, "/")
	out, err := client.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
	if err != nil {
		return []string{absent("policy", name, err)}
	}
	version, err := client.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: out.Policy.DefaultVersionId})
	switch {
	case err != nil:
		return []string{absent("policy", name, err)}
	case !same(decoded(version.PolicyVersion.Document), want):
		return []string{"the policy " + name + " has another content"}
	}
	return nil
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}

// decoded is a document as IAM returns it, URL-encoded.
func decoded(document *string) string {
	plain, err := url.PathUnescape(aws.ToString(document))
	if err != nil {
		return aws.ToString(document)
	}
	return plain
}

// same compares a document as deployed with one of a template, by what they mean: a list of one is its member, lists
// have no order, and CloudFormation makes texts of numbers and truth values.
func same(document string, want any) bool {
	b, err := json.Marshal(want)
	if err != nil {
		return false
	}
	has, err := plain(document)
	if err != nil {
		return false
	}
	should, err := plain(string(b))
	return err == nil && has == should
}

func plain(document string) (string, error) {
	var v any
	if err := json.Unmarshal([]byte(document), &v); err != nil {
		return "", err
	}
	b, err := json.Marshal(normal(v))
	return string(b), err
}

func normal(v any) any {
	switch v := v.(type) {
	case bool, float64:
		return fmt.Sprint(v)
	case map[string]any:
		for key := range v {
			v[key] = normal(v[key])
		}
	case []any:
		texts := make([]string, len(v))
		for i := range v {
			v[i] = normal(v[i])
			b, _ := json.Marshal(v[i])
			texts[i] = string(b)
		}
		if len(v) == 1 {
			return v[0]
		}
		slices.Sort(texts)
		return texts
	}
	return v
}

// trusts says in a few words whom a trust policy lets in.
func trusts(document string) string {
	var p struct {
		Statement []struct {
			Principal any
			Condition any
		}
	}
	if json.Unmarshal([]byte(document), &p) != nil {
		return "it can't be read"
	}
	var who []string
	for _, s := range p.Statement {
		b, _ := json.Marshal([]any{s.Principal, s.Condition})
		who = append(who, string(b))
	}
	slices.Sort(who)
	return "it lets in " + actions.Clip(strings.Join(slices.Compact(who), " and "))
}

// difference says which actions a policy allows too few or too many.
func difference(document string, want any) string {
	b, _ := json.Marshal(want)
	has, should := allowed(document), allowed(string(b))
	var missing, more []string
	for act := range should {
		if !has[act] {
			missing = append(missing, act)
		}
	}
	for act := range has {
		if !should[act] {
			more = append(more, act)
		}
	}
	slices.Sort(missing)
	slices.Sort(more)
	said := ""
	if len(missing) > 0 {
		said += ": it lacks " + some(missing)
	}
	if len(more) > 0 {
		said += ", and it may besides " + some(more)
	}
	if said == "" {
		said = ": resources or conditions differ"
	}
	return said
}

func allowed(document string) map[string]bool {
	var p struct {
		Statement []struct {
			Effect string
			Action any
		}
	}
	acts := map[string]bool{}
	if json.Unmarshal([]byte(document), &p) != nil {
		return acts
	}
	for _, s := range p.Statement {
		names, _ := deny.Strings(s.Action)
		for _, act := range names {
			if s.Effect == "Allow" {
				acts[act] = true
			}
		}
	}
	return acts
}
