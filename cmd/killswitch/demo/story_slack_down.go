package demo

import (
	"context"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

var revokingApp = wanted{action: actions.RevokeSessions, target: "/app-role"}

var slackDown = &story{
	ID: "slack-down", Title: "Slack is down",
	Summary: "Slack takes what people type and click, but answers nothing that Killswitch wants from it. What was said counts all the same; the cards follow when Slack is back.",
	Steps: []step{
		deed("An attacker reads customers' data as app-role.", func(_ context.Context, p *play) error {
			p.bad = p.Session(company.AppRole, "attacker", "attacker at "+from, "s3:GetObject", customers)
			p.tries(p.bad, true)
			return nil
		}),
		event("Just now Slack's API fails: no message can be posted or changed.", down),
		types(company.Alice, "Alice types all the same. No card comes, but her request is stored, and planned.",
			`revoke_sessions prod/app-role reason="reads customer data from abroad"`, asked(revokingApp)),
		event("A minute later Slack works again: the card that was missed is posted.", func(ctx context.Context, p *play) error {
			p.expect(!posted(ctx, p, revokingApp), "a card was posted while Slack was down")
			p.SetSlack(company.SlackOK)
			_ = p.Advance(ctx, time.Minute)
			p.expect(posted(ctx, p, revokingApp), "no card was posted when Slack was back")
			return ctx.Err()
		}),
		event("And fails again.", down),
		clicks(company.Bob, "Bob clicks Approve on the card that he sees. It can't change, but AWS does: look at the role.", "Approve", "approve",
			card(revokingApp, approvals.Pending), is(revokingApp, contained...)),
		deed("The attacker tries again, and is denied: Slack's trouble holds up no containment.", func(_ context.Context, p *play) error {
			p.tries(p.bad, false)
			return nil
		}),
		event("Slack is back for good: the card says what has happened meanwhile.", func(ctx context.Context, p *play) error {
			p.SetSlack(company.SlackOK)
			_ = p.Advance(ctx, time.Minute)
			return ctx.Err()
		}),
	},
	Verdict: "The attacker gets AccessDenied since Bob's click, though Slack was down; the card has caught up.",
	Check: func(p *play) {
		p.tries(p.bad, false)
		r, ok := p.newest(revokingApp, contained...)
		p.expect(ok && r.Card.Revision == r.Revision, "the card has not caught up")
	},
}

func down(_ context.Context, p *play) error {
	p.SetSlack(company.SlackDown)
	return nil
}

// posted reports whether a request's card is in the channel.
func posted(ctx context.Context, p *play, w wanted) bool {
	p.look(ctx)
	r, ok := p.newest(w)
	return ok && r.Card.TS != ""
}
