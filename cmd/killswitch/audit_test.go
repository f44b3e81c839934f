package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
	"github.com/killswitch-chatops/killswitch/approvals/bolt"
	"github.com/killswitch-chatops/killswitch/approvals/memory"
)

const (
	auditedID = "KS-4G7QX2M9ZT0B"
	anotherID = "KS-ZZZZZZZZZZZZ"
	headsName = "killswitch-audit-heads"
)

var auditedAt = time.Date(2025, 11, 28, 3, 0, 0, 0, time.UTC)

// recordRows are the rows of a containment that bob approved, and the heads that went to the bucket: of its claim
// and of its end.
func recordRows(id string, alter ...func([]audit.Event) []audit.Event) (puts []approvals.Put, heads []audit.Kept) {
	asked := approvals.Intent{Call: actions.Call{Action: "revoke_sessions", Target: "x"}}
	events := []audit.Event{
		audit.New("requested", "alice", "intent", asked.String(), "reason", "=cmd|' /C calc'!A0 <!channel> @here", "evidence", "e1"), audit.New("planned", "", "digest", "d1"),
		audit.New("approved", "bob", "digest", "d1"), audit.New("claimed", ""), audit.New("step_verified", "", "step", "deny"), audit.New("contained", ""),
	}
	for _, f := range alter {
		events = f(events)
	}
	h := audit.Start(id)
	var approvers []string
	var ended time.Time
	for i, e := range events {
		when := auditedAt.Add(time.Duration(i) * time.Second)
		if !e.At.IsZero() {
			when = e.At
		}
		e = h.Append(e, when)
		puts = append(puts, approvals.PutRow(approvals.AuditKey(id, e.Seq), 0, e))
		switch e.Event {
		case "approved":
			approvers = append(approvers, e.Actor)
		case "claimed", "contained":
			if e.Event == "contained" {
				ended = e.At
			}
			heads = append(heads, audit.Kept{ID: id, Head: h, Until: time.Now().AddDate(1, 0, 0), At: auditedAt.Add(time.Minute)})
		}
	}
	return append(puts, approvals.PutRow(approvals.HeadKey(id), 0, h),
		approvals.PutRow(approvals.PlannedKey(id), 0, approvals.Planned{ID: id, Person: "alice", Intent: asked, Reason: events[0].Facts["reason"], Evidence: "e1", Digest: "d1"}),
		approvals.PutRow(approvals.RunKey(id), 0, approvals.Run{ID: id, Attempt: 1, Outcome: approvals.Contained, Approvers: approvers, Ended: ended})), heads
}

// tables serves a table as DynamoDB does, as far as an audit reads it, and a bucket's list as S3 does.
func tables(t *testing.T, store *memory.Store, heads []audit.Kept) {
	t.Helper()
	type value struct {
		S string `json:",omitempty"`
		N string `json:",omitempty"`
		B []byte `json:",omitempty"`
	}
	item := func(r approvals.Row) map[string]value {
		return map[string]value{"pk": {S: r.Part}, "sk": {S: r.Sort}, "v": {N: fmt.Sprint(r.Version)}, "b": {B: r.Body}}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet { // ListObjectVersions
			type version struct {
				Key          string
				ID           string `xml:"VersionId"`
				LastModified string
			}
			list := struct {
				XMLName xml.Name  `xml:"ListVersionsResult"`
				Version []version `xml:"Version"`
			}{}
			for _, k := range heads {
				list.Version = append(list.Version, version{k.Name(), "1", k.At.Format(time.RFC3339)})
			}
			if r.URL.Path != "/"+headsName || !r.URL.Query().Has("versions") || r.URL.Query().Get("prefix") != "heads/" {
				t.Errorf("asked of S3: %s", r.URL)
			}
			_ = xml.NewEncoder(w).Encode(list)
			return
		}
		var in struct {
			Key                       map[string]value
			ExpressionAttributeValues map[string]value
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			t.Error(err)
		}
		out := map[string]any{}
		switch _, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "."); op {
		case "GetItem":
			if row, err := store.Get(r.Context(), approvals.Key{Part: in.Key["pk"].S, Sort: in.Key["sk"].S}); err == nil {
				out["Item"] = item(row)
			}
		case "Query":
			v := in.ExpressionAttributeValues
			rows, _ := store.Rows(r.Context(), v[":p"].S, "audit#", strings.TrimSuffix(v[":from"].S, "audit#"), 1000)
			var items []map[string]value
			for _, row := range rows {
				items = append(items, item(row))
			}
			out["Items"] = items
		case "Scan":
			parts, _ := store.Parts(r.Context(), "KS-")
			var items []map[string]value
			for _, p := range parts {
				items = append(items, map[string]value{"pk": {S: p}}, map[string]value{"pk": {S: p}})
			}
			out["Items"] = items
		default:
			t.Errorf("asked of DynamoDB: %s", op)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_ = json.NewEncoder(w).Encode(out)
	}))
	t.Cleanup(server.Close)
	for k, v := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "AKIA0000000000000000", "AWS_SECRET_ACCESS_KEY": "x", "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Setenv(k, v)
	}
}

func stored(t *testing.T, into approvals.Store, puts ...approvals.Put) {
	t.Helper()
	if err := into.Write(t.Context(), puts...); err != nil {
		t.Fatal(err)
	}
}

// TestAuditOfATable: from the table, with the bucket and without, to an export that is verified again.
func TestAuditOfATable(t *testing.T) {
	store := memory.NewStore()
	rows, heads := recordRows(auditedID)
	others, otherHeads := recordRows(anotherID)
	stored(t, store, append(rows, others...)...)
	tables(t, store, append(heads, otherHeads...))
	code, out, errout := call(t, nil, "audit", "verify", strings.ToLower(auditedID), "--table", "runs")
	if code != exitDone || !strings.Contains(out, auditedID+"  intact: 6 events, head "+heads[1].Hash) || !strings.Contains(errout, "shows only with --bucket") {
		t.Errorf("%d %s%s", code, out, errout)
	}
	code, out, errout = call(t, map[string]string{"KILLSWITCH_RUNS_TABLE": "runs"}, "audit", "verify", "--all", "--bucket", headsName)
	if code != exitDone || !strings.Contains(out, "records: 2, not intact: 0") || !strings.Contains(out, "up to event 6") || errout != "" {
		t.Errorf("%d %s%s", code, out, errout)
	}
	code, export, errout := call(t, nil, "audit", "export", "--all", "--table", "runs")
	if code != exitDone || errout != "" || strings.Contains(export, "response_url") {
		t.Fatalf("%d %s", code, errout)
	}
	file := filepath.Join(t.TempDir(), "audit.json")
	if err := os.WriteFile(file, []byte(export), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{file}, {file, "--bucket", headsName, "--all"}, {file, anotherID}} {
		if code, out, errout := call(t, nil, append([]string{"audit", "verify"}, args...)...); code != exitDone {
			t.Errorf("%q: %d %s%s", args, code, out, errout)
		}
	}
	var stdout strings.Builder
	if code := run(t.Context(), program{args: []string{"audit", "verify", "-"}, env: func(string) string { return "" }, in: strings.NewReader(export), out: &stdout, errout: &stdout}); code != exitDone || !strings.Contains(stdout.String(), "records: 2, not intact: 0") {
		t.Errorf("from the standard input: %d %s", code, stdout.String())
	}
	for format, want := range map[string]string{"csv": auditedID + ",3,2025-11-28T03:00:02Z,approved,bob,digest: d1,", "markdown": "3. 2025-11-28 03:00:02 UTC **approved** by ` bob `", "json": `"killswitch_audit": 1`} {
		for _, from := range [][]string{{file}, {auditedID, "--table", "runs"}} {
			code, out, errout := call(t, nil, append([]string{"audit", "export", "--format", format}, from...)...)
			if code != exitDone || !strings.Contains(out, want) {
				t.Errorf("%s of %q: %d %s%s", format, from, code, out, errout)
			}
		}
	}
	tables(t, store, otherHeads)
	for args, says := range map[string]string{
		auditedID + " --table runs --bucket " + headsName: auditedID + "  agrees with itself, not attested by the bucket: from before it was in use",
		file + " --bucket " + headsName:                   "shows only with --all",
	} {
		if code, out, errout := call(t, nil, append([]string{"audit", "verify"}, strings.Fields(args)...)...); !strings.Contains(out+errout, says) {
			t.Errorf("%s: %d %s%s", args, code, out, errout)
		}
	}
	tables(t, store, nil)
	if code, out, errout := call(t, nil, "audit", "verify", "--all", "--table", "runs", "--bucket", headsName); code != exitNo || !strings.Contains(out, "the bucket has no heads at all") {
		t.Errorf("an empty bucket: %d %s%s", code, out, errout)
	}
	tables(t, store, append(heads, otherHeads...))
	var told struct {
		OK      bool
		Records []verdict
	}
	code, out, _ = call(t, nil, "audit", "verify", "--output", "json", "--bucket", headsName, file)
	if err := json.Unmarshal([]byte(out), &told); err != nil || code != exitDone || !told.OK || len(told.Records) != 2 || told.Records[0].Kept != 6 || told.Records[0].Outcome != "contained" {
		t.Errorf("%d %v %s", code, err, out)
	}
}

// TestTamperingIsFoundInTheTable: by audit verify; each form that the record alone does not show, by the bucket.
func TestTamperingIsFoundInTheTable(t *testing.T) {
	rewrite := func(puts []approvals.Put, k approvals.Key, v any) []approvals.Put {
		for i, p := range puts {
			if p.Key == k {
				puts[i] = approvals.PutRow(k, 0, v)
			}
		}
		return puts
	}
	without := func(sorts ...string) func([]approvals.Put) []approvals.Put {
		return func(puts []approvals.Put) []approvals.Put {
			return slices.DeleteFunc(puts, func(p approvals.Put) bool {
				return slices.ContainsFunc(sorts, func(s string) bool { return strings.HasPrefix(p.Sort, s) })
			})
		}
	}
	anew := func(f func([]audit.Event) []audit.Event) func([]approvals.Put) []approvals.Put {
		return func([]approvals.Put) []approvals.Put { puts, _ := recordRows(auditedID, f); return puts }
	}
	for name, c := range map[string]struct {
		alter      func([]approvals.Put) []approvals.Put
		bucketOnly bool
		says       string
	}{
		"an event changed": {alter: func(ps []approvals.Put) []approvals.Put {
			return rewrite(ps, approvals.AuditKey(auditedID, 3), audit.Event{Seq: 3, Event: "approved", Actor: "carol"})
		}, says: "event 3 was altered"},
		"an event that can't be read": {alter: func(ps []approvals.Put) []approvals.Put {
			return rewrite(ps, approvals.AuditKey(auditedID, 6), "not an event")
		}, says: "event"},
		"an event removed":     {alter: without("audit#000003"), says: "event 3 was altered"},
		"the last one removed": {alter: without("audit#000006"), says: "its events end at 5, its head says 6"},
		"the chain removed":    {alter: without("audit"), says: "the chain is empty beside its plan"},
		"the run removed":      {alter: without("run"), says: "its run is missing"},
		"the plan removed":     {alter: without("plan"), says: "its plan is missing"},
		"the head removed": {alter: func(ps []approvals.Put) []approvals.Put {
			return slices.DeleteFunc(ps, func(p approvals.Put) bool { return p.Sort == "audit" })
		}, says: "its head says 0"},
		"the outcome changed": {alter: func(ps []approvals.Put) []approvals.Put {
			return rewrite(ps, approvals.RunKey(auditedID), approvals.Run{Attempt: 1, Outcome: approvals.Failed, Approvers: []string{"bob"}})
		}, says: "the run says failed"},
		"the call changed": {alter: func(ps []approvals.Put) []approvals.Put {
			return rewrite(ps, approvals.PlannedKey(auditedID), approvals.Planned{ID: auditedID, Person: "alice"})
		}, says: "the plan asks for something else"},
		"dated in the future": {alter: anew(func(es []audit.Event) []audit.Event {
			es[5].At = time.Now().Add(time.Hour)
			return es
		}), says: "event 6 is dated"},
		"another's chain": {alter: func(ps []approvals.Put) []approvals.Put {
			puts, _ := recordRows(anotherID)
			for i := range puts {
				puts[i].Part = auditedID
			}
			return puts
		}, says: "event 1 was altered"},
		"all of it removed":                       {alter: func([]approvals.Put) []approvals.Put { return nil }, bucketOnly: true, says: "the bucket has 2 heads of it, and there is no record"},
		"an approver changed and all hashed anew": {alter: anew(func(es []audit.Event) []audit.Event { es[2].Actor = "carol"; return es }), bucketOnly: true, says: "event 4 is not the one that the bucket has had since"},
		"cut with its head": {alter: func([]approvals.Put) []approvals.Put {
			puts, _ := recordRows(auditedID, func(es []audit.Event) []audit.Event { return es[:4] })
			return rewrite(puts, approvals.RunKey(auditedID), approvals.Run{Attempt: 1, Approvers: []string{"bob"}})
		}, bucketOnly: true, says: "the bucket knows of 6 events, there are 4"},
	} {
		t.Run(name, func(t *testing.T) {
			rows, heads := recordRows(auditedID)
			store := memory.NewStore()
			stored(t, store, c.alter(rows)...)
			tables(t, store, heads)
			code, alone, errout := call(t, nil, "audit", "verify", "--all", "--table", "runs")
			if (code == exitDone) != c.bucketOnly {
				t.Errorf("without the bucket: %d %s%s", code, alone, errout)
			}
			code, out, errout := call(t, nil, "audit", "verify", "--all", "--table", "runs", "--bucket", headsName)
			if code != exitNo || !strings.Contains(out, auditedID+"  NOT INTACT") || !strings.Contains(out, c.says) {
				t.Errorf("%d %s%s", code, out, errout)
			}
			code, out, errout = call(t, nil, "audit", "export", "--all", "--table", "runs")
			if (code == exitDone) != c.bucketOnly || !strings.Contains(out, "killswitch_audit") {
				t.Errorf("its export: %d %s%s", code, out, errout)
			}
		})
	}
}

// TestAuditOfServesDirectory: while it is open by serve it says what to do.
func TestAuditOfServesDirectory(t *testing.T) {
	dir := t.TempDir()
	db, err := bolt.Open(filepath.Join(dir, "killswitch.db"))
	if err != nil {
		t.Fatal(err)
	}
	table, err := db.Store("runs")
	if err != nil {
		t.Fatal(err)
	}
	rows, _ := recordRows(auditedID)
	stored(t, table, rows...)
	if code, out, errout := call(t, nil, "audit", "verify", "--all", "--data", dir); code != exitNo || !strings.Contains(errout, "is in use by another process: stop serve") {
		t.Errorf("%d %s%s", code, out, errout)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if code, out, errout := call(t, nil, "audit", "verify", "--all", "--data", dir); code != exitDone || !strings.Contains(out, "records: 1, not intact: 0") {
		t.Errorf("%d %s%s", code, out, errout)
	}
	if code, out, errout := call(t, nil, "audit", "verify", anotherID, "--data", dir); code != exitNo || !strings.Contains(out, "there is no record of it") {
		t.Errorf("%d %s%s", code, out, errout)
	}
}

// TestAuditUsage: what is wrong is said, with exit code 2; what can't be read with 1.
func TestAuditUsage(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x.json")
	if err := os.WriteFile(file, []byte(`{"records": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, c := range map[string]struct {
		code int
		says string
	}{
		"":                                {2, "say verify or export"},
		"check":                           {2, "say verify or export"},
		"verify":                          {2, "say verify or export"},
		"verify --all":                    {2, "say where the record is, once"},
		"verify --all --table t --data d": {2, "say where the record is, once"},
		"verify --all --table t " + file:  {2, "say where the record is, once"},
		"verify --all " + auditedID:       {2, "two things"},
		"verify a b":                      {2, "two files"},
		"verify a --format csv":           {2, "verify has --output"},
		"verify a --output yaml":          {2, "--output is text or json"},
		"export a --format yaml":          {2, "--format is json, csv or markdown"},
		"export a --output json":          {2, "export has --format"},
		"export a --bucket b":             {2, "--bucket is of verify"},
		"verify " + file:                  {1, "it has version 0"},
		"verify /nowhere.json":            {1, "no such file"},
		"verify --all --data /nowhere":    {1, "no such file"},
	} {
		if code, out, errout := call(t, nil, append([]string{"audit"}, strings.Fields(args)...)...); code != c.code || !strings.Contains(errout, c.says) {
			t.Errorf("%s: %d %s%s; want %d and %q", args, code, out, errout, c.code, c.says)
		}
	}
}
