package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// value is a YAML node for the checks. A nil value is a missing one; its methods return
// zero values.
type value struct {
	field   string
	line    int // of a scalar; a collection's is that of its key
	keyLine int // of the key, in a mapping
	scalar  any // string, bool, int, float64, or nil for what is empty
	list    []*value
	keys    []string // of a mapping, in order
	fields  map[string]*value
	isList  bool
}

// at goes down a mapping.
func (v *value) at(path ...string) *value {
	for _, key := range path {
		if v == nil {
			return nil
		}
		v = v.fields[key]
	}
	return v
}

// fieldsOrNone are a mapping's values by key.
func (v *value) fieldsOrNone() map[string]*value {
	if v == nil {
		return nil
	}
	return v.fields
}

func (v *value) items() []*value {
	if v == nil {
		return nil
	}
	return v.list
}

// entries are a mapping's, in order.
func (v *value) entries() iter.Seq2[string, *value] {
	return func(yield func(string, *value) bool) {
		if v == nil {
			return
		}
		for _, k := range v.keys {
			if !yield(k, v.fields[k]) {
				return
			}
		}
	}
}

func (v *value) text() string {
	if v == nil {
		return ""
	}
	s, _ := v.scalar.(string)
	return s
}

func (v *value) texts() []string {
	var ss []string
	for _, item := range v.items() {
		ss = append(ss, item.text())
	}
	return ss
}

func (v *value) yes() bool { return v != nil && v.scalar == true }

func (v *value) number() (float64, bool) {
	if v == nil {
		return 0, false
	}
	switch n := v.scalar.(type) {
	case int:
		return float64(n), true
	case float64:
		return n, true
	}
	return 0, false
}

// integer is a number between the bounds that the schema sets for all of them.
func (v *value) integer() (int, bool) {
	n, ok := v.number()
	return int(max(-1000, min(n, 1000))), ok && n == math.Trunc(n)
}

// plain is the value as the schema's validator wants it.
func (v *value) plain() any {
	switch {
	case v.isList:
		list := make([]any, len(v.list))
		for i, item := range v.list {
			list[i] = item.plain()
		}
		return list
	case v.fields != nil:
		m := make(map[string]any, len(v.fields))
		for k, f := range v.fields {
			m[k] = f.plain()
		}
		return m
	}
	return v.scalar
}

// parse reads one YAML document, or notes why not and returns nil.
func (c *checker) parse(data []byte) *value {
	if len(data) > maxSize {
		c.addAt(1, "", "the file is larger than 1 MiB", "")
		return nil
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		line := func() int { return 1 + bytes.Count(data[:i], []byte("\n")) }
		switch {
		case r == utf8.RuneError && size == 1:
			c.addAt(line(), "", "this is not UTF-8 text", "")
			return nil
		case r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f:
			c.addAt(line(), "", fmt.Sprintf("has a control character (%U)", r), "remove it")
			return nil
		}
		i += size
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		c.syntax(err)
		return nil
	}
	var doc, more yaml.Node
	if err := loader.Load(&doc); errors.Is(err, io.EOF) {
		c.addAt(1, "", "the file is empty", "begin with docs/killswitch.example.yaml")
		return nil
	} else if err != nil {
		c.syntax(err)
		return nil
	}
	if err := loader.Load(&more); err == nil {
		c.addAt(more.Line, "", "a second YAML document begins here", "remove the line ---")
		return nil
	} else if !errors.Is(err, io.EOF) {
		c.syntax(err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		c.addAt(1, "", "the file is empty", "begin with docs/killswitch.example.yaml")
		return nil
	}
	return c.read(doc.Content[0], "", 0, 0)
}

func (c *checker) syntax(err error) {
	var at *yaml.LoadError
	if !errors.As(err, &at) {
		c.addAt(1, "", "this is not YAML: "+clip(redact(err.Error())), "")
		return
	}
	hint := at.ContextMsg
	if hint != "" && at.ContextMark.Line > 0 && at.ContextMark.Line != at.Mark.Line {
		hint += fmt.Sprintf(" that begins on line %d", at.ContextMark.Line)
	}
	if strings.Contains(at.Message, "cannot start any token") {
		hint = "indent with spaces, not with tabs; quote text that begins with @ or `"
	}
	c.addAt(at.Mark.Line, "", "this is not YAML: "+clip(redact(at.Message)), hint)
}

// maxDepth is how deep a file may nest; the schema needs 6.
const maxDepth = 16

// read turns a node into a value. A refused node is a problem, settled and empty.
func (c *checker) read(n *yaml.Node, field string, keyLine, depth int) *value {
	v := &value{field: field, line: n.Line, keyLine: keyLine}
	refuse := func(text, hint string) *value {
		c.add(v, text, hint)
		c.settled[field] = true
		return v
	}
	switch {
	case n.Kind == yaml.AliasNode:
		return refuse("is a YAML alias, which is not supported", "write the value out")
	case n.Anchor != "":
		return refuse("has a YAML anchor, which is not supported", "write the value out where it is needed")
	case n.Style&yaml.TaggedStyle != 0:
		return refuse("has a YAML tag, which is not supported", "remove the !tag; quote what is text")
	case depth > maxDepth:
		return refuse("is nested too deeply", "")
	}
	switch n.Kind {
	case yaml.MappingNode:
		c.readMapping(v, n, depth)
	case yaml.SequenceNode:
		v.isList = true
		if keyLine > 0 {
			v.line = keyLine
		}
		for i, item := range n.Content {
			v.list = append(v.list, c.read(item, field+"["+strconv.Itoa(i)+"]", 0, depth+1))
		}
	case yaml.ScalarNode:
		v.scalar = scalar(n)
	case yaml.AliasNode, yaml.DocumentNode, yaml.StreamNode: // refused above, or never inside a document
	}
	return v
}

func (c *checker) readMapping(v *value, n *yaml.Node, depth int) {
	if v.keyLine > 0 {
		v.line = v.keyLine
	}
	v.fields = make(map[string]*value, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, content := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0 {
			c.addAt(key.Line, v.field, "has a key that is not plain text", "")
			continue
		}
		field := join(v.field, key.Value)
		if first := v.fields[key.Value]; first != nil {
			c.addAt(key.Line, field, "is given twice", fmt.Sprintf("first on line %d", first.keyLine))
			continue
		}
		v.keys = append(v.keys, key.Value)
		v.fields[key.Value] = c.read(content, field, key.Line, depth+1)
	}
}

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// join names a field of a mapping.
func join(field, key string) string {
	if !plainKey.MatchString(key) || secret.MatchString(key) {
		key = quoted(key)
	}
	return strings.TrimPrefix(field+"."+key, ".")
}

// scalar is a node's value: text, truth, a number or nothing. Dates are text.
func scalar(n *yaml.Node) any {
	switch n.ShortTag() {
	case "!!null":
		return nil
	case "!!bool", "!!int", "!!float":
		var v any
		if err := n.Load(&v); err != nil {
			return n.Value
		}
		switch x := v.(type) {
		case bool, int:
			return x
		case float64:
			if !math.IsNaN(x) && !math.IsInf(x, 0) {
				return x
			}
		}
		return math.MaxFloat64 // a number outside of all bounds
	}
	return n.Value
}
