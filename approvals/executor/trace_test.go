package executor_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
)

const (
	admin    = "arn:aws:iam::aws:policy/AdministratorAccess"
	outsider = "666666666666"
	opensAll = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`
	opensOut = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::666666666666:root"},"Action":"sts:AssumeRole"}]}`
)

// attacked is a world in which the holder of bernd's key, who administers the account, is recorded.
func attacked(t *testing.T) (*world, attackerAPI) {
	t.Helper()
	w := newWorld(t, func(w *world) {
		exposed(w)
		a := w.aws.Account(prod)
		a.AddUser(awsfake.User{Name: "jo", Attached: []string{admin}, Keys: []awsfake.AccessKey{{ID: "AKIAJOJOJOJOJOEXAMPLE"}}})
		a.AddUser(awsfake.User{Name: "intruder", Attached: []string{admin}, Keys: []awsfake.AccessKey{{ID: intruderKey}}})
		a.AddRole(awsfake.Role{Name: "deployer", Trust: strings.ReplaceAll(opensAll, `"*"`, `"arn:aws:iam::`+prod+`:root"`), Attached: []string{admin}})
		w.aws.RecordTrail()
	})
	return w, attackerAPI{w, w.aws.KeySession(intruderKey).Config()}
}

const intruderKey = "AKIAINTRUDERINEXAMPLE"

// attackerAPI makes calls by somebody's credentials.
type attackerAPI struct {
	*world
	cfg aws.Config
}

func (a attackerAPI) iam() *iam.Client { return iam.NewFromConfig(a.cfg) }

// user makes a user who administers the account, and its key.
func (a attackerAPI) user(name string) attackerAPI {
	a.t.Helper()
	ctx := a.t.Context()
	_, err := a.iam().CreateUser(ctx, &iam.CreateUserInput{UserName: &name})
	a.must(err)
	_, err = a.iam().AttachUserPolicy(ctx, &iam.AttachUserPolicyInput{UserName: &name, PolicyArn: aws.String(admin)})
	a.must(err)
	return a.key(name)
}

// key makes a user's key.
func (a attackerAPI) key(user string) attackerAPI {
	a.t.Helper()
	out, err := a.iam().CreateAccessKey(a.t.Context(), &iam.CreateAccessKeyInput{UserName: &user})
	a.must(err)
	return attackerAPI{a.world, a.aws.KeySession(*out.AccessKey.AccessKeyId).Config()}
}

// session assumes a role.
func (a attackerAPI) session(role, name string) attackerAPI {
	a.t.Helper()
	out, err := sts.NewFromConfig(a.cfg).AssumeRole(a.t.Context(), &sts.AssumeRoleInput{RoleArn: aws.String("arn:aws:iam::" + prod + ":role/" + role), RoleSessionName: &name})
	a.must(err)
	cfg := a.cfg.Copy()
	cfg.Credentials = credentials.NewStaticCredentialsProvider(*out.Credentials.AccessKeyId, *out.Credentials.SecretAccessKey, *out.Credentials.SessionToken)
	return attackerAPI{a.world, cfg}
}

// role makes a role with a trust.
func (a attackerAPI) role(name, trust string) {
	a.t.Helper()
	_, err := a.iam().CreateRole(a.t.Context(), &iam.CreateRoleInput{RoleName: &name, AssumeRolePolicyDocument: &trust})
	a.must(err)
}

// traces does the job that traces a request or an alert, and returns the row.
func (w *world) traces(id string) approvals.Trace {
	w.t.Helper()
	w.must(w.executor.Handle(w.t.Context(), approvals.Job{Verb: approvals.JobTrace, ID: id}))
	return w.traceOf(id)
}

func (w *world) traceOf(id string) approvals.Trace {
	w.t.Helper()
	t, err := approvals.Runs{Reader: w.Runs.Store}.Trace(w.t.Context(), id)
	w.must(err)
	return t
}

// inBrief is a trace in lines: what, whether it was made, by whom, presences, what contains it.
func inBrief(t approvals.Trace) (lines []string) {
	for _, x := range t.Traced {
		line := x.Kind + " " + x.Name
		if !x.Made {
			line = "used: " + line
		}
		line += " by " + x.By + ":"
		for _, d := range x.Deeds {
			_, call, _ := strings.Cut(d.Call, ":")
			line += strings.TrimRight(" "+call+" "+string(d.Presence), " ")
		}
		for _, c := range x.Contain {
			line += ", " + string(c.Action)
		}
		lines = append(lines, line)
	}
	return lines
}

// TestTraceOfAContainedUser: by itself, once it is contained, and once more when CloudTrail has the rest:
// what the user made, what that made, and what only was used.
func TestTraceOfAContainedUser(t *testing.T) {
	t.Parallel()
	w, bad := attacked(t)
	w.clock.Add(time.Second)
	second := bad.user("backdoor")
	w.clock.Add(time.Second)
	bad.key("jo")
	w.clock.Add(time.Second)
	second.role("support", opensOut)
	w.clock.Add(time.Second)
	deployer := second.session("deployer", "night")
	w.clock.Add(time.Second)
	third := deployer.user("third")
	w.clock.Add(time.Second)
	_, err := third.iam().PutRolePolicy(t.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("app-role"), PolicyName: aws.String("p"), PolicyDocument: aws.String(allPolicy)})
	w.must(err)

	r := w.contained("quarantine_user prod/intruder stolen")
	by := "user intruder"
	want := []string{
		"user backdoor by " + by + ": CreateUser there AttachUserPolicy there CreateAccessKey there, quarantine_user",
		"access key " + keyOf(w, "jo") + " of user jo by " + by + ": CreateAccessKey there, deactivate_key",
		"role support by user backdoor: CreateRole there, detach_policies",
		"user third by role deployer, session night: CreateUser there AttachUserPolicy there CreateAccessKey there, quarantine_user",
		"used: role deployer by user backdoor: AssumeRole, revoke_sessions, detach_policies",
		"used: role app-role by user third: PutRolePolicy there, revoke_sessions, detach_policies",
	}
	tr := w.traceOf(r.ID)
	if d := cmp.Diff(want, inBrief(tr)); d != "" {
		t.Error(d)
	}
	if tr.Whose != by || tr.Unread != "" || len(tr.Gaps) != 0 || tr.Looks != 1 || tr.Edition != 1 {
		t.Errorf("%+v", tr)
	}
	if e, n := w.event(r, "traced"); n != 1 || e.Facts["found"] != "6" || !strings.Contains(e.Facts["new"], "created user third by role deployer, session night") {
		t.Errorf("%d links of the chain: %+v", n, e)
	}

	// CloudTrail has one more call a quarter of an hour later, and the attacker has lost the second user.
	w.aws.Account(prod).AddEvents("us-east-1", recorded(w, "iam", "CreateUser", "intruder", `{"userName":"late"}`, `{"user":{"userId":"AIDALATELATELATE"}}`))
	_, err = third.iam().DeleteUserPolicy(t.Context(), &iam.DeleteUserPolicyInput{UserName: aws.String("backdoor"), PolicyName: aws.String("none")})
	if err == nil {
		t.Error("deleted what is not there")
	}
	w.clock.Add(15 * time.Minute)
	w.drain()
	tr = w.traceOf(r.ID)
	if tr.Looks != 2 || tr.Edition != 2 || !slices.ContainsFunc(inBrief(tr), func(l string) bool {
		return strings.HasPrefix(l, "user late by "+by+": CreateUser gone")
	}) {
		t.Errorf("after 15 minutes: %d looks, list %d: %v", tr.Looks, tr.Edition, inBrief(tr))
	}
	w.clock.Add(time.Hour)
	w.drain()
	if tr := w.traceOf(r.ID); tr.Looks != 2 {
		t.Errorf("%d looks", tr.Looks)
	}
	for _, target := range tr.Targets() {
		ids, err := approvals.Runs{Reader: w.Runs.Store}.TracedBy(t.Context(), target)
		if err != nil || !slices.Equal(ids, []string{r.ID}) {
			t.Errorf("%s is traced by %v, %v", target, ids, err)
		}
	}
}

// keyOf is the ID of a user's newest key.
func keyOf(w *world, user string) string {
	keys := w.aws.Snapshot().Accounts[prod].Users[user].Keys
	return keys[len(keys)-1].ID
}

// recorded is an event of a call by a user, some time ago.
func recorded(w *world, service, call, user, request, answer string) trailtypes.Event {
	at, id := w.clock.Now().Add(-time.Minute), fmt.Sprintf("0a1f0000-0000-4000-8000-%012d", len(request+answer+call))
	record := fmt.Sprintf(`{"eventSource":%q,"eventName":%q,"eventTime":%q,"eventID":%q,"awsRegion":"us-east-1","recipientAccountId":%q,"userIdentity":{"type":"IAMUser","principalId":"AIDAX","arn":"arn:aws:iam::%s:user/%s","accountId":%q,"userName":%q},"requestParameters":%s,"responseElements":%s}`,
		service+".amazonaws.com", call, at.UTC().Format(time.RFC3339), id, prod, prod, user, prod, user, request, answer)
	return trailtypes.Event{EventId: &id, EventName: &call, EventSource: aws.String(service + ".amazonaws.com"), EventTime: &at, Username: &user, ReadOnly: aws.String("false"), CloudTrailEvent: &record}
}

// TestTraceOfNineteenPrincipals in eight minutes, each made by the one before or beside it: all are found and
// have a call that contains them, within the budget.
func TestTraceOfNineteenPrincipals(t *testing.T) {
	t.Parallel()
	w, bad := attacked(t)
	who := bad
	for i := range 19 {
		w.clock.Add(25 * time.Second)
		switch {
		case i%4 == 3:
			who.role(fmt.Sprintf("role-%d", i), opensOut)
		case i%6 == 5:
			who = who.user(fmt.Sprintf("user-%d", i)) // and goes on by it
		default:
			who.user(fmt.Sprintf("user-%d", i))
		}
	}
	before := w.called("cloudtrail:LookupEvents")
	r := w.contained("quarantine_user prod/intruder stolen")
	tr := w.traceOf(r.ID)
	made := 0
	for _, x := range tr.Traced {
		if x.Made && len(x.Contain) > 0 && x.Deeds[0].Presence == "there" {
			made++
		}
	}
	if n := w.called("cloudtrail:LookupEvents") - before; made != 19 || len(tr.Gaps) != 0 || n > 100 {
		t.Errorf("%d made, %d look-ups, gaps %q", made, n, tr.Gaps)
	}
}

// TestTraceIsCutInSight: calls and principals beyond the budget, an account and a region that can't be read.
func TestTraceIsCutInSight(t *testing.T) {
	t.Parallel()
	t.Run("more calls than are looked at", func(t *testing.T) {
		t.Parallel()
		w, _ := attacked(t)
		var many []trailtypes.Event
		for range 1200 {
			many = append(many, recorded(w, "s3", "ListBuckets", "intruder", `{}`, `{}`))
		}
		w.aws.Account(prod).AddEvents("eu-west-1", many...)
		tr := w.traceOf(w.contained("quarantine_user prod/intruder stolen").ID)
		if d := cmp.Diff([]string{"Not all calls were read, so that older ones may be missing: of user intruder in eu-west-1."}, tr.Gaps); d != "" {
			t.Error(d)
		}
	})
	t.Run("more principals than are followed", func(t *testing.T) {
		t.Parallel()
		w, bad := attacked(t)
		for i := range 95 {
			_, err := bad.iam().CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String(fmt.Sprintf("u%d", i))})
			w.must(err)
		}
		tr := w.traceOf(w.contained("quarantine_user prod/intruder stolen").ID)
		if len(tr.Traced) != 95 || !slices.Contains(tr.Gaps, "Principals and sessions that were not followed any more: 5.") {
			t.Errorf("%d, %q", len(tr.Traced), tr.Gaps)
		}
	})
	t.Run("sessions of sessions of sessions", func(t *testing.T) {
		t.Parallel()
		w, bad := attacked(t)
		who := bad
		for i := range 5 {
			who = who.user(fmt.Sprintf("u%d", i))
			w.clock.Add(time.Second)
		}
		tr := w.traceOf(w.contained("quarantine_user prod/intruder stolen").ID)
		if len(tr.Traced) != 4 || !slices.Contains(tr.Gaps, "Principals and sessions that were not followed any more: 1.") {
			t.Errorf("%q, %q", inBrief(tr), tr.Gaps)
		}
	})
	t.Run("a region that is silent", func(t *testing.T) {
		t.Parallel()
		w, bad := attacked(t)
		bad.user("backdoor")
		w.aws.Fault(awsfake.Fault{Op: "cloudtrail:LookupEvents", Region: "eu-west-1", Err: &smithy.GenericAPIError{Code: "AccessDeniedException", Message: "explicit deny in a service control policy"}})
		tr := w.traceOf(w.contained("quarantine_user prod/intruder stolen").ID)
		if len(tr.Traced) != 1 || len(tr.Gaps) == 0 || !strings.HasPrefix(tr.Gaps[0], "Region eu-west-1 of account "+prod+" could not be read: ") {
			t.Errorf("%q, %q", inBrief(tr), tr.Gaps)
		}
	})
	t.Run("what can't be read whether it is there", func(t *testing.T) {
		t.Parallel()
		w, bad := attacked(t)
		bad.user("backdoor")
		r := w.contained("quarantine_user prod/intruder stolen")
		w.clock.Add(2 * time.Minute)
		w.aws.Fault(awsfake.Fault{Op: "iam:GetUser", Err: &iamtypes.ServiceFailureException{Message: aws.String("out of order")}})
		d := w.traces(r.ID).Traced[0].Deeds[0]
		if d.Presence != "" || !strings.Contains(d.Unread, "out of order") {
			t.Errorf("%+v", d)
		}
	})
}

// TestTraceOfARole follows those who entered it, and tells not of that itself.
func TestTraceOfARole(t *testing.T) {
	t.Parallel()
	w, bad := attacked(t)
	w.clock.Add(time.Second)
	bad.session("deployer", "one").user("made-as-deployer")
	w.clock.Add(time.Second)
	r := w.contained("revoke_sessions prod/deployer stolen")
	want := []string{"user made-as-deployer by role deployer, session one: CreateUser there AttachUserPolicy there CreateAccessKey there, quarantine_user"}
	if d := cmp.Diff(want, inBrief(w.traceOf(r.ID))); d != "" {
		t.Error(d)
	}
}

// TestTraceOfABackdooredRole: whoever comes in from outside by it is followed; who may be there is not.
func TestTraceOfABackdooredRole(t *testing.T) {
	t.Parallel()
	w, bad := attacked(t)
	w.cfg.Org.Accounts["outside"] = outsider // for the cloud alone: the executor does not know it
	w.aws.Account(outsider).AddRole(awsfake.Role{Name: "c2", Attached: []string{admin}})
	delete(w.cfg.Org.Accounts, "outside")
	w.clock.Add(time.Second)
	bad.session("deployer", "before")
	_, err := bad.iam().UpdateAssumeRolePolicy(t.Context(), &iam.UpdateAssumeRolePolicyInput{RoleName: aws.String("deployer"), PolicyDocument: aws.String(opensAll)})
	w.must(err)
	w.clock.Add(time.Minute)
	attackerAPI{w, w.aws.Session("arn:aws:iam::"+outsider+":role/c2", "c2").Config()}.session("deployer", "from-outside").user("from-outside")
	attackerAPI{w, w.aws.KeySession("AKIAJOJOJOJOJOEXAMPLE").Config()}.session("deployer", "jo-at-work").user("of-jo")
	w.clock.Add(time.Second)
	lines := inBrief(w.traceOf(w.contained("quarantine_user prod/intruder stolen").ID))
	has := func(part string) bool {
		return slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, part) })
	}
	if !has("user from-outside by role deployer, session from-outside") || has("of-jo") || !has("UpdateAssumeRolePolicy there") {
		t.Errorf("%s", strings.Join(lines, "\n"))
	}
}

// TestTraceOfAnAlert, with nobody's click, is about whom the finding names, and ends at the configuration's
// accounts. What is no principal is told.
func TestTraceOfAnAlert(t *testing.T) {
	t.Parallel()
	w, _ := alerted(t, false, false, func(w *world) {
		w.cfg.Org.Regions = []string{region}
		w.aws.Account(prod).AddUser(awsfake.User{Name: "intruder", Attached: []string{admin}, Keys: []awsfake.AccessKey{{ID: intruderKey}}})
		w.aws.RecordTrail()
	})
	bad := attackerAPI{w, w.aws.KeySession(intruderKey).Config()}
	bad.user("backdoor")
	f := w.finding()
	f.Subject.By, f.Subject.Value, f.Principal = "AccessKeyId", intruderKey, "user intruder, key "+intruderKey
	w.alert(alerts.Report{Finding: theFinding, Event: w.happened(f)})
	tr := w.traces(alertID)
	if d := cmp.Diff([]string{"user backdoor by user intruder, key " + intruderKey + ": CreateUser there AttachUserPolicy there CreateAccessKey there, quarantine_user"}, inBrief(tr)); d != "" {
		t.Error(d)
	}
	for _, c := range w.aws.Calls() {
		if c.Mutating && c.RoleSessionName == alertID {
			t.Errorf("%s changes something", c.Op)
		}
	}
	f.Subject.By, f.Subject.Value = "", ""
	w.alert(alerts.Report{Finding: theFinding, Event: w.happened(f)})
	w.clock.Add(time.Hour)
	if tr := w.traces(alertID); !strings.Contains(tr.Unread, "does not say whose") || len(tr.Traced) != 1 {
		t.Errorf("%+v", tr)
	}
}

// TestTraceIsDoneOnceAMinute, however often it is asked, also at once.
func TestTraceIsDoneOnceAMinute(t *testing.T) {
	t.Parallel()
	w, _ := attacked(t)
	r := w.contained("quarantine_user prod/intruder stolen")
	n := w.called("cloudtrail:LookupEvents")
	for range 5 {
		w.traces(r.ID)
	}
	if more := w.called("cloudtrail:LookupEvents") - n; more != 0 {
		t.Errorf("%d look-ups", more)
	}
	if err := w.executor.Handle(context.Background(), approvals.Job{Verb: approvals.JobTrace, ID: "KS-000000000000"}); err != nil && !errors.Is(err, approvals.ErrNotFound) {
		t.Error(err)
	}
}
