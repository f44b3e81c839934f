package finding

import (
	"cmp"
	"maps"
	"strings"
	"sync"

	"github.com/killswitch-chatops/killswitch/actions"
)

// change is what a call does, with its severity. CloudTrail has none: these are
// ours, on GuardDuty's scale. 7 and more (high) is what gives somebody power over
// an account, a way in that stays, or its data, or what blinds its owners; 6 is a
// part of it; 5 what may be everyday work; 4 the rest.
//
// Fields that name places in a call's parameters hold paths, separated by spaces.
type change struct {
	does     string // {user} and so on stand for what the call names
	severity float64
	self     float64            // where users do it to themselves; 0 for the same
	role     float64            // where a session of a role does it, as pipelines do; 0 for the same
	mild     func(apiCall) bool // such a call has everydaySeverity; nil for none
	gives    bool               // the user or role whom it is about gets credentials, rights or other people
	// listed selects the calls that are on the list `change`; nil for none. Calls of other services
	// than IAM are read only if they are on it.
	listed func(apiCall) bool

	kind, at string // {thing} is of this kind, and has its name there
	id       string // where the answer has the ID that byHand needs in place of the name
	made     string // where the answer names what was made, if the parameters don't
	lets     string // where it tells whom it lets in: policies, ARNs, accounts
	roles    string // where it, or its answer, has the ARNs of roles that it changes or gives away
	instance string // where it has the ID of an instance that it makes obey the caller
	byHand   string // how to end the harm, for what no action ends
}

// otherSeverity is that of calls that are not in the table, attemptSeverity that of
// calls that failed: nothing was changed.
const (
	everydaySeverity = 5
	otherSeverity    = 4
	attemptSeverity  = 3
)

// changes are the calls that are told in words, by service and name.
var changes = sync.OnceValue(func() map[string]change { return merged(iamChanges(), defences(), accesses(), sharings(), signIns()) })

func merged(tables ...map[string]change) map[string]change {
	all := map[string]change{}
	for _, t := range tables {
		maps.Copy(all, t)
	}
	return all
}

// iamChanges are IAM's. The rule ListedRoleChangesRule of template.yaml has the names of those that
// are listed; a test compares it.
func iamChanges() map[string]change {
	return map[string]change{
		"iam:CreateUser":                      {does: "create {user}", severity: 7, gives: true, listed: always},
		"iam:DeleteUser":                      {does: "delete {user}", severity: 5},
		"iam:UpdateUser":                      {does: "change the name or path of {user}", severity: 5},
		"iam:CreateAccessKey":                 {does: "create an access key for {user}", severity: 8, self: 5, listed: always},
		"iam:UpdateAccessKey":                 {does: "set {key} of {user} to {status}", severity: 5, listed: func(c apiCall) bool { return c.request.at("status").text() == "Active" }},
		"iam:DeleteAccessKey":                 {does: "delete {key} of {user}", severity: 4},
		"iam:CreateLoginProfile":              {does: "create a console password for {user}", severity: 8, self: 6, gives: true, listed: always},
		"iam:UpdateLoginProfile":              {does: "change the console password of {user}", severity: 8, self: 5, gives: true, listed: always},
		"iam:DeleteLoginProfile":              {does: "delete the console password of {user}", severity: 4},
		"iam:UploadSSHPublicKey":              {does: "upload an SSH key for {user}", severity: 6, self: 5, gives: true, listed: always},
		"iam:UploadSigningCertificate":        {does: "upload a signing certificate for {user}", severity: 7, self: 6, gives: true, listed: always},
		"iam:CreateServiceSpecificCredential": {does: "create a service credential for {user}", severity: 7, self: 5, gives: true, listed: always},
		"iam:ResetServiceSpecificCredential":  {does: "reset a service credential of {user}", severity: 7, self: 5, gives: true, listed: always},
		"iam:EnableMFADevice":                 {does: "enable an MFA device for {user}", severity: 6, gives: true, listed: ofOwnRoot},
		"iam:DeactivateMFADevice":             {does: "deactivate an MFA device of {user}", severity: 6, listed: ofOwnRoot},

		"iam:AddUserToGroup":                {does: "add {user} to {group}", severity: 6, gives: true, listed: apiCall.toAdmins},
		"iam:RemoveUserFromGroup":           {does: "remove {user} from {group}", severity: 4},
		"iam:AttachUserPolicy":              {does: "attach {policy} to {user}", severity: 6, gives: true, listed: toPower},
		"iam:PutUserPolicy":                 {does: "set the inline {policy} of {user}", severity: 7, gives: true, listed: toPower},
		"iam:DetachUserPolicy":              {does: "detach {policy} from {user}", severity: 5},
		"iam:DeleteUserPolicy":              {does: "delete the inline {policy} of {user}", severity: 5},
		"iam:PutUserPermissionsBoundary":    {does: "set the permissions boundary of {user}", severity: 5},
		"iam:DeleteUserPermissionsBoundary": {does: "delete the permissions boundary of {user}", severity: 6, gives: true, listed: always},

		"iam:AttachGroupPolicy": {does: "attach {policy} to {group}", severity: 6, listed: toPower},
		"iam:PutGroupPolicy":    {does: "set the inline {policy} of {group}", severity: 7, listed: toPower},

		"iam:CreateRole":                    {does: "create {role}", severity: 5, gives: true, lets: "assumeRolePolicyDocument", listed: toOthers},
		"iam:DeleteRole":                    {does: "delete {role}", severity: 5},
		"iam:UpdateAssumeRolePolicy":        {does: "change who may assume {role}", severity: 7, gives: true, lets: "policyDocument", listed: always, byHand: "Whom it lets in comes again after their sessions are ended: set the trust policy that it had with iam update-assume-role-policy."},
		"iam:AttachRolePolicy":              {does: "attach {policy} to {role}", severity: 6, gives: true, listed: toPower},
		"iam:PutRolePolicy":                 {does: "set the inline {policy} of {role}", severity: 7, gives: true, listed: toPower},
		"iam:DetachRolePolicy":              {does: "detach {policy} from {role}", severity: 5},
		"iam:DeleteRolePolicy":              {does: "delete the inline {policy} of {role}", severity: 5},
		"iam:DeleteRolePermissionsBoundary": {does: "delete the permissions boundary of {role}", severity: 6, gives: true, listed: always},
		"iam:AddRoleToInstanceProfile":      {does: "add {role} to {profile}", severity: 5},

		"iam:CreatePolicy":            {does: "create {policy}", severity: 4},
		"iam:CreatePolicyVersion":     {does: "create a version of {policy}", severity: 7, listed: toPower},
		"iam:SetDefaultPolicyVersion": {does: "change the default version of {policy}", severity: 6},

		"iam:CreateSAMLProvider":                    {does: "create {thing}", severity: 7, kind: "SAML identity provider", at: "name sAMLProviderArn", byHand: "Whoever has its keys may enter the roles that trust it. Delete it, if nobody knows it: aws iam delete-saml-provider --saml-provider-arn ARN", listed: always},
		"iam:UpdateSAMLProvider":                    {does: "change {thing}", severity: 7, kind: "SAML identity provider", at: "sAMLProviderArn", byHand: "Whoever has the keys of its metadata may enter the roles that trust it: set the metadata that it had.", listed: always},
		"iam:CreateOpenIDConnectProvider":           {does: "create {thing}", severity: 7, kind: "OpenID Connect identity provider", at: "url", byHand: "Whoever holds its keys may enter the roles that trust it. Delete it, if nobody knows it: aws iam delete-open-id-connect-provider --open-id-connect-provider-arn ARN", listed: always},
		"iam:AddClientIDToOpenIDConnectProvider":    {does: "add a client to an OpenID Connect identity provider", severity: 6, listed: always},
		"iam:UpdateOpenIDConnectProviderThumbprint": {does: "change the thumbprint of an OpenID Connect identity provider", severity: 6, listed: always},
		"iam:UpdateAccountPasswordPolicy":           {does: "change the account's password policy", severity: 5},
		"iam:DeleteAccountPasswordPolicy":           {does: "delete the account's password policy", severity: 5},
	}
}

// powerful are the AWS managed policies with which one can take an account over.
var powerful = []string{"AdministratorAccess", "IAMFullAccess", "PowerUserAccess"}

const powerfulSeverity = 8

func (c apiCall) severity() float64 {
	what := c.change
	switch {
	case c.failed != "":
		return attemptSeverity
	case c.ours:
		return ownRoleSeverity
	case c.awsQuarantine() != "":
		return exposedSeverity
	case c.is("CreateAccessKey") && c.self && c.caller.kind == ofRoot: // nothing can limit it
		return usedSeverity
	case ofOwnRoot(c), c.attachesPower(), c.toAdmins():
		return powerfulSeverity
	case what.does == "":
		return otherSeverity
	}
	severity := what.severity
	switch {
	case c.self && what.self != 0:
		severity = what.self
	case c.caller.kind != ofUser && c.caller.kind != ofRoot && what.role != 0:
		severity = what.role
	}
	switch c.reach() {
	case inside:
	case everybody:
		severity = max(severity, High) + 1
	case strangers:
		severity = max(severity, High)
	case familiar:
		severity = min(severity, everydaySeverity)
	}
	if what.mild != nil && what.mild(c) {
		severity = min(severity, everydaySeverity)
	}
	return severity
}

// title tells the call in a sentence.
func (c apiCall) title() string {
	if policy := c.awsQuarantine(); policy != "" {
		if c.quarantines() {
			return capital(c.target()) + " has AWS's quarantine policy " + policy + ": AWS puts it on a user whose access key is compromised"
		}
		return capital(c.who()) + " took AWS's quarantine policy " + policy + " off " + c.target()
	}
	if c.ours && c.failed == "" {
		return "Killswitch's own role " + c.caller.name + " called " + c.String() + ", and no request of ours explains it"
	}
	who, verb, rest := capital(c.who()), "", ""
	switch verb, rest = c.words(); {
	case c.denied():
		return who + " tried to " + verb + " " + rest + ": denied"
	case c.failed != "":
		return who + " tried to " + verb + " " + rest + ": failed (" + c.failed + ")"
	}
	return who + " " + c.did()
}

// did is what the call did, in the past tense.
func (c apiCall) did() string {
	verb, rest := c.words()
	return past(verb) + " " + rest
}

// words are what the call does, in the words of the tables.
func (c apiCall) words() (verb, rest string) {
	verb, rest, _ = strings.Cut(cmp.Or(c.change.does, "call "+c.name), " ")
	user := thing("user", c.subject)
	switch {
	case c.self && c.caller.kind == ofRoot:
		user = "the root user"
	case c.self:
		user = "their own user"
	}
	return verb, strings.NewReplacer(
		"{user}", user,
		"{key}", thing("access key", c.request.at("accessKeyId").text()),
		"{status}", c.request.at("status").text(),
		"{group}", thing("group", c.request.at("groupName").text()),
		"{role}", thing("role", c.request.at("roleName").text()),
		"{profile}", thing("instance profile", c.request.at("instanceProfileName").text()),
		"{policy}", thing("policy", actions.LastPart(c.policy())),
		"{mfa}", map[bool]string{true: " without MFA"}[c.noMFA()],
		"{thing}", thing(c.change.kind, some(c.names())),
	).Replace(rest)
}

// target names what the call is about.
func (c apiCall) target() string {
	if c.change.kind != "" {
		return prefix(c.change.kind+" ", some(c.names()))
	}
	var parts []string
	if c.subject != "" {
		parts = append(parts, "user "+c.subject)
	}
	for _, t := range [][2]string{{"groupName", "group "}, {"roleName", "role "}, {"instanceProfileName", "instance profile "}} {
		if name := c.request.at(t[0]).text(); name != "" {
			parts = append(parts, t[1]+name)
		}
	}
	if key := cmp.Or(c.newKey(), c.request.at("accessKeyId").text()); key != "" {
		parts = append(parts, "access key "+key)
	}
	if policy := c.policy(); policy != "" && len(parts) == 0 {
		parts = append(parts, "policy "+actions.LastPart(policy))
	}
	return strings.Join(parts, ", ")
}

// thing is a kind of thing with its name, if it has one.
func thing(kind, name string) string {
	if name == "" {
		return "one " + kind
	}
	return kind + " " + name
}

// past is the past tense of the tables' verbs.
func past(verb string) string {
	switch {
	case irregular[verb] != "":
		return irregular[verb]
	case strings.HasSuffix(verb, "set"), strings.HasSuffix(verb, "let"):
		return verb
	case strings.HasSuffix(verb, "e"):
		return verb + "d"
	}
	return verb + "ed"
}

var irregular = map[string]string{
	"copy": "copied", "get": "got", "give": "gave", "hide": "hid", "make": "made", "send": "sent", "stop": "stopped", "take": "took",
}
