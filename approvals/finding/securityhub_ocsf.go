package finding

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// readOCSF reads a finding of Security Hub's new format: a Detection Finding of
// the Open Cybersecurity Schema Framework. Other classes detect no threat.
// https://schema.ocsf.io/1.6.0/classes/detection_finding
func readOCSF(r Reader, f node, region string) (Finding, error) {
	const (
		detection  = 2004
		closed     = 3 // an activity
		suppressed = 3 // and what follows: resolved, archived, deleted
		lastStatus = 6
	)
	class := f.at("class_uid").required().number()
	status := f.at("status_id").number()
	if class != detection || status >= suppressed && status <= lastStatus || f.at("activity_id").number() == closed {
		return Finding{}, fmt.Errorf("%w: no detection, or settled", ErrIgnored)
	}
	info, cloud := f.at("finding_info"), f.at("cloud")
	h := hubFinding{
		id: info.at("uid").required().matching(hubID, "is not a finding's ID"), product: f.at("metadata", "product", "uid").text(), types: texts(info.at("types")),
		page: "/securityhub/v2/home?region=%s#/findings?search=finding_info.uid%%3D%%255Coperator%%255C%%253AEQUALS%%255C%%253A%s",
	}
	h.threat = (len(h.types) == 0 || slices.ContainsFunc(h.types, func(typ string) bool { return !checks(typ) })) && !ocsfCheck(f)
	a := Finding{
		Title:     info.at("title").text(),
		Text:      info.at("desc").text(),
		Partition: cloud.at("cloud_partition").matching(partition, "is not a partition"),
		Account:   cloud.at("account", "uid").required().account(),
		Region:    cloud.at("region").region(),
		First:     ocsfTime(info, "first_seen_time"),
		Last:      ocsfTime(info, "last_seen_time"),
		Updated:   ocsfTime(info, "modified_time"),
		Count:     f.at("count").count(),
	}
	if a.Updated.IsZero() {
		a.Updated = ocsfTime(f, "time")
	}
	if a.Region == "" {
		a.Region = region
	}
	severity, known := ocsfSeverity[f.at("severity_id").required().number()]
	if !known {
		f.at("severity_id").note("is not a severity")
	}
	a.Severity = severity

	evidences := f.at("evidences").items()
	for _, e := range evidences {
		user := e.at("actor", "user")
		w := actor{
			kind: user.at("type").text(), name: user.at("name").text(), id: user.at("uid").text(), key: user.at("credential_uid").text(),
			arn: e.at("actor", "session", "issuer").text(), account: user.at("account", "uid").account(),
		}
		if !w.nobody() && !slices.Contains(h.actors, w) {
			h.actors = append(h.actors, w)
		}
	}
	for _, res := range f.at("resources").items() {
		owner := hubActor(ocsfData(res))
		owner.account = cmp.Or(owner.account, ownerOf(owner.arn), res.at("owner", "account", "uid").account())
		h.resource(res.at("type").text(), res.at("uid").text(), owner, tagged(res.at("tags")))
	}
	if !guardDutyProduct.MatchString(h.product) {
		a.Facts = []Fact{{"Found by", join(", ", f.at("metadata", "product", "name").text(), f.at("metadata", "product", "vendor_name").text())}}
	}
	a.Facts = append(a.Facts, ocsfFacts(evidences)...)
	err := h.fill(r, &a)
	return a, err
}

// checks reports whether a type is in one of the namespaces of checks.
func checks(typ string) bool {
	namespace, _, _ := strings.Cut(typ, "/")
	return slices.Contains([]string{"Software and Configuration Checks", "Sensitive Data Identifications", "Exposure"}, strings.TrimSpace(namespace))
}

// verdicts are what a check finds, in the status code of a finding.
var verdicts = []string{"PASS", "PASSED", "FAIL", "FAILED", "WARNING", "MANUAL", "MUTED", "NOT_AVAILABLE"}

// ocsfCheck reports whether a finding of whatever class is the result of a check: it has a verdict,
// or says what it is compliant with.
// https://schema.ocsf.io/1.6.0/objects/compliance
func ocsfCheck(f node) bool {
	return slices.Contains(verdicts, strings.ToUpper(f.at("status_code").text())) || f.at("compliance").exists() || f.at("unmapped").withOwnProblems().at("compliance").exists()
}

// ocsfData is what a resource has beside OCSF's fields: in ASFF's shape where ASFF is where it comes
// from, an object or a text that holds one. What others have there is theirs.
func ocsfData(res node) node { return res.at("data").withOwnProblems().opened() }

// ocsfSeverity is the number that GuardDuty gives in the same case. What is
// unknown (0) or other (99) is medium: it detects a threat.
var ocsfSeverity = map[float64]float64{0: 5, 1: 0, 2: 2, 3: 5, 4: 8, 5: 9, 6: 10, 99: 5}

// ocsfTime is a time in words, or else in milliseconds.
func ocsfTime(n node, key string) time.Time {
	if t := n.at(key + "_dt").time(); !t.IsZero() {
		return t
	}
	return n.at(key).time()
}

// ocsfFacts are what the evidences tell, each once.
func ocsfFacts(evidences []node) []Fact {
	all := func(label string, text func(node) string) Fact {
		var ts []string
		for _, e := range evidences {
			if t := text(e); !slices.Contains(ts, t) {
				ts = append(ts, t)
			}
		}
		return Fact{label, some(ts)}
	}
	return []Fact{
		all("Source IP", func(e node) string { return ocsfEndpoint(e.at("src_endpoint")) }),
		all("API call", func(e node) string {
			return join(" of ", e.at("api", "operation").text(), e.at("api", "service", "name").text())
		}),
		all("Error", func(e node) string { return e.at("api", "response", "error").text() }),
		all("User agent", func(e node) string { return e.at("http_request", "user_agent").text() }),
		all("Domain", func(e node) string { return e.at("query", "hostname").text() }),
		all("Connection", func(e node) string {
			return join(" ", e.at("connection_info", "direction").text(), e.at("connection_info", "protocol_name").text(), prefix("to ", ocsfEndpoint(e.at("dst_endpoint"))))
		}),
		all("Process", func(e node) string { return e.at("process", "file", "path").text() }),
	}
}

func ocsfEndpoint(n node) string {
	return join(" ", join(", ", n.at("ip").text(), n.at("hostname").text()), prefix("port ", n.at("port").text()), brackets(join("; ",
		join(" ", n.at("autonomous_system", "name").text(), prefix("AS", n.at("autonomous_system", "number").text())),
		join(", ", n.at("location", "city").text(), n.at("location", "country").text()))))
}
