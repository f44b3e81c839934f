package awsfake

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// s3Operations: two of the permissions have other names than their calls ("Actions, resources, and condition
// keys for Amazon S3", Service Authorization Reference).
var s3Operations = map[string]operation{
	"s3:ListBuckets": {run: bind(reads, listBuckets).run, needs: func(*request, any) []need {
		return []need{{action: "s3:ListAllMyBuckets", resource: "*", shown: "*"}}
	}},
	"s3:GetBucketLifecycleConfiguration": {run: bind(reads, getBucketLifecycle).run, needs: onBucket("s3:GetLifecycleConfiguration")},
	"s3:GetBucketPolicy":                 {run: bind(reads, getBucketPolicy).run, needs: onBucket("s3:GetBucketPolicy")},
}

// A Bucket is an S3 bucket.
type Bucket struct {
	Name, Region string // the cloud's own region where empty
	Created      time.Time
	Rules        []s3types.LifecycleRule
	Policy       string
	ObjectLock   bool // it keeps all versions, and takes locked ones

	versions []objectVersion
}

// AddBucket puts a bucket into the account. Nothing here writes buckets, so they are not in the Snapshot. It
// panics when the policy is not one.
func (a *Account) AddBucket(b Bucket) {
	if b.Policy != "" {
		if _, err := parsePolicy(b.Policy, bucketPolicy); err != nil {
			panic(fmt.Sprintf("awsfake: AddBucket %s: %v", b.Name, err))
		}
	}
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	b.Region = or(b.Region, a.c.Region())
	a.buckets = append(a.buckets, b)
	slices.SortFunc(a.buckets, func(x, y Bucket) int { return strings.Compare(x.Name, y.Name) })
}

// listBuckets has pages of at most 10,000. The region is "included in the response" only "if the request
// contains at least one valid parameter".
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListBuckets.html
func listBuckets(k *request, in *s3.ListBucketsInput) (*s3.ListBucketsOutput, error) {
	from, all := 0, k.account.buckets
	if in.ContinuationToken != nil {
		n, err := strconv.Atoi(*in.ContinuationToken)
		if err != nil || n < 0 || n > len(all) {
			return nil, apiError("InvalidArgument", "The continuation token provided is incorrect")
		}
		from = n
	}
	to, out := min(from+int(or32(in.MaxBuckets, 10_000)), len(all)), &s3.ListBucketsOutput{}
	for _, b := range all[from:to] {
		found := s3types.Bucket{Name: aws.String(b.Name), CreationDate: aws.Time(b.Created)}
		if in.MaxBuckets != nil || in.ContinuationToken != nil {
			found.BucketRegion = aws.String(b.Region)
		}
		out.Buckets = append(out.Buckets, found)
	}
	if to < len(all) {
		out.ContinuationToken = aws.String(strconv.Itoa(to))
	}
	return out, nil
}

func onBucket(action string) func(*request, any) []need {
	return func(k *request, in any) []need {
		arn := k.c.bucketARN(field(in, "Bucket"))
		return []need{{action: action, resource: arn, shown: `"` + arn + `"`}}
	}
}

func (c *Cloud) bucketARN(name string) string { return "arn:" + c.partition + ":s3:::" + name }

// bucket finds the bucket that a call is about, in the region that it was signed for. An endpoint of another one
// redirects. A Deny of its policy wins over what the caller's policies allow; the key is that of an object, if the call
// is about one.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingRouting.html
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func (k *request) bucket(action string, name *string, key ...string) (*Bucket, error) {
	for _, a := range k.c.accounts {
		i := slices.IndexFunc(a.buckets, func(b Bucket) bool { return b.Name == aws.ToString(name) })
		if i < 0 {
			continue
		}
		b, on := &a.buckets[i], strings.Join(append([]string{k.c.bucketARN(*name)}, key...), "/")
		if b.Region != k.region {
			return nil, apiError("PermanentRedirect", "The bucket you are attempting to access must be addressed using the specified endpoint. Please send all future requests to this endpoint.")
		}
		let := a == k.account // another account must be let in by the policy, too
		if p, err := parsePolicy(b.Policy, bucketPolicy); err == nil && !k.caller.admin {
			for _, s := range p.Statement {
				q := query{action, on, k.c.keys(k.caller, k.now, on)}
				if in, _ := s.admits(k.caller, k.caller.principalARN(k.now)); !in || !s.covers(q) || !s.holds(q) {
					continue
				} else if s.Effect == "Deny" {
					return nil, k.denied(action, `"`+on+`"`, "with an explicit deny in a resource-based policy")
				}
				let = true
			}
		}
		if !let {
			return nil, forbidden()
		}
		return b, nil
	}
	return nil, apiError("NoSuchBucket", "The specified bucket does not exist")
}

// getBucketLifecycle: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketLifecycleConfiguration.html
func getBucketLifecycle(k *request, in *s3.GetBucketLifecycleConfigurationInput) (*s3.GetBucketLifecycleConfigurationOutput, error) {
	b, err := k.bucket("s3:GetLifecycleConfiguration", in.Bucket)
	switch {
	case err != nil:
		return nil, err
	case len(b.Rules) == 0:
		return nil, apiError("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist")
	}
	return &s3.GetBucketLifecycleConfigurationOutput{Rules: b.Rules}, nil
}

// getBucketPolicy: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetBucketPolicy.html
func getBucketPolicy(k *request, in *s3.GetBucketPolicyInput) (*s3.GetBucketPolicyOutput, error) {
	b, err := k.bucket("s3:GetBucketPolicy", in.Bucket)
	switch {
	case err != nil:
		return nil, err
	case b.Policy == "":
		return nil, apiError("NoSuchBucketPolicy", "The bucket policy does not exist")
	}
	return &s3.GetBucketPolicyOutput{Policy: aws.String(b.Policy)}, nil
}
