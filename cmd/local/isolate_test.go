package local_test

import (
	"maps"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// Two requests isolate one instance. While either is contained, the credentials
// that were taken from it stay denied; when both are undone, nothing is left.
func TestTwoIsolations(t *testing.T) {
	for name, order := range map[string][2]int{"the first is undone first": {0, 1}, "the second is undone first": {1, 0}} {
		t.Run(name, func(t *testing.T) {
			var a attackers
			w := newWorld(t, func(w *world) { a = populate(w, 3) })
			tags := func() map[string]string {
				return w.aws.Snapshot().Accounts[prod].Regions[region].Instances[suspect].Tags
			}
			before := tags()
			works := func() bool {
				ok, _ := a.instance.Can("s3:GetObject", "arn:aws:s3:::secrets/key")
				return ok
			}
			rs := []approvals.Request{w.contained("isolate_instance prod/" + suspect + " region=" + region + " stolen"), {}}
			w.pass(3 * time.Minute)
			rs[1] = w.contained("isolate_instance prod/" + suspect + " region=" + region + " snapshot=yes another team")
			w.pass(3 * time.Minute)
			for n, i := range order {
				w.clicks("U03CAROL", w.again(rs[i]), "undo")
				u := w.state(w.undoOf(rs[i]), approvals.Pending)
				w.clicks("U01ALICE", u, "approve")
				w.pass(3 * time.Minute)
				if n == 0 {
					other := w.state(rs[1-i], approvals.Contained)
					if works() {
						t.Errorf("%s is contained, and the instance's stolen credentials work again", other.ID)
					}
				}
			}
			if !works() {
				t.Error("both are undone, and the credentials are denied")
			}
			if after := tags(); !maps.Equal(before, after) {
				t.Errorf("both are undone, and the tags are %v, not %v", after, before)
			}
		})
	}
}
