package awsfake

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
)

// A Role is a role's whole configuration, as Snapshot shows it and AddRole takes
// it. Documents are kept byte for byte.
type Role struct {
	Name        string            `json:"name"`
	ID          string            `json:"id"`
	Path        string            `json:"path"`
	ARN         string            `json:"arn"`
	Description string            `json:"description,omitempty"`
	MaxSession  time.Duration     `json:"max_session"`
	Created     time.Time         `json:"created"`
	Trust       string            `json:"trust"`
	Tags        map[string]string `json:"tags,omitempty"`
	Inline      map[string]string `json:"inline,omitempty"`   // documents by name
	Attached    []string          `json:"attached,omitempty"` // policy ARNs, in the order of attachment
	Boundary    string            `json:"boundary,omitempty"`
	// Profiles are the names of the instance profiles that hold the role; AddRole creates them.
	Profiles []string `json:"profiles,omitempty"`
}

func (r *Role) clone() *Role {
	n := *r
	n.Tags, n.Inline = maps.Clone(r.Tags), maps.Clone(r.Inline)
	if n.Tags == nil {
		n.Tags = map[string]string{}
	}
	if n.Inline == nil {
		n.Inline = map[string]string{}
	}
	n.Attached, n.Profiles = slices.Clone(r.Attached), slices.Clone(r.Profiles)
	return &n
}

// A Profile is an instance profile.
type Profile struct {
	Name    string    `json:"name"`
	ID      string    `json:"id"`
	Path    string    `json:"path"`
	ARN     string    `json:"arn"`
	Created time.Time `json:"created"`
	Role    string    `json:"role,omitempty"` // name; at most one
}

// An Account is one AWS account.
type Account struct {
	c        *Cloud
	id       string
	roles    map[string]*history[Role]
	profiles map[string]*history[Profile]
	lastUsed map[string]time.Time // by role or access key ID; not configuration, so not in the Snapshot
	regions  map[string]*Region
	events   map[string][]trailtypes.Event // by region, newest first
	findings []finding
	users    map[string]*history[User]
	groups   map[string]*history[Group]
	buckets  []Bucket         // by name
	keys     map[string][]Key // by region
}

// ID is the account's twelve digits.
func (a *Account) ID() string { return a.id }

// AddAccount returns the account, made when it isn't there yet.
func (c *Cloud) AddAccount(id string) *Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.account(id)
}

// Account is AddAccount.
func (c *Cloud) Account(id string) *Account { return c.AddAccount(id) }

func (c *Cloud) account(id string) *Account {
	a, ok := c.accounts[id]
	if !ok {
		a = &Account{c: c, id: id, roles: map[string]*history[Role]{}, profiles: map[string]*history[Profile]{}, lastUsed: map[string]time.Time{},
			users: map[string]*history[User]{}, groups: map[string]*history[Group]{}}
		c.accounts[id] = a
	}
	return a
}

// history keeps the versions of one named thing that readers may still see.
type history[T any] struct{ versions []version[T] }

type version[T any] struct {
	value   *T // nil: does not exist; never changed once stored
	visible time.Time
}

// put appends a version and forgets those that no reader can see any more.
func (h *history[T]) put(v *T, now, visible time.Time) {
	h.versions = append(h.versions, version[T]{v, visible})
	for i := len(h.versions) - 1; i > 0; i-- {
		if !h.versions[i].visible.After(now) {
			h.versions = slices.Delete(h.versions, 0, i)
			return
		}
	}
}

// current is the newest version, which writes work on.
func (h *history[T]) current() *T {
	if h == nil || len(h.versions) == 0 {
		return nil
	}
	return h.versions[len(h.versions)-1].value
}

// seen is the newest version that has propagated at now.
func (h *history[T]) seen(now time.Time) *T {
	if h == nil {
		return nil
	}
	for _, v := range slices.Backward(h.versions) {
		if !v.visible.After(now) {
			return v.value
		}
	}
	return nil
}

func put[T any](m map[string]*history[T], name string, v *T, now, visible time.Time) {
	h, ok := m[name]
	if !ok {
		h = &history[T]{}
		m[name] = h
	}
	h.put(v, now, visible)
}

// visibleNames are the sorted names of what has propagated.
func visibleNames[T any](m map[string]*history[T], now time.Time) []string {
	var names []string
	for name, h := range m {
		if h.seen(now) != nil {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// mint makes an ID of the given prefix and number of upper-case letters and
// digits: deterministic by order, never the same twice ("IAM identifiers: unique
// identifiers", IAM User Guide: a re-created role has another ID).
func (c *Cloud) mint(prefix string, n int) string {
	c.minted[prefix]++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s/%d", prefix, c.minted[prefix]))
	return prefix + base32.StdEncoding.EncodeToString(sum[:])[:n]
}

// AddRole sets up a role, at once and unchecked but for its documents, and
// returns its ARN. Only Name is needed; an existing role is replaced. It panics
// on an invalid document and on a managed policy that isn't known.
func (a *Account) AddRole(r Role) string {
	c := a.c
	c.mu.Lock()
	defer c.mu.Unlock()
	n, now := r.clone(), c.now()
	if n.Path == "" {
		n.Path = "/"
	}
	if n.ID == "" {
		n.ID = c.mint("AROA", 17)
	}
	if n.MaxSession == 0 {
		n.MaxSession = time.Hour
	}
	if n.Created.IsZero() {
		n.Created = now.UTC()
	}
	if n.Trust == "" {
		n.Trust = serviceTrust("ec2.amazonaws.com")
	}
	n.ARN = c.arn("iam", a.id, "role"+n.Path+n.Name)
	n.Profiles = nil
	must := func(_ *policy, err error) {
		if err != nil {
			panic(fmt.Sprintf("awsfake: AddRole %s: %v", r.Name, err))
		}
	}
	must(parsePolicy(n.Trust, trustPolicy))
	for _, doc := range n.Inline {
		must(parsePolicy(doc, identityPolicy))
	}
	for _, arn := range n.Attached {
		if _, ok := c.policies[arn]; !ok {
			panic(fmt.Sprintf("awsfake: AddRole %s: unknown managed policy %s; see AddPolicy", r.Name, arn))
		}
	}
	put(a.roles, n.Name, n, now, now)
	for _, p := range r.Profiles {
		put(a.profiles, p, &Profile{Name: p, ID: c.mint("AIPA", 17), Path: "/", ARN: c.arn("iam", a.id, "instance-profile/"+p), Created: now.UTC(), Role: n.Name}, now, now)
	}
	return n.ARN
}

// MemberRoles are the two roles that killswitch has in a member account.
type MemberRoles struct {
	Responder, Restorer             string // names; killswitch-responder and killswitch-restorer when empty
	ResponderPolicy, RestorerPolicy string // inline documents; none when empty
	Principal                       string // who may assume them; HubPrincipal when empty
	ExternalID                      string // demanded when not empty
}

// Member adds an account with the two member roles, trusted to the hub with
// session tags and source identity.
func (c *Cloud) Member(account string, m MemberRoles) *Account {
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	condition := ""
	if m.ExternalID != "" {
		condition = fmt.Sprintf(`,"Condition":{"StringEquals":{"sts:ExternalId":%q}}`, m.ExternalID)
	}
	allow := `{"Effect":"Allow","Principal":{"AWS":%q},"Action":%s%s}`
	principal := or(m.Principal, c.HubPrincipal())
	trust := `{"Version":"2012-10-17","Statement":[` + fmt.Sprintf(allow, principal, `"sts:AssumeRole"`, condition) + "," + fmt.Sprintf(allow, principal, `["sts:TagSession","sts:SetSourceIdentity"]`, "") + `]}`
	a := c.Account(account)
	for _, r := range []struct{ name, policy string }{
		{or(m.Responder, "killswitch-responder"), m.ResponderPolicy},
		{or(m.Restorer, "killswitch-restorer"), m.RestorerPolicy},
	} {
		inline := map[string]string{}
		if r.policy != "" {
			inline["killswitch"] = r.policy
		}
		a.AddRole(Role{Name: r.name, Trust: trust, Inline: inline})
	}
	return a
}

func serviceTrust(service string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":%q},"Action":"sts:AssumeRole"}]}`, service)
}

// State is everything that is configured, for comparing before with after.
type State struct {
	Accounts map[string]AccountState `json:"accounts"`
	// Organization is nil where there is none.
	Organization *OrganizationState `json:"organization,omitempty"`
}

// AccountState is one account's part of a State, by name.
type AccountState struct {
	Roles    map[string]Role    `json:"roles"`
	Profiles map[string]Profile `json:"instance_profiles"`
	// Policies are the documents of the account's own managed policies, by ARN.
	Policies map[string]string `json:"policies"`
	// Regions are those in which the account has something.
	Regions map[string]RegionState `json:"regions,omitempty"`
	Users   map[string]User        `json:"users,omitempty"`
	Groups  map[string]Group       `json:"groups,omitempty"`
}

// Snapshot copies the newest state of all accounts, propagated or not.
func (c *Cloud) Snapshot() State {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := State{Accounts: map[string]AccountState{}, Organization: c.org.snapshot()}
	for id, a := range c.accounts {
		as := AccountState{Roles: map[string]Role{}, Profiles: map[string]Profile{}, Policies: map[string]string{}}
		for name, h := range a.roles {
			if r := h.current(); r != nil {
				as.Roles[name] = *r.clone()
			}
		}
		for name, h := range a.profiles {
			p := h.current()
			if p == nil {
				continue
			}
			as.Profiles[name] = *p
			if r, ok := as.Roles[p.Role]; ok {
				r.Profiles = append(r.Profiles, name)
				slices.Sort(r.Profiles)
				as.Roles[p.Role] = r
			}
		}
		for arn, doc := range c.policies {
			if strings.Contains(arn, ":iam::"+id+":") {
				as.Policies[arn] = doc
			}
		}
		for name, r := range a.regions {
			if as.Regions == nil {
				as.Regions = map[string]RegionState{}
			}
			as.Regions[name] = r.state()
		}
		as.Users, as.Groups = a.userStates()
		s.Accounts[id] = as
	}
	return s
}
