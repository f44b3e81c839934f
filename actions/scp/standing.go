package scp

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/killswitch-chatops/killswitch/actions"
)

// What goes on although data is protected: S3 carries out lifecycle rules itself, and principals of other
// accounts are not under this account's policies. It is read for people alone, within these limits.
const (
	standingWithin  = 3 * time.Second
	standingBuckets = 500
	standingKeys    = 500 // of all regions together
	standingGrants  = 10  // pages of a key, of 100
	standingAtOnce  = 16
	standingText    = 140 // characters of a list: a card shows 220 of a line
)

// protecting reports whether a built-in document is one of those that protect data.
func protecting(builtin string) bool { return builtin == protectDataSCP || builtin == protectVersions }

// standingPermits are those of [surveyStanding]: in the account of a call with such a document, and for Anything.
// A look, whose scope is any call in one account, reads nothing for people. The listings take no resource.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_awskeymanagementservice.html
func standingPermits(s actions.Scope) []actions.Statement {
	document, _ := documentOf(s.Org, documentName(s.Call))
	protects := s.InTarget() && protecting(builtinOf(s.Org, document))
	if anything := s.Any() && s.Account == "*"; !anything && !protects {
		return nil
	}
	s.Region = "*"
	return []actions.Statement{
		{Actions: []string{"kms:ListAliases", "kms:ListKeys", "s3:ListAllMyBuckets"}, Resources: []string{"*"}},
		{Actions: []string{"kms:ListGrants"}, Resources: []string{s.ARN("kms", "key/*")}},
		{Actions: []string{"s3:GetBucketPolicy", "s3:GetLifecycleConfiguration"}, Resources: []string{s.ARN("s3", "*")}},
	}
}

// holder is a bucket or a key, and what of it goes on.
type holder struct {
	name, region string
	id           string   // of a key
	expires      *expiry  // nil if objects don't
	lets         []string // who of other accounts is let in, in words
	strange      []string // those of them that the configuration does not name
	err          error
	late         bool // it was not read in time, or not to its end
}

// standing is what was found of one kind.
type standing struct {
	noun     string
	holders  []holder // that are looked at
	total    int      // of all that are listed
	more     bool     // there are more than these
	unlisted []string // regions, with the cause
}

// surveyor reads in the target's account.
type surveyor struct {
	acct  *actions.Account
	known []string // accounts, and the organization, that the configuration names
}

// surveyStanding adds to a plan for people what goes on in the account. arn is the account's, in Organizations.
func surveyStanding(ctx context.Context, acct *actions.Account, arn string, p *actions.Plan) {
	ctx, cancel := context.WithTimeout(ctx, standingWithin)
	defer cancel()
	member, err := acct.Target(ctx)
	if err != nil {
		cause, _ := actions.Explain(err)
		p.Warnings = append(p.Warnings, "Which lifecycle rules, bucket policies and grants of keys go on could not be read ("+actions.Clean(cause)+"): look by hand.")
		return
	}
	o := acct.Org
	v := surveyor{member, append([]string{member.ID, o.HubAccount, o.ManagementAccount, o.PolicyAccount}, o.ProtectedAccounts...)}
	v.known = slices.AppendSeq(v.known, maps.Values(o.Accounts))
	if parts := strings.Split(arn, "/"); len(parts) == 3 { // …:account/o-exampleorgid/ACCOUNT
		v.known = append(v.known, parts[1])
	}
	var buckets, keys standing
	var wg sync.WaitGroup
	wg.Go(func() { buckets = v.buckets(ctx) })
	wg.Go(func() { keys = v.keys(ctx) })
	wg.Wait()
	told := len(p.Warnings) + len(p.Facts)
	buckets.tellExpiries(p)
	buckets.tellLets(p, "Bucket policies", "lets in", "let in")
	keys.tellLets(p, "Grants of keys", "has grants for", "have grants for")
	buckets.tellUnread(p)
	keys.tellUnread(p)
	if told == len(p.Warnings)+len(p.Facts) {
		p.Facts = append(p.Facts, actions.Fact{Label: "What goes on", Text: fmt.Sprintf("no lifecycle rule, bucket policy or grant to tell of, in %s and %s",
			count(buckets.total, "bucket", "buckets"), count(keys.total, "key", "keys"))})
	}
}

// readEach reads what there is time for.
func readEach(ctx context.Context, hs []holder, read func(*holder) error) {
	_ = actions.Parallel(len(hs), standingAtOnce, func(i int) error {
		h := &hs[i]
		if h.err = ctx.Err(); h.err == nil {
			h.err = read(h)
		}
		h.late = h.late || h.err != nil && ctx.Err() != nil
		return nil
	})
}

// letIn notes who of others is let in.
func (v surveyor) letIn(h *holder, who func(expected []string) []string) {
	h.lets, h.strange = who([]string{v.acct.ID}), who(v.known)
}

// tellExpiries tells of the buckets whose objects S3 deletes, the soonest first.
func (s standing) tellExpiries(p *actions.Plan) {
	var expiring []holder
	for _, h := range s.holders {
		if h.expires != nil {
			expiring = append(expiring, h)
		}
	}
	slices.SortStableFunc(expiring, func(a, b holder) int {
		return cmp.Or(a.expires.days-b.expires.days, strings.Compare(a.name, b.name))
	})
	var soon, later []string
	for _, h := range expiring {
		if h.expires.soon() {
			soon = append(soon, h.name+h.expires.text())
		} else {
			later = append(later, h.name+h.expires.text())
		}
	}
	if len(soon) > 0 { // before all others: it goes on deleting
		p.Warnings = append([]string{fmt.Sprintf("Lifecycle rules go on deleting within %d days, in %s: %s.", soonDays, count(len(soon), "bucket", "buckets"), someOf(soon, standingText))}, p.Warnings...)
	}
	if len(later) > 0 {
		p.Facts = append(p.Facts, actions.Fact{Label: "Lifecycle rules", Text: count(len(later), "bucket expires", "buckets expire") + " objects: " + someOf(later, standingText)})
	}
}

// tellLets tells who of other accounts is let in: whom the configuration does not name as a warning.
func (s standing) tellLets(p *actions.Plan, label, one, many string) {
	var known, strange []string
	one, many = s.noun+" "+one, s.noun+"s "+many
	for _, h := range s.holders {
		if len(h.strange) > 0 {
			strange = append(strange, h.name+": "+strings.Join(h.strange, ", "))
		}
		if ours := slices.DeleteFunc(slices.Clone(h.lets), func(who string) bool { return slices.Contains(h.strange, who) }); len(ours) > 0 {
			known = append(known, h.name+": "+strings.Join(ours, ", "))
		}
	}
	if n := len(strange); n > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s others than the configuration names: %s.", count(n, one, many), someOf(strange, standingText)))
	}
	if n := len(known); n > 0 {
		p.Facts = append(p.Facts, actions.Fact{Label: label, Text: fmt.Sprintf("%s other accounts: %s", count(n, one, many), someOf(known, standingText))})
	}
}

// tellUnread tells what nobody knows of.
func (s standing) tellUnread(p *actions.Plan) {
	var refused []string
	cause, read := "", len(s.holders)
	for _, h := range s.holders {
		switch {
		case h.late:
			read--
		case h.err != nil:
			refused = append(refused, h.name)
			if cause == "" {
				cause, _ = actions.Explain(h.err)
			}
		}
	}
	if n := len(refused); n > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("%s could not be read, look by hand: %s (%s).", count(n, s.noun, s.noun+"s"), someOf(refused, standingText), actions.Clean(cause)))
	}
	if len(s.unlisted) > 0 {
		p.Warnings = append(p.Warnings, fmt.Sprintf("The %ss could not be listed, look by hand: %s.", s.noun, actions.Clip(strings.Join(s.unlisted, ", "))))
	}
	if read < s.total || s.more {
		of := fmt.Sprint(s.total)
		if s.more {
			of = "more than " + of
		}
		p.Warnings = append(p.Warnings, fmt.Sprintf("Not all were read: %d of %s %ss.", read, of, s.noun))
	}
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// soonDays is how soon a rule deletes if it is to be warned of.
const soonDays = 7

// expiry is what a lifecycle rule deletes, and when.
type expiry struct {
	rule, only string
	versions   bool // that were overwritten, alone
	days       int
	on         time.Time // instead of days
	others     int       // rules of the bucket that delete, too
}

// soon holds for a date, too: then all objects go at once, those of before too.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html#intro-lifecycle-rules-date
func (e expiry) soon() bool { return e.days <= soonDays }

// expiryOf returns the expiry that most is to be feared of: of those soon one of all objects, then the soonest.
func expiryOf(rules []types.LifecycleRule) *expiry {
	var all []expiry
	for _, r := range rules {
		if r.Status != types.ExpirationStatusEnabled {
			continue
		}
		e, deletes := expiry{rule: free(aws.ToString(r.ID)), only: onlyOf(r)}, false
		if x := r.Expiration; x != nil && (x.Days != nil || x.Date != nil) { // else it removes delete markers
			deletes, e.days, e.on = true, int(aws.ToInt32(x.Days)), aws.ToTime(x.Date)
		}
		if x := r.NoncurrentVersionExpiration; x != nil && (!deletes || int(aws.ToInt32(x.NoncurrentDays)) < e.days) {
			deletes, e.versions, e.days = true, true, int(aws.ToInt32(x.NoncurrentDays))
		}
		if deletes {
			all = append(all, e)
		}
	}
	if len(all) == 0 {
		return nil
	}
	rank := func(e expiry) int {
		switch {
		case !e.soon():
			return 2
		case e.only != "":
			return 1
		}
		return 0
	}
	first := slices.MinFunc(all, func(a, b expiry) int { return cmp.Or(rank(a)-rank(b), a.days-b.days) })
	first.others = len(all) - 1
	return &first
}

// onlyOf says which objects a rule is for; "" if for all.
func onlyOf(r types.LifecycleRule) string {
	prefix, f := aws.ToString(r.Prefix), r.Filter //nolint:staticcheck // rules of before are still read so
	if f == nil {
		f = &types.LifecycleRuleFilter{}
	}
	if and := f.And; and != nil {
		prefix = cmp.Or(prefix, aws.ToString(and.Prefix))
	}
	prefix = cmp.Or(prefix, aws.ToString(f.Prefix))
	switch {
	case prefix != "":
		return " under " + free(prefix)
	case f.And != nil, f.Tag != nil, f.ObjectSizeGreaterThan != nil, f.ObjectSizeLessThan != nil:
		return " (some objects)"
	}
	return ""
}

// free is text that whoever holds the account writes, short.
func free(text string) string { return shorten(actions.Clean(text), standingText/3) }

func (e expiry) text() string {
	when := " after " + count(e.days, "day", "days")
	if !e.on.IsZero() {
		when = " on " + e.on.UTC().Format(time.DateOnly)
	}
	what, others := e.only, ""
	if e.versions {
		what += " (old versions)"
	}
	if e.others > 0 {
		others = fmt.Sprintf(" and %d more", e.others)
	}
	return when + what + " (rule " + e.rule + others + ")"
}
