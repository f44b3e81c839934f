package finding

import (
	"encoding/json"
	"errors"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// FuzzAlerts reads events of any shape: it must not panic, and what it reads must
// hold what all alerts do.
func FuzzAlerts(f *testing.F) {
	for _, file := range sampleFiles(f) {
		body := event(f, file)
		f.Add(body, "")
		f.Add(body, "n1")
		var parts []json.RawMessage
		if json.Unmarshal(body, &parts) == nil {
			for _, part := range parts {
				f.Add([]byte(part), "")
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte, drill string) {
		if len(drill) > 20 || !utf8.ValidString(drill) {
			return // it is ours
		}
		checkEvent(t, Event{Body: body, Drill: drill})
	})
}

// FuzzFields puts any value at any place of a sample, by the number of each.
func FuzzFields(f *testing.F) {
	var all []any
	for _, file := range sampleFiles(f) {
		var top any
		if body := event(f, file); json.Unmarshal(body, &top) == nil {
			all = append(all, top)
		}
	}
	for i, v := range hostile {
		value, _ := json.Marshal(v)
		f.Add(uint(i), uint(i*7), string(value))
	}
	f.Fuzz(func(t *testing.T, sample, place uint, value string) {
		var v any
		if json.Unmarshal([]byte(value), &v) != nil {
			v = value
		}
		top := all[sample%uint(len(all))]
		spots := places(top)
		body, err := json.Marshal(replaced(top, spots[place%uint(len(spots))], v))
		if err != nil {
			t.Fatal(err)
		}
		checkEvent(t, Event{Body: body})
	})
}

// hostile are values that a field does not expect.
var hostile = []any{
	nil, "", " ", "x", true, 0.0, -1.0, 1e300, 12.5, []any{}, []any{"x", nil, 5.0, []any{}}, map[string]any{}, map[string]any{"x": []any{map[string]any{}}},
	"222222222222", "444444444444", "AKIACIBUILDA2EXAMPLE", "ASIACIBUILDA2EXAMPLE", "i-0d3e1a5b7c9f20001", "arn:aws:iam::444444444444:role/x", "arn:aws:iam::222222222222:user/a/b",
	"a b\" mode=iam-only reason=\"", "<!channel> `x` *y*\r\n\u202e\u200b\x00", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", `{"sample":"x"}`, "[[[[", "9999-12-31T23:59:59-23:00", "us-gov-west-1", "aws-cn",
}

// TestEveryField puts one of them at each place of each sample; the fuzzer puts more.
func TestEveryField(t *testing.T) {
	every := thin.Every(t, 5, "the places of an event")
	for _, file := range sampleFiles(t) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			var top any
			if json.Unmarshal(event(t, file), &top) != nil {
				t.Skip("not JSON")
			}
			all := places(top)
			for i := 0; i < len(all); i += every {
				spot, v := all[i], hostile[i/every%len(hostile)]
				body, err := json.Marshal(replaced(top, spot, v))
				if err != nil {
					t.Fatal(err)
				}
				if checkEvent(t, Event{Body: body}); t.Failed() {
					t.Fatalf("with %#v at %v", v, spot)
				}
			}
		})
	}
}

func sampleFiles(t testing.TB) []string {
	t.Helper()
	files, err := os.ReadDir("testdata/events")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	var names []string
	for _, f := range files {
		names = append(names, f.Name())
	}
	return names
}

// places are all paths in a document.
func places(v any) [][]any {
	all := [][]any{{}}
	below := func(k, v any) {
		for _, p := range places(v) {
			all = append(all, append([]any{k}, p...))
		}
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			below(k, v[k])
		}
	case []any:
		for i, e := range v {
			below(i, e)
		}
	}
	return all
}

// replaced is a document with another value at a path.
func replaced(v any, path []any, with any) any {
	if len(path) == 0 {
		return with
	}
	if m, ok := v.(map[string]any); ok {
		m, k := maps.Clone(m), path[0].(string)
		m[k] = replaced(m[k], path[1:], with)
		return m
	}
	l, i := slices.Clone(v.([]any)), path[0].(int)
	l[i] = replaced(l[i], path[1:], with)
	return l
}

// checkEvent reads an event in two organizations, and looks at all that it gives.
func checkEvent(t *testing.T, e Event) {
	t.Helper()
	for _, partition := range []string{"aws", "aws-us-gov"} {
		o := org
		o.Partition = partition
		r := Reader{Org: o, Routing: Routing{MockSources: true}}
		for _, s := range Sources() {
			r.Routes = append(r.Routes, Route{Match: Match{Source: s.Name}}, Route{Match: Match{Source: s.Name, Type: "*"}})
		}
		alerts, err := r.Read(e)
		m, bad := errors.AsType[*Malformed](err)
		if err != nil && !bad && !errors.Is(err, ErrIgnored) || len(alerts) == 0 && err == nil {
			t.Fatalf("%d alerts, %v", len(alerts), err)
		}
		if bad && (m.Cause == "" || utf8.RuneCountInString(m.Cause) > maxCause || utf8.RuneCountInString(m.EventID) > maxEventID) {
			t.Errorf("%+v", m)
		}
		for _, a := range alerts {
			checkAlert(t, o, a)
		}
		checkFindings(t, r, e, alerts)
	}
}

// checkFindings reads the same as the executor does.
func checkFindings(t *testing.T, r Reader, e Event, alerts []Finding) {
	if !json.Valid(e.Body) {
		return // no evidence can hold it
	}
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	fs, _ := r.ReadStored(string(body))
	if len(fs) != len(alerts) {
		t.Fatalf("%d alerts, %d findings", len(alerts), len(fs))
	}
	for i, f := range fs {
		if f.Own() != alerts[i].Own() || running(f) != nil || oneClick(f) {
			t.Errorf("%+v of %+v", f, alerts[i])
		}
		for _, o := range f.Offers() {
			intent := o.Intent
			if approvals.IntentDigest(intent) == "" || intent.Call.Account != f.Account && !strings.HasPrefix(intent.Call.Target, actions.SSOPrefix) {
				t.Errorf("%+v", intent)
			}
		}
		if f.Confirmation.Kind != "" {
			_, _ = r.Confirm(f, e.Body)
		}
	}
}
