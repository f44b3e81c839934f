package actions

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Org is the configured organization: the accounts that actions work in, and the
// accounts and principals that they never touch.
type Org struct {
	Actions           Catalog
	Partition         string
	HubAccount        string
	ManagementAccount string
	PolicyAccount     string // that the organization's policy management is delegated to; may be empty
	ResponderRole     string // names of the member roles
	RestorerRole      string
	ForwarderRole     string // forwards the account's events; may be empty
	ExternalID        string
	Installation      Installation      // tells this installation's policies from another's; may be empty
	Regions           []string          // of alerts and of activity look-ups
	AdminGroup        string            // IAM group whose members take one approval more to be denied; may be empty
	SCPs              map[string]string // documents by their name in scp=
	Accounts          map[string]string // alias → ID
	ProtectedAccounts []string
	// IdentityAccounts are those of people's users and sessions: the hub and those that are protected for it.
	IdentityAccounts []string
	// ProtectedPrincipals are exact ARNs; only the account may be *.
	ProtectedPrincipals []string
	// ProtectedTrust says by those ARNs who may enter the role: accounts, ARNs, services. Of a role
	// that is not in it, see package vouch.
	ProtectedTrust map[string][]string
}

// Directory returns the part that the grammar needs.
func (o Org) Directory() Directory {
	return Directory{Actions: o.Actions, Partition: o.Partition, Accounts: o.Accounts, Regions: o.Regions, Organization: o.OrganizationsAccount()}
}

// Alias returns the account's alias, or "".
func (o Org) Alias(account string) string {
	for alias, id := range o.Accounts {
		if id == account {
			return alias
		}
	}
	return ""
}

// OrganizationsAccount is the account from which Organizations is called; "" if there is none.
func (o Org) OrganizationsAccount() string { return cmp.Or(o.PolicyAccount, o.ManagementAccount) }

// RefuseCall refuses calls that the configuration rules out, without a look at the
// account. The bot checks it to answer at once, the executor because it trusts nobody.
// A role of a protected name is left to the plan, which looks at who may enter it, if the name is
// typed a second time; so is a user that is protected in any account. Whoever holds the account
// can make that name.
func (o Org) RefuseCall(c Call) *Refusal {
	if c.InNoAccount() {
		if c.Account == "" {
			return noOrganizations
		}
		return nil
	}
	if c.Account == o.HubAccount {
		return &Refusal{Reason: fmt.Sprintf("%s is the account that Killswitch itself runs in", c.Account),
			Hint: "contain it by hand, with an identity from outside that account"}
	}
	if slices.Contains(o.ProtectedAccounts, c.Account) {
		return &Refusal{Reason: fmt.Sprintf("account %s is protected by the configuration", c.Account),
			Hint: "only a change of protected.accounts can allow this"}
	}
	if a, ok := o.Actions.Lookup(c.Action); ok && a.Spec().CallsOrganizations(c) {
		switch {
		case o.OrganizationsAccount() == "":
			return noOrganizations
		case c.Account == o.PolicyAccount:
			return &Refusal{Reason: c.Account + " is the account from which service control policies are managed: bound by one, it might not lift it",
				Hint: "contain its principals one by one"}
		case c.Account == o.ManagementAccount:
			return &Refusal{Reason: c.Account + " is the organization's management account: service control policies don't touch it",
				Hint: "contain its principals one by one"}
		}
	}
	name := LastPart(c.Target)
	no := o.refusePrincipal(c.Target, c.Options["confirm"] == name)
	if no != nil && o.refusePrincipal(c.Target, true) == nil {
		no.Hint = "ask with confirm=" + name + " if nothing but its name vouches for it: then it is contained, with one approval more"
	}
	return no
}

var noOrganizations = &Refusal{Reason: "the configuration names no account from which service control policies are managed",
	Hint: "set aws.management_account, or aws.policy_account where that is delegated"}

// Forwarder is the name of the role that passes events on, also where the configuration has none.
func (o Org) Forwarder() string { return cmp.Or(o.ForwarderRole, "killswitch-forwarder") }

// ProtectedByNameAlone reports whether nothing but its name protects a role or user: whoever holds the
// account may have made it.
func (o Org) ProtectedByNameAlone(arn string) bool {
	return o.Protection(arn) != "" && o.refusePrincipal(arn, true) == nil
}

// RefuseIdentity is the check of the target as it was found in the account. guarded is set if
// its plan has seen that only the name is protected.
func (o Org) RefuseIdentity(id Identity, guarded bool) *Refusal {
	return o.refusePrincipal(id.ARN, guarded)
}

// refusePrincipal refuses protected roles and users. Other targets are refused by
// account only.
func (o Org) refusePrincipal(arn string, guarded bool) *Refusal {
	if _, _, path, name, ok := SplitRoleARN(arn); ok {
		return o.refuseRole(arn, path, name, guarded)
	}
	_, _, _, name, user := SplitUserARN(arn)
	switch p := o.Protection(arn); {
	case !user || p == "":
		return nil
	case p == arn:
		return refuseProtected(arn)
	case !guarded:
		no := refuseProtected(arn)
		no.Hint = "its name is, in any account, which proves nothing: quarantine_user takes it with confirm=" + name + " and one approval more"
		return no
	}
	return nil
}

func refuseProtected(arn string) *Refusal {
	return &Refusal{Reason: fmt.Sprintf("%s is protected by the configuration", arn),
		Hint: "only a change of protected.principals can allow this"}
}

// Reasons why a role is not touched. What is protected by its name is left alone only if
// nobody else may enter it: package vouch.
const (
	ownRole         = "one of Killswitch's own member roles"
	serviceLinked   = "service-linked role: only its AWS service can change it"
	ofIdentity      = "role of IAM Identity Center, which can't be changed in the account"
	ProtectedByName = "protected by the configuration"
)

// ProtectedBecause returns the reason why a role is not touched, or "".
func (o Org) ProtectedBecause(arn, path, name string) string {
	switch {
	case o.Ours(name):
		return ownRole
	case strings.HasPrefix(path, "/aws-service-role/"):
		return serviceLinked
	case strings.HasPrefix(path, ReservedSSOPath):
		return ofIdentity
	case o.Protection(arn) != "":
		return ProtectedByName
	}
	return ""
}

// guarded are the names of the roles that a guardrail of Control Tower protects in the accounts it
// manages: AWS-GR_IAM_ROLE_CHANGE_PROHIBITED. A name alone proves nothing: they are tried.
// https://docs.aws.amazon.com/controltower/latest/controlreference/mandatory-controls.html
var guarded = NewPattern(`(?i)^(aws-controltower-.*|.*AWSControlTower.*|stacksets-exec-.*)$`)

// Guardrail is the name of the guardrail that probably protects a role of that name from changes;
// empty for none.
func Guardrail(role string) string {
	if guarded.MatchString(role) {
		return "AWS-GR_IAM_ROLE_CHANGE_PROHIBITED"
	}
	return ""
}

// Ours reports whether a role has the name of a member role: IAM names are unique regardless of case.
func (o Org) Ours(name string) bool {
	return strings.EqualFold(name, o.ResponderRole) || strings.EqualFold(name, o.RestorerRole)
}

func (o Org) refuseRole(arn, path, name string, guarded bool) *Refusal {
	switch o.ProtectedBecause(arn, path, name) {
	case ownRole:
		return &Refusal{Reason: fmt.Sprintf("%s is one of Killswitch's own member roles", name),
			Hint: "containing it would lock us out of the account"}
	case serviceLinked:
		return &Refusal{Reason: fmt.Sprintf("%s is a service-linked role: only its AWS service can change it", name),
			Hint: "stop the service that uses it"}
	case ofIdentity:
		return &Refusal{Reason: fmt.Sprintf("%s belongs to IAM Identity Center and can't be changed in the account", name),
			Hint: "deny the person: deny_principal sso:USERNAME, as the session is called; and in Identity Center remove the assignment, or disable the user"}
	case ProtectedByName:
		if !guarded {
			return refuseProtected(arn)
		}
	}
	return nil
}

// Protection returns the protected principal of the configuration that an ARN is: itself, or
// the one of any account (*). It returns "" if it is none. ARNs are compared exactly.
func (o Org) Protection(arn string) string {
	for _, p := range []string{arn, InAnyAccount(arn)} {
		if slices.Contains(o.ProtectedPrincipals, p) {
			return p
		}
	}
	return ""
}

var ofOneAccount = NewPattern(`^(arn:[a-z-]+:iam::)[0-9]{12}(:.*)$`)

// InAnyAccount returns the ARN of a role or a user with * for its account.
func InAnyAccount(arn string) string { return ofOneAccount.ReplaceAllString(arn, "${1}*${2}") }
