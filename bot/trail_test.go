package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// inForceNow makes a request whose run holds something in force.
func (d *desk) inForceNow(n int, f approvals.InForce, alter ...func(*approvals.Request, *approvals.Run)) string {
	d.Helper()
	r := approvals.Request{ID: fmt.Sprintf("KS-%012d", n), State: approvals.Contained, RunRevision: 1, Closed: true,
		Intent: approvals.Intent{Call: actions.Call{Action: actions.RevokeSessions, Target: fmt.Sprintf("arn:aws:iam::%s:role/role-%d", account, n), Account: account}}}
	run := approvals.Run{ID: r.ID, Outcome: approvals.Contained, InForce: f, AppliedAt: d.Now().Add(-time.Hour), NextCheck: d.Now().Add(time.Hour)}
	for _, f := range alter {
		f(&r, &run)
	}
	put, err := d.Requests.Put(r)
	d.must(err)
	d.must(d.Requests.Store.Write(d.Context(), put))
	d.must(d.runs.Write(d.Context(), approvals.PutRow(approvals.RunKey(r.ID), 0, run)))
	return r.ID
}

// timed is a queue of jobs that notes when each is due.
type timed struct {
	*sent
	now func() time.Time
	mu  sync.Mutex
	due map[string][]time.Duration // since the queue began
	at0 time.Time
}

func newTimed(d *desk) *timed {
	q := &timed{sent: d.jobs, now: d.Now, due: map[string][]time.Duration{}, at0: d.Now()}
	d.Jobs = q
	return q
}

func (q *timed) Send(ctx context.Context, j approvals.Job, delay time.Duration) error {
	if err := q.sent.Send(ctx, j, delay); err != nil || j.Verb != approvals.JobEvent {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.due[j.ID] = append(q.due[j.ID], q.now().Sub(q.at0)+delay)
	return nil
}

// tampers is an event of CloudTrail about a call of now.
func (d *desk) tampers(service, call, in, request string) []byte {
	d.Helper()
	b, err := json.Marshal(map[string]any{"source": "aws." + service, "detail-type": "AWS API Call via CloudTrail", "account": in, "id": "e", "region": "us-east-1", "time": d.Now().UTC(),
		"detail": map[string]any{"eventSource": service + ".amazonaws.com", "eventName": call, "eventTime": d.Now().UTC().Format("2006-01-02T15:04:05Z"), "recipientAccountId": in,
			"requestParameters": json.RawMessage(request), "userIdentity": map[string]any{"type": "AssumedRole"}, "eventID": "e", "awsRegion": "us-east-1", "readOnly": false}})
	d.must(err)
	return b
}

func droppedBy(role string) string {
	return fmt.Sprintf(`{"roleName":%q,"policyName":"AWSRevokeOlderSessions"}`, role)
}

// TestWhatAnEventIsAbout: which containments an event makes look, by the names that they hold.
func TestWhatAnEventIsAbout(t *testing.T) {
	const other = "999999999999"
	atDesk(t, func(t *testing.T, d *desk) {
		ids := map[string]string{}
		for i, c := range []struct {
			name string
			f    approvals.InForce
		}{
			{"role", approvals.InForce{Account: account, Names: []string{"app-role"}}},
			{"role elsewhere", approvals.InForce{Account: other, Names: []string{"app-role"}}},
			{"all", approvals.InForce{Account: account, Names: []string{"awsrevokeoldersessions"}}},
			{"instance", approvals.InForce{Account: account, Names: []string{"i-0a", "eni-0a", "sg-0a"}}},
			{"too many", approvals.InForce{Account: account, Names: []string{"eni-1"}, More: true}},
			{"freeze", approvals.InForce{Account: account, Names: []string{account, "killswitch-freeze"}, SCP: true}},
			{"freeze elsewhere", approvals.InForce{Account: other, Names: []string{other, "killswitch-freeze"}, SCP: true}},
			{"before it was kept", approvals.InForce{}},
		} {
			ids[d.inForceNow(i, c.f)] = c.name
		}
		for i, state := range []approvals.State{approvals.Failed, approvals.Undoing, approvals.Undone, approvals.Partial} {
			id := d.inForceNow(100+i, approvals.InForce{Account: account, Names: []string{"app-role"}}, func(r *approvals.Request, _ *approvals.Run) { r.State = state })
			ids[id] = string(state)
		}
		id := d.inForceNow(200, approvals.InForce{Account: account, Names: []string{"app-role"}}, func(r *approvals.Request, _ *approvals.Run) { r.Intent.Undo = "KS-000000000000" })
		ids[id] = "an undo"

		for _, c := range []struct{ service, call, in, request, want string }{
			{"iam", "DeleteRolePolicy", account, droppedBy("App-Role"), "all, partial, role, too many"},
			{"iam", "DeleteRolePolicy", account, droppedBy("another"), "all, too many"},
			{"iam", "DeleteRolePolicy", account, `{"roleName":"another","policyName":"x"}`, "too many"},
			{"iam", "DeleteRolePolicy", "333333333333", droppedBy("app-role"), ""},
			{"ec2", "ModifyNetworkInterfaceAttribute", account, `{"networkInterfaceId":"eni-0a"}`, "instance, too many"},
			{"ec2", "AuthorizeSecurityGroupIngress", account, `{"groupId":"sg-0a"}`, "instance, too many"},
			{"organizations", "DetachPolicy", "111111111111", `{"policyId":"p-1","targetId":"` + account + `"}`, "freeze"},
			{"organizations", "UpdatePolicy", "111111111111", `{"policyId":"p-1"}`, "freeze, freeze elsewhere"},
			{"organizations", "LeaveOrganization", other, `null`, "freeze elsewhere"},
			{"iam", "DeleteRolePolicy", account, `null`, "too many"},
		} {
			time.Sleep(2 * time.Minute) // whatever was sent is over
			d.jobs.jobs = nil
			d.must(d.HandleTrail(t.Context(), d.tampers(c.service, c.call, c.in, c.request)))
			var got []string
			for _, id := range d.jobs.of(approvals.JobEvent) {
				got = append(got, ids[id])
			}
			slices.Sort(got)
			if strings.Join(got, ", ") != c.want {
				t.Errorf("%s %s in %s: %v, want %s", c.call, c.request, c.in, got, c.want)
			}
		}
		if n := len(d.posts); n != 0 || d.store.writes > 20 {
			t.Errorf("%d messages, %d writes", n, d.store.writes)
		}
	})
}

// TestFloodOfEventsIsFewJobs: twenty a second for five minutes about one containment, of fifty, and
// of a thousand others. The first is sent at once, no later one waits more than 30 s, and what is
// sent is one in 30 s. The tables are read every ten seconds.
func TestFloodOfEventsIsFewJobs(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		var ids []string
		for i := range 50 {
			ids = append(ids, d.inForceNow(i, approvals.InForce{Account: account, Names: []string{fmt.Sprintf("role-%d", i)}}))
		}
		counted := &reads{Store: d.Requests.Store}
		d.Requests.Store = counted
		q := newTimed(d)
		for i := range 20 * 300 {
			role := "role-0"
			switch i % 20 {
			case 1:
				role = fmt.Sprintf("role-%d", i/20%50)
			case 2:
				role = fmt.Sprintf("foreign-%d", i)
			}
			d.must(d.HandleTrail(t.Context(), d.tampers("iam", "DeleteRolePolicy", account, droppedBy(role))))
			time.Sleep(50 * time.Millisecond)
		}
		due := q.due[ids[0]]
		if len(due) != 11 || due[0] != 0 || due[10] < 300*time.Second {
			t.Errorf("%d jobs: %v", len(due), due)
		}
		for i := 1; i < len(due); i++ {
			if due[i]-due[i-1] != approvals.LookGap {
				t.Errorf("between two jobs: %s", due[i]-due[i-1])
			}
		}
		if jobs := len(d.jobs.jobs); jobs > 11+50*7 || len(slices.Collect(maps.Keys(q.due))) != 50 {
			t.Errorf("%d jobs about %d", jobs, len(q.due))
		}
		if counted.marked > 31 {
			t.Errorf("the requests in force were listed %d times", counted.marked)
		}
	})
}

// reads counts the listings of a store.
type reads struct {
	approvals.Store
	marked int
}

func (s *reads) Marked(ctx context.Context, mark string, after approvals.Key, limit int) ([]approvals.Row, error) {
	s.marked++
	return s.Store.Marked(ctx, mark, after, limit)
}

// TestJobThatCanNotBeSentIsAskedForAgain, and an event from before the deny is none.
func TestJobThatCanNotBeSentIsAskedForAgain(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		d.inForceNow(1, approvals.InForce{Account: account, Names: []string{"app-role"}})
		event := d.tampers("iam", "DeleteRolePolicy", account, droppedBy("app-role"))
		d.jobs.err = errBroken
		if err := d.HandleTrail(t.Context(), event); !errors.Is(err, errBroken) {
			t.Errorf("%v", err)
		}
		d.jobs.err = nil
		q := newTimed(d)
		d.must(d.HandleTrail(t.Context(), event))
		if due := q.due["KS-000000000001"]; len(due) != 1 || due[0] != 0 {
			t.Errorf("sent %v", due)
		}

		time.Sleep(time.Minute)
		before := d.tampers("iam", "DeleteRolePolicy", account, droppedBy("other"))
		time.Sleep(time.Minute)
		id := d.inForceNow(2, approvals.InForce{Account: account, Names: []string{"other"}}, func(_ *approvals.Request, run *approvals.Run) { run.AppliedAt = d.Now() })
		d.must(d.HandleTrail(t.Context(), before))
		if len(q.due[id]) != 0 {
			t.Error("an event from before the deny was applied")
		}
		d.must(d.HandleTrail(t.Context(), d.tampers("iam", "DeleteRolePolicy", account, droppedBy("other")))) // in its second
		if len(q.due[id]) != 1 {
			t.Errorf("sent %v", q.due[id])
		}
	})
}

// TestWhatIsReadAnew: a containment that holds something else by now, one more, and one that can't
// be read, which hides no other.
func TestWhatIsReadAnew(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		id := d.inForceNow(1, approvals.InForce{Account: account, Names: []string{"app-role"}})
		q := newTimed(d)
		d.must(d.HandleTrail(t.Context(), d.tampers("iam", "DeleteRolePolicy", account, droppedBy("second"))))
		d.must(d.runs.Write(t.Context(), approvals.PutRow(approvals.RunKey(id), 1, approvals.Run{ID: id, InForce: approvals.InForce{Account: account, Names: []string{"app-role", "second"}}})))
		_, err := d.Requests.Change(t.Context(), id, func(r *approvals.Request) error { r.RunRevision++; return nil })
		d.must(err)
		broken := d.inForceNow(2, approvals.InForce{Account: account, Names: []string{"second"}})
		d.must(d.runs.Write(t.Context(), approvals.Put{Row: approvals.Row{Key: approvals.RunKey(broken), Version: 1, Body: []byte("{")}}))
		time.Sleep(inForceFor)
		d.must(d.HandleTrail(t.Context(), d.tampers("iam", "DeleteRolePolicy", account, droppedBy("second"))))
		if len(q.due[id]) != 1 || len(q.due[broken]) != 0 {
			t.Errorf("sent %v", q.due)
		}
	})
}

// TestEventOfAWebhookSetsALook, and is an alert as before; what came over the queue of alerts, and a
// drill, set none.
func TestEventOfAWebhookSetsALook(t *testing.T) {
	atDesk(t, func(t *testing.T, d *desk) {
		id := d.inForceNow(1, approvals.InForce{Account: account, Names: []string{"app-role"}})
		q := newTimed(d)
		event := d.tampers("iam", "DeleteRolePolicy", account, droppedBy("app-role"))
		d.must(d.HandleEvent(t.Context(), event))
		d.must(d.HandleWebhook(t.Context(), Webhook{ID: "eventbridge", Path: "/events", Drill: "d-1", Body: string(event)}))
		d.must(d.HandleWebhook(t.Context(), Webhook{ID: "stranger", Path: "/events", Body: string(event)}))
		if len(q.due[id]) != 0 {
			t.Fatalf("sent %v", q.due)
		}
		ignored := d.countedNow("EventsIgnored")
		d.must(d.HandleWebhook(t.Context(), Webhook{ID: "eventbridge", Path: "/events", Body: "[" + string(event) + "," + string(event) + "]"}))
		if len(q.due[id]) != 2 || q.due[id][1] != approvals.LookGap {
			t.Errorf("sent %v", q.due)
		}
		if n := d.countedNow("EventsIgnored") - ignored; n != 2 {
			t.Errorf("%d of them were no alert", n)
		}
	})
}
