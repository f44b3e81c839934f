//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long anything may take to come up or to come true: long,
// for a machine with two busy cores; nothing waits for it when all is well.
const patience = 90 * time.Second

// Setting is a variable that e2e/run sets: LOCAL_SLACK, MOTO_SERVER or
// KILLSWITCH, each the path of a program.
func Setting(t testing.TB, name string) string {
	t.Helper()
	value := os.Getenv(name)
	if value == "" {
		t.Fatalf("%s is not set: run the tests with e2e/run", name)
	}
	return value
}

// FreeAddr is an address on the loopback that nobody listens on.
func FreeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Process is a running program.
type Process struct {
	Name string

	cmd    *exec.Cmd
	output output
	ended  chan struct{} // closed when the program has ended
	err    error         // how; set before ended is closed
}

// Start runs a program until the test ends, with env and a PATH as its whole
// environment. What it printed is shown if the test fails.
func Start(t testing.TB, name, path string, env []string, args ...string) *Process {
	t.Helper()
	p := &Process{Name: name, ended: make(chan struct{})}
	p.cmd = exec.Command(path, args...)
	p.cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.output, &p.output
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("what %s printed:\n%s", name, p.Output())
		}
	})
	return p
}

// Kill ends the program and its children at once, as a crash would.
func (p *Process) Kill() {
	select {
	case <-p.ended: // its process group may be someone else's by now
	default:
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.ended
	}
}

// Output is what the program has printed so far.
func (p *Process) Output() string { return p.output.String() }

// Answers waits until url answers with status 200, and fails the test when
// the program ends before that.
func (p *Process) Answers(t testing.TB, url string) {
	t.Helper()
	p.AnswersWithin(t, url, patience)
}

// AnswersWithin is Answers with a limit of its own.
func (p *Process) AnswersWithin(t testing.TB, url string, within time.Duration) {
	t.Helper()
	EventuallyWithin(t, p.Name+" at "+url, within, func(ctx context.Context) error {
		select {
		case <-p.ended:
			t.Fatalf("%s ended: %v", p.Name, p.err)
		default:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer func() { _ = resp.Body.Close() }()
		if resp.StatusCode != http.StatusOK {
			return errors.New(resp.Status)
		}
		return nil
	})
}

// Eventually tries until try returns nil; what names it in the failure.
func Eventually(t testing.TB, what string, try func(context.Context) error) {
	t.Helper()
	EventuallyWithin(t, what, patience, try)
}

// EventuallyWithin is Eventually with a limit of its own.
func EventuallyWithin(t testing.TB, what string, within time.Duration, try func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	defer cancel()
	for {
		err := try(ctx)
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%s: not in %s: %v", what, within, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// output collects what a program prints and keeps the last part of it.
type output struct {
	mu     sync.Mutex
	buf    bytes.Buffer
	missed int
}

const outputKept = 256 << 10

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf.Write(b)
	if over := o.buf.Len() - outputKept; over > 0 {
		o.buf.Next(over)
		o.missed += over
	}
	return len(b), nil
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.missed > 0 {
		return fmt.Sprintf("[%d bytes before this]\n%s", o.missed, o.buf.String())
	}
	return o.buf.String()
}
