package ingress

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestForgedClicksAreTold from the daily check's: that is its body, byte by byte, and not more often than it comes. So
// whoever copies it hides nothing but a click that would do nothing.
func TestForgedClicksAreTold(t *testing.T) {
	genuine := click(400)
	for name, c := range map[string]struct {
		body   string
		secret string
		want   []bool // Forged, of each of so many, half a minute apart
		status int
	}{
		"the daily check's":           {canaryBody, "another", []bool{false}, http.StatusUnauthorized},
		"more than it sends":          {canaryBody, "another", []bool{false, true, false, true}, http.StatusUnauthorized},
		"another click":               {genuine, "another", []bool{true, true}, http.StatusUnauthorized},
		"another click with its tag":  {strings.Replace(genuine, "payload=", canaryBody+"&payload=", 1), "another", []bool{true}, http.StatusUnauthorized},
		"its body with something on":  {canaryBody + "&x=1", "another", []bool{true}, http.StatusUnauthorized},
		"its value for a request":     {strings.Replace(canaryBody, "KS-CANARY", "KS-4G7QX2M9ZT0B", 1), "another", []bool{true}, http.StatusUnauthorized},
		"Slack's own":                 {genuine, docSecret, []bool{false}, http.StatusOK},
		"the daily check's, accepted": {canaryBody, docSecret, []bool{false}, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			in, _, log := newIngress()
			at := now
			in.Now = func() time.Time { return at }
			for i, want := range c.want {
				ts := strconv.FormatInt(at.Unix(), 10)
				h := http.Header{}
				h.Set(timestampHeader, ts)
				h.Set(signatureHeader, sign(c.secret, ts, c.body))
				got := in.Answer(t.Context(), Request{Method: http.MethodPost, Path: "/slack/interactions", Header: h, Body: []byte(c.body)})
				if got.Status != c.status || got.Forged != want {
					t.Errorf("no. %d: %d, forged: %t, want %d, %t", i+1, got.Status, got.Forged, c.status, want)
				}
				if warned := strings.Contains(log.String(), "another secret made it"); warned != want {
					t.Errorf("no. %d: warned: %t", i+1, warned)
				}
				log.Reset()
				at = at.Add(30 * time.Second)
			}
		})
	}
}

// TestOldOrFormlessSignaturesAreNotForged: what scanners of the internet send is not somebody who forges clicks.
func TestOldOrFormlessSignaturesAreNotForged(t *testing.T) {
	in, _, _ := newIngress()
	old := signedAt(click(400), docTime-3600)
	none := signed(click(400))
	none.Header.Del(signatureHeader)
	for _, r := range []Request{old, none} {
		if got := in.Answer(t.Context(), r); got.Status != http.StatusUnauthorized || got.Forged {
			t.Errorf("%+v", got)
		}
	}
}
