package instance_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func (w *isolated) rolePolicies(role string) map[string]string {
	return w.Snapshot().Accounts[w.Asked.Account].Roles[role].Inline
}

// stolen are credentials that an instance got from the role.
func (w *isolated) stolen(instance string) *awsfake.Session {
	arn := strings.Replace(w.arn, suspect, instance, 1)
	return w.Session("arn:"+w.Partition()+":iam::"+w.Asked.Account+":role/service/"+appRole, instance).With("ec2:SourceInstanceARN", arn)
}

// The role is that of the profile, whatever the profile is called; a role that
// happens to have the profile's name is another one.
func TestProfileNameDiffersFromRoleName(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "web-profile"})
	w.contain()
	if got := w.rolePolicies("web-profile"); len(got) != 0 {
		t.Errorf("the role of the profile's name was changed: %v", got)
	}
	if got := w.rolePolicies(appRole); len(got) != 1 {
		t.Errorf("the role in the profile has %v", got)
	}
}

func TestRoleSharedByTwoInstances(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	suspects, others := w.stolen(suspect), w.stolen(neighbour)
	const act, on = "s3:GetObject", "arn:aws:s3:::data/x"
	for _, s := range []*awsfake.Session{suspects, others} {
		if ok, why := s.Can(act, on); !ok {
			t.Fatalf("before: %s", why)
		}
	}
	facts := w.plan().Facts
	i := slices.IndexFunc(facts, func(f actions.Fact) bool { return f.Label == "Same instance profile" })
	if i < 0 {
		t.Fatalf("facts %v do not tell who shares the profile", facts)
	}
	actiontest.HasWords(t, facts[i].Text, neighbour)
	p, es := w.contain()
	if ok, _ := suspects.Can(act, on); ok {
		t.Error("the instance's credentials still work")
	}
	if ok, why := others.Can(act, on); !ok {
		t.Errorf("the neighbour lost its permissions: %s", why)
	}
	if got := w.profileOf(neighbour); got != "web-profile" {
		t.Errorf("the neighbour's profile is %s", got)
	}
	w.undo(p, es)
	if ok, why := suspects.Can(act, on); !ok {
		t.Errorf("after undo: %s", why)
	}
	if got := w.profileOf(suspect); got != "web-profile" {
		t.Errorf("after undo the profile is %s", got)
	}
}

// Whoever may keep the responder from passing the isolation role saves the instance no credentials.
func TestPassRoleDenied(t *testing.T) {
	w := newIsolated(t, isolateOptions{deployed: true})
	w.AddRoleDeny("iam:PassRole")
	before := w.state()
	p, es := w.contain()
	w.shut()
	s := actiontest.StepOf(t, p, "profile")
	if r := w.verify(s, es[s.ID]); !r.Holds || w.profileOf(suspect) != "" {
		t.Errorf("Verify: %+v, profile %q", r, w.profileOf(suspect))
	}
	if ok, _ := w.stolen(suspect).Can("s3:GetObject", "arn:aws:s3:::data/x"); ok {
		t.Error("the role is not denied")
	}
	w.undo(p, es)
	if d := cmp.Diff(before.Accounts[actiontest.Member].Regions, w.state().Accounts[actiontest.Member].Regions); d != "" {
		t.Error(d)
	}
}

// AddRoleDeny takes an action from the responder role itself.
func (w *isolated) AddRoleDeny(action string) {
	deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"` + action + `","Resource":"*"}]}`
	_, err := iam.NewFromConfig(w.Admin(w.Asked.Account)).PutRolePolicy(w.T.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("killswitch-responder"), PolicyName: aws.String("deny"), PolicyDocument: &deny})
	actiontest.Must(w.T, err)
}

// TestUnfitIsolationProfile: the shared profile is missing, or somebody made it first. Only one whose role
// has the boundary is used, whatever else that role has; without it the instance is left without a
// profile, and the card says so. Nothing is made or changed in IAM.
func TestUnfitIsolationProfile(t *testing.T) {
	const managed = "arn:aws:iam::aws:policy/"
	in := []string{isolation}
	roles := map[string]struct {
		role *awsfake.Role
		says string // "" if it is used
	}{
		"not deployed":         {nil, "not deployed"},
		"only the role":        {&awsfake.Role{Name: isolation, Boundary: managed + "AWSDenyAll"}, "not deployed"},
		"an administrator":     {&awsfake.Role{Name: isolation, Attached: []string{managed + "AdministratorAccess"}, Profiles: in}, "AWSDenyAll"},
		"another boundary":     {&awsfake.Role{Name: isolation, Boundary: managed + "AdministratorAccess", Profiles: in}, "AWSDenyAll"},
		"another role in it":   {&awsfake.Role{Name: "backdoor", Boundary: managed + "AWSDenyAll", Profiles: in}, "backdoor"},
		"a role on a path":     {&awsfake.Role{Name: isolation, Path: "/x/", Boundary: managed + "AWSDenyAll", Profiles: in}, "role/x/"},
		"a bound one, trusted": {&awsfake.Role{Name: isolation, Boundary: managed + "AWSDenyAll", Inline: map[string]string{"x": actiontest.AllowAll}, Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::666666666666:root","Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`, Profiles: in}, ""},
	}
	for name, tt := range roles {
		t.Run(name, func(t *testing.T) {
			w := newIsolated(t, isolateOptions{})
			if tt.role != nil {
				w.Account(actiontest.Member).AddRole(*tt.role)
			}
			before := w.Snapshot().Accounts[actiontest.Member]
			p, es := w.contain()
			want, warnings := "", strings.Join(p.Warnings, " ")
			if tt.says == "" {
				want = isolation
			} else {
				actiontest.HasWords(t, warnings, "left without a profile", tt.says, "killswitch template members")
			}
			if got := w.profileOf(suspect); got != want {
				t.Errorf("the profile is %q, want %q", got, want)
			}
			s := actiontest.StepOf(t, p, "profile")
			if r := w.verify(s, es[s.ID]); !r.Holds {
				t.Errorf("Verify: %+v", r)
			}
			w.undo(p, es)
			after := w.Snapshot().Accounts[actiontest.Member]
			if d := cmp.Diff(before.Roles, after.Roles) + cmp.Diff(before.Profiles, after.Profiles); d != "" {
				t.Error(d)
			}
			if got := w.profileOf(suspect); got != "web-profile" {
				t.Errorf("after undo the profile is %q", got)
			}
		})
	}
}

// TestStoppedInstance: EC2 replaces the profile of a running instance alone.
func TestStoppedInstance(t *testing.T) {
	w := newIsolated(t, isolateOptions{deployed: true, alone: true})
	w.SetInstance(suspect, func(i *awsfake.Instance) { i.State = "stopped" })
	p, es := w.contain()
	s := actiontest.StepOf(t, p, "profile")
	if r := w.verify(s, es[s.ID]); !r.Holds || w.profileOf(suspect) != "" {
		t.Errorf("Verify: %+v, profile %q", r, w.profileOf(suspect))
	}
	if w.undo(p, es); w.profileOf(suspect) != "web-profile" {
		t.Errorf("after undo the profile is %q", w.profileOf(suspect))
	}
}

// TestSecondRequestFindsNoProfile: it holds what the first wrote, so that the first's undo leaves it.
func TestSecondRequestFindsNoProfile(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	p1, es1 := w.contain()
	p2, es2 := w.contain()
	for _, id := range []string{"profile", "role " + appRole} {
		if one, two := actiontest.StepOf(t, p1, id), actiontest.StepOf(t, p2, id); one.Hold != two.Hold || es2[id].Changed {
			t.Errorf("%s: holds %s, %s; effect %+v", id, one.Hold, two.Hold, es2[id])
		}
	}
	s := actiontest.StepOf(t, p2, "profile")
	if r := w.verify(s, es2[s.ID]); !r.Holds {
		t.Errorf("Verify: %+v", r)
	}
	if r := w.Revert(s, actions.Effect{Prior: es1[s.ID].Prior, Wrote: es2[s.ID].Wrote}); !r.Holds || w.profileOf(suspect) != "web-profile" { // as the last holder
		t.Errorf("Revert: %+v, profile %q", r, w.profileOf(suspect))
	}
	if r := w.Revert(s, es2[s.ID]); r.Holds || r.Changed { // there was none before it
		t.Errorf("Revert: %+v", r)
	}
}

// TestUndoFindsNoProfile: what others took off since the isolation profile was put there stays off.
func TestUndoFindsNoProfile(t *testing.T) {
	w := newIsolated(t, isolateOptions{deployed: true})
	p, es := w.contain()
	s := actiontest.StepOf(t, p, "profile")
	w.SetInstance(suspect, func(i *awsfake.Instance) { i.Profile = "" })
	if r := w.Revert(s, es[s.ID]); r.Holds || r.Changed || !strings.Contains(r.Found, "no instance profile") || w.profileOf(suspect) != "" {
		t.Errorf("Revert: %+v", r)
	}
}

// TestUndoFindsAnotherProfile: what others associated since stays.
func TestUndoFindsAnotherProfile(t *testing.T) {
	for _, deployed := range []bool{true, false} {
		w := newIsolated(t, isolateOptions{deployed: deployed})
		w.Account(actiontest.Member).AddRole(awsfake.Role{Name: "theirs", Profiles: []string{"theirs"}})
		p, es := w.contain()
		s := actiontest.StepOf(t, p, "profile")
		w.SetInstance(suspect, func(i *awsfake.Instance) {
			i.Profile = "arn:aws:iam::" + actiontest.Member + ":instance-profile/theirs"
		})
		if r := w.verify(s, es[s.ID]); r.Holds || !strings.Contains(r.Found, "theirs") {
			t.Errorf("Verify: %+v", r)
		}
		if r := w.Revert(s, es[s.ID]); r.Holds || r.Changed || !strings.Contains(r.Found, "theirs") || w.profileOf(suspect) != "theirs" {
			t.Errorf("Revert: %+v", r)
		}
	}
}

func TestIsolationRoleOpenedAfterwards(t *testing.T) {
	w := newIsolated(t, isolateOptions{deployed: true})
	p, es := w.contain()
	s := actiontest.StepOf(t, p, "profile")
	_, err := iam.NewFromConfig(w.Admin(actiontest.Member)).DeleteRolePermissionsBoundary(t.Context(), &iam.DeleteRolePermissionsBoundaryInput{RoleName: aws.String(isolation)})
	actiontest.Must(t, err)
	r := w.verify(s, es[s.ID])
	if r.Holds {
		t.Fatalf("the role lost its boundary, and Verify says %+v", r)
	}
	actiontest.HasWords(t, r.Found, "AWSDenyAll")
	es[s.ID] = w.settle(s)
	if r := w.verify(s, es[s.ID]); !r.Holds {
		t.Errorf("mended: %+v", r)
	}
}

func TestNewProfileIsNotSeenByEC2AtOnce(t *testing.T) {
	w := newIsolated(t, isolateOptions{deployed: true})
	w.Fault(awsfake.Fault{Op: "ec2:ReplaceIamInstanceProfileAssociation", Times: 3,
		Err: &smithy.GenericAPIError{Code: "InvalidParameterValue", Message: "Value (x) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN"}})
	s := actiontest.StepOf(t, w.plan(), "profile")
	_, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run())
	var api smithy.APIError
	if !actions.IsRetryLater(err) || !errors.As(err, &api) {
		t.Fatalf("Apply: %v, want one to try again later", err)
	}
	at := w.Clock.Now()
	e := w.settle(s)
	if d := w.Clock.Now().Sub(at); d > 30*time.Second {
		t.Errorf("it took %v", d)
	}
	if r := w.verify(s, e); !r.Holds || w.profileOf(suspect) != isolation {
		t.Errorf("Verify: %+v, profile %s", r, w.profileOf(suspect))
	}
}

func TestRoleThatMayNotBeChanged(t *testing.T) {
	tests := map[string]awsfake.Role{
		"service-linked": {Name: "AWSServiceRoleForX", Path: "/aws-service-role/x.amazonaws.com/"},
		"protected":      {Name: "keeper", Path: "/ops/"},
	}
	for name, r := range tests {
		t.Run(name, func(t *testing.T) {
			w := newIsolated(t, isolateOptions{deployed: true})
			r.Profiles = []string{"web-profile"}
			w.Account(actiontest.Member).AddRole(r)
			before := w.state()
			p, es := w.contain()
			for _, s := range p.Steps {
				if strings.HasPrefix(s.ID, "role") && (s.Goal == "" || !strings.Contains(s.Skip, r.Name)) {
					t.Errorf("step %+v", s)
				}
			}
			actiontest.HasWords(t, strings.Join(p.Warnings, " "), r.Name, "no deny")
			if got := w.profileOf(suspect); got != isolation {
				t.Errorf("the profile is %s", got)
			}
			w.undo(p, es)
			if got := w.state(); got.Accounts[actiontest.Member].Regions[w.Asked.Region].Instances[suspect].Profile != before.Accounts[actiontest.Member].Regions[w.Asked.Region].Instances[suspect].Profile {
				t.Errorf("the profile is %s", w.profileOf(suspect))
			}
		})
	}
}

func TestProfileGoneBeforeUndo(t *testing.T) {
	w := newIsolated(t, isolateOptions{deployed: true})
	p, es := w.contain()
	s := actiontest.StepOf(t, p, "profile")
	e := es[s.ID]
	e.Prior = new(strings.Replace(*e.Prior, "web-profile", "gone-profile", 1))
	r := w.Revert(s, e)
	if r.Holds || r.Changed {
		t.Errorf("Revert: %+v", r)
	}
	actiontest.HasWords(t, r.Found, "gone-profile", "gone")
}

func TestRoleDeletedAndCreatedAgain(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	p := w.plan()
	s := actiontest.StepOf(t, p, "role "+appRole)
	e := w.settle(s)
	w.Account(actiontest.Member).AddRole(awsfake.Role{Name: appRole, Path: "/service/", Inline: w.rolePolicies(appRole)})
	if _, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run()); !errors.Is(err, actions.ErrRecreated) {
		t.Errorf("Apply: %v", err)
	}
	if _, err := w.Act.Verify(t.Context(), w.Responder(), s, e); !errors.Is(err, actions.ErrRecreated) {
		t.Errorf("Verify: %v", err)
	}
	r := w.Revert(s, e)
	if r.Holds || r.Changed || len(w.rolePolicies(appRole)) != 1 {
		t.Errorf("Revert: %+v", r)
	}
	actiontest.HasWords(t, r.Found, "created again")
}

func TestInstanceWithoutProfile(t *testing.T) {
	w := newIsolated(t, isolateOptions{noProfile: true})
	p := w.plan()
	for _, s := range p.Steps {
		if s.ID == "profile" || strings.HasPrefix(s.ID, "role") {
			t.Errorf("step %s", s.ID)
		}
	}
	if !slices.ContainsFunc(p.Facts, func(f actions.Fact) bool { return f.Label == "Instance profile" && strings.Contains(f.Text, "none") }) {
		t.Errorf("facts %v", p.Facts)
	}
	w.contain()
	w.shut()
}
