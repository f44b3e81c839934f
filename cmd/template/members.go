// Package template writes the CloudFormation templates of an installation, from its configuration and
// from what the actions say that they need. Nothing in it is secret, and nothing calls AWS.
package template

import (
	"bytes"
	"encoding/json"
	"fmt"

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
	Conditions  object `yaml:"Conditions,omitempty"`
	Resources   object `yaml:"Resources"`
}

const membersHead = `# What Killswitch has in each member account: the roles that the executor assumes, and what actions share and never
# make themselves. Printed by "killswitch template members"; deploy/README.md tells how to deploy it.
`

// Members returns the template of what a StackSet deploys into each member account of an organization: the two
// member roles, the managed policies that quarantine attaches, and the role and profile of isolated instances. In
// the management account it makes the two roles alone, for Organizations alone.
func Members(o actions.Org) ([]byte, error) {
	parameter := func(pattern, text, standard string) object {
		return object{"Type": "String", "AllowedPattern": pattern, "Description": text, "Default": standard}
	}
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
			"ExternalId":          parameter("[A-Za-z0-9_+=,.@:/-]{0,1224}", "aws.external_id of the configuration; left out, none is asked for", o.ExternalID),
			"OrganizationId":      parameter("(o-[a-z0-9]{10,32})?", "Your organization (o-...): nobody outside of it assumes the member roles; left out, the account and role alone decide", ""),
			"ManagementAccountId": parameter("([0-9]{12})?", "The organization's management account: there the roles are for Organizations alone", o.ManagementAccount),
			"PolicyAccountId":     parameter("([0-9]{12})?", "The account from which service control policies are managed: aws.policy_account, or the management account", o.OrganizationsAccount()),
		},
		Conditions: object{
			"HasExternalId":   object{"Fn::Not": []any{equals(ref("ExternalId"), "")}},
			"HasOrganization": object{"Fn::Not": []any{equals(ref("OrganizationId"), "")}},
			"IsMember":        object{"Fn::Not": []any{equals(ref("AWS::AccountId"), ref("ManagementAccountId"))}},
			"ManagesPolicies": equals(ref("AWS::AccountId"), ref("PolicyAccountId")),
		},
	}
	denyAll := deny.BoundaryARN(o.Partition)
	isolationTrust, err := document(instance.IsolationTrust(o.Partition))
	if err != nil {
		return nil, err
	}
	f.Resources = object{
		"IsolationRole": resource("AWS::IAM::Role", "IsMember", object{"RoleName": instance.IsolationName, "Description": "Killswitch, the role of isolated instances, which may do nothing",
			"AssumeRolePolicyDocument": isolationTrust, "ManagedPolicyArns": []any{denyAll}, "PermissionsBoundary": denyAll}),
		"IsolationProfile": resource("AWS::IAM::InstanceProfile", "IsMember", object{"InstanceProfileName": instance.IsolationName, "Roles": []any{ref("IsolationRole")}}),
	}
	for id, name := range map[string]string{"Quarantine": deny.FullQuarantine, "QuarantineIAM": deny.IAMQuarantine} {
		content, err := document(deny.QuarantineDocument(name))
		if err != nil {
			return nil, err
		}
		f.Resources[id] = resource("AWS::IAM::ManagedPolicy", "IsMember", object{"ManagedPolicyName": name, "Description": "Killswitch, what a quarantined user is denied", "PolicyDocument": content})
	}
	for id, role := range map[string]struct {
		member     actions.Member
		name, text string
	}{
		"ResponderRole": {actions.Responder, o.ResponderRole, "Killswitch responder, reads, denies, detaches, deletes, isolates"},
		"RestorerRole":  {actions.Restorer, o.RestorerRole, "Killswitch restorer, takes containments back"},
	} {
		var policies []any
		for _, p := range []struct {
			name, condition string
			organizations   bool
		}{{"member", "IsMember", false}, {"organizations", "ManagesPolicies", true}} {
			content, err := document(all.MemberPolicy(role.member, o, p.organizations))
			if err != nil {
				return nil, err
			}
			policies = append(policies, when(p.condition, object{"PolicyName": p.name, "PolicyDocument": content}))
		}
		f.Resources[id] = resource("AWS::IAM::Role", "", object{"RoleName": role.name, "Description": role.text, "AssumeRolePolicyDocument": trust(o.Partition), "Policies": policies})
	}
	return encode(membersHead, f)
}

func encode(head string, f file) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(head)
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(f); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// trust is the trust policy of both roles: the executor's role of the hub, by its name, so that it may be made
// anew. An external ID is a key of AssumeRole alone.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awssecuritytokenservice.html
func trust(partition string) object {
	hub := "arn:" + partition + ":iam::${HubAccountId}:"
	statement := func(acts ...any) (object, object) {
		only := object{
			"ArnEquals":  object{"aws:PrincipalArn": sub(hub + "role/${ExecutorRoleName}")},
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

func ref(name string) object      { return object{"Ref": name} }
func sub(text string) object      { return object{"Fn::Sub": text} }
func equals(a, b any) object      { return object{"Fn::Equals": []any{a, b}} }
func when(c string, v any) object { return object{"Fn::If": []any{c, v, ref("AWS::NoValue")}} }
