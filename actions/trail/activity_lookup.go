package trail

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

const (
	activitySpan   = 24 * time.Hour
	activityWithin = time.Minute
	activityLimit  = 10_000 // calls
)

// Regions returns the configured regions and that of IAM's calls: without it a
// report would say that a stolen key made no IAM calls.
func Regions(acct *actions.Account) []string {
	var regions []string
	for _, r := range append(slices.Clone(acct.Org.Regions), GlobalRegion(acct.Partition)) {
		if r != "" && !slices.Contains(regions, r) {
			regions = append(regions, r)
		}
	}
	return regions
}

// LookUpActivity returns a subject's activity in an account in the 24 hours before now.
// Its session may only look up events. The activity names unreadable parts; an error
// means that nothing was read.
func LookUpActivity(ctx context.Context, c *actions.Cloud, account string, s Subject, now time.Time, who actions.SessionContext) (Activity, error) {
	by := types.LookupAttributeKey(s.By)
	if !actions.AccountID.MatchString(account) || s.Value == "" || !slices.Contains([]types.LookupAttributeKey{
		types.LookupAttributeKeyAccessKeyId, types.LookupAttributeKeyUsername, types.LookupAttributeKeyResourceName}, by) {
		return Activity{}, fmt.Errorf("whose activity to look up is not clear: %s of account %s", actions.Clip(s.By), actions.Clip(account))
	}
	acct, err := c.Enter(ctx, actions.Responder, account, "", who, LookupPermits())
	if err != nil {
		return Activity{}, err
	}
	return ActivityOf(ctx, acct, s, now)
}

// ActivityOf returns the calls with a key (AccessKeyId), by a user (Username) or on a
// resource (ResourceName) in the 24 hours before now. The Activity names unreadable
// regions. An error means that nothing was read and a retry may succeed; the Activity
// then has the subject only.
func ActivityOf(ctx context.Context, acct *actions.Account, s Subject, now time.Time) (Activity, error) {
	look, cancel := context.WithTimeout(ctx, activityWithin)
	defer cancel()
	l := &activityLookup{acct: acct, subject: s, from: now.Add(-activitySpan), to: now, tally: newTally(activityLimit), full: cancel}
	regions := Regions(acct)
	found, errs := make([]RegionActivity, len(regions)), make([]error, len(regions))
	var wg sync.WaitGroup
	for i, region := range regions {
		wg.Go(func() { found[i], errs[i] = l.region(look, region) })
	}
	wg.Wait()
	if err := ctx.Err(); errors.Is(err, context.Canceled) {
		return Activity{}, err
	}
	a := l.tally.activity()
	a.Subject, a.By, a.From, a.To, a.Regions = shorten(s.Value), s.By, l.from.UTC(), l.to.UTC(), found
	if i := slices.IndexFunc(errs, actions.Transient); i >= 0 && a.Unread() {
		return a, fmt.Errorf("look up events in %s: %w", regions[i], errs[i])
	}
	switch {
	case !slices.ContainsFunc(found, func(r RegionActivity) bool { return r.Cut }):
	case l.tally.isFull():
		a.Cut = fmt.Sprintf("it stopped after %d calls; older ones are missing", activityLimit)
	case ctx.Err() != nil:
		a.Cut = "it stopped when its time was over; older calls are missing"
	default:
		a.Cut = fmt.Sprintf("it stopped after %d s (AWS allows two requests a second); older calls are missing", int(activityWithin.Seconds()))
	}
	return a, nil
}

// activityLookup is one look-up in several regions at the same time.
type activityLookup struct {
	acct     *actions.Account
	subject  Subject
	from, to time.Time
	tally    *tally
	full     context.CancelFunc // stops all regions
}

// region reads one region until ctx ends. The error is the one in the RegionActivity.
func (l *activityLookup) region(ctx context.Context, region string) (RegionActivity, error) {
	found := RegionActivity{Name: region}
	err := Lookup(ctx, l.acct, region, l.subject, l.from, l.to, Budget{Patient: true}, func(events []types.Event) bool {
		taken := l.tally.add(events)
		found.Total += taken
		if found.Cut = taken < len(events); found.Cut {
			l.full()
		}
		return !found.Cut
	})
	if cut := (*CutError)(nil); errors.As(err, &cut) {
		found.Cut = true
		if err = cut.Err; found.Total > 0 && errors.Is(err, ctx.Err()) {
			return found, nil // it has the events until then
		}
	}
	if err != nil {
		found.Error = regionTrouble(err)
	}
	return found, err
}

// regionTrouble returns why a region can't be read, in words.
func regionTrouble(err error) string {
	cause, _ := actions.Explain(err)
	switch {
	case errors.Is(err, context.Canceled):
		return "the look-up ended before it was read"
	case actions.IsCode(err, "UnrecognizedClientException", "InvalidClientTokenId", "OptInRequired"): // the token is good elsewhere
		return shorten("the region is not enabled in this account: " + cause)
	}
	return shorten(cause)
}
