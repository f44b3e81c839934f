package local_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// automatic is a request that the finding itself makes.
func (w *world) automatic(edit ...func(*proposal)) approvals.Request {
	w.t.Helper()
	p := w.ruled(w.happened(w.story()))
	for _, f := range edit {
		f(p)
	}
	return w.goes(w.store(p))
}

// TestAutomatic: a finding that its source confirms contains by itself; the record
// says so, and people take it back.
func TestAutomatic(t *testing.T) {
	for name, alter := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, false, true, alter...)
			r := w.state(w.automatic(), approvals.Contained)
			if ev, n := w.event(r, "released"); n != 1 || ev.Actor != approvals.Automatic || ev.Facts["by"] != "rule" || ev.Facts["finding"] != findingName {
				t.Errorf("released %d times: %+v", n, ev)
			}
			asked := 0
			for _, c := range w.aws.Calls() {
				if c.Op == "guardduty:GetFindings" {
					asked++
				}
				if c.Op == "sts:AssumeRole" && (c.SourceIdentity != "automatic" || c.RoleSessionName != r.ID || c.Tags["killswitch-approvers"] != "") {
					t.Errorf("entered as %+v", c)
				}
			}
			if asked != 2 {
				t.Errorf("the source was asked %d times, want before the plan and before the run", asked)
			}
			w.job(approvals.JobPlan, r.ID)
			w.job(approvals.JobRun, r.ID)
			if _, n := w.event(r, "claimed"); n != 1 {
				t.Errorf("claimed %d times", n)
			}
			w.pass(2 * time.Minute)
			if run := w.run(r); run.Checks != 3 {
				t.Errorf("%d re-checks", run.Checks)
			}
			w.undo(r)
		})
	}
}

// TestNotConfirmed: what its source does not say, or says otherwise, contains
// nothing, and a person can still click.
func TestNotConfirmed(t *testing.T) {
	t.Parallel()
	said := func(key string, v any) func(*world) {
		return func(w *world) { w.foundIn(func(m map[string]any) { m[key] = v }) }
	}
	story := func(f func(*tale)) func(*world, *tale) { return func(_ *world, s *tale) { f(s) } }
	for name, c := range map[string]struct {
		world func(*world)
		story func(*world, *tale)
		why   string
	}{
		"archived":             {world: said("archived", true), why: "archived"},
		"a sample":             {world: said("sample", true), why: "does not let it contain by itself"},
		"less severe":          {world: said("severity", 5), why: "does not let it contain by itself"},
		"another finding":      {world: said("name", "another"), why: "does not let it contain by itself"},
		"of another role":      {world: said("role", "other-role"), why: "does not let it contain by itself"},
		"unsure of the role":   {world: said("unsure", true), why: "does not let it contain by itself"},
		"only by name":         {story: story(func(s *tale) { s.Unsure = true }), why: "does not let this finding contain by itself"},
		"old":                  {world: said("updatedAt", time.Date(2026, 11, 20, 2, 59, 0, 0, time.UTC)), why: "more than a day ago"},
		"of no time":           {world: said("updatedAt", time.Time{}), why: "more than a day ago"},
		"not to be read":       {world: said("severity", "high"), why: "does not confirm"},
		"unknown to GuardDuty": {story: story(func(s *tale) { s.Sighting.ID = "0a3c9fb69bf06f4010a963bf880307d5" }), why: "no finding 0a3c9fb69bf06f4010a963bf880307d5"},
		"of no detector":       {story: story(func(s *tale) { s.Sighting.Detector = "0" }), why: "BadRequestException"},
		"of nowhere":           {story: story(func(s *tale) { s.Sighting = source.Sighting{Account: prod} }), why: "does not say where its source can be asked"},
		"in another account":   {story: story(func(s *tale) { s.Sighting.Account = "333333333333" }), why: "in another account"},
		"not to be asked":      {world: func(w *world) { w.aws.Fault(denied("guardduty:GetFindings")) }, why: "AccessDenied"},
		"not to be entered":    {world: func(w *world) { w.aws.Fault(denied("sts:AssumeRole")) }, why: "AccessDenied"},
		"of an inactive key": {world: func(w *world) {
			u := w.userBernd()
			u.Keys[0].Inactive = true
			w.aws.Account(prod).AddUser(u)
		}, story: story(func(s *tale) { s.Sighting = source.Sighting{Kind: source.OfKey, Account: prod, ID: exposedKey} }), why: "inactive already"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, true, exposed)
			if c.world != nil {
				c.world(w)
			}
			s := w.story()
			if c.story != nil {
				c.story(w, &s)
			}
			r := w.state(w.goes(w.store(w.ruled(w.happened(s)))), approvals.Refused)
			if !strings.Contains(r.Why, c.why) || r.Hint == "" {
				t.Errorf("refused because %q, hint %q", r.Why, r.Hint)
			}
			w.untouched()
			if name == "not to be entered" {
				return
			}
			w.clock.Add(time.Second)
			w.state(w.clickedOn(), approvals.Contained)
		})
	}
}

// TestRulesOfNobody: a rule that does not fit its row, its event or the
// configuration contains nothing.
func TestRulesOfNobody(t *testing.T) {
	t.Parallel()
	strip := approvals.Intent{Call: actions.Call{Action: actions.DetachPolicies, Target: appRole, Account: prod}}
	for name, edit := range map[string]func(*world, *proposal, *approvals.Ruled){
		"another alert":         func(_ *world, _ *proposal, r *approvals.Ruled) { r.Alert = approvals.AlertID("x") },
		"another event":         func(w *world, _ *proposal, r *approvals.Ruled) { r.Event = w.happened(w.story(), w.story()) },
		"another intent":        func(_ *world, _ *proposal, r *approvals.Ruled) { r.Intent = strip },
		"an intent of its own":  func(_ *world, p *proposal, r *approvals.Ruled) { r.Intent, p.row.Intent = strip, strip },
		"another intent stored": func(_ *world, p *proposal, _ *approvals.Ruled) { p.row.Intent = strip },
		"another reason stored": func(_ *world, p *proposal, _ *approvals.Ruled) { p.row.Reason = "because" },
		"a person's":            func(_ *world, p *proposal, _ *approvals.Ruled) { p.row.Requester.Person = "alice" },
		"people's":              func(_ *world, p *proposal, _ *approvals.Ruled) { p.row.Release = approvals.ByPeople },
		"a click's":             func(_ *world, p *proposal, _ *approvals.Ruled) { p.row.Release = approvals.ByClick },
		"no event":              func(_ *world, p *proposal, r *approvals.Ruled) { r.Event, p.row.Event = "", "" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, true)
			p := w.ruled(w.happened(w.story()))
			r := approvals.Ruled{Alert: alertID, Event: p.row.Event, Intent: p.row.Intent}
			edit(w, p, &r)
			w.rule(p, r)
			if r := w.state(w.goes(w.store(p)), approvals.Refused); r.Why == "" {
				t.Error("nobody is told why")
			}
			w.untouched()
		})
	}
	for name, edit := range map[string]func(*world, *proposal){
		"nonsense":        func(_ *world, p *proposal) { p.evidence.Body = "nonsense" },
		"of no time":      func(_ *world, p *proposal) { p.evidence.Timestamp, p.row.Asked = "soon", asLongAgo },
		"from the future": func(w *world, p *proposal) { p.evidence.Timestamp = w.at(6 * time.Minute) },
		"past":            func(w *world, p *proposal) { p.evidence.Timestamp = w.at(-31 * time.Minute) },
		"an event's":      func(_ *world, p *proposal) { p.evidence.Kind = approvals.EventEvidence },
		"in Slack's name": func(_ *world, p *proposal) { p.evidence.Kind = approvals.SlackEvidence },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, true)
			w.state(w.automatic(func(p *proposal) { edit(w, p) }), approvals.Refused)
			w.untouched()
		})
	}
	t.Run("not by this route", func(t *testing.T) {
		t.Parallel()
		w, _ := alerted(t, true, false)
		if r := w.state(w.automatic(), approvals.Refused); !strings.Contains(r.Why, "does not let this finding contain by itself") {
			t.Errorf("refused because %s", r.Why)
		}
		w.untouched()
	})
}

// at is a timestamp of evidence.
func (w *world) at(from time.Duration) string {
	return strconv.FormatInt(w.clock.Now().Add(from).Unix(), 10)
}

// TestFindingsOfOneEvent: of several findings of an event that offer the same, one
// that lets it run is enough.
func TestFindingsOfOneEvent(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, true, true)
	other := w.story()
	other.Other, other.Name = true, "another"
	event := w.happened(other, w.story())
	w.state(w.clickedOn(func(p *proposal) { p.row.Event = event }), approvals.Contained)
	w.clock.Add(time.Minute)
	w.state(w.goes(w.store(w.ruled(event))), approvals.Contained)
	w.clock.Add(time.Minute)
	event = w.happened(other)
	w.state(w.clickedOn(func(p *proposal) { p.row.Event = event }), approvals.Pending)
	w.state(w.goes(w.store(w.ruled(event))), approvals.Refused)
}

// TestConfirmedAgain: what lets a containment begin by itself must hold when it begins.
func TestConfirmedAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*world, *routes)
		want   approvals.State
		why    string
	}{
		"nothing":             {func(*world, *routes) {}, approvals.Contained, ""},
		"archived meanwhile":  {func(w *world, _ *routes) { w.foundIn(func(m map[string]any) { m["archived"] = true }) }, approvals.Refused, "archived"},
		"another route":       {func(_ *world, o *routes) { o.set(true, false) }, approvals.Refused, "does not let this finding contain"},
		"the cap was lowered": {func(w *world, _ *routes) { w.zones.Executor.AutoPerHour = 0 }, approvals.Refused, "the cap of 0"},
		"AWS is slow": {func(w *world, _ *routes) {
			w.aws.Fault(awsfake.Fault{Op: "guardduty:GetFindings", Err: apiError("ThrottlingException"), Times: 2})
		}, approvals.Contained, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, o := alerted(t, false, true)
			jobs := w.zones.Executor.Jobs
			w.zones.Executor.Jobs = keep{new([]approvals.Job)}
			r := w.store(w.ruled(w.happened(w.story())))
			w.job(approvals.JobPlan, r.ID)
			w.state(r, approvals.Approved)
			w.zones.Executor.Jobs = jobs
			c.change(w, o)
			w.job(approvals.JobRun, r.ID)
			w.drain()
			if r = w.state(r, c.want); !strings.Contains(r.Why, c.why) {
				t.Errorf("%s because %s", r.State, r.Why)
			}
			if c.want != approvals.Contained {
				w.untouched()
			}
		})
	}
}

// autos makes so many automatic requests for roles of their own.
func (w *world) autos(from, n int) []approvals.Request {
	w.t.Helper()
	var rs []approvals.Request
	for i := from; i < from+n; i++ {
		name := fmt.Sprintf("role-%d", i)
		w.aws.Account(prod).AddRole(awsfake.Role{Name: name})
		story := w.story()
		story.Calls = []actions.Call{{Action: actions.RevokeSessions, Target: strings.Replace(appRole, "app-role", name, 1), Account: prod}}
		story.Sighting = source.Sighting{Kind: source.OfKey, Account: prod, ID: exposedKey}
		p := w.ruled(w.happened(story))
		p.row.Intent = approvals.Intent{Call: story.Calls[0]}
		w.rule(p, approvals.Ruled{Alert: alertID, Event: p.row.Event, Intent: p.row.Intent})
		rs = append(rs, w.store(p))
	}
	return rs
}

func (w *world) states(rs []approvals.Request) map[approvals.State]int {
	w.t.Helper()
	n := map[approvals.State]int{}
	for _, r := range rs {
		n[w.again(r).State]++
	}
	return n
}

// TestCap: no more than so many containments begin by themselves in any hour,
// however many workers there are; the others say so.
func TestCap(t *testing.T) {
	for name, alter := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, false, true, append([]func(*world){exposed}, alter...)...)
			rs := w.autos(0, 12)
			var wg sync.WaitGroup
			for _, r := range rs { // all plans at once, then all runs
				wg.Go(func() { _ = w.zones.Executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobPlan, ID: r.ID}) })
			}
			wg.Wait()
			for range 20 { // workers who lost the row's race come again
				w.drain()
				w.clock.Add(time.Second)
			}
			if n := w.states(rs); n[approvals.Contained] != 5 || n[approvals.Refused] != 7 {
				t.Fatalf("%v", n)
			}
			i := slices.IndexFunc(rs, func(r approvals.Request) bool { return w.again(r).State == approvals.Refused })
			if r := w.again(rs[i]); !strings.Contains(r.Why, "the cap of 5 automatic containments an hour is reached") || !strings.Contains(r.Hint, "click on the alert's card") {
				t.Errorf("because %s, hint %s", r.Why, r.Hint)
			}
			asked := w.lookedAt("iam:GetAccessKeyLastUsed")
			w.clock.Add(59 * time.Minute)
			more := w.autos(100, 1)
			if r := w.goes(more[0]); r.State != approvals.Refused {
				t.Errorf("after 59 minutes it is %s", r.State)
			}
			if n := w.lookedAt("iam:GetAccessKeyLastUsed"); n != asked {
				t.Error("over the cap the source is asked in vain")
			}
			w.clock.Add(2 * time.Minute)
			if r := w.goes(w.autos(200, 1)[0]); r.State != approvals.Contained {
				t.Errorf("after an hour it is %s: %s", r.State, r.Why)
			}
		})
	}
}

func (w *world) lookedAt(op string) (n int) {
	for _, c := range w.aws.Calls() {
		if c.Op == op {
			n++
		}
	}
	return n
}

// TestCapOfNone stops all that runs by itself, and no click.
func TestCapOfNone(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, true, true, func(w *world) { w.perHour = 0 })
	if r := w.state(w.automatic(), approvals.Refused); !strings.Contains(r.Why, "the cap of 0") {
		t.Errorf("because %s", r.Why)
	}
	w.untouched()
	w.state(w.clickedOn(), approvals.Contained)
}

// TestCapCountsWhatBegan: what is refused or denied before it begins takes no place.
func TestCapCountsWhatBegan(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, true, true, exposed, func(w *world) { w.perHour = 1 })
	jobs := w.zones.Executor.Jobs
	w.zones.Executor.Jobs = keep{new([]approvals.Job)}
	r := w.store(w.ruled(w.happened(w.story())))
	w.job(approvals.JobPlan, r.ID)
	w.types("U02BOB", "deny "+r.ID+" our own test")
	w.zones.Executor.Jobs = jobs
	w.job(approvals.JobRun, r.ID)
	w.state(r, approvals.Denied)
	rs := w.autos(0, 2)
	w.state(w.goes(rs[0]), approvals.Contained)
	w.state(w.goes(rs[1]), approvals.Refused)
}

// trailed is a story of CloudTrail's.
func (w *world) trailed() tale {
	s := w.story()
	s.Sighting = source.Sighting{Kind: source.OfEvent, Account: prod, Region: region, ID: trailID}
	return s
}

func (w *world) inTrail() {
	w.aws.Account(prod).AddEvents(region, trailtypes.Event{EventId: aws.String(trailID), EventTime: aws.Time(w.clock.Now()),
		CloudTrailEvent: aws.String(fmt.Sprintf(`{"severity":8,"role":"app-role","updatedAt":%q}`, w.clock.Now().Format(time.RFC3339)))})
}

// TestLateTrail: CloudTrail tells of an event minutes later; it is asked again
// until then, and the card says so.
func TestLateTrail(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, false, true)
	r := w.state(w.goes(w.store(w.ruled(w.happened(w.trailed())))), approvals.Planning)
	if !strings.Contains(r.Why, "CloudTrail has no event "+trailID) || !strings.Contains(r.Hint, "asked again") {
		t.Errorf("because %s, hint %s", r.Why, r.Hint)
	}
	w.shows(r, "CloudTrail has no event")
	for w.lookedAt("cloudtrail:LookupEvents") < 2 {
		w.pass(5 * time.Second)
	}
	w.state(r, approvals.Planning)
	w.untouched()
	w.inTrail()
	w.pass(20 * time.Second)
	if r = w.state(r, approvals.Contained); r.Why != "" {
		t.Errorf("it still says %s", r.Why)
	}
	w.quiet()

	w, _ = alerted(t, false, true)
	r = w.goes(w.store(w.ruled(w.happened(w.trailed()))))
	w.pass(31 * time.Minute)
	w.state(r, approvals.Expired)
	w.untouched()
	w.quiet()
}

// TestSourceInTrouble: what its source can't tell just now is asked again.
func TestSourceInTrouble(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, false, true)
	until := w.clock.Now().Add(2 * time.Minute)
	w.answers("guardduty:*", apiError("ServiceUnavailable"), func() bool { return w.clock.Now().Before(until) })
	r := w.state(w.goes(w.store(w.ruled(w.happened(w.story())))), approvals.Planning)
	if r.Why == "" {
		t.Error("nobody is told")
	}
	w.pass(3 * time.Minute)
	w.state(r, approvals.Contained)
}

// TestExposedKeyByItself: a key that exists and is active is deactivated; what it
// did is reported, and a click retries what was left.
func TestExposedKeyByItself(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, false, true, exposed)
	w.aws.Fault(awsfake.Fault{Op: "iam:AttachUserPolicy", Err: apiError("AccessDenied"), Times: 1})
	w.aws.Fault(awsfake.Fault{Op: "iam:PutUserPolicy", Err: apiError("AccessDenied"), Times: 1})
	call, err := actions.NewCall(actions.DeactivateKey, exposedKey, map[string]string{"quarantine": "yes"}, w.cfg.Org.Directory()) // AWS knows the account
	w.must(err)
	s := w.story()
	s.Calls, s.Sighting = []actions.Call{call}, source.Sighting{Kind: source.OfKey, Account: prod, ID: exposedKey}
	p := w.ruled(w.happened(s))
	p.row.Intent = approvals.Intent{Call: call}
	w.rule(p, approvals.Ruled{Alert: alertID, Event: p.row.Event, Intent: p.row.Intent})
	r := w.state(w.goes(w.store(p)), approvals.Partial)
	if !w.userBernd().Keys[0].Inactive {
		t.Error("the key is active")
	}
	w.reported(r)
	w.clock.Add(time.Minute)
	w.clicks("U02BOB", w.again(r), "retry")
	w.state(r, approvals.Contained)
}

// TestNobodySignedIt: evidence that nobody signed proves no person, even where
// somebody wired a verifier for it: no vote, no command, no undo.
func TestNobodySignedIt(t *testing.T) {
	t.Parallel()
	for _, kind := range []approvals.EvidenceKind{approvals.EventEvidence, approvals.RuleEvidence} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, true)
			w.zones.Executor.Verifiers[kind] = lenient{}
			// A vote.
			r := w.state(w.asks("U01ALICE", command), approvals.Pending)
			click := w.slack.Click("U02BOB", r.Card.Channel, r.Card.TS, "approve")
			_, err := w.zones.Pumps[0].Once(t.Context()) // the bot alone
			w.must(err)
			e := w.unsigned(kind, click)
			w.edit(r, func(r *approvals.Request) { r.Votes[0].Evidence = e.Key() })
			w.drain()
			if r = w.state(r, approvals.Refused); !strings.Contains(r.Why, "an approval could not be proved") {
				t.Errorf("because %s", r.Why)
			}
			// A command.
			typed := w.types("U01ALICE", anotherCommand)
			row := r
			row.Reason, row.Asked, row.State, row.Votes, row.Closed = "and another leak", time.Time{}, approvals.Planning, nil, false
			w.state(w.goes(w.store(&proposal{evidence: w.unsigned(kind, typed), row: row})), approvals.Refused)
			w.untouched()
			// An undo.
			w, _ = alerted(t, true, true)
			w.zones.Executor.Verifiers[kind] = lenient{}
			held := w.contained(command)
			click = w.slack.Click("U01ALICE", held.Card.Channel, held.Card.TS, "undo")
			row = held
			row.Intent.Undo, row.Reason, row.Asked, row.State, row.Votes, row.Closed = held.ID, approvals.UndoReason(held.ID), time.Time{}, approvals.Planning, nil, false
			w.state(w.goes(w.store(&proposal{evidence: w.unsigned(kind, click), row: row})), approvals.Refused)
		})
	}
}

// lenient is a verifier to which all is genuine.
type lenient struct{}

func (lenient) Verify(context.Context, approvals.Evidence) error { return nil }

// unsigned keeps a delivery's body as evidence of a kind.
func (w *world) unsigned(kind approvals.EvidenceKind, d slackfake.Delivered) approvals.Evidence {
	w.t.Helper()
	e := approvals.Evidence{Kind: kind, Timestamp: d.SentHeader.Get("X-Slack-Request-Timestamp"), Body: string(d.Request)}
	_, err := approvals.Requests{Store: w.Requests}.PutEvidence(w.t.Context(), e, w.clock.Now())
	w.must(err)
	return e
}
