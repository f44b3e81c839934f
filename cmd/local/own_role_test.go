package local_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

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
		for _, r := range a.Reports {
			titles = append(titles, r.Finding.Title)
		}
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
	lines := map[string]string{"isolate, with all there is": "isolate_instance prod/" + suspect + " region=" + region + " snapshot=yes stop=yes stolen"}
	for name, c := range races {
		lines[name] = c.line
	}
	names := slices.Sorted(maps.Keys(lines))
	for i := 0; i < len(names); i += thin.Every(t, 1, "the actions") {
		t.Run(names[i], func(t *testing.T) {
			t.Parallel()
			var s stolen
			line := lines[names[i]]
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
	const (
		line  = "detach_policies prod/app-role stolen"
		allow = `{"Version":"2012-10-17","Statement":[{"\u0045ffect":"\u0041llow","Action":"*","Resource":"*"}]}`
		deny  = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`
	)
	type call struct {
		account, role, session, op string
		input                      map[string]any
		at                         func(approvals.Request, approvals.Run) time.Time
	}
	for name, tt := range map[string]struct {
		call
		silent bool
	}{
		"what it did":                {silent: true},
		"another role":               {call: call{input: map[string]any{"RoleName": "support"}}},
		"another policy":             {call: call{input: map[string]any{"PolicyName": "backdoor"}}},
		"a policy that allows":       {call: call{input: map[string]any{"PolicyDocument": allow}}},
		"its name in another's":      {call: call{input: map[string]any{"RoleName": "support", "PolicyName": "app-role"}}},
		"in another account":         {call: call{account: "444444444444"}},
		"another call":               {call: call{op: "iam:DeleteRole"}},
		"an administrator's policy":  {call: call{op: "iam:AttachRolePolicy", input: map[string]any{"PolicyArn": admin}}},
		"an SCP that it has not":     {call: call{op: "organizations:DeletePolicy"}},
		"of another service":         {call: call{op: "lambda:CreateFunction"}},
		"by the restorer":            {call: call{role: "killswitch-restorer", op: "iam:DeleteRolePolicy"}},
		"a session of no request":    {call: call{session: "mallory"}},
		"a request that there isn't": {call: call{session: "KS-0123456789AB"}},
		"before it was asked for":    {call: call{at: func(r approvals.Request, _ approvals.Run) time.Time { return r.Asked.Add(-time.Minute) }}},
		"watched no more":            {call: call{at: func(_ approvals.Request, run approvals.Run) time.Time { return run.WatchUntil.Add(time.Hour) }}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var s stolen
			w := newWorld(t, raceWorld(&s, line), hearsCloudTrail)
			r := w.asks("U01ALICE", line)
			w.clicks("U02BOB", r, "approve")
			w.pass(time.Minute)
			r = w.state(r, approvals.Contained)
			did := w.ofOurs()
			i := slices.IndexFunc(did, func(c awsfake.Call) bool { return c.Op == "iam:PutRolePolicy" })
			input := map[string]any{"PolicyDocument": deny}
			if tt.op == "" || tt.op == "iam:PutRolePolicy" {
				b, err := json.Marshal(did[i].Input)
				w.must(err)
				w.must(json.Unmarshal(b, &input))
			} else {
				input["RoleName"] = "app-role"
			}
			maps.Copy(input, tt.input)
			c := awsfake.Call{Op: cmp.Or(tt.op, "iam:PutRolePolicy"), Time: w.clock.Now(), Mutating: true, Input: input,
				Principal: "arn:aws:sts::" + cmp.Or(tt.account, prod) + ":assumed-role/" + cmp.Or(tt.role, "killswitch-responder") + "/" + cmp.Or(tt.session, r.ID)}
			if tt.at != nil {
				c.Time = tt.at(r, w.run(r))
			}
			got := w.alerting([]awsfake.Call{c})
			if tt.silent != (len(got) == 0) {
				t.Errorf("alerts %q", got)
			}
			if len(got) > 0 && !strings.Contains(got[0], "killswitch-re") {
				t.Errorf("it does not say that it is a role of ours: %q", got)
			}
		})
	}
}
