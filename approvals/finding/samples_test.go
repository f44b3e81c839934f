package finding

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

// org is the organization of the samples.
var org = actions.Org{
	Actions:   all.Actions,
	Partition: "aws", HubAccount: "111111111111", ManagementAccount: "999999999999",
	ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer",
	Regions:    []string{"us-east-1", "eu-west-1"},
	Accounts:   map[string]string{"prod": "222222222222", "sandbox": "333333333333"},
	AdminGroup: "admins", ForwarderRole: "killswitch-forwarder",
	ProtectedAccounts:   []string{"111111111111"},
	ProtectedPrincipals: []string{"arn:aws:iam::*:role/break-glass", "arn:aws:iam::222222222222:user/emergency"},
}

// want is what is expected of a sample. Where a field is left out, the alert has
// none of it; facts and byHand hold some of the alert's.
type want struct {
	ignored   bool
	malformed string // its cause contains this

	source       Source
	mark         Mark
	names        []string
	typ          string
	title        string // begins with this
	severity     float64
	quiet        bool
	change       bool
	ownRole      string
	over         bool
	partition    string // empty for aws
	account      string
	region       string
	principal    string
	resource     string
	count        int               // 0 for 1
	updated      string            // RFC 3339 in seconds
	offers       []string          // all calls, in order; those that are extra begin with +
	byHand       []string          // each is in one of the lines
	facts        map[string]string // by label, what the text contains
	link         string            // is in it
	subject      trail.Subject
	exposed      bool
	confirmation source.Confirmation
	and          []want // further alerts of the same event
}

// samples has an entry for each file in testdata/events.
var samples = map[string]want{
	"hostile_truncated_guardduty.bin": {malformed: "not JSON, 1100 bytes"},
	"hostile_array_two-events.json":   {malformed: "is not an object"}, // whoever takes events in splits arrays

	"trustedadvisor_exposedkeys_user.json": {
		source: TrustedAdvisor, names: []string{"222222222222/key/AKIADEPLOYBT2EXAMPLE", "key/AKIADEPLOYBT2EXAMPLE"}, typ: "Exposed Access Keys",
		title: "Access key AKIADEPLOYBT2EXAMPLE of user deploy-bot was found in public", severity: 8, account: "222222222222", region: "us-east-1",
		principal: "user deploy-bot", resource: "access key AKIADEPLOYBT2EXAMPLE", updated: "2026-11-14T10:16:34Z",
		offers: []string{
			"deactivate_key AKIADEPLOYBT2EXAMPLE account=222222222222 quarantine=yes",
			"quarantine_user arn:aws:iam::222222222222:user/deploy-bot",
		},
		facts: map[string]string{
			"Found at": "https://github.example/demo/demo/blob/main/config.py", "Fraud type": "Exposed",
			"Deadline": "2026-11-19 10:16 UTC", "Support case": "95b158bb-975d-5e2b-8d12-8f5588a6c728",
		},
		link:    "https://us-east-1.console.aws.amazon.com/trustedadvisor/",
		subject: trail.Subject{By: "AccessKeyId", Value: "AKIADEPLOYBT2EXAMPLE"}, exposed: true,
		confirmation: source.Confirmation{Kind: source.ConfirmKey, Account: "222222222222", ID: "AKIADEPLOYBT2EXAMPLE"},
	},
	"trustedadvisor_exposedkeys_root.json": {
		source: TrustedAdvisor, names: []string{"333333333333/key/AKIAROOTKEYA2EXAMPLE", "key/AKIAROOTKEYA2EXAMPLE"}, typ: "Exposed Access Keys",
		title: "Access key AKIAROOTKEYA2EXAMPLE of the root user was found in public, and seems to be used", severity: 9, account: "333333333333", region: "us-east-1",
		principal: "root user", resource: "access key AKIAROOTKEYA2EXAMPLE", updated: "2026-11-14T10:16:34Z",
		offers:  []string{"deny_principal arn:aws:iam::333333333333:root", "apply_scp 333333333333"},
		byHand:  []string{"delete its keys, password and MFA devices"},
		facts:   map[string]string{"Irregular usage": "USD 412 a day", "Support case": "3c137519-943a-5249-8a87-82d01d068caa"},
		link:    "https://us-east-1.console.aws.amazon.com/trustedadvisor/",
		subject: trail.Subject{By: "AccessKeyId", Value: "AKIAROOTKEYA2EXAMPLE"}, exposed: true,
		confirmation: source.Confirmation{Kind: source.ConfirmKey, Account: "333333333333", ID: "AKIAROOTKEYA2EXAMPLE"},
	},
	"trustedadvisor_exposedkeys_status-ok.json": {
		source: TrustedAdvisor, names: []string{"222222222222/key/AKIADEPLOYBT2EXAMPLE", "key/AKIADEPLOYBT2EXAMPLE"}, typ: "Exposed Access Keys",
		title: "Trusted Advisor no longer reports access key AKIADEPLOYBT2EXAMPLE of user deploy-bot", severity: 8, over: true, account: "222222222222", region: "us-east-1",
		principal: "user deploy-bot", resource: "access key AKIADEPLOYBT2EXAMPLE", updated: "2026-11-15T10:16:34Z",
		link:         "https://us-east-1.console.aws.amazon.com/trustedadvisor/",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIADEPLOYBT2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmKey, Account: "222222222222", ID: "AKIADEPLOYBT2EXAMPLE"},
	},
	"trustedadvisor_other_s3-permissions.json": {ignored: true},
	"trustedadvisor_mock_detail-string.json": {
		source: TrustedAdvisor, mark: Mock, names: []string{"mock/222222222222/key/AKIAMOCKTAKE2EXAMPLE", "mock/key/AKIAMOCKTAKE2EXAMPLE"}, typ: "Exposed Access Keys",
		title: "Access key AKIAMOCKTAKE2EXAMPLE of user delete-me was found in public", severity: 8, account: "222222222222", region: "us-east-1",
		principal: "user delete-me", resource: "access key AKIAMOCKTAKE2EXAMPLE", updated: "2026-11-14T11:38:24Z",
		offers: []string{
			"deactivate_key AKIAMOCKTAKE2EXAMPLE account=222222222222 quarantine=yes",
			"quarantine_user arn:aws:iam::222222222222:user/delete-me",
		},
		facts:   map[string]string{"Found at": "www.example.com", "Deadline": "2015-08-24 21:54 UTC"},
		link:    "https://us-east-1.console.aws.amazon.com/trustedadvisor/",
		subject: trail.Subject{By: "AccessKeyId", Value: "AKIAMOCKTAKE2EXAMPLE"}, exposed: true,
		confirmation: source.Confirmation{Kind: source.ConfirmKey, Account: "222222222222", ID: "AKIAMOCKTAKE2EXAMPLE"},
	},

	"health_exposed_one.json": {
		source: Health, names: []string{"222222222222/key/AKIAHEALTHKY2EXAMPLE", "key/AKIAHEALTHKY2EXAMPLE"}, typ: "AWS_RISK_CREDENTIALS_EXPOSED",
		title: "Access key AKIAHEALTHKY2EXAMPLE of user notebook-shared was found in public", severity: 8, account: "222222222222", region: "us-east-1",
		principal: "user notebook-shared", resource: "access key AKIAHEALTHKY2EXAMPLE", updated: "2026-11-15T00:37:55Z",
		offers: []string{
			"deactivate_key AKIAHEALTHKY2EXAMPLE account=222222222222 quarantine=yes",
			"quarantine_user arn:aws:iam::222222222222:user/notebook-shared",
		},
		facts:   map[string]string{"Found at": "https://github.example/demo/notebooks", "Deadline": "2026-11-19"},
		link:    "eventID=arn%3Aaws%3Ahealth%3Aus-east-1%3A%3Aevent%2FRISK%2FAWS_RISK_CREDENTIALS_EXPOSED%2F",
		subject: trail.Subject{By: "AccessKeyId", Value: "AKIAHEALTHKY2EXAMPLE"}, exposed: true,
		confirmation: source.Confirmation{Kind: source.ConfirmKey, Account: "222222222222", ID: "AKIAHEALTHKY2EXAMPLE"},
	},
	"health_exposed_two-keys.json": twoKeys("AKIAHEALTHKY3EXAMPLE", "AKIAHEALTHKY4EXAMPLE"),
	"health_compromised_key.json": {
		source: Health, names: []string{"333333333333/key/AKIACOMPROMI2EXAMPLE", "key/AKIACOMPROMI2EXAMPLE"}, typ: "AWS_RISK_CREDENTIALS_COMPROMISED",
		title: "Access key AKIACOMPROMI2EXAMPLE seems to be used by somebody else", severity: 9, account: "333333333333", region: "us-east-1",
		resource: "access key AKIACOMPROMI2EXAMPLE", updated: "2026-11-15T00:37:55Z",
		offers:  []string{"deactivate_key AKIACOMPROMI2EXAMPLE account=333333333333 quarantine=yes"}, // the plan looks up whose it is
		link:    "AWS_RISK_CREDENTIALS_COMPROMISED_4ed1508fd893",
		subject: trail.Subject{By: "AccessKeyId", Value: "AKIACOMPROMI2EXAMPLE"}, exposed: true,
		confirmation: source.Confirmation{Kind: source.ConfirmKey, Account: "333333333333", ID: "AKIACOMPROMI2EXAMPLE"},
	},
	"health_mock_minimal.json": {
		source: Health, mark: Mock, names: []string{"mock/222222222222/key/AKIAHEALTHMK2EXAMPLE", "mock/key/AKIAHEALTHMK2EXAMPLE"}, typ: "AWS_RISK_CREDENTIALS_EXPOSED",
		title: "Access key AKIAHEALTHMK2EXAMPLE was found in public", severity: 8, account: "222222222222", region: "us-east-1",
		resource: "access key AKIAHEALTHMK2EXAMPLE", updated: "2026-11-15T06:27:57Z",
		offers:  []string{"deactivate_key AKIAHEALTHMK2EXAMPLE account=222222222222 quarantine=yes"},
		link:    "AWS_RISK_CREDENTIALS_EXPOSED_XXXXXXXXXXXXXXXXX",
		subject: trail.Subject{By: "AccessKeyId", Value: "AKIAHEALTHMK2EXAMPLE"}, exposed: true,
		confirmation: source.Confirmation{Kind: source.ConfirmKey, Account: "222222222222", ID: "AKIAHEALTHMK2EXAMPLE"},
	},
	"health_other_ec2-retirement.json": {ignored: true},

	"cloudtrail_createuser_iamuser.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/5e00b229-5978-5a0c-b9b9-c3cc82e435fe"}, typ: "CreateUser",
		title: "User baduser created user svc-backup2", severity: 7, change: true, account: "222222222222", region: "us-east-1",
		principal: "user baduser, key AKIABADUSERA2EXAMPLE", resource: "user svc-backup2", updated: "2026-11-13T08:21:05Z",
		offers: []string{
			"quarantine_user arn:aws:iam::222222222222:user/baduser",
			"deactivate_key AKIABADUSERA2EXAMPLE account=222222222222",
			"quarantine_user arn:aws:iam::222222222222:user/svc-backup2",
		},
		facts:        map[string]string{"API call": "iam:CreateUser", "Source IP": "203.0.113.24", "User agent": "aws-cli/2.31.8"},
		link:         "https://us-east-1.console.aws.amazon.com/cloudtrailv2/home?region=us-east-1#/events/5e00b229-5978-5a0c-b9b9-c3cc82e435fe",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIABADUSERA2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "5e00b229-5978-5a0c-b9b9-c3cc82e435fe"},
	},
	"cloudtrail_attachuserpolicy_assumed-role.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/4f0d130d-fae9-5907-92f7-662945944572"}, typ: "AssumedRole:AttachUserPolicy", change: true,
		title: "Role ci-deployer attached policy AdministratorAccess to user ops-helper", severity: 8, account: "222222222222", region: "us-east-1",
		principal: "role ci-deployer, session build-4711, key ASIACIDEPLOY3EXAMPLE", resource: "user ops-helper", updated: "2026-11-13T09:00:31Z",
		offers: []string{
			"revoke_sessions arn:aws:iam::222222222222:role/ci-deployer",
			"quarantine_user arn:aws:iam::222222222222:user/ops-helper",
		},
		facts:        map[string]string{"Policy": "arn:aws:iam::aws:policy/AdministratorAccess", "MFA": "no"},
		link:         "/events/4f0d130d-fae9-5907-92f7-662945944572",
		subject:      trail.Subject{By: "AccessKeyId", Value: "ASIACIDEPLOY3EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "4f0d130d-fae9-5907-92f7-662945944572"},
	},
	"cloudtrail_createaccesskey_denied.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/5dd5f1b9-b70d-549b-beca-d1ac9e3c2807"}, typ: "Denied:CreateAccessKey", quiet: true,
		title: "User mallory tried to create an access key for user payroll-admin: denied", severity: 3, account: "222222222222", region: "us-east-1",
		principal: "user mallory, key AKIAMALLORYA2EXAMPLE", resource: "user payroll-admin", updated: "2026-11-13T09:14:02Z",
		offers:       []string{"quarantine_user arn:aws:iam::222222222222:user/mallory"},
		facts:        map[string]string{"Error": "AccessDenied: User: arn:aws:iam::222222222222:user/mallory is not authorized"},
		link:         "/events/5dd5f1b9-b70d-549b-beca-d1ac9e3c2807",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIAMALLORYA2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "5dd5f1b9-b70d-549b-beca-d1ac9e3c2807"},
	},
	"cloudtrail_listusers_readonly.json": {ignored: true},
	"cloudtrail_putrolepolicy_own-responder.json": { // the bot drops it if a request explains it
		source: CloudTrail, names: []string{"222222222222/us-east-1/3400b88a-0c49-5a8b-8249-e2b0f10ec55c"}, typ: "AssumedRole:PutRolePolicy",
		title: "Killswitch's own role killswitch-responder called iam:PutRolePolicy, and no request of ours explains it", severity: 9, change: true, ownRole: "req-01jcz8k2m4", account: "222222222222", region: "us-east-1",
		principal: "role killswitch-responder, session req-01jcz8k2m4, key ASIAKSRESPND2EXAMPLE", resource: "role web-tier-role", updated: "2026-11-13T09:30:02Z",
		byHand:       []string{"look at once who may assume it"},
		facts:        map[string]string{"API call": "iam:PutRolePolicy", "Policy": "AWSRevokeOlderSessions"},
		link:         "/events/3400b88a-0c49-5a8b-8249-e2b0f10ec55c",
		subject:      trail.Subject{By: "AccessKeyId", Value: "ASIAKSRESPND2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "3400b88a-0c49-5a8b-8249-e2b0f10ec55c"},
	},
	"cloudtrail_changepassword_self.json": {ignored: true},
	"cloudtrail_createaccesskey_other-user.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/2c75202b-fdf6-5c31-aac7-257c8ed572f2"}, typ: "CreateAccessKey",
		title: "User oscar created an access key for user payroll-bot", severity: 8, change: true, account: "222222222222", region: "us-east-1",
		principal: "user oscar, key AKIAOSCARKEY2EXAMPLE", resource: "user payroll-bot, access key AKIAPAYROLLN2EXAMPLE", updated: "2026-11-13T10:02:11Z",
		offers: []string{
			"quarantine_user arn:aws:iam::222222222222:user/oscar",
			"deactivate_key AKIAPAYROLLN2EXAMPLE account=222222222222",
			"deactivate_key AKIAOSCARKEY2EXAMPLE account=222222222222",
		},
		facts:        map[string]string{"New access key": "AKIAPAYROLLN2EXAMPLE"},
		link:         "/events/2c75202b-fdf6-5c31-aac7-257c8ed572f2",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIAOSCARKEY2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "2c75202b-fdf6-5c31-aac7-257c8ed572f2"},
	},
	"cloudtrail_putuserpolicy_aws-quarantine.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/e2ac4f5d-d5b7-58bb-8c23-5b85918512b4", "key/AKIACRMSYNCA2EXAMPLE"}, typ: "PutUserPolicy",
		title: "User crm-sync has AWS's quarantine policy AWSExposedCredentialPolicy_DO_NOT_REMOVE: AWS puts it on a user whose access key is compromised", severity: 8, change: true, account: "222222222222", region: "us-east-1",
		principal: "user crm-sync, key AKIACRMSYNCA2EXAMPLE", resource: "user crm-sync", updated: "2026-11-13T08:31:05Z",
		offers:       []string{"deactivate_key AKIACRMSYNCA2EXAMPLE account=222222222222", "quarantine_user arn:aws:iam::222222222222:user/crm-sync"},
		byHand:       []string{"the key still works"},
		link:         "/events/e2ac4f5d-d5b7-58bb-8c23-5b85918512b4",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIACRMSYNCA2EXAMPLE"},
		exposed:      true,
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "e2ac4f5d-d5b7-58bb-8c23-5b85918512b4"},
	},
	"cloudtrail_attachuserpolicy_aws-quarantine.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/1cca477d-03d7-5eff-b1d4-06c882707c5f", "key/AKIACRMSYNCA2EXAMPLE"}, typ: "AttachUserPolicy",
		title: "User crm-sync has AWS's quarantine policy AWSCompromisedKeyQuarantineV3: AWS puts it on a user whose access key is compromised", severity: 8, change: true, account: "222222222222", region: "us-east-1",
		principal: "user crm-sync, key AKIACRMSYNCA2EXAMPLE", resource: "user crm-sync", updated: "2026-11-13T08:31:05Z",
		offers:       []string{"deactivate_key AKIACRMSYNCA2EXAMPLE account=222222222222", "quarantine_user arn:aws:iam::222222222222:user/crm-sync"},
		byHand:       []string{"the key still works"},
		link:         "/events/1cca477d-03d7-5eff-b1d4-06c882707c5f",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIACRMSYNCA2EXAMPLE"},
		exposed:      true,
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "1cca477d-03d7-5eff-b1d4-06c882707c5f"},
	},
	"cloudtrail_detachuserpolicy_aws-quarantine.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/868bb6c6-ddf5-5223-aec1-a708bdcb748f"}, typ: "DetachUserPolicy",
		title: "User oscar took AWS's quarantine policy AWSCompromisedKeyQuarantineV3 off user crm-sync", severity: 8, change: true, account: "222222222222", region: "us-east-1",
		principal: "user oscar, key AKIAOSCARKEY2EXAMPLE", resource: "user crm-sync", updated: "2026-11-13T08:31:05Z",
		offers:       []string{"quarantine_user arn:aws:iam::222222222222:user/oscar", "deactivate_key AKIAOSCARKEY2EXAMPLE account=222222222222", "quarantine_user arn:aws:iam::222222222222:user/crm-sync"},
		link:         "/events/868bb6c6-ddf5-5223-aec1-a708bdcb748f",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIAOSCARKEY2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "868bb6c6-ddf5-5223-aec1-a708bdcb748f"},
	},
	"cloudtrail_createrole_trusts-outside.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/8417da26-5310-5a00-b6c2-da96ec45b544"}, typ: "CreateRole",
		title: "User oscar created role support-tools", severity: 7, change: true, account: "222222222222", region: "us-east-1",
		principal: "user oscar, key AKIAOSCARKEY2EXAMPLE", resource: "role support-tools", updated: "2026-11-13T08:31:05Z",
		offers:       []string{"quarantine_user arn:aws:iam::222222222222:user/oscar", "deactivate_key AKIAOSCARKEY2EXAMPLE account=222222222222", "revoke_sessions arn:aws:iam::222222222222:role/ops/support-tools", "detach_policies arn:aws:iam::222222222222:role/ops/support-tools"},
		facts:        map[string]string{"Lets in": "arn:aws:iam::444444444444:root (another account), arn:aws:iam::222222222222:role/ci", "Permissions boundary": "policy/limits"},
		link:         "/events/8417da26-5310-5a00-b6c2-da96ec45b544",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIAOSCARKEY2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "8417da26-5310-5a00-b6c2-da96ec45b544"},
	},
	"cloudtrail_deactivatemfadevice_root.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/44a086fe-1163-5dff-ab54-0aed48b017ae"}, typ: "DeactivateMFADevice",
		title: "Root user deactivated an MFA device of the root user", severity: 8, change: true, account: "222222222222", region: "us-east-1",
		principal: "root user, key ASIAROOTCTDV2EXAMPLE", resource: "", updated: "2026-11-13T08:31:05Z",
		offers:       []string{"deny_principal arn:aws:iam::222222222222:root", "apply_scp 222222222222"},
		byHand:       []string{"delete its keys, password and MFA devices"},
		link:         "/events/44a086fe-1163-5dff-ab54-0aed48b017ae",
		subject:      trail.Subject{By: "AccessKeyId", Value: "ASIAROOTCTDV2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "44a086fe-1163-5dff-ab54-0aed48b017ae"},
	},
	"health_quarantine_key.json": {
		source: Health, names: []string{"333333333333/key/AKIACRMSYNCB2EXAMPLE", "key/AKIACRMSYNCB2EXAMPLE"}, typ: "AWS_RISK_IAM_QUARANTINE",
		title: "Access key AKIACRMSYNCB2EXAMPLE of user crm-sync has AWS's quarantine policy", severity: 8, account: "333333333333", region: "us-east-1",
		principal: "user crm-sync", resource: "access key AKIACRMSYNCB2EXAMPLE", updated: "2026-11-15T00:37:55Z",
		offers:       []string{"deactivate_key AKIACRMSYNCB2EXAMPLE account=333333333333 quarantine=yes", "quarantine_user arn:aws:iam::333333333333:user/crm-sync"},
		link:         "AWS_RISK_IAM_QUARANTINE_5b1fa0c2d3e4",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIACRMSYNCB2EXAMPLE"},
		exposed:      true,
		confirmation: source.Confirmation{Kind: source.ConfirmKey, Account: "333333333333", ID: "AKIACRMSYNCB2EXAMPLE"},
	},
	"health_console-compromise_user-arn.json": {
		source: Health, typ: "AWS_RISK_ACCOUNT_CONSOLE_COMPROMISE",
		names: []string{"333333333333/health/arn:aws:health:us-east-1::event/RISK/AWS_RISK_ACCOUNT_CONSOLE_COMPROMISE/AWS_RISK_ACCOUNT_CONSOLE_COMPROMISE_5b1fa0c2d3e4/arn:aws:iam::333333333333:user/staff/nina"},
		title: "User nina seems to be used by somebody else, in the console", severity: 9, account: "333333333333", region: "us-east-1",
		principal: "user nina", updated: "2026-11-15T00:37:55Z",
		offers:  []string{"quarantine_user arn:aws:iam::333333333333:user/staff/nina"},
		link:    "AWS_RISK_ACCOUNT_CONSOLE_COMPROMISE_5b1fa0c2d3e4",
		subject: trail.Subject{By: "Username", Value: "nina"},
	},
	"cloudtrail_stoplogging_user.json": {
		source: CloudTrail, names: []string{"222222222222/eu-west-1/6cfdce8f-d2d8-5483-a71e-a119798ca272"}, typ: "StopLogging",
		title: "User build-7 stopped the logging of trail acme-audit", severity: 8, change: true, account: "222222222222", region: "eu-west-1",
		principal: "user build-7, key AKIABUILDSEV2EXAMPLE", resource: "trail acme-audit", updated: "2026-11-13T08:40:00Z",
		offers:       []string{"quarantine_user arn:aws:iam::222222222222:user/build-7", "deactivate_key AKIABUILDSEV2EXAMPLE account=222222222222"},
		byHand:       []string{"aws cloudtrail start-logging --name arn:aws:cloudtrail:eu-west-1:222222222222:trail/acme-audit --region eu-west-1"},
		facts:        map[string]string{"API call": "cloudtrail:StopLogging"},
		link:         "/events/6cfdce8f-d2d8-5483-a71e-a119798ca272",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIABUILDSEV2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "eu-west-1", ID: "6cfdce8f-d2d8-5483-a71e-a119798ca272"},
	},
	"cloudtrail_createprofile_role.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/a332bc69-8ca8-5789-b5cb-5ae9be6d6805"}, typ: "AssumedRole:CreateProfile",
		title: "Role ci-deployer created profile edge-sites of Roles Anywhere", severity: 7, change: true, account: "222222222222", region: "us-east-1",
		principal: "role ci-deployer, session build-4712, key ASIACIDEPLOY4EXAMPLE", resource: "profile edge-sites", updated: "2026-11-13T08:41:00Z",
		offers:       []string{"revoke_sessions arn:aws:iam::222222222222:role/ci-deployer", "revoke_sessions arn:aws:iam::222222222222:role/edge/edge-uploader", "detach_policies arn:aws:iam::222222222222:role/edge/edge-uploader"},
		byHand:       []string{"--profile-id 6f1c8a52-0f0e-4d0c-9d0d-2a5d2b7f9c11"},
		facts:        map[string]string{"API call": "rolesanywhere:CreateProfile"},
		link:         "/events/a332bc69-8ca8-5789-b5cb-5ae9be6d6805",
		subject:      trail.Subject{By: "AccessKeyId", Value: "ASIACIDEPLOY4EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "a332bc69-8ca8-5789-b5cb-5ae9be6d6805"},
	},
	"cloudtrail_getfederationtoken_user.json": { // called a read
		source: CloudTrail, names: []string{"222222222222/us-east-1/a3fa50ef-71d4-5fc4-b9e3-9e315200de75"}, typ: "GetFederationToken",
		title: "User build-7 got credentials for federated session nightly", severity: 7, change: true, account: "222222222222", region: "us-east-1",
		principal: "user build-7, key AKIABUILDSEV2EXAMPLE", resource: "federated session nightly", updated: "2026-11-13T08:42:00Z",
		offers:       []string{"quarantine_user arn:aws:iam::222222222222:user/build-7", "deactivate_key AKIABUILDSEV2EXAMPLE account=222222222222"},
		byHand:       []string{"lives on after the key is off"},
		facts:        map[string]string{"API call": "sts:GetFederationToken"},
		link:         "/events/a3fa50ef-71d4-5fc4-b9e3-9e315200de75",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIABUILDSEV2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "a3fa50ef-71d4-5fc4-b9e3-9e315200de75"},
	},
	"cloudtrail_updatefunctioncode_role.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/7fb03927-9267-5f52-be0b-d07d1829339d"}, typ: "AssumedRole:UpdateFunctionCode",
		title: "Role ci-deployer changed the code of function invoice-mailer", severity: 5, change: true, account: "222222222222", region: "us-east-1",
		principal: "role ci-deployer, session build-4712, key ASIACIDEPLOY4EXAMPLE", resource: "function invoice-mailer", updated: "2026-11-13T08:43:00Z",
		offers:       []string{"revoke_sessions arn:aws:iam::222222222222:role/ci-deployer", "revoke_sessions arn:aws:iam::222222222222:role/service-role/invoice-mailer", "detach_policies arn:aws:iam::222222222222:role/service-role/invoice-mailer"},
		byHand:       []string{"The code has the function's role"},
		facts:        map[string]string{"API call": "lambda:UpdateFunctionCode"},
		link:         "/events/7fb03927-9267-5f52-be0b-d07d1829339d",
		subject:      trail.Subject{By: "AccessKeyId", Value: "ASIACIDEPLOY4EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "7fb03927-9267-5f52-be0b-d07d1829339d"},
	},
	"cloudtrail_modifysnapshotattribute_user.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/8baeefef-31b2-5c71-becb-1d4a2a40f014"}, typ: "ModifySnapshotAttribute",
		title: "User build-7 shared snapshot snap-0c5e1d0f7a2b94e61", severity: 7, change: true, account: "222222222222", region: "us-east-1",
		principal: "user build-7, key AKIABUILDSEV2EXAMPLE", resource: "snapshot snap-0c5e1d0f7a2b94e61", updated: "2026-11-13T08:44:00Z",
		offers:       []string{"quarantine_user arn:aws:iam::222222222222:user/build-7", "deactivate_key AKIABUILDSEV2EXAMPLE account=222222222222"},
		byHand:       []string{"ends all sharing"},
		facts:        map[string]string{"Lets in": "444444444444 (another account), 333333333333 (account sandbox)"},
		link:         "/events/8baeefef-31b2-5c71-becb-1d4a2a40f014",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIABUILDSEV2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "8baeefef-31b2-5c71-becb-1d4a2a40f014"},
	},
	"cloudtrail_putbucketpolicy_role.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/0085af87-2294-5ee9-ae80-07a4dca2cca6"}, typ: "AssumedRole:PutBucketPolicy",
		title: "Role data-admin opened bucket acme-exports to others", severity: 8, change: true, account: "222222222222", region: "us-east-1",
		principal: "role data-admin, session dana@example.com, key ASIADATAADMN4EXAMPLE", resource: "bucket acme-exports", updated: "2026-11-13T08:45:00Z",
		offers:       []string{"revoke_sessions arn:aws:iam::222222222222:role/data-admin"},
		byHand:       []string{"aws s3api delete-bucket-policy --bucket acme-exports"},
		facts:        map[string]string{"Lets in": "everybody"},
		link:         "/events/0085af87-2294-5ee9-ae80-07a4dca2cca6",
		subject:      trail.Subject{By: "AccessKeyId", Value: "ASIADATAADMN4EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "0085af87-2294-5ee9-ae80-07a4dca2cca6"},
	},
	"cloudtrail_consolelogin_root.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/196dc89c-97ff-5988-9960-17b7e5289c57"}, typ: "ConsoleLogin",
		title: "Root user signed in to the console without MFA", severity: 7, change: true, account: "222222222222", region: "us-east-1",
		principal: "root user", resource: "", updated: "2026-11-13T08:46:00Z",
		offers:       []string{"deny_principal arn:aws:iam::222222222222:root", "apply_scp 222222222222"},
		byHand:       []string{"delete its keys, password and MFA devices"},
		facts:        map[string]string{"MFA": "no"},
		link:         "/events/196dc89c-97ff-5988-9960-17b7e5289c57",
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "196dc89c-97ff-5988-9960-17b7e5289c57"},
	},
	"cloudtrail_createrole_trusts-own-account.json": { // everyday work: not on the list
		source: CloudTrail, names: []string{"222222222222/us-east-1/81c4a686-44a6-5869-8fb2-809b6d49661a"}, typ: "AssumedRole:CreateRole",
		title: "Role ci-deployer created role report-reader", severity: 5, quiet: true, account: "222222222222", region: "us-east-1",
		principal: "role ci-deployer, session build-4712, key ASIACIDEPLOY4EXAMPLE", resource: "role report-reader", updated: "2026-11-13T08:47:00Z",
		offers:       []string{"revoke_sessions arn:aws:iam::222222222222:role/ci-deployer", "revoke_sessions arn:aws:iam::222222222222:role/report-reader", "detach_policies arn:aws:iam::222222222222:role/report-reader"},
		facts:        map[string]string{"Lets in": "222222222222, lambda.amazonaws.com"},
		link:         "/events/81c4a686-44a6-5869-8fb2-809b6d49661a",
		subject:      trail.Subject{By: "AccessKeyId", Value: "ASIACIDEPLOY4EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "81c4a686-44a6-5869-8fb2-809b6d49661a"},
	},
	"hostile_shapes_modifydbsnapshotattribute.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/baa61973-9dcd-5eca-ae3e-4b50125a9b3f"}, typ: "ModifyDBSnapshotAttribute",
		title: "User build-7 shared database snapshot <!channel> `night`", severity: 8, change: true, account: "222222222222", region: "us-east-1",
		principal: "user build-7, key AKIABUILDSEV2EXAMPLE", resource: "database snapshot <!channel> `night`", updated: "2026-11-13T08:48:00Z",
		offers:       []string{"quarantine_user arn:aws:iam::222222222222:user/build-7", "deactivate_key AKIABUILDSEV2EXAMPLE account=222222222222"},
		byHand:       []string{"--db-snapshot-identifier NAME"},
		facts:        map[string]string{"Lets in": "everybody"},
		link:         "/events/baa61973-9dcd-5eca-ae3e-4b50125a9b3f",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIABUILDSEV2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "baa61973-9dcd-5eca-ae3e-4b50125a9b3f"},
	},
	"cloudtrail_addusertogroup_root.json": {
		source: CloudTrail, names: []string{"222222222222/us-east-1/05f3daa6-5544-5003-9599-7eeabe8b6a59"}, typ: "AddUserToGroup",
		title: "Root user added user intern to group admins", severity: 8, change: true, account: "222222222222", region: "us-east-1",
		principal: "root user, key ASIAROOTCTDV2EXAMPLE", resource: "user intern, group admins", updated: "2026-11-13T10:11:40Z",
		offers:       []string{"deny_principal arn:aws:iam::222222222222:root", "apply_scp 222222222222", "quarantine_user arn:aws:iam::222222222222:user/intern"},
		byHand:       []string{"delete its keys, password and MFA devices", "To quarantine a member of admins takes the name typed"},
		facts:        map[string]string{"MFA": "yes", "Source IP": "192.0.2.33"},
		link:         "/events/05f3daa6-5544-5003-9599-7eeabe8b6a59",
		subject:      trail.Subject{By: "AccessKeyId", Value: "ASIAROOTCTDV2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "05f3daa6-5544-5003-9599-7eeabe8b6a59"},
	},

	"cloudtrail_createaccesskey_own-root.json": { // nobody can deactivate that key but root
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a001"},
		names:        []string{"222222222222/us-east-1/0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a001"}, link: "/events/0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a001",
		source: CloudTrail, account: "222222222222", region: "us-east-1", updated: "2026-11-13T10:02:11Z",
		typ: "CreateAccessKey", title: "Root user created an access key for the root user", severity: 9, change: true,
		principal: "root user, key ASIAROOTCTDV2EXAMPLE", resource: "access key AKIAROOTNEWK2EXAMPLE",
		offers:  []string{"deny_principal arn:aws:iam::222222222222:root", "apply_scp 222222222222"},
		byHand:  []string{"delete its keys, password and MFA devices"},
		facts:   map[string]string{"New access key": "AKIAROOTNEWK2EXAMPLE"},
		subject: trail.Subject{By: "AccessKeyId", Value: "ASIAROOTCTDV2EXAMPLE"},
	},
	"cloudtrail_createloginprofile_own-federated.json": { // a user's own doing; the path is part of the ARN
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a002"},
		names:        []string{"222222222222/us-east-1/0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a002"}, link: "/events/0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a002",
		source: CloudTrail, account: "222222222222", region: "us-east-1", updated: "2026-11-13T10:02:11Z",
		typ: "CreateLoginProfile", title: "User ci-build created a console password for user backup-admin", severity: 8, change: true,
		principal: "user ci-build, key ASIAFEDUSERA4EXAMPLE", resource: "user backup-admin",
		offers: []string{
			"quarantine_user arn:aws:iam::222222222222:user/ci/ci-build",
			"quarantine_user arn:aws:iam::222222222222:user/backup-admin",
		},
		subject: trail.Subject{By: "AccessKeyId", Value: "ASIAFEDUSERA4EXAMPLE"},
	},
	"cloudtrail_putuserpolicy_own-identity-center.json": { // its roles can't be changed in the account
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a003"},
		names:        []string{"222222222222/us-east-1/0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a003"}, link: "/events/0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a003",
		source: CloudTrail, account: "222222222222", region: "us-east-1", updated: "2026-11-13T10:02:11Z",
		typ: "AssumedRole:PutUserPolicy", change: true, title: "Role AWSReservedSSO_Admin_0123456789abcdef set the inline policy everything of user ops-helper", severity: 7,
		principal: "role AWSReservedSSO_Admin_0123456789abcdef, session dana@example.com, key ASIASSODANAA2EXAMPLE", resource: "user ops-helper",
		offers:  []string{"deny_principal sso:dana@example.com", "quarantine_user arn:aws:iam::222222222222:user/ops-helper"},
		byHand:  []string{"In Identity Center remove"},
		facts:   map[string]string{"Policy": "everything", "Policy document": `"Action":"*"`},
		subject: trail.Subject{By: "AccessKeyId", Value: "ASIASSODANAA2EXAMPLE"},
	},
	"cloudtrail_updateassumerolepolicy_own-instance.json": {
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a004"},
		names:        []string{"222222222222/us-east-1/0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a004"}, link: "/events/0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a004",
		source: CloudTrail, account: "222222222222", region: "us-east-1", updated: "2026-11-13T10:02:11Z",
		typ: "AssumedRole:UpdateAssumeRolePolicy", change: true, title: "Role web-tier-role changed who may assume role data-lake-reader", severity: 7,
		principal: "role web-tier-role, session i-0d3e1a5b7c9f20001, key ASIAWEBROLEA3EXAMPLE", resource: "role data-lake-reader",
		offers:  []string{"revoke_sessions arn:aws:iam::222222222222:role/app/web-tier-role", "revoke_sessions arn:aws:iam::222222222222:role/data-lake-reader", "detach_policies arn:aws:iam::222222222222:role/data-lake-reader"},
		byHand:  []string{"isolate_instance i-0d3e1a5b7c9f20001 account=222222222222 region=…"},
		facts:   map[string]string{"Policy document": "arn:aws:iam::444444444444:root"},
		subject: trail.Subject{By: "AccessKeyId", Value: "ASIAWEBROLEA3EXAMPLE"},
	},
	"cloudtrail_updateaccesskey_own-reactivated.json": {
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a005"},
		names:        []string{"222222222222/us-east-1/0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a005"}, link: "/events/0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a005",
		source: CloudTrail, account: "222222222222", region: "us-east-1", updated: "2026-11-13T10:02:11Z",
		typ: "UpdateAccessKey", title: "User oscar set access key AKIAPAYROLLA2EXAMPLE of user payroll-bot to Active", severity: 5, change: true,
		principal: "user oscar, key AKIAOSCARKEY2EXAMPLE", resource: "user payroll-bot, access key AKIAPAYROLLA2EXAMPLE",
		offers: []string{
			"quarantine_user arn:aws:iam::222222222222:user/oscar",
			"deactivate_key AKIAPAYROLLA2EXAMPLE account=222222222222",
			"deactivate_key AKIAOSCARKEY2EXAMPLE account=222222222222",
		},
		subject: trail.Subject{By: "AccessKeyId", Value: "AKIAOSCARKEY2EXAMPLE"},
	},
	"cloudtrail_createservicelinkedrole_own-service.json": {ignored: true},
	"cloudtrail_tagrole_own-failed.json": {
		confirmation: source.Confirmation{Kind: source.ConfirmEvent, Account: "222222222222", Region: "us-east-1", ID: "0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a007"},
		names:        []string{"222222222222/us-east-1/0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a007"}, link: "/events/0b4e3f5a-1d54-4d0e-9c58-51f1f0f7a007",
		source: CloudTrail, account: "222222222222", region: "us-east-1", updated: "2026-11-13T10:02:11Z",
		typ: "Failed:TagRole", quiet: true, title: "User oscar tried to call TagRole: failed (NoSuchEntityException)", severity: 3,
		principal: "user oscar, key AKIAOSCARKEY2EXAMPLE", resource: "role data-lake-reader",
		offers:  []string{"quarantine_user arn:aws:iam::222222222222:user/oscar"},
		facts:   map[string]string{"Error": "NoSuchEntityException: The role with name"},
		subject: trail.Subject{By: "AccessKeyId", Value: "AKIAOSCARKEY2EXAMPLE"},
	},

	"health_exposed_own-closed.json": {
		source: Health, names: []string{"222222222222/key/AKIAHEALTHKY2EXAMPLE", "key/AKIAHEALTHKY2EXAMPLE"}, typ: "AWS_RISK_CREDENTIALS_EXPOSED",
		title: "AWS Health has closed its event about access key AKIAHEALTHKY2EXAMPLE of user notebook-shared", severity: 8, over: true, account: "222222222222", region: "us-east-1",
		principal: "user notebook-shared", resource: "access key AKIAHEALTHKY2EXAMPLE", updated: "2026-11-16T09:00:00Z",
		link:         "AWS_RISK_CREDENTIALS_EXPOSED_d73dcbfa3815",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIAHEALTHKY2EXAMPLE"},
		confirmation: source.Confirmation{Kind: source.ConfirmKey, Account: "222222222222", ID: "AKIAHEALTHKY2EXAMPLE"},
	},
	"health_exposed_own-session-key.json": { // whose it is, nobody says
		source: Health, names: []string{"222222222222/key/ASIAHEALTHKY5EXAMPLE"}, typ: "AWS_RISK_CREDENTIALS_EXPOSED",
		title: "Access key ASIAHEALTHKY5EXAMPLE was found in public", severity: 8, account: "222222222222", region: "us-east-1",
		resource: "access key ASIAHEALTHKY5EXAMPLE", updated: "2026-11-15T00:37:55Z",
		byHand:  []string{"A session's key can't be deactivated"},
		link:    "AWS_RISK_CREDENTIALS_EXPOSED_d73dcbfa3815",
		subject: trail.Subject{By: "AccessKeyId", Value: "ASIAHEALTHKY5EXAMPLE"}, exposed: true,
	},
	"health_suspected_own-no-key.json": {
		source: Health, names: []string{"222222222222/health/arn:aws:health:us-east-1::event/RISK/AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED/AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED_0a1b2c3d4e5f"}, typ: "AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED",
		title: "AWS Health says that a credential may be public", severity: 7, account: "222222222222", region: "us-east-1", updated: "2026-11-15T00:37:55Z",
		byHand: []string{"names no access key"},
		link:   "AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED_0a1b2c3d4e5f",
	},

	"trustedadvisor_exposedkeys_own-suspected.json": {
		source: TrustedAdvisor, names: []string{"222222222222/key/AKIADEPLOYBT3EXAMPLE", "key/AKIADEPLOYBT3EXAMPLE"}, typ: "Exposed Access Keys",
		title: "Unusual usage suggests that somebody else has access key AKIADEPLOYBT3EXAMPLE of user deploy-bot", severity: 9, account: "222222222222", region: "us-east-1",
		principal: "user deploy-bot", resource: "access key AKIADEPLOYBT3EXAMPLE", updated: "2026-11-14T10:16:34Z",
		offers: []string{
			"deactivate_key AKIADEPLOYBT3EXAMPLE account=222222222222 quarantine=yes",
			"quarantine_user arn:aws:iam::222222222222:user/deploy-bot",
		},
		facts:   map[string]string{"Irregular usage": "USD 1,204.50 a day", "Deadline": "-"},
		link:    "https://us-east-1.console.aws.amazon.com/trustedadvisor/",
		subject: trail.Subject{By: "AccessKeyId", Value: "AKIADEPLOYBT3EXAMPLE"}, exposed: true,
		confirmation: source.Confirmation{Kind: source.ConfirmKey, Account: "222222222222", ID: "AKIADEPLOYBT3EXAMPLE"},
	},

	"guardduty_iam_exfil-outside.json":        exfilOutside,
	"guardduty_iam_exfil-outside-update.json": exfilOutsideUpdate,
	"guardduty_iam_exfil-inside.json": {
		source: GuardDuty, typ: "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.InsideAWS", severity: 8,
		title: "Credentials for the EC2 instance role batch-worker were used from another AWS account.",
		names: []string{"222222222222/eu-west-1/6ec89480701685cd27a8fbd754530257"}, account: "222222222222", region: "eu-west-1",
		principal: "role batch-worker, session i-0d3e1a5b7c9f20002, key ASIABATCHWRK3EXAMPLE", resource: "instance i-0d3e1a5b7c9f20002",
		updated: "2026-11-12T03:14:20Z",
		offers: []string{
			"revoke_sessions arn:aws:iam::222222222222:role/batch-worker",
			"isolate_instance arn:aws:ec2:eu-west-1:222222222222:instance/i-0d3e1a5b7c9f20002",
			"+detach_policies arn:aws:iam::222222222222:role/batch-worker",
		},
		facts: map[string]string{
			"Source IP":      "198.51.100.99 (Example Cloud AS64496; Dublin, Ireland)",
			"API call":       "GetObject of s3.amazonaws.com",
			"Remote account": "444444444444, not one of yours",
			"Affected":       "AWS::S3::Bucket acme-billing-exports",
		},
		link:         "https://eu-west-1.console.aws.amazon.com/guardduty/home?region=eu-west-1#/findings?macros=current&fId=6ec89480701685cd27a8fbd754530257",
		subject:      trail.Subject{By: "AccessKeyId", Value: "ASIABATCHWRK3EXAMPLE"},
		confirmation: confirmation("222222222222", "eu-west-1", "6ec89480701685cd27a8fbd754530257"),
	},
	"guardduty_iam_persistence-akia.json": {
		source: GuardDuty, typ: "Persistence:IAMUser/AnomalousBehavior", severity: 5,
		title: "User IAMUser : ci-build is anomalously invoking APIs commonly used in Persistence tactics.",
		names: []string{"222222222222/us-east-1/65a43b58880d17fd4fa2e2766537c0fe", "key/AKIACIBUILDA2EXAMPLE"}, account: "222222222222", region: "us-east-1",
		principal: "user ci-build, key AKIACIBUILDA2EXAMPLE", updated: "2026-11-12T03:14:20Z",
		offers: []string{"deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222", "quarantine_user arn:aws:iam::222222222222:user/ci-build"},
		facts: map[string]string{
			"Source IP":     "192.0.2.61 (Example Hosting AS64496; Bucharest, Romania)",
			"API call":      "CreateAccessKey of iam.amazonaws.com",
			"User agent":    "Boto3/1.40.61",
			"Unusual calls": "CreateAccessKey:success , CreateLoginProfile:success",
		},
		link:         "fId=65a43b58880d17fd4fa2e2766537c0fe",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIACIBUILDA2EXAMPLE"},
		confirmation: confirmation("222222222222", "us-east-1", "65a43b58880d17fd4fa2e2766537c0fe"),
	},
	"guardduty_iam_consolelogin-delegated-admin.json": {
		source: GuardDuty, typ: "UnauthorizedAccess:IAMUser/ConsoleLoginSuccess.B", severity: 5,
		title: "Successful console login from multiple geolocations observed for user dana.",
		names: []string{"333333333333/us-west-2/68ef039a9228ea6422e23f2e99ea935d"}, account: "333333333333", region: "us-west-2",
		principal: "user dana", updated: "2026-11-12T22:40:00Z",
		offers:       []string{"quarantine_user arn:aws:iam::333333333333:user/dana"},
		facts:        map[string]string{"Source IP": "198.51.100.201 (Example Hosting AS64496; Curitiba, Brazil)", "API call": "ConsoleLogin", "Recent calls": "ConsoleLogin ×2"},
		link:         "https://us-west-2.console.aws.amazon.com/guardduty/home?region=us-west-2#",
		subject:      trail.Subject{By: "Username", Value: "dana"},
		confirmation: source.Confirmation{Kind: source.ConfirmFinding, Account: "333333333333", Region: "us-west-2", Detector: "0ca4683e3fd55ec3d23e0728069d424d", ID: "68ef039a9228ea6422e23f2e99ea935d"},
	},
	"guardduty_iam_privesc-role-session.json": {
		source: GuardDuty, typ: "PrivilegeEscalation:IAMUser/AnomalousBehavior", severity: 5,
		title: "User AssumedRole : deploy-admin is anomalously",
		names: []string{"222222222222/us-east-1/ffc647629b22dc0bd803b1ec77521faf"}, account: "222222222222", region: "us-east-1",
		principal: "role deploy-admin, session jenkins-4711, key ASIADEPLOYAD4EXAMPLE", updated: "2026-11-12T03:14:20Z",
		offers:       []string{"revoke_sessions arn:aws:iam::222222222222:role/deploy-admin", "detach_policies arn:aws:iam::222222222222:role/deploy-admin"},
		facts:        map[string]string{"API call": "AttachRolePolicy of iam.amazonaws.com", "Affected": "arn:aws:iam::222222222222:role/data-lake-reader"},
		link:         "fId=ffc647629b22dc0bd803b1ec77521faf",
		subject:      trail.Subject{By: "AccessKeyId", Value: "ASIADEPLOYAD4EXAMPLE"},
		confirmation: confirmation("222222222222", "us-east-1", "ffc647629b22dc0bd803b1ec77521faf"),
	},
	"guardduty_iam_root.json": {
		source: GuardDuty, typ: "Policy:IAMUser/RootCredentialUsage", severity: 2,
		title: "API GetAccountSummary was invoked using root credentials.",
		names: []string{"222222222222/us-east-1/0a3c9fb69bf06f4010a963bf880307d5"}, account: "222222222222", region: "us-east-1",
		principal: "root user, key ASIAROOTCONS2EXAMPLE", updated: "2026-11-12T03:14:20Z",
		offers:       []string{"deny_principal arn:aws:iam::222222222222:root", "apply_scp 222222222222"},
		byHand:       []string{"delete its keys, password and MFA devices"},
		link:         "fId=0a3c9fb69bf06f4010a963bf880307d5",
		subject:      trail.Subject{By: "AccessKeyId", Value: "ASIAROOTCONS2EXAMPLE"},
		confirmation: confirmation("222222222222", "us-east-1", "0a3c9fb69bf06f4010a963bf880307d5"),
	},
	"guardduty_iam_federated-user.json": {
		source: GuardDuty, typ: "Discovery:IAMUser/AnomalousBehavior", severity: 2,
		title: "User FederatedUser : ci-temp is anomalously",
		names: []string{"222222222222/us-east-1/5afd516164a7e7ce2039997bdd69d0fe"}, account: "222222222222", region: "us-east-1",
		principal: "federated session ci-temp, key ASIAFEDUSERA3EXAMPLE", updated: "2026-11-12T03:14:20Z",
		byHand:       []string{"the IAM user that called GetFederationToken"},
		facts:        map[string]string{"Error": "AccessDenied"},
		link:         "fId=5afd516164a7e7ce2039997bdd69d0fe",
		subject:      trail.Subject{By: "AccessKeyId", Value: "ASIAFEDUSERA3EXAMPLE"},
		confirmation: confirmation("222222222222", "us-east-1", "5afd516164a7e7ce2039997bdd69d0fe"),
	},
	"guardduty_iam_archived.json": {ignored: true},
	"guardduty_iam_sample.json": {
		source: GuardDuty, mark: Sample, typ: "UnauthorizedAccess:IAMUser/TorIPCaller", severity: 5, count: 2,
		title: "API GeneratedFindingAPIName was invoked from a Tor exit node.",
		names: []string{"222222222222/us-east-1/b505b8b00b14e3b268965049d3c34a3f"}, account: "222222222222", region: "us-east-1",
		principal: "user GeneratedFindingUserName, key GeneratedFindingAccessKeyId", updated: "2026-11-12T03:14:20Z",
		byHand:       []string{"A sample finding"},
		facts:        map[string]string{"Source IP": "198.51.100.0 (GeneratedFindingORG, GeneratedFindingASNOrg; GeneratedFindingCityName, United States)"},
		link:         "fId=b505b8b00b14e3b268965049d3c34a3f",
		confirmation: confirmation("222222222222", "us-east-1", "b505b8b00b14e3b268965049d3c34a3f"),
	},
	"guardduty_iam_govcloud.json": {
		source: GuardDuty, typ: "CredentialAccess:IAMUser/AnomalousBehavior", severity: 5,
		title: "User AssumedRole : gov-etl is anomalously",
		names: []string{"333333333333/us-gov-west-1/bdbdaacc3eb25788ac739a321a177a32"}, partition: "aws-us-gov", account: "333333333333", region: "us-gov-west-1",
		principal: "role gov-etl, session glue-job, key ASIAGOVETLRL2EXAMPLE", updated: "2026-11-12T03:14:20Z",
		byHand: []string{"There: revoke_sessions arn:aws-us-gov:iam::333333333333:role/gov-etl"},
		link:   "https://console.amazonaws-us-gov.com/guardduty/home?region=us-gov-west-1#/findings?macros=current&fId=bdbdaacc3eb25788ac739a321a177a32",
	},
	"guardduty_ec2_bitcoin-dns.json": {
		source: GuardDuty, typ: "CryptoCurrency:EC2/BitcoinTool.B!DNS", severity: 8, count: 37,
		title: "Bitcoin-related domain name queried by EC2 instance i-0d3e1a5b7c9f20007.",
		names: []string{"222222222222/us-east-1/e8e62cf67262a66badc47778eed2baab"}, account: "222222222222", region: "us-east-1",
		resource: "instance i-0d3e1a5b7c9f20007 (crawler-7)", updated: "2026-11-12T03:14:20Z",
		offers:       []string{"isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20007", "revoke_sessions arn:aws:iam::222222222222:role/crawler-profile"},
		facts:        map[string]string{"Domain": "pool.miner.example, UDP, not blocked", "Threats": "CryptoMining", "Threat list": "Amazon", "Instance profile": "app/crawler-profile"},
		link:         "fId=e8e62cf67262a66badc47778eed2baab",
		confirmation: confirmation("222222222222", "us-east-1", "e8e62cf67262a66badc47778eed2baab"),
	},
	"guardduty_ec2_backdoor-no-role.json": {
		source: GuardDuty, typ: "Backdoor:EC2/C&CActivity.B!DNS", severity: 8,
		title: "Command and Control server domain name queried by EC2 instance i-0d3e1a5b7c9f20008.",
		names: []string{"333333333333/eu-west-1/6c517b9423318e420f8f44a40add3c72"}, account: "333333333333", region: "eu-west-1",
		resource: "instance i-0d3e1a5b7c9f20008", updated: "2026-11-12T03:14:20Z",
		offers:       []string{"isolate_instance arn:aws:ec2:eu-west-1:333333333333:instance/i-0d3e1a5b7c9f20008"},
		facts:        map[string]string{"Domain": "c2.example"},
		link:         "fId=6c517b9423318e420f8f44a40add3c72",
		confirmation: source.Confirmation{Kind: source.ConfirmFinding, Account: "333333333333", Region: "eu-west-1", Detector: "0ca4683e3fd55ec3d23e0728069d424d", ID: "6c517b9423318e420f8f44a40add3c72"},
	},
	"guardduty_ec2_minimal.json": {
		source: GuardDuty, typ: "Impact:EC2/PortSweep", severity: 8,
		title: "Port Sweep (Impact, EC2)",
		names: []string{"222222222222/us-east-1/2c40561c0fd9c62e4f56d482f3a81922"}, account: "222222222222", region: "us-east-1",
		updated: "2026-11-12T12:00:00Z",
		byHand:  []string{"names no instance"},
		link:    "fId=2c40561c0fd9c62e4f56d482f3a81922",
	},
	"guardduty_ec2_pascalcase-negative.json": {malformed: "detail.accountId is missing"},
	"guardduty_attacksequence_iam-user.json": {
		source: GuardDuty, typ: "AttackSequence:IAM/CompromisedCredentials", severity: 9,
		title: "Potential credential compromise of IAMUser/report-bot",
		names: []string{"222222222222/us-east-1/edfc5321dbc1d783e60e4469f8d239f4", "key/AKIAREPORTBT2EXAMPLE"}, account: "222222222222", region: "us-east-1",
		principal: "user report-bot, key AKIAREPORTBT2EXAMPLE", updated: "2026-11-12T05:00:00Z",
		offers: []string{"deactivate_key AKIAREPORTBT2EXAMPLE account=222222222222", "quarantine_user arn:aws:iam::222222222222:user/report-bot"},
		facts: map[string]string{
			"From":           "192.0.2.200 (EXAMPLE-TOR AS64499; Zurich, Switzerland)",
			"Signals":        "iam:CreateRole ×1, cloudtrail:DeleteTrail ×1, UnauthorizedAccess:IAMUser/TorIPCaller ×3",
			"Attack tactics": "Persistence, Defense Evasion",
			"High risk api":  "cloudtrail:DeleteTrail, iam:CreateRole",
		},
		link:         "fId=edfc5321dbc1d783e60e4469f8d239f4",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIAREPORTBT2EXAMPLE"},
		confirmation: confirmation("222222222222", "us-east-1", "edfc5321dbc1d783e60e4469f8d239f4"),
	},
	"guardduty_eks_runtime-node.json": {
		source: GuardDuty, typ: "CryptoCurrency:Runtime/BitcoinTool.B", severity: 8,
		names: []string{"222222222222/eu-west-1/79d818ea04b695efff5ffda58f11012a"}, account: "222222222222", region: "eu-west-1",
		resource: "instance i-0d3e1a5b7c9f20061 (shop-nodes), EKS cluster shop-eks, container checkout", updated: "2026-11-12T03:14:20Z",
		offers:       []string{"isolate_instance arn:aws:ec2:eu-west-1:222222222222:instance/i-0d3e1a5b7c9f20061"},
		byHand:       []string{"stop the task or the pod"},
		facts:        map[string]string{"Workload": "pods shop/checkout-5c9f7, service account checkout", "Container": "checkout (image 222222222222.dkr.ecr.eu-west-1.amazonaws.com/checkout:4.2)", "Process": "/tmp/.x/kdevtmpfsi"},
		link:         "fId=79d818ea04b695efff5ffda58f11012a",
		confirmation: confirmation("222222222222", "eu-west-1", "79d818ea04b695efff5ffda58f11012a"),
	},
	"guardduty_ecs_runtime-node.json": {
		source: GuardDuty, typ: "Execution:Runtime/ReverseShell", severity: 8,
		names: []string{"222222222222/eu-west-1/a80085f1eebfebff6f86142d078eb684"}, account: "222222222222", region: "eu-west-1",
		resource: "instance i-0d3e1a5b7c9f20062 (batch-hosts), ECS cluster batch", updated: "2026-11-12T03:14:20Z",
		offers:       []string{"isolate_instance arn:aws:ec2:eu-west-1:222222222222:instance/i-0d3e1a5b7c9f20062"},
		byHand:       []string{"stop the task or the pod"},
		facts:        map[string]string{"Task": "task/batch/0f0e0d0c0b0a09080706050403020100, group service:report, EC2", "Container": "report (image report:7)"},
		link:         "fId=a80085f1eebfebff6f86142d078eb684",
		confirmation: confirmation("222222222222", "eu-west-1", "a80085f1eebfebff6f86142d078eb684"),
	},
	"guardduty_attacksequence_ecs-key-resource.json": {
		source: GuardDuty, typ: "AttackSequence:ECS/CompromisedCluster", severity: 9,
		names: []string{"222222222222/eu-west-1/c96881ad68b539c0e40316fda56a0c1d"}, account: "222222222222", region: "eu-west-1",
		principal: "role report-task, session 0f0e0d0c0b0a09080706050403020100, key ASIAREPORTTSK2EXAMPLE", updated: "2026-11-12T03:14:20Z",
		resource: "Ecs cluster batch, Ecs task 0f0e0d0c0b0a09080706050403020100, Container report (image report:7), Ec2 instance i-0d3e1a5b7c9f20062",
		offers: []string{
			"isolate_instance arn:aws:ec2:eu-west-1:222222222222:instance/i-0d3e1a5b7c9f20062",
			"revoke_sessions arn:aws:iam::222222222222:role/report-task", "detach_policies arn:aws:iam::222222222222:role/report-task",
		},
		byHand:       []string{"stop the task or the pod"},
		link:         "fId=c96881ad68b539c0e40316fda56a0c1d",
		subject:      trail.Subject{By: "AccessKeyId", Value: "ASIAREPORTTSK2EXAMPLE"},
		confirmation: confirmation("222222222222", "eu-west-1", "c96881ad68b539c0e40316fda56a0c1d"),
	},
	"guardduty_lambda_role.json": {
		source: GuardDuty, typ: "UnauthorizedAccess:Lambda/TorClient", severity: 8,
		names: []string{"222222222222/eu-west-1/4e68c687294c1e4f6242ef559b27e5d1"}, account: "222222222222", region: "eu-west-1",
		resource: "Lambda function thumbs", updated: "2026-11-12T03:14:20Z",
		offers:       []string{"revoke_sessions arn:aws:iam::222222222222:role/service-role/thumbs-role-1a2b", "detach_policies arn:aws:iam::222222222222:role/service-role/thumbs-role-1a2b"},
		byHand:       []string{"reserved concurrency"},
		facts:        map[string]string{"Execution role": "service-role/thumbs-role-1a2b"},
		link:         "fId=4e68c687294c1e4f6242ef559b27e5d1",
		confirmation: confirmation("222222222222", "eu-west-1", "4e68c687294c1e4f6242ef559b27e5d1"),
	},
	"guardduty_s3_malicious-object.json": {
		source: GuardDuty, typ: "Object:S3/MaliciousFile", severity: 8,
		names: []string{"222222222222/eu-west-1/9dca3e69ae75f8b5b0fe4cdf4d506127"}, account: "222222222222", region: "eu-west-1",
		resource: "bucket acme-inbox, object mail/offer.docm", updated: "2026-11-12T03:14:20Z",
		byHand:       []string{"No action contains an object"},
		facts:        map[string]string{"Threats": "EICAR-Test-File", "Object": "hash 1d1d"},
		link:         "fId=9dca3e69ae75f8b5b0fe4cdf4d506127",
		confirmation: confirmation("222222222222", "eu-west-1", "9dca3e69ae75f8b5b0fe4cdf4d506127"),
	},
	"guardduty_ec2_malicious-image.json": {
		source: GuardDuty, typ: "Execution:EC2/MaliciousFile!AMI", severity: 8,
		names: []string{"222222222222/eu-west-1/52a6d70671b98636963041f6d40d9ef9"}, account: "222222222222", region: "eu-west-1",
		resource: "image arn:aws:ec2:eu-west-1::image/ami-0a1b2c3d4e5f60019", updated: "2026-11-12T03:14:20Z",
		byHand:       []string{"No action fits"},
		facts:        map[string]string{"Threats": "Linux.CoinMiner"},
		link:         "fId=52a6d70671b98636963041f6d40d9ef9",
		confirmation: confirmation("222222222222", "eu-west-1", "52a6d70671b98636963041f6d40d9ef9"),
	},
	"guardduty_rds_limitless.json": {
		source: GuardDuty, typ: "CredentialAccess:RDS/AnomalousBehavior.SuccessfulLogin", severity: 8,
		names: []string{"222222222222/eu-west-1/b95168ae49c6f8f47c56a85f94fbdcd9"}, account: "222222222222", region: "eu-west-1",
		principal: "database user ledger_app", resource: "database shard group ledger-shards", updated: "2026-11-12T03:14:20Z",
		byHand:       []string{"No action contains a database"},
		facts:        map[string]string{"Database": "database ledger"},
		link:         "fId=b95168ae49c6f8f47c56a85f94fbdcd9",
		confirmation: confirmation("222222222222", "eu-west-1", "b95168ae49c6f8f47c56a85f94fbdcd9"),
	},
	"guardduty_eks_anonymous.json": {
		source: GuardDuty, typ: "Persistence:Kubernetes/SuccessfulAnonymousAccess", severity: 8,
		title: "Kubernetes API commonly used in Persistence tactics invoked by the anonymous user.",
		names: []string{"222222222222/eu-central-1/667b192f1079a9ea10ddd4a7f24999dc"}, account: "222222222222", region: "eu-central-1",
		principal: "Kubernetes user system:anonymous", resource: "EKS cluster shop-eks", updated: "2026-11-12T03:14:20Z",
		byHand:       []string{"No action contains a Kubernetes cluster"},
		facts:        map[string]string{"Source IP": "203.0.113.31", "User agent": "curl/8.9.1", "Kubernetes call": "create /api/v1/namespaces/default/secrets → 201"},
		link:         "fId=667b192f1079a9ea10ddd4a7f24999dc",
		confirmation: confirmation("222222222222", "eu-central-1", "667b192f1079a9ea10ddd4a7f24999dc"),
	},
	"guardduty_rds_failedlogin.json": {
		source: GuardDuty, typ: "CredentialAccess:RDS/MaliciousIPCaller.FailedLogin", severity: 5,
		title: "Failed login attempts by a known malicious IP address",
		names: []string{"222222222222/us-east-1/15191c50236cceb541bb9e2ae99f5908"}, account: "222222222222", region: "us-east-1",
		principal: "database user root", resource: "database shop-1", updated: "2026-11-12T03:14:20Z",
		byHand:       []string{"No action contains a database"},
		facts:        map[string]string{"Source IP": "192.0.2.150", "Database": "database shop"},
		link:         "fId=15191c50236cceb541bb9e2ae99f5908",
		confirmation: confirmation("222222222222", "us-east-1", "15191c50236cceb541bb9e2ae99f5908"),
	},
	"hostile_text_slack-controls.json": {
		source: GuardDuty, typ: "UnauthorizedAccess:EC2/MaliciousIPCaller.Custom", severity: 5,
		title: "Title <!channel>",
		names: []string{"222222222222/us-east-1/78a1a86e390369741800d06a3d4c7de6"}, account: "222222222222", region: "us-east-1",
		resource: "instance i-0d3e1a5b7c9f20050 (<!channel> <!here> <!everyone> <!subteam^S0RESPONDERS|ir> <@U01ALICE> <#C01INC|general> " +
			"<https://evil.example/approve|Approve> *b* _i_ ~s~ `code` ```block``` :rotating_l…",
		updated:      "2026-11-12T03:14:20Z",
		offers:       []string{"isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20050", "revoke_sessions arn:aws:iam::222222222222:role/kiosk"},
		facts:        map[string]string{"Connection": "outbound TCP, port here 51515, there 443 (HTTPS), not blocked", "Threat list": "<!channel>|*list*"},
		link:         "fId=78a1a86e390369741800d06a3d4c7de6",
		confirmation: confirmation("222222222222", "us-east-1", "78a1a86e390369741800d06a3d4c7de6"),
	},
	"hostile_types_numbers-as-strings.json": {
		source: GuardDuty, typ: "Impact:IAMUser/AnomalousBehavior", severity: 8, count: 12,
		title: "User IAMUser : strnum is anomalously",
		names: []string{"222222222222/us-east-1/a90d5706b2f302fe30422c032fe0d0cb", "key/AKIASTRNUMAA2EXAMPLE"}, account: "222222222222", region: "us-east-1",
		principal: "user strnum, key AKIASTRNUMAA2EXAMPLE", updated: "2026-11-12T03:14:20Z",
		offers:       []string{"deactivate_key AKIASTRNUMAA2EXAMPLE account=222222222222", "quarantine_user arn:aws:iam::222222222222:user/strnum"},
		facts:        map[string]string{"Source IP": "192.0.2.88 (Example Hosting AS64496; Amsterdam, Netherlands)"},
		link:         "fId=a90d5706b2f302fe30422c032fe0d0cb",
		subject:      trail.Subject{By: "AccessKeyId", Value: "AKIASTRNUMAA2EXAMPLE"},
		confirmation: confirmation("222222222222", "us-east-1", "a90d5706b2f302fe30422c032fe0d0cb"),
	},

	// Names, offers and confirmations are those of GuardDuty's own events above.
	"securityhub_asff_control.json": {ignored: true},
	"securityhub_ocsf_check.json":   {ignored: true},
	"securityhub_asff_bare-namespace.json": {
		source: SecurityHub, names: []string{"222222222222/us-east-1/securityhub/canary/ff5c8641-fc7d-57a1-8d99-e15308e88ca1"}, typ: "TTPs",
		title: "A canary access key was used.", severity: 7, account: "222222222222", region: "us-east-1",
		principal: "user canary-7", updated: "2026-11-14T06:01:00Z",
		offers:  []string{"quarantine_user arn:aws:iam::222222222222:user/canary-7"},
		facts:   map[string]string{"Found by": "Canary, Acme", "API call": "GetCallerIdentity of sts.amazonaws.com"},
		link:    "/securityhub/home",
		subject: trail.Subject{By: "Username", Value: "canary-7"},
	},
	"securityhub_asff_guardduty-user-name.json": {
		source: SecurityHub, names: []string{"222222222222/us-east-1/e1f0aa55c9e44b0d8a71d9e2b3c4f506"}, typ: "UnauthorizedAccess:IAMUser/ConsoleLogin",
		title: "Unusual console login by wendy.", severity: 5, count: 3, account: "222222222222", region: "us-east-1",
		principal: "user wendy", updated: "2026-11-14T06:01:00Z",
		offers:  []string{"quarantine_user arn:aws:iam::222222222222:user/wendy"},
		facts:   map[string]string{"Source IP": "203.0.113.90 (Norway)", "API call": "ConsoleLogin of signin.amazonaws.com"},
		link:    "fId=e1f0aa55c9e44b0d8a71d9e2b3c4f506",
		subject: trail.Subject{By: "Username", Value: "wendy"},
	},
	"securityhub_ocsf_key-in-data.json": {
		source: SecurityHub, names: []string{"222222222222/us-east-1/f2e1bb66dae55c1e9b82eaf3c4d50617", "key/AKIARELEASEB2EXAMPLE"}, typ: "UnauthorizedAccess:IAMUser/TorIPCaller",
		title: "Credentials of release-bot were used from a Tor exit node.", severity: 8, account: "222222222222", region: "us-east-1",
		principal: "user release-bot, key AKIARELEASEB2EXAMPLE", updated: "2026-11-14T06:01:00Z",
		offers:  []string{"deactivate_key AKIARELEASEB2EXAMPLE account=222222222222", "quarantine_user arn:aws:iam::222222222222:user/release-bot"},
		facts:   map[string]string{"Source IP": "192.0.2.200", "API call": "ListBuckets"},
		link:    "fId=f2e1bb66dae55c1e9b82eaf3c4d50617",
		subject: trail.Subject{By: "AccessKeyId", Value: "AKIARELEASEB2EXAMPLE"},
	},
	"securityhub_asff_guardduty-iam.json": {
		source: SecurityHub, typ: "Persistence:IAMUser/AnomalousBehavior", severity: 5,
		title: "User IAMUser : ci-build is anomalously invoking APIs commonly used in Persistence tactics.",
		names: []string{"222222222222/us-east-1/65a43b58880d17fd4fa2e2766537c0fe", "key/AKIACIBUILDA2EXAMPLE"}, account: "222222222222", region: "us-east-1",
		principal: "user ci-build, key AKIACIBUILDA2EXAMPLE", updated: "2026-11-12T03:14:20Z",
		offers:  []string{"deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222", "quarantine_user arn:aws:iam::222222222222:user/ci-build"},
		facts:   map[string]string{"Source IP": "192.0.2.61", "API call": "CreateAccessKey"},
		link:    "fId=65a43b58880d17fd4fa2e2766537c0fe",
		subject: trail.Subject{By: "AccessKeyId", Value: "AKIACIBUILDA2EXAMPLE"},
	},
	"securityhub_ocsf_guardduty-ec2.json": {
		source: SecurityHub, typ: "CryptoCurrency:EC2/BitcoinTool.B!DNS", severity: 8,
		title: "Bitcoin-related domain name queried by EC2 instance i-0d3e1a5b7c9f20007.",
		names: []string{"222222222222/us-east-1/e8e62cf67262a66badc47778eed2baab"}, account: "222222222222", region: "us-east-1",
		resource: "instance i-0d3e1a5b7c9f20007 (crawler-7)", updated: "2026-11-12T03:14:20Z",
		offers: []string{"isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20007"},
		facts:  map[string]string{"Domain": "pool.miner.example"},
		link:   "fId=e8e62cf67262a66badc47778eed2baab",
	},
}

// exfilOutside is a finding, exfilOutsideUpdate the same one six hours later.
var exfilOutside = want{
	source: GuardDuty, typ: "UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS", severity: 8,
	title: "Credentials for the EC2 instance role web-tier-role were used from an external IP address.",
	names: []string{"222222222222/us-east-1/f57a99a0add069bf27c347e38c934148"}, account: "222222222222", region: "us-east-1",
	principal: "role web-tier-role, session i-0d3e1a5b7c9f20001, key ASIAWEBROLEA2EXAMPLE", resource: "instance i-0d3e1a5b7c9f20001 (web-1)",
	updated: "2026-11-12T03:14:20Z",
	offers: []string{
		"revoke_sessions arn:aws:iam::222222222222:role/web-tier-role",
		"isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20001",
		"+detach_policies arn:aws:iam::222222222222:role/web-tier-role",
	},
	facts: map[string]string{
		"Source IP":    "203.0.113.77 (Example Hosting AS64496; Amsterdam, Netherlands)",
		"API call":     "ListBuckets of s3.amazonaws.com",
		"User agent":   "aws-cli/2.31.8",
		"Recent calls": "ListBuckets ×4, GetCallerIdentity ×2",
	},
	link:         "fId=f57a99a0add069bf27c347e38c934148",
	subject:      trail.Subject{By: "AccessKeyId", Value: "ASIAWEBROLEA2EXAMPLE"},
	confirmation: confirmation("222222222222", "us-east-1", "f57a99a0add069bf27c347e38c934148"),
}

var exfilOutsideUpdate = func() want {
	w := exfilOutside
	w.count, w.updated = 9, "2026-11-12T09:31:44Z"
	w.facts = map[string]string{"API call": "ListSecrets of secretsmanager.amazonaws.com", "Recent calls": "ListSecrets ×3"}
	return w
}()

func confirmation(account, region, id string) source.Confirmation {
	return source.Confirmation{Kind: source.ConfirmFinding, Account: account, Region: region, Detector: "121afe7ce30de38d5a3a62f0a02dfd75", ID: id}
}

// twoKeys is the sample of an event about several keys.
func twoKeys(first, second string) want {
	one := func(key string) want {
		return want{
			source: Health, names: []string{"333333333333/key/" + key, "key/" + key}, typ: "AWS_RISK_CREDENTIALS_EXPOSED",
			title: "Access key " + key + " was found in public", severity: 8, account: "333333333333", region: "us-east-1",
			resource: "access key " + key, updated: "2026-11-15T00:37:55Z",
			offers:  []string{"deactivate_key " + key + " account=333333333333 quarantine=yes"},
			link:    "https://health.aws.amazon.com/health/home#/account/event-log?eventTab=details&eventID=arn%3Aaws%3Ahealth%3Aglobal",
			subject: trail.Subject{By: "AccessKeyId", Value: key}, exposed: true,
			confirmation: source.Confirmation{Kind: source.ConfirmKey, Account: "333333333333", ID: key},
		}
	}
	w := one(first)
	w.and = []want{one(second)}
	return w
}

func TestSamples(t *testing.T) {
	files, err := filepath.Glob("testdata/events/*")
	if err != nil || len(files) != len(samples) {
		t.Fatalf("%d events and %d expectations, %v", len(files), len(samples), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			w, ok := samples[filepath.Base(file)]
			if !ok {
				t.Fatal("no expectation")
			}
			alerts, err := Reader{Org: org}.Read(Event{Body: event(t, filepath.Base(file))})
			w.check(t, alerts, err)
		})
	}
}

// event reads a sample.
func event(t testing.TB, name string) []byte {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata/events", name))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func (w want) check(t *testing.T, alerts []Finding, err error) {
	t.Helper()
	switch m, bad := errors.AsType[*Malformed](err); {
	case w.malformed != "":
		if len(alerts) != 0 || !bad || !strings.Contains(m.Cause, w.malformed) {
			t.Errorf("%d alerts, %v; want malformed: %s", len(alerts), err, w.malformed)
		}
		return
	case w.ignored:
		if len(alerts) != 0 || !errors.Is(err, ErrIgnored) {
			t.Errorf("%d alerts, %v; want ignored", len(alerts), err)
		}
		return
	case err != nil || len(alerts) != 1+len(w.and):
		t.Fatalf("%d alerts, %v", len(alerts), err)
	}
	w.compare(t, alerts[0])
	for i, other := range w.and {
		other.compare(t, alerts[i+1])
	}
}

func (w want) compare(t *testing.T, a Finding) {
	t.Helper()
	got := want{
		source: a.Source, mark: a.Mark, names: a.Names, typ: a.Type, severity: a.Severity, quiet: a.Quiet, change: a.Change, ownRole: a.OwnRole, over: a.Over,
		partition: a.Partition, account: a.Account, region: a.Region, principal: a.Principal, resource: a.Resource,
		count: a.Count, updated: a.Updated.Format("2006-01-02T15:04:05Z07:00"), subject: a.Subject, exposed: a.Exposed, confirmation: a.Confirmation,
	}
	for _, o := range a.Containments {
		call := o.Call.String()
		if o.Extra {
			call = "+" + call
		}
		got.offers = append(got.offers, call)
	}
	expected := w
	expected.title, expected.byHand, expected.facts, expected.link = "", nil, nil, ""
	expected.and = nil
	expected.count = max(w.count, 1)
	if w.partition == "" {
		expected.partition = "aws"
	}
	if d := cmp.Diff(expected, got, cmp.AllowUnexported(want{}), cmpopts.EquateEmpty()); d != "" {
		t.Error("-want +got\n" + d)
	}
	if !strings.HasPrefix(a.Title, w.title) || a.Title == "" {
		t.Errorf("title %q, want %q…", a.Title, w.title)
	}
	if !strings.Contains(a.Link, w.link) || (a.Link == "") != (w.link == "") {
		t.Errorf("link %q, want …%q…", a.Link, w.link)
	}
	if len(w.byHand) == 0 && len(a.ByHand) != 0 {
		t.Errorf("by hand: %q, want none", a.ByHand)
	}
	for _, text := range w.byHand {
		if !slices.ContainsFunc(a.ByHand, func(line string) bool { return strings.Contains(line, text) }) {
			t.Errorf("by hand: %q lack %q", a.ByHand, text)
		}
	}
	w.has(t, a)
}

// has checks facts.
func (w want) has(t *testing.T, a Finding) {
	t.Helper()
	for label, text := range w.facts {
		if !slices.ContainsFunc(a.Facts, func(f Fact) bool { return f.Label == label && strings.Contains(f.Text, text) }) {
			t.Errorf("facts %q lack %s: %s", a.Facts, label, text)
		}
	}
}
