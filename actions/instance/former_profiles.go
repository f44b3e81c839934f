package instance

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

const (
	// credentialLife is the longest life of what an instance got from the metadata service.
	// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-roles-for-amazon-ec2.html
	credentialLife = 6 * time.Hour
	// formerPages limits each look-up of calls of one name, formerMost the profiles that get a deny: an attacker
	// can make many calls and many profiles.
	formerPages = 2
	formerMost  = 10
)

// profileCalls change which profile an instance has.
var profileCalls = []string{"AssociateIamInstanceProfile", "ReplaceIamInstanceProfileAssociation", "DisassociateIamInstanceProfile"}

// profileChange is one of them, about the instance. Its profile is the one that it gave, or took.
type profileChange struct {
	at            time.Time
	call, profile string
}

// formerRoles denies the roles of the profiles that the instance had within the last hours: whoever took
// their credentials, then gave the instance another profile, keeps them until they end.
func (i *isolation) formerRoles(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	since := i.acct.Now().Add(-credentialLife)
	changes, err := i.profileChanges(ctx, since)
	var former []string
	for n, c := range changes {
		if c.at.Before(since) {
			break
		}
		former = append(former, c.profile)
		if c.call != "ReplaceIamInstanceProfileAssociation" { // which alone does not say what was there before
			continue
		}
		before := ""
		if n+1 < len(changes) {
			before = changes[n+1].profile
		} else if before = i.launchProfile(ctx); before == "" {
			i.warn("Which instance profile it had before %s is not known, so its role gets no deny: revoke_sessions contains it.", c.at.UTC().Format("15:04 UTC"))
		}
		former = append(former, before)
	}
	if err != nil {
		cause, _ := actions.Explain(err)
		i.warn("CloudTrail could not be read to the end (%s): a role that the instance had in the last 6 hours, before the present one, may get no deny. revoke_sessions contains it.", cause)
	}
	slices.Sort(former)
	former = slices.DeleteFunc(slices.Compact(former), func(arn string) bool {
		return arn == "" || arn == i.before.Profile || arn == isolationProfileARN(i.acct)
	})
	if more := len(former) - formerMost; more > 0 {
		i.warn("It had %d other instance profiles in the last 6 hours. The roles of these get no deny: %s.", len(former), strings.Join(former[formerMost:], ", "))
		former = former[:formerMost]
	}
	for _, arn := range former {
		i.formerRole(ctx, arn)
	}
}

func (i *isolation) formerRole(ctx context.Context, profile string) {
	role, err := profileRole(ctx, i.acct, actions.LastPart(profile))
	switch {
	case err != nil:
		i.skipStep("The earlier instance profile "+profile, "its role gets no deny, revoke_sessions contains it", err)
	case role != nil && !i.denies(aws.ToString(role.RoleName)):
		i.fact("Earlier instance profile", profile)
		i.denyRole(ctx, role)
	}
}

// denies reports whether a step for the role is planned.
func (i *isolation) denies(role string) bool {
	return slices.ContainsFunc(i.plan.Steps, func(s actions.Step) bool { return s.ID == "role "+role })
}

// profileChanges returns the changes of the instance's profile, newest first: those since a time and, of each
// call, the last one before.
func (i *isolation) profileChanges(ctx context.Context, since time.Time) (changes []profileChange, cut error) {
	for _, call := range profileCalls {
		all := false // those since then are read
		err := trail.Lookup(ctx, i.acct, i.acct.Region, trail.Subject{By: string(types.LookupAttributeKeyEventName), Value: call}, time.Time{}, time.Time{},
			trail.Budget{Pages: formerPages}, func(events []types.Event) bool {
				for _, e := range events {
					profile := i.profileIn(e)
					if profile != "" {
						changes = append(changes, profileChange{aws.ToTime(e.EventTime), call, profile})
					}
					if all = aws.ToTime(e.EventTime).Before(since); all && profile != "" {
						return false
					}
				}
				return true
			})
		if err != nil && !all {
			cut = err
		}
		if err != nil && !errors.Is(err, trail.ErrPages) {
			break
		}
	}
	slices.SortStableFunc(changes, func(a, b profileChange) int { return b.at.Compare(a.at) })
	return changes, cut
}

// launchProfile returns the profile that the instance was launched with, "" if CloudTrail does not show it.
func (i *isolation) launchProfile(ctx context.Context) (profile string) {
	_ = trail.Lookup(ctx, i.acct, i.acct.Region, trail.Subject{By: string(types.LookupAttributeKeyResourceName), Value: i.id}, time.Time{}, time.Time{},
		trail.Budget{Pages: formerPages}, func(events []types.Event) bool {
			for _, e := range events {
				if aws.ToString(e.EventName) == "RunInstances" {
					profile = i.profileIn(e)
				}
			}
			return profile == ""
		})
	return profile
}

// profileIn returns the ARN of the instance profile in a call that was about the instance and succeeded. The
// answer has both; the request may have a name, or an association's ID.
func (i *isolation) profileIn(e types.Event) (profile string) {
	var r struct {
		Error    string `json:"errorCode"`
		Response any    `json:"responseElements"`
	}
	if json.Unmarshal([]byte(aws.ToString(e.CloudTrailEvent)), &r) != nil || r.Error != "" {
		return ""
	}
	values := trail.Values(r.Response)
	if !slices.Contains(values, i.id) {
		return ""
	}
	own := strings.TrimSuffix(isolationProfileARN(i.acct), IsolationName)
	if n := slices.IndexFunc(values, func(v string) bool { return strings.HasPrefix(v, own) }); n >= 0 {
		profile = values[n]
	}
	return profile
}
