package source

import (
	"errors"
	"fmt"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/actions/user"
)

// Sighting is where something was reported, so that the source can be asked
// whether it is true.
type Sighting struct {
	Kind     SightingKind `json:"kind"`
	Account  string       `json:"account"`
	Region   string       `json:"region,omitempty"`
	Detector string       `json:"detector,omitempty"` // of a GuardDuty finding
	ID       string       `json:"id"`                 // the finding's, the CloudTrail event's or the key's
}

// SightingKind is what is asked.
type SightingKind string

// The kinds of sightings.
const (
	OfFinding SightingKind = "finding" // GuardDuty: GetFindings
	OfEvent   SightingKind = "event"   // CloudTrail: LookupEvents
	OfKey     SightingKind = "key"     // IAM: the key exists and is active
)

// Kinds are all that can be asked.
var Kinds = []SightingKind{OfFinding, OfEvent, OfKey}

// ErrNotSeen is wrapped by the errors of Sight that say that a source does not
// know what is said to come from it. CloudTrail may know it minutes later.
var ErrNotSeen = errors.New("its source does not confirm it")

func notSeen(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrNotSeen, fmt.Sprintf(format, args...))
}

// What is in an event is anybody's word until its source has confirmed it: it is
// checked before it gets into an ARN or a URL. The IDs of findings and detectors
// are 32 characters of hex, those of events UUIDs; AWS promises neither.
var (
	detectorID = actions.NewPattern(`^[0-9A-Za-z]{1,64}$`)
	sourceID   = actions.NewPattern(`^[0-9A-Za-z-]{1,64}$`)
)

// check reports what can't be asked.
func (s Sighting) check() error {
	ok := actions.AccountID.MatchString(s.Account)
	switch s.Kind {
	case OfFinding:
		ok = ok && actions.RegionName.MatchString(s.Region) && detectorID.MatchString(s.Detector) && sourceID.MatchString(s.ID)
	case OfEvent:
		ok = ok && actions.RegionName.MatchString(s.Region) && sourceID.MatchString(s.ID)
	case OfKey:
		ok = ok && actions.KeyID.MatchString(s.ID) && strings.HasPrefix(s.ID, "AKIA")
	default:
		ok = false
	}
	if !ok {
		return errors.New("the event does not say where its source can be asked")
	}
	return nil
}

// SightPermits are what asking about a sighting takes. GetFindings and
// LookupEvents have no resources.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonguardduty.html
func SightPermits(kind SightingKind, s actions.Scope) []actions.Statement {
	switch kind {
	case OfFinding:
		return []actions.Statement{{Actions: []string{"guardduty:GetFindings"}, Resources: []string{"*"}}}
	case OfEvent:
		return trail.LookupPermits()
	case OfKey:
		return user.KeyIsActivePermits(s)
	}
	return nil
}
