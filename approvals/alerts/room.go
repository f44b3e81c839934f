package alerts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// How many alerts a channel takes. Slack lets an app post about one message a
// second to a channel: the space between alerts is for the cards of containments.
// https://docs.slack.dev/apis/web-api/rate-limits
const (
	RoomPosts = 30 // alerts in any RoomSpan
	RoomSpan  = time.Minute
	RoomSpace = 1500 * time.Millisecond // between two of them
)

// Room is what there is in a channel for alerts: a row of the table requests.
type Room struct {
	Slots []time.Time `json:"slots"` // when the latest RoomPosts are posted
	// Closed is until when there is none, since Slack had trouble.
	Closed time.Time `json:"closed,omitzero"`
}

// Take finds the next time at which there is room for an alert, if it is not
// after the given one.
func (r *Room) Take(now, until time.Time) (time.Time, bool) {
	at := latest(now, r.Closed)
	if n := len(r.Slots); n > 0 {
		at = latest(at, r.Slots[n-1].Add(RoomSpace))
	}
	if n := len(r.Slots) - RoomPosts; n >= 0 {
		at = latest(at, r.Slots[n].Add(RoomSpan))
	}
	if at.After(until) {
		return time.Time{}, false
	}
	r.Slots = append(slices.Clip(r.Slots[max(0, len(r.Slots)+1-RoomPosts):]), at)
	return at, true
}

func roomKey(channel string) approvals.Key {
	return approvals.Key{Part: "room#" + channel, Sort: "room"}
}

// Room reads what room there is in a channel.
func (t Table) Room(ctx context.Context, channel string) (Room, error) {
	r, _, err := t.room(ctx, channel)
	return r, err
}

func (t Table) room(ctx context.Context, channel string) (r Room, version int64, err error) {
	row, err := t.Requests.Store.Get(ctx, roomKey(channel))
	if errors.Is(err, approvals.ErrNotFound) {
		return Room{}, 0, nil
	}
	if err != nil {
		return Room{}, 0, err
	}
	return r, row.Version, json.Unmarshal(row.Body, &r)
}

// ChangeRoom is [approvals.Requests.Change] for a channel's room. An error of
// change stops it with nothing written.
func (t Table) ChangeRoom(ctx context.Context, channel string, change func(*Room) error) error {
	for range approvals.ChangeTries {
		r, version, err := t.room(ctx, channel)
		if err != nil {
			return err
		}
		if err := change(&r); err != nil {
			return err
		}
		err = t.Requests.Store.Write(ctx, approvals.PutRow(roomKey(channel), version, r))
		if !errors.Is(err, approvals.ErrConflict) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return fmt.Errorf("room of %s: %w", channel, approvals.ErrConflict)
}
