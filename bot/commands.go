package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// command deals with a typed line.
func (c *conversation) command(ctx context.Context) error {
	b := c.b
	if !slices.Contains(b.CommandChannels, c.w.Channel) {
		return c.say(ctx, note("%s works only in <#%s>. Nothing was done.", Untrusted(c.w.Command), b.CommandChannels[0]))
	}
	who, no := c.person(ctx)
	if no != "" {
		return c.say(ctx, note("%s", no))
	}
	cmd, err := approvals.ParseCommand(c.w.Text, b.Org.Directory())
	if wrong, ok := errors.AsType[*actions.Mistakes](err); ok {
		return c.say(ctx, mistakes(c.w.Command, c.w.Text, wrong))
	}
	if err != nil {
		return err
	}
	switch cmd.Verb {
	case "act":
		r := approvals.Request{Intent: approvals.Intent{Call: cmd.Call}, Reason: cmd.Reason, Card: approvals.Card{Channel: b.IncidentChannel}}
		return c.request(ctx, who, r)
	case "help":
		return c.say(ctx, help(c.b.Org.Actions, c.w.Command, cmd.Topic))
	case "list":
		return c.list(ctx)
	}
	r, err := b.Requests.Get(ctx, cmd.ID)
	if errors.Is(err, approvals.ErrNotFound) {
		return c.say(ctx, note("There is no request %s. `%s list` shows those that are open.", cmd.ID, Untrusted(c.w.Command)))
	}
	if err != nil {
		return err
	}
	switch cmd.Verb {
	case "show":
		v, err := b.view(ctx, r)
		if err != nil {
			return err
		}
		m := Card(v)
		m.Blocks = slices.DeleteFunc(m.Blocks, func(x slack.Block) bool { return x.BlockType() == slack.MBTAction })
		return c.say(ctx, m) // to look at: what is clicked must be the request's own message
	case "approve":
		return c.bringCard(ctx, who, r)
	case "deny":
		return c.deny(ctx, who, r.ID, cmd.Reason)
	case "cancel":
		return c.cancel(ctx, who, r.ID)
	case "undo":
		reason := cmd.Reason
		if reason == "" {
			reason = approvals.UndoReason(r.ID)
		}
		return c.undo(ctx, who, r, cmd.Keys, reason)
	case "audit":
		return c.audit(ctx, r)
	}
	return fmt.Errorf("verb %q", cmd.Verb)
}

// request starts a new request, if this person may. What is asked, why and where
// its card goes is in r, and what it was born of.
func (c *conversation) request(ctx context.Context, who approvals.Party, r approvals.Request) error {
	b := c.b
	entry := b.Policy.Entry(r.Intent)
	d := b.Policy.AdmitReleased(r.Intent, who.Person, r.Release)
	if !d.Accept {
		return c.say(ctx, note("Nothing was done. %s", Untrusted(whyNots(d.Why))))
	}
	if no := c.narrowed(ctx, entry.Requesters); no != "" {
		return c.say(ctx, note("Nothing was done. %s", no))
	}
	if no := b.Org.RefuseCall(r.Intent.Call); no != nil {
		return c.say(ctx, note("Nothing was done: %s. %s.", Untrusted(no.Reason), Untrusted(no.Hint)))
	}
	key, err := b.Requests.PutEvidence(ctx, c.e, b.Now())
	if err != nil {
		return err
	}
	r.ID, r.State, r.Requester, r.Evidence = approvals.RequestID(c.e), approvals.Planning, who, key
	r.Asked, r.Expires, r.Need = c.at, c.at.Add(entry.ApproveWithin), d.Need
	if same, err := c.create(ctx, r); err != nil && !errors.Is(err, approvals.ErrConflict) {
		return err
	} else if same != "" {
		return c.say(ctx, note("Nothing was done: %s.", same))
	}
	// A second delivery of the same evidence comes here too: then the job may be missing.
	if now, err := b.Requests.Get(ctx, r.ID); err != nil {
		return err
	} else if now.Evidence != key {
		return c.say(ctx, note("Nothing was done: the ID %s is taken. Send it again.", r.ID))
	} else if now.State == approvals.Planning {
		if err := b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobPlan, ID: r.ID}, 0); err != nil {
			return err
		}
	}
	if err := b.draw(ctx, r.ID); err != nil {
		return err
	}
	return c.cardTrouble(ctx, r.ID)
}

// create stores a new request. The words say that there is one already for what
// its alert led to.
func (c *conversation) create(ctx context.Context, r approvals.Request) (same string, err error) {
	if r.Alert == "" {
		return "", c.b.Requests.Create(ctx, r)
	}
	old, err := c.b.createBorn(ctx, r)
	if err != nil || old.ID == r.ID {
		return "", err
	}
	return fmt.Sprintf("%s asks for the same and is %s", old.ID, old.State), nil
}

// cardTrouble tells the person if their card is not to be seen.
func (c *conversation) cardTrouble(ctx context.Context, id string) error {
	r, err := c.b.Requests.Get(ctx, id)
	switch {
	case err != nil:
		return err
	case r.Card.TS == "":
		return c.say(ctx, note("%s is stored and being planned, but its card can't be posted just now; it will be tried again every minute. If it stays away: is the bot in <#%s>?", id, r.Card.Channel))
	case r.Card.Channel != c.w.Channel:
		return c.say(ctx, note("%s: its card is in <#%s>.", id, r.Card.Channel))
	}
	return nil
}

// bringCard posts the card anew at the end of the channel: a vote needs the
// digest that only the card carries.
func (c *conversation) bringCard(ctx context.Context, who approvals.Party, r approvals.Request) error {
	e := c.b.Policy.Entry(r.Intent)
	if !c.b.Policy.Roster.In(who.Person, e.Approvers) && !c.b.Policy.Roster.In(who.Person, e.Requesters) {
		return c.say(ctx, note("%s", Untrusted(whyNot(approvals.Why{Code: approvals.NotApprover, Group: e.Approvers}))))
	}
	old := r.Card
	_, err := c.b.Requests.Change(ctx, r.ID, func(r *approvals.Request) error {
		if r.State != approvals.Pending {
			return &rejected{whyNot(approvals.Why{Code: approvals.NotOpen, State: r.State})}
		}
		r.Card = approvals.Card{Channel: r.Card.Channel, Thread: r.Card.Thread}
		r.Revise()
		return nil
	})
	if err != nil {
		return c.answer(ctx, err)
	}
	if old.TS != "" {
		if err := c.b.Slack.update(ctx, old.Channel, old.TS, note("%s: its card has moved to the end of the channel.", r.ID)); err != nil {
			c.b.Log.InfoContext(ctx, "old card not marked", slog.String("request_id", r.ID), slog.String("error", err.Error()))
		}
	}
	if err := c.b.draw(ctx, r.ID); err != nil {
		return err
	}
	return c.say(ctx, note("%s: click Approve on its card, which is now the last message in <#%s>. A vote can't be typed: it needs what only the card carries.", r.ID, r.Card.Channel))
}

// listLimit bounds what list shows.
const listLimit = 20

func (c *conversation) list(ctx context.Context) error {
	b := c.b
	open, err := b.Requests.Marked(ctx, approvals.MarkOpen, "", listLimit)
	if err != nil {
		return err
	}
	held, err := b.Requests.Marked(ctx, approvals.MarkInForce, "", listLimit)
	if err != nil {
		return err
	}
	var text strings.Builder
	show := func(head string, rs []approvals.Request) {
		if len(rs) == 0 {
			return
		}
		fmt.Fprintf(&text, "*%s*\n", head)
		for _, r := range rs {
			v := View{Request: r}
			if p, err := b.Runs.Planned(ctx, r.ID); err == nil { // for the account, where the call does not say it
				v.Planned = &p
			}
			v.Alias = b.Org.Alias(accountOf(r, v.Planned))
			fmt.Fprintf(&text, "• %s\n", Untrusted(v.fallback()))
		}
	}
	show("Open", slices.DeleteFunc(open, func(r approvals.Request) bool { return !r.State.Open() }))
	show("In force, can be undone", held)
	if text.Len() == 0 {
		return c.say(ctx, note("Nothing is open and nothing is contained."))
	}
	m := note("%s", cut(text.String(), maxText))
	m.Text = "Open requests and containments in force"
	return c.say(ctx, m)
}

// auditLimit bounds how many events are shown; the chain is checked whole.
const auditLimit = 25

func (c *conversation) audit(ctx context.Context, r approvals.Request) error {
	events, err := c.b.Runs.Audit(ctx, r.ID)
	state := fmt.Sprintf("The chain of %s is intact.", plural(len(events), "event", "events"))
	if errors.Is(err, audit.ErrBroken) {
		state = "*" + sentence(err.Error()) + "* Somebody altered the record."
	} else if err != nil {
		return err
	}
	var lines []string
	for _, e := range events[max(0, len(events)-auditLimit):] {
		lines = append(lines, fmt.Sprintf("%s %s", e.At.UTC().Format("15:04:05"), Untrusted(auditLine(e))))
	}
	m := Message{Text: "Audit of " + r.ID, Blocks: []slack.Block{section("audit-head", "*Audit of "+r.ID+"*\n"+state)}}
	if len(lines) > 0 {
		m.Blocks = append(m.Blocks, section("audit", strings.Join(lines, "\n")))
	}
	return c.say(ctx, m)
}

// auditLine is an event in one line; documents are left out.
func auditLine(e audit.Event) string {
	parts := []string{e.Event}
	if e.Actor != "" {
		parts = append(parts, "by "+e.Actor)
	}
	for _, k := range []string{"intent", "reason", "step", "result", "cause", "why", "target_id"} {
		if s := e.Facts[k]; s != "" {
			parts = append(parts, k+": "+Untrusted(s).Plain(120))
		}
	}
	return strings.Join(parts, " · ")
}
