package vouch_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions/vouch"
)

// TestIsJoinNeedsUserGroupAndSuccess: CloudTrail lists all events that name the user, among them attempts
// that failed and other users and groups.
func TestIsJoinNeedsUserGroupAndSuccess(t *testing.T) {
	for name, tt := range map[string]struct {
		event, record string
		want          bool
	}{
		"joined":        {"AddUserToGroup", `{"requestParameters":{"userName":"alice","groupName":"admins"}}`, true},
		"another case":  {"AddUserToGroup", `{"requestParameters":{"userName":"Alice","groupName":"Admins"}}`, true},
		"failed":        {"AddUserToGroup", `{"errorCode":"AccessDenied","requestParameters":{"userName":"alice","groupName":"admins"}}`, false},
		"another user":  {"AddUserToGroup", `{"requestParameters":{"userName":"bob","groupName":"admins"}}`, false},
		"another group": {"AddUserToGroup", `{"requestParameters":{"userName":"alice","groupName":"devs"}}`, false},
		"left":          {"RemoveUserFromGroup", `{"requestParameters":{"userName":"alice","groupName":"admins"}}`, false},
		"unreadable":    {"AddUserToGroup", `{`, false},
	} {
		if got := vouch.Joined(types.Event{EventName: aws.String(tt.event), CloudTrailEvent: aws.String(tt.record)}, "alice", "admins"); got != tt.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}
