//go:build e2e

package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/bolt"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// alerts is configuration: one route of each kind, and who may send events.
const alerts = `
alerts:
  mock_sources: true
  routes:
    - match: {source: guardduty, type: "Persistence:*"}
      delivery: notify
    - match: {source: guardduty, type: "PrivilegeEscalation:*"}
      suggest: [{action: revoke_sessions}]
      delivery: auto
    - match: {source: guardduty, type: "Discovery:*"}
      suggest: [{action: deactivate_key, quarantine: "yes"}]
      delivery: auto
    - match: {source: guardduty, type: "Impact:*"}
      suggest: [{action: deactivate_key, quarantine: "yes"}]
      approvals: 0
    - match: {source: guardduty}
    - match: {source: trustedadvisor}
      suggest: [{action: deactivate_key}]
      approvals: 0
    - match: {source: health}
      suggest: [{action: deactivate_key}]
      delivery: auto
webhooks:
  - {id: eventbridge, events: true, auto: true}
  - {id: other, events: true}
`

const (
	autoKey  = "eventbridge-key" // of a webhook whose events may contain by themselves
	otherKey = "other-key"
	hooks    = "eventbridge=" + autoKey + ",other=" + otherKey
)

// TestAlerts: events become cards, and what they lead to, with an AWS and a Slack
// that others wrote.
func TestAlerts(t *testing.T) {
	t.Parallel()
	t.Run("cards", func(t *testing.T) {
		t.Parallel()
		duty := &guardDuty{findings: map[string]json.RawMessage{}, asked: map[string]int{}}
		s := newScene(t, func(s *scene, _ *Workspace) {
			duty.seen, s.more, s.hooks = s.aws.seen, alerts, hooks
			s.env = []string{"AWS_ENDPOINT_URL_GUARDDUTY=" + duty.seen.between(duty.start(t))}
		})
		s.deployShared()
		for _, part := range []struct {
			name string
			play func(*scene)
		}{
			{"notified and judged", (*scene).notified},
			{"proposed", (*scene).proposed},
			{"told again", (*scene).toldAgain},
			{"one click", func(s *scene) { s.oneClick(duty) }},
			{"one click on what only a webhook says", (*scene).onlySaid},
			{"automatic", func(s *scene) { s.automatic(duty) }},
			{"automatic, asked at GuardDuty", func(s *scene) { s.confirmed(duty) }},
			{"never automatic", (*scene).neverAutomatic},
			{"drilled", (*scene).drilled},
			{"looked up", (*scene).lookedUp},
			{"unreadable", (*scene).unreadable},
			{"killed", (*scene).survives},
		} {
			t.Run(part.name, func(t *testing.T) {
				s.t = t
				part.play(s)
			})
		}
		s.t = t
		if out := s.bot.Output(); strings.Contains(out, autoKey) || strings.Contains(out, "203.0.113.77") {
			t.Errorf("a key or a body was logged:\n%s", out)
		}
	})
	t.Run("storm", func(t *testing.T) {
		t.Parallel()
		newScene(t, func(s *scene, _ *Workspace) {
			s.more, s.hooks = alerts, hooks
		}).storm()
	})
}

// event is a sample about this test's own things: edits are old and new words.
// All that it tells is from now on.
func (s *scene) event(sample string, edits ...string) string {
	s.t.Helper()
	text := strings.ReplaceAll(s.sample(sample), "us-east-1", region)
	for i := 0; i < len(edits); i += 2 {
		if !strings.Contains(text, edits[i]) {
			s.t.Fatalf("%s has no %s", sample, edits[i])
		}
		text = strings.ReplaceAll(text, edits[i], edits[i+1])
	}
	return text
}

// lately are edits that make a sample's report be of now: old ones contain nothing
// by themselves.
func lately(old, layout string) []string { return []string{old, time.Now().UTC().Format(layout)} }

// brought posts an event, which must be taken.
func (s *scene) brought(key, body string) {
	s.t.Helper()
	if status := s.brings(key, "", body); status != http.StatusOK {
		s.t.Fatalf("status %d", status)
	}
}

var alertID = regexp.MustCompile(`· (AL-[0-9A-HJKMNP-TV-Z]{12})$`)

// alert waits for the alert's card that says all of it, in its text or its blocks.
func (s *scene) alert(start string, words ...string) Message {
	s.t.Helper()
	return s.slack.Await(s.t, channel, fmt.Sprintf("an alert %q of %q", start, words), func(m Message) bool {
		return isAlert(m) && strings.HasPrefix(m.Text, start) && says(m, words...)
	})
}

func isAlert(m Message) bool { return m.ThreadTS == "" && alertID.MatchString(m.Text) }

// says reports whether a message says all of it.
func says(m Message, words ...string) bool {
	text := m.String()
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}

// buttons are the action_ids of a message's buttons that begin with prefix.
func buttons(m Message, prefix string) (ids []string) {
	for _, b := range m.Blocks {
		for _, e := range b.Elements {
			if strings.HasPrefix(e.ActionID, prefix) {
				ids = append(ids, e.ActionID)
			}
		}
	}
	return ids
}

// thread are the replies to a message.
func (s *scene) thread(m Message) (replies []Message) {
	s.t.Helper()
	for _, r := range s.slack.Messages(s.t, channel) {
		if r.ThreadTS == m.TS {
			replies = append(replies, r)
		}
	}
	return replies
}

// replied waits for a reply in a message's thread.
func (s *scene) replied(m Message, words string) Message {
	s.t.Helper()
	return s.slack.Await(s.t, channel, words, func(r Message) bool { return r.ThreadTS == m.TS && strings.Contains(r.Text, words) })
}

// loud reports whether the bot has shown a reply in the channel, too.
func (s *scene) loud(text string) bool {
	s.t.Helper()
	return slices.ContainsFunc(s.slack.Log(s.t), func(e LogEntry) bool {
		var sent map[string]any
		return e.Summary == "chat.postMessage" && json.Unmarshal(e.Detail, &sent) == nil &&
			fmt.Sprint(sent["reply_broadcast"]) == "true" && strings.Contains(fmt.Sprint(sent["text"]), text)
	})
}

// counted is how often Killswitch has counted something.
func (s *scene) counted(name string) int {
	return strings.Count(s.bot.Output(), `"msg":"counted","name":"`+name+`"`)
}

// counts waits until Killswitch has counted something once more than before.
func (s *scene) counts(name string, before int) {
	s.t.Helper()
	Eventually(s.t, name, func(context.Context) error {
		if s.counted(name) <= before {
			return fmt.Errorf("counted %d times", s.counted(name))
		}
		return nil
	})
}

// notified: a card without a button to contain; responders judge it.
func (s *scene) notified() {
	s.brought(otherKey, s.event("guardduty_iam_persistence-akia.json"))
	card := s.alert("medium: Persistence:IAMUser/AnomalousBehavior in account prod", "user ci-build")
	if got := buttons(card, "propose:"); len(got) != 0 || !says(card, "No buttons here, as the route says", "deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222") {
		s.t.Errorf("buttons %v on %s", got, card)
	}
	s.click(eve, card, "ack")
	s.told("not in Killswitch's list of people")
	for _, judged := range []struct{ who, button, words string }{
		{ana, "ack", "*Acknowledged* by <@U01ANA> at "},
		{ben, "snooze", "*Snoozed* until "},
		{cem, "false_positive", "*False positive*, said <@U01CEM> at "},
	} {
		s.click(judged.who, card, judged.button)
		card = s.alert("medium: Persistence:", judged.words)
		if got := buttons(card, judged.button); len(got) != 0 {
			s.t.Errorf("%s can be said again", judged.button)
		}
	}
	if replies := s.thread(card); len(replies) != 0 {
		s.t.Errorf("replies %s", replies)
	}
}

const exfiltration = "high: UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS in account prod"

// proposed: a click asks, another person approves; what comes of it stands in the
// alert's thread and on its card.
func (s *scene) proposed() {
	role := s.role("web-tier-role")
	s.inline(role, "AWSRevokeOlderSessions", denyS3)
	before := s.roleState(role)
	s.brought(otherKey, s.event("guardduty_iam_exfil-outside.json"))
	alert := s.alert(exfiltration, "203.0.113.77", "Example Hosting AS64496", "aws-cli/2.31.8", "nobody has acknowledged it yet")
	if d := cmp.Diff([]string{"propose:revoke_sessions", "propose:isolate_instance"}, buttons(alert, "propose:")); d != "" {
		s.t.Errorf("buttons: %s", d)
	}
	s.click(eve, alert, "propose:revoke_sessions")
	s.told("not in Killswitch's list of people")
	s.click(ana, alert, "propose:revoke_sessions")
	card := s.card("pending 0/1", role, false)
	request := id(card)
	if card.ThreadTS != alert.TS || !s.loud(request) || !says(card, "<@U01ANA>", "GuardDuty UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS in 222222222222 eu-west-1") {
		s.t.Errorf("in the channel %v: %s", s.loud(request), card)
	}
	alert = s.alert(exfiltration, "*pending", request, "asked for by <@U01ANA>")
	if d := cmp.Diff([]string{"propose:isolate_instance"}, buttons(alert, "propose:")); d != "" {
		s.t.Errorf("buttons while it is under way: %s", d)
	}
	s.click(ana, card, "approve")
	s.told("a second person must approve")
	if d := cmp.Diff(before, s.roleState(role)); d != "" {
		s.t.Fatalf("something was changed before approval: %s", d)
	}
	s.click(ben, card, "approve")
	card = s.card("contained", role, false)
	if !strings.Contains(s.deny(role), "aws:TokenIssueTime") || s.tags(role) != 1 {
		s.t.Fatalf("contained, and the policy is %s with %d tags", s.deny(role), s.tags(role))
	}
	s.replied(alert, request+": contained.")
	s.alert(exfiltration, "*contained*", request)

	s.click(cem, card, "undo")
	undo := s.card("pending 0/1", role, true)
	if undo.ThreadTS != alert.TS {
		s.t.Errorf("the undo's card is not in the thread: %s", undo)
	}
	s.click(ana, undo, "approve")
	s.card("restored", role, true)
	s.card("undone", role, false)
	s.replied(alert, request+": undone by")
	s.replied(alert, id(undo)+": restored.")
	s.alert(exfiltration, "*undone*")
	if d := cmp.Diff(before, s.roleState(role)); d != "" {
		s.t.Errorf("not as before: %s", d)
	}
	for _, reply := range s.thread(alert) {
		if !strings.Contains(reply.Text, "· "+request) && !strings.Contains(reply.Text, "· "+id(undo)) && !strings.HasPrefix(reply.Text, request+": ") && !strings.HasPrefix(reply.Text, id(undo)+": ") {
			s.t.Errorf("whose reply is it: %s", reply.Text)
		}
	}
}

// toldAgain: an update edits the card and adds a reply, what was told before
// changes nothing, an array is several events.
func (s *scene) toldAgain() {
	first, update := s.event("guardduty_iam_exfil-outside.json"), s.event("guardduty_iam_exfil-outside-update.json")
	alert := s.alert(exfiltration)
	known := len(s.thread(alert))
	s.brought(otherKey, update)
	s.replied(alert, "seen 9 times, was 1")
	alert = s.alert(exfiltration, "ListSecrets", "9 times, ")
	replies := s.thread(alert)
	if len(replies) != known+1 || s.loud("seen 9 times") {
		s.t.Errorf("%d replies, %d before; one of them in the channel: %v", len(replies), known, s.loud("seen 9 times"))
	}
	for _, body := range []string{update, first, "[" + first + "," + update + "]"} {
		before := s.counted("AlertsRepeated")
		s.brought(autoKey, body)
		s.counts("AlertsRepeated", before+strings.Count(body, `"version"`)-1)
	}
	if d := cmp.Diff(alert, s.alert(exfiltration)); d != "" {
		s.t.Errorf("what was told before has changed the card: %s", d)
	}
	if d := cmp.Diff(replies, s.thread(alert)); d != "" {
		s.t.Errorf("what was told before has changed the thread: %s", d)
	}
	s.brought(otherKey, s.event("hostile_array_two-events.json"))
	s.alert("high: UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.InsideAWS in account prod", "batch-worker")
	s.alert("high: Exposed Access Keys in account prod", "AKIAARRAYKEY2EXAMPLE")
	if status := s.brings("guessed", "", first); status != http.StatusUnauthorized {
		s.t.Errorf("with another key: %d", status)
	}
}

// oneClick: the click itself contains.
func (s *scene) oneClick(duty *guardDuty) {
	key := s.user("build-bot")
	event := s.keyFinding("Impact", "build-bot", key)
	duty.knows(s, event)
	s.brought(otherKey, event)
	alert := s.alert("medium: Impact:IAMUser/AnomalousBehavior in account prod", key, approvals.OneClickText)
	s.click(ben, alert, "propose:deactivate_key")
	card := s.about("contained", "deactivate_key "+key+" ", false)
	if card.ThreadTS != alert.TS || s.count("deactivate_key "+key) != 1 {
		s.t.Errorf("%d cards; this is not in the thread: %s", s.count("deactivate_key "+key), card)
	}
	if st := s.userState("build-bot"); slices.Contains(st.Active, key) || len(st.Active) != 1 || len(st.Attached) != 2 {
		s.t.Errorf("the key's user still has %+v", st)
	}
	s.replied(alert, id(card)+": contained.")
	s.alert("medium: Impact:IAMUser/AnomalousBehavior", key, "*contained*", id(card), "asked for by <@U01BEN>")
}

// keyFinding is a finding of GuardDuty about a user's key, of now, with a type and an ID of its own.
func (s *scene) keyFinding(tactic, user, key string) string {
	s.t.Helper()
	sum := sha256.Sum256([]byte(key))
	return s.event("guardduty_iam_persistence-akia.json", append(lately("2026-11-12T03:14:20.118Z", time.RFC3339),
		"Persistence:", tactic+":", "ci-build", user, "AKIACIBUILDA2EXAMPLE", key, "65a43b58880d17fd4fa2e2766537c0fe", hex.EncodeToString(sum[:16]))...)
}

// onlySaid: that a key exists does not make true what a webhook says of it: a second person decides.
func (s *scene) onlySaid() {
	key := s.user("deploy-bot")
	s.key = key
	s.brought(otherKey, s.event("trustedadvisor_exposedkeys_user.json", "AKIADEPLOYBT2EXAMPLE", key))
	alert := s.alert("high: Exposed Access Keys in account prod", key, "a second responder must approve")
	if says(alert, approvals.OneClickText) {
		s.t.Error("one click would run it")
	}
	s.click(ben, alert, "propose:deactivate_key")
	s.click(ana, s.about("pending 0/1", "deactivate_key "+key+" ", false), "approve")
	s.about("contained", "deactivate_key "+key+" ", false)
	if st := s.userState("deploy-bot"); slices.Contains(st.Active, key) || len(st.Active) != 1 || len(st.Attached) != 2 {
		s.t.Errorf("the key's user still has %+v", st)
	}
}

// lookedUp: what a key that is out did lately is asked for without anybody's word.
// moto has no CloudTrail look-up: that is told, too.
func (s *scene) lookedUp() {
	alert := s.alert("high: Exposed Access Keys", s.key)
	reply := s.replied(alert, alertOf(alert)+": the recent activity could not be read")
	if !says(reply, "AttributeKey=AccessKeyId,AttributeValue="+s.key) {
		s.t.Errorf("it does not say how to look: %s", reply)
	}
}

// alertOf is the ID of a card's alert.
func alertOf(m Message) string { return alertID.FindStringSubmatch(m.Text)[1] }

// drilled: what our own people send looks and works like the real thing, but
// nothing runs without a second person.
func (s *scene) drilled() {
	drill := func(event string) {
		s.t.Helper()
		file := filepath.Join(s.t.TempDir(), "event.json")
		s.must(os.WriteFile(file, []byte(event), 0o600))
		if out, err := s.killswitchEvent(autoKey, file); err != nil || !strings.Contains(out, "1 accepted, as drill-") {
			s.t.Fatalf("%v: %s", err, out)
		}
	}
	key := s.user("drilled-bot")
	drill(s.event("trustedadvisor_exposedkeys_user.json", "AKIADEPLOYBT2EXAMPLE", key))
	alert := s.alert("[DRILL] high: Exposed Access Keys in account prod", key, "*A drill*: our own people sent this")
	if says(alert, approvals.OneClickText) {
		s.t.Error("one click would run it")
	}
	s.click(ana, alert, "propose:deactivate_key")
	card := s.about("pending 0/1", "deactivate_key "+key+" ", false)
	if card.ThreadTS != alert.TS {
		s.t.Errorf("the drill's request is not in its thread: %s", card)
	}
	s.click(ben, card, "deny")
	s.about("denied", "deactivate_key "+key+" ", false)

	drill(s.event("health_exposed_one.json", append(lately("Sun, 15 Nov 2026 00:37:55 GMT", http.TimeFormat), "AKIAHEALTHKY2EXAMPLE", key)...))
	alert = s.alert("[DRILL] high: AWS_RISK_CREDENTIALS_EXPOSED in account prod", key)
	s.click(cem, alert, "false_positive")
	alert = s.alert("[DRILL] high: AWS_RISK_CREDENTIALS_EXPOSED", "*False positive*", "Acknowledge brings its containments back")
	if got := buttons(alert, "propose:"); len(got) != 0 {
		s.t.Errorf("a false positive offers %v", got)
	}
	if st := s.userState("drilled-bot"); len(st.Active) != 2 || len(st.Attached) != 1 {
		s.t.Errorf("a drill has changed the user: %+v", st)
	}
}

// unreadable: what is listed and can't be read is told once, and set aside.
func (s *scene) unreadable() {
	for i, id := range []string{"e5bb7e21-0000-0000-0000-000000000001", "e5bb7e21-0000-0000-0000-000000000002"} {
		s.brought(otherKey, s.event("guardduty_iam_persistence-akia.json", `"severity": 5`, `"severity": "grave"`, "e5bb7e21-d992-5ee5-9f3e-a797d544f04e", id))
		s.counts("EventsUnreadable", i)
	}
	s.told("*An event of GuardDuty by the webhook other could not be read*: ")
	if n := s.count("could not be read*: "); n != 1 || !s.has("Event ID: e5bb7e21-0000-0000-0000-000000000001") {
		s.t.Errorf("told %d times", n)
	}
	if status := s.brings(otherKey, "", `{"source": "aws.guardduty"`); status != http.StatusBadRequest {
		s.t.Errorf("half an event: %d", status)
	}
}

func (s *scene) has(words string) bool { return s.count(words) > 0 }

// finding is the ID of the i-th of many findings.
func finding(i int) string { return fmt.Sprintf("%032x", i) }

// survives: SIGKILL after the answer, at any time; each event has one card. What
// was set aside is still there.
func (s *scene) survives() {
	event := func(i int) string {
		return s.event("guardduty_ec2_backdoor-no-role.json", "6c517b9423318e420f8f44a40add3c72", finding(i))
	}
	for i, pause := range []time.Duration{0, 60, 1000} {
		s.brought(autoKey, event(i))
		time.Sleep(pause * time.Millisecond)
		s.bot.Kill()
		if i == 2 {
			s.setAside(2)
		}
		s.start()
	}
	for i := range 3 {
		s.alert("high: Backdoor:EC2/C&amp;CActivity.B!DNS in account 333333333333", finding(i))
	}
	if n := s.count("high: Backdoor:EC2/C&amp;CActivity"); n != 3 {
		s.t.Errorf("%d cards of 3 findings", n)
	}
}

// setAside fails unless so many messages of webhooks were set aside. Killswitch
// must not run: the file is its own.
func (s *scene) setAside(want int) {
	s.t.Helper()
	db, err := bolt.Open(filepath.Join(s.dir, "data", "killswitch.db"))
	s.must(err)
	defer func() { s.must(db.Close()) }()
	b, err := local.InFile(db, time.Now)
	s.must(err)
	for n := 0; ; n++ {
		d, ok, err := b.Dead.Receive(s.t.Context(), time.Hour)
		s.must(err)
		if !ok {
			if n != want {
				s.t.Errorf("%d messages were set aside, want %d", n, want)
			}
			return
		}
		if !strings.Contains(string(d.Body), `"queue":"webhooks"`) || !strings.Contains(string(d.Body), "grave") {
			s.t.Errorf("set aside: %s", d.Body)
		}
	}
}
