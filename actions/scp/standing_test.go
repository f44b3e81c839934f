package scp_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	kmstypes "github.com/aws/aws-sdk-go-v2/service/kms/types"
	"github.com/aws/aws-sdk-go-v2/service/organizations"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// dataWorld is a fixture whose data is to be protected; the responder may read what it is permitted to.
func dataWorld(t *testing.T) *fixture {
	t.Helper()
	w := scpWorld(t)
	w.Member(actiontest.Member, awsfake.MemberRoles{ExternalID: w.Org.ExternalID, ResponderPolicy: actiontest.AllowAll, RestorerPolicy: actiontest.AllowAll})
	w.Org.Regions = []string{"us-east-1", "eu-west-1"}
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	w.Hub.SetNow(w.Clock.Now)
	w.freeze(actiontest.Member, "protect-data")
	return w
}

func (w *fixture) bucket(name, policy string, rules ...types.LifecycleRule) {
	w.Account(actiontest.Member).AddBucket(awsfake.Bucket{Name: name, Created: w.Clock.Now(), Policy: policy, Rules: rules})
}

// after is a rule that deletes objects after some days; a change makes another one of it.
func after(id string, days int32, change ...func(*types.LifecycleRule)) types.LifecycleRule {
	r := types.LifecycleRule{ID: &id, Status: types.ExpirationStatusEnabled, Filter: &types.LifecycleRuleFilter{}, Expiration: &types.LifecycleExpiration{Days: &days}}
	for _, f := range change {
		f(&r)
	}
	return r
}

func under(prefix string) func(*types.LifecycleRule) {
	return func(r *types.LifecycleRule) { r.Filter = &types.LifecycleRuleFilter{Prefix: &prefix} }
}

// letsIn is a bucket policy that lets principals in.
func letsIn(principal, more string) string {
	return `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":` + principal + `,"Action":"s3:*","Resource":"*"` + more + `}]}`
}

func account(id string) string { return `{"AWS":"` + id + `"}` }

// told are the warnings and facts of a plan that the same world without data does not have.
func (w *fixture) told() (warnings, facts []string) {
	w.T.Helper()
	texts := func(p actions.Plan) (ws, fs []string) {
		for _, f := range p.Facts {
			fs = append(fs, f.Label+": "+f.Text)
		}
		return p.Warnings, fs
	}
	bare := dataWorld(w.T)
	bare.Asked = w.Asked
	noWarnings, noFacts := texts(bare.Plan())
	warnings, facts = texts(w.Plan())
	return slices.DeleteFunc(warnings, func(s string) bool { return slices.Contains(noWarnings, s) }), slices.DeleteFunc(facts, func(s string) bool { return slices.Contains(noFacts, s) })
}

func (w *fixture) tells(warnings, facts []string) {
	w.T.Helper()
	gotWarnings, gotFacts := w.told()
	if d := cmp.Diff([][]string{warnings, facts}, [][]string{gotWarnings, gotFacts}); d != "" {
		w.T.Errorf("the plan tells otherwise:\n%s", d)
	}
}

func grant(to string) kmstypes.GrantListEntry {
	return kmstypes.GrantListEntry{GranteePrincipal: &to, Operations: []kmstypes.GrantOperation{kmstypes.GrantOperationDecrypt}}
}

// TestProtectDataListsWhatGoesOn: lifecycle rules, the soonest first, and whom bucket policies and grants let in, by
// names; a warning is what deletes within a week, and whom the configuration does not name.
func TestProtectDataListsWhatGoesOn(t *testing.T) {
	w := dataWorld(t)
	w.bucket("app", "", after("keep", 365), after("purge", 1))
	w.bucket("tmp", "", after("clean", 1, under("tmp/")), after("all", 7))
	w.bucket("logs", "", after("logs", 30, func(r *types.LifecycleRule) { r.Filter, r.Prefix = nil, aws.String("l/") }), //nolint:staticcheck // old rules have it
		after("off", 2, func(r *types.LifecycleRule) { r.Status = types.ExpirationStatusDisabled }))
	w.bucket("old", "", after("versions", 90, func(r *types.LifecycleRule) {
		r.NoncurrentVersionExpiration = &types.NoncurrentVersionExpiration{NoncurrentDays: aws.Int32(8)}
		r.Filter = &types.LifecycleRuleFilter{And: &types.LifecycleRuleAndOperator{Prefix: aws.String("v/")}}
	}))
	w.bucket("dated", "", after("on a day", 0, func(r *types.LifecycleRule) {
		r.Expiration = &types.LifecycleExpiration{Date: aws.Time(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))}
		r.Filter = &types.LifecycleRuleFilter{ObjectSizeGreaterThan: aws.Int64(0)}
	}))
	w.bucket("parts", "", after("uploads", 0, func(r *types.LifecycleRule) {
		r.Expiration = &types.LifecycleExpiration{ExpiredObjectDeleteMarker: aws.Bool(true)}
		r.AbortIncompleteMultipartUpload = &types.AbortIncompleteMultipartUpload{DaysAfterInitiation: aws.Int32(1)}
	}))
	w.Account(actiontest.Member).AddBucket(awsfake.Bucket{Name: "abroad", Region: "ap-south-1", Policy: letsIn(account(actiontest.Sandbox), "")}) // in no configured region
	w.bucket("public", letsIn(`"*"`, ""))
	w.bucket("shared", letsIn(account(actiontest.Outside), ""))
	w.bucket("inside", letsIn(account(actiontest.Member), ""))
	w.bucket("alarms", letsIn(`{"Service":"sns.amazonaws.com"}`, `,"Condition":{"StringEquals":{"aws:SourceAccount":"`+actiontest.Member+`"}}`))
	for region, key := range map[string]awsfake.Key{
		"us-east-1":  {ID: "11111111-0000-0000-0000-000000000000", Alias: "alias/data", Grants: []kmstypes.GrantListEntry{grant("arn:aws:iam::" + actiontest.Member + ":role/app"), grant("arn:aws:iam::" + actiontest.Outside + ":role/mallory")}},
		"eu-west-1":  {ID: "22222222-0000-0000-0000-000000000000", Grants: []kmstypes.GrantListEntry{grant("arn:aws:iam::" + actiontest.Sandbox + ":root"), grant("rds.eu-west-1.amazonaws.com")}},
		"ap-south-1": {ID: "33333333-0000-0000-0000-000000000000", Grants: []kmstypes.GrantListEntry{grant("arn:aws:iam::" + actiontest.Outside + ":root")}}, // in no configured region
	} {
		w.Account(actiontest.Member).AddKey(region, key)
	}
	for _, document := range []string{"protect-data", "protect-versions"} {
		w.freeze(actiontest.Member, document)
		w.tells([]string{
			"Lifecycle rules go on deleting within 7 days, in 3 buckets: dated on 2026-12-01 (some objects) (rule on a day), app after 1 day (rule purge and 1 more), tmp after 7 days (rule all and 1 more).",
			"2 buckets let in others than the configuration names: public: everybody (*), shared: account 666666666666.",
			"1 key has grants for others than the configuration names: data (us-east-1): arn:aws:iam::666666666666:role/mallory.",
		}, []string{
			"Lifecycle rules: 2 buckets expire objects: old after 8 days under v/ (old versions) (rule versions), logs after 30 days under l/ (rule logs)",
			"Bucket policies: 1 bucket lets in other accounts: abroad: account 333333333333 (sandbox)",
			"Grants of keys: 1 key has grants for other accounts: 22222222-0000-0000-0000-000000000000 (eu-west-1): account 333333333333 (sandbox)",
		})
	}
	if first := w.Plan().Warnings[0]; !strings.HasPrefix(first, "Lifecycle rules go on") {
		t.Errorf("what goes on deleting is not told first, but %q", first)
	}
}

// TestProtectDataNamesTheOrganization: whom the organization's own ID lets in is no stranger.
func TestProtectDataNamesTheOrganization(t *testing.T) {
	w := dataWorld(t)
	out, err := w.orgs().DescribeAccount(t.Context(), &organizations.DescribeAccountInput{AccountId: aws.String(actiontest.Member)})
	actiontest.Must(t, err)
	own := strings.Split(aws.ToString(out.Account.Arn), "/")[1]
	of := func(id string) string {
		return letsIn(`"*"`, `,"Condition":{"StringEquals":{"aws:PrincipalOrgID":"`+id+`"}}`)
	}
	w.bucket("ours", of(own))
	w.bucket("theirs", of("o-0000000000"))
	w.tells([]string{"1 bucket lets in others than the configuration names: theirs: the organization o-0000000000."},
		[]string{"Bucket policies: 1 bucket lets in other accounts: ours: the organization " + own})
}

// TestProtectDataSaysWhatItCouldNotRead: a bucket whose policy denies us, a key that is closed to the account, a
// region that does not answer. What AWS manages is not told of.
func TestProtectDataSaysWhatItCouldNotRead(t *testing.T) {
	w := dataWorld(t)
	w.bucket("closed", `{"Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:GetBucketPolicy","Resource":"arn:aws:s3:::closed"}]}`, after("purge", 1))
	w.Account(actiontest.Member).AddKey("us-east-1", awsfake.Key{ID: "closed-key", Closed: true})
	w.Account(actiontest.Member).AddKey("us-east-1", awsfake.Key{ID: "managed-key", Alias: "alias/aws/ebs", Closed: true})
	w.Fault(awsfake.Fault{Op: "kms:ListKeys", Region: "eu-west-1", Err: actiontest.Denied})
	w.bucket("gone", "") // deleted between the calls, and so is a key
	w.Fault(awsfake.Fault{Op: "s3:Get*", Resource: "*:gone", Err: &smithy.GenericAPIError{Code: "NoSuchBucket"}})
	w.Account(actiontest.Member).AddKey("us-east-1", awsfake.Key{ID: "gone-key"})
	w.Fault(awsfake.Fault{Op: "kms:ListGrants", Resource: "*gone-key", Err: &kmstypes.NotFoundException{}})
	warnings, _ := w.told()
	if len(warnings) != 4 {
		t.Fatalf("%q", warnings)
	}
	actiontest.HasWords(t, warnings[0], "closed after 1 day (rule purge)") // the other of both was read
	actiontest.HasWords(t, warnings[1], "1 bucket could not be read, look by hand: closed (AccessDenied", "explicit deny in a resource-based policy")
	actiontest.HasWords(t, warnings[2], "1 key could not be read, look by hand: closed-key (us-east-1) (AccessDeniedException")
	actiontest.HasWords(t, warnings[3], "The keys could not be listed, look by hand: eu-west-1 (AccessDenied")

	// The member role is gone: nothing can be read, and the plan stands.
	w = dataWorld(t)
	_, err := w.IAM().DeleteRolePolicy(t.Context(), &iam.DeleteRolePolicyInput{RoleName: aws.String("killswitch-responder"), PolicyName: aws.String("killswitch")})
	actiontest.Must(t, err)
	_, err = w.IAM().DeleteRole(t.Context(), &iam.DeleteRoleInput{RoleName: aws.String("killswitch-responder")})
	actiontest.Must(t, err)
	p := w.Plan()
	if actiontest.HasWords(t, strings.Join(p.Warnings, "\n"), "grants of keys go on could not be read (AccessDenied"); !p.Steps[0].Deny {
		t.Errorf("%+v", p.Steps)
	}
}

// TestProtectDataReadsWithinLimits: thousands of buckets, keys and grants are read up to a number, which is told.
func TestProtectDataReadsWithinLimits(t *testing.T) {
	w := dataWorld(t)
	w.bucket("victim", "", after("purge", 1))
	w.Clock.Add(time.Hour)
	for i := range 1000 { // whoever wants to hide it makes these
		w.bucket(fmt.Sprintf("a-%04d", i), letsIn(`"*"`, ""), after("x", 2))
	}
	for i := range 1200 {
		w.Account(actiontest.Member).AddKey("us-east-1", awsfake.Key{ID: fmt.Sprintf("key-%04d", i), Grants: slices.Repeat([]kmstypes.GrantListEntry{grant("arn:aws:iam::" + actiontest.Outside + ":root")}, 2)})
	}
	w.Account(actiontest.Member).AddKey("eu-west-1", awsfake.Key{ID: "many", Grants: append(slices.Repeat([]kmstypes.GrantListEntry{grant("arn:aws:iam::" + actiontest.Sandbox + ":root")}, 2000), grant("arn:aws:iam::"+actiontest.Outside+":root"))})
	w.ResetCalls()
	warnings, facts := w.told()
	w.ResetCalls()
	w.Plan()
	ops := map[string]int{}
	for _, c := range w.Calls() {
		ops[c.Op]++
	}
	want := map[string]int{"s3:ListBuckets": 1, "s3:GetBucketPolicy": 500, "s3:GetBucketLifecycleConfiguration": 500, "kms:ListKeys": 2, "kms:ListAliases": 2, "kms:ListGrants": 250 + 10}
	for op := range ops {
		if !strings.HasPrefix(op, "s3:") && !strings.HasPrefix(op, "kms:") {
			delete(ops, op)
		}
	}
	if d := cmp.Diff(want, ops); d != "" {
		t.Errorf("it called otherwise:\n%s", d)
	}
	actiontest.HasWords(t, warnings[0], "within 7 days, in 500 buckets: victim after 1 day (rule purge), a-0000 after 2 days", "more.")
	actiontest.HasWords(t, strings.Join(warnings[1:], "\n"), "499 buckets let in", "250 keys have grants", "Not all were read: 500 of 1001 buckets.", "Not all were read: 250 of more than 1001 keys.")
	actiontest.HasWords(t, strings.Join(facts, "\n"), "1 key has grants for other accounts: many (eu-west-1)")
	for _, text := range append(warnings, facts...) {
		if len(text) > 260 {
			t.Errorf("too long for a card: %q", text)
		}
	}
}

// TestProtectDataReadsWithinSeconds: an AWS that does not answer delays the plan no longer than that, and what was
// read by then is told.
func TestProtectDataReadsWithinSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := dataWorld(t)
		for i := range 20 {
			w.bucket(fmt.Sprintf("b-%02d", i), "", after("purge", 1))
		}
		w.Account(actiontest.Member).AddKey("us-east-1", awsfake.Key{ID: "slow"})
		w.Fault(awsfake.Fault{Op: "s3:*", Resource: "*b-1*", Delay: time.Minute})
		w.Fault(awsfake.Fault{Op: "kms:ListGrants", Delay: time.Minute})
		began := time.Now()
		p := w.Plan()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("planned after %s", took)
		}
		actiontest.HasWords(t, strings.Join(p.Warnings, "\n"), "in 10 buckets: b-00 after 1 day (rule purge)", "Not all were read: 10 of 20 buckets.", "Not all were read: 0 of 1 keys.")
	})
}

// TestProtectDataSaysThatNothingGoesOn: then nobody needs to look.
func TestProtectDataSaysThatNothingGoesOn(t *testing.T) {
	w := dataWorld(t)
	w.bucket("plain", "")
	w.Account(actiontest.Member).AddKey("us-east-1", awsfake.Key{ID: "plain"})
	w.tells([]string{}, []string{"What goes on: no lifecycle rule, bucket policy or grant to tell of, in 1 bucket and 1 key"})
}

// TestProtectDataNamesAreShort: whoever holds the account names rules, prefixes and aliases.
func TestProtectDataNamesAreShort(t *testing.T) {
	w := dataWorld(t)
	w.bucket("data", letsIn(`{"CanonicalUser":"`+strings.Repeat("x\u202e", 300)+`"}`, ""), after("a\n\u202e*b*"+strings.Repeat("x", 240), 1, under(strings.Repeat("\u200by/", 400))))
	w.Account(actiontest.Member).AddKey("us-east-1", awsfake.Key{ID: "k", Alias: "alias/" + strings.Repeat("z", 250), Grants: []kmstypes.GrantListEntry{grant("arn:aws:iam::" + actiontest.Outside + ":role/" + strings.Repeat("p", 510) + "/x")}})
	warnings, _ := w.told()
	if len(warnings) != 3 {
		t.Fatalf("%q", warnings)
	}
	actiontest.HasWords(t, warnings[0], "data after 1 day under y/y/", "(rule a *b*x")
	for _, text := range warnings {
		if len([]rune(text)) > 260 || actions.Clean(text) != text {
			t.Errorf("not short and clean: %q", text)
		}
	}
}

// TestOnlyProtectDataReadsData: the session in the target's account may read that for these documents alone, and
// nothing is read but for people.
func TestOnlyProtectDataReadsData(t *testing.T) {
	w := dataWorld(t)
	w.bucket("data", "")
	w.Account(actiontest.Member).AddKey("us-east-1", awsfake.Key{ID: "k"})
	reads := func() (n int) {
		for _, c := range w.Calls() {
			if strings.HasPrefix(c.Op, "s3:") || strings.HasPrefix(c.Op, "kms:") {
				n++
			}
		}
		return n
	}
	enter := func() *actions.Account {
		acct, err := w.Enter(actions.Responder, actions.PhasePlan).Target(t.Context())
		actiontest.Must(t, err)
		return acct
	}
	protect := enter()
	for _, look := range []actions.Look{actions.LookFirst, actions.LookSteps} {
		acct := w.Enter(actions.Responder, actions.PhasePlan)
		acct.Look = look
		if _, err := w.Act.Plan(t.Context(), acct, w.Call()); err != nil || reads() > 0 {
			t.Errorf("%d reads, %v", reads(), err)
		}
	}
	_, err := s3.NewFromConfig(protect.Config()).GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String("data"), Key: aws.String("k")})
	actiontest.WantCode(t, err, "NotImplemented") // not even modelled
	for _, document := range []string{"", "control-plane", "freeze"} {
		w.freeze(actiontest.Member, document)
		w.ResetCalls()
		if w.Plan(); reads() > 0 {
			t.Errorf("%s reads data", document)
		}
		_, err := s3.NewFromConfig(enter().Config()).ListBuckets(t.Context(), nil)
		actiontest.WantCode(t, err, "AccessDenied")
		_, err = kms.NewFromConfig(enter().Config()).ListKeys(t.Context(), nil)
		actiontest.WantCode(t, err, "AccessDeniedException")
	}
	// A document of the configuration is what it says, whatever its name.
	w.Org.SCPs = map[string]string{"protect-data": w.document("freeze"), "own": w.document("protect-versions")}
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	for document, want := range map[string]bool{"protect-data": false, "own": true} {
		w.freeze(actiontest.Member, document)
		w.ResetCalls()
		if w.Plan(); reads() > 0 != want {
			t.Errorf("%s reads data: %t", document, !want)
		}
	}
	// A unit has no account to look into.
	w = dataWorld(t)
	w.units(workloads, "protect-data")
	if p := w.Plan(); reads() > 0 || !strings.Contains(strings.Join(p.Warnings, "\n"), "freeze the accounts that matter") {
		t.Errorf("%d reads, %q", reads(), p.Warnings)
	}
}

// TestProtectDataEntersWithManyNames: of protected principals whose names fill the session policy.
func TestProtectDataEntersWithManyNames(t *testing.T) {
	w := dataWorld(t)
	w.bucket("data", "", after("purge", 1))
	for i := range 200 {
		for _, kind := range []string{"role", "user"} {
			w.Org.ProtectedPrincipals = append(w.Org.ProtectedPrincipals, fmt.Sprintf("arn:aws:iam::*:%s/%d", kind, i))
			w.Hub = actions.NewCloud(w.Config(), w.Org)
			w.Hub.SetNow(w.Clock.Now)
			if i%10 == 0 && i < 60 {
				actiontest.HasWords(t, strings.Join(w.Plan().Warnings, "\n"), "data after 1 day")
			}
		}
	}
}
