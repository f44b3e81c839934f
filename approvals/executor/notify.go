package executor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

const (
	pagesPerHour = 10              // in any hour
	waitingFor   = 5 * time.Minute // a page that was not tried again for so long waits no more
	maxWaiting   = 100             // waiting pages that are listed
	maxSent      = 50              // pages of one request or alert that are remembered
)

// page is what the pager is due to be told. Its words are fixed: the topic is outside of our
// zones, so no reason, name of a target, finding or key is among them.
type page struct {
	id, due, subject, text string
}

// notify calls the pager for a request or an alert that nobody has answered, once. Anybody
// who can write the table requests can cause it, as often as the cap lets.
func (x *Executor) notify(ctx context.Context, id string, r approvals.Request) error {
	if x.Pager == nil {
		return nil
	}
	var p page
	var err error
	since, outage := approvals.OutageSince(id)
	_, check := approvals.HealthBegun(id)
	switch {
	case outage:
		p = x.outagePage(id, since)
	case check:
		p, err = x.healthPage(ctx, id)
	case approvals.IsAlertID(id):
		p, err = x.alertPage(ctx, id)
	default:
		p, err = x.requestPage(ctx, r)
	}
	if err != nil || p.due == "" {
		return err
	}
	return x.callPager(ctx, p)
}

// requestPage is the page that is due for a request; none has an empty due.
func (x *Executor) requestPage(ctx context.Context, r approvals.Request) (page, error) {
	due, since, err := x.runs().PageDue(ctx, r, x.PagerAfter, x.Now())
	if err != nil || due == "" {
		return page{}, err
	}
	p, err := x.runs().Planned(ctx, r.ID)
	if err != nil {
		return page{}, err
	}
	what := "a containment"
	if a, ok := x.Actions(p.Intent.Call.Action); ok {
		what = string(a.Spec().Name)
	}
	if p.Intent.Undo != "" {
		what = "undo of " + what
	}
	if due == approvals.PagePending {
		what = fmt.Sprintf("pending %d/%d: %s", len(r.Votes), max(r.Need, p.Policy.Approvals), what)
		return page{r.ID, due, "Killswitch: approval needed", x.pageText(what, p.Account, r.ID, "asked", p.Asked, r.Card)}, nil
	}
	if due == approvals.PageBreakGlass {
		return page{r.ID, due, "Killswitch: break-glass: one person acted alone",
			x.pageText("break-glass, nobody else approved: "+what, p.Account, r.ID, "acted", since, r.Card)}, nil
	}
	if strings.HasPrefix(due, approvals.PageTampering) {
		return page{r.ID, due, "Killswitch: somebody works against a containment",
			x.pageText(string(r.State)+", undone by somebody again and again: "+what, p.Account, r.ID, "last", since, r.Card)}, nil
	}
	return page{r.ID, due, "Killswitch: NOT CONTAINED",
		x.pageText(fmt.Sprintf("%s, NOT CONTAINED: %s", r.State, what), p.Account, r.ID, "ended", since, r.Card)}, nil
}

// alertPage is the page that is due for an alert; none has an empty due.
func (x *Executor) alertPage(ctx context.Context, id string) (page, error) {
	table := alerts.Table{Requests: x.Requests}
	a, err := table.Get(ctx, id)
	if err != nil {
		return page{}, ignore(err, approvals.ErrNotFound)
	}
	due, err := table.PageDue(ctx, a, x.PagerAfter, x.Now())
	if err != nil || due == "" {
		return page{}, err
	}
	text := x.pageText("critical alert", a.Shown().Account, id, "open since", a.Called, a.Card)
	return page{id, due, "Killswitch: critical alert", text}, nil
}

// maxOutage is the longest outage that is told of: whoever can send jobs chooses since when.
const maxOutage = 24 * time.Hour

// outagePage tells that Slack takes no cards.
func (x *Executor) outagePage(id string, since time.Time) page {
	if ago := x.Now().Sub(since); ago < x.PagerAfter || ago > maxOutage {
		return page{}
	}
	return page{id, "outage", "Killswitch: Slack takes no cards",
		fmt.Sprintf("Slack does not answer, or the incident channel is gone · since %d min · ask and approve at the command line: killswitch list", x.Now().Sub(since)/time.Minute)}
}

var (
	accountID = actions.NewPattern(`^[0-9]{12}$`)
	channelID = actions.NewPattern(`^[CG][A-Z0-9]{2,30}$`)
)

// pageText is the text of a page. What does not have the form that it should have is left
// out.
func (x *Executor) pageText(what, account, id, did string, since time.Time, c approvals.Card) string {
	if alias := x.Org.Alias(account); alias != "" {
		what += " in account " + alias + " (" + account + ")"
	} else if accountID.MatchString(account) {
		what += " in account " + account
	}
	text := fmt.Sprintf("%s · %s · %s %d min ago", what, id, did, x.Now().Sub(since)/time.Minute)
	if link := x.cardLink(c); link != "" {
		text += " · " + link
	}
	return text
}

// cardLink is a link to a card: Slack's own, if it is one to this message, else one to the
// card's channel.
// https://api.slack.com/docs/deep-linking
func (x *Executor) cardLink(c approvals.Card) string {
	if link := c.Permalink(); link != "" {
		return link
	}
	if !channelID.MatchString(c.Channel) {
		return ""
	}
	return "https://slack.com/app_redirect?team=" + x.Team + "&channel=" + c.Channel
}

// pagerHour is the row of the pages of the last hour.
type pagerHour struct {
	Version int64   `json:"-"`
	Began   []paged `json:"began"`
	Waiting []paged `json:"waiting,omitempty"` // what found no room, as of its last try
}

// paged is a page in the row of the hour.
type paged struct {
	Page  string          `json:"page"` // what is due, of what ID
	At    time.Time       `json:"at"`
	Lease approvals.Lease `json:"lease,omitzero"` // of the worker that sends it
	Told  bool            `json:"told,omitempty"` // of pageMore: it was sent
}

// pageMore tells that there are more pages than an hour has room for. It takes no room.
const pageMore = "more"

var pagerKey = approvals.Key{Part: "pager", Sort: "hour"}

func (x *Executor) changeHour(ctx context.Context, change func(*pagerHour, time.Time) error) error {
	read := func() (h pagerHour, err error) {
		h.Version, err = x.runs().Find(ctx, pagerKey, &h)
		return h, err
	}
	_, err := approvals.Update(ctx, x.Store, "pager", read, func(h *pagerHour) ([]approvals.Put, error) {
		now := x.Now().UTC()
		h.Began = slices.DeleteFunc(h.Began, func(p paged) bool { return now.Sub(p.At) >= time.Hour })
		h.Waiting = slices.DeleteFunc(h.Waiting, func(p paged) bool { return now.Sub(p.At) >= waitingFor })
		err := change(h, now)
		return []approvals.Put{approvals.PutRow(pagerKey, h.Version, h)}, err
	})
	return err
}

// find finds a page, or returns nil.
func find(pages []paged, name string) *paged {
	i := slices.IndexFunc(pages, func(p paged) bool { return p.Page == name })
	if i < 0 {
		return nil
	}
	return &pages[i]
}

// begin takes the lease on a page, if it has room in the hour. It returns errElsewhere if
// another worker sends it, or has.
func (h *pagerHour) begin(name string, now time.Time) (room bool, err error) {
	p := find(h.Began, name)
	if p == nil {
		pages := len(h.Began)
		if find(h.Began, pageMore) != nil {
			pages--
		}
		if pages >= pagesPerHour && name != pageMore {
			return false, nil
		}
		h.Began = append(h.Began, paged{Page: name})
		p = &h.Began[len(h.Began)-1]
	}
	if p.Told || !p.Lease.Take("", now, leaseDuration) {
		return false, errElsewhere
	}
	p.At = now
	h.Waiting = slices.DeleteFunc(h.Waiting, func(p paged) bool { return p.Page == name })
	return true, nil
}

// wait lists a page that has no room. It returns false if there is nothing to write.
func (h *pagerHour) wait(name string, now time.Time) bool {
	p := find(h.Waiting, name)
	switch {
	case p == nil && len(h.Waiting) < maxWaiting:
		h.Waiting = append(h.Waiting, paged{Page: name, At: now})
	case p == nil || now.Sub(p.At) < time.Minute:
		return false
	default:
		p.At = now
	}
	return true
}

// callPager sends a page, if there is room for it in the hour. The first that finds none
// makes the pager be told that there are more. What waits is sent by a later job.
func (x *Executor) callPager(ctx context.Context, p page) error {
	name := p.due + " " + p.id
	var room, more bool
	var others int
	err := x.changeHour(ctx, func(h *pagerHour, now time.Time) error {
		row, err := x.runs().Page(ctx, p.id) // after the hour: whoever sends it meanwhile stands in one of them
		if err == nil && row.Quiet(p.due, now) {
			err = errElsewhere
		}
		if err != nil {
			return err
		}
		if room, err = h.begin(name, now); room || err != nil {
			others = len(h.Waiting)
			return err
		}
		waits := h.wait(name, now)
		if more, err = h.begin(pageMore, now); waits {
			err = nil
		}
		return err
	})
	switch {
	case err != nil:
		return err
	case more:
		return x.tellMore(ctx)
	case !room:
		return nil
	case others > 0:
		p.text += fmt.Sprintf(" · %d more wait", others)
	}
	sent, err := x.publish(ctx, name, p)
	if err != nil {
		return err
	}
	return x.recordPage(ctx, p, sent)
}

// tellMore tells the pager that there are more pages than an hour has room for.
func (x *Executor) tellMore(ctx context.Context) error {
	_, err := x.publish(ctx, pageMore, page{subject: "Killswitch: more than ten pages",
		text: "more than ten pages within an hour: further ones are counted"})
	if err != nil {
		return err
	}
	return x.changeHour(ctx, func(h *pagerHour, _ time.Time) error {
		if p := find(h.Began, pageMore); p != nil {
			p.Told = true
		}
		return nil
	})
}

// publish sends a page. It returns false if the topic refuses it. After a transient error
// the lease is given back, and the job must be delivered again.
func (x *Executor) publish(ctx context.Context, name string, p page) (sent bool, err error) {
	within, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	err = x.Pager.Notify(within, p.subject, p.text)
	switch {
	case err == nil:
		return true, nil
	case actions.Transient(err) || errors.Is(err, context.Canceled):
		return false, errors.Join(err, x.changeHour(ctx, func(h *pagerHour, now time.Time) error {
			if p := find(h.Began, name); p != nil {
				p.Lease.Release(now)
			}
			return nil
		}))
	}
	x.Log.ErrorContext(ctx, "page not sent", slog.String("page", name), slog.String("error", err.Error()))
	return false, nil
}

// recordPage records that a page was sent, or that the topic refused it.
func (x *Executor) recordPage(ctx context.Context, p page, sent bool) error {
	row, err := x.runs().Page(ctx, p.id)
	if err != nil {
		return err
	}
	now := x.Now().UTC()
	var events []audit.Event
	if sent {
		if row.Sent == nil {
			row.Sent = map[string]time.Time{}
		}
		row.Sent[p.due] = now
		for len(row.Sent) > maxSent { // who writes requests chooses what is due
			delete(row.Sent, slices.MinFunc(slices.Collect(maps.Keys(row.Sent)), func(a, b string) int { return row.Sent[a].Compare(row.Sent[b]) }))
		}
	} else {
		row.Refused = now
	}
	if sent && approvals.IsRequestID(p.id) {
		events = append(events, audit.New("paged", "", "due", p.due))
	}
	put := approvals.PutRow(approvals.PageKey(p.id), row.Version, row)
	if x.Requests.Retention > 0 {
		put.Expires = now.Add(x.Requests.Retention)
	}
	return x.record(ctx, p.id, []approvals.Put{put}, events...)
}
