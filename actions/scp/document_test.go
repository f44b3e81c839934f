package scp_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/scp"
)

// words is one text or a list of them.
type words []string

func (w *words) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*w = words{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(w))
}

func TestBuiltinSCPs(t *testing.T) {
	for _, partition := range []string{"aws", "aws-us-gov", "aws-cn"} {
		o := actiontest.TestOrg(partition)
		o.ForwarderRole = "forwarder"
		o.ProtectedPrincipals = append(o.ProtectedPrincipals, "arn:"+partition+":iam::*:user/${aws:username}/it&s") // a path may have any character
		for _, name := range []string{"protect-data", "protect-versions"} {
			document, ok := scp.BuiltinSCP(o, name)
			if text, no := scp.CheckSCP(o, document); !ok || no != nil || text != document || len(text) > 6000 {
				t.Errorf("%s: %v, %d characters\n%s", name, no, len(text), document)
			}
		}
		for _, name := range []string{"freeze", "control-plane"} {
			document, ok := scp.BuiltinSCP(o, name)
			text, no := scp.CheckSCP(o, document)
			if !ok || no != nil || text != document {
				t.Fatalf("%s: %v\n%s", name, no, document)
			}
			var d struct {
				Statement []struct {
					Effect, Action, Resource string
					NotAction                []string
					Condition                map[string]map[string]words
				}
			}
			actiontest.Must(t, json.Unmarshal([]byte(document), &d))
			exempt := []string{":role/killswitch-responder", ":role/killswitch-restorer", ":role/forwarder", ":role/break-glass"}
			for i := range exempt {
				exempt[i] = "arn:" + partition + ":iam::*" + exempt[i]
			}
			exempt = append(exempt, "arn:"+partition+":iam::222222222222:role/ops/keeper", "arn:"+partition+":iam::*:user/${$}{aws:username}/it&s")
			s := d.Statement[0]
			if diff := cmp.Diff(map[string]map[string]words{"ArnNotLike": {"aws:PrincipalArn": exempt}, "Null": {"aws:AssumedRoot": {"true"}}}, s.Condition); diff != "" || len(d.Statement) != 1 || s.Effect != "Deny" || s.Resource != "*" {
				t.Errorf("%s: %s", document, diff)
			}
			if (name == "freeze") != (s.Action == "*") || (name == "freeze") != (len(s.NotAction) == 0) {
				t.Errorf("%s: %s", name, document)
			}
			if !slices.IsSorted(s.NotAction) || len(slices.Compact(slices.Clone(s.NotAction))) != len(s.NotAction) {
				t.Errorf("not sorted: %q", s.NotAction)
			}
			for _, a := range s.NotAction {
				if !regexp.MustCompile(`^[a-z0-9-]+:[A-Za-z0-9]+\*?$|^[a-z0-9]+:\*$`).MatchString(a) || strings.HasPrefix(a, "iam:") || strings.HasPrefix(a, "organizations:") {
					t.Errorf("%s", a)
				}
			}
		}
	}
	if _, ok := scp.BuiltinSCP(actiontest.TestOrg("aws"), "own"); ok {
		t.Error("own is built in")
	}
}

// deny is a document with one Deny of everything.
func deny(condition string) string {
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Sid":"S","Effect":"Deny","Action":"*","Resource":"*","Condition":%s}]}`, condition)
}

const exempting = `{"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::*:role/killswitch-responder","arn:aws:iam::*:role/killswitch-restorer"]}}`

func principals(op string, arns ...string) string {
	b, err := json.Marshal(map[string]any{op: map[string]any{"aws:PrincipalArn": arns}})
	if err != nil {
		panic(err)
	}
	return deny(string(b))
}

func TestCheckSCP(t *testing.T) {
	const responder, restorer = "arn:aws:iam::*:role/killswitch-responder", "arn:aws:iam::*:role/killswitch-restorer"
	statement := func(s string) string { return `{"Version":"2012-10-17","Statement":` + s + `}` }
	long := func(n int) string {
		s := statement(`[{"Sid":"` + `","Effect":"Deny","Action":"*","Resource":"*","Condition":` + exempting + `}]`)
		return strings.Replace(s, `"Sid":"`, `"Sid":"`+strings.Repeat("x", n-len(s)), 1)
	}
	tests := []struct {
		name, document string
		says           []string // of the refusal; none where it is taken
	}{
		{"the freeze", deny(exempting), nil},
		{"spread out", " {\n\"Version\" : \"2012-10-17\",\"Id\":\"x\",\"Statement\": {\"Effect\":\"Deny\",\"NotAction\":[\"s3:Get*\"],\"NotResource\":\"arn:aws:s3:::b\",\"Condition\":" + exempting + "}}\n", nil},
		{"ArnNotEquals", principals("ArnNotEquals", responder, restorer), nil},
		{"StringNotLike", principals("StringNotLike", responder, restorer), nil},
		{"…IfExists, in another case", principals("arnnotlikeifexists", responder, restorer), nil},
		{"the key in another case", strings.Replace(deny(exempting), "aws:PrincipalArn", "AWS:principalarn", 1), nil},
		{"both by one pattern", principals("ArnNotLike", "arn:aws:iam::*:role/killswitch-re*"), nil},
		{"twelve ?", principals("ArnNotLike", "arn:aws:iam::????????????:role/killswitch-responder", restorer), nil},
		{"the principal's own account", principals("StringNotEquals", "arn:aws:iam::${aws:PrincipalAccount}:role/killswitch-responder", "arn:aws:iam::${aws:principalaccount}:role/killswitch-restorer"), nil},
		{"two conditions, one for each", deny(`{"ArnNotLike":{"aws:PrincipalArn":"` + responder + `"},"StringNotLike":{"aws:PrincipalArn":"` + restorer + `"}}`), nil},
		{"other conditions beside", deny(`{"ArnNotLike":{"aws:PrincipalArn":["` + responder + `","` + restorer + `"]},"StringEquals":{"aws:RequestedRegion":["us-east-1"]},"Bool":{"aws:ViaAWSService":"false"}}`), nil},
		{"others exempt", principals("ArnNotLike", responder, restorer, "arn:aws:iam::*:role/ops/*", "arn:aws:iam::222222222222:role/ops-*", "arn:aws:iam::*:root", "arn:aws:iam::*:role/${*}"), nil},
		{"as long as may be", long(10240), nil},
		{"and white space more", long(10240) + strings.Repeat(" ", 100), nil},

		{"too long", long(10241), []string{"10241", "10240"}},
		{"empty", "", []string{"not JSON"}},
		{"not JSON", `{"Version":"2012-10-17",}`, []string{"not JSON"}},
		{"two of them", deny(exempting) + deny(exempting), []string{"not JSON"}},
		{"not UTF-8", strings.Replace(deny(exempting), `"S"`, "\"\xff\"", 1), []string{"not JSON"}},
		{"a list", "[]", []string{"not a policy"}},
		{"no version", `{"Statement":[]}`, []string{"2012-10-17"}},
		{"old version", strings.Replace(deny(exempting), "2012-10-17", "2008-10-17", 1), []string{"2012-10-17"}},
		{"another key", `{"Version":"2012-10-17","Statements":[]}`, []string{"not a policy"}},
		{"no statement", statement("[]"), []string{"no statement"}},
		{"a statement that is none", statement(`["Deny"]`), []string{"statement 1"}},
		{"a principal", statement(`[{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*","Condition":` + exempting + `}]`), []string{"statement 1", "element"}},
		{"no effect", statement(`[{"Action":"*","Resource":"*"}]`), []string{"no Effect Deny"}},
		{"effect in another case", statement(`[{"Effect":"deny","Action":"*","Resource":"*"}]`), []string{"no Effect Deny"}},
		{"allow alone", statement(`[{"Effect":"Allow","Action":"*","Resource":"*"}]`), []string{"allows"}},
		{"allow beside", statement(`[{"Effect":"Deny","Action":"*","Resource":"*","Condition":` + exempting + `},{"Sid":"List","Effect":"Allow","Action":"s3:*","Resource":"*"}]`), []string{"statement 2 (List)", "allows", "does not lift", "NotAction"}},
		{"a key twice", strings.Replace(deny(exempting), `"Condition":`, `"Condition":{},"Condition":`, 1), []string{`"Condition" twice`}},
		{"effect twice", strings.Replace(deny(exempting), `"Effect":`, `"Effect":"Allow","Effect":`, 1), []string{`"Effect" twice`}},
		{"no action", statement(`[{"Effect":"Deny","Resource":"*","Condition":` + exempting + `}]`), []string{"which actions"}},
		{"action and its opposite", statement(`[{"Effect":"Deny","Action":"*","NotAction":"s3:*","Resource":"*","Condition":` + exempting + `}]`), []string{"which actions"}},
		{"no resource", statement(`[{"Effect":"Deny","Action":"*","Condition":` + exempting + `}]`), []string{"resources"}},
		{"an empty list", statement(`[{"Effect":"Deny","NotAction":[],"Resource":"*","Condition":` + exempting + `}]`), []string{"which actions"}},
		{"a wildcard for the service", statement(`[{"Effect":"Deny","NotAction":["*:Get*"],"Resource":"*","Condition":` + exempting + `}]`), []string{"*:Get*", "no wildcard"}},

		{"no condition", statement(`[{"Effect":"Deny","Action":"*","Resource":"*"}]`), []string{"lock Killswitch out", "killswitch-restorer", "ArnNotLike"}},
		{"the second has none", statement(`[{"Effect":"Deny","Action":"*","Resource":"*","Condition":` + exempting + `},{"Effect":"Deny","Action":"s3:*","Resource":"*"}]`), []string{"statement 2", "lock Killswitch out"}},
		{"only the responder", principals("ArnNotLike", responder), []string{"lock"}},
		{"only the restorer", principals("ArnNotLike", restorer), []string{"lock"}},
		{"in one account", principals("ArnNotLike", "arn:aws:iam::222222222222:role/killswitch-responder", restorer), []string{"lock", "every account"}},
		{"in another partition", principals("ArnNotLike", "arn:aws-cn:iam::*:role/killswitch-responder", restorer), []string{"lock"}},
		{"in another path", principals("ArnNotLike", "arn:aws:iam::*:role/ir/killswitch-responder", restorer), []string{"lock"}},
		{"in another case", principals("ArnNotLike", "arn:aws:iam::*:role/Killswitch-Responder", restorer), []string{"lock"}},
		{"StringNotEquals knows no wildcard", principals("StringNotEquals", responder, restorer), []string{"lock"}},
		{"the sessions", principals("ArnNotLike", "arn:aws:sts::*:assumed-role/killswitch-responder/*", "arn:aws:sts::*:assumed-role/killswitch-restorer/*"), []string{"lock"}},
		{"the positive condition", principals("ArnLike", responder, restorer), []string{"lock"}},
		{"another key's condition", deny(`{"ArnNotLike":{"aws:SourceArn":["` + responder + `","` + restorer + `"]}}`), []string{"lock"}},
		{"an operator for sets", principals("ForAnyValue:ArnNotLike", responder, restorer), []string{"ForAnyValue", "can't be checked"}},
		{"Null", deny(`{"ArnNotLike":{"aws:PrincipalArn":["` + responder + `","` + restorer + `"]},"Null":{"aws:PrincipalArn":"true"}}`), []string{"Null", "can't be checked"}},
		{"a condition that is none", deny(`["ArnNotLike"]`), []string{"can't be read"}},
		{"an operator without keys", deny(`{"ArnNotLike":"x"}`), []string{"can't be read"}},
		{"numbers for ARNs", deny(`{"ArnNotLike":{"aws:PrincipalArn":[1]}}`), []string{"can't be read"}},

		{"everybody", principals("ArnNotLike", "*"), []string{"stop nobody"}},
		{"everybody, as text", principals("StringNotLike", "*"), []string{"stop nobody"}},
		{"every ARN", principals("ArnNotLike", "arn:*:*:*:*:*"), []string{"stop nobody"}},
		{"every role", principals("ArnNotLike", "arn:aws:iam::*:role/*"), []string{"stop nobody"}},
		{"every role without a path", principals("ArnNotLike", responder, restorer, "arn:aws:iam::*:role/????*"), []string{"stop nobody"}},
		{"every role of one account", principals("ArnNotLike", responder, restorer, "arn:aws:iam::222222222222:role/*"), []string{"stop nobody"}},
		{"every role of the principal's own account", principals("ArnNotLike", responder, restorer, "arn:aws:iam::${aws:PrincipalAccount}:role/*"), []string{"stop nobody"}},
		{"every role of some accounts", principals("StringNotLike", responder, restorer, "arn:aws:iam::22*:role/*"), []string{"stop nobody"}},
		{"what stands for any account here", principals("ArnNotLike", "arn:aws:iam::"+strings.Repeat("\x04", 12)+":role/killswitch-responder", restorer), []string{"can't be read"}},
		{"every user", principals("ArnNotLike", responder, restorer, "arn:aws:iam::*:user/*"), []string{"stop nobody"}},
		{"a positive condition beside", deny(`{"ArnNotLike":{"aws:PrincipalArn":["` + responder + `","` + restorer + `"]},"ArnLike":{"aws:PrincipalArn":"arn:aws:iam::*:role/none"}}`), []string{"stop nobody"}},
		{"whoever it is", principals("ArnNotLike", responder, restorer, "${aws:PrincipalArn}"), []string{"variable", "can't be checked"}},
		{"no ARN", principals("ArnNotLike", responder, restorer, "arn:aws:iam::*"), []string{"no ARN"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text, no := scp.CheckSCP(actiontest.TestOrg("aws"), tt.document)
			switch {
			case len(tt.says) == 0 && no != nil:
				t.Fatal(no)
			case len(tt.says) > 0 && no == nil:
				t.Fatal("it is taken")
			case no != nil:
				if actiontest.HasWords(t, no.Error(), tt.says...); no.Hint == "" {
					t.Error("no hint")
				}
			case strings.ContainsAny(text, " \n"):
				t.Errorf("not compact: %s", text)
			}
		})
	}
}

func FuzzCheckSCP(f *testing.F) {
	f.Add(deny(exempting))
	f.Add(actiontest.OtherDeny)
	f.Add(principals("StringNotEquals", "arn:aws:iam::${aws:PrincipalAccount}:role/killswitch-responder"))
	f.Fuzz(func(t *testing.T, document string) {
		text, no := scp.CheckSCP(actiontest.TestOrg("aws"), document)
		if no != nil {
			return
		}
		if again, no := scp.CheckSCP(actiontest.TestOrg("aws"), text); no != nil || again != text || len(text) > 10240 {
			t.Errorf("%q is taken, and as %q not: %v", document, text, no)
		}
	})
}

func TestRevokeSCP(t *testing.T) {
	o := actiontest.TestOrg("aws")
	cutoff := actiontest.Began.Add(30 * time.Second)
	document := scp.RevokeSCP(o, cutoff)
	if _, no := scp.CheckSCP(o, document); no != nil {
		t.Error(no)
	}
	actiontest.HasWords(t, document, `"DateLessThan":{"aws:TokenIssueTime":"2026-11-03T10:00:30Z"}`, "role/killswitch-restorer", "role/ops/keeper")
	if got, ok := scp.ReadRevokeSCP(o, indented(t, document)); !ok || !got.Cutoff.Equal(cutoff) || !got.Login {
		t.Errorf("%v, %t", got, ok)
	}
	if got, ok := scp.ReadRevokeSCP(o, indented(t, earlierSCP(o, cutoff))); !ok || !got.Cutoff.Equal(cutoff) || got.Login {
		t.Errorf("of an earlier version: %v, %t", got, ok)
	}
	if scp.RevocationFingerprint(document) != scp.RevocationFingerprint(earlierSCP(o, cutoff.Add(time.Hour))) {
		t.Error("what an earlier version was approved for is not applied again")
	}
	if more := strings.Replace(document, `"signin:CreateOAuth2Token",`, ``, 1); scp.RevocationFingerprint(document) == scp.RevocationFingerprint(more) {
		t.Error("an approval is for any second statement")
	}
	fewer := actiontest.TestOrg("aws")
	fewer.ProtectedPrincipals = nil
	for name, not := range map[string]string{
		"other exemptions": scp.RevokeSCP(fewer, cutoff),
		"the freeze":       deny(exempting),
		"a key twice":      strings.Replace(document, `"Effect":`, `"Effect":"Allow","Effect":`, 1),
		"no date":          strings.Replace(document, "2026", "soon", 1),
		"another action":   strings.Replace(document, `"Action":"*"`, `"Action":"s3:*"`, 1),
		"one login action": strings.Replace(document, `"signin:CreateOAuth2Token",`, ``, 1),
		"nothing":          "",
	} {
		if _, ok := scp.ReadRevokeSCP(o, not); ok {
			t.Errorf("%s: taken for ours: %s", name, not)
		}
	}
}

// earlierSCP is the document that earlier versions wrote, which did not deny `aws login`.
func earlierSCP(o actions.Org, cutoff time.Time) string {
	var d struct {
		Version   string
		Statement []json.RawMessage
	}
	if err := json.Unmarshal([]byte(scp.RevokeSCP(o, cutoff)), &d); err != nil {
		panic(err)
	}
	d.Statement = d.Statement[:1]
	b, err := json.Marshal(d)
	if err != nil {
		panic(err)
	}
	return string(b)
}
