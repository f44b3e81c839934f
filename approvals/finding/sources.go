package finding

import (
	"strings"
	"time"
)

// eventSource reads one kind of event. A new one is a file, a line in sources and an
// event in testdata.
type eventSource struct {
	name Source
	// takes reports whether an event's source and detail-type are listed here. An
	// awsmock source is asked for as the aws source that it stands for.
	takes func(source, detailType string) bool
	// read makes alerts of an event that it takes. It returns ErrIgnored for what
	// is none of our business, and any other error for what it can't read, without
	// the event's content; what it noted in nodes makes the event unreadable, too.
	// Each alert has a name, a type, a title and an account. What is the same for
	// all (marks, lengths, times that are missing) comes after it.
	read func(r Reader, e envelope) ([]Alert, error)
}

// sources are all that there are.
var sources = []eventSource{
	guardDuty,
	trustedAdvisor,
	health,
	cloudTrail,
	securityHub,
}

// Sources are the names of the sources, as routes match them.
func Sources() (names []Source) {
	for _, s := range sources {
		names = append(names, s.name)
	}
	return names
}

// envelope is EventBridge's part of an event.
// https://docs.aws.amazon.com/eventbridge/latest/ref/overiew-event-structure.html
type envelope struct {
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
