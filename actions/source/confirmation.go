package source

import (
	"errors"
	"fmt"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/actions/user"
)

// Confirmation identifies a finding at its source.
type Confirmation struct {
	Kind     ConfirmationKind `json:"kind"`
	Account  string           `json:"account"`
	Region   string           `json:"region,omitempty"`
	Detector string           `json:"detector,omitempty"` // of a GuardDuty finding
	ID       string           `json:"id"`                 // the finding's, the CloudTrail event's or the key's
}

// ConfirmationKind is the source that is asked.
type ConfirmationKind string

// The kinds of confirmation.
const (
	ConfirmFinding ConfirmationKind = "finding" // GuardDuty: GetFindings
	ConfirmEvent   ConfirmationKind = "event"   // CloudTrail: LookupEvents
	ConfirmKey     ConfirmationKind = "key"     // IAM: the key exists and is active
)

// Kinds are all kinds of confirmation.
var Kinds = []ConfirmationKind{ConfirmFinding, ConfirmEvent, ConfirmKey}

// ErrNotConfirmed is wrapped by the errors of Confirm if the source does not
// know the finding, the event or the key. CloudTrail may know an event minutes later.
var ErrNotConfirmed = errors.New("its source does not confirm it")

func notConfirmed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNotConfirmed, fmt.Sprintf(format, args...))
}

// Events are untrusted until their source has confirmed them: values are checked before
// they become part of an ARN or a URL. The IDs of findings and detectors are 32 hex
// characters, those of events UUIDs; AWS guarantees neither.
var (
	detectorID = actions.NewPattern(`^[0-9A-Za-z]{1,64}$`)
	sourceID   = actions.NewPattern(`^[0-9A-Za-z-]{1,64}$`)
)

// check returns an error for invalid values.
func (s Confirmation) check() error {
	ok := actions.AccountID.MatchString(s.Account)
	switch s.Kind {
	case ConfirmFinding:
		ok = ok && actions.RegionName.MatchString(s.Region) && detectorID.MatchString(s.Detector) && sourceID.MatchString(s.ID)
	case ConfirmEvent:
		ok = ok && actions.RegionName.MatchString(s.Region) && sourceID.MatchString(s.ID)
	case ConfirmKey:
		ok = ok && actions.KeyID.MatchString(s.ID) && strings.HasPrefix(s.ID, "AKIA")
	default:
		ok = false
	}
	if !ok {
		return errors.New("the event does not say where its source can be asked")
	}
	return nil
}

// ConfirmPermits returns the permissions for a kind of confirmation. GetFindings and
// LookupEvents have no resources.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonguardduty.html
func ConfirmPermits(kind ConfirmationKind, s actions.Scope) []actions.Statement {
	switch kind {
	case ConfirmFinding:
		return []actions.Statement{{Actions: []string{"guardduty:GetFindings"}, Resources: []string{"*"}}}
	case ConfirmEvent:
		return trail.LookupPermits()
	case ConfirmKey:
		return user.KeyIsActivePermits(s)
	}
	return nil
}
