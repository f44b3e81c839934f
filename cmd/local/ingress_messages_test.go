package local_test

import (
	"bytes"
	"encoding/json"
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
	read(ingress.Webhook{Webhook: "a", Path: "b", Drill: "c", Body: "d"}, &w)
	if d := cmp.Diff(bot.Webhook{ID: "a", Path: "b", Drill: "c", Body: "d"}, w); d != "" {
		t.Error(d)
	}
	var e approvals.Evidence
	read(ingress.SignedRequest{Timestamp: "a", Signature: "b", Body: "c"}, &e)
	if d := cmp.Diff(approvals.Evidence{Timestamp: "a", Signature: "b", Body: "c"}, e); d != "" {
		t.Error(d)
	}
	if ingress.MaxEvents != bot.MaxEvents {
		t.Errorf("ingress takes %d events, the bot %d", ingress.MaxEvents, bot.MaxEvents)
	}
}
