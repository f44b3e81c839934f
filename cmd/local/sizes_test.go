package local_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/alerts"
	"github.com/killswitch-chatops/killswitch/approvals/finding"
)

const suspect = "i-0123456789abcdef0"

// onManyPorts registers the instance on as many ports of ten target groups as AWS allows.
func onManyPorts(w *world) {
	const vpc, group = "vpc-0aaaaaaaaaaaaaaaa", "sg-0aaaaaaaaaaaaaaaa"
	in := w.aws.Account(prod).Region("us-east-1")
	in.AddVPC(awsfake.VPC{ID: vpc})
	open := []awsfake.Rule{{Protocol: "-1", Peer: "0.0.0.0/0"}}
	in.SetGroup(awsfake.SecurityGroup{ID: group, VPC: vpc, Name: "web", Ingress: open, Egress: open})
	in.AddInstance(awsfake.Instance{ID: suspect, Tags: map[string]string{"Name": "web-1"},
		Interfaces: []awsfake.Interface{{ID: "eni-0aaaaaaaaaaaaaaa0", VPC: vpc, Subnet: "subnet-1", Groups: []string{group}, IPv4: "10.0.0.10"}}})
	for g := range 10 {
		var targets []awsfake.Target
		for port := range int32(1000) {
			targets = append(targets, awsfake.Target{ID: suspect, Port: 8000 + port})
		}
		in.AddTargetGroup(awsfake.TargetGroup{Name: fmt.Sprintf("web-%d", g), VPC: vpc, Port: 80, Targets: targets})
	}
}

// inManyProfiles puts the role into n instance profiles with names and paths of full length.
func inManyProfiles(n int) func(*world) {
	return func(w *world) {
		api := iam.NewFromConfig(w.aws.Admin(prod))
		role, path := "app-role", "/"+strings.Repeat("p", 510)+"/"
		for i := range n {
			name := fmt.Sprintf("%03d%s", i, strings.Repeat("n", 125))
			_, err := api.CreateInstanceProfile(w.t.Context(), &iam.CreateInstanceProfileInput{InstanceProfileName: &name, Path: &path})
			w.must(err)
			_, err = api.AddRoleToInstanceProfile(w.t.Context(), &iam.AddRoleToInstanceProfileInput{InstanceProfileName: &name, RoleName: &role})
			w.must(err)
		}
	}
}

// withFiftyTags leaves no room for the tag of ours.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
func withFiftyTags(w *world) {
	tags := map[string]string{}
	for i := range 50 {
		tags[fmt.Sprintf("t%02d", i)] = "x"
	}
	w.aws.Account(prod).AddRole(awsfake.Role{Name: "app-role", Tags: tags})
}

// withTakenNames has roles, profiles and policies of our names that grant everything.
func withTakenNames(w *world) {
	onManyPorts(w)
	const admin = "arn:aws:iam::aws:policy/AdministratorAccess"
	a := w.aws.Account(prod)
	a.AddRole(awsfake.Role{Name: "killswitch-isolation", Attached: []string{admin}, Profiles: []string{"killswitch-isolation"}})
	a.AddRole(awsfake.Role{Name: "app-role", Attached: []string{admin}, Profiles: []string{"web"}})
	a.AddUser(awsfake.User{Name: "deploy-bot", Attached: []string{admin}})
	name, grants := "KillSwitchQuarantine", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	_, err := iam.NewFromConfig(w.aws.Admin(prod)).CreatePolicy(w.t.Context(), &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: &grants})
	w.must(err)
	i := w.aws.Snapshot().Accounts[prod].Regions["us-east-1"].Instances[suspect]
	i.Profile = "web"
	a.Region("us-east-1").AddInstance(i)
}

func withManyPolicies(w *world) {
	r := awsfake.Role{Name: "app-role", Inline: map[string]string{}}
	for i := range 160 {
		r.Inline[fmt.Sprintf("p%03d", i)] = `{"Statement":{"Effect":"Deny","Action":"a:b","Resource":"*"}}`
	}
	w.aws.Account(prod).AddRole(r)
}

// TestNoSizeOfATargetBlocks: whatever is attached to a target, whatever names are taken,
// it is planned, contained and undone. Rows of DynamoDB have 400 KB.
func TestNoSizeOfATargetBlocks(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		command string
		alter   func(*world)
	}{
		"1,000 ports of 10 target groups": {"isolate_instance arn:aws:ec2:us-east-1:" + prod + ":instance/" + suspect + " stolen", onManyPorts},
		"stripped, in 500 profiles":       {"detach_policies prod/app-role stolen", inManyProfiles(500)},
		"with 50 tags":                    {"revoke_sessions prod/app-role stolen", withFiftyTags},
		"our isolation role's name taken": {"isolate_instance arn:aws:ec2:us-east-1:" + prod + ":instance/" + suspect + " stolen", withTakenNames},
		"our quarantine's name taken":     {"quarantine_user prod/deploy-bot stolen", withTakenNames},
		"160 inline policies":             {"detach_policies prod/app-role stolen", withManyPolicies},
		"deleted, in 500 profiles":        {"delete_role prod/app-role confirm=app-role stolen", inManyProfiles(500)},
	}
	if testing.Short() {
		delete(cases, "deleted, in 500 profiles") // thousands of writes, which the file syncs one by one
	}
	for name, c := range cases {
		for store, keep := range everyStore() {
			t.Run(name+"/"+store, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, c.alter, keep)
				before := w.aws.Snapshot().Accounts[prod]
				began := w.clock.Now()
				r := w.state(w.asks("U01ALICE", c.command), approvals.Pending)
				if took := w.clock.Now().Sub(began); took > 30*time.Second {
					t.Errorf("planned after %s", took)
				}
				w.clicks("U02BOB", r, "approve")
				w.state(r, approvals.Contained)
				w.pass(2 * time.Minute)
				w.clicks("U03CAROL", r, "undo")
				u := w.state(w.undoOf(r), approvals.Pending)
				w.clicks("U01ALICE", w.again(u), "approve")
				w.state(u, approvals.Restored)
				w.state(r, approvals.Undone)
				w.chain(r)
				w.chain(u)
				w.quiet()
				after := w.aws.Snapshot().Accounts[prod]
				if d := cmp.Diff(before.Profiles, after.Profiles) + cmp.Diff(before.Regions["us-east-1"].TargetGroups, after.Regions["us-east-1"].TargetGroups, cmpopts.EquateEmpty()); d != "" {
					t.Errorf("not as before: %.2000s", d)
				}
			})
		}
	}
}

// everyStore are the places to keep tables in.
func everyStore() map[string]func(*world) {
	all := map[string]func(*world){"file": inFile}
	if endpoint != "" {
		all["dynamodb"] = inDynamoDB
	}
	return all
}

// TestNoSizeOfAnEventLosesIt: an event that a queue takes is shown and kept, whatever
// signs it is full of; a larger one is told and set aside.
func TestNoSizeOfAnEventLosesIt(t *testing.T) {
	t.Parallel()
	for store, keep := range everyStore() {
		for _, sign := range []string{"<", `\"`, "é"} {
			for _, size := range []int{74 << 10, 250 << 10, 1<<20 - 10_000, 1 << 20} {
				t.Run(fmt.Sprintf("%s/%s/%d", store, sign, size), func(t *testing.T) {
					t.Parallel()
					w := newWorld(t, keep, func(w *world) {
						w.cfg.Alerts.Routes = []finding.Route{{Match: finding.Match{Source: finding.GuardDuty}, Delivery: finding.Propose}}
					})
					event := []byte(strings.Replace(string(w.sample(exfiltration)), `"description": "`, `"description": "`+strings.Repeat(sign, size/len(sign)), 1))
					w.arrive(event)
					if len(event) > 1<<20 {
						d, ok, err := w.Dead.Receive(t.Context(), time.Minute)
						if err != nil || !ok || len(d.Body) < len(event) || !strings.Contains(w.said(), "could not be read: Larger than 1048576 bytes") {
							t.Errorf("set aside: %v %v, %d bytes; %.300s", ok, err, len(d.Body), w.said())
						}
						w.must(w.Dead.Delete(t.Context(), d))
						w.pass(2 * time.Minute)
						w.quiet() // it never comes again
						return
					}
					w.quiet()
					w.alertTS()
					table := approvals.Requests{Store: w.Requests}
					a, err := alerts.Table{Requests: table}.Get(t.Context(), alertID)
					w.must(err)
					e, err := table.Evidence(t.Context(), a.Reports[0].Event)
					w.must(err)
					row, err := w.Requests.Get(t.Context(), approvals.Key{Part: alertID, Sort: "alert"})
					w.must(err)
					if len(e.Body) < size || len(e.Body) > len(event)+200 || len(row.Body) > 16<<10 {
						t.Errorf("of %d bytes %d are kept, and the alert has %d", len(event), len(e.Body), len(row.Body))
					}
				})
			}
		}
	}
}
