package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

// story is one incident, step by step.
type story struct {
	ID, Title, Summary string
	Steps              []step
	// Verdict says how it ended. Check expects what it says.
	Verdict string
	Check   func(*play)
}

// attacker is the Who of the attacker's steps.
const attacker = "attacker"

// step is one event of a story.
type step struct {
	Text string // what happens, in plain words
	Who  string // does it: a person, the attacker, or nobody: the story itself
	Hint string // what a person types or clicks
	// Do is the step itself: for a person's step the guide does it, where the person
	// does not.
	Do func(context.Context, *play) error
	// Done reports whether it has happened, whoever did it. It is nil for what the
	// story itself does.
	Done func(*play) bool
}

// play is a running story.
type play struct {
	*company.Company
	story  *story // nil in free play
	before awsfake.State
	at     int // the current step
	ended  bool
	said   string // the verdict

	requests []approvals.Request // as of the last look
	lifted   []time.Time         // when the attacker took a deny away
	// Who uses what: the attacker, the attacker by another way, and one of ours.
	bad, other, good *company.Credentials
	chained          *company.Credentials // what the attacker has by the other way
	amiss            []string             // what steps saw that is not as the story has it
}

// begin does the first steps of a story, unless they are a person's.
func (p *play) begin(ctx context.Context) error {
	if p.story.Steps[0].Done == nil {
		return p.next(ctx, false)
	}
	return nil
}

// next does the current step: the story's own, or with the guide anybody's.
func (p *play) next(ctx context.Context, guide bool) error {
	p.look(ctx)
	if p.story == nil {
		return errors.New("this is free play: choose a story first")
	}
	if p.at == len(p.story.Steps) {
		return errors.New("the story has ended")
	}
	s := p.story.Steps[p.at]
	if s.Done != nil && !guide {
		return fmt.Errorf("it is %s's turn: %s", name(s.Who), s.Hint)
	}
	if err := s.Do(ctx, p); err != nil {
		return err
	}
	if s.Done == nil {
		p.at++
	}
	p.look(ctx)
	return nil
}

// look goes on while what is current has happened. It reports whether it went on.
func (p *play) look(ctx context.Context) (went bool) {
	if p.story == nil || p.ended {
		return false
	}
	rs, err := p.Requests(ctx)
	if err != nil {
		return false
	}
	p.requests = rs
	for p.at < len(p.story.Steps) && p.story.Steps[p.at].Done != nil && p.story.Steps[p.at].Done(p) {
		p.at++
		went = true
	}
	if p.at == len(p.story.Steps) {
		p.ended, went = true, true
		p.story.Check(p)
		p.said = p.story.Verdict
		if len(p.amiss) > 0 {
			p.said = "Not as the story has it: " + strings.Join(p.amiss, "; ") + "."
		}
	}
	return went
}

type storyState struct {
	ID      string      `json:"id"`
	Title   string      `json:"title"`
	Steps   []stepState `json:"steps"`
	Ended   bool        `json:"ended"`
	Verdict string      `json:"verdict"`
}

type stepState struct {
	Text  string `json:"text"`
	Who   string `json:"who"`
	Hint  string `json:"hint"`
	State string `json:"state"` // done, current or todo
}

func (p *play) state() storyState {
	if p.story == nil {
		return storyState{Steps: []stepState{}}
	}
	s := storyState{ID: p.story.ID, Title: p.story.Title, Steps: []stepState{}, Ended: p.ended, Verdict: p.said}
	for i, x := range p.story.Steps {
		y := stepState{Text: x.Text, Who: x.Who, Hint: x.Hint, State: "todo"}
		switch {
		case i < p.at:
			y.State = "done"
		case i == p.at:
			y.State = "current"
		}
		s.Steps = append(s.Steps, y)
	}
	return s
}

func name(user string) string {
	for _, p := range company.People {
		if p.ID == user {
			first, _, _ := strings.Cut(p.Name, " ")
			return first
		}
	}
	return "somebody"
}
