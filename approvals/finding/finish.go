package finding

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

// How much of an alert's texts is kept, in characters: a card holds about 8,000.
const (
	maxTitle   = 300
	maxText    = 1000
	maxWord    = 200 // type, principal, resource
	maxLabel   = 40
	maxFact    = 300
	maxFacts   = 12
	maxOffers  = 10
	maxHand    = 700 // a call with an ARN of full length fits
	maxNames   = 10
	maxName    = 300 // bytes
	maxCount   = 1_000_000_000
	maxEventID = 100
	maxCause   = 300
	maxReason  = 300
	maxTouches = 200
)

// finish does the work that is the same for the findings of all sources.
func (r Reader) finish(a *Finding, s EventSource, drill string, e Envelope) {
	a.Source, a.Product = s.Name, s.Product
	a.EventID = brief(e.id, maxEventID)
	if brief(a.Title, maxTitle) == "" {
		a.Title = cmp.Or(brief(readable(a.Type), maxTitle), "Finding")
	}
	if a.Partition == "" {
		a.Partition = actions.PartitionOf(a.Region)
	}
	if a.Updated.IsZero() {
		a.Updated = e.time
	}
	a.Count = min(max(a.Count, 1), maxCount)
	r.dropImpossible(a)
	a.setMark(drill, e.mock)

	a.Type, a.Title, a.Text = cut(a.Type, maxWord), cut(a.Title, maxTitle), cut(a.Text, maxText)
	a.Principal, a.Resource, a.OwnRole = cut(a.Principal, maxWord), cut(a.Resource, maxWord), cut(a.OwnRole, maxWord)
	var facts []Fact
	for _, f := range a.Facts {
		if f.Text = cut(strings.TrimSpace(f.Text), maxFact); f.Text != "" && len(facts) < maxFacts {
			facts = append(facts, Fact{Label: cut(f.Label, maxLabel), Text: f.Text})
		}
	}
	a.Facts = facts
	for i := range a.ByHand {
		a.ByHand[i] = cut(a.ByHand[i], maxHand)
	}
}

// dropImpossible drops containments that can't be carried out here (samples, another
// partition, over the limit) and says so in ByHand.
func (r Reader) dropImpossible(a *Finding) {
	switch {
	case a.Mark == Sample:
		a.Containments, a.Subject, a.Names, a.Actors = nil, trail.Subject{}, a.Names[:1], nil
		a.ByHand = []string{"A sample finding: what it names does not exist, so there is nothing to contain."}
	case a.Partition != r.Org.Partition:
		for _, o := range a.Containments {
			a.ByHand = append(a.ByHand, fmt.Sprintf("This is in the partition %s, Killswitch works here in %s. There: %s", a.Partition, r.Org.Partition, o.Call))
		}
		a.Containments, a.Subject, a.Confirmation = nil, trail.Subject{}, source.Confirmation{} // nobody there can be asked
	case len(a.Containments) > maxOffers:
		a.ByHand = append(a.ByHand, fmt.Sprintf("%d more containments fit: see the finding, and type them.", len(a.Containments)-maxOffers))
		a.Containments = a.Containments[:maxOffers]
	}
	if n := len(a.ByHand); n > maxOffers {
		a.ByHand = append(a.ByHand[:maxOffers:maxOffers], fmt.Sprintf("%d more: see the finding.", n-maxOffers))
	}
	if len(a.Containments) == 0 {
		a.Containments = nil
	}
	a.Names, a.Actors = once(a.Names), once(a.Actors)
	for i, name := range a.Names {
		if len(name) > maxName { // it names the finding still, by its hash
			sum := sha256.Sum256([]byte(name))
			a.Names[i] = strings.ToValidUTF8(name[:maxName-2*len(sum)-1], "") + "#" + hex.EncodeToString(sum[:])
		}
	}
}

// once are the first names of a list, each once.
func once(names []string) (all []string) {
	for _, name := range names {
		if !slices.Contains(all, name) && len(all) < maxNames {
			all = append(all, name)
		}
	}
	return all
}

// setMark marks drills and mocks, and gives them names that no real finding has.
func (f *Finding) setMark(drill string, mock bool) {
	prefix := ""
	switch {
	case drill != "":
		f.Mark, prefix = Drill, "drill/"+drill+"/"
	case mock:
		f.Mark, prefix = Mock, "mock/"
	}
	for i := range f.Names {
		f.Names[i] = prefix + f.Names[i]
	}
	for i := range f.Actors {
		f.Actors[i] = prefix + f.Actors[i]
	}
}

// reason is the reason of requests that follow from a finding: always the same for the
// same finding, one line, and only characters that a typed reason may have.
func reason(a Finding) string {
	s := fmt.Sprintf("%s %s in %s %s", a.Product, a.Type, a.Account, a.Region)
	if a.Mark != "" {
		s = fmt.Sprintf("[%s] %s", a.Mark, s)
	}
	s = strings.Map(func(r rune) rune {
		if strings.ContainsRune("\"“”„‟«»＂", r) {
			return '\''
		}
		return r
	}, s)
	s, _ = actions.WithoutSecrets(actions.WithoutEmoji(brief(s, maxReason)))
	return s
}

// brief cuts a text to one line without invisible characters.
func brief(s string, most int) string {
	return cut(strings.Join(strings.Fields(actions.Clean(s)), " "), most)
}

// cut cuts a text to a number of characters.
func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	if rs := []rune(s); len(rs) > most {
		return string(rs[:most-1]) + "…"
	}
	return s
}
