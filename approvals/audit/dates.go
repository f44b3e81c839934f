package audit

import (
	"fmt"
	"time"
)

// ClockSkew is how far the clocks may differ that date events, and that of the bucket.
const ClockSkew = 5 * time.Minute

// checkOrder wants no event to be older than one before it.
func (r Record) checkOrder(add func(bool, string, ...any)) {
	var latest time.Time
	for _, e := range r.Events {
		add(e.At.Before(latest.Add(-ClockSkew)), "event %d is older than one before it", e.Seq)
		if e.At.After(latest) {
			latest = e.At
		}
	}
}

// Dated checks that nothing happened after now. It returns ErrBroken with the first event that did.
func (r Record) Dated(now time.Time) error {
	for _, e := range r.Events {
		if e.At.After(now.Add(ClockSkew)) {
			return broken([]string{fmt.Sprintf("event %d is dated %s, which has not come", e.Seq, e.At.UTC().Format(time.RFC3339))})
		}
	}
	return nil
}

// endedAt reports whether a run ended with this event. What is recorded later than it happened says
// when in its fact at. The run of a chain that tells of no end has no time of one.
func (e Event) endedAt(t time.Time) bool {
	if e.Event == "" {
		return t.IsZero()
	}
	at, err := time.Parse(time.RFC3339, e.Facts["at"])
	if err != nil {
		at = e.At
	}
	return t.Sub(at).Abs() <= ClockSkew
}
