package finding

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	asff = "securityhub_asff_guardduty-iam.json"
	ocsf = "securityhub_ocsf_guardduty-ec2.json"
	hub  = "detail.findings.0."
)

// finding is the one that a sample holds, as a value to put beside it.
func finding(t testing.TB, name string, changes map[string]any) map[string]any {
	t.Helper()
	var top struct {
		Detail struct {
			Findings []map[string]any
		}
	}
	if err := json.Unmarshal(edited(t, name, changes).Body, &top); err != nil {
		t.Fatal(err)
	}
	return top.Detail.Findings[0]
}

// TestHubIsGuardDuty compares both accounts of one finding: what merges them and what
// a person may do about them must be the same. Only GuardDuty's own is confirmed.
func TestHubIsGuardDuty(t *testing.T) {
	for hubs, own := range map[string]string{asff: "guardduty_iam_persistence-akia.json", ocsf: "guardduty_ec2_bitcoin-dns.json"} {
		r := Reader{Org: org}
		a, b := one(t, r, Event{Body: event(t, hubs)}), one(t, r, Event{Body: event(t, own)})
		b.Containments = slices.DeleteFunc(b.Containments, func(c Containment) bool { return c.Unsure == unsureProfile }) // the hub tells no profile
		same := func(x Finding) []any {
			return []any{x.Names, x.Type, x.Severity, x.Account, x.Region, x.Partition, x.Principal, x.Resource, x.Link, x.Updated, offered(x), x.Subject}
		}
		if a.Confirmation.Kind != "" || b.Confirmation.Kind == "" {
			t.Errorf("%s is confirmed by %+v, %s by %+v", hubs, a.Confirmation, own, b.Confirmation)
		}
		if d := cmp.Diff(same(b), same(a)); d != "" {
			t.Errorf("%s: -GuardDuty +Security Hub\n%s", hubs, d)
		}
	}
}

func TestHubIgnores(t *testing.T) {
	for name, tt := range map[string]struct {
		file string
		edit map[string]any
	}{
		"custom action":              {asff, map[string]any{"detail-type": "Security Hub Findings - Custom Action"}},
		"insight":                    {asff, map[string]any{"detail-type": "Security Hub Insight Results"}},
		"archived":                   {asff, map[string]any{hub + "RecordState": "ARCHIVED"}},
		"archived in GuardDuty":      {asff, map[string]any{hub + "ProductFields.aws/guardduty/service/archived": "true"}},
		"suppressed":                 {asff, map[string]any{hub + "Workflow.Status": "SUPPRESSED"}},
		"resolved":                   {asff, map[string]any{hub + "Workflow.Status": "RESOLVED"}},
		"configuration check":        {asff, map[string]any{hub + "Id": "x", hub + "Types": []string{"Software and Configuration Checks/Industry and Regulatory Standards/CIS"}}},
		"no types":                   {asff, map[string]any{hub + "Id": "x", hub + "Types": nil, hub + "FindingProviderFields": nil}},
		"control of a standard":      {asff, map[string]any{hub + "Id": "x", hub + "Types": []string{"Effects/Data Exposure"}, hub + "ProductFields": map[string]any{"StandardsControlArn": "arn:aws:securityhub:x"}}},
		"bare namespace of checks":   {asff, map[string]any{hub + "Id": "x", hub + "Types": []string{"Software and Configuration Checks"}}},
		"a check (OCSF)":             {ocsf, map[string]any{hub + "finding_info.uid": "x", hub + "unmapped": map[string]any{"compliance": map[string]any{"CIS": []string{"1.1"}}}}},
		"a check that passed (OCSF)": {ocsf, map[string]any{hub + "finding_info.uid": "x", hub + "status_code": "pass"}},
		"compliance":                 {ocsf, map[string]any{hub + "class_uid": 2003}},
		"vulnerability":              {ocsf, map[string]any{hub + "class_uid": 2002}},
		"suppressed (OCSF)":          {ocsf, map[string]any{hub + "status_id": 3}},
		"resolved (OCSF)":            {ocsf, map[string]any{hub + "status_id": 4}},
		"archived (OCSF)":            {ocsf, map[string]any{hub + "status_id": "5"}},
		"deleted (OCSF)":             {ocsf, map[string]any{hub + "status_id": 6}},
		"closed (OCSF)":              {ocsf, map[string]any{hub + "activity_id": 3}},
		"exposure (OCSF)":            {ocsf, map[string]any{hub + "finding_info.uid": "x", hub + "finding_info.types": []string{"Exposure/Potential Impact"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if alerts, err := (Reader{Org: org}).Read(edited(t, tt.file, tt.edit)); len(alerts) != 0 || !errors.Is(err, ErrIgnored) {
				t.Errorf("%d alerts, %v", len(alerts), err)
			}
		})
	}
}

// TestHubPartly reads several findings of one event.
func TestHubPartly(t *testing.T) {
	good := finding(t, asff, nil)
	second := finding(t, asff, map[string]any{hub + "Id": strings.Replace(good["Id"].(string), "65a43b58880d17fd4fa2e2766537c0fe", "aaaa", 1)})
	broken := finding(t, asff, map[string]any{hub + "AwsAccountId": 5.5, hub + "Title": "SECRET", hub + "UpdatedAt": "SECRET"})
	archived := finding(t, asff, map[string]any{hub + "RecordState": "ARCHIVED"})
	const first, other = "222222222222/us-east-1/65a43b58880d17fd4fa2e2766537c0fe", "222222222222/us-east-1/aaaa"
	for name, tt := range map[string]struct {
		findings any
		names    []string
		cause    string // of *Malformed; empty for none
		ignored  bool
	}{
		"two":                {findings: []any{good, second}, names: []string{first, other}},
		"a broken one first": {findings: []any{broken, good, second}, names: []string{first, other}, cause: "1 of 3 findings: detail.findings[0].AwsAccountId is not an account's ID; detail.findings[0].UpdatedAt is not a time"},
		"a broken one last":  {findings: []any{good, broken}, names: []string{first}, cause: "1 of 2 findings: detail.findings[1]"},
		"all broken":         {findings: []any{broken, broken}, cause: "2 of 2 findings"},
		"broken, archived":   {findings: []any{archived, broken}, cause: "1 of 2 findings"},
		"one archived":       {findings: []any{archived, good}, names: []string{first}},
		"all archived":       {findings: []any{archived, archived}, ignored: true},
		"not an object":      {findings: []any{good, "x"}, names: []string{first}, cause: "1 of 2 findings: detail.findings[1] is not an object"},
		"none":               {findings: []any{}, cause: "detail.findings is missing or empty"},
		"missing":            {findings: nil, cause: "detail.findings is missing or empty"},
		"not a list":         {findings: good, cause: "detail.findings is not a list"},
	} {
		t.Run(name, func(t *testing.T) {
			e := edited(t, asff, map[string]any{"detail.findings": tt.findings})
			alerts, err := Reader{Org: org}.Read(e)
			var names []string
			for _, a := range alerts {
				checkAlert(t, org, a)
				names = append(names, a.Own())
			}
			if d := cmp.Diff(tt.names, names); d != "" {
				t.Error(d)
			}
			m, bad := errors.AsType[*Malformed](err)
			if bad != (tt.cause != "") || bad && (!strings.Contains(m.Cause, tt.cause) || strings.Contains(m.Cause, "SECRET") || m.Source != SecurityHub) {
				t.Errorf("%v, want %q", err, tt.cause)
			}
			if errors.Is(err, ErrIgnored) != tt.ignored {
				t.Errorf("%v, ignored: %v", err, tt.ignored)
			}
			fs, err := Reader{Org: org, Routing: Routing{Routes: []Route{{Match: Match{Source: SecurityHub}}}}}.ReadStored(string(evidence(t, e)))
			if len(fs) != len(tt.names) || (err != nil) != (len(tt.names) == 0 && !tt.ignored) {
				t.Errorf("read %d findings, %v", len(fs), err)
			}
		})
	}
}

// evidence is the body of an event's evidence.
func evidence(t testing.TB, e Event) []byte {
	t.Helper()
	body, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestHubOffers(t *testing.T) {
	const prod = "arn:aws:iam::222222222222:"
	resource := func(kind, id string, more map[string]any) map[string]any {
		r := map[string]any{"Type": kind, "Id": id, "type": kind, "uid": id}
		maps.Copy(r, more)
		return r
	}
	accessKey := func(details map[string]any) map[string]any {
		return resource("AwsIamAccessKey", "AWS::IAM::AccessKey:ASIAWEBROLEA2EXAMPLE", map[string]any{"Details": map[string]any{"AwsIamAccessKey": details}})
	}
	session := map[string]any{"PrincipalType": "AssumedRole", "PrincipalName": "web-tier-role", "PrincipalId": "AROAWEBTIERAPPEXAMPLE:i-0d3e1a5b7c9f20001"}
	for name, tt := range map[string]struct {
		file   string
		edit   map[string]any
		offers []string
		byHand string
	}{
		"role's session": {
			file: asff, edit: map[string]any{hub + "Resources": []any{accessKey(map[string]any{"PrincipalType": "AssumedRole", "PrincipalName": "etl", "PrincipalId": "AROAX:job"})}},
			offers: []string{"revoke_sessions " + prod + "role/etl", "detach_policies " + prod + "role/etl"},
		},
		"session with its issuer": {
			file: asff, edit: map[string]any{hub + "Resources": []any{accessKey(map[string]any{
				"PrincipalType": "AssumedRole", "PrincipalName": "etl", "PrincipalId": "AROAX:job", "SessionContext": map[string]any{"SessionIssuer": map[string]any{"Arn": prod + "role/data/etl"}},
			})}},
			offers: []string{"revoke_sessions " + prod + "role/data/etl", "detach_policies " + prod + "role/data/etl"},
		},
		"session of another account": {
			file: asff, edit: map[string]any{hub + "Resources": []any{accessKey(map[string]any{"PrincipalType": "AssumedRole", "PrincipalName": "etl", "PrincipalId": "AROAX:job", "AccountId": "444444444444"})}},
			byHand: "another account",
		},
		"instance's session": {
			file: asff, edit: map[string]any{hub + "Resources": []any{accessKey(session), resource("AwsEc2Instance", "arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20001", nil)}},
			offers: []string{"revoke_sessions " + prod + "role/web-tier-role", "isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20001", "+detach_policies " + prod + "role/web-tier-role"},
		},
		"instance's session, without the instance": {
			file: asff, edit: map[string]any{hub + "Resources": []any{accessKey(session)}},
			offers: []string{"revoke_sessions " + prod + "role/web-tier-role", "?isolate_instance arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20001", "+detach_policies " + prod + "role/web-tier-role"},
		},
		"root": {offers: rootOffers,
			file: asff, edit: map[string]any{hub + "Resources": []any{accessKey(map[string]any{"PrincipalType": "Root", "PrincipalName": "Root", "PrincipalId": "222222222222"})}},
			byHand: "delete its keys, password and MFA devices",
		},
		"user with a path": {
			file: asff, edit: map[string]any{hub + "Resources": []any{resource("AwsIamUser", prod+"user/ops/eve", nil)}},
			offers: []string{"quarantine_user " + prod + "user/ops/eve"},
		},
		"role": {
			file: asff, edit: map[string]any{hub + "Resources": []any{resource("AwsIamRole", prod+"role/app/web", nil)}},
			offers: []string{"revoke_sessions " + prod + "role/app/web", "detach_policies " + prod + "role/app/web"},
		},
		"our own role":        {file: asff, edit: map[string]any{hub + "Resources": []any{resource("AwsIamRole", prod+"role/killswitch-restorer", nil)}}, byHand: "one of Killswitch's own member roles"},
		"service-linked role": {file: asff, edit: map[string]any{hub + "Resources": []any{resource("AwsIamRole", prod+"role/aws-service-role/x.amazonaws.com/AWSServiceRoleForX", nil)}}, byHand: "service-linked"},
		"what is not ours": {
			file: asff, edit: map[string]any{hub + "Resources": []any{
				resource("AwsIamUser", "arn:aws:iam::444444444444:user/eve", nil), resource("AwsEc2Instance", "arn:aws:ec2:us-east-1:444444444444:instance/i-0d3e1a5b7c9f20001", nil),
			}},
			byHand: "another account",
		},
		"bucket": {file: asff, edit: map[string]any{hub + "Resources": []any{resource("AwsS3Bucket", "arn:aws:s3:::logs", nil)}}, byHand: "No action fits"},
		"instance in another region": {
			file: ocsf, edit: map[string]any{hub + "resources": []any{resource("AWS::EC2::Instance", "arn:aws:ec2:eu-west-1:222222222222:instance/i-0d3e1a5b7c9f20001", nil)}},
			offers: []string{"isolate_instance arn:aws:ec2:eu-west-1:222222222222:instance/i-0d3e1a5b7c9f20001"},
		},
		"instance ID that is none": {file: ocsf, edit: map[string]any{hub + "resources": []any{resource("AWS::EC2::Instance", "i-1 region=x", nil)}}, byHand: "No action fits"},
		"key alone": {
			file: ocsf, edit: map[string]any{hub + "resources": []any{resource("AWS::IAM::AccessKey", "AKIACIBUILDA2EXAMPLE", nil)}},
			offers: []string{"deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222"}, byHand: "find whose key it is",
		},
		"key in an object, of a role": {
			file: ocsf, edit: map[string]any{hub + "resources": []any{map[string]any{"type": "AwsIamAccessKey", "uid": "ASIACIBUILDA2EXAMPLE", "data": map[string]any{"AwsIamAccessKey": map[string]any{"PrincipalType": "AssumedRole", "PrincipalName": "etl", "PrincipalId": "AROAX:job"}}}}},
			offers: []string{"revoke_sessions " + prod + "role/etl", "detach_policies " + prod + "role/etl"},
		},
		"data that is none": {
			file: ocsf, edit: map[string]any{hub + "resources": []any{map[string]any{"type": "AwsIamAccessKey", "uid": "AKIACIBUILDA2EXAMPLE", "data": "x"}}},
			offers: []string{"deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222"}, byHand: "find whose key it is",
		},
		"name alone": {
			file: asff, edit: map[string]any{hub + "Resources": []any{resource("AwsIamAccessKey", "AWS::IAM::AccessKey:null", map[string]any{"Details": map[string]any{"AwsIamAccessKey": map[string]any{"UserName": "karl"}}})}},
			offers: []string{"?quarantine_user " + prod + "user/karl"},
		},
		"name of a session": {
			file: asff, edit: map[string]any{hub + "Resources": []any{resource("AwsIamAccessKey", "AWS::IAM::AccessKey:ASIACIBUILDA2EXAMPLE", map[string]any{"Details": map[string]any{"AwsIamAccessKey": map[string]any{"UserName": "etl"}}})}},
			byHand: "is not told",
		},
		"no key and nobody":   {file: asff, edit: map[string]any{hub + "Resources": []any{resource("AwsIamAccessKey", "AWS::IAM::AccessKey:null", nil)}}, byHand: "No action fits"},
		"session's key alone": {file: ocsf, edit: map[string]any{hub + "resources": []any{resource("AWS::IAM::AccessKey", "ASIACIBUILDA2EXAMPLE", nil)}}, byHand: "is not told"},
		"key and actor": {
			file: ocsf, edit: map[string]any{
				hub + "resources": []any{resource("AWS::IAM::AccessKey", "AWS::IAM::AccessKey:AKIACIBUILDA2EXAMPLE", nil)},
				hub + "evidences": []any{map[string]any{"actor": map[string]any{"user": map[string]any{"type": "IAMUser", "name": "ci-build", "uid": "AIDACIBUILDUSREXAMPLE", "credential_uid": "AKIACIBUILDA2EXAMPLE"}}}},
			},
			offers: []string{"deactivate_key AKIACIBUILDA2EXAMPLE account=222222222222", "quarantine_user " + prod + "user/ci-build"},
		},
		"sample": {file: asff, edit: map[string]any{hub + "Sample": true}, byHand: "A sample finding"},
		"sample by its fields": {
			file: asff, edit: map[string]any{hub + "ProductFields.aws/guardduty/service/additionalInfo/sample": "true"}, byHand: "A sample finding",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := one(t, Reader{Org: org}, edited(t, tt.file, tt.edit))
			checkAlert(t, org, a)
			if d := cmp.Diff(tt.offers, offered(a)); d != "" {
				t.Error(d)
			}
			if hand := strings.Join(a.ByHand, "\n"); !strings.Contains(hand, tt.byHand) || (hand == "") != (tt.byHand == "") {
				t.Errorf("by hand %q, want %q", hand, tt.byHand)
			}
		})
	}
}

// TestHubOfOthers reads findings that are not GuardDuty's, whatever they say.
func TestHubOfOthers(t *testing.T) {
	const id = "arn:aws:guardduty:us-east-1:222222222222:detector/121afe7ce30de38d5a3a62f0a02dfd75/finding/65a43b58880d17fd4fa2e2766537c0fe"
	for name, edit := range map[string]map[string]any{
		"customer's product":    {hub + "ProductArn": "arn:aws:securityhub:us-east-1:222222222222:product/222222222222/default"},
		"looks like GuardDuty":  {hub + "ProductArn": "arn:aws:securityhub:us-east-1:222222222222:product/aws/guardduty"},
		"of another account":    {hub + "AwsAccountId": "333333333333"},
		"no finding's ARN":      {hub + "Id": "65a43b58880d17fd4fa2e2766537c0fe"},
		"ARN with another form": {hub + "Id": id + "/x"},
	} {
		t.Run(name, func(t *testing.T) {
			a := one(t, Reader{Org: org}, edited(t, asff, edit))
			checkAlert(t, org, a)
			if len(a.Names) != 1 { // not that of the key that it names
				t.Errorf("%q meets what others say", a.Names)
			}
			if !strings.Contains(a.Own(), "/us-east-1/securityhub/") || a.Confirmation.Kind != "" || a.Type != "TTPs/Persistence/Persistence:IAMUser-AnomalousBehavior" {
				t.Errorf("%q %+v %s", a.Names, a.Confirmation, a.Type)
			}
			if !strings.HasPrefix(a.Link, "https://us-east-1.console.aws.amazon.com/securityhub/home?region=us-east-1#/findings?search=Id%3D%255Coperator%255C%253AEQUALS%255C%253A") {
				t.Error(a.Link)
			}
		})
	}
	a := one(t, Reader{Org: org}, edited(t, ocsf, map[string]any{hub + "finding_info.uid": "f-1", hub + "finding_info.types": nil, hub + "cloud.region": nil}))
	if a.Own() != "222222222222/us-east-1/securityhub/f-1" || a.Type != "Finding" || !strings.Contains(a.Link, "/securityhub/v2/home?region=us-east-1#/findings?search=finding_info.uid%3D") {
		t.Errorf("%q %s %s", a.Names, a.Type, a.Link)
	}
	for _, bad := range []any{"", "a b", "x\n", strings.Repeat("x", 513), []any{}} {
		if _, err := (Reader{Org: org}).Read(edited(t, asff, map[string]any{hub + "Id": bad})); err == nil || errors.Is(err, ErrIgnored) {
			t.Errorf("ID %.20q: %v", bad, err)
		}
	}
}

func TestHubSeverity(t *testing.T) {
	const guardDuty, other = "arn:aws:securityhub:us-east-1::product/aws/guardduty", "arn:aws:securityhub:us-east-1::product/aws/macie"
	for _, tt := range []struct {
		product  string
		severity map[string]any
		want     float64 // -1 for unreadable
	}{
		{guardDuty, map[string]any{"Product": 8.5, "Label": "HIGH", "Normalized": 70}, 8.5},
		{guardDuty, map[string]any{"Product": 8.5, "Label": "LOW", "Normalized": 1}, 2},     // lowered by a rule
		{guardDuty, map[string]any{"Product": 2, "Label": "CRITICAL", "Normalized": 90}, 9}, // raised by one
		{guardDuty, map[string]any{"Label": "HIGH"}, 8},                                     // in the new format of the old one
		{other, map[string]any{"Product": 8.5, "Label": "MEDIUM", "Normalized": 55}, 5.5},   // whose numbers mean nothing
		{other, map[string]any{"Label": "medium"}, 5},                                       // whatever the case
		{other, map[string]any{"Normalized": 75}, 7.5},                                      // no label
		{other, map[string]any{"Normalized": 0, "Label": "INFORMATIONAL"}, 0},               //
		{other, map[string]any{}, -1}, {other, nil, -1}, {other, map[string]any{"Label": "BAD"}, -1},
		{other, map[string]any{"Normalized": 101, "Label": "HIGH"}, -1}, {other, map[string]any{"Normalized": -1}, -1},
		{guardDuty, map[string]any{"Product": 11, "Label": "HIGH"}, -1}, {guardDuty, map[string]any{"Product": "x", "Label": "HIGH"}, -1},
	} {
		alerts, err := Reader{Org: org}.Read(edited(t, asff, map[string]any{hub + "ProductArn": tt.product, hub + "Severity": tt.severity}))
		switch {
		case tt.want < 0:
			if _, bad := errors.AsType[*Malformed](err); !bad {
				t.Errorf("%v: %v", tt.severity, err)
			}
		case err != nil || alerts[0].Severity != tt.want:
			t.Errorf("%v: %v, %v; want %v", tt.severity, alerts, err, tt.want)
		}
	}
	for id, want := range map[any]float64{0.0: 5, 1.0: 0, 2.0: 2, 3.0: 5, 4.0: 8, "5": 9, 6.0: 10, 99.0: 5} {
		if a := one(t, Reader{Org: org}, edited(t, ocsf, map[string]any{hub + "severity_id": id})); a.Severity != want {
			t.Errorf("severity_id %v is %v, want %v", id, a.Severity, want)
		}
	}
	for _, bad := range []any{nil, 7, 4.5, "high", -1} {
		if _, err := (Reader{Org: org}).Read(edited(t, ocsf, map[string]any{hub + "severity_id": bad})); err == nil {
			t.Errorf("severity_id %v is read", bad)
		}
	}
}

func TestOCSFTimes(t *testing.T) {
	a := one(t, Reader{Org: org}, edited(t, ocsf, map[string]any{
		hub + "finding_info.modified_time_dt": nil, hub + "finding_info.first_seen_time_dt": nil, hub + "finding_info.first_seen_time": 1794452531000, hub + "time_dt": nil,
	}))
	if a.First.UTC().Format("15:04:05") != "03:02:11" || a.Updated.Format("15:04:05.000") != "03:14:20.118" {
		t.Errorf("first %v, updated %v", a.First, a.Updated)
	}
}
