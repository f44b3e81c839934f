package cards

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// Message is what is sent to Slack: blocks, and the text for notifications and
// old clients. Neither goes without the other: chat.update with text alone
// deletes the blocks.
type Message struct {
	Text      string
	Blocks    []slack.Block
	Broadcast bool // in a thread: shown in the channel too
	// Marker is a part of the text by which the message is found again; empty: all of it.
	Marker string
	Rank   Rank
	// By is the person whose request it is about: they take turns. Empty: nobody's.
	By string
}

// Rank orders new messages where Slack takes fewer than there are.
type Rank int

// The ranks. A call mentions those who must act.
const (
	ResultRank Rank = iota
	CallRank
	CardRank
	PlanRank
)

// Shows is a hash of what the message shows.
func (m Message) Shows() string { return approvals.HashOf("message", m) }

// Found is the text by which the message is found again.
func (m Message) Found() string { return cmp.Or(m.Marker, m.Text) }

// View is all that a card shows. A card is a pure function of it.
type View struct {
	Org      actions.Org // its actions, and what they may be asked for on
	Request  approvals.Request
	Planned  *approvals.Planned // nil before the plan
	Run      *approvals.Run     // nil before the run
	Steps    []approvals.Step   // the first of the ledger
	Left     []approvals.Step   // of many steps those that were not done
	Stay     []string           // why steps stay that an undo could not take back, one cause each
	Report   *approvals.Report  // nil where there is none
	Trace    *TraceView         // likewise
	Alias    string             // of the account; may be empty
	Waiting  []approvals.Person // who may still approve
	Own      []approvals.Person // who has no vote, because the target is their own principal
	Owners   []approvals.Person // who may not approve, because they hold the key of the webhook that asked
	Group    string             // their Slack user group; may be empty
	Unsigned bool               // an approval from the command line is missing
	Now      time.Time
	// SocketMode: Slack signs nothing of what is clicked.
	SocketMode bool
}

// Limits of Slack's blocks, and ours where they are lower so that a card stays
// under 8,000 characters. https://docs.slack.dev/reference/block-kit/blocks
const (
	maxHeader  = 150
	maxText    = 3000
	maxListed  = 10
	maxItem    = 220
	maxConfirm = 300
	maxTarget  = 350 // in the fallback text, whose end must stay: the request's ID
	maxName    = 60
	maxCause   = 300
	maxList    = 1200 // characters of one list
	maxUndo    = 300
	// maxDecisive is how many warnings a card shows before a decision.
	maxDecisive = 2
	maxCalled   = 30 // people in one message
)

// MaxSteps is how many steps a card shows: the first of the ledger.
const MaxSteps = maxListed

// MaxReason is how long a reason may be, in characters.
const MaxReason = 600

// Card draws a request.
func Card(v View) Message {
	var b []slack.Block
	add := func(blocks ...slack.Block) { b = append(b, blocks...) }
	r := v.Request

	add(slack.NewHeaderBlock(plain(Untrusted(v.alarm() + v.title()).Plain(maxHeader))))
	add(verbatim(approvals.CallBlock, Untrusted(r.Intent.String()).Plain(maxText)))
	add(section("state", v.headline()))
	add(section("who", fmt.Sprintf("*Asked by* %s at %s%s · %s", asker(r), clock(r.Asked), origin(r), v.reach())))
	add(verbatim(approvals.ReasonBlock, Untrusted(approvals.ReasonLine(r.Requester.Person, r.Reason)).Plain(maxText)))
	if released := v.modeLine(); released != "" {
		add(section("release", released))
	}
	undecided := v.undecided() && v.Planned != nil
	if undecided {
		add(section("decide", v.decisive()))
	}
	add(v.outcome(false)...)
	if votes := v.votes(); votes != "" {
		add(section("votes", votes))
	}
	if buttons := v.buttons(); len(buttons) > 0 {
		add(slack.NewActionBlock("actions", buttons...))
	}
	if undecided && !v.final() { // it may be long, and a phone's first screen ends with the buttons
		add(section("back", Untrusted(v.comesBack()).String()))
	}
	if line := v.againLine(); line != "" {
		add(verbatim("again-line", line))
	}
	add(foot(mrkdwn(fmt.Sprintf("%s · updated %s", r.ID, clock(v.Now))), v.SocketMode))
	return Message{Text: entities(v.fallback()), Blocks: b, Rank: CardRank}
}

// foot is the end of a card, below its buttons.
func foot(line *slack.TextBlockObject, socketMode bool) slack.Block {
	if !socketMode {
		return slack.NewContextBlock("id", line)
	}
	return slack.NewContextBlock("id", line, plain("Socket Mode: no signature stands behind a click"))
}

// Call is the card of a request that has just become pending, as a new message: Slack
// notifies of its text, which calls those who may approve.
func Call(v View) Message {
	m := Card(v)
	r := v.Request
	m.Rank = CallRank
	m.Text = fmt.Sprintf("Approve? %s. %s. By %s. %s", v.whoAsks(asker(r)), Untrusted(Untrusted(approvals.ReasonLine(r.Requester.Person, r.Reason)).Plain(maxItem)), clock(r.Expires), entities(v.fallback()))
	return m
}

// whoAsks calls those who may approve, and says who asks them for what.
func (v View) whoAsks(asker string) string {
	title := v.title()
	what := Untrusted(strings.ToLower(title[:1]) + title[1:]).Plain(maxTarget) // names keep their capitals
	return fmt.Sprintf("%s: %s asks to %s%s", v.approvers(), asker, Untrusted(what), Untrusted(v.where()))
}

// approvers mentions who may still approve: their Slack user group if there is one, and all of it may;
// where they are too few, who asked for it.
func (v View) approvers() string {
	if r := v.Request; v.short() {
		return cmp.Or(Called{People: append([]approvals.Person{{Slack: r.Requester.Slack}}, v.Waiting...)}.String(), mention(r.Requester.Slack))
	}
	if usergroup.MatchString(v.Group) && len(v.Own) == 0 && len(v.Owners) == 0 && len(v.Request.Overrules) == 0 {
		return Called{Usergroups: []string{v.Group}}.String()
	}
	return cmp.Or(Called{People: v.Waiting}.String(), "nobody is left who may")
}

// usergroup is the form of a Slack user group's ID.
var usergroup = actions.NewPattern(`^S[A-Z0-9]{2,20}$`)

// CardToRead is the card with the plan and without its buttons: what is clicked must be
// the request's own message.
func CardToRead(v View) Message {
	m := Card(v)
	m.Blocks = append(m.Blocks, v.plan()...)
	m.Blocks = slices.DeleteFunc(m.Blocks, func(b slack.Block) bool { return b.BlockType() == slack.MBTAction })
	return m
}

// slackID is what Slack's user IDs look like; anything else is not made a mention.
var slackID = actions.NewPattern(`^[UW][A-Z0-9]{2,20}$`)

func mention(user string) string {
	if !slackID.MatchString(user) {
		return "(unknown)"
	}
	return "<@" + user + ">"
}

// asker is who asked for a request.
func asker(r approvals.Request) string {
	if r.Requester.Person == approvals.AutomaticRequester {
		return "Killswitch itself"
	}
	if id, ok := approvals.RequestingWebhook(r.Requester.Person); ok {
		return "the webhook " + Untrusted(Untrusted(id).Plain(maxName)).String()
	}
	return mention(r.Requester.Slack)
}

// nobody reports whether no person asked for a request: there is nobody who could cancel it, or be told.
func nobody(r approvals.Request) bool {
	_, webhook := approvals.RequestingWebhook(r.Requester.Person)
	return webhook || r.Requester.Person == approvals.AutomaticRequester
}

// origin is the alert that led to a request, for the middle of a sentence.
func origin(r approvals.Request) string {
	if !approvals.IsAlertID(r.Alert) {
		return ""
	}
	return " from alert " + r.Alert
}

// modeLine says what lets a request run where no second person does.
func (v View) modeLine() string {
	switch v.Request.Mode {
	case approvals.OneClick:
		text := "*Runs by one click*: this route wants no second person; "
		if v.Planned != nil { // the executor asks the source before it plans
			return text + "the finding was confirmed at its source."
		}
		return text + "the finding's source is asked to confirm it."
	case approvals.Automatic:
		text := "*Asked for by Killswitch itself*: route delivery auto; "
		if v.Planned != nil { // the executor asks the source before it plans
			return text + "the finding was confirmed at its source."
		}
		return text + "it runs only if the finding is confirmed at its source."
	case approvals.TwoPerson:
		if who := v.Request.Overrules; len(who) > 0 && v.undecided() {
			return fmt.Sprintf("*Overrules the denial* by %s, who has no vote on it.", Untrusted(strings.Join(who, ", ")))
		}
		if _, ok := approvals.RequestingWebhook(v.Request.Requester.Person); ok && v.undecided() {
			text := "*Asked for by a webhook's key*, behind which nobody stands: "
			if len(v.Owners) > 0 {
				return text + "who holds it may not approve."
			}
			return text + "it needs one approval more."
		}
		if v.Planned != nil && v.Planned.ModeCause != "" && v.undecided() {
			text := "*One click was not enough*"
			if v.Request.Requester.Person == approvals.AutomaticRequester {
				text = "*Not confirmed at its source*, so it does not run by itself, and needs one approval more"
			}
			return fmt.Sprintf("%s: %s", text, Untrusted(sentence(Untrusted(v.Planned.ModeCause).Plain(maxItem))))
		}
	}
	return ""
}

// undecided reports whether people can still stop a request before it changes something.
func (v View) undecided() bool {
	return v.Request.State == approvals.Pending || v.Request.State == approvals.Approved
}

// decisive is what decides about an approval, in few lines: what it does, what it hits and
// that it can't be undone. The whole plan is in the thread.
func (v View) decisive() string {
	p := v.Planned.Plan
	var texts []string
	if len(v.Steps) > 0 {
		does := "*Does* " + Untrusted(line(v.Steps[0].Step.Title)).String()
		if v.Steps[0].Step.Many {
			does = "*Does to each* " + Untrusted(line(v.Steps[0].Step.After)).String()
		} else if more := v.changing() - 1; more > 0 {
			does += fmt.Sprintf(", and %s", plural(more, "step more", "steps more"))
		}
		texts = append(texts, does)
	}
	for _, w := range p.Warnings[:min(len(p.Warnings), maxDecisive)] {
		texts = append(texts, "• "+Untrusted(Untrusted(line(w)).Plain(maxItem)).String())
	}
	if more := len(p.Warnings) - maxDecisive; more > 0 {
		texts = append(texts, fmt.Sprintf("• %s: in the thread", plural(more, "warning more", "warnings more")))
	}
	if v.final() {
		texts = append(texts, Untrusted(v.comesBack()).String())
	}
	return strings.Join(texts, "\n")
}

// final reports whether nothing takes back what is planned.
func (v View) final() bool { return !v.Planned.Plan.Reversible && v.Request.Intent.Undo == "" }

// comesBack says how a containment is undone, or an undo.
func (v View) comesBack() string {
	p := v.Planned.Plan
	text := "It can't be undone."
	if p.Reversible {
		text = "Undo " + p.Undo + "."
	} else if !v.final() {
		text = "To contain it again: " + p.Undo + "."
	}
	return Untrusted(text).Plain(maxUndo) + v.liftable()
}

// liftable says that an administrator of the account can take the containment back.
func (v View) liftable() string {
	if v.Planned == nil || v.Planned.Plan.Liftable == "" {
		return ""
	}
	return Untrusted(" An administrator of the account can lift it: " + v.Planned.Plan.Liftable + ".").Plain(maxUndo)
}

// notContained begins all that is said of a containment whose goals don't all hold.
const notContained = "NOT CONTAINED: "

// alarm is the beginning of a card whose target is not contained by what ran.
func (v View) alarm() string {
	if v.Request.Intent.Undo == "" && v.Request.State.Missed() {
		return notContained
	}
	return ""
}

func (v View) title() string {
	title := callTitle(v.Org.Actions, v.Request.Intent.Call)
	if v.Request.Intent.Undo != "" {
		title = "Undo: " + strings.ToLower(title[:1]) + title[1:]
	}
	return title
}

// callTitle is what a call does, to what.
func callTitle(catalog actions.Catalog, call actions.Call) string {
	title := string(call.Action)
	if a, ok := catalog.Lookup(call.Action); ok {
		title = a.Spec().TitleOf(call)
	}
	if actions.WholeAccount(call) {
		return title + ": all roles"
	}
	return title + ": " + catalog.TargetName(call)
}

func (v View) account() string {
	id := Untrusted(v.AccountID()).Plain(maxName)
	if id == "" {
		return "not known yet"
	}
	if v.Alias != "" {
		return Untrusted(v.Alias).Plain(maxName) + " (" + id + ")"
	}
	return id
}

// reach is the target's account, or whose accounts they are.
func (v View) reach() string {
	switch c := v.Request.Intent.Call; {
	case c.OfPerson():
		return "*Accounts* all of the organization"
	case c.OfUnit():
		return "*Accounts* all in it"
	}
	return "*Account* " + Untrusted(v.account()).String()
}

// where says in which account, or that it is every one.
func (v View) where() string { return where(v.Request.Intent.Call, v.account()) }

func where(c actions.Call, account string) string {
	switch {
	case c.Everywhere():
		return " in every account"
	case c.OfUnit():
		return ", every account in it"
	}
	return " in account " + account
}

// AccountID is the target's account; of a key that was given without, it is known
// once it is planned.
func (v View) AccountID() string {
	if v.Planned != nil && v.Request.Intent.Call.Account == "" {
		return v.Planned.Account
	}
	return v.Request.Intent.Call.Account
}

// word is the state as the contract spells it.
func (v View) word() string {
	if r := v.Request; r.State == approvals.Pending {
		return fmt.Sprintf("pending %d/%d", len(r.Votes), r.Need)
	} else if r.State == "" {
		return "unknown"
	}
	return string(v.Request.State)
}

// fallback starts with the state, then action, target, account, request ID.
func (v View) fallback() string {
	i := v.Request.Intent
	action := Untrusted(i.Call.Action).Plain(maxName)
	if i.Undo != "" {
		action = "undo " + action
	}
	text := fmt.Sprintf("%s%s: %s%s %s%s · %s", v.word(), v.but(), v.alarm(), action, Untrusted(i.Call.Target).Plain(maxTarget), v.where(), v.Request.ID)
	if i.Undo != "" {
		text += " (undo of " + i.Undo + ")"
	}
	if g := v.glass(); g != nil {
		text += fmt.Sprintf(" · BREAK-GLASS: %s acted alone: %s", Untrusted(cmp.Or(g.Name, g.Person)).Plain(maxName), Untrusted(g.Reason).Plain(maxItem))
	}
	return Untrusted(text).Plain(maxText)
}

// headline says where things stand and what is needed next; of what one person did alone it says that
// first, for good.
func (v View) headline() string {
	glass := v.glass()
	if glass == nil {
		return v.stands()
	}
	text := "*" + v.alone() + "*"
	if by := glass.Reviewed; by != nil {
		text += fmt.Sprintf(" Reviewed by %s at %s.", mention(by.Slack), clock(by.At))
	} else {
		text += " Nobody else has reviewed it yet."
	}
	return text + "\n" + v.stands()
}

// glass is who let the request run alone; nil if nobody did.
func (v View) glass() *approvals.BreakGlass {
	if v.Run == nil || !v.Run.Started {
		return nil
	}
	return v.Run.BreakGlass
}

// alone says who acted alone, and why.
func (v View) alone() string {
	g := v.glass()
	text := fmt.Sprintf("BREAK-GLASS: %s acted alone: %s", Untrusted(cmp.Or(g.Name, g.Person)).Plain(maxName), Untrusted(g.Reason).Plain(maxCause))
	return Untrusted(sentence(text)).String()
}

// stands says where things stand.
func (v View) stands() string {
	r := v.Request
	state := "*" + strings.ToUpper(v.word()[:1]) + v.word()[1:] + "*"
	left := func(t time.Time) string {
		return fmt.Sprintf("by %s, %s left", local(t), span(t.Sub(v.Now)))
	}
	switch r.State {
	case approvals.Planning:
		if r.Cause != "" {
			return state + ": reading the target's state takes its time; it is tried again. " + v.because()
		}
		if r.Mode != approvals.TwoPerson {
			return state + ": reading the target's state; then it runs. Nothing has been changed."
		}
		return state + ": reading the target's state. Nothing has been changed."
	case approvals.Pending:
		if v.short() {
			return state + ": " + v.whoActsAlone() + " Nothing has been changed."
		}
		signed := "from the command line: killswitch approve " + r.ID + ". Nothing has been changed."
		if v.Unsigned && len(r.Votes) >= r.Need {
			return fmt.Sprintf("%s: enough have clicked; %s one approval must still come %s", state, left(r.Expires), signed)
		}
		who := "a second responder"
		switch left := r.Need - len(r.Votes); {
		case left > 1 && nobody(r):
			who = fmt.Sprintf("%d responders", left)
		case left > 1:
			who = fmt.Sprintf("%d other responders", left)
		case len(r.Votes) == 0 && nobody(r):
			who = "a responder"
		case len(r.Votes) > 0:
			who = "another responder"
		}
		if v.Unsigned {
			return fmt.Sprintf("%s: %s must approve %s; one approval must come %s", state, who, left(r.Expires), signed)
		}
		return fmt.Sprintf("%s: %s must approve %s. Nothing has been changed.", state, who, left(r.Expires))
	case approvals.Approved:
		return state + ": about to start."
	case approvals.Running:
		if v.Run != nil && v.Run.Progress.Total > 0 {
			return state + ": " + v.progress()
		}
		if v.Run != nil && v.Run.Progress.Listed > 0 {
			return fmt.Sprintf("%s: reading what is there, %d roles so far.", state, v.Run.Progress.Listed)
		}
		done := 0
		for _, s := range v.Steps {
			if s.Finished() && s.Step.Look == "" {
				done++
			}
		}
		return fmt.Sprintf("%s: %d of %d steps done.", state, done, max(done, v.changing()))
	case approvals.Contained:
		return fmt.Sprintf("%s at %s%s: %s%s", state, local(v.verified()), v.but(), v.readBack(), v.watch())
	case approvals.Restored:
		return fmt.Sprintf("%s at %s: %s", state, local(v.verified()), v.restored())
	case approvals.Partial, approvals.Failed:
		return state + ": " + v.shortfall() + v.because() + v.watch()
	case approvals.Refused:
		return state + ": nothing was changed. " + v.because()
	case approvals.Denied:
		return fmt.Sprintf("%s%s: %s Another person may ask again.", state, v.denier(), v.afterNo())
	case approvals.Cancelled:
		return state + " by the requester: " + v.afterNo()
	case approvals.Expired:
		if r.Mode != approvals.TwoPerson {
			return state + ": it did not start in time. Nothing was changed."
		}
		return state + ": nobody approved in time, or it did not start in time. Nothing was changed."
	case approvals.Undoing:
		return fmt.Sprintf("%s: %s is taking this back.", state, v.undoneBy())
	case approvals.Undone:
		return fmt.Sprintf("%s by %s: %s", state, v.undoneBy(), v.undone())
	}
	return state
}

// short reports whether too few may approve, because the target is the others' own principal: then who
// asked can act alone.
func (v View) short() bool {
	r := v.Request
	return r.State == approvals.Pending && v.Planned != nil && v.Planned.Policy.BreakGlassAfter > 0 && len(v.Own) > 0 && len(r.Votes)+len(v.Waiting) < r.Need
}

// whoActsAlone has the line by which who asked acts alone, and from when on.
func (v View) whoActsAlone() string {
	r, p, from := v.Request, v.Planned, v.Request.Asked
	if p.At.After(from) {
		from = p.At
	}
	return fmt.Sprintf("too few may approve it. %s can act alone from %s on, by the command line: killswitch approve %s --break-glass %s --reason TEXT. It expires at %s.",
		mention(r.Requester.Slack), clock(from.Add(p.Policy.BreakGlassAfter)), r.ID, Untrusted(v.AccountID()).Plain(maxName), clock(r.Expires))
}

// shortfall says how far a run came that missed a goal.
func (v View) shortfall() string {
	switch {
	case v.Run != nil && v.Run.Progress.Total > 0:
		return v.counts() + ". "
	case v.Request.State == approvals.Partial && v.Request.Intent.Undo != "":
		return "not all of it is taken back. "
	case v.Request.State == approvals.Partial:
		return "the attacker may still have access. "
	case v.touched():
		return "no step was done. "
	}
	return "nothing was changed. "
}

// undone says how much of a containment is taken back.
func (v View) undone() string {
	if len(v.Stay) == 0 {
		return "what stood before stands again."
	}
	return "what could be taken back is back; " + v.stay()
}

// restored says the same of the undo itself.
func (v View) restored() string {
	if len(v.Stay) == 0 {
		return v.readBack()
	}
	return "what could be taken back is back and was read back; " + v.stay()
}

// stay counts the steps that stay, and gives the first one's cause.
func (v View) stay() string {
	cause := strings.TrimRight(Untrusted(v.Stay[0]).Plain(maxCause), ".")
	return fmt.Sprintf("%s: %s.", plural(len(v.Stay), "step stays", "steps stay"), Untrusted(cause))
}

// but follows the state of a containment of which a supporting step failed.
func (v View) but() string {
	if r := v.Request; r.State == approvals.Contained && r.Cause != "" {
		return ", but not in full"
	}
	return ""
}

// readBack says that everything holds, or what does not.
func (v View) readBack() string {
	switch {
	case v.Request.Cause != "":
		return v.because()
	case v.Run != nil && v.Run.Progress.Total > 0:
		return v.counts() + ", and what was done was read back" + v.enforced() + "."
	}
	return "every step was read back" + v.enforced() + "."
}

// enforced says when AWS enforces a containment: what is read back is the configuration.
func (v View) enforced() string {
	a, ok := v.Org.Actions.Lookup(v.Request.Intent.Call.Action)
	if !ok || v.Request.State != approvals.Contained {
		return ""
	}
	return "; AWS enforces it " + a.Spec().EnforcedWithin(v.Request.Intent.Call)
}

// counts are the steps of a run that has many; they add up.
func (v View) counts() string {
	p := v.Run.Progress
	s := fmt.Sprintf("%d of %d done", p.Done, p.Total)
	if p.Failed > 0 {
		s += fmt.Sprintf(", %d failed", p.Failed)
	}
	if p.Skipped > 0 {
		s += fmt.Sprintf(", %d left alone", p.Skipped)
	}
	return s
}

// barWidth is how many characters a bar has: it fits a phone's line.
const barWidth = 20

// progress is a bar, the counts, and how long it will take.
func (v View) progress() string {
	p := v.Run.Progress
	over := p.Done + p.Failed + p.Skipped
	full := over * barWidth / p.Total
	s := fmt.Sprintf("%s.\n%s%s %d %%", v.counts(), strings.Repeat("█", full), strings.Repeat("░", barWidth-full), over*100/p.Total)
	switch left := p.Left(); {
	case over == p.Total:
		s += ", reading it back"
	case left > 0:
		s += fmt.Sprintf(", about %s left", span(left+time.Second))
	}
	return s
}

// afterNo says what a no leaves as it is.
func (v View) afterNo() string {
	switch {
	case v.Run == nil || !v.Run.Started:
		return "nothing was changed."
	case v.Request.Intent.Undo != "":
		return "it is not tried again. What it took back stays taken back, the rest stays contained."
	}
	return "it is not tried again. No step holds."
}

// denier is who denied, for the middle of a sentence.
func (v View) denier() string {
	if v.Request.Denial == nil {
		return ""
	}
	return " by " + mention(v.Request.Denial.Slack)
}

func (v View) undoneBy() string {
	if !approvals.IsRequestID(v.Request.UndoneBy) {
		return "another request"
	}
	return v.Request.UndoneBy
}

// changing is the number of steps without those that only look.
func (v View) changing() int {
	n := max(len(v.Steps), v.steps())
	for _, s := range v.Steps {
		if s.Step.Look != "" {
			n--
		}
	}
	return n
}

func (v View) steps() int {
	if v.Planned == nil {
		return 0
	}
	return v.Planned.Steps
}

func (v View) verified() time.Time {
	if v.Run != nil && !v.Run.Verified.IsZero() {
		return v.Run.Verified
	}
	return v.Request.Ended
}

// watch says what the looks at what is in force found, and how long there will be more.
func (v View) watch() string {
	if v.Run == nil || v.Run.WatchUntil.IsZero() {
		return ""
	}
	var s string
	if told := v.Run.Told(); len(told) > 0 {
		last := told[len(told)-1]
		s = fmt.Sprintf(" Since then somebody undid it %s; the last time it was%s applied again.", times(last.N), not(!last.Reapplied))
	}
	if v.Run.Unread != "" {
		s += fmt.Sprintf(" *It can't be read since %s*: %s.", clock(v.Run.UnreadSince), Untrusted(strings.TrimRight(Untrusted(v.Run.Unread).Plain(maxCause), ".")))
	}
	return s + " " + v.watched()
}

// watched says until when what is in force is watched; empty if it is not.
func (v View) watched() string {
	switch {
	case v.Run == nil || v.Run.WatchUntil.IsZero():
		return ""
	case v.Run.NextCheck.IsZero():
		return "It was watched until " + date(v.Run.WatchUntil) + "; nobody watches it any more."
	}
	return "Watched until " + date(v.Run.WatchUntil) + "." + Untrusted(v.liftable()).String()
}

func not(is bool) string {
	if is {
		return " not"
	}
	return ""
}

func (v View) because() string {
	r := v.Request
	var parts []string
	for _, w := range r.Codes {
		parts = append(parts, Untrusted(whyNotThem(w)).String())
	}
	for _, text := range []string{r.Cause, r.Hint} {
		if text != "" {
			parts = append(parts, Untrusted(sentence(Untrusted(text).Plain(maxCause))).String())
		}
	}
	return strings.Join(parts, " ")
}

// plan shows what is going to happen, to what, and what it does not stop.
func (v View) plan() []slack.Block {
	if v.Planned == nil {
		return nil
	}
	p := v.Planned.Plan
	var b []slack.Block
	list := func(id, head string, items []string) {
		if len(items) > 0 {
			b = append(b, section(id, "*"+head+"*\n"+listed(items)))
		}
	}
	var steps []string
	for i, s := range v.Steps {
		steps = append(steps, fmt.Sprintf("%d. %s%s\nnow: %s\nthen: %s", i+1, line(s.Step.Title), mark(s), line(s.Step.Current), line(s.Step.After)))
	}
	list("warnings", "Be aware", lines(p.Warnings))
	if many := v.many(); many != "" {
		b = append(b, section("steps", many))
	} else {
		list("steps", "What will happen"+v.ofAll(), steps)
	}
	var facts []string
	target := "Target: " + p.Identity.ID
	if p.Identity.ARN != v.Request.Intent.Call.Target {
		target = "Target: " + p.Identity.ARN + " (" + p.Identity.ID + ")"
	}
	facts = append(facts, target)
	for _, f := range p.Facts {
		facts = append(facts, f.Label+": "+f.Text)
	}
	list("blast", "Blast radius", lines(facts))
	list("residual", "This does not stop", lines(p.Residual))
	return append(b, verbatim("undo-how", v.comesBack()))
}

// many tells what happens to each of many, and names the first.
func (v View) many() string {
	if len(v.Steps) == 0 || !v.Steps[0].Step.Many {
		return ""
	}
	var names []string
	for _, s := range v.Steps {
		if s.State != approvals.StepSkipped {
			names = append(names, Untrusted(Untrusted(stepName(s)).Plain(maxItem)).String())
		}
	}
	return fmt.Sprintf("*What will happen to each*\n• %s\n*In this order*\n%s …", Untrusted(line(v.Steps[0].Step.After)), strings.Join(names, ", "))
}

// mark tells a step's progress in words.
func mark(s approvals.Step) string {
	if s.Step.Look != "" {
		if s.State == approvals.StepVerified && s.Cause == "" {
			return " (looked at)"
		}
		return ""
	}
	switch s.State {
	case approvals.StepDoing:
		return " (under way)"
	case approvals.StepDone:
		return " (applied, not read back yet)"
	case approvals.StepVerified:
		return " (done, read back)"
	case approvals.StepFailed:
		return " (failed)"
	case approvals.StepRemoved:
		return " (removed by somebody)"
	case approvals.StepKept:
		return " (kept)"
	case approvals.StepDrifted:
		return " (drifted)"
	case approvals.StepSkipped:
		return " (left alone)"
	case approvals.StepPlanned:
		return ""
	}
	return ""
}

// outcome shows the steps of a run that ended, with their causes: all of the first ones, or
// those that went wrong.
func (v View) outcome(all bool) []slack.Block {
	if v.Run == nil || v.undecided() || v.Request.State == approvals.Running || v.Request.State == approvals.Refused || v.Request.State == approvals.Undone {
		return nil
	}
	shown := v.Steps
	if v.Run.Progress.Total > 0 { // what went well is counted; the thread lists the rest
		shown = v.Left
	}
	if all = all && v.Run.Progress.Total == 0; !all {
		shown = slices.DeleteFunc(slices.Clone(shown), func(s approvals.Step) bool {
			return s.State == approvals.StepVerified || s.State == approvals.StepSkipped && s.Step.Goal == ""
		})
	}
	var items []string
	for _, s := range shown {
		item := s.Step.Title + mark(s)
		if s.State == approvals.StepPlanned {
			item += " (not begun)"
		}
		if s.Cause != "" {
			item += ": " + s.Cause
		} else if s.Step.Skip != "" {
			item += ": " + s.Step.Skip
		}
		items = append(items, line(item))
	}
	items = append(items, lines(v.Run.Flags)...)
	if len(items) == 0 || !v.Run.Started {
		return nil
	}
	head := "What failed or differed"
	if all {
		head = "What happened" + v.ofAll()
	}
	return []slack.Block{section("result", "*"+head+"*\n"+listed(items))}
}

// ofAll tells how many steps there are where not all are shown.
func (v View) ofAll() string {
	if v.steps() <= len(v.Steps) {
		return ""
	}
	return fmt.Sprintf(" (the first of %d steps)", v.steps())
}

// votes says who approved and who still can.
func (v View) votes() string {
	r := v.Request
	var parts []string
	if len(r.Votes) > 0 {
		var who []string
		for _, vote := range r.Votes {
			who = append(who, fmt.Sprintf("%s at %s", mention(vote.Slack), clock(vote.At)))
		}
		parts = append(parts, "*Approved by* "+strings.Join(who, ", "))
	}
	if r.State == approvals.Pending {
		var who []string
		for _, p := range v.Waiting {
			who = append(who, mention(p.Slack))
		}
		if len(who) == 0 {
			who = []string{"nobody who is left: cancel it, or deny it"}
		}
		if v.short() && len(v.Waiting) == 0 {
			who = []string{"nobody"}
		}
		parts = append(parts, "*May approve* "+strings.Join(first(who, maxListed), ", "))
		if len(v.Own) > 0 {
			who = nil
			for _, p := range v.Own {
				who = append(who, mention(p.Slack))
			}
			parts = append(parts, "*No vote* "+strings.Join(first(who, maxListed), ", ")+": it is about them")
		}
		if len(v.Owners) > 0 {
			who = nil
			for _, p := range v.Owners {
				who = append(who, mention(p.Slack))
			}
			parts = append(parts, "*May not approve* "+strings.Join(first(who, maxListed), ", ")+": they hold the webhook's key")
		}
	}
	if no, said := r.No(); no != nil && r.State == approvals.Partial {
		parts = append(parts, fmt.Sprintf("*Not tried again*: %s by %s at %s", said, mention(no.Slack), clock(no.At)))
	}
	if r.Denial != nil && r.Denial.Reason != "" {
		parts = append(parts, fmt.Sprintf("*Denied because* %s", Untrusted(r.Denial.Reason)))
	}
	return strings.Join(parts, "\n")
}

// buttons are what a person may do next; who may is decided on the click.
func (v View) buttons() []slack.BlockElement {
	r := v.Request
	what := v.title() + v.where()
	approve := func() slack.BlockElement {
		when := "at once"
		if v.Unsigned {
			when = "once one approval has come from the command line, too"
		}
		return danger(asking(v.button("approve", "Approve"), "Approve this?", what+". It runs "+when+".", "Approve"))
	}
	details := v.button("details", "Details")
	var more []slack.BlockElement
	if _, _, ok := approvals.TraceSubject(r.Intent.Call); ok && v.Trace == nil && r.Intent.Undo == "" {
		more = append(more, v.button("trace", "What it made"))
	}
	more = append(more, details)
	no := []slack.BlockElement{
		asking(v.button("deny", "Deny"), "Deny this?", what+". Then it never runs, whoever approves.", "Deny"),
		asking(v.button("cancel", "Cancel"), "Cancel this?", what+". Only who asked for it can.", "Cancel"),
	}
	if nobody(r) {
		no = no[:1]
	}
	switch r.State {
	case approvals.Planning:
		if r.Mode != approvals.TwoPerson { // there is no later moment to say no
			return no
		}
		return no[len(no)-1:]
	case approvals.Pending:
		buttons := append([]slack.BlockElement{approve()}, no...)
		return append(append(buttons, v.offers(false)...), more...)
	case approvals.Approved:
		return append(no, details)
	case approvals.Running, approvals.Undoing, approvals.Undone, approvals.Restored:
		return []slack.BlockElement{details}
	case approvals.Contained, approvals.Partial, approvals.Failed:
		var e []slack.BlockElement
		if r.MayRetry(v.Now) {
			e = append(e, danger(asking(v.button("retry", "Retry what is left"), "Retry this?", what+". Steps that hold stay as they are.", "Retry")))
		}
		if r.Intent.Undo != "" {
			e = append(e, danger(asking(v.button("deny", "Withdraw"), "Withdraw this undo?",
				what+". It is not tried again; what holds stays. Another undo may be asked for.", "Withdraw")))
		} else if v.touched() && v.reversible() {
			e = append(e, v.undoButton())
		}
		return append(append(append(e, v.offers(true)...), v.againButtons()...), more...)
	case approvals.Denied, approvals.Cancelled:
		e := v.againButtons()
		if r.Intent.Undo == "" && v.Run != nil && v.Run.Started && v.touched() && v.reversible() {
			e = append([]slack.BlockElement{v.undoButton()}, e...)
		}
		return append(e, details)
	case approvals.Refused, approvals.Expired:
		return append(v.againButtons(), details)
	}
	return nil
}

func (v View) button(action, label string) *slack.ButtonBlockElement {
	e := slack.NewButtonBlockElement(action, approvals.Value(v.Request.ID, v.Request.Digest), plain(label))
	e.AccessibilityLabel = Untrusted(label + ": " + v.Request.ID).Plain(maxLabel)
	return e
}

// offers are the buttons of what to ask for instead of this, or beside it.
func (v View) offers(beside bool) (buttons []slack.BlockElement) {
	r := v.Request
	offers := approvals.RequestOffers(r.ID, r.Intent, v.Org)
	for i, id := range offers.Buttons() {
		a, ok := v.Org.Actions.Lookup(offers[i].Intent.Call.Action)
		switch {
		case !ok || offers[i].Beside != beside:
		case beside && offers[i].Intent.Call.Action == r.Intent.Call.Action:
			if more := a.Spec().More; more.For.MatchString(r.Reason) {
				buttons = append(buttons, danger(asking(v.button(id, more.Title), "Ask for this?", more.What+" Another person must approve it.", "Ask for it")))
			}
		case beside:
			what := "Deny everything to " + v.Org.Actions.TargetName(offers[i].Intent.Call) + v.where() + " by a service control policy, which nobody there can lift. Another person must approve it."
			buttons = append(buttons, danger(asking(v.button(id, "Deny by an SCP"), "Ask for this?", what, "Ask for it")))
		default:
			buttons = append(buttons, v.button(id, a.Spec().Title+" instead (reversible)"))
		}
	}
	return buttons
}

// undoButton asks to take a containment back.
func (v View) undoButton() slack.BlockElement {
	text := "Take back: " + v.title() + v.where() + ". Another person must approve it."
	return asking(v.button("undo", "Undo"), "Ask to undo this?", text, "Ask to undo")
}

// reversible reports whether undo can take anything back.
func (v View) reversible() bool { return v.Planned == nil || v.Planned.Plan.Reversible }

// touched reports whether a step was begun, so that there is something to undo.
func (v View) touched() bool {
	for _, s := range v.Steps {
		if s.State != approvals.StepPlanned {
			return true
		}
	}
	return false
}
