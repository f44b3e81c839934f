package config

import (
	"bytes"
	"strings"
)

// findSecrets looks at every key and value, then at the lines themselves, for
// what stands in comments.
func (c *checker) findSecrets(root *value, data []byte) {
	covered := map[int]bool{}
	note := func(line int, field string) {
		c.addAt(line, field, "looks like a secret", "secrets belong in the environment or Secrets Manager; replace this one, it has been written to a file")
	}
	var walk func(v *value)
	walk = func(v *value) {
		if s := v.text(); secret.MatchString(s) {
			note(v.line, v.field)
			c.settled[v.field] = true
			for i := range strings.Count(s, "\n") + 2 { // a block's first line stands below its |
				covered[v.line+i] = true
			}
		}
		for _, item := range v.list {
			walk(item)
		}
		for key, f := range v.entries() {
			if secret.MatchString(key) {
				note(f.keyLine, f.field)
				c.settled[f.field] = true
				covered[f.keyLine] = true
			}
			walk(f)
		}
	}
	walk(root)
	line := 0
	for l := range bytes.Lines(data) {
		if line++; secret.Match(l) && !covered[line] {
			note(line, "")
		}
	}
}
