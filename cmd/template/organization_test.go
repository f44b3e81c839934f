package template_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/scp"
	"github.com/killswitch-chatops/killswitch/cmd/template"
)

// TestOrganizationFile: deploy/organization.yaml is what is printed without a configuration.
func TestOrganizationFile(t *testing.T) {
	golden(t, "../../deploy/organization.yaml", template.Organization)
}

// TestTamperProtection: what an administrator of a member account may not, and what must go on. The policy is
// attached to the organization's root.
func TestTamperProtection(t *testing.T) {
	for _, partition := range []string{"aws", "aws-us-gov", "aws-cn"} {
		t.Run(partition, func(t *testing.T) {
			org := actiontest.TestOrg(partition)
			org.ForwarderRole = "forwarder"
			content := all.TamperSCP(org)
			if n := len(content); n > 5120 { // room for an organization with the former limit
				t.Errorf("%d characters", n)
			}
			c := &actiontest.Clock{T: actiontest.Began}
			cloud := awsfake.New(c.Now, awsfake.WithPartition(partition))
			cloud.Organize(awsfake.Organization{Management: actiontest.Management, Accounts: []awsfake.OrgAccount{{ID: actiontest.Member}}})
			cloud.AddSCP(awsfake.SCP{Name: scp.TamperPolicy, Content: content, Targets: []string{cloud.OrganizationRoot()}})
			a := cloud.Account(actiontest.Member)
			all := map[string]string{"all": actiontest.AllowAll}
			tags := map[string]string{"killswitch": "KS-4G7QX2M9ZT0B"}
			contained := a.AddRole(awsfake.Role{Name: "contained", Path: "/app/", Inline: all, Tags: tags})
			free := a.AddRole(awsfake.Role{Name: "free", Inline: all})
			user := a.AddUser(awsfake.User{Name: "eve", Tags: tags})
			session := func(role string, at *awsfake.Account) *awsfake.Session {
				return cloud.Session(at.AddRole(awsfake.Role{Name: role, Inline: all}), "s")
			}
			admin, responder, restorer, stackSets := session("admin", a), session("killswitch-responder", a), session("killswitch-restorer", a), session("stacksets-exec-0123456789abcdef", a)
			controlTower := session("AWSControlTowerExecution", a)
			inManagement := session("admin", cloud.Account(actiontest.Management))
			iam := func(resource string) string {
				return "arn:" + partition + ":iam::" + actiontest.Member + ":" + resource
			}
			const eni, tagged = "arn:aws:ec2:us-east-1:222222222222:network-interface/eni-1", "aws:ResourceTag/killswitch"
			everybody := map[string]*awsfake.Session{"admin": admin, "responder": responder, "restorer": restorer, "StackSets": stackSets, "Control Tower": controlTower, "management": inManagement}
			for _, tt := range []struct {
				name    string
				acts    []string
				on      string
				keys    []string // name, value
				allowed []string // besides management, which no policy binds
			}{
				{"what is contained", []string{"iam:DeleteRolePolicy", "iam:PutRolePolicy", "iam:AttachRolePolicy", "iam:DetachRolePolicy", "iam:DeleteRolePermissionsBoundary", "iam:PutRolePermissionsBoundary",
					"iam:UpdateAssumeRolePolicy", "iam:UntagRole", "iam:TagRole", "iam:DeleteRole", "iam:UpdateRole"}, contained, nil, []string{"responder", "restorer"}},
				{"who is contained", []string{"iam:DeleteUserPolicy", "iam:DetachUserPolicy", "iam:DeleteUserPermissionsBoundary", "iam:UpdateAccessKey", "iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:UpdateUser",
					"iam:UntagUser", "iam:DeleteUser", "iam:EnableMFADevice", "iam:CreateServiceSpecificCredential", "iam:UploadSSHPublicKey"}, user, nil, []string{"responder", "restorer"}},
				{"reading it", []string{"iam:GetRole", "iam:ListRolePolicies", "sts:AssumeRole"}, contained, nil, slices.Collect(maps.Keys(everybody))},
				{"what is not", []string{"iam:DeleteRolePolicy", "iam:UpdateAssumeRolePolicy", "iam:TagRole", "iam:DeleteRole"}, free, nil, slices.Collect(maps.Keys(everybody))},
				{"other tags", []string{"iam:TagRole", "ec2:CreateTags"}, free, []string{"aws:TagKeys", "team"}, slices.Collect(maps.Keys(everybody))},
				{"our tag", []string{"iam:TagRole", "iam:CreateRole", "iam:TagUser", "ec2:CreateTags", "ec2:RunInstances", "s3:PutBucketTagging"}, free, []string{"aws:TagKeys", "killswitch"}, []string{"responder", "restorer"}},
				{"our tag in other letters", []string{"iam:TagRole", "iam:UntagRole"}, free, []string{"aws:TagKeys", "KillSwitch"}, []string{"responder", "restorer"}},
				{"what is isolated", []string{"ec2:ModifyNetworkInterfaceAttribute", "ec2:DeleteTags", "ec2:AttachNetworkInterface", "ec2:ReplaceIamInstanceProfileAssociation", "ec2:AuthorizeSecurityGroupEgress",
					"ec2:DeleteSnapshot", "ec2:TerminateInstances", "ec2:CreateReplaceRootVolumeTask", "ec2:DetachVolume", "ec2-instance-connect:SendSerialConsoleSSHPublicKey"}, eni, []string{tagged, "KS-1"}, []string{"responder", "restorer"}},
				{"what is not isolated", []string{"ec2:ModifyNetworkInterfaceAttribute", "ec2:DeleteSnapshot", "ec2:RunInstances"}, eni, nil, slices.Collect(maps.Keys(everybody))},
				{"looking at what is isolated", []string{"ec2:DescribeInstances", "ec2:GetConsoleOutput", "ec2:CreateSnapshot"}, eni, []string{tagged, "KS-1"}, slices.Collect(maps.Keys(everybody))},
				{"the member roles", []string{"iam:UpdateAssumeRolePolicy", "iam:PutRolePolicy", "iam:DeleteRole", "iam:CreateRole", "iam:TagRole"}, iam("role/killswitch-responder"), nil, []string{"StackSets"}},
				{"the forwarder", []string{"iam:UpdateAssumeRolePolicy", "iam:CreateRole"}, iam("role/forwarder"), nil, []string{"StackSets"}},
				{"the quarantine policies", []string{"iam:CreatePolicyVersion", "iam:SetDefaultPolicyVersion", "iam:DeletePolicy"}, iam("policy/KillSwitchQuarantine"), nil, []string{"StackSets"}},
				{"those of another installation", []string{"iam:CreatePolicy", "iam:CreatePolicyVersion", "iam:DeletePolicy"}, iam("policy/KillSwitchQuarantineIAM@pilot"), nil, []string{"StackSets"}},
				{"the isolation profile", []string{"iam:AddRoleToInstanceProfile", "iam:RemoveRoleFromInstanceProfile", "iam:DeleteInstanceProfile"}, iam("instance-profile/killswitch-isolation"), nil, []string{"StackSets"}},
				{"roles of StackSets", []string{"iam:CreateRole", "iam:UpdateAssumeRolePolicy", "iam:PutRolePolicy"}, iam("role/stacksets-exec-eviL"), nil, nil},
				{"leaving the organization", []string{"organizations:LeaveOrganization", "account:CloseAccount"}, "*", nil, nil},
				{"everything else", []string{"s3:GetObject", "iam:CreateUser", "cloudformation:CreateStack", "organizations:ListRoots"}, "*", nil, slices.Collect(maps.Keys(everybody))},
			} {
				for name, s := range everybody {
					for i := 0; i < len(tt.keys); i += 2 {
						s = s.With(tt.keys[i], tt.keys[i+1])
					}
					for _, act := range tt.acts {
						want := name == "management" || slices.Contains(tt.allowed, name)
						if ok, why := s.Can(act, tt.on); ok != want {
							t.Errorf("%s: %s may %s: %t %s", tt.name, name, act, ok, why)
						}
					}
				}
			}
		})
	}
}

// TestTamperPolicyIsNoDocument: no document of the configuration takes its name, nor that of deny_principal's.
func TestTamperPolicyIsNoDocument(t *testing.T) {
	for _, name := range []string{strings.TrimPrefix(scp.TamperPolicy, "killswitch-"), "deny-222222222222", "deny-r-abcd", "revoke-222222222222"} {
		if !scp.ReservedSCP(name) {
			t.Error(fmt.Sprint(name, " may be taken"))
		}
	}
	if scp.ReservedSCP("tampering") || scp.ReservedSCP("freeze") {
		t.Error("too much is reserved")
	}
}
