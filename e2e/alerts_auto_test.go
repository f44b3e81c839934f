//go:build e2e

package e2e

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// guardDuty answers GetFindings, which moto does not know. It wants to be asked by
// the member role, in the account and region of its detector.
// https://docs.aws.amazon.com/guardduty/latest/APIReference/API_GetFindings.html
type guardDuty struct {
	seen *calls

	mu       sync.Mutex
	findings map[string]json.RawMessage // by ID, as it writes them
	asked    map[string]int
}

const detector = "121afe7ce30de38d5a3a62f0a02dfd75"

var getFindings = regexp.MustCompile(`^/detector/[0-9a-z]+/findings/get$`)

func (g *guardDuty) start(t *testing.T) string {
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return server.URL
}

func (g *guardDuty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	refuse := func(status int, code string) {
		w.Header().Set("X-Amzn-Errortype", code)
		w.WriteHeader(status)
		_, _ = w.Write([]byte(`{"__type":"` + code + `","message":"The request is rejected."}`))
	}
	var in struct{ FindingIDs []string }
	signed := scope.FindStringSubmatch(r.Header.Get("Authorization"))
	if signed == nil || r.Header.Get("X-Amz-Security-Token") == "" || !strings.Contains(r.Header.Get("Authorization"), "/"+region+"/guardduty/") ||
		g.seen.who(signed[1]) != "arn:aws:iam::"+prod+":role/killswitch-responder" {
		refuse(http.StatusForbidden, "AccessDeniedException")
		return
	}
	if r.Method != http.MethodPost || r.URL.Path != "/detector/"+detector+"/findings/get" || json.NewDecoder(r.Body).Decode(&in) != nil || len(in.FindingIDs) == 0 {
		refuse(http.StatusBadRequest, "BadRequestException")
		return
	}
	found := []json.RawMessage{}
	g.mu.Lock()
	for _, id := range in.FindingIDs {
		g.asked[id]++
		if f, ok := g.findings[id]; ok {
			found = append(found, f)
		}
	}
	g.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"findings": found})
}

// knows lets GuardDuty have an event's finding. What the event has of additional
// information comes as a text.
func (g *guardDuty) knows(s *scene, event string) {
	s.t.Helper()
	var e struct{ Detail map[string]any }
	s.must(json.Unmarshal([]byte(event), &e))
	extra := e.Detail["service"].(map[string]any)["additionalInfo"].(map[string]any)
	for k := range extra {
		if k != "value" && k != "type" {
			delete(extra, k)
		}
	}
	b, err := json.Marshal(e.Detail)
	s.must(err)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.findings[e.Detail["id"].(string)] = b
}

// automatic: nobody clicks, a key that GuardDuty reports is dead; two people take it back.
func (s *scene) automatic(duty *guardDuty) {
	const alerted = "medium: Discovery:IAMUser/AnomalousBehavior in account prod"
	key := s.user("notebook-shared")
	before := s.userState("notebook-shared")
	event := s.keyFinding("Discovery", "notebook-shared", key)
	duty.knows(s, event)
	s.brought(autoKey, event)
	alert := s.alert(alerted, key, "*Killswitch did this by itself*", "*contained*")
	if st := s.userState("notebook-shared"); slices.Contains(st.Active, key) || len(st.Active) != 1 || len(st.Attached) != 2 {
		s.t.Errorf("the key's user still has %+v", st)
	}
	card := s.about("contained", "deactivate_key "+key+" ", false)
	if card.ThreadTS != alert.TS || s.count("deactivate_key "+key) != 1 {
		s.t.Errorf("%d cards; this is not in the thread: %s", s.count("deactivate_key "+key), card)
	}
	s.replied(alert, id(card)+": contained. Asked for by Killswitch itself:")

	s.click(cem, alert, "undo")
	undo := s.about("pending 0/1", "deactivate_key "+key+" ", true)
	s.click(cem, undo, "approve")
	s.told("You asked for this yourself")
	s.click(ana, undo, "approve")
	s.about("restored", "deactivate_key "+key+" ", true)
	alert = s.alert(alerted, key, "*undone*")
	if got := buttons(alert, "undo"); len(got) != 0 {
		s.t.Errorf("it can be undone again: %v", got)
	}
	st := s.userState("notebook-shared")
	if slices.Contains(st.Active, key) {
		s.t.Error("a click has brought the key back")
	}
	if st.Active = before.Active; !equal(st, before) {
		s.t.Errorf("not as before: %+v, want %+v", st, before)
	}
}

func equal(a, b userState) bool {
	x, _ := json.Marshal(a)
	y, _ := json.Marshal(b)
	return string(x) == string(y)
}

// health is an event of AWS Health about a key, of now.
func (s *scene) health(key string) string {
	s.t.Helper()
	return s.event("health_exposed_one.json", append(lately("Sun, 15 Nov 2026 00:37:55 GMT", http.TimeFormat), "AKIAHEALTHKY2EXAMPLE", key)...)
}

// confirmed: GuardDuty is asked whether its finding is true.
func (s *scene) confirmed(duty *guardDuty) {
	const id, forged = "ffc647629b22dc0bd803b1ec77521faf", "00000000000000000000000000000bad"
	at := lately("2026-11-12T03:14:20.118Z", time.RFC3339)
	role := s.role("deploy-admin")
	event := s.event("guardduty_iam_privesc-role-session.json", at...)
	duty.knows(s, event)
	s.brought(autoKey, event)
	s.card("contained", role, false)
	alert := s.alert("medium: PrivilegeEscalation:IAMUser/AnomalousBehavior in account prod", "*contained*", "*Killswitch did this by itself*")
	if !strings.Contains(s.deny(role), "aws:TokenIssueTime") {
		s.t.Errorf("contained, and the policy is %q", s.deny(role))
	}
	s.replied(alert, ": contained. Asked for by Killswitch itself:")

	// Nobody else may say that there is a finding.
	other := s.role("victim")
	s.brought(autoKey, s.event("guardduty_iam_privesc-role-session.json", append(at, id, forged, "deploy-admin", other)...))
	card := s.card("refused", other, false)
	s.told(strings.TrimSpace(requestID.FindString(card.Text)) + ": refused. Asked for by Killswitch itself: ")
	if s.deny(other) != "" {
		s.t.Error("a forged finding has contained")
	}
	duty.mu.Lock()
	defer duty.mu.Unlock()
	if duty.asked[id] != 2 || duty.asked[forged] != 1 { // before the plan and before the run
		s.t.Errorf("GuardDuty was asked %v", duty.asked)
	}
}

// neverAutomatic: what comes from a source for tests only proposes, and so does what a webhook says of an
// exposed key, whatever it may do else: that the key exists does not make it true.
func (s *scene) neverAutomatic() {
	mocked, proposed := s.user("mocked"), s.user("by-webhook")
	s.brought(autoKey, s.event("health_mock_minimal.json", append(lately("Sun, 15 Nov 2026 06:10:09 GMT", http.TimeFormat), "AKIAHEALTHMK2EXAMPLE", mocked)...))
	s.brought(autoKey, s.health(proposed))
	for start, key := range map[string]string{"[MOCK] high: AWS_RISK_CREDENTIALS_EXPOSED": mocked, "high: AWS_RISK_CREDENTIALS_EXPOSED": proposed} {
		alert := s.alert(start, key, "a second responder must approve")
		if got := buttons(alert, "propose:"); !slices.Equal(got, []string{"propose:deactivate_key"}) {
			s.t.Errorf("%s offers %v", alert.Text, got)
		}
		// What begins by itself stands on the first card already.
		if n := s.count("deactivate_key " + key); n != 0 || says(alert, "Containments") {
			s.t.Errorf("%s began by itself", alert.Text)
		}
	}
	for _, name := range []string{"mocked", "by-webhook"} {
		if st := s.userState(name); len(st.Active) != 2 || len(st.Attached) != 1 {
			s.t.Errorf("%s was contained: %+v", name, st)
		}
	}
}
