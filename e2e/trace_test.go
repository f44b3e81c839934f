//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

// history answers CloudTrail's LookupEvents, which moto does not know: what was recorded of whom, newest first,
// in the region of global services. It wants to be asked by the member role.
// https://docs.aws.amazon.com/awscloudtrail/latest/APIReference/API_LookupEvents.html
type history struct {
	seen   *calls
	events []map[string]any // as LookupEvents has them
}

func (h *history) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	signed := scope.FindStringSubmatch(r.Header.Get("Authorization"))
	var in struct {
		LookupAttributes   []struct{ AttributeKey, AttributeValue string }
		StartTime, EndTime float64
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	if signed == nil || signed[3] != "cloudtrail" || h.seen.who(signed[1]) != "arn:aws:iam::"+prod+":role/killswitch-responder" || !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".LookupEvents") {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"__type":"AccessDeniedException","message":"not by this role"}`))
		return
	}
	if json.NewDecoder(r.Body).Decode(&in) != nil || len(in.LookupAttributes) != 1 {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"__type":"InvalidLookupAttributesException"}`))
		return
	}
	found := []map[string]any{}
	if strings.Contains(r.Header.Get("Authorization"), "/us-east-1/") {
		for _, e := range h.events {
			at := e["EventTime"].(float64)
			if e[in.LookupAttributes[0].AttributeKey] == in.LookupAttributes[0].AttributeValue && at >= in.StartTime && at <= in.EndTime {
				found = append(found, e)
			}
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"Events": found})
}

// records adds a call of a user, some minutes ago.
func (h *history) records(user, call, request, answer string, ago time.Duration) {
	at := time.Now().Add(-ago).UTC().Truncate(time.Second)
	id := fmt.Sprintf("5e1f0000-0000-4000-8000-%012d", len(h.events)+1)
	record := fmt.Sprintf(`{"eventVersion":"1.11","eventSource":"iam.amazonaws.com","eventName":%q,"eventTime":%q,"eventID":%q,"awsRegion":"us-east-1","recipientAccountId":%q,"sourceIPAddress":"198.51.100.7",
"userIdentity":{"type":"IAMUser","principalId":"AIDA%s","arn":"arn:aws:iam::%s:user/%s","accountId":%q,"userName":%q},"requestParameters":%s,"responseElements":%s}`, call, at.Format(time.RFC3339), id, prod, strings.ToUpper(user), prod, user, prod, user, request, answer)
	h.events = append([]map[string]any{{"EventId": id, "EventName": call, "EventSource": "iam.amazonaws.com", "EventTime": float64(at.Unix()), "Username": user, "ReadOnly": "false", "CloudTrailEvent": record}}, h.events...)
}

// TestTrace: what a contained user made is listed in the thread, as moto has it; a button contains it, and the
// list says so. moto has no LookupEvents: a stand-in answers it.
func TestTrace(t *testing.T) {
	t.Parallel()
	events := &history{}
	s := newScene(t, func(s *scene, _ *Workspace) {
		events.seen = s.aws.seen
		server := httptest.NewServer(events)
		t.Cleanup(server.Close)
		s.env = []string{"AWS_ENDPOINT_URL_CLOUDTRAIL=" + s.aws.seen.between(server.URL)}
	})
	s.deployShared()
	s.user("intruder")
	made, err := s.iam.CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("backdoor")})
	s.must(err)
	_, err = s.iam.AttachUserPolicy(t.Context(), &iam.AttachUserPolicyInput{UserName: aws.String("backdoor"), PolicyArn: aws.String("arn:aws:iam::aws:policy/AdministratorAccess")})
	s.must(err)
	s.role("support")
	events.records("intruder", "CreateUser", `{"userName":"backdoor"}`, fmt.Sprintf(`{"user":{"userName":"backdoor","userId":%q}}`, *made.User.UserId), 20*time.Minute)
	events.records("intruder", "AttachUserPolicy", `{"userName":"backdoor","policyArn":"arn:aws:iam::aws:policy/AdministratorAccess"}`, `null`, 19*time.Minute)
	events.records("backdoor", "UpdateAssumeRolePolicy", `{"roleName":"support","policyDocument":"{\"Statement\":[{\"Effect\":\"Allow\",\"Principal\":{\"AWS\":\"arn:aws:iam::666666666666:root\"},\"Action\":\"sts:AssumeRole\"}]}"}`, `null`, 18*time.Minute)
	events.records("backdoor", "CreateUser", `{"userName":"taken-away"}`, `{"user":{"userName":"taken-away","userId":"AIDATAKENAWAY"}}`, 17*time.Minute)

	s.slack.Command(t, channel, ana, "/killswitch", "quarantine_user prod/intruder keys on a paste site")
	card := s.about("pending 0/", "user/intruder ", false)
	s.click(ben, card, "approve")
	card = s.about("contained", "user/intruder ", false)
	list := func(words ...string) Message {
		return s.slack.Await(t, channel, "a list that says "+strings.Join(words, ", "), func(m Message) bool {
			return m.ThreadTS == card.TS && says(m, append(words, "What user intruder made", "user backdoor", "role support")...)
		})
	}
	m := list("*1 of 2 made contained or gone.*", "*there*", ": gone")
	s.click(cem, m, "propose:quarantine_user")
	asked := s.about("pending 0/", "user/backdoor ", false)
	s.click(cem, asked, "approve")
	s.told("You asked for this yourself")
	s.click(ben, asked, "approve")
	s.about("contained", "user/backdoor ", false)
	list("*2 of 2 made contained or gone.*", "*Contained*: Quarantine the user")
	if st := s.userState("backdoor"); len(st.Attached) != 2 {
		t.Errorf("the user has %+v", st)
	}
}
