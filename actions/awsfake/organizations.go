package awsfake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// An Organization is an organization's accounts and limits, as Organize takes it.
type Organization struct {
	Management string // account ID
	Accounts   []OrgAccount
	Units      []OrgUnit // parents before their children
	// SCPQuota is how many policies a target may have: 10 by default, formerly 5.
	// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_reference_limits.html
	SCPQuota int
	// Delegation is the organization's resource-based policy, by which members may call
	// Organizations; "" for none.
	// https://docs.aws.amazon.com/organizations/latest/userguide/orgs_delegate_policies.html
	Delegation string
	// SCPsDisabled is an organization in which the policy type is not enabled.
	SCPsDisabled bool
}

// An OrgAccount is a member of the organization.
type OrgAccount struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	State string `json:"state"` // ACTIVE when empty
	// Parent is the ID of an organizational unit, empty for the root.
	Parent string `json:"parent,omitempty"`
}

// An OrgUnit is an organizational unit.
type OrgUnit struct{ ID, Name, Parent string } // Parent as in OrgAccount

// An SCP is a service control policy's whole configuration, as Snapshot shows it
// and AddSCP takes it.
type SCP struct {
	Name        string            `json:"name"`
	ID          string            `json:"id"`
	ARN         string            `json:"arn"`
	Description string            `json:"description,omitempty"`
	Content     string            `json:"content"`
	AWSManaged  bool              `json:"aws_managed,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Targets     []string          `json:"targets,omitempty"` // IDs of accounts, units and the root, sorted
}

func (p *SCP) clone() *SCP {
	n := *p
	n.Tags, n.Targets = maps.Clone(p.Tags), slices.Clone(p.Targets)
	if n.Tags == nil {
		n.Tags = map[string]string{}
	}
	if len(n.Targets) == 0 {
		n.Targets = nil // as it was before anything was attached
	}
	return &n
}

type organization struct {
	Organization
	id       string
	root     string                // its ID
	accounts map[string]OrgAccount // the management account included
	units    map[string]OrgUnit
	joined   time.Time
	policies map[string]*history[SCP] // by ID
}

// fullAccess is the policy that AWS attaches to every account while SCPs are enabled.
const fullAccess = "p-FullAWSAccess"

// Organize makes the organization of this cloud: there is one at most. Without
// it Organizations says AWSOrganizationsNotInUseException and nothing else changes.
func (c *Cloud) Organize(o Organization) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.SCPQuota == 0 {
		o.SCPQuota = 10
	}
	now := c.now()
	c.org = &organization{Organization: o, id: "o-" + strings.ToLower(c.mint("", 10)), joined: now.UTC(), accounts: map[string]OrgAccount{}, units: map[string]OrgUnit{}, policies: map[string]*history[SCP]{}}
	c.org.root = "r-" + strings.ToLower(c.mint("", 4))
	full := &SCP{Name: "FullAWSAccess", ID: fullAccess, ARN: c.arn("organizations", "aws", "policy/service_control_policy/"+fullAccess),
		Description: "Allows access to every operation", Content: awsManaged["AdministratorAccess"], AWSManaged: true}
	for _, a := range append([]OrgAccount{{ID: o.Management, Name: "management"}}, o.Accounts...) {
		if a.State == "" {
			a.State = "ACTIVE"
		}
		c.org.accounts[a.ID] = a
		c.account(a.ID)
		if !o.SCPsDisabled {
			full.Targets = append(full.Targets, a.ID)
		}
	}
	for _, u := range o.Units {
		c.org.units[u.ID] = u
		if !o.SCPsDisabled {
			full.Targets = append(full.Targets, u.ID)
		}
	}
	if !o.SCPsDisabled {
		full.Targets = append(full.Targets, c.org.root)
	}
	slices.Sort(full.Targets)
	put(c.org.policies, full.ID, full.clone(), now, now)
}

// OrganizationRoot is the ID of the organization's root.
func (c *Cloud) OrganizationRoot() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.org.root
}

// AddSCP sets up a policy, at once and unchecked but for its content, and
// returns its ID. It panics on an invalid document.
func (c *Cloud) AddSCP(p SCP) string {
	if _, err := parsePolicy(p.Content, identityPolicy); err != nil {
		panic(fmt.Sprintf("awsfake: AddSCP %s: %v", p.Name, err))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	n, now := p.clone(), c.now()
	if n.ID == "" {
		n.ID = c.mintSCP()
	}
	n.ARN = c.scpARN(n.ID)
	slices.Sort(n.Targets)
	put(c.org.policies, n.ID, n, now, now)
	return n.ID
}

func (c *Cloud) mintSCP() string { return strings.ToLower(c.mint("p-", 10)) }

// ARNs of Organizations name the management account: "ARN formats supported by
// Organizations" (Service Authorization Reference).
func (c *Cloud) scpARN(id string) string {
	return c.arn("organizations", c.org.Management, "policy/"+c.org.id+"/service_control_policy/"+id)
}

// scpByARN finds a policy as it has propagated.
func (c *Cloud) scpByARN(arn string, now time.Time) *SCP {
	if c.org == nil {
		return nil
	}
	if p := c.org.policies[arn[strings.LastIndex(arn, "/")+1:]].seen(now); p != nil && p.ARN == arn {
		return p
	}
	return nil
}

func (c *Cloud) orgAccountARN(id string) string {
	return c.arn("organizations", c.org.Management, "account/"+c.org.id+"/"+id)
}

// targetARN is the ARN of an account, of a unit or of the root.
func (c *Cloud) targetARN(id string) string {
	switch _, unit := c.org.units[id]; {
	case id == c.org.root:
		return c.arn("organizations", c.org.Management, "root/"+c.org.id+"/"+id)
	case unit || strings.HasPrefix(id, "ou-"):
		return c.arn("organizations", c.org.Management, "ou/"+c.org.id+"/"+id)
	}
	return c.orgAccountARN(id)
}

// above are the targets of policies that an account inherits from, the root first, and the account itself.
func (o *organization) above(account string) []string {
	path := []string{account}
	for id := o.accounts[account].Parent; id != ""; id = o.units[id].Parent {
		path = append(path, id)
	}
	slices.Reverse(path)
	return append([]string{o.root}, path...)
}

// attached are the policies on an account as they have propagated, by ID.
func (o *organization) attached(account string, see func(*history[SCP]) *SCP) []*SCP {
	var ps []*SCP
	for _, id := range slices.Sorted(maps.Keys(o.policies)) {
		if p := see(o.policies[id]); p != nil && slices.Contains(p.Targets, account) {
			ps = append(ps, p)
		}
	}
	return ps
}

// guardrails are the SCPs that hold for a role: "SCPs do not affect users or roles
// in the management account … SCPs don't affect any service-linked role"
// (Organizations User Guide, Service control policies).
func (c *Cloud) guardrails(account string, role *Role, now time.Time) []layer {
	if c.org == nil || c.org.SCPsDisabled || account == c.org.Management || strings.HasPrefix(role.Path, "/aws-service-role/") {
		return nil
	}
	if _, member := c.org.accounts[account]; !member {
		return nil
	}
	var ls []layer
	for _, at := range c.org.above(account) { // each must allow
		l := layer{kind: "a service control policy"}
		for _, scp := range c.org.attached(at, func(h *history[SCP]) *SCP { return h.seen(now) }) {
			if p, err := parsePolicy(scp.Content, identityPolicy); err == nil { // checked when written
				l.policies = append(l.policies, p)
			}
		}
		ls = append(ls, l)
	}
	return ls
}

// OrganizationState is the organization's part of a State.
type OrganizationState struct {
	Accounts map[string]OrgAccount `json:"accounts"`
	SCPs     map[string]SCP        `json:"scps"` // by ID
}

func (o *organization) snapshot() *OrganizationState {
	if o == nil {
		return nil
	}
	s := &OrganizationState{Accounts: maps.Clone(o.accounts), SCPs: map[string]SCP{}}
	for id, h := range o.policies {
		if p := h.current(); p != nil {
			s.SCPs[id] = *p.clone()
		}
	}
	return s
}
