package deny_test

import (
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// TestGrantsFindsAllows: what may allow something is named, however it is written.
func TestGrantsFindsAllows(t *testing.T) {
	long := `{"Effect":"Deny","Action":["` + strings.Repeat("s3:GetObject,", 100) + `"],"Resource":"*"}`
	for name, c := range map[string]struct{ document, grants string }{
		"a deny":                 {`{"Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`, ""},
		"one statement, no list": {`{"Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}`, ""},
		"an allow":               {`{"Statement":[{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`, "iam:*"},
		"an allow, spelt oddly":  {`{"Statement":[{"Effect":"\u0041llow","Action":"iam:*","Resource":"*"}]}`, "iam:*"},
		"an allow behind":        {`{"Statement":[` + long + `,{"Effect":"Allow","Action":"iam:*","Resource":"*"}]}`, "iam:*"},
		"two effects":            {`{"Statement":[{"Effect":"Allow","Effect":"Deny","Action":"iam:*","Resource":"*"}]}`, "iam:*"},
		"no effect":              {`{"Statement":[{"Action":"iam:*","Resource":"*"}]}`, "iam:*"},
		"no JSON":                {`Allow iam:*`, "iam:*"},
		"nothing":                {``, ""},
		"a state that allows":    {`{"attached":true,"inline":"{\"Statement\":[{\"Effect\":\"Allow\",\"Action\":\"iam:*\",\"Resource\":\"*\"}]}"}`, "iam:*"},
		"a state that denies":    {`{"attached":true,"inline":"{\"Statement\":[{\"Effect\":\"Deny\",\"Action\":\"iam:*\",\"Resource\":\"*\"}]}"}`, ""},
		"a state of none":        {`{"attached":true,"arn":"arn:aws:iam::aws:policy/AdministratorAccess"}`, ""},
	} {
		got := deny.Grants(c.document)
		if c.grants == "" && got != "" || !strings.Contains(got, c.grants) {
			t.Errorf("%s: %q, want %q", name, got, c.grants)
		}
	}
}
