package executor

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

const (
	// CloudTrail delivers "within an average of about 5 minutes"; nameWithin is when it is said
	// that it tells nothing. https://docs.aws.amazon.com/awscloudtrail/latest/userguide/how-cloudtrail-works.html
	nameWithin  = 45 * time.Minute
	nameEvery   = 5 * time.Minute
	namedAtOnce = 3 // removals that one look asks about
	// anotherAfter is the least time between two messages because it is somebody else.
	anotherAfter = time.Minute
)

// unnamed reports whether it is still asked who made a removal that is told.
func unnamed(t approvals.Tampered) bool { return t.Told && t.By == nil }

// another returns the last removal, as made since the last one that is told, if that was some time
// before: somebody else may have made it. Of removals without a message nobody is named otherwise.
func (w *worker) another() (i int, t approvals.Tampered, ok bool) {
	told := w.run.Told()
	if i = len(w.run.Tampering) - 1; i < 0 || len(told) == 0 {
		return i, t, false
	}
	t = w.run.Tampering[i]
	t.Since = told[len(told)-1].At
	return i, t, !t.Told && t.Known() && t.At.Sub(t.Since) >= anotherAfter && w.x.Now().Sub(t.At) < nameWithin
}

// nameRemovers asks CloudTrail who made the removals that are told, and returns a link of the
// audit chain for each answer. It is asked again by later looks, for as long as it may still
// tell. Answers are stored with the end of the look, which tells them.
func (w *worker) nameRemovers(ctx context.Context, steps []step) (links []audit.Event, err error) {
	x := w.x
	type session struct {
		acct *actions.Account
		err  error
	}
	sessions, found := map[string]session{}, map[int]*approvals.Remover{}
	last, since, another := w.another()
	for i, t := range w.run.Tampering {
		if another && i == last {
			t = since
		} else if !unnamed(t) || len(found) == namedAtOnce {
			continue
		}
		if t.StepN > len(steps) {
			continue
		}
		removed := steps[t.StepN-1].Step
		account := w.p.Account // of what a step looks at
		if removed.Look == "" {
			account, _, _ = strings.Cut(removed.Hold, "/") // in which it was applied
		}
		s, entered := sessions[account]
		if !entered {
			s.acct, s.err = x.Cloud.Enter(ctx, actions.Responder, account, "", sessionContext(w.p, nil), trail.LookupPermits())
			sessions[account] = s
		}
		if err := w.renewOrHandOver(ctx); err != nil {
			return nil, storeError{err}
		}
		found[i] = w.removerOf(ctx, s.acct, s.err, removed, t)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	for i := range w.run.Tampering {
		if t, by := &w.run.Tampering[i], found[i]; by != nil {
			if !t.Told && !w.run.IsAnother(*by) {
				continue
			}
			t.By, t.Told = by, true
			links = append(links, audit.New("remover", "", "removal", strconv.Itoa(t.N), "who", by.Who, "call", by.Call, "event", by.Event, "unknown", by.Unknown))
		}
	}
	return links, nil
}

// removerOf asks CloudTrail who made a removal; nil if it may tell later.
func (w *worker) removerOf(ctx context.Context, acct *actions.Account, entered error, s actions.Step, t approvals.Tampered) *approvals.Remover {
	x, record, err := w.x, "", entered
	from := t.Since
	if from.IsZero() {
		from = w.run.Applied
	}
	if err == nil {
		record, err = trail.RemovalOf(ctx, acct, s, from, t.At)
	}
	if err == nil && record != "" {
		var by approvals.Remover
		if by, err = x.Findings.Remover(w.p.Account, record); err == nil {
			return &by
		}
	}
	var cut *trail.CutError
	switch later := err == nil || errors.As(err, &cut) || actions.Transient(err); {
	case later && x.Now().Sub(t.At) < nameWithin:
		return nil
	case err == nil:
		return &approvals.Remover{Unknown: "CloudTrail has no call of that time that did it"}
	}
	x.Log.WarnContext(ctx, "remover not found", slog.String("request_id", w.p.ID), slog.String("error", err.Error()))
	why, _ := actions.Explain(err)
	return &approvals.Remover{Unknown: "CloudTrail did not say who: " + why}
}
