package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// cardNow is the text of a request's card.
func (w *world) cardNow(r approvals.Request) string {
	w.t.Helper()
	for _, m := range w.slack.Messages(channel) {
		if m.TS != "" && m.TS == r.Card.TS {
			return flat(slackfake.Text(m))
		}
	}
	return ""
}

// TestServiceIsDown: while IAM or Organizations answers nothing, each card says what waits and what still
// works; an instance's network is cut first, and its outcome is told within two minutes. What was begun is
// contained once the service answers.
func TestServiceIsDown(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		down  string
		line  string
		works bool   // it needs the service for nothing that contains
		says  string // on the card
	}{
		"isolate, no IAM":      {"iam:*", "isolate_instance prod/" + suspect + " region=" + region + " stolen", false, "NOT CONTAINED"},
		"revoke, no IAM":       {"iam:*", "revoke_sessions prod/app-role stolen", false, "IAM does not answer"},
		"revoke all, no IAM":   {"iam:*", "revoke_sessions prod/ALL stolen", false, "IAM does not answer"},
		"strip, no IAM":        {"iam:*", "detach_policies prod/app-role stolen", false, "IAM does not answer"},
		"quarantine, no IAM":   {"iam:*", "quarantine_user prod/bernd stolen", false, "IAM does not answer"},
		"a key, no IAM":        {"iam:*", "deactivate_key " + hisKey + " account=prod stolen", false, "IAM does not answer"},
		"freeze, no IAM":       {"iam:*", "apply_scp prod stolen", true, "Contained"},
		"deny outside, no IAM": {"iam:*", "deny_principal prod/role/app-role stolen", true, "Contained"},
		"freeze, no Orgs":      {"organizations:*", "apply_scp prod stolen", false, "Organizations does not answer"},
		"revoke, no Orgs":      {"organizations:*", "revoke_sessions prod/app-role stolen", true, "Contained"},
		"isolate, no Orgs":     {"organizations:*", "isolate_instance prod/" + suspect + " region=" + region + " stolen", true, "Contained"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s stolen
			w := newWorld(t, raceWorld(&s, tt.line))
			down := true
			w.answers(tt.down, apiError("ServiceUnavailable"), func() bool { return down })
			r := w.asks("U01ALICE", tt.line)
			w.pass(20 * time.Second)
			if r = w.again(r); r.State == approvals.Pending {
				w.clicks("U02BOB", r, "approve")
				w.pass(2 * time.Minute)
				r = w.again(r)
			}
			card := w.cardNow(r)
			if !strings.Contains(card, tt.says) || tt.works != (r.State == approvals.Contained) {
				t.Errorf("it is %s, and the card says:\n%s", r.State, card)
			}
			if strings.HasPrefix(tt.line, "isolate_instance") {
				out, err := ec2.NewFromConfig(w.aws.Admin(prod), func(o *ec2.Options) { o.Region = region }).DescribeNetworkInterfaces(t.Context(), &ec2.DescribeNetworkInterfacesInput{NetworkInterfaceIds: []string{"eni-0aaaaaaaaaaaaaaaa"}})
				w.must(err)
				if g := out.NetworkInterfaces[0].Groups; len(g) != 1 || *g[0].GroupId == "sg-0aaaaaaaaaaaaaaaa" {
					t.Errorf("the network is not cut: %+v", g)
				}
			}
			if !tt.works && !strings.Contains(card, "Meanwhile") {
				t.Errorf("it does not say what works:\n%s", card)
			}
			down = false
			w.pass(3 * time.Minute)
			if r = w.again(r); r.State == approvals.Pending {
				w.clicks("U02BOB", r, "approve")
				w.pass(time.Minute)
			}
			w.state(r, approvals.Contained)
		})
	}
}

// TestNoPlanInTime: a request that could not be planned says why.
func TestNoPlanInTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answers("iam:*", apiError("ServiceUnavailable"), func() bool { return true })
	r := w.asks("U01ALICE", command)
	w.pass(40 * time.Minute)
	r = w.state(r, approvals.Refused)
	for _, want := range []string{"There was no plan in time: ServiceUnavailable", "IAM does not answer", "isolate_instance"} {
		if card := w.cardNow(r); !strings.Contains(card, want) {
			t.Errorf("the card lacks %q:\n%s", want, card)
		}
	}
}
