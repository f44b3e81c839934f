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

// stepMFA begins the ID of a step that deactivates an MFA device; its serial number is the rest.
const stepMFA = "mfa "

// mfaStays is the reason why undo does not enable a device.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_EnableMFADevice.html
const mfaStays = "an MFA device is enabled by two codes from it: whoever has it must do that"

// takesMFA reports whether a call takes the user's MFA devices away, too.
func takesMFA(c actions.Call) bool { return c.Options["mfa"] == "off" }

// mfaDevice is one that is enabled for a user. The serial number of a virtual one is its ARN.
type mfaDevice struct {
	Serial  string    `json:"serial"`
	Enabled time.Time `json:"enabled"`
}

func (d mfaDevice) since() string { return "enabled " + d.Enabled.UTC().Format("2006-01-02 15:04 UTC") }

func mfaDevices(ctx context.Context, acct *actions.Account, user string) ([]mfaDevice, error) {
	devices, err := actions.List(ctx, iam.NewListMFADevicesPaginator(acct.IAM(), &iam.ListMFADevicesInput{UserName: &user}),
		func(p *iam.ListMFADevicesOutput) []types.MFADevice { return p.MFADevices },
		func(d types.MFADevice) mfaDevice {
			return mfaDevice{aws.ToString(d.SerialNumber), aws.ToTime(d.EnableDate)}
		})
	slices.SortFunc(devices, func(a, b mfaDevice) int { return strings.Compare(a.Serial, b.Serial) })
	return devices, err
}

// mfaText is the devices in words, with the line that takes them away if the call does not.
func (u *userState) mfaText(c actions.Call) string {
	var texts []string
	for _, d := range u.MFA {
		texts = append(texts, d.Serial+", "+d.since())
	}
	switch {
	case len(texts) == 0:
		return "none"
	case !takesMFA(c) && c.Options["mode"] == "":
		texts = append(texts, "they stay; to deactivate them, too: "+c.With("mfa", "off").String())
	}
	return strings.Join(texts, "; ")
}

// mfaSteps deactivate the devices. A virtual one is left, assigned to nobody: it is of no use, and
// what is deleted can't be looked at.
func (u *userState) mfaSteps(acct *actions.Account, user *types.User) (steps []actions.Step, warnings []string) {
	for _, d := range u.MFA {
		s := deny.UserStep(acct, user, stepMFA+d.Serial, "mfa", d.Serial)
		s.Title, s.Prior, s.Current, s.After, s.NotReverted = "Deactivate the MFA device "+d.Serial, &d.Serial, d.since(), "not the user's any more", mfaStays
		steps = append(steps, s)
	}
	if len(steps) > 0 {
		warnings = []string{"Undo can't enable the MFA devices again: that takes two codes from each. Virtual ones stay in the account, assigned to nobody."}
	}
	return steps, warnings
}

// deactivateMFA deactivates the step's device. One that is gone is no error.
func deactivateMFA(ctx context.Context, acct *actions.Account, user string, s actions.Step) (actions.Effect, error) {
	_, err := acct.IAM().DeactivateMFADevice(ctx, &iam.DeactivateMFADeviceInput{UserName: &user, SerialNumber: aws.String(strings.TrimPrefix(s.ID, stepMFA))})
	if actions.IsCode(err, "NoSuchEntity") {
		return actions.Effect{Prior: s.Prior}, nil
	}
	return actions.Effect{Prior: s.Prior, Changed: err == nil}, err
}

func mfaDeactivated(ctx context.Context, acct *actions.Account, user string, s actions.Step) (actions.Reading, error) {
	devices, err := mfaDevices(ctx, acct, user)
	i := slices.IndexFunc(devices, func(d mfaDevice) bool { return stepMFA+d.Serial == s.ID })
	if err != nil || i < 0 {
		return actions.Reading{Holds: err == nil}, err
	}
	return actions.Reading{Found: "the MFA device, " + devices[i].since()}, nil
}
