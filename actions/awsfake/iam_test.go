package awsfake_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const trustEC2 = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`

func TestRoleLifecycle(t *testing.T) {
	w := newWorld(t)
	client, ctx := w.responder(t), t.Context()
	name := aws.String("job")
	create := &iam.CreateRoleInput{RoleName: name, Path: aws.String("/x/"), AssumeRolePolicyDocument: aws.String(trustEC2),
		Tags: []iamtypes.Tag{{Key: aws.String("Team"), Value: aws.String("a")}}, PermissionsBoundary: aws.String("arn:aws:iam::aws:policy/PowerUserAccess")}
	created, err := client.CreateRole(ctx, create)
	check(t, err)
	_, err = client.CreateRole(ctx, create)
	wantCode(t, err, "EntityAlreadyExists")

	_, err = client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")})
	check(t, err)
	_, err = client.PutRolePolicy(ctx, &iam.PutRolePolicyInput{RoleName: name, PolicyName: aws.String("deny"), PolicyDocument: aws.String(denyAll)})
	check(t, err)
	_, err = client.CreateInstanceProfile(ctx, &iam.CreateInstanceProfileInput{InstanceProfileName: aws.String("prof")})
	check(t, err)
	addRole := &iam.AddRoleToInstanceProfileInput{RoleName: name, InstanceProfileName: aws.String("prof")}
	_, err = client.AddRoleToInstanceProfile(ctx, addRole)
	check(t, err)
	_, err = client.AddRoleToInstanceProfile(ctx, addRole)
	wantCode(t, err, "LimitExceeded")
	_, err = client.UpdateAssumeRolePolicy(ctx, &iam.UpdateAssumeRolePolicyInput{RoleName: name, PolicyDocument: aws.String(" " + trustEC2)})
	check(t, err)

	got := w.Snapshot().Accounts[member].Roles["job"]
	want := awsfake.Role{Name: "job", ID: *created.Role.RoleId, Path: "/x/", ARN: "arn:aws:iam::222222222222:role/x/job", MaxSession: 3600e9, Created: start,
		Trust: " " + trustEC2, Tags: map[string]string{"Team": "a"}, Inline: map[string]string{"deny": denyAll},
		Attached: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess"}, Boundary: "arn:aws:iam::aws:policy/PowerUserAccess", Profiles: []string{"prof"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	profiles, err := client.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: name})
	check(t, err)
	if len(profiles.InstanceProfiles) != 1 || *profiles.InstanceProfiles[0].Roles[0].RoleName != "job" {
		t.Errorf("profiles %+v", profiles.InstanceProfiles)
	}

	// DeleteRole refuses until nothing hangs on the role.
	del := &iam.DeleteRoleInput{RoleName: name}
	for _, undo := range []func() error{
		func() error {
			_, err := client.RemoveRoleFromInstanceProfile(ctx, &iam.RemoveRoleFromInstanceProfileInput{RoleName: name, InstanceProfileName: aws.String("prof")})
			return err
		},
		func() error {
			_, err := client.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")})
			return err
		},
		func() error {
			_, err := client.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String("deny")})
			return err
		},
	} {
		_, err = client.DeleteRole(ctx, del)
		wantCode(t, err, "DeleteConflict")
		check(t, undo())
	}
	_, err = client.DeleteRole(ctx, del)
	check(t, err)
	_, err = client.GetRole(ctx, &iam.GetRoleInput{RoleName: name})
	var gone *iamtypes.NoSuchEntityException
	if !errors.As(err, &gone) || gone.ErrorMessage() != "The role with name job cannot be found." {
		t.Errorf("error %v", err)
	}
	again, err := client.CreateRole(ctx, create)
	check(t, err)
	if *again.Role.RoleId == *created.Role.RoleId || len(*again.Role.RoleId) != 21 {
		t.Errorf("role IDs %s and %s", *created.Role.RoleId, *again.Role.RoleId)
	}
}

func TestMissingThingsAreNoSuchEntity(t *testing.T) {
	w := newWorld(t)
	client, ctx := w.responder(t), t.Context()
	name, ghost := aws.String("victim"), aws.String("ghost")
	for op, call := range map[string]func() error{
		"GetRole": func() error { _, err := client.GetRole(ctx, &iam.GetRoleInput{RoleName: ghost}); return err },
		"PutRolePolicy": func() error {
			in := put("p", denyAll)
			in.RoleName = ghost
			_, err := client.PutRolePolicy(ctx, in)
			return err
		},
		"ListRoleTags": func() error { _, err := client.ListRoleTags(ctx, &iam.ListRoleTagsInput{RoleName: ghost}); return err },
		"GetRolePolicy": func() error {
			_, err := client.GetRolePolicy(ctx, &iam.GetRolePolicyInput{RoleName: name, PolicyName: ghost})
			return err
		},
		"DeleteRolePolicy": func() error {
			_, err := client.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: ghost})
			return err
		},
		"AttachRolePolicy": func() error {
			_, err := client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: name, PolicyArn: aws.String("arn:aws:iam::aws:policy/NoSuchPolicy")})
			return err
		},
		"DetachRolePolicy": func() error {
			_, err := client.DetachRolePolicy(ctx, &iam.DetachRolePolicyInput{RoleName: name, PolicyArn: aws.String("arn:aws:iam::aws:policy/ReadOnlyAccess")})
			return err
		},
		"ListInstanceProfiles…": func() error {
			_, err := client.ListInstanceProfilesForRole(ctx, &iam.ListInstanceProfilesForRoleInput{RoleName: ghost})
			return err
		},
	} {
		t.Run(op, func(t *testing.T) { wantCode(t, call(), "NoSuchEntity") })
	}
}

func TestMalformedDocuments(t *testing.T) {
	w := newWorld(t)
	client := w.responder(t)
	for name, doc := range map[string]string{
		"broken":         `{"Version":"2012-10-17","Statement":[`,
		"trailing":       denyAll + "x",
		"unknown field":  `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Why":"x"}]}`,
		"no statement":   `{"Version":"2012-10-17"}`,
		"version":        `{"Version":"2012-10-18","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`,
		"effect":         `{"Version":"2012-10-17","Statement":[{"Effect":"deny","Action":"*","Resource":"*"}]}`,
		"no resource":    `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*"}]}`,
		"no action":      `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Resource":"*"}]}`,
		"principal":      `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Principal":"*"}]}`,
		"sid":            `{"Version":"2012-10-17","Statement":[{"Sid":"a-b","Effect":"Deny","Action":"*","Resource":"*"}]}`,
		"duplicate sids": `{"Version":"2012-10-17","Statement":[{"Sid":"a","Effect":"Deny","Action":"*","Resource":"*"},{"Sid":"a","Effect":"Deny","Action":"*","Resource":"*"}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := client.PutRolePolicy(t.Context(), put("p", doc))
			wantCode(t, err, "MalformedPolicyDocument")
		})
	}
}

func TestQuotas(t *testing.T) {
	w := newWorld(t)
	client, ctx := w.responder(t), t.Context()
	fill := func(n int) string { // a document of n characters that count
		head, tail := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"arn:aws:s3:::`, `*"}]}`
		return head + strings.Repeat("a", n-len(head)-len(tail)) + tail + strings.Repeat("\n ", 50)
	}
	_, err := client.PutRolePolicy(ctx, put("a", fill(10000)))
	check(t, err)
	_, err = client.PutRolePolicy(ctx, put("b", fill(240)))
	check(t, err)
	_, err = client.PutRolePolicy(ctx, put("b", fill(241)))
	if got, want := wantCode(t, err, "LimitExceeded"), "Maximum policy size of 10240 bytes exceeded for role victim"; got != want {
		t.Errorf("message %q, want %q", got, want)
	}

	for i := range 10 {
		arn := fmt.Sprintf("arn:aws:iam::%s:policy/p%d", member, i)
		w.AddPolicy(arn, denyAll)
		_, err = client.AttachRolePolicy(ctx, &iam.AttachRolePolicyInput{RoleName: aws.String("victim"), PolicyArn: aws.String(arn)})
		if i < 9 { // one is attached from the start
			check(t, err)
		}
	}
	wantCode(t, err, "LimitExceeded")

	tag := func(key string) *iam.TagRoleInput {
		return &iam.TagRoleInput{RoleName: aws.String("victim"), Tags: []iamtypes.Tag{{Key: aws.String(key), Value: aws.String(key)}}}
	}
	for i := range 50 {
		_, err = client.TagRole(ctx, tag(fmt.Sprintf("k%02d", i)))
		check(t, err)
	}
	_, err = client.TagRole(ctx, tag("K00")) // the same key in another case
	check(t, err)
	_, err = client.TagRole(ctx, tag("one-more"))
	wantCode(t, err, "LimitExceeded")
	_, err = client.TagRole(ctx, &iam.TagRoleInput{RoleName: aws.String("victim"), Tags: []iamtypes.Tag{{Key: aws.String("x"), Value: aws.String("")}, {Key: aws.String("X"), Value: aws.String("")}}})
	wantCode(t, err, "InvalidInput")
	_, err = client.UntagRole(ctx, &iam.UntagRoleInput{RoleName: aws.String("victim"), TagKeys: []string{"k49", "never"}})
	check(t, err)
	tags := w.Snapshot().Accounts[member].Roles["victim"].Tags
	if _, ok := tags["k00"]; ok || len(tags) != 49 || tags["K00"] != "K00" {
		t.Errorf("%d tags: %v", len(tags), tags)
	}
}

func TestPaging(t *testing.T) {
	w := newWorld(t)
	a := w.Account("333333333333")
	victim := awsfake.Role{Name: "role000", Tags: map[string]string{}, Inline: map[string]string{}, Attached: []string{"arn:aws:iam::aws:policy/ReadOnlyAccess", "arn:aws:iam::aws:policy/SecurityAudit"}}
	for i := range 7 {
		victim.Tags[fmt.Sprint("t", i)] = "v"
		victim.Inline[fmt.Sprint("p", i)] = denyAll
		victim.Profiles = append(victim.Profiles, fmt.Sprint("i", i))
	}
	a.AddRole(victim)
	for i := 1; i < 250; i++ {
		a.AddRole(awsfake.Role{Name: fmt.Sprintf("role%03d", i), Path: fmt.Sprintf("/p%d/", i%2)})
	}
	client, ctx, name := iam.NewFromConfig(w.Admin("333333333333")), t.Context(), aws.String("role000")
	count := map[string]int{}
	pages := 0
	for p := iam.NewListRolesPaginator(client, &iam.ListRolesInput{}); p.HasMorePages(); pages++ {
		out, err := p.NextPage(ctx)
		check(t, err)
		for _, r := range out.Roles {
			count[*r.RoleName]++
		}
	}
	if len(count) != 250 || pages != 3 {
		t.Errorf("%d roles in %d pages, want 250 in 3", len(count), pages)
	}
	odd, err := client.ListRoles(ctx, &iam.ListRolesInput{PathPrefix: aws.String("/p1"), MaxItems: aws.Int32(1000)})
	check(t, err)
	if len(odd.Roles) != 125 || odd.IsTruncated {
		t.Errorf("%d roles under /p1, want 125", len(odd.Roles))
	}

	got := map[string]int{}
	for p := iam.NewListRolePoliciesPaginator(client, &iam.ListRolePoliciesInput{RoleName: name, MaxItems: aws.Int32(3)}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		check(t, err)
		got["inline"] += len(out.PolicyNames)
	}
	for p := iam.NewListAttachedRolePoliciesPaginator(client, &iam.ListAttachedRolePoliciesInput{RoleName: name, MaxItems: aws.Int32(1)}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		check(t, err)
		got["attached"] += len(out.AttachedPolicies)
	}
	for p := iam.NewListInstanceProfilesForRolePaginator(client, &iam.ListInstanceProfilesForRoleInput{RoleName: name, MaxItems: aws.Int32(2)}); p.HasMorePages(); {
		out, err := p.NextPage(ctx)
		check(t, err)
		got["profiles"] += len(out.InstanceProfiles)
	}
	in := &iam.ListRoleTagsInput{RoleName: name, MaxItems: aws.Int32(4)}
	for more := true; more; {
		out, err := client.ListRoleTags(ctx, in)
		check(t, err)
		got["tags"] += len(out.Tags)
		in.Marker, more = out.Marker, out.IsTruncated
	}
	if diff := cmp.Diff(map[string]int{"inline": 7, "attached": 2, "profiles": 7, "tags": 7}, got); diff != "" {
		t.Error(diff)
	}
	if len(w.Calls()) != 0 {
		t.Error("admin calls are logged")
	}
}

func TestReservedRoles(t *testing.T) {
	w := newWorld(t)
	client := w.responder(t)
	for name, path := range map[string]string{"AWSServiceRoleForSupport": "/aws-service-role/support.amazonaws.com/", "AWSReservedSSO_Admin_0123456789abcdef": "/aws-reserved/sso.amazonaws.com/eu-west-1/"} {
		w.Account(member).AddRole(awsfake.Role{Name: name, Path: path})
		in := put("p", denyAll)
		in.RoleName = aws.String(name)
		_, err := client.PutRolePolicy(t.Context(), in)
		if _, ok := errors.AsType[*iamtypes.UnmodifiableEntityException](err); !ok {
			t.Errorf("%s: error %v, want UnmodifiableEntity", name, err)
		}
	}
	w.Account(member).AddRole(awsfake.Role{Name: "ordinary", Path: "/service-role/"})
	in := put("p", denyAll)
	in.RoleName = aws.String("ordinary")
	_, err := client.PutRolePolicy(t.Context(), in)
	check(t, err)
}
