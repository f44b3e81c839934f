//go:build !noaccounts

package scp

import (
	"context"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/vouch"
)

// s3In has the bucket in the path: so all buckets of a region have one host, and share its connections.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html#path-style-access
func (v surveyor) s3In(region string) *s3.Client {
	return s3.NewFromConfig(v.acct.Config(), func(o *s3.Options) { o.Region, o.UsePathStyle = region, true })
}

// buckets reads the buckets of all regions, the oldest first: who makes many, to hide some, makes younger ones.
// With a page size the list has their regions. https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html
func (v surveyor) buckets(ctx context.Context) standing {
	s := standing{noun: "bucket"}
	page, err := v.s3In(v.acct.Region).ListBuckets(ctx, &s3.ListBucketsInput{MaxBuckets: aws.Int32(10_000)})
	if err != nil {
		cause, _ := actions.Explain(err)
		s.unlisted = []string{actions.Clean(cause)}
		return s
	}
	s.total, s.more = len(page.Buckets), page.ContinuationToken != nil
	slices.SortStableFunc(page.Buckets, func(a, b types.Bucket) int {
		return aws.ToTime(a.CreationDate).Compare(aws.ToTime(b.CreationDate))
	})
	clients := map[string]*s3.Client{}
	for _, b := range page.Buckets[:min(len(page.Buckets), standingBuckets)] {
		region := aws.ToString(b.BucketRegion)
		if region == "" {
			region = v.acct.Region
		}
		if clients[region] == nil {
			clients[region] = v.s3In(region)
		}
		s.holders = append(s.holders, holder{name: aws.ToString(b.Name), region: region})
	}
	readEach(ctx, s.holders, func(h *holder) error { return v.bucket(ctx, clients[h.region], h) })
	return s
}

// bucket reads one bucket: of what can't be read the first error, once both were tried.
func (v surveyor) bucket(ctx context.Context, c *s3.Client, h *holder) error {
	rules, err := c.GetBucketLifecycleConfiguration(ctx, &s3.GetBucketLifecycleConfigurationInput{Bucket: &h.name})
	if err == nil {
		h.expires = expiryOf(rules.Rules)
	}
	policy, other := c.GetBucketPolicy(ctx, &s3.GetBucketPolicyInput{Bucket: &h.name})
	if other == nil {
		v.letIn(h, func(expected []string) []string {
			return vouch.OfResource(v.acct.Org, expected, aws.ToString(policy.Policy))
		})
	}
	for _, err := range []error{err, other} {
		if err != nil && !actions.IsCode(err, "NoSuchLifecycleConfiguration", "NoSuchBucketPolicy", "NoSuchBucket") { // the last was deleted in between
			return err
		}
	}
	return nil
}

func (v surveyor) kmsIn(region string) *kms.Client {
	return kms.NewFromConfig(v.acct.Config(), func(o *kms.Options) { o.Region = region })
}

// keys reads the grants of the customers' keys in the configured regions, of each region as many.
func (v surveyor) keys(ctx context.Context) standing {
	s, regions := standing{noun: "key"}, v.acct.Org.Regions
	found, more, errs := make([][]holder, len(regions)), make([]bool, len(regions)), make([]error, len(regions))
	_ = actions.Parallel(len(regions), standingAtOnce, func(i int) error {
		found[i], more[i], errs[i] = v.keysIn(ctx, regions[i])
		return nil
	})
	for i, region := range regions {
		if errs[i] != nil {
			cause, _ := actions.Explain(errs[i])
			s.unlisted = append(s.unlisted, region+" ("+actions.Clean(cause)+")")
		}
		s.total, s.more = s.total+len(found[i]), s.more || more[i]
		s.holders = append(s.holders, found[i][:min(len(found[i]), standingKeys/len(regions))]...)
	}
	readEach(ctx, s.holders, func(h *holder) error { return v.grants(ctx, h) })
	return s
}

// keysIn lists the keys of a region, but those that AWS manages: they serve this account alone, and have grants for
// services. Nobody else makes aliases like theirs.
// https://docs.aws.amazon.com/kms/latest/APIReference/API_CreateAlias.html
func (v surveyor) keysIn(ctx context.Context, region string) (hs []holder, more bool, err error) {
	c := v.kmsIn(region)
	names, err := actions.List(ctx, actions.AtMost(standingGrants, kms.NewListAliasesPaginator(c, &kms.ListAliasesInput{Limit: aws.Int32(100)})),
		func(p *kms.ListAliasesOutput) []kmstypes.AliasListEntry { return p.Aliases }, actions.Itself)
	if err != nil {
		return nil, false, err
	}
	alias := map[string]string{}
	for _, a := range names {
		alias[aws.ToString(a.TargetKeyId)] = aws.ToString(a.AliasName)
	}
	page, err := c.ListKeys(ctx, &kms.ListKeysInput{Limit: aws.Int32(1000)})
	if err != nil {
		return nil, false, err
	}
	for _, k := range page.Keys {
		id := aws.ToString(k.KeyId)
		name := alias[id]
		if strings.HasPrefix(name, "alias/aws/") {
			continue
		}
		if name == "" {
			name = id
		}
		hs = append(hs, holder{name: free(strings.TrimPrefix(name, "alias/")) + " (" + region + ")", region: region, id: id})
	}
	return hs, page.Truncated, nil
}

// grants reads the grants of a key: as of many, those of the first pages.
func (v surveyor) grants(ctx context.Context, h *holder) error {
	pages := kms.NewListGrantsPaginator(v.kmsIn(h.region), &kms.ListGrantsInput{KeyId: &h.id, Limit: aws.Int32(100)})
	grants, err := actions.List(ctx, actions.AtMost(standingGrants, pages), func(p *kms.ListGrantsOutput) []kmstypes.GrantListEntry { return p.Grants }, actions.Itself)
	switch {
	case actions.IsCode(err, "NotFoundException"): // deleted in between
		return nil
	case err != nil:
		return err
	}
	v.letIn(h, func(expected []string) (who []string) {
		for _, g := range grants {
			if w := vouch.Grantee(v.acct.Org, expected, aws.ToString(g.GranteePrincipal)); w != "" && !slices.Contains(who, w) {
				who = append(who, w)
			}
		}
		return who
	})
	h.late = pages.HasMorePages()
	return nil
}
