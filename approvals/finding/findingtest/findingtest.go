// Package findingtest has sources for tests whose events contain findings as they are
// read, so that a test says what an event means instead of how a product spells it.
package findingtest

import (
	"cmp"
	"encoding/json"
	"fmt"

	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// Said is what an event says.
type Said struct {
	finding.Finding
	Bad     string `json:"bad,omitempty"`     // it can't be read, for this reason
	Ignored bool   `json:"ignored,omitempty"` // it is no finding
	Panics  bool   `json:"panics,omitempty"`  // its source has a bug
}

const prefix = "test."

type event struct {
	ID         string `json:"id"`
	Source     string `json:"source"`
	DetailType string `json:"detail-type"`
	Account    string `json:"account"`
	Detail     struct {
		Said []Said `json:"said"`
	} `json:"detail"`
}

// Event is one event, of the source and with the ID of the first finding. As an answer
// to a question it has the ID id.
func Event(said ...Said) json.RawMessage { return Answer("", said...) }

// Answer is what a source answers that is asked about the finding of an ID.
func Answer(id string, said ...Said) json.RawMessage {
	e := event{ID: cmp.Or(id, "event"), Source: prefix + string(finding.GuardDuty), DetailType: "findings", Account: "222222222222"}
	e.Detail.Said = said
	if len(said) > 0 {
		e.ID, e.Source = cmp.Or(id, said[0].EventID, "event"), prefix+string(said[0].Source)
	}
	b, err := json.Marshal(e)
	if err != nil {
		panic(err)
	}
	return b
}

// Sources are one such source for each that there is, under its name.
func Sources() []finding.EventSource {
	sources := finding.Sources()
	for i, s := range sources {
		sources[i].Takes = func(source, _ string) bool { return source == prefix+string(s.Name) }
		sources[i].Read = read
	}
	return sources
}

func read(_ finding.Reader, e finding.Envelope) (fs []finding.Finding, err error) {
	var in event
	if err := json.Unmarshal(e.Raw, &in); err != nil {
		return nil, err
	}
	for _, s := range in.Detail.Said {
		switch {
		case s.Panics:
			panic("a bug")
		case s.Bad != "":
			return nil, fmt.Errorf("%s", s.Bad)
		case s.Ignored:
			return nil, finding.ErrIgnored
		}
		fs = append(fs, s.Finding)
	}
	return fs, nil
}
