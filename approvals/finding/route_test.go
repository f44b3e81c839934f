package finding

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
)

func TestGlob(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"a", "a", true}, {"a", "ab", false}, {"a*", "abc", true}, {"a*", "ba", false}, {"*a", "ba", true}, {"*a", "ab", false},
		{"*", "", true}, {"*", "x/y:z", true}, {"**", "x", true}, {"a*a", "a", false}, {"a*a", "aa", true}, {"ab*ba", "aba", false},
		{"a*b*c", "a1b2c", true}, {"a*b*c", "acb", false}, {"*b*", "abc", true}, {"*bb*b", "abb", false}, {"*bb*b", "abbb", true},
		{"UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration*", "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS", true},
		{"UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration*", "unauthorizedaccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS", false},
		{"*:EC2/*!DNS", "Backdoor:EC2/C&CActivity.B!DNS", true}, {"a*b*", "axx", false}, {"*b*", "axc", false}, {"?", "a", false}, {"[a]", "a", false},
	} {
		if got := glob(tt.pattern, tt.s); got != tt.want {
			t.Errorf("glob(%q, %q) = %v", tt.pattern, tt.s, got)
		}
	}
}

func TestFirstMatchingRoute(t *testing.T) {
	routing := Routing{Routes: []Route{
		{Match: Match{Source: GuardDuty, Type: "UnauthorizedAccess:*", MinSeverity: 7}, Channel: "first"},
		{Match: Match{Source: GuardDuty, MinSeverity: 4}, Channel: "second"},
		{Match: Match{Source: CloudTrail, Type: ListedType, MinSeverity: 5}, Channel: "list"},
		{Match: Match{Source: CloudTrail}, Channel: "third"},
		{Match: Match{Source: CloudTrail, Type: "Denied:*"}, Channel: "fourth"},
		{Match: Match{Source: Health}, Channel: "fifth"},
	}}
	for name, tt := range map[string]struct {
		alert Finding
		mocks bool
		want  string
	}{
		"type and severity":      {alert: Finding{Source: GuardDuty, Type: "UnauthorizedAccess:X/Y", Severity: 7}, want: "first"},
		"severity too low":       {alert: Finding{Source: GuardDuty, Type: "UnauthorizedAccess:X/Y", Severity: 6.9}, want: "second"},
		"no match":               {alert: Finding{Source: GuardDuty, Severity: 3.9}},
		"another source":         {alert: Finding{Source: SecurityHub, Severity: 9}},
		"plain":                  {alert: Finding{Source: CloudTrail, Type: "CreateUser"}, want: "third"},
		"listed":                 {alert: Finding{Source: CloudTrail, Type: "AssumedRole:StopLogging", Change: true, Severity: 8}, want: "list"},
		"listed, below":          {alert: Finding{Source: CloudTrail, Type: "AssumedRole:StopLogging", Change: true, Severity: 4}, want: "third"},
		"a type called so":       {alert: Finding{Source: CloudTrail, Type: ListedType, Severity: 8}, want: "third"},
		"quiet wants a type":     {alert: Finding{Source: CloudTrail, Type: "Denied:CreateUser", Quiet: true}, want: "fourth"},
		"quiet of another type":  {alert: Finding{Source: CloudTrail, Type: "AssumedRole:CreateUser", Quiet: true}},
		"mock":                   {alert: Finding{Source: Health, Mark: Mock}},
		"mock sources are shown": {alert: Finding{Source: Health, Mark: Mock}, mocks: true, want: "fifth"},
		"drill":                  {alert: Finding{Source: Health, Mark: Drill}, want: "fifth"},
	} {
		t.Run(name, func(t *testing.T) {
			routing.MockSources = tt.mocks
			got := routing.RouteOf(tt.alert)
			if (got != nil) != (tt.want != "") || got != nil && got.Channel != tt.want {
				t.Errorf("route %+v; want %q", got, tt.want)
			}
		})
	}
}

func TestRouteOffers(t *testing.T) {
	call := func(a actions.Name, target string) Containment {
		return Containment{Call: actions.Call{Action: a, Target: target}}
	}
	extra := call(actions.DetachPolicies, "r")
	extra.Extra = true
	a := Finding{Containments: []Containment{call(actions.QuarantineUser, "u1"), call(actions.QuarantineUser, "u2"), call(actions.DeactivateKey, "k"), extra}}
	for name, tt := range map[string]struct {
		route Route
		mark  Mark
		over  bool
		want  []string
	}{
		"all that fits":     {want: []string{"quarantine_user u1", "quarantine_user u2", "deactivate_key k"}},
		"notify":            {route: Route{Delivery: Notify}},
		"notify suggests":   {route: Route{Delivery: Notify, Suggest: []Suggestion{{Action: actions.DeactivateKey}}}},
		"the route's order": {route: Route{Suggest: []Suggestion{{Action: actions.DeactivateKey}, {Action: actions.QuarantineUser, Options: map[string]string{"mode": "iam-only"}}}}, want: []string{"deactivate_key k", "quarantine_user u1 mode=iam-only", "quarantine_user u2 mode=iam-only"}},
		"extra":             {route: Route{Suggest: []Suggestion{{Action: actions.DetachPolicies}}}, want: []string{"detach_policies r"}},
		"what does not fit": {route: Route{Suggest: []Suggestion{{Action: actions.IsolateInstance}}}},
		"sample":            {mark: Sample},
		"mock":              {mark: Mock, want: []string{"quarantine_user u1", "quarantine_user u2", "deactivate_key k"}},
		"over":              {over: true},
	} {
		t.Run(name, func(t *testing.T) {
			b := a
			b.Mark, b.Over = tt.mark, tt.over
			var got []string
			for _, o := range tt.route.Offers(b) {
				got = append(got, o.Intent.String())
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Error(d)
			}
		})
	}
	if a.Containments[0].Call.Options != nil {
		t.Error("a route changed the alert")
	}
}
func TestMatchCovers(t *testing.T) {
	for _, c := range []struct {
		name string
		m, n Match
		want bool
	}{
		{"the same", Match{GuardDuty, "a*", 4}, Match{GuardDuty, "a*", 4}, true},
		{"another source", Match{Source: GuardDuty}, Match{Source: Health}, false},
		{"less severe", Match{Source: GuardDuty, MinSeverity: 4}, Match{Source: GuardDuty, MinSeverity: 5}, true},
		{"more severe", Match{Source: GuardDuty, MinSeverity: 5}, Match{Source: GuardDuty, MinSeverity: 4}, false},
		{"any type", Match{Source: GuardDuty}, Match{Source: GuardDuty, Type: "a:b/*"}, true},
		{"any type, written", Match{Source: GuardDuty, Type: "*"}, Match{Source: GuardDuty}, true},
		{"one type of all", Match{Source: GuardDuty, Type: "a*"}, Match{Source: GuardDuty}, false},
		{"wider", Match{Source: GuardDuty, Type: "a*c"}, Match{Source: GuardDuty, Type: "ab*c"}, true},
		{"narrower", Match{Source: GuardDuty, Type: "ab*c"}, Match{Source: GuardDuty, Type: "a*c"}, false},
		{"ends otherwise", Match{Source: GuardDuty, Type: "a*c"}, Match{Source: GuardDuty, Type: "a*"}, false},
		{"quiet ones pass by", Match{Source: CloudTrail}, Match{Source: CloudTrail, Type: "AssumedRole:CreateUser"}, false},
		{"quiet ones among them", Match{Source: CloudTrail}, Match{Source: CloudTrail, Type: "*CreateUser"}, false},
		{"the list", Match{Source: CloudTrail}, Match{Source: CloudTrail, Type: ListedType}, true},
		{"the list in all types", Match{Source: CloudTrail, Type: "*"}, Match{Source: CloudTrail, Type: ListedType}, true},
		{"the list, twice", Match{Source: CloudTrail, Type: ListedType}, Match{Source: CloudTrail, Type: ListedType, MinSeverity: 7}, true},
		{"some types are not the list", Match{Source: CloudTrail, Type: "c*"}, Match{Source: CloudTrail, Type: ListedType}, false},
		{"the list is not all", Match{Source: CloudTrail, Type: ListedType}, Match{Source: CloudTrail}, false},
		{"nor each call of a type", Match{Source: CloudTrail, Type: ListedType}, Match{Source: CloudTrail, Type: "CreateRole"}, false},
		{"no list of another source", Match{Source: GuardDuty, Type: "c*"}, Match{Source: GuardDuty, Type: ListedType}, true},
		{"never quiet", Match{Source: CloudTrail}, Match{Source: CloudTrail, Type: "CreateUser"}, true},
	} {
		if got := c.m.Covers(c.n); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
