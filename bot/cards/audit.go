package cards

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

const (
	auditLimit    = 20 // events that are listed, beside those that decide
	auditDecides  = 20 // of those
	auditLineText = 90 // characters of a fact
	auditText     = 2900
)

// Audit tells what is recorded of a request: whether the record holds, the head of its chain to
// note down, who asked, who approved and how it ended, and then the newest of the rest. If the
// record was altered or something of it is missing, err says what.
func Audit(req approvals.Request, r audit.Record, err error) Message {
	id := req.ID
	state := fmt.Sprintf("*The record agrees with itself*: %s, head %s. Whether it is the one that was written tells: killswitch audit verify %s --bucket BUCKET",
		plural(len(r.Events), "event", "events"), Untrusted(r.Head.Hash), id)
	switch {
	case err != nil:
		state = "*" + sentence(Untrusted(err.Error()).String()) + "* Somebody altered the record, or took something out of it."
	case r.Empty() && unrecorded(req):
		state = "Nothing is recorded yet: it is not planned, and its end, if it has one, is about to be recorded."
	case r.Empty():
		state = fmt.Sprintf("*The record is missing*: the request is %s, and nothing is recorded of it. If it is not older than the retention, somebody took it away.", req.State)
	}
	lines := []string{"*Audit of " + id + "*", state}
	if b := r.Bucket; b != nil {
		lines = append(lines, bucketLine(*b))
	}
	m := Message{Text: "Audit of " + id, Blocks: []slack.Block{section("audit-head", strings.Join(lines, "\n"))}}
	var first, rest []audit.Event
	for _, e := range r.Events {
		if decides(e) {
			first = append(first, e)
		} else {
			rest = append(rest, e)
		}
	}
	if n := len(first) - auditDecides; n > 0 { // the first says who asked, the last how it ended
		first = slices.Delete(slices.Clone(first), auditDecides/2, auditDecides/2+n)
	}
	m.Blocks = append(m.Blocks, auditList("audit-decisions", "", first)...)
	newest := slices.Clone(rest[max(0, len(rest)-auditLimit):])
	slices.Reverse(newest)
	title := "*What else, the newest first*"
	if left := len(r.Events) - len(first) - len(newest); left > 0 {
		title += fmt.Sprintf(" (%s not shown: killswitch audit export %s has all)", plural(left, "event", "events"), id)
	}
	m.Blocks = append(m.Blocks, auditList("audit", title, newest)...)
	return m
}

// unrecorded reports whether the executor need not have recorded anything of a request: before its
// plan, and until it has seen the end of one that had none.
func unrecorded(r approvals.Request) bool {
	withoutIt := r.State == approvals.Denied || r.State == approvals.Cancelled || r.State == approvals.Expired
	return r.State == approvals.Planning || withoutIt && !r.Closed
}

func bucketLine(b audit.Bucket) string {
	switch {
	case b.Failed != "" && b.Seq == 0:
		return fmt.Sprintf(":warning: The executor noted that the bucket has taken no head of it, tried since %s: %s", day(b.Since), Untrusted(b.Failed))
	case b.Failed != "":
		return fmt.Sprintf(":warning: The executor noted that the bucket took its head up to event %d; a later one is not taken since %s: %s", b.Seq, day(b.Since), Untrusted(b.Failed))
	}
	return fmt.Sprintf("The executor noted that the bucket took its head up to event %d, at %s.", b.Seq, day(b.At))
}

// decides reports whether an event is of those that are shown before all others: what was asked,
// who approved it or did not, and how it ended.
func decides(e audit.Event) bool {
	switch e.Event {
	case "requested", "planned", "people_asked", "approved", "vote_rejected", "released", "broke_glass", "reviewed", "claimed", "retried", "contained", "partial", "failed", "restored",
		"undone", "refused", "denied", "cancelled", "expired", "reason", "not_started", "undo_begun":
		return true
	}
	return strings.HasPrefix(e.Event, "undo_")
}

// auditList is a list of events in as many characters as a section takes; nothing if there are none.
func auditList(id, title string, events []audit.Event) []slack.Block {
	if len(events) == 0 {
		return nil
	}
	var lines []string
	if title != "" {
		lines = append(lines, title)
	}
	n := len(title)
	for i, e := range events {
		line := fmt.Sprintf("%d · %s · %s", e.Seq, day(e.At), Untrusted(auditLine(e)))
		if n += len(line) + 1; n > auditText {
			lines = append(lines, fmt.Sprintf("… and %d more", len(events)-i))
			break
		}
		lines = append(lines, line)
	}
	return []slack.Block{section(id, strings.Join(lines, "\n"))}
}

// auditLine is an event in one line; documents are left out.
func auditLine(e audit.Event) string {
	parts := []string{e.Event}
	if e.Actor != "" {
		parts = append(parts, "by "+e.Actor)
	}
	for _, k := range []string{"intent", "reason", "unproved", "step", "result", "cause", "why", "target_id", "by", "digest", "evidence"} {
		s := e.Facts[k]
		if k == "digest" || k == "evidence" {
			s = s[:min(len(s), 12)] // as much as tells them apart
		}
		if s != "" {
			parts = append(parts, k+": "+Untrusted(s).Plain(auditLineText))
		}
	}
	return strings.Join(parts, " · ")
}
