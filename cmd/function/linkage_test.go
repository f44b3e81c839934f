package function_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/killswitch-chatops/killswitch/"

// never lists what a zone's binary must not link: what it does not hold it
// can't lose, and templates and net/rpc keep the linker from dropping dead code.
var never = map[string][]string{
	"ingress": {
		"text/template", "html/template", "net/rpc", "github.com/slack-go/slack",
		"github.com/aws/aws-sdk-go-v2/service/dynamodb", "github.com/aws/aws-sdk-go-v2/service/sts", "github.com/aws/aws-sdk-go-v2/service/iam",
		module + "approvals", module + "actions", module + "bot", module + "cmd/config",
	},
	"bot": {
		"text/template", "html/template", "net/rpc", "github.com/santhosh-tekuri/jsonschema/v6",
		"github.com/aws/aws-sdk-go-v2/service/kms", "github.com/aws/aws-sdk-go-v2/service/s3",
	},
	"executor": {"text/template", "html/template", "net/rpc", "github.com/santhosh-tekuri/jsonschema/v6", "github.com/slack-go/slack", module + "bot", module + "bot/ingress"},
}

func TestEachFunctionLinksOnlyItsZone(t *testing.T) {
	for zone, packages := range never {
		tags := "lambda.norpc,noschema,nethttpomithttp2"
		if zone == "bot" {
			tags += ",noaccounts"
		}
		cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-tags", tags, "../"+zone)
		cmd.Env = append(cmd.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", zone, err)
		}
		linked := strings.Fields(string(out))
		if !slices.Contains(linked, "github.com/aws/aws-lambda-go/lambda") {
			t.Fatalf("%s: the list is not what it should be: %d packages", zone, len(linked))
		}
		for _, p := range packages {
			if slices.Contains(linked, p) {
				t.Errorf("%s links %s", zone, p)
			}
		}
	}
}
