package finding

import (
	"fmt"
	"testing"
)

// TestNumbers: the ends of a severity's range belong to it; an empty text is no
// number and no mistake; and what only a program takes for a number is one.
func TestNumbers(t *testing.T) {
	for text, ok := range map[string]bool{
		"0": true, "10": true, `"10"`: true, `" 7.5 "`: true, `""`: true, "null": true,
		"-0.1": false, "10.1": false, `"Inf"`: false, `"-Inf"`: false, `"NaN"`: false, "1e999": false, "true": false, `"x"`: false, "[]": false,
	} {
		n, err := parse([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if f := n.severity(); (n.problems() == "") != ok || !ok && f != 0 {
			t.Errorf("severity %s: %v, %q", text, f, n.problems())
		}
		m, _ := parse([]byte(text))
		if c := m.count(); c < 0 || c > maxCount {
			t.Errorf("count %s: %d", text, c)
		}
	}
	for _, text := range []string{`"Inf"`, `"-Inf"`, `"NaN"`} {
		if n, _ := parse([]byte(text)); n.count() != 0 || n.problems() == "" {
			t.Errorf("count %s is a number", text)
		}
	}
}

// TestWhoAnActorIs where the kind does not tell: the prefix of its ID does.
func TestWhoAnActorIs(t *testing.T) {
	for name, tt := range map[string]struct {
		w    actor
		want string // user, role, nobody
	}{
		"a user's ID":            {actor{id: "AIDAEXAMPLE"}, "true false false"},
		"a role's ID":            {actor{id: "AROAEXAMPLE:s"}, "false true false"},
		"a user with a role's":   {actor{kind: "IAMUser", id: "AROAEXAMPLE:s"}, "false false false"},
		"a role with a user's":   {actor{kind: "AssumedRole", id: "AIDAEXAMPLE"}, "false false false"},
		"a long-term key":        {actor{key: "AKIAIOSFODNN7EXAMPLE"}, "true false false"},
		"an ARN alone":           {actor{arn: "arn:aws:iam::222222222222:user/x"}, "false false false"},
		"an ID alone":            {actor{id: "X"}, "false false false"},
		"nothing":                {actor{}, "false false true"},
		"a kind and nobody's ID": {actor{kind: "IAMUser"}, "true false true"},
	} {
		if got := fmt.Sprint(tt.w.isUser(), tt.w.isRole(), tt.w.nobody()); got != tt.want {
			t.Errorf("%s: user, role, nobody: %s, want %s", name, got, tt.want)
		}
	}
	if s := (actor{kind: "IAMUser", name: "not a name"}).subject(); s.Value != "" {
		t.Errorf("looked up under %q", s.Value)
	}
}
