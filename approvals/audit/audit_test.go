package audit_test

import (
	"errors"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

const id = "KS-4G7QX2M9ZT0B"

var at = time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)

func chain() ([]audit.Event, audit.Head) {
	h := audit.Start(id)
	var es []audit.Event
	for _, e := range []audit.Event{
		audit.New("requested", "alice", "reason", "keys on a paste site", "alert", "", "action", "revoke_sessions"),
		audit.New("approved", "bob", "digest", "1234"),
		audit.New("contained", ""),
	} {
		es = append(es, h.Append(e, at))
	}
	return es, h
}

// check reads a chain as whoever audits it does.
func check(es []audit.Event, end audit.Head) error {
	h, err := audit.Record{ID: id, Events: es}.Follow()
	if err != nil {
		return err
	}
	return h.Ends(end)
}

func TestChainHolds(t *testing.T) {
	es, end := chain()
	if err := check(es, end); err != nil {
		t.Error(err)
	}
	if err := check(nil, audit.Start(id)); err != nil {
		t.Errorf("empty chain: %v", err)
	}
	if _, there := es[0].Facts["alert"]; there || es[0].Facts["reason"] == "" || es[0].Facts["action"] == "" {
		t.Errorf("facts: %v, want those that have a value", es[0].Facts)
	}
	if es[2].Seq != 3 || !es[2].At.Equal(at) || es[2].Prev != es[1].Hash || end.Hash != es[2].Hash {
		t.Errorf("the last link: %+v, the head: %+v", es[2], end)
	}
}

func TestAlteredChainIsFound(t *testing.T) {
	for _, tt := range []struct {
		name  string
		alter func(es []audit.Event, end *audit.Head) []audit.Event
	}{
		{"another actor", func(es []audit.Event, _ *audit.Head) []audit.Event { es[1].Actor = "mallory"; return es }},
		{"another fact", func(es []audit.Event, _ *audit.Head) []audit.Event { es[0].Facts["reason"] = "a test"; return es }},
		{"another time", func(es []audit.Event, _ *audit.Head) []audit.Event { es[2].At = at.Add(time.Hour); return es }},
		{"another hash", func(es []audit.Event, _ *audit.Head) []audit.Event { es[2].Hash = es[1].Hash; return es }},
		{"another number", func(es []audit.Event, _ *audit.Head) []audit.Event { es[1].Seq = 3; return es }},
		{"one left out", func(es []audit.Event, _ *audit.Head) []audit.Event { return append(es[:1:1], es[2]) }},
		{"the first left out", func(es []audit.Event, _ *audit.Head) []audit.Event { return es[1:] }},
		{"the last left out", func(es []audit.Event, _ *audit.Head) []audit.Event { return es[:2] }},
		{"all left out", func([]audit.Event, *audit.Head) []audit.Event { return nil }},
		{"one of another chain", func(es []audit.Event, _ *audit.Head) []audit.Event {
			other := audit.Start("KS-0000000000000")
			other.Append(audit.New("requested", "mallory"), at)
			es[1] = other.Append(audit.New("approved", "bob"), at)
			return es
		}},
		{"one more", func(es []audit.Event, end *audit.Head) []audit.Event {
			longer := *end
			return append(es, longer.Append(audit.New("undone", ""), at))
		}},
		{"a number skipped, and hashed so", func(es []audit.Event, end *audit.Head) []audit.Event {
			*end = audit.Head{Seq: 7, Hash: es[1].Hash}
			es[2] = end.Append(es[2], at)
			return es
		}},
		{"another head", func(es []audit.Event, end *audit.Head) []audit.Event { end.Hash = es[0].Hash; return es }},
	} {
		es, end := chain()
		es = tt.alter(es, &end)
		if err := check(es, end); !errors.Is(err, audit.ErrBroken) {
			t.Errorf("%s: %v, want ErrBroken", tt.name, err)
		}
	}
}

// TestBrokenLinkIsFoundWhereItIs: whoever reads a chain stops at the link, before
// anybody looks at the head.
func TestBrokenLinkIsFoundWhereItIs(t *testing.T) {
	es, _ := chain()
	es[1].Actor = "mallory"
	h := audit.Start(id)
	if err := h.Follow(es[0]); err != nil {
		t.Fatal(err)
	}
	before := h
	if err := h.Follow(es[1]); !errors.Is(err, audit.ErrBroken) || h != before {
		t.Errorf("the altered link: %v, head %+v; want ErrBroken and the head of the link before", err, h)
	}
}
