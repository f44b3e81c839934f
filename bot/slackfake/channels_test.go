package slackfake_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// TestChannelTheBotLeft: a public one is still there, a private one is not; neither takes a
// message or an edit.
func TestChannelTheBotLeft(t *testing.T) {
	s, api, _ := workspace()
	for _, c := range []slackfake.Channel{{ID: channel}, {ID: channel, Private: true}} {
		s.SetChannel(c)
		ts := post(t, api, slack.MsgOptionText("before", false))
		c.Left = true
		s.SetChannel(c)
		want := "not_in_channel"
		if c.Private {
			want = "channel_not_found"
		}
		_, _, err := api.PostMessage(channel, slack.MsgOptionText("after", false))
		_, _, _, edit := api.UpdateMessage(channel, ts, slack.MsgOptionText("after", false))
		_, history := api.GetConversationHistory(&slack.GetConversationHistoryParameters{ChannelID: channel})
		if diff := cmp.Diff([]string{want, want, want}, []string{errorText(err), errorText(edit), errorText(history)}); diff != "" {
			t.Errorf("private %v: %s", c.Private, diff)
		}
		info, err := api.GetConversationInfo(&slack.GetConversationInfoInput{ChannelID: channel})
		if c.Private && errorText(err) != want || !c.Private && (err != nil || info.IsMember) {
			t.Errorf("private %v: %+v, %v", c.Private, info, err)
		}
	}
}

// TestMembersOfAChannel come page by page; guests are in those to which they were invited.
func TestMembersOfAChannel(t *testing.T) {
	s, api, _ := workspace()
	var many []string
	for i := range 250 {
		many = append(many, fmt.Sprintf("U%03d", i))
	}
	s.SetChannel(slackfake.Channel{ID: "C0MANY", Members: many})
	read := func(channel string) (all []string, pages int) {
		for cursor := ""; ; {
			page, next, err := api.GetUsersInConversation(&slack.GetUsersInConversationParameters{ChannelID: channel, Cursor: cursor, Limit: 100})
			if err != nil {
				t.Fatal(err)
			}
			if all, pages, cursor = append(all, page...), pages+1, next; next == "" {
				return all, pages
			}
		}
	}
	if got, pages := read("C0MANY"); pages != 3 || cmp.Diff(many, got) != "" {
		t.Errorf("%d pages: %v", pages, got)
	}
	got, _ := read(channel)
	if diff := cmp.Diff([]string{"U000000BOT", "U1"}, got); diff != "" {
		t.Error(diff)
	}
	if _, _, err := api.GetUsersInConversation(&slack.GetUsersInConversationParameters{ChannelID: "C0NONE"}); errorText(err) != "channel_not_found" {
		t.Error(err)
	}
}

// TestKindsOfChannels are those that conversations.info tells.
func TestKindsOfChannels(t *testing.T) {
	s, api, _ := workspace()
	s.SetChannel(slackfake.Channel{ID: "C0X", ExtShared: true, PendingExtShared: true, OrgShared: true})
	s.SetChannel(slackfake.Channel{ID: "C0Y", GroupDM: true})
	x, err := api.GetConversationInfo(&slack.GetConversationInfoInput{ChannelID: "C0X"})
	if err != nil || !x.IsExtShared || !x.IsPendingExtShared || !x.IsOrgShared || !x.IsShared || !x.IsMember || x.IsMpIM {
		t.Errorf("%+v, %v", x, err)
	}
	y, err := api.GetConversationInfo(&slack.GetConversationInfoInput{ChannelID: "C0Y"})
	if err != nil || y.IsShared || !y.IsMpIM {
		t.Errorf("%+v, %v", y, err)
	}
}
