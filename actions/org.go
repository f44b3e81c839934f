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
	Regions           []string          // of alerts and of activity look-ups
	AdminGroup        string            // IAM group whose members take one approval more to be quarantined; may be empty
	SCPs              map[string]string // documents by their name in scp=
	Accounts          map[string]string // alias → ID
	ProtectedAccounts []string
	// ProtectedPrincipals are exact ARNs; only the account may be *.
	ProtectedPrincipals []string
}

// Directory returns the part that the grammar needs.
func (o Org) Directory() Directory {
	return Directory{Actions: o.Actions, Partition: o.Partition, Accounts: o.Accounts, Regions: o.Regions}
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
func (o Org) RefuseCall(c Call) *Refusal {
	if c.Account == o.HubAccount {
		return &Refusal{Reason: fmt.Sprintf("%s is the account that Killswitch itself runs in", c.Account),
			Hint: "contain it by hand, with an identity from outside that account"}
	}
	if slices.Contains(o.ProtectedAccounts, c.Account) {
		return &Refusal{Reason: fmt.Sprintf("account %s is protected by the configuration", c.Account),
			Hint: "only a change of protected.accounts can allow this"}
	}
	if a, ok := o.Actions.Lookup(c.Action); ok && a.Spec().callsOrganizations(c) {
		switch {
		case o.OrganizationsAccount() == "":
			return &Refusal{Reason: "the configuration names no account from which service control policies are managed",
				Hint: "set aws.management_account, or aws.policy_account where that is delegated"}
		case c.Account == o.PolicyAccount:
			return &Refusal{Reason: c.Account + " is the account from which service control policies are managed: bound by one, it might not lift it",
				Hint: "contain its principals one by one"}
		case c.Account == o.ManagementAccount:
			return &Refusal{Reason: c.Account + " is the organization's management account: service control policies don't touch it",
				Hint: "contain its principals one by one"}
		}
	}
	return o.refusePrincipal(c.Target)
}

// RefuseIdentity is the same check for the target as it was found in the account.
func (o Org) RefuseIdentity(id Identity) *Refusal { return o.refusePrincipal(id.ARN) }

// refusePrincipal refuses protected roles and users. Other targets are refused by
// account only.
func (o Org) refusePrincipal(arn string) *Refusal {
	if _, account, path, name, ok := SplitRoleARN(arn); ok {
		return o.refuseRole(arn, account, path, name)
	}
	if _, account, _, _, ok := SplitUserARN(arn); ok && o.protects(arn, account) {
		return refuseProtected(arn)
	}
	return nil
}

func refuseProtected(arn string) *Refusal {
	return &Refusal{Reason: fmt.Sprintf("%s is protected by the configuration", arn),
		Hint: "only a change of protected.principals can allow this"}
}

// Reasons why a role is never touched.
const (
	ownRole       = "one of Killswitch's own member roles"
	serviceLinked = "service-linked role: only its AWS service can change it"
	ofIdentity    = "role of IAM Identity Center, which can't be changed in the account"
	protected     = "protected by the configuration"
)

// ProtectedBecause returns the reason why a role is never touched, or "".
func (o Org) ProtectedBecause(arn, account, path, name string) string {
	switch {
	case strings.EqualFold(name, o.ResponderRole) || strings.EqualFold(name, o.RestorerRole): // IAM names are unique regardless of case
		return ownRole
	case strings.HasPrefix(path, "/aws-service-role/"):
		return serviceLinked
	case strings.HasPrefix(path, "/aws-reserved/sso.amazonaws.com/"):
		return ofIdentity
	case o.protects(arn, account):
		return protected
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

func (o Org) refuseRole(arn, account, path, name string) *Refusal {
	switch o.ProtectedBecause(arn, account, path, name) {
	case ownRole:
		return &Refusal{Reason: fmt.Sprintf("%s is one of Killswitch's own member roles", name),
			Hint: "containing it would lock us out of the account"}
	case serviceLinked:
		return &Refusal{Reason: fmt.Sprintf("%s is a service-linked role: only its AWS service can change it", name),
			Hint: "stop the service that uses it"}
	case ofIdentity:
		return &Refusal{Reason: fmt.Sprintf("%s belongs to IAM Identity Center and can't be changed in the account", name),
			Hint: "in Identity Center remove the user's assignment or disable the user, " +
				"and deny the permission set's sessions with a policy on identitystore:userId"}
	case protected:
		return refuseProtected(arn)
	}
	return nil
}

// protects compares ARNs exactly; a configured account * matches any account.
func (o Org) protects(arn, account string) bool {
	return slices.ContainsFunc(o.ProtectedPrincipals, func(p string) bool {
		return p == arn || strings.Replace(p, ":iam::*:", ":iam::"+account+":", 1) == arn
	})
}
