package finding

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
)

// Health is the name of this source in routes.
const Health Source = "health"

// health reads AWS Health's events about credentials that others may have: one
// alert a key. The pages of a long list of keys are events of their own.
// https://docs.aws.amazon.com/health/latest/ug/aws-health-events-eventbridge-schema.html
var health = EventSource{
	Name:    Health,
	Product: "AWS Health",
	Takes: func(source, detailType string) bool {
		return source == "aws.health" && detailType == "AWS Health Event"
	},
	Read:     readHealth,
	Confirms: source.ConfirmKey,
}

// risks are the events that are listed: what they say of a key, and how bad it is.
var risks = map[string]struct {
	says     string
	severity float64
}{
	"AWS_RISK_CREDENTIALS_EXPOSED":              {"was found in public", exposedSeverity},
	"AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED":   {"may be public", suspectedSeverity},
	"AWS_RISK_CREDENTIALS_COMPROMISED":          {"seems to be used by somebody else", usedSeverity},
	"AWS_RISK_CREDENTIALS_COMPROMISE_SUSPECTED": {"may be used by somebody else", exposedSeverity},
	"AWS_RISK_IAM_QUARANTINE":                   {"has AWS's quarantine policy: AWS holds it for compromised", exposedSeverity},
	"AWS_RISK_ACCOUNT_CONSOLE_COMPROMISE":       {"seems to be used by somebody else, in the console", usedSeverity},
}

// riskWords are in the codes of other events of the service RISK that are about credentials.
var riskWords = []string{"CREDENTIAL", "COMPROMISE", "QUARANTINE", "EXPOS"}

func readHealth(r Reader, e Envelope) ([]Finding, error) {
	d := e.detail
	service, code := d.at("service").required().text(), d.at("eventTypeCode").required().text()
	risk, listed := risks[code]
	if !listed && slices.ContainsFunc(riskWords, func(word string) bool { return strings.Contains(code, word) }) {
		risk.says, risk.severity, listed = "is at risk, says AWS: "+code, suspectedSeverity, true
	}
	if service != "RISK" || !listed {
		return nil, fmt.Errorf("%w: another event of AWS Health", ErrIgnored)
	}
	arn, region := d.at("eventArn").text(), d.at("eventRegion").text()
	if !actions.RegionName.MatchString(region) { // "global", for instance
		region = e.region
	}
	began, _ := d.at("startTime").moment()
	updated, _ := d.at("lastUpdatedTime").moment()
	event := Finding{
		Type: code, Severity: risk.severity, Over: d.at("statusCode").text() == "closed",
		Account: cmp.Or(d.at("affectedAccount").account(), e.account), Region: region,
		First: began, Updated: updated,
		Text: english(d.at("eventDescription")), Link: healthLink(arn),
	}
	keys := d.at("affectedEntities").items()
	about := d.at("eventMetadata")
	name := event.Account + "/health/" + cmp.Or(arn, e.id) // which may say anything, other alerts' names too
	if len(keys) == 0 {
		event.Names, event.Title = []string{name}, "AWS Health says that a credential "+risk.says
		a := r.exposed(event, "", about.at("userName").text())
		a.Resource = ""
		return []Finding{a}, nil
	}
	var alerts []Finding
	var seen []string
	for _, n := range keys {
		a, key, user := event, n.at("entityValue").required().text(), ""
		if slices.Contains(seen, key) {
			continue
		}
		seen = append(seen, key)
		if of := about.at("publicKey").text(); of == key || of == "" && len(keys) == 1 { // of several keys, it tells about one
			user = about.at("userName").text()
			a.Facts = []Fact{
				{"Found at", about.at("exposedUrl").text()},
				{"Deadline", about.at("notifcationdateplusfour").text()}, // AWS's spelling
			}
		}
		a.Title = capital(keyOf(key, user)) + " " + risk.says
		if a.Over {
			a.Title = "AWS Health has closed its event about " + keyOf(key, user)
		}
		a.Names = []string{name + "/" + key}
		alerts = append(alerts, r.exposed(a, key, user))
	}
	return alerts, nil
}

// english is the description that people here read, or the first that there is.
func english(descriptions node) string {
	first := ""
	for _, n := range descriptions.items() {
		text := n.at("latestDescription").text()
		if n.at("language").text() == "en_US" {
			return text
		}
		first = cmp.Or(first, text)
	}
	return first
}

// healthARN is an event's ARN, of those that are not longer than a link may be.
// https://docs.aws.amazon.com/health/latest/APIReference/API_Event.html
var healthARN = actions.NewPattern(`^arn:aws:health:[a-z0-9-]*:[0-9]*:event(/[\w-]{1,200}){1,3}$`)

// healthLink is an event in the console. The consoles of the other partitions have
// other addresses.
func healthLink(arn string) string {
	if !healthARN.MatchString(arn) {
		return ""
	}
	return "https://health.aws.amazon.com/health/home#/account/event-log?eventTab=details&eventID=" + url.QueryEscape(arn)
}
