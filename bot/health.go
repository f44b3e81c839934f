package bot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/cards"
)

const (
	checkEvery     = 24 * time.Hour   // a check, if the last one found nothing
	checkSoon      = time.Hour        // if it did
	lookWithin     = 40 * time.Second // for the bot's own part; a function has a minute
	lookLease      = 2 * time.Minute  // of the sweep that looks or tells; then another one does it again
	mayPass        = 10 * time.Minute // what is over by then is no trouble
	answerWithin   = time.Hour        // for the executor
	askAgain       = 5 * time.Minute  // if the executor has not answered
	tellEvery      = 24 * time.Hour   // people, of what is not over
	ingressWithin  = 10 * time.Second // for one request
	manyMembers    = 5000             // of the incident channel that are looked through
	channelsAtOnce = 4                // that Slack is asked about at the same time
)

// SweepHealth begins the daily check, does the bot's own part, has the executor do its own, and tells what was found.
// It may run at any time, and many at once: the check's row decides who does what.
func (b *Bot) SweepHealth(ctx context.Context) error {
	h, err := b.Requests.HealthCheck(ctx)
	if err == nil {
		err = b.checkOn(ctx, h)
	}
	if errors.Is(err, approvals.ErrConflict) {
		return nil // another sweep is at it
	}
	if err != nil {
		b.Log.ErrorContext(ctx, "daily check", slog.String("error", err.Error()))
	}
	return err
}

func (b *Bot) saveCheck(ctx context.Context, h *approvals.HealthCheck) error {
	err := b.Requests.Store.Write(ctx, approvals.PutRow(approvals.HealthCheckKey, h.Version, h))
	h.Version++
	return err
}

// checkOn does what is due of the check.
func (b *Bot) checkOn(ctx context.Context, h approvals.HealthCheck) error {
	now := b.Now().UTC()
	pause := checkEvery
	if len(h.Found) > 0 {
		pause = checkSoon
	}
	ended := !h.Ended.IsZero()
	switch {
	case h.ID == "", ended && now.Sub(h.Ended) >= pause, h.Begun.After(now.Add(approvals.ClockSkew)):
		h = approvals.HealthCheck{Version: h.Version, ID: approvals.HealthID(now), Begun: now, Told: h.Told, ToldOf: h.ToldOf, Found: h.Found}
		return b.lookForTrouble(ctx, h)
	case ended && h.Untold:
		return b.tellTrouble(ctx, h)
	case ended:
		return nil
	case h.Looked.IsZero():
		return b.lookForTrouble(ctx, h)
	}
	return b.awaitExecutor(ctx, h)
}

// lookForTrouble does the bot's own part, under a lease, and sends the executor its job. What may pass by itself is
// looked at again until it has lasted.
func (b *Bot) lookForTrouble(ctx context.Context, h approvals.HealthCheck) error {
	now := b.Now().UTC()
	if !h.Lease.Take("", now, lookLease) {
		return nil
	}
	forged := approvals.ForgeCanary(now)
	h.Forged = forged.Key()
	if err := b.saveCheck(ctx, &h); err != nil {
		return err
	}
	if _, err := b.Requests.PutEvidence(ctx, forged, now); err != nil {
		return err
	}
	within, cancel := context.WithTimeout(ctx, lookWithin)
	h.Own = b.troubles(within, forged)
	cancel()
	taken := slices.ContainsFunc(h.Own, func(t approvals.Trouble) bool { return strings.Contains(t.Found, cards.ForgedTaken) }) // once is enough
	if now = b.Now().UTC(); len(h.Own) > 0 && !taken && now.Sub(h.Begun) < mayPass {
		return nil // when the lease is over
	}
	h.Looked, h.Asked = now, now
	h.Lease.Release(now)
	if err := b.saveCheck(ctx, &h); err != nil {
		return err
	}
	return b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobHealth, ID: h.ID}, 0)
}

// awaitExecutor ends the check once the executor has answered, or is overdue.
func (b *Bot) awaitExecutor(ctx context.Context, h approvals.HealthCheck) error {
	now := b.Now().UTC()
	var x approvals.HealthFound
	if _, err := b.Runs.Find(ctx, approvals.HealthFoundKey, &x); err != nil {
		return err
	}
	own := h.Own
	switch {
	case x.ID == h.ID && !x.Ended.IsZero():
	case now.Sub(h.Looked) >= answerWithin:
		own = append(own, approvals.Trouble{Check: "executor", Found: cards.ExecutorSilent, Mend: cards.MendExecutor})
	case now.Sub(h.Asked) >= askAgain:
		h.Asked = now
		if err := b.saveCheck(ctx, &h); err != nil {
			return err
		}
		return b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobHealth, ID: h.ID}, 0)
	default:
		return nil
	}
	h.Ended, h.Own = now, own
	if h.Found = own; x.ID == h.ID {
		h.Found = slices.Concat(own, x.Found)
	}
	wasTold := !h.Told.IsZero()
	// Trouble that is known silences none that is new.
	isNew := slices.ContainsFunc(h.Found, func(t approvals.Trouble) bool { return !slices.Contains(h.ToldOf, kindOf(t)) })
	h.Untold = len(h.Found) > 0 && (isNew || now.Sub(h.Told) >= tellEvery) || len(h.Found) == 0 && wasTold
	if err := b.saveCheck(ctx, &h); err != nil {
		return err
	}
	for _, t := range own {
		b.Log.WarnContext(ctx, "the daily check found", slog.String("check", t.Check), slog.String("found", t.Found), slog.String("mend", t.Mend))
	}
	b.count(ctx, "HealthChecks", 1)
	b.count(ctx, "HealthFailed", len(own))
	if slices.ContainsFunc(own, func(t approvals.Trouble) bool {
		return t.Check == approvals.CheckCanary || t.Check == approvals.CheckIngress
	}) {
		b.count(ctx, "CanaryFailed", 1)
	}
	if h.Untold {
		return b.tellTrouble(ctx, h)
	}
	return nil
}

// kindOf is a trouble without its numbers, which differ from look to look.
func kindOf(t approvals.Trouble) string {
	return t.Check + ": " + strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '#'
		}
		return r
	}, t.Found)
}

// tellTrouble tells the incident channel what was found, or that it is over. What Slack does not take, the pager is
// told of.
func (b *Bot) tellTrouble(ctx context.Context, h approvals.HealthCheck) error {
	now := b.Now().UTC()
	if !h.Lease.Take("", now, askAgain) {
		return nil
	}
	if err := b.saveCheck(ctx, &h); err != nil {
		return err
	}
	if _, err := b.Slack.post(ctx, b.IncidentChannel, "", cards.Health(h.Found)); err != nil {
		err = fmt.Errorf("not told: %w", err)
		if b.PagerAfter > 0 && len(h.Found) > 0 {
			err = errors.Join(err, b.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobNotify, ID: h.ID}, 0))
		}
		return err
	}
	h.Untold, h.Told, h.ToldOf = false, now, nil
	for _, t := range h.Found {
		h.ToldOf = append(h.ToldOf, kindOf(t))
	}
	if len(h.Found) == 0 {
		h.Told = time.Time{}
	}
	h.Lease.Release(now)
	return b.saveCheck(ctx, &h)
}

// troubles looks at the bot's part: Slack, the canary's message, and whether ingress refuses its forged click.
func (b *Bot) troubles(ctx context.Context, forged approvals.Evidence) []approvals.Trouble {
	var ofIngress []approvals.Trouble
	var wg sync.WaitGroup
	wg.Go(func() { ofIngress = b.ingressTroubles(ctx, forged) })
	found, answers := b.SlackTroubles(ctx)
	if answers && b.CanaryChannel != "" {
		found = append(found, b.canaryTroubles(ctx)...)
	}
	wg.Wait()
	return append(found, ofIngress...)
}

// SlackTroubles asks Slack who the bot is, for its channels, and whether enough people who may approve are in the
// incident channel. answers: Slack knows the bot.
func (b *Bot) SlackTroubles(ctx context.Context) (found []approvals.Trouble, answers bool) {
	team, _, err := b.Slack.Team(ctx)
	switch {
	case err != nil:
		return []approvals.Trouble{{Check: "slack", Found: fmt.Sprintf(cards.SlackSilent, cards.SlackTrouble(err)), Mend: cards.MendBot}}, false
	case team != b.Team:
		return []approvals.Trouble{{Check: "slack", Found: fmt.Sprintf(cards.OtherTeam, team, b.Team), Mend: cards.MendBot}}, false
	}
	channels := b.Findings.Channels(append([]string{b.IncidentChannel}, b.CommandChannels...)...) // the canary's is looked at with the canary
	each := make([][]approvals.Trouble, len(channels))
	_ = actions.Parallel(len(channels), channelsAtOnce, func(i int) error {
		each[i] = b.channelTrouble(ctx, "channel", channels[i])
		return nil
	})
	return append(slices.Concat(each...), b.tooFewApprovers(ctx)...), true
}

// channelTrouble says why a channel does not take the bot's messages, or shows them to others.
func (b *Bot) channelTrouble(ctx context.Context, check, channel string) []approvals.Trouble {
	trouble := func(found, mend string) []approvals.Trouble {
		return []approvals.Trouble{{Check: check, Found: fmt.Sprintf(cards.OfChannel, channel, found), Mend: mend}}
	}
	switch c, err := b.Slack.channel(ctx, channel); {
	case err != nil:
		return trouble(slackSays(err), cards.MendChannel)
	case c.IsArchived:
		return trouble(cards.ChannelArchived, cards.MendArchived)
	case !c.IsMember:
		return trouble(cards.BotNotInIt, cards.MendChannel)
	case shared(c):
		return trouble(cards.SharedChannel, cards.MendShared)
	}
	return nil
}

// slackSays is Slack's code, or else that it gave none.
func slackSays(err error) string {
	if code := codeOf(err); code != "" {
		return "Slack says " + code
	}
	return cards.SlackTrouble(err)
}

// Absent lists people of the roster who are not in the incident channel.
func (b *Bot) Absent(ctx context.Context) (absent []approvals.Person, err error) {
	in, err := b.Slack.membersOf(ctx, b.IncidentChannel, manyMembers)
	for _, p := range b.Policy.Roster.People {
		if err == nil && p.Slack != "" && !slices.Contains(in, p.Slack) {
			absent = append(absent, p)
		}
	}
	return absent, err
}

// tooFewApprovers looks whether of those who may approve as many as the policy wants are in the incident channel, with
// accounts that may act: others see no card.
func (b *Bot) tooFewApprovers(ctx context.Context) (found []approvals.Trouble) {
	absent, err := b.Absent(ctx)
	if err != nil {
		return nil // the channel is told of
	}
	p := b.Policy
	short := func(of string, e approvals.ActionPolicy) { // the first entry stands for those that want the same
		n := 0
		for _, person := range p.Roster.Persons(p.Roster.Groups[e.Approvers]) {
			away := slices.ContainsFunc(absent, func(a approvals.Person) bool { return a.ID == person.ID })
			if person.Slack != "" && !away && b.people.refuse(ctx, b, person.Slack) == nil {
				n++
			}
		}
		words := fmt.Sprintf(cards.TooFewHere, e.Approvals, e.Approvers, n)
		if n < e.Approvals && !slices.ContainsFunc(found, func(t approvals.Trouble) bool { return strings.HasSuffix(t.Found, words) }) {
			found = append(found, approvals.Trouble{Check: "approvers", Found: of + words, Mend: cards.MendApprovers})
		}
	}
	short("policy.default", p.Default)
	short("policy.undo", p.Undo)
	for _, name := range slices.Sorted(maps.Keys(p.Actions)) {
		short("policy.actions."+string(name), p.Actions[name])
	}
	return found
}

// canaryTroubles posts a message in the canary's channel, reads it back and deletes it: what a card needs.
func (b *Bot) canaryTroubles(ctx context.Context) []approvals.Trouble {
	if no := b.channelTrouble(ctx, approvals.CheckCanary, b.CanaryChannel); no != nil {
		return no
	}
	trouble := func(found string, err error, mend string) []approvals.Trouble {
		return []approvals.Trouble{{Check: approvals.CheckCanary, Found: fmt.Sprintf(found, slackSays(err)), Mend: mend}}
	}
	ts, err := b.Slack.post(ctx, b.CanaryChannel, "", cards.Say(cards.CanaryMessage))
	if err != nil {
		return trouble(cards.CanaryNotPosted, err, cards.MendChannel)
	}
	unread := b.Slack.exists(ctx, b.CanaryChannel, ts)
	err = b.Slack.remove(ctx, b.CanaryChannel, ts)
	switch {
	case messageGone(unread):
		return trouble(cards.CanaryGone, unread, cards.MendGone)
	case unread != nil:
		return trouble(cards.CanaryUnread, unread, cards.MendSlack)
	case err != nil && !messageGone(err):
		return trouble(cards.CanaryNotDeleted, err, cards.MendSlack)
	}
	return nil
}

// ingressTroubles asks ingress, at the address that Slack has, for its health, and brings it the canary's forged click,
// which it must refuse: 401, and not by what stands in front of it, which would name a scheme.
func (b *Bot) ingressTroubles(ctx context.Context, forged approvals.Evidence) []approvals.Trouble {
	if b.IngressURL == "" {
		return nil
	}
	trouble := func(found, mend string) []approvals.Trouble {
		return []approvals.Trouble{{Check: approvals.CheckIngress, Found: fmt.Sprintf(cards.OfIngress, b.IngressURL, found), Mend: mend}}
	}
	health, err := b.toIngress(ctx, http.MethodGet, "/healthz", approvals.Evidence{})
	if err != nil {
		return trouble(fmt.Sprintf(cards.IngressSilent, unwrapURL(err)), cards.MendSilent)
	}
	click, err := b.toIngress(ctx, http.MethodPost, "/slack/interactions", forged)
	switch {
	case err != nil:
		return trouble(fmt.Sprintf(cards.IngressSilent, unwrapURL(err)), cards.MendSilent)
	case click.status == http.StatusOK:
		return trouble(cards.ForgedTaken, cards.MendTaken)
	case click.status == http.StatusUnauthorized && click.scheme != "":
		return trouble(fmt.Sprintf(cards.WantsPassword, click.scheme), cards.MendProxy)
	case click.status == http.StatusServiceUnavailable:
		return trouble(cards.NoSigningSecret, cards.MendSigning)
	case click.status != http.StatusUnauthorized:
		return trouble(fmt.Sprintf(cards.ForgedAnswered, click.status), cards.MendSilent)
	case health.status != http.StatusOK:
		return trouble(fmt.Sprintf(cards.IngressUnwell, health.status), cards.MendUnwell)
	}
	return nil
}

// unwrapURL is why a request failed, without its address.
func unwrapURL(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		return u.Err
	}
	return err
}

// httpAnswer is what the check reads of an answer.
type httpAnswer struct {
	status int
	scheme string // that it wants a password by
}

func (b *Bot) toIngress(ctx context.Context, method, path string, e approvals.Evidence) (httpAnswer, error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(b.IngressURL, "/")+path, strings.NewReader(e.Body))
	if err != nil {
		return httpAnswer{}, err
	}
	if e.Body != "" {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("X-Slack-Request-Timestamp", e.Timestamp)
		req.Header.Set("X-Slack-Signature", e.Signature)
	}
	client := http.Client{Timeout: ingressWithin, Transport: b.Web, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	if err != nil {
		return httpAnswer{}, err
	}
	scheme, _, _ := strings.Cut(resp.Header.Get("WWW-Authenticate"), " ")
	return httpAnswer{resp.StatusCode, scheme}, resp.Body.Close()
}
