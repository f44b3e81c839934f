package executor_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// Accounts that tests act in, where app-role alone is not enough.

const (
	suspect    = "i-0123456789abcdef0"
	region     = "us-east-1"
	exposedKey = "AKIA0123456789ABCDEF"
	allPolicy  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	allowS3    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"}]}`
	// earlier is a policy of the deny's name that was there before, written by hand.
	earlier = "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [ {\"Effect\":\"Deny\", \"Action\":\"s3:*\", \"Resource\":\"arn:aws:s3:::caf\u00e9+%2F/*\"} ]\n}\n"
)

func roleAt(path, name string) awsfake.Role { return awsfake.Role{Name: name, Path: path} }

// withRole is a world whose app-role is another one.
func withRole(r awsfake.Role) func(*world) {
	r.Name = "app-role"
	return func(w *world) { w.aws.Account(prod).AddRole(r) }
}

func (w *world) role(name string) awsfake.Role { return w.aws.Snapshot().Accounts[prod].Roles[name] }

// bernd is the user whose key is exposed, as it is now.
func (w *world) bernd() awsfake.User { return w.aws.Snapshot().Accounts[prod].Users["bernd"] }

// exposed is a world with a key in a public repository, and somebody who has
// used it.
func exposed(w *world) {
	populateUser(w, func() bool { return false })
	actiontest.DeployShared(w.aws, prod)
	w.cfg.Topic = w.aws.AddTopic("security-alerts")
	w.cfg.Org.Regions = []string{region, "eu-west-1"}
	for i := range 60 {
		w.aws.Account(prod).AddEvents("eu-west-1", trailtypes.Event{
			EventName: aws.String("ListBuckets"), EventTime: aws.Time(w.clock.Now().Add(-time.Duration(i+1) * time.Minute)), AccessKeyId: aws.String(exposedKey), Username: aws.String("bernd"),
			CloudTrailEvent: aws.String(`{"sourceIPAddress":"203.0.113.66","userAgent":"aws-cli/2 <!channel>","errorCode":"AccessDenied"}`),
		})
	}
}

// populate makes an account of the given seed: what there is in it, and in what
// state, differs from seed to seed.
func populate(w *world, seed uint64) attackers {
	r := rand.New(rand.NewPCG(seed, 1))
	maybe := func() bool { return r.IntN(2) == 0 }
	w.cfg.Org.ManagementAccount = "999999999999"
	w.aws.Organize(awsfake.Organization{Management: "999999999999", Accounts: []awsfake.OrgAccount{{ID: prod, Name: "Production"}}})
	w.aws.Member("999999999999", awsfake.MemberRoles{Responder: w.cfg.Org.ResponderRole, Restorer: w.cfg.Org.RestorerRole, ExternalID: w.cfg.Org.ExternalID,
		ResponderPolicy: memberPolicy(actions.Responder, w.cfg.Org, true), RestorerPolicy: memberPolicy(actions.Restorer, w.cfg.Org, true)})
	a := w.aws.Account(prod)
	if seed%2 == 1 {
		actiontest.DeployShared(w.aws, prod)
	}
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

// inOrganization makes prod and sandbox members of an organization, whose
// management account has the member roles with what the freeze says it needs.
func inOrganization(alter ...func(*awsfake.Organization)) func(*world) {
	return func(w *world) {
		org := w.cfg.Org
		o := awsfake.Organization{Management: org.ManagementAccount, Accounts: []awsfake.OrgAccount{{ID: prod, Name: "Production"}, {ID: sandbox, Name: "Sandbox"}}}
		for _, f := range alter {
			f(&o)
		}
		w.aws.Organize(o)
		freeze, ok := catalog.Lookup(actions.ApplySCP)
		if !ok {
			w.t.Fatal("apply_scp is not registered")
		}
		policy := func(phases ...actions.Phase) string {
			var ss []string
			for _, p := range phases {
				for _, s := range freeze.Spec().Permits(p, actions.Anything(org)) {
					ss = append(ss, fmt.Sprintf(`{"Effect":"Allow","Action":["%s"],"Resource":["%s"]}`, strings.Join(s.Actions, `","`), strings.Join(s.Resources, `","`)))
				}
			}
			return `{"Version":"2012-10-17","Statement":[` + strings.Join(ss, ",") + `]}`
		}
		w.aws.Member(org.ManagementAccount, awsfake.MemberRoles{Responder: org.ResponderRole, Restorer: org.RestorerRole, ExternalID: org.ExternalID,
			ResponderPolicy: policy(actions.PhasePlan, actions.PhaseRun), RestorerPolicy: policy(actions.PhaseUndo)})
	}
}
