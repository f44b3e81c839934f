package approvals_test

import (
	"fmt"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// One approval of another person is needed: the requester's own does not count.
func ExamplePolicy_Decide() {
	policy := approvals.Policy{
		Roster: approvals.Roster{
			People: []approvals.Person{{ID: "ana"}, {ID: "bo"}},
			Groups: map[string][]string{"responders": {"ana", "bo"}},
		},
		Default: approvals.ActionPolicy{Requesters: "responders", Approvers: "responders", Approvals: 1, ApproveWithin: 15 * time.Minute},
	}
	asked := time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)
	request := approvals.Request{
		State: approvals.Pending, Requester: approvals.Actor{Person: "ana"}, Digest: "9f86d081",
		Asked: asked, Expires: asked.Add(15 * time.Minute),
	}
	for _, person := range []string{"ana", "bo"} {
		vote := approvals.Vote{Actor: approvals.Actor{Person: person}, Digest: "9f86d081", At: asked.Add(time.Minute)}
		d := policy.Decide(request, approvals.Approve, vote, asked.Add(time.Minute))
		if !d.Accept {
			fmt.Printf("%s: refused: %s\n", person, d.Refusal.Cause())
			continue
		}
		fmt.Printf("%s: %d of %d approvals, approved: %t\n", person, d.Have, d.Need, d.Quorum)
	}
	// Output:
	// ana: refused: self_approval
	// bo: 1 of 1 approvals, approved: true
}
