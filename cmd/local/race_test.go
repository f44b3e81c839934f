package local_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/actiontest/thin"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/bot/slackfake"
)

const (
	hisKey   = "AKIA0123456789ABCDEF"
	admin    = "arn:aws:iam::aws:policy/AdministratorAccess"
	enforced = 4 * time.Second // after IAM lists it
	slowly   = 50 * time.Millisecond
	denies   = `"propose:deny_principal"`
)

// raced is one way to contain something while the adversary is at work.
type raced struct {
	line string
	// outside: nothing in the account reaches what contains it.
	outside bool
	// remade: what is contained comes back as another one, which people have to contain too.
	remade bool
	// held are the credentials that it takes the power of.
	held func(stolen) *awsfake.Session
}

// stolen are the adversary's credentials: of what is contained, and of a role that nobody knows of.
type stolen struct{ role, instance, key, own *awsfake.Session }

func ofRole(s stolen) *awsfake.Session { return s.role }
func ofKey(s stolen) *awsfake.Session  { return s.key }

// races are all actions.
var races = map[string]raced{
	"strip a role":              {line: "detach_policies prod/app-role stolen", held: ofRole},
	"revoke a role's sessions":  {line: "revoke_sessions prod/app-role stolen", held: ofRole},
	"revoke all sessions":       {line: "revoke_sessions prod/ALL stolen", held: ofRole},
	"delete a role":             {line: "delete_role prod/app-role confirm=app-role stolen", held: ofRole, remade: true},
	"quarantine a user":         {line: "quarantine_user prod/bernd stolen", held: ofKey},
	"deny IAM to a user":        {line: "quarantine_user prod/bernd mode=iam-only stolen", held: ofKey},
	"deactivate a key":          {line: "deactivate_key " + hisKey + " stolen", held: ofKey},
	"deactivate and quarantine": {line: "deactivate_key " + hisKey + " account=prod quarantine=yes stolen", held: ofKey},
	"delete a key":              {line: "delete_key " + hisKey + " stolen", outside: true, held: ofKey}, // AWS makes no key of that ID again
	"isolate an instance":       {line: "isolate_instance prod/" + suspect + " region=" + region + " stolen", held: func(s stolen) *awsfake.Session { return s.instance }},

	"freeze the account":               {line: "apply_scp prod stolen", outside: true, held: ofRole},
	"deny a role from outside":         {line: "deny_principal prod/role/app-role stolen", outside: true, held: ofRole},
	"deny a user from outside":         {line: "deny_principal prod/user/bernd stolen", outside: true, held: ofKey},
	"revoke all sessions from outside": {line: "revoke_sessions prod/ALL via=scp stolen", outside: true, held: ofRole},
}

// raceWorld is an organization's account with what the adversary holds.
func raceWorld(s *stolen, line string) func(*world) {
	return func(w *world) {
		management := w.cfg.Org.ManagementAccount
		w.aws.Organize(awsfake.Organization{Management: management, Accounts: []awsfake.OrgAccount{{ID: prod, Name: "Production"}}})
		w.aws.Member(management, awsfake.MemberRoles{Responder: w.cfg.Org.ResponderRole, Restorer: w.cfg.Org.RestorerRole, ExternalID: w.cfg.Org.ExternalID,
			ResponderPolicy: all.MemberPolicy(actions.Responder, w.cfg.Org, true), RestorerPolicy: all.MemberPolicy(actions.Restorer, w.cfg.Org, true)})
		actiontest.DeployShared(w.aws, prod)
		a := w.aws.Account(prod)
		role := a.AddRole(awsfake.Role{Name: "app-role", Attached: []string{admin}, Profiles: []string{"app-profile"}})
		own := a.AddRole(awsfake.Role{Name: "support", Attached: []string{admin}})
		a.AddUser(awsfake.User{Name: "bernd", Attached: []string{admin}, Keys: []awsfake.AccessKey{{ID: hisKey, Inactive: strings.HasPrefix(line, "delete_key")}}})
		at := a.Region(region)
		at.AddVPC(awsfake.VPC{ID: "vpc-0aaaaaaaaaaaaaaaa"})
		at.SetGroup(awsfake.SecurityGroup{ID: "sg-0aaaaaaaaaaaaaaaa", VPC: "vpc-0aaaaaaaaaaaaaaaa", Name: "web", Egress: []awsfake.Rule{{Protocol: "-1", Peer: "0.0.0.0/0"}}})
		instance := at.AddInstance(awsfake.Instance{ID: suspect, Profile: "app-profile", Volumes: []string{"vol-0123456789abcdef0"}, Interfaces: []awsfake.Interface{
			{ID: "eni-0aaaaaaaaaaaaaaaa", VPC: "vpc-0aaaaaaaaaaaaaaaa", Subnet: "subnet-1", Groups: []string{"sg-0aaaaaaaaaaaaaaaa"}, IPv4: "10.0.0.10"}}})
		*s = stolen{role: w.aws.Session(role, "attacker"), key: w.aws.KeySession(hisKey), own: w.aws.Session(own, "attacker"),
			instance: w.aws.Session(role, suspect).With("ec2:SourceInstanceARN", instance)}
		w.aws.SetEnforcement(enforced)
		w.clock.Add(time.Minute)
	}
}

// races lets time pass with the adversary at work.
func (w *world) races(a *adversary, d time.Duration) {
	w.t.Helper()
	for end := w.clock.Now().Add(d); w.clock.Now().Before(end); {
		w.clock.Add(polls)
		a.poll()
		if now := w.clock.Now(); now.Sub(a.swept) >= 5*time.Second {
			a.swept = now
			_ = w.zones.Bot.Sweep(w.t.Context())
		}
		w.drain()
	}
}

// approves lets as many people as it needs approve a request, and its run end.
func (w *world) approves(a *adversary, r approvals.Request) approvals.Request {
	w.t.Helper()
	for _, user := range []string{"U02BOB", "U03CAROL"} {
		if r = w.again(r); r.State == approvals.Pending {
			w.clicks(user, r, "approve")
		}
	}
	w.races(a, enforced)
	return w.again(r)
}

// removals are the replies that tell of removals and offer to deny who made them, newest last.
func (w *world) removals(r approvals.Request) (ms []slackfake.Message) {
	for _, m := range w.slack.Messages(channel) {
		if strings.Contains(m.Text, r.ID) && strings.Contains(m.Text, "somebody works against this containment") && strings.Contains(string(m.Blocks), denies) {
			ms = append(ms, m)
		}
	}
	return ms
}

// TestRace: every action against an attacker who undoes what he sees twice a second, before IAM
// enforces it. What is outside the account stays. What is in it is put back, and told with who undid
// it, until the button denies them from outside.
func TestRace(t *testing.T) {
	t.Parallel()
	for _, a := range all.Actions {
		if name := a.Spec().Name; !slices.ContainsFunc(slices.Collect(maps.Values(races)), func(r raced) bool { return strings.HasPrefix(r.line, string(name)+" ") }) {
			t.Errorf("nobody races %s", name)
		}
	}
	names := slices.Sorted(maps.Keys(races))
	for i := 0; i < len(names); i += thin.Every(t, 1, "the races") {
		t.Run(names[i], func(t *testing.T) {
			t.Parallel()
			races[names[i]].run(t)
		})
	}
}

func (c raced) run(t *testing.T) {
	var s stolen
	w := newWorld(t, raceWorld(&s, c.line))
	can := func() bool { ok, _ := c.held(s).Can("iam:CreateUser", "arn:aws:iam::"+prod+":user/eve"); return ok }
	another := s.role
	if c.held(s) == s.key {
		another = s.key
	}
	a := w.adversary(s.own, another)
	w.aws.OnCall(func(call awsfake.Call) error { // he is at work between Killswitch's calls, too
		if call.Phase == awsfake.After && strings.Contains(call.Principal, ":assumed-role/killswitch-") {
			w.clock.Add(slowly)
			a.poll()
		}
		return nil
	})
	w.races(a, 5*time.Second)
	if a.did+a.refused > 0 {
		t.Fatalf("before it is contained: %d writes, %d refused", a.did, a.refused)
	}
	r := w.approves(a, w.asks("U01ALICE", c.line))
	if c.outside {
		if w.state(r, approvals.Contained); can() {
			t.Error("when it is enforced, it has its power")
		}
	}
	w.races(a, 2*delivered)
	if !c.outside {
		c.told(w, a, r)
		c.ends(w, a, r)
	}
	for range a.ways {
		if !c.remade || w.again(r).State == approvals.Contained {
			break
		}
		if r = w.approves(a, w.asks("U01ALICE", c.line+" again")); r.State != approvals.Contained { // he goes on by the other way
			w.races(a, 2*delivered)
			c.ends(w, a, r)
		}
	}
	did, refused, removed := a.did, a.refused, w.run(r).Tampered
	w.races(a, 30*time.Second)
	w.pass(20 * time.Minute)
	run := w.run(w.state(r, approvals.Contained))
	// The deny in the account that stands beside one from outside is told, once, and not fought for.
	fought := slices.ContainsFunc(run.Tampering, func(t approvals.Tampered) bool { return t.Cause != "it only supports the containment" })
	switch {
	case can():
		t.Error("what is contained has its power")
	case c.outside && fought, run.Tampered > removed:
		t.Errorf("it is removed again: %+v", run.Tampering)
	case a.did > did, !c.outside && a.refused == refused:
		t.Errorf("%d writes more, %d refused", a.did-did, a.refused-refused)
	}
}

// told fails unless people know that it is undone, and by whom.
func (c raced) told(w *world, a *adversary, r approvals.Request) {
	w.t.Helper()
	run := w.run(r)
	if ms := w.removals(r); len(ms) == 0 || !strings.Contains(ms[0].Text, "By role support, session attacker: ") {
		w.t.Fatalf("%s after %d writes; told: %+v\n%s", w.again(r).State, a.did, run.Tampering, w.said())
	}
	if !c.remade && (!run.Tampering[0].Reapplied || run.Tampered < 2) {
		w.t.Errorf("not put back: %+v", run.Tampering)
	}
}

// ends denies who is told of, until nobody has undone it for a minute.
func (c raced) ends(w *world, a *adversary, r approvals.Request) {
	w.t.Helper()
	clicked, did, since := "", a.did, w.clock.Now()
	for end := since.Add(5 * time.Minute); w.clock.Now().Before(end); w.races(a, 10*time.Second) {
		if a.did > did {
			did, since = a.did, w.clock.Now()
		}
		switch ms := w.removals(r); {
		case ms[len(ms)-1].TS != clicked:
			clicked = ms[len(ms)-1].TS
			c.denies(w, a, clicked)
		case w.clock.Now().Sub(since) >= time.Minute:
			return
		}
	}
	w.t.Fatalf("%d writes: denied, he goes on\n%s", a.did, w.said())
}

// denies asks for what a removal's reply offers, and another person approves it.
func (c raced) denies(w *world, a *adversary, ts string) {
	w.t.Helper()
	before := w.all()
	if d := w.slack.Click("U03CAROL", channel, ts, "propose:deny_principal"); d.Err != nil || d.Status != 200 {
		w.t.Fatal(d.Status, d.Err)
	}
	w.drain()
	for id, asked := range w.all() {
		if _, known := before[id]; !known {
			w.state(w.approves(a, w.state(asked, approvals.Pending)), approvals.Contained)
		}
	}
}
