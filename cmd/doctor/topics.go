package doctor

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	buckets "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	subscriptions "github.com/aws/aws-sdk-go-v2/service/sns/types"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

// topics looks whether somebody hears the topics, and at the bucket of heads.
func (d *Doctor) topics(ctx context.Context, r *report) {
	if d.Config.PagerTopic != "" {
		d.topic(ctx, r, "notify.pager", d.Config.PagerTopic, "notify.pager_topic_arn")
	}
	if d.Config.SNSTopic != "" {
		d.topic(ctx, r, "notify.topic", d.Config.SNSTopic, "notify.sns_topic_arn")
	}
	d.bucket(ctx, r)
}

// hears looks whether CloudWatch may tell a topic.
func (d *Doctor) hears(ctx context.Context, r *report, arn string) {
	out, err := sns.NewFromConfig(d.Hub).GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &arn})
	if err != nil {
		return // that it can't be looked at is told
	}
	switch policy := out.Attributes["Policy"]; {
	case strings.HasSuffix(out.Attributes["KmsMasterKeyId"], "alias/aws/sns"):
		r.bad("hub.alarm_topic", "aws sns set-topic-attributes --topic-arn "+arn+" --attribute-name KmsMasterKeyId --attribute-value KEY, a key of your own that cloudwatch.amazonaws.com may use, or none", "%s is encrypted with alias/aws/sns, by which CloudWatch can't tell it anything", arn)
	case policy != "" && !slices.ContainsFunc([]string{"cloudwatch.amazonaws.com", "AWS:SourceOwner", "AWS:SourceAccount", "aws:SourceOwner", "aws:SourceAccount", d.Config.Org.HubAccount + ":root"}, func(s string) bool { return strings.Contains(policy, s) }):
		r.bad("hub.alarm_topic", "allow cloudwatch.amazonaws.com sns:Publish in the topic's policy", "the policy of %s lets CloudWatch tell it nothing", arn)
	}
}

func (d *Doctor) topic(ctx context.Context, r *report, check, arn, key string) {
	region := d.Hub.Region
	if parts := strings.Split(arn, ":"); len(parts) == 6 {
		region = parts[3]
	}
	subscribed, err := actions.List(ctx, sns.NewListSubscriptionsByTopicPaginator(sns.NewFromConfig(in(d.Hub, region)), &sns.ListSubscriptionsByTopicInput{TopicArn: &arn}),
		func(p *sns.ListSubscriptionsByTopicOutput) []subscriptions.Subscription { return p.Subscriptions }, func(s subscriptions.Subscription) string { return aws.ToString(s.SubscriptionArn) })
	confirmed := slices.DeleteFunc(slices.Clone(subscribed), func(arn string) bool { return !strings.HasPrefix(arn, "arn:") }) // PendingConfirmation
	switch {
	case isCode(err, "NotFound", "NotFoundException"):
		r.bad(check, "make it, or correct "+key, "there is no topic %s: nobody is called", arn)
	case err != nil:
		r.bad(check, "allow yourself sns:ListSubscriptionsByTopic on it, or correct "+key, "%s can't be looked at: %s", arn, said(err))
	case len(confirmed) == 0:
		r.bad(check, "aws sns subscribe --region "+region+" --topic-arn "+arn+" --protocol https --notification-endpoint URL, and confirm it", "nobody is subscribed to %s (%d have not confirmed)", arn, len(subscribed))
	default:
		r.ok(check, "%d subscribed to %s", len(confirmed), arn)
	}
}

// bucket looks whether what is put into it can be taken away.
func (d *Doctor) bucket(ctx context.Context, r *report) {
	b := d.Config.AuditBucket
	if b.Name == "" {
		return
	}
	region := b.Region
	if region == "" {
		region = d.Hub.Region
	}
	const mend = "deploy/README.md#the-bucket-of-heads; object lock is given to a bucket when it is made"
	out, err := s3.NewFromConfig(in(d.Hub, region), func(o *s3.Options) { o.UsePathStyle = o.BaseEndpoint != nil }).GetObjectLockConfiguration(ctx, &s3.GetObjectLockConfigurationInput{Bucket: &b.Name})
	switch {
	case err != nil:
		r.bad("audit.bucket", mend+"; allow yourself s3:GetBucketObjectLockConfiguration", "whether %s is locked can't be read: %s", b.Name, said(err))
	case out.ObjectLockConfiguration == nil || out.ObjectLockConfiguration.ObjectLockEnabled != buckets.ObjectLockEnabledEnabled:
		r.bad("audit.bucket", mend, "%s has no object lock: who administers it can rewrite the record", b.Name)
	case out.ObjectLockConfiguration.Rule == nil || out.ObjectLockConfiguration.Rule.DefaultRetention == nil || out.ObjectLockConfiguration.Rule.DefaultRetention.Mode != buckets.ObjectLockRetentionModeCompliance:
		r.bad("audit.bucket", mend, "%s has no default retention in compliance mode", b.Name)
	default:
		r.ok("audit.bucket", "%s is locked", b.Name)
	}
}

// guard looks whether the support plan has Trusted Advisor's exposed keys, where alerts of it are wanted.
func (d *Doctor) guard(ctx context.Context, r *report) {
	if !slices.ContainsFunc(d.Config.Alerts.Routes, func(route finding.Route) bool { return route.Match.Source == "trustedadvisor" }) {
		return
	}
	code, err := d.support(ctx)
	switch {
	case err != nil:
		r.bad("support.plan", "see https://status.aws.amazon.com, and look again", "AWS Support does not answer: %s", said(err))
	case strings.Contains(code, "SubscriptionRequiredException"):
		r.bad("support.plan", "take Business Support+ or more for the accounts, or remove the route: AWS Health tells of exposed keys without", "the support plan has no Trusted Advisor: a route waits for alerts that never come")
	case code != "":
		r.bad("support.plan", "allow yourself support:DescribeTrustedAdvisorChecks", "the support plan can't be read: %s", code)
	default:
		r.ok("support.plan", "it has Trusted Advisor")
	}
}

// support calls DescribeTrustedAdvisorChecks and returns the code of its refusal; the SDK's client of AWS Support could not be had.
// https://docs.aws.amazon.com/awssupport/latest/APIReference/API_DescribeTrustedAdvisorChecks.html
func (d *Doctor) support(ctx context.Context) (refused string, err error) {
	url := "https://support." + d.global() + ".amazonaws.com/"
	if d.Hub.BaseEndpoint != nil {
		url = *d.Hub.BaseEndpoint
	}
	body := []byte(`{"language":"en"}`)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-amz-json-1.1")
	req.Header.Set("X-Amz-Target", "AWSSupport_20130415.DescribeTrustedAdvisorChecks")
	creds, err := d.Hub.Credentials.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(body)
	if err := v4.NewSigner().SignHTTP(ctx, creds, req, hex.EncodeToString(sum[:]), "support", d.global(), d.Now()); err != nil {
		return "", err
	}
	resp, err := d.HTTP.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode == http.StatusOK {
		return "", nil
	}
	var answer struct {
		Type string `json:"__type"`
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	if err != nil {
		return "", err
	}
	_ = json.Unmarshal(b, &answer) // else the status is all there is
	return cmp.Or(resp.Header.Get("X-Amzn-Errortype"), answer.Type, resp.Status), nil
}
