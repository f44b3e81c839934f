package bot

import (
	"strings"
	"testing"

	"github.com/slack-go/slack"
)

func TestRefuseUser(t *testing.T) {
	for name, c := range map[string]struct {
		user slack.User
		no   string
	}{
		"member":          {slack.User{TeamID: "T1"}, ""},
		"other workspace": {slack.User{TeamID: "T2"}, "own workspace"},
		"bot":             {slack.User{TeamID: "T1", IsBot: true}, "bots"},
		"app":             {slack.User{TeamID: "T1", IsAppUser: true}, "bots"},
		"guest":           {slack.User{TeamID: "T1", IsRestricted: true}, "guests"},
		"channel guest":   {slack.User{TeamID: "T1", IsUltraRestricted: true}, "guests"},
		"stranger":        {slack.User{TeamID: "T1", IsStranger: true}, "other organizations"},
		"invited":         {slack.User{TeamID: "T1", IsInvitedUser: true}, "guests"},
		"deleted":         {slack.User{TeamID: "T1", Deleted: true}, "deactivated"},
	} {
		if got := refuseUser(&c.user, "T1"); (got == nil) != (c.no == "") || got != nil && !strings.Contains(got.Reason, c.no) {
			t.Errorf("%s: %v, want %q", name, got, c.no)
		}
	}
}
