package local_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/approvals/finding/findingtest"
)

// What nobody answers: from the bot's sweep to the pager's topic.

// onCall is a world with a pager.
func onCall(w *world) {
	w.cfg.PagerTopic, w.cfg.PagerAfter = w.aws.AddTopic("pager"), 10*time.Minute
	w.cfg.Policy.Default.ApproveWithin = time.Hour
}

// counting counts the jobs for the pager that the bot sends.
type counting struct {
	approvals.Sender[approvals.Job]
	n *int
}

func (c counting) Send(ctx context.Context, j approvals.Job, d time.Duration) error {
	if j.Verb == approvals.JobNotify {
		*c.n++
	}
	return c.Sender.Send(ctx, j, d)
}

// counted counts the jobs for the pager from now on.
func (w *world) counted() *int {
	n := new(int)
	w.zones.Bot.Jobs = counting{w.zones.Bot.Jobs, n}
	return n
}

// pages are what the pager was told.
func (w *world) pages() (all []string) {
	for _, n := range w.aws.Notices() {
		if n.Topic == w.cfg.PagerTopic {
			all = append(all, n.Message)
		}
	}
	return all
}

// TestPagerIsCalledForWhatNobodyAnswers: once, by one job, and not before its time.
func TestPagerIsCalledForWhatNobodyAnswers(t *testing.T) {
	t.Parallel()
	pending := func(w *world) approvals.Request { return w.state(w.asks("U01ALICE", command), approvals.Pending) }
	partial := func(w *world) approvals.Request {
		w.aws.Fault(denied("iam:PutRolePolicy"))
		r := pending(w)
		w.clicks("U02BOB", r, "approve")
		return w.state(r, approvals.Partial)
	}
	for name, c := range map[string]struct {
		do   func(*world) approvals.Request
		then func(*world, approvals.Request) // a minute later
		want string                          // empty: no page
	}{
		"pending":             {do: pending, want: "pending 0/1: revoke_sessions in account prod (" + prod + ") · KS · asked 10 min ago · LINK"},
		"approved":            {do: pending, then: func(w *world, r approvals.Request) { w.clicks("U02BOB", r, "approve") }},
		"denied":              {do: pending, then: func(w *world, r approvals.Request) { w.clicks("U02BOB", r, "deny") }},
		"partial":             {do: partial, want: "partial, NOT CONTAINED: revoke_sessions in account prod (" + prod + ") · KS · ended 10 min ago · LINK"},
		"partial, a no to it": {do: partial, then: func(w *world, r approvals.Request) { w.types("U02BOB", "deny "+r.ID+" leave it") }},
		"partial, its undo asked for and denied": {do: partial, then: func(w *world, r approvals.Request) {
			w.clicks("U03CAROL", r, "undo")
			w.clicks("U01ALICE", w.undoOf(r), "deny")
		}},
		"partial, retried": {do: partial, then: func(w *world, r approvals.Request) {
			w.aws.ClearFaults()
			w.clicks("U02BOB", r, "retry")
		}},
		"no pager": {do: func(w *world) approvals.Request { w.zones.Bot.PagerAfter = 0; return pending(w) }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, onCall)
			jobs := w.counted()
			r := c.do(w)
			w.pass(time.Minute)
			if c.then != nil {
				c.then(w, w.again(r))
			}
			w.pass(9*time.Minute - 5*time.Second)
			if n := len(w.pages()); n != 0 {
				t.Errorf("paged after %s", 10*time.Minute)
			}
			w.pass(20 * time.Minute)
			pages := w.pages()
			if c.want == "" {
				if len(pages) != 0 || *jobs != 0 {
					t.Errorf("%d jobs, paged %v", *jobs, pages)
				}
				return
			}
			r = w.again(r)
			if want := strings.NewReplacer("KS", r.ID, "LINK", r.Card.Link).Replace(c.want); r.Card.Link == "" || len(pages) != 1 || pages[0] != want {
				t.Errorf("paged %q, want %q", pages, want)
			}
			if *jobs != 1 {
				t.Errorf("%d jobs", *jobs)
			}
			if _, n := w.event(r, "paged"); n != 1 {
				t.Errorf("in the chain %d times", n)
			}
			w.quiet()
		})
	}
}

// TestPagerIsCalledForACriticalAlert: with a link to its card, and no word of the finding.
func TestPagerIsCalledForACriticalAlert(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall, func(w *world) {
		route := finding.Route{Match: finding.Match{Source: finding.GuardDuty}, Call: []string{"responders"}}
		w.findings = &finding.Reader{Sources: findingtest.Sources(), Org: w.cfg.Org, Routing: finding.Routing{Routes: []finding.Route{route}}}
	})
	w.zones.Bot.Findings = *w.findings
	f := w.story()
	f.Severity = 9
	w.must(w.zones.Bot.HandleEvent(t.Context(), findingtest.Event(findingtest.Said{Finding: f})))
	w.pass(12 * time.Minute)
	a, err := alerts.Table{Requests: approvals.Requests{Store: w.Requests}}.Get(t.Context(), approvals.AlertID(f.Own()))
	w.must(err)
	want := "critical alert in account prod (" + prod + ") · " + a.ID + " · open since 10 min ago · " + a.Card.Link
	if pages := w.pages(); a.Card.Link == "" || len(pages) != 1 || pages[0] != want {
		t.Errorf("paged %q, want %q", pages, want)
	}
}

// TestPagerOutageIsOver: what could not be sent is sent once it can be.
func TestPagerOutageIsOver(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	end := w.clock.Now().Add(25 * time.Minute)
	w.answers("sns:Publish", apiError("ServiceUnavailable"), func() bool { return w.clock.Now().Before(end) })
	w.pass(27 * time.Minute)
	if pages := w.pages(); len(pages) != 1 || !strings.Contains(pages[0], r.ID) {
		t.Errorf("paged %v", pages)
	}
	w.quiet()
}
