package finding

import (
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

// The severities of keys that are out. Their sources give none; these are ours.
const (
	suspectedSeverity = 7 // there are signs, but no proof
	exposedSeverity   = 8 // whoever saw it can use it
	usedSeverity      = 9 // somebody does, or it is the root user's
)

// byHandRoot is the work to do for the root user's credentials.
const byHandRoot = "The root user: " + actions.RootByHand + "."

// byHandUnknown is the work to do if no key is named.
const byHandUnknown = "The event names no access key: look in the console which credential it is."

// unsureOwner is why the owner of an exposed key is not sure.
const (
	unsureOwner = "The event names this user as the key's owner, and IAM confirms only that the key exists."
	unsureNamed = "The event names this user beside something else than an access key."
)

// exposed completes a finding about a published access key, or about the ARN of whom it belongs
// to: its names and the containments that fit. user is the owner that the source names; it may be
// empty. A finding that names no key keeps its name.
func (r Reader) exposed(a Finding, key, user string) Finding {
	a.Resource = keyOf(key, "")
	owner := actor{kind: ofUser, name: user, key: key}
	if isRoot(user) {
		owner.kind = ofRoot
	}
	a.Actors = owner.names(a.Account)
	switch {
	case isRoot(user):
		a.Principal, a.Severity = "root user", max(a.Severity, usedSeverity)
	case user != "":
		a.Principal = "user " + user
	}
	if !anyKey.MatchString(key) {
		o := r.containments("", a.Account, a.Region)
		w := principalOf(key)
		if w.nobody() {
			o.addByHand(byHandUnknown)
			o.quarantine(Containment{Unsure: unsureNamed}, o.userNamed(user))
		} else {
			a.Principal, a.Resource = w.String(), ""
			o.actor(w)
			w.tell(&a)
		}
		if !a.Over {
			a.Containments, a.ByHand = o.list, o.byHand
		}
		return a
	}
	session := !longKey.MatchString(key)
	a.Names = []string{a.Account + "/key/" + key}
	a.Subject = trail.Subject{By: "AccessKeyId", Value: key}
	if !session { // those of sessions are in no list of keys
		a.Names = append(a.Names, "key/"+key)
		a.Confirmation = source.Confirmation{Kind: source.ConfirmKey, Account: a.Account, ID: key}
	}
	if a.Over {
		return a
	}
	a.Exposed = true
	o := r.containments("", a.Account, a.Region)
	switch {
	case isRoot(user):
		o.root()
	case session:
		o.addByHand("A session's key can't be deactivated: look in CloudTrail whose session it is, then use revoke_sessions of the role, or quarantine_user of the user.")
		o.quarantine(Containment{Unsure: unsureOwner}, o.userNamed(user))
	default:
		owner := o.userNamed(user)
		o.deactivate(key, owner, true)
		o.quarantine(Containment{Unsure: unsureOwner}, owner)
	}
	a.Containments, a.ByHand = o.list, o.byHand
	return a
}

// principalOf is whose ARN it is; nobody if it is none of a principal.
func principalOf(arn string) actor {
	w := actor{name: actions.LastPart(arn), arn: arn, account: ownerOf(arn)}
	if _, _, _, _, ok := actions.SplitUserARN(arn); ok {
		w.kind = ofUser
	} else if _, _, _, _, ok := actions.SplitRoleARN(arn); ok {
		w.kind = "Role"
	} else if _, ok := actions.RootOf(arn); ok {
		w.kind = ofRoot
	} else if g := sessionARN.FindStringSubmatch(arn); g != nil {
		w.kind, w.name, w.id, w.arn = ofRole, g[1], ":"+g[2], ""
	} else {
		return actor{}
	}
	return w
}

// sessionARN is the ARN of a role's session, without the role's path.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-arns
var sessionARN = actions.NewPattern(`^arn:aws[a-z-]*:sts::[0-9]{12}:assumed-role/([\w+=,.@-]+)/([\w+=,.@-]+)$`)

// userNamed is the ARN of the user with a name; "" if the name is not one of a user.
func (o *containments) userNamed(name string) string {
	if iamName.MatchString(name) {
		return o.arn("user", name)
	}
	if name != "" {
		o.addByHand("What is given as the user's name can't be one: look up whose credential it is.")
	}
	return ""
}

// deactivate adds the deactivation of a key, unless its owner is protected. owner is an
// ARN, or "" if it is not known.
func (o *containments) deactivate(key, owner string, quarantine bool) {
	if no := o.org.RefuseIdentity(actions.Identity{ARN: owner}, false); no != nil {
		o.addByHand(no.Reason + ": " + no.Hint)
		return
	}
	opts := map[string]string{"account": o.account}
	if quarantine {
		opts["quarantine"] = "yes"
	}
	o.add(false, actions.DeactivateKey, key, opts)
}

// quarantine adds the quarantine of a user, by ARN; nothing for "".
func (o *containments) quarantine(offer Containment, user string) {
	if user != "" {
		o.addOf(offer, actions.QuarantineUser, user, nil)
	}
}

// isRoot reports whether AWS's reports name the root user so. A user may have the same
// name: people have to look.
func isRoot(user string) bool {
	return strings.EqualFold(user, "root") || strings.EqualFold(user, "<root_account>")
}

// keyOf is the reported access key and its owner, in words.
func keyOf(key, user string) string {
	what := "access key " + key
	if !anyKey.MatchString(key) {
		if who := principalOf(key).String(); who != "" {
			return who
		}
		what = "credential " + key
	}
	switch {
	case isRoot(user):
		return what + " of the root user"
	case user != "":
		return what + " of user " + user
	}
	return what
}

// capital begins a sentence.
func capital(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + s[n:]
}

// moment is a time that is only shown, and its text on cards. A time in an unknown
// format is shown as it is.
func (n node) moment() (time.Time, string) {
	text := n.text()
	t := n.withOwnProblems().time()
	if t.IsZero() {
		return t, text
	}
	return t, t.Format("2006-01-02 15:04 UTC")
}

// consoleLink is a page of a region's console; empty if its address is not known.
func consoleLink(region, page string) string {
	base := console("", region)
	if base == "" {
		return ""
	}
	return base + page
}
