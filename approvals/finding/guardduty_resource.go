package finding

import (
	"fmt"
	"slices"
	"strings"
)

// resource is what a finding is about, in words, and its type as GuardDuty spells it. The type tells
// of one thing; a finding may have others beside it, such as the node on which a container runs.
// https://docs.aws.amazon.com/guardduty/latest/APIReference/API_Resource.html
func (f gdFinding) resource() (kind, text string) {
	at := f.at("resource")
	kind = at.at("resourceType").text()
	name := func(what string, keys ...string) string { return prefix(what+" ", at.at(keys...).text()) }
	var buckets, objects []string
	for _, b := range at.at("s3BucketDetails").items() {
		buckets = append(buckets, b.at("name").text())
		objects = append(objects, each(b.at("s3ObjectDetails"), func(n node) string { return n.at("key").text() })...)
	}
	text = join(", ",
		join(" ", name("instance", "instanceDetails", "instanceId"), brackets(tagged(at.at("instanceDetails", "tags")))),
		prefix("bucket ", some(buckets)), prefix("object ", some(objects)),
		name("EKS cluster", "eksClusterDetails", "name"), name("ECS cluster", "ecsClusterDetails", "name"),
		name("container", "containerDetails", "name"),
		name("Lambda function", "lambdaDetails", "functionName"),
		name("database", "rdsDbInstanceDetails", "dbInstanceIdentifier"), name("database shard group", "rdsLimitlessDbDetails", "dbShardGroupIdentifier"),
		name("image", "ec2ImageDetails", "imageArn"), name("snapshot", "ebsSnapshotDetails", "snapshotArn"),
		name("recovery point", "recoveryPointDetails", "recoveryPointArn"), name("vault", "recoveryPointDetails", "backupVaultName"))
	if text == "" && kind != "AccessKey" && kind != "Instance" {
		text = kind
	}
	return kind, text
}

// otherPrincipal is who acts where no AWS credentials do.
func (f gdFinding) otherPrincipal() string {
	if user := f.at("resource", "kubernetesDetails", "kubernetesUserDetails", "username").text(); user != "" {
		return "Kubernetes user " + user
	}
	return prefix("database user ", f.at("resource", "rdsDbUserDetails", "user").text())
}

// byHandFor says what to do about a resource that no action contains, or not wholly.
func (f gdFinding) byHandFor(kind string) string {
	switch kind {
	case "AccessKey":
		return "The finding names no credentials: find the principal in CloudTrail."
	case "Instance":
		return "The finding names no instance: look at it in GuardDuty, then type isolate_instance."
	case "S3Bucket":
		return "No action contains a bucket: block public access, or deny in the bucket's policy; find the caller in CloudTrail."
	case "S3Object":
		return "No action contains an object: deny reading it in the bucket's policy, and find in CloudTrail who wrote it."
	case "EKSCluster":
		if f.onNode() {
			return byHandContainer
		}
		return "No action contains a Kubernetes cluster: take the user's or service account's rights away in the cluster."
	case "ECSCluster", "Container":
		return byHandContainer
	case "Lambda":
		return "No action contains a function, and it gets new sessions of its role: set its reserved concurrency to 0."
	case "RDSDBInstance", "RDSLimitlessDB":
		return "No action contains a database: change the database user's password, and close its security group."
	}
	return byHandOther
}

const (
	byHandContainer = "No action contains a container: stop the task or the pod, and revoke the sessions of its role. To isolate its node, where there is one, cuts off all that runs there."
	byHandOther     = "No action fits: look at the finding, and contain by hand."
)

// onNode reports whether a finding is about what runs in a container, not about calls of a
// cluster's API.
func (f gdFinding) onNode() bool {
	return f.at("resource", "instanceDetails", "instanceId").exists() || f.at("service", "runtimeDetails").exists() || f.at("service", "ebsVolumeScanDetails").exists()
}

// tagged is the value of the tag Name; Security Hub calls a key a name.
func tagged(tags node) string {
	for _, t := range tags.items() {
		if t.at("key").text() == "Name" || t.at("name").text() == "Name" {
			return t.at("value").text()
		}
	}
	return ""
}

// Pieces of text that are left out where there is nothing to say.
func prefix(with, s string) string {
	if s == "" {
		return ""
	}
	return with + s
}

func brackets(s string) string {
	if s == "" {
		return ""
	}
	return "(" + s + ")"
}

func join(sep string, parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), sep)
}

// some are the first of many.
func some(all []string) string {
	const most = 5
	all = slices.DeleteFunc(slices.Clone(all), func(s string) bool { return s == "" })
	if more := len(all) - most; more > 0 {
		return strings.Join(all[:most], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(all, ", ")
}
