package instance

import (
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"github.com/killswitch-chatops/killswitch/actions"
)

func ec2Of(a *actions.Account) *ec2.Client { return actions.Client(a, ec2.NewFromConfig) }

func autoScalingOf(a *actions.Account) *autoscaling.Client {
	return actions.Client(a, autoscaling.NewFromConfig)
}

func elbOf(a *actions.Account) *elasticloadbalancingv2.Client {
	return actions.Client(a, elasticloadbalancingv2.NewFromConfig)
}
