package trail

import (
	"encoding/json"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
)

// tally counts events up to a limit.
type tally struct {
	mu                                                sync.Mutex
	left, total, denied, broken                       int
	first, last                                       time.Time
	full                                              bool // there was one more
	calls, resources, kinds, addresses, agents, roles map[string]int
}

func newTally(most int) *tally {
	return &tally{left: most, calls: map[string]int{}, resources: map[string]int{}, kinds: map[string]int{},
		addresses: map[string]int{}, agents: map[string]int{}, roles: map[string]int{}}
}

// add counts events, and returns the number that was within the limit.
func (t *tally) add(events []types.Event) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(t.left, len(events))
	t.full = t.full || n < len(events)
	for _, e := range events[:n] {
		t.count(e)
	}
	t.left -= n
	return n
}

func (t *tally) isFull() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.full
}

func (t *tally) count(e types.Event) {
	t.total++
	if at := aws.ToTime(e.EventTime).UTC(); e.EventTime != nil {
		if t.first.IsZero() || at.Before(t.first) {
			t.first = at
		}
		if at.After(t.last) {
			t.last = at
		}
	}
	seen := map[string]bool{} // a call counts once for each value
	one := func(counts map[string]int, kind, value string) {
		if value = shorten(value); value != "" && !seen[kind+value] {
			seen[kind+value] = true
			counts[value]++
		}
	}
	name := aws.ToString(e.EventName)
	one(t.calls, "call ", name)
	for _, r := range e.Resources {
		one(t.resources, "name ", aws.ToString(r.ResourceName))
		one(t.kinds, "type ", aws.ToString(r.ResourceType))
	}
	d, whole := readDetail(aws.ToString(e.CloudTrailEvent))
	if !whole {
		t.broken++
	}
	one(t.addresses, "ip ", d.address)
	one(t.agents, "agent ", d.agent)
	switch {
	case isDenial(d.errorCode):
		t.denied++
	case name == "AssumeRole" && d.errorCode == "":
		one(t.roles, "role ", d.role)
	}
}

// activity returns the counts.
func (t *tally) activity() Activity {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Activity{Total: t.total, First: t.first, Last: t.last, Denied: t.denied, Broken: t.broken, Calls: top(t.calls), Resources: top(t.resources),
		Types: top(t.kinds), Addresses: top(t.addresses), Agents: top(t.agents), Roles: top(t.roles)}
}

// isDenial reports whether a code is a denial: AccessDenied,
// AccessDeniedException, UnauthorizedOperation, Client.UnauthorizedOperation.
func isDenial(code string) bool {
	return strings.Contains(code, "AccessDenied") || strings.Contains(code, "Unauthorized")
}

// detail is the part of a CloudTrail record that the event itself does not have.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
type detail struct{ address, agent, errorCode, role string }

// readDetail reads the valid parts of a record, and reports whether all are valid.
func readDetail(record string) (d detail, whole bool) {
	whole = true
	read := func(from json.RawMessage, into any) {
		if len(from) > 0 && json.Unmarshal(from, into) != nil {
			whole = false
		}
	}
	var fields, parameters map[string]json.RawMessage
	if json.Unmarshal([]byte(record), &fields) != nil {
		return d, false
	}
	read(fields["sourceIPAddress"], &d.address)
	read(fields["userAgent"], &d.agent)
	read(fields["errorCode"], &d.errorCode)
	read(fields["requestParameters"], &parameters)
	read(parameters["roleArn"], &d.role)
	return d, whole
}

// Limits of a stored string: characters, and bytes of its JSON.
const (
	briefRunes = 200
	briefBytes = 500
)

// shorten returns a short line of untrusted text: without invisible and reordering
// characters, and cut in the middle, since names differ at their ends.
func shorten(s string) string {
	var rs []rune
	for _, r := range strings.ToValidUTF8(s, "\ufffd") {
		switch {
		case unicode.IsSpace(r):
			rs = append(rs, ' ')
		case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Co, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector):
		default:
			rs = append(rs, r)
		}
	}
	for most := briefRunes; ; most /= 2 {
		short := cutMiddle(rs, most)
		if b, err := json.Marshal(short); err == nil && len(b) <= briefBytes {
			return short
		}
	}
}

// cutMiddle cuts the middle out of text longer than most.
func cutMiddle(rs []rune, most int) string {
	if len(rs) <= most {
		return string(rs)
	}
	head := most * 3 / 5
	return string(rs[:head]) + "…" + string(rs[len(rs)-(most-head-1):])
}
