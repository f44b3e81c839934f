package finding

import (
	"errors"
	"fmt"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions/source"
)

// TrustedAdvisor is the name of this source in routes.
const TrustedAdvisor Source = "trustedadvisor"

// trustedAdvisor reads the check "Exposed Access Keys": an event is about one key.
// https://docs.aws.amazon.com/awssupport/latest/user/security-checks.html#exposed-access-keys
var trustedAdvisor = EventSource{
	Name:    TrustedAdvisor,
	Product: "Trusted Advisor",
	Takes: func(source, detailType string) bool {
		return source == "aws.trustedadvisor" && detailType == "Trusted Advisor Check Item Refresh Notification"
	},
	Read:     readTrustedAdvisor,
	Confirms: source.ConfirmKey,
}

const exposedKeys = "Exposed Access Keys"

func readTrustedAdvisor(r Reader, e Envelope) ([]Finding, error) {
	d := e.detail
	check, status := d.at("check-name").required().text(), d.at("status").required().text()
	switch {
	case check != exposedKeys:
		return nil, fmt.Errorf("%w: another check of Trusted Advisor", ErrIgnored)
	case status == "WARN":
		// The check knows red and green only: this neither says that a key is out
		// nor that it no longer is.
		return nil, fmt.Errorf("%w: a warning of Trusted Advisor", ErrIgnored)
	case status != "ERROR" && status != "OK":
		return nil, errors.New("status is none of ERROR, WARN and OK")
	}
	item := d.at("check-item-detail")
	key, user := item.at("Access Key ID").required().text(), item.at("User Name (IAM or Root)").text()
	fraud, usage := item.at("Fraud Type").text(), spent(item.at("Usage (USD per Day)").text())
	since, _ := item.at("Time Updated").moment()
	_, deadline := item.at("Deadline").moment()
	a := Finding{
		Type: exposedKeys, Severity: exposedSeverity, Over: status == "OK",
		Names: []string{e.account + "/exposed/" + key}, Account: e.account, Region: e.region, Last: since,
		// When it was sent: "Time Updated" need not change with the status, and a late
		// report must not open again what is settled.
		Updated: e.time,
		Facts: []Fact{
			{"Found at", item.at("Location").text()},
			{"Irregular usage", usage},
			{"Fraud type", fraud},
			{"Deadline", deadline},
			{"Support case", item.at("Case ID").text()},
		},
		Link: consoleLink(e.region, "/trustedadvisor/home#/category/security"),
	}
	whose := keyOf(key, user)
	switch {
	case a.Over:
		a.Title = "Trusted Advisor no longer reports " + whose
	case fraud == "Suspected": // it was not seen in public: what is done with it is unusual
		a.Title, a.Severity = "Unusual usage suggests that somebody else has "+whose, usedSeverity
	case usage != "" || fraud == "Potentially compromised":
		a.Title, a.Severity = capital(whose)+" was found in public, and seems to be used", usedSeverity
	default:
		a.Title = capital(whose) + " was found in public"
	}
	return []Finding{r.exposed(a, key, user)}, nil
}

// spent is what irregular usage costs; empty if it costs nothing.
func spent(usd string) string {
	if !strings.ContainsAny(usd, "123456789") {
		return ""
	}
	return "USD " + usd + " a day"
}
