package actions

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go/middleware"
)

const (
	// watchName stands for request and person in the sessions of looks, which requests share.
	watchName = "killswitch-watch"
	// watchLife is the longest session of a role that another role assumes.
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_roles.html#iam-term-role-chaining
	watchLife = time.Hour
	watchLeft = 5 * time.Minute // of that life, when a look has the role assumed again
)

// watchSessions are the sessions of looks, by member role and session policy.
type watchSessions struct {
	mu    sync.Mutex
	byKey map[string]*session
}

// Watch enters the account where a call is carried out, to look at what is in force there.
// All looks of a process at an account share one session, in which what any action reads is
// permitted and nothing else, until shortly before its end. What fails is not kept. The
// Account is for one look: it asks AWS nothing twice. Errors are those of [Cloud.Enter].
func (c *Cloud) Watch(ctx context.Context, a Action, call Call) (*Account, error) {
	one := ScopeOf(a, c.org, call, nil)
	acct, err := c.watch(ctx, a, one)
	if t := one.Target(); err == nil && t.Account != one.Account {
		acct.enterTarget = func(ctx context.Context) (*Account, error) { return c.watch(ctx, a, t) }
	}
	return acct, err
}

var watcher = SessionContext{RequestID: watchName, Requester: watchName}

// watch is Watch in the account of a scope.
func (c *Cloud) watch(ctx context.Context, a Action, one Scope) (*Account, error) {
	if err := c.checkMember(ctx, one.Account, watcher); err != nil {
		return nil, err
	}
	tries := widths(a, PhasePlan, one)
	if permits := SharedReads(c.org, one.Account); Fits(permits) {
		tries = append([][]Statement{permits}, tries...)
	}
	for _, p := range slices.Concat(tries...) {
		if i := slices.IndexFunc(p.Actions, writes); i >= 0 {
			return nil, fmt.Errorf("a session that looks must not have %s", p.Actions[i])
		}
	}
	s, err := c.open(ctx, Responder, one.Account, watcher, int32(watchLife/time.Second), tries, func(in *sts.AssumeRoleInput) *session { return c.watching.session(c, in) })
	if err != nil {
		return nil, err
	}
	acct := c.account(s, one.Account, one.Region)
	acct.leave = s.leave
	answers := &answers{}
	acct.answers = answers
	acct.cfg.APIOptions = append(slices.Clip(acct.cfg.APIOptions), func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("answers", answers.handle), middleware.After)
	})
	return acct, nil
}

// Leave makes the next look at the account assume the role again: this session could not read,
// maybe since the role was made anew.
func (a *Account) Leave() {
	if a.leave != nil {
		a.leave()
	}
	if a.target != nil {
		a.target.Leave()
	}
}

// SharedReads are what any action reads in an account, for one session. On what of the organization, the
// role's own policy says, for want of space.
func SharedReads(o Org, account string) []Statement {
	var permits []Statement
	for _, a := range o.Actions {
		for _, s := range a.Spec().Permits(PhasePlan, Scope{Org: o, Account: account, Region: "*"}) {
			if slices.ContainsFunc(s.Actions, func(act string) bool { return strings.HasPrefix(act, "organizations:") }) {
				s.Resources = []string{"*"}
			}
			permits = append(permits, s)
		}
	}
	return Merge(permits, account == o.OrganizationsAccount())
}

// AskAgain makes a look ask AWS again for what it has asked before.
func (a *Account) AskAgain() {
	a.answers.known.Clear()
	a.target = nil
}

// writes reports whether a permission is for more than reading.
func writes(action string) bool {
	_, op, _ := strings.Cut(action, ":")
	return !slices.ContainsFunc([]string{"Get", "List", "Describe", "Lookup"}, func(verb string) bool { return strings.HasPrefix(op, verb) })
}

// session returns the session that was assumed like this and has not ended, or a new one.
func (w *watchSessions) session(c *Cloud, in *sts.AssumeRoleInput) *session {
	w.mu.Lock()
	defer w.mu.Unlock()
	now := c.now()
	for key, s := range w.byKey {
		if s.over(now) {
			delete(w.byKey, key)
		}
	}
	key := *in.RoleArn + " " + *in.Policy
	s, ok := w.byKey[key]
	if !ok {
		s = &session{cloud: c, in: in, renewAfter: watchLife - watchLeft}
		w.byKey[key] = s
	}
	return s
}

// answers are what AWS has answered in one look, by region and input.
type answers struct{ known sync.Map }

// handle answers a call that was made before with a copy of that answer. Pages of the role
// list, which are large, are kept by [roleList] alone.
func (a *answers) handle(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
	middleware.InitializeOutput, middleware.Metadata, error) {
	input, err := json.Marshal(in.Parameters)
	if _, page := in.Parameters.(*iam.GetAccountAuthorizationDetailsInput); page || err != nil {
		return next.HandleInitialize(ctx, in)
	}
	key := fmt.Sprintf("%T %s %s", in.Parameters, awsmiddleware.GetRegion(ctx), input)
	if known, ok := a.known.Load(key); ok {
		return middleware.InitializeOutput{Result: shallow(known)}, middleware.Metadata{}, nil
	}
	out, meta, err := next.HandleInitialize(ctx, in)
	if err == nil {
		a.known.Store(key, shallow(out.Result))
	}
	return out, meta, err
}

// shallow copies an output: the SDK writes metadata into it.
func shallow(output any) any {
	v := reflect.New(reflect.TypeOf(output).Elem())
	v.Elem().Set(reflect.ValueOf(output).Elem())
	return v.Interface()
}
