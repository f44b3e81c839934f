package awsfake

import (
	"maps"
	"slices"
	"strings"
	"time"

	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
)

// A Region is what one account has in one region: EC2, Auto Scaling, load balancing.
type Region struct {
	a          *Account
	name       string
	vpcs       map[string]VPC
	instances  map[string]*Instance
	interfaces map[string]*Interface
	groups     map[string]*history[SecurityGroup] // by ID
	snapshots  map[string]*history[EBSSnapshot]   // by ID
	// associated are the IDs of the profile associations by instance. A replaced
	// one has another ID, so they are not in the Snapshot.
	associated map[string]string
	served     map[string]*session  // what an instance's metadata service hands out, by instance
	stopping   map[string]time.Time // until when an instance is on its way to stopped, or to running
	scaling    map[string]*ScalingGroup
	moving     map[string]time.Time // until when an instance is on its way to Standby
	targets    map[string]*TargetGroup
	draining   map[string][]draining // by target group
}

// A VPC is a network. IPv6 ones get a default egress rule for ::/0 too.
type VPC struct {
	ID string `json:"id"`
	// Owner is the account that shares it by AWS RAM, empty for the account's own. Its ARN has the owner's
	// account, also where a participant uses it.
	// https://github.com/terraform-aws-modules/terraform-aws-iam/issues/227
	Owner   string `json:"owner,omitempty"`
	Default bool   `json:"default,omitempty"`
	IPv6    bool   `json:"ipv6,omitempty"`
}

// An Instance is an EC2 instance.
type Instance struct {
	ID        string            `json:"id"`
	Type      string            `json:"type"`
	State     string            `json:"state"` // running where empty
	Spot      bool              `json:"spot,omitempty"`
	Launched  time.Time         `json:"launched"`
	Protected bool              `json:"protected,omitempty"` // DisableApiTermination
	Kept      bool              `json:"kept,omitempty"`      // DisableApiStop
	Shutdown  string            `json:"shutdown"`            // InstanceInitiatedShutdownBehavior; stop where empty
	Profile   string            `json:"profile,omitempty"`   // ARN; AddInstance takes the name
	Tags      map[string]string `json:"tags,omitempty"`
	Volumes   []string          `json:"volumes,omitempty"`
	Operator  string            `json:"operator,omitempty"` // the service that manages it
	// Hidden instances of a service, and their interfaces, are described only with IncludeManagedResources: the
	// default since April 2026.
	// https://aws.amazon.com/about-aws/whats-new/2026/04/ec2-managed-resource-visibility/
	Hidden bool `json:"hidden,omitempty"`
	// Interfaces are for AddInstance; afterwards they stand in the region by themselves.
	Interfaces []Interface `json:"-"`
}

// An Interface is an elastic network interface.
type Interface struct {
	ID       string   `json:"id"`
	Instance string   `json:"instance,omitempty"`
	VPC      string   `json:"vpc"`
	Subnet   string   `json:"subnet"`
	Groups   []string `json:"groups"`
	IPv4     string   `json:"ipv4"`
	IPv6     string   `json:"ipv6,omitempty"`
	Public   string   `json:"public,omitempty"`
	// Tracked is the idle timeout of established TCP connections in seconds, if it is set.
	Tracked int32 `json:"tracked,omitempty"`
	// Trunk is the trunk interface that this one is a branch of. A branch has an instance by its trunk alone.
	Trunk string `json:"trunk,omitempty"`
	// Requested is set for one that an AWS service requested and changes alone.
	Requested bool              `json:"requested,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
}

// A SecurityGroup is its rules.
type SecurityGroup struct {
	ID          string            `json:"id"`
	VPC         string            `json:"vpc"`
	Name        string            `json:"name"`
	Description string            `json:"description"`
	Ingress     []Rule            `json:"ingress,omitempty"`
	Egress      []Rule            `json:"egress,omitempty"`
	Owner       string            `json:"owner,omitempty"` // the account that shares it, as a VPC's
	Tags        map[string]string `json:"tags,omitempty"`
}

// A Rule allows traffic with one peer: an IPv4 or IPv6 range, a prefix list (pl-…)
// or a group (sg-…).
type Rule struct {
	Protocol string `json:"protocol"` // -1 for all
	From     int32  `json:"from,omitempty"`
	To       int32  `json:"to,omitempty"`
	Peer     string `json:"peer"`
}

// An EBSSnapshot is a snapshot of a volume.
type EBSSnapshot struct {
	ID     string            `json:"id"`
	Volume string            `json:"volume"`
	State  string            `json:"state"`
	Tags   map[string]string `json:"tags,omitempty"`
	Set    string            `json:"set,omitempty"`    // the call that made it, with others of the same moment
	Locked int32             `json:"locked,omitempty"` // for how many days, in governance mode
}

// RegionState is one region's part of a State, by ID.
type RegionState struct {
	Instances     map[string]Instance      `json:"instances,omitempty"`
	Interfaces    map[string]Interface     `json:"interfaces,omitempty"`
	Groups        map[string]SecurityGroup `json:"security_groups,omitempty"`
	Snapshots     map[string]EBSSnapshot   `json:"snapshots,omitempty"`
	ScalingGroups map[string]ScalingGroup  `json:"scaling_groups,omitempty"`
	TargetGroups  map[string]TargetGroup   `json:"target_groups,omitempty"`
}

// Region is the account's part in a region; empty for the cloud's own.
func (a *Account) Region(name string) *Region {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	return a.region(or(name, a.c.Region()))
}

func (a *Account) region(name string) *Region {
	r, ok := a.regions[name]
	if !ok {
		r = &Region{a: a, name: name, vpcs: map[string]VPC{}, instances: map[string]*Instance{}, interfaces: map[string]*Interface{},
			groups: map[string]*history[SecurityGroup]{}, snapshots: map[string]*history[EBSSnapshot]{}, associated: map[string]string{}, served: map[string]*session{}, stopping: map[string]time.Time{},
			scaling: map[string]*ScalingGroup{}, moving: map[string]time.Time{}, targets: map[string]*TargetGroup{}, draining: map[string][]draining{}}
		if a.regions == nil {
			a.regions = map[string]*Region{}
		}
		a.regions[name] = r
	}
	return r
}

// arn writes the ARN of a regional resource.
func (r *Region) arn(service, resource string) string {
	return strings.Join([]string{"arn", r.a.c.partition, service, r.name, r.a.id, resource}, ":")
}

// mint makes an ID as EC2 does: 17 hexadecimal digits.
func (r *Region) mint(prefix string) string {
	digits := func(c rune) rune {
		return rune("0123456789abcdef"[int(c)%16])
	}
	return strings.Map(digits, r.a.c.mint(prefix, 17)[len(prefix):])
}

func (r *Region) new(prefix string) string { return prefix + r.mint(prefix) }

// AddVPC sets up a VPC.
func (r *Region) AddVPC(v VPC) {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	r.vpcs[v.ID] = v
}

// SetGroup sets up a security group, or changes one behind everybody's back, at
// once, and returns its ID.
func (r *Region) SetGroup(g SecurityGroup) string {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	if g.ID == "" {
		g.ID = r.new("sg-")
	}
	now := r.a.c.now()
	put(r.groups, g.ID, &g, now, now)
	return g.ID
}

// AddInstance sets up an instance with its interfaces and returns its ARN.
func (r *Region) AddInstance(i Instance) string {
	c := r.a.c
	c.mu.Lock()
	defer c.mu.Unlock()
	n := i
	n.Tags, n.Volumes, n.Interfaces = maps.Clone(i.Tags), slices.Clone(i.Volumes), nil
	if n.Tags == nil {
		n.Tags = map[string]string{}
	}
	n.State, n.Type, n.Shutdown = or(n.State, "running"), or(n.Type, "t3.micro"), or(n.Shutdown, "stop")
	if n.ID == "" {
		n.ID = r.new("i-")
	}
	if n.Launched.IsZero() {
		n.Launched = c.now().UTC()
	}
	if n.Profile != "" {
		p := r.a.profiles[n.Profile].current()
		if p == nil {
			panic("awsfake: AddInstance: no instance profile " + n.Profile)
		}
		n.Profile = p.ARN
		r.associated[n.ID] = r.new("iip-assoc-")
	}
	for _, e := range i.Interfaces {
		e.Instance, e.Groups = n.ID, slices.Clone(e.Groups)
		r.interfaces[e.ID] = &e
	}
	r.instances[n.ID] = &n
	return r.arn("ec2", "instance/"+n.ID)
}

// Credentials are what an instance's metadata service hands out now; nil for none. It has those
// of the role that the instance's profile held when it got them, until they end, six hours at most:
// of a role that was put into the profile since it has none until then, or until the profile is
// associated anew.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_AddRoleToInstanceProfile.html
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/iam-roles-for-amazon-ec2.html
func (r *Region) Credentials(instance string) *Session {
	c := r.a.c
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	s := r.served[instance]
	if s == nil || !now.Before(s.expires) {
		i := r.instances[instance]
		p := r.a.profiles[i.Profile[strings.LastIndex(i.Profile, "/")+1:]].seen(now)
		if p == nil || r.a.roles[p.Role].seen(now) == nil {
			return nil
		}
		s = c.issue(issueInput{account: r.a, role: r.a.roles[p.Role].seen(now), name: instance, duration: 6 * time.Hour})
		r.served[instance] = s
	}
	return (&Session{c: c, s: s}).With("ec2:SourceInstanceARN", r.arn("ec2", "instance/"+instance))
}

// SetInstance changes an instance behind everybody's back.
func (r *Region) SetInstance(id string, change func(*Instance)) {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	i := r.instances[id]
	change(i)
	delete(r.stopping, id)
	switch {
	case i.Profile == "":
		delete(r.associated, id)
	case r.associated[id] == "":
		r.associated[id] = r.new("iip-assoc-")
	}
}

// SetInterface changes an interface behind everybody's back; a new one is made.
func (r *Region) SetInterface(id string, change func(*Interface)) {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	e, ok := r.interfaces[id]
	if !ok {
		e = &Interface{ID: id}
		r.interfaces[id] = e
	}
	change(e)
}

// Terminate ends an instance. Its interfaces, profile and group memberships go;
// it is itself still described for about an hour.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/terminating-instances.html
func (r *Region) Terminate(id string) {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	i := r.instances[id]
	i.State, i.Profile = "terminated", ""
	delete(r.associated, id)
	maps.DeleteFunc(r.interfaces, func(_ string, e *Interface) bool { return e.Instance == id })
	for _, g := range r.scaling {
		delete(g.Members, id)
	}
	for _, t := range r.targets {
		t.Targets = slices.DeleteFunc(t.Targets, func(x Target) bool { return x.ID == id })
	}
}

// Forget takes a terminated instance out of every description.
func (r *Region) Forget(id string) {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	delete(r.instances, id)
}

// DeleteSnapshots deletes all snapshots of a volume.
func (r *Region) DeleteSnapshots(volume string) {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	maps.DeleteFunc(r.snapshots, func(_ string, h *history[EBSSnapshot]) bool {
		return h.current() != nil && h.current().Volume == volume
	})
}

// CanTalk tells whether any rule of any group of any interface, branches of its trunks too, lets the
// instance send or receive. What is stopped does neither.
func (r *Region) CanTalk(instance string) bool {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	if i := r.instances[instance]; i != nil && i.State == "stopped" {
		return false
	}
	for _, e := range r.interfaces {
		if trunk := r.interfaces[e.Trunk]; e.Instance != instance && (trunk == nil || trunk.Instance != instance) {
			continue
		}
		for _, id := range e.Groups {
			if g := r.groups[id].current(); g == nil || len(g.Ingress)+len(g.Egress) > 0 {
				return true
			}
		}
	}
	return false
}

// Interfaces are the IDs of the interfaces that a security group is on.
func (r *Region) Interfaces(group string) []string {
	r.a.c.mu.Lock()
	defer r.a.c.mu.Unlock()
	var ids []string
	for id, e := range r.interfaces {
		if slices.Contains(e.Groups, group) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (r *Region) state() RegionState {
	r.settle(r.a.c.now())
	r.arrive(r.a.c.now())
	s := RegionState{Instances: map[string]Instance{}, Interfaces: map[string]Interface{}, Groups: map[string]SecurityGroup{},
		Snapshots: map[string]EBSSnapshot{}, ScalingGroups: map[string]ScalingGroup{}, TargetGroups: map[string]TargetGroup{}}
	for id, i := range r.instances {
		n := *i
		n.Tags, n.Volumes = maps.Clone(i.Tags), slices.Clone(i.Volumes)
		s.Instances[id] = n
	}
	for id, e := range r.interfaces {
		n := *e
		n.Tags = maps.Clone(e.Tags)
		n.Groups = slices.Sorted(slices.Values(e.Groups))
		s.Interfaces[id] = n
	}
	for id, h := range r.groups {
		if g := h.current(); g != nil {
			n := *g
			n.Tags = maps.Clone(g.Tags)
			n.Ingress, n.Egress = slices.Clone(g.Ingress), slices.Clone(g.Egress)
			s.Groups[id] = n
		}
	}
	for id, h := range r.snapshots {
		if x := h.current(); x != nil {
			n := *x
			n.Tags = maps.Clone(x.Tags)
			s.Snapshots[id] = n
		}
	}
	for name, g := range r.scaling {
		s.ScalingGroups[name] = g.clone()
	}
	for arn, t := range r.targets {
		n := *t
		n.Targets = slices.Clone(t.Targets)
		slices.SortFunc(n.Targets, Target.compare)
		s.TargetGroups[arn] = n
	}
	return s
}

// permission is a rule as the API has it.
func (x Rule) permission() ec2types.IpPermission {
	p := ec2types.IpPermission{IpProtocol: &x.Protocol}
	if x.Protocol != "-1" {
		p.FromPort, p.ToPort = &x.From, &x.To
	}
	switch {
	case strings.HasPrefix(x.Peer, "sg-"):
		p.UserIdGroupPairs = []ec2types.UserIdGroupPair{{GroupId: &x.Peer}}
	case strings.HasPrefix(x.Peer, "pl-"):
		p.PrefixListIds = []ec2types.PrefixListId{{PrefixListId: &x.Peer}}
	case strings.Contains(x.Peer, ":"):
		p.Ipv6Ranges = []ec2types.Ipv6Range{{CidrIpv6: &x.Peer}}
	default:
		p.IpRanges = []ec2types.IpRange{{CidrIp: &x.Peer}}
	}
	return p
}
