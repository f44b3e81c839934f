// Package s3 keeps the heads of audit chains in an S3 bucket with object lock: nobody can
// alter or delete them until their day, the account's own administrators neither. The bucket
// is best in another account than the tables.
//
// The executor puts objects and reads none; whoever verifies lists them. All of a head is in
// its object's name, see [audit.Kept], so that a list of all versions is enough.
package s3

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/killswitch-chatops/killswitch/approvals/audit"
)

// Bucket is a bucket of heads.
type Bucket struct {
	client *s3.Client
	name   string
	owner  *string
}

// New names a bucket. An empty region is that of the configuration; owner is the account that
// it must belong to, and may be empty.
func New(cfg aws.Config, name, region, owner string) *Bucket {
	b := &Bucket{name: name, client: s3.NewFromConfig(cfg, func(o *s3.Options) {
		o.UsePathStyle = true // a name with a dot has no certificate of its own
		if region != "" {
			o.Region = region
		}
	})}
	if owner != "" {
		b.owner = &owner
	}
	return b
}

// Keep stores a head, locked to its day. A head that is there already is left as it is.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html
func (b *Bucket) Keep(ctx context.Context, k audit.Kept) error {
	body, err := json.Marshal(struct { // for people: all of it is in the name
		ID string `json:"id"`
		audit.Head
		Until time.Time `json:"until"`
	}{k.ID, k.Head, k.Until})
	if err != nil {
		return err
	}
	sum := sha256.Sum256(body)
	_, err = b.client.PutObject(ctx, &s3.PutObjectInput{Bucket: &b.name, Key: aws.String(k.Name()), Body: bytes.NewReader(body), ContentType: aws.String("application/json"),
		ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])), // a lock takes one
		IfNoneMatch: aws.String("*"), ObjectLockMode: types.ObjectLockModeCompliance, ObjectLockRetainUntilDate: &k.Until, ExpectedBucketOwner: b.owner})
	var api interface{ ErrorCode() string }
	if errors.As(err, &api) && api.ErrorCode() == "PreconditionFailed" {
		return nil
	}
	return err
}

// Heads lists all heads, from the bucket's own list of all versions, in the order of their
// names. strange are the names of objects that are none.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
func (b *Bucket) Heads(ctx context.Context) (heads []audit.Kept, strange []string, err error) {
	found := map[string]*audit.Kept{}
	see := func(name string) *audit.Kept {
		if k := found[name]; k != nil {
			return k
		}
		k, err := audit.ParseKept(name)
		if found[name] = &k; err != nil {
			strange = append(strange, name)
		}
		return &k
	}
	pages := s3.NewListObjectVersionsPaginator(b.client, &s3.ListObjectVersionsInput{Bucket: &b.name, Prefix: aws.String(audit.KeptPrefix), ExpectedBucketOwner: b.owner})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("list the bucket %s: %w", b.name, err)
		}
		for _, v := range page.Versions {
			k, at := see(aws.ToString(v.Key)), aws.ToTime(v.LastModified)
			if k.Again = !k.At.IsZero(); !k.Again || at.Before(k.At) {
				k.At = at
			}
		}
		for _, m := range page.DeleteMarkers {
			see(aws.ToString(m.Key)).Deleted = true
		}
	}
	for _, k := range found {
		if k.ID != "" {
			heads = append(heads, *k)
		}
	}
	slices.SortFunc(heads, func(a, b audit.Kept) int { return strings.Compare(a.Name(), b.Name()) })
	slices.Sort(strange)
	return heads, strange, nil
}
