package finding

// sharings are the calls that give data to others. The rule SharingRule of template.yaml has them; a
// test compares it.
func sharings() map[string]change {
	return map[string]change{
		"ec2:ModifySnapshotAttribute":          {does: "share {thing}", severity: 7, listed: toOthers, kind: "snapshot", at: "snapshotId", lets: "createVolumePermission.add", byHand: "This ends all sharing of it; what was copied is gone: aws ec2 reset-snapshot-attribute --attribute createVolumePermission --snapshot-id {thing}"},
		"ec2:ModifyImageAttribute":             {does: "share {thing}", severity: 7, listed: toOthers, kind: "image", at: "imageId", lets: "launchPermission.add", byHand: "This ends all sharing of it; what was copied is gone: aws ec2 reset-image-attribute --attribute launchPermission --image-id {thing}"},
		"rds:ModifyDBSnapshotAttribute":        {does: "share {thing}", severity: 7, listed: toOthers, kind: "database snapshot", at: "dBSnapshotIdentifier", lets: "valuesToAdd", byHand: "Take it back; what was copied is gone: aws rds modify-db-snapshot-attribute --attribute-name restore --values-to-remove ACCOUNT --db-snapshot-identifier {thing}"},
		"rds:ModifyDBClusterSnapshotAttribute": {does: "share {thing}", severity: 7, listed: toOthers, kind: "cluster snapshot", at: "dBClusterSnapshotIdentifier", lets: "valuesToAdd", byHand: "Take it back; what was copied is gone: aws rds modify-db-cluster-snapshot-attribute --attribute-name restore --values-to-remove ACCOUNT --db-cluster-snapshot-identifier {thing}"},
		"redshift:AuthorizeSnapshotAccess":     {does: "share {thing}", severity: 7, listed: toOthers, kind: "Redshift snapshot", at: "snapshotIdentifier snapshotArn", lets: "accountWithRestoreAccess", byHand: "Take it back with redshift revoke-snapshot-access."},
		"redshift:AuthorizeDataShare":          {does: "share {thing}", severity: 7, listed: toOthers, kind: "data share", at: "dataShareArn", lets: "consumerIdentifier", byHand: "Take it back with redshift deauthorize-data-share."},
		"ssm:ModifyDocumentPermission":         {does: "share {thing}", severity: 7, listed: toOthers, kind: "SSM document", at: "name", lets: "accountIdsToAdd", byHand: "Take it back with ssm modify-document-permission."},
		"ram:CreateResourceShare":              {does: "create {thing}", severity: 7, mild: withinOrganization, listed: toOthers, kind: "resource share", at: "name", lets: "principals", byHand: "Take it back with ram delete-resource-share."},
		"ram:AssociateResourceShare":           {does: "add to {thing}", severity: 7, listed: toOthers, kind: "resource share", at: "resourceShareArn", lets: "principals", byHand: "Take it back with ram disassociate-resource-share."},

		"s3:PutBucketPolicy":                   {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "bucket", at: "bucketName", lets: "bucketPolicy policy", byHand: "Set the policy that it had, or delete this one: aws s3api delete-bucket-policy --bucket {thing}"},
		"s3:PutBucketAcl":                      {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "bucket", at: "bucketName", lets: "AccessControlPolicy accessControlList x-amz-acl x-amz-grant-read x-amz-grant-write x-amz-grant-read-acp x-amz-grant-write-acp x-amz-grant-full-control", byHand: "Take it back: aws s3api put-bucket-acl --acl private --bucket {thing}"},
		"s3:PutAccessPointPolicy":              {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "access point", at: "name accessPointName", lets: "policy", byHand: "Delete the policy with s3control delete-access-point-policy."},
		"s3:PutBucketReplication":              {does: "set where {thing} is copied to", severity: 6, listed: always, kind: "bucket", at: "bucketName", lets: "ReplicationConfiguration", byHand: "Look whose bucket it goes to, and stop it: aws s3api delete-bucket-replication --bucket {thing}"},
		"s3:DeleteBucketPublicAccessBlock":     {does: "lift the block of public access of {thing}", severity: 6, listed: always, kind: "bucket", at: "bucketName", byHand: blockAgain},
		"s3:PutBucketPublicAccessBlock":        {does: "lift the block of public access of {thing}", severity: 6, listed: unblocks, kind: "bucket", at: "bucketName", byHand: blockAgain},
		"s3:DeleteAccountPublicAccessBlock":    {does: "lift the account's block of public access", severity: 7, listed: always, byHand: blockAgain},
		"s3:PutAccountPublicAccessBlock":       {does: "lift the account's block of public access", severity: 7, listed: unblocks, byHand: blockAgain},
		"ec2:DisableSnapshotBlockPublicAccess": {does: "lift the block of public snapshots", severity: 6, listed: always, byHand: "Block it again: aws ec2 enable-snapshot-block-public-access --state block-all-sharing"},
		"ec2:DisableImageBlockPublicAccess":    {does: "lift the block of public images", severity: 6, listed: always, byHand: "Block it again: aws ec2 enable-image-block-public-access --image-block-public-access-state block-new-sharing"},

		"kms:PutKeyPolicy":                      {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "KMS key", at: "keyId", lets: "policy", byHand: "Set the policy that it had with kms put-key-policy."},
		"kms:CreateGrant":                       {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "KMS key", at: "keyId", lets: "granteePrincipal", byHand: "Take it back with kms revoke-grant."},
		"secretsmanager:PutResourcePolicy":      {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "secret", at: "secretId", lets: "resourcePolicy", byHand: "Delete the policy: aws secretsmanager delete-resource-policy --secret-id {thing}"},
		"ecr:SetRepositoryPolicy":               {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "repository", at: "repositoryName", lets: "policyText", byHand: "Delete the policy: aws ecr delete-repository-policy --repository-name {thing}"},
		"ecr:PutRegistryPolicy":                 {does: "open all repositories to others", severity: 7, listed: toOthers, lets: "policyText", byHand: "Delete the policy: aws ecr delete-registry-policy"},
		"ecr:PutReplicationConfiguration":       {does: "copy all repositories to others", severity: 7, listed: toOthers, lets: "replicationConfiguration", byHand: "Set the replication that there was with ecr put-replication-configuration."},
		"lambda:AddLayerVersionPermission":      {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "layer", at: "layerName", lets: "principal", byHand: "Take it back with lambda remove-layer-version-permission."},
		"sns:AddPermission":                     {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "topic", at: "topicArn", lets: "*", byHand: "Take it back with sns remove-permission."},
		"sns:SetTopicAttributes":                {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "topic", at: "topicArn", lets: "attributeValue", byHand: "Set the policy that it had with sns set-topic-attributes."},
		"sqs:AddPermission":                     {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "queue", at: "queueUrl", lets: "*", byHand: "Take it back with sqs remove-permission."},
		"sqs:SetQueueAttributes":                {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "queue", at: "queueUrl", lets: "attributes.Policy attributes.policy", byHand: "Set the policy that it had with sqs set-queue-attributes."},
		"dynamodb:PutResourcePolicy":            {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "table", at: "resourceArn", lets: "policy", byHand: "Delete the policy: aws dynamodb delete-resource-policy --resource-arn {thing}"},
		"kinesis:PutResourcePolicy":             {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "stream", at: "resourceARN", lets: "policy", byHand: "Delete the policy: aws kinesis delete-resource-policy --resource-arn {thing}"},
		"glue:PutResourcePolicy":                {does: "open the data catalog to others", severity: 7, listed: toOthers, lets: "policyInJson", byHand: "Delete the policy: aws glue delete-resource-policy"},
		"elasticfilesystem:PutFileSystemPolicy": {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "file system", at: "fileSystemId", lets: "policy", byHand: "Delete the policy: aws efs delete-file-system-policy --file-system-id {thing}"},
		"backup:PutBackupVaultAccessPolicy":     {does: "open {thing} to others", severity: 7, listed: toOthers, kind: "backup vault", at: "backupVaultName", lets: "policy", byHand: "Delete the policy: aws backup delete-backup-vault-access-policy --backup-vault-name {thing}"},
		"logs:PutSubscriptionFilter":            {does: "send what {thing} logs to others", severity: 7, listed: toOthers, kind: "log group", at: "logGroupName", lets: "destinationArn", byHand: "Delete the filter with logs delete-subscription-filter."},
	}
}

const blockAgain = "Block it again with s3api put-public-access-block, or s3control for the account, and look which policies and ACLs were set since."

func unblocks(c apiCall) bool { return c.has("PublicAccessBlockConfiguration", "false") }

func withinOrganization(c apiCall) bool { return c.has("allowExternalPrincipals", "false") }
