package awsfake

import (
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

var iamKeyOperations = map[string]operation{
	"iam:ListAccessKeys":       bind(reads, listAccessKeys),
	"iam:CreateAccessKey":      bind(writes, createAccessKey),
	"iam:UpdateAccessKey":      bind(writes, updateAccessKey),
	"iam:DeleteAccessKey":      bind(writes, deleteAccessKey),
	"iam:GetAccessKeyLastUsed": {run: bind(reads, getAccessKeyLastUsed).run, needs: onAll},
	"iam:CreateLoginProfile":   bind(writes, createLoginProfile),
	"iam:GetLoginProfile":      bind(reads, getLoginProfile),
	"iam:DeleteLoginProfile":   bind(writes, deleteLoginProfile),

	"iam:ListSSHPublicKeys":               bind(reads, listSSHPublicKeys),
	"iam:UpdateSSHPublicKey":              bind(writes, updateSSHPublicKey),
	"iam:ListServiceSpecificCredentials":  bind(reads, listServiceSpecificCredentials),
	"iam:UpdateServiceSpecificCredential": bind(writes, updateServiceSpecificCredential),
	"iam:ListSigningCertificates":         bind(reads, listSigningCertificates),
	"iam:UpdateSigningCertificate":        bind(writes, updateSigningCertificate),

	"sts:GetAccessKeyInfo": {run: bind(reads, getAccessKeyInfo).run, needs: onAll},
}

// AddRootKey is an access key of the account's root user: no list shows it.
func (a *Account) AddRootKey(id string) {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	a.c.keyOwners[id] = a.id
}

// getAccessKeyInfo tells the account of any key, also of one that is inactive or
// gone. https://docs.aws.amazon.com/STS/latest/APIReference/API_GetAccessKeyInfo.html
func getAccessKeyInfo(k *request, in *sts.GetAccessKeyInfoInput) (*sts.GetAccessKeyInfoOutput, error) {
	id := aws.ToString(in.AccessKeyId)
	if account, ok := k.c.keyOwners[id]; ok {
		return &sts.GetAccessKeyInfoOutput{Account: aws.String(account)}, nil
	}
	if s, ok := k.c.sessions[id]; ok {
		return &sts.GetAccessKeyInfoOutput{Account: aws.String(s.account.id)}, nil
	}
	return nil, validation("Invalid Access Key ID: %s", id) // the documentation names no code
}

// getAccessKeyLastUsed of a key that no user of the account has. What AWS answers
// for a root user's key is not documented: here it is the same as for none.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccessKeyLastUsed.html
func getAccessKeyLastUsed(k *request, in *iam.GetAccessKeyLastUsedInput) (*iam.GetAccessKeyLastUsedOutput, error) {
	id := aws.ToString(in.AccessKeyId)
	for _, name := range visibleNames(k.account.users, k.now) {
		u := k.account.users[name].seen(k.now)
		if !slices.ContainsFunc(u.Keys, func(a AccessKey) bool { return a.ID == id }) {
			continue
		}
		// "N/A" where it was never used.
		used := &iamtypes.AccessKeyLastUsed{Region: aws.String("N/A"), ServiceName: aws.String("N/A")}
		if t, ok := k.account.lastUsed[id]; ok {
			used = &iamtypes.AccessKeyLastUsed{LastUsedDate: aws.Time(t.UTC()), Region: aws.String(k.c.Region()), ServiceName: aws.String("iam")}
		}
		return &iam.GetAccessKeyLastUsedOutput{UserName: aws.String(name), AccessKeyLastUsed: used}, nil
	}
	return nil, noSuchEntity("The Access Key with id %s cannot be found.", id)
}

func listAccessKeys(k *request, in *iam.ListAccessKeysInput) (*iam.ListAccessKeysOutput, error) {
	u, err := k.seenUser(in.UserName)
	if err != nil {
		return nil, err
	}
	out := &iam.ListAccessKeysOutput{AccessKeyMetadata: []iamtypes.AccessKeyMetadata{}}
	for _, a := range u.Keys { // at most two: one page
		out.AccessKeyMetadata = append(out.AccessKeyMetadata, iamtypes.AccessKeyMetadata{AccessKeyId: aws.String(a.ID), UserName: in.UserName, Status: status(a.Inactive), CreateDate: aws.Time(a.Created)})
	}
	return out, nil
}

func status(inactive bool) iamtypes.StatusType {
	if inactive {
		return iamtypes.StatusTypeInactive
	}
	return iamtypes.StatusTypeActive
}

// maxKeys is how many access keys a user may have: "IAM and AWS STS quotas" (IAM User Guide).
const maxKeys = 2

func createAccessKey(k *request, in *iam.CreateAccessKeyInput) (*iam.CreateAccessKeyOutput, error) {
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	if len(u.Keys) == maxKeys {
		return nil, limitExceeded("Cannot exceed quota for AccessKeysPerUser: %d", maxKeys)
	}
	key := AccessKey{ID: k.c.mint("AKIA", 16), Created: k.now.UTC()}
	k.c.keyOwners[key.ID] = k.account.id
	u.Keys = append(u.Keys, key)
	k.storeUser(u)
	return &iam.CreateAccessKeyOutput{AccessKey: &iamtypes.AccessKey{
		AccessKeyId: &key.ID, SecretAccessKey: aws.String("secret of " + key.ID), Status: status(false), UserName: in.UserName, CreateDate: &key.Created}}, nil
}

func updateAccessKey(k *request, in *iam.UpdateAccessKeyInput) (*iam.UpdateAccessKeyOutput, error) {
	u, i, err := k.accessKey(in.UserName, in.AccessKeyId)
	if err != nil {
		return nil, err
	}
	u.Keys[i].Inactive = in.Status == iamtypes.StatusTypeInactive
	k.storeUser(u)
	return &iam.UpdateAccessKeyOutput{}, nil
}

func deleteAccessKey(k *request, in *iam.DeleteAccessKeyInput) (*iam.DeleteAccessKeyOutput, error) {
	u, i, err := k.accessKey(in.UserName, in.AccessKeyId)
	if err != nil {
		return nil, err
	}
	u.Keys = slices.Delete(u.Keys, i, i+1)
	k.storeUser(u)
	return &iam.DeleteAccessKeyOutput{}, nil
}

func (k *request) accessKey(user, id *string) (*User, int, error) {
	u, err := k.user(user)
	if err != nil {
		return nil, 0, err
	}
	i := slices.IndexFunc(u.Keys, func(a AccessKey) bool { return a.ID == aws.ToString(id) })
	if i < 0 {
		return nil, 0, noSuchEntity("The Access Key with id %s cannot be found.", aws.ToString(id))
	}
	return u, i, nil
}

func createLoginProfile(k *request, in *iam.CreateLoginProfileInput) (*iam.CreateLoginProfileOutput, error) {
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	if !u.Password.IsZero() {
		return nil, alreadyExists("Login Profile for user %s already exists.", u.Name)
	}
	u.Password = k.now.UTC()
	k.storeUser(u)
	return &iam.CreateLoginProfileOutput{LoginProfile: &iamtypes.LoginProfile{UserName: in.UserName, CreateDate: aws.Time(u.Password)}}, nil
}

func getLoginProfile(k *request, in *iam.GetLoginProfileInput) (*iam.GetLoginProfileOutput, error) {
	u, err := k.seenUser(in.UserName)
	if err != nil {
		return nil, err
	}
	if u.Password.IsZero() {
		return nil, noSuchEntity("Login Profile for User %s cannot be found.", u.Name)
	}
	return &iam.GetLoginProfileOutput{LoginProfile: &iamtypes.LoginProfile{UserName: in.UserName, CreateDate: aws.Time(u.Password)}}, nil
}

func deleteLoginProfile(k *request, in *iam.DeleteLoginProfileInput) (*iam.DeleteLoginProfileOutput, error) {
	u, err := k.user(in.UserName)
	if err != nil {
		return nil, err
	}
	if u.Password.IsZero() {
		return nil, noSuchEntity("Login Profile for User %s cannot be found.", u.Name)
	}
	u.Password = time.Time{}
	k.storeUser(u)
	return &iam.DeleteLoginProfileOutput{}, nil
}

// setCredential changes the state of one of a user's other credentials.
func (k *request) setCredential(user, id *string, to iamtypes.StatusType, list func(*User) []Credential) error {
	u, err := k.user(user)
	if err != nil {
		return err
	}
	of := list(u)
	i := slices.IndexFunc(of, func(c Credential) bool { return c.ID == aws.ToString(id) })
	if i < 0 {
		return noSuchEntity("The credential with id %s cannot be found.", aws.ToString(id))
	}
	of[i].Inactive = to == iamtypes.StatusTypeInactive // the user is a copy
	k.storeUser(u)
	return nil
}

func sshKeysOf(u *User) []Credential      { return u.SSHKeys }
func servicesOf(u *User) []Credential     { return u.Services }
func certificatesOf(u *User) []Credential { return u.Certificates }

func listSSHPublicKeys(k *request, in *iam.ListSSHPublicKeysInput) (*iam.ListSSHPublicKeysOutput, error) {
	u, err := k.seenUser(in.UserName)
	if err != nil {
		return nil, err
	}
	out := &iam.ListSSHPublicKeysOutput{SSHPublicKeys: []iamtypes.SSHPublicKeyMetadata{}}
	for _, c := range u.SSHKeys { // at most five: one page
		out.SSHPublicKeys = append(out.SSHPublicKeys, iamtypes.SSHPublicKeyMetadata{SSHPublicKeyId: aws.String(c.ID), UserName: in.UserName, Status: status(c.Inactive), UploadDate: aws.Time(c.Created)})
	}
	return out, nil
}

func updateSSHPublicKey(k *request, in *iam.UpdateSSHPublicKeyInput) (*iam.UpdateSSHPublicKeyOutput, error) {
	return &iam.UpdateSSHPublicKeyOutput{}, k.setCredential(in.UserName, in.SSHPublicKeyId, in.Status, sshKeysOf)
}

func listServiceSpecificCredentials(k *request, in *iam.ListServiceSpecificCredentialsInput) (*iam.ListServiceSpecificCredentialsOutput, error) {
	u, err := k.seenUser(in.UserName)
	if err != nil {
		return nil, err
	}
	out := &iam.ListServiceSpecificCredentialsOutput{ServiceSpecificCredentials: []iamtypes.ServiceSpecificCredentialMetadata{}}
	for _, c := range u.Services {
		out.ServiceSpecificCredentials = append(out.ServiceSpecificCredentials, iamtypes.ServiceSpecificCredentialMetadata{ServiceSpecificCredentialId: aws.String(c.ID), ServiceName: aws.String(c.Service),
			UserName: in.UserName, Status: status(c.Inactive), CreateDate: aws.Time(c.Created)})
	}
	return out, nil
}

func updateServiceSpecificCredential(k *request, in *iam.UpdateServiceSpecificCredentialInput) (*iam.UpdateServiceSpecificCredentialOutput, error) {
	return &iam.UpdateServiceSpecificCredentialOutput{}, k.setCredential(in.UserName, in.ServiceSpecificCredentialId, in.Status, servicesOf)
}

func listSigningCertificates(k *request, in *iam.ListSigningCertificatesInput) (*iam.ListSigningCertificatesOutput, error) {
	u, err := k.seenUser(in.UserName)
	if err != nil {
		return nil, err
	}
	out := &iam.ListSigningCertificatesOutput{Certificates: []iamtypes.SigningCertificate{}}
	for _, c := range u.Certificates {
		out.Certificates = append(out.Certificates, iamtypes.SigningCertificate{CertificateId: aws.String(c.ID), CertificateBody: aws.String("-----BEGIN CERTIFICATE-----"),
			UserName: in.UserName, Status: status(c.Inactive), UploadDate: aws.Time(c.Created)})
	}
	return out, nil
}

func updateSigningCertificate(k *request, in *iam.UpdateSigningCertificateInput) (*iam.UpdateSigningCertificateOutput, error) {
	return &iam.UpdateSigningCertificateOutput{}, k.setCredential(in.UserName, in.CertificateId, in.Status, certificatesOf)
}
