package approvals

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"
)

// Page is the row of what the pager was told of a request or an alert. Only the package
// executor writes it.
type Page struct {
	Version int64                `json:"-"`
	Sent    map[string]time.Time `json:"sent,omitempty"`   // when it was told, by what is due
	Refused time.Time            `json:"refused,omitzero"` // when its topic last refused a page
}

// refusedPause is the time from a topic's refusal to the next try.
const refusedPause = time.Hour

// Quiet reports whether a page that is due is not to be sent now: it was sent, or its topic
// has refused it within the last hour.
func (p Page) Quiet(due string, now time.Time) bool {
	_, sent := p.Sent[due]
	return sent || now.Sub(p.Refused) < refusedPause
}

// PageKey is the row of what the pager was told of a request or an alert.
func PageKey(id string) Key { return Key{id, "page"} }

// Page reads what the pager was told of a request or an alert. It returns the zero value if
// that is nothing.
func (t Runs) Page(ctx context.Context, id string) (p Page, err error) {
	p.Version, err = t.Find(ctx, PageKey(id), &p)
	return p, err
}

// PagePending is the page about a request that waits for approvals.
const PagePending = "pending"

// PageTampering begins the page about a containment that somebody removes again and again:
// from the PagedTampering-th time on it is due at once, once a day.
const (
	PageTampering  = "tampering-"
	PagedTampering = 3
)

// PageBreakGlass is the page about what one person let run alone.
const PageBreakGlass = "break-glass"

// PageDue returns the page that is due for a request that nobody has answered for so long,
// and since when it waits: PagePending, PageTampering and the day, or the outcome and time of
// a containment whose goals are missed. What one person let run alone is due at once. It returns "" if none is due, or was sent.
func (t Runs) PageDue(ctx context.Context, r Request, after time.Duration, now time.Time) (due string, since time.Time, err error) {
	answered := false
	row, err := t.Page(ctx, r.ID)
	if err != nil {
		return "", time.Time{}, err
	}
	if r.BreakGlass != nil && !row.Quiet(PageBreakGlass, now) {
		switch run, err := t.Run(ctx, r.ID); {
		case err == nil && run.BreakGlass != nil && run.Started:
			return PageBreakGlass, run.BreakGlass.At, nil
		case err != nil && !errors.Is(err, ErrNotFound):
			return "", since, err
		}
	}
	switch {
	case r.State == Pending && now.Before(r.Expires):
		var p Planned
		p, err = t.Planned(ctx, r.ID)
		due, since = PagePending, p.At
	case r.State.InForce() && r.Intent.Undo == "":
		var run Run
		run, err = t.Run(ctx, r.ID)
		if n := len(run.Tampering); n > 0 && run.Tampered >= PagedTampering {
			last := run.Tampering[n-1].At
			if due = PageTampering + last.Format(time.DateOnly); !row.Quiet(due, now) {
				return due, last, nil
			}
		}
		since = cmp.Or(run.Missed, run.Ended)
		due = fmt.Sprintf("%s-%d", run.Outcome, since.Unix())
		no, _ := r.No()
		answered = !run.Outcome.Missed() || no != nil || r.UndoAsked.After(since)
		for _, v := range r.Retries {
			answered = answered || v.At.After(since)
		}
	}
	if due == "" || answered || err != nil || now.Sub(since) < after {
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
		return "", time.Time{}, err
	}
	if row.Quiet(due, now) {
		return "", time.Time{}, nil
	}
	return due, since, nil
}
