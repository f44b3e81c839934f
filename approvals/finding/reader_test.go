package finding

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
)

// edited is a sample with values set at paths ("detail.resource.tags.0.key"); nil
// takes away what is there.
func edited(t testing.TB, name string, changes map[string]any) Event {
	t.Helper()
	var top any
	if err := json.Unmarshal(event(t, name), &top); err != nil {
		t.Fatal(err)
	}
	for path, value := range changes {
		keys := strings.Split(path, ".")
		at := top
		for _, key := range keys[:len(keys)-1] {
			if list, ok := at.([]any); ok {
				i, _ := strconv.Atoi(key)
				at = list[i]
				continue
			}
			at = at.(map[string]any)[key]
		}
		last := keys[len(keys)-1]
		switch m := at.(type) {
		case map[string]any:
			if value == nil {
				delete(m, last)
			} else {
				m[last] = value
			}
		case []any:
			i, _ := strconv.Atoi(last)
			m[i] = value
		default:
			t.Fatalf("no %s in %s", path, name)
		}
	}
	body, err := json.Marshal(top)
	if err != nil {
		t.Fatal(err)
	}
	return Event{Body: body}
}

// one reads an event that holds one alert.
func one(t testing.TB, r Reader, e Event) Finding {
	t.Helper()
	alerts, err := r.Read(e)
	if err != nil || len(alerts) != 1 {
		t.Fatalf("%d alerts, %v", len(alerts), err)
	}
	return alerts[0]
}

func TestEnvelope(t *testing.T) {
	const sample = "guardduty_ec2_minimal.json"
	for name, tt := range map[string]struct {
		body   string
		edit   map[string]any
		source Source
		cause  string // of *Malformed; empty for ErrIgnored
	}{
		"nothing":               {body: " ", cause: "not JSON, 1 bytes"},
		"text":                  {body: `"x"`, cause: "is not an object"},
		"null":                  {body: "null", cause: "source is missing"},
		"two documents":         {body: "{} {}", cause: "more than one JSON document, 5 bytes"},
		"NUL":                   {body: "{}\x00", cause: "more than one JSON document"},
		"keys in another case":  {body: `{"Source":"aws.guardduty","Detail-Type":"GuardDuty Finding"}`, cause: "source is missing; detail-type is missing"},
		"source not a text":     {edit: map[string]any{"source": []string{"aws.guardduty"}}, cause: "source is not a text"},
		"unlisted source":       {edit: map[string]any{"source": "aws.ec2"}},
		"source in other case":  {edit: map[string]any{"source": "AWS.GuardDuty"}},
		"unlisted detail type":  {edit: map[string]any{"detail-type": "GuardDuty Malware Protection Resource Status Active"}},
		"unlisted, no account":  {edit: map[string]any{"source": "aws.ec2", "account": nil}},
		"no id":                 {edit: map[string]any{"id": nil}, source: GuardDuty, cause: "id is missing"},
		"no account":            {edit: map[string]any{"account": ""}, source: GuardDuty, cause: "account is missing"},
		"account of 11 digits":  {edit: map[string]any{"account": "22222222222"}, source: GuardDuty, cause: "account is not an account's ID"},
		"account with newline":  {edit: map[string]any{"account": "222222222222\n"}, source: GuardDuty, cause: "account is not an account's ID"},
		"region no region":      {edit: map[string]any{"region": "us-east-1/../x"}, source: GuardDuty, cause: "region is not a region"},
		"time no time":          {edit: map[string]any{"time": "yesterday"}, source: GuardDuty, cause: "time is not a time"},
		"no time at all":        {edit: map[string]any{"time": nil}, source: GuardDuty, cause: "time is missing"},
		"no detail":             {edit: map[string]any{"detail": nil}, source: GuardDuty, cause: "detail is missing"},
		"detail a list":         {edit: map[string]any{"detail": []any{}}, source: GuardDuty, cause: "detail is not an object"},
		"detail broken text":    {edit: map[string]any{"detail": `{"id":`}, source: GuardDuty, cause: "detail is a text, and not JSON, 6 bytes"},
		"detail text of a list": {edit: map[string]any{"detail": "[]"}, source: GuardDuty, cause: "detail is not an object"},
	} {
		t.Run(name, func(t *testing.T) {
			e := Event{Body: []byte(tt.body)}
			if tt.edit != nil {
				e = edited(t, sample, tt.edit)
			}
			alerts, err := Reader{Org: org}.Read(e)
			m, bad := errors.AsType[*Malformed](err)
			switch {
			case len(alerts) != 0:
				t.Fatalf("read %+v", alerts)
			case tt.cause == "":
				if !errors.Is(err, ErrIgnored) || bad {
					t.Fatalf("%v, want ignored", err)
				}
			case !bad || !strings.Contains(m.Cause, tt.cause) || m.Source != tt.source:
				t.Fatalf("%v of %q, want %q of %q", err, m.Source, tt.cause, tt.source)
			}
		})
	}
}

func TestMalformedTellsNoContent(t *testing.T) {
	e := edited(t, "guardduty_iam_persistence-akia.json", map[string]any{
		"id":                           strings.Repeat("e\u202e\n", 200),
		"detail.severity":              "SECRET",
		"detail.updatedAt":             "SECRET",
		"detail.region":                "SECRET",
		"detail.service.archived":      "SECRET",
		"detail.resource.resourceType": []string{"SECRET"},
	})
	_, err := Reader{Org: org}.Read(e)
	m, bad := errors.AsType[*Malformed](err)
	if !bad || strings.Contains(m.Error(), "SECRET") || !strings.Contains(m.Cause, "detail.severity is not a number") {
		t.Errorf("%v", err)
	}
	if n := utf8.RuneCountInString(m.EventID); n != maxEventID || strings.ContainsAny(m.EventID, "\u202e\n") {
		t.Errorf("event ID of %d characters: %q", n, m.EventID)
	}
	if m.Source != GuardDuty {
		t.Errorf("source %q", m.Source)
	}
}

func TestMalformedTellsNoKeys(t *testing.T) {
	e := edited(t, "guardduty_iam_persistence-akia.json", map[string]any{"detail.service.action.awsApiCallAction.affectedResources": map[string]any{"SECRET": []any{}, "SECRET2": []any{}}})
	_, err := Reader{Org: org}.Read(e)
	m, bad := errors.AsType[*Malformed](err)
	if !bad || m.Cause != "detail.service.action.awsApiCallAction.affectedResources is not a text" {
		t.Error(err)
	}
}

func TestDetailAsText(t *testing.T) {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(event(t, "guardduty_iam_exfil-outside.json"), &top); err != nil {
		t.Fatal(err)
	}
	top["detail"], _ = json.Marshal(string(top["detail"]))
	body, _ := json.Marshal(top)
	exfilOutside.compare(t, one(t, Reader{Org: org}, Event{Body: body}))
}

func TestArrayPartsAreTwins(t *testing.T) {
	var parts []json.RawMessage
	if err := json.Unmarshal(event(t, "hostile_array_two-events.json"), &parts); err != nil {
		t.Fatal(err)
	}
	a := one(t, Reader{Org: org}, Event{Body: parts[0]})
	twin := samples["guardduty_iam_exfil-inside.json"]
	twin.names = []string{"222222222222/eu-west-1/8e9452bf2566d456db63fe95a1b91b65"}
	twin.confirmation.ID, twin.link = "8e9452bf2566d456db63fe95a1b91b65", "fId=8e9452bf2566d456db63fe95a1b91b65"
	twin.compare(t, a)
}

func TestMarks(t *testing.T) {
	r := Reader{Org: org, Routing: Routing{Routes: []Route{{Match: Match{Source: GuardDuty}}}}}
	const name = "222222222222/us-east-1/65a43b58880d17fd4fa2e2766537c0fe"
	for label, tt := range map[string]struct {
		source, drill string
		file          string
		mark          Mark
		names         []string
		offers        int
		shown         bool // with and without mock sources
	}{
		"real":         {source: "aws.guardduty", names: []string{name, "key/AKIACIBUILDA2EXAMPLE"}, offers: 2, shown: true},
		"mock":         {source: "awsmock.guardduty", mark: Mock, names: []string{"mock/" + name, "mock/key/AKIACIBUILDA2EXAMPLE"}, offers: 2},
		"drill":        {source: "aws.guardduty", drill: "n1", mark: Drill, names: []string{"drill/n1/" + name, "drill/n1/key/AKIACIBUILDA2EXAMPLE"}, offers: 2, shown: true},
		"drilled mock": {source: "awsmock.guardduty", drill: "n1", mark: Drill, names: []string{"drill/n1/" + name, "drill/n1/key/AKIACIBUILDA2EXAMPLE"}, offers: 2, shown: true},
		"drilled sample": {file: "guardduty_iam_sample.json", source: "aws.guardduty", drill: "n2", mark: Drill,
			names: []string{"drill/n2/222222222222/us-east-1/b505b8b00b14e3b268965049d3c34a3f"}, shown: true},
	} {
		t.Run(label, func(t *testing.T) {
			file := tt.file
			if file == "" {
				file = "guardduty_iam_persistence-akia.json"
			}
			e := edited(t, file, map[string]any{"source": tt.source})
			e.Drill = tt.drill
			a := one(t, r, e)
			if d := cmp.Diff(tt.names, a.Names); d != "" || a.Mark != tt.mark || len(a.Containments) != tt.offers {
				t.Errorf("mark %q, %d offers\n%s", a.Mark, len(a.Containments), d)
			}
			if shown := a.Route != nil; shown != tt.shown {
				t.Errorf("shown without mock sources: %v", shown)
			}
			all := r
			all.MockSources = true
			if all.RouteOf(a) == nil {
				t.Error("not shown with mock sources")
			}
		})
	}
}

// TestFindingWithTooMuchOfEverything reads a finding in which everything is too much.
func TestFindingWithTooMuchOfEverything(t *testing.T) {
	long := strings.Repeat("\U0001F480", 5000)
	var actors []any
	for i := range 15 {
		actors = append(actors, map[string]any{"user": map[string]any{"name": fmt.Sprintf("user-%d", i), "type": "IAMUser", "credentialUid": fmt.Sprintf("AKIAREPORTBT%08d", i)}})
	}
	indicators := make([]any, 40)
	for i := range indicators {
		indicators[i] = map[string]any{"key": long, "values": []string{long}}
	}
	a := one(t, Reader{Org: org}, edited(t, "guardduty_attacksequence_iam-user.json", map[string]any{
		"detail.title": long, "detail.description": long, "detail.type": long, "id": long, "detail.service.count": 1e300,
		"detail.service.detection.sequence.actors":             actors,
		"detail.service.detection.sequence.resources":          nil,
		"detail.service.detection.sequence.sequenceIndicators": indicators,
	}))
	checkAlert(t, org, a)
	if len(a.Containments) != maxOffers || len(a.Facts) != maxFacts || a.Count != maxCount || len(a.Names) != maxNames {
		t.Errorf("%d offers, %d facts, %d names, count %d", len(a.Containments), len(a.Facts), len(a.Names), a.Count)
	}
	if last := a.ByHand[len(a.ByHand)-1]; last != "20 more containments fit: see the finding, and type them." {
		t.Errorf("by hand: %q", last)
	}
	if utf8.RuneCountInString(a.Title) != maxTitle || !strings.HasSuffix(a.Title, "\U0001F480…") {
		t.Errorf("title of %d characters", utf8.RuneCountInString(a.Title))
	}
}

// checkAlert is what holds of all alerts.
func checkAlert(t testing.TB, o actions.Org, a Finding) {
	t.Helper()
	within := func(what, s string, most int) {
		if n := utf8.RuneCountInString(s); n > most || !utf8.ValidString(s) {
			t.Errorf("%s has %d characters: %.100q", what, n, s)
		}
	}
	if !actions.AccountID.MatchString(a.Account) || a.Region != "" && !actions.RegionName.MatchString(a.Region) || !partition.MatchString(a.Partition) {
		t.Errorf("account %q, region %q, partition %q", a.Account, a.Region, a.Partition)
	}
	if len(a.Names) == 0 || len(a.Names) > maxNames || a.Names[0] == "" || a.Type == "" || brief(a.Title, maxTitle) == "" || a.Source == "" {
		t.Errorf("names %q, type %q, title %q, source %q", a.Names, a.Type, a.Title, a.Source)
	}
	if !(a.Severity >= 0 && a.Severity <= 10) || a.Count < 1 || a.Updated.IsZero() {
		t.Errorf("severity %v, count %d, updated %v", a.Severity, a.Count, a.Updated)
	}
	within("title", a.Title, maxTitle)
	within("text", a.Text, maxText)
	within("type", a.Type, maxWord)
	within("principal", a.Principal, maxWord)
	within("resource", a.Resource, maxWord)
	within("event ID", a.EventID, maxEventID)
	for _, name := range a.Names {
		within("name", name, maxName+100) // of a drill
	}
	within("link", a.Link, 2000)
	if strings.ContainsAny(a.Link, " \n<>|\"") || a.Link != "" && !strings.HasPrefix(a.Link, "https://") {
		t.Errorf("link %q", a.Link)
	}
	if len(a.Facts) > maxFacts || len(a.Containments) > maxOffers || len(a.ByHand) > maxOffers+1 {
		t.Errorf("%d facts, %d offers, %d by hand", len(a.Facts), len(a.Containments), len(a.ByHand))
	}
	for _, f := range a.Facts {
		within("label", f.Label, maxLabel)
		within("fact", f.Text, maxFact)
		if f.Text == "" || f.Label == "" {
			t.Errorf("fact %+v", f)
		}
	}
	within("session of our own role", a.OwnRole, maxWord)
	if len(a.Touches) > maxTouches || (a.OwnRole == "") != (a.Call == "") {
		t.Errorf("own role %q, call %q, %d texts", a.OwnRole, a.Call, len(a.Touches))
	}
	for _, line := range a.ByHand {
		within("by hand", line, maxHand)
	}
	if len(a.Containments) == 0 && len(a.ByHand) == 0 && !a.Over {
		t.Error("nothing is offered, and nothing said")
	}
	why := reason(a)
	within("reason", why, maxReason)
	if _, secret := actions.WithoutSecrets(why); secret || actions.Clean(why) != why {
		t.Errorf("reason %q", why)
	}
	for _, offer := range a.Containments {
		call, parsed, err := actions.Parse(offer.Call.String()+` reason="`+why+`"`, o.Directory())
		if err != nil || !call.Equal(offer.Call) || parsed != strings.TrimSpace(why) {
			t.Errorf("%s with reason %q: %v %v %q", offer.Call, why, err, call, parsed)
		}
		if no := o.RefuseCall(offer.Call); no != nil || offer.Call.Account != a.Account && !strings.HasPrefix(offer.Call.Target, actions.SSOPrefix) {
			t.Errorf("%s in an alert of %s: %v", offer.Call, a.Account, no)
		}
	}
	a.Route, a.Trusted, a.Call, a.Touches, a.Allows = nil, false, "", nil, false // which are not stored
	body, err := json.Marshal(a)
	var back Finding
	if err != nil || json.Unmarshal(body, &back) != nil {
		t.Fatalf("%v", err)
	}
	if d := cmp.Diff(a, back); d != "" {
		t.Errorf("not the same from JSON:\n%s", d)
	}
}

func TestAllSamplesHold(t *testing.T) {
	files, err := filepath.Glob("testdata/events/*")
	if err != nil || len(files) < 40 {
		t.Fatal(len(files), err)
	}
	for _, partition := range []string{"aws", "aws-us-gov"} {
		o := org
		o.Partition = partition
		for _, file := range files {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			alerts, _ := Reader{Org: o}.Read(Event{Body: body})
			for _, a := range alerts {
				checkAlert(t, o, a)
			}
		}
	}
}

func TestTimes(t *testing.T) {
	want := time.Date(2026, 11, 12, 3, 14, 20, 0, time.UTC)
	for _, v := range []any{"2026-11-12T03:14:20Z", "2026-11-12T04:14:20.000+01:00", "Thu, 12 Nov 2026 03:14:20 GMT", json.Number("1794453260"), json.Number("1794453260000"), "1794453260000", json.Number("1.79445326e9")} {
		n := node{v: v, wrong: new([]string)}
		if got := n.time(); !got.Equal(want) || got.Location() != time.UTC || n.problems() != "" {
			t.Errorf("%v is %v, %s", v, got, n.problems())
		}
	}
	// Not even years that JSON could not hold.
	for _, v := range []any{"yesterday", "9999-12-31T23:59:59-23:00", "0000-01-01T00:00:00Z", json.Number("9e14"), json.Number("-5"), true, []any{}, "NaN", "0001-01-01T00:00:00Z"} {
		n := node{v: v, wrong: new([]string)}
		if got := n.time(); !got.IsZero() || n.problems() == "" {
			t.Errorf("%v is %v", v, got)
		}
	}
	n := node{wrong: new([]string)}
	if !n.time().IsZero() || n.problems() != "" {
		t.Error("what is missing is not a zero time")
	}
}
