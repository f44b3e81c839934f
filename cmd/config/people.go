package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// people are the human beings. What tells two of them apart must belong to one
// alone, whatever its case: approvals count people.
func (c *checker) people(section *value, o actions.Org) []approvals.Person {
	var people []approvals.Person
	ids, users, principals := unique{}, unique{}, unique{}
	for _, v := range section.items() {
		p := approvals.Person{
			ID:    v.at("id").text(),
			Name:  v.at("name").text(),
			Slack: v.at("slack").text(),
			IAM:   v.at("iam").texts(),

			Principals: v.at("principals").texts(),
		}
		if strings.EqualFold(p.ID, approvals.AutomaticRequester) {
			c.add(v.at("id"), "stands for what nobody asked for", "choose another ID")
		}
		if _, hook := approvals.RequestingWebhook(strings.ToLower(p.ID)); hook {
			c.add(v.at("id"), "stands for what a webhook asks for", "choose an ID that does not begin so")
		}
		c.reserved(p.ID, v.at("id"))
		c.once(ids, strings.ToLower(p.ID), v.at("id"), "belongs to another person already")
		c.once(users, p.Slack, v.at("slack"), "belongs to another person already")
		for _, arn := range v.at("iam").items() {
			c.once(principals, strings.ToLower(arn.text()), arn, "belongs to a person already")
			c.checkPartition(arn, o.Partition)
			if parts := strings.SplitN(arn.text(), ":", 6); len(parts) == 6 && o.HubAccount != "" && !slices.Contains(o.IdentityAccounts, parts[4]) {
				c.add(arn, "is in account "+parts[4]+": who administers that account could make such a principal, and vote", "use one of the hub account, or name the account in aws.identity_accounts, which protects it")
			}
		}
		for _, arn := range v.at("principals").items() {
			c.checkPartition(arn, o.Partition)
		}
		people = append(people, p)
	}
	return people
}

// reserved refuses a name that has a meaning in a route's call.
func (c *checker) reserved(name string, v *value) {
	if name == finding.Here || name == nobody {
		c.add(v, quoted(name)+" has a meaning of its own in call of a route", "choose another name")
	}
}

// groups are who may do what, and the Slack user groups that narrow them.
func (c *checker) groups(section *value, people []approvals.Person) (members map[string][]string, usergroups map[string]string) {
	members, usergroups = map[string][]string{}, map[string]string{}
	known := map[string]bool{}
	for _, p := range people {
		known[p.ID] = true
	}
	for name, v := range section.entries() {
		c.reserved(name, v)
		listed := unique{}
		for _, m := range v.at("people").items() {
			id := m.text()
			if listed[id] == nil {
				members[name] = append(members[name], id)
			}
			c.once(listed, id, m, "is listed twice")
			if id != "" && !known[id] && len(known) > 0 {
				c.add(m, quoted(id)+" is not the id of anybody in people", c.closest(id, known))
			}
		}
		if g := v.at("slack_usergroup").text(); g != "" {
			usergroups[name] = g
		}
	}
	return members, usergroups
}

// closest is didYouMean with bounded work: nobody reads the hint of the 100th problem.
func (c *checker) closest(id string, known map[string]bool) string {
	if len(c.problems) >= 100 {
		return ""
	}
	return didYouMean(id, slices.Sorted(maps.Keys(known)))
}
