package awsfake

import (
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	snstypes "github.com/aws/aws-sdk-go-v2/service/sns/types"
)

var snsOperations = map[string]operation{
	"sns:Publish": {mutating: true, run: bind(writes, publish).run, needs: func(k *request, in any) []need {
		return []need{k.on(field(in, "TopicArn"))}
	}},
	"sns:GetTopicAttributes": {run: bind(reads, topicAttributes).run, needs: func(k *request, in any) []need {
		return []need{k.on(field(in, "TopicArn"))}
	}},
}

// A Notice is what was published to a topic.
type Notice struct{ Topic, Subject, Message string }

// AddTopic makes a topic in the hub's account, to which somebody has subscribed, and returns its ARN.
func (c *Cloud) AddTopic(name string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	arn := fmt.Sprintf("arn:%s:sns:%s:%s:%s", c.partition, c.Region(), HubAccount, name)
	c.topics[arn] = 1
	return arn
}

// Subscribe sets how many have subscribed to a topic.
func (c *Cloud) Subscribe(topic string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.topics[topic] = n
}

// topicAttributes: https://docs.aws.amazon.com/sns/latest/api/API_GetTopicAttributes.html
func topicAttributes(k *request, in *sns.GetTopicAttributesInput) (*sns.GetTopicAttributesOutput, error) {
	topic := aws.ToString(in.TopicArn)
	subscribers, known := k.c.topics[topic]
	if !known {
		return nil, &snstypes.NotFoundException{Message: aws.String("Topic does not exist")}
	}
	return &sns.GetTopicAttributesOutput{Attributes: map[string]string{"TopicArn": topic, "SubscriptionsConfirmed": strconv.Itoa(subscribers)}}, nil
}

// Notices are what was published, oldest first.
func (c *Cloud) Notices() []Notice {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Notice(nil), c.notices...)
}

// publish: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html
func publish(k *request, in *sns.PublishInput) (*sns.PublishOutput, error) {
	topic, subject, message := aws.ToString(in.TopicArn), aws.ToString(in.Subject), aws.ToString(in.Message)
	if _, known := k.c.topics[topic]; !known {
		return nil, &snstypes.NotFoundException{Message: aws.String("Topic does not exist")}
	}
	// "must be ASCII text …, must not include line breaks or control characters; and must be less than 100 characters long"
	for _, r := range subject {
		if r < ' ' || r > '~' {
			return nil, &snstypes.InvalidParameterException{Message: aws.String("Invalid parameter: Subject")}
		}
	}
	if len(subject) > 100 || message == "" || len(message) > 256<<10 {
		return nil, &snstypes.InvalidParameterException{Message: aws.String("Invalid parameter")}
	}
	k.c.notices = append(k.c.notices, Notice{topic, subject, message})
	return &sns.PublishOutput{MessageId: aws.String(k.c.mint("", 32))}, nil
}
