package role_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

// runs starts an instance with one of the role's profiles.
func (w *fixture) runs(profile, region, id string) *fixture {
	w.T.Helper()
	w.Account(actiontest.Member).Region(region).AddInstance(awsfake.Instance{ID: id, Profile: profile})
	w.Member(actiontest.Member, awsfake.MemberRoles{ExternalID: w.Org.ExternalID, ResponderPolicy: actiontest.AllowAll, RestorerPolicy: actiontest.AllowAll})
	w.Org.Regions = []string{"eu-west-1", "us-east-1"}
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	w.Hub.SetNow(w.Clock.Now)
	return w
}

// can reports whether what an instance's metadata service hands out works.
func (w *fixture) can(region, id string) bool {
	w.T.Helper()
	s := w.Account(actiontest.Member).Region(region).Credentials(id)
	if s == nil {
		return false
	}
	ok, _ := s.Can("s3:GetObject", "arn:aws:s3:::b/k")
	return ok
}

// instances are running ones in two regions, one that is stopped when the role comes back, one that
// is isolated meanwhile, and one of another role.
const (
	first, second, stopped, isolated, other = "i-0000000000000000a", "i-0000000000000000b", "i-0000000000000000c", "i-0000000000000000d", "i-0000000000000000e"
)

func runningWorld(t *testing.T) *fixture {
	t.Helper()
	w := deleteWorld(t, func(r *awsfake.Role) { everything(r); r.Boundary = "" })
	w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "another", Profiles: []string{"another"}, Attached: []string{w.AdminPolicy()}})
	w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "killswitch-isolation", Profiles: []string{"killswitch-isolation"}})
	w.runs("web", "eu-west-1", first).runs("batch", "us-east-1", second).runs("web", "eu-west-1", stopped).runs("web", "eu-west-1", isolated).runs("another", "eu-west-1", other)
	for _, i := range [][2]string{{"eu-west-1", first}, {"us-east-1", second}, {"eu-west-1", stopped}, {"eu-west-1", isolated}, {"eu-west-1", other}} {
		if !w.can(i[0], i[1]) {
			t.Fatalf("%s has no credentials before", i[1])
		}
	}
	return w
}

func (w *fixture) set(id string, change func(*awsfake.Instance)) {
	w.Account(actiontest.Member).Region("eu-west-1").SetInstance(id, change)
}

// A role that is made again reaches a running instance only with another association: undo brings it
// to those that still have the profile, at once.
func TestUndoOfDeleteRoleReachesRunningInstances(t *testing.T) {
	w := runningWorld(t)
	p := w.Plan()
	actiontest.HasWords(t, actiontest.StepOf(t, p, "profile web").Current, "3 instances run with it")
	actiontest.HasWords(t, actiontest.StepOf(t, p, "profile batch").Current, "1 instance runs with it")
	facts := ""
	for _, f := range p.Facts {
		facts += f.Label + ": " + f.Text + "\n"
	}
	actiontest.HasWords(t, facts, "Running instances: 4: ", first+" (eu-west-1)", second+" (us-east-1)")
	if strings.Contains(facts, other) {
		t.Errorf("an instance of another role is listed: %s", facts)
	}
	all := w.ApplySteps(p.Steps)
	actiontest.AllApplied(t, all)
	if w.can("eu-west-1", first) {
		t.Error("the role is deleted, and its credentials work")
	}
	w.set(stopped, func(i *awsfake.Instance) { i.State = "stopped" })
	isolation := w.Snapshot().Accounts[actiontest.Member].Profiles["killswitch-isolation"].ARN
	w.set(isolated, func(i *awsfake.Instance) { i.Profile = isolation })

	read := w.Undo(all)
	for id, r := range read {
		if !r.Holds {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
	read = w.Undo(all) // the role is back by now
	actiontest.HasWords(t, read["profile web"].Found, isolated+" (eu-west-1)", "left alone")
	if strings.Contains(read["profile web"].Found, first) {
		t.Errorf("%q", read["profile web"].Found)
	}
	for id, want := range map[string]bool{first: true, stopped: false, other: true} {
		if got := w.can("eu-west-1", id); got != want {
			t.Errorf("%s has credentials that work: %t", id, got)
		}
	}
	if !w.can("us-east-1", second) {
		t.Error("the instance in the other region has no credentials")
	}
	if got := w.Snapshot().Accounts[actiontest.Member].Regions["eu-west-1"].Instances[isolated].Profile; got != isolation {
		t.Errorf("the isolated instance has %s", got)
	}
	w.ResetCalls()
	if r := w.Undo(all)["profile web"]; !r.Holds || r.Changed || w.Mutations() != 0 {
		t.Errorf("once more: %+v, %d calls that write", r, w.Mutations())
	}
}

// What EC2 refuses is told for each instance, and the others get their credentials.
func TestUndoOfDeleteRoleTellsWhatIsRefused(t *testing.T) {
	w := runningWorld(t)
	all := w.Contain()
	actiontest.AllApplied(t, all)
	w.Fault(awsfake.Fault{Op: "ec2:ReplaceIamInstanceProfileAssociation", Region: "us-east-1",
		Err: &smithy.GenericAPIError{Code: "UnauthorizedOperation", Message: "You are not authorized to perform this operation."}})
	w.Undo(all)
	read := w.Undo(all)
	if r := read["profile batch"]; r.Holds {
		t.Errorf("%+v", r)
	}
	actiontest.HasWords(t, read["profile batch"].Found, second+" (us-east-1)", "replace-iam-instance-profile-association", "UnauthorizedOperation")
	if r := read["profile web"]; !r.Holds || !w.can("eu-west-1", first) {
		t.Errorf("%+v", r)
	}
}

// Where EC2 keeps an association it is not clear that the instance got anything: it is told, and not tried
// for ever.
func TestUndoOfDeleteRoleWhereEC2KeepsTheAssociation(t *testing.T) {
	w := runningWorld(t)
	all := w.Contain()
	actiontest.AllApplied(t, all)
	awsfake.Serve(w.Cloud, "ec2:ReplaceIamInstanceProfileAssociation", true, func(*ec2.ReplaceIamInstanceProfileAssociationInput) string {
		return "arn:aws:ec2:eu-west-1:" + actiontest.Member + ":instance/*"
	},
		func(in *ec2.ReplaceIamInstanceProfileAssociationInput) (*ec2.ReplaceIamInstanceProfileAssociationOutput, error) {
			return &ec2.ReplaceIamInstanceProfileAssociationOutput{IamInstanceProfileAssociation: &types.IamInstanceProfileAssociation{AssociationId: in.AssociationId}}, nil
		})
	w.Undo(all) // refused: an operation of a test's own has no condition keys
	acct, err := w.Hub.Enter(t.Context(), actions.Restorer, actiontest.Member, "", actiontest.Actor, []actions.Statement{{Actions: []string{"*"}, Resources: []string{"*"}}})
	actiontest.Must(t, err)
	i := slices.IndexFunc(all, func(d actiontest.LedgerEntry) bool { return d.Step.ID == "profile web" })
	r, err := w.Act.Revert(t.Context(), acct, all[i].Step, all[i].Effect)
	if err != nil || r.Holds || r.Changed || !strings.Contains(r.Found, first+" (eu-west-1) (EC2 kept the association)") {
		t.Errorf("%+v, %v", r, err)
	}
}

// Which instances run can't be read: it is told, and the role is deleted all the same.
func TestDeleteRoleWhereInstancesCantBeRead(t *testing.T) {
	w := runningWorld(t)
	w.Fault(awsfake.Fault{Op: "ec2:DescribeInstances", Err: actiontest.Denied})
	p := w.Plan()
	actiontest.HasWords(t, strings.Join(p.Warnings, "\n"), "eu-west-1", "us-east-1", "AccessDenied", "hours later")
	all := w.ApplySteps(p.Steps)
	actiontest.AllApplied(t, all)
	for id, r := range w.Undo(all) {
		if !r.Holds {
			t.Errorf("Revert %s: %+v", id, r)
		}
	}
}

// The session of an undo gives instances the profiles that held the role, and no others.
func TestUndoSessionAssociatesTheRolesProfilesAlone(t *testing.T) {
	w := runningWorld(t)
	w.Resources = resourcesOf(w.Plan())
	web, batch := w.Snapshot().Accounts[actiontest.Member].Profiles["web"].ARN, w.Snapshot().Accounts[actiontest.Member].Profiles["batch"].ARN
	found := false
	for _, s := range w.Permits(actions.PhaseUndo) {
		if slices.Contains(s.Actions, "ec2:ReplaceIamInstanceProfileAssociation") {
			found = true
			if got := slices.Sorted(slices.Values(s.Condition["ArnLike"]["ec2:NewInstanceProfile"])); !slices.Equal(got, []string{batch, web}) {
				t.Errorf("it may associate %v", got)
			}
			if !slices.Equal(s.Resources, []string{"arn:aws:ec2:*:" + actiontest.Member + ":instance/*"}) {
				t.Errorf("on %v", s.Resources)
			}
		}
	}
	if !found {
		t.Error("it may associate nothing")
	}
}
