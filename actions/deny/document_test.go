package deny_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
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

// TestReadRevocationKnowsThreeForms: ours, ours of earlier versions, and the IAM console's. What is
// only like them is none.
func TestReadRevocationKnowsThreeForms(t *testing.T) {
	cutoff := time.Date(2026, 11, 3, 10, 0, 30, 0, time.UTC)
	now := deny.RevokeDocument("", cutoff)
	const login = `,{"Effect":"Deny","Action":["signin:CreateOAuth2Token","signin:AuthorizeOAuth2Access"],"Resource":["*"]}`
	earlier := strings.Replace(now, login, "", 1)
	console := strings.Replace(earlier, `"Sid":"`+deny.RevokeSid+`",`, "", 1)
	for name, c := range map[string]struct {
		document string
		want     deny.Revocation
		not      bool
	}{
		"ours":                         {now, deny.Revocation{Cutoff: cutoff, Ours: true, Login: true}, false},
		"ours, earlier":                {earlier, deny.Revocation{Cutoff: cutoff, Ours: true}, false},
		"the console's":                {console, deny.Revocation{Cutoff: cutoff}, false},
		"ours, spaced":                 {strings.ReplaceAll(now, `":`, "\" : \n"), deny.Revocation{Cutoff: cutoff, Ours: true, Login: true}, false},
		"a login that is allowed":      {strings.Replace(now, `"Deny","Action":["signin`, `"Allow","Action":["signin`, 1), deny.Revocation{}, true},
		"a login with a condition":     {strings.Replace(now, `"Resource":["*"]}]}`, `"Resource":["*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}`, 1), deny.Revocation{}, true},
		"a third statement":            {strings.Replace(now, login, login+login, 1), deny.Revocation{}, true},
		"a key twice":                  {strings.Replace(now, `"Effect":"Deny","Action":["signin`, `"Effect":"Deny","Effect":"Deny","Action":["signin`, 1), deny.Revocation{}, true},
		"the statements changed about": {`{"Version":"2012-10-17","Statement":[` + login[1:] + "," + strings.TrimPrefix(earlier, `{"Version":"2012-10-17","Statement":[`), deny.Revocation{}, true},
		"no statement":                 {`{"Version":"2012-10-17","Statement":[]}`, deny.Revocation{}, true},
	} {
		got, ok := deny.ReadRevocation(c.document)
		if ok == c.not || got != c.want {
			t.Errorf("%s: %+v, %t: %s", name, got, ok, c.document)
		}
		if deny.Kept("AWSRevokeOlderSessions", c.document) != ok {
			t.Errorf("%s: kept is not %t", name, ok)
		}
	}
	if earlier == now || console == earlier || len(now) > 320 {
		t.Errorf("%d characters, of 10,240 that a role has: %s", len(now), now)
	}
}

// TestKeptOfEachInstallation: a deny stays under the name of the installation whose Sid it has, and no other.
func TestKeptOfEachInstallation(t *testing.T) {
	const instance = "arn:aws:ec2:us-east-1:222222222222:instance/i-0123456789abcdef0"
	ids := []actions.Installation{"", "a", "b"}
	for _, by := range ids {
		for name, document := range map[string]string{actions.RevokePolicy: deny.RevokeDocument(by, time.Unix(0, 0)), deny.AllPolicy: deny.AllDocument(by), deny.InstancePolicy: deny.InstanceDocument(by, instance)} {
			for _, named := range ids {
				if deny.Kept(named.Name(name), document) != (named == by) {
					t.Errorf("%s by %q is kept: %t", named.Name(name), by, named != by)
				}
			}
			if allow := strings.Replace(document, `"Deny"`, `"Allow"`, 1); deny.Kept(by.Name(name), allow) {
				t.Errorf("what allows is kept: %s", allow)
			}
		}
	}
}

// A document counts as a deny to instances only if it is exactly ours.
func TestDeniedInstances(t *testing.T) {
	const one, two = "arn:aws:ec2:eu-central-1:222222222222:instance/i-0123456789abcdef0", "arn:aws:ec2:us-east-1:222222222222:instance/i-0123456789abcdef1"
	for _, arns := range [][]string{{one}, {one, two}} {
		if d := cmp.Diff(arns, deny.DeniedInstances(deny.InstanceDocument("", arns...))); d != "" {
			t.Error(d)
		}
	}
	both := deny.InstanceDocument("", one, two)
	for name, doc := range map[string]string{
		"nothing":           "",
		"no instance":       strings.Replace(both, "instance/i-", "volume/i-", 1),
		"a wildcard":        strings.Replace(both, "i-0123456789abcdef0", "*", 1),
		"an empty list":     strings.Replace(both, `["`+one+`","`+two+`"]`, `[]`, 1),
		"a condition more":  strings.Replace(both, `"Condition":{`, `"Condition":{"StringEquals":{"aws:SourceIp":"198.51.100.7"},`, 1),
		"an allow":          strings.Replace(both, `"Deny"`, `"Allow"`, 1),
		"another statement": strings.Replace(both, `"Statement":[`, `"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},`, 1),
	} {
		if got := deny.DeniedInstances(doc); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
	if deny.Kept(deny.EarlierPolicy("i-0123456789abcdef0"), both) || !deny.Kept(deny.InstancePolicy, both) || deny.Kept("KillswitchIsolated", both) {
		t.Error("the name decides nothing")
	}
}
