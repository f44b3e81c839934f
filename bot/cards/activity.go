package cards

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// maxLine is how many characters of preformatted text a phone shows in a line.
const maxLine = 44

// Activity tells, in the thread of a request or an alert, what its target did lately.
func Activity(id string, r approvals.Report) Message {
	a := r.Activity
	if r.Unread != "" || a.Unread() {
		return activityUnread(id, r)
	}
	var b []slack.Block
	b = append(b, slack.NewHeaderBlock(plain(Untrusted("Recent activity: "+a.Whose()).Plain(maxHeader))), section("activity", activityFacts(a)))
	if a.Total > 0 || len(a.Regions) > 0 {
		b = append(b, section("activity-regions", "*Calls by region*\n"+activityRegions(a.Regions)))
	}
	for i, l := range a.Lists() {
		b = append(b, table(fmt.Sprintf("activity-list-%d", i), l))
	}
	b = append(b, slack.NewContextBlock("activity-limits", mrkdwn(strings.Join(a.Limits(), " "))))
	return Message{Text: activityText(id, a.Title()), Blocks: b}
}

func activityText(id, text string) string { return id + ": " + Untrusted(text).String() }

// activityFacts are the numbers, and what is missing in them.
func activityFacts(a trail.Activity) string {
	var s []string
	if a.Total == 0 {
		s = append(s, "*No calls were found.*")
	} else {
		s = append(s, fmt.Sprintf("*Calls* %d · *Denied* %s", a.Total, a.DeniedShare()))
	}
	if !a.First.IsZero() {
		s = append(s, "*First seen* "+day(a.First), "*Last seen* "+day(a.Last))
	}
	s = append(s, fmt.Sprintf("*Looked at* %s to %s", day(a.From), day(a.To)))
	for _, gap := range a.Gaps() {
		s = append(s, fmt.Sprintf("*%s*", Untrusted(Untrusted(gap).Plain(maxCause))))
	}
	return strings.Join(s, "\n")
}

// activityRegions lists what could not be read, then where most happened; the
// regions without calls share a line.
func activityRegions(regions []trail.RegionActivity) string {
	var quiet, items []string
	sorted := slices.SortedStableFunc(slices.Values(regions), func(x, y trail.RegionActivity) int {
		if (x.Error != "") != (y.Error != "") {
			return cmp.Compare(y.Error, x.Error) // none is the least
		}
		return cmp.Compare(y.Total, x.Total)
	})
	for _, r := range sorted {
		if r.Total == 0 && r.Error == "" {
			quiet = append(quiet, r.Name)
		} else {
			items = append(items, line(r.Name+": "+r.Words()))
		}
	}
	text := listed(items)
	if len(quiet) > 0 {
		text = strings.TrimSpace(text + "\n" + "No calls in " + Untrusted(strings.Join(quiet, ", ")).String())
	}
	return text
}

// table is one list in lines that a phone does not wrap.
func table(id string, l trail.List) slack.Block {
	width := 0
	for _, c := range l.Most {
		width = max(width, len(fmt.Sprint(c.N)))
	}
	var lines []string
	for _, c := range l.Most {
		lines = append(lines, fmt.Sprintf("%*d  %s", width, c.N, shorten(inShort(line(c.Name)), maxLine-width-2)))
	}
	return preformatted(id, l.Head(), strings.Join(lines, "\n"))
}

// preformatted is a bold heading over monospaced text. Rich text is not parsed,
// so nothing in it is escaped. https://docs.slack.dev/reference/block-kit/blocks/rich-text-block
func preformatted(id, head, text string) slack.Block {
	heading := slack.NewRichTextSection(slack.NewRichTextSectionTextElement(head, &slack.RichTextSectionTextStyle{Bold: true}))
	return slack.NewRichTextBlock(id, heading, &slack.RichTextPreformatted{Type: slack.RTEPreformatted, Elements: []slack.RichTextSectionElement{slack.NewRichTextSectionTextElement(text, nil)}})
}

// inShort writes a role as a target is typed: of its ARN, the account and the
// name tell which it is.
func inShort(name string) string {
	if _, account, _, role, ok := actions.SplitRoleARN(name); ok {
		return account + "/" + role
	}
	return name
}

// shellWord is what can be copied into a shell without a second thought.
var shellWord = actions.NewPattern(`^[A-Za-z0-9][A-Za-z0-9_./:@+-]*$`)

// activityUnread says why there is nothing to tell, and how to look by hand.
func activityUnread(id string, r approvals.Report) Message {
	a := r.Activity
	by, value := "AccessKeyId", "VALUE"
	if shellWord.MatchString(a.By) && shellWord.MatchString(a.Subject) {
		by, value = a.By, a.Subject
	}
	why := "*It could not be read in any region.*\n" + activityRegions(a.Regions)
	if r.Unread != "" {
		why = "*It could not be read:* " + Untrusted(sentence(Untrusted(r.Unread).Plain(maxCause))).String()
	}
	if approvals.IsRequestID(id) {
		why += "\nThis changes nothing of what was contained."
	}
	hand := fmt.Sprintf("aws cloudtrail lookup-events --region REGION --lookup-attributes AttributeKey=%s,AttributeValue=%s", by, value)
	return Message{
		Text: activityText(id, "the recent activity could not be read. Look it up by hand."),
		Blocks: []slack.Block{
			slack.NewHeaderBlock(plain("Recent activity: not read")),
			section("activity", why),
			preformatted("activity-by-hand", "Look it up by hand, in each region", hand),
			slack.NewContextBlock("activity-limits", mrkdwn("Or in the console: CloudTrail, Event history. "+strings.Join(a.Limits(), " "))),
		},
	}
}
