package executor_test

import (
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// expired is a request that nobody approved in time.
func (w *world) expired(line string) approvals.Request {
	w.t.Helper()
	r := w.state(w.types(alice, line), approvals.Pending)
	w.pass(31 * time.Minute)
	return w.state(r, approvals.Expired)
}

// TestForgedClicksOnAgainAreRefused: such a click is a request only on the card of what
// ended, for its call, and not by the person to whom it was denied.
func TestForgedClicksOnAgainAreRefused(t *testing.T) {
	t.Parallel()
	table := map[string]struct {
		forge func(*world, *word)
		why   string
	}{
		"another call in the block":      {func(_ *world, d *word) { d.blocks[1] = plainBlock(approvals.CallBlock, otherCall.String()) }, "the card did not show this call"},
		"a call that does not parse":     {func(_ *world, d *word) { d.blocks[1] = plainBlock(approvals.CallBlock, "call him") }, "the card did not show this call"},
		"another call in the row":        {func(_ *world, d *word) { d.row.Intent.Call = otherCall }, "not what was asked for"},
		"a reason of its own":            {func(_ *world, d *word) { d.row.Reason = "because" }, "not what was asked for"},
		"the requester before":           {func(_ *world, d *word) { d.row.Requester.Person = "alice" }, "not what was asked for"},
		"the digest of the call before":  {func(_ *world, d *word) { d.actions[0].Value = approvals.Value(d.about.ID, d.about.Digest) }, "the button is another call's"},
		"a person outside the group":     {func(_ *world, d *word) { d.user = mallory }, "not_requester"},
		"a Slack user whom nobody knows": {func(_ *world, d *word) { d.user = nobody; d.row.Requester.Slack = nobody }, "nobody in the roster"},
		"a request that there is not": {func(_ *world, d *word) {
			d.actions[0].Value = approvals.Value("KS-4G7QX2M9ZT0B", approvals.IntentDigest(d.about.Intent))
		}, "there is no request KS-4G7QX2M9ZT0B that ended"},
		"the old message of another request": {func(w *world, d *word) {
			other := w.types(carol, "detach_policies "+appRole+" reason=else")
			d.actions[0].Value = w.button(bob, other, approvals.AgainButton).actions[0].Value
		}, "there is no request"},
		"what both cards show, of another person": {func(_ *world, d *word) {
			d.blocks[2] = plainBlock(approvals.ReasonBlock, approvals.ReasonLine("carol", d.about.Reason))
		}, "did not show who asked and why"},
		"what is contained by now": {func(w *world, d *word) {
			rewrite(w, runKey(d.about), func(run *approvals.Run) { run.Outcome = approvals.Contained })
		}, "is contained"},
		"the person to whom it was denied": {func(w *world, d *word) {
			d.user = alice
			rewrite(w, runKey(d.about), func(run *approvals.Run) { run.Outcome = approvals.Denied })
		}, "was yours, and it was denied"},
		"what is to be typed": {func(w *world, d *word) {
			rewrite(w, planKey(d.about), func(p *approvals.Planned) { p.Intent.Call.Action = "delete_role" })
		}, "asked for by typing"},
	}
	for name, c := range cards {
		table["on a card: "+name] = c
	}
	for name, c := range table {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.expired(revoke)
			d := w.button(bob, r, approvals.AgainButton)
			c.forge(w, d)
			got := w.bring(d)
			w.drain()
			w.refused(got, c.why)
			w.untouched()
		})
	}
}

// TestCallIsAskedForAgain by whoever clicks, whatever the end was; another person must
// approve it.
func TestCallIsAskedForAgain(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end func(*world) approvals.Request
		why string
	}{
		"expired":   {func(w *world) approvals.Request { return w.expired(revoke) }, "expired"},
		"denied":    {func(w *world) approvals.Request { r := w.types(alice, revoke); w.clicks(carol, r, "deny"); return r }, "denied by carol"},
		"cancelled": {func(w *world) approvals.Request { r := w.types(alice, revoke); w.clicks(alice, r, "cancel"); return r }, "cancelled by alice"},
		"cancelled before the plan": {func(w *world) approvals.Request {
			r := w.bring(w.says(alice, revoke))
			w.clears()
			w.clicks(alice, r, "cancel")
			return r
		}, "cancelled by alice"},
		"refused by the plan": {func(w *world) approvals.Request {
			mend := w.breaks("iam:GetRole")
			r := w.types(alice, revoke)
			mend()
			return w.state(r, approvals.Refused)
		}, "refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			old := w.again(c.end(w))
			r := w.state(w.clicks(bob, old, approvals.AgainButton), approvals.Pending)
			if want := "again (" + old.ID + " " + c.why + "): " + old.Reason; r.Reason != want || w.planned(r).Person != "bob" {
				t.Errorf("%q by %s, want %q", r.Reason, w.planned(r).Person, want)
			}
			w.state(w.clicks(alice, r, "approve"), approvals.Contained)
			w.state(old, old.State)
		})
	}
	t.Run("an undo", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		r := w.contained(revoke)
		u := w.asksUndo(r)
		w.pass(31 * time.Minute)
		again := w.state(w.clicks(carol, w.state(u, approvals.Expired), approvals.AgainButton), approvals.Pending)
		w.state(w.clicks(alice, again, "approve"), approvals.Restored)
		w.state(r, approvals.Undone)
	})
}

// TestUnprovedRequestIsNotAskedForAgain: of a row whose evidence says something else nothing
// is kept.
func TestUnprovedRequestIsNotAskedForAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	d := w.says(alice, revoke)
	d.row.Intent.Call = otherCall
	r := w.bring(d)
	w.drain()
	w.refused(r, "not what was asked for")
	d = w.button(bob, r, approvals.AgainButton)
	d.row = approvals.Request{Intent: r.Intent, Reason: "again"}
	got := w.bring(d)
	w.drain()
	w.refused(got, "nothing proves who asked for")
}
