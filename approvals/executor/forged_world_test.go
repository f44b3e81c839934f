package executor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
	"github.com/killswitch-chatops/killswitch/approvals/bolt"
	"github.com/killswitch-chatops/killswitch/approvals/crashtest"
	"github.com/killswitch-chatops/killswitch/approvals/executor"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/approvals/memory"
	"github.com/killswitch-chatops/killswitch/approvals/s3"
)

// The tests of the executor alone. There is no bot: the harness writes the rows
// that the bot would write, and those that an attacker could who can write the
// table requests and send jobs. Nothing is checked on the way, so that whatever
// must not run has to be stopped by the executor.

const (
	prod    = "222222222222"
	sandbox = "333333333333"
	appRole = "arn:aws:iam::222222222222:role/app-role"
	channel = "C01INC"

	acme   = "T01ACME" // the workspace
	ourApp = "A01APP"

	alice   = "U01ALICE"
	bob     = "U02BOB"
	carol   = "U03CAROL"
	mallory = "U04MALLORY" // in the roster, in no group
	nobody  = "U05STRANGER"

	signingSecret = "test-secret"
	denyName      = "AWSRevokeOlderSessions"

	revoke        = "revoke_sessions " + appRole + ` reason="ticket 4711, it's stolen"`
	anotherRevoke = "revoke_sessions " + appRole + ` reason="and another leak"`
)

// What the actions' packages give to the worlds of these tests.
var (
	catalog      = all.Actions
	memberPolicy = all.MemberPolicy
)

// settings are what the executor reads from the configuration.
type settings struct {
	Org       actions.Org
	Policy    approvals.Policy
	Channels  []string
	Retention time.Duration
	PerHour   int    // automatic containments of an account
	Total     int    // and of all
	Topic     string // of notices; empty: there are none
	Pager     string // topic; empty: there is none
	Bucket    string // of heads; empty: there is none
}

// world is an organization in AWS, the two tables, the queue jobs, and executors.
type world struct {
	t        testing.TB
	clock    *crashtest.Clock
	aws      *awsfake.Cloud
	cfg      settings
	log      *slog.Logger
	findings finding.Reader

	Requests *table
	Runs     *table
	Jobs     queue
	Changes  queue
	path     string            // of the file that they are in; empty: they are in memory
	file     *bolt.File        // which is open
	killer   *crashtest.Killer // of the executor's process

	executor *executor.Executor // which drain works with
	workers  int
	timeout  time.Duration // of a job, as Lambda has it; 0: none
	mu       sync.Mutex
	sent     []sent
	counted  map[string]int // metrics
	clicked  int

	unwatched bool // nobody looks at what is in force, nor again what was made
}

// newWorld is the fixture; each test alters what it is about.
func newWorld(t testing.TB, alter ...func(*world)) *world {
	t.Helper()
	entry := approvals.ActionPolicy{Requesters: "responders", Approvers: "responders", Approvals: 1, ApproveWithin: 30 * time.Minute, RunWithin: 5 * time.Minute}
	w := &world{t: t, clock: crashtest.NewClock(), counted: map[string]int{}, log: slog.New(slog.DiscardHandler), cfg: settings{
		Channels: []string{channel}, Retention: 400 * 24 * time.Hour, PerHour: 5, Total: 20,
		Org: actions.Org{
			Actions:   catalog,
			Partition: "aws", HubAccount: awsfake.HubAccount, ManagementAccount: "999999999999",
			ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer", ExternalID: "4b3c2a1f",
			Accounts:            map[string]string{"prod": prod, "sandbox": sandbox},
			ProtectedAccounts:   []string{awsfake.HubAccount},
			ProtectedPrincipals: []string{"arn:aws:iam::*:role/break-glass"},
		},
		Policy: approvals.Policy{
			Roster: approvals.Roster{
				People: []approvals.Person{{ID: "alice", Slack: alice}, {ID: "bob", Slack: bob}, {ID: "carol", Slack: carol}, {ID: "mallory", Slack: mallory}},
				Groups: map[string][]string{"responders": {"alice", "bob", "carol"}},
			},
			Default: entry, Undo: entry, Watch: 7 * 24 * time.Hour,
		},
	}}
	if testing.Verbose() {
		w.log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	w.aws = awsfake.New(w.clock.Now)
	w.aws.Member(prod, awsfake.MemberRoles{
		Responder: w.cfg.Org.ResponderRole, Restorer: w.cfg.Org.RestorerRole, ExternalID: w.cfg.Org.ExternalID,
		ResponderPolicy: memberPolicy(actions.Responder, w.cfg.Org, false),
		RestorerPolicy:  memberPolicy(actions.Restorer, w.cfg.Org, false),
	})
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}})
	w.killer = &crashtest.Killer{}
	w.Requests, w.Runs = &table{Store: memory.NewStore(), name: "requests", killer: w.killer}, &table{Store: memory.NewStore(), name: "runs", killer: w.killer}
	w.Jobs, w.Changes = memory.NewQueue(w.clock.Now), memory.NewQueue(w.clock.Now)
	for _, f := range alter {
		f(w)
	}
	if _, is := w.Requests.Store.(*memory.Store); is && endpoint != "" && w.path == "" && !w.clock.Real {
		inDynamoDB(w)
	}
	w.start()
	return w
}

// start brings an executor up on what tables and queues hold, with the settings of now.
func (w *world) start() {
	w.t.Helper()
	if w.path != "" {
		w.open()
	}
	w.executor = w.worker()
}

// worker is one more process with an executor. As in Lambda it does not know
// whether another one is gone.
func (w *world) worker() *executor.Executor {
	w.workers++
	name, runs := fmt.Sprintf("worker-%d", w.workers), new(atomic.Int32)
	cloud := actions.NewCloud(w.aws.Config(), w.cfg.Org)
	cloud.SetNow(w.clock.Now)
	cloud.SetMembers(executor.Members{Store: w.Runs})
	cloud.SetCount(w.count)
	cloud.SetAfterFunc(func(_ time.Duration, f func()) { f() }) // of time that only passes where a test says so
	findings := w.findings
	findings.Org = w.cfg.Org
	x := &executor.Executor{
		Store: w.Runs, Requests: approvals.Requests{Store: w.Requests, Retention: w.cfg.Retention}, Policy: w.cfg.Policy, Org: w.cfg.Org, Cloud: cloud, Actions: catalog.Lookup,
		Verifiers: approvals.SlackVerifier{Secrets: func(context.Context) ([]string, error) { return []string{signingSecret}, nil }}.Kinds(),
		Team:      acme, Channels: w.cfg.Channels, Findings: findings, AutoPerHour: w.cfg.PerHour, AutoPerHourTotal: w.cfg.Total,
		Jobs: recorder{w}, Changes: teller{w},
		Now: w.clock.Now, Sleep: w.clock.Sleep, Owner: func() string { return fmt.Sprintf("%s/%d", name, runs.Add(1)) }, Count: w.count, Log: w.log,
	}
	if topic, err := trail.NewTopic(w.aws.Config(), w.cfg.Topic); err == nil {
		x.Notices = topic
	}
	if topic, err := trail.NewTopic(w.aws.Config(), w.cfg.Pager); err == nil {
		x.Pager, x.PagerAfter = topic, 10*time.Minute
	}
	if w.cfg.Bucket != "" {
		x.Heads = s3.New(w.aws.Config(), w.cfg.Bucket, "", "")
	}
	return x
}

func (w *world) count(_ context.Context, name string, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counted[name] += n
}

// sent is a job that an executor sent, and not before when it is due.
type sent struct {
	approvals.Job
	Delay time.Duration
}

// recorder writes down what an executor sends to the queue jobs.
type recorder struct{ w *world }

func (r recorder) Send(ctx context.Context, j approvals.Job, delay time.Duration) error {
	r.w.mu.Lock()
	r.w.sent = append(r.w.sent, sent{j, delay})
	r.w.mu.Unlock()
	return r.w.killer.Around("send jobs", func() error { return approvals.JSON[approvals.Job]{Queue: r.w.Jobs}.Send(ctx, j, delay) })
}

// teller is the queue changes.
type teller struct{ w *world }

func (t teller) Send(ctx context.Context, c approvals.Change, delay time.Duration) error {
	return t.w.killer.Around("send changes", func() error { return approvals.ChangeQueue{Queue: t.w.Changes}.Send(ctx, c, delay) })
}

// table is a store as the executor has it: a test can see or fail its reads and
// writes. The rest of the world, the bot and whoever forges rows, has the Store.
type table struct {
	approvals.Store
	name   string
	killer *crashtest.Killer
	reads  func(approvals.Key) error
	writes func([]approvals.Put) error
	wrote  func([]approvals.Put) error // after it took effect
}

func (s *table) Get(ctx context.Context, k approvals.Key) (approvals.Row, error) {
	if s.reads != nil {
		if err := s.reads(k); err != nil {
			return approvals.Row{}, err
		}
	}
	return s.Store.Get(ctx, k)
}

func (s *table) Rows(ctx context.Context, part, prefix, after string, limit int) ([]approvals.Row, error) {
	if s.reads != nil {
		if err := s.reads(approvals.Key{Part: part, Sort: prefix}); err != nil {
			return nil, err
		}
	}
	return s.Store.Rows(ctx, part, prefix, after, limit)
}

func (s *table) Write(ctx context.Context, puts ...approvals.Put) error {
	if s.writes != nil {
		if err := s.writes(puts); err != nil {
			return err
		}
	}
	err := s.killer.Around("write "+s.name+" "+puts[0].Sort, func() error { return s.Store.Write(ctx, puts...) })
	if err == nil && s.wrote != nil {
		err = s.wrote(puts)
	}
	return err
}

// errOutage is what a table says that can't be reached.
var errOutage = errors.New("store: throttled")

func (w *world) table() approvals.Requests {
	return approvals.Requests{Store: w.Requests.Store, Retention: w.cfg.Retention}
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// drain does the jobs that are due now.
func (w *world) drain() {
	w.t.Helper()
	for range 1000 {
		if !w.round() {
			return
		}
	}
	w.t.Fatal("the queue never runs dry")
}

// round does one job, if one is due. One that fails comes again later; one that
// fails thirty times is set aside by serve and by Lambda, and by no test.
func (w *world) round() (did bool) {
	d, ok, err := w.Jobs.Receive(w.t.Context(), 2*time.Minute)
	w.must(err)
	if !ok || w.killer.Point("receive jobs") != nil {
		return false
	}
	var j approvals.Job
	w.must(json.Unmarshal(d.Body, &j))
	ctx := w.t.Context()
	if w.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, w.timeout)
		defer cancel()
	}
	if w.unwatched && (j.Verb == approvals.JobLook || j.Verb == approvals.JobTrace) {
		w.must(w.Jobs.Delete(w.t.Context(), d))
		return true
	}
	if err := w.executor.Handle(ctx, j); err != nil {
		if d.Receives >= 30 {
			w.t.Errorf("a job was set aside: %s %v", d.Body, err)
		}
		w.log.Warn("job", slog.String("error", err.Error()))
		w.survive(w.killer.Around("return jobs", func() error { return w.Jobs.Return(w.t.Context(), d, time.Second<<min(d.Receives, 6)) }))
		return true
	}
	w.survive(w.killer.Around("delete jobs", func() error { return w.Jobs.Delete(w.t.Context(), d) }))
	return true
}

// pass lets time go by in small steps, the sweep come by, and the jobs be done as
// they become due.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); w.drain() {
		w.clock.Add(min(5*time.Second, end.Sub(w.clock.Now())))
		w.sweep()
	}
}

// job lets a worker do one job and nothing else. It returns what it sent.
func (w *world) job(x *executor.Executor, v approvals.Verb, r approvals.Request) []sent {
	w.t.Helper()
	w.sent = nil
	w.must(x.Handle(w.t.Context(), approvals.Job{Verb: v, ID: r.ID}))
	return w.sent
}

// told are the IDs that the bot was told of since it was last asked.
func (w *world) told() (ids []string) {
	w.t.Helper()
	for {
		d, ok, err := w.Changes.Receive(w.t.Context(), time.Hour)
		w.must(err)
		if !ok {
			return ids
		}
		var c approvals.Change
		w.must(json.Unmarshal(d.Body, &c))
		w.must(w.Changes.Delete(w.t.Context(), d))
		ids = append(ids, c.ID)
	}
}

// word is what a person says in Slack: a command, or a click on a card. A test
// alters it before it is signed, or alters what is signed, or the row that it leads to.
type word struct {
	user, userTeam, team, app string
	channel, text             string // of a command
	kind                      string // of an interaction; empty: a command
	container                 string // of a click
	actions                   []approvals.SlackAction
	blocks                    []block // of the card that was clicked
	view                      block   // that was submitted
	secret                    string
	signed                    func(*approvals.Evidence)

	verb  string // what the bot takes it for
	about approvals.Request
	row   approvals.Request // what the bot makes of it, where that is a new request
	asks  func(*approvals.Request)
}

// block is a block of a card.
type block map[string]any

func plainBlock(id, text string) block {
	return block{"type": "section", "block_id": id, "text": map[string]any{"type": "plain_text", "text": text}}
}

// says is a command that a person types, not sent yet.
func (w *world) says(user, text string) *word {
	w.t.Helper()
	d := &word{user: user, userTeam: acme, team: acme, app: ourApp, channel: channel, text: text, secret: signingSecret, verb: "act"}
	c, err := approvals.ParseCommand(text, w.cfg.Org.Directory())
	if err != nil {
		return d // the row is for the test to write
	}
	if d.verb = c.Verb; c.ID != "" {
		if r, err := w.table().Get(w.t.Context(), c.ID); err == nil {
			d.about = r
		}
	}
	d.row = approvals.Request{Intent: approvals.Intent{Call: c.Call}, Reason: c.Reason}
	if c.Verb == "undo" {
		d.row.Intent, d.row.Reason = approvals.Intent{Call: d.about.Intent.Call, Undo: c.ID, ReactivateKeys: c.ReactivateKeys}, c.Reason
		if c.Reason == "" {
			d.row.Reason = approvals.UndoReason(c.ID)
		}
	}
	return d
}

// button is a click on a request's card, not sent yet. The card shows what the
// row says now.
func (w *world) button(user string, r approvals.Request, action string) *word {
	w.t.Helper()
	r = w.again(r)
	d := &word{user: user, userTeam: acme, team: acme, app: ourApp, channel: channel, kind: "block_actions", container: "message", secret: signingSecret, verb: action, about: r,
		actions: []approvals.SlackAction{{ID: action, Value: approvals.Value(r.ID, r.Digest)}},
		blocks: []block{{"type": "header", "block_id": "title"}, plainBlock(approvals.CallBlock, r.Intent.String()),
			plainBlock(approvals.ReasonBlock, approvals.ReasonLine(r.Requester.Person, r.Reason))}}
	if action == "undo" {
		d.row = approvals.Request{Intent: approvals.Intent{Call: r.Intent.Call, Undo: r.ID}, Reason: approvals.UndoReason(r.ID)}
	} else if action == approvals.AgainButton {
		p, why, _ := approvals.Runs{Reader: w.Runs.Store}.Again(w.t.Context(), r.ID, "", w.cfg.Policy.Roster, catalog.Lookup)
		d.row = approvals.Request{Intent: p.Intent, Reason: why}
		d.actions[0].Value = approvals.Value(r.ID, approvals.IntentDigest(r.Intent))
	} else if o, ok := approvals.RequestOffers(r.ID, r.Intent, w.cfg.Org).ByButton(action); ok {
		d.row = approvals.Request{Intent: o.Intent, Reason: o.Why}
	}
	return d
}

// sign makes evidence of a word.
func (w *world) sign(d *word) approvals.Evidence {
	w.t.Helper()
	w.clicked++
	trigger := fmt.Sprintf("1.%d", w.clicked) // Slack sends no two that are the same
	form := url.Values{"command": {"/killswitch"}, "text": {d.text}, "team_id": {d.team}, "user_id": {d.user}, "channel_id": {d.channel}, "api_app_id": {d.app}, "trigger_id": {trigger}}
	if d.kind != "" {
		payload, err := json.Marshal(map[string]any{"type": d.kind, "api_app_id": d.app, "team": block{"id": d.team}, "user": block{"id": d.user, "team_id": d.userTeam},
			"channel": block{"id": d.channel}, "container": block{"type": d.container}, "message": block{"ts": "1.1", "blocks": d.blocks}, "actions": d.actions, "view": d.view, "trigger_id": trigger})
		w.must(err)
		form = url.Values{"payload": {string(payload)}}
	}
	e := approvals.Evidence{Kind: approvals.SlackEvidence, Timestamp: w.at(0), Body: form.Encode()}
	e.Signature = approvals.SignSlack(d.secret, e.Timestamp, e.Body)
	if d.signed != nil {
		d.signed(&e)
	}
	return e
}

// at is a timestamp of evidence.
func (w *world) at(from time.Duration) string {
	return strconv.FormatInt(w.clock.Now().Add(from).Unix(), 10)
}

// bring does with a word what the bot does: it stores evidence and row, and sends
// the job. The job is not done yet.
func (w *world) bring(d *word) approvals.Request {
	w.t.Helper()
	e := w.sign(d)
	key, err := w.table().PutEvidence(w.t.Context(), e, w.clock.Now())
	w.must(err)
	at, err := e.At()
	if err != nil {
		at = time.Time{}
	}
	person, _ := w.cfg.Policy.Roster.BySlack(d.user)
	v := approvals.Vote{Actor: approvals.Actor{Person: person.ID, Slack: d.user}, Evidence: key, At: at, Digest: d.about.Digest}
	now, verb := w.clock.Now(), approvals.JobRun
	switch d.verb {
	case "approve":
		w.edit(d.about, func(r *approvals.Request) {
			if r.Votes = append(r.Votes, v); len(r.Votes) >= r.Need && r.State == approvals.Pending {
				w.must(r.To(approvals.Approved, now))
			}
		})
	case "retry":
		w.edit(d.about, func(r *approvals.Request) { r.Retries = append(r.Retries, v) })
	case "watch":
		w.edit(d.about, func(r *approvals.Request) { r.Watch = &v })
		verb = approvals.JobLook
	case "deny":
		w.edit(d.about, func(r *approvals.Request) { w.must(r.SayNo(approvals.Denied, v, now)) })
		verb = approvals.JobClose
	case "cancel":
		w.edit(d.about, func(r *approvals.Request) { w.must(r.SayNo(approvals.Cancelled, v, now)) })
		verb = approvals.JobClose
	default:
		r := d.row
		entry := w.cfg.Policy.For(r.Intent)
		r.ID, r.State, r.Evidence, r.Asked, r.Expires, r.Need, r.Card.Channel = approvals.RequestID(e), approvals.Planning, key, at, at.Add(entry.ApproveWithin), entry.Approvals, channel
		if r.Requester == (approvals.Actor{}) {
			r.Requester = v.Actor
		}
		if d.asks != nil {
			d.asks(&r)
		}
		w.must(w.table().Create(w.t.Context(), r))
		d.about, verb = r, approvals.JobPlan
	}
	r := w.again(d.about)
	if verb == approvals.JobRun && r.Intent.Undo != "" {
		verb = approvals.JobUndo
	}
	w.sends(verb, r)
	return r
}

// sends puts a job on the queue, as anybody can who has it.
func (w *world) sends(v approvals.Verb, r approvals.Request) {
	w.t.Helper()
	w.must(approvals.JSON[approvals.Job]{Queue: w.Jobs}.Send(w.t.Context(), approvals.Job{Verb: v, ID: r.ID}, 0))
}

// types and clicks are what people do, and all that follows from it at once. They
// return the request that it is about: for an undo its own.
func (w *world) types(user, text string) approvals.Request {
	w.t.Helper()
	r := w.bring(w.says(user, text))
	w.drain()
	return w.again(r)
}

func (w *world) clicks(user string, r approvals.Request, action string) approvals.Request {
	w.t.Helper()
	r = w.bring(w.button(user, r, action))
	w.drain()
	return w.again(r)
}

// contained is a containment that alice asked for and bob approved.
func (w *world) contained(text string) approvals.Request {
	w.t.Helper()
	return w.state(w.clicks(bob, w.types(alice, text), "approve"), approvals.Contained)
}

// undo takes a containment back: carol asks for it, alice approves.
func (w *world) undo(r approvals.Request) approvals.Request {
	w.t.Helper()
	u := w.state(w.clicks(alice, w.asksUndo(r), "approve"), approvals.Restored)
	w.state(r, approvals.Undone)
	return u
}

// asksUndo is an undo that carol asked for.
func (w *world) asksUndo(r approvals.Request) approvals.Request {
	w.t.Helper()
	return w.state(w.clicks(carol, r, "undo"), approvals.Pending)
}

// failed is a containment of which AWS refused what it is about, for once.
func (w *world) failed() approvals.Request {
	w.t.Helper()
	mend := w.breaks("iam:PutRolePolicy")
	r := w.clicks(bob, w.types(alice, revoke), "approve")
	mend()
	if r.State != approvals.Failed && r.State != approvals.Partial {
		w.t.Fatalf("it is %s", r.State)
	}
	w.clock.Add(time.Minute)
	return r
}

func (w *world) again(r approvals.Request) approvals.Request {
	w.t.Helper()
	r, err := w.table().Get(w.t.Context(), r.ID)
	w.must(err)
	return r
}

func (w *world) state(r approvals.Request, want approvals.State) approvals.Request {
	w.t.Helper()
	r = w.again(r)
	if r.State != want {
		w.t.Fatalf("%s is %s (%s %v), want %s", r.ID, r.State, r.Cause, r.Codes, want)
	}
	return r
}

// refused fails unless a request was refused for a reason: a text or a code.
func (w *world) refused(r approvals.Request, want string) {
	w.t.Helper()
	r = w.state(r, approvals.Refused)
	if why := fmt.Sprint(r.Cause, r.Codes); want == "" || !strings.Contains(why, want) {
		w.t.Errorf("refused because %q, want %q", why, want)
	}
}

// words are all that the rows tell people of a request: what would be done, what was
// otherwise than planned, and what became of it.
func (w *world) words(r approvals.Request) string {
	w.t.Helper()
	r = w.again(r)
	var b strings.Builder
	fmt.Fprintln(&b, r.Cause, r.Codes, r.Hint)
	if p, err := (approvals.Runs{Reader: w.Runs.Store}).Planned(w.t.Context(), r.ID); err == nil {
		fmt.Fprintln(&b, p.Plan.Facts, strings.Join(slices.Concat(p.Plan.Warnings, p.Plan.Residual), "\n"))
	}
	if run, err := (approvals.Runs{Reader: w.Runs.Store}).Run(w.t.Context(), r.ID); err == nil {
		fmt.Fprintln(&b, run.Cause, run.Hint, strings.Join(run.Flags, "\n"), run.Tampering)
	}
	for _, s := range w.steps(r) {
		fmt.Fprintln(&b, s.Step.Title, s.Step.Current, s.Step.After, s.State, s.Cause, s.Hint)
	}
	return b.String()
}

// tells fails unless the rows of a request tell people something.
func (w *world) tells(r approvals.Request, want string) {
	w.t.Helper()
	if words := w.words(r); !strings.Contains(words, want) {
		w.t.Errorf("%q is not told of %s:\n%s", want, r.ID, words)
	}
}

// steps are a request's ledger.
func (w *world) steps(r approvals.Request) []approvals.Step {
	w.t.Helper()
	steps, err := approvals.Runs{Reader: w.Runs.Store}.Steps(w.t.Context(), r.ID, 0)
	w.must(err)
	return steps
}

// planned is a request's plan.
func (w *world) planned(r approvals.Request) approvals.Planned {
	w.t.Helper()
	p, err := approvals.Runs{Reader: w.Runs.Store}.Planned(w.t.Context(), r.ID)
	w.must(err)
	return p
}

// rows are all rows of a partition.
func (w *world) rows(s approvals.Store, part string) []approvals.Row {
	w.t.Helper()
	rows, err := s.Rows(w.t.Context(), part, "", "", 100000)
	w.must(err)
	return rows
}

// edit is what somebody does who can write the table requests.
func (w *world) edit(r approvals.Request, f func(*approvals.Request)) {
	w.t.Helper()
	_, err := w.table().Change(w.t.Context(), r.ID, func(r *approvals.Request) error { f(r); return nil })
	w.must(err)
}

// rewrite writes a row of the table runs. Only the executor can do that: it makes
// what would take a test many steps to bring about.
func rewrite[T any](w *world, k approvals.Key, f func(*T)) {
	w.t.Helper()
	var v T
	row, err := w.Runs.Store.Get(w.t.Context(), k)
	if errors.Is(err, approvals.ErrNotFound) {
		row, err = approvals.Row{Key: k}, nil
	} else if err == nil {
		err = json.Unmarshal(row.Body, &v)
	}
	w.must(err)
	f(&v)
	row.Body, err = json.Marshal(v)
	w.must(err)
	w.must(w.Runs.Store.Write(w.t.Context(), approvals.Put{Row: row}))
}

// Keys of the table runs; docs/design.md lists them.
func runKey(r approvals.Request) approvals.Key  { return approvals.Key{Part: r.ID, Sort: "run"} }
func planKey(r approvals.Request) approvals.Key { return approvals.Key{Part: r.ID, Sort: "plan"} }

var lockKey = approvals.Key{Part: "lock#" + prod + "/app-role", Sort: "lock"}

// locked gives the target to another request's run for a while.
func (w *world) locked(d time.Duration) {
	w.t.Helper()
	rewrite(w, lockKey, func(l *approvals.Lease) { *l = approvals.Lease{Owner: "KS-4G7QX2M9ZT0B", Until: w.clock.Now().Add(d)} })
}

// holder is who has the target.
func (w *world) holder() (l approvals.Lease) {
	w.t.Helper()
	row, err := w.Runs.Store.Get(w.t.Context(), lockKey)
	if errors.Is(err, approvals.ErrNotFound) {
		return l
	}
	w.must(err)
	w.must(json.Unmarshal(row.Body, &l))
	return l
}

func (w *world) run(r approvals.Request) approvals.Run {
	w.t.Helper()
	run, err := approvals.Runs{Reader: w.Runs.Store}.Run(w.t.Context(), r.ID)
	w.must(err)
	return run
}

// unclaimed fails if a request has a run.
func (w *world) unclaimed(r approvals.Request) {
	w.t.Helper()
	if _, err := (approvals.Runs{Reader: w.Runs.Store}).Run(w.t.Context(), r.ID); !errors.Is(err, approvals.ErrNotFound) {
		w.t.Errorf("it has a run: %v", err)
	}
}

// chain is a request's audit chain, which must be intact.
func (w *world) chain(r approvals.Request) []audit.Event {
	w.t.Helper()
	rec, err := approvals.Runs{Reader: w.Runs.Store}.Audit(w.t.Context(), r.ID)
	w.must(err)
	return rec.Events
}

// event finds the last link of a name in a request's chain.
func (w *world) event(r approvals.Request, name string) (last audit.Event, n int) {
	w.t.Helper()
	for _, e := range w.chain(r) {
		if e.Event == name {
			last = e
			n++
		}
	}
	return last, n
}

// calls are the operations that AWS was asked for, in order.
func (w *world) calls() []string {
	var ops []string
	for _, c := range w.aws.Calls() {
		ops = append(ops, c.Op)
	}
	return ops
}

// withoutAWS fails if AWS is called while something is done, but for looks.
func (w *world) withoutAWS(do func()) {
	w.t.Helper()
	before := len(w.calls())
	w.unwatched = true
	do()
	w.unwatched = false
	if more := w.calls()[before:]; len(more) > 0 {
		w.t.Errorf("AWS was called: %v", more)
	}
}

// untouched fails if anything was changed in any account.
func (w *world) untouched() {
	w.t.Helper()
	if n := w.aws.Mutations(); n != 0 {
		w.t.Errorf("%d changes were made: %v", n, w.calls())
	}
}

// called counts the calls of an operation.
func (w *world) called(op string) (n int) {
	for _, c := range w.aws.Calls() {
		if c.Op == op {
			n++
		}
	}
	return n
}

// breaks makes AWS refuse an operation until it is mended.
func (w *world) breaks(op string) (mend func()) {
	w.aws.Fault(awsfake.Fault{Op: op, Err: apiError("AccessDenied")})
	return w.aws.ClearFaults
}

// apiError is AWS's own error of a code.
func apiError(code string) error { return &smithy.GenericAPIError{Code: code, Message: "not just now"} }

// answers makes calls that match a glob end with an error while it is time. The
// SDK does not try those again, so that no test waits for it.
func (w *world) answers(op string, err error, while func() bool) {
	w.aws.OnCall(func(c awsfake.Call) error {
		if ok, _ := path.Match(op, c.Op); ok && c.Phase == awsfake.Before && while() {
			return err
		}
		return nil
	})
}

// times is true so many times.
func times(n int) func() bool { return func() bool { n--; return n >= 0 } }

// policy is a role's inline deny in prod, "" if there is none.
func (w *world) policy(role string) string {
	return w.aws.Snapshot().Accounts[prod].Roles[role].Inline[denyName]
}

// dropDeny is what somebody with rights in the account does against us.
func (w *world) dropDeny() {
	w.t.Helper()
	role, policy := "app-role", denyName
	_, err := iam.NewFromConfig(w.aws.Admin(prod)).DeleteRolePolicy(w.t.Context(), &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &policy})
	w.must(err)
}

// asBefore fails unless AWS is what it was.
func (w *world) asBefore(before awsfake.State) {
	w.t.Helper()
	if d := cmp.Diff(before, w.aws.Snapshot()); d != "" {
		w.t.Errorf("not as before: %s", d)
	}
}

// during does something once, in the middle of the next call of an operation.
func (w *world) during(op string, do func()) {
	w.t.Helper()
	done := false
	w.t.Cleanup(func() {
		if !done {
			w.t.Errorf("%s was never called", op)
		}
	})
	w.aws.OnCall(func(c awsfake.Call) error {
		if ok, _ := path.Match(op, c.Op); ok && c.Phase == awsfake.Before && !done {
			done = true
			do()
		}
		return nil
	})
}

// dies lets a worker do a job and end in the middle of a call, as a process does
// that is killed: nothing of the run is written any more.
func (w *world) dies(x *executor.Executor, op string, v approvals.Verb, r approvals.Request) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	defer cancel()
	w.during(op, cancel)
	if err := x.Handle(ctx, approvals.Job{Verb: v, ID: r.ID}); err == nil {
		w.t.Fatal("the worker came to its end")
	}
	w.clears()
}

// clears takes all jobs off the queue.
func (w *world) clears() {
	w.t.Helper()
	for {
		d, ok, err := w.Jobs.Receive(w.t.Context(), time.Hour)
		w.must(err)
		if !ok {
			return
		}
		w.must(w.Jobs.Delete(w.t.Context(), d))
	}
}

// taking looks at the write by which a worker takes a run and its target.
func (w *world) taking(look func(approvals.Run, approvals.Lease)) {
	w.t.Helper()
	w.t.Cleanup(func() {
		if w.Runs.writes != nil {
			w.t.Error("no run was taken")
		}
	})
	w.Runs.writes = func(puts []approvals.Put) error {
		var run approvals.Run
		var l approvals.Lease
		for _, p := range puts {
			switch p.Sort {
			case "run":
				w.must(json.Unmarshal(p.Body, &run))
			case "lock":
				w.must(json.Unmarshal(p.Body, &l))
			}
		}
		if run.ID != "" {
			w.Runs.writes = nil
			look(run, l)
		}
		return nil
	}
}

// loses makes one write of a table fail, and fails the test if it never came.
func (w *world) loses(s *table, which func(approvals.Put) bool) {
	w.t.Helper()
	w.t.Cleanup(func() {
		if s.writes != nil {
			w.t.Error("nothing was lost")
		}
	})
	s.writes = func(puts []approvals.Put) error {
		if slices.ContainsFunc(puts, which) {
			s.writes = nil
			return errOutage
		}
		return nil
	}
}

// writing reports whether a write has a row of this sort.
func writing(puts []approvals.Put, sort string) bool {
	return slices.ContainsFunc(puts, func(p approvals.Put) bool { return p.Sort == sort })
}
