package actions_test

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
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func TestPlanTellsTheBlastRadius(t *testing.T) {
	w := newWorld(t, func(r *awsfake.Role) { r.Profiles = []string{"batch", "web"} })
	facts := map[string]string{}
	p := w.plan()
	for _, f := range p.Facts {
		facts[f.Label] = f.Text
	}
	want := map[string]string{"Last used": facts["Last used"], "Managed policies": "AdministratorAccess", "Instance profiles": "batch, web"}
	if d := cmp.Diff(want, facts); d != "" {
		t.Error(d)
	}
	says(t, facts["Last used"], "never")
	if len(p.Warnings) != 1 {
		t.Errorf("warnings %q, want one of the instances", p.Warnings)
	}
	says(t, strings.Join(p.Warnings, " "), "instance")
	says(t, strings.Join(p.Residual, " "), "Long-term keys", "other roles")
	if want := (actions.Identity{ARN: w.role, ID: w.victim().ID, Created: start}); p.Identity != want {
		t.Errorf("identity %+v, want %+v", p.Identity, want)
	}
	if got := newWorld(t).plan().Warnings; len(got) > 0 {
		t.Errorf("a role as usual is warned of: %q", got)
	}

	_, err := iam.NewFromConfig(w.Session(w.role, "app").Config()).GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("victim")})
	must(t, err)
	says(t, w.plan().Facts[0].Text, "2026-11-03 10:00 UTC", "us-east-1")
}

func TestPlanCountsAllPages(t *testing.T) {
	for size, full := range map[int]bool{83: false, 84: true} { // times 120 policies, of which a page has 100
		w := newWorld(t, func(r *awsfake.Role) { r.Inline = fill(120, size) })
		p := w.plan()
		if got := strings.Contains(strings.Join(p.Warnings, " "), "quota"); got != full {
			t.Errorf("120 policies of %d characters: warnings %q", size, p.Warnings)
		}
		_, err := action(t).Apply(t.Context(), w.responder(), step(t, p, "deny"), w.run())
		if (err != nil) != full {
			t.Errorf("120 policies of %d characters: %v", size, err)
		}
	}
}

// ours is the size of our document, which has no white space.
const ours = len(`{"Version":"2012-10-17","Statement":[{"Sid":"KillswitchRevokeOlderSessions","Effect":"Deny","Action":["*"],"Resource":["*"],"Condition":{"DateLessThan":{"aws:TokenIssueTime":"2006-01-02T15:04:05Z"}}}]}`)

// fill is n policies of size characters each, and as much white space again, which doesn't count.
func fill(n, size int) map[string]string {
	const head, tail = `{"Statement":[{"Effect":"Allow","Action":"s3:`, `","Resource":"*"}]}`
	inline := map[string]string{}
	for i := range n {
		inline[fmt.Sprintf("p%03d", i)] = head + strings.Repeat("x", size-len(head)-len(tail)) + tail + strings.Repeat(" ", size)
	}
	return inline
}

func TestPlanKnowsWhatIsThere(t *testing.T) {
	warned := func(p actions.Plan) bool { return strings.Contains(strings.Join(p.Warnings, " "), revoke) }
	t.Run("the console's document", func(t *testing.T) {
		p := newWorld(t, withInline(revoke, consoles)).plan()
		says(t, step(t, p, "deny").Current, revoke, "2026-10-01 08:09:10 UTC")
		if warned(p) || !slices.ContainsFunc(p.Facts, func(f actions.Fact) bool { return strings.Contains(f.Text, "2026-10-01 08:09:10 UTC") }) {
			t.Errorf("warnings %q, facts %v", p.Warnings, p.Facts)
		}
	})
	t.Run("our own", func(t *testing.T) {
		w := newWorld(t)
		w.apply(step(t, w.plan(), "deny"), w.run())
		p := w.plan()
		says(t, step(t, p, "deny").Current, revoke, "2026-11-03 10:00:30 UTC")
		if warned(p) {
			t.Errorf("warnings %q", p.Warnings)
		}
	})
	t.Run("a policy of that name that does something else", func(t *testing.T) {
		p := newWorld(t, withInline(revoke, handwritten)).plan()
		if !warned(p) || !strings.Contains(step(t, p, "deny").Current, "another") {
			t.Errorf("current %q, warnings %q", step(t, p, "deny").Current, p.Warnings)
		}
	})
	t.Run("a tag", func(t *testing.T) {
		s := step(t, newWorld(t, withTag(tag, "KS-EARLIER")).plan(), "tag")
		says(t, s.Current, "KS-EARLIER")
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
			w := newWorld(t, func(r *awsfake.Role) { r.Inline = fill(1, 10240-tt.room) })
			p := w.plan()
			warning := strings.Join(p.Warnings, " ")
			if got := strings.Contains(warning, "detach_policies"); got != tt.full {
				t.Errorf("warnings %q", p.Warnings)
			}
			w.apply(step(t, p, "tag"), w.run())
			_, err := action(t).Apply(t.Context(), w.responder(), step(t, p, "deny"), w.run())
			if !tt.full {
				must(t, err)
				return
			}
			wantCode(t, err, "LimitExceeded")
			cause, hint := actions.Explain(err)
			says(t, cause, "LimitExceeded")
			says(t, hint, "quota", "detach_policies")
			if got := w.victim().Tags[tag]; got != request {
				t.Errorf("the tag is %q", got)
			}
		})
	}
	t.Run("ours is there and is replaced", func(t *testing.T) {
		w := newWorld(t, func(r *awsfake.Role) { r.Inline = fill(1, 10240-ours) })
		s := step(t, w.plan(), "deny")
		w.apply(s, w.run())
		w.clock.add(time.Minute)
		if p := w.plan(); len(p.Warnings) > 0 {
			t.Errorf("warnings %q", p.Warnings)
		}
		w.apply(s, w.run())
	})
}

func TestFiftyTags(t *testing.T) {
	w := newWorld(t, func(r *awsfake.Role) {
		for i := range 50 {
			withTag(fmt.Sprintf("team-%d", i), "x")(r)
		}
	})
	p := w.plan()
	_, err := action(t).Apply(t.Context(), w.responder(), step(t, p, "tag"), w.run())
	wantCode(t, err, "LimitExceeded")
	cause, hint := actions.Explain(err)
	says(t, cause, "LimitExceeded", "50")
	if hint == "" {
		t.Error("no hint")
	}
	deny := step(t, p, "deny")
	e := w.apply(deny, w.run())
	if r, err := action(t).Verify(t.Context(), w.responder(), deny, e); err != nil || !r.Holds {
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
			w := newWorld(t)
			call, _, err := actions.Parse("revoke_sessions "+tt.typed+" leaked", w.org.Directory())
			must(t, err)
			if call.Target != tt.target {
				t.Fatalf("target %s, want %s", call.Target, tt.target)
			}
			// What is permitted while the path is not known.
			acct, err := w.cloud.Enter(t.Context(), actions.Responder, member, "", actor, actions.Permits(action(t), actions.PhasePlan, actions.Anything(w.org)))
			must(t, err)
			p, err := action(t).Plan(t.Context(), acct, call)
			if tt.refused {
				var no *actions.Refusal
				if !errors.As(err, &no) {
					t.Fatalf("Plan: %v, want a refusal", err)
				}
				says(t, no.Reason, call.TargetName(), member)
				if tt.name == "with another path" {
					says(t, no.Reason, tt.target, w.role)
				}
				return
			}
			must(t, err)
			if p.Identity.ARN != w.role {
				t.Errorf("found %s, want %s", p.Identity.ARN, w.role)
			}
			for _, s := range p.Steps {
				if s.Resource != w.role {
					t.Errorf("step %s changes %s", s.ID, s.Resource)
				}
			}
		})
	}
}
