package main

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// signedCommand is a command as Slack sends it.
func signedCommand(t *testing.T, address, text string) *http.Request {
	t.Helper()
	body, at := "command=%2Fkillswitch&team_id=T1&user_id=U1&text="+text, strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(testSigningSecret))
	_, _ = io.WriteString(mac, "v0:"+at+":"+body)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/slack/commands", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Slack-Request-Timestamp", at)
	r.Header.Set("X-Slack-Signature", "v0="+hex.EncodeToString(mac.Sum(nil)))
	return r
}

// residentMiB is the memory of a process that is in RAM.
func residentMiB(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip("no /proc: ", err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status)
	if m == nil {
		t.Fatalf("no VmRSS in %s", status)
	}
	kib, err := strconv.Atoi(string(m[1]))
	if err != nil {
		t.Fatal(err)
	}
	return kib >> 10
}

// TestFlood: 5,000 connections that nobody has authenticated, whatever they send, cost little memory, and
// meanwhile what Slack signed is answered.
func TestFlood(t *testing.T) {
	if testing.Short() {
		t.Skip("under the race detector memory is another thing")
	}
	const connections, most = 5000, 200
	large := bytes.Repeat([]byte("x"), 256<<10)
	now := time.Now().Unix()
	forged := fmt.Sprintf("X-Slack-Request-Timestamp: %d\r\nX-Slack-Signature: v0=%064d\r\n", now, 0)
	head := func(line, headers string, length int) []byte {
		return fmt.Appendf(nil, "%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n", line, headers, length)
	}
	for name, sends := range map[string][][]byte{
		"small": {
			append(head("POST /slack/commands", forged, 32<<10), large[:32<<10-1]...),
			append(head("POST /cli", "", 32<<10), large[:32<<10-1]...),
		},
		"all kinds": {
			nil,
			fmt.Appendf(nil, "POST /slack HTTP/1.1\r\nHost: x\r\nX: %s", large[:15<<10]),
			append(head("GET /nothing", "", len(large)+1), large...),
			append(head("POST /slack/commands", "", len(large)), large[1:]...),
			append(head("POST /slack/commands", forged, len(large)), large[1:]...),
			append(head("POST /slack/commands", forged, len(large)), large...),
			append(head("POST /events", "", len(large)), large[1:]...),
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := startServe(t, t.TempDir())
			opened := 0
			for i := range connections {
				conn, err := net.Dial("tcp", p.address)
				if err != nil {
					continue
				}
				opened++
				t.Cleanup(func() { _ = conn.Close() })
				go func() { _, _ = conn.Write(sends[i%len(sends)]) }()
			}
			if opened < connections*9/10 {
				t.Fatalf("%d connections", opened)
			}
			client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
			resp, err := client.Do(signedCommand(t, p.address, "list"))
			if err != nil {
				t.Fatal(err)
			}
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				t.Errorf("what Slack signed is answered %d", resp.StatusCode)
			}
			if got := residentMiB(t, p.cmd.Process.Pid); got > most {
				t.Errorf("%d MiB, want %d at most", got, most)
			}
		})
	}
}

// TestOneTooManyEndsOne: not another one for each that has yet to learn that it is ended.
func TestOneTooManyEndsOne(t *testing.T) {
	c := &connections{most: 3}
	c.bound(&http.Server{})
	var all []net.Conn
	come := func() net.Conn {
		conn, far := net.Pipe()
		t.Cleanup(func() { _, _ = conn.Close(), far.Close() })
		c.changed(conn, http.StateNew)
		all = append(all, conn)
		return conn
	}
	waiting := func() (n int) {
		for _, conn := range all {
			if _, waits := c.at[conn]; waits {
				n++
			}
		}
		return n
	}
	for range 3 {
		come()
	}
	last := come()
	for range 3 { // whatever is told meanwhile
		c.changed(last, http.StateActive)
	}
	if c.open != 3 || waiting() != 3 || c.at[all[0]] != nil {
		t.Errorf("%d are open, %d wait", c.open, waiting())
	}
	c.changed(all[0], http.StateActive) // its goroutine is late
	c.changed(all[0], http.StateClosed)
	if c.open != 3 || waiting() != 3 || len(c.ended) != 0 {
		t.Errorf("then %d are open, %d wait, %d are ended", c.open, waiting(), len(c.ended))
	}
	come()
	if c.open != 3 || waiting() != 3 || c.at[all[1]] != nil {
		t.Errorf("one more: %d are open, %d wait", c.open, waiting())
	}
}

// TestWhoWaitsLongestIsEnded: one connection too many ends that which has sent nothing for the longest time,
// never one whose request is here in full.
func TestWhoWaitsLongestIsEnded(t *testing.T) {
	here, answer := make(chan struct{}), make(chan struct{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			return // the half
		}
		here <- struct{}{}
		<-answer
	}))
	(&connections{most: 3}).bound(server.Config)
	active, changed := make(chan struct{}, 10), server.Config.ConnState
	server.Config.ConnState = func(conn net.Conn, state http.ConnState) {
		changed(conn, state)
		if state == http.StateActive {
			active <- struct{}{}
		}
	}
	server.Start()
	defer server.Close()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	said := func(conn net.Conn) string {
		b, _ := io.ReadAll(conn)
		line, _, _ := strings.Cut(string(b), "\r\n")
		return line
	}
	const post = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"
	asks := dial()
	_, _ = io.WriteString(asks, post)
	<-here
	<-active
	silent := dial()
	half := dial()
	_, _ = io.WriteString(half, post[:len(post)-1])
	<-active
	_ = dial()
	if got := said(silent); got != "" {
		t.Errorf("the silent connection is told %q", got)
	}
	later := dial()
	_, _ = io.WriteString(later, post)
	<-here
	close(answer)
	for name, c := range map[string]struct {
		conn net.Conn
		says string
	}{"which asked first": {asks, "HTTP/1.1 200 OK"}, "which came last": {later, "HTTP/1.1 200 OK"}, "which sent a half": {half, ""}} {
		if got := said(c.conn); got != c.says {
			t.Errorf("%s is told %q, want %q", name, got, c.says)
		}
	}
}
