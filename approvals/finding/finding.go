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

// Offer finds the intent of a digest among those that the finding offers.
func (f Finding) Offer(digest string) (approvals.Intent, bool) {
	i := slices.IndexFunc(f.Intents, func(i approvals.Intent) bool { return approvals.IntentDigest(i) == digest })
	if i < 0 {
		return approvals.Intent{}, false
	}
	return f.Intents[i], true
}
