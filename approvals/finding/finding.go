package finding

import (
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// Finding is what approvals need to know of an alert: what the configuration
// lets be done about it, and how.
type Finding struct {
	Source   string // who told of it, as routes name it
	Name     string // its own name; the same for the same finding
	Reason   string // of requests that are born of it
	Intents  []approvals.Intent
	OneClick bool      // a click on one of the intents runs it
	Auto     bool      // intents run by themselves, once the finding is confirmed
	Unsure   []string  // digests of the intents that don't: their target is not what the source vouches for
	Updated  time.Time // when its source last told of it; what is old is not contained by itself
	Account  string
	Subject  trail.Subject
	Sighting source.Sighting
}

// Runs reports whether an intent runs by itself. An attacker can make one unsure,
// with a session's name for instance: that must not stop the others.
func (f Finding) Runs(i approvals.Intent) bool {
	return f.Auto && !slices.Contains(f.Unsure, approvals.IntentDigest(i))
}

// Offers are what the alert's card offers.
func (f Finding) Offers() approvals.Offers {
	var os approvals.Offers
	for _, i := range f.Intents {
		os = append(os, approvals.Offer{Intent: i, Why: f.Reason})
	}
	return os
}
