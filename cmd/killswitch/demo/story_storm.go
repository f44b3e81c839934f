package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

// findings is how many there are in the storm, beside the one that matters.
const findings = 240

var storm = &story{
	ID: "storm", Title: "A storm of findings",
	Summary: "240 findings within seconds, and one of them matters. The channel stays readable, none is lost, and the containment does not wait for the others.",
	Steps: []step{
		deed("An attacker lets hundreds of machines of the sandbox guess passwords. Meanwhile they read customers' data with credentials of web-1.", steal),
		event("GuardDuty reports 240 machines at once. Slack takes a message a second: the first findings get cards, one and a half seconds apart.", func(ctx context.Context, p *play) error {
			for i := range findings {
				values := map[string]string{"INSTANCE": fmt.Sprintf("i-0bad%013d", i), "IP": fmt.Sprintf("10.30.%d.%d", i/250, i%250+1)}
				if err := p.EmitEvent(ctx, "storm", 0, values); err != nil {
					return err
				}
				if i == 2*findings/3 { // the one that matters
					if err := findStolen(ctx, p); err != nil {
						return err
					}
				}
			}
			return nil
		}),
		passes("Ten seconds later they are sorted: what there is room for gets a card, the worst first, and a digest has the others. The worst is no guessed password.", 11*time.Second),
		clicks(company.Alice, "Alice asks for what its card offers, while more cards come in.", "Revoke sessions: web-tier-role", approvals.Propose(actions.RevokeSessions), alertAbout("web-tier-role"), asked(revokingWeb)),
		clicks(company.Bob, "Bob approves. No alert goes before a containment.", "Approve", "approve", card(revokingWeb, approvals.Pending), is(revokingWeb, contained...)),
		deed("The attacker tries again, and is denied.", func(_ context.Context, p *play) error {
			p.tries(p.bad, false)
			return nil
		}),
		passes("A minute later the storm is over.", time.Minute),
		clicks(company.Carol, "Carol opens the digest's list.", "Show", "alerts", digest, func(p *play) bool { return p.shows(company.Carol, "Alerts 1 to") }),
		clicks(company.Carol, "Carol has one of them posted: each can be had.", "Show card", "alert", listed, func(p *play) bool { return p.brought() == 1 }),
	},
	Verdict: "The one that matters was contained at once, however many others there were. Of 241 findings none is lost: each has a card, or is in a digest from which it can be had.",
	Check: func(p *play) {
		p.tries(p.bad, false)
		n := len(p.cards()) - p.brought() // which are in the digest, too
		for _, m := range p.Slack.Messages(company.Channel) {
			var more int
			if _, err := fmt.Sscanf(m.Text, "%d more alerts", &more); err == nil {
				n += more
			}
		}
		p.expect(n == findings+1, fmt.Sprintf("%d findings can be had, not %d", n, findings+1))
	},
}

// cards are the IDs of the alerts that have one.
func (p *play) cards() (ids []string) {
	for _, m := range p.Slack.Messages(company.Channel) {
		if i := strings.Index(m.Text, "AL-"); i >= 0 && m.ThreadTS == "" && m.EphemeralTo == "" {
			ids = append(ids, m.Text[i:])
		}
	}
	return ids
}

// brought counts the cards of alerts that are in a digest's list that somebody
// has opened.
func (p *play) brought() (n int) {
	for _, id := range p.cards() {
		if p.message(func(m slackfake.Message) bool { return m.EphemeralTo != "" && strings.Contains(string(m.Blocks), id) }) != "" {
			n++
		}
	}
	return n
}
