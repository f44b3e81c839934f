package approvals_test

import (
	"maps"
	"reflect"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// goldenID and goldenKey are what stored rows were named by.
const (
	goldenID  = "KS-MT0EQ3JD0QM2"
	goldenKey = "7ace757167fc3695d9b0bcc9003c51f529685378bc7a76f5971c148f121f9f7d"
)

func TestRequestID(t *testing.T) {
	e := approvals.Evidence{Kind: approvals.SlackEvidence, Timestamp: "1531420618", Signature: "v0=00", Body: "command=%2Fkillswitch"}
	id := approvals.RequestID(e)
	// The ID of a stored request must never change.
	if id != goldenID {
		t.Errorf("ID is %s, it was %s", id, goldenID)
	}
	if !approvals.IsRequestID(id) {
		t.Errorf("%s is not an ID", id)
	}
	signed := e
	signed.Signature = "v0=11"
	if approvals.RequestID(signed) != id {
		t.Error("what was signed is the same, the ID is not")
	}
	for name, other := range map[string]approvals.Evidence{
		"kind":          {Kind: approvals.STSEvidence, Timestamp: e.Timestamp, Body: e.Body},
		"timestamp":     {Kind: e.Kind, Timestamp: "1531420619", Body: e.Body},
		"body":          {Kind: e.Kind, Timestamp: e.Timestamp, Body: e.Body + " "},
		"boundary":      {Kind: e.Kind, Timestamp: e.Timestamp + "c", Body: e.Body[1:]},
		"boundary back": {Kind: e.Kind, Timestamp: "153142061", Body: "8" + e.Body},
		"signed alike":  {Kind: e.Kind, Timestamp: e.Timestamp + ":" + e.Body, Body: ""},
		"nothing":       {},
	} {
		if approvals.RequestID(other) == id {
			t.Errorf("another %s has the same ID", name)
		}
	}
}

// TestTimestampAndBodyCanNotBeShifted shows that moving text between timestamp and body never
// makes evidence that both verifies and has a time.
func TestTimestampAndBodyCanNotBeShifted(t *testing.T) {
	const secret = "s"
	verifier := approvals.SlackVerifier{Secrets: secrets(secret)}
	whole := approvals.Evidence{Kind: approvals.SlackEvidence, Timestamp: "1531420618", Body: "1:2\n3:4"}
	whole.Signature = approvals.SignSlack(secret, whole.Timestamp, whole.Body)
	for _, sep := range []string{":", "\n", ""} {
		all := whole.Timestamp + sep + whole.Body
		for cut := 0; cut+len(sep) <= len(all); cut++ {
			if all[cut:cut+len(sep)] != sep {
				continue
			}
			e := approvals.Evidence{Kind: whole.Kind, Timestamp: all[:cut], Body: all[cut+len(sep):], Signature: whole.Signature}
			_, err := e.At()
			if e != whole && verifier.Verify(t.Context(), e) == nil && err == nil {
				t.Errorf("%q is evidence too", e)
			}
		}
	}
}

func TestIsRequestID(t *testing.T) {
	for s, want := range map[string]bool{
		"KS-4G7QX2M9ZT0B": true, "KS-000000000000": true, "KS-ZZZZZZZZZZZZ": true,
		"": false, "KS-": false, "KS-4G7QX2M9ZT0": false, "KS-4G7QX2M9ZT0BB": false, "ks-4g7qx2m9zt0b": false, "KS-4G7QX2M9ZT0B\n": false, " KS-4G7QX2M9ZT0B": false,
		"KS-IG7QX2M9ZT0B": false, "KS-LG7QX2M9ZT0B": false, "KS-OG7QX2M9ZT0B": false, "KS-UG7QX2M9ZT0B": false, "KS_4G7QX2M9ZT0B": false, "KS-4G7QX2M9ZT0#": false,
	} {
		if approvals.IsRequestID(s) != want {
			t.Errorf("%q: want %t", s, want)
		}
	}
}

// hashed is all that a call digest covers.
type hashed struct {
	id       string
	intent   approvals.Intent
	target   actions.Identity
	bound    actions.Bound
	entry    approvals.ActionPolicy
	snapshot string
}

func (h hashed) digest() string {
	return approvals.CallDigest(h.id, h.intent, actions.Plan{Identity: h.target, Bound: h.bound}, h.entry, h.snapshot)
}

func newHashed() hashed {
	return hashed{
		id: "KS-4G7QX2M9ZT0B",
		intent: approvals.Intent{Call: actions.Call{
			Action: "isolate", Target: "i-0abc", Account: "111122223333", Region: "eu-west-1", Options: map[string]string{"mode": "deny", "via": "scp"},
		}},
		target: actions.Identity{ARN: "arn:aws:iam::111122223333:role/app", ID: "AROA1"},
		entry:  approvals.ActionPolicy{Requesters: "responders", Approvers: "leads", Approvals: 1, ApproveWithin: 30 * time.Minute, RunWithin: time.Hour},
	}
}

func TestDigestsCoverEachPart(t *testing.T) {
	calls := map[string]func(*actions.Call){
		"Action":  func(c *actions.Call) { c.Action = "freeze" },
		"Target":  func(c *actions.Call) { c.Target += "d" },
		"Account": func(c *actions.Call) { c.Account = "111122223334" },
		"Region":  func(c *actions.Call) { c.Region = "" },
		"Options": func(c *actions.Call) { c.Options["via"] = "sg" },
	}
	more := map[string]func(*actions.Call){
		"option added":           func(c *actions.Call) { c.Options["scp"] = "x" },
		"option removed":         func(c *actions.Call) { delete(c.Options, "via") },
		"option into the target": func(c *actions.Call) { c.Target += " via=scp"; delete(c.Options, "via") },
		"options swapped":        func(c *actions.Call) { c.Options["mode"], c.Options["via"] = "scp", "deny" },
	}
	entries := map[string]func(*approvals.ActionPolicy){
		"Requesters":      func(e *approvals.ActionPolicy) { e.Requesters = "all" },
		"Approvers":       func(e *approvals.ActionPolicy) { e.Approvers = "all" },
		"Approvals":       func(e *approvals.ActionPolicy) { e.Approvals = 2 },
		"ApproveWithin":   func(e *approvals.ActionPolicy) { e.ApproveWithin++ },
		"RunWithin":       func(e *approvals.ActionPolicy) { e.RunWithin++ },
		"BreakGlassAfter": func(e *approvals.ActionPolicy) { e.BreakGlassAfter++ },
		"RequireSTS":      func(e *approvals.ActionPolicy) { e.RequireSTS = true },
	}
	if got, want := len(calls), reflect.TypeFor[actions.Call]().NumField(); got != want {
		t.Errorf("%d of a call's %d fields are changed", got, want)
	}
	if got, want := len(entries), reflect.TypeFor[approvals.ActionPolicy]().NumField(); got != want {
		t.Errorf("%d of an entry's %d fields are changed", got, want)
	}
	if got := reflect.TypeFor[approvals.Intent]().NumField(); got != 3 {
		t.Errorf("an intent has %d fields, call, undo and keys are changed", got)
	}

	base := newHashed()
	if base.digest() != newHashed().digest() {
		t.Error("the same call has two digests")
	}
	intents, digests := map[string]string{approvals.IntentDigest(base.intent): "base"}, map[string]string{base.digest(): "base"}
	try := func(name string, ofIntent bool, f func(*hashed)) {
		t.Helper()
		h := newHashed()
		f(&h)
		if was, taken := digests[h.digest()]; taken {
			t.Errorf("%s: the call's digest is that of %s", name, was)
		}
		digests[h.digest()] = name
		was, taken := intents[approvals.IntentDigest(h.intent)]
		if taken == ofIntent {
			t.Errorf("%s: the intent's digest is that of %q", name, was)
		}
		intents[approvals.IntentDigest(h.intent)] = name
	}
	for _, table := range []map[string]func(*actions.Call){calls, more} {
		for name, f := range table {
			try(name, true, func(h *hashed) { h.intent.Call.Options = maps.Clone(h.intent.Call.Options); f(&h.intent.Call) })
		}
	}
	for name, f := range entries {
		try(name, false, func(h *hashed) { f(&h.entry) })
	}
	try("undo", true, func(h *hashed) { h.intent.Undo = "KS-4G7QX2M9ZT0C" })
	try("id", false, func(h *hashed) { h.id = "KS-4G7QX2M9ZT0C" })
	try("identity", false, func(h *hashed) { h.target.ID = "AROA2" })
	try("snapshot", false, func(h *hashed) { h.snapshot = "s1" })
	try("bound content", false, func(h *hashed) { h.bound.Hash = "b1" })
	try("bound content into the snapshot", false, func(h *hashed) { h.snapshot = "b1" })
	try("identity into the snapshot", false, func(h *hashed) { h.target.ID, h.snapshot = "", h.target.ID })
}

func TestButtonValueIsSplitAsItWasJoined(t *testing.T) {
	for value, want := range map[string][2]string{
		approvals.Value("KS-4G7QX2M9ZT0B", "d1"): {"KS-4G7QX2M9ZT0B", "d1"},
		approvals.Value("KS-4G7QX2M9ZT0B", ""):   {"KS-4G7QX2M9ZT0B", ""}, // not planned yet: it can be denied
		"KS-4G7QX2M9ZT0B.d1.d2":                  {"KS-4G7QX2M9ZT0B", "d1.d2"},
	} {
		if id, digest, ok := approvals.SplitValue(value); !ok || id != want[0] || digest != want[1] {
			t.Errorf("%q: %q, %q, %t", value, id, digest, ok)
		}
	}
	for _, value := range []string{"", ".", "KS-4G7QX2M9ZT0B", ".d1", "ks-4g7qx2m9zt0b.d1", "KS-4G7QX2M9ZT0B d1", "x KS-4G7QX2M9ZT0B.d1"} {
		if _, _, ok := approvals.SplitValue(value); ok {
			t.Errorf("%q is a value", value)
		}
	}
}

func TestCardLines(t *testing.T) {
	if got := approvals.ReasonLine("ana", "keys on a paste site"); got != "Why (ana): keys on a paste site" {
		t.Error(got)
	}
	i := newHashed().intent
	const call = "isolate i-0abc account=111122223333 region=eu-west-1 mode=deny via=scp"
	if got := i.String(); got != call {
		t.Error(got)
	}
	i.Undo = "KS-4G7QX2M9ZT0B"
	if got := i.String(); got != "undo KS-4G7QX2M9ZT0B: "+call {
		t.Error(got)
	}
	i.ReactivateKeys = true // gives an attacker's keys back, so who approves must see it
	if got := i.String(); got != "undo KS-4G7QX2M9ZT0B keys=reactivate: "+call {
		t.Error(got)
	}
}

func TestSameWords(t *testing.T) {
	for _, c := range []struct {
		name, a, b string
		want       bool
	}{
		{"the same", "Why (ana): keys leaked", "Why (ana): keys leaked", true},
		{"other spaces, quotes and signs", "Why (ana): \"keys\"  leaked…", "Why (ana): “keys” leaked...", true},
		{"another case", "Über", "über", true},
		{"another letter", "keys leaked", "keys leaker", false},
		{"another digit", "ticket 1", "ticket 2", false},
		{"a digit more", "ticket", "ticket 2", false},
		{"only signs", "", "?!", true},
		{"nothing", "", "keys", false},
	} {
		if got := approvals.SameWords(c.a, c.b); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
}
