package finding

import (
	"fmt"
	"slices"
	"strings"
)

// readASFF reads a finding in the AWS Security Finding Format.
// https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-format.html
func readASFF(r Reader, f node, region string) (Finding, error) {
	fields := f.at("ProductFields")
	gd := func(path string) node {
		if n := fields.at("aws/guardduty/service/" + path); n.exists() || !guardDutyProduct.MatchString(f.at("ProductArn").text()) {
			return n
		}
		return fields.at(path) // as it was at first
	}
	h := hubFinding{
		id: f.at("Id").required().matching(hubID, "is not a finding's ID"), product: f.at("ProductArn").text(), types: texts(f.at("Types")),
		page: "/securityhub/home?region=%s#/findings?search=Id%%3D%%255Coperator%%255C%%253AEQUALS%%255C%%253A%s",
	}
	if len(h.types) == 0 {
		h.types = texts(f.at("FindingProviderFields", "Types"))
	}
	h.threat = slices.ContainsFunc(h.types, ofThreat) && !asffCheck(f)
	a := Finding{
		Title:   f.at("Title").text(),
		Text:    f.at("Description").text(),
		Account: f.at("AwsAccountId").required().account(),
		Region:  f.at("Region").region(),
		First:   f.at("FirstObservedAt").time(),
		Last:    f.at("LastObservedAt").time(),
		Updated: f.at("UpdatedAt").time(),
		Count:   gd("count").count(),
	}
	// Who may change a finding's state in Security Hub may be the attacker: what is
	// settled there is not shown anew, but takes nothing off a card that there is.
	status := f.at("Workflow", "Status").text()
	if f.at("RecordState").text() == "ARCHIVED" || status == "SUPPRESSED" || status == "RESOLVED" || gd("archived").truth() {
		return Finding{}, fmt.Errorf("%w: %s", ErrIgnored, "archived, suppressed or resolved")
	}
	if f.at("Sample").truth() || gd("additionalInfo/sample").truth() {
		a.Mark = Sample
	}
	if a.Region == "" {
		a.Region = region
	}
	ofGuardDuty := guardDutyProduct.MatchString(h.product)
	a.Severity = asffSeverity(f, ofGuardDuty)

	for _, res := range f.at("Resources").items() {
		if a.Partition == "" {
			a.Partition = res.at("Partition").matching(partition, "is not a partition")
		}
		h.resource(res.at("Type").text(), res.at("Id").text(), hubActor(res.at("Details")), res.at("Tags", "Name").text())
	}
	if ofGuardDuty {
		a.Facts = look(func(path string) string { return gd(path).textOrBool() }).facts()
	} else {
		net := f.at("Network")
		a.Facts = []Fact{
			{"Found by", join(", ", f.at("ProductName").text(), f.at("CompanyName").text())},
			{"Source IP", join(", ", net.at("SourceIpV4").text(), net.at("SourceIpV6").text(), net.at("SourceDomain").text())},
			{"Destination", join(" port ", join(", ", net.at("DestinationIpV4").text(), net.at("DestinationIpV6").text(), net.at("DestinationDomain").text()), net.at("DestinationPort").text())},
			{"API call", join(" of ", f.at("Action", "AwsApiCallAction", "Api").text(), f.at("Action", "AwsApiCallAction", "ServiceName").text())},
			{"Process", f.at("Process", "Path").text()},
			{"Malware", some(each(f.at("Malware"), func(n node) string { return n.at("Name").text() }))},
			{"Threats", some(each(f.at("ThreatIntelIndicators"), func(n node) string { return join(" ", n.at("Type").text(), n.at("Value").text()) }))},
		}
	}
	err := h.fill(r, &a)
	return a, err
}

// ofThreat reports whether a type is in one of the namespaces of threats, or is only its name. The
// other namespaces are configuration checks and the like.
// https://docs.aws.amazon.com/securityhub/latest/userguide/asff-required-attributes.html#Types
func ofThreat(typ string) bool {
	namespace, _, _ := strings.Cut(typ, "/")
	return slices.Contains([]string{"TTPs", "Effects", "Unusual Behaviors"}, strings.TrimSpace(namespace))
}

// asffCheck reports whether a finding is the result of a check: controls of a standard may have a
// type of threats, and are found again each day.
// https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-findings-asff-controls.html
func asffCheck(f node) bool {
	for _, field := range []string{"Status", "SecurityControlId", "AssociatedStandards"} {
		if f.at("Compliance", field).exists() {
			return true
		}
	}
	for _, field := range []string{"StandardsArn", "StandardsControlArn", "StandardsGuideArn"} {
		if f.at("ProductFields", field).exists() {
			return true
		}
	}
	return false
}

// asffSeverity is a finding's severity. The label is what people and rules of
// Security Hub may have changed, so it decides; GuardDuty's own number says more
// where both agree.
func asffSeverity(f node, ofGuardDuty bool) float64 {
	s := f.at("Severity")
	own := s.at("Normalized").number() / 10
	if n := s.at("Product"); ofGuardDuty && n.exists() {
		own = n.severity()
	}
	if own < 0 || own > 10 {
		s.note("is not between 0 and 10")
		return 0
	}
	label := s.at("Label").text()
	n, known := hubSeverity[strings.ToUpper(label)]
	switch {
	case !known && label != "", !known && !s.at("Normalized").exists() && !s.at("Product").exists():
		s.note("has no label")
	case known && Level(n) != Level(own):
		return n
	}
	return own
}
