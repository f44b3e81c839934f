package local_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/cards"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

// The daily check, with all zones.

const canaryChannel = "C03CANARY"

// checked is a world whose daily check sees all: a canary's channel, a pager, ingress behind an address.
type checked struct {
	*world
	mu      sync.Mutex
	counts  map[string]int
	log     bytes.Buffer
	mended  bool
	seen    []slackfake.Event // what came and went in the canary's channel
	ingress func(*http.Request) (*http.Response, error)
}

// toIngress answers as ingress does.
func (c *checked) toIngress(req *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	c.zones.Ingress.ServeHTTP(w, req)
	return w.Result(), nil
}

// RoundTrip implements [http.RoundTripper].
func (c *checked) RoundTrip(req *http.Request) (*http.Response, error) { return c.ingress(req) }

func (c *checked) count(_ context.Context, name string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.counts[name] += n
}

func newChecked(t *testing.T, alter ...func(*world)) *checked {
	t.Helper()
	c := &checked{counts: map[string]int{}}
	c.world = newWorld(t, append([]func(*world){onCall, organized, func(w *world) {
		deployed(w, "333333333333")
		w.cfg.CanaryChannel = canaryChannel
		w.slack.SetChannel(slackfake.Channel{ID: canaryChannel, Name: "canary"})
		w.log = slog.New(slog.NewTextHandler(&c.log, nil))
	}}, alter...)...)
	c.ingress = c.toIngress
	c.zones.Bot.IngressURL, c.zones.Bot.Web = "https://killswitch.invalid", c
	c.zones.Bot.Count, c.zones.Executor.Count = c.count, c.count
	c.slack.Subscribe(func(e slackfake.Event) {
		if e.Message.Channel == canaryChannel {
			c.seen = append(c.seen, e)
		}
	})
	return c
}

// deployed gives an account the member roles.
func deployed(w *world, account string) {
	w.aws.Member(account, awsfake.MemberRoles{Responder: w.cfg.Org.ResponderRole, Restorer: w.cfg.Org.RestorerRole, ExternalID: w.cfg.Org.ExternalID,
		ResponderPolicy: all.MemberPolicy(actions.Responder, w.cfg.Org, false), RestorerPolicy: all.MemberPolicy(actions.Restorer, w.cfg.Org, false)})
}

// entered counts by role the sessions that were given to do nothing.
func (c *checked) entered() map[string]int {
	by := map[string]int{}
	for _, call := range c.aws.Calls() {
		if call.Op == "sts:AssumeRole" && call.Phase == awsfake.After && call.Applied && call.SessionPolicy == `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["*"],"Resource":["*"]}]}` {
			by[call.Resources[0]]++
		}
	}
	return by
}

// days lets time go by, with the sweep of the daily check.
func (c *checked) days(d time.Duration) {
	c.t.Helper()
	for end := c.clock.Now().Add(d); !c.clock.Now().After(end); c.clock.Add(time.Minute) {
		_ = c.zones.Bot.SweepHealth(c.t.Context())
		c.drain()
	}
}

// channelSays is what the incident channel has.
func (c *checked) channelSays() (texts []string) {
	for _, m := range c.slack.Messages(channel) {
		texts = append(texts, m.Text)
	}
	return texts
}

// TestDailyCheckOfAWholeInstallation: a message is posted, read back and deleted; a forged click is refused; each role
// is entered to do nothing; all is counted, and nobody hears of it. A day later again.
func TestDailyCheckOfAWholeInstallation(t *testing.T) {
	t.Parallel()
	for name, alter := range stores {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChecked(t, alter...)
			forged := 0
			c.ingress = func(req *http.Request) (*http.Response, error) {
				resp, err := c.toIngress(req)
				if req.Method == http.MethodPost {
					if forged++; resp.StatusCode != http.StatusUnauthorized {
						t.Errorf("the forged click is answered by %d", resp.StatusCode)
					}
				}
				return resp, err
			}
			c.days(23 * time.Hour)
			if len(c.seen) != 2 || c.seen[0].Type != "posted" || c.seen[1].Type != "deleted" || len(c.slack.Messages(canaryChannel)) != 0 {
				t.Errorf("in the canary's channel: %+v", c.seen)
			}
			if text := c.seen[0].Message.Text; strings.Contains(text, "<") || strings.Contains(string(c.seen[0].Message.Blocks), "button") {
				t.Errorf("the canary calls or asks somebody: %s %s", text, c.seen[0].Message.Blocks)
			}
			if said := c.channelSays(); len(said) != 0 || len(c.pages()) != 0 {
				t.Errorf("told %q, paged %q", said, c.pages())
			}
			if c.counts["HealthChecks"] != 2 || c.counts["HealthFailed"]+c.counts["CanaryFailed"] != 0 || forged != 1 {
				t.Errorf("counted %v, forged %d", c.counts, forged)
			}
			want := map[string]int{} // of the hub there is none
			for _, account := range []string{prod, "333333333333", "999999999999"} {
				for _, role := range []string{"killswitch-responder", "killswitch-restorer"} {
					want["arn:aws:iam::"+account+":role/"+role] = 1
				}
			}
			if d := cmp.Diff(want, c.entered()); d != "" {
				t.Errorf("roles entered: %s", d)
			}
			c.days(2 * time.Hour)
			if c.counts["HealthChecks"] != 4 || forged != 2 || len(c.seen) != 4 {
				t.Errorf("the next day: counted %v, forged %d, %d in the canary's channel", c.counts, forged, len(c.seen))
			}
			if strings.Contains(c.log.String(), "another secret made it") {
				t.Errorf("ingress takes the daily check for an attacker: %s", &c.log)
			}
		})
	}
}

// answer is what a proxy answers in ingress' place.
func answer(status int, header http.Header) func(*http.Request) (*http.Response, error) {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(""))}, nil
	}
}

// TestBrokenInstallations: each is found the same day, in its own words, counted, and told once, in the incident
// channel or by the pager; mended, it is over within the hour.
func TestBrokenInstallations(t *testing.T) {
	t.Parallel()
	for name, b := range map[string]struct {
		alter  func(*world)
		do     func(*checked)
		mend   func(*checked)
		want   string // in what is told
		canary bool   // the alarm of the canary
		paged  bool   // Slack takes no word
	}{
		"the canary's channel is gone": {
			do:   func(c *checked) { c.slack.Archive(canaryChannel) },
			mend: func(c *checked) { c.slack.SetChannel(slackfake.Channel{ID: canaryChannel}) },
			want: "channel C03CANARY: it is archived", canary: true},
		"the bot is not in the canary's channel": {
			do:   func(c *checked) { c.slack.SetChannel(slackfake.Channel{ID: canaryChannel, Left: true}) },
			mend: func(c *checked) { c.slack.SetChannel(slackfake.Channel{ID: canaryChannel}) },
			want: "channel C03CANARY: the bot is not in it", canary: true},
		"a message is removed before it is read back": {
			do: func(c *checked) {
				c.slack.Subscribe(func(e slackfake.Event) {
					if e.Type == "posted" && e.Message.Channel == canaryChannel {
						c.slack.Lose(canaryChannel, e.Message.TS)
					}
				})
			},
			want: "gone before it was read back", canary: true},
		"the token is revoked": {
			do:   func(c *checked) { c.slack.Fail(slackfake.Fault{Error: "token_revoked", Times: -1}) },
			mend: func(c *checked) { c.slack.Heal() },
			want: "token is not valid", paged: true},
		"a proxy answers 200 to everything": {
			do:   func(c *checked) { c.ingress = answer(http.StatusOK, nil) },
			mend: func(c *checked) { c.ingress = c.toIngress },
			want: "a click that nobody signed was let in", canary: true},
		"a proxy wants a password": {
			do: func(c *checked) {
				c.ingress = answer(http.StatusUnauthorized, http.Header{"Www-Authenticate": {`Basic realm="x"`}})
			},
			mend: func(c *checked) { c.ingress = c.toIngress },
			want: "wants a password (Basic)", canary: true},
		"a proxy sends elsewhere": {
			do: func(c *checked) {
				c.ingress = answer(http.StatusFound, http.Header{"Location": {"https://login.invalid"}})
			},
			mend: func(c *checked) { c.ingress = c.toIngress },
			want: "was answered by 302", canary: true},
		"ingress can't be reached": {
			do: func(c *checked) {
				c.ingress = func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }
			},
			mend: func(c *checked) { c.ingress = c.toIngress },
			want: "it can't be reached: connection refused", canary: true},
		"ingress can't read its signing secret": {
			do: func(c *checked) {
				c.zones.Ingress.Secrets = func(context.Context) ([]string, error) { return nil, errors.New("secret: AccessDenied") }
			},
			mend: func(c *checked) {
				c.zones.Ingress.Secrets = func(context.Context) ([]string, error) { return []string{"test-secret"}, nil }
			},
			want: "it can't read its signing secret", canary: true},
		"the executor can't read its signing secret": {
			do: func(c *checked) {
				c.zones.Executor.Verifiers = approvals.SlackVerifier{Secrets: func(context.Context) ([]string, error) { return nil, errors.New("secret: AccessDenied") }}.Kinds()
			},
			mend: func(c *checked) {
				c.zones.Executor.Verifiers = approvals.SlackVerifier{Secrets: func(context.Context) ([]string, error) { return []string{"test-secret"}, nil }}.Kinds()
			},
			want: "the executor can't check signatures, so that no approval counts"},
		"the executor takes what nobody signed": {
			do: func(c *checked) {
				c.zones.Executor.Verifiers = map[approvals.EvidenceKind]approvals.Verifier{approvals.SlackEvidence: takesAll{}}
			},
			want: "the executor took a click that nobody signed"},
		"a member role can't be entered": {
			do: func(c *checked) {
				c.aws.OnCall(func(call awsfake.Call) error {
					if call.Op == "sts:AssumeRole" && call.Phase == awsfake.Before && !c.mended && strings.HasSuffix(call.Resources[0], prod+":role/killswitch-restorer") {
						return apiError("AccessDenied")
					}
					return nil
				})
			},
			mend: func(c *checked) { c.mended = true },
			want: "the role killswitch-restorer can't be entered in " + prod + " prod: AccessDenied"},
		"nobody has subscribed to the pager": {
			do:   func(c *checked) { c.aws.Subscribe(c.cfg.PagerTopic, 0) },
			mend: func(c *checked) { c.aws.Subscribe(c.cfg.PagerTopic, 1) },
			want: "notify.pager_topic_arn has no subscriber"},
		"the executor's queue stands still": {
			do: func(c *checked) {
				for _, p := range c.zones.Pumps {
					if handle := p.Handle; p.Name == "checks" {
						p.Handle = func(ctx context.Context, body []byte) error {
							if !c.mended {
								return errors.New("no worker")
							}
							return handle(ctx, body)
						}
					}
				}
			},
			mend: func(c *checked) { c.mended = true },
			want: "the executor has not answered for an hour"},
		"too few who may approve are in the incident channel": {
			do:   func(c *checked) { c.slack.SetChannel(slackfake.Channel{ID: channel, Members: []string{"U04MALLORY"}}) },
			mend: func(c *checked) { c.slack.SetChannel(slackfake.Channel{ID: channel}) },
			want: "policy.default wants 1 approvals by responders, of whom 0 are in the incident channel"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChecked(t)
			b.do(c)
			c.days(2 * time.Hour)
			said := strings.Join(c.channelSays(), "\n")
			if b.paged {
				if said != "" || !slices.ContainsFunc(c.pages(), func(p string) bool { return strings.Contains(p, "findings of the daily check") }) {
					t.Errorf("told %q, paged %q", said, c.pages())
				}
				if !strings.Contains(c.log.String(), b.want) {
					t.Errorf("the log does not say %q: %s", b.want, &c.log)
				}
			} else if strings.Count(said, "The daily check of Killswitch found") != 1 || !strings.Contains(said, b.want) || !strings.Contains(said, "killswitch doctor") {
				t.Errorf("told %q, want %q once", said, b.want)
			}
			if c.counts["HealthFailed"] == 0 || (c.counts["CanaryFailed"] > 0) != b.canary {
				t.Errorf("counted %v", c.counts)
			}
			if b.mend == nil {
				return
			}
			b.mend(c)
			c.days(2*time.Hour + 15*time.Minute)
			before := c.counts["HealthFailed"]
			c.days(2 * time.Hour)
			if c.counts["HealthFailed"] != before {
				t.Errorf("mended, it fails on: %v\n%s", c.counts, strings.Join(c.channelSays(), "\n"))
			}
			if said := c.channelSays(); !b.paged && said[len(said)-1] != "The daily check finds nothing wrong any more." {
				t.Errorf("at last %q", said)
			}
		})
	}
}

// takesAll is a verifier that is not one.
type takesAll struct{}

func (takesAll) Verify(context.Context, approvals.Evidence) error { return nil }

// TestDailyTroubleIsToldOnceADay: though it is looked at every hour.
func TestDailyTroubleIsToldOnceADay(t *testing.T) {
	t.Parallel()
	c := newChecked(t)
	c.slack.Archive(canaryChannel)
	c.days(23 * time.Hour)
	if said := c.channelSays(); len(said) != 1 || c.counts["CanaryFailed"] < 15 {
		t.Errorf("told %q, counted %v", said, c.counts)
	}
	c.days(26 * time.Hour)
	if said := c.channelSays(); len(said) != 2 {
		t.Errorf("two days later: told %q", said)
	}
	for range 130 { // also while the next check is under way
		c.days(0)
		if h, err := c.zones.Bot.Requests.HealthCheck(t.Context()); err != nil || len(h.Found) != 1 {
			t.Fatalf("%+v, %v", h, err)
		}
	}
}

// TestWhatPassesIsNotTold: Slack that does not answer for some minutes is no broken installation.
func TestWhatPassesIsNotTold(t *testing.T) {
	t.Parallel()
	c := newChecked(t)
	c.slack.Fail(slackfake.Fault{Status: http.StatusServiceUnavailable, Times: 5})
	c.days(2 * time.Hour)
	if said := c.channelSays(); len(said) != 0 || c.counts["HealthChecks"] != 2 || c.counts["HealthFailed"] != 0 {
		t.Errorf("told %q, counted %v", said, c.counts)
	}
}

// TestTwoSweepsBeginOneCheck, however many there are at once.
func TestTwoSweepsBeginOneCheck(t *testing.T) {
	t.Parallel()
	c := newChecked(t)
	for range 3 {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { _ = c.zones.Bot.SweepHealth(t.Context()) })
		}
		wg.Wait()
		c.drain()
	}
	if len(c.seen) != 2 || c.counts["HealthChecks"] != 2 {
		t.Errorf("%d in the canary's channel, counted %v", len(c.seen), c.counts)
	}
}

// TestChecksThatAreCutOffGoOn: whatever of it fails or is lost once, the check ends the same day, is counted once for
// each zone, and nobody hears of it.
func TestChecksThatAreCutOffGoOn(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*checked){
		"the job is lost":       func(c *checked) { c.zones.Bot.Jobs = losing{c.zones.Bot.Jobs, new(int)} },
		"the job can't be sent": func(c *checked) { c.zones.Bot.Jobs = failing{c.zones.Bot.Jobs, new(int)} },
		"the change is lost":    func(c *checked) { c.zones.Executor.Changes = losingChanges{} },
		"a worker dies with the lease": func(c *checked) {
			h := approvals.HealthCheck{ID: approvals.HealthID(c.clock.Now()), Begun: c.clock.Now(), Lease: approvals.Lease{Until: c.clock.Now().Add(2 * time.Minute)}}
			c.must(c.Requests.Write(t.Context(), approvals.PutRow(approvals.HealthCheckKey, 0, h)))
		},
		"the clock was wrong": func(c *checked) {
			h := approvals.HealthCheck{ID: approvals.HealthID(c.clock.Now()), Begun: c.clock.Now().Add(100 * time.Hour), Ended: c.clock.Now().Add(100 * time.Hour)}
			c.must(c.Requests.Write(t.Context(), approvals.PutRow(approvals.HealthCheckKey, 0, h)))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newChecked(t)
			cut(c)
			c.days(time.Hour)
			if said := c.channelSays(); c.counts["HealthChecks"] != 2 || c.counts["HealthFailed"] != 0 || len(said) != 0 || len(c.seen) != 2 {
				t.Errorf("counted %v, told %q, %d in the canary's channel", c.counts, said, len(c.seen))
			}
		})
	}
}

// losing loses the first job.
type losing struct {
	approvals.Sender[approvals.Job]
	n *int
}

func (l losing) Send(ctx context.Context, j approvals.Job, d time.Duration) error {
	if *l.n++; *l.n == 1 {
		return nil
	}
	return l.Sender.Send(ctx, j, d)
}

// failing does not take the first job.
type failing struct {
	approvals.Sender[approvals.Job]
	n *int
}

func (f failing) Send(ctx context.Context, j approvals.Job, d time.Duration) error {
	if *f.n++; *f.n == 1 {
		return errors.New("no queue")
	}
	return f.Sender.Send(ctx, j, d)
}

type losingChanges struct{}

func (losingChanges) Send(context.Context, approvals.Change, time.Duration) error { return nil }

// TestForgedChecksDoNothing: whoever writes a queue or the table requests can have the executor look every ten minutes,
// and the pager be called once a day.
func TestForgedChecksDoNothing(t *testing.T) {
	t.Parallel()
	c := newChecked(t)
	c.days(time.Minute)
	if c.counts["HealthChecks"] != 2 {
		t.Fatalf("counted %v", c.counts)
	}
	ask := func(id string) {
		t.Helper()
		c.must(c.zones.Executor.Jobs.Send(t.Context(), approvals.Job{Verb: approvals.JobHealth, ID: id}, 0))
		c.drain()
	}
	now := c.clock.Now()
	for _, id := range []string{"", "health-", "health-x", "KS-000000000000", approvals.HealthID(now.Add(-3 * time.Hour)), approvals.HealthID(now.Add(time.Hour)), approvals.HealthID(now)} {
		ask(id)
	}
	row := approvals.HealthCheck{ID: approvals.HealthID(now), Begun: now}
	c.must(c.Requests.Write(t.Context(), approvals.PutRow(approvals.HealthCheckKey, c.version(approvals.HealthCheckKey), row)))
	ask(row.ID)
	if c.counts["HealthChecks"] != 2 {
		t.Errorf("forged checks are made: %v", c.counts)
	}
	row.Untold, row.Ended, row.Found = true, now, []approvals.Trouble{{Check: "x", Found: "<!channel>", Mend: "y"}}
	c.must(c.Requests.Write(t.Context(), approvals.PutRow(approvals.HealthCheckKey, c.version(approvals.HealthCheckKey), row)))
	for range 5 {
		c.must(c.zones.Executor.Jobs.Send(t.Context(), approvals.Job{Verb: approvals.JobNotify, ID: row.ID}, 0))
		c.drain()
	}
	if pages := c.pages(); len(pages) != 1 || strings.Contains(pages[0], "channel>") {
		t.Errorf("paged %q", pages)
	}
}

func (c *checked) version(k approvals.Key) int64 {
	c.t.Helper()
	row, err := c.Requests.Get(c.t.Context(), k)
	c.must(err)
	return row.Version
}

// TestManyAccountsAreCheckedInParts: those of the organization, by as many jobs as it takes, each role once.
func TestManyAccountsAreCheckedInParts(t *testing.T) {
	t.Parallel()
	const n = 60
	c := newChecked(t, func(w *world) {
		in := awsfake.Organization{Management: "999999999999"}
		for i := range n {
			id := fmt.Sprintf("%012d", 700000000000+i)
			in.Accounts = append(in.Accounts, awsfake.OrgAccount{ID: id, Name: id})
			deployed(w, id)
		}
		w.aws.Organize(in)
	})
	jobs := 0
	for _, p := range c.zones.Pumps {
		if handle := p.Handle; p.Name == "checks" {
			p.Handle = func(ctx context.Context, body []byte) error { jobs++; return handle(ctx, body) }
		}
	}
	c.aws.OnCall(func(call awsfake.Call) error {
		if call.Op == "sts:AssumeRole" && call.Phase == awsfake.Before {
			c.clock.Add(time.Second)
		}
		return nil
	})
	c.days(20 * time.Minute)
	if jobs < 2 || jobs > 10 || c.counts["HealthChecks"] != 2 || c.counts["HealthFailed"] != 0 {
		t.Errorf("%d jobs, counted %v, told %q", jobs, c.counts, c.channelSays())
	}
	seen := c.entered()
	if len(seen) != 2*(n+3) {
		t.Errorf("%d roles were entered, want %d", len(seen), 2*(n+3))
	}
	for role, times := range seen {
		if times != 1 {
			t.Errorf("%s was entered %d times", role, times)
		}
	}
}

// TestKnownTroubleSilencesNoNew: who brings about a trifle, and waits until it is told, has not bought a day.
func TestKnownTroubleSilencesNoNew(t *testing.T) {
	t.Parallel()
	c := newChecked(t)
	c.slack.Archive(canaryChannel)
	c.days(2 * time.Hour)
	if said := c.channelSays(); len(said) != 1 {
		t.Fatalf("told %q", said)
	}
	c.ingress = func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }
	c.days(2 * time.Hour)
	if said := c.channelSays(); len(said) != 2 || !strings.Contains(said[1], "connection refused") {
		t.Errorf("told %q", said)
	}
}

// TestForgedClickIsTakenOnce: that it was refused ten minutes later does not take it back.
func TestForgedClickIsTakenOnce(t *testing.T) {
	t.Parallel()
	c := newChecked(t)
	rogue := true
	c.ingress = func(req *http.Request) (*http.Response, error) {
		if req.Method == http.MethodPost && rogue {
			rogue = false // one of two that answer at the address
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Header: http.Header{}}, nil
		}
		return c.toIngress(req)
	}
	c.days(time.Hour)
	if said := c.channelSays(); len(said) == 0 || !strings.Contains(said[0], cards.ForgedTaken) {
		t.Errorf("told %q", said)
	}
}
