package finding

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

const (
	ctUser   = "cloudtrail_createaccesskey_other-user.json" // by oscar
	ctRole   = "cloudtrail_attachuserpolicy_assumed-role.json"
	ctRoot   = "cloudtrail_addusertogroup_root.json"
	ctDenied = "cloudtrail_createaccesskey_denied.json"
	ctOwn    = "cloudtrail_putrolepolicy_own-responder.json"

	request  = "detail.requestParameters"
	response = "detail.responseElements"
	issuer   = "detail.userIdentity.sessionContext.sessionIssuer"
)

func TestCloudTrailIgnores(t *testing.T) {
	for _, test := range []struct {
		name    string
		sample  string
		edit    map[string]any
		ignored bool
	}{
		{"our responder", ctOwn, nil, false},
		{"our responder, which reads", ctOwn, map[string]any{"detail.readOnly": true, "detail.eventName": "ListRolePolicies"}, true},
		{"our responder, which reads elsewhere", ctOwn, map[string]any{"detail.readOnly": true, "detail.eventSource": "ec2.amazonaws.com", "detail.eventName": "DescribeInstances"}, true},
		{"our responder, on a path", ctOwn, map[string]any{issuer + ".arn": "arn:aws:iam::222222222222:role/security/tools/killswitch-responder"}, false},
		{"our responder, in another spelling", ctOwn, map[string]any{issuer + ".arn": "arn:aws:iam::222222222222:role/Killswitch-Responder"}, false},
		{"our restorer", ctOwn, map[string]any{issuer + ".arn": "arn:aws:iam::222222222222:role/killswitch-restorer"}, false},
		{"our forwarder, which calls nothing of IAM", ctOwn, map[string]any{issuer + ".arn": "arn:aws:iam::222222222222:role/killswitch-forwarder"}, false},
		{"our responder, in another account", ctOwn, map[string]any{issuer + ".arn": "arn:aws:iam::333333333333:role/killswitch-responder", "detail.recipientAccountId": "333333333333"}, false},
		{"our responder, denied", ctOwn, map[string]any{"detail.errorCode": "AccessDenied"}, false},
		{"a role of that name in an account that is not the event's", ctOwn, map[string]any{issuer + ".arn": "arn:aws:iam::444444444444:role/killswitch-responder"}, false},
		{"a role whose path is named so", ctOwn, map[string]any{issuer + ".arn": "arn:aws:iam::222222222222:role/killswitch-responder/mallory"}, false},
		{"a role whose name begins so", ctOwn, map[string]any{issuer + ".arn": "arn:aws:iam::222222222222:role/killswitch-responder2"}, false},
		{"a user of that name", ctUser, map[string]any{"detail.userIdentity.userName": "killswitch-responder", "detail.userIdentity.arn": "arn:aws:iam::222222222222:user/killswitch-responder"}, false},
		{"a session of that name", ctRole, map[string]any{"detail.userIdentity.principalId": "AROACIDEPLOYEREXAMPLE:killswitch-responder"}, false},
		{"a name without an ARN", ctOwn, map[string]any{issuer + ".arn": nil}, false},

		{"it only reads", ctUser, map[string]any{"detail.readOnly": true}, true},
		{"it only reads, as a text", ctUser, map[string]any{"detail.readOnly": "true"}, true},
		{"not said whether it only reads", ctUser, map[string]any{"detail.readOnly": nil}, false},
		{"another service", ctUser, map[string]any{"detail.eventSource": "sts.amazonaws.com"}, true},
		{"another detail type", ctUser, map[string]any{"detail-type": "AWS Console Sign In via CloudTrail"}, true},
		{"another source", ctUser, map[string]any{"source": "acme.iam"}, true},

		{"an own password", ctUser, map[string]any{"detail.eventName": "ChangePassword", request: nil}, true},
		{"an own MFA device", ctUser, map[string]any{"detail.eventName": "EnableMFADevice", request: map[string]any{"userName": "Oscar", "serialNumber": "arn:aws:iam::222222222222:mfa/oscar"}}, true},
		{"a virtual MFA device", ctUser, map[string]any{"detail.eventName": "CreateVirtualMFADevice", request: map[string]any{"virtualMFADeviceName": "oscar"}}, true},
		{"an own MFA device, set anew", ctUser, map[string]any{"detail.eventName": "ResyncMFADevice", request: map[string]any{"userName": "oscar"}}, true},
		{"an own password, denied", ctUser, map[string]any{"detail.eventName": "ChangePassword", request: nil, "detail.errorCode": "AccessDenied"}, true},
		{"somebody else's MFA device", ctUser, map[string]any{"detail.eventName": "EnableMFADevice", request: map[string]any{"userName": "payroll-bot"}}, false},
		{"an own MFA device, taken away", ctUser, map[string]any{"detail.eventName": "DeactivateMFADevice", request: map[string]any{"userName": "oscar"}}, false},
		{"an own access key", ctUser, map[string]any{request: nil}, false},
		{"an own SSH key", ctUser, map[string]any{"detail.eventName": "UploadSSHPublicKey", request: map[string]any{"userName": "oscar"}}, false},
		{"root's own MFA device", ctRoot, map[string]any{"detail.eventName": "EnableMFADevice", request: nil}, false},
		{"a role that has a user's name", ctRole, map[string]any{issuer + ".userName": "ops-helper", issuer + ".arn": "arn:aws:iam::222222222222:role/ops-helper", "detail.eventName": "EnableMFADevice"}, false},

		{"a service", ctUser, map[string]any{"detail.userIdentity": map[string]any{"type": "AWSService", "invokedBy": "autoscaling.amazonaws.com"}}, true},
		{"a user through a service", ctUser, map[string]any{"detail.userIdentity.invokedBy": "cloudformation.amazonaws.com"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			alerts, err := Reader{Org: org}.Read(edited(t, test.sample, test.edit))
			if ignored := errors.Is(err, ErrIgnored); ignored != test.ignored || len(alerts) == 0 != test.ignored {
				t.Errorf("%d alerts, %v", len(alerts), err)
			}
		})
	}
}

func TestCloudTrailMalformed(t *testing.T) {
	for _, test := range []struct {
		name  string
		edit  map[string]any
		cause string
	}{
		{"no service", map[string]any{"detail.eventSource": nil}, "eventSource is missing"},
		{"a service of a wrong type", map[string]any{"detail.eventSource": []string{"iam.amazonaws.com"}}, "eventSource is not a text"},
		{"no call", map[string]any{"detail.eventName": ""}, "eventName is missing"},
		{"the call in another case", map[string]any{"detail.eventName": nil, "detail.EventName": "CreateUser"}, "eventName is missing"},
		{"no ID", map[string]any{"detail.eventID": nil}, "eventID is missing"},
		{"an ID that is none", map[string]any{"detail.eventID": "../\u202e"}, "is not an event's ID"},
		{"no time", map[string]any{"detail.eventTime": nil}, "eventTime is missing"},
		{"no region", map[string]any{"detail.awsRegion": nil}, "awsRegion is missing"},
		{"no region's name", map[string]any{"detail.awsRegion": "../../evil"}, "awsRegion is not a region"},
		{"no account's ID", map[string]any{"detail.recipientAccountId": "prod"}, "is not an account's ID"},
		{"nobody", map[string]any{"detail.userIdentity": nil}, "userIdentity is missing"},
		{"somebody of no type", map[string]any{"detail.userIdentity.type": nil}, "type is missing"},
		{"a user without a name", map[string]any{"detail.userIdentity.userName": nil, "detail.userIdentity.arn": nil}, "names no user or role"},
		{"whether it only reads, in words", map[string]any{"detail.readOnly": "yes"}, "readOnly is neither true nor false"},
		{"parameters that are a text", map[string]any{request: "userName=payroll-bot"}, "requestParameters is not an object"},
		{"parameters that are a list", map[string]any{request: []any{"payroll-bot"}}, "requestParameters is not an object"},
		{"parameters that are a number", map[string]any{request: 5}, "requestParameters is not an object"},
		{"a user of a wrong type", map[string]any{request + ".userName": []string{"payroll-bot"}}, "userName is not a text"},
		{"an answer that is a text", map[string]any{response: "created"}, "responseElements is not an object"},
		{"a key that is a text", map[string]any{response + ".accessKey": "AKIAPAYROLLN2EXAMPLE"}, "accessKey is not an object"},
		{"an error of a wrong type", map[string]any{"detail.errorCode": true}, "errorCode is not a text"},
	} {
		t.Run(test.name, func(t *testing.T) {
			alerts, err := Reader{Org: org}.Read(edited(t, ctUser, test.edit))
			want{malformed: test.cause}.check(t, alerts, err)
		})
	}
}

func TestCloudTrailOffers(t *testing.T) {
	const (
		oscar    = "quarantine_user arn:aws:iam::222222222222:user/oscar"
		oscarKey = "deactivate_key AKIAOSCARKEY2EXAMPLE account=222222222222"
		newKey   = "deactivate_key AKIAPAYROLLN2EXAMPLE account=222222222222"
		bot      = "quarantine_user arn:aws:iam::222222222222:user/payroll-bot"
		role     = "revoke_sessions arn:aws:iam::222222222222:role/ci-deployer"
	)
	const reader = "arn:aws:iam::222222222222:role/data-lake-reader"
	quarantine := func(call, policy, document string) map[string]any {
		return map[string]any{"detail.eventName": call, response: nil, request: map[string]any{"userName": "payroll-bot", map[bool]string{true: "policyArn", false: "policyName"}[document == ""]: policy, "policyDocument": document}}
	}
	with := func(edit map[string]any, key string, value any) map[string]any {
		edit[key] = value
		return edit
	}
	to := func(user string) map[string]any { return map[string]any{"userName": user} }
	emergency := map[string]any{"detail.userIdentity.userName": "emergency", "detail.userIdentity.arn": "arn:aws:iam::222222222222:user/emergency"}
	for _, test := range []struct {
		name   string
		sample string
		edit   map[string]any
		offers []string
		byHand string
	}{
		{"a key for somebody else", ctUser, nil, []string{oscar, newKey, oscarKey}, ""},
		{"a key for oneself", ctUser, map[string]any{request: nil}, []string{oscar, newKey, oscarKey}, ""},
		{"a key for oneself, who is named", ctUser, map[string]any{request: to("OSCAR")}, []string{oscar, newKey, oscarKey}, ""},
		{"a key that the event doesn't tell", ctUser, map[string]any{response: nil}, []string{oscar, bot, oscarKey}, "doesn't tell the new key"},
		{"a key that can't be one", ctUser, map[string]any{response + ".accessKey.accessKeyId": "***"}, []string{oscar, bot, oscarKey}, "doesn't tell the new key"},
		{"from the console", ctUser, map[string]any{"detail.userIdentity.accessKeyId": "ASIAOSCARCNS2EXAMPLE"}, []string{oscar, newKey}, ""},
		{"without a key", ctUser, map[string]any{"detail.userIdentity.accessKeyId": nil}, []string{oscar, newKey}, ""},
		{"by a user on a path", ctUser, map[string]any{"detail.userIdentity.arn": "arn:aws:iam::222222222222:user/staff/oscar"},
			[]string{"quarantine_user arn:aws:iam::222222222222:user/staff/oscar", newKey, oscarKey}, ""},
		{"by a user without an ARN", ctUser, map[string]any{"detail.userIdentity.arn": nil}, []string{oscar, newKey, oscarKey}, ""},
		{"by a protected user", ctUser, emergency, []string{newKey}, "protected by the configuration"},
		{"for a protected user", ctUser, map[string]any{request: to("emergency")}, []string{oscar, oscarKey}, "protected by the configuration"},
		{"in the hub", ctUser, map[string]any{"detail.recipientAccountId": "111111111111", "detail.userIdentity.arn": "arn:aws:iam::111111111111:user/oscar"}, nil, "Killswitch itself runs in"},
		{"by somebody of another account", ctUser, map[string]any{"detail.userIdentity.arn": "arn:aws:iam::444444444444:user/oscar"}, []string{newKey}, "another account, 444444444444"},
		{"a user", ctUser, map[string]any{"detail.eventName": "CreateUser", response: nil}, []string{oscar, oscarKey, bot}, ""},
		{"a password for somebody else", ctUser, map[string]any{"detail.eventName": "UpdateLoginProfile", response: nil}, []string{oscar, oscarKey, bot}, ""},
		{"an own password", ctUser, map[string]any{"detail.eventName": "UpdateLoginProfile", request: to("oscar"), response: nil}, []string{oscar, oscarKey}, ""},
		{"rights for oneself", ctUser, map[string]any{"detail.eventName": "PutUserPolicy", request: to("oscar"), response: nil}, []string{oscar, oscarKey}, ""},
		{"no user's name", ctUser, map[string]any{"detail.eventName": "CreateUser", request: to("a/b <@U1>"), response: nil}, []string{oscar, oscarKey}, "can't be one"},
		{"somebody's key inactive", ctUser, map[string]any{"detail.eventName": "UpdateAccessKey", request: map[string]any{"userName": "payroll-bot", "accessKeyId": "AKIAPAYROLLN2EXAMPLE", "status": "Inactive"}, response: nil}, []string{oscar, oscarKey}, ""},
		{"a group", ctUser, map[string]any{"detail.eventName": "AddUserToGroup", request: map[string]any{"userName": "payroll-bot", "groupName": "staff"}, response: nil}, []string{oscar, oscarKey, bot}, ""},
		{"the admin group", ctUser, map[string]any{"detail.eventName": "AddUserToGroup", request: map[string]any{"userName": "payroll-bot", "groupName": "Admins"}, response: nil}, []string{oscar, oscarKey, bot}, "takes the name typed"},
		{"the admin group, for oneself", ctUser, map[string]any{"detail.eventName": "AddUserToGroup", request: map[string]any{"userName": "oscar", "groupName": "admins"}, response: nil}, []string{oscar, oscarKey}, "takes the name typed"},
		{"the admin group, denied", ctUser, map[string]any{"detail.eventName": "AddUserToGroup", request: map[string]any{"userName": "payroll-bot", "groupName": "admins"}, response: nil, "detail.errorCode": "AccessDenied"}, []string{oscar}, ""},
		{"a key, failed with an answer", ctUser, map[string]any{"detail.errorCode": "LimitExceededException"}, []string{oscar}, ""},
		{"a role's policy", ctUser, map[string]any{"detail.eventName": "AttachRolePolicy", request: map[string]any{"roleName": "data-lake-reader", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}, response: nil}, []string{oscar, oscarKey, "?revoke_sessions " + reader, "?detach_policies " + reader}, ""},
		{"a role's policy, denied", ctUser, map[string]any{"detail.eventName": "AttachRolePolicy", request: map[string]any{"roleName": "data-lake-reader", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}, response: nil, "detail.errorCode": "AccessDenied"}, []string{oscar}, ""},
		{"the role of a permission set", ctUser, map[string]any{"detail.eventName": "PutRolePolicy", request: map[string]any{"roleName": "AWSReservedSSO_Admin_0123456789abcdef"}, response: nil}, []string{oscar, oscarKey}, ""},
		{"AWS's quarantine, by the root user", ctRoot, quarantine("AttachUserPolicy", "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV2", ""), []string{bot}, "the key still works"},
		{"AWS's quarantine, by a service", ctUser, with(quarantine("AttachUserPolicy", "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV2", ""), "detail.userIdentity", map[string]any{"type": "AWSService", "invokedBy": "x.amazonaws.com"}), []string{bot}, "the key still works"},
		{"AWS's quarantine, which failed", ctUser, with(quarantine("AttachUserPolicy", "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV2", ""), "detail.errorCode", "AccessDenied"), []string{oscar}, ""},
		{"a policy called like it", ctUser, quarantine("AttachUserPolicy", "arn:aws:iam::222222222222:policy/AWSCompromisedKeyQuarantineV2", ""), []string{oscar, oscarKey, bot}, ""},
		{"rights called like it", ctUser, quarantine("PutUserPolicy", "AWSCompromisedKeyQuarantineV2", `{"Statement":[{"Effect":"Deny"},{"Effect":"Allow"}]}`), []string{oscar, oscarKey, bot}, ""},

		{"by a role", ctRole, nil, []string{role, "quarantine_user arn:aws:iam::222222222222:user/ops-helper"}, ""},
		{"by a role, denied", ctRole, map[string]any{"detail.errorCode": "AccessDenied"}, []string{role}, ""},
		{"by a role on a path", ctRole, map[string]any{issuer + ".arn": "arn:aws:iam::222222222222:role/ci/ci-deployer"},
			[]string{"revoke_sessions arn:aws:iam::222222222222:role/ci/ci-deployer", "quarantine_user arn:aws:iam::222222222222:user/ops-helper"}, ""},
		{"by a role for the user of its name", ctRole, map[string]any{request: to("ci-deployer")}, []string{role, "quarantine_user arn:aws:iam::222222222222:user/ci-deployer"}, ""},
		{"by a protected role", ctRole, map[string]any{issuer + ".arn": "arn:aws:iam::222222222222:role/break-glass"}, []string{"quarantine_user arn:aws:iam::222222222222:user/ops-helper"}, "protected by the configuration"},
		{"by a service-linked role", ctRole, map[string]any{issuer + ".arn": "arn:aws:iam::222222222222:role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX"}, []string{"quarantine_user arn:aws:iam::222222222222:user/ops-helper"}, "service-linked role"},
		{"by a role without an ARN", ctRole, map[string]any{issuer + ".arn": nil}, []string{role, "quarantine_user arn:aws:iam::222222222222:user/ops-helper"}, ""},

		{"by root", ctRoot, map[string]any{request + ".groupName": "staff"}, []string{"deny_principal arn:aws:iam::222222222222:root", "apply_scp 222222222222", "quarantine_user arn:aws:iam::222222222222:user/intern"}, "delete its keys, password and MFA devices"},
		{"by root, with a key", ctRoot, map[string]any{"detail.userIdentity.accessKeyId": "AKIAROOTCTDV2EXAMPLE"}, []string{"deny_principal arn:aws:iam::222222222222:root", "apply_scp 222222222222", "quarantine_user arn:aws:iam::222222222222:user/intern"}, "delete its keys, password and MFA devices"},
		{"a key for a user, by root", ctUser, map[string]any{"detail.userIdentity": map[string]any{"type": "Root", "principalId": "222222222222", "arn": "arn:aws:iam::222222222222:root", "accountId": "222222222222"}}, []string{"deny_principal arn:aws:iam::222222222222:root", "apply_scp 222222222222", newKey}, "delete its keys, password and MFA devices"},
		{"by a session of root", ctUser, map[string]any{"detail.userIdentity": map[string]any{"type": "FederatedUser", "principalId": "222222222222:x", "accessKeyId": "ASIAROOTFED22EXAMPLE",
			"sessionContext": map[string]any{"sessionIssuer": map[string]any{"type": "Root", "arn": "arn:aws:iam::222222222222:root"}}}}, []string{"deny_principal arn:aws:iam::222222222222:root", "apply_scp 222222222222", newKey}, "delete its keys, password and MFA devices"},
		{"by nobody whom we know", ctUser, map[string]any{"detail.userIdentity": map[string]any{"type": "IdentityCenterUser", "accountId": "222222222222", "accessKeyId": "ASIAICUSER222EXAMPLE"}}, []string{newKey}, "neither a user nor a role"},
		{"by a federated session of nobody", ctUser, map[string]any{"detail.userIdentity": map[string]any{"type": "FederatedUser", "principalId": "222222222222:x"}}, []string{newKey}, "neither a user nor a role"},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := one(t, Reader{Org: org}, edited(t, test.sample, test.edit))
			checkAlert(t, org, a)
			if d := cmp.Diff(test.offers, offered(a), cmpopts.EquateEmpty()); d != "" {
				t.Error("-want +got\n" + d)
			}
			if !hands(a, test.byHand) || (test.byHand == "") != (len(a.ByHand) == 0) {
				t.Errorf("by hand %q, want %q", a.ByHand, test.byHand)
			}
		})
	}
}

// Without a configured admin group no group is one.
func TestCloudTrailNoAdminGroup(t *testing.T) {
	without := org
	without.AdminGroup = ""
	for _, group := range []any{"admins", ""} {
		a := one(t, Reader{Org: without}, edited(t, ctRoot, map[string]any{request + ".groupName": group}))
		if a.Severity != 6 || hands(a, "exempt") {
			t.Errorf("group %q: %v, %q", group, a.Severity, a.ByHand)
		}
	}
}

func TestCloudTrailTypes(t *testing.T) {
	for _, test := range []struct {
		name   string
		sample string
		edit   map[string]any
		typ    string
		quiet  bool
	}{
		{"a user", ctUser, nil, "CreateAccessKey", false},
		{"root", ctRoot, nil, "AddUserToGroup", false},
		{"root, denied", ctRoot, map[string]any{"detail.errorCode": "AccessDenied"}, "Denied:AddUserToGroup", true},
		{"a role", ctRole, nil, "AssumedRole:AttachUserPolicy", false},
		{"a role, not listed", ctRole, map[string]any{"detail.eventName": "TagUser"}, "AssumedRole:TagUser", true},
		{"a role, denied", ctRole, map[string]any{"detail.errorCode": "AccessDeniedException"}, "Denied:AttachUserPolicy", true},
		{"a user, denied", ctDenied, map[string]any{"detail.errorCode": "Client.UnauthorizedOperation"}, "Denied:CreateAccessKey", true},
		{"a user, failed", ctDenied, map[string]any{"detail.errorCode": "LimitExceededException"}, "Failed:CreateAccessKey", true},
		{"of Identity Center", ctUser, map[string]any{"detail.userIdentity": map[string]any{"type": "IdentityCenterUser"}}, "IdentityCenterUser:CreateAccessKey", false},
		{"of another account", ctUser, map[string]any{"detail.userIdentity": map[string]any{"type": "AWSAccount", "accountId": "444444444444"}}, "AWSAccount:CreateAccessKey", false},
	} {
		if a := one(t, Reader{Org: org}, edited(t, test.sample, test.edit)); a.Type != test.typ || a.Quiet != test.quiet {
			t.Errorf("%s: %s, quiet %v", test.name, a.Type, a.Quiet)
		}
	}
}

func TestCloudTrailSeverity(t *testing.T) {
	policy := func(name string) map[string]any {
		return map[string]any{"userName": "payroll-bot", "policyArn": "arn:aws:iam::aws:policy/" + name}
	}
	for _, test := range []struct {
		event    string
		request  map[string]any
		severity float64
	}{
		{"AttachUserPolicy", policy("ReadOnlyAccess"), 6},
		{"AttachUserPolicy", policy("AdministratorAccess"), 8},
		{"AttachUserPolicy", policy("IAMFullAccess"), 8},
		{"AttachUserPolicy", policy("PowerUserAccess"), 8},
		{"AttachUserPolicy", policy("job-function/NotAdministratorAccess"), 6},
		{"DetachUserPolicy", policy("AdministratorAccess"), 5},
		{"AttachRolePolicy", map[string]any{"roleName": "x", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}, 8},
		{"AttachGroupPolicy", map[string]any{"groupName": "x", "policyArn": "arn:aws:iam::aws:policy/AdministratorAccess"}, 8},
		{"CreateAccessKey", map[string]any{"userName": "payroll-bot"}, 8},
		{"CreateAccessKey", map[string]any{"userName": "oscar"}, 5},
		{"CreateLoginProfile", map[string]any{"userName": "payroll-bot"}, 8},
		{"PutUserPolicy", map[string]any{"userName": "oscar"}, 7},
		{"AddUserToGroup", map[string]any{"userName": "oscar", "groupName": "staff"}, 6},
		{"AddUserToGroup", map[string]any{"userName": "oscar", "groupName": "admins"}, 8},
		{"RemoveUserFromGroup", map[string]any{"userName": "oscar", "groupName": "admins"}, 4},
		{"TagRole", map[string]any{"roleName": "x"}, 4},
	} {
		a := one(t, Reader{Org: org}, edited(t, ctUser, map[string]any{"detail.eventName": test.event, request: test.request, response: nil}))
		if a.Severity != test.severity {
			t.Errorf("%s %v: %v, want %v", test.event, test.request, a.Severity, test.severity)
		}
		a = one(t, Reader{Org: org}, edited(t, ctUser, map[string]any{"detail.eventName": test.event, request: test.request, response: nil, "detail.errorCode": "AccessDenied"}))
		if a.Severity != attemptSeverity {
			t.Errorf("%s %v, denied: %v", test.event, test.request, a.Severity)
		}
	}
}

// Every call of the table is told in a sentence, whatever it names.
func TestCloudTrailTitles(t *testing.T) {
	verbs := []string{"created", "deleted", "changed", "set", "uploaded", "reset", "enabled", "deactivated", "added", "removed", "attached", "detached"}
	all := map[string]any{
		"userName": "ops", "roleName": "reader", "groupName": "staff", "policyName": "pol", "accessKeyId": "AKIAPAYROLLA2EXAMPLE", "status": "Active", "instanceProfileName": "web",
	}
	for _, name := range slices.Sorted(maps.Keys(iamChanges())) {
		name = strings.TrimPrefix(name, "iam:")
		full := one(t, Reader{Org: org}, edited(t, ctUser, map[string]any{"detail.eventName": name, request: all, response: nil}))
		empty := one(t, Reader{Org: org}, edited(t, ctRole, map[string]any{"detail.eventName": name, request: nil, response: nil}))
		denied := one(t, Reader{Org: org}, edited(t, ctUser, map[string]any{"detail.eventName": name, request: all, response: nil, "detail.errorCode": "AccessDenied"}))
		for _, a := range []Finding{full, empty} {
			verb, what, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(a.Title, "User oscar "), "Role ci-deployer "), " ")
			if !slices.Contains(verbs, verb) || what == "" || strings.ContainsAny(a.Title, "{}") {
				t.Errorf("%s: %s", name, a.Title)
			}
		}
		if !strings.HasPrefix(denied.Title, "User oscar tried to ") || !strings.HasSuffix(denied.Title, ": denied") {
			t.Errorf("%s: %s", name, denied.Title)
		}
		for label, value := range map[string]string{"{user}": "user ops", "{role}": "role reader", "{group}": "group staff", "{policy}": "policy pol", "{key}": "access key AKIAPAYROLLA2EXAMPLE", "{profile}": "instance profile web"} {
			if strings.Contains(iamChanges()["iam:"+name].does, label) != strings.Contains(full.Title, value) {
				t.Errorf("%s: %s lacks %s, or has too much", name, full.Title, value)
			}
		}
		if gives := slices.Contains(offered(full), "quarantine_user arn:aws:iam::222222222222:user/ops"); gives != (iamChanges()["iam:"+name].gives || name == "CreateAccessKey") {
			t.Errorf("%s: offers %q", name, offered(full))
		}
	}
	for _, test := range []struct {
		edit  map[string]any
		title string
	}{
		{map[string]any{request: nil}, "User oscar created an access key for their own user"},
		{map[string]any{"detail.eventName": "TagRole"}, "User oscar called TagRole"},
		{map[string]any{"detail.eventName": "{user}"}, "User oscar called user payroll-bot"}, // odd, and harmless
		{map[string]any{"detail.eventName": "UpdateAccessKey", request + ".status": "Inactive"}, "User oscar set one access key of user payroll-bot to Inactive"},
		{map[string]any{"detail.eventName": "AttachUserPolicy", request + ".policyArn": "arn:aws:iam::222222222222:policy/team/a/deployer"}, "User oscar attached policy deployer to user payroll-bot"},
		{map[string]any{"detail.userIdentity": map[string]any{"type": "ärger", "principalId": "AIDAFOREIGNUSREXAMPLE:x"}}, "Ärger AIDAFOREIGNUSREXAMPLE:x created an access key for user payroll-bot"},
		{map[string]any{"detail.userIdentity": map[string]any{"type": "ärger"}}, "Ärger created an access key for user payroll-bot"},
	} {
		if a := one(t, Reader{Org: org}, edited(t, ctUser, test.edit)); a.Title != test.title {
			t.Errorf("%s, want %s", a.Title, test.title)
		}
	}
}

func TestCloudTrailSubject(t *testing.T) {
	for _, test := range []struct {
		sample string
		edit   map[string]any
		want   trail.Subject
	}{
		{ctUser, nil, trail.Subject{By: "AccessKeyId", Value: "AKIAOSCARKEY2EXAMPLE"}},
		{ctUser, map[string]any{"detail.userIdentity.accessKeyId": ""}, trail.Subject{By: "Username", Value: "oscar"}},
		{ctRoot, map[string]any{"detail.userIdentity.accessKeyId": nil}, trail.Subject{}},
		{ctRole, map[string]any{"detail.userIdentity.accessKeyId": nil}, trail.Subject{}},
	} {
		if a := one(t, Reader{Org: org}, edited(t, test.sample, test.edit)); a.Subject != test.want {
			t.Errorf("%s %v: %+v", test.sample, test.edit, a.Subject)
		}
	}
}

// A key that was not created is not told of, whatever the record holds.
func TestCloudTrailNoNewKey(t *testing.T) {
	a := one(t, Reader{Org: org}, edited(t, ctUser, map[string]any{"detail.errorCode": "AccessDenied"}))
	if slices.ContainsFunc(a.Facts, func(f Fact) bool { return f.Label == "New access key" }) || a.Resource != "user payroll-bot" {
		t.Errorf("%v, %s", a.Facts, a.Resource)
	}
}

// detail is an event's inner part: what LookupEvents answers.
func detail(t testing.TB, e Event) []byte {
	t.Helper()
	var envelope struct {
		Detail json.RawMessage `json:"detail"`
	}
	if err := json.Unmarshal(e.Body, &envelope); err != nil {
		t.Fatal(err)
	}
	return envelope.Detail
}

// A true or false that is none of a text is one all the same.
func TestCloudTrailMFA(t *testing.T) {
	for v, text := range map[any]string{true: "yes", "true": "yes", false: "no", "false": "no"} {
		a := one(t, Reader{Org: org}, edited(t, ctRoot, map[string]any{"detail.userIdentity.sessionContext.attributes.mfaAuthenticated": v}))
		want{facts: map[string]string{"MFA": text}}.has(t, a)
	}
	if a := one(t, Reader{Org: org}, edited(t, ctUser, nil)); slices.ContainsFunc(a.Facts, func(f Fact) bool { return f.Label == "MFA" }) {
		t.Errorf("of a long-term key it is not known: %v", a.Facts)
	}
}

// In another partition ARNs, link and advice are that partition's.
func TestCloudTrailInAnotherPartition(t *testing.T) {
	e := edited(t, ctUser, map[string]any{"region": "us-gov-west-1", "detail.awsRegion": "us-gov-west-1", "detail.userIdentity.arn": "arn:aws-us-gov:iam::222222222222:user/oscar"})
	gov := org
	gov.Partition = "aws-us-gov"
	a := one(t, Reader{Org: gov}, e)
	if got := offered(a); len(got) != 3 || got[0] != "quarantine_user arn:aws-us-gov:iam::222222222222:user/oscar" {
		t.Errorf("%q", got)
	}
	if want := "https://console.amazonaws-us-gov.com/cloudtrailv2/home?region=us-gov-west-1#/events/2c75202b-fdf6-5c31-aac7-257c8ed572f2"; a.Link != want {
		t.Errorf("link %q", a.Link)
	}
	if a := one(t, Reader{Org: org}, e); len(a.Containments) != 0 || !hands(a, "arn:aws-us-gov:iam::222222222222:user/oscar") {
		t.Errorf("ours: %q, %q", offered(a), a.ByHand)
	}
}

// What LookupEvents answers, the bare record, confirms the same calls; another
// record doesn't.
func TestCloudTrailConfirm(t *testing.T) {
	r := Reader{Org: org, Routing: Routing{Routes: []Route{{Match: Match{Source: CloudTrail, Type: "*"}, Suggest: []Suggestion{{Action: actions.QuarantineUser}, {Action: actions.DeactivateKey}}, Delivery: Auto}}}}
	f := one(t, r, edited(t, ctUser, nil))
	if running(f) == nil {
		t.Fatalf("%+v", f)
	}
	f.EventID = "" // of the envelope, which the answer does not have
	confirmed, err := r.Confirm(f, detail(t, edited(t, ctUser, nil)))
	if d := cmp.Diff(f, confirmed); err != nil || d != "" {
		t.Errorf("%v\n%s", err, d)
	}
	for name, e := range map[string]Event{
		"another event": edited(t, "cloudtrail_createuser_iamuser.json", nil),
		"our own call":  edited(t, ctUser, map[string]any{"detail.userIdentity": map[string]any{"type": "AWSService"}}),
		"no event":      {Body: []byte(`{"detail":{}}`)},
	} {
		if f, err := r.Confirm(f, detail(t, e)); err == nil {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f, err := r.Confirm(f, detail(t, edited(t, ctUser, map[string]any{"detail.errorCode": "AccessDenied"}))); err != nil || len(f.Offers()) != 1 {
		t.Errorf("a call that was denied after all: %v, %v", f.Offers(), err)
	}
}

// FuzzCloudTrail puts anything where a record names people, keys and things.
func FuzzCloudTrail(f *testing.F) {
	f.Add("IAMUser", "oscar", "AKIAOSCARKEY2EXAMPLE", "CreateAccessKey", "payroll-bot", "AKIAPAYROLLN2EXAMPLE", "", "admins")
	f.Add("Root", "", "ASIAROOTCTDV2EXAMPLE", "AddUserToGroup", "intern", "", "", "admins")
	f.Add("AssumedRole", "ci-deployer", "ASIACIDEPLOY3EXAMPLE", "AttachUserPolicy", "ops-helper", "", "", "x")
	f.Add("FederatedUser", "a/b", "AKIA", "UpdateAccessKey", "", "AKIAPAYROLLN2EXAMPLE", "", "")
	f.Add("IAMUser", "mallory", "AKIAMALLORYA2EXAMPLE", "CreateAccessKey", "payroll-admin", "AKIAPAYROLLN2EXAMPLE", "AccessDenied", "{user}")
	f.Fuzz(func(t *testing.T, kind, name, key, call, user, newKey, failed, thing string) {
		issuerKind := map[string]string{"AssumedRole": "Role", "FederatedUser": "IAMUser"}[kind]
		e := edited(t, ctRole, map[string]any{"detail.userIdentity.type": kind, "detail.userIdentity.userName": name, "detail.userIdentity.arn": nil, "detail.userIdentity.accessKeyId": key,
			issuer + ".arn": nil, issuer + ".userName": name, issuer + ".type": issuerKind, "detail.eventName": call, "detail.errorCode": failed,
			response: map[string]any{"accessKey": map[string]any{"accessKeyId": newKey}},
			request:  map[string]any{"userName": user, "accessKeyId": newKey, "status": "Active", "groupName": thing, "roleName": thing, "policyArn": thing}})
		alerts, err := Reader{Org: org}.Read(e)
		if _, bad := errors.AsType[*Malformed](err); err != nil && !bad && !errors.Is(err, ErrIgnored) {
			t.Fatal(err)
		}
		for _, a := range alerts {
			checkAlert(t, org, a)
			for _, o := range a.Containments {
				c := o.Call
				switch c.Target {
				case "arn:aws:iam::222222222222:user/" + name, "arn:aws:iam::222222222222:role/" + name:
					if kind == "Root" && !strings.EqualFold(name, user) {
						t.Errorf("against root: %s", c)
					}
				case key, newKey, "arn:aws:iam::222222222222:user/" + user, "arn:aws:iam::222222222222:role/" + thing:
					if failed != "" {
						t.Errorf("of a call that failed: %s", c)
					}
				case "arn:aws:iam::222222222222:root", "222222222222":
					if kind != "Root" {
						t.Errorf("against root: %s", c)
					}
				default:
					t.Errorf("against somebody else: %s", c)
				}
			}
		}
	})
}
