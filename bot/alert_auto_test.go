package bot

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// autoRoute makes the route of GuardDuty one that contains by itself.
func autoRoute(d *desk) {
	d.Findings.Routes[0].Delivery = finding.Auto
	d.Findings.Routes[0].Suggest = []finding.Suggestion{{Action: actions.RevokeSessions}, {Action: actions.IsolateInstance}}
}

func isolate(a *finding.Finding) {
	a.Containments = append(a.Containments, finding.Containment{Call: actions.Call{Action: actions.IsolateInstance, Target: "i-0d3e1a5b7c9f20001", Account: account, Region: "us-east-1"}})
}

// TestRuleAsksForEachContainmentOnce: a rule asks for each of its calls, once, with evidence that the
// executor can compare.
func TestRuleAsksForEachContainmentOnce(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		a := gdFinding(1, isolate)
		d.hears(a)
		row := d.row(a)
		if len(row.Requests) != 2 || len(d.jobs.of(approvals.JobPlan)) != 2 {
			t.Fatalf("requests %v, jobs %v", row.Requests, d.jobs.jobs)
		}
		for i, born := range row.Requests {
			r := d.request(born.Request)
			e, err := d.Requests.Evidence(t.Context(), r.Evidence)
			d.must(err)
			var ruled approvals.RuleRequest
			d.must(json.Unmarshal([]byte(e.Body), &ruled))
			want := approvals.Intent{Call: a.Containments[i].Call}
			if e.Kind != approvals.RuleEvidence || e.Timestamp != strconv.FormatInt(row.Received.Unix(), 10) || ruled.Alert != row.ID ||
				ruled.Event != row.Reports[0].Event || ruled.Intent.String() != want.String() {
				t.Errorf("evidence %+v", e)
			}
			if !born.Rule || r.ID != approvals.RequestID(e) || r.Requester != (approvals.Actor{Person: approvals.AutomaticRequester}) || r.Mode != approvals.Automatic ||
				r.Need != 0 || r.Alert != row.ID || r.Event != ruled.Event || r.Intent.String() != want.String() || !r.Asked.Equal(row.Received.Truncate(time.Second)) ||
				r.Reason != "GuardDuty "+a.Type+" in "+account+" us-east-1" || r.State != approvals.Planning {
				t.Errorf("request %+v", r)
			}
			if r.Card.Thread != row.Card.TS || r.Card.TS == "" {
				t.Errorf("its card: %+v", r.Card)
			}
		}
		if n := len(d.thread(row)); n != 2 {
			t.Errorf("%d cards in the thread", n)
		}
		for range 3 {
			d.hears(a, gdFinding(1, isolate, later(1)), gdFinding(1, isolate, later(2)))
		}
		if n := len(d.row(a).Requests); n != 2 {
			t.Errorf("%d requests after it came again", n)
		}
	}, autoRoute)
}

// TestRuleLeavesUnsureTargets: that an attacker gave a session the name of an
// instance stops nothing but what is done to that instance.
func TestRuleLeavesUnsureTargets(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		a := gdFinding(1, isolate, func(a *finding.Finding) { a.Containments[1].Unsure = "It is a name." })
		d.hears(a)
		row := d.row(a)
		if len(row.Requests) != 1 || d.request(row.Requests[0].Request).Intent.Call.Action != actions.RevokeSessions {
			t.Errorf("requests %v", row.Requests)
		}
	}, autoRoute)
}

// TestWhenARuleAsks tells what makes a rule ask, and what does not.
func TestWhenARuleAsks(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(d *desk)
		want int
	}{
		{"the queue alerts", func(d *desk) { d.hears(gdFinding(1)) }, 1},
		{"a webhook", func(d *desk) {
			d.must(d.HandleWebhook(d.Context(), Webhook{ID: "eventbridge", Path: "/events", Body: string(body(gdFinding(1)))}))
		}, 0},
		{"a webhook, then the queue", func(d *desk) {
			d.must(d.HandleWebhook(d.Context(), Webhook{ID: "eventbridge", Path: "/events", Body: string(body(gdFinding(1)))}))
			d.hears(gdFinding(1))
		}, 1},
		{"a mock", func(d *desk) { d.hears(gdFinding(1, func(a *finding.Finding) { a.Mark = finding.Mock })) }, 0},
		{"an update that offers more", func(d *desk) { d.hears(gdFinding(1), gdFinding(1, isolate, later(1))) }, 2},
		{"a late update that offers more", func(d *desk) { d.hears(gdFinding(1, later(2)), gdFinding(1, isolate, later(1))) }, 1},
		{"a false positive's update", func(d *desk) {
			d.Findings.Routes[0].Delivery = finding.Propose
			d.hears(gdFinding(1))
			d.clicks(ana.Slack, d.row(gdFinding(1)), "false_positive")
			d.Findings.Routes[0].Delivery = finding.Auto
			d.hears(gdFinding(1, later(1)))
		}, 0},
		{"what a person has asked for", func(d *desk) {
			d.Findings.Routes[0].Delivery = finding.Propose
			d.hears(gdFinding(1))
			d.clicks(ana.Slack, d.row(gdFinding(1)), propose)
			d.Findings.Routes[0].Delivery = finding.Auto
			d.hears(gdFinding(1, later(1)))
		}, 0},
		{"the same long after", func(d *desk) {
			d.Findings.Routes[0].Delivery = finding.Propose
			d.hears(gdFinding(1))
			d.Findings.Routes[0].Delivery = finding.Auto
			time.Sleep(time.Hour)
			d.hears(gdFinding(1))
		}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.Findings.MockSources = true
				tt.do(d)
				d.pass(time.Minute)
				n := 0
				for _, born := range d.row(gdFinding(1)).Requests {
					if born.Rule {
						n++
					}
				}
				if n != tt.want {
					t.Errorf("%d requests of the rule, want %d", n, tt.want)
				}
			}, autoRoute)
		})
	}
}

// TestOneEventAtManyWorkersMakesOneRequest: however many workers have the event, it is asked for once.
func TestOneEventAtManyWorkersMakesOneRequest(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { _ = d.HandleEvent(t.Context(), body(gdFinding(1, isolate))) })
		}
		wg.Wait()
		d.pass(time.Minute)
		row := d.row(gdFinding(1))
		if len(row.Requests) != 2 || len(d.thread(row)) != 2 || len(d.cards(sec)) != 1 {
			t.Errorf("%d requests, %d cards in the thread, %d cards", len(row.Requests), len(d.thread(row)), len(d.cards(sec)))
		}
	}, autoRoute)
}

// TestAutomaticRequestIsPostedAtOnce: containment does not wait for room in the channel,
// nor for Slack.
func TestAutomaticRequestIsPostedAtOnce(t *testing.T) {
	full := func(d *desk) {
		d.must(d.alerts().ChangeRateLimit(d.Context(), sec, func(r *alerts.RateLimit) error {
			r.PausedUntil = time.Now().Add(10 * time.Minute)
			return nil
		}))
	}
	atDesk(t, func(t *testing.T, d *desk) {
		full(d)
		began := time.Now()
		d.hears(gdFinding(1))
		row := d.row(gdFinding(1))
		if took := time.Since(began); took != 0 || row.Card.TS == "" || len(d.thread(row)) != 1 {
			t.Errorf("it took %s; %d cards in the thread", took, len(d.thread(row)))
		}
	}, autoRoute)
	atDesk(t, func(t *testing.T, d *desk) {
		d.slack.OnCall(func(string, bool) error { return errBroken })
		d.hears(gdFinding(1))
		if n := len(d.jobs.of(approvals.JobPlan)); n != 1 {
			t.Fatalf("jobs %v", d.jobs.jobs)
		}
		id := d.row(gdFinding(1)).Requests[0].Request
		d.becomes(id, approvals.Refused)
		d.slack.OnCall(nil)
		d.pass(time.Minute)
		row := d.row(gdFinding(1))
		if r := d.request(id); r.Stale() || row.Stale() || len(d.cards(sec)) != 1 {
			t.Errorf("request %+v, alert %+v", r.Card, row.Card)
		}
	}, autoRoute)
	atDesk(t, func(t *testing.T, d *desk) { // the job is lost: another delivery, or the sweep, sends it
		d.jobs.err = errBroken
		if err := d.HandleEvent(t.Context(), body(gdFinding(1))); !errors.Is(err, errBroken) {
			t.Errorf("error %v", err)
		}
		d.jobs.err = nil
		d.pass(30 * time.Second)
		if n := len(d.jobs.of(approvals.JobPlan)); n != 1 {
			t.Errorf("jobs %v", d.jobs.jobs)
		}
	}, autoRoute)
}

// TestReleasedRequestsExpire: without votes, time is reckoned from when it could run.
func TestReleasedRequestsExpire(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1))
		id := d.row(gdFinding(1)).Requests[0].Request
		time.Sleep(10 * time.Minute) // planning took long
		_, err := d.Requests.Change(t.Context(), id, func(r *approvals.Request) error {
			r.Ready = time.Now()
			return r.To(approvals.Approved, time.Now())
		})
		d.must(err)
		d.pass(4 * time.Minute)
		if r := d.request(id); r.State != approvals.Approved || len(d.jobs.of(approvals.JobRun)) != 1 {
			t.Errorf("%s; jobs %v", r.State, d.jobs.jobs)
		}
		d.pass(2 * time.Minute)
		if r := d.request(id); r.State != approvals.Expired {
			t.Errorf("%s, want expired", r.State)
		}
		if m := d.cards(sec)[0]; !strings.Contains(string(m.Blocks), "xpired") {
			t.Errorf("the alert's card: %s", m.Blocks)
		}
	}, autoRoute)
}

// seenAgain is an update of now of a finding.
func seenAgain(key string) func(*finding.Finding) {
	return func(a *finding.Finding) {
		a.Last, a.Updated, a.Count, a.EventID = time.Now(), time.Now(), a.Count+1, "event-"+key
		a.Facts = []finding.Fact{{Label: "Key", Text: key}}
	}
}

// TestRuleContainsAgainWhatIsSeenAgain: the second theft from the same instance is an update of the same
// finding, and the first containment's cut-off does not reach its key. Each is contained once.
func TestRuleContainsAgainWhatIsSeenAgain(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.hears(gdFinding(1, seenNow))
		last := func(want int) (id string) {
			t.Helper()
			rs := d.row(gdFinding(1)).Requests
			if len(rs) != want || len(d.jobs.of(approvals.JobPlan)) != want {
				t.Fatalf("%d requests and %d jobs, want %d", len(rs), len(d.jobs.of(approvals.JobPlan)), want)
			}
			return rs[want-1].Request
		}
		id := last(1)
		d.becomes(id, approvals.Approved, approvals.Running)
		time.Sleep(time.Second)
		during := gdFinding(1, seenAgain("ASIA1"))
		d.hears(during) // while the first is under way
		last(1)
		time.Sleep(time.Second)
		d.becomes(id, approvals.Contained)
		d.hears(during)
		last(1)
		time.Sleep(20 * time.Minute)
		since := gdFinding(1, seenAgain("ASIA2"))
		d.hears(since)
		again := last(2)
		if r := d.request(again); r.Mode != approvals.Automatic || again == id || !d.row(since).Requests[1].Rule {
			t.Errorf("%+v", r)
		}
		d.hears(since, since, during)
		d.becomes(again, approvals.Approved, approvals.Running, approvals.Contained)
		d.hears(since)
		last(2)
		time.Sleep(time.Hour)
		d.hears(gdFinding(1, seenAgain("ASIA3")))
		last(3)
	}, autoRoute)
}

// TestRuleAsksForWhatWasSeenSince: an update that tells of nothing new after the end asks for nothing.
func TestRuleAsksForWhatWasSeenSince(t *testing.T) {
	for _, end := range []approvals.State{approvals.Refused, approvals.Expired} {
		atDesk(t, func(t *testing.T, d *desk) {
			d.hears(gdFinding(1, seenNow))
			seen := gdFinding(1, seenAgain("ASIA2"))
			time.Sleep(time.Minute)
			d.becomes(d.row(gdFinding(1)).Requests[0].Request, end)
			time.Sleep(time.Minute)
			seen.Updated = time.Now()
			d.hears(seen)
			if n := len(d.row(gdFinding(1)).Requests); n != 1 {
				t.Errorf("%s: %d requests", end, n)
			}
		}, autoRoute)
	}
}

// TestRuleOverrulesNobody: what people denied, cancelled or took back is left to people. What ended
// otherwise is asked for again by the next sighting.
func TestRuleOverrulesNobody(t *testing.T) {
	for _, path := range [][]approvals.State{
		{approvals.Denied}, {approvals.Cancelled}, {approvals.Approved, approvals.Running, approvals.Contained, approvals.Undoing, approvals.Undone},
		{approvals.Refused}, {approvals.Expired}, {approvals.Approved, approvals.Running, approvals.Contained},
		{approvals.Approved, approvals.Running, approvals.Failed}, // somebody may retry it
	} {
		end := path[len(path)-1]
		again := end == approvals.Refused || end == approvals.Expired || end == approvals.Contained
		t.Run(string(end), func(t *testing.T) {
			atDesk(t, func(t *testing.T, d *desk) {
				d.hears(gdFinding(1, seenNow))
				id := d.row(gdFinding(1)).Requests[0].Request
				d.becomes(id, path...)
				time.Sleep(10 * time.Minute)
				d.hears(gdFinding(1, seenAgain("ASIA2")))
				if n := len(d.row(gdFinding(1)).Requests); (n == 2) != again {
					t.Errorf("%d requests", n)
				}
			}, autoRoute)
		})
	}
}
