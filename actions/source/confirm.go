// Package source asks AWS whether something is true: a finding its source, GuardDuty, CloudTrail or
// IAM, since an event is untrusted until then; a thing that somebody made, whether it is still there.
//
//	Look            asks whether a Thing is there
//	Confirm         asks the source
//	Confirmation    source, account, region and ID of a finding
//	ConfirmPermits  the permissions of the session that asks
package source

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/actions/user"
)

// Confirm asks a source whether a finding is true, in a session that may do nothing
// else. It returns the answer of GuardDuty or CloudTrail as JSON, and nothing for a key
// that exists and is active. It returns ErrNotConfirmed if the source does not know the
// finding, or the key is inactive.
func Confirm(ctx context.Context, c *actions.Cloud, s Confirmation, now time.Time, who actions.SessionContext) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	acct, err := c.Enter(ctx, actions.Responder, s.Account, s.Region, who, ConfirmPermits(s.Kind, actions.Scope{Org: c.Org(), Account: s.Account}))
	if err != nil {
		return nil, err
	}
	switch s.Kind {
	case ConfirmFinding:
		return finding(ctx, acct, s.Detector, s.ID, now)
	case ConfirmEvent:
		return event(ctx, acct, s.ID)
	case ConfirmKey:
		return nil, activeKey(ctx, acct, s.ID)
	}
	return nil, fmt.Errorf("confirmation by %q", s.Kind)
}

// finding is a GuardDuty finding as GetFindings writes it.
// https://docs.aws.amazon.com/guardduty/latest/APIReference/API_GetFindings.html
func finding(ctx context.Context, a *actions.Account, detector, id string, now time.Time) ([]byte, error) {
	in := struct {
		IDs []string `json:"findingIds"`
	}{[]string{id}}
	var out struct {
		Findings []json.RawMessage `json:"findings"`
	}
	if err := exchange(ctx, a, http.MethodPost, "GuardDuty", "guardduty", a.Region, "/detector/"+detector+"/findings/get", now, in, &out); err != nil {
		return nil, err
	}
	if len(out.Findings) != 1 {
		return nil, notConfirmed("GuardDuty has no finding %s in account %s, %s", id, a.ID, a.Region)
	}
	return out.Findings[0], nil
}

// event returns a record of CloudTrail's Event history.
func event(ctx context.Context, a *actions.Account, id string) ([]byte, error) {
	record, err := trail.EventOf(ctx, a, a.Region, id)
	if err == nil && record == "" {
		err = notConfirmed("CloudTrail has no event %s in account %s, %s", id, a.ID, a.Region)
	}
	return []byte(record), err
}

// activeKey returns nil if a user of the account has the key and it is active.
func activeKey(ctx context.Context, a *actions.Account, id string) error {
	exists, active, err := user.KeyIsActive(ctx, a, id)
	switch {
	case err != nil:
		return err
	case !exists:
		return notConfirmed("no IAM user in account %s has the access key %s", a.ID, id)
	case !active:
		return notConfirmed("the access key %s is inactive already", id)
	}
	return nil
}
