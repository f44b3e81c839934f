package demo

import "github.com/killswitch-chatops/killswitch/approvals"

// stories are all that there are, in the order in which the page offers them. A
// new one is a file and a line here.
var stories = []*story{
	stolenRole,
	exposedKey,
	persistence,
	isolation,
	freeze,
	race,
	storm,
	slackDown,
}

const (
	customers = "arn:aws:s3:::customers/all.csv"
	from      = "203.0.113.77" // where attackers are
)

// contained are the states of a request that holds.
var contained = []approvals.State{approvals.Contained}
