package finding

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/killswitch-chatops/killswitch/actions"
)

const taUser = "trustedadvisor_exposedkeys_user.json"

// hands reports whether something to do by hand contains the text.
func hands(a Finding, text string) bool { return strings.Contains(strings.Join(a.ByHand, "\n"), text) }

func TestExposedKeyOffers(t *testing.T) {
	const (
		key        = "AKIADEPLOYBT2EXAMPLE"
		deactivate = "deactivate_key AKIADEPLOYBT2EXAMPLE account=222222222222 quarantine=yes"
		item       = "detail.check-item-detail."
	)
	for _, test := range []struct {
		name, account, key, user string
		offers                   []string
		byHand                   string
		severity                 float64
	}{
		{"a user", "222222222222", key, "deploy-bot", []string{deactivate, "?quarantine_user arn:aws:iam::222222222222:user/deploy-bot"}, "", 8},
		{"nobody named", "222222222222", key, "", []string{deactivate}, "", 8},
		{"root", "222222222222", key, "root", rootOffers, "delete its keys, password and MFA devices", 9},
		{"Root", "222222222222", key, "Root", rootOffers, "delete its keys, password and MFA devices", 9},
		{"root of the credential report", "222222222222", key, "<root_account>", rootOffers, "delete its keys, password and MFA devices", 9},
		{"a user whose name only begins so", "222222222222", key, "root2", []string{deactivate, "?quarantine_user arn:aws:iam::222222222222:user/root2"}, "", 8},
		{"no user's name", "222222222222", key, "deploy bot <!channel>", []string{deactivate}, "can't be one", 8},
		{"another account in the name", "222222222222", key, "333333333333/victim", []string{deactivate}, "can't be one", 8},
		{"a name that can't be typed", "222222222222", key, "deploy,", []string{deactivate}, "ends in a comma", 8},
		{"a protected user", "222222222222", key, "emergency", nil, "protected by the configuration", 8},
		{"the hub", "111111111111", key, "deploy-bot", nil, "Killswitch itself runs in", 8},
		{"a session's key", "222222222222", "ASIADEPLOYBT2EXAMPLE", "deploy-bot", []string{"?quarantine_user arn:aws:iam::222222222222:user/deploy-bot"}, "can't be deactivated", 8},
		{"no key", "222222222222", "deploy-bot", "deploy-bot", []string{"?quarantine_user arn:aws:iam::222222222222:user/deploy-bot"}, "names no access key", 8},
		{"a key in small letters", "222222222222", "akiadeploybt2example", "deploy-bot", []string{"?quarantine_user arn:aws:iam::222222222222:user/deploy-bot"}, "names no access key", 8},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := one(t, Reader{Org: org}, edited(t, taUser, map[string]any{"account": test.account, item + "Access Key ID": test.key, item + "User Name (IAM or Root)": test.user}))
			if d := cmp.Diff(test.offers, offered(a), cmpopts.EquateEmpty()); d != "" {
				t.Error("-want +got\n" + d)
			}
			if !hands(a, test.byHand) || (test.byHand == "") != (len(a.ByHand) == 0) {
				t.Errorf("by hand %q, want %q", a.ByHand, test.byHand)
			}
			if a.Severity != test.severity {
				t.Errorf("severity %v, want %v", a.Severity, test.severity)
			}
			if known := anyKey.MatchString(test.key); a.Exposed != known || slices.Contains(a.Names, test.account+"/key/"+test.key) != known {
				t.Errorf("exposed %v, names %q", a.Exposed, a.Names)
			}
		})
	}
}

func TestTrustedAdvisorReads(t *testing.T) {
	const item = "detail.check-item-detail."
	for _, test := range []struct {
		name string
		edit map[string]any
		want want
	}{
		{"a warning", map[string]any{"detail.status": "WARN"}, want{ignored: true}},
		{"a status in small letters", map[string]any{"detail.status": "error"}, want{malformed: "status is none of"}},
		{"no status", map[string]any{"detail.status": nil}, want{malformed: "detail.status is missing"}},
		{"no check", map[string]any{"detail.check-name": nil}, want{malformed: "detail.check-name is missing"}},
		{"the check in another case", map[string]any{"detail.check-name": "exposed access keys"}, want{ignored: true}},
		{"the check's key in another case", map[string]any{"detail.check-name": nil, "detail.Check-Name": "Exposed Access Keys"}, want{malformed: "detail.check-name is missing"}},
		{"a status of a wrong type", map[string]any{"detail.status": []string{"WARN"}}, want{malformed: "detail.status is not a text"}},
		{"no key", map[string]any{item + "Access Key ID": ""}, want{malformed: "Access Key ID is missing"}},
		{"no item", map[string]any{"detail.check-item-detail": nil}, want{malformed: "Access Key ID is missing"}},
		{"an item that is none", map[string]any{"detail.check-item-detail": "x"}, want{malformed: "is not an object"}},
		{"a user of a wrong type", map[string]any{item + "User Name (IAM or Root)": map[string]any{}}, want{malformed: "is not a text"}},
		{"a deadline of a wrong type", map[string]any{item + "Deadline": true}, want{malformed: "is not a text"}},
		{"another detail type", map[string]any{"detail-type": "Trusted Advisor Check Refresh Status"}, want{ignored: true}},
		{"another source", map[string]any{"source": "acme.trustedadvisor"}, want{ignored: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			alerts, err := Reader{Org: org}.Read(edited(t, taUser, test.edit))
			test.want.check(t, alerts, err)
		})
	}
}

func TestTrustedAdvisorSeverity(t *testing.T) {
	const item = "detail.check-item-detail."
	for _, test := range []struct {
		fraud, usage string
		severity     float64
		title        string
	}{
		{"Exposed", "0", 8, "Access key AKIADEPLOYBT2EXAMPLE of user deploy-bot was found in public"},
		{"Exposed", "0.00", 8, "Access key AKIADEPLOYBT2EXAMPLE of user deploy-bot was found in public"},
		{"Exposed", "0.07", 9, "Access key AKIADEPLOYBT2EXAMPLE of user deploy-bot was found in public, and seems to be used"},
		{"Potentially compromised", "", 9, "Access key AKIADEPLOYBT2EXAMPLE of user deploy-bot was found in public, and seems to be used"},
		{"Suspected", "0", 9, "Unusual usage suggests that somebody else has access key AKIADEPLOYBT2EXAMPLE of user deploy-bot"},
	} {
		a := one(t, Reader{Org: org}, edited(t, taUser, map[string]any{item + "Fraud Type": test.fraud, item + "Usage (USD per Day)": test.usage}))
		if a.Severity != test.severity || a.Title != test.title {
			t.Errorf("%s, %s: %v %s; want %v %s", test.fraud, test.usage, a.Severity, a.Title, test.severity, test.title)
		}
	}
}

// What is over asks for nothing, and without a region there is no address.
func TestTrustedAdvisorBarely(t *testing.T) {
	a := one(t, Reader{Org: org}, edited(t, taUser, map[string]any{"detail.status": "OK", "detail.check-item-detail.Access Key ID": "none", "region": nil}))
	if !a.Over || len(a.ByHand) != 0 || a.Link != "" {
		t.Errorf("%v %q %q", a.Over, a.ByHand, a.Link)
	}
}

const healthOne = "health_exposed_one.json"

func TestHealthReads(t *testing.T) {
	for _, test := range []struct {
		name string
		edit map[string]any
		want want
	}{
		{"another service", map[string]any{"detail.service": "ABUSE"}, want{ignored: true}},
		{"another risk", map[string]any{"detail.eventTypeCode": "AWS_RISK_SPEND"}, want{ignored: true}},
		{"no service", map[string]any{"detail.service": nil}, want{malformed: "detail.service is missing"}},
		{"no code", map[string]any{"detail.eventTypeCode": nil}, want{malformed: "detail.eventTypeCode is missing"}},
		{"no account's ID", map[string]any{"detail.affectedAccount": "prod"}, want{malformed: "affectedAccount is not an account's ID"}},
		{"keys that are no list", map[string]any{"detail.affectedEntities": "AKIAHEALTHKY2EXAMPLE"}, want{malformed: "affectedEntities is not a list"}},
		{"a key that is missing", map[string]any{"detail.affectedEntities.0.entityValue": nil}, want{malformed: "entityValue is missing"}},
		{"a key that is a list", map[string]any{"detail.affectedEntities.0.entityValue": []string{"AKIAHEALTHKY2EXAMPLE"}}, want{malformed: "entityValue is not a text"}},
		{"metadata that is a text", map[string]any{"detail.eventMetadata": "userName=root"}, want{malformed: "eventMetadata is not an object"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			alerts, err := Reader{Org: org}.Read(edited(t, healthOne, test.edit))
			test.want.check(t, alerts, err)
		})
	}
}

// TestHealthNamesPrincipals: an event may name whose credentials they are, by ARN.
func TestHealthNamesPrincipals(t *testing.T) {
	const in = "arn:aws:iam::222222222222:"
	for entity, want := range map[string]struct {
		principal string
		offers    []string
		byHand    string
	}{
		in + "user/bots/feed":     {"user feed", []string{"quarantine_user " + in + "user/bots/feed"}, ""},
		in + "role/app/web":       {"role web", []string{"revoke_sessions " + in + "role/app/web", "detach_policies " + in + "role/app/web"}, ""},
		in + "root":               {"root user", rootOffers, "delete its keys, password and MFA devices"},
		in + "user/emergency":     {"user emergency", nil, "protected by the configuration"},
		in + "instance-profile/x": {"user deploy-bot", []string{"?quarantine_user " + in + "user/deploy-bot"}, "names no access key"},
		"222222222222":            {"user deploy-bot", []string{"?quarantine_user " + in + "user/deploy-bot"}, "names no access key"},
		"arn:aws:sts::222222222222:assumed-role/web/dana": {"role web, session dana", []string{"revoke_sessions " + in + "role/web", "detach_policies " + in + "role/web"}, ""},
		"arn:aws:iam::444444444444:user/feed":             {"user feed", nil, "another account"},
	} {
		t.Run(entity, func(t *testing.T) {
			a := one(t, Reader{Org: org}, edited(t, healthOne, map[string]any{"detail.affectedEntities": []any{map[string]any{"entityValue": entity}}, "detail.eventMetadata": map[string]any{"userName": "deploy-bot"}}))
			if d := cmp.Diff(want.offers, offered(a), cmpopts.EquateEmpty()); d != "" || a.Principal != want.principal || a.Exposed {
				t.Errorf("%q, exposed %t: -want +got\n%s", a.Principal, a.Exposed, d)
			}
			if !hands(a, want.byHand) || (want.byHand == "") != (len(a.ByHand) == 0) {
				t.Errorf("by hand %q, want %q", a.ByHand, want.byHand)
			}
		})
	}
	a := one(t, Reader{Org: org}, edited(t, healthOne, map[string]any{"detail.affectedEntities": nil, "detail.eventMetadata": map[string]any{"userName": "deploy-bot"}}))
	if d := cmp.Diff([]string{"?quarantine_user " + in + "user/deploy-bot"}, offered(a)); d != "" || a.Resource != "" {
		t.Errorf("%q: -want +got\n%s", a.Resource, d)
	}
}

func TestHealthSeverity(t *testing.T) {
	for code, severity := range map[string]float64{
		"AWS_RISK_CREDENTIALS_EXPOSED": 8, "AWS_RISK_CREDENTIALS_COMPROMISED": 9,
		"AWS_RISK_CREDENTIALS_EXPOSURE_SUSPECTED": 7, "AWS_RISK_CREDENTIALS_COMPROMISE_SUSPECTED": 8,
		"AWS_RISK_IAM_QUARANTINE": 8, "AWS_RISK_ACCOUNT_CONSOLE_COMPROMISE": 9, "AWS_RISK_USER_COMPROMISE_NEWS": 7,
	} {
		if a := one(t, Reader{Org: org}, edited(t, healthOne, map[string]any{"detail.eventTypeCode": code})); a.Severity != severity || a.Type != code {
			t.Errorf("%s: %v %s", code, a.Severity, a.Type)
		}
	}
}

// The metadata tells of one of several keys: its user has not the others.
func TestHealthUserOfOneKey(t *testing.T) {
	keys := []any{map[string]any{"entityValue": "AKIAHEALTHKY9EXAMPLE"}, map[string]any{"entityValue": "AKIAHEALTHKY2EXAMPLE"}, map[string]any{"entityValue": "AKIAHEALTHKY9EXAMPLE"}}
	for _, test := range []struct {
		about  any
		second []string
	}{
		{"AKIAHEALTHKY2EXAMPLE", []string{"deactivate_key AKIAHEALTHKY2EXAMPLE account=222222222222 quarantine=yes", "?quarantine_user arn:aws:iam::222222222222:user/notebook-shared"}},
		{nil, []string{"deactivate_key AKIAHEALTHKY2EXAMPLE account=222222222222 quarantine=yes"}},
	} {
		alerts, err := Reader{Org: org}.Read(edited(t, healthOne, map[string]any{"detail.affectedEntities": keys, "detail.eventMetadata.publicKey": test.about}))
		if err != nil || len(alerts) != 2 {
			t.Fatalf("%d alerts, %v", len(alerts), err)
		}
		if got := offered(alerts[0]); !slices.Equal(got, []string{"deactivate_key AKIAHEALTHKY9EXAMPLE account=222222222222 quarantine=yes"}) || len(alerts[0].Facts) != 0 {
			t.Errorf("about %v: %q, %v", test.about, got, alerts[0].Facts)
		}
		if got := offered(alerts[1]); !slices.Equal(got, test.second) {
			t.Errorf("about %v: %q", test.about, got)
		}
	}
}

func TestHealthPlaces(t *testing.T) {
	for _, test := range []struct {
		name            string
		edit            map[string]any
		account, region string
		updated         string
		text            string
		linked          bool
	}{
		{"as it is", nil, "222222222222", "us-east-1", "2026-11-15T00:37:55Z", "An access key", true},
		{"in a region", map[string]any{"detail.eventRegion": "eu-west-1"}, "222222222222", "eu-west-1", "2026-11-15T00:37:55Z", "An access key", true},
		{"the account of the envelope", map[string]any{"detail.affectedAccount": nil}, "222222222222", "us-east-1", "2026-11-15T00:37:55Z", "An access key", true},
		{"the affected account, not that of the envelope", map[string]any{"detail.affectedAccount": "333333333333"}, "333333333333", "us-east-1", "2026-11-15T00:37:55Z", "An access key", true},
		{"a date that is none", map[string]any{"detail.lastUpdatedTime": "yesterday"}, "222222222222", "us-east-1", "2026-11-15T00:38:36Z", "An access key", true},
		{"another language first", map[string]any{"detail.eventDescription": []any{map[string]any{"language": "ja_JP", "latestDescription": "鍵"}, map[string]any{"language": "en_US", "latestDescription": "A key"}}},
			"222222222222", "us-east-1", "2026-11-15T00:37:55Z", "A key", true},
		{"only another language", map[string]any{"detail.eventDescription.0.language": "ja_JP"}, "222222222222", "us-east-1", "2026-11-15T00:37:55Z", "An access key", true},
		{"no description", map[string]any{"detail.eventDescription": nil}, "222222222222", "us-east-1", "2026-11-15T00:37:55Z", "", true},
		{"an ARN that is too long", map[string]any{"detail.eventArn": "arn:aws:health:us-east-1::event/RISK/X/" + strings.Repeat("x", 2000)}, "222222222222", "us-east-1", "2026-11-15T00:37:55Z", "An access key", false},
		{"no ARN", map[string]any{"detail.eventArn": nil}, "222222222222", "us-east-1", "2026-11-15T00:37:55Z", "An access key", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			a := one(t, Reader{Org: org}, edited(t, healthOne, test.edit))
			if a.Account != test.account || a.Region != test.region || a.Updated.Format("2006-01-02T15:04:05Z07:00") != test.updated || len(a.Text) > 0 != (test.text != "") || (a.Link != "") != test.linked {
				t.Errorf("%s %s %s %q %q", a.Account, a.Region, a.Updated, a.Text, a.Link)
			}
			if test.text != "" && a.Text[:len(test.text)] != test.text {
				t.Errorf("text %q", a.Text)
			}
			if a.Containments[0].Call.Account != test.account {
				t.Errorf("offers %q", offered(a))
			}
		})
	}
}

// Metadata that names no key tells of the only one.
func TestHealthUserOfTheKey(t *testing.T) {
	a := one(t, Reader{Org: org}, edited(t, healthOne, map[string]any{"detail.eventMetadata.publicKey": nil}))
	if a.Principal != "user notebook-shared" || len(a.Containments) != 2 {
		t.Errorf("%s, %q", a.Principal, offered(a))
	}
}

// In another partition nothing is offered, and there is no link into ours.
func TestExposedInAnotherPartition(t *testing.T) {
	for _, e := range []Event{
		edited(t, healthOne, map[string]any{"region": "us-gov-west-1", "detail.eventRegion": "us-gov-west-1", "detail.eventArn": "arn:aws-us-gov:health:us-gov-west-1::event/RISK/AWS_RISK_CREDENTIALS_EXPOSED/AWS_RISK_CREDENTIALS_EXPOSED_d73dcbfa3815"}),
		edited(t, taUser, map[string]any{"region": "us-gov-west-1"}),
	} {
		a := one(t, Reader{Org: org}, e)
		if len(a.Containments) != 0 || !hands(a, "partition aws-us-gov") || a.Partition != "aws-us-gov" {
			t.Errorf("%s: %q, %q", a.Partition, offered(a), a.ByHand)
		}
		if a.Source == TrustedAdvisor && a.Link != "https://console.amazonaws-us-gov.com/trustedadvisor/home#/category/security" || a.Source == Health && a.Link != "" {
			t.Errorf("link %q", a.Link)
		}
	}
}

// What contains by itself is the key, whose owner IAM tells; a user who is only
// named may be anybody.
func TestExposedAutomatic(t *testing.T) {
	for _, test := range []struct {
		suggest []Suggestion
		auto    bool
		unsure  int
	}{
		{suggest(actions.DeactivateKey), true, 0},
		{suggest(actions.QuarantineUser), false, 1},
		{suggest(actions.DeactivateKey, actions.QuarantineUser), true, 1},
	} {
		for source, e := range map[Source]Event{TrustedAdvisor: edited(t, taUser, nil), Health: edited(t, healthOne, nil)} {
			r := Reader{Org: org, Routing: Routing{Routes: []Route{{Match: Match{Source: source}, Suggest: test.suggest, Delivery: Auto}}}}
			f, unsure := one(t, r, e), 0
			for _, o := range f.Offers() {
				if o.Unsure != "" {
					unsure++
				}
			}
			if f.Route == nil || (running(f) != nil) != test.auto || unsure != test.unsure || test.auto && !f.Offers()[0].Auto || len(f.Offers()) != len(test.suggest) {
				t.Errorf("%s, %v: %+v", source, test.suggest, f)
			}
		}
	}
}

// TestWebhookExposesNoKey: that a key exists makes nothing true that a webhook says of it, whatever
// the webhook may do else.
func TestWebhookExposesNoKey(t *testing.T) {
	for source, e := range map[Source]Event{TrustedAdvisor: edited(t, taUser, nil), Health: edited(t, healthOne, nil)} {
		r := Reader{Org: org, AutoWebhooks: []string{"soar"}, Routing: Routing{Routes: []Route{
			{Match: Match{Source: source}, Suggest: suggest(actions.DeactivateKey), Delivery: Auto, OneClick: true}}}}
		if f := one(t, r, e); running(f) == nil || !oneClick(f) {
			t.Errorf("%s: the queue's own event runs nothing: %+v", source, f)
		}
		e.Webhook = "soar"
		if f := one(t, r, e); running(f) != nil || oneClick(f) || len(f.Offers()) != 1 {
			t.Errorf("%s: what a webhook says runs: %+v", source, f)
		}
	}
}

// What an event of AWS Health calls itself is not another alert's name.
func TestHealthTakesNoName(t *testing.T) {
	for _, other := range []string{"us-east-1/65a43b58880d17fd4fa2e2766537c0fe", "key/AKIADEPLOYBT2EXAMPLE", "exposed/x"} {
		for _, keys := range []any{nil, []any{map[string]any{"entityValue": "i-1"}}} {
			for _, edit := range []map[string]any{{"detail.eventArn": other}, {"detail.eventArn": nil, "id": other}} {
				edit["detail.affectedEntities"] = keys
				if a := one(t, Reader{Org: org}, edited(t, healthOne, edit)); !strings.HasPrefix(a.Own(), "222222222222/health/") {
					t.Error(a.Own())
				}
			}
		}
	}
}

// FuzzExposedKeys puts anything where a key, its user and what is known of it are
// told: what is offered is about that key and that user in that account, and the
// calls are such as people can type.
func FuzzExposedKeys(f *testing.F) {
	f.Add("AKIADEPLOYBT2EXAMPLE", "deploy-bot", "Exposed", "ERROR", "1795083394000", "412")
	f.Add("ASIADEPLOYBT2EXAMPLE", "Root", "Suspected", "OK", "-", "")
	f.Add("", "a/b", "", "WARN", "\x00", "0")
	f.Fuzz(func(t *testing.T, key, user, fraud, status, deadline, usage string) {
		const item = "detail.check-item-detail."
		events := []Event{
			edited(t, taUser, map[string]any{item + "Access Key ID": key, item + "User Name (IAM or Root)": user, item + "Fraud Type": fraud, "detail.status": status, item + "Deadline": deadline, item + "Usage (USD per Day)": usage}),
			edited(t, healthOne, map[string]any{"detail.affectedEntities.0.entityValue": key, "detail.eventMetadata.publicKey": key, "detail.eventMetadata.userName": user, "detail.lastUpdatedTime": deadline, "detail.statusCode": status, "detail.eventArn": fraud}),
		}
		for _, e := range events {
			alerts, err := Reader{Org: org}.Read(e)
			if _, bad := errors.AsType[*Malformed](err); err != nil && !bad && !errors.Is(err, ErrIgnored) {
				t.Fatal(err)
			}
			for _, a := range alerts {
				checkAlert(t, org, a)
				for _, o := range a.Containments {
					if c := o.Call; isRoot(user) && !slices.Contains(rootOffers, c.String()) || !isRoot(user) && c.Target != key && c.Target != "arn:aws:iam::222222222222:user/"+user || a.Over {
						t.Errorf("%q, %q: offers %s", key, user, c)
					}
				}
			}
		}
	})
}

// rootOffers are what contains the root user.
var rootOffers = []string{"deny_principal arn:aws:iam::222222222222:root", "apply_scp 222222222222"}
