package cards

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/approvals"
)

const traced = "KS-4G7QX2M9ZT0B"

// baseTrace is the list of an attack in all states.
func baseTrace() *TraceView {
	at := func(s int) time.Time { return time.Date(2026, 11, 21, 3, 12, s, 0, time.UTC) }
	call := func(action actions.Name, target string) actions.Call {
		return actions.Call{Action: action, Target: target, Account: "222222222222"}
	}
	const user, role = "arn:aws:iam::222222222222:user/", "arn:aws:iam::222222222222:role/"
	return &TraceView{ID: traced, Actions: all.Actions, Aliases: func(string) string { return "prod" }, Now: at(0).Add(20 * time.Minute),
		Trace: approvals.Trace{Whose: "access key AKIAIOSFODNN7EXAMPLE", From: at(0).Add(-24 * time.Hour), At: at(0).Add(15 * time.Minute), Looks: 1, Edition: 1,
			Gaps: []string{"Region eu-west-1 of account 222222222222 could not be read: AccessDeniedException."},
			Traced: []approvals.Traced{
				{Kind: "user", Name: "backdoor", Account: "222222222222", Made: true, By: "access key AKIAIOSFODNN7EXAMPLE", Contain: []actions.Call{call(actions.QuarantineUser, user+"backdoor")}, Deeds: []approvals.Deed{
					{At: at(5), Call: "iam:CreateUser", Text: "created user backdoor", Thing: source.Thing{Kind: source.User, Name: "backdoor"}, Presence: source.There},
					{At: at(9), Call: "iam:CreateAccessKey", Text: "created an access key for user backdoor", Thing: source.Thing{Kind: source.Key}, Presence: source.Off},
				}},
				{Kind: "role", Name: "support", Account: "222222222222", Made: true, By: "user backdoor", Contain: []actions.Call{call(actions.DetachPolicies, role+"support"), call(actions.RevokeSessions, role+"support")}, Deeds: []approvals.Deed{
					{At: at(20), Call: "iam:CreateRole", Text: "created role support", Thing: source.Thing{Kind: source.Role}, Presence: source.There},
				}},
				{Kind: "user", Name: "gone", Account: "222222222222", Made: true, By: "user backdoor", Contain: []actions.Call{call(actions.QuarantineUser, user+"gone")}, Deeds: []approvals.Deed{
					{At: at(30), Call: "iam:CreateUser", Text: "created user gone", Thing: source.Thing{Kind: source.User}, Presence: source.Gone},
				}},
				{Kind: "trust anchor", Name: "ca", Region: "us-east-1", Account: "222222222222", Made: true, By: "user backdoor", ByHand: []string{"Disable it: aws rolesanywhere disable-trust-anchor"}, Deeds: []approvals.Deed{
					{At: at(35), Call: "rolesanywhere:CreateTrustAnchor", Text: "created trust anchor ca", Thing: source.Thing{Kind: source.TrustAnchor}, Unread: "AccessDenied"},
				}},
				{Kind: "role", Name: "deployer", Account: "222222222222", By: "user backdoor", More: 3, Contain: []actions.Call{call(actions.RevokeSessions, role+"deployer")}, Deeds: []approvals.Deed{
					{At: at(40), Call: "sts:AssumeRole", Text: "assumed role deployer", Thing: source.Thing{Kind: source.Session, Until: at(40).Add(time.Hour)}},
					{At: at(50), Call: "sts:AssumeRole", Text: "assumed role deployer", Thing: source.Thing{Kind: source.Session, Until: at(50)}},
				}},
			}},
		Acting: map[string][]approvals.Request{},
	}
}

func (v *TraceView) acts(state approvals.State, c actions.Call) {
	v.Acting[c.Target] = append(v.Acting[c.Target], approvals.Request{ID: "KS-ZZZZZZZZZZZ1", State: state, Intent: approvals.Intent{Call: c}, Need: 1})
}

func TestTraceCards(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*TraceView)
		text   string // how the fallback ends
		ids    string
	}{
		"trace": {func(*TraceView) {}, "4 things, 1 contained or gone. It changed or used 1 more.",
			"propose:quarantine_user propose:detach_policies propose:revoke_sessions:1 propose:revoke_sessions:2 trace"},
		"trace_contained": {func(v *TraceView) {
			for i, s := range []approvals.State{approvals.Contained, approvals.Pending} {
				v.acts(s, v.Trace.Traced[i].Contain[0])
			}
			v.acts(approvals.Partial, v.Trace.Traced[4].Contain[0])
		}, "4 things, 2 contained or gone. It changed or used 1 more.", "propose:revoke_sessions trace"},
		"trace_nothing": {func(v *TraceView) { v.Trace.Traced, v.Trace.Gaps = nil, nil }, "CloudTrail knows of nothing that access key AKIAIOSFODNN7EXAMPLE made or changed.", "trace"},
		"trace_unread": {func(v *TraceView) {
			v.Trace = approvals.Trace{Unread: "the role killswitch-responder can't be assumed", Edition: 1}
		}, "could not be looked up.", "trace"},
	} {
		v := baseTrace()
		c.change(v)
		rs := TraceReplies(*v, nil)
		if len(rs) != 1 || rs[0].Key != "trace-1-1" || !rs[0].Live {
			t.Fatalf("%s: %d replies", name, len(rs))
		}
		m := rs[0].Message
		compareGolden(t, "traces", name, m)
		checkMessage(t, m)
		if !strings.HasSuffix(m.Text, c.text+" ("+traced+", list 1.1)") || strings.Join(idsOf(m), " ") != c.ids {
			t.Errorf("%s: %q, buttons %s", name, m.Text, idsOf(m))
		}
	}
}

// TestTraceOfMany: nothing is lost in a list that is too long for one message; each button is beside its call,
// word for word, once.
func TestTraceOfMany(t *testing.T) {
	v := baseTrace()
	v.Trace.Traced = nil
	for i := range 60 {
		name := fmt.Sprintf("made-by-an-attacker-%02d", i)
		v.Trace.Traced = append(v.Trace.Traced, approvals.Traced{Kind: "user", Name: name, Account: "222222222222", Made: i < 40, By: "user x", Deeds: []approvals.Deed{{Text: "created user " + name, Presence: source.There}},
			Contain: []actions.Call{{Action: actions.QuarantineUser, Target: "arn:aws:iam::222222222222:user/" + name, Account: "222222222222"}}})
	}
	offers := map[string]bool{}
	for i, r := range TraceReplies(*v, nil) {
		checkMessage(t, r.Message)
		if r.Key != fmt.Sprintf("trace-1-%d", i+1) {
			t.Errorf("part %d has the key %s", i+1, r.Key)
		}
		for _, b := range r.Blocks {
			s, ok := b.(*slack.SectionBlock)
			if !ok || s.Accessory == nil {
				continue
			}
			intent, err := approvals.ParseIntent(s.Text.Text, actions.Org{Actions: all.Actions, Partition: "aws"}.Directory())
			if err != nil || s.Accessory.ButtonElement.Value != approvals.Value(traced, approvals.IntentDigest(intent)) || offers[s.Text.Text] {
				t.Errorf("%s: %v, %s", s.Text.Text, err, s.Accessory.ButtonElement.Value)
			}
			offers[s.Text.Text] = true
		}
	}
	if len(offers) != 60 {
		t.Errorf("%d buttons", len(offers))
	}
}

// TestNewerTrace: the list of before says that there is another one below.
func TestNewerTrace(t *testing.T) {
	v := baseTrace()
	v.Trace.Edition = 2
	rs := TraceReplies(*v, map[string]string{"trace-1-1": "1.0", "trace-1-2": "2.0"})
	keys := []string{}
	for _, r := range rs {
		keys = append(keys, r.Key)
		checkMessage(t, r.Message)
	}
	if !slices.Equal(keys, []string{"trace-1-1", "trace-1-2", "trace-2-1"}) || !strings.Contains(rs[0].Text, "see the newer list below") {
		t.Errorf("%v, %q", keys, rs[0].Text)
	}
}

// TestHostileTrace: what an attacker names so does nothing else than to be shown.
func TestHostileTrace(t *testing.T) {
	v := baseTrace()
	v.Trace.Whose, v.Trace.Gaps, v.Trace.Unread = evil, []string{evil}, ""
	for i := range v.Trace.Traced {
		x := &v.Trace.Traced[i]
		x.Kind, x.Name, x.By, x.Region, x.ByHand = "user "+evil, evil, evil, evil, []string{evil}
		for j := range x.Deeds {
			x.Deeds[j].Text, x.Deeds[j].Unread = evil, evil
		}
		for j := range x.Contain {
			x.Contain[j].Target = evil
		}
	}
	for _, r := range TraceReplies(*v, nil) {
		checkMessage(t, r.Message)
		if ids := idsOf(r.Message); len(ids) > 0 && !slices.Equal(ids, []string{"trace"}) {
			t.Errorf("buttons of calls that can't be shown: %v", ids)
		}
	}
}
