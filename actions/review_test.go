package actions_test

import (
	"slices"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
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

// A customer's policy can have a path or a name like those of AWS's own
// quarantine: only AWS's own stays attached.
func TestPolicyLikeAWSsIsDetached(t *testing.T) {
	own := []string{"arn:aws:iam::aws:policy/AWSDenyAll", "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"}
	likes := []string{
		"arn:aws:iam::" + member + ":policy/:iam::aws:policy/AWSDenyAll",
		"arn:aws:iam::" + member + ":policy/AWSDenyAll",
		"arn:aws:iam::" + member + ":policy/AWSCompromisedKeyQuarantineV2",
		"arn:aws:iam::" + member + ":policy/aws:policy/AWSCompromisedKeyQuarantineV3",
	}
	w := newWorld(t)
	for _, arn := range slices.Concat(own, likes) {
		w.AddPolicy(arn, permissive)
	}
	w.Account(member).AddRole(awsfake.Role{Name: "victim", Path: "/app/", Attached: slices.Concat(own, likes)})
	w.do(actions.Call{Action: actions.DetachPolicies, Target: w.role, Account: member}, w.role)
	ids := stepIDs(w.plan())
	for _, arn := range likes {
		if !slices.Contains(ids, "detach "+arn) {
			t.Errorf("%s stays attached: %q", arn, ids)
		}
	}
	for _, arn := range own {
		if slices.Contains(ids, "detach "+arn) {
			t.Errorf("%s is detached: %q", arn, ids)
		}
	}

	// What only denies goes last from a role that is deleted.
	w.do(actions.Call{Action: actions.DeleteRole, Target: w.role, Account: member, Options: map[string]string{"confirm": "victim"}}, w.role)
	ids = stepIDs(w.plan())
	for _, arn := range likes {
		for _, deny := range own {
			if slices.Index(ids, "detach "+arn) > slices.Index(ids, "detach "+deny) {
				t.Errorf("%s goes after %s: %q", arn, deny, ids)
			}
		}
	}
}
