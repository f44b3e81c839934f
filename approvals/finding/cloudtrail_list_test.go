package finding

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// example is a call that is on the list `change`, in the shape of its service.
type example struct {
	request, answer string // JSON
	title           string // what follows the caller's name
	severity        float64
	byRole          float64  // where a role calls; 0 for the same
	lets            string   // the fact "Lets in"
	not             []string // requests of the same call that are not on the list
}

const (
	foreign  = `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::444444444444:root"},"Action":"*","Resource":"*"}]}`
	atHome   = `{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:role/ci"},"Action":"*","Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"*"}]}`
	stranger = "arn:aws:iam::444444444444:root (another account)"
)

// quoted is a policy as a text in JSON.
func quoted(policy string) string {
	b, _ := json.Marshal(policy)
	return string(b)
}

// open and shut are requests with a policy in a field.
func withPolicy(field, rest, policy string) string {
	return `{` + rest + `,"` + field + `":` + quoted(policy) + `}`
}

func opened(field, rest, title string) example {
	return example{request: withPolicy(field, rest, foreign), title: title, severity: 7, lets: stranger, not: []string{withPolicy(field, rest, atHome), `{` + rest + `}`}}
}

// examples has one for each call that can be on the list.
var examples = map[string]example{
	"cloudtrail:StopLogging":                          {request: `{"name":"audit"}`, title: "stopped the logging of trail audit", severity: 8},
	"cloudtrail:DeleteTrail":                          {request: `{"name":"arn:aws:cloudtrail:us-east-1:222222222222:trail/audit"}`, title: "deleted trail audit", severity: 8},
	"cloudtrail:UpdateTrail":                          {request: `{"name":"audit","isMultiRegionTrail":false}`, title: "changed trail audit", severity: 6},
	"cloudtrail:PutEventSelectors":                    {request: `{"trailName":"audit","eventSelectors":[{"includeManagementEvents":false}]}`, title: "changed what is logged by trail audit", severity: 7},
	"cloudtrail:DeleteEventDataStore":                 {request: `{"eventDataStore":"arn:aws:cloudtrail:us-east-1:222222222222:eventdatastore/e-1"}`, title: "deleted event data store e-1", severity: 7},
	"cloudtrail:StopEventDataStoreIngestion":          {request: `{"eventDataStore":"e-1"}`, title: "stopped the logging of event data store e-1", severity: 7},
	"cloudtrail:UpdateEventDataStore":                 {request: `{"eventDataStore":"e-1"}`, title: "changed event data store e-1", severity: 5},
	"cloudtrail:DeregisterOrganizationDelegatedAdmin": {request: `{"delegatedAdminAccountId":"333333333333"}`, title: "took CloudTrail's administration from account 333333333333", severity: 6},

	"guardduty:DeleteDetector":                       {request: `{"detectorId":"d1"}`, title: "deleted GuardDuty detector d1", severity: 8},
	"guardduty:UpdateDetector":                       {request: `{"detectorId":"d1","enable":false}`, title: "changed GuardDuty detector d1", severity: 8},
	"guardduty:DisassociateFromAdministratorAccount": {request: `{"detectorId":"d1"}`, title: "took the account away from its administrator in GuardDuty, detector d1", severity: 7},
	"guardduty:DisassociateFromMasterAccount":        {request: `{"detectorId":"d1"}`, title: "took the account away from its administrator in GuardDuty, detector d1", severity: 7},
	"guardduty:DeleteMembers":                        {request: `{"detectorId":"d1","accountIds":["222222222222","333333333333"]}`, title: "took account 222222222222, 333333333333 out of GuardDuty", severity: 7},
	"guardduty:DisassociateMembers":                  {request: `{"detectorId":"d1","accountIds":["222222222222"]}`, title: "took account 222222222222 out of GuardDuty", severity: 7},
	"guardduty:StopMonitoringMembers":                {request: `{"detectorId":"d1","accountIds":["222222222222"]}`, title: "stopped GuardDuty in account 222222222222", severity: 7},
	"guardduty:DisableOrganizationAdminAccount":      {request: `{"adminAccountId":"333333333333"}`, title: "took GuardDuty's administration from account 333333333333", severity: 7},
	"guardduty:CreateFilter":                         {request: `{"detectorId":"d1","name":"quiet","action":"ARCHIVE"}`, title: "created GuardDuty filter quiet, which archives findings", severity: 6, not: []string{`{"name":"quiet","action":"NOOP"}`, `{"name":"quiet"}`}},
	"guardduty:UpdateFilter":                         {request: `{"detectorId":"d1","filterName":"quiet","findingCriteria":{}}`, title: "changed GuardDuty filter quiet", severity: 6, not: []string{`{"filterName":"quiet","action":"NOOP"}`}},
	"guardduty:CreateIPSet":                          {request: `{"detectorId":"d1","name":"friends","activate":true}`, title: "created GuardDuty IP list friends, whose addresses GuardDuty trusts", severity: 6},
	"guardduty:UpdateIPSet":                          {request: `{"detectorId":"d1","ipSetId":"ip1"}`, title: "changed GuardDuty IP list ip1, whose addresses GuardDuty trusts", severity: 6},
	"guardduty:DeletePublishingDestination":          {request: `{"detectorId":"d1","destinationId":"x1"}`, title: "stopped the export of GuardDuty's findings to destination x1", severity: 6},

	"securityhub:DisableSecurityHub":                   {title: "disabled Security Hub", severity: 7},
	"securityhub:DisableSecurityHubV2":                 {title: "disabled Security Hub", severity: 7},
	"securityhub:BatchDisableStandards":                {request: `{"standardsSubscriptionArns":["arn:aws:securityhub:us-east-1:222222222222:subscription/cis/v/1.4.0"]}`, title: "disabled standard 1.4.0 in Security Hub", severity: 6},
	"securityhub:DisableImportFindingsForProduct":      {request: `{"productSubscriptionArn":"arn:aws:securityhub:us-east-1:222222222222:product-subscription/aws/guardduty"}`, title: "stopped the import of findings from product guardduty to Security Hub", severity: 6},
	"securityhub:DisassociateFromAdministratorAccount": {title: "took the account away from its administrator in Security Hub", severity: 7},
	"securityhub:DisassociateFromMasterAccount":        {title: "took the account away from its administrator in Security Hub", severity: 7},
	"securityhub:DeleteMembers":                        {request: `{"accountIds":["222222222222"]}`, title: "took account 222222222222 out of Security Hub", severity: 7},
	"securityhub:DisassociateMembers":                  {request: `{"accountIds":["222222222222"]}`, title: "took account 222222222222 out of Security Hub", severity: 7},
	"securityhub:DisableOrganizationAdminAccount":      {request: `{"adminAccountId":"333333333333"}`, title: "took Security Hub's administration from account 333333333333", severity: 7},
	"securityhub:CreateAutomationRule":                 {request: `{"ruleName":"calm"}`, title: "created Security Hub rule calm, which changes findings", severity: 5},

	"access-analyzer:DeleteAnalyzer":    {request: `{"analyzerName":"outside"}`, title: "deleted access analyzer outside", severity: 6},
	"access-analyzer:CreateArchiveRule": {request: `{"analyzerName":"outside","ruleName":"all"}`, title: "hid findings of access analyzer outside", severity: 5},
	"macie2:DisableMacie":               {title: "disabled Macie", severity: 7},
	"detective:DeleteGraph":             {request: `{"graphArn":"arn:aws:detective:us-east-1:222222222222:graph:g1"}`, title: "deleted Detective graph g1", severity: 6},
	"inspector2:Disable":                {title: "disabled Inspector", severity: 6},

	"config:StopConfigurationRecorder":   {request: `{"configurationRecorderName":"default"}`, title: "stopped configuration recorder default", severity: 7},
	"config:DeleteConfigurationRecorder": {request: `{"configurationRecorderName":"default"}`, title: "deleted configuration recorder default", severity: 7},
	"config:DeleteDeliveryChannel":       {request: `{"deliveryChannelName":"default"}`, title: "deleted delivery channel of AWS Config default", severity: 7},

	"ec2:DeleteFlowLogs":                                 {request: `{"DeleteFlowLogsRequest":{"FlowLogId":{"content":"fl-0a1b","tag":1}}}`, title: "deleted flow log fl-0a1b", severity: 7},
	"route53resolver:DeleteResolverQueryLogConfig":       {request: `{"resolverQueryLogConfigId":"rqlc-1"}`, title: "deleted log of DNS queries rqlc-1", severity: 7},
	"route53resolver:DisassociateResolverQueryLogConfig": {request: `{"resolverQueryLogConfigId":"rqlc-1","resourceId":"vpc-1"}`, title: "stopped the log of DNS queries of network vpc-1", severity: 7},
	"bedrock:DeleteModelInvocationLoggingConfiguration":  {title: "stopped the logging of calls of Bedrock's models", severity: 6},

	"s3:PutBucketLifecycle": {request: `{"bucketName":"acme-cloudtrail","LifecycleConfiguration":{"Rule":{"ID":"x","Status":"Enabled","Expiration":{"Days":1}}}}`, title: "let what is in bucket acme-cloudtrail expire within days", severity: 7,
		not: []string{`{"bucketName":"b","LifecycleConfiguration":{"Rule":{"Status":"Disabled","Expiration":{"Days":1}}}}`, `{"bucketName":"b","LifecycleConfiguration":{"Rule":[{"Status":"Enabled","Expiration":{"Days":90}},{"Status":"Enabled","Expiration":{"ExpiredObjectDeleteMarker":true}}]}}`}},
	"s3:PutBucketLifecycleConfiguration": {request: `{"bucketName":"scratch","LifecycleConfiguration":{"Rule":[{"Status":"Enabled","Expiration":{"Days":"400"}},{"Status":"Enabled","Expiration":{"Days":"3"}}]}}`, title: "let what is in bucket scratch expire within days", severity: 5},
	"s3:PutBucketVersioning":             {request: `{"bucketName":"b","VersioningConfiguration":{"Status":"Suspended"}}`, title: "stopped the versioning of bucket b", severity: 6, byRole: 5, not: []string{`{"bucketName":"b","VersioningConfiguration":{"Status":"Enabled"}}`}},
	"kms:ScheduleKeyDeletion":            {request: `{"keyId":"arn:aws:kms:us-east-1:222222222222:key/k1","pendingWindowInDays":7}`, title: "scheduled the deletion of KMS key k1", severity: 7, byRole: 5},
	"kms:DisableKey":                     {request: `{"keyId":"k1"}`, title: "disabled KMS key k1", severity: 7, byRole: 5},

	"organizations:LeaveOrganization":             {title: "took the account out of its organization", severity: 8},
	"organizations:RemoveAccountFromOrganization": {request: `{"accountId":"333333333333"}`, title: "took account 333333333333 out of the organization", severity: 8},
	"organizations:MoveAccount":                   {request: `{"accountId":"333333333333","destinationParentId":"ou-1"}`, title: "moved account 333333333333 to another unit", severity: 6},
	"organizations:DetachPolicy":                  {request: `{"policyId":"p-1","targetId":"333333333333"}`, title: "detached policy p-1 from its target", severity: 7},
	"organizations:DeletePolicy":                  {request: `{"policyId":"p-1"}`, title: "deleted policy p-1", severity: 6},
	"organizations:UpdatePolicy":                  {request: `{"policyId":"p-1"}`, title: "changed policy p-1", severity: 6},
	"organizations:DisablePolicyType":             {request: `{"rootId":"r-1","policyType":"SERVICE_CONTROL_POLICY"}`, title: "lifted all policies of type SERVICE_CONTROL_POLICY", severity: 8},

	"sts:GetFederationToken":          {request: `{"name":"night"}`, title: "got credentials for federated session night", severity: 7},
	"sts:AssumeRoot":                  {request: `{"targetPrincipal":"333333333333"}`, title: "got credentials of the root user of account 333333333333", severity: 7},
	"rolesanywhere:CreateTrustAnchor": {request: `{"name":"site","enabled":true}`, answer: `{"trustAnchor":{"trustAnchorId":"t-1"}}`, title: "created trust anchor site", severity: 8},
	"rolesanywhere:UpdateTrustAnchor": {request: `{"trustAnchorId":"t-1"}`, title: "changed trust anchor t-1", severity: 7},
	"rolesanywhere:EnableTrustAnchor": {request: `{"trustAnchorId":"t-1"}`, title: "enabled trust anchor t-1", severity: 7},
	"rolesanywhere:CreateProfile":     {request: `{"name":"site","roleArns":["arn:aws:iam::222222222222:role/site"]}`, title: "created profile site of Roles Anywhere", severity: 7},
	"rolesanywhere:UpdateProfile":     {request: `{"profileId":"p-1","roleArns":["arn:aws:iam::222222222222:role/site"]}`, title: "changed profile p-1 of Roles Anywhere", severity: 7},
	"rolesanywhere:EnableProfile":     {request: `{"profileId":"p-1"}`, answer: `{"profile":{"roleArns":["arn:aws:iam::222222222222:role/site"]}}`, title: "enabled profile p-1 of Roles Anywhere", severity: 7},
	"lambda:AddPermission": {request: `{"functionName":"pay","principal":"444444444444","statementId":"s"}`, title: "let others call function pay", severity: 7, lets: "444444444444 (another account)",
		not: []string{`{"functionName":"pay","principal":"s3.amazonaws.com","sourceArn":"arn:aws:s3:::b"}`, `{"functionName":"pay","principal":"222222222222"}`}},
	"lambda:UpdateFunctionCode":          {request: `{"functionName":"arn:aws:lambda:us-east-1:222222222222:function:pay","dryRun":false}`, answer: `{"role":"arn:aws:iam::222222222222:role/pay"}`, title: "changed the code of function pay", severity: 6, byRole: 5, not: []string{`{"functionName":"pay","dryRun":true}`}},
	"lambda:UpdateFunctionConfiguration": {request: `{"functionName":"pay","layers":["arn:aws:lambda:us-east-1:444444444444:layer:x:1"]}`, title: "set the layers of function pay", severity: 6, byRole: 5, not: []string{`{"functionName":"pay","layers":[]}`, `{"functionName":"pay","timeout":3}`}},
	"lambda:CreateFunctionUrlConfig":     {request: `{"functionName":"pay","authType":"NONE"}`, title: "gave an address to function pay that asks for no credentials", severity: 6, byRole: 5, not: []string{`{"functionName":"pay","authType":"AWS_IAM"}`}},
	"lambda:UpdateFunctionUrlConfig":     {request: `{"functionName":"pay","authType":"NONE"}`, title: "gave an address to function pay that asks for no credentials", severity: 6, byRole: 5, not: []string{`{"functionName":"pay"}`}},

	"ec2:ModifyInstanceAttribute":                        {request: `{"instanceId":"i-0d3e1a5b7c9f20007","userData":"<sensitiveDataRemoved>"}`, title: "changed what instance i-0d3e1a5b7c9f20007 runs when it starts", severity: 7, byRole: 5, not: []string{`{"instanceId":"i-1","disableApiTermination":{"value":true}}`, `{"instanceId":"i-1","attribute":"instanceType","value":"t3.nano"}`}},
	"ec2:EnableSerialConsoleAccess":                      {request: `{"EnableSerialConsoleAccessRequest":""}`, title: "enabled the serial console of all instances", severity: 6},
	"ec2-instance-connect:SendSerialConsoleSSHPublicKey": {request: `{"instanceId":"i-0d3e1a5b7c9f20007","serialPort":0}`, title: "sent an SSH key to the serial console of instance i-0d3e1a5b7c9f20007", severity: 6, byRole: 5},
	"ec2-instance-connect:SendSSHPublicKey":              {request: `{"instanceId":"i-0d3e1a5b7c9f20007","instanceOSUser":"root"}`, title: "sent an SSH key to instance i-0d3e1a5b7c9f20007", severity: 5},
	"ec2:AuthorizeSecurityGroupIngress": {request: `{"groupId":"sg-1","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":20,"toPort":25,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}}]}}`, title: "opened ports of security group sg-1 to the world", severity: 6, byRole: 5,
		not: []string{`{"groupId":"sg-1","ipPermissions":{"items":[{"ipProtocol":"tcp","fromPort":443,"toPort":443,"ipRanges":{"items":[{"cidrIp":"0.0.0.0/0"}]}},{"ipProtocol":"tcp","fromPort":22,"toPort":22,"ipRanges":{"items":[{"cidrIp":"10.0.0.0/8"}]}}]}}`, `{"groupId":"sg-1","ipPermissions":{}}`}},
	"ec2:ModifySecurityGroupRules": {request: `{"ModifySecurityGroupRulesRequest":{"GroupId":"sg-1","SecurityGroupRule":{"SecurityGroupRuleId":"sgr-1","SecurityGroupRule":{"IpProtocol":"-1","CidrIpv6":"::/0"}}}}`, title: "opened ports of security group sg-1 to the world", severity: 6, byRole: 5,
		not: []string{`{"ModifySecurityGroupRulesRequest":{"GroupId":"sg-1","SecurityGroupRule":{"SecurityGroupRule":{"IpProtocol":"tcp","FromPort":80,"ToPort":80,"CidrIpv4":"0.0.0.0/0"}}}}`}},

	"sagemaker:CreateNotebookInstanceLifecycleConfig": {request: `{"notebookInstanceLifecycleConfigName":"start"}`, title: "created lifecycle configuration start, which runs when notebooks start", severity: 6, byRole: 5},
	"sagemaker:UpdateNotebookInstanceLifecycleConfig": {request: `{"notebookInstanceLifecycleConfigName":"start"}`, title: "changed lifecycle configuration start, which runs when notebooks start", severity: 6, byRole: 5},
	"sagemaker:UpdateNotebookInstance":                {request: `{"notebookInstanceName":"lab","lifecycleConfigName":"start"}`, title: "changed what notebook lab runs when it starts", severity: 6, byRole: 5, not: []string{`{"notebookInstanceName":"lab","instanceType":"ml.t3.medium"}`}},
	"sso:CreateAccountAssignment":                     {request: `{"targetId":"333333333333","principalId":"u-1"}`, title: "gave account 333333333333 to somebody in IAM Identity Center", severity: 5},
	"sso:AttachManagedPolicyToPermissionSet":          {request: `{"permissionSetArn":"arn:aws:sso:::permissionSet/ssoins-1/ps-1"}`, title: "attached a policy to permission set ps-1", severity: 6},
	"sso:PutInlinePolicyToPermissionSet":              {request: `{"permissionSetArn":"arn:aws:sso:::permissionSet/ssoins-1/ps-1"}`, title: "set the inline policy of permission set ps-1", severity: 6},
	"organizations:AcceptHandshake":                   {request: `{"handshakeId":"h-1"}`, title: "accepted invitation h-1 of an organization", severity: 6},
	"organizations:RegisterDelegatedAdministrator":    {request: `{"accountId":"333333333333","servicePrincipal":"x.amazonaws.com"}`, title: "made account 333333333333 an administrator of a service", severity: 6},
	"account:StartPrimaryEmailUpdate":                 {request: `{"accountId":"333333333333"}`, title: "asked for another e-mail address of the root user of account 333333333333", severity: 7},
	"account:AcceptPrimaryEmailUpdate":                {request: `{"accountId":"333333333333"}`, title: "changed the e-mail address of the root user of account 333333333333", severity: 8},

	"ec2:ModifySnapshotAttribute": {request: `{"snapshotId":"snap-1","attributeType":"CREATE_VOLUME_PERMISSION","createVolumePermission":{"add":{"items":[{"userId":"444444444444"}]}}}`, title: "shared snapshot snap-1", severity: 7, lets: "444444444444 (another account)",
		not: []string{`{"snapshotId":"snap-1","createVolumePermission":{"remove":{"items":[{"userId":"444444444444"}]}}}`, `{"snapshotId":"snap-1","createVolumePermission":{"add":{"items":[{"userId":"222222222222"}]}}}`}},
	"ec2:ModifyImageAttribute": {request: `{"imageId":"ami-1","launchPermission":{"add":{"items":[{"group":"all"}]}}}`, title: "shared image ami-1", severity: 8, lets: "everybody",
		not: []string{`{"imageId":"ami-1","launchPermission":{"remove":{"items":[{"group":"all"}]}}}`, `{"imageId":"ami-1","description":{"value":"444444444444"}}`}},
	"rds:ModifyDBSnapshotAttribute":        {request: `{"dBSnapshotIdentifier":"nightly","attributeName":"restore","valuesToAdd":["all"]}`, title: "shared database snapshot nightly", severity: 8, lets: "everybody", not: []string{`{"dBSnapshotIdentifier":"nightly","attributeName":"restore","valuesToRemove":["all"]}`}},
	"rds:ModifyDBClusterSnapshotAttribute": {request: `{"dBClusterSnapshotIdentifier":"nightly","valuesToAdd":["333333333333"]}`, title: "shared cluster snapshot nightly", severity: 5, lets: "333333333333 (account sandbox)", not: []string{`{"dBClusterSnapshotIdentifier":"nightly","valuesToRemove":["444444444444"]}`}},
	"redshift:AuthorizeSnapshotAccess":     {request: `{"snapshotIdentifier":"s1","accountWithRestoreAccess":"444444444444"}`, title: "shared Redshift snapshot s1", severity: 7, lets: "444444444444 (another account)", not: []string{`{"snapshotIdentifier":"s1","accountWithRestoreAccess":"amazon-redshift-support"}`}},
	"redshift:AuthorizeDataShare":          {request: `{"dataShareArn":"arn:aws:redshift:us-east-1:222222222222:datashare:n/s","consumerIdentifier":"444444444444"}`, title: "shared data share s", severity: 7, lets: "444444444444 (another account)", not: []string{`{"consumerIdentifier":"222222222222"}`}},
	"ssm:ModifyDocumentPermission":         {request: `{"name":"run","permissionType":"Share","accountIdsToAdd":["all"]}`, title: "shared SSM document run", severity: 8, lets: "everybody", not: []string{`{"name":"run","accountIdsToRemove":["all"]}`}},
	"ram:CreateResourceShare":              {request: `{"name":"nets","principals":["444444444444"],"allowExternalPrincipals":true}`, title: "created resource share nets", severity: 7, lets: "444444444444 (another account)", not: []string{`{"name":"nets"}`}},
	"ram:AssociateResourceShare":           {request: `{"resourceShareArn":"arn:aws:ram:us-east-1:222222222222:resource-share/r1","principals":["arn:aws:organizations::444444444444:organization/o-1"]}`, title: "added to resource share r1", severity: 7, lets: "arn:aws:organizations::444444444444:organization/o-1 (another account)", not: []string{`{"resourceShareArn":"r","resourceArns":["arn:aws:ec2:us-east-1:444444444444:subnet/s"]}`}},

	"s3:PutBucketPolicy": {request: `{"bucketName":"b","bucketPolicy":` + foreign + `,"policy":""}`, title: "opened bucket b to others", severity: 7, lets: stranger, not: []string{`{"bucketName":"b","bucketPolicy":` + atHome + `,"policy":""}`}},
	"s3:PutBucketAcl": {request: `{"bucketName":"b","AccessControlPolicy":{"Owner":{"ID":"` + strings.Repeat("a", 64) + `"},"AccessControlList":{"Grant":[{"Grantee":{"xsi:type":"CanonicalUser","ID":"` + strings.Repeat("a", 64) + `"},"Permission":"FULL_CONTROL"},{"Grantee":{"xsi:type":"Group","URI":"http://acs.amazonaws.com/groups/global/AllUsers"},"Permission":"READ"}]}}}`,
		title: "opened bucket b to others", severity: 8, lets: "everybody", not: []string{`{"bucketName":"b","acl":[""],"x-amz-acl":["private"]}`, `{"bucketName":"b","AccessControlPolicy":{"AccessControlList":{"Grant":{"Grantee":{"URI":"http://acs.amazonaws.com/groups/s3/LogDelivery"}}}}}`}},
	"s3:PutAccessPointPolicy":              opened("policy", `"name":"ap"`, "opened access point ap to others"),
	"s3:PutBucketReplication":              {request: `{"bucketName":"b","ReplicationConfiguration":{"Role":"arn:aws:iam::222222222222:role/r","Rule":{"Destination":{"Bucket":"arn:aws:s3:::far","Account":"444444444444"}}}}`, title: "set where bucket b is copied to", severity: 7, lets: "444444444444 (another account)"},
	"s3:DeleteBucketPublicAccessBlock":     {request: `{"bucketName":"b"}`, title: "lifted the block of public access of bucket b", severity: 6},
	"s3:PutBucketPublicAccessBlock":        {request: `{"bucketName":"b","PublicAccessBlockConfiguration":{"BlockPublicAcls":true,"BlockPublicPolicy":false}}`, title: "lifted the block of public access of bucket b", severity: 6, not: []string{`{"bucketName":"b","PublicAccessBlockConfiguration":{"BlockPublicAcls":true,"BlockPublicPolicy":true}}`}},
	"s3:DeleteAccountPublicAccessBlock":    {title: "lifted the account's block of public access", severity: 7},
	"s3:PutAccountPublicAccessBlock":       {request: `{"PublicAccessBlockConfiguration":{"BlockPublicAcls":"false"}}`, title: "lifted the account's block of public access", severity: 7, not: []string{`{"PublicAccessBlockConfiguration":{"BlockPublicAcls":"true"}}`}},
	"ec2:DisableSnapshotBlockPublicAccess": {title: "lifted the block of public snapshots", severity: 6},
	"ec2:DisableImageBlockPublicAccess":    {title: "lifted the block of public images", severity: 6},

	"kms:PutKeyPolicy":                      opened("policy", `"keyId":"k1"`, "opened KMS key k1 to others"),
	"kms:CreateGrant":                       {request: `{"keyId":"k1","granteePrincipal":"arn:aws:iam::444444444444:role/x","operations":["Decrypt"]}`, title: "opened KMS key k1 to others", severity: 7, lets: "arn:aws:iam::444444444444:role/x (another account)", not: []string{`{"keyId":"k1","granteePrincipal":"AWS Internal"}`, `{"keyId":"k1","granteePrincipal":"222222222222:aws:ec2-infrastructure:i-81e2f56c"}`, `{"keyId":"k1","granteePrincipal":"arn:aws:iam::222222222222:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"}`}},
	"secretsmanager:PutResourcePolicy":      opened("resourcePolicy", `"secretId":"db"`, "opened secret db to others"),
	"ecr:SetRepositoryPolicy":               opened("policyText", `"repositoryName":"app"`, "opened repository app to others"),
	"ecr:PutRegistryPolicy":                 opened("policyText", `"x":1`, "opened all repositories to others"),
	"ecr:PutReplicationConfiguration":       {request: `{"replicationConfiguration":{"rules":[{"destinations":[{"region":"us-east-1","registryId":"444444444444"}]}]}}`, title: "copied all repositories to others", severity: 7, lets: "444444444444 (another account)", not: []string{`{"replicationConfiguration":{"rules":[{"destinations":[{"region":"eu-west-1","registryId":"222222222222"}]}]}}`}},
	"lambda:AddLayerVersionPermission":      {request: `{"layerName":"x","principal":"*","statementId":"s"}`, title: "opened layer x to others", severity: 8, lets: "everybody", not: []string{`{"layerName":"x","principal":"222222222222"}`}},
	"sns:AddPermission":                     {request: `{"topicArn":"arn:aws:sns:us-east-1:222222222222:t","label":"x","aWSAccountId":["444444444444"]}`, title: "opened topic t to others", severity: 7, lets: "444444444444 (another account)", not: []string{`{"topicArn":"arn:aws:sns:us-east-1:222222222222:t","aWSAccountId":["222222222222"]}`}},
	"sns:SetTopicAttributes":                opened("attributeValue", `"topicArn":"arn:aws:sns:us-east-1:222222222222:t","attributeName":"Policy"`, "opened topic t to others"),
	"sqs:AddPermission":                     {request: `{"queueUrl":"https://sqs.us-east-1.amazonaws.com/222222222222/q","aWSAccountIds":["444444444444"]}`, title: "opened queue https://sqs.us-east-1.amazonaws.com/222222222222/q to others", severity: 7, lets: "444444444444 (another account)", not: []string{`{"queueUrl":"q","aWSAccountIds":["222222222222"]}`}},
	"sqs:SetQueueAttributes":                {request: `{"queueUrl":"q","attributes":{"Policy":` + quoted(foreign) + `}}`, title: "opened queue q to others", severity: 7, lets: stranger, not: []string{`{"queueUrl":"q","attributes":{"VisibilityTimeout":"30"}}`, `{"queueUrl":"q","attributes":{"Policy":` + quoted(atHome) + `}}`}},
	"dynamodb:PutResourcePolicy":            opened("policy", `"resourceArn":"arn:aws:dynamodb:us-east-1:222222222222:table/t"`, "opened table t to others"),
	"kinesis:PutResourcePolicy":             opened("policy", `"resourceARN":"arn:aws:kinesis:us-east-1:222222222222:stream/s"`, "opened stream s to others"),
	"glue:PutResourcePolicy":                opened("policyInJson", `"x":1`, "opened the data catalog to others"),
	"elasticfilesystem:PutFileSystemPolicy": opened("policy", `"fileSystemId":"fs-1"`, "opened file system fs-1 to others"),
	"backup:PutBackupVaultAccessPolicy":     opened("policy", `"backupVaultName":"v"`, "opened backup vault v to others"),
	"logs:PutSubscriptionFilter":            {request: `{"logGroupName":"/app","destinationArn":"arn:aws:logs:us-east-1:444444444444:destination:d"}`, title: "sent what log group /app logs to others", severity: 7, lets: "arn:aws:logs:us-east-1:444444444444:destination:d (another account)", not: []string{`{"logGroupName":"/app","destinationArn":"arn:aws:lambda:us-east-1:222222222222:function:f"}`}},

	"iam:CreateUser":                      {request: `{"userName":"mule"}`, title: "created user mule", severity: 7},
	"iam:CreateAccessKey":                 {request: `{"userName":"mule"}`, title: "created an access key for user mule", severity: 8},
	"iam:UpdateAccessKey":                 {request: `{"userName":"mule","status":"Active"}`, title: "set one access key of user mule to Active", severity: 5},
	"iam:CreateLoginProfile":              {request: `{"userName":"mule"}`, title: "created a console password for user mule", severity: 8},
	"iam:UpdateLoginProfile":              {request: `{"userName":"mule"}`, title: "changed the console password of user mule", severity: 8},
	"iam:UploadSSHPublicKey":              {request: `{"userName":"mule"}`, title: "uploaded an SSH key for user mule", severity: 6},
	"iam:UploadSigningCertificate":        {request: `{"userName":"mule"}`, title: "uploaded a signing certificate for user mule", severity: 7},
	"iam:CreateServiceSpecificCredential": {request: `{"userName":"mule"}`, title: "created a service credential for user mule", severity: 7},
	"iam:ResetServiceSpecificCredential":  {request: `{"userName":"mule"}`, title: "reset a service credential of user mule", severity: 7},
	"iam:DeleteUserPermissionsBoundary":   {request: `{"userName":"mule"}`, title: "deleted the permissions boundary of user mule", severity: 6},
	"iam:DeleteRolePermissionsBoundary":   {request: `{"roleName":"door"}`, title: "deleted the permissions boundary of role door", severity: 6},
	"iam:AddUserToGroup":                  {request: `{"userName":"mule","groupName":"admins"}`, title: "added user mule to group admins", severity: 8},
	"iam:AttachUserPolicy":                {request: `{"userName":"mule","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`, title: "attached policy AdministratorAccess to user mule", severity: 8},
	"iam:AttachGroupPolicy":               {request: `{"groupName":"staff","policyArn":"arn:aws:iam::aws:policy/IAMFullAccess"}`, title: "attached policy IAMFullAccess to group staff", severity: 8},
	"iam:AttachRolePolicy":                {request: `{"roleName":"door","policyArn":"arn:aws:iam::aws:policy/PowerUserAccess"}`, title: "attached policy PowerUserAccess to role door", severity: 8},
	"iam:PutUserPolicy":                   {request: withPolicy("policyDocument", `"userName":"mule","policyName":"p"`, `{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`), title: "set the inline policy p of user mule", severity: 7},
	"iam:PutGroupPolicy":                  {request: withPolicy("policyDocument", `"groupName":"staff","policyName":"p"`, `{"Statement":[{"Effect":"Allow","Action":["s3:Get*","iam:*"],"Resource":"*"}]}`), title: "set the inline policy p of group staff", severity: 7},
	"iam:PutRolePolicy":                   {request: withPolicy("policyDocument", `"roleName":"door","policyName":"p"`, `{"Statement":[{"Effect":"Allow","NotAction":"s3:*","Resource":"*"}]}`), title: "set the inline policy p of role door", severity: 7},
	"iam:CreatePolicyVersion":             {request: withPolicy("policyDocument", `"policyArn":"arn:aws:iam::222222222222:policy/p"`, `{"Statement":[{"Effect":"Allow","Action":"*:*","Resource":"*"}]}`), title: "created a version of policy p", severity: 7},
	"iam:UpdateAssumeRolePolicy":          {request: withPolicy("policyDocument", `"roleName":"door"`, foreign), title: "changed who may assume role door", severity: 7, lets: stranger},
	"iam:CreateRole":                      {request: withPolicy("assumeRolePolicyDocument", `"roleName":"door"`, strings.Replace(foreign, `"arn:aws:iam::444444444444:root"`, `"*"`, 1)), title: "created role door", severity: 8, lets: "everybody"},

	"iam:CreateSAMLProvider":                    {request: `{"name":"idp"}`, title: "created SAML identity provider idp", severity: 7},
	"iam:UpdateSAMLProvider":                    {request: `{"sAMLProviderArn":"arn:aws:iam::222222222222:saml-provider/idp"}`, title: "changed SAML identity provider idp", severity: 7},
	"iam:CreateOpenIDConnectProvider":           {request: `{"url":"https://idp.example"}`, title: "created OpenID Connect identity provider https://idp.example", severity: 7},
	"iam:AddClientIDToOpenIDConnectProvider":    {request: `{"clientID":"x"}`, title: "added a client to an OpenID Connect identity provider", severity: 6},
	"iam:UpdateOpenIDConnectProviderThumbprint": {request: `{"thumbprintList":[]}`, title: "changed the thumbprint of an OpenID Connect identity provider", severity: 6},
}

// notCalled are on the list only for the root user, or are no API calls: tests of their own have them.
var notCalled = []string{"iam:EnableMFADevice", "iam:DeactivateMFADevice", "signin:ConsoleLogin", "signin:PasswordRecoveryRequested", "signin:PasswordRecoveryCompleted", "signin:PasswordUpdated", "signin:EmailUpdated"}

// call is an event of a call, by the caller of a sample.
func call(t *testing.T, sample, key, request, answer string, edit map[string]any) Event {
	t.Helper()
	service, name, _ := strings.Cut(key, ":")
	if service == "lambda" {
		name += "20150331v2"
	}
	all := map[string]any{"source": "aws." + service, "detail.eventSource": service + ".amazonaws.com", "detail.eventName": name}
	for place, text := range map[string]string{"detail.requestParameters": request, "detail.responseElements": answer} {
		var v any
		if text != "" && json.Unmarshal([]byte(text), &v) != nil {
			t.Fatalf("%s: not JSON: %s", key, text)
		}
		all[place] = v
	}
	maps.Copy(all, edit)
	return edited(t, sample, all)
}

var listedRoute = Match{Source: CloudTrail, Type: ListedType}

// TestEveryListedCall: each call of the list is an alert by a user and by a role, quiet if it failed,
// nothing if an AWS service calls, and loud under the name of our own role.
func TestEveryListedCall(t *testing.T) {
	for key, c := range changes() {
		if _, ok := examples[key]; c.listed != nil && !ok && !slices.Contains(notCalled, key) {
			t.Errorf("%s has no example", key)
		}
	}
	const oscar, deployer = "quarantine_user arn:aws:iam::222222222222:user/oscar", "revoke_sessions arn:aws:iam::222222222222:role/ci-deployer"
	for key, c := range examples {
		t.Run(key, func(t *testing.T) {
			_, name, _ := strings.Cut(key, ":")
			read := func(sample string, edit map[string]any) Finding {
				t.Helper()
				a := one(t, Reader{Org: org}, call(t, sample, key, c.request, c.answer, edit))
				checkAlert(t, org, a)
				return a
			}
			user, role := read(ctUser, nil), read(ctRole, map[string]any{"detail.readOnly": strings.HasPrefix(key, "sts:")})
			if user.Title != "User oscar "+c.title || role.Title != "Role ci-deployer "+c.title {
				t.Errorf("%q, %q", user.Title, role.Title)
			}
			byRole := c.byRole
			if byRole == 0 {
				byRole = c.severity
			}
			if user.Severity != c.severity || role.Severity != byRole {
				t.Errorf("severity %v, by a role %v", user.Severity, role.Severity)
			}
			for kind, a := range map[string]Finding{name: user, "AssumedRole:" + name: role} {
				if a.Type != kind || a.Quiet || !a.Change || !listedRoute.matches(a) || !(Match{Source: CloudTrail}).matches(a) {
					t.Errorf("type %s, quiet %t, listed %t", a.Type, a.Quiet, a.Change)
				}
				want{facts: map[string]string{"API call": key}}.has(t, a)
				if c.lets != "" {
					want{facts: map[string]string{"Lets in": c.lets}}.has(t, a)
				}
				for _, line := range a.ByHand {
					if strings.ContainsAny(line, "{}") {
						t.Errorf("by hand %q", line)
					}
				}
			}
			if offered(user)[0] != oscar || offered(role)[0] != deployer {
				t.Errorf("%q, %q", offered(user), offered(role))
			}
			for _, x := range append(user.Containments, role.Containments...) {
				if x.Call.Action == "deny_principal" || x.Call.Action == "apply_scp" || x.Unsure == "" && !strings.Contains(strings.ToLower(x.Call.String()), "oscar") && x.Call.String() != deployer && !strings.HasPrefix(key, "iam:") {
					t.Errorf("offers %s", x.Call)
				}
			}
			denied := read(ctUser, map[string]any{"detail.errorCode": "AccessDenied"})
			if denied.Type != "Denied:"+name || !denied.Quiet || denied.Change || denied.Severity != attemptSeverity || listedRoute.matches(denied) {
				t.Errorf("denied: %s, quiet %t, %v", denied.Type, denied.Quiet, denied.Severity)
			}
			if got, err := (Reader{Org: org}).Read(call(t, ctUser, key, c.request, c.answer, map[string]any{"detail.userIdentity": map[string]any{"type": "AWSService", "invokedBy": "x.amazonaws.com"}})); !errors.Is(err, ErrIgnored) {
				t.Errorf("by a service: %v, %v", got, err)
			}
			if own := read(ctOwn, nil); own.OwnRole == "" || own.Call != key || own.Severity != Critical || !own.Change || own.Quiet || own.Containments != nil || !strings.Contains(own.Title, "called "+key+", and no request of ours explains it") {
				t.Errorf("under our role's name: %+v", own)
			}
			for _, request := range c.not {
				if got, err := (Reader{Org: org}).Read(call(t, ctUser, key, request, "", nil)); !errors.Is(err, ErrIgnored) {
					t.Errorf("%s: %+v, %v", request, got, err)
				}
			}
		})
	}
}

// TestWhatIsNotListed: IAM's changes that are not decisive are not on the list, and stay quiet for roles.
func TestWhatIsNotListed(t *testing.T) {
	for key, request := range map[string]string{
		"iam:TagRole":             `{"roleName":"x"}`,
		"iam:AttachUserPolicy":    `{"userName":"mule","policyArn":"arn:aws:iam::aws:policy/ReadOnlyAccess"}`,
		"iam:PutRolePolicy":       withPolicy("policyDocument", `"roleName":"x","policyName":"p"`, `{"Statement":[{"Effect":"Allow","Action":"s3:*","Resource":"*"},{"Effect":"Deny","Action":"*","Resource":"*"}]}`),
		"iam:CreateRole":          withPolicy("assumeRolePolicyDocument", `"roleName":"x"`, atHome),
		"iam:UpdateAccessKey":     `{"userName":"mule","status":"Inactive"}`,
		"iam:AddUserToGroup":      `{"userName":"mule","groupName":"staff"}`,
		"iam:DeactivateMFADevice": `{"userName":"mule"}`,
		"iam:CreatePolicyVersion": withPolicy("policyDocument", `"policyArn":"arn:aws:iam::222222222222:policy/p"`, "not JSON"),
	} {
		user, role := one(t, Reader{Org: org}, call(t, ctUser, key, request, "", nil)), one(t, Reader{Org: org}, call(t, ctRole, key, request, "", nil))
		if user.Change || user.Quiet || role.Change || !role.Quiet || listedRoute.matches(user) || listedRoute.matches(role) {
			t.Errorf("%s: %+v, %+v", key, user, role)
		}
	}
	for _, key := range []string{"ec2:RunInstances", "sts:AssumeRole", "s3:DeleteBucketPolicy", "s3:StopLogging", "cloudtrail:StopLogging2", "lambda:Invoke"} {
		if got, err := (Reader{Org: org}).Read(call(t, ctUser, key, `{"name":["odd"]}`, "", map[string]any{"detail.userIdentity": map[string]any{"type": 5}, "detail.eventID": nil})); !errors.Is(err, ErrIgnored) {
			t.Errorf("%s: %v, %v", key, got, err)
		}
	}
}

// TestWhoIsOutside: who a policy or a list lets in, in every shape that services write.
func TestWhoIsOutside(t *testing.T) {
	r := Reader{Org: org}
	const key = "s3:PutBucketPolicy"
	bucket := func(statement string) string {
		return `{"bucketName":"b","bucketPolicy":{"Statement":` + statement + `}}`
	}
	everyone := func(condition string) string {
		return bucket(`{"Effect":"Allow","Principal":"*","Condition":` + condition + `}`)
	}
	for name, c := range map[string]struct {
		request  string
		severity float64 // 0: it is none
		lets     string
	}{
		"one statement":              {bucket(`{"Effect":"Allow","Principal":"*"}`), 8, "everybody"},
		"in a list of kinds":         {bucket(`[{"Effect":"Allow","Principal":{"AWS":["arn:aws:iam::222222222222:root","444444444444"]}}]`), 7, "444444444444 (another account)"},
		"an account of ours":         {bucket(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::333333333333:role/x"}}`), 5, "(account sandbox)"},
		"the hub":                    {bucket(`{"Effect":"Allow","Principal":{"AWS":"111111111111"}}`), 5, "(an account of ours)"},
		"a service":                  {bucket(`{"Effect":"Allow","Principal":{"Service":"cloudtrail.amazonaws.com"}}`), 0, ""},
		"CloudFront's identity":      {bucket(`{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity E1"}}`), 0, ""},
		"all but somebody":           {bucket(`{"Effect":"Allow","NotPrincipal":{"AWS":"arn:aws:iam::222222222222:root"}}`), 8, "everybody but"},
		"a deny":                     {bucket(`{"Effect":"Deny","Principal":"*"}`), 0, ""},
		"the account under a key":    {everyone(`{"StringEquals":{"aws:PrincipalAccount":"222222222222"}}`), 0, ""},
		"another one under a key":    {everyone(`{"StringEquals":{"aws:SourceAccount":["222222222222","444444444444"]}}`), 7, "everybody of 222222222222, 444444444444 (another account)"},
		"an organization":            {everyone(`{"StringEquals":{"aws:PrincipalOrgID":"o-abc"}}`), 5, "everybody of o-abc"},
		"a network":                  {everyone(`{"StringEquals":{"aws:SourceVpce":"vpce-1"}}`), 5, "everybody of vpce-1"},
		"both, and TLS":              {everyone(`{"Bool":{"aws:SecureTransport":"true"},"StringEquals":{"AWS:PrincipalOrgID":"o-abc","aws:PrincipalAccount":"222222222222"}}`), 0, ""},
		"an address":                 {everyone(`{"IpAddress":{"aws:SourceIp":"198.51.100.7"}}`), 8, "everybody"},
		"a condition that is none":   {everyone(`{"StringLike":{"aws:PrincipalArn":"*"}}`), 8, "everybody"},
		"a role of any account":      {everyone(`{"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/x"}}`), 8, "everybody"},
		"a bucket that notifies":     {everyone(`{"ArnLike":{"aws:SourceArn":"arn:aws:s3:::b"}}`), 5, "everybody of arn:aws:s3:::b"},
		"only if the key is there":   {everyone(`{"StringEqualsIfExists":{"aws:PrincipalAccount":"222222222222"}}`), 8, "everybody"},
		"whoever it is not":          {everyone(`{"StringNotEquals":{"aws:PrincipalAccount":"222222222222"}}`), 8, "everybody"},
		"a condition of odd shape":   {everyone(`["x"]`), 8, "everybody"},
		"S3's ID of an account":      {bucket(`{"Effect":"Allow","Principal":{"CanonicalUser":"` + strings.Repeat("b", 64) + `"}}`), 5, "that can't be told"},
		"principals as numbers":      {bucket(`{"Effect":"Allow","Principal":{"AWS":444444444444}}`), 7, "444444444444 (another account)"},
		"a policy as a text":         {`{"bucketName":"b","bucketPolicy":` + quoted(foreign) + `}`, 7, stranger},
		"a policy that is cut off":   {`{"bucketName":"b","bucketPolicy":"{\"Statement\":[{"}`, 7, "a policy that can't be read"},
		"statements of odd shape":    {bucket(`["x",5,null,[]]`), 0, ""},
		"an effect of odd shape":     {bucket(`[{"Effect":[],"Principal":"*"}]`), 0, ""},
		"parameters that are a list": {`[{"bucketName":"b","bucketPolicy":` + foreign + `}]`, 7, stranger},
		"behind a long list":         {bucket(`{"Effect":"Allow","Principal":{"AWS":[` + strings.Repeat(`"222222222222",`, 2000) + `"444444444444"]}}`), 7, "444444444444 (another account)"},
		"behind many statements":     {bucket(`[` + strings.Repeat(`{"Effect":"Deny","Principal":"*"},`, 2000) + `{"Effect":"Allow","Principal":"444444444444"}]`), 7, "444444444444 (another account)"},
		"parameters that are a text": {`"x"`, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			as, err := r.Read(call(t, ctUser, key, c.request, "", nil))
			if c.severity == 0 {
				if !errors.Is(err, ErrIgnored) {
					t.Errorf("%+v, %v", as, err)
				}
				return
			}
			if err != nil || len(as) != 1 || as[0].Severity != c.severity {
				t.Fatalf("%+v, %v", as, err)
			}
			want{facts: map[string]string{"Lets in": c.lets}}.has(t, as[0])
		})
	}
	// Lambda's answer has the conditions that its parameters spread.
	answer := `{"statement":` + quoted(`{"Effect":"Allow","Principal":"*","Action":"lambda:InvokeFunction","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-abc"}}}`) + `}`
	if a := one(t, r, call(t, ctUser, "lambda:AddPermission", `{"functionName":"pay","principal":"*"}`, answer, nil)); a.Severity != 5 {
		t.Errorf("an organization's call of a function: %+v", a)
	}
	if a := one(t, r, call(t, ctUser, "guardduty:UpdateDetector", `{"detectorId":"d1","findingPublishingFrequency":"SIX_HOURS"}`, "", nil)); a.Severity != 5 {
		t.Errorf("a detector that stays on: %+v", a)
	}
	if a := one(t, r, call(t, ctUser, "ram:CreateResourceShare", `{"name":"n","principals":["444444444444"],"allowExternalPrincipals":false}`, "", nil)); a.Severity != 5 {
		t.Errorf("shared within the organization: %+v", a)
	}
}

// TestSignIns: root's are on the list, and users' without MFA; what failed is quiet.
func TestSignIns(t *testing.T) {
	root := map[string]any{"detail.userIdentity": map[string]any{"type": "Root", "principalId": "222222222222", "arn": "arn:aws:iam::222222222222:root", "accountId": "222222222222", "accessKeyId": ""}}
	user := map[string]any{"detail.userIdentity": map[string]any{"type": "IAMUser", "principalId": "AIDAX", "arn": "arn:aws:iam::222222222222:user/oscar", "accountId": "222222222222", "userName": "oscar"}}
	federated := map[string]any{"detail.userIdentity": map[string]any{"type": "AssumedRole", "principalId": "AROAX:dana", "sessionContext": map[string]any{"sessionIssuer": map[string]any{"type": "Role", "arn": "arn:aws:iam::222222222222:role/sso", "userName": "sso"}}}}
	for name, c := range map[string]struct {
		event, answer, mfa string
		who                map[string]any
		typ, title         string // none: ignored
		severity           float64
	}{
		"root":                     {"ConsoleLogin", "Success", "Yes", root, "ConsoleLogin", "Root user signed in to the console", 7},
		"root without MFA":         {"ConsoleLogin", "Success", "No", root, "ConsoleLogin", "Root user signed in to the console without MFA", 7},
		"root, failed":             {"ConsoleLogin", "Failure", "No", root, "Failed:ConsoleLogin", "Root user tried to sign in to the console without MFA: failed (Failure)", 3},
		"root's password":          {"PasswordRecoveryCompleted", "Success", "", root, "PasswordRecoveryCompleted", "Root user set a new password of the root user, by mail", 8},
		"root's new password":      {"PasswordUpdated", "Success", "", root, "PasswordUpdated", "Root user changed the password of the root user", 8},
		"a user without MFA":       {"ConsoleLogin", "Success", "No", user, "ConsoleLogin", "User oscar signed in to the console without MFA", 5},
		"a user with MFA":          {"ConsoleLogin", "Success", "Yes", user, "", "", 0},
		"a federated person":       {"ConsoleLogin", "Success", "No", federated, "", "", 0},
		"somebody else's password": {"PasswordUpdated", "Success", "", user, "", "", 0},
		"another event":            {"CheckMfa", "Success", "No", root, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			edit := map[string]any{"detail-type": "AWS Console Sign In via CloudTrail", "detail.additionalEventData": map[string]any{"MFAUsed": c.mfa, "MobileVersion": "No"}}
			maps.Copy(edit, c.who)
			as, err := Reader{Org: org}.Read(call(t, ctUser, "signin:"+c.event, "", `{"`+c.event+`":"`+c.answer+`"}`, edit))
			if c.typ == "" {
				if !errors.Is(err, ErrIgnored) {
					t.Errorf("%+v, %v", as, err)
				}
				return
			}
			if err != nil || len(as) != 1 {
				t.Fatal(as, err)
			}
			a := as[0]
			checkAlert(t, org, a)
			if failed := c.answer == "Failure"; a.Type != c.typ || a.Title != c.title || a.Severity != c.severity || a.Quiet != failed || a.Change == failed {
				t.Errorf("%s, %q, %v, quiet %t", a.Type, a.Title, a.Severity, a.Quiet)
			}
			if c.mfa != "" {
				want{facts: map[string]string{"MFA": strings.ToLower(c.mfa)}}.has(t, a)
			}
		})
	}
}

// TestOwnRole: what is called under the name of our own role tells the session and what it touched, of
// any service; what only reads is nothing.
func TestOwnRole(t *testing.T) {
	e := call(t, ctOwn, "ec2:RunInstances", `{"instancesSet":{"items":[{"imageId":"ami-1"}]}}`, `{"instancesSet":{"items":[{"instanceId":"i-1"}]}}`, map[string]any{"detail.userIdentity.principalId": "AROAX:KS-7QK2"})
	a := one(t, Reader{Org: org}, e)
	if a.OwnRole != "KS-7QK2" || a.Call != "ec2:RunInstances" || !slices.Equal(a.Touches, []string{"ami-1", "i-1"}) || !hands(a, "look at once who may assume it") {
		t.Errorf("%+v", a)
	}
	if a := one(t, Reader{Org: org}, call(t, ctOwn, "iam:PutRolePolicy", `{"roleName":"x"}`, "", map[string]any{"detail.errorCode": "AccessDenied"})); a.OwnRole == "" || !a.Quiet || a.Change || a.Severity != attemptSeverity {
		t.Errorf("denied: %+v", a)
	}
	list := slices.Repeat([]string{`"sg-1"`}, 1000)
	if a := one(t, Reader{Org: org}, call(t, ctOwn, "ec2:ModifyInstanceAttribute", `{"groups":[`+strings.Join(list, ",")+`]}`, "", nil)); len(a.Touches) != maxTouches {
		t.Errorf("%d texts", len(a.Touches))
	}
}

// TestLongParametersAreReadFast: no list or depth that a message can hold keeps a worker busy.
func TestLongParametersAreReadFast(t *testing.T) {
	bucket := func(statement string) string {
		return `{"bucketName":"b","bucketPolicy":{"Statement":` + statement + `}}`
	}
	own := func(n int) string { return `[` + strings.Repeat(`"222222222222",`, n) + `"x"]` }
	for name, c := range map[string]struct{ key, request string }{
		"principals": {"s3:PutBucketPolicy", bucket(`{"Effect":"Allow","Principal":{"AWS":` + own(40_000) + `}}`)},
		"statements": {"s3:PutBucketPolicy", bucket(`[` + strings.Repeat(`{"Effect":"Allow","Principal":"*"},`, 7000) + `1]`)},
		"conditions": {"s3:PutBucketPolicy", bucket(`{"Effect":"Allow","Principal":[` + strings.Repeat(`"*",`, 30_000) + `"*"],"Condition":{"StringEquals":{"aws:PrincipalAccount":` + own(8000) + `}}}`)},
		"deep":       {"ec2:AuthorizeSecurityGroupIngress", strings.Repeat(`{"fromPort":1,"toPort":99,"a":`, 9000) + `1` + strings.Repeat("}", 9000)},
		"deep lists": {"ec2:AuthorizeSecurityGroupIngress", strings.Repeat(`[`, 9000) + `1` + strings.Repeat("]", 9000)},
	} {
		began := time.Now()
		if _, err := (Reader{Org: org}).Read(call(t, ctUser, c.key, c.request, "", nil)); err != nil && !errors.Is(err, ErrIgnored) {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}
