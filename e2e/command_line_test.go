//go:build e2e

package e2e

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// identified gives people of the configuration a user in the hub.
func identified(people ...string) func(string) string {
	return func(config string) string {
		for _, who := range people {
			slack := "slack: U01" + strings.ToUpper(who)
			config = strings.Replace(config, slack, slack+`, iam: ["arn:aws:iam::`+HubAccount+`:user/`+who+`"]`, 1)
		}
		return config
	}
}

// hubUser makes a user in the hub, and returns the environment of somebody who has its key.
func (s *scene) hubUser(name string) []string {
	s.t.Helper()
	hub := iam.NewFromConfig(s.aws.Hub(s.t))
	_, err := hub.CreateUser(s.t.Context(), &iam.CreateUserInput{UserName: &name})
	s.must(err)
	key, err := hub.CreateAccessKey(s.t.Context(), &iam.CreateAccessKeyInput{UserName: &name})
	s.must(err)
	s.aws.seen.is("Person", aws.ToString(key.AccessKey.AccessKeyId))
	return []string{"AWS_ENDPOINT_URL=" + s.aws.front, "AWS_REGION=" + region, "AWS_ACCESS_KEY_ID=" + aws.ToString(key.AccessKey.AccessKeyId),
		"AWS_SECRET_ACCESS_KEY=" + aws.ToString(key.AccessKey.SecretAccessKey), "AWS_EC2_METADATA_DISABLED=true", "KILLSWITCH_CONFIG=" + s.config()}
}

// killswitch runs a command, and answers yes.
func killswitch(t *testing.T, env []string, args ...string) (out string, err error) {
	t.Helper()
	c := exec.CommandContext(t.Context(), Setting(t, "KILLSWITCH"), args...)
	c.Env = append([]string{"HOME=" + t.TempDir()}, env...)
	c.Stdin = strings.NewReader("yes\n")
	var both bytes.Buffer
	c.Stdout, c.Stderr = &both, &both
	err = c.Run()
	return both.String(), err
}

var someID = regexp.MustCompile(`KS-[0-9A-Z]{12}`)

// TestCommandLine: local-slack stops answering. People ask, approve and follow by AWS credentials; when it
// answers again the card is there, and a click takes back what was asked for at the command line.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(s *scene, _ *Workspace) { s.edit = identified("ana", "ben") })
	at := "KILLSWITCH_SERVER=http://" + s.addr
	anaDesk, benDesk, stranger := append(s.hubUser("ana"), at), append(s.hubUser("ben"), at), append(s.hubUser("mallory"), at)
	role := s.role("stolen")
	signal := func(sig syscall.Signal) { s.must(syscall.Kill(-s.slack.cmd.Process.Pid, sig)) }
	signal(syscall.SIGSTOP)
	stopped := true
	t.Cleanup(func() {
		if stopped {
			signal(syscall.SIGCONT)
		}
	})
	if out, err := killswitch(t, stranger, "list"); err == nil || !strings.Contains(out, "nobody of people[].iam") {
		t.Errorf("a stranger: %v %s", err, out)
	}
	out, err := killswitch(t, anaDesk, "request", "revoke_sessions", "prod/"+role, "--reason", "keys on a paste site", "--yes")
	id := someID.FindString(out)
	if err != nil || id == "" {
		t.Fatalf("request: %v %s", err, out)
	}
	if out, err := killswitch(t, anaDesk, "approve", id, "--yes"); err == nil {
		t.Errorf("her own approval: %s", out)
	}
	if out, err := killswitch(t, benDesk, "approve", id); err != nil || !strings.Contains(out, "Why (ana): keys on a paste site") {
		t.Fatalf("approve: %v %s", err, out)
	}
	if out, err := killswitch(t, anaDesk, "watch", id); err != nil || !strings.Contains(out, "contained") {
		t.Errorf("watch: %v %s", err, out)
	}
	if s.deny(role) == "" {
		t.Fatal("there is no deny")
	}
	signal(syscall.SIGCONT)
	stopped = false
	card := s.slack.Await(t, channel, "the card", func(m Message) bool { return strings.HasPrefix(m.Text, "contained: revoke_sessions") })
	s.slack.Click(t, channel, cem, card, "undo")
	undo := someID.FindString(strings.ReplaceAll(s.about("pending 0/", "(undo of "+id, true).Text, id, ""))
	for began := time.Now(); ; time.Sleep(time.Second) {
		out, err := killswitch(t, anaDesk, "approve", undo, "--yes")
		if err == nil {
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("approve the undo: %s", out)
		}
	}
	s.slack.Await(t, channel, "the undo", func(m Message) bool { return strings.HasPrefix(m.Text, "restored: undo") })
	if s.deny(role) != "" {
		t.Error("the deny still stands")
	}
}

// TestAlone: where the policy says so, a click is not enough, and nobody has to wait for others for ever.
func TestAlone(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(s *scene, _ *Workspace) {
		s.edit = identified("ana", "ben")
		s.more = "  break_glass_after: 1m\n  actions: {revoke_sessions: {break_glass: true}, detach_policies: {require_sts_vote: true}}\n"
	})
	at := "KILLSWITCH_SERVER=http://" + s.addr
	anaDesk, benDesk := append(s.hubUser("ana"), at), append(s.hubUser("ben"), at)
	role := s.role("stolen")
	out, err := killswitch(t, anaDesk, "request", "revoke_sessions", "prod/"+role, "--reason", "keys on a paste site", "--yes")
	id := someID.FindString(out)
	if err != nil || id == "" {
		t.Fatalf("request: %v %s", err, out)
	}
	s.about("pending 0/1", role, false)
	began := time.Now()
	alone := func(account string) (string, error) {
		return killswitch(t, anaDesk, "approve", id, "--break-glass", account, "--reason", "nobody answers", "--yes")
	}
	if out, err := alone(prod); err == nil || !strings.Contains(out, "nobody acts alone before") {
		t.Errorf("at once: %v %s", err, out)
	}

	// Meanwhile: a click does not approve what wants a signature.
	stripped := s.role("stripped")
	s.slack.Command(t, channel, cem, "/killswitch", "detach_policies prod/"+stripped+" stolen")
	card := s.about("pending 0/1", stripped, false)
	s.slack.Click(t, channel, ben, card, "approve")
	s.slack.Await(t, channel, "the click counts, and is not enough", func(m Message) bool {
		return strings.HasPrefix(m.Text, "pending 1/1") && strings.Contains(m.Text, stripped)
	})
	asked := someID.FindString(card.Text)
	if out, err := killswitch(t, benDesk, "approve", asked, "--yes"); err != nil {
		t.Errorf("approve: %v %s", err, out)
	}
	s.about("contained", stripped, false)

	time.Sleep(time.Until(began.Add(62 * time.Second)))
	if out, err := alone("333333333333"); err == nil || !strings.Contains(out, "is not the target's account") {
		t.Errorf("another account: %v %s", err, out)
	}
	if out, err := alone(prod); err != nil {
		t.Fatalf("alone: %v %s", err, out)
	}
	s.about("contained", role, false)
	if s.deny(role) == "" {
		t.Error("there is no deny")
	}
	s.slack.Await(t, channel, "everybody is called", func(m Message) bool {
		return strings.Contains(m.Text, "acted alone") && strings.Contains(m.Text, "<@"+ben+">")
	})
}
