package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/killswitch-chatops/killswitch/approvals/bolt"
)

// TestServeOnADamagedFile: it ends with 1 and says which file, and what to do; from its backup it starts again.
func TestServeOnADamagedFile(t *testing.T) {
	data := t.TempDir()
	file, backup := filepath.Join(data, databaseFile), filepath.Join(data, backupFile)
	p := startServe(t, data)
	if code := p.end(); code != exitDone {
		t.Fatalf("exit %d", code)
	}
	if err := os.Truncate(file, 3*4096); err != nil {
		t.Fatal(err)
	}
	fails := func(what string, says ...string) {
		t.Helper()
		p := startServe(t, data)
		code := p.end()
		said := strings.Join(p.said, "\n")
		for _, s := range says {
			if code != exitNo || strings.Contains(said, "goroutine") || !strings.Contains(said, s) {
				t.Errorf("%s: exit %d, says %s", what, code, said)
			}
		}
	}
	fails("cut", file+" is damaged", "cp "+backup+" "+file+".new && mv "+file+".new "+file)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	fails("gone", "there is nothing in "+file, "cp "+backup)
	b, err := os.ReadFile(backup)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil { // a copy for which there was no room
		t.Fatal(err)
	}
	fails("empty", "there is nothing in "+file, "cp "+backup)
	if kept, err := os.ReadFile(backup); err != nil || !bytes.Equal(kept, b) {
		t.Fatalf("the backup is another one now: %v", err)
	}
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if p = startServe(t, data); p.address == "" {
		t.Fatalf("from its backup it does not start: %v", p.said)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.cmd.Wait() }()
	for over := false; !over; { // while it runs, and again: what it writes meanwhile may be all that it reads
		if err := os.Truncate(file, 2*4096); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-ended:
			if over = true; err == nil || p.cmd.ProcessState.ExitCode() != exitNo {
				t.Errorf("damaged while it runs: %v", err)
			}
		case <-time.After(100 * time.Millisecond):
		}
	}
	if info, err := os.Stat(backup); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, err := bolt.OpenToRead(backup); err != nil {
		t.Errorf("the backup of a damaged file is %v", err)
	}
}
