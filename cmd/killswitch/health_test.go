package main

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
)

// TestServeForgesAClick at its own address, and refuses it.
func TestServeForgesAClick(t *testing.T) {
	t.Parallel()
	p := startServe(t, filepath.Join(t.TempDir(), "data"))
	if said := p.until("the forged click of the daily check is refused"); len(said) == 0 || !strings.Contains(said[len(said)-1], "is refused") {
		t.Errorf("said %q, %q", p.said, said)
	}
}

// TestServeForgesAClickWhereSlackSendsThem, where that is said.
func TestServeForgesAClickWhereSlackSendsThem(t *testing.T) {
	t.Parallel()
	clicks := make(chan string, 10)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		clicks <- r.Method + " " + r.URL.Path + " " + string(body)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer front.Close()
	_ = startServeWith(t, filepath.Join(t.TempDir(), "data"), []string{"--url", front.URL + "/"})
	for _, want := range []string{"GET /healthz ", "POST /slack/interactions payload="} {
		if got := <-clicks; !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// TestOwnURL: what listens everywhere is asked here.
func TestOwnURL(t *testing.T) {
	for address, want := range map[string]string{"127.0.0.1:8080": "http://127.0.0.1:8080", "[::]:80": "http://127.0.0.1:80", "0.0.0.0:1": "http://127.0.0.1:1", "[fd00::1]:80": "http://[fd00::1]:80"} {
		at, err := net.ResolveTCPAddr("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		if got := ownURL(at); got != want {
			t.Errorf("%s: %s, want %s", address, got, want)
		}
	}
}
