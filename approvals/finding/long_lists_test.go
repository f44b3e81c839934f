package finding

import (
	"errors"
	"fmt"
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
