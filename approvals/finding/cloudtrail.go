package finding

import (
	"cmp"
	"fmt"

	"github.com/killswitch-chatops/killswitch/actions/source"
)

// CloudTrail is the name of this source in routes.
const CloudTrail Source = "cloudtrail"

// cloudTrail reads changes in IAM, as CloudTrail records the calls.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
var cloudTrail = EventSource{
	Name:    CloudTrail,
	Product: "CloudTrail",
	Takes: func(source, detailType string) bool {
		return source == "aws.iam" && detailType == "AWS API Call via CloudTrail"
	},
	Read:     readCloudTrail,
	Confirms: source.ConfirmEvent,
}

func readCloudTrail(r Reader, e Envelope) ([]Finding, error) {
	d := e.detail
	ignored := func(why string) ([]Finding, error) { return nil, fmt.Errorf("%w: %s", ErrIgnored, why) }
	if d.at("eventSource").required().text() != "iam.amazonaws.com" {
		return ignored("a call of another service than IAM")
	}
	if d.at("readOnly").truth() {
		return ignored("a call that only reads")
	}
	id := d.at("userIdentity").required()
	c := iamCall{
		name:    d.at("eventName").required().text(),
		account: cmp.Or(d.at("recipientAccountId").account(), id.at("accountId").account(), e.account),
		caller:  readCaller(id), failed: d.at("errorCode").text(),
		request: d.at("requestParameters"), answer: d.at("responseElements"),
	}
	c.resolve()
	switch {
	case c.own(r.Org):
		return ignored("a call of our own roles")
	case c.caller.kind == ofService && c.awsQuarantine() == "":
		return ignored("a call of an AWS service")
	case c.selfService():
		return ignored("a user looks after the own sign-in")
	}

	eventID := d.at("eventID").required().matching(findingID, "is not an event's ID")
	region, at := d.at("awsRegion").required().region(), d.at("eventTime").required().time()
	a := Finding{
		Names: []string{c.account + "/" + region + "/" + eventID},
		Type:  c.name, Title: c.title(), Severity: c.severity(r.Org.AdminGroup),
		Account: c.account, Region: region, First: at, Last: at, Updated: at,
		Principal: c.caller.String(), Resource: c.target(),
		Facts:   c.facts(d),
		Subject: c.caller.subject(),
		// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events-console.html
		Link:         consoleLink(region, "/cloudtrailv2/home?region="+region+"#/events/"+eventID),
		Confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: c.account, Region: region, ID: eventID},
	}
	// What roles do, and what failed, is too much for a channel that did not ask for it.
	switch {
	case c.awsQuarantine() != "": // as loud as the other alarms about the key
		if c.quarantines() && c.self && longKey.MatchString(c.caller.key) {
			a.Names, a.Exposed = append(a.Names, "key/"+c.caller.key), true
		}
	case c.denied():
		a.Type, a.Quiet = "Denied:"+c.name, true
	case c.failed != "":
		a.Type, a.Quiet = "Failed:"+c.name, true
	case c.caller.kind != ofUser && c.caller.kind != ofRoot:
		a.Type, a.Quiet = c.caller.kind+":"+c.name, true
	}
	o := r.containments("", c.account, region)
	c.offer(o)
	a.Containments, a.ByHand = o.list, o.byHand
	return []Finding{a}, nil
}

// facts are the evidence in a record.
func (c iamCall) facts(d node) []Fact {
	id := d.at("userIdentity")
	failed, mfa := c.failed, ""
	if message := d.at("errorMessage").text(); message != "" {
		failed += ": " + message
	}
	if n := id.at("sessionContext", "attributes", "mfaAuthenticated"); n.exists() {
		mfa = map[bool]string{true: "yes", false: "no"}[n.truth()]
	}
	return []Fact{
		{"API call", "iam:" + c.name},
		{"Error", failed},
		{"New access key", c.newKey()},
		{"Policy", c.policy()},
		{"Permissions boundary", c.request.at("permissionsBoundary").text()},
		{"Lets in", some(c.letsIn())},
		{"Source IP", d.at("sourceIPAddress").text()},
		{"User agent", d.at("userAgent").text()},
		{"MFA", mfa},
		{"Called through", id.at("invokedBy").text()},
		{"Source identity", id.at("sessionContext", "sourceIdentity").text()},
		{"Policy document", c.request.at("policyDocument").text()},
	}
}
