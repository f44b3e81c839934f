// Package source confirms findings with their source: GuardDuty, CloudTrail or IAM. An
// event is untrusted until then.
//
//	Confirm         asks the source
//	Confirmation    source, account, region and ID of a finding
//	ConfirmPermits  the permissions of the session that asks
package source

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/guardduty"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/actions/user"
)

// maxAnswer limits the part of an answer that is read, in bytes; the rest makes it no JSON.
const maxAnswer = 1 << 20

// Confirm asks a source whether a finding is true, in a session that may do nothing
// else. It returns the answer of GuardDuty or CloudTrail as JSON, and nothing for a key
// that exists and is active. It returns ErrNotConfirmed if the source does not know the
// finding, or the key is inactive.
func Confirm(ctx context.Context, c *actions.Cloud, s Confirmation, who actions.SessionContext) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	acct, err := c.Enter(ctx, actions.Responder, s.Account, s.Region, who, ConfirmPermits(s.Kind, actions.Scope{Org: c.Org(), Account: s.Account}))
	if err != nil {
		return nil, err
	}
	switch s.Kind {
	case ConfirmFinding:
		return finding(ctx, acct, s.Detector, s.ID)
	case ConfirmEvent:
		return event(ctx, acct, s.ID)
	case ConfirmKey:
		return nil, activeKey(ctx, acct, s.ID)
	}
	return nil, fmt.Errorf("confirmation by %q", s.Kind)
}

// finding is a GuardDuty finding as GetFindings writes it: the SDK's type leaves out
// what it does not know.
// https://docs.aws.amazon.com/guardduty/latest/APIReference/API_GetFindings.html
func finding(ctx context.Context, a *actions.Account, detector, id string) ([]byte, error) {
	var body []byte
	in := &guardduty.GetFindingsInput{DetectorId: &detector, FindingIds: []string{id}}
	if _, err := actions.Client(a, guardduty.NewFromConfig).GetFindings(ctx, in, withBody(&body)); err != nil {
		return nil, err
	}
	var out struct {
		Findings []json.RawMessage `json:"findings"`
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return nil, err
	}
	if len(out.Findings) != 1 {
		return nil, notConfirmed("GuardDuty has no finding %s in account %s, %s", id, a.ID, a.Region)
	}
	return out.Findings[0], nil
}

// withBody keeps the body of a response.
func withBody(body *[]byte) func(*guardduty.Options) {
	read := func(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
		out, meta, err := next.HandleDeserialize(ctx, in)
		resp, ok := out.RawResponse.(*smithyhttp.Response)
		if err != nil || !ok {
			return out, meta, err
		}
		*body, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
		_ = resp.Body.Close()
		resp.Body = io.NopCloser(bytes.NewReader(*body))
		return out, meta, err
	}
	return guardduty.WithAPIOptions(func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("keep the body", read), middleware.After)
	})
}

// event is a record of CloudTrail's Event history.
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
