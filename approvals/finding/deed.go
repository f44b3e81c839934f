package finding

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// Lead is whose calls a trace looks up.
type Lead = approvals.Lead

// Deed is what a recorded call did, what that is filed under, and who acts by it.
type Deed struct {
	approvals.Deed
	Of    approvals.Traced // without its deeds
	Leads []Lead
}

// deedTable are the calls that a trace tells of.
var deedTable = sync.OnceValue(func() map[string]change { return merged(changes(), uses()) })

// uses are calls that no alert tells of, since they are everyday work; that an attacker made them is
// worth knowing.
func uses() map[string]change {
	return map[string]change{
		"sts:AssumeRole":                {does: "assume {thing}", kind: "role", at: "roleArn"},
		"sts:AssumeRoleWithSAML":        {does: "assume {thing} by a SAML provider", kind: "role", at: "roleArn"},
		"sts:AssumeRoleWithWebIdentity": {does: "assume {thing} by a web identity", kind: "role", at: "roleArn"},
		"sts:GetSessionToken":           {does: "get a session of its own"},
		"rolesanywhere:CreateSession":   {does: "get a session of {thing} by Roles Anywhere", kind: "profile", at: "profileArn", roles: "roleArn"},

		"iam:CreateGroup":           {does: "create {group}"},
		"iam:CreateInstanceProfile": {does: "create {profile}"},

		"ec2:RunInstances":                         {does: "launch {thing}", kind: "instance", made: "instancesSet.items.instanceId"},
		"ec2:RequestSpotInstances":                 {does: "request {thing}", kind: "spot instances", made: "spotInstanceRequestSet.items.spotInstanceRequestId", byHand: "Cancel the request with ec2 cancel-spot-instance-requests, and isolate what it has launched."},
		"ec2:AssociateIamInstanceProfile":          {does: "give a role to {thing}", kind: "instance", at: "AssociateIamInstanceProfileRequest.InstanceId instanceId", instance: "AssociateIamInstanceProfileRequest.InstanceId instanceId"},
		"ec2:ReplaceIamInstanceProfileAssociation": {does: "give another role to an instance", kind: "association", at: "ReplaceIamInstanceProfileAssociationRequest.AssociationId associationId", byHand: "Look which instance it is: aws ec2 describe-iam-instance-profile-associations --association-ids {thing}"},
		"ec2:CreateKeyPair":                        {does: "create {thing}", kind: "key pair", at: "keyName", byHand: "Delete it, and look on which instances it is: aws ec2 delete-key-pair --key-name {thing}"},
		"ec2:ImportKeyPair":                        {does: "import {thing}", kind: "key pair", at: "keyName", byHand: "Delete it, and look on which instances it is: aws ec2 delete-key-pair --key-name {thing}"},
		"ec2:RequestSpotFleet":                     {does: "request {thing}", kind: "spot fleet", made: "spotFleetRequestId", byHand: "It launches again what is stopped: cancel it with ec2 cancel-spot-fleet-requests --terminate-instances."},
		"ec2:CreateFleet":                          {does: "create {thing}", kind: "fleet", made: "fleetId CreateFleetResponse.fleetId", byHand: "It launches again what is stopped: delete it with ec2 delete-fleets --terminate-instances."},
		"ec2:GetPasswordData":                      {does: "read the password of {thing}", kind: "instance", at: "instanceId", instance: "instanceId", byHand: "Change the password, if its private key may be out."},
		"ssm:SendCommand":                          {does: "run a command on {thing}", kind: "instance", at: "instanceIds targets.values", instance: "instanceIds"},
		"ssm:StartSession":                         {does: "open a session on {thing}", kind: "instance", at: "target", instance: "target"},
		"autoscaling:CreateAutoScalingGroup":       {does: "create {thing}", kind: "auto scaling group", at: "autoScalingGroupName", byHand: "It launches again what is stopped: aws autoscaling delete-auto-scaling-group --force-delete --auto-scaling-group-name {thing}"},
		"ecs:CreateCluster":                        {does: "create {thing}", kind: "ECS cluster", at: "clusterName", byHand: "Stop what runs in it, then delete it with ecs delete-cluster."},
		"ecs:CreateService":                        {does: "create {thing}", kind: "ECS service", at: "serviceName", byHand: "It starts again what is stopped: delete it with ecs delete-service --force."},
		"ecs:RunTask":                              {does: "run a task of {thing}", kind: "ECS task definition", at: "taskDefinition", byHand: "Stop it with ecs stop-task, and revoke the sessions of its task role."},
		"lambda:CreateFunction":                    {does: "create {thing}", kind: "function", at: "functionName", roles: "role", byHand: "Stop it: aws lambda put-function-concurrency --reserved-concurrent-executions 0 --function-name {thing}"},
		"lambda:CreateEventSourceMapping":          {does: "let events call {thing}", kind: "function", at: "functionName", byHand: "Look what calls it: aws lambda list-event-source-mappings --function-name {thing}"},
		"events:PutTargets":                        {does: "set what {thing} starts", kind: "rule of EventBridge", at: "rule", byHand: "Disable it: aws events disable-rule --name {thing}"},
		"scheduler:CreateSchedule":                 {does: "create {thing}", kind: "schedule", at: "name", byHand: "Delete it: aws scheduler delete-schedule --name {thing}"},
		"cloudformation:CreateStack":               {does: "create {thing}", kind: "stack", at: "stackName", byHand: "Delete it: aws cloudformation delete-stack --stack-name {thing}"},

		"secretsmanager:GetSecretValue":      {does: "read {thing}", kind: "secret", at: "secretId", byHand: "It is out: rotate it with secretsmanager rotate-secret, or set another where it is used."},
		"secretsmanager:BatchGetSecretValue": {does: "read secrets, {thing}", kind: "secret", at: "secretIdList filters.values", byHand: "They are out: rotate them with secretsmanager rotate-secret, or set others where they are used."},
		"ssm:GetParameter":                   {does: "read {thing}", kind: "parameter", at: "name", byHand: "If it is a secret, it is out: set another."},
		"ssm:GetParameters":                  {does: "read {thing}", kind: "parameter", at: "names", byHand: "If they are secrets, they are out: set others."},
		"ssm:GetParametersByPath":            {does: "read all below {thing}", kind: "parameter", at: "path", byHand: "What is a secret is out: set another."},
	}
}

// makers are the calls that make what they are filed under; the others change or use it.
var makers = []string{
	"iam:CreateUser", "iam:CreateRole", "iam:CreateGroup", "iam:CreatePolicy", "iam:CreateInstanceProfile", "iam:CreateSAMLProvider", "iam:CreateOpenIDConnectProvider",
	"ec2:RunInstances", "ec2:CreateKeyPair", "ec2:ImportKeyPair", "ec2:RequestSpotFleet", "ec2:CreateFleet", "autoscaling:CreateAutoScalingGroup", "ecs:CreateCluster", "ecs:CreateService",
	"lambda:CreateFunction", "scheduler:CreateSchedule", "cloudformation:CreateStack", "rolesanywhere:CreateTrustAnchor", "rolesanywhere:CreateProfile", "ram:CreateResourceShare",
	"sts:GetFederationToken", "sagemaker:CreateNotebookInstanceLifecycleConfig", "securityhub:CreateAutomationRule",
}

// maxDeedText bounds what is stored of a text from outside.
const maxDeedText = 300

// TellsDeed reports whether a trace tells of a call, by its source and name.
func TellsDeed(eventSource, eventName string) bool {
	_, told := deedTable()[strings.TrimSuffix(eventSource, ".amazonaws.com")+":"+callName(eventName)]
	return told
}

// Deeds reads what a record of CloudTrail says that its caller made, changed or used: none if it failed, or
// if a lead leaves it out. The record comes from CloudTrail itself.
func (r Reader) Deeds(l Lead, record string) ([]Deed, error) {
	d, err := parse([]byte(record))
	if err != nil {
		return nil, err
	}
	c := r.called(d, deedTable())
	c.read(d, l.Account)
	at, event := d.at("eventTime").required().time(), d.at("eventID").text()
	if p := d.problems(); p != "" {
		return nil, errors.New("CloudTrail's record can't be read: " + p)
	}
	switch {
	case c.failed != "", l.Sessions && longKey.MatchString(c.caller.key), l.Of == "" && !c.by(l):
		return nil, nil
	case l.Of != "" && (c.ours || !c.enters(l)):
		return nil, nil
	}
	var deeds []Deed
	for _, of := range c.filed() {
		x := Deed{Of: of.Traced, Deed: approvals.Deed{At: at, Call: c.String(), Event: brief(event, maxEventID), Text: brief(c.did(), maxDeedText), Thing: of.thing}, Leads: of.leads}
		if l.Of != "" { // somebody else's than the lead's
			x.Of.By = brief(cmp.Or(c.caller.String(), c.caller.kind), maxFact)
		} else {
			x.Of.By = l.Who
		}
		for i := range x.Leads {
			x.Leads[i].From, x.Leads[i].Depth = at, l.Depth+1
		}
		o := r.containments("", of.Account, c.region)
		c.offerTraced(o, of)
		for _, fits := range o.list {
			of.Contain = append(of.Contain, fits.Call)
		}
		x.Of.Contain, x.Of.ByHand = of.Contain, append(of.ByHand, o.byHand...)
		deeds = append(deeds, x)
	}
	return deeds, nil
}

// by reports whether the call is a lead's own. CloudTrail has the names of users and of sessions in one
// attribute, and whoever makes a session chooses its name.
func (c apiCall) by(l Lead) bool {
	w := c.caller
	switch {
	case l.Subject.By != "Username":
		return true
	case l.Role || actions.InstanceID.MatchString(l.Subject.Value):
		return w.kind == ofRole && w.session() == l.Subject.Value
	}
	return w.kind == ofUser && strings.EqualFold(w.name, l.Subject.Value) || w.kind == ofRoot && l.Subject.Value == "root"
}

// enters reports whether the call makes a session of a lead's role.
func (c apiCall) enters(l Lead) bool {
	outside := c.caller.kind != ofService && c.from != c.account && !c.org.Knows(c.from)
	return c.service == "sts" && strings.HasPrefix(c.name, "AssumeRole") && strings.EqualFold(c.request.at("roleArn").text(), l.Of) && (outside || !l.Outside)
}

// filing is what a deed is filed under.
type filing struct {
	approvals.Traced
	thing source.Thing
	leads []Lead
	role  string // the ARN of a role that is given away
}

// rootOf is the kind of thing that a root user is.
const rootOf = "root user of account"

// most of what one call makes that is looked after: RunInstances may launch thousands.
const maxFiled = 25

// filed are what the call is about.
func (c apiCall) filed() (all []filing) {
	made := slices.Contains(makers, c.String())
	file := func(kind, name string) filing {
		f := filing{Traced: approvals.Traced{Kind: kind, Name: brief(name, maxFact), Account: c.account, Made: made}}
		if c.service != "iam" && c.service != "sts" {
			f.Region = c.region
		}
		return f
	}
	lead := func(by, value, who string) Lead {
		return Lead{Account: c.account, Subject: trail.Subject{By: by, Value: value}, Who: brief(who, maxFact)}
	}
	switch {
	case c.service == "iam":
		return c.filedIAM(file, lead)
	case c.service == "signin":
		return []filing{file("console of", c.caller.String())}
	case c.service == "sts" && strings.HasPrefix(c.name, "AssumeRole") && c.name != "AssumeRoot":
		arn := c.request.at("roleArn").text()
		_, account, _, name, ok := actions.SplitRoleARN(arn)
		if !ok {
			return nil
		}
		f := file("role", name)
		f.Account = account
		f.thing, f.leads = c.session(account, "role "+name+", session "+c.request.at("roleSessionName").text())
		return []filing{f}
	case c.String() == "sts:AssumeRoot":
		return []filing{file(rootOf, some(c.names()))}
	case c.service == "sts":
		who := cmp.Or(some(c.names()), c.caller.name)
		f := file(cmp.Or(c.change.kind, "session of"), who)
		f.thing, f.leads = c.session(c.account, f.Kind+" "+who)
		return []filing{f}
	}
	names := c.names()
	if len(names) == 0 {
		names = []string{""}
	}
	for i, name := range names[:min(len(names), maxFiled)] {
		f := file(cmp.Or(c.change.kind, c.service), name)
		switch {
		case made && name == "":
			f.ByHand = []string{"CloudTrail does not name what was made: look for what began at that time."}
		case i == 0 && len(names) > maxFiled:
			f.ByHand = []string{fmt.Sprintf("The call made %d more, which are not listed: look in CloudTrail.", len(names)-maxFiled)}
		}
		f.thing = source.Thing{Kind: source.Kind(c.change.kind), Name: name, Region: c.region, ID: value(c.answer.v, c.change.id)}
		switch kind := f.thing.Kind; {
		case kind == source.Instance && !actions.InstanceID.MatchString(name), !slices.Contains(kindsElsewhere, kind):
			f.thing = source.Thing{}
		case kind == source.Instance && made: // what it calls by its profile, it calls by this name
			f.leads = append(f.leads, lead("Username", name, "instance "+name))
		case kind == source.Function:
			l := lead("Username", name, "function "+name) // that is the name of its sessions
			l.Role = true
			f.leads = append(f.leads, l)
		case kind == source.Snapshot, kind == source.Image:
			if shared := leaves(c.request.v, c.change.lets); len(shared) > 0 {
				f.thing.Of = shared[0]
			}
		case kind == source.TrustAnchor, kind == source.Profile:
			f.thing.ID = cmp.Or(f.thing.ID, value(c.request.v, "trustAnchorId profileId"))
		}
		all = append(all, f)
	}
	return append(all, c.given(file)...)
}

// kindsElsewhere are the kinds of things of other services than IAM that can be read.
var kindsElsewhere = []source.Kind{source.Instance, source.Snapshot, source.Image, source.Function, source.TrustAnchor, source.Profile}

// given are the roles that the call gives away, or runs other code with. They were there before, and others
// may need them.
func (c apiCall) given(file func(kind, name string) filing) (all []filing) {
	for path := range strings.FieldsSeq(c.change.roles) {
		arns := append(leaves(c.request.v, path), leaves(c.answer.v, path)...)
		for _, arn := range arns[:min(len(arns), maxFiled)] {
			if _, account, _, name, ok := actions.SplitRoleARN(arn); ok && account == c.account {
				f := file("role", name)
				f.Region, f.Made, f.role = "", false, arn
				all = append(all, f)
			}
		}
	}
	return all
}

// filedIAM is filed for calls of IAM.
func (c apiCall) filedIAM(file func(kind, name string) filing, lead func(by, value, who string) Lead) []filing {
	role, group, user := c.request.at("roleName").text(), c.request.at("groupName").text(), c.subject
	own := user == "" && role == "" && group == "" && c.self && c.about("AccessKey", "LoginProfile", "MFADevice", "SSHPublicKey", "SigningCertificate", "SpecificCredential")
	if own && c.caller.kind == ofUser {
		user = c.caller.name
	}
	var f filing
	of := ""
	switch {
	case own && c.caller.kind == ofRoot: // no user has its keys and devices
		return []filing{file(rootOf, c.account)}
	case user != "":
		f, of = file("user", user), "user/"+user
	case role != "":
		f, of = file("role", role), "role/"+role
	case group != "":
		f, of = file("group", group), "group/"+group
	case c.policy() != "":
		f = file("policy", actions.LastPart(c.policy()))
	default:
		f = file(cmp.Or(c.change.kind, "setting of IAM"), cmp.Or(some(c.names()), c.request.at("instanceProfileName").text()))
		return []filing{f}
	}
	switch {
	case c.name == "CreateUser":
		f.thing = source.Thing{Kind: source.User, Name: user, ID: c.answer.at("user", "userId").text()}
		f.leads = []Lead{lead("Username", user, "user "+user)}
	case c.name == "UpdateUser" && c.request.at("newUserName").text() != "":
		name := c.request.at("newUserName").text()
		renamed := file("user", name)
		renamed.thing, renamed.leads = source.Thing{Kind: source.User, Name: name}, []Lead{lead("Username", name, "user "+name)}
		return []filing{f, renamed}
	case strings.HasSuffix(c.name, "AccessKey"):
		key := cmp.Or(c.newKey(), c.request.at("accessKeyId").text())
		f.thing = source.Thing{Kind: source.Key, Name: key, Of: of}
		if c.name == "CreateAccessKey" && anyKey.MatchString(key) {
			f.leads = []Lead{lead("AccessKeyId", key, "access key "+key+" of user "+user)}
		}
	case strings.HasSuffix(c.name, "LoginProfile"):
		f.thing = source.Thing{Kind: source.Password, Of: of}
		if !c.self && c.name != "DeleteLoginProfile" {
			l := lead("Username", user, "user "+user)
			l.Sessions = true
			f.leads = []Lead{l}
		}
	case c.name == "EnableMFADevice":
		f.thing = source.Thing{Kind: source.MFA, Name: c.request.at("serialNumber").text(), Of: of}
	case c.name == "CreateRole":
		f.thing = source.Thing{Kind: source.Role, Name: role, ID: c.answer.at("role", "roleId").text()}
		f.leads = c.sessions(role, false)
	case c.name == "UpdateAssumeRolePolicy":
		if let := c.strangest(); let != "" {
			f.thing = source.Thing{Kind: source.Trust, Name: let, Of: of}
		}
		f.leads = c.sessions(role, true)
	case c.name == "AddUserToGroup":
		f.thing = source.Thing{Kind: source.Membership, Name: group, Of: of}
	case strings.HasPrefix(c.name, "Attach"):
		f.thing = source.Thing{Kind: source.Attachment, Name: c.policy(), Of: of}
	case strings.HasPrefix(c.name, "Put") && strings.HasSuffix(c.name, "Policy"):
		f.thing = source.Thing{Kind: source.Inline, Name: c.policy(), Of: of}
	case c.name == "CreatePolicy":
		f.thing = source.Thing{Kind: source.Policy, Name: c.answer.at("policy", "arn").text()}
	case c.name == "CreatePolicyVersion":
		f.thing = source.Thing{Kind: source.PolicyVersion, Name: c.answer.at("policyVersion", "versionId").text(), Of: c.policy()}
	case c.name == "SetDefaultPolicyVersion":
		f.thing = source.Thing{Kind: source.PolicyVersion, Name: c.request.at("versionId").text(), Of: c.policy()}
	}
	return []filing{f}
}

// about reports whether the call's name ends with one of some words.
func (c apiCall) about(words ...string) bool {
	return slices.ContainsFunc(words, func(w string) bool { return strings.HasSuffix(c.name, w) })
}

// sessions leads to the sessions of a role of the account.
func (c apiCall) sessions(role string, outside bool) []Lead {
	arn := c.answer.at("role", "arn").text()
	if arn == "" && iamName.MatchString(role) {
		arn = c.roleARN(role)
	}
	if arn == "" {
		return nil
	}
	return []Lead{{Account: c.account, Subject: trail.Subject{By: "ResourceName", Value: arn}, Who: "role " + role, Of: arn, Outside: outside}}
}

func (c apiCall) roleARN(name string) string {
	return "arn:" + actions.PartitionOf(c.region) + ":iam::" + c.account + ":role/" + name
}

// strangest is whom the call lets in from farthest, as a trust can be compared by it: an account, or *.
func (c apiCall) strangest() string {
	guests := c.letsIn()
	if len(guests) == 0 {
		return ""
	}
	who, _, _ := strings.Cut(guests[0], " (")
	if who == "everybody" {
		return "*"
	}
	if owner := cmp.Or(ownerOf(who), who); actions.AccountID.MatchString(owner) {
		return owner
	}
	return ""
}

// expiries are the forms in which CloudTrail has the end of a session.
var expiries = []string{"Jan 2, 2006 3:04:05 PM", "Jan 2, 2006, 3:04:05 PM", time.RFC3339}

// session is what the call has of the session that it made, and who acts by it.
func (c apiCall) session(account, who string) (t source.Thing, leads []Lead) {
	t.Kind = source.Session
	told := c.answer.at("credentials", "expiration").text()
	for _, form := range expiries {
		if until, err := time.Parse(form, strings.ReplaceAll(told, "\u202f", " ")); err == nil { // the JDK writes a narrow space
			t.Until = until.UTC()
		}
	}
	if key := c.answer.at("credentials", "accessKeyId").text(); anyKey.MatchString(key) {
		leads = []Lead{{Account: account, Subject: trail.Subject{By: "AccessKeyId", Value: key}, Who: brief(who, maxFact)}}
	}
	return t, leads
}

// offerTraced is offer for what a deed is filed under, and not for who called.
func (c apiCall) offerTraced(o *containments, f filing) {
	if f.role != "" {
		o.role(actor{arn: f.role, name: f.Name})
		return
	}
	if c.service == "iam" && f.Kind == rootOf {
		o.root()
		return
	}
	if c.service == "sts" && f.Kind == "role" {
		if !c.org.Knows(f.Account) {
			o.addByHand("The role is of account " + f.Account + ", which the configuration does not name: contain it there, if it is yours.")
			return
		}
		arn := c.request.at("roleArn").text()
		o.role(actor{arn: arn, name: f.Name})
		return
	}
	if line := c.byHand(); line != "" {
		o.addByHand(line)
	}
	if c.service == "sts" && c.caller.kind == ofUser {
		o.quarantine(Containment{}, cmp.Or(c.caller.arn, o.userNamed(c.caller.name)))
		return
	}
	if c.service == "iam" {
		owner := ""
		if f.Kind == "user" && f.Name != c.subject && c.name == "UpdateUser" {
			o.quarantine(Containment{}, o.userNamed(f.Name))
		} else if f.Kind == "user" {
			owner = c.owner(o, cmp.Or(c.caller.arn, o.userNamed(c.caller.name)))
		}
		c.offerKey(o, owner)
		c.offerChanged(o, owner)
		return
	}
	if f.thing.Kind == source.Instance {
		o.instance(Containment{}, f.Name, c.region)
	}
}
