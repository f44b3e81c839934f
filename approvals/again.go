package approvals

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// AgainButton is the action_id of the button that asks again for a request's call. The
// button's value has the digest of the intent.
const AgainButton = "again"

// Again returns the plan, or the proved part, of a request whose call a person may ask for
// again by the button, with those whose denial that overrules, and the new request's reason.
// It returns ErrNotFound if the end of the old request is not recorded, an *[actions.Refusal]
// if the person may not: nobody overrules a denial about themselves.
func (t Runs) Again(ctx context.Context, id, person string, roster Roster, lookup func(actions.Name) (actions.Action, bool)) (p Planned, why string, err error) {
	run, err := t.Run(ctx, id)
	if err != nil {
		return p, "", err
	}
	p, err = t.Planned(ctx, id)
	if errors.Is(err, ErrNotFound) {
		if run.Unplanned == nil {
			return p, "", &actions.Refusal{Reason: "nothing proves who asked for " + id, Hint: "type the command"}
		}
		p, err = *run.Unplanned, nil
	}
	if run.Outcome == Denied && run.Withdrawn != nil {
		p.Overrules = append(p.Overrules, run.Withdrawn.Person)
	}
	p.Overrules = slices.DeleteFunc(p.Overrules, func(id string) bool { return id == "" || id == person }) // not proved, or their own
	switch {
	case err != nil:
	case !run.Outcome.MayAskAgain():
		err = &actions.Refusal{Reason: id + " is " + string(run.Outcome.orRunning()), Hint: "only what did not come about can be asked for again by this button"}
	case run.Outcome == Denied && p.Person == person:
		err = DeniedBefore(id)
	case len(p.Overrules) > 0 && slices.Contains(roster.Owners(p.Intent.Call, p.Plan.Identity), person):
		err = &actions.Refusal{Reason: id + " is about your own principal, and it was denied", Hint: "another person may ask again by this button; you can type the command"}
	case ToType(p.Intent, lookup):
		err = &actions.Refusal{Reason: "this is asked for by typing it", Hint: "the card of " + id + " opens the form with it, or has the line to send"}
	}
	return p, AgainReason(id, run, p.Reason), err
}

// DeniedBefore refuses the person whose request was denied.
func DeniedBefore(id string) *actions.Refusal {
	return &actions.Refusal{Reason: id + " was yours, and it was denied", Hint: "another person may ask again by this button; you can type the command"}
}

func (s State) orRunning() State {
	if s == "" {
		return Running
	}
	return s
}

// MayAskAgain reports whether cards of requests that ended in s offer to ask again.
func (s State) MayAskAgain() bool {
	return s == Expired || s == Denied || s == Cancelled || s == Failed || s == Refused
}

// ToType reports whether an intent can't be asked for again by one click: it can't be
// reverted in full, has a name to type, or gives credentials back.
func ToType(i Intent, lookup func(actions.Name) (actions.Action, bool)) bool {
	if i.Undo != "" {
		return i.ReactivateKeys
	}
	a, ok := lookup(i.Call.Action)
	return !ok || a.Spec().Quorum > 0 || i.Call.Options["confirm"] != ""
}

var askedAgain = regexp.MustCompile(`^again \(KS-[0-9A-Z]{12} [^()]*\): `)

// AgainReason is the reason of a request that asks again for what ended: how that ended,
// who denied it as far as that is proved, and its own reason.
func AgainReason(id string, run Run, reason string) string {
	ended := string(run.Outcome)
	if run.Withdrawn != nil && run.Withdrawn.Person != "" {
		ended += " by " + run.Withdrawn.Person
	}
	why := []rune(fmt.Sprintf("again (%s %s): %s", id, ended, askedAgain.ReplaceAllString(reason, "")))
	return string(why[:min(len(why), actions.MaxReason)])
}

// Line returns the line that asks for an intent when it is typed.
func (i Intent) Line(reason string) string {
	if i.Undo == "" {
		return i.Call.Line(reason)
	}
	undo, _, _ := strings.Cut(i.String(), ":")
	return undo + " " + reason
}

// ParseIntent reads what [Intent.String] writes, with the grammar of typed text.
func ParseIntent(text string, d actions.Directory) (i Intent, err error) {
	call := text
	if strings.HasPrefix(text, "undo ") {
		var undo string
		undo, call, _ = strings.Cut(text, ": ")
		c, err := ParseCommand(undo, d)
		if err != nil {
			return i, err
		}
		i.Undo, i.ReactivateKeys = c.ID, c.ReactivateKeys
	}
	i.Call, _, err = actions.Parse(call+` reason="again"`, d)
	return i, err
}
