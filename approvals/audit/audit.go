// Package audit is the hash chain of a request's audit events. Each [Event] contains
// the hash of the one before it, the first one the hash of the request's ID, and a
// [Head] the number and hash of the last one. A changed, removed or added event breaks
// every hash after it; a chain that was cut differs from its head.
//
// A [Record] is a chain with what the rows beside it say: the chain must bear it out,
// so that an empty chain beside a run is an error. Whoever can write all of these rows
// can make another record that agrees with itself: that is found by the heads that are
// kept where nobody can alter them ([Kept], [Record.Against]).
//
// The package does no I/O. The executor appends events with [Head.Append]; readers
// verify them with [Head.Follow] from [Start], and the end with [Head.Ends].
package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Event is an event of a chain.
type Event struct {
	Seq   int       `json:"seq"` // from 1
	At    time.Time `json:"at"`
	Event string    `json:"event"`           // requested, planned, approved, step, verified, …
	Actor string    `json:"actor,omitempty"` // people[].id; empty: Killswitch itself
	// Facts are the details of the event.
	Facts map[string]string `json:"facts,omitempty"`
	Prev  string            `json:"prev"` // hash of the event before
	Hash  string            `json:"hash"` // of this event without Hash
}

// New returns an event that is not part of a chain yet. Facts are pairs of name and
// value; pairs with an empty value are left out.
func New(name, actor string, facts ...string) Event {
	e := Event{Event: name, Actor: actor}
	for i := 0; i+1 < len(facts); i += 2 {
		if facts[i+1] == "" {
			continue
		}
		if e.Facts == nil {
			e.Facts = map[string]string{}
		}
		e.Facts[facts[i]] = facts[i+1]
	}
	return e
}

func (e Event) hash() string {
	e.Hash = ""
	b, err := json.Marshal(e)
	if err != nil {
		panic(err) // only our own types come here
	}
	sum := sha256.Sum256(append([]byte("killswitch audit v1\n"), b...))
	return hex.EncodeToString(sum[:])
}

// ErrBroken is wrapped by every error about an altered chain.
var ErrBroken = errors.New("the audit record is broken")

// Start is the head of a chain without events. It has the hash of the ID, so that the
// chain of another request does not follow from it.
func Start(id string) Head {
	sum := sha256.Sum256([]byte("killswitch audit v1 of " + id + "\n"))
	return Head{Hash: hex.EncodeToString(sum[:])}
}

// Head is the end of a chain.
type Head struct {
	Seq  int    `json:"seq"`
	Hash string `json:"hash"`
}

// Append adds an event to the chain and returns it as it has to be stored.
func (h *Head) Append(e Event, at time.Time) Event {
	e.Seq, e.At, e.Prev = h.Seq+1, at.UTC(), h.Hash
	e.Hash = e.hash()
	h.Seq, h.Hash = e.Seq, e.Hash
	return e
}

// Follow verifies the next event of a stored chain. It returns ErrBroken if e is
// another event or was altered.
func (h *Head) Follow(e Event) error {
	if e.Seq != h.Seq+1 || e.Prev != h.Hash || e.Hash != e.hash() {
		return fmt.Errorf("%w: event %d was altered, or is not the one that belongs there", ErrBroken, h.Seq+1)
	}
	h.Seq, h.Hash = e.Seq, e.Hash
	return nil
}

// Ends compares the end of a followed chain with the stored head. It returns ErrBroken
// if they differ.
func (h Head) Ends(stored Head) error {
	if h.Seq == stored.Seq && h.Hash != stored.Hash {
		return fmt.Errorf("%w: its head has another hash than event %d", ErrBroken, h.Seq)
	}
	if h != stored {
		return fmt.Errorf("%w: its events end at %d, its head says %d", ErrBroken, h.Seq, stored.Seq)
	}
	return nil
}
