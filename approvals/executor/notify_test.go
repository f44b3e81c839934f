package executor_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

const (
	cardTS   = "1763694000.000100"
	cardLink = "https://acme.slack.com/archives/" + channel + "/p1763694000000100"
)

// onCall is a world with a pager, in which people have a day to approve.
func onCall(w *world) {
	w.cfg.Pager = w.aws.AddTopic("pager")
	w.cfg.Policy.Default.ApproveWithin, w.cfg.Policy.Undo.ApproveWithin = 24*time.Hour, 24*time.Hour
}

// notifies does the job that calls the pager.
func (w *world) notifies(ids ...string) {
	w.t.Helper()
	for _, id := range ids {
		w.must(w.executor.Handle(w.t.Context(), approvals.Job{Verb: approvals.JobNotify, ID: id}))
	}
}

// pages are what the pager was told.
func (w *world) pages() (all []string) {
	for _, n := range w.aws.Notices() {
		if n.Topic == w.cfg.Pager {
			all = append(all, n.Subject+": "+n.Message)
		}
	}
	return all
}

// paged fails unless the pager was told so often.
func (w *world) paged(n int) {
	w.t.Helper()
	if pages := w.pages(); len(pages) != n {
		w.t.Errorf("%d pages, want %d: %s", len(pages), n, strings.Join(pages, "\n"))
	}
}

// carded gives a request a card with a link.
func (w *world) carded(r approvals.Request) {
	w.t.Helper()
	w.edit(r, func(r *approvals.Request) { r.Card.TS, r.Card.Link = cardTS, cardLink })
}

// TestPendingRequestIsPagedOnce, ten minutes after it became pending.
func TestPendingRequestIsPagedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	r := w.state(w.types(alice, revoke), approvals.Pending)
	w.carded(r)
	w.clock.Add(10*time.Minute - time.Second)
	w.notifies(r.ID)
	w.paged(0)
	w.clock.Add(time.Second)
	w.notifies(r.ID, r.ID)
	w.clock.Add(time.Hour)
	w.notifies(r.ID)
	want := []string{"Killswitch: approval needed: pending 0/1: revoke_sessions in account prod (" + prod + ") · " + r.ID + " · asked 10 min ago · " + cardLink}
	if d := cmp.Diff(want, w.pages()); d != "" {
		t.Error(d)
	}
	if e, n := w.event(r, "paged"); n != 1 || e.Facts["due"] != approvals.PagePending {
		t.Errorf("in the chain %d times: %+v", n, e)
	}
	if p, err := (approvals.Runs{Reader: w.Runs}).Page(t.Context(), r.ID); err != nil || !p.Quiet(approvals.PagePending, w.clock.Now()) || p.Quiet("partial-1", w.clock.Now()) {
		t.Errorf("the row: %+v %v", p, err)
	}
	if row, err := w.Runs.Get(t.Context(), approvals.PageKey(r.ID)); err != nil || row.Expires.IsZero() {
		t.Errorf("kept until %s, %v", row.Expires, err)
	}
}

// TestNobodyIsPagedForWhatIsAnswered: what is not due, or no longer.
func TestNobodyIsPagedForWhatIsAnswered(t *testing.T) {
	t.Parallel()
	pending := func(w *world) approvals.Request { return w.state(w.types(alice, revoke), approvals.Pending) }
	for name, do := range map[string]func(w *world) approvals.Request{
		"approved":  func(w *world) approvals.Request { return w.clicks(bob, pending(w), "approve") },
		"denied":    func(w *world) approvals.Request { return w.clicks(bob, pending(w), "deny") },
		"cancelled": func(w *world) approvals.Request { return w.clicks(alice, pending(w), "cancel") },
		"expired": func(w *world) approvals.Request {
			r := pending(w)
			w.clock.Add(24 * time.Hour)
			return r
		},
		"no pager": func(w *world) approvals.Request { w.executor.Pager = nil; return pending(w) },
		"forged, with no plan": func(w *world) approvals.Request {
			r := approvals.Request{ID: "KS-4G7QX2M9ZT0B", State: approvals.Pending, Need: 1, Asked: w.clock.Now(), Expires: w.clock.Now().Add(24 * time.Hour)}
			w.must(w.table().Create(w.t.Context(), r))
			return r
		},
		"forged, not partial": func(w *world) approvals.Request {
			r := w.contained(revoke)
			w.edit(r, func(r *approvals.Request) { r.State = approvals.Partial })
			return r
		},
		"partial, retried": func(w *world) approvals.Request {
			r := w.failed()
			w.bring(w.button(bob, r, "retry")) // the job is not done
			return r
		},
		"partial, said no to": func(w *world) approvals.Request { return w.clicks(carol, w.failed(), "deny") },
		"partial, no not recorded": func(w *world) approvals.Request {
			r := w.failed()
			w.bring(w.button(carol, r, "deny"))
			return r
		},
		"partial, its undo asked for": func(w *world) approvals.Request {
			r := w.failed()
			w.edit(r, func(r *approvals.Request) { r.UndoAsked = w.clock.Now() }) // as the bot does
			return r
		},
		"undone": func(w *world) approvals.Request { r := w.failed(); w.undo(r); return r },
		"an undo that is partial": func(w *world) approvals.Request {
			u := w.asksUndo(w.contained(revoke))
			defer w.breaks("iam:DeleteRolePolicy")()
			return w.clicks(alice, u, "approve")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, onCall)
			w.t = t
			r := do(w)
			w.clock.Add(11 * time.Minute)
			w.notifies(r.ID)
			w.paged(0)
		})
	}
}

// TestEachEndWithoutItsGoalsIsPagedOnce, and the original of an undo that failed.
func TestEachEndWithoutItsGoalsIsPagedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	mend := w.breaks("iam:PutRolePolicy")
	r := w.clicks(bob, w.types(alice, revoke), "approve")
	w.carded(r)
	due := func() {
		t.Helper()
		w.clock.Add(10*time.Minute - time.Second)
		w.notifies(r.ID)
		before := len(w.pages())
		w.clock.Add(time.Second)
		w.notifies(r.ID, r.ID)
		w.paged(before + 1)
	}
	due()
	if want := "Killswitch: NOT CONTAINED: partial, NOT CONTAINED: revoke_sessions in account prod (" + prod + ") · " + r.ID + " · ended 10 min ago · " + cardLink; w.pages()[0] != want {
		t.Errorf("paged %q, want %q", w.pages()[0], want)
	}
	r = w.state(w.clicks(carol, r, "retry"), approvals.Partial)
	due()
	mend()
	r = w.state(w.clicks(carol, r, "retry"), approvals.Contained)
	w.clock.Add(30 * time.Minute) // the re-check comes late, and finds what somebody did
	w.breaks("iam:PutRolePolicy")
	w.dropDeny()
	w.drain()
	w.state(r, approvals.Partial)
	due()
	if _, n := w.event(r, "paged"); n != 3 {
		t.Errorf("in the chain %d times", n)
	}
}

// TestOriginalOfAPartialUndoIsPaged: since that undo's end.
func TestOriginalOfAPartialUndoIsPaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	r := w.contained(revoke)
	u := w.asksUndo(r)
	w.pass(30 * time.Minute)
	w.breaks("iam:DeleteRolePolicy")
	w.state(w.clicks(alice, u, "approve"), approvals.Partial)
	w.state(r, approvals.Partial)
	w.clock.Add(10*time.Minute - time.Second)
	w.notifies(r.ID)
	w.paged(0)
	w.clock.Add(time.Second)
	w.notifies(r.ID)
	w.paged(1)
}

// TestUndoThatWaitsIsPaged: it takes back a containment, and says so.
func TestUndoThatWaitsIsPaged(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	u := w.asksUndo(w.contained(revoke))
	w.clock.Add(12 * time.Minute)
	w.notifies(u.ID)
	if pages := w.pages(); len(pages) != 1 || !strings.Contains(pages[0], "pending 0/1: undo of revoke_sessions in account prod") || !strings.Contains(pages[0], "asked 12 min ago") {
		t.Errorf("paged %v", pages)
	}
}

// critical writes an alert that nobody has answered, received now.
func (w *world) critical(id string, edit func(*alerts.Alert)) {
	w.t.Helper()
	f := w.finding()
	f.Severity, f.Names = 9, []string{id}
	a := alerts.Alert{ID: id, Names: f.Names, State: alerts.Open, Received: w.clock.Now(), Called: w.clock.Now(), Reports: []alerts.Report{alerts.NewReport(f, "", w.clock.Now())},
		Card: approvals.Card{Channel: channel, TS: cardTS, Link: cardLink}}
	edit(&a)
	w.must(alerts.Table{Requests: w.table()}.Create(w.t.Context(), a))
}

// TestCriticalAlertIsPagedOnce.
func TestCriticalAlertIsPagedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	w.critical(alertID, func(*alerts.Alert) {})
	w.clock.Add(10*time.Minute - time.Second)
	w.notifies(alertID)
	w.paged(0)
	w.clock.Add(time.Second)
	w.notifies(alertID, alertID)
	w.clock.Add(2 * time.Hour)
	w.notifies(alertID)
	want := []string{"Killswitch: critical alert: critical alert in account prod (" + prod + ") · " + alertID + " · open since 10 min ago · " + cardLink}
	if d := cmp.Diff(want, w.pages()); d != "" {
		t.Error(d)
	}
	if row, err := w.Runs.Get(t.Context(), approvals.PageKey(alertID)); err != nil || row.Expires.IsZero() {
		t.Errorf("kept until %s, %v", row.Expires, err)
	}
}

// TestWhichAlertsArePaged.
func TestWhichAlertsArePaged(t *testing.T) {
	t.Parallel()
	linked := func(s approvals.State) func(*world, *alerts.Alert) {
		return func(w *world, a *alerts.Alert) {
			r := approvals.Request{ID: "KS-4G7QX2M9ZT0B", State: s, Ended: w.clock.Now()}
			w.must(w.table().Create(w.t.Context(), r))
			a.Requests = []alerts.LinkedRequest{{Request: "KS-9N3VB6W1HCPA"}, {Request: r.ID}} // the first is gone
		}
	}
	severe := func(by float64) func(*world, *alerts.Alert) {
		return func(_ *world, a *alerts.Alert) { a.Reports[0].Severity, a.Reports[0].Finding.Severity = by, by }
	}
	marked := func(m finding.Mark) func(*world, *alerts.Alert) {
		return func(_ *world, a *alerts.Alert) { a.Reports[0].Finding.Mark = m }
	}
	state := func(s alerts.State) func(*world, *alerts.Alert) {
		return func(_ *world, a *alerts.Alert) { a.State = s }
	}
	for name, c := range map[string]struct {
		edit func(*world, *alerts.Alert)
		want int
	}{
		"critical":          {severe(9.5), 1},
		"high":              {severe(8.9), 0},
		"sample":            {marked(finding.Sample), 0},
		"mock":              {marked(finding.Mock), 0},
		"drill":             {marked(finding.Drill), 0},
		"acknowledged":      {state(alerts.Acknowledged), 0},
		"snoozed":           {state(alerts.Snoozed), 0},
		"false positive":    {state(alerts.FalsePositive), 0},
		"over":              {func(_ *world, a *alerts.Alert) { a.Over, a.Reports[0].Finding.Over = true, true }, 0},
		"request pending":   {linked(approvals.Pending), 0},
		"request contained": {linked(approvals.Contained), 0},
		"request partial":   {linked(approvals.Partial), 0},
		"request denied":    {linked(approvals.Denied), 1},
		"request undone":    {linked(approvals.Undone), 0}, // two people have decided that
		"undone, seen since": {func(w *world, a *alerts.Alert) {
			linked(approvals.Undone)(w, a)
			a.Reports[0].Last = w.clock.Now().Add(time.Minute)
		}, 1},
		"contained, seen since": {func(w *world, a *alerts.Alert) {
			linked(approvals.Contained)(w, a)
			a.Reports[0].Last = w.clock.Now().Add(time.Minute)
		}, 1},
		"critical since lately": {func(w *world, a *alerts.Alert) { a.Called = w.clock.Now().Add(2 * time.Minute) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, onCall)
			w.t = t
			w.critical(alertID, func(a *alerts.Alert) { c.edit(w, a) })
			w.clock.Add(11 * time.Minute)
			w.notifies(alertID, "AL-000000000000")
			w.paged(c.want)
		})
	}
}

// TestLinkOfAPage: only one that is to this very message, else to its channel.
func TestLinkOfAPage(t *testing.T) {
	t.Parallel()
	const redirect = "https://slack.com/app_redirect?team=" + acme + "&channel=" + channel
	for link, want := range map[string]string{
		cardLink: cardLink,
		"https://acme-corp.enterprise.slack.com/archives/" + channel + "/p1763694000000100": "",
		"https://acme.slack-gov.com/archives/" + channel + "/p1763694000000100":             "",
		cardLink + "?thread_ts=1763693000.000200&cid=" + channel:                            "",
		cardLink + "?thread_ts=1763693000.000200&cid=C02OTHER":                              redirect,
		cardLink + "?thread_ts=1763693000.000200":                                           redirect,
		cardLink + "?x=1": redirect,
		cardLink + "\n":   redirect,
		cardLink + "1":    redirect,
		"":                redirect,
		"http://acme.slack.com/archives/" + channel + "/p1763694000000100":               redirect,
		"https://acme.slack.com.evil.example/archives/" + channel + "/p1763694000000100": redirect,
		"https://evil.example/acme.slack.com/archives/" + channel + "/p1763694000000100": redirect,
		"https://evil.example?acme.slack.com/archives/" + channel + "/p1763694000000100": redirect,
		"https://a@acme.slack.com/archives/" + channel + "/p1763694000000100":            redirect,
		"https://acme.slack.com/archives/C02OTHER/p1763694000000100":                     redirect,
		"https://acme.slack.com/archives/" + channel + "/p1763694000000101":              redirect,
		" " + cardLink: redirect,
	} {
		w := newWorld(t, onCall)
		w.critical(alertID, func(a *alerts.Alert) { a.Card.Link = link })
		w.clock.Add(10 * time.Minute)
		w.notifies(alertID)
		if want == "" {
			want = link
		}
		if pages := w.pages(); len(pages) != 1 || !strings.HasSuffix(pages[0], "min ago · "+want) {
			t.Errorf("%q: paged %v", link, pages)
		}
	}
	w := newWorld(t, onCall)
	w.critical(alertID, func(a *alerts.Alert) { a.Card.Channel, a.Card.Link = "C0/../evil", cardLink })
	w.clock.Add(10 * time.Minute)
	w.notifies(alertID)
	if pages := w.pages(); len(pages) != 1 || !strings.HasSuffix(pages[0], "open since 10 min ago") {
		t.Errorf("a channel that is none: paged %v", pages)
	}
}

// filled sets each text in a value to a marker, but for those at the paths given.
func filled(v reflect.Value, path string, keep ...string) {
	if slices.Contains(keep, path) {
		return
	}
	switch v.Kind() { //nolint:exhaustive // the others have no text
	case reflect.String:
		v.SetString("LEAK" + path)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		filled(v.Elem(), path, keep...)
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				filled(v.Field(i), path+"."+f.Name, keep...)
			}
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			filled(v.Index(i), path, keep...)
		}
	case reflect.Map:
		if v.Type().Elem().Kind() != reflect.String {
			return
		}
		m := reflect.MakeMap(v.Type())
		m.SetMapIndex(reflect.ValueOf("LEAK").Convert(v.Type().Key()), reflect.ValueOf("LEAK").Convert(v.Type().Elem()))
		v.Set(m)
	}
}

// TestPagesHaveFixedWords: of the texts in the rows that a page is about none is in it, but
// for account and link if they are what they should be.
func TestPagesHaveFixedWords(t *testing.T) {
	t.Parallel()
	table := func(w *world) alerts.Table { return alerts.Table{Requests: w.table()} }
	for name, keep := range map[string][]string{
		"all of it":           nil,
		"all but the account": {".Account", ".Intent.Call.Account", ".Reports.Finding.Account"},
		"all but the action":  {".Intent.Call.Action"},
		"all but the link":    {".Card.Channel", ".Card.TS", ".Card.Link"},
		"all but the channel": {".Card.Channel"},
	} {
		w := newWorld(t, onCall)
		always := append([]string{".ID", ".State", ".Intent.Undo", ".Card.State", ".UndoneBy", ".Denial", ".Cancelled", ".Withdrawn", ".Retries", ".Votes", ".Outcome"}, keep...)
		p := w.state(w.types(alice, revoke), approvals.Pending)
		mend := w.breaks("iam:PutRolePolicy")
		f := w.clicks(bob, w.types(alice, anotherRevoke), "approve")
		mend()
		for _, r := range []approvals.Request{p, f} {
			w.carded(r)
			w.edit(r, func(r *approvals.Request) { filled(reflect.ValueOf(r).Elem(), "", always...) })
			rewrite(w, planKey(r), func(p *approvals.Planned) { filled(reflect.ValueOf(p).Elem(), "", always...) })
		}
		rewrite(w, runKey(f), func(r *approvals.Run) { filled(reflect.ValueOf(r).Elem(), "", always...) })
		w.critical(alertID, func(*alerts.Alert) {})
		_, err := table(w).Change(t.Context(), alertID, func(a *alerts.Alert) error {
			filled(reflect.ValueOf(a).Elem(), "", append(always, ".Names", ".Reports.Finding.Mark")...)
			return nil
		})
		w.must(err)
		w.clock.Add(10 * time.Minute)
		w.notifies(p.ID, f.ID, alertID)
		w.paged(3)
		for _, page := range w.pages() {
			if strings.Contains(page, "LEAK") || len(page) > 400 {
				t.Errorf("%s: %s", name, page)
			}
			if name == "all of it" && (strings.Contains(page, "account") || strings.Contains(page, "http") || strings.Contains(page, "revoke")) {
				t.Errorf("%s: %s", name, page)
			}
			if is := strings.Contains(page, "in account prod ("+prod+")"); is != (name == "all but the account") {
				t.Errorf("%s: %s", name, page)
			}
			if is := strings.Contains(page, cardLink); is != (name == "all but the link") {
				t.Errorf("%s: %s", name, page)
			}
		}
	}
}

// TestParallelJobsPageOnce: two workers, one after the other's first write, and many at
// once.
func TestParallelJobsPageOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	r := w.state(w.types(alice, revoke), approvals.Pending)
	w.clock.Add(10 * time.Minute)
	other := w.worker()
	w.during("sns:Publish", func() { w.must(other.Handle(t.Context(), approvals.Job{Verb: approvals.JobNotify, ID: r.ID})) })
	w.notifies(r.ID)
	w.paged(1)

	for i := range 5 {
		w := newWorld(t, onCall)
		r := w.state(w.types(alice, revoke), approvals.Pending)
		w.critical(alertID, func(*alerts.Alert) {})
		w.clock.Add(10 * time.Minute)
		var wg sync.WaitGroup
		for range 4 {
			x := w.worker()
			for _, id := range []string{r.ID, alertID} {
				wg.Go(func() {
					if err := x.Handle(t.Context(), approvals.Job{Verb: approvals.JobNotify, ID: id}); err != nil {
						t.Error(i, err)
					}
				})
			}
		}
		wg.Wait()
		w.paged(2)
	}
}

// TestPageThatIsNotRecordedIsSentAgain: a worker died between both. Its lease ends first.
func TestPageThatIsNotRecordedIsSentAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	r := w.state(w.types(alice, revoke), approvals.Pending)
	w.clock.Add(10 * time.Minute)
	w.loses(w.Runs, func(p approvals.Put) bool { return p.Sort == "page" })
	if err := w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobNotify, ID: r.ID}); !errors.Is(err, errOutage) {
		t.Fatalf("it ended with %v", err)
	}
	w.paged(1)
	w.notifies(r.ID) // that worker may be alive
	w.paged(1)
	w.clock.Add(30 * time.Second)
	w.notifies(r.ID)
	w.paged(2)
	w.clock.Add(time.Hour)
	w.notifies(r.ID)
	w.paged(2)
	if _, n := w.event(r, "paged"); n != 1 {
		t.Errorf("in the chain %d times", n)
	}
}

// TestPageThatCanNotBeSentNowIsSentLater: the job comes again, at once.
func TestPageThatCanNotBeSentNowIsSentLater(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	r := w.state(w.types(alice, revoke), approvals.Pending)
	w.clock.Add(10 * time.Minute)
	w.answers("sns:Publish", apiError("ServiceUnavailable"), times(12)) // more than an hour has room for
	for range 12 {
		if err := w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobNotify, ID: r.ID}); !actions.Transient(err) {
			t.Fatalf("it ended with %v", err)
		}
	}
	w.notifies(r.ID, r.ID)
	w.paged(1)
	if _, n := w.event(r, "paged"); n != 1 {
		t.Errorf("in the chain %d times", n)
	}
}

// TestPageThatTheTopicRefusesIsTriedHourly, and logged; nothing of it is in the record.
func TestPageThatTheTopicRefusesIsTriedHourly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	r := w.state(w.types(alice, revoke), approvals.Pending)
	w.clock.Add(10 * time.Minute)
	tries := 0
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op == "sns:Publish" && c.Phase == awsfake.Before {
			tries++
		}
		return nil
	})
	mend := w.breaks("sns:Publish")
	for range 2*60 + 1 {
		w.notifies(r.ID)
		w.clock.Add(time.Minute)
	}
	w.paged(0)
	if tries != 3 {
		t.Errorf("tried %d times in two hours", tries)
	}
	if _, n := w.event(r, "paged"); n != 0 {
		t.Errorf("in the chain %d times", n)
	}
	mend()
	w.clock.Add(time.Hour)
	w.notifies(r.ID)
	w.paged(1)
}

// TestTenPagesAnHour: what finds no room waits, the pager hears once an hour that there is
// more, and in the end all is told.
func TestTenPagesAnHour(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	var at []time.Time
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op == "sns:Publish" && c.Phase == awsfake.After {
			at = append(at, w.clock.Now())
		}
		return nil
	})
	var ids []string
	for i := range 23 {
		id := approvals.AlertID(fmt.Sprint(i))
		w.critical(id, func(*alerts.Alert) {})
		ids = append(ids, id)
	}
	w.clock.Add(10 * time.Minute)
	begun := w.clock.Now()
	for range 2*60 + 2 { // the sweep
		w.notifies(ids...)
		w.clock.Add(time.Minute)
	}
	const more = "more than ten pages within an hour: further ones are counted"
	told := map[string]int{}
	var times []time.Time
	for i, page := range w.pages() {
		if strings.HasSuffix(page, more) {
			told[more]++
			continue
		}
		times = append(times, at[i])
		for _, id := range ids {
			if strings.Contains(page, id) {
				told[id]++
			}
		}
		left := 23 - len(times)
		if waits := fmt.Sprintf(" · %d more wait", left); strings.HasSuffix(page, waits) != (len(times) > 10 && left > 0) {
			t.Errorf("page %d: %s", len(times), page)
		}
	}
	for _, id := range ids {
		if told[id] != 1 {
			t.Errorf("%s was paged %d times", id, told[id])
		}
	}
	if told[more] != 2 {
		t.Errorf("it was said %d times that there are more", told[more])
	}
	for i := 10; i < len(times); i++ {
		if d := times[i].Sub(times[i-10]); d < time.Hour {
			t.Errorf("eleven pages within %s", d)
		}
	}
	if last := times[len(times)-1].Sub(begun); last > 2*time.Hour {
		t.Errorf("the last page came after %s", last)
	}
}

// unanswered makes critical alerts, by their numbers, and lets the pager's time pass.
func (w *world) unanswered(n int) {
	w.t.Helper()
	for i := range n {
		w.critical(approvals.AlertID(fmt.Sprint(i)), func(*alerts.Alert) {})
	}
	w.clock.Add(10 * time.Minute)
}

// TestRoomComesBackPageByPage: an hour after each page, whatever was said meanwhile.
func TestRoomComesBackPageByPage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	w.unanswered(12)
	for i := range 10 {
		w.notifies(approvals.AlertID(fmt.Sprint(i)))
		w.clock.Add(5 * time.Minute)
	}
	last := []string{approvals.AlertID("10"), approvals.AlertID("11")}
	for _, want := range []int{11, 11, 12, 13} { // 50, 55, 60 and 65 minutes after the first
		w.notifies(last...)
		w.paged(want)
		w.clock.Add(5 * time.Minute)
	}
}

// TestWaitingPagesAreThoseOfNow: what was answered while it waited is not counted.
func TestWaitingPagesAreThoseOfNow(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	w.unanswered(13)
	for i := range 13 {
		w.notifies(approvals.AlertID(fmt.Sprint(i)))
	}
	w.paged(11)
	w.clock.Add(time.Hour) // the others were answered
	w.notifies(approvals.AlertID("12"))
	w.paged(12)
	if page := w.pages()[11]; strings.Contains(page, "wait") {
		t.Errorf("paged %q", page)
	}
}

// TestMoreIsToldByOne: also if several pages find no room at once, or its first try fails.
func TestMoreIsToldByOne(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	w.unanswered(14)
	for i := range 10 {
		w.notifies(approvals.AlertID(fmt.Sprint(i)))
	}
	fails := true
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op == "sns:Publish" && c.Phase == awsfake.Before && fails {
			fails = false
			return apiError("ServiceUnavailable")
		}
		return nil
	})
	job := func(i int) error {
		return w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobNotify, ID: approvals.AlertID(fmt.Sprint(i))})
	}
	if err := job(10); !actions.Transient(err) {
		t.Errorf("it ended with %v", err)
	}
	w.during("sns:Publish", func() { w.must(job(12)) })
	for i := range 4 {
		w.must(job(10 + i))
	}
	w.paged(11)
}

// TestForgedRowsAnnoyWithinTheCap: whoever writes the table requests and the queue has the
// pager called ten times an hour, with our words, and touches nothing.
func TestForgedRowsAnnoyWithinTheCap(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	r := w.contained(revoke)
	changes := w.aws.Mutations()
	var ids []string
	for i := range 200 {
		id := approvals.AlertID(fmt.Sprint("forged", i))
		w.critical(id, func(a *alerts.Alert) {
			a.Called, a.Reports[0].Finding.Account = time.Unix(1, 0), "evil.example"
			a.Card.Link = "https://evil.example"
		})
		ids = append(ids, id)
	}
	for i := range 3 {
		w.edit(r, func(r *approvals.Request) {
			r.State, r.Expires, r.Need = approvals.Pending, w.clock.Now().Add(24*time.Hour), i
		})
		w.clock.Add(20 * time.Minute)
		w.notifies(append(ids, r.ID, "AL-000000000000", "KS-000000000000", "no ID", "pager")...)
	}
	w.paged(11)
	for _, page := range w.pages() {
		if strings.Contains(page, "evil") {
			t.Errorf("paged %q", page)
		}
	}
	var h struct{ Began, Waiting []any }
	row, err := w.Runs.Get(t.Context(), approvals.Key{Part: "pager", Sort: "hour"})
	w.must(err)
	w.must(json.Unmarshal(row.Body, &h))
	if len(h.Began) > 11 || len(h.Waiting) > 100 {
		t.Errorf("the row of the hour has %d and %d", len(h.Began), len(h.Waiting))
	}
	if n := w.aws.Mutations() - changes - len(w.pages()); n != 0 {
		t.Errorf("%d changes were made", n)
	}
}

// TestRepeatedRemovalIsPagedAtOnce: the third removal, and then once a day.
func TestRepeatedRemovalIsPagedAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	r := w.contained(revoke)
	w.carded(r)
	for n := range 10 {
		w.dropDeny()
		w.pass(5 * time.Minute)
		w.paged(min(max(n-1, 0), 1))
	}
	want := "Killswitch: somebody works against a containment: contained, undone by somebody again and again: revoke_sessions in account prod (" + prod + ") · " + r.ID + " · last 0 min ago · " + cardLink
	if pages := w.pages(); len(pages) != 1 || pages[0] != want {
		t.Errorf("paged %q, want %q", pages, want)
	}
	w.lookEvery(5*time.Minute, 24*time.Hour)
	w.paged(1)
	w.dropDeny()
	w.lookEvery(5*time.Minute, time.Hour)
	w.paged(2)
	w.state(r, approvals.Contained)
}
