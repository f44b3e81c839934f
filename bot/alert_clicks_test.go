package bot

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// TestClickSetsTheState: who says what of an alert, and when, is stored and shown.
func TestClickSetsTheState(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		a := gdFinding(1)
		d.hears(a)
		for i, tt := range []struct {
			user, button string
			want         alerts.State
			by           string
			told         string
		}{
			{ana.Slack, "ack", alerts.Acknowledged, ana.ID, ""},
			{ben.Slack, "false_positive", alerts.FalsePositive, ben.ID, ""},
			{eveSlack, "ack", alerts.FalsePositive, ben.ID, "not in the group responders"},
			{"U0STRANGER", "ack", alerts.FalsePositive, ben.ID, "not in Killswitch's list of people"},
			{ana.Slack, "ack", alerts.Acknowledged, ana.ID, ""}, // takes it back
			{ben.Slack, "snooze", alerts.Snoozed, ben.ID, ""},
			{ana.Slack, "ack", alerts.Acknowledged, ana.ID, ""}, // takes that back too
		} {
			time.Sleep(2 * time.Second)
			at := time.Now()
			d.clicks(tt.user, d.row(a), tt.button)
			row := d.row(a)
			if row.State != tt.want || row.By.Person != tt.by || tt.told == "" && !row.At.Equal(at) || row.Stale() {
				t.Errorf("%d: %s by %s at %s, want %s by %s", i, row.State, row.By.Person, row.At, tt.want, tt.by)
			}
			if tt.told != "" {
				d.tellsOnly(tt.user, tt.told)
			}
			offered := strings.Contains(string(d.cards(sec)[0].Blocks), "propose:")
			if offered == (tt.want == alerts.FalsePositive) {
				t.Errorf("%d: a containment is offered: %v", i, offered)
			}
		}
		if n := len(d.replies(d.row(a))); n != 0 {
			t.Errorf("%d replies", n)
		}
	})
}

// TestLateClickSetsNothing: the last word counts, in whatever order words come.
func TestLateClickSetsNothing(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		a := gdFinding(1)
		d.hears(a)
		first := d.clicks(ana.Slack, d.row(a), "snooze")
		revision := d.row(a).Revision
		d.slack.Send(first.Request, first.SentHeader)
		if row := d.row(a); row.Revision != revision {
			t.Error("a click that is delivered again changes something")
		}
		time.Sleep(time.Minute)
		d.clicks(ben.Slack, d.row(a), "false_positive")
		time.Sleep(time.Minute)
		d.slack.Send(first.Request, first.SentHeader)
		if row := d.row(a); row.State != alerts.FalsePositive || row.By.Person != ben.ID {
			t.Errorf("%s by %s", row.State, row.By.Person)
		}
		d.tellsOnly(ana.Slack, "came late")
		time.Sleep(time.Minute)
		d.clicks(ana.Slack, d.row(a), "ack")
		time.Sleep(time.Minute)
		d.slack.ClickRaw(ben.Slack, sec, d.row(a).Card.TS, func(p map[string]any) {
			p["actions"].([]any)[0].(map[string]any)["action_id"] = "ack"
			p["actions"].([]any)[0].(map[string]any)["value"] = d.row(a).ID + ".-"
		})
		d.tellsOnly(ben.Slack, "Somebody was faster")
	})
}

// TestSnoozedAlertIsSilentUnlessItRises: what sleeps is stored and shown and told of to nobody, unless the
// severity rises; after an hour it is told of again.
func TestSnoozedAlertIsSilentUnlessItRises(t *testing.T) {
	for _, tt := range []struct {
		name   string
		button string
		events []finding.Finding
		state  alerts.State // before the hour is over
		then   alerts.State
		loud   []string // replies, all in the channel
	}{
		{"nothing", "snooze", nil, alerts.Snoozed, alerts.Open, []string{"The snooze is over"}},
		{"an update", "snooze", []finding.Finding{gdFinding(1, later(3))}, alerts.Snoozed, alerts.Open, []string{"The snooze is over"}},
		{"it got worse", "snooze", []finding.Finding{gdFinding(1, later(3), severe(9))}, alerts.Open, alerts.Open, []string{"rose from medium to critical"}},
		{"it is over", "snooze", []finding.Finding{gdFinding(1, later(3), func(a *finding.Finding) { a.Over = true })}, alerts.Snoozed, alerts.Open, nil},
		{"a false positive", "false_positive", []finding.Finding{gdFinding(1, later(3))}, alerts.FalsePositive, alerts.FalsePositive, nil},
		{"a false positive got worse", "false_positive", []finding.Finding{gdFinding(1, later(3), severe(9))}, alerts.FalsePositive, alerts.FalsePositive, []string{"rose from medium to critical"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				a := gdFinding(1)
				d.hears(a)
				d.clicks(ana.Slack, d.row(a), tt.button)
				edits := d.cards(sec)[0].Edits
				for _, e := range tt.events {
					d.hears(e)
				}
				if len(tt.events) > 0 && (d.cards(sec)[0].Edits == edits || d.row(a).Stale()) {
					t.Error("the card was not edited")
				}
				d.pass(59 * time.Minute)
				if row := d.row(a); row.State != tt.state {
					t.Errorf("%s within the hour, want %s", row.State, tt.state)
				}
				d.pass(2 * time.Minute)
				if row := d.row(a); row.State != tt.then || row.Stale() {
					t.Errorf("%s after it, want %s", row.State, tt.then)
				}
				replies := d.replies(d.row(a))
				if len(replies) != len(tt.loud) {
					t.Fatalf("replies %v", replies)
				}
				for i, m := range replies {
					if !m.Broadcast || !strings.Contains(m.Text, tt.loud[i]) {
						t.Errorf("reply %q in the channel: %v; want %q", m.Text, m.Broadcast, tt.loud[i])
					}
				}
			})
		})
	}
}

// thread are the cards of requests in an alert's thread.
func (d *desk) thread(a alerts.Alert) (cards []slackfake.Message) {
	return slices.DeleteFunc(d.replies(a), func(m slackfake.Message) bool { return !strings.Contains(m.Text, "· KS-") })
}

const propose = "propose:revoke_sessions"

// TestFalsePositiveOfAnother: what was said of one source's word on a key is not
// said of what another finds out about that key later.
func TestFalsePositiveOfAnother(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		listed, used := gdFinding(1, exposed(finding.TrustedAdvisor), severe(9)), gdFinding(2, key, severe(8))
		d.hears(listed)
		d.clicks(ana.Slack, d.row(listed), "false_positive")
		d.hears(used, used)
		if got := d.row(used); got.State != alerts.Open || len(got.Reports) != 1 || got.Card.TS == "" {
			t.Errorf("it is %s, with %d reports", got.State, len(got.Reports))
		}
		if n := len(d.cards(sec)); n != 2 {
			t.Errorf("%d cards", n)
		}
		d.hears(gdFinding(2, key, severe(8), later(1)))
		if n := len(d.cards(sec)); n != 2 {
			t.Errorf("%d cards after an update", n)
		}
	})
}

// TestClickOnAnOfferMakesARequest: a click makes a request with everything filled in, in the alert's
// thread and in the channel.
func TestClickOnAnOfferMakesARequest(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		a := gdFinding(1)
		d.hears(a)
		row := d.row(a)
		click := d.clicks(ana.Slack, row, propose)
		row = d.row(a)
		if len(row.Requests) != 1 {
			t.Fatalf("born: %v; %s", row.Requests, d.told(ana.Slack))
		}
		r := d.request(row.Requests[0].Request)
		e, err := d.Requests.Evidence(t.Context(), r.Evidence)
		d.must(err)
		if r.ID != approvals.RequestID(e) || e.Body != string(click.Request) || r.State != approvals.Planning || r.Requester.Person != ana.ID || r.Need != 1 ||
			r.Alert != row.ID || r.Event != row.Reports[0].Event || r.Mode != approvals.TwoPerson || r.Reason != "GuardDuty "+a.Type+" in "+account+" us-east-1" ||
			!r.Intent.Call.Equal(a.Containments[0].Call) || r.Card.Channel != sec || r.Card.Thread != row.Card.TS || row.Requests[0].Intent != approvals.IntentDigest(r.Intent) {
			t.Errorf("request %+v", r)
		}
		if jobs := d.jobs.of(approvals.JobPlan); !slices.Equal(jobs, []string{r.ID}) {
			t.Errorf("jobs %v", jobs)
		}
		if n := len(d.thread(row)); n != 0 {
			t.Errorf("%d cards while it is planned", n)
		}
		d.becomes(r.ID, approvals.Pending)
		r, row = d.request(r.ID), d.row(gdFinding(1))
		cards := d.thread(row)
		if len(cards) != 1 || !cards[0].Broadcast || cards[0].ThreadTS != row.Card.TS || cards[0].TS != r.Card.TS {
			t.Fatalf("cards in the thread: %v", cards)
		}
		if card := d.cards(sec)[0]; !strings.Contains(string(card.Blocks), r.ID) || row.Stale() {
			t.Errorf("the alert's card does not show %s: %s", r.ID, card.Blocks)
		}

		d.slack.Send(click.Request, click.SentHeader) // delivered again
		time.Sleep(time.Minute)
		value := approvals.Value(row.ID, row.Requests[0].Intent)
		d.slack.ClickRaw(ben.Slack, sec, row.Card.TS, clickOn(propose, value)) // an old card still offers it
		d.tellsOnly(ben.Slack, r.ID+" asks for the same and is pending")
		if n := len(d.row(a).Requests); n != 1 || len(d.thread(row)) != 1 {
			t.Fatalf("%d requests, %d cards", n, len(d.thread(row)))
		}

		// Its life is shown on the alert's card, and its replies are in the alert's thread.
		edits := d.cards(sec)[0].Edits
		d.becomes(r.ID, approvals.Approved)
		d.must(d.HandleChange(t.Context(), approvals.Change{ID: r.ID})) // nothing new
		if n := d.cards(sec)[0].Edits - edits; n != 1 {
			t.Errorf("the alert's card was edited %d times for one state", n)
		}
		d.becomes(r.ID, approvals.Denied)
		last := d.replies(row)
		if m := last[len(last)-1]; !strings.HasPrefix(m.Text, r.ID+": denied") || m.Broadcast {
			t.Errorf("reply %q, in the channel %v", m.Text, m.Broadcast)
		}

		// What ended can be asked for again.
		time.Sleep(time.Minute)
		d.slack.ClickRaw(ben.Slack, sec, row.Card.TS, clickOn(propose, value))
		if n := len(d.row(a).Requests); n != 2 {
			t.Errorf("%d requests; %s", n, d.told(ben.Slack))
		}
	})
}

// TestSameOfferAgain: what is contained is asked for again only once more was seen.
func TestSameOfferAgain(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		a := gdFinding(1)
		a.Last = time.Now()
		d.hears(a)
		row := d.row(a)
		d.clicks(ana.Slack, row, propose)
		born := d.row(a).Requests[0]
		d.becomes(born.Request, approvals.Pending, approvals.Approved, approvals.Running, approvals.Contained)
		again := func(want int) {
			t.Helper()
			time.Sleep(time.Minute)
			d.slack.ClickRaw(ben.Slack, sec, row.Card.TS, clickOn(propose, approvals.Value(row.ID, born.Intent)))
			if n := len(d.row(a).Requests); n != want {
				t.Errorf("%d requests, want %d; %s", n, want, d.told(ben.Slack))
			}
		}
		again(1)
		a.Count, a.Last, a.Updated = a.Count+1, time.Now(), time.Now()
		d.hears(a)
		again(2)
	})
}

func clickOn(button, value string) func(map[string]any) {
	return func(p map[string]any) {
		action := p["actions"].([]any)[0].(map[string]any)
		action["action_id"], action["value"] = button, value
	}
}

// TestClickOnAnOfferIsRefused: what may not be asked for makes no request, and the person
// is told why.
func TestClickOnAnOfferIsRefused(t *testing.T) {
	other := approvals.IntentDigest(approvals.Intent{Call: actions.Call{Action: actions.DeleteRole, Target: "arn:aws:iam::" + account + ":role/role-1", Account: account}})
	for _, tt := range []struct {
		name string
		user string
		do   func(d *desk, a finding.Finding)
		on   func(id, digest string) (button, value string)
		told string
	}{
		{"no responder", eveSlack, nil, nil, "not in the group responders"},
		{"a stranger", "U0STRANGER", nil, nil, "list of people"},
		{"another call", ana.Slack, nil, func(id, _ string) (string, string) { return propose, approvals.Value(id, other) }, "no longer offers this"},
		{"another action's button", ana.Slack, nil, func(id, dig string) (string, string) { return "propose:delete_role", approvals.Value(id, dig) }, "no longer offers this"},
		{"a button with a great number", ana.Slack, nil, func(id, dig string) (string, string) { return propose + ":100", approvals.Value(id, dig) }, "no longer offers this"},
		{"a button with a word", ana.Slack, nil, func(id, dig string) (string, string) { return propose + ":all", approvals.Value(id, dig) }, "no longer offers this"},
		{"an unknown alert", ana.Slack, nil, func(_, dig string) (string, string) {
			return propose, approvals.Value(approvals.AlertID("x"), dig)
		}, "There is no alert"},
		{"a false positive", ana.Slack, func(d *desk, a finding.Finding) { d.clicks(ben.Slack, d.row(a), "false_positive") }, nil, "no longer offers this"},
		{"it is over", ana.Slack, func(d *desk, _ finding.Finding) {
			d.hears(gdFinding(1, later(1), func(a *finding.Finding) { a.Over = true }))
		}, nil, "no longer offers this"},
		{"the configuration changed", ana.Slack, func(d *desk, _ finding.Finding) { d.Findings.Routes[0].Delivery = finding.Notify }, nil, "no longer offers this"},
		{"no route any more", ana.Slack, func(d *desk, _ finding.Finding) { d.Findings.Routes = nil }, nil, "no longer offers this"},
		{"the event has expired", ana.Slack, func(d *desk, _ finding.Finding) {
			d.must(d.store.Store.(interface {
				Sweep(ctx context.Context, now time.Time) error
			}).Sweep(d.Context(), time.Now().Add(8*24*time.Hour)))
		}, nil, "no longer kept"},
		{"not in the Slack user group", ana.Slack, func(d *desk, _ finding.Finding) {
			d.Usergroups = map[string]string{"responders": "S0R"}
			d.slack.SetUsergroup("S0R", []string{ben.Slack})
		}, nil, "not in the Slack user group"},
		{"a protected account", ana.Slack, func(d *desk, _ finding.Finding) { d.Org.ProtectedAccounts = []string{account} }, nil, "is protected"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				a := gdFinding(1)
				d.hears(a)
				row := d.row(a)
				button, value := propose, approvals.Value(row.ID, approvals.IntentDigest(approvals.Intent{Call: a.Containments[0].Call}))
				if tt.on != nil {
					button, value = tt.on(row.ID, approvals.IntentDigest(approvals.Intent{Call: a.Containments[0].Call}))
				}
				if tt.do != nil {
					tt.do(d, a)
				}
				time.Sleep(time.Second)
				d.slack.ClickRaw(tt.user, sec, row.Card.TS, clickOn(button, value))
				d.tellsOnly(tt.user, tt.told)
				if n := len(d.row(a).Requests); n != 0 || len(d.jobs.jobs) != 0 || len(d.thread(row)) != 0 {
					t.Errorf("%d requests, jobs %v", n, d.jobs.jobs)
				}
			})
		})
	}
}

// TestOneClickIsForRealFindings: the click itself lets it run, but not of what is not real, nor
// of what nobody can confirm, nor against a target that is not sure.
func TestOneClickIsForRealFindings(t *testing.T) {
	for _, tt := range []struct {
		name    string
		alter   func(*finding.Finding)
		release approvals.ApprovalMode
		need    int
	}{
		{"real", func(*finding.Finding) {}, approvals.OneClick, 0},
		{"a mock", func(a *finding.Finding) { a.Mark = finding.Mock }, approvals.TwoPerson, 1},
		{"of an unsure target", func(a *finding.Finding) { a.Containments[0].Unsure = "It is a name." }, approvals.TwoPerson, 1},
		{"with nobody to ask", func(a *finding.Finding) { a.Confirmation = source.Confirmation{} }, approvals.TwoPerson, 1},
		{"a drill", func(a *finding.Finding) { a.Mark = finding.Drill }, approvals.TwoPerson, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.Findings.MockSources = true
				d.Findings.Routes[0].OneClick = true
				a := gdFinding(1, tt.alter)
				d.hears(a)
				if says := strings.Contains(string(d.cards(sec)[0].Blocks), approvals.OneClickText); says != (tt.release == approvals.OneClick) {
					t.Errorf("the card says that one click runs it: %v", says)
				}
				d.clicks(ana.Slack, d.row(a), propose)
				r := d.request(d.row(a).Requests[0].Request)
				if r.Mode != tt.release || r.Need != tt.need {
					t.Errorf("released by %q, needs %d", r.Mode, r.Need)
				}
			})
		})
	}
}

// TestTwoClicksMakeOneRequest: two people who click at the same time make one request.
func TestTwoClicksMakeOneRequest(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		a := gdFinding(1)
		d.hears(a)
		once := false
		d.store.fail = func(puts []approvals.Put, after bool) error {
			if !after && !once && puts[0].Sort == "request" { // between Ana's look and her write
				once = true
				d.clicks(ben.Slack, d.row(a), propose)
			}
			return nil
		}
		d.clicks(ana.Slack, d.row(a), propose)
		d.becomes(d.row(a).Requests[0].Request, approvals.Pending)
		row := d.row(a)
		if !once || len(row.Requests) != 1 || len(d.thread(row)) != 1 || d.request(row.Requests[0].Request).Requester.Person != ben.ID {
			t.Errorf("%d requests, %d cards", len(row.Requests), len(d.thread(row)))
		}
		d.tellsOnly(ana.Slack, row.Requests[0].Request+" asks for the same")
	})
}

// TestUndoIsInTheThread: what follows from a request of an alert has its card
// beside it.
func TestUndoIsInTheThread(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		a := gdFinding(1)
		d.hears(a)
		d.clicks(ana.Slack, d.row(a), propose)
		r := d.request(d.row(a).Requests[0].Request)
		d.becomes(r.ID, approvals.Pending, approvals.Approved, approvals.Running, approvals.Contained)
		time.Sleep(time.Minute)
		r = d.request(r.ID)
		d.slack.ClickRaw(ben.Slack, sec, r.Card.TS, clickOn("undo", approvals.Value(r.ID, r.Digest)))
		d.pass(time.Minute) // it is planned for long
		if cards := d.thread(d.row(a)); len(cards) != 2 || !cards[1].Broadcast || !strings.Contains(cards[1].Text, "undo of "+r.ID) {
			t.Errorf("cards in the thread: %v; %s", cards, d.told(ben.Slack))
		}
	})
}

// TestRequestIsPostedWithoutItsAlertsCard: without its parent in Slack a request's card is posted all the same.
func TestRequestIsPostedWithoutItsAlertsCard(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		a := gdFinding(1)
		d.hears(a)
		row := d.row(a)
		d.clicks(ana.Slack, row, propose)
		r := d.request(d.row(a).Requests[0].Request)
		d.slack.Lose(sec, row.Card.TS)
		d.slack.Lose(sec, r.Card.TS)
		d.becomes(r.ID, approvals.Pending)
		r = d.request(r.ID)
		var found []slackfake.Message
		for _, m := range d.slack.Messages(sec) {
			if m.TS == r.Card.TS {
				found = append(found, m)
			}
		}
		if len(found) != 1 {
			t.Fatalf("messages %v", d.slack.Messages(sec))
		}
		if n := len(d.cards(sec)); n != 1 {
			t.Errorf("%d cards of the alert", n)
		}
	})
}
