package role

import (
	"net/url"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// TestBrokenWorkloads: what the trust policy lets run on the role, and how it gets on at once.
func TestBrokenWorkloads(t *testing.T) {
	for trust, want := range map[string]string{
		`{"Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`:                                        "replace-iam-instance-profile-association",
		`{"Statement":{"Effect":"Allow","Principal":{"Service":["ecs-tasks.amazonaws.com"]},"Action":"sts:AssumeRole"}}`:                                  "--force-new-deployment",
		`{"Statement":[{"Effect":"Allow","Principal":{"Service":"lambda.amazonaws.com"}}]}`:                                                               "update-function-configuration",
		`{"Statement":[{"Effect":"Allow","Principal":{"Service":"pods.eks.amazonaws.com"}}]}`:                                                             "EKS pods",
		`{"Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::222222222222:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/A"}}]}`: "OpenID Connect",
		`{"Statement":[{"Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com.cn","lambda.amazonaws.com"]}}]}`:                                      "EC2 instances|Lambda functions",
		`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::222222222222:root"}},{"Effect":"Allow","Principal":"*"}]}`:                      "aws login",
		`{"Statement":[{"Effect":"Allow","Principal":{"Federated":"arn:aws:iam::222222222222:saml-provider/corp"}}]}`:                                     "aws login",
		`{"Statement":[{"Effect":"Allow","Principal":"*"}]}`:                                                                                              "aws login",
		`{"Statement":[{"Effect":"Deny","Principal":{"Service":"ec2.amazonaws.com"}},{"Effect":"Allow","Principal":{"Service":"notec2.amazonaws.com"}}]}`: "",
		`{"Statement":[{"Effect":"Allow","Principal":{"Service":"edgelambda.amazonaws.com"}}]}`:                                                           "",
		`{`:               "",
		`{"Statement":1}`: "",
	} {
		got := brokenWorkloads(&types.Role{AssumeRolePolicyDocument: aws.String(url.PathEscape(trust))})
		var wants []string
		if want != "" {
			wants = strings.Split(want, "|")
		}
		if len(got) != len(wants) {
			t.Errorf("%s: %q", trust, got)
			continue
		}
		for i, w := range wants {
			if !strings.Contains(got[i], w) {
				t.Errorf("%s: %q", trust, got[i])
			}
		}
	}
}
