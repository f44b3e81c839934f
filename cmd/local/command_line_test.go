package local_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/executor"
	"github.com/killswitch-chatops/killswitch/approvals/sts"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// identities makes Alice's user and Bob's permission set in the hub.
func identities(w *world) {
	w.aws.Account(awsfake.HubAccount).AddUser(awsfake.User{Name: "alice", Keys: []awsfake.AccessKey{{ID: "AKIAALICE00000000000"}}})
	w.aws.Account(awsfake.HubAccount).AddUser(awsfake.User{Name: "stranger", Keys: []awsfake.AccessKey{{ID: "AKIASTRANGER00000000"}}})
	w.aws.Account(awsfake.HubAccount).AddRole(awsfake.Role{Name: "AWSReservedSSO_IR_0123456789abcdef", Path: "/aws-reserved/sso.amazonaws.com/"})
}

func (w *world) alice() aws.Credentials {
	return w.aws.KeySession("AKIAALICE00000000000").Credentials()
}

func (w *world) bob() aws.Credentials {
	return w.aws.Session("arn:aws:iam::111111111111:role/aws-reserved/sso.amazonaws.com/AWSReservedSSO_IR_0123456789abcdef", "bob@example.com").Credentials()
}

// signs signs a statement for this installation.
func (w *world) signs(creds aws.Credentials, st approvals.Statement) approvals.SignedStatement {
	w.t.Helper()
	st.Version, st.Installation = approvals.StatementVersion, approvals.Installation(w.cfg.Org.HubAccount, w.cfg.Team)
	s, err := sts.Sign(w.t.Context(), creds, "eu-west-1", st, w.clock.Now())
	w.must(err)
	return s
}

// sends puts a statement on the queue cli, lets Killswitch work, and returns the answer to it.
func (w *world) sends(s approvals.SignedStatement) approvals.Answer {
	w.t.Helper()
	body, err := json.Marshal(s)
	w.must(err)
	w.must(w.Cli.Send(w.t.Context(), body, 0))
	w.drain()
	a, err := approvals.Requests{Store: w.Requests}.Answer(w.t.Context(), s.Evidence().Key())
	if err != nil && !errors.Is(err, approvals.ErrNotFound) {
		w.t.Fatal(err)
	}
	return a
}

// approval is what somebody signs who has seen a request.
func (w *world) approval(r approvals.Request) approvals.Statement {
	w.t.Helper()
	s, err := approvals.Show(w.t.Context(), approvals.Requests{Store: w.Requests}, approvals.Runs{Reader: w.Runs}, r.ID, 0)
	w.must(err)
	return approvals.Statement{Verb: "approve", Request: r.ID, Digest: s.Digest(), Call: s.Planned.Intent.String(), Why: approvals.ReasonLine(s.Planned.Person, s.Planned.Reason)}
}

var typed = approvals.Statement{Verb: "request", Call: "revoke_sessions " + appRole, Why: "keys on a paste site"}

// TestCommandLine: the whole path by statements alone, and what was asked in one place approved in the other.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name                string
		asksInSlack, clicks bool
	}{{"all at the command line", false, false}, {"asked in Slack", true, false}, {"approved in Slack", false, true}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, identities)
			var r approvals.Request
			if tt.asksInSlack {
				r = w.asks("U01ALICE", command)
			} else {
				s := w.signs(w.alice(), typed)
				a := w.sends(s)
				if again := w.sends(s); again != a || a.ID != approvals.RequestID(s.Evidence()) {
					t.Errorf("a second delivery: %+v, %+v", a, again)
				}
				r = w.get(a.ID)
			}
			w.state(r, approvals.Pending)
			w.sends(w.signs(w.alice(), w.approval(r))) // her own
			w.state(r, approvals.Pending)
			if tt.clicks {
				w.clicks("U02BOB", w.again(r), "approve")
			} else if a := w.sends(w.signs(w.bob(), w.approval(r))); a.Text != "" {
				t.Fatal(a.Text)
			}
			w.state(r, approvals.Contained)
			if w.policy("app-role") == "" {
				t.Error("there is no deny")
			}
			if run := w.run(r); len(run.Approvers) != 1 || run.Approvers[0] != "bob" {
				t.Errorf("approved by %v", run.Approvers)
			}
			w.pass(time.Minute)
			undo := w.sends(w.signs(w.bob(), approvals.Statement{Verb: "undo", Request: r.ID, Call: approvals.Intent{Call: r.Intent.Call, Undo: r.ID}.String(), Why: "rotated"}))
			u := w.state(w.get(undo.ID), approvals.Pending)
			w.sends(w.signs(w.alice(), w.approval(u)))
			w.state(u, approvals.Restored)
			if w.state(r, approvals.Undone); w.policy("app-role") != "" {
				t.Error("the deny still stands")
			}
		})
	}
}

// TestNoAtTheCommandLine: a denial and a cancellation count at once, with their reasons, and are proved.
func TestNoAtTheCommandLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, identities)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.sends(w.signs(w.bob(), approvals.Statement{Verb: "deny", Request: r.ID, Why: "it is our own drill"}))
	if r = w.state(r, approvals.Denied); r.Denial.Person != "bob" || r.Denial.Reason != "it is our own drill" {
		t.Errorf("%+v", r.Denial)
	}
	w.pass(time.Minute)
	if run := w.run(r); run.Withdrawn == nil || run.Withdrawn.Person != "bob" {
		t.Errorf("%+v", run)
	}
	c := w.get(w.sends(w.signs(w.alice(), typed)).ID)
	w.sends(w.signs(w.alice(), approvals.Statement{Verb: "cancel", Request: c.ID}))
	w.state(c, approvals.Cancelled)
}

// TestForgedStatementsDoNothing: what does not hold is refused, told to who sent it, and on record.
func TestForgedStatementsDoNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, identities)
	w.aws.Account(prod).AddUser(awsfake.User{Name: "alice", Keys: []awsfake.AccessKey{{ID: "AKIATARGET0000000000"}}})
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	good := w.approval(r)
	altered := func(change func(*approvals.Statement)) approvals.SignedStatement {
		st := good
		change(&st)
		return w.signs(w.bob(), st)
	}
	resaid := w.signs(w.bob(), good)
	st := good
	st.Version, st.Installation, st.Digest = approvals.StatementVersion, approvals.Installation(w.cfg.Org.HubAccount, w.cfg.Team), "beef"
	resaid.Statement = st.Encode()
	for what, tt := range map[string]struct {
		signed approvals.SignedStatement
		told   string
	}{
		"for another digest":                   {altered(func(s *approvals.Statement) { s.Digest = "beef" }), "not what"},
		"a hostile server showed another call": {altered(func(s *approvals.Statement) { s.Call = "revoke_sessions arn:aws:iam::222222222222:role/other" }), "not what"},
		"another requester was shown":          {altered(func(s *approvals.Statement) { s.Why = "Why (carol): x" }), "not what"},
		"altered after it was signed":          {resaid, "SignatureDoesNotMatch"},
		"of an unlisted principal":             {w.signs(w.aws.KeySession("AKIASTRANGER00000000").Credentials(), good), "nobody of people[].iam"},
		"of a user of that name in the target": {w.signs(w.aws.KeySession("AKIATARGET0000000000").Credentials(), good), "aws.identity_accounts"},
	} {
		a := w.sends(tt.signed)
		if a.Counts || !strings.Contains(a.Text, tt.told) {
			t.Errorf("%s: told %q", what, a.Text)
		}
		if got := w.state(r, approvals.Pending); len(got.Votes) != 0 {
			t.Fatalf("%s: it counts: %+v", what, got.Votes)
		}
		rec, err := approvals.Runs{Reader: w.Runs}.Audit(t.Context(), approvals.AttestationKey(tt.signed.Evidence().Key()).Part)
		if err != nil || len(rec.Events) != 1 {
			t.Errorf("%s: on record %v, %v", what, rec, err)
		}
	}
}

// TestVoteWithoutItsAttestation: whoever can write the table requests can't vote.
func TestVoteWithoutItsAttestation(t *testing.T) {
	t.Parallel()
	w := newWorld(t, identities)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	s := w.signs(w.bob(), w.approval(r))
	requests := approvals.Requests{Store: w.Requests}
	key, err := requests.PutEvidence(t.Context(), s.Evidence(), w.clock.Now())
	w.must(err)
	w.edit(r, func(r *approvals.Request) {
		r.Votes = append(r.Votes, approvals.Vote{Actor: approvals.Actor{Person: "bob"}, Evidence: key, At: w.clock.Now(), Digest: r.Digest})
		w.must(r.To(approvals.Approved, w.clock.Now()))
	})
	w.must(approvals.JobQueues{Jobs: w.Jobs, Checks: w.Checks}.Send(t.Context(), approvals.RunJob(r.ID, r.Intent), 0))
	w.drain()
	w.state(r, approvals.Refused)
	w.untouched()
}

// TestSlackIsDown: with Slack answering nothing for an hour people ask, approve and undo; every card is
// there right afterwards.
func TestSlackIsDown(t *testing.T) {
	t.Parallel()
	w := newWorld(t, identities, onCall)
	w.slack.Fail(slackfake.Fault{Status: http.StatusInternalServerError, Times: -1})
	a := w.sends(w.signs(w.alice(), typed))
	r := w.state(w.get(a.ID), approvals.Pending)
	w.pass(20 * time.Minute)
	w.sends(w.signs(w.bob(), w.approval(r)))
	w.state(r, approvals.Contained)
	w.pass(40 * time.Minute)
	if got := w.state(r, approvals.Contained); got.Card.TS != "" {
		t.Errorf("Slack was down, and there is a card: %+v", got.Card)
	}
	told := 0
	for _, p := range w.pages() {
		if strings.HasPrefix(p, slackGone) {
			told++
		}
	}
	if told != 1 {
		t.Errorf("the pager was told %d times: %q", told, w.pages())
	}
	w.slack.Heal()
	w.pass(time.Minute)
	w.shows(r, "Contained")
	w.undo(r)
}

const slackGone = "Slack does not answer, or the incident channel is gone · since 10 min"

// TestIncidentChannelIsArchived: where cards can go nowhere, the pager is told, once.
func TestIncidentChannelIsArchived(t *testing.T) {
	t.Parallel()
	w := newWorld(t, onCall)
	w.pass(5 * time.Minute)
	w.slack.Archive(channel)
	w.pass(30 * time.Minute)
	told := slices.DeleteFunc(w.pages(), func(p string) bool { return !strings.HasPrefix(p, slackGone) })
	if len(told) != 1 {
		t.Errorf("the pager was told %d times: %q", len(told), w.pages())
	}
}

// keeps stores evidence and lets the executor ask who signed it, as somebody can who writes the table requests
// and the queue jobs.
func (w *world) keeps(e approvals.Evidence) (key string) {
	w.t.Helper()
	key, err := approvals.Requests{Store: w.Requests}.PutEvidence(w.t.Context(), e, w.clock.Now())
	w.must(err)
	w.attests(key)
	return key
}

func (w *world) attests(id string) {
	w.t.Helper()
	w.must(approvals.JobQueues{Jobs: w.Jobs, Checks: w.Checks}.Send(w.t.Context(), approvals.Job{Verb: approvals.JobAttest, ID: id}, 0))
	w.drain()
}

// TestOneSignatureIsOneEvidence: what stands beside a signature in its row, its time and white space, can't be
// another than what was signed: a vote that came too late stays late, and a request is asked for once.
func TestOneSignatureIsOneEvidence(t *testing.T) {
	t.Parallel()
	w := newWorld(t, identities)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	vote := w.approval(r)
	asked := w.signs(w.alice(), typed)
	w.sends(asked)
	spaced := asked.Evidence()
	spaced.Body += " "
	key := w.keeps(spaced)
	w.must(approvals.JSON[approvals.Change]{Queue: w.Changes}.Send(t.Context(), approvals.Change{ID: key}, 0))
	w.drain()
	if r, err := (approvals.Requests{Store: w.Requests}).Get(t.Context(), approvals.RequestID(spaced)); err == nil {
		t.Errorf("one signature made two requests: %+v", r)
	}
	w.clock.Add(r.Expires.Sub(w.clock.Now()) + time.Minute)
	late := w.signs(w.bob(), vote).Evidence()
	late.Timestamp = strconv.FormatInt(r.Expires.Unix()-1, 10)
	key = w.keeps(late)
	w.edit(r, func(r *approvals.Request) {
		r.Votes = append(r.Votes, approvals.Vote{Actor: approvals.Actor{Person: "bob"}, Evidence: key, At: r.Expires.Add(-time.Second), Digest: r.Digest})
		r.State = approvals.Approved
	})
	w.must(approvals.JobQueues{Jobs: w.Jobs, Checks: w.Checks}.Send(t.Context(), approvals.RunJob(r.ID, r.Intent), 0))
	w.drain()
	if _, err := (approvals.Runs{Reader: w.Runs}).Attestation(t.Context(), key); err == nil {
		t.Error("it is attested with another time than the signed one")
	}
	w.untouched()
}

// TestAttestingWhatIsNoStatement leaves no row, and no message that is tried for ever.
func TestAttestingWhatIsNoStatement(t *testing.T) {
	t.Parallel()
	w := newWorld(t, identities)
	r := w.asks("U01ALICE", command) // Slack's evidence
	for _, id := range []string{r.Evidence, r.ID, strings.Repeat("0", 64), strings.Repeat("x", 70_000), ""} {
		w.attests(id)
		if id != "" {
			w.must(approvals.JSON[approvals.Change]{Queue: w.Changes}.Send(t.Context(), approvals.Change{ID: id}, 0))
		}
		w.pass(time.Minute)
		if a, err := (approvals.Runs{Reader: w.Runs}).Attestation(t.Context(), id); !errors.Is(err, approvals.ErrNotFound) {
			t.Errorf("%.70s: %+v, %v", id, a, err)
		}
	}
	w.quiet()
}

// TestPrincipalOfAnotherPerson: a principal that has become another person's proves nothing of what it
// signed before: two votes by it would be two people's.
func TestPrincipalOfAnotherPerson(t *testing.T) {
	t.Parallel()
	w := newWorld(t, identities)
	w.cfg.Policy.Default.Approvals = 2
	w.start()
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.sends(w.signs(w.bob(), w.approval(r)))
	people := slices.Clone(w.cfg.Policy.Roster.People)
	people[2].IAM, people[1].IAM = people[1].IAM, nil
	w.cfg.Policy.Roster.People = people
	w.start()
	w.clock.Add(time.Second)
	w.sends(w.signs(w.bob(), w.approval(r)))
	if r = w.again(r); r.State == approvals.Contained {
		t.Errorf("contained by one principal: %+v", r.Votes)
	}
	w.untouched()
}

// brings posts a statement to POST /cli.
func (w *world) brings(s approvals.SignedStatement) *httptest.ResponseRecorder {
	w.t.Helper()
	body, err := json.Marshal(s)
	w.must(err)
	rec := httptest.NewRecorder()
	w.zones.CommandLine.ServeHTTP(rec, httptest.NewRequest(http.MethodPost, "/cli", bytes.NewReader(body)))
	return rec
}

// TestStrangersLeaveNothing: POST /cli is public, and what somebody outside the roster sends is not stored.
func TestStrangersLeaveNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, identities)
	stale := w.signs(w.alice(), typed)
	forged := w.signs(w.alice(), typed)
	forged.Signature = strings.Repeat("0", 64)
	w.clock.Add(time.Second)
	for what, s := range map[string]approvals.SignedStatement{"forged": forged, "a stranger's": w.signs(w.aws.KeySession("AKIASTRANGER00000000").Credentials(), typed)} {
		if rec := w.brings(s); rec.Code != http.StatusForbidden {
			t.Errorf("%s: %d %s", what, rec.Code, rec.Body)
		}
	}
	w.clock.Add(time.Hour)
	if rec := w.brings(stale); rec.Code != http.StatusForbidden {
		t.Errorf("stale: %d %s", rec.Code, rec.Body)
	}
	if d, ok, err := w.Cli.Receive(t.Context(), time.Minute); ok || err != nil {
		t.Errorf("on the queue: %s %v", d.Body, err)
	}
}

// TestWhoWaitsKeepsNobodyOut: behind a proxy all have one address, and people who wait for their answers do
// not use up what one address may.
func TestWhoWaitsKeepsNobodyOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, identities)
	waiting := 0
	w.zones.CommandLine.Sleep = func(context.Context, time.Duration) error {
		if waiting++; waiting < 5 {
			w.clock.Add(time.Second)
			if rec := w.brings(w.signs(w.bob(), approvals.Statement{Verb: "deny", Request: "KS-0000000000AA"})); rec.Code != http.StatusOK {
				t.Errorf("while %d wait: %d %s", waiting, rec.Code, rec.Body)
			}
		}
		return errors.New("it takes too long")
	}
	if rec := w.brings(w.signs(w.alice(), typed)); rec.Code != http.StatusOK || waiting != 5 {
		t.Errorf("%d wait: %d %s", waiting, rec.Code, rec.Body)
	}
}

// held keeps whoever asks who signed until it is told to go on.
type held struct {
	executor.Signers
	asks, goOn chan struct{}
}

func (h held) Identify(ctx context.Context, signed approvals.SignedStatement, st approvals.Statement) (sts.Identity, error) {
	h.asks <- struct{}{}
	<-h.goOn
	return h.Signers.Identify(ctx, signed, st)
}

// TestWhoIsBusyKeepsNobodyElseOut: one address has few questions to AWS in flight, and behind a proxy on this machine
// addresses are told apart by what it says last, not by what who asks says before.
func TestWhoIsBusyKeepsNobodyElseOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, identities)
	body, err := json.Marshal(w.signs(w.alice(), typed))
	w.must(err)
	signers := held{w.zones.CommandLine.Signers, make(chan struct{}), make(chan struct{})}
	w.zones.CommandLine.Signers = signers
	bring := func(from, forwarded string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/cli", bytes.NewReader(body))
		r.RemoteAddr = from + ":1234"
		if forwarded != "" {
			r.Header.Set("X-Forwarded-For", forwarded)
		}
		rec := httptest.NewRecorder()
		w.zones.CommandLine.ServeHTTP(rec, r)
		return rec.Code
	}
	var wg sync.WaitGroup
	busy := func(from, forwarded string) {
		for range 2 {
			wg.Go(func() { bring(from, forwarded) })
			<-signers.asks
		}
	}
	busy("127.0.0.1", "203.0.113.1")
	busy("198.51.100.1", "")
	for what, from := range map[string][2]string{
		"the same":                       {"127.0.0.1", "203.0.113.1"},
		"the same, who says another one": {"127.0.0.1", "192.0.2.9, 203.0.113.1"},
		"the same, without a proxy":      {"198.51.100.1", "192.0.2.9"},
	} {
		if code := bring(from[0], from[1]); code != http.StatusTooManyRequests {
			t.Errorf("%s: %d", what, code)
		}
	}
	busy("127.0.0.1", "203.0.113.2")
	close(signers.goOn)
	wg.Wait()
}

// TestOneVoteFromTheCommandLine: where the policy wants one, clicks alone run nothing; who clicked may sign.
func TestOneVoteFromTheCommandLine(t *testing.T) {
	t.Parallel()
	w := newWorld(t, identities, func(w *world) { w.cfg.Policy.Default.RequireSTS = true })
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.shows(r, "one approval must come from the command line: killswitch approve "+r.ID)
	w.clicks("U02BOB", w.again(r), "approve")
	w.state(r, approvals.Pending)
	w.shows(r, "enough have clicked")
	w.clicks("U03CAROL", w.again(r), "approve")
	w.told("U03CAROL", "A click is not enough")
	w.untouched()
	if a := w.sends(w.signs(w.bob(), w.approval(r))); a.Text != "" || !a.Counts {
		t.Fatal(a)
	}
	if r = w.state(r, approvals.Contained); len(r.Votes) != 1 {
		t.Errorf("%+v", r.Votes)
	}
}
