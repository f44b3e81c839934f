package local_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ec2"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// power is the state of the instance.
func (w *world) power() string {
	w.t.Helper()
	out, err := ec2.NewFromConfig(w.aws.Admin(prod), func(o *ec2.Options) { o.Region = region }).DescribeInstances(w.t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{suspect}})
	w.must(err)
	return string(out.Reservations[0].Instances[0].State.Name)
}

// TestStopIsOffered: the card of an isolation for command and control, or for exfiltration, offers to stop
// the instance, which a second person approves; each undo takes back its own part.
func TestStopIsOffered(t *testing.T) {
	t.Parallel()
	for why, offered := range map[string]bool{
		"beacons to a known C2": true, "GuardDuty Backdoor:EC2/C&CActivity.B!DNS in prod": true, "Exfiltration seen": true, "reverse shell": true,
		"port scan": false, "in the strategic plan": false,
	} {
		t.Run(why, func(t *testing.T) {
			t.Parallel()
			line := "isolate_instance prod/" + suspect + " region=" + region
			var s stolen
			w := newWorld(t, raceWorld(&s, line))
			r := w.asks("U01ALICE", line+` reason="`+why+`"`)
			w.clicks("U02BOB", r, "approve")
			w.pass(time.Minute)
			r = w.state(r, approvals.Contained)
			if got := strings.Contains(w.cardNow(r), "Stop the instance"); got != offered {
				t.Fatalf("offered %v:\n%s", got, w.cardNow(r))
			}
			if !offered {
				return
			}
			w.clicks("U01ALICE", r, "propose:isolate_instance")
			all, err := approvals.Requests{Store: w.Requests}.Marked(t.Context(), approvals.MarkOpen, "", 10)
			w.must(err)
			i := slices.IndexFunc(all, func(o approvals.Request) bool { return o.ID != r.ID })
			if i < 0 {
				t.Fatalf("no request:\n%s", w.said())
			}
			stop := w.state(all[i], approvals.Pending)
			if w.power() != "running" {
				t.Error("it is stopped before anybody approved")
			}
			w.clicks("U02BOB", stop, "approve")
			w.pass(2 * time.Minute)
			w.state(stop, approvals.Contained)
			if got := w.power(); got != "stopped" && got != "stopping" {
				t.Errorf("it is %s", got)
			}
			if strings.Contains(w.cardNow(w.again(stop)), "Stop the instance") {
				t.Error("a stopped one is offered to be stopped")
			}
			w.pass(5 * time.Minute)
			w.undo(stop)
			if got := w.power(); got != "running" && got != "pending" {
				t.Errorf("after the undo it is %s", got)
			}
			w.state(r, approvals.Contained)
			w.undo(r)
		})
	}
}
