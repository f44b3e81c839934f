package actions

import (
	"slices"
	"strings"
)

// Permits lists exactly what a phase of a call needs.
func Permits(a Action, p Phase, s Scope) []Statement {
	ss := filled(a.Spec().Permits(p, s))
	if !Fits(ss) && !s.Any() {
		s.anyPath = true // an attacker's path must not keep us from entering
		ss = filled(a.Spec().Permits(p, s))
	}
	return ss
}

// Fits reports whether permissions fit into a session policy.
func Fits(ss []Statement) bool {
	_, err := sessionPolicy(filled(ss))
	return err == nil
}

// filled leaves out statements about nothing: of a kind that a call does not change.
func filled(ss []Statement) []Statement {
	return slices.DeleteFunc(ss, func(st Statement) bool { return len(st.Actions) == 0 || len(st.Resources) == 0 })
}

// Scope is what permissions are limited to: one call and what it changes, or
// [Anything].
type Scope struct {
	Org Org
	// Account is where the call is carried out, Region where its target is;
	// "*" in Anything.
	Account, Region string
	Call            Call
	// Resources are the ARNs that the call's steps change. There are none while
	// it is planned.
	Resources []string

	// anyPath names roles and users by their name alone, where their exact ARNs
	// don't fit into a session policy: a path may have 510 characters, and those
	// that a policy reads as wildcards take four each.
	anyPath bool
}

// Anything is the scope of all calls in any account.
func Anything(o Org) Scope { return Scope{Org: o, Account: "*", Region: "*"} }

// ScopeOf is the scope of a call whose steps change the resources.
func ScopeOf(a Action, o Org, c Call, resources []string) Scope {
	s := Scope{Org: o, Account: c.Account, Region: c.Region, Call: c, Resources: resources}
	if a.Spec().managed(c) {
		s.Account = o.ManagementAccount
	}
	return s
}

// Any reports whether the scope is Anything.
func (s Scope) Any() bool { return s.Call.Action == "" }

// ARN writes an ARN in the scope's account, and region where the service has
// them. The resource may have wildcards.
func (s Scope) ARN(service, resource string) string {
	region := s.Region
	if service == "iam" || service == "organizations" {
		region = ""
	}
	return strings.Join([]string{"arn", s.Org.Partition, service, region, s.Account, resource}, ":")
}

// Changed lists the ARNs of one kind that the call changes as a policy names exactly
// them; of [Anything] it is the kind's wildcard. The kind is how the resource part of
// its ARNs begins: "role/" of iam, "function:" of lambda, "" of s3.
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

// Named is every path of the call's target's name: to read, since the path is
// not known before the first look and a target that was created again may have
// another.
func (s Scope) Named(kind string) string {
	if s.Any() {
		return s.ARN("iam", kind+"/*")
	}
	return s.ARN("iam", kind+"/*"+LastPart(s.Call.Target))
}

// arnForm is the form of all ARNs.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
var arnForm = NewPattern(`^arn:[a-z-]+:[a-z0-9-]+:[a-z0-9-]*:[0-9]*:.+$`)

// Literal writes the characters of a path that a policy would read as wildcards
// or variables.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html#policy-vars-specialchars
var Literal = strings.NewReplacer("*", "${*}", "?", "${?}", "$", "${$}").Replace
