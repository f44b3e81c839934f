package executor

import (
	"context"
	"errors"
	"unicode/utf8"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// refuse ends a request as refused, in one write with the rows in fence.
func (x *Executor) refuse(ctx context.Context, r approvals.Request, no *actions.Refusal, fence ...approvals.Put) error {
	run := approvals.Run{ID: r.ID, Outcome: approvals.Refused, Cause: no.Reason, Hint: no.Hint, Ended: x.Now().UTC()}
	var err error
	if run.Unplanned, err = x.unplanned(ctx, r); err != nil {
		return err
	}
	events, err := x.votes(ctx, r)
	if err != nil {
		return err
	}
	err = x.record(ctx, r.ID, append(fence, putRun(run)), append(events, audit.New("refused", "", "why", no.Cause(), "intent", r.Intent.String()))...)
	if errors.Is(err, approvals.ErrConflict) {
		// It was refused before, and the worker died before it updated the request; or
		// another worker continued it.
		var old approvals.Run
		old, err = x.runs().Run(ctx, r.ID)
		if err != nil || old.Outcome != approvals.Refused {
			return ignore(err, approvals.ErrNotFound)
		}
	}
	if err != nil {
		return err
	}
	err = x.changeRequest(ctx, r.ID, func(r *approvals.Request) error {
		if !r.State.May(approvals.Refused) {
			return errSettled
		}
		r.Codes, r.Cause, r.Hint, r.Closed = no.Codes, no.Reason, no.Hint, true
		return r.To(approvals.Refused, x.Now().UTC())
	})
	if err != nil {
		return err
	}
	if err := x.sendKeep(ctx, r.ID); err != nil {
		return err
	}
	return x.expireRows(ctx, r.ID, run.Ended)
}

// errSettled means that nothing is left to do.
var errSettled = errors.New("settled already")

// changeRequest changes a request's row and asks the bot to redraw its card, also if
// change returns errSettled.
func (x *Executor) changeRequest(ctx context.Context, id string, change func(*approvals.Request) error) error {
	r, err := x.Requests.Change(ctx, id, change)
	if err := ignore(err, errSettled); err != nil {
		return err
	}
	return x.Changes.Send(ctx, approvals.Change{ID: id, Of: r.Requester.Person}, 0)
}

// ignore returns nil if err is kind, otherwise err.
func ignore(err, kind error) error {
	if errors.Is(err, kind) {
		return nil
	}
	return err
}

// refusalOf turns an AWS error into an *actions.Refusal, unless it is transient.
func refusalOf(err error) error {
	if actions.Transient(err) {
		return err
	}
	why, hint := actions.Explain(err)
	return &actions.Refusal{Reason: why, Hint: hint}
}

// maxHint is how many characters of a hint a card shows.
const maxHint = 300

// withLine makes the line that asks for what is probably meant the hint of a refusal, if
// that line is taken when it is sent.
func (x *Executor) withLine(err error, reason string) error {
	no, ok := errors.AsType[*actions.Refusal](err)
	if !ok || no.Instead == nil {
		return err
	}
	line := no.Instead.Line(reason)
	hint := "send /killswitch " + line + " if " + actions.LastPart(no.Instead.Target) + " is meant"
	call, _, bad := actions.Parse(line, x.Org.Directory())
	if bad == nil && call.Equal(*no.Instead) && utf8.RuneCountInString(hint) <= maxHint {
		no.Hint = hint
	}
	return err
}

// errSettledOr returns err, or errSettled if it is nil.
func errSettledOr(err error) error {
	if err != nil {
		return err
	}
	return errSettled
}
