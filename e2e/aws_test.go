//go:build e2e

package e2e

import (
	"net"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// HubAccount is the account of keys that moto does not know.
const HubAccount = "123456789012"

const region = "eu-west-1"

// AWS is a running moto: every account there is, empty at first. The account
// of a call is the one of its access key, and an assumed role's session has
// a key of the role's account, so other accounts are reached as in real life.
type AWS struct {
	*Process
	URL   string
	seen  *calls // what came by front
	front string
}

// StartAWS starts an AWS for one test, with more of moto's settings.
func StartAWS(t testing.TB, more ...string) *AWS {
	t.Helper()
	addr := FreeAddr(t)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	a := &AWS{URL: "http://" + addr, seen: watch(t)}
	a.front = a.seen.between(a.URL)
	a.Process = Start(t, "moto", Setting(t, "MOTO_SERVER"), append([]string{"MOTO_IAM_LOAD_MANAGED_POLICIES=true"}, more...), "-H", host, "-p", port)
	a.Answers(t, a.URL+"/moto-api/data.json")
	return a
}

// administrator is the access key of whoever sets things up in the hub account.
const administrator = "AKIAE2EHUBACCOUNT00"

// Env are the variables with which an administrator's program in the hub account uses this AWS.
func (a *AWS) Env() []string { return environment(a.URL, administrator) }

// EnvOf are the variables of a zone: what it calls is noted.
func (a *AWS) EnvOf(zone string) []string { return environment(a.front, zoneKeys[zone]) }

func environment(url, key string) []string {
	return []string{
		"AWS_ENDPOINT_URL=" + url,
		"AWS_REGION=" + region,
		"AWS_ACCESS_KEY_ID=" + key,
		"AWS_SECRET_ACCESS_KEY=e2e",
		"AWS_EC2_METADATA_DISABLED=true",
	}
}

// Hub is the hub account, for a test's own calls.
func (a *AWS) Hub(t testing.TB) aws.Config { return configOf(t, a.URL, administrator) }

// As is a zone of Killswitch: what it calls is noted.
func (a *AWS) As(t testing.TB, zone string) aws.Config { return configOf(t, a.front, zoneKeys[zone]) }

func configOf(t testing.TB, url, key string) aws.Config {
	t.Helper()
	cfg, err := config.LoadDefaultConfig(t.Context(),
		config.WithBaseEndpoint(url),
		config.WithRegion(region),
		config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(key, "e2e", "")),
	)
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// Member is another account, for a test's own calls. moto lets anyone assume
// a role, also one that does not exist.
func (a *AWS) Member(t testing.TB, account string) aws.Config {
	t.Helper()
	cfg := a.Hub(t)
	cfg.Credentials = aws.NewCredentialsCache(stscreds.NewAssumeRoleProvider(
		sts.NewFromConfig(a.Hub(t)), "arn:aws:iam::"+account+":role/e2e-test"))
	return cfg
}
