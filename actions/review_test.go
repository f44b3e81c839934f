package actions_test

import (
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Documents that stop nothing are refused.
func TestFreezeThatStopsNothing(t *testing.T) {
	o := testOrg("aws")
	check := func(scope string) *actions.Refusal {
		_, no := actions.CheckSCP(o, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny",`+scope+`,"Condition":`+exempting+`}]}`)
		return no
	}
	for _, scope := range []string{
		`"NotAction":"*","Resource":"*"`,
		`"NotAction":["s3:Get*","*"],"Resource":"*"`,
		`"Action":"*","NotResource":"*"`,
		`"Action":"*","NotResource":["arn:aws:s3:::b","*"]`,
		`"Action":"*","NotResource":"**"`,
		`"Action":"*","NotResource":"*:*"`,
		`"Action":"*","NotResource":"?*"`,
		`"Action":"*","NotResource":"arn"`,
		`"Action":"*","NotResource":"arn:*"`,
		`"Action":"*","NotResource":"arn:aws:*:*:*:*"`,
		`"Action":"*","NotResource":["arn:aws:*::*:*","arn:aws:*:*-*:*:*","arn:aws:*:?*:*:*"]`,
		`"Action":"*","NotResource":["arn:aws:*:*:${aws:PrincipalAccount}:*","arn:aws:*:::*"]`,
		`"Action":"*","NotResource":"arn:aws:*:*:${aws:ResourceAccount}*:*"`,
	} {
		no := check(scope)
		if no == nil {
			t.Errorf("%s is taken", scope)
			continue
		}
		says(t, no.Reason, "statement 1", "would stop nothing")
	}
	for _, scope := range []string{
		`"NotAction":["s3:*","iam:*"],"Resource":"*"`,
		`"Action":"*","NotResource":"arn:aws:s3:::*"`,
		`"Action":"*","NotResource":["arn:aws:iam::*:role/forensics","arn:aws:s3:::${aws:PrincipalAccount}-evidence/*"]`,
		`"Action":"s3:*","NotResource":"arn:aws:*:*:333333333333:*"`,
	} {
		if no := check(scope); no != nil {
			t.Errorf("%s: %v", scope, no)
		}
	}
}
