package main

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/bot/terminal"
	"github.com/killswitch-chatops/killswitch/cmd/config"
)

// first is what a first configuration says.
type first struct {
	team, channel      string
	people             []human
	hub, management    string
	policyAccount      string
	accounts           []alias
	regions            []string
	breakGlass         []string // names of roles
	adminGroup         string
	externalID         string
	socketMode         bool
	channelNeedsTheBot bool
}

type human struct{ id, name, slack string }

type alias struct{ name, account string }

// initial makes a first configuration from flags, look-ups and answers.
type initial struct {
	program
	answers *bufio.Reader // nil: nobody is there to ask
	slack   *workspace    // nil: no token
	c       first
	missing []string // flags, each with what it is for
	wrong   []string
}

// initOptions are what init takes as flags.
type initOptions struct {
	output, team, channel, people, hub, management, policyAccount, accounts, profile, managementProfile, regions, breakGlass, adminGroup, externalID string
	force, socketMode                                                                                                                                bool
}

func (o *initOptions) flags() *flag.FlagSet {
	f := flag.NewFlagSet("init", flag.ContinueOnError)
	f.StringVar(&o.output, "output", "killswitch.yaml", "write it to `FILE`")
	f.BoolVar(&o.force, "force", false, "write over a file that is there")
	f.StringVar(&o.team, "team", "", "the workspace's `ID` (T…); looked up by SLACK_BOT_TOKEN")
	f.StringVar(&o.channel, "channel", "", "the incident channel: its `NAME` or ID (C…)")
	f.StringVar(&o.people, "people", "", "who may ask and approve, three at least: Slack `NAMES` or IDs (U…) with commas between; ID=NAME gives somebody another ID here")
	f.StringVar(&o.hub, "hub-account", "", "the `ACCOUNT` that Killswitch runs in; looked up by AWS's credentials")
	f.StringVar(&o.management, "management-account", "", "the organization's management `ACCOUNT`; looked up")
	f.StringVar(&o.policyAccount, "policy-account", "", "the `ACCOUNT` that service control policies are delegated to, if they are")
	f.StringVar(&o.accounts, "accounts", "", "names for typing: `ALIAS=ACCOUNT`, with commas between; looked up")
	f.StringVar(&o.profile, "profile", "", "AWS `PROFILE` of the hub account; left out: the credentials at hand")
	f.StringVar(&o.managementProfile, "management-profile", "", "AWS `PROFILE` of the organization's management account, which may list its accounts; left out: as for the hub")
	f.StringVar(&o.regions, "regions", "", "the `REGIONS` that the accounts use, with commas between")
	f.StringVar(&o.breakGlass, "break-glass-roles", "", "the `NAMES` of roles, the same in each account, that a freeze must leave alone")
	f.StringVar(&o.adminGroup, "admin-group", "", "the IAM group whose members take one approval more to be quarantined: `NAME`")
	f.StringVar(&o.externalID, "external-id", "", "`TEXT`, where the member roles have one already; left out: a new one")
	f.BoolVar(&o.socketMode, "socket-mode", false, "Slack can't reach this machine: allow serve --socket-mode, where Slack signs nothing")
	return f
}

// initialize writes a first configuration.
func initialize(ctx context.Context, p program, args []string) error {
	var given initOptions
	rest, err := parse(given.flags(), p, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 0:
		return fmt.Errorf("%w: init takes flags alone", errUsage)
	}
	if _, err := os.Lstat(given.output); err == nil && !given.force {
		return fmt.Errorf("%s is there already: name another --output, or say --force", given.output)
	} else if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}

	n := &initial{program: p, c: first{policyAccount: given.policyAccount, externalID: given.externalID, socketMode: given.socketMode}}
	if p.asks {
		n.answers = bufio.NewReader(p.in)
	}
	if n.c.externalID == "" {
		id := make([]byte, 16)
		_, _ = rand.Read(id) // never fails
		n.c.externalID = hex.EncodeToString(id)
	}
	n.slack = n.openSlack(ctx)
	o := n.lookUpOrganization(ctx, given.profile, given.managementProfile)
	var found string
	if n.slack != nil {
		found = n.slack.team
	}
	err = errors.Join(
		n.settle(question{flag: "team", what: "the workspace's ID, T…", where: "in Slack's address in a browser", found: found, given: given.team}, n.takeTeam),
		n.settle(question{flag: "channel", what: "the incident channel, its name or ID", where: "at the end of View channel details", given: given.channel}, func(s string) error { return n.takeChannel(ctx, s) }),
		n.settle(question{flag: "people", what: "who may ask and approve: names in Slack, or IDs, with commas between", where: "Profile, ⋮, Copy member ID", given: given.people}, func(s string) error { return n.takePeople(ctx, s) }),
		n.settle(question{flag: "hub-account", what: "the account that Killswitch runs in, and nothing else", where: "aws sts get-caller-identity", found: o.hub, given: given.hub}, n.takeAccount(&n.c.hub)),
		n.settle(question{flag: "management-account", what: "the organization's management account", where: "aws organizations describe-organization", found: o.management, given: given.management, optional: true}, n.takeAccount(&n.c.management)),
		n.settle(question{flag: "accounts", what: "names for accounts, as prod=222222222222, with commas between", where: "aws organizations list-accounts", found: o.accounts, given: given.accounts, optional: true}, n.takeAccounts),
		n.settle(question{flag: "regions", what: "the regions that the accounts use", where: "where instances are looked for and activity is read; the hub's first", otherwise: defaultRegions(o.region), given: given.regions, optional: true}, n.takeRegions),
		n.settle(question{flag: "break-glass-roles", what: "roles that a freeze must leave alone, names with commas between", where: "those by which you get in when all else is denied", given: given.breakGlass, optional: true}, n.takeBreakGlass),
		n.settle(question{flag: "admin-group", what: "the IAM group of administrators, if users are in one", where: "its members take one approval more", given: given.adminGroup, optional: true}, func(s string) error { n.c.adminGroup = s; return nil }),
	)
	if err != nil {
		return err
	}
	if err := n.complaints(); err != nil {
		return err
	}
	return n.write(given.output)
}

// question is a value that is given by a flag, looked up, asked for, or left out.
type question struct {
	flag, what, where string
	given, found      string
	otherwise         string // what Enter means
	optional          bool
}

// settle gets a value, and gives it to take. What is wrong or missing is noted; only where there is nobody left to
// answer is an error.
func (n *initial) settle(q question, take func(string) error) error {
	switch {
	case q.given != "":
		if err := take(q.given); err != nil {
			n.wrong = append(n.wrong, fmt.Sprintf("--%s: %v", q.flag, err))
		}
	case q.found != "":
		if err := take(q.found); err != nil {
			n.wrong = append(n.wrong, fmt.Sprintf("--%s: what was looked up can't be used: %v", q.flag, err))
		}
	case n.answers != nil:
		return n.ask(q, take)
	case q.optional:
		return take(q.otherwise)
	default:
		n.missing = append(n.missing, fmt.Sprintf("--%s  %s (%s)", q.flag, q.what, q.where))
	}
	return nil
}

// ask asks until an answer is taken.
func (n *initial) ask(q question, take func(string) error) error {
	for {
		n.tell("\n%s\n  (%s)", strings.ToUpper(q.what[:1])+q.what[1:], q.where)
		switch {
		case q.otherwise != "":
			_, _ = fmt.Fprintf(n.errout, "  [%s] ", q.otherwise)
		case q.optional:
			_, _ = fmt.Fprint(n.errout, "  [none] ")
		default:
			_, _ = fmt.Fprint(n.errout, "  ")
		}
		line, err := n.answers.ReadString('\n')
		answer := strings.TrimSpace(line)
		if err != nil && answer == "" {
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("there was no answer for --%s; nothing was written", q.flag)
			}
			return err
		}
		if answer == "" {
			answer = q.otherwise
		}
		if answer == "" && !q.optional {
			continue
		}
		if err := take(answer); err != nil {
			n.tell("  %v", err)
			continue
		}
		return nil
	}
}

// tell says something about what is looked up or asked.
func (n *initial) tell(format string, args ...any) {
	_, _ = fmt.Fprintln(n.errout, terminal.Clean(fmt.Sprintf(format, args...)))
}

// complaints are what is missing and what is wrong, all at once.
func (n *initial) complaints() error {
	if len(n.missing) > 0 {
		text := "nobody is there to ask (the standard input is no terminal), and these can't be looked up:\n  " + strings.Join(n.missing, "\n  ")
		if len(n.wrong) > 0 {
			text += "\nand these are wrong:\n  " + strings.Join(n.wrong, "\n  ")
		}
		return fmt.Errorf("%w: %s", errUsage, text)
	}
	if len(n.wrong) > 0 {
		return fmt.Errorf("nothing was written:\n  %s", strings.Join(n.wrong, "\n  "))
	}
	return nil
}

var (
	teamID    = regexp.MustCompile(`^T[A-Z0-9]{2,30}$`)
	accountID = regexp.MustCompile(`^[0-9]{12}$`)
)

func (n *initial) takeTeam(s string) error {
	if !teamID.MatchString(s) {
		return fmt.Errorf("%q is not a workspace's ID, as T0123ABCD", actions.Clip(s))
	}
	n.c.team = s
	return nil
}

func (n *initial) takeAccount(into *string) func(string) error {
	return func(s string) error {
		if s != "" && !accountID.MatchString(s) {
			return fmt.Errorf("%q is not an account's ID of 12 digits", actions.Clip(s))
		}
		*into = s
		return nil
	}
}

func (n *initial) takeAccounts(s string) error {
	var list []alias
	for _, entry := range words(s) {
		name, account, ok := strings.Cut(entry, "=")
		if !ok || !accountID.MatchString(account) {
			return fmt.Errorf("%q is not like prod=222222222222", actions.Clip(entry))
		}
		list = append(list, alias{name, account})
	}
	n.c.accounts = named(list, n.c.hub, n.c.management)
	return nil
}

func (n *initial) takeRegions(s string) error {
	n.c.regions = words(s)
	return nil // the configuration's own check knows what a region is
}

func (n *initial) takeBreakGlass(s string) error {
	n.c.breakGlass = words(s)
	return nil
}

// words splits a list at its commas.
func words(s string) []string {
	var list []string
	for w := range strings.SplitSeq(s, ",") {
		if w = strings.TrimSpace(w); w != "" {
			list = append(list, w)
		}
	}
	return list
}

// write checks the configuration as validate does, and writes it.
func (n *initial) write(file string) error {
	text := n.c.text()
	if _, err := config.Parse(file, text, nil); err != nil {
		return fmt.Errorf("what was given makes no valid configuration, so nothing was written:\n%w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(file), ".killswitch-*.yaml") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(text)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), file)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	_, _ = fmt.Fprintf(n.out, "%s is written, and valid: %d people, %d account aliases.\n", file, len(n.c.people), len(n.c.accounts))
	for _, w := range n.c.advice() {
		_, _ = fmt.Fprintf(n.out, "\n%s\n", w)
	}
	_, _ = fmt.Fprintf(n.out, "\nNext: read it, then killswitch validate %s after each change; docs/install.md goes on from here.\n", file)
	return nil
}

// advice is what the configuration can't say.
func (c first) advice() []string {
	var list []string
	switch len(c.people) {
	case 1: // is not valid
	case 2:
		list = append(list, "Two people: who asks can't approve, so both must be awake, and neither can be contained but by the other, who must not ask. Name a third, or set break_glass where one may act alone.")
	default:
	}
	if c.channelNeedsTheBot {
		list = append(list, "The bot is not in the incident channel: /invite it there, and everybody of people.")
	}
	if c.management == "" && len(c.accounts) == 0 {
		list = append(list, "Neither a management account nor accounts: nothing can be entered. Name aws.management_account, or aws.accounts.")
	}
	if c.hub == c.management {
		list = append(list, "The hub is the management account: nothing in it can be contained, and service control policies don't bind it. Give Killswitch an account of its own, with credentials of that account at hand.")
	}
	return list
}
