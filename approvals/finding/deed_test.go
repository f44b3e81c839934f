package finding

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions/source"
	"github.com/killswitch-chatops/killswitch/actions/trail"
)

// done is a call that an attacker made: service:Name, parameters, answer.
type done struct{ call, request, answer string }

var intruder = Lead{Account: "222222222222", Who: "access key AKIAINTRUDERINEXAMPLE", Subject: trail.Subject{By: "AccessKeyId", Value: "AKIAINTRUDERINEXAMPLE"}}

// record is CloudTrail's of it, by a user or by who else.
func (d done) record(identity string) string {
	service, name, _ := strings.Cut(d.call, ":")
	if identity == "" {
		identity = `{"type":"IAMUser","principalId":"AIDAINTRUDER","arn":"arn:aws:iam::222222222222:user/intruder","accountId":"222222222222","accessKeyId":"AKIAINTRUDERINEXAMPLE","userName":"intruder"}`
	}
	if d.request == "" {
		d.request = "null"
	}
	if d.answer == "" {
		d.answer = "null"
	}
	return fmt.Sprintf(`{"eventSource":"%s.amazonaws.com","eventName":%q,"eventTime":"2026-11-21T03:12:05Z","eventID":"e-1","awsRegion":"us-east-1","recipientAccountId":"222222222222","userIdentity":%s,"requestParameters":%s,"responseElements":%s}`,
		service, name, identity, d.request, d.answer)
}

// found is what the records say, in lines: what was made or used, and what contains it.
func found(t *testing.T, calls []done) (things, fits []string) {
	t.Helper()
	for _, d := range calls {
		if service, name, _ := strings.Cut(d.call, ":"); !TellsDeed(service+".amazonaws.com", name) {
			t.Errorf("%s is left out", d.call)
		}
		deeds, err := (Reader{Org: org}).Deeds(intruder, d.record(""))
		if err != nil || len(deeds) == 0 {
			t.Errorf("%s: %d deeds, %v", d.call, len(deeds), err)
		}
		for _, x := range deeds {
			word := map[bool]string{true: "made ", false: "used "}[x.Of.Made]
			thing := strings.TrimSpace(x.Of.Kind + " " + x.Of.Name)
			if !slices.ContainsFunc(things, func(s string) bool { return strings.HasSuffix(s, " "+thing) }) {
				things = append(things, word+thing)
			}
			for _, c := range x.Of.Contain {
				if s := "`" + string(c.Action) + "` of " + shortTarget(c.Target); !slices.Contains(fits, s) {
					fits = append(fits, s)
				}
			}
			for _, s := range x.Of.ByHand {
				s, _, _ = strings.Cut(s, ": aws ")
				if s = "by hand: " + strings.TrimRight(s, "."); !slices.Contains(fits, s) {
					fits = append(fits, s)
				}
			}
		}
	}
	return things, fits
}

func shortTarget(target string) string { return target[strings.LastIndex(target, "/")+1:] }

const key2 = `{"accessKey":{"accessKeyId":"AKIASECONDSECONDEXAMP","userName":"x","status":"Active"}}`

// techniques are Stratus Red Team's for persistence and for access to credentials, with the calls that each
// makes. The events are our own.
// https://stratus-red-team.cloud/attack-techniques/AWS/
var techniques = []struct {
	name  string
	calls []done
}{
	{"persistence.iam-backdoor-role", []done{{"iam:UpdateAssumeRolePolicy", withPolicy("policyDocument", `"roleName":"data-reader"`, foreign), ""}}},
	{"persistence.iam-backdoor-user", []done{{"iam:CreateAccessKey", `{"userName":"jo"}`, key2}}},
	{"persistence.iam-create-admin-user", []done{
		{"iam:CreateUser", `{"userName":"malicious"}`, `{"user":{"userName":"malicious","userId":"AIDAMALICIOUS"}}`},
		{"iam:AttachUserPolicy", `{"userName":"malicious","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`, ""},
		{"iam:CreateAccessKey", `{"userName":"malicious"}`, key2}}},
	{"persistence.iam-create-backdoor-role", []done{
		{"iam:CreateRole", withPolicy("assumeRolePolicyDocument", `"roleName":"support"`, foreign), `{"role":{"roleName":"support","roleId":"AROASUPPORT","arn":"arn:aws:iam::222222222222:role/support"}}`},
		{"iam:AttachRolePolicy", `{"roleName":"support","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`, ""}}},
	{"persistence.iam-create-user-login-profile", []done{{"iam:CreateLoginProfile", `{"userName":"jo","passwordResetRequired":false}`, `{"loginProfile":{"userName":"jo"}}`}}},
	{"persistence.lambda-backdoor-function", []done{{"lambda:AddPermission20150331v2", `{"functionName":"hook","principal":"444444444444","statementId":"backdoor","action":"lambda:InvokeFunction"}`, `{"statement":"{\"Sid\":\"backdoor\",\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::444444444444:root\"}}"}`}}},
	{"persistence.lambda-layer-extension", []done{{"lambda:UpdateFunctionConfiguration20150331v2", `{"functionName":"hook","layers":["arn:aws:lambda:us-east-1:444444444444:layer:x:1"]}`, `{"functionName":"hook","role":"arn:aws:iam::222222222222:role/hook-role"}`}}},
	{"persistence.lambda-overwrite-code", []done{{"lambda:UpdateFunctionCode20150331v2", `{"functionName":"hook"}`, `{"functionName":"hook","role":"arn:aws:iam::222222222222:role/hook-role"}`}}},
	{"persistence.rolesanywhere-create-trust-anchor", []done{
		{"rolesanywhere:CreateTrustAnchor", `{"name":"ca","enabled":true}`, `{"trustAnchor":{"trustAnchorId":"11111111-2222-4333-8444-555555555555"}}`},
		{"rolesanywhere:CreateProfile", `{"name":"all","roleArns":["arn:aws:iam::222222222222:role/data-reader"]}`, `{"profile":{"profileId":"11111111-2222-4333-8444-666666666666"}}`}}},
	{"persistence.sts-federation-token", []done{{"sts:GetFederationToken", `{"name":"stratus"}`, `{"credentials":{"accessKeyId":"ASIAFEDERATEDFEDEXAMP","expiration":"Nov 21, 2026 3:12:05 PM"},"federatedUser":{"federatedUserId":"222222222222:stratus"}}`}}},
	{"credential-access.ec2-get-password-data", []done{{"ec2:GetPasswordData", `{"instanceId":"i-0d3e1a5b7c9f20001"}`, ""}}},
	{"credential-access.ec2-steal-instance-credentials", []done{{"ssm:SendCommand", `{"documentName":"AWS-RunShellScript","instanceIds":["i-0d3e1a5b7c9f20001"],"parameters":"HIDDEN_DUE_TO_SECURITY_REASONS"}`, `{"command":{"commandId":"c-1"}}`}}},
	{"credential-access.secretsmanager-batch-retrieve-secrets", []done{{"secretsmanager:BatchGetSecretValue", `{"filters":[{"key":"tag-key","values":["StratusRedTeam"]}]}`, ""}}},
	{"credential-access.secretsmanager-retrieve-secrets", []done{{"secretsmanager:GetSecretValue", `{"secretId":"db-password"}`, ""}}},
	{"credential-access.ssm-retrieve-securestring-parameters", []done{{"ssm:GetParameters", `{"names":["/db/password","/api/key"],"withDecryption":true}`, ""}}},
}

// TestTechniques: what a trace finds of each technique, and what contains it, is what docs/stratus.md says.
func TestTechniques(t *testing.T) {
	b, err := os.ReadFile("../../docs/stratus.md")
	if err != nil {
		t.Fatal(err)
	}
	documented := 0
	for _, x := range techniques {
		things, fits := found(t, x.calls)
		row := fmt.Sprintf("| %s | %s | %s |\n", x.name, strings.Join(things, "; "), strings.Join(fits, "; "))
		if len(fits) == 0 {
			t.Errorf("%s: nothing contains it", x.name)
		}
		if !strings.Contains(string(b), row) {
			t.Errorf("docs/stratus.md has not the row\n%s", row)
		}
		documented++
	}
	for line := range strings.SplitSeq(string(b), "\n") {
		name, _, _ := strings.Cut(strings.TrimPrefix(line, "| "), " |")
		if (strings.HasPrefix(name, "persistence.") || strings.HasPrefix(name, "credential-access.")) && strings.HasPrefix(line, "| ") {
			documented--
		}
	}
	if documented != -len(techniques) { // it is in both tables of the page
		t.Errorf("a technique of persistence or access to credentials is not tried: %d", documented)
	}
}

// TestDeeds: what else counts, what does not, and who acts by it.
func TestDeeds(t *testing.T) {
	const session = `{"type":"AssumedRole","principalId":"AROAX:night","arn":"arn:aws:sts::222222222222:assumed-role/deployer/night","accountId":"222222222222","accessKeyId":"ASIAXXXXXXXXXXXXXXXX","sessionContext":{"sessionIssuer":{"type":"Role","arn":"arn:aws:iam::222222222222:role/deployer","accountId":"222222222222","userName":"deployer"}}}`
	ours := strings.ReplaceAll(session, "role/deployer", "role/"+org.ResponderRole)
	const rootCaller = `{"type":"Root","principalId":"222222222222","arn":"arn:aws:iam::222222222222:root","accountId":"222222222222"}`
	outside := `{"type":"AWSAccount","principalId":"AROAZ:c2","accountId":"444444444444"}`
	atHomeRole := Lead{Account: "222222222222", Of: "arn:aws:iam::222222222222:role/data-reader"}
	opened := atHomeRole
	opened.Outside = true
	assume := done{"sts:AssumeRole", `{"roleArn":"arn:aws:iam::222222222222:role/data-reader","roleSessionName":"s"}`, `{"credentials":{"accessKeyId":"ASIASESSIONSESSIEXAMP","expiration":"Nov 21, 2026, 4:12:05\u202fAM"}}`}
	password := intruder
	password.Sessions = true
	for name, c := range map[string]struct {
		lead     Lead
		done     done
		identity string
		want     string // kind, name, made, thing, leads
	}{
		"a user":        {intruder, done{"iam:CreateUser", `{"userName":"x"}`, `{"user":{"userId":"AIDAX"}}`}, "", "user x made; user x AIDAX; Username x"},
		"their own key": {intruder, done{"iam:CreateAccessKey", `{}`, key2}, "", "user intruder used; access key AKIASECONDSECONDEXAMP of user/intruder; AccessKeyId AKIASECONDSECONDEXAMP"},
		"an instance each": {intruder, done{"ec2:RunInstances", `{}`, `{"instancesSet":{"items":[{"instanceId":"i-0d3e1a5b7c9f20001"},{"instanceId":"i-0d3e1a5b7c9f20002"}]}}`}, "",
			"instance i-0d3e1a5b7c9f20001 made; instance i-0d3e1a5b7c9f20001; Username i-0d3e1a5b7c9f20001 | instance i-0d3e1a5b7c9f20002 made; instance i-0d3e1a5b7c9f20002; Username i-0d3e1a5b7c9f20002"},
		"a session, whose end is written with the JDK's narrow space": {intruder, assume, "", "role data-reader used; session until 04:12; AccessKeyId ASIASESSIONSESSIEXAMP"},
		"of a role all that enter":                                    {atHomeRole, assume, outside, "role data-reader used; session until 04:12; AccessKeyId ASIASESSIONSESSIEXAMP"},
		"of an opened role those from outside":                        {opened, assume, outside, "role data-reader used; session until 04:12; AccessKeyId ASIASESSIONSESSIEXAMP"},
		"and none from inside":                                        {opened, assume, session, ""},
		"nor another call about it":                                   {atHomeRole, done{"iam:AttachRolePolicy", `{"roleName":"data-reader","policyArn":"arn:aws:iam::aws:policy/X"}`, ""}, session, ""},
		"nothing by the user's own keys, of a password":               {password, done{"iam:CreateUser", `{"userName":"x"}`, ``}, "", ""},
		"what is done by our role's name":                             {intruder, done{"iam:PutRolePolicy", `{"roleName":"x","policyName":"KillswitchDenyAll"}`, ""}, ours, "role x used; inline policy KillswitchDenyAll of role/x; "},
		"a trust, by whom it lets in":                                 {intruder, done{"iam:UpdateAssumeRolePolicy", withPolicy("policyDocument", `"roleName":"data-reader"`, foreign), ""}, "", "role data-reader used; trust 444444444444 of role/data-reader; ResourceName arn:aws:iam::222222222222:role/data-reader"},
		"what the root user makes":                                    {intruder, done{"iam:CreateRole", `{"roleName":"x"}`, ""}, rootCaller, "role x made; role x; ResourceName arn:aws:iam::222222222222:role/x"},
		"a key of the root user's own":                                {intruder, done{"iam:CreateAccessKey", `null`, key2}, rootCaller, "root user of account 222222222222 used; ; "},
		"a shared snapshot":                                           {intruder, done{"ec2:ModifySnapshotAttribute", `{"snapshotId":"snap-1","createVolumePermission":{"add":{"items":[{"userId":"444444444444"}]}}}`, ""}, "", "snapshot snap-1 used; snapshot snap-1 of 444444444444; "},
		"a role elsewhere":                                            {intruder, done{"sts:AssumeRole", `{"roleArn":"arn:aws:iam::555555555555:role/far","roleSessionName":"s"}`, ``}, "", "role far used; session; "},
	} {
		deeds, err := (Reader{Org: org}).Deeds(c.lead, c.done.record(c.identity))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var got []string
		for _, d := range deeds {
			s := d.Of.Kind + " " + d.Of.Name + map[bool]string{true: " made; ", false: " used; "}[d.Of.Made] + strings.TrimSpace(string(d.Thing.Kind)+" "+d.Thing.Name)
			if d.Thing.Of != "" {
				s += " of " + d.Thing.Of
			}
			if d.Thing.ID != "" {
				s += " " + d.Thing.ID
			}
			if !d.Thing.Until.IsZero() {
				s += " until " + d.Thing.Until.Format("15:04")
			}
			s += "; "
			for _, l := range d.Leads {
				s += l.Subject.By + " " + l.Subject.Value
			}
			got = append(got, s)
		}
		if diff := cmp.Diff(c.want, strings.Join(got, " | ")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	failed := strings.Replace(done{"iam:CreateUser", `{"userName":"x"}`, ``}.record(""), `"eventID"`, `"errorCode":"AccessDenied","eventID"`, 1)
	if deeds, err := (Reader{Org: org}).Deeds(intruder, failed); err != nil || len(deeds) != 0 {
		t.Errorf("what failed made %v, %v", deeds, err)
	}
}

// TestDeedsOfHostileNames: what an attacker names so is told, is no target that it is not, and breaks nothing.
func TestDeedsOfHostileNames(t *testing.T) {
	for _, name := range []string{"<!channel>", "x y\nz", "arn:aws:iam::222222222222:user/jo", "../jo", "*", strings.Repeat("a", 5000), "\u202eevil", "", "i-0d3e1a5b7c9f20001", "jo\" confirm=jo"} {
		b, _ := json.Marshal(name)
		for _, call := range []string{
			`iam:CreateUser {"userName":%s}`, `iam:CreateRole {"roleName":%s}`, `iam:UpdateAssumeRolePolicy {"roleName":%s,"policyDocument":"{"}`, `iam:AttachUserPolicy {"userName":%s,"policyArn":%[1]s}`,
			`sts:AssumeRole {"roleArn":%s,"roleSessionName":%[1]s}`, `lambda:CreateFunction20150331 {"functionName":%s,"role":%[1]s}`, `ec2:RunInstances {}`, `ssm:SendCommand {"instanceIds":[%s]}`, `secretsmanager:GetSecretValue {"secretId":%s}`,
		} {
			name, request, _ := strings.Cut(call, " ")
			if strings.Contains(request, "%") {
				request = fmt.Sprintf(request, b)
			}
			deeds, err := (Reader{Org: org}).Deeds(intruder, done{name, request, `{"instancesSet":{"items":[{"instanceId":` + string(b) + `}]},"credentials":{"accessKeyId":` + string(b) + `}}`}.record(""))
			if err != nil {
				continue // told as one that can't be read
			}
			for _, d := range deeds {
				if strings.ContainsAny(d.Text+d.Of.Name, "\n\u202e") || len([]rune(d.Text)) > maxDeedText {
					t.Errorf("%s %q: %q", call, name, d.Text)
				}
				for _, c := range d.Of.Contain {
					if !slices.Contains([]string{"arn:aws:iam::222222222222:user/intruder", "arn:aws:iam::222222222222:user/jo", "arn:aws:iam::222222222222:role/i-0d3e1a5b7c9f20001", "arn:aws:iam::222222222222:user/i-0d3e1a5b7c9f20001", "arn:aws:ec2:us-east-1:222222222222:instance/i-0d3e1a5b7c9f20001"}, c.Target) {
						t.Errorf("%s offers %s", call, c)
					}
				}
				for _, l := range d.Leads {
					if l.Subject.By == "AccessKeyId" && !anyKey.MatchString(l.Subject.Value) {
						t.Errorf("%s leads to %+v", call, l)
					}
				}
			}
		}
	}
}

// TestMakersAreTold: each call that makes something is one that is told.
func TestMakersAreTold(t *testing.T) {
	for _, call := range makers {
		if _, ok := deedTable()[call]; !ok {
			t.Errorf("%s is not told", call)
		}
	}
	for call := range uses() {
		if _, twice := changes()[call]; twice {
			t.Errorf("%s is in two tables", call)
		}
	}
	for _, kind := range []source.Kind{source.User, source.Key, source.Role, source.Trust, source.Instance, source.Function, source.TrustAnchor} {
		if !kind.Readable() {
			t.Errorf("%s can't be read", kind)
		}
	}
}
