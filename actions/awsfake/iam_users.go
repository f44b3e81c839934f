package awsfake

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

var iamUserOperations = map[string]operation{
	"iam:CreateUser":          bind(writes, createUser),
	"iam:GetUser":             bind(reads, getUser),
	"iam:ListUsers":           {run: bind(reads, listUsers).run, needs: listUsersNeeds},
	"iam:TagUser":             bind(writes, tagUser),
	"iam:UntagUser":           bind(writes, untagUser),
	"iam:ListUserTags":        bind(reads, listUserTags),
	"iam:ListGroupsForUser":   bind(reads, listGroupsForUser),
	"iam:AddUserToGroup":      bind(writes, addUserToGroup),
	"iam:RemoveUserFromGroup": bind(writes, removeUserFromGroup),
	"iam:ListMFADevices":      bind(reads, listMFADevices),
	"iam:DeactivateMFADevice": bind(writes, deactivateMFADevice),
}

// A User is an IAM user's whole configuration, as Snapshot shows it and AddUser
// takes it. Documents are kept byte for byte.
type User struct {
	Name     string            `json:"name"`
	ID       string            `json:"id"`
	Path     string            `json:"path"`
	ARN      string            `json:"arn"`
	Created  time.Time         `json:"created"`
	Tags     map[string]string `json:"tags,omitempty"`
	Inline   map[string]string `json:"inline,omitempty"`   // documents by name
	Attached []string          `json:"attached,omitempty"` // policy ARNs, in the order of attachment
	Boundary string            `json:"boundary,omitempty"`
	Groups   []string          `json:"groups,omitempty"` // names, sorted; AddUser creates those that aren't there
	Keys     []AccessKey       `json:"keys,omitempty"`
	// Password is when the console password was made; zero for none.
	Password     time.Time    `json:"password,omitzero"`
	MFA          []string     `json:"mfa,omitempty"` // serial numbers
	SSHKeys      []Credential `json:"ssh_keys,omitempty"`
	Services     []Credential `json:"service_credentials,omitempty"`
	Certificates []Credential `json:"certificates,omitempty"`
}

// An AccessKey is a long-term key. Its ID is made where there is none.
type AccessKey struct {
	ID       string    `json:"id"`
	Inactive bool      `json:"inactive,omitempty"`
	Created  time.Time `json:"created"`
}

// A Credential is a user's SSH public key, credential for one service or
// signing certificate.
type Credential struct {
	ID       string    `json:"id"`
	Service  string    `json:"service,omitempty"` // codecommit.amazonaws.com
	Inactive bool      `json:"inactive,omitempty"`
	Created  time.Time `json:"created"`
}

// A Group is an IAM group; its members are in User.Groups.
type Group struct {
	Name     string            `json:"name"`
	ID       string            `json:"id"`
	Path     string            `json:"path"`
	ARN      string            `json:"arn"`
	Created  time.Time         `json:"created"`
	Inline   map[string]string `json:"inline,omitempty"`
	Attached []string          `json:"attached,omitempty"`
}

func (u *User) clone() *User {
	n := *u
	n.Tags, n.Inline = maps.Clone(u.Tags), maps.Clone(u.Inline)
	if n.Tags == nil {
		n.Tags = map[string]string{}
	}
	if n.Inline == nil {
		n.Inline = map[string]string{}
	}
	n.Attached, n.Groups, n.Keys, n.MFA = slices.Clone(u.Attached), slices.Clone(u.Groups), slices.Clone(u.Keys), slices.Clone(u.MFA)
	n.SSHKeys, n.Services, n.Certificates = slices.Clone(u.SSHKeys), slices.Clone(u.Services), slices.Clone(u.Certificates)
	if len(n.Attached) == 0 { // none is none, however it came to be
		n.Attached = nil
	}
	return &n
}

// AddGroup sets up a group, at once and unchecked; an existing one is replaced.
func (a *Account) AddGroup(g Group) string {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	return a.addGroup(g)
}

func (a *Account) addGroup(g Group) string {
	now := a.c.now()
	g.Path, g.ID = or(g.Path, "/"), or(g.ID, a.c.mint("AGPA", 17))
	if g.Created.IsZero() {
		g.Created = now.UTC()
	}
	g.ARN = a.c.arn("iam", a.id, "group"+g.Path+g.Name)
	put(a.groups, g.Name, &g, now, now)
	return g.ARN
}

// AddUser sets up a user, at once and unchecked but for its documents, and
// returns its ARN. Only Name is needed; an existing user is replaced. It panics
// on an invalid document and on a managed policy that isn't known.
func (a *Account) AddUser(u User) string {
	c := a.c
	c.mu.Lock()
	defer c.mu.Unlock()
	n, now := u.clone(), c.now()
	n.Path, n.ID = or(n.Path, "/"), or(n.ID, c.mint("AIDA", 17))
	if n.Created.IsZero() {
		n.Created = now.UTC()
	}
	n.ARN = c.arn("iam", a.id, "user"+n.Path+n.Name)
	for name, doc := range n.Inline {
		if _, err := parsePolicy(doc, identityPolicy); err != nil {
			panic(fmt.Sprintf("awsfake: AddUser %s: %s: %v", u.Name, name, err))
		}
	}
	for _, arn := range n.Attached {
		if _, ok := c.policies[arn]; !ok {
			panic(fmt.Sprintf("awsfake: AddUser %s: unknown managed policy %s; see AddPolicy", u.Name, arn))
		}
	}
	slices.Sort(n.Groups)
	for _, g := range n.Groups {
		if a.groups[g].current() == nil {
			a.addGroup(Group{Name: g})
		}
	}
	for i := range n.Keys {
		k := &n.Keys[i]
		k.ID = or(k.ID, c.mint("AKIA", 16))
		if k.Created.IsZero() {
			k.Created = now.UTC()
		}
		c.keyOwners[k.ID] = a.id
	}
	for prefix, list := range map[string][]Credential{"APKA": n.SSHKeys, "ACCA": n.Services, "CERT": n.Certificates} {
		for i := range list {
			list[i].ID = or(list[i].ID, c.mint(prefix, 17))
			if list[i].Created.IsZero() {
				list[i].Created = now.UTC()
			}
		}
	}
	put(a.users, n.Name, n, now, now)
	return n.ARN
}

// DeleteUser takes a user away, with all that it has, at once.
func (a *Account) DeleteUser(name string) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	now := a.c.now()
	put(a.users, name, nil, now, now)
}

// userStates are the account's users and groups by name; nil where there are none.
func (a *Account) userStates() (map[string]User, map[string]Group) {
	var users map[string]User
	var groups map[string]Group
	for name, h := range a.users {
		if u := h.current(); u != nil {
			if users == nil {
				users = map[string]User{}
			}
			users[name] = *u.clone()
		}
	}
	for name, h := range a.groups {
		if g := h.current(); g != nil {
			if groups == nil {
				groups = map[string]Group{}
			}
			groups[name] = *g
		}
	}
	return users, groups
}

// user is a copy of the newest state, to be changed and stored.
func (k *request) user(name *string) (*User, error) {
	if u := k.account.users[aws.ToString(name)].current(); u != nil {
		return u.clone(), nil
	}
	return nil, noUser(name)
}

// seenUser is the user as it has propagated, for reads.
func (k *request) seenUser(name *string) (*User, error) {
	if u := k.account.users[aws.ToString(name)].seen(k.now); u != nil {
		return u, nil
	}
	return nil, noUser(name)
}

func noUser(name *string) error {
	return noSuchEntity("The user with name %s cannot be found.", aws.ToString(name))
}

func (k *request) storeUser(u *User) { put(k.account.users, u.Name, u, k.now, k.visible()) }

// principalNeed is the permission for IAM's operations on users, groups and
// customer-managed policies: "Actions, resources, and condition keys for AWS IAM"
// (Service Authorization Reference).
func (k *request) principalNeed(action string, in any) (need, bool) {
	a := k.account
	if !strings.HasPrefix(k.op, "iam:") || field(in, "RoleName") != "" {
		return need{}, false
	}
	if name := field(in, "GroupName"); name != "" { // AddUserToGroup too: the group is what it takes
		n := need{action: action, resource: k.c.arn("iam", a.id, "group/"+name), shown: "group " + name}
		if g := a.groups[name].current(); g != nil {
			n.resource = g.ARN
		}
		return n, true
	}
	if name := field(in, "UserName"); name != "" {
		n := need{action: action, resource: k.c.arn("iam", a.id, "user/"+name), shown: "user " + name}
		if u := a.users[name].current(); u != nil {
			n.resource = u.ARN
		}
		return n, true
	}
	if arn := field(in, "PolicyArn"); arn != "" {
		return need{action: action, resource: arn, shown: "policy " + arn}, true
	}
	if name := field(in, "PolicyName"); name != "" {
		arn := k.c.arn("iam", a.id, "policy"+or(field(in, "Path"), "/")+name)
		return need{action: action, resource: arn, shown: "policy " + name}, true
	}
	return need{}, false
}

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateUser.html
func createUser(k *request, in *iam.CreateUserInput) (*iam.CreateUserOutput, error) {
	name, path := aws.ToString(in.UserName), or(aws.ToString(in.Path), "/")
	if !entityName.MatchString(name) || len(name) > 64 {
		return nil, constraint(name, "userName", `Member must satisfy regular expression pattern: [\w+=,.@-]+ and have length less than or equal to 64`)
	}
	if k.account.users[name].current() != nil {
		return nil, alreadyExists("User with name %s already exists.", name)
	}
	u := (&User{Name: name, ID: k.c.mint("AIDA", 17), Path: path, ARN: k.c.arn("iam", k.account.id, "user"+path+name), Created: k.now.UTC(), Boundary: aws.ToString(in.PermissionsBoundary)}).clone()
	if err := setTags(u.Tags, in.Tags); err != nil {
		return nil, err
	}
	k.storeUser(u)
	return &iam.CreateUserOutput{User: listedUser(u)}, nil
}

func getUser(k *request, in *iam.GetUserInput) (*iam.GetUserOutput, error) {
	u, err := k.seenUser(in.UserName)
	if err != nil {
		return nil, err
	}
	o := listedUser(u)
	o.Tags = tagList(u.Tags)
	if u.Boundary != "" {
		o.PermissionsBoundary = &iamtypes.AttachedPermissionsBoundary{
			PermissionsBoundaryArn: aws.String(u.Boundary), PermissionsBoundaryType: iamtypes.PermissionsBoundaryAttachmentTypePolicy}
	}
	return &iam.GetUserOutput{User: o}, nil
}

// listedUser is a user as ListUsers has it: without boundary and tags ("this operation
// does not return the following attributes").
func listedUser(u *User) *iamtypes.User {
	return &iamtypes.User{Arn: aws.String(u.ARN), UserName: aws.String(u.Name), UserId: aws.String(u.ID), Path: aws.String(u.Path), CreateDate: aws.Time(u.Created)}
}

// ListUsers has no resource type: it is allowed on "*" alone. What a denial shows is
// the path. https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
func listUsersNeeds(k *request, in any) []need {
	arn := k.c.arn("iam", k.account.id, "user"+or(field(in, "PathPrefix"), "/"))
	return []need{{action: k.op, resource: arn, shown: arn}}
}

func listUsers(k *request, in *iam.ListUsersInput) (*iam.ListUsersOutput, error) {
	prefix := or(aws.ToString(in.PathPrefix), "/")
	names := slices.DeleteFunc(visibleNames(k.account.users, k.now), func(n string) bool {
		return !strings.HasPrefix(k.account.users[n].seen(k.now).Path, prefix)
	})
	names, next, err := page(names, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListUsersOutput{Users: []iamtypes.User{}, IsTruncated: next != nil, Marker: next}
	for _, n := range names {
		out.Users = append(out.Users, *listedUser(k.account.users[n].seen(k.now)))
	}
	return out, nil
}

func tagUser(k *request, in *iam.TagUserInput) (*iam.TagUserOutput, error) {
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	if err := setTags(u.Tags, in.Tags); err != nil {
		return nil, err
	}
	k.storeUser(u)
	return &iam.TagUserOutput{}, nil
}

func untagUser(k *request, in *iam.UntagUserInput) (*iam.UntagUserOutput, error) {
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(u.Tags, func(key, _ string) bool {
		return slices.ContainsFunc(in.TagKeys, func(gone string) bool { return strings.EqualFold(gone, key) })
	})
	k.storeUser(u)
	return &iam.UntagUserOutput{}, nil
}

func listUserTags(k *request, in *iam.ListUserTagsInput) (*iam.ListUserTagsOutput, error) {
	u, err := k.seenUser(in.UserName)
	if err != nil {
		return nil, err
	}
	keys, next, err := page(slices.Sorted(maps.Keys(u.Tags)), in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListUserTagsOutput{Tags: []iamtypes.Tag{}, IsTruncated: next != nil, Marker: next}
	for _, key := range keys {
		out.Tags = append(out.Tags, iamtypes.Tag{Key: aws.String(key), Value: aws.String(u.Tags[key])})
	}
	return out, nil
}

func listGroupsForUser(k *request, in *iam.ListGroupsForUserInput) (*iam.ListGroupsForUserOutput, error) {
	u, err := k.seenUser(in.UserName)
	if err != nil {
		return nil, err
	}
	names, next, err := page(slices.Clone(u.Groups), in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListGroupsForUserOutput{Groups: []iamtypes.Group{}, IsTruncated: next != nil, Marker: next}
	for _, name := range names {
		if g := k.account.groups[name].seen(k.now); g != nil {
			out.Groups = append(out.Groups, iamtypes.Group{Arn: aws.String(g.ARN), GroupName: aws.String(g.Name), GroupId: aws.String(g.ID), Path: aws.String(g.Path), CreateDate: aws.Time(g.Created)})
		}
	}
	return out, nil
}

// addUserToGroup of a member succeeds and changes nothing.
func addUserToGroup(k *request, in *iam.AddUserToGroupInput) (*iam.AddUserToGroupOutput, error) {
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	name := aws.ToString(in.GroupName)
	if k.account.groups[name].current() == nil {
		return nil, noSuchEntity("The group with name %s cannot be found.", name)
	}
	if i, there := slices.BinarySearch(u.Groups, name); !there {
		u.Groups = slices.Insert(u.Groups, i, name)
		k.storeUser(u)
	}
	return &iam.AddUserToGroupOutput{}, nil
}

func removeUserFromGroup(k *request, in *iam.RemoveUserFromGroupInput) (*iam.RemoveUserFromGroupOutput, error) {
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	i, there := slices.BinarySearch(u.Groups, aws.ToString(in.GroupName))
	if !there {
		return nil, noSuchEntity("User %s is not in group %s.", u.Name, aws.ToString(in.GroupName))
	}
	u.Groups = slices.Delete(u.Groups, i, i+1)
	k.storeUser(u)
	return &iam.RemoveUserFromGroupOutput{}, nil
}

// The device is no longer the user's; a virtual one stays, assigned to nobody, which is not modelled.
func deactivateMFADevice(k *request, in *iam.DeactivateMFADeviceInput) (*iam.DeactivateMFADeviceOutput, error) {
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	i := slices.Index(u.MFA, aws.ToString(in.SerialNumber))
	if i < 0 {
		return nil, noSuchEntity("Device with id %s is not registered for user %s", aws.ToString(in.SerialNumber), u.Name)
	}
	u.MFA = slices.Delete(slices.Clone(u.MFA), i, i+1)
	k.storeUser(u)
	return &iam.DeactivateMFADeviceOutput{}, nil
}

func listMFADevices(k *request, in *iam.ListMFADevicesInput) (*iam.ListMFADevicesOutput, error) {
	u, err := k.seenUser(in.UserName)
	if err != nil {
		return nil, err
	}
	serials, next, err := page(slices.Sorted(slices.Values(u.MFA)), in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListMFADevicesOutput{MFADevices: []iamtypes.MFADevice{}, IsTruncated: next != nil, Marker: next}
	for _, serial := range serials {
		out.MFADevices = append(out.MFADevices, iamtypes.MFADevice{SerialNumber: aws.String(serial), UserName: in.UserName, EnableDate: aws.Time(u.Created)})
	}
	return out, nil
}
