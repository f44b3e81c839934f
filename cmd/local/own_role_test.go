package local_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// hearsCloudTrail reads CloudTrail's events.
func hearsCloudTrail(w *world) {
	w.findings = &finding.Reader{Org: w.cfg.Org, Routing: finding.Routing{Routes: []finding.Route{{Match: finding.Match{Source: finding.CloudTrail}, Delivery: finding.Propose}}}}
}

// recorded is CloudTrail's record of a call of a role's session, as an event.
func recorded(n int, c awsfake.Call) []byte {
	service, name, _ := strings.Cut(c.Op, ":")
	arn := strings.Split(c.Principal, ":") // arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION
	path := strings.Split(arn[5], "/")
	at := c.Time.UTC().Truncate(time.Second).Format(time.RFC3339)
	detail := map[string]any{
		"eventVersion": "1.10", "eventSource": service + ".amazonaws.com", "eventName": name, "eventTime": at, "awsRegion": region, "eventID": fmt.Sprintf("%032d", n),
		"readOnly": !c.Mutating, "eventType": "AwsApiCall", "recipientAccountId": arn[4], "requestParameters": c.Input, "responseElements": nil,
		"sourceIPAddress": "192.0.2.1", "userAgent": "aws-sdk-go-v2", "userIdentity": map[string]any{
			"type": "AssumedRole", "principalId": "AROAEXAMPLE:" + path[2], "arn": c.Principal, "accountId": arn[4], "accessKeyId": "ASIAEXAMPLE234567EXA",
			"sessionContext": map[string]any{"sessionIssuer": map[string]any{"type": "Role", "principalId": "AROAEXAMPLE", "arn": "arn:aws:iam::" + arn[4] + ":role/" + path[1], "accountId": arn[4], "userName": path[1]}},
		},
	}
	b, err := json.Marshal(map[string]any{"version": "0", "id": fmt.Sprint(n), "detail-type": "AWS API Call via CloudTrail", "source": "aws." + service, "account": arn[4], "time": at, "region": region, "resources": []any{}, "detail": detail})
	if err != nil {
		panic(err)
	}
	return b
}

// alerting are the alerts about what our own roles did.
func (w *world) alerting(calls []awsfake.Call) (titles []string) {
	w.t.Helper()
	w.zones.Bot.Findings = *w.findings
	for i, c := range calls {
		w.must(w.zones.Bot.HandleEvent(w.t.Context(), recorded(i, c)))
	}
	all, err := alerts.Table{Requests: approvals.Requests{Store: w.Requests}}.Marked(w.t.Context(), "", 1000)
	w.must(err)
	for _, a := range all {
		titles = append(titles, a.Reports[0].Finding.Title)
	}
	for _, m := range w.slack.Messages(channel) {
		if strings.Contains(m.Text, "· AL-") {
			titles = append(titles, m.Text)
		}
	}
	return titles
}

// ofOurs are the writes under the names of our own roles.
func (w *world) ofOurs() []awsfake.Call {
	return slices.DeleteFunc(w.aws.Calls(), func(c awsfake.Call) bool {
		return !c.Mutating || !strings.Contains(c.Principal, ":assumed-role/"+w.cfg.Org.ResponderRole+"/") && !strings.Contains(c.Principal, ":assumed-role/"+w.cfg.Org.RestorerRole+"/")
	})
}

// TestOurOwnCallsAreSilent: of what each action writes, and its undo, nothing is an alert.
func TestOurOwnCallsAreSilent(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(races))
	for i := 0; i < len(names); i += thin.Every(t, 1, "the actions") {
		t.Run(names[i], func(t *testing.T) {
			t.Parallel()
			var s stolen
			line := races[names[i]].line
			w := newWorld(t, raceWorld(&s, line), hearsCloudTrail)
			r := w.asks("U01ALICE", line)
			for _, user := range []string{"U02BOB", "U03CAROL"} {
				if r = w.again(r); r.State == approvals.Pending {
					w.clicks(user, r, "approve")
				}
			}
			w.pass(10 * time.Minute)
			w.state(r, approvals.Contained)
			if !strings.HasPrefix(line, "delete_") && !strings.HasPrefix(line, "deactivate_") { // nothing comes back
				w.undo(r)
			}
			calls := w.ofOurs()
			if len(calls) == 0 {
				t.Fatal("no call of ours")
			}
			if got := w.alerting(calls); len(got) > 0 {
				t.Errorf("%d alerts of %d calls: %q", len(got), len(calls), got)
			}
		})
	}
}

// TestOthersUnderOurName: whoever enters a role of ours is heard of, also as a session of a request that
// is in force, unless they do just what that request did.
func TestOthersUnderOurName(t *testing.T) {
	t.Parallel()
	var s stolen
	const line = "detach_policies prod/app-role stolen"
	call := func(w *world, r approvals.Request, role, session, op, resource string) awsfake.Call {
		return awsfake.Call{Op: op, Time: w.clock.Now(), Mutating: true, Principal: "arn:aws:sts::" + prod + ":assumed-role/" + role + "/" + session, Input: map[string]any{"RoleName": actions.LastPart(resource)}}
	}
	app, other := "arn:aws:iam::"+prod+":role/app-role", "arn:aws:iam::"+prod+":role/support"
	for name, tt := range map[string]struct {
		call   func(w *world, r approvals.Request) awsfake.Call
		silent bool
	}{
		"what it did": {func(w *world, r approvals.Request) awsfake.Call {
			return call(w, r, "killswitch-responder", r.ID, "iam:PutRolePolicy", app)
		}, true},
		"another role": {func(w *world, r approvals.Request) awsfake.Call {
			return call(w, r, "killswitch-responder", r.ID, "iam:PutRolePolicy", other)
		}, false},
		"another call": {func(w *world, r approvals.Request) awsfake.Call {
			return call(w, r, "killswitch-responder", r.ID, "iam:DeleteRole", app)
		}, false},
		"of another service": {func(w *world, r approvals.Request) awsfake.Call {
			return call(w, r, "killswitch-responder", r.ID, "lambda:CreateFunction", app)
		}, false},
		"by the restorer": {func(w *world, r approvals.Request) awsfake.Call {
			return call(w, r, "killswitch-restorer", r.ID, "iam:DeleteRolePolicy", app)
		}, false},
		"a session of no request": {func(w *world, r approvals.Request) awsfake.Call {
			return call(w, r, "killswitch-responder", "mallory", "iam:PutRolePolicy", app)
		}, false},
		"a request that is not one": {func(w *world, r approvals.Request) awsfake.Call {
			return call(w, r, "killswitch-responder", "KS-0123456789AB", "iam:PutRolePolicy", app)
		}, false},
		"before it was asked for": {func(w *world, r approvals.Request) awsfake.Call {
			c := call(w, r, "killswitch-responder", r.ID, "iam:PutRolePolicy", app)
			c.Time = r.Asked.Add(-time.Minute)
			return c
		}, false},
		"when it is not watched any more": {func(w *world, r approvals.Request) awsfake.Call {
			c := call(w, r, "killswitch-responder", r.ID, "iam:PutRolePolicy", app)
			c.Time = w.run(r).WatchUntil.Add(time.Hour)
			return c
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, raceWorld(&s, line), hearsCloudTrail)
			r := w.asks("U01ALICE", line)
			w.clicks("U02BOB", r, "approve")
			w.pass(time.Minute)
			r = w.state(r, approvals.Contained)
			got := w.alerting([]awsfake.Call{tt.call(w, r)})
			if tt.silent != (len(got) == 0) {
				t.Errorf("alerts %q", got)
			}
			if len(got) > 0 && !strings.Contains(got[0], "killswitch-re") {
				t.Errorf("it does not say that it is a role of ours: %q", got)
			}
		})
	}
}
