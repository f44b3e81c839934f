package approvals_test

import (
	"encoding/json"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// field is an input of a form, and what is entered in it.
type field struct {
	block, label, action string
	entered              map[string]any // nil: Slack sends nothing of it
}

func chosen(text, value string) map[string]any {
	return map[string]any{"type": "static_select", "selected_option": map[string]any{"text": map[string]any{"type": "plain_text", "text": text}, "value": value}}
}

func written(value any) map[string]any {
	return map[string]any{"type": "plain_text_input", "value": value}
}

// submission is what Slack sends of a form; more are entries of its state that are in no block.
func submission(t *testing.T, callback string, fields []field, more map[string]any) string {
	t.Helper()
	var blocks []any
	titled := approvals.FormTitle
	if callback == "Lunch poll" {
		callback, titled = approvals.FormCallback, callback
	}
	values := maps.Clone(more)
	if values == nil {
		values = map[string]any{}
	}
	for _, f := range fields {
		blocks = append(blocks, map[string]any{"type": "input", "block_id": f.block, "label": map[string]any{"type": "plain_text", "text": f.label}, "element": map[string]any{"action_id": f.action}})
		if f.entered != nil {
			values[f.block] = map[string]any{f.action: f.entered}
		}
	}
	body, err := json.Marshal(map[string]any{"type": "view_submission", "user": map[string]any{"id": "U1"},
		"view": map[string]any{"callback_id": callback, "title": map[string]any{"text": titled}, "submit": map[string]any{"text": approvals.FormSubmit}, "blocks": blocks, "state": map[string]any{"values": values}}})
	if err != nil {
		t.Fatal(err)
	}
	return form("payload", string(body))
}

func honest() []field {
	return []field{
		{"action.1", "Action", "action", chosen("isolate_instance", "isolate_instance")},
		{"target.1", "Target", "target", written(" i-0d3e1a5b7c9f20007")},
		{"account.1", "Account", "account", chosen("222222222222 prod", "222222222222 prod")},
		{"region.1", "Region", "region", chosen("us-east-1", "us-east-1")},
		{"stop.1", "stop=", "stop", written(nil)},
		{"reason.1", "Reason", "reason", written("a miner")},
	}
}

func readForm(t *testing.T, body string) (actions.Draft, error) {
	t.Helper()
	p, err := approvals.ParseSlack(body)
	if err != nil {
		return actions.Draft{}, err
	}
	return approvals.ReadForm(p, actions.Directory{Accounts: map[string]string{"prod": "222222222222", "sandbox": "333333333333"}})
}

func TestReadForm(t *testing.T) {
	got, err := readForm(t, submission(t, approvals.FormCallback, honest(), nil))
	want := actions.Draft{Action: "isolate_instance", Target: " i-0d3e1a5b7c9f20007", Options: map[string]string{"account": "222222222222", "region": "us-east-1"}, Reason: "a miner"}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestForgedFormIsNoEvidence: who draws the form can't let a person send another thing than they read.
func TestForgedFormIsNoEvidence(t *testing.T) {
	change := func(i int, f func(*field)) func([]field) []field {
		return func(fs []field) []field { f(&fs[i]); return fs }
	}
	add := func(f field) func([]field) []field { return func(fs []field) []field { return append(fs, f) } }
	for name, c := range map[string]struct {
		change   func([]field) []field
		more     map[string]any
		callback string
	}{
		"an account under another name":   {change(2, func(f *field) { f.entered = chosen("222222222222 sandbox", "222222222222 prod") }), nil, ""},
		"an account with another ID":      {change(2, func(f *field) { f.entered = chosen("333333333333 sandbox", "222222222222 sandbox") }), nil, ""},
		"an account by another's alias":   {change(2, func(f *field) { f.entered = chosen("222222222222 sandbox", "222222222222 sandbox") }), nil, ""},
		"an account by an alias of none":  {change(2, func(f *field) { f.entered = chosen("222222222222 test", "222222222222 test") }), nil, ""},
		"a form with another title":       {nil, nil, "Lunch poll"},
		"an option without a text":        {change(2, func(f *field) { f.entered = chosen("", "222222222222 prod") }), nil, ""},
		"an action under another name":    {change(0, func(f *field) { f.entered = chosen("revoke_sessions", "isolate_instance") }), nil, ""},
		"the target labelled as the why":  {change(1, func(f *field) { f.label = "Reason" }), nil, ""},
		"a label that is empty":           {change(1, func(f *field) { f.label = "" }), nil, ""},
		"a label in other letters":        {change(1, func(f *field) { f.label = "Тarget" }), nil, ""},
		"an option labelled as harmless":  {change(4, func(f *field) { f.label = "snapshot=" }), nil, ""},
		"a second target further down":    {add(field{"target.2", "Target", "target", written("i-0ffffffffffffffff")}), nil, ""},
		"a second target that is empty":   {add(field{"target.2", "Target", "target", written(nil)}), nil, ""},
		"a second target without a state": {add(field{"target.2", "Target", "target", nil}), nil, ""},
		"a value in no block":             {nil, map[string]any{"stop.9": map[string]any{"stop": written("yes")}}, ""},
		"two values in a block":           {nil, map[string]any{"x": map[string]any{"a": written("1"), "b": written("2")}}, ""},
		"a value of another element":      {change(4, func(f *field) { f.entered = nil }), map[string]any{"stop.1": map[string]any{"other": written("yes")}}, ""},
		"a list of users":                 {change(1, func(f *field) { f.entered = map[string]any{"type": "users_select", "selected_user": "U1"} }), nil, ""},
		"a checkbox":                      {change(4, func(f *field) { f.entered = map[string]any{"type": "checkboxes", "selected_options": []any{}} }), nil, ""},
		"a value without a type":          {change(1, func(f *field) { f.entered = map[string]any{"value": "i-0ffffffffffffffff"} }), nil, ""},
		"another form":                    {nil, nil, "deny_reason"},
		"no form":                         {nil, nil, " "},
	} {
		t.Run(name, func(t *testing.T) {
			fs := honest()
			if c.change != nil {
				fs = c.change(fs)
			}
			callback := approvals.FormCallback
			if c.callback != "" {
				callback = strings.TrimSpace(c.callback)
			}
			if got, err := readForm(t, submission(t, callback, fs, c.more)); !isRefusal(err) {
				t.Errorf("%+v, %v: want a refusal", got, err)
			}
		})
	}
}
