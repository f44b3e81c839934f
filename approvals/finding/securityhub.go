package finding

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// SecurityHub is the name of this source in routes.
const SecurityHub Source = "securityhub"

// securityHub reads what Security Hub hands on, in its old format and in its new
// one. An event may hold several findings: one that can't be read does not hide
// the others.
// https://docs.aws.amazon.com/securityhub/latest/userguide/securityhub-cwe-event-formats.html
var securityHub = EventSource{
	Name:    SecurityHub,
	Product: "Security Hub",
	Takes: func(source, detailType string) bool {
		return source == "aws.securityhub" && (detailType == asffFindings || detailType == ocsfFindings)
	},
	Read: readSecurityHub,
}

const (
	asffFindings = "Security Hub Findings - Imported"
	ocsfFindings = "Findings Imported V2"
)

func readSecurityHub(r Reader, e Envelope) ([]Finding, error) {
	read := readASFF
	if e.detailType == ocsfFindings {
		read = readOCSF
	}
	var alerts []Finding
	var bad []error
	findings := e.detail.at("findings").items()
	for _, f := range findings {
		f = f.withOwnProblems()
		a, err := read(r, f, e.region)
		switch p := f.problems(); {
		case p != "":
			bad = append(bad, errors.New(p))
		case err == nil:
			alerts = append(alerts, a)
		}
	}
	switch {
	case len(findings) == 0:
		return nil, errors.New("detail.findings is missing or empty")
	case len(bad) > 0:
		return alerts, fmt.Errorf("%d of %d findings: %w", len(bad), len(findings), errors.Join(bad...))
	case len(alerts) == 0:
		return nil, fmt.Errorf("%w: no finding detects a threat that is still open", ErrIgnored)
	}
	return alerts, nil
}

// hubFinding is what both formats have beside the fields of Finding.
type hubFinding struct {
	id        string
	product   string // ARN
	types     []string
	threat    bool // whether it detects one
	actors    []actor
	instances []string // ARNs or IDs
	things    []string // what it is about, in words
	page      string   // of the console that shows it
}

var (
	// Nobody can send findings in GuardDuty's name: products of customers have an
	// account in their ARN.
	// https://docs.aws.amazon.com/securityhub/latest/userguide/finding-format.html
	guardDutyProduct = actions.NewPattern(`^arn:aws[a-z-]*:securityhub:[a-z0-9-]+::product(?:v2)?/aws/guardduty$`)
	hubID            = actions.NewPattern(`^[\x21-\x7e]{1,512}$`)
)

// fill sets a finding's names and the containments that fit. It returns ErrIgnored for
// a finding that detects no threat.
func (h hubFinding) fill(r Reader, a *Finding) error {
	found, ok := parseFindingARN(h.id)
	if ok = ok && guardDutyProduct.MatchString(h.product) && found.account == a.Account; ok {
		a.Partition, a.Region = found.partition, found.region
		a.Names = []string{found.name()}
		a.Link = found.link(*a)
	} else {
		if !h.threat {
			return fmt.Errorf("%w: it detects no threat", ErrIgnored)
		}
		a.Names = []string{a.Account + "/" + a.Region + "/securityhub/" + h.id}
		if base := console(a.Partition, a.Region); base != "" {
			a.Link = base + fmt.Sprintf(h.page, a.Region, url.QueryEscape(h.id))
		}
	}
	a.Type = hubType(h.types, ok)

	o := r.containments(a.Partition, a.Account, a.Region)
	var who []string
	for _, w := range h.actors {
		if len(h.instances) > 0 {
			w.instance = actions.LastPart(h.instances[0])
		}
		o.unsure(w.unsure, func() { o.actor(w) })
		w.tell(a)
		who = append(who, w.String())
	}
	if !ok {
		// Each account may import findings of its own, about any key: they must not
		// take the place of what GuardDuty, Trusted Advisor and Health say of it.
		a.Names = a.Names[:1]
		for i := range a.Actors {
			a.Actors[i] = "imported/" + a.Actors[i]
		}
	}
	for _, arn := range h.instances {
		region := o.region
		if g := strings.Split(arn, ":"); len(g) == 6 {
			region = g[3]
		}
		if owner := ownerOf(arn); actions.InstanceID.MatchString(actions.LastPart(arn)) && (owner == "" || owner == o.account) {
			o.instance(Containment{}, actions.LastPart(arn), region)
		}
	}
	if o.none() && len(o.byHand) == 0 {
		o.addByHand(byHandOther)
	}
	a.Principal, a.Resource = some(slices.Compact(who)), some(h.things)
	a.Containments, a.ByHand = o.list, o.byHand
	return nil
}

// hubType is the type of a finding. GuardDuty's types are written as GuardDuty writes
// them, so that routes match both alike.
func hubType(types []string, ofGuardDuty bool) string {
	if len(types) == 0 {
		return "Finding"
	}
	if !ofGuardDuty {
		return types[0]
	}
	purpose, rest, _ := strings.Cut(actions.LastPart(types[0]), ":")
	return purpose + ":" + strings.Replace(rest, "-", "/", 1)
}

// hubSeverity is a label's number, one that GuardDuty gives in that case, so that
// the same finding from there is not news.
// https://docs.aws.amazon.com/guardduty/latest/ug/guardduty_findings-severity.html
var hubSeverity = map[string]float64{"INFORMATIONAL": 0, "LOW": 2, "MEDIUM": 5, "HIGH": 8, "CRITICAL": 9}

// ownerOf is the account in an ARN; empty if there is none.
func ownerOf(arn string) string {
	if g := strings.Split(arn, ":"); len(g) >= 6 && actions.AccountID.MatchString(g[4]) {
		return g[4]
	}
	return ""
}

// hubActor is who acts with a resource, as its details in ASFF's shape tell: a function's role, or whose
// access key it is. UserName is what it was before there was PrincipalName.
// https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsIamAccessKeyDetails.html
// https://docs.aws.amazon.com/securityhub/1.0/APIReference/API_AwsLambdaFunctionDetails.html
func hubActor(details node) actor {
	if role := details.at("AwsLambdaFunction", "Role").text(); role != "" {
		return actor{kind: "Role", name: actions.LastPart(role), arn: role}
	}
	k := details.at("AwsIamAccessKey")
	return actor{
		kind: k.at("PrincipalType").text(), name: cmp.Or(k.at("PrincipalName").text(), k.at("UserName").text()), id: k.at("PrincipalId").text(),
		key: k.at("AccessKeyId").text(), arn: k.at("SessionContext", "SessionIssuer", "Arn").text(), account: k.at("AccountId").account(),
	}
}

// resource sorts a resource of a finding, whose type both formats spell alike but
// for case and colons. Of a key, owner is what is told of whose it is: without a key and a kind, a
// user's name. Of a function it is the role.
func (h *hubFinding) resource(kind, id string, owner actor, name string) {
	w := actor{name: actions.LastPart(id), arn: id, account: ownerOf(id)}
	switch strings.ToLower(strings.ReplaceAll(kind, ":", "")) {
	case "awsiamaccesskey":
		if key := actions.ResourceName(id); owner.key == "" && anyKey.MatchString(key) { // GuardDuty writes null for none
			owner.key = key
		}
		if owner.kind == "" && owner.id == "" && owner.key == "" && owner.name != "" {
			owner.kind, owner.unsure = "IAMUser", "The finding tells only a name, and calls it a user's."
		}
		if !owner.nobody() && !slices.ContainsFunc(h.actors, func(w actor) bool { return w == owner || w.key != "" && w.key == owner.key }) {
			h.actors = append(h.actors, owner)
		}
	case "awsiamuser":
		w.kind = "IAMUser"
		h.actors = append(h.actors, w)
	case "awsiamrole":
		w.kind = "AssumedRole"
		h.actors = append(h.actors, w)
	case "awsec2instance":
		h.instances = append(h.instances, id)
		h.things = append(h.things, join(" ", prefix("instance ", actions.LastPart(id)), brackets(name)))
	default:
		if owner.arn != "" {
			h.actors = append(h.actors, owner)
		}
		h.things = append(h.things, join(" ", kind, actions.ResourceName(id)))
	}
}
