package local_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestTypedLines: what a line gets for an answer: a request ("asks"), the line to send instead
// ("send"), an example that lacks a part ("fill in"), or words ("says"). What is to be sent
// instead is sent, and is no mistake.
func TestTypedLines(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.cfg.Org.Regions = []string{"us-east-1", "eu-west-1"} })
	for _, c := range []struct{ line, answer string }{
		{``, `says The form opens. If it does not, click Open the form.`},
		{`revoke-sessions prod/app-role reason=“keys on a paste site”`, `asks revoke_sessions arn:aws:iam::222222222222:role/app-role · keys on a paste site`},
		{`revok_sessions prod/app-role reason="x"`, `send revoke_sessions prod/app-role reason="x"`},
		{`revoke_sessions prod/app-role`, `fill in revoke_sessions prod/app-role reason="…"`},
		{`revoke_sessions app-role reason="keys"`, `fill in revoke_sessions app-role account=… reason="keys"`},
		{`revoke_sessions arn:aws:sts::222222222222:assumed-role/reporting/i-0d3e1a5b7c9f20001 stolen session free text`, `asks revoke_sessions arn:aws:iam::222222222222:role/reporting · stolen session free text`},
		{`deactivate_key AKIADEPLOYBT2EXAMPLE reason=leaked`, `asks deactivate_key AKIADEPLOYBT2EXAMPLE · leaked`},
		{`AKIADEPLOYBT2EXAMPLE leaked on github`, `send deactivate_key AKIADEPLOYBT2EXAMPLE reason="leaked on github"`},
		{`isolate_instance i-0d3e1a5b7c9f20001 reason="miner"`, `fill in isolate_instance i-0d3e1a5b7c9f20001 account=… region=… reason="miner"`},
		{`isolate i-0d3e1a5b7c9f20007 account=prod region=us-east-1 reason="miner"`, `send isolate_instance i-0d3e1a5b7c9f20007 account=prod region=us-east-1 reason="miner"`},
		{`REVOKE_SESSIONS PROD/APP-ROLE REASON="SHOUTING"`, `asks revoke_sessions arn:aws:iam::222222222222:role/APP-ROLE · SHOUTING`},
		{`apply_scp security reason="freeze hub"`, `fill in apply_scp … reason="freeze hub"`},
		{`apply_scp 999999999999 reason="freeze mgmt"`, `says Nothing was done: 999999999999 is the organization's ma`},
		{`freeze sandbox reason="crypto"`, `send apply_scp sandbox reason="crypto"`},
		{`delete_role prod/reporting reason="backdoor"`, `fill in delete_role prod/reporting confirm=… reason="backdoor"`},
		{`list`, `says Nothing is open and nothing is contained.`},
		{`show`, `fill in show KS-…`},
		{`audit`, `fill in audit KS-…`},
		{`help isolate_instance`, `says isolate_instance: cut an EC2 instance off from the netw`},
		{`--version`, `fill in … … reason="…"`},
		{`status`, `send list`},
		{`revoke_sessions prod/killswitch-responder reason="test"`, `says Nothing was done: killswitch-responder is one of Killsw`},
		{`revoke_sessions prod/break-glass reason="test"`, `says Nothing was done: arn:aws:iam::222222222222:role/break-`},
		{`quarantine_user deploy-bot reason="leaked"`, `fill in quarantine_user deploy-bot account=… reason="leaked"`},
		{`delete_key AKIADEPLOYBT2EXAMPLE reason="leaked"`, `asks delete_key AKIADEPLOYBT2EXAMPLE · leaked`},
		{`revoke_sessions prod/all reason="who knows" via=scp`, `asks revoke_sessions 222222222222/ALL via=scp · who knows`},
		{`revoke_sessions ASIAKXTBKRSZOTE2G2L3 reason="stolen"`, `fill in revoke_sessions … reason="stolen (ASIAKXTBKRSZOTE2G2L3)"`},
		{`revoke_sessions prod/app-role acount=prod reasn="typo"`, `send revoke_sessions prod/app-role account=prod reason="typo"`},
		{`revoke_sessions 222222222222 reason="all of it"`, `fill in revoke_sessions 222222222222/… reason="all of it"`},
		{`revoke_sessions prod/app-role reason="see <https://paste.example/abc|https://paste.example/abc>"`, `asks revoke_sessions arn:aws:iam::222222222222:role/app-role · see https://paste.example/abc`},
		{`revoke_sessions prod/app-role, reason="comma"`, `asks revoke_sessions arn:aws:iam::222222222222:role/app-role · comma`},
		{`revoke_sessions prod/app-role reason = "spaces around ="`, `asks revoke_sessions arn:aws:iam::222222222222:role/app-role · spaces around =`},
		{`revoke_sessions prod app-role reason="two words"`, `send revoke_sessions prod/app-role reason="two words"`},
		{`revoke_sessions role/app-role account=prod reason="role/ prefix"`, `asks revoke_sessions arn:aws:iam::222222222222:role/app-role · role/ prefix`},
		{`revoke_sessions Production/app-role reason="display name"`, `send revoke_sessions prod/app-role reason="display name"`},
		{`revoke_sessions prod/app-role reason=""`, `fill in revoke_sessions prod/app-role reason="…"`},
		{`revoke_sessions prod/app-role reason='single quotes' `, `asks revoke_sessions arn:aws:iam::222222222222:role/app-role · single quotes`},
		{`revoke_sessions arn:aws:iam::222222222222:user/deploy-bot reason="user not role"`, `send quarantine_user arn:aws:iam::222222222222:user/deploy-bot reason="user not role"`},
		{`revoke_sessions arn:aws:iam::222222222222:instance-profile/web-tier-profile reason="profile"`, `fill in revoke_sessions … reason="profile"`},
		{`quarantine_user prod/dana reason="insider"`, `asks quarantine_user arn:aws:iam::222222222222:user/dana · insider`},
		{`quarantine_user AKIADEPLOYBT2EXAMPLE reason="owner of the key"`, `send deactivate_key AKIADEPLOYBT2EXAMPLE reason="owner of the key"`},
		{`deactivate_key AKIA_REDACTED reason="x"`, `fill in deactivate_key … reason="x"`},
		{`deactivate_key AKIAZZZZZZZZZZZZZZZZ reason="unknown key"`, `asks deactivate_key AKIAZZZZZZZZZZZZZZZZ · unknown key`},
		{`isolate_instance i-0d3e1a5b7c9f20007 account=prod region=us-east1 reason="bad region"`, `send isolate_instance i-0d3e1a5b7c9f20007 account=prod region=us-east-1 reason="bad region"`},
		{`isolate_instance i-0d3e1a5b7c9f20007 account=prod region=eu-west-1 reason="wrong region"`, `asks isolate_instance arn:aws:ec2:eu-west-1:222222222222:instance/i-0d3e1a5b7c9f20007 · wrong region`},
		{`apply_scp sandbox scp=control-plane reason="changes only"`, `asks apply_scp 333333333333 scp=control-plane · changes only`},
		{`apply_scp sandbox scp=contorl-plane reason="typo"`, `asks apply_scp 333333333333 scp=contorl-plane · typo`},
		{`revoke_sessions 555555555555/app-role reason="account that is not ours"`, `asks revoke_sessions arn:aws:iam::555555555555:role/app-role · account that is not ours`},
		{`revoke_sessions arn:aws:iam::222222222222:role/aws-service-role/support.amazonaws.com/AWSServiceRoleForSupport reason="slr"`, `says Nothing was done: AWSServiceRoleForSupport is a service`},
		{`revoke_sessions <@U02BOB> reason="a person"`, `fill in revoke_sessions @U02BOB account=… reason="a person"`},
		{`revoke_sessions https://console.aws.amazon.com/iam/home#/roles/details/app-role reason="console url"`, `fill in revoke_sessions app-role account=… reason="console url"`},
		{`undo`, `fill in undo KS-…`},
		{`undo app-role`, `fill in undo KS-…`},
		{`help me`, `says How to use /killswitch`},
		{`?`, `says How to use /killswitch`},
		{`LIST`, `says Nothing is open and nothing is contained.`},
		{`list all`, `says Nothing is open and nothing is contained.`},
		{`delete_user prod/dana reason="gone rogue"`, `send quarantine_user prod/dana reason="gone rogue"`},
		{`deactivate_user prod/dana reason="gone rogue"`, `send quarantine_user prod/dana reason="gone rogue"`},
		{`detach_policy prod/app-role reason="x"`, `send detach_policies prod/app-role reason="x"`},
		{`quarantine prod/deploy-bot reason="x"`, `send quarantine_user prod/deploy-bot reason="x"`},
		{`apply_spc sandbox reason="x"`, `send apply_scp sandbox reason="x"`},
		{`revoke_sessions prod/all reason="everything"`, `asks revoke_sessions 222222222222/ALL · everything`},
		{`revoke_sessions prod/* reason="everything"`, `send revoke_sessions prod/ALL reason="everything"`},
		{`isolate_instance i-0d3e1a5b7c9f20007 prod us-east-1 miner`, `send isolate_instance i-0d3e1a5b7c9f20007 account=prod region=us-east-1 reason="miner"`},
		{`help revoke_sessions`, `says revoke_sessions: deny everything to all sessions that a`},
		{`help quarantine_user`, `says quarantine_user: deny everything to an IAM user and mak`},
		{`apply_scp prdo reason="x"`, `send apply_scp prod reason="x"`},
		{`quarantine_user prod/deploy-bot mode=iam_only reason="x"`, `send quarantine_user prod/deploy-bot mode=iam-only reason="x"`},
		{`delete_role prod/reporting confirm=repotring reason="x"`, `fill in delete_role prod/reporting confirm=… reason="x"`},
		{`strip prod/app-role reason="x"`, `send detach_policies prod/app-role reason="x"`},
		{`revoke_sessions prod/app-role --reason "cli habit"`, `asks revoke_sessions arn:aws:iam::222222222222:role/app-role · cli habit`},
		{`revoke_sessions arn:aws:sts::222222222222:assumed-role/reporting/<mailto:a@b.example|a@b.example> reason="mail in a session"`, `asks revoke_sessions arn:aws:iam::222222222222:role/reporting · mail in a session`},
		{`revoke_sessions prod/app-role reason="🚨 stolen :fire: at 10:30:15"`, `asks revoke_sessions arn:aws:iam::222222222222:role/app-role · stolen at 10:30:15`},
		{`help revoke`, `says revoke_sessions: deny everything to all sessions that a`},
		{`help undo`, `says *undo ID reason*: asks to take a containment back`},
		{`crawler-7`, `fill in … … reason="…"`},
		{`aprove KS-4G7QX2M9ZT0B`, `send approve KS-4G7QX2M9ZT0B`},
		{`undo KS-4G7QX2M9ZT0B keys=yes`, `send undo KS-4G7QX2M9ZT0B`},
		{`deactivate_key AKIADEPLOYBT2EXAMPLE`, `fill in deactivate_key AKIADEPLOYBT2EXAMPLE reason="…"`},
		{`revoke_sessions account=prod app-role reason="x"`, `send revoke_sessions app-role account=prod reason="x"`},
		{`revoke_sessions sandbox/admin since yesterday account=prod`, `fill in revoke_sessions sandbox/admin account=… reason="since yesterday"`},
		{`isolate_instance prod/i-0d3e1a5b7c9f20007 region=us-east1 shapshot=yes reason="bad"`, `send isolate_instance prod/i-0d3e1a5b7c9f20007 region=us-east-1 snapshot=yes reason="bad"`},
		{`contain prod/app-role reason="x"`, `fill in … prod/app-role reason="x"`},
	} {
		got := w.answer(c.line)
		if got != c.answer && (!strings.HasPrefix(c.answer, "says") || !strings.HasPrefix(got, c.answer)) {
			t.Errorf("%s\n got %s\nwant %s", c.line, got, c.answer)
		}
		if line, ok := strings.CutPrefix(got, "send "); ok {
			if again := w.answer(line); strings.HasPrefix(again, "send") || strings.HasPrefix(again, "fill in") {
				t.Errorf("%s\nsent as it was told: %s\n gets %s", c.line, line, again)
			}
		}
	}
}

// answer types a line and returns the answer to it.
func (w *world) answer(line string) string {
	w.t.Helper()
	before := len(w.slack.Messages(channel))
	d := w.types("U01ALICE", line)
	e := approvals.Evidence{Kind: approvals.SlackEvidence, Timestamp: d.SentHeader.Get("X-Slack-Request-Timestamp"), Body: string(d.Request)}
	r, err := approvals.Requests{Store: w.Requests}.Get(w.t.Context(), approvals.RequestID(e))
	if err == nil {
		w.types("U01ALICE", "cancel "+r.ID) // the next line may ask for the same
		return "asks " + r.Intent.String() + " · " + r.Reason
	} else if !errors.Is(err, approvals.ErrNotFound) {
		w.t.Fatal(err)
	}
	answer := "nothing"
	for _, m := range w.slack.Messages(channel)[before:] {
		if m.EphemeralTo == "" {
			continue
		}
		answer = "says " + m.Text
		var blocks []struct {
			ID   string `json:"block_id"`
			Text struct{ Text string }
		}
		w.must(json.Unmarshal(m.Blocks, &blocks))
		for _, b := range blocks {
			switch b.ID {
			case "corrected":
				answer = "send " + strings.TrimPrefix(b.Text.Text, "/killswitch ")
			case "example":
				answer = "fill in " + strings.TrimPrefix(b.Text.Text, "/killswitch ")
			}
		}
	}
	return answer
}

// TestEmojiInAReason: Slack may send an emoji back as its :name:. The vote counts nevertheless.
func TestEmojiInAReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.state(w.asks("U01ALICE", "revoke_sessions prod/app-role reason=\"🚨 keys :fire: on a paste site ℹ️ 1️⃣ since 10:30:15\""), approvals.Pending)
	if r.Reason != "keys on a paste site since 10:30:15" {
		t.Errorf("the reason is %q", r.Reason)
	}
	w.clicks("U02BOB", r, "approve")
	r = w.state(r, approvals.Contained)
	w.types("U01ALICE", "undo "+r.ID+" 🔥 is out")
	u := w.state(w.undoOf(r), approvals.Pending)
	w.clicks("U02BOB", u, "approve")
	w.state(u, approvals.Restored)
}
