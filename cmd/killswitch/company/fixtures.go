package company

import (
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/instance"
)

// The company's AWS, as far as the stories use it.
const (
	Prod    = "222222222222"
	Sandbox = "333333333333"
	Region  = "us-east-1"

	AppRole      = "arn:aws:iam::222222222222:role/app-role"
	WebRole      = "arn:aws:iam::222222222222:role/web-tier-role"
	CrawlerRole  = "arn:aws:iam::222222222222:role/crawler-role"
	Deployer     = "arn:aws:iam::222222222222:role/ci-deployer"
	Experiments  = "arn:aws:iam::333333333333:role/experiments"
	BreakGlass   = "arn:aws:iam::333333333333:role/break-glass"
	OpsBot       = "arn:aws:iam::222222222222:user/ops-bot"
	OpsBotKey    = "AKIAOPSBOTXX2EXAMPLE" //nolint:gosec // G101: of nobody
	Reporting    = "arn:aws:iam::222222222222:role/reporting"
	DeployBot    = "arn:aws:iam::222222222222:user/deploy-bot"
	DeployBotKey = "AKIADEPLOYBT2EXAMPLE" //nolint:gosec // G101: of nobody
	Web          = "i-0d3e1a5b7c9f20001"
	Crawler      = "i-0d3e1a5b7c9f20007"
)

const managed = "arn:aws:iam::aws:policy/"

// cloud returns the company's AWS, with Killswitch's deployed resources.
func cloud(now func() time.Time, org actions.Org) *awsfake.Cloud {
	c := awsfake.New(now)
	const workloads = "ou-acme-workloads"
	c.Organize(awsfake.Organization{Management: org.ManagementAccount, Units: []awsfake.OrgUnit{{ID: workloads, Name: "Workloads"}}, Accounts: []awsfake.OrgAccount{
		{ID: Prod, Name: "Production", Parent: workloads}, {ID: Sandbox, Name: "Sandbox", Parent: workloads}, {ID: org.HubAccount, Name: "Security"},
	}})
	for _, account := range []string{Prod, Sandbox, org.ManagementAccount} {
		management := account == org.ManagementAccount
		c.Member(account, awsfake.MemberRoles{
			Responder: org.ResponderRole, Restorer: org.RestorerRole, ExternalID: org.ExternalID,
			ResponderPolicy: all.MemberPolicy(actions.Responder, org, management),
			RestorerPolicy:  all.MemberPolicy(actions.Restorer, org, management),
		})
	}
	for _, account := range []string{Prod, Sandbox} { // what deploy/members.yaml has beside the member roles
		for _, name := range []string{deny.FullQuarantine, deny.IAMQuarantine} {
			c.AddPolicy("arn:aws:iam::"+account+":policy/"+name, deny.QuarantineDocument(name))
		}
		c.Account(account).AddRole(awsfake.Role{Name: instance.IsolationName, Created: now().UTC().AddDate(0, 0, -60), Trust: instance.IsolationTrust("aws"), Boundary: deny.BoundaryARN("aws"), Profiles: []string{instance.IsolationName}})
	}
	production(c.Account(Prod), now().UTC())
	sandbox(c.Account(Sandbox), now().UTC())
	return c
}

// breakGlassTrust lets in people of the hub account with a second factor.
const breakGlassTrust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":"sts:AssumeRole","Condition":{"Bool":{"aws:MultiFactorAuthPresent":"true"}}}]}`

func production(a *awsfake.Account, now time.Time) {
	since := func(days int) time.Time { return now.AddDate(0, 0, -days) }
	a.AddRole(awsfake.Role{Name: "app-role", Created: since(500), Attached: []string{managed + "AdministratorAccess"}})
	a.AddRole(awsfake.Role{Name: "web-tier-role", Created: since(420), Attached: []string{managed + "AmazonS3FullAccess"}, Profiles: []string{"web-tier-profile"}, Inline: map[string]string{
		"orders-table": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:PutItem"],"Resource":"arn:aws:dynamodb:us-east-1:222222222222:table/orders"}]}`}})
	a.AddRole(awsfake.Role{Name: "crawler-role", Created: since(200), Attached: []string{managed + "AmazonS3ReadOnlyAccess"}, Profiles: []string{"crawler-profile"}})
	a.AddRole(awsfake.Role{Name: "ci-deployer", Created: since(380), Attached: []string{managed + "IAMFullAccess", managed + "AmazonEC2FullAccess"}})
	a.AddRole(awsfake.Role{Name: "reporting", Created: since(90), Attached: []string{managed + "ReadOnlyAccess"}})
	a.AddRole(awsfake.Role{Name: "break-glass", Created: since(500), Trust: breakGlassTrust, Attached: []string{managed + "AdministratorAccess"}})
	a.AddGroup(awsfake.Group{Name: "admins", Attached: []string{managed + "AdministratorAccess"}})
	a.AddUser(awsfake.User{Name: "dana", Created: since(480), Groups: []string{"admins"}, Password: since(480), MFA: []string{"arn:aws:iam::222222222222:mfa/dana"}})
	a.AddUser(awsfake.User{Name: "deploy-bot", Created: since(300), Attached: []string{managed + "AmazonS3FullAccess", managed + "AmazonEC2FullAccess"},
		Keys: []awsfake.AccessKey{{ID: DeployBotKey, Created: since(300)}}})
	a.AddUser(awsfake.User{Name: "ops-bot", Created: since(260), Attached: []string{managed + "IAMFullAccess", managed + "AmazonS3FullAccess"},
		Keys: []awsfake.AccessKey{{ID: OpsBotKey, Created: since(260)}}})
	a.AddUser(awsfake.User{Name: "report-bot", Created: since(150), Attached: []string{managed + "ReadOnlyAccess"},
		Keys: []awsfake.AccessKey{{ID: "AKIAREPORTBT2EXAMPLE", Created: since(150)}}}) //nolint:gosec // G101: of nobody

	r := a.Region(Region)
	const vpc, web, ops, closed = "vpc-0a1b2c3d4e5f60001", "sg-0a1b2c3d4e5f60001", "sg-0a1b2c3d4e5f60002", "sg-0a1b2c3d4e5f60009"
	out := []awsfake.Rule{{Protocol: "-1", Peer: "0.0.0.0/0"}}
	r.AddVPC(awsfake.VPC{ID: vpc})
	r.SetGroup(awsfake.SecurityGroup{ID: web, VPC: vpc, Name: "web", Ingress: []awsfake.Rule{{Protocol: "tcp", From: 443, To: 443, Peer: "0.0.0.0/0"}}, Egress: out})
	r.SetGroup(awsfake.SecurityGroup{ID: ops, VPC: vpc, Name: "ops", Ingress: []awsfake.Rule{{Protocol: "tcp", From: 22, To: 22, Peer: "10.20.0.0/16"}}, Egress: out})
	r.AddInstance(awsfake.Instance{ID: Web, Type: "m6i.large", Launched: since(80), Profile: "web-tier-profile", Tags: map[string]string{"Name": "web-1"}, Volumes: []string{"vol-0a1b2c3d4e5f60001"},
		Interfaces: []awsfake.Interface{{ID: "eni-0a1b2c3d4e5f60001", VPC: vpc, Subnet: "subnet-0a1b2c3d4e5f60000", Groups: []string{web, ops}, IPv4: "10.20.3.20", Public: "198.51.100.20"}}})
	r.AddInstance(awsfake.Instance{ID: "i-0d3e1a5b7c9f20002", Type: "m6i.large", Launched: since(80), Profile: "web-tier-profile", Tags: map[string]string{"Name": "web-2"}, Volumes: []string{"vol-0a1b2c3d4e5f60002"},
		Interfaces: []awsfake.Interface{{ID: "eni-0a1b2c3d4e5f60002", VPC: vpc, Subnet: "subnet-0a1b2c3d4e5f60000", Groups: []string{web, ops}, IPv4: "10.20.3.21", Public: "198.51.100.21"}}})
	r.AddInstance(awsfake.Instance{ID: Crawler, Type: "c6i.xlarge", Launched: since(30), Profile: "crawler-profile", Tags: map[string]string{"Name": "crawler-7", "team": "search"}, Volumes: []string{"vol-0a1b2c3d4e5f60007"},
		Interfaces: []awsfake.Interface{{ID: "eni-0a1b2c3d4e5f60007", VPC: vpc, Subnet: "subnet-0a1b2c3d4e5f60000", Groups: []string{ops}, IPv4: "10.20.3.70", Public: "198.51.100.70"}}})
	site := r.AddTargetGroup(awsfake.TargetGroup{Name: "site", VPC: vpc, Port: 443, Targets: []awsfake.Target{{ID: Web, Port: 443}, {ID: "i-0d3e1a5b7c9f20002", Port: 443}}})
	r.AddScalingGroup(awsfake.ScalingGroup{Name: "web", Min: 1, Max: 4, Desired: 2, TargetGroups: []string{site}, Members: map[string]string{Web: "InService", "i-0d3e1a5b7c9f20002": "InService"}})
	r.AddScalingGroup(awsfake.ScalingGroup{Name: "crawlers", Min: 0, Max: 4, Desired: 1, Members: map[string]string{Crawler: "InService"}})

	r.SetGroup(awsfake.SecurityGroup{ID: closed, VPC: vpc, Name: instance.IsolationName, Tags: map[string]string{deny.TamperTag: "KS-0000000000C1"}}) // by an earlier isolation
}

func sandbox(a *awsfake.Account, now time.Time) {
	since := func(days int) time.Time { return now.AddDate(0, 0, -days) }
	a.AddRole(awsfake.Role{Name: "experiments", Created: since(240), Attached: []string{managed + "PowerUserAccess"}})
	a.AddRole(awsfake.Role{Name: "break-glass", Created: since(500), Trust: breakGlassTrust, Attached: []string{managed + "AdministratorAccess"}})
	a.AddUser(awsfake.User{Name: "trainee", Created: since(20), Attached: []string{managed + "AmazonEC2FullAccess"},
		Keys: []awsfake.AccessKey{{ID: "AKIATRAINEEA2EXAMPLE", Created: since(20)}}}) //nolint:gosec // G101: of nobody
}
