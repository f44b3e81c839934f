package instance_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/smithy-go"

	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func (w *isolated) profileARN(name string) string {
	return "arn:" + w.Partition() + ":iam::" + w.Asked.Account + ":instance-profile/" + name
}

// changed puts a change of an instance's profile into CloudTrail, as EC2 records it: an answer has the
// instance and the profile that the association is about; what was replaced stands nowhere.
func (w *isolated) changed(ago time.Duration, call, instance, profile string, alter ...string) {
	id := fmt.Sprintf("iip-assoc-%d", ago)
	request := map[string]string{
		"AssociateIamInstanceProfile":          fmt.Sprintf(`{"AssociateIamInstanceProfileRequest":{"IamInstanceProfile":{"Name":%q},"InstanceId":%q}}`, profile, instance),
		"ReplaceIamInstanceProfileAssociation": fmt.Sprintf(`{"ReplaceIamInstanceProfileAssociationRequest":{"IamInstanceProfile":{"Name":%q},"AssociationId":%q}}`, profile, id),
		"DisassociateIamInstanceProfile":       fmt.Sprintf(`{"DisassociateIamInstanceProfileRequest":{"AssociationId":%q}}`, id),
		"RunInstances":                         `{"minCount":1,"maxCount":1}`,
	}[call]
	response := fmt.Sprintf(`{"%sResponse":{"iamInstanceProfileAssociation":{"associationId":%q,"instanceId":%q,"iamInstanceProfile":{"arn":%q,"id":"AIPA1"}}}}`, call, id, instance, w.profileARN(profile))
	if call == "RunInstances" {
		response = fmt.Sprintf(`{"instancesSet":{"items":[{"instanceId":%q,"iamInstanceProfile":{"arn":%q,"id":"AIPA1"}}]}}`, instance, w.profileARN(profile))
	}
	record := strings.NewReplacer(alter...).Replace(fmt.Sprintf(`{"eventSource":"ec2.amazonaws.com","eventName":%q,"requestParameters":%s,"responseElements":%s}`, call, request, response))
	w.Account(w.Asked.Account).AddEvents(w.Asked.Region, types.Event{EventName: &call, EventTime: aws.Time(w.Clock.Now().Add(-ago)), CloudTrailEvent: &record,
		EventSource: aws.String("ec2.amazonaws.com"), Resources: []types.Resource{{ResourceName: &instance}}})
}

// withRoles adds roles with profiles of the same names.
func (w *isolated) withRoles(names ...string) {
	for _, name := range names {
		w.Account(w.Asked.Account).AddRole(awsfake.Role{Name: name, Trust: w.trust(), Attached: []string{"arn:" + w.Partition() + ":iam::aws:policy/AdministratorAccess"}, Profiles: []string{name}})
	}
}

// The attacker takes the credentials of a role, then gives the instance another profile: the stolen ones work
// for up to six hours.
func TestProfilesOfTheLastSixHoursAreDenied(t *testing.T) {
	w := newIsolated(t, isolateOptions{deployed: true})
	w.withRoles("first", "second", "third", "old", "others", "failed")
	w.changed(30*time.Hour, "RunInstances", suspect, "old")
	w.changed(20*time.Hour, "AssociateIamInstanceProfile", suspect, "first") // which was replaced within the six hours
	w.changed(5*time.Hour, "ReplaceIamInstanceProfileAssociation", suspect, "second")
	w.changed(4*time.Hour, "DisassociateIamInstanceProfile", suspect, "second")
	w.changed(3*time.Hour, "AssociateIamInstanceProfile", suspect, "third")
	w.changed(2*time.Hour, "ReplaceIamInstanceProfileAssociation", suspect, "web-profile")
	w.changed(time.Hour, "ReplaceIamInstanceProfileAssociation", neighbour, "others")
	w.changed(time.Hour, "AssociateIamInstanceProfile", suspect, "failed", `"eventName"`, `"errorCode":"IncorrectState","eventName"`)
	stolen := w.Session("arn:aws:iam::"+actiontest.Member+":role/first", suspect).With("ec2:SourceInstanceARN", w.arn)
	p, es := w.contain()
	var roles []string
	for _, s := range p.Steps {
		if name, ok := strings.CutPrefix(s.ID, "role "); ok {
			roles = append(roles, name)
			if s.Goal != "credentials "+name || !w.verify(s, es[s.ID]).Holds {
				t.Errorf("step %+v", s)
			}
		}
	}
	slices.Sort(roles)
	if want := []string{appRole, "first", "second", "third"}; !slices.Equal(roles, want) {
		t.Errorf("denied %v, want %v", roles, want)
	}
	if ok, _ := stolen.Can("s3:GetObject", "arn:aws:s3:::data/x"); ok {
		t.Error("the credentials of an earlier role work")
	}
	w.undo(p, es)
	if ok, why := stolen.Can("s3:GetObject", "arn:aws:s3:::data/x"); !ok {
		t.Errorf("after undo: %s", why)
	}
}

// What it was launched with, CloudTrail has in RunInstances alone.
func TestProfileOfTheLaunchIsDenied(t *testing.T) {
	for name, launched := range map[string]bool{"known": true, "not known any more": false} {
		t.Run(name, func(t *testing.T) {
			w := newIsolated(t, isolateOptions{})
			w.withRoles("first")
			if launched {
				w.changed(100*time.Hour, "RunInstances", suspect, "first")
			}
			w.changed(time.Hour, "ReplaceIamInstanceProfileAssociation", suspect, "web-profile")
			p := w.plan()
			if slices.Contains(actiontest.StepIDs(p), "role first") != launched {
				t.Errorf("steps %v", actiontest.StepIDs(p))
			}
			if !launched {
				actiontest.HasWords(t, strings.Join(p.Warnings, " "), "before", "not known", "revoke_sessions")
			}
		})
	}
}

// A look-up that fails or is cut keeps nothing from being contained, and is said.
func TestProfilesThatCantBeLookedUp(t *testing.T) {
	for name, prepare := range map[string]func(*isolated){
		"AccessDenied": func(w *isolated) {
			w.Fault(awsfake.Fault{Op: "cloudtrail:LookupEvents", Err: &smithy.GenericAPIError{Code: "AccessDenied", Message: "not authorized"}})
		},
		"more events": func(w *isolated) {
			for n := range 400 {
				w.changed(time.Duration(n)*time.Second, "ReplaceIamInstanceProfileAssociation", neighbour, "others")
			}
		},
		"gone": func(w *isolated) { w.changed(time.Hour, "DisassociateIamInstanceProfile", suspect, "gone") },
		"get no deny: arn": func(w *isolated) {
			for n := range 30 {
				w.withRoles(fmt.Sprint("role-", n))
				w.changed(time.Duration(n)*time.Minute, "DisassociateIamInstanceProfile", suspect, fmt.Sprint("role-", n))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newIsolated(t, isolateOptions{})
			prepare(w)
			p := w.plan()
			actiontest.HasWords(t, strings.Join(p.Warnings, " "), name)
			actiontest.StepOf(t, p, "role "+appRole)
			actiontest.StepOf(t, p, "network "+eniA)
		})
	}
}

// The deny on one role is shared by the instances that have it: forty-two policies filled its quota.
func TestOnePolicyDeniesARoleToAllIsolatedInstances(t *testing.T) {
	w := newIsolated(t, isolateOptions{deployed: true})
	other := strings.Replace(w.arn, suspect, neighbour, 1)
	s := actiontest.StepOf(t, w.plan(), "role "+appRole)
	if s.Share != w.arn || s.HoldName() != "KillswitchIsolate" {
		t.Fatalf("share %s, hold %s", s.Share, s.Hold)
	}
	mine, others := w.stolen(suspect), w.stolen(neighbour)
	can := func(s *awsfake.Session) bool {
		ok, _ := s.Can("s3:GetObject", "arn:aws:s3:::data/x")
		return ok
	}
	run := w.Run()
	run.Shares = []string{w.arn, other}
	e, err := w.Act.Apply(t.Context(), w.Responder(), s, run)
	actiontest.Must(t, err)
	w.Clock.Add(10 * time.Second)
	if can(mine) || can(others) || len(w.rolePolicies(appRole)) != 1 {
		t.Errorf("policies %v", w.rolePolicies(appRole))
	}
	if r := w.verify(s, e); !r.Holds {
		t.Errorf("Verify: %+v", r)
	}
	// An undo leaves the others', and says that ours is gone.
	run.Shares = []string{other}
	left, err := w.Act.Apply(t.Context(), w.Restorer(), s, run)
	actiontest.Must(t, err)
	w.Clock.Add(10 * time.Second)
	if !can(mine) || can(others) {
		t.Errorf("policies %v", w.rolePolicies(appRole))
	}
	if r := w.verify(s, left); !r.Holds {
		t.Errorf("Verify of the undo: %+v", r)
	}
	if r := w.verify(s, e); r.Holds {
		t.Error("the deny to this instance is gone, and Verify says it holds")
	}
	if tags := w.region().Instances[suspect].Tags; tags["killswitch-role:"+appRole] != "" {
		t.Errorf("the tag stays: %v", tags)
	}
	// The last one takes it all; what somebody else wrote stays.
	w.putInline(appRole, "KillswitchIsolate", actiontest.Handwritten)
	if r := w.Revert(s, left); r.Holds || r.Changed || !strings.Contains(r.Found, "not what Killswitch wrote") {
		t.Errorf("Revert of a foreign edit: %+v", r)
	}
	w.putInline(appRole, "KillswitchIsolate", *left.Wrote)
	if r := w.Revert(s, left); !r.Holds || len(w.rolePolicies(appRole)) != 0 {
		t.Errorf("Revert: %+v, policies %v", r, w.rolePolicies(appRole))
	}
}

func TestHundredInstancesOfOneRoleFit(t *testing.T) {
	w := newIsolated(t, isolateOptions{})
	s := actiontest.StepOf(t, w.plan(), "role "+appRole)
	run := w.Run()
	for n := range 99 {
		run.Shares = append(run.Shares, strings.Replace(w.arn, suspect, fmt.Sprintf("i-%017x", n), 1))
	}
	run.Shares = append(run.Shares, w.arn)
	e, err := w.Act.Apply(t.Context(), w.Responder(), s, run)
	actiontest.Must(t, err)
	if r := w.verify(s, e); !r.Holds {
		t.Errorf("Verify: %+v", r)
	}
}

// A run of an earlier version has a policy of its own for the instance: it still holds, and is taken back.
func TestEarlierRunWithAPolicyOfItsOwn(t *testing.T) {
	w := newIsolated(t, isolateOptions{deployed: true})
	s := actiontest.StepOf(t, w.plan(), "role "+appRole)
	s.Share, s.Hold = "", strings.Replace(s.Hold, "KillswitchIsolate", "KillswitchIsolate-"+suspect, 1)
	e, err := w.Act.Apply(t.Context(), w.Responder(), s, w.Run())
	actiontest.Must(t, err)
	w.Clock.Add(10 * time.Second)
	if got := w.rolePolicies(appRole); !strings.Contains(got["KillswitchIsolate-"+suspect], `"ec2:SourceInstanceARN":"`+w.arn+`"`) {
		t.Errorf("policies %v", got)
	}
	if r := w.verify(s, e); !r.Holds {
		t.Errorf("Verify: %+v", r)
	}
	// A second request, when the profile is gone already, finds the role and denies it too.
	w.SetInstance(suspect, func(i *awsfake.Instance) { i.Profile = "" })
	actiontest.StepOf(t, w.plan(), "role "+appRole)
	if r := w.Revert(s, e); !r.Holds || len(w.rolePolicies(appRole)) != 0 {
		t.Errorf("Revert: %+v, policies %v", r, w.rolePolicies(appRole))
	}
}

// Credentials of containers on the instance are other roles'.
func TestContainerCredentialsAreNamed(t *testing.T) {
	actiontest.HasWords(t, strings.Join(isolate(t).Spec().NotStopped, " "), "ECS", "pod identities", "revoke_sessions")
}
