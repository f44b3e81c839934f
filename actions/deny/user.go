package deny

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// The names of the policies, without the installation: the one that denies everything, and
// the one that denies IAM alone (mode=iam-only).
const (
	FullQuarantine = "KillSwitchQuarantine"
	IAMQuarantine  = "KillSwitchQuarantineIAM"
	IAMOnly        = "iam-only"
)

// QuarantineDocument is the content of the policy of that name.
func QuarantineDocument(name string) string {
	base, by := actions.InstallationOf(name)
	denied := "*"
	if base == IAMQuarantine {
		denied = "iam:*"
	}
	return `{"Version":"2012-10-17","Statement":[{"Sid":"` + by.Sid(base) + `","Effect":"Deny","Action":"` + denied + `","Resource":"*"}]}`
}

// Quarantine is a deny on a user: a customer-managed policy, which is deployed ahead (killswitch
// template members), or, if there is none or AWS refuses it, an inline one of the same name and
// content. It has no condition, since long-term keys have no issue time.
type Quarantine struct {
	arn, name, document, deniedActions string
	boundary                           string // ARN of the boundary that may stand for it; empty for a deny of less than everything
}

// NewQuarantine returns this installation's deny with the policy name.
func NewQuarantine(acct *actions.Account, name string) Quarantine {
	return quarantineNamed(acct, acct.Org.Installation.Name(name))
}

func quarantineNamed(acct *actions.Account, name string) Quarantine {
	q := Quarantine{arn: fmt.Sprintf("arn:%s:iam::%s:policy/%s", acct.Partition, acct.ID, name), name: name, document: QuarantineDocument(name), deniedActions: "*", boundary: BoundaryARN(acct.Partition)}
	if base, _ := actions.InstallationOf(name); base == IAMQuarantine {
		q.deniedActions, q.boundary = "iam:*", ""
	}
	return q
}

// QuarantineName returns the policy name for a call.
func QuarantineName(c actions.Call) string {
	if c.Options["mode"] == IAMOnly {
		return IAMQuarantine
	}
	return FullQuarantine
}

// QuarantineOf returns the deny of a step: its hold ends with the policy name.
func QuarantineOf(acct *actions.Account, s actions.Step) Quarantine {
	return quarantineNamed(acct, s.HoldName())
}

// QuarantinePermits are the permissions of a deny on users by that policy name, with further reads and writes
// on them, in few statements: a user's ARN may have 600 characters, a session policy 2,048.
func QuarantinePermits(p actions.Phase, s actions.Scope, name string, users, reads, writes []string) []actions.Statement {
	names, on := []string{name}, s.Changed("iam", "user/")
	if s.Any() {
		names = []string{FullQuarantine, IAMQuarantine}
	}
	var policies []string
	for _, n := range names {
		policies = append(policies, s.ARN("iam", "policy/"+n))
		if s.Any() || s.Org.Installation != "" {
			policies = append(policies, s.ARN("iam", "policy/"+actions.Installation("*").Name(n)))
		}
	}
	ours := actions.Condition{"ArnEquals": {"iam:PolicyARN": policies}}
	ss := []actions.Statement{{Actions: append([]string{"iam:GetUser", "iam:ListAttachedUserPolicies", "iam:GetUserPolicy"}, reads...), Resources: users}}
	content := actions.Statement{Actions: []string{"iam:GetPolicy", "iam:GetPolicyVersion"}, Resources: policies}
	if s.Any() { // in few words: the watch has them in one session
		content.Resources = []string{s.ARN("iam", "policy/"+FullQuarantine+"*")}
	}
	switch p {
	case actions.PhasePlan:
		return append(ss, content)
	case actions.PhaseRun:
		ss = append(ss, actions.Statement{Actions: append([]string{"iam:PutUserPolicy"}, writes...), Resources: on},
			actions.Statement{Actions: []string{"iam:AttachUserPolicy"}, Resources: on, Condition: ours}, content)
	case actions.PhaseUndo:
		ss = append(ss, actions.Statement{Actions: append([]string{"iam:PutUserPolicy", "iam:DeleteUserPolicy"}, writes...), Resources: on},
			actions.Statement{Actions: []string{"iam:DetachUserPolicy"}, Resources: on, Condition: ours})
	case actions.PhaseReport:
		return nil
	}
	if name == FullQuarantine {
		ss = append(ss, BoundaryPermits(p, s, "User", on)...)
	}
	return ss
}

// State is what stands in the places of a deny on a user or role: the managed and inline policies
// of our name, and the permissions boundary.
type State struct {
	Attached bool    `json:"attached,omitempty"`
	Inline   *string `json:"inline,omitempty"`
	Boundary string  `json:"boundary,omitempty"` // its ARN
	Version  string  `json:"version,omitempty"`  // its default version when ours took its place
}

// Stored returns the state as a step's prior content; nil if it is empty.
func (d State) Stored() *string {
	if d == (State{}) {
		return nil
	}
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // a bool and a string
	}
	return aws.String(string(b))
}

// Replaces is the boundary that ours takes the place of, if the deny must stand there.
func (d State) Replaces(acct *actions.Account) string {
	if d.Boundary == BoundaryARN(acct.Partition) {
		return ""
	}
	return d.Boundary
}

// Warnings tell of it.
func (d State) Warnings(acct *actions.Account) []string {
	if b := d.Replaces(acct); b != "" {
		return []string{"There is a permissions boundary, " + b + ". If the deny does not fit elsewhere, AWSDenyAll takes its place, and undo puts it back."}
	}
	return nil
}

// ReadState reads what [State.Stored] wrote.
func ReadState(stored *string) (d State, err error) {
	if stored != nil {
		err = json.Unmarshal([]byte(*stored), &d)
	}
	return d, err
}

// Read reads the state of a user.
func (q Quarantine) Read(ctx context.Context, acct *actions.Account, user *types.User) (State, error) {
	arns, err := AttachedToUser(ctx, acct, aws.ToString(user.UserName))
	if err != nil {
		return State{}, err
	}
	inline, err := GetUserPolicy(ctx, acct, aws.ToString(user.UserName), q.name)
	return State{Attached: slices.Contains(arns, q.arn), Inline: inline, Boundary: BoundaryOf(user.PermissionsBoundary)}, err
}

// Plan returns the step that denies to the user, and adds to the plan what people must know of its places. A
// policy of our name with other content is not used, and a warning says so.
func (q Quarantine) Plan(ctx context.Context, acct *actions.Account, user *types.User, p *actions.Plan) (actions.Step, error) {
	live, err := q.Read(ctx, acct, user)
	if err != nil {
		return actions.Step{}, err
	}
	content, err := q.Content(ctx, acct)
	switch {
	case actions.Transient(err) && acct.Look == actions.LookAll: // a run does not wait: the deny is put anyway
		return actions.Step{}, err
	case err != nil:
		cause, _ := actions.Explain(err)
		p.Warnings = append(p.Warnings, "The managed policy "+q.name+" can't be read ("+cause+"): the deny is put inline.")
	case q.Unfit(content) != "":
		text := "The deny is put inline, since " + q.Unfit(content) + ". `killswitch template members` prints what deploys it."
		if content != nil {
			text += " It says: " + Compact(*content)
		}
		p.Warnings = append(p.Warnings, text)
	}
	if live.Inline != nil && !q.Matches(*live.Inline) {
		text := "There is an inline policy named " + q.name + " that says something else. If the deny must be put inline, it is replaced, and undo puts it back: "
		if grants := Grants(*live.Inline); grants != "" {
			p.Warnings = append(p.Warnings, text+"it allows "+grants)
		} else {
			p.Warnings = append(p.Warnings, text+Compact(*live.Inline))
		}
	}
	WarnElsewhere(ctx, acct, TamperValue(user.Tags), p)
	if q.boundary != "" {
		p.Replaces, p.Warnings = live.Replaces(acct), append(p.Warnings, live.Warnings(acct)...)
	}
	return q.Step(acct, user, live, content), nil
}

// Step returns the step that denies to the user. content is the managed policy's
// document, nil if there is none.
func (q Quarantine) Step(acct *actions.Account, user *types.User, live State, content *string) actions.Step {
	s := UserStep(acct, user, "deny", "quarantine", q.name)
	s.Title, s.Prior, s.Goal, s.Deny = "Deny "+q.deniedActions+" to the user", live.Stored(), "permissions", true
	s.Current, s.After = q.text(live, content), "policy "+q.name+": Deny "+q.deniedActions+", for keys and sessions of any age"
	if q.boundary != "" {
		s.After += "; where it does not fit, permissions boundary AWSDenyAll"
	}
	return s
}

// bounds reports whether the boundary that stands there is ours.
func (q Quarantine) bounds(d State) bool { return q.boundary != "" && d.Boundary == q.boundary }

func (q Quarantine) text(d State, content *string) string {
	var is []string
	switch {
	case d.Attached && content != nil && q.Matches(*content):
		is = append(is, "managed policy "+q.name+" attached: Deny "+q.deniedActions)
	case d.Attached:
		is = append(is, "another managed policy "+q.name+" attached")
	}
	switch {
	case d.Inline != nil && q.Matches(*d.Inline):
		is = append(is, "inline policy "+q.name+": Deny "+q.deniedActions)
	case d.Inline != nil:
		is = append(is, "another inline policy named "+q.name+": "+Compact(*d.Inline))
	}
	if q.bounds(d) {
		is = append(is, "permissions boundary AWSDenyAll")
	}
	if len(is) == 0 {
		return "no policy " + q.name
	}
	return strings.Join(is, ", ")
}

// Matches reports whether a document is our deny.
func (q Quarantine) Matches(document string) bool { return Says(document, q.document) }

// Content returns the default version of the managed policy; nil if there is none.
func (q Quarantine) Content(ctx context.Context, acct *actions.Account) (*string, error) {
	p, err := acct.IAM().GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &q.arn})
	if actions.IsCode(err, "NoSuchEntity") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := acct.IAM().GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: &q.arn, VersionId: p.Policy.DefaultVersionId})
	if err != nil {
		return nil, err
	}
	// "The policy … is URL-encoded compliant with RFC 3986"
	// https://docs.aws.amazon.com/IAM/latest/APIReference/API_PolicyVersion.html
	doc, err := url.PathUnescape(aws.ToString(v.PolicyVersion.Document))
	if err != nil {
		return nil, fmt.Errorf("policy %s: %w", q.arn, err)
	}
	return &doc, nil
}

// inForce returns the deny in force: the ARN of the managed policy or of the boundary, or the
// inline document; nil for none. An attached policy counts only while its content is ours.
func (q Quarantine) inForce(ctx context.Context, acct *actions.Account, live State) (*string, error) {
	if live.Inline != nil && q.Matches(*live.Inline) {
		return live.Inline, nil
	}
	if q.bounds(live) {
		return &q.boundary, nil
	}
	if !live.Attached {
		return nil, nil
	}
	content, err := q.Content(ctx, acct)
	if err != nil || content == nil || !q.Matches(*content) {
		return nil, err
	}
	return &q.arn, nil
}

// Unfit says why the managed policy must not be attached, given its content, nil for none; "" if it may.
func (q Quarantine) Unfit(content *string) string {
	switch {
	case content == nil:
		return "the managed policy " + q.name + " is not deployed in this account"
	case !q.Matches(*content):
		return "the managed policy " + q.name + " in this account is somebody else's and says something else"
	}
	return ""
}

// unfitError is why the managed policy must not be attached.
type unfitError string

func (e unfitError) Error() string { return string(e) }

// Apply attaches the managed policy. If AWS refuses that permanently, or the policy
// isn't ours, it puts the inline one, and if that does not fit, the permissions boundary: an
// attacker can't prepare the account against it.
func (q Quarantine) Apply(ctx context.Context, acct *actions.Account, on *types.User, s actions.Step) (actions.Effect, error) {
	user := aws.ToString(on.UserName)
	live, err := q.Read(ctx, acct, on)
	if err != nil {
		return actions.Effect{}, err
	}
	wrote, err := q.inForce(ctx, acct, live)
	if wrote != nil {
		return actions.Effect{Prior: s.Prior, Wrote: wrote}, nil
	}
	if err == nil {
		err = q.attach(ctx, acct, user)
	}
	if err == nil {
		return actions.Effect{Prior: s.Prior, Wrote: &q.arn, Changed: true}, nil
	}
	var unfit unfitError
	var api interface{ ErrorCode() string }
	if actions.Transient(err) || !errors.As(err, &unfit) && !errors.As(err, &api) {
		return actions.Effect{Prior: s.Prior, Wrote: &q.arn, Changed: true}, err
	}
	_, put := acct.IAM().PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &user, PolicyName: &q.name, PolicyDocument: &q.document})
	if q.boundary != "" {
		if e, bound, err := OfUser(acct, user).BindInstead(ctx, s, put); bound {
			return e, err
		}
	}
	if actions.IsCode(put, "LimitExceeded") {
		cause, _ := actions.Explain(err)
		put = actions.WithHint(put, "the user's inline policies fill their quota, and neither the managed policy ("+cause+") nor a permissions boundary could be set: detach a policy from the user or delete an inline one by hand, then retry; or freeze the account with apply_scp")
	}
	return actions.Effect{Prior: s.Prior, Wrote: &q.document, Changed: true}, put
}

// attach attaches the managed policy.
func (q Quarantine) attach(ctx context.Context, acct *actions.Account, user string) error {
	content, err := q.Content(ctx, acct)
	if err != nil {
		return err
	}
	if unfit := q.Unfit(content); unfit != "" {
		return unfitError(unfit)
	}
	_, err = acct.IAM().AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &user, PolicyArn: &q.arn})
	return err
}

// Verify implements [actions.Action].
func (q Quarantine) Verify(ctx context.Context, acct *actions.Account, user *types.User) (actions.Reading, error) {
	live, err := q.Read(ctx, acct, user)
	if err != nil {
		return actions.Reading{}, err
	}
	wrote, err := q.inForce(ctx, acct, live)
	return actions.Reading{Holds: wrote != nil, Found: q.text(live, nil)}, err
}

// Revert removes our policies and restores the inline one that ours replaced. A worker
// that died may have attached the managed policy and the next one put the inline
// policy: both are removed, unless they were there before.
func (q Quarantine) Revert(ctx context.Context, acct *actions.Account, on *types.User, e actions.Effect) (actions.Reading, error) {
	user := aws.ToString(on.UserName)
	prior, err := ReadState(e.Prior)
	if err != nil {
		return actions.Reading{}, err
	}
	live, err := q.Read(ctx, acct, on)
	if err != nil {
		return actions.Reading{}, err
	}
	r := actions.Reading{Holds: true}
	if q.boundary != "" {
		if r, err = OfUser(acct, user).Release(ctx, live.Boundary, TamperValue(on.Tags), prior, e); err != nil || !r.Holds {
			return r, err
		}
	}
	switch {
	case live.Attached && !prior.Attached:
		_, err = acct.IAM().DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: &user, PolicyArn: &q.arn})
		if err != nil && !actions.IsCode(err, "NoSuchEntity") {
			return actions.Reading{}, err
		}
		r.Changed = true
	case prior.Attached && !live.Attached:
		r = actions.Reading{Found: q.text(live, nil) + ": others detached the managed policy " + q.name + ", which was attached before"}
	}
	switch {
	case EqualContent(live.Inline, prior.Inline):
		return r, nil
	case (live.Inline == nil || !q.Matches(*live.Inline)) && (e.Wrote == nil || *e.Wrote != q.document):
		return r, nil // we never wrote there
	case live.Inline == nil || !q.Matches(*live.Inline):
		r.Holds, r.Found = false, q.text(State{Inline: live.Inline}, nil)+", which is not what Killswitch wrote"
		return r, nil
	case prior.Inline == nil:
		_, err = acct.IAM().DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: &user, PolicyName: &q.name})
		if actions.IsCode(err, "NoSuchEntity") {
			err = nil
		}
	default:
		_, err = acct.IAM().PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &user, PolicyName: &q.name, PolicyDocument: prior.Inline})
	}
	r.Holds, r.Changed = r.Holds && err == nil, r.Changed || err == nil
	return r, err
}

// UserStep returns a step on a user, shared by all requests that make the change.
func UserStep(acct *actions.Account, user *types.User, id, kind, name string) actions.Step {
	uid := aws.ToString(user.UserId)
	return actions.Step{ID: id, Resource: aws.ToString(user.Arn), ResourceID: uid, Hold: actions.HoldKey(acct, uid, kind, name)}
}

// FindUser reads the user of a call and checks that its ARN is the typed one.
func FindUser(ctx context.Context, acct *actions.Account, c actions.Call) (*types.User, error) {
	name := actions.LastPart(c.Target)
	out, err := acct.IAM().GetUser(ctx, &iam.GetUserInput{UserName: &name})
	if actions.IsCode(err, "NoSuchEntity") {
		if err := acct.RenamedUser(ctx); err != nil {
			return nil, err
		}
		return nil, acct.MissingUser(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	if no := actions.OtherPath(c, aws.ToString(out.User.Arn)); no != nil {
		return nil, no
	}
	return out.User, nil
}

// StepUser reads the user of a step. It returns ErrRecreated if the user has another ID.
func StepUser(ctx context.Context, acct *actions.Account, s actions.Step) (*types.User, error) {
	name := s.ResourceName()
	out, err := acct.IAM().GetUser(ctx, &iam.GetUserInput{UserName: &name})
	switch {
	case err != nil:
		return nil, err
	case aws.ToString(out.User.UserId) != s.ResourceID:
		return nil, actions.ErrRecreated
	}
	return out.User, nil
}

// MissingUser says that the user of a step is not there under its name.
func MissingUser(s actions.Step) string {
	return "there is no user " + s.ResourceName() + " any more: it was deleted, or renamed and keeps all it had under another name; its ID is " + s.ResourceID
}

// UserGone is what an undo finds if there is no user to take a step back from, given the error of [StepUser].
func UserGone(s actions.Step, err error) (found actions.Reading, is bool) {
	switch {
	case actions.IsCode(err, "NoSuchEntity"):
		return actions.Reading{Found: "that " + MissingUser(s)}, true
	case errors.Is(err, actions.ErrRecreated): // the old user's policies and keys are not for the new one
		return actions.Reading{Found: "another user of that name: it was deleted and created again, or renamed"}, true
	}
	return actions.Reading{}, false
}
