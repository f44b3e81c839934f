package approvals

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

// Trace is what a principal made, changed and used, as CloudTrail's Event history tells it: the row of a
// request or an alert. What is in it comes from the executor's own look-ups. Its texts are from outside
// and untrusted.
type Trace struct {
	Whose  string    `json:"whose"`
	From   time.Time `json:"from"`
	At     time.Time `json:"at"` // when it was looked up
	Traced []Traced  `json:"traced,omitempty"`
	More   int       `json:"more,omitempty"` // of Traced that are left out
	// Gaps say what is missing, in sentences.
	Gaps   []string `json:"gaps,omitempty"`
	Unread string   `json:"unread,omitempty"` // why nothing could be looked up
	Looks  int      `json:"looks"`            // how often it was
	// Edition counts the lists that people are told of: one in which something is new is another one.
	Edition int `json:"edition"`
}

// Traced is something that a principal made, changed or used, with what became of it.
type Traced struct {
	Kind    string `json:"kind"` // "user", "role", "instance": in words
	Name    string `json:"name"`
	Account string `json:"account"`
	Region  string `json:"region,omitempty"`
	// Made is set for what did not exist before. Attackers change and use on purpose what others need.
	Made bool   `json:"made,omitempty"`
	By   string `json:"by"` // who did the first of the deeds
	// Deeds are the first and the last of them, oldest first; More is how many are between them.
	Deeds   []Deed         `json:"deeds"`
	More    int            `json:"more,omitempty"`
	Contain []actions.Call `json:"contain,omitempty"` // what contains it, the best first
	ByHand  []string       `json:"by_hand,omitempty"` // what to do where nothing does
}

// Deed is what one call did.
type Deed struct {
	At       time.Time       `json:"at"`
	Call     string          `json:"call"`  // iam:CreateAccessKey
	Event    string          `json:"event"` // ID of CloudTrail's record
	Text     string          `json:"text"`  // "created an access key for user jo"
	Thing    source.Thing    `json:"thing,omitzero"`
	Presence source.Presence `json:"presence,omitempty"`
	Unread   string          `json:"unread,omitempty"` // why it could not be read whether it is there
}

// Gone reports whether it is not there any more, or nothing of what was done to it.
func (t Traced) Gone() bool {
	gone := func(d Deed) bool { return d.Presence == source.Gone || d.Presence == source.Replaced }
	for _, d := range slices.Backward(t.Deeds) {
		if d.Thing.Of == "" && d.Thing.Kind.Readable() {
			return gone(d)
		}
	}
	return !slices.ContainsFunc(t.Deeds, func(d Deed) bool { return !gone(d) })
}

// ID tells it from others.
func (t Traced) ID() string {
	return strings.ToLower(strings.Join([]string{t.Account, t.Region, t.Kind, t.Name}, "/"))
}

// Offers are the containments that a trace offers, those that are gone too: they may come back.
func (t Trace) Offers(id string) (os Offers) {
	for _, x := range t.Traced {
		for _, c := range x.Contain {
			o := Offer{Intent: Intent{Call: c}, Why: "found by the trace of " + id}
			if _, known := os.ByDigest(IntentDigest(o.Intent)); !known {
				os = append(os, o)
			}
		}
	}
	return os
}

// Targets are what those containments are about.
func (t Trace) Targets() (targets []string) {
	for _, x := range t.Traced {
		for _, c := range x.Contain {
			if !slices.Contains(targets, c.Target) {
				targets = append(targets, c.Target)
			}
		}
	}
	return targets
}

// TraceSubject is whose calls are looked up to trace what a call is about, and that in words: its target's;
// of a role the calls that enter it. It returns false for what makes no calls, or in more than one account.
func TraceSubject(c actions.Call) (s trail.Subject, whose string, ok bool) {
	by := func(key types.LookupAttributeKey, value, whose string) (trail.Subject, string, bool) {
		return trail.Subject{By: string(key), Value: value}, whose, true
	}
	last := actions.LastPart(c.Target)
	if _, _, _, name, is := actions.SplitUserARN(c.Target); is {
		return by(types.LookupAttributeKeyUsername, name, "user "+name)
	} else if _, _, _, name, is := actions.SplitRoleARN(c.Target); is {
		return by(types.LookupAttributeKeyResourceName, c.Target, "role "+name)
	} else if actions.KeyID.MatchString(c.Target) {
		return by(types.LookupAttributeKeyAccessKeyId, c.Target, "access key "+c.Target)
	} else if actions.InstanceID.MatchString(last) { // the name of its sessions
		return by(types.LookupAttributeKeyUsername, last, "instance "+last)
	} else if strings.HasSuffix(c.Target, ":root") && !c.InNoAccount() {
		return by(types.LookupAttributeKeyUsername, "root", "the root user")
	}
	return trail.Subject{}, "", false
}

// TraceKey is the row of the trace of a request or an alert.
func TraceKey(id string) Key { return Key{id, "trace"} }

// TracedKey is the row that says which traces offer to contain a target.
func TracedKey(target string) Key { return Key{"traced#" + HashOf("target", target), "traced"} }

// TracedBy is that row: the requests and alerts whose traces they are, the last ones.
type TracedBy struct {
	IDs []string `json:"ids"`
}

// Trace reads the trace of a request or an alert. It returns ErrNotFound if there is none.
func (t Runs) Trace(ctx context.Context, id string) (tr Trace, err error) {
	_, err = get(ctx, t.Reader, TraceKey(id), &tr)
	return tr, err
}

// TracedBy returns the requests and alerts whose traces offer to contain a target.
func (t Runs) TracedBy(ctx context.Context, target string) ([]string, error) {
	var by TracedBy
	_, err := t.Find(ctx, TracedKey(target), &by)
	return by.IDs, err
}

// Found are the containments that the executor itself has found for a request or an alert: of who removed
// what it contains, and of what its trace has. A click on one makes a request that two people must want.
func (t Runs) Found(ctx context.Context, id string) (Offers, error) {
	var run Run
	var tr Trace
	if _, err := t.Find(ctx, RunKey(id), &run); err != nil {
		return nil, err
	}
	if _, err := t.Find(ctx, TraceKey(id), &tr); err != nil {
		return nil, err
	}
	return append(run.RemoverOffers(), tr.Offers(id)...), nil
}

// mostActing bounds the requests that are read to tell what is contained.
const mostActing = 500

// Acting returns the requests that wait, run or are in force, by their targets; undos with what they undo.
func (t Requests) Acting(ctx context.Context) (map[string][]Request, error) {
	acting, known := map[string][]Request{}, map[string]bool{}
	for _, mark := range []string{MarkOpen, MarkInForce} {
		const page = 100
		for after, n := "", 0; n < mostActing; n += page {
			rs, err := t.Marked(ctx, mark, after, page)
			if err != nil {
				return nil, err
			}
			for _, r := range rs {
				if after = r.ID; !known[r.ID] && (r.State.Open() || r.State.InForce()) {
					known[r.ID], acting[r.Intent.Call.Target] = true, append(acting[r.Intent.Call.Target], r)
				}
			}
			if len(rs) < page {
				break
			}
		}
	}
	return acting, nil
}
