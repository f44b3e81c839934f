package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

// script plays the story of a stolen role in the terminal.
func script(ctx context.Context, p program, c *company.Company) error {
	s := &story{p: p, c: c, shown: map[string]string{}}
	return s.play(ctx)
}

// story is the script, and a check that everything happens as it says.
type story struct {
	p     program
	c     *company.Company
	shown map[string]string // message → how it was shown last
	errs  []error
}

func (s *story) play(ctx context.Context) error {
	before := s.state()
	s.tell("03:00. An attacker uses credentials of the role app-role that were left on a paste site.")
	stolen := s.c.Session(company.AppRole, "attacker", "an attacker", "s3:GetObject", "arn:aws:s3:::customers/all.csv")
	can := func(want bool) {
		ok, why := stolen.Works()
		answer := "200 OK"
		if !ok {
			answer = why
		}
		s.line("attacker", "s3:GetObject customers/all.csv → "+answer)
		s.expect(ok == want, "the attacker's access")
	}
	can(true)
	s.step(ctx, s.c.Advance(ctx, time.Minute))

	s.tell("Alice asks for containment.")
	s.types(ctx, company.Alice, `revoke_sessions `+company.AppRole+` reason="keys on a paste site"`)
	s.tell("She can't approve it herself, and Mallory is no responder.")
	s.click(ctx, company.Alice, "approve")
	s.click(ctx, company.Mallory, "approve")
	can(true)

	s.tell("Bob approves.")
	s.click(ctx, company.Bob, "approve")
	can(false)

	s.tell("The attacker still has another way in, and deletes the deny.")
	s.line("attacker", "iam:DeleteRolePolicy app-role AWSRevokeOlderSessions")
	s.deleteDeny(ctx)
	can(true)
	s.step(ctx, s.c.Advance(ctx, 10*time.Second))
	can(false)
	s.step(ctx, s.c.Advance(ctx, 2*time.Minute))

	s.tell("The keys are rotated, the other way in is closed. Carol asks to undo, Alice approves.")
	s.click(ctx, company.Carol, "undo")
	s.click(ctx, company.Alice, "approve")
	s.step(ctx, s.c.Advance(ctx, 10*time.Second))
	s.expect(s.state() == before, "the account is as it was before")
	s.tell("The account is, byte for byte, as it was before.")
	s.types(ctx, company.Bob, "audit "+s.lastID())
	return errors.Join(s.errs...)
}

func (s *story) tell(text string) {
	_, _ = fmt.Fprintf(s.p.out, "\n■ %s\n", text)
}

func (s *story) line(who, text string) {
	_, _ = fmt.Fprintf(s.p.out, "  %s  %-9s %s\n", s.c.Now().UTC().Format("15:04:05"), who, text)
}

func (s *story) expect(ok bool, what string) {
	if !ok {
		s.errs = append(s.errs, fmt.Errorf("not as the story has it: %s", what))
	}
}

func (s *story) step(_ context.Context, err error) {
	if err != nil {
		s.errs = append(s.errs, err)
	}
	s.show()
}

func (s *story) types(ctx context.Context, user, text string) {
	s.line(name(user), company.Command+" "+text)
	s.step(ctx, s.c.Type(ctx, user, text))
}

// click presses a button on the newest card that has it.
func (s *story) click(ctx context.Context, user, action string) {
	s.line(name(user), "clicks "+action)
	for _, m := range slices.Backward(s.c.Slack.Messages(company.Channel)) {
		if m.EphemeralTo == "" && strings.Contains(string(m.Blocks), `"action_id":"`+action+`"`) {
			s.step(ctx, s.c.Click(ctx, user, m.TS, action, ""))
			return
		}
	}
	s.expect(false, "there is a button "+action)
}

func (s *story) deleteDeny(ctx context.Context) {
	role, policy := "app-role", "AWSRevokeOlderSessions"
	_, err := iam.NewFromConfig(s.c.AWS.Admin(company.Prod)).DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: &role, PolicyName: &policy})
	s.step(ctx, err)
}

// show prints what is new in the channel.
func (s *story) show() {
	for _, m := range s.c.Slack.Messages(company.Channel) {
		text := slackfake.Text(m)
		if s.shown[m.TS] == text {
			continue
		}
		s.shown[m.TS] = text
		head := "#incident"
		switch {
		case m.EphemeralTo != "":
			head = "only " + name(m.EphemeralTo) + " sees"
		case m.ThreadTS != "":
			head = "#incident, in the thread"
		case m.Edits > 0:
			head = "#incident, the card now"
		}
		_, _ = fmt.Fprintf(s.p.out, "\n    ┌ %s\n", head)
		for line := range strings.Lines(strings.TrimRight(text, "\n")) {
			_, _ = fmt.Fprintf(s.p.out, "    │ %s\n", strings.TrimRight(line, "\n"))
		}
		_, _ = fmt.Fprintln(s.p.out, "    └")
	}
}

// lastID is the ID of the request that the first card shows.
func (s *story) lastID() string {
	for _, m := range s.c.Slack.Messages(company.Channel) {
		if i := strings.Index(m.Text, "KS-"); i >= 0 && m.EphemeralTo == "" {
			return m.Text[i : i+len("KS-")+12]
		}
	}
	return ""
}

// state is all of AWS, to compare.
func (s *story) state() string {
	b, err := json.Marshal(s.c.AWS.Snapshot())
	if err != nil {
		s.errs = append(s.errs, err)
	}
	return string(b)
}

func name(user string) string {
	return map[string]string{company.Alice: "alice", company.Bob: "bob", company.Carol: "carol", company.Mallory: "mallory"}[user]
}
