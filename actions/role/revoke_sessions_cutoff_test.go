package role_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func TestRevokeDocumentIsReadBack(t *testing.T) {
	w := newFixture(t)
	w.Clock.Add(987 * time.Millisecond)
	w.Apply(actiontest.StepOf(t, w.Plan(), "deny"), w.Run())
	var got any
	actiontest.Must(t, json.Unmarshal([]byte(w.Victim().Inline[actiontest.Revoke]), &got))
	var want any
	actiontest.Must(t, json.Unmarshal([]byte(strings.Replace(actiontest.Consoles, "2026-10-01T08:09:10Z", actiontest.Began.Add(30*time.Second).Format(actiontest.Timestamp), 1)), &want))
	statements := got.(map[string]any)["Statement"].([]any)
	if len(statements) != 2 || !strings.Contains(fmt.Sprint(statements[1]), "signin:") {
		t.Fatalf("the statements are %v", statements)
	}
	statement := statements[0].(map[string]any)
	got.(map[string]any)["Statement"] = statements[:1]
	if statement["Sid"] == nil {
		t.Error("no Sid tells our document from the console's")
	}
	delete(statement, "Sid")
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("but for its Sid and aws login it is not the console's document:\n%s", d)
	}
}

// cutoff is that of our document as it stands.
func (w *fixture) cutoff() time.Time {
	w.T.Helper()
	_, rest, _ := strings.Cut(w.Victim().Inline[actiontest.Revoke], `"aws:TokenIssueTime":"`)
	text, _, _ := strings.Cut(rest, `"`)
	at, err := time.Parse(actiontest.Timestamp, text)
	actiontest.Must(w.T, err)
	return at
}

func TestCutoffMovesForwardOnly(t *testing.T) {
	at := func(d time.Duration) time.Time { return actiontest.Began.Add(d) }
	tests := []struct {
		name       string
		first      time.Duration // when a run before this one wrote its cutoff
		since, now time.Duration
		want       time.Duration
		changed    bool
	}{
		{"a minute later it moves forward", 0, time.Minute, time.Minute, 90 * time.Second, true},
		{"a second later it moves forward", 0, time.Second, time.Second, 31 * time.Second, true},
		{"gone on by the same run it stays", 0, 0, 20 * time.Second, 30 * time.Second, false},
		{"gone on within a second it stays", 900 * time.Millisecond, 900 * time.Millisecond, 20 * time.Second, 30 * time.Second, false},
		{"gone on by a run that began after the last one's cutoff", 0, time.Hour, time.Hour + time.Minute, time.Hour + 90*time.Second, true},
		{"an earlier run finds it to hold", time.Minute, 0, 0, 90 * time.Second, false},
		{"a clock that is behind never moves it back", time.Minute, 61 * time.Second, 10 * time.Second, 90 * time.Second, true},
		{"a fraction of a second is cut", 0, 1900 * time.Millisecond, 1900 * time.Millisecond, 31 * time.Second, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newFixture(t)
			s := actiontest.StepOf(t, w.Plan(), "deny")
			w.Apply(s, actions.Run{RequestID: "KS-FIRST", Since: at(tt.first), Now: at(tt.first)})
			if got, want := w.cutoff(), at(tt.first+30*time.Second).Truncate(time.Second); !got.Equal(want) {
				t.Fatalf("the first cutoff is %v, want %v", got, want)
			}
			e := w.Apply(s, actions.Run{RequestID: actiontest.Request, Since: at(tt.since), Now: at(tt.now)})
			if got, want := w.cutoff(), at(tt.want); !got.Equal(want) || e.Changed != tt.changed {
				t.Errorf("cutoff %v, changed %t; want %v, %t", got, e.Changed, want, tt.changed)
			}
			if e.Wrote == nil || *e.Wrote != w.Victim().Inline[actiontest.Revoke] {
				t.Errorf("says that it wrote %v", e.Wrote)
			}
		})
	}
}

func TestVerifyNeedsAnEqualOrLaterCutoff(t *testing.T) {
	tests := []struct {
		name   string
		change func(document string) string
		holds  bool
	}{
		{"as written", func(d string) string { return d }, true},
		{"spelt otherwise", func(d string) string { return strings.ReplaceAll(d, `":`, `" : `) }, true},
		{"a later cutoff", func(d string) string { return strings.Replace(d, "10:00:30Z", "10:00:31Z", 1) }, true},
		{"an earlier cutoff", func(d string) string { return strings.Replace(d, "10:00:30Z", "10:00:29Z", 1) }, false},
		{"one action only", func(d string) string { return strings.Replace(d, `"Action":["*"]`, `"Action":["s3:*"]`, 1) }, false},
		{"one resource only", func(d string) string {
			return strings.Replace(d, `"Resource":["*"]`, `"Resource":["arn:aws:s3:::b"]`, 1)
		}, false},
		{"an allow", func(d string) string { return strings.Replace(d, `"Deny"`, `"Allow"`, 1) }, false},
		{"another operator", func(d string) string { return strings.Replace(d, "DateLessThan", "DateGreaterThan", 1) }, false},
		{"one more condition", func(d string) string {
			return strings.Replace(d, `"Condition":{`, `"Condition":{"StringEquals":{"aws:PrincipalAccount":"1"},`, 1)
		}, false},
		{"one more key", func(d string) string {
			return strings.Replace(d, `{"aws:TokenIssueTime"`, `{"aws:CurrentTime":"2020-01-01T00:00:00Z","aws:TokenIssueTime"`, 1)
		}, false},
		{"one more statement", func(d string) string {
			return strings.Replace(d, `]}]}`, `]},{"Effect":"Allow","Action":"*","Resource":"*"}]}`, 1)
		}, false},
		{"aws login not denied", func(d string) string { return earlierDocument(d) }, false},
		{"aws login allowed", func(d string) string {
			return strings.Replace(d, `"Deny","Action":["signin`, `"Allow","Action":["signin`, 1)
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newFixture(t)
			s := actiontest.StepOf(t, w.Plan(), "deny")
			e := w.Apply(s, w.Run())
			changed := tt.change(*e.Wrote)
			if (changed == *e.Wrote) != (tt.name == "as written") {
				t.Fatal("the row changes nothing")
			}
			w.PutDeny(changed)
			r, err := actiontest.ActionOf(t).Verify(t.Context(), w.Responder(), s, e)
			actiontest.Must(t, err)
			if r.Holds != tt.holds || r.Found == "" {
				t.Errorf("got %+v, want holds %t", r, tt.holds)
			}
		})
	}
}

func TestStolenSessionDies(t *testing.T) {
	w := newFixture(t)
	const object = "arn:aws:s3:::vault/secret"
	w.Clock.Add(-time.Minute)
	stolen := w.Session(w.Role, "stolen")
	w.Clock.Add(time.Minute)
	can := func(s *awsfake.Session, want bool, who string) {
		t.Helper()
		if ok, why := s.Can("s3:GetObject", object); ok != want {
			t.Errorf("%s: can is %t (%s), want %t", who, ok, why, want)
		}
	}
	can(stolen, true, "stolen, before")
	s := actiontest.StepOf(t, w.Plan(), "deny")
	e := w.Apply(s, w.Run())
	can(stolen, false, "stolen, after")

	w.Clock.Add(29 * time.Second)
	can(w.Session(w.Role, "again"), false, "assumed again within the margin")
	w.Clock.Add(time.Second)
	can(w.Session(w.Role, "owner"), true, "assumed after the cutoff")
	can(stolen, false, "stolen, after the cutoff")
	for _, action := range []string{"signin:CreateOAuth2Token", "signin:AuthorizeOAuth2Access"} {
		if ok, _ := w.Session(w.Role, "refreshed").Can(action, "arn:aws:signin:eu-west-1:222222222222:oauth2/public-client/localhost"); ok {
			t.Errorf("aws login goes on: %s", action)
		}
	}

	if r := w.Revert(s, e); !r.Holds {
		t.Fatalf("Revert: %+v", r)
	}
	can(stolen, true, "stolen, taken back")
}

// What a re-check or another request has written since is ours too.
func TestRevertTakesBackOurLaterCutoff(t *testing.T) {
	for name, prior := range map[string][]func(*awsfake.Role){"nothing before": nil, "a policy before": {actiontest.WithInline(actiontest.Revoke, actiontest.Handwritten)}} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t, prior...)
			before := w.Snapshot()
			s := actiontest.StepOf(t, w.Plan(), "deny")
			first := w.Apply(s, w.Run())
			w.Clock.Add(time.Minute)
			w.Apply(s, w.Run())
			if r := w.Revert(s, first); !r.Holds || !r.Changed {
				t.Errorf("Revert: %+v", r)
			}
			if d := cmp.Diff(before, w.Snapshot()); d != "" {
				t.Error(d)
			}
		})
	}
}

// earlierDocument is the same revocation as earlier versions wrote it, which did not deny `aws login`.
func earlierDocument(document string) string {
	dated, _, _ := strings.Cut(document, `,{"Effect":"Deny","Action":["signin`)
	return strings.TrimSuffix(dated, "]}") + "]}"
}

// What an earlier version has in force is ours: it holds for its request, another request makes it
// deny `aws login`, and undo takes it back.
func TestRevocationsOfEarlierVersionsAreOurs(t *testing.T) {
	for name, prior := range map[string][]func(*awsfake.Role){"nothing before": nil, "the console's before": {actiontest.WithInline(actiontest.Revoke, actiontest.Consoles)}} {
		t.Run(name, func(t *testing.T) {
			w := newFixture(t, prior...)
			before := w.Victim().Inline[actiontest.Revoke]
			s := actiontest.StepOf(t, w.Plan(), "deny")
			e := w.Apply(s, w.Run())
			earlier := earlierDocument(*e.Wrote)
			if earlier == *e.Wrote || !strings.HasSuffix(earlier, `Z"}}}]}`) {
				t.Fatal(earlier)
			}
			w.PutDeny(earlier)
			e.Wrote = &earlier
			holds := func(want bool) {
				t.Helper()
				r, err := actiontest.ActionOf(t).Verify(t.Context(), w.Responder(), s, e)
				actiontest.Must(t, err)
				if r.Holds != want {
					t.Errorf("Verify: %+v", r)
				}
			}
			holds(true)
			next := w.Apply(s, w.Run()) // its run goes on in this version
			if at := w.cutoff(); !next.Changed || *next.Wrote == earlier || !at.Equal(actiontest.Began.Add(30*time.Second)) {
				t.Errorf("gone on, it is %s", *next.Wrote)
			}
			holds(true)
			w.PutDeny(earlier)
			w.Clock.Add(time.Minute)
			if next = w.Apply(s, w.Run()); !next.Changed || w.cutoff() != actiontest.Began.Add(90*time.Second) {
				t.Errorf("asked for again, it is %s", *next.Wrote)
			}
			holds(true)
			w.PutDeny(earlier)
			if r := w.Revert(s, e); !r.Holds || !r.Changed {
				t.Errorf("Revert: %+v", r)
			}
			if after := w.Victim().Inline[actiontest.Revoke]; after != before {
				t.Errorf("taken back, it is %q", after)
			}
		})
	}
}
