package instance_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func isolate(t *testing.T) actions.Action {
	t.Helper()
	a, ok := all.Actions.Lookup(actions.IsolateInstance)
	if !ok {
		t.Fatal("isolate_instance is not registered")
	}
	return a
}

func TestIsolateInstanceContract(t *testing.T) {
	starts := map[string]isolateOptions{
		"nothing is deployed":         {},
		"all is deployed, with tags":  {deployed: true, tags: map[string]string{actiontest.Tag: "KS-EARLIER"}, snapshot: "yes", stop: "yes", pods: true},
		"alone, with a policy":        {alone: true, inline: actiontest.Handwritten},
		"no profile, a spot instance": {noProfile: true, spot: true, alone: true},
	}
	actiontest.EachPartition(t, func(t *testing.T, partition string, delay time.Duration) {
		contract := actiontest.Contract{Action: isolate(t)}
		for _, name := range slices.Sorted(maps.Keys(starts)) {
			contract.Starts = append(contract.Starts, actiontest.Start{Name: name, Open: func(t *testing.T) actiontest.Environment {
				o := starts[name]
				o.partition, o.propagation = partition, delay
				w := newIsolated(t, o)
				s := w.environment()
				tamper := s.Tamper
				s.Tamper = func() {
					tamper()
					for _, v := range []string{volA, volB} {
						w.DeleteSnapshots(v)
					}
					if !o.alone {
						w.SetTargets(w.tg, awsfake.Target{ID: suspect, Port: 80}, awsfake.Target{ID: suspect, Port: 8080}, awsfake.Target{ID: neighbour, Port: 80})
						w.SetTargets(w.tgIP, awsfake.Target{ID: "10.0.2.10", Port: 443, AZ: "us-east-1a"}, awsfake.Target{ID: "10.0.9.9", Port: 443})
						w.SetDesired("web <&> asg*", 2)
						w.SetMember("web <&> asg*", suspect, "InService")
					}
				}
				return s
			}})
		}
		actiontest.Test(t, contract)
	})
}
