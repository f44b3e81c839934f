package approvals_test

import (
	"slices"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

const soar = "webhook.soar"

// byKey is bo's approval of what the webhook soar asks for, which nobody owns: it counts, and is not enough.
func byKey(owners ...string) *ballot {
	b := newBallot()
	b.policy.Webhooks = map[string]approvals.WebhookGrant{"soar": {Actions: []actions.Name{actions.RevokeSessions}, Owners: owners}}
	b.request.Requester = approvals.Actor{Person: soar}
	b.request.Need, b.request.Eligible = 2, []string{"ana", "bo", "cy"}
	if len(owners) > 0 {
		b.request.Need = 1
	}
	return b
}

// TestAKeyAndOnePersonAreNotTwo: whoever holds a webhook's key may be who approves. So it takes two, or
// one of those who don't hold it; never fewer, however the configuration and the row read.
func TestAKeyAndOnePersonAreNotTwo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		owners []string
		alter  func(*ballot)
		quorum bool
		code   actions.Code
	}{
		"one, where nobody is named":     {nil, func(*ballot) {}, false, ""},
		"the second":                     {nil, func(b *ballot) { b.request.Votes = []approvals.Vote{vote("cy")} }, true, ""},
		"the same twice":                 {nil, func(b *ballot) { b.request.Votes = []approvals.Vote{vote("bo")} }, false, approvals.DoubleVote},
		"one, and the row wants no more": {nil, func(b *ballot) { b.request.Need = 0 }, false, ""},
		"one, and the policy wants none": {nil, func(b *ballot) { b.request.Need = 0; b.entry(func(e *approvals.ActionPolicy) { e.Approvals = 0 }) }, false, ""},
		"two, and the policy wants two": {nil, func(b *ballot) {
			b.request.Votes = []approvals.Vote{vote("cy")}
			b.entry(func(e *approvals.ActionPolicy) { e.Approvals = 2 })
		}, false, ""},
		"one, who does not hold it":             {[]string{"cy"}, func(*ballot) {}, true, ""},
		"who holds it":                          {[]string{"bo"}, func(*ballot) {}, false, approvals.KeyOwner},
		"who holds it, as the last of two":      {[]string{"bo"}, func(b *ballot) { b.request.Need = 2; b.request.Votes = []approvals.Vote{vote("cy")} }, false, approvals.KeyOwner},
		"who holds it by now":                   {[]string{"cy", "bo"}, func(b *ballot) { b.request.Eligible = []string{"ana", "bo"} }, false, approvals.KeyOwner},
		"one, and the policy wants two":         {[]string{"cy"}, func(b *ballot) { b.entry(func(e *approvals.ActionPolicy) { e.Approvals = 2 }) }, false, ""},
		"one, and nobody is named by now":       {nil, func(b *ballot) { b.request.Need = 1 }, false, ""},
		"one, and the policy wants none of it":  {[]string{"cy"}, func(b *ballot) { b.request.Need = 0; b.entry(func(e *approvals.ActionPolicy) { e.Approvals = 0 }) }, true, ""},
		"the requester itself, by another name": {nil, func(b *ballot) { b.vote = vote(soar) }, false, approvals.UnknownPerson},
	} {
		b := byKey(c.owners...)
		c.alter(b)
		d := b.policy.Decide(b.request, approvals.Approve, b.vote, b.now)
		if d.Accept != (c.code == "") || d.Quorum != c.quorum || c.code != "" && !slices.ContainsFunc(d.Refusal.Codes, func(v actions.Violation) bool { return v.Code == c.code }) {
			t.Errorf("%s: %+v %v", name, d, d.Refusal)
		}
		for _, id := range c.owners {
			if slices.Contains(d.Waiting, id) {
				t.Errorf("%s: %s is waited for", name, id)
			}
		}
	}
	b := byKey("bo")
	b.kind = approvals.Deny
	if d := b.policy.Decide(b.request, b.kind, b.vote, b.now); !d.Accept {
		t.Errorf("who holds the key may not deny: %v", d.Refusal)
	}
}

// TestWhatAKeyMayAskFor: what its grant lists, once enough may approve it; never an undo, never without people.
func TestWhatAKeyMayAskFor(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		owners []string
		alter  func(*ballot)
		mode   approvals.ApprovalMode
		need   int
		code   actions.Code
	}{
		"what is listed":               {nil, func(*ballot) {}, approvals.TwoPerson, 2, ""},
		"with an owner":                {[]string{"bo"}, func(*ballot) {}, approvals.TwoPerson, 1, ""},
		"by one click":                 {nil, func(*ballot) {}, approvals.OneClick, 2, ""},
		"by itself":                    {nil, func(*ballot) {}, approvals.Automatic, 2, ""},
		"another action":               {nil, func(b *ballot) { b.request.Intent.Call.Action = actions.DeleteRole }, approvals.TwoPerson, 2, approvals.NotGranted},
		"an undo":                      {nil, func(b *ballot) { b.request.Intent.Undo = "KS-4G7QX2M9ZT0B" }, approvals.TwoPerson, 2, approvals.NotGranted},
		"of another key":               {nil, func(b *ballot) { b.request.Requester.Person = "webhook.other" }, approvals.TwoPerson, 2, approvals.NotGranted},
		"of no key":                    {nil, func(b *ballot) { b.request.Requester.Person = "webhook." }, approvals.TwoPerson, 2, approvals.NotGranted},
		"of a webhook in other case":   {nil, func(b *ballot) { b.request.Requester.Person = "Webhook.soar" }, approvals.TwoPerson, 1, approvals.UnknownPerson},
		"with one who may approve":     {nil, func(b *ballot) { b.policy.Roster.Groups["leads"] = []string{"bo"} }, approvals.TwoPerson, 2, approvals.TooFewEligible},
		"with owners alone":            {[]string{"ana", "bo", "cy"}, func(*ballot) {}, approvals.TwoPerson, 1, approvals.TooFewEligible},
		"with a policy of no approval": {[]string{"bo"}, func(b *ballot) { b.entry(func(e *approvals.ActionPolicy) { e.Approvals = 0 }) }, approvals.TwoPerson, 1, ""},
		"where glass may be broken": {[]string{"ana", "bo", "cy"}, func(b *ballot) {
			b.entry(func(e *approvals.ActionPolicy) { e.BreakGlassAfter = time.Minute })
		}, approvals.TwoPerson, 1, approvals.TooFewEligible},
	} {
		b := byKey(c.owners...)
		c.alter(b)
		d := b.policy.Admit(b.request.Intent, actions.Identity{}, b.request.Requester.Person, c.mode)
		if d.Accept != (c.code == "") || d.Need != c.need || c.code != "" && d.Refusal.Codes[0].Code != c.code || d.Short != nil {
			t.Errorf("%s: %+v %v", name, d, d.Refusal)
		}
	}
	if e := byKey().policy.ForRequester(byKey().request.Intent, "ana"); e.Approvals != 1 {
		t.Errorf("a person's request needs %d", e.Approvals)
	}
}

// TestPersonOfAWebhooksName: what a person of the same ID asks for has no owners.
func TestPersonOfAWebhooksName(t *testing.T) {
	p := approvals.Policy{Webhooks: map[string]approvals.WebhookGrant{"carol": {Actions: []actions.Name{actions.RevokeSessions}, Owners: []string{"bob"}}}}
	if d := p.Admit(approvals.Intent{Call: actions.Call{Action: actions.RevokeSessions}}, actions.Identity{}, "carol", approvals.TwoPerson); len(d.Owners) != 0 {
		t.Errorf("owners %v", d.Owners)
	}
	if d := p.Admit(approvals.Intent{Call: actions.Call{Action: actions.RevokeSessions}}, actions.Identity{}, approvals.WebhookRequester("carol"), approvals.TwoPerson); len(d.Owners) != 1 {
		t.Errorf("owners %v", d.Owners)
	}
}
