package audit

import (
	"encoding/hex"
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
// expired.
func Compare(records []Record, kept []Kept, all bool, now time.Time) map[string]error {
	by := map[string][]Kept{}
	var began time.Time // of the bucket
	for _, k := range kept {
		by[k.ID] = append(by[k.ID], k)
		if began.IsZero() || k.At.Before(began) {
			began = k.At
		}
	}
	wrong := map[string]error{}
	for _, r := range records {
		if err := r.Against(by[r.ID]); err != nil {
			wrong[r.ID] = err
		} else if c, claimed := r.last("", "claimed"); claimed && len(by[r.ID]) == 0 && !began.IsZero() && c.At.After(began) && now.Sub(c.At) > keptWithin {
			wrong[r.ID] = broken([]string{"the bucket has no head of it, although it began after the bucket was in use"})
		}
		delete(by, r.ID)
	}
	for id, ks := range by {
		due := slices.ContainsFunc(ks, func(k Kept) bool { return now.Before(k.Until) })
		if all && due {
			wrong[id] = broken([]string{fmt.Sprintf("the bucket has %d heads of it, and there is no record", len(ks))})
		}
	}
	return wrong
}
