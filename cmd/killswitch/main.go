// Command killswitch runs Killswitch on one machine, checks its configuration
// and shows it at work.
//
//	killswitch demo                     an imaginary company in the browser; needs nothing
//	killswitch init                     a first configuration, from what Slack and AWS say and what you answer
//	killswitch serve --config FILE …    all zones, real Slack, real AWS
//	killswitch event FILE               an EventBridge event, as a drill
//	killswitch validate FILE            every problem of a configuration at once
//	killswitch policy responder         what a member role must be allowed
//	killswitch template members         what a StackSet deploys into the member accounts
//	killswitch doctor --config FILE     what is wrong with an installation, and what mends it
//	killswitch version                  which Killswitch this is
//	killswitch audit verify --all       whether the records of requests are as they were written
//	killswitch request, approve, …      the work itself, by AWS credentials: when Slack does not answer
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"github.com/killswitch-chatops/killswitch/bot/terminal"
)

// Exit codes are part of the contract.
const (
	exitDone  = 0
	exitNo    = 1 // refused or failed
	exitUsage = 2
)

// program is the world around a command, so that tests can make one.
type program struct {
	args   []string
	env    func(string) string
	in     io.Reader
	asks   bool // in is a person's
	out    io.Writer
	errout io.Writer
}

// subcommand is one verb of the command line.
type subcommand struct {
	name, args, summary string
	run                 func(ctx context.Context, p program, args []string) error
}

func subcommands() []subcommand {
	return slices.Concat([]subcommand{
		{"demo", "[--listen ADDR] [--script]", "an imaginary company to try it on, in the browser; with --script a story in the terminal", demo},
		{"init", "[--output FILE] [--channel NAME] [--people NAMES] [--management-profile PROFILE] …", "write a first configuration: looks up in Slack and AWS what it can, asks for the rest, or takes flags", initialize},
		{"serve", "--config FILE --data DIR [--listen ADDR] [--socket-mode]", "run all zones in one process", serve},
		{"event", "FILE [--url URL] [--config FILE] [--output json]", "send an EventBridge event, or an array of them, to a running Killswitch, as a drill; - is the standard input", event},
		{"policy", "responder|restorer|delegation [--organizations] [--config FILE]", "print the policy that a member role needs, exactly, or the delegation of policies", policy},
		{"template", "members|organization|hub-role [--config FILE]", "print the CloudFormation template of what each member account has, of the organization's tamper protection, or of what serve runs as", printTemplate},
		{"audit", "verify|export ID…|--all [--table NAME|--data DIR|FILE] [--bucket NAME] [--format json|csv|markdown] [--output json]", "verify the records of requests, against the bucket of heads too, or export them", auditing},
		{"completion", "bash|zsh", "print what a shell completes this command line with", completion},
		{"doctor", "--config FILE [--profile NAME] [--management-profile NAME] [--member-role NAME] [--region REGION] [--stack NAME] [--stack-set NAME] [--url URL] [--output json]", "look at an installation from outside, with your own credentials: what is wrong, and what mends it; changes nothing", examine},
		{"version", "[--output json]", "print which Killswitch this is, and from which commit", version},
		{"validate", "FILE [--output json]", "report every problem of a configuration, with its line", validate},
	}, commandLine)
}

// errUsage is wrapped by errors about how a command was called.
var errUsage = errors.New("wrong usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, program{args: os.Args[1:], env: os.Getenv, in: os.Stdin, asks: isTerminal(os.Stdin), out: os.Stdout, errout: os.Stderr})
	stop()
	os.Exit(code)
}

func run(ctx context.Context, p program) int {
	subcommands := subcommands()
	if len(p.args) == 2 && p.args[0] == "help" {
		p.args = []string{p.args[1], "--help"}
	}
	if len(p.args) == 0 || slices.Contains([]string{"help", "-h", "--help"}, p.args[0]) {
		usage(p.out)
		if len(p.args) == 0 {
			return exitUsage
		}
		return exitDone
	}
	if p.args[0] == "--version" {
		p.args = append([]string{"version"}, p.args[1:]...)
	}
	i := slices.IndexFunc(subcommands, func(c subcommand) bool { return c.name == p.args[0] })
	if i < 0 {
		_, _ = fmt.Fprintf(p.errout, "killswitch: %q is not a command\n\n", p.args[0])
		usage(p.errout)
		return exitUsage
	}
	if slices.Contains(p.args[1:], "--help") || slices.Contains(p.args[1:], "-h") {
		_, _ = fmt.Fprintf(p.out, "killswitch %s %s\n  %s\n\n", subcommands[i].name, subcommands[i].args, subcommands[i].summary)
	}
	err := subcommands[i].run(ctx, p, p.args[1:])
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return exitDone
	case errors.Is(err, errUsage):
		_, _ = fmt.Fprintf(p.errout, "killswitch %s: %s\nusage: killswitch %s %s\n", p.args[0], terminal.Clean(err.Error()), subcommands[i].name, subcommands[i].args)
		return exitUsage
	}
	if !errors.Is(err, errReported) {
		_, _ = fmt.Fprintf(p.errout, "killswitch %s: %s\n", p.args[0], terminal.Clean(err.Error()))
	}
	return exitNo
}

// errReported ends a command that has said all there is to say.
var errReported = errors.New("reported")

func usage(w io.Writer) {
	_, _ = fmt.Fprintln(w, "killswitch contains compromised AWS principals from Slack, with a second person's approval.")
	for _, c := range subcommands() {
		_, _ = fmt.Fprintf(w, "\n  killswitch %s %s\n      %s\n", c.name, c.args, c.summary)
	}
}

// parse reads flags that may stand before or behind the other arguments.
func parse(f *flag.FlagSet, p program, args []string) (rest []string, err error) {
	f.SetOutput(io.Discard)
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				f.SetOutput(p.out)
				f.PrintDefaults()
				return nil, err
			}
			return nil, fmt.Errorf("%w: %w", errUsage, err)
		}
		if f.NArg() == 0 {
			return rest, nil
		}
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
}

// secret is a value that never shows in a log or message.
type secret string

// String implements fmt.Stringer.
func (secret) String() string { return "[redacted]" }

// GoString implements fmt.GoStringer.
func (secret) GoString() string { return "[redacted]" }

// LogValue implements slog.LogValuer.
func (secret) LogValue() slog.Value { return slog.StringValue("[redacted]") }

// MarshalJSON implements json.Marshaler.
func (s secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }
