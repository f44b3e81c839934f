package audit

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Record is all that is kept of a request for an audit: the events of its chain, and what
// the rows beside them say. It is what is exported: evidence and its response URLs are not
// in it.
type Record struct {
	ID     string  `json:"id"`
	Head   Head    `json:"head"`             // as stored; that of an empty chain if there is none
	Plan   *Plan   `json:"plan,omitempty"`   // nil: it has none
	Run    *Run    `json:"run,omitempty"`    // nil: it neither ran nor ended
	Signed bool    `json:"signed,omitempty"` // of a statement's chain: there is an attestation
	Bucket *Bucket `json:"bucket,omitempty"` // nil: no head of it was ever brought to a bucket
	Events []Event `json:"events"`
}

// Plan is what the row of a plan says.
type Plan struct {
	Person   string `json:"person"`
	Intent   string `json:"intent"`
	Reason   string `json:"reason"`
	Evidence string `json:"evidence"` // key of the requester's
	Digest   string `json:"digest"`
}

// Run is what the row of a run says.
type Run struct {
	Outcome   string    `json:"outcome,omitempty"` // empty while it runs
	Attempt   int       `json:"attempt"`           // 0: it never ran
	Approvers []string  `json:"approvers,omitempty"`
	Ended     time.Time `json:"ended,omitzero"`
}

// Empty reports whether nothing at all is recorded.
func (r Record) Empty() bool {
	return len(r.Events) == 0 && r.Head.Seq == 0 && r.Plan == nil && r.Run == nil && !r.Signed && r.Bucket == nil
}

// Follow returns the end of the chain's events. It returns ErrBroken with the end of those
// that hold.
func (r Record) Follow() (Head, error) {
	h := Start(r.ID)
	for _, e := range r.Events {
		if err := h.Follow(e); err != nil {
			return h, err
		}
	}
	return h, nil
}

// Verify checks the chain, its head, the order of its dates, and that the plan and the run are
// what the chain tells. It returns ErrBroken with every difference.
func (r Record) Verify() error {
	end, err := r.Follow()
	if err == nil {
		err = end.Ends(r.Head)
	}
	if err != nil {
		return err
	}
	var wrong []string
	add := func(differs bool, format string, args ...any) {
		if differs {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	r.checkOrder(add)
	if strings.HasPrefix(r.ID, StatementPrefix) {
		add(r.Signed != (len(r.Events) > 0), "attestation and chain are not there together")
		return broken(wrong)
	}
	alone := r.Plan == nil && r.Run == nil
	switch {
	case len(r.Events) == 0 && alone && r.Bucket == nil:
		return nil
	case len(r.Events) == 0:
		return broken([]string{"the chain is empty beside its plan, its run or what was kept of it"})
	case alone:
		return broken([]string{"its plan and its run are missing"})
	}
	r.checkPlan(add)
	r.checkRun(add)
	if r.Bucket != nil && r.Bucket.Seq > 0 {
		add(r.Bucket.Seq > len(r.Events) || r.Events[r.Bucket.Seq-1].Hash != r.Bucket.Hash, "the head that was brought to the bucket is not in it")
	}
	return broken(wrong)
}

// StatementPrefix begins the ID of a chain about a statement that was signed at the command line.
const StatementPrefix = "statement#"

func broken(wrong []string) error {
	if len(wrong) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrBroken, strings.Join(wrong, "; "))
}

// last finds the last event of one of these names that has a fact.
func (r Record) last(fact string, names ...string) (Event, bool) {
	for _, e := range slices.Backward(r.Events) {
		if slices.Contains(names, e.Event) && (fact == "" || e.Facts[fact] != "") {
			return e, true
		}
	}
	return Event{}, false
}

func (r Record) checkPlan(add func(bool, string, ...any)) {
	asked, told := r.last("", "requested")
	switch p := r.Plan; {
	case p == nil:
		add(told, "its plan is missing")
	case !told:
		add(true, "the chain does not tell who asked")
	default:
		digest, _ := r.last("digest", "planned", "people_asked")
		add(p.Person != asked.Actor || p.Evidence != asked.Facts["evidence"], "the plan names another requester")
		add(p.Intent != asked.Facts["intent"], "the plan asks for something else")
		add(p.Reason != asked.Facts["reason"], "the plan has another reason")
		add(p.Digest != digest.Facts["digest"], "the plan is for another call")
	}
}

func (r Record) checkRun(add func(bool, string, ...any)) {
	ends, attempts, end := r.outcomes()
	if r.Run == nil {
		add(attempts > 0 || len(ends) > 0, "its run is missing")
		return
	}
	add(r.Run.Attempt != attempts, "the run is at attempt %d, the chain at %d", r.Run.Attempt, attempts)
	add(!slices.Contains(ends, r.Run.Outcome), "the run says %s, the chain says %s", word(r.Run.Outcome), words(ends))
	add(!end.endedAt(r.Run.Ended), "the run ended at another time than the chain tells")
	approved, alone := r.approvers()
	for _, id := range r.Run.Approvers {
		add(!slices.Contains(approved, id), "the chain does not tell that %s approved", id)
	}
	for _, id := range approved {
		add(!alone && !slices.Contains(r.Run.Approvers, id), "the run does not say that %s approved", id)
	}
}

// approvers are who approved before the run was claimed; nobody if it was not. alone reports that
// somebody broke the glass: then approvals did not count.
func (r Record) approvers() (ids []string, alone bool) {
	for _, e := range r.Events {
		switch e.Event {
		case "approved":
			ids = append(ids, e.Actor)
		case "broke_glass":
			alone = true
		case "claimed":
			return ids, alone
		}
	}
	return nil, false
}

func word(outcome string) string {
	if outcome == "" {
		return "running"
	}
	return outcome
}

func words(outcomes []string) string {
	var ws []string
	for _, o := range outcomes {
		ws = append(ws, word(o))
	}
	if len(ws) == 0 {
		return "that it never began"
	}
	return strings.Join(ws, " or ")
}

// outcomes are what the run's row may say after the chain's events; "" is a run under way.
// More than one is possible where the watch, which makes few events, or an undo that failed
// decides. attempts counts the times that it was begun; end is the event that ended it last.
func (r Record) outcomes() (ends []string, attempts int, end Event) {
	var before []string
	for _, e := range r.Events {
		switch name := e.Event; name {
		case "claimed", "retried":
			attempts++
			before, ends = ends, []string{""}
		case "contained", "partial":
			ends, end = []string{"contained", "partial"}, e
		case "failed", "restored", "undone", "expired":
			ends, end = []string{name}, e
		case "refused":
			ends, end = []string{name}, e
			if attempts > 0 { // an undo that had begun
				ends = append(ends, "partial")
			}
		case "denied", "cancelled":
			if e.endsIt() {
				ends, end = []string{name}, e
			}
		case "not_started":
			if ends = before; e.Facts["state"] != "" {
				ends, end = []string{e.Facts["state"]}, e
			}
		default:
			if strings.HasPrefix(name, "undo_") && name != "undo_begun" && !slices.Contains(ends, "partial") {
				ends = append(ends, "partial", "contained")
			}
		}
	}
	return ends, attempts, end
}

// endsIt reports whether a no ends the request; otherwise it only ends the retries.
func (e Event) endsIt() bool {
	ended := e.Facts["ended"]
	return ended == "" || ended == "failed" || ended == "partial" && strings.HasPrefix(e.Facts["intent"], "undo ")
}
