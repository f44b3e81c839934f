package function_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
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

// TestSecretHasNoSpaceAroundIt, of which a header can't have any and no signature is: whatever was pasted, also of the
// previous value. A value that is only that is none.
func TestSecretHasNoSpaceAroundIt(t *testing.T) {
	now := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	v := &vault{}
	server := httptest.NewServer(v)
	defer server.Close()
	env := map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
	cfg := function.AWS(func(k string) string { return env[k] })
	values := func(texts ...string) ([]string, error) {
		v.versions = nil
		for _, text := range texts {
			v.versions = append(v.versions, version{text, now})
		}
		return function.NewSecret(cfg, "s", func() time.Time { return now }).Values(t.Context())
	}
	for _, around := range []string{"%s", "%s\n", "%s\r\n", " %s\t\n\n", "\n%s"} {
		got, err := values(fmt.Sprintf(around, "old"), fmt.Sprintf(around, "new secret"))
		if diff := cmp.Diff([]string{"new secret", "old"}, got); err != nil || diff != "" {
			t.Errorf("%q: %v\n%s", around, err, diff)
		}
	}
	if got, err := values(" \n"); err == nil {
		t.Errorf("nothing but space: %q", got)
	}
}

// vault is Secrets Manager with one secret: its versions, the newest last.
type vault struct {
	away     bool
	versions []version
}

type version struct {
	value   string
	created time.Time
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	body, _ := io.ReadAll(r.Body)
	i := len(v.versions) - 1
	if strings.Contains(string(body), "AWSPREVIOUS") {
		i--
	}
	switch {
	case v.away:
		w.WriteHeader(http.StatusServiceUnavailable)
	case i < 0:
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"__type":"ResourceNotFoundException","Message":"Secrets Manager can't find the specified secret value"}`)
	default:
		_, _ = fmt.Fprintf(w, `{"SecretString":%q,"CreatedDate":%d}`, v.versions[i].value, v.versions[i].created.Unix())
	}
}

// TestPreviousSecretCountsForTenMinutes: after one rotation and after two, with caches
// warm and cold, and while Secrets Manager does not answer, a leaked value counts until
// ten minutes after its successor was made.
// AWSPREVIOUS stays until the next rotation:
// https://docs.aws.amazon.com/secretsmanager/latest/userguide/whats-in-a-secret.html#term_version
func TestPreviousSecretCountsForTenMinutes(t *testing.T) {
	began := time.Date(2026, 11, 21, 3, 0, 0, 0, time.UTC)
	now := began
	v := &vault{versions: []version{{"leaked", began.Add(-24 * time.Hour)}}}
	server := httptest.NewServer(v)
	defer server.Close()
	env := map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
	cfg := function.AWS(func(k string) string { return env[k] })
	clock := func() time.Time { return now }
	warm := function.NewSecret(cfg, "s", clock)
	check := func(when string, want ...string) {
		t.Helper()
		for name, s := range map[string]*function.Secret{"warm": warm, "cold": function.NewSecret(cfg, "s", clock)} {
			if v.away && name == "cold" {
				continue
			}
			got, err := s.Refresh(t.Context())
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, %s: %v %v, want %v", when, name, got, err, want)
			}
			if got, err := s.Values(t.Context()); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, %s, from the cache: %v %v, want %v", when, name, got, err, want)
			}
		}
	}
	check("before", "leaked")
	now = began.Add(time.Minute)
	v.versions = append(v.versions, version{"second", now})
	check("just rotated", "second", "leaked")
	now = began.Add(10 * time.Minute)
	check("nine minutes later", "second", "leaked")
	v.away = true
	now = began.Add(11 * time.Minute)
	check("ten minutes later, Secrets Manager away", "second")
	v.away = false
	check("ten minutes later", "second")
	now = began.Add(time.Hour)
	v.versions = append(v.versions, version{"third", now})
	check("rotated again", "third", "second")
	now = now.Add(10 * time.Minute)
	check("and ten minutes", "third")
}
