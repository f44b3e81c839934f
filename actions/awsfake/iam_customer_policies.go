package awsfake

import (
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

var iamCustomerPolicyOperations = map[string]operation{
	"iam:CreatePolicy":     bind(writes, createPolicy),
	"iam:GetPolicy":        bind(reads, getPolicy),
	"iam:GetPolicyVersion": bind(reads, getPolicyVersion),
}

// maxPolicy is a managed policy's size: "IAM and AWS STS quotas" (IAM User Guide).
const maxPolicy = 6144

// edition is a managed policy's default version. Of a policy that is replaced
// only the new default version is kept.
type edition struct {
	version int // 0 stands for the first
	created time.Time
	visible time.Time // when CreatePolicy has propagated
}

// replacePolicy stores a document as the policy's new default version.
func (c *Cloud) replacePolicy(arn, document string) {
	e := c.editions[arn]
	if _, there := c.policies[arn]; there {
		e.version++
	} else {
		e.created = c.now().UTC()
	}
	c.policies[arn], c.editions[arn] = document, e
}

func (e edition) id() *string { return aws.String(fmt.Sprintf("v%d", e.version+1)) }

// seenPolicy is the policy as it has propagated.
func (k *request) seenPolicy(arn string) (string, edition, error) {
	e := k.c.editions[arn]
	if doc := k.c.policies[arn]; doc != "" && !e.visible.After(k.now) {
		return doc, e, nil
	}
	return "", e, noSuchEntity("Policy %s was not found.", arn)
}

// createPolicy: a policy's name is unique in its account, whatever its path and
// however it is spelled. https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicy.html
func createPolicy(k *request, in *iam.CreatePolicyInput) (*iam.CreatePolicyOutput, error) {
	name, path, doc := aws.ToString(in.PolicyName), or(aws.ToString(in.Path), "/"), aws.ToString(in.PolicyDocument)
	if !entityName.MatchString(name) || len(name) > 128 {
		return nil, constraint(name, "policyName", `Member must satisfy regular expression pattern: [\w+=,.@-]+ and have length less than or equal to 128`)
	}
	if err := printable(in.PolicyDocument); err != nil {
		return nil, err
	}
	if _, err := parsePolicy(doc, identityPolicy); err != nil {
		return nil, malformed(err)
	}
	if size(doc) > maxPolicy {
		return nil, limitExceeded("Cannot exceed quota for PolicySize: %d", maxPolicy)
	}
	arn := k.c.arn("iam", k.account.id, "policy"+path+name)
	for other := range k.c.policies {
		if strings.Contains(other, ":iam::"+k.account.id+":") && strings.EqualFold(other[strings.LastIndex(other, "/")+1:], name) {
			return nil, alreadyExists("A policy called %s already exists. Duplicate names are not allowed.", name)
		}
	}
	k.c.policies[arn], k.c.editions[arn] = doc, edition{created: k.now.UTC(), visible: k.visible()}
	return &iam.CreatePolicyOutput{Policy: k.policyOutput(arn, k.c.editions[arn])}, nil
}

func (k *request) policyOutput(arn string, e edition) *iamtypes.Policy {
	_, rest, _ := strings.Cut(arn, ":policy")
	path := rest[:strings.LastIndex(rest, "/")+1]
	return &iamtypes.Policy{Arn: aws.String(arn), PolicyName: attachedPolicy(arn).PolicyName, Path: aws.String(path), DefaultVersionId: e.id(),
		IsAttachable: true, CreateDate: aws.Time(e.created), UpdateDate: aws.Time(e.created)}
}

func getPolicy(k *request, in *iam.GetPolicyInput) (*iam.GetPolicyOutput, error) {
	_, e, err := k.seenPolicy(aws.ToString(in.PolicyArn))
	if err != nil {
		return nil, err
	}
	return &iam.GetPolicyOutput{Policy: k.policyOutput(*in.PolicyArn, e)}, nil
}

func getPolicyVersion(k *request, in *iam.GetPolicyVersionInput) (*iam.GetPolicyVersionOutput, error) {
	doc, e, err := k.seenPolicy(aws.ToString(in.PolicyArn))
	if err != nil {
		return nil, err
	}
	if aws.ToString(in.VersionId) != *e.id() {
		return nil, noSuchEntity("Policy %s version %s does not exist or is not attachable.", *in.PolicyArn, aws.ToString(in.VersionId))
	}
	return &iam.GetPolicyVersionOutput{PolicyVersion: &iamtypes.PolicyVersion{VersionId: e.id(), IsDefaultVersion: true, CreateDate: aws.Time(e.created), Document: aws.String(encode(doc))}}, nil
}
