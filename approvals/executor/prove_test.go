package executor_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// lenient is a verifier that takes everything for genuine.
type lenient struct{}

func (lenient) Verify(context.Context, approvals.Evidence) error { return nil }

const deleteRole = "delete_role " + appRole + ` confirm=app-role reason="made by the intruder"`

// otherCall is a call that nobody asked for.
var otherCall = actions.Call{Action: actions.DetachPolicies, Target: appRole, Account: prod}

// TestForgedCommandsAreRefused: a request's row starts nothing if the evidence
// beside it is not a command that a person of the roster typed, or says something else.
func TestForgedCommandsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		forge func(*world, *word)
		why   string
	}{
		"evidence of another request":    {func(_ *world, d *word) { d.asks = func(r *approvals.Request) { r.ID = "KS-4G7QX2M9ZT0B" } }, "it is another request's"},
		"no evidence":                    {func(_ *world, d *word) { d.asks = func(r *approvals.Request) { r.Evidence = strings.Repeat("a", 64) } }, "there is none"},
		"another intent in the row":      {func(_ *world, d *word) { d.row.Intent.Call = otherCall }, "not what was asked for"},
		"an undo in the row":             {func(_ *world, d *word) { d.row.Intent.Undo = "KS-4G7QX2M9ZT0B" }, "not what was asked for"},
		"another reason in the row":      {func(_ *world, d *word) { d.row.Reason = "ticket 4712, it's stolen" }, "not what was asked for"},
		"another person in the row":      {func(_ *world, d *word) { d.row.Requester.Person = "carol" }, "not what was asked for"},
		"another time in the row":        {func(_ *world, d *word) { d.asks = func(r *approvals.Request) { r.Asked = r.Asked.Add(time.Minute) } }, "not what was asked for"},
		"a Slack user whom nobody knows": {func(_ *world, d *word) { d.user = nobody; d.row.Requester.Slack = nobody }, "nobody in the roster"},
		"no Slack user":                  {func(_ *world, d *word) { d.user = ""; d.row.Requester.Person = "alice" }, "nobody in the roster"},
		"a person outside the group":     {func(_ *world, d *word) { d.user = mallory }, "not_requester"},
		"a channel that is not listed":   {func(_ *world, d *word) { d.channel = "C02RANDOM" }, "a channel that is not listed"},
		"a direct message, of no list":   {func(w *world, d *word) { w.executor.Channels, d.channel = nil, "D02RANDOM" }, "a direct message"},
		"text that does not parse":       {func(_ *world, d *word) { d.text = "revoke_session " + appRole }, "does not parse"},
		"a verb that asks for nothing":   {func(_ *world, d *word) { d.text = "list" }, "list asks for nothing"},
		"a typed denial":                 {func(_ *world, d *word) { d.text = "deny KS-4G7QX2M9ZT0B" }, "deny asks for nothing"},
		"a typed approval":               {func(_ *world, d *word) { d.text = "approve KS-4G7QX2M9ZT0B" }, "approve asks for nothing"},
		"the undo of what there is not":  {func(_ *world, d *word) { d.text = "undo KS-4G7QX2M9ZT0B" }, "there is no request KS-4G7QX2M9ZT0B to undo"},
		"a form of nothing":              {func(_ *world, d *word) { d.kind = "view_submission" }, "it is not the form"},
		"a click in the form":            {func(_ *world, d *word) { d.kind, d.view, d.container = "block_actions", entered(appRole), "view" }, "it is not one click"},
		"a form that was closed":         {func(_ *world, d *word) { d.kind, d.view = "view_closed", entered(appRole) }, "view_closed asks for nothing"},
		"a form with another target":     {func(_ *world, d *word) { d.kind, d.view = "view_submission", entered(appRole+"-2") }, "not what was asked for"},
		"a form of a channel that is not listed": {func(_ *world, d *word) {
			d.kind, d.view = "view_submission", entered(appRole)
			d.view["private_metadata"] = "C02RANDOM.1"
		}, "a channel that is not listed"},
		"a form with no target": {func(_ *world, d *word) { d.kind, d.view = "view_submission", entered("") }, "does not parse"},
		"a form with a second target": {func(_ *world, d *word) {
			d.kind, d.view = "view_submission", entered(appRole)
			d.view["blocks"] = append(d.view["blocks"].([]block), field("target.2", "Target"))
		}, "is there twice"},
		"a form whose target is called a reason": {func(_ *world, d *word) {
			d.kind, d.view = "view_submission", entered(appRole)
			d.view["blocks"].([]block)[1] = field("target.1", "Reason")
		}, "another label"},
		"a signature of another secret":           {func(_ *world, d *word) { d.secret = "guessed" }, "the signature is not Slack's"},
		"a time that is none":                     {func(_ *world, d *word) { d.signed = timed("soon") }, "timestamp"},
		"a body of something else":                {func(_ *world, d *word) { d.signed = said("token=x") }, "neither a command nor an interaction"},
		"evidence of a kind that nobody verifies": {func(_ *world, d *word) { d.signed = kind("pigeon") }, `kind "pigeon"`},
		"an event, though somebody verifies it": {func(w *world, d *word) {
			w.executor.Verifiers[approvals.EventEvidence] = lenient{}
			d.signed = kind(approvals.EventEvidence)
		}, `kind "event"`},
		"a rule, though somebody verifies it": {func(w *world, d *word) {
			w.executor.Verifiers[approvals.RuleEvidence] = lenient{}
			d.signed = kind(approvals.RuleEvidence)
		}, "the rule can't be read"},
		"another workspace":          {func(_ *world, d *word) { d.team = "T99OTHER" }, "another workspace"},
		"an account that is off now": {func(w *world, _ *word) { w.executor.Org.ProtectedAccounts = []string{prod} }, "protected by the configuration"},
		"asked too long ago":         {func(w *world, d *word) { d.signed = timed(w.at(-31 * time.Minute)) }, "past_expiry"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			d := w.says(alice, revoke)
			c.forge(w, d)
			r := w.bring(d)
			w.withoutAWS(w.drain)
			w.refused(r, c.why)
		})
	}
	t.Run("and the same row with honest evidence waits for approval", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.state(w.types(alice, revoke), approvals.Pending)
		d := w.says(carol, revoke)
		d.kind, d.view = "view_submission", entered(appRole)
		r := w.bring(d)
		w.drain()
		w.state(r, approvals.Pending)
	})
}

// entered is the form with what makes it the command [revoke] for a target.
func entered(target string) block {
	text := func(value string) block { return block{"type": "plain_text_input", "value": value} }
	action := string(actions.RevokeSessions)
	return block{"callback_id": approvals.FormCallback, "private_metadata": channel + ".1", "title": block{"text": approvals.FormTitle}, "submit": block{"text": approvals.FormSubmit}, "blocks": []block{field("action.1", "Action"), field("target.1", "Target"), field("reason.1", "Reason")},
		"state": block{"values": block{"action.1": block{"e": block{"type": "static_select", "selected_option": block{"text": block{"text": action}, "value": action}}},
			"target.1": block{"e": text(target)}, "reason.1": block{"e": text("ticket 4711, it's stolen")}}}}
}

func field(id, label string) block {
	return block{"type": "input", "block_id": id, "label": block{"text": label}, "element": block{"action_id": "e"}}
}

// timed, said and kind alter evidence, and sign it anew where something else does not.
func timed(at string) func(*approvals.Evidence) {
	return func(e *approvals.Evidence) {
		e.Timestamp, e.Signature = at, approvals.SignSlack(signingSecret, at, e.Body)
	}
}

func said(body string) func(*approvals.Evidence) {
	return func(e *approvals.Evidence) {
		e.Body, e.Signature = body, approvals.SignSlack(signingSecret, e.Timestamp, body)
	}
}

func kind(k approvals.EvidenceKind) func(*approvals.Evidence) {
	return func(e *approvals.Evidence) { e.Kind = k }
}

// cards are forgeries of a click: what may not count on any card, whatever is asked
// with it. ACTION stands for the button's action_id in the reasons.
var cards = map[string]struct {
	forge func(*world, *word)
	why   string
}{
	"a signature of another secret":      {func(_ *world, d *word) { d.secret = "guessed" }, "the signature is not Slack's"},
	"a kind that nobody verifies":        {func(_ *world, d *word) { d.signed = kind("pigeon") }, `kind "pigeon"`},
	"a body of something else":           {func(_ *world, d *word) { d.signed = said("token=x") }, "neither a command nor an interaction"},
	"the workspace is another's":         {func(_ *world, d *word) { d.team = "T99OTHER" }, "another workspace"},
	"the user is of another workspace":   {func(_ *world, d *word) { d.userTeam = "T99OTHER" }, "another workspace"},
	"the digest of another call":         {func(_ *world, d *word) { d.actions[0].Value = approvals.Value(d.about.ID, strings.Repeat("0", 64)) }, "the button is another call's"},
	"no digest":                          {func(_ *world, d *word) { d.actions[0].Value = approvals.Value(d.about.ID, "") }, "the button is another call's"},
	"no request on the button":           {func(_ *world, d *word) { d.actions[0].Value = "4711." + d.about.Digest }, "the button names no request"},
	"no block that names the call":       {func(_ *world, d *word) { d.blocks = append(d.blocks[:1], d.blocks[2]) }, "the card did not show this call"},
	"two blocks that name the call":      {func(_ *world, d *word) { d.blocks = append(d.blocks, d.blocks[1]) }, "the card did not show this call"},
	"a block that names another call":    {func(_ *world, d *word) { d.blocks[1] = plainBlock(approvals.CallBlock, otherCall.String()) }, "the card did not show this call"},
	"a block of another name":            {func(_ *world, d *word) { d.blocks[1]["block_id"] = "head" }, "the card did not show this call"},
	"no block that says why":             {func(_ *world, d *word) { d.blocks = d.blocks[:2] }, "did not show who asked and why"},
	"a block that gives another reason":  {func(_ *world, d *word) { because(d, "ticket 4711, it's broken") }, "did not show who asked and why"},
	"a block that gives another number":  {func(_ *world, d *word) { because(d, strings.Replace(d.about.Reason, "1", "2", 1)) }, "did not show who asked and why"},
	"a block that leaves the number out": {func(_ *world, d *word) { because(d, strings.Replace(d.about.Reason, "4711", "", 1)) }, "did not show who asked and why"},
	"a block that names another requester": {func(_ *world, d *word) {
		d.blocks[2] = plainBlock(approvals.ReasonBlock, approvals.ReasonLine("carol", d.about.Reason))
	}, "did not show who asked and why"},
	"another app": {func(_ *world, d *word) { d.app = "A99EVIL" }, "it is from another app"},
	"a Home tab":  {func(_ *world, d *word) { d.container = "view" }, "it was not clicked on a message"},
	"no message":  {func(_ *world, d *word) { d.container = "" }, "it was not clicked on a message"},
	"no app":      {func(_ *world, d *word) { d.app = "" }, "it is from another app"},
}

func because(d *word, reason string) {
	d.blocks[2] = plainBlock(approvals.ReasonBlock, approvals.ReasonLine(d.about.Requester.Person, reason))
}

// TestForgedUndoClicksAreRefused: a click on Undo is a request only if it was
// made on the card of that very request.
func TestForgedUndoClicksAreRefused(t *testing.T) {
	t.Parallel()
	table := map[string]struct {
		forge func(*world, *word)
		why   string
	}{
		"a Slack user whom nobody knows":    {func(_ *world, d *word) { d.user = nobody; d.row.Requester.Slack = nobody }, "nobody in the roster"},
		"two buttons at once":               {func(_ *world, d *word) { d.actions = append(d.actions, d.actions[0]) }, "it is not one click"},
		"no button":                         {func(_ *world, d *word) { d.actions = nil }, "it is not one click"},
		"a button that asks for nothing":    {func(_ *world, d *word) { d.actions[0].ID = "details" }, "details asks for nothing"},
		"the button of an approval":         {func(_ *world, d *word) { d.actions[0].ID = "approve" }, "approve asks for nothing"},
		"a gentler action that there isn't": {func(_ *world, d *word) { d.actions[0].ID = approvals.Propose(actions.DetachPolicies) }, "propose:detach_policies asks for nothing"},
		"a gentler action of no name":       {func(_ *world, d *word) { d.actions[0].ID = "propose:" }, "propose: asks for nothing"},
		"a request that there is not": {func(_ *world, d *word) {
			d.actions[0].Value = approvals.Value("KS-4G7QX2M9ZT0B", d.about.Digest)
			d.row.Intent.Undo, d.row.Reason = "KS-4G7QX2M9ZT0B", approvals.UndoReason("KS-4G7QX2M9ZT0B")
		}, "there is no request KS-4G7QX2M9ZT0B"},
		"credentials that nobody asked to give back": {func(_ *world, d *word) { d.row.Intent.ReactivateKeys = true }, "not what was asked for"},
		"a reason of its own":                        {func(_ *world, d *word) { d.row.Reason = "all is well" }, "not what was asked for"},
		"another call in the row":                    {func(_ *world, d *word) { d.row.Intent.Call = otherCall }, "not what was asked for"},
		"another request in the row":                 {func(_ *world, d *word) { d.row.Intent.Undo = "KS-4G7QX2M9ZT0B" }, "not what was asked for"},
		"evidence that nobody signs": {func(w *world, d *word) {
			w.executor.Verifiers[approvals.EventEvidence] = lenient{}
			d.signed = kind(approvals.EventEvidence)
		}, `kind "event"`},
		"a rule, which nobody signs": {func(w *world, d *word) {
			w.executor.Verifiers[approvals.RuleEvidence] = lenient{}
			d.signed = kind(approvals.RuleEvidence)
		}, "the rule can't be read"},
	}
	for name, c := range cards {
		table["on a card: "+name] = c
	}
	for name, c := range table {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.contained(revoke)
			w.clears() // its re-checks
			d := w.button(alice, r, "undo")
			c.forge(w, d)
			u := w.bring(d)
			w.withoutAWS(w.drain)
			w.refused(u, c.why)
			w.state(r, approvals.Contained)
		})
	}
	for name, ask := range map[string]func(*world, approvals.Request) approvals.Request{
		"clicked": func(w *world, r approvals.Request) approvals.Request { return w.clicks(alice, r, "undo") },
		"typed":   func(w *world, r approvals.Request) approvals.Request { return w.types(alice, "undo "+r.ID) },
		"typed with a reason": func(w *world, r approvals.Request) approvals.Request {
			return w.types(alice, "undo "+r.ID+" a false alarm")
		},
	} {
		t.Run("and an honest one, "+name+", is taken", func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.contained(revoke)
			w.pass(2 * time.Minute)
			u := w.state(ask(w, r), approvals.Pending)
			w.state(w.clicks(bob, u, "approve"), approvals.Restored)
			w.state(r, approvals.Undone)
		})
	}
}

// TestGentlerActionIsAskedForOnItsCard: the button that asks for something gentler
// asks for that action on the same target, and only where the card is about a call.
func TestGentlerActionIsAskedForOnItsCard(t *testing.T) {
	t.Parallel()
	gentler := approvals.Propose(actions.DetachPolicies)
	for name, c := range map[string]struct {
		forge func(*world, *word)
		why   string
	}{
		"as the bot makes it":         {func(*world, *word) {}, ""},
		"another action":              {func(_ *world, d *word) { d.actions[0].ID = approvals.Propose(actions.RevokeSessions) }, "propose:revoke_sessions asks for nothing"},
		"another target":              {func(_ *world, d *word) { d.row.Intent.Call.Target += "s" }, "not what was asked for"},
		"another reason":              {func(_ *world, d *word) { d.row.Reason = "because" }, "not what was asked for"},
		"another call's card":         {func(_ *world, d *word) { d.blocks[1] = plainBlock(approvals.CallBlock, otherCall.String()) }, "the card did not show this call"},
		"a request that there is not": {func(_ *world, d *word) { d.actions[0].Value = approvals.Value("KS-4G7QX2M9ZT0B", d.about.Digest) }, "there is no request KS-4G7QX2M9ZT0B"},
		"on the card of an undo": {func(w *world, d *word) {
			rewrite(w, planKey(d.about), func(p *approvals.Planned) { p.Intent.Undo = "KS-4G7QX2M9ZT0B" })
		}, gentler + " asks for nothing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.state(w.types(alice, deleteRole), approvals.Pending)
			d := w.button(carol, r, gentler)
			c.forge(w, d)
			got := w.bring(d)
			w.drain()
			if c.why == "" {
				got = w.state(got, approvals.Pending)
				if got.Intent.Call.Action != actions.DetachPolicies || got.Reason != "instead of "+r.ID {
					t.Errorf("%s, %s", got.Intent, got.Reason)
				}
				return
			}
			w.refused(got, c.why)
		})
	}
}

// TestForgedApprovalsDoNotCount: an approval counts only if a person clicked on
// Approve, on the card of this very request and call.
func TestForgedApprovalsDoNotCount(t *testing.T) {
	t.Parallel()
	table := map[string]struct {
		forge func(*world, *word)
		why   string
	}{
		"a click on another button":      {func(_ *world, d *word) { d.actions[0].ID = "deny" }, "it is not a click on approve"},
		"two buttons at once":            {func(_ *world, d *word) { d.actions = append(d.actions, d.actions[0]) }, "it is not a click on approve"},
		"a form":                         {func(_ *world, d *word) { d.kind = "view_submission" }, "it is not a click on approve"},
		"a typed approval":               {func(_ *world, d *word) { d.kind, d.text = "", "approve "+d.about.ID }, "it is not a click on approve"},
		"another request's ID":           {func(_ *world, d *word) { d.actions[0].Value = approvals.Value("KS-4G7QX2M9ZT0B", d.about.Digest) }, "it is another request's"},
		"a Slack user whom nobody knows": {func(_ *world, d *word) { d.user = nobody }, "unknown_person"},
		"evidence that is gone": {func(w *world, d *word) {
			d.signed = func(e *approvals.Evidence) { w.Requests.reads = missing(e) }
		}, "there is none"},
		"an event, though somebody verifies it": {func(w *world, d *word) {
			w.executor.Verifiers[approvals.EventEvidence] = lenient{}
			d.signed = kind(approvals.EventEvidence)
		}, `kind "event"`},
		"a rule, though somebody verifies it": {func(w *world, d *word) {
			w.executor.Verifiers[approvals.RuleEvidence] = lenient{}
			d.signed = kind(approvals.RuleEvidence)
		}, `kind "rule"`},
	}
	for name, c := range cards {
		table["on a card: "+name] = c
	}
	for name, c := range table {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.state(w.types(alice, revoke), approvals.Pending)
			d := w.button(bob, r, "approve")
			c.forge(w, d)
			w.bring(d)
			w.withoutAWS(w.drain)
			w.refused(r, c.why)
			w.untouched()
		})
	}
}

// missing makes one piece of evidence vanish, as it does when it expires.
func missing(e *approvals.Evidence) func(approvals.Key) error {
	return func(k approvals.Key) error {
		if k.Part == "evidence#"+e.Key() {
			return approvals.ErrNotFound
		}
		return nil
	}
}

// TestChatMayChangeSigns: what a chat does to quotes, spaces and capitals of a
// reason does not matter.
func TestChatMayChangeSigns(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.types(alice, revoke)
	d := w.button(bob, r, "approve")
	because(d, "Ticket  4711,\nit’s stolen")
	w.bring(d)
	w.drain()
	w.state(r, approvals.Contained)
}

// TestRowEditedAfterThePlanDoesNotRun: what was planned and approved is proved anew
// before it runs.
func TestRowEditedAfterThePlanDoesNotRun(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*approvals.Request){
		"intent":    func(r *approvals.Request) { r.Intent.Call = otherCall },
		"reason":    func(r *approvals.Request) { r.Reason = "ticket 4712" },
		"requester": func(r *approvals.Request) { r.Requester.Person = "carol" },
		"time":      func(r *approvals.Request) { r.Asked = r.Asked.Add(time.Second) },
		"evidence":  func(r *approvals.Request) { r.Evidence = strings.Repeat("0", 64) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.types(alice, revoke)
			w.bring(w.button(bob, r, "approve"))
			w.edit(r, edit)
			w.withoutAWS(w.drain)
			w.refused(r, "evidence does not hold")
			w.untouched()
		})
	}
}

// TestOutageOfTheTablesIsNoRefusal: what can't be read just now is read again later;
// nothing is refused for it, and nothing runs.
func TestOutageOfTheTablesIsNoRefusal(t *testing.T) {
	t.Parallel()
	evidence := func(hash string) approvals.Key { return approvals.Key{Part: "evidence#" + hash, Sort: "evidence"} }
	for name, lost := range map[string]func(approvals.Request) approvals.Key{
		"the requester's evidence": func(r approvals.Request) approvals.Key { return evidence(r.Evidence) },
		"the approver's evidence":  func(r approvals.Request) approvals.Key { return evidence(r.Votes[0].Evidence) },
		"the plan":                 planKey,
		"the run":                  runKey,
		"the target's lock":        func(approvals.Request) approvals.Key { return lockKey },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.bring(w.button(bob, w.types(alice, revoke), "approve"))
			fails := func(k approvals.Key) error {
				if k == lost(r) {
					return errOutage
				}
				return nil
			}
			w.Requests.reads, w.Runs.reads = fails, fails
			w.withoutAWS(w.drain)
			w.state(r, approvals.Approved)
			w.unclaimed(r)
			w.Requests.reads, w.Runs.reads = nil, nil
			w.pass(10 * time.Second)
			w.state(r, approvals.Contained)
		})
	}
	for name, c := range map[string]struct {
		line string
		ask  func(*world, approvals.Request) *word
	}{
		"the plan of what is undone, clicked": {revoke, func(w *world, r approvals.Request) *word { return w.button(alice, r, "undo") }},
		"the plan of what is undone, typed":   {revoke, func(w *world, r approvals.Request) *word { return w.says(alice, "undo "+r.ID) }},
		"the plan of what is too much": {deleteRole, func(w *world, r approvals.Request) *word {
			return w.button(carol, r, approvals.Propose(actions.DetachPolicies))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.state(w.types(alice, c.line), approvals.Pending)
			if c.line == revoke {
				r = w.state(w.clicks(bob, r, "approve"), approvals.Contained)
			}
			w.pass(2 * time.Minute)
			u := w.bring(c.ask(w, r))
			w.Runs.reads = func(k approvals.Key) error {
				if k == planKey(r) {
					return errOutage
				}
				return nil
			}
			w.drain()
			w.state(u, approvals.Planning)
			w.Runs.reads = nil
			w.pass(10 * time.Second)
			w.state(u, approvals.Pending)
		})
	}
}

// TestOutageOfTheSigningSecretIsNoRefusal: evidence that can't be checked just now is
// checked again later, for the plan, the run and a retry.
func TestOutageOfTheSigningSecretIsNoRefusal(t *testing.T) {
	t.Parallel()
	survives := func(w *world, r approvals.Request, now, later approvals.State) {
		t.Helper()
		genuine := w.executor.Verifiers[approvals.SlackEvidence]
		w.executor.Verifiers[approvals.SlackEvidence] = approvals.SlackVerifier{Secrets: func(context.Context) ([]string, error) { return nil, errOutage }}
		w.withoutAWS(w.drain)
		w.state(r, now)
		w.executor.Verifiers[approvals.SlackEvidence] = genuine
		w.pass(10 * time.Second)
		w.state(r, later)
	}
	w := newWorld(t)
	r := w.bring(w.says(alice, revoke))
	survives(w, r, approvals.Planning, approvals.Pending)
	w.bring(w.button(bob, w.again(r), "approve"))
	survives(w, r, approvals.Approved, approvals.Contained)
	w, r = failedInAWorld(t)
	w.bring(w.button(carol, r, "retry"))
	survives(w, r, approvals.Partial, approvals.Contained)
}
