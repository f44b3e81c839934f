package demo

import (
	"context"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

var revokingWeb = wanted{action: actions.RevokeSessions, target: "/web-tier-role"}

var stolenRole = &story{
	ID: "stolen-role", Title: "Stolen role credentials",
	Summary: "Credentials of a web server's role are used from abroad. GuardDuty's finding becomes a card; one click and one approval revoke them, one more take it back.",
	Steps: []step{
		deed("An attacker has got the credentials of web-1's role out of the server and reads customers' data with them.", steal),
		event("GuardDuty notices that credentials of an instance are used from outside AWS. The finding becomes a card with the containments that fit.", findStolen),
		clicks(company.Alice, "Alice asks for what the card offers: revoke the role's sessions. Nothing has changed yet.", "Revoke sessions: web-tier-role", approvals.Propose(actions.RevokeSessions),
			alertAbout("web-tier-role"), asked(revokingWeb)),
		clicks(company.Bob, "Bob, a second responder, approves. Alice could not: nobody approves their own request.", "Approve", "approve",
			card(revokingWeb, approvals.Pending), is(revokingWeb, contained...)),
		deed("The attacker tries again, and is denied.", func(_ context.Context, p *play) error {
			p.tries(p.bad, false)
			return nil
		}),
		event("A minute later web-1 has got new credentials: they work, since only older sessions are denied.", func(ctx context.Context, p *play) error {
			_ = p.Advance(ctx, time.Minute)
			p.good = p.Session(company.WebRole, company.Web, "web-1, since "+p.Now().UTC().Format("15:04"), "s3:GetObject", customers)
			p.good.Ours = true
			p.tries(p.good, true)
			return ctx.Err()
		}),
		passes("An hour later the hole is closed, and what was stolen has expired.", time.Hour),
		clicks(company.Carol, "Carol asks to take the deny back.", "Undo", "undo", card(revokingWeb, contained...), asked(revokingWeb.back())),
		clicks(company.Alice, "Alice approves.", "Approve", "approve", card(revokingWeb.back(), approvals.Pending), is(revokingWeb, approvals.Undone)),
	},
	Verdict: "The stolen session got AccessDenied until it expired. The account is, byte for byte, as it was before.",
	Check: func(p *play) {
		p.tries(p.bad, false)
		p.expect(p.asBefore(), "AWS is not as it was before")
	},
}

func steal(_ context.Context, p *play) error {
	p.bad = p.Session(company.WebRole, company.Web, "attacker at "+from, "s3:GetObject", customers)
	p.tries(p.bad, true)
	return nil
}

func findStolen(ctx context.Context, p *play) error {
	return p.EmitEvent(ctx, "stolen-role", 0, p.stolen())
}

// stolen are the values of the event about web-1's credentials.
func (p *play) stolen() map[string]string {
	return map[string]string{"KEY": p.bad.AccessKeyID(), "ROLEID": p.before.Accounts[company.Prod].Roles["web-tier-role"].ID}
}
