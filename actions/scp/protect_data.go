package scp

import (
	"maps"
	"slices"

	"github.com/killswitch-chatops/killswitch/actions"
)

// destroying are the actions that ransom and wiping need: what deletes data or makes its deletion
// final, gives it away, locks its owner out, or blinds who looks. Reading and writing data goes on, and
// so do kms:CancelKeyDeletion and kms:EnableKey.
// https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
var destroying = []string{
	"account:CloseAccount",
	"backup:DeleteBackupPlan", "backup:DeleteBackupSelection", "backup:DeleteBackupVault", "backup:DeleteBackupVaultAccessPolicy",
	"backup:DeleteBackupVaultLockConfiguration", "backup:DeleteRecoveryPoint", "backup:DisassociateRecoveryPoint",
	"backup:DisassociateRecoveryPointFromParent", "backup:PutBackupVaultAccessPolicy", "backup:StopBackupJob", "backup:UpdateBackupPlan",
	"backup:UpdateRecoveryPointLifecycle", "backup:UpdateRegionSettings",
	"cloudtrail:DeleteEventDataStore", "cloudtrail:DeleteTrail", "cloudtrail:PutEventSelectors", "cloudtrail:StopEventDataStoreIngestion",
	"cloudtrail:StopLogging", "cloudtrail:UpdateTrail",
	"dynamodb:DeleteBackup", "dynamodb:DeleteTable", "dynamodb:DeleteTableReplica", "dynamodb:ExportTableToPointInTime",
	"dynamodb:UpdateContinuousBackups", "dynamodb:UpdateTimeToLive",
	"ecr:DeleteRepository",
	"elasticfilesystem:DeleteFileSystem",
	"fsx:DeleteBackup", "fsx:DeleteFileSystem", "fsx:DeleteSnapshot", "fsx:DeleteVolume",
	"logs:DeleteLogGroup", "logs:PutRetentionPolicy",
	"redshift:DeleteCluster", "redshift:DeleteClusterSnapshot",
	"secretsmanager:DeleteSecret",
	"ebs:GetSnapshotBlock", "ebs:ListChangedBlocks", "ebs:ListSnapshotBlocks",
	"ec2:CreateStoreImageTask", "ec2:DeleteFlowLogs", "ec2:DeleteSnapshot", "ec2:DeleteVolume", "ec2:DeregisterImage",
	"ec2:DisableEbsEncryptionByDefault", "ec2:DisableImageBlockPublicAccess", "ec2:DisableImageDeregistrationProtection",
	"ec2:DisableSnapshotBlockPublicAccess", "ec2:ExportImage", "ec2:ModifyImageAttribute", "ec2:ModifySnapshotAttribute", "ec2:UnlockSnapshot",
	"guardduty:DeleteDetector", "guardduty:DeleteMembers", "guardduty:DisassociateFromAdministratorAccount", "guardduty:DisassociateFromMasterAccount",
	"guardduty:DisassociateMembers", "guardduty:StopMonitoringMembers", "guardduty:UpdateDetector",
	"kms:DeleteCustomKeyStore", "kms:DeleteImportedKeyMaterial", "kms:DisableKey", "kms:DisconnectCustomKeyStore", "kms:ImportKeyMaterial",
	"kms:PutKeyPolicy", "kms:ScheduleKeyDeletion",
	"organizations:LeaveOrganization",
	"rds:DeleteDBCluster", "rds:DeleteDBClusterAutomatedBackup", "rds:DeleteDBClusterSnapshot", "rds:DeleteDBInstance",
	"rds:DeleteDBInstanceAutomatedBackup", "rds:DeleteDBSnapshot", "rds:DeleteGlobalCluster", "rds:ModifyDBClusterSnapshotAttribute",
	"rds:ModifyDBSnapshotAttribute", "rds:StartExportTask",
	"s3:BypassGovernanceRetention", "s3:DeleteBucket", "s3:DeleteBucketPolicy", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutAccessPointPolicy",
	"s3:PutAccountPublicAccessBlock", "s3:PutBucketAcl", "s3:PutBucketObjectLockConfiguration", "s3:PutBucketOwnershipControls", "s3:PutBucketPolicy",
	"s3:PutBucketPublicAccessBlock", "s3:PutBucketVersioning", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration", "s3:PutObjectAcl",
	"s3:PutObjectLegalHold", "s3:PutObjectRetention", "s3:PutObjectVersionAcl", "s3:PutReplicationConfiguration",
}

// protectSCP protects data: from everybody but the exempt principals. With deletes, applications may
// go on deleting objects; where buckets have versions, a deleted object can be restored.
func protectSCP(o actions.Org, deletes bool) string {
	list := slices.Clone(destroying)
	if deletes {
		list = slices.DeleteFunc(list, func(a string) bool { return a == "s3:DeleteObject" })
	}
	deletions := denySCP(o, "KillswitchProtectData", nil)
	deletions.Action = list
	// Whom the configuration protects has no need of these: a long list of names must fit in.
	members := actions.Org{Partition: o.Partition, ResponderRole: o.ResponderRole, RestorerRole: o.RestorerRole}
	of := func(sid string, acts []string, when map[string]map[string]any) statementSCP {
		s := denySCP(members, sid, nil)
		s.Action = acts
		maps.Copy(s.Condition, when)
		return s
	}
	return documentSCP(deletions,
		// Objects that are encrypted with a key that only the attacker has ("SSE-C"): the key is in the request alone.
		// https://docs.aws.amazon.com/AmazonS3/latest/userguide/ServerSideEncryptionCustomerKeys.html
		of("KillswitchOwnKeys", []string{"s3:PutObject"}, map[string]map[string]any{"Null": {"s3:x-amz-server-side-encryption-customer-algorithm": "false"}}),
		// The same with a KMS key of another organization, or of an account in none, which has no such property.
		of("KillswitchForeignKeys", []string{"kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"},
			map[string]map[string]any{"StringNotEquals": {"aws:ResourceOrgID": "${aws:PrincipalOrgID}"}}),
		// Use of our keys by principals of other accounts.
		// https://docs.aws.amazon.com/kms/latest/developerguide/conditions-kms.html#conditions-kms-grantee-principal
		of("KillswitchForeignGrants", []string{"kms:CreateGrant"}, map[string]map[string]any{
			"Null":          {"kms:GranteePrincipal": "false"},
			"StringNotLike": {"kms:GranteePrincipal": "arn:" + o.Partition + ":*::${aws:PrincipalAccount}:*"},
			"BoolIfExists":  {"kms:GrantIsForAWSResource": "false"},
		}),
	)
}
