package actions

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Permits returns exactly the permissions that a phase of a call needs, and, where it writes in IAM,
// the deny of every write on our own roles.
func Permits(a Action, p Phase, s Scope) []Statement {
	return widths(a, p, s)[0]
}

// widths returns the permissions of a phase of a call from the narrowest to the shortest, as far as
// they fit into a session policy; one at least.
func widths(a Action, p Phase, s Scope) (fitting [][]Statement) {
	exact := nonEmpty(a.Spec().Permits(p, s))
	if s.Any() {
		return [][]Statement{s.sparingOurs(exact)}
	}
	scopes := []Scope{s, s}
	scopes[1].anyPath = true // a long path, chosen by an attacker, must not prevent the session
	if !a.Spec().CallsOrganizations(s.Call) {
		scopes = append(scopes, Scope{Org: s.Org, Account: s.Account, Region: s.Region}) // of any target in the account
	}
	least := SessionPolicyLimit + 1
	for _, s := range scopes {
		ss := nonEmpty(a.Spec().Permits(p, s))
		for _, ss := range [][]Statement{s.sparingOurs(ss), ss} {
			if text, err := sessionPolicy(ss); err == nil && len(text) < least {
				fitting, least = append(fitting, ss), len(text)
			}
		}
	}
	if fitting == nil {
		return [][]Statement{exact}
	}
	return fitting
}

// roleWrites are the actions that change or pass a role.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
var roleWrites = []string{"iam:Attach*", "iam:Create*", "iam:Delete*", "iam:Detach*", "iam:PassRole", "iam:Put*", "iam:Tag*", "iam:Untag*", "iam:Update*"}

// sparingOurs adds the deny of every write on the responder and the restorer, whatever the others
// allow. Both are entered on the path /, and names are unique across paths. The forwarder is not
// among them: whoever makes a role of its name must not be safe from us.
func (s Scope) sparingOurs(ss []Statement) []Statement {
	if !slices.ContainsFunc(ss, func(st Statement) bool {
		return slices.ContainsFunc(st.Actions, func(act string) bool { return strings.HasPrefix(act, "iam:") && writes(act) })
	}) {
		return ss
	}
	ours := Statement{Deny: true, Actions: roleWrites}
	for _, name := range []string{s.Org.ResponderRole, s.Org.RestorerRole} {
		if name != "" {
			ours.Resources = append(ours.Resources, s.ARN("iam", "role/"+name))
		}
	}
	return nonEmpty(append(slices.Clip(ss), ours))
}

// Merge returns each permission once, those on the same resources under the same condition in one statement, in a fixed
// order. Those on the organization are left out if they are not for its management account.
func Merge(permits []Statement, management bool) []Statement {
	merged := map[string]*Statement{}
	for _, s := range nonEmpty(permits) {
		on := slices.Sorted(slices.Values(s.Resources))
		key := fmt.Sprint(on, s.Condition, s.Deny)
		for _, act := range s.Actions {
			if strings.HasPrefix(act, "organizations:") && !management {
				continue
			}
			of := merged[key]
			if of == nil {
				of = &Statement{Deny: s.Deny, Resources: on, Condition: s.Condition}
				merged[key] = of
			}
			if !slices.Contains(of.Actions, act) {
				of.Actions = append(of.Actions, act)
			}
		}
	}
	var all []Statement
	for _, key := range slices.Sorted(maps.Keys(merged)) {
		slices.Sort(merged[key].Actions)
		all = append(all, *merged[key])
	}
	return all
}

// PolicyDocument writes statements as an IAM policy.
func PolicyDocument(permits []Statement) ([]byte, error) {
	type statement struct {
		Effect    string
		Action    []string
		Resource  []string
		Condition Condition `json:",omitempty"`
	}
	var ss []statement
	for _, p := range permits {
		effect := "Allow"
		if p.Deny {
			effect = "Deny"
		}
		ss = append(ss, statement{effect, p.Actions, p.Resources, p.Condition})
	}
	return json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", ss})
}

// Fits reports whether the statements fit into a session policy.
func Fits(ss []Statement) bool {
	_, err := sessionPolicy(nonEmpty(ss))
	return err == nil
}

// nonEmpty removes statements without actions or resources: the call changes none of that kind.
func nonEmpty(ss []Statement) []Statement {
	return slices.DeleteFunc(ss, func(st Statement) bool { return len(st.Actions) == 0 || len(st.Resources) == 0 })
}

// Scope limits permissions to one call and the resources that it changes, or to
// [Anything].
type Scope struct {
	Org Org
	// Account is where the call is carried out, Region that of its target; "*" in
	// Anything.
	Account, Region string
	Call            Call
	// Resources are the ARNs that the call's steps change; none while it is planned.
	Resources []string

	// anyPath matches roles and users on every path, if their exact ARNs don't fit into
	// a session policy: a path may have 510 characters, and a wildcard character in it
	// takes four.
	anyPath  bool
	inTarget bool
}

// Anything returns the scope of all calls in any account.
func Anything(o Org) Scope { return Scope{Org: o, Account: "*", Region: "*"} }

// ScopeOf returns the scope of a call whose steps change the resources.
func ScopeOf(a Action, o Org, c Call, resources []string) Scope {
	s := Scope{Org: o, Account: c.Account, Region: c.Region, Call: c, Resources: resources}
	if a.Spec().CallsOrganizations(c) {
		s.Account = o.OrganizationsAccount()
	}
	return s
}

// Target returns the scope of the same call in its target's account: of what a call that Organizations
// carries out does there.
func (s Scope) Target() Scope {
	s.Account, s.inTarget = s.Call.Account, true
	return s
}

// InTarget reports whether the scope is that of [Scope.Target], or of Anything.
func (s Scope) InTarget() bool { return s.inTarget || s.Any() }

// Any reports whether the scope is Anything.
func (s Scope) Any() bool { return s.Call.Action == "" }

// ARN returns an ARN in the scope's account, and in its region if the service is
// regional; those of Organizations are always of the management account. The resource may
// have wildcards.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsorganizations.html
func (s Scope) ARN(service, resource string) string {
	region, account := s.Region, s.Account
	switch service {
	case "iam":
		region = ""
	case "s3": // names of buckets are unique in a partition
		region, account = "", ""
	case "organizations":
		region, account = "", cmp.Or(s.Org.ManagementAccount, "*")
	}
	return strings.Join([]string{"arn", s.Org.Partition, service, region, account, resource}, ":")
}

// EC2Service is EC2 as a principal.
// https://docs.amazonaws.cn/en_us/aws/latest/userguide/iam.html
func EC2Service(partition string) string {
	if partition == "aws-cn" {
		return "ec2.amazonaws.com.cn"
	}
	return "ec2.amazonaws.com"
}

// PassRole permits to pass roles to EC2, which is what roles in instance profiles are passed to.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_passrole.html
func (s Scope) PassRole(roles []string) Statement {
	to := []string{"ec2.amazonaws.com"}
	if cn := EC2Service(s.Org.Partition); cn != to[0] {
		to = append(to, cn) // which of the two AWS sends in China is not documented
	}
	return Statement{Actions: []string{"iam:PassRole"}, Resources: roles, Condition: Condition{"StringEquals": {"iam:PassedToService": to}}}
}

// Changed returns the ARNs of one kind that the call changes, escaped for a policy; for
// [Anything] the kind's wildcard. The kind is the prefix of the resource part of its
// ARNs: "role/" in iam, "function:" in lambda, "" in s3.
func (s Scope) Changed(service, kind string) []string {
	if s.Any() {
		return []string{s.ARN(service, kind+"*")}
	}
	var arns []string
	for _, arn := range s.Resources {
		parts := strings.SplitN(arn, ":", 6)
		if len(parts) < 6 || parts[2] != service || !strings.HasPrefix(parts[5], kind) {
			continue
		}
		exact := Literal(arn)
		if s.anyPath && service == "iam" {
			exact = s.ARN("iam", kind+"*"+LastPart(arn))
		}
		if !slices.Contains(arns, exact) {
			arns = append(arns, exact)
		}
	}
	return arns
}

// TargetOnAnyPath returns the ARN of the call's target with any path, for reads: the
// path is unknown before the first read, and may differ if the target was created again.
func (s Scope) TargetOnAnyPath(kind string) string {
	if s.Any() {
		return s.ARN("iam", kind+"/*")
	}
	return s.ARN("iam", kind+"/*"+LastPart(s.Call.Target))
}

// arnPattern is the form of every ARN.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
var arnPattern = NewPattern(`^arn:[a-z-]+:[a-z0-9-]+:[a-z0-9-]*:[0-9]*:.+$`)

// Literal escapes the characters of a path that are wildcards or variables in a
// policy.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
var Literal = strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}").Replace
