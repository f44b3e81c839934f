package executor

import (
	"context"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// Members keeps in the table runs which accounts are members of the organization, and knows
// which requests are in that table. It implements actions.Members.
type Members struct{ Store approvals.Store }

// member is the row of an account that is a member.
type member struct {
	Asked time.Time `json:"asked"` // when Organizations said so
}

func memberKey(account string) approvals.Key {
	return approvals.Key{Part: "member#" + account, Sort: "member"}
}

// Asked implements actions.Members.
func (m Members) Asked(ctx context.Context, account string) (time.Time, error) {
	var row member
	_, err := approvals.Find(ctx, m.Store, memberKey(account), &row)
	return row.Asked, err
}

// Remember implements actions.Members.
func (m Members) Remember(ctx context.Context, account string, at time.Time) error {
	version, err := approvals.Find(ctx, m.Store, memberKey(account), &member{})
	if err != nil {
		return err
	}
	return m.Store.Write(ctx, approvals.PutRow(memberKey(account), version, member{at.UTC()}))
}

// Began implements actions.Members.
func (m Members) Began(ctx context.Context, request string) bool {
	_, err := approvals.Runs{Reader: m.Store}.Run(ctx, request)
	return err == nil
}
