package doctor

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/killswitch-chatops/killswitch/approvals"
)

// address asks ingress as Slack does: what is signed must be taken, what is not must be refused.
func (d *Doctor) address(ctx context.Context, r *report) {
	switch {
	case d.URL == "" && d.Config.SocketMode:
		r.ok("address.slack", "none: Slack's events come by Socket Mode")
		return
	case d.URL == "":
		r.bad("address.slack", "say --url https://HOST, as the app's Request URL has it", "the address at which Slack reaches Killswitch is not known, so it was not tried")
		return
	}
	const mend = "is this the Request URL of the app (Slash Commands, Interactivity), and does the proxy in front pass /slack/* on unchanged (deploy/serve)?"
	status, _, err := d.ask(ctx, http.MethodGet, "/healthz", "", "")
	switch {
	case err != nil:
		r.bad("address.slack", mend, "%s does not answer: %s", d.URL, said(err))
		return
	case status != http.StatusOK:
		r.bad("address.slack", "the log says why; "+mend, "%s/healthz answers %d", d.URL, status)
		return
	}
	const challenge = "killswitch-doctor"
	body := `{"type":"url_verification","challenge":"` + challenge + `"}`
	// The forged click of the daily check: ingress knows it, and rings for no other reason.
	forged := approvals.ForgeCanary(d.Now())
	status, _, err = d.send(ctx, http.MethodPost, "/slack/interactions", forged.Body, map[string]string{
		"X-Slack-Request-Timestamp": forged.Timestamp, "X-Slack-Signature": forged.Signature, "Content-Type": "application/x-www-form-urlencoded"})
	if err != nil || status != http.StatusUnauthorized {
		r.bad("address.forged", "nothing but Killswitch may answer at that address: "+mend, "%s takes what Slack has not signed: it answers %d to a wrong signature, not 401", d.URL, status)
	} else {
		r.ok("address.forged", "what another secret signs is refused")
	}
	if d.SigningSecret == "" {
		r.bad("address.slack", "export SLACK_SIGNING_SECRET, or put it into the stack's secret", "there is no signing secret to ask with")
		return
	}
	status, answer, err := d.ask(ctx, http.MethodPost, "/slack/events", body, d.SigningSecret)
	switch {
	case err != nil:
		r.bad("address.slack", mend, "%s does not answer: %s", d.URL, said(err))
	case status == http.StatusUnauthorized:
		r.bad("address.slack", "copy the signing secret from the app's Basic Information page again; what runs at the address must have the same. It is read anew every five minutes", "%s refuses what the signing secret signs", d.URL)
	case status != http.StatusOK || strings.TrimSpace(answer) != challenge:
		r.bad("address.slack", "the log says why; "+mend, "%s answers %d to what Slack asks", d.URL, status)
	default:
		r.ok("address.slack", "%s takes what the signing secret signs", d.URL)
	}
}

// ask sends what Slack would, signed by a secret; none: not signed.
func (d *Doctor) ask(ctx context.Context, method, path, body, secret string) (status int, answer string, err error) {
	header := map[string]string{}
	if secret != "" {
		at := strconv.FormatInt(d.Now().Unix(), 10)
		header = map[string]string{"X-Slack-Request-Timestamp": at, "X-Slack-Signature": approvals.SignSlack(secret, at, body), "Content-Type": "application/json"}
	}
	return d.send(ctx, method, path, body, header)
}

func (d *Doctor) send(ctx context.Context, method, path, body string, header map[string]string) (status int, answer string, err error) {
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(d.URL, "/")+path, strings.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	for name, value := range header {
		req.Header.Set(name, value)
	}
	resp, err := d.HTTP.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 4096))
	return resp.StatusCode, string(b), err
}
