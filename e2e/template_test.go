//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	ddb "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/dynamodb"
)

// deployment is what e2e/template/deploy.py reads back.
type deployment struct {
	Missing   []string          // what moto cannot make
	Outputs   map[string]string // of the stack
	Functions map[string]struct {
		Environment map[string]string
		Sources     []string // ARNs of queues
	}
}

// deploy deploys template.yaml; a parameter is NAME=VALUE.
func deploy(t *testing.T, a *AWS, parameters ...string) deployment {
	t.Helper()
	return deployFile(t, a, "../template.yaml", parameters...)
}

// deployFile deploys a template of the hub.
func deployFile(t *testing.T, a *AWS, file string, parameters ...string) deployment {
	t.Helper()
	python := filepath.Join(filepath.Dir(Setting(t, "MOTO_SERVER")), "python")
	run := func(args ...string) []byte {
		t.Helper()
		var stderr bytes.Buffer
		cmd := exec.CommandContext(t.Context(), python, args...)
		cmd.Env = append(a.Env(), "PATH="+os.Getenv("PATH"), "AWS_DEFAULT_REGION="+region)
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v\n%s", args, err, &stderr)
		}
		return out
	}
	translated := filepath.Join(t.TempDir(), "template.json")
	if err := os.WriteFile(translated, run("template/translate.py", file), 0o600); err != nil {
		t.Fatal(err)
	}
	var d deployment
	if err := json.Unmarshal(run(append([]string{"template/deploy.py", translated}, parameters...)...), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestTemplate: template.yaml deploys; each function gets the variables that
// it reads, and the tables are what the store wants.
func TestTemplate(t *testing.T) {
	t.Parallel()
	a := StartAWS(t)
	d := deploy(t, a)
	t.Logf("not made by moto: %v", d.Missing)

	env := regexp.MustCompile(`\benv\("([A-Z_]+)"\)`)
	elsewhere := []string{"SLACK_API_URL"} // only tests set it
	for _, zone := range []string{"ingress", "bot", "executor"} {
		src, err := os.ReadFile(filepath.Join("..", "cmd", zone, "main.go"))
		if err != nil {
			t.Fatal(err)
		}
		reads := map[string]bool{}
		for _, m := range env.FindAllSubmatch(src, -1) {
			if name := string(m[1]); !slices.Contains(elsewhere, name) {
				reads[name] = true
			}
		}
		f := d.Functions[strings.ToUpper(zone[:1])+zone[1:]+"Function"]
		if diff := cmp.Diff(slices.Sorted(maps.Keys(reads)), slices.Sorted(maps.Keys(f.Environment))); diff != "" {
			t.Errorf("%s reads (-), template.yaml sets (+):\n%s", zone, diff)
		}
		for name, got := range f.Environment {
			var want string
			switch name {
			case "CONFIG_FILE":
				want = "/var/task/killswitch.yaml"
			case "SIGNING_SECRET_ID":
				want = d.Outputs["SigningSecretArn"]
			case "WEBHOOKS_FILE":
				want = "/var/task/webhooks.json"
			case "INGRESS_URL":
				want = strings.TrimSuffix(d.Outputs["SlackUrl"], "/slack")
			case "WEBHOOK_KEYS_SECRET_ID":
				want = d.Outputs["WebhookKeysArn"]
			case "BOT_TOKEN_SECRET_ID":
				want = d.Outputs["BotTokenArn"]
			case "REQUESTS_TABLE":
				want = d.Outputs["RequestsTable"]
			case "RUNS_TABLE":
				want = d.Outputs["RunsTable"]
			case "SLACK_QUEUE_URL", "JOBS_QUEUE_URL", "CHECKS_QUEUE_URL", "CHANGES_QUEUE_URL", "WEBHOOKS_QUEUE_URL":
				want = d.Outputs[name[:1]+strings.ToLower(name[1:strings.Index(name, "_")])+"QueueUrl"]
			case "SLACK_QUEUE_ARN", "CHANGES_QUEUE_ARN", "ALERTS_QUEUE_ARN", "IMPORTED_QUEUE_ARN", "WEBHOOKS_QUEUE_ARN", "TRAIL_QUEUE_ARN", "CLI_QUEUE_ARN": // the event source says from which queue a message is
				if slices.Contains(f.Sources, got) {
					want = got
				}
			}
			if got == "" || got != want {
				t.Errorf("%s: %s is %q, want %q", zone, name, got, want)
			}
		}
	}

	client := ddb.NewFromConfig(a.Hub(t), dynamodb.ClientOptions)
	for name, marks := range map[string][]string{"RequestsTable": approvals.Marks, "RunsTable": nil} {
		s := dynamodb.New(client, d.Outputs[name], marks...)
		row := approvals.Row{Key: approvals.Key{Part: "KS-1", Sort: "request"}, Body: []byte("{}"), Marks: marks}
		if err := s.Write(t.Context(), approvals.Put{Row: row}); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		row.Version = 1
		got, err := s.Get(t.Context(), row.Key)
		if diff := cmp.Diff(row, got); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", name, err, diff)
		}
		for _, m := range marks {
			rows, err := s.Marked(t.Context(), m, approvals.Key{}, 10)
			if diff := cmp.Diff([]approvals.Row{row}, rows); err != nil || diff != "" {
				t.Errorf("%s, marked %s: %v\n%s", name, m, err, diff)
			}
		}
	}
}

// TestTemplateWithAKey: every queue takes the key of the parameter. moto makes tables and log groups without one; of those
// settings.mjs has the properties.
func TestTemplateWithAKey(t *testing.T) {
	t.Parallel()
	const key = "arn:aws:kms:eu-west-1:123456789012:key/0f0e0d0c-0000-4000-8000-000000000000"
	a := StartAWS(t)
	deploy(t, a, "KmsKeyArn="+key, "IngressConcurrency=50", "ExecutorConcurrency=50")
	client := sqs.NewFromConfig(a.Hub(t))
	queues, err := client.ListQueues(t.Context(), &sqs.ListQueuesInput{})
	if err != nil || len(queues.QueueUrls) != 18 {
		t.Fatalf("%d queues, %v", len(queues.QueueUrls), err)
	}
	for _, url := range queues.QueueUrls {
		out, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: &url, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll}})
		if err != nil {
			t.Fatal(err)
		}
		if out.Attributes["KmsMasterKeyId"] != key || out.Attributes["SqsManagedSseEnabled"] == "true" {
			t.Errorf("%s: %v", url, out.Attributes)
		}
	}
}
