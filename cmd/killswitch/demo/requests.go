package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/killswitch-chatops/killswitch/bot/slackfake"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

// person checks that there is somebody.
func person(id string) error {
	if slices.ContainsFunc(company.People, func(p company.Person) bool { return p.ID == id }) {
		return nil
	}
	return fmt.Errorf("%w: there is no person %q", errWrong, id)
}

// maxText is the limit on typed text, in characters.
const maxText = 4000

type typed struct {
	User string `json:"user"`
	Text string `json:"text"`
}

func command(ctx context.Context, st *stage, in typed) error {
	if err := person(in.User); err != nil {
		return err
	}
	if utf8.RuneCountInString(in.Text) > maxText {
		return fmt.Errorf("%w: a line has at most %d characters", errWrong, maxText)
	}
	return st.Type(ctx, in.User, in.Text)
}

type clicked struct {
	User   string `json:"user"`
	TS     string `json:"ts"`
	Action string `json:"action_id"`
	Value  string `json:"value"`
}

func click(ctx context.Context, st *stage, in clicked) error {
	if err := person(in.User); err != nil {
		return err
	}
	if in.TS == "" || in.Action == "" {
		return fmt.Errorf("%w: a click needs ts and action_id", errWrong)
	}
	return st.Click(ctx, in.User, in.TS, in.Action, in.Value)
}

type submitted struct {
	User   string                       `json:"user"`
	View   string                       `json:"view"`
	Values map[string]map[string]string `json:"values"`
}

func submit(ctx context.Context, st *stage, in submitted) error {
	if err := person(in.User); err != nil {
		return err
	}
	return st.Submit(ctx, in.User, in.View, in.Values)
}

// chosenField is a field of a form that Killswitch wants to hear of, with all that is entered beside it.
type chosenField struct {
	submitted
	Block  string `json:"block"`
	Action string `json:"action"`
	Value  string `json:"value"`
}

func choose(ctx context.Context, st *stage, in chosenField) error {
	if err := person(in.User); err != nil {
		return err
	}
	return st.Choose(ctx, in.User, in.View, in.Values, in.Block, in.Action, in.Value)
}

type dismissed struct {
	User string `json:"user"`
	View string `json:"view"`
}

func dismiss(ctx context.Context, st *stage, in dismissed) error {
	if err := person(in.User); err != nil {
		return err
	}
	return st.Dismiss(ctx, in.User, in.View)
}

type chosen struct {
	ID string `json:"id"`
}

// story starts a story, or without ID free play.
func (s *Server) story(ctx context.Context, st *stage, in chosen) error {
	if in.ID == "" {
		return s.reset(ctx, st, nil)
	}
	i := slices.IndexFunc(stories, func(x *story) bool { return x.ID == in.ID })
	if i < 0 {
		return fmt.Errorf("%w: there is no story %q", errWrong, in.ID)
	}
	return s.reset(ctx, st, stories[i])
}

// again restarts the current story, or free play.
func (s *Server) again(ctx context.Context, st *stage, _ struct{}) error {
	return s.reset(ctx, st, st.play.story)
}

type onward struct {
	As string `json:"as"`
}

func next(ctx context.Context, st *stage, in onward) error {
	if in.As != "" && in.As != "guide" {
		return fmt.Errorf("%w: as is guide, or left out", errWrong)
	}
	return st.play.next(ctx, in.As == "guide")
}

type timed struct {
	Advance string `json:"advance"`
	Speed   int    `json:"speed"`
}

// maxAdvance is the limit on one advance of the time.
const maxAdvance = 24 * time.Hour

func pass(ctx context.Context, st *stage, in timed) error {
	switch {
	case (in.Advance == "") == (in.Speed == 0):
		return fmt.Errorf("%w: say either advance or speed", errWrong)
	case in.Advance == "":
		if !slices.Contains([]int{1, 10, 60}, in.Speed) {
			return fmt.Errorf("%w: the speed is 1, 10 or 60", errWrong)
		}
		st.speed = in.Speed
		return nil
	}
	d, err := time.ParseDuration(in.Advance)
	if err != nil || d <= 0 || d > maxAdvance {
		return fmt.Errorf("%w: advance is a duration like 5m, %s at most", errWrong, maxAdvance)
	}
	_ = st.Advance(ctx, d) // what failed is tried again, and logged
	return ctx.Err()
}

type mode struct {
	Mode company.SlackMode `json:"mode"`
}

func outage(_ context.Context, st *stage, in mode) error {
	if !st.SetSlack(in.Mode) {
		return fmt.Errorf("%w: the mode is ok, down or limited", errWrong)
	}
	return nil
}

// words returns an error in words for people.
func words(err error) string {
	for _, known := range []struct {
		err  error
		text string
	}{
		{slackfake.ErrNoMessage, "There is no such message for this person any more."},
		{slackfake.ErrNoButton, "There is no such button on this message any more."},
		{slackfake.ErrNoView, "This form is not open any more."},
	} {
		if errors.Is(err, known.err) {
			return known.text
		}
	}
	text := strings.ReplaceAll(err.Error(), "slackfake: ", "")
	r, n := utf8.DecodeRuneInString(text)
	return strings.ToUpper(string(r)) + text[n:] + "."
}
