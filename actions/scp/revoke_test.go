package scp_test

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/organizations"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
)

func viaSCP(account string) actions.Call {
	return actions.Call{Action: actions.RevokeSessions, Target: account + "/ALL", Account: account, Options: map[string]string{"via": "scp"}}
}

func TestRevokeViaSCPContract(t *testing.T) {
	actiontest.EachPartition(t, func(t *testing.T, partition string, delay time.Duration) {
		open := func(alter func(*fixture)) func(*testing.T) actiontest.Environment {
			return func(t *testing.T) actiontest.Environment {
				w := scpWorldAt(t, &actiontest.Clock{T: actiontest.Began.Add(123 * time.Millisecond)}, partition)
				w.SetCall(viaSCP(actiontest.Member))
				alter(w)
				w.SetPropagation(delay)
				return scpEnvironment(w)
			}
		}
		actiontest.Test(t, actiontest.Contract{Action: actiontest.ActionOf(t), ErrorPathPermits: []string{"organizations:DeletePolicy"}, Starts: []actiontest.Start{
			{Name: "an account as usual", Open: open(func(*fixture) {})},
			{Name: "a policy of ours that says something else", Open: open(func(w *fixture) {
				w.AddSCP(awsfake.SCP{Name: "killswitch-revoke-" + actiontest.Member, Content: actiontest.OtherDeny, Tags: map[string]string{actiontest.Tag: "shared"}})
			})},
		}})
	})
}

// One attach, and a stolen session can do nothing any more; new sessions work,
// and so do we.
func TestRevokeViaSCPStopsOldSessionsOnly(t *testing.T) {
	w := scpWorld(t)
	w.SetCall(viaSCP(actiontest.Member))
	stolen, elsewhere := w.Session(w.Role, "i-0abc"), w.Session(w.Account(actiontest.Sandbox).AddRole(awsfake.Role{Name: "app", Inline: map[string]string{"all": actiontest.AllowAll}}), "x1")
	w.Clock.Add(time.Minute)
	s, e := w.freezes(actiontest.Request)
	if !w.holds(s, e) {
		t.Error("it does not hold")
	}
	if ok, why := stolen.Can("s3:GetObject", "arn:aws:s3:::b/k"); ok || !strings.Contains(why, "service control policy") {
		t.Errorf("the stolen session: %t, %s", ok, why)
	}
	if ok, why := elsewhere.Can("s3:GetObject", "arn:aws:s3:::b/k"); !ok {
		t.Errorf("a session of another account: %s", why)
	}
	w.Clock.Add(time.Minute)
	if ok, why := w.Session(w.Role, "i-0abc").Can("s3:GetObject", "arn:aws:s3:::b/k"); !ok {
		t.Errorf("a new session: %s", why)
	}
	if ok, _ := w.Session(w.Role, "i-0abc").Can("signin:CreateOAuth2Token", "arn:aws:signin:eu-west-1:222222222222:oauth2/public-client/localhost"); ok {
		t.Error("aws login goes on")
	}
	if r := w.Revert(s, e); !r.Holds {
		t.Errorf("Revert: %+v", r)
	}
	if ok, why := stolen.Can("s3:GetObject", "arn:aws:s3:::b/k"); !ok {
		t.Errorf("taken back, the old session: %s", why)
	}
	if got := w.scp("killswitch-revoke-" + actiontest.Member); got.Name != "" {
		t.Errorf("it is still there: %+v", got)
	}
}

// Each account has a policy of its own, since each has its own cutoff.
func TestRevokeViaSCPTwoAccounts(t *testing.T) {
	w := scpWorld(t)
	w.SetCall(viaSCP(actiontest.Member))
	w.freezes(actiontest.Request)
	first := w.scp("killswitch-revoke-" + actiontest.Member).Content
	w.Clock.Add(time.Hour)
	w.SetCall(viaSCP(actiontest.Sandbox))
	w.freezes("KS-SECOND")
	if w.scp("killswitch-revoke-"+actiontest.Member).Content != first || w.scp("killswitch-revoke-"+actiontest.Sandbox).Content == first {
		t.Error("the second account's cutoff is the first's")
	}
}

// A second request moves the cutoff forward, in place.
func TestRevokeViaSCPMovesForward(t *testing.T) {
	w := scpWorld(t)
	w.SetCall(viaSCP(actiontest.Member))
	s, e := w.freezes(actiontest.Request)
	w.Clock.Add(time.Hour)
	stolen := w.Session(w.Role, "i-0abc")
	w.Clock.Add(time.Hour)
	w.freezes("KS-SECOND")
	if ok, _ := stolen.Can("s3:GetObject", "arn:aws:s3:::b/k"); ok {
		t.Error("a session from after the first cutoff still works")
	}
	if !w.holds(s, e) {
		t.Error("for the first request it no longer holds")
	}
}

func TestRevokeViaSCPNotInManagementAccount(t *testing.T) {
	w := scpWorld(t)
	if no := w.Org.RefuseCall(viaSCP(actiontest.Management)); no == nil {
		t.Error("the management account is not refused")
	}
	if no := w.Org.RefuseCall(actions.Call{Action: actions.RevokeSessions, Target: actiontest.Management + "/ALL", Account: actiontest.Management}); no != nil {
		t.Errorf("role by role it is refused: %v", no)
	}
}

// What an earlier version has in force is ours, and was approved: it holds, is attached again in its
// present form, and is taken back.
func TestRevokeViaSCPOfAnEarlierVersion(t *testing.T) {
	w := scpWorld(t)
	w.SetCall(viaSCP(actiontest.Member))
	s, e := w.freezes(actiontest.Request)
	name := "killswitch-revoke-" + actiontest.Member
	earlier := earlierSCP(w.Org, w.Clock.Now().Add(30*time.Second).Truncate(time.Second))
	set := func(content string) {
		t.Helper()
		_, err := w.orgs().UpdatePolicy(t.Context(), &organizations.UpdatePolicyInput{PolicyId: aws.String(w.scp(name).ID), Content: &content})
		actiontest.Must(t, err)
	}
	e.Wrote = &earlier
	set(earlier)
	if !w.holds(s, e) {
		t.Error("it does not hold")
	}
	w.Clock.Add(time.Hour)
	var err error
	if e, err = w.Act.Apply(t.Context(), w.Responder(), s, w.Run()); err != nil || !strings.Contains(w.scp(name).Content, "signin:") {
		t.Errorf("applied again: %v, %s", err, w.scp(name).Content)
	}
	set(earlierSCP(w.Org, w.Clock.Now().Add(time.Hour)))
	if w.holds(s, e) {
		t.Error("without the deny of aws login it holds")
	}
	if r := w.Revert(s, e); !r.Holds || w.scp(name).Name != "" {
		t.Errorf("Revert: %+v", r)
	}
}
