package ingress

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"testing"
)

// TestRotatedSecretIsLookedFor: a secret that was rotated just now is looked for when no known
// one fits, and only for a request that is not too old anyway.
func TestRotatedSecretIsLookedFor(t *testing.T) {
	for name, c := range map[string]struct {
		known, found []string
		err          error
		at           int64
		asked        int
		status       int
	}{
		"known":              {[]string{docSecret}, nil, nil, docTime, 0, http.StatusOK},
		"rotated":            {[]string{"old"}, []string{docSecret, "old"}, nil, docTime, 1, http.StatusOK},
		"forged":             {[]string{"old"}, []string{"new", "old"}, nil, docTime, 1, http.StatusUnauthorized},
		"none found":         {[]string{"old"}, nil, nil, docTime, 1, http.StatusUnauthorized},
		"look-up fails":      {[]string{"old"}, []string{docSecret}, errors.New("throttled"), docTime, 1, http.StatusUnauthorized},
		"too old to look":    {[]string{"old"}, []string{docSecret}, nil, docTime - 301, 0, http.StatusUnauthorized},
		"known, but too old": {[]string{docSecret}, nil, nil, docTime - 301, 0, http.StatusUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			in, q, _ := newIngress()
			asked := 0
			in.Secrets = secrets(c.known...)
			in.Refresh = func(context.Context) ([]string, error) { asked++; return c.found, c.err }
			got := in.Answer(t.Context(), signedAt(docBody, c.at))
			if got.Forged = false; got != toDocumented(c.status) || asked != c.asked || len(q.sent) != map[int]int{http.StatusOK: 1}[c.status] {
				t.Errorf("answer %+v, asked %d times, %d queued; want %d, asked %d times", got, asked, len(q.sent), c.status, c.asked)
			}
		})
	}
	in, q, _ := newIngress()
	in.Secrets = secrets("")
	in.Refresh = secrets("")
	r := signed(docBody)
	r.Header.Set("X-Slack-Signature", sign("", strconv.Itoa(docTime), docBody))
	if got := in.Answer(t.Context(), r); got.Status != http.StatusUnauthorized || len(q.sent) != 0 {
		t.Errorf("an empty secret that was found is believed: %+v", got)
	}
}
