package finding

import "strings"

// defences are the calls that stop what watches an account, or what binds it. The rule DefencesRule of
// template.yaml has them; a test compares it.
func defences() map[string]change {
	return map[string]change{
		"cloudtrail:StopLogging":       {does: "stop the logging of {thing}", severity: 8, listed: always, kind: "trail", at: "name", byHand: "Start it again: aws cloudtrail start-logging --name {thing}"},
		"cloudtrail:DeleteTrail":       {does: "delete {thing}", severity: 8, listed: always, kind: "trail", at: "name", byHand: "Create the trail again. What was called meanwhile is in CloudTrail's Event history, for 90 days."},
		"cloudtrail:UpdateTrail":       {does: "change {thing}", severity: 6, listed: always, kind: "trail", at: "name", byHand: "Look what it logs, and where to: aws cloudtrail get-trail --name {thing}"},
		"cloudtrail:PutEventSelectors": {does: "change what is logged by {thing}", severity: 7, listed: always, kind: "trail", at: "trailName", byHand: "Look what it still logs: aws cloudtrail get-event-selectors --trail-name {thing}"},

		"cloudtrail:DeleteEventDataStore":                 {does: "delete {thing}", severity: 7, listed: always, kind: "event data store", at: "eventDataStore", byHand: "Within seven days it can be restored: aws cloudtrail restore-event-data-store --event-data-store {thing}"},
		"cloudtrail:StopEventDataStoreIngestion":          {does: "stop the logging of {thing}", severity: 7, listed: always, kind: "event data store", at: "eventDataStore", byHand: "Start it again: aws cloudtrail start-event-data-store-ingestion --event-data-store {thing}"},
		"cloudtrail:UpdateEventDataStore":                 {does: "change {thing}", severity: 5, listed: always, kind: "event data store", at: "eventDataStore"},
		"cloudtrail:DeregisterOrganizationDelegatedAdmin": {does: "take CloudTrail's administration from {thing}", severity: 6, listed: always, kind: "account", at: "delegatedAdminAccountId"},

		"guardduty:DeleteDetector":                       {does: "delete {thing}", severity: 8, listed: always, kind: "GuardDuty detector", at: "detectorId", byHand: "Turn GuardDuty on again: aws guardduty create-detector --enable"},
		"guardduty:UpdateDetector":                       {does: "change {thing}", severity: 8, mild: func(c apiCall) bool { return !c.turnsOff() }, listed: always, kind: "GuardDuty detector", at: "detectorId", byHand: "Turn on what is off: aws guardduty update-detector --enable --detector-id {thing}"},
		"guardduty:DisassociateFromAdministratorAccount": {does: "take the account away from its administrator in GuardDuty, {thing}", severity: 7, listed: always, kind: "detector", at: "detectorId", byHand: "Invite the account again from the administrator's."},
		"guardduty:DisassociateFromMasterAccount":        {does: "take the account away from its administrator in GuardDuty, {thing}", severity: 7, listed: always, kind: "detector", at: "detectorId", byHand: "Invite the account again from the administrator's."},
		"guardduty:DeleteMembers":                        {does: "take {thing} out of GuardDuty", severity: 7, listed: always, kind: "account", at: "accountIds", byHand: "Add the accounts as members again."},
		"guardduty:DisassociateMembers":                  {does: "take {thing} out of GuardDuty", severity: 7, listed: always, kind: "account", at: "accountIds", byHand: "Add the accounts as members again."},
		"guardduty:StopMonitoringMembers":                {does: "stop GuardDuty in {thing}", severity: 7, listed: always, kind: "account", at: "accountIds", byHand: "Start it again with guardduty start-monitoring-members."},
		"guardduty:DisableOrganizationAdminAccount":      {does: "take GuardDuty's administration from {thing}", severity: 7, listed: always, kind: "account", at: "adminAccountId"},
		"guardduty:CreateFilter":                         {does: "create {thing}, which archives findings", severity: 6, listed: func(c apiCall) bool { return c.has("action", "ARCHIVE") }, kind: "GuardDuty filter", at: "name", byHand: "Look what it hides, and delete it: guardduty delete-filter"},
		"guardduty:UpdateFilter":                         {does: "change {thing}", severity: 6, listed: func(c apiCall) bool { return !c.has("action", "NOOP") }, kind: "GuardDuty filter", at: "filterName name", byHand: "Look what it hides, and delete it: guardduty delete-filter"},
		"guardduty:CreateIPSet":                          {does: "create {thing}, whose addresses GuardDuty trusts", severity: 6, listed: always, kind: "GuardDuty IP list", at: "name", byHand: "Look whose addresses it has, and delete it: guardduty delete-ip-set"},
		"guardduty:UpdateIPSet":                          {does: "change {thing}, whose addresses GuardDuty trusts", severity: 6, listed: always, kind: "GuardDuty IP list", at: "name ipSetId", byHand: "Look whose addresses it has, and delete it: guardduty delete-ip-set"},
		"guardduty:DeletePublishingDestination":          {does: "stop the export of GuardDuty's findings to {thing}", severity: 6, listed: always, kind: "destination", at: "destinationId"},

		"securityhub:DisableSecurityHub":                   {does: "disable Security Hub", severity: 7, listed: always, byHand: "Turn it on again: aws securityhub enable-security-hub"},
		"securityhub:DisableSecurityHubV2":                 {does: "disable Security Hub", severity: 7, listed: always, byHand: "Turn it on again: aws securityhub enable-security-hub-v2"},
		"securityhub:BatchDisableStandards":                {does: "disable {thing} in Security Hub", severity: 6, listed: always, kind: "standard", at: "standardsSubscriptionArns"},
		"securityhub:DisableImportFindingsForProduct":      {does: "stop the import of findings from {thing} to Security Hub", severity: 6, listed: always, kind: "product", at: "productSubscriptionArn"},
		"securityhub:DisassociateFromAdministratorAccount": {does: "take the account away from its administrator in Security Hub", severity: 7, listed: always},
		"securityhub:DisassociateFromMasterAccount":        {does: "take the account away from its administrator in Security Hub", severity: 7, listed: always},
		"securityhub:DeleteMembers":                        {does: "take {thing} out of Security Hub", severity: 7, listed: always, kind: "account", at: "accountIds"},
		"securityhub:DisassociateMembers":                  {does: "take {thing} out of Security Hub", severity: 7, listed: always, kind: "account", at: "accountIds"},
		"securityhub:DisableOrganizationAdminAccount":      {does: "take Security Hub's administration from {thing}", severity: 7, listed: always, kind: "account", at: "adminAccountId"},
		"securityhub:CreateAutomationRule":                 {does: "create {thing}, which changes findings", severity: 5, listed: always, kind: "Security Hub rule", at: "ruleName"},

		"access-analyzer:DeleteAnalyzer":    {does: "delete {thing}", severity: 6, listed: always, kind: "access analyzer", at: "analyzerName"},
		"access-analyzer:CreateArchiveRule": {does: "hide findings of {thing}", severity: 5, listed: always, kind: "access analyzer", at: "analyzerName"},
		"macie2:DisableMacie":               {does: "disable Macie", severity: 7, listed: always, byHand: "Turn it on again: aws macie2 enable-macie"},
		"detective:DeleteGraph":             {does: "delete {thing}", severity: 6, listed: always, kind: "Detective graph", at: "graphArn GraphArn"},
		"inspector2:Disable":                {does: "disable Inspector", severity: 6, listed: always, byHand: "Turn it on again: aws inspector2 enable"},

		"config:StopConfigurationRecorder":   {does: "stop {thing}", severity: 7, listed: always, kind: "configuration recorder", at: "configurationRecorderName", byHand: "Start it again: aws configservice start-configuration-recorder --configuration-recorder-name {thing}"},
		"config:DeleteConfigurationRecorder": {does: "delete {thing}", severity: 7, listed: always, kind: "configuration recorder", at: "configurationRecorderName", byHand: "Create it again with configservice put-configuration-recorder."},
		"config:DeleteDeliveryChannel":       {does: "delete {thing}", severity: 7, listed: always, kind: "delivery channel of AWS Config", at: "deliveryChannelName", byHand: "Create it again with configservice put-delivery-channel."},

		"ec2:DeleteFlowLogs":                                 {does: "delete {thing}", severity: 7, listed: always, kind: "flow log", at: "DeleteFlowLogsRequest.FlowLogId.content DeleteFlowLogsRequest.FlowLogId flowLogId", byHand: "Create it again with ec2 create-flow-logs."},
		"route53resolver:DeleteResolverQueryLogConfig":       {does: "delete {thing}", severity: 7, listed: always, kind: "log of DNS queries", at: "resolverQueryLogConfigId", byHand: "Create it again with route53resolver create-resolver-query-log-config, and associate its networks."},
		"route53resolver:DisassociateResolverQueryLogConfig": {does: "stop the log of DNS queries of {thing}", severity: 7, listed: always, kind: "network", at: "resourceId", byHand: "Associate it again with route53resolver associate-resolver-query-log-config."},
		"bedrock:DeleteModelInvocationLoggingConfiguration":  {does: "stop the logging of calls of Bedrock's models", severity: 6, listed: always, byHand: "Set it again with bedrock put-model-invocation-logging-configuration."},

		"s3:PutBucketLifecycle":              {does: "let what is in {thing} expire within days", severity: 7, mild: notOfLogs, listed: apiCall.expiresSoon, kind: "bucket", at: "bucketName", byHand: expires},
		"s3:PutBucketLifecycleConfiguration": {does: "let what is in {thing} expire within days", severity: 7, mild: notOfLogs, listed: apiCall.expiresSoon, kind: "bucket", at: "bucketName", byHand: expires},
		"s3:PutBucketVersioning":             {does: "stop the versioning of {thing}", severity: 6, role: 5, listed: func(c apiCall) bool { return c.has("VersioningConfiguration.Status", "Suspended") }, kind: "bucket", at: "bucketName", byHand: "Keep versions again: aws s3api put-bucket-versioning --versioning-configuration Status=Enabled --bucket {thing}"},
		"kms:ScheduleKeyDeletion":            {does: "schedule the deletion of {thing}", severity: 7, role: 5, listed: always, kind: "KMS key", at: "keyId", byHand: "Keep it: aws kms cancel-key-deletion --key-id {thing}"},
		"kms:DisableKey":                     {does: "disable {thing}", severity: 7, role: 5, listed: always, kind: "KMS key", at: "keyId", byHand: "Enable it: aws kms enable-key --key-id {thing}"},

		"organizations:LeaveOrganization":             {does: "take the account out of its organization", severity: 8, listed: always, byHand: "No service control policy binds the account any more, apply_scp neither: invite it again, and contain its principals one by one."},
		"organizations:RemoveAccountFromOrganization": {does: "take {thing} out of the organization", severity: 8, listed: always, kind: "account", at: "accountId", byHand: "No service control policy binds the account any more, apply_scp neither: invite it again, and contain its principals one by one."},
		"organizations:MoveAccount":                   {does: "move {thing} to another unit", severity: 6, listed: always, kind: "account", at: "accountId", byHand: "Move it back: other service control policies bind it there."},
		"organizations:DetachPolicy":                  {does: "detach {thing} from its target", severity: 7, listed: always, kind: "policy", at: "policyId", byHand: "Attach it again with organizations attach-policy."},
		"organizations:DeletePolicy":                  {does: "delete {thing}", severity: 6, listed: always, kind: "policy", at: "policyId"},
		"organizations:UpdatePolicy":                  {does: "change {thing}", severity: 6, listed: always, kind: "policy", at: "policyId", byHand: "Look what it still denies: aws organizations describe-policy --policy-id {thing}"},
		"organizations:DisablePolicyType":             {does: "lift all policies of {thing}", severity: 8, listed: always, kind: "type", at: "policyType", byHand: "Enable the type again, and attach each policy again: organizations enable-policy-type"},
	}
}

const expires = "Take the rule out again before the day is over: what expired is gone, unless the bucket keeps versions."

// turnsOff reports whether a detector, or a part of it, is turned off.
func (c apiCall) turnsOff() bool {
	return c.has("enable", "false") || c.has("features.status", "DISABLED") || c.has("dataSources", "false")
}

// expiresSoon reports whether a lifecycle rule lets objects expire within a week.
func (c apiCall) expiresSoon() bool {
	for _, rule := range below(c.request.v, "LifecycleConfiguration.Rule") {
		for _, days := range leaves(rule, "Expiration.Days") {
			if n := number(days); len(leaves(rule, "Status")) == 1 && leaves(rule, "Status")[0] == "Enabled" && n > 0 && n <= 7 {
				return true
			}
		}
	}
	return false
}

// notOfLogs reports whether the bucket's name does not speak of logs: many a bucket is for a day.
func notOfLogs(c apiCall) bool {
	name := strings.ToLower(some(c.names()))
	return !strings.Contains(name, "log") && !strings.Contains(name, "trail") && !strings.Contains(name, "audit")
}
