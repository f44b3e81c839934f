package role_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func TestPlanTellsTheBlastRadius(t *testing.T) {
	w := newFixture(t, func(r *awsfake.Role) { r.Profiles = []string{"batch", "web"} })
	facts := map[string]string{}
	p := w.Plan()
	for _, f := range p.Facts {
		facts[f.Label] = f.Text
	}
	want := map[string]string{"Last used": facts["Last used"], "Managed policies": "AdministratorAccess", "Instance profiles": "batch, web", "Breaks": facts["Breaks"]}
	if d := cmp.Diff(want, facts); d != "" {
		t.Error(d)
	}
	actiontest.HasWords(t, facts["Last used"], "never")
	actiontest.HasWords(t, facts["Breaks"], "EC2 instances", "6 hours", "replace-iam-instance-profile-association")
	actiontest.HasWords(t, strings.Join(p.Residual, " "), "Long-term keys", "other roles")
	if want := (actions.Identity{ARN: w.Role, ID: w.Victim().ID, Created: actiontest.Began}); p.Identity != want {
		t.Errorf("identity %+v, want %+v", p.Identity, want)
	}
	if got := newFixture(t).Plan().Warnings; len(got) > 0 {
		t.Errorf("a role as usual is warned of: %q", got)
	}

	_, err := iam.NewFromConfig(w.Session(w.Role, "app").Config()).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("victim")})
	actiontest.Must(t, err)
	actiontest.HasWords(t, w.Plan().Facts[0].Text, "2026-11-03 10:00 UTC", "us-east-1")
}

func TestPlanCountsAllPages(t *testing.T) {
	for size, full := range map[int]bool{82: false, 83: true} { // times 120 policies, of which a page has 100
		w := newFixture(t, func(r *awsfake.Role) { r.Inline = restoreMissing(120, size) })
		p := w.Plan()
		if got := strings.Contains(strings.Join(p.Warnings, " "), "quota"); got != full {
			t.Errorf("120 policies of %d characters: warnings %q", size, p.Warnings)
		}
		_, err := actiontest.ActionOf(t).Apply(t.Context(), w.Responder(), actiontest.StepOf(t, p, "deny"), w.Run())
		if (err != nil) != full {
			t.Errorf("120 policies of %d characters: %v", size, err)
		}
	}
}

// ours is the size of our document, which has no white space.
const ours = len(`{"Version":"2012-10-17","Statement":[{"Sid":"KillswitchRevokeOlderSessions","Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{"DateLessThan":{"aws:TokenIssueTime":"2006-01-02T15:04:05Z"}}},` +
	`{"Effect":"Deny","Action":["signin:CreateOAuth2Token","signin:AuthorizeOAuth2Access"],"Resource":["*"]}]}`)

// restoreMissing is n policies of size characters each, and as much white space again, which doesn't count.
func restoreMissing(n, size int) map[string]string {
	const head, tail = `{"Statement":[{"Effect":"Allow","Action":"s3:`, `","Resource":"*"}]}`
	inline := map[string]string{}
	for i := range n {
		inline[fmt.Sprintf("p%03d", i)] = head + strings.Repeat("x", size-len(head)-len(tail)) + tail + strings.Repeat(" ", size)
	}
	return inline
}

func TestPlanNamesTheExistingPolicy(t *testing.T) {
	warned := func(p actions.Plan) bool { return strings.Contains(strings.Join(p.Warnings, " "), actiontest.Revoke) }
	t.Run("the console's document", func(t *testing.T) {
		p := newFixture(t, actiontest.WithInline(actiontest.Revoke, actiontest.Consoles)).Plan()
		actiontest.HasWords(t, actiontest.StepOf(t, p, "deny").Current, actiontest.Revoke, "2026-10-01 08:09:10 UTC")
		if warned(p) || !slices.ContainsFunc(p.Facts, func(f actions.Fact) bool { return strings.Contains(f.Text, "2026-10-01 08:09:10 UTC") }) {
			t.Errorf("warnings %q, facts %v", p.Warnings, p.Facts)
		}
	})
	t.Run("our own", func(t *testing.T) {
		w := newFixture(t)
		w.Apply(actiontest.StepOf(t, w.Plan(), "deny"), w.Run())
		p := w.Plan()
		actiontest.HasWords(t, actiontest.StepOf(t, p, "deny").Current, actiontest.Revoke, "2026-11-03 10:00:30 UTC")
		if warned(p) {
			t.Errorf("warnings %q", p.Warnings)
		}
	})
	t.Run("a policy of that name that does something else", func(t *testing.T) {
		p := newFixture(t, actiontest.WithInline(actiontest.Revoke, actiontest.Handwritten)).Plan()
		if !warned(p) || !strings.Contains(actiontest.StepOf(t, p, "deny").Current, "another") {
			t.Errorf("current %q, warnings %q", actiontest.StepOf(t, p, "deny").Current, p.Warnings)
		}
	})
	t.Run("a tag", func(t *testing.T) {
		s := actiontest.StepOf(t, newFixture(t, actiontest.WithTag(actiontest.Tag, "KS-EARLIER")).Plan(), "tag")
		actiontest.HasWords(t, s.Current, "KS-EARLIER")
		if s.Prior == nil || *s.Prior != "KS-EARLIER" {
			t.Errorf("the snapshot is %v", s.Prior)
		}
	})
}

func TestInlineQuotaFull(t *testing.T) {
	tests := []struct {
		name string
		room int // what the others leave
		full bool
	}{
		{"our document just fits", ours, false},
		{"one character too few", ours - 1, true},
		{"none", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newFixture(t, func(r *awsfake.Role) { r.Inline = restoreMissing(1, 10240-tt.room) })
			p := w.Plan()
			warning := strings.Join(p.Warnings, " ")
			if got := strings.Contains(warning, "detach_policies"); got != tt.full {
				t.Errorf("warnings %q", p.Warnings)
			}
			w.Apply(actiontest.StepOf(t, p, "tag"), w.Run())
			_, err := actiontest.ActionOf(t).Apply(t.Context(), w.Responder(), actiontest.StepOf(t, p, "deny"), w.Run())
			if !tt.full {
				actiontest.Must(t, err)
				return
			}
			actiontest.WantCode(t, err, "LimitExceeded")
			cause, hint := actions.Explain(err)
			actiontest.HasWords(t, cause, "LimitExceeded")
			actiontest.HasWords(t, hint, "quota", "detach_policies")
			if got := w.Victim().Tags[actiontest.Tag]; got != actiontest.Request {
				t.Errorf("the tag is %q", got)
			}
		})
	}
	t.Run("ours is there and is replaced", func(t *testing.T) {
		w := newFixture(t, func(r *awsfake.Role) { r.Inline = restoreMissing(1, 10240-ours) })
		s := actiontest.StepOf(t, w.Plan(), "deny")
		w.Apply(s, w.Run())
		w.Clock.Add(time.Minute)
		if p := w.Plan(); len(p.Warnings) > 0 {
			t.Errorf("warnings %q", p.Warnings)
		}
		w.Apply(s, w.Run())
	})
}

func TestRoleWithFiftyTagsIsContained(t *testing.T) {
	w := newFixture(t, func(r *awsfake.Role) {
		for i := range 50 {
			actiontest.WithTag(fmt.Sprintf("team-%d", i), "x")(r)
		}
	})
	p := w.Plan()
	_, err := actiontest.ActionOf(t).Apply(t.Context(), w.Responder(), actiontest.StepOf(t, p, "tag"), w.Run())
	actiontest.WantCode(t, err, "LimitExceeded")
	cause, hint := actions.Explain(err)
	actiontest.HasWords(t, cause, "LimitExceeded", "50")
	actiontest.HasWords(t, hint, "no tamper protection guards it", "remove one by hand")
	deny := actiontest.StepOf(t, p, "deny")
	e := w.Apply(deny, w.Run())
	if r, err := actiontest.ActionOf(t).Verify(t.Context(), w.Responder(), deny, e); err != nil || !r.Holds {
		t.Errorf("Verify: %+v, %v", r, err)
	}
}

func TestRoleTypedWithAndWithoutItsPath(t *testing.T) {
	tests := []struct {
		name, typed, target string
		refused             bool
	}{
		{"with its path", "arn:aws:iam::222222222222:role/app/victim", "arn:aws:iam::222222222222:role/app/victim", false},
		{"account and name", "prod/victim", "arn:aws:iam::222222222222:role/victim", false},
		{"a session of it", "arn:aws:sts::222222222222:assumed-role/victim/i-0123456789", "arn:aws:iam::222222222222:role/victim", false},
		{"with another path", "arn:aws:iam::222222222222:role/other/victim", "arn:aws:iam::222222222222:role/other/victim", true},
		{"in another case", "prod/VICTIM", "arn:aws:iam::222222222222:role/VICTIM", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := newFixture(t)
			call, _, err := actions.Parse("revoke_sessions "+tt.typed+" leaked", w.Org.Directory())
			actiontest.Must(t, err)
			if call.Target != tt.target {
				t.Fatalf("target %s, want %s", call.Target, tt.target)
			}
			// What is permitted while the path is not known.
			acct, err := w.Hub.Enter(t.Context(), actions.Responder, actiontest.Member, "", actiontest.Actor, actions.Permits(actiontest.ActionOf(t), actions.PhasePlan, actions.Anything(w.Org)))
			actiontest.Must(t, err)
			p, err := actiontest.ActionOf(t).Plan(t.Context(), acct, call)
			if tt.refused {
				var no *actions.Refusal
				if !errors.As(err, &no) {
					t.Fatalf("Plan: %v, want a refusal", err)
				}
				actiontest.HasWords(t, no.Reason, actions.LastPart(call.Target), actiontest.Member)
				if tt.name == "with another path" {
					actiontest.HasWords(t, no.Reason, tt.target, w.Role)
				}
				return
			}
			actiontest.Must(t, err)
			if p.Identity.ARN != w.Role {
				t.Errorf("found %s, want %s", p.Identity.ARN, w.Role)
			}
			for _, s := range p.Steps {
				if s.Resource != w.Role {
					t.Errorf("step %s changes %s", s.ID, s.Resource)
				}
			}
		})
	}
}
