package approvals

import (
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Owners lists the people whose own principal a call's target is, by what the call names and by what the
// plan found: of a key its user, of a renamed user its ID. They have no vote on it, nor on its
// undo. What covers many (ALL, an account, a unit, an instance) is nobody's own: an SCP on the root
// of the organization covers all who could approve it.
func (r Roster) Owners(c actions.Call, found actions.Identity) (ids []string) {
	for _, p := range r.People {
		if p.Is(c.Target) || p.Is(found.ARN) || found.ID != "" && slices.Contains(p.Principals, found.ID) {
			ids = append(ids, p.ID)
		}
	}
	return ids
}

// Is reports whether a principal is one of a person's: their user, the role of their sessions, or they
// themselves in IAM Identity Center.
func (p Person) Is(principal string) bool {
	return slices.ContainsFunc(slices.Concat(p.IAM, p.Principals), func(own string) bool { return samePrincipal(own, principal) })
}

// samePrincipal compares a person's principal with a target, as IAM tells names apart: regardless of case
// and, of users and roles, of the path, which a typed name does not have.
func samePrincipal(own, target string) bool {
	if strings.EqualFold(own, target) {
		return own != ""
	}
	if person, ok := strings.CutPrefix(target, actions.SSOPrefix); ok {
		return person != "" && strings.EqualFold(actions.SSOUser(own), person)
	}
	mine, theirs := principalOf(own), principalOf(target)
	return mine != "" && strings.EqualFold(mine, theirs)
}

// principalOf is a user, or a role also of its sessions, without path; "" for anything else, and for the
// role of a permission set, which many people enter.
func principalOf(arn string) string {
	if _, account, _, name, ok := actions.SplitUserARN(arn); ok {
		return account + "/user/" + name
	}
	if account, name, ok := actions.RoleOf(arn); ok && !actions.IsReservedSSO(name) {
		return account + "/role/" + name
	}
	return ""
}
