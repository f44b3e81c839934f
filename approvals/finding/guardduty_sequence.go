package finding

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/killswitch-chatops/killswitch/actions"
)

// sequence is what an attack sequence tells: several signals that belong
// together, of one or more actors, each with its own containments.
// https://docs.aws.amazon.com/guardduty/latest/APIReference/API_Sequence.html
func (f gdFinding) sequence(a *Finding, o *containments) {
	s := f.at("service", "detection", "sequence")
	if a.Text == "" {
		a.Text = s.at("description").text()
	}
	var who []string
	for _, n := range s.at("actors").items() {
		w := sequenceActor(n)
		o.actor(w)
		w.tell(a)
		if t := w.String(); !slices.Contains(who, t) {
			who = append(who, t)
		}
	}
	a.Principal = some(who)

	var resources []string
	for _, n := range s.at("resources").items() {
		kind, uid := n.at("resourceType").text(), n.at("uid").text()
		if kind == "ACCESS_KEY" {
			continue // an actor's
		}
		name := n.at("name").text()
		if name == "" {
			name = uid[strings.LastIndex(uid, "/")+1:]
		}
		resources = append(resources, strings.TrimSpace(plain(kind)+" "+name))
		if kind == "EC2_INSTANCE" {
			// In other sequences an instance may be what was attacked, not where from.
			var offer Containment
			if !strings.HasPrefix(a.Type, "AttackSequence:EC2/") {
				offer = Containment{Extra: true, Unsure: "The attack may have been on this instance, not from it."}
			}
			f.sequenceInstance(n, o, offer)
		}
	}
	a.Resource = some(resources)
	if len(o.list) == 0 && len(o.byHand) == 0 {
		o.addByHand(byHandFor(""))
	}
	a.Facts = sequenceFacts(s)
}

// sequenceActor is whose credentials took part.
func sequenceActor(n node) actor {
	user, session := n.at("user"), n.at("session")
	return actor{
		kind: user.at("type").text(), name: user.at("name").text(), id: user.at("uid").text(), key: user.at("credentialUid").text(),
		arn: session.at("issuer").text(), account: user.at("account", "uid").text(),
	}
}

func (f gdFinding) sequenceInstance(n node, o *containments, offer Containment) {
	id := n.at("uid").text()
	id = id[strings.LastIndex(id, "/")+1:]
	account, region := n.at("accountId").text(), n.at("region").region()
	if region == "" {
		region = o.region
	}
	if actions.InstanceID.MatchString(id) && (account == "" || account == o.account) {
		o.instance(offer, id, region)
	}
}

func sequenceFacts(s node) []Fact {
	var facts []Fact
	add := func(label string, all []string) { facts = append(facts, Fact{label, some(all)}) }
	add("From", each(s.at("endpoints"), func(n node) string {
		return join(" ", join(", ", n.at("ip").text(), n.at("domain").text()), brackets(join("; ",
			join(" ", n.at("autonomousSystem", "name").text(), prefix("AS", n.at("autonomousSystem", "number").text())),
			join(", ", n.at("location", "city").text(), n.at("location", "country").text()))))
	}))
	add("Signals", each(s.at("signals"), func(n node) string { return join(" ×", n.at("name").text(), n.at("count").text()) }))
	for _, n := range s.at("sequenceIndicators").items() {
		add(cmp.Or(n.at("title").text(), plain(n.at("key").text()), "Indicator"), texts(n.at("values")))
	}
	return facts
}

// plain writes HIGH_RISK_API as "High risk api".
func plain(key string) string {
	first, size := utf8.DecodeRuneInString(key)
	if size == 0 {
		return ""
	}
	return string(unicode.ToUpper(first)) + strings.ToLower(strings.ReplaceAll(key[size:], "_", " "))
}
