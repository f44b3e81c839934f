package company

import (
	"context"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"time"
)

var night = time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)

func found(t *testing.T) *Company {
	t.Helper()
	c, err := New(t.Context(), night, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if c.sleeping != nil {
			c.Close()
		}
	})
	return c
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestSleepBlocksNobodyElse: what Killswitch sleeps for holds up neither people nor other work,
// and goes on when its time has come, not before.
func TestSleepBlocksNobodyElse(t *testing.T) {
	c := found(t)
	var woke []time.Duration
	nap := func(d time.Duration) {
		_, _ = c.start(t.Context(), func(ctx context.Context) (bool, error) {
			err := c.clock.sleep(ctx, d)
			woke = append(woke, c.Now().Sub(night))
			return true, err
		}, c.workers[0])
	}
	nap(90 * time.Second)
	nap(45 * time.Second)
	if n := c.sleepingJobs(c.workers[0]); n != 2 || !c.Now().Equal(night) {
		t.Fatalf("%d sleep, it is %s", n, c.Now())
	}
	must(t, c.Type(t.Context(), Alice, `revoke_sessions prod/app-role reason="a test"`))
	rs, err := c.Requests(t.Context())
	if err != nil || len(rs) != 1 || rs[0].Card.TS == "" {
		t.Fatalf("requests: %+v %v", rs, err)
	}
	must(t, c.Advance(t.Context(), 89*time.Second))
	if len(woke) != 1 || woke[0] != 45*time.Second {
		t.Errorf("woke at %v", woke)
	}
	must(t, c.Advance(t.Context(), time.Hour))
	if len(woke) != 2 || woke[1] != 90*time.Second || len(c.sleeping) != 0 {
		t.Errorf("woke at %v, %d sleep", woke, len(c.sleeping))
	}
	if rs, _ = c.Requests(t.Context()); rs[0].State != "expired" || !c.Now().Equal(night.Add(time.Hour+89*time.Second)) {
		t.Errorf("at %s the request is %s", c.Now(), rs[0].State)
	}
}

// TestNoMoreWorkersThanInServe: no more work is begun at a time than in serve.
func TestNoMoreWorkersThanInServe(t *testing.T) {
	c := found(t)
	for range c.workers[0].parallel {
		_, _ = c.start(t.Context(), func(ctx context.Context) (bool, error) { return true, c.clock.sleep(ctx, time.Minute) }, c.workers[0])
	}
	must(t, c.Type(t.Context(), Alice, `revoke_sessions prod/app-role reason="a test"`))
	if rs, _ := c.Requests(t.Context()); len(rs) > 0 {
		t.Error("there was a worker more")
	}
	must(t, c.Advance(t.Context(), time.Minute))
	if rs, _ := c.Requests(t.Context()); len(rs) != 1 {
		t.Error("the request got lost")
	}
}

// TestOneJobSleepsInSeveralGoroutines: a piece of work may sleep in several goroutines of its own.
func TestOneJobSleepsInSeveralGoroutines(t *testing.T) {
	c := found(t)
	_, _ = c.start(t.Context(), func(ctx context.Context) (bool, error) {
		done := make(chan struct{})
		for i := range 5 {
			go func() {
				_ = c.clock.sleep(ctx, time.Duration(i+1)*time.Second)
				done <- struct{}{}
			}()
		}
		for range 5 {
			<-done
		}
		return true, nil
	}, nil)
	must(t, c.Advance(t.Context(), 4500*time.Millisecond))
	if len(c.sleeping) != 1 {
		t.Error("it is over too early")
	}
	must(t, c.Advance(t.Context(), time.Second))
	if len(c.sleeping) != 0 {
		t.Error("it never ends")
	}
}

// TestCloseLeavesNoGoroutine: nothing of the company is left behind, also of work that sleeps.
func TestCloseLeavesNoGoroutine(t *testing.T) {
	before := runtime.NumGoroutine()
	c := found(t)
	c.SetSlack(SlackLimited)
	var slept error
	_, _ = c.start(t.Context(), func(ctx context.Context) (bool, error) {
		slept = c.clock.sleep(ctx, time.Hour)
		return true, nil
	}, nil)
	c.Close()
	if slept == nil {
		t.Error("it slept for an hour")
	}
	c.sleeping = nil
	deadline := time.Now().Add(5 * time.Second)
	for runtime.NumGoroutine() > before && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, there were %d", n, before)
	}
}

// TestCredentialsWorkUntilAWSDenies: they work until AWS says no, whatever anybody says.
func TestCredentialsWorkUntilAWSDenies(t *testing.T) {
	c := found(t)
	key := c.Key(DeployBot, DeployBotKey, "somebody", "s3:GetObject", "arn:aws:s3:::customers/all.csv")
	if !c.Use(key) {
		t.Error("the key does not work")
	}
	must(t, c.Type(t.Context(), Alice, `deactivate_key `+DeployBotKey+` account=prod reason="a test"`))
	rs, err := c.Requests(t.Context())
	must(t, err)
	must(t, c.Click(t.Context(), Bob, rs[0].Card.TS, "approve", ""))
	if c.Use(key) {
		t.Error("the key still works")
	}
	var calls []string
	for _, d := range c.APICalls() {
		calls = append(calls, d.By+" "+d.Call+" "+strings.Fields(d.Result)[0])
	}
	got, want := strings.Join(calls, "\n"), "user/deploy-bot s3:GetObject ok\nkillswitch-responder/"+rs[0].ID+" iam:UpdateAccessKey ok\nuser/deploy-bot s3:GetObject api"
	if got != want {
		t.Errorf("the log is\n%s\nwant\n%s", got, want)
	}
}
