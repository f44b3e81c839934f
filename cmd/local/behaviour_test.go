package local_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

var stores = allStores()

func allStores() map[string][]func(*world) {
	all := map[string][]func(*world){"memory": nil, "file": {inFile}}
	if endpoint != "" {
		all["dynamodb"] = []func(*world){inDynamoDB}
	}
	return all
}

// TestManyClicksAtOnce: everyone clicks, all workers work, one run comes of it.
func TestManyClicksAtOnce(t *testing.T) {
	for name, alter := range stores {
		t.Run(name, func(t *testing.T) {
			const people = 200
			w := newWorld(t, append(alter, func(w *world) {
				ids := []string{"alice"}
				for i := range people {
					id := fmt.Sprintf("p%03d", i)
					w.cfg.Policy.Roster.People = append(w.cfg.Policy.Roster.People, approvals.Person{ID: id, Slack: "U1" + strings.ToUpper(id)})
					w.slack.SetUser(slackfake.User{ID: "U1" + strings.ToUpper(id), Name: id})
					ids = append(ids, id)
				}
				w.cfg.Policy.Roster.Groups["responders"] = ids
			})...)
			r := w.state(w.asks("U01ALICE", command), approvals.Pending)
			var wg sync.WaitGroup
			for i := range people {
				wg.Go(func() { w.slack.Click(fmt.Sprintf("U1P%03d", i), channel, r.Card.TS, "approve") })
			}
			wg.Wait()
			for range 24 {
				wg.Go(func() {
					for w.round() {
					}
				})
			}
			wg.Wait()
			w.pass(time.Minute)
			r = w.state(r, approvals.Contained)
			if len(r.Votes) != 1 {
				t.Errorf("%d votes", len(r.Votes))
			}
			puts := 0
			for _, c := range w.aws.Calls() {
				if c.Op == "iam:PutRolePolicy" && c.Phase == awsfake.After {
					puts++
				}
			}
			if puts != 1 {
				t.Errorf("the deny was put %d times", puts)
			}
			events, err := approvals.Runs{Reader: w.Runs}.Audit(t.Context(), r.ID)
			w.must(err)
			claimed := 0
			for _, e := range events {
				if e.Event == "claimed" {
					claimed++
				}
			}
			if claimed != 1 {
				t.Errorf("claimed %d times", claimed)
			}
		})
	}
}

const earlier = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [ {\"Effect\":\"Deny\", \"Action\":\"s3:*\", \"Resource\":\"arn:aws:s3:::caf\u00e9+%2F/*\"} ]\n}\n"

// TestUndoIsByteForByte: an earlier policy of that name comes back as it was.
func TestUndoIsByteForByte(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Inline: map[string]string{"AWSRevokeOlderSessions": earlier}, Tags: map[string]string{"killswitch": "theirs"}})
	})
	before := w.aws.Snapshot()
	r := w.contained(command)
	if w.policy("app-role") == earlier {
		t.Fatal("nothing was put")
	}
	w.undo(r)
	if d := diffState(before, w.aws.Snapshot()); d != "" {
		t.Error(d)
	}
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

// TestOverlap: two containments of one role; undoing one keeps the other's deny,
// undoing both brings back what was there before the first.
func TestOverlap(t *testing.T) {
	for name, order := range map[string][2]int{"first in, first out": {0, 1}, "first in, last out": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			before := w.aws.Snapshot()
			stolen := w.aws.Session(appRole, "attacker")
			w.clock.Add(time.Minute)
			rs := [2]approvals.Request{w.contained(command)}
			w.pass(2 * time.Minute)
			later := w.aws.Session(appRole, "attacker again")
			w.pass(time.Minute)
			rs[1] = w.contained(anotherCommand)
			for _, s := range []*awsfake.Session{stolen, later} {
				if ok, _ := s.Can("s3:GetObject", "*"); ok {
					t.Error("a session from before the containment works")
				}
			}
			u := w.undo(rs[order[0]])
			for _, s := range []*awsfake.Session{stolen, later} {
				if ok, _ := s.Can("s3:GetObject", "*"); ok {
					t.Error("the undo of one lifted the deny of the other")
				}
			}
			if said := strings.ReplaceAll(w.said(), "\n", " "); !strings.Contains(said, rs[order[1]].ID+" holds it too") {
				t.Errorf("the undo %s does not say who holds the deny:\n%s", u.ID, w.said())
			}
			w.pass(2 * time.Minute)
			w.undo(rs[order[1]])
			if d := diffState(before, w.aws.Snapshot()); d != "" {
				t.Error(d)
			}
		})
	}
}

// TestTampering: what somebody undoes is applied again, three times at most,
// and told loudly.
func TestTampering(t *testing.T) {
	w := newWorld(t)
	r := w.contained(command)
	admin := iam.NewFromConfig(w.aws.Admin(prod))
	role, policy := "app-role", "AWSRevokeOlderSessions"
	undone := 0
	for range 60 {
		if w.policy("app-role") != "" {
			_, err := admin.DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &policy})
			w.must(err)
			undone++
		}
		w.pass(5 * time.Second)
	}
	if undone != 4 {
		t.Errorf("it was undone %d times, so applied again %d times", undone, undone-1)
	}
	w.state(r, approvals.Partial)
	if said := w.said(); !strings.Contains(said, "works against this containment") || !strings.Contains(said, "@here") && !strings.Contains(said, "<!here>") {
		t.Errorf("not told loudly:\n%s", said)
	}
	w.clicks("U03CAROL", w.again(r), "retry") // and now nobody interferes
	w.state(r, approvals.Contained)
	w.undo(r)
}

// TestRetry: one step fails, the others stand; a retry runs only what is left.
func TestRetry(t *testing.T) {
	w := newWorld(t)
	before := w.aws.Snapshot()
	w.aws.Fault(awsfake.Fault{Op: "iam:PutRolePolicy", Err: &smithy.GenericAPIError{Code: "AccessDenied", Message: "not today"}})
	r := w.asks("U01ALICE", command)
	w.clicks("U02BOB", w.again(r), "approve")
	r = w.state(r, approvals.Partial)
	if said := w.said(); !strings.Contains(said, "not today") || !strings.Contains(said, "Retry what is left") {
		t.Errorf("cause and retry are not shown:\n%s", said)
	}
	w.clicks("U05STRANGER", r, "retry")
	w.state(r, approvals.Partial)
	w.aws.ClearFaults()
	w.aws.ResetCalls()
	w.clicks("U01ALICE", r, "retry")
	r = w.state(r, approvals.Contained)
	for _, c := range w.aws.Calls() {
		if c.Op == "iam:TagRole" {
			t.Error("the step that held was taken again")
		}
	}
	w.undo(r)
	if d := diffState(before, w.aws.Snapshot()); d != "" {
		t.Error(d)
	}

	w.aws.Fault(awsfake.Fault{Op: "iam:PutRolePolicy", Err: &smithy.GenericAPIError{Code: "AccessDenied", Message: "never"}})
	r = w.asks("U01ALICE", anotherCommand)
	w.clicks("U02BOB", w.again(r), "approve")
	r = w.state(r, approvals.Partial)
	w.clock.Add(61 * time.Minute)
	w.slack.Click("U01ALICE", channel, r.Card.TS, "retry")
	w.drain()
	w.told("U01ALICE", "time to retry is over")
}

// TestThrottled: AWS asks for patience; no step is dropped.
func TestThrottled(t *testing.T) {
	w := newWorld(t)
	w.aws.Fault(awsfake.Fault{Op: "iam:PutRolePolicy", Err: &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded"}, Times: 7})
	w.contained(command)
}

// TestRecreated: the target is deleted and made anew after the approval was
// asked for: the deny goes on, with a flag.
func TestRecreated(t *testing.T) {
	w := newWorld(t)
	r := w.asks("U01ALICE", command)
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role"})
	w.clicks("U02BOB", w.again(r), "approve")
	w.state(r, approvals.Contained)
	if said := strings.ReplaceAll(w.said(), "\n", " "); !strings.Contains(said, "deleted and created again") {
		t.Errorf("no flag:\n%s", w.said())
	}
}

// TestDrift: what somebody put in place of our deny is not overwritten by undo.
func TestDrift(t *testing.T) {
	w := newWorld(t)
	r := w.contained(command)
	w.pass(2 * time.Minute)
	admin := iam.NewFromConfig(w.aws.Admin(prod))
	role, policy, doc := "app-role", "AWSRevokeOlderSessions", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`
	_, err := admin.PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: &role, PolicyName: &policy, PolicyDocument: &doc})
	w.must(err)
	w.clicks("U03CAROL", w.again(r), "undo")
	u := w.state(w.undoOf(r), approvals.Pending)
	w.clicks("U01ALICE", u, "approve")
	w.state(u, approvals.Partial)
	if got := w.policy("app-role"); got != doc {
		t.Errorf("the policy is %s", got)
	}
}

// TestOneRunPerTarget: two approved requests for one role run one after the other.
func TestOneRunPerTarget(t *testing.T) {
	w := newWorld(t)
	a := w.state(w.asks("U01ALICE", command), approvals.Pending)
	b := w.state(w.asks("U01ALICE", anotherCommand), approvals.Pending)
	var mu sync.Mutex
	open, most := map[string]bool{}, 0
	w.aws.OnCall(func(c awsfake.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if c.Mutating && c.Phase == awsfake.Before {
			open[c.RoleSessionName] = true
			most = max(most, len(open))
		}
		return nil
	})
	w.slack.Click("U02BOB", channel, a.Card.TS, "approve")
	w.slack.Click("U02BOB", channel, b.Card.TS, "approve")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for w.round() {
			}
		})
	}
	wg.Wait()
	w.pass(time.Minute)
	w.state(a, approvals.Contained)
	w.state(b, approvals.Contained)
	if most != 2 { // both ran at last
		t.Errorf("%d requests wrote", most)
	}
}

// TestSlackDown: whatever Slack does after the click, the containment runs, and
// the card is right when Slack is back.
func TestSlackDown(t *testing.T) {
	for name, fault := range map[string]slackfake.Fault{
		"429":         {Status: http.StatusTooManyRequests, RetryAfter: 60, Times: -1},
		"500":         {Status: http.StatusInternalServerError, Times: -1},
		"lost answer": {Status: http.StatusInternalServerError, After: true, Times: -1},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.state(w.asks("U01ALICE", command), approvals.Pending)
			w.slack.Fail(fault)
			w.clicks("U02BOB", r, "approve")
			w.state(r, approvals.Contained)
			w.pass(time.Minute)
			w.slack.Heal()
			w.pass(time.Minute)
			var cards, results int
			for _, m := range w.slack.Messages(channel) {
				if strings.HasPrefix(m.Text, "contained: revoke_sessions") {
					cards++
				}
				if strings.Contains(m.Text, "every step was read back") && m.ThreadTS != "" {
					results++
				}
			}
			if cards != 1 || results != 1 {
				t.Errorf("%d cards, %d results\n%s", cards, results, w.said())
			}
		})
	}
	t.Run("from the start", func(t *testing.T) {
		w := newWorld(t)
		w.slack.Fail(slackfake.Fault{Method: "chat.postMessage", Status: http.StatusServiceUnavailable, Times: -1})
		r := w.asks("U01ALICE", command)
		w.told("U01ALICE", "can't be posted just now")
		w.slack.Heal()
		w.pass(2 * time.Minute)
		w.clicks("U02BOB", w.again(r), "approve")
		w.state(r, approvals.Contained)
	})
	t.Run("a card that vanished", func(t *testing.T) {
		w := newWorld(t)
		r := w.asks("U01ALICE", command)
		w.slack.Lose(channel, w.again(r).Card.TS)
		w.pass(2 * time.Minute)
		w.clicks("U02BOB", w.again(r), "approve")
		w.state(r, approvals.Contained)
	})
}

// TestEnds: deny with a reason, cancel, expiry; each is in the audit chain.
func TestEnds(t *testing.T) {
	end := func(t *testing.T, do func(w *world, r approvals.Request), want approvals.State, said string) {
		t.Helper()
		w := newWorld(t)
		r := w.state(w.asks("U01ALICE", command), approvals.Pending)
		do(w, r)
		r = w.state(r, want)
		w.pass(time.Minute)
		w.untouched()
		if !strings.Contains(w.said(), said) {
			t.Errorf("not said: %q\n%s", said, w.said())
		}
		events, err := approvals.Runs{Reader: w.Runs}.Audit(t.Context(), r.ID)
		w.must(err)
		found := false
		for _, e := range events {
			found = found || e.Event == string(want)
		}
		if !found {
			t.Errorf("%s is not in the audit chain: %+v", want, events)
		}
		w.slack.Command("U02BOB", channel, "/killswitch", "audit "+r.ID)
		w.drain()
		w.told("U02BOB", "is intact")
	}
	t.Run("denied", func(t *testing.T) {
		end(t, func(w *world, r approvals.Request) {
			w.clicks("U02BOB", r, "deny")
			views := w.slack.Views("U02BOB")
			if len(views) != 1 {
				t.Fatalf("%d forms", len(views))
			}
			w.state(r, approvals.Denied) // counts before the reason is given
			w.slack.Submit("U02BOB", views[0].ID, map[string]map[string]string{"reason": {"reason": "that is the *wrong* <!channel> role"}})
			w.drain()
		}, approvals.Denied, "wrong")
	})
	t.Run("denied while Slack is down", func(t *testing.T) {
		end(t, func(w *world, r approvals.Request) {
			w.start() // nothing is remembered of anyone
			w.slack.Fail(slackfake.Fault{Status: 500, Times: -1})
			w.clicks("U02BOB", r, "deny")
			w.slack.Heal()
		}, approvals.Denied, "denied by")
	})
	t.Run("denied by command", func(t *testing.T) {
		end(t, func(w *world, r approvals.Request) { w.types("U02BOB", "deny "+strings.ToLower(r.ID)+" it is a drill") }, approvals.Denied, "it is a drill")
	})
	t.Run("cancelled", func(t *testing.T) {
		end(t, func(w *world, r approvals.Request) {
			w.clicks("U02BOB", r, "cancel")
			w.told("U02BOB", "Only the person who asked")
			w.clicks("U01ALICE", w.again(r), "cancel")
		}, approvals.Cancelled, "Cancelled")
	})
	t.Run("expired", func(t *testing.T) {
		end(t, func(w *world, _ approvals.Request) { w.pass(31 * time.Minute) }, approvals.Expired, "expired")
	})
	t.Run("denied after approval, before the run", func(t *testing.T) {
		end(t, func(w *world, r approvals.Request) {
			w.slack.Click("U02BOB", channel, r.Card.TS, "approve")
			w.slack.Click("U03CAROL", channel, r.Card.TS, "deny")
			for range 4 {
				_, _ = w.zones.Pumps[0].Once(t.Context()) // the bot hears both before the executor hears of anything
			}
			w.drain()
		}, approvals.Denied, "denied by")
	})
}

// TestLooking: show, list, approve, help and details change nothing.
func TestLooking(t *testing.T) {
	w := newWorld(t)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	for text, want := range map[string]string{
		"list": r.ID, "show " + r.ID: "What will happen", "help": "revoke_sessions", "": "revoke_sessions", "help revoke-sessions": "Example",
		"show KS-000000000000": "There is no request", "show nonsense": "request ID", "audit " + r.ID: "is intact", "approve " + r.ID: "click Approve",
	} {
		w.types("U03CAROL", text)
		w.told("U03CAROL", want)
	}
	r = w.again(r)
	all := w.slack.Messages(channel)
	var last slackfake.Message
	for _, m := range all {
		if m.EphemeralTo == "" && m.ThreadTS == "" {
			last = m
		}
	}
	if last.TS != r.Card.TS {
		t.Error("approve did not bring the card to the end of the channel")
	}
	w.clicks("U03CAROL", r, "details")
	if len(w.slack.Views("U03CAROL")) != 1 {
		t.Error("details opened no view")
	}
	w.state(r, approvals.Pending)
	w.untouched()
}

// TestUndoOfAStepThatWroteNothing: the deny failed before it was written, and
// another policy of that name stands there: the undo plans and leaves it alone.
func TestUndoOfAStepThatWroteNothing(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Inline: map[string]string{"AWSRevokeOlderSessions": earlier}})
	})
	before := w.aws.Snapshot()
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	reads := 0
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op == "iam:GetRolePolicy" && c.Phase == awsfake.Before {
			if reads++; reads == 2 { // the run's own plan reads first, then the step
				return &smithy.GenericAPIError{Code: "AccessDenied", Message: "not now"}
			}
		}
		return nil
	})
	w.clicks("U02BOB", r, "approve")
	r = w.state(r, approvals.Partial)
	w.aws.OnCall(func(awsfake.Call) error { return nil })
	w.undo(r)
	if d := diffState(before, w.aws.Snapshot()); d != "" {
		t.Error(d)
	}
}

// TestUndoOfADeletedRole: what no longer exists needs no restoring, also where
// its path was part of its name.
func TestUndoOfADeletedRole(t *testing.T) {
	w := newWorld(t, func(w *world) { w.aws.Account(prod).AddRole(roleAt("/team/", "app-role")) })
	r := w.contained("revoke_sessions prod/app-role reason=leak")
	admin := iam.NewFromConfig(w.aws.Admin(prod))
	role, policy := "app-role", "AWSRevokeOlderSessions"
	_, err := admin.DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &policy})
	w.must(err)
	_, err = admin.DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: &role})
	w.must(err)
	w.undo(r)
}

// TestWrongPath: a role of that name with another path is named in the refusal.
func TestWrongPath(t *testing.T) {
	w := newWorld(t, func(w *world) { w.aws.Account(prod).AddRole(roleAt("/team/", "app-role")) })
	w.types("U01ALICE", "revoke_sessions arn:aws:iam::222222222222:role/other/app-role reason=leak")
	if said := strings.ReplaceAll(w.said(), "\n", " "); !strings.Contains(said, "role/team/app-role") {
		t.Error(w.said())
	}
}

// TestRetention: all rows of a request that is over expire with it; those of a
// containment in force stay.
func TestRetention(t *testing.T) {
	w := newWorld(t)
	over := w.contained(command)
	w.pass(2 * time.Minute)
	undo := w.undo(over)
	w.pass(time.Minute)
	force := w.contained(anotherCommand)
	denied := w.asks("U01ALICE", "revoke_sessions prod/app-role reason=third")
	w.clicks("U02BOB", w.again(denied), "deny")
	w.pass(2 * time.Minute)
	w.zones.Expire(t.Context(), w.clock.Now().Add(401*24*time.Hour))
	for _, r := range []approvals.Request{over, undo, denied} {
		if rows := mustRows(t, w.Runs, r.ID); len(rows) != 0 {
			t.Errorf("%s: %d rows of runs are left, the first is %s", r.ID, len(rows), rows[0].Sort)
		}
		if rows := mustRows(t, w.Requests, r.ID); len(rows) != 0 {
			t.Errorf("%s is left", r.ID)
		}
	}
	w.state(force, approvals.Contained)
	w.undo(force)
}

// TestUndoDeniedLate: an undo that is denied after its approval, before it ran,
// leaves the containment contained.
func TestUndoDeniedLate(t *testing.T) {
	w := newWorld(t)
	r := w.contained(command)
	w.pass(2 * time.Minute)
	w.clicks("U03CAROL", w.again(r), "undo")
	u := w.state(w.undoOf(r), approvals.Pending)
	w.slack.Click("U01ALICE", channel, u.Card.TS, "approve")
	w.slack.Click("U02BOB", channel, u.Card.TS, "deny")
	for range 4 {
		_, _ = w.zones.Pumps[0].Once(t.Context())
	}
	w.drain()
	w.pass(time.Minute)
	w.state(u, approvals.Denied)
	w.state(r, approvals.Contained)
	w.undo(r)
}
