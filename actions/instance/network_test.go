package instance_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// shut checks that every interface is on one group without rules.
func (w *isolated) shut() {
	w.T.Helper()
	if w.CanTalk(suspect) {
		w.T.Errorf("the instance can talk: %+v", w.region().Interfaces)
	}
	for _, e := range []string{eniA, eniB} {
		if gs := w.groupsOf(e); len(gs) != 1 || !strings.HasPrefix(gs[0].Name, isolation) {
			w.T.Errorf("%s is on %+v", e, gs)
		}
	}
}

func (w *isolated) groupNames() []string {
	var names []string
	for _, g := range w.region().Groups {
		if strings.HasPrefix(g.Name, isolation) {
			names = append(names, g.Name)
		}
	}
	slices.Sort(names)
	return names
}

func TestIsolateCutsBothInterfaces(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	before := w.state()
	p, es := w.contain()
	w.shut()
	if got := w.groupNames(); len(got) != 1 {
		t.Errorf("groups %v, want one for both", got)
	}
	if !w.CanTalk(neighbour) {
		t.Error("the neighbour is cut off too")
	}
	if got, want := *actiontest.StepOf(t, p, "network "+eniA).Prior, `["`+sgWeb+`","`+sgOps+`"]`; got != want {
		t.Errorf("prior %s, want %s", got, want)
	}
	w.undo(p, es)
	if got := w.state(); fmt.Sprint(got) != fmt.Sprint(before) {
		t.Errorf("after undo\n%+v\nwant\n%+v", got, before)
	}
	if len(w.groupNames()) != 1 {
		t.Error("undo deleted the shared group")
	}
}

// The old tool took IPv4's default egress rule away and left ::/0.
func TestIsolateIPv6Egress(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	w.contain()
	for _, e := range []string{eniA, eniB} {
		for _, g := range w.groupsOf(e) {
			if len(g.Egress)+len(g.Ingress) > 0 {
				t.Errorf("%s lets through %+v %+v", g.Name, g.Ingress, g.Egress)
			}
		}
	}
	// And one that is there with nothing but an IPv6 rule is not used.
	w = newIsolated(t, isolateOptions{})
	w.SetGroup(awsfake.SecurityGroup{ID: "sg-0six", VPC: vpcA, Name: isolation, Egress: []awsfake.Rule{{Protocol: "-1", Peer: "::/0"}}})
	w.contain()
	w.shut()
}

// GroupNames finds groups of the default VPC only: a group of that name there,
// or in another VPC, must not be taken.
func TestIsolateInANonDefaultVPC(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	w.SetGroup(awsfake.SecurityGroup{ID: "sg-0elsewhere", VPC: "vpc-0default", Name: isolation})
	w.contain()
	w.shut()
	if on := w.Interfaces("sg-0elsewhere"); len(on) > 0 {
		t.Errorf("the default VPC's group is on %v", on)
	}
	if got := w.groupNames(); len(got) != 2 {
		t.Errorf("groups %v", got)
	}
}

// Groups with rules, of every kind, made by somebody beforehand.
func TestIsolatePreCreatedPermissiveGroup(t *testing.T) {
	rules := map[string]awsfake.SecurityGroup{
		"ingress":         {Ingress: []awsfake.Rule{{Protocol: "tcp", From: 22, To: 22, Peer: "198.51.100.7/32"}}},
		"egress":          {Egress: []awsfake.Rule{{Protocol: "tcp", From: 443, To: 443, Peer: "0.0.0.0/0"}}},
		"IPv6 ingress":    {Ingress: []awsfake.Rule{{Protocol: "-1", Peer: "2001:db8::/32"}}},
		"prefix list":     {Egress: []awsfake.Rule{{Protocol: "-1", Peer: "pl-63a5400a"}}},
		"another group":   {Ingress: []awsfake.Rule{{Protocol: "-1", Peer: sgOps}}},
		"the default one": {Egress: []awsfake.Rule{{Protocol: "-1", Peer: "0.0.0.0/0"}}},
	}
	for name, g := range rules {
		t.Run(name, func(t *testing.T) {
			w := newIsolated(t, isolateOptions{})
			g.ID, g.VPC, g.Name, g.Description = "sg-0trap", vpcA, isolation, "isolation"
			w.SetGroup(g)
			w.contain()
			w.shut()
			if on := w.Interfaces("sg-0trap"); len(on) > 0 {
				t.Errorf("the open group is on %v", on)
			}
			if got := w.region().Groups["sg-0trap"]; len(got.Ingress)+len(got.Egress) != 1 {
				t.Errorf("somebody else's group was changed: %+v", got)
			}
			if want := []string{isolation, isolation + "-" + actiontest.Request}; !slices.Equal(w.groupNames(), want) {
				t.Errorf("groups %v, want %v", w.groupNames(), want)
			}
		})
	}
	t.Run("all names", func(t *testing.T) {
		w := newIsolated(t, isolateOptions{})
		for n, suffix := range []string{"", "-" + actiontest.Request, "-" + actiontest.Request + "-2", "-" + actiontest.Request + "-3", "-" + actiontest.Request + "-4"} {
			w.SetGroup(awsfake.SecurityGroup{ID: fmt.Sprintf("sg-0trap%d", n), VPC: vpcA, Name: isolation + suffix, Ingress: []awsfake.Rule{{Protocol: "-1", Peer: "0.0.0.0/0"}}})
		}
		w.contain()
		w.shut()
		if got := w.groupsOf(eniA); len(got) != 1 || len(got[0].Ingress)+len(got[0].Egress) != 0 {
			t.Errorf("the interface is on %+v", got)
		}
	})
}

// A re-check sees that the group was opened and moves the interface to another.
func TestIsolationGroupOpenedAfterwards(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	p, es := w.contain()
	for round := range 3 {
		for _, s := range p.Steps {
			if r := w.verify(s, es[s.ID]); !r.Holds {
				t.Fatalf("round %d: %s: %+v", round, s.ID, r)
			}
		}
		g := w.groupsOf(eniA)[0]
		g.Ingress = []awsfake.Rule{{Protocol: "tcp", From: 4444, To: 4444, Peer: "198.51.100.7/32"}}
		w.SetGroup(g)
		for _, e := range []string{eniA, eniB} {
			s := actiontest.StepOf(t, p, "network "+e)
			r := w.verify(s, es[s.ID])
			if r.Holds {
				t.Fatalf("round %d: %s is on an open group, and Verify says it holds", round, e)
			}
			actiontest.HasWords(t, r.Found, "198.51.100.7/32")
			es[s.ID] = w.settle(s)
		}
		w.shut()
	}
	w.undo(p, es)
	if !w.CanTalk(suspect) {
		t.Error("not restored")
	}
}

// closedOrBefore checks that at no moment an interface is on a group that lets
// traffic through, but for those that it had.
func (w *isolated) closedOrBefore(when string) {
	w.T.Helper()
	state := w.region()
	for id, e := range state.Interfaces {
		for _, g := range e.Groups {
			if own := state.Groups[g]; len(own.Ingress)+len(own.Egress) > 0 && g != sgWeb && g != sgOps {
				w.T.Errorf("%s: %s is on the open group %s", when, id, own.Name)
			}
		}
	}
}

func TestNeverOnAnOpenGroupAtAnyMoment(t *testing.T) {
	killed := errors.New("killed")
	every := thin.Every(t, 4, "the calls at which a worker dies")
	for _, phase := range []awsfake.Phase{awsfake.Before, awsfake.After} {
		for kill := 0; ; kill += every {
			w := newIsolated(t, isolateOptions{snapshot: "yes"})
			before := w.state()
			p := w.plan()
			w.Responder() // the session is not what dies
			n, dead := 0, false
			w.OnCall(func(c awsfake.Call) error {
				if c.Phase == awsfake.After {
					w.closedOrBefore(c.Op)
				}
				if dead || c.Phase != phase || c.Op == "sts:AssumeRole" {
					return nil
				}
				if n++; n > kill {
					dead = true
					return killed
				}
				return nil
			})
			run := w.Run()
			es := map[string]actions.Effect{}
			for _, s := range p.Steps { // the first worker
				e, err := w.Act.Apply(t.Context(), w.Responder(), s, run)
				if err != nil {
					break
				}
				es[s.ID] = e
			}
			finished := !dead
			dead = true                 // nobody dies any more
			for _, s := range p.Steps { // and who follows
				es[s.ID] = w.settle(s)
			}
			w.shut()
			for _, s := range p.Steps {
				if r := w.verify(s, es[s.ID]); !r.Holds {
					t.Errorf("killed %s call %d: %s: %+v", phase, kill, s.ID, r)
				}
			}
			if got := len(w.region().Snapshots); got != 2 {
				t.Errorf("killed %s call %d: %d snapshots", phase, kill, got)
			}
			if got := w.groupNames(); !slices.Equal(got, []string{isolation}) {
				t.Errorf("killed %s call %d: groups %v", phase, kill, got)
			}
			w.undo(p, es)
			if got := w.state(); fmt.Sprint(got) != fmt.Sprint(before) {
				t.Errorf("killed %s call %d: after undo\n%+v\nwant\n%+v", phase, kill, got, before)
			}
			if finished {
				if kill < 20 {
					t.Errorf("only %d calls", kill)
				}
				break
			}
			if t.Failed() {
				break
			}
		}
	}
}

func TestInterfaceChangedByOthersIsLeftAlone(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	p, es := w.contain()
	w.SetInterface(eniA, func(i *awsfake.Interface) { i.Groups = []string{sgOps} })
	r := w.Revert(actiontest.StepOf(t, p, "network "+eniA), es["network "+eniA])
	if r.Holds || r.Changed {
		t.Errorf("Revert: %+v", r)
	}
	actiontest.HasWords(t, r.Found, sgOps, "not what Killswitch wrote")
	if r := w.Revert(actiontest.StepOf(t, p, "network "+eniB), es["network "+eniB]); !r.Holds || !r.Changed {
		t.Errorf("Revert of the other: %+v", r)
	}
}

func TestSecurityGroupGoneBeforeUndo(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	s := actiontest.StepOf(t, w.plan(), "network "+eniA)
	e := w.settle(s)
	e.Prior = new(`["sg-0gone"]`)
	r := w.Revert(s, e)
	if r.Holds || r.Changed {
		t.Errorf("Revert: %+v", r)
	}
	actiontest.HasWords(t, r.Found, "sg-0gone", "gone", "stays isolated")
}
