package actions

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
)

const (
	quarantineName    = "KillSwitchQuarantine"
	quarantineIAMName = "KillSwitchQuarantineIAM"
	iamOnly           = "iam-only"
)

// quarantine is a deny on a user: a customer-managed policy, or, where that
// can't be used, an inline one of the same name and content. It has no condition,
// since long-term keys have no issue time.
type quarantine struct{ arn, name, document, denies string }

func quarantineBy(acct *Account, name string) quarantine {
	q := quarantine{arn: fmt.Sprintf("arn:%s:iam::%s:policy/%s", acct.Partition, acct.ID, name), name: name, denies: "*"}
	if name == quarantineIAMName {
		q.denies = "iam:*"
	}
	q.document = `{"Version":"2012-10-17","Statement":[{"Sid":"` + name + `","Effect":"Deny","Action":"` + q.denies + `","Resource":"*"}]}`
	return q
}

// quarantineIn is the policy's name for a call.
func quarantineIn(c Call) string {
	if c.Options["mode"] == iamOnly {
		return quarantineIAMName
	}
	return quarantineName
}

// quarantineFor is the deny that a step is about: its hold ends with the name.
func quarantineFor(acct *Account, s Step) quarantine {
	return quarantineBy(acct, s.Hold[strings.LastIndex(s.Hold, "/")+1:])
}

// denyState is what stands on a user under our name.
type denyState struct {
	Attached bool    `json:"attached,omitempty"`
	Inline   *string `json:"inline,omitempty"`
}

// stored is the state as a step's prior content; nil for nothing.
func (d denyState) stored() *string {
	if d == (denyState{}) {
		return nil
	}
	b, err := json.Marshal(d)
	if err != nil {
		panic(err) // a bool and a string
	}
	return aws.String(string(b))
}

func readDenyState(stored *string) (d denyState, err error) {
	if stored != nil {
		err = json.Unmarshal([]byte(*stored), &d)
	}
	return d, err
}

func (q quarantine) read(ctx context.Context, acct *Account, user string) (denyState, error) {
	arns, err := attachedToUser(ctx, acct, user)
	if err != nil {
		return denyState{}, err
	}
	inline, err := getUserPolicy(ctx, acct, user, q.name)
	return denyState{slices.Contains(arns, q.arn), inline}, err
}

// step denies to the user. content is what the managed policy says, nil where
// there is none.
func (q quarantine) step(acct *Account, user *types.User, live denyState, content *string) Step {
	s := userStep(acct, user, "deny", "quarantine", q.name)
	s.Title, s.Prior, s.Deny = "Deny "+q.denies+" to the user", live.stored(), true
	s.Current, s.After = q.text(live, content), "policy "+q.name+": Deny "+q.denies+", for keys and sessions of any age"
	return s
}

func (q quarantine) text(d denyState, content *string) string {
	var is []string
	switch {
	case d.Attached && content != nil && q.says(*content):
		is = append(is, "managed policy "+q.name+" attached: Deny "+q.denies)
	case d.Attached:
		is = append(is, "another managed policy "+q.name+" attached")
	}
	switch {
	case d.Inline != nil && q.says(*d.Inline):
		is = append(is, "inline policy "+q.name+": Deny "+q.denies)
	case d.Inline != nil:
		is = append(is, "another inline policy named "+q.name+": "+compact(*d.Inline))
	}
	if len(is) == 0 {
		return "no policy " + q.name
	}
	return strings.Join(is, ", ")
}

// says reports whether a document is our deny. As many quotes: a key that is
// there twice hides from a comparison of contents.
func (q quarantine) says(document string) bool {
	return sameJSON(document, q.document) && strings.Count(document, `"`) == strings.Count(q.document, `"`)
}

// content is the default version of the managed policy; nil where there is none.
func (q quarantine) content(ctx context.Context, acct *Account) (*string, error) {
	p, err := acct.IAM.GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &q.arn})
	if isCode(err, "NoSuchEntity") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := acct.IAM.GetPolicyVersion(ctx, &iam.GetPolicyVersionInput{PolicyArn: &q.arn, VersionId: p.Policy.DefaultVersionId})
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

// inForce is which of our denies stands there in force: the ARN of the managed
// policy, or the inline document; nil for none. A policy that is attached counts
// only while its content is ours.
func (q quarantine) inForce(ctx context.Context, acct *Account, live denyState) (*string, error) {
	if live.Inline != nil && q.says(*live.Inline) {
		return live.Inline, nil
	}
	if !live.Attached {
		return nil, nil
	}
	content, err := q.content(ctx, acct)
	if err != nil || content == nil || !q.says(*content) {
		return nil, err
	}
	return &q.arn, nil
}

// errForeign: somebody made a policy of our name that says something else.
var errForeign = errors.New("the policy of that name says something else")

// apply attaches the managed policy, and where AWS refuses that for good, or the
// policy isn't ours, puts the inline one: nothing that an attacker prepares in
// the account keeps the deny away.
func (q quarantine) apply(ctx context.Context, acct *Account, user string, s Step) (Effect, error) {
	live, err := q.read(ctx, acct, user)
	if err != nil {
		return Effect{}, err
	}
	wrote, err := q.inForce(ctx, acct, live)
	if wrote != nil {
		return Effect{Prior: s.Prior, Wrote: wrote}, nil
	}
	if err == nil {
		err = q.attach(ctx, acct, user)
	}
	if err == nil {
		return Effect{Prior: s.Prior, Wrote: &q.arn, Changed: true}, nil
	}
	var api interface{ ErrorCode() string }
	if Transient(err) || !errors.Is(err, errForeign) && !errors.As(err, &api) {
		return Effect{Prior: s.Prior, Wrote: &q.arn, Changed: true}, err
	}
	_, put := acct.IAM.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &user, PolicyName: &q.name, PolicyDocument: &q.document})
	if isCode(put, "LimitExceeded") {
		cause, _ := Explain(err)
		put = Hinted(put, "the user's inline policies fill their quota, and the managed policy could not be attached ("+cause+"): detach a policy from the user or delete an inline one by hand, then retry; or freeze the account with apply_scp")
	}
	return Effect{Prior: s.Prior, Wrote: &q.document, Changed: true}, put
}

// attach attaches the managed policy, made where there is none.
func (q quarantine) attach(ctx context.Context, acct *Account, user string) error {
	content, err := q.content(ctx, acct)
	switch {
	case err != nil:
		return err
	case content == nil:
		_, err = acct.IAM.CreatePolicy(ctx, &iam.CreatePolicyInput{PolicyName: &q.name, PolicyDocument: &q.document, Description: aws.String("Killswitch: deny " + q.denies + " to a quarantined user")})
	case !q.says(*content):
		err = errForeign
	}
	if err != nil {
		return err
	}
	_, err = acct.IAM.AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &user, PolicyArn: &q.arn})
	return err
}

func (q quarantine) verify(ctx context.Context, acct *Account, user string) (Reading, error) {
	live, err := q.read(ctx, acct, user)
	if err != nil {
		return Reading{}, err
	}
	wrote, err := q.inForce(ctx, acct, live)
	return Reading{Holds: wrote != nil, Found: q.text(live, nil)}, err
}

// revert removes what we added, and puts back what our inline policy replaced.
// A worker that died may have attached the one and another one put the other:
// both go, unless they were there before.
func (q quarantine) revert(ctx context.Context, acct *Account, user string, e Effect) (Reading, error) {
	prior, err := readDenyState(e.Prior)
	if err != nil {
		return Reading{}, err
	}
	live, err := q.read(ctx, acct, user)
	if err != nil {
		return Reading{}, err
	}
	r := Reading{Holds: true}
	switch {
	case live.Attached && !prior.Attached:
		_, err = acct.IAM.DetachUserPolicy(ctx, &iam.DetachUserPolicyInput{UserName: &user, PolicyArn: &q.arn})
		if err != nil && !isCode(err, "NoSuchEntity") {
			return Reading{}, err
		}
		r.Changed = true
	case prior.Attached && !live.Attached:
		r = Reading{Found: q.text(live, nil) + ": others detached the managed policy " + q.name + ", which was attached before"}
	}
	switch {
	case same(live.Inline, prior.Inline):
		return r, nil
	case (live.Inline == nil || !q.says(*live.Inline)) && (e.Wrote == nil || *e.Wrote != q.document):
		return r, nil // we never wrote there
	case live.Inline == nil || !q.says(*live.Inline):
		r.Holds, r.Found = false, q.text(denyState{Inline: live.Inline}, nil)+", which is not what Killswitch wrote"
		return r, nil
	case prior.Inline == nil:
		_, err = acct.IAM.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: &user, PolicyName: &q.name})
		if isCode(err, "NoSuchEntity") {
			err = nil
		}
	default:
		_, err = acct.IAM.PutUserPolicy(ctx, &iam.PutUserPolicyInput{UserName: &user, PolicyName: &q.name, PolicyDocument: prior.Inline})
	}
	r.Holds, r.Changed = r.Holds && err == nil, r.Changed || err == nil
	return r, err
}

// attachedToUser are the ARNs of the managed policies of a user, every page.
func attachedToUser(ctx context.Context, acct *Account, user string) ([]string, error) {
	var arns []string
	for pages := iam.NewListAttachedUserPoliciesPaginator(acct.IAM, &iam.ListAttachedUserPoliciesInput{UserName: &user}); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		for _, a := range page.AttachedPolicies {
			arns = append(arns, aws.ToString(a.PolicyArn))
		}
	}
	slices.Sort(arns)
	return arns, nil
}

// getUserPolicy is an inline policy's document; nil where there is none.
func getUserPolicy(ctx context.Context, acct *Account, user, policy string) (*string, error) {
	out, err := acct.IAM.GetUserPolicy(ctx, &iam.GetUserPolicyInput{UserName: &user, PolicyName: &policy})
	if isCode(err, "NoSuchEntity") {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	// "The policies are URL-encoded compliant with RFC 3986"
	// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetUserPolicy.html
	doc, err := url.PathUnescape(aws.ToString(out.PolicyDocument))
	if err != nil {
		return nil, fmt.Errorf("policy %s of user %s: %w", policy, user, err)
	}
	return &doc, nil
}

// userStep is a step on a user, shared by all requests that make the change.
func userStep(acct *Account, user *types.User, id, kind, name string) Step {
	uid := aws.ToString(user.UserId)
	return Step{ID: id, Resource: aws.ToString(user.Arn), ResourceID: uid, Hold: holdKey(acct, uid, kind, name)}
}
