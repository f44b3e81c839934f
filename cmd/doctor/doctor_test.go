package doctor

import (
	"os"
	"slices"
	"testing"

	"go.yaml.in/yaml/v4"
)

// TestScopes: the scopes that are looked for are those that the manifest asks for.
func TestScopes(t *testing.T) {
	b, err := os.ReadFile("../../deploy/slack-manifest.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		OAuth struct {
			Scopes struct{ Bot []string }
		} `yaml:"oauth_config"`
	}
	if err := yaml.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	if want := manifest.OAuth.Scopes.Bot; !slices.Equal(Scopes, want) {
		t.Errorf("%v, the manifest asks for %v", Scopes, want)
	}
}

// TestSame: a document is compared by what it means.
func TestSame(t *testing.T) {
	want := map[string]any{"Statement": []any{map[string]any{"Effect": "Allow", "Action": []any{"a:B", "a:C"}, "Resource": "*", "Condition": map[string]any{"Bool": map[string]any{"aws:SecureTransport": false}}}}}
	for document, equal := range map[string]bool{
		`{"Statement":{"Effect":"Allow","Action":["a:C","a:B"],"Resource":["*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}}`:     true,
		`{"Statement":[{"Effect":"Allow","Action":["a:B","a:C"],"Resource":"*","Condition":{"Bool":{"aws:SecureTransport":false}}}]}`:       true,
		`{"Statement":[{"Effect":"Allow","Action":["a:B"],"Resource":"*","Condition":{"Bool":{"aws:SecureTransport":false}}}]}`:             false,
		`{"Statement":[{"Effect":"Allow","Action":["a:B","a:C"],"Resource":"*"}]}`:                                                          false,
		`{"Statement":[{"Effect":"Allow","Action":["a:B","a:C","a:D"],"Resource":"*","Condition":{"Bool":{"aws:SecureTransport":false}}}]}`: false,
		`{"Statement":[{"Effect":"Allow","Action":["a:B","a:C"],"Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}`:      false,
		`not JSON`: false,
	} {
		if same(document, want) != equal {
			t.Errorf("%s: %t", document, !equal)
		}
	}
	if got, want := difference(`{"Statement":[{"Effect":"Allow","Action":["a:B","x:Y"]},{"Effect":"Deny","Action":"a:C"}]}`, want), ": it lacks a:C, and it may besides x:Y"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
