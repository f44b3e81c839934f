package approvals

import (
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// InForce is what a run holds in force, by the names that CloudTrail's events use: so it is
// found which containments a change may be about. It is a hint, not a record: the looks of the
// schedule don't need it.
type InForce struct {
	Account string   `json:"account"`
	Names   []string `json:"names,omitempty"` // [InForceName] of names and IDs
	More    bool     `json:"more,omitempty"`  // there were too many: each change in the account counts
	SCP     bool     `json:"scp,omitempty"`   // a service control policy is among it
}

// LookGap is the time from the begin of a look to the next one that an event makes due.
const LookGap = 30 * time.Second

const (
	maxInForce     = 50  // names
	maxInForceName = 128 // the longest name that IAM takes
)

// InForceName spells a name, an ID or an ARN as [InForce] has it: an ARN by its last part, and
// in lower case, as names of IAM are unique regardless of case. It returns "" for what is too long.
func InForceName(s string) string {
	if strings.HasPrefix(s, "arn:") {
		s = actions.ResourceName(s)
	}
	if len(s) > maxInForceName {
		return ""
	}
	return strings.ToLower(s)
}

// Add adds a name, an ID or an ARN.
func (f *InForce) Add(s string) {
	name := InForceName(s)
	switch {
	case slices.Contains(f.Names, name):
	case name == "" || len(f.Names) == maxInForce:
		f.More = f.More || s != ""
	default:
		f.Names = append(f.Names, name)
	}
}
