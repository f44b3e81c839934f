package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// Webhook has the permissions of a webhook's key. The key is not in the configuration.
type Webhook struct {
	ID      string
	Actions []actions.Name // that it may request
	Owners  []string       // people who hold its key: they may not approve what it asks for
	Events  bool           // it may send EventBridge events
	Auto    bool           // and these may contain by themselves, where a route says delivery: auto
}

// WantsKey reports whether the webhook is let in by a key of its own.
func (w Webhook) WantsKey() bool {
	return (w.Events || len(w.Actions) > 0) && w.ID != approvals.DirectWebhook
}

// Reader returns the reader of events for this configuration.
func (c Config) Reader() finding.Reader {
	return finding.Reader{Routing: c.Alerts, Org: c.Org, AutoWebhooks: c.webhooksThat(func(w Webhook) bool { return w.Auto })}
}

// EventWebhooks returns the IDs of the webhooks that may send events.
func (c Config) EventWebhooks() []string {
	return c.webhooksThat(func(w Webhook) bool { return w.Events })
}

func (c Config) webhooksThat(may func(Webhook) bool) []string {
	var ids []string
	for _, w := range c.Webhooks {
		if may(w) {
			ids = append(ids, w.ID)
		}
	}
	return ids
}

// grants are what webhooks may ask for, of those that may.
func grants(hooks []Webhook) (m map[string]approvals.WebhookGrant) {
	for _, w := range hooks {
		if len(w.Actions) > 0 {
			if m == nil {
				m = map[string]approvals.WebhookGrant{}
			}
			m[w.ID] = approvals.WebhookGrant{Actions: w.Actions, Owners: w.Owners}
		}
	}
	return m
}

// autoEligible are the actions that may run by one click, or by themselves.
func autoEligible() (names []string) {
	for _, a := range all.Actions {
		if s := a.Spec(); s.AutoEligible(actions.Call{Action: s.Name}) {
			names = append(names, string(s.Name))
		}
	}
	return names
}

func (c *checker) alerts(section *value, policy approvals.Policy) finding.Routing {
	a := finding.Routing{MockSources: section.at("mock_sources").yes(), AutoPerHour: defaultAutoPerHour}
	if n, ok := section.at("auto_per_hour").integer(); ok {
		a.AutoPerHour = n
	}
	a.AutoPerHourTotal = autoAccounts * a.AutoPerHour
	if n, ok := section.at("auto_per_hour_total").integer(); ok {
		a.AutoPerHourTotal = n
	}
	routes := section.at("routes").items()
	for _, v := range routes {
		r := c.route(v, policy)
		r.Call, r.CallFrom = c.call(v.at("call"), policy)
		first := slices.IndexFunc(a.Routes, func(o finding.Route) bool { return o.Match.Covers(r.Match) })
		if first >= 0 && !c.hasProblem(v.at("match")) && !c.hasProblem(routes[first].at("match")) {
			c.add(v, "can never match", fmt.Sprintf("the route on line %d takes all that it would: put this one before it", routes[first].line))
		}
		a.Routes = append(a.Routes, r)
	}
	return a
}

// hasProblem reports whether a value, or one in it, has a problem already.
func (c *checker) hasProblem(v *value) bool {
	if v == nil || c.settled[v.field] {
		return true
	}
	for _, f := range v.fields {
		if c.settled[f.field] {
			return true
		}
	}
	return false
}

func (c *checker) route(v *value, policy approvals.Policy) finding.Route {
	r := finding.Route{
		Match:    finding.Match{Source: finding.Source(v.at("match", "source").text()), Type: v.at("match", "type").text()},
		Delivery: finding.Propose,
		Channel:  v.at("channel").text(),
	}
	r.Match.MinSeverity, _ = v.at("match", "min_severity").number()
	if d := v.at("delivery").text(); d != "" {
		r.Delivery = finding.Delivery(d)
	}
	if n, ok := v.at("approvals").integer(); ok {
		r.OneClick = n == 0
	}
	for _, s := range v.at("suggest").items() {
		r.Suggest = append(r.Suggest, c.suggestion(s))
	}
	if r.Delivery == finding.Notify {
		for _, key := range []string{"suggest", "approvals"} {
			if at := v.at(key); at != nil {
				c.add(at, "goes with no button: delivery is notify", "remove one of the two")
			}
		}
	}
	if r.Delivery == finding.Auto {
		c.onlyAutoEligible(v, v.at("delivery"), "delivery: auto", "use delivery: propose", policy)
	}
	if r.OneClick {
		c.onlyAutoEligible(v, v.at("approvals"), "approvals: 0", "remove it", policy)
	}
	return r
}

// nobody is the call of a route that calls nobody.
const nobody = "nobody"

// call reads whom an alert's card mentions: groups, people, here beside them, or nobody.
// If it is left out, those who may ask for containments are called, from high on.
func (c *checker) call(v *value, policy approvals.Policy) (names []string, from float64) {
	if v == nil {
		return []string{policy.Default.Requesters}, finding.High
	}
	listed := v.items()
	if !v.isList {
		listed = []*value{v}
	}
	for _, item := range listed {
		name := item.text()
		_, group := policy.Roster.Groups[name]
		_, person := policy.Roster.ByID(name)
		switch {
		case group, person, name == finding.Here:
			names = append(names, name)
		case name == nobody && len(listed) > 1:
			c.add(item, "goes with nobody else", "remove it, or the others")
		case name != "" && name != nobody && len(policy.Roster.Groups) > 0:
			c.add(item, quoted(name)+" is neither a group nor the id of anybody in people", oneOf(name, slices.Collect(maps.Keys(policy.Roster.Groups))))
		}
	}
	if len(names) == 1 && names[0] == finding.Here { // it reaches only who is active
		names = append(names, policy.Default.Requesters)
	}
	return names, 0
}

// suggestion reads the options as the action checks them where they are typed.
func (c *checker) suggestion(v *value) finding.Suggestion {
	call := actions.Call{Action: actions.Name(v.at("action").text())}
	a, known := all.Actions.Lookup(call.Action)
	if !known {
		return finding.Suggestion{Action: call.Action} // reported already
	}
	for key, option := range v.entries() {
		if key == "action" {
			continue
		}
		if !slices.Contains(a.Spec().Options, key) {
			c.add(option, fmt.Sprintf("is not an option of %s", call.Action), "remove it")
			continue
		}
		call = call.With(key, option.text())
	}
	var wrong actions.ParseErrors
	a.Spec().CheckOptions(&call, &wrong)
	for _, m := range wrong.List {
		if option := v.at(m.Field); option != nil {
			c.add(option, m.Problem, m.Hint)
		}
	}
	return finding.Suggestion{Action: call.Action, Options: call.Options}
}

// onlyAutoEligible refuses containment without a second person, unless the route itself
// lists actions that are all eligible, and for one of them the source's findings can be
// confirmed. without says how the route asks a second person.
func (c *checker) onlyAutoEligible(route, why *value, what, without string, policy approvals.Policy) {
	src, suggest := route.at("match", "source"), route.at("suggest")
	confirmed := func(n actions.Name) bool { return finding.Confirmable(finding.Source(src.text()), n) }
	known, some := src.text() != "" && !c.hasProblem(src), confirmed(actions.DeactivateKey)
	switch {
	case known && !some:
		c.add(why, "can't be: nobody can be asked whether what "+src.text()+" reports is true", without+", then a second person approves; what GuardDuty finds comes by source: guardduty, too")
	case suggest == nil:
		c.add(why, what+" needs suggest", "write out which actions")
	}
	may, eligible, one := autoEligible(), suggest != nil, false
	for _, s := range suggest.items() {
		a := s.at("action")
		one = one || confirmed(actions.Name(a.text()))
		call := actions.Call{Action: actions.Name(a.text())}
		for key, option := range s.entries() {
			call = call.With(key, option.text())
		}
		if known, ok := all.Actions.Lookup(call.Action); ok && known.Spec().AutoEligible(call) {
			if policy.For(approvals.Intent{Call: call}).RequireSTS {
				c.add(why, "can't be: policy wants a vote from the command line (require_sts_vote) for "+a.text(), without+", then a second person approves")
			}
			continue
		}
		if eligible = false; a.text() != "" {
			c.add(a, "is irreversible or account-wide and can't be suggested with "+what, "what can: "+strings.Join(may, ", "))
		}
	}
	if known && some && eligible && !one {
		c.add(why, "can't be: of what "+src.text()+" reports, IAM confirms no more than that the key exists",
			"suggest "+string(actions.DeactivateKey)+"; or "+without+", then a second person approves")
	}
}

func (c *checker) webhooks(section *value, policy approvals.Policy) []Webhook {
	var hooks []Webhook
	ids := unique{}
	for _, v := range section.items() {
		w := Webhook{ID: v.at("id").text(), Owners: v.at("owners").texts(), Events: v.at("events").yes(), Auto: v.at("auto").yes()}
		c.once(ids, w.ID, v.at("id"), "belongs to another webhook already")
		for _, a := range v.at("actions").items() {
			w.Actions = append(w.Actions, actions.Name(a.text()))
		}
		if v != nil && v.fields != nil && v.at("actions") == nil && !w.Events {
			c.add(v, "may do nothing", "give it actions: […] or events: true")
		}
		if w.Events && w.ID == approvals.DirectWebhook {
			c.add(v.at("events"), "can't be: "+approvals.DirectWebhook+" is who calls the function itself, and brings no events", "use another ID")
		}
		if w.Auto && !w.Events {
			c.add(v.at("auto"), "is about events, and this webhook may send none", "add events: true, or remove auto")
		}
		if len(w.Owners) > 0 && len(w.Actions) == 0 {
			c.add(v.at("owners"), "is about what a webhook asks for, and this one may ask for nothing", "add actions, or remove owners")
		}
		for _, owner := range v.at("owners").items() {
			if _, known := policy.Roster.ByID(owner.text()); !known && len(policy.Roster.People) > 0 && owner.text() != "" {
				c.add(owner, quoted(owner.text())+" is not the id of anybody in people", "owners hold the key, and may not approve what it asks for")
			}
		}
		c.approvable(v, w, policy)
		hooks = append(hooks, w)
	}
	return hooks
}

// approvable refuses a webhook whose requests could never be approved.
func (c *checker) approvable(v *value, w Webhook, policy approvals.Policy) {
	policy.Webhooks = grants([]Webhook{w})
	for _, a := range v.at("actions").items() {
		i := approvals.Intent{Call: actions.Call{Action: actions.Name(a.text())}}
		if len(policy.Roster.Groups[policy.For(i).Approvers]) == 0 || a.text() == "" {
			continue // reported already
		}
		d := policy.Admit(i, actions.Identity{}, approvals.WebhookRequester(w.ID), approvals.TwoPerson)
		if d.Accept {
			continue
		}
		for _, no := range d.Refusal.Codes {
			switch no.Code {
			case approvals.TooFewEligible:
				hint := "add people to " + clip(no.Group)
				if len(w.Owners) == 0 {
					hint += ", or name owners, who hold the key and don't approve: then the usual number is enough"
				}
				c.add(a, fmt.Sprintf("can't be satisfied: %d must approve what this webhook asks for and %d can", no.Need, no.Have), hint)
			case approvals.NoSigner:
				c.add(a, "can't be satisfied: nobody who may approve what this webhook asks for has people[].iam", "give iam to people of "+clip(no.Group))
			}
		}
	}
}
