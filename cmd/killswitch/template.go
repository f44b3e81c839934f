package main

import (
	"context"
	"flag"
	"fmt"

	"github.com/killswitch-chatops/killswitch/actions"
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
	templates := map[string]func(actions.Org) ([]byte, error){"members": template.Members, "organization": template.Organization}
	if len(kinds) != 1 || templates[kinds[0]] == nil {
		return fmt.Errorf("%w: say members or organization", errUsage)
	}
	org, err := orgOf(*file)
	if err != nil {
		return err
	}
	text, err := templates[kinds[0]](org)
	if err != nil {
		return err
	}
	_, err = p.out.Write(text)
	return err
}
