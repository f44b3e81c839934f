package executor_test

import (
	"fmt"
	"slices"
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
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/approvals/finding/findingtest"
)

// ruled is what a rule asks for on the strength of a finding's first call, not sent yet.
func (w *world) ruled(f finding.Finding) *word {
	w.t.Helper()
	d, rule := w.ruling(w.happened(f))
	rule.Intent = approvals.Intent{Call: f.Containments[0].Call}
	d.row.Intent, d.row.Reason = rule.Intent, reasonOf(f)
	return d
}

// reasonOf is the reason of requests that follow from a finding.
func reasonOf(f finding.Finding) string {
	product := map[finding.Source]string{finding.GuardDuty: "GuardDuty", finding.CloudTrail: "CloudTrail"}[f.Source]
	return fmt.Sprintf("%s %s in %s %s", product, f.Type, f.Account, f.Region)
}

// TestAutomaticContainment: a finding that its source confirms contains by itself; the
// record says so, and people take it back.
func TestAutomaticContainment(t *testing.T) {
	t.Parallel()
	for name, alter := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, false, true, alter...)
			r := w.state(w.goes(w.ruled(w.finding())), approvals.Contained)
			if e, n := w.event(r, "released"); n != 1 || e.Actor != approvals.AutomaticRequester || e.Facts["by"] != "rule" || e.Facts["finding"] != findingID {
				t.Errorf("released %d times: %+v", n, e)
			}
			for _, c := range w.aws.Calls() {
				if c.Op == "sts:AssumeRole" && (c.SourceIdentity != "automatic" || c.RoleSessionName != r.ID || c.Tags["killswitch-approvers"] != "") {
					t.Errorf("entered as %+v", c)
				}
			}
			if n := w.called("guardduty:GetFindings"); n != 2 {
				t.Errorf("the source was asked %d times, want before the plan and before the run", n)
			}
			w.job(w.executor, approvals.JobPlan, r)
			w.job(w.executor, approvals.JobRun, r)
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

// TestWhatItsSourceDoesNotConfirmIsRefused, and a person can still click.
func TestWhatItsSourceDoesNotConfirmIsRefused(t *testing.T) {
	t.Parallel()
	said := func(edit func(*guardDuty)) func(*world) { return func(w *world) { w.saysGuardDuty(edit) } }
	for name, c := range map[string]struct {
		world   func(*world)
		finding func(*finding.Finding)
		why     string
	}{
		"archived":         {world: said(func(g *guardDuty) { g.Archived = true }), why: "archived"},
		"not for the rule": {world: said(func(g *guardDuty) { g.Finding.Severity = 5 }), why: "does not let it run without a second person"},
		"another finding":  {world: said(func(g *guardDuty) { g.Finding.Names = []string{"another"} }), why: "told of another finding"},
		"of another role":  {world: said(func(g *guardDuty) { g.Finding.Containments = nil }), why: "does not let it run without a second person"},
		"unsure of the role": {world: said(func(g *guardDuty) {
			g.Finding.Containments[0].Unsure = "It is a name."
		}), why: "does not let it run without a second person"},
		"only by name": {finding: func(f *finding.Finding) { f.Containments[0].Unsure = "It is a name." }, why: "does not let this finding contain by itself"},
		"old": {world: said(func(g *guardDuty) {
			g.Finding.Updated = time.Date(2026, 11, 20, 2, 59, 0, 0, time.UTC)
		}), why: "more than a day ago"},
		"of no time": {world: said(func(g *guardDuty) { g.Finding.Updated = time.Time{} }), why: "more than a day ago"},
		"not to be read": {world: func(w *world) {
			w.aws.Account(prod).AddFinding(region, detector, `{"id":"`+findingID+`","Archived":"no"}`)
		}, why: "does not confirm"},
		"unknown to GuardDuty": {finding: func(f *finding.Finding) { f.Confirmation.ID = "0a3c9fb69bf06f4010a963bf880307d5" }, why: "no finding 0a3c9fb69bf06f4010a963bf880307d5"},
		"in another account":   {finding: func(f *finding.Finding) { f.Confirmation.Account = sandbox }, why: "in another account"},
		"not to be entered":    {world: func(w *world) { w.breaks("sts:AssumeRole") }, why: "AccessDenied"},
		"of an inactive key": {world: func(w *world) {
			u := w.bernd()
			u.Keys[0].Inactive = true
			w.aws.Account(prod).AddUser(u)
		}, finding: func(f *finding.Finding) {
			f.Confirmation = source.Confirmation{Kind: source.ConfirmKey, Account: prod, ID: exposedKey}
		}, why: "inactive already"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, true, exposed)
			if c.world != nil {
				c.world(w)
			}
			f := w.finding()
			if c.finding != nil {
				c.finding(&f)
			}
			r := w.goes(w.ruled(f))
			w.refused(r, c.why)
			if r.Hint == "" {
				t.Error("nobody is told what to do")
			}
			w.untouched()
			if name == "not to be entered" {
				return
			}
			w.clock.Add(time.Second)
			people := w.goes(w.proposal(alice, w.happened(w.finding())))
			if people.State == approvals.Pending { // one click is not enough, either
				people = w.clicks(bob, people, "approve")
			}
			w.state(people, approvals.Contained)
		})
	}
}

// TestOneFindingOfAnEventIsEnough: of several that offer the same, one that lets it run.
func TestOneFindingOfAnEventIsEnough(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, true, true)
	other := w.finding()
	other.Severity, other.Names = 5, []string{"another"}
	event := w.happened(other, w.finding())
	w.state(w.goes(w.proposal(alice, event)), approvals.Contained)
	w.clock.Add(time.Minute)
	d, _ := w.ruling(event)
	w.state(w.goes(d), approvals.Contained)
	w.clock.Add(time.Minute)
	event = w.happened(other)
	w.state(w.goes(w.proposal(alice, event)), approvals.Pending)
	d, _ = w.ruling(event)
	w.refused(w.goes(d), "does not let this finding contain by itself")
}

// autos are so many automatic requests for roles of their own, not planned yet.
func (w *world) autos(from, n int) []approvals.Request {
	w.t.Helper()
	var rs []approvals.Request
	for i := from; i < from+n; i++ {
		name := fmt.Sprintf("role-%d", i)
		w.aws.Account(prod).AddRole(awsfake.Role{Name: name})
		f := w.finding()
		fits(&f, approvals.Intent{Call: actions.Call{Action: actions.RevokeSessions, Target: strings.Replace(appRole, "app-role", name, 1), Account: prod}})
		f.Confirmation = source.Confirmation{Kind: source.ConfirmKey, Account: prod, ID: exposedKey}
		rs = append(rs, w.bring(w.ruled(f)))
	}
	w.clears()
	return rs
}

// plans does the plan of a request and all that follows.
func (w *world) plans(r approvals.Request) approvals.Request {
	w.t.Helper()
	w.job(w.executor, approvals.JobPlan, r)
	w.drain()
	return w.again(r)
}

// TestCapOnAutomaticContainments: no more than so many begin by themselves in any hour,
// however many workers there are; the others say so.
func TestCapOnAutomaticContainments(t *testing.T) {
	t.Parallel()
	for name, alter := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, false, true, append([]func(*world){exposed}, alter...)...)
			rs := w.autos(0, 12)
			var wg sync.WaitGroup
			for _, r := range rs { // all plans at once, then all runs
				wg.Go(func() { _ = w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobPlan, ID: r.ID}) })
			}
			wg.Wait()
			for range 20 { // workers who lost the row's race come again
				w.drain()
				w.clock.Add(time.Second)
			}
			n := map[approvals.State]int{}
			for _, r := range rs {
				n[w.again(r).State]++
			}
			if n[approvals.Contained] != 5 || n[approvals.Refused] != 7 {
				t.Fatalf("%v", n)
			}
			i := slices.IndexFunc(rs, func(r approvals.Request) bool { return w.again(r).State == approvals.Refused })
			w.refused(rs[i], "the cap of 5 automatic containments an hour in account 222222222222 is reached")
			w.tells(rs[i], "click on the alert's card")
			asked := w.called("iam:GetAccessKeyLastUsed")
			w.clock.Add(59 * time.Minute)
			w.refused(w.plans(w.autos(100, 1)[0]), "the cap of 5")
			if n := w.called("iam:GetAccessKeyLastUsed"); n != asked {
				t.Error("over the cap the source is asked in vain")
			}
			w.clock.Add(2 * time.Minute)
			w.state(w.plans(w.autos(200, 1)[0]), approvals.Contained)
		})
	}
}

// TestCapOfNoneStopsNoClick, but all that runs by itself.
func TestCapOfNoneStopsNoClick(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, true, true, func(w *world) { w.cfg.PerHour = 0 })
	w.refused(w.goes(w.ruled(w.finding())), "the cap of 0")
	w.untouched()
	w.state(w.goes(w.proposal(alice, w.happened(w.finding()))), approvals.Contained)
}

// TestCapOfAnAccountLeavesOthers: made-up findings in a sandbox use up the cap of that account alone,
// and all accounts together have one of their own.
func TestCapOfAnAccountLeavesOthers(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, false, true, exposed, func(w *world) { w.cfg.PerHour, w.cfg.Total = 2, 3 })
	w.aws.Member(sandbox, awsfake.MemberRoles{Responder: w.cfg.Org.ResponderRole, Restorer: w.cfg.Org.RestorerRole, ExternalID: w.cfg.Org.ExternalID,
		ResponderPolicy: memberPolicy(actions.Responder, w.cfg.Org, false), RestorerPolicy: memberPolicy(actions.Restorer, w.cfg.Org, false)})
	in := func(account string, n int) approvals.Request {
		a := w.aws.Account(account)
		name := fmt.Sprintf("role-%d", n)
		a.AddRole(awsfake.Role{Name: name})
		a.AddFinding(region, detector, string(findingtest.Answer(findingID, findingtest.Said{Finding: w.findingIn(account, name)})))
		return w.goes(w.ruled(w.findingIn(account, name)))
	}
	w.state(in(sandbox, 1), approvals.Contained)
	w.state(in(sandbox, 2), approvals.Contained)
	w.refused(in(sandbox, 3), "the cap of 2 automatic containments an hour in account "+sandbox)
	w.state(in(prod, 4), approvals.Contained)
	w.refused(in(prod, 5), "the cap of 3 automatic containments an hour in all accounts together")
	w.clock.Add(time.Hour)
	w.state(in(prod, 6), approvals.Contained)
}

// findingIn is the finding about a role of an account.
func (w *world) findingIn(account, role string) finding.Finding {
	f := w.finding()
	f.Account, f.Confirmation.Account = account, account
	fits(&f, approvals.Intent{Call: actions.Call{Action: actions.RevokeSessions, Target: "arn:aws:iam::" + account + ":role/" + role, Account: account}})
	return f
}

// TestCapCountsWhatBegan: what is refused or denied before it begins takes no place.
func TestCapCountsWhatBegan(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, true, true, exposed, func(w *world) { w.cfg.PerHour = 1 })
	r := w.released(w.ruled(w.finding()))
	w.types(bob, "deny "+r.ID+" our own test")
	w.job(w.executor, approvals.JobRun, r)
	w.state(r, approvals.Denied)
	rs := w.autos(0, 2)
	w.state(w.plans(rs[0]), approvals.Contained)
	w.refused(w.plans(rs[1]), "the cap of 1")
}

const trailID = "5e00b229-5978-5a0c-b9b9-c3cc82e435fe"

// TestTrailThatIsLateIsAskedAgain: CloudTrail tells of an event minutes later; until
// then the request waits, and says so.
func TestTrailThatIsLateIsAskedAgain(t *testing.T) {
	t.Parallel()
	trailed := func(w *world) *word {
		f := w.finding()
		f.Source = finding.CloudTrail
		f.Confirmation = source.Confirmation{Kind: source.ConfirmEvent, Account: prod, Region: region, ID: trailID}
		return w.ruled(f)
	}
	ofTrail := func(w *world) { w.findings.Routes[0].Match.Source = finding.CloudTrail }
	t.Run("and tells in the end", func(t *testing.T) {
		t.Parallel()
		w, _ := alerted(t, false, true, ofTrail)
		r := w.state(w.goes(trailed(w)), approvals.Planning)
		if !strings.Contains(r.Cause, "CloudTrail has no event "+trailID) || !strings.Contains(r.Hint, "asked again") {
			t.Errorf("because %s, hint %s", r.Cause, r.Hint)
		}
		for w.called("cloudtrail:LookupEvents") < 2 {
			w.pass(5 * time.Second)
		}
		w.state(r, approvals.Planning)
		w.untouched()
		f := w.finding()
		f.Source = finding.CloudTrail
		said := findingtest.Event(findingtest.Said{Finding: f})
		w.aws.Account(prod).AddEvents(region, trailtypes.Event{EventId: aws.String(trailID), EventTime: aws.Time(w.clock.Now()), CloudTrailEvent: aws.String(string(said))})
		w.pass(20 * time.Second)
		if r = w.state(r, approvals.Contained); r.Cause != "" {
			t.Errorf("it still says %s", r.Cause)
		}
	})
	t.Run("until a third of the time is over, then people decide", func(t *testing.T) {
		t.Parallel()
		w, _ := alerted(t, false, true, ofTrail)
		r := w.goes(trailed(w))
		w.pass(9 * time.Minute)
		w.state(r, approvals.Planning)
		w.pass(2 * time.Minute)
		w.asksPeople(r, 2, "CloudTrail has no event "+trailID)
		w.untouched()
		w.state(w.clicks(alice, r, "approve"), approvals.Pending)
		w.state(w.clicks(bob, r, "approve"), approvals.Contained)
	})
	t.Run("one click does not wait for it", func(t *testing.T) {
		t.Parallel()
		w, _ := alerted(t, true, false, ofTrail)
		f := w.finding()
		f.Source = finding.CloudTrail
		f.Confirmation = source.Confirmation{Kind: source.ConfirmEvent, Account: prod, Region: region, ID: trailID}
		d := w.proposal(alice, w.happened(f))
		d.row.Reason = reasonOf(f)
		r := w.goes(d)
		w.asksPeople(r, 1, "CloudTrail has no event "+trailID)
		w.state(w.clicks(bob, r, "approve"), approvals.Contained)
	})
}

// asksPeople fails unless a request waits for so many approvals, and says why no click or
// rule was enough.
func (w *world) asksPeople(r approvals.Request, need int, why string) {
	w.t.Helper()
	r = w.state(r, approvals.Pending)
	p := w.planned(r)
	if r.Mode != approvals.TwoPerson || p.Mode != approvals.TwoPerson || r.Need != need || p.Policy.Approvals != need || r.Digest != p.Digest || !r.Ready.IsZero() {
		w.t.Errorf("the row is %+v, the plan %+v", r, p)
	}
	if !strings.Contains(p.ModeCause, why) {
		w.t.Errorf("because %q, want %q", p.ModeCause, why)
	}
}

// troubles are the ways in which a source gives no answer.
var troubles = map[string]struct {
	world   func(*world)
	finding func(*finding.Finding)
	why     string
}{
	"throttled": {world: func(w *world) {
		w.answers("guardduty:*", apiError("ThrottlingException"), func() bool { return true })
	}, why: "ThrottlingException"},
	"silent": {world: func(w *world) {
		w.answers("guardduty:*", apiError("ServiceUnavailable"), func() bool { return true })
	}, why: "ServiceUnavailable"},
	"not to be asked": {world: func(w *world) { w.breaks("guardduty:GetFindings") }, why: "AccessDenied"},
	"of no detector":  {finding: func(f *finding.Finding) { f.Confirmation.Detector = "0" }, why: "BadRequestException"},
	"of nowhere": {finding: func(f *finding.Finding) {
		f.Confirmation = source.Confirmation{Kind: source.ConfirmFinding, Account: prod}
	}, why: "does not say where its source can be asked"},
}

// TestSourceThatDoesNotAnswerCallsPeople: an attacker who throttles or cuts off the source stops
// no containment. Without a person's request it needs one approval more.
func TestSourceThatDoesNotAnswerCallsPeople(t *testing.T) {
	t.Parallel()
	for name, c := range troubles {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, true)
			if c.world != nil {
				c.world(w)
			}
			f := w.finding()
			if c.finding != nil {
				c.finding(&f)
			}
			r := w.goes(w.ruled(f))
			w.asksPeople(r, 2, c.why)
			w.state(w.clicks(alice, r, "approve"), approvals.Pending)
			w.untouched()
			w.state(w.clicks(bob, r, "approve"), approvals.Contained)
			if _, n := w.event(r, "released"); n != 0 {
				t.Error("it says that it was released")
			}
			w.undo(r)
		})
	}
}

// TestSourceThatFallsSilentBeforeTheRunCallsPeople: what was confirmed when it was planned, and is
// not when it is to run. What dies on the way does the rest later.
func TestSourceThatFallsSilentBeforeTheRunCallsPeople(t *testing.T) {
	t.Parallel()
	for name, need := range map[string]int{"click": 1, "rule": 2} {
		for _, dies := range []bool{false, true} {
			t.Run(fmt.Sprint(name, ", its worker dies: ", dies), func(t *testing.T) {
				t.Parallel()
				w, _ := alerted(t, true, true)
				d := w.proposal(alice, w.happened(w.finding()))
				if name == "rule" {
					d = w.ruled(w.finding())
				}
				r := w.bring(d)
				w.roundsUntilApproved(r)
				w.answers("guardduty:*", apiError("ThrottlingException"), func() bool { return true })
				if dies { // between the plan's row and the request's
					row := w.again(r)
					w.drain()
					version := w.again(r).Version
					w.edit(r, func(r *approvals.Request) { *r = row; r.Version = version })
					w.withoutAWS(func() { w.pass(10 * time.Second) })
				}
				w.drain()
				w.asksPeople(r, need, "ThrottlingException")
				w.untouched()
				w.unclaimed(r)
				if _, n := w.event(r, "people_asked"); n != 1 {
					t.Errorf("the record says it %d times", n)
				}
				r = w.clicks(bob, r, "approve")
				if name == "rule" {
					w.state(r, approvals.Pending)
					r = w.clicks(carol, r, "approve")
				}
				w.state(r, approvals.Contained)
			})
		}
	}
}

// TestAskedPeopleOrRunsNeverBoth: of two workers one hears the source, the other does not.
func TestAskedPeopleOrRunsNeverBoth(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"runs", "asks people"} {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, false)
			r := w.bring(w.proposal(alice, w.happened(w.finding())))
			w.roundsUntilApproved(r)
			w.clears()
			other, inside := w.worker(), false
			w.aws.OnCall(func(c awsfake.Call) error {
				if c.Op != "guardduty:GetFindings" || c.Phase != awsfake.Before || inside {
					return nil
				}
				inside = true
				if first == "runs" { // the other does, while this one waits for an answer that is none
					_ = other.Handle(w.t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID})
					return apiError("AccessDenied")
				}
				w.breaks("guardduty:GetFindings")
				_ = other.Handle(w.t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID})
				w.aws.ClearFaults()
				return nil
			})
			_ = w.executor.Handle(w.t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID})
			w.drain()
			if first == "runs" {
				w.state(r, approvals.Contained)
				if p := w.planned(r); p.Mode != approvals.OneClick {
					t.Errorf("the plan was changed: %+v", p)
				}
				return
			}
			w.asksPeople(r, 1, "AccessDenied")
			w.untouched()
		})
	}
}

// TestExposedKeyIsDeactivatedByItself: one that exists and is active; what it did is
// reported, and a click retries what was left.
func TestExposedKeyIsDeactivatedByItself(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, false, true, exposed)
	for _, op := range []string{"iam:AttachUserPolicy", "iam:PutUserPolicy", "iam:PutUserPermissionsBoundary"} {
		w.aws.Fault(awsfake.Fault{Op: op, Err: apiError("AccessDenied"), Times: 1})
	}
	call, err := actions.NewCall(actions.DeactivateKey, exposedKey, map[string]string{"quarantine": "yes"}, w.cfg.Org.Directory()) // AWS knows the account
	w.must(err)
	f := w.finding()
	fits(&f, approvals.Intent{Call: call})
	f.Confirmation = source.Confirmation{Kind: source.ConfirmKey, Account: prod, ID: exposedKey}
	r := w.state(w.goes(w.ruled(f)), approvals.Partial)
	if !w.bernd().Keys[0].Inactive {
		t.Error("the key is active")
	}
	if n := w.reported(r).Activity.Total; n != 60 {
		t.Errorf("%d events are reported", n)
	}
	w.clock.Add(time.Minute)
	w.state(w.clicks(bob, r, "retry"), approvals.Contained)
}

// TestOutageOfTheCapLetsNothingBegin: what can't be counted, and so was not confirmed
// again, does not begin by itself. It does once it can be.
func TestOutageOfTheCapLetsNothingBegin(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed, func(w *world) { w.findings = routing(false, true) })
	w.saysGuardDuty(func(*guardDuty) {})
	r := w.bring(w.ruled(w.finding()))
	w.roundsUntilApproved(r)
	w.Runs.reads = func(k approvals.Key) error {
		if k.Sort == "hour" {
			return errOutage
		}
		return nil
	}
	w.drain()
	w.untouched()
	w.unclaimed(r)
	w.state(r, approvals.Approved)
	w.Runs.reads = nil
	w.pass(10 * time.Second)
	w.state(r, approvals.Contained)
}

// TestCapReachedWhileTheSourceIsAsked: the count that is written is that of after
// the answer.
func TestCapReachedWhileTheSourceIsAsked(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, false, true)
	r := w.bring(w.ruled(w.finding()))
	w.roundsUntilApproved(r)
	w.during("guardduty:GetFindings", func() { w.executor.AutoPerHour = 0 })
	w.drain()
	w.untouched()
	w.refused(r, "the cap of 0 automatic containments an hour in account 222222222222 is reached")
}

// roundsUntilApproved plans an automatic request, and stops before it is run.
func (w *world) roundsUntilApproved(r approvals.Request) {
	w.t.Helper()
	for n := 0; n < 5 && w.again(r).State != approvals.Approved; n++ {
		w.round()
	}
	w.state(r, approvals.Approved)
}
