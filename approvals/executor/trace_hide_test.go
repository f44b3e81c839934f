package executor_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	trailtypes "github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// apiRecord is a call as CloudTrail has it: by whom, what, with which parameters and answer.
type apiRecord struct {
	call, user, key, identity, request, answer string
}

// record makes an event of it, n minutes after the first.
func (s apiRecord) record(w *world, n int) trailtypes.Event {
	at := w.clock.Now().Add(time.Duration(n)*time.Minute - 5*time.Hour)
	id := fmt.Sprintf("0b1f0000-0000-4000-8000-%012d", n)
	service, name, _ := strings.Cut(s.call, ":")
	if s.user == "" {
		s.user, s.key = "intruder", intruderKey
	}
	if s.identity == "" {
		s.identity = fmt.Sprintf(`{"type":"IAMUser","principalId":"AIDAX","arn":"arn:aws:iam::%s:user/%s","accountId":%q,"accessKeyId":%q,"userName":%q}`, prod, s.user, prod, s.key, s.user)
	}
	if s.answer == "" {
		s.answer = "null"
	}
	record := fmt.Sprintf(`{"eventSource":"%s.amazonaws.com","eventName":%q,"eventTime":%q,"eventID":%q,"awsRegion":"us-east-1","recipientAccountId":%q,"userIdentity":%s,"requestParameters":%s,"responseElements":%s}`,
		service, name, at.UTC().Format(time.RFC3339), id, prod, s.identity, s.request, s.answer)
	e := trailtypes.Event{EventId: &id, EventName: &name, EventSource: aws.String(service + ".amazonaws.com"), EventTime: &at, Username: &s.user, AccessKeyId: &s.key, ReadOnly: aws.String("false"), CloudTrailEvent: &record}
	if service == "sts" {
		e.Resources = []trailtypes.Resource{{ResourceName: aws.String("arn:aws:iam::" + prod + ":role/path/deployer")}}
	}
	return e
}

// sessionOf is the identity of a role's session.
func sessionOf(role, name string) string {
	return `{"type":"AssumedRole","principalId":"AROAX:` + name + `","arn":"arn:aws:sts::` + prod + `:assumed-role/` + role + `/` + name + `","accountId":"` + prod + `","accessKeyId":"ASIAPIPELINEPIPEEXAM","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::` + prod + `:role/` + role + `","accountId":"` + prod + `","userName":"` + role + `"}}}`
}

// TestNothingHidesFromATrace, and nothing of production is taken for the attacker's.
func TestNothingHidesFromATrace(t *testing.T) {
	t.Parallel()
	const key2 = "AKIASECONDSECONDEXAM"
	newKey := func(user string) string {
		return `{"accessKey":{"accessKeyId":"` + key2 + `","userName":"` + user + `","status":"Active"}}`
	}
	hidden := func(user, key string) apiRecord {
		return apiRecord{call: "iam:CreateUser", user: user, key: key, request: `{"userName":"hidden"}`, answer: `{"user":{"userName":"hidden","userId":"AIDAHIDDEN"}}`}
	}
	created := func(name string) apiRecord {
		return apiRecord{call: "iam:CreateUser", request: `{"userName":"` + name + `"}`, answer: `{"user":{"userName":"` + name + `","userId":"AIDANEW"}}`}
	}
	var flood, sessions []apiRecord
	for i := range 110 {
		flood = append(flood, apiRecord{call: "iam:CreateGroup", request: fmt.Sprintf(`{"groupName":"g%d"}`, i)})
	}
	assume := func(name, key string) apiRecord {
		return apiRecord{call: "sts:AssumeRole", request: `{"roleArn":"arn:aws:iam::` + prod + `:role/path/deployer","roleSessionName":"` + name + `"}`, answer: `{"credentials":{"accessKeyId":"` + key + `"}}`}
	}
	sessions = append(sessions, assume("first", "ASIAFIRSTFIRSTFIEXAM"), apiRecord{call: "iam:CreateUser", user: "first", key: "ASIAFIRSTFIRSTFIEXAM", identity: sessionOf("deployer", "first"), request: `{"userName":"hidden"}`})
	for i := range 95 {
		sessions = append(sessions, assume(fmt.Sprintf("s%d", i), fmt.Sprintf("ASIA%012dEXAM", i)))
	}
	for name, c := range map[string]struct {
		calls  []apiRecord
		has    []string // parts of lines
		lacks  []string
		region string
		alter  func(*world)
	}{
		"a console password beside a key": {calls: []apiRecord{
			{call: "iam:CreateAccessKey", request: `{"userName":"jo"}`, answer: newKey("jo")}, {call: "iam:CreateLoginProfile", request: `{"userName":"jo"}`}, hidden("jo", key2)},
			has: []string{"user hidden by access key " + key2 + " of user jo"}},
		"a user who gets another name": {calls: []apiRecord{created("x"), {call: "iam:CreateAccessKey", request: `{"userName":"x"}`, answer: newKey("x")}, {call: "iam:UpdateUser", request: `{"userName":"x","newUserName":"y"}`}, hidden("y", key2)},
			alter: func(w *world) { w.aws.Account(prod).AddUser(awsfake.User{Name: "y"}) },
			has:   []string{"user hidden by", "user y by user intruder: UpdateUser there, quarantine_user"}, lacks: []string{"used: user y"}},
		"a key of the root user": {calls: []apiRecord{{call: "iam:CreateAccessKey", identity: `{"type":"Root","principalId":"` + prod + `","arn":"arn:aws:iam::` + prod + `:root","accountId":"` + prod + `"}`, request: `null`, answer: newKey("root")}},
			lacks: []string{"user/root", "gone"}},
		"a trust under a condition": {calls: []apiRecord{{call: "iam:UpdateAssumeRolePolicy", request: `{"roleName":"deployer","policyDocument":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"*\"},\"Action\":\"sts:AssumeRole\",\"Condition\":{\"StringEquals\":{\"aws:PrincipalAccount\":\"666666666666\"}}}]}"}`}},
			has: []string{"role deployer by user intruder: UpdateAssumeRolePolicy, revoke_sessions"}},
		"the name of a pipeline's sessions": {calls: []apiRecord{created("ci"), {call: "iam:CreateRole", user: "ci", key: "ASIAPIPELINEPIPEEXAM", identity: sessionOf("pipeline", "ci"), request: `{"roleName":"prod-api"}`}},
			has: []string{"user ci by"}, lacks: []string{"prod-api"}},
		"many harmless things before": {calls: append(slices.Clone(flood), created("backdoor")), has: []string{"user backdoor by"}},
		"many sessions after":         {calls: sessions, has: []string{"user hidden by role deployer, session first"}},
		"production's role in a function of theirs": {calls: []apiRecord{{call: "lambda:CreateFunction20150331", request: `{"functionName":"hook","role":"arn:aws:iam::` + prod + `:role/app-role"}`}},
			has: []string{"function hook by user intruder: CreateFunction", "used: role app-role by user intruder: CreateFunction, revoke_sessions, detach_policies"}, lacks: []string{"function hook by user intruder: CreateFunction, "}},
		"production's role deleted and made again": {calls: []apiRecord{{call: "iam:DeleteRole", request: `{"roleName":"app-role"}`}, {call: "iam:CreateRole", request: `{"roleName":"app-role"}`, answer: `{"role":{"roleName":"app-role","roleId":"AROANEW"}}`}},
			has: []string{"used: role app-role by"}},
		"our own role's name": {calls: []apiRecord{assume("ks", "ASIAOURSOURSOURSEXAM"), {call: "iam:CreateUser", user: "ks", key: "ASIAOURSOURSOURSEXAM", identity: sessionOf("killswitch-responder", "ks"), request: `{"userName":"hidden"}`}},
			has: []string{"user hidden by"}},
		"a region that nobody configured": {calls: []apiRecord{created("far")}, region: "ap-south-1", has: []string{"user far by"}},
		"an identity provider of theirs": {calls: []apiRecord{{call: "iam:UpdateAssumeRolePolicy", request: `{"roleName":"deployer","policyDocument":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"Federated\":\"arn:aws:iam::222222222222:oidc-provider/evil.example\"},\"Action\":\"sts:AssumeRoleWithWebIdentity\"}]}"}`},
			{call: "sts:AssumeRoleWithWebIdentity", user: "web", key: "none", identity: `{"type":"WebIdentityUser","principalId":"evil.example:x","userName":"x"}`, request: `{"roleArn":"arn:aws:iam::` + prod + `:role/path/deployer","roleSessionName":"web"}`, answer: `{"credentials":{"accessKeyId":"ASIAWEBWEBWEBWEBEXAM"}}`},
			{call: "iam:CreateUser", user: "web", key: "ASIAWEBWEBWEBWEBEXAM", identity: sessionOf("deployer", "web"), request: `{"userName":"hidden"}`}},
			alter: func(w *world) {
				w.aws.Account(prod).AddRole(awsfake.Role{Name: "deployer", Path: "/path/", Trust: strings.ReplaceAll(opensAll, `"*"`, `"arn:aws:iam::`+prod+`:root"`)})
			},
			has: []string{"user hidden by role deployer, session web"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, func(w *world) {
				exposed(w)
				a := w.aws.Account(prod)
				a.AddUser(awsfake.User{Name: "intruder", Attached: []string{admin}, Keys: []awsfake.AccessKey{{ID: intruderKey}}})
				a.AddUser(awsfake.User{Name: "jo", Keys: []awsfake.AccessKey{{ID: key2}}})
				if c.alter != nil {
					c.alter(w)
				} else {
					a.AddRole(awsfake.Role{Name: "deployer", Trust: strings.ReplaceAll(opensAll, `"*"`, `"arn:aws:iam::`+prod+`:root"`)})
				}
			})
			region := c.region
			if region == "" {
				region = "us-east-1"
			}
			for i, s := range c.calls {
				w.aws.Account(prod).AddEvents(region, s.record(w, i))
			}
			tr := w.traceOf(w.contained("quarantine_user prod/intruder stolen").ID)
			lines := strings.Join(inBrief(tr), "\n")
			for _, part := range c.has {
				if !strings.Contains(lines, part) {
					t.Errorf("no %q in\n%s\n%q", part, lines, tr.Gaps)
				}
			}
			for _, part := range c.lacks {
				if strings.Contains(lines, part) {
					t.Errorf("%q in\n%s", part, lines)
				}
			}
		})
	}
}

// TestTraceGoesOn: what an earlier look found is followed in later ones, whatever hides it by then.
func TestTraceGoesOn(t *testing.T) {
	t.Parallel()
	w, bad := attacked(t)
	backdoor := bad.user("backdoor")
	r := w.contained("quarantine_user prod/intruder stolen")
	for range 22 { // as many as there are pages for
		var junk []trailtypes.Event
		for range 50 {
			junk = append(junk, recorded(w, "s3", "ListBuckets", "intruder", `{}`, `{}`))
		}
		w.aws.Account(prod).AddEvents("us-east-1", junk...)
	}
	w.clock.Add(2 * time.Minute)
	backdoor.role("later", opensAll)
	tr := w.traces(r.ID)
	lines := strings.Join(inBrief(tr), "\n")
	if !strings.Contains(lines, "role later by") || !strings.Contains(lines, "user backdoor by user intruder: CreateUser there") {
		t.Errorf("%s\n%q", lines, tr.Gaps)
	}
}

// TestDeedsAreCountedOnce: what is cut out of the middle of many, at every look.
func TestDeedsAreCountedOnce(t *testing.T) {
	t.Parallel()
	w, bad := attacked(t)
	for range 5 {
		w.clock.Add(time.Second)
		bad.session("deployer", "aa")
		bad.session("deployer", "bb")
	}
	r := w.contained("quarantine_user prod/intruder stolen")
	for range 3 {
		if x := w.traceOf(r.ID).Traced[0]; len(x.Deeds) != 8 || x.More != 2 {
			t.Errorf("%d deeds, %d more", len(x.Deeds), x.More)
		}
		w.clock.Add(2 * time.Minute)
		w.traces(r.ID)
	}
}

// TestReplacedIsNotGone: another of the name stands, and it may be the attacker's.
func TestReplacedIsNotGone(t *testing.T) {
	t.Parallel()
	w, bad := attacked(t)
	bad.user("x")
	w.aws.Account(prod).DeleteUser("x")
	w.clock.Add(time.Second)
	bad.user("x")
	tr := w.traceOf(w.contained("quarantine_user prod/intruder stolen").ID)
	if x := tr.Traced[0]; x.Gone() || len(x.Contain) == 0 || !slices.ContainsFunc(x.Deeds, func(d approvals.Deed) bool { return d.Presence == "replaced" }) {
		t.Errorf("%+v", x)
	}
}
