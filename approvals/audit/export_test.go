package audit_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// TestExportIsReadAgain whole, so that it can be verified; in another layout, too.
func TestExportIsReadAgain(t *testing.T) {
	r, _ := recordOf(id)
	r.Events[0].Facts["reason"] = "<b>&\u2028 \x00" // what JSON writes in more than one way
	o, _ := recordOf(otherID)
	var b bytes.Buffer
	if err := audit.WriteJSON(&b, []audit.Record{r, o}); err != nil {
		t.Fatal(err)
	}
	var flat bytes.Buffer
	if err := json.Compact(&flat, b.Bytes()); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{b.String(), flat.String(), strings.ReplaceAll(b.String(), `\u003cb\u003e`, "<b>")} {
		got, err := audit.ReadJSON(strings.NewReader(text))
		if err != nil || len(got) != 2 || got[1].Verify() != nil {
			t.Errorf("%v, %+v", err, got)
		}
	}
	got, _ := audit.ReadJSON(&b)
	if d := cmp.Diff([]audit.Record{r, o}, got); d != "" {
		t.Error(d)
	}
}

// TestOnlyExportsAreRead: what people would read otherwise than this program is refused.
func TestOnlyExportsAreRead(t *testing.T) {
	r, _ := recordOf(id)
	var b bytes.Buffer
	if err := audit.WriteJSON(&b, []audit.Record{r}); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for name, alter := range map[string][2]string{
		"a key twice":         {`"actor": "bob"`, `"actor": "carol", "actor": "bob"`},
		"a key in other case": {`"actor": "bob"`, `"Actor": "carol", "actor": "bob"`},
		"an unknown key":      {`"actor": "bob"`, `"actor": "bob", "approved_by": "carol"`},
		"another version":     {`"killswitch_audit": 1`, `"killswitch_audit": 2`},
		"no version":          {`"killswitch_audit": 1,`, ``},
		"no JSON":             {`"records": [`, `"records": [,`},
		"more behind it":      {"\n}\n", "\n}\n{}"},
		"no ID":               {`"id": "` + id + `"`, `"id": ""`},
		"another form":        {text, `[]`},
		"nothing":             {text, ``},
	} {
		altered := strings.Replace(text, alter[0], alter[1], 1)
		if got, err := audit.ReadJSON(strings.NewReader(altered)); err == nil || altered == text {
			t.Errorf("%s: it is read: %+v", name, got)
		}
	}
	twice := bytes.Buffer{}
	_ = audit.WriteJSON(&twice, []audit.Record{r, r})
	if _, err := audit.ReadJSON(&twice); err == nil {
		t.Error("one record twice is read")
	}
}

// TestSpreadsheetRunsNothing: a cell that begins like a formula is text.
func TestSpreadsheetRunsNothing(t *testing.T) {
	for _, evil := range []string{`=HYPERLINK("https://evil.example")`, "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＋1", "－1", "＠x"} {
		r := audit.Record{ID: evil, Head: audit.Start(evil)}
		r.Events = append(r.Events, r.Head.Append(audit.Event{Event: evil, Actor: evil, Facts: map[string]string{evil: evil}}, at))
		var b bytes.Buffer
		if err := audit.WriteCSV(&b, []audit.Record{r}); err != nil {
			t.Fatal(err)
		}
		lines, err := csv.NewReader(&b).ReadAll()
		if err != nil || len(lines) != 2 {
			t.Fatalf("%q: %v, %q", evil, err, lines)
		}
		want := strings.ReplaceAll(evil, "\r", "\n") // as the reader has it
		for _, i := range []int{0, 3, 4, 5} {
			if got := strings.ReplaceAll(lines[1][i], "\r", "\n"); !strings.HasPrefix(got, "'"+want) {
				t.Errorf("cell %d is %q", i, lines[1][i])
			}
		}
	}
	r, _ := recordOf(id)
	var b bytes.Buffer
	_ = audit.WriteCSV(&b, []audit.Record{r})
	want := id + ",3,2026-11-28T03:00:02Z,approved,bob,digest: d1; evidence: e2," + r.Events[1].Hash + "," + r.Events[2].Hash
	if !strings.Contains(b.String(), want) {
		t.Errorf("%s\nlacks %s", b.String(), want)
	}
}

// TestTimelineDoesNothing: in Markdown what comes from outside is in code, where there are no links, images,
// mentions and HTML, whatever signs it has.
func TestTimelineDoesNothing(t *testing.T) {
	evil := "![x](https://evil.example/x.png) <img src=x> @everyone [a](javascript:1) https://evil.example | `code` ```\n# head\n- [ ] \u202egnp \u200b"
	r := audit.Record{ID: id, Head: audit.Start(id), Plan: &audit.Plan{Person: evil, Intent: evil, Reason: evil, Digest: evil}, Run: &audit.Run{Outcome: evil}}
	r.Events = append(r.Events, r.Head.Append(audit.Event{Event: evil, Actor: evil, Facts: map[string]string{"why": evil, evil: evil}}, at))
	r.Head.Hash = evil
	var b bytes.Buffer
	if err := audit.WriteMarkdown(&b, []audit.Record{r}, func(audit.Record) string { return evil }); err != nil {
		t.Fatal(err)
	}
	spans := 0
	for line := range strings.Lines(b.String()) {
		parts := strings.Split(line, "````") // one more than in the text
		if len(parts)%2 == 0 {
			t.Errorf("a span is open at the end of %q", line)
		}
		for i, p := range parts {
			if i%2 == 1 {
				spans++
				continue
			}
			if strings.ContainsAny(p, "[]<>@|!") || strings.Contains(p, "evil") || strings.Contains(p, "````") {
				t.Errorf("outside of code: %q in %q", p, line)
			}
		}
	}
	if spans != 12 || strings.ContainsAny(b.String(), "\u202e\u200b") {
		t.Errorf("%d spans in %s", spans, b.String())
	}
	good, _ := recordOf(id)
	b.Reset()
	_ = audit.WriteMarkdown(&b, []audit.Record{good, good}, func(audit.Record) string { return "intact" })
	if want := "3. 2026-11-28 03:00:02 UTC **approved** by ` bob `\n   - digest: ` d1 `\n"; strings.Count(b.String(), want) != 2 {
		t.Errorf("%s\nlacks %s", b.String(), want)
	}
}
