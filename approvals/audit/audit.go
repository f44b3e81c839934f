// Package audit is the hash chain that keeps the record of one request: each
// [Event] holds the hash of the one before it, and a [Head] says where the chain
// ends. Who changes, removes or adds an event in the middle breaks every hash
// after it; who cuts the chain is found by its head.
//
// The package does no I/O. The executor appends events and stores them; whoever
// reads a chain follows it from an empty Head and compares the end.
package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Event is one link of a chain.
type Event struct {
	Seq   int       `json:"seq"` // from 1
	At    time.Time `json:"at"`
	Event string    `json:"event"`           // requested, planned, approved, step, verified, …
	Actor string    `json:"actor,omitempty"` // people[].id; empty: Killswitch itself
	// Facts are what happened, in the terms of the event.
	Facts map[string]string `json:"facts,omitempty"`
	Prev  string            `json:"prev"` // hash of the link before
	Hash  string            `json:"hash"` // of this link without Hash
}

// New makes an event that is not part of a chain yet. Facts come in pairs of name
// and value; those with an empty value are left out.
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

// ErrBroken is wrapped by every error that says that a chain was altered.
var ErrBroken = errors.New("the audit chain is broken")

// Head is where a chain ends; the zero value is that of an empty chain.
type Head struct {
	Seq  int    `json:"seq"`
	Hash string `json:"hash"`
}

// Append links an event to the end of the chain, and returns it as it is to be stored.
func (h *Head) Append(e Event, at time.Time) Event {
	e.Seq, e.At, e.Prev = h.Seq+1, at.UTC(), h.Hash
	e.Hash = e.hash()
	h.Seq, h.Hash = e.Seq, e.Hash
	return e
}

// Follow goes one link along a stored chain. It returns ErrBroken if e is not the
// link that comes next, or was altered.
func (h *Head) Follow(e Event) error {
	if e.Seq != h.Seq+1 || e.Prev != h.Hash || e.Hash != e.hash() {
		return fmt.Errorf("%w at link %d", ErrBroken, h.Seq+1)
	}
	h.Seq, h.Hash = e.Seq, e.Hash
	return nil
}

// Ends checks that a chain that was followed to its end is the whole one. It
// returns ErrBroken if stored says that there is more, or another end.
func (h Head) Ends(stored Head) error {
	if h != stored {
		return fmt.Errorf("%w: it ends at link %d of %d", ErrBroken, h.Seq, stored.Seq)
	}
	return nil
}
