package bot

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

// viewAgain is after which time a view is sent once more: Slack may apply ingress' answer to a
// submission after the bot's view.
const viewAgain = 3 * time.Second

// openForm opens the form. value is what its button has, for another try: a trigger lives 3 s.
func (c *conversation) openForm(ctx context.Context, d actions.Draft, value string) error {
	f := cards.RequestForm{Draft: d, Org: c.b.Org, Channel: c.payload.Channel, Attempt: 1}
	err := c.b.Slack.openView(ctx, c.payload.TriggerID, f.View())
	if err == nil {
		return nil
	}
	c.b.Log.InfoContext(ctx, "form not opened", slog.String("user", c.payload.User), slog.String("error", err.Error()))
	if c.payload.Type == "slash_command" { // ingress has answered with the button
		return nil
	}
	return c.say(ctx, cards.FormMissed(value))
}

// formButton opens the form with what was typed, or with the call of a request.
func (c *conversation) formButton(ctx context.Context, value string) error {
	if !approvals.IsRequestID(value) {
		return c.openForm(ctx, actions.DraftOf(value, c.b.Org.Directory()), value)
	}
	r, err := c.b.Requests.Get(ctx, value)
	if errors.Is(err, approvals.ErrNotFound) {
		return c.say(ctx, cards.Say(cards.NoRequestAnyMore, value))
	}
	if err != nil {
		return err
	}
	return c.formAgain(ctx, r)
}

// formAgain opens the form with the call of a request that ended. What must be typed anew is left out.
func (c *conversation) formAgain(ctx context.Context, r approvals.Request) error {
	run, err := c.b.Runs.Run(ctx, r.ID)
	if err != nil && !errors.Is(err, approvals.ErrNotFound) {
		return err
	}
	if run.Outcome == "" {
		run.Outcome = r.State
	}
	d := actions.DraftOf(r.Intent.Line(approvals.AgainReason(r.ID, run, r.Reason)), c.b.Org.Directory())
	delete(d.Options, "confirm")
	return c.openForm(ctx, d, r.ID)
}

// formChanged draws the form for another action. What is entered stays, since its fields keep their IDs.
func (c *conversation) formChanged(ctx context.Context) error {
	f, ok := c.readForm(ctx)
	if !ok {
		return nil
	}
	if err := c.b.Slack.updateView(ctx, c.payload.ViewID, c.payload.ViewHash, f.View()); err != nil { // closed, or changed again
		c.b.Log.InfoContext(ctx, "form not drawn", slog.String("user", c.payload.User), slog.String("error", err.Error()))
	}
	return nil
}

// readForm returns the form as it was filled in; false if no form of ours sends this.
func (c *conversation) readForm(ctx context.Context) (f cards.RequestForm, ok bool) {
	d, err := approvals.ReadForm(c.payload, c.b.Org.Directory())
	if err != nil {
		c.b.Log.WarnContext(ctx, "not the form", slog.String("user", c.payload.User), slog.String("error", err.Error()))
		return f, false
	}
	f = cards.RequestForm{Draft: d, Org: c.b.Org}
	f.Channel, f.Attempt = approvals.FormRoute(c.payload.Metadata)
	return f, true
}

// formSubmitted asks for what is entered in the form, and tells in its place what came of it.
func (c *conversation) formSubmitted(ctx context.Context) error {
	f, ok := c.readForm(ctx)
	if !ok {
		return nil
	}
	c.payload.Channel, c.form = f.Channel, &cards.Message{}

	call, reason, err := f.Draft.Parse(c.b.Org.Directory())
	wrong, mistaken := errors.AsType[*actions.ParseErrors](err)
	if who, no := c.person(ctx); no != nil {
		mistaken, err = false, c.answer(ctx, no)
	} else if !mistaken {
		err = c.typed(ctx, who, call, reason)
	}
	told := *c.form
	c.form = nil
	if !mistaken && err != nil {
		return err
	}
	r, err := c.b.Requests.Get(ctx, approvals.RequestID(c.e))
	switch {
	case mistaken:
		f.Mistakes, told = wrong.List, cards.Say(cards.NothingDone, wrong.Error())
	case err == nil && r.Evidence == c.e.Key():
		if told.Text == "" {
			told = cards.Say(cards.CardElsewhere, r.ID, r.Card.Channel)
		}
		return c.showView(ctx, cards.Told(told), told)
	case err != nil && !errors.Is(err, approvals.ErrNotFound):
		return err
	default:
		f.Notes = told.Blocks
	}
	f.Attempt++
	return c.showView(ctx, f.View(), told)
}

// showView puts a view in place of the submitted one. Where that was closed, the person is told instead.
func (c *conversation) showView(ctx context.Context, v slack.ModalViewRequest, instead cards.Message) error {
	err := c.b.Slack.updateView(ctx, c.payload.ViewID, "", v)
	if err != nil {
		c.b.Log.InfoContext(ctx, "view not shown", slog.String("user", c.payload.User), slog.String("error", err.Error()))
		return c.say(ctx, instead)
	}
	if err := c.b.Sleep(ctx, viewAgain); err != nil {
		return err
	}
	_ = c.b.Slack.updateView(ctx, c.payload.ViewID, "", v) // it may be closed by now
	return nil
}
