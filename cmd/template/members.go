// Package template writes the CloudFormation templates of an installation, from its configuration and
// from what the actions say that they need. Nothing in it is secret, and nothing calls AWS.
package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/instance"
)

// ExecutorRole is the default name of the executor's role in the hub, as in template.yaml.
const ExecutorRole = "killswitch-executor"

// object is a mapping of the template, written in alphabetical order.
type object = map[string]any

type file struct {
	Version     string `yaml:"AWSTemplateFormatVersion"`
	Description string `yaml:"Description"`
	Parameters  object `yaml:"Parameters"`
	Rules       object `yaml:"Rules,omitempty"`
	Conditions  object `yaml:"Conditions,omitempty"`
	Resources   object `yaml:"Resources"`
	Outputs     object `yaml:"Outputs,omitempty"`
}

const membersHead = `# What Killswitch has in each member account: the roles that the executor assumes, what actions share and never make
# themselves, and in each region the rules that pass on to the hub what concerns it. Printed by "killswitch template
# members"; deploy/README.md tells how to deploy it.
`

// Members returns the template of what a StackSet deploys into each account of an organization: in one region the two
// member roles, the managed policies that quarantine attaches, and the role and profile of isolated instances; in all
// regions what passes events on to the hub. In the management account, where a stack of its own deploys it, it makes
// of these the two roles, for Organizations alone, and what passes events on.
func Members(o actions.Org) ([]byte, error) {
	hub := parameter("[0-9]{12}", "Account of the hub", o.HubAccount)
	if o.HubAccount == "" {
		delete(hub, "Default")
	}
	f := file{
		Version:     "2010-09-09",
		Description: "Killswitch member account, the roles by which the hub contains and undoes, and what containments share",
		Parameters: object{
			"HubAccountId":        hub,
			"ExecutorRoleName":    parameter("[A-Za-z0-9_+=,.@-]{1,64}", "The role of the hub that may assume the member roles (ExecutorRoleName of the hub's stack; of serve, the role that it runs as)", ExecutorRole),
			"StandbyRoleName":     parameter("([A-Za-z0-9_+=,.@-]{1,64})?", "The role of a second hub in the same account, which waits and takes over if the first is lost; left out, there is none", ""),
			"ExternalId":          parameter("[A-Za-z0-9_+=,.@:/-]{0,1224}", "aws.external_id of the configuration; left out, none is asked for", o.ExternalID),
			"OrganizationId":      parameter("(o-[a-z0-9]{10,32})?", "Your organization (o-...): nobody outside of it assumes the member roles; left out, the account and role alone decide", ""),
			"ManagementAccountId": parameter("([0-9]{12})?", "The organization's management account: there the roles are for Organizations alone", o.ManagementAccount),
			"PolicyAccountId":     parameter("([0-9]{12})?", "The account from which service control policies are managed: aws.policy_account, or the management account", o.OrganizationsAccount()),
		},
		Conditions: object{
			"HasExternalId":   not(equals(ref("ExternalId"), "")),
			"HasOrganization": not(equals(ref("OrganizationId"), "")),
			"HasStandby":      not(equals(ref("StandbyRoleName"), "")),
			"IsMember":        not(equals(ref("AWS::AccountId"), ref("ManagementAccountId"))),
			"MakesRoles":      equals(ref("AWS::Region"), ref("RoleRegion")), // IAM knows no regions
			"MakesShared":     object{"Fn::And": []any{condition("MakesRoles"), condition("IsMember")}},
			"ManagesPolicies": object{"Fn::And": []any{condition("MakesRoles"), equals(ref("AWS::AccountId"), ref("PolicyAccountId"))}},
		},
	}
	denyAll := deny.BoundaryARN(o.Partition)
	isolationTrust, err := document(instance.IsolationTrust(o.Partition))
	if err != nil {
		return nil, err
	}
	f.Resources = object{
		"IsolationRole": resource("AWS::IAM::Role", "MakesShared", object{"RoleName": instance.IsolationName, "Description": "Killswitch, the role of isolated instances, which may do nothing",
			"AssumeRolePolicyDocument": isolationTrust, "ManagedPolicyArns": []any{denyAll}, "PermissionsBoundary": denyAll}),
		"IsolationProfile": resource("AWS::IAM::InstanceProfile", "MakesShared", object{"InstanceProfileName": instance.IsolationName, "Roles": []any{ref("IsolationRole")}}),
	}
	for id, name := range map[string]string{"Quarantine": deny.FullQuarantine, "QuarantineIAM": deny.IAMQuarantine} {
		name = o.Installation.Name(name)
		content, err := document(deny.QuarantineDocument(name))
		if err != nil {
			return nil, err
		}
		f.Resources[id] = resource("AWS::IAM::ManagedPolicy", "MakesShared", object{"ManagedPolicyName": name, "Description": "Killswitch, what a quarantined user is denied", "PolicyDocument": content})
	}
	for id, role := range map[string]struct {
		member     actions.Member
		name, text string
	}{
		"ResponderRole": {actions.Responder, o.ResponderRole, "Killswitch responder, reads, denies, detaches, deletes, isolates"},
		"RestorerRole":  {actions.Restorer, o.RestorerRole, "Killswitch restorer, takes containments back"},
	} {
		f.Resources[id] = resource("AWS::IAM::Role", "MakesRoles", object{"RoleName": role.name, "Description": role.text, "AssumeRolePolicyDocument": trust(o.Partition)})
		for _, p := range []struct {
			id, name, condition string
			organizations       bool
		}{{"MemberPolicy", "member", "MakesShared", false}, {"OrganizationsPolicy", "organizations", "ManagesPolicies", true}} {
			content, err := document(all.MemberPolicy(role.member, o, p.organizations))
			if err != nil {
				return nil, err
			}
			f.Resources[strings.TrimSuffix(id, "Role")+p.id] = resource("AWS::IAM::Policy", p.condition, object{"PolicyName": p.name, "PolicyDocument": content, "Roles": []any{ref(id)}})
		}
	}
	if err := forward(&f, o); err != nil {
		return nil, err
	}
	return encode(membersHead, f)
}

func encode(head string, f file) ([]byte, error) {
	var n yaml.Node
	if err := n.Encode(f); err != nil {
		return nil, err
	}
	inLines(&n)
	var b bytes.Buffer
	b.WriteString(head)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(&n); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// inLines writes lists of words in lines: CloudFormation takes 51,200 bytes.
func inLines(n *yaml.Node) {
	if n.Kind == yaml.SequenceNode && !slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return c.Kind != yaml.ScalarNode }) {
		n.Style = yaml.FlowStyle
	}
	for _, c := range n.Content {
		inLines(c)
	}
}

// trust is the trust policy of both roles: the executor's role of the hub, by its name, so that it may be made
// anew. An external ID is a key of AssumeRole alone.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html
func trust(partition string) object {
	hub := "arn:" + partition + ":iam::${HubAccountId}:"
	statement := func(acts ...any) (object, object) {
		only := object{
			"ArnEquals":  object{"aws:PrincipalArn": []any{sub(hub + "role/${ExecutorRoleName}"), when("HasStandby", sub(hub+"role/${StandbyRoleName}"))}},
			"StringLike": when("HasOrganization", object{"aws:PrincipalOrgID": ref("OrganizationId")}),
		}
		return object{"Effect": "Allow", "Principal": object{"AWS": sub(hub + "root")}, "Action": acts, "Condition": only}, only
	}
	assume, only := statement("sts:AssumeRole")
	only["StringEquals"] = when("HasExternalId", object{"sts:ExternalId": ref("ExternalId")})
	say, _ := statement("sts:SetSourceIdentity", "sts:TagSession")
	return object{"Version": "2012-10-17", "Statement": []any{assume, say}}
}

// document reads a policy document.
func document(text string) (v object, err error) {
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return nil, fmt.Errorf("policy document: %w", err)
	}
	return v, nil
}

func resource(kind, condition string, properties object) object {
	r := object{"Type": kind, "Properties": properties}
	if condition != "" {
		r["Condition"] = condition
	}
	return r
}

// parameter is a text that fits the pattern.
func parameter(pattern, text, standard string) object {
	return object{"Type": "String", "AllowedPattern": pattern, "Description": text, "Default": standard}
}

func ref(name string) object      { return object{"Ref": name} }
func sub(text string) object      { return object{"Fn::Sub": text} }
func arnOf(id string) object      { return object{"Fn::GetAtt": []any{id, "Arn"}} }
func condition(c string) object   { return object{"Condition": c} }
func not(c object) object         { return object{"Fn::Not": []any{c}} }
func equals(a, b any) object      { return object{"Fn::Equals": []any{a, b}} }
func when(c string, v any) object { return object{"Fn::If": []any{c, v, ref("AWS::NoValue")}} }
