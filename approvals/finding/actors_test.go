package finding

import (
	"slices"
	"testing"
)

// TestActors: the principal, and its key, in the account of the finding; people of Identity Center by
// their session, others' sessions not. What anybody can import, and what is no real finding, has others.
func TestActors(t *testing.T) {
	for sample, want := range map[string][]string{
		"cloudtrail_addusertogroup_root.json":                 {"222222222222/root"},
		"cloudtrail_attachuserpolicy_assumed-role.json":       {"222222222222/role/ci-deployer"},
		"cloudtrail_createuser_iamuser.json":                  {"222222222222/user/baduser", "222222222222/key/AKIABADUSERA2EXAMPLE"},
		"cloudtrail_createloginprofile_own-federated.json":    {"222222222222/user/ci-build"},
		"cloudtrail_putuserpolicy_own-identity-center.json":   {"222222222222/role/awsreservedsso_admin_0123456789abcdef/dana@example.com"},
		"cloudtrail_updateassumerolepolicy_own-instance.json": {"222222222222/role/web-tier-role"},
		"guardduty_attacksequence_iam-user.json":              {"222222222222/user/report-bot", "222222222222/key/AKIAREPORTBT2EXAMPLE"},
		"guardduty_ec2_bitcoin-dns.json":                      nil,
		"guardduty_iam_exfil-outside.json":                    {"222222222222/role/web-tier-role"},
		"guardduty_iam_federated-user.json":                   {"222222222222/federated/ci-temp"},
		"guardduty_iam_persistence-akia.json":                 {"222222222222/user/ci-build", "222222222222/key/AKIACIBUILDA2EXAMPLE"},
		"guardduty_iam_sample.json":                           nil,
		"health_console-compromise_user-arn.json":             {"333333333333/user/nina"},
		"health_mock_minimal.json":                            {"mock/222222222222/key/AKIAHEALTHMK2EXAMPLE"},
		"securityhub_asff_bare-namespace.json":                {"imported/222222222222/user/canary-7"},
		"securityhub_asff_guardduty-iam.json":                 {"222222222222/user/ci-build", "222222222222/key/AKIACIBUILDA2EXAMPLE"},
		"trustedadvisor_exposedkeys_root.json":                {"333333333333/root", "333333333333/key/AKIAROOTKEYA2EXAMPLE"},
		"trustedadvisor_exposedkeys_user.json":                {"222222222222/user/deploy-bot", "222222222222/key/AKIADEPLOYBT2EXAMPLE"},
	} {
		r := Reader{Org: org, Routing: Routing{MockSources: true}}
		if a := one(t, r, Event{Body: event(t, sample)}); !slices.Equal(a.Actors, want) {
			t.Errorf("%s: %q, want %q", sample, a.Actors, want)
		}
	}
	drill := one(t, Reader{Org: org}, Event{Body: event(t, "cloudtrail_addusertogroup_root.json"), Drill: "d1"})
	if want := []string{"drill/d1/222222222222/root"}; !slices.Equal(drill.Actors, want) {
		t.Errorf("a drill: %q", drill.Actors)
	}
}

// TestActorsOfASequence: each is named once, though it had two sessions or keys; of another account none
// bears the name of ours.
func TestActorsOfASequence(t *testing.T) {
	actor := func(kind, name, uid, key, account, issuer string) any {
		return map[string]any{
			"user":    map[string]any{"type": kind, "name": name, "uid": uid, "credentialUid": key, "account": map[string]any{"uid": account}},
			"session": map[string]any{"issuer": issuer},
		}
	}
	a := one(t, Reader{Org: org}, edited(t, "guardduty_attacksequence_iam-user.json", map[string]any{"detail.service.detection.sequence.actors": []any{
		actor("AssumedRole", "etl", "AROAETLROLEAAAEXAMPLE:job", "ASIAETLROLEA2EXAMPLE", "222222222222", "arn:aws:iam::222222222222:role/etl"),
		actor("AssumedRole", "etl", "AROAETLROLEAAAEXAMPLE:job2", "ASIAETLROLEA3EXAMPLE", "222222222222", "arn:aws:iam::222222222222:role/etl"),
		actor("IAMUser", "bot", "AIDAREPORTBOTUEXAMPLE", "AKIAREPORTBT2EXAMPLE", "222222222222", ""),
		actor("IAMUser", "bot", "AIDAREPORTBOTUEXAMPLE", "AKIAREPORTBT2EXAMPLE", "222222222222", ""),
		actor("AssumedRole", "deploy", "AROAMULEROLEAAEXAMPLE:x", "ASIAMULEROLEAEXAMPLE", "444444444444", "arn:aws:iam::444444444444:role/deploy"),
	}}))
	want := []string{"222222222222/role/etl", "222222222222/user/bot", "222222222222/key/AKIAREPORTBT2EXAMPLE", "222222222222/foreign/444444444444/role/deploy"}
	if !slices.Equal(a.Actors[:min(4, len(a.Actors))], want) {
		t.Errorf("actors %q, want %q", a.Actors, want)
	}
	for i, name := range a.Names {
		if slices.Index(a.Names, name) != i {
			t.Errorf("the name %q twice", name)
		}
	}
}
