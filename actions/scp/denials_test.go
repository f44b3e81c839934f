package scp_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/scp"
)

// TestDenialsSayWhatIsDenied: the widest first, and what is exempt; of long lists the number
// of the rest.
func TestDenialsSayWhatIsDenied(t *testing.T) {
	const spared = "not to Killswitch"
	statement := func(rest string) string { return `{"Effect":"Deny",` + rest + `,"Condition":` + exempting + `}` }
	document := func(statements ...string) string {
		return `{"Version":"2012-10-17","Statement":[` + strings.Join(statements, ",") + `]}`
	}
	var acts, many []string
	for i := range 40 {
		acts = append(acts, fmt.Sprintf("s3:Action%02d", i))
		many = append(many, statement(fmt.Sprintf(`"Action":"s3:Action%02d","Resource":"*"`, i)))
	}
	list, err := json.Marshal(slices.Concat(acts, []string{"iam:*", "ec2:Run*"}))
	actiontest.Must(t, err)
	for name, c := range map[string]struct {
		document string
		want     []string
	}{
		"everything": {deny(exempting), []string{"It denies *, " + spared + "."}},
		"one statement, no list": {`{"Version":"2012-10-17","Statement":` + statement(`"Action":"s3:PutObject","Resource":"*"`) + `}`,
			[]string{"It denies s3:PutObject, " + spared + "."}},
		"the widest first": {document(statement(`"Action":["s3:GetObject","ec2:Run*","s3:Put*","iam:*","ec2:*"],"Resource":"*"`)),
			[]string{"It denies ec2:*, iam:*, ec2:Run*, s3:Put*, s3:GetObject, " + spared + "."}},
		"the widest statement first": {document(statement(`"Action":"s3:GetObject","Resource":"*"`), statement(`"NotAction":["ec2:Describe*","s3:*"],"Resource":"*"`)),
			[]string{"It denies everything but s3:*, ec2:Describe*, " + spared + ".", "It denies s3:GetObject, " + spared + "."}},
		"on some": {document(statement(`"Action":"s3:*","Resource":"arn:aws:s3:::logs/*"`), statement(`"Action":"s3:*","NotResource":"arn:aws:s3:::logs/*"`)),
			[]string{"It denies s3:* on arn:aws:s3:::logs/*, " + spared + ".", "It denies s3:* on all but arn:aws:s3:::logs/*, " + spared + "."}},
		"under conditions": {document(`{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"ArnNotLike":{"aws:PrincipalArn":["arn:aws:iam::*:role/a","arn:aws:iam::*:role/killswitch-restorer","arn:aws:iam::222222222222:role/operations"]},"StringEquals":{"aws:RequestedRegion":"eu-west-1"}}}`),
			[]string{"It denies *, not to Killswitch, role/a and 1 more, only under conditions on aws:RequestedRegion."}},
		"more than there is room for": {document(statement(`"Action":` + string(list) + `,"Resource":"*"`)),
			[]string{"It denies iam:*, ec2:Run*, s3:Action00, s3:Action01, s3:Action02, s3:Action03, s3:Action04 and 35 more, " + spared + "."}},
		"no document": {"", nil},
	} {
		if d := cmp.Diff(c.want, scp.Denials(actiontest.TestOrg("aws"), c.document)); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
		if !strings.Contains(name, "no document") {
			if _, no := scp.CheckSCP(actiontest.TestOrg("aws"), c.document); no != nil && name != "under conditions" {
				t.Errorf("%s: %v", name, no)
			}
		}
	}
	got := scp.Denials(actiontest.TestOrg("aws"), document(many...))
	if len(got) != 7 || got[6] != "And 34 statements more: read the document before you approve." {
		t.Errorf("%q", got)
	}
	for _, line := range got {
		if len(line) > 220 {
			t.Errorf("%d characters: %s", len(line), line)
		}
	}
}

// TestCardOfAnOwnDocument: the plan says what it denies, not how its JSON begins.
func TestCardOfAnOwnDocument(t *testing.T) {
	w := scpWorld(t)
	w.Org.SCPs = map[string]string{"own": deny(exempting)}
	w.Hub = actions.NewCloud(w.Config(), w.Org)
	w.freeze(actiontest.Member, "own")
	p := w.Plan()
	text := strings.Join(p.Warnings, "\n")
	actiontest.HasWords(t, text, "The document own is this organization's own", "It denies *, not to Killswitch.")
	if strings.Contains(text, "{") {
		t.Errorf("JSON on the card: %s", text)
	}
}
