package finding

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

// CloudTrail is the name of this source in routes.
const CloudTrail Source = "cloudtrail"

// ListedType is the type by which a route selects what is on the list of changes, whoever called:
// what stops defences, what makes lasting access, what gives data to others, and root's sign-ins.
const ListedType = "change"

// cloudTrail reads changes in IAM, the listed calls of other services, sign-ins, and what is called
// under the names of our own roles, as CloudTrail records them.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-record-contents.html
var cloudTrail = EventSource{
	Name:    CloudTrail,
	Product: "CloudTrail",
	Takes: func(source, detailType string) bool {
		return strings.HasPrefix(source, "aws.") && detailType == "AWS API Call via CloudTrail" || source == "aws.signin" && strings.HasSuffix(detailType, " via CloudTrail")
	},
	Read:     readCloudTrail,
	Confirms: source.ConfirmEvent,
}

// ownRoleSeverity is that of what our own roles do with no request of ours: somebody else is in.
const ownRoleSeverity = Critical

func readCloudTrail(r Reader, e Envelope) ([]Finding, error) {
	d := e.detail
	ignored := func(why string) ([]Finding, error) { return nil, fmt.Errorf("%w: %s", ErrIgnored, why) }
	c := r.called(d, changes())
	service := c.service
	if service != "iam" && c.change.listed == nil && !ownCaller(r.Org, d, e.account) {
		return ignored("a call that is not on the list")
	}
	if d.at("readOnly").truth() && (service == "iam" || c.change.listed == nil) { // GetFederationToken may be called a read
		return ignored("a call that only reads")
	}
	c.read(d, e.account)
	switch {
	case c.caller.kind == ofService && c.awsQuarantine() == "":
		return ignored("a call of an AWS service")
	case c.selfService():
		return ignored("a user looks after the own sign-in")
	case service != "iam" && !c.listed():
		return ignored("a call that is not on the list, as it is")
	}

	eventID := d.at("eventID").required().matching(findingID, "is not an event's ID")
	region, at := c.region, d.at("eventTime").required().time()
	a := Finding{
		Names: []string{c.account + "/" + region + "/" + eventID},
		Type:  c.name, Title: c.title(), Severity: c.severity(),
		Account: c.account, Region: region, First: at, Last: at, Updated: at,
		Principal: c.caller.String(), Resource: c.target(),
		Facts:   c.facts(d),
		Subject: c.caller.subject(),
		Actors:  c.caller.names(c.account),
		// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/view-cloudtrail-events-console.html
		Link:         consoleLink(region, "/cloudtrailv2/home?region="+region+"#/events/"+eventID),
		Confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: c.account, Region: region, ID: eventID},
		Change:       c.failed == "" && c.listed(),
	}
	if c.ours {
		a.OwnRole, a.Call = cmp.Or(c.caller.session(), c.caller.name), c.String()
		touched := append(trail.Values(c.request.v), trail.Values(c.answer.v)...)
		a.Allows = slices.ContainsFunc(touched, allows)
		slices.Sort(touched)
		a.Touches = touched[:min(len(touched), maxTouches)]
	}
	// What roles do, and what failed, is too much for a channel that did not ask for it, unless it is listed.
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
		a.Type, a.Quiet = c.caller.kind+":"+c.name, !a.Change
	}
	o := r.containments("", c.account, region)
	c.offer(o)
	a.Containments, a.ByHand = o.list, o.byHand
	return []Finding{a}, nil
}

// called is the call of a record, with what a table says of it.
func (r Reader) called(d node, table map[string]change) apiCall {
	service, _ := strings.CutSuffix(d.at("eventSource").required().text(), ".amazonaws.com")
	c := apiCall{org: r.Org, service: service, name: callName(d.at("eventName").required().text())}
	c.change = table[c.String()]
	return c
}

// read reads the rest of the record of a call in an account.
func (c *apiCall) read(d node, account string) {
	id := d.at("userIdentity").required()
	c.from = id.at("accountId").account()
	c.account = cmp.Or(d.at("recipientAccountId").account(), c.from, account)
	c.region = d.at("awsRegion").required().region()
	c.caller, c.failed = readCaller(id), d.at("errorCode").text()
	c.ours = c.own(c.org)
	c.request, c.answer, c.extra = d.at("requestParameters"), d.at("responseElements"), d.at("additionalEventData").withOwnProblems()
	if c.service != "iam" { // they write one thing in several shapes
		c.request, c.answer = c.request.withOwnProblems(), c.answer.withOwnProblems()
	}
	c.resolve()
	c.guests = c.findGuests()
	if c.service == "signin" && c.failed == "" && c.answer.at(c.name).text() == "Failure" {
		c.failed = cmp.Or(d.at("errorMessage").text(), "Failure")
	}
}

// allows reports whether a text is a policy that does more than deny.
func allows(text string) bool {
	return slices.ContainsFunc(statements(text), func(s node) bool { return s.at("Effect").text() != "Deny" })
}

// facts are the evidence in a record.
func (c apiCall) facts(d node) []Fact {
	id := d.at("userIdentity")
	failed, mfa, document := c.failed, "", ""
	if message := d.at("errorMessage").text(); message != "" && message != failed {
		failed = join(": ", failed, message)
	}
	if n := id.at("sessionContext", "attributes", "mfaAuthenticated"); n.exists() {
		mfa = map[bool]string{true: "yes", false: "no"}[n.truth()]
	}
	if used := c.extra.at("MFAUsed").text(); used != "" {
		mfa = strings.ToLower(used)
	}
	if c.service == "iam" {
		document = c.request.at("policyDocument").text()
	}
	return []Fact{
		{"API call", c.String()},
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
		{"Policy document", document},
	}
}
