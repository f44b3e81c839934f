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

// The old tool looked for ever at an association that could never come.
func TestPassRoleDenied(t *testing.T) {
	w := newIsolated(t, isolateOptions{deployed: true})
	w.AddRoleDeny("iam:PassRole")
	p := w.plan()
	for _, s := range p.Steps {
		_, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run())
		if s.ID != "profile" {
			actiontest.Must(t, err)
			continue
		}
		actiontest.WantCode(t, err, "UnauthorizedOperation")
		if actions.IsRetryLater(err) || actions.Transient(err) {
			t.Error("it would be tried again for ever")
		}
		cause, hint := actions.Explain(err)
		actiontest.HasWords(t, cause, "iam:PassRole")
		actiontest.HasWords(t, hint, "iam:PassRole", isolation)
	}
	w.shut()
	if ok, _ := w.stolen(suspect).Can("s3:GetObject", "arn:aws:s3:::data/x"); ok {
		t.Error("the role is not denied")
	}
}

// AddRoleDeny takes an action from the responder role itself.
func (w *isolated) AddRoleDeny(action string) {
	deny := `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"` + action + `","Resource":"*"}]}`
	_, err := iam.NewFromConfig(w.Admin(w.Asked.Account)).PutRolePolicy(w.T.Context(), &iam.PutRolePolicyInput{RoleName: aws.String("killswitch-responder"), PolicyName: aws.String("deny"), PolicyDocument: &deny})
	actiontest.Must(w.T, err)
}

// TestTakenIsolationRole: somebody made the isolation role first. Its boundary denies everything to
// it, whatever else it has. A profile that holds another role is refused.
func TestTakenIsolationRole(t *testing.T) {
	const managed = "arn:aws:iam::aws:policy/"
	roles := map[string]awsfake.Role{
		"an administrator":        {Name: isolation, Attached: []string{managed + "AdministratorAccess"}},
		"another boundary":        {Name: isolation, Boundary: managed + "AdministratorAccess", Attached: []string{managed + "AdministratorAccess"}},
		"an inline policy":        {Name: isolation, Boundary: managed + "AWSDenyAll", Inline: map[string]string{"x": actiontest.AllowAll}},
		"another role in it":      {Name: "backdoor", Boundary: managed + "AWSDenyAll"},
		"a role that trusts them": {Name: isolation, Attached: []string{managed + "AdministratorAccess"}, Trust: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::666666666666:root","Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`},
	}
	for name, r := range roles {
		for _, profile := range []bool{true, false} {
			if !profile && r.Name != isolation {
				continue
			}
			t.Run(name, func(t *testing.T) {
				w := newIsolated(t, isolateOptions{})
				r.Profiles = nil
				if profile {
					r.Profiles = []string{isolation}
				}
				arn := w.Account(actiontest.Member).AddRole(r)
				s := actiontest.StepOf(t, w.plan(), "profile")
				if r.Name == isolation {
					w.settle(s)
					if ok, _ := w.Session(arn, "theirs").Can("s3:GetObject", "arn:aws:s3:::data/x"); ok || w.profileOf(suspect) != isolation {
						t.Errorf("the role may act (%v), the profile is %s", ok, w.profileOf(suspect))
					}
					return
				}
				_, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run())
				if err == nil || actions.IsRetryLater(err) {
					t.Fatalf("Apply: %v", err)
				}
				cause, hint := actions.Explain(err)
				actiontest.HasWords(t, cause, isolation, "backdoor")
				actiontest.HasWords(t, hint, "by hand")
				if got := w.profileOf(suspect); got != "web-profile" {
					t.Errorf("the profile is %s", got)
				}
			})
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
	w := newIsolated(t, isolateOptions{propagation: 4 * time.Second})
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
			w := newIsolated(t, isolateOptions{})
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
