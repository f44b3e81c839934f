package slackfake

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"
)

// Submit submits an open modal. values are what the user entered, by block_id
// and action_id: the text, the value of the chosen option (several with
// commas), or the ID of the chosen user or channel. What the user left alone
// keeps its initial value. What Slack's own client would not send, such as an
// empty required field, is [ErrInput].
func (s *Slack) Submit(user, viewID string, values map[string]map[string]string) Delivered {
	s.mu.Lock()
	i := s.viewIndex(viewID, "")
	if i < 0 || viewID == "" || s.views[i].User != user {
		s.mu.Unlock()
		return Delivered{Err: fmt.Errorf("slackfake: %w: %s", ErrNoView, viewID)}
	}
	filled := s.views[i].with(values)
	view := s.views[i].object()
	state, err := fillIn(view, filled, true)
	if err != nil {
		s.mu.Unlock()
		return Delivered{Err: err}
	}
	s.views[i].entered = filled
	view["state"] = map[string]any{"values": state}
	payload := s.interaction("view_submission", user)
	payload["view"], payload["response_urls"] = view, []any{}
	s.mu.Unlock()

	d := s.send(url.Values{"payload": {string(marshal(payload))}})
	if d.Err != nil || d.Status != http.StatusOK {
		return d // the modal stays open and shows an error
	}
	s.mu.Lock()
	if hook := s.beforeAnswer; hook != nil {
		s.mu.Unlock()
		hook()
		s.mu.Lock()
	}
	refusal := s.answerView(viewID, d.Body)
	s.mu.Unlock()
	s.emit()
	d.Err = refusal.asError()
	return d
}

// BeforeAnswer sets a hook that runs after a submission was answered, before the answer has its effect:
// what the bot sends to the view until then is overwritten by it.
func (s *Slack) BeforeAnswer(hook func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beforeAnswer = hook
}

// Enter enters a value in a modal, beside what is entered in other fields. Where its block has
// dispatch_action the bot hears of it (/reference/interaction-payloads/block_actions-payload); otherwise
// Status is 0.
func (s *Slack) Enter(user, viewID string, beside map[string]map[string]string, blockID, actionID, value string) Delivered {
	s.mu.Lock()
	i := s.viewIndex(viewID, "")
	if i < 0 || viewID == "" || s.views[i].User != user {
		s.mu.Unlock()
		return Delivered{Err: fmt.Errorf("slackfake: %w: %s", ErrNoView, viewID)}
	}
	s.views[i].entered = s.views[i].with(beside)
	s.views[i].enter(blockID, actionID, value)
	view := s.views[i].object()
	state, err := fillIn(view, s.views[i].entered, false)
	if err != nil {
		s.mu.Unlock()
		return Delivered{Err: err}
	}
	view["state"] = map[string]any{"values": state}
	payload := s.interaction("block_actions", user)
	payload["container"] = map[string]any{"type": "view", "view_id": viewID}
	payload["view"] = view
	block, _ := state[blockID].(map[string]any)
	action, _ := block[actionID].(map[string]any)
	sent := map[string]any{"block_id": blockID, "action_id": actionID, "action_ts": s.nextTS()}
	maps.Copy(sent, action)
	payload["actions"] = []any{sent}
	s.mu.Unlock()
	if !dispatches(view, blockID) {
		return Delivered{}
	}
	return s.send(url.Values{"payload": {string(marshal(payload))}})
}

func dispatches(view map[string]any, blockID string) bool {
	for _, v := range list(view, "blocks") {
		b, _ := v.(map[string]any)
		if on, _ := b["dispatch_action"].(bool); on && str(b, "block_id") == blockID {
			return true
		}
	}
	return false
}

// Dismiss closes a modal without submitting it. The bot hears of it only if
// the view has notify_on_close; otherwise nothing is sent and Status is 0.
func (s *Slack) Dismiss(user, viewID string) Delivered {
	s.mu.Lock()
	i := s.viewIndex(viewID, "")
	if i < 0 || viewID == "" || s.views[i].User != user {
		s.mu.Unlock()
		return Delivered{Err: fmt.Errorf("slackfake: %w: %s", ErrNoView, viewID)}
	}
	view := s.views[i].object()
	payload := s.interaction("view_closed", user)
	delete(payload, "trigger_id")
	payload["view"], payload["is_cleared"] = view, false
	s.closeViews(func(v View) bool { return v.ID == viewID })
	s.mu.Unlock()
	s.emit()
	if notify, _ := view["notify_on_close"].(bool); !notify {
		return Delivered{}
	}
	return s.send(url.Values{"payload": {string(marshal(payload))}})
}

// fillIn builds view.state.values (/reference/interaction-payloads/view-interactions-payload).
func fillIn(view map[string]any, values map[string]map[string]string, complete bool) (map[string]any, error) {
	var problems []string
	known := map[[2]string]bool{}
	state := map[string]any{}
	for _, v := range list(view, "blocks") {
		b, _ := v.(map[string]any)
		blockID := str(b, "block_id")
		for _, e := range interactive(b) {
			kind, actionID := str(e, "type"), str(e, "action_id")
			if kind == "button" || kind == "workflow_button" || kind == "overflow" {
				continue
			}
			known[[2]string{blockID, actionID}] = true
			entered, given := values[blockID][actionID]
			answer, empty, problem := fillElement(e, entered, given)
			if optional, _ := b["optional"].(bool); complete && empty && !optional && str(b, "type") == "input" {
				problem = "required"
			}
			if problem != "" {
				problems = append(problems, blockID+"/"+actionID+": "+problem)
			}
			block, _ := state[blockID].(map[string]any)
			if block == nil {
				block = map[string]any{}
				state[blockID] = block
			}
			block[actionID] = answer
		}
	}
	for blockID, actions := range values {
		for actionID := range actions {
			if !known[[2]string{blockID, actionID}] {
				problems = append(problems, blockID+"/"+actionID+": not in the view")
			}
		}
	}
	if len(problems) > 0 {
		return nil, fmt.Errorf("slackfake: %w: %s", ErrInput, strings.Join(problems, "; "))
	}
	return state, nil
}

func fillElement(e map[string]any, entered string, given bool) (answer map[string]any, empty bool, problem string) {
	kind := str(e, "type")
	answer = map[string]any{"type": kind}
	var field, initial string
	switch kind {
	case "static_select", "external_select", "radio_buttons":
		field, initial = "selected_option", "initial_option"
	case "checkboxes", "multi_static_select", "multi_external_select":
		field, initial = "selected_options", "initial_options"
	case "users_select":
		field, initial = "selected_user", "initial_user"
	case "channels_select":
		field, initial = "selected_channel", "initial_channel"
	case "conversations_select":
		field, initial = "selected_conversation", "initial_conversation"
	case "multi_users_select":
		field, initial = "selected_users", "initial_users"
	case "multi_channels_select":
		field, initial = "selected_channels", "initial_channels"
	case "multi_conversations_select":
		field, initial = "selected_conversations", "initial_conversations"
	case "datepicker":
		field, initial = "selected_date", "initial_date"
	case "timepicker":
		field, initial = "selected_time", "initial_time"
	case "datetimepicker":
		field, initial = "selected_date_time", "initial_date_time"
	default:
		field, initial = "value", "initial_value"
	}
	value := e[initial]
	if given {
		value, problem = entry(e, field, entered)
	}
	many := strings.HasSuffix(field, "s")
	if l, _ := value.([]any); many && len(l) == 0 {
		answer[field] = []any{}
		return answer, true, problem
	}
	answer[field] = value
	return answer, value == nil, problem
}

// entry turns what the user entered into an element's value; nil is nothing.
func entry(e map[string]any, field, entered string) (value any, problem string) {
	if entered == "" {
		return nil, ""
	}
	switch field {
	case "selected_option":
		o := findOption(e, entered)
		if o == nil {
			return nil, "no option " + entered
		}
		return o, ""
	case "selected_options":
		var chosen []any
		for v := range strings.SplitSeq(entered, ",") {
			o := findOption(e, v)
			if o == nil {
				return nil, "no option " + v
			}
			chosen = append(chosen, o)
		}
		return chosen, ""
	case "selected_users", "selected_channels", "selected_conversations":
		var chosen []any
		for v := range strings.SplitSeq(entered, ",") {
			chosen = append(chosen, v)
		}
		return chosen, ""
	case "selected_date_time":
		return json.Number(entered), ""
	}
	if str(e, "type") == "plain_text_input" {
		most, least := int64(3000), int64(0)
		if n, yes := e["max_length"].(json.Number); yes {
			most, _ = n.Int64()
		}
		if n, yes := e["min_length"].(json.Number); yes {
			least, _ = n.Int64()
		}
		if n := int64(utf8.RuneCountInString(entered)); n > most || n < least {
			return entered, fmt.Sprintf("%d characters, want %d to %d", n, least, most)
		}
	}
	return entered, ""
}

func findOption(e map[string]any, value string) map[string]any {
	lists := [][]any{list(e, "options")}
	for _, g := range list(e, "option_groups") {
		group, _ := g.(map[string]any)
		lists = append(lists, list(group, "options"))
	}
	for _, options := range lists {
		for _, v := range options {
			if o, _ := v.(map[string]any); str(o, "value") == value {
				return o
			}
		}
	}
	return nil
}
