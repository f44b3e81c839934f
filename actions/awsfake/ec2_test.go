package awsfake_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	ec2types "github.com/aws/aws-sdk-go-v2/service/ec2/types"
	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"
	elbtypes "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const ec2Account = "222222222222"

// ec2Cloud has an instance on one group of a VPC with IPv6, and a role to act as.
func ec2Cloud(allow string) (c *awsfake.Cloud, r *awsfake.Region, cfg aws.Config, tick func(time.Duration)) {
	now := time.Date(2026, 11, 3, 10, 0, 0, 0, time.UTC)
	c = awsfake.New(func() time.Time { return now })
	a := c.Account(ec2Account)
	role := a.AddRole(awsfake.Role{Name: "op", Inline: map[string]string{"p": `{"Version":"2012-10-17","Statement":[` + allow + `]}`}})
	r = a.Region("")
	r.AddVPC(awsfake.VPC{ID: "vpc-6", IPv6: true})
	r.SetGroup(awsfake.SecurityGroup{ID: "sg-web", VPC: "vpc-6", Name: "web", Egress: []awsfake.Rule{{Protocol: "-1", Peer: "0.0.0.0/0"}}})
	r.AddInstance(awsfake.Instance{ID: "i-1", Volumes: []string{"vol-1"}, Interfaces: []awsfake.Interface{{ID: "eni-1", VPC: "vpc-6", Subnet: "subnet-1", Groups: []string{"sg-web"}, IPv4: "10.0.0.1"}}})
	return c, r, c.Session(role, "s").Config(), func(d time.Duration) { now = now.Add(d) }
}

const allowEverything = `{"Effect":"Allow","Action":"*","Resource":"*"}`

func failsWith(t *testing.T, err error, code string) {
	t.Helper()
	var api smithy.APIError
	if !errors.As(err, &api) || api.ErrorCode() != code {
		t.Errorf("error %v, want code %s", err, code)
	}
}

func TestNewSecurityGroupLetsAllOut(t *testing.T) {
	_, r, cfg, _ := ec2Cloud(allowEverything)
	client := ec2.NewFromConfig(cfg)
	made, err := client.CreateSecurityGroup(t.Context(), &ec2.CreateSecurityGroupInput{GroupName: aws.String("x"), Description: aws.String("x"), VpcId: aws.String("vpc-6")})
	if err != nil {
		t.Fatal(err)
	}
	out, err := client.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{GroupIds: []string{*made.GroupId}})
	if err != nil {
		t.Fatal(err)
	}
	g := out.SecurityGroups[0]
	if len(g.IpPermissions) != 0 || len(g.IpPermissionsEgress) != 2 {
		t.Errorf("in %v, out %v", g.IpPermissions, g.IpPermissionsEgress)
	}
	if _, err := client.ModifyNetworkInterfaceAttribute(t.Context(), &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: aws.String("eni-1"), Groups: []string{*made.GroupId}}); err != nil {
		t.Fatal(err)
	}
	if !r.CanTalk("i-1") || !slices.Equal(r.Interfaces(*made.GroupId), []string{"eni-1"}) || len(r.Interfaces("sg-web")) != 0 {
		t.Errorf("talks %t, on %v", r.CanTalk("i-1"), r.Interfaces(*made.GroupId))
	}
	if _, err := client.RevokeSecurityGroupEgress(t.Context(), &ec2.RevokeSecurityGroupEgressInput{GroupId: made.GroupId, IpPermissions: g.IpPermissionsEgress[:1]}); err != nil {
		t.Fatal(err)
	}
	if !r.CanTalk("i-1") {
		t.Error("::/0 is still there")
	}
	_, err = client.RevokeSecurityGroupEgress(t.Context(), &ec2.RevokeSecurityGroupEgressInput{GroupId: made.GroupId, IpPermissions: g.IpPermissionsEgress[:1]})
	failsWith(t, err, "InvalidPermission.NotFound")
	if _, err := client.RevokeSecurityGroupEgress(t.Context(), &ec2.RevokeSecurityGroupEgressInput{GroupId: made.GroupId, IpPermissions: g.IpPermissionsEgress[1:]}); err != nil {
		t.Fatal(err)
	}
	if r.CanTalk("i-1") {
		t.Error("a group without rules lets through")
	}
}

func TestSecurityGroupsAreFoundByFilterNotByName(t *testing.T) {
	c, _, cfg, tick := ec2Cloud(allowEverything)
	client := ec2.NewFromConfig(cfg)
	_, err := client.DescribeSecurityGroups(t.Context(), &ec2.DescribeSecurityGroupsInput{GroupNames: []string{"web"}})
	failsWith(t, err, "InvalidGroup.NotFound")
	named := &ec2.DescribeSecurityGroupsInput{Filters: []ec2types.Filter{{Name: aws.String("vpc-id"), Values: []string{"vpc-6"}}, {Name: aws.String("group-name"), Values: []string{"we*", "new"}}}}
	count := func() int {
		out, err := client.DescribeSecurityGroups(t.Context(), named)
		if err != nil {
			t.Fatal(err)
		}
		return len(out.SecurityGroups)
	}
	if count() != 1 {
		t.Errorf("%d groups", count())
	}
	c.SetPropagation(4 * time.Second)
	in := &ec2.CreateSecurityGroupInput{GroupName: aws.String("new"), Description: aws.String("x"), VpcId: aws.String("vpc-6")}
	made, err := client.CreateSecurityGroup(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.ModifyNetworkInterfaceAttribute(t.Context(), &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: aws.String("eni-1"), Groups: []string{*made.GroupId}})
	failsWith(t, err, "InvalidGroup.NotFound")
	_, err = client.CreateSecurityGroup(t.Context(), in)
	failsWith(t, err, "InvalidGroup.Duplicate")
	if count() != 1 {
		t.Error("a new group is shown at once")
	}
	tick(4 * time.Second)
	if count() != 2 {
		t.Error("a new group is never shown")
	}
}

func TestEC2Authorization(t *testing.T) {
	arn := func(s string) string { return "arn:aws:ec2:us-east-1:" + ec2Account + ":" + s }
	allow := func(action, resource string) string {
		return fmt.Sprintf(`{"Effect":"Allow","Action":%q,"Resource":%q}`, action, resource)
	}
	tag := &ec2.CreateTagsInput{Resources: []string{"i-1"}, Tags: []ec2types.Tag{{Key: aws.String("k"), Value: aws.String("v")}}}
	move := &ec2.ModifyNetworkInterfaceAttributeInput{NetworkInterfaceId: aws.String("eni-1"), Groups: []string{"sg-web"}}
	tests := []struct {
		name, allow string
		call        func(*ec2.Client) error
		denied      bool
	}{
		{"a tag on this instance", allow("ec2:CreateTags", arn("instance/i-1")), func(c *ec2.Client) error { _, err := c.CreateTags(t.Context(), tag); return err }, false},
		{"a tag on another", allow("ec2:CreateTags", arn("instance/i-2")), func(c *ec2.Client) error { _, err := c.CreateTags(t.Context(), tag); return err }, true},
		{"describing needs *", allow("ec2:DescribeInstances", arn("instance/i-1")), func(c *ec2.Client) error {
			_, err := c.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{})
			return err
		}, true},
		{"an interface without its group", allow("ec2:ModifyNetworkInterfaceAttribute", arn("network-interface/*")), func(c *ec2.Client) error {
			_, err := c.ModifyNetworkInterfaceAttribute(t.Context(), move)
			return err
		}, true},
		{"an interface and its group", allow("ec2:ModifyNetworkInterfaceAttribute", arn("network-interface/eni-1")) + "," + allow("ec2:ModifyNetworkInterfaceAttribute", arn("security-group/*")), func(c *ec2.Client) error {
			_, err := c.ModifyNetworkInterfaceAttribute(t.Context(), move)
			return err
		}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, cfg, _ := ec2Cloud(tt.allow)
			err := tt.call(ec2.NewFromConfig(cfg))
			if tt.denied {
				failsWith(t, err, "UnauthorizedOperation")
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRegionsAreApart(t *testing.T) {
	_, _, cfg, _ := ec2Cloud(allowEverything)
	cfg.Region = "eu-west-1"
	_, err := ec2.NewFromConfig(cfg).DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{"i-1"}})
	failsWith(t, err, "InvalidInstanceID.NotFound")
}

func TestPagesOfInstances(t *testing.T) {
	_, r, cfg, _ := ec2Cloud(allowEverything)
	for i := range 20 {
		r.AddInstance(awsfake.Instance{ID: fmt.Sprintf("i-0%02d", i)})
	}
	r.Terminate("i-003")
	client, count, pages := ec2.NewFromConfig(cfg), map[string]bool{}, 0
	running := []ec2types.Filter{{Name: aws.String("instance-state-name"), Values: []string{"running"}}}
	for p := ec2.NewDescribeInstancesPaginator(client, &ec2.DescribeInstancesInput{Filters: running, MaxResults: aws.Int32(5)}); p.HasMorePages(); pages++ {
		out, err := p.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range out.Reservations {
			count[*x.Instances[0].InstanceId] = true
		}
	}
	if len(count) != 20 || pages != 4 {
		t.Errorf("%d instances in %d pages, want 20 in 4", len(count), pages)
	}
	_, err := client.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{InstanceIds: []string{"i-1"}, MaxResults: aws.Int32(5)})
	failsWith(t, err, "InvalidParameterCombination")
	_, err = client.DescribeInstances(t.Context(), &ec2.DescribeInstancesInput{MaxResults: aws.Int32(4)})
	failsWith(t, err, "InvalidParameterValue")
}

func TestStandbyAndTargets(t *testing.T) {
	c, r, cfg, tick := ec2Cloud(allowEverything)
	tg := r.AddTargetGroup(awsfake.TargetGroup{Name: "web", VPC: "vpc-6", Port: 80, Targets: []awsfake.Target{{ID: "i-1", Port: 80}}})
	r.AddScalingGroup(awsfake.ScalingGroup{Name: "asg", Min: 1, Max: 2, Desired: 1, TargetGroups: []string{tg}, Members: map[string]string{"i-1": "InService"}})
	scaling, lb := autoscaling.NewFromConfig(cfg), elb.NewFromConfig(cfg)
	enter := &autoscaling.EnterStandbyInput{AutoScalingGroupName: aws.String("asg"), InstanceIds: []string{"i-1"}, ShouldDecrementDesiredCapacity: aws.Bool(true)}
	_, err := scaling.EnterStandby(t.Context(), enter)
	failsWith(t, err, "ValidationError")
	c.SetPropagation(4 * time.Second)
	enter.ShouldDecrementDesiredCapacity = aws.Bool(false)
	if _, err := scaling.EnterStandby(t.Context(), enter); err != nil {
		t.Fatal(err)
	}
	state := func() string {
		return c.Snapshot().Accounts[ec2Account].Regions["us-east-1"].ScalingGroups["asg"].Members["i-1"]
	}
	if state() != "EnteringStandby" {
		t.Errorf("state %s", state())
	}
	if tick(299 * time.Second); state() != "EnteringStandby" {
		t.Errorf("state %s while connections drain", state())
	}
	tick(time.Second)
	if state() != "Standby" {
		t.Errorf("state %s", state())
	}
	tick(-10 * time.Second)
	tick(-10 * time.Second)
	health, err := lb.DescribeTargetHealth(t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: &tg})
	if err != nil || len(health.TargetHealthDescriptions) != 1 || health.TargetHealthDescriptions[0].TargetHealth.State != elbtypes.TargetHealthStateEnumDraining {
		t.Errorf("health %+v, %v", health, err)
	}
	tick(10 * time.Minute)
	if health, err = lb.DescribeTargetHealth(t.Context(), &elb.DescribeTargetHealthInput{TargetGroupArn: &tg}); err != nil || len(health.TargetHealthDescriptions) != 0 {
		t.Errorf("health %+v, %v", health, err)
	}
	r.SetInstance("i-1", func(i *awsfake.Instance) { i.State = "stopped" })
	_, err = lb.RegisterTargets(t.Context(), &elb.RegisterTargetsInput{TargetGroupArn: &tg, Targets: []elbtypes.TargetDescription{{Id: aws.String("i-1")}}})
	failsWith(t, err, "InvalidTarget")
}

// An instance keeps the credentials that it got until they end, whatever its profile holds since, or
// until the profile is associated anew: AddRoleToInstanceProfile (IAM API Reference).
func TestInstanceKeepsItsCredentials(t *testing.T) {
	for name, waits := range map[string]bool{"until they end": true, "until the profile is associated anew": false} {
		t.Run(name, func(t *testing.T) {
			c, r, cfg, tick := ec2Cloud(allowEverything)
			allows := func(action string) map[string]string {
				return map[string]string{"p": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"` + action + `","Resource":"*"}]}`}
			}
			c.Account(ec2Account).AddRole(awsfake.Role{Name: "first", Profiles: []string{"web"}, Inline: allows("s3:GetObject")})
			r.AddInstance(awsfake.Instance{ID: "i-2", Profile: "web"})
			has := func(action string) {
				t.Helper()
				if ok, why := r.Credentials("i-2").Can(action, "*"); !ok {
					t.Errorf("%s: %s", action, why)
				}
			}
			has("s3:GetObject")
			c.Account(ec2Account).AddRole(awsfake.Role{Name: "second", Profiles: []string{"web"}, Inline: allows("sqs:SendMessage")})
			tick(5 * time.Hour)
			has("s3:GetObject")
			if tick(2 * time.Hour); !waits {
				tick(-2 * time.Hour)
				client := ec2.NewFromConfig(cfg)
				out, err := client.DescribeIamInstanceProfileAssociations(t.Context(), &ec2.DescribeIamInstanceProfileAssociationsInput{})
				if err != nil {
					t.Fatal(err)
				}
				a := out.IamInstanceProfileAssociations[0]
				_, err = client.ReplaceIamInstanceProfileAssociation(t.Context(), &ec2.ReplaceIamInstanceProfileAssociationInput{AssociationId: a.AssociationId,
					IamInstanceProfile: &ec2types.IamInstanceProfileSpecification{Name: aws.String("web")}})
				if err != nil {
					t.Fatal(err)
				}
				r.SetInstance("i-2", func(i *awsfake.Instance) { i.State = "stopped" })
				out, _ = client.DescribeIamInstanceProfileAssociations(t.Context(), &ec2.DescribeIamInstanceProfileAssociationsInput{})
				_, err = client.ReplaceIamInstanceProfileAssociation(t.Context(), &ec2.ReplaceIamInstanceProfileAssociationInput{AssociationId: out.IamInstanceProfileAssociations[0].AssociationId,
					IamInstanceProfile: &ec2types.IamInstanceProfileSpecification{Name: aws.String("web")}})
				failsWith(t, err, "IncorrectState")
			}
			has("sqs:SendMessage")
		})
	}
}
