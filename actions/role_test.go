package actions_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// What the tests of the actions on a whole role share.

const denyAllName = "KillswitchDenyAll"

// adminPolicy is AdministratorAccess in the world's partition.
func (w *world) adminPolicy() string {
	return "arn:" + w.org.Partition + ":iam::aws:policy/AdministratorAccess"
}

// ask makes the world about another action on the victim.
func (w *world) ask(name actions.Name, options map[string]string) *world {
	w.t.Helper()
	w.do(actions.Call{Action: name, Target: w.role, Account: member, Options: options}, w.role)
	return w
}

// taken is a ledger entry.
type taken struct {
	step   actions.Step
	effect actions.Effect
	err    error
}

// contain plans and takes the steps as the executor does: what is for later is
// tried again after the others.
func (w *world) contain() []taken {
	w.t.Helper()
	return w.take(w.plan().Steps)
}

func (w *world) take(steps []actions.Step) []taken {
	w.t.Helper()
	w.resources = nil
	var all []taken
	for _, s := range steps {
		all = append(all, taken{step: s})
		if !slices.Contains(w.resources, s.Resource) {
			w.resources = append(w.resources, s.Resource)
		}
	}
	acct, run := w.responder(), w.run()
	for round := range 3 {
		for i := range all {
			if round == 0 || actions.Later(all[i].err) {
				all[i].effect, all[i].err = w.act.Apply(w.t.Context(), acct, all[i].step, run)
			}
		}
	}
	return all
}

// clean fails unless every step was taken.
func clean(t *testing.T, all []taken) {
	t.Helper()
	for _, d := range all {
		if d.err != nil {
			t.Fatalf("Apply %s: %v", d.step.ID, d.err)
		}
	}
}

// back takes the steps back in the executor's order: the last first, denies last.
func (w *world) back(all []taken) map[string]actions.Reading {
	w.t.Helper()
	order := slices.Clone(all)
	slices.Reverse(order)
	slices.SortStableFunc(order, func(a, b taken) int {
		if a.step.Deny == b.step.Deny {
			return 0
		}
		if b.step.Deny {
			return -1
		}
		return 1
	})
	acct, read := w.restorer(), map[string]actions.Reading{}
	for round := range 3 {
		for i, d := range order {
			if round > 0 && !actions.Later(d.err) {
				continue
			}
			read[d.step.ID], order[i].err = w.act.Revert(w.t.Context(), acct, d.step, d.effect)
		}
	}
	for _, d := range order {
		if d.err != nil {
			w.t.Errorf("Revert %s: %v", d.step.ID, d.err)
		}
	}
	return read
}

func (w *world) attach(arn string) {
	w.t.Helper()
	_, err := w.admin().AttachRolePolicy(w.t.Context(), &iam.AttachRolePolicyInput{RoleName: aws.String("victim"), PolicyArn: &arn})
	must(w.t, err)
}

func (w *world) putNamed(name, document string) {
	w.t.Helper()
	_, err := w.admin().PutRolePolicy(w.t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("victim"), PolicyName: &name, PolicyDocument: &document})
	must(w.t, err)
}

// recreate puts another role of the same name and path there.
func (w *world) recreate(alter ...func(*awsfake.Role)) {
	theirs := strings.ReplaceAll(handwritten, "reports", "somebody-else")
	r := awsfake.Role{Name: "victim", Path: "/app/", Tags: map[string]string{tag: "somebody-else"}, Inline: map[string]string{revoke: theirs, denyAllName: theirs}}
	for _, f := range alter {
		f(&r)
	}
	w.Account(member).AddRole(r)
}

// roleScene is the contract's view of a world about a whole role.
func roleScene(w *world) actiontest.Scene {
	s := scene(w)
	before := w.victim()
	s.Tamper = func() { // as it was, and a new policy of the name of ours
		client, ctx, name := w.admin(), w.t.Context(), aws.String("victim")
		for _, arn := range before.Attached {
			w.attach(arn)
		}
		for policy, doc := range before.Inline {
			w.putNamed(policy, doc)
		}
		if _, was := before.Inline[denyAllName]; !was {
			_, err := client.DeleteRolePolicy(ctx, &iam.DeleteRolePolicyInput{RoleName: name, PolicyName: aws.String(denyAllName)})
			must(w.t, err)
		}
		if value, was := before.Tags[tag]; was {
			_, err := client.TagRole(ctx, &iam.TagRoleInput{RoleName: name, Tags: []types.Tag{{Key: aws.String(tag), Value: &value}}})
			must(w.t, err)
		} else {
			w.untag()
		}
	}
	s.Replace = func() { w.recreate() }
	calls := s.Calls
	s.Calls = func() []string {
		var took []string
		for _, op := range calls() {
			if took = append(took, op); op == "iam:AddRoleToInstanceProfile" {
				took = append(took, "iam:PassRole") // a permission that no call is named after
			}
		}
		return took
	}
	return s
}

func eachPartition(t *testing.T, do func(t *testing.T, partition string, delay time.Duration)) {
	for _, partition := range []string{"aws", "aws-us-gov", "aws-cn"} {
		for _, delay := range []time.Duration{0, 4 * time.Second} {
			t.Run(partition+"/after "+delay.String(), func(t *testing.T) { do(t, partition, delay) })
		}
	}
}

// Errors of AWS.
var (
	denied       = &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized"}
	throttling   = &smithy.GenericAPIError{Code: "Throttling", Message: "Rate exceeded"}
	unmodifiable = &types.UnmodifiableEntityException{Message: aws.String("Cannot perform the operation on the protected role")}
)

func noSuchPolicy(arn string) error {
	return &types.NoSuchEntityException{Message: aws.String("Policy " + arn + " does not exist or is not attachable.")}
}

func unmarshal(t *testing.T, text string, v any) {
	t.Helper()
	must(t, json.Unmarshal([]byte(text), v))
}

// errKilled is how a worker dies in a test.
var errKilled = errors.New("killed")

// killed runs a containment and its undo, both by workers of which the one that
// makes the n-th call that changes something dies right after it. It reports
// whether any died.
func (w *world) killed(n int) bool {
	w.t.Helper()
	calls, armed, died := 0, true, false
	w.OnCall(func(c awsfake.Call) error {
		if c.Phase != awsfake.After || !c.Mutating || !armed {
			return nil
		}
		if calls++; calls == n {
			return errKilled
		}
		return nil
	})
	steps := w.plan().Steps
	for _, s := range steps {
		if !slices.Contains(w.resources, s.Resource) {
			w.resources = append(w.resources, s.Resource)
		}
	}
	acct, run := w.responder(), w.run()
	for _, s := range steps { // the worker that may die
		if _, err := w.act.Apply(w.t.Context(), acct, s, run); err != nil {
			died = true
			break
		}
	}
	armed = false
	all := w.take(steps) // the next one
	clean(w.t, all)
	acct, armed = w.restorer(), true
	for _, d := range slices.Backward(all) {
		if _, err := w.act.Revert(w.t.Context(), acct, d.step, d.effect); err != nil {
			died = true
			break
		}
	}
	armed = false
	for id, r := range w.back(all) {
		if !r.Holds {
			w.t.Errorf("killed at call %d: Revert %s: %+v", n, id, r)
		}
	}
	return died
}
