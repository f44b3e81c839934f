package source_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/cloudtrail/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/actions"
	"github.com/killswitch-chatops/killswitch/actions/actiontest"
	"github.com/killswitch-chatops/killswitch/actions/all"
	"github.com/killswitch-chatops/killswitch/actions/awsfake"
	"github.com/killswitch-chatops/killswitch/actions/source"
)

const (
	detector  = "121afe7ce30de38d5a3a62f0a02dfd75"
	findingID = "f57a99a0add069bf27c347e38c934148"
	eventID   = "5e00b229-5978-5a0c-b9b9-c3cc82e435fe"
	idleKey   = "AKIA0000000000000003"
	rootKey   = "AKIA0000000000000009"
	aFinding  = `{"id":"` + findingID + `","severity":8,"service":{"archived":false}}`
	anEvent   = `{"eventID":"` + eventID + `","eventName":"CreateUser"}`
)

// sightWorld is an account with a finding, an event and keys, whose responder has
// the policy that the program prints for it.
func sightWorld(t *testing.T, partition, region string) *fixture {
	t.Helper()
	c := &actiontest.Clock{T: actiontest.Began}
	w := fixtureAt(t, c, c.Now, partition)
	w.Member(actiontest.Member, awsfake.MemberRoles{ExternalID: w.Org.ExternalID, ResponderPolicy: all.MemberPolicy(actions.Responder, w.Org, false)})
	a := w.Account(actiontest.Member)
	a.AddFinding(region, detector, aFinding)
	a.AddFinding(region, detector, `{"id":"another"}`)
	a.AddEvents(region, types.Event{EventId: aws.String(eventID), EventTime: aws.Time(actiontest.Began), CloudTrailEvent: aws.String(anEvent)},
		types.Event{EventId: aws.String("another"), EventTime: aws.Time(actiontest.Began), CloudTrailEvent: aws.String(`{}`)})
	a.AddUser(awsfake.User{Name: "eve", Path: "/team/", Keys: []awsfake.AccessKey{{ID: actiontest.FirstKey}, {ID: idleKey, Inactive: true}}})
	a.AddRootKey(rootKey)
	w.Account(actiontest.Sandbox).AddUser(awsfake.User{Name: "mallory", Keys: []awsfake.AccessKey{{ID: actiontest.SecondKey}}})
	w.ResetCalls()
	return w
}

func (w *fixture) confirm(s source.Confirmation) (string, error) {
	raw, err := source.Confirm(w.T.Context(), w.Hub, s, w.Clock.Now(), actiontest.Actor)
	return string(raw), err
}

func confirmations(region string) map[source.ConfirmationKind]source.Confirmation {
	return map[source.ConfirmationKind]source.Confirmation{
		source.ConfirmFinding: {Kind: source.ConfirmFinding, Account: actiontest.Member, Region: region, Detector: detector, ID: findingID},
		source.ConfirmEvent:   {Kind: source.ConfirmEvent, Account: actiontest.Member, Region: region, ID: eventID},
		source.ConfirmKey:     {Kind: source.ConfirmKey, Account: actiontest.Member, ID: actiontest.FirstKey},
	}
}

// TestConfirmReturnsWhatTheSourceKnows: what a source knows it tells as it is; the session that asks may do
// nothing else.
func TestConfirmReturnsWhatTheSourceKnows(t *testing.T) {
	says := map[source.ConfirmationKind]string{source.ConfirmFinding: aFinding, source.ConfirmEvent: anEvent, source.ConfirmKey: ""}
	may := map[source.ConfirmationKind]string{
		source.ConfirmFinding: `[{guardduty:GetFindings *}]`,
		source.ConfirmEvent:   `[{cloudtrail:LookupEvents *}]`,
		source.ConfirmKey:     `[{iam:GetAccessKeyLastUsed *} {iam:ListAccessKeys arn:PARTITION:iam::222222222222:user/*}]`,
	}
	for partition, region := range map[string]string{"aws": "eu-central-1", "aws-us-gov": "us-gov-east-1", "aws-cn": "cn-northwest-1"} {
		for kind, s := range confirmations(region) {
			t.Run(partition+"/"+string(kind), func(t *testing.T) {
				w := sightWorld(t, partition, region)
				got, err := w.confirm(s)
				if err != nil || got != says[kind] {
					t.Errorf("%s, %v", got, err)
				}
				enters := w.Calls()[0]
				var policy struct {
					Statement []struct{ Action, Resource []string }
				}
				actiontest.Must(t, json.Unmarshal([]byte(enters.SessionPolicy), &policy))
				var ps []string
				for _, st := range policy.Statement {
					ps = append(ps, fmt.Sprintf("{%s %s}", strings.Join(st.Action, " "), strings.Join(st.Resource, " ")))
				}
				if diff := cmp.Diff(strings.ReplaceAll(may[kind], "PARTITION", partition), fmt.Sprint(ps)); diff != "" {
					t.Error(diff)
				}
				for _, c := range w.Calls()[1:] {
					if kind != source.ConfirmKey && c.Region != region || c.Account != actiontest.Member || c.Mutating || !c.Allowed {
						t.Errorf("called %+v", c)
					}
				}
			})
		}
	}
}

// TestUnknownFindingIsNotAnOutage: what a source does not know, or knows to be over, is told apart
// from what it could not tell.
func TestUnknownFindingIsNotAnOutage(t *testing.T) {
	const region = "eu-central-1"
	w := sightWorld(t, "aws", region)
	alter := func(kind source.ConfirmationKind, f func(*source.Confirmation)) source.Confirmation {
		s := confirmations(region)[kind]
		f(&s)
		return s
	}
	for name, c := range map[string]struct {
		s    source.Confirmation
		says string
	}{
		"another finding": {alter(source.ConfirmFinding, func(s *source.Confirmation) { s.ID = "0a3c9fb69bf06f4010a963bf880307d5" }), "no finding 0a3c9fb69bf06f4010a963bf880307d5"},
		"another event":   {alter(source.ConfirmEvent, func(s *source.Confirmation) { s.ID = "4f0d130d-fae9-5907-92f7-662945944572" }), "no event 4f0d130d"},
		"event elsewhere": {alter(source.ConfirmEvent, func(s *source.Confirmation) { s.Region = "us-east-1" }), "us-east-1"},
		"unknown key":     {alter(source.ConfirmKey, func(s *source.Confirmation) { s.ID = "AKIA0000000000000099" }), "no IAM user"},
		"root's key":      {alter(source.ConfirmKey, func(s *source.Confirmation) { s.ID = rootKey }), "no IAM user"},
		"inactive key":    {alter(source.ConfirmKey, func(s *source.Confirmation) { s.ID = idleKey }), "inactive already"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.confirm(c.s)
			if !errors.Is(err, source.ErrNotConfirmed) || !strings.Contains(err.Error(), c.says) || actions.Transient(err) {
				t.Errorf("%v", err)
			}
		})
	}
	w.Fault(awsfake.Fault{Op: "iam:ListAccessKeys", Err: smithyError("NoSuchEntity"), Times: 1}) // so for a user that was deleted just now
	if _, err := w.confirm(confirmations(region)[source.ConfirmKey]); !errors.Is(err, source.ErrNotConfirmed) {
		t.Errorf("no such user: %v", err)
	}
	for name, s := range map[string]source.Confirmation{
		"detector elsewhere": alter(source.ConfirmFinding, func(s *source.Confirmation) { s.Region = "us-east-1" }),
		"no such detector":   alter(source.ConfirmFinding, func(s *source.Confirmation) { s.Detector = "0" }),
		"another's key":      alter(source.ConfirmKey, func(s *source.Confirmation) { s.ID = actiontest.SecondKey }),
		"account not ours":   alter(source.ConfirmKey, func(s *source.Confirmation) { s.Account = actiontest.Sandbox }),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := w.confirm(s); err == nil || actions.Transient(err) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestConfirmRefusesNonsense: what an event says is checked before anything is asked.
func TestConfirmRefusesNonsense(t *testing.T) {
	const region = "eu-central-1"
	w := sightWorld(t, "aws", region)
	w.ResetCalls()
	for kind, f := range map[string]func(*source.Confirmation){
		"finding account":  func(s *source.Confirmation) { s.Account = "222222222222 " },
		"finding region":   func(s *source.Confirmation) { s.Region = "evil.example/eu-central-1" },
		"finding detector": func(s *source.Confirmation) { s.Detector = "x/findings/archive?" },
		"finding ID":       func(s *source.Confirmation) { s.ID = `","x` },
		"finding nothing":  func(s *source.Confirmation) { *s = source.Confirmation{} },
		"finding kind":     func(s *source.Confirmation) { s.Kind = "other" },
		"event region":     func(s *source.Confirmation) { s.Region = "" },
		"event ID":         func(s *source.Confirmation) { s.ID = "" },
		"key ID":           func(s *source.Confirmation) { s.ID = "AKIA" },
		"key session":      func(s *source.Confirmation) { s.ID = "ASIA0000000000000001" },
		"key account":      func(s *source.Confirmation) { s.Account = "" },
	} {
		k, _, _ := strings.Cut(kind, " ")
		s := confirmations(region)[source.ConfirmationKind(k)]
		f(&s)
		if _, err := w.confirm(s); err == nil || errors.Is(err, source.ErrNotConfirmed) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	if n := len(w.Calls()); n != 0 {
		t.Errorf("%d calls", n)
	}
}

// TestConfirmInTrouble: AWS's errors are those that every client returns.
func TestConfirmInTrouble(t *testing.T) {
	s := confirmations("eu-central-1")[source.ConfirmFinding]
	t.Run("denied", func(t *testing.T) {
		w := sightWorld(t, "aws", s.Region)
		w.Member(actiontest.Member, awsfake.MemberRoles{ExternalID: w.Org.ExternalID, ResponderPolicy: actiontest.AllowIAM})
		_, err := w.confirm(s)
		actiontest.WantCode(t, err, "AccessDeniedException")
		if cause, hint := actions.Explain(err); actions.Transient(err) || !strings.Contains(cause, "guardduty:GetFindings") || !strings.Contains(hint, "member roles") {
			t.Errorf("%s; %s", cause, hint)
		}
	})
	for _, code := range []string{"ThrottlingException", "TooManyRequestsException", "InternalError"} {
		t.Run(code, func(t *testing.T) {
			w := sightWorld(t, "aws", s.Region)
			w.Fault(awsfake.Fault{Op: "guardduty:GetFindings", Err: smithyError(code), Times: 1})
			if _, err := w.confirm(s); !actions.Transient(err) {
				t.Errorf("%v", err)
			}
			if _, err := w.confirm(s); err != nil {
				t.Error(err)
			}
		})
	}
	t.Run("cut off", func(t *testing.T) {
		w := sightWorld(t, "aws", s.Region)
		w.Fault(awsfake.Fault{Op: "guardduty:GetFindings", Err: errors.New("connection reset"), Times: 1})
		if _, err := w.confirm(s); !actions.Transient(err) {
			t.Errorf("%v", err)
		}
	})
}

func smithyError(code string) error {
	return &smithy.GenericAPIError{Code: code, Message: "not just now"}
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// named are the endpoints of services, as configurations tell them.
type named map[string]string

func (n named) GetServiceBaseEndpoint(_ context.Context, id string) (string, bool, error) {
	url, ok := n[id]
	return url, ok, nil
}

// TestConfirmOverHTTP: the request is the one that GuardDuty documents, signed over
// all that it says, and goes where the SDK's clients would send it.
func TestConfirmOverHTTP(t *testing.T) {
	answer, status, header := `{"findings":[`+aFinding+`]}`, http.StatusOK, http.Header{}
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Method != http.MethodPost || r.URL.Path != "/at/detector/"+detector+"/findings/get" || string(body) != `{"findingIds":["`+findingID+`"]}` {
			t.Errorf("%s %s %s %v", r.Method, r.URL, body, err)
		}
		signed := r.Header.Get("Authorization")
		at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil || !at.Equal(actiontest.Began) {
			t.Errorf("signed at %s, %v", at, err)
		}
		again, _ := http.NewRequestWithContext(r.Context(), r.Method, "http://"+r.Host+r.URL.Path, strings.NewReader(string(body)))
		again.Header.Set("Content-Type", "application/json")
		secret := aws.Credentials{AccessKeyID: "ASIAMADEUP", SecretAccessKey: "secret", SessionToken: "token"}
		if err := v4.NewSigner().SignHTTP(r.Context(), secret, again, sha256Hex(body), "guardduty", "eu-central-1", at); err != nil {
			t.Error(err)
		}
		if signed != again.Header.Get("Authorization") || !strings.Contains(signed, "/eu-central-1/guardduty/aws4_request") {
			t.Errorf("signed %s, want %s", signed, again.Header.Get("Authorization"))
		}
		for k := range header {
			rw.Header().Set(k, header.Get(k))
		}
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, answer)
	}))
	defer server.Close()
	roles := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials><AccessKeyId>ASIAMADEUP</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`)
	}))
	defer roles.Close()
	sight := func(cfg aws.Config) (string, error) {
		cfg.Region, cfg.Credentials = "us-east-1", aws.AnonymousCredentials{}
		raw, err := source.Confirm(t.Context(), actions.NewCloud(cfg, actiontest.TestOrg("aws")), confirmations("eu-central-1")[source.ConfirmFinding], actiontest.Began, actiontest.Actor)
		return string(raw), err
	}
	own := aws.Config{ConfigSources: []any{named{"STS": roles.URL, "GuardDuty": server.URL + "/at/"}}, BaseEndpoint: aws.String("http://127.0.0.1:1")}
	common := aws.Config{ConfigSources: []any{named{"STS": roles.URL}}, BaseEndpoint: aws.String(server.URL + "/at")}
	for name, cfg := range map[string]aws.Config{"its own endpoint": own, "the common endpoint": common} {
		if got, err := sight(cfg); err != nil || got != aFinding {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
	for name, c := range map[string]struct {
		answer string
		status int
		header http.Header
		want   string
	}{
		"code in the header": {`{"message":"detectorId is not owned"}`, 400, http.Header{"X-Amzn-Errortype": {"BadRequestException:http://x/"}}, "BadRequestException: detectorId is not owned"},
		"code in the body":   {`{"__type":"com.amazonaws#AccessDeniedException","Message":"no"}`, 403, nil, "AccessDeniedException: no"},
		"no code":            {`<html>`, 502, nil, "UnknownError"},
		"not JSON":           {`<html>`, 200, nil, "GuardDuty answered something else than JSON"},
		"too much":           {`{"findings":["` + strings.Repeat("x", 1<<20) + `"]}`, 200, nil, "GuardDuty answered with more than 1048576 bytes"},
	} {
		answer, status, header = c.answer, c.status, c.header
		_, err := sight(common)
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		if cause, _ := actions.Explain(err); !strings.HasPrefix(cause, c.want) || actions.Transient(err) != (c.status >= 500) {
			t.Errorf("%s: %v, told as %s", name, err, cause)
		}
	}
}

// TestConfirmPermits: nothing that a source is asked needs is missing in the
// responder's policy, whatever the actions need.
func TestConfirmPermits(t *testing.T) {
	policy := all.MemberPolicy(actions.Responder, actiontest.TestOrg("aws"), false)
	for _, action := range []string{"guardduty:GetFindings", "cloudtrail:LookupEvents", "iam:GetAccessKeyLastUsed", "iam:ListAccessKeys"} {
		if !strings.Contains(policy, action) {
			t.Errorf("the responder may not %s", action)
		}
	}
	if restorer := all.MemberPolicy(actions.Restorer, actiontest.TestOrg("aws"), false); slices.ContainsFunc([]string{"guardduty:", "cloudtrail:"}, func(s string) bool { return strings.Contains(restorer, s) }) {
		t.Error("the restorer may ask sources")
	}
}
