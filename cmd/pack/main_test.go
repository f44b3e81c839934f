package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/cmd/config"
)

// What is packed loads in the function as it did where it was written.
func TestPackedConfigurationLoads(t *testing.T) {
	example, err := os.ReadFile("../../docs/killswitch.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	from, to := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		t.Helper()
		path := filepath.Join(from, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("prod.yaml", strings.Replace(string(example), "{builtin: freeze}", "{file: scps/deep/freeze.json}", 1))
	write("scps/deep/freeze.json", `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/killswitch-re*"}}}]}`)
	write("scps/other.json", "{}")
	if err := pack(filepath.Join(from, "prod.yaml"), to); err != nil {
		t.Fatal(err)
	}
	want, err := config.Load(filepath.Join(from, "prod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := config.Load(filepath.Join(to, "killswitch.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" || len(got.Files) != 1 {
		t.Errorf("packed (-want +got):\n%s", diff)
	}
	modes := map[string]fs.FileMode{}
	err = filepath.WalkDir(to, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		name, _ := filepath.Rel(to, path)
		modes[filepath.ToSlash(name)] = info.Mode()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]fs.FileMode{"killswitch.yaml": 0o644, "scps/deep/freeze.json": 0o644}, modes); diff != "" {
		t.Errorf("files (-want +got):\n%s", diff)
	}
	ingress := t.TempDir()
	if err := packWebhooks(filepath.Join(from, "prod.yaml"), ingress); err != nil {
		t.Fatal(err)
	}
	grants, err := os.ReadFile(filepath.Join(ingress, "webhooks.json"))
	if err != nil || string(grants) != `{"eventbridge":{"events":true},"soar":{"actions":["isolate_instance","revoke_sessions"],"role_to_assume":"killswitch-responder","org_management_account":"999999999999"}}` {
		t.Errorf("webhooks: %s %v", grants, err)
	}
	write("scps/deep/freeze.json", "{}")
	if err := pack(filepath.Join(from, "prod.yaml"), t.TempDir()); err == nil {
		t.Error("a configuration that is not valid is packed")
	}
	if err := packWebhooks(filepath.Join(from, "prod.yaml"), t.TempDir()); err == nil {
		t.Error("webhooks of a configuration that is not valid are packed")
	}
}
