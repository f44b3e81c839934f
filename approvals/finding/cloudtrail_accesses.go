package finding

import (
	"slices"
	"strconv"
	"strings"
)

// accesses are the calls of other services than IAM by which somebody can come in later. The rule
// AccessRule of template.yaml has them; a test compares it.
func accesses() map[string]change {
	return map[string]change{
		"sts:GetFederationToken": {does: "get credentials for {thing}", severity: 7, listed: always, kind: "federated session", at: "name", byHand: "A federated session lives on after the key is off, up to 36 hours; quarantine_user of its user ends it."},
		"sts:AssumeRoot":         {does: "get credentials of the root user of {thing}", severity: 7, listed: always, kind: "account", at: "targetPrincipal", byHand: "The session lives for 15 minutes at most, and may do one task of root's: look in CloudTrail of that account what it did."},

		"rolesanywhere:CreateTrustAnchor": {does: "create {thing}", severity: 8, listed: always, kind: "trust anchor", at: "name", id: "trustAnchor.trustAnchorId", byHand: "Whoever has its keys gets sessions of roles from anywhere. Disable it: aws rolesanywhere disable-trust-anchor --trust-anchor-id {id}"},
		"rolesanywhere:UpdateTrustAnchor": {does: "change {thing}", severity: 7, listed: always, kind: "trust anchor", at: "name trustAnchorId", id: "trustAnchor.trustAnchorId", byHand: "Whoever has its keys gets sessions of roles from anywhere. Disable it: aws rolesanywhere disable-trust-anchor --trust-anchor-id {id}"},
		"rolesanywhere:EnableTrustAnchor": {does: "enable {thing}", severity: 7, listed: always, kind: "trust anchor", at: "trustAnchorId", id: "trustAnchor.trustAnchorId", byHand: "Whoever has its keys gets sessions of roles from anywhere. Disable it: aws rolesanywhere disable-trust-anchor --trust-anchor-id {id}"},
		"rolesanywhere:CreateProfile":     {does: "create {thing} of Roles Anywhere", severity: 7, listed: always, kind: "profile", at: "name", roles: "roleArns", id: "profile.profileId", byHand: "It gives its roles to whoever a trust anchor lets in. Disable it: aws rolesanywhere disable-profile --profile-id {id}"},
		"rolesanywhere:UpdateProfile":     {does: "change {thing} of Roles Anywhere", severity: 7, listed: always, kind: "profile", at: "name profileId", roles: "roleArns", id: "profile.profileId", byHand: "It gives its roles to whoever a trust anchor lets in. Disable it: aws rolesanywhere disable-profile --profile-id {id}"},
		"rolesanywhere:EnableProfile":     {does: "enable {thing} of Roles Anywhere", severity: 7, listed: always, kind: "profile", at: "profileId", roles: "profile.roleArns", id: "profile.profileId", byHand: "It gives its roles to whoever a trust anchor lets in. Disable it: aws rolesanywhere disable-profile --profile-id {id}"},

		"lambda:AddPermission":               {does: "let others call {thing}", severity: 7, listed: toOthers, kind: "function", at: "functionName", lets: "principal", id: "statementId", byHand: "Take it back with lambda remove-permission, statement {id}."},
		"lambda:UpdateFunctionCode":          {does: "change the code of {thing}", severity: 6, role: 5, listed: func(c apiCall) bool { return !c.has("dryRun", "true") }, kind: "function", at: "functionName", roles: "role", byHand: "The code has the function's role: publish the code that it had, or stop it: aws lambda put-function-concurrency --reserved-concurrent-executions 0 --function-name {thing}"},
		"lambda:UpdateFunctionConfiguration": {does: "set the layers of {thing}", severity: 6, role: 5, listed: func(c apiCall) bool { return len(leaves(c.request.v, "layers")) > 0 }, kind: "function", at: "functionName", roles: "role", byHand: "A layer's code has the function's role: set the layers that it had, or stop it: aws lambda put-function-concurrency --reserved-concurrent-executions 0 --function-name {thing}"},
		"lambda:CreateFunctionUrlConfig":     {does: "give an address to {thing} that asks for no credentials", severity: 6, role: 5, listed: open, kind: "function", at: "functionName", byHand: "Delete the address: aws lambda delete-function-url-config --function-name {thing}"},
		"lambda:UpdateFunctionUrlConfig":     {does: "give an address to {thing} that asks for no credentials", severity: 6, role: 5, listed: open, kind: "function", at: "functionName", byHand: "Delete the address: aws lambda delete-function-url-config --function-name {thing}"},

		"ec2:ModifyInstanceAttribute":                        {does: "change what {thing} runs when it starts", severity: 7, role: 5, listed: apiCall.setsUserData, kind: "instance", at: "instanceId", instance: "instanceId", byHand: "Set the user data that it had before it starts again."},
		"ec2:EnableSerialConsoleAccess":                      {does: "enable the serial console of all instances", severity: 6, listed: always, byHand: "Disable it: aws ec2 disable-serial-console-access"},
		"ec2-instance-connect:SendSerialConsoleSSHPublicKey": {does: "send an SSH key to the serial console of {thing}", severity: 6, role: 5, listed: always, kind: "instance", at: "instanceId", instance: "instanceId"},
		"ec2-instance-connect:SendSSHPublicKey":              {does: "send an SSH key to {thing}", severity: 5, listed: always, kind: "instance", at: "instanceId", instance: "instanceId"},
		"ec2:AuthorizeSecurityGroupIngress":                  {does: "open ports of {thing} to the world", severity: 6, role: 5, listed: apiCall.opensPorts, kind: "security group", at: "groupId groupName", byHand: "Take the rule back with ec2 revoke-security-group-ingress."},
		"ec2:ModifySecurityGroupRules":                       {does: "open ports of {thing} to the world", severity: 6, role: 5, listed: apiCall.opensPorts, kind: "security group", at: "ModifySecurityGroupRulesRequest.GroupId groupId", byHand: "Take the rule back with ec2 revoke-security-group-ingress."},

		"sagemaker:CreateNotebookInstanceLifecycleConfig": {does: "create {thing}, which runs when notebooks start", severity: 6, role: 5, listed: always, kind: "lifecycle configuration", at: "notebookInstanceLifecycleConfigName", byHand: "Look what it runs: aws sagemaker describe-notebook-instance-lifecycle-config --notebook-instance-lifecycle-config-name {thing}"},
		"sagemaker:UpdateNotebookInstanceLifecycleConfig": {does: "change {thing}, which runs when notebooks start", severity: 6, role: 5, listed: always, kind: "lifecycle configuration", at: "notebookInstanceLifecycleConfigName", byHand: "Look what it runs: aws sagemaker describe-notebook-instance-lifecycle-config --notebook-instance-lifecycle-config-name {thing}"},
		"sagemaker:UpdateNotebookInstance":                {does: "change what {thing} runs when it starts", severity: 6, role: 5, listed: func(c apiCall) bool { return len(leaves(c.request.v, "lifecycleConfigName")) > 0 }, kind: "notebook", at: "notebookInstanceName", byHand: "Stop it, and revoke the sessions of its role: aws sagemaker stop-notebook-instance --notebook-instance-name {thing}"},

		"sso:CreateAccountAssignment":                  {does: "give {thing} to somebody in IAM Identity Center", severity: 5, listed: always, kind: "account", at: "targetId", byHand: "Delete the assignment in IAM Identity Center, if nobody knows it."},
		"sso:AttachManagedPolicyToPermissionSet":       {does: "attach a policy to {thing}", severity: 6, listed: always, kind: "permission set", at: "permissionSetArn", byHand: "Look in IAM Identity Center who has the permission set."},
		"sso:PutInlinePolicyToPermissionSet":           {does: "set the inline policy of {thing}", severity: 6, listed: always, kind: "permission set", at: "permissionSetArn", byHand: "Look in IAM Identity Center who has the permission set."},
		"organizations:AcceptHandshake":                {does: "accept {thing} of an organization", severity: 6, listed: always, kind: "invitation", at: "handshakeId", byHand: "Whoever manages the organization can bind the account, and enter it: look which one it is: aws organizations describe-organization"},
		"organizations:RegisterDelegatedAdministrator": {does: "make {thing} an administrator of a service", severity: 6, listed: always, kind: "account", at: "accountId", byHand: "Take it back with organizations deregister-delegated-administrator."},
		"account:StartPrimaryEmailUpdate":              {does: "ask for another e-mail address of the root user of {thing}", severity: 7, listed: always, kind: "account", at: "accountId"},
		"account:AcceptPrimaryEmailUpdate":             {does: "change the e-mail address of the root user of {thing}", severity: 8, listed: always, kind: "account", at: "accountId", byHand: "Whoever reads that mail box can set root's password: change the address back from the management account."},
	}
}

// signIns are the events of signing in, and of root's password. They are no API calls, so the rule
// SignInRule of template.yaml has them; a test compares it.
// https://docs.aws.amazon.com/awscloudtrail/latest/userguide/cloudtrail-event-reference-aws-console-sign-in-events.html
func signIns() map[string]change {
	return map[string]change{
		"signin:ConsoleLogin":              {does: "sign in to the console{mfa}", severity: 7, mild: func(c apiCall) bool { return !ofRootUser(c) }, listed: decisiveSignIn},
		"signin:PasswordRecoveryRequested": {does: "ask for a new password of the root user", severity: 7, listed: ofRootUser, byHand: "The mail with the link goes to root's address: look who reads that mail box."},
		"signin:PasswordRecoveryCompleted": {does: "set a new password of the root user, by mail", severity: 8, listed: ofRootUser, byHand: "Recover the password again from root's mail box, and look who else reads it."},
		"signin:PasswordUpdated":           {does: "change the password of the root user", severity: 8, listed: ofRootUser},
		"signin:EmailUpdated":              {does: "change the e-mail address of the root user", severity: 8, listed: ofRootUser, byHand: "Whoever reads that mail box can set root's password: change the address back from the management account."},
	}
}

func ofRootUser(c apiCall) bool { return c.caller.kind == ofRoot }

// decisiveSignIn selects root's sign-ins, and a user's that one password was enough for.
func decisiveSignIn(c apiCall) bool {
	return ofRootUser(c) || c.caller.kind == ofUser && c.noMFA()
}

func (c apiCall) noMFA() bool { return c.service == "signin" && c.extra.at("MFAUsed").text() == "No" }

func open(c apiCall) bool { return c.has("authType", "NONE") }

func (c apiCall) setsUserData() bool {
	return len(leaves(c.request.v, "userData")) > 0 || c.has("attribute", "userData")
}

// doors are the ports of remote control and of databases.
var doors = []int{22, 23, 445, 1433, 2375, 3306, 3389, 5432, 5900, 5985, 5986, 6379, 9200, 27017}

// opensPorts reports whether a rule of a security group lets the whole world in to one of doors. A
// rule's ports and addresses are in one object, or the addresses in lists below it.
func (c apiCall) opensPorts() bool {
	const most = 100 // each is searched
	var rules []any
	walk(c.request.v, func(v any) {
		rule, ok := v.(map[string]any)
		if ok && len(rules) < most && (value(rule, "fromPort FromPort") != "" || value(rule, "ipProtocol IpProtocol") == "-1") {
			rules = append(rules, rule)
		}
	})
	return slices.ContainsFunc(rules, func(rule any) bool {
		from, to := value(rule, "fromPort FromPort"), value(rule, "toPort ToPort")
		world := slices.ContainsFunc(leaves(rule, ""), func(s string) bool { return strings.HasSuffix(s, "/0") })
		return world && slices.ContainsFunc(doors, func(port int) bool {
			return from == "" || from == "-1" || float64(port) >= number(from) && float64(port) <= number(to)
		})
	})
}

func number(s string) float64 {
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return -1
	}
	return f
}
