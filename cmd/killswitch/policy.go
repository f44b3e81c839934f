package main

import (
	"context"
	"flag"
	"fmt"
	"slices"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/cmd/config"
)

// policy prints the policy that a member role needs, or the statements of the organization's delegation policy.
func policy(_ context.Context, p program, args []string) error {
	f := flag.NewFlagSet("policy", flag.ContinueOnError)
	file := f.String("config", "", configUsage)
	organizations := f.Bool("organizations", false, "what it needs in the account from which service control policies are managed: beside the other policy, or alone if that is the management account")
	roles, err := parse(f, p, args)
	if err != nil {
		return err
	}
	if len(roles) != 1 || !slices.Contains([]string{"responder", "restorer", "delegation"}, roles[0]) {
		return fmt.Errorf("%w: say responder, restorer or delegation", errUsage)
	}
	c, err := configOf(*file)
	if err != nil {
		return err
	}
	org := c.Org
	if roles[0] == "delegation" {
		if org.PolicyAccount == "" {
			return fmt.Errorf("%w: the delegation is to aws.policy_account: name it in the configuration, and say --config FILE", errUsage)
		}
		_, err := fmt.Fprintln(p.out, all.Delegation(org))
		return err
	}
	member := actions.Responder
	if roles[0] == "restorer" {
		member = actions.Restorer
	}
	_, err = fmt.Fprintln(p.out, all.MemberPolicy(member, org, *organizations))
	return err
}

const configUsage = "the configuration; without one, the partition aws and the roles killswitch-responder and killswitch-restorer"

// configOf reads a configuration file, or has what templates and policies need without one.
func configOf(file string) (config.Config, error) {
	if file == "" {
		return config.Config{Org: actions.Org{Actions: all.Actions, Partition: "aws", ResponderRole: "killswitch-responder", RestorerRole: "killswitch-restorer"}}, nil
	}
	return config.Load(file)
}
