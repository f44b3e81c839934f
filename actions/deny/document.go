// Package deny has the deny policies that actions share, and where they are written.
//
//	RevokeDocument  an inline policy against a role's sessions issued before a cutoff
//	Quarantine      a managed or inline policy against an IAM user
//	Taggable        a principal with the tag that the tamper SCP protects
package deny

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// TokenIssueTime is the format of aws:TokenIssueTime in policies.
const TokenIssueTime = "2006-01-02T15:04:05Z"

// RevokeSid marks a document as ours, with the installation.
const RevokeSid = "KillswitchRevokeOlderSessions"

// LoginActions are what `aws login` gets credentials by, and new ones every 15 minutes for up to 12
// hours, each issued later than any cutoff: they are denied whatever the date.
// https://docs.aws.amazon.com/sdkref/latest/guide/feature-login-credentials.html
// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/SignInLocalDevelopmentAccess.html
var LoginActions = []string{"signin:CreateOAuth2Token", "signin:AuthorizeOAuth2Access"}

// RevokeDocument denies everything to sessions issued before the cutoff, as
// the IAM console's "Revoke active sessions" does, and `aws login`.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles_use_revoke-sessions.html
func RevokeDocument(by actions.Installation, cutoff time.Time) string {
	return revokeDocument(Revocation{Ours: true, By: by, Login: true}, cutoff.UTC().Format(TokenIssueTime))
}

// revokeDocument is the document of a kind with a cutoff.
func revokeDocument(r Revocation, cutoff string) string {
	sid, login := "", ""
	if r.Ours {
		sid = `"Sid":"` + r.By.Sid(RevokeSid) + `",`
	}
	if r.Login {
		login = `,{"Effect":"Deny","Action":["` + strings.Join(LoginActions, `","`) + `"],"Resource":["*"]}`
	}
	return `{"Version":"2012-10-17","Statement":[{` + sid + `"Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{"DateLessThan":{"aws:TokenIssueTime":"` +
		cutoff + `"}}}` + login + `]}`
}

// Revocation is what a document that revokes sessions says.
type Revocation struct {
	Cutoff time.Time
	Ours   bool // the IAM console's has no Sid
	By     actions.Installation
	Login  bool // denies `aws login`, too; ours of earlier versions do not
}

// Covers reports whether a revocation denies all that another one does.
func (r Revocation) Covers(other Revocation) bool {
	return !r.Cutoff.Before(other.Cutoff) && (r.Login || !other.Login)
}

// ReadRevocation reads a document that revokes sessions: ours, also of earlier versions and of other
// installations, or the console's. It returns zero and false for any other document, however similar.
func ReadRevocation(document string) (Revocation, bool) {
	var d struct {
		Statement []struct {
			Sid       string
			Condition map[string]map[string]string
		}
	}
	if json.Unmarshal([]byte(document), &d) != nil || len(d.Statement) == 0 {
		return Revocation{}, false
	}
	r, spelled, err := Revocation{Login: len(d.Statement) > 1}, d.Statement[0].Condition["DateLessThan"]["aws:TokenIssueTime"], error(nil)
	r.By, r.Ours = actions.InstallationOfSid(d.Statement[0].Sid, RevokeSid)
	if r.Cutoff, err = time.Parse(time.RFC3339, spelled); err != nil || !Says(document, revokeDocument(r, spelled)) {
		return Revocation{}, false
	}
	return r, true
}

// Says reports whether a document is another one, however it is spelled. It compares the number of
// quotes too: EqualJSON does not see duplicate keys.
func Says(document, like string) bool {
	return EqualJSON(document, like) && strings.Count(document, `"`) == strings.Count(like, `"`)
}

// AllPolicy is the inline policy that denies everything to a role.
const AllPolicy = "KillswitchDenyAll"

// AllDocument is its content. It has no condition: it holds for sessions of any age.
func AllDocument(by actions.Installation) string {
	return `{"Version":"2012-10-17","Statement":[{"Sid":"` + by.Sid(AllPolicy) + `","Effect":"Deny","Action":["*"],"Resource":["*"]}]}`
}

// InstancePolicy is the inline policy that denies a role to isolated instances. Earlier versions had one for
// each instance, whose name ends with its ID.
const InstancePolicy = "KillswitchIsolate"

// EarlierPolicy is the policy of earlier versions for an instance.
func EarlierPolicy(instance string) string { return InstancePolicy + "-" + instance }

// instanceSid marks an InstanceDocument, with the installation.
const instanceSid = "KillswitchIsolateInstance"

// InstanceDocument denies everything to the role credentials of instances, by their ARNs.
// ec2:SourceInstanceARN is a global key and a property of the role session that EC2
// creates for the instance: it is present in every service and from every place that
// the credentials are used. Other instances with the same role have another value.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
// https://docs.aws.amazon.com/IAM/latest/UserGuide/iam-policies-for-amazon-ec2.html
func InstanceDocument(by actions.Installation, arns ...string) string {
	list := `"` + strings.Join(arns, `","`) + `"`
	if len(arns) > 1 {
		list = "[" + list + "]"
	}
	return `{"Version":"2012-10-17","Statement":[{"Sid":"` + by.Sid(instanceSid) + `","Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{"ArnEquals":{"ec2:SourceInstanceARN":` +
		list + `}}}]}`
}

// DeniedInstances returns the ARNs in a document that is an InstanceDocument of any installation, however it is
// spelled; none for any other.
func DeniedInstances(document string) (arns []string) {
	var d struct {
		Statement []struct {
			Sid       string
			Condition map[string]map[string]json.RawMessage
		}
	}
	if json.Unmarshal([]byte(document), &d) != nil || len(d.Statement) != 1 {
		return nil
	}
	value := d.Statement[0].Condition["ArnEquals"]["ec2:SourceInstanceARN"]
	if json.Unmarshal(value, &arns) != nil {
		arns = make([]string, 1)
		if json.Unmarshal(value, &arns[0]) != nil {
			return nil
		}
	}
	for _, arn := range arns {
		if id := arn[strings.LastIndex(arn, "/")+1:]; len(arn) > 100 || !strings.HasSuffix(arn, ":instance/"+id) || !actions.InstanceID.MatchString(id) {
			return nil
		}
	}
	by, ours := actions.InstallationOfSid(d.Statement[0].Sid, instanceSid)
	if !ours || len(arns) == 0 || !Says(document, InstanceDocument(by, arns...)) {
		return nil
	}
	return arns
}

// Kept reports whether an inline policy of a role is exactly a deny that an installation writes, or the
// IAM console: a revocation of sessions, the deny to instances, or that of everything. Whatever else has
// our names is somebody's own, and may fill the quota that our deny needs.
func Kept(name, document string) bool {
	base, by := actions.InstallationOf(name)
	switch base {
	case actions.RevokePolicy:
		r, ok := ReadRevocation(document)
		return ok && r.By == by
	case AllPolicy:
		return document == AllDocument(by)
	}
	arns := DeniedInstances(document)
	return len(arns) > 0 && (base == InstancePolicy && Says(document, InstanceDocument(by, arns...)) || len(arns) == 1 && name == EarlierPolicy(actions.LastPart(arns[0])))
}

// Grants returns the part of a policy document that may allow something, in one line;
// "" if it only denies. An invalid document may allow anything. For a step's stored
// state it returns the grants of the documents in it.
func Grants(document string) string {
	var d struct{ Statement json.RawMessage }
	if json.Unmarshal([]byte(document), &d) != nil {
		return Compact(document)
	}
	if d.Statement == nil {
		return grantsWithin(document)
	}
	var statements []json.RawMessage
	if json.Unmarshal(d.Statement, &statements) != nil {
		statements = []json.RawMessage{d.Statement}
	}
	var grants []string
	for _, raw := range statements {
		var s map[string]any
		if json.Unmarshal(raw, &s) != nil || s["Effect"] != "Deny" || strings.Count(string(raw), `"Effect"`) > 1 {
			grants = append(grants, Compact(string(raw)))
		}
	}
	return strings.Join(grants, " ")
}

// grantsWithin returns the grants of the documents in an object's strings.
func grantsWithin(stored string) string {
	var fields map[string]any
	if json.Unmarshal([]byte(stored), &fields) != nil {
		return Compact(stored)
	}
	var grants []string
	for _, k := range slices.Sorted(maps.Keys(fields)) {
		inner, _ := fields[k].(string)
		if !strings.HasPrefix(strings.TrimSpace(inner), "{") {
			continue // a name, an ARN
		}
		if g := Grants(inner); g != "" {
			grants = append(grants, g)
		}
	}
	return strings.Join(grants, " ")
}

// EqualJSON compares documents by content, not by spelling.
func EqualJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// EqualContent reports whether two contents are equal, nil for none.
func EqualContent(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }

// Compact is a document in one line, shortened: to look at, not to restore from.
func Compact(doc string) string {
	const most = 160
	s := []rune(strings.Join(strings.Fields(doc), " "))
	if len(s) > most {
		return string(s[:most]) + "…"
	}
	return string(s)
}

// cutoffAhead covers credentials handed out while IAM spreads the deny.
const cutoffAhead = 30 * time.Second

// NextCutoff returns the cutoff to write: shortly after now, and never before that of
// the current one. done is true if this run wrote the current one, and it denies all that ours does.
func NextCutoff(current Revocation, run actions.Run) (cutoff time.Time, done bool) {
	cutoff = run.Now.UTC().Add(cutoffAhead).Truncate(time.Second)
	switch at := current.Cutoff; {
	case at.IsZero():
		return cutoff, false
	case !at.Before(run.Since.Add(cutoffAhead).Truncate(time.Second)):
		return at, current.Login
	case at.After(cutoff):
		return at, false
	}
	return cutoff, false
}
