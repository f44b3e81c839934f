package instance_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const (
	suspect   = "i-0123456789abcdef0"
	neighbour = "i-0fedcba9876543210"
	eniA      = "eni-0aaaaaaaaaaaaaaaa"
	eniB      = "eni-0bbbbbbbbbbbbbbbb"
	vpcA      = "vpc-0aaaaaaaaaaaaaaaa"
	volA      = "vol-0aaaaaaaaaaaaaaaa"
	volB      = "vol-0bbbbbbbbbbbbbbbb"
	sgWeb     = "sg-0aaaaaaaaaaaaaaaa"
	sgOps     = "sg-0bbbbbbbbbbbbbbbb"
	appRole   = "app" // in a profile of another name
	isolation = "killswitch-isolation"
)

// isolated is a fixture with an instance in a VPC that is not the default one, with
// two interfaces, IPv6, a profile, an Auto Scaling group and target groups.
type isolated struct {
	*actiontest.Fixture
	*awsfake.Region
	arn, asg, tg, tgIP string
}

// isolateOptions change what the fixture starts with.
type isolateOptions struct {
	partition   string
	account     string
	noProfile   bool
	alone       bool // in no group of any kind
	spot        bool
	protected   bool
	deployed    bool // the isolation objects are there already
	tags        map[string]string
	inline      string // a policy that has our name
	min         int32
	snapshot    string
	stop        string
	pods        bool // the first interface is a trunk
	propagation time.Duration
	draining    time.Duration // of its load balancer; the default is 8 s here
}

func newIsolated(t *testing.T, o isolateOptions) *isolated {
	t.Helper()
	if o.partition == "" {
		o.partition = "aws"
	}
	if o.draining == 0 {
		o.draining = 8 * time.Second
	}
	if o.account == "" {
		o.account = actiontest.Member
	}
	c := &actiontest.Clock{T: actiontest.Began.Add(123 * time.Millisecond)}
	w := &isolated{Fixture: actiontest.FixtureAt(t, c, c.Now, o.partition)}
	roles := awsfake.MemberRoles{ExternalID: w.Org.ExternalID, ResponderPolicy: actiontest.AllowAll, RestorerPolicy: actiontest.AllowAll}
	account := w.Member(o.account, roles)
	role := awsfake.Role{Name: appRole, Path: "/service/", Attached: []string{"arn:" + o.partition + ":iam::aws:policy/AdministratorAccess"}, Profiles: []string{"web-profile"}, Trust: w.trust()}
	if o.inline != "" {
		role.Inline = map[string]string{"KillswitchIsolate": o.inline}
	}
	account.AddRole(role)
	r := account.Region(w.Cloud.Region())
	w.Region = r
	r.AddVPC(awsfake.VPC{ID: vpcA, IPv6: true})
	r.AddVPC(awsfake.VPC{ID: "vpc-0default", Default: true})
	open := []awsfake.Rule{{Protocol: "-1", Peer: "0.0.0.0/0"}, {Protocol: "-1", Peer: "::/0"}}
	r.SetGroup(awsfake.SecurityGroup{ID: sgWeb, VPC: vpcA, Name: "web", Ingress: []awsfake.Rule{{Protocol: "tcp", From: 443, To: 443, Peer: "0.0.0.0/0"}}, Egress: open})
	r.SetGroup(awsfake.SecurityGroup{ID: sgOps, VPC: vpcA, Name: "ops", Ingress: []awsfake.Rule{{Protocol: "tcp", From: 22, To: 22, Peer: sgWeb}}, Egress: open})
	i := awsfake.Instance{ID: suspect, Profile: "web-profile", Spot: o.spot, Protected: o.protected, Shutdown: "terminate", Tags: map[string]string{"Name": "web-1"}, Volumes: []string{volA, volB}, Interfaces: []awsfake.Interface{
		{ID: eniA, VPC: vpcA, Subnet: "subnet-1", Groups: []string{sgWeb, sgOps}, IPv4: "10.0.1.10", IPv6: "2001:db8::10", Public: "203.0.113.10", Tracked: 600},
		{ID: eniB, VPC: vpcA, Subnet: "subnet-2", Groups: []string{sgOps}, IPv4: "10.0.2.10"}}}
	maps.Copy(i.Tags, o.tags)
	if o.noProfile {
		i.Profile = ""
	}
	w.arn = r.AddInstance(i)
	r.AddInstance(awsfake.Instance{ID: neighbour, Profile: "web-profile", Interfaces: []awsfake.Interface{{ID: "eni-0cccccccccccccccc", VPC: vpcA, Subnet: "subnet-1", Groups: []string{sgWeb}, IPv4: "10.0.1.11"}}})
	if !o.alone {
		w.tg = r.AddTargetGroup(awsfake.TargetGroup{Name: "web", VPC: vpcA, Port: 80, Targets: []awsfake.Target{{ID: suspect, Port: 80}, {ID: suspect, Port: 8080}, {ID: neighbour, Port: 80}}})
		w.tgIP = r.AddTargetGroup(awsfake.TargetGroup{Name: "web-ip", Type: "ip", VPC: vpcA, Port: 443, Targets: []awsfake.Target{{ID: "10.0.2.10", Port: 443, AZ: "us-east-1a"}, {ID: "10.0.9.9", Port: 443}}})
		r.AddTargetGroup(awsfake.TargetGroup{Name: "fn", Type: "lambda"})
		w.asg = r.AddScalingGroup(awsfake.ScalingGroup{Name: "web <&> asg*", Draining: o.draining, Min: o.min, Max: 4, Desired: 2, TargetGroups: []string{w.tg}, Members: map[string]string{suspect: "InService", neighbour: "InService"}})
	}
	if o.deployed {
		w.deploy(account)
	}
	call := actions.Call{Action: actions.IsolateInstance, Target: w.arn, Account: o.account, Region: w.Cloud.Region()}
	for key, v := range map[string]string{"snapshot": o.snapshot, "stop": o.stop} {
		if v != "" {
			call.Options = withOption(call.Options, key, v)
		}
	}
	if o.pods {
		w.withPods()
	}
	w.SetCall(call)
	w.SetPropagation(o.propagation)
	return w
}

func withOption(options map[string]string, key, value string) map[string]string {
	options = maps.Clone(options)
	if options == nil {
		options = map[string]string{}
	}
	options[key] = value
	return options
}

func (w *isolated) trust() string {
	service := "ec2.amazonaws.com"
	if w.Partition() == "aws-cn" {
		service += ".cn"
	}
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"` + service + `"},"Action":"sts:AssumeRole"}]}`
}

// deploy is what is deployed ahead: a closed group, and the profile with its role.
func (w *isolated) deploy(account *awsfake.Account) {
	actiontest.DeployShared(w.Cloud, account.ID())
	w.SetGroup(awsfake.SecurityGroup{ID: "sg-0deployed", VPC: vpcA, Name: isolation, Tags: map[string]string{actiontest.Tag: "KS-EARLIER"}})
}

// plan also notes what the steps change, as the executor does.
func (w *isolated) plan() actions.Plan {
	w.T.Helper()
	p := w.Plan()
	w.Resources = nil
	for _, s := range p.Steps {
		if !slices.Contains(w.Resources, s.Resource) {
			w.Resources = append(w.Resources, s.Resource)
		}
	}
	return p
}

// settle is apply, again as long as the step asks for it.
func (w *isolated) settle(s actions.Step) actions.Effect {
	w.T.Helper()
	for range 180 {
		e, err := w.Act.Apply(w.T.Context(), w.Responder(), s, w.Run())
		if err == nil {
			return e
		}
		if !actions.IsRetryLater(err) {
			w.T.Fatalf("Apply %s: %v", s.ID, err)
		}
		w.Clock.Add(500 * time.Millisecond)
	}
	w.T.Fatalf("Apply %s: never", s.ID)
	return actions.Effect{}
}

// contain takes all steps.
func (w *isolated) contain() (actions.Plan, map[string]actions.Effect) {
	w.T.Helper()
	p, es := w.plan(), map[string]actions.Effect{}
	for _, s := range p.Steps {
		if s.Skip == "" {
			es[s.ID] = w.settle(s)
		}
	}
	w.Clock.Add(10 * time.Second)
	return p, es
}

func (w *isolated) verify(s actions.Step, e actions.Effect) actions.Reading {
	w.T.Helper()
	r, err := w.Act.Verify(w.T.Context(), w.Responder(), s, e)
	if err != nil {
		w.T.Fatalf("Verify %s: %v", s.ID, err)
	}
	return r
}

// undo takes all back as the executor does: last first, denies last.
func (w *isolated) undo(p actions.Plan, es map[string]actions.Effect) {
	w.T.Helper()
	for _, deny := range []bool{false, true} {
		for _, s := range slices.Backward(p.Steps) {
			if s.Deny == deny && s.NotReverted == "" && s.Skip == "" {
				if r := w.Revert(s, es[s.ID]); !r.Holds {
					w.T.Errorf("Revert %s: %+v", s.ID, r)
				}
			}
		}
	}
}

// state is all but what stays when a containment is taken back.
func (w *isolated) state() awsfake.State {
	s := w.Snapshot()
	for _, a := range s.Accounts {
		delete(a.Roles, isolation)
		delete(a.Profiles, isolation)
		for _, r := range a.Regions {
			clear(r.Snapshots)
			maps.DeleteFunc(r.Groups, func(_ string, g awsfake.SecurityGroup) bool { return strings.HasPrefix(g.Name, isolation) })
		}
	}
	return s
}

func (w *isolated) region() awsfake.RegionState {
	return w.Snapshot().Accounts[w.Asked.Account].Regions[w.Asked.Region]
}

func (w *isolated) groupsOf(eni string) []awsfake.SecurityGroup {
	var gs []awsfake.SecurityGroup
	for _, id := range w.region().Interfaces[eni].Groups {
		gs = append(gs, w.region().Groups[id])
	}
	return gs
}

func (w *isolated) profileOf(instance string) string {
	arn := w.region().Instances[instance].Profile
	return arn[strings.LastIndex(arn, "/")+1:]
}

// putInline writes a role's inline policy as an administrator of the account.
func (w *isolated) putInline(role, policy, document string) {
	w.T.Helper()
	_, err := iam.NewFromConfig(w.Admin(w.Asked.Account)).PutRolePolicy(w.T.Context(), &iam.PutRolePolicyInput{RoleName: &role, PolicyName: &policy, PolicyDocument: &document})
	actiontest.Must(w.T, err)
}

// permissions are what the logged calls took.
func (w *isolated) permissions() []string {
	var ops []string
	for _, c := range w.Calls() {
		switch c.Op {
		case "sts:AssumeRole":
			continue
		case "ec2:CreateSnapshots", "ec2:CreateSecurityGroup":
			ops = append(ops, "ec2:CreateTags")
		case "ec2:ReplaceIamInstanceProfileAssociation", "iam:AddRoleToInstanceProfile":
			ops = append(ops, "iam:PassRole")
		}
		ops = append(ops, c.Op)
	}
	return ops
}

func (w *isolated) environment() actiontest.Environment {
	profile := func(name string) string {
		return "arn:" + w.Partition() + ":iam::" + w.Asked.Account + ":instance-profile/" + name
	}
	before := w.region()
	iamOf := iam.NewFromConfig(w.Admin(w.Asked.Account))
	return actiontest.Environment{
		Call: w.Call(), Org: w.Org, Enter: w.EnterFor, Now: w.Clock.Now, Wait: w.Clock.Add, Mutations: w.Mutations, Calls: w.permissions,
		State:     func() any { return w.state() },
		TwoValued: []string{"protect", "protect-stop", "shutdown", "stop"},
		Tamper: func() {
			for e := range before.Interfaces {
				w.SetInterface(e, func(i *awsfake.Interface) { i.Groups = slices.Clone(before.Interfaces[e].Groups) })
			}
			w.SetInstance(suspect, func(i *awsfake.Instance) {
				i.State = before.Instances[suspect].State
				i.Protected, i.Kept, i.Shutdown, i.Profile = false, false, "terminate", before.Instances[suspect].Profile
				delete(i.Tags, actiontest.Tag)
			})
			if !slices.ContainsFunc(w.plan().Steps, func(s actions.Step) bool { return strings.HasPrefix(s.ID, "role") }) {
				return
			}
			_, err := iamOf.DeleteRolePolicy(w.T.Context(), &iam.DeleteRolePolicyInput{RoleName: aws.String(appRole), PolicyName: aws.String("KillswitchIsolate")})
			actiontest.Must(w.T, err)
		},
		Replace: func() {
			for e := range before.Interfaces {
				w.SetInterface(e, func(i *awsfake.Interface) { i.Groups = []string{sgWeb} })
			}
			w.SetInstance(suspect, func(i *awsfake.Instance) {
				i.Tags[actiontest.Tag] = "somebody-else"
				i.Profile = profile("somebody-elses")
			})
			doc := strings.ReplaceAll(actiontest.Handwritten, "reports", "somebody-else")
			w.putInline(appRole, "KillswitchIsolate", doc)
			if w.tg != "" {
				w.SetTargets(w.tg, awsfake.Target{ID: suspect, Port: 9999})
				w.SetTargets(w.tgIP, awsfake.Target{ID: "10.0.2.10", Port: 9999})
				w.SetMember("web <&> asg*", suspect, "Terminating:Wait")
			}
		},
	}
}
