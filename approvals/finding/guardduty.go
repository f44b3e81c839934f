package finding

import (
	"fmt"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
)

// GuardDuty is the name of this source in routes.
const GuardDuty Source = "guardduty"

// guardDuty reads GuardDuty's findings. What GetFindings answers has the same shape.
// https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-format.html
var guardDuty = EventSource{
	Name:    GuardDuty,
	Product: "GuardDuty",
	Takes: func(source, detailType string) bool {
		return source == "aws.guardduty" && detailType == "GuardDuty Finding"
	},
	Read:     readGuardDuty,
	Confirms: source.ConfirmFinding,
}

var (
	findingID  = actions.NewPattern(`^[0-9A-Za-z-]{1,128}$`)
	detectorID = actions.NewPattern(`^[0-9a-z]{1,300}$`)
	partition  = actions.NewPattern(`^aws(?:-[a-z]{1,10}){0,2}$`)
)

func readGuardDuty(r Reader, e Envelope) ([]Finding, error) {
	f := gdFinding{e.detail}
	service := f.at("service")
	a := Finding{
		Type:      f.at("type").required().text(),
		Title:     f.at("title").text(),
		Text:      f.at("description").text(),
		Severity:  f.at("severity").required().severity(),
		Partition: f.at("partition").matching(partition, "is not a partition"),
		Account:   f.at("accountId").required().account(),
		Region:    f.at("region").required().region(),
		First:     service.at("eventFirstSeen").time(),
		Last:      service.at("eventLastSeen").time(),
		Updated:   f.at("updatedAt").time(),
		Count:     service.at("count").count(),
	}
	if service.at("archived").truth() {
		return nil, fmt.Errorf("%w: archived", ErrIgnored)
	}
	if f.info("sample").truth() {
		a.Mark = Sample
	}
	id := f.at("id").required().matching(findingID, "is not a finding's ID")
	found, _ := parseFindingARN(f.at("arn").text())
	if found.id != id || found.account != a.Account {
		found = foundAt{account: a.Account, region: a.Region, detector: service.at("detectorId").text(), id: id}
	}
	a.Names = []string{foundAt{account: a.Account, region: a.Region, id: id}.name()}
	if found.region != a.Region {
		// Of global services' events the finding may tell another region than the one
		// where it is.
		// https://docs.aws.amazon.com/guardduty/latest/APIReference/API_Finding.html
		a.Names = append(a.Names, found.name())
	}
	a.Link = found.link(a)
	if detectorID.MatchString(found.detector) {
		a.Confirmation = source.Confirmation{Kind: source.ConfirmFinding, Account: found.account, Region: found.region, Detector: found.detector, ID: found.id}
	}

	o := r.containments(a.Partition, a.Account, a.Region)
	if f.at("resource", "resourceType").text() == "AttackSequence" {
		f.sequence(&a, o)
	} else {
		f.single(&a, o)
	}
	a.Containments, a.ByHand = o.list, o.byHand
	return []Finding{a}, nil
}

// gdFinding is the detail of an event.
type gdFinding struct{ node }

// info is what the service adds to a finding: beside, or in a text that holds
// JSON, which is all that GetFindings gives.
func (f gdFinding) info(keys ...string) node {
	extra := f.at("service", "additionalInfo")
	if n := extra.at(keys...); n.exists() {
		return n
	}
	value := extra.at("value")
	if text, ok := value.v.(string); ok {
		inner, _ := parse([]byte(text))
		value.v = inner.v
	}
	if _, ok := value.v.(map[string]any); !ok {
		value.v = nil // some types of findings have other things there
	}
	return value.at(keys...)
}

// single is what a finding about one resource tells, and what fits it.
func (f gdFinding) single(a *Finding, o *containments) {
	who, instance := f.actor(), f.at("resource", "instanceDetails", "instanceId").text()
	kind, resource := f.resource()
	a.Resource, a.Principal, a.Facts = resource, who.String(), f.facts()
	if a.Principal == "" {
		a.Principal = f.otherPrincipal()
	}
	o.actor(who)
	o.actor(actor{kind: "Role", arn: f.at("resource", "lambdaDetails", "role").text()})
	if kind != "AccessKey" && actions.InstanceID.MatchString(instance) { // an access key's is where it was issued
		o.instance(Containment{}, instance, o.region)
		if kind == "Instance" && who.nobody() {
			o.profileRole(f.at("resource", "instanceDetails", "iamInstanceProfile", "arn").text())
		}
	}
	// What is contained is a node or a role: what runs there goes on, or begins again.
	inside := slices.Contains([]string{"EKSCluster", "ECSCluster", "Container", "Lambda"}, kind)
	if inside || o.none() && (len(o.byHand) == 0 || kind != "AccessKey" && kind != "Instance") {
		o.addByHand(f.byHandFor(kind))
	}
	who.tell(a)
}

// actor is whose credentials a finding tells of.
func (f gdFinding) actor() actor {
	k := f.at("resource", "accessKeyDetails")
	return actor{
		kind: k.at("userType").text(), name: k.at("userName").text(), id: k.at("principalId").text(), key: k.at("accessKeyId").text(),
		instance: f.at("resource", "instanceDetails", "instanceId").text(),
	}
}

// tell says who it was: whose activity can be looked up, what else they do, and the key by
// which other sources know it.
func (w actor) tell(a *Finding) {
	a.Actors = append(a.Actors, w.names(a.Account)...)
	if a.Subject.Value == "" {
		a.Subject = w.subject()
	}
	if longKey.MatchString(w.key) {
		a.Names = append(a.Names, "key/"+w.key)
	}
}

// foundAt is the place of a finding.
type foundAt struct{ partition, account, region, detector, id string }

var findingARN = actions.NewPattern(`^arn:(aws[a-z-]*):guardduty:([a-z0-9-]+):([0-9]{12}):detector/([0-9a-z]{1,300})/finding/([0-9A-Za-z-]{1,128})$`)

func parseFindingARN(arn string) (foundAt, bool) {
	g := findingARN.FindStringSubmatch(arn)
	if g == nil || !partition.MatchString(g[1]) || !actions.RegionName.MatchString(g[2]) {
		return foundAt{}, false
	}
	return foundAt{g[1], g[3], g[2], g[4], g[5]}, true
}

// name is the name by which GuardDuty and Security Hub know the finding.
func (at foundAt) name() string { return at.account + "/" + at.region + "/" + at.id }

// link is the finding in the console; empty if its address is not known.
func (at foundAt) link(a Finding) string {
	base := console(a.Partition, at.region)
	if base == "" {
		return ""
	}
	return base + "/guardduty/home?region=" + at.region + "#/findings?macros=current&fId=" + at.id
}

// console is the address of a region's console; empty for a partition that has an
// address of its own that we don't know.
func console(partition, region string) string {
	if region == "" {
		return ""
	}
	if partition == "" {
		partition = actions.PartitionOf(region)
	}
	switch partition {
	case "aws":
		return "https://" + region + ".console.aws.amazon.com"
	case "aws-us-gov":
		return "https://console.amazonaws-us-gov.com"
	case "aws-cn":
		return "https://console.amazonaws.cn"
	}
	return ""
}

var (
	findingType = actions.NewPattern(`^([A-Za-z]+):([A-Za-z0-9]+)/(.+)$`)
	wordEdge    = actions.NewPattern(`([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])`)
)

// readable makes words of a finding's type: "Impact:EC2/PortSweep" is "Port Sweep
// (Impact, EC2)".
// https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_finding-types-active.html
func readable(typ string) string {
	g := findingType.FindStringSubmatch(typ)
	if g == nil {
		return typ
	}
	return strings.TrimSpace(wordEdge.ReplaceAllString(g[3], "$1$3 $2$4")) + " (" + wordEdge.ReplaceAllString(g[1], "$1$3 $2$4") + ", " + g[2] + ")"
}
