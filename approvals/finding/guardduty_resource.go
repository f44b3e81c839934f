package finding

import (
	"fmt"
	"slices"
	"strings"
)

// resource is what a finding is about: its type as GuardDuty spells it, and words.
func (f gdFinding) resource() (kind, text string) {
	at := f.at("resource")
	kind = at.at("resourceType").text()
	name := func(keys ...string) string { return at.at(keys...).text() }
	switch kind {
	case "AccessKey", "Instance":
		return kind, join(" ", prefix("instance ", name("instanceDetails", "instanceId")), brackets(tagged(at.at("instanceDetails", "tags"))))
	case "S3Bucket":
		var buckets []string
		for _, b := range at.at("s3BucketDetails").items() {
			buckets = append(buckets, b.at("name").text())
		}
		return kind, prefix("bucket ", some(buckets))
	case "EKSCluster":
		return kind, prefix("EKS cluster ", name("eksClusterDetails", "name"))
	case "ECSCluster":
		return kind, prefix("ECS cluster ", name("ecsClusterDetails", "name"))
	case "Container":
		return kind, prefix("container ", name("containerDetails", "name"))
	case "Lambda":
		return kind, prefix("Lambda function ", name("lambdaDetails", "functionName"))
	case "RDSDBInstance":
		return kind, prefix("database ", name("rdsDbInstanceDetails", "dbInstanceIdentifier"))
	}
	return kind, kind
}

// otherPrincipal is who acts where no AWS credentials do.
func (f gdFinding) otherPrincipal() string {
	if user := f.at("resource", "kubernetesDetails", "kubernetesUserDetails", "username").text(); user != "" {
		return "Kubernetes user " + user
	}
	return prefix("database user ", f.at("resource", "rdsDbUserDetails", "user").text())
}

// byHandFor says what to do about a resource that no action contains.
func byHandFor(kind string) string {
	switch kind {
	case "AccessKey":
		return "The finding names no credentials: find the principal in CloudTrail."
	case "Instance":
		return "The finding names no instance: look at it in GuardDuty, then type isolate_instance."
	case "S3Bucket":
		return "No action contains a bucket: block public access, or deny in the bucket's policy; find the caller in CloudTrail."
	case "EKSCluster":
		return "No action contains a Kubernetes cluster: take the user's or service account's rights away in the cluster."
	case "ECSCluster", "Container":
		return "No action contains a container: stop the task or the pod, and revoke the sessions of its role."
	case "Lambda":
		return "No action contains a function: set its reserved concurrency to 0, and revoke the sessions of its role."
	case "RDSDBInstance":
		return "No action contains a database: change the database user's password, and close its security group."
	}
	return "No action fits: look at the finding, and contain by hand."
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
