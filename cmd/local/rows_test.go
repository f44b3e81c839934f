package local_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// badRow puts a row into the table requests that nobody should be able to write.
func (w *world) badRow(id, body string) {
	w.t.Helper()
	w.must(w.Requests.Write(w.t.Context(), approvals.Put{Row: approvals.Row{Key: approvals.Key{Part: id, Sort: "request"}, Body: []byte(body), Marks: approvals.Marks}}))
}

// TestUnreadableRowStopsNeitherSweepNorList: a row that can't be read must not stop the sweep or the list for
// the others.
func TestUnreadableRowStopsNeitherSweepNorList(t *testing.T) {
	t.Parallel()
	const id = "KS-000000000000"
	for name, body := range map[string]string{
		"no state":          `{"id":"` + id + `","revision":1}`,
		"unknown state":     `{"id":"` + id + `","revision":1,"state":"sideways"}`,
		"not JSON":          `not json`,
		"another's ID":      `{"id":"KS-ZZZZZZZZZZZZ","revision":1,"state":"pending"}`,
		"an undoing orphan": `{"id":"` + id + `","revision":1,"state":"undoing","undone_by":"x"}`,
		"a running orphan":  `{"id":"` + id + `","revision":1,"state":"running"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.badRow(id, body)
			held := w.contained(command)
			w.clock.Add(time.Second)
			r := w.state(w.asks("U01ALICE", anotherCommand), approvals.Pending)
			w.types("U03CAROL", "list")
			w.told("U03CAROL", r.ID)
			w.told("U03CAROL", held.ID)
			w.pass(2 * time.Minute)
			w.clock.Add(30 * time.Minute)
			w.pass(30 * time.Second)
			w.state(r, approvals.Expired)
			if run := w.run(held); run.Checks < 3 {
				t.Errorf("%d re-checks", run.Checks)
			}
		})
	}
}

// TestPanicOfARowDoesNotEndTheSweep: even a row that breaks the code that looks after it must not
// end the sweep.
func TestPanicOfARowDoesNotEndTheSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.badRow("KS-000000000000", `{"id":"KS-000000000000","revision":1,"state":"pending","expires":"2026-11-21T09:00:00Z","intent":{"undo":"KS-ZZZZZZZZZZZZ","call":{}}}`)
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	w.clock.Add(31 * time.Minute)
	w.pass(30 * time.Second)
	w.state(r, approvals.Expired)
}

// TestPageOfUnreadableRowsDoesNotStopTheSweep: a whole page of rows without an ID must not hold the sweep
// for ever.
func TestPageOfUnreadableRowsDoesNotStopTheSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 100 {
		w.badRow(fmt.Sprintf("KS-0000000000%02d", i), `{"id":"","state":"refused"}`)
	}
	r := w.state(w.asks("U01ALICE", command), approvals.Pending)
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.clock.Add(40 * time.Minute)
		_ = w.zones.Bot.Sweep(t.Context())
	}()
	select {
	case <-done:
	case <-time.After(5 * time.Second):
		t.Fatal("the sweep never ends")
	}
	w.drain()
	w.state(r, approvals.Expired)
}

// TestMessageOfAnImpossibleTimeStopsNoOther: a message of a time that can't be must not hold up the others,
// and what somebody signed is not kept when it is set aside.
func TestMessageOfAnImpossibleTimeStopsNoOther(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	form := `command=%2Fkillswitch&team_id=T01ACME&user_id=U01ALICE&channel_id=C01INC&api_app_id=A01APP&text=revoke_sessions+prod%2Fapp-role+reason%3Dx`
	w.must(w.Slack.Send(t.Context(), []byte(`{"timestamp":"999999999999","body":"`+form+`"}`), 0))
	w.drain()
	w.contained(command)
	w.pass(40 * time.Minute)
	if d, ok, err := w.Dead.Receive(t.Context(), 0); err != nil || ok && strings.Contains(string(d.Body), "app-role") {
		t.Errorf("set aside with its body: %s %v", d.Body, err)
	}
}
