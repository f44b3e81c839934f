package instance_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const asgName = "web <&> asg*"

func TestScalingGroupAtItsMinimum(t *testing.T) {
	w := newIsolated(t, isolateOptions{min: 2})
	p, es := w.contain()
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "minimum", "replacement")
	g := w.region().ScalingGroups[asgName]
	if g.Members[suspect] != "Standby" || g.Desired != 2 || len(g.Members) != 3 {
		t.Errorf("the group is %+v, want the instance in Standby and a replacement", g)
	}
	w.undo(p, es)
	if got := w.region().ScalingGroups[asgName]; got.Members[suspect] != "InService" || got.Desired != 3 {
		t.Errorf("after undo %+v", got)
	}
}

func TestScalingGroupAtItsMaximumWhenUndone(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	p, es := w.contain()
	w.SetDesired(asgName, 4)
	_, err := w.Act.Revert(t.Context(), w.Restorer(), actiontest.StepOf(t, p, "standby"), es["standby"])
	actiontest.WantCode(t, err, "ValidationError")
	_, hint := actions.Explain(err)
	actiontest.HasWords(t, hint, "maximum")
}

func TestScalingGroupKeepsCapacityInMind(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	p, es := w.contain()
	if g := w.region().ScalingGroups[asgName]; g.Members[suspect] != "Standby" || g.Desired != 1 || len(g.Members) != 2 {
		t.Errorf("the group is %+v", g)
	}
	w.SetMember(asgName, suspect, "") // somebody detached it
	r := w.Revert(actiontest.StepOf(t, p, "standby"), es["standby"])
	if r.Holds || r.Changed {
		t.Errorf("Revert: %+v", r)
	}
	actiontest.HasWords(t, r.Found, "no longer in")
}

func TestTargetGroupsLoseTheInstanceOnEveryPort(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	for n := range 450 { // more than a page
		w.AddTargetGroup(awsfake.TargetGroup{Name: fmt.Sprintf("t%03d", n), VPC: vpcA, Port: 80})
	}
	last := w.AddTargetGroup(awsfake.TargetGroup{Name: "zz", VPC: vpcA, Port: 80, Targets: []awsfake.Target{{ID: suspect, Port: 80}}})
	p, es := w.contain()
	for _, arn := range []string{w.tg, w.tgIP, last} {
		for _, x := range w.region().TargetGroups[arn].Targets {
			if x.ID == suspect || x.ID == "10.0.2.10" {
				t.Errorf("%s still has %+v", arn, x)
			}
		}
	}
	if got := w.region().TargetGroups[w.tg].Targets; len(got) != 1 || got[0].ID != neighbour {
		t.Errorf("the others are %+v", got)
	}
	w.undo(p, es)
	if got := w.region().TargetGroups[w.tgIP].Targets; !slices.Contains(got, awsfake.Target{ID: "10.0.2.10", Port: 443, AZ: "us-east-1a"}) {
		t.Errorf("after undo %+v", got)
	}
	w.DeleteTargetGroup(last)
	s := actiontest.StepOf(t, p, "target-group "+last)
	if r := w.Revert(s, es[s.ID]); !r.Holds || r.Found == "" {
		t.Errorf("Revert of a target group that is gone: %+v", r)
	}
}

// What a look-up says no to, or does not answer, must not keep the network up.
func TestLookupsDoNotHoldUpTheIsolation(t *testing.T) {
	refused := &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized"}
	for _, op := range []string{"autoscaling:*", "elasticloadbalancing:*", "elasticloadbalancing:DescribeTargetHealth", "iam:*", "ec2:DescribeInstanceAttribute"} {
		for _, brief := range []bool{false, true} {
			t.Run(op, func(t *testing.T) {
				w := newIsolated(t, isolateOptions{})
				acct := w.Enter(actions.Responder, actions.PhasePlan)
				if brief {
					acct.Look = actions.LookSteps
				}
				w.Fault(awsfake.Fault{Op: op, Err: refused})
				p, err := w.Act.Plan(t.Context(), acct, w.Call())
				actiontest.Must(t, err)
				actiontest.StepOf(t, p, "network "+eniA)
				actiontest.StepOf(t, p, "network "+eniB)
				actiontest.HasWords(t, strings.Join(p.Warnings, " "), "could not be read", "AccessDenied")
			})
		}
	}
	t.Run("one that never answers", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newIsolated(t, isolateOptions{})
			acct := w.Enter(actions.Responder, actions.PhasePlan)
			w.Fault(awsfake.Fault{Op: "elasticloadbalancing:*", Delay: time.Hour})
			began := time.Now()
			p, err := w.Act.Plan(t.Context(), acct, w.Call())
			actiontest.Must(t, err)
			if d := time.Since(began); d > 10*time.Second { // a run's planning has 20 s in all
				t.Errorf("it took %v", d)
			}
			actiontest.StepOf(t, p, "network "+eniA)
			actiontest.StepOf(t, p, "standby")
			actiontest.HasWords(t, strings.Join(p.Warnings, " "), "Target groups could not be read")
		})
	})
}

func TestIsolateSecondRun(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	first, es := w.contain()
	before := w.Snapshot()
	w.ResetCalls()
	second := w.plan()
	for _, s := range second.Steps {
		if s.ID == "tag" { // the tag tells the last request
			continue
		}
		e := w.settle(s)
		if e.Changed {
			t.Errorf("%s changed something again", s.ID)
		}
		if i := slices.IndexFunc(first.Steps, func(f actions.Step) bool { return f.ID == s.ID }); i < 0 || first.Steps[i].Hold != s.Hold {
			t.Errorf("%s does not share its hold with the first run's", s.ID)
		}
		if r := w.verify(s, e); !r.Holds {
			t.Errorf("%s: %+v", s.ID, r)
		}
	}
	if w.Mutations() != 0 || fmt.Sprint(before) != fmt.Sprint(w.Snapshot()) {
		t.Errorf("%d calls that write", w.Mutations())
	}
	w.plan()
	w.Resources = nil
	for _, s := range first.Steps {
		w.Resources = append(w.Resources, s.Resource)
	}
	w.undo(first, es)
	if !w.CanTalk(suspect) || w.profileOf(suspect) != "web-profile" {
		t.Error("not restored")
	}
}

func TestIsolateSecondAccount(t *testing.T) {
	for _, account := range []string{actiontest.Member, actiontest.Sandbox} {
		w := newIsolated(t, isolateOptions{account: account})
		before := w.state()
		p, es := w.contain()
		w.shut()
		for _, s := range p.Steps {
			if !strings.Contains(s.Resource, ":"+account+":") {
				t.Errorf("%s changes %s", s.ID, s.Resource)
			}
		}
		w.undo(p, es)
		if fmt.Sprint(before) != fmt.Sprint(w.state()) {
			t.Errorf("%s is not restored", account)
		}
	}
}

func TestIsolateThrottled(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	p := w.plan()
	w.Responder()
	w.Throttle("ec2:*", 3, 5) // the network step alone takes seven calls
	throttled := 0
	for _, s := range p.Steps {
		for n := 0; ; n++ {
			_, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run())
			w.Clock.Add(time.Second)
			if err == nil {
				break
			}
			if !actions.Transient(err) && !actions.IsRetryLater(err) || n > 5 {
				t.Fatalf("Apply %s: %v", s.ID, err)
			}
			throttled++
			if _, hint := actions.Explain(err); hint == "" {
				t.Errorf("no hint for %v", err)
			}
		}
	}
	if throttled == 0 {
		t.Error("nothing was throttled")
	}
	w.ClearFaults()
	w.shut()
}

func TestInstanceGoneBeforeUndo(t *testing.T) {
	for _, forgotten := range []bool{false, true} {
		w := newIsolated(t, isolateOptions{})
		p, es := w.contain()
		w.Terminate(suspect)
		if forgotten {
			w.Forget(suspect)
		}
		w.undo(p, es)
		if got := w.rolePolicies(appRole); len(got) != 0 {
			t.Errorf("the role keeps %v", got)
		}
		_, err := w.Act.Plan(t.Context(), w.Enter(actions.Responder, actions.PhasePlan), w.Call())
		var no *actions.Refusal
		if !errors.As(err, &no) {
			t.Fatalf("Plan: %v, want a refusal", err)
		}
		actiontest.HasWords(t, no.Error(), suspect, actiontest.Member, w.Asked.Region, "account")
		if _, err := w.Act.Apply(t.Context(), w.Responder(), actiontest.StepOf(t, p, "tag"), w.Run()); err == nil || actions.Transient(err) {
			t.Errorf("Apply: %v", err)
		}
	}
}

func TestSpotInstanceIsIsolatedWithoutProtection(t *testing.T) {
	w := newIsolated(t, isolateOptions{spot: true})
	p, _ := w.contain()
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "Spot")
	w.shut()

	w = newIsolated(t, isolateOptions{}) // and where AWS refuses it for another reason
	s := actiontest.StepOf(t, w.plan(), "protect")
	w.SetInstance(suspect, func(i *awsfake.Instance) { i.Spot = true })
	_, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run())
	actiontest.WantCode(t, err, "UnsupportedOperation")
	_, hint := actions.Explain(err)
	actiontest.HasWords(t, hint, "protect", "snapshot=yes")
}

func TestProtectionThatWasOnStaysOn(t *testing.T) {
	w := newIsolated(t, isolateOptions{protected: true})
	p, es := w.contain()
	s := actiontest.StepOf(t, p, "protect")
	if s.Prior == nil || *s.Prior != "true" || es["protect"].Changed {
		t.Errorf("prior %v, effect %+v", s.Prior, es["protect"])
	}
	w.undo(p, es)
	if !w.region().Instances[suspect].Protected {
		t.Error("undo turned it off")
	}
}

// All volumes are snapshotted at one moment, and nobody deletes what is locked.
func TestSnapshotsOnRequest(t *testing.T) {
	for option, want := range map[string]int{"": 0, "yes": 2} {
		w := newIsolated(t, isolateOptions{snapshot: option})
		p, es := w.contain()
		for range 2 {
			for _, s := range p.Steps {
				w.settle(s)
			}
		}
		if got := len(w.region().Snapshots); got != want {
			t.Errorf("snapshot=%s: %d snapshots, want %d", option, got, want)
		}
		w.undo(p, es)
		sets := map[string]bool{}
		for _, s := range w.region().Snapshots {
			if sets[s.Set] = true; s.Tags[actiontest.Tag] != actiontest.Request || s.Locked != 30 {
				t.Errorf("snapshot %+v", s)
			}
		}
		if len(sets) > 1 {
			t.Errorf("they are of %d moments", len(sets))
		}
	}
	call, _, err := actions.Parse("isolate-instance "+suspect+" account=prod region=us-east-1 snapshot=no beacons", actiontest.TestOrg("aws").Directory())
	actiontest.Must(t, err)
	if call.Options != nil {
		t.Errorf("options %v", call.Options)
	}
	if _, _, err := actions.Parse("isolate-instance "+suspect+" account=prod region=us-east-1 snapshot=maybe beacons", actiontest.TestOrg("aws").Directory()); err == nil {
		t.Error("snapshot=maybe was taken")
	}
}

// A lock that AWS refuses leaves the snapshots, and is said; one that somebody took off is seen.
func TestSnapshotsThatAreNotLocked(t *testing.T) {
	w := newIsolated(t, isolateOptions{snapshot: "yes"})
	w.Fault(awsfake.Fault{Op: "ec2:LockSnapshot", Times: 1, Err: &smithy.GenericAPIError{Code: "UnauthorizedOperation", Message: "not authorized"}})
	s := actiontest.StepOf(t, w.plan(), "snapshots")
	e, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run())
	_, hint := actions.Explain(err)
	if err == nil || e.Wrote == nil || !strings.Contains(hint, "lock") {
		t.Fatalf("Apply: %v, hint %q, effect %+v", err, hint, e)
	}
	w.Clock.Add(10 * time.Second)
	if r := w.verify(s, e); r.Holds || !strings.Contains(r.Found, "not locked") {
		t.Errorf("Verify: %+v", r)
	}
	if r := w.verify(s, w.settle(s)); !r.Holds || len(w.region().Snapshots) != 2 {
		t.Errorf("Verify: %+v, snapshots %v", r, w.region().Snapshots)
	}
}

// A run of an earlier version has a step for each volume.
func TestEarlierRunWithASnapshotOfAVolume(t *testing.T) {
	w := newIsolated(t, isolateOptions{snapshot: "yes"})
	all := actiontest.StepOf(t, w.plan(), "snapshots")
	made := strings.Fields(*w.settle(all).Wrote)[0]
	w.Clock.Add(10 * time.Second)
	s := actions.Step{ID: "snapshot " + volA, ResourceID: volA, NotReverted: "the snapshot is kept"}
	if r := w.verify(s, actions.Effect{Wrote: &made}); !r.Holds {
		t.Errorf("Verify: %+v", r)
	}
	if _, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run()); err == nil || actions.IsRetryLater(err) {
		t.Errorf("Apply: %v", err)
	}
}

// A stop loses what is in memory: it is protected against, and released for the stop that people ask for.
func TestInstanceIsProtectedFromStops(t *testing.T) {
	for _, stop := range []string{"", "yes"} {
		for _, before := range []bool{false, true} {
			w := newIsolated(t, isolateOptions{stop: stop, deployed: true})
			w.SetInstance(suspect, func(i *awsfake.Instance) { i.Kept = before })
			p, es := w.contain()
			for _, s := range p.Steps {
				if r := w.verify(s, es[s.ID]); !r.Holds {
					t.Errorf("stop=%s, before %t: %s: %+v", stop, before, s.ID, r)
				}
			}
			w.Clock.Add(time.Minute)
			i := w.region().Instances[suspect]
			if !i.Kept || i.Shutdown != "stop" || (i.State == "stopped") != (stop == "yes") {
				t.Errorf("stop=%s, before %t: %+v", stop, before, i)
			}
			w.undo(p, es)
			if i = w.region().Instances[suspect]; i.Kept != before || i.Shutdown != "terminate" {
				t.Errorf("stop=%s, before %t: after undo %+v", stop, before, i)
			}
		}
	}
}

func TestPlanTellsWhatTheInstanceIs(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	p := w.plan()
	var text strings.Builder
	for _, f := range p.Facts {
		fmt.Fprintln(&text, f.Label, f.Text)
	}
	actiontest.HasWords(t, text.String(), "web-1", "t3.micro", "running", "2026-11-03", vpcA, "10.0.1.10", "203.0.113.10", "2001:db8::10", "10.0.2.10", sgWeb, sgOps, "web-profile", "role/service/app", asgName, "web-ip", volA)
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "Session Manager", "serial console")
	actiontest.HasWords(t, strings.Join(p.Residual, " "), "5 days", "350 s", "network ACL", "6 hours", "Classic")
	var before struct {
		Interfaces []struct {
			ID     string   `json:"id"`
			Groups []string `json:"security_groups"`
			TCP    int32    `json:"tcp_established_timeout"`
		} `json:"interfaces"`
	}
	actiontest.Must(t, json.Unmarshal([]byte(p.Snapshot), &before))
	if len(before.Interfaces) != 2 || before.Interfaces[0].TCP != 600 || len(before.Interfaces[0].Groups) != 2 {
		t.Errorf("snapshot %s", p.Snapshot)
	}
	var ids []string
	for _, s := range p.Steps {
		kind, _, _ := strings.Cut(s.ID, " ")
		ids = append(ids, kind)
	}
	if want := []string{"network", "network", "role", "profile", "tag", "protect", "protect-stop", "shutdown", "standby", "target-group", "target-group"}; !slices.Equal(ids, want) {
		t.Errorf("steps %v, want %v", ids, want)
	}
	if want := (actions.Identity{ARN: w.arn, ID: suspect, Created: p.Identity.Created}); p.Identity != want || p.Identity.Created.IsZero() {
		t.Errorf("identity %+v", p.Identity)
	}
}

// Behind a load balancer Standby takes as long as connections drain, 300 s by default; out of the group's
// reach the instance is at once.
func TestStandbyHoldsWhileConnectionsDrain(t *testing.T) {
	w := newIsolated(t, isolateOptions{draining: 300 * time.Second})
	p, es := w.contain()
	s := actiontest.StepOf(t, p, "standby")
	if got := w.region().ScalingGroups[asgName].Members[suspect]; got != "EnteringStandby" {
		t.Fatalf("the instance is %s", got)
	}
	if r := w.verify(s, es[s.ID]); !r.Holds {
		t.Errorf("Verify: %+v", r)
	}
	_, err := w.Act.Revert(t.Context(), w.Restorer(), s, es[s.ID])
	if _, hint := actions.Explain(err); !actions.IsRetryLater(err) || !strings.Contains(hint, "300 s") {
		t.Errorf("Revert: %v, hint %q", err, hint)
	}
	w.Clock.Add(300 * time.Second)
	w.undo(p, es)
	if got := w.region().ScalingGroups[asgName].Members[suspect]; got != "InService" {
		t.Errorf("after undo the instance is %s", got)
	}
}

func TestGroupThatIsAboutToEndTheInstance(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	w.SetMember(asgName, suspect, "Terminating:Wait")
	p := w.plan()
	if slices.Contains(actiontest.StepIDs(p), "standby") {
		t.Error("Standby is planned")
	}
	actiontest.HasWords(t, strings.Join(p.Warnings, " "), "Terminating:Wait", "evidence", "snapshot=yes", "heartbeat")
}
