package trail

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
)

// Whose returns the subject in words.
func (a Activity) Whose() string {
	switch types.LookupAttributeKey(a.By) {
	case types.LookupAttributeKeyAccessKeyId:
		return "access key " + a.Subject
	case types.LookupAttributeKeyUsername:
		return "user " + a.Subject
	case types.LookupAttributeKeyResourceName:
		return "calls that name " + a.Subject
	case types.LookupAttributeKeyEventId, types.LookupAttributeKeyEventName, types.LookupAttributeKeyEventSource, types.LookupAttributeKeyReadOnly, types.LookupAttributeKeyResourceType:
	}
	return a.Subject
}

// DeniedShare returns the number of denied calls and their share, in words.
func (a Activity) DeniedShare() string {
	switch {
	case a.Denied == 0:
		return "0"
	case a.Denied*100 < a.Total:
		return fmt.Sprintf("%d (under 1%%)", a.Denied)
	}
	return fmt.Sprintf("%d (%d%%)", a.Denied, a.Denied*100/max(a.Total, 1))
}

// Words returns how much of the region was read.
func (r RegionActivity) Words() string {
	switch {
	case r.Error != "" && r.Total == 0:
		return "not read: " + r.Error
	case r.Error != "":
		return fmt.Sprintf("%d, the rest not read: %s", r.Total, r.Error)
	case r.Cut:
		return fmt.Sprintf("%d, the newest only", r.Total)
	}
	return fmt.Sprint(r.Total)
}

// Gaps returns what is missing in this look-up.
func (a Activity) Gaps() []string {
	var gaps []string
	if a.Cut != "" {
		gaps = append(gaps, "Not all calls were read: "+a.Cut+".")
	}
	if n := a.unreadRegions(); n > 0 {
		gaps = append(gaps, fmt.Sprintf("Regions that could not be read, or not to the end: %d of %d.", n, len(a.Regions)))
	}
	if a.Broken > 0 {
		gaps = append(gaps, fmt.Sprintf("Calls whose details could not be read in full: %d. They may be missing in the lists and among the denied.", a.Broken))
	}
	return gaps
}

func (a Activity) unreadRegions() int {
	n := 0
	for _, r := range a.Regions {
		if r.Error != "" {
			n++
		}
	}
	return n
}

// Limits returns what is missing in every look-up: CloudTrail delivers "within an
// average of about 5 minutes of an API call. This time is not guaranteed", and
// the Event history is of "management events".
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/get-and-view-cloudtrail-log-files.html
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events.html
func (Activity) Limits() []string {
	return []string{"CloudTrail lags by about 5 minutes, at times by 15 or more: the newest calls may be missing.",
		"It lists management events only: reading or writing objects in S3, for instance, is not among them."}
}

// maxTitle is SNS's limit on a subject: 100 characters of ASCII.
const maxTitle = 100

// Title returns the activity in one line of at most 100 ASCII characters.
func (a Activity) Title() string {
	end := fmt.Sprintf("%d calls in %s, denied %s", a.Total, hours(a.To.Sub(a.From)), a.DeniedShare())
	switch {
	case a.Unread():
		end = "could not be read"
	case a.Cut != "" || a.unreadRegions() > 0:
		end = "at least " + end
	}
	end = ": " + end
	short := cutMiddle([]rune("Activity of "+a.Whose()), maxTitle-len(end)-4) // an ellipsis in ASCII is longer, and the subject may have one
	return ascii(strings.ReplaceAll(short, "…", "...")) + end
}

// ascii replaces characters that are not printable ASCII by a question mark.
func ascii(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
}

func hours(d time.Duration) string { return fmt.Sprintf("%d h", int(d.Hours())) }

func moment(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// Text returns the activity for people, in plain text.
func (a Activity) Text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Recent activity of %s\n%s to %s, from CloudTrail's Event history\n\n", a.Whose(), moment(a.From), moment(a.To))
	switch {
	case a.Unread():
		b.WriteString("It could not be read in any region.\n")
	case a.Total == 0:
		b.WriteString("No calls were found.\n")
	default:
		facts := [][2]string{{"Calls", fmt.Sprint(a.Total)}, {"Denied", a.DeniedShare()}}
		if !a.First.IsZero() {
			facts = append(facts, [2]string{"First seen", moment(a.First)}, [2]string{"Last seen", moment(a.Last)})
		}
		columns(&b, facts)
	}
	b.WriteString("\nCalls by region\n")
	var regions [][2]string
	for _, r := range a.Regions {
		regions = append(regions, [2]string{"  " + r.Name, r.Words()})
	}
	columns(&b, regions)
	for _, l := range a.Lists() {
		fmt.Fprintf(&b, "\n%s\n", l.Head())
		width := len(fmt.Sprint(l.Most[0].N))
		for _, c := range l.Most {
			fmt.Fprintf(&b, "  %*d  %s\n", width, c.N, c.Name)
		}
	}
	b.WriteByte('\n')
	for _, n := range append(a.Gaps(), a.Limits()...) {
		b.WriteString(n + "\n")
	}
	return b.String()
}

// List is a Top with its heading.
type List struct {
	Title string
	Top
}

// Head returns the heading, with the number of values if not all are listed.
func (l List) Head() string {
	if l.Kinds > len(l.Most) {
		return fmt.Sprintf("%s (%d of %d)", l.Title, len(l.Most), l.Kinds)
	}
	return l.Title
}

// Lists returns the non-empty Tops in display order.
func (a Activity) Lists() []List {
	var lists []List
	for _, l := range []List{{"Calls", a.Calls}, {"Roles assumed", a.Roles}, {"Source IPs", a.Addresses}, {"Resources", a.Resources}, {"Resource types", a.Types}, {"User agents", a.Agents}} {
		if len(l.Most) > 0 {
			lists = append(lists, l)
		}
	}
	return lists
}

// columns writes two aligned columns.
func columns(b *strings.Builder, rows [][2]string) {
	width := 0
	for _, r := range rows {
		width = max(width, len(r[0]))
	}
	for _, r := range rows {
		fmt.Fprintf(b, "%-*s  %s\n", width, r[0], r[1])
	}
}
