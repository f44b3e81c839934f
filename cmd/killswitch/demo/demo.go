// Package demo serves the imaginary company to a browser: its Slack, its AWS, and stories
// on both. One goroutine owns the company; HTTP requests send it functions, and all
// watchers get the new state.
package demo

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

// Server is the demo; create it with New.
type Server struct {
	start   time.Time
	now     func() time.Time
	log     *slog.Logger
	work    chan func(context.Context, *stage)
	stopped chan struct{}
}

// stage is the owner's state: the company, the current story, and the watchers.
type stage struct {
	*company.Company
	before   awsfake.State // when the story began
	play     *play
	speed    int
	changed  bool // what is neither Slack's nor AWS's, since it was shown last
	shown    time.Time
	watchers map[*watcher]struct{}
}

// New creates a demo whose company starts at a time of its own. now is the real clock,
// which advances the company's.
func New(start time.Time, now func() time.Time, log *slog.Logger) *Server {
	return &Server{start: start, now: now, log: log, work: make(chan func(context.Context, *stage)), stopped: make(chan struct{})}
}

const (
	showEvery = 100 * time.Millisecond // at most
	timeEvery = time.Second            // when nothing but the time has changed
	longest   = time.Second            // that passes at once: a machine that slept does not catch up
)

// Run runs the company until the context ends.
func (s *Server) Run(ctx context.Context) error {
	defer close(s.stopped)
	st := &stage{watchers: map[*watcher]struct{}{}}
	if err := s.reset(ctx, st, nil); ctx.Err() != nil {
		return nil
	} else if err != nil {
		return err
	}
	defer func() { st.Close() }() // the last one
	tick := time.NewTicker(showEvery)
	defer tick.Stop()
	for last := s.now(); ; {
		select {
		case <-ctx.Done():
			return nil
		case f := <-s.work:
			f(ctx, st)
			st.look(ctx)
		case <-tick.C:
			now := s.now()
			_ = st.Advance(ctx, min(now.Sub(last), longest)*time.Duration(st.speed)) // what failed is tried again, and logged
			last = now
			st.look(ctx)
			st.show(now)
		}
	}
}

// look follows the story.
func (st *stage) look(ctx context.Context) {
	if st.play.look(ctx) {
		st.changed = true
	}
}

// errStopped is the error of requests while the demo ends.
var errStopped = errors.New("the demo has ended")

// do runs a function in the owner's goroutine, and waits for it.
func (s *Server) do(ctx context.Context, f func(context.Context, *stage) error) error {
	done := make(chan error, 1)
	select {
	case s.work <- func(ctx context.Context, st *stage) { done <- f(ctx, st) }:
	case <-s.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-s.stopped:
		return errStopped
	}
}

// reset creates a new company, for a story or, if it is nil, for free play.
func (s *Server) reset(ctx context.Context, st *stage, of *story) error {
	c, err := company.New(ctx, s.start, s.log)
	if err != nil {
		return err
	}
	if st.Company != nil {
		st.Close()
	}
	st.Company, st.speed, st.before = c, 1, c.AWS.Snapshot()
	st.play = &play{Company: c, story: of, before: st.before}
	if of == nil {
		return nil
	}
	return st.play.begin(ctx)
}
