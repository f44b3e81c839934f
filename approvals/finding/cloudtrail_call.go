package finding

import (
	"cmp"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// apiCall is a call that changes something, or tried to.
type apiCall struct {
	org     actions.Org
	service string // iam
	name    string // CreateAccessKey
	change  change // what the call does; the zero value for a call that is in no table
	account string
	region  string
	caller  actor
	from    string  // the account of the caller; empty for an AWS service
	ours    bool    // the caller is one of our own member roles
	failed  string  // the error's code; empty for a call that succeeded
	request node    // requestParameters
	answer  node    // responseElements
	extra   node    // additionalEventData
	guests  []guest // whom the call lets in

	subject string // the user whom it is about; empty for nobody
	self    bool   // the caller is that user
}

// String is the call as IAM policies write it.
func (c apiCall) String() string { return c.service + ":" + c.name }

// is reports whether it is IAM's call of that name.
func (c apiCall) is(name string) bool { return c.service == "iam" && c.name == name }

// version is what Lambda adds to its calls' names.
var version = actions.NewPattern(`^[A-Za-z]+(20[0-9]{6}(v[0-9]+)?)$`)

// callName is an event's name without the version of the API.
func callName(name string) string {
	if g := version.FindStringSubmatch(name); g != nil {
		return strings.TrimSuffix(name, g[1])
	}
	return name
}

// listed reports whether the call is on the list `change`.
func (c apiCall) listed() bool {
	return c.ours || c.awsQuarantine() != "" || c.change.listed != nil && c.change.listed(c)
}

// Conditions of the tables.
func always(apiCall) bool { return true }

// toOthers selects calls that let in somebody from outside the account.
func toOthers(c apiCall) bool { return c.reach() > inside }

// toPower selects calls that give what an account can be taken over with.
func toPower(c apiCall) bool {
	return c.attachesPower() || allowsPower(c.request.at("policyDocument").text())
}

// ofOwnRoot selects what the root user does about its own MFA devices.
func ofOwnRoot(c apiCall) bool {
	return c.self && c.caller.kind == ofRoot && (c.is("DeactivateMFADevice") || c.is("EnableMFADevice"))
}

// attachesPower reports whether the call attaches one of the policies that are powerful.
func (c apiCall) attachesPower() bool {
	return c.service == "iam" && strings.HasPrefix(c.name, "Attach") && slices.Contains(powerful, actions.LastPart(c.policy()))
}

// has reports whether the call's parameters have a value at a path, or below it.
func (c apiCall) has(path, value string) bool {
	return slices.ContainsFunc(leaves(c.request.v, path), func(s string) bool { return strings.EqualFold(s, value) })
}

// names are those of what the call is about, or made.
func (c apiCall) names() []string {
	found := func(texts []string) (all []string) {
		for _, s := range texts {
			if _, function, ok := strings.Cut(s, ":function:"); ok {
				s = function
			} else if strings.HasPrefix(s, "arn:") {
				s = actions.ResourceName(s)
			}
			all = append(all, s)
		}
		return all
	}
	for path := range strings.FieldsSeq(c.change.at) {
		if all := found(leaves(c.request.v, path)); len(all) > 0 {
			return all
		}
	}
	for path := range strings.FieldsSeq(c.change.made) {
		if all := found(leaves(c.answer.v, path)); len(all) > 0 {
			return all
		}
	}
	return nil
}

// argument is what the names in a line of a shell look like.
var argument = actions.NewPattern(`^[A-Za-z0-9_+=,.@:/][A-Za-z0-9_+=,.@:/-]{0,255}$`)

// byHand is what to do to end the harm that no action ends.
func (c apiCall) byHand() string {
	line, name := c.change.byHand, value(c.request.v, c.change.at)
	id := cmp.Or(value(c.answer.v, c.change.id), value(c.request.v, c.change.id), name)
	for place, s := range map[string]string{"{thing}": name, "{id}": id} {
		if !argument.MatchString(s) {
			s = "NAME"
		}
		line = strings.ReplaceAll(line, place, s)
	}
	if strings.Contains(line, ": aws ") {
		line += " --region " + c.region
	}
	return line
}

// rootName stands for the root user's own name in calls about its MFA devices. No user can have it.
const rootName = "AWS ROOT USER"

// resolve finds out whom the call is about. Calls that name no user are about the
// caller, if about any.
func (c *apiCall) resolve() {
	if c.service == "iam" {
		c.subject = c.request.at("userName").text()
	}
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
func (c apiCall) selfService() bool {
	return c.service == "iam" && c.caller.kind == ofUser && c.self && slices.Contains([]string{"ChangePassword", "CreateVirtualMFADevice", "EnableMFADevice", "ResyncMFADevice"}, c.name)
}

func (c apiCall) denied() bool {
	return strings.Contains(c.failed, "AccessDenied") || strings.Contains(c.failed, "Unauthorized")
}

// newKey is the ID of the created access key; empty if there is none.
func (c apiCall) newKey() string {
	if c.failed != "" || c.service != "iam" {
		return ""
	}
	return c.answer.at("accessKey", "accessKeyId").text()
}

// policy is the ARN or the name of the policy in the call.
func (c apiCall) policy() string {
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
func (c apiCall) awsQuarantine() string {
	policy := c.policy()
	name := actions.LastPart(policy)
	if c.failed != "" || c.service != "iam" || !strings.HasPrefix(name, "AWSCompromisedKeyQuarantine") && !strings.HasPrefix(name, "AWSExposedCredentialPolicy") {
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
func (c apiCall) quarantines() bool {
	return strings.HasPrefix(c.name, "Attach") || strings.HasPrefix(c.name, "Put")
}

// toAdmins reports whether the call adds somebody to the group whose members take one
// approval more to be quarantined.
func (c apiCall) toAdmins() bool {
	group := c.org.AdminGroup
	return c.is("AddUserToGroup") && c.failed == "" && group != "" && strings.EqualFold(c.request.at("groupName").text(), group)
}

// offer finds what fits: against the caller first, then against what was made.
func (c apiCall) offer(o *containments) {
	if c.ours { // to contain it would stop us, and not whoever has entered it
		o.addByHand(byHandOwnRole)
		return
	}
	if c.awsQuarantine() != "" && c.quarantines() {
		c.offerQuarantined(o)
		return
	}
	arn := c.offerCaller(o)
	if c.failed != "" {
		return // nothing was made, and an attempt is no reason to break what uses the key
	}
	if line := c.byHand(); line != "" {
		o.addByHand(line)
	}
	owner := c.owner(o, arn)
	c.offerKey(o, owner)
	if c.caller.kind == ofUser && arn != "" && longKey.MatchString(c.caller.key) {
		o.deactivate(c.caller.key, arn, false)
	}
	c.offerChanged(o, owner)
	if c.toAdmins() {
		o.addByHand("To quarantine a member of " + c.org.AdminGroup + " takes the name typed (confirm=NAME) and one approval more: if this membership is the attacker's, ask for it with that.")
	}
}

// owner is the ARN of the user whom a call of caller's is about.
func (c apiCall) owner(o *containments, caller string) string {
	if c.self {
		return caller
	}
	return o.userNamed(c.subject)
}

// offerKey is offer for an access key that was made or given back.
func (c apiCall) offerKey(o *containments, owner string) {
	switch key := c.newKey(); {
	case c.caller.kind == ofRoot && c.self: // a key of the root user
	case anyKey.MatchString(key):
		o.deactivate(key, owner, false)
	case c.is("CreateAccessKey"):
		o.addByHand("The event doesn't tell the new key's ID: list the user's keys, or quarantine the user.")
		o.quarantine(Containment{}, owner)
	case c.is("UpdateAccessKey") && c.request.at("status").text() == "Active":
		o.deactivate(c.request.at("accessKeyId").text(), owner, false)
	}
}

// offerChanged is offer for whom or what the call gave power, and for what obeys its caller since.
func (c apiCall) offerChanged(o *containments, owner string) {
	if c.change.gives || c.awsQuarantine() != "" {
		o.quarantine(Containment{}, owner)
	}
	c.offerRoles(o)
	if id := value(c.request.v, c.change.instance); actions.InstanceID.MatchString(id) {
		o.unsure(unsureInstance, func() { o.instance(Containment{}, id, c.region) })
	}
}

// Why what a call changed is not sure.
const (
	unsureRole     = "The call changed this role: who else uses it, the event does not tell."
	unsureGiven    = "The call gives this role to others, or changed the code that has it: who else uses it, the event does not tell."
	unsureInstance = "The call lets its caller act on this instance: whether it did, the event does not tell."
)

// offerRoles is offer for the roles that were made, changed or given away: to contain the caller
// leaves those in whom they let in.
func (c apiCall) offerRoles(o *containments) {
	if c.change.gives {
		name := c.request.at("roleName").text()
		arn := c.answer.at("role", "arn").text()
		if arn == "" && iamName.MatchString(name) && !actions.IsReservedSSO(name) {
			arn = o.arn("role", name)
		}
		if arn != "" {
			o.unsure(unsureRole, func() { o.role(actor{arn: arn, name: actions.LastPart(arn)}) })
		}
	}
	for path := range strings.FieldsSeq(c.change.roles) {
		arns := append(leaves(c.request.v, path), leaves(c.answer.v, path)...)
		for _, arn := range arns[:min(len(arns), maxItems)] {
			if _, account, _, name, ok := actions.SplitRoleARN(arn); ok && account == c.account {
				o.unsure(unsureGiven, func() { o.role(actor{arn: arn, name: name}) })
			}
		}
	}
}

// offerQuarantined is offer for a user who got AWS's quarantine policy. Whoever called has limited
// somebody: only as the user's own call does it tell the key.
func (c apiCall) offerQuarantined(o *containments) {
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
func (c apiCall) offerCaller(o *containments) (arn string) {
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
	case w.kind == ofRole && (o.person(w) || o.serviceLinked(w)):
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
