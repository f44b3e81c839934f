package user

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
)

// userState is a user's configuration, for the record and for approvers.
type userState struct {
	ARN          string            `json:"arn"`
	ID           string            `json:"id"`
	Name         string            `json:"name"`
	Boundary     string            `json:"boundary,omitempty"`
	Tags         map[string]string `json:"tags,omitempty"`
	Groups       []string          `json:"groups,omitempty"`
	Inline       map[string]string `json:"inline,omitempty"` // documents by name
	Attached     []string          `json:"attached,omitempty"`
	Keys         []credential      `json:"keys,omitempty"`
	Password     bool              `json:"password"`
	MFA          []mfaDevice       `json:"mfa,omitempty"`
	Services     []credential      `json:"service_credentials,omitempty"`
	Certificates []credential      `json:"signing_certificates,omitempty"`
	SSHKeys      []credential      `json:"ssh_keys,omitempty"`
	// Unread names the parts that could not be listed, with the cause.
	Unread []string `json:"unread,omitempty"`
}

func newUserState(user *types.User, groups []string) userState {
	u := userState{ARN: aws.ToString(user.Arn), ID: aws.ToString(user.UserId), Name: aws.ToString(user.UserName), Groups: groups, Tags: map[string]string{}}
	if b := user.PermissionsBoundary; b != nil {
		u.Boundary = aws.ToString(b.PermissionsBoundaryArn)
	}
	for _, t := range user.Tags {
		u.Tags[aws.ToString(t.Key)] = aws.ToString(t.Value)
	}
	return u
}

func (u userState) json() string {
	b, err := json.Marshal(u)
	if err != nil {
		panic(err) // strings, times and booleans alone
	}
	return string(b)
}

// noteUnread records a part that could not be listed. The containment goes on without it.
func (u *userState) noteUnread(what string, err error) {
	if err != nil {
		cause, _ := actions.Explain(err)
		u.Unread = append(u.Unread, what+" ("+cause+")")
	}
}

// credentials lists a user's credentials. It returns an error if the access keys can't
// be listed; other failures are recorded in Unread.
func (u *userState) credentials(ctx context.Context, acct *actions.Account) error {
	n := len(credentialKinds)
	errs := make([]error, n+1)
	_ = actions.Parallel(n+1, n+1, func(i int) error {
		if i == n {
			u.Password, errs[i] = hasPassword(ctx, acct, u.Name)
		} else {
			*u.of(credentialKinds[i]), errs[i] = credentialKinds[i].list(ctx, acct, u.Name)
		}
		return nil
	})
	for i, k := range credentialKinds {
		if errs[i] != nil && k.step == stepKey {
			return errs[i]
		}
		u.noteUnread(k.what+"s", errs[i])
	}
	u.noteUnread("the console password", errs[n])
	return nil
}

// of returns the field with the credentials of a kind.
func (u *userState) of(k credentialKind) *[]credential {
	switch k.step {
	case stepService:
		return &u.Services
	case stepCertificate:
		return &u.Certificates
	case stepSSH:
		return &u.SSHKeys
	}
	return &u.Keys
}

// credentialSteps returns the steps that deactivate active credentials: access keys,
// then the password, then the others.
func (u *userState) credentialSteps(acct *actions.Account, user *types.User) []actions.Step {
	var steps []actions.Step
	for _, k := range credentialKinds {
		for _, c := range *u.of(k) {
			if c.active() {
				steps = append(steps, k.deactivation(acct, user, c))
			}
		}
		if k.step == stepKey && u.Password {
			steps = append(steps, passwordStep(acct, user))
		}
	}
	return steps
}

// survey reads facts that only inform: last use of keys, policies.
func (u *userState) survey(ctx context.Context, acct *actions.Account, c actions.Call, user *types.User) []actions.Fact {
	var keys []string
	for _, k := range u.Keys {
		used, err := keyUse(ctx, acct, k.ID)
		u.noteUnread("last use of "+k.ID, err)
		keys = append(keys, strings.TrimSuffix(k.ID+" "+strings.ToLower(k.Status)+", "+used, ", "))
	}
	var err error
	u.Attached, err = deny.AttachedToUser(ctx, acct, u.Name)
	u.noteUnread("attached policies", err)
	u.noteUnread("inline policies", u.readInline(ctx, acct))

	facts := []actions.Fact{}
	add := func(label string, values ...string) {
		if text := strings.Join(values, "; "); text != "" {
			facts = append(facts, actions.Fact{Label: label, Text: text})
		}
	}
	add("Groups", u.Groups...)
	add("Access keys", keys...)
	password := "none"
	if u.Password {
		password = "set, never used"
		if t := user.PasswordLastUsed; t != nil {
			password = "set, last used " + t.UTC().Format("2006-01-02 15:04 UTC")
		}
	}
	add("Console password", password)
	add("MFA devices", u.mfaText(c))
	add("Managed policies", actions.LastParts(u.Attached)...)
	var inline []string
	for name := range u.Inline {
		inline = append(inline, name)
	}
	slices.Sort(inline)
	add("Inline policies", inline...)
	return facts
}

// readInline reads all inline policies.
func (u *userState) readInline(ctx context.Context, acct *actions.Account) (err error) {
	u.Inline, err = deny.InlineOfUser(ctx, acct, u.Name)
	return err
}

// keyUse returns the time of a key's last use, in words.
func keyUse(ctx context.Context, acct *actions.Account, id string) (string, error) {
	out, err := acct.IAM().GetAccessKeyLastUsed(ctx, &iam.GetAccessKeyLastUsedInput{AccessKeyId: &id})
	if err != nil {
		return "", err
	}
	return useText(out.AccessKeyLastUsed), nil
}

func useText(used *types.AccessKeyLastUsed) string {
	if used == nil || used.LastUsedDate == nil {
		return "never used, as far as IAM tells"
	}
	return "last used " + used.LastUsedDate.UTC().Format("2006-01-02 15:04 UTC") + " for " + aws.ToString(used.ServiceName) + " in " + aws.ToString(used.Region)
}
