package executor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

const (
	healthLease   = 3 * time.Minute  // of one worker on the check
	healthAtATime = time.Minute      // then the rest is left to the next job
	healthPause   = 10 * time.Minute // between the begins of two checks, whoever asks for them
	healthFor     = 2 * time.Hour    // how old a check may be
	accountsAtATime,
	rolesAtOnce = 16, 8
	accountsNamed  = 5               // of those whose role can't be entered for the same cause
	headsAsked     = 100             // containments in force whose heads are looked at
	maxClockOff    = 2 * time.Minute // Slack's signatures are good for five
	headOverdue    = time.Hour       // a head that the bucket does not take
	nobodyRequests = "killswitch"    // whom sessions of the check name
	healthSession  = "killswitch-health"
)

// healthRow is the executor's row of the daily check.
type healthRow struct {
	approvals.HealthFound
	Begun   time.Time       `json:"begun"`
	Lease   approvals.Lease `json:"lease,omitzero"`
	After   string          `json:"after,omitempty"` // the last account whose roles were entered
	Refused []refusedRole   `json:"refused,omitempty"`
}

// refusedRole is a member role that can't be entered, for one cause.
type refusedRole struct {
	Role     string   `json:"role"`
	Cause    string   `json:"cause"`
	Accounts []string `json:"accounts"` // the first few
	N        int      `json:"n"`
}

// health looks at the executor's part of the installation, in as many jobs as that takes, tells the bot and counts.
// Anybody who can write the table requests and a queue can have it look, every ten minutes.
func (x *Executor) health(ctx context.Context, id string) error {
	now := x.Now().UTC()
	asked, err := x.Requests.HealthCheck(ctx)
	if err != nil {
		return err
	}
	var h healthRow
	version, err := x.runs().Find(ctx, approvals.HealthFoundKey, &h)
	if err != nil {
		return err
	}
	begun, ok := approvals.HealthBegun(id)
	switch fresh := ok && now.Sub(begun) < healthFor && begun.Before(now.Add(approvals.ClockSkew)); {
	case !fresh || asked.ID != id:
		x.Log.WarnContext(ctx, "job for an unknown check", slog.String("check", id))
		return nil
	case h.ID == id && !h.Ended.IsZero():
		return x.Changes.Send(ctx, approvals.Change{ID: id}, 0) // once more: the first may be lost
	case h.ID != id && now.Sub(h.Begun).Abs() < healthPause:
		return nil // the bot asks again
	case h.ID != id:
		h = healthRow{HealthFound: approvals.HealthFound{ID: id}, Begun: now}
	}
	if !h.Lease.Take("", now, healthLease) {
		return nil // another worker is at it
	}
	save := func() error {
		err := x.Store.Write(ctx, approvals.PutRow(approvals.HealthFoundKey, version, h))
		version++
		return err
	}
	if err := save(); err != nil {
		return ignore(err, approvals.ErrConflict)
	}
	if h.After == "" {
		h.Found = append(x.refusesForged(ctx, asked.Forged), x.Troubles(ctx)...)
		h.Refused = nil
	}
	over, trouble := x.enterRoles(ctx, &h.After, &h.Refused, func() bool { return x.nearDeadline(ctx) || x.Now().Sub(now) >= healthAtATime })
	h.Lease.Release(x.Now())
	if !over {
		if err := save(); err != nil {
			return err
		}
		return x.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobHealth, ID: id}, 0)
	}
	h.Found = slices.Concat(h.Found, trouble, x.refusedRoles(h.Refused))
	h.Ended, h.Refused = x.Now().UTC(), nil
	if err := save(); err != nil {
		return err
	}
	for _, t := range h.Found {
		x.Log.WarnContext(ctx, "the daily check found", slog.String("check", t.Check), slog.String("found", t.Found), slog.String("mend", t.Mend))
	}
	if x.Count != nil {
		x.Count(ctx, "HealthChecks", 1)
		x.Count(ctx, "HealthFailed", len(h.Found))
	}
	return x.Changes.Send(ctx, approvals.Change{ID: id}, 0)
}

// refusesForged looks whether the canary's forged click is refused for its signature, as a forged vote would be. Of
// its evidence only time and signature are taken: the click is always the same.
func (x *Executor) refusesForged(ctx context.Context, key string) []approvals.Trouble {
	trouble := func(found, mend string) []approvals.Trouble {
		return []approvals.Trouble{{Check: approvals.CheckCanary, Found: found, Mend: mend}}
	}
	e, err := x.Requests.Evidence(ctx, key)
	if err != nil {
		cause, _ := actions.Explain(err)
		return trouble("the executor can't read the evidence of the forged click: "+cause, "look whether its role may read the table requests")
	}
	e.Kind, e.Body = approvals.SlackEvidence, approvals.CanaryBody
	verifier, ok := x.Verifiers[e.Kind]
	if !ok {
		return trouble("the executor verifies no evidence of Slack's", "deploy this version anew")
	}
	err = verifier.Verify(ctx, e)
	switch _, refused := errors.AsType[*actions.Refusal](err); {
	case err == nil:
		return trouble("the executor took a click that nobody signed", "stop it, and deploy this version anew: whoever writes the table requests can approve")
	case !refused:
		cause, _ := actions.Explain(err)
		return trouble("the executor can't check signatures, so that no approval counts: "+cause,
			"put the signing secret into the secret of the output SigningSecretArn, and let the executor's role read it")
	}
	return nil
}

// Troubles looks at what the executor needs in AWS, but for the member roles.
func (x *Executor) Troubles(ctx context.Context) (found []approvals.Trouble) {
	who, err := x.Cloud.Caller(ctx)
	switch {
	case err != nil:
		found = append(found, approvals.Trouble{Check: "aws", Found: "AWS does not know the executor, so that nothing can be contained: " + causeOf(err),
			Mend: "look at the credentials that it runs with, and whether the network is open to STS"})
	case who.Account != x.Org.HubAccount:
		found = append(found, approvals.Trouble{Check: "aws", Found: fmt.Sprintf("the executor's credentials are of account %s, not of the hub account %s", who.Account, x.Org.HubAccount),
			Mend: "run it in the hub account, or correct aws.hub_account"})
	}
	if off := who.Ahead.Round(time.Second); off.Abs() > maxClockOff {
		side := "behind"
		if off < 0 {
			side = "ahead of"
		}
		found = append(found, approvals.Trouble{Check: "clock", Found: fmt.Sprintf("this machine's clock is %s %s AWS's", off.Abs(), side),
			Mend: "have the machine's clock set by NTP: what Slack signs counts for five minutes"})
	}
	return slices.Concat(found, x.topic(ctx, "notify.pager_topic_arn", x.Pager), x.topic(ctx, "notify.sns_topic_arn", x.Notices), x.bucketTakes(ctx))
}

// causeOf is AWS's code, or else what an error says.
func causeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	cause, _ := actions.Explain(err)
	return cause
}

// topic asks whether a topic is there, and whether anybody hears of what it is told.
func (x *Executor) topic(ctx context.Context, field string, to Notifier) []approvals.Trouble {
	if to == nil {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	n, err := to.Subscribers(within)
	switch {
	case err != nil:
		return []approvals.Trouble{{Check: "topic", Found: field + " can't be asked for: " + causeOf(err),
			Mend: "correct the ARN, or make the topic; the executor's role needs sns:Publish and sns:GetTopicAttributes on it (PagerTopicArn and NoticeTopicArn of template.yaml, killswitch template hub-role)"}}
	case n == 0:
		return []approvals.Trouble{{Check: "topic", Found: field + " has no subscriber, so that nobody hears of it", Mend: "subscribe whom it is to tell, and confirm the subscription"}}
	}
	return nil
}

// bucketTakes brings the bucket the last head that it took of a containment in force, once more: it refuses a second
// one of that name, unless it is gone, or we may no longer.
func (x *Executor) bucketTakes(ctx context.Context) []approvals.Trouble {
	if x.Heads == nil {
		return nil
	}
	trouble := func(err string) []approvals.Trouble {
		return []approvals.Trouble{{Check: "audit", Found: "the bucket of audit heads takes none: " + err,
			Mend: "look whether audit.bucket is there, has object lock, and lets the executor's role put objects (deploy/README.md)"}}
	}
	in, err := x.Requests.Marked(ctx, approvals.MarkInForce, "", headsAsked)
	if err != nil {
		return trouble(causeOf(err))
	}
	var last audit.Kept
	for _, r := range in {
		row, err := x.Store.Get(ctx, approvals.BucketKey(r.ID))
		var b audit.Bucket
		if err != nil || json.Unmarshal(row.Body, &b) != nil {
			continue
		}
		if b.Failed != "" && x.Now().Sub(b.Since) > headOverdue {
			return trouble(b.Failed)
		}
		if b.Seq > 0 && b.At.After(last.At) {
			last = audit.Kept{ID: r.ID, Head: b.Head, At: b.At, Until: x.lockedUntil(b.At)}
		}
	}
	if last.ID == "" {
		return nil
	}
	within, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	if err := x.Heads.Keep(within, last); err != nil {
		return trouble(causeOf(err))
	}
	return nil
}

// RoleTroubles enters each member role, in sessions that may do nothing.
func (x *Executor) RoleTroubles(ctx context.Context) []approvals.Trouble {
	var after string
	var refused []refusedRole
	_, trouble := x.enterRoles(ctx, &after, &refused, func() bool { return false })
	return append(trouble, x.refusedRoles(refused)...)
}

// enterRoles enters the member roles of all accounts that follow after, and brings after and refused forward, until
// stop. over: all were entered. A session may do nothing: what is asked is whether STS gives one.
func (x *Executor) enterRoles(ctx context.Context, after *string, refused *[]refusedRole, stop func() bool) (over bool, trouble []approvals.Trouble) {
	accounts, trouble := x.accounts(ctx)
	rest := slices.DeleteFunc(accounts, func(a string) bool { return a <= *after })
	members := []actions.Member{actions.Responder, actions.Restorer}
	nothing := []actions.Statement{{Deny: true, Actions: []string{"*"}, Resources: []string{"*"}}}
	who := actions.SessionContext{RequestID: healthSession, Requester: nobodyRequests, Entered: true}
	for chunk := range slices.Chunk(rest, accountsAtATime) {
		if stop() {
			return false, nil
		}
		causes := make([]string, len(chunk)*len(members))
		_ = actions.Parallel(len(causes), rolesAtOnce, func(i int) error {
			within, cancel := context.WithTimeout(ctx, stepTimeout)
			defer cancel()
			if _, err := x.Cloud.Enter(within, members[i%len(members)], chunk[i/len(members)], "", who, nothing); err != nil {
				causes[i] = causeOf(err)
			}
			return nil
		})
		for i, cause := range causes {
			if cause != "" {
				*refused = addRefused(*refused, x.roleName(members[i%len(members)]), cause, chunk[i/len(members)])
			}
		}
		*after = chunk[len(chunk)-1]
	}
	return true, trouble
}

func (x *Executor) roleName(m actions.Member) string {
	if m == actions.Restorer {
		return x.Org.RestorerRole
	}
	return x.Org.ResponderRole
}

func addRefused(all []refusedRole, role, cause, account string) []refusedRole {
	i := slices.IndexFunc(all, func(r refusedRole) bool { return r.Role == role && r.Cause == cause })
	if i < 0 {
		all, i = append(all, refusedRole{Role: role, Cause: cause}), len(all)
	}
	if all[i].N++; len(all[i].Accounts) < accountsNamed {
		all[i].Accounts = append(all[i].Accounts, account)
	}
	return all
}

// refusedRoles puts into words which roles can't be entered.
func (x *Executor) refusedRoles(refused []refusedRole) (found []approvals.Trouble) {
	for _, r := range refused {
		var where []string
		for _, a := range r.Accounts {
			where = append(where, strings.TrimSpace(a+" "+x.Org.Alias(a)))
		}
		if more := r.N - len(where); more > 0 {
			where = append(where, fmt.Sprintf("%d more", more))
		}
		found = append(found, approvals.Trouble{Check: "roles", Found: fmt.Sprintf("the role %s can't be entered in %s: %s", r.Role, strings.Join(where, ", "), r.Cause),
			Mend: "deploy it there (killswitch template members), trusting this role and with aws.external_id; an account that is to be left alone belongs into protected.accounts"})
	}
	return found
}

// accounts are those that have member roles, in order: the organization's, where it can be asked, else those of the
// configuration.
func (x *Executor) accounts(ctx context.Context) (all []string, trouble []approvals.Trouble) {
	o := x.Org
	all = slices.Collect(maps.Values(o.Accounts))
	if x.Members != nil && o.OrganizationsAccount() != "" {
		members, err := x.Members(ctx, actions.SessionContext{RequestID: healthSession, Requester: nobodyRequests})
		if err != nil {
			trouble = []approvals.Trouble{{Check: "organization", Found: "the organization's accounts can't be listed, so only those of the configuration were looked at: " + causeOf(err),
				Mend: fmt.Sprintf("deploy the role %s in account %s, from which Organizations is asked (killswitch policy responder --organizations)", o.ResponderRole, o.OrganizationsAccount())}}
		}
		all = append(all, members...)
	}
	if a := o.OrganizationsAccount(); a != "" {
		all = append(all, a)
	}
	slices.Sort(all)
	return slices.DeleteFunc(slices.Compact(all), func(a string) bool {
		others := a == o.ManagementAccount && a != o.OrganizationsAccount() // it needs no role there
		return a == o.HubAccount || others || slices.Contains(o.ProtectedAccounts, a)
	}), trouble
}

// healthPage is the page that the daily check found something that Slack does not take; none has an empty due.
func (x *Executor) healthPage(ctx context.Context, id string) (page, error) {
	h, err := x.Requests.HealthCheck(ctx)
	if now := x.Now(); err != nil || h.ID != id || !h.Untold || now.Sub(h.Ended).Abs() > oneDay {
		return page{}, err
	}
	return page{approvals.HealthCheckKey.Part, "health-" + x.Now().UTC().Format(time.DateOnly), "Killswitch: its daily check failed, and Slack takes no word of it",
		fmt.Sprintf("%d findings of the daily check, of which Slack takes no message · look at the log, or ask: killswitch doctor --config FILE", len(h.Found))}, nil
}
