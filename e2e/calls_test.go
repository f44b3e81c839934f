//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// calls notes what Killswitch calls, since moto itself lets everybody do everything: e2e/run gives the
// notes to template/proofs.mjs, which asks the policies that are deployed.
type calls struct {
	t testing.TB

	mu       sync.Mutex
	callers  map[string]caller // by access key
	learned  map[string]string // what answers told: ARNs by account, kind and name, and what else a request refers to
	unknown  []string          // what is wrong with what was called
	received int
}

// caller is who has an access key.
type caller struct {
	Who     string   `json:"who"` // a zone, Person, or the ARN of a member role
	Session *session `json:"session,omitempty"`
}

// session is what AssumeRole was asked for.
type session struct {
	Policy json.RawMessage   `json:"policy"`
	Source string            `json:"source"`
	Tags   map[string]string `json:"tags"`
}

// ask is what AWS asks the policies about a call, which may be several things.
type ask struct {
	Action  string         `json:"action"`
	On      string         `json:"on"`
	Context map[string]any `json:"context,omitempty"`
}

// note is a line for proofs.mjs.
type note struct {
	caller
	ask
	Document string `json:"document,omitempty"` // of a service control policy that is made
	Name     string `json:"name,omitempty"`
}

// zoneKeys are the access keys of the roles of the hub.
var zoneKeys = map[string]string{"Ingress": "AKIAE2EINGRESSROLE00", "Bot": "AKIAE2EBOTROLE000000", "Executor": "AKIAE2EEXECUTORROLE0", "Serve": "AKIAE2ESERVEROLE0000"}

func watch(t testing.TB) *calls {
	c := &calls{t: t, callers: map[string]caller{}, learned: map[string]string{}}
	for zone, key := range zoneKeys {
		c.callers[key] = caller{Who: zone}
	}
	t.Cleanup(func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, u := range slices.Compact(slices.Sorted(slices.Values(c.unknown))) {
			t.Error(u)
		}
	})
	return c
}

// is says who has an access key.
func (c *calls) is(who, key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.callers[key] = caller{Who: who}
}

// who has an access key: a zone, or the ARN of a member role.
func (c *calls) who(key string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.callers[key].Who
}

var (
	scope     = regexp.MustCompile(`Credential=([A-Z0-9]+)/[0-9]+/([a-z0-9-]+)/([a-z0-9-]+)/aws4_request`)
	accessKey = regexp.MustCompile(`<AccessKeyId>([A-Z0-9]+)</AccessKeyId>`)
)

// between starts a proxy in front of an AWS, and returns its URL.
func (c *calls) between(to string) string {
	target, err := url.Parse(to)
	if err != nil {
		c.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) } // a test's AWS ends before what calls it
	proxy.ModifyResponse = func(resp *http.Response) error {
		asked, ok := resp.Request.Context().Value(c).(*sent)
		if !ok {
			return nil
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(bytes.NewReader(body))
		c.answered(asked, resp.StatusCode, string(body))
		return err
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if asked := read(r, body); asked != nil {
			r = r.WithContext(context.WithValue(r.Context(), c, asked))
		}
		proxy.ServeHTTP(w, r)
	}))
	c.t.Cleanup(server.Close)
	return server.URL
}

// answered notes a call. What AWS asks about it may depend on what only its answer, or an earlier one, has
// told, as the path of a role.
func (c *calls) answered(asked *sent, status int, body string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	who, ok := c.callers[asked.key]
	if !ok {
		c.unknown = append(c.unknown, fmt.Sprintf("%s was called with the access key %s, which is nobody's", asked.name(), asked.key))
		return
	}
	c.received++
	asked.account = HubAccount
	if role := strings.Split(who.Who, ":"); len(role) > 4 {
		asked.account = role[4]
	}
	c.learn(asked, body)
	if asked.name() == "sts:AssumeRole" && status == http.StatusOK {
		if key := accessKey.FindStringSubmatch(body); key != nil {
			s := &session{Policy: json.RawMessage(asked.form.Get("Policy")), Source: asked.form.Get("SourceIdentity"), Tags: asked.tags("Tags.member")}
			if !json.Valid(s.Policy) {
				c.unknown = append(c.unknown, fmt.Sprintf("AssumeRole with the session policy %q", s.Policy))
				s.Policy = nil
			}
			c.callers[key[1]] = caller{Who: asked.form.Get("RoleArn"), Session: s}
		}
	}
	ask, ok := operations[asked.name()]
	if !ok {
		c.unknown = append(c.unknown, asked.name()+" has no entry in operations: say what AWS asks about it")
		return
	}
	for _, a := range ask(c, asked) {
		n := note{caller: who, ask: a}
		if a.Action == "organizations:CreatePolicy" {
			n.Name, n.Document = asked.text("Name"), asked.text("Content")
		}
		noted.add(n)
	}
}

// notes are what all tests have seen, each kind of call once.
type notes struct {
	mu    sync.Mutex
	byKey map[string]note
}

var noted = notes{byKey: map[string]note{}}

// changing is what is another one in each test: accounts, IDs, times.
var changing = regexp.MustCompile(`\b\d{12}\b|\bKS-[0-9A-Z]{12}\b|\bA(?:KIA|SIA|IDA|ROA)[A-Z0-9]{12,}\b|\b(?:i|eni|sg|vpc|subnet|vol|snap|iip-assoc|p|o|r|ou)-[0-9a-z-]+\b|\b[0-9a-f]{8}-[0-9a-f-]{27}\b|\b[0-9a-f]{64}\b|\d{4}-\d\d-\d\dT[\d:.]+Z|-\d{1,3}\b`)

// add keeps a note unless there is one that differs from it in names alone.
func (n *notes) add(added note) {
	line, err := json.Marshal(added)
	if err != nil {
		panic(err)
	}
	names := map[string]string{}
	key := changing.ReplaceAllStringFunc(string(line), func(id string) string {
		if _, ok := names[id]; !ok {
			names[id] = fmt.Sprint("#", len(names))
		}
		return names[id]
	})
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, ok := n.byKey[key]; !ok {
		n.byKey[key] = added
	}
}

// TestMain writes the notes to the file CALLS.
func TestMain(m *testing.M) {
	status := m.Run()
	if file := os.Getenv("CALLS"); file != "" {
		var lines bytes.Buffer
		encoder := json.NewEncoder(&lines)
		for _, key := range slices.Sorted(maps.Keys(noted.byKey)) {
			if err := encoder.Encode(noted.byKey[key]); err != nil {
				panic(err)
			}
		}
		if err := os.WriteFile(file, lines.Bytes(), 0o600); err != nil {
			panic(err)
		}
	}
	os.Exit(status)
}
