package config

import (
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Alerts say what becomes of findings and events.
type Alerts struct {
	MockSources bool    // show awsmock.* events, marked as mock
	AutoPerHour int     // cap of automatic containments; 5 if left out
	Routes      []Route // the first match wins; without a match nothing is posted
}

// Route is what becomes of the events that match.
type Route struct {
	Match    Match
	Suggest  []Suggestion // empty: every action that fits the finding's targets
	Delivery Delivery
	OneClick bool   // approvals: 0, the click itself runs it; only with Suggest
	Channel  string // empty: the incident channel
}

// Match picks events.
type Match struct {
	Source      string  // guardduty, trustedadvisor, health, cloudtrail or securityhub
	Type        string  // * stands for any characters; empty: any type
	MinSeverity float64 // 0 to 10
}

// Suggestion is an action that an alert's card offers.
type Suggestion struct {
	Action actions.Name
	Mode   string // for quarantine_user: iam-only; else empty
}

// Delivery is what an alert does.
type Delivery string

// The deliveries. Auto needs Suggest, of reversible single-target actions alone.
const (
	Notify  Delivery = "notify"
	Propose Delivery = "propose" // if left out
	Auto    Delivery = "auto"
)

// Webhook is what the holder of its key may do. Its key is not in the configuration.
type Webhook struct {
	ID      string
	Actions []actions.Name // that it may request
	Events  bool           // it may send EventBridge events
}

// gentle are the actions that are reversible and hit a single target: what may
// run by one click, or by itself.
var gentle = []string{"revoke_sessions", "detach_policies", "quarantine_user", "deactivate_key", "isolate_instance"}

func (c *checker) alerts(section *value) Alerts {
	a := Alerts{MockSources: section.at("mock_sources").is(true), AutoPerHour: defaultAutoPerHour}
	if n, ok := section.at("auto_per_hour").integer(); ok {
		a.AutoPerHour = n
	}
	for _, v := range section.at("routes").items() {
		a.Routes = append(a.Routes, c.route(v))
	}
	return a
}

func (c *checker) route(v *value) Route {
	r := Route{
		Match:    Match{Source: v.at("match", "source").text(), Type: v.at("match", "type").text()},
		Delivery: Propose,
		Channel:  v.at("channel").text(),
	}
	r.Match.MinSeverity, _ = v.at("match", "min_severity").number()
	if d := v.at("delivery").text(); d != "" {
		r.Delivery = Delivery(d)
	}
	if n, ok := v.at("approvals").integer(); ok {
		r.OneClick = n == 0
	}
	for _, s := range v.at("suggest").items() {
		action, mode := s.at("action").text(), s.at("mode")
		r.Suggest = append(r.Suggest, Suggestion{actions.Name(action), mode.text()})
		if mode != nil && action != "quarantine_user" {
			c.add(mode, "only quarantine_user has modes", "remove it")
		}
	}
	if r.Delivery == Auto {
		c.onlyGentle(v, v.at("delivery"), "auto")
	}
	if r.OneClick {
		c.onlyGentle(v, v.at("approvals"), "approvals: 0")
	}
	return r
}

// onlyGentle refuses what would contain without a second person, unless the route
// itself lists what, and all of that is gentle.
func (c *checker) onlyGentle(route, why *value, what string) {
	suggest := route.at("suggest")
	if suggest == nil {
		c.add(why, what+" needs suggest", "write out which actions")
	}
	for _, s := range suggest.items() {
		if a := s.at("action"); a.text() != "" && !slices.Contains(gentle, a.text()) {
			c.add(a, "is irreversible or account-wide and can't be suggested with "+what, "what can: "+strings.Join(gentle, ", "))
		}
	}
}

func (c *checker) webhooks(section *value) []Webhook {
	var hooks []Webhook
	ids := unique{}
	for _, v := range section.items() {
		w := Webhook{ID: v.at("id").text(), Events: v.at("events").is(true)}
		c.once(ids, w.ID, v.at("id"), "belongs to another webhook already")
		for _, a := range v.at("actions").items() {
			w.Actions = append(w.Actions, actions.Name(a.text()))
		}
		if v != nil && v.fields != nil && v.at("actions") == nil && !w.Events {
			c.add(v, "may do nothing", "give it actions: […] or events: true")
		}
		hooks = append(hooks, w)
	}
	return hooks
}
