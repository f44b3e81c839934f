package actions

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/organizations"
)

// membershipLasts is how long the answer of Organizations about an account is not asked for
// again.
const membershipLasts = time.Hour

// Members remembers when Organizations said that an account is a member. After an error
// it is asked. It also knows which requests are this installation's.
type Members interface {
	// Asked returns when; zero if it did not.
	Asked(ctx context.Context, account string) (time.Time, error)
	// Remember stores it; zero forgets.
	Remember(ctx context.Context, account string, at time.Time) error
	// Began reports whether a run of that request is, or was, of this installation; false if that can't be read.
	Began(ctx context.Context, request string) bool
}

// SetMembers replaces the memory of this process, so that an answer outlives it.
func (c *Cloud) SetMembers(m Members) { c.members = m }

// membership is the memory of a process.
type membership struct{ asked sync.Map }

func (m *membership) Asked(_ context.Context, account string) (time.Time, error) {
	v, _ := m.asked.Load(account)
	at, _ := v.(time.Time)
	return at, nil
}

// Began implements [Members]: what this process does is in no table.
func (m *membership) Began(context.Context, string) bool { return false }

func (m *membership) Remember(_ context.Context, account string, at time.Time) error {
	m.asked.Store(account, at)
	return nil
}

// Knows reports whether the configuration names an account.
func (o Org) Knows(account string) bool {
	return account != "" && slices.Contains([]string{o.HubAccount, o.ManagementAccount, o.PolicyAccount}, account) || o.Alias(account) != "" || slices.Contains(o.ProtectedAccounts, account)
}

// checkMember returns a *[Refusal] for an account that is not known to be one of ours: a
// session in it would tell its owner of the request. What the configuration names, or the
// request has entered before, is known without a call; of others Organizations is asked. If
// it does not answer, what it said before counts.
func (c *Cloud) checkMember(ctx context.Context, account string, who SessionContext) error {
	if c.org.Knows(account) || who.Entered {
		return nil
	}
	now := c.now()
	asked, err := c.members.Asked(ctx, account)
	before := err == nil && !asked.IsZero()
	if before && now.Before(asked.Add(membershipLasts)) {
		return nil
	}
	if c.org.OrganizationsAccount() == "" {
		return &Refusal{Reason: fmt.Sprintf("account %s is not in the configuration, so it is not known to be one of yours", account),
			Hint: "if it is, name it under aws.accounts; with aws.management_account or aws.policy_account the organization is asked"}
	}
	err = c.askOrganization(ctx, account, who)
	switch {
	case err == nil:
		_ = c.members.Remember(ctx, account, now)
		return nil
	case IsCode(err, "AccountNotFoundException"):
		if before {
			_ = c.members.Remember(ctx, account, time.Time{})
		}
		return &Refusal{Reason: fmt.Sprintf("account %s is not a member of the organization: it is not entered", account),
			Hint: "check the ID; tell the owner of that account"}
	case before:
		return nil
	case Transient(err):
		return fmt.Errorf("ask whether account %s is a member of the organization: %w", account, err)
	}
	cause, _ := Explain(err)
	return &Refusal{Reason: fmt.Sprintf("whether account %s is a member of the organization can't be asked: %s", account, cause),
		Hint: fmt.Sprintf("deploy the role %s in account %s, from which Organizations is asked (killswitch policy responder --organizations), or name the account under aws.accounts",
			c.org.ResponderRole, c.org.OrganizationsAccount())}
}

// askOrganization returns an error unless Organizations knows the account.
// https://docs.aws.amazon.com/organizations/latest/APIReference/API_DescribeAccount.html
func (c *Cloud) askOrganization(ctx context.Context, account string, who SessionContext) error {
	at := Scope{Org: c.org, Account: c.org.OrganizationsAccount()}
	ask := []Statement{{Actions: []string{"organizations:DescribeAccount"}, Resources: []string{at.ARN("organizations", "account/o-*/"+account)}}}
	acct, err := c.assume(ctx, Responder, at.Account, "", who, ask)
	if err == nil {
		_, err = Client(acct, organizations.NewFromConfig).DescribeAccount(ctx, &organizations.DescribeAccountInput{AccountId: &account})
	}
	return err
}
