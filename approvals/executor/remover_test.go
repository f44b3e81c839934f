package executor_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// records are calls as CloudTrail records them, about a resource, by somebody.
func record(call string, at time.Time, identity, agent string, request map[string]any, resources ...string) trailtypes.Event {
	body, err := json.Marshal(map[string]any{
		"eventVersion": "1.10", "eventSource": "iam.amazonaws.com", "eventName": call, "eventTime": at.UTC().Format(time.RFC3339),
		"eventID": fmt.Sprintf("%08x-0000-4000-8000-000000000000", at.Unix()), "awsRegion": "us-east-1", "sourceIPAddress": "203.0.113.7",
		"userAgent": agent, "readOnly": strings.HasPrefix(call, "Get"), "recipientAccountId": prod,
		"userIdentity": json.RawMessage(identity), "requestParameters": request,
	})
	if err != nil {
		panic(err)
	}
	e := trailtypes.Event{EventName: &call, EventTime: aws.Time(at.UTC().Truncate(time.Second)), CloudTrailEvent: aws.String(string(body)), ReadOnly: aws.String("false")}
	if strings.HasPrefix(call, "Get") {
		e.ReadOnly = aws.String("true")
	}
	for _, name := range resources {
		e.Resources = append(e.Resources, trailtypes.Resource{ResourceName: aws.String(name)})
	}
	return e
}

const (
	byMallory = `{"type":"IAMUser","principalId":"AIDAMALLORY00000001","arn":"arn:aws:iam::222222222222:user/mallory","accountId":"222222222222","accessKeyId":"AKIAMALLORY000000001","userName":"mallory"}`
	byCI      = `{"type":"AssumedRole","principalId":"AROACI0000000000001:build","arn":"arn:aws:sts::222222222222:assumed-role/ci/build","accountId":"222222222222","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROACI0000000000001","arn":"arn:aws:iam::222222222222:role/ci","accountId":"222222222222","userName":"ci"}}}`
	byRoot    = `{"type":"Root","principalId":"222222222222","arn":"arn:aws:iam::222222222222:root","accountId":"222222222222"}`
	byOurRole = `{"type":"AssumedRole","principalId":"AROAOURS000000000001:KS-AAAAAAAAAAAA","arn":"arn:aws:sts::222222222222:assumed-role/killswitch-responder/KS-AAAAAAAAAAAA","accountId":"222222222222","sessionContext":{"sessionIssuer":{"type":"Role","principalId":"AROAOURS000000000001","arn":"arn:aws:iam::222222222222:role/killswitch-responder","accountId":"222222222222","userName":"killswitch-responder"}}}`
)

// TestWatchTellsWhoItWas: the removal since the last good look, as CloudTrail has it some minutes
// later, with what contains whoever made it.
func TestWatchTellsWhoItWas(t *testing.T) {
	t.Parallel()
	deny := map[string]any{"roleName": "app-role", "policyName": denyName}
	for name, c := range map[string]struct {
		events  func(at time.Time) []trailtypes.Event // at: the removal
		who     string
		tool    string
		own     bool
		contain []string
		byHand  string
	}{
		"a user": {
			events: func(at time.Time) []trailtypes.Event {
				return []trailtypes.Event{
					record("DeleteRolePolicy", at, byMallory, "aws-cli/2.15", deny, "app-role", denyName),
					record("GetRolePolicy", at, byCI, "", deny, "app-role", denyName),
					record("TagRole", at, byCI, "", map[string]any{"roleName": "app-role"}, "app-role"),
					record("DeleteRolePolicy", at, byCI, "", map[string]any{"roleName": "app-role", "policyName": "other"}, "app-role", "other"),
				}
			},
			who: "user mallory, key AKIAMALLORY000000001", tool: "the AWS CLI",
			contain: []string{"quarantine_user", "deny_principal", "apply_scp"},
		},
		"a role, by Terraform": {
			events: func(at time.Time) []trailtypes.Event {
				return []trailtypes.Event{record("PutRolePolicy", at, byCI, "APN/1.0 HashiCorp/1.0 Terraform/1.5.7", deny, "app-role", denyName)}
			},
			who: "role ci, session build", tool: "Terraform",
			contain: []string{"revoke_sessions", "detach_policies", "deny_principal", "apply_scp"},
		},
		"root": {
			events: func(at time.Time) []trailtypes.Event {
				return []trailtypes.Event{record("DeleteRolePolicy", at, byRoot, "", deny, "app-role", denyName)}
			},
			who: "root user", contain: []string{"deny_principal", "apply_scp"}, byHand: "root",
		},
		"our own role": {
			events: func(at time.Time) []trailtypes.Event {
				return []trailtypes.Event{record("DeleteRolePolicy", at, byOurRole, "", deny, "app-role", denyName)}
			},
			who: "role killswitch-responder, session KS-AAAAAAAAAAAA", own: true, byHand: "who may assume it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.contained(revoke)
			w.lookEvery(5*time.Second, 2*time.Minute)
			w.aws.Account(prod).AddEvents("us-east-1", record("DeleteRolePolicy", w.clock.Now(), byCI, "", deny, "app-role", denyName)) // before the last good look
			w.lookEvery(time.Minute, 20*time.Minute)
			w.dropDeny()
			at := w.clock.Now()
			w.lookEvery(time.Minute, 17*time.Minute)
			run := w.run(w.state(r, approvals.Contained))
			if len(run.Tampering) != 1 || !run.Tampering[0].Reapplied || run.Tampering[0].By != nil {
				t.Fatalf("before CloudTrail has it: %+v", run.Tampering)
			}
			w.aws.Account(prod).AddEvents("us-east-1", c.events(at)...)
			w.lookEvery(time.Minute, 6*time.Minute)
			run = w.run(w.state(r, approvals.Contained))
			by := run.Tampering[0].By
			if by == nil {
				t.Fatal("CloudTrail was not asked again")
			}
			if by.Who != c.who || by.Own != c.own || by.Tool != c.tool || by.Address != "203.0.113.7" || !by.At.Equal(at.Truncate(time.Second)) {
				t.Errorf("%+v", by)
			}
			var got []string
			for _, c := range by.Contain {
				got = append(got, string(c.Action))
			}
			if fmt.Sprint(got) != fmt.Sprint(c.contain) || !strings.Contains(strings.Join(by.ByHand, "\n"), c.byHand) {
				t.Errorf("offers %v, by hand %q", got, by.ByHand)
			}
			found := 0
			for _, e := range w.chain(r) {
				if e.Event == "remover" && e.Facts["who"] == c.who {
					found++
				}
			}
			if found != 1 {
				t.Errorf("%d links", found)
			}
		})
	}
}

// TestWatchSaysWhenNobodyIsFound: CloudTrail tells nothing, or may not be asked.
func TestWatchSaysWhenNobodyIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		breaks bool
		says   string
	}{"nothing": {false, "no call"}, "denied": {true, "AccessDenied"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.contained(revoke)
			w.lookEvery(5*time.Second, 10*time.Minute)
			w.dropDeny()
			if c.breaks {
				w.breaks("cloudtrail:LookupEvents")
			}
			w.lookEvery(time.Minute, 65*time.Minute)
			by := w.run(w.state(r, approvals.Contained)).Tampering[0].By
			if by == nil || by.Who != "" || !strings.Contains(by.Unknown, c.says) {
				t.Fatalf("%+v", by)
			}
			asked := w.called("cloudtrail:LookupEvents")
			w.lookEvery(15*time.Minute, 3*time.Hour)
			if more := w.called("cloudtrail:LookupEvents") - asked; more != 0 {
				t.Errorf("it is asked %d times more", more)
			}
		})
	}
}

// TestClickContainsWhoRemovedIt: two people contain the one whom the executor found, and nobody
// else.
func TestClickContainsWhoRemovedIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) {
		for _, name := range []string{"ci", "db-role"} {
			w.aws.Account(prod).AddRole(awsfake.Role{Name: name, Path: "/"})
		}
	})
	r := w.contained(revoke)
	w.lookEvery(5*time.Second, 10*time.Minute)
	w.dropDeny()
	w.aws.Account(prod).AddEvents("us-east-1", record("DeleteRolePolicy", w.clock.Now(), byCI, "", map[string]any{"roleName": "app-role", "policyName": denyName}, "app-role", denyName))
	w.lookEvery(time.Minute, 17*time.Minute)
	o := w.run(r).RemoverOffers()[0]
	// The reply's button, as it is drawn.
	click := func() *word {
		d := w.button(carol, r, "propose:revoke_sessions")
		d.actions[0].Value = approvals.Value(r.ID, approvals.IntentDigest(o.Intent))
		d.blocks = []block{plainBlock(approvals.OfferBlock(1), o.Intent.String())}
		d.row = approvals.Request{Intent: o.Intent, Reason: o.Why}
		return d
	}
	other := approvals.Intent{Call: actions.Call{Action: actions.RevokeSessions, Target: "arn:aws:iam::222222222222:role/db-role", Account: prod}}
	for name, alter := range map[string]func(*word){
		"a call that is not offered": func(d *word) {
			d.actions[0].Value = approvals.Value(r.ID, approvals.IntentDigest(other))
			d.blocks, d.row.Intent = []block{plainBlock(approvals.OfferBlock(1), other.String())}, other
		},
		"another call shown":       func(d *word) { d.blocks = []block{plainBlock(approvals.OfferBlock(1), other.String())} },
		"no call shown":            func(d *word) { d.blocks = []block{plainBlock("note", "x")} },
		"shown twice":              func(d *word) { d.blocks = append(d.blocks, plainBlock(approvals.OfferBlock(2), o.Intent.String())) },
		"another action's button":  func(d *word) { d.actions[0].ID = "propose:apply_scp" },
		"the row asks for another": func(d *word) { d.row.Intent = other },
		"another reason":           func(d *word) { d.row.Reason = "because" },
		"by one click":             func(d *word) { d.row.Mode = approvals.OneClick },
		"with another secret":      func(d *word) { d.secret = "another" },
		"the digest of the call":   func(d *word) { d.actions[0].Value = approvals.Value(r.ID, w.planned(r).Digest) },
	} {
		d := click()
		alter(d)
		got := w.bring(d)
		w.drain()
		if got = w.again(got); name == "by one click" {
			if got.State != approvals.Pending && got.State != approvals.Refused {
				t.Errorf("%s: %s", name, got.State)
			}
		} else if got.State != approvals.Refused {
			t.Errorf("%s: %s", name, got.State)
		}
		if w.policy("ci") != "" {
			t.Fatalf("%s: it ran", name)
		}
	}
	asked := w.bring(click())
	w.drain()
	asked = w.state(asked, approvals.Pending)
	w.clicks(bob, asked, "approve")
	if w.state(asked, approvals.Contained); w.policy("ci") == "" {
		t.Error("it was not contained")
	}
}

// removed is what CloudTrail has of the deny's removal now.
func (w *world) removed(identity string) {
	w.aws.Account(prod).AddEvents("us-east-1", record("DeleteRolePolicy", w.clock.Now(), identity, "", map[string]any{"roleName": "app-role", "policyName": denyName}, "app-role", denyName))
}

// TestWatchPutsBackWhatItsRunCouldNotReadBack: somebody takes the deny away as soon as it is put, in
// the run and in looks. It is in force for no time, so it is partial; it is told who that is, and put
// again with each look, until they stop.
func TestWatchPutsBackWhatItsRunCouldNotReadBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	races := true
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Phase == awsfake.After && c.Op == "iam:PutRolePolicy" && races {
			w.clock.Add(time.Second)
			w.dropDeny()
			w.removed(byCI)
		}
		return nil
	})
	mend := w.breaks("iam:TagRole") // nothing else holds
	r := w.clicks(bob, w.types(alice, revoke), "approve")
	w.state(r, approvals.Partial)
	mend()
	puts := w.called("iam:PutRolePolicy")
	w.lookEvery(5*time.Second, time.Minute)
	run := w.run(w.state(r, approvals.Partial))
	if n := w.called("iam:PutRolePolicy") - puts; n < 3 || run.Tampered < 3 || run.Tampering[0].By == nil || run.Tampering[0].By.Who != "role ci, session build" {
		t.Fatalf("put %d times, %+v", n, run.Tampering)
	}
	races = false
	w.lookEvery(5*time.Second, 30*time.Second)
	tampered := w.run(w.state(r, approvals.Contained)).Tampered
	w.lookEvery(time.Minute, time.Hour)
	if run := w.run(w.state(r, approvals.Contained)); run.Tampered != tampered || w.policy("app-role") == "" {
		t.Errorf("after they stopped: %+v", run.Tampering)
	}
}

// TestAnotherRemoverIsTold: of many removals by one, three are told within the hour. Another one is
// told with the first of theirs, and that once; of a crowd one a minute.
func TestAnotherRemoverIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.contained(revoke)
	told := func() []approvals.Tampered { return w.run(w.state(r, approvals.Contained)).Told() }
	removes := func(times int, as func(n int) string) {
		for n := range times {
			w.dropDeny()
			w.removed(as(n))
			w.lookEvery(5*time.Second, 5*time.Second)
		}
	}
	removes(20, func(int) string { return byCI })
	if got := told(); len(got) != 3 {
		t.Errorf("by one: %d told", len(got))
	}
	removes(2, func(int) string { return byMallory })
	if got := told(); len(got) != 4 || got[3].N != 21 || got[3].By == nil || !strings.Contains(got[3].By.Who, "mallory") {
		t.Errorf("by another: %+v", got)
	}
	removes(14, func(int) string { return byOurRole })
	if got := told(); len(got) != 5 || !got[4].By.Own {
		t.Errorf("by our own role: %+v", got)
	}
	removes(20, func(n int) string { return strings.ReplaceAll(byCI, "ci", fmt.Sprintf("ci-%d", n)) })
	if got := told(); len(got) != 6 {
		t.Errorf("by a crowd, within 100 seconds: %d told", len(got)-5)
	}
}
