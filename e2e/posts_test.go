//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// posts are the texts that Killswitch has posted, oldest first: what notifies people. Edits are none.
func (s *scene) posts() (texts []string) {
	s.t.Helper()
	for _, e := range s.slack.Log(s.t) {
		if e.Kind != "web_api" || !strings.Contains(e.Summary, "chat.postMessage") {
			continue
		}
		var d struct {
			Text   string
			Params struct{ Text string }
			Body   struct{ Text string }
		}
		s.must(json.Unmarshal(e.Detail, &d))
		texts = append(texts, d.Text+d.Params.Text+d.Body.Text)
	}
	return texts
}

// posted waits for a post that begins so and has all the words.
func (s *scene) posted(within time.Duration, begin string, words ...string) {
	s.t.Helper()
	EventuallyWithin(s.t, fmt.Sprintf("a post %q with %q", begin, words), within, func(context.Context) error {
		all := s.posts()
		if slices.ContainsFunc(all, func(text string) bool {
			return strings.HasPrefix(text, begin) && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
		}) {
			return nil
		}
		return fmt.Errorf("posted: %q", all)
	})
}

// TestPosts: whoever must act is called by a new message: to approve, again at half time, when it
// is too late, when something went wrong, for an alert, and again for a critical one.
func TestPosts(t *testing.T) {
	t.Parallel()
	s := newScene(t, func(s *scene, _ *Workspace) {
		s.more, s.hooks = alerts, hooks
		s.edit = strings.NewReplacer("approve_within: 30m", "approve_within: 2m").Replace
	})
	role := s.role("app-role")
	s.brought(otherKey, s.event("guardduty_attacksequence_iam-user.json"))
	s.posted(20*time.Second, "critical: AttackSequence:IAM/CompromisedCredentials", " · for <@"+ana+">, <@"+ben+">, <@"+cem+"> · AL-")
	card := s.asks(role)
	s.posted(20*time.Second, "Approve? <@"+ben+">, <@"+cem+">: <@"+ana+"> asks to revoke sessions: "+role+" in account prod", "keys on a paste site")
	s.posted(20*time.Second, id(card)+": the plan")
	s.posted(80*time.Second, "Still waiting: <@"+ben+">, <@"+cem+">: <@"+ana+"> asks to")
	s.posted(80*time.Second, id(card)+": expired. <@"+ana+">")

	all := s.posts()
	at := func(begin string) int {
		return slices.IndexFunc(all, func(text string) bool { return strings.HasPrefix(text, begin) })
	}
	if at("Approve? ") > at(id(card)+": the plan") {
		t.Errorf("the plan came before the call: %q", all)
	}
	if n := s.count("planning: "); n != 0 {
		t.Errorf("%d planning cards", n)
	}
	s.posted(5*time.Minute, "<@"+ana+">, <@"+ben+">, <@"+cem+"> *Still open*: nobody has acknowledged it in 5 min: critical: ")
}
