package awsfake

import (
	"encoding/base64"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
)

// Each handler follows the page of its name in the IAM API Reference
// (https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html and so
// on); what comes from elsewhere is noted. Codes are IAM's; messages follow IAM's
// wording where it is known, so tests should rest on the codes.
var iamRoleOperations = map[string]operation{
	"iam:CreateRole":             {mutating: true, run: bind(writes, createRole).run, needs: createRoleNeeds},
	"iam:GetRole":                bind(reads, getRole),
	"iam:DeleteRole":             bind(writes, deleteRole),
	"iam:ListRoles":              bind(reads, listRoles),
	"iam:UpdateAssumeRolePolicy": bind(writes, updateAssumeRolePolicy),
	"iam:TagRole":                bind(writes, tagRole),
	"iam:UntagRole":              bind(writes, untagRole),
	"iam:ListRoleTags":           bind(reads, listRoleTags),
}

// Default quotas: "IAM and AWS STS quotas" (IAM User Guide).
const (
	maxTags        = 50
	maxTrust       = 2048
	maxInlineTotal = 10240
	maxAttached    = 10
)

// Only AWS changes roles on these paths: "Service-linked roles" (IAM User Guide),
// "Referencing permission sets … AWSReservedSSO_" (IAM Identity Center User Guide).
var reservedPaths = []string{"/aws-service-role/", "/aws-reserved/sso.amazonaws.com/"}

func reserved(path string) bool {
	return slices.ContainsFunc(reservedPaths, func(p string) bool { return strings.HasPrefix(path, p) })
}

var (
	entityName = regexp.MustCompile(`^[\w+=,.@-]+$`)
	entityPath = regexp.MustCompile(`^(/|/[\x21-\x7e]+/)$`)
)

// role is a copy of the newest state, to be changed and stored.
func (k *request) role(name *string) (*Role, error) {
	if r := k.account.roles[aws.ToString(name)].current(); r != nil {
		return r.clone(), nil
	}
	return nil, noSuchEntity("The role with name %s cannot be found.", aws.ToString(name))
}

// changeable is role for operations that AWS reserves to itself on some roles.
func (k *request) changeable(name *string) (*Role, error) {
	r, err := k.role(name)
	if err == nil && reserved(r.Path) && !k.caller.admin {
		return nil, protected(r.Name)
	}
	return r, err
}

// seenRole is the role as it has propagated, for reads.
func (k *request) seenRole(name *string) (*Role, error) {
	if r := k.account.roles[aws.ToString(name)].seen(k.now); r != nil {
		return r, nil
	}
	return nil, noSuchEntity("The role with name %s cannot be found.", aws.ToString(name))
}

// visible is when a write made now can be read.
func (k *request) visible() time.Time {
	if k.caller.admin {
		return k.now
	}
	return k.now.Add(k.c.propagation)
}

func (k *request) store(r *Role) { put(k.account.roles, r.Name, r, k.now, k.visible()) }

// CreateRole with tags also takes iam:TagRole ("Tag IAM roles", IAM User Guide).
func createRoleNeeds(k *request, in any) []need {
	needs := []need{k.need("iam:CreateRole", in)}
	if cr, ok := in.(*iam.CreateRoleInput); ok && len(cr.Tags) > 0 {
		needs = append(needs, k.need("iam:TagRole", in))
	}
	return needs
}

func createRole(k *request, in *iam.CreateRoleInput) (*iam.CreateRoleOutput, error) {
	name, path := aws.ToString(in.RoleName), or(aws.ToString(in.Path), "/")
	if !entityName.MatchString(name) || len(name) > 64 {
		return nil, constraint(name, "roleName", `Member must satisfy regular expression pattern: [\w+=,.@-]+ and have length less than or equal to 64`)
	}
	if !entityPath.MatchString(path) || len(path) > 512 {
		return nil, validation("The specified value for path is invalid. It must begin and end with / and contain only alphanumeric characters and/or / characters.")
	}
	if reserved(path) && !k.caller.admin {
		return nil, invalidInput("Roles with the path " + path + " can only be created by AWS.")
	}
	if k.account.roles[name].current() != nil {
		return nil, alreadyExists("Role with name %s already exists.", name)
	}
	if err := checkTrust(in.AssumeRolePolicyDocument); err != nil {
		return nil, err
	}
	seconds := int32(3600)
	if in.MaxSessionDuration != nil {
		if seconds = *in.MaxSessionDuration; seconds < 3600 || seconds > 43200 {
			return nil, validation("1 validation error detected: Value '%d' at 'maxSessionDuration' failed to satisfy constraint: Member must be between 3600 and 43200", seconds)
		}
	}
	if b := aws.ToString(in.PermissionsBoundary); b != "" && k.c.policies[b] == "" {
		return nil, noSuchEntity("Scope ARN: %s does not exist or is not attachable.", b)
	}
	r := (&Role{Name: name, ID: k.c.mint("AROA", 17), Path: path, ARN: k.c.arn("iam", k.account.id, "role"+path+name),
		Description: aws.ToString(in.Description), MaxSession: time.Duration(seconds) * time.Second, Created: k.now.UTC(),
		Trust: *in.AssumeRolePolicyDocument, Boundary: aws.ToString(in.PermissionsBoundary)}).clone()
	if err := setTags(r.Tags, in.Tags); err != nil {
		return nil, err
	}
	k.store(r)
	return &iam.CreateRoleOutput{Role: k.output(r, true)}, nil
}

func checkTrust(doc *string) error {
	if err := printable(doc); err != nil {
		return err
	}
	if _, err := parsePolicy(aws.ToString(doc), trustPolicy); err != nil {
		return malformed(err)
	}
	if size(*doc) > maxTrust {
		return limitExceeded("Cannot exceed quota for ACLSizePerRole: %d", maxTrust)
	}
	return nil
}

func getRole(k *request, in *iam.GetRoleInput) (*iam.GetRoleOutput, error) {
	r, err := k.seenRole(in.RoleName)
	if err != nil {
		return nil, err
	}
	return &iam.GetRoleOutput{Role: k.output(r, true)}, nil
}

// output is the role as responses have it. ListRoles leaves out boundary, last
// use and tags ("this operation does not return the following attributes").
func (k *request) output(r *Role, full bool) *iamtypes.Role {
	o := &iamtypes.Role{
		Arn: aws.String(r.ARN), RoleName: aws.String(r.Name), RoleId: aws.String(r.ID), Path: aws.String(r.Path),
		CreateDate: aws.Time(r.Created), AssumeRolePolicyDocument: aws.String(encode(r.Trust)),
		MaxSessionDuration: aws.Int32(int32(r.MaxSession / time.Second)), Description: emptyNil(r.Description),
	}
	if !full {
		return o
	}
	o.Tags = tagList(r.Tags)
	o.RoleLastUsed = &iamtypes.RoleLastUsed{}
	if t, ok := k.account.lastUsed[r.ID]; ok {
		o.RoleLastUsed = &iamtypes.RoleLastUsed{LastUsedDate: aws.Time(t.UTC()), Region: aws.String(k.c.Region())}
	}
	if r.Boundary != "" {
		o.PermissionsBoundary = &iamtypes.AttachedPermissionsBoundary{
			PermissionsBoundaryArn: aws.String(r.Boundary), PermissionsBoundaryType: iamtypes.PermissionsBoundaryAttachmentTypePolicy}
	}
	return o
}

// encode is how responses carry documents: "URL-encoded compliant with RFC 3986".
func encode(doc string) string { return strings.ReplaceAll(url.QueryEscape(doc), "+", "%20") }

func deleteRole(k *request, in *iam.DeleteRoleInput) (*iam.DeleteRoleOutput, error) {
	r, err := k.changeable(in.RoleName)
	if err != nil {
		return nil, err
	}
	for _, h := range k.account.profiles {
		if p := h.current(); p != nil && p.Role == r.Name {
			return nil, deleteConflict("Cannot delete entity, must remove roles from instance profile first.")
		}
	}
	if len(r.Attached) > 0 {
		return nil, deleteConflict("Cannot delete entity, must detach all policies first.")
	}
	if len(r.Inline) > 0 {
		return nil, deleteConflict("Cannot delete entity, must delete policies first.")
	}
	put(k.account.roles, r.Name, nil, k.now, k.visible())
	return &iam.DeleteRoleOutput{}, nil
}

func listRoles(k *request, in *iam.ListRolesInput) (*iam.ListRolesOutput, error) {
	prefix := or(aws.ToString(in.PathPrefix), "/")
	var names []string
	for _, n := range visibleNames(k.account.roles, k.now) {
		if strings.HasPrefix(k.account.roles[n].seen(k.now).Path, prefix) {
			names = append(names, n)
		}
	}
	names, next, err := page(names, in.Marker, in.MaxItems)
	if err != nil {
		return nil, err
	}
	out := &iam.ListRolesOutput{Roles: []iamtypes.Role{}, IsTruncated: next != nil, Marker: next}
	for _, n := range names {
		out.Roles = append(out.Roles, *k.output(k.account.roles[n].seen(k.now), false))
	}
	return out, nil
}

// page cuts one page out of sorted names: MaxItems 1 to 1,000, 100 by default.
// The marker says after which name to go on, so that changes between pages
// neither repeat nor hide others.
func page(names []string, marker *string, maxItems *int32) ([]string, *string, error) {
	limit := 100
	if maxItems != nil {
		if limit = int(*maxItems); limit < 1 || limit > 1000 {
			return nil, nil, validation("1 validation error detected: Value '%d' at 'maxItems' failed to satisfy constraint: Member must be between 1 and 1000", limit)
		}
	}
	if marker != nil {
		last, err := base64.StdEncoding.DecodeString(*marker)
		if err != nil {
			return nil, nil, validation("Invalid Marker.")
		}
		i, found := slices.BinarySearch(names, string(last))
		if found {
			i++
		}
		names = names[i:]
	}
	if len(names) <= limit {
		return names, nil, nil
	}
	return names[:limit], aws.String(base64.StdEncoding.EncodeToString([]byte(names[limit-1]))), nil
}

func updateAssumeRolePolicy(k *request, in *iam.UpdateAssumeRolePolicyInput) (*iam.UpdateAssumeRolePolicyOutput, error) {
	r, err := k.changeable(in.RoleName)
	if err != nil {
		return nil, err
	}
	if err := checkTrust(in.PolicyDocument); err != nil {
		return nil, err
	}
	r.Trust = *in.PolicyDocument
	k.store(r)
	return &iam.UpdateAssumeRolePolicyOutput{}, nil
}
