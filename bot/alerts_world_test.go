package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/approvals/finding/findingtest"
	"github.com/killswitch-chatops/killswitch/approvals/memory"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// sent is a queue of jobs that nobody takes.
type sent struct {
	mu     sync.Mutex
	jobs   []approvals.Job
	err    error
	before func() error
}

func (q *sent) Send(_ context.Context, j approvals.Job, _ time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return q.err
	}
	if q.before != nil {
		if err := q.before(); err != nil {
			return err
		}
	}
	q.jobs = append(q.jobs, j)
	return nil
}

func (q *sent) of(v approvals.Verb) (ids []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range q.jobs {
		if j.Verb == v && !slices.Contains(ids, j.ID) {
			ids = append(ids, j.ID)
		}
	}
	return ids
}

// watched counts the writes of a store and can make them fail.
type watched struct {
	approvals.Store
	mu     sync.Mutex
	writes int
	fail   func(puts []approvals.Put, after bool) error
}

func (s *watched) Write(ctx context.Context, puts ...approvals.Put) error {
	s.mu.Lock()
	s.writes++
	fail := s.fail
	s.mu.Unlock()
	if fail == nil {
		return s.Store.Write(ctx, puts...)
	}
	if err := fail(puts, false); err != nil {
		return err
	}
	if err := s.Store.Write(ctx, puts...); err != nil {
		return err
	}
	return fail(puts, true)
}

// tester is a test or a benchmark; the bot's own fields hide its methods.
type tester struct{ testing.TB }

// desk is a bot at work in a workspace of its own.
type desk struct {
	tester
	*Bot
	slack   *slackfake.Slack
	store   *watched
	runs    *memory.Store
	jobs    *sent
	mu      sync.Mutex
	counted map[string]int
	posts   []slackfake.Message // as they were posted: edits notify nobody
}

func (d *desk) countedNow(name string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.counted[name]
}

const eveSlack = "U0EVE" // in the roster and in no group

// newDesk makes one.
func newDesk(t testing.TB, now func() time.Time, sleep func(context.Context, time.Duration) error, alter ...func(*desk)) *desk {
	t.Helper()
	d := &desk{tester: tester{t}, store: &watched{Store: memory.NewStore()}, runs: memory.NewStore(), jobs: &sent{}, counted: map[string]int{}}
	routing := finding.Routing{Routes: []finding.Route{
		{Match: finding.Match{Source: finding.GuardDuty}, Delivery: finding.Propose},
		{Match: finding.Match{Source: finding.TrustedAdvisor}, Delivery: finding.Propose},
		{Match: finding.Match{Source: finding.Health}, Delivery: finding.Propose},
		{Match: finding.Match{Source: finding.SecurityHub, MinSeverity: 4}, Delivery: finding.Propose},
	}}
	d.slack = slackfake.New(slackfake.Config{
		Now: now, Team: "T0TEST",
		Users:    []slackfake.User{{ID: ana.Slack, Name: "ana"}, {ID: ben.Slack, Name: "ben"}, {ID: eveSlack, Name: "eve"}},
		Channels: []slackfake.Channel{{ID: sec, Name: "security"}, {ID: "C0OTHER", Name: "other"}},
	})
	d.slack.Deliver(d)
	d.slack.Subscribe(func(e slackfake.Event) {
		if e.Type == "posted" {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.posts = append(d.posts, e.Message)
		}
	})
	entry := approvals.ActionPolicy{Requesters: "responders", Approvers: "responders", Approvals: 1, ApproveWithin: 30 * time.Minute, RunWithin: 5 * time.Minute}
	d.Bot = &Bot{
		Slack:    NewSlack(Token(d.slack.Config().BotToken), "http://slack.invalid/api", d.slack.Client(), sleep),
		Requests: approvals.Requests{Store: d.store}, Runs: approvals.Runs{Reader: d.runs}, Jobs: d.jobs,
		Policy: approvals.Policy{
			Roster: approvals.Roster{
				People: []approvals.Person{ana, ben, {ID: "eve", Name: "Eve", Slack: eveSlack}},
				Groups: map[string][]string{"responders": {ana.ID, ben.ID}},
			},
			Default: entry, Undo: entry, Watch: 7 * 24 * time.Hour,
		},
		Org:  actions.Org{Actions: all.Actions, Partition: "aws", HubAccount: "111111111111", Accounts: map[string]string{"prod": account}, Regions: []string{"us-east-1"}},
		Team: "T0TEST", IncidentChannel: sec, CommandChannels: []string{sec},
		Findings: finding.Reader{Sources: findingtest.Sources(), Routing: routing}, EventWebhooks: []string{"eventbridge"},
		Now: now, Sleep: sleep, Log: slog.New(slog.DiscardHandler),
		Count: func(_ context.Context, name string, n int) { d.mu.Lock(); defer d.mu.Unlock(); d.counted[name] += n },
	}
	if testing.Verbose() {
		d.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	for _, f := range alter {
		f(d)
	}
	d.Findings.Org = d.Org
	return d
}

// atDesk runs a test with time of its own.
func atDesk(t *testing.T, test func(t *testing.T, d *desk), alter ...func(*desk)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newDesk(t, time.Now, approvals.Sleep, alter...)) })
}

// ServeHTTP is where Slack delivers clicks: they are handled at once.
func (d *desk) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = d.HandleSlack(r.Context(), approvals.Evidence{Timestamp: r.Header.Get("X-Slack-Request-Timestamp"), Signature: r.Header.Get("X-Slack-Signature"), Body: string(body)})
	}
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
	}
}

func (d *desk) must(err error) {
	d.Helper()
	if err != nil {
		d.Fatal(err)
	}
}

// finding is one of GuardDuty's; each number is another. Tests alter what they are
// about.
func gdFinding(n int, alter ...func(*finding.Finding)) finding.Finding {
	at := time.Date(2026, 11, 21, 9, 0, 0, 0, time.UTC)
	role := fmt.Sprintf("arn:aws:iam::%s:role/role-%d", account, n)
	a := finding.Finding{
		Source: finding.GuardDuty, EventID: fmt.Sprintf("event-%d", n), Names: []string{fmt.Sprintf("%s/us-east-1/finding-%d", account, n)},
		Type: "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS", Title: "Credentials were used from outside", Severity: 5,
		Partition: "aws", Account: account, Region: "us-east-1", Principal: fmt.Sprintf("role role-%d", n), Facts: []finding.Fact{{Label: "API", Text: "ListBuckets"}},
		First: at, Last: at, Updated: at, Count: 1,
		Confirmation: source.Confirmation{Kind: source.ConfirmFinding, Account: account, Region: "us-east-1", Detector: "d", ID: fmt.Sprintf("finding-%d", n)},
		Containments: []finding.Containment{{Call: actions.Call{Action: actions.RevokeSessions, Target: role, Account: account}}},
	}
	for _, f := range alter {
		f(&a)
	}
	return a
}

// later is an update that came some minutes after the first report.
func later(minutes int) func(*finding.Finding) {
	return func(a *finding.Finding) {
		a.Updated = a.Updated.Add(time.Duration(minutes) * time.Minute)
		a.Last, a.Count, a.EventID = a.Updated, a.Count+minutes, fmt.Sprintf("%s-%d", a.EventID, minutes)
	}
}

func severe(s float64) func(*finding.Finding) { return func(a *finding.Finding) { a.Severity = s } }

// key is what GuardDuty, Trusted Advisor and Health tell of.
func key(a *finding.Finding) { a.Names = append(a.Names, "key/AKIAEXAMPLE") }

// exposed is another source's word on that key.
func exposed(s finding.Source) func(*finding.Finding) {
	return func(a *finding.Finding) {
		a.Source, a.Names = s, []string{account + "/key/AKIAEXAMPLE", "key/AKIAEXAMPLE"}
		a.Exposed, a.Subject = true, trail.Subject{By: "AccessKeyId", Value: "AKIAEXAMPLE"}
	}
}

// body is an event, or an array of events, that says v.
func body(v any) []byte {
	switch v := v.(type) {
	case finding.Finding:
		return findingtest.Event(findingtest.Said{Finding: v})
	case findingtest.Said:
		return findingtest.Event(v)
	case []any:
		events := make([]json.RawMessage, len(v))
		for i := range v {
			events[i] = body(v[i])
		}
		return encoded(events)
	}
	return encoded(v)
}

func encoded(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

func (d *desk) hears(as ...any) {
	d.Helper()
	for _, a := range as {
		d.must(d.HandleEvent(d.Context(), body(a)))
	}
}

func (d *desk) row(a finding.Finding) alerts.Alert {
	d.Helper()
	row, err := d.alerts().Get(d.Context(), approvals.AlertID(a.Own()))
	d.must(err)
	return row
}

// cards are the messages that are cards of alerts, replies the others in a thread.
func (d *desk) cards(channel string) []slackfake.Message {
	return slices.DeleteFunc(d.slack.Messages(channel), func(m slackfake.Message) bool {
		return m.ThreadTS != "" || m.EphemeralTo != "" || !strings.Contains(m.Text, "· AL-")
	})
}

func (d *desk) replies(a alerts.Alert) []slackfake.Message {
	all := d.slack.Thread(a.Card.Channel, a.Card.TS)
	return all[min(1, len(all)):]
}

func (d *desk) calls(method string) (n int) {
	for _, c := range d.slack.Calls() {
		if c.Method == method {
			n++
		}
	}
	return n
}

// limited are the calls that Slack refused since there were too many.
func (d *desk) limited() (n int) {
	for _, c := range d.slack.Calls() {
		if c.Status == http.StatusTooManyRequests {
			n++
		}
	}
	return n
}

func (d *desk) clicks(user string, a alerts.Alert, button string) slackfake.Delivered {
	d.Helper()
	got := d.slack.Click(user, a.Card.Channel, a.Card.TS, button)
	if got.Err != nil || got.Status != http.StatusOK {
		d.Fatalf("%s clicks %s: %d %v", user, button, got.Status, got.Err)
	}
	return got
}

// told is what a person alone was told last.
func (d *desk) told(user string) string {
	last := ""
	for _, m := range d.slack.Messages(sec) {
		if m.EphemeralTo == user {
			last = m.Text
		}
	}
	return last
}

func (d *desk) tellsOnly(user, want string) {
	d.Helper()
	if got := d.told(user); !strings.Contains(got, want) {
		d.Errorf("%s was told %q, want %q", user, got, want)
	}
}

// request reads a request.
func (d *desk) request(id string) approvals.Request {
	d.Helper()
	r, err := d.Requests.Get(d.Context(), id)
	d.must(err)
	return r
}

// becomes moves a request on as the executor does, and tells the bot.
func (d *desk) becomes(id string, states ...approvals.State) {
	d.Helper()
	for _, s := range states {
		_, err := d.Requests.Change(d.Context(), id, func(r *approvals.Request) error {
			r.Digest = "digest"
			return r.To(s, time.Now())
		})
		d.must(err)
		d.must(d.HandleChange(d.Context(), approvals.Change{ID: id}))
	}
}

// report is what the executor leaves of an alert's subject's activity.
func (d *desk) report(id string) {
	d.Helper()
	r := approvals.Report{At: time.Now(), Unread: "it was a test"}
	k := approvals.Key{Part: id, Sort: "report"}
	old, err := d.runs.Get(d.Context(), k)
	if !errors.Is(err, approvals.ErrNotFound) {
		d.must(err)
	}
	d.must(d.runs.Write(d.Context(), approvals.Put{Row: approvals.Row{Key: k, Version: old.Version, Body: body(r)}}))
}

// pass lets time go by with the sweep at work, its halves one after the other, so that a test
// is the same each time.
func (d *desk) pass(t time.Duration) {
	for end := time.Now().Add(t); time.Now().Before(end); {
		time.Sleep(10 * time.Second)
		_ = d.SweepRequests(d.Context())
		_ = d.SweepAlerts(d.Context())
	}
}

var errBroken = errors.New("broken")
