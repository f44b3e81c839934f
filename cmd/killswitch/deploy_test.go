package main

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/killswitch-chatops/killswitch/bot/ingress"
)

func deployed(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestProxiesPassAllPaths: the samples pass on what serve answers, and nothing else.
func TestProxiesPassAllPaths(t *testing.T) {
	want := append(ingress.Paths(), cliPath)
	slices.Sort(want)
	caddy := strings.Fields(regexp.MustCompile(`@killswitch path (.*)`).FindStringSubmatch(deployed(t, "deploy/serve/Caddyfile"))[1])
	var nginx []string
	for _, m := range regexp.MustCompile(`location (= )?(\S+)\s*\{ proxy_pass http://killswitch; \}`).FindAllStringSubmatch(deployed(t, "deploy/serve/nginx.conf"), -1) {
		path := m[2]
		if m[1] == "" {
			path += "*"
		}
		nginx = append(nginx, path)
	}
	for name, got := range map[string][]string{"Caddyfile": caddy, "nginx.conf": nginx} {
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s passes (-want +got):\n%s", name, diff)
		}
	}
}

// TestDeployedCommandLines: what the unit and the image start is taken by serve, and their directories are those they have.
func TestDeployedCommandLines(t *testing.T) {
	unit, image := deployed(t, "deploy/serve/killswitch.service"), deployed(t, "deploy/serve/Dockerfile")
	entry := regexp.MustCompile(`ENTRYPOINT \[(.*)\]`).FindStringSubmatch(image)[1]
	lines := map[string]string{
		"unit":  regexp.MustCompile(`ExecStart=(.*)`).FindStringSubmatch(unit)[1],
		"image": strings.NewReplacer(`"`, "", ",", "").Replace(entry),
	}
	for name, line := range lines {
		args := strings.Fields(line)[1:]
		code, _, said := call(t, map[string]string{"SLACK_SIGNING_SECRET": "s", "SLACK_BOT_TOKEN": "t"}, args...)
		if code != exitNo || !strings.Contains(said, "/etc/killswitch/killswitch.yaml") { // which is not here
			t.Errorf("%s: exit %d, %s", name, code, said)
		}
		if !strings.Contains(line, "--data /var/lib/killswitch") {
			t.Errorf("%s keeps its data elsewhere: %s", name, line)
		}
	}
	if !strings.Contains(unit, "StateDirectory=killswitch\n") || !strings.Contains(unit, "Type=notify\n") || !strings.Contains(image, "VOLUME /var/lib/killswitch\n") {
		t.Error("the data directory is not kept, or systemd is not told")
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindStringSubmatch(deployed(t, "go.mod"))[1]
	if !strings.Contains(image, "FROM golang:"+version+".") {
		t.Errorf("the image is not built with Go %s", version)
	}
}

// TestSystemdIsTold that serve listens, and that it ends.
func TestSystemdIsTold(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = systemd.Close() }()
	told := func() string {
		b := make([]byte, 100)
		n, err := systemd.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	p := startServe(t, t.TempDir(), "NOTIFY_SOCKET="+socket)
	if got := told(); got != "READY=1" {
		t.Errorf("told %q", got)
	}
	go p.end()
	if got := told(); got != "STOPPING=1" {
		t.Errorf("told %q", got)
	}
}
