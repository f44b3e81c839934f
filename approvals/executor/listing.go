package executor

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

const (
	listingLasts  = time.Hour        // an account's roles are not listed again for another request's look
	listingWithin = 40 * time.Minute // of a listing; what it has found would soon be too old
)

// listing is the row of an account's roles, as looks have listed them. A look goes on with what
// was begun, and takes what the look at another request has listed.
type listing struct {
	By      string        `json:"by"`    // the request
	Began   time.Time     `json:"began"` // before the first page was read
	Roles   actions.Roles `json:"roles"`
	version int64
}

func listingRow(account string) approvals.Key {
	return approvals.Key{Part: "listing#" + account, Sort: "listing"}
}

// useListing gives a look at many steps the list that is kept of the account's roles, unless it
// began before something was applied. A row that can't be read keeps no look from listing.
func (w *worker) useListing(ctx context.Context, steps []step) {
	if !slices.ContainsFunc(steps, func(s step) bool { return s.Step.Many }) {
		return
	}
	now := w.x.Now().UTC()
	var kept listing
	version, err := w.x.runs().Find(ctx, listingRow(w.reader.ID), &kept)
	if err != nil {
		w.x.Log.WarnContext(ctx, "kept listing not read", slog.String("request_id", w.p.ID), slog.String("error", err.Error()))
	}
	switch ours := kept.By == w.p.ID; {
	case err != nil, !kept.Began.After(w.run.AppliedAt), now.Sub(kept.Began) >= listingLasts, ours && kept.Roles.Whole, !ours && !w.hourly:
		kept = listing{By: w.p.ID, Began: now}
	default:
		w.reader.GoOn(kept.Roles)
	}
	w.listing, w.listing.version = kept, version
}

// keepListing stores what a look has listed. Nothing depends on it.
func (w *worker) keepListing(ctx context.Context) {
	if w.listing.By == "" {
		return
	}
	roles := w.reader.Listed()
	if len(roles.ByName) == len(w.listing.Roles.ByName) && roles.Whole == w.listing.Roles.Whole {
		return
	}
	w.listing.Roles = roles
	put := approvals.PutRow(listingRow(w.reader.ID), w.listing.version, w.listing)
	put.Expires = w.x.Now().Add(2 * listingLasts)
	if err := w.x.Store.Write(ctx, put); err != nil {
		w.x.Log.WarnContext(ctx, "listing not kept", slog.String("request_id", w.p.ID), slog.String("error", err.Error()))
		return
	}
	w.listing.version++
}

// othersListing reports whether a look reads what the look at another request has listed. That
// shows what holds; what does not is listed anew.
func (w *worker) othersListing() bool { return w.listing.By != "" && w.listing.By != w.p.ID }

// readSince returns a time before anything was read that the look judges by.
func (w *worker) readSince() time.Time {
	if began := w.listing.Began; !began.IsZero() && began.Before(w.since) {
		return began
	}
	return w.since
}
