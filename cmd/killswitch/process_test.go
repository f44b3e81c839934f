package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// asProgram is set in the environment of this test binary where it is to be the program.
const asProgram = "KILLSWITCH_TEST_AS_PROGRAM"

// TestMain lets tests start the program as a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		signal.Ignore(syscall.SIGXFSZ) // of a test that limits the sizes of files
		ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
		code := run(ctx, program{args: os.Args[1:], env: os.Getenv, in: os.Stdin, out: os.Stdout, errout: os.Stderr})
		stop()
		os.Exit(code)
	}
	os.Exit(m.Run())
}

const testSigningSecret = "the signing secret of a test"

// process is a running killswitch serve.
type process struct {
	once    sync.Once // it is ended
	cmd     *exec.Cmd
	address string
	log     chan string // its lines; closed when it has ended
	said    []string    // when it did not come to listen
}

// startServe starts killswitch serve on a data directory, with Slack and AWS out of reach, and waits until it
// listens, or has ended.
func startServe(t *testing.T, data string, env ...string) *process {
	t.Helper()
	return startServeWith(t, data, nil, env...)
}

// startServeWith is startServe with further arguments.
func startServeWith(t *testing.T, data string, args []string, env ...string) *process {
	t.Helper()
	example := filepath.Join("..", "..", "docs", "killswitch.example.yaml")
	p := &process{cmd: exec.CommandContext(t.Context(), os.Args[0], append([]string{"serve", "--config", example, "--data", data, "--listen", "127.0.0.1:0"}, args...)...), log: make(chan string, 1000)}
	p.cmd.Env = append([]string{asProgram + "=1", "HOME=" + t.TempDir(), "SLACK_SIGNING_SECRET=" + testSigningSecret, "SLACK_BOT_TOKEN=xoxb-test",
		"SLACK_API_URL=http://127.0.0.1:9/", "AWS_ENDPOINT_URL=http://127.0.0.1:9/", "AWS_ACCESS_KEY_ID=test", "AWS_SECRET_ACCESS_KEY=test", "AWS_MAX_ATTEMPTS=1"}, env...)
	out, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.end() })
	go func() {
		defer close(p.log)
		for lines := bufio.NewScanner(io.Reader(out)); lines.Scan(); {
			select {
			case p.log <- lines.Text():
			default: // nobody reads them
			}
		}
	}()
	p.said = p.until(`"msg":"serving"`)
	return p
}

// until reads the log up to a line that has a text, and returns all that was read.
func (p *process) until(text string) (read []string) {
	for line := range p.log {
		read = append(read, line)
		var said struct{ Address string }
		if strings.Contains(line, `"msg":"serving"`) && json.Unmarshal([]byte(line), &said) == nil {
			p.address = said.Address
		}
		if strings.Contains(line, text) {
			break
		}
	}
	return read
}

// end stops the process and returns its exit code.
func (p *process) end() int {
	p.once.Do(func() {
		_ = p.cmd.Process.Signal(syscall.SIGTERM)
		_ = p.cmd.Wait()
	})
	return p.cmd.ProcessState.ExitCode()
}
