package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"
)

// TestDemoPage: the page is where the demo says, within two seconds, until it is
// told to end.
func TestDemoPage(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, said := io.Pipe()
	code := make(chan int)
	began := time.Now()
	go func() {
		code <- run(ctx, program{args: []string{"demo", "--listen", "127.0.0.1:0"}, out: said, errout: io.Discard})
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := regexp.MustCompile(`http://127\.0\.0\.1:[0-9]+`).FindString(line)
	for _, path := range []string{"/", "/api/state", "/api/stream"} {
		resp, err := http.Get(url + path)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("%s: %v %v", url+path, resp, err)
		}
		defer func() { _ = resp.Body.Close() }() // one of them is still open when the demo ends
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s", took)
	}
	cancel()
	if got := <-code; got != 0 {
		t.Errorf("exit %d", got)
	}
}

func TestAddress(t *testing.T) {
	for on, want := range map[string]string{"0.0.0.0:80": "localhost:80", "[::]:80": "localhost:80", "127.0.0.1:80": "127.0.0.1:80", "[::1]:80": "[::1]:80"} {
		if got := address(on); got != want {
			t.Errorf("address(%q) = %q, want %q", on, got, want)
		}
	}
}
