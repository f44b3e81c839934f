package finding

import (
	"cmp"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

// actor is the principal whose credentials were used, as GuardDuty and Security Hub
// name it.
type actor struct {
	kind     string // IAMUser, AssumedRole, Root, FederatedUser, …
	name     string // of the user or the role
	id       string // principal ID; a session's is AROA…:SESSION
	key      string // access key ID; may be empty
	arn      string // of the user or the session's role; may be empty
	account  string // its own; empty for the finding's
	instance string // that the source itself names beside it; may be empty
	person   string // the user's ID in IAM Identity Center; may be empty
	unsure   string // why it is not sure who it is; empty if it is
}

var (
	longKey = actions.NewPattern(`^AKIA[A-Z0-9]{12,124}$`)
	anyKey  = actions.NewPattern(`^A[KS]IA[A-Z0-9]{12,124}$`)
)

// What an actor is. The prefixes of IDs tell users and roles apart where the
// kind does not.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
func (w actor) isUser() bool {
	return w.kind == "IAMUser" && !w.hasID("AROA") || !w.known() && (w.hasID("AIDA") || w.id == "" && longKey.MatchString(w.key))
}
func (w actor) isRole() bool {
	return (w.kind == "AssumedRole" || w.kind == "Role") && !w.hasID("AIDA") || !w.known() && w.hasID("AROA")
}
func (w actor) isRoot() bool             { return w.kind == "Root" }
func (w actor) hasID(prefix string) bool { return strings.HasPrefix(w.id, prefix) }

func (w actor) known() bool {
	switch w.kind {
	case "IAMUser", "AssumedRole", "Role", "Root", "FederatedUser", "AWSAccount", "AWSService", "SAMLUser", "WebIdentityUser", "IdentityCenterUser":
		return true
	}
	return false
}

func (w actor) nobody() bool { return w.name == "" && w.id == "" && w.key == "" && w.arn == "" }

// same reports whether two are one: the same key, or the same principal where one has no key.
func (w actor) same(as actor) bool {
	if w.key != "" && as.key != "" {
		return w.key == as.key
	}
	return w.id != "" && w.id == as.id
}

func (w actor) session() string {
	_, session, _ := strings.Cut(w.id, ":")
	return session
}

// String names the principal.
func (w actor) String() string {
	if w.nobody() {
		return ""
	}
	var s string
	switch {
	case w.isRoot():
		s = "root user"
	case w.isUser():
		s = prefix("user ", w.name)
	case w.isRole():
		s = "role " + w.name
		if w.session() != "" {
			s += ", session " + w.session()
		}
	case w.kind == "FederatedUser":
		s = "federated session " + w.name
	default:
		s = strings.TrimSpace(w.kind + " " + w.name)
	}
	if w.key != "" {
		s = strings.TrimPrefix(s+", key "+w.key, ", ")
	}
	return s
}

// subject is what CloudTrail can be asked for to get the principal's recent activity.
func (w actor) subject() trail.Subject {
	switch {
	case anyKey.MatchString(w.key):
		return trail.Subject{By: "AccessKeyId", Value: w.key}
	case w.isUser() && iamName.MatchString(w.name):
		return trail.Subject{By: "Username", Value: w.name}
	}
	return trail.Subject{}
}

// names are those of a principal and of its key in the account of a finding: in another anybody
// may have a principal of that name, or tell of that key. People of IAM Identity Center share the role of a permission set, so
// the session is theirs; of other roles whoever uses them chooses it.
func (w actor) names(account string) (all []string) {
	name := strings.ToLower(w.name)
	if owner := cmp.Or(w.account, ownerOf(w.arn)); owner != "" && owner != account {
		account += "/foreign/" + owner
	}
	switch {
	case w.isRoot():
		all = append(all, account+"/root")
	case name == "":
	case w.isUser():
		all = append(all, account+"/user/"+name)
	case w.isRole() && actions.IsReservedSSO(w.name):
		all = append(all, account+"/role/"+name+"/"+w.session())
	case w.isRole():
		all = append(all, account+"/role/"+name)
	case w.kind == federated:
		all = append(all, account+"/federated/"+name)
	}
	if longKey.MatchString(w.key) {
		all = append(all, account+"/key/"+w.key)
	}
	return all
}

// actor adds the containments that fit a principal.
func (o *containments) actor(w actor) {
	foreign := func(account string) bool { return account != "" && account != o.account }
	switch {
	case w.nobody():
	case foreign(w.account), foreign(ownerOf(w.arn)):
		o.addByHand("The credentials of " + w.String() + " belong to another account than the finding: contain them there, if it is yours.")
	case w.isRoot():
		o.root()
	case w.isUser():
		o.user(w)
	case w.isRole():
		o.role(w)
	case w.kind == "FederatedUser":
		o.addByHand("A federated session: find in CloudTrail the IAM user that called GetFederationToken, and contain it with quarantine_user.")
	default:
		o.addByHand("Whose credentials these are is not told: find the IAM user or role in CloudTrail, and contain that.")
	}
}

// user adds the containments that fit an IAM user. Sessions of a user end only with the
// user.
func (o *containments) user(w actor) {
	before, refused := len(o.list), false
	target := w.arn
	if _, _, _, _, ok := actions.SplitUserARN(target); !ok {
		target = o.arn("user", w.name)
	}
	if target == w.arn || iamName.MatchString(w.name) {
		refused = o.addOf(Containment{}, actions.QuarantineUser, target, nil)
	} else {
		o.addByHand("The finding does not tell the user's name: find whose key it is, and contain the user with quarantine_user.")
	}
	if longKey.MatchString(w.key) && !refused {
		after := o.list[before:]
		o.list = o.list[:before:before]
		o.add(false, actions.DeactivateKey, w.key, map[string]string{"account": o.account})
		o.list = append(o.list, after...)
	}
}

// role adds the containments that fit a session of a role. An instance gets new
// sessions, so it is isolated; detaching its role's policies would affect all instances
// with this role.
func (o *containments) role(w actor) {
	target := w.arn
	if _, _, _, _, ok := actions.SplitRoleARN(target); !ok {
		target = o.arn("role", w.name)
	}
	if o.person(w) || o.serviceLinked(w) {
		return
	}
	if target != w.arn && !iamName.MatchString(w.name) {
		o.addByHand("The role's name can't be read: find the session in CloudTrail, and contain its role with revoke_sessions.")
		return
	}
	o.add(false, actions.RevokeSessions, target, nil)
	onInstance := actions.InstanceID.MatchString(w.session())
	if onInstance {
		var offer Containment
		if w.session() != w.instance {
			offer.Unsure = "Only the session's name says that it is this instance, and whoever assumes a role chooses that name."
		}
		o.instance(offer, w.session(), o.region)
	}
	o.add(onInstance, actions.DetachPolicies, target, nil)
}

// root adds what contains the root user: only a policy from outside its account binds it.
func (o *containments) root() {
	if o.org.OrganizationsAccount() != "" {
		o.add(false, actions.DenyPrincipal, actions.RootARN(o.org.Partition, o.account), nil)
		o.add(false, actions.ApplySCP, o.account, nil)
	}
	o.addByHand(byHandRoot)
}

// person adds the deny of a person of IAM Identity Center, and reports whether a session is one's: the
// role of a permission set can't be changed, and many people have it. The prefix of its name is AWS's own.
// https://docs.aws.amazon.com/singlesignon/latest/userguide/howtoreferencepermissionsets.html
func (o *containments) person(w actor) bool {
	_, _, path, _, known := actions.SplitRoleARN(w.arn)
	if !actions.IsReservedSSO(w.name) || known && !strings.HasPrefix(path, actions.ReservedSSOPath) {
		return false
	}
	who := cmp.Or(w.session(), w.person) // people know the name
	if actions.IdentityStoreID.MatchString(strings.ToLower(w.session())) {
		who = w.person // it would be read as an ID
	}
	if who == "" {
		o.addByHand("A session of IAM Identity Center, and the finding does not tell whose: find the session's name in CloudTrail, then deny_principal sso:NAME.")
		return true
	}
	offer := Containment{}
	if !known {
		offer.Unsure = "Only the name of the role says that this is a session of IAM Identity Center."
	}
	o.addOf(offer, actions.DenyPrincipal, actions.SSOPrefix+who, nil)
	o.addByHand("In Identity Center remove the person's assignments or disable the user, so that no new session begins, in the management account either: deny_principal does not reach it.")
	return true
}

// serviceLinked reports whether a role whose path is not told is a service-linked one by its name, and
// says why nothing is offered. With its path, the configuration refuses it.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/using-service-linked-roles.html
func (o *containments) serviceLinked(w actor) bool {
	if _, _, _, _, known := actions.SplitRoleARN(w.arn); known || !strings.HasPrefix(w.name, "AWSServiceRoleFor") {
		return false
	}
	o.addByHand("By its name, " + w.name + " is a service-linked role: only its AWS service can change it. Look in CloudTrail who made the service act.")
	return true
}

// unsureProfile is why the role of an instance profile is not sure.
const unsureProfile = "The finding names the instance profile, not its role: this is the role of the same name, as the console makes it. Other instances may have it."

// profileRole adds the end of the sessions of an instance profile's role: credentials that were taken
// from an isolated instance still work elsewhere.
func (o *containments) profileRole(arn string) {
	_, name, _ := strings.Cut(arn, ":instance-profile/")
	if name = actions.LastPart(name); iamName.MatchString(name) && ownerOf(arn) == o.account {
		o.unsure(unsureProfile, func() { o.add(false, actions.RevokeSessions, o.arn("role", name), nil) })
	}
}

// instance adds the isolation of an instance.
func (o *containments) instance(offer Containment, id, region string) {
	o.addOf(offer, actions.IsolateInstance, actions.InstanceARN(o.org.Partition, region, o.account, id), nil)
}
