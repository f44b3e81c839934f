package local_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// TestSurveyBlocksNothing: what only informs people must not keep a containment
// from being planned or from running.
func TestSurveyBlocksNothing(t *testing.T) {
	for _, code := range []string{"Throttling", "AccessDenied"} {
		t.Run(code, func(t *testing.T) {
			w := newWorld(t)
			w.answers("iam:List*", apiError(code), func() bool { return true })
			r := w.state(w.asks("U01ALICE", command), approvals.Pending)
			w.shows(r, "The blast radius could not be read in full ("+code)
			w.clicks("U02BOB", r, "approve")
			w.state(r, approvals.Contained)
		})
	}
}

// TestRunDoesNotSurvey: a role with very many policies must not be read through
// before the deny is put.
func TestRunDoesNotSurvey(t *testing.T) {
	w := newWorld(t, func(w *world) {
		inline := map[string]string{}
		for i := range 60 {
			inline[fmt.Sprintf("p%02d", i)] = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"a:b","Resource":"*"}}`
		}
		w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Inline: inline})
	})
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	start := w.clock.Now()
	var took time.Duration
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Phase == awsfake.Before {
			w.clock.Add(900 * time.Millisecond)
			if c.Op == "iam:PutRolePolicy" && took == 0 {
				took = w.clock.Now().Sub(start)
			}
		}
		return nil
	})
	w.aws.ResetCalls()
	w.clicks("U02BOB", r, "approve")
	w.state(r, approvals.Contained)
	for _, c := range w.aws.Calls() {
		if strings.HasPrefix(c.Op, "iam:List") {
			t.Fatalf("the run surveys: %s", c.Op)
		}
	}
	if took > 15*time.Second {
		t.Errorf("the deny was put after %s", took)
	}
}

// TestReadThrottledAtTheRun: an approved containment must not fail because AWS
// asks for patience.
func TestReadThrottledAtTheRun(t *testing.T) {
	for _, op := range []string{"sts:AssumeRole", "iam:GetRole"} {
		t.Run(op, func(t *testing.T) {
			w := newWorld(t)
			r := w.state(w.asks("U01ALICE", command), approvals.Pending)
			left := 6
			w.answers(op, apiError("Throttling"), func() bool { left--; return left >= 0 })
			w.clicks("U02BOB", r, "approve")
			w.pass(time.Minute)
			w.state(r, approvals.Contained)
		})
	}
}

// TestThrottledTag: one step that AWS throttles must not hold up the deny.
func TestThrottledTag(t *testing.T) {
	w := newWorld(t)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	left := 6
	w.answers("iam:TagRole", apiError("Throttling"), func() bool { left--; return left >= 0 })
	start := w.clock.Now()
	var put time.Time
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Op == "iam:PutRolePolicy" && put.IsZero() {
			put = w.clock.Now()
		}
		return nil
	})
	w.clicks("U02BOB", r, "approve")
	if !put.Equal(start) {
		t.Errorf("the deny was put %s after the approval", put.Sub(start))
	}
	w.state(r, approvals.Contained)
	if tags := w.aws.Snapshot().Accounts[prod].Roles["app-role"].Tags; tags["killswitch"] != r.ID {
		t.Errorf("the tags are %v", tags)
	}
}

// TestPathThatAPolicyReads: a path with what policies read as a variable or a
// wildcard must neither block a containment nor widen the session's rights.
func TestPathThatAPolicyReads(t *testing.T) {
	for path, want := range map[string]string{"/${aws:username}/": "role/${$}{aws:username}/evil", "/*/": "role/${*}/evil", "/?/": "role/${?}/evil"} {
		t.Run(path, func(t *testing.T) {
			w := newWorld(t, func(w *world) { w.aws.Account(prod).AddRole(roleAt(path, "evil")) })
			r := w.state(w.asks("U01ALICE", `revoke_sessions prod/evil reason="leak"`), approvals.Pending)
			w.clicks("U02BOB", r, "approve")
			w.state(r, approvals.Contained)
			puts := 0
			for _, c := range w.aws.Calls() {
				if c.Op != "iam:PutRolePolicy" {
					continue
				}
				puts++
				if _, write, _ := strings.Cut(c.SessionPolicy, "iam:TagRole"); !strings.Contains(write, want) {
					t.Errorf("the session may write %s", write)
				}
			}
			if puts == 0 {
				t.Error("the deny was not put")
			}
			w.undo(r)
		})
	}
}

// TestManyLongApprovers: approvers whose names do not fit a session tag must not
// block what they approved.
func TestManyLongApprovers(t *testing.T) {
	w := newWorld(t, func(w *world) {
		w.cfg.Policy.Default.Approvals = 4
		for i := range 4 {
			id, user := fmt.Sprintf("%s%d", strings.Repeat("x", 63), i), fmt.Sprintf("U9X%d", i)
			w.cfg.Policy.Roster.People = append(w.cfg.Policy.Roster.People, approvals.Person{ID: id, Slack: user})
			w.cfg.Policy.Roster.Groups["responders"] = append(w.cfg.Policy.Roster.Groups["responders"], id)
			w.slack.SetUser(slackfake.User{ID: user, Name: user})
		}
	})
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	for i := range 4 {
		w.clicks(fmt.Sprintf("U9X%d", i), w.again(r), "approve")
	}
	w.state(r, approvals.Contained)
	const most = 256 // characters of a session tag's value, at AWS
	tagged := 0
	for _, c := range w.aws.Calls() {
		if tag := c.Tags["killswitch-approvers"]; c.Op == "sts:AssumeRole" && tag != "" {
			tagged++
			if len(tag) > most {
				t.Errorf("a tag of %d characters", len(tag))
			}
		}
	}
	if tagged == 0 {
		t.Error("no session is tagged with its approvers")
	}
}
