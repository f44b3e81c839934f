// Package demo serves the imaginary company to a browser: its Slack, its AWS, and
// stories that play on both. One goroutine owns the company; requests send it
// what is to be done, and everybody who watches gets the state after it.
package demo

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

// Server is the demo. Its zero value is not usable: see New.
type Server struct {
	start   time.Time
	now     func() time.Time
	log     *slog.Logger
	work    chan func(context.Context, *stage)
	stopped chan struct{}
}

// stage is what the owner has: the company, a story on it, and who watches.
type stage struct {
	*company.Company
	before   awsfake.State // when the story began
	play     *play
	speed    int
	changed  bool // what is neither Slack's nor AWS's, since it was shown last
	shown    time.Time
	watchers map[*watcher]struct{}
}

// New makes a demo whose company begins at a moment of its own time. The clock is
// the real one: as it goes on, so does the company's.
func New(start time.Time, now func() time.Time, log *slog.Logger) *Server {
	return &Server{start: start, now: now, log: log, work: make(chan func(context.Context, *stage)), stopped: make(chan struct{})}
}

const (
	showEvery = 100 * time.Millisecond // at most
	timeEvery = time.Second            // when nothing but the time has changed
	longest   = time.Second            // that passes at once: a machine that slept does not catch up
)

// Run lets the company live until the context ends.
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

// errStopped is what a request gets while the demo ends.
var errStopped = errors.New("the demo has ended")

// do lets the owner do something, and waits for it.
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

// reset founds the company anew, for a story or, with none, for free play.
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
