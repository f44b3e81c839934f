//go:build e2e

package e2e

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestLocalOnDynamoDB: many clicks at once, a death at points of the path, and all
// forged evidence, with the tables in a DynamoDB that we did not write.
func TestLocalOnDynamoDB(t *testing.T) {
	t.Parallel()
	d := StartDynamoDB(t)
	for _, c := range []struct {
		binary, pattern string
		least           int
	}{
		{"local.test", "^(TestManyClicksAtOnce|TestProgramSurvivesAnyDeath)$/^dynamodb", 5},
		{"local.test", "^(TestOneEvidenceIsOneRequestAndOneVote|TestRunNeverStartsAgain|TestRefusedClickRunsNothingAndSaysWhy|TestDenialCancellationAndExpiryAreInTheChain)$", 20},
		{"local.test", "^TestNoSizeOfATargetBlocks$/./^dynamodb$", 3},
		{"local.test", "^TestNoSizeOfAnEventLosesIt$/^dynamodb$", 10},
		{"executor.test", "^TestWhatStopsAPlanIsTold$/./^dynamodb$", 9},
		{"executor.test", "^(TestRequestSurvivesAnyDeath|TestRequestWithoutApproverSurvivesAnyDeath|TestOneClickContainsOnce|TestAutomaticContainment|TestCapOnAutomaticContainments)$/dynamodb", 5},
		{"executor.test", "^(TestForged.*|TestApprovalsAreCountedAnew|TestRowEditedAfterThePlanDoesNotRun|TestDeniedRequestIsNotRevived|TestSharedDenyStaysUntilTheLastUndo|TestUndoPutsBackByteForByte|TestRetryTakesOnlyWhatIsLeft|TestRecheckAppliesAgainWhatSomebodyRemoved|TestOneRunPerTarget)$", 100},
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(Setting(t, "BOOTSTRAPS"), c.binary), "-test.run", c.pattern, "-test.v")
		cmd.Dir = filepath.Join("..", "cmd", "local") // from there it finds the samples
		cmd.Env = []string{"KILLSWITCH_TEST_DYNAMODB=" + d.URL, "TMPDIR=" + t.TempDir(), "HOME=" + t.TempDir()}
		out, err := cmd.CombinedOutput()
		if n := strings.Count(string(out), "--- PASS: "); err != nil || n < c.least {
			t.Errorf("%v, %d tests passed of %s %s:\n%s", err, n, c.binary, c.pattern, out)
		}
	}
}
