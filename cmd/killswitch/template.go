package main

import (
	"context"
	"flag"
	"fmt"
	"slices"

	"github.com/killswitch-chatops/killswitch/cmd/template"
)

// printTemplate prints a CloudFormation template.
func printTemplate(_ context.Context, p program, args []string) error {
	f := flag.NewFlagSet("template", flag.ContinueOnError)
	file := f.String("config", "", configUsage)
	kinds, err := parse(f, p, args)
	if err != nil {
		return err
	}
	if len(kinds) != 1 || !slices.Contains([]string{"members", "organization", "hub-role"}, kinds[0]) {
		return fmt.Errorf("%w: say members, organization or hub-role", errUsage)
	}
	c, err := configOf(*file)
	if err != nil {
		return err
	}
	var text []byte
	switch kinds[0] {
	case "members":
		text, err = template.Members(c.Org)
	case "organization":
		text, err = template.Organization(c.Org)
	case "hub-role":
		text, err = template.HubRole(template.Serve{Org: c.Org, Topics: c.Topics(), Bucket: c.AuditBucket.Name})
	}
	if err != nil {
		return err
	}
	_, err = p.out.Write(text)
	return err
}
