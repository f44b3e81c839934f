package cards

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TraceView is what the list of what a principal made shows.
type TraceView struct {
	ID    string // of the request or alert
	Trace approvals.Trace
	// Acting are the requests that wait, run or are in force, by their targets.
	Acting  map[string][]approvals.Request
	Actions actions.Catalog
	Aliases func(account string) string
	Now     time.Time
}

// Of one message; a longer list has more of them.
const (
	maxTraceText   = 7000
	maxTraceBlocks = 46
)

// TraceReplies are the messages with the list, kept up to date as things are contained; and of older
// lists, which posted holds by their keys, that there is a newer one.
func TraceReplies(v TraceView, posted map[string]string) (rs []Reply) {
	key := func(edition, part int) string { return fmt.Sprintf("trace-%d-%d", edition, part) }
	for edition := 1; edition < v.Trace.Edition; edition++ {
		for part := 1; posted[key(edition, part)] != ""; part++ {
			old := note("%s: what %s made: more was found, see the newer list below. (list %d.%d)", v.ID, Untrusted(v.Trace.Whose), edition, part)
			rs = append(rs, Reply{Key: key(edition, part), Live: true, Message: old})
		}
	}
	if v.Trace.Edition == 0 {
		return nil
	}
	for i, m := range v.messages() {
		if len(v.Trace.Traced) == 0 {
			m.Rank = PlanRank // nobody waits for it
		}
		m.Marker = fmt.Sprintf("(%s, list %d.%d)", v.ID, v.Trace.Edition, i+1)
		m.Text += " " + m.Marker
		rs = append(rs, Reply{Key: key(v.Trace.Edition, i+1), Live: true, Message: m})
	}
	return rs
}

// messages is the list in as many messages as it takes.
func (v TraceView) messages() (ms []Message) {
	t := v.Trace
	text := v.ID + ": " + v.summary()
	again := slack.NewButtonBlockElement("trace", approvals.Value(v.ID, "-"), plain("Look again"))
	again.AccessibilityLabel = "Look again: " + v.ID
	foot := []slack.Block{slack.NewContextBlock("trace-limits", mrkdwn(strings.Join(trail.Activity{}.Limits()[:1], " ")+" Looked up "+day(t.At)+", since "+day(t.From)+". All times are UTC.")), slack.NewActionBlock("trace-actions", again)}
	head := []slack.Block{slack.NewHeaderBlock(plain(Untrusted("What " + t.Whose + " made").Plain(maxHeader))), section("trace", v.head())}
	if t.Unread != "" {
		return []Message{{Text: text, Blocks: []slack.Block{slack.NewHeaderBlock(plain("What it made: not looked up")), section("trace", v.head()), foot[1]}}}
	}
	blocks, offers, begun := head, []tracedOffer(nil), false
	begin := func(title string) { blocks = append(blocks, section(fmt.Sprintf("head-%t", begun), title)) }
	end := func(more ...slack.Block) {
		number(offers)
		ms = append(ms, Message{Text: text, Blocks: append(blocks, more...)})
	}
	title, made := "", false
	for i, x := range t.Traced {
		if i == 0 || x.Made != made {
			made, begun = x.Made, i > 0
			title = "*Made*: nothing of it was there before."
			if !made {
				title = "*Changed or used*: it was there before, and others may need it. Look who does."
			}
			begin(title)
		}
		entry, shown := v.entry(i, x, len(offers))
		if len(blocks)+len(entry)+len(foot) > maxTraceBlocks || characters(append(append([]slack.Block{}, blocks...), entry...)) > maxTraceText {
			end()
			blocks, offers = []slack.Block{section("trace", "*"+v.ID+": what "+Untrusted(t.Whose).String()+" made, continued*"), section("head-more", title)}, nil
			entry, shown = v.entry(i, x, 0)
		}
		blocks, offers = append(blocks, entry...), append(offers, shown...)
	}
	end(foot...)
	return ms
}

// tracedOffer is a containment with its button in a message.
type tracedOffer struct {
	approvals.Offer
	button *slack.ButtonBlockElement
}

// number gives the buttons of a message their action_ids.
func number(shown []tracedOffer) {
	var offers approvals.Offers
	for _, o := range shown {
		offers = append(offers, o.Offer)
	}
	for i, id := range offers.Buttons() {
		shown[i].button.ActionID = id
	}
}

// counts are how many things were made, how many of them are contained or gone, and how many were there before.
func (v TraceView) counts() (made, done, used int) {
	for _, x := range v.Trace.Traced {
		switch {
		case !x.Made:
			used++
		case x.Gone(), v.contained(x):
			made++
			done++
		default:
			made++
		}
	}
	return made, done, used
}

func (v TraceView) summary() string {
	made, done, used := v.counts()
	whose := Untrusted(v.Trace.Whose).String()
	switch {
	case v.Trace.Unread != "":
		return "what was made could not be looked up."
	case made+used == 0:
		return "CloudTrail knows of nothing that " + whose + " made or changed."
	}
	return fmt.Sprintf("what %s made: %s, %d contained or gone. It changed or used %d more.", whose, plural(made, "thing", "things"), done, used)
}

// head is the state of the list, and what is missing in it.
func (v TraceView) head() string {
	t := v.Trace
	if t.Unread != "" {
		return "*It could not be looked up:* " + Untrusted(sentence(Untrusted(t.Unread).Plain(maxCause))).String()
	}
	made, done, used := v.counts()
	lines := []string{fmt.Sprintf("*%d of %d made contained or gone.* %d changed or used.", done, made, used)}
	if made+used == 0 {
		lines = []string{"*CloudTrail knows of nothing that it made or changed.*"}
	}
	if t.More > 0 {
		lines = append(lines, fmt.Sprintf("*%d more are left out.*", t.More))
	}
	for _, gap := range t.Gaps {
		lines = append(lines, fmt.Sprintf("*%s*", Untrusted(Untrusted(gap).Plain(maxCause))))
	}
	return strings.Join(lines, "\n")
}

// thorough are the actions that contain a target whatever is offered for it.
var thorough = []actions.Name{actions.DenyPrincipal, actions.QuarantineUser, actions.DetachPolicies, actions.DeleteRole, actions.DeleteKey}

// contained reports whether a request contains it: by what is offered first, or by more.
func (v TraceView) contained(x approvals.Traced) bool {
	return slices.ContainsFunc(v.about(x), func(r approvals.Request) bool {
		action := r.Intent.Call.Action
		return r.State == approvals.Contained && (action == x.Contain[0].Action || slices.Contains(thorough, action))
	})
}

// about are the requests about its targets.
func (v TraceView) about(x approvals.Traced) (rs []approvals.Request) {
	for _, target := range (approvals.Trace{Traced: []approvals.Traced{x}}).Targets() {
		rs = append(rs, v.Acting[target]...)
	}
	return rs
}

// entry is one thing: what became of it, the deeds, and what contains it, in a message with so many offers
// before it.
func (v TraceView) entry(n int, x approvals.Traced, before int) (blocks []slack.Block, offers []tracedOffer) {
	name := strings.TrimSpace(x.Kind + " " + x.Name)
	place := v.Aliases(x.Account)
	if place == "" {
		place = x.Account
	}
	if x.Region != "" {
		place += ", " + x.Region
	}
	lines := []string{fmt.Sprintf("*%s* in %s, by %s", Untrusted(Untrusted(name).Plain(maxItem)), Untrusted(place), Untrusted(Untrusted(x.By).Plain(maxName+maxName)))}
	done := map[string]bool{}
	for _, r := range v.about(x) {
		what := r.Intent.Call.Action
		if a, ok := v.Actions.Lookup(what); ok {
			what = actions.Name(a.Spec().Title)
		}
		word := map[bool]string{true: "*Contained*", false: "*" + (View{Request: r}).word() + "*"}[r.State == approvals.Contained]
		lines = append(lines, fmt.Sprintf("%s: %s (%s)%s", word, Untrusted(what), r.ID, linkTo(" · ", r.Card)))
		done[approvals.IntentDigest(r.Intent)] = true
	}
	for i, d := range x.Deeds {
		if i == len(x.Deeds)/2 && x.More > 0 {
			lines = append(lines, fmt.Sprintf("… %d more", x.More))
		}
		text := d.Text
		if rest, ends := strings.CutSuffix(text, " "+name); ends {
			text = rest + " it"
		}
		lines = append(lines, fmt.Sprintf("%s %s%s", d.At.UTC().Format("15:04:05"), Untrusted(Untrusted(text).Plain(maxItem)), v.presence(d)))
	}
	blocks = append(blocks, section(fmt.Sprintf("traced-%d", n), strings.Join(lines, "\n")))
	for _, c := range x.Contain {
		intent := approvals.Intent{Call: c}
		if text := intent.String(); !done[approvals.IntentDigest(intent)] && showable(text) && !x.Gone() {
			e := proposal(v.Actions, "", approvals.Value(v.ID, approvals.IntentDigest(intent)), c)
			verb, _, _ := strings.Cut(e.Text.Text, ":") // a phone has no room beside the call for more
			e.Text = plain(verb)
			asking(e, "Ask for this?", secondPerson+callTitle(v.Actions, c)+where(c, c.Account), "Ask for it")
			if x.Made && !v.contained(x) {
				danger(e)
			}
			offers = append(offers, tracedOffer{approvals.Offer{Intent: intent}, e})
			blocks = append(blocks, slack.NewSectionBlock(plain(text), nil, slack.NewAccessory(e), slack.SectionBlockOptionBlockID(approvals.OfferBlock(before+len(offers))), whole))
		}
	}
	if len(x.ByHand) > 0 && !x.Gone() {
		blocks = append(blocks, plainList(fmt.Sprintf("hand-%d", n), "By hand:", x.ByHand, maxByHand/2))
	}
	return blocks, offers
}

// presence is whether what a deed made was there when it was read.
func (v TraceView) presence(d approvals.Deed) string {
	switch {
	case d.Thing.Kind == source.Session && d.Thing.Until.IsZero():
		return ""
	case d.Thing.Kind == source.Session && v.Now.Before(d.Thing.Until):
		return ", a session until " + clock(d.Thing.Until)
	case d.Thing.Kind == source.Session:
		return ", a session that is over"
	case d.Unread != "":
		return ": not read whether it is there, " + Untrusted(Untrusted(d.Unread).Plain(maxName+maxName)).String()
	}
	return map[source.Presence]string{
		source.There: ": *there*", source.Off: ": there, and off", source.Gone: ": gone", source.Replaced: ": gone, another one has its name",
	}[d.Presence]
}
