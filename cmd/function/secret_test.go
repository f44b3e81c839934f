package function_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/cmd/function"
)

// TestSecretWithoutValue: that is trouble, but where it may be empty; and then it
// is not asked for with each request.
func TestSecretWithoutValue(t *testing.T) {
	value, asked := "", 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		body, _ := io.ReadAll(r.Body)
		if asked++; value == "" || strings.Contains(string(body), "AWSPREVIOUS") {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"ResourceNotFoundException","Message":"Secrets Manager can't find the specified secret value"}`)
			return
		}
		_, _ = io.WriteString(w, `{"SecretString":"`+value+`"}`)
	}))
	defer server.Close()
	env := map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
	cfg := function.AWS(func(k string) string { return env[k] })
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }

	if values, err := function.NewSecret(cfg, "s", clock).Values(t.Context()); err == nil {
		t.Errorf("a secret that must be there: %v", values)
	}
	s := function.NewSecret(cfg, "s", clock).MayBeEmpty()
	asked = 0
	for range 3 {
		if values, err := s.Values(t.Context()); err != nil || len(values) != 0 {
			t.Errorf("no value: %v %v", values, err)
		}
		_, _ = s.Refresh(t.Context())
	}
	if asked != 1 {
		t.Errorf("asked %d times within a moment", asked)
	}
	value = "soar=key"
	now = now.Add(31 * time.Second)
	values, err := s.Refresh(t.Context())
	if diff := cmp.Diff([]string{"soar=key"}, values); err != nil || diff != "" {
		t.Errorf("put there since: %v\n%s", err, diff)
	}
	value = ""
	server.Close()
	now = now.Add(6 * time.Minute)
	if values, err := s.Values(t.Context()); err != nil || len(values) != 1 {
		t.Errorf("Secrets Manager does not answer: %v %v", values, err)
	}
}
