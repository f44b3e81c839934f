package vouch_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/vouch"
)

const (
	responder  = "arn:aws:iam::222222222222:role/killswitch-responder"
	breakGlass = "arn:aws:iam::222222222222:role/break-glass"
	forwarder  = "arn:aws:iam::222222222222:role/killswitch-forwarder"
)

// org is the configuration of these tests.
func org() actions.Org {
	o := actiontest.TestOrg("aws")
	o.ForwarderRole = "killswitch-forwarder"
	return o
}

// allow is a trust policy with one statement of these elements.
func allow(elements string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole",` + elements + `}]}`
}

// TestStrangers: who may enter a role, by trust policies of all kinds. What the configuration expects is
// nobody's mistake; whatever else is there, or can't be judged, is a stranger.
func TestStrangers(t *testing.T) {
	const stackset = `"Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Condition":{"ArnEquals":{"aws:PrincipalArn":"arn:aws:iam::111111111111:role/killswitch-executor"},"StringEquals":{"sts:ExternalId":"x","aws:PrincipalOrgID":"o-1"}}`
	for name, c := range map[string]struct {
		arn, trust string
		want       string // words of each stranger, "" for none
	}{
		"the hub's executor":                     {responder, allow(`"Principal":{"AWS":"arn:aws:iam::111111111111:role/killswitch-executor"}`), ""},
		"the hub's account, narrowed":            {responder, allow(stackset), ""},
		"the hub's account by its ID":            {responder, allow(`"Principal":{"AWS":"111111111111"}`), ""},
		"a session of the hub":                   {responder, allow(`"Principal":{"AWS":"arn:aws:sts::111111111111:assumed-role/killswitch-executor/x"}`), ""},
		"the member role's own account":          {responder, allow(`"Principal":{"AWS":"arn:aws:iam::222222222222:root"}`), "account 222222222222 (prod)"},
		"the hub, and an outside account":        {responder, allow(`"Principal":{"AWS":["111111111111","666666666666"]}`), "account 666666666666"},
		"an outside role, however narrowed":      {responder, allow(`"Principal":{"AWS":"arn:aws:iam::666666666666:role/x"},"Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1","sts:ExternalId":"x"}}`), "arn:aws:iam::666666666666:role/x"},
		"an outside statement":                   {responder, strings.TrimSuffix(allow(stackset), `]}`) + `,{"Effect":"Allow","Principal":{"AWS":"666666666666"},"Action":"sts:AssumeRole"}]}`, "account 666666666666"},
		"the hub of another partition":           {responder, allow(`"Principal":{"AWS":"arn:aws-cn:iam::111111111111:root"}`), "arn:aws-cn:iam::111111111111:root"},
		"a role whose path has the hub's number": {responder, allow(`"Principal":{"AWS":"arn:aws:iam::666666666666:role/111111111111/x"}`), "666666666666"},
		"a wildcard in the hub":                  {responder, allow(`"Principal":{"AWS":"arn:aws:iam::111111111111:role/*"}`), "unknown"},
		"a variable in the hub":                  {responder, allow(`"Principal":{"AWS":"arn:aws:iam::111111111111:user/${aws:username}"}`), "unknown"},
		"everybody":                              {responder, allow(`"Principal":"*"`), "everybody"},
		"every AWS principal":                    {responder, allow(`"Principal":{"AWS":"*"},"Condition":{"StringEquals":{"aws:PrincipalAccount":"111111111111"}}`), "everybody"},
		"everybody but":                          {responder, allow(`"NotPrincipal":{"AWS":"111111111111"}`), "NotPrincipal"},
		"everybody but, beside a principal":      {responder, allow(`"Principal":{"AWS":"111111111111"},"NotPrincipal":{"AWS":"111111111111"}`), "NotPrincipal"},
		"denied to everybody but":                {responder, `{"Statement":[{"Effect":"Deny","NotPrincipal":{"AWS":"111111111111"},"Action":"*"},{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"*"}]}`, ""},
		"a denial lifts no stranger":             {responder, `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"666666666666"},"Action":"*"},{"Effect":"Deny","Principal":{"AWS":"666666666666"},"Action":"*"}]}`, "666666666666"},
		"a principal twice":                      {responder, allow(`"Principal":{"AWS":"666666666666"},"Principal":{"AWS":"111111111111"}`), "unknown twice"},
		"a principal twice, spelled otherwise":   {responder, allow(`"Principal":{"AWS":"666666666666","\u0041WS":"111111111111"}`), "unknown twice"},
		"a principal in another case":            {responder, allow(`"principal":{"AWS":"666666666666"},"Principal":{"AWS":"111111111111"}`), "unknown"},
		"a deleted principal":                    {responder, allow(`"Principal":{"AWS":"AROACKCEVSQ6C2EXAMPLE"}`), "AROACKCEVSQ6C2EXAMPLE deleted"},
		"a canonical user":                       {responder, allow(`"Principal":{"CanonicalUser":"79a59df900b949e55d96a1e698fbaced"}`), "CanonicalUser"},
		"no principal":                           {responder, allow(`"Principal":{}`), "unknown"},
		"a number":                               {responder, allow(`"Principal":{"AWS":111111111111}`), "unknown"},
		"a number among names":                   {responder, allow(`"Principal":{"AWS":["111111111111",666666666666]}`), "unknown"},
		"another effect":                         {responder, strings.Replace(allow(stackset), `"Allow"`, `"allow"`, 1), "unknown"},
		"another element":                        {responder, allow(stackset + `,"Resource":"*"`), "unknown"},
		"another key":                            {responder, strings.Replace(allow(stackset), `"Version"`, `"version"`, 1), "unknown"},
		"no JSON":                                {responder, `{"Version"`, "unknown"},
		"more behind it":                         {responder, allow(stackset) + allow(`"Principal":"*"`), "unknown"},
		"nothing":                                {responder, ``, "unknown"},
		"no statement":                           {responder, `{"Version":"2012-10-17"}`, "unknown"},
		"a statement without a list":             {responder, `{"Statement":{"Effect":"Allow","Principal":{"AWS":"111111111111"},"Action":"sts:AssumeRole"}}`, ""},
		"a service":                              {responder, allow(`"Principal":{"Service":"ec2.amazonaws.com"}`), "the service ec2.amazonaws.com"},
		"a member role in another case":          {"arn:aws:iam::222222222222:role/KillSwitch-Responder", allow(`"Principal":{"AWS":"222222222222"}`), "account 222222222222"},

		"EventBridge":                      {forwarder, allow(`"Principal":{"Service":"events.amazonaws.com"}`), ""},
		"EventBridge, narrowed":            {forwarder, allow(`"Principal":{"Service":"events.amazonaws.com"},"Condition":{"StringEquals":{"aws:SourceAccount":"222222222222"}}`), ""},
		"EventBridge and another":          {forwarder, allow(`"Principal":{"Service":["events.amazonaws.com","ec2.amazonaws.com"]}`), "ec2.amazonaws.com"},
		"EventBridge's name as an account": {forwarder, allow(`"Principal":{"AWS":"events.amazonaws.com"}`), "unknown"},
		"the forwarder's own account":      {forwarder, allow(`"Principal":{"AWS":"222222222222"}`), "account 222222222222"},

		"its own account":                       {breakGlass, allow(`"Principal":{"AWS":"arn:aws:iam::222222222222:root"}`), ""},
		"a user of its own account":             {breakGlass, allow(`"Principal":{"AWS":"arn:aws:iam::222222222222:user/emergency"}`), ""},
		"the hub and the management account":    {breakGlass, allow(`"Principal":{"AWS":["111111111111","arn:aws:iam::999999999999:role/x"]}`), ""},
		"another account of the organization":   {breakGlass, allow(`"Principal":{"AWS":"333333333333"}`), "account 333333333333 (sandbox)"},
		"a provider of its own account":         {breakGlass, allow(`"Principal":{"Federated":"arn:aws:iam::222222222222:saml-provider/okta"}`), "signs in"},
		"a web identity provider":               {breakGlass, allow(`"Principal":{"Federated":"accounts.google.com"}`), "accounts.google.com"},
		"its account number as a provider":      {breakGlass, allow(`"Principal":{"Federated":"222222222222x"}`), "signs in"},
		"an instance":                           {breakGlass, allow(`"Principal":{"Service":"ec2.amazonaws.com"}`), "ec2.amazonaws.com"},
		"many strangers, hostile, in few words": {breakGlass, allow(`"Principal":{"Federated":"\u202e<!channel>\n` + strings.Repeat("x", 4000) + `"}`), "<!channel>"},
	} {
		t.Run(name, func(t *testing.T) {
			got := vouch.Strangers(org(), c.arn, c.trust)
			if (len(got) > 0) != (c.want != "") {
				t.Fatalf("strangers %q, want %q", got, c.want)
			}
			for word := range strings.FieldsSeq(c.want) {
				if !strings.Contains(strings.Join(got, ", "), word) {
					t.Errorf("%q does not say %q", got, word)
				}
			}
			for _, s := range got {
				if len([]rune(s)) > 200 || strings.ContainsAny(s, "\n\u202e") {
					t.Errorf("a stranger's words are not for a card: %q", s)
				}
			}
		})
	}
}

// TestStrangersByTheConfiguration: a list in the configuration is all that is expected, with * for the
// role's own account; one of the exact ARN goes before that of any account.
func TestStrangersByTheConfiguration(t *testing.T) {
	o := org()
	o.ProtectedTrust = map[string][]string{
		"arn:aws:iam::*:role/break-glass": {"arn:aws:iam::*:saml-provider/okta", "arn:aws:iam::*:root", "333333333333", "arn:aws:iam::666666666666:role/auditor", "ec2.amazonaws.com"},
	}
	trust := func(principal string) string { return allow(`"Principal":{` + principal + `}`) }
	for principal, want := range map[string]bool{
		`"Federated":"arn:aws:iam::222222222222:saml-provider/okta"`: true,
		`"Federated":"arn:aws:iam::333333333333:saml-provider/okta"`: false,
		`"AWS":"222222222222"`:                           true,
		`"AWS":"arn:aws:iam::333333333333:user/x"`:       true,
		`"AWS":"arn:aws:iam::666666666666:role/auditor"`: true,
		`"AWS":"arn:aws:iam::666666666666:role/other"`:   false,
		`"AWS":"666666666666"`:                           false,
		`"AWS":"111111111111"`:                           false, // not listed
		`"Service":"ec2.amazonaws.com"`:                  true,
		`"Service":"lambda.amazonaws.com"`:               false,
		`"CanonicalUser":"333333333333"`:                 false,
	} {
		if got := vouch.Strangers(o, breakGlass, trust(principal)); (len(got) == 0) != want {
			t.Errorf("%s: strangers %q", principal, got)
		}
	}
	o.ProtectedTrust[breakGlass] = []string{"444444444444"}
	if got := vouch.Strangers(o, breakGlass, trust(`"AWS":"333333333333"`)); len(got) == 0 {
		t.Error("the list of any account counts in an account with one of its own")
	}
	// No list makes a member role another's.
	o.ProtectedTrust[responder] = []string{"666666666666"}
	if got := vouch.Strangers(o, responder, trust(`"AWS":"666666666666"`)); len(got) == 0 {
		t.Error("the configuration's list counts for a member role")
	}
}

// TestExempt: only the account may be *.
func TestExempt(t *testing.T) {
	got := vouch.Exempt(actiontest.Member, []string{
		"arn:aws:iam::*:role/break-glass", "arn:aws:iam::222222222222:role/ops/keeper", "arn:aws:iam::333333333333:role/theirs",
		"arn:aws:iam::*:user/emergency", "arn:aws:iam::222222222222:user/named", "arn:aws:iam::222222222222:role/break-glass", "arn:aws:iam::*:root", "*",
	})
	want := []string{breakGlass, "arn:aws:iam::222222222222:role/ops/keeper", "arn:aws:iam::222222222222:user/emergency"}
	if !slices.Equal(got, want) {
		t.Errorf("exempt are %q, want %q", got, want)
	}
}

// FuzzStrangers: whatever the policy, an outside account in an Allow is never taken for nobody, and no text panics.
func FuzzStrangers(f *testing.F) {
	for _, s := range []string{`"Principal":{"AWS":"111111111111"}`, `"Principal":"*"`, `"NotPrincipal":{"AWS":"111111111111"}`, `"Principal":{"AWS":["111111111111","666666666666"]}`, `"Principal":{"AWS":"111111111111"},"Principal":{"AWS":"x"}`} {
		f.Add(allow(s))
	}
	f.Fuzz(func(t *testing.T, trust string) {
		got := vouch.Strangers(org(), responder, trust)
		var d struct {
			Statement []struct {
				Effect    string
				Principal struct{ AWS any }
			}
		}
		if json.Unmarshal([]byte(trust), &d) != nil {
			return
		}
		for _, s := range d.Statement { // as a lenient reader takes it
			if who := fmt.Sprint(s.Principal.AWS); s.Effect == "Allow" && who != "111111111111" && !strings.Contains(who, "111111111111") && s.Principal.AWS != nil && len(got) == 0 {
				t.Errorf("%s lets in %s, and nobody is a stranger", trust, who)
			}
		}
	})
}
