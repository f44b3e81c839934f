package audit

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// export is the form of an exported file.
type export struct {
	Version int      `json:"killswitch_audit"`
	Records []Record `json:"records"`
}

const exportVersion = 1

// WriteJSON writes records so that [ReadJSON] reads them: whole, with all hashes.
func WriteJSON(w io.Writer, records []Record) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if records == nil {
		records = []Record{}
	}
	return e.Encode(export{exportVersion, records})
}

// errExport is the error of a file that is not an export.
var errExport = errors.New("it is not what `killswitch audit export` writes as JSON")

// ReadJSON reads what [WriteJSON] wrote, in any layout. It refuses what WriteJSON would not
// have written, such as a key twice or an unknown one: nothing would verify it, and people
// would read it.
func ReadJSON(r io.Reader) ([]Record, error) {
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	var x export
	if err := json.Unmarshal(text, &x); err != nil {
		return nil, fmt.Errorf("%w: %w", errExport, err)
	}
	var again bytes.Buffer
	if err := WriteJSON(&again, x.Records); err != nil {
		return nil, err
	}
	if x.Version == exportVersion && !slices.Equal(tokens(text), tokens(again.Bytes())) {
		return nil, fmt.Errorf("%w: a key is unknown, missing or there twice", errExport)
	}
	if x.Version != exportVersion {
		return nil, fmt.Errorf("%w: it has version %d, this program reads %d", errExport, x.Version, exportVersion)
	}
	seen := map[string]bool{}
	for _, rec := range x.Records {
		if rec.ID == "" || seen[rec.ID] {
			return nil, fmt.Errorf("%w: %q is there twice, or has no ID", errExport, rec.ID)
		}
		seen[rec.ID] = true
	}
	return x.Records, nil
}

// tokens are the tokens of a JSON text.
func tokens(text []byte) (ts []json.Token) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for {
		t, err := d.Token()
		if err != nil {
			return ts
		}
		ts = append(ts, t)
	}
}

// WriteCSV writes a line for each event. A cell that a spreadsheet would take for a formula
// begins with an apostrophe.
// https://owasp.org/www-community/attacks/CSV_Injection
func WriteCSV(w io.Writer, records []Record) error {
	c := csv.NewWriter(w)
	_ = c.Write([]string{"request", "seq", "at", "event", "actor", "facts", "prev", "hash"}) // Flush has its error
	for _, r := range records {
		for _, e := range r.Events {
			line := []string{r.ID, strconv.Itoa(e.Seq), e.At.UTC().Format(time.RFC3339), e.Event, e.Actor, strings.Join(e.facts(": "), "; "), e.Prev, e.Hash}
			for i := range line {
				line[i] = cell(line[i])
			}
			_ = c.Write(line)
		}
	}
	c.Flush()
	return c.Error()
}

// cell disarms a cell. Signs of full width are read as formulas by some spreadsheets, too.
func cell(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return strings.ContainsRune("=+-@\t\r\n＝＋－＠", r) }) == 0 {
		return "'" + s
	}
	return s
}

// facts are an event's details in the order of their names.
func (e Event) facts(between string) (fs []string) {
	for _, k := range slices.Sorted(maps.Keys(e.Facts)) {
		fs = append(fs, k+between+e.Facts[k])
	}
	return fs
}

// WriteMarkdown writes a timeline of each record for an incident report. Everything that
// comes from outside stands in code, where nothing is a link, an image, a mention or HTML.
// state says of each record in words whether it holds.
func WriteMarkdown(w io.Writer, records []Record, state func(Record) string) error {
	var b bytes.Buffer
	for i, r := range records {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "## Audit of %s\n\n", code(r.ID))
		if p := r.Plan; p != nil {
			fmt.Fprintf(&b, "- request: %s\n- asked for by: %s\n- reason: %s\n- call digest: %s\n", code(p.Intent), code(p.Person), code(p.Reason), code(p.Digest))
		}
		if run := r.Run; run != nil {
			fmt.Fprintf(&b, "- outcome: %s\n", code(word(run.Outcome)))
		}
		fmt.Fprintf(&b, "- record: %s\n- head: %s events, hash %s\n\n", code(state(r)), strconv.Itoa(r.Head.Seq), code(r.Head.Hash))
		for _, e := range r.Events {
			number := strconv.Itoa(e.Seq) + ". "
			fmt.Fprintf(&b, "%s%s **%s**", number, e.At.UTC().Format("2006-01-02 15:04:05 UTC"), plain(e.Event))
			if e.Actor != "" {
				b.WriteString(" by " + code(e.Actor))
			}
			b.WriteString("\n")
			for _, k := range slices.Sorted(maps.Keys(e.Facts)) {
				fmt.Fprintf(&b, "%s- %s: %s\n", strings.Repeat(" ", len(number)), plain(k), code(e.Facts[k]))
			}
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// code is a text as a code span of CommonMark: its fence is longer than any in the text, it is
// one line, and nothing in it is invisible or turns its direction.
// https://spec.commonmark.org/0.31.2/#code-spans
func code(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r), unicode.IsControl(r):
			return ' '
		case unicode.In(r, unicode.Cf, unicode.Co, unicode.Other_Default_Ignorable_Code_Point):
			return -1
		}
		return r
	}, s)
	longest, run := 0, 0
	for _, r := range s {
		if run++; r != '`' {
			run = 0
		}
		longest = max(longest, run)
	}
	fence := strings.Repeat("`", longest+1)
	return fence + " " + s + " " + fence
}

// plain is a name of ours: a name that has anything but letters, digits and _ was altered, and
// is written as code.
func plain(s string) string {
	if strings.IndexFunc(s, func(r rune) bool { return r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z') }) >= 0 || s == "" || strings.HasPrefix(s, "_") {
		return code(s)
	}
	return strings.ReplaceAll(s, "_", `\_`)
}
