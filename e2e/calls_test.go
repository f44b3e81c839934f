//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
)

// calls watches what Killswitch calls in member accounts: whatever a session
// does must be in the policy that the session was asked for with, since moto
// itself lets everybody do everything.
type calls struct {
	t testing.TB

	mu       sync.Mutex
	sessions map[string]session // by access key
	made     int
}

// session is what AssumeRole was asked for.
type session struct {
	role    string
	allowed []string
}

var (
	scope     = regexp.MustCompile(`Credential=([A-Z0-9]+)/[0-9]+/[a-z0-9-]+/([a-z0-9-]+)/aws4_request`)
	accessKey = regexp.MustCompile(`<AccessKeyId>([A-Z0-9]+)</AccessKeyId>`)
)

// between starts a proxy in front of an AWS.
func (c *calls) between(to string) string {
	target, err := url.Parse(to)
	if err != nil {
		c.t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(resp *http.Response) error {
		asked, ok := resp.Request.Context().Value(c).(session)
		if !ok || resp.StatusCode != http.StatusOK {
			return nil
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body = io.NopCloser(bytes.NewReader(body))
		if key := accessKey.FindSubmatch(body); key != nil {
			c.mu.Lock()
			c.sessions[string(key[1])] = asked
			c.mu.Unlock()
		}
		return err
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		proxy.ServeHTTP(w, r.WithContext(c.look(r, body)))
	}))
	c.t.Cleanup(server.Close)
	return server.URL
}

// session is what a session was asked for with, by its access key.
func (c *calls) session(key string) session {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sessions[key]
}

// look notes a call. Of AssumeRole it keeps the session policy for the response.
func (c *calls) look(r *http.Request, body []byte) context.Context {
	ctx := r.Context()
	g := scope.FindStringSubmatch(r.Header.Get("Authorization"))
	if g == nil {
		return ctx
	}
	key, service := g[1], g[2]
	form, _ := url.ParseQuery(string(body))
	operation := form.Get("Action")
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		operation = target[strings.LastIndex(target, ".")+1:]
	}
	switch query := r.URL.Query(); {
	case getFindings.MatchString(r.URL.Path):
		operation = "GetFindings"
	case service == "s3" && query.Has("lifecycle"):
		operation = "GetLifecycleConfiguration"
	case service == "s3" && query.Has("policy"):
		operation = "GetBucketPolicy"
	case service == "s3" && r.URL.Path == "/":
		operation = "ListAllMyBuckets"
	}
	if operation == "AssumeRole" {
		var policy struct{ Statement []struct{ Action []string } }
		if err := json.Unmarshal([]byte(form.Get("Policy")), &policy); err != nil {
			c.t.Errorf("AssumeRole with the session policy %q: %v", form.Get("Policy"), err)
		}
		s := session{role: form.Get("RoleArn")}
		for _, st := range policy.Statement {
			s.allowed = append(s.allowed, st.Action...)
		}
		return context.WithValue(ctx, c, s)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.sessions[key]
	if !ok {
		return ctx // the hub's own
	}
	c.made++
	if !slices.Contains(s.allowed, service+":"+operation) {
		c.t.Errorf("%s called %s:%s, which its session policy does not allow: %v", s.role, service, operation, s.allowed)
	}
	return ctx
}
