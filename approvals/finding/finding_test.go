package finding

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/approvals"
)

// suggest writes a route's suggestions.
func suggest(names ...actions.Name) []Suggestion {
	var all []Suggestion
	for _, name := range names {
		all = append(all, Suggestion{Action: name})
	}
	return all
}

// automatic is a Reader whose routes contain by themselves.
func automatic() Reader {
	return Reader{Org: org, AutoWebhooks: []string{"soar"}, Routing: Routing{MockSources: true, Routes: []Route{
		{Match: Match{Source: GuardDuty, Type: "UnauthorizedAccess:IAMUser/*", MinSeverity: 7}, Delivery: Auto, Suggest: suggest(actions.RevokeSessions, actions.IsolateInstance)},
		{Match: Match{Source: GuardDuty, MinSeverity: 4}, Delivery: Propose, OneClick: true, Suggest: suggest(actions.DeactivateKey, actions.QuarantineUser)},
		{Match: Match{Source: SecurityHub, Type: "Persistence:*", MinSeverity: 5}, Delivery: Auto, Suggest: suggest(actions.DeactivateKey)},
	}}}
}

const exfil, persistence = "guardduty_iam_exfil-outside.json", "guardduty_iam_persistence-akia.json"

func intents(f Finding) []string {
	var all []string
	for _, o := range f.Offers() {
		all = append(all, o.Intent.String())
	}
	return all
}

// running are the intents that run by themselves.
func running(f Finding) []string {
	var all []string
	for _, o := range f.Offers() {
		if o.Auto {
			all = append(all, o.Intent.String())
		}
	}
	return all
}

// oneClick reports whether a click runs an offer.
func oneClick(f Finding) bool {
	return slices.ContainsFunc(f.Offers(), func(o approvals.Offer) bool { return o.OneClick })
}

func TestReadStoredAppliesTheRoute(t *testing.T) {
	const revoke, isolate = "revoke_sessions arn:aws:iam::222222222222:role/web-tier-role", "isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20001"
	for name, tt := range map[string]struct {
		file           string
		edit           map[string]any
		drill, webhook string
		reason         string
		intents        []string
		oneClick, auto bool
		unsure         []string // of the intents, which don't run by themselves
	}{
		"automatic": {file: exfil, intents: []string{revoke, isolate}, auto: true,
			reason: "GuardDuty UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS in 222222222222 us-east-1"},
		"automatic, by a webhook that may": {file: exfil, webhook: "soar", intents: []string{revoke, isolate}, auto: true},
		"automatic, by one that may not":   {file: exfil, webhook: "eventbridge", intents: []string{revoke, isolate}},
		"automatic, with nothing to ask":   {file: exfil, edit: map[string]any{"detail.service.detectorId": "", "detail.arn": ""}, intents: []string{revoke, isolate}},
		"automatic, an instance by a name": {file: exfil, edit: map[string]any{res + "instanceDetails": nil}, intents: []string{revoke, isolate}, auto: true, unsure: []string{isolate}},
		"automatic, nothing fits":          {file: exfil, edit: map[string]any{key + "userType": "Root", key + "principalId": "222222222222"}},
		"automatic, a foreign partition":   {file: exfil, edit: map[string]any{"detail.partition": "aws-cn"}},
		"mock": {file: exfil, edit: map[string]any{"source": "awsmock.guardduty"}, intents: []string{revoke, isolate},
			reason: "[MOCK] GuardDuty UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS in 222222222222 us-east-1"},
		"drill": {file: exfil, drill: "n1", intents: []string{revoke, isolate},
			reason: "[DRILL] GuardDuty UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS in 222222222222 us-east-1"},
		"sample": {file: exfil, edit: map[string]any{"detail.service.additionalInfo.sample": true},
			reason: "[SAMPLE] GuardDuty UnauthorizedAccess:IAMUser/InstanceCredentialExfiltration.OutsideAWS in 222222222222 us-east-1"},
		"one click": {file: persistence, oneClick: true, reason: "GuardDuty Persistence:IAMUser/AnomalousBehavior in 222222222222 us-east-1",
			intents: []string{"deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222", "quarantine_user arn:aws:iam::222222222222:user/ci-build"}},
		"one click, mock":  {file: persistence, edit: map[string]any{"source": "awsmock.guardduty"}, intents: []string{"deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222", "quarantine_user arn:aws:iam::222222222222:user/ci-build"}},
		"one click, drill": {file: persistence, drill: "n1", intents: []string{"deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222", "quarantine_user arn:aws:iam::222222222222:user/ci-build"}},
		"Security Hub, of which any account imports findings": {file: asff, intents: []string{"deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222"},
			reason: "Security Hub Persistence:IAMUser/AnomalousBehavior in 222222222222 us-east-1"},
	} {
		t.Run(name, func(t *testing.T) {
			e := edited(t, tt.file, tt.edit)
			e.Drill, e.Webhook = tt.drill, tt.webhook
			fs, err := automatic().ReadStored(string(evidence(t, e)))
			if err != nil || len(fs) != 1 {
				t.Fatalf("%d findings, %v", len(fs), err)
			}
			f, a := fs[0], one(t, automatic(), e)
			if d := cmp.Diff(tt.intents, intents(f)); d != "" || oneClick(f) != tt.oneClick || (running(f) != nil) != tt.auto {
				t.Errorf("one click %v, automatic %v\n%s", oneClick(f), running(f), d)
			}
			var unsure []string
			for _, o := range f.Offers() {
				if running(f) != nil && !o.Auto {
					unsure = append(unsure, o.Intent.String())
				}
			}
			if d := cmp.Diff(tt.unsure, unsure); d != "" {
				t.Error(d)
			}
			if tt.reason != "" && reason(f) != tt.reason {
				t.Errorf("reason %q", reason(f))
			}
			for _, o := range f.Offers() {
				if o.Why != reason(f) {
					t.Errorf("%s for %q, want %q", o.Intent, o.Why, reason(f))
				}
			}
			if d := cmp.Diff(a, f); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestReadStoredOfNoFinding(t *testing.T) {
	for name, tt := range map[string]struct {
		body string
		bad  bool
	}{
		"no route":         {body: string(evidence(t, Event{Body: event(t, "guardduty_iam_root.json")}))},
		"archived":         {body: string(evidence(t, Event{Body: event(t, "guardduty_iam_archived.json")}))},
		"unlisted":         {body: `{"body":{"source":"aws.ec2","detail-type":"x"}}`},
		"cannot be read":   {body: string(evidence(t, edited(t, exfil, map[string]any{"detail.severity": "x"}))), bad: true},
		"no evidence":      {body: "x", bad: true},
		"evidence of none": {body: "{}", bad: true},
	} {
		fs, err := automatic().ReadStored(tt.body)
		if _, bad := errors.AsType[*Malformed](err); len(fs) != 0 || bad != tt.bad || (err != nil) != tt.bad {
			t.Errorf("%s: %d findings, %v", name, len(fs), err)
		}
	}
}

// TestReasonIsTypable reads findings whose types are not what GuardDuty sends.
func TestReasonIsTypable(t *testing.T) {
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	for typ, want := range map[string]string{
		`X:Y/Z" mode=iam-only reason="`:        `GuardDuty X:Y/Z' mode=iam-only reason=' in 222222222222 us-east-1`,
		"X:Y/Z\r\n\u202eApprove\u200b  now":    "GuardDuty X:Y/Z Approve now in 222222222222 us-east-1",
		"X:Y/Z " + secret:                      "GuardDuty X:Y/Z in 222222222222 us-east-1",
		"secret=" + secret:                     "GuardDuty in 222222222222 us-east-1",
		strings.Repeat("a\U0001F480", maxWord): "GuardDuty " + strings.Repeat("a ", maxWord/2-1) + "a… in 222222222222 us-east-1",
	} {
		a := one(t, Reader{Org: org}, edited(t, persistence, map[string]any{"detail.type": typ}))
		checkAlert(t, org, a)
		if got := reason(a); got != want {
			t.Errorf("%q: reason %q, want %q", typ, got, want)
		}
	}
}

// answer is what GetFindings says of a finding: the event's detail, in which what
// the service adds is only a text.
func answer(t testing.TB, file string, edit map[string]any) []byte {
	t.Helper()
	var top struct{ Detail map[string]any }
	if err := json.Unmarshal(edited(t, file, edit).Body, &top); err != nil {
		t.Fatal(err)
	}
	extra := top.Detail["service"].(map[string]any)["additionalInfo"].(map[string]any)
	for k := range extra {
		if k != "value" && k != "type" {
			delete(extra, k)
		}
	}
	raw, err := json.Marshal(top.Detail)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestConfirmReadsTheAnswer(t *testing.T) {
	for name, tt := range map[string]struct {
		told, asked    string // events
		edit           map[string]any
		err            string
		intents        []string
		oneClick, auto bool
		unsure         int // intents that don't run by themselves
	}{
		"as it was": {told: exfil, asked: exfil, auto: true,
			intents: []string{"revoke_sessions arn:aws:iam::222222222222:role/web-tier-role", "isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20001"}},
		"it went on": {told: exfil, asked: "guardduty_iam_exfil-outside-update.json", auto: true,
			intents: []string{"revoke_sessions arn:aws:iam::222222222222:role/web-tier-role", "isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20001"}},
		"the event lied about the role": {told: exfil, asked: exfil, edit: map[string]any{key + "userName": "real-role"}, auto: true,
			intents: []string{"revoke_sessions arn:aws:iam::222222222222:role/real-role", "isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20001"}},
		"the event lied about the severity": {told: exfil, asked: exfil, edit: map[string]any{"detail.severity": 5.0}},
		"no route for what it is":           {told: exfil, asked: exfil, edit: map[string]any{"detail.severity": 1.0}, err: "no route"},
		"an instance by a name":             {told: exfil, asked: exfil, edit: map[string]any{res + "instanceDetails": nil}, intents: []string{"revoke_sessions arn:aws:iam::222222222222:role/web-tier-role", "isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20001"}, auto: true, unsure: 1},
		"archived":                          {told: exfil, asked: exfil, edit: map[string]any{"detail.service.archived": true}, err: "archived"},
		"a sample":                          {told: exfil, asked: exfil, edit: map[string]any{"detail.service.additionalInfo.value": `{"sample":true}`}, err: "is a sample"},
		"another finding":                   {told: exfil, asked: exfil, edit: map[string]any{"detail.id": "aaaa"}, err: "another finding"},
		"of another account":                {told: exfil, asked: exfil, edit: map[string]any{"detail.accountId": "333333333333"}, err: "another finding"},
		"can't be read":                     {told: exfil, asked: exfil, edit: map[string]any{"detail.severity": "x"}, err: "severity is not a number"},
		"one click": {told: persistence, asked: persistence, oneClick: true,
			intents: []string{"deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222", "quarantine_user arn:aws:iam::222222222222:user/ci-build"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := automatic()
			fs, err := r.ReadStored(string(evidence(t, Event{Body: event(t, tt.told)})))
			if err != nil || len(fs) != 1 {
				t.Fatalf("%d findings, %v", len(fs), err)
			}
			f, err := r.Confirm(fs[0], answer(t, tt.asked, tt.edit))
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) || f.Names != nil || f.Offers() != nil {
					t.Fatalf("%+v, %v; want %s", f, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.intents, intents(f)); d != "" || oneClick(f) != tt.oneClick || (running(f) != nil) != tt.auto || tt.auto && len(tt.intents)-len(running(f)) != tt.unsure {
				t.Errorf("one click %v, automatic %v\n%s", oneClick(f), running(f), d)
			}
			if !f.Same(fs[0]) || f.Product != fs[0].Product || f.Account != "222222222222" {
				t.Errorf("%+v of %+v", f, fs[0])
			}
		})
	}
}

// TestConfirmGrantsNothing: what the event could not do, the source's answer can't.
func TestConfirmGrantsNothing(t *testing.T) {
	r := automatic()
	for name, e := range map[string]Event{
		"webhook": {Body: event(t, exfil), Webhook: "eventbridge"},
		"drill":   {Body: event(t, exfil), Drill: "n1"},
		"mock":    edited(t, exfil, map[string]any{"source": "awsmock.guardduty"}),
	} {
		fs, err := r.ReadStored(string(evidence(t, e)))
		if err != nil || len(fs) != 1 {
			t.Fatalf("%s: %d findings, %v", name, len(fs), err)
		}
		if f, err := r.Confirm(fs[0], answer(t, exfil, nil)); running(f) != nil || oneClick(f) || (err == nil) != (name == "webhook") {
			t.Errorf("%s: %+v, %v", name, f, err)
		}
	}
}

func TestConfirmOfOtherKinds(t *testing.T) {
	r := automatic()
	f := Finding{Source: Health, Names: []string{"222222222222/key/AKIA"}, Route: &Route{Delivery: Auto}, Trusted: true, Confirmation: source.Confirmation{Kind: source.ConfirmKey, Account: "222222222222", ID: "AKIA"}}
	if got, err := r.Confirm(f, nil); err != nil || cmp.Diff(f, got) != "" {
		t.Errorf("of a key: %+v, %v", got, err)
	}
	f.Confirmation.Kind = ""
	if _, err := r.Confirm(f, event(t, exfil)); err == nil {
		t.Error("confirmed what nobody can be asked about")
	}
	f.Confirmation.Kind = source.ConfirmFinding
	for _, raw := range []string{"", "null", "[]", `"x"`, "{}", "{} {}"} {
		if got, err := r.Confirm(f, []byte(raw)); err == nil {
			t.Errorf("%q confirmed %+v", raw, got)
		}
	}
}

// TestConfirmAsksTheRouteOfNow: what a click ran yesterday it does not run if the route changed.
func TestConfirmAsksTheRouteOfNow(t *testing.T) {
	r := automatic()
	fs, err := r.ReadStored(string(evidence(t, Event{Body: event(t, persistence)})))
	if err != nil || len(fs) != 1 || !oneClick(fs[0]) {
		t.Fatalf("%+v, %v; want one that a click runs", fs, err)
	}
	r.Routes[1].OneClick = false
	if f, err := r.Confirm(fs[0], answer(t, persistence, nil)); err != nil || oneClick(f) {
		t.Errorf("the route of now does not give it: %+v, %v", f, err)
	}
}

// TestOfferByDigest: an intent is found by its digest alone, and what does not run
// by itself does not for being among the offers.
func TestOfferByDigest(t *testing.T) {
	fs, err := automatic().ReadStored(string(evidence(t, Event{Body: event(t, exfil)})))
	if err != nil || len(fs) != 1 || len(fs[0].Offers()) != 2 {
		t.Fatalf("%+v, %v", fs, err)
	}
	f := fs[0]
	for _, o := range f.Offers() {
		i := o.Intent
		if got, ok := f.Offers().ByDigest(approvals.IntentDigest(i)); !ok || got.Intent.String() != i.String() || got.Why != reason(f) {
			t.Errorf("%s: %s, %t", i, got.Intent, ok)
		}
		manual := f
		manual.Route = &Route{Delivery: Propose, Suggest: f.Route.Suggest}
		if !o.Auto || running(manual) != nil {
			t.Errorf("%s runs: %t, where the route does not say auto: %v", i, o.Auto, running(manual))
		}
	}
	for _, digest := range []string{"", "x", approvals.IntentDigest(approvals.Intent{})} {
		if got, ok := f.Offers().ByDigest(digest); ok {
			t.Errorf("%q: %+v", digest, got)
		}
	}
}

// TestSourcesHaveNames: each source is in the list once, and people have a name for it.
func TestSourcesHaveNames(t *testing.T) {
	names, products := map[Source]bool{}, map[string]bool{"": true}
	for _, s := range Sources() {
		if names[s.Name] || products[s.Product] {
			t.Errorf("%q, for people %q: there is one already, or none at all", s.Name, s.Product)
		}
		names[s.Name], products[s.Product] = true, true
	}
}
