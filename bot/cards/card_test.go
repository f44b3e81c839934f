package cards

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/cards/cardstest"
)

var update = flag.Bool("update", false, "write the golden files of testdata")

// The people of the cards. Whoever else is mentioned was smuggled in.
var (
	ana = approvals.Person{ID: "ana", Name: "Ana", Slack: "U0ANA"}
	ben = approvals.Person{ID: "ben", Name: "Ben", Slack: "U0BEN"}
	cho = approvals.Person{ID: "cho", Name: "Cho", Slack: "U0CHO"}
)

const (
	baseID    = "KS-4G7QX2M9ZT0B"
	undoID    = "KS-9N3VB6W1HCPA"
	account   = "222222222222"
	baseARN   = "arn:aws:iam::222222222222:role/service/app-role"
	baseRole  = "AROAEXAMPLE1234567890"
	revokeNow = "inline policy AWSRevokeOlderSessions: Deny * for sessions issued before now + 30 s"
)

var asked = time.Date(2026, 11, 2, 2, 14, 5, 0, time.UTC)

func after(d time.Duration) time.Time { return asked.Add(d) }

func vote(p approvals.Person, d time.Duration) approvals.Vote {
	return approvals.Vote{Actor: approvals.Actor{Person: p.ID, Slack: p.Slack}, Evidence: "evidence of " + p.ID, At: after(d)}
}

// baseView is a request that waits for one approval. Every other view is a
// named deviation from it.
func baseView() View {
	tag := actions.Step{ID: "tag", Title: "Tag the role as contained", Current: "no tag killswitch", After: "tag killswitch = this request", Resource: baseARN, ResourceID: baseRole}
	deny := actions.Step{ID: "deny", Title: "Deny all sessions issued until now", Current: "no inline policy AWSRevokeOlderSessions", After: revokeNow, Resource: baseARN, ResourceID: baseRole}
	return View{
		Org: actions.Org{Actions: all.Actions, ManagementAccount: "999999999999"},
		Request: approvals.Request{
			ID: baseID, State: approvals.Pending,
			Intent:    approvals.Intent{Call: actions.Call{Action: actions.RevokeSessions, Target: baseARN, Account: account}},
			Reason:    "GuardDuty: credentials of app-role used from a Tor exit node",
			Requester: approvals.Actor{Person: ana.ID, Slack: ana.Slack},
			Evidence:  "evidence of ana", Asked: asked, Expires: after(20 * time.Minute), Need: 1,
			Digest: strings.Repeat("3f9a", 16),
			Card:   approvals.Card{Channel: "C0SEC"},
		},
		Planned: &approvals.Planned{
			ID: baseID, Steps: 2, At: after(2 * time.Second),
			Plan: actions.Plan{
				Identity: actions.Identity{ARN: baseARN, ID: baseRole},
				Facts: []actions.Fact{
					{Label: "Last used", Text: "2026-11-02 02:11 UTC in eu-central-1"},
					{Label: "Managed policies", Text: "AmazonS3ReadOnlyAccess, app-secrets"},
					{Label: "Instance profiles", Text: "app-role"},
				},
				Warnings: []string{"Every instance with this role loses its permissions until its credentials renew."},
				Residual: []string{
					"Long-term keys of IAM users have no issue time and are not touched.",
					"Sessions that were chained from this role into other roles live on.",
				},
				Reversible: true,
				Undo:       "puts back the AWSRevokeOlderSessions policy that was there before, or removes ours",
			},
		},
		Steps:   []approvals.Step{{N: 1, Step: tag, State: approvals.StepPlanned}, {N: 2, Step: deny, State: approvals.StepPlanned}},
		Alias:   "prod-web",
		Waiting: []approvals.Person{ben, cho},
		Now:     after(2 * time.Minute),
	}
}

// in puts the request into a state that waits for nobody.
func in(s approvals.State) func(*View) {
	return func(v *View) { v.Request.State, v.Waiting = s, nil }
}

func unplanned(v *View) { v.Planned, v.Steps, v.Waiting, v.Request.Digest = nil, nil, nil, "" }

func approved(v *View) {
	in(approvals.Approved)(v)
	v.Request.Votes = []approvals.Vote{vote(ben, 3*time.Minute)}
	v.Now = after(3*time.Minute + time.Second)
}

func ran(outcome approvals.State, states ...approvals.StepState) func(*View) {
	return func(v *View) {
		approved(v)
		v.Request.State = outcome
		v.Run = &approvals.Run{ID: baseID, Started: true, Since: after(181 * time.Second), Attempt: 1, Approvers: []string{ben.ID}}
		for i, s := range states {
			v.Steps[i].State = s
		}
		if outcome == approvals.Running {
			return
		}
		v.Request.Ended = after(184 * time.Second)
		v.Run.Outcome, v.Run.Ended = outcome, after(184*time.Second)
		if outcome == approvals.Contained || outcome == approvals.Restored {
			v.Run.Verified = after(184 * time.Second)
		}
		if (outcome == approvals.Contained || outcome == approvals.Partial) && v.Request.Intent.Undo == "" {
			v.Run.NextCheck, v.Run.WatchUntil = after(189*time.Second), after(7*24*time.Hour+184*time.Second)
		}
		v.Now = after(185 * time.Second)
	}
}

// brokeGlass lets the requester act alone. Those who could have approved are called.
func brokeGlass(v *View) {
	v.Request.Votes, v.Waiting, v.Run.Approvers = nil, []approvals.Person{ben, cho}, nil
	v.Run.BreakGlass = &approvals.BreakGlass{Person: ana.ID, Name: ana.Name, Reason: "nobody answers, and the key is in use", At: after(3 * time.Minute)}
}

func reviewed(v *View) {
	by := vote(ben, 9*time.Minute)
	v.Run.BreakGlass.Reviewed = &by
}

func rechecked(v *View) {
	v.Run.Checks = 3
	v.Now = after(5 * time.Minute)
}

// unread is a containment that can't be looked at.
func unread(v *View) {
	v.Run.UnreadSince, v.Run.Unread = after(10*time.Minute), "AccessDenied: User: arn:aws:sts::222222222222:assumed-role/killswitch-responder/ks is not authorized to perform: iam:GetRole"
	v.Now = after(11 * time.Minute)
}

// unwatched is a containment whose watch is over.
func unwatched(v *View) {
	v.Run.Checks, v.Run.NextCheck = 300, time.Time{}
	v.Now = v.Run.WatchUntil
}

func tampered(times ...bool) func(*View) {
	return func(v *View) {
		for i, again := range times {
			v.Run.NoteTampering(approvals.Tampered{At: after(time.Duration(190+10*i) * time.Second), StepN: 2, Step: v.Steps[1].Step.Title, Found: "no inline policy AWSRevokeOlderSessions", Reapplied: again, Cause: map[bool]string{false: "AccessDenied: not authorized to perform: iam:PutRolePolicy"}[again]})
		}
		v.Run.Checks = len(times)
	}
}

// fromAlert turns the request into one that was born of an alert; nobody approves
// it unless people release it.
// notConfirmed is a request for which a click or a rule was not enough.
func notConfirmed(why string) func(*View) {
	return func(v *View) { v.Planned.ModeCause = why }
}

func fromAlert(by approvals.ApprovalMode) func(*View) {
	return func(v *View) {
		r := &v.Request
		r.Alert, r.Mode = "AL-7Z3K9QW2M5XA", by
		if by == approvals.TwoPerson {
			return
		}
		r.Need, r.Votes = 0, nil
		if v.Run != nil {
			v.Run.Approvers = nil
		}
		if by == approvals.Automatic {
			r.Requester = approvals.Actor{Person: approvals.AutomaticRequester}
		}
	}
}

// anUndo turns the request into one that takes undoID's containment back.
func anUndo(v *View) {
	r := &v.Request
	r.Intent.Undo, r.Reason = undoID, approvals.UndoReason(undoID)
	p := &v.Planned.Plan
	p.Reversible, p.Undo, p.Warnings, p.Residual, p.Facts = false, "ask for the containment again", nil, nil, nil
	for i := range v.Steps {
		s := &v.Steps[i].Step
		s.Title, s.Current, s.After = "Take back: "+s.Title, s.After, s.Current
	}
	slices.Reverse(v.Steps)
}

// allRoles turns the request into one for every role of the account.
func allRoles(v *View) {
	v.Request.Intent.Call = actions.Call{Action: actions.RevokeSessions, Target: account + "/ALL", Account: account}
	p := &v.Planned.Plan
	p.Identity = actions.Identity{ARN: "arn:aws:iam::222222222222:root", ID: account}
	p.Facts = []actions.Fact{{Label: "Roles", Text: "5000 in the account, 4812 are revoked, 188 are left alone"}, {Label: "Left alone", Text: "188 × service-linked role: only its AWS service can change it"}}
	p.Warnings = []string{"Everything in the account that runs on a role loses its permissions until it gets new credentials.",
		"Role by role takes a while: about 241 s at 20 writes a second. One policy does it at once for the whole account: revoke_sessions 222222222222/ALL via=scp"}
	p.Undo = "removes the deny from each role"
	v.Planned.Steps, v.Steps = 5000, nil
	for i, name := range []string{"app-role", "batch", "ci-deploy", "etl", "web"} {
		v.Steps = append(v.Steps, approvals.Step{N: i + 1, State: approvals.StepPlanned, Step: actions.Step{Title: "Revoke the sessions of " + name, Many: true,
			Current: "no inline policy AWSRevokeOlderSessions", After: revokeNow, Resource: "arn:aws:iam::222222222222:role/" + name}})
	}
}

// long makes everything as long as the parts that feed a card allow, and longer.
func long(v *View) {
	path := strings.Repeat("a-path-element-of-thirty-chars/", 17)[:510] + "/" // IAM: 512 with the slash before it
	role := strings.Repeat("role", 16)
	r, p := &v.Request, &v.Planned.Plan
	r.Intent.Call.Target = "arn:aws:iam::" + account + ":role/" + path + role
	r.Reason = strings.Repeat("why ", 250)
	v.Alias = strings.Repeat("alias-", 10)
	p.Identity.ARN = r.Intent.Call.Target
	p.Undo = strings.Repeat("a long way back ", 200)
	p.Facts, p.Warnings, p.Residual, v.Steps, v.Waiting = nil, nil, nil, nil, nil
	for i := range 30 {
		p.Facts = append(p.Facts, actions.Fact{Label: fmt.Sprintf("Fact %d", i+1), Text: strings.Repeat("a managed policy, ", 40)})
		p.Warnings = append(p.Warnings, fmt.Sprintf("Warning %d: %s", i+1, strings.Repeat("be careful ", 40)))
		p.Residual = append(p.Residual, fmt.Sprintf("Residual %d: %s", i+1, strings.Repeat("goes on ", 40)))
		v.Waiting = append(v.Waiting, ben)
	}
	v.Planned.Steps = 5000
	for i := range maxListed { // the first of the ledger: what the store gives to a card
		v.Steps = append(v.Steps, approvals.Step{N: i + 1, State: approvals.StepPlanned, Step: actions.Step{
			Title: fmt.Sprintf("Step %d %s", i+1, strings.Repeat("does much ", 40)), Current: strings.Repeat("this stands ", 40), After: strings.Repeat("that comes ", 40)}})
	}
}

const (
	evil = "<!channel> <!here> <@UEVIL> <#CEVIL> <https://evil.example|Approve> <!date^0^{date}|*approved*> &lt;!channel&gt; " +
		"*EVIL* _EVIL_ ~EVIL~ `EVIL` ```EVIL``` \u202eLIVE\u202c \u2066iso\u2069 z\u200be\u200dr\u2060o\ufeff \x00\x1b[31m\x7f\u0085 \u2028\u2029 \xff\xfe end"
	// evilPath holds only what IAM allows in a role's path: all of ASCII's printable characters.
	evilPath = "<!channel>/<@UEVIL>/*EVIL*/`EVIL`/&lt;/"
)

var evilLong = evil + strings.Repeat("<&>", 1400)

// hostile fills in what attackers and colleagues can write. The target stays
// one that the grammar lets through.
func hostile(v *View) {
	r, p := &v.Request, &v.Planned.Plan
	r.Intent.Call.Target = "arn:aws:iam::" + account + ":role/" + evilPath + "_EVIL_"
	r.Reason, v.Alias = evilLong, evil
	p.Identity.ARN, p.Identity.ID, p.Undo = r.Intent.Call.Target, evil, evil
	p.Facts = []actions.Fact{{Label: evil, Text: evilLong}}
	p.Warnings, p.Residual = []string{evil, evilLong}, []string{evil, evilLong}
	for i := range v.Steps {
		s := &v.Steps[i]
		s.Step.Title, s.Step.Current, s.Step.After, s.Cause = evil, evilLong, evil, evil
	}
	if v.Run != nil {
		v.Run.Flags = []string{evil, evilLong}
		v.Run.Cause, v.Run.Hint = evil, evil
	}
}

// byWebhook makes it a request that came with a webhook's key.
func byWebhook(id string) func(*View) {
	return func(v *View) {
		v.Request.Requester = approvals.Actor{Person: approvals.WebhookRequester(id)}
		if v.Planned != nil {
			v.Planned.Person = v.Request.Requester.Person
		}
	}
}

// why says why a request came to its end, in hostile words.
func hostileWhy(v *View) { v.Request.Cause, v.Request.Hint = evilLong, evilLong }

type cardCase struct {
	name   string
	word   string // the state that the fallback begins with
	change []func(*View)
}

// cards are all the states that a card can be in, and the worst that can be put into one.
var cards = []cardCase{
	{"planning", "planning", []func(*View){in(approvals.Planning), unplanned}},
	{"pending", "pending 0/1", nil},
	{"pending_one_of_two", "pending 1/2", []func(*View){func(v *View) {
		v.Request.Need, v.Request.Votes, v.Waiting = 2, []approvals.Vote{vote(ben, time.Minute)}, []approvals.Person{cho}
	}}},
	{"pending_two_people", "pending 0/2", []func(*View){func(v *View) { v.Request.Need = 2 }}},
	{"pending_last_seconds", "pending 0/1", []func(*View){func(v *View) { v.Now = v.Request.Expires.Add(-30 * time.Second) }}},
	{"approved", "approved", []func(*View){approved}},
	{"running", "running", []func(*View){ran(approvals.Running, approvals.StepDone, approvals.StepDoing)}},
	{"contained", "contained", []func(*View){ran(approvals.Contained, approvals.StepVerified, approvals.StepVerified)}},
	{"pending_own", "pending 0/1", []func(*View){func(v *View) {
		v.Own, v.Waiting, v.Group = []approvals.Person{cho}, []approvals.Person{ben}, "S0RESPONDERS"
	}}},
	{"pending_nobody_but_own", "pending 0/1", []func(*View){func(v *View) {
		p := *v.Planned
		p.Policy.BreakGlassAfter = 5 * time.Minute
		v.Planned, v.Own, v.Waiting = &p, []approvals.Person{ben, cho}, nil
	}}},
	{"contained_but", "contained, but not in full", []func(*View){ran(approvals.Contained, approvals.StepVerified, approvals.StepFailed), func(v *View) {
		v.Request.Cause, v.Request.Hint = "Tag the role as contained: LimitExceeded: Cannot exceed quota for TagsPerRole: 50", "the quota named is full; free a place in it, then retry"
	}}},
	{"contained_rechecked", "contained", []func(*View){ran(approvals.Contained, approvals.StepVerified, approvals.StepVerified), rechecked}},
	{"contained_tampered", "contained", []func(*View){ran(approvals.Contained, approvals.StepVerified, approvals.StepVerified), tampered(true, true)}},
	{"contained_unread", "contained", []func(*View){ran(approvals.Contained, approvals.StepVerified, approvals.StepVerified), rechecked, unread}},
	{"contained_unwatched", "contained", []func(*View){ran(approvals.Contained, approvals.StepVerified, approvals.StepVerified), unwatched}},
	{"contained_flags", "contained", []func(*View){ran(approvals.Contained, approvals.StepVerified, approvals.StepVerified), func(v *View) {
		v.Run.Flags = []string{"The target was deleted and created again since the plan: it is another principal (AROAOTHER) of the same name."}
	}}},
	{"partial", "partial", []func(*View){ran(approvals.Partial, approvals.StepVerified, approvals.StepFailed), func(v *View) {
		v.Steps[1].Cause = "LimitExceeded: Maximum policy size of 10240 bytes exceeded for role app-role"
		v.Request.Cause, v.Request.Hint = v.Steps[1].Cause, "the quota named is full; free a place in it, then retry"
	}}},
	{"partial_tampered", "partial", []func(*View){ran(approvals.Partial, approvals.StepVerified, approvals.StepFailed), tampered(true, true, false), func(v *View) {
		v.Steps[1].Cause = "undone by somebody: found no inline policy AWSRevokeOlderSessions"
		v.Request.Cause = "Deny all sessions issued until now was undone by somebody: found no inline policy AWSRevokeOlderSessions"
		v.Request.Hint = "somebody with rights in this account works against the containment: contain that principal, or freeze the account"
	}}},
	{"partial_old", "partial", []func(*View){ran(approvals.Partial, approvals.StepVerified, approvals.StepFailed), func(v *View) {
		v.Steps[1].Cause, v.Request.Cause = "AWS answered HTTP 503", "AWS answered HTTP 503"
		v.Now = v.Request.Ended.Add(approvals.RetryWithin)
	}}},
	{"failed", "failed", []func(*View){ran(approvals.Failed, approvals.StepFailed, approvals.StepPlanned), func(v *View) {
		v.Steps[0].Cause = "AccessDenied: User: arn:aws:sts::222222222222:assumed-role/killswitch-responder/ks is not authorized to perform: iam:TagRole"
		v.Request.Cause, v.Request.Hint = v.Steps[0].Cause, "check that the member roles are deployed in this account as the installed version wants them"
	}}},
	{"refused_by_plan", "refused", []func(*View){in(approvals.Refused), unplanned, func(v *View) {
		v.Request.Cause, v.Request.Hint = "there is no role app-role in account 222222222222", "check the name (it is case-sensitive) and the account"
		v.Request.Ended = after(2 * time.Second)
	}}},
	{"refused_by_policy", "refused", []func(*View){in(approvals.Refused), unplanned, func(v *View) {
		v.Request.Codes = []actions.Violation{{Code: approvals.NotRequester, Group: "responders"}, {Code: approvals.TooFewEligible, Group: "leads", Have: 1, Need: 2}}
		v.Request.Ended = after(2 * time.Second)
	}}},
	{"denied", "denied", []func(*View){in(approvals.Denied), func(v *View) {
		no := vote(cho, 90*time.Second)
		v.Request.Denial, v.Request.Ended = &no, after(90*time.Second)
	}}},
	{"denied_with_reason", "denied", []func(*View){in(approvals.Denied), func(v *View) {
		no := vote(cho, 90*time.Second)
		no.Reason = "that Tor exit is our own red team, see #exercise"
		v.Request.Denial, v.Request.Ended = &no, after(90*time.Second)
	}}},
	{"cancelled", "cancelled", []func(*View){in(approvals.Cancelled), func(v *View) {
		c := vote(ana, time.Minute)
		v.Request.Cancelled, v.Request.Ended = &c, after(time.Minute)
	}}},
	{"expired", "expired", []func(*View){in(approvals.Expired), func(v *View) {
		v.Request.Ended, v.Now = v.Request.Expires, v.Request.Expires.Add(time.Minute)
	}}},
	{"expired_deletion", "expired", []func(*View){in(approvals.Expired), func(v *View) {
		v.Request.Intent.Call = actions.Call{Action: actions.DeleteRole, Target: baseARN, Account: account, Options: map[string]string{"confirm": "app-role"}}
		v.Request.Reason = `the intruder calls it "app"`
		v.Request.Ended, v.Now = v.Request.Expires, v.Request.Expires.Add(time.Minute)
	}}},
	{"expired_undo", "expired", []func(*View){anUndo, in(approvals.Expired)}},
	{"expired_undo_of_keys", "expired", []func(*View){anUndo, in(approvals.Expired), func(v *View) { v.Request.Intent.ReactivateKeys = true }}},
	{"undoing", "undoing", []func(*View){ran(approvals.Undoing, approvals.StepVerified, approvals.StepVerified), rechecked, func(v *View) { v.Request.UndoneBy = undoID }}},
	{"undone", "undone", []func(*View){ran(approvals.Undone, approvals.StepVerified, approvals.StepVerified), rechecked, func(v *View) { v.Request.UndoneBy = undoID }}},
	{"undone_but_kept", "undone", []func(*View){ran(approvals.Undone, approvals.StepVerified, approvals.StepVerified), rechecked, func(v *View) {
		v.Request.UndoneBy = undoID
		v.Stay = []string{"a compromised key stays inactive unless the undo says keys=reactivate", "a password can't be restored: set a new one"}
	}}},
	{"undo_pending", "pending 0/1", []func(*View){anUndo}},
	{"undo_restored", "restored", []func(*View){anUndo, ran(approvals.Restored, approvals.StepVerified, approvals.StepVerified)}},
	{"undo_restored_but_kept", "restored", []func(*View){anUndo, ran(approvals.Restored, approvals.StepVerified, approvals.StepKept), func(v *View) {
		v.Steps[1].Cause = "KS-0000000000AB holds it too"
		v.Stay = []string{v.Steps[1].Cause}
	}}},
	{"undo_partial", "partial", []func(*View){anUndo, ran(approvals.Partial, approvals.StepDrifted, approvals.StepKept), func(v *View) {
		v.Steps[0].Cause = "another inline policy named AWSRevokeOlderSessions, which is not what Killswitch wrote"
		v.Steps[1].Cause = "KS-0000000000AB holds it too"
		v.Request.Cause, v.Request.Hint = "1 step was changed by others since", "look at it by hand"
	}}},
	{"undo_denied", "denied", []func(*View){anUndo, ran(approvals.Denied, approvals.StepFailed, approvals.StepVerified), func(v *View) {
		no := vote(cho, 4*time.Minute)
		no.Reason = "the incident is not over"
		v.Steps[0].Cause, v.Request.Denial, v.Now = "AWS answered HTTP 503", &no, after(5*time.Minute)
	}}},
	{"undo_cancelled", "cancelled", []func(*View){anUndo, ran(approvals.Cancelled, approvals.StepFailed, approvals.StepPlanned), func(v *View) {
		no := vote(ana, 4*time.Minute)
		v.Steps[0].Cause, v.Request.Cancelled, v.Now = "AWS answered HTTP 503", &no, after(5*time.Minute)
	}}},
	{"failed_denied", "denied", []func(*View){ran(approvals.Denied, approvals.StepFailed, approvals.StepPlanned), func(v *View) {
		no := vote(cho, 4*time.Minute)
		v.Steps[0].Cause, v.Request.Denial, v.Now = "AWS answered HTTP 503", &no, after(5*time.Minute)
	}}},
	{"partial_denied", "partial", []func(*View){ran(approvals.Partial, approvals.StepVerified, approvals.StepFailed), func(v *View) {
		no := vote(cho, 4*time.Minute)
		no.Reason = "the rest is done by hand"
		v.Steps[1].Cause, v.Request.Cause = "AWS answered HTTP 503", "AWS answered HTTP 503"
		v.Request.Denial, v.Now = &no, after(5*time.Minute)
	}}},
	{"partial_cancelled", "partial", []func(*View){ran(approvals.Partial, approvals.StepVerified, approvals.StepFailed), func(v *View) {
		no := vote(ana, 4*time.Minute)
		v.Steps[1].Cause, v.Request.Cause = "AWS answered HTTP 503", "AWS answered HTTP 503"
		v.Request.Cancelled, v.Now = &no, after(5*time.Minute)
	}}},
	{"pending_one_signed", "pending 0/1", []func(*View){func(v *View) { v.Unsigned = true }}},
	{"pending_signed_missing", "pending 1/1", []func(*View){func(v *View) {
		v.Unsigned, v.Request.Votes, v.Waiting = true, []approvals.Vote{vote(ben, time.Minute)}, []approvals.Person{ben}
	}}},
	{"broke_glass_running", "running", []func(*View){ran(approvals.Running, approvals.StepDone, approvals.StepDoing), brokeGlass}},
	{"broke_glass_contained", "contained", []func(*View){ran(approvals.Contained, approvals.StepVerified, approvals.StepVerified), brokeGlass}},
	{"broke_glass_reviewed", "contained", []func(*View){ran(approvals.Contained, approvals.StepVerified, approvals.StepVerified), brokeGlass, reviewed}},
	{"broke_glass_undone", "undone", []func(*View){ran(approvals.Undone, approvals.StepVerified, approvals.StepVerified), rechecked, brokeGlass, func(v *View) { v.Request.UndoneBy = undoID }}},
	{"broke_glass_hostile", "contained", []func(*View){ran(approvals.Contained, approvals.StepVerified, approvals.StepVerified), brokeGlass, func(v *View) {
		v.Run.BreakGlass.Name, v.Run.BreakGlass.Reason = evil, evilLong
	}}},
	{"from_alert_pending", "pending 0/1", []func(*View){fromAlert(approvals.TwoPerson)}},
	{"from_alert_hostile", "pending 0/1", []func(*View){fromAlert(approvals.TwoPerson), func(v *View) { v.Request.Alert = evil }}},
	{"click_planning", "planning", []func(*View){in(approvals.Planning), unplanned, fromAlert(approvals.OneClick)}},
	{"click_approved", "approved", []func(*View){approved, fromAlert(approvals.OneClick)}},
	{"click_contained", "contained", []func(*View){ran(approvals.Contained, approvals.StepVerified, approvals.StepVerified), fromAlert(approvals.OneClick)}},
	{"click_expired", "expired", []func(*View){in(approvals.Expired), fromAlert(approvals.OneClick)}},
	{"click_not_confirmed", "pending 0/1", []func(*View){fromAlert(approvals.TwoPerson), notConfirmed("its source does not confirm it: GuardDuty has no finding 0a3c9fb69bf06f40 in account 222222222222, us-east-1")}},
	{"click_not_confirmed_hostile", "pending 0/1", []func(*View){fromAlert(approvals.TwoPerson), notConfirmed(evil + evil)}},
	{"rule_not_confirmed", "pending 0/2", []func(*View){fromAlert(approvals.TwoPerson), notConfirmed("ThrottlingException: Rate exceeded"), func(v *View) {
		v.Request.Requester, v.Request.Need = approvals.Actor{Person: approvals.AutomaticRequester}, 2
	}}},
	{"webhook", "pending 0/2", []func(*View){byWebhook("soar"), func(v *View) { v.Request.Need = 2 }}},
	{"webhook_owned", "pending 0/1", []func(*View){byWebhook("soar"), func(v *View) {
		v.Owners, v.Waiting, v.Group = []approvals.Person{ben}, []approvals.Person{cho}, "S0RESPONDERS"
	}}},
	{"webhook_hostile", "pending 0/2", []func(*View){byWebhook(evil), func(v *View) { v.Request.Need, v.Request.Reason = 2, evilLong }}},
	{"webhook_partial", "partial", []func(*View){byWebhook("soar"), ran(approvals.Partial, approvals.StepVerified, approvals.StepFailed)}},
	{"rule_planning", "planning", []func(*View){in(approvals.Planning), unplanned, fromAlert(approvals.Automatic)}},
	{"rule_approved", "approved", []func(*View){approved, fromAlert(approvals.Automatic)}},
	{"rule_running", "running", []func(*View){ran(approvals.Running, approvals.StepDone, approvals.StepDoing), fromAlert(approvals.Automatic)}},
	{"rule_contained", "contained", []func(*View){ran(approvals.Contained, approvals.StepVerified, approvals.StepVerified), fromAlert(approvals.Automatic)}},
	{"rule_partial", "partial", []func(*View){ran(approvals.Partial, approvals.StepVerified, approvals.StepFailed), fromAlert(approvals.Automatic), func(v *View) {
		v.Steps[1].Cause, v.Request.Cause = "AWS answered HTTP 503", "AWS answered HTTP 503"
	}}},
	{"rule_refused", "refused", []func(*View){in(approvals.Refused), unplanned, fromAlert(approvals.Automatic), func(v *View) {
		v.Request.Cause, v.Request.Hint = "GuardDuty does not know the finding", "look at the alert, and contain it with its buttons if it is true"
	}}},
	{"rule_denied", "denied", []func(*View){in(approvals.Denied), unplanned, fromAlert(approvals.Automatic), func(v *View) {
		no := vote(cho, time.Second)
		v.Request.Denial = &no
	}}},
	{"all_pending", "pending 0/1", []func(*View){allRoles}},
	{"all_listing", "running", []func(*View){allRoles, ran(approvals.Running, approvals.StepPlanned), func(v *View) {
		v.Run.Progress = approvals.Progress{Listed: 1200, At: v.Now}
	}}},
	{"all_running", "running", []func(*View){allRoles, ran(approvals.Running, approvals.StepVerified, approvals.StepDone, approvals.StepDoing), func(v *View) {
		v.Run.Progress = approvals.Progress{Total: 5000, Done: 1830, Failed: 2, Skipped: 188, Rate: 19.7, At: v.Now}
	}}},
	{"all_contained", "contained", []func(*View){allRoles, ran(approvals.Contained, approvals.StepVerified), func(v *View) {
		v.Run.Progress = approvals.Progress{Total: 5000, Done: 4812, Skipped: 188}
	}}},
	{"all_partial", "partial", []func(*View){allRoles, ran(approvals.Partial, approvals.StepVerified), func(v *View) {
		v.Run.Progress = approvals.Progress{Total: 5000, Done: 4810, Failed: 2, Skipped: 188}
		for _, name := range []string{"batch-full", "etl-full"} {
			v.Left = append(v.Left, approvals.Step{State: approvals.StepFailed, Cause: "LimitExceeded: Maximum policy size of 10240 bytes exceeded for role " + name,
				Step: actions.Step{Title: "Revoke the sessions of " + name, Resource: "arn:aws:iam::222222222222:role/" + name, Many: true}})
		}
		v.Request.Cause = "2 of 4812 failed. The first: Revoke the sessions of batch-full: " + v.Left[0].Cause
		v.Request.Hint = "the quota named is full; detach_policies frees it"
	}}},
	{"long_pending", "pending 0/1", []func(*View){long}},
	{"long_running", "running", []func(*View){long, ran(approvals.Running)}},
	{"long_partial", "partial", []func(*View){long, ran(approvals.Partial), func(v *View) {
		v.Request.Cause, v.Request.Hint = strings.Repeat("a cause ", 200), strings.Repeat("a hint ", 200)
		for i := range v.Steps {
			v.Steps[i].State, v.Steps[i].Cause = approvals.StepFailed, strings.Repeat("because ", 100)
			v.Run.Flags = append(v.Run.Flags, strings.Repeat("a flag ", 100))
		}
	}}},
	{"long_refused", "refused", []func(*View){long, in(approvals.Refused), func(v *View) {
		for range 11 {
			v.Request.Codes = append(v.Request.Codes, actions.Violation{Code: approvals.TooFewEligible, Group: strings.Repeat("group", 20), Have: 1, Need: 2})
		}
	}}},
	{"hostile_pending", "pending 0/1", []func(*View){hostile}},
	{"hostile_contained", "contained", []func(*View){ran(approvals.Contained, approvals.StepVerified, approvals.StepVerified), hostile, tampered(true)}},
	{"hostile_partial", "partial", []func(*View){ran(approvals.Partial, approvals.StepVerified, approvals.StepFailed), hostile, hostileWhy, tampered(false)}},
	{"hostile_refused", "refused", []func(*View){hostile, in(approvals.Refused), hostileWhy, func(v *View) {
		v.Request.Codes = []actions.Violation{{Code: approvals.NotRequester, Group: evil}, {Code: "<!channel>"}}
	}}},
	{"hostile_denied", "denied", []func(*View){hostile, in(approvals.Denied), func(v *View) {
		no := vote(cho, 90*time.Second)
		no.Reason = evilLong
		v.Request.Denial, v.Request.Ended = &no, after(90*time.Second)
	}}},
	{"pending_socket_mode", "pending 0/1", []func(*View){func(v *View) { v.SocketMode = true }}},
}

func (c cardCase) view() View {
	v := baseView()
	for _, change := range c.change {
		change(&v)
	}
	return v
}

func TestCards(t *testing.T) {
	golden := map[string]bool{}
	for _, c := range cards {
		golden[c.name+".json"] = true
		t.Run(c.name, func(t *testing.T) {
			v := c.view()
			m := Card(v)
			compareGolden(t, "cards", c.name, m)
			checkMessage(t, m)
			checkCall(t, v, m)
			checkFallback(t, c.word, v, m.Text)
			checkButtons(t, v, m)
		})
	}
	files, err := os.ReadDir("testdata/cards")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !golden[f.Name()] {
			t.Errorf("testdata/cards/%s belongs to no card", f.Name())
		}
	}
}

// TestCardIsPure draws each card twice: a card that looked at a clock or ran
// over a map would differ sooner or later.
func TestCardIsPure(t *testing.T) {
	for _, c := range cards {
		if d := cmp.Diff(document(t, Card(c.view())), document(t, Card(c.view()))); d != "" {
			t.Errorf("%s: two drawings differ:\n%s", c.name, d)
		}
	}
}

// TestSocketMode: every card ends with what no signature stands behind, and is the same otherwise.
func TestSocketMode(t *testing.T) {
	check := func(name string, signed, unsigned Message) {
		n := len(signed.Blocks) - 1
		if d := cmp.Diff(document(t, Message{Text: signed.Text, Blocks: signed.Blocks[:n]}), document(t, Message{Text: unsigned.Text, Blocks: unsigned.Blocks[:n]})); d != "" {
			t.Errorf("%s: %s", name, d)
		}
		last, _ := unsigned.Blocks[n].(*slack.ContextBlock)
		if last == nil || len(unsigned.Blocks) != n+1 || len(last.ContextElements.Elements) != 2 || !bytes.Contains(document(t, unsigned), []byte("no signature")) || bytes.Contains(document(t, signed), []byte("no signature")) {
			t.Errorf("%s ends with %+v", name, unsigned.Blocks[n:])
		}
		checkMessage(t, unsigned)
	}
	for _, c := range cards {
		v := c.view()
		v.SocketMode = false
		signed := Card(v)
		v.SocketMode = true
		check(c.name, signed, Card(v))
	}
	for _, c := range alertCards {
		v := c.view(t)
		signed := AlertCard(v)
		v.SocketMode = true
		check(c.name, signed, AlertCard(v))
	}
}

// TestCardsOfEveryState fails when a state has no card above.
func TestCardsOfEveryState(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cards {
		seen[string(c.view().Request.State)] = true
	}
	for _, s := range constants(t, "State") {
		if !seen[s] {
			t.Errorf("no golden card is %s", s)
		}
	}
}

// checkMessage wants a message that Slack takes and that does nothing but what we mean.
func checkMessage(t *testing.T, m Message) {
	t.Helper()
	cardstest.Message(t, m.Text, m.Blocks)
}

func checkCall(t *testing.T, v View, m Message) {
	t.Helper()
	n := 0
	for _, b := range m.Blocks {
		if b.ID() != approvals.CallBlock {
			continue
		}
		n++
		s, ok := b.(*slack.SectionBlock)
		if !ok || s.Text == nil || s.Text.Type != slack.PlainTextType {
			t.Errorf("block call is no section of plain text: %#v", b)
		} else if want := v.Request.Intent.String(); s.Text.Text != want {
			t.Errorf("block call shows\n%s\nwant\n%s", s.Text.Text, want)
		}
	}
	if n != 1 {
		t.Errorf("%d blocks call", n)
	}
}

// checkFallback wants state, action, target, account and request ID, in this
// order, in what the text shows. A target may be cut, the rest may not.
func checkFallback(t *testing.T, word string, v View, text string) {
	t.Helper()
	same := strings.NewReplacer("`", "'").Replace // a backtick may be drawn as a quote
	text = same(cardstest.Unescape(text))
	call := v.Request.Intent.Call
	rest, ok := strings.CutPrefix(text, word+": ")
	if !ok {
		t.Errorf("the fallback does not begin with %q: %s", word+": ", text)
	}
	target := same(call.Target[:min(len(call.Target), 80)])
	for _, want := range []string{string(call.Action), target, call.Account, v.Request.ID} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Errorf("the fallback lacks %q, or has it in the wrong place: %s", want, text)
			return
		}
		rest = after
	}
}

// wantButtons are the buttons of each state, in their order.
var wantButtons = map[string]string{
	"planning": "cancel", "pending": "approve deny cancel trace details", "approved": "deny cancel details", "running": "details",
	"contained": "undo trace details", "contained, but": "retry undo trace details", "restored": "details", "partial": "retry undo trace details", "failed": "retry undo again trace details",
	"refused": "again details", "denied": "again details", "cancelled": "again details", "expired": "again details", "undoing": "details", "undone": "details",
}

func checkButtons(t *testing.T, v View, m Message) {
	t.Helper()
	r := v.Request
	var ids []string
	for _, b := range m.Blocks {
		actions, ok := b.(*slack.ActionBlock)
		if !ok {
			continue
		}
		for _, e := range actions.Elements.ElementSet {
			button, ok := e.(*slack.ButtonBlockElement)
			if !ok {
				t.Errorf("%#v is no button", e)
				continue
			}
			ids = append(ids, button.ActionID)
			want := approvals.Value(r.ID, r.Digest)
			if button.ActionID == approvals.AgainButton {
				want = approvals.Value(r.ID, approvals.IntentDigest(r.Intent))
			}
			if button.Value != want {
				t.Errorf("%s: value %q, want %q", button.ActionID, button.Value, want)
			}
			if l := button.AccessibilityLabel; !strings.HasPrefix(l, button.Text.Text) || !strings.Contains(l, r.ID) {
				t.Errorf("%s: accessibility_label %q, want its label and the request", button.ActionID, l)
			}
			switch button.ActionID {
			case "approve", "retry", "undo", "deny", "cancel", approvals.AgainButton, "propose:deny_principal":
				danger := button.ActionID == "approve" || button.ActionID == "retry" || button.Text.Text == "Withdraw" || button.ActionID == "propose:deny_principal"
				if danger != (button.Style == slack.StyleDanger) {
					t.Errorf("%s has style %q; danger: %t", button.ActionID, button.Style, danger)
				}
				if button.ActionID == approvals.AgainButton && approvals.ToType(r.Intent, all.Actions.Lookup) { // it opens the form, which asks
					continue
				}
				if c := button.Confirm; c == nil || !strings.Contains(c.Text.Text, strings.Replace(all.Actions.TargetName(r.Intent.Call), "ALL", "all roles", 1)) || !strings.Contains(c.Text.Text, account) {
					t.Errorf("%s does not ask once more, naming target and account: %+v", button.ActionID, c)
				}
			default:
				if button.Style != "" || button.Confirm != nil {
					t.Errorf("%s has style %q and confirm %+v, want neither", button.ActionID, button.Style, button.Confirm)
				}
			}
		}
	}
	state := string(r.State)
	if r.State == approvals.Contained && r.Cause != "" {
		state += ", but"
	}
	want := strings.Fields(wantButtons[state])
	if r.State == approvals.Planning && r.Mode != approvals.TwoPerson {
		want = []string{"deny", "cancel"}
	}
	no, _ := r.No()
	over := no != nil || v.Now.After(r.ApprovedAt().Add(approvals.RetryWithin))
	if undo := r.Intent.Undo != ""; undo && (r.State == approvals.Partial || r.State == approvals.Failed) {
		want = slices.Insert(want, 1, "deny")
	} else if !undo && v.Run != nil && r.State == approvals.Denied {
		want = slices.Insert(want, 0, "undo")
	}
	stronger := map[actions.Name]bool{actions.RevokeSessions: true, actions.DetachPolicies: true, actions.QuarantineUser: true}[r.Intent.Call.Action] && !actions.WholeAccount(r.Intent.Call)
	if stronger && r.Intent.Undo == "" && (r.State == approvals.Contained || r.State == approvals.Partial || r.State == approvals.Failed) {
		at := slices.IndexFunc(want, func(id string) bool { return id == approvals.AgainButton || id == "trace" || id == "details" })
		want = slices.Insert(want, at, approvals.Propose(actions.DenyPrincipal))
	}
	_, _, traced := approvals.TraceSubject(r.Intent.Call)
	want = slices.DeleteFunc(want, func(id string) bool {
		return id == "trace" && (!traced || r.Intent.Undo != "") || id == approvals.AgainButton && r.Intent.Undo != "" && approvals.ToType(r.Intent, all.Actions.Lookup) || id == "undo" && r.Intent.Undo != "" || id == "retry" && over || id == "cancel" && nobody(r)
	})
	if d := cmp.Diff(want, ids); d != "" {
		t.Errorf("buttons (-want +got):\n%s", d)
	}
}

// TestUndoOfFailedWantsSomethingToUndo: a run that began no step left nothing.
func TestUndoOfFailedWantsSomethingToUndo(t *testing.T) {
	v := baseView()
	ran(approvals.Failed, approvals.StepPlanned, approvals.StepPlanned)(&v)
	for _, e := range v.buttons() {
		if b, ok := e.(*slack.ButtonBlockElement); ok && b.ActionID == "undo" {
			t.Error("undo is offered though no step was begun")
		}
	}
}

// TestUnprovedRequestIsNotOfferedAgain: nobody is known to have asked for it.
func TestUnprovedRequestIsNotOfferedAgain(t *testing.T) {
	for _, action := range []actions.Name{actions.RevokeSessions, actions.DeleteRole} {
		v := baseView()
		in(approvals.Refused)(&v)
		unplanned(&v)
		v.Request.Intent.Call.Action, v.Run = action, &approvals.Run{Outcome: approvals.Refused}
		if len(v.againButtons()) != 0 || v.againLine() != "" {
			t.Errorf("%s is offered again", action)
		}
		v.Run.Unplanned = &approvals.Planned{}
		if (len(v.againButtons()) != 0) == (v.againLine() != "") {
			t.Errorf("%s is not offered again", action)
		}
	}
}

// TestVeryHostileTarget: a target that no grammar lets through still makes a
// card that Slack takes and that says nothing but text. Nobody can approve it:
// its block call is not the intent.
func TestVeryHostileTarget(t *testing.T) {
	for _, target := range []string{evil, evilLong, "", "/", strings.Repeat("/", 5000)} {
		v := baseView()
		v.Request.Intent.Call.Target, v.Request.Intent.Call.Account = target, evil
		v.Request.Intent.Call.Options = map[string]string{evil: evil}
		checkMessage(t, Card(v))
	}
}

// TestUntrustedBeginsWithAnyLetter: what others write is capitalized by letter,
// not by byte.
func TestUntrustedBeginsWithAnyLetter(t *testing.T) {
	for in, want := range map[string]string{
		"": "", "no role": "No role.", "No role.": "No role.", "états": "États.", "世界": "世界.", "&lt;x": "&lt;x.",
	} {
		if got := sentence(in); got != want {
			t.Errorf("sentence(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestReplies(t *testing.T) {
	want := map[string][]string{
		"planning": nil, "pending": nil, "pending_one_of_two": nil, "approved": nil, "running": nil, "cancelled": nil, "undoing": nil,
		"contained": {"done-1"}, "contained_rechecked": {"done-1", "checked-1"}, "contained_tampered": {"tamper-1", "tamper-2", "done-1"},
		"contained_unread":    {"done-1", fmt.Sprintf("unread-%d", after(10*time.Minute).Unix()/3600), "checked-1"},
		"contained_unwatched": {"done-1", "checked-1", fmt.Sprintf("watch-%d", after(7*24*time.Hour+184*time.Second).Unix())},
		"partial":             {fmt.Sprintf("partial-1-%d", after(184*time.Second).Unix())},
		"failed":              {fmt.Sprintf("failed-1-%d", after(184*time.Second).Unix())},
		"broke_glass_running": {"broke-glass"}, "broke_glass_contained": {"broke-glass", "done-1"}, "broke_glass_reviewed": {"broke-glass-reviewed", "done-1"},
		"refused_by_plan": {"refused"}, "denied": {"denied"}, "denied_with_reason": {"denied", "denied-because"},
		"undo_denied": {"denied", "denied-because"}, "failed_denied": {"denied"}, "undo_cancelled": nil,
		"partial_denied":    {fmt.Sprintf("partial-1-%d", after(184*time.Second).Unix()), "not-again", "denied-because"},
		"partial_cancelled": {fmt.Sprintf("partial-1-%d", after(184*time.Second).Unix()), "not-again"},
		"expired":           {"expired"}, "undone": {"undone"}, "undo_restored": {"done-1"},
	}
	for _, c := range cards {
		t.Run(c.name, func(t *testing.T) {
			v := c.view()
			var keys []string
			for _, r := range Replies(v) {
				keys = append(keys, r.Key)
				checkMessage(t, r.Message)
				if !strings.HasPrefix(r.Text, v.Request.ID+": ") && !strings.HasPrefix(r.Text, "Still waiting: <@") {
					t.Errorf("%s does not begin with the request: %s", r.Key, r.Text)
				}
				alone := nobody(v.Request)
				loud := strings.HasPrefix(r.Key, "tamper-") || alone && strings.HasPrefix(r.Key, "partial-")
				if got := strings.Count(r.Text, "<!here>"); got > 1 || loud != (got == 1) {
					t.Errorf("%s calls everyone %d times: %s", r.Key, got, r.Text)
				}
				if r.Key == "plan" || strings.HasPrefix(r.Key, "waiting-") {
					continue
				}
				if alone {
					if !strings.Contains(r.Text, "Asked for by "+asker(v.Request)) || strings.Contains(r.Text, "(unknown)") {
						t.Errorf("%s does not say who asked: %s", r.Key, r.Text)
					}
				} else if !loud && r.Key != "checked-1" && !strings.HasPrefix(r.Key, "broke-glass") && !strings.HasPrefix(r.Key, "left-") && r.Key != "denied-because" && !strings.Contains(r.Text, "<@"+ana.Slack+">") {
					t.Errorf("%s does not call the requester: %s", r.Key, r.Text)
				}
			}
			if distinct := slices.Compact(slices.Sorted(slices.Values(keys))); len(distinct) != len(keys) {
				t.Errorf("keys are not unique: %v", keys)
			}
			w, ok := want[c.name]
			if v.Planned != nil && v.Request.State != approvals.Planning && v.Request.State != approvals.Refused {
				w = append(slices.Clone(w), "plan")
			}
			if ok && !slices.Equal(keys, w) {
				t.Errorf("replies %v, want %v", keys, w)
			}
		})
	}
}

// TestBrokeGlass: what calls those who could have approved, and becomes of it once one of them has looked.
func TestBrokeGlass(t *testing.T) {
	for name, change := range map[string]func(*View){"broke_glass": func(*View) {}, "broke_glass_reviewed": reviewed} {
		v := baseView()
		ran(approvals.Contained, approvals.StepVerified, approvals.StepVerified)(&v)
		brokeGlass(&v)
		change(&v)
		reply := Replies(v)[0]
		if calls := strings.Contains(reply.Text, "<@"+ben.Slack+">, <@"+cho.Slack+">"); calls != (reply.Completes == "") || !reply.Broadcast {
			t.Errorf("%s: %s", name, reply.Text)
		}
		compareGolden(t, "replies", name, reply.Message)
	}
}

func TestForms(t *testing.T) {
	cardstest.Modal(t, DenialForm(baseID))
	if f := DenialForm(baseID); f.PrivateMetadata != baseID || f.CallbackID != DenialCallback {
		t.Errorf("the form of %s does not carry it: %+v", baseID, f)
	}
	for _, c := range cards {
		t.Run(c.name, func(t *testing.T) {
			v := c.view()
			modal, m := Details(v)
			cardstest.Modal(t, modal)
			checkMessage(t, m)
		})
	}
}

func TestHelpAndMistakes(t *testing.T) {
	checkMessage(t, Help(all.Actions, "/killswitch", ""))
	for _, a := range all.Actions {
		m := Help(all.Actions, "/killswitch", string(a.Spec().Name))
		checkMessage(t, m)
		if !strings.Contains(string(document(t, m)), "/killswitch "+string(a.Spec().Name)) {
			t.Errorf("help for %s lacks an example", a.Spec().Name)
		}
	}
	for name, typed := range map[string]string{
		"hostile": "revoke_sessions " + evil, "long": "revoke_sessions " + strings.Repeat("word ", 2000), "empty reason": "revoke_sessions 222222222222/app-role",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := approvals.ParseCommand(typed, actions.Directory{Actions: all.Actions, Partition: "aws"})
			wrong, ok := errors.AsType[*actions.ParseErrors](err)
			if !ok {
				t.Fatalf("no mistakes in %q: %v", typed, err)
			}
			m := Mistakes("/killswitch", typed, wrong)
			checkMessage(t, m)
			body := string(document(t, m))
			for _, x := range wrong.List {
				if !strings.Contains(body, "*"+x.Field+"*") {
					t.Errorf("%s is not named: %s", x.Field, body)
				}
			}
		})
	}
	for _, text := range []string{evil, evilLong} {
		wrong := &actions.ParseErrors{Corrected: text, List: []actions.Mistake{{Field: text, Problem: text, Hint: text}, {Field: "target", Problem: text}}}
		checkMessage(t, Mistakes("/killswitch", text, wrong))
	}
}

// TestRunThatNeverStarted: a denial that came first leaves a run with nothing
// done, and the card does not say that something happened.
func TestRunThatNeverStarted(t *testing.T) {
	v := baseView()
	in(approvals.Denied)(&v)
	v.Run = &approvals.Run{ID: baseID, Attempt: 1}
	for _, b := range Card(v).Blocks {
		if b.ID() == "result" {
			t.Error("the card tells what happened, and nothing did")
		}
	}
}

func TestTamperText(t *testing.T) {
	x := approvals.Tampered{N: 4, At: asked, Step: "Deny all", Found: "no policy", Cause: "AccessDenied: no"}
	if got, want := tamperText(x), `02:14:05 UTC: somebody undid "Deny all" (found no policy), removal 4. It was not applied again: AccessDenied: no.`; got != want {
		t.Errorf("tamperText = %s, want %s", got, want)
	}
	x.Reapplied = true
	if got := tamperText(x); !strings.HasSuffix(got, "It was applied again.") {
		t.Errorf("tamperText = %s", got)
	}
}

// document is a message as the golden files hold it. What is not to be seen is
// written as \u escapes, so that a review shows it.
func document(t *testing.T, m Message) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(map[string]any{"text": m.Text, "blocks": m.Blocks}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	for _, r := range b.String() {
		if unicode.Is(unicode.Cf, r) {
			fmt.Fprintf(&out, `\u%04x`, r)
		} else {
			out.WriteRune(r)
		}
	}
	return out.Bytes()
}

func compareGolden(t *testing.T, dir, name string, m Message) {
	t.Helper()
	file := filepath.Join("testdata", dir, name+".json")
	got := document(t, m)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatalf("%v (go test ./bot/cards -update writes it)", err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s (-want +got):\n%s", file, d)
	}
}
