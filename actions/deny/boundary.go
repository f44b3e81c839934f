package deny

import (
	"cmp"
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// The second place of a deny without a condition is the permissions boundary: it has no quota,
// one call sets it, and an explicit deny in it beats every grant, of resources too. The policy is
// AWS's own AWSDenyAll, which nobody can alter.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_boundaries.html

// BoundaryARN is the ARN of AWSDenyAll.
func BoundaryARN(partition string) string { return "arn:" + partition + ":iam::aws:policy/AWSDenyAll" }

// IsolationName is the name of what isolated instances share. The role of that name has our boundary from
// the beginning, and the tamper protection lets nobody change it, us neither.
const IsolationName = "killswitch-isolation"

// OurBoundary is the condition that a boundary which is set, or taken away, is ours.
func OurBoundary(partition string) actions.Condition {
	return actions.Condition{"StringEquals": {"iam:PermissionsBoundary": {BoundaryARN(partition)}}}
}

// BoundaryPermits are the permissions to set our boundary, or to take it away and put back what
// stood there, on roles or users (kind "Role" or "User").
func BoundaryPermits(p actions.Phase, s actions.Scope, kind string, on []string) []actions.Statement {
	put, remove := "iam:Put"+kind+"PermissionsBoundary", "iam:Delete"+kind+"PermissionsBoundary"
	ours := OurBoundary(s.Org.Partition)
	// The policy of the boundary that stands there, of AWS or of the account: its version.
	read := actions.Statement{Actions: []string{"iam:GetPolicy"}, Resources: []string{"arn:" + s.Org.Partition + ":iam::*:policy/*"}}
	switch p {
	case actions.PhaseRun:
		return []actions.Statement{{Actions: []string{put}, Resources: on, Condition: ours}, read}
	case actions.PhaseUndo:
		// What is put back is what stood there: any.
		return []actions.Statement{{Actions: []string{remove}, Resources: on, Condition: ours}, {Actions: []string{put}, Resources: on}, read}
	case actions.PhasePlan, actions.PhaseReport:
	}
	return nil
}

// Principal is a role or user of an account.
type Principal struct {
	acct *actions.Account
	name string
	user bool
}

// OfRole is the role of a name.
func OfRole(acct *actions.Account, name string) Principal { return Principal{acct, name, false} }

// OfUser is the user of a name.
func OfUser(acct *actions.Account, name string) Principal { return Principal{acct, name, true} }

// BoundaryOf returns the ARN of an attached boundary, "" if there is none.
func BoundaryOf(b *types.AttachedPermissionsBoundary) string {
	if b == nil {
		return ""
	}
	return aws.ToString(b.PermissionsBoundaryArn)
}

// set sets the boundary; "" takes it away.
func (p Principal) set(ctx context.Context, arn string) (err error) {
	client := p.acct.IAM()
	switch {
	case p.user && arn == "":
		_, err = client.DeleteUserPermissionsBoundary(ctx, &iam.DeleteUserPermissionsBoundaryInput{UserName: &p.name})
	case p.user:
		_, err = client.PutUserPermissionsBoundary(ctx, &iam.PutUserPermissionsBoundaryInput{UserName: &p.name, PermissionsBoundary: &arn})
	case arn == "":
		_, err = client.DeleteRolePermissionsBoundary(ctx, &iam.DeleteRolePermissionsBoundaryInput{RoleName: &p.name})
	default:
		_, err = client.PutRolePermissionsBoundary(ctx, &iam.PutRolePermissionsBoundaryInput{RoleName: &p.name, PermissionsBoundary: &arn})
	}
	return err
}

// BindInstead sets our boundary where AWS refused a step's deny in another place for good. It
// returns false if the refusal stands: it is none, or the boundary is refused, too.
func (p Principal) BindInstead(ctx context.Context, s actions.Step, refused error) (e actions.Effect, bound bool, err error) {
	var api interface{ ErrorCode() string }
	if refused == nil || actions.Transient(refused) || !errors.As(refused, &api) {
		return e, false, nil
	}
	prior, err := p.bind(ctx, s.Prior)
	if err != nil && !actions.Transient(err) {
		return e, false, nil
	}
	return actions.Effect{Prior: prior, Wrote: aws.String(BoundaryARN(p.acct.Partition)), Changed: true}, true, err
}

// bind sets our boundary, and notes in prior which version of the one in its place was in force.
func (p Principal) bind(ctx context.Context, prior *string) (noted *string, err error) {
	was, err := ReadState(prior)
	if err != nil {
		return prior, err
	}
	if was.Boundary != "" && was.Boundary != BoundaryARN(p.acct.Partition) {
		was.Version = p.version(ctx, was.Boundary)
	}
	return was.Stored(), p.set(ctx, BoundaryARN(p.acct.Partition))
}

// version is the default version of a policy, "" if it can't be read.
func (p Principal) version(ctx context.Context, arn string) string {
	out, err := p.acct.IAM().GetPolicy(ctx, &iam.GetPolicyInput{PolicyArn: &arn})
	if err != nil {
		return ""
	}
	return aws.ToString(out.Policy.DefaultVersionId)
}

// Release takes our boundary away, and puts back the one that stood there before. What others set
// since stays, and a boundary that says something else than then is not put back: it might allow
// more. So does one that other installations may need, as the principal's tag says: it has one place.
func (p Principal) Release(ctx context.Context, live string, tag *string, prior State, e actions.Effect) (actions.Reading, error) {
	ours := BoundaryARN(p.acct.Partition)
	switch wrote, elsewhere := e.Wrote != nil && *e.Wrote == ours, Elsewhere(ctx, p.acct, tag); {
	case live == ours && prior.Boundary != ours && elsewhere != "":
		return actions.Reading{Found: "the permissions boundary AWSDenyAll", Elsewhere: elsewhere}, nil
	case live == ours && prior.Boundary != ours:
	case !wrote || live == prior.Boundary:
		return actions.Reading{Holds: true}, nil
	default:
		return actions.Reading{Found: "permissions boundary " + cmp.Or(live, "none") + ", which is not what Killswitch wrote; before, it was " + cmp.Or(prior.Boundary, "none")}, nil
	}
	if prior.Boundary != "" && prior.Version != "" {
		if now := p.version(ctx, prior.Boundary); now != prior.Version {
			return actions.Reading{Found: "the permissions boundary " + prior.Boundary + " has changed since it was replaced (" + prior.Version + ", now " + now + "): set it by hand if it still limits what it should"}, nil
		}
	}
	err := p.set(ctx, prior.Boundary)
	if actions.IsCode(err, "NoSuchEntity") && prior.Boundary != "" {
		return actions.Reading{Found: "the permissions boundary " + prior.Boundary + ", which stood there before, does not exist any more: make it again, or take AWSDenyAll off by hand"}, nil
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, err
}
