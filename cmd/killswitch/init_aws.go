package main

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/scp"
)

const askAWSWithin = 20 * time.Second // of all that init looks up

// organization is what AWS says; what it did not say is empty.
type organization struct {
	hub, region, management string
	accounts                string // as --accounts has them
}

// lookUpOrganization asks AWS who we are, and what organization that is in.
func (n *initial) lookUpOrganization(ctx context.Context, hub, management string) (o organization) {
	ctx, cancel := context.WithTimeout(ctx, askAWSWithin)
	defer cancel()
	cfg, err := profileOf(ctx, hub)
	if err == nil {
		o.region = cfg.Region
		var me *sts.GetCallerIdentityOutput
		if me, err = sts.NewFromConfig(inSomeRegion(cfg)).GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{}); err == nil {
			o.hub = aws.ToString(me.Account)
			n.tell("AWS: the hub is %s, the account of the credentials (%s)", o.hub, aws.ToString(me.Arn))
		}
	}
	if err != nil {
		n.tell("AWS: the hub account is not looked up (%s).", awsTrouble(err))
	}
	if management != "" {
		cfg, err = profileOf(ctx, management)
		if err != nil {
			n.tell("AWS: the profile %s can't be used (%s).", management, awsTrouble(err))
		}
	}
	if err == nil {
		n.describe(ctx, organizations.NewFromConfig(inSomeRegion(cfg)), &o)
	}
	return o
}

func profileOf(ctx context.Context, name string) (aws.Config, error) {
	opts := []func(*awsconfig.LoadOptions) error{awsconfig.WithRetryMaxAttempts(2)}
	if name != "" {
		opts = append(opts, awsconfig.WithSharedConfigProfile(name))
	}
	return awsconfig.LoadDefaultConfig(ctx, opts...)
}

func inSomeRegion(cfg aws.Config) aws.Config {
	cfg = cfg.Copy()
	cfg.Region = cmp.Or(cfg.Region, defaultRegion)
	return cfg
}

// describe asks for the organization and its accounts. Any of its accounts may ask for the first, the second is told
// in the management account and to delegated administrators alone.
func (n *initial) describe(ctx context.Context, api *organizations.Client, o *organization) {
	what, err := api.DescribeOrganization(ctx, &organizations.DescribeOrganizationInput{})
	if err != nil || what.Organization == nil {
		n.tell("AWS: the organization is not looked up (%s).", awsTrouble(err))
		return
	}
	o.management = aws.ToString(what.Organization.MasterAccountId)
	n.tell("AWS: organization %s, management account %s", aws.ToString(what.Organization.Id), o.management)
	if roots, err := api.ListRoots(ctx, &organizations.ListRootsInput{}); err == nil && len(roots.Roots) > 0 {
		n.tell("AWS: root %s, for commands about all accounts", aws.ToString(roots.Roots[0].Id))
	}
	var list []string
	pages := organizations.NewListAccountsPaginator(api, &organizations.ListAccountsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			n.tell("AWS: the accounts are not looked up (%s): --management-profile names credentials that may list them.", awsTrouble(err))
			return
		}
		for _, a := range page.Accounts {
			if scp.Active(&a) {
				list = append(list, strings.NewReplacer(",", " ", "=", " ").Replace(aws.ToString(a.Name))+"="+aws.ToString(a.Id))
			}
		}
	}
	o.accounts = strings.Join(list, ",")
	n.tell("AWS: %d active accounts", len(list))
}

// awsTrouble is why AWS did not say.
func awsTrouble(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	if err == nil {
		return "no answer"
	}
	if strings.Contains(err.Error(), "IMDS") || strings.Contains(err.Error(), "get credentials") {
		return "there are no credentials: " + awsVariables
	}
	return err.Error()
}

// defaultRegions are that of the credentials, and the one where IAM's events are.
func defaultRegions(region string) string {
	home := map[string]string{"aws-us-gov": "us-gov-west-1", "aws-cn": "cn-north-1"}[actions.PartitionOf(region)]
	if home = cmp.Or(home, defaultRegion); region == "" || region == home {
		return home
	}
	return region + "," + home
}

// notAlias is what an alias may not have.
var notAlias = regexp.MustCompile(`[^a-z0-9]+`)

// targets are how words begin that mean something else where an alias is typed.
var targets = []string{"r-", "ou-", "i-", "akia", "asia", "arn"}

// named makes the names of accounts, which may be anything, into aliases: small letters, digits and -, each its own.
// The hub and the management account have none: nothing in them can be contained.
func named(list []alias, without ...string) []alias {
	var out []alias
	taken := map[string]bool{}
	for _, a := range list {
		if slices.Contains(without, a.account) {
			continue
		}
		name := strings.Trim(notAlias.ReplaceAllString(strings.ToLower(a.name), "-"), "-")
		if name == "" || name[0] < 'a' || slices.ContainsFunc(targets, func(t string) bool { return strings.HasPrefix(name, t) }) {
			name = strings.TrimSuffix("account-"+name, "-")
		}
		if name = strings.Trim(name[:min(len(name), 50)], "-"); name == "account" || taken[name] {
			name += "-" + a.account
		}
		taken[name] = true
		out = append(out, alias{name, a.account})
	}
	return out
}
