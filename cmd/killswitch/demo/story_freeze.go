package demo

import (
	"context"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

var freezing = wanted{action: actions.ApplySCP, target: company.Sandbox}

var freeze = &story{
	ID: "freeze", Title: "Freeze a whole account",
	Summary: "Somebody starts machines all over the sandbox. One service control policy stops everybody in the account but the responders, until it is clean.",
	Steps: []step{
		deed("In the sandbox an attacker uses a session of the role experiments to start machines. How many other ways in there are, nobody knows.", func(_ context.Context, p *play) error {
			p.bad = p.Session(company.Experiments, "attacker", "attacker at "+from, "ec2:RunInstances", "arn:aws:ec2:us-east-1:333333333333:instance/*")
			p.good = p.Session(company.BreakGlass, "dana", "Dana, by the break-glass role", "ec2:TerminateInstances", "arn:aws:ec2:us-east-1:333333333333:instance/*")
			p.good.Ours = true
			p.tries(p.bad, true)
			return nil
		}),
		types(company.Alice, "Alice asks to freeze the account. The card says what the policy denies, and whom it spares. Nothing has changed yet.",
			`apply_scp sandbox reason="machines that nobody knows"`, asked(freezing)),
		clicks(company.Bob, "Bob, a second responder, approves.", "Approve", "approve", card(freezing, approvals.Pending), is(freezing, contained...)),
		deed("The attacker tries again, and is denied.", func(_ context.Context, p *play) error {
			p.tries(p.bad, false)
			return nil
		}),
		event("The break-glass role is exempt: Dana deletes what the attacker started.", func(_ context.Context, p *play) error {
			p.tries(p.good, true)
			return nil
		}),
		passes("An hour later the account is clean, and the attacker's session has expired.", time.Hour),
		clicks(company.Carol, "Carol asks to thaw the account.", "Undo", "undo", card(freezing, contained...), asked(freezing.back())),
		clicks(company.Alice, "Alice approves.", "Approve", "approve", card(freezing.back(), approvals.Pending), is(freezing, approvals.Undone)),
	},
	Verdict: "The frozen account denied the attacker everything and let the break-glass role work. AWS is, byte for byte, as it was before; the attacker's session has expired.",
	Check: func(p *play) {
		p.tries(p.bad, false)
		p.expect(p.asBefore(), "AWS is not as it was before")
	},
}
