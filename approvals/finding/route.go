package finding

import (
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// Routing is the configuration of alerts.
type Routing struct {
	MockSources bool    // show awsmock.* events, marked as mock
	Routes      []Route // the first match wins; without a match nothing is posted
	// AutoPerHour is the cap of automatic containments of an account, AutoPerHourTotal that
	// of all accounts together.
	AutoPerHour, AutoPerHourTotal int
}

// Route says what is done about the findings that match it.
type Route struct {
	Match    Match
	Suggest  []Suggestion // empty: every action that fits
	Delivery Delivery
	OneClick bool   // approvals: 0, the click itself runs what the source confirms; only with Suggest
	Channel  string // empty: the incident channel
	// Call are the groups and people that an alert's card mentions, and perhaps Here.
	Call     []string
	CallFrom float64 // severity from which it mentions them
}

// Channels are those that routes name, and the given ones: each once, in order.
func (r Routing) Channels(more ...string) []string {
	all := slices.Clone(more)
	for _, route := range r.Routes {
		if route.Channel != "" {
			all = append(all, route.Channel)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Here in Route.Call stands for who is active in the channel.
const Here = "here"

// Calls reports whether the route calls people for a finding. Samples and mocks call nobody.
func (r Route) Calls(f Finding) bool {
	return len(r.Call) > 0 && f.Severity >= r.CallFrom && !f.Over && f.Mark != Sample && f.Mark != Mock
}

// Match selects findings.
type Match struct {
	Source      Source
	Type        string  // * stands for any characters; empty: any type, but for quiet alerts; ListedType of CloudTrail: what is on its list
	MinSeverity float64 // 0 to 10
}

// Suggestion is an action that an alert's card offers.
type Suggestion struct {
	Action  actions.Name
	Options map[string]string // of the action, as they are typed; may be nil
}

// Delivery is how a route delivers a finding: as a message, with buttons, or by
// containing it.
type Delivery string

// The deliveries. Auto needs Suggest, of reversible single-target actions alone.
const (
	Notify  Delivery = "notify"
	Propose Delivery = "propose" // if left out
	Auto    Delivery = "auto"
)

// RouteOf finds a finding's route; nil if none matches, or for a mock if mocks are not
// shown.
func (r Routing) RouteOf(f Finding) *Route {
	if f.Mark == Mock && !r.MockSources {
		return nil
	}
	for _, route := range r.Routes {
		if route.Match.matches(f) {
			return &route
		}
	}
	return nil
}

func (m Match) matches(a Finding) bool {
	var types bool
	switch {
	case m.Type == "":
		types = !a.Quiet
	case m.listed():
		types = a.Change
	default:
		types = glob(m.Type, a.Type)
	}
	return m.Source == a.Source && a.Severity >= m.MinSeverity && types
}

// listed reports whether m selects what is on CloudTrail's list, whatever its type.
func (m Match) listed() bool { return m.Source == CloudTrail && m.Type == ListedType }

// Covers reports whether m matches every finding that n matches.
func (m Match) Covers(n Match) bool {
	types := glob(m.Type, n.Type) // a * of n is matched by a * of m alone
	switch {
	case m.Type == "":
		quiet := n.Source == CloudTrail && strings.ContainsAny(n.Type, ":*") // may be among what n matches
		types = !quiet
	case m.listed() || n.listed():
		types = m.Type == n.Type || m.Type == "*"
	}
	return m.Source == n.Source && m.MinSeverity <= n.MinSeverity && types
}

// glob matches a pattern in which * stands for any characters.
func glob(pattern, s string) bool {
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return s == pattern
	}
	if !strings.HasPrefix(s, first) {
		return false
	}
	s = s[len(first):]
	for _, part := range parts[1 : len(parts)-1] {
		_, after, found := strings.Cut(s, part)
		if !found {
			return false
		}
		s = after
	}
	return strings.HasSuffix(s, last)
}

// Offers are the containments that the route offers for a finding: those that fit and,
// if the route suggests some, only these, in its order and with its options. Without a
// second person run only those whose finding a source can confirm and whose target is sure.
func (r Route) Offers(a Finding) (offers approvals.Offers) {
	add := func(c actions.Call) {
		unsure := a.unsure(c.Target)
		alone := a.Mark == "" && a.Confirmation.Kind != "" && unsure == ""
		offers = append(offers, approvals.Offer{Intent: approvals.Intent{Call: c}, Why: reason(a), Unsure: unsure,
			OneClick: alone && r.OneClick, Auto: alone && r.Delivery == Auto && a.Trusted})
	}
	if r.Delivery == Notify || a.Mark == Sample || a.Over {
		return nil
	}
	if len(r.Suggest) == 0 {
		for _, o := range a.Containments {
			if !o.Extra {
				add(o.Call)
			}
		}
		return offers
	}
	for _, s := range r.Suggest {
		for _, o := range a.Containments {
			if o.Call.Action != s.Action {
				continue
			}
			c := o.Call
			for option, value := range s.Options {
				c = c.With(option, value)
			}
			add(c)
		}
	}
	return offers
}
