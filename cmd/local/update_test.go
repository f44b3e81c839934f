package local_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

var record = flag.Bool("record-in-flight", false, "write testdata/in-flight.* as this version leaves it")

// inFlight is what a version leaves behind: the database file beside it, and AWS and Slack around.
type inFlight struct {
	At       time.Time
	Roles    map[string]awsfake.Role
	Messages []slackfake.Message
	Requests map[string]string // what each is → its ID
}

const leftBehind = "testdata/in-flight"

// TestUpdateInFlight: a process of the version of 29 November 2026 was stopped in the middle of everything; its file goes on
// under this one. What waits for approval can be approved by the card that hangs there, what was clicked or approved runs,
// what is in force is watched and can be undone, and an undo that waits for approval ends.
//
// The files are that version's: go test ./cmd/local -run TestUpdateInFlight -record-in-flight has written them, there.
func TestUpdateInFlight(t *testing.T) {
	if *record {
		recordInFlight(t)
		return
	}
	b, err := os.ReadFile(leftBehind + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var left inFlight
	if err := json.Unmarshal(b, &left); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(w *world) {
		inFile(w)
		b, err := os.ReadFile(leftBehind + ".db")
		w.must(err)
		w.must(os.WriteFile(w.path, b, 0o600))
		w.clock.Add(left.At.Add(2 * time.Minute).Sub(w.clock.Now()))
		for _, r := range left.Roles {
			w.aws.Account(prod).AddRole(r)
		}
		w.slack.Restore(left.Messages)
	})
	w.drain()
	is := func(what string) approvals.Request { t.Helper(); return w.get(left.Requests[what]) }
	for _, what := range []string{"clicked", "approved"} {
		if w.state(is(what), approvals.Contained); !strings.Contains(w.policy(what), "aws:TokenIssueTime") {
			t.Errorf("%s: contained, and the deny is %q", what, w.policy(what))
		}
	}
	w.clicks("U02BOB", w.state(is("pending"), approvals.Pending), "approve")
	if w.state(is("pending"), approvals.Contained); !strings.Contains(w.policy("pending"), "aws:TokenIssueTime") {
		t.Errorf("pending: contained, and the deny is %q", w.policy("pending"))
	}
	w.clicks("U01ALICE", w.state(is("undo"), approvals.Pending), "approve")
	w.state(is("undo"), approvals.Restored)
	if w.state(is("undone"), approvals.Undone); w.policy("undone") != "" {
		t.Errorf("undone, and the deny is %q", w.policy("undone"))
	}

	held := w.state(is("held"), approvals.Contained)
	before := w.policy("held")
	account := w.aws.Account(prod)
	open := left.Roles["held"]
	open.Inline = nil
	account.AddRole(open)
	w.pass(16 * time.Minute)
	if got := w.policy("held"); got == "" || !strings.Contains(w.said(), "applied again") {
		t.Errorf("somebody took the deny away, and it is %q, before %q", got, before)
	}
	w.undo(held)
	if w.policy("held") != "" {
		t.Errorf("held: undone, and the deny is %q", w.policy("held"))
	}
	for what := range left.Requests {
		if n := len(w.chain(is(what))); n < 3 {
			t.Errorf("%s: %d links", what, n)
		}
	}
	w.quiet()
}

// recordInFlight stops Killswitch in the middle of everything.
func recordInFlight(t *testing.T) {
	w := newWorld(t, inFile)
	left := inFlight{Roles: map[string]awsfake.Role{}, Requests: map[string]string{}}
	names := []string{"held", "undone", "pending", "approved", "clicked"}
	for _, name := range names {
		w.aws.Account(prod).AddRole(awsfake.Role{Name: name, Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}})
	}
	asked := map[string]approvals.Request{}
	for _, name := range names {
		asked[name] = w.asks("U01ALICE", "revoke_sessions arn:aws:iam::"+prod+":role/"+name+` reason="keys on a paste site"`)
		w.state(asked[name], approvals.Pending)
		left.Requests[name] = asked[name].ID
	}
	for _, name := range []string{"held", "undone"} {
		w.clicks("U02BOB", w.again(asked[name]), "approve")
		w.state(asked[name], approvals.Contained)
	}
	w.pass(20 * time.Second)
	w.clicks("U03CAROL", w.again(asked["undone"]), "undo")
	left.Requests["undo"] = w.state(w.undoOf(asked["undone"]), approvals.Pending).ID
	click := func(name string) {
		card := w.again(asked[name]).Card
		if d := w.slack.Click("U02BOB", card.Channel, card.TS, "approve"); d.Err != nil || d.Status != 200 {
			t.Fatalf("%s: %d %v", name, d.Status, d.Err)
		}
	}
	click("approved")
	for range 100 { // all but the jobs is worked off
		for _, p := range w.zones.Pumps {
			if p.Name != "jobs" {
				_, err := p.Once(t.Context())
				w.must(err)
			}
		}
	}
	w.state(asked["approved"], approvals.Approved)
	click("clicked")
	w.state(asked["clicked"], approvals.Pending)

	left.At, left.Messages = w.clock.Now(), w.slack.Messages(channel)
	for _, name := range names {
		left.Roles[name] = w.aws.Snapshot().Accounts[prod].Roles[name]
	}
	w.must(w.file.Close())
	b, err := os.ReadFile(w.path)
	w.must(err)
	w.must(os.MkdirAll(filepath.Dir(leftBehind), 0o755))
	w.must(os.WriteFile(leftBehind+".db", b, 0o600))
	b, err = json.MarshalIndent(left, "", " ")
	w.must(err)
	w.must(os.WriteFile(leftBehind+".json", b, 0o600))
}
