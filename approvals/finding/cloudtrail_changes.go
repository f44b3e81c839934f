package finding

import (
	"cmp"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// change is what a call does, with its severity. CloudTrail has none: these are
// ours, on GuardDuty's scale. 7 and more (high) is what gives somebody power over
// an account, or a way in that stays; 6 is a part of it; 5 what may be everyday
// work; 4 the rest.
type change struct {
	does     string // {user} and so on stand for what the call names
	severity float64
	self     float64 // where users do it to themselves; 0 for the same
	gives    bool    // the user or role whom it is about gets credentials, rights or other people
}

// otherSeverity is that of calls that are not in the table, attemptSeverity that of
// calls that failed: nothing was changed.
const (
	otherSeverity   = 4
	attemptSeverity = 3
)

// changes are the calls that are told in words.
var changes = map[string]change{
	"CreateUser":                      {does: "create {user}", severity: 7, gives: true},
	"DeleteUser":                      {does: "delete {user}", severity: 5},
	"UpdateUser":                      {does: "change the name or path of {user}", severity: 5},
	"CreateAccessKey":                 {does: "create an access key for {user}", severity: 8, self: 5},
	"UpdateAccessKey":                 {does: "set {key} of {user} to {status}", severity: 5},
	"DeleteAccessKey":                 {does: "delete {key} of {user}", severity: 4},
	"CreateLoginProfile":              {does: "create a console password for {user}", severity: 8, self: 6, gives: true},
	"UpdateLoginProfile":              {does: "change the console password of {user}", severity: 8, self: 5, gives: true},
	"DeleteLoginProfile":              {does: "delete the console password of {user}", severity: 4},
	"UploadSSHPublicKey":              {does: "upload an SSH key for {user}", severity: 6, self: 5, gives: true},
	"UploadSigningCertificate":        {does: "upload a signing certificate for {user}", severity: 7, self: 6, gives: true},
	"CreateServiceSpecificCredential": {does: "create a service credential for {user}", severity: 7, self: 5, gives: true},
	"ResetServiceSpecificCredential":  {does: "reset a service credential of {user}", severity: 7, self: 5, gives: true},
	"EnableMFADevice":                 {does: "enable an MFA device for {user}", severity: 6, gives: true},
	"DeactivateMFADevice":             {does: "deactivate an MFA device of {user}", severity: 6},

	"AddUserToGroup":                {does: "add {user} to {group}", severity: 6, gives: true},
	"RemoveUserFromGroup":           {does: "remove {user} from {group}", severity: 4},
	"AttachUserPolicy":              {does: "attach {policy} to {user}", severity: 6, gives: true},
	"PutUserPolicy":                 {does: "set the inline {policy} of {user}", severity: 7, gives: true},
	"DetachUserPolicy":              {does: "detach {policy} from {user}", severity: 5},
	"DeleteUserPolicy":              {does: "delete the inline {policy} of {user}", severity: 5},
	"PutUserPermissionsBoundary":    {does: "set the permissions boundary of {user}", severity: 5},
	"DeleteUserPermissionsBoundary": {does: "delete the permissions boundary of {user}", severity: 6, gives: true},

	"AttachGroupPolicy": {does: "attach {policy} to {group}", severity: 6},
	"PutGroupPolicy":    {does: "set the inline {policy} of {group}", severity: 7},

	"CreateRole":                    {does: "create {role}", severity: 5, gives: true},
	"DeleteRole":                    {does: "delete {role}", severity: 5},
	"UpdateAssumeRolePolicy":        {does: "change who may assume {role}", severity: 7, gives: true},
	"AttachRolePolicy":              {does: "attach {policy} to {role}", severity: 6, gives: true},
	"PutRolePolicy":                 {does: "set the inline {policy} of {role}", severity: 7, gives: true},
	"DetachRolePolicy":              {does: "detach {policy} from {role}", severity: 5},
	"DeleteRolePolicy":              {does: "delete the inline {policy} of {role}", severity: 5},
	"DeleteRolePermissionsBoundary": {does: "delete the permissions boundary of {role}", severity: 6, gives: true},
	"AddRoleToInstanceProfile":      {does: "add {role} to {profile}", severity: 5},

	"CreatePolicy":            {does: "create {policy}", severity: 4},
	"CreatePolicyVersion":     {does: "create a version of {policy}", severity: 7},
	"SetDefaultPolicyVersion": {does: "change the default version of {policy}", severity: 6},

	"CreateSAMLProvider":                    {does: "create a SAML identity provider", severity: 7},
	"UpdateSAMLProvider":                    {does: "change a SAML identity provider", severity: 7},
	"CreateOpenIDConnectProvider":           {does: "create an OpenID Connect identity provider", severity: 7},
	"AddClientIDToOpenIDConnectProvider":    {does: "add a client to an OpenID Connect identity provider", severity: 6},
	"UpdateOpenIDConnectProviderThumbprint": {does: "change the thumbprint of an OpenID Connect identity provider", severity: 6},
	"UpdateAccountPasswordPolicy":           {does: "change the account's password policy", severity: 5},
	"DeleteAccountPasswordPolicy":           {does: "delete the account's password policy", severity: 5},
}

// powerful are the AWS managed policies with which one can take an account over.
var powerful = []string{"AdministratorAccess", "IAMFullAccess", "PowerUserAccess"}

const powerfulSeverity = 8

func (c iamCall) severity(adminGroup string) float64 {
	what, known := changes[c.name]
	switch {
	case c.failed != "":
		return attemptSeverity
	case c.awsQuarantine() != "":
		return exposedSeverity
	case c.name == "CreateAccessKey" && c.self && c.caller.kind == ofRoot: // nothing can limit it
		return usedSeverity
	case c.self && c.caller.kind == ofRoot && (c.name == "DeactivateMFADevice" || c.name == "EnableMFADevice"):
		return powerfulSeverity
	case strings.HasPrefix(c.name, "Attach") && slices.Contains(powerful, actions.LastPart(c.policy())), c.adminGroup(adminGroup):
		return powerfulSeverity
	case !known:
		return otherSeverity
	case c.self && what.self != 0:
		return what.self
	}
	return what.severity
}

// title tells the call in a sentence.
func (c iamCall) title() string {
	if policy := c.awsQuarantine(); policy != "" {
		if c.quarantines() {
			return capital(c.target()) + " has AWS's quarantine policy " + policy + ": AWS puts it on a user whose access key is compromised"
		}
		return capital(c.who()) + " took AWS's quarantine policy " + policy + " off " + c.target()
	}
	does := changes[c.name].does
	if does == "" {
		does = "call " + c.name
	}
	verb, rest, _ := strings.Cut(does, " ")
	user := thing("user", c.subject)
	switch {
	case c.self && c.caller.kind == ofRoot:
		user = "the root user"
	case c.self:
		user = "their own user"
	}
	rest = strings.NewReplacer(
		"{user}", user,
		"{key}", thing("access key", c.request.at("accessKeyId").text()),
		"{status}", c.request.at("status").text(),
		"{group}", thing("group", c.request.at("groupName").text()),
		"{role}", thing("role", c.request.at("roleName").text()),
		"{profile}", thing("instance profile", c.request.at("instanceProfileName").text()),
		"{policy}", thing("policy", actions.LastPart(c.policy())),
	).Replace(rest)
	who := capital(c.who())
	switch {
	case c.denied():
		return who + " tried to " + verb + " " + rest + ": denied"
	case c.failed != "":
		return who + " tried to " + verb + " " + rest + ": failed (" + c.failed + ")"
	}
	return who + " " + past(verb) + " " + rest
}

// target names what the call is about.
func (c iamCall) target() string {
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

// past is the past tense of the table's verbs.
func past(verb string) string {
	switch {
	case strings.HasSuffix(verb, "set"):
		return verb
	case strings.HasSuffix(verb, "e"):
		return verb + "d"
	}
	return verb + "ed"
}
