package awsfake_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

var rolesOnly = []iamtypes.EntityType{iamtypes.EntityTypeRole}

func TestAuthorizationDetails(t *testing.T) {
	w := newWorld(t)
	client, ctx := w.responder(t), t.Context()
	document := "{ \"Version\":\"2012-10-17\",\r\n\"Statement\":[{\"Effect\":\"Deny\",\"Action\":\"s3:*\",\"Resource\":\"arn:aws:s3:::a+b/100%25/é\"}]}"
	w.Account(member).AddRole(awsfake.Role{Name: "aaa", Path: "/x/", Inline: map[string]string{"deny": document}, Tags: map[string]string{"Team": "a"},
		Attached: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}, Boundary: "arn:aws:iam::aws:policy/PowerUserAccess", Profiles: []string{"p1", "p2"}})
	out, err := client.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: rolesOnly})
	check(t, err)
	r := out.RoleDetailList[0]
	if *r.RoleName != "aaa" || *r.Path != "/x/" || *r.Arn != "arn:aws:iam::222222222222:role/x/aaa" || len(*r.RoleId) != 21 || r.RoleLastUsed == nil ||
		*r.PermissionsBoundary.PermissionsBoundaryArn != "arn:aws:iam::aws:policy/PowerUserAccess" || *r.Tags[0].Value != "a" ||
		*r.AttachedManagedPolicies[0].PolicyName != "ReadOnlyAccess" || len(r.InstanceProfileList) != 2 || *r.InstanceProfileList[1].Roles[0].RoleName != "aaa" {
		t.Errorf("role %+v", r)
	}
	raw := *r.RolePolicyList[0].PolicyDocument
	if got, err := url.PathUnescape(raw); err != nil || got != document || raw == document {
		t.Errorf("document %q, error %v", raw, err)
	}

	_, err = client.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{})
	wantCode(t, err, "NotImplemented")
	_, err = client.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: []iamtypes.EntityType{"Roles"}})
	wantCode(t, err, "ValidationError")
	_, err = client.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: rolesOnly, MaxItems: aws.Int32(1001)})
	wantCode(t, err, "ValidationError")
}

func TestAuthorizationDetailsPages(t *testing.T) {
	w := newWorld(t)
	client, ctx := w.responder(t), t.Context()
	for i := range 250 {
		w.Account(member).AddRole(awsfake.Role{Name: fmt.Sprintf("r%03d", i)})
	}
	for size, want := range map[int32]int{0: 3, 1000: 3, 50: 6} { // 253 roles with the victim and the member roles, or so
		in := &iam.GetAccountAuthorizationDetailsInput{Filter: rolesOnly}
		if size > 0 {
			in.MaxItems = aws.Int32(size)
		}
		seen, pages := map[string]bool{}, 0
		for p := iam.NewGetAccountAuthorizationDetailsPaginator(client, in); p.HasMorePages(); pages++ {
			out, err := p.NextPage(ctx)
			check(t, err)
			for _, r := range out.RoleDetailList {
				seen[*r.RoleName] = true
			}
		}
		if all := len(w.Snapshot().Accounts[member].Roles); len(seen) != all || pages != want {
			t.Errorf("pages of %d: %d roles of %d in %d pages", size, len(seen), all, pages)
		}
	}
}

func TestAuthorizationDetailsLagBehind(t *testing.T) {
	w := newWorld(t)
	client, ctx := w.responder(t), t.Context()
	w.SetPropagation(4 * time.Second)
	_, err := client.PutRolePolicy(ctx, put("late", denyAll))
	check(t, err)
	inline := func() int {
		out, err := client.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: rolesOnly})
		check(t, err)
		n := 0
		for _, r := range out.RoleDetailList {
			if *r.RoleName == "victim" {
				n = len(r.RolePolicyList)
			}
		}
		return n
	}
	before := inline()
	w.clock.add(5 * time.Second)
	if after := inline(); after != before+1 {
		t.Errorf("%d inline policies, then %d", before, after)
	}
}

// The operation takes no resource type, so a policy on roles does not allow it.
func TestAuthorizationDetailsTakeAnyResource(t *testing.T) {
	w := newWorld(t)
	for resource, allowed := range map[string]bool{"*": true, "arn:aws:iam::222222222222:role/*": false} {
		name := "reader" + fmt.Sprint(allowed)
		arn := w.Account(member).AddRole(awsfake.Role{Name: name, Inline: map[string]string{
			"p": `{"Statement":[{"Effect":"Allow","Action":"iam:GetAccountAuthorizationDetails","Resource":"` + resource + `"}]}`}})
		_, err := iam.NewFromConfig(w.Session(arn, "s").Config()).GetAccountAuthorizationDetails(t.Context(), &iam.GetAccountAuthorizationDetailsInput{Filter: rolesOnly})
		if (err == nil) != allowed {
			t.Errorf("on %s: %v", resource, err)
		}
	}
}
