package demo

import (
	"context"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

var isolating = wanted{action: actions.IsolateInstance, target: company.Crawler}

var isolation = &story{
	ID: "instance", Title: "A compromised instance",
	Summary: "A server looks up a mining pool. It is cut off from the network and from its permissions, kept as evidence, and put back when it is clean.",
	Steps: []step{
		deed("Somebody runs a miner on crawler-7, and uses the credentials that the machine's role has there.", func(_ context.Context, p *play) error {
			p.bad = p.Session(company.CrawlerRole, company.Crawler, "miner on crawler-7", "s3:GetObject", customers)
			p.bad.Session = p.bad.With("ec2:SourceInstanceARN", "arn:aws:ec2:us-east-1:222222222222:instance/"+company.Crawler)
			p.tries(p.bad, true)
			return nil
		}),
		event("GuardDuty has seen it ask for a mining pool's address.", func(ctx context.Context, p *play) error {
			return p.EmitEvent(ctx, "instance", 0, nil)
		}),
		clicks(company.Alice, "Alice asks to isolate the instance. The card lists each step, and what it does not stop.", "Isolate instance: "+company.Crawler, approvals.Propose(actions.IsolateInstance),
			alertAbout(company.Crawler), asked(isolating)),
		clicks(company.Bob, "Bob approves: security groups, instance profile and Auto Scaling change, each read back.", "Approve", "approve",
			card(isolating, approvals.Pending), is(isolating, contained...)),
		deed("The miner reaches nobody, and the machine's credentials are good for nothing.", func(_ context.Context, p *play) error {
			p.tries(p.bad, false)
			p.expect(!p.talks(), "the instance reaches the network")
			return nil
		}),
		passes("An hour later the disk has been looked at and cleaned; the credentials that were out have expired.", time.Hour),
		clicks(company.Carol, "Carol asks to put the machine back.", "Undo", "undo", card(isolating, contained...), asked(isolating.back())),
		clicks(company.Bob, "Bob approves.", "Approve", "approve", card(isolating.back(), approvals.Pending), is(isolating, approvals.Undone)),
	},
	Verdict: "While it was isolated the instance could neither talk nor call AWS, and nobody could terminate it. Now it is, byte for byte, as it was before.",
	Check: func(p *play) {
		p.tries(p.bad, false)
		p.expect(p.talks(), "the instance does not reach the network")
		p.expect(p.asBefore(), "AWS is not as it was before")
	},
}

// talks reports whether crawler-7 reaches anybody.
func (p *play) talks() bool {
	return p.AWS.Account(company.Prod).Region(company.Region).CanTalk(company.Crawler)
}
