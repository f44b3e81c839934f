package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
)

// Sight asks a source whether something is true: it returns what GuardDuty or
// CloudTrail say of it, as JSON, and nothing for a key that exists and is active.
// The session may do nothing else. The error is ErrNotSeen where the source does
// not know of it, or says that it is over.
func (c *Cloud) Sight(ctx context.Context, s Sighting, now time.Time, who Actor) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	acct, err := c.Enter(ctx, Responder, s.Account, s.Region, who, sightPermits(s.Kind, Scope{Org: c.org, Account: s.Account}))
	if err != nil {
		return nil, err
	}
	switch s.Kind {
	case OfFinding:
		return acct.finding(ctx, s.Detector, s.ID, now)
	case OfEvent:
		return acct.event(ctx, s.ID)
	case OfKey:
		return nil, acct.activeKey(ctx, s.ID)
	}
	return nil, fmt.Errorf("sighting of %q", s.Kind)
}

// Activity is what a subject did in an account in the 24 hours before now. The
// session may look it up and nothing else. What can't be read is said in it; an
// error means that nothing could be.
func (c *Cloud) Activity(ctx context.Context, account string, s Subject, now time.Time, who Actor) (Activity, error) {
	by := types.LookupAttributeKey(s.By)
	if !accountID.MatchString(account) || s.Value == "" || !slices.Contains([]types.LookupAttributeKey{
		types.LookupAttributeKeyAccessKeyId, types.LookupAttributeKeyUsername, types.LookupAttributeKeyResourceName}, by) {
		return Activity{}, fmt.Errorf("whose activity to look up is not clear: %s of account %s", clip(s.By), clip(account))
	}
	acct, err := c.Enter(ctx, Responder, account, "", who, activityPermits())
	if err != nil {
		return Activity{}, err
	}
	return lookUpActivity(ctx, acct, by, s.Value, now)
}

// finding is a GuardDuty finding as GetFindings writes it.
// https://docs.aws.amazon.com/guardduty/latest/APIReference/API_GetFindings.html
func (a *Account) finding(ctx context.Context, detector, id string, now time.Time) ([]byte, error) {
	in := struct {
		IDs []string `json:"findingIds"`
	}{[]string{id}}
	var out struct {
		Findings []json.RawMessage `json:"findings"`
	}
	if err := a.post(ctx, "GuardDuty", "guardduty", "/detector/"+detector+"/findings/get", now, in, &out); err != nil {
		return nil, err
	}
	if len(out.Findings) != 1 {
		return nil, notSeen("GuardDuty has no finding %s in account %s, %s", id, a.ID, a.Region)
	}
	return out.Findings[0], nil
}

// event is a record of CloudTrail's Event history.
func (a *Account) event(ctx context.Context, id string) ([]byte, error) {
	out, err := a.CloudTrail(a.Region).LookupEvents(ctx, &cloudtrail.LookupEventsInput{
		LookupAttributes: []types.LookupAttribute{{AttributeKey: types.LookupAttributeKeyEventId, AttributeValue: &id}}})
	if err != nil {
		return nil, err
	}
	if len(out.Events) != 1 || aws.ToString(out.Events[0].CloudTrailEvent) == "" {
		return nil, notSeen("CloudTrail has no event %s in account %s, %s", id, a.ID, a.Region)
	}
	return []byte(*out.Events[0].CloudTrailEvent), nil
}

// activeKey is nil for a key that a user of the account has, and can use.
func (a *Account) activeKey(ctx context.Context, id string) error {
	unknown := notSeen("no IAM user in account %s has the access key %s", a.ID, id)
	used, err := keyUser(ctx, a, id)
	switch {
	case err != nil:
		return err
	case used == nil:
		return unknown
	}
	keys, err := accessKeys(ctx, a, aws.ToString(used.UserName))
	if err != nil && !isCode(err, "NoSuchEntity") { // the root user is no user that has keys to list
		return err
	}
	i := slices.IndexFunc(keys, func(k credential) bool { return k.ID == id })
	switch {
	case i < 0:
		return unknown
	case !keys[i].active():
		return notSeen("the access key %s is inactive already", id)
	}
	return nil
}
