package approvals

import (
	"fmt"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Offer is a containment that a card has a button for.
type Offer struct {
	Intent Intent
	Why    string // the reason of the request that the button makes

	Beside   bool   // beside what the card is about, not instead of it
	Unsure   string // why the target is not sure, in a sentence; empty for a sure one
	OneClick bool   // the click runs it, once the finding's source confirms it
	Auto     bool   // it runs by itself, once the finding's source confirms it
}

// Lets reports whether the offer may run in a mode without a second person.
func (o Offer) Lets(m ApprovalMode) bool {
	return m == OneClick && o.OneClick || m == Automatic && o.Auto
}

// Offers are the containments that a card offers, in the order of its buttons. Cards
// are drawn from this list, the bot reads clicks with it, and the executor proves
// them with it: a new kind of offer is a new entry.
type Offers []Offer

// RequestOffers are the containments that the card of a request offers: the gentler action, and
// the stronger one where it is possible, if the request's action has them.
func RequestOffers(id string, i Intent, o actions.Org) (offers Offers) {
	a, ok := o.Actions.Lookup(i.Call.Action)
	if !ok || i.Undo != "" {
		return nil
	}
	same := actions.Call{Target: i.Call.Target, Account: i.Call.Account, Region: i.Call.Region}
	if same.Action = a.Spec().Alternative; same.Action != "" {
		offers = append(offers, Offer{Intent: Intent{Call: same}, Why: "instead of " + id})
	}
	if same.Action = a.Spec().Stronger; same.Action != "" && !actions.WholeAccount(i.Call) && o.RefuseCall(same) == nil {
		offers = append(offers, Offer{Intent: Intent{Call: same}, Why: "beside " + id + ", where nobody in the account can lift it", Beside: true})
	}
	if more := a.Spec().More; more != nil {
		same = i.Call
		for option, value := range more.Options {
			same = same.With(option, value)
		}
		if same.String() != i.Call.String() {
			offers = append(offers, Offer{Intent: Intent{Call: same}, Why: "beside " + id + ", for more", Beside: true})
		}
	}
	return offers
}

// ByDigest finds the offer whose intent has a digest.
func (os Offers) ByDigest(digest string) (Offer, bool) {
	return os.find(func(o Offer) bool { return IntentDigest(o.Intent) == digest })
}

// ByButton finds the first offer that a button asks for, by its action_id.
func (os Offers) ByButton(id string) (Offer, bool) {
	return os.find(func(o Offer) bool { return o.AskedBy(id) })
}

func (os Offers) find(is func(Offer) bool) (Offer, bool) {
	i := slices.IndexFunc(os, is)
	if i < 0 {
		return Offer{}, false
	}
	return os[i], true
}

// Buttons are the action_ids of the buttons for the offers, in their order:
// propose:ACTION, or propose:ACTION:N if several offers have the same action.
func (os Offers) Buttons() []string {
	total, nth := map[actions.Name]int{}, map[actions.Name]int{}
	for _, o := range os {
		total[o.Intent.Call.Action]++
	}
	ids := make([]string, len(os))
	for i, o := range os {
		n := o.Intent.Call.Action
		ids[i] = Propose(n)
		if nth[n]++; total[n] > 1 {
			ids[i] += fmt.Sprintf(":%d", nth[n])
		}
	}
	return ids
}

// Propose is the action_id of the only button for an action; empty for none, it is what
// all such action_ids begin with.
func Propose(n actions.Name) string { return "propose:" + string(n) }

var offerNumber = actions.NewPattern(`^:[1-9][0-9]?$`)

// AskedBy reports whether a button with an action_id asks for the offer's action. It
// reads what [Offers.Buttons] writes, and no other suffix than a number up to 99.
func (o Offer) AskedBy(id string) bool {
	number, ok := strings.CutPrefix(id, Propose(o.Intent.Call.Action))
	return ok && (number == "" || offerNumber.MatchString(number))
}
