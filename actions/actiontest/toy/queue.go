package toy

import (
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// Queue is the one queue of an AWS in memory.
type Queue struct {
	mu     sync.Mutex
	policy string
	writes int
}

// NewQueue makes a queue with a policy.
func NewQueue(c *awsfake.Cloud, arn, policy string) *Queue {
	q := &Queue{policy: policy}
	awsfake.Serve(c, "sqs:GetQueueAttributes", false, func(*sqs.GetQueueAttributesInput) string { return arn },
		func(*sqs.GetQueueAttributesInput) (*sqs.GetQueueAttributesOutput, error) {
			return &sqs.GetQueueAttributesOutput{Attributes: map[string]string{"Policy": q.Policy()}}, nil
		})
	awsfake.Serve(c, "sqs:SetQueueAttributes", true, func(*sqs.SetQueueAttributesInput) string { return arn },
		func(in *sqs.SetQueueAttributesInput) (*sqs.SetQueueAttributesOutput, error) {
			q.Set(in.Attributes["Policy"])
			return &sqs.SetQueueAttributesOutput{}, nil
		})
	return q
}

// Policy is the queue's policy.
func (q *Queue) Policy() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.policy
}

// Set replaces the policy.
func (q *Queue) Set(policy string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.policy, q.writes = policy, q.writes+1
}

// Writes counts how often the policy was replaced.
func (q *Queue) Writes() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.writes
}
