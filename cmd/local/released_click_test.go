package local_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestOneClick: where the route says approvals: 0 and the card said so, the click
// contains, once, and undo asks two people as ever.
func TestOneClick(t *testing.T) {
	for name, alter := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, false, alter...)
			r := w.state(w.clickedOn(), approvals.Contained)
			if r.Need != 0 || r.Release != approvals.ByClick || r.Ready.IsZero() || len(r.Votes) != 0 {
				t.Errorf("the row is %+v", r)
			}
			p, err := approvals.Runs{Reader: w.Runs}.Planned(t.Context(), r.ID)
			w.must(err)
			if p.Release != approvals.ByClick || p.Entry.Approvals != 0 || p.Alert != alertID || p.Finding != findingName || p.Person != "alice" {
				t.Errorf("planned %+v", p)
			}
			if ev, n := w.event(r, "released"); n != 1 || ev.Actor != "alice" || ev.Facts["by"] != "click" || ev.Facts["finding"] != findingName || ev.Facts["alert"] != alertID || ev.Facts["evidence"] != r.Evidence {
				t.Errorf("released %d times: %+v", n, ev)
			}
			if ev, _ := w.event(r, "requested"); ev.Actor != "alice" || ev.Facts["finding"] != findingName || ev.Facts["event"] != r.Event {
				t.Errorf("requested %+v", ev)
			}
			for range 3 { // every job again
				for _, v := range []approvals.Verb{approvals.JobPlan, approvals.JobRun} {
					w.job(v, r.ID)
				}
				w.drain()
			}
			if _, n := w.event(r, "claimed"); n != 1 {
				t.Errorf("claimed %d times", n)
			}
			w.undo(r)
		})
	}
}

// TestProposed: a card that does not run at once asks a second person.
func TestProposed(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, false, false)
	r := w.state(w.clickedOn(func(p *proposal) { p.row.Release, p.blocks = "", p.blocks[:2] }), approvals.Pending)
	w.clicks("U01ALICE", r, "approve")
	w.state(r, approvals.Pending)
	w.untouched()
	w.clicks("U02BOB", r, "approve")
	w.state(r, approvals.Contained)
	if _, n := w.event(r, "released"); n != 0 {
		t.Error("it says that it was released")
	}
}

// TestStillPeople: where the proof of a release does not hold, whatever the row
// says, people are asked.
func TestStillPeople(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		oneClick bool
		edit     func(*proposal)
	}{
		"the route wants people":           {false, func(*proposal) {}},
		"the card did not say it":          {true, func(p *proposal) { p.blocks = p.blocks[:2] }},
		"the card said something else":     {true, func(p *proposal) { p.blocks[2] = plainBlock(approvals.OneClickBlock, "One click asks.") }},
		"the card said it as mrkdwn":       {true, func(p *proposal) { p.blocks[2]["text"].(map[string]any)["type"] = "mrkdwn" }},
		"it was said in another block":     {true, func(p *proposal) { p.blocks[2] = plainBlock("note", approvals.OneClickText) }},
		"the row wants people":             {true, func(p *proposal) { p.row.Release = approvals.ByPeople }},
		"the row names a rule":             {true, func(p *proposal) { p.row.Release = approvals.ByRule }},
		"the row names what there is not":  {true, func(p *proposal) { p.row.Release = "magic" }},
		"the row says that none is needed": {false, func(p *proposal) { p.row.Ready, p.row.Need = asLongAgo, 0 }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, c.oneClick, false)
			r := w.state(w.clickedOn(c.edit), approvals.Pending)
			if r.Need != 1 || r.Release != approvals.ByPeople {
				t.Errorf("need %d, release %q", r.Need, r.Release)
			}
			w.edit(r, func(r *approvals.Request) { // and a row that says it is approved
				r.Release, r.Ready, r.Need = approvals.ByClick, w.clock.Now(), 0
				w.must(r.To(approvals.Approved, w.clock.Now()))
			})
			w.job(approvals.JobRun, r.ID)
			w.drain()
			w.state(r, approvals.Refused)
			w.untouched()
		})
	}
}

var asLongAgo = time.Date(2026, 11, 21, 2, 0, 0, 0, time.UTC)

// TestNeverByClick: what is not gentle is not released, even if the configuration
// lets it.
func TestNeverByClick(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"all roles":    "revoke_sessions " + prod + "/ALL",
		"by SCP":       "revoke_sessions " + prod + "/ALL via=scp",
		"freeze":       "apply_scp " + prod,
		"irreversible": "delete_role " + appRole + " confirm=app-role",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, true)
			call, _, err := actions.Parse(line+" reason=x", w.cfg.Org.Directory())
			w.must(err)
			story := w.story()
			story.Calls = []actions.Call{call}
			event := w.happened(story)
			i := approvals.Intent{Call: call}
			r := w.clickedOn(func(p *proposal) {
				p.row.Event, p.row.Intent, p.actionID, p.value = event, i, "propose:"+string(call.Action), alertID+"."+approvals.IntentDigest(i)
				p.blocks[0] = plainBlock("call:1", i.String())
			})
			if r.State != approvals.Pending && r.State != approvals.Refused { // AWS may have its own reasons
				t.Errorf("it is %s", r.State)
			}
			p := w.ruled(event)
			p.row.Intent = i
			w.rule(p, approvals.Ruled{Alert: alertID, Event: event, Intent: i})
			if r := w.state(w.goes(w.store(p)), approvals.Refused); !strings.Contains(r.Why, "never runs by itself") {
				t.Errorf("refused because %s", r.Why)
			}
			w.untouched()
		})
	}
}

// TestForgedProposal: what was not clicked, or not on this card, or is not what
// the event tells, starts nothing.
func TestForgedProposal(t *testing.T) {
	t.Parallel()
	isolate := approvals.Intent{Call: actions.Call{Action: actions.DetachPolicies, Target: appRole, Account: prod}}
	for name, c := range map[string]struct {
		edit  func(*world, *proposal)
		after func(*world, *proposal) // once it is signed
		why   string
	}{
		"another intent in the row":     {edit: func(_ *world, p *proposal) { p.row.Intent = isolate }},
		"another reason in the row":     {edit: func(_ *world, p *proposal) { p.row.Reason = "because" }},
		"another requester in the row":  {edit: func(_ *world, p *proposal) { p.row.Requester.Person = "bob" }},
		"another time in the row":       {edit: func(w *world, p *proposal) { p.row.Asked = w.clock.Now().Add(time.Minute) }},
		"another alert in the row":      {edit: func(_ *world, p *proposal) { p.row.Alert = approvals.AlertID("x") }, why: "another alert"},
		"another alert on the button":   {edit: func(_ *world, p *proposal) { p.value = strings.Replace(p.value, alertID, approvals.AlertID("x"), 1) }, why: "another alert"},
		"a request on the button":       {edit: func(_ *world, p *proposal) { p.value = strings.Replace(p.value, alertID, "KS-4G7QX2M9ZT0B", 1) }},
		"nothing on the button":         {edit: func(_ *world, p *proposal) { p.value = "" }},
		"another intent on the button":  {edit: func(_ *world, p *proposal) { p.value = alertID + "." + approvals.IntentDigest(isolate) }, why: "offer no such call"},
		"no intent on the button":       {edit: func(_ *world, p *proposal) { p.value = alertID + "." }, why: "offer no such call"},
		"a button for another action":   {edit: func(_ *world, p *proposal) { p.actionID = "propose:detach_policies" }, why: "another action"},
		"a button that goes on":         {edit: func(_ *world, p *proposal) { p.actionID += "_all" }, why: "another action"},
		"a button of number 0":          {edit: func(_ *world, p *proposal) { p.actionID += ":0" }, why: "another action"},
		"another button":                {edit: func(_ *world, p *proposal) { p.actionID = "ack" }, why: "another action"},
		"a card of another call":        {edit: func(_ *world, p *proposal) { p.blocks[0] = plainBlock("call:1", isolate.String()) }, why: "did not show this call"},
		"a card of no call":             {edit: func(_ *world, p *proposal) { p.blocks = p.blocks[1:] }, why: "did not show this call"},
		"a card of this call twice":     {edit: func(_ *world, p *proposal) { p.blocks[1] = plainBlock("call:2", p.row.Intent.String()) }, why: "did not show this call"},
		"a card of it in another block": {edit: func(_ *world, p *proposal) { p.blocks[0]["block_id"] = "title" }, why: "did not show this call"},
		"a card of it as mrkdwn":        {edit: func(_ *world, p *proposal) { p.blocks[0]["text"].(map[string]any)["type"] = "mrkdwn" }, why: "did not show this call"},
		"an event of another finding": {edit: func(w *world, p *proposal) {
			other := w.story()
			other.Calls = []actions.Call{isolate.Call}
			p.row.Event = w.happened(other)
		}, why: "offer no such call"},
		"an event that tells another reason": {edit: func(w *world, p *proposal) {
			other := w.story()
			other.Reason = "because"
			p.row.Event = w.happened(other)
		}, why: "offer no such call"},
		"an event that is no event": {edit: func(w *world, p *proposal) {
			key, err := approvals.Requests{Store: w.Requests}.PutEvidence(w.t.Context(), approvals.Evidence{Kind: approvals.SlackEvidence, Body: `[]`}, w.clock.Now())
			w.must(err)
			p.row.Event = key
		}, why: "names no event"},
		"an event that can't be read": {edit: func(w *world, p *proposal) {
			key, err := approvals.Requests{Store: w.Requests}.PutEvidence(w.t.Context(), approvals.Evidence{Kind: approvals.EventEvidence, Body: `{`}, w.clock.Now())
			w.must(err)
			p.row.Event = key
		}, why: "can't be read"},
		"an event that is kept no more": {edit: func(_ *world, p *proposal) { p.row.Event = strings.Repeat("0", 64) }, why: "the alert is too old, its event is no longer kept: use /killswitch"},
		"no event":                      {edit: func(_ *world, p *proposal) { p.row.Event = "" }, why: "too old"},
		"a stranger's click":            {edit: func(_ *world, p *proposal) { p.user = "U05STRANGER" }, why: "nobody in the roster"},
		"a click from elsewhere":        {edit: func(_ *world, p *proposal) { p.userTeam = "T02OTHER" }, why: "another workspace"},
		"no responder's click": {edit: func(_ *world, p *proposal) {
			p.user, p.row.Requester = "U04MALLORY", approvals.Party{Person: "mallory", Slack: "U04MALLORY"}
		}},
		"a signature of nobody":      {after: func(_ *world, p *proposal) { p.evidence.Signature = "v0=00" }},
		"a click that nobody signed": {after: func(_ *world, p *proposal) { p.evidence.Kind = approvals.EventEvidence }},
		"a click that is no rule":    {after: func(_ *world, p *proposal) { p.evidence.Kind = approvals.RuleEvidence }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, _ := alerted(t, true, true)
			p := w.proposed(w.happened(w.story()))
			if c.edit != nil {
				c.edit(w, p)
			}
			w.sign(p)
			if c.after != nil {
				c.after(w, p)
			}
			r := w.state(w.goes(w.store(p)), approvals.Refused)
			if !strings.Contains(r.Why, c.why) || r.Why == "" && len(r.Whys) == 0 {
				t.Errorf("refused because %q %v", r.Why, r.Whys)
			}
			w.untouched()
		})
	}
}

// TestOtherRow: a row under another ID than its evidence gives is nobody's.
func TestOtherRow(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, true, false)
	p := w.proposed(w.happened(w.story()))
	w.sign(p)
	r := w.store(p)
	again := r
	again.ID = "KS-4G7QX2M9ZT0B"
	w.must(approvals.Requests{Store: w.Requests}.Create(t.Context(), again))
	w.state(w.goes(again), approvals.Refused)
	w.untouched()
	w.state(w.goes(r), approvals.Contained)
}

// TestBetweenPlanAndRun: what lets a request run must do so when it is claimed.
func TestBetweenPlanAndRun(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*world, *routes, approvals.Request)
		want   approvals.State
		why    string
	}{
		"nothing":                {func(*world, *routes, approvals.Request) {}, approvals.Contained, ""},
		"the route wants people": {func(_ *world, o *routes, _ approvals.Request) { o.set(false, false) }, approvals.Refused, "does not let one click run this"},
		"the requester left": {func(w *world, _ *routes, _ approvals.Request) {
			w.cfg.Policy.Roster.Groups["responders"] = []string{"bob", "carol"}
		}, approvals.Refused, ""},
		"the account is protected": {func(w *world, _ *routes, _ approvals.Request) {
			w.zones.Executor.Org.ProtectedAccounts = []string{prod}
		}, approvals.Refused, "protected"},
		"the row wants people": {func(w *world, _ *routes, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Release = "" })
		}, approvals.Refused, "altered"},
		"the row has another event": {func(w *world, _ *routes, r approvals.Request) {
			event := w.happened(w.story(), w.story())
			w.edit(r, func(r *approvals.Request) { r.Event = event })
		}, approvals.Refused, "altered"},
		"the row has another alert": {func(w *world, _ *routes, r approvals.Request) {
			w.edit(r, func(r *approvals.Request) { r.Alert = approvals.AlertID("x") })
		}, approvals.Refused, "another alert"},
		"somebody says no":         {func(w *world, _ *routes, r approvals.Request) { w.types("U02BOB", "deny "+r.ID+" our own test") }, approvals.Denied, ""},
		"the clicker thinks again": {func(w *world, _ *routes, r approvals.Request) { w.types("U01ALICE", "cancel "+r.ID) }, approvals.Cancelled, ""},
		"too much time":            {func(w *world, _ *routes, _ approvals.Request) { w.clock.Add(5*time.Minute + time.Second) }, approvals.Refused, ""},
		"little time":              {func(w *world, _ *routes, _ approvals.Request) { w.clock.Add(5 * time.Minute) }, approvals.Contained, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, o := alerted(t, true, false)
			// Nothing but the plan is done, until the change.
			jobs := w.zones.Executor.Jobs
			var held []approvals.Job
			w.zones.Executor.Jobs = keep{&held}
			p := w.proposed(w.happened(w.story()))
			w.sign(p)
			r := w.store(p)
			w.job(approvals.JobPlan, r.ID)
			w.state(r, approvals.Approved)
			w.job(approvals.JobPlan, r.ID) // delivered again: its end may have been lost
			if run := (approvals.Job{Verb: approvals.JobRun, ID: r.ID}); len(held) != 2 || held[0] != run || held[1] != run {
				t.Errorf("jobs %v", held)
			}
			w.untouched()
			c.change(w, o, r)
			w.zones.Executor.Jobs = jobs
			w.job(approvals.JobRun, r.ID)
			w.drain()
			r = w.state(r, c.want)
			if !strings.Contains(r.Why, c.why) {
				t.Errorf("%s because %q %v", r.State, r.Why, r.Whys)
			}
			if c.want != approvals.Contained {
				w.untouched()
			}
		})
	}
}

// keep is a queue that nobody works off.
type keep struct{ jobs *[]approvals.Job }

// TestReleasedJobsLost: the sweep brings on what a released request waits for, and
// ends it where nobody came in time.
func TestReleasedJobsLost(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, true, false)
	p := w.proposed(w.happened(w.story()))
	w.sign(p)
	r := w.store(p) // and the job plan was lost
	w.pass(30 * time.Second)
	w.state(r, approvals.Contained)

	w, _ = alerted(t, true, false)
	var held []approvals.Job
	jobs := w.zones.Executor.Jobs
	w.zones.Executor.Jobs = keep{&held} // the job run was lost
	p = w.proposed(w.happened(w.story()))
	w.sign(p)
	r = w.store(p)
	w.job(approvals.JobPlan, r.ID)
	w.zones.Executor.Jobs = jobs
	w.pass(10 * time.Second)
	w.state(r, approvals.Approved)
	w.pass(20 * time.Second)
	w.state(r, approvals.Contained)

	w, _ = alerted(t, true, false)
	w.zones.Executor.Jobs = keep{&held}
	p = w.proposed(w.happened(w.story()))
	w.sign(p)
	r = w.store(p)
	w.job(approvals.JobPlan, r.ID)
	w.zones.Executor.Jobs = jobs
	w.clock.Add(5*time.Minute + 10*time.Second) // nobody was there
	w.pass(30 * time.Second)
	w.state(r, approvals.Expired)
	w.untouched()
}

// TestReleasedRetry: what a released request left undone is retried by a click,
// as long as its release holds.
func TestReleasedRetry(t *testing.T) {
	t.Parallel()
	for name, still := range map[string]bool{"still": true, "no longer": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, o := alerted(t, true, false)
			w.aws.Fault(awsfake.Fault{Op: "iam:PutRolePolicy", Err: apiError("AccessDenied"), Times: 1})
			r := w.clickedOn()
			if r.State != approvals.Failed && r.State != approvals.Partial {
				t.Fatalf("it is %s", r.State)
			}
			before := w.aws.Mutations()
			w.clock.Add(time.Minute)
			o.set(still, false)
			w.clicks("U02BOB", r, "retry")
			if still {
				w.state(r, approvals.Contained)
				return
			}
			if r = w.again(r); r.State == approvals.Contained || w.aws.Mutations() != before || !strings.Contains(r.Why, "does not let one click run this") {
				t.Errorf("%s because %s", r.State, r.Why)
			}
		})
	}
}

func (k keep) Send(_ context.Context, j approvals.Job, _ time.Duration) error {
	*k.jobs = append(*k.jobs, j)
	return nil
}
