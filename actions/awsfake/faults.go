package awsfake

import (
	"slices"
	"strings"
	"time"
)

// A Fault makes matching calls fail or wait.
type Fault struct {
	// Op is a glob of the operation, "iam:PutRolePolicy" or "iam:*", in any case.
	Op string
	// Resource is a glob that one of the call's resource ARNs must match; empty matches all.
	Resource string
	// Region is the one that the call was signed for; empty matches all.
	Region string
	// Err is returned; nil only delays. API errors get the HTTP status of their
	// code, so that the SDK retries those that it would retry.
	Err error
	// Times is how many calls it hits, 0 all of them.
	Times int
	// After lets the call have its effect first: the response was lost.
	After bool
	// Delay waits before the effect, or with After between effect and error.
	Delay time.Duration
}

// Fault arms f. Of several that match, the one armed first is used.
func (c *Cloud) Fault(f Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults = append(c.faults, &f)
}

// ClearFaults disarms all faults and lifts all throttles.
func (c *Cloud) ClearFaults() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.faults, c.throttles = nil, nil
}

func (c *Cloud) takeFault(op, region string, resources []string) Fault {
	for i, f := range c.faults {
		if !globFold(f.Op, op) || f.Region != "" && f.Region != region {
			continue
		}
		if f.Resource != "" && !slices.ContainsFunc(resources, func(r string) bool { return glob(f.Resource, r) }) {
			continue
		}
		hit := *f
		if f.Times > 0 {
			if f.Times--; f.Times == 0 {
				c.faults = slices.Delete(c.faults, i, i+1)
			}
		}
		return hit
	}
	return Fault{}
}

// throttle is a token bucket for each account and region, as AWS counts requests;
// those of IAM are all signed for one region ("Request throttling for the Amazon
// EC2 API" describes the algorithm; IAM publishes no numbers).
type throttle struct {
	op        string
	perSecond float64
	burst     float64
	buckets   map[string]*bucket
}

type bucket struct {
	tokens float64
	filled time.Time
}

// Throttle limits the operations that match the glob op, all in one bucket for
// each account and region. A call over the limit gets "Throttling: Rate exceeded" with
// status 400, which the SDK's standard retryer retries.
func (c *Cloud) Throttle(op string, perSecond float64, burst int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.throttles = append(c.throttles, &throttle{op: op, perSecond: perSecond, burst: float64(burst), buckets: map[string]*bucket{}})
}

func (c *Cloud) throttled(op, where string, now time.Time) error {
	for _, t := range c.throttles {
		if !globFold(t.op, op) {
			continue
		}
		b, ok := t.buckets[where]
		if !ok {
			b = &bucket{tokens: t.burst, filled: now}
			t.buckets[where] = b
		}
		if d := now.Sub(b.filled); d > 0 {
			b.tokens = min(t.burst, b.tokens+d.Seconds()*t.perSecond)
			b.filled = now
		}
		if b.tokens < 1 && strings.HasPrefix(op, "ec2:") {
			// https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
			return apiError("RequestLimitExceeded", "Request limit exceeded.")
		}
		if b.tokens < 1 && strings.HasPrefix(op, "cloudtrail:") { // "Common errors" of the CloudTrail API Reference
			return apiError("ThrottlingException", "Rate exceeded")
		}
		if b.tokens < 1 {
			return apiError("Throttling", "Rate exceeded")
		}
		b.tokens--
	}
	return nil
}

// A Phase tells an OnCall hook where a call stands.
type Phase string

// The phases.
const (
	Before Phase = "before" // nothing has happened yet
	After  Phase = "after"  // the effect, if any, has happened
)

// A Call is one attempt that reached the cloud: the SDK's retries are calls of their own.
type Call struct {
	Phase           Phase
	Time            time.Time
	Op              string // "iam:GetRole"
	Account         string
	Region          string // that the call was signed for
	Principal       string // ARN of the caller's session
	Resources       []string
	Mutating        bool
	Allowed         bool   // authorisation passed
	Applied         bool   // the operation ran without error, whatever the caller was told
	Err             string // code of the error that the caller got
	SessionPolicy   string // of the caller's session; for AssumeRole, of the session asked for
	RoleSessionName string // likewise
	SourceIdentity  string // likewise
	Tags            map[string]string
	Input           any // the SDK's
}

// OnCall adds a hook that runs before and after each call (see Call.Phase),
// outside the cloud's lock. Its error ends the call and reaches the SDK as one
// that isn't retried: in Before nothing has happened and nothing is logged, in
// After the effect has. So a test kills a process at any point.
func (c *Cloud) OnCall(hook func(Call) error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hooks = append(c.hooks, hook)
}

// An abort is a hook's error; the SDK asks RetryableError first.
type abort struct{ error }

func (a abort) Unwrap() error      { return a.error }
func (abort) RetryableError() bool { return false }

func runHooks(hooks []func(Call) error, call Call) error {
	for _, h := range hooks {
		if err := h(call); err != nil {
			return abort{err}
		}
	}
	return nil
}

// Calls is the log, oldest first.
func (c *Cloud) Calls() []Call {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.calls)
}

// ResetCalls empties the log.
func (c *Cloud) ResetCalls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.calls = nil
}

// Mutations counts the logged calls that changed something, including those
// whose response was lost.
func (c *Cloud) Mutations() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, call := range c.calls {
		if call.Mutating && call.Applied {
			n++
		}
	}
	return n
}
