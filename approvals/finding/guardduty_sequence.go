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
	var actors []actor
	for _, n := range s.at("actors").items() {
		w := sequenceActor(n)
		actors = append(actors, w)
		o.actor(w)
		w.tell(a)
		if t := w.String(); !slices.Contains(who, t) {
			who = append(who, t)
		}
	}
	var resources, profiles []string
	var clusters []node
	hasInstance := false
	for _, n := range s.at("resources").items() {
		kind := n.at("resourceType").text()
		switch kind {
		case "ACCESS_KEY":
			w := resourceActor(n)
			if !slices.ContainsFunc(actors, w.same) {
				o.unsure(unsureKey, func() { o.actor(w) })
				w.tell(a)
				who = append(who, w.String())
			}
			continue
		case "EC2_INSTANCE":
			// A sequence of credentials may have been on the instance; in the others it runs there.
			var offer Containment
			if strings.HasPrefix(a.Type, "AttackSequence:IAM/") || strings.HasPrefix(a.Type, "AttackSequence:S3/") {
				offer = Containment{Extra: true, Unsure: "The attack may have been on this instance, not from it."}
			}
			f.sequenceInstance(n.at("uid").text(), n, o, offer)
			hasInstance = true
			if !offer.Extra {
				profiles = append(profiles, n.at("data", "ec2Instance", "iamInstanceProfile", "arn").text())
			}
		case "IAM_INSTANCE_PROFILE": // what a group of instances has in common
			profiles = append(profiles, n.at("uid").text())
		case "EKS_CLUSTER", "ECS_CLUSTER":
			clusters = append(clusters, n)
		}
		resources = append(resources, sequenceResource(n, kind))
	}
	for _, n := range clusters {
		for _, data := range []string{"eksCluster", "ecsCluster"} {
			for _, uid := range texts(n.at("data", data, "ec2InstanceUids")) {
				if !hasInstance { // no node is named as the one: these are all
					f.sequenceInstance(uid, n, o, Containment{Unsure: "It is a node of the cluster, and the finding does not say whether the attack is on it."})
				}
			}
		}
	}
	for _, arn := range profiles { // after the instances, which get new sessions
		o.profileRole(arn)
	}
	a.Principal, a.Resource = some(who), some(resources)
	if o.none() && len(o.byHand) == 0 {
		o.addByHand(byHandOther)
	}
	if strings.HasPrefix(a.Type, "AttackSequence:EKS/") || strings.HasPrefix(a.Type, "AttackSequence:ECS/") {
		o.addByHand(byHandContainer)
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

// unsureKey is why credentials are not sure that are no actor's.
const unsureKey = "The finding has these credentials among its resources: no actor of it has them."

// resourceActor is whose credentials are among the resources. Who is a process has them nowhere else.
// https://docs.aws.amazon.com/guardduty/latest/APIReference/API_AccessKey.html
func resourceActor(n node) actor {
	k := n.at("data", "accessKey")
	w := actor{kind: k.at("userType").text(), name: k.at("userName").text(), id: k.at("principalId").text(), account: n.at("accountId").account()}
	for _, s := range []string{n.at("name").text(), n.at("uid").text()} {
		if key := actions.ResourceName(s); anyKey.MatchString(key) {
			w.key = key
		}
	}
	return w
}

// sequenceResource is a resource in words: a pod's namespace and a container's image are beside its name.
func sequenceResource(n node, kind string) string {
	name := cmp.Or(n.at("name").text(), actions.LastPart(n.at("uid").text()))
	return join(" ", plain(kind), join("/", n.at("data", "kubernetesWorkload", "namespace").text(), name),
		brackets(prefix("image ", n.at("data", "container", "image").text())))
}

// sequenceInstance offers an instance that is a resource, or belongs to the one at n.
func (f gdFinding) sequenceInstance(uid string, n node, o *containments, offer Containment) {
	id := actions.LastPart(uid)
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
