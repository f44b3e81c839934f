package finding

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// Whoever has a webhook's key must not keep the bot busy with one event: lists of
// thousands are refused before anything is compared with anything.
func TestEventsOfThousandsOfElements(t *testing.T) {
	event := func(source, detailType, detail string) Event {
		return Event{Body: []byte(`{"id":"x","source":"` + source + `","detail-type":"` + detailType + `","account":"222222222222","region":"us-east-1","time":"2026-11-12T03:14:20Z","detail":` + detail + `}`)}
	}
	list := func(n int, element string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = fmt.Sprintf(element, i)
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	for name, e := range map[string]func(n int) Event{
		"keys": func(n int) Event {
			return event("aws.health", "AWS Health Event", `{"service":"RISK","eventTypeCode":"AWS_RISK_CREDENTIALS_EXPOSED","affectedEntities":`+list(n, `{"entityValue":"AKIA%012d"}`)+`}`)
		},
		"actors": func(n int) Event {
			return event("aws.guardduty", "GuardDuty Finding", `{"id":"a","type":"AttackSequence:IAM/X","severity":9,"accountId":"222222222222","region":"us-east-1","updatedAt":"2026-11-12T03:14:20Z","resource":{"resourceType":"AttackSequence"},"service":{"detection":{"sequence":{"actors":`+list(n, `{"user":{"type":"IAMUser","name":"%d"}}`)+`}}}}`)
		},
		"resources": func(n int) Event {
			return event("aws.securityhub", "Security Hub Findings - Imported", `{"findings":[{"Id":"a","Types":["TTPs/x"],"Severity":{"Label":"HIGH"},"AwsAccountId":"222222222222","Region":"us-east-1","UpdatedAt":"2026-11-12T03:14:20Z","Resources":`+list(n, `{"Type":"AwsIamUser","Id":"arn:aws:iam::222222222222:user/%d"}`)+`}]}`)
		},
	} {
		began := time.Now()
		_, err := Reader{Org: org}.Read(e(3500))
		if m, bad := errors.AsType[*Malformed](err); !bad || !strings.Contains(m.Cause, "has more than 500 elements") {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if alerts, err := (Reader{Org: org}).Read(e(maxItems)); err != nil || len(alerts) == 0 {
			t.Errorf("%s: %d alerts, %v", name, len(alerts), err)
		}
	}
}

// TestLongNames: an alert's row holds its names, and finds it by them.
func TestLongNames(t *testing.T) {
	named := func(sample, path, value string) []string {
		t.Helper()
		a := one(t, Reader{Org: org}, edited(t, sample, map[string]any{path: value}))
		if n := len(strings.Join(a.Names, "")); n > 2*(maxName+100) {
			t.Errorf("%d names of %d bytes", len(a.Names), n)
		}
		return a.Names
	}
	for sample, path := range map[string]string{
		"health_compromised_key.json": "detail.affectedEntities.0.entityValue", "trustedadvisor_exposedkeys_own-suspected.json": "detail.check-item-detail.Access Key ID",
	} {
		long := strings.Repeat("é", 100<<10)
		first := named(sample, path, long+"1")
		if again := named(sample, path, long+"1"); !slices.Equal(first, again) {
			t.Errorf("%q is %q", first, again)
		}
		if other := named(sample, path, long+"2"); slices.ContainsFunc(first, func(n string) bool { return slices.Contains(other, n) }) {
			t.Errorf("%q is %q", first, other)
		}
	}
}
