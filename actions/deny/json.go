package deny

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
)

// ReadJSON reads JSON without duplicate keys, which parsers treat differently.
func ReadJSON(text string) (any, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	v, err := readValue(d)
	if _, end := d.Token(); err == nil && !errors.Is(end, io.EOF) {
		return nil, errors.New("is not JSON")
	}
	return v, err
}

func readValue(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, errors.New("is not JSON")
	}
	switch token {
	case json.Delim('['):
		items := []any{}
		for d.More() {
			v, err := readValue(d)
			if err != nil {
				return nil, err
			}
			items = append(items, v)
		}
		_, err = d.Token()
		return items, err
	case json.Delim('{'):
		fields := map[string]any{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, errors.New("is not JSON")
			}
			name, _ := key.(string)
			if _, twice := fields[name]; twice {
				return nil, fmt.Errorf("has the key %q twice in one place", actions.Clip(name))
			}
			if fields[name], err = readValue(d); err != nil {
				return nil, err
			}
		}
		_, err = d.Token()
		return fields, err
	}
	return token, nil
}

// OnlyKeys reports whether an object has no keys but the known ones.
func OnlyKeys(m map[string]any, known ...string) bool {
	for k := range m {
		if !slices.Contains(known, k) {
			return false
		}
	}
	return m != nil
}

// Strings returns a string, or at least one string, as a list.
func Strings(v any) ([]string, bool) {
	if s, ok := v.(string); ok {
		return []string{s}, true
	}
	items, _ := v.([]any)
	var ss []string
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			return nil, false
		}
		ss = append(ss, s)
	}
	return ss, len(ss) > 0
}
