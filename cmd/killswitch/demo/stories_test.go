package demo

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

// endings are what each story must have come to, by what the cards and AWS say.
var endings = map[string]func(*testing.T, state){
	"stolen-role": func(t *testing.T, s state) {
		alert := s.cards("high: UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS")
		if len(alert) != 1 || len(s.replies(alert, "undone: revoke_sessions")) != 1 || len(s.replies(alert, "restored: undo revoke_sessions")) != 1 {
			t.Errorf("the alert's thread: %v", s.replies(alert, ""))
		}
		if r := s.role(company.WebRole); r.Changed || len(r.Sessions) != 2 || r.Sessions[0].Works || r.Sessions[0].Ours || !r.Sessions[1].Ours {
			t.Errorf("the role is %+v", r)
		}
		wantLog(t, s, "GetObject", "ok", "explicit deny in an identity-based policy", "ok", "ExpiredToken")
	},
	"exposed-key": func(t *testing.T, s state) {
		alert := s.cards("high: Exposed Access Keys")
		summed := slices.DeleteFunc(s.replies(alert, "AL-"), func(m message) bool { return !strings.Contains(m.Text, ": Activity of") })
		if len(alert) != 1 || len(s.replies(alert, "undone: deactivate_key "+company.DeployBotKey)) != 1 || len(summed) != 1 {
			t.Errorf("the alert's thread: %v", s.replies(alert, ""))
		}
		u := s.user(company.DeployBot)
		if u.Keys[0] != (key{company.DeployBotKey, "Inactive", true}) || u.Sessions[0].Works || len(u.Tags) > 0 || slices.Contains(u.Attached, "KillSwitchQuarantine") {
			t.Errorf("the user is %+v", u)
		}
		wantLog(t, s, "AttachUserPolicy", "ok")
		wantLog(t, s, "DetachUserPolicy", "ok")
	},
	"persistence": func(t *testing.T, s state) {
		alert := s.cards("high: Exposed Access Keys")
		lists := s.replies(alert, "AL-")
		if len(alert) != 1 || !slices.ContainsFunc(lists, func(m message) bool {
			return strings.Contains(m.Text, "1 thing, 1 contained or gone. It changed or used 1 more.")
		}) {
			t.Errorf("the alert's thread: %v", lists)
		}
		u := s.user("arn:aws:iam::" + company.Prod + ":user/" + madeUser)
		if !slices.Contains(u.Attached, "KillSwitchQuarantine") || u.Keys[0].Status != "Inactive" {
			t.Errorf("the user is %+v", u)
		}
		wantLog(t, s, "GetObject", "ok", "ok", "explicit deny in an identity-based policy", "explicit deny in an identity-based policy")
	},
	"instance": func(t *testing.T, s state) {
		alert := s.cards("high: CryptoCurrency:EC2/BitcoinTool.B!DNS")
		if len(alert) != 1 || len(s.replies(alert, "undone: isolate_instance")) != 1 {
			t.Errorf("the alert's thread: %v", s.replies(alert, ""))
		}
		if i := s.instance(company.Crawler); i.Changed || !i.Reachable || i.Profile != "crawler-profile" || i.ASG != "crawlers, InService" {
			t.Errorf("the instance is %+v", i)
		}
		wantLog(t, s, "ModifyNetworkInterfaceAttribute", "ok", "ok")
	},
	"storm": func(t *testing.T, s state) {
		card := s.cards("contained: revoke_sessions")
		if len(card) != 1 || s.role(company.WebRole).Sessions[0].Works {
			t.Fatalf("the role is %+v", s.role(company.WebRole))
		}
		if i := slices.IndexFunc(s.Messages, func(m message) bool { return m.TS == card[0].TS }); len(s.Messages)-i < 20 {
			t.Errorf("the containment's card is message %d of %d: it has waited for the storm", i+1, len(s.Messages))
		}
		if n := len(s.cards("medium: ")); n != 31 { // 30 beside the one that matters, and one of the digest's list
			t.Errorf("%d cards", n)
		}
	},
	"freeze": func(t *testing.T, s state) {
		if len(s.cards("undone: apply_scp "+company.Sandbox)) != 1 || len(s.cards("restored: ")) != 1 {
			t.Error("the cards don't say that the freeze was undone")
		}
		if a := s.account(company.Sandbox); len(a.FrozenBy) > 0 || len(s.AWS.Organization.SCPs) != 1 {
			t.Errorf("the account is still frozen by %v", a.FrozenBy)
		}
		wantLog(t, s, "RunInstances", "ok", "explicit deny in a service control policy", "ExpiredToken")
		wantLog(t, s, "TerminateInstances", "ok")
	},
	"race": func(t *testing.T, s state) {
		if len(s.cards("contained: ")) != 1 || len(s.cards("contained, but not in full: ")) != 1 { // a policy is back, under our deny
			t.Error("there are not two cards that say contained")
		}
		const denied = "explicit deny in a service control policy"
		wantLog(t, s, "DetachPolicy", "AccessDenied")
		wantLog(t, s, "DeleteRolePolicy", "ok", "ok", "AccessDenied", denied, denied)
		if a := s.account(company.Prod); len(a.FrozenBy) > 0 {
			t.Errorf("the account is said to be frozen by %v", a.FrozenBy)
		}
		if loud := slices.ContainsFunc(s.Messages, func(m message) bool { return strings.Contains(m.Text, "somebody works against this containment") }); !loud {
			t.Error("the attacker's work was not told")
		}
		r := s.role(company.AppRole)
		if !slices.Equal(r.Attached, []string{"AdministratorAccess"}) || len(r.Inline) != 1 || !r.Inline[0].Ours || !r.Changed || r.Sessions[0].Works || s.role(company.Deployer).Sessions[0].Works {
			t.Errorf("app-role is %+v", r)
		}
		if s.role("arn:aws:iam::222222222222:role/reporting").Changed {
			t.Error("what nobody touched is marked as changed")
		}
	},
	"slack-down": func(t *testing.T, s state) {
		if len(s.cards("contained: ")) != 1 || s.Slack != company.SlackOK {
			t.Error("the card did not catch up")
		}
		if r := s.role(company.AppRole); r.Sessions[0].Works || len(r.Inline) != 1 {
			t.Errorf("app-role is %+v", r)
		}
	},
}

// wantLog wants the results of a call, in this order.
func wantLog(t *testing.T, s state, call string, results ...string) {
	t.Helper()
	var got []string
	for _, d := range s.Log {
		if strings.HasSuffix(d.Call, ":"+call) {
			got = append(got, d.Result)
		}
	}
	ok := slices.EqualFunc(got, results, func(got, want string) bool { return got == want || want != "ok" && strings.Contains(got, want) })
	if !ok {
		t.Errorf("%s: %q, want %q", call, got, results)
	}
}

// TestEachStoryHasAnEnding: there is one for each story, and the page offers them.
func TestEachStoryHasAnEnding(t *testing.T) {
	var ids []string
	for _, x := range open(t, nil).state().Stories {
		ids = append(ids, x.ID)
	}
	slices.Sort(ids)
	if d := cmp.Diff(slices.Sorted(maps.Keys(endings)), ids); d != "" {
		t.Error(d)
	}
}

// TestGuidePlaysEachStory: the guide alone plays each story to its end.
func TestGuidePlaysEachStory(t *testing.T) {
	for i := 0; i < len(stories); i += thin.Every(t, 1, "the stories") {
		x := stories[i]
		t.Run(x.ID, func(t *testing.T) {
			b := open(t, nil)
			b.do("story", chosen{x.ID})
			for at := 0; ; at++ {
				s := b.state()
				if s.Story.Ended {
					break
				}
				if at > len(s.Story.Steps) || s.Story.Steps[at].State == "done" && at+1 < len(s.Story.Steps) && s.Story.Steps[at+1].State == "todo" {
					t.Fatalf("the story does not go on: %+v\n%s", s.Story, b.said())
				}
				b.do("next", onward{As: "guide"})
			}
			atEnd(t, b, x)
		})
	}
}

// TestHints: what the hints say is all that people need to do, and each step is
// done by it and by nothing before.
func TestHints(t *testing.T) {
	for i := 0; i < len(stories); i += thin.Every(t, 2, "the stories") {
		x := stories[i]
		t.Run(x.ID, func(t *testing.T) {
			b := open(t, nil)
			b.do("story", chosen{x.ID})
			for {
				s := b.state()
				at := slices.IndexFunc(s.Story.Steps, func(x stepState) bool { return x.State == "current" })
				if at < 0 {
					break
				}
				step := s.Story.Steps[at]
				label, click := strings.CutPrefix(step.Hint, "click ")
				switch {
				case click:
					b.clicks(step.Who, label)
				case step.Hint != "":
					b.types(step.Who, step.Hint)
				default:
					b.do("next", onward{})
				}
				after := b.state().Story
				if after.Steps[at].State != "done" || at+1 < len(after.Steps) && after.Steps[at+1].State != "current" {
					t.Fatalf("step %d, %q: not done, or more than it: %+v\n%s", at, step.Text, after, b.said())
				}
			}
			atEnd(t, b, x)
		})
	}
}

func atEnd(t *testing.T, b *browser, x *story) {
	t.Helper()
	s := b.state()
	if !s.Story.Ended || s.Story.Verdict != x.Verdict || s.Story.ID != x.ID {
		t.Errorf("the verdict is %q", s.Story.Verdict)
	}
	endings[x.ID](t, s)
	if status, wrong := b.ask("next", `{"as":"guide"}`); status != 200 || wrong != "The story has ended." {
		t.Errorf("after the end: %d %s", status, wrong)
	}
}

// TestStoryWaitsForThePerson: a story does not go on with what a person has to do, goes on
// whoever does it, and says so when it did not go as it has it.
func TestStoryWaitsForThePerson(t *testing.T) {
	b := open(t, nil)
	b.do("story", chosen{"freeze"})
	if _, wrong := b.ask("next", "{}"); !strings.Contains(wrong, "It is Alice's turn: /killswitch apply_scp sandbox") {
		t.Errorf("next says %q", wrong)
	}
	b.types(company.Carol, "apply_scp 333333333333 please, and quickly") // not Alice, and other words
	if at := b.state().Story.Steps[2].State; at != "current" {
		t.Fatalf("step 2 is %s: %s", at, b.said())
	}
	b.clicks(company.Alice, "Deny")
	b.types(company.Carol, "apply_scp sandbox again")
	b.do("time", timed{Advance: "5s"})                            // Slack takes a message a second
	if _, wrong := b.ask("next", `{"as":"guide"}`); wrong != "" { // there is a second request
		t.Errorf("the guide says %q", wrong)
	}
	b.do("next", onward{})
	b.do("next", onward{})
	b.clicks(company.Carol, "Undo") // too early: the session has not expired
	b.clicks(company.Bob, "Approve")
	for range 2 {
		_, _ = b.ask("next", `{"as":"guide"}`)
	}
	if s := b.state().Story; !s.Ended || s.Verdict != freeze.Verdict { // an hour has passed all the same
		t.Errorf("the verdict is %q", s.Verdict)
	}
}

// TestVerdictComesFromTheState: a verdict is of what there is, not of what should be.
func TestVerdictComesFromTheState(t *testing.T) {
	b := open(t, nil)
	b.do("story", chosen{"freeze"})
	for range 6 {
		b.do("next", onward{As: "guide"})
	}
	b.types(company.Bob, `deactivate_key AKIATRAINEEA2EXAMPLE account=sandbox reason="to be sure"`)
	b.clicks(company.Carol, "Approve")
	b.do("next", onward{As: "guide"})
	if s := b.state().Story; !s.Ended || !strings.HasPrefix(s.Verdict, "Not as the story has it: AWS is not as it was before") {
		t.Errorf("the verdict is %q", s.Verdict)
	}
}

// TestDemoStartsWithinTwoSeconds: the demo is there within two seconds, a story within another.
func TestDemoStartsWithinTwoSeconds(t *testing.T) {
	began := time.Now()
	b := open(t, nil)
	b.state()
	b.do("story", chosen{"race"})
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
}
