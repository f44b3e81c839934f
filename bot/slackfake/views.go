package slackfake

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"
)

const (
	triggerLife  = 3 * time.Second
	maxViewBytes = 250_000
)

// parseView reads and checks a view that the app sent.
func parseView(raw string) (map[string]any, *reply) {
	refuse := func(code string, problems ...string) (map[string]any, *reply) {
		r := failed(code, problems...)
		return nil, &r
	}
	if len(raw) > maxViewBytes {
		return refuse("view_too_large")
	}
	parsed, err := unmarshal([]byte(raw))
	view, isObject := parsed.(map[string]any)
	if err != nil || !isObject {
		return refuse("invalid_arguments", "missing required field: view [json-pointer:/view]")
	}
	if problems := checkView(view); len(problems) > 0 {
		return refuse("invalid_arguments", problems...)
	}
	return view, nil
}

// stored turns a checked view into the form that Slack returns and echoes.
func (s *Slack) stored(view map[string]any, id, user, previous, root string) View {
	for name, otherwise := range map[string]any{
		"private_metadata": "", "callback_id": "", "external_id": "", "close": nil, "submit": nil,
		"clear_on_close": false, "notify_on_close": false,
	} {
		if _, given := view[name]; !given {
			view[name] = otherwise
		}
	}
	s.nameBlocks(list(view, "blocks"))
	view["id"], view["team_id"], view["app_installed_team_id"] = id, s.user(user).Team, s.cfg.Team
	view["app_id"], view["bot_id"] = s.cfg.AppID, s.botID()
	view["hash"] = s.nextTS()
	view["root_view_id"] = cmp.Or(root, id)
	view["previous_view_id"] = nil
	if previous != "" {
		view["previous_view_id"] = previous
	}
	view["state"] = map[string]any{"values": map[string]any{}}
	return View{ID: id, User: user, JSON: marshal(view)}
}

func (s *Slack) openView(p params) reply {
	view, refusal := parseView(p["view"])
	if refusal != nil {
		return *refusal
	}
	t, known := s.triggers[p["trigger_id"]]
	switch {
	case !known:
		return failed("invalid_trigger_id")
	case t.used:
		return failed("exchanged_trigger_id")
	case s.cfg.Now().Sub(t.at) > triggerLife:
		return failed("expired_trigger_id")
	}
	if external := str(view, "external_id"); external != "" && s.viewIndex("", external) >= 0 {
		return failed("duplicate_external_id")
	}
	t.used = true
	v := s.stored(view, s.nextID("V"), t.user, "", "")
	s.views = append(s.views, v)
	s.viewChanged("view_opened", v)
	return ok(map[string]any{"view": v.JSON})
}

func (s *Slack) updateView(p params) reply {
	view, refusal := parseView(p["view"])
	if refusal != nil {
		return *refusal
	}
	i := s.viewIndex(p["view_id"], p["external_id"])
	if i < 0 {
		return failed("not_found")
	}
	if p["hash"] != "" && p["hash"] != str(s.views[i].object(), "hash") {
		return failed("hash_conflict")
	}
	s.replaceView(i, view)
	return ok(map[string]any{"view": s.views[i].JSON})
}

// replaceView keeps what was entered in an element of the same block_id and action_id, and ignores what
// the new view has as its initial value, as Slack's clients do.
func (s *Slack) replaceView(i int, view map[string]any) {
	old := s.views[i]
	s.views[i] = s.stored(view, old.ID, old.User, str(old.object(), "previous_view_id"), str(old.object(), "root_view_id"))
	before, after := elements(old.object()), elements(s.views[i].object())
	for at, e := range before {
		if _, stays := after[at]; stays {
			value, given := old.entered[at[0]][at[1]]
			if !given {
				value = initial(e)
			}
			s.views[i].enter(at[0], at[1], value)
		}
	}
	s.viewChanged("view_updated", s.views[i])
}

// enter notes what the user entered.
func (v *View) enter(blockID, actionID, value string) {
	if v.entered == nil {
		v.entered = map[string]map[string]string{}
	}
	if v.entered[blockID] == nil {
		v.entered[blockID] = map[string]string{}
	}
	v.entered[blockID][actionID] = value
}

// with is what the user has entered with these values.
func (v View) with(values map[string]map[string]string) map[string]map[string]string {
	var all View
	for _, of := range []map[string]map[string]string{v.entered, values} {
		for blockID, entered := range of {
			for actionID, value := range entered {
				all.enter(blockID, actionID, value)
			}
		}
	}
	return all.entered
}

// elements are a view's input elements by block_id and action_id.
func elements(view map[string]any) map[[2]string]map[string]any {
	all := map[[2]string]map[string]any{}
	for _, v := range list(view, "blocks") {
		b, _ := v.(map[string]any)
		for _, e := range interactive(b) {
			all[[2]string{str(b, "block_id"), str(e, "action_id")}] = e
		}
	}
	return all
}

// initial is the initial value of a text or a select.
func initial(e map[string]any) string {
	if o, yes := e["initial_option"].(map[string]any); yes {
		return str(o, "value")
	}
	return str(e, "initial_value")
}

// viewIndex finds an open view by its ID or, without one, its external ID.
func (s *Slack) viewIndex(id, external string) int {
	return slices.IndexFunc(s.views, func(v View) bool {
		if id != "" {
			return v.ID == id
		}
		return external != "" && str(v.object(), "external_id") == external
	})
}

func (s *Slack) closeViews(gone func(View) bool) {
	s.views = slices.DeleteFunc(s.views, func(v View) bool {
		if gone(v) {
			s.viewChanged("view_closed", v)
			return true
		}
		return false
	})
}

func (v View) object() map[string]any {
	o, _ := unmarshal(v.JSON)
	m, _ := o.(map[string]any)
	return m
}

// answerView does what a bot's answer to a submission asks for: nothing closes
// the view, response_action updates, pushes, clears or shows errors
// (/surfaces/modals). It returns Slack's objection, if any.
func (s *Slack) answerView(id string, body []byte) *reply {
	i := s.viewIndex(id, "")
	if i < 0 {
		return nil // closed meanwhile
	}
	user := s.views[i].User
	var answer struct {
		Action string          `json:"response_action"`
		View   json.RawMessage `json:"view"`
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &answer); err != nil {
			r := failed("invalid_response", "the answer to a submission is not JSON")
			return &r
		}
	}
	switch answer.Action {
	case "errors":
	case "clear":
		s.closeViews(func(v View) bool { return v.User == user })
	case "update", "push":
		view, refusal := parseView(string(answer.View))
		if refusal != nil {
			return refusal
		}
		if answer.Action == "update" {
			s.replaceView(i, view)
			break
		}
		v := s.stored(view, s.nextID("V"), user, id, str(s.views[i].object(), "root_view_id"))
		s.views = append(s.views, v)
		s.viewChanged("view_opened", v)
	case "":
		s.closeViews(func(v View) bool { return v.ID == id })
	default:
		r := failed("invalid_response", "unknown response_action: "+answer.Action)
		return &r
	}
	return nil
}
