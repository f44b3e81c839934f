package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
	"github.com/killswitch-chatops/killswitch/approvals/bolt"
	"github.com/killswitch-chatops/killswitch/approvals/dynamodb"
	"github.com/killswitch-chatops/killswitch/approvals/s3"
	"github.com/killswitch-chatops/killswitch/bot/terminal"
)

// auditor is one call of the command audit.
type auditor struct {
	program
	export bool
	all    bool
	ids    []string // of records
	file   string   // an export; - is the standard input

	table, data    string
	bucket, region string
	account        string
	format         string
	json           bool
}

const auditUsage = "say verify or export, then request IDs, or --all, and where the record is: --table NAME, --data DIR, or a file that export has written (- is the standard input)"

// auditing verifies or exports records.
func auditing(ctx context.Context, p program, args []string) error {
	a, err := readAuditArgs(p, args)
	if err != nil {
		return err
	}
	found, err := a.read(ctx)
	if err != nil {
		return err
	}
	wrong, notes := a.judge(found, time.Now())
	if a.export {
		return a.write(found.records, wrong)
	}
	return a.tell(found, wrong, notes)
}

func readAuditArgs(p program, args []string) (a auditor, err error) {
	a = auditor{program: p}
	f := flag.NewFlagSet("audit", flag.ContinueOnError)
	f.BoolVar(&a.all, "all", false, "every record that there is")
	f.StringVar(&a.table, "table", p.env("KILLSWITCH_RUNS_TABLE"), "the DynamoDB `TABLE` of runs; or KILLSWITCH_RUNS_TABLE")
	f.StringVar(&a.data, "data", "", "the `DIR`ectory of a serve that is stopped")
	f.StringVar(&a.bucket, "bucket", "", "verify: the `BUCKET` of heads, from whose list it begins (audit.bucket of the configuration)")
	f.StringVar(&a.region, "bucket-region", "", "the `REGION` of the bucket, if it is not that of the environment")
	f.StringVar(&a.account, "bucket-account", "", "the `ACCOUNT-ID` that the bucket must belong to")
	f.StringVar(&a.format, "format", "json", "export: json, csv or markdown")
	output := f.String("output", "text", "verify: text or json")
	rest, err := parse(f, p, args)
	if err != nil {
		return a, err
	}
	set := map[string]bool{}
	f.Visit(func(f *flag.Flag) { set[f.Name] = true })
	if len(rest) == 0 || rest[0] != "verify" && rest[0] != "export" {
		return a, fmt.Errorf("%w: %s", errUsage, auditUsage)
	}
	a.export, a.json = rest[0] == "export", *output == "json"
	for _, arg := range rest[1:] {
		switch {
		case approvals.IsRequestID(strings.ToUpper(arg)):
			a.ids = append(a.ids, strings.ToUpper(arg))
		case strings.HasPrefix(arg, audit.StatementPrefix):
			a.ids = append(a.ids, arg)
		case a.file != "":
			return a, fmt.Errorf("%w: %q and %q are two files", errUsage, a.file, arg)
		default:
			a.file = arg
		}
	}
	if (a.file != "" || a.data != "") && !set["table"] { // the variable is for who says nothing else
		a.table = ""
	}
	switch {
	case *output != "text" && *output != "json" || a.export && set["output"]:
		err = errors.New("--output is text or json, of verify; export has --format")
	case !slices.Contains([]string{"json", "csv", "markdown"}, a.format) || !a.export && set["format"]:
		err = errors.New("--format is json, csv or markdown, of export; verify has --output")
	case a.export && a.bucket != "":
		err = errors.New("--bucket is of verify")
	case a.all && len(a.ids) > 0:
		err = errors.New("--all and request IDs are two things")
	case !a.all && len(a.ids) == 0 && a.file == "":
		err = errors.New(auditUsage)
	case count(a.table, a.data, a.file) != 1:
		err = errors.New("say where the record is, once: --table NAME, --data DIR, or a file")
	}
	if err != nil {
		err = fmt.Errorf("%w: %w", errUsage, err)
	}
	return a, err
}

func count(ss ...string) (n int) {
	for _, s := range ss {
		if s != "" {
			n++
		}
	}
	return n
}

// found is what there is to verify.
type found struct {
	records []audit.Record
	unread  map[string]error // of records of which not all can be read
	kept    []audit.Kept     // heads in the bucket
	strange []string         // objects there that are none
}

// read reads the bucket's list first, and then the records.
func (a auditor) read(ctx context.Context) (in found, err error) {
	if a.bucket != "" {
		cfg, err := awsconfig.LoadDefaultConfig(ctx)
		if err != nil {
			return in, fmt.Errorf("AWS configuration: %w", err)
		}
		if cfg.Region = cmp.Or(a.region, cfg.Region); cfg.Region == "" {
			return in, errors.New("AWS_REGION, or --bucket-region, must say in which region the bucket is")
		}
		if in.kept, in.strange, err = s3.New(cfg, a.bucket, "", a.account).Heads(ctx); err != nil {
			return in, fmt.Errorf("%w (it takes s3:ListBucketVersions)", err)
		}
	}
	if a.file != "" {
		in.records, err = a.readFile()
	} else {
		in.records, in.unread, err = a.readTable(ctx)
	}
	return in, err
}

// readFile reads the records of an export, those that were asked for.
func (a auditor) readFile() ([]audit.Record, error) {
	in := a.in
	if a.file != "-" {
		f, err := os.Open(a.file)
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	records, err := audit.ReadJSON(in)
	if err != nil || len(a.ids) == 0 {
		return records, err
	}
	var wanted []audit.Record
	for _, id := range a.ids {
		i := slices.IndexFunc(records, func(r audit.Record) bool { return r.ID == id })
		if i < 0 {
			wanted = append(wanted, audit.Record{ID: id, Head: audit.Start(id)})
			continue
		}
		wanted = append(wanted, records[i])
	}
	return wanted, nil
}

// readTable reads records of a table.
func (a auditor) readTable(ctx context.Context) (records []audit.Record, unread map[string]error, err error) {
	var table approvals.Lister
	if a.data != "" {
		db, err := bolt.OpenToRead(filepath.Join(a.data, databaseFile))
		if errors.Is(err, bolt.ErrInUse) {
			return nil, nil, fmt.Errorf("%w: stop serve, or ask in Slack meanwhile: /killswitch audit ID", err)
		}
		if err != nil {
			return nil, nil, err
		}
		defer func() { _ = db.Close() }()
		if table, err = db.Store("runs"); err != nil {
			return nil, nil, err
		}
	} else {
		cfg, err := awsconfig.LoadDefaultConfig(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("AWS configuration: %w", err)
		}
		if cfg.Region == "" {
			return nil, nil, errors.New("AWS_REGION must say in which region the table is")
		}
		table = dynamodb.New(ddb.NewFromConfig(cfg, dynamodb.ClientOptions), a.table)
	}
	ids := a.ids
	if a.all {
		if ids, err = table.Parts(ctx, "KS-", audit.StatementPrefix); err != nil {
			return nil, nil, err
		}
	}
	unread = map[string]error{}
	for _, id := range ids {
		r, err := approvals.Runs{Reader: table}.Audit(ctx, id)
		if err != nil && !errors.Is(err, audit.ErrBroken) {
			return nil, nil, fmt.Errorf("%s: %w", id, err)
		}
		if err != nil && r.Verify() == nil {
			unread[id] = err
		}
		records = append(records, r)
	}
	return records, unread, nil
}

// judge returns what is wrong, by the ID of the record, of the bucket itself by its name; and what
// the bucket does not attest.
func (a auditor) judge(in found, now time.Time) (wrong map[string]error, notes map[string]string) {
	wrong = map[string]error{}
	if a.bucket != "" {
		wrong, notes = audit.Compare(in.records, in.kept, a.all, now)
	}
	for _, r := range in.records {
		err := errors.Join(r.Verify(), r.Dated(now), in.unread[r.ID])
		if err == nil && r.Empty() && wrong[r.ID] == nil {
			err = errors.New("there is no record of it")
		}
		if err != nil {
			wrong[r.ID] = errors.Join(err, wrong[r.ID])
		}
	}
	if n := len(in.strange); n > 0 {
		wrong[a.bucket] = fmt.Errorf("somebody put %d objects into the bucket that are no heads, the first is %q", n, in.strange[0])
	}
	return wrong, notes
}

// write writes an export. What is altered is exported as it is, and told.
func (a auditor) write(records []audit.Record, wrong map[string]error) (err error) {
	switch a.format {
	case "csv":
		err = audit.WriteCSV(a.out, records)
	case "markdown":
		err = audit.WriteMarkdown(a.out, records, func(r audit.Record) string {
			if err := wrong[r.ID]; err != nil {
				return err.Error()
			}
			return "it agrees with itself"
		})
	default:
		err = audit.WriteJSON(a.out, records)
	}
	if err != nil || len(wrong) == 0 {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(wrong)) {
		a.warn("%s: %s", id, wrong[id])
	}
	return errReported
}

func (a auditor) warn(format string, args ...any) {
	_, _ = fmt.Fprintln(a.errout, terminal.Clean(fmt.Sprintf(format, args...)))
}

// verdict is what is told of a record.
type verdict struct {
	ID      string     `json:"id"`
	OK      bool       `json:"ok"`
	Problem string     `json:"problem,omitempty"`
	Events  int        `json:"events"`
	Head    audit.Head `json:"head"`
	Outcome string     `json:"outcome,omitempty"`
	Kept    int        `json:"kept"`           // the bucket has its head up to this event
	Note    string     `json:"note,omitempty"` // why it has none
}

// tell tells of each record whether it holds.
func (a auditor) tell(in found, wrong map[string]error, notes map[string]string) error {
	verdicts := []verdict{}
	seen := map[string]bool{}
	add := func(v verdict) {
		seen[v.ID] = true
		if err := wrong[v.ID]; err != nil {
			v.Problem = strings.ReplaceAll(err.Error(), "\n", "; ")
		}
		if v.OK = v.Problem == ""; v.OK {
			v.Note = notes[v.ID]
		}
		verdicts = append(verdicts, v)
	}
	for _, r := range in.records {
		v := verdict{ID: r.ID, Events: len(r.Events), Head: r.Head}
		if r.Run != nil {
			v.Outcome = r.Run.Outcome
		}
		for _, k := range in.kept {
			if k.ID == r.ID {
				v.Kept = max(v.Kept, k.Seq)
			}
		}
		add(v)
	}
	for _, id := range slices.Sorted(maps.Keys(wrong)) { // what the bucket alone knows of
		if !seen[id] {
			add(verdict{ID: id})
		}
	}
	if a.json {
		if err := (&client{program: a.program}).encode(map[string]any{"ok": len(wrong) == 0, "bucket": a.bucket, "all": a.all, "records": verdicts}); err != nil {
			return err
		}
	} else {
		a.tellText(verdicts)
	}
	if len(wrong) > 0 {
		return errReported
	}
	return nil
}

func (a auditor) tellText(verdicts []verdict) {
	broken := 0
	for _, v := range verdicts {
		line := fmt.Sprintf("%s  intact: %d events, head %s", v.ID, v.Events, v.Head.Hash)
		if v.Note != "" {
			line = fmt.Sprintf("%s  agrees with itself, %s: %d events, head %s", v.ID, v.Note, v.Events, v.Head.Hash)
		}
		if !v.OK {
			broken++
			line = fmt.Sprintf("%s  NOT INTACT: %s", v.ID, v.Problem)
		}
		if v.Kept > 0 {
			line += fmt.Sprintf("; the bucket has its head up to event %d", v.Kept)
		}
		_, _ = fmt.Fprintln(a.out, terminal.Clean(line))
	}
	_, _ = fmt.Fprintf(a.out, "records: %d, not intact: %d\n", len(verdicts), broken)
	switch {
	case a.bucket == "":
		a.warn("note: a record that was made anew as a whole, or is gone, shows only with --bucket")
	case !a.all:
		a.warn("note: a record that is gone, or was cut out of a file, shows only with --all")
	}
}
