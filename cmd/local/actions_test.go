package local_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const (
	suspect   = "i-0123456789abcdef0"
	region    = "us-east-1"
	allPolicy = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
)

// scenario is one way to contain something in an account.
type scenario struct {
	command string
	// powerless fails unless the attacker can do nothing any more.
	powerless func(*testing.T, *world, attackers)
	// alter hides what undo can't bring back.
	alter func(*awsfake.State)
}

// attackers hold what they stole before anything was contained.
type attackers struct {
	role, instance, other, key, derived *awsfake.Session
}

func stopped(who func(attackers) *awsfake.Session) func(*testing.T, *world, attackers) {
	return stoppedAt("s3:GetObject", who)
}

func stoppedAt(action string, who func(attackers) *awsfake.Session) func(*testing.T, *world, attackers) {
	return func(t *testing.T, _ *world, a attackers) {
		t.Helper()
		if ok, _ := who(a).Can(action, "arn:aws:s3:::secrets/key"); ok {
			t.Error("the attacker can still " + action)
		}
	}
}

// gone fails if the role is there.
func gone(t *testing.T, w *world, _ attackers) {
	t.Helper()
	if _, there := w.aws.Snapshot().Accounts[prod].Roles["app-role"]; there {
		t.Error("the role is there")
	}
}

// anotherID: a role that is made again is another one.
func anotherID(st *awsfake.State) { withoutIDs(*st) }

func roleSession(a attackers) *awsfake.Session { return a.role }
func keySession(a attackers) *awsfake.Session  { return a.key }

// passwords hides them: they can't be brought back.
func passwords(st *awsfake.State) {
	for _, a := range st.Accounts {
		for name, u := range a.Users {
			u.Password = time.Time{}
			a.Users[name] = u
		}
	}
}

// scenarios are all actions, on accounts that populate made.
var scenarios = map[string]scenario{
	"revoke one role":          {command: "revoke_sessions prod/app-role stolen", powerless: stopped(roleSession)},
	"revoke all roles":         {command: "revoke_sessions prod/ALL stolen", powerless: stopped(roleSession)},
	"revoke all roles via SCP": {command: "revoke_sessions prod/ALL via=scp stolen", powerless: stopped(roleSession)},
	"freeze the account":       {command: "apply_scp prod stolen", powerless: stopped(func(a attackers) *awsfake.Session { return a.other })},
	"strip a role":             {command: "detach_policies prod/app-role stolen", powerless: stopped(roleSession)},
	"delete a role":            {command: "delete_role prod/app-role confirm=app-role stolen", powerless: gone, alter: anotherID},
	"quarantine a user":        {command: "quarantine_user prod/bernd stolen", powerless: stopped(keySession), alter: passwords},
	"deny IAM to a user":       {command: "quarantine_user prod/bernd mode=iam-only stolen", powerless: stoppedAt("iam:CreateUser", keySession)},
	"deactivate a key":         {command: "deactivate_key " + exposedKey + " on a paste site", powerless: stopped(keySession)},
	"deactivate a key and quarantine": {command: "deactivate_key " + exposedKey + " account=prod quarantine=yes on a paste site", powerless: func(t *testing.T, w *world, a attackers) {
		stopped(keySession)(t, w, a)
		stopped(func(a attackers) *awsfake.Session { return a.derived })(t, w, a)
	}},
	"isolate an instance": {command: "isolate_instance prod/" + suspect + " region=" + region + " stolen", powerless: func(t *testing.T, w *world, a attackers) {
		stopped(func(a attackers) *awsfake.Session { return a.instance })(t, w, a)
		if w.aws.Account(prod).Region(region).CanTalk(suspect) {
			t.Error("the instance can still talk")
		}
	}},
}

// populate makes an account of the given seed: what there is in it, and in what
// state, differs from seed to seed.
func populate(w *world, seed uint64) attackers {
	r := rand.New(rand.NewPCG(seed, 1))
	maybe := func() bool { return r.IntN(2) == 0 }
	w.cfg.Org.ManagementAccount = "999999999999"
	w.aws.Organize(awsfake.Organization{Management: "999999999999", Accounts: []awsfake.OrgAccount{{ID: prod, Name: "Production"}}})
	w.aws.Member("999999999999", awsfake.MemberRoles{Responder: w.cfg.Org.ResponderRole, Restorer: w.cfg.Org.RestorerRole, ExternalID: w.cfg.Org.ExternalID,
		ResponderPolicy: all.MemberPolicy(actions.Responder, w.cfg.Org, true), RestorerPolicy: all.MemberPolicy(actions.Restorer, w.cfg.Org, true)})
	a := w.aws.Account(prod)
	role := func(name string) awsfake.Role {
		role := awsfake.Role{Name: name, Inline: map[string]string{}, Tags: map[string]string{}}
		for i := range r.IntN(3) {
			role.Inline[fmt.Sprintf("inline-%d", i)] = allPolicy
		}
		if maybe() {
			role.Inline["AWSRevokeOlderSessions"] = "{ \"Version\": \"2012-10-17\",\n \"Statement\": [{\"Effect\":\"Deny\",\"Action\":\"s3:Put*\",\"Resource\":\"*\"}] }"
		}
		if maybe() {
			role.Attached = append(role.Attached, "arn:aws:iam::aws:policy/ReadOnlyAccess")
		}
		if maybe() {
			role.Tags["killswitch"] = "KS-000000000000"
		}
		if maybe() {
			role.Tags["team"] = "web"
		}
		return role
	}
	app := role("app-role")
	app.Attached = append(app.Attached, "arn:aws:iam::aws:policy/AdministratorAccess")
	app.Profiles = []string{"app-profile"}
	if maybe() {
		app.Profiles = append(app.Profiles, "second-profile")
	}
	arn := a.AddRole(app)
	for i := range r.IntN(12) {
		a.AddRole(role(fmt.Sprintf("role-%02d", i)))
	}
	other := a.AddRole(awsfake.Role{Name: "other", Inline: map[string]string{"all": allPolicy}})
	instance := populateInstance(a.Region(region), maybe)
	stolen := attackers{role: w.aws.Session(arn, "attacker"), other: w.aws.Session(other, "attacker")}
	stolen.key = populateUser(w, maybe)
	stolen.derived = stolen.key.SessionToken()
	stolen.instance = w.aws.Session(arn, suspect).With("ec2:SourceInstanceARN", instance)
	w.clock.Add(time.Minute)
	return stolen
}

const exposedKey = "AKIA0123456789ABCDEF"

func populateUser(w *world, maybe func() bool) *awsfake.Session {
	u := awsfake.User{Name: "bernd", Inline: map[string]string{"all": allPolicy}, Keys: []awsfake.AccessKey{{ID: exposedKey}}, Tags: map[string]string{}}
	if maybe() {
		u.Keys = append(u.Keys, awsfake.AccessKey{ID: "AKIASECONDKEY0000000", Inactive: maybe()})
	}
	if maybe() {
		u.Password = w.clock.Now()
	}
	if maybe() {
		u.Groups = []string{"developers"}
	}
	if maybe() {
		u.Tags["killswitch"] = "KS-000000000000"
	}
	if maybe() {
		u.SSHKeys = []awsfake.Credential{{ID: "APKAEXAMPLE0000000001"}}
		u.Services = []awsfake.Credential{{ID: "ACCAEXAMPLE0000000001", Service: "codecommit.amazonaws.com"}}
	}
	if maybe() {
		u.Certificates = []awsfake.Credential{{ID: "TA7SMP42TDN5Z26OBPJE7EXAMPLE", Inactive: maybe()}}
	}
	w.aws.Account(prod).AddUser(u)
	return w.aws.KeySession(exposedKey)
}

func populateInstance(in *awsfake.Region, maybe func() bool) (arn string) {
	in.AddVPC(awsfake.VPC{ID: "vpc-0aaaaaaaaaaaaaaaa", IPv6: maybe()})
	open := []awsfake.Rule{{Protocol: "-1", Peer: "0.0.0.0/0"}}
	in.SetGroup(awsfake.SecurityGroup{ID: "sg-0aaaaaaaaaaaaaaaa", VPC: "vpc-0aaaaaaaaaaaaaaaa", Name: "web", Ingress: open, Egress: open})
	i := awsfake.Instance{ID: suspect, Profile: "app-profile", Protected: maybe(), Tags: map[string]string{"Name": "web-1"}, Volumes: []string{"vol-0aaaaaaaaaaaaaaaa"}}
	for n, subnet := range []string{"subnet-1", "subnet-2"} {
		if n == 0 || maybe() {
			i.Interfaces = append(i.Interfaces, awsfake.Interface{ID: fmt.Sprintf("eni-0aaaaaaaaaaaaaaa%d", n), VPC: "vpc-0aaaaaaaaaaaaaaaa", Subnet: subnet,
				Groups: []string{"sg-0aaaaaaaaaaaaaaaa"}, IPv4: fmt.Sprintf("10.0.%d.10", n)})
		}
	}
	if maybe() {
		i.Tags["killswitch"] = "somebody's"
	}
	arn = in.AddInstance(i)
	var groups []string
	if maybe() {
		groups = append(groups, in.AddTargetGroup(awsfake.TargetGroup{Name: "web", VPC: "vpc-0aaaaaaaaaaaaaaaa", Port: 80, Targets: []awsfake.Target{{ID: suspect, Port: 80}}}))
	}
	if maybe() {
		in.AddScalingGroup(awsfake.ScalingGroup{Name: "web", Max: 4, Desired: 1, TargetGroups: groups, Members: map[string]string{suspect: "InService"}})
	}
	return arn
}

// TestEveryActionKilledAnywhere: on generated accounts every action is contained
// and taken back, the process being killed at any point; afterwards everything
// is as it was before.
func TestEveryActionKilledAnywhere(t *testing.T) {
	deaths := 12
	if testing.Short() {
		deaths = 4
	}
	for name, s := range scenarios {
		points, _ := s.live(t, 7, 0)
		if points < 60 {
			t.Errorf("%s: only %d points", name, points)
		}
		for i := range deaths {
			seed := uint64(i)
			at := 1 + (i*points)/deaths + i%3
			t.Run(fmt.Sprintf("%s/seed %d killed at %d", name, seed, at), func(t *testing.T) {
				t.Parallel()
				s.live(t, seed, at)
			})
		}
	}
}

func (s scenario) live(t *testing.T, seed uint64, at int) (int, *world) {
	t.Helper()
	k := &reaper{}
	var stolen attackers
	w := newWorld(t, func(w *world) {
		stolen = populate(w, seed)
		mortal(w, k)
	})
	before := s.state(w)
	points, _, _ := w.walk(k, at, s.command, func() { s.powerless(t, w, stolen) })
	if d := diffState(before, s.state(w)); d != "" {
		t.Errorf("killed %s: not as before: %s", k.what, d)
	}
	return points, w
}

func (s scenario) state(w *world) awsfake.State {
	st := w.aws.Snapshot()
	shared(&st)
	if s.alter != nil {
		s.alter(&st)
	}
	return st
}

// shared hides what all containments share and none takes away.
func shared(st *awsfake.State) {
	for id, a := range st.Accounts {
		delete(a.Roles, "killswitch-isolation")
		for arn := range a.Policies {
			if strings.Contains(arn, "policy/KillSwitchQuarantine") {
				delete(a.Policies, arn)
			}
		}
		delete(a.Profiles, "killswitch-isolation")
		for _, r := range a.Regions {
			for sg, g := range r.Groups {
				if g.Name == "killswitch-isolation" {
					delete(r.Groups, sg)
				}
			}
		}
		st.Accounts[id] = a
	}
}
