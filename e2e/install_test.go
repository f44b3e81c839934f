//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/cmd/doctor"
)

// steps are what docs/install.md, to which README leads, tells people to run, in its order.
var steps = regexp.MustCompile("(?s)<!-- install -->\n```sh\n(.*?)```")

// TestInstall: the steps of an installation to which README leads, run as they stand in a folder that holds the
// sources, within twenty minutes make two member accounts in which their containment works, and its undo.
func TestInstall(t *testing.T) {
	const addr = "127.0.0.1:8080" // as the steps have it
	began := time.Now()
	w := Acme("http://" + addr + "/slack/events")
	w.Users = append(w.Users, User{ID: cem, Name: "cem", RealName: "Cem"})
	w.Channels[0].Members = append(w.Channels[0].Members, cem)
	s := &scene{t: t, slack: StartSlack(t, w), aws: StartAWS(t), dir: t.TempDir()}
	for _, of := range []string{"actions", "approvals", "bot", "cmd", "go.mod", "go.sum"} {
		from := filepath.Join("..", of)
		if info, err := os.Stat(from); err != nil || info.IsDir() {
			s.must(err)
			s.must(os.CopyFS(filepath.Join(s.dir, of), os.DirFS(from)))
			continue
		}
		b, err := os.ReadFile(from)
		s.must(err)
		s.must(os.WriteFile(filepath.Join(s.dir, of), b, 0o600))
	}
	env := s.company()
	accounts := strings.Fields(s.run(env, "aws organizations list-accounts --profile management --query 'Accounts[?Name!=`master`].Id' --output text"))
	if len(accounts) != 2 {
		t.Fatalf("%q", accounts)
	}

	readme, err := os.ReadFile("../README.md")
	s.must(err)
	if !strings.Contains(string(readme), "(docs/install.md)") {
		t.Fatal("README does not lead to the installation")
	}
	install, err := os.ReadFile("../docs/install.md")
	s.must(err)
	var script strings.Builder
	for _, m := range steps.FindAllStringSubmatch(string(install), -1) {
		script.WriteString(m[1])
	}
	if n := strings.Count(script.String(), "\n"); n < 30 {
		t.Fatalf("docs/install.md has %d lines to run", n)
	}
	s.must(os.WriteFile(filepath.Join(s.dir, "install"), []byte(script.String()), 0o600))
	s.must(os.WriteFile(filepath.Join(s.dir, "typed"), []byte(s.slack.App.BotToken+"\n"+s.slack.App.SigningSecret+"\n"), 0o600))
	s.bot = Start(t, "the steps", "/bin/bash", env, "-c", "cd "+s.dir+" && exec bash -euxo pipefail ./install <typed")
	s.bot.AnswersWithin(t, "http://"+addr+"/healthz", 6*time.Minute)

	s.examined(env, string(install))

	for i, account := range accounts {
		s.iam = iam.NewFromConfig(s.aws.Member(t, account))
		for _, name := range []string{"killswitch-responder", "killswitch-restorer"} {
			role, err := s.iam.GetRole(t.Context(), &iam.GetRoleInput{RoleName: &name})
			s.must(err)
			if !strings.Contains(aws.ToString(role.Role.AssumeRolePolicyDocument), "killswitch-executor") {
				t.Errorf("%s of %s trusts %s", name, account, *role.Role.AssumeRolePolicyDocument)
			}
		}
		role := s.role([]string{"killswitch-try", "killswitch-try-2"}[i])
		s.slack.Command(t, channel, ana, "/killswitch", "revoke_sessions "+[]string{"prod", "staging"}[i]+"/"+role+` reason="does it work?"`)
		s.click(ben, s.card("pending 0/1", role, false), "approve")
		card := s.card("contained", role, false)
		if !strings.Contains(card.Text, account) || !strings.Contains(s.deny(role), "aws:TokenIssueTime") {
			t.Fatalf("%s: %s, and the policy is %s", account, card.Text, s.deny(role))
		}
		s.click(ana, card, "undo")
		s.click(ben, s.card("pending 0/1", role, true), "approve")
		s.card("undone", role, false)
		if s.deny(role) != "" {
			t.Errorf("%s: undone, and the policy is %s", account, s.deny(role))
		}
	}
	if took := time.Since(began); took > 20*time.Minute {
		t.Errorf("it took %s", took)
	}
}

// examined runs doctor as the steps do, and looks at what it says of those parts of the installation that moto and
// local-slack make as AWS and Slack do.
func (s *scene) examined(env []string, install string) {
	s.t.Helper()
	line := regexp.MustCompile(`(?m)^\./killswitch doctor .*$`).FindString(install)
	env = append(env, "REGION="+region, "SLACK_BOT_TOKEN="+s.slack.App.BotToken, "SLACK_SIGNING_SECRET="+s.slack.App.SigningSecret)
	var results []doctor.Result
	s.must(json.Unmarshal([]byte(s.run(env, "cd "+s.dir+" && "+line+" --member-role e2e-test --output json || [ $? = 1 ]")), &results))
	ok, seen := map[string]bool{}, map[string]bool{}
	for _, r := range results {
		ok[r.Check], seen[r.Check] = r.OK && (ok[r.Check] || !seen[r.Check]), true
	}
	for _, check := range []string{"configuration", "hub.credentials", "management.credentials", "hub.stack", "hub.one", "organization", "members.stackset",
		"slack.token", "slack.channel", "slack.people", "slack.present", "slack.quorum", "address.slack", "address.forged", "member.rules"} {
		if !ok[check] {
			s.t.Errorf("doctor does not find %s well: %+v", check, results)
		}
	}
	for _, check := range []string{"organization.tamper", "organization.policies", "events.rules", "member.trail", "member.guardduty"} {
		if seen[check] && ok[check] {
			s.t.Errorf("doctor finds %s well, which the steps have not made: %+v", check, results)
		}
	}
}

// company makes an organization with two member accounts, and the profiles of its administrators.
func (s *scene) company() []string {
	s.t.Helper()
	profiles := filepath.Join(s.t.TempDir(), "config")
	caches := strings.Fields(s.run(os.Environ(), "go env GOCACHE GOMODCACHE"))
	env := []string{
		"HOME=" + s.t.TempDir(), "PATH=" + filepath.Dir(Setting(s.t, "MOTO_SERVER")) + ":" + os.Getenv("PATH"), "GOCACHE=" + caches[0], "GOMODCACHE=" + caches[1], "GOPROXY=off", "GOTOOLCHAIN=local",
		"AWS_ENDPOINT_URL=" + s.aws.URL, "AWS_ENDPOINT_URL_STS=" + s.aws.URL, "AWS_CONFIG_FILE=" + profiles, "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true", "SLACK_API_URL=" + s.slack.API(),
	}
	admin := iam.NewFromConfig(s.aws.Hub(s.t))
	_, err := admin.CreateUser(s.t.Context(), &iam.CreateUserInput{UserName: aws.String("admin")})
	s.must(err)
	key, err := admin.CreateAccessKey(s.t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("admin")})
	s.must(err)
	s.must(os.WriteFile(profiles, fmt.Appendf(nil, "[profile hub]\nregion = %s\naws_access_key_id = %s\naws_secret_access_key = %s\n[profile management]\nregion = %[1]s\nsource_profile = hub\nrole_arn = arn:aws:iam::999999999999:role/admin\n",
		region, *key.AccessKey.AccessKeyId, *key.AccessKey.SecretAccessKey), 0o600))
	// moto's StackSets deploy into the management account if it lies where they do, AWS's leave it out.
	s.run(env, `exec >&2; set -e; export AWS_PROFILE=management
aws organizations create-organization --feature-set ALL
for name in prod staging; do aws organizations create-account --account-name $name --email $name@acme.example; done
root=$(aws organizations list-roots --query 'Roots[0].Id' --output text); parent=$root
for unit in beside it; do parent=$(aws organizations create-organizational-unit --parent-id $parent --name $unit --query OrganizationalUnit.Id --output text); done
aws organizations move-account --account-id 999999999999 --source-parent-id $root --destination-parent-id $parent`)
	return env
}

// run runs a line of shell to its end and returns what it prints.
func (s *scene) run(env []string, line string) string {
	s.t.Helper()
	var stderr strings.Builder
	cmd := exec.CommandContext(s.t.Context(), "bash", "-c", line)
	cmd.Env, cmd.Stderr = env, &stderr
	out, err := cmd.Output()
	if err != nil {
		s.t.Fatalf("%s: %v %s", line, err, &stderr)
	}
	return string(out)
}
