package audit

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bucket is what the executor notes of the heads that it brings to the bucket: a row beside
// the chain. The bucket itself is the authority.
type Bucket struct {
	Head              // the last one that the bucket took
	At      time.Time `json:"at,omitzero"`       // when it did
	Outcome string    `json:"outcome,omitempty"` // of the run then
	Attempt int       `json:"attempt,omitempty"`
	Failed  string    `json:"failed,omitempty"` // why the one after it was not taken
	Since   time.Time `json:"since,omitzero"`   // when that was first tried
	Next    time.Time `json:"next,omitzero"`    // when it is tried again
}

// Kept is a head in the bucket. The name of its object says all of it, so that a list of the
// bucket, with all versions, is enough to verify by.
type Kept struct {
	ID string
	Head
	Until time.Time // the day to which it is locked: the record is to be there as long

	// As the bucket tells.
	At      time.Time // when it was stored
	Deleted bool      // a marker says that it was deleted; it is there all the same
	Again   bool      // there is more than one version of it
}

// KeptPrefix begins the names of all objects.
const KeptPrefix = "heads/"

const untilDay = "20060102"

// Name is the name of the head's object.
func (k Kept) Name() string {
	return fmt.Sprintf("%s%s/%06d-%s-%s", KeptPrefix, k.ID, k.Seq, k.Hash, k.Until.UTC().Format(untilDay))
}

// ParseKept reads the name of an object. It returns an error for any name that [Kept.Name]
// does not make.
func ParseKept(name string) (k Kept, err error) {
	id, rest, _ := strings.Cut(strings.TrimPrefix(name, KeptPrefix), "/")
	parts := strings.Split(rest, "-")
	if len(parts) == 3 {
		k.ID, k.Hash = id, parts[1]
		k.Seq, _ = strconv.Atoi(parts[0])
		k.Until, _ = time.Parse(untilDay, parts[2])
	}
	if b, herr := hex.DecodeString(k.Hash); herr != nil || len(b) != 32 || k.Seq < 1 || k.ID == "" || k.Name() != name {
		return Kept{}, fmt.Errorf("%q is not the name of a head", name)
	}
	return k, nil
}

// Against checks a record against all heads that the bucket has of it. It returns ErrBroken
// with every difference.
func (r Record) Against(kept []Kept) error {
	var wrong []string
	last := 0
	for _, k := range kept {
		last = max(last, k.Seq)
		if k.Seq <= len(r.Events) && r.Events[k.Seq-1].Hash != k.Hash {
			wrong = append(wrong, fmt.Sprintf("event %d is not the one that the bucket has had since %s", k.Seq, k.At.UTC().Format(time.RFC3339)))
		}
		if i := slices.IndexFunc(r.Events, func(e Event) bool { return e.Seq > k.Seq && e.At.Before(k.At.Add(-ClockSkew)) }); i >= 0 {
			wrong = append(wrong, fmt.Sprintf("event %d is older than the bucket's head of event %d", i+1, k.Seq))
		}
		if k.Deleted {
			wrong = append(wrong, fmt.Sprintf("somebody deleted the bucket's head of event %d, which is kept all the same", k.Seq))
		}
		if k.Again {
			wrong = append(wrong, fmt.Sprintf("somebody wrote the bucket's head of event %d again", k.Seq))
		}
	}
	if last > len(r.Events) {
		wrong = append(wrong, fmt.Sprintf("the bucket knows of %d events, there are %d", last, len(r.Events)))
	}
	return broken(wrong)
}

// keptWithin is how long a head may take to the bucket before it is an error that it is not
// there.
const keptWithin = 24 * time.Hour

// Compare checks records against the whole bucket. It returns the errors by the ID of the
// record; those of what the bucket has heads of, and records has nothing, are among them
// where all records are there. A head that is locked no longer may be of a record that has
// expired. The notes are of records without an error that the bucket does not attest.
func Compare(records []Record, kept []Kept, all bool, now time.Time) (wrong map[string]error, notes map[string]string) {
	by := map[string][]Kept{}
	var began time.Time // of the bucket
	for _, k := range kept {
		by[k.ID] = append(by[k.ID], k)
		if began.IsZero() || k.At.Before(began) {
			began = k.At
		}
	}
	wrong, notes = map[string]error{}, map[string]string{}
	for _, r := range records {
		note, err := r.attested(by[r.ID], began, now)
		if err = errors.Join(r.Against(by[r.ID]), err); err != nil {
			wrong[r.ID] = err
		} else if note != "" {
			notes[r.ID] = note
		}
		delete(by, r.ID)
	}
	for id, ks := range by {
		due := slices.ContainsFunc(ks, func(k Kept) bool { return now.Before(k.Until) })
		if all && due {
			wrong[id] = broken([]string{fmt.Sprintf("the bucket has %d heads of it, and there is no record", len(ks))})
		}
	}
	return wrong, notes
}

// attested checks that a bucket that has had heads since it began has those that it ought to
// have of a record. note says why it need not have any.
func (r Record) attested(kept []Kept, began, now time.Time) (note string, err error) {
	if strings.HasPrefix(r.ID, StatementPrefix) {
		return "not attested by the bucket: it has no heads of statements", nil
	}
	last := 0
	for _, k := range kept {
		last = max(last, k.Seq)
	}
	e, due := r.decided(now.Add(-keptWithin))
	switch {
	case due && e.Seq <= last:
		return "", nil
	case due && began.IsZero():
		return "", broken([]string{"the bucket has no heads at all: it is another one, or was emptied, or none ever came there"})
	case due && len(kept) == 0 && e.At.Before(began):
		return "not attested by the bucket: from before it was in use", nil
	case due:
		return "", broken([]string{fmt.Sprintf("the bucket has no head of event %d (%s), which is older than a day", e.Seq, e.Event)})
	case len(kept) == 0 && len(r.Events) > 0:
		return "not attested by the bucket yet", nil
	}
	return "", nil
}

// decided finds the newest event before a time of those whose head is always brought: what
// begins an attempt, and what ends it or the request.
func (r Record) decided(before time.Time) (Event, bool) {
	for _, e := range slices.Backward(r.Events) {
		switch e.Event {
		case "denied", "cancelled":
			if !e.endsIt() {
				continue
			}
		case "claimed", "retried", "not_started", "contained", "partial", "failed", "restored", "undone", "refused", "expired":
		default:
			continue
		}
		if e.At.Before(before) {
			return e, true
		}
	}
	return Event{}, false
}
