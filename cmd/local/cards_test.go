package local_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// What people read of what the executor found. That it finds the right thing is
// tested beside it; here it has to come as far as the card.

const exposedKey = "AKIA0123456789ABCDEF"

// exposed is a world with a key in a public repository, and somebody who has used it.
func exposed(w *world) {
	w.aws.Account(prod).AddUser(awsfake.User{Name: "bernd", Keys: []awsfake.AccessKey{{ID: exposedKey}}, Tags: map[string]string{},
		Inline: map[string]string{"all": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`}})
	w.cfg.SNSTopic = w.aws.AddTopic("security-alerts")
	w.cfg.Org.Regions = []string{region, "eu-west-1"}
	for i := range 60 {
		w.aws.Account(prod).AddEvents("eu-west-1", trailtypes.Event{
			EventName: aws.String("ListBuckets"), EventTime: aws.Time(w.clock.Now().Add(-time.Duration(i+1) * time.Minute)), AccessKeyId: aws.String(exposedKey), Username: aws.String("bernd"),
			CloudTrailEvent: aws.String(`{"sourceIPAddress":"203.0.113.66","userAgent":"aws-cli/2 <!channel>","errorCode":"AccessDenied"}`),
		})
	}
}

// TestCardsTellWhatTheExecutorFound.
func TestCardsTellWhatTheExecutorFound(t *testing.T) {
	t.Parallel()
	held := func(w *world) approvals.Request {
		r := w.contained(command)
		w.pass(2 * time.Minute)
		return r
	}
	asked := func(w *world, r approvals.Request) approvals.Request {
		w.clicks("U03CAROL", w.again(r), "undo")
		return w.undoOf(r)
	}
	failed := func(w *world) approvals.Request {
		w.aws.Fault(denied("iam:PutRolePolicy"))
		r := w.asks("U01ALICE", command)
		w.clicks("U02BOB", w.again(r), "approve")
		w.aws.ClearFaults()
		w.clock.Add(time.Minute)
		return w.state(r, approvals.Partial)
	}
	for name, c := range map[string]struct {
		alter []func(*world)
		do    func(*world) approvals.Request // whose card is looked at
		card  []string
		said  []string // anywhere
		not   []string // said
	}{
		"somebody works against it": {do: func(w *world) approvals.Request {
			r := w.contained(command)
			for range 60 {
				if w.policy("app-role") != "" {
					w.dropDeny()
				}
				w.pass(5 * time.Second)
			}
			return w.state(r, approvals.Contained)
		}, card: []string{"somebody undid it 3 times; the last time it was applied again", "Watched until 28 Nov"},
			said: []string{"works against this containment", "@here", "removal 3. It was applied again"}, not: []string{"removal 4", "not applied again"}},
		"it can't be read for a while": {do: func(w *world) approvals.Request {
			r := w.contained(command)
			w.aws.Fault(denied("iam:GetRole*"))
			w.pass(2 * time.Minute)
			return w.state(r, approvals.Contained)
		}, card: []string{"It can't be read since 03:00:05 UTC: AccessDenied"}, said: []string{"it can't be read since"}, not: []string{"it holds", "It held", "still held"}},
		"it can be read again": {do: func(w *world) approvals.Request {
			r := w.contained(command)
			w.aws.Fault(denied("iam:GetRole*"))
			w.pass(2 * time.Minute)
			w.aws.ClearFaults()
			w.pass(40 * time.Minute)
			return w.state(r, approvals.Contained)
		}, card: []string{"every step was read back; AWS enforces it within seconds, sometimes a few minutes. Watched until 28 Nov"}, said: []string{"checked again 3 times: it holds. Watched until 28 Nov"}},
		"a step failed": {do: failed, card: []string{"not just now", "Retry what is left"}},
		"a stranger's retry": {do: func(w *world) approvals.Request {
			r := failed(w)
			w.clicks("U05STRANGER", r, "retry")
			return w.state(r, approvals.Partial)
		}, card: []string{"Retry what is left"}},
		"the retry is too late": {do: func(w *world) approvals.Request {
			r := failed(w)
			w.clock.Add(time.Hour)
			w.clicks("U01ALICE", r, "retry")
			return w.state(r, approvals.Partial)
		}, said: []string{"time to retry is over"}},
		"the retry is no longer approved": {do: func(w *world) approvals.Request {
			r := failed(w)
			w.cfg.Policy.Default.Approvals = 2
			w.start()
			w.clicks("U01ALICE", r, "retry")
			return w.state(r, approvals.Partial)
		}, card: []string{"t is no longer approved"}},
		"the account is protected by now": {do: func(w *world) approvals.Request {
			r := w.state(w.asks("U01ALICE", command), approvals.Pending)
			w.cfg.Org.ProtectedAccounts = append(w.cfg.Org.ProtectedAccounts, prod)
			w.start()
			w.clicks("U02BOB", r, "approve")
			return w.state(r, approvals.Refused)
		}, card: []string{"is protected by the configuration"}},
		"the survey is not whole": {do: func(w *world) approvals.Request {
			w.answers("iam:List*", apiError("Throttling"), func() bool { return true })
			return w.state(w.asks("U01ALICE", command), approvals.Pending)
		}, card: []string{"The blast radius could not be read in full (Throttling"}},
		"AWS asks for patience": {do: func(w *world) approvals.Request {
			w.answers("iam:GetRole", apiError("Throttling"), func() bool { return true })
			return w.state(w.asks("U01ALICE", command), approvals.Planning)
		}, card: []string{"it is tried again. Throttling: not just now"}},
		"AWS asked for patience": {do: func(w *world) approvals.Request {
			down := true
			w.answers("iam:GetRole", apiError("Throttling"), func() bool { return down })
			r := w.state(w.asks("U01ALICE", command), approvals.Planning)
			down = false
			w.pass(2 * time.Minute)
			return w.state(r, approvals.Pending)
		}, not: []string{"Throttling"}},
		"AWS asks for patience with an undo": {do: func(w *world) approvals.Request {
			r := held(w)
			w.answers("sts:AssumeRole", apiError("ServiceUnavailable"), func() bool { return true })
			u := w.state(asked(w, r), approvals.Planning)
			w.pass(time.Minute)
			return u
		}, card: []string{"ServiceUnavailable"}},
		"there is no such role": {do: func(w *world) approvals.Request {
			return w.state(w.asks("U01ALICE", "revoke_sessions prod/nobody reason=leak"), approvals.Refused)
		}, card: []string{"here is no role nobody"}},
		"the role was created again": {do: func(w *world) approvals.Request {
			r := w.asks("U01ALICE", command)
			w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role"})
			w.clicks("U02BOB", w.again(r), "approve")
			return w.state(r, approvals.Contained)
		}, card: []string{"deleted and created again"}},
		"the role was created again later": {do: func(w *world) approvals.Request {
			r := w.contained(command)
			w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role"})
			w.pass(3 * time.Minute)
			return w.state(r, approvals.Partial)
		}, card: []string{"NOT CONTAINED", "deleted and created again"}, said: []string{"not applied again: the new one is not what was approved: ask for it"}},
		"all stands again": {do: func(w *world) approvals.Request { r := held(w); w.undo(r); return r }, card: []string{"what stood before stands again"}, said: []string{"restored"}},
		"of the undo of a user": {alter: []func(*world){exposed}, do: func(w *world) approvals.Request {
			return w.state(asked(w, w.contained("quarantine_user prod/bernd stolen")), approvals.Pending)
		}, said: []string{"stays: a compromised key stays inactive"}},
		"a key stays, of a user": {alter: []func(*world){exposed}, do: func(w *world) approvals.Request {
			r := w.contained("quarantine_user prod/bernd stolen")
			w.undo(r)
			return r
		}, card: []string{"what could be taken back is back; 1 step stays: "}, not: []string{"what stood before stands again"}},
		"a key stays, of the undo": {alter: []func(*world){exposed}, do: func(w *world) approvals.Request { return w.undo(w.contained("quarantine_user prod/bernd stolen")) },
			card: []string{"what could be taken back is back and was read back; 1 step stays: "}, not: []string{"what stood before stands again"}},
		"a key is not given back by a click": {alter: []func(*world){exposed}, do: func(w *world) approvals.Request {
			r := w.contained("deactivate_key " + exposedKey + " found in a public repository")
			w.clicks("U01ALICE", r, "undo")
			return w.state(r, approvals.Contained)
		}, said: []string{"keys=reactivate"}},
		"another request holds the deny": {do: func(w *world) approvals.Request {
			first := held(w)
			second := w.contained(anotherCommand)
			w.pass(2 * time.Minute)
			w.undo(first)
			w.state(second, approvals.Contained)
			w.shows(first, "2 steps stay: "+second.ID+" holds it too")
			return first
		}, said: []string{"holds it too"}, not: []string{"what stood before stands again"}},
		"the containment was applied again": {do: func(w *world) approvals.Request {
			r := held(w)
			w.aws.Fault(denied("iam:DeleteRolePolicy"))
			w.clicks("U01ALICE", w.state(asked(w, r), approvals.Pending), "approve")
			w.aws.ClearFaults()
			w.clock.Add(time.Minute)
			u := w.state(asked(w, w.state(r, approvals.Partial)), approvals.Pending)
			w.clicks("U02BOB", w.again(r), "retry")
			w.state(r, approvals.Contained)
			w.clicks("U01ALICE", u, "approve")
			return w.state(u, approvals.Refused)
		}, card: []string{"was applied again since this undo was approved"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.alter...)
			r := c.do(w)
			w.pass(10 * time.Second) // Slack takes a message a second
			for _, want := range c.card {
				w.shows(r, want)
			}
			for _, want := range c.said {
				if !strings.Contains(flat(w.said()), want) {
					t.Errorf("nobody says %q:\n%s", want, w.said())
				}
			}
			for _, not := range c.not {
				if strings.Contains(flat(w.said()), not) {
					t.Errorf("somebody says %q:\n%s", not, w.said())
				}
			}
			w.quiet()
		})
	}
}

// TestUndoThatGrantsIsShown: what would be put back is among the warnings.
func TestUndoThatGrantsIsShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) {
		w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Inline: map[string]string{"AWSRevokeOlderSessions": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"secretsmanager:*","Resource":"*"}]}`}})
	})
	r := w.contained(command)
	w.clicks("U03CAROL", w.again(r), "undo")
	card := w.card(w.state(w.undoOf(r), approvals.Pending))
	_, warnings, _ := strings.Cut(card, "Does Take back")
	for _, want := range []string{"What would be put back allows this", `"Effect":"Allow","Action":"secretsmanager:`} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no warning of %s: %s", want, card)
		}
	}
}

// TestReportIsInTheThread, once, also of what failed.
func TestReportIsInTheThread(t *testing.T) {
	t.Parallel()
	for _, want := range []approvals.State{approvals.Contained, approvals.Failed} {
		t.Run(string(want), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, exposed)
			if want == approvals.Failed {
				w.aws.Fault(denied("iam:UpdateAccessKey"))
			}
			r := w.asks("U01ALICE", "deactivate_key "+exposedKey+" found in a public repository")
			w.clicks("U02BOB", w.state(r, approvals.Pending), "approve")
			w.state(r, want)
			w.pass(2 * time.Minute) // the re-checks don't report again
			said := w.said()
			for _, words := range []string{"prod (" + prod + ")", "ListBuckets", "60"} {
				if !strings.Contains(said, words) {
					t.Errorf("nobody says %q in\n%s", words, said)
				}
			}
			if n := strings.Count(said, "203.0.113.66"); n != 1 {
				t.Errorf("the report is there %d times", n)
			}
			if n := len(w.aws.Notices()); n != 1 {
				t.Errorf("%d notices", n)
			}
		})
	}
}

// TestSecretIsNotRepeated: a secret key that was typed by mistake is repeated
// nowhere, and whoever typed it is told to rotate it.
func TestSecretIsNotRepeated(t *testing.T) {
	t.Parallel()
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	for _, line := range []string{"deactivate_key " + secret + " leaked", "deactivate_key " + exposedKey + " " + secret} {
		w := newWorld(t, exposed)
		w.types("U01ALICE", line)
		if said := w.said(); strings.Contains(said, "wJalr") || !strings.Contains(said, "rotate it") {
			t.Errorf("%s", said)
		}
	}
}

// TestCardOfADeletionOffersTheReversibleAction: the card of a deletion offers the reversible way; whoever
// clicks asks for it, and a second person approves that.
func TestCardOfADeletionOffersTheReversibleAction(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.asks("U01ALICE", "delete_role prod/app-role confirm=app-role made by the attacker")
	r = w.state(r, approvals.Pending)
	w.clicks("U04MALLORY", r, "propose:detach_policies") // no responder
	w.clicks("U01ALICE", r, "propose:detach_policies")
	var strip approvals.Request
	for _, other := range w.all() {
		if other.Intent.Call.Action == "detach_policies" {
			strip = other
		}
	}
	if len(w.all()) != 2 || strip.Requester.Person != "alice" || strip.Reason != "instead of "+r.ID {
		t.Fatalf("asked for: %+v", w.all())
	}
	w.clicks("U01ALICE", w.state(strip, approvals.Pending), "approve")
	w.state(strip, approvals.Pending)
	w.clicks("U02BOB", strip, "approve")
	w.state(strip, approvals.Contained)
	w.state(r, approvals.Pending)
}

// TestEndOfTheWatchIsToldAndAClickProlongsIt: the reply has the button, and is evidence.
func TestEndOfTheWatchIsToldAndAClickProlongsIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) { w.cfg.Policy.Watch = time.Hour })
	r := w.contained(command)
	w.pass(50 * time.Minute)
	w.types("U01ALICE", "list")
	w.drain()
	if said := strings.Join(strings.Fields(w.said()), " "); !strings.Contains(said, ", watched until 21 Nov 04:00 UTC") {
		t.Errorf("list does not say until when:\n%s", said)
	}
	over := func() (replies []slackfake.Message) {
		for _, m := range w.slack.Thread(r.Card.Channel, r.Card.TS) {
			if strings.Contains(m.Text, "nobody watches it any more") {
				replies = append(replies, m)
			}
		}
		return replies
	}
	if n := len(over()); n != 0 || !strings.Contains(w.card(r), "Watched until 21 Nov 04:00 UTC") {
		t.Errorf("%d replies before its end; the card: %s", n, w.card(r))
	}
	w.pass(15 * time.Minute)
	replies := over()
	if len(replies) != 1 || !strings.Contains(replies[0].Text, "<@U01ALICE>") || !strings.Contains(w.card(r), "nobody watches it any more") {
		t.Fatalf("%d replies; the card: %s", len(replies), w.card(r))
	}
	w.dropDeny()
	for _, user := range []string{"U05STRANGER", "U03CAROL"} {
		if d := w.slack.Click(user, r.Card.Channel, replies[0].TS, "watch"); d.Err != nil || d.Status != 200 {
			t.Fatalf("%d %v", d.Status, d.Err)
		}
		w.drain()
		if card := w.card(r); strings.Contains(card, "Watched until 21 Nov 05:05 UTC") != (user == "U03CAROL") {
			t.Errorf("after the click of %s: %s", user, card)
		}
	}
	if w.pass(time.Minute); w.policy("app-role") == "" {
		t.Error("it is not watched on")
	}
}

// TestCardsInSocketMode: whoever looks at a card is told that no signature stands behind its clicks.
func TestCardsInSocketMode(t *testing.T) {
	t.Parallel()
	for _, allowed := range []bool{false, true} {
		w, event := exfiltrated(t, finding.Route{Delivery: finding.Propose})
		w.cfg.SocketMode = allowed
		w.start()
		w.arrive(event)
		r := w.state(w.asks("U01ALICE", command), approvals.Pending)
		cards := []string{flat(w.cardOf(w.alertRow())), w.card(r)}
		w.clicks("U02BOB", r, "approve")
		for _, card := range append(cards, w.card(w.state(r, approvals.Contained))) {
			if strings.Contains(card, "no signature stands behind a click") != allowed {
				t.Errorf("allowed %t: %s", allowed, card)
			}
		}
	}
}
