package cards

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// TestArgumentsOfAnswersAreEscaped: what an answer is given does nothing in it.
func TestArgumentsOfAnswersAreEscaped(t *testing.T) {
	for _, text := range []string{"words", evil, evilLong} {
		checkMessage(t, Say("%s", text))
		checkMessage(t, Say(CardMissing, text, "C0SEC"))
		checkMessage(t, Say(NothingToUndo, baseID, approvals.State(text)))
	}
	if got, want := Say(NoRequest, baseID, "/killswitch").Text, "There is no request "+baseID+". `/killswitch list` shows those that are open."; got != want {
		t.Errorf("Say = %q, want %q", got, want)
	}
}

func TestList(t *testing.T) {
	if m := List(Listing{}, Listing{}); m.Text != "Nothing is open and nothing is contained." {
		t.Errorf("an empty list: %q", m.Text)
	}
	var views []View
	for _, c := range cards {
		v := c.view()
		v.Request.Card.Channel, v.Request.Card.TS = "C0SEC", "1763694000.000100"
		v.Request.Card.Link = "https://acme.slack.com/archives/C0SEC/p1763694000000100?thread_ts=1763694000.000099&cid=C0SEC"
		views = append(views, v)
	}
	checkMessage(t, List(Listing{Views: views[:3]}, Listing{}))
	all := List(Listing{Views: views, More: 2}, Listing{Views: views})
	checkMessage(t, all)
	if text := string(document(t, all)); !strings.Contains(text, "more, asked before") {
		t.Errorf("it does not say where it was cut: %s", text)
	}
	text := string(document(t, List(Listing{Views: views[1:2]}, Listing{Views: views[7:8], More: 7})))
	for _, want := range []string{`*Open*`, `"pending 0/1: `, " · asked by <@U0ANA> 2 min ago, 18 min left", "&amp;cid=C0SEC|Open its card>", `"action_id": "details"`, `*In force, can be undone*`, `"contained: `, "and 7 more, asked before"} {
		if !strings.Contains(text, want) {
			t.Errorf("the list lacks %s: %s", want, text)
		}
	}
}

// TestListLinksToSlackAlone: nothing else becomes a link.
func TestListLinksToSlackAlone(t *testing.T) {
	v := cards[1].view()
	v.Request.Card.Channel, v.Request.Card.TS = "C0SEC", "1763694000.000100"
	for link, want := range map[string]bool{
		"": false, "https://acme.slack.com/archives/C0SEC/p1763694000000100": true, "https://acme.slack-gov.com/archives/C0SEC/p1763694000000100": true,
		"https://evil.example/archives/C0SEC/p1763694000000100": false, "https://acme.slack.com/archives/C0SEC/p1763694000000100|x": false, "http://127.0.0.1:80/archives/C0SEC/p1763694000000100": false,
		"https://acme.slack.com/archives/C0OTHER/p1763694000000100": false, "https://acme.slack.com/archives/C0SEC/p1763694000000101": false,
	} {
		v.Request.Card.Link = link
		if got := strings.Contains(string(document(t, List(Listing{Views: []View{v}}, Listing{}))), "Open its card"); got != want {
			t.Errorf("%q is a link: %v", link, got)
		}
	}
}

// recorded is a record with a chain of an end of these events.
func recorded(events ...audit.Event) audit.Record {
	r := audit.Record{ID: baseID, Head: audit.Start(baseID), Plan: &audit.Plan{}, Run: &audit.Run{}}
	for i, e := range events {
		r.Events = append(r.Events, r.Head.Append(e, asked.Add(time.Duration(i)*time.Second)))
	}
	return r
}

// TestAuditBeginsWithWhoDecided: with thousands of links who asked, who approved and the outcome are
// first, with dates, and the head is there to note down.
func TestAuditBeginsWithWhoDecided(t *testing.T) {
	events := []audit.Event{audit.New("requested", "alice", "reason", evilLong, "intent", evil), audit.New("planned", "", "digest", strings.Repeat("d", 64)),
		audit.New("approved", evil), audit.New("claimed", "")}
	for i := range 35 {
		events = append(events, audit.New(fmt.Sprintf("step-%d", i), "", "cause", evilLong, "wrote", "left out"))
	}
	r := recorded(append(events, audit.New("contained", ""))...)
	m := Audit(approvals.Request{ID: baseID, State: approvals.Contained}, r, nil)
	checkMessage(t, m)
	text := string(document(t, m))
	for want, there := range map[string]bool{"*The record agrees with itself*: 40 events, head " + r.Head.Hash: true, "killswitch audit verify " + baseID + " --bucket": true, "1 · " + asked.Format("2006-01-02 15:04:05 UTC") + " · requested · by alice": true,
		"3 · ": true, "40 · ": true, "39 · ": true, "5 · " + asked.Add(4*time.Second).Format("2006-01-02 15:04:05"): false, "left out": false, "altered": false, "not shown: killswitch audit export " + baseID: true} {
		if strings.Contains(text, want) != there {
			t.Errorf("%q is there: %v in %s", want, !there, text)
		}
	}
	if strings.Index(text, "contained") > strings.Index(text, "step-34") {
		t.Errorf("the outcome is not before the rest: %s", text)
	}
}

// TestAuditTellsWhatIsWrong: an altered record, one that is missing, and heads that the bucket does not take.
func TestAuditTellsWhatIsWrong(t *testing.T) {
	since := asked.Add(time.Hour)
	told := since.Format("2006-01-02 15:04:05 UTC")
	for name, c := range map[string]struct {
		request approvals.Request
		record  audit.Record
		err     error
		want    string
	}{
		"altered":             {approvals.Request{State: approvals.Pending}, recorded(audit.New("requested", "alice")), fmt.Errorf("%w: "+evil, audit.ErrBroken), "*The audit record is broken: "},
		"not planned":         {approvals.Request{State: approvals.Planning}, audit.Record{}, nil, "Nothing is recorded yet"},
		"denied a moment ago": {approvals.Request{State: approvals.Denied}, audit.Record{}, nil, "Nothing is recorded yet"},
		"denied":              {approvals.Request{State: approvals.Denied, Closed: true}, audit.Record{}, nil, "*The record is missing*: the request is denied"},
		"pending":             {approvals.Request{State: approvals.Pending}, audit.Record{}, nil, "*The record is missing*: the request is pending"},
		"taken away":          {approvals.Request{State: approvals.Contained, Closed: true}, audit.Record{}, nil, "*The record is missing*: the request is contained"},
		"not in the bucket":   {approvals.Request{State: approvals.Contained}, audit.Record{Bucket: &audit.Bucket{Failed: "AccessDenied " + evil, Since: since}}, nil, "the bucket has taken no head of it, tried since " + told + ": AccessDenied"},
		"late":                {approvals.Request{State: approvals.Contained}, audit.Record{Bucket: &audit.Bucket{Head: audit.Head{Seq: 4}, Failed: "AccessDenied", Since: since}}, nil, "up to event 4; a later one is not taken"},
		"in the bucket":       {approvals.Request{State: approvals.Contained}, audit.Record{Bucket: &audit.Bucket{Head: audit.Head{Seq: 4}, At: since}}, nil, "The executor noted that the bucket took its head up to event 4, at " + told},
	} {
		c.request.ID = baseID
		m := Audit(c.request, c.record, c.err)
		checkMessage(t, m)
		if text := string(document(t, m)); !strings.Contains(text, c.want) || strings.Contains(text, "agrees with itself") == (c.err != nil || c.record.Empty()) {
			t.Errorf("%s: %s", name, text)
		}
	}
}

// TestHelpTellsEveryKey with its values, how a target is written, and what each verb does.
func TestHelpTellsEveryKey(t *testing.T) {
	for _, a := range all.Actions {
		s := a.Spec()
		m := Help(all.Actions, "/killswitch", string(s.Name))
		checkMessage(t, m)
		text := string(document(t, m))
		for _, k := range append(s.Target.Options, s.Options...) {
			if want := k + "=" + strings.Join(s.Values[k], "|"); !strings.Contains(text, want) {
				t.Errorf("%s: help lacks %s: %s", s.Name, want, text)
			}
		}
		if !strings.Contains(text, s.Target.Forms) || s.Target.Forms == "" || !strings.Contains(text, s.Summary) {
			t.Errorf("%s: %s", s.Name, text)
		}
	}
	for topic, want := range map[string]string{"undo": "keys=reactivate", "approve": "The vote is a click", "revoke": "revoke_sessions*", "isolate": "isolate_instance*", "": "ACCOUNT/ALL"} {
		m := Help(all.Actions, "/killswitch", topic)
		checkMessage(t, m)
		if text := string(document(t, m)); !strings.Contains(text, want) {
			t.Errorf("help %q lacks %q: %s", topic, want, text)
		}
	}
}
