package instance

import (
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// owners say by an instance's tag what acts on it, and what that will do to one that is isolated.
var owners = []struct{ tag, does string }{
	{"eks:cluster-name", eksDoes}, {"aws:eks:cluster-name", eksDoes},
	{"aws:ecs:clusterName", "It belongs to the ECS cluster %s, which starts its tasks elsewhere, from the same image, and may end the instance."},
	{"aws:elasticmapreduce:job-flow-id", "It belongs to the EMR cluster %s, which replaces a node that does not answer: it terminates it."},
	{"elasticbeanstalk:environment-name", "It belongs to the Elastic Beanstalk environment %s: a rebuild, or a deployment of another version, ends it."},
	{"aws:autoscaling:groupName", "It was launched by the Auto Scaling group %s, which ends an instance that fails its checks, unless it is in Standby or out of the group."},
}

const eksDoes = "It is a node of the EKS cluster %s, which starts its pods elsewhere, from the same image and with the same roles; Karpenter or the node group may end the node: cordon it."

// owners warns of what manages the instance. Tags are a hint alone: others write most of them.
func (i *isolation) owners() {
	i.warn("Systems Manager (Session Manager, Run Command) loses it, since its agent loses network and credentials: do live forensics before, or by the EC2 serial console.")
	if o := i.instance.Operator; o != nil && aws.ToBool(o.Managed) {
		i.warn("%s manages it: AWS may refuse single changes, and the service may replace or end it. What is refused is said at its step.", aws.ToString(o.Principal))
	}
	for _, o := range owners {
		if name := i.before.Tags[o.tag]; name != "" {
			i.plan.Warnings = append(i.plan.Warnings, fmt.Sprintf(o.does, name))
		}
	}
}
