package role

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// workloads are what runs on a role's sessions, by the service that its trust policy names: how
// long it stays broken after a revocation, and how it gets new credentials at once.
//
//	https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html
//	https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-iam-roles.html
//	https://docs.aws.amazon.com/eks/latest/userguide/pod-identities.html
//	https://docs.aws.amazon.com/lambda/latest/dg/lambda-intro-execution-role.html
//	https://docs.aws.amazon.com/cli/latest/userguide/cli-configure-sign-in.html
var workloads = []struct{ service, broken string }{
	{"ec2.", "EC2 instances with this role fail for up to 6 hours. New credentials at once: ec2 replace-iam-instance-profile-association with the same profile, or stop and start."},
	{"ecs-tasks.", "ECS tasks with this role fail for up to 6 hours. New credentials at once: ecs update-service --force-new-deployment, or start the tasks again."},
	{"lambda.", "Lambda functions with this role fail until their execution environments are replaced, hours perhaps. At once: lambda update-function-configuration with any change, such as the description."},
	{"pods.eks.", "EKS pods with this role fail for up to 6 hours. New credentials at once: kubectl rollout restart."},
	{"people", "People who use aws login with this role are logged out of it, and can't log in by it until undo."},
	{"oidc", "What logs in by OpenID Connect (EKS service accounts, CI) fails until it assumes the role again, mostly within an hour. At once: kubectl rollout restart, or run the job again."},
}

// brokenWorkloads returns what a revocation breaks, as the trust policy tells.
func brokenWorkloads(role *types.Role) (broken []string) {
	text, err := url.PathUnescape(aws.ToString(role.AssumeRolePolicyDocument))
	if err != nil {
		return nil
	}
	var trust struct {
		Statement json.RawMessage
	}
	if json.Unmarshal([]byte(text), &trust) != nil {
		return nil
	}
	type statement struct {
		Effect    string
		Principal json.RawMessage // also "*"
	}
	var all []statement
	if json.Unmarshal(trust.Statement, &all) != nil {
		var one statement
		if json.Unmarshal(trust.Statement, &one) != nil {
			return nil
		}
		all = []statement{one}
	}
	var names []string
	for _, s := range all {
		var who struct{ AWS, Service, Federated oneOrMany }
		if s.Effect != "Allow" {
			continue
		}
		if json.Unmarshal(s.Principal, &who) != nil {
			who.AWS = oneOrMany{"*"}
		}
		names = append(names, who.Service...)
		if len(who.AWS) > 0 {
			names = append(names, "people")
		}
		for _, f := range who.Federated {
			switch {
			case strings.Contains(f, ":oidc-provider/"):
				names = append(names, "oidc")
			case strings.Contains(f, ":saml-provider/"):
				names = append(names, "people")
			}
		}
	}
	for _, w := range workloads {
		if slices.ContainsFunc(names, func(n string) bool {
			return n == w.service || strings.HasPrefix(n, w.service) && strings.Contains(w.service, ".")
		}) {
			broken = append(broken, w.broken)
		}
	}
	return broken
}

// oneOrMany is a string, or a list of them.
type oneOrMany []string

func (o *oneOrMany) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*o = []string{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(o))
}
