//go:build !noschema

package config

import (
	"bytes"
	_ "embed" // the schema
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

//go:embed killswitch.schema.json
var schemaJSON []byte

// Schema is the JSON schema (2020-12) of the configuration file.
func Schema() []byte { return slices.Clone(schemaJSON) }

// schema is compiled once. Its titles and examples are the words for what
// breaks its patterns, so the schema alone says what a value must be.
type schema struct {
	compiled *jsonschema.Schema
	raw      any
}

// loadSchema panics only if the embedded schema is wrong.
var loadSchema = sync.OnceValue(func() schema {
	s, err := compile(schemaJSON)
	if err != nil {
		panic(err)
	}
	return s
})

func compile(text []byte) (schema, error) {
	const name = "killswitch.schema.json"
	raw, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return schema{}, fmt.Errorf("read the schema: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	if err := c.AddResource(name, raw); err != nil {
		return schema{}, fmt.Errorf("read the schema: %w", err)
	}
	compiled, err := c.Compile(name)
	if err != nil {
		return schema{}, fmt.Errorf("compile the schema: %w", err)
	}
	return schema{compiled, raw}, nil
}

// validate adds violations of the schema as problems and settles those fields.
func (c *checker) validate(root *value) {
	s := loadSchema()
	var invalid *jsonschema.ValidationError
	if !errors.As(s.compiled.Validate(root.plain()), &invalid) {
		return
	}
	found := len(c.problems)
	var walk func(e *jsonschema.ValidationError)
	walk = func(e *jsonschema.ValidationError) {
		for _, cause := range e.Causes {
			walk(cause)
		}
		if len(e.Causes) == 0 {
			c.explain(s, root, e)
		}
	}
	walk(invalid)
	for _, p := range c.problems[found:] {
		if p.Field != "" {
			c.settled[p.Field] = true
		}
	}
}

// explain puts one violation into words.
func (c *checker) explain(s schema, root *value, e *jsonschema.ValidationError) {
	v, rule := root.find(e.InstanceLocation), s.rule(e.SchemaURL)
	if v == nil {
		v = root // the validator names only places that there are
	}
	switch k := e.ErrorKind.(type) {
	case *kind.Required:
		for _, key := range k.Missing {
			c.addAt(v.line, join(v.field, key), "is missing", like(s.property(rule, key)))
		}
	case *kind.AdditionalProperties:
		known := rule.properties()
		for _, key := range k.Properties {
			f := v.at(key)
			if rule["patternProperties"] != nil { // its keys are names
				c.addAt(f.keyLine, f.field, "is not "+rule.title(), "")
			} else {
				c.addAt(f.keyLine, f.field, "is not a known key", oneOf(key, known))
			}
		}
	case *kind.Type:
		c.explainType(rule, v, k)
	case *kind.Enum:
		known := words(k.Want)
		c.add(v, "must be "+strings.Join(known, " or "), didYouMean(v.text(), known))
	case *kind.Const:
		c.add(v, fmt.Sprintf("can only be %v", k.Want), rule.text("description"))
	case *kind.Pattern, *kind.MinLength, *kind.MaxLength:
		c.add(v, "is not "+rule.title(), like(rule))
	case *kind.Minimum:
		c.add(v, "must be at least "+k.Want.RatString(), "")
	case *kind.Maximum:
		c.add(v, "must be at most "+k.Want.RatString(), "")
	case *kind.MinItems:
		c.add(v, "must not be empty", "")
	case *kind.MinProperties, *kind.MaxProperties:
		if known := rule.properties(); len(known) > 0 {
			c.add(v, "must have exactly one of "+strings.Join(known, ", "), "")
		} else {
			c.add(v, "must not be empty", "")
		}
	case *kind.UniqueItems:
		i, j := k.Duplicates[0], k.Duplicates[1]
		c.add(v.list[j], "is listed twice", fmt.Sprintf("first on line %d", v.list[i].line))
	default:
		c.add(v, "is not valid", "")
	}
}

func (c *checker) explainType(r rule, v *value, k *kind.Type) {
	want := map[string]string{"string": "text", "integer": "a whole number", "number": "a number", "boolean": "true or false", "array": "a list", "object": "a mapping of keys to values"}
	text, hint := "must be "+want[k.Want[0]], like(r)
	switch {
	case k.Got == "null":
		text = "is empty"
	case k.Want[0] == "string" && k.Got == "number" && r.fits(fmt.Sprint(v.scalar)):
		hint = "put it in quotes"
	case k.Want[0] == "array":
		hint = "write [a, b], or one - a line"
	}
	c.add(v, text, hint)
}

// find follows the validator's path to a value.
func (v *value) find(path []string) *value {
	for _, key := range path {
		switch {
		case v == nil:
			return nil
		case v.isList:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(v.list) {
				return nil
			}
			v = v.list[i]
		default:
			v = v.fields[key]
		}
	}
	return v
}

// rule is a part of the schema as it was written.
type rule map[string]any

func (r rule) text(key string) string {
	s, _ := r[key].(string)
	return s
}

func (r rule) title() string { return r.text("title") }

// fits reports whether text has the form that the rule wants.
func (r rule) fits(text string) bool {
	ok, err := regexp.MatchString(r.text("pattern"), text)
	return err == nil && ok
}

// rule finds the part that a URL with a JSON pointer names.
func (s schema) rule(at string) rule {
	_, pointer, _ := strings.Cut(at, "#")
	if p, err := url.PathUnescape(pointer); err == nil {
		pointer = p
	}
	here := s.raw
	for key := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		m, ok := here.(map[string]any)
		if !ok {
			return nil // inside a list: nothing that has words
		}
		if pointer != "" {
			here = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(key)]
		}
	}
	m, _ := here.(map[string]any)
	return m
}

// property is the rule for one key of a mapping.
func (s schema) property(r rule, key string) rule {
	if to := r.text("$ref"); to != "" {
		r = s.rule(to)
	}
	all, _ := r["properties"].(map[string]any)
	m, _ := all[key].(map[string]any)
	if to := rule(m).text("$ref"); to != "" {
		return s.rule(to)
	}
	return m
}

func (r rule) properties() []string {
	all, _ := r["properties"].(map[string]any)
	var keys []string
	for k := range all {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// like is the hint that a rule's example makes, or else its description.
func like(r rule) string {
	examples, _ := r["examples"].([]any)
	if len(examples) == 0 {
		return r.text("description")
	}
	return fmt.Sprintf("like %v", examples[0])
}

func words(values []any) []string {
	var ws []string
	for _, v := range values {
		ws = append(ws, fmt.Sprint(v))
	}
	return ws
}
