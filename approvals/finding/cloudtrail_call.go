package finding

import (
	"cmp"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// iamCall is a call that changes something in IAM, or tried to.
type iamCall struct {
	name    string // CreateAccessKey
	account string
	caller  actor
	failed  string // the error's code; empty for a call that succeeded
	request node   // requestParameters
	answer  node   // responseElements

	subject string // the user whom it is about; empty for nobody
	self    bool   // the caller is that user
}

// rootName stands for the root user's own name in calls about its MFA devices. No user can have it.
const rootName = "AWS ROOT USER"

// resolve finds out whom the call is about. Calls that name no user are about the
// caller, if about any.
func (c *iamCall) resolve() {
	c.subject = c.request.at("userName").text()
	if c.subject == rootName && c.caller.kind == ofRoot {
		c.subject = ""
	}
	c.self = c.caller.kind == ofUser && strings.EqualFold(c.subject, c.caller.name) // IAM names are unique regardless of case
	if c.subject == "" {
		c.self = c.caller.kind == ofUser || c.caller.kind == ofRoot
	}
}

// selfService reports whether users change something of their own that gives them no
// power: a password, an MFA device. It is never true for the root user.
func (c iamCall) selfService() bool {
	return c.caller.kind == ofUser && c.self && slices.Contains([]string{"ChangePassword", "CreateVirtualMFADevice", "EnableMFADevice", "ResyncMFADevice"}, c.name)
}

func (c iamCall) denied() bool {
	return strings.Contains(c.failed, "AccessDenied") || strings.Contains(c.failed, "Unauthorized")
}

// newKey is the ID of the created access key; empty if there is none.
func (c iamCall) newKey() string {
	if c.failed != "" {
		return ""
	}
	return c.answer.at("accessKey", "accessKeyId").text()
}

// policy is the ARN or the name of the policy in the call.
func (c iamCall) policy() string {
	for _, key := range []string{"policyArn", "policyName"} {
		if s := c.request.at(key).text(); s != "" {
			return s
		}
	}
	return ""
}

// awsQuarantine is the policy with which AWS limits a user whose key it holds for compromised, if the
// call puts it on somebody or takes it off. AWS makes the call in the user's own name.
// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSCompromisedKeyQuarantineV3.html
// https://docs.aws.amazon.com/awssupport/latest/user/security-checks.html#exposed-access-keys
func (c iamCall) awsQuarantine() string {
	policy := c.policy()
	name := actions.LastPart(policy)
	if c.failed != "" || !strings.HasPrefix(name, "AWSCompromisedKeyQuarantine") && !strings.HasPrefix(name, "AWSExposedCredentialPolicy") {
		return ""
	}
	// Whoever gives rights may call them so.
	managed := strings.Contains(policy, ":iam::aws:policy/")
	sts := statements(c.request.at("policyDocument").text())
	denies := len(sts) > 0 && !slices.ContainsFunc(sts, func(s node) bool { return s.at("Effect").text() != "Deny" })
	switch {
	case strings.HasPrefix(c.name, "Attach") && managed, strings.HasPrefix(c.name, "Put") && denies, strings.HasPrefix(c.name, "Detach") && managed, strings.HasPrefix(c.name, "Delete"):
		return name
	}
	return ""
}

// quarantines reports whether a call of awsQuarantine puts it on somebody.
func (c iamCall) quarantines() bool {
	return strings.HasPrefix(c.name, "Attach") || strings.HasPrefix(c.name, "Put")
}

// adminGroup reports whether the call adds somebody to the group whose members take one
// approval more to be quarantined.
func (c iamCall) adminGroup(group string) bool {
	return c.name == "AddUserToGroup" && c.failed == "" && group != "" && strings.EqualFold(c.request.at("groupName").text(), group)
}

// offer finds what fits: against the caller first, then against what was made.
func (c iamCall) offer(o *containments) {
	if c.awsQuarantine() != "" && c.quarantines() {
		c.offerQuarantined(o)
		return
	}
	arn := c.offerCaller(o)
	if c.failed != "" {
		return // nothing was made, and an attempt is no reason to break what uses the key
	}
	owner := arn
	if !c.self {
		owner = o.userNamed(c.subject)
	}
	switch key := c.newKey(); {
	case c.caller.kind == ofRoot && c.self: // a key of the root user
	case anyKey.MatchString(key):
		o.deactivate(key, owner, false)
	case c.name == "CreateAccessKey":
		o.addByHand("The event doesn't tell the new key's ID: list the user's keys, or quarantine the user.")
		o.quarantine(Containment{}, owner)
	case c.name == "UpdateAccessKey" && c.request.at("status").text() == "Active":
		o.deactivate(c.request.at("accessKeyId").text(), owner, false)
	}
	if c.caller.kind == ofUser && arn != "" && longKey.MatchString(c.caller.key) {
		o.deactivate(c.caller.key, arn, false)
	}
	if changes[c.name].gives || c.awsQuarantine() != "" {
		o.quarantine(Containment{}, owner)
	}
	if changes[c.name].gives {
		o.unsure(unsureRole, func() { c.offerRole(o) })
	}
	if group := o.org.AdminGroup; c.adminGroup(group) {
		o.addByHand("To quarantine a member of " + group + " takes the name typed (confirm=NAME) and one approval more: if this membership is the attacker's, ask for it with that.")
	}
}

// unsureRole is why a changed role is not sure.
const unsureRole = "The call changed this role: who else uses it, the event does not tell."

// offerRole is offer for the role that was made or changed: to contain the caller leaves those in
// whom it lets in.
func (c iamCall) offerRole(o *containments) {
	name := c.request.at("roleName").text()
	arn := c.answer.at("role", "arn").text()
	if arn == "" && iamName.MatchString(name) && !actions.IsReservedSSO(name) {
		arn = o.arn("role", name)
	}
	if arn != "" {
		o.role(actor{arn: arn, name: actions.LastPart(arn)})
	}
}

// offerQuarantined is offer for a user who got AWS's quarantine policy. Whoever called has limited
// somebody: only as the user's own call does it tell the key.
func (c iamCall) offerQuarantined(o *containments) {
	user := o.userNamed(c.subject)
	if c.self {
		user = cmp.Or(c.caller.arn, user)
		if longKey.MatchString(c.caller.key) {
			o.deactivate(c.caller.key, user, false)
		}
	}
	o.quarantine(Containment{}, user)
	o.addByHand("AWS's policy denies some calls only: the key still works.")
}

// offerCaller is offer for who called. It returns the ARN of the user or role, if
// it is one of this account.
func (c iamCall) offerCaller(o *containments) (arn string) {
	w := c.caller
	switch {
	case w.kind == ofRoot:
		o.root()
	case w.account != "" && w.account != c.account:
		o.addByHand("The caller is of another account, " + w.account + ": contain it there, if it is yours.")
	case w.kind == ofUser:
		if arn = w.arn; arn == "" {
			arn = o.userNamed(w.name)
		}
		o.quarantine(Containment{}, arn)
	case w.kind == ofRole && o.person(w):
	case w.kind == ofRole:
		if arn = w.arn; arn == "" && iamName.MatchString(w.name) {
			arn = o.arn("role", w.name)
		}
		o.add(false, actions.RevokeSessions, arn, nil)
		if id := w.session(); actions.InstanceID.MatchString(id) {
			o.addByHand("The session has the name of instance " + id + ", whose region the event doesn't tell: if it is the instance's, isolate_instance " + id + " account=" + c.account + " region=…")
		}
	default:
		o.addByHand("Who called is neither a user nor a role of this account: look in CloudTrail who is behind it.")
	}
	return arn
}
