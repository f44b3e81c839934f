package sts_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/approvals"
	"github.com/killswitch-chatops/killswitch/approvals/sts"
)

const (
	hub      = awsfake.HubAccount
	target   = "222222222222"
	region   = "eu-west-1"
	reserved = "AWSReservedSSO_IR_0123456789abcdef"
)

// world is an AWS with Alice, a user of the hub, and Bob, who enters the hub by IAM Identity Center.
type world struct {
	*awsfake.Cloud
	t   *testing.T
	now time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, now: time.Date(2026, 11, 30, 3, 0, 0, 0, time.UTC)}
	w.Cloud = awsfake.New(func() time.Time { return w.now })
	w.Account(hub).AddUser(awsfake.User{Name: "alice", Keys: []awsfake.AccessKey{{ID: "AKIAALICE00000000000"}}})
	w.Account(hub).AddRole(awsfake.Role{Name: reserved, Path: "/aws-reserved/sso.amazonaws.com/eu-west-1/"})
	return w
}

func (w *world) alice() aws.Credentials { return w.KeySession("AKIAALICE00000000000").Credentials() }

func (w *world) session(account, role, name string) aws.Credentials {
	return w.Session("arn:aws:iam::"+account+":role/"+role, name).Credentials()
}

func (w *world) verifier() sts.Verifier {
	return sts.Verifier{Regions: []string{"us-east-1", region}, Partition: "aws", Accounts: []string{hub}, Installation: approvals.Installation(hub, "T01ACME"),
		Client: &http.Client{Transport: w.STS()}, Now: func() time.Time { return w.now }}
}

func statement() approvals.Statement {
	return approvals.Statement{Version: approvals.StatementVersion, Installation: approvals.Installation(hub, "T01ACME"), Verb: "approve", Request: "KS-4G7QX2M9ZT0B",
		Digest: "0123abcd", Call: "revoke_sessions arn:aws:iam::222222222222:role/app", Why: "Why (bob): keys on a paste site – <!here>"}
}

func (w *world) sign(creds aws.Credentials, st approvals.Statement) approvals.SignedStatement {
	w.t.Helper()
	s, err := sts.Sign(w.t.Context(), creds, region, st, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// identify reads a message as it comes over a queue, and asks who signed it.
func (w *world) identify(v sts.Verifier, body []byte) (sts.Identity, approvals.Statement, error) {
	s, st, err := approvals.ReadSigned(body)
	if err != nil {
		return sts.Identity{}, st, err
	}
	id, err := v.Identify(w.t.Context(), s, st)
	return id, st, err
}

func encoded(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestWhoSignedAStatement(t *testing.T) {
	w := newWorld(t)
	for arn, creds := range map[string]aws.Credentials{
		"arn:aws:iam::111111111111:user/alice":                                    w.alice(),
		"arn:aws:sts::111111111111:assumed-role/" + reserved + "/bob@example.com": w.session(hub, "aws-reserved/sso.amazonaws.com/eu-west-1/"+reserved, "bob@example.com"),
		"arn:aws:iam::111111111111:user/alice ":                                   w.KeySession("AKIAALICE00000000000").SessionToken().Credentials(),
	} {
		id, st, err := w.identify(w.verifier(), encoded(t, w.sign(creds, statement())))
		if err != nil || id.ARN != strings.TrimSpace(arn) || st != statement() {
			t.Errorf("%s: %+v, %v", arn, id, err)
		}
	}
}

// Each of these is refused: none is an error that is tried again.
func TestForgedStatements(t *testing.T) {
	w := newWorld(t)
	w.Account(target).AddUser(awsfake.User{Name: "alice", Keys: []awsfake.AccessKey{{ID: "AKIATARGET0000000000"}}})
	w.Account(target).AddRole(awsfake.Role{Name: reserved})
	w.Account(hub).AddRole(awsfake.Role{Name: "ops"})
	w.Account(hub).AddRole(awsfake.Role{Name: "AWSReservedSSO_IR"})
	root, err := w.Admin(hub).Credentials.Retrieve(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	good := func() approvals.SignedStatement { return w.sign(w.alice(), statement()) }
	resaid := func(change func(*approvals.Statement)) approvals.SignedStatement {
		s, st := good(), statement()
		change(&st)
		s.Statement = st.Encode()
		return s
	}
	signedWith := func(change func(*approvals.Statement)) approvals.SignedStatement {
		st := statement()
		change(&st)
		return w.sign(w.alice(), st)
	}
	changed := func(change func(*approvals.SignedStatement)) approvals.SignedStatement {
		s := good()
		change(&s)
		return s
	}
	raw := func(change func(map[string]any)) any {
		var m map[string]any
		if err := json.Unmarshal(encoded(t, good()), &m); err != nil {
			t.Fatal(err)
		}
		change(m)
		return m
	}
	aged := func(by time.Duration) approvals.SignedStatement {
		s, err := sts.Sign(t.Context(), w.alice(), region, statement(), w.now.Add(-by))
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for what, tt := range map[string]struct {
		message any
		why     string
	}{
		"a secret key in why":           {signedWith(func(s *approvals.Statement) { s.Why = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" }), "secret access key"},
		"another request":               {resaid(func(s *approvals.Statement) { s.Request = "KS-0000000000AA" }), "SignatureDoesNotMatch"},
		"another digest":                {resaid(func(s *approvals.Statement) { s.Digest = "beef" }), "SignatureDoesNotMatch"},
		"another verb":                  {resaid(func(s *approvals.Statement) { s.Verb = "undo" }), "SignatureDoesNotMatch"},
		"another call was shown":        {resaid(func(s *approvals.Statement) { s.Call = "revoke_sessions arn:aws:iam::222222222222:role/prod" }), "SignatureDoesNotMatch"},
		"another installation":          {signedWith(func(s *approvals.Statement) { s.Installation = hub + "/T02OTHER" }), "another installation"},
		"another version":               {signedWith(func(s *approvals.Statement) { s.Version = 2 }), "version 2"},
		"no request":                    {signedWith(func(s *approvals.Statement) { s.Request = "../x" }), "not a statement"},
		"another region's endpoint":     {changed(func(s *approvals.SignedStatement) { s.Region = "us-east-1" }), "SignatureDoesNotMatch"},
		"a region that is not ours":     {func() any { s, _ := sts.Sign(t.Context(), w.alice(), "ap-south-1", statement(), w.now); return s }(), "aws.regions"},
		"a host in the region":          {changed(func(s *approvals.SignedStatement) { s.Region = "evil.example/" }), "not a signed statement"},
		"a host in the region, later":   {changed(func(s *approvals.SignedStatement) { s.Region = "eu-west-1.evil-1" }), "not a signed statement"},
		"another date":                  {changed(func(s *approvals.SignedStatement) { s.Date = w.now.Add(time.Second).Format(approvals.SignedDate) }), "SignatureDoesNotMatch"},
		"a line end in a header":        {changed(func(s *approvals.SignedStatement) { s.Token = "x\r\nX-Evil: 1" }), "not a signed statement"},
		"a line end behind a header":    {changed(func(s *approvals.SignedStatement) { s.Token = "x\n" }), "not a signed statement"},
		"somebody else's signature":     {changed(func(s *approvals.SignedStatement) { s.KeyID = "AKIATARGET0000000000" }), "SignatureDoesNotMatch"},
		"a signature in capitals":       {changed(func(s *approvals.SignedStatement) { s.Signature = strings.ToUpper(s.Signature) }), "not a signed statement"},
		"signed six minutes ago":        {aged(6 * time.Minute), "not within 5m0s"},
		"signed in six minutes":         {aged(-6 * time.Minute), "not within 5m0s"},
		"a user of a target account":    {w.sign(w.KeySession("AKIATARGET0000000000").Credentials(), statement()), "aws.identity_accounts"},
		"a permission set's role there": {w.sign(w.session(target, reserved, "bob@example.com"), statement()), "neither a user nor a session"},
		"a session of another role":     {w.sign(w.session(hub, "ops", "alice"), statement()), "neither a user nor a session"},
		"a role that is called so":      {w.sign(w.session(hub, "AWSReservedSSO_IR", "alice"), statement()), "neither a user nor a session"},
		"the hub's root user":           {w.sign(root, statement()), "neither a user nor a session"},
		"a field more":                  {raw(func(m map[string]any) { m["host"] = "evil.example" }), "not a signed statement"},
		"headers more":                  {raw(func(m map[string]any) { m["headers"] = map[string]string{"Accept": "application/json"} }), "not a signed statement"},
		"a presigned URL":               {raw(func(m map[string]any) { m["url"] = "https://sts.eu-west-1.amazonaws.com/?X-Amz-Signature=…" }), "not a signed statement"},
		"a statement spelled otherwise": {changed(func(s *approvals.SignedStatement) { s.Statement = respelled(t, s.Statement) }), "not a statement"},
		"padding":                       {changed(func(s *approvals.SignedStatement) { s.Statement += "=" }), "not a statement"},
		"too much":                      {changed(func(s *approvals.SignedStatement) { s.Token = strings.Repeat("x", 40<<10) }), "not a signed statement"},
		"nothing":                       {nil, "not a signed statement"},
		"a list":                        {[]any{good()}, "not a signed statement"},
	} {
		t.Run(what, func(t *testing.T) {
			_, _, err := w.identify(w.verifier(), encoded(t, tt.message))
			var no *actions.Refusal
			if !errors.As(err, &no) || !strings.Contains(no.Reason, tt.why) {
				t.Errorf("%v, want %q", err, tt.why)
			}
		})
	}
	if _, _, err := w.identify(w.verifier(), append(encoded(t, good()), encoded(t, good())...)); err == nil {
		t.Error("two messages are taken for one")
	}
	w.Account(hub).AddUser(awsfake.User{Name: "gone", Keys: []awsfake.AccessKey{{ID: "AKIAGONE000000000000", Inactive: true}}})
	if _, _, err := w.identify(w.verifier(), encoded(t, w.sign(w.KeySession("AKIAGONE000000000000").Credentials(), statement()))); err == nil {
		t.Error("an inactive key signs")
	}
}

// respelled is the same statement in other JSON.
func respelled(t *testing.T, statement string) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(statement)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(append([]byte(" "), b...))
}

// One signature is one evidence, whatever the text that it came in.
func TestOneEvidenceForOneSignature(t *testing.T) {
	w := newWorld(t)
	body := encoded(t, w.sign(w.alice(), statement()))
	var spaced bytes.Buffer
	if err := json.Indent(&spaced, body, "", "  "); err != nil {
		t.Fatal(err)
	}
	keys := map[string]bool{}
	for _, text := range [][]byte{body, spaced.Bytes()} {
		s, _, err := approvals.ReadSigned(text)
		if err != nil {
			t.Fatal(err)
		}
		e := s.Evidence()
		if at, err := e.At(); err != nil || !at.Equal(w.now) {
			t.Errorf("signed at %s, %v", at, err)
		}
		keys[e.Key()] = true
	}
	if len(keys) != 1 {
		t.Errorf("%d keys", len(keys))
	}
}

// answers is an STS that answers as it likes.
type answers struct {
	status int
	body   string
	header http.Header
}

func (a answers) RoundTrip(req *http.Request) (*http.Response, error) {
	if a.status == 0 {
		return nil, errors.New("no route to host")
	}
	return &http.Response{StatusCode: a.status, Header: a.header, Body: io.NopCloser(strings.NewReader(a.body)), Request: req}, nil
}

// What is not an answer of AWS proves nothing; what may be an outage is asked again.
func TestAnswersOfSTS(t *testing.T) {
	w := newWorld(t)
	const open, alice, end = `<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetCallerIdentityResult>`,
		`<Arn>arn:aws:iam::111111111111:user/alice</Arn><UserId>AIDA1</UserId><Account>111111111111</Account>`, `</GetCallerIdentityResult></GetCallerIdentityResponse>`
	for what, tt := range map[string]struct {
		answers
		again bool
	}{
		"JSON that holds XML":   {answers{200, `{"x":"` + open + alice + end + `"}`, nil}, true},
		"XML behind XML":        {answers{200, open + alice + end + open + alice + end, nil}, true},
		"another namespace":     {answers{200, strings.Replace(open, "sts.amazonaws", "evil", 1) + alice + end, nil}, true},
		"another element":       {answers{200, strings.ReplaceAll(open+alice+end, "GetCallerIdentity", "Other"), nil}, true},
		"an account of another": {answers{200, open + strings.Replace(alice, "<Account>1", "<Account>2", 1) + end, nil}, true},
		"no account":            {answers{200, open + strings.Replace(alice, "111111111111</Account>", "</Account>", 1) + end, nil}, true},
		"nothing":               {answers{200, "", nil}, true},
		"an outage":             {answers{503, "", nil}, true},
		"throttling":            {answers{400, "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>", nil}, true},
		"no network":            {answers{}, true},
		"elsewhere":             {answers{307, "", http.Header{"Location": {"https://evil.example/"}}}, false},
		"no":                    {answers{403, "<ErrorResponse><Error><Code>ExpiredToken</Code></Error></ErrorResponse>", nil}, false},
	} {
		v := w.verifier()
		v.Client = &http.Client{Transport: tt.answers}
		_, _, err := w.identify(v, encoded(t, w.sign(w.alice(), statement())))
		var no *actions.Refusal
		if err == nil || errors.As(err, &no) == tt.again {
			t.Errorf("%s: %v", what, err)
		}
	}
	v := w.verifier()
	v.Client = &http.Client{Transport: answers{200, open + alice + end, nil}}
	if id, _, err := w.identify(v, encoded(t, w.sign(w.alice(), statement()))); err != nil || id.UserID != "AIDA1" {
		t.Errorf("%+v, %v", id, err)
	}
}
