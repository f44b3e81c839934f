package ingress

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// came is when requests come in these tests.
var came = time.Date(2026, 11, 3, 2, 14, 5, 0, time.UTC)

// newDoor is an ingress whose webhook soar may ask for some of the actions.
func newDoor(t testing.TB, alter ...func(map[string]Grant)) (*Ingress, *queue) {
	in, q, _ := newHooks(t)
	in.Now, in.Secrets = func() time.Time { return came }, secrets("the signing secret", "its predecessor")
	in.Webhooks["soar"] = Grant{Actions: []string{"isolate_instance", "revoke_sessions", "delete_role", "apply_scp"}, RoleToAssume: "killswitch-responder", ManagementAccount: "999999999999"}
	for _, f := range alter {
		f(in.Webhooks)
	}
	return in, q
}

func wants(path, body string, headers ...string) Request {
	r := brings(soarKey, body)
	r.Path = path
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

const (
	anIsolation = `{"instance_id": "i-0d3e1a5b7c9f20007", "account_id": "222222222222", "region": "eu-west-1"}`
	aRevocation = `{"action": "revoke_sessions", "target_account_id": "222222222222", "role_to_assume": "killswitch-responder", "target_role_name": "app-role"}`
	inOurWords  = `{"action": "isolate_instance", "target": "i-0d3e1a5b7c9f20007", "options": {"account": "prod", "region": "eu-west-1"}, "reason": "beacon <C2> & more"}`
)

// TestRequestsAreQueuedInOneForm: each body asks for the same kind of thing, and is answered with the ID.
func TestRequestsAreQueuedInOneForm(t *testing.T) {
	isolation := Asked{"isolate_instance", "i-0d3e1a5b7c9f20007", map[string]string{"account": "222222222222", "region": "eu-west-1"}, "no reason given"}
	revocation := Asked{"revoke_sessions", "222222222222/app-role", nil, "no reason given"}
	for name, c := range map[string]struct {
		path, body string
		want       Asked
	}{
		"in our words":                  {"/requests", inOurWords, Asked{"isolate_instance", "i-0d3e1a5b7c9f20007", map[string]string{"account": "prod", "region": "eu-west-1"}, "beacon <C2> & more"}},
		"with a dash and capitals":      {"/requests", `{"action":"Isolate-Instance","target":"i-1","options":null,"reason":"x"}`, Asked{"isolate_instance", "i-1", nil, "x"}},
		"the EC2 isolation webhook's":   {"/isolate", anIsolation, isolation},
		"the same with a reason":        {"/isolate", strings.Replace(anIsolation, "{", `{"reason": "a miner",`, 1), Asked{isolation.Action, isolation.Target, isolation.Options, "a miner"}},
		"awskillswitch's revocation":    {"/requests", aRevocation, revocation},
		"of all roles":                  {"/requests", strings.Replace(aRevocation, "app-role", "ALL", 1), Asked{"revoke_sessions", "222222222222/ALL", nil, "no reason given"}},
		"with the client's region":      {"/requests", strings.Replace(aRevocation, "{", `{"region":"us-east-1",`, 1), revocation},
		"without what we know":          {"/requests", `{"action": "revoke_sessions", "target_account_id": "222222222222", "target_role_name": "app-role"}`, revocation},
		"awskillswitch's freeze":        {"/requests", `{"action":"apply_scp","target_account_id":"222222222222","role_to_assume":"killswitch-responder","org_management_account":"999999999999"}`, Asked{"apply_scp", "222222222222", nil, "no reason given"}},
		"a deletion with its name once": {"/requests", `{"action":"delete_role","target_account_id":"222222222222","target_role_name":"app-role","confirm":"app-role"}`, Asked{"delete_role", "222222222222/app-role", map[string]string{"confirm": "app-role"}, "no reason given"}},
	} {
		t.Run(name, func(t *testing.T) {
			in, q := newDoor(t)
			got := in.Answer(t.Context(), wants(c.path, c.body))
			var m Webhook
			if len(q.sent) != 1 || json.Unmarshal(q.sent[0], &m) != nil {
				t.Fatalf("%+v, queued %s", got, q.sent)
			}
			if diff := cmp.Diff(Response{Status: 202, Type: jsonType, Body: `{"request_id":"` + m.RequestID() + `"}` + "\n"}, got); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
			want, err := compact(c.want)
			if err != nil {
				t.Fatal(err)
			}
			message := Webhook{Webhook: "soar", Path: "/requests", Timestamp: strconv.FormatInt(came.Unix(), 10), Body: string(want)}
			message.sign("the signing secret")
			if diff := cmp.Diff(message, m); diff != "" {
				t.Errorf("queued (-want +got):\n%s", diff)
			}
			if q.of[0] != "soar" {
				t.Errorf("queued in the group %q", q.of[0])
			}
		})
	}
}

// TestWhatARequestIs: a retry is the same request, however it is written; another key's, another
// name's or another day's is not.
func TestWhatARequestIs(t *testing.T) {
	id := func(at time.Time, r Request) string {
		in, _ := newDoor(t, func(g map[string]Grant) { g["eventbridge"] = g["soar"] })
		in.Now = func() time.Time { return at }
		got := in.Answer(t.Context(), r)
		if got.Status != 202 {
			t.Fatalf("%+v", got)
		}
		return got.Body
	}
	first := id(came, wants("/requests", inOurWords))
	named := id(came, wants("/requests", inOurWords, IdempotencyHeader, "case-1"))
	other := wants("/requests", inOurWords)
	other.Header.Set(KeyHeader, hookKey)
	for name, c := range map[string]struct {
		at   time.Time
		r    Request
		as   string
		same bool
	}{
		"again":                         {came.Add(time.Hour), wants("/requests", inOurWords), first, true},
		"in another order":              {came, wants("/requests", `{"reason":"beacon <C2> & more", "options":{"region":"eu-west-1","account":"prod"},"target":"i-0d3e1a5b7c9f20007","action":"isolate-instance"}`), first, true},
		"by another key":                {came, other, first, false},
		"for another reason":            {came, wants("/requests", strings.Replace(inOurWords, "beacon", "miner", 1)), first, false},
		"the next day":                  {came.Add(24 * time.Hour), wants("/requests", inOurWords), first, false},
		"under a name":                  {came, wants("/requests", inOurWords, IdempotencyHeader, "case-1"), first, false},
		"under the same name":           {came.Add(48 * time.Hour), wants("/requests", inOurWords, IdempotencyHeader, "case-1"), named, true},
		"another body of the same name": {came, wants("/isolate", anIsolation, IdempotencyHeader, "case-1"), named, true},
		"under another name":            {came, wants("/requests", inOurWords, IdempotencyHeader, "case-2"), named, false},
	} {
		if got := id(c.at, c.r); (got == c.as) != c.same {
			t.Errorf("%s: %s, and %s", name, got, c.as)
		}
	}
}

// TestRefusedRequests: all that is wrong is said at once with its field, nothing is queued, and what
// was sent is not repeated.
func TestRefusedRequests(t *testing.T) {
	long := strings.Repeat("x", 2001)
	for name, c := range map[string]struct {
		path, body string
		status     int
		fields     []string
	}{
		"nothing":                       {"/requests", "", 400, []string{"body"}},
		"not JSON":                      {"/requests", `{"action": secret`, 400, []string{"body"}},
		"two documents":                 {"/isolate", anIsolation + anIsolation, 400, []string{"body"}},
		"not UTF-8":                     {"/requests", "{\"action\": \"\xff\"}", 400, []string{"body"}},
		"an array":                      {"/requests", "[" + inOurWords + "]", 400, []string{"body"}},
		"too deep":                      {"/requests", strings.Repeat(`{"a":`, 20_000), 400, []string{"body"}},
		"an empty object":               {"/requests", "{}", 400, []string{"action", "target", "reason"}},
		"of another form":               {"/requests", `{"action": 7, "target": ["i-1"], "options": "x", "reason": ""}`, 400, []string{"action", "target", "reason", "options"}},
		"an option that is a number":    {"/requests", `{"action":"isolate_instance","target":"i-1","options":{"account":222222222222,"stop":"yes"},"reason":"x"}`, 400, []string{"options.account"}},
		"a field twice":                 {"/requests", `{"action":"isolate_instance","action":"delete_role","target":"i-1","reason":"x"}`, 400, []string{"action"}},
		"a field in another spelling":   {"/requests", `{"Action":"isolate_instance","target":"i-1","reason":"x","secret-field":"y"}`, 400, []string{"action", "Action", "secret-field"}},
		"texts that are too long":       {"/requests", `{"action":"isolate_instance","target":"` + long + `","reason":"` + long + `"}`, 400, []string{"target", "reason"}},
		"too many options":              {"/requests", `{"action":"isolate_instance","target":"i-1","reason":"x","options":{` + strings.TrimSuffix(strings.Repeat(`"a%d":"",`, 21), ",") + `}}`, 400, []string{"options"}},
		"not granted":                   {"/requests", strings.Replace(inOurWords, "isolate_instance", "detach_policies", 1), 403, []string{"action"}},
		"not granted, and no reason":    {"/requests", `{"action":"quarantine_user","target":"prod/joe"}`, 403, []string{"reason", "action"}},
		"no instance":                   {"/isolate", `{"instance_id":"web-1","account_id":222222222222,"region":"Frankfurt"}`, 400, []string{"instance_id", "account_id", "region"}},
		"an isolation in our words":     {"/isolate", inOurWords, 400, []string{"instance_id", "account_id", "region", "action", "options", "target"}},
		"another role to assume":        {"/requests", strings.Replace(aRevocation, "killswitch-responder", "OrganizationAccountAccessRole", 1), 400, []string{"role_to_assume"}},
		"another management account":    {"/requests", strings.Replace(aRevocation, "{", `{"org_management_account":"888888888888",`, 1), 400, []string{"org_management_account"}},
		"a role for the whole account":  {"/requests", strings.Replace(aRevocation, "revoke_sessions", "apply_scp", 1), 400, []string{"target_role_name"}},
		"no role":                       {"/requests", `{"action":"revoke_sessions","target_account_id":"222222222222"}`, 400, []string{"target_role_name"}},
		"a deletion that is not sure":   {"/requests", strings.Replace(aRevocation, "revoke_sessions", "delete_role", 1), 400, []string{"confirm"}},
		"an action of another payload":  {"/requests", strings.Replace(aRevocation, "revoke_sessions", "isolate_instance", 1), 400, []string{"action"}},
		"a role that can't be a role":   {"/requests", strings.Replace(aRevocation, "app-role", "path/app role", 1), 400, []string{"target_role_name"}},
		"a confirmation of a reverting": {"/requests", strings.Replace(aRevocation, "{", `{"confirm":"app-role",`, 1), 400, []string{"confirm"}},
	} {
		t.Run(name, func(t *testing.T) {
			in, q := newDoor(t)
			if strings.Contains(c.body, "%d") {
				var n []any
				for i := range 21 {
					n = append(n, i)
				}
				c.body = fmt.Sprintf(c.body, n...)
			}
			got := in.Answer(t.Context(), wants(c.path, c.body))
			var told struct{ Errors []Problem }
			if err := json.Unmarshal([]byte(got.Body), &told); err != nil || got.Status != c.status || got.Type != jsonType {
				t.Fatalf("%v: %+v, want %d", err, got, c.status)
			}
			var fields []string
			for _, p := range told.Errors {
				if fields = append(fields, p.Field); p.Problem == "" {
					t.Errorf("%s has no problem", p.Field)
				}
			}
			if diff := cmp.Diff(c.fields, fields); diff != "" {
				t.Errorf("fields (-want +got):\n%s%s", diff, got.Body)
			}
			if len(q.sent) > 0 || strings.Contains(strings.ReplaceAll(got.Body, "secret-field", ""), "secret") {
				t.Errorf("queued %s, told %s", q.sent, got.Body)
			}
		})
	}
	for name, header := range map[string]string{"spaces": "case 1", "letters": "fäll-1", "too long": strings.Repeat("k", 256), "a line end": "a\nb"} {
		in, q := newDoor(t)
		r := wants("/requests", inOurWords)
		r.Header[IdempotencyHeader] = []string{header}
		if got := in.Answer(t.Context(), r); got.Status != 400 || !strings.Contains(got.Body, `"field":"Idempotency-Key"`) || len(q.sent) > 0 {
			t.Errorf("%s: %+v, %d queued", name, got, len(q.sent))
		}
	}
}

// TestNotARequester: 401 and nothing else, whatever the body is; and the largest body that is taken.
func TestNotARequester(t *testing.T) {
	for name, c := range map[string]struct {
		secret string
		alter  func(map[string]Grant)
	}{
		"no key":                    {"", nil},
		"guessed":                   {"guessed", nil},
		"may send events alone":     {hookKey, nil},
		"may do nothing":            {soarKey, func(g map[string]Grant) { g["soar"] = Grant{} }},
		"is not in configuration":   {soarKey, func(g map[string]Grant) { delete(g, "soar") }},
		"the function's own grant":  {directKey, func(g map[string]Grant) { g[DirectWebhook] = g["soar"] }},
		"events with direct's key":  {directKey, func(g map[string]Grant) { g[DirectWebhook] = Grant{Events: true} }},
		"a key that is none's (id)": {"soar=" + soarKey, nil},
	} {
		for _, path := range []string{"/requests", "/isolate", "/events"} {
			if path == "/events" && c.secret == hookKey {
				continue
			}
			for _, body := range []string{inOurWords, anEvent, "garbage"} {
				alter := c.alter
				if alter == nil {
					alter = func(map[string]Grant) {}
				}
				in, q := newDoor(t, alter)
				in.Keys = secrets(hookKeys + ",direct=" + directKey)
				r := wants(path, body)
				r.Header.Set(KeyHeader, c.secret)
				if got := in.Answer(t.Context(), r); got != (Response{Status: http.StatusUnauthorized}) || len(q.sent) > 0 {
					t.Errorf("%s at %s: %+v, %d queued", name, path, got, len(q.sent))
				}
			}
		}
	}
	for name, change := range map[string]func(*Ingress){
		"can't be had":     func(in *Ingress) { in.Secrets = failing("AccessDenied for arn:aws:secretsmanager:x") },
		"is not there yet": func(in *Ingress) { in.Secrets = secrets() },
	} {
		in, q := newDoor(t, func(g map[string]Grant) { g[DirectWebhook] = g["soar"] })
		change(in)
		got := in.Answer(t.Context(), wants("/requests", inOurWords))
		told, err := in.Direct(t.Context(), []byte(aRevocation))
		if got.Status != 503 || strings.Contains(got.Body, "arn:") || told != "" || err == nil || strings.Contains(err.Error(), "arn:") || len(q.sent) > 0 {
			t.Errorf("the secret by which it signs %s: %+v, %q %v, %d queued", name, got, told, err, len(q.sent))
		}
	}
	for _, c := range []struct{ more, status int }{{0, 202}, {1, 413}} {
		in, q := newDoor(t)
		body := inOurWords + strings.Repeat(" ", MaxBody-len(inOurWords)+c.more)
		if got := in.Answer(t.Context(), wants("/requests", body)); got.Status != c.status || len(q.sent) != 1-c.more {
			t.Errorf("%d bytes: %d, %d queued; want %d", len(body), got.Status, len(q.sent), c.status)
		}
	}
}

const directKey = "11d2-direct-key"

// TestDirect: what awskillswitch's client sends by calling the function, if the configuration lets it.
func TestDirect(t *testing.T) {
	on := func(g map[string]Grant) { g[DirectWebhook] = g["soar"] }
	for name, c := range map[string]struct {
		alter   func(map[string]Grant)
		payload string
		want    string
	}{
		"off":                  {func(map[string]Grant) {}, aRevocation, "no webhook direct"},
		"events are no action": {func(g map[string]Grant) { g[DirectWebhook] = Grant{Events: true} }, aRevocation, "no webhook direct"},
		"another action":       {on, strings.Replace(aRevocation, "revoke_sessions", "detach_policies", 1), "action is not one that this webhook may ask for"},
		"all that is wrong":    {on, `{"action":"apply_scp","target_account_id":7,"role_to_assume":"admin"}`, "target_account_id is not a text: put it in quotes; role_to_assume is not what"},
		"no payload":           {on, `null`, "body is not a JSON object"},
		"over 256 KiB":         {on, `{"action":"` + strings.Repeat("x", MaxBody) + `"}`, "over 256 KiB"},
	} {
		in, q := newDoor(t, c.alter)
		if got, err := in.Direct(t.Context(), []byte(c.payload)); err == nil || got != "" || !strings.HasPrefix(err.Error(), "nothing was asked for: ") || !strings.Contains(err.Error(), c.want) || len(q.sent) > 0 {
			t.Errorf("%s: %q %v, %d queued; want %q", name, got, err, len(q.sent), c.want)
		}
	}
	in, q := newDoor(t, on)
	told, err := in.Direct(t.Context(), []byte(aRevocation))
	var m Webhook
	if err != nil || len(q.sent) != 1 || json.Unmarshal(q.sent[0], &m) != nil {
		t.Fatalf("%q %v, queued %s", told, err, q.sent)
	}
	if m.Webhook != DirectWebhook || !strings.HasPrefix(told, m.RequestID()+" is asked for") || !strings.Contains(told, "approve") {
		t.Errorf("%q, queued %+v", told, m)
	}
}

// FuzzRequests: whatever a body is, it is queued in the one form or refused with fields.
func FuzzRequests(f *testing.F) {
	for _, body := range []string{inOurWords, anIsolation, aRevocation, "{", `{"options":{"a":{}}}`} {
		f.Add("/requests", body, "case-1")
		f.Add("/isolate", body, "")
	}
	f.Fuzz(func(t *testing.T, path, body, name string) {
		if path != "/isolate" {
			path = "/requests"
		}
		in, q := newDoor(t)
		r := wants(path, body)
		r.Header[IdempotencyHeader] = []string{name}
		got := in.Answer(t.Context(), r)
		switch {
		case len(body) > MaxBody:
			return
		case got.Status == 202:
			var m Webhook
			var a Asked
			if len(q.sent) != 1 || json.Unmarshal(q.sent[0], &m) != nil || json.Unmarshal([]byte(m.Body), &a) != nil || a.Action == "" || a.Target == "" || a.Reason == "" {
				t.Fatalf("queued %s", q.sent)
			}
		case got.Status != 400 && got.Status != 403 || !strings.HasPrefix(got.Body, `{"errors":[{"field":`) || len(q.sent) > 0:
			t.Fatalf("%+v, queued %s", got, q.sent)
		}
	})
}
