package bot

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// inForceFor is how long the list of what is in force is used. What is younger is not in it, and is
// looked at after 5 and 15 s by itself.
const inForceFor = 10 * time.Second

// HandleTrail handles a message of the queue trail: an event of CloudTrail about a change that
// may undo a containment. It sends the jobs that look, and says nothing to anybody. What is no
// such event is dropped.
func (b *Bot) HandleTrail(ctx context.Context, body []byte) error {
	c, ok := finding.ReadTampering(body)
	if !ok {
		return nil
	}
	about, err := b.inForce.about(ctx, b, c)
	if err != nil {
		return err
	}
	var errs []error
	for _, h := range about {
		delay, due := b.inForce.claim(h, b.Now())
		if !due {
			continue
		}
		if err := b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobEvent, ID: h.id}, delay); err != nil {
			b.inForce.release(h)
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// inForce lists the containments in force, in this process alone.
type inForce struct {
	mu    sync.Mutex
	read  time.Time
	held  map[string]*held   // by the request's ID
	named map[string][]*held // by what they hold
}

// held is a containment in force.
type held struct {
	approvals.InForce
	id       string
	revision int64     // of the run
	applied  time.Time // the looks of the schedule see what changed before
	asked    time.Time // when the last job is due
}

// about returns the containments that a change may be about.
func (f *inForce) about(ctx context.Context, b *Bot, c finding.Tampering) ([]*held, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.Now().Sub(f.read) >= inForceFor {
		if err := f.list(ctx, b); err != nil {
			return nil, err
		}
	}
	found := map[*held]bool{}
	for _, name := range c.Names {
		for _, h := range f.named[name] {
			found[h] = found[h] || h.Account == c.Account || c.SCP && h.SCP
		}
	}
	for _, h := range f.held {
		found[h] = found[h] || h.More && h.Account == c.Account || c.AnySCP && h.SCP
	}
	var hs []*held
	for h, is := range found {
		if is && !c.At.Before(h.applied.Truncate(time.Second)) { // CloudTrail has no fractions
			hs = append(hs, h)
		}
	}
	return hs, nil
}

// list reads what is in force. A run is read again only if its request has news of it.
func (f *inForce) list(ctx context.Context, b *Bot) error {
	var rs []approvals.Request
	for after := ""; ; {
		page, err := b.Requests.Marked(ctx, approvals.MarkInForce, after, sweepPage)
		if err != nil {
			return err
		}
		for _, r := range page {
			after = r.ID
			if r.Intent.Undo == "" && (r.State == approvals.Contained || r.State == approvals.Partial) {
				rs = append(rs, r)
			}
		}
		if len(page) < sweepPage {
			break
		}
	}
	hs := make([]*held, len(rs))
	_ = actions.Parallel(len(rs), sweepReads, func(i int) error {
		old := f.held[rs[i].ID]
		if old != nil && old.revision == rs[i].RunRevision && old.Account != "" {
			hs[i] = old
			return nil
		}
		run, err := b.Runs.Run(ctx, rs[i].ID)
		if err != nil { // one that can't be read must not hide the others
			b.Log.WarnContext(ctx, "run not read", slog.String("request_id", rs[i].ID), slog.String("error", err.Error()))
		}
		hs[i] = &held{InForce: run.InForce, id: rs[i].ID, revision: rs[i].RunRevision, applied: run.AppliedAt}
		if old != nil {
			hs[i].asked = old.asked
		}
		return nil
	})
	f.read, f.held, f.named = b.Now(), map[string]*held{}, map[string][]*held{}
	for _, h := range hs {
		f.held[h.id] = h
		for _, name := range h.Names {
			f.named[name] = append(f.named[name], h)
		}
	}
	return nil
}

// claim reports whether a change needs a job, and when: the first one at once, those after it
// one together, a LookGap later. What comes while that one waits needs none.
func (f *inForce) claim(h *held, now time.Time) (delay time.Duration, due bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.asked.After(now) {
		return 0, false
	}
	at := h.asked.Add(approvals.LookGap)
	if now.After(at) {
		at = now
	}
	h.asked = at
	return at.Sub(now), true
}

// release gives a claim back whose job could not be sent.
func (f *inForce) release(h *held) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h.asked = time.Time{}
}
