package awsfake_test

import (
	"errors"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// TestBucketsAnswerAsS3Does: in their region alone, with the codes and statuses of what is not there; the list has
// their regions only where it has a parameter.
func TestBucketsAnswerAsS3Does(t *testing.T) {
	c := awsfake.New(time.Now)
	c.Account(member).AddBucket(awsfake.Bucket{Name: "bare", Region: "eu-west-1"})
	c.Account(member).AddBucket(awsfake.Bucket{Name: "a"})
	in := func(region string) *s3.Client {
		return s3.NewFromConfig(c.Admin(member), func(o *s3.Options) { o.Region, o.UsePathStyle = region, true })
	}
	policy := func(region, bucket string) error {
		_, err := in(region).GetBucketPolicy(t.Context(), &s3.GetBucketPolicyInput{Bucket: &bucket})
		return err
	}
	_, lifecycle := in("eu-west-1").GetBucketLifecycleConfiguration(t.Context(), &s3.GetBucketLifecycleConfigurationInput{Bucket: aws.String("bare")})
	for _, tt := range []struct {
		err    error
		code   string
		status int
	}{
		{policy("eu-west-1", "bare"), "NoSuchBucketPolicy", 404},
		{lifecycle, "NoSuchLifecycleConfiguration", 404},
		{policy("eu-west-1", "none"), "NoSuchBucket", 404},
		{policy("us-east-1", "bare"), "PermanentRedirect", 301},
	} {
		var api smithy.APIError
		var response *awshttp.ResponseError
		if !errors.As(tt.err, &api) || !errors.As(tt.err, &response) || api.ErrorCode() != tt.code || response.HTTPStatusCode() != tt.status {
			t.Errorf("%v, want %s with %d", tt.err, tt.code, tt.status)
		}
	}
	whole, err := in("us-east-1").ListBuckets(t.Context(), nil)
	if err != nil || len(whole.Buckets) != 2 || whole.Buckets[1].BucketRegion != nil {
		t.Errorf("%+v, %v", whole, err)
	}
	var regions []string
	for p := s3.NewListBucketsPaginator(in("us-east-1"), &s3.ListBucketsInput{MaxBuckets: aws.Int32(1)}); p.HasMorePages(); {
		page, err := p.NextPage(t.Context())
		if err != nil || len(page.Buckets) != 1 {
			t.Fatalf("%+v, %v", page, err)
		}
		regions = append(regions, aws.ToString(page.Buckets[0].BucketRegion))
	}
	if len(regions) != 2 || regions[0] != "us-east-1" || regions[1] != "eu-west-1" {
		t.Errorf("they are in %q", regions)
	}
}
