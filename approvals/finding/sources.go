package finding

import (
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
)

// EventSource reads the events of one product. A new one is a file in this package, a
// line in [Sources] and an event in testdata.
type EventSource struct {
	Name    Source
	Product string // its name for people
	// Takes reports whether the source reads events of an EventBridge source and
	// detail-type. An awsmock source is passed as the aws source that it stands for.
	Takes func(source, detailType string) bool
	// Read reads an event that it takes into findings, each with a name, a type, a title
	// and an account. It returns ErrIgnored for an event that is no finding, and any
	// other error, without the event's content, for one that it can't read; a problem
	// noted in a node makes the event unreadable, too. The Reader fills in the rest:
	// source, marks, limits of length, times that are missing.
	Read func(r Reader, e Envelope) ([]Finding, error)
	// Confirms is the kind of question (see package source) that confirms its findings;
	// empty if nobody can be asked. Read reads the answer, too, as the Envelope's detail; that
	// about a key is none.
	Confirms source.ConfirmationKind
}

// Confirmable reports whether what a source of Sources finds can be confirmed so far that an
// action may run without a second person. Of an exposed key IAM knows that it exists, so it
// is the key alone that may be deactivated.
func Confirmable(s Source, a actions.Name) bool {
	return slices.ContainsFunc(Sources(), func(e EventSource) bool {
		return e.Name == s && e.Confirms != "" && (e.Confirms != source.ConfirmKey || a == actions.DeactivateKey)
	})
}

// Sources are all that there are.
func Sources() []EventSource {
	return []EventSource{
		guardDuty,
		trustedAdvisor,
		health,
		cloudTrail,
		securityHub,
	}
}

// Envelope is EventBridge's part of an event.
// https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
type Envelope struct {
	Raw json.RawMessage // the whole event, or the whole answer of a source

	id         string
	source     string
	detailType string
	account    string
	region     string
	time       time.Time
	mock       bool // from an awsmock source
	detail     node // an object, also where it came as a text that holds one
}

const mockPrefix = "awsmock."

// isMock reports whether an event's source is one of those with which people try
// out rules: nobody but AWS can send as aws.
func isMock(source string) bool { return strings.HasPrefix(source, mockPrefix) }
