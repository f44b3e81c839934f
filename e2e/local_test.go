//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLocalOnDynamoDB: two hundred clicks at once, and a death at any point of
// the path, with the tables in a DynamoDB that we did not write.
func TestLocalOnDynamoDB(t *testing.T) {
	d := StartDynamoDB(t)
	cmd := exec.CommandContext(t.Context(), filepath.Join(Setting(t, "BOOTSTRAPS"), "local.test"), "-test.run", "^(TestManyClicksAtOnce|TestKilledAnywhere)$/^dynamodb", "-test.v")
	cmd.Env = []string{"KILLSWITCH_TEST_DYNAMODB=" + d.URL, "TMPDIR=" + t.TempDir(), "HOME=" + t.TempDir()}
	out, err := cmd.CombinedOutput()
	if n := strings.Count(string(out), "--- PASS: TestKilledAnywhere/dynamodb/"); err != nil || n < 50 || !strings.Contains(string(out), "--- PASS: TestManyClicksAtOnce/dynamodb") {
		t.Errorf("%v, %d kills:\n%s", err, n, out)
	}
}
