package finding

import "testing"

func TestCovers(t *testing.T) {
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
		{"never quiet", Match{Source: CloudTrail}, Match{Source: CloudTrail, Type: "CreateUser"}, true},
	} {
		if got := c.m.Covers(c.n); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
