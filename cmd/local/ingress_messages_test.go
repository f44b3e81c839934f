package local_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot"
	"github.com/killswitch-chatops/killswitch/bot/ingress"
)

// TestIngressWritesWhatTheBotReads: ingress imports nothing of the module, so the messages
// on its queues are types of its own.
func TestIngressWritesWhatTheBotReads(t *testing.T) {
	read := func(written, into any) {
		t.Helper()
		b, err := json.Marshal(written)
		if err != nil {
			t.Fatal(err)
		}
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil {
			t.Errorf("%s: %v", b, err)
		}
	}
	var w bot.Webhook
	read(ingress.Webhook{Webhook: "a", Path: "b", Drill: "c", Key: "d", Timestamp: "e", Signature: "f", Body: "g"}, &w)
	if d := cmp.Diff(bot.Webhook{ID: "a", Path: "b", Drill: "c", Key: "d", Timestamp: "e", Signature: "f", Body: "g"}, w); d != "" {
		t.Error(d)
	}
	var e approvals.Evidence
	read(ingress.SignedRequest{Timestamp: "a", Signature: "b", Body: "c"}, &e)
	if d := cmp.Diff(approvals.Evidence{Timestamp: "a", Signature: "b", Body: "c"}, e); d != "" {
		t.Error(d)
	}
	if ingress.DirectWebhook != approvals.DirectWebhook {
		t.Errorf("ingress calls it %s, the configuration %s", ingress.DirectWebhook, approvals.DirectWebhook)
	}
	if ingress.MaxEvents != bot.MaxEvents {
		t.Errorf("ingress takes %d events, the bot %d", ingress.MaxEvents, bot.MaxEvents)
	}
}

// TestIngressKnowsTheCanary: the click that the daily check forges is not counted as somebody's, and is no vote for
// anything, whoever signs it.
func TestIngressKnowsTheCanary(t *testing.T) {
	w := newWorld(t)
	answer := func(e approvals.Evidence) ingress.Response {
		h := http.Header{}
		h.Set("X-Slack-Request-Timestamp", e.Timestamp)
		h.Set("X-Slack-Signature", e.Signature)
		return w.zones.Ingress.Answer(t.Context(), ingress.Request{Method: http.MethodPost, Path: "/slack/interactions", Header: h, Body: []byte(e.Body)})
	}
	forged := approvals.ForgeCanary(w.clock.Now())
	if got := answer(forged); got.Status != http.StatusUnauthorized || got.Forged {
		t.Errorf("%+v", got)
	}
	signed := forged
	signed.Signature = approvals.SignSlack("test-secret", signed.Timestamp, signed.Body)
	before := len(w.slack.Calls())
	if got := answer(signed); got.Status != http.StatusOK {
		t.Errorf("signed: %+v", got)
	}
	w.drain()
	if n := len(w.slack.Calls()) - before; n != 0 || len(w.all()) != 0 {
		t.Errorf("signed, it makes %d calls of Slack and %d requests", n, len(w.all()))
	}
	p, err := approvals.ParseSlack(forged.Body)
	w.must(err)
	if _, _, ok := approvals.SplitValue(p.Actions[0].Value); ok || p.Actions[0].ID != "approve" || approvals.IsRequestID(approvals.CanaryID) {
		t.Errorf("it is a vote: %+v", p.Actions)
	}
}

// TestIngressKnowsTheID: what it answers is the ID of the request that the bot makes, and the executor
// derives it anew.
func TestIngressKnowsTheID(t *testing.T) {
	for _, w := range []ingress.Webhook{
		{Webhook: "soar", Timestamp: "1793672045", Body: `{"action":"x"}`},
		{Webhook: "soar", Timestamp: "1793663999", Body: `{"action":"x"}`},
		{Webhook: "soar", Timestamp: "1793664000", Body: `{"action":"x"}`},
		{Webhook: "direct", Timestamp: "1793672045", Body: `{"action":"<&>\u2028ü"}`},
		{Webhook: "soar", Timestamp: "1793672045", Key: "case-1", Body: `{"action":"x"}`},
		{Webhook: "soar", Timestamp: "1793672045", Key: `"a\b"`, Body: `{"action":"y"}`},
	} {
		e, err := approvals.WebhookRequest{Webhook: w.Webhook, Key: w.Key, Asked: w.Body}.Evidence(w.Timestamp, "")
		if err != nil {
			t.Fatal(err)
		}
		if got, want := approvals.RequestID(e), w.RequestID(); got != want || !approvals.IsRequestID(got) {
			t.Errorf("%+v: %s, ingress says %s", w, got, want)
		}
	}
}
