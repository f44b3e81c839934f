package scp

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// Tamper knows whether an administrator of a member account can lift what is contained there: the tamper
// protection, a policy on the organization's root, keeps it from them where the target has our tag.
type Tamper struct {
	Cloud    *actions.Cloud
	Document string // the protection, as this version prints it
	Now      func() time.Time

	mu    sync.Mutex
	known string
	until time.Time
}

// tamperLasts is how long an answer about the protection is not asked for again.
const tamperLasts = 10 * time.Minute

// Liftable says why an administrator of the account can lift a planned containment; "" if nobody there can.
func (t *Tamper) Liftable(ctx context.Context, c actions.Call, p actions.Plan, who actions.SessionContext) string {
	o := t.Cloud.Org()
	if a, ok := o.Actions.Lookup(c.Action); ok && a.Spec().CallsOrganizations(c) {
		return ""
	}
	tagged := func(s actions.Step) bool {
		return slices.ContainsFunc(p.Steps, func(tag actions.Step) bool { return tag.HoldName() == deny.TamperTag && tag.Resource == s.Resource })
	}
	switch {
	case slices.ContainsFunc(p.Steps, func(s actions.Step) bool { return s.Goal != "" && s.Look == "" && s.Skip == "" && !tagged(s) }):
		return "tamper protection guards not all of it"
	case c.Account == o.ManagementAccount:
		return "no policy touches the management account"
	case c.Account == o.PolicyAccount: // which may detach and rewrite the protection
		return "tamper protection is managed from this account"
	case o.OrganizationsAccount() == "":
		return "no tamper protection without aws.management_account or aws.policy_account"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := t.Now(); !now.Before(t.until) {
		ctx, cancel := context.WithTimeout(ctx, actions.NearestWithin)
		defer cancel()
		t.known, t.until = t.ask(ctx, who), now.Add(tamperLasts)
	}
	return t.known
}

// ask says what is wrong with the protection; "" for nothing.
func (t *Tamper) ask(ctx context.Context, who actions.SessionContext) string {
	missing, err := t.read(ctx, who)
	var no *actions.Refusal
	switch {
	case errors.As(err, &no):
		return no.Reason
	case err != nil:
		return "whether there is tamper protection can't be read"
	}
	return missing
}

func (t *Tamper) read(ctx context.Context, who actions.SessionContext) (missing string, err error) {
	at := actions.Scope{Org: t.Cloud.Org(), Account: t.Cloud.Org().OrganizationsAccount()}
	policy := []string{at.ARN("organizations", "policy/o-*/service_control_policy/*")}
	acct, err := t.Cloud.Enter(ctx, actions.Responder, at.Account, "", who, []actions.Statement{actions.ListPermit("organizations:ListPolicies"),
		{Actions: []string{"organizations:DescribePolicy", "organizations:ListTagsForResource", "organizations:ListTargetsForPolicy"}, Resources: policy}})
	if err != nil {
		return "", err
	}
	id, _, err := Attachment{policy: TamperPolicy}.find(ctx, acct)
	switch {
	case err != nil:
		return "", err
	case id == "":
		return "no tamper protection", nil
	}
	live, err := content(ctx, acct, id)
	if err != nil {
		return "", err
	}
	on, err := targets(ctx, acct, id)
	switch {
	case err != nil:
		return "", err
	case !slices.ContainsFunc(on, func(target string) bool { return strings.HasPrefix(target, "r-") }):
		return "tamper protection is not on the root", nil
	case !deny.EqualJSON(live, t.Document):
		return "tamper protection is not the one of this version", nil
	}
	return "", nil
}
