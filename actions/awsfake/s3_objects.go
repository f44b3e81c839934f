package awsfake

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// s3ObjectOperations write into buckets and list what they have.
var s3ObjectOperations = map[string]operation{
	"s3:PutObject": {mutating: true, run: bind(writes, putObject).run, needs: func(k *request, in any) []need {
		needs := onObject("s3:PutObject")(k, in)
		if put, _ := in.(*s3.PutObjectInput); put != nil && put.ObjectLockMode != "" {
			needs = append(needs, onObject("s3:PutObjectRetention")(k, in)...)
		}
		return needs
	}},
	"s3:DeleteObject": {mutating: true, run: bind(writes, deleteObject).run, needs: func(k *request, in any) []need {
		if field(in, "VersionId") != "" {
			return onObject("s3:DeleteObjectVersion")(k, in)
		}
		return onObject("s3:DeleteObject")(k, in)
	}},
	"s3:ListObjectVersions": {run: bind(reads, listObjectVersions).run, needs: onBucket("s3:ListBucketVersions")},
}

func onObject(action string) func(*request, any) []need {
	return func(k *request, in any) []need {
		arn := k.c.bucketARN(field(in, "Bucket")) + "/" + field(in, "Key")
		return []need{{action: action, resource: arn, shown: `"` + arn + `"`}}
	}
}

// objectVersion is a version of an object, or a marker that it was deleted.
type objectVersion struct {
	key, id, body string
	at            time.Time
	marker        bool
	lockedTo      time.Time // compliance mode; zero: it is not locked
}

// Object is a version of an object in a bucket.
type Object struct {
	Key, Body string
	Version   string
	LockedTo  time.Time
}

// Objects are the versions in a bucket, as they came, without markers.
func (c *Cloud) Objects(bucket string) (found []Object) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range c.accounts {
		for _, b := range a.buckets {
			for _, v := range b.versions {
				if b.Name == bucket && !v.marker {
					found = append(found, Object{v.key, v.body, v.id, v.lockedTo})
				}
			}
		}
	}
	return found
}

// forbidden is a 403 that says no more, as S3 answers other accounts and for the wrong owner.
func forbidden() error { return apiError("AccessDenied", "Access Denied") }

// owned is the bucket of a call, if it belongs to the account that the caller expects.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucket-owner-condition.html
func (k *request) owned(action string, name, owner *string, key ...string) (*Bucket, error) {
	b, err := k.bucket(action, name, key...)
	if err == nil && owner != nil && !slices.ContainsFunc(k.c.accounts[*owner].ownBuckets(), func(o Bucket) bool { return o.Name == b.Name }) {
		return nil, forbidden()
	}
	return b, err
}

func (a *Account) ownBuckets() []Bucket {
	if a == nil {
		return nil
	}
	return a.buckets
}

// putObject: https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html. Of conditional writes:
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html; a name whose newest version is
// a marker counts as not there. The messages about locks are those that S3 answers with.
func putObject(k *request, in *s3.PutObjectInput) (*s3.PutObjectOutput, error) {
	b, err := k.owned("s3:PutObject", in.Bucket, in.ExpectedBucketOwner, *in.Key)
	switch {
	case err != nil:
		return nil, err
	case (in.ObjectLockMode == "") != (in.ObjectLockRetainUntilDate == nil):
		return nil, apiError("InvalidArgument", "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied")
	case in.ObjectLockMode != "" && !b.ObjectLock:
		return nil, apiError("InvalidRequest", "Bucket is missing Object Lock Configuration")
	case in.ObjectLockMode != "" && !in.ObjectLockRetainUntilDate.After(k.now):
		return nil, apiError("InvalidArgument", "The retain until date must be in the future!")
	case in.ObjectLockMode != "" && in.ContentMD5 == nil && in.ChecksumAlgorithm == "": // what the SDK adds by itself does not count
		return nil, apiError("InvalidRequest", "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters")
	case in.ObjectLockMode == s3types.ObjectLockModeGovernance:
		return nil, apiError("NotImplemented", "awsfake: governance mode is not modelled")
	case in.IfMatch != nil || aws.ToString(in.IfNoneMatch) != "*" && in.IfNoneMatch != nil:
		return nil, apiError("NotImplemented", "A header you provided implies functionality that is not implemented")
	}
	if newest := b.newest(*in.Key); in.IfNoneMatch != nil && newest != nil && !newest.marker {
		return nil, apiError("PreconditionFailed", "At least one of the pre-conditions you specified did not hold")
	}
	body, err := io.ReadAll(in.Body)
	if err != nil {
		return nil, err
	}
	if !b.ObjectLock { // such a bucket keeps one version of each
		b.versions = slices.DeleteFunc(b.versions, func(v objectVersion) bool { return v.key == *in.Key })
	}
	v := objectVersion{key: *in.Key, id: k.c.mint("", 32), body: string(body), at: k.now, lockedTo: aws.ToTime(in.ObjectLockRetainUntilDate)}
	b.versions = append(b.versions, v)
	return &s3.PutObjectOutput{VersionId: &v.id}, nil
}

func (b *Bucket) newest(key string) *objectVersion {
	for i := range slices.Backward(b.versions) {
		if b.versions[i].key == key {
			return &b.versions[i]
		}
	}
	return nil
}

// deleteObject puts a marker, or removes a version that is not locked.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_DeleteObject.html
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock-managing.html
func deleteObject(k *request, in *s3.DeleteObjectInput) (*s3.DeleteObjectOutput, error) {
	b, err := k.owned("s3:DeleteObject", in.Bucket, in.ExpectedBucketOwner, *in.Key)
	if err != nil {
		return nil, err
	}
	if in.VersionId == nil {
		b.versions = append(b.versions, objectVersion{key: *in.Key, id: k.c.mint("", 32), at: k.now, marker: true})
		return &s3.DeleteObjectOutput{DeleteMarker: aws.Bool(true)}, nil
	}
	i := slices.IndexFunc(b.versions, func(v objectVersion) bool { return v.key == *in.Key && v.id == *in.VersionId })
	switch {
	case i < 0:
	case b.versions[i].lockedTo.After(k.now):
		return nil, apiError("AccessDenied", "Access Denied because object protected by object lock.")
	default:
		b.versions = slices.Delete(b.versions, i, i+1)
	}
	return &s3.DeleteObjectOutput{}, nil
}

// listObjectVersions has pages of at most 1,000, by name and the newest first.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_ListObjectVersions.html
func listObjectVersions(k *request, in *s3.ListObjectVersionsInput) (*s3.ListObjectVersionsOutput, error) {
	b, err := k.owned("s3:ListBucketVersions", in.Bucket, in.ExpectedBucketOwner)
	if err != nil {
		return nil, err
	}
	var all []objectVersion
	for _, v := range slices.Backward(b.versions) {
		if strings.HasPrefix(v.key, aws.ToString(in.Prefix)) {
			all = append(all, v)
		}
	}
	slices.SortStableFunc(all, func(x, y objectVersion) int { return strings.Compare(x.key, y.key) })
	if in.KeyMarker != nil {
		i := slices.IndexFunc(all, func(v objectVersion) bool { return v.key == *in.KeyMarker && v.id == aws.ToString(in.VersionIdMarker) })
		if i < 0 {
			return nil, apiError("InvalidArgument", "Invalid version id specified")
		}
		all = all[i+1:]
	}
	to := min(int(or32(in.MaxKeys, 1000)), 1000, len(all))
	out := &s3.ListObjectVersionsOutput{IsTruncated: aws.Bool(to < len(all))}
	for _, v := range all[:to] {
		if v.marker {
			out.DeleteMarkers = append(out.DeleteMarkers, s3types.DeleteMarkerEntry{Key: &v.key, VersionId: &v.id, LastModified: &v.at})
		} else {
			out.Versions = append(out.Versions, s3types.ObjectVersion{Key: &v.key, VersionId: &v.id, LastModified: &v.at, Size: aws.Int64(int64(len(v.body)))})
		}
	}
	if to > 0 && to < len(all) {
		out.NextKeyMarker, out.NextVersionIdMarker = &all[to-1].key, &all[to-1].id
	}
	return out, nil
}

// HeadsPolicy is the policy of a bucket that takes heads from the hub's executor: locked objects, none twice,
// and nothing else (deploy/README.md).
func (c *Cloud) HeadsPolicy(bucket string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"%s"},"Action":["s3:PutObject","s3:PutObjectRetention"],"Resource":"%s/heads/*"}]}`,
		c.arn("iam", HubAccount, "role/"+HubRole), c.bucketARN(bucket))
}
