package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/killswitch-chatops/killswitch/bot/terminal"
	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/doctor"
)

// doctorWithin bounds all checks: 200 accounts take some minutes.
const doctorWithin = 15 * time.Minute

// doctorOptions are the flags of doctor.
type doctorOptions struct {
	file, output, profile, management, member, region, stack, set, url string
}

func (o *doctorOptions) flags(env func(string) string) *flag.FlagSet {
	f := flag.NewFlagSet("doctor", flag.ContinueOnError)
	f.StringVar(&o.file, "config", env("KILLSWITCH_CONFIG"), "`FILE`: the configuration that is deployed")
	f.StringVar(&o.output, "output", "text", "`FORMAT`: text or json")
	f.StringVar(&o.profile, "profile", "", "AWS `PROFILE` of the hub account; left out: the credentials at hand")
	f.StringVar(&o.management, "management-profile", "", "AWS `PROFILE` of the organization's management account, which may read")
	f.StringVar(&o.member, "member-role", "OrganizationAccountAccessRole", "`NAME` of the role by which you read in each account, from the management account")
	f.StringVar(&o.region, "region", "", "the hub's `REGION`; left out: AWS_REGION or the profile's")
	f.StringVar(&o.stack, "stack", "", "`NAME` of the hub's stack; left out: killswitch, else killswitch-serve")
	f.StringVar(&o.set, "stack-set", "killswitch-members", "`NAME` of the StackSet of the member accounts")
	f.StringVar(&o.url, "url", "", "`URL` at which Slack reaches Killswitch, without /slack; left out: what the stack says")
	return f
}

// examine looks at an installation with the operator's own credentials.
func examine(ctx context.Context, p program, args []string) error {
	var o doctorOptions
	rest, err := parse(o.flags(p.env), p, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 0 || o.file == "" || o.output != "text" && o.output != "json":
		return fmt.Errorf("%w: --config FILE, --output text or json", errUsage)
	}
	ctx, cancel := context.WithTimeout(ctx, doctorWithin)
	defer cancel()
	results, err := diagnose(ctx, o.file, func(c config.Config, raw []byte) (*doctor.Doctor, error) {
		d := &doctor.Doctor{
			Config: c, Raw: raw, File: o.file, Commit: thisBuild().Commit, MemberRole: o.member, Stack: o.stack, StackSet: o.set, URL: o.url,
			SigningSecret: p.env("SLACK_SIGNING_SECRET"), BotToken: p.env("SLACK_BOT_TOKEN"), SlackAPI: p.env("SLACK_API_URL"),
			HTTP: &http.Client{Timeout: slackWithin}, Now: time.Now,
		}
		var err error
		if d.Hub, err = credentialsOf(ctx, o.profile, o.region); err != nil {
			return nil, err
		}
		if o.management != "" {
			if d.Management, err = credentialsOf(ctx, o.management, cmp.Or(o.region, d.Hub.Region)); err != nil {
				return nil, err
			}
		}
		return d, nil
	})
	if err != nil {
		return err
	}
	return tellResults(p.out, results, o.output)
}

// diagnose is the check of the configuration, and of all else if it has no problem.
func diagnose(ctx context.Context, file string, of func(config.Config, []byte) (*doctor.Doctor, error)) ([]doctor.Result, error) {
	const check = "configuration"
	raw, err := os.ReadFile(file) //nolint:gosec // G304: the operator names their own file
	if err != nil {
		return []doctor.Result{{Check: check, Found: err.Error(), Mend: "name the configuration: --config FILE; killswitch init writes a first one"}}, nil //nolint:nilerr // a finding
	}
	c, err := config.Load(file)
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		return []doctor.Result{{Check: check, Found: problems.Error(), Mend: "killswitch validate " + file}}, nil
	case err != nil:
		return nil, err
	}
	d, err := of(c, raw)
	if err != nil {
		return nil, err
	}
	return append([]doctor.Result{{Check: check, OK: true, Found: file + " is valid"}}, d.Run(ctx)...), nil
}

func credentialsOf(ctx context.Context, profile, region string) (aws.Config, error) {
	opts := []func(*awsconfig.LoadOptions) error{awsconfig.WithRetryMaxAttempts(5)}
	if profile != "" {
		opts = append(opts, awsconfig.WithSharedConfigProfile(profile))
	}
	if region != "" {
		opts = append(opts, awsconfig.WithRegion(region))
	}
	cfg, err := awsconfig.LoadDefaultConfig(ctx, opts...)
	if err == nil && cfg.Region == "" {
		err = errors.New("no region: say --region REGION, the hub's, or set AWS_REGION")
	}
	return cfg, err
}

// tellResults prints what is wrong with what mends it, and counts the rest.
func tellResults(w io.Writer, results []doctor.Result, output string) error {
	wrong := 0
	for _, r := range results {
		if !r.OK {
			wrong++
		}
	}
	if output == "json" {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(results); err != nil {
			return err
		}
	} else {
		for _, r := range results {
			mark := "ok  "
			if !r.OK {
				mark = "FAIL"
			}
			indented := func(s string) string { return strings.ReplaceAll(terminal.Clean(s), "\n", "\n      ") } // nobody writes a line of ours
			_, _ = fmt.Fprintf(w, "%s  %s: %s\n", mark, r.Check, indented(r.Found))
			if r.Mend != "" {
				_, _ = fmt.Fprintf(w, "      do: %s\n", indented(r.Mend))
			}
		}
		_, _ = fmt.Fprintf(w, "%d checks, %d failed\n", len(results), wrong)
	}
	if wrong > 0 {
		return errReported
	}
	return nil
}
