package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/cards"
	"github.com/killswitch-chatops/killswitch/bot/terminal"
)

// Bot is the zone that talks. It has no way to AWS.
type Bot struct {
	Slack           *Slack
	Requests        approvals.Requests
	Runs            approvals.Runs
	Jobs            approvals.Sender[approvals.Job]
	Policy          approvals.Policy
	Org             actions.Org
	Team            string
	IncidentChannel string
	// CommandChannels, where there are any, are the channels in which commands may be typed; [Bot.closed] says of
	// which kind they must be.
	CommandChannels []string
	// CanaryChannel is where the daily check posts, reads back and deletes a message; empty: nowhere.
	CanaryChannel string
	// IngressURL is where Slack's requests come in, without the path; empty: the daily check does not look there. Web
	// makes its requests; nil: the default.
	IngressURL string
	Web        http.RoundTripper
	// SocketMode: what people do may come over a connection, where Slack signs nothing.
	SocketMode bool
	// Usergroups narrow who of a group may act through Slack: group → Slack user group.
	Usergroups map[string]string
	// Findings reads events under the configuration.
	Findings finding.Reader
	// EventWebhooks are the webhooks that may bring events.
	EventWebhooks []string
	// PagerAfter is how long something may go unanswered before the pager is called; 0:
	// there is no pager.
	PagerAfter time.Duration
	Now        func() time.Time
	Sleep      func(context.Context, time.Duration) error
	// DeadLetters is where messages are set aside that can't be handled: a name for people.
	DeadLetters string
	// Count, where it is set, counts what becomes of events.
	Count func(ctx context.Context, name string, n int)
	Log   *slog.Logger

	people     directory
	inForce    inForce
	toldFull   sync.Map     // keys of evidence that could not be stored, whose people were told
	askedSlack atomic.Int64 // when Slack was last asked whether it answers
}

// HandleSlack deals with what somebody typed or clicked, as it came over the
// queue slack. An error means: deliver it again.
func (b *Bot) HandleSlack(ctx context.Context, e approvals.Evidence) error {
	e.Kind = approvals.SlackEvidence // what it is follows from the queue
	if e.Body == approvals.CanaryBody {
		b.Log.ErrorContext(ctx, "ingress let in the forged click of the daily check")
		return nil
	}
	w, err := approvals.ParseSlack(e.Body)
	if err != nil {
		b.Log.WarnContext(ctx, "unreadable delivery from slack", slog.String("error", err.Error()))
		return nil
	}
	at, err := e.At()
	if err != nil {
		b.Log.WarnContext(ctx, "delivery without a time", slog.String("error", err.Error()))
		return nil
	}
	c := &conversation{b: b, e: e, payload: w, at: at}
	if w.Team != b.Team || w.UserTeam != b.Team {
		return c.say(ctx, cards.Say(cards.OtherWorkspace))
	}
	switch w.Type {
	case "slash_command":
		err = c.command(ctx)
	case "block_actions":
		err = c.click(ctx)
	case "view_submission":
		err = c.submitted(ctx)
	}
	if !errors.Is(err, approvals.ErrFull) {
		b.toldFull.Delete(e.Key())
		return err
	}
	if _, told := b.toldFull.LoadOrStore(e.Key(), true); !told {
		err = errors.Join(err, c.say(ctx, cards.Say(cards.NotStored)))
	}
	return err
}

// conversation is one thing that somebody said, and the way to answer.
type conversation struct {
	b       *Bot
	e       approvals.Evidence
	payload approvals.SlackPayload
	at      time.Time
	// Of what was signed at the command line nothing comes from Slack: what is said to it is told here.
	signed  bool
	told    string
	webhook string         // whose key it came with: there is nobody to answer, so the incident channel is told
	form    *cards.Message // where the form is submitted: what is said, which is drawn in its place
}

// say answers the person alone. It is best effort: the record is elsewhere. Only of what a webhook asks for
// it returns an error: then nobody was told.
func (c *conversation) say(ctx context.Context, m cards.Message) error {
	if c.signed {
		c.told = terminal.Text(m.Text, nil)
		return nil
	}
	if c.webhook != "" {
		return c.b.tellOfWebhook(ctx, c.webhook, approvals.RequestID(c.e), m)
	}
	if c.form != nil {
		*c.form = m
		return nil
	}
	err := errors.New("no response_url")
	if c.payload.ResponseURL != "" {
		err = c.b.Slack.respond(ctx, c.payload.ResponseURL, m)
	}
	for _, channel := range []string{c.payload.Channel, c.b.IncidentChannel} {
		if err != nil && channel != "" {
			err = c.b.Slack.ephemeral(ctx, channel, c.payload.User, m)
		}
	}
	if err != nil { // they are in none of these channels
		_, err = c.b.Slack.post(ctx, c.payload.User, "", m)
	}
	if err != nil {
		c.b.Log.WarnContext(ctx, "answer lost", slog.String("user", c.payload.User), slog.String("error", err.Error()))
	}
	return nil
}

// rosterPerson finds the person behind the Slack account in the roster.
func (c *conversation) rosterPerson() (approvals.Actor, *actions.Refusal) {
	p, ok := c.b.Policy.Roster.BySlack(c.payload.User)
	if !ok {
		return approvals.Actor{}, actions.Refuse(actions.Violation{Code: approvals.UnknownPerson})
	}
	return approvals.Actor{Person: p.ID, Slack: c.payload.User}, nil
}

// person finds the person behind the Slack account, if that account may act.
func (c *conversation) person(ctx context.Context) (approvals.Actor, *actions.Refusal) {
	p, no := c.rosterPerson()
	if no == nil {
		no = c.b.people.refuse(ctx, c.b, c.payload.User)
	}
	return p, no
}

// narrowed refuses if the group is narrowed to a Slack user group that the
// person is not in right now.
func (c *conversation) narrowed(ctx context.Context, group string) *actions.Refusal {
	usergroup := c.b.Usergroups[group]
	if usergroup == "" || c.signed || c.webhook != "" {
		return nil
	}
	in, err := c.b.people.members(ctx, c.b, usergroup)
	switch {
	case err != nil:
		return &actions.Refusal{Reason: fmt.Sprintf(cards.GroupNotLookedUp, group, cards.SlackTrouble(err))}
	case !slices.Contains(in, c.payload.User):
		return &actions.Refusal{Reason: fmt.Sprintf(cards.NotInUserGroup, group)}
	}
	return nil
}

// HandleChange redraws the card of a request or an alert, or does what a statement says.
func (b *Bot) HandleChange(ctx context.Context, ch approvals.Change) error {
	draw := b.draw
	_, check := approvals.HealthBegun(ch.ID)
	switch {
	case check:
		_ = b.SweepHealth(ctx) // what it does not do now the next sweep does
		return nil
	case approvals.IsAlertID(ch.ID):
		draw = b.redrawAlert
	case approvals.IsEvidenceKey(ch.ID):
		draw = b.statement
	}
	err := draw(ctx, ch.ID)
	if errors.Is(err, approvals.ErrNotFound) {
		return nil
	}
	return err
}
