package function_test

import (
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/killswitch-chatops/killswitch/cmd/function"
)

// TestEndpoints: AWS_ENDPOINT_URL points at all services, one with a service's
// name at that service.
func TestEndpoints(t *testing.T) {
	for k, v := range map[string]string{"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://secrets"} {
		t.Setenv(k, v)
	}
	env := map[string]string{"AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_SECRETS_MANAGER": "http://secrets", "AWS_REGION": "eu-west-1"}
	cfg := function.AWS(func(k string) string { return env[k] })
	if got := aws.ToString(sqs.NewFromConfig(cfg).Options().BaseEndpoint); got != "http://all" {
		t.Errorf("SQS at %q", got)
	}
	if got := aws.ToString(secretsmanager.NewFromConfig(cfg).Options().BaseEndpoint); got != "http://secrets" {
		t.Errorf("Secrets Manager at %q", got)
	}
}
