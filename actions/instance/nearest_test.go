package instance_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const elsewhere = "eu-west-1"

// isolateOf plans to isolate an instance that is not there.
func (w *isolated) isolateOf(id string, look actions.Look) *actions.Refusal {
	w.T.Helper()
	w.Asked.Target = actions.InstanceARN("aws", w.Asked.Region, w.Asked.Account, id)
	acct := w.Enter(actions.Responder, actions.PhasePlan)
	acct.Look = look
	_, err := w.Act.Plan(w.T.Context(), acct, w.Call())
	no, ok := errors.AsType[*actions.Refusal](err)
	if !ok {
		w.T.Fatalf("Plan of %s: %v, want a refusal", id, err)
	}
	return no
}

func TestMissingInstanceNamesTheNearest(t *testing.T) {
	const there = "i-0abcdef0123456789"
	none := "there is no running or stopped instance "
	for name, tt := range map[string]struct {
		id    string
		alter func(*isolated)
		look  actions.Look
		// instead is the region and the ID of what is meant, where a region or an ID stands
		// in the reason, too.
		region, instead string
	}{
		"two digits swapped":                  {"i-0123456789abcdfe0", nil, actions.LookAll, "us-east-1", suspect},
		"in another region":                   {there, nil, actions.LookAll, elsewhere, there},
		"in another region, and a near one":   {"i-0123456789abcdef1", func(w *isolated) { w.abroad("i-0123456789abcdef1") }, actions.LookAll, elsewhere, "i-0123456789abcdef1"},
		"nowhere":                             {"i-0eeeeeeeeeeeeeeee", nil, actions.LookAll, "", ""},
		"terminated in another region":        {there, func(w *isolated) { w.Account(actiontest.Member).Region(elsewhere).Terminate(there) }, actions.LookAll, "", ""},
		"near one that is terminated":         {"i-0123456789abcdfe0", func(w *isolated) { w.Terminate(suspect) }, actions.LookAll, "", ""},
		"a run":                               {there, nil, actions.LookSteps, "", ""},
		"the region can't be read":            {there, func(w *isolated) { w.stops(elsewhere, actiontest.Denied, 0) }, actions.LookAll, "", ""},
		"the region does not answer":          {there, func(w *isolated) { w.stops(elsewhere, nil, time.Hour) }, actions.LookAll, "", ""},
		"another region does not answer":      {there, func(w *isolated) { w.stops("us-west-2", nil, time.Hour) }, actions.LookAll, elsewhere, there},
		"another does not, and a near one":    {"i-0123456789abcdfe0", func(w *isolated) { w.stops(elsewhere, nil, time.Hour) }, actions.LookAll, "us-east-1", suspect},
		"many in the region":                  {"i-0123456789abcdfe0", func(w *isolated) { w.many(2500) }, actions.LookAll, "us-east-1", suspect},
		"the configuration has no regions":    {there, func(w *isolated) { w.Org.Regions = nil }, actions.LookAll, "", ""},
		"the region is not the configuration": {"i-0123456789abcdfe0", func(w *isolated) { w.Org.Regions = []string{elsewhere} }, actions.LookAll, "us-east-1", suspect},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newIsolated(t, isolateOptions{snapshot: "yes"})
				w.Org.Regions = []string{"us-east-1", elsewhere, "us-west-2"}
				w.abroad(there)
				if tt.alter != nil {
					tt.alter(w)
				}
				w.Hub = actions.NewCloud(w.Config(), w.Org)
				w.Hub.SetNow(w.Clock.Now)
				began := time.Now()
				no := w.isolateOf(tt.id, tt.look)
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("refused after %s", took)
				}
				want := none + tt.id + " in account " + actiontest.Member + ", region us-east-1"
				var meant *actions.Call
				switch {
				case tt.region == elsewhere:
					want += "; it is in " + elsewhere
				case tt.instead != "":
					want += "; the nearest is " + tt.instead
				}
				if tt.instead != "" {
					meant = &actions.Call{Action: actions.IsolateInstance, Target: actions.InstanceARN("aws", tt.region, actiontest.Member, tt.instead),
						Account: actiontest.Member, Region: tt.region, Options: map[string]string{"snapshot": "yes"}}
				}
				if d := cmp.Diff(meant, no.Instead); no.Reason != want || d != "" {
					t.Errorf("%q, want %q\n%s", no.Reason, want, d)
				}
				actiontest.HasWords(t, no.Hint, "check the account and the region")
			})
		})
	}
}

// abroad starts an instance in another region.
func (w *isolated) abroad(id string) {
	w.Account(actiontest.Member).Region(elsewhere).AddInstance(awsfake.Instance{ID: id})
}

func (w *isolated) stops(region string, err error, after time.Duration) {
	w.Fault(awsfake.Fault{Op: "ec2:DescribeInstances", Region: region, Err: err, Delay: after})
}

func (w *isolated) many(n int) {
	for i := range n {
		w.AddInstance(awsfake.Instance{ID: fmt.Sprintf("i-0fff%013x", i)})
	}
}
