package slackfake

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

const maxBlockText = 12_000 // undocumented: slackapi/bolt-js#2509

// The JSON that a bot sends is read as maps, so that a test sees exactly what
// Slack would object to. str, list and object read one field, zero if absent
// or of another type.

func str(m map[string]any, name string) string { v, _ := m[name].(string); return v }

func list(m map[string]any, name string) []any { v, _ := m[name].([]any); return v }

func object(m map[string]any, name string) map[string]any { v, _ := m[name].(map[string]any); return v }

// checkMessage returns what Slack would object to in a message's blocks.
func checkMessage(blocks []any) []string {
	c := checker{}
	c.blocks("/blocks", blocks, 50)
	return c.problems
}

// checkView returns what Slack would object to in a modal
// (/reference/views/modal-views).
func checkView(view map[string]any) []string {
	c := checker{modal: true}
	if t := str(view, "type"); t != "modal" {
		c.add("/view/type", "unsupported type: "+t)
	}
	c.text("/view", view, "title", 24, true, true)
	c.text("/view", view, "submit", 24, true, false)
	c.text("/view", view, "close", 24, true, false)
	c.length("/view", view, "private_metadata", 3000)
	c.length("/view", view, "callback_id", 255)
	c.length("/view", view, "external_id", 255)
	blocks, given := view["blocks"].([]any)
	if !given {
		c.missing("/view", "blocks")
	}
	c.blocks("/view/blocks", blocks, 100)
	if c.inputs && view["submit"] == nil {
		c.add("/view", "submit is required when an input block is in the blocks array")
	}
	return c.problems
}

type checker struct {
	problems []string
	modal    bool
	inputs   bool
	blockIDs map[string]bool
}

func (c *checker) add(at, problem string) {
	c.problems = append(c.problems, problem+" [json-pointer:"+at+"]")
}

func (c *checker) missing(at, field string) { c.add(at, "missing required field: "+field) }

// length checks a string's length in characters.
func (c *checker) length(at string, m map[string]any, name string, most int) {
	v, given := m[name]
	if !given || v == nil {
		return
	}
	text, isString := v.(string)
	if !isString {
		c.add(at+"/"+name, "must be a string")
	}
	if utf8.RuneCountInString(text) > most {
		c.add(at+"/"+name, fmt.Sprintf("must be less than %d characters", most+1))
	}
}

func (c *checker) items(at string, items []any, most int) {
	if len(items) == 0 {
		c.add(at, "no less than 1 items allowed")
	}
	if len(items) > most {
		c.add(at, fmt.Sprintf("no more than %d items allowed", most))
	}
}

func (c *checker) oneOf(at string, m map[string]any, name string, allowed ...string) {
	if v, given := m[name]; given && !slices.Contains(allowed, fmt.Sprint(v)) {
		c.add(at+"/"+name, "must be a valid enum value")
	}
}

// text checks a text object (/reference/block-kit/composition-objects/text-object).
func (c *checker) text(at string, m map[string]any, name string, most int, plain, required bool) {
	v, given := m[name]
	if !given || v == nil {
		if required {
			c.missing(at, name)
		}
		return
	}
	t, isObject := v.(map[string]any)
	if !isObject {
		c.add(at+"/"+name, "must be an object")
		return
	}
	c.textObject(at+"/"+name, t, most, plain)
}

func (c *checker) textObject(at string, t map[string]any, most int, plain bool) {
	extra := "verbatim"
	switch kind := str(t, "type"); {
	case kind == "plain_text":
	case kind == "mrkdwn" && !plain:
		extra = "emoji"
	default:
		c.add(at+"/type", "unsupported type: "+kind)
		return
	}
	if _, given := t[extra]; given {
		c.add(at, "invalid additional property: "+extra)
	}
	if str(t, "text") == "" {
		c.add(at+"/text", "must be more than 0 characters")
	}
	c.length(at, t, "text", most)
}

// blocks checks a list of blocks (/reference/block-kit/blocks).
func (c *checker) blocks(at string, blocks []any, most int) {
	if len(blocks) > most {
		c.add(at, fmt.Sprintf("no more than %d items allowed", most))
	}
	c.blockIDs = map[string]bool{}
	for i, v := range blocks {
		here := at + "/" + strconv.Itoa(i)
		b, isObject := v.(map[string]any)
		if !isObject {
			c.add(here, "must be an object")
			continue
		}
		c.length(here, b, "block_id", 255)
		if id := str(b, "block_id"); id != "" {
			if c.blockIDs[id] {
				c.add(here+"/block_id", "block_id must be unique: "+id)
			}
			c.blockIDs[id] = true
		}
		c.block(here, b)
	}
}

func (c *checker) block(at string, b map[string]any) {
	elements := list(b, "elements")
	switch kind := str(b, "type"); kind {
	case "divider":
	case "header":
		c.text(at, b, "text", 150, true, true)
	case "section":
		c.section(at, b)
	case "context":
		c.items(at+"/elements", elements, 10)
		for i, v := range elements {
			here := at + "/elements/" + strconv.Itoa(i)
			e, _ := v.(map[string]any)
			if str(e, "type") == "image" {
				c.image(here, e)
			} else {
				c.textObject(here, e, 3000, false)
			}
		}
	case "actions":
		c.items(at+"/elements", elements, 25)
		seen := map[string]bool{}
		for i, v := range elements {
			here := at + "/elements/" + strconv.Itoa(i)
			e, _ := v.(map[string]any)
			c.element(here, e, seen, actionElements)
		}
	case "input":
		c.inputs = true
		c.text(at, b, "label", 2000, true, true)
		c.text(at, b, "hint", 2000, true, false)
		e, given := b["element"].(map[string]any)
		if !given {
			c.missing(at, "element")
			return
		}
		c.element(at+"/element", e, map[string]bool{}, inputElements)
	case "image":
		c.image(at, b)
		c.text(at, b, "title", 2000, true, false)
	case "rich_text":
		c.richText(at, b)
	case "markdown":
		c.length(at, b, "text", maxBlockText)
	case "table", "video", "file", "context_actions": // known, not looked into
		if c.modal && kind != "video" {
			c.add(at+"/type", "unsupported type: "+kind)
		}
	case "alert":
		if !c.modal {
			c.add(at+"/type", "unsupported type: "+kind)
		}
	default:
		c.add(at+"/type", "unsupported type: "+kind)
	}
}

func (c *checker) section(at string, b map[string]any) {
	_, hasFields := b["fields"]
	c.text(at, b, "text", 3000, false, !hasFields)
	if hasFields {
		fields := list(b, "fields")
		c.items(at+"/fields", fields, 10)
		for i, v := range fields {
			f, _ := v.(map[string]any)
			c.textObject(at+"/fields/"+strconv.Itoa(i), f, 2000, false)
		}
	}
	if v, given := b["accessory"]; given {
		e, _ := v.(map[string]any)
		if str(e, "type") == "image" {
			c.image(at+"/accessory", e)
		} else {
			c.element(at+"/accessory", e, map[string]bool{}, actionElements)
		}
	}
}

func (c *checker) image(at string, m map[string]any) {
	if str(m, "image_url") == "" && m["slack_file"] == nil {
		c.missing(at, "image_url")
	}
	if str(m, "alt_text") == "" {
		c.missing(at, "alt_text")
	}
	c.length(at, m, "image_url", 3000)
	c.length(at, m, "alt_text", 2000)
}

var actionElements = []string{
	"button", "checkboxes", "datepicker", "datetimepicker", "timepicker", "overflow", "radio_buttons", "workflow_button",
	"static_select", "external_select", "users_select", "conversations_select", "channels_select",
	"multi_static_select", "multi_external_select", "multi_users_select", "multi_conversations_select", "multi_channels_select",
}

var inputElements = []string{
	"plain_text_input", "rich_text_input", "email_text_input", "url_text_input", "number_input", "file_input",
	"checkboxes", "datepicker", "datetimepicker", "timepicker", "radio_buttons",
	"static_select", "external_select", "users_select", "conversations_select", "channels_select",
	"multi_static_select", "multi_external_select", "multi_users_select", "multi_conversations_select", "multi_channels_select",
}

// element checks an interactive element (/reference/block-kit/block-elements).
func (c *checker) element(at string, e map[string]any, seen map[string]bool, allowed []string) {
	kind := str(e, "type")
	if !slices.Contains(allowed, kind) {
		c.add(at+"/type", "unsupported type: "+kind)
		return
	}
	c.length(at, e, "action_id", 255)
	if id := str(e, "action_id"); id != "" {
		if seen[id] {
			c.add(at+"/action_id", "action_id must be unique in its block: "+id)
		}
		seen[id] = true
	}
	c.text(at, e, "placeholder", 150, true, false)
	if v, given := e["confirm"]; given {
		d, _ := v.(map[string]any)
		c.text(at+"/confirm", d, "title", 100, true, true)
		c.text(at+"/confirm", d, "text", 300, false, true)
		c.text(at+"/confirm", d, "confirm", 30, true, true)
		c.text(at+"/confirm", d, "deny", 30, true, true)
		c.oneOf(at+"/confirm", d, "style", "primary", "danger")
	}
	switch kind {
	case "button", "workflow_button":
		c.text(at, e, "text", 75, true, true)
		c.length(at, e, "value", 2000)
		c.length(at, e, "url", 3000)
		c.length(at, e, "accessibility_label", 75)
		c.oneOf(at, e, "style", "primary", "danger")
	case "plain_text_input":
		c.length(at, e, "initial_value", 3000)
		for _, name := range []string{"min_length", "max_length"} {
			if n, given := e[name].(json.Number); given {
				if i, err := n.Int64(); err != nil || i < 0 || i > 3000 {
					c.add(at+"/"+name, "must be between 0 and 3000")
				}
			}
		}
	case "static_select", "multi_static_select":
		if groups, given := e["option_groups"].([]any); given {
			c.items(at+"/option_groups", groups, 100)
			for i, v := range groups {
				here := at + "/option_groups/" + strconv.Itoa(i)
				g, _ := v.(map[string]any)
				c.text(here, g, "label", 75, true, true)
				c.options(here, g, 100, true)
			}
			return
		}
		c.options(at, e, 100, true)
	case "radio_buttons", "checkboxes":
		c.options(at, e, 10, false)
	case "overflow":
		c.options(at, e, 5, true)
	}
}

func (c *checker) options(at string, m map[string]any, most int, plain bool) {
	options := list(m, "options")
	c.items(at+"/options", options, most)
	for i, v := range options {
		here := at + "/options/" + strconv.Itoa(i)
		o, _ := v.(map[string]any)
		c.text(here, o, "text", 75, plain, true)
		c.text(here, o, "description", 75, plain, false)
		c.length(here, o, "value", 150)
		if str(o, "value") == "" {
			c.missing(here, "value")
		}
	}
}

// richText checks structure only (/reference/block-kit/blocks/rich-text-block).
func (c *checker) richText(at string, b map[string]any) {
	if _, given := b["elements"]; !given {
		c.missing(at, "elements")
	}
	for i, v := range list(b, "elements") {
		here := at + "/elements/" + strconv.Itoa(i)
		e, _ := v.(map[string]any)
		inner := list(e, "elements")
		if inner == nil {
			c.missing(here, "elements")
		}
		switch kind := str(e, "type"); kind {
		case "rich_text_section", "rich_text_quote", "rich_text_preformatted":
			c.inline(here, inner)
		case "rich_text_list":
			if e["style"] == nil {
				c.missing(here, "style")
			}
			c.oneOf(here, e, "style", "bullet", "ordered")
			for j, v := range inner {
				item := here + "/elements/" + strconv.Itoa(j)
				s, _ := v.(map[string]any)
				if k := str(s, "type"); k != "rich_text_section" {
					c.add(item+"/type", "unsupported type: "+k)
				}
				c.inline(item, list(s, "elements"))
			}
		default:
			c.add(here+"/type", "unsupported type: "+kind)
		}
	}
}

// inlineNeeds names the field that each inline element cannot do without.
var inlineNeeds = map[string]string{
	"text": "text", "link": "url", "user": "user_id", "usergroup": "usergroup_id", "channel": "channel_id",
	"emoji": "name", "broadcast": "range", "color": "value", "team": "team_id", "date": "format",
}

func (c *checker) inline(at string, elements []any) {
	for i, v := range elements {
		here := at + "/elements/" + strconv.Itoa(i)
		e, _ := v.(map[string]any)
		kind := str(e, "type")
		need, known := inlineNeeds[kind]
		switch {
		case !known:
			c.add(here+"/type", "unsupported type: "+kind)
		case kind == "text" && str(e, "text") == "":
			c.add(here+"/text", "must be more than 0 characters")
		case str(e, need) == "":
			c.missing(here, need)
		}
		if kind == "date" && e["timestamp"] == nil {
			c.missing(here, "timestamp")
		}
	}
}

// textLength adds up the characters of every "text" string in v.
func textLength(v any) int {
	n := 0
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			n += textLength(e)
		}
	case map[string]any:
		for name, e := range v {
			if t, isString := e.(string); isString && name == "text" {
				n += utf8.RuneCountInString(t)
				continue
			}
			n += textLength(e)
		}
	}
	return n
}

// nameBlocks fills in the block_id and action_id that Slack generates.
func (s *Slack) nameBlocks(blocks []any) {
	for _, v := range blocks {
		b, _ := v.(map[string]any)
		if str(b, "block_id") == "" {
			b["block_id"] = s.nextID("b")
		}
		for _, e := range interactive(b) {
			if str(e, "action_id") == "" {
				e["action_id"] = s.nextID("a")
			}
		}
	}
}

// interactive returns a block's interactive elements.
func interactive(b map[string]any) []map[string]any {
	var out []map[string]any
	switch str(b, "type") {
	case "actions":
		for _, v := range list(b, "elements") {
			e, _ := v.(map[string]any)
			out = append(out, e)
		}
	case "section":
		if e := object(b, "accessory"); e != nil && str(e, "type") != "image" {
			out = append(out, e)
		}
	case "input":
		out = append(out, object(b, "element"))
	}
	return out
}
