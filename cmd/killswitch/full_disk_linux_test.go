package main

import (
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"unsafe"
)

// fileSizeLimit says how large the files of a process may become.
func fileSizeLimit(t *testing.T, pid int, bytes uint64) {
	t.Helper()
	limit := syscall.Rlimit{Cur: bytes, Max: ^uint64(0)}
	if _, _, no := syscall.RawSyscall6(syscall.SYS_PRLIMIT64, uintptr(pid), syscall.RLIMIT_FSIZE, uintptr(unsafe.Pointer(&limit)), 0, 0, 0); no != 0 {
		t.Skip("prlimit: ", no)
	}
}

func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestServeOnAFullDisk: health says it, who types is answered, the log says what to do; all as before once there is room.
func TestServeOnAFullDisk(t *testing.T) {
	p := startServe(t, t.TempDir())
	command := func() (int, string) {
		resp, err := http.DefaultClient.Do(signedCommand(t, p.address, strings.Repeat("x", 30_000)))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(b)
	}
	if status, body := command(); status != http.StatusOK || body != "" {
		t.Errorf("at first a command is answered %d %s", status, body)
	}
	fileSizeLimit(t, p.cmd.Process.Pid, 1) // no page can be written
	if status, body := get(t, "http://"+p.address+"/healthz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "nothing can be stored") {
		t.Errorf("health: %d %s", status, body)
	}
	if status, body := command(); status != http.StatusOK || !strings.Contains(body, "nothing was started") {
		t.Errorf("a command is answered %d %s", status, body)
	}
	said := strings.Join(p.until(`"msg":"not queued"`), "\n")
	if !strings.Contains(said, "free space there") {
		t.Errorf("the log says %s", said)
	}
	fileSizeLimit(t, p.cmd.Process.Pid, ^uint64(0))
	if status, body := command(); status != http.StatusOK || body != "" {
		t.Errorf("with room again a command is answered %d %s", status, body)
	}
	if code := p.end(); code != exitDone {
		t.Errorf("exit %d", code)
	}
}
