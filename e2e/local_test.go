//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLocalOnDynamoDB: two hundred clicks at once, a death at any point of the
// path, and all forged evidence, with the tables in a DynamoDB that we did not
// write.
func TestLocalOnDynamoDB(t *testing.T) {
	d := StartDynamoDB(t)
	for pattern, least := range map[string]int{
		"^(TestManyClicksAtOnce|TestKilledAnywhere)$/^dynamodb": 60,
		"^(TestForgedEvidence|TestReplay|TestEditedAfterRun|TestRefusedClicks|TestEnds|TestOverlap|TestUndoIsByteForByte|TestRetry|TestTampering|TestOneRunPerTarget)$": 40,
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(Setting(t, "BOOTSTRAPS"), "local.test"), "-test.run", pattern, "-test.v")
		cmd.Env = []string{"KILLSWITCH_TEST_DYNAMODB=" + d.URL, "TMPDIR=" + t.TempDir(), "HOME=" + t.TempDir()}
		out, err := cmd.CombinedOutput()
		if n := strings.Count(string(out), "--- PASS: "); err != nil || n < least {
			t.Errorf("%v, %d tests passed of %s:\n%s", err, n, pattern, out)
		}
	}
}
