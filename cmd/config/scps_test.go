package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/scp"
)

const exempting = `{
  "Version": "2012-10-17",
  "Statement": [{"Effect": "Deny", "Action": "iam:*", "Resource": "*", "Condition": {"ArnNotLike": {"aws:PrincipalArn": [
    "arn:aws:iam::*:role/killswitch-responder", "arn:aws:iam::*:role/killswitch-restorer"
  ]}}}]
}
`

// beside are the files in the directory of the tests' configurations.
var beside = fstest.MapFS{
	"scps/freeze.json":  {Data: []byte(exempting)},
	"scps/text.json":    {Data: []byte("Deny all")},
	"scps/large.json":   {Data: []byte(exempting + strings.Repeat(" ", maxSCPFile))},
	"scps/dir.json":     {Mode: fs.ModeDir | 0o755},
	"scps/lockout.json": {Data: []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`)},
	"scps/allow.json":   {Data: []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*"}]}`)},
	"bootstrap":         {Data: []byte(exempting)},
}

func TestSCPs(t *testing.T) {
	text := edit(t, example(t), "  freeze: {builtin: freeze}", "  freeze: {file: scps/freeze.json}\n  again: {file: scps/freeze.json}\n  plane: {builtin: control-plane}",
		"  external_id:", "  forwarder_role: killswitch-forwarder\n  external_id:")
	got, err := Parse("x.yaml", []byte(text), beside)
	if err != nil {
		t.Fatal(err)
	}
	file, no := scp.CheckSCP(got.Org, exempting)
	if no != nil {
		t.Fatal(no)
	}
	plane, _ := scp.BuiltinSCP(got.Org, "control-plane")
	if diff := cmp.Diff(map[string]string{"freeze": file, "again": file, "plane": plane}, got.Org.SCPs); diff != "" {
		t.Errorf("documents (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"scps/freeze.json"}, got.Files); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	for _, role := range []string{"role/killswitch-forwarder", "role/break-glass"} {
		if !strings.Contains(plane, role) {
			t.Errorf("%s is not exempt: %s", role, plane)
		}
	}
}

func TestSCPProblemsSayWhatToDo(t *testing.T) {
	for file, words := range map[string][]string{
		"none.json":    {"no such file", "directory"},
		"lockout.json": {"lock Killswitch out", "ArnNotLike", "killswitch-restorer"},
		"allow.json":   {"allows", "NotAction"},
		"large.json":   {"64 KiB"},
		"text.json":    {"not JSON"},
	} {
		_, err := Parse("x.yaml", []byte(edit(t, example(t), "{builtin: freeze}", "{file: scps/"+file+"}")), beside)
		for _, word := range words {
			if err == nil || !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %q is not in: %v", file, word, err)
			}
		}
	}
	_, err := Parse("x.yaml", []byte(edit(t, example(t), "{builtin: freeze}", "{file: scps/freeze.json}")), nil)
	if diff := cmp.Diff([]string{"41 scps.freeze.file"}, places(t, err)); diff != "" {
		t.Errorf("without files (-want +got):\n%s", diff)
	}
}

// A configuration's files are beside it, wherever the program runs.
func TestLoadReadsTheFilesBesideIt(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "killswitch.yaml")
	if err := os.WriteFile(path, []byte(edit(t, example(t), "{builtin: freeze}", "{file: scps/freeze.json}")), 0o600); err != nil {
		t.Fatal(err)
	}
	var problems Problems
	if _, err := Load(path); !errors.As(err, &problems) || len(problems) != 1 || problems[0].Line != 41 {
		t.Errorf("without the file: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "scps"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "scps", "freeze.json"), []byte(exempting), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil || !strings.Contains(c.Org.SCPs["freeze"], "iam:*") {
		t.Errorf("%v, %v", c.Org.SCPs, err)
	}
}
