package main

import (
	"context"
	"flag"
	"fmt"

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
	if len(kinds) != 1 || kinds[0] != "members" {
		return fmt.Errorf("%w: say members: there is no other template", errUsage)
	}
	org, err := orgOf(*file)
	if err != nil {
		return err
	}
	text, err := template.Members(org)
	if err != nil {
		return err
	}
	_, err = p.out.Write(text)
	return err
}
