// Package vouch looks at the principals that a name exempts from a containment, or protects: a
// name proves nothing in an account that somebody else holds. It looks at who may enter them.
//
//	Strangers  judges a trust policy by the configuration
//	Steps      the steps of a containment that look at what it exempts
//	Survey     tells in a plan what stands there before
//	Guard      judges a protected role that is to be contained itself
package vouch

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// stepLook begins the ID of a step that looks at a principal; its short name is the rest.
const stepLook = "vouch "

// Is reports whether a step is one of [Steps].
func Is(s actions.Step) bool { return strings.HasPrefix(s.ID, stepLook) && s.Look != "" }

// Exempt returns the principals of an account that patterns of ARNs name, where only the account
// may be *. What the configuration names with its account is meant: of a user there is then
// nothing to look at, since nobody else enters it.
func Exempt(account string, patterns []string) (arns []string) {
	for _, p := range patterns {
		inAny := strings.Contains(p, ":iam::*:")
		arn := strings.Replace(p, ":iam::*:", ":iam::"+account+":", 1)
		_, of, _, _, role := actions.SplitRoleARN(arn)
		if !role {
			var user bool
			if _, of, _, _, user = actions.SplitUserARN(arn); !user || !inAny {
				continue
			}
		}
		if of == account && !slices.Contains(arns, arn) {
			arns = append(arns, arn)
		}
	}
	return arns
}

// Steps returns a step for each exempt principal of an account, which looks at who may enter it once
// the others are applied, and again with every look. hint is what people can do about a stranger.
func Steps(acct *actions.Account, account string, arns []string, hint string) []actions.Step {
	var steps []actions.Step
	for _, arn := range arns {
		name := short(arn)
		s := actions.Step{ID: stepLook + name, Goal: stepLook + name, Title: "Check who may assume " + name, Resource: arn, ResourceID: arn,
			Hold: actions.HoldKey(acct, account, "trust", actions.LastPart(arn)), Current: "exempt by its name", Look: hint,
			After: "only " + strings.Join(expected(acct.Org, arn), ", ") + " may enter by " + name}
		if !isRole(arn) {
			s.Title, s.After = "Check whether there is a "+name, "there is none"
		}
		steps = append(steps, s)
	}
	return steps
}

// Permits returns the permissions to look at the principals of a scope's account.
func Permits(s actions.Scope, arns []string) []actions.Statement {
	roles, users := []string{s.ARN("iam", "role/*")}, []string{s.ARN("iam", "user/*")}
	if !s.Any() {
		roles, users = named(s, arns, "role"), named(s, arns, "user")
	}
	return []actions.Statement{{Actions: []string{"iam:GetRole"}, Resources: roles}, {Actions: []string{"iam:GetUser"}, Resources: users}}
}

// named returns the ARNs of one kind, on any path, since IAM finds them by name; the kind's wildcard
// if they take more than a third of a session policy.
func named(s actions.Scope, arns []string, kind string) (on []string) {
	for _, arn := range arns {
		if kindOf(arn) == kind {
			on = append(on, s.ARN("iam", kind+"/*"+actions.LastPart(arn)))
		}
	}
	if len(strings.Join(on, "")) > actions.SessionPolicyLimit/3 {
		return []string{s.ARN("iam", kind+"/*")}
	}
	return on
}

// Verify looks at the principal of a step, in its account. What can't be read is an error, and so is
// what nothing can vouch for.
func Verify(ctx context.Context, acct *actions.Account, s actions.Step) (actions.Reading, error) {
	acct, err := acct.Target(ctx)
	if err != nil {
		return actions.Reading{}, actions.WithHint(err, "the member role is not deployed there, or somebody changed its trust policy: whoever that lets in can go on")
	}
	found, err := read(ctx, acct, s.Resource)
	switch {
	case err != nil:
		if !actions.Transient(err) {
			acct.Leave() // a look's session may be one of a role that was made again
		}
		return actions.Reading{}, err
	case !isRole(s.Resource) && !found.absent:
		return actions.Reading{}, actions.WithHint(fmt.Errorf("it exists, made %s; its name alone exempts it", found.made.UTC().Format("2006-01-02 15:04 UTC")), "find out whose it is; name it with its account in protected.principals if it is yours")
	}
	return actions.Reading{Holds: len(found.strangers) == 0, Found: found.text()}, nil
}

// finding is what stands there under an exempt name.
type finding struct {
	absent    bool
	strangers []string // who may enter a role and is not expected
	made      time.Time
}

func (f finding) text() string {
	switch {
	case f.absent:
		return "it does not exist"
	case len(f.strangers) > 0:
		return "its trust policy lets in " + few(f.strangers)
	}
	return "its trust policy lets in nobody unexpected"
}

// read reads an exempt principal. One of that name on another path is not exempt.
func read(ctx context.Context, acct *actions.Account, arn string) (f finding, err error) {
	name := actions.LastPart(arn)
	if !isRole(arn) {
		out, err := acct.IAM().GetUser(ctx, &iam.GetUserInput{UserName: &name})
		switch {
		case actions.IsCode(err, "NoSuchEntity"), err == nil && aws.ToString(out.User.Arn) != arn:
			return finding{absent: true}, nil
		case err != nil:
			return f, err
		}
		return finding{made: aws.ToTime(out.User.CreateDate)}, nil
	}
	role, err := deny.GetRole(ctx, acct, name)
	switch {
	case actions.IsCode(err, "NoSuchEntity"), err == nil && aws.ToString(role.Arn) != arn:
		return finding{absent: true}, nil
	case err != nil:
		return f, err
	}
	return finding{made: aws.ToTime(role.CreateDate), strangers: OfRole(acct.Org, arn, role.AssumeRolePolicyDocument)}, nil
}

// OfRole is [Strangers] of a trust policy as IAM returns it.
// "The policy … is URL-encoded compliant with RFC 3986"
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetRole.html
func OfRole(o actions.Org, arn string, document *string) []string {
	trust, err := url.PathUnescape(aws.ToString(document))
	if err != nil {
		trust = ""
	}
	return Strangers(o, arn, trust)
}

// Survey adds to a plan for people what stands there under the exempt names.
func Survey(ctx context.Context, acct *actions.Account, arns []string, p *actions.Plan) {
	acct, entered := acct.Target(ctx)
	found, errs := make([]finding, len(arns)), make([]error, len(arns))
	_ = actions.Parallel(len(arns), maxParallel, func(i int) error { // each error is kept: one hides no other
		if errs[i] = entered; entered == nil {
			found[i], errs[i] = read(ctx, acct, arns[i])
		}
		return nil
	})
	var loud, fine, absent []string
	for i, arn := range arns {
		name := short(arn)
		switch f := found[i]; {
		case errs[i] != nil:
		case f.absent:
			absent = append(absent, name)
		case !isRole(arn):
			loud = append(loud, fmt.Sprintf("%s is exempt by its name and exists, made %s: nothing vouches for it.", name, f.made.UTC().Format(time.DateOnly)))
		case len(f.strangers) > 0:
			loud = append(loud, warning(arn, f.strangers))
		default:
			if fine = append(fine, name); acct.Org.Protection(arn) != "" { // anybody may have made it, and have sessions of it
				fine[len(fine)-1] += " (made " + f.made.UTC().Format(time.DateOnly) + ")"
			}
		}
	}
	if unread := unreadText(arns, errs); unread != "" {
		loud = append(loud, unread)
	}
	p.Warnings = append(loud, p.Warnings...)
	if len(fine) > 0 {
		p.Facts = append(p.Facts, actions.Fact{Label: "Nobody unexpected may enter", Text: strings.Join(fine, ", ")})
	}
	if len(absent) > 0 {
		p.Residual = append(p.Residual, "Exempt and not there, so an administrator of the account can still make it: "+strings.Join(absent, ", ")+". It is looked at again.")
	}
}

// maxParallel limits the reads at the same time.
const maxParallel = 8

// Warning returns what to say before an approval of a role that is left alone, by its trust policy as IAM
// returns it: nothing if nobody unexpected may enter.
func Warning(o actions.Org, arn string, document *string) []string {
	if strangers := OfRole(o, arn, document); len(strangers) > 0 {
		return []string{warning(arn, strangers)}
	}
	return nil
}

func warning(arn string, strangers []string) string {
	return "Not contained by this: " + short(arn) + " is exempt and lets in " + few(strangers) + ". Correct its trust policy first."
}

// unreadText says of which principals nobody knows who may enter, with the first cause.
func unreadText(arns []string, errs []error) string {
	var names []string
	cause := ""
	for i, err := range errs {
		if err != nil {
			names = append(names, short(arns[i]))
			if cause == "" {
				cause, _ = actions.Explain(err)
			}
		}
	}
	if len(names) == 0 {
		return ""
	}
	return "Who may enter the exempt " + strings.Join(names, ", ") + " could not be read (" + actions.Clean(cause) + "): look by hand."
}

// Guard judges a role that the configuration protects by its name, before people decide about its
// containment. If nobody else may enter it, it is refused. Otherwise anybody may have made it: guarded says
// why it takes the name typed and one approval more.
func Guard(acct *actions.Account, c actions.Call, role *types.Role) (guarded string, err error) {
	arn, name := aws.ToString(role.Arn), aws.ToString(role.RoleName)
	if acct.Look != actions.LookAll || !acct.Org.ProtectedByNameAlone(arn) {
		return "", nil // what is refused whatever the plan says, the executor tells
	}
	strangers := OfRole(acct.Org, arn, role.AssumeRolePolicyDocument)
	if len(strangers) == 0 {
		return "", acct.Org.RefuseIdentity(actions.Identity{ARN: arn}, false)
	}
	guarded = fmt.Sprintf("%s has a protected name, but its trust policy lets in %s.", name, few(strangers))
	if c.Options["confirm"] != name {
		return "", actions.ConfirmName(c, name, guarded, "")
	}
	return guarded, nil
}

func isRole(arn string) bool { return kindOf(arn) == "role" }

// kindOf returns role or user.
func kindOf(arn string) string {
	if _, _, _, _, ok := actions.SplitRoleARN(arn); ok {
		return "role"
	}
	return "user"
}

// short is a principal without partition and account: role/PATH/NAME.
func short(arn string) string {
	parts := strings.SplitN(arn, ":", 6)
	return parts[len(parts)-1]
}
