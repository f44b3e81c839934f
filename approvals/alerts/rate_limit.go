package alerts

import (
	"context"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// How many alerts are posted in a channel. Slack lets an app post about one message a
// second in a channel: the pauses between alerts leave room for the cards of requests.
// https://docs.slack.dev/apis/web-api/rate-limits
const (
	RatePosts = 30                        // alerts in any RateSpan
	RateSpan  = time.Minute + time.Second // a card may be posted a little after its time
	RatePause = 1500 * time.Millisecond   // between two of them

	// Beside them there is room that no storm takes: for severe findings of those that have not
	// posted for a span, a few of each account and source.
	AheadPosts = 6
	aheadEach  = 2
)

// RateLimit is the state of a channel's rate limit: a row of the table requests.
type RateLimit struct {
	Slots []time.Time `json:"slots"` // when the latest RatePosts are posted
	Of    []string    `json:"of"`    // the account and source of the latest of them
	Ahead []Ahead     `json:"ahead,omitempty"`
	// PausedUntil is set after an error of Slack: nothing is posted before.
	PausedUntil time.Time `json:"paused_until,omitzero"`
	// Calls and Posts are when the messages that have a turn would all be posted, one after
	// the other: those that call people, with all that are posted already; and all.
	Calls time.Time `json:"calls,omitzero"`
	Posts time.Time `json:"posts,omitzero"`
	// People are whose cards were posted within crowdSpan.
	People []Ahead `json:"people,omitempty"`
}

// Ahead is when something was posted ahead of what waits.
type Ahead struct {
	At time.Time `json:"at"`
	Of string    `json:"of"` // account and source of an alert, or a person
}

// Slack takes a message a second in a channel, and a few at once.
const (
	turnPause = 1100 * time.Millisecond
	turnBurst = 2 * turnPause
)

// More cards of one person within a span take no turn ahead: they are posted when nobody waits.
const (
	crowdSpan  = 10 * time.Second
	crowdCards = 3 // which is what Slack takes at once
)

// Crowds reports whether so many cards of a person were posted just now that others go ahead of
// the next.
func (r *RateLimit) Crowds(now time.Time, person string) bool {
	r.People = slices.DeleteFunc(r.People, func(p Ahead) bool { return now.Sub(p.At) >= crowdSpan })
	n := 0
	for _, p := range r.People {
		if p.Of == person {
			n++
		}
	}
	return person != "" && n >= crowdCards
}

// Posted notes a person's card.
func (r *RateLimit) Posted(at time.Time, person string) {
	if person != "" {
		r.People = append(r.People, Ahead{at, person})
	}
}

// Room is when the next message may be posted.
func (r RateLimit) Room(now time.Time, call bool) time.Time {
	last := latest(r.Calls, r.Posts)
	if call {
		last = r.Calls
	}
	return latest(now, last.Add(-turnBurst))
}

// Turn returns when a message may be posted: what calls people waits for other calls and for
// what is posted already, the rest for all that have a turn. It returns false if that is after until.
func (r *RateLimit) Turn(now, until time.Time, call bool) (time.Time, bool) {
	at := r.Room(now, call)
	if at.After(until) {
		return time.Time{}, false
	}
	if call || !at.After(now) {
		r.Calls = latest(now, r.Calls).Add(turnPause)
	}
	r.Posts = latest(now, r.Posts).Add(turnPause)
	return at, true
}

// Reserve reserves the next time at which an alert of an account and source may be posted, if most
// are posted in any RateSpan. It returns false if that is after until.
func (r *RateLimit) Reserve(now, until time.Time, most int, of string) (time.Time, bool) {
	at := latest(now, r.PausedUntil)
	if n := len(r.Slots); n > 0 {
		at = latest(at, r.Slots[n-1].Add(RatePause))
	}
	if n := len(r.Slots) - most; n >= 0 {
		at = latest(at, r.Slots[n].Add(RateSpan))
	}
	if at.After(until) {
		return time.Time{}, false
	}
	r.Slots = append(slices.Clip(r.Slots[max(0, len(r.Slots)+1-RatePosts):]), at)
	r.Of = append(slices.Clip(r.Of[max(0, len(r.Of)+1-RatePosts):]), of)
	return at, true
}

// ReserveAhead reserves a time now, ahead of what waits, for an alert of an account and source. It
// returns false if there is no room, or if they have had theirs.
func (r *RateLimit) ReserveAhead(now time.Time, of string) (time.Time, bool) {
	at, each := latest(now, r.PausedUntil), 0
	r.Ahead = slices.DeleteFunc(r.Ahead, func(k Ahead) bool { return now.Sub(k.At) >= RateSpan })
	for _, k := range r.Ahead {
		at = latest(at, k.At.Add(RatePause))
		if k.Of == of {
			each++
		}
	}
	for i, o := range slices.Backward(r.Of) {
		if slot := len(r.Slots) - len(r.Of) + i; o == of && now.Sub(r.Slots[slot]) < RateSpan {
			each++
		}
	}
	if each >= aheadEach || len(r.Ahead) >= AheadPosts {
		return time.Time{}, false
	}
	r.Ahead = append(r.Ahead, Ahead{At: at, Of: of})
	return at, true
}

func rateLimitKey(channel string) approvals.Key {
	return approvals.Key{Part: "room#" + channel, Sort: "room"}
}

// RateLimit reads the rate limit of a channel.
func (t Table) RateLimit(ctx context.Context, channel string) (r RateLimit, err error) {
	_, err = approvals.Find(ctx, t.Requests.Store, rateLimitKey(channel), &r)
	return r, err
}

// ChangeRateLimit is [approvals.Requests.Change] for the rate limit of a channel. An
// error of change stops it with nothing written.
func (t Table) ChangeRateLimit(ctx context.Context, channel string, change func(*RateLimit) error) error {
	var version int64
	read := func() (r RateLimit, err error) {
		version, err = approvals.Find(ctx, t.Requests.Store, rateLimitKey(channel), &r)
		return r, err
	}
	_, err := approvals.Update(ctx, t.Requests.Store, "rate limit of "+channel, read, func(r *RateLimit) ([]approvals.Put, error) {
		err := change(r)
		return []approvals.Put{approvals.PutRow(rateLimitKey(channel), version, r)}, err
	})
	return err
}
