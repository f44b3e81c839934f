package trail

import (
	"context"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/sns"
)

// Topic is an SNS topic of the hub's account.
type Topic struct {
	client *sns.Client
	arn    string
}

// NewTopic takes the hub's configuration and the topic's ARN.
func NewTopic(base aws.Config, topic string) (*Topic, error) {
	at, err := arn.Parse(topic)
	if err != nil {
		return nil, err
	}
	return &Topic{sns.NewFromConfig(base, func(o *sns.Options) { o.Region = at.Region }), topic}, nil
}

const (
	maxSubject = 100        // "up to 100 characters", ASCII, no line breaks
	maxNotice  = 256 * 1024 // bytes
)

// Notify publishes a text.
// https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
func (t *Topic) Notify(ctx context.Context, subject, text string) error {
	subject = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, subject)
	if len(subject) > maxSubject {
		subject = subject[:maxSubject]
	}
	if len(text) > maxNotice {
		text = strings.ToValidUTF8(text[:maxNotice], "")
	}
	_, err := t.client.Publish(ctx, &sns.PublishInput{TopicArn: &t.arn, Subject: &subject, Message: &text})
	return err
}

// Subscribers asks how many subscriptions the topic has that somebody has confirmed.
// https://docs.aws.amazon.com/sns/latest/api/API_GetTopicAttributes.html
func (t *Topic) Subscribers(ctx context.Context) (int, error) {
	out, err := t.client.GetTopicAttributes(ctx, &sns.GetTopicAttributesInput{TopicArn: &t.arn})
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(out.Attributes["SubscriptionsConfirmed"])
}
