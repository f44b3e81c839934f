package instance_test

import (
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func TestStopOnRequestAlone(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	for _, s := range w.plan().Steps {
		if s.ID == "stop" {
			t.Error("the instance is stopped though nobody asked")
		}
	}
	call, _, err := actions.Parse("isolate_instance "+suspect+" account=prod region=us-east-1 stop=no beacons", actiontest.TestOrg("aws").Directory())
	actiontest.Must(t, err)
	if call.Options != nil {
		t.Errorf("options %v", call.Options)
	}
}

// The sure cut: the last step, after the snapshots, and undo starts the instance before anything else.
func TestStopComesLastAndUndoStartsFirst(t *testing.T) {
	w := newIsolated(t, isolateOptions{snapshot: "yes", stop: "yes", deployed: true})
	p, es := w.contain()
	if last := p.Steps[len(p.Steps)-1]; last.ID != "stop" || last.Goal == "" {
		t.Errorf("the last step is %+v", last)
	}
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "memory", "instance store", "address")
	s := actiontest.StepOf(t, p, "stop")
	if r := w.verify(s, es[s.ID]); !r.Holds {
		t.Errorf("Verify: %+v", r)
	}
	w.SetInstance(suspect, func(i *awsfake.Instance) { i.State = "running" })
	if r := w.verify(s, es[s.ID]); r.Holds || !strings.Contains(r.Found, "running") {
		t.Errorf("somebody started it, and Verify says %+v", r)
	}
	w.settle(s)
	if _, err := w.Act.Revert(t.Context(), w.Restorer(), s, es[s.ID]); !actions.IsRetryLater(err) {
		t.Errorf("Revert of one that is still stopping: %v", err)
	}
	w.undo(p, es)
	if w.region().Instances[suspect].State != "running" || !w.CanTalk(suspect) || w.profileOf(suspect) != "web-profile" {
		t.Errorf("after undo: %+v", w.region().Instances[suspect])
	}
}

func TestStoppedBeforeStaysStopped(t *testing.T) {
	w := newIsolated(t, isolateOptions{stop: "yes", alone: true})
	w.SetInstance(suspect, func(i *awsfake.Instance) { i.State = "stopped" })
	p, es := w.contain()
	if es["stop"].Changed {
		t.Error("it was stopped already")
	}
	w.undo(p, es)
	if got := w.region().Instances[suspect].State; got != "stopped" {
		t.Errorf("undo left it %s", got)
	}
}

func TestInstanceThatCantBeStopped(t *testing.T) {
	w := newIsolated(t, isolateOptions{stop: "yes", spot: true})
	s := actiontest.StepOf(t, w.plan(), "stop")
	_, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run())
	actiontest.WantCode(t, err, "UnsupportedOperation")
	_, hint := actions.Explain(err)
	actiontest.HasWords(t, hint, "network ACL")
}

// What a card says is so: new connections are cut, live ones may go on, and what ends them.
func TestNotStoppedNamesWhatEndsIt(t *testing.T) {
	spec := isolate(t).Spec()
	actiontest.HasWords(t, spec.Delay, "new connections", "open ones may go on", "stop=yes")
	actiontest.HasWords(t, strings.Join(spec.NotStopped, " "), "stop=yes", "network ACL", "DNS Firewall", "metadata", "NAT")
}

// Memory does not come back: nobody stops an instance alone, and nothing does by itself.
func TestStopTakesASecondPerson(t *testing.T) {
	spec := isolate(t).Spec()
	for stop, alone := range map[string]bool{"": true, "yes": false} {
		if got := spec.AutoEligible(newIsolated(t, isolateOptions{stop: stop}).Call()); got != alone {
			t.Errorf("stop=%s: %t", stop, got)
		}
	}
}
