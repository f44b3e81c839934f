package cards

import (
	"fmt"
	"strings"

	"github.com/slack-go/slack"

	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// auditLimit bounds how many events are shown.
const auditLimit = 25

// Audit tells what stands in a request's audit chain: the last events of it. If the
// chain is broken, err says how.
func Audit(id string, events []audit.Event, err error) Message {
	state := fmt.Sprintf("The chain of %s is intact.", plural(len(events), "event", "events"))
	if err != nil {
		state = "*" + sentence(err.Error()) + "* Somebody altered the record."
	}
	var lines []string
	for _, e := range events[max(0, len(events)-auditLimit):] {
		lines = append(lines, fmt.Sprintf("%s %s", e.At.UTC().Format("15:04:05"), Untrusted(auditLine(e))))
	}
	m := Message{Text: "Audit of " + id, Blocks: []slack.Block{section("audit-head", "*Audit of "+id+"*\n"+state)}}
	if len(lines) > 0 {
		m.Blocks = append(m.Blocks, section("audit", strings.Join(lines, "\n")))
	}
	return m
}

// auditLine is an event in one line; documents are left out.
func auditLine(e audit.Event) string {
	parts := []string{e.Event}
	if e.Actor != "" {
		parts = append(parts, "by "+e.Actor)
	}
	for _, k := range []string{"intent", "reason", "step", "result", "cause", "why", "target_id"} {
		if s := e.Facts[k]; s != "" {
			parts = append(parts, k+": "+Untrusted(s).Plain(120))
		}
	}
	return strings.Join(parts, " · ")
}
