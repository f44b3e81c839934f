package user

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// Prefixes of the IDs of steps on a user's credentials. The rest is the credential's ID.
const (
	stepKey         = "key "
	stepService     = "service credential "
	stepCertificate = "signing certificate "
	stepSSH         = "ssh key "
	stepDelete      = "delete "
	stepPassword    = "password"
)

// Reasons why undo does not revert credentials.
const (
	staysInactive = "a compromised key stays inactive unless the undo says keys=reactivate"
	staysGone     = "a password can't be restored: set a new one"
	staysDeleted  = "a deleted key can't be restored"
)

// credential is one of a user's long-term credentials.
type credential struct {
	ID      string    `json:"id"`
	Status  string    `json:"status"` // Active, Inactive or Expired
	Service string    `json:"service,omitempty"`
	Created time.Time `json:"created,omitzero"`
}

func (c credential) active() bool { return c.Status == string(types.StatusTypeActive) }

// credentialKind is a kind of credentials that can be made inactive and active again.
type credentialKind struct {
	step, what string
	list       func(ctx context.Context, acct *actions.Account, user string) ([]credential, error)
	set        func(ctx context.Context, acct *actions.Account, user, id string, to types.StatusType) error
}

// credentialKinds in the order of their steps: access keys first.
var credentialKinds = []credentialKind{
	{stepKey, "access key", accessKeys, func(ctx context.Context, acct *actions.Account, user, id string, to types.StatusType) error {
		_, err := acct.IAM().UpdateAccessKey(ctx, &iam.UpdateAccessKeyInput{UserName: &user, AccessKeyId: &id, Status: to})
		return err
	}},
	{stepService, "service credential", serviceCredentials, func(ctx context.Context, acct *actions.Account, user, id string, to types.StatusType) error {
		_, err := acct.IAM().UpdateServiceSpecificCredential(ctx, &iam.UpdateServiceSpecificCredentialInput{UserName: &user, ServiceSpecificCredentialId: &id, Status: to})
		return err
	}},
	{stepCertificate, "signing certificate", signingCertificates, func(ctx context.Context, acct *actions.Account, user, id string, to types.StatusType) error {
		_, err := acct.IAM().UpdateSigningCertificate(ctx, &iam.UpdateSigningCertificateInput{UserName: &user, CertificateId: &id, Status: to})
		return err
	}},
	{stepSSH, "SSH public key", sshKeys, func(ctx context.Context, acct *actions.Account, user, id string, to types.StatusType) error {
		_, err := acct.IAM().UpdateSSHPublicKey(ctx, &iam.UpdateSSHPublicKeyInput{UserName: &user, SSHPublicKeyId: &id, Status: to})
		return err
	}},
}

func accessKeys(ctx context.Context, acct *actions.Account, user string) ([]credential, error) {
	return actions.List(ctx, iam.NewListAccessKeysPaginator(acct.IAM(), &iam.ListAccessKeysInput{UserName: &user}),
		func(p *iam.ListAccessKeysOutput) []types.AccessKeyMetadata { return p.AccessKeyMetadata },
		func(k types.AccessKeyMetadata) credential {
			return credential{ID: aws.ToString(k.AccessKeyId), Status: string(k.Status), Created: aws.ToTime(k.CreateDate)}
		})
}

func serviceCredentials(ctx context.Context, acct *actions.Account, user string) ([]credential, error) {
	var cs []credential
	for in := (&iam.ListServiceSpecificCredentialsInput{UserName: &user}); ; {
		page, err := acct.IAM().ListServiceSpecificCredentials(ctx, in)
		if err != nil {
			return nil, err
		}
		for _, c := range page.ServiceSpecificCredentials {
			cs = append(cs, credential{aws.ToString(c.ServiceSpecificCredentialId), string(c.Status), aws.ToString(c.ServiceName), aws.ToTime(c.CreateDate)})
		}
		if !page.IsTruncated {
			return cs, nil
		}
		in.Marker = page.Marker
	}
}

func signingCertificates(ctx context.Context, acct *actions.Account, user string) ([]credential, error) {
	return actions.List(ctx, iam.NewListSigningCertificatesPaginator(acct.IAM(), &iam.ListSigningCertificatesInput{UserName: &user}),
		func(p *iam.ListSigningCertificatesOutput) []types.SigningCertificate { return p.Certificates },
		func(c types.SigningCertificate) credential {
			return credential{ID: aws.ToString(c.CertificateId), Status: string(c.Status), Created: aws.ToTime(c.UploadDate)}
		})
}

func sshKeys(ctx context.Context, acct *actions.Account, user string) ([]credential, error) {
	return actions.List(ctx, iam.NewListSSHPublicKeysPaginator(acct.IAM(), &iam.ListSSHPublicKeysInput{UserName: &user}),
		func(p *iam.ListSSHPublicKeysOutput) []types.SSHPublicKeyMetadata { return p.SSHPublicKeys },
		func(k types.SSHPublicKeyMetadata) credential {
			return credential{ID: aws.ToString(k.SSHPublicKeyId), Status: string(k.Status), Created: aws.ToTime(k.UploadDate)}
		})
}

// deactivation makes a credential inactive.
func (k credentialKind) deactivation(acct *actions.Account, user *types.User, c credential) actions.Step {
	s := deny.UserStep(acct, user, k.step+c.ID, strings.TrimSpace(k.step), c.ID)
	s.Title, s.Prior, s.Current, s.After = "Deactivate the "+k.what+" "+c.ID, &c.Status, statusText(c), "inactive"
	s.Credential, s.NotReverted = true, staysInactive
	return s
}

func statusText(c credential) string {
	text := strings.ToLower(c.Status)
	if !c.active() {
		text += " already"
	}
	if c.Service != "" {
		text += ", for " + c.Service
	}
	return text
}

// kindOf returns a step's kind of credential and its ID.
func kindOf(s actions.Step) (credentialKind, string) {
	for _, k := range credentialKinds {
		if id, ok := strings.CutPrefix(s.ID, k.step); ok {
			return k, id
		}
	}
	return credentialKinds[0], strings.TrimPrefix(s.ID, stepDelete)
}

// liveCredential returns the current state of a step's credential; nil if it is gone.
func liveCredential(ctx context.Context, acct *actions.Account, user string, s actions.Step) (*credential, credentialKind, error) {
	kind, id := kindOf(s)
	all, err := kind.list(ctx, acct, user)
	if err != nil {
		return nil, kind, err
	}
	i := slices.IndexFunc(all, func(c credential) bool { return c.ID == id })
	if i < 0 {
		return nil, kind, nil
	}
	return &all[i], kind, nil
}

// deactivate makes a credential inactive. A deleted credential is no error.
func deactivate(ctx context.Context, acct *actions.Account, user string, s actions.Step) (actions.Effect, error) {
	e := actions.Effect{Prior: s.Prior, Wrote: aws.String(string(types.StatusTypeInactive))}
	c, kind, err := liveCredential(ctx, acct, user, s)
	if err != nil || c == nil || !c.active() {
		return e, err
	}
	err = kind.set(ctx, acct, user, c.ID, types.StatusTypeInactive)
	if actions.IsCode(err, "NoSuchEntity") {
		return e, nil
	}
	e.Changed = true
	return e, err
}

func deactivated(ctx context.Context, acct *actions.Account, user string, s actions.Step) (actions.Reading, error) {
	c, kind, err := liveCredential(ctx, acct, user, s)
	if err != nil || c == nil {
		return actions.Reading{Holds: err == nil}, err
	}
	return actions.Reading{Holds: !c.active(), Found: "the " + kind.what + " " + c.ID + " " + strings.ToLower(c.Status)}, nil
}

// reactivate activates a credential that was active before.
func reactivate(ctx context.Context, acct *actions.Account, on *types.User, s actions.Step, e actions.Effect) (actions.Reading, error) {
	user := aws.ToString(on.UserName)
	c, kind, err := liveCredential(ctx, acct, user, s)
	switch {
	case err != nil:
		return actions.Reading{}, err
	case c == nil:
		return actions.Reading{Found: "that the " + kind.what + " no longer exists: it can't be made active again"}, nil
	case e.Prior == nil || c.Status == *e.Prior:
		return actions.Reading{Holds: true}, nil
	case e.Wrote == nil || c.Status != *e.Wrote:
		return actions.Reading{Found: "the " + kind.what + " " + strings.ToLower(c.Status)}, nil
	}
	if by := deny.Elsewhere(ctx, acct, deny.TamperValue(on.Tags)); by != "" {
		return actions.Reading{Found: "the " + kind.what + " " + strings.ToLower(c.Status), Elsewhere: by}, nil
	}
	err = kind.set(ctx, acct, user, c.ID, types.StatusType(*e.Prior))
	if actions.IsCode(err, "NoSuchEntity") {
		return actions.Reading{Found: "that the " + kind.what + " no longer exists: it can't be made active again"}, nil
	}
	return actions.Reading{Holds: err == nil, Changed: err == nil}, err
}

// hasPassword reports whether the user can sign in to the console.
func hasPassword(ctx context.Context, acct *actions.Account, user string) (bool, error) {
	_, err := acct.IAM().GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: &user})
	if actions.IsCode(err, "NoSuchEntity") {
		return false, nil
	}
	return err == nil, err
}

func passwordText(has bool) string {
	if has {
		return "a console password"
	}
	return "no console password"
}

func passwordStep(acct *actions.Account, user *types.User) actions.Step {
	s := deny.UserStep(acct, user, stepPassword, stepPassword, "console")
	s.Title, s.Prior, s.Current, s.After = "Delete the console password", aws.String("set"), passwordText(true), passwordText(false)
	s.NotReverted = staysGone
	return s
}

func deletePassword(ctx context.Context, acct *actions.Account, user string, s actions.Step) (actions.Effect, error) {
	_, err := acct.IAM().DeleteLoginProfile(ctx, &iam.DeleteLoginProfileInput{UserName: &user})
	if actions.IsCode(err, "NoSuchEntity") {
		return actions.Effect{Prior: s.Prior}, nil
	}
	return actions.Effect{Prior: s.Prior, Changed: err == nil}, err
}

// deleteKeyOf deletes an inactive access key. A key that is gone already is no error.
func deleteKeyOf(ctx context.Context, acct *actions.Account, user string, s actions.Step) (actions.Effect, error) {
	c, _, err := liveCredential(ctx, acct, user, s)
	if err != nil || c == nil {
		return actions.Effect{Prior: s.Prior}, err
	}
	if c.active() {
		return actions.Effect{}, errKeyActive(c.ID)
	}
	_, err = acct.IAM().DeleteAccessKey(ctx, &iam.DeleteAccessKeyInput{UserName: &user, AccessKeyId: &c.ID})
	if actions.IsCode(err, "NoSuchEntity") {
		return actions.Effect{Prior: s.Prior}, nil
	}
	return actions.Effect{Prior: s.Prior, Changed: err == nil}, err
}

func errKeyActive(id string) *actions.Refusal {
	return &actions.Refusal{Reason: "the access key " + id + " is active: only an inactive key is deleted", Hint: "ask for deactivate_key first; it can be taken back if something breaks"}
}

func keyDeleted(ctx context.Context, acct *actions.Account, user string, s actions.Step) (actions.Reading, error) {
	c, _, err := liveCredential(ctx, acct, user, s)
	if err != nil || c == nil {
		return actions.Reading{Holds: err == nil}, err
	}
	return actions.Reading{Found: "the access key " + c.ID + " " + strings.ToLower(c.Status)}, nil
}
