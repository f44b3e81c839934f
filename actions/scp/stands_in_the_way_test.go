package scp

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The documents are of the form that AWS Control Tower and AWS's examples have.
// https://docs.aws.amazon.com/controltower/latest/controlreference/mandatory-controls.html
func TestObstacles(t *testing.T) {
	who := Caller{ARN: "arn:aws:iam::222222222222:role/killswitch-responder", Account: "222222222222", Organization: "o-acme000000", Regions: []string{"us-east-1", "eu-west-1"}, Global: "us-east-1"}
	acts := []string{"iam:PutRolePolicy", "ec2:StopInstances"}
	deny := func(rest string) string {
		return `{"Version":"2012-10-17","Statement":[{"Sid":"GR","Effect":"Deny",` + rest + `}]}`
	}
	both := []Obstacle{{Statement: "GR", Actions: acts}}
	iam := []Obstacle{{Statement: "GR", Actions: acts[:1]}}
	ec2 := []Obstacle{{Statement: "GR", Actions: acts[1:]}}
	for name, c := range map[string]struct {
		document string
		want     []Obstacle
	}{
		"denies all":          {deny(`"Action":"*","Resource":"*"`), both},
		"denies a service":    {deny(`"Action":["IAM:put*"],"Resource":["*"]`), iam},
		"all but a list":      {deny(`"NotAction":["ec2:*"],"Resource":"*"`), iam},
		"on every role":       {deny(`"Action":"iam:*","Resource":"arn:aws:iam::*:role/*"`), iam},
		"all but some roles":  {deny(`"Action":"iam:*","NotResource":"arn:aws:iam::*:role/own"`), iam},
		"on their own roles":  {deny(`"Action":"iam:*","Resource":["arn:aws:iam::*:role/aws-controltower-*","arn:aws:iam::*:role/*AWSControlTower*"]`), []Obstacle{{Statement: "GR", Actions: acts[:1], Part: true}}},
		"allows":              {`{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}`, nil},
		"other actions":       {deny(`"Action":"s3:*","Resource":"*"`), nil},
		"exempts their role":  {deny(`"Action":"*","Resource":"*","Condition":{"ArnNotLike":{"aws:PrincipalARN":"arn:aws:iam::*:role/AWSControlTowerExecution"}}`), both},
		"exempts ours":        {deny(`"Action":"*","Resource":"*","Condition":{"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::*:role/AWSControlTowerExecution","arn:aws:iam::*:role/killswitch-*"]}}`), nil},
		"root alone":          {deny(`"Action":"*","Resource":"*","Condition":{"StringLike":{"aws:PrincipalArn":"arn:aws:iam::*:root"}}`), nil},
		"other regions":       {deny(`"NotAction":"iam:*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":["us-east-1","eu-west-1"]}}`), nil},
		"a region of ours":    {deny(`"NotAction":"iam:*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":["us-east-1","eu-central-1"]}}`), ec2},
		"the global region":   {deny(`"Action":"*","Resource":"*","Condition":{"StringNotEquals":{"aws:RequestedRegion":["eu-west-1"]}}`), both},
		"without a device":    {deny(`"Action":"ec2:StopInstances","Resource":"*","Condition":{"BoolIfExists":{"aws:MultiFactorAuthPresent":false}}`), ec2},
		"age of a device":     {deny(`"Action":"*","Resource":"*","Condition":{"NumericGreaterThan":{"aws:MultiFactorAuthAge":"60"}}`), []Obstacle{{Statement: "GR", Actions: acts, Unless: "NumericGreaterThan aws:MultiFactorAuthAge"}}},
		"without a tag":       {deny(`"Action":"iam:*","Resource":"*","Condition":{"StringNotEquals":{"aws:PrincipalTag/admin":"yes"}}`), iam},
		"with a tag":          {deny(`"Action":"iam:*","Resource":"*","Condition":{"StringEquals":{"aws:PrincipalTag/admin":"no"}}`), nil},
		"outside the company": {deny(`"Action":"*","Resource":"*","Condition":{"StringNotEqualsIfExists":{"aws:PrincipalOrgID":"o-acme000000"}}`), nil},
		"a network":           {deny(`"Action":"iam:*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["192.0.2.0/24"]}}`), []Obstacle{{Statement: "GR", Actions: acts[:1], Unless: "NotIpAddress aws:SourceIp"}}},
		"a network, not us":   {deny(`"Action":"iam:*","Resource":"*","Condition":{"NotIpAddress":{"aws:SourceIp":["192.0.2.0/24"]},"ArnNotLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/killswitch-responder"}}`), nil},
		"no sid": {strings.Replace(deny(`"Action":"iam:*","Resource":"*"`), `"Sid":"GR",`, "", 1),
			[]Obstacle{{Statement: "statement 1", Actions: acts[:1]}}},
	} {
		got, err := Obstacles(c.document, who, acts)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
	}
	if _, err := Obstacles("{", who, acts); err == nil {
		t.Error("half a document has no error")
	}
	left, err := NotAllowed([]string{`{"Statement":[{"Effect":"Allow","Action":"ec2:*","Resource":"*"}]}`, `{"Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`}, acts)
	if diff := cmp.Diff(acts[:1], left); err != nil || diff != "" {
		t.Errorf("a list of services: %v\n%s", err, diff)
	}
}
