package local_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
	"github.com/killswitch-chatops/killswitch/approvals/bolt"
	"github.com/killswitch-chatops/killswitch/approvals/crashtest"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/ingress"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

const (
	prod    = "222222222222"
	appRole = "arn:aws:iam::222222222222:role/app-role"
	channel = "C01INC"
	command = "revoke_sessions " + appRole + ` reason="keys on a paste site"`

	anotherCommand = "revoke_sessions " + appRole + ` reason="and another leak"`
)

// world is an organization, a Slack workspace and Killswitch between them.
type world struct {
	t     testing.TB
	clock *crashtest.Clock
	aws   *awsfake.Cloud
	slack *slackfake.Slack
	cfg   config.Config
	path  string // of the database file; empty: in memory
	file  *bolt.File
	local.Backends
	zones *local.Zones
	wrap  func(local.Backends) local.Backends // faults between zones and stores
	log   *slog.Logger

	findings *finding.Reader // what events tell; nil: as the configuration reads them
	perHour  int             // automatic containments, where findings is set
	hooks    string          // the webhooks' keys
}

func testConfig() config.Config {
	entry := approvals.ActionPolicy{Requesters: "responders", Approvers: "responders", Approvals: 1, ApproveWithin: 30 * time.Minute, RunWithin: 5 * time.Minute}
	return config.Config{
		Team: "T01ACME", IncidentChannel: channel, CommandChannels: []string{channel},
		Org: actions.Org{
			Actions:   all.Actions,
			Partition: "aws", HubAccount: awsfake.HubAccount, ManagementAccount: "999999999999",
			ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer", ExternalID: "4b3c2a1f",
			Accounts:            map[string]string{"prod": prod, "sandbox": "333333333333"},
			ProtectedAccounts:   []string{awsfake.HubAccount},
			IdentityAccounts:    []string{awsfake.HubAccount},
			Regions:             []string{"us-east-1", "eu-west-1"},
			ProtectedPrincipals: []string{"arn:aws:iam::*:role/break-glass"},
		},
		Policy: approvals.Policy{
			Roster: approvals.Roster{
				People: []approvals.Person{
					{ID: "alice", Name: "Alice Anderson", Slack: "U01ALICE", IAM: []string{"arn:aws:iam::111111111111:user/alice"}},
					{ID: "bob", Name: "Bob Brown", Slack: "U02BOB", IAM: []string{"arn:aws:sts::111111111111:assumed-role/AWSReservedSSO_IR_0123456789abcdef/bob@example.com"}},
					{ID: "carol", Name: "Carol Clark", Slack: "U03CAROL"},
					{ID: "mallory", Name: "Mallory, no responder", Slack: "U04MALLORY"},
				},
				Groups: map[string][]string{"responders": {"alice", "bob", "carol"}},
			},
			Default: entry, Undo: entry, Watch: 7 * 24 * time.Hour,
		},
		Retention: 400 * 24 * time.Hour,
	}
}

// newWorld is the fixture; each test alters what it is about.
func newWorld(t testing.TB, alter ...func(*world)) *world {
	t.Helper()
	w := &world{t: t, clock: crashtest.NewClock(), cfg: testConfig(), log: slog.New(slog.DiscardHandler)}
	if testing.Verbose() {
		w.log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	w.aws = awsfake.New(w.clock.Now)
	w.deployMember()
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}})
	w.slack = slackfake.New(slackfake.Config{
		Team: "T01ACME", TeamDomain: "acme", AppID: "A01APP", BotUserID: "U0BOT", BotToken: "xoxb-test", SigningSecret: "test-secret", Now: w.clock.Now,
		Users: []slackfake.User{
			{ID: "U01ALICE", Name: "alice"}, {ID: "U02BOB", Name: "bob"}, {ID: "U03CAROL", Name: "carol"}, {ID: "U04MALLORY", Name: "mallory"},
			{ID: "U05STRANGER", Name: "stranger"},
		},
		Channels: []slackfake.Channel{{ID: channel, Name: "incident"}, {ID: "C02RANDOM", Name: "random"}},
	})
	for _, f := range alter {
		f(w)
	}
	if endpoint != "" && w.path == "" && w.Requests == nil {
		inDynamoDB(w)
	}
	w.start()
	return w
}

// deployMember gives the account the member roles that the configuration's actions need.
func (w *world) deployMember() {
	w.aws.Member(prod, awsfake.MemberRoles{
		Responder: w.cfg.Org.ResponderRole, Restorer: w.cfg.Org.RestorerRole, ExternalID: w.cfg.Org.ExternalID,
		ResponderPolicy: all.MemberPolicy(actions.Responder, w.cfg.Org, false),
		RestorerPolicy:  all.MemberPolicy(actions.Restorer, w.cfg.Org, false),
	})
}

// inFile keeps tables and queues in a database file.
func inFile(w *world) { w.path = filepath.Join(w.t.TempDir(), "killswitch.db") }

// start brings Killswitch up on what its tables and queues hold.
func (w *world) start() {
	w.t.Helper()
	switch {
	case w.path != "":
		f, err := bolt.Open(w.path)
		w.must(err)
		w.t.Cleanup(func() { _ = f.Close() })
		w.file = f
		w.Backends, err = local.InFile(f, w.clock.Now)
		w.must(err)
	case w.Requests == nil:
		w.Backends = local.InMemory(w.clock.Now)
	}
	b := w.Backends
	if endpoint == "" {
		b = expire(w.t, b)
	}
	if w.wrap != nil {
		b = w.wrap(b)
	}
	w.zones = local.New(local.Environment{
		Config: w.cfg, SigningSecret: "test-secret", BotToken: "xoxb-test", WebhookKeys: w.hooks, SlackAPI: "http://slack.invalid/api/", SlackClient: w.slack.Client(),
		AWS: w.aws.Config(), STS: &http.Client{Transport: w.aws.STS()}, Now: w.clock.Now, Sleep: w.clock.Sleep, Log: w.log,
	}, b)
	w.zones.Executor.Cloud.SetAfterFunc(func(_ time.Duration, f func()) { f() }) // of time that only passes where a test says so
	if w.findings != nil {
		w.zones.Executor.Findings, w.zones.Executor.AutoPerHour, w.zones.Executor.AutoPerHourTotal = *w.findings, w.perHour, w.perHour
	}
	w.slack.Deliver(w.zones.Ingress)
	w.must(w.zones.Bot.Sweep(w.t.Context()))
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// drain works off all that is due now.
func (w *world) drain() {
	w.t.Helper()
	for range 1000 {
		if !w.round() {
			return
		}
	}
	w.t.Fatal("the queues never run dry")
}

func (w *world) round() (did bool) {
	for _, p := range w.zones.Pumps {
		ok, err := p.Once(w.t.Context())
		if err != nil {
			w.log.Warn("pump", slog.String("queue", p.Name), slog.String("error", err.Error()))
		}
		did = did || ok
	}
	return did
}

// pass lets time go by in small steps, with the queues and the sweep at work.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); {
		w.clock.Add(min(5*time.Second, end.Sub(w.clock.Now())))
		_ = w.zones.Bot.Sweep(w.t.Context())
		w.drain()
	}
}

// sample is an event of approvals/finding's testdata.
func (w *world) sample(name string) []byte {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "approvals", "finding", "testdata", "events", name))
	w.must(err)
	return b
}

// arrive brings events by EventBridge, and lets Killswitch work.
func (w *world) arrive(bodies ...[]byte) {
	w.t.Helper()
	for _, b := range bodies {
		w.must(w.Alerts.Send(w.t.Context(), b, 0))
	}
	w.drain()
}

// bring posts to /events as a webhook does, and lets Killswitch work.
func (w *world) bring(key, drill string, body []byte) (status int) {
	w.t.Helper()
	h := http.Header{}
	h.Set(ingress.KeyHeader, key)
	h.Set(ingress.DrillHeader, drill)
	resp := w.zones.Ingress.Answer(w.t.Context(), ingress.Request{Method: http.MethodPost, Path: "/events", Header: h, Body: body})
	w.drain()
	return resp.Status
}

// type and click as people do, and let Killswitch work.
func (w *world) types(user, text string) slackfake.Delivered {
	w.t.Helper()
	d := w.slack.Command(user, channel, "/killswitch", text)
	w.drain()
	return d
}

func (w *world) clicks(user string, r approvals.Request, action string) {
	w.t.Helper()
	if d := w.slack.Click(user, r.Card.Channel, r.Card.TS, action); d.Err != nil || d.Status != 200 {
		w.t.Fatalf("%s clicks %s: %d %v", user, action, d.Status, d.Err)
	}
	w.drain()
}

// asks types the command and returns the request that came of it.
func (w *world) asks(user, text string) approvals.Request {
	w.t.Helper()
	d := w.types(user, text)
	body := string(d.Request)
	e := approvals.Evidence{Kind: approvals.SlackEvidence, Timestamp: d.SentHeader.Get("X-Slack-Request-Timestamp"), Body: body}
	return w.get(approvals.RequestID(e))
}

func (w *world) get(id string) approvals.Request {
	w.t.Helper()
	r, err := approvals.Requests{Store: w.Requests}.Get(w.t.Context(), id)
	if err != nil {
		w.t.Fatalf("request %s: %v\n%s", id, err, w.said())
	}
	return r
}

// again reads a request anew.
func (w *world) again(r approvals.Request) approvals.Request { w.t.Helper(); return w.get(r.ID) }

// undoOf finds the undo of a request.
func (w *world) undoOf(r approvals.Request) approvals.Request {
	w.t.Helper()
	for _, mark := range []string{approvals.MarkOpen, approvals.MarkInForce} {
		rs, err := approvals.Requests{Store: w.Requests}.Marked(w.t.Context(), mark, "", 100)
		w.must(err)
		for _, u := range rs {
			if u.Intent.Undo == r.ID {
				return u
			}
		}
	}
	w.t.Fatalf("no undo of %s\n%s", r.ID, w.said())
	return approvals.Request{}
}

func (w *world) state(r approvals.Request, want approvals.State) approvals.Request {
	w.t.Helper()
	r = w.again(r)
	if r.State != want {
		w.t.Fatalf("%s is %s (%s %v), want %s\n%s", r.ID, r.State, r.Cause, r.Codes, want, w.said())
	}
	return r
}

// said is all that Slack shows.
func (w *world) said() string {
	var b strings.Builder
	for _, m := range w.slack.Messages(channel) {
		who := ""
		if m.EphemeralTo != "" {
			who = " (only to " + m.EphemeralTo + ")"
		}
		if m.ThreadTS != "" {
			who += " (in thread)"
		}
		fmt.Fprintf(&b, "---%s\n%s\n", who, slackfake.Text(m))
	}
	return b.String()
}

// told checks that the last words to a person contain something.
func (w *world) told(user, want string) {
	w.t.Helper()
	var last string
	for _, m := range w.slack.Messages(channel) {
		if m.EphemeralTo == user {
			last = m.Text + "\n" + slackfake.Text(m)
		}
	}
	if !strings.Contains(last, want) {
		w.t.Errorf("%s was told %q, want %q", user, last, want)
	}
}

// policy is the role's inline deny, "" if there is none.
func (w *world) policy(role string) string {
	return w.aws.Snapshot().Accounts[prod].Roles[role].Inline["AWSRevokeOlderSessions"]
}

func diffState(a, b awsfake.State) string { return cmp.Diff(a, b) }

func roleAt(path, name string) awsfake.Role { return awsfake.Role{Name: name, Path: path} }

// apiError is AWS's own error of a code.
func apiError(code string) error { return &smithy.GenericAPIError{Code: code, Message: "not just now"} }

// denied makes AWS say no to the operations that match a glob.
func denied(op string) awsfake.Fault { return awsfake.Fault{Op: op, Err: apiError("AccessDenied")} }

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

// dropDeny is what somebody with rights in the account does against us.
func (w *world) dropDeny() {
	w.t.Helper()
	role, policy := "app-role", "AWSRevokeOlderSessions"
	_, err := iam.NewFromConfig(w.aws.Admin(prod)).DeleteRolePolicy(w.t.Context(), &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &policy})
	w.must(err)
}

// edit is what somebody does who can write the table requests.
func (w *world) edit(r approvals.Request, f func(*approvals.Request)) {
	w.t.Helper()
	_, err := approvals.Requests{Store: w.Requests}.Change(w.t.Context(), r.ID, func(r *approvals.Request) error { f(r); return nil })
	w.must(err)
}

// flat is a text in one line.
func flat(s string) string { return strings.Join(strings.Fields(s), " ") }

// card is what a request's card shows, in one line.
func (w *world) card(r approvals.Request) string {
	w.t.Helper()
	at := w.again(r).Card
	for _, m := range w.slack.Messages(at.Channel) {
		if m.TS == at.TS {
			return flat(slackfake.Text(m))
		}
	}
	w.t.Fatalf("%s has no card", r.ID)
	return ""
}

// shows fails if a request's card does not show something.
func (w *world) shows(r approvals.Request, want string) {
	w.t.Helper()
	if card := w.card(r); !strings.Contains(card, want) {
		w.t.Errorf("the card does not show %q: %s", want, card)
	}
}

// chain is a request's audit chain, which must be intact.
func (w *world) chain(r approvals.Request) []audit.Event {
	w.t.Helper()
	rec, err := approvals.Runs{Reader: w.Runs}.Audit(w.t.Context(), r.ID)
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

func (w *world) run(r approvals.Request) approvals.Run {
	w.t.Helper()
	run, err := approvals.Runs{Reader: w.Runs}.Run(w.t.Context(), r.ID)
	w.must(err)
	return run
}

// quiet fails if a message was set aside as one that can't be dealt with.
func (w *world) quiet() {
	w.t.Helper()
	if d, ok, err := w.Dead.Receive(w.t.Context(), 0); err != nil || ok {
		w.t.Errorf("a message was set aside: %s %v", d.Body, err)
	}
}

func (w *world) all() map[string]approvals.Request {
	found := map[string]approvals.Request{}
	rows, err := w.Requests.Marked(w.t.Context(), "open", approvals.Key{}, 100)
	w.must(err)
	held, err := w.Requests.Marked(w.t.Context(), "in_force", approvals.Key{}, 100)
	w.must(err)
	for _, row := range append(rows, held...) {
		found[row.Part] = w.get(row.Part)
	}
	return found
}

var stores = allStores()

func allStores() map[string][]func(*world) {
	all := map[string][]func(*world){"memory": nil, "file": {inFile}}
	if endpoint != "" {
		all["dynamodb"] = []func(*world){inDynamoDB}
	}
	return all
}

func (w *world) contained(line string) approvals.Request {
	w.t.Helper()
	r := w.asks("U01ALICE", line)
	w.clicks("U02BOB", w.again(r), "approve")
	return w.state(r, approvals.Contained)
}

func (w *world) undo(r approvals.Request) approvals.Request {
	w.t.Helper()
	w.clicks("U03CAROL", w.again(r), "undo")
	u := w.state(w.undoOf(r), approvals.Pending)
	w.clicks("U01ALICE", u, "approve")
	u = w.state(u, approvals.Restored)
	w.state(r, approvals.Undone)
	return u
}
