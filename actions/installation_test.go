package actions_test

import (
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
)

// TestNamesOfInstallations: a name tells whose it is, whatever stands in it, and no two installations share one.
func TestNamesOfInstallations(t *testing.T) {
	seen := map[string]bool{}
	for _, name := range []string{"killswitch-deny-222222222222", "AWSRevokeOlderSessions", "KS-0123456789AB", "i-0123456789abcdef0"} {
		for _, by := range []actions.Installation{"", "a", "pilot", "012345678901"} {
			full := by.Name(name)
			if base, of := actions.InstallationOf(full); base != name || of != by || seen[full] {
				t.Errorf("%q is %q of %q", full, base, of)
			}
			seen[full] = true
			if of, ok := actions.InstallationOfSid(by.Sid(name), name); !ok || of != by {
				t.Errorf("%q is of %q", by.Sid(name), of)
			}
		}
	}
	for _, name := range []string{"a@B", "a@", "@a", "a@b-c", "a@" + strings.Repeat("9", 13), "bob@example.com"} {
		if base, of := actions.InstallationOf(name); base != name || of != "" {
			t.Errorf("%q is taken for one of %q", name, of)
		}
	}
	if _, ok := actions.InstallationOfSid("KillswitchDenyAll-x", "KillswitchDenyAll"); ok {
		t.Error("a Sid of nobody is taken for one of ours")
	}
}
