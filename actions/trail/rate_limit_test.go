package trail_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

// TestSessionsOfOneAccountShareARateLimit: however many sessions there are in an account
// and region, together they keep the rate; another region or account has its own.
func TestSessionsOfOneAccountShareARateLimit(t *testing.T) {
	inTrail(t, []string{home}, func(t *testing.T, w *history) {
		cloud := actions.NewCloud(w.Config(), w.org)
		enter := func() *actions.Account {
			acct, err := cloud.Enter(t.Context(), actions.Responder, actiontest.Member, "", actiontest.Actor, trail.ActivityPermits())
			actiontest.Must(t, err)
			return acct
		}
		const every = 500 * time.Millisecond
		began := time.Now()
		for range 4 {
			a := enter()
			go func() { actiontest.Must(t, a.WaitRateLimit(t.Context(), "a call", home, 1, every)) }()
		}
		actiontest.Must(t, enter().WaitRateLimit(t.Context(), "a call", global, 1, every))
		actiontest.Must(t, enter().WaitRateLimit(t.Context(), "another call", home, 1, every))
		if time.Since(began) != 0 {
			t.Errorf("another region, and another call, waited %s", time.Since(began))
		}
		synctest.Wait()
		actiontest.Must(t, enter().WaitRateLimit(t.Context(), "a call", home, 1, every))
		if got := time.Since(began); got != 4*every {
			t.Errorf("the fifth waited %s, want %s", got, 4*every)
		}
		ctx, cancel := context.WithTimeout(t.Context(), every/2)
		defer cancel()
		if err := enter().WaitRateLimit(ctx, "a call", home, 1, every); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a call whose time ends before its turn: %v", err)
		}
		if err := enter().WaitRateLimit(t.Context(), "a call", home, 1, every); err != nil || time.Since(began) != 5*every {
			t.Errorf("the turn that was not taken is lost: %v after %s", err, time.Since(began))
		}
	})
}
