package all

import (
	"encoding/json"
	"maps"

	"github.com/killswitch-chatops/killswitch/actions"
)

// Delegation returns the statements that let the member roles of the policy account, and nobody
// else there, call Organizations as the actions do. An organization has one delegation policy, so
// they are merged into it.
// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_delegate_policies.html
func Delegation(o actions.Org) string {
	type statement struct {
		Effect    string
		Principal map[string]string
		Action    []string
		Resource  []string
		Condition actions.Condition
	}
	var ss []statement
	for _, m := range []struct {
		role   string
		member actions.Member
	}{{o.ResponderRole, actions.Responder}, {o.RestorerRole, actions.Restorer}} {
		for _, p := range organizationsPermits(m.member, o) {
			only := maps.Clone(p.Condition)
			if only == nil {
				only = actions.Condition{}
			}
			only["ArnEquals"] = map[string][]string{"aws:PrincipalArn": {actions.RoleARN(o.Partition, o.PolicyAccount, "/", m.role)}}
			ss = append(ss, statement{"Allow", map[string]string{"AWS": "arn:" + o.Partition + ":iam::" + o.PolicyAccount + ":root"}, p.Actions, p.Resources, only})
		}
	}
	b, err := json.MarshalIndent(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", ss}, "", "  ")
	if err != nil {
		panic(err) // only our own types come here
	}
	return string(b)
}
