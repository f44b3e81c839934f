package demo

import (
	"bytes"
	"cmp"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/cmd/killswitch/company"
)

// awsState is the state of AWS itself, independent of Killswitch. Differences from the
// start of the story are marked as changed.
type awsState struct {
	Organization organization `json:"organization"`
	Accounts     []account    `json:"accounts"`
}

type organization struct {
	SCPs []scp `json:"scps"`
}

type scp struct {
	Name     string   `json:"name"`
	Targets  []string `json:"targets"` // accounts
	Document string   `json:"document"`
	Ours     bool     `json:"ours"` // Killswitch's
	Changed  bool     `json:"changed,omitempty"`
}

type account struct {
	ID        string     `json:"id"`
	Name      string     `json:"name"`
	Protected bool       `json:"protected"`
	FrozenBy  []string   `json:"frozen_by"` // names of SCPs
	Roles     []role     `json:"roles"`
	Users     []user     `json:"users"`
	Instances []instance `json:"instances"`
}

type role struct {
	Name     string            `json:"name"`
	Path     string            `json:"path"`
	ARN      string            `json:"arn"`
	Attached []string          `json:"attached"` // names of managed policies
	Inline   []document        `json:"inline"`
	Tags     map[string]string `json:"tags"`
	Sessions []session         `json:"sessions"` // that somebody uses
	Exists   bool              `json:"exists"`
	Own      bool              `json:"own,omitempty"` // Killswitch's
	Changed  bool              `json:"changed,omitempty"`
}

type document struct {
	Name     string `json:"name"`
	Document string `json:"document"`
	Ours     bool   `json:"ours,omitempty"`
}

type session struct {
	Name  string `json:"name"`
	By    string `json:"by"`
	Works bool   `json:"works"` // AWS still allows its call
	Why   string `json:"why"`   // AWS's error otherwise
	Ours  bool   `json:"ours,omitempty"`
}

type user struct {
	Name     string            `json:"name"`
	ARN      string            `json:"arn"`
	Groups   []string          `json:"groups"`
	Attached []string          `json:"attached"`
	Inline   []document        `json:"inline"`
	Keys     []key             `json:"keys"`
	Login    bool              `json:"login"`
	Tags     map[string]string `json:"tags"`
	Sessions []session         `json:"sessions"` // keys that somebody uses
	Changed  bool              `json:"changed,omitempty"`
}

type key struct {
	ID      string `json:"id"`
	Status  string `json:"status"` // Active or Inactive
	Changed bool   `json:"changed,omitempty"`
}

type instance struct {
	ID         string            `json:"id"`
	Name       string            `json:"name"`
	Region     string            `json:"region"`
	State      string            `json:"state"`
	Groups     []string          `json:"groups"` // ID and name
	Profile    string            `json:"profile"`
	Protection bool              `json:"protection"` // against termination
	Tags       map[string]string `json:"tags"`
	ASG        string            `json:"asg"` // and the state in it
	Reachable  bool              `json:"reachable"`
	Changed    bool              `json:"changed,omitempty"`
}

// killswitchs is the prefix of the names of Killswitch's own resources.
const killswitchs = "killswitch-"

func (st *stage) aws() awsState {
	now := st.AWS.Snapshot()
	s := awsState{Organization: organization{SCPs: []scp{}}, Accounts: []account{}}
	for _, p := range now.Organization.SCPs {
		before, known := st.before.Organization.SCPs[p.ID]
		s.Organization.SCPs = append(s.Organization.SCPs, scp{
			Name: p.Name, Targets: list(p.Targets), Document: compact(p.Content), Ours: p.Tags["killswitch"] != "", Changed: !known || !reflect.DeepEqual(p, before),
		})
	}
	slices.SortFunc(s.Organization.SCPs, func(a, b scp) int { return strings.Compare(a.Name, b.Name) })
	for id, a := range now.Organization.Accounts {
		x := account{ID: id, Name: a.Name, Protected: slices.Contains(st.Org.ProtectedAccounts, id), FrozenBy: []string{}, Roles: []role{}, Users: []user{}, Instances: []instance{}}
		for _, p := range s.Organization.SCPs {
			if p.Ours && slices.Contains(p.Targets, id) && !strings.HasPrefix(p.Name, killswitchs+"deny-") { // which is about principals
				x.FrozenBy = append(x.FrozenBy, p.Name)
			}
		}
		x.fill(now.Accounts[id], st.before.Accounts[id], st.Company)
		s.Accounts = append(s.Accounts, x)
	}
	slices.SortFunc(s.Accounts, func(a, b account) int {
		return cmp.Or(order(a.Protected, b.Protected), strings.Compare(a.ID, b.ID))
	})
	return s
}

// order puts what is not before what is.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

func (x *account) fill(now, before awsfake.AccountState, c *company.Company) {
	for name, r := range now.Roles {
		was, known := before.Roles[name]
		x.Roles = append(x.Roles, roleState(r, c, true, !known || !reflect.DeepEqual(r, was)))
	}
	for name, r := range before.Roles {
		if _, there := now.Roles[name]; !there {
			x.Roles = append(x.Roles, roleState(r, c, false, true))
		}
	}
	slices.SortFunc(x.Roles, func(a, b role) int { return cmp.Or(order(a.Own, b.Own), strings.Compare(a.Name, b.Name)) })
	for name, u := range now.Users {
		was, known := before.Users[name]
		x.Users = append(x.Users, userState(u, was, c, !known || !reflect.DeepEqual(u, was)))
	}
	slices.SortFunc(x.Users, func(a, b user) int { return strings.Compare(a.Name, b.Name) })
	for region, r := range now.Regions {
		old := instances(region, before.Regions[region], nil)
		can := c.AWS.Account(x.ID).Region(region).CanTalk
		for id, i := range instances(region, r, can) {
			was := old[id]
			was.Reachable = i.Reachable
			i.Changed = !reflect.DeepEqual(i, was)
			x.Instances = append(x.Instances, i)
		}
	}
	slices.SortFunc(x.Instances, func(a, b instance) int { return strings.Compare(a.Name+a.ID, b.Name+b.ID) })
}

func roleState(r awsfake.Role, c *company.Company, exists, changed bool) role {
	return role{Name: r.Name, Path: r.Path, ARN: r.ARN, Attached: names(r.Attached), Inline: documents(r.Inline), Tags: tags(r.Tags),
		Sessions: sessions(c, r.ARN), Exists: exists, Own: strings.HasPrefix(r.Name, killswitchs), Changed: changed}
}

func userState(u, was awsfake.User, c *company.Company, changed bool) user {
	x := user{Name: u.Name, ARN: u.ARN, Groups: list(u.Groups), Attached: names(u.Attached), Inline: documents(u.Inline), Keys: []key{},
		Login: !u.Password.IsZero(), Tags: tags(u.Tags), Sessions: sessions(c, u.ARN), Changed: changed}
	for _, k := range u.Keys {
		y := key{ID: k.ID, Status: "Active", Changed: !slices.Contains(was.Keys, k)}
		if k.Inactive {
			y.Status = "Inactive"
		}
		x.Keys = append(x.Keys, y)
	}
	return x
}

// instances are a region's, by ID.
func instances(region string, r awsfake.RegionState, canTalk func(string) bool) map[string]instance {
	all := map[string]instance{}
	for id, i := range r.Instances {
		x := instance{ID: id, Name: i.Tags["Name"], Region: region, State: i.State, Groups: []string{}, Profile: last(i.Profile), Protection: i.Protected, Tags: tags(i.Tags)}
		for _, e := range r.Interfaces {
			for _, g := range e.Groups {
				if name := g + " " + r.Groups[g].Name; e.Instance == id && !slices.Contains(x.Groups, name) {
					x.Groups = append(x.Groups, name)
				}
			}
		}
		slices.Sort(x.Groups)
		for _, g := range r.ScalingGroups {
			if state := g.Members[id]; state != "" {
				x.ASG = g.Name + ", " + state
			}
		}
		x.Reachable = canTalk != nil && i.State == "running" && canTalk(id)
		all[id] = x
	}
	return all
}

func sessions(c *company.Company, principal string) []session {
	all := []session{}
	for _, s := range c.Used {
		if s.Principal == principal {
			x := session{Name: s.Name, By: s.By, Ours: s.Ours}
			x.Works, x.Why = s.Works()
			all = append(all, x)
		}
	}
	return all
}

// documents returns inline policies. Killswitch's are recognised by their names.
func documents(inline map[string]string) []document {
	all := []document{}
	for _, name := range slices.Sorted(maps.Keys(inline)) {
		ours := strings.HasPrefix(strings.ToLower(name), "killswitch") || name == "AWSRevokeOlderSessions"
		all = append(all, document{name, compact(inline[name]), ours})
	}
	return all
}

// compact removes the white space of a policy: the state is sent often.
func compact(policy string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(policy)) != nil {
		return policy
	}
	return b.String()
}

func names(arns []string) []string {
	all := []string{}
	for _, arn := range arns {
		all = append(all, last(arn))
	}
	return all
}

// last returns the name in an ARN.
func last(arn string) string { return arn[strings.LastIndex(arn, "/")+1:] }

func list(s []string) []string { return append([]string{}, s...) }

func tags(t map[string]string) map[string]string {
	if t == nil {
		return map[string]string{}
	}
	return t
}
