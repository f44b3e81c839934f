package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// The budget of a trace. What is beyond it is told as a gap.
const (
	traceSpan   = 24 * time.Hour   // before it was asked, or since the first sign
	traceWithin = 50 * time.Second // of look-ups: AWS allows two a second in an account's region
	traceCalls  = 100              // look-ups in a region
	tracePages  = 5                // of 50 calls, of one principal or session in a region
	traceLeads  = 90               // principals and sessions
	traceLevel  = 45               // of them at one depth
	traceDepth  = 3                // sessions of sessions
	traceLook   = 15 * time.Second // whether what was made is there
	traceAtOnce = 4                // of those look-ups
	maxTraced   = 100
	maxDeeds    = 8  // of one thing
	maxHandwork = 10 // likewise

	traceEvery = time.Minute // a trace is used for
	// traceAgain is when it is looked up once more: CloudTrail has most calls by then.
	// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/how-cloudtrail-works.html
	traceAgain = 15 * time.Minute
)

// trace looks up what the principal of a request or an alert made, and what that made, and stores it. It
// only reads, because anybody who can write a queue can cause it.
func (x *Executor) trace(ctx context.Context, id string) error {
	var t approvals.Trace
	version, err := x.runs().Find(ctx, approvals.TraceKey(id), &t)
	if err != nil {
		return err
	}
	if version != 0 && x.Now().Sub(t.At) < traceEvery {
		return x.Changes.Send(ctx, approvals.Change{ID: id}, 0)
	}
	leads, who, err := x.firstLeads(ctx, id)
	if errors.Is(err, approvals.ErrNotFound) {
		return nil
	}
	no, refused := errors.AsType[*actions.Refusal](err)
	if err != nil && !refused {
		return err
	}
	if x.activityLookups.Add(1) > maxActivityLookups {
		x.activityLookups.Add(-1)
		return x.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobTrace, ID: id}, activityRetry)
	}
	defer x.activityLookups.Add(-1)
	if t.At, t.Unread, t.Gaps = x.Now().UTC(), "", nil; refused {
		t.Unread = no.Reason
	} else {
		t.Whose, t.From = leads[0].Who, leads[0].From
		w := tracer{x: x, who: who, sessions: map[string]traceSession{}, known: map[string]bool{}, found: map[string]*approvals.Traced{}, seen: map[string]map[string]bool{}, left: map[string]int{}}
		if err := w.follow(ctx, leads, &t); err != nil {
			return err
		}
	}
	if t.Unread != "" && len(t.Traced) > 0 { // what was found stays
		t.Gaps, t.Unread = []string{"It could not be looked up again: " + t.Unread + "."}, ""
	}
	t.Looks++
	if err := x.storeTrace(ctx, id, version, t); err != nil {
		return ignore(err, approvals.ErrConflict) // another worker has it
	}
	if t.Looks == 1 && t.Unread == "" {
		if err := x.Jobs.Send(ctx, approvals.Job{Verb: approvals.JobTrace, ID: id}, traceAgain); err != nil {
			return err
		}
	}
	if approvals.IsRequestID(id) {
		return x.changeRequest(ctx, id, func(r *approvals.Request) error {
			r.Revise()
			return nil
		})
	}
	return x.Changes.Send(ctx, approvals.Change{ID: id}, 0)
}

// tracedAs is under whose ID what a request has contained is traced without a click: an incident has one list.
// That of its alert, or a list of the last day that it stands in, is brought up to date. It is empty for what
// makes no calls.
func (x *Executor) tracedAs(ctx context.Context, p approvals.Planned) (string, error) {
	if _, _, ok := approvals.TraceSubject(p.Call()); !ok || p.Intent.Undo != "" {
		return "", nil
	}
	if p.Alert != "" {
		version, err := x.runs().Find(ctx, approvals.TraceKey(p.Alert), &approvals.Trace{})
		if err != nil || version != 0 {
			return p.Alert, err
		}
	}
	ids, err := x.runs().TracedBy(ctx, p.Intent.Call.Target)
	if err != nil {
		return "", err
	}
	for _, id := range slices.Backward(ids) {
		var t approvals.Trace
		if _, err := x.runs().Find(ctx, approvals.TraceKey(id), &t); err != nil {
			return "", err
		}
		if x.Now().Sub(t.At) < traceSpan {
			return id, nil
		}
	}
	return p.ID, nil
}

// storeTrace writes a trace, with a link of the audit chain if it is a request's and more was found, and
// notes it at what it offers to contain.
func (x *Executor) storeTrace(ctx context.Context, id string, version int64, t approvals.Trace) error {
	var before approvals.Trace
	if _, err := x.runs().Find(ctx, approvals.TraceKey(id), &before); err != nil {
		return err
	}
	fresh := newDeeds(before, t)
	told := t.Looks > 1 || len(t.Gaps) > 0 || t.Unread != "" || !x.byItself(ctx, id)
	if len(fresh) > 0 || before.Edition == 0 && told { // the first look may be too early for CloudTrail
		t.Edition++
	}
	put := approvals.PutRow(approvals.TraceKey(id), version, t)
	if x.Requests.Retention > 0 {
		put.Expires = t.At.Add(x.Requests.Retention)
	}
	for _, target := range t.Targets() {
		if err := x.noteTraced(ctx, target, id, put.Expires); err != nil {
			return err
		}
	}
	var links []audit.Event
	if approvals.IsRequestID(id) && len(fresh) > 0 {
		links = append(links, audit.New("traced", "", "whose", t.Whose, "found", strconv.Itoa(len(t.Traced)+t.More), "new", strings.Join(first(fresh, maxLinked), "; "), "gaps", strings.Join(t.Gaps, " ")))
	}
	return x.record(ctx, id, []approvals.Put{put}, links...)
}

// byItself reports whether a request is traced because it ran just now. Of others somebody has asked, or a key
// is out.
func (x *Executor) byItself(ctx context.Context, id string) bool {
	run, err := x.runs().Run(ctx, id)
	return err == nil && run.Started && x.Now().Sub(run.Ended) < traceEvery
}

// maxLinked is how many deeds a link of the audit chain names.
const maxLinked = 40

func first(all []string, most int) []string {
	if more := len(all) - most; more > 0 {
		return append(all[:most:most], fmt.Sprintf("and %d more", more))
	}
	return all
}

// newDeeds are those that a trace did not have before, in words.
func newDeeds(before, now approvals.Trace) (fresh []string) {
	known := map[string]bool{}
	for _, t := range before.Traced {
		for _, d := range t.Deeds {
			known[t.ID()+d.Event] = true
		}
	}
	for _, t := range now.Traced {
		for _, d := range t.Deeds {
			if !known[t.ID()+d.Event] {
				fresh = append(fresh, fmt.Sprintf("%s %s by %s in %s", d.At.UTC().Format(time.RFC3339), d.Text, t.By, t.Account))
			}
		}
	}
	return fresh
}

// noteTraced notes at a target that a trace offers to contain it.
func (x *Executor) noteTraced(ctx context.Context, target, id string, expires time.Time) error {
	const most = 20
	type noted struct {
		approvals.TracedBy
		version int64
	}
	read := func() (n noted, err error) {
		n.version, err = x.runs().Find(ctx, approvals.TracedKey(target), &n.TracedBy)
		return n, err
	}
	_, err := approvals.Update(ctx, x.Store, "traces of a target", read, func(n *noted) ([]approvals.Put, error) {
		if slices.Contains(n.IDs, id) {
			return nil, errSettled
		}
		n.IDs = append(n.IDs, id)
		put := approvals.PutRow(approvals.TracedKey(target), n.version, approvals.TracedBy{IDs: n.IDs[max(0, len(n.IDs)-most):]})
		put.Expires = expires
		return []approvals.Put{put}, nil
	})
	return ignore(err, errSettled)
}

// firstLeads are whom a trace begins with: of an alert whom its finding names, of a request the same, or
// what it contains. It returns a refusal if that is nobody whose calls can be looked up.
func (x *Executor) firstLeads(ctx context.Context, id string) ([]finding.Lead, actions.SessionContext, error) {
	who := actions.SessionContext{RequestID: id, Requester: approvals.AutomaticRequester}
	alert, asked := id, x.Now()
	var p approvals.Planned
	if approvals.IsRequestID(id) {
		var err error
		if p, err = x.runs().Planned(ctx, id); err != nil {
			return nil, who, err
		}
		alert, asked, who = p.Alert, p.Asked, sessionContext(p, nil)
	}
	from := asked.Add(-traceSpan)
	var no *actions.Refusal
	if alert != "" {
		a, err := alerts.Table{Requests: x.Requests}.Get(ctx, alert)
		if err != nil && (p.ID == "" || !errors.Is(err, approvals.ErrNotFound)) {
			return nil, who, err
		}
		var f finding.Finding
		if err == nil {
			f, no = x.findSubject(ctx, a)
		}
		if err == nil && no == nil {
			if !f.First.IsZero() && f.First.Before(from) {
				from = f.First
			}
			return []finding.Lead{{Account: f.Account, Subject: f.Subject, Who: cmp.Or(f.Principal, f.Subject.Value), From: from}}, who, nil
		}
	}
	if p.ID != "" {
		if s, whose, ok := approvals.TraceSubject(p.Call()); ok {
			l := finding.Lead{Account: p.Account, Subject: s, Who: whose, From: from}
			if s.By == string(types.LookupAttributeKeyResourceName) {
				l.Of = s.Value
			}
			return []finding.Lead{l}, who, nil
		}
	}
	return nil, who, cmp.Or(no, &actions.Refusal{Reason: "what it is about makes no calls of its own"})
}

// tracer follows leads.
type tracer struct {
	x        *Executor
	who      actions.SessionContext
	sessions map[string]traceSession // by account
	known    map[string]bool         // leads
	leads    int
	found    map[string]*approvals.Traced
	seen     map[string]map[string]bool // events of each of them in this look
	led      []finding.Lead             // that are followed
	unled    int                        // that are not

	mu     sync.Mutex
	left   map[string]int // look-ups, by account and region
	broken int            // records that can't be read
	cut    []string       // whose calls were not all read, and where
	shut   []string       // regions beside the configured ones that could not be read
	gaps   []string
}

type traceSession struct {
	acct *actions.Account
	err  error
}

// follow looks up the calls of leads and of those whom they lead to, and adds what was found to what the
// trace has. It returns an error if nothing could be looked up, and may be later.
func (w *tracer) follow(ctx context.Context, leads []finding.Lead, t *approvals.Trace) error {
	for i := range t.Traced {
		old := t.Traced[i]
		w.found[old.ID()] = &old
	}
	for _, l := range append(leads, t.Leads...) {
		w.known[l.Name()] = true
	}
	w.leads, w.led = len(t.Leads), t.Leads
	leads = append(leads, t.Leads...) // what was found before goes on, whatever hides it now
	look, cancel := context.WithTimeout(ctx, traceWithin)
	defer cancel()
	for first := true; len(leads) > 0; first = false {
		deeds := w.lookUp(look, leads)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := w.sessions[leads[0].Account].err; err != nil && first { // of whom it is about
			if actions.Transient(err) {
				return err
			}
			t.Unread, _ = actions.Explain(err)
			return nil
		}
		slices.SortStableFunc(deeds, func(a, b finding.Deed) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(b.Of.By, a.Of.By)) }) // users before their keys
		for _, d := range deeds {
			w.file(d)
		}
		leads = w.next(deeds)
	}
	w.finish(ctx, t)
	t.Leads = w.led
	return nil
}

// next are the leads of deeds that are followed. Of too many first those to users and keys, then one session of
// each role by each caller, then the last: one who makes many must not hide the first.
func (w *tracer) next(deeds []finding.Deed) (leads []finding.Lead) {
	type one struct {
		finding.Lead
		rank int
	}
	var all []one
	sessions := map[string]bool{}
	for _, d := range deeds {
		for _, l := range d.Leads {
			if w.known[l.Name()] {
				continue
			}
			w.known[l.Name()] = true
			o := one{l, 0}
			if by := d.Of.ID() + " " + d.Of.By; d.Thing.Kind == source.Session {
				if o.rank = 1; sessions[by] {
					o.rank = 2
				}
				sessions[by] = true
			}
			all = append(all, o)
		}
	}
	slices.Reverse(all)
	slices.SortStableFunc(all, func(a, b one) int { return a.rank - b.rank })
	for i, o := range all {
		if o.Depth > traceDepth || w.leads >= traceLeads || i >= traceLevel {
			w.unled++
			continue
		}
		w.leads++
		leads = append(leads, o.Lead)
	}
	w.led = append(w.led, leads...)
	return leads
}

// file adds a deed to what it is about.
func (w *tracer) file(d finding.Deed) {
	of := d.Of
	if d.Call == "iam:CreateAccessKey" { // of a user who was there before, the key is what was made
		of.Kind, of.Name, of.Made = string(source.Key), d.Thing.Name+ofUser+of.Name, true
	}
	if d.Call == "iam:UpdateUser" { // who gets another name is who they were
		for _, x := range w.found {
			of.Made = of.Made || x.Made && slices.ContainsFunc(x.Deeds, func(o approvals.Deed) bool { return o.Event == d.Event })
		}
	}
	w.add(of, d.Deed)
}

const ofUser = " of user "

// foldKeys adds the keys of users who were made to them: who contains the user contains them all.
func (w *tracer) foldKeys() {
	for id, key := range w.found {
		_, name, _ := strings.Cut(key.Name, ofUser)
		user := w.found[approvals.Traced{Kind: "user", Name: name, Account: key.Account}.ID()]
		if key.Kind != string(source.Key) || user == nil || !user.Made {
			continue
		}
		for _, d := range key.Deeds {
			w.add(approvals.Traced{Kind: "user", Name: name, Account: key.Account, Contain: key.Contain, ByHand: key.ByHand}, d)
		}
		delete(w.found, id)
	}
}

// add adds a deed to what it is about, and what contains that.
func (w *tracer) add(of approvals.Traced, d approvals.Deed) {
	t := w.found[of.ID()]
	if t == nil {
		t = &of
		w.found[of.ID()] = t
	}
	t.Made = t.Made || of.Made
	if w.seen[of.ID()] == nil {
		w.seen[of.ID()] = map[string]bool{}
	}
	w.seen[of.ID()][d.Event] = true
	if slices.ContainsFunc(t.Deeds, func(o approvals.Deed) bool { return o.Event == d.Event }) {
		return
	}
	t.Deeds = append(t.Deeds, d)
	for _, c := range of.Contain {
		if !slices.ContainsFunc(t.Contain, func(o actions.Call) bool { return o.String() == c.String() }) {
			t.Contain = append(t.Contain, c)
		}
	}
	for _, text := range of.ByHand {
		if !slices.Contains(t.ByHand, text) && len(t.ByHand) < maxHandwork {
			t.ByHand = append(t.ByHand, text)
		}
	}
}

// enter opens a session that may look up, once for each account.
func (w *tracer) enter(ctx context.Context, account string) (*actions.Account, error) {
	s, ok := w.sessions[account]
	if !ok {
		if account == w.x.Org.HubAccount {
			s.err = &actions.Refusal{Reason: "Killswitch itself runs in it"}
		} else {
			s.acct, s.err = w.x.Cloud.Enter(ctx, actions.Responder, account, "", w.who, append(trail.LookupPermits(), source.LookPermits(actions.Scope{Org: w.x.Org, Account: account, Region: "*"})...))
		}
		w.sessions[account] = s
		if s.err != nil {
			why, _ := actions.Explain(s.err)
			w.note(&w.gaps, fmt.Sprintf("Account %s was not looked into: %s.", account, strings.TrimSuffix(why, ".")))
		}
	}
	return s.acct, s.err
}

// pathsOf completes the ARNs of roles that a call names without their path.
func (w *tracer) pathsOf(ctx context.Context, acct *actions.Account, leads []finding.Lead) {
	for i, l := range leads {
		if l.Of == "" || !l.Outside {
			continue
		}
		name := actions.LastPart(l.Of)
		if out, err := acct.IAM().GetRole(ctx, &iam.GetRoleInput{RoleName: &name}); err == nil {
			leads[i].Of, leads[i].Subject.Value = aws.ToString(out.Role.Arn), aws.ToString(out.Role.Arn)
		}
	}
}

// lookUp reads the calls of leads.
func (w *tracer) lookUp(ctx context.Context, leads []finding.Lead) (deeds []finding.Deed) {
	byAccount := map[string][]finding.Lead{}
	for _, l := range leads {
		byAccount[l.Account] = append(byAccount[l.Account], l)
	}
	var wg sync.WaitGroup
	for _, account := range slices.Sorted(maps.Keys(byAccount)) {
		acct, err := w.enter(ctx, account)
		if err != nil {
			continue
		}
		w.pathsOf(ctx, acct, byAccount[account])
		for _, region := range trail.AllRegions(acct) {
			wg.Go(func() {
				for _, l := range byAccount[account] {
					found, ok := w.lookUpIn(ctx, acct, region, l)
					w.mu.Lock()
					deeds = append(deeds, found...)
					w.mu.Unlock()
					if !ok {
						return
					}
				}
			})
		}
	}
	wg.Wait()
	return deeds
}

// lookUpIn reads the calls of a lead in one region, as far as the budget goes. It returns false if the region
// can't be read.
func (w *tracer) lookUpIn(ctx context.Context, acct *actions.Account, region string, l finding.Lead) (deeds []finding.Deed, ok bool) {
	place := acct.ID + "/" + region
	w.mu.Lock()
	if _, begun := w.left[place]; !begun {
		w.left[place] = traceCalls
	}
	configured := slices.Contains(trail.Regions(acct), region) // of the others it is told that they can't be read
	b := trail.Budget{Pages: min(tracePages, w.left[place]), Patient: configured}
	if l.Depth == 0 {
		b.Pages = min(4*tracePages, w.left[place])
	}
	w.mu.Unlock()
	if b.Pages == 0 || ctx.Err() != nil {
		w.note(&w.cut, l.Who+" in "+region)
		return nil, true
	}
	pages := 0
	var calls [][]finding.Deed // the newest first
	err := trail.Lookup(ctx, acct, region, l.Subject, l.From.Truncate(time.Second), w.x.Now(), b, func(es []types.Event) bool {
		pages++
		for _, e := range es {
			if aws.ToString(e.CloudTrailEvent) == "" || !finding.TellsDeed(aws.ToString(e.EventSource), aws.ToString(e.EventName)) {
				continue
			}
			found, err := w.x.Findings.Deeds(l, *e.CloudTrailEvent)
			if err != nil {
				w.mu.Lock()
				w.broken++
				w.mu.Unlock()
			}
			if l.Of != "" && l.Depth == 0 { // who uses the role is what is asked, not found
				for i := range found {
					found[i].Of.Kind = ""
				}
			}
			calls = append(calls, found)
		}
		return true
	})
	for _, found := range slices.Backward(calls) {
		deeds = append(deeds, found...)
	}
	w.mu.Lock()
	w.left[place] -= pages
	w.mu.Unlock()
	if cut := (*trail.CutError)(nil); errors.As(err, &cut) {
		w.note(&w.cut, l.Who+" in "+region)
	} else if err != nil {
		if !configured { // perhaps the organization forbids it
			w.note(&w.shut, region)
			return deeds, false
		}
		why, _ := actions.Explain(err)
		w.note(&w.gaps, fmt.Sprintf("Region %s of account %s could not be read: %s.", region, acct.ID, strings.TrimSuffix(why, ".")))
		return deeds, false
	}
	return deeds, true
}

func (w *tracer) note(list *[]string, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Contains(*list, text) {
		*list = append(*list, text)
	}
}

// finish orders what was found, what was made first, and looks whether it is there.
func (w *tracer) finish(ctx context.Context, t *approvals.Trace) {
	ahead := func(a, b bool) int { return map[bool]int{true: 1}[b] - map[bool]int{true: 1}[a] }
	w.foldKeys()
	t.Traced, t.More = nil, 0
	for id, x := range w.found {
		if x.Kind == "" {
			continue
		}
		// CloudTrail is as exact as a second: what makes something comes first.
		slices.SortStableFunc(x.Deeds, func(a, b approvals.Deed) int { return cmp.Or(a.At.Compare(b.At), ahead(a.OfItself(), b.OfItself())) })
		x.Made = x.Made && !remade(*x)
		x.Deeds = trimmed(x.Deeds)
		x.More = max(x.More, len(w.seen[id])-len(x.Deeds))
		x.Contain = best(*x)
		t.Traced = append(t.Traced, *x)
	}
	slices.SortFunc(t.Traced, func(a, b approvals.Traced) int { // what can act before the rest, however much there is of it
		return cmp.Or(ahead(a.Made, b.Made), ahead(len(a.Contain) > 0, len(b.Contain) > 0), a.Deeds[0].At.Compare(b.Deeds[0].At), cmp.Compare(a.ID(), b.ID()))
	})
	if t.More = max(0, len(t.Traced)-maxTraced); t.More > 0 {
		t.Traced = t.Traced[:maxTraced]
	}
	w.lookWhether(ctx, t)
	t.Gaps = w.gaps
	if len(w.shut) > 0 {
		slices.Sort(w.shut)
		t.Gaps = append(t.Gaps, "Regions beside aws.regions that can't be read: "+strings.Join(w.shut, ", ")+".")
	}
	if n := len(w.cut); n > 0 {
		slices.Sort(w.cut)
		t.Gaps = append(t.Gaps, fmt.Sprintf("Not all calls were read, so that older ones may be missing: of %s.", strings.Join(first(w.cut, 5), ", ")))
	}
	if w.unled > 0 {
		t.Gaps = append(t.Gaps, fmt.Sprintf("Principals and sessions that were not followed any more: %d.", w.unled))
	}
	if w.broken > 0 {
		t.Gaps = append(t.Gaps, fmt.Sprintf("Calls that could not be read: %d.", w.broken))
	}
}

// remade reports whether something of the name was deleted before it was made: what production had.
func remade(t approvals.Traced) bool {
	i := slices.IndexFunc(t.Deeds, func(d approvals.Deed) bool { return d.OfItself() })
	return i > 0 && slices.ContainsFunc(t.Deeds[:i], func(d approvals.Deed) bool { return d.Call == "iam:DeleteUser" || d.Call == "iam:DeleteRole" })
}

// trimmed are the first and the last of deeds, with the last one about the whole.
func trimmed(all []approvals.Deed) []approvals.Deed {
	over := len(all) - maxDeeds
	if over <= 0 {
		return all
	}
	kept := slices.Concat(all[:maxDeeds/2], all[maxDeeds/2+over:])
	for i, d := range slices.Backward(all) {
		if d.OfItself() {
			if i >= maxDeeds/2 && i < maxDeeds/2+over {
				kept[maxDeeds/2-1] = d
			}
			break
		}
	}
	return kept
}

// whole are the actions that contain all of what was made for the attacker alone, so that nothing needs care.
var whole = map[string]actions.Name{"user": actions.QuarantineUser, "role": actions.DetachPolicies}

// best are the calls that contain something, two at most, the best first.
func best(t approvals.Traced) []actions.Call {
	all := slices.DeleteFunc(slices.Clone(t.Contain), func(c actions.Call) bool { return c.Action != whole[t.Kind] })
	if t.Made && len(all) > 0 {
		return all[:1]
	}
	return t.Contain[:min(len(t.Contain), 2)]
}

// lookWhether reads of each thing whether it is there.
func (w *tracer) lookWhether(ctx context.Context, t *approvals.Trace) {
	ctx, cancel := context.WithTimeout(ctx, traceLook)
	defer cancel()
	type one struct {
		d    *approvals.Deed
		acct *actions.Account
	}
	var all []one
	for i := range t.Traced {
		for j := range t.Traced[i].Deeds {
			d := &t.Traced[i].Deeds[j]
			if !d.Thing.Kind.Readable() {
				continue
			}
			acct, err := w.enter(ctx, t.Traced[i].Account)
			if d.Unread = ""; err != nil {
				d.Presence, d.Unread = "", "the account was not looked into"
				continue
			}
			all = append(all, one{d, acct})
		}
	}
	_ = actions.Parallel(len(all), traceAtOnce, func(i int) error { // each tells its own error
		d := all[i].d
		var err error
		if d.Presence, err = source.Look(ctx, all[i].acct, d.Thing, w.x.Now()); err != nil {
			d.Unread, _ = actions.Explain(err)
			w.x.Log.InfoContext(ctx, "not read whether a thing is there", slog.String("request_id", w.who.RequestID), slog.String("kind", string(d.Thing.Kind)), slog.String("error", err.Error()))
		}
		return nil
	})
}
