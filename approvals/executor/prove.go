package executor

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// provenRequest is the part of a request that its evidence proves.
type provenRequest struct {
	intent approvals.Intent
	reason string
	person string
	app    string
	at     time.Time

	overrules []string // people whose denial a request that asks again overrules

	finding     finding.Finding        // of a request from an alert
	mode        approvals.ApprovalMode // under the configuration of now
	modeRefused string                 // why it is neither one-click nor automatic
	unsure      string                 // why its target is not sure
}

// opener reads the payload of Slack evidence: verifyPayload, or readPayload for evidence
// that was verified before.
type opener func(context.Context, approvals.Evidence) (approvals.SlackPayload, time.Time, error)

// prove reads the requester's evidence and compares the row with it. It returns an
// *actions.Refusal if they differ.
func (x *Executor) prove(ctx context.Context, r approvals.Request, open opener) (provenRequest, error) {
	e, err := x.loadEvidence(ctx, r.Evidence)
	if err != nil {
		return provenRequest{}, err
	}
	if approvals.RequestID(e) != r.ID {
		return provenRequest{}, approvals.Unproven("it is another request's")
	}
	var proven provenRequest
	switch e.Kind {
	case approvals.RuleEvidence:
		proven, err = x.proveRule(ctx, r, e)
	case approvals.STSEvidence:
		proven, err = x.proveStatement(ctx, e)
	case approvals.WebhookEvidence:
		proven, err = x.proveWebhook(ctx, e)
	case approvals.SlackEvidence, approvals.EventEvidence:
		proven, err = x.proveSlackRequest(ctx, r, e, open)
	default:
		err = approvals.Unproven("kind %q", e.Kind)
	}
	if err != nil {
		return provenRequest{}, err
	}
	if approvals.IntentDigest(proven.intent) != approvals.IntentDigest(r.Intent) || proven.reason != r.Reason ||
		proven.person != r.Requester.Person || !proven.at.Equal(r.Asked) {
		return provenRequest{}, approvals.Unproven("the stored request is not what was asked for")
	}
	return proven, nil
}

// proveWebhook reads what came with a webhook's key, by ingress' signature. Behind it stands no person: the
// policy wants more approvals.
func (x *Executor) proveWebhook(ctx context.Context, e approvals.Evidence) (provenRequest, error) {
	v, ok := x.Verifiers[e.Kind]
	if !ok {
		return provenRequest{}, approvals.Unproven("kind %q", e.Kind)
	}
	if err := v.Verify(ctx, e); err != nil {
		return provenRequest{}, err
	}
	w, d, err := approvals.ReadWebhook(e)
	if err != nil {
		return provenRequest{}, err
	}
	at, err := e.At()
	if err != nil {
		return provenRequest{}, err
	}
	if at.After(x.Now().Add(approvals.ClockSkew)) {
		return provenRequest{}, approvals.Unproven("it is from the future")
	}
	call, reason, err := d.Parse(x.Org.Directory())
	if err != nil {
		return provenRequest{}, approvals.Unproven("what the webhook sent does not parse")
	}
	return provenRequest{intent: approvals.Intent{Call: call}, reason: reason, person: approvals.WebhookRequester(w.Webhook), at: at}, nil
}

// proveSlackRequest reads a request that a person typed or clicked.
func (x *Executor) proveSlackRequest(ctx context.Context, r approvals.Request, e approvals.Evidence, open opener) (provenRequest, error) {
	payload, at, err := open(ctx, e)
	if err != nil {
		return provenRequest{}, err
	}
	p, ok := x.Policy.Roster.BySlack(payload.User)
	if !ok {
		return provenRequest{}, approvals.Unproven("nobody in the roster has this Slack account")
	}
	proven := provenRequest{person: p.ID, app: payload.App, at: at}
	switch payload.Type {
	case "slash_command":
		err = x.proveCommand(ctx, payload, &proven)
	case "block_actions":
		err = x.proveButton(ctx, r, payload, &proven)
	case "view_submission":
		err = x.proveForm(payload, &proven)
	default:
		err = approvals.Unproven("%s asks for nothing", payload.Type)
	}
	return proven, err
}

func (x *Executor) proveCommand(ctx context.Context, payload approvals.SlackPayload, proven *provenRequest) error {
	if err := x.proveChannel(payload.Channel); err != nil {
		return err
	}
	c, err := approvals.ParseCommand(payload.Text, x.Org.Directory())
	switch {
	case err != nil:
		return approvals.Unproven("the text does not parse")
	case c.Verb == "act":
		proven.intent, proven.reason = approvals.Intent{Call: c.Call}, c.Reason
		return nil
	case c.Verb == "undo":
		return x.proveUndo(ctx, c.ID, c.ReactivateKeys, c.Reason, proven)
	}
	return approvals.Unproven("%s asks for nothing", c.Verb)
}

// proveChannel refuses direct messages, and where channels are listed, others. Whether one is shared or has
// guests only the bot can ask.
func (x *Executor) proveChannel(channel string) error {
	switch {
	case strings.HasPrefix(channel, "D"):
		return approvals.Unproven("it was typed in a direct message")
	case len(x.Channels) > 0 && !slices.Contains(x.Channels, channel):
		return approvals.Unproven("it was typed in a channel that is not listed")
	}
	return nil
}

// proveForm reads a request by the form. Where it was asked for is the bot's word.
func (x *Executor) proveForm(payload approvals.SlackPayload, proven *provenRequest) error {
	d, err := approvals.ReadForm(payload, x.Org.Directory())
	if err != nil {
		return err
	}
	channel, _ := approvals.FormRoute(payload.Metadata)
	if err := x.proveChannel(channel); err != nil {
		return err
	}
	call, reason, err := d.Parse(x.Org.Directory())
	if err != nil {
		return approvals.Unproven("what was entered does not parse")
	}
	proven.intent, proven.reason = approvals.Intent{Call: call}, reason
	return nil
}

// proveButton reads a request by a click: an offer of an alert's card, an undo, or the
// gentler alternative on a request's card, or what contains what the executor has found.
func (x *Executor) proveButton(ctx context.Context, r approvals.Request, payload approvals.SlackPayload, proven *provenRequest) error {
	if len(payload.Actions) != 1 {
		return approvals.Unproven("it is not one click")
	}
	if err := onMessage(payload); err != nil {
		return err
	}
	if _, _, ok := approvals.SplitAlertValue(payload.Actions[0].Value); ok {
		return x.proveProposal(ctx, r, payload, proven)
	}
	button := payload.Actions[0].ID
	id, dig, err := parseClick(payload, button)
	if err != nil {
		return err
	}
	if button == approvals.AgainButton {
		return x.proveAgain(ctx, id, dig, payload, proven)
	}
	if strings.HasPrefix(button, approvals.Propose("")) && payload.CallBlocks == 0 {
		return x.proveFound(ctx, id, dig, payload, proven)
	}
	p, err := x.runs().Planned(ctx, id)
	if errors.Is(err, approvals.ErrNotFound) {
		return approvals.Unproven("there is no request %s", id)
	}
	if err != nil {
		return err
	}
	if button == "undo" {
		err = x.proveUndo(ctx, id, false, "", proven)
	} else if o, ok := approvals.RequestOffers(id, p.Intent, x.Org).ByButton(button); ok {
		proven.intent, proven.reason = o.Intent, o.Why
	} else {
		err = approvals.Unproven("%s asks for nothing", button)
	}
	if err != nil {
		return err
	}
	return checkCard(payload, dig, p)
}

// proveAgain reads a request for the same call as one that ended. The call is that of the
// table runs, and the card must have shown it.
func (x *Executor) proveAgain(ctx context.Context, id, dig string, payload approvals.SlackPayload, proven *provenRequest) error {
	p, why, err := x.runs().Again(ctx, id, proven.person, x.Policy.Roster, x.Actions)
	if errors.Is(err, approvals.ErrNotFound) {
		return approvals.Unproven("there is no request %s that ended", id)
	}
	if err != nil {
		return err
	}
	want := approvals.IntentDigest(p.Intent)
	shown, err := approvals.ParseIntent(payload.CallText, x.Org.Directory())
	switch {
	case dig != want:
		return approvals.Unproven("the button is another call's")
	case err != nil || approvals.IntentDigest(shown) != want:
		return approvals.Unproven("the card did not show this call")
	}
	proven.intent, proven.reason, proven.overrules = p.Intent, why, p.Overrules
	return checkCard(payload, p.Digest, p)
}

// proveFound reads a request to contain what the executor itself has found: who removed something, or what
// a trace has. The row must offer it, and the reply must have shown it.
func (x *Executor) proveFound(ctx context.Context, id, dig string, payload approvals.SlackPayload, proven *provenRequest) error {
	offers, err := x.runs().Found(ctx, id)
	if err != nil {
		return err
	}
	o, ok := offers.ByDigest(dig)
	switch {
	case len(offers) == 0 && approvals.IsRequestID(id):
		return approvals.Unproven("there is no request %s that ran and offers something", id)
	case !ok || !o.AskedBy(payload.Actions[0].ID):
		return approvals.Unproven("%s offers no such call", id)
	case !payload.Showed(o.Intent):
		return approvals.Unproven("the message did not show this call")
	}
	proven.intent, proven.reason = o.Intent, o.Why
	return nil
}

// unplanned returns what is proved of a request that has no plan, nil if nothing is.
func (x *Executor) unplanned(ctx context.Context, r approvals.Request) (*approvals.Planned, error) {
	if _, err := x.runs().Planned(ctx, r.ID); !errors.Is(err, approvals.ErrNotFound) {
		return nil, err
	}
	proven, err := x.prove(ctx, r, x.verifyPayload)
	if _, no := errors.AsType[*actions.Refusal](err); no {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &approvals.Planned{ID: r.ID, Intent: proven.intent, Reason: proven.reason, Asked: proven.at, Person: proven.person, App: proven.app, Evidence: r.Evidence, Overrules: proven.overrules}, nil
}

// proveUndo sets the intent to undo a request.
func (x *Executor) proveUndo(ctx context.Context, id string, keys bool, reason string, proven *provenRequest) error {
	p, err := x.runs().Planned(ctx, id)
	if errors.Is(err, approvals.ErrNotFound) {
		return approvals.Unproven("there is no request %s to undo", id)
	}
	if err != nil {
		return err
	}
	if reason == "" {
		reason = approvals.UndoReason(id)
	}
	proven.intent, proven.reason = approvals.Intent{Call: p.Intent.Call, Undo: id, ReactivateKeys: keys}, reason
	return nil
}

// loadEvidence loads stored evidence.
func (x *Executor) loadEvidence(ctx context.Context, key string) (approvals.Evidence, error) {
	e, err := x.Requests.Evidence(ctx, key)
	if errors.Is(err, approvals.ErrNotFound) {
		err = approvals.Unproven("there is none")
	}
	return e, err
}

// verifyPayload verifies the signature of a Slack payload and parses it.
func (x *Executor) verifyPayload(ctx context.Context, e approvals.Evidence) (approvals.SlackPayload, time.Time, error) {
	v, err := x.verifierOf(e)
	if err == nil {
		err = v.Verify(ctx, e)
	}
	if err != nil {
		return approvals.SlackPayload{}, time.Time{}, err
	}
	return x.readPayload(ctx, e)
}

// verifierOf returns the verifier of evidence that a person gave. What a webhook asks for is not: its text
// could be made to read as a click.
func (x *Executor) verifierOf(e approvals.Evidence) (approvals.Verifier, error) {
	v, ok := x.Verifiers[e.Kind]
	if nobodys := []approvals.EvidenceKind{approvals.EventEvidence, approvals.RuleEvidence, approvals.WebhookEvidence}; !ok || slices.Contains(nobodys, e.Kind) {
		return nil, approvals.Unproven("kind %q", e.Kind)
	}
	return v, nil
}

// readPayload parses a Slack payload without verifying its signature.
func (x *Executor) readPayload(_ context.Context, e approvals.Evidence) (approvals.SlackPayload, time.Time, error) {
	if _, err := x.verifierOf(e); err != nil {
		return approvals.SlackPayload{}, time.Time{}, err
	}
	at, err := e.At()
	if err != nil {
		return approvals.SlackPayload{}, time.Time{}, err
	}
	payload, err := approvals.ParseSlack(e.Body)
	if err != nil {
		return payload, at, err
	}
	if payload.Team != x.Team || payload.UserTeam != x.Team {
		return payload, at, approvals.Unproven("it is from another workspace")
	}
	return payload, at, nil
}

// parseClick returns the request and the call digest of a click on a button.
func parseClick(payload approvals.SlackPayload, action string) (id, digest string, err error) {
	if payload.Type != "block_actions" || len(payload.Actions) != 1 || payload.Actions[0].ID != action {
		return "", "", approvals.Unproven("it is not a click on %s", action)
	}
	if err := onMessage(payload); err != nil {
		return "", "", err
	}
	id, digest, ok := approvals.SplitValue(payload.Actions[0].Value)
	if !ok {
		return "", "", approvals.Unproven("the button names no request")
	}
	return id, digest, nil
}

// onMessage checks that a click was on a message: in a view or on a Home tab there is no
// card.
func onMessage(payload approvals.SlackPayload) error {
	if payload.Container != "message" {
		return approvals.Unproven("it was not clicked on a message")
	}
	return nil
}

// checkCard checks that the clicked card showed this call, requester and reason.
func checkCard(payload approvals.SlackPayload, digest string, p approvals.Planned) error {
	switch {
	case digest != p.Digest:
		return approvals.Unproven("the button is another call's")
	case payload.CallBlocks != 1 || payload.CallText != p.Intent.String():
		return approvals.Unproven("the card did not show this call")
	case !approvals.SameWords(payload.ReasonText, approvals.ReasonLine(p.Person, p.Reason)):
		return approvals.Unproven("the card did not show who asked and why")
	case payload.App != p.App && p.App != "": // no app asked for an automatic request, nor at the command line
		return approvals.Unproven("it is from another app")
	}
	return nil
}

// proveVote verifies a click on a request's card, or what was signed at the command line, and returns
// it as a vote.
func (x *Executor) proveVote(ctx context.Context, key, action string, p approvals.Planned) (approvals.Vote, error) {
	e, err := x.loadEvidence(ctx, key)
	if err != nil {
		return approvals.Vote{}, err
	}
	if e.Kind == approvals.STSEvidence {
		return x.proveStatementVote(ctx, e, action, p)
	}
	payload, at, err := x.verifyPayload(ctx, e)
	if err != nil {
		return approvals.Vote{}, err
	}
	id, digest, err := parseClick(payload, action)
	if err != nil {
		return approvals.Vote{}, err
	}
	if id != p.ID {
		return approvals.Vote{}, approvals.Unproven("it is another request's")
	}
	if err := checkCard(payload, digest, p); err != nil {
		return approvals.Vote{}, err
	}
	person, _ := x.Policy.Roster.BySlack(payload.User)
	return approvals.Vote{Actor: approvals.Actor{Person: person.ID, Slack: payload.User}, Evidence: key, At: at, Digest: digest}, nil
}
