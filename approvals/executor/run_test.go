package executor_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// TestRunDoesNotSurvey: a role with very many policies must not be read through
// before the deny is put.
func TestRunDoesNotSurvey(t *testing.T) {
	t.Parallel()
	inline := map[string]string{}
	for i := range 60 {
		inline[fmt.Sprintf("p%02d", i)] = `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"a:b","Resource":"*"}}`
	}
	w := newWorld(t, withRole(awsfake.Role{Inline: inline}))
	r := w.state(w.types(alice, revoke), approvals.Pending)
	start := w.clock.Now()
	var took time.Duration
	w.aws.OnCall(func(c awsfake.Call) error {
		if c.Phase == awsfake.Before {
			w.clock.Add(900 * time.Millisecond)
			if c.Op == "iam:PutRolePolicy" && took == 0 {
				took = w.clock.Now().Sub(start)
			}
		}
		return nil
	})
	w.aws.ResetCalls()
	w.clicks(bob, r, "approve")
	w.state(r, approvals.Contained)
	for _, c := range w.aws.Calls() {
		if strings.HasPrefix(c.Op, "iam:List") {
			t.Fatalf("the run surveys: %s", c.Op)
		}
	}
	if took > 15*time.Second {
		t.Errorf("the deny was put after %s", took)
	}
}

// TestRunWaitsForAThrottledRead: an approved containment must not fail because AWS
// asks for patience.
func TestRunWaitsForAThrottledRead(t *testing.T) {
	t.Parallel()
	for _, op := range []string{"sts:AssumeRole", "iam:GetRole"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := w.state(w.types(alice, revoke), approvals.Pending)
			w.answers(op, apiError("Throttling"), times(6))
			w.clicks(bob, r, "approve")
			w.pass(time.Minute)
			w.state(r, approvals.Contained)
		})
	}
}

// TestThrottledStepDoesNotHoldUpTheDeny: one step that AWS throttles must not hold up the deny.
func TestThrottledStepDoesNotHoldUpTheDeny(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.state(w.types(alice, revoke), approvals.Pending)
	start, throttled := w.clock.Now(), times(6)
	var put, tagged time.Time
	w.aws.OnCall(func(c awsfake.Call) error {
		switch {
		case c.Op == "iam:PutRolePolicy" && put.IsZero():
			put = w.clock.Now()
		case c.Op == "iam:TagRole" && c.Phase == awsfake.Before && throttled():
			return apiError("Throttling")
		case c.Op == "iam:TagRole" && c.Applied:
			tagged = w.clock.Now()
		}
		return nil
	})
	w.clicks(bob, r, "approve")
	if !put.Equal(start) {
		t.Errorf("the deny was put %s after the approval", put.Sub(start))
	}
	if !tagged.After(start.Add(30 * time.Second)) {
		t.Errorf("the tag was not throttled: it was there after %s", tagged.Sub(start))
	}
	w.state(r, approvals.Contained)
	if tags := w.role("app-role").Tags; tags["killswitch"] != r.ID {
		t.Errorf("the tags are %v", tags)
	}
}

// TestPathThatAPolicyReads: a path with what policies read as a variable or a
// wildcard must neither block a containment nor widen the session's rights.
func TestPathThatAPolicyReads(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/${aws:username}/": "role/${$}{aws:username}/evil", "/*/": "role/${*}/evil", "/?/": "role/${?}/evil"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world) { w.aws.Account(prod).AddRole(roleAt(path, "evil")) })
			r := w.state(w.types(alice, `revoke_sessions prod/evil reason="leak"`), approvals.Pending)
			w.clicks(bob, r, "approve")
			w.state(r, approvals.Contained)
			puts := 0
			for _, c := range w.aws.Calls() {
				if c.Op != "iam:PutRolePolicy" {
					continue
				}
				puts++
				if _, write, _ := strings.Cut(c.SessionPolicy, "iam:TagRole"); !strings.Contains(write, want) {
					t.Errorf("the session may write %s", write)
				}
			}
			if puts == 0 {
				t.Error("the deny was not put")
			}
			w.undo(r)
		})
	}
}

// TestManyApproversOfLongNames: approvers whose names do not fit a session tag must not
// block what they approved.
func TestManyApproversOfLongNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(w *world) {
		w.cfg.Policy.Default.Approvals = 4
		for i := range 4 {
			id, user := fmt.Sprintf("%s%d", strings.Repeat("x", 63), i), fmt.Sprintf("U9X%d", i)
			w.cfg.Policy.Roster.People = append(w.cfg.Policy.Roster.People, approvals.Person{ID: id, Slack: user})
			w.cfg.Policy.Roster.Groups["responders"] = append(w.cfg.Policy.Roster.Groups["responders"], id)
		}
	})
	r := w.state(w.types(alice, revoke), approvals.Pending)
	for i := range 4 {
		w.clicks(fmt.Sprintf("U9X%d", i), r, "approve")
	}
	w.state(r, approvals.Contained)
	const most = 256 // characters of a session tag's value, at AWS
	tagged := 0
	for _, c := range w.aws.Calls() {
		if tag := c.Tags["killswitch-approvers"]; c.Op == "sts:AssumeRole" && tag != "" {
			tagged++
			if len(tag) > most {
				t.Errorf("a tag of %d characters", len(tag))
			}
		}
	}
	if tagged == 0 {
		t.Error("no session is tagged with its approvers")
	}
}

// TestNoStepIsDroppedForAThrottle: AWS asks for patience; no step is dropped.
func TestNoStepIsDroppedForAThrottle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.answers("iam:PutRolePolicy", apiError("Throttling"), times(7))
	w.contained(revoke)
}

// TestRetryTakesOnlyWhatIsLeft: one step fails, the others stand.
func TestRetryTakesOnlyWhatIsLeft(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	before := w.aws.Snapshot()
	mend := w.breaks("iam:PutRolePolicy")
	r := w.state(w.clicks(bob, w.types(alice, revoke), "approve"), approvals.Partial)
	w.tells(r, "AccessDenied: not just now")
	w.clicks(nobody, r, "retry")
	w.state(r, approvals.Partial)
	mend()
	w.aws.ResetCalls()
	w.state(w.clicks(alice, r, "retry"), approvals.Contained)
	if w.called("iam:TagRole") > 0 {
		t.Error("the step that held was taken again")
	}
	w.undo(r)
	w.asBefore(before)

	mend = w.breaks("iam:PutRolePolicy")
	r = w.state(w.clicks(bob, w.types(alice, anotherRevoke), "approve"), approvals.Partial)
	mend()
	w.clock.Add(61 * time.Minute)
	w.withoutAWS(func() { w.clicks(alice, r, "retry") })
	w.state(r, approvals.Partial)
	w.attempts(r, 1)
}

// TestOneRunPerTarget: two approved requests for one role run one after the other.
func TestOneRunPerTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := w.state(w.types(alice, revoke), approvals.Pending)
	b := w.state(w.types(alice, anotherRevoke), approvals.Pending)
	var mu sync.Mutex
	open, most := map[string]bool{}, 0
	w.aws.OnCall(func(c awsfake.Call) error {
		mu.Lock()
		defer mu.Unlock()
		if c.Mutating && c.Phase == awsfake.Before {
			open[c.RoleSessionName] = true
			most = max(most, len(open))
		}
		return nil
	})
	w.bring(w.button(bob, a, "approve"))
	w.bring(w.button(bob, b, "approve"))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for w.round() {
			}
		})
	}
	wg.Wait()
	w.pass(time.Minute)
	w.state(a, approvals.Contained)
	w.state(b, approvals.Contained)
	if most != 2 { // both ran at last
		t.Errorf("%d requests wrote", most)
	}
}

func TestWhoJoinsTheAdminsAfterThePlanIsContained(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withAdmins)
	r := w.types(alice, "quarantine_user prod/bernd stolen")
	w.state(r, approvals.Pending)
	u := w.bernd()
	u.Groups = []string{"admins"}
	w.aws.Account(prod).AddUser(u)
	w.clicks(bob, r, "approve")
	r = w.state(r, approvals.Contained)
	if u := w.bernd(); !u.Keys[0].Inactive || len(u.Attached)+len(u.Inline) < 2 {
		t.Errorf("%s is %s: %s; the key is inactive: %t, attached %v", r.ID, r.State, r.Cause, u.Keys[0].Inactive, u.Attached)
	}
}

// TestWhatChangedSinceThePlanIsTold: somebody changes the role's trust policy, or the
// end of a long inline policy, between plan and approval; undo brings that back.
func TestWhatChangedSinceThePlanIsTold(t *testing.T) {
	t.Parallel()
	long := `{"Version":"2012-10-17","Statement":[{"Sid":"` + strings.Repeat("a", 200) + `","Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
	for name, change := range map[string]func(*awsfake.Role){
		"trust": func(r *awsfake.Role) {
			r.Trust = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::666666666666:root"},"Action":"sts:AssumeRole"}]}`
		},
		"inline": func(r *awsfake.Role) { r.Inline["app"] = strings.Replace(long, "s3:GetObject", "*", 1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, withRole(awsfake.Role{Inline: map[string]string{"app": long}}))
			r := w.types(alice, deleteRole)
			role := w.role("app-role")
			change(&role)
			w.aws.Account(prod).AddRole(role)
			w.clicks(bob, r, "approve")
			w.state(r, approvals.Contained)
			if flags := w.run(r).Flags; len(flags) == 0 {
				t.Error("nobody is told")
			}
			w.undo(r)
			if back := w.role("app-role"); back.Trust != role.Trust || back.Inline["app"] != role.Inline["app"] {
				t.Errorf("undo brought back %s %s", back.Trust, back.Inline["app"])
			}
		})
	}
}

// withWholeRole has a role with all that a role can have.
func withWholeRole(w *world) {
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Description: "serves", MaxSession: 2 * time.Hour, Boundary: "arn:aws:iam::aws:policy/PowerUserAccess",
		Attached: []string{"arn:aws:iam::aws:policy/AdministratorAccess"}, Inline: map[string]string{"app": allowS3, "earlier": earlier},
		Tags: map[string]string{"Team": "a"}, Profiles: []string{"batch", "web"}})
}

// withoutIDs leaves out what a role that is made again can't keep, and the order
// of its policies, which AWS does not have.
func withoutIDs(s awsfake.State) awsfake.State {
	r := s.Accounts[prod].Roles["app-role"]
	r.ID, r.Created = "", time.Time{}
	slices.Sort(r.Attached)
	s.Accounts[prod].Roles["app-role"] = r
	return s
}

const stripRole = "detach_policies " + appRole + ` reason="used from an unknown network"`

// TestWholeRoleComesBack: strip or delete a role, look again after minutes, take it back.
func TestWholeRoleComesBack(t *testing.T) {
	t.Parallel()
	for _, line := range []string{stripRole, deleteRole} {
		for _, delay := range []time.Duration{0, 4 * time.Second} {
			t.Run(strings.Fields(line)[0]+"/after "+delay.String(), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, withWholeRole)
				w.aws.SetPropagation(delay)
				before := withoutIDs(w.aws.Snapshot())
				r := w.contained(line)
				w.pass(3 * time.Minute)
				w.state(r, approvals.Contained)
				w.undo(r)
				if d := cmp.Diff(before, withoutIDs(w.aws.Snapshot())); d != "" {
					t.Error(d)
				}
			})
		}
	}
}

// TestRoleThatIsDeletedByARetryComesBack: at first the deletion is refused; the retry
// plans a role that is empty by then.
func TestRoleThatIsDeletedByARetryComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, withWholeRole)
	before := withoutIDs(w.aws.Snapshot())
	w.aws.Fault(awsfake.Fault{Op: "iam:DeleteRole", Err: &types.ServiceNotSupportedException{}})
	r := w.types(alice, deleteRole)
	w.clicks(bob, r, "approve")
	w.state(r, approvals.Partial)
	w.aws.ClearFaults()
	w.clicks(carol, r, "retry")
	w.state(r, approvals.Contained)
	w.undo(r)
	if d := cmp.Diff(before, withoutIDs(w.aws.Snapshot())); d != "" {
		t.Error(d)
	}
}

func TestWhatWasAttachedSinceThePlanGoesToo(t *testing.T) {
	t.Parallel()
	for _, line := range []string{stripRole, deleteRole} {
		w := newWorld(t, withWholeRole)
		r := w.types(alice, line)
		role := w.role("app-role")
		role.Attached = slices.Concat(role.Attached, []string{"arn:aws:iam::aws:policy/IAMFullAccess"})
		role.Inline["more"] = allowS3
		w.aws.Account(prod).AddRole(role)
		w.clicks(bob, r, "approve")
		w.state(r, approvals.Contained)
		if role := w.role("app-role"); len(role.Attached) > 0 || role.Inline["more"] != "" {
			t.Errorf("%s leaves %v", line, role)
		}
	}
}

func TestFreezeWithoutRoomLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	w := newWorld(t, inOrganization(func(o *awsfake.Organization) { o.SCPQuota = 1 }))
	before := w.aws.Snapshot()
	r := w.types(alice, `apply_scp prod reason="somebody makes users"`)
	w.clicks(bob, r, "approve")
	r = w.state(r, approvals.Failed)
	if !strings.Contains(r.Cause, "ConstraintViolationException") || !strings.Contains(r.Hint, "detach one of") {
		t.Errorf("why %q, hint %q", r.Cause, r.Hint)
	}
	w.asBefore(before)
}

// TestOnlyAnInactiveKeyIsDeleted: and two people must agree, and there is no way back.
func TestOnlyAnInactiveKeyIsDeleted(t *testing.T) {
	t.Parallel()
	w := newWorld(t, exposed)
	w.state(w.types(alice, "delete_key "+exposedKey+" not needed"), approvals.Refused)
	w.contained("deactivate_key " + exposedKey + " not needed")
	w.clock.Add(time.Minute)
	d := w.state(w.types(alice, "delete_key "+exposedKey+" nothing broke"), approvals.Pending)
	d = w.state(w.clicks(bob, d, "approve"), approvals.Contained)
	if n := len(w.bernd().Keys); n != 0 {
		t.Errorf("%d keys are left", n)
	}
	w.pass(2 * time.Minute)
	w.state(d, approvals.Contained)
	w.refused(w.types(alice, "undo "+d.ID), "deleted key can't be restored")
}

// TestOutageOfTheRowFailsTheJob: what could not be written to the request's row is
// written by the job when it comes again, so it must not count as done.
func TestOutageOfTheRowFailsTheJob(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]func(*world) approvals.Request{
		"that it is running": (*world).approved,
		"how it has ended": func(w *world) approvals.Request {
			r := w.contained(revoke)
			w.pass(2 * time.Minute)
			w.edit(r, func(r *approvals.Request) { r.State = approvals.Approved })
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			r := request(w)
			w.Requests.writes = func(puts []approvals.Put) error {
				if writing(puts, "request") {
					return errOutage
				}
				return nil
			}
			w.withoutAWS(func() {
				if err := w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID}); !errors.Is(err, errOutage) {
					t.Errorf("%v, want the outage", err)
				}
			})
			w.state(r, approvals.Approved)
			w.Requests.writes = nil
			w.clock.Add(time.Minute) // the lease is over
			w.job(w.executor, approvals.JobRun, r)
			w.state(r, approvals.Contained)
		})
	}
}

// TestEndThatCanNotBeShownFailsTheJob: what was done in AWS is done, and the job
// comes again until the request's row says so.
func TestEndThatCanNotBeShownFailsTheJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	r := w.approved()
	w.Requests.writes = func(puts []approvals.Put) error {
		if w.aws.Mutations() > 0 && writing(puts, "request") {
			return errOutage
		}
		return nil
	}
	if err := w.executor.Handle(t.Context(), approvals.Job{Verb: approvals.JobRun, ID: r.ID}); !errors.Is(err, errOutage) {
		t.Errorf("%v, want the outage", err)
	}
	w.state(r, approvals.Running)
	w.Requests.writes = nil
	w.job(w.executor, approvals.JobRun, r)
	w.state(r, approvals.Contained)
	w.attempts(r, 1)
}
