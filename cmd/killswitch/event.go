package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/killswitch-chatops/killswitch/approvals/finding"
	"github.com/killswitch-chatops/killswitch/bot/ingress"
	"github.com/killswitch-chatops/killswitch/cmd/config"
)

// answerWithin is how long an answer to a drill may take: ingress gives up earlier.
const answerWithin = 10 * time.Second

// drill is what `event` reports.
type drill struct {
	Name   string   `json:"drill"`
	URL    string   `json:"url"`
	Events int      `json:"events"`
	Fates  []string `json:"alerts,omitempty"` // what becomes of them, as far as a configuration tells
}

// event sends events through the way that real ones take, marked as a drill.
func event(ctx context.Context, p program, args []string) error {
	f := flag.NewFlagSet("event", flag.ContinueOnError)
	to := f.String("url", "http://127.0.0.1:8080", "the `URL` of a running Killswitch")
	file := f.String("config", "", "a configuration `FILE`: tells what it makes of the events")
	output := f.String("output", "text", "text or json")
	rest, err := parse(f, p, args)
	if err != nil {
		return err
	}
	at, err := url.Parse(*to)
	switch {
	case len(rest) != 1:
		return fmt.Errorf("%w: name one file with an event, or - for the standard input", errUsage)
	case *output != "text" && *output != "json":
		return fmt.Errorf("%w: --output is text or json", errUsage)
	case err != nil || at.Scheme != "http" && at.Scheme != "https" || at.Host == "" || at.User != nil:
		return fmt.Errorf("%w: --url is not like https://killswitch.example", errUsage)
	}
	key := secret(p.env("KILLSWITCH_API_KEY"))
	if key == "" {
		return errors.New("KILLSWITCH_API_KEY must be set in the environment: the key of a webhook with events: true")
	}
	body, err := readEvents(p, rest[0])
	if err != nil {
		return err
	}
	events, err := split(body)
	if err != nil {
		return fmt.Errorf("%s: %w", rest[0], err)
	}
	if !strings.HasSuffix(at.Path, "/events") {
		at = at.JoinPath("events")
	}
	d := drill{Name: "drill-" + strings.ToLower(rand.Text()[:13]), URL: at.String(), Events: len(events)}
	if *file != "" {
		c, err := config.Load(*file)
		if err != nil {
			return err
		}
		d.Fates = fates(c.Reader(), events, d.Name)
	}
	if err := send(ctx, d, body, key); err != nil {
		return err
	}
	if *output == "json" {
		e := json.NewEncoder(p.out)
		e.SetIndent("", "  ")
		return e.Encode(d)
	}
	_, _ = fmt.Fprintf(p.out, "%d accepted, as %s\n", d.Events, d.Name)
	for _, fate := range d.Fates {
		_, _ = fmt.Fprintf(p.out, "  %s\n", fate)
	}
	return nil
}

// readEvents reads a file of at most what ingress takes.
func readEvents(p program, name string) ([]byte, error) {
	in := p.in
	if name != "-" {
		f, err := os.Open(name) //nolint:gosec // G304: the caller names their own file
		if err != nil {
			return nil, err
		}
		defer func() { _ = f.Close() }()
		in = f
	}
	body, err := io.ReadAll(io.LimitReader(in, ingress.MaxBody+1))
	if err == nil && len(body) > ingress.MaxBody {
		err = errTooLarge
	}
	return body, err
}

var errTooLarge = errors.New("the events are over 256 KiB: send fewer at once")

// split takes an array apart.
func split(body []byte) ([]json.RawMessage, error) {
	if wrong := ingress.NotEvents(body); wrong != "" {
		return nil, errors.New(wrong)
	}
	var events []json.RawMessage
	if json.Unmarshal(body, &events) == nil {
		return events, nil
	}
	return []json.RawMessage{body}, nil
}

// fates says in a line for each alert what a configuration makes of it.
func fates(r finding.Reader, events []json.RawMessage, name string) []string {
	var lines []string
	for i, e := range events {
		alerts, err := r.Read(finding.Event{Body: e, Drill: name})
		if err != nil {
			lines = append(lines, fmt.Sprintf("event %d: %s", i+1, printable(err.Error())))
		}
		for _, a := range alerts {
			fate := "no route takes it: nothing is posted"
			switch {
			case a.Route != nil && a.Over:
				fate = "is over: it changes the alert that there is, and makes no new one"
			case a.Route != nil:
				fate = "is posted"
				if a.Route.Channel != "" {
					fate += " in " + a.Route.Channel
				}
				for j, o := range a.Offers() {
					fate += map[bool]string{true: " with ", false: ", "}[j == 0] + o.Intent.String()
				}
			}
			lines = append(lines, printable(fmt.Sprintf("event %d: %s %s (%s) %s", i+1, a.Source, a.Type, finding.Level(a.Severity), fate)))
		}
	}
	return lines
}

// send posts the events and puts the answer into words.
func send(ctx context.Context, d drill, body []byte, key secret) error {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.URL, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(ingress.KeyHeader, string(key))
	req.Header.Set(ingress.DrillHeader, d.Name)
	// The key is not for where a redirect points.
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens at %s: is killswitch serve running there? --url names another place", d.URL)
	case err != nil:
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	said, _ := io.ReadAll(io.LimitReader(resp.Body, 200))
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusUnauthorized:
		return errors.New("401: the key in KILLSWITCH_API_KEY is not let in. It must be the secret of a webhook that the configuration lists with events: true; serve has the secrets in KILLSWITCH_WEBHOOK_KEYS (id=secret,id=secret), Lambda in the secret WebhookKeys")
	case http.StatusRequestEntityTooLarge:
		return fmt.Errorf("413: %w", errTooLarge)
	case http.StatusNotFound:
		return fmt.Errorf("404: at %s is no Killswitch that takes events", d.URL)
	}
	return fmt.Errorf("%s: %s", resp.Status, printable(string(said)))
}

// printable keeps what others wrote from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
