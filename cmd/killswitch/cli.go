package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/sts"
	"github.com/killswitch-chatops/killswitch/bot/cards"
	"github.com/killswitch-chatops/killswitch/bot/terminal"
	"github.com/killswitch-chatops/killswitch/cmd/config"
	"github.com/killswitch-chatops/killswitch/cmd/local"
)

// The commands by which people work when Slack does not: what they say is signed by their AWS
// credentials.
var commandLine = []subcommand{
	{"request", `ACTION TARGET [key=value …] --reason TEXT`, "ask for a containment", asks},
	{"approve", "ID [--break-glass ACCOUNT-ID --reason TEXT]", "show what a request is for, and approve it; with --break-glass: your own, alone, where nobody else answers", approves},
	{"deny", "ID [REASON]", "deny a request", says("deny")},
	{"cancel", "ID", "cancel your own request", says("cancel")},
	{"undo", "ID [keys=reactivate] [REASON]", "ask to take a containment back", undoes},
	{"show", "ID", "show a request", shows},
	{"list", "", "list what is open and what is in force", lists},
	{"watch", "ID", "follow a request to its end", watches},
}

// client is somebody at the command line.
type client struct {
	program
	command string
	config  config.Config
	aws     aws.Config
	to      transport
	yes     bool
	json    bool
	reason  string
	glass   string // of approve: the account that who acts alone has typed
	now     func() time.Time
	sleep   func(context.Context, time.Duration) error
}

// transport brings statements to an installation.
type transport interface {
	// Say brings a statement that is wanted to be carried out.
	Say(ctx context.Context, signed approvals.SignedStatement) (local.Reply, error)
	Show(ctx context.Context, id string) (approvals.Shown, error)
	List(ctx context.Context) ([]approvals.Shown, error)
}

// open reads the flags of a command, and returns its other arguments.
func open(ctx context.Context, p program, name string, args []string) (c client, rest []string, err error) {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	file := f.String("config", p.env("KILLSWITCH_CONFIG"), "the configuration `FILE`, as the installation has it; or KILLSWITCH_CONFIG")
	server := f.String("server", p.env("KILLSWITCH_SERVER"), "the `URL` of a running serve; or KILLSWITCH_SERVER")
	queue := f.String("queue", p.env("KILLSWITCH_QUEUE"), "the `URL` of the queue cli (output CliQueueUrl); or KILLSWITCH_QUEUE")
	requests := f.String("requests-table", cmp.Or(p.env("KILLSWITCH_REQUESTS_TABLE"), "killswitch-requests"), "with --queue: the `TABLE` of requests")
	runs := f.String("runs-table", cmp.Or(p.env("KILLSWITCH_RUNS_TABLE"), "killswitch-runs"), "with --queue: the `TABLE` of runs")
	output := f.String("output", "text", "text or json")
	yes := f.Bool("yes", false, "ask nothing")
	reason := f.String("reason", "", "why: `TEXT`")
	glass := new(string)
	if name == "approve" {
		glass = f.String("break-glass", "", "act alone on your own request: the target's `ACCOUNT-ID`; with --reason")
	}
	if rest, err = parse(f, p, args); err != nil {
		return c, nil, err
	}
	c = client{program: p, command: name, yes: *yes, json: *output == "json", reason: *reason, glass: *glass, now: time.Now, sleep: approvals.Sleep}
	switch {
	case *output != "text" && *output != "json":
		return c, nil, fmt.Errorf("%w: --output is text or json", errUsage)
	case *file == "":
		return c, nil, fmt.Errorf("%w: --config FILE names the installation's configuration", errUsage)
	case (*server == "") == (*queue == ""):
		return c, nil, fmt.Errorf("%w: say --server URL, or --queue URL", errUsage)
	}
	if c.config, err = config.Load(*file); err != nil {
		return c, nil, err
	}
	region := cmp.Or(p.env("AWS_REGION"), p.env("AWS_DEFAULT_REGION"))
	if !slices.Contains(c.config.Org.Regions, region) {
		region = c.config.Org.Regions[0] // only endpoints of these are asked who signed
	}
	if c.aws, err = awsconfig.LoadDefaultConfig(ctx, awsconfig.WithRegion(region)); err != nil {
		return c, nil, fmt.Errorf("AWS configuration: %w", err)
	}
	if *server != "" {
		c.to, err = newServer(*server, &c)
	} else {
		c.to = newQueue(c.aws, *queue, *requests, *runs, c)
	}
	return c, rest, err
}

// sign signs a statement.
func (c *client) sign(ctx context.Context, st approvals.Statement) (approvals.SignedStatement, error) {
	creds, err := c.aws.Credentials.Retrieve(ctx)
	if err != nil {
		return approvals.SignedStatement{}, fmt.Errorf("there are no AWS credentials to sign with: %w", err)
	}
	st.Version, st.Installation = approvals.StatementVersion, approvals.Installation(c.config.Org.HubAccount, c.config.Team)
	return sts.Sign(ctx, creds, c.aws.Region, st, c.now())
}

// say signs a statement, sends it, and tells what became of it.
func (c *client) say(ctx context.Context, st approvals.Statement) error {
	signed, err := c.sign(ctx, st)
	if err != nil {
		return err
	}
	reply, err := c.to.Say(ctx, signed)
	if err != nil {
		return err
	}
	id := cmp.Or(reply.RequestID, st.Request)
	switch {
	case c.json:
		if err := c.encode(map[string]any{"request_id": id, "answer": reply.Answer, "done": reply.Done, "counts": reply.Counts}); err != nil {
			return err
		}
	case reply.Answer != "":
		c.print("%s", reply.Answer)
	case !reply.Done:
		c.print("%s: sent. Killswitch has not answered yet: killswitch show %s", id, id)
	default:
		c.print("%s: done. killswitch watch %s follows it.", id, id)
	}
	if reply.Done && !reply.Counts {
		return errReported
	}
	return nil
}

func (c *client) print(format string, args ...any) {
	_, _ = fmt.Fprintln(c.out, terminal.Text(fmt.Sprintf(format, args...), nil))
}

func (c *client) encode(v any) error {
	e := json.NewEncoder(c.out)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// agrees asks a question. Only yes is one.
func (c *client) agrees(question string) error {
	if c.yes {
		return nil
	}
	_, _ = fmt.Fprintf(c.errout, "%s [yes/no] ", terminal.Text(question, nil))
	line, err := bufio.NewReader(c.in).ReadString('\n')
	if answer := strings.ToLower(strings.TrimSpace(line)); answer == "yes" || answer == "y" {
		return nil
	} else if err != nil && answer == "" {
		return errors.New("nothing was done: nobody answered (--yes asks nothing)")
	}
	return errors.New("nothing was done")
}

// asks asks for a containment.
func asks(ctx context.Context, p program, args []string) error {
	c, rest, err := open(ctx, p, "request", args)
	if err != nil {
		return err
	}
	call, reason, err := actions.Parse(typedLine(rest, c.reason), c.config.Org.Directory())
	if wrong, ok := errors.AsType[*actions.ParseErrors](err); ok {
		return mistakes(wrong, "killswitch request ")
	}
	if no := c.config.Org.RefuseCall(call); no != nil {
		return no
	}
	i := approvals.Intent{Call: call}
	if err := c.agrees("Ask for " + i.String() + "?"); err != nil {
		return err
	}
	return c.say(ctx, approvals.Statement{Verb: "request", Call: i.String(), Why: reason})
}

// typedLine is what people type behind /killswitch.
func typedLine(args []string, reason string) string {
	var words []string
	for _, a := range args {
		if key, value, ok := strings.Cut(a, "="); ok && strings.ContainsAny(value, " \t") {
			a = key + `="` + strings.ReplaceAll(value, `"`, `'`) + `"`
		}
		words = append(words, a)
	}
	if reason != "" {
		words = append(words, `reason="`+strings.ReplaceAll(reason, `"`, `'`)+`"`)
	}
	return strings.Join(words, " ")
}

// mistakes are all mistakes of a line at once, which stands behind a command.
func mistakes(wrong *actions.ParseErrors, command string) error {
	var b strings.Builder
	for _, m := range wrong.List {
		fmt.Fprintf(&b, "\n  %s %s", m.Field, m.Problem)
		if m.Hint != "" {
			b.WriteString(": " + m.Hint)
		}
	}
	if line := cmp.Or(wrong.Corrected, wrong.Example); line != "" {
		b.WriteString("\n  say instead: " + command + line)
	}
	return fmt.Errorf("%w:%s", errUsage, b.String())
}

// about reads a line about one request, as people type it behind /killswitch.
func (c *client) about(verb string, rest []string) (approvals.Command, error) {
	cmd, err := approvals.ParseCommand(verb+" "+typedLine(rest, c.reason), c.config.Org.Directory())
	if wrong, ok := errors.AsType[*actions.ParseErrors](err); ok {
		err = mistakes(wrong, "killswitch ")
	}
	return cmd, err
}

// seen shows a request as its plan says, not as the row does: what is signed is what was shown.
func (c *client) seen(ctx context.Context, id string) (approvals.Shown, error) {
	s, err := c.to.Show(ctx, id)
	if err != nil {
		return s, err
	}
	if p := s.Planned; p != nil {
		if p.ID != id {
			return s, fmt.Errorf("another request is shown for %s", id)
		}
		s.Request.Intent, s.Request.Reason, s.Request.Requester.Person = p.Intent, p.Reason, p.Person
	}
	s.Request.ID = id
	return s, nil
}

// plannedWithin is how long a plan is waited for.
const plannedWithin = time.Minute

// planned is seen once the request is planned.
func (c *client) planned(ctx context.Context, id string) (approvals.Shown, error) {
	for until := c.now().Add(plannedWithin); ; {
		s, err := c.seen(ctx, id)
		if err != nil || s.Request.State != approvals.Planning || c.now().After(until) {
			return s, err
		}
		if err := c.sleep(ctx, time.Second); err != nil {
			return s, err
		}
	}
}

// card is a request as people read it.
func (c *client) card(s approvals.Shown) (string, error) {
	v := cards.View{Org: c.config.Org, Request: s.Request, Planned: s.Planned, Steps: s.Steps, Run: s.Run, Now: c.now()}
	v.Alias = c.config.Org.Alias(v.AccountID())
	roster := c.config.Policy.Roster
	d := c.config.Policy.Decide(s.Request, approvals.Approve, approvals.Vote{}, v.Now)
	v.Unsigned, v.Waiting, v.Own, v.Owners = d.Unsigned, roster.Persons(d.Waiting), roster.Persons(d.Own), roster.Persons(d.Owners)
	m := cards.CardToRead(v)
	blocks, err := json.Marshal(m.Blocks)
	var names []string // Slack would show them in place of its IDs
	for _, p := range roster.People {
		names = append(names, "@"+p.Slack, p.Name)
	}
	return strings.NewReplacer(names...).Replace(terminal.Text(m.Text, blocks)), err
}

func approves(ctx context.Context, p program, args []string) error {
	c, rest, err := open(ctx, p, "approve", args)
	if err != nil {
		return err
	}
	reason := approvals.TypedReason(c.reason)
	if c.glass != "" {
		c.reason = "" // no part of the line about a request
	}
	cmd, err := c.about("approve", rest)
	switch {
	case err != nil:
		return err
	case c.glass != "" && !actions.AccountID.MatchString(c.glass):
		return fmt.Errorf("%w: --break-glass wants the ID of the target's account, 12 digits", errUsage)
	case c.glass != "" && reason == "":
		return fmt.Errorf("%w: --break-glass wants --reason TEXT", errUsage)
	}
	id := cmd.ID
	s, err := c.planned(ctx, id)
	switch {
	case err != nil:
		return err
	case s.Planned == nil || s.Request.State != approvals.Pending:
		return fmt.Errorf("%s is %s: only what is pending can be approved", id, s.Request.State)
	}
	text, err := c.card(s)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintln(c.errout, text)
	if c.glass != "" { // the account was typed, and the reason
		return c.say(ctx, approvals.Statement{Verb: approvals.BreakGlassVerb, Request: id, Digest: s.Digest(), Call: s.Planned.Intent.String(),
			Why: reason, Account: c.glass})
	}
	if err := c.agrees("Approve " + s.Planned.Intent.String() + "?"); err != nil {
		return err
	}
	return c.say(ctx, approvals.Statement{Verb: "approve", Request: id, Digest: s.Digest(), Call: s.Planned.Intent.String(), Why: approvals.ReasonLine(s.Planned.Person, s.Planned.Reason)})
}

// says is a no to a request.
func says(verb string) func(context.Context, program, []string) error {
	return func(ctx context.Context, p program, args []string) error {
		c, rest, err := open(ctx, p, verb, args)
		if err != nil {
			return err
		}
		cmd, err := c.about(verb, rest)
		if err != nil {
			return err
		}
		return c.say(ctx, approvals.Statement{Verb: verb, Request: cmd.ID, Why: cmd.Reason})
	}
}

func undoes(ctx context.Context, p program, args []string) error {
	c, rest, err := open(ctx, p, "undo", args)
	if err != nil {
		return err
	}
	cmd, err := c.about("undo", rest)
	if err != nil {
		return err
	}
	s, err := c.seen(ctx, cmd.ID)
	switch {
	case err != nil:
		return err
	case s.Planned == nil:
		return fmt.Errorf("%s has no plan: there is nothing to undo", cmd.ID)
	}
	i := approvals.Intent{Call: s.Planned.Intent.Call, Undo: cmd.ID, ReactivateKeys: cmd.ReactivateKeys}
	if err := c.agrees("Ask to " + i.String() + "?"); err != nil {
		return err
	}
	return c.say(ctx, approvals.Statement{Verb: "undo", Request: cmd.ID, Call: i.String(), Why: cmp.Or(cmd.Reason, approvals.UndoReason(cmd.ID))})
}

func shows(ctx context.Context, p program, args []string) error {
	c, rest, err := open(ctx, p, "show", args)
	if err != nil {
		return err
	}
	cmd, err := c.about("show", rest)
	if err != nil {
		return err
	}
	s, err := c.seen(ctx, cmd.ID)
	if err != nil {
		return err
	}
	if c.json {
		return c.encode(s)
	}
	text, err := c.card(s)
	if err == nil {
		_, err = fmt.Fprintln(c.out, text)
	}
	return err
}

func lists(ctx context.Context, p program, args []string) error {
	c, rest, err := open(ctx, p, "list", args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: unexpected %q", errUsage, rest)
	}
	all, err := c.to.List(ctx)
	if err != nil {
		return err
	}
	if c.json {
		return c.encode(all)
	}
	if len(all) == 0 {
		c.print("Nothing is open, and nothing is in force.")
	}
	for _, s := range all {
		alone := ""
		if s.Run != nil && s.Run.Started && s.Run.BreakGlass != nil {
			alone = fmt.Sprintf("  BREAK-GLASS: %s acted alone: %s", s.Run.BreakGlass.Name, s.Run.BreakGlass.Reason)
		}
		c.print("%s  %-9s  %s  by %s at %s%s", s.Request.ID, s.Request.State, s.Request.Intent, s.Request.Requester.Person, s.Request.Asked.UTC().Format("2006-01-02 15:04 UTC"), alone)
	}
	return nil
}

// watchEvery is how often a request is read again.
const watchEvery = 2 * time.Second

// watches follows a request until it has ended, or is in force.
func watches(ctx context.Context, p program, args []string) error {
	c, rest, err := open(ctx, p, "watch", args)
	if err != nil {
		return err
	}
	cmd, err := c.about("show", rest)
	if err != nil {
		return err
	}
	id := cmd.ID
	live, last, state := isTerminal(c.out), "", approvals.State("")
	for {
		s, err := c.seen(ctx, id)
		if err != nil {
			return err
		}
		line, over := progressLine(s, c.now()), !s.Request.State.Open()
		switch {
		case line == last:
		case c.json:
			if err := json.NewEncoder(c.out).Encode(map[string]any{"request_id": id, "state": s.Request.State, "progress": line}); err != nil {
				return err
			}
		default:
			_, _ = fmt.Fprint(c.out, drawn(live && s.Request.State == state, c.now().UTC().Format("15:04:05")+"  "+terminal.Clean(line)))
		}
		last, state = line, s.Request.State
		if over {
			if !c.json && s.Request.Cause != "" {
				c.print("%s. %s", s.Request.Cause, s.Request.Hint)
			}
			if s.Request.State == approvals.Contained || s.Request.State == approvals.Restored {
				return nil
			}
			return errReported
		}
		if err := c.sleep(ctx, watchEvery); err != nil {
			return err
		}
	}
}

// drawn is a line, over the one before if that is of the same state.
func drawn(over bool, line string) string {
	if over {
		return "\x1b[1A\r\x1b[K" + line + "\n"
	}
	return line + "\n"
}

// isTerminal reports whether a person is there.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	null, noNull := os.Stat(os.DevNull) // a character device, too
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && (noNull != nil || !os.SameFile(info, null))
}

// progressLine is a request's state with a bar.
func progressLine(s approvals.Shown, now time.Time) string {
	r := s.Request
	switch {
	case r.State == approvals.Pending:
		return fmt.Sprintf("pending %d/%d, %s left", len(r.Votes), r.Need, r.Expires.Sub(now).Round(time.Minute))
	case s.Run != nil && r.State == approvals.Running && s.Run.Progress.Total > 0:
		p := s.Run.Progress
		done := p.Done + p.Failed + p.Skipped
		return fmt.Sprintf("running %s %d of %d", bar(done, p.Total), done, p.Total)
	case r.State == approvals.Running && len(s.Steps) > 0:
		done := 0
		for _, step := range s.Steps {
			if step.Finished() {
				done++
			}
		}
		return fmt.Sprintf("running %s %d of %d steps", bar(done, len(s.Steps)), done, len(s.Steps))
	}
	return string(r.State)
}

func bar(done, of int) string {
	const width = 20
	n := width * done / max(of, 1)
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", width-n) + "]"
}
