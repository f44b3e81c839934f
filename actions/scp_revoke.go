package actions

import (
	"context"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// viaSCP reports whether a call revokes an account's sessions by a service
// control policy: one attach instead of a policy on each role.
func viaSCP(c Call) bool { return WholeAccount(c) && c.Options["via"] == "scp" }

// bySCP reports whether a step is that attach.
func bySCP(s Step) bool { return s.ID == attachStep }

// revocation is the policy that denies everything to sessions of an account
// issued before a cutoff. Each account has its own, since each has its cutoff.
func revocation(o Org, account string, run Run) scpAttachment {
	return scpAttachment{
		policy: scpPrefix + "revoke-" + account,
		document: func(live string) string {
			at, ok := readRevokeSCP(o, live)
			if !ok {
				at = time.Time{}
			}
			cutoff, done := nextCutoff(at, run)
			if done {
				return live
			}
			return revokeSCP(o, cutoff)
		},
		holds: func(live, wrote string) bool {
			at, ok := readRevokeSCP(o, live)
			want, _ := readRevokeSCP(o, wrote)
			return ok && !at.Before(want)
		},
	}
}

func planSCP(ctx context.Context, acct *Account, c Call) (Plan, error) {
	target, err := memberAccount(ctx, acct, c.Account)
	if err != nil {
		return Plan{}, err
	}
	a := revocation(acct.Org, c.Account, Run{})
	st, err := a.look(ctx, acct, c.Account)
	if err != nil {
		return Plan{}, err
	}
	step := a.step(acct, "Deny all sessions issued until now, in the whole account", aws.ToString(target.Arn), c.Account, st)
	step.After = "service control policy " + a.policy + ": Deny * for sessions issued before now + 30 s"
	if at, ok := readRevokeSCP(acct.Org, st.content); ok && st.here {
		step.Current = a.policy + " denies sessions issued before " + at.UTC().Format("2006-01-02 15:04:05 UTC")
	}
	p := Plan{
		Identity:   Identity{ARN: step.Resource, ID: c.Account, Created: aws.ToTime(target.JoinedTimestamp)},
		Steps:      []Step{step},
		Reversible: true,
		Undo:       "detaches " + a.policy + "; sessions issued before the cutoff then work again until they expire",
		Residual: []string{
			"Long-term keys of IAM users have no issue time and are not touched.",
			"Sessions that were chained into roles of other accounts live on.",
			"Service control policies don't touch service-linked roles.",
			"Whoever can assume a role may do so again: new sessions are not denied.",
		},
	}
	p.Residual = append(p.Residual, sparedText(exemptARNs(acct.Org))...)
	if st.here {
		p.Undo = "leaves " + a.policy + " attached, as it was before this request"
	}
	if acct.Brief {
		return p, nil
	}
	p.Warnings = append(p.Warnings, "Everything in the account that runs on a role loses its permissions until it gets new credentials.",
		"The other way is role by role, without the organization: revoke_sessions "+c.Target)
	p.Facts = append(p.Facts, Fact{"Account", nameOf(acct.Org, target)}, Fact{"Service control policies", counted(st.on)}, Fact{"Exempt", exemptText(exemptARNs(acct.Org))})
	if err := a.survey(ctx, acct, c.Account, st, &p); err != nil {
		cause, _ := Explain(err) // a containment does not wait for what only informs
		p.Warnings = append(p.Warnings, "Which other accounts have "+a.policy+" could not be read ("+cause+").")
	}
	return p, nil
}
