package vouch_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/vouch"
)

// bucketPolicy is a bucket's policy with one statement of these elements.
func bucketPolicy(elements string) string {
	return `{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::data/*",` + elements + `}]}`
}

// TestOfResource: who a bucket's policy lets in. A condition counts where it says for which account or organization
// a call is; nothing else that is written there hides anybody.
func TestOfResource(t *testing.T) {
	const service, everybody = `"Principal":{"Service":"sns.amazonaws.com"}`, `"Principal":"*"`
	when := func(principal, op, key, value string) string {
		return bucketPolicy(principal + `,"Condition":{"` + op + `":{"` + key + `":"` + value + `"}}`)
	}
	for name, c := range map[string]struct{ policy, want string }{
		"its own account":                             {bucketPolicy(`"Principal":{"AWS":["222222222222","arn:aws:iam::222222222222:role/app"]}`), ""},
		"an outside account":                          {bucketPolicy(`"Principal":{"AWS":"arn:aws:iam::666666666666:root"}`), "account 666666666666"},
		"a known account":                             {bucketPolicy(`"Principal":{"AWS":"333333333333"}`), "account 333333333333 (sandbox)"},
		"a denial":                                    {strings.Replace(bucketPolicy(everybody), "Allow", "Deny", 1), ""},
		"everybody":                                   {bucketPolicy(everybody), "everybody (*)"},
		"everybody by another spelling":               {bucketPolicy(`"Principal":{"AWS":["*"]}`), "everybody (*)"},
		"everybody but":                               {bucketPolicy(`"NotPrincipal":{"AWS":"222222222222"}`), "everybody but those named (NotPrincipal)"},
		"everybody from somewhere":                    {when(everybody, "IpAddress", "aws:SourceIp", "192.0.2.0/24"), "everybody (*) under conditions"},
		"the organization":                            {when(everybody, "StringEquals", "aws:PrincipalOrgID", "o-a1b2c3d4e5"), "the organization o-a1b2c3d4e5"},
		"another organization":                        {when(everybody, "StringEquals", "AWS:principalorgid", "o-0000000000"), "the organization o-0000000000"},
		"everybody of its own account":                {when(everybody, "StringEquals", "aws:PrincipalAccount", "222222222222"), ""},
		"everybody of another account":                {when(everybody, "StringLike", "aws:PrincipalAccount", "666666666666"), "account 666666666666"},
		"everybody of any account":                    {when(everybody, "StringLike", "aws:PrincipalAccount", "*"), "everybody (*) under conditions"},
		"everybody of any account, half said":         {when(everybody, "StringLike", "aws:PrincipalAccount", "22222222222?"), "everybody (*) under conditions"},
		"everybody of all accounts but its own":       {when(everybody, "StringNotEquals", "aws:PrincipalAccount", "222222222222"), "everybody (*) under conditions"},
		"everybody without an account, too":           {when(everybody, "StringEqualsIfExists", "aws:PrincipalAccount", "222222222222"), "everybody (*) under conditions"},
		"everybody who has no such key":               {when(everybody, "ForAllValues:StringEquals", "aws:PrincipalAccount", "222222222222"), "everybody (*) under conditions"},
		"everybody as a variable says":                {when(everybody, "StringEquals", "aws:PrincipalAccount", "${aws:PrincipalAccount}"), "everybody (*) under conditions"},
		"everybody of its own account or any":         {bucketPolicy(everybody + `,"Condition":{"StringEquals":{"aws:PrincipalAccount":["222222222222","*"]}}`), "everybody (*) under conditions"},
		"a principal in an organization":              {when(`"Principal":{"AWS":"666666666666"}`, "StringEquals", "aws:PrincipalOrgID", "o-a1b2c3d4e5"), "account 666666666666"},
		"a service for any account":                   {bucketPolicy(service), "the service sns.amazonaws.com"},
		"a service for its own account":               {when(service, "StringEquals", "aws:SourceAccount", "222222222222"), ""},
		"a service for another account":               {when(service, "StringEquals", "aws:SourceAccount", "666666666666"), "account 666666666666"},
		"a service for its own resource":              {when(service, "ArnLike", "aws:SourceArn", "arn:aws:sns:*:222222222222:*"), ""},
		"a service for another's resource":            {when(service, "ArnEquals", "aws:SourceArn", "arn:aws:sns:eu-central-1:666666666666:t"), "account 666666666666"},
		"a service for a resource that says no owner": {when(service, "ArnLike", "aws:SourceArn", "arn:aws:s3:::logs"), "the service sns.amazonaws.com under conditions"},
		"a service for a resource of any account":     {when(service, "StringLike", "aws:SourceArn", "arn:aws:sns:*:222222222222:*"), "the service sns.amazonaws.com under conditions"}, // there * stands for colons, too
		"a canonical user":                            {bucketPolicy(`"Principal":{"CanonicalUser":"79a59df900b949e55d96a1e698fbaced"}`), "somebody unknown (the CanonicalUser 79a59df900b949e55d96a1e698fbaced)"},
		"no policy":                                   {"[]", "somebody unknown (it is not a policy)"},
		"a hidden text":                               {bucketPolicy(`"Principal":{"Service":"sns\u202e\n<!channel>"}`), "the service sns <!channel>"},
	} {
		got := vouch.OfResource(org(), []string{actiontest.Member}, c.policy)
		if strings.Join(got, ", ") != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := vouch.OfResource(org(), []string{actiontest.Member, "o-a1b2c3d4e5"}, when(everybody, "StringEquals", "aws:PrincipalOrgID", "o-a1b2c3d4e5")); len(got) > 0 {
		t.Errorf("an expected organization is told: %q", got)
	}
	// For a role's trust policy no condition counts.
	if got := vouch.Strangers(org(), responder, allow(everybody+`,"Condition":{"StringEquals":{"aws:PrincipalAccount":"111111111111"}}`)); !slices.Equal(got, []string{"everybody (*)"}) {
		t.Errorf("a role is entered by %q", got)
	}
}

// TestGrantee: services and deleted principals, which a grant has by their names, are not told.
func TestGrantee(t *testing.T) {
	for principal, want := range map[string]string{
		"arn:aws:iam::666666666666:role/x":                                     "arn:aws:iam::666666666666:role/x",
		"arn:aws:iam::666666666666:root":                                       "account 666666666666",
		"arn:aws:iam::222222222222:user/app":                                   "",
		"arn:aws:sts::222222222222:assumed-role/aws:ec2-infrastructure/i-0abc": "",
		"ec2.eu-central-1.amazonaws.com":                                       "",
		"AROACKCEVSQ6C2EXAMPLE":                                                "",
		"":                                                                     "",
	} {
		if got := vouch.Grantee(org(), []string{actiontest.Member}, principal); got != want {
			t.Errorf("%q: %q, want %q", principal, got, want)
		}
	}
}
