package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"

	"github.com/killswitch-chatops/killswitch/cmd/config"
)

// validate reports every problem of a configuration file at once.
func validate(_ context.Context, p program, args []string) error {
	f := flag.NewFlagSet("validate", flag.ContinueOnError)
	output := f.String("output", "text", "text or json")
	files, err := parse(f, p, args)
	switch {
	case err != nil:
		return err
	case len(files) != 1:
		return fmt.Errorf("%w: name one configuration file", errUsage)
	case *output != "text" && *output != "json":
		return fmt.Errorf("%w: --output is text or json", errUsage)
	}
	c, err := config.Load(files[0])
	var problems config.Problems
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	if *output == "json" {
		if err := printJSON(p, files[0], problems); err != nil {
			return err
		}
	}
	if len(problems) > 0 {
		if *output == "text" {
			_, _ = fmt.Fprintln(p.errout, problems.Error())
		}
		return errReported
	}
	if *output == "text" {
		_, _ = fmt.Fprintf(p.out, "%s is valid: %d people, %d groups, %d account aliases\n", files[0], len(c.Policy.Roster.People), len(c.Policy.Roster.Groups), len(c.Org.Accounts))
	}
	return nil
}

// printJSON writes the problems for programs; the list is empty for a valid file.
func printJSON(p program, file string, problems config.Problems) error {
	type problem struct {
		Line  int    `json:"line"`
		Field string `json:"field"`
		Text  string `json:"text"`
		Hint  string `json:"hint,omitempty"`
	}
	list := []problem{}
	for _, x := range problems {
		list = append(list, problem{x.Line, x.Field, x.Text, x.Hint})
	}
	e := json.NewEncoder(p.out)
	e.SetIndent("", "  ")
	return e.Encode(map[string]any{"file": file, "problems": list})
}
