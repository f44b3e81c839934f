package scp

import (
	"context"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/vouch"
)

// ViaSCP reports whether a call revokes an account's sessions by a service control
// policy: one attach in place of a policy on each role.
func ViaSCP(c actions.Call) bool { return actions.WholeAccount(c) && c.Options["via"] == "scp" }

// BySCP reports whether a step is the attach of ViaSCP.
func BySCP(s actions.Step) bool { return s.ID == attachStep }

// Revocation is the policy that denies everything to sessions of an account issued
// before a cutoff, by its name. Each account has its own, with its own cutoff.
func Revocation(o actions.Org, policy string, run actions.Run) Attachment {
	return Attachment{
		policy: policy,
		document: func(live string) string {
			is, _ := readRevokeSCP(o, live)
			cutoff, done := deny.NextCutoff(is, run)
			if done {
				return live
			}
			return revokeSCP(o, cutoff)
		},
		holds: func(live, wrote string) bool {
			is, ok := readRevokeSCP(o, live)
			want, _ := readRevokeSCP(o, wrote)
			return ok && is.Covers(want)
		},
		fingerprint: revocationFingerprint,
	}
}

// PlanRevocation plans the policy that denies everything to an account's sessions until now.
func PlanRevocation(ctx context.Context, acct *actions.Account, c actions.Call, notStopped []string) (actions.Plan, error) {
	at, err := pointOf(ctx, acct, c)
	if err != nil {
		return actions.Plan{}, err
	}
	a := Revocation(acct.Org, acct.Org.Installation.Name(scpPrefix+"revoke-"+c.Account), actions.Run{})
	st, err := a.read(ctx, acct, c.Account)
	if err != nil {
		return actions.Plan{}, err
	}
	step := a.step(acct, "Deny all sessions issued until now, in the whole account", at, st)
	step.After = "service control policy " + a.policy + ": Deny * for sessions issued before now + 30 s, and aws login"
	if is, ok := readRevokeSCP(acct.Org, st.content); ok && st.ours {
		step.Current = a.policy + " denies sessions issued before " + is.Cutoff.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	p := actions.Plan{
		Identity:   actions.Identity{ARN: step.Resource, ID: c.Account, Created: at.joined},
		Steps:      []actions.Step{step},
		Reversible: true,
		Undo:       "detaches " + a.policy + "; sessions issued before the cutoff then work again until they expire",
		Residual:   append(notStopped, "Service control policies don't touch service-linked roles."),
	}
	a.bind(&p, "the list of exempt principals")
	exempt := vouchFor(acct, c.Account, exemptARNs(acct.Org), &p)
	if st.ours {
		p.Undo = "leaves " + a.policy + " attached, as it was before this request"
	}
	if acct.Look != actions.LookAll {
		return p, nil
	}
	p.Warnings = append(p.Warnings, "Everything in the account that runs on a role loses its permissions until it gets new credentials; aws login does not work in it until undo.",
		"The other way is role by role, without the organization: revoke_sessions "+c.Target)
	p.Facts = append(p.Facts, actions.Fact{Label: "Account", Text: at.name}, actions.Fact{Label: "Service control policies", Text: counted(st.attached)}, actions.Fact{Label: "Exempt", Text: exemptText(exemptARNs(acct.Org))})
	st.warnElsewhere(&p)
	a.survey(ctx, acct, c.Account, st, &p)
	vouch.Survey(ctx, acct, exempt, &p)
	return p, nil
}

// RevocationPermits are the permissions of ViaSCP.
func RevocationPermits(p actions.Phase, s actions.Scope) []actions.Statement {
	return Permits(p, s, exemptARNs(s.Org))
}
