package finding

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
)

// node is a place in a JSON document. Keys match in exact case, unlike in
// encoding/json's structs. A value of a wrong type is noted as a problem; it makes the
// whole event unreadable, so that no finding is half-filled. A value that is missing or
// null reads as the zero value.
type node struct {
	v     any
	path  string
	wrong *[]string
}

// parse reads one JSON document.
func parse(body []byte) (node, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	n := node{wrong: new([]string)}
	if err := d.Decode(&n.v); err != nil {
		return n, fmt.Errorf("not JSON, %d bytes", len(body))
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return n, fmt.Errorf("more than one JSON document, %d bytes", len(body))
	}
	return n, nil
}

func (n node) note(problem string) {
	const most = 5
	problem = strings.TrimSpace(n.path + " " + problem)
	if len(*n.wrong) < most && !slices.Contains(*n.wrong, problem) {
		*n.wrong = append(*n.wrong, problem)
	}
}

// problems are the problems noted anywhere in the document, or "".
func (n node) problems() string { return strings.Join(*n.wrong, "; ") }

// at goes down by keys.
func (n node) at(keys ...string) node {
	for _, key := range keys {
		next := node{path: strings.TrimPrefix(n.path+"."+key, "."), wrong: n.wrong}
		switch m := n.v.(type) {
		case map[string]any:
			next.v = m[key]
		case nil:
		default:
			n.note("is not an object")
		}
		n = next
	}
	return n
}

// exists reports whether there is a value other than null.
func (n node) exists() bool { return n.v != nil }

// required notes a problem if the value is missing or an empty text.
func (n node) required() node {
	if n.v == nil || n.v == "" {
		n.note("is missing")
	}
	return n
}

// text is a string, or a number as it is written.
func (n node) text() string {
	switch v := n.v.(type) {
	case nil:
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		n.note("is not a text")
	}
	return ""
}

// textOrBool is a text, or a boolean as it is written.
func (n node) textOrBool() string {
	if b, ok := n.v.(bool); ok {
		return strconv.FormatBool(b)
	}
	return n.text()
}

// number is a number, or a string that is one.
func (n node) number() float64 {
	if n.v == nil || n.v == "" {
		return 0
	}
	var s string
	switch v := n.v.(type) {
	case json.Number:
		s = v.String()
	case string:
		s = strings.TrimSpace(v)
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		n.note("is not a number")
		return 0
	}
	return f
}

// truth is a boolean, or a string with one.
func (n node) truth() bool {
	switch v := n.v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		switch strings.ToLower(strings.TrimSpace(v)) {
		case "true":
			return true
		case "false", "":
			return false
		}
	}
	n.note("is neither true nor false")
	return false
}

// maxItems is more than any source sends in one list. Elements are compared with each
// other, so a list of thousands would keep a worker busy for half a minute.
const maxItems = 500

// items are the elements of a list.
func (n node) items() []node {
	var ns []node
	switch v := n.v.(type) {
	case nil:
	case []any:
		if len(v) > maxItems {
			n.note(fmt.Sprintf("has more than %d elements", maxItems))
			return nil
		}
		for i, e := range v {
			ns = append(ns, node{v: e, path: fmt.Sprintf("%s[%d]", n.path, i), wrong: n.wrong})
		}
	default:
		n.note("is not a list")
	}
	return ns
}

// keys are those of an object, in no order.
func (n node) keys() []string {
	var ks []string
	switch v := n.v.(type) {
	case nil:
	case map[string]any:
		for k := range v {
			ks = append(ks, k)
		}
	default:
		n.note("is not an object")
	}
	return ks
}

// withOwnProblems is the same place with a list of problems of its own: they do not
// make the rest of the document unreadable.
func (n node) withOwnProblems() node {
	n.wrong = new([]string)
	return n
}

// opened is an object, also if it came as a string of JSON.
func (n node) opened() node {
	if s, ok := n.v.(string); ok && s != "" {
		inner, err := parse([]byte(s))
		if err != nil {
			n.note("is a text, and " + err.Error())
		}
		n.v = inner.v
	}
	if _, ok := n.v.(map[string]any); !ok && n.exists() {
		n.note("is not an object")
	}
	return n
}

// account is an account's ID.
func (n node) account() string { return n.matching(actions.AccountID, "is not an account's ID") }

// region is a region's name.
func (n node) region() string { return n.matching(actions.RegionName, "is not a region") }

// matching is a text that matches a pattern; another text is noted as a problem.
func (n node) matching(form actions.Pattern, problem string) string {
	s := n.text()
	if s != "" && !form.MatchString(s) {
		n.note(problem)
		return ""
	}
	return s
}

// severity is a number from 0 to 10.
func (n node) severity() float64 {
	f := n.number()
	if f < 0 || f > 10 {
		n.note("is not between 0 and 10")
		return 0
	}
	return f
}

// count is a whole number, 0 or more.
func (n node) count() int { return int(min(max(n.number(), 0), maxCount)) }

// timeFormats are the formats of times that the sources use.
var timeFormats = []string{time.RFC3339Nano, time.RFC1123, time.RFC1123Z}

// time is a moment: RFC 3339, RFC 1123, or seconds or milliseconds since 1970.
func (n node) time() time.Time {
	if n.v == nil || n.v == "" {
		return time.Time{}
	}
	s := n.text()
	var at time.Time
	for _, format := range timeFormats {
		if t, err := time.Parse(format, s); err == nil {
			at = t.UTC()
		}
	}
	const aboutMilliseconds, most = 1e11, 2.5e14 // as seconds the year 5138, as milliseconds the year 9892
	if f, err := strconv.ParseFloat(s, 64); err == nil && f > 0 && f < most {
		if f < aboutMilliseconds {
			f *= 1000
		}
		at = time.UnixMilli(int64(f)).UTC()
	}
	if y := at.Year(); !at.IsZero() && y >= 1 && y <= 9999 { // what JSON can hold
		return at
	}
	n.note("is not a time")
	return time.Time{}
}
