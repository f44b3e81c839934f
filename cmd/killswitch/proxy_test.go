package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestProxySamples: the samples of deploy/serve pass on what serve answers, and nothing else.
func TestProxySamples(t *testing.T) {
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, in := io.Pipe()
	env := map[string]string{"SLACK_SIGNING_SECRET": "s", "SLACK_BOT_TOKEN": "t", "SLACK_API_URL": "http://127.0.0.1:1/"}
	ended := make(chan int)
	go func() {
		code := run(ctx, program{args: []string{"serve", "--config", filepath.Join("..", "..", "docs", "killswitch.example.yaml"), "--data", t.TempDir(), "--listen", "127.0.0.1:0"},
			env: func(k string) string { return env[k] }, out: io.Discard, errout: in})
		_ = in.Close()
		ended <- code
	}()
	address := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			var line struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				address <- "http://" + line.Address
			}
		}
		close(address)
	}()
	at, ok := <-address
	if !ok {
		t.Fatalf("serve ended: %d", <-ended)
	}
	answers := func(method, path string) int {
		r, err := http.NewRequestWithContext(ctx, method, at+path, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for file, list := range map[string]*regexp.Regexp{"Caddyfile": regexp.MustCompile(`(?m)@killswitch path (.*)$`), "nginx.conf": regexp.MustCompile(`location ~ \^/\((.*)\)\$`)} {
		b, err := os.ReadFile(filepath.Join("..", "..", "deploy", "serve", file))
		if err != nil {
			t.Fatal(err)
		}
		m := list.FindSubmatch(b)
		if m == nil {
			t.Fatalf("%s passes nothing on", file)
		}
		var paths []string
		for _, p := range strings.FieldsFunc(string(m[1]), func(r rune) bool { return r == ' ' || r == '|' }) {
			paths = append(paths, "/"+strings.Replace(strings.TrimPrefix(p, "/"), ".*", "*", 1))
		}
		for _, p := range []string{"/slack", "/slack/*", "/events", "/requests", "/isolate", "/cli", "/healthz"} {
			if !slices.Contains(paths, p) {
				t.Errorf("%s does not pass %s on", file, p)
			}
		}
		for _, p := range paths {
			method := http.MethodPost
			if p == "/healthz" {
				method = http.MethodGet
			}
			if got := answers(method, strings.Replace(p, "*", "commands", 1)); got == http.StatusNotFound {
				t.Errorf("%s passes %s on, which serve does not know", file, p)
			}
		}
	}
	if got := answers(http.MethodPost, "/nothing"); got != http.StatusNotFound {
		t.Errorf("what serve does not know is %d", got)
	}
	stop()
	if code := <-ended; code != 0 {
		t.Errorf("serve ended with %d", code)
	}
}
