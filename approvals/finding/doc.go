// Package finding reads events: what happened, to whom, and which containments fit.
//
// A [Reader] holds the configuration. It reads an [Event] into [Finding]s, completely or
// not at all. A Finding has the [Containment]s that fit and, if a [Route] matches it, the
// offers of its card.
//
// An [EventSource] reads the events of one product. Each is one file, and they are
// listed in sources.go.
//
// [ReadTampering] reads what may be no finding at all: calls that can undo a containment.
package finding
