package approvals

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Executor is the zone that plans, acts and verifies. It believes evidence and
// its own table, nothing else.
type Executor struct {
	Store     Store // the table runs
	Requests  Requests
	Policy    Policy
	Org       actions.Org
	Cloud     *actions.Cloud
	Actions   func(actions.Name) (actions.Action, bool)
	Verifiers map[EvidenceKind]Verifier
	Team      string   // Slack workspace
	Channels  []string // where commands may be typed
	Jobs      Sender[Job]
	Changes   Sender[Change]
	Now       func() time.Time
	Sleep     func(context.Context, time.Duration) error
	// Owner makes a name that is new every time: whoever works on a run.
	Owner func() string
	// Gone, where it is set, knows of workers that are gone before their lease is over.
	Gone func(owner string) bool
	// Notices takes the text of reports; nil for nobody.
	Notices Notifier
	// Findings understands the events that requests are born of.
	Findings Findings
	// AutoPerHour is how many containments may begin by themselves in any hour.
	AutoPerHour int
	Log         *slog.Logger

	looking atomic.Int32 // at the activity of alerts' subjects, in this process
}

func (x *Executor) runs() Runs { return Runs{x.Store} }

// Handle does one job. It may be called again for the same job, at the same
// time even; nothing happens twice. An error means: deliver it again later.
func (x *Executor) Handle(ctx context.Context, j Job) error {
	var r Request
	var err error
	if j.Verb != JobActivity { // which is about an alert
		r, err = x.Requests.Get(ctx, j.ID)
	}
	if errors.Is(err, ErrNotFound) {
		x.Log.WarnContext(ctx, "job for an unknown request", slog.String("request_id", j.ID), slog.String("verb", string(j.Verb)))
		return nil
	}
	if err != nil {
		return err
	}
	switch j.Verb {
	case JobPlan:
		err = x.plan(ctx, r)
	case JobRun, JobUndo:
		err = x.run(ctx, r)
	case JobVerify:
		err = x.recheck(ctx, r)
	case JobClose:
		err = x.close(ctx, r)
	case JobReport:
		err = x.report(ctx, r)
	case JobActivity:
		err = x.activity(ctx, j.ID)
	default:
		x.Log.WarnContext(ctx, "unknown job", slog.String("request_id", j.ID), slog.String("verb", string(j.Verb)))
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", j.Verb, j.ID, err)
	}
	return nil
}

// asked is a request as its evidence proves it.
type asked struct {
	intent Intent
	reason string
	person string
	app    string
	at     time.Time

	finding Finding // that it is about, where an alert led to it
	release Release // what lets it run, under the configuration of now
	held    string  // why no click and no rule does
}

// prove reads the requester's evidence and checks that the row says the same.
// It returns ErrEvidence if the request is not what somebody signed.
func (x *Executor) prove(ctx context.Context, r Request) (asked, error) {
	e, err := x.kept(ctx, r.Evidence)
	if err != nil {
		return asked{}, err
	}
	if RequestID(e) != r.ID {
		return asked{}, fmt.Errorf("%w: it is another request's", ErrEvidence)
	}
	var a asked
	if e.Kind == RuleEvidence {
		a, err = x.proveRule(ctx, r, e)
	} else {
		a, err = x.proveWord(ctx, r, e)
	}
	if err != nil {
		return asked{}, err
	}
	if IntentDigest(a.intent) != IntentDigest(r.Intent) || a.reason != r.Reason || a.person != r.Requester.Person || !a.at.Equal(r.Asked) {
		return asked{}, fmt.Errorf("%w: the stored request is not what was asked for", ErrEvidence)
	}
	return a, nil
}

// proveWord reads what a person asked for.
func (x *Executor) proveWord(ctx context.Context, r Request, e Evidence) (asked, error) {
	w, at, err := x.read(ctx, e)
	if err != nil {
		return asked{}, err
	}
	p, ok := x.Policy.Roster.BySlack(w.User)
	if !ok {
		return asked{}, fmt.Errorf("%w: nobody in the roster has this Slack account", ErrEvidence)
	}
	a := asked{person: p.ID, app: w.App, at: at}
	switch w.Type {
	case "slash_command":
		err = x.proveCommand(ctx, w, &a)
	case "block_actions":
		err = x.proveButton(ctx, r, w, &a)
	default:
		err = fmt.Errorf("%w: %s asks for nothing", ErrEvidence, w.Type)
	}
	return a, err
}

func (x *Executor) proveCommand(ctx context.Context, w SlackWord, a *asked) error {
	if !slices.Contains(x.Channels, w.Channel) {
		return fmt.Errorf("%w: it was typed in a channel that is not listed", ErrEvidence)
	}
	c, err := ParseCommand(w.Text, x.Org.Directory())
	switch {
	case err != nil:
		return fmt.Errorf("%w: the text does not parse", ErrEvidence)
	case c.Verb == "act":
		a.intent, a.reason = Intent{Call: c.Call}, c.Reason
		return nil
	case c.Verb == "undo":
		return x.undoOf(ctx, c.ID, c.Keys, c.Reason, a)
	}
	return fmt.Errorf("%w: %s asks for nothing", ErrEvidence, c.Verb)
}

// UndoReason is the reason of an undo that was clicked.
func UndoReason(id string) string { return "undo of " + id }

// Propose is the action_id of a button that asks for an action.
func Propose(n actions.Name) string { return "propose:" + string(n) }

// Instead is what the gentler button on a request's card asks for: false where
// there is none.
func Instead(id string, c actions.Call, lookup func(actions.Name) (actions.Action, bool)) (i Intent, reason string, ok bool) {
	a, ok := lookup(c.Action)
	if !ok || a.Spec().Instead == "" {
		return Intent{}, "", false
	}
	return Intent{Call: actions.Call{Action: a.Spec().Instead, Target: c.Target, Account: c.Account, Region: c.Region}}, "instead of " + id, true
}

// proveButton reads a click that asks for something: what an alert's card offers,
// to take back what a request's card is about, or to do something gentler instead.
func (x *Executor) proveButton(ctx context.Context, r Request, w SlackWord, a *asked) error {
	if len(w.Actions) != 1 {
		return fmt.Errorf("%w: it is not one click", ErrEvidence)
	}
	if _, _, ok := SplitAlertValue(w.Actions[0].Value); ok {
		return x.proveProposal(ctx, r, w, a)
	}
	button := w.Actions[0].ID
	id, dig, err := clicked(w, button)
	if err != nil {
		return err
	}
	p, err := x.runs().Planned(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: there is no request %s", ErrEvidence, id)
	}
	if err != nil {
		return err
	}
	if button == "undo" {
		err = x.undoOf(ctx, id, "", "", a)
	} else if i, reason, ok := Instead(id, p.Intent.Call, x.Actions); ok && p.Intent.Undo == "" && button == Propose(i.Call.Action) {
		a.intent, a.reason = i, reason
	} else {
		err = fmt.Errorf("%w: %s asks for nothing", ErrEvidence, button)
	}
	if err != nil {
		return err
	}
	return shown(w, dig, p)
}

// undoOf is the intent to take a request back.
func (x *Executor) undoOf(ctx context.Context, id, keys, reason string, a *asked) error {
	p, err := x.runs().Planned(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w: there is no request %s to undo", ErrEvidence, id)
	}
	if err != nil {
		return err
	}
	if reason == "" {
		reason = UndoReason(id)
	}
	a.intent, a.reason = Intent{Call: p.Intent.Call, Undo: id, Keys: keys}, reason
	return nil
}

// kept fetches evidence.
func (x *Executor) kept(ctx context.Context, key string) (Evidence, error) {
	e, err := x.Requests.Evidence(ctx, key)
	if errors.Is(err, ErrNotFound) {
		err = fmt.Errorf("%w: there is none", ErrEvidence)
	}
	return e, err
}

// word fetches evidence, proves that a person gave it, and reads it.
func (x *Executor) word(ctx context.Context, key string) (SlackWord, time.Time, error) {
	e, err := x.kept(ctx, key)
	if err != nil {
		return SlackWord{}, time.Time{}, err
	}
	return x.read(ctx, e)
}

// read proves that a person gave evidence, and reads it.
func (x *Executor) read(ctx context.Context, e Evidence) (SlackWord, time.Time, error) {
	v, ok := x.Verifiers[e.Kind]
	if !ok || e.Kind == EventEvidence || e.Kind == RuleEvidence { // nobody signs those
		return SlackWord{}, time.Time{}, fmt.Errorf("%w: kind %q", ErrEvidence, e.Kind)
	}
	if err := v.Verify(ctx, e); err != nil {
		return SlackWord{}, time.Time{}, err
	}
	at, err := e.At()
	if err != nil {
		return SlackWord{}, time.Time{}, err
	}
	w, err := ParseSlack(e.Body)
	if err != nil {
		return w, at, err
	}
	if w.Team != x.Team || w.UserTeam != x.Team {
		return w, at, fmt.Errorf("%w: it is from another workspace", ErrEvidence)
	}
	return w, at, nil
}

// clicked reads which button of which call was clicked.
func clicked(w SlackWord, action string) (id, digest string, err error) {
	if w.Type != "block_actions" || len(w.Actions) != 1 || w.Actions[0].ID != action {
		return "", "", fmt.Errorf("%w: it is not a click on %s", ErrEvidence, action)
	}
	id, digest, ok := SplitValue(w.Actions[0].Value)
	if !ok {
		return "", "", fmt.Errorf("%w: the button names no request", ErrEvidence)
	}
	return id, digest, nil
}

// shown checks that the card that was clicked named this very call.
func shown(w SlackWord, digest string, p Planned) error {
	switch {
	case digest != p.Digest:
		return fmt.Errorf("%w: the button is another call's", ErrEvidence)
	case w.CallBlocks != 1 || w.CallText != p.Intent.String():
		return fmt.Errorf("%w: the card did not show this call", ErrEvidence)
	case !sameWords(w.WhyText, Because(p.Person, p.Reason)):
		return fmt.Errorf("%w: the card did not show who asked and why", ErrEvidence)
	case w.App != p.App && p.Release != ByRule: // which no app asked for
		return fmt.Errorf("%w: it is from another app", ErrEvidence)
	}
	return nil
}

// proveClick reads a click on a request's card as the vote of a person.
func (x *Executor) proveClick(ctx context.Context, key, action string, p Planned) (Vote, error) {
	w, at, err := x.word(ctx, key)
	if err != nil {
		return Vote{}, err
	}
	id, digest, err := clicked(w, action)
	if err != nil {
		return Vote{}, err
	}
	if id != p.ID {
		return Vote{}, fmt.Errorf("%w: it is another request's", ErrEvidence)
	}
	if err := shown(w, digest, p); err != nil {
		return Vote{}, err
	}
	person, _ := x.Policy.Roster.BySlack(w.User)
	return Vote{Party: Party{Person: person.ID, Slack: w.User}, Evidence: key, At: at, Digest: digest}, nil
}

// decide counts the approvals that can be proved. There are reasons against, or
// a text, unless they are enough. What a click or a rule released needs none.
func (x *Executor) decide(ctx context.Context, r Request, p Planned) (proved []Vote, why []Why, text string, err error) {
	expires := p.Asked.Add(p.Entry.ApproveWithin)
	if !r.Expires.Equal(expires) || r.Digest != p.Digest || p.Alert != "" && (r.Alert != p.Alert || r.Event != p.Event) || r.Denial != nil || r.Cancelled != nil {
		return nil, nil, "the stored request was altered", nil
	}
	t := Request{ID: r.ID, State: Pending, Intent: p.Intent, Requester: Party{Person: p.Person}, Asked: p.Asked, Expires: expires, Need: p.Entry.Approvals, Eligible: p.Eligible, Digest: p.Digest}
	d := x.Policy.AdmitReleased(p.Intent, p.Person, p.Release)
	if !d.Accept {
		return nil, d.Why, "", nil
	}
	if no := x.Org.RefuseCall(p.Call()); no != nil {
		return nil, nil, no.Reason, nil //nolint:nilerr // it is the answer
	}
	if p.Release != ByPeople {
		return nil, nil, "", nil
	}
	need := max(d.Need, p.Entry.Approvals)
	for _, stored := range r.Votes {
		v, err := x.proveClick(ctx, stored.Evidence, "approve", p)
		if errors.Is(err, ErrEvidence) {
			x.Log.WarnContext(ctx, "approval not proved", slog.String("request_id", r.ID), slog.String("error", err.Error()))
			text = "an approval could not be proved: " + err.Error()
			continue
		}
		if err != nil {
			return nil, nil, "", err
		}
		d := x.Policy.Decide(t, Approve, v, v.At)
		if !d.Accept || !slices.Contains(p.Eligible, v.Person) {
			why = append(why, d.Why...)
			continue
		}
		t.Votes = append(t.Votes, v)
	}
	if len(t.Votes) < need {
		if text == "" && len(why) == 0 {
			text = fmt.Sprintf("there are %d proved approvals of the %d needed", len(t.Votes), need)
		}
		return nil, why, text, nil
	}
	return t.Votes, nil, "", nil
}

// late reports whether too much time has passed since the last approval, or since
// the plan of what needs none.
func (x *Executor) late(votes []Vote, p Planned) bool {
	last := p.At
	for _, v := range votes {
		if v.At.After(last) {
			last = v.At
		}
	}
	return x.Now().After(last.Add(min(p.Entry.RunWithin, x.Policy.Entry(p.Intent).RunWithin)))
}

func people(votes []Vote) []string {
	var ids []string
	for _, v := range votes {
		ids = append(ids, v.Person)
	}
	return ids
}

// refuse ends a request for good, on the condition of the rows in fence.
func (x *Executor) refuse(ctx context.Context, r Request, whys []Why, why, hint string, fence ...Put) error {
	run := Run{ID: r.ID, Outcome: Refused, Why: why, Hint: hint, Ended: x.Now().UTC()}
	ev := event("refused", "", "why", strings.TrimSpace(why+" "+codes(whys)), "intent", r.Intent.String())
	err := x.record(ctx, r.ID, append(fence, putRow(runKey(r.ID), 0, run)), ev)
	if errors.Is(err, ErrConflict) {
		// Refused before, and the request did not hear of it; or somebody went on.
		var old Run
		old, err = x.runs().Run(ctx, r.ID)
		if err != nil || old.Outcome != Refused {
			return unless(err, ErrNotFound)
		}
	}
	if err != nil {
		return err
	}
	_, err = x.Requests.Change(ctx, r.ID, func(r *Request) error {
		if !r.State.May(Refused) {
			return errSettled
		}
		r.Whys, r.Why, r.Hint, r.Closed = whys, why, hint, true
		return r.To(Refused, x.Now().UTC())
	})
	if err := x.changed(ctx, r.ID, err); err != nil {
		return err
	}
	return x.retire(ctx, r.ID, run.Ended)
}

// errSettled stops a Change that has nothing left to do.
var errSettled = errors.New("settled already")

// changed tells the bot, unless the change failed.
func (x *Executor) changed(ctx context.Context, id string, err error) error {
	if err != nil && !errors.Is(err, errSettled) {
		return err
	}
	return x.Changes.Send(ctx, Change{id}, 0)
}

// close puts the end of a request that never ran into its audit chain, and
// bars it from ever running.
func (x *Executor) close(ctx context.Context, r Request) error {
	var vote *Vote
	switch {
	case r.State == Denied && r.Denial != nil:
		vote = r.Denial
	case r.State == Cancelled && r.Cancelled != nil:
		vote = r.Cancelled
	case r.State == Expired:
		vote = &Vote{}
	default:
		return nil
	}
	actor, unproved, err := x.whoSaidNo(ctx, r, *vote)
	if err != nil {
		return err
	}
	run, err := x.runs().Run(ctx, r.ID)
	switch {
	case errors.Is(err, ErrNotFound):
		run = Run{ID: r.ID, Outcome: r.State, Why: vote.Reason, Ended: r.Ended}
		err = x.record(ctx, r.ID, []Put{putRow(runKey(r.ID), 0, run)},
			event(string(r.State), actor, "reason", vote.Reason, "unproved", unproved, "evidence", vote.Evidence, "intent", r.Intent.String()))
	case err == nil && !run.Started && run.Outcome == r.State && vote.Reason != "" && run.Why == "":
		run.Why = vote.Reason // it was typed into the form after the no
		err = x.record(ctx, r.ID, []Put{putRow(runKey(r.ID), run.Version, run)}, event("reason", actor, "reason", vote.Reason, "unproved", "the form is not kept as evidence"))
	}
	if err != nil && !errors.Is(err, ErrConflict) {
		return err
	}
	_, err = x.Requests.Change(ctx, r.ID, func(r *Request) error {
		if r.Closed {
			return errSettled
		}
		r.Closed = true
		return nil
	})
	if err := unless(err, errSettled); err != nil {
		return err
	}
	return x.retire(ctx, r.ID, r.Ended)
}

// whoSaidNo proves who denied or cancelled. A no counts without proof, but the
// record must not name somebody on the word of a row.
func (x *Executor) whoSaidNo(ctx context.Context, r Request, v Vote) (person, unproved string, err error) {
	if v.Evidence == "" {
		return "", "", nil
	}
	w, _, err := x.word(ctx, v.Evidence)
	unproved = "the row names " + v.Person
	if err != nil {
		return "", unproved, unless(err, ErrEvidence)
	}
	verb, id := "", ""
	if w.Type == "slash_command" {
		if c, err := ParseCommand(w.Text, x.Org.Directory()); err == nil {
			verb, id = c.Verb, c.ID
		}
	} else if len(w.Actions) == 1 {
		verb = w.Actions[0].ID
		id, _, _ = SplitValue(w.Actions[0].Value)
	}
	p, known := x.Policy.Roster.BySlack(w.User)
	if !known || id != r.ID || verb != "deny" && verb != "cancel" {
		return "", unproved, nil
	}
	return p.ID, "", nil
}

// unless passes errors on, but for those of one kind.
func unless(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}

func codes(whys []Why) string {
	var s []string
	for _, w := range whys {
		s = append(s, string(w.Code))
	}
	return strings.Join(s, ", ")
}

// Sleep waits, or ends with the context.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
