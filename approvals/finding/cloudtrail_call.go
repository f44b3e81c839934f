package finding

import (
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

// resolve finds out whom the call is about. Calls that name no user are about the
// caller, if about any.
func (c *iamCall) resolve() {
	c.subject = c.request.at("userName").text()
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
	for _, key := range []string{"policyArn", "policyName", "permissionsBoundary"} {
		if s := c.request.at(key).text(); s != "" {
			return s
		}
	}
	return ""
}

// adminGroup reports whether the call adds somebody to the group whose members take one
// approval more to be quarantined.
func (c iamCall) adminGroup(group string) bool {
	return c.name == "AddUserToGroup" && c.failed == "" && group != "" && strings.EqualFold(c.request.at("groupName").text(), group)
}

// offer finds what fits: against the caller first, then against what was made.
func (c iamCall) offer(o *containments) {
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
	if changes[c.name].gives {
		o.quarantine(Containment{}, owner)
	}
	if group := o.org.AdminGroup; c.adminGroup(group) {
		o.addByHand("To quarantine a member of " + group + " takes the name typed (confirm=NAME) and one approval more: if this membership is the attacker's, ask for it with that.")
	}
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
