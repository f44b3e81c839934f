package executor_test

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// asked is what the webhook soar asks for, as ingress writes it.
const asked = `{"action":"revoke_sessions","target":"222222222222/app-role","reason":"beacon"}`

// hooked lets the webhook soar ask for it. owners hold its key.
func hooked(owners ...string) func(*world) {
	return func(w *world) {
		w.cfg.Policy.Webhooks = map[string]approvals.WebhookGrant{"soar": {Actions: []actions.Name{actions.RevokeSessions}, Owners: owners}}
	}
}

// hook is a webhook's message and the row that the bot makes of it.
type hook struct {
	request approvals.WebhookRequest
	at      time.Time
	row     approvals.Request
	kept    func(*approvals.Evidence)
}

// webhook is what soar asks for now, which waits for approval.
func (w *world) webhook() *hook {
	call := actions.Call{Action: actions.RevokeSessions, Target: appRole, Account: prod}
	return &hook{request: approvals.WebhookRequest{Webhook: "soar", Asked: asked}, at: w.clock.Now().UTC().Truncate(time.Second),
		row: approvals.Request{Intent: approvals.Intent{Call: call}, Reason: "beacon", Requester: approvals.Actor{Person: "webhook.soar"}}}
}

// asks stores it, and lets the executor plan.
func (w *world) asks(h *hook) approvals.Request {
	w.t.Helper()
	e, err := h.request.Evidence(strconv.FormatInt(h.at.Unix(), 10), "")
	w.must(err)
	if e.Signature = approvals.SignWebhook(signingSecret, e.Timestamp, e.Body); h.kept != nil {
		h.kept(&e)
	}
	key, err := w.table().PutEvidence(w.t.Context(), e, w.clock.Now())
	w.must(err)
	r := h.row
	r.State, r.Evidence, r.Asked, r.Expires, r.Need, r.Card.Channel = approvals.Planning, key, h.at, h.at.Add(w.cfg.Policy.For(r.Intent).ApproveWithin), 2, channel
	if r.ID == "" {
		r.ID = approvals.RequestID(e)
	}
	w.must(w.table().Create(w.t.Context(), r))
	w.sends(approvals.JobPlan, r)
	w.drain()
	return w.again(r)
}

// TestForgedWebhookRequestsAreRefused: a row of a webhook's request starts nothing if what is kept beside
// it asks for something else, or its webhook may not ask for it.
func TestForgedWebhookRequestsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		forge func(*world, *hook)
		why   string
	}{
		"another intent in the row": {func(_ *world, h *hook) { h.row.Intent.Call = otherCall }, "not what was asked for"},
		"another reason in the row": {func(_ *world, h *hook) { h.row.Reason = "a ticket" }, "not what was asked for"},
		"a person in the row":       {func(_ *world, h *hook) { h.row.Requester.Person = "alice" }, "not what was asked for"},
		"another webhook in the row": {func(w *world, h *hook) {
			w.executor.Policy.Webhooks["other"] = w.executor.Policy.Webhooks["soar"]
			h.row.Requester.Person = "webhook.other"
		}, "not what was asked for"},
		"another action, which is not granted": {func(_ *world, h *hook) {
			h.request.Asked, h.row.Intent.Call = `{"action":"detach_policies","target":"222222222222/app-role","reason":"beacon"}`, otherCall
		}, "not_granted"},
		"a webhook that is not in the configuration": {func(_ *world, h *hook) { h.request.Webhook, h.row.Requester.Person = "none", "webhook.none" }, "not_granted"},
		"a webhook that is called like a person":     {func(_ *world, h *hook) { h.request.Webhook, h.row.Requester.Person = "", "alice" }, "not what was asked for"},
		"what ingress has not signed":                {func(_ *world, h *hook) { h.kept = func(e *approvals.Evidence) { e.Signature = "" } }, "the signature is not ingress'"},
		"what somebody else has signed": {func(_ *world, h *hook) {
			h.kept = func(e *approvals.Evidence) { e.Signature = approvals.SignWebhook("guessed", e.Timestamp, e.Body) }
		}, "the signature is not ingress'"},
		"what is signed as Slack does": {func(_ *world, h *hook) {
			h.kept = func(e *approvals.Evidence) { e.Signature = approvals.SignSlack(signingSecret, e.Timestamp, e.Body) }
		}, "the signature is not ingress'"},
		"another time than was signed": {func(_ *world, h *hook) {
			h.kept = func(e *approvals.Evidence) { e.Signature = approvals.SignWebhook(signingSecret, "1793672045", e.Body) }
		}, "the signature is not ingress'"},
		"a signature of nothing":      {func(_ *world, h *hook) { h.kept = func(e *approvals.Evidence) { e.Body, e.Signature = "{", "" } }, "the signature is not ingress'"},
		"what nobody verifies":        {func(w *world, h *hook) { delete(w.executor.Verifiers, approvals.WebhookEvidence) }, `kind "webhook"`},
		"evidence of another request": {func(_ *world, h *hook) { h.row.ID = "KS-4G7QX2M9ZT0B" }, "another request's"},
		"what does not parse": {func(_ *world, h *hook) {
			h.request.Asked = `{"action":"revoke_sessions","target":"nobody","reason":"beacon"}`
		}, "does not parse"},
		"what can't be read":        {func(_ *world, h *hook) { h.request.Asked = "{" }, "can't be read"},
		"what came from the future": {func(w *world, h *hook) { h.at = h.at.Add(10 * time.Minute) }, "from the future"},
		"what came too long ago":    {func(_ *world, h *hook) { h.at = h.at.Add(-31 * time.Minute) }, "past_expiry"},
		"a protected account":       {func(w *world, _ *hook) { w.executor.Org.ProtectedAccounts = []string{prod} }, "protected by the configuration"},
		"too few who may approve": {func(w *world, _ *hook) {
			w.executor.Policy.Roster.Groups = map[string][]string{"responders": {"alice"}}
		}, "too_few_eligible"},
		"owners who may approve alone": {func(w *world, _ *hook) { hooked("alice", "bob", "carol")(w); w.executor.Policy = w.cfg.Policy }, "too_few_eligible"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, hooked())
			h := w.webhook()
			c.forge(w, h)
			var r approvals.Request
			w.withoutAWS(func() { r = w.asks(h) })
			w.refused(r, c.why)
		})
	}
}

// TestAKeyIsNobodysApproval: what a webhook asks for runs once two people have approved it, or one who does
// not hold its key, whatever the row says, and whatever the configuration said before.
func TestAKeyIsNobodysApproval(t *testing.T) {
	t.Parallel()
	one := func(w *world, r approvals.Request) { w.bring(w.button(bob, r, "approve")) }
	two := func(w *world, r approvals.Request) { w.bring(w.button(alice, r, "approve")); one(w, r) }
	enough := func(then func(*world, approvals.Request)) func(*world, approvals.Request) {
		return func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Need = 1 })
			then(w, w.again(r))
		}
	}
	for name, c := range map[string]struct {
		alter []func(*world)
		votes func(*world, approvals.Request)
		why   string // empty: it runs
	}{
		"two":                            {[]func(*world){hooked()}, two, ""},
		"one, and the row wants no more": {[]func(*world){hooked()}, enough(one), "1 proved approvals of the 2 needed"},
		"one, who does not hold the key": {[]func(*world){hooked("carol")}, one, ""},
		"who holds the key":              {[]func(*world){hooked("bob")}, one, "key_owner"},
		"who holds it, of two":           {[]func(*world){hooked("bob"), func(w *world) { w.cfg.Policy.Default.Approvals = 2 }}, enough(two), "key_owner"},
		"who holds it by the policy of now": {[]func(*world){hooked("carol")}, func(w *world, r approvals.Request) {
			one(w, r)
			hooked("carol", "bob")(w)
			w.executor.Policy = w.cfg.Policy
		}, "key_owner"},
		"one, and by now nobody is named": {[]func(*world){hooked("carol")}, func(w *world, r approvals.Request) { one(w, r); hooked()(w); w.executor.Policy = w.cfg.Policy }, "1 proved approvals of the 2 needed"},
		"two, and by now it may not ask":  {[]func(*world){hooked()}, func(w *world, r approvals.Request) { two(w, r); w.executor.Policy.Webhooks = nil }, "not_granted"},
		"nobody, and the row says by one rule": {[]func(*world){hooked()}, func(w *world, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) {
				r.Mode, r.Need = approvals.Automatic, 0
				w.must(r.To(approvals.Approved, w.clock.Now()))
			})
			w.sends(approvals.JobRun, r)
		}, "0 proved approvals of the 2 needed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.alter...)
			r := w.state(w.asks(w.webhook()), approvals.Pending)
			c.votes(w, r)
			w.drain()
			if c.why != "" {
				w.refused(w.again(r), c.why)
				w.untouched()
				return
			}
			w.state(r, approvals.Contained)
			if e, _ := w.event(r, "requested"); e.Actor != "webhook.soar" {
				t.Errorf("asked for by %q", e.Actor)
			}
		})
	}
}

// TestNothingThatAWebhookSendsIsAClick: whoever has a key chooses the text that ingress signs. It is no
// approval, however it reads.
func TestNothingThatAWebhookSendsIsAClick(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.state(w.types(alice, revoke), approvals.Pending)
	d := w.button(bob, r, "approve")
	d.signed = func(e *approvals.Evidence) {
		v, err := approvals.WebhookRequest{Webhook: "soar", Asked: "x&" + e.Body + "&y="}.Evidence(e.Timestamp, "")
		w.must(err)
		v.Body = strings.ReplaceAll(v.Body, `\u0026`, "&")
		v.Signature = approvals.SignWebhook(signingSecret, v.Timestamp, v.Body)
		if p, err := approvals.ParseSlack(v.Body); err != nil || len(p.Actions) != 1 || p.User != bob {
			t.Errorf("it does not read as a click: %+v %v", p, err)
		}
		*e = v
	}
	w.bring(d)
	w.drain()
	w.refused(w.again(r), `kind "webhook"`)
	w.untouched()
}
