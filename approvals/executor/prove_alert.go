package executor

import (
	"context"
	"encoding/json"
	"errors"
	"slices"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// proveProposal reads a request by a click on an alert's card, or its trace. The event and the
// configuration, or the trace, must offer it, and the message must have shown it.
func (x *Executor) proveProposal(ctx context.Context, r approvals.Request, payload approvals.SlackPayload, proven *provenRequest) error {
	button := payload.Actions[0]
	alert, dig, _ := approvals.SplitAlertValue(button.Value)
	if alert != r.Alert {
		return approvals.Unproven("it is about another alert")
	}
	if r.Event == "" { // of its trace
		return x.proveFound(ctx, alert, dig, payload, proven)
	}
	f, o, err := x.findOffer(ctx, r, dig, approvals.OneClick)
	if err != nil {
		return err
	}
	if !o.AskedBy(button.ID) {
		return approvals.Unproven("the button asks for another action")
	}
	if !payload.Showed(o.Intent) {
		return approvals.Unproven("the card did not show this call")
	}
	proven.intent, proven.reason, proven.finding, proven.unsure = o.Intent, o.Why, f, o.Unsure
	switch {
	case !o.OneClick:
		proven.modeRefused = "the configuration does not let one click run this"
	case !payload.OneClick:
		proven.modeRefused = "the card did not say that one click runs it"
	case !x.autoEligible(o.Intent.Call):
		proven.modeRefused = "this action is never run by one click"
	case r.Mode == approvals.OneClick: // the bot may have chosen two-person approval
		proven.mode = approvals.OneClick
	}
	return nil
}

// proveRule reads an automatic request. Its evidence is not signed, therefore the run
// waits until the source confirms the finding.
func (x *Executor) proveRule(ctx context.Context, r approvals.Request, e approvals.Evidence) (provenRequest, error) {
	var ruled approvals.RuleRequest
	if json.Unmarshal([]byte(e.Body), &ruled) != nil {
		return provenRequest{}, approvals.Unproven("the rule can't be read")
	}
	at, err := e.At()
	if err != nil {
		return provenRequest{}, err
	}
	switch {
	case ruled.Alert != r.Alert || ruled.Event != r.Event:
		return provenRequest{}, approvals.Unproven("the stored request is not what the rule asks for")
	case at.After(x.Now().Add(approvals.ClockSkew)):
		return provenRequest{}, approvals.Unproven("it is from the future")
	}
	f, o, err := x.findOffer(ctx, r, approvals.IntentDigest(ruled.Intent), approvals.Automatic)
	if err != nil {
		return provenRequest{}, err
	}
	proven := provenRequest{intent: o.Intent, reason: o.Why, person: approvals.AutomaticRequester, at: at, finding: f}
	switch {
	case !o.Auto:
		proven.modeRefused = "the configuration does not let this finding contain by itself"
	case !x.autoEligible(o.Intent.Call):
		proven.modeRefused = "this action never runs by itself"
	case r.Mode == approvals.Automatic: // the planner may have chosen two-person approval
		proven.mode = approvals.Automatic
	}
	return proven, nil
}

// findOffer finds the offer of a digest, and the finding that makes it for the
// request's reason, in the event that the request refers to. Of several findings it
// takes one that lets the intent run in that mode.
func (x *Executor) findOffer(ctx context.Context, r approvals.Request, dig string, m approvals.ApprovalMode) (finding.Finding, approvals.Offer, error) {
	e, err := x.Requests.Evidence(ctx, r.Event)
	switch {
	case errors.Is(err, approvals.ErrNotFound):
		return finding.Finding{}, approvals.Offer{}, approvals.Unproven("the alert is too old, its event is no longer kept: use /killswitch")
	case err != nil:
		return finding.Finding{}, approvals.Offer{}, err
	case e.Kind != approvals.EventEvidence:
		return finding.Finding{}, approvals.Offer{}, approvals.Unproven("it names no event")
	}
	all, err := x.Findings.ReadStored(e.Body)
	if err != nil {
		return finding.Finding{}, approvals.Offer{}, approvals.Unproven("the event can't be read")
	}
	found := slices.DeleteFunc(all, func(f finding.Finding) bool {
		o, ok := f.Offers().ByDigest(dig)
		return !ok || o.Why != r.Reason
	})
	if len(found) == 0 {
		return finding.Finding{}, approvals.Offer{}, approvals.Unproven("the event and the configuration offer no such call")
	}
	f := found[max(slices.IndexFunc(found, func(f finding.Finding) bool {
		o, _ := f.Offers().ByDigest(dig)
		return o.Lets(m)
	}), 0)]
	o, _ := f.Offers().ByDigest(dig)
	return f, o, nil
}
