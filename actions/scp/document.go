package scp

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/deny"
	"github.com/killswitch-chatops/killswitch/actions/vouch"
)

// The built-in documents, which the configuration can replace.
const (
	freezeSCP       = "freeze"
	controlPlaneSCP = "control-plane"
	protectDataSCP  = "protect-data"
	protectVersions = "protect-versions" // the same, but applications may delete objects
)

var builtinSCPs = []string{freezeSCP, controlPlaneSCP, protectDataSCP, protectVersions}

// dataPlane lists the actions that control-plane allows. All others are denied, so a
// service that is missing here stops and does not stay open.
// A service's prefix may have no wildcard:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_notaction.html
var dataPlane = []string{
	"appconfig:GetLatestConfiguration", "appconfig:StartConfigurationSession",
	"autoscaling:Describe*",
	"bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream",
	"cloudwatch:Describe*", "cloudwatch:Get*", "cloudwatch:List*", "cloudwatch:PutMetricData",
	"dynamodb:BatchGetItem", "dynamodb:BatchWriteItem", "dynamodb:ConditionCheckItem", "dynamodb:DeleteItem", "dynamodb:DescribeStream",
	"dynamodb:DescribeTable", "dynamodb:GetItem", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams",
	"dynamodb:PartiQLDelete", "dynamodb:PartiQLInsert", "dynamodb:PartiQLSelect", "dynamodb:PartiQLUpdate",
	"dynamodb:PutItem", "dynamodb:Query", "dynamodb:Scan", "dynamodb:UpdateItem",
	"ec2:Describe*", "ec2messages:*",
	"ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetAuthorizationToken", "ecr:GetDownloadUrlForLayer",
	"ecs:DiscoverPollEndpoint", "ecs:Poll", "ecs:StartTelemetrySession", "ecs:SubmitAttachmentStateChanges", "ecs:SubmitContainerStateChange", "ecs:SubmitTaskStateChange",
	"eks-auth:AssumeRoleForPodIdentity", "eks:DescribeCluster",
	"elasticache:Connect",
	"elasticfilesystem:ClientMount", "elasticfilesystem:ClientRootAccess", "elasticfilesystem:ClientWrite", "elasticfilesystem:DescribeMountTargets",
	"elasticloadbalancing:Describe*",
	"es:ESHttp*",
	"events:PutEvents",
	"execute-api:Invoke", "execute-api:ManageConnections",
	"firehose:PutRecord", "firehose:PutRecordBatch",
	"kafka-cluster:AlterGroup", "kafka-cluster:Connect", "kafka-cluster:DescribeGroup", "kafka-cluster:DescribeTopic",
	"kafka-cluster:ReadData", "kafka-cluster:WriteData", "kafka-cluster:WriteDataIdempotently",
	"kinesis:DescribeStream", "kinesis:DescribeStreamConsumer", "kinesis:DescribeStreamSummary", "kinesis:GetRecords", "kinesis:GetShardIterator",
	"kinesis:ListShards", "kinesis:PutRecord", "kinesis:PutRecords", "kinesis:SubscribeToShard",
	"kms:Decrypt", "kms:DescribeKey", "kms:Encrypt", "kms:GenerateDataKey*", "kms:GenerateMac", "kms:GenerateRandom", "kms:GetPublicKey",
	"kms:ReEncrypt*", "kms:Sign", "kms:Verify", "kms:VerifyMac",
	"lambda:InvokeFunction", "lambda:InvokeFunctionUrl",
	"logs:CreateLogStream", "logs:DescribeLogGroups", "logs:DescribeLogStreams", "logs:PutLogEvents",
	"rds-data:BatchExecuteStatement", "rds-data:BeginTransaction", "rds-data:CommitTransaction", "rds-data:ExecuteStatement", "rds-data:RollbackTransaction",
	"rds-db:connect",
	"s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetBucketLocation", "s3:GetObject", "s3:GetObjectAttributes", "s3:GetObjectTagging", "s3:GetObjectVersion",
	"s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:ListMultipartUploadParts", "s3:PutObject", "s3:PutObjectTagging",
	"secretsmanager:BatchGetSecretValue", "secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue",
	"servicediscovery:DiscoverInstances",
	"sns:Publish",
	"sqs:ChangeMessageVisibility", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:ReceiveMessage", "sqs:SendMessage",
	"ssm:GetParameter*", "ssm:UpdateInstanceInformation", "ssmmessages:*",
	"states:GetActivityTask", "states:SendTaskFailure", "states:SendTaskHeartbeat", "states:SendTaskSuccess", "states:StartExecution", "states:StartSyncExecution",
	"sts:AssumeRole*", "sts:GetCallerIdentity", "sts:SetSourceIdentity", "sts:TagSession",
	"xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:PutTelemetryRecords", "xray:PutTraceSegments",
}

// Builtin returns the names of the built-in documents.
func Builtin() []string { return slices.Clone(builtinSCPs) }

// BuiltinSCP returns the built-in document of that name for the organization.
func BuiltinSCP(o actions.Org, name string) (document string, ok bool) {
	switch name {
	case freezeSCP:
		return documentSCP(freezeStatement(o, "KillswitchFreeze", nil)), true
	case controlPlaneSCP:
		return documentSCP(freezeStatement(o, "KillswitchControlPlane", dataPlane)), true
	case protectDataSCP, protectVersions:
		return protectSCP(o, name == protectVersions), true
	}
	return "", false
}

// builtinOf returns the name of the built-in document that says the same; "" for none.
func builtinOf(o actions.Org, document string) string {
	i := slices.IndexFunc(builtinSCPs, func(b string) bool { d, _ := BuiltinSCP(o, b); return deny.EqualJSON(document, d) })
	if i < 0 {
		return ""
	}
	return builtinSCPs[i]
}

// TamperPolicy is the name of the policy that protects what is contained: cmd/template prints it.
const TamperPolicy = scpPrefix + "tamper"

// ReservedSCP reports whether a name may be that of a policy of another action, or of the tamper
// protection.
func ReservedSCP(name string) bool {
	policy := scpPrefix + name
	return strings.HasPrefix(name, "revoke-") || strings.HasPrefix(policy, denyPrefix) || strings.HasPrefix(policy, unitPrefix) || policy == TamperPolicy
}

// documentOf returns the document of that name.
func documentOf(o actions.Org, name string) (string, bool) {
	if document, ok := o.SCPs[name]; ok {
		return document, true
	}
	return BuiltinSCP(o, name)
}

// scpNames returns the valid names for scp=.
func scpNames(o actions.Org) []string {
	names := slices.AppendSeq(Builtin(), maps.Keys(o.SCPs))
	slices.Sort(names)
	return slices.Compact(names)
}

// exemptARNs returns the principals that our SCPs exempt, escaped for a policy and with
// any account.
func exemptARNs(o actions.Org) []string {
	arns := []string{actions.RoleARN(o.Partition, "*", "/", o.ResponderRole), actions.RoleARN(o.Partition, "*", "/", o.RestorerRole)}
	if o.ForwarderRole != "" {
		arns = append(arns, actions.RoleARN(o.Partition, "*", "/", o.ForwarderRole))
	}
	for _, p := range o.ProtectedPrincipals {
		parts := strings.SplitN(p, ":", 6)
		parts[len(parts)-1] = actions.Literal(parts[len(parts)-1]) // only the account may be *
		if arn := strings.Join(parts, ":"); !slices.Contains(arns, arn) {
			arns = append(arns, arn)
		}
	}
	return arns
}

// exempted returns the principals of an account that exemptions name, as they are called. Those
// with a wildcard in their name can't be listed.
func exempted(o actions.Org, account string, exemptions []string) []string {
	var patterns []string
	for _, p := range exemptions {
		parts := strings.SplitN(characters(p), ":", 6)
		if len(parts) < 6 || strings.ContainsAny(parts[5], "*?\x04") || !wildcard(parts[1], o.Partition) || !wildcard(parts[2], "iam") {
			continue
		}
		if parts[4] == anyAccount || parts[4] != account && wildcard(parts[4], account) {
			parts[4] = "*"
		}
		patterns = append(patterns, "arn:"+o.Partition+":iam::"+parts[4]+":"+literal(parts[5]))
	}
	return vouch.Exempt(account, patterns)
}

// literal writes as such what [characters] has marked.
var literal = strings.NewReplacer("\x01", "*", "\x02", "?", "\x03", "$").Replace

// statementSCP is a statement of a service control policy that denies.
type statementSCP struct {
	Sid       string `json:",omitempty"`
	Effect    string
	Action    any      `json:",omitempty"` // one, or a list
	NotAction []string `json:",omitempty"`
	Resource  string
	Condition map[string]map[string]any `json:",omitempty"`
}

// denySCP denies all actions except some to all principals except the exempt ones.
func denySCP(o actions.Org, sid string, but []string) statementSCP {
	s := statementSCP{Sid: sid, Effect: "Deny", NotAction: but, Resource: "*",
		Condition: map[string]map[string]any{"ArnNotLike": {"aws:PrincipalArn": exemptARNs(o)}}}
	if but == nil {
		s.Action = "*"
	}
	return s
}

// freezeStatement leaves the sessions of sts:AssumeRoot alone, which come from the management account
// for one task each: so the root user's credentials can be deleted while the account is frozen.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_root-user-privileged-task.html
func freezeStatement(o actions.Org, sid string, but []string) statementSCP {
	s := denySCP(o, sid, but)
	s.Condition["Null"] = map[string]any{"aws:AssumedRoot": "true"}
	return s
}

func documentSCP(statements ...statementSCP) string {
	b, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": statements})
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(b)
}

// revokeSCP denies everything to the account's sessions issued before the cutoff, and `aws login`.
func revokeSCP(o actions.Org, cutoff time.Time) string {
	return revokeSCPBefore(o, cutoff.UTC().Format(deny.TokenIssueTime), true)
}

func revokeSCPBefore(o actions.Org, cutoff string, withLogin bool) string {
	dated, login := denySCP(o, deny.RevokeSid, nil), denySCP(o, "", nil)
	dated.Condition["DateLessThan"] = map[string]any{"aws:TokenIssueTime": cutoff}
	if !withLogin {
		return documentSCP(dated)
	}
	login.Action = deny.LoginActions
	return documentSCP(dated, login)
}

// readRevokeSCP reads a revokeSCP, also one of earlier versions, which did not deny `aws login`. It
// returns zero and false for any other document, also for one with other exemptions.
func readRevokeSCP(o actions.Org, document string) (deny.Revocation, bool) {
	var d struct {
		Statement []struct {
			Condition struct {
				DateLessThan map[string]string
			}
		}
	}
	if _, err := deny.ReadJSON(document); err != nil || json.Unmarshal([]byte(document), &d) != nil || len(d.Statement) == 0 {
		return deny.Revocation{}, false
	}
	r, spelled, err := deny.Revocation{Ours: true, Login: len(d.Statement) > 1}, d.Statement[0].Condition.DateLessThan["aws:TokenIssueTime"], error(nil)
	if r.Cutoff, err = time.Parse(time.RFC3339, spelled); err != nil || !deny.EqualJSON(document, revokeSCPBefore(o, spelled, r.Login)) {
		return deny.Revocation{}, false
	}
	return r, true
}
