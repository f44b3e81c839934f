package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
)

const (
	drawLease    = 20 * time.Second // one worker draws a card at a time
	drawEvery    = 5 * time.Second  // a running request's card, at most
	pendingEvery = time.Minute      // a pending request's card, for the time left
	drawRounds   = 5                // how often one call follows changes made meanwhile
)

// view gathers what a card shows.
func (b *Bot) view(ctx context.Context, r approvals.Request) (View, error) {
	v := View{Actions: b.Org.Actions, Request: r, Now: b.Now()}
	if p, err := b.Runs.Planned(ctx, r.ID); err == nil {
		v.Planned = &p
	} else if !errors.Is(err, approvals.ErrNotFound) {
		return v, err
	}
	v.Alias = b.Org.Alias(accountOf(r, v.Planned))
	if run, err := b.Runs.Run(ctx, r.ID); err == nil {
		v.Run = &run
	} else if !errors.Is(err, approvals.ErrNotFound) {
		return v, err
	}
	steps, err := b.Runs.Steps(ctx, r.ID, maxListed)
	if err != nil {
		return v, err
	}
	v.Steps = steps
	if v.Run != nil && v.Run.Progress.Total > 0 && v.Run.Outcome != "" {
		if v.Left, err = b.left(ctx, r); err != nil {
			return v, err
		}
	}
	if v.Stay, err = b.stay(ctx, r); err != nil {
		return v, err
	}
	if rep, err := b.Runs.Report(ctx, r.ID); err == nil {
		v.Report = &rep
	} else if !errors.Is(err, approvals.ErrNotFound) {
		return v, err
	}
	if r.State == approvals.Pending {
		for _, id := range b.Policy.Decide(r, approvals.Approve, approvals.Vote{}, v.Now).Waiting {
			if p, ok := b.Policy.Roster.ByID(id); ok {
				v.Waiting = append(v.Waiting, p)
			}
		}
	}
	return v, nil
}

// left are the steps of many that were not done: for the card and the thread.
func (b *Bot) left(ctx context.Context, r approvals.Request) ([]approvals.Step, error) {
	all, err := b.Runs.Steps(ctx, r.ID, 0)
	return slices.DeleteFunc(all, func(s approvals.Step) bool {
		return s.State != approvals.StepSkipped && s.State != approvals.StepFailed
	}), err
}

// stay is why steps stay: the ledger of the undo has it, which is another request
// than the one that it takes back.
func (b *Bot) stay(ctx context.Context, r approvals.Request) ([]string, error) {
	undo := r.ID
	switch {
	case r.State == approvals.Undone && approvals.IsRequestID(r.UndoneBy):
		undo = r.UndoneBy
	case r.State != approvals.Restored:
		return nil, nil
	}
	steps, err := b.Runs.Steps(ctx, undo, 0)
	var causes []string
	for _, s := range steps {
		if s.State == approvals.StepKept {
			causes = append(causes, s.Cause)
		}
	}
	return causes, err
}

// draw brings a request's card and thread up to date. What Slack refuses is
// left to the sweep: it is no error of the caller's, whose work is stored.
func (b *Bot) draw(ctx context.Context, id string) error {
	for range drawRounds {
		r, err := b.lease(ctx, id)
		if errors.Is(err, errBusy) {
			return nil
		}
		if err != nil {
			return err
		}
		card := r.Card
		v, err := b.view(ctx, r)
		if err == nil {
			err = b.show(ctx, v, &card)
		}
		after, uerr := b.Requests.Change(ctx, id, func(r *approvals.Request) error {
			card.Lease = time.Time{}
			r.Card = card
			return nil
		})
		if uerr != nil {
			return uerr
		}
		if err != nil {
			b.Log.WarnContext(ctx, "card not drawn", slog.String("request_id", id), slog.String("state", string(r.State)), slog.String("error", err.Error()))
			return nil
		}
		if !after.Stale() {
			return nil
		}
	}
	return nil
}

// errBusy stops a drawing that another worker does, or that can wait.
var errBusy = errors.New("drawn by another")

// lease makes this worker the one that draws.
func (b *Bot) lease(ctx context.Context, id string) (approvals.Request, error) {
	now := b.Now()
	return b.Requests.Change(ctx, id, func(r *approvals.Request) error {
		running := r.State == approvals.Running && r.Card.State == approvals.Running
		if now.Before(r.Card.Lease) || running && now.Sub(r.Card.DrawnAt) < drawEvery {
			return errBusy
		}
		r.Card.Lease = now.Add(drawLease)
		if r.Card.TS == "" && r.Card.Posting.IsZero() {
			r.Card.Posting = now
			r.Card.Fresh = true
		} else {
			r.Card.Fresh = false
		}
		return nil
	})
}

// show sends the card, then the replies that are due. The card of the alert that
// the request was born of shows its state, too.
func (b *Bot) show(ctx context.Context, v View, card *approvals.Card) error {
	r := v.Request
	if err := b.berth(ctx, r, card); err != nil {
		return err
	}
	if err := b.lay(ctx, card, Card(v), "· "+r.ID); err != nil {
		return err
	}
	if r.Alert != "" && card.State != r.State {
		if err := b.refreshAlert(ctx, r.Alert); err != nil {
			b.Log.WarnContext(ctx, "alert not drawn anew", slog.String("request_id", r.ID), slog.String("alert_id", r.Alert), slog.String("error", err.Error()))
		}
	}
	card.DrawnAt, card.State = v.Now, r.State
	for _, reply := range replies(v) {
		if err := b.reply(ctx, v, card, reply); err != nil {
			return err
		}
	}
	card.Revision = r.Revision
	return nil
}

// lay posts a message, or updates it where it stands. By mark, a part of its text,
// it is found again. In a thread it is shown in the channel, too.
func (b *Bot) lay(ctx context.Context, card *approvals.Card, m Message, mark string) error {
	m.Loud = true
	if card.TS == "" && !card.Fresh {
		// Somebody began to post and was not heard of again: it may be there.
		card.TS = b.Slack.find(ctx, card.Channel, "", mark, card.Posting)
	}
	if card.TS != "" {
		err := b.Slack.update(ctx, card.Channel, card.TS, m)
		if !gone(err) {
			return err
		}
		*card = approvals.Card{Channel: card.Channel, Thread: card.Thread, Posting: b.Now()}
	}
	ts, err := b.Slack.post(ctx, card.Channel, card.Thread, m)
	if card.Thread != "" && threadGone(err) {
		card.Thread = ""
		ts, err = b.Slack.post(ctx, card.Channel, "", m)
	}
	if refused(err) {
		card.Posting = time.Time{}
	}
	card.TS = ts
	return err
}

// thread is where replies to a card go. Slack has no threads in threads.
func thread(c approvals.Card) string {
	if c.Thread != "" {
		return c.Thread
	}
	return c.TS
}

// reply posts one thread reply, once.
func (b *Bot) reply(ctx context.Context, v View, card *approvals.Card, say reply) error {
	ts, tried := card.Replies[say.key]
	if ts != "" {
		return nil
	}
	if tried {
		ts = b.Slack.find(ctx, card.Channel, thread(*card), say.text, v.Request.Asked)
	} else if err := b.mark(ctx, v.Request.ID, card, say.key, ""); err != nil {
		return err
	}
	if ts == "" {
		var err error
		if ts, err = b.Slack.post(ctx, card.Channel, thread(*card), say.message()); err != nil {
			return err
		}
	}
	return b.mark(ctx, v.Request.ID, card, say.key, ts)
}

// mark notes that a reply is being posted, or was.
func (b *Bot) mark(ctx context.Context, id string, card *approvals.Card, key, ts string) error {
	if card.Replies == nil {
		card.Replies = map[string]string{}
	}
	card.Replies[key] = ts
	_, err := b.Requests.Change(ctx, id, func(r *approvals.Request) error {
		r.Card = *card
		return nil
	})
	return err
}

// reply is one message in a request's thread: a text, which also finds it again,
// and blocks where the text alone is not enough.
type reply struct {
	key, text string
	blocks    []slack.Block
}

func (r reply) message() Message {
	if len(r.blocks) == 0 {
		return note("%s", r.text)
	}
	return Message{Text: r.text, Blocks: r.blocks}
}

// replies are what a request's thread should hold by now.
func replies(v View) []reply {
	r := v.Request
	var rs []reply
	say := func(key, format string, args ...any) {
		rs = append(rs, reply{key: key, text: r.ID + ": " + fmt.Sprintf(format, args...)})
	}
	asker := mention(r.Requester.Slack)
	if r.Requester.Person == approvals.Automatic {
		asker = "Asked for by Killswitch itself:"
	}
	if v.Run != nil {
		for i, t := range v.Run.Tampering {
			say(fmt.Sprintf("tamper-%d", i), "<!here> *somebody works against this containment.* %s", Untrusted(tamperText(t)))
		}
	}
	switch r.State {
	case approvals.Denied:
		say("denied", "denied%s. %s nothing was changed.", v.denier(), asker)
		if r.Denial != nil && r.Denial.Reason != "" {
			say("denied-because", "denied because %s", Untrusted(r.Denial.Reason))
		}
	case approvals.Expired:
		say("expired", "expired. %s nothing was changed; ask again if it is still needed.", asker)
	case approvals.Refused:
		say("refused", "refused. %s %s", asker, v.because())
	case approvals.Contained:
		say(fmt.Sprintf("done-%d", v.attempt()), "%s. %s %s%s", r.State, asker, v.readBack(), v.flags())
	case approvals.Restored:
		say(fmt.Sprintf("done-%d", v.attempt()), "%s. %s %s%s", r.State, asker, v.restored(), v.flags())
	case approvals.Partial, approvals.Failed:
		say(fmt.Sprintf("%s-%d-%d", r.State, v.attempt(), r.Ended.Unix()), "%s. %s%s%s%s", r.State, v.loudly(), asker, " "+v.because(), v.flags())
	case approvals.Undone:
		say("undone", "undone by %s. %s %s", v.undoneBy(), asker, v.undone())
	case approvals.Planning, approvals.Pending, approvals.Approved, approvals.Running, approvals.Cancelled, approvals.Undoing:
	}
	if v.Run != nil && v.Run.Outcome != "" {
		for i, text := range leftLists(v.Left) {
			say(fmt.Sprintf("left-%d-%d", v.attempt(), i), "%s", text)
		}
	}
	if v.Run != nil && r.State == approvals.Contained {
		switch {
		case v.Run.Unread > 0:
			say(fmt.Sprintf("unread-%d", v.Run.Checks), "it could not be read back just now; that is tried again.")
		case v.Run.Checks > 0 && v.Run.NextCheck.IsZero():
			say(fmt.Sprintf("checked-%d", v.attempt()), "checked again %s: it holds.", times(v.Run.Checks))
		}
	}
	if v.Report != nil {
		m := activityReply(r.ID, *v.Report)
		rs = append(rs, reply{"activity", m.Text, m.Blocks})
	}
	return rs
}

// loudly wakes everybody where a containment that stood can't be confirmed, and
// where nobody asked for what went wrong.
func (v View) loudly() string {
	if v.Run != nil && v.Run.Unread > 0 || v.Request.Requester.Person == approvals.Automatic {
		return "<!here> "
	}
	return ""
}

func (v View) attempt() int {
	if v.Run == nil {
		return 0
	}
	return v.Run.Attempt
}

// flags are what differed from the plan, in short.
func (v View) flags() string {
	const most = 3
	if v.Run == nil || len(v.Run.Flags) == 0 {
		return ""
	}
	var s strings.Builder
	for _, f := range v.Run.Flags[:min(most, len(v.Run.Flags))] {
		s.WriteString(" " + Untrusted(Untrusted(f).Plain(maxItem)).String())
	}
	if more := len(v.Run.Flags) - most; more > 0 {
		fmt.Fprintf(&s, " And %d more.", more)
	}
	return s.String()
}
