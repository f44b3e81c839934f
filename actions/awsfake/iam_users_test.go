package awsfake_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

const (
	userDeny  = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`
	userAllow = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
)

// TestSessionsOfAStolenKey: what the holder of a user's key can do, with it and with a
// session that was derived from it.
func TestSessionsOfAStolenKey(t *testing.T) {
	w := newWorld(t)
	w.Account("222222222222").AddUser(awsfake.User{Name: "mallory", Groups: []string{"admins"}, Keys: []awsfake.AccessKey{{ID: "AKIA0000000000000001"}}, Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}})
	admin := iam.NewFromConfig(w.Admin("222222222222"))
	user, id := aws.String("mallory"), aws.String("AKIA0000000000000001")
	key := w.KeySession(*id)
	derived := key.SessionToken()
	can := func(s *awsfake.Session, want bool, when string) {
		t.Helper()
		if ok, why := s.Can("s3:GetObject", "arn:aws:s3:::b/k"); ok != want {
			t.Errorf("%s: can %t: %s", when, ok, why)
		}
	}
	can(key, true, "the key")
	can(derived, true, "the session")
	who, err := sts.NewFromConfig(key.Config()).GetCallerIdentity(t.Context(), nil)
	check(t, err)
	if *who.Arn != "arn:aws:iam::222222222222:user/mallory" || !strings.HasPrefix(*who.UserId, "AIDA") {
		t.Errorf("%s %s", *who.Arn, *who.UserId)
	}
	if ok, _ := derived.Can("iam:GetUser", "arn:aws:iam::222222222222:user/mallory"); ok {
		t.Error("a session without MFA may call IAM")
	}

	// A deny on the issue time hits the session alone.
	_, err = admin.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: user, PolicyName: aws.String("r"), PolicyDocument: aws.String(revoke(w.clock.now().Add(time.Minute)))})
	check(t, err)
	can(key, true, "the key, sessions revoked")
	can(derived, false, "the session, sessions revoked")
	_, err = admin.DeleteUserPolicy(t.Context(), &iam.DeleteUserPolicyInput{UserName: user, PolicyName: aws.String("r")})
	check(t, err)

	// The session outlives the key, and dies with a deny on the user.
	_, err = admin.UpdateAccessKey(t.Context(), &iam.UpdateAccessKeyInput{UserName: user, AccessKeyId: id, Status: types.StatusTypeInactive})
	check(t, err)
	can(key, false, "the inactive key")
	can(derived, true, "the session of an inactive key")
	_, err = admin.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: user, PolicyName: aws.String("deny"), PolicyDocument: aws.String(userDeny)})
	check(t, err)
	can(derived, false, "the session of a denied user")

	w.Account("222222222222").DeleteUser("mallory")
	_, err = admin.GetAccessKeyLastUsed(t.Context(), &iam.GetAccessKeyLastUsedInput{AccessKeyId: id})
	wantCode(t, err, "NoSuchEntity")
	info, err := sts.NewFromConfig(w.Config()).GetAccessKeyInfo(t.Context(), &sts.GetAccessKeyInfoInput{AccessKeyId: id})
	check(t, err)
	if *info.Account != "222222222222" {
		t.Error(*info.Account)
	}
}

func TestUserQuotas(t *testing.T) {
	w := newWorld(t)
	w.Account("222222222222").AddUser(awsfake.User{Name: "u"})
	admin, user := iam.NewFromConfig(w.Admin("222222222222")), aws.String("u")
	for range 2 {
		_, err := admin.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: user})
		check(t, err)
	}
	_, err := admin.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: user})
	wantCode(t, err, "LimitExceeded")
	for i := range 11 {
		arn := fmt.Sprintf("arn:aws:iam::222222222222:policy/p%d", i)
		w.AddPolicy(arn, userAllow)
		_, err := admin.AttachUserPolicy(t.Context(), &iam.AttachUserPolicyInput{UserName: user, PolicyArn: &arn})
		if i < 10 {
			check(t, err)
		} else {
			wantCode(t, err, "LimitExceeded")
		}
	}
	long := `{"Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"arn:aws:s3:::` + strings.Repeat("b", 1950) + `*"}]}`
	_, err = admin.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: user, PolicyName: aws.String("long"), PolicyDocument: &long})
	check(t, err)
	_, err = admin.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: user, PolicyName: aws.String("one-more"), PolicyDocument: aws.String(userDeny)})
	wantCode(t, err, "LimitExceeded")
}

// TestCustomerPolicy: created, it is seen when it has propagated; replaced, it has
// another default version. Its name is taken on every path.
func TestCustomerPolicy(t *testing.T) {
	w := newWorld(t)
	w.SetPropagation(4 * time.Second)
	client := w.responder(t)
	out, err := client.CreatePolicy(t.Context(), &iam.CreatePolicyInput{PolicyName: aws.String("Deny"), PolicyDocument: aws.String(userDeny)})
	check(t, err)
	arn := out.Policy.Arn
	_, err = client.GetPolicy(t.Context(), &iam.GetPolicyInput{PolicyArn: arn})
	wantCode(t, err, "NoSuchEntity")
	_, err = client.CreatePolicy(t.Context(), &iam.CreatePolicyInput{PolicyName: aws.String("deny"), Path: aws.String("/x/"), PolicyDocument: aws.String(userDeny)})
	wantCode(t, err, "EntityAlreadyExists")
	w.clock.add(4 * time.Second)
	got, err := client.GetPolicyVersion(t.Context(), &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")})
	check(t, err)
	if doc, err := url.PathUnescape(*got.PolicyVersion.Document); err != nil || doc != userDeny || doc == *got.PolicyVersion.Document {
		t.Errorf("%s: not the document, URL-encoded", *got.PolicyVersion.Document)
	}
	w.AddPolicy(*arn, userAllow)
	policy, err := client.GetPolicy(t.Context(), &iam.GetPolicyInput{PolicyArn: arn})
	check(t, err)
	if d := cmp.Diff("v2", *policy.Policy.DefaultVersionId); d != "" {
		t.Error(d)
	}
	_, err = client.GetPolicyVersion(t.Context(), &iam.GetPolicyVersionInput{PolicyArn: arn, VersionId: aws.String("v1")})
	wantCode(t, err, "NoSuchEntity")
}

func TestUserCredentials(t *testing.T) {
	w := newWorld(t)
	w.Account("222222222222").AddUser(awsfake.User{Name: "u", Password: w.clock.now(), MFA: []string{"arn:aws:iam::222222222222:mfa/u"},
		SSHKeys: []awsfake.Credential{{}}, Services: []awsfake.Credential{{Service: "codecommit.amazonaws.com"}}, Certificates: []awsfake.Credential{{}}})
	client, user := iam.NewFromConfig(w.Admin("222222222222")), aws.String("u")
	u := w.Snapshot().Accounts["222222222222"].Users["u"]
	_, err := client.UpdateSSHPublicKey(t.Context(), &iam.UpdateSSHPublicKeyInput{UserName: user, SSHPublicKeyId: &u.SSHKeys[0].ID, Status: types.StatusTypeInactive})
	check(t, err)
	_, err = client.UpdateServiceSpecificCredential(t.Context(), &iam.UpdateServiceSpecificCredentialInput{UserName: user, ServiceSpecificCredentialId: &u.Services[0].ID, Status: types.StatusTypeInactive})
	check(t, err)
	_, err = client.UpdateSigningCertificate(t.Context(), &iam.UpdateSigningCertificateInput{UserName: user, CertificateId: &u.Certificates[0].ID, Status: types.StatusTypeInactive})
	check(t, err)
	_, err = client.DeleteLoginProfile(t.Context(), &iam.DeleteLoginProfileInput{UserName: user})
	check(t, err)
	_, err = client.GetLoginProfile(t.Context(), &iam.GetLoginProfileInput{UserName: user})
	wantCode(t, err, "NoSuchEntity")
	got := w.Snapshot().Accounts["222222222222"].Users["u"]
	if !got.SSHKeys[0].Inactive || !got.Services[0].Inactive || !got.Certificates[0].Inactive || !got.Password.IsZero() || u.SSHKeys[0].Inactive {
		t.Errorf("%+v, before %+v", got, u)
	}
}

func TestListUsers(t *testing.T) {
	w := newWorld(t)
	for i := range 250 {
		w.Account("222222222222").AddUser(awsfake.User{Name: fmt.Sprintf("u%03d", i), Path: fmt.Sprintf("/p%d/", i%2), Tags: map[string]string{"k": "v"}})
	}
	count, pages := map[string]bool{}, 0
	for p := iam.NewListUsersPaginator(iam.NewFromConfig(w.Admin("222222222222")), &iam.ListUsersInput{PathPrefix: aws.String("/p1"), MaxItems: aws.Int32(50)}); p.HasMorePages(); pages++ {
		out, err := p.NextPage(t.Context())
		check(t, err)
		for _, u := range out.Users {
			if count[*u.Arn] = true; u.Tags != nil {
				t.Errorf("%s is listed with its tags", *u.UserName)
			}
		}
	}
	if len(count) != 125 || pages != 3 {
		t.Errorf("%d users in %d pages, want 125 in 3", len(count), pages)
	}
}
