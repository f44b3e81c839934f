package finding

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// offered are an alert's calls; those that are extra begin with +, those that
// nothing does by itself with ?.
func offered(a Finding) []string {
	var calls []string
	for _, o := range a.Containments {
		call := o.Call.String()
		if o.Extra {
			call = "+" + call
		}
		if o.Unsure != "" {
			call = "?" + call
		}
		calls = append(calls, call)
	}
	return calls
}

const key, res = "detail.resource.accessKeyDetails.", "detail.resource."

func TestGuardDutyOffers(t *testing.T) {
	const (
		user     = "guardduty_iam_persistence-akia.json"
		role     = "guardduty_iam_privesc-role-session.json"
		exfil    = "guardduty_iam_exfil-outside.json"
		instance = "guardduty_ec2_bitcoin-dns.json"
		database = "guardduty_rds_failedlogin.json"
		prod     = "arn:aws:iam::222222222222:"
	)
	bucket := map[string]any{"resourceType": "S3Bucket", "s3BucketDetails": []any{map[string]any{"name": "acme-billing-exports"}, map[string]any{"name": "logs"}}}
	with := func(k map[string]any) map[string]any {
		all := map[string]any{"accessKeyDetails": k}
		maps.Copy(all, bucket)
		return map[string]any{"detail.resource": all}
	}
	for name, tt := range map[string]struct {
		file      string
		edit      map[string]any
		offers    []string
		byHand    string
		principal string
		resource  string
	}{
		"user's session": {
			file: user, edit: map[string]any{key + "accessKeyId": "ASIACIBUILDA2EXAMPLE"},
			offers: []string{"quarantine_user " + prod + "user/ci-build"}, principal: "user ci-build, key ASIACIBUILDA2EXAMPLE",
		},
		"key ID that is none": {
			file: user, edit: map[string]any{key + "accessKeyId": "AKIA1 region=us-east-1"},
			offers: []string{"quarantine_user " + prod + "user/ci-build"},
		},
		"user's name that is a path": {
			file: user, edit: map[string]any{key + "userName": "../role/x"},
			offers: []string{"deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222"}, byHand: "does not tell the user's name",
		},
		"user's name with options": {
			file: user, edit: map[string]any{key + "userName": "x mode=iam-only", key + "accessKeyId": ""},
			byHand: "does not tell the user's name",
		},
		"user's name with a comma at the end": {
			file: user, edit: map[string]any{key + "userName": "ci-build,"},
			offers: []string{"deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222"}, byHand: "ends in a comma",
		},
		"protected user": {
			file: user, edit: map[string]any{key + "userName": "emergency"},
			byHand: prod + "user/emergency is protected by the configuration", principal: "user emergency, key AKIACIBUILDA2EXAMPLE",
		},
		"hub account": {
			file: user, edit: map[string]any{"detail.accountId": "111111111111"},
			byHand: "111111111111 is the account that Killswitch itself runs in",
		},
		"user by its ID": {
			file: user, edit: map[string]any{key + "userType": ""},
			offers: []string{"deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222", "quarantine_user " + prod + "user/ci-build"},
		},
		"role that calls itself a user": {
			file: role, edit: map[string]any{key + "userType": "IAMUser"},
			byHand: "Whose credentials these are is not told", principal: "IAMUser deploy-admin, key ASIADEPLOYAD4EXAMPLE",
		},
		"user that calls itself a role": {
			file: user, edit: map[string]any{key + "userType": "AssumedRole"}, byHand: "Whose credentials these are is not told",
		},
		"another account": {
			file: user, edit: map[string]any{key + "userType": "AWSAccount", key + "principalId": "444444444444"}, byHand: "Whose credentials these are is not told",
		},
		"service":      {file: user, edit: map[string]any{key + "userType": "AWSService", key + "principalId": ""}, byHand: "Whose credentials these are is not told"},
		"unknown kind": {file: user, edit: map[string]any{key + "userType": "Martian", key + "principalId": "X"}, byHand: "Whose credentials these are is not told"},
		"root with a long-term key": {offers: rootOffers,
			file: "guardduty_iam_root.json", edit: map[string]any{key + "accessKeyId": "AKIAROOTKEYA2EXAMPLE"}, byHand: "delete its keys, password and MFA devices", principal: "root user, key AKIAROOTKEYA2EXAMPLE",
		},
		"role called Role": {
			file: role, edit: map[string]any{key + "userType": "Role"},
			offers: []string{"revoke_sessions " + prod + "role/deploy-admin", "detach_policies " + prod + "role/deploy-admin"},
		},
		"our own role":   {file: role, edit: map[string]any{key + "userName": "killswitch-responder"}, byHand: "one of Killswitch's own member roles", principal: "role killswitch-responder, session jenkins-4711, key ASIADEPLOYAD4EXAMPLE"},
		"protected role": {file: role, edit: map[string]any{key + "userName": "break-glass"}, byHand: prod + "role/break-glass is protected by the configuration"},
		"role's name that is an account": {
			file: role, edit: map[string]any{key + "userName": "333333333333/ALL"}, byHand: "The role's name can't be read",
		},
		"session named like a shorter ID": {
			file: exfil, edit: map[string]any{key + "principalId": "AROAWEBTIERAPPEXAMPLE:i-0d3e1a5b7c9f2000"},
			offers: []string{"revoke_sessions " + prod + "role/web-tier-role", "detach_policies " + prod + "role/web-tier-role"},
		},
		"session named like an instance, which the finding does not": {
			file: exfil, edit: map[string]any{res + "instanceDetails": nil},
			offers: []string{
				"revoke_sessions " + prod + "role/web-tier-role",
				"?isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20001",
				"+detach_policies " + prod + "role/web-tier-role",
			},
		},
		"session named like another instance": {
			file: exfil, edit: map[string]any{key + "principalId": "AROAWEBTIERAPPEXAMPLE:i-0d3e1a5b7c9f20099"},
			offers: []string{
				"revoke_sessions " + prod + "role/web-tier-role",
				"?isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20099",
				"+detach_policies " + prod + "role/web-tier-role",
			},
		},
		"instance ID that is none": {file: instance, edit: map[string]any{res + "instanceDetails.instanceId": "i-0d3e1a5b7c9f20007/x"}, byHand: "names no instance"},
		"no access key details":    {file: user, edit: map[string]any{res + "accessKeyDetails": nil}, byHand: "names no credentials"},
		"bucket, role's session": {
			file: user, edit: with(map[string]any{"userType": "AssumedRole", "userName": "etl", "principalId": "AROAX:job", "accessKeyId": "ASIAETLROLEXAAEXAMPLE"}),
			offers:    []string{"revoke_sessions " + prod + "role/etl", "detach_policies " + prod + "role/etl"},
			principal: "role etl, session job, key ASIAETLROLEXAAEXAMPLE", resource: "bucket acme-billing-exports, logs",
		},
		"bucket, user": {
			file: user, edit: with(map[string]any{"userType": "IAMUser", "userName": "eve", "principalId": "AIDAX", "accessKeyId": "AKIAEVEUSERXAAEXAMPLE"}),
			offers: []string{"deactivate_key AKIAEVEUSERXAAEXAMPLE account=222222222222", "quarantine_user " + prod + "user/eve"},
		},
		"bucket, anonymous": {
			file: user, edit: with(map[string]any{"userType": "AWSAccount", "userName": "ANONYMOUS_PRINCIPAL", "principalId": "", "accessKeyId": ""}),
			byHand: "block public access", principal: "AWSAccount ANONYMOUS_PRINCIPAL",
		},
		"bucket alone": {file: user, edit: map[string]any{"detail.resource": bucket}, byHand: "block public access"},
		"function": {
			file: database, edit: map[string]any{"detail.resource": map[string]any{"resourceType": "Lambda", "lambdaDetails": map[string]any{"functionName": "thumbs"}}},
			byHand: "reserved concurrency", resource: "Lambda function thumbs",
		},
		"container": {
			file: database, edit: map[string]any{"detail.resource": map[string]any{"resourceType": "ECSCluster", "ecsClusterDetails": map[string]any{"name": "shop"}, "instanceDetails": map[string]any{"instanceId": "i-0d3e1a5b7c9f20007"}}},
			offers: []string{"isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20007"}, byHand: "stop the task", resource: "instance i-0d3e1a5b7c9f20007, ECS cluster shop",
		},
		"container without a node": {
			file: database, edit: map[string]any{"detail.resource": map[string]any{"resourceType": "ECSCluster", "ecsClusterDetails": map[string]any{"name": "shop"}}},
			byHand: "stop the task", resource: "ECS cluster shop",
		},
		"pod without a node": {
			file: database, edit: map[string]any{"detail.resource": map[string]any{"resourceType": "EKSCluster", "eksClusterDetails": map[string]any{"name": "shop"}}, "detail.service.runtimeDetails": map[string]any{}},
			byHand: "the pod", resource: "EKS cluster shop",
		},
		"function of another account's role": {
			file: database, edit: map[string]any{"detail.resource": map[string]any{"resourceType": "Lambda", "lambdaDetails": map[string]any{"role": "arn:aws:iam::444444444444:role/x"}}},
			byHand: "another account", resource: "Lambda",
		},
		"recovery point": {
			file: database, edit: map[string]any{"detail.resource": map[string]any{"resourceType": "S3RecoveryPoint", "recoveryPointDetails": map[string]any{"recoveryPointArn": "arn:aws:backup:us-east-1:222222222222:recovery-point:1a", "backupVaultName": "daily"}}},
			byHand: "No action fits", resource: "recovery point arn:aws:backup:us-east-1:222222222222:recovery-point:1a, vault daily",
		},
		"resource of a new type": {
			file: database, edit: map[string]any{"detail.resource": map[string]any{"resourceType": "Teapot"}}, byHand: "No action fits", resource: "Teapot",
		},
		"sample that says so only in the text": {
			file: user, edit: map[string]any{"detail.service.additionalInfo": map[string]any{"value": `{"sample":true}`, "type": "default"}},
			byHand: "A sample finding",
		},
		"China": {
			file: role, edit: map[string]any{"detail.partition": "aws-cn", "detail.region": "cn-north-1"},
			byHand: "There: revoke_sessions arn:aws-cn:iam::222222222222:role/deploy-admin",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := one(t, Reader{Org: org}, edited(t, tt.file, tt.edit))
			checkAlert(t, org, a)
			if d := cmp.Diff(tt.offers, offered(a)); d != "" {
				t.Error(d)
			}
			if hand := strings.Join(a.ByHand, "\n"); !strings.Contains(hand, tt.byHand) || (hand == "") != (tt.byHand == "") {
				t.Errorf("by hand %q, want %q", hand, tt.byHand)
			}
			if tt.principal != "" && a.Principal != tt.principal || tt.resource != "" && a.Resource != tt.resource {
				t.Errorf("principal %q, resource %q", a.Principal, a.Resource)
			}
		})
	}
}

// TestOwnRegionOfOrg reads the finding of another partition where that is ours.
func TestGuardDutyInGovCloud(t *testing.T) {
	o := org
	o.Partition = "aws-us-gov"
	a := one(t, Reader{Org: o}, Event{Body: event(t, "guardduty_iam_govcloud.json")})
	if d := cmp.Diff([]string{"revoke_sessions arn:aws-us-gov:iam::333333333333:role/gov-etl", "detach_policies arn:aws-us-gov:iam::333333333333:role/gov-etl"}, offered(a)); d != "" {
		t.Error(d)
	}
	if a.Subject.Value != "ASIAGOVETLRL2EXAMPLE" || a.Confirmation.Region != "us-gov-west-1" || len(a.ByHand) != 0 {
		t.Errorf("%+v, %+v, %q", a.Subject, a.Confirmation, a.ByHand)
	}
}

func TestAttackSequence(t *testing.T) {
	const seq = "detail.service.detection.sequence."
	actor := func(kind, name, uid, key, account, issuer string) any {
		return map[string]any{
			"user":    map[string]any{"type": kind, "name": name, "uid": uid, "credentialUid": key, "account": map[string]any{"uid": account}},
			"session": map[string]any{"issuer": issuer},
		}
	}
	instance := func(account, id string) any {
		return map[string]any{"resourceType": "EC2_INSTANCE", "uid": "arn:aws:ec2:us-west-2:" + account + ":instance/" + id, "accountId": account, "region": "us-west-2"}
	}
	edit := map[string]any{
		seq + "actors": []any{
			actor("IAMUser", "report-bot", "AIDAREPORTBOTUEXAMPLE", "AKIAREPORTBT2EXAMPLE", "222222222222", ""),
			actor("IAMUser", "audit-bot", "AIDAAUDITBOTUAEXAMPLE", "AKIAAUDITBOT2EXAMPLE", "222222222222", ""),
			actor("AssumedRole", "etl/job", "AROAETLROLEAAAEXAMPLE:job", "ASIAETLROLEA2EXAMPLE", "222222222222", "arn:aws:iam::222222222222:role/data/etl"),
			actor("AssumedRole", "mule", "AROAMULEROLEAAEXAMPLE:x", "ASIAMULEROLEAEXAMPLE", "444444444444", "arn:aws:iam::444444444444:role/mule"),
			actor("AssumedRole", "other", "AROAOTHERROLEAEXAMPLE:x", "ASIAOTHERROLAEXAMPLE", "", "arn:aws:iam::444444444444:role/mule"),
		},
		seq + "resources": []any{
			instance("222222222222", "i-0d3e1a5b7c9f20031"), instance("444444444444", "i-0d3e1a5b7c9f20032"),
			map[string]any{"resourceType": "S3_BUCKET", "uid": "arn:aws:s3:::acme-billing-exports", "name": "acme-billing-exports"},
		},
	}
	want := []string{
		"deactivate_key AKIAREPORTBT2EXAMPLE account=222222222222",
		"quarantine_user arn:aws:iam::222222222222:user/report-bot",
		"deactivate_key AKIAAUDITBOT2EXAMPLE account=222222222222",
		"quarantine_user arn:aws:iam::222222222222:user/audit-bot",
		"revoke_sessions arn:aws:iam::222222222222:role/data/etl",
		"detach_policies arn:aws:iam::222222222222:role/data/etl",
		"?+isolate_instance arn:aws:ec2:us-west-2:222222222222:instance/i-0d3e1a5b7c9f20031",
	}
	a := one(t, Reader{Org: org}, edited(t, "guardduty_attacksequence_iam-user.json", edit))
	checkAlert(t, org, a)
	if d := cmp.Diff(want, offered(a)); d != "" {
		t.Error(d)
	}
	if len(a.ByHand) != 2 || !strings.Contains(a.ByHand[0], "role mule, session x") || !strings.Contains(a.ByHand[1], "role other, session x") {
		t.Errorf("by hand %q", a.ByHand)
	}
	if d := cmp.Diff([]string{"222222222222/us-east-1/edfc5321dbc1d783e60e4469f8d239f4", "key/AKIAREPORTBT2EXAMPLE", "key/AKIAAUDITBOT2EXAMPLE"}, a.Names); d != "" {
		t.Error(d)
	}
	if !strings.HasPrefix(a.Principal, "user report-bot, key AKIAREPORTBT2EXAMPLE, user audit-bot") ||
		a.Resource != "Ec2 instance i-0d3e1a5b7c9f20031, Ec2 instance i-0d3e1a5b7c9f20032, S3 bucket acme-billing-exports" {
		t.Errorf("principal %q, resource %q", a.Principal, a.Resource)
	}

	edit["detail.type"] = "AttackSequence:EC2/CompromisedInstanceGroup"
	if got := offered(one(t, Reader{Org: org}, edited(t, "guardduty_attacksequence_iam-user.json", edit))); !slices.Contains(got, strings.TrimPrefix(want[6], "?+")) {
		t.Errorf("of a sequence of instances: %q", got)
	}

	// An instance's session and a plain one of the same role; a session that is named
	// like the instance that was attacked.
	const web, named = "arn:aws:iam::222222222222:role/web", "i-0d3e1a5b7c9f20031"
	edit = map[string]any{
		seq + "actors": []any{
			actor("AssumedRole", "web", "AROAWEBROLEAAAEXAMPLE:"+named, "ASIAWEBROLEA2EXAMPLE", "", web),
			actor("AssumedRole", "web", "AROAWEBROLEAAAEXAMPLE:job", "ASIAWEBROLEA3EXAMPLE", "", web),
		},
		seq + "resources": []any{map[string]any{"resourceType": "EC2_INSTANCE", "uid": named}},
	}
	a = one(t, Reader{Org: org}, edited(t, "guardduty_attacksequence_iam-user.json", edit))
	if d := cmp.Diff([]string{"revoke_sessions " + web, "?isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/" + named, "detach_policies " + web}, offered(a)); d != "" {
		t.Error(d)
	}
	edit["detail.type"] = "AttackSequence:EC2/CompromisedInstanceGroup"
	a = one(t, Reader{Org: org}, edited(t, "guardduty_attacksequence_iam-user.json", edit))
	if got := offered(a); !slices.Contains(got, "isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/"+named) {
		t.Errorf("of a sequence that starts there: %q", got)
	}

	// Credentials that no actor has, and a cluster of which no node is named.
	edit = map[string]any{
		"detail.type": "AttackSequence:EKS/CompromisedCluster", seq + "actors": []any{map[string]any{"process": map[string]any{"name": "x"}}, actor("AssumedRole", "etl", "AROAETLROLEAAAEXAMPLE:job", "ASIAETLROLEA2EXAMPLE", "", "")},
		seq + "resources": []any{
			map[string]any{"resourceType": "ACCESS_KEY", "name": "ASIAETLROLEA2EXAMPLE", "data": map[string]any{"accessKey": map[string]any{"userName": "etl", "userType": "AssumedRole"}}},
			map[string]any{"resourceType": "ACCESS_KEY", "uid": "AKIAREPORTBT2EXAMPLE", "data": map[string]any{"accessKey": map[string]any{"userName": "report-bot", "userType": "IAMUser"}}},
			map[string]any{"resourceType": "EKS_CLUSTER", "name": "shop", "data": map[string]any{"eksCluster": map[string]any{"ec2InstanceUids": []any{"arn:aws:ec2:us-east-1:222222222222:instance/" + named}}}},
		},
	}
	a = one(t, Reader{Org: org}, edited(t, "guardduty_attacksequence_iam-user.json", edit))
	if d := cmp.Diff([]string{
		"revoke_sessions arn:aws:iam::222222222222:role/etl", "detach_policies arn:aws:iam::222222222222:role/etl",
		"?deactivate_key AKIAREPORTBT2EXAMPLE account=222222222222", "?quarantine_user arn:aws:iam::222222222222:user/report-bot",
		"?isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/" + named,
	}, offered(a)); d != "" {
		t.Error(d)
	}

	edit = map[string]any{seq + "actors": nil, seq + "resources": nil}
	a = one(t, Reader{Org: org}, edited(t, "guardduty_attacksequence_iam-user.json", edit))
	if len(a.Containments) != 0 || len(a.ByHand) != 1 || a.Principal != "" {
		t.Errorf("without actors: %+v", a)
	}
}

// TestGuardDutyRefuses reads findings that must not be half an alert.
func TestGuardDutyRefuses(t *testing.T) {
	for path, values := range map[string][]any{
		"detail.accountId":                       {"", "2222", 5.0, []any{}, "22222222222a", map[string]any{}},
		"detail.region":                          {"", "US-EAST-1", "us-east-1#", 1.0},
		"detail.id":                              {"", "a/b", "x&fId=y", strings.Repeat("a", 129), []any{}},
		"detail.type":                            {"", []any{}, map[string]any{}, true},
		"detail.partition":                       {"aws.evil.example/", "AWS", false},
		"detail.severity":                        {"", "high", 11.0, -1.0, true, "NaN", "Inf"},
		"detail.title":                           {[]any{}, true},
		"detail.updatedAt":                       {"yesterday", true, map[string]any{}},
		"detail.service":                         {[]any{}, "x", 5.0},
		"detail.service.archived":                {5.0, "yes", []any{}},
		"detail.service.count":                   {"many", []any{}},
		"detail.service.eventLastSeen":           {"x"},
		"detail.service.additionalInfo.sample":   {"perhaps", 1.0},
		"detail.service.additionalInfo.value":    {`{"sample":"perhaps"}`},
		"detail.resource":                        {[]any{}, "AccessKey"},
		"detail.resource.resourceType":           {[]any{}},
		"detail.resource.accessKeyDetails":       {"x", []any{}},
		key + "userName":                         {[]any{"ci-build"}, map[string]any{}, true},
		key + "accessKeyId":                      {[]any{"AKIACIBUILDA2EXAMPLE"}},
		"detail.service.action.awsApiCallAction": {"x"},
	} {
		for _, v := range values {
			e := edited(t, "guardduty_iam_persistence-akia.json", map[string]any{path: v})
			alerts, err := Reader{Org: org}.Read(e)
			if m, bad := errors.AsType[*Malformed](err); !bad || m.Source != GuardDuty || m.EventID == "" || len(alerts) != 0 {
				t.Errorf("%s = %v: %d alerts, %v", path, v, len(alerts), err)
			}
		}
	}
}

// TestGuardDutyRegions reads a finding of a global service's event: it tells
// another region than the one where it is.
func TestGuardDutyRegions(t *testing.T) {
	a := one(t, Reader{Org: org}, edited(t, "guardduty_iam_persistence-akia.json", map[string]any{"detail.region": "eu-west-1"}))
	if d := cmp.Diff([]string{"222222222222/eu-west-1/65a43b58880d17fd4fa2e2766537c0fe", "222222222222/us-east-1/65a43b58880d17fd4fa2e2766537c0fe", "key/AKIACIBUILDA2EXAMPLE"}, a.Names); d != "" {
		t.Error(d)
	}
	if a.Confirmation != confirmation("222222222222", "us-east-1", "65a43b58880d17fd4fa2e2766537c0fe") || !strings.Contains(a.Link, "region=us-east-1") {
		t.Errorf("%+v %s", a.Confirmation, a.Link)
	}
	for _, other := range []string{
		"arn:aws:guardduty:eu-west-1:444444444444:detector/d/finding/65a43b58880d17fd4fa2e2766537c0fe",
		"arn:aws:guardduty:eu-west-1:222222222222:detector/d/finding/f",
		"arn:aws:guardduty:eu-west-1:222222222222:detector/d",
	} { // what is something else is no guide
		a = one(t, Reader{Org: org}, edited(t, "guardduty_iam_persistence-akia.json", map[string]any{"detail.arn": other}))
		if a.Confirmation != confirmation("222222222222", "us-east-1", "65a43b58880d17fd4fa2e2766537c0fe") || len(a.Names) != 2 {
			t.Errorf("%s: %+v %q", other, a.Confirmation, a.Names)
		}
	}
}

func TestTypesInWords(t *testing.T) {
	for typ, want := range map[string]string{
		"Impact:EC2/PortSweep":                  "Port Sweep (Impact, EC2)",
		"Backdoor:EC2/C&CActivity.B!DNS":        "C&C Activity.B!DNS (Backdoor, EC2)",
		"Trojan:EC2/DNSDataExfiltration":        "DNS Data Exfiltration (Trojan, EC2)",
		"PrivilegeEscalation:Kubernetes/X":      "X (Privilege Escalation, Kubernetes)",
		"TTPs/Something":                        "TTPs/Something",
		"":                                      "",
		"UnauthorizedAccess:EC2/SSHBruteForce":  "SSH Brute Force (Unauthorized Access, EC2)",
		"UnauthorizedAccess:EC2/TorIPCaller":    "Tor IP Caller (Unauthorized Access, EC2)",
		"CryptoCurrency:EC2/BitcoinTool.B!DNS ": "Bitcoin Tool.B!DNS (Crypto Currency, EC2)",
	} {
		if got := readable(typ); got != want {
			t.Errorf("%q is %q, want %q", typ, got, want)
		}
	}
}

func TestBlankTitle(t *testing.T) {
	for typ, want := range map[string]string{"Impact:EC2/PortSweep": "Port Sweep (Impact, EC2)", " \u200b": "Finding"} {
		if a := one(t, Reader{Org: org}, edited(t, "guardduty_ec2_minimal.json", map[string]any{"detail.title": " \u200b\r\n", "detail.type": typ})); a.Title != want {
			t.Errorf("type %q: title %q", typ, a.Title)
		}
	}
}

func TestConsoleOfEachPartition(t *testing.T) {
	for _, tt := range []struct{ partition, region, want string }{
		{"aws", "eu-west-1", "https://eu-west-1.console.aws.amazon.com"},
		{"", "us-gov-east-1", "https://console.amazonaws-us-gov.com"},
		{"aws-cn", "cn-north-1", "https://console.amazonaws.cn"},
		{"aws-iso", "us-iso-east-1", ""},
		{"aws", "", ""},
	} {
		if got := console(tt.partition, tt.region); got != tt.want {
			t.Errorf("%s %s: %q, want %q", tt.partition, tt.region, got, tt.want)
		}
	}
}

// TestRoleOfAnInstanceProfile: an instance's finding offers the role that is named like its profile,
// as not sure, after the instance; a sequence offers that of its group.
func TestRoleOfAnInstanceProfile(t *testing.T) {
	const (
		sample   = "guardduty_ec2_bitcoin-dns.json"
		isolate  = "isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20007"
		instance = "arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20007"
		profile  = res + "instanceDetails.iamInstanceProfile"
	)
	revoke := func(role string) string { return "?revoke_sessions arn:aws:iam::222222222222:role/" + role }
	group := func(resources ...any) map[string]any {
		return map[string]any{"detail.type": "AttackSequence:EC2/CompromisedInstanceGroup", "detail.resource": map[string]any{"resourceType": "AttackSequence"},
			"detail.service.detection": map[string]any{"sequence": map[string]any{"resources": resources}}}
	}
	member := map[string]any{"uid": instance, "resourceType": "EC2_INSTANCE", "data": map[string]any{"ec2Instance": map[string]any{"iamInstanceProfile": map[string]any{"arn": "arn:aws:iam::222222222222:instance-profile/fleet"}}}}
	for name, c := range map[string]struct {
		edit map[string]any
		want []string
	}{
		"on a path":        {nil, []string{isolate, revoke("crawler-profile")}},
		"no profile":       {map[string]any{profile: nil}, []string{isolate}},
		"no ARN":           {map[string]any{profile + ".arn": "crawler-profile"}, []string{isolate}},
		"another account":  {map[string]any{profile + ".arn": "arn:aws:iam::444444444444:instance-profile/x"}, []string{isolate}},
		"no role's name":   {map[string]any{profile + ".arn": "arn:aws:iam::222222222222:instance-profile/a b"}, []string{isolate}},
		"a protected role": {map[string]any{profile + ".arn": "arn:aws:iam::222222222222:instance-profile/break-glass"}, []string{isolate}},
		"a group":          {group(member), []string{isolate, revoke("fleet")}},
		"a group's own":    {group(map[string]any{"uid": instance, "resourceType": "EC2_INSTANCE"}, map[string]any{"uid": "arn:aws:iam::222222222222:instance-profile/app/shared", "resourceType": "IAM_INSTANCE_PROFILE"}), []string{isolate, revoke("shared")}},
	} {
		if got := offered(one(t, Reader{Org: org}, edited(t, sample, c.edit))); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// TestServiceLinkedRolesAreNotOffered: without their path by their names, and it says why.
func TestServiceLinkedRolesAreNotOffered(t *testing.T) {
	a := one(t, Reader{Org: org}, edited(t, "guardduty_iam_privesc-role-session.json", map[string]any{key + "userName": "AWSServiceRoleForAutoScaling"}))
	if !hands(a, "service-linked role") || slices.ContainsFunc(offered(a), func(call string) bool { return strings.Contains(call, "AWSServiceRoleFor") }) {
		t.Errorf("%q, %q", offered(a), a.ByHand)
	}
	a = one(t, Reader{Org: org}, edited(t, ctRole, map[string]any{issuer + ".arn": nil, issuer + ".userName": "AWSServiceRoleForAutoScaling"}))
	if !hands(a, "service-linked role") || len(offered(a)) != 1 {
		t.Errorf("%q, %q", offered(a), a.ByHand)
	}
}
