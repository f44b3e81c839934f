package main

import (
	"os/exec"
	"strings"
	"testing"
)

// TestCompletion: bash itself completes commands, actions and their options.
func TestCompletion(t *testing.T) {
	for shell, first := range map[string]string{"bash": "_killswitch()", "zsh": "autoload -U +X bashcompinit"} {
		if code, out, errout := call(t, nil, "completion", shell); code != exitDone || !strings.HasPrefix(out, first) {
			t.Errorf("%s: %d %s %s", shell, code, out, errout)
		}
	}
	if code, _, errout := call(t, nil, "completion", "fish"); code != exitUsage || !strings.Contains(errout, "bash or zsh") {
		t.Errorf("%d %s", code, errout)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Fatal(err) // the Makefile runs with it
	}
	for line, want := range map[string]string{
		"killswitch appr":                                 "approve",
		"killswitch request revoke":                       "revoke_sessions",
		"killswitch request apply_scp prod scp":           "scp=",
		"killswitch request revoke-sessions prod/ALL via": "via=scp",
		"killswitch init --man":                           "--management-profile",
		"killswitch template mem":                         "members",
		"killswitch approve KS-X --ser":                   "--server",
	} {
		words := strings.Fields(line)
		script := completionScript() + "\nCOMP_WORDS=(" + line + "); COMP_CWORD=" + string(rune('0'+len(words)-1)) + "; _killswitch; echo \"${COMPREPLY[*]}\"\n"
		out, err := exec.CommandContext(t.Context(), bash, "-c", script).CombinedOutput()
		if err != nil || !strings.Contains(strings.TrimSpace(string(out)), want) {
			t.Errorf("%s: %v %s, want %s", line, err, out, want)
		}
	}
}
