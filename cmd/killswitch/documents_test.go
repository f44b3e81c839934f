package main

import (
	"encoding/json"
	"errors"
	"flag"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const repository = "../.."

// documents are the texts for people, by their path.
func documents(t *testing.T) map[string]string {
	t.Helper()
	texts := map[string]string{}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/actions/*.md", "deploy/*.md"} {
		files, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %v", pattern, err)
		}
		for _, file := range files {
			path, _ := filepath.Rel(repository, file)
			texts[filepath.ToSlash(path)] = deployed(t, path)
		}
	}
	return texts
}

var (
	fence    = regexp.MustCompile("(?ms)^[ ]*```([a-z]*)\n(.*?)^[ ]*```")
	codeSpan = regexp.MustCompile("`([^`\n]+)`")
	link     = regexp.MustCompile(`\]\(([^)\s]+)\)|<img src="([^"]+)"`)
	heading  = regexp.MustCompile(`(?m)^#+ (.*)$|<a id="([^"]+)">`)
	notSlug  = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// anchors are what a link into a document may name, as GitHub makes them of its headings.
func anchors(text string) map[string]bool {
	found := map[string]bool{}
	for _, m := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		words := regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`).ReplaceAllString(m[1], "$1")
		found[strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(words), ""), " ", "-")] = true
		found[m[2]] = true
	}
	return found
}

// TestLinksOfDocuments: each leads to a file or a heading that is there, and each page can be reached from README.
func TestLinksOfDocuments(t *testing.T) {
	texts := documents(t)
	leads := map[string][]string{}
	for from, text := range texts {
		for _, m := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			to := m[1] + m[2]
			if strings.Contains(to, "://") {
				continue
			}
			path, anchor, _ := strings.Cut(to, "#")
			file := from
			if path != "" {
				file = filepath.ToSlash(filepath.Join(filepath.Dir(from), path))
			}
			leads[from] = append(leads[from], file)
			if _, err := os.Stat(filepath.Join(repository, file)); err != nil {
				t.Errorf("%s: %s is not there", from, to)
			} else if anchor != "" && !anchors(texts[file])[anchor] {
				t.Errorf("%s: %s has no such heading", from, to)
			}
		}
	}
	for _, to := range regexp.MustCompile(`\b(docs|deploy)/[a-z-]+\.md(#[a-z-]+)?`).FindAllString(sources(t), -1) {
		file, anchor, _ := strings.Cut(to, "#")
		if texts[file] == "" || anchor != "" && !anchors(texts[file])[anchor] {
			t.Errorf("our own words lead to %s, which is not there", to)
		}
	}
	reached := map[string]bool{"README.md": true}
	for next := []string{"README.md"}; len(next) > 0; next = next[1:] {
		for _, file := range leads[next[0]] {
			if !reached[file] {
				reached[file] = true
				next = append(next, file)
			}
		}
	}
	for file := range texts {
		if !reached[file] {
			t.Errorf("no links lead from README to %s", file)
		}
	}
}

// flagsOf is a command's own flag set, as its help tells it.
func flagsOf(t *testing.T, command string) *flag.FlagSet {
	t.Helper()
	code, help, _ := call(t, nil, command, "--help")
	if code != exitDone {
		t.Fatalf("%s --help: %d", command, code)
	}
	f := flag.NewFlagSet(command, flag.ContinueOnError)
	for _, m := range regexp.MustCompile(`(?m)^  -(\S+)( \S+)?$`).FindAllStringSubmatch(help, -1) {
		if m[2] == "" {
			f.Bool(m[1], false, "")
		} else {
			f.String(m[1], "", "")
		}
	}
	return f
}

// ours finds where a line calls our program, with its arguments.
var ours = regexp.MustCompile(`(?:^|[;&|(])[ \t]*(?:[A-Z_]+=\S+[ \t]+)*(?:\./)?killswitch((?:[ \t]+(?:'[^']*'|"[^"]*"|[^\s;&|>)#"']+)+)*)`)

var word = regexp.MustCompile(`(?:'[^']*'|"[^"]*"|[^\s"']+)+`)

// TestCommandLinesOfDocuments: each command line of ours that a document has is taken by our own flags.
func TestCommandLinesOfDocuments(t *testing.T) {
	commands := map[string]bool{}
	for _, c := range subcommands() {
		commands[c.name] = true
	}
	checked := 0
	for file, text := range documents(t) {
		if file == "CHANGELOG.md" {
			continue // what was, too
		}
		var lines []string
		for _, m := range fence.FindAllStringSubmatch(text, -1) {
			if m[1] == "sh" {
				lines = append(lines, strings.Split(strings.ReplaceAll(m[2], "\\\n", " "), "\n")...)
			}
		}
		for _, m := range codeSpan.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			if strings.HasPrefix(m[1], "killswitch ") || strings.HasPrefix(m[1], "./killswitch ") || strings.Contains(m[1], "=… killswitch ") {
				lines = append(lines, m[1])
			}
		}
		for _, line := range lines {
			for _, m := range ours.FindAllStringSubmatch(line, -1) {
				args := word.FindAllString(m[1], -1)
				if len(args) == 0 {
					continue
				}
				if !commands[args[0]] {
					t.Errorf("%s: %s: there is no command %s", file, strings.TrimSpace(line), args[0])
					continue
				}
				checked++
				if _, err := parse(flagsOf(t, args[0]), program{out: io.Discard}, args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
					t.Errorf("%s: %s: %v", file, strings.TrimSpace(line), err)
				}
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d command lines were found", checked)
	}
}

// TestKeysOfDocuments: each key of the configuration that a document names can be said.
func TestKeysOfDocuments(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal([]byte(deployed(t, "cmd/config/killswitch.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	sections, _ := schema["properties"].(map[string]any)
	defs, _ := schema["$defs"].(map[string]any)
	var known func(node map[string]any, path []string) bool
	known = func(node map[string]any, path []string) bool {
		if ref, ok := node["$ref"].(string); ok {
			def, _ := defs[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
			return known(def, path)
		}
		if items, ok := node["items"].(map[string]any); ok && len(path) > 0 {
			return known(items, path)
		}
		if len(path) == 0 {
			return true
		}
		properties, _ := node["properties"].(map[string]any)
		if next, ok := properties[path[0]].(map[string]any); ok {
			return known(next, path[1:])
		}
		patterns, _ := node["patternProperties"].(map[string]any)
		for _, next := range patterns {
			if next, ok := next.(map[string]any); ok {
				return known(next, path[1:])
			}
		}
		return false
	}
	key := regexp.MustCompile(`^([a-z]+)(\[\])?(\.[a-z_]+(\[\])?)+(:|$)`)
	checked := 0
	for file, text := range documents(t) {
		for _, m := range codeSpan.FindAllStringSubmatch(text, -1) {
			path := strings.TrimSuffix(key.FindString(m[1]), ":")
			parts := strings.Split(strings.ReplaceAll(path, "[]", ""), ".")
			if _, ours := sections[parts[0]]; path == "" || !ours || strings.HasSuffix(path, ".md") || strings.HasSuffix(path, ".yaml") || file == "CHANGELOG.md" {
				continue
			}
			if checked++; !known(schema, parts) {
				t.Errorf("%s names %s, which no configuration may have", file, path)
			}
		}
	}
	if checked < 50 {
		t.Errorf("only %d keys were found", checked)
	}
}

// sources are all Go files but tests, in one text.
func sources(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	for _, dir := range []string{"actions", "approvals", "bot", "cmd"} {
		err := filepath.WalkDir(filepath.Join(repository, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			text, err := os.ReadFile(path)
			b.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// TestNamesOfDocuments: variables of the environment, resources of the stack and log messages that documents name
// are there.
func TestNamesOfDocuments(t *testing.T) {
	code, template := sources(t), deployed(t, "template.yaml")
	for file, text := range documents(t) {
		for _, name := range regexp.MustCompile(`\b(SLACK|KILLSWITCH)_[A-Z_]*[A-Z]\b`).FindAllString(text, -1) {
			if !strings.Contains(code, `"`+name+`"`) && !strings.Contains(code, name+" ") {
				t.Errorf("%s names %s, which nothing reads", file, name)
			}
		}
		for _, m := range regexp.MustCompile(`\$\(of_stack ([A-Za-z]+)\)`).FindAllStringSubmatch(text, -1) {
			if !strings.Contains(template, "\n  "+m[1]+":\n    Type: ") {
				t.Errorf("%s looks for %s, which the stack has not", file, m[1])
			}
		}
	}
	_, log, ok := strings.Cut(deployed(t, "docs/runbook.md"), "## The log of serve")
	messages := regexp.MustCompile("(?m)^\\| (`[^|]*`) \\|").FindAllStringSubmatch(log, -1)
	if !ok || len(messages) < 10 {
		t.Fatalf("%d messages in the runbook", len(messages))
	}
	for _, row := range messages {
		for _, m := range codeSpan.FindAllStringSubmatch(row[1], -1) {
			if !strings.Contains(code, `"`+m[1]+`"`) {
				t.Errorf("the runbook has a message that nobody logs: %s", m[1])
			}
		}
	}
}

// TestRunbookHasEachAlarm of the template, and none that is not.
func TestRunbookHasEachAlarm(t *testing.T) {
	alarms, sections := map[string]bool{}, map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  (\w+):\n    Type: AWS::CloudWatch::Alarm$`).FindAllStringSubmatch(deployed(t, "template.yaml"), -1) {
		alarms[m[1]] = true
	}
	runbook := deployed(t, "docs/runbook.md")
	for _, m := range regexp.MustCompile(`(?ms)^## (\w+)\n(.*?)(?:^## |\z)`).FindAllStringSubmatch(strings.ReplaceAll(runbook, "\n## ", "\n## \n## "), -1) {
		sections[m[1]] = true
		for _, part := range []string{"**Means:** ", "**Do first:** ", "**Over when** "} {
			if !strings.Contains(m[2], part) {
				t.Errorf("the runbook's %s has no %s", m[1], part)
			}
		}
	}
	if len(alarms) < 20 {
		t.Fatalf("%d alarms", len(alarms))
	}
	for _, name := range slices.Sorted(maps.Keys(alarms)) {
		if !sections[name] {
			t.Errorf("the runbook has no section for the alarm %s", name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		if !alarms[name] {
			t.Errorf("the runbook's %s is no alarm of the template", name)
		}
	}
}
