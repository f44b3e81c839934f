package s3_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals/audit"
	"github.com/killswitch-chatops/killswitch/approvals/s3"
)

const vault, bucket = "777777777777", "killswitch-audit-heads"

// newVault is a cloud with a bucket of heads in an account of its own.
func newVault(now func() time.Time, alter ...func(*awsfake.Bucket)) *awsfake.Cloud {
	c := awsfake.New(now)
	b := awsfake.Bucket{Name: bucket, Region: "eu-west-1", ObjectLock: true, Policy: c.HeadsPolicy(bucket)}
	for _, f := range alter {
		f(&b)
	}
	c.Account(vault).AddBucket(b)
	return c
}

func head(id string, seq int) audit.Kept {
	return audit.Kept{ID: id, Head: audit.Head{Seq: seq, Hash: fmt.Sprintf("%064x", seq)}, Until: time.Date(2030, 1, 2, 0, 0, 0, 0, time.UTC)}
}

// TestHeadsAreKeptAndListed: locked in compliance mode to their day, once however often they come, and listed
// with the time at which the bucket took them, over all pages.
func TestHeadsAreKeptAndListed(t *testing.T) {
	now := time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)
	c := newVault(func() time.Time { return now })
	writer := s3.New(c.Config(), bucket, "eu-west-1", vault)
	reader := s3.New(c.Admin(vault), bucket, "eu-west-1", "")
	var want []audit.Kept
	for i := range 1100 {
		k := head("KS-4G7QX2M9ZT0B", i+1)
		for range 2 {
			if err := writer.Keep(t.Context(), k); err != nil {
				t.Fatal(err)
			}
		}
		k.At = now
		want = append(want, k)
		now = now.Add(time.Second)
	}
	got, strange, err := reader.Heads(t.Context())
	if d := cmp.Diff(want, got); d != "" || err != nil || len(strange) > 0 {
		t.Fatalf("%v, strange %q, heads (-want +got):\n%s", err, strange, d)
	}
	first := c.Objects(bucket)[0]
	if !first.LockedTo.Equal(want[0].Until) || !strings.Contains(first.Body, want[0].ID) || first.Key != want[0].Name() {
		t.Errorf("the object: %+v", first)
	}
	admin := awss3.NewFromConfig(c.Admin(vault), func(o *awss3.Options) { o.Region, o.UsePathStyle = "eu-west-1", true })
	_, err = admin.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &first.Key, VersionId: &first.Version})
	if err == nil {
		t.Error("a locked version was deleted")
	}
}

// TestHeadsThatWereTamperedWith: a marker, a second version and a name that is none are told.
func TestHeadsThatWereTamperedWith(t *testing.T) {
	now := time.Date(2026, 11, 28, 3, 0, 0, 0, time.UTC)
	c := newVault(func() time.Time { return now })
	b := s3.New(c.Config(), bucket, "eu-west-1", "")
	deleted, again, good := head("KS-4G7QX2M9ZT0B", 1), head("KS-4G7QX2M9ZT0B", 2), head("KS-4G7QX2M9ZT0B", 3)
	for _, k := range []audit.Kept{deleted, again, good} {
		if err := b.Keep(t.Context(), k); err != nil {
			t.Fatal(err)
		}
	}
	taken := now
	now = now.Add(time.Hour)
	admin := awss3.NewFromConfig(c.Admin(vault), func(o *awss3.Options) { o.Region, o.UsePathStyle = "eu-west-1", true })
	for _, name := range []string{deleted.Name()} {
		if _, err := admin.DeleteObject(t.Context(), &awss3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &name}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{again.Name(), "heads/README"} {
		if _, err := admin.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: &name, Body: strings.NewReader("x")}); err != nil {
			t.Fatal(err)
		}
	}
	got, strange, err := s3.New(c.Admin(vault), bucket, "eu-west-1", vault).Heads(t.Context())
	deleted.At, again.At, good.At = taken, taken, taken
	deleted.Deleted, again.Again = true, true
	if d := cmp.Diff([]audit.Kept{deleted, again, good}, got); d != "" || err != nil || len(strange) != 1 || strange[0] != "heads/README" {
		t.Errorf("%v, strange %q, heads (-want +got):\n%s", err, strange, d)
	}
}

// TestBucketThatTakesNoHeads: each way is an error with its code, and nothing is stored.
func TestBucketThatTakesNoHeads(t *testing.T) {
	for name, c := range map[string]struct {
		alter         func(*awsfake.Bucket)
		region, owner string
		code          string
	}{
		"it has no object lock":         {func(b *awsfake.Bucket) { b.ObjectLock = false }, "eu-west-1", "", "InvalidRequest"},
		"its policy does not let us in": {func(b *awsfake.Bucket) { b.Policy = "" }, "eu-west-1", "", "AccessDenied"},
		"it is another account's":       {nil, "eu-west-1", "888888888888", "AccessDenied"},
		"it is in another region":       {nil, "us-east-1", "", "PermanentRedirect"},
		"it is not there":               {func(b *awsfake.Bucket) { b.Name = "other" }, "eu-west-1", "", "NoSuchBucket"},
	} {
		alter := c.alter
		if alter == nil {
			alter = func(*awsfake.Bucket) {}
		}
		cloud := newVault(time.Now, alter)
		err := s3.New(cloud.Config(), bucket, c.region, c.owner).Keep(t.Context(), head("KS-4G7QX2M9ZT0B", 1))
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != c.code || len(cloud.Objects(bucket)) > 0 {
			t.Errorf("%s: %v, want %s", name, err, c.code)
		}
	}
	cloud := newVault(time.Now)
	client := awss3.NewFromConfig(cloud.Config(), func(o *awss3.Options) { o.Region, o.UsePathStyle = "eu-west-1", true })
	for name, in := range map[string]awss3.PutObjectInput{
		"a day that is over": {ObjectLockMode: types.ObjectLockModeCompliance, ObjectLockRetainUntilDate: aws.Time(time.Now().Add(-time.Hour))},
		"no day":             {ObjectLockMode: types.ObjectLockModeCompliance},
		"no checksum":        {ObjectLockMode: types.ObjectLockModeCompliance, ObjectLockRetainUntilDate: aws.Time(time.Now().Add(time.Hour))},
	} {
		in.Bucket, in.Key, in.Body = aws.String(bucket), aws.String("heads/x"), strings.NewReader("x")
		var api smithy.APIError
		if _, err := client.PutObject(t.Context(), &in); !errors.As(err, &api) || !strings.HasPrefix(api.ErrorCode(), "Invalid") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
