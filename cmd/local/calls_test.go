package local_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// posts are the messages of the incident channel that everybody sees.
func (w *world) posts() (all []slackfake.Message) {
	for _, m := range w.slack.Messages(channel) {
		if m.EphemeralTo == "" {
			all = append(all, m)
		}
	}
	return all
}

// begins checks that a message begins with a text, is in the channel and was not edited
// since: Slack notifies of posts only.
func (w *world) begins(m slackfake.Message, text string) {
	w.t.Helper()
	if !strings.HasPrefix(m.Text, text) || m.Edits != 0 || m.ThreadTS != "" && !m.Broadcast {
		w.t.Errorf("message %q, edited %d times, broadcast %t; want %q", m.Text, m.Edits, m.Broadcast, text)
	}
}

const callToApprove = "Approve? <@U02BOB>, <@U03CAROL>: <@U01ALICE> asks to revoke sessions: app-role in account prod (" + prod + ")"

// TestFirstPostCallsWhoMayApprove: the asker alone hears that it is planned.
func TestFirstPostCallsWhoMayApprove(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.told("U01ALICE", r.ID+": planning")
	posts := w.posts()
	if len(posts) != 2 || posts[0].TS != r.Card.TS || posts[1].ThreadTS != r.Card.TS || posts[1].Broadcast || posts[1].Text != r.ID+": the plan" {
		t.Fatalf("the channel:\n%s", w.said())
	}
	w.begins(posts[0], callToApprove)
	for _, want := range []string{"Why (alice): keys on a paste site", r.ID} {
		if !strings.Contains(posts[0].Text, want) {
			t.Errorf("the call lacks %q: %s", want, posts[0].Text)
		}
	}
	w.clicks("U02BOB", r, "approve")
	w.state(r, approvals.Contained)
}

// TestSlowPlanIsFollowedByACall: there is a card while it is planned, and the call is
// another message.
func TestSlowPlanIsFollowedByACall(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	end := w.clock.Now().Add(2 * time.Minute)
	w.answers("iam:GetRole", apiError("Throttling"), func() bool { return w.clock.Now().Before(end) })
	r := w.asks("U01ALICE", command)
	w.pass(90 * time.Second)
	w.state(r, approvals.Planning)
	posts := w.posts()
	if len(posts) != 1 || !strings.HasPrefix(posts[0].Text, "planning: ") {
		t.Fatalf("the channel:\n%s", w.said())
	}
	w.pass(3 * time.Minute)
	r = w.state(r, approvals.Pending)
	posts = w.posts()
	if len(posts) != 3 || posts[1].TS != r.Card.TS || posts[1].ThreadTS != posts[0].TS || !strings.Contains(posts[0].Text, "has moved") {
		t.Fatalf("the channel:\n%s", w.said())
	}
	w.clicks("U02BOB", r, "approve")
	w.state(r, approvals.Contained)
}

// TestWhoMayApproveIsReminded at half time and shortly before the request expires, and not
// who has approved.
func TestWhoMayApproveIsReminded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.cfg.Policy.Default.Approvals = 2 })
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.clicks("U02BOB", r, "approve")
	reminders := func() (all []slackfake.Message) {
		for _, m := range w.posts() {
			if strings.HasPrefix(m.Text, "Still waiting: ") {
				all = append(all, m)
			}
		}
		return all
	}
	for i, until := range []time.Duration{14 * time.Minute, 16 * time.Minute, 24 * time.Minute, 26 * time.Minute, 40 * time.Minute} {
		w.pass(until - w.clock.Now().Sub(r.Asked))
		got := reminders()
		if want := (i + 1) / 2; i < 4 && len(got) != want || i == 4 && len(got) != 2 {
			t.Fatalf("after %s: %d reminders\n%s", until, len(got), w.said())
		}
		for _, m := range got {
			w.begins(m, "Still waiting: <@U03CAROL>: <@U01ALICE> asks to revoke sessions: app-role")
		}
	}
	w.state(r, approvals.Expired)
}

// TestShortTimeHasOneReminder: at half time, not at once.
func TestShortTimeHasOneReminder(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.cfg.Policy.Default.ApproveWithin = 4 * time.Minute })
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	reminders := func() (n int) {
		for _, m := range w.posts() {
			if strings.HasPrefix(m.Text, "Still waiting: ") {
				n++
			}
		}
		return n
	}
	if w.pass(90 * time.Second); reminders() != 0 {
		t.Errorf("after 90 s:\n%s", w.said())
	}
	if w.pass(140 * time.Second); reminders() != 1 {
		t.Errorf("%d reminders:\n%s", reminders(), w.said())
	}
	w.state(r, approvals.Pending)
}

// TestWhatWentWrongCallsRequesterAndApprover.
func TestWhatWentWrongCallsRequesterAndApprover(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.aws.Fault(denied("iam:PutRolePolicy"))
	r := w.asks("U01ALICE", command)
	w.clicks("U02BOB", w.again(r), "approve")
	r = w.state(r, approvals.Partial)
	posts := w.posts()
	w.begins(posts[len(posts)-1], fmt.Sprintf("%s: NOT CONTAINED: partial. <@U01ALICE> <@U02BOB> Deny all sessions", r.ID))
}
