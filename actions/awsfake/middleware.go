package awsfake

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

type inputKey struct{}

// servicePrefixes are the prefixes in IAM policies of services whose SDK name is another.
var servicePrefixes = map[string]string{"auto scaling": "autoscaling", "elastic load balancing v2": "elasticloadbalancing"}

// install puts the cloud behind one client's stack. The end of Finalize lies
// after signing and within the retry loop, so each attempt comes here
// ("Customizing the AWS SDK for Go v2 Client Requests", SDK Developer Guide).
func (c *Cloud) install(stack *middleware.Stack) error {
	keep := func(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (middleware.InitializeOutput, middleware.Metadata, error) {
		return next.HandleInitialize(middleware.WithStackValue(ctx, inputKey{}, in.Parameters), in)
	}
	return errors.Join(
		stack.Initialize.Add(middleware.InitializeMiddlewareFunc("awsfake:input", keep), middleware.Before),
		stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("awsfake", c.finalize), middleware.After),
	)
}

func (c *Cloud) finalize(ctx context.Context, in middleware.FinalizeInput, _ middleware.FinalizeHandler) (out middleware.FinalizeOutput, meta middleware.Metadata, err error) {
	req, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return out, meta, fmt.Errorf("awsfake: request of type %T", in.Request)
	}
	if err := ctx.Err(); err != nil {
		return out, meta, err
	}
	service := strings.ToLower(awsmiddleware.GetServiceID(ctx))
	if prefix, ok := servicePrefixes[service]; ok {
		service = prefix
	}
	op := service + ":" + awsmiddleware.GetOperationName(ctx)
	id, result, err := c.serve(ctx, op, req, middleware.GetStackValue(ctx, inputKey{}))
	awsmiddleware.SetRequestIDMetadata(&meta, id)
	if err != nil {
		return out, meta, respond(err, id)
	}
	out.Result = result
	return out, meta, nil
}

// An operation is one line of the operations map.
type operation struct {
	mutating bool
	run      func(k *request, in any) (any, error)
	needs    func(k *request, in any) []need // nil: one need, the operation on the resource that its input names
}

// bind makes an operation of a typed handler.
func bind[In, Out any](mutating bool, h func(*request, *In) (*Out, error)) operation {
	return operation{mutating: mutating, run: func(k *request, in any) (any, error) {
		typed, ok := in.(*In)
		if !ok {
			return nil, fmt.Errorf("awsfake: %s: input of type %T", k.op, in)
		}
		out, err := h(k, typed)
		if err != nil {
			return nil, err // not a typed nil
		}
		return out, nil
	}}
}

const (
	reads  = false
	writes = true
)

// Serve adds an operation, "sqs:SetQueueAttributes", that a test models itself: on
// names the resource that it needs the permission of that name on.
func Serve[In, Out any](c *Cloud, op string, mutating bool, on func(*In) string, run func(*In) (*Out, error)) {
	o := bind(mutating, func(_ *request, in *In) (*Out, error) { return run(in) })
	o.needs = func(k *request, in any) []need {
		typed, _ := in.(*In)
		return []need{k.on(on(typed))}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.served[op] = o
}

// operation finds what is modelled, by "service:Operation".
func (c *Cloud) operation(op string) (operation, bool) {
	if o, ok := c.served[op]; ok {
		return o, true
	}
	for _, m := range []map[string]operation{
		stsOperations,
		iamRoleOperations,
		iamPolicyOperations,
		iamBoundaryOperations,
		iamProfileOperations,
		iamDetailOperations,
		iamUserOperations,
		iamUserPolicyOperations,
		iamKeyOperations,
		iamCustomerPolicyOperations,
		organizationsOperations,
		ec2InstanceOperations,
		ec2NetworkOperations,
		autoScalingOperations,
		elbOperations,
		cloudTrailOperations,
		guardDutyOperations,
		snsOperations,
		s3Operations,
		s3ObjectOperations,
		kmsOperations,
	} {
		if o, ok := m[op]; ok {
			return o, true
		}
	}
	return operation{}, false
}

// A request is what a handler works with; the cloud's lock is held.
type request struct {
	c       *Cloud
	op      string
	now     time.Time
	caller  *session
	account *Account // the caller's: IAM calls stay within it
	region  string   // that the request was signed for
}

// A need is one permission that a call takes.
type need struct {
	action, resource string // ARN
	shown            string // as IAM's messages name the resource
	inHandler        bool   // the handler checks it, not authorise
	passed           bool   // the role is passed to EC2
	keys             contextKeys
}

func (c *Cloud) serve(ctx context.Context, op string, req *smithyhttp.Request, in any) (string, any, error) {
	c.mu.Lock()
	k := &request{c: c, op: op, now: c.now()}
	id := strings.ToLower(c.mint("", 32))
	caller, err := c.authenticate(req, k.now)
	if err != nil {
		c.calls = append(c.calls, Call{Phase: After, Time: k.now, Op: op, Err: code(err)})
		c.mu.Unlock()
		return id, nil, err
	}
	k.caller, k.account = caller, caller.account
	k.region = signedRegion(req)
	o, ok := c.operation(op)
	if !ok {
		c.mu.Unlock()
		return id, nil, apiError("NotImplemented", "awsfake: operation %s is not modelled", op)
	}
	if caller.admin {
		defer c.mu.Unlock()
		out, err := o.run(k, in)
		return id, out, err
	}
	needs := k.needs(o, in)
	call := Call{Phase: Before, Time: k.now, Op: op, Account: k.account.id, Region: k.region, Principal: caller.arn, Mutating: o.mutating,
		SessionPolicy: caller.policy, RoleSessionName: caller.name, SourceIdentity: caller.sourceIdentity, Tags: maps.Clone(caller.tags), Input: in}
	for _, n := range needs {
		call.Resources = append(call.Resources, n.resource)
	}
	describe(&call, in)
	hooks := c.hooks
	c.mu.Unlock()

	if err := runHooks(hooks, call); err != nil {
		return id, nil, err
	}
	call.Phase = After

	c.mu.Lock()
	err = c.throttled(op, k.account.id+"/"+k.region, k.now)
	var fault Fault
	if err == nil {
		fault = c.takeFault(op, k.region, call.Resources)
	}
	c.mu.Unlock()
	finish := func(out any, err error) (string, any, error) {
		call.Err = code(err)
		c.mu.Lock()
		c.calls = append(c.calls, call)
		c.mu.Unlock()
		if hookErr := runHooks(hooks, call); hookErr != nil {
			return id, nil, hookErr
		}
		return id, out, err
	}
	if err != nil {
		return finish(nil, err)
	}
	if !fault.After {
		if err := wait(ctx, fault.Delay); err != nil {
			return finish(nil, err)
		}
		if fault.Err != nil {
			return finish(nil, fault.Err)
		}
	}

	c.mu.Lock()
	k.now = c.now() // the delay may have taken a while
	out, err := func() (any, error) {
		if err := k.authorise(needs, in); err != nil {
			return nil, err
		}
		if c.listedFirst && !o.mutating && strings.HasPrefix(op, "iam:") {
			k.now = k.now.Add(c.propagation)
		}
		return o.run(k, in)
	}()
	if c.recording {
		k.record(o, in, out, err)
	}
	call.Allowed, call.Applied = !slices.Contains([]string{"AccessDenied", "AccessDeniedException", "UnauthorizedOperation"}, code(err)), err == nil
	c.mu.Unlock()
	if fault.After {
		if err := wait(ctx, fault.Delay); err != nil {
			return finish(nil, err)
		}
		if fault.Err != nil {
			return finish(nil, fault.Err)
		}
	}
	return finish(out, err)
}

// needs are the permissions that the call takes.
func (k *request) needs(o operation, in any) []need {
	if o.needs != nil {
		return o.needs(k, in)
	}
	return []need{k.need(k.op, in)}
}

// need is the permission for action on the resource that the input names:
// "Actions, resources, and condition keys for AWS IAM" (Service Authorization
// Reference). IAM's denials say "role NAME" rather than the ARN.
func (k *request) need(action string, in any) need {
	if n, ok := k.principalNeed(action, in); ok {
		return n
	}
	a := k.account
	path := or(field(in, "Path"), "/")
	if name := field(in, "RoleName"); name != "" && field(in, "InstanceProfileName") == "" {
		n := need{action: action, resource: k.c.arn("iam", a.id, "role"+path+name), shown: "role " + name}
		if r := a.roles[name].current(); r != nil {
			n.resource = r.ARN
		}
		return n
	}
	if name := field(in, "InstanceProfileName"); name != "" {
		n := need{action: action, resource: k.c.arn("iam", a.id, "instance-profile"+path+name), shown: "instance profile " + name}
		if p := a.profiles[name].current(); p != nil {
			n.resource = p.ARN
		}
		return n
	}
	arn := k.c.arn("iam", a.id, "role"+or(field(in, "PathPrefix"), "/"))
	return need{action: action, resource: arn, shown: arn}
}

// field reads a *string field of an SDK input by its name, "" where there is none.
func field(in any, name string) string {
	v := reflect.Indirect(reflect.ValueOf(in))
	if v.Kind() != reflect.Struct {
		return ""
	}
	f := v.FieldByName(name)
	if !f.IsValid() {
		return ""
	}
	s, _ := reflect.TypeAssert[*string](f)
	return aws.ToString(s)
}

// requestKeys are the condition keys that come from a call's input: iam:PolicyARN ("IAM and AWS STS
// condition context keys", IAM User Guide), aws:RequestTag and aws:TagKeys ("AWS global condition context keys").
func requestKeys(in any, keys contextKeys) {
	if arn := field(in, "PolicyArn"); arn != "" {
		keys.set("iam:PolicyARN", arn)
	}
	if b := field(in, "PermissionsBoundary"); b != "" {
		keys.set("iam:PermissionsBoundary", b)
	}
	v := reflect.Indirect(reflect.ValueOf(in))
	if v.Kind() != reflect.Struct {
		return
	}
	if f := v.FieldByName("Tags"); f.IsValid() && f.Kind() == reflect.Slice { // each service has a type of its own
		for i := range f.Len() {
			t := f.Index(i).Interface()
			keys.set("aws:RequestTag/"+field(t, "Key"), field(t, "Value"))
			keys.add("aws:TagKeys", field(t, "Key"))
		}
	}
	if f := v.FieldByName("TagKeys"); f.IsValid() {
		if tagKeys, ok := reflect.TypeAssert[[]string](f); ok {
			keys.add("aws:TagKeys", tagKeys...)
		}
	}
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
