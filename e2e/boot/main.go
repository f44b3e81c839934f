// Command boot measures the functions' bootstraps as Lambda runs them: from the
// start of the process to its first request for work, and to its first answer;
// memory; and the CPU that ingress takes for a signed click. It prints a table
// and writes it, with a plot, where it is told to.
//
//	go run ./e2e/boot [-runs 30] [-out docs/bench]
package main

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // SQS's choice
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

func main() {
	runs := flag.Int("runs", 30, "starts of each function")
	out := flag.String("out", "", "where to write the table (.md) and the plot (.svg)")
	flag.Parse()
	if err := bench(*runs, *out); err != nil {
		log.Fatal(err)
	}
}

// share is how much of a CPU a function of 256 MB has. Lambda gives one CPU at 1,769 MB.
// https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
const share = 0.145

type result struct {
	zone          string
	size          int64
	ready, first  time.Duration // at full CPU
	slow, slowest time.Duration // the same with a share of a CPU; 0 where it can't be had
	rss           int64
	cpu           time.Duration // per warm request; ingress alone
}

func bench(runs int, out string) error {
	dir, err := os.MkdirTemp("", "boot")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	var results []result
	for _, zone := range []string{"ingress", "bot", "executor"} {
		r, err := measure(dir, zone, runs)
		if err != nil {
			return fmt.Errorf("%s: %w", zone, err)
		}
		results = append(results, r)
	}
	table := markdown(results, runs)
	fmt.Print(table)
	if out == "" {
		return nil
	}
	if err := os.WriteFile(out+".md", []byte(table), 0o644); err != nil { //nolint:gosec // a document
		return err
	}
	return os.WriteFile(out+".svg", []byte(plot(results)), 0o644) //nolint:gosec // a document
}

func measure(dir, zone string, runs int) (result, error) {
	r := result{zone: zone}
	path := filepath.Join(dir, zone)
	tags := "lambda.norpc,noschema,nethttpomithttp2"
	if zone == "bot" {
		tags += ",noaccounts"
	}
	for arch, dest := range map[string]string{"arm64": path + ".arm64", "": path} {
		cmd := exec.Command("go", "build", "-tags", tags, "-trimpath", "-ldflags", "-s -w -buildid=", "-o", dest, "./cmd/"+zone) //nolint:gosec,noctx // our own
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if arch != "" {
			cmd.Env = append(cmd.Env, "GOARCH="+arch)
		}
		if b, err := cmd.CombinedOutput(); err != nil {
			return r, fmt.Errorf("%w: %s", err, b)
		}
	}
	if err := os.WriteFile(path+".webhooks.json", []byte(`{"eventbridge":{"events":true}}`), 0o600); err != nil {
		return r, err
	}
	info, err := os.Stat(path + ".arm64")
	if err != nil {
		return r, err
	}
	r.size = info.Size()
	if r.ready, r.first, r.rss, err = starts(path, zone, runs, ""); err != nil {
		return r, err
	}
	if group, done := throttled(); group != "" {
		defer done()
		if r.slow, r.slowest, _, err = starts(path, zone, runs, group); err != nil {
			return r, err
		}
	}
	if zone == "ingress" {
		r.cpu, err = warm(path)
	}
	return r, err
}

// throttled makes a control group with a share of a CPU, in short periods so
// that a start can't slip through within one.
func throttled() (group string, done func()) {
	group = fmt.Sprintf("/sys/fs/cgroup/cpu/boot-%d", os.Getpid()) // cgroup v1
	if err := os.Mkdir(group, 0o755); err == nil {                 //nolint:gosec // a control group
		period := 10_000
		quota := share * float64(period)
		_ = os.WriteFile(group+"/cpu.cfs_period_us", []byte(strconv.Itoa(period)), 0o600)
		if err := os.WriteFile(group+"/cpu.cfs_quota_us", []byte(strconv.Itoa(int(quota))), 0o600); err == nil {
			return group, func() { _ = os.Remove(group) }
		}
		_ = os.Remove(group)
	}
	return "", nil
}

// api is a Runtime API and, on the same address, the AWS that ingress needs.
type api struct {
	addr    string
	server  *http.Server
	next    chan []byte
	asked   chan time.Time
	answers chan time.Time
}

const secret = "the benchmark's own"

func newAPI() (*api, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // loopback
	if err != nil {
		return nil, err
	}
	a := &api{addr: l.Addr().String(), next: make(chan []byte), asked: make(chan time.Time, 1), answers: make(chan time.Time, 1)}
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: time.Second}
	go func() { _ = a.server.Serve(l) }()
	return a, nil
}

func (a *api) close() { _ = a.server.Close() }

// ServeHTTP implements http.Handler.
func (a *api) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	switch {
	case strings.HasSuffix(r.URL.Path, "/next"):
		select {
		case a.asked <- time.Now():
		default:
		}
		select {
		case <-r.Context().Done():
		case body := <-a.next:
			w.Header().Set("Lambda-Runtime-Aws-Request-Id", "1")
			w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(time.Minute).UnixMilli(), 10))
			_, _ = w.Write(body)
		}
	case strings.Contains(r.URL.Path, "/invocation/"):
		_, _ = io.Copy(io.Discard, r.Body)
		a.answers <- time.Now()
		w.WriteHeader(http.StatusAccepted)
	case target == "secretsmanager.GetSecretValue":
		w.Header().Set("Content-Type", "application/x-amz-json-1.1")
		body, _ := io.ReadAll(r.Body)
		if strings.Contains(string(body), "AWSPREVIOUS") {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type":"ResourceNotFoundException","Message":"none"}`)
			return
		}
		_, _ = io.WriteString(w, `{"Name":"s","SecretString":"`+secret+`"}`)
	case target == "AmazonSQS.SendMessage":
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		var in struct{ MessageBody string }
		_ = json.NewDecoder(r.Body).Decode(&in)
		_, _ = fmt.Fprintf(w, `{"MessageId":"1","MD5OfMessageBody":%q}`, md5sum(in.MessageBody))
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func (a *api) start(path, group string) (*exec.Cmd, time.Time, error) {
	cmd := exec.Command(path) //nolint:noctx // our own
	if group != "" {          // the shell joins the group and becomes the program
		cmd = exec.Command("sh", "-c", `echo $$ > "$1"/cgroup.procs && exec "$2"`, "sh", group, path) //nolint:gosec,noctx // our own
	}
	cmd.Env = []string{
		"AWS_LAMBDA_RUNTIME_API=" + a.addr, "AWS_ENDPOINT_URL=http://" + a.addr, "AWS_REGION=eu-west-1", "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x",
		"AWS_LAMBDA_LOG_FORMAT=JSON", "CONFIG_FILE=docs/killswitch.example.yaml", "WEBHOOKS_FILE=" + path + ".webhooks.json", "SLACK_QUEUE_URL=http://" + a.addr + "/1/slack", "SIGNING_SECRET_ID=s",
		"SLACK_QUEUE_ARN=arn:aws:sqs:eu-west-1:1:slack", "CHANGES_QUEUE_ARN=arn:aws:sqs:eu-west-1:1:changes",
	}
	at := time.Now()
	return cmd, at, cmd.Start()
}

var errSlow = errors.New("it did not come up")

func wait(c chan time.Time) (time.Time, error) {
	select {
	case t := <-c:
		return t, nil
	case <-time.After(20 * time.Second):
		return time.Time{}, errSlow
	}
}

// starts are the medians of many starts.
func starts(path, zone string, runs int, group string) (ready, first time.Duration, rss int64, err error) {
	event := map[string]string{
		"ingress":  `{"version":"2.0","rawPath":"/healthz","headers":{},"requestContext":{"http":{"method":"GET"}}}`,
		"bot":      `{"Records":[{"messageId":"1","body":"{}","eventSourceARN":"arn:aws:sqs:eu-west-1:1:slack"}]}`,
		"executor": `{"Records":[]}`,
	}[zone]
	var readies, firsts []time.Duration
	for range runs {
		a, err := newAPI() // of its own: an earlier process may still be waiting for work
		if err != nil {
			return 0, 0, 0, err
		}
		cmd, at, err := a.start(path, group)
		if err != nil {
			return 0, 0, 0, err
		}
		asked, err := wait(a.asked)
		if err != nil {
			return 0, 0, 0, err
		}
		a.next <- []byte(event)
		answered, err := wait(a.answers)
		if err != nil {
			return 0, 0, 0, err
		}
		rss = max(rss, status(cmd.Process.Pid, "VmRSS:"))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		a.close()
		readies, firsts = append(readies, asked.Sub(at)), append(firsts, answered.Sub(at))
	}
	return median(readies), median(firsts), rss, nil
}

// warm is the CPU that one signed click takes.
func warm(path string) (time.Duration, error) {
	a, err := newAPI()
	if err != nil {
		return 0, err
	}
	defer a.close()
	cmd, _, err := a.start(path, "")
	if err != nil {
		return 0, err
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	payload, err := json.Marshal(map[string]any{"type": "block_actions", "message": map[string]string{"text": strings.Repeat("card ", 1600)}})
	if err != nil {
		return 0, err
	}
	body := url.Values{"payload": {string(payload)}}.Encode()
	const n = 3000
	var before time.Duration
	for i := range n + 100 {
		if i == 100 {
			before = cpu(cmd.Process.Pid)
		}
		ts := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte("v0:" + ts + ":" + body))
		event, err := json.Marshal(map[string]any{"version": "2.0", "rawPath": "/slack/interactions", "body": body, "requestContext": map[string]any{"http": map[string]string{"method": "POST"}},
			"headers": map[string]string{"x-slack-request-timestamp": ts, "x-slack-signature": "v0=" + hex.EncodeToString(mac.Sum(nil))}})
		if err != nil {
			return 0, err
		}
		a.next <- event
		if _, err := wait(a.answers); err != nil {
			return 0, err
		}
	}
	return (cpu(cmd.Process.Pid) - before) / n, nil
}

// cpu is the time that a process has had, user and system.
func cpu(pid int) time.Duration {
	total := time.Duration(0)
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0
	}
	for _, t := range tasks {
		b, err := os.ReadFile(t) //nolint:gosec // of our own process
		if err != nil {
			continue
		}
		if f := strings.Fields(string(b)); len(f) > 0 {
			ns, _ := strconv.ParseInt(f[0], 10, 64)
			total += time.Duration(ns)
		}
	}
	return total
}

// status reads a size from /proc, in bytes.
func status(pid int, field string) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), field)
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	kib, _ := strconv.ParseInt(f[0], 10, 64)
	return kib << 10
}

func median(ds []time.Duration) time.Duration {
	slices.Sort(ds)
	return ds[len(ds)/2]
}

func ms(d time.Duration) string {
	if d == 0 {
		return "–"
	}
	return fmt.Sprintf("%.1f ms", float64(d.Microseconds())/1000)
}

func markdown(rs []result, runs int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "Medians of %d starts; `make bench` makes them anew.\n\n", runs)
	fmt.Fprintf(&b, "| function | arm64 program | start → ready | start → first response | ready at %.3f CPU | first response at %.3f CPU | memory | CPU per warm request |\n|---|---|---|---|---|---|---|---|\n", share, share)
	for _, r := range rs {
		fmt.Fprintf(&b, "| %s | %.1f MiB | %s | %s | %s | %s | %.0f MiB | %s |\n", r.zone, float64(r.size)/(1<<20), ms(r.ready), ms(r.first), ms(r.slow), ms(r.slowest), float64(r.rss)/(1<<20), ms(r.cpu))
	}
	return b.String()
}

// plot draws the times as bars.
func plot(rs []result) string {
	var most time.Duration
	for _, r := range rs {
		most = max(most, r.first, r.slowest)
	}
	var b strings.Builder
	const width, row, left = 720, 22, 250
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="12" role="img" aria-label="Start of the functions"><rect width="100%%" height="100%%" fill="white"/>`, width, len(rs)*4*row+20)
	y := 10
	for _, r := range rs {
		for _, bar := range []struct {
			label, color string
			d            time.Duration
		}{{"ready", "#2b6cb0", r.ready}, {"first response", "#63a4de", r.first}, {fmt.Sprintf("ready at %.3f CPU", share), "#9b2c2c", r.slow}, {fmt.Sprintf("first response at %.3f CPU", share), "#e08a8a", r.slowest}} {
			w := float64(bar.d) / float64(max(most, 1)) * (width - left - 80)
			fmt.Fprintf(&b, `<text x="%d" y="%d" text-anchor="end">%s: %s</text><rect x="%d" y="%d" width="%.1f" height="14" fill="%s"/><text x="%.1f" y="%d">%s</text>`,
				left-8, y+12, r.zone, bar.label, left, y, w, bar.color, float64(left)+w+6, y+12, ms(bar.d))
			y += row
		}
	}
	b.WriteString("</svg>\n")
	return b.String()
}

// md5sum is what SQS answers with, and the SDK checks.
func md5sum(s string) string {
	sum := md5.Sum([]byte(s)) //nolint:gosec // SQS's choice
	return hex.EncodeToString(sum[:])
}
